"""What build_ffi.py builds: wheel, sdist, the init helper; and what it says when something is missing."""

from __future__ import annotations

import glob
import os
import platform
import shutil
import stat
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import build_ffi
import lxcri
from lxcri import program

CHECKOUT = build_ffi.SOURCE
PRODUCTS = {
    "lxcffi/_lxc.abi3.so",
    "lxcri/_linux.abi3.so",
    "lxcri/_libseccomp.py",
    "lxcri/_libsystemd.py",
    "lxcri/lxcri-init",
}
NOT_SOURCES = (".git", ".venv", "build", "dist", "*.egg-info", "__pycache__", ".*_cache", "*.so")
EPOCH = 1700000000

PT_LOAD, PT_DYNAMIC, PT_INTERP = 1, 2, 3
PT_GNU_STACK, PT_GNU_RELRO = 0x6474E551, 0x6474E552
PF_X, PF_W = 1, 2
MACHINES = {"x86_64": 62, "aarch64": 183}


def in_tree(tree: str, *program: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a source tree, with nothing of the checkout in sight."""
    return subprocess.run(
        [sys.executable, *program],
        cwd=tree,
        env={**os.environ, "SOURCE_DATE_EPOCH": str(EPOCH), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def call_backend(tree: str, hook: str, out: Path) -> str:
    """Path of what a hook of the backend in a source tree makes."""
    done = in_tree(tree, "-c", f"import build_ffi; print(build_ffi.{hook}({str(out)!r}))")
    assert done.returncode == 0, done.stderr
    return str(out / done.stdout.splitlines()[-1])


def segments(file: str | Path) -> tuple[int, list[tuple[int, int]]]:
    """Machine of an ELF file, and type and flags of its segments."""
    with open(file, "rb") as elf:
        data = elf.read()
    assert data[:6] == b"\x7fELF\x02\x01"
    (machine,) = struct.unpack_from("<H", data, 18)
    (table,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    headers = [struct.unpack_from("<II", data, table + i * size) for i in range(count)]
    return machine, [(kind, flags) for kind, flags in headers]


def check_hardened(found: list[tuple[int, int]]) -> None:
    """Assert that nothing which is loaded, nor the stack, is writable and executable."""
    assert not [flags for kind, flags in found if kind == PT_LOAD and flags & PF_W and flags & PF_X]
    assert not dict(found)[PT_GNU_STACK] & PF_X


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A copy of the source tree in which nothing has been built."""
    copy = tmp_path_factory.mktemp("source") / "lxcri"
    shutil.copytree(CHECKOUT, copy, ignore=shutil.ignore_patterns(*NOT_SOURCES), symlinks=True)
    for product in PRODUCTS:
        (copy / product).unlink(missing_ok=True)
    return str(copy)


@pytest.fixture(scope="module")
def wheel(tree: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A wheel from the source tree."""
    return call_backend(tree, "build_wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def sdist(tree: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A source distribution, made while a product that is Python lies in the tree."""
    stale = Path(tree) / "lxcri/_libseccomp.py"
    stale.write_text("raise ImportError\n")
    yield call_backend(tree, "build_sdist", tmp_path_factory.mktemp("sdist"))
    stale.unlink()


@pytest.fixture(scope="module")
def installed(wheel: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The wheel's files, as pip lays them out."""
    directory = tmp_path_factory.mktemp("installed")
    with zipfile.ZipFile(wheel) as archive:
        for entry in archive.infolist():
            path = archive.extract(entry, directory)
            os.chmod(path, entry.external_attr >> 16)
    return str(directory)


# Wheel and sdist


def test_wheel_leaves_no_build_in_the_source_tree(wheel: str, tree: str) -> None:
    assert wheel
    assert sorted(set(os.listdir(tree)) - set(os.listdir(CHECKOUT))) in ([], ["lxcri.egg-info"])
    assert not [product for product in PRODUCTS if os.path.exists(os.path.join(tree, product))]


def test_wheel_is_for_every_cpython_from_3_11_on(wheel: str) -> None:
    assert os.path.basename(wheel) == (f"lxcri-{lxcri.__version__}-cp311-abi3-linux_{platform.machine()}.whl")


def test_wheel_has_all_modules_and_products_and_nothing_else(wheel: str, tree: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = {name.partition("/")[2] for name in archive.namelist() if ".dist-info/" in name}
    sources = set()
    for package in ("lxcri", "lxcffi"):
        for kind in ("py", "pyi", "typed"):
            found = glob.glob(f"{package}/**/*.{kind}", root_dir=tree, recursive=True)
            sources |= set(found)
    assert names == sources | PRODUCTS
    assert {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE"} <= metadata


def test_wheel_works_without_the_source_tree(installed: str) -> None:
    program = (
        f"import sys; sys.path.insert(0, {installed!r})\n"
        "import lxcffi, lxcri._linux, lxcri._libseccomp\n"
        "print(lxcffi.version(), lxcffi.__file__, lxcri._linux.lib, lxcri._libseccomp.ffi)\n"
    )
    done = in_tree("/", "-Ic", program)
    assert done.returncode == 0, done.stderr
    assert f"{installed}/lxcffi/" in done.stdout


def test_sdist_builds_the_same_wheel_elsewhere(sdist: str, wheel: str, tmp_path: Path) -> None:
    subprocess.run(["tar", "xf", sdist, "-C", str(tmp_path)], check=True)
    (unpacked,) = tmp_path.glob("lxcri-*")
    assert not [product for product in PRODUCTS if (unpacked / product).exists()]
    again = call_backend(str(unpacked), "build_wheel", tmp_path)
    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(again) as other:
        for name in sorted(set(one.namelist()) | set(other.namelist())):
            assert one.read(name) == other.read(name), name
    assert Path(wheel).read_bytes() == Path(again).read_bytes()


def test_sdist_has_what_the_build_and_the_tests_read(sdist: str) -> None:
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for pattern in ("vendor-headers/lxc/*", "lxcri/csrc/*", "tests/**/*.py", "docs/*", ".ci/*"):
        found = glob.glob(pattern, root_dir=CHECKOUT, recursive=True)
        wanted = {name for name in found if "__pycache__" not in name}
        assert wanted
        assert wanted <= names
    assert {"LICENSE", "README.md", "build_ffi.py", "pyproject.toml", "setup"} <= names


def test_modules_are_hardened(installed: str) -> None:
    for module in ("lxcffi/_lxc.abi3.so", "lxcri/_linux.abi3.so"):
        machine, found = segments(os.path.join(installed, module))
        assert machine == MACHINES[platform.machine()]
        assert PT_GNU_RELRO in dict(found)
        check_hardened(found)
        # DT_FLAGS with DF_BIND_NOW
        assert struct.pack("<QQ", 30, 8) in Path(installed, module).read_bytes()


def test_functions_of_our_own_have_stack_protection(tmp_path: Path) -> None:
    """By the flags of the modules, whose functions have no arrays, so that nothing in them shows it."""
    source = tmp_path / "array.c"
    source.write_text("int fill(char *);\nint f(void) { char a[64]; return fill(a); }\n")
    words = [*build_ffi.compiler(), *build_ffi.MODULE_FLAGS, "-c", str(source), "-o", str(tmp_path / "array.o")]
    subprocess.run(words, check=True, timeout=60)
    assert b"__stack_chk_fail" in (tmp_path / "array.o").read_bytes()


# The helper


def test_init_is_a_small_static_executable(installed: str) -> None:
    init = os.path.join(installed, "lxcri/lxcri-init")
    status = os.stat(init)
    assert stat.S_IMODE(status.st_mode) & 0o555 == 0o555
    assert status.st_size < 64 * 1024
    machine, found = segments(init)
    assert machine == MACHINES[platform.machine()]
    assert PT_INTERP not in dict(found)
    assert PT_DYNAMIC not in dict(found)
    check_hardened(found)


def program_of_everything() -> bytes:
    """A program with every operation in every stage."""
    values = {"n": 0x0123456789ABCDEF, "s": 'a "string" of ä', "S": ["", "one", "zwei"], "N": [0, 1, 1 << 63]}
    stage = [(name, f"{name}[0]", tuple(values[kind] for kind in kinds)) for name, kinds in program.OPERATIONS]
    return program.encode([stage] * len(program.STAGES))


def check_program(command: Sequence[str], data: bytes) -> tuple[int, bytes]:
    """What the helper's reader answers for a program."""
    done = subprocess.run([*command, "check"], input=data, capture_output=True, check=False)
    return done.returncode, done.stdout


def test_arm64_init_reads_programs_as_the_native_one_does(installed: str, tmp_path: Path) -> None:
    cc = shutil.which("aarch64-linux-gnu-gcc")
    qemu = shutil.which("qemu-aarch64-static") or shutil.which("qemu-aarch64")
    if not cc:
        pytest.skip("aarch64-linux-gnu-gcc is not there (Debian: gcc-aarch64-linux-gnu)")
    init = tmp_path / "lxcri-init"
    build_ffi.build_init(str(init), cc=cc)
    machine, found = segments(init)
    assert machine == MACHINES["aarch64"]
    assert PT_INTERP not in dict(found)
    if not qemu:
        pytest.skip("built, but not run: qemu-aarch64 is not there (Debian: qemu-user-static)")
    data = program_of_everything()
    native = check_program([os.path.join(installed, "lxcri/lxcri-init")], data)
    assert native[0] == 0
    lines = native[1].decode().splitlines()
    assert len(lines) == len(program.STAGES) * len(program.OPERATIONS)
    assert lines[0].startswith("0 mount [mount[0]] ")
    assert check_program([qemu, str(init)], data) == native
    for size in range(0, len(data), 1 + len(data) // 50):
        short = check_program([qemu, str(init)], data[:size])
        assert short[0] == 1
        assert short == check_program([os.path.join(installed, "lxcri/lxcri-init")], data[:size])


def test_clang_builds_an_init_that_reads_the_same(installed: str, tmp_path: Path) -> None:
    if not shutil.which("clang"):
        pytest.skip("clang is not there")
    init = tmp_path / "lxcri-init"
    build_ffi.build_init(str(init), cc="clang")
    data = program_of_everything()
    native = check_program([os.path.join(installed, "lxcri/lxcri-init")], data)
    assert native[0] == 0
    assert check_program([str(init)], data) == native


def test_hosted_init_has_sanitizers(tmp_path: Path) -> None:
    init = tmp_path / "lxcri-init-hosted"
    build_ffi.build_init(str(init), hosted=True)
    assert b"__asan_init" in init.read_bytes()
    assert check_program([str(init)], program_of_everything())[0] == 0
    assert check_program([str(init)], b"")[0] == 1


def test_an_operation_without_code_does_not_compile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """A row of lxcri.program.OPERATIONS without a case in lxcri-init would otherwise be one that does nothing."""
    header = build_ffi.init_program_header().replace("\tOP_EXECUTE,\n", "\tOP_EXECUTE,\n\tOP_FORGOTTEN,\n")
    monkeypatch.setattr(build_ffi, "init_program_header", lambda: header)
    with pytest.raises(build_ffi.BuildError):
        build_ffi.build_init(str(tmp_path / "lxcri-init"))
    assert "OP_FORGOTTEN" in capfd.readouterr().err


def test_init_for_another_machine_is_refused(tmp_path: Path) -> None:
    cc = script(tmp_path / "cc", "echo riscv64-linux-gnu")
    with pytest.raises(build_ffi.BuildError, match="makes programs for riscv64-linux-gnu"):
        build_ffi.build_init(str(tmp_path / "out"), cc=cc)


# What is missing


def script(path: Path, body: str) -> str:
    """An executable sh script."""
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(0o755)
    return str(path)


def pip_wheel(tree: str, out: Path, **environment: str) -> str:
    """What pip prints when it cannot build the wheel of a tree."""
    done = in_tree(
        tree,
        *("-m", "pip", "wheel", "--no-build-isolation", "--no-deps", "--wheel-dir", str(out), "."),
        **environment,
    )
    assert done.returncode != 0
    return done.stdout + done.stderr


def last_line_of_the_build(output: str) -> str:
    """The line before the one by which pip ends a build's own output."""
    lines = [line.strip(" │╰─>") for line in output.splitlines()]
    return lines[lines.index("[end of output]") - 1]


def test_missing_compiler_is_one_sentence_of_pip(tree: str, tmp_path: Path) -> None:
    output = pip_wheel(tree, tmp_path, PATH="/nonexistent", CC="")
    assert "Traceback" not in output
    sentence = last_line_of_the_build(output)
    assert sentence.startswith("lxcri needs a C compiler to be built, but ")
    assert sentence.endswith("install gcc and libc6-dev (Debian, Ubuntu: apt-get install gcc libc6-dev).")


@pytest.mark.parametrize(
    ("refused", "sentence", "package"),
    [
        ("*liblxc*", "lxcri needs liblxc to be built, but the linker finds no liblxc.so.1", "liblxc1"),
        ("*-fsyntax-only*", "lxcri needs Python.h to be built", "apt-get install python3-dev"),
        ("*", "lxcri needs a C compiler that makes programs, but ", "apt-get install libc6-dev"),
    ],
)
def test_missing_part_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: str, sentence: str, package: str
) -> None:
    real = " ".join(build_ffi.compiler())
    fake = script(tmp_path / "cc", f'case "$*" in {refused}) exit 1 ;; esac\nexec {real} "$@"')
    monkeypatch.setenv("CC", fake)
    with pytest.raises(build_ffi.BuildError) as caught:
        build_ffi.check_requirements()
    text = str(caught.value)
    assert text.startswith(sentence)
    assert package in text
    assert "\n" not in text


def test_complete_machine_is_not_refused() -> None:
    build_ffi.check_requirements()
