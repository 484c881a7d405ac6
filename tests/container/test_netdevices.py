"""linux.netDevices, with real devices between network namespaces that the test makes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from oci.process import wait_for

from lxcri import linux
from lxcri.errors import Error
from lxcri.netlink import CLONE_NEWNET, move_devices

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.bundle import Bundle

pytestmark = pytest.mark.skipif(shutil.which("ip") is None, reason="ip is not there (Debian: iproute2)")


class Networks:
    """
    Two network namespaces in the places of the host's and the container's.

    The test's own thread is in the first; descriptors keep both.
    """

    def __init__(self) -> None:
        self._before = self._open()
        linux.unshare(CLONE_NEWNET)
        self._host = self._open()
        linux.unshare(CLONE_NEWNET)
        self.container = self._open()
        linux.setns(self._host, CLONE_NEWNET)

    @staticmethod
    def _open() -> int:
        return os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def close(self) -> None:
        """Back to the namespace of the test run; what is in the others ends with them."""
        linux.setns(self._before, CLONE_NEWNET)
        for fd in (self._before, self._host, self.container):
            os.close(fd)

    def ip(self, *args: str) -> None:
        """ip(8) on the host."""
        subprocess.run(["ip", *args], check=True)

    def inside(self, *args: str) -> None:
        """ip(8) in the container."""
        linux.setns(self.container, CLONE_NEWNET)
        try:
            self.ip(*args)
        finally:
            linux.setns(self._host, CLONE_NEWNET)

    def pair(self, name: str, peer: str) -> None:
        """Make a virtual device on the host, and its peer there."""
        self.ip("link", "add", "dev", name, "type", "veth", "peer", "name", peer)

    @staticmethod
    def devices() -> dict[str, Any]:
        """The host's devices, as ip(8) tells of them."""
        shown = subprocess.run(["ip", "-json", "address"], check=True, stdout=subprocess.PIPE).stdout
        return {device["ifname"]: device for device in json.loads(shown)}

    def devices_inside(self, namespace: int | None = None) -> dict[str, Any]:
        """The container's devices; those of a running one if its namespace is given."""
        linux.setns(self.container if namespace is None else namespace, CLONE_NEWNET)
        try:
            return self.devices()
        finally:
            linux.setns(self._host, CLONE_NEWNET)

    def move(self, **devices: str) -> None:
        """Move devices into the container; keywords are names on the host."""
        move_devices(devices, self.container)

    def refusal(self, **devices: str) -> str:
        """The text of the Error that moving them gets."""
        with pytest.raises(Error) as error:
            self.move(**devices)
        return str(error.value)


@pytest.fixture
def networks(as_before: None) -> Iterator[Networks]:
    """Two network namespaces."""
    networks = Networks()
    try:
        yield networks
    finally:
        networks.close()


def addresses(device: dict[str, Any]) -> list[tuple[str, int]]:
    """Addresses and prefix lengths of global scope."""
    return [(a["local"], a["prefixlen"]) for a in device["addr_info"] if a["scope"] == "global"]


def test_a_device_moves_and_is_up(networks: Networks) -> None:
    networks.pair("there", "here")
    networks.move(there="there")
    assert set(networks.devices()) == {"lo", "here"}
    inside = networks.devices_inside()
    assert set(inside) == {"lo", "there"}
    assert "UP" in inside["there"]["flags"]


def test_a_device_gets_its_new_name(networks: Networks) -> None:
    networks.pair("there", "here")
    networks.move(there="eth0")
    assert set(networks.devices_inside()) == {"lo", "eth0"}


def test_names_are_of_their_namespace(networks: Networks) -> None:
    """The name there may be that of another device here, and the name here that of another device there."""
    networks.pair("a", "b")
    networks.inside("link", "add", "dev", "c", "type", "veth", "peer", "name", "a")
    networks.move(a="b")
    assert set(networks.devices()) == {"lo", "b"}
    assert set(networks.devices_inside()) == {"lo", "a", "b", "c"}


def test_two_devices_exchange_their_names(networks: Networks) -> None:
    networks.ip("link", "add", "dev", "a", "type", "veth", "peer", "name", "b")
    hardware = {name: device["address"] for name, device in networks.devices().items()}
    networks.move(a="b", b="a")
    inside = networks.devices_inside()
    assert (inside["b"]["address"], inside["a"]["address"]) == (hardware["a"], hardware["b"])


def test_a_template_gets_the_next_number(networks: Networks) -> None:
    networks.inside("link", "add", "dev", "net0", "type", "veth", "peer", "name", "net2")
    networks.pair("a", "b")
    networks.move(a="net%d", b="net%d")
    inside = networks.devices_inside()
    assert set(inside) == {"lo", "net0", "net1", "net2", "net3"}
    assert all("UP" in inside[name]["flags"] for name in ("net1", "net3"))


