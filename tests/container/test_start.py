"""The verb start."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from oci.bundle import Bundle


def test_start_returns_at_once(bundle: Bundle) -> None:
    """It does not wait for the process."""
    container = bundle.container("/bin/sleep", "100").up()
    assert container.status() == "running"


@pytest.mark.lxcri_only("others return before")
def test_start_returns_when_the_program_is_executed(bundle: Bundle) -> None:
    """So an execve that fails is start's error."""
    container = bundle.container("/bin/sleep", "100")
    container.create()
    container.attempt_start().ok()
    assert container.proc("comm") == "sleep\n"


def test_unknown_container(bundle: Bundle) -> None:
    """containerd looks for 'does not exist'."""
    bundle.runtime.call("start", "no-such-container").refused("does not exist", where="no-such-container")


def test_running_container(bundle: Bundle) -> None:
    """start of what runs is an error, and has no effect on it."""
    container = bundle.shell("echo ran; exec sleep 100").up()
    container.wait_output("ran")
    container.attempt_start().refused("cannot start an already running container")
    assert container.status() == "running"
    assert container.output() == "ran\n"


def test_stopped_container(bundle: Bundle) -> None:
    """It is not run again."""
    container = bundle.shell("echo ran").up()
    container.wait()
    container.attempt_start().refused("cannot start a container that has stopped")
    assert container.output() == "ran\n"


def test_container_killed_before_start(bundle: Bundle) -> None:
    """Created, killed: it is stopped, and cannot be started."""
    container = bundle.shell("echo ran")
    container.create()
    container.kill("KILL").ok()
    container.wait()
    assert container.status() == "stopped"
    container.attempt_start().refused("cannot start a container that has stopped")


def test_exec_format_error(bundle: Bundle) -> None:
    """What execve refuses: start fails (lxcri), and the container is stopped."""
    path = f"{bundle.rootfs}/bin/garbage"
    with open(path, "w") as file:
        file.write("\x7fELF but not really")
    os.chmod(path, 0o755)
    container = bundle.container("/bin/garbage")
    container.create()
    result = container.attempt_start()
    container.wait()
    assert container.status() == "stopped"
    if bundle.runtime.is_lxcri:
        result.refused("exec format error", where="/bin/garbage")


def test_program_is_found_again_at_start(bundle: Bundle) -> None:
    """The file of create is the one that runs, or start says that it is gone."""
    container = bundle.container("/bin/own")
    os.link(f"{bundle.rootfs}/bin/probe", f"{bundle.rootfs}/bin/own")
    container.create()
    os.unlink(f"{bundle.rootfs}/bin/own")
    result = container.attempt_start()
    container.wait()
    if bundle.runtime.is_lxcri and result.returncode != 0:
        result.refused("no such file or directory", where="/bin/own")
    assert container.status() == "stopped"


def test_start_with_the_callers_stdio_gone(bundle: Bundle) -> None:
    """start's own stdio has nothing to do with the container's."""
    container = bundle.shell("echo to-create")
    container.create()
    result = bundle.runtime.call("start", container.id, wrapper=("/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"))
    assert result.returncode == 0
    container.wait()
    assert container.output() == "to-create\n"
