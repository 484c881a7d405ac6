"""vendor-headers/ against the headers of the liblxc that is installed.

One C source asks a header for everything that ours declares: offsets, sizes, values of constants (by printing
them), types of members and functions (by the prototypes that gcc writes for -aux-info). It is compiled once
with our header and once with the system's, and both must answer the same.

Debian's header is in lxc-dev. LXCRI_TEST_LXC_HEADERS names another directory that holds lxc/lxccontainer.h.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

import build_ffi
from lxcffi.ffi import ffi, lib

OURS = build_ffi.VENDOR_HEADERS
SYSTEM = os.environ.get("LXCRI_TEST_LXC_HEADERS", "/usr/include")

HEADERS = ("lxc/attach_options.h", "lxc/lxccontainer.h")

STRUCTS = (
    "struct lxc_container",
    "struct lxc_mount",
    "struct lxc_snapshot",
    "struct bdev_specs",
    "struct migrate_opts",
    "struct lxc_console_log",
    "struct lxc_log",
    "struct lxc_groups_t",
    "struct lxc_attach_options_t",
    "struct lxc_attach_command_t",
)

# Constants of liblxc's headers that are no numbers, or say something about the header alone.
NOT_DECLARED = {
    "LXC_ATTACH_DETECT_PERSONALITY",
    "LXC_ATTACH_LSM",
    "LXC_ATTACH_OPTIONS_DEFAULT",
    "LXC_DEVEL",
    "LXC_VERSION",
    "LXC_VERSION_ABI",
    "LXC_VERSION_MAJOR",
    "LXC_VERSION_MICRO",
    "LXC_VERSION_MINOR",
}

Version = tuple[int, int, int]


def read(directory: str) -> str:
    """The headers in a directory, without comments."""
    text = ""
    for header in HEADERS:
        with open(os.path.join(directory, header), encoding="utf-8") as file:
            text += file.read()
    return re.sub(r"/\*.*?\*/|//[^\n]*", " ", text, flags=re.DOTALL)


def since() -> dict[str, Version]:
    """The version that brought each declaration of ours, by its name."""
    text = "".join(build_ffi.read("vendor-headers", header) for header in HEADERS)
    found = re.findall(r"(?:^|[;}/])([^;{}/]*)[;,]\s*/\* since (\d+)\.(\d+)\.(\d+)", text)
    versions = {}
    for declaration, *version in found:
        name = re.search(r"\(\*(\w+)\)", declaration) or re.search(
            r"(\w+)(?: =.*|\(.*\))?$", declaration.strip(), re.DOTALL
        )
        assert name is not None, declaration
        versions[name[1]] = (int(version[0]), int(version[1]), int(version[2]))
    return versions


SINCE = since()


def members(struct: str, prefix: str = "") -> Iterator[str]:
    """Paths of the members of a struct of ours, in order, those of nested structs too."""
    for name, field in ffi.typeof(struct).fields:
        if field.type.kind == "struct" and not field.type.cname.startswith("lxc_"):
            yield from (f"{name}.{inner}" for inner, _ in field.type.fields)
        else:
            yield name


def constants() -> list[str]:
    """Names of our constants."""
    return [name for name in dir(lib) if name.isupper() and not name.startswith("SINCE_")]


def functions() -> list[str]:
    """Names of the functions that liblxc exports, as we declare them."""
    return [name for name in dir(lib) if name.startswith(("lxc_", "list_"))]


def question(version: Version) -> str:
    """A C program that prints what a header says about all that ours declares up to a version."""

    def known(name: str) -> bool:
        return SINCE.get(name, (1, 0, 0)) <= version

    lines = ["#include <stddef.h>", "#include <stdio.h>", "#include <lxc/lxccontainer.h>"]
    values = []
    for struct in STRUCTS:
        names = [path for path in members(struct) if known(path.partition(".")[0])]
        for path in names:
            label = f"{struct.split()[1]}__{path.replace('.', '__')}"
            lines.append(f"__typeof__((({struct} *)0)->{path}) *{label}(void);")
            values.append((f"{struct}.{path}", f"offsetof({struct}, {path})"))
        if len(names) == len(list(members(struct))):
            values.append((struct, f"sizeof({struct})"))
    lines += [f"__typeof__({name}) *function__{name}(void);" for name in functions() if known(name)]
    values += [(name, name) for name in constants() if known(name)]
    lines += ["int main(void) {"]
    lines += [f'printf("{label} %lld\\n", (long long)({value}));' for label, value in values]
    lines += ["return 0; }"]
    return "\n".join(lines) + "\n"


def answer(source: str, directory: str, work: str) -> tuple[dict[str, int], dict[str, str]]:
    """Numbers and types that the headers in a directory give for a question."""
    program = os.path.join(work, "question")
    prototypes = os.path.join(work, "prototypes")
    subprocess.run(
        ["gcc", "-x", "c", "-", "-I", directory, "-Wall", "-Werror", "-aux-info", prototypes, "-o", program],
        input=source,
        text=True,
        check=True,
    )
    printed = subprocess.run([program], capture_output=True, text=True, check=True).stdout
    printed_lines = (line.rpartition(" ") for line in printed.splitlines())
    numbers = {label: int(number) for label, _, number in printed_lines}
    types = {}
    with open(prototypes, encoding="utf-8") as file:
        for line in file:
            declared = re.fullmatch(r"/\* .*? \*/ extern (.*?(\w+__\w+) \(void\).*);\n", line)
            if declared:
                types[declared[2]] = declared[1]
    return numbers, types


@pytest.fixture(scope="module")
def version() -> Version:
    """Version of the system's headers."""
    path = os.path.join(SYSTEM, "lxc/version.h")
    if not os.path.exists(path):
        pytest.skip(f"{path} is not there (Debian: lxc-dev)")
    if not shutil.which("gcc"):
        pytest.skip("gcc is not there, whose prototypes are compared")
    with open(path, encoding="utf-8") as file:
        text = file.read()
    parts = [re.search(rf"LXC_VERSION_{part} (\d+)", text) for part in ("MAJOR", "MINOR", "MICRO")]
    assert all(parts)
    major, minor, micro = (int(part[1]) for part in parts if part)
    return major, minor, micro


