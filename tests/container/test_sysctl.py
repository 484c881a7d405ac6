"""config.json's linux.sysctl."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from oci.bundle import Bundle


def test_sysctl_of_the_network_namespace(bundle: Bundle) -> None:
    """seed: configureContainer: lxc.sysctl."""
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1", "net.ipv4.ip_local_port_range": "2000\t3000"}
    out = bundle.sh("cat /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/ip_local_port_range")
    assert out.split() == ["1", "2000", "3000"]


def test_sysctl_of_the_ipc_namespace(bundle: Bundle) -> None:
    """kernel.shm*, msg*, sem and fs.mqueue.*."""
    bundle.linux["sysctl"] = {"kernel.shmmni": "4242", "fs.mqueue.msg_max": "17"}
    assert bundle.sh("cat /proc/sys/kernel/shmmni /proc/sys/fs/mqueue/msg_max").split() == ["4242", "17"]


def test_sysctl_is_written_before_paths_are_readonly(bundle: Bundle) -> None:
    """/proc/sys is in every engine's readonlyPaths."""
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    bundle.linux["readonlyPaths"] = ["/proc/sys"]
    bundle.config["root"]["readonly"] = True
    assert bundle.sh("cat /proc/sys/net/ipv4/ip_forward") == "1\n"


def test_sysctl_with_slashes(bundle: Bundle) -> None:
    """net/ipv4/... is the same as net.ipv4...., so that names with dots in them can be written."""
    bundle.linux["sysctl"] = {"net/ipv4/ip_forward": "1"}
    assert bundle.sh("cat /proc/sys/net/ipv4/ip_forward") == "1\n"


def test_sysctl_of_the_host_is_an_error(bundle: Bundle) -> None:
    """What no namespace holds is the host's."""
    bundle.linux["sysctl"] = {"kernel.pid_max": "99999"}
    bundle.run().refused("kernel.pid_max", where="linux.sysctl")


@pytest.mark.parametrize(("name", "namespace"), [("net.ipv4.ip_forward", "network"), ("kernel.shmmni", "ipc")])
def test_sysctl_of_an_inherited_namespace_is_an_error(bundle: Bundle, name: str, namespace: str) -> None:
    """Without a namespace of its own the container would change the host's."""
    bundle.without_namespace(namespace)
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["type"] not in ("sysfs", "mqueue")]
    bundle.linux["sysctl"] = {name: "1"}
    bundle.run().refused(name, where="linux.sysctl")


@pytest.mark.runc_differs("changes what is not the network's", run=False)
@pytest.mark.parametrize(
    ("name", "namespace", "file"),
    [
        ("net.ipv4.ip_forward", "network", "net"),
        ("kernel.shmmni", "ipc", "ipc"),
        ("kernel.domainname", "uts", "uts"),
    ],
)
def test_sysctl_of_the_hosts_namespace_by_path_is_an_error(
    bundle: Bundle, name: str, namespace: str, file: str
) -> None:
    """It would be the host's, whatever its namespace is called."""
    bundle.namespace(namespace, path=f"/proc/{os.getpid()}/ns/{file}")
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["type"] not in ("sysfs", "mqueue")]
    if namespace == "uts":
        bundle.config.pop("hostname")
    bundle.linux["sysctl"] = {name: "1"}
    with open(f"/proc/sys/{name.replace('.', '/')}") as sysctl:
        before = sysctl.read()
        bundle.run().refused(name, where="linux.sysctl")
        sysctl.seek(0)
        assert sysctl.read() == before


def test_unknown_sysctl_is_an_error(bundle: Bundle) -> None:
    """Named in the message, with the reason."""
    bundle.linux["sysctl"] = {"net.ipv4.no_such_thing": "1"}
    bundle.run().refused("no_such_thing", "no such file or directory", where="net.ipv4.no_such_thing")


def test_bad_value_is_an_error(bundle: Bundle) -> None:
    """The kernel's refusal is reported."""
    bundle.linux["sysctl"] = {"net.ipv4.ip_forward": "many"}
    bundle.run().refused("ip_forward", "invalid argument", where="net.ipv4.ip_forward")
