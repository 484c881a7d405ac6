"""The verbs pause and resume, and what other verbs do with a paused container."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING

import pytest
from oci import cgroup, process
from oci.machine import mounted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.bundle import Bundle
    from oci.runtime import Container

COUNTING = "i=0; while :; do i=$((i+1)); echo n$i; usleep 2000; done"


def paused(bundle: Bundle, *args: str) -> Container:
    """A running container that was paused."""
    container = bundle.container(*(args or ("/bin/sleep", "100"))).up()
    bundle.runtime.call("pause", container.id).ok()
    return container


def test_nothing_runs_until_resume(bundle: Bundle) -> None:
    """All processes stop, and go on where they were."""
    container = bundle.shell(COUNTING).up()
    container.wait_output("n3\n")
    bundle.runtime.call("pause", container.id).ok()
    before = container.output()
    time.sleep(0.05)
    assert container.output() == before
    bundle.runtime.call("resume", container.id).ok()
    process.wait_for(lambda: container.output() != before, "output after resume")


def test_both_say_nothing(bundle: Bundle) -> None:
    """No output when they succeed."""
    container = bundle.container("/bin/sleep", "100").up()
    for verb in ("pause", "resume"):
        result = bundle.runtime.call(verb, container.id).ok()
        assert (result.stdout, result.stderr) == ("", "")


def test_every_process_stops(bundle: Bundle) -> None:
    """Not only init."""
    container = bundle.shell(f"({COUNTING}) & wait").up()
    container.wait_output("n3\n")
    bundle.runtime.call("pause", container.id).ok()
    before = container.output()
    time.sleep(0.05)
    assert container.output() == before


def test_state_and_list_say_paused(bundle: Bundle) -> None:
    """With the pid, and running again afterwards."""
    container = paused(bundle)
    state = container.state()
    assert (state["status"], state["pid"]) == ("paused", container.pid)
    listed = json.loads(bundle.runtime.call("list", "--format", "json").ok().stdout)
    assert [(one["status"], one["pid"]) for one in listed] == [("paused", container.pid)]
    bundle.runtime.call("resume", container.id).ok()
    assert container.status() == "running"


def test_a_paused_container_cannot_be_paused(bundle: Bundle) -> None:
    """runc's words; it stays paused."""
    container = paused(bundle)
    bundle.runtime.call("pause", container.id).refused("container not running")
    assert container.status() == "paused"


def test_a_running_container_cannot_be_resumed(bundle: Bundle) -> None:
    """docker sends it before each removal by force, and looks for nothing in the text."""
    container = bundle.container("/bin/sleep", "100").up()
    bundle.runtime.call("resume", container.id).refused("container not paused")
    assert container.status() == "running"


def test_a_stopped_container(bundle: Bundle) -> None:
    """It is neither running nor paused."""
    container = bundle.container("/bin/true").up()
    container.wait()
    bundle.runtime.call("pause", container.id).refused("container not running")
    bundle.runtime.call("resume", container.id).refused("container not paused")


def test_unknown_container(bundle: Bundle) -> None:
    """containerd looks for 'does not exist'."""
    for verb in ("pause", "resume"):
        bundle.runtime.call(verb, "no-such-container").refused("does not exist", where="no-such-container")


def test_start_of_a_paused_container_is_refused(bundle: Bundle) -> None:
    """Also of one that was created only; its program does not run when it is resumed, but when it is started."""
    container = bundle.shell("echo ran")
    container.create()
    bundle.runtime.call("pause", container.id).ok()
    assert container.status() == "paused"
    container.attempt_start().refused("cannot start a container in the paused state")
    bundle.runtime.call("resume", container.id).ok()
    assert container.status() == "created"
    assert container.output() == ""
    container.attempt_start().ok()
    container.wait_output("ran")
    assert container.wait() == 0


def test_start_of_a_running_container_that_is_paused(bundle: Bundle) -> None:
    """The same words."""
    paused_container = paused(bundle)
    paused_container.attempt_start().refused("cannot start a container in the paused state")


def test_kill_ends_a_paused_container(bundle: Bundle) -> None:
    """KILL does not wait for resume."""
    container = paused(bundle)
    container.kill("KILL").ok()
    assert container.wait() == -signal.SIGKILL
    assert container.status() == "stopped"


def test_kill_all_ends_a_paused_container(bundle: Bundle) -> None:
    """With each process."""
    container = paused(bundle, "/bin/sh", "-c", "sleep 100 & wait")
    bundle.runtime.call("kill", "--all", container.id, "KILL").ok()
    assert container.wait() == -signal.SIGKILL


