"""What `exec` makes of a process document."""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from lxcri.channel import ClosedError
from lxcri.errors import Error
from lxcri.execution import Execution
from lxcri.spec import Process
from lxcri.verbs.exec import number, read_process

if TYPE_CHECKING:
    from pathlib import Path


def test_a_label_that_a_file_does_not_say(tmp_path: Path) -> None:
    """It is the container's, as with runc; an AppArmor profile is not."""
    path = tmp_path / "process.json"
    of_container = Process(cwd="/", apparmor_profile="profile", selinux_label="label")
    path.write_text('{"args": ["x"], "cwd": "/"}')
    process = read_process(str(path), of_container)
    assert (process.apparmor_profile, process.selinux_label) == (None, "label")
    path.write_text('{"args": ["x"], "cwd": "/", "apparmorProfile": "other", "selinuxLabel": "other"}')
    process = read_process(str(path), of_container)
    assert (process.apparmor_profile, process.selinux_label) == ("other", "other")


def test_a_failure_that_crosses_what_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """The helper has told why it ends, and is gone before it could be told anything."""
    anything: Any = SimpleNamespace(pid=1)
    execution = Execution(anything, anything, anything, -1)

    def fork(helper: int) -> None:
        execution.pid = os.fork()
        if not execution.pid:
            os._exit(0)
        execution._channel.send_failure("this is why")
        execution._channel.inner.close()

    def guide(*arguments: Any) -> None:
        raise ClosedError

    monkeypatch.setattr(execution, "_fork", fork)
    monkeypatch.setattr(execution, "_guide", guide)
    with pytest.raises(Error, match="this is why"):
        execution.start(Process(cwd="/"), None, None)


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("1000", 1000), ("0001000", 1000), ("4294967295", 2**32 - 1)])
def test_id(text: str, value: int) -> None:
    assert number(text, "--user") == value


@pytest.mark.parametrize("text", ["", "-1", "+1", "1 ", "root", "\u0661", "4294967296", "1" * 5000])
def test_no_id(text: str) -> None:
    """Python converts no more than 4300 digits."""
    with pytest.raises(Error) as error:
        number(text, "--user")
    assert str(error.value) == f'--user: "{text}" is not an id'