def test_every_member_has_a_version_and_versions_do_not_fall() -> None:
    names = list(members("struct lxc_container"))
    assert len(names) == 74
    versions = [SINCE[name] for name in names]
    assert versions == sorted(versions)


def test_versions_of_the_compiled_module_are_those_of_the_header() -> None:
    compiled = {name: getattr(lib, name) for name in dir(lib) if name.startswith("SINCE_")}
    pointers = [name for name, field in ffi.typeof("struct lxc_container").fields if "(*)" in field.type.cname]
    assert len(pointers) == 62
    assert compiled == {
        f"SINCE_{name}": SINCE[name][0] << 16 | SINCE[name][1] << 8 | SINCE[name][2] for name in pointers
    }


def test_every_declaration_is_compared() -> None:
    declared = re.findall(r"^(?:typedef )?(struct \w+) \{", read(OURS), re.MULTILINE)
    assert sorted(declared) == sorted(STRUCTS)
    assert set(functions()) == set(re.findall(r"\b(lxc_\w+|list_\w+)\(", read(OURS)))
    assert len(functions()) == 15


def test_system_header_says_the_same(version: Version, tmp_path: Path) -> None:
    source = question(version)
    our_numbers, our_types = answer(source, OURS, str(tmp_path))
    numbers, types = answer(source, SYSTEM, str(tmp_path))
    assert len(numbers) > 100
    assert numbers == our_numbers
    assert len(types) > 100
    assert types == our_types


def test_system_header_declares_nothing_else(version: Version, tmp_path: Path) -> None:
    header = read(SYSTEM)
    named = re.findall(r"\b(?:LXC|MIGRATE|FEATURE)_[A-Z0-9_]+\b", header)
    assert set(named) <= {*constants(), *NOT_DECLARED}
    assert set(re.findall(r"\b(lxc_\w+|list_\w+)\s*\(", header)) <= set(functions())
    names = list(members("struct lxc_container"))
    newer = [name for name in names if SINCE[name] > version]
    numbers, _ = answer(
        "#include <stdio.h>\n#include <lxc/lxccontainer.h>\n"
        'int main(void) { printf("size %zu\\n", sizeof(struct lxc_container)); return 0; }\n',
        SYSTEM,
        str(tmp_path),
    )
    expected = ffi.offsetof("struct lxc_container", newer[0]) if newer else ffi.sizeof("struct lxc_container")
    assert numbers["size"] == expected
