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


def test_interpreter_of_its_own(tmp_path: Path) -> None:
    """It imports all that the interpreter does, from where that does, and each module says so."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "lxcri"
    python = entry.interpreter(str(script))
    assert python == entry.interpreter(str(script)) == f"{tmp_path}/lib/lxcri/{Path(sys.executable).resolve().name}"
    entry.write(str(script), python, entry.package_paths())
    assert script.read_text().startswith(f"#!{python} -IS\n")
    done = run(script, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    program = (
        "import sys, os, json, ctypes, encodings.idna, encodings.latin_1\n"
        "files = [module.__file__ for module in (os, json, ctypes, encodings.idna, encodings.latin_1)]\n"
        "print(json.dumps([sys.path, [*map(os.path.realpath, files)], sys.flags.no_site]))"
    )
    told = [
        json.loads(subprocess.run([program_of, "-IS", "-c", program], check=True, capture_output=True).stdout)
        for program_of in (python, os.path.realpath(sys.executable))
    ]
    assert told[0][0] == [f"{tmp_path}/lib/lxcri", *filter(os.path.exists, told[1][0])]
    assert told[0][1:] == told[1][1:]
    assert sorted(os.listdir(tmp_path / "lib" / "lxcri")) == sorted(
        [os.path.basename(python), f"{os.path.basename(python)}._pth", "encodings", sys.platlibdir]
    )


def test_interpreter_of_its_own_only_beside_a_bin(tmp_path: Path) -> None:
    assert entry.interpreter(str(tmp_path / "lxcri")) == os.path.realpath(sys.executable)
    assert os.listdir(tmp_path) == []


def test_interpreter_of_its_own_that_cannot_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "lib").touch()
    assert entry.interpreter(str(tmp_path / "bin" / "lxcri")) == os.path.realpath(sys.executable)
    assert capsys.readouterr().err == (
        f"lxcri.entry: {tmp_path}/lib/lxcri: Not a directory; without it the command starts more slowly\n"
    )
