"""NOTIFY_SOCKET: the container's socket, and what the caller hears of it."""

from __future__ import annotations

import os
import posix
import socket
import stat
import threading
from typing import TYPE_CHECKING

import pytest

from lxcri.errors import Error
from lxcri.notify import DIRECTORY, SOCKET, Notification, caller_socket, listen
from lxcri.state import Entry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path


@pytest.fixture
def entry(tmp_path: Path) -> Iterator[Entry]:
    with Entry.claim(str(tmp_path / "root"), "c1") as entry:
        yield entry


@pytest.fixture
def caller(tmp_path: Path) -> Iterator[socket.socket]:
    """The socket of a service manager, bound to a path."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        found.bind(str(tmp_path / "caller"))
        found.settimeout(10)
        yield found


@pytest.fixture
def init() -> Iterator[tuple[int, Callable[[], None]]]:
    """A pidfd of what lives until it is told to end."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.close(write)
        os.read(read, 1)
        os._exit(0)
    os.close(read)
    pidfd = os.pidfd_open(pid)
    ended: list[bool] = []

    def end() -> None:
        if not ended:
            os.close(write)
            ended.append(True)

    yield pidfd, end
    end()
    os.waitpid(pid, 0)
    os.close(pidfd)


def listening(entry: Entry, caller: bytes) -> Notification:
    os.mkdir(DIRECTORY, dir_fd=entry.fd)
    found = listen(entry, caller)
    assert found is not None
    return found


def tell(entry: Entry, *messages: bytes) -> None:
    """What a program in the container does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.connect(f"{entry.path}/{DIRECTORY}/{SOCKET}")
        for message in messages:
            client.send(message)


@pytest.mark.parametrize("value", [b"/run/x", b"@abstract", b"", b"/run/\xff"])
def test_callers_socket(value: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Any bytes."""
    monkeypatch.setitem(posix.environ, b"NOTIFY_SOCKET", value)
    assert caller_socket() == value
    monkeypatch.delitem(posix.environ, b"NOTIFY_SOCKET")
    assert caller_socket() == b""


def test_container_without_a_socket(entry: Entry) -> None:
    """It was created for a caller without one."""
    assert listen(entry, b"/run/x") is None


def test_socket_is_for_any_user(entry: Entry) -> None:
    notification = listening(entry, b"/run/x")
    mode = os.stat(f"{DIRECTORY}/{SOCKET}", dir_fd=entry.fd).st_mode
    assert stat.S_ISSOCK(mode)
    assert stat.S_IMODE(mode) == 0o777
    notification.close()


def test_socket_that_is_taken(entry: Entry) -> None:
    notification = listening(entry, b"/run/x")
    with pytest.raises(Error) as error:
        listen(entry, b"/run/x")
    assert str(error.value) == f"NOTIFY_SOCKET: {entry.path}/notify/notify.sock: address already in use"
    notification.close()


@pytest.mark.parametrize(
    "messages",
    [(b"READY=1",), (b"STATUS=x\nREADY=1\nX=y",), (b"STATUS=READY=1", b"READY=10", b"NOREADY=1", b"", b"READY=1\n")],
)
def test_readiness(
    entry: Entry, caller: socket.socket, init: tuple[int, Callable[[], None]], messages: tuple[bytes, ...]
) -> None:
    """One message, with the container's pid, once a line of it is READY=1, whatever came before."""
    notification = listening(entry, caller.getsockname().encode())
    tell(entry, *messages)
    notification.forward(4711, init[0])
    assert caller.recv(100) == b"READY=1\nMAINPID=4711"
    caller.setblocking(False)
    with pytest.raises(BlockingIOError):
        caller.recv(100)
    notification.close()


def test_readiness_that_comes_later(entry: Entry, caller: socket.socket, init: tuple[int, Callable[[], None]]) -> None:
    notification = listening(entry, caller.getsockname().encode())
    timer = threading.Timer(0.05, tell, (entry, b"READY=1"))
    timer.start()
    notification.forward(4711, init[0])
    timer.join()
    assert caller.recv(100) == b"READY=1\nMAINPID=4711"
    notification.close()


def test_abstract_socket_of_the_caller(entry: Entry, init: tuple[int, Callable[[], None]]) -> None:
    """unix(7): "@" stands for the NUL that its address begins with."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as caller:
        name = f"lxcri-test-{os.getpid()}"
        caller.bind(b"\0" + name.encode())
        notification = listening(entry, b"@" + name.encode())
        tell(entry, b"READY=1")
        notification.forward(1, init[0])
        assert caller.recv(100) == b"READY=1\nMAINPID=1"
        notification.close()


def test_container_that_ends_before_it_is_ready(
    entry: Entry, caller: socket.socket, init: tuple[int, Callable[[], None]]
) -> None:
    """The caller hears nothing."""
    notification = listening(entry, caller.getsockname().encode())
    tell(entry, b"STATUS=starting")
    init[1]()
    notification.forward(4711, init[0])
    caller.setblocking(False)
    with pytest.raises(BlockingIOError):
        caller.recv(100)
    notification.close()


def test_container_that_is_ready_and_ends(
    entry: Entry, caller: socket.socket, init: tuple[int, Callable[[], None]]
) -> None:
    """What it said is told first."""
    notification = listening(entry, caller.getsockname().encode())
    tell(entry, b"STATUS=starting", b"READY=1")
    init[1]()
    notification.forward(4711, init[0])
    assert caller.recv(100) == b"READY=1\nMAINPID=4711"
    notification.close()


def test_caller_that_is_gone(entry: Entry, init: tuple[int, Callable[[], None]]) -> None:
    notification = listening(entry, b"/nonexistent/socket")
    tell(entry, b"READY=1")
    with pytest.raises(Error) as error:
        notification.forward(4711, init[0])
    assert str(error.value) == "NOTIFY_SOCKET: no such file or directory"
    notification.close()
