"""
Network devices of the host for a container (config-linux.md, "Network Devices"), by rtnetlink(7).

A device goes with all that it is, but the kernel takes its addresses away: those that the document says are given back
to it. Nothing ever moves it back; when its namespace ends, the kernel moves a physical device to the host and destroys
a virtual one.
"""

from __future__ import annotations

import _socket
import os
import struct
from typing import NamedTuple

from . import linux
from .errors import Error, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence number, port
LINK = struct.Struct("=BxHiII")  # struct ifinfomsg: family, type, index, flags, which flags to change
ADDRESS = struct.Struct("=BBBBI")  # struct ifaddrmsg: family, prefix length, flags, scope, index
ATTRIBUTE = struct.Struct("=HH")  # struct nlattr: length, type
ATTRIBUTE_TYPE = 0x3FFF

NLMSG_ERROR, NLMSG_DONE = 2, 3
NLM_F_REQUEST, NLM_F_ACK, NLM_F_EXCL, NLM_F_CREATE = 0x01, 0x04, 0x200, 0x400
NLM_F_DUMP = 0x300
NLM_F_DUMP_INTR = 0x10
NLM_F_ACK_TLVS = 0x200

SOL_NETLINK = 270
NETLINK_CAP_ACK, NETLINK_EXT_ACK = 10, 11
NLMSGERR_ATTR_MSG = 1

RTM_NEWLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR = 16, 18, 20, 22
IFLA_IFNAME, IFLA_NET_NS_FD, IFLA_NEW_IFINDEX = 3, 28, 49
IFF_UP = 1
IFA_ADDRESS, IFA_LOCAL, IFA_BROADCAST, IFA_FLAGS, IFA_RT_PRIORITY, IFA_PROTO = 1, 2, 4, 8, 9, 11
IFA_F_PERMANENT = 0x80
IFA_F_OF_THE_USER = 0x02 | 0x10 | 0x100 | 0x200 | 0x400
"""NODAD, HOMEADDRESS, MANAGETEMPADDR, NOPREFIXROUTE, MCAUTOJOIN; the other flags are the kernel's own."""
RT_SCOPE_UNIVERSE = 0

KEPT = (IFA_LOCAL, IFA_ADDRESS, IFA_BROADCAST, IFA_RT_PRIORITY, IFA_PROTO)
"""Attributes that an address keeps; its label would have to be the device's new name, and is by itself."""

CLONE_NEWNET = 0x40000000


class Address(NamedTuple):
    """One address of a device: of struct ifaddrmsg what matters, and its attributes."""

    family: int
    prefix: int
    attributes: dict[int, bytes]


def attribute(kind: int, value: bytes) -> bytes:
    """One attribute of a message."""
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value + bytes(-len(value) % 4)


def attributes(data: bytes) -> dict[int, bytes]:
    """The attributes in data, by type."""
    found = {}
    while len(data) >= ATTRIBUTE.size:
        size, kind = ATTRIBUTE.unpack_from(data)
        if size < ATTRIBUTE.size:
            break
        found[kind & ATTRIBUTE_TYPE] = data[ATTRIBUTE.size : size]
        data = data[size + -size % 4 :]
    return found