def test_attributes_stay(networks: Networks) -> None:
    """MTU, hardware address, queue length."""
    networks.pair("there", "here")
    networks.ip("link", "set", "there", "mtu", "1400", "address", "02:00:00:00:00:07", "txqueuelen", "77", "up")
    networks.move(there="eth0")
    device = networks.devices_inside()["eth0"]
    assert (device["mtu"], device["address"], device["txqlen"]) == (1400, "02:00:00:00:00:07", 77)


def test_permanent_addresses_of_global_scope_stay(networks: Networks) -> None:
    networks.pair("there", "here")
    for address in ("192.0.2.1/24", "192.0.2.2/24", "198.51.100.9/32"):
        networks.ip("address", "add", address, "dev", "there")
    networks.ip("address", "add", "192.0.2.5", "peer", "203.0.113.6/30", "dev", "there")
    networks.ip("address", "add", "2001:db8::1/64", "dev", "there", "noprefixroute", "nodad")
    networks.ip("link", "set", "here", "up")
    networks.ip("link", "set", "there", "up")
    networks.move(there="eth0")
    device = networks.devices_inside()["eth0"]
    assert sorted(addresses(device)) == [
        ("192.0.2.1", 24),
        ("192.0.2.2", 24),
        ("192.0.2.5", 30),
        ("198.51.100.9", 32),
        ("2001:db8::1", 64),
    ]
    found = {a["local"]: a for a in device["addr_info"]}
    assert found["192.0.2.2"]["secondary"]
    assert found["192.0.2.5"]["address"] == "203.0.113.6"
    assert found["192.0.2.1"]["label"] == "eth0"
    assert found["2001:db8::1"]["noprefixroute"]
    assert found["2001:db8::1"]["valid_life_time"] == 2**32 - 1


def test_broadcast_addresses_stay(networks: Networks) -> None:
    networks.pair("there", "here")
    networks.ip("address", "add", "192.0.2.1/24", "broadcast", "192.0.2.99", "dev", "there")
    networks.move(there="eth0")
    assert networks.devices_inside()["eth0"]["addr_info"][0]["broadcast"] == "192.0.2.99"


def test_other_addresses_do_not_stay(networks: Networks) -> None:
    """Those with a lifetime, as automatic ones have, and those of smaller scope."""
    networks.pair("there", "here")
    networks.ip("address", "add", "192.0.2.1/24", "dev", "there", "valid_lft", "1000", "preferred_lft", "1000")
    networks.ip("address", "add", "2001:db8::2/64", "dev", "there", "valid_lft", "1000", "preferred_lft", "1000")
    networks.ip("address", "add", "198.51.100.3/24", "dev", "there", "scope", "link")
    networks.move(there="eth0")
    families = {a["local"] for a in networks.devices_inside()["eth0"]["addr_info"]}
    assert not families & {"192.0.2.1", "2001:db8::2", "198.51.100.3"}


def test_addresses_of_other_devices_stay_with_them(networks: Networks) -> None:
    networks.pair("there", "here")
    networks.ip("address", "add", "192.0.2.7/24", "dev", "here")
    networks.move(there="eth0")
    assert addresses(networks.devices()["here"]) == [("192.0.2.7", 24)]
    assert addresses(networks.devices_inside()["eth0"]) == []


def test_an_index_that_is_taken_there(networks: Networks) -> None:
    networks.pair("there", "here")
    index = networks.devices()["there"]["ifindex"]
    networks.inside("link", "add", "dev", "x", "index", str(index), "type", "veth", "peer", "name", "y")
    networks.ip("address", "add", "192.0.2.1/24", "dev", "there")
    networks.move(there="eth0")
    inside = networks.devices_inside()
    assert inside["x"]["ifindex"] == index
    assert "UP" not in inside["x"]["flags"]
    assert addresses(inside["eth0"]) == [("192.0.2.1", 24)]
    assert "UP" in inside["eth0"]["flags"]


def test_many_devices(networks: Networks) -> None:
    """More than one packet of the kernel's answers has room for."""
    for i in range(60):
        networks.pair(f"a{i}", f"b{i}")
        networks.ip("address", "add", f"10.0.{i}.1/24", "dev", f"a{i}")
    networks.move(**{f"a{i}": f"n{i}" for i in range(60)})
    inside = networks.devices_inside()
    assert all(addresses(inside[f"n{i}"]) == [(f"10.0.{i}.1", 24)] for i in range(60))


def test_a_missing_device_is_an_error_before_any_moves(networks: Networks) -> None:
    networks.pair("there", "here")
    assert networks.refusal(there="there", missing="eth1") == 'linux.netDevices "missing": no such device'
    assert set(networks.devices()) == {"lo", "there", "here"}


