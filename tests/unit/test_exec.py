"""What `exec` makes of a process document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lxcri.spec import Process
from lxcri.verbs.exec import read_process

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