class Rtnetlink:
    """A socket to the devices and addresses of the network namespace that it is made in. Failures are OSError."""

    def __init__(self) -> None:
        self._socket = _socket.socket(_socket.AF_NETLINK, _socket.SOCK_RAW, _socket.NETLINK_ROUTE)
        self._number = 0
        for option in (NETLINK_CAP_ACK, NETLINK_EXT_ACK):
            self._socket.setsockopt(SOL_NETLINK, option, 1)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

    def request(self, kind: int, flags: int, body: bytes) -> list[bytes]:
        """Send a request; return the answers, without their headers."""
        while True:
            self._number += 1
            size = HEADER.size + len(body)
            self._socket.send(HEADER.pack(size, kind, NLM_F_REQUEST | NLM_F_ACK | flags, self._number, 0) + body)
            answers, complete = [], True
            for answer, answer_flags, payload in self._messages():
                complete &= not answer_flags & NLM_F_DUMP_INTR
                if answer == NLMSG_ERROR:
                    _raise_error(payload, answer_flags)
                elif answer != NLMSG_DONE:
                    answers.append(payload)
            if complete:  # else something changed while the kernel told
                return answers

    def _messages(self) -> Iterator[tuple[int, int, bytes]]:
        """Type, flags and content of the messages that answer the last request."""
        while True:
            data = self._socket.recv(1 << 16)
            while data:
                size, kind, flags, number, _ = HEADER.unpack_from(data)
                if number == self._number:
                    yield kind, flags, data[HEADER.size : size]
                    if kind in (NLMSG_ERROR, NLMSG_DONE):
                        return
                data = data[size + -size % 4 :]

    def find(self, name: str) -> int:
        """Index of the device with this name; OSError ENODEV if there is none."""
        wanted = attribute(IFLA_IFNAME, name.encode("utf-8", "surrogateescape") + b"\0")
        answer = self.request(RTM_GETLINK, 0, LINK.pack(0, 0, 0, 0, 0) + wanted)[0]
        index: int = LINK.unpack_from(answer)[2]
        return index

    def names(self) -> dict[int, str]:
        """All devices: their names by index."""
        found = {}
        for answer in self.request(RTM_GETLINK, NLM_F_DUMP, LINK.pack(0, 0, 0, 0, 0)):
            name = attributes(answer[LINK.size :])[IFLA_IFNAME].rstrip(b"\0")
            found[LINK.unpack_from(answer)[2]] = name.decode("utf-8", "surrogateescape")
        return found

    def lasting_addresses(self, index: int) -> list[Address]:
        """The device's permanent addresses of global scope, of all families, in the kernel's order."""
        found = []
        for answer in self.request(RTM_GETADDR, NLM_F_DUMP, ADDRESS.pack(0, 0, 0, 0, 0)):
            family, prefix, flags, scope, device = ADDRESS.unpack_from(answer)
            given = attributes(answer[ADDRESS.size :])
            if IFA_FLAGS in given:
                (flags,) = struct.unpack("=I", given[IFA_FLAGS])
            if device == index and scope == RT_SCOPE_UNIVERSE and flags & IFA_F_PERMANENT:
                kept = {kind: value for kind, value in given.items() if kind in KEPT}
                kept[IFA_FLAGS] = struct.pack("=I", flags & IFA_F_OF_THE_USER)
                found.append(Address(family, prefix, kept))
        return found

    def move(self, index: int, namespace: int, name: str, new_index: int) -> None:
        """Move a device to the network namespace behind this descriptor, with a name and an index for there."""
        body = LINK.pack(0, 0, index, 0, 0)
        body += attribute(IFLA_NET_NS_FD, struct.pack("=i", namespace))
        body += attribute(IFLA_NEW_IFINDEX, struct.pack("=i", new_index))
        body += attribute(IFLA_IFNAME, name.encode("utf-8", "surrogateescape") + b"\0")
        self.request(RTM_NEWLINK, 0, body)

    def add_address(self, index: int, address: Address) -> None:
        """Give a device an address."""
        family, prefix, given = address
        body = ADDRESS.pack(family, prefix, 0, RT_SCOPE_UNIVERSE, index)
        body += b"".join(attribute(kind, value) for kind, value in given.items())
        self.request(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, body)

    def set_up(self, index: int) -> None:
        """Set a device's state to "up"."""
        self.request(RTM_NEWLINK, 0, LINK.pack(0, 0, index, IFF_UP, IFF_UP))


def _raise_error(payload: bytes, flags: int) -> None:
    """Raise what a message NLMSG_ERROR says, unless it says that all is well."""
    (error,) = struct.unpack_from("=i", payload)
    if not error:
        return
    text = os.strerror(-error)
    if flags & NLM_F_ACK_TLVS:  # the header of the request, then what more the kernel has to say
        said = attributes(payload[4 + HEADER.size :]).get(NLMSGERR_ATTR_MSG, b"").rstrip(b"\0").decode()
        text += f" ({said})" if said else ""
    raise OSError(-error, text)


def move_devices(devices: dict[str, str], namespace: int) -> None:
    """
    Move devices of this network namespace into another, and set them up there.

    All that can be seen to be impossible is found before the first one moves: a virtual device that went with a
    container that came to nothing would be gone.

    Args:
        devices: names of the devices, and their names there; one that ends in "%d" gets the next free number.
        namespace: descriptor of the network namespace.
    """
    here = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        if os.path.samestat(os.fstat(here), os.fstat(namespace)):
            raise Error("linux.netDevices: the container has the network namespace of the runtime")
        try:
            linux.setns(here, CLONE_NEWNET)  # as later, when there would be no way back
        except OSError as e:
            raise Error(f"linux.netDevices: the devices here are not this user's: {reason(e)}") from e
        source = Rtnetlink()
        linux.setns(namespace, CLONE_NEWNET)
        try:
            target = Rtnetlink()
        finally:
            linux.setns(here, CLONE_NEWNET)
    finally:
        os.close(here)
    try:
        _move_devices(devices, namespace, source, target)
    finally:
        source.close()
        target.close()


def _move_devices(devices: dict[str, str], namespace: int, source: Rtnetlink, target: Rtnetlink) -> None:
    taken = target.names()
    indexes = {}
    for name, new_name in devices.items():
        subject = f'linux.netDevices "{name}"'
        try:
            indexes[name] = source.find(name)
        except OSError as e:
            raise Error(f"{subject}: {reason(e)}") from e
        if new_name in taken.values():
            raise Error(f'{subject}: "{new_name}" exists in the network namespace of the container')
    for name, new_name in devices.items():
        index = indexes[name]
        new_index = index if index not in taken else max(*taken, *indexes.values()) + 1
        try:
            addresses = source.lasting_addresses(index)
            source.move(index, namespace, new_name, new_index)
            for address in addresses:
                target.add_address(new_index, address)
            target.set_up(new_index)
        except OSError as e:
            raise Error(f'linux.netDevices "{name}": {reason(e)}') from e
        taken[new_index] = new_name
