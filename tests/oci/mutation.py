"""
Whether the tests that docs/conformance.md names hold their properties: each must fail if its property is lost.

    PYTHONPATH=.:tests .venv/bin/python -m oci.mutation [--jobs N] [MUTANT ...]

A mutant is STRUCT.FIELD, a row: the property is dropped (or changed, if it is required) as config.json is decoded or
as another document is written, in a runtime made for it and in the test process, and the row's test is run. Or it is
MODULE.TABLE:KEY, an entry of one of the compiler's tables: it gets the value of another one (or is dropped, if all have
the same), and the unit tests of its section are run. All tests are run without a mutant first. It prints the tests that
fail then, and the mutants whose test passes.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import importlib
import os
import stat
import subprocess
import sys
import tempfile
from typing import Any

import msgspec

from lxcri import spec
from lxcri.spec import state

VARIABLE = "LXCRI_TEST_MUTANT"
CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

RUNTIME = """#!{python}
import os, sys

os.environ[{variable!r}] = {mutant!r}
sys.path[:0] = [{checkout!r}, {checkout!r} + "/tests"]

from oci import mutation

if os.environ[{variable!r}]:
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
                setattr(value, name, LOST.get(f"{part}.{name}", _other(field, getattr(value, name))))
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


TABLES = {
    # tables of the compiler, and the tests that know better what is in them
    "lxcri.compile.capabilities.NUMBERS": "unit/test_compile_capabilities.py",
    "lxcri.compile.devices.TYPES": "unit/test_compile_devices.py",
    "lxcri.compile.hooks.KINDS": "unit/test_compile_hooks.py",
    "lxcri.compile.hooks.STAGES": "unit/test_compile_hooks.py",
    "lxcri.compile.mounts.LIBLXC_MOUNTS": "unit/test_compile_mounts.py",
    "lxcri.compile.namespaces.TYPES": "unit/test_compile_namespaces.py",
    "lxcri.compile.options.ATTRIBUTES": "unit/test_compile_options.py",
    "lxcri.compile.options.BINDS": "unit/test_compile_options.py",
    "lxcri.compile.options.FLAGS": "unit/test_compile_options.py",
    "lxcri.compile.options.ID_MAPS": "unit/test_compile_options.py",
    "lxcri.compile.options.PROPAGATION": "unit/test_compile_options.py",
    "lxcri.compile.options.RECURSIVE": "unit/test_compile_options.py",
    "lxcri.compile.process.RLIMITS": "unit/test_compile_process.py",
    "lxcri.compile.root.SYSCTL_NAMESPACES": "unit/test_compile_root.py",
    "lxcri.compile.scheduling.DOMAINS": "unit/test_compile_scheduling.py",
    "lxcri.compile.scheduling.IO_CLASSES": "unit/test_compile_scheduling.py",
    "lxcri.compile.scheduling.MEMORY_FLAGS": "unit/test_compile_scheduling.py",
    "lxcri.compile.scheduling.MEMORY_MODES": "unit/test_compile_scheduling.py",
    "lxcri.compile.scheduling.POLICIES": "unit/test_compile_scheduling.py",
    "lxcri.compile.scheduling.SCHEDULER_FLAGS": "unit/test_compile_scheduling.py",
    "lxcri.seccomp.ACTIONS": "unit/test_seccomp.py",
    "lxcri.seccomp.FLAGS": "unit/test_seccomp.py",
    "lxcri.seccomp.OPERATORS": "unit/test_seccomp.py",
}

LOST = {"Spec.oci_version": "1.0.2"}
"""What stands for a required property that is lost, where another text would be refused."""


def table(name: str) -> dict[Any, Any]:
    """A table of the compiler."""
    module, _, variable = name.rpartition(".")
    found: dict[Any, Any] = getattr(importlib.import_module(module), variable)
    return found


