"""The runtime's own configuration file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from lxcri.configuration import Configuration, load_configuration
from lxcri.errors import Error
from lxcri.spec import Hook, Hooks

if TYPE_CHECKING:
    from pathlib import Path


def load(tmp_path: Path, text: str) -> Configuration:
    path = tmp_path / "lxcri.json"
    path.write_text(text)
    return load_configuration(str(path))


def test_no_file(tmp_path: Path) -> None:
    """All is on, and there are no hooks."""
    found = load_configuration(str(tmp_path / "gone"))
    assert found == Configuration(apparmor=True, capabilities=True, cgroup_devices=True, seccomp=True, hooks=None)


def test_empty_object(tmp_path: Path) -> None:
    assert load(tmp_path, "{}") == Configuration()


@pytest.mark.parametrize("name", ["apparmor", "capabilities", "cgroupDevices", "seccomp"])
def test_switch(tmp_path: Path, name: str) -> None:
    field = {"cgroupDevices": "cgroup_devices"}.get(name, name)
    assert load(tmp_path, f'{{"{name}": false}}') == Configuration(**{field: False})  # type: ignore[arg-type]
    assert load(tmp_path, f'{{"{name}": true}}') == Configuration()


def test_hooks(tmp_path: Path) -> None:
    """As in config.json."""
    hook = '{"path": "/a", "args": ["a"], "env": ["B=1"], "timeout": 3}'
    found = load(tmp_path, f'{{"hooks": {{"createRuntime": [{hook}]}}}}')
    assert found.hooks == Hooks(create_runtime=[Hook("/a", args=["a"], env=["B=1"], timeout=3)])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('{"seccomp": 1}', "$.seccomp: expected `bool`, got `int`"),
        ('{"seccmp": false}', "$: object contains unknown field `seccmp`"),
        ('{"hooks": {"prestart": [{}]}}', "$.hooks.prestart[0]: object missing required field `path`"),
        ('{"hooks": {"prestart": [{"path": "/a\\u0000"}]}}', "$.hooks.prestart[0].path: expected `str` without NUL"),
        ('{"timeout": 0}', "$.timeout: expected `float` > 0.0"),
        ('{"timeout": 1e30}', "$.timeout: expected `float` <= 1000000000.0"),
        ("[]", "$: expected `object`, got `array`"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, problem: str) -> None:
    """A misspelt switch is not an absent one."""
    with pytest.raises(Error) as error:
        load(tmp_path, text)
    assert str(error.value) == f"{tmp_path}/lxcri.json: {problem}"


@pytest.mark.parametrize("text", ["", "{", '{"seccomp": fals}'])
def test_what_is_no_json(tmp_path: Path, text: str) -> None:
    with pytest.raises(Error) as error:
        load(tmp_path, text)
    assert str(error.value).startswith(f"{tmp_path}/lxcri.json: ")


def test_file_that_cannot_be_read(tmp_path: Path) -> None:
    """Only a file that is not there is none."""
    for path, problem in ((tmp_path, "is a directory"), (tmp_path / "loop", "too many levels of symbolic links")):
        if path.name == "loop":
            os.symlink("loop", path)
        with pytest.raises(Error) as error:
            load_configuration(str(path))
        assert str(error.value) == f"{path}: {problem}"
