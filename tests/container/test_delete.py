"""The verb delete."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from oci import process

if TYPE_CHECKING:
    from oci.bundle import Bundle


def test_stopped_container(bundle: Bundle) -> None:
    """Nothing of it is left; the check after each test looks for more."""
    container = bundle.container("/bin/true").up()
    container.wait()
    container.delete().ok()
    assert bundle.runtime.containers() == []


def test_running_container_is_refused(bundle: Bundle) -> None:
    """... and not touched."""
    container = bundle.container("/bin/sleep", "100").up()
    container.delete().refused(f"cannot delete container {container.id} that is not stopped: running")
    assert container.status() == "running"


@pytest.mark.parametrize("option", ["--force", "-f"])
def test_force_kills(bundle: Bundle, option: str) -> None:
    """A running container is killed first."""
    container = bundle.container("/bin/sleep", "100").up()
    container.delete(option).ok()
    assert container.wait(timeout=0.5) == -signal.SIGKILL
    assert bundle.runtime.containers() == []


def test_force_kills_what_ignores_signals(bundle: Bundle) -> None:
    """SIGKILL is used."""
    container = bundle.shell("trap '' TERM INT HUP; echo up; while :; do sleep 100 & wait; done").up()
    container.wait_output("up")
    container.delete("--force").ok()
    assert container.wait(timeout=0.5) == -signal.SIGKILL


@pytest.mark.runc_differs("1.1 kills and deletes it")
def test_created_container_is_refused(bundle: Bundle) -> None:
    """runtime.md: delete of a container that is not stopped MUST have no effect and MUST generate an error."""
    container = bundle.container("/bin/true")
    container.create()
    container.delete().refused(f"cannot delete container {container.id} that is not stopped: created")
    assert container.status() == "created"


def test_created_container_with_force(bundle: Bundle) -> None:
    """It is killed first."""
    container = bundle.container("/bin/true")
    container.create()
    container.delete("--force").ok()
    container.wait(timeout=0.5)
    assert bundle.runtime.containers() == []


def test_unknown_container(bundle: Bundle) -> None:
    """containerd tolerates 'does not exist'."""
    bundle.runtime.call("delete", "no-such-container").refused("does not exist", where="no-such-container")


def test_force_on_an_unknown_container(bundle: Bundle) -> None:
    """podman and containerd do that after each container, and expect success and silence."""
    result = bundle.runtime.call("delete", "--force", "no-such-container").ok()
    assert result.stdout == ""


def test_force_when_there_was_never_a_container(bundle: Bundle) -> None:
    """The state directory does not exist."""
    root = os.path.join(bundle.path, "never")
    bundle.runtime.call("delete", "--force", "x", options=("--root", root)).ok()


def test_twice(bundle: Bundle) -> None:
    """The second time it is unknown."""
    container = bundle.container("/bin/true").up()
    container.wait()
    container.delete().ok()
    container.delete().refused("does not exist")


def test_zombie_can_be_deleted(bundle: Bundle) -> None:
    """The engine may delete before it reaps."""
    container = bundle.container("/bin/true").up()
    assert process.ended(container.pid)
    container.delete().ok()


def test_delete_leaves_bundle_and_volumes(bundle: Bundle) -> None:
    """Only what create made is removed."""
    source = bundle.directory("volume")
    bundle.file("volume/kept")
    bundle.bind(source, "/volume")
    container = bundle.shell("touch /volume/new /new").up()
    container.wait()
    container.delete().ok()
    assert sorted(os.listdir(source)) == ["kept", "new"]
    assert os.path.exists(os.path.join(bundle.rootfs, "new"))


def test_delete_when_the_bundle_is_gone(bundle: Bundle) -> None:
    """Engines remove it first, sometimes."""
    container = bundle.container("/bin/true").up()
    container.wait()
    os.rename(bundle.rootfs, bundle.rootfs + "-away")
    os.unlink(os.path.join(bundle.path, "config.json"))
    container.delete().ok()


def test_force_with_many_processes(bundle: Bundle) -> None:
    """All are gone, and so is the cgroup."""
    container = bundle.shell("for i in $(seq 50); do sleep 100 & done; echo up; wait").up()
    container.wait_output("up")
    container.delete("--force").ok()


def test_force_with_many_processes_of_the_hosts_pid_namespace(bundle: Bundle) -> None:
    """Killing init does not end them; the cgroup tells who they are."""
    bundle.without_namespace("pid")
    container = bundle.shell("for i in $(seq 50); do setsid sleep 100 & done; echo up; wait").up()
    container.wait_output("up")
    container.delete("--force").ok()


@pytest.mark.lxcri_only("the state directory is its own")
def test_half_made_container_is_removed_by_force(bundle: Bundle) -> None:
    """A create that died: a directory without a state file."""
    identity = bundle.runtime.new_id()
    os.makedirs(os.path.join(bundle.runtime.root, identity), mode=0o700)
    bundle.runtime.call("delete", "--force", identity).ok()
    assert bundle.runtime.containers() == []


@pytest.mark.lxcri_only("the state directory is its own")
def test_delete_does_not_follow_symlinks(bundle: Bundle) -> None:
    """In the state directory."""
    precious = bundle.directory("precious")
    bundle.file("precious/file")
    identity = bundle.runtime.new_id()
    directory = os.path.join(bundle.runtime.root, identity)
    os.makedirs(os.path.join(directory, "sub"), mode=0o700)
    os.symlink(precious, os.path.join(directory, "sub/link"))
    bundle.runtime.call("delete", "--force", identity).ok()
    assert os.listdir(precious) == ["file"]
