"""Messages between the runtime and lxcri-init. csrc/channel.h is the other end, and lists them all."""

from __future__ import annotations

import _socket
import posix

from .errors import Error, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

HOOK = b"M"
HELLO = b"H"
READY = b"R"
WARNING = b"W"
FAILED = b"E"
LAST_STEP = b"X"
DESCRIPTORS = b"F"
PLACED = b"P"
CONTINUE = b"C"
SAVED = b"D"
START = b"G"

PACKET_MAX = 65536
BATCH = 250
"""Descriptors in one packet; the kernel takes 253 (unix(7))."""

SO_PASSCRED = 16
SCM_CREDENTIALS = 2
_CREDENTIALS_BYTES = 12


def failure(packet: bytes) -> Error:
    """The error that a FAILED packet reports: an errno, 0 for none, and a text."""
    from sys import byteorder

    number = int.from_bytes(packet[1:5], byteorder, signed=True)
    text = packet[5:].decode("utf-8", "replace")
    return Error(f"{text}: {reason(OSError(number, posix.strerror(number)))}" if number else text)


def send_state(connection: _socket.socket, kind: bytes, state: bytes) -> None:
    """Send a packet with the OCI state in a file: annotations can be larger than any packet."""
    from sys import byteorder

    fd = posix.memfd_create("state", posix.MFD_CLOEXEC)
    try:
        rest = memoryview(state)
        while rest:
            rest = rest[posix.write(fd, rest) :]
        connection.sendmsg([kind], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, fd.to_bytes(4, byteorder))])
    finally:
        posix.close(fd)


def set_send_timeout(connection: _socket.socket, seconds: float) -> None:
    """Have connect(2) and sendmsg(2) give up after this time, with EAGAIN (socket(7), SO_SNDTIMEO)."""
    from sys import byteorder

    whole, part = divmod(round(seconds * 1_000_000), 1_000_000)
    timeval = whole.to_bytes(8, byteorder) + part.to_bytes(8, byteorder)
    connection.setsockopt(_socket.SOL_SOCKET, _socket.SO_SNDTIMEO, timeval)


class ClosedError(Exception):
    """The other end is gone."""


class Channel:
    """The runtime's end of the pair of sockets to lxcri-init."""

    __slots__ = ("inner", "outer")

    def __init__(self) -> None:
        self.outer, self.inner = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        self.outer.setsockopt(_socket.SOL_SOCKET, SO_PASSCRED, 1)

    def close(self) -> None:
        """Close what is open of both ends."""
        self.outer.close()
        self.inner.close()

    def receive(self) -> tuple[bytes, int]:
        """The next packet and its sender's pid, as this process sees it; raises ClosedError when no sender is left."""
        from sys import byteorder

        try:
            packet, control, _, _ = self.outer.recvmsg(PACKET_MAX, _socket.CMSG_SPACE(_CREDENTIALS_BYTES))
        except ConnectionError:
            raise ClosedError from None
        if not packet:
            raise ClosedError
        pid = 0
        for level, kind, data in control:
            if (level, kind) == (_socket.SOL_SOCKET, SCM_CREDENTIALS):
                pid = int.from_bytes(data[:4], byteorder)
        return packet, pid

    def expect(self, kind: bytes, warn: Callable[[str], None]) -> tuple[int, bytes]:
        """
        Wait for a packet of this kind; return its sender's pid and what is in it. Warnings before it go to `warn`.

        Raises Error for a failure that is reported instead, ClosedError, and TimeoutError.
        """
        while True:
            packet, pid = self.receive()
            if packet[:1] == WARNING:
                warn(packet[1:].decode("utf-8", "replace"))
            elif packet[:1] == FAILED:
                raise failure(packet)
            elif packet[:1] == kind:
                return pid, packet[1:]
            else:
                raise Error(f"lxcri-init: unexpected message {packet[:1]!r}")

    def expect_end(self, warn: Callable[[str], None]) -> None:
        """Wait until no sender is left; raises Error for a failure that is reported before."""
        try:
            self.expect(b"", warn)
        except ClosedError:
            pass

    def raise_reported(self) -> None:
        """Raise Error for a failure that nobody has read yet: its sender ended while we had something to say."""
        self.outer.settimeout(0)
        try:
            while True:
                packet, _ = self.receive()
                if packet[:1] == FAILED:
                    raise failure(packet)
        except (ClosedError, BlockingIOError):
            pass

    def send_failure(self, text: str) -> None:
        """From the inner end, before there is a helper: report a failure."""
        self.inner.send(FAILED + bytes(4) + text.encode("utf-8", "replace"))

    def send(self, kind: bytes, data: bytes = b"") -> None:
        """Send a packet; raises ClosedError when nobody is there to take it."""
        try:
            self.outer.send(kind + data)
        except ConnectionError:
            raise ClosedError from None

    def send_state(self, kind: bytes, state: bytes) -> None:
        """Send a packet with the OCI state; raises ClosedError when nobody is there to take it."""
        try:
            send_state(self.outer, kind, state)
        except ConnectionError:
            raise ClosedError from None

    def send_descriptors(self, fds: Sequence[int]) -> None:
        """Send these descriptors, in as many packets as it takes."""
        from sys import byteorder

        for start in range(0, len(fds), BATCH):
            batch = fds[start : start + BATCH]
            more = b"\1" if start + BATCH < len(fds) else b"\0"
            data = b"".join([fd.to_bytes(4, byteorder) for fd in batch])
            try:
                self.outer.sendmsg([DESCRIPTORS + more], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, data)])
            except ConnectionError:
                raise ClosedError from None