def test_a_taken_name_is_an_error_before_any_moves(networks: Networks) -> None:
    networks.inside("link", "add", "dev", "eth0", "type", "veth", "peer", "name", "x")
    networks.pair("there", "here")
    assert networks.refusal(here="here", there="eth0") == (
        'linux.netDevices "there": "eth0" exists in the network namespace of the container'
    )
    assert set(networks.devices()) == {"lo", "there", "here"}


def test_a_device_that_cannot_move(networks: Networks) -> None:
    assert networks.refusal(lo="lo0").startswith('linux.netDevices "lo": invalid argument')


def test_the_namespace_of_the_runtime_is_no_place_to_move_to(networks: Networks) -> None:
    networks.pair("there", "here")
    fd = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        with pytest.raises(Error, match=r"^linux\.netDevices: the container has the network namespace of the runtime$"):
            move_devices({"there": "eth0"}, fd)
    finally:
        os.close(fd)
    assert "there" in networks.devices()


def test_the_runtime_is_where_it_was_and_keeps_nothing_open(networks: Networks) -> None:
    networks.pair("there", "here")
    before = os.stat("/proc/self/ns/net"), len(os.listdir("/proc/self/fd"))
    networks.move(there="eth0")
    networks.refusal(missing="eth1")
    assert (os.stat("/proc/self/ns/net"), len(os.listdir("/proc/self/fd"))) == before


def devices_of(networks: Networks, pid: int) -> dict[str, Any]:
    """The devices that a process sees."""
    fd = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    try:
        return networks.devices_inside(fd)
    finally:
        os.close(fd)


@pytest.mark.parametrize("user_namespace", [False, True])
def test_a_container_gets_the_device(networks: Networks, bundle: Bundle, user_namespace: bool) -> None:
    """As soon as it is created. With its namespace, a virtual device ends."""
    if user_namespace:
        bundle.user_namespace()
    networks.pair("there", "here")
    networks.ip("address", "add", "192.0.2.1/24", "dev", "there")
    bundle.linux["netDevices"] = {"there": {"name": "eth0"}}
    container = bundle.container("/bin/sleep", "100")
    container.create()
    inside = devices_of(networks, container.pid)
    assert set(inside) == {"lo", "eth0"}
    assert addresses(inside["eth0"]) == [("192.0.2.1", 24)]
    assert "UP" in inside["eth0"]["flags"]
    container.start()
    container.delete("--force")
    wait_for(lambda: set(networks.devices()) == {"lo"}, "the end of the namespace")


def test_a_device_stays_in_a_joined_namespace(networks: Networks, bundle: Bundle) -> None:
    """The runtime MUST NOT attempt to move the interface out of the namespace."""
    networks.pair("there", "here")
    bundle.namespace("network", path=f"/proc/{os.getpid()}/fd/{networks.container}")
    bundle.linux["netDevices"] = {"there": {}}
    container = bundle.container("/bin/sleep", "100").up()
    assert "there" in devices_of(networks, container.pid)
    container.delete("--force")
    assert set(networks.devices_inside()) == {"lo", "there"}
    assert set(networks.devices()) == {"lo", "here"}


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_hooks_find_the_device(networks: Networks, bundle: Bundle, kind: str) -> None:
    networks.pair("there", "here")
    bundle.linux["netDevices"] = {"there": {"name": "eth0"}}
    enter = "nsenter --net=/proc/$(sed 's/.*\"pid\": *//; s/[^0-9].*//')/ns/net"
    inside = "" if kind == "createContainer" else enter
    seen = bundle.file("seen")
    script = f"{inside} ip -o link > {seen}"
    bundle.config["hooks"] = {
        kind: [{"path": "/bin/sh", "args": ["sh", "-c", script], "env": ["PATH=/usr/sbin:/usr/bin:/sbin:/bin"]}]
    }
    bundle.container("/bin/sleep", "100").up()
    with open(seen) as file:
        assert " eth0@" in file.read()


def test_a_container_without_the_device_is_not_created(networks: Networks, bundle: Bundle) -> None:
    bundle.linux["netDevices"] = {"missing": {}}
    bundle.run("/bin/true").refused("no such device", where='linux.netDevices "missing"')


def test_a_container_with_the_hosts_network_gets_no_device(networks: Networks, bundle: Bundle) -> None:
    networks.pair("there", "here")
    bundle.linux["netDevices"] = {"there": {}}
    bundle.namespace("network", path="/proc/self/ns/net")
    bundle.run("/bin/true").refused(where="linux.netDevices")
    bundle.without_namespace("network")
    bundle.run("/bin/true").refused(where="linux.netDevices")
    assert set(networks.devices()) == {"lo", "there", "here"}
