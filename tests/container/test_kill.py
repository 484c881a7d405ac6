"""The verb kill."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest
from oci import process

if TYPE_CHECKING:
    from oci.bundle import Bundle
    from oci.runtime import Container


def trapping(bundle: Bundle, *names: str) -> Container:
    """A container that says which of these signals it got."""
    traps = "; ".join(f"trap 'echo got-{name}' {name}" for name in names)
    container = bundle.shell(f"{traps}; echo up; while :; do sleep 1000 & wait; done").up()
    container.wait_output("up")
    return container


@pytest.mark.parametrize("name", ["USR1", "SIGUSR1", "usr1", "sigusr1", str(int(signal.SIGUSR1))])
def test_signal_by_name_or_number(bundle: Bundle, name: str) -> None:
    """With or without SIG, in any case, or as a number."""
    container = trapping(bundle, "USR1")
    container.kill(name).ok()
    container.wait_output("got-USR1")


@pytest.mark.parametrize("arguments", [(), ("",)])
def test_default_is_term(bundle: Bundle, arguments: tuple[str, ...]) -> None:
    """Without a signal, or with an empty one."""
    container = trapping(bundle, "TERM")
    container.kill(*arguments).ok()
    container.wait_output("got-TERM")


@pytest.mark.parametrize("name", ["HUP", "INT", "QUIT", "WINCH", "CONT", "USR2", "ALRM", "PIPE"])
def test_signals_reach_the_process(bundle: Bundle, name: str) -> None:
    """Each one; HUP does not restart the container, PIPE and WINCH are not lost."""
    container = trapping(bundle, name)
    container.kill(name).ok()
    container.wait_output(f"got-{name}")
    assert container.status() == "running"


def test_realtime_signal(bundle: Bundle) -> None:
    """By number."""
    container = trapping(bundle, "40")
    container.kill("40").ok()
    container.wait_output("got-40")


def test_kill_ends_the_container(bundle: Bundle) -> None:
    """KILL, with everything in its pid namespace."""
    container = bundle.container("/bin/sleep", "100").up()
    container.kill("KILL").ok()
    assert container.wait() == -signal.SIGKILL
    assert container.status() == "stopped"


def test_signal_zero_checks(bundle: Bundle) -> None:
    """Nothing is sent."""
    container = bundle.container("/bin/sleep", "100").up()
    container.kill("0").ok()
    assert container.status() == "running"


def test_created_container_can_be_killed(bundle: Bundle) -> None:
    """Between create and start."""
    container = bundle.container("/bin/true")
    container.create()
    container.kill("KILL").ok()
    assert container.wait() == -signal.SIGKILL


def test_created_container_dies_of_term(bundle: Bundle) -> None:
    """``podman stop`` of a container that was only created."""
    container = bundle.container("/bin/true")
    container.create()
    container.kill("TERM").ok()
    assert container.wait() != 0


@pytest.mark.parametrize("name", ["NOSUCH", "SIGFOO", "SIG", "99", "-1", "65", "9x"])
def test_unknown_signal_is_an_error(bundle: Bundle, name: str) -> None:
    """Nothing is sent."""
    container = bundle.container("/bin/sleep", "100").up()
    result = bundle.runtime.call("kill", "--", container.id, name)
    result.refused(where=name)
    assert container.status() == "running"


def test_stopped_container(bundle: Bundle) -> None:
    """containerd looks for 'container not running'."""
    container = bundle.container("/bin/true").up()
    container.wait()
    container.kill("KILL").refused("container not running")
    container.kill("0").refused("container not running")


def test_zombie_is_not_running(bundle: Bundle) -> None:
    """Dead, but not reaped yet."""
    container = bundle.container("/bin/true").up()
    assert process.ended(container.pid)
    container.kill("TERM").refused("container not running")


def test_all_of_a_stopped_container(bundle: Bundle) -> None:
    """containerd sends it after the end, and expects success."""
    container = bundle.container("/bin/true").up()
    container.wait()
    bundle.runtime.call("kill", "--all", container.id, "KILL").ok()


@pytest.mark.parametrize("option", ["--all", "-a"])
def test_all_reaches_every_process(bundle: Bundle, option: str) -> None:
    """Not only init: what shares the host's pid namespace too."""
    bundle.without_namespace("pid")
    container = bundle.shell("sleep 100 & setsid sleep 100 & echo $! up; wait; sleep 100").up()
    orphan = int(container.wait_output("up").split()[0])
    bundle.runtime.call("kill", option, container.id, "KILL").ok()
    assert container.wait() == -signal.SIGKILL
    assert process.ended(orphan)


def test_without_all_only_init_gets_it(bundle: Bundle) -> None:
    """Its children live on, where the pid namespace is not their own."""
    bundle.without_namespace("pid")
    container = bundle.shell("setsid sleep 100 & echo $! up; wait").up()
    orphan = int(container.wait_output("up").split()[0])
    container.kill("TERM").ok()
    container.wait()
    assert not process.ended(orphan, timeout=0)
    os.kill(orphan, signal.SIGKILL)
    process.reap(orphan)


def test_unknown_container(bundle: Bundle) -> None:
    """containerd looks for 'does not exist'."""
    bundle.runtime.call("kill", "no-such-container", "KILL").refused("does not exist", where="no-such-container")


def test_signals_in_a_user_namespace(bundle: Bundle) -> None:
    """The mapped root gets them too."""
    bundle.user_namespace()
    os.chmod(bundle.path, 0o755)
    container = trapping(bundle, "USR1")
    container.kill("USR1").ok()
    container.wait_output("got-USR1")
