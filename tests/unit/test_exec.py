"""What `exec` makes of a process document."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lxcri.spec import Process
from lxcri.verbs.exec import read_process

if TYPE_CHECKING:
    from pathlib import Path


def test_labels_that_a_file_does_not_say(tmp_path: Path) -> None:
    """They are the container's, or a process of another program would be less confined."""
    path = tmp_path / "process.json"
    path.write_text('{"args": ["x"], "cwd": "/"}')
    process = read_process(str(path), Process(cwd="/", apparmor_profile="profile", selinux_label="label"))
    assert (process.apparmor_profile, process.selinux_label) == ("profile", "label")
    path.write_text('{"args": ["x"], "cwd": "/", "apparmorProfile": "other", "selinuxLabel": "other"}')
    process = read_process(str(path), Process(cwd="/", apparmor_profile="profile", selinux_label="label"))
    assert (process.apparmor_profile, process.selinux_label) == ("other", "other")
