"""The command that lxcri.entry writes."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from lxcri import entry


def run(script: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a script as engines do, with an environment of its own."""
    return subprocess.run([script, *arguments], env=environment, cwd="/", capture_output=True, text=True, check=False)


def fake_package(directory: Path) -> str:
    """A directory with an lxcri whose main tells how Python was started."""
    package = directory / "lxcri"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "__main__.py").write_text(
        "import sys\n"
        "def main():\n"
        "    print(sys.flags.isolated, sys.flags.no_site, 'site' in sys.modules, sys.argv[1:])\n"
        "    sys.exit(3)\n"
    )
    return str(directory)


def test_command_works_with_an_empty_environment(tmp_path: Path) -> None:
    script = tmp_path / "lxcri"
    entry.write(str(script), sys.executable, entry.package_paths())
    done = run(script, "--version")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("lxcri version ")


def test_command_starts_python_isolated_and_without_site(tmp_path: Path) -> None:
    script = tmp_path / "lxcri"
    entry.write(str(script), sys.executable, [fake_package(tmp_path / "packages")])
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "gc.py").write_text("raise SystemExit(99)\n")
    done = run(script, "a", "b c", "", PYTHONPATH=str(evil), PYTHONHOME="/nonexistent")
    assert (done.returncode, done.stdout) == (3, "1 1 False ['a', 'b c', '']\n")
    assert stat.S_IMODE(script.stat().st_mode) == 0o755


@pytest.mark.parametrize("directory", ["a blank and a 'quote'", "long" * 40])
def test_interpreter_that_fits_no_first_line_is_run_by_sh(tmp_path: Path, directory: str) -> None:
    python = tmp_path / directory / "python3"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    assert not entry.fits_shebang(str(python))
    script = tmp_path / directory / "lxcri"
    entry.write(str(script), str(python), [fake_package(tmp_path / directory / "packages")])
    assert script.read_text().startswith("#!/bin/sh\n")
    done = run(script, "a", "b c", "")
    assert (done.returncode, done.stdout) == (3, "1 1 False ['a', 'b c', '']\n")


def test_first_line_is_within_the_limit_of_old_kernels() -> None:
    assert entry.fits_shebang("/" + "x" * 119)
    assert not entry.fits_shebang("/" + "x" * 120)


def test_paths_are_absolute_and_are_those_of_the_packages() -> None:
    paths = entry.package_paths()
    assert paths == [path for path in paths if os.path.isabs(path)]
    assert os.path.dirname(os.path.dirname(os.path.abspath(entry.__file__))) in paths
    assert not set(paths) & {os.path.dirname(os.__file__)}


def test_command_is_replaced_while_it_may_be_running(tmp_path: Path) -> None:
    script = tmp_path / "lxcri"
    script.write_text("old")
    with script.open() as old:
        entry.write(str(script), "/usr/bin/python3", ["/a"])
        assert old.read() == "old"
    assert script.read_text().startswith("#!/usr/bin/python3 -IS\n")
    assert os.listdir(tmp_path) == ["lxcri"]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    """Where a command is to be."""
    (tmp_path / "bin").mkdir()
    return tmp_path / "bin" / "lxcri"


def test_program_that_is_compiled(script: Path) -> None:
    """It has the command line, and is found from everywhere, as what is written as a text."""
    words = str(script), os.path.realpath(sys.executable), [fake_package(script.parent.parent / "packages")]
    for _ in range(2):
        assert entry.write_faster(*words)
        done = run(script, "a", "b c", "", "--", "-c", PYTHONPATH="/nonexistent")
        assert (done.returncode, done.stdout) == (3, "1 1 False ['a', 'b c', '', '--', '-c']\n"), done.stderr
    assert stat.S_IMODE(script.stat().st_mode) == 0o755
    assert os.listdir(script.parent) == ["lxcri"]
    link = script.parent.parent / "link"
    link.symlink_to(script)
    assert run(link, "a").stdout == "1 1 False ['a']\n"


def test_program_with_an_archive(script: Path) -> None:
    """It imports all of lxcri from there; whatever becomes of the archive, it works without."""
    archive = script.parent / "archive"
    words = str(archive), entry.write_archive(str(archive))
    assert entry.write_faster(str(script), os.path.realpath(sys.executable), entry.package_paths(), *words)
    assert run(script, "--version").stdout.startswith("lxcri version ")
    whole = archive.read_bytes()
    for data in (whole[:size] for size in (0, 5, 8, 20, 1000)):
        archive.write_bytes(data)
        done = run(script, "--version")
        assert (done.stdout.startswith("lxcri version "), done.stderr) == (True, "")
    archive.unlink()
    assert run(script, "--version").stdout.startswith("lxcri version ")


def test_interpreter_of_its_own_imports_what_the_interpreter_does(tmp_path: Path) -> None:
    """From where that does, and each module says so."""
    real = os.path.realpath(sys.executable)
    entry.write_interpreter(str(tmp_path), real)
    own = str(tmp_path / os.path.basename(real))
    program = (
        "import sys, os, json, ctypes, encodings.idna, encodings.latin_1\n"
        "files = [module.__file__ for module in (os, json, ctypes, encodings.idna, encodings.latin_1)]\n"
        "print(json.dumps([sys.path, [*map(os.path.realpath, files)], sys.flags.no_site]))"
    )
    told = [
        json.loads(subprocess.run([python, "-IS", "-c", program], check=True, capture_output=True).stdout)
        for python in (own, real)
    ]
    assert told[0][0] == [str(tmp_path), *filter(os.path.exists, told[1][0])]
    assert told[0][1:] == told[1][1:]
    names = [os.path.basename(real), f"{os.path.basename(real)}._pth", "encodings", sys.platlibdir]
    assert sorted(os.listdir(tmp_path)) == sorted(names)


def test_interpreter_of_its_own_only_beside_a_bin(tmp_path: Path) -> None:
    assert not entry.write_faster(str(tmp_path / "lxcri"), sys.executable, ["/a"])
    assert os.listdir(tmp_path) == []


def test_interpreter_of_its_own_that_cannot_be_written(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lib = script.parent.parent / "lib"
    lib.touch()
    assert not entry.write_faster(str(script), sys.executable, ["/a"])
    assert capsys.readouterr().err == (
        f"lxcri.entry: {lib}/lxcri: Not a directory; without it the command starts more slowly\n"
    )
    assert not script.exists()
