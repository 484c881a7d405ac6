"""NOTIFY_SOCKET (sd_notify(3)) and LISTEN_FDS (sd_listen_fds(3)) of the runtime's caller."""

from __future__ import annotations

import os
import socket
from typing import TYPE_CHECKING

import pytest
from oci import mountinfo, process
from oci.runtime import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.bundle import Bundle


class Listener:
    """A socket as systemd has it for one of its services."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.environment = {**ENVIRONMENT, "NOTIFY_SOCKET": path}
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(process.TIMEOUT)

    def lines(self, wanted: str) -> list[str]:
        """All lines until one of them begins like this."""
        found: list[str] = []
        while not any(line.startswith(wanted) for line in found):
            found += self.socket.recv(4096).decode().splitlines()
        return found


@pytest.fixture
def listener(bundle: Bundle) -> Iterator[Listener]:
    """Where the runtime's caller listens."""
    listener = Listener(os.path.join(bundle.path, "notify.sock"))
    with listener.socket:
        yield listener


def test_ready_reaches_the_caller(bundle: Bundle, listener: Listener) -> None:
    """The container's READY=1 arrives, with the pid of its init, and start has waited for it."""
    container = bundle.shell("/bin/probe notify READY=1; exec sleep 100")
    container.create(env=listener.environment)
    bundle.runtime.call("start", container.id, env=listener.environment).ok()
    lines = listener.lines("MAINPID=")
    assert "READY=1" in lines
    assert f"MAINPID={container.pid}" in lines


def test_start_waits_for_ready(bundle: Bundle, listener: Listener) -> None:
    """A service that is not ready has not started."""
    source = bundle.directory("gate")
    os.mkfifo(os.path.join(source, "go"))
    bundle.bind(source, "/gate")
    container = bundle.shell("read line </gate/go; /bin/probe notify READY=1; exec sleep 100")
    container.create(env=listener.environment)
    command = bundle.runtime.spawn("start", container.id, env=listener.environment)
    with open(os.path.join(source, "go"), "w") as gate:  # blocks until the container reads
        assert command.poll() is None
        gate.write("go\n")
    assert command.wait(process.TIMEOUT) == 0
    assert "READY=1" in listener.lines("READY=1")


def test_start_ends_when_the_container_does(bundle: Bundle, listener: Listener) -> None:
    """Without READY=1."""
    container = bundle.container("/bin/true")
    container.create(env=listener.environment)
    command = bundle.runtime.spawn("start", container.id, env=listener.environment)
    container.wait()
    command.wait(process.TIMEOUT)


def test_socket_is_the_containers_own(bundle: Bundle, listener: Listener) -> None:
    """The container does not see the caller's socket, but one that the runtime made for it."""
    container = bundle.shell("echo $NOTIFY_SOCKET; test -S $NOTIFY_SOCKET && echo socket; /bin/probe notify READY=1")
    container.create(env=listener.environment)
    bundle.runtime.call("start", container.id, env=listener.environment).ok()
    container.wait()
    name, what = container.output().split()[:2]
    assert name.startswith("/run/notify/")
    assert what == "socket"


def test_container_cannot_write_beside_its_socket(bundle: Bundle, listener: Listener) -> None:
    """The directory is one of the host's /run, which has no room to give away."""
    container = bundle.shell("touch /run/notify/x; /bin/probe notify READY=1; exec sleep 100")
    container.create(env=listener.environment)
    bundle.runtime.call("start", container.id, env=listener.environment).ok()
    assert "READY=1" in listener.lines("READY=")
    assert container.errors() == "touch: /run/notify/x: Read-only file system\n"
    options = mountinfo.at(container.proc("mountinfo"), "/run/notify").options
    assert {"ro", "nosuid", "nodev", "noexec"} <= options


def test_no_socket_no_variable(bundle: Bundle) -> None:
    """Nothing is made without NOTIFY_SOCKET."""
    assert bundle.sh("echo [$NOTIFY_SOCKET]; ls /run") == "[]\n"


def test_listen_fds_are_passed(bundle: Bundle) -> None:
    """Descriptors from 3 on, LISTEN_FDS, and LISTEN_PID=1 in a pid namespace."""
    content = bundle.file("content", "passed\n")
    out = bundle.sh(
        "cat <&3; echo $LISTEN_FDS $LISTEN_PID; ls /proc/self/fd | wc -l",
        wrapper=(
            "/bin/sh", "-c", 'exec 3<"$0" 4<"$0"; export LISTEN_FDS=2 LISTEN_PID=$$; exec "$@"', content,
        ),
    )  # fmt: skip
    assert out.split() == ["passed", "2", "1", "6"]  # 0 to 4, and that of ls itself


def test_listen_fds_of_another_process_are_not_passed(bundle: Bundle) -> None:
    """LISTEN_PID is not the runtime's."""
    content = bundle.file("content", "passed\n")
    out = bundle.sh(
        "echo [$LISTEN_FDS]; ls /proc/self/fd | wc -l",
        wrapper=("/bin/sh", "-c", 'exec 3<"$0"; export LISTEN_FDS=1 LISTEN_PID=1; exec "$@"', content),
    )
    assert out.split() == ["[]", "4"]


def test_preserved_descriptors_follow_listen_fds(bundle: Bundle) -> None:
    """--preserve-fds N: N more."""
    first, second = bundle.file("first", "first\n"), bundle.file("second", "second\n")
    out = bundle.sh(
        "cat <&3; cat <&4; ls /proc/self/fd | wc -l",
        options=["--preserve-fds", "1"],
        wrapper=(
            "/bin/sh", "-c", 'exec 3<"$0" 4<"$1" 5<"$1"; shift; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"',
            first, second,
        ),
    )  # fmt: skip
    assert out.split() == ["first", "second", "6"]
