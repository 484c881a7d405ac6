"""The caller's terminal, for a container in the foreground that has one of its own (runc's "terminals" document)."""

from __future__ import annotations

import _socket
import fcntl
import os
import select
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
        self._master = -1
        self._raw = False
        self._input_open = True
        self._output_open = True
        self._output_read = True  # by somebody behind our standard output
        self._typed = b""  # and not taken by the container yet

    def receive(self) -> None:
        """Take the master that the container sent, give it the size of ours, and make ours raw."""
        from sys import byteorder

        _, control, _, _ = self._receiver.recvmsg(256, _socket.CMSG_SPACE(4), _socket.MSG_CMSG_CLOEXEC)
        self._receiver.close()
        if not control:
            raise Error("process.terminal: the container sent no terminal")
        self._master = int.from_bytes(control[0][2][:4], byteorder)
        os.set_blocking(self._master, False)
        self.resize()
        self._raw = True
        try:
            tty.setraw(0)
        except termios.error as e:
            raise Error(f"process.terminal: standard input: {e.args[1].lower()}") from None

    def size(self) -> tuple[int, int]:
        """Rows and columns of the caller's terminal."""
        rows, columns = os.get_terminal_size(0)[::-1]
        return rows, columns

    def resize(self) -> None:
        """Give the container's terminal the size of ours."""
        try:
            fcntl.ioctl(self._master, termios.TIOCSWINSZ, fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
        except OSError:
            pass

    def restore(self) -> None:
        """Put the caller's terminal back as it was, if it is still there."""
        if self._raw:
            try:
                termios.tcsetattr(0, termios.TCSANOW, self._saved)
            except termios.error:
                pass
            self._raw = False

    def events(self) -> dict[int, int]:
        """What to wait for, by descriptor (poll(2))."""
        events = self.output_events()
        if self._typed and events:
            events[self._master] |= select.POLLOUT
        elif self._input_open and events:
            events[0] = select.POLLIN
        return events

    def output_events(self) -> dict[int, int]:
        """What to wait for to have all that the container wrote."""
        return {self._master: select.POLLIN} if self._output_open else {}

    def act(self, ready: dict[int, int]) -> None:
        """Pass on what can be passed on, after these events."""
        if 0 in ready:
            self._take_typed()
        master = ready.get(self._master, 0)
        if master & select.POLLOUT:
            self._give_typed()
        if master & ~select.POLLOUT:
            self._pass_output()

    def _take_typed(self) -> None:
        try:
            self._typed = os.read(0, CHUNK)
        except OSError:  # the terminal is gone
            self._typed = b""
        if self._typed:
            self._give_typed()
        else:
            self._input_open = False

    def _give_typed(self) -> None:
        """As much as the container takes: one that reads nothing must not keep us from its output."""
        try:
            self._typed = self._typed[os.write(self._master, self._typed) :]
        except BlockingIOError:
            pass
        except OSError:
            self._typed = b""
            self._input_open = False

    def _pass_output(self) -> None:
        try:
            data = os.read(self._master, CHUNK)
        except BlockingIOError:
            return
        except OSError:  # EIO: the last slave was closed
            data = b""
        if not data:
            self._output_open = False
        elif self._output_read:
            try:
                _write_all(1, data)
            except OSError:  # nobody reads it; the container goes on
                self._output_read = False


def _write_all(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        try:
            rest = rest[os.write(fd, rest) :]
        except BlockingIOError:
            poll = select.poll()
            poll.register(fd, select.POLLOUT)
            poll.poll()
