"""The caller's terminal, for a container in the foreground that has one of its own (runc's "terminals" document)."""

from __future__ import annotations

import _socket
import fcntl
import os
import termios
import tty

from .errors import Error

CHUNK = 65536


class Terminal:
    """
    The caller's terminal on standard input, in raw mode from receive() to restore(), and the container's master.

    Raises Error if standard input is no terminal.
    """

    def __init__(self) -> None:
        try:
            self._saved = termios.tcgetattr(0)
        except termios.error:
            raise Error("process.terminal: standard input is not a terminal") from None
        self.socket, self._receiver = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self.master = -1
        self._raw = False

    def receive(self) -> None:
        """Take the master that the container sent, give it the size of ours, and make ours raw."""
        from sys import byteorder

        _, control, _, _ = self._receiver.recvmsg(256, _socket.CMSG_SPACE(4))
        self._receiver.close()
        if not control:
            raise Error("process.terminal: the container sent no terminal")
        self.master = int.from_bytes(control[0][2][:4], byteorder)
        os.set_inheritable(self.master, False)
        os.set_blocking(self.master, False)
        self.resize()
        tty.setraw(0)
        self._raw = True

    def resize(self) -> None:
        """Give the container's terminal the size of ours."""
        try:
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
        except OSError:
            pass

    def restore(self) -> None:
        """Put the caller's terminal back as it was."""
        if self._raw:
            termios.tcsetattr(0, termios.TCSADRAIN, self._saved)
            self._raw = False

    def to_container(self) -> bool:
        """Pass on what the caller typed; False when there is no more, or nobody to take it."""
        try:
            data = os.read(0, CHUNK)
            os.set_blocking(self.master, True)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self.master, rest) :]
            os.set_blocking(self.master, False)
        except OSError:
            return False
        return bool(data)

    def from_container(self) -> bool:
        """Pass on what the container wrote; False when nobody in it has the terminal open any more."""
        try:
            data = os.read(self.master, CHUNK)
        except BlockingIOError:
            return True
        except OSError:  # EIO: the last slave was closed
            return False
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(1, rest) :]
        return bool(data)
