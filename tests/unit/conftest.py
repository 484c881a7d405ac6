"""Containers as far as the state directory knows them: a sleeping child in the place of init."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import tempfile
import threading
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

from lxcri.context import Context
from lxcri.state import Entry, State, process_start_time

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

# how long an example takes says how busy the machine is, and nothing about lxcri
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


class FakeContainer:
    """A state directory's entry and, as its init, a child of ours."""

    def __init__(self, root: str, name: str) -> None:
        self.root = root
        self.id = name
        self.init = subprocess.Popen(["sleep", "1000"])
        started = process_start_time(self.init.pid)
        assert started
        self.state = State(
            id=name,
            oci_version="1.2.0",
            bundle="/bundle",
            rootfs="/bundle/rootfs",
            pid=self.init.pid,
            start_time=started,
            created="2026-01-02T03:04:05.000000006Z",
            owner="root",
        )
        with Entry.claim(root, name) as entry:
            entry.save(self.state)
        self.received: list[bytes] = []
        self._listener: socket.socket | None = None
        self._thread: threading.Thread | None = None

    @property
    def path(self) -> str:
        """The state directory of this container."""
        return f"{self.root}/{self.id}"

    def save(self) -> None:
        """Write the state file again, after a change of `state`."""
        with Entry.open(self.root, self.id) as entry:
            entry.save(self.state)

    def wait_for_start(self, *replies: bytes) -> None:
        """Listen as an init of a created container does, and answer `start` so."""
        with Entry.open(self.root, self.id) as entry:
            self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self._listener.bind(entry.socket_path())
        self._listener.listen(5)
        self._thread = threading.Thread(target=self._answer, args=(self._listener, replies))
        self._thread.start()

    def _answer(self, listener: socket.socket, replies: tuple[bytes, ...]) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                packet, fds, _, _ = socket.recv_fds(connection, 65536, 1)
                if not packet:
                    continue  # who only looks whether we are here
                for fd in fds:  # the state, for hooks
                    with open(fd, "rb", 0) as file:
                        packet += os.pread(file.fileno(), 65536, 0)
                self.received.append(packet)
                for reply in replies:
                    connection.send(reply)
                listener.close()
                return

    def end(self) -> None:
        """Kill the init and leave it as a zombie."""
        self.init.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, self.init.pid, os.WEXITED | os.WNOWAIT)

    def close(self) -> None:
        """Leave no child and no thread behind."""
        self.init.kill()
        self.init.wait()
        if self._listener:
            try:
                self._listener.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self._listener.close()
        if self._thread:
            self._thread.join()


def _directories(top: str) -> list[str]:
    """A directory and all below it, the deepest last; none if it is not there."""
    return [directory for directory, _, _ in os.walk(top)]


@pytest.fixture(scope="module")
def lock_directories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """
    lxc_container_new() makes a directory below /run/lxc/lock for each lxcpath: none of them is left.

    But those of tests that run beside these ones, which would miss them.
    """
    before = _directories("/run/lxc")
    yield
    own = f"/run/lxc/lock{tmp_path_factory.getbasetemp()}/"
    temporary = f"/run/lxc/lock{tempfile.gettempdir()}/"
    for directory in reversed(_directories("/run/lxc")):
        path = f"{directory}/"
        if directory in before or (
            path.startswith(temporary) and not path.startswith(own) and not own.startswith(path)
        ):
            continue
        with contextlib.suppress(OSError):  # something is in it
            os.rmdir(directory)


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    """The context of a verb, with a state directory that does not exist yet."""
    return Context("test", root=str(tmp_path / "root"))


@pytest.fixture
def fake(ctx: Context) -> Iterator[Callable[[str], FakeContainer]]:
    """Makes containers in the state directory of `ctx`."""
    containers: list[FakeContainer] = []

    def make(name: str = "c1") -> FakeContainer:
        containers.append(FakeContainer(ctx.root, name))
        return containers[-1]

    yield make
    for container in containers:
        container.close()
