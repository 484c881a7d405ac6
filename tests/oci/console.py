"""Terminals: the socket that a console's master arrives on, and a runtime on a terminal of its own."""

from __future__ import annotations

import array
import contextlib
import fcntl
import os
import select
import socket
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING

from oci import process
from oci.runtime import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from types import TracebackType
    from typing import Self

    from oci.runtime import Container


class Terminal:
    """The master side of a pseudo-terminal."""

    def __init__(self, master: int) -> None:
        self.master = master
        self.text = ""

    def read_until(self, text: str, timeout: float = process.TIMEOUT) -> str:
        """Read until ``text`` has appeared; returns all that was read so far."""
        deadline = time.monotonic() + timeout
        while text not in self.text:
            if not self._read(deadline - time.monotonic()):
                raise AssertionError(f"{text!r} did not appear on the terminal, but {self.text!r}")
        return self.text

    def read_to_end(self, timeout: float = process.TIMEOUT) -> str:
        """Read until the other side is closed."""
        deadline = time.monotonic() + timeout
        while self._read(deadline - time.monotonic()):
            pass
        return self.text

    def read_some(self) -> None:
        """Read what comes within a moment, and forget it."""
        try:
            self._read(0.01)
        except TimeoutError:
            pass
        self.text = ""

    def _read(self, timeout: float) -> bool:
        ready, _, _ = select.select([self.master], [], [], max(timeout, 0))
        if not ready:
            raise TimeoutError(f"the terminal is silent after {self.text!r}")
        try:
            data = os.read(self.master, 65536)
        except OSError:  # EIO: no slave is open any more
            return False
        self.text += data.decode("utf-8", "replace")
        return bool(data)

    def write(self, text: str) -> None:
        """Type this."""
        os.write(self.master, text.encode())

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns."""
        rows, columns, _, _ = struct.unpack("HHHH", fcntl.ioctl(self.master, termios.TIOCGWINSZ, b"\0" * 8))
        return rows, columns

    @size.setter
    def size(self, size: tuple[int, int]) -> None:
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))

    def close(self) -> None:
        """Hang up."""
        os.close(self.master)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ConsoleSocket:
    """A listening socket for ``--console-socket``, as conmon and the shim of containerd have it."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(path)
        self._socket.listen(1)
        self._socket.settimeout(process.TIMEOUT)

    def receive(self) -> Terminal:
        """Wait for the master of the container's terminal."""
        return Terminal(self.receive_descriptor())

    def receive_descriptor(self) -> int:
        """Wait for the one descriptor that is sent."""
        connection, _ = self._socket.accept()
        with connection:
            connection.settimeout(process.TIMEOUT)
            data, ancillary, _, _ = connection.recvmsg(4096, socket.CMSG_SPACE(4 * 8))
            descriptors = array.array("i")
            for level, kind, payload in ancillary:
                if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                    descriptors.frombytes(payload)
            assert len(descriptors) == 1, f"one descriptor is expected with {data!r}, not {len(descriptors)}"
            return descriptors[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        os.unlink(self.path)


class OnTerminal:
    """A command whose controlling terminal is a new pseudo-terminal, as in a person's shell."""

    def __init__(
        self, argv: Sequence[str], cwd: str, size: tuple[int, int] = (24, 80), stdout: int | None = None
    ) -> None:
        master, slave = os.openpty()
        self.terminal = Terminal(master)
        self.terminal.size = size
        self.slave = slave
        self.attributes = termios.tcgetattr(slave)
        self._command = subprocess.Popen(
            argv,
            stdin=slave,
            stdout=slave if stdout is None else stdout,
            stderr=slave,
            cwd=cwd,
            env=ENVIRONMENT,
            start_new_session=True,
            preexec_fn=self._take_terminal,  # noqa: PLW1509 (one thread)
        )

    @staticmethod
    def _take_terminal() -> None:
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    @property
    def pid(self) -> int:
        """The command's pid."""
        return self._command.pid

    def wait(self, timeout: float = process.TIMEOUT) -> int:
        """Wait for the command's end; returns its exit code."""
        return self._command.wait(timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._command.poll() is None:
            self._command.kill()
            self._command.wait()
        os.close(self.slave)
        self.terminal.close()


@contextlib.contextmanager
def started(container: Container, server: ConsoleSocket) -> Iterator[Terminal]:
    """Create and start it as an engine does, with its terminal in our hand."""
    container.create("--console-socket", server.path)
    with server.receive() as terminal:
        container.start()
        yield terminal


def run_on_terminal(container: Container, size: tuple[int, int] = (24, 80), stdout: int | None = None) -> OnTerminal:
    """Run it as a person does."""
    container.bundle.write()
    argv = container.runtime.argv("run", "--bundle", container.bundle.path, container.id)
    return OnTerminal(argv, container.bundle.path, size, stdout)