def break_entry(name: str, shown: str) -> None:
    """Give an entry of a table the value of another one, or drop it."""
    entries = table(name)
    (key,) = [key for key in entries if str(key) == shown]
    others = [value for value in entries.values() if value != entries[key]]
    if others:
        entries[key] = others[0]
    else:
        del entries[key]


def apply() -> None:
    """Break what the environment names: a table's entry, or every place where a property comes in or goes out."""
    name, _, key = os.environ[VARIABLE].partition(":")
    if key:
        break_entry(name, key)
    else:
        lose(*name.split("."))


def replace(module_name: str, name: str, made: Any) -> None:
    """Put `made(what is there)` in the place of a function."""
    module = importlib.import_module(module_name)
    setattr(module, name, made(getattr(module, name)))


def lose(part: str, name: str) -> None:
    """Have every decoder, every entrance of unit tests, and all that writes documents, lose a property."""

    def losing_result(function: Any) -> Any:
        return lambda *arguments: without(function(*arguments), part, name)

    replace("lxcri.spec", "decode", losing_result)
    if part == "State":
        shown = dict(zip(state.State.__struct_fields__, state.State.__struct_encode_fields__, strict=True))[name]
        replace("lxcri.state", "_members", lambda of: lambda *a: [pair for pair in of(*a) if pair[0] != shown])
    elif part == "ContainerProcessState":
        replace("lxcri.listener", "encode", lambda encode: lambda message: encode(without(message, part, name)))
    elif part.endswith(("Features", "Enabled")):
        replace("lxcri.features", "features", losing_result)
    if "pytest" in sys.modules:
        for module_name, functions in ENTRANCES.items():
            for function in functions:
                replace(module_name, function, lambda of: _losing(of, part, name))
        from lxcri.resctrl import Group

        make = Group.make
        setattr(Group, "make", lambda rdt, *rest: make(without(rdt, part, name), *rest))  # noqa: B010


def _losing(function: Any, part: str, name: str) -> Any:
    return lambda first, *rest, **options: function(without(first, part, name), *rest, **options)


if os.environ.get(VARIABLE) and "pytest" in sys.modules:
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
            stderr=subprocess.DEVNULL,
            env={**os.environ, VARIABLE: mutant, "PYTHONPATH": f"{CHECKOUT}:{CHECKOUT}/tests"},
        )
    return result.returncode == 0


def mutants() -> dict[str, str]:
    """All of them, each with its test."""
    from oci.conformance import ROWS

    found = {f"{part.__name__}.{name}": row.test for part, rows in ROWS.items() for name, row in rows.items()}
    for name, test in TABLES.items():
        found.update({f"{name}:{key}": test for key in table(name)})
    return {mutant: test for mutant, test in found.items() if test}


def main() -> int:
    """Try all mutants, or those named."""
    parser = argparse.ArgumentParser(prog="oci.mutation")
    parser.add_argument("mutants", nargs="*", metavar="MUTANT")
    parser.add_argument("--jobs", type=int, default=1)
    options = parser.parse_args()
    wanted = {name: test for name, test in mutants().items() if not options.mutants or name in options.mutants}
    tests = list(dict.fromkeys(wanted.values()))
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        good = [
            test for test, passes in zip(tests, pool.map(survives, [""] * len(tests), tests), strict=True) if passes
        ]
        tried = [name for name, test in wanted.items() if test in good]
        lived = pool.map(survives, tried, [wanted[name] for name in tried])
        survivors = [name for name, alive in zip(tried, lived, strict=True) if alive]
    for test in tests:
        if test not in good:
            sys.stdout.write(f"{test} fails without a mutant\n")
    for name in survivors:
        sys.stdout.write(f"{name}: {wanted[name]} passes without it\n")
    sys.stdout.write(f"{len(tried)} mutants, {len(tried) - len(survivors)} found\n")
    return int(bool(survivors) or len(good) < len(tests))


if __name__ == "__main__":
    sys.exit(main())