def test_other_signals_wait_for_resume(bundle: Bundle) -> None:
    """They are neither refused nor lost, and do not resume it."""
    container = bundle.shell("trap 'echo got; exit 3' TERM; echo up; while :; do sleep 1000 & wait; done").up()
    container.wait_output("up")
    bundle.runtime.call("pause", container.id).ok()
    container.kill("TERM").ok()
    assert container.status() == "paused"
    assert "got" not in container.output()
    bundle.runtime.call("resume", container.id).ok()
    assert container.wait() == 3


@pytest.mark.runc_differs("1.1 thaws what it has signalled, whether it was frozen before or not")
def test_all_but_kill_leaves_it_paused(bundle: Bundle) -> None:
    """kill --all freezes for a moment what it signals; what was frozen stays so."""
    container = paused(bundle)
    bundle.runtime.call("kill", "--all", container.id, "USR1").ok()
    assert container.status() == "paused"


def test_delete_needs_force(bundle: Bundle) -> None:
    """As for one that runs."""
    container = paused(bundle)
    container.delete().refused("paused", where=container.id)
    assert container.status() == "paused"
    container.delete("--force").ok()
    assert container.wait() == -signal.SIGKILL
    assert container.id not in bundle.runtime.containers()


def test_delete_force_of_a_paused_created_container(bundle: Bundle) -> None:
    """It is frozen before its program was started."""
    container = bundle.container("/bin/true")
    container.create()
    bundle.runtime.call("pause", container.id).ok()
    container.delete("--force").ok()
    assert container.wait() == -signal.SIGKILL


def test_pause_works_without_environment(bundle: Bundle) -> None:
    """podman calls it so."""
    container = bundle.container("/bin/sleep", "100").up()
    environment = {"XDG_RUNTIME_DIR": ""}
    bundle.runtime.call("pause", container.id, env=environment).ok()
    assert container.status() == "paused"
    bundle.runtime.call("resume", container.id, env=environment).ok()
    assert container.status() == "running"


def test_death_from_outside_ends_a_paused_container_when_it_is_thawed(bundle: Bundle) -> None:
    """The status follows what is, not what was asked for."""
    container = paused(bundle)
    os.kill(container.pid, signal.SIGKILL)
    bundle.runtime.call("resume", container.id)  # fails where the kernel kills frozen processes
    assert container.wait() == -signal.SIGKILL
    assert container.status() == "stopped"


@pytest.fixture
def without_v1_freezer(bundle: Bundle) -> Iterator[None]:
    """Where the freezer of v1 is not mounted, cgroup2's is there to take."""
    hierarchies = cgroup.mounts()
    if "" not in hierarchies or "freezer" not in hierarchies:
        pytest.skip("needs the freezers of both versions")
    with mounted("tmpfs", hierarchies["freezer"], "tmpfs", data="mode=755"):
        yield


@pytest.mark.lxcri_only("runc wants one version of cgroups for everything")
def test_the_freezer_of_cgroup2(bundle: Bundle, without_v1_freezer: None) -> None:
    """It takes over on a hybrid layout, too."""
    container = bundle.shell(COUNTING).up()
    container.wait_output("n3\n")
    bundle.runtime.call("pause", container.id).ok()
    assert cgroup.read(container.pid, "", "cgroup.freeze") == "1"
    before = container.output()
    time.sleep(0.05)
    assert container.output() == before
    assert container.status() == "paused"
    bundle.runtime.call("pause", container.id).refused("container not running")
    bundle.runtime.call("resume", container.id).ok()
    assert container.status() == "running"
    process.wait_for(lambda: container.output() != before, "output after resume")
    bundle.runtime.call("pause", container.id).ok()
    container.kill("KILL").ok()
    assert container.wait() == -signal.SIGKILL
    assert container.status() == "stopped"
    bundle.runtime.call("resume", container.id).refused("container not paused")


@pytest.mark.lxcri_only("runc wants one version of cgroups for everything")
def test_a_created_container_in_the_freezer_of_cgroup2(bundle: Bundle, without_v1_freezer: None) -> None:
    """As on v1; and it can be removed while it is frozen."""
    container = bundle.container("/bin/true")
    container.create()
    bundle.runtime.call("pause", container.id).ok()
    container.attempt_start().refused("cannot start a container in the paused state")
    container.delete("--force").ok()
    assert container.wait() == -signal.SIGKILL
