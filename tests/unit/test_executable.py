"""Where the programs are that verbs run."""

from __future__ import annotations

import os
import posix
from typing import TYPE_CHECKING

import pytest

from lxcri.executable import PATH, find_executable

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def directories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Three directories, which are PATH; in the second and third there is a program."""
    found = [tmp_path / name for name in ("first", "second", "third")]
    for directory in found:
        directory.mkdir()
    for directory in found[1:]:
        (directory / "tool").touch(mode=0o755)
    monkeypatch.setitem(posix.environ, b"PATH", os.fsencode(":".join(map(str, found))))
    return found


def test_the_first_on_path_is_taken(directories: list[Path]) -> None:
    assert find_executable("tool") == str(directories[1] / "tool")
    assert find_executable("missing") == ""


def test_a_directory_is_no_program(directories: list[Path]) -> None:
    (directories[0] / "tool").mkdir()
    assert find_executable("tool") == str(directories[1] / "tool")


def test_an_empty_part_of_path_is_the_current_directory(
    directories: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(directories[2])
    monkeypatch.setitem(posix.environ, b"PATH", b":/bin")
    assert find_executable("tool") == "./tool"


@pytest.mark.parametrize("path", [None, b""])
def test_without_path_the_usual_directories_are_searched(path: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(posix.environ, b"PATH", raising=False)
    if path is not None:
        monkeypatch.setitem(posix.environ, b"PATH", path)
    assert os.path.dirname(find_executable("sh")) in PATH.split(":")
