"""
Whether the tests that docs/conformance.md names hold their properties: each must fail if its property is lost.

    PYTHONPATH=.:tests .venv/bin/python -m oci.mutation [STRUCT.FIELD ...]

For each row the property is dropped (or changed, if it is required) as config.json is decoded, in a runtime made for it
and in the test process, and the row's test is run. It prints the rows whose test passes all the same.
"""

from __future__ import annotations

import importlib
import os
import stat
import subprocess
import sys
import tempfile
from typing import Any

import msgspec

from lxcri import spec

VARIABLE = "LXCRI_TEST_MUTANT"
CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

RUNTIME = """#!{python}
import os, sys

os.environ[{variable!r}] = {mutant!r}
sys.path[:0] = [{checkout!r}, {checkout!r} + "/tests"]

from oci import mutation

mutation.apply()

from lxcri.__main__ import main

main()
"""


def without(value: Any, part: str, name: str) -> Any:
    """The decoded document with this field of this Struct lost wherever it is."""
    if isinstance(value, list):
        for item in value:
            without(item, part, name)
    elif isinstance(value, dict):
        for item in value.values():
            without(item, part, name)
    elif isinstance(value, spec.Base):
        for field in msgspec.structs.fields(type(value)):
            if type(value).__name__ == part and field.name == name:
                setattr(value, name, _other(field, getattr(value, name)))
            else:
                without(getattr(value, field.name), part, name)
    return value


def _other(field: msgspec.structs.FieldInfo, value: Any) -> Any:
    if field.default_factory is not msgspec.NODEFAULT:
        return field.default_factory()
    if field.default is not msgspec.NODEFAULT:
        return field.default
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    return [] if isinstance(value, list) else f"{value}x"


ENTRANCES = {
    # what unit tests call with Structs that nothing decoded, by module
    "lxcri.cgroup.devices": ("v1_lines", "expand"),
    "lxcri.cgroup.resources": ("compile_resources",),
    "lxcri.compile.scheduling": ("personality_number",),
    "lxcri.seccomp": ("compile_filter",),
}


def apply() -> None:
    """Have every decoder, and every entrance of unit tests, lose the property that the environment names."""
    part, _, name = os.environ[VARIABLE].partition(".")
    decode = spec.decode

    def decode_without(data: Any, kind: Any, *rest: Any) -> Any:
        return without(decode(data, kind, *rest), part, name)

    setattr(spec, "decode", decode_without)  # noqa: B010 (a name that is only known to be a function)
    if "pytest" in sys.modules:
        for module_name, functions in ENTRANCES.items():
            module = importlib.import_module(module_name)
            for function in functions:
                setattr(module, function, _losing(getattr(module, function), part, name))
        from lxcri.resctrl import Group

        make = Group.make
        setattr(Group, "make", lambda rdt, *rest: make(without(rdt, part, name), *rest))  # noqa: B010


def _losing(function: Any, part: str, name: str) -> Any:
    return lambda first, *rest, **options: function(without(first, part, name), *rest, **options)


if VARIABLE in os.environ and "pytest" in sys.modules:
    apply()


def survives(mutant: str, test: str) -> bool:
    """Whether the test passes although the property is lost."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as directory:
        runtime = f"{directory}/lxcri"
        with open(runtime, "w") as file:
            file.write(RUNTIME.format(python=sys.executable, variable=VARIABLE, mutant=mutant, checkout=CHECKOUT))
        os.chmod(runtime, stat.S_IRWXU)
        command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "oci.mutation", "-p", "no:cacheprovider"]
        result = subprocess.run(
            [*command, "--runtime", runtime, f"tests/{test}"],
            cwd=CHECKOUT,
            check=False,
            stdout=subprocess.DEVNULL,
            env={**os.environ, VARIABLE: mutant, "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT}/tests"},
        )
    if result.returncode > 1:
        raise SystemExit(f"{mutant}: pytest ended with {result.returncode}")
    return result.returncode == 0


def main(wanted: list[str]) -> int:
    """Try all rows, or those named."""
    from oci.conformance import ROWS

    survivors = 0
    for part, rows in ROWS.items():
        for name, row in rows.items():
            mutant = f"{part.__name__}.{name}"
            if row.config is not None and (not wanted or mutant in wanted) and survives(mutant, row.test):
                survivors += 1
                sys.stdout.write(f"{mutant}: {row.test} passes without it\n")
                sys.stdout.flush()
    return bool(survivors)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
