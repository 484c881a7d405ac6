"""docs/conformance.md has a row for every property, and each row a test."""

from __future__ import annotations

import os
import subprocess
import sys

import msgspec
import pytest
from oci import conformance

from lxcri import program, spec
from lxcri.plan import HostPart
from lxcri.spec import base, config, features, hooks, linux, process, resources, seccomp, state

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
MODULES = (base, config, features, hooks, linux, process, resources, seccomp, state)

ALL: set[type[spec.Base]] = {
    kind
    for module in MODULES
    for kind in vars(module).values()
    if isinstance(kind, type) and issubclass(kind, spec.Base) and kind is not spec.Base
}


def test_every_struct_is_in_a_document() -> None:
    assert set(conformance.places()) == ALL


@pytest.mark.parametrize("part", sorted(ALL, key=str))
def test_every_field_is_in_a_row(part: type[spec.Base]) -> None:
    rows = set(conformance.ROWS.get(part, {}))
    assert rows <= set(part.__struct_fields__), "a row names no field"
    for name, _, kind in conformance.fields(part):
        assert name in rows or conformance.structs_in(kind), f"{part.__name__}.{name}: in no row"


def test_rows_are_of_structs() -> None:
    assert set(conformance.ROWS) <= ALL


def test_every_row_has_a_test_or_a_limit() -> None:
    for part, rows in conformance.ROWS.items():
        for name, row in rows.items():
            assert row.test or row.limit, f"{part.__name__}.{name}"


def test_every_row_sets_its_property() -> None:
    """A piece of config.json holds the property that its row is about, by the document's name."""
    for part, rows in conformance.ROWS.items():
        names = dict(zip(part.__struct_fields__, part.__struct_encode_fields__, strict=True))
        for name, row in rows.items():
            if row.config is not None and row.config != {}:
                assert f'"{names[name]}":' in msgspec.json.encode(row.config).decode(), f"{part.__name__}.{name}"


def test_every_test_exists() -> None:
    command = [sys.executable, "-m", "pytest", "--collect-only", "-q", "-p", "no:cacheprovider", "tests"]
    collected = subprocess.run(command, cwd=CHECKOUT, check=False, capture_output=True, text=True)
    known = {line.partition("[")[0].removeprefix("tests/") for line in collected.stdout.splitlines() if "::" in line}
    named = {row.test for rows in conformance.ROWS.values() for row in rows.values() if row.test}
    assert named - known == set()


def test_tables_name_what_there_is() -> None:
    assert set(conformance.OPERATIONS) <= {name for name, _ in program.OPERATIONS}
    assert set(conformance.HOST_PARTS) <= set(HostPart.__struct_fields__)


def test_the_document_is_what_the_code_says() -> None:
    """PYTHONPATH=.:tests .venv/bin/python -m oci.conformance > docs/conformance.md"""
    with open(f"{CHECKOUT}/docs/conformance.md") as file:
        assert file.read() == conformance.document()
