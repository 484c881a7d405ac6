"""linux.netDevices: which device of the host gets which name."""

from __future__ import annotations

import pytest

from lxcri.compile.net_devices import compile_net_devices
from lxcri.errors import Error
from lxcri.plan import Builder, Join
from lxcri.spec import Linux, Namespace, NetDevice, Spec

HERE = "linux.netDevices"


def names(devices: dict[str, str | None], *, network: bool = True) -> dict[str, str]:
    """Names in a container of these devices' names in the document."""
    namespaces = [Namespace(type="network")] if network else []
    linux = Linux(namespaces=namespaces, net_devices={k: NetDevice(name=v) for k, v in devices.items()})
    return compile_net_devices(Builder(), Spec(oci_version="1.3.0", linux=linux))


def test_a_joined_namespace_that_gets_a_device_is_not_the_hosts() -> None:
    builder = Builder()
    builder.joins.append(Join("linux.namespaces[0]", "network", 0x40000000, "/ns"))
    linux = Linux(namespaces=[Namespace(type="network", path="/ns")], net_devices={"eth0": NetDevice()})
    compile_net_devices(builder, Spec(oci_version="1.3.0", linux=linux))
    assert builder.joins[0].changes == 'linux.netDevices "eth0"'


def test_a_device_keeps_its_name_or_gets_another() -> None:
    assert names({"eth0": None, "eth1": "", "eth2": "lan"}) == {"eth0": "eth0", "eth1": "eth1", "eth2": "lan"}
    assert names({"eth0": "eth1", "eth1": "eth0"}) == {"eth0": "eth1", "eth1": "eth0"}


def test_a_template_may_serve_several_devices() -> None:
    assert names({"eth0": "lan%d", "eth1": "lan%d"}) == {"eth0": "lan%d", "eth1": "lan%d"}


def test_without_a_network_namespace_there_is_no_place_for_devices() -> None:
    assert names({}, network=False) == {}
    with pytest.raises(Error, match=f"^{HERE}: the container has no network namespace for them$"):
        names({"eth0": None}, network=False)


@pytest.mark.parametrize(
    ("devices", "text"),
    [
        ({"eth0": "lan", "eth1": "lan"}, '"eth1": name "lan": another device gets it too'),
        ({"eth0": "eth1", "eth1": None}, '"eth1": name "eth1": another device gets it too'),
        ({"eth%d": None}, '"eth%d": not a name of a network device'),
        ({"": None}, '"": not a name of a network device'),
        *(
            ({"eth0": name}, f'"eth0": name "{name}": not a name of a network device')
            for name in (".", "..", "a/b", "a:b", "a b", "a\tb", "x" * 16, "x" * 15 + "%d", "a%db", "%d%d", "a%", "a%s")
        ),
    ],
)
def test_names_that_cannot_be(devices: dict[str, str | None], text: str) -> None:
    with pytest.raises(Error) as error:
        names(devices)
    assert str(error.value) == f"{HERE} {text}"


def test_a_name_may_be_as_long_as_the_kernel_has_room() -> None:
    assert names({"eth0": "x" * 15, "eth1": "y" * 14 + "%d"}) == {"eth0": "x" * 15, "eth1": "y" * 14 + "%d"}
