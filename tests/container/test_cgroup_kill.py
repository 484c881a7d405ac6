"""What does not want to die: fork bombs and frozen containers, with cgroup.kill and without."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

import pytest
from oci import cgroup, process

if TYPE_CHECKING:
    from oci.bundle import Bundle
    from oci.runtime import Container

SECONDS = process.TIMEOUT / 10
"""Two, within which a container has to be gone, whatever is in it. On an idle machine all take a quarter of it."""

WITHOUT_CGROUP2 = ["unshare", "--mount", "sh", "-c", 'umount -n /sys/fs/cgroup/unified && exec "$@"', "sh"]


def hidden(what: str) -> list[str]:
    """A command in front of create, so that the container has no cgroup of this kind."""
    if what == "nothing":
        return []
    if "freezer" not in cgroup.mounts() or "" not in cgroup.mounts():
        pytest.skip("needs the freezers of both versions")
    return WITHOUT_CGROUP2


HIDDEN = pytest.mark.parametrize("what", ["nothing", "cgroup2"])


def up(container: Container, what: str) -> None:
    container.create(wrapper=hidden(what))
    container.start()


def processes(container: Container) -> int:
    """How many there are, zombies too."""
    return int(cgroup.read(container.pid, "pids", "pids.current"))


def wait_for_bomb(container: Container) -> None:
    """Forks fail by now, which has no pause: hundreds of processes never stop to fork and to die."""
    deadline = time.monotonic() + 60
    while processes(container) < 950:
        assert time.monotonic() < deadline, processes(container)
        time.sleep(0.05)


@HIDDEN
@pytest.mark.parametrize("how", ["kill and delete", "delete --force", "init alone"])
def test_a_fork_bomb_of_1000_processes(bundle: Bundle, what: str, how: str) -> None:
    """Killed and deleted in time; without a pid namespace the death of init does not help."""
    bundle.resources["pids"] = {"limit": 1000}
    if how == "init alone":
        bundle.without_namespace("pid")
    container = bundle.shell("bomb() { bomb | bomb & }; bomb; while :; do sleep 1; done 2>/dev/null")
    up(container, what)
    wait_for_bomb(container)
    before = time.monotonic()
    if how == "kill and delete":
        container.runtime.call("kill", "--all", container.id, "KILL").ok()
        assert container.wait() == -signal.SIGKILL
        container.delete().ok()
    elif how == "delete --force":
        container.delete("--force").ok()
    else:
        container.kill("KILL").ok()
        assert container.wait() == -signal.SIGKILL
        container.delete().ok()
    assert time.monotonic() - before < SECONDS


@HIDDEN
@pytest.mark.parametrize("how", ["kill and delete", "kill --all and delete", "delete --force"])
def test_a_frozen_container(bundle: Bundle, what: str, how: str) -> None:
    """With a hundred processes."""
    script = "i=0; while [ $i -lt 100 ]; do sleep 1000 & i=$((i+1)); done; echo up; wait"
    container = bundle.shell(script)
    up(container, what)
    container.wait_output("up")
    container.runtime.call("pause", container.id).ok()
    assert container.status() == "paused"
    before = time.monotonic()
    if how == "delete --force":
        container.delete("--force").ok()
    else:
        options = ["--all"] if "--all" in how else []
        container.runtime.call("kill", *options, container.id, "KILL").ok()
        assert container.wait() == -signal.SIGKILL
        container.delete().ok()
    assert time.monotonic() - before < SECONDS
