"""The runtime's end of the pair of sockets to lxcri-init."""

from __future__ import annotations

import _socket
import array
import errno
import os
import socket
import struct
from typing import TYPE_CHECKING

import pytest

from lxcri.channel import BATCH, PACKET_MAX, READY, WARNING, Channel, ClosedError, failure

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def channel() -> Iterator[Channel]:
    before = os.listdir("/proc/self/fd")
    channel = Channel()
    yield channel
    channel.close()
    assert os.listdir("/proc/self/fd") == before


@pytest.mark.parametrize("packet", [READY, WARNING + b"text", b"W" + bytes(5), b"x" * (PACKET_MAX - 1)])
def test_packets_come_whole_and_with_their_sender(channel: Channel, packet: bytes) -> None:
    channel.inner.send(packet)
    channel.inner.send(b"next")
    assert channel.receive() == (packet, os.getpid())
    assert channel.receive() == (b"next", os.getpid())


def test_sender_is_who_sends() -> None:
    """Not who made the pair."""
    channel = Channel()
    pid = os.fork()
    if not pid:
        channel.inner.send(b"H")
        os._exit(0)
    try:
        assert channel.receive() == (b"H", pid)
    finally:
        os.waitpid(pid, 0)
        channel.close()


def test_end_of_the_other_side(channel: Channel) -> None:
    channel.inner.send(b"last")
    channel.inner.close()
    assert channel.receive()[0] == b"last"
    with pytest.raises(ClosedError):
        channel.receive()
    with pytest.raises(ClosedError):
        channel.send(READY)
    with pytest.raises(ClosedError):
        channel.send_descriptors([0])


def test_descriptors_do_not_reach_programs(channel: Channel) -> None:
    assert not os.get_inheritable(channel.outer.fileno())
    assert not os.get_inheritable(channel.inner.fileno())


def test_send(channel: Channel) -> None:
    channel.send(b"P")
    channel.send(b"C", b"data")
    assert channel.inner.recv(100) == b"P"
    assert channel.inner.recv(100) == b"Cdata"


def receive_descriptors(end: _socket.socket) -> tuple[bytes, list[int]]:
    """A packet and its descriptors, which this process gets new numbers for."""
    packet, control, flags, _ = end.recvmsg(100, socket.CMSG_SPACE(4 * 253))
    assert not flags & socket.MSG_CTRUNC
    fds = array.array("i")
    for level, kind, data in control:
        assert (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS)
        fds.frombytes(data)
    return packet, list(fds)


@pytest.mark.parametrize(
    ("count", "packets"),
    [
        (0, []),
        (1, [(b"F\0", 1)]),
        (BATCH, [(b"F\0", BATCH)]),
        (BATCH + 1, [(b"F\1", BATCH), (b"F\0", 1)]),
        (2 * BATCH + 3, [(b"F\1", BATCH), (b"F\1", BATCH), (b"F\0", 3)]),
    ],
)
def test_descriptors_in_batches(channel: Channel, count: int, packets: list[tuple[bytes, int]]) -> None:
    """All, in their order; each packet says whether more come. The kernel takes 253 at a time."""
    pipe = os.pipe()
    try:
        channel.send_descriptors([pipe[i % 2] for i in range(count)])
        seen = []
        for packet, size in packets:
            received, fds = receive_descriptors(channel.inner)
            assert (received, len(fds)) == (packet, size)
            seen += [os.readlink(f"/proc/self/fd/{fd}") for fd in fds]
            modes = [os.stat(f"/proc/self/fd/{fd}", follow_symlinks=False).st_mode & 0o600 for fd in fds]
            first = len(seen) - size
            assert modes == [(0o400, 0o200)[(first + i) % 2] for i in range(size)]
            for fd in fds:
                os.close(fd)
        assert seen == [os.readlink(f"/proc/self/fd/{pipe[0]}")] * count
    finally:
        for fd in pipe:
            os.close(fd)
    channel.inner.setblocking(False)
    with pytest.raises(BlockingIOError):
        channel.inner.recv(1)


def packed(number: int, text: bytes) -> bytes:
    return b"E" + struct.pack("=i", number) + text


@pytest.mark.parametrize(
    ("packet", "text"),
    [
        (packed(0, b'process.args: exec: "x"'), 'process.args: exec: "x"'),
        (packed(errno.ENOENT, b'mounts[0] "/x": open'), 'mounts[0] "/x": open: no such file or directory'),
        (packed(errno.EPERM, b"capset"), "capset: operation not permitted"),
        (packed(0, b"bad \xff byte"), "bad \ufffd byte"),
        (packed(4095, b"x"), "x: unknown error 4095"),
    ],
)
def test_failures(packet: bytes, text: str) -> None:
    """An errno, in the kernel's words, after what failed."""
    assert str(failure(packet)) == text
