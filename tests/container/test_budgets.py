"""What the verbs that engines call in a loop may cost, in what can be counted: system calls and imports.

Times depend on the machine and on who else uses it; these do not. Where a budget is exceeded for a good reason, raise
it here; where less is used, lower it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from oci import process

from lxcri import entry
from lxcri.cgroup.layout import detect

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from oci.bundle import Bundle

TOLERANCE = 1.05

SYSCALLS = {  # by verb: beyond those of an interpreter that does nothing; and for each hierarchy of cgroups
    "create": (447, 7),
    "state": (72, 0),
    "start": (83, 0),
    "kill": (69, 0),
    "delete": (105, 1),
}

MODULES_OF_CREATE = 138
"""With the interpreter's own, and those that msgspec imports."""

NEVER = {"msgspec", "click", "re", "enum", "typing", "json"}

pytestmark = [
    pytest.mark.lxcri_only("a runtime's own budget"),
    pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed"),
]


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """The command as lxcri.entry writes it, with an archive that is up to date, and a state directory of its own."""
    path = tmp_path / "archive"
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "lxcri"
    words = str(path), entry.write_archive(str(path))
    assert entry.write_faster(str(script), os.path.realpath(sys.executable), entry.package_paths(), *words)
    return [str(script), "--root", str(tmp_path / "root")]


def interpreter(command: list[str]) -> str:
    """The one that runs a command."""
    with open(command[0], encoding="utf-8") as script:
        return script.readline().removeprefix("#!").split()[0]


@pytest.fixture
def counted(tmp_path: Path) -> Callable[..., int]:
    """How many system calls a command makes, without its children's."""

    def count(*words: str) -> int:
        table = tmp_path / "strace"
        with open(tmp_path / "out", "w") as out:
            subprocess.run(
                ["strace", "-c", "-o", table, *words], check=True, env={}, stdin=subprocess.DEVNULL, stdout=out,
                stderr=out, timeout=process.TIMEOUT,
            )  # fmt: skip
        return int(table.read_text().splitlines()[-1].split()[3])

    return count


@pytest.fixture
def name(tmp_path: Path) -> str:
    """A container's name, and that of its cgroups, that no test beside this one has."""
    return f"budget-{os.getpid()}-{tmp_path.name}"


def hierarchies() -> int:
    """How many hierarchies of cgroups there are."""
    layout = detect()
    return len(set(layout.controllers.values())) + (layout.unified is not None)


def test_system_calls(bundle: Bundle, command: list[str], counted: Callable[..., int], name: str) -> None:
    bundle.process["args"] = ["/bin/sleep", "100"]
    bundle.write()
    bare = counted(interpreter(command), "-IS", "-c", "pass")
    words = {
        "create": ("--bundle", bundle.path, name),
        "state": (name,),
        "start": (name,),
        "kill": (name, "WINCH"),  # with SIGKILL it looks into the cgroup too
        "delete": (name,),
    }
    subprocess.run([*command, "state", name], check=False, capture_output=True)  # has what is compiled compiled
    used: dict[str, int] = {}
    try:
        for verb, arguments in words.items():
            used[verb] = counted(*command, verb, *arguments) - bare
            if verb == "kill":
                subprocess.run([*command, "kill", name, "KILL"], check=True)
                process.wait_for(lambda: not process.children(), "the end of the container")
    finally:
        subprocess.run([*command, "delete", "--force", name], check=False, capture_output=True)
    allowed = {verb: TOLERANCE * (fixed + each * hierarchies()) for verb, (fixed, each) in SYSCALLS.items()}
    assert {verb: count for verb, count in used.items() if count > allowed[verb]} == {}, used


AT_EXIT = """
import posix, sys
report = sys.argv.pop(1)
def finish(status, end=posix._exit):
    with open(report, "w") as file:
        print(*[name for name, module in sys.modules.items() if module], file=file)
    end(status)
posix._exit = finish
import lxcri_command
"""
"""Runs the command and, when it ends, writes the names of the modules there are, however they were imported."""


def imports(words: list[str], report: Path) -> set[str]:
    """The modules that a command imports; interpreter's own ones too."""
    with open(report.with_suffix(".out"), "w") as out:
        subprocess.run(
            [interpreter(words), "-IS", "-c", AT_EXIT, str(report), *words], check=True, env={},
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, timeout=process.TIMEOUT,
        )  # fmt: skip
    return set(report.read_text().split())


def test_imports(bundle: Bundle, command: list[str], tmp_path: Path, name: str) -> None:
    bundle.process["args"] = ["/bin/sleep", "100"]
    bundle.write()
    try:
        of_create = imports([*command, "create", "--bundle", bundle.path, name], tmp_path / "report")
        for words in (["state"], ["start"], ["kill"], ["delete", "--force"]):
            assert not imports([*command, *words, name], tmp_path / "report") & NEVER, words
    finally:
        subprocess.run([*command, "delete", "--force", name], check=False, capture_output=True)
    assert "msgspec" in of_create
    assert not of_create & {"click", "json", "inspect", "subprocess", "pathlib"}
    assert len(of_create) <= TOLERANCE * MODULES_OF_CREATE
