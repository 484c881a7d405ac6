"""config.json's linux.namespaces: new, inherited, joined by path; and hostname, which needs one."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from oci import machine, mountinfo, process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.bundle import Bundle
    from oci.runtime import Container

# type in config.json, name in /proc/PID/ns
FILES = {
    "pid": "pid",
    "network": "net",
    "ipc": "ipc",
    "uts": "uts",
    "mount": "mnt",
    "cgroup": "cgroup",
    "user": "user",
    "time": "time",
}
UNSHARE = {
    "network": ["--net"],
    "ipc": ["--ipc"],
    "uts": ["--uts"],
    "cgroup": ["--cgroup"],
    "mount": ["--mount"],
    "time": ["--time", "--boottime", "100000"],
}


def identity(pid: int | str, kind: str) -> str:
    return os.readlink(f"/proc/{pid}/ns/{FILES[kind]}")


@contextlib.contextmanager
def holder(kind: str) -> Iterator[int]:
    """A process in a new namespace of this type; gives its pid."""
    command = subprocess.Popen(["unshare", *UNSHARE[kind], "sleep", "100"])
    file = "time_for_children" if kind == "time" else FILES[kind]
    try:
        process.wait_for(
            lambda: os.readlink(f"/proc/{command.pid}/ns/{file}") != identity("self", kind), f"a new {kind} namespace"
        )
        yield command.pid
    finally:
        command.kill()
        command.wait()


def sleeper(bundle: Bundle) -> Container:
    return bundle.container("/bin/sleep", "100").up()


@pytest.mark.parametrize(
    "kind",
    [
        *("pid", "network", "ipc", "uts", "mount", "cgroup"),
        pytest.param("time", marks=pytest.mark.runc_differs("1.1 does not know time namespaces")),
    ],
)
def test_listed_namespace_is_new(bundle: Bundle, kind: str) -> None:
    """seed: configureNamespaces: lxc.namespace.clone."""
    bundle.namespace(kind)
    assert identity(sleeper(bundle).pid, kind) != identity("self", kind)


@pytest.mark.parametrize("kind", ["pid", "network", "ipc", "uts", "cgroup", "user", "time"])
def test_namespace_not_listed_is_inherited(bundle: Bundle, kind: str) -> None:
    """The container is in the runtime's namespace then."""
    bundle.without_namespace(kind)
    bundle.config.pop("hostname")
    if kind == "network":
        bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["type"] != "sysfs"]
    assert identity(sleeper(bundle).pid, kind) == identity("self", kind)


@pytest.mark.parametrize("kind", ["network", "ipc", "uts"])
def test_namespace_is_joined_by_path(bundle: Bundle, kind: str) -> None:
    """seed: configureNamespaces: lxc.namespace.share."""
    with holder(kind) as pid:
        bundle.namespace(kind, path=f"/proc/{pid}/ns/{FILES[kind]}")
        assert identity(sleeper(bundle).pid, kind) == identity(pid, kind)


def test_pid_namespace_is_joined_by_path(bundle: Bundle) -> None:
    """A sidecar sees the other container's processes; it is not init there."""
    other = bundle.container("/bin/sleep", "100").up()
    bundle.namespace("pid", path=f"/proc/{other.pid}/ns/pid")
    container = bundle.container("/bin/sleep", "101").up()
    assert identity(container.pid, "pid") == identity(other.pid, "pid")
    assert "NSpid:" in container.proc("status")
    fields = dict(line.split(":\t", 1) for line in container.proc("status").splitlines())
    assert int(fields["NSpid"].split()[1]) > 1


@pytest.mark.runc_differs("1.1 does not know time namespaces")
@pytest.mark.parametrize("user", [False, True])
def test_time_namespace_is_joined_by_path(bundle: Bundle, user: bool) -> None:
    """The clocks are those of the other container."""
    bundle.config["ociVersion"] = "1.1.0"
    if user:
        bundle.user_namespace()
    with holder("time") as pid:
        path = f"/proc/{pid}/ns/time_for_children"
        bundle.namespace("time", path=path)
        container = bundle.shell("cat /proc/uptime; exec sleep 100").up()
        assert identity(container.pid, "time") == os.readlink(path)
        uptime = float(container.wait_output(" ").split()[0])
    assert 100000 < uptime - time.clock_gettime(time.CLOCK_BOOTTIME) + 1 < 100100


def test_joining_leaves_other_namespaces_new(bundle: Bundle) -> None:
    """liblxc makes a new cgroup namespace as soon as one is joined; not listed, it must be the runtime's."""
    with holder("network") as pid:
        bundle.namespace("network", path=f"/proc/{pid}/ns/net")
        container = sleeper(bundle)
    assert identity(container.pid, "cgroup") == identity("self", "cgroup")
    for kind in ("pid", "ipc", "uts", "mount"):
        assert identity(container.pid, kind) != identity("self", kind)


def test_namespace_of_the_runtime_may_be_named_by_path(bundle: Bundle) -> None:
    """A path to the runtime's own namespace is the same as leaving the type out."""
    bundle.namespace("ipc", path=f"/proc/{os.getpid()}/ns/ipc")
    assert identity(sleeper(bundle).pid, "ipc") == identity("self", "ipc")


def test_bound_namespace_file_is_joined(bundle: Bundle) -> None:
    """A path as ``ip netns`` makes them: a namespace file bound on a plain file, without any process."""
    path = bundle.file("netns")
    subprocess.run(["unshare", f"--net={path}", "true"], check=True)
    try:
        bundle.namespace("network", path=path)
        container = sleeper(bundle)
        assert os.stat(path).st_ino == os.stat(f"/proc/{container.pid}/ns/net").st_ino
    finally:
        machine.umount(path)


def test_new_network_namespace_has_loopback_up(bundle: Bundle) -> None:
    """As every runtime does."""
    assert "UP" in bundle.sh("ip -o link show lo")


def test_joined_network_namespace_is_left_alone(bundle: Bundle) -> None:
    """Interfaces of a joined namespace are somebody else's: lo stays down."""
    with holder("network") as pid:
        bundle.namespace("network", path=f"/proc/{pid}/ns/net")
        assert "UP" not in bundle.sh("ip -o link show lo").split(">")[0].split("<")[1].split(",")


@pytest.mark.parametrize("kind", ["network", "ipc", "uts", "pid", "mount", "user", "cgroup"])
def test_path_of_another_type_is_refused(bundle: Bundle, kind: str) -> None:
    """The runtime MUST error if the path is not associated with a namespace of the type."""
    wrong = "uts" if kind != "uts" else "ipc"
    bundle.config.pop("hostname")
    with holder(wrong) as pid:
        bundle.namespace(kind, path=f"/proc/{pid}/ns/{FILES[wrong]}")
        bundle.run().refused(where=f"/proc/{pid}/ns/{FILES[wrong]}")


def test_path_that_is_no_namespace_is_refused(bundle: Bundle) -> None:
    """A plain file."""
    path = bundle.file("plain")
    bundle.namespace("network", path=path)
    bundle.run().refused(where=path)


def test_path_that_is_missing_is_refused(bundle: Bundle) -> None:
    """The path and the reason are in the message."""
    bundle.namespace("network", path="/no/such/namespace")
    bundle.run().refused("/no/such/namespace", "no such file or directory", where="linux.namespaces[")


def test_relative_path_is_refused(bundle: Bundle) -> None:
    """path MUST be absolute in the runtime mount namespace."""
    bundle.namespace("network", path="proc/self/ns/net")
    bundle.run().refused("absolute" if bundle.runtime.is_lxcri else "", where="proc/self/ns/net")


def test_duplicate_type_is_refused(bundle: Bundle) -> None:
    """The runtime MUST generate an error for duplicated namespaces of one type."""
    bundle.linux["namespaces"].append({"type": "ipc"})
    bundle.run().refused("ipc", where="linux.namespaces[")


def test_unknown_type_is_refused(bundle: Bundle) -> None:
    """The runtime MUST generate an error for a type that it does not know."""
    bundle.linux["namespaces"].append({"type": "galaxy"})
    bundle.run().refused("galaxy", where="linux.namespaces[5]")


NEEDS_A_MOUNT_NAMESPACE = pytest.mark.runc_differs("mounts in the host's namespace, and chroots", run=False)


@NEEDS_A_MOUNT_NAMESPACE
def test_inherited_mount_namespace(bundle: Bundle) -> None:
    """The container is in the runtime's, sees its own mounts, and the runtime's namespace has none of them."""
    before = mountinfo.of_process()
    bundle.without_namespace("mount")
    container = bundle.shell("test -e /proc/1/stat && test -c /dev/null && echo up; exec sleep 100").up()
    container.wait_output("up")
    assert identity(container.pid, "mount") == identity("self", "mount")
    assert mountinfo.of_process() == before
    assert sorted(os.listdir(container.path("/"))) == sorted(os.listdir(bundle.rootfs))


@NEEDS_A_MOUNT_NAMESPACE
def test_no_namespaces_at_all(bundle: Bundle) -> None:
    """An empty list: everything is inherited."""
    bundle.linux["namespaces"] = []
    bundle.config.pop("hostname")
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["type"] == "proc"]
    container = bundle.container("/bin/sleep", "100").up()
    for kind in ("mount", "pid", "network", "ipc", "uts"):
        assert identity(container.pid, kind) == identity("self", kind)


@NEEDS_A_MOUNT_NAMESPACE
def test_mount_namespace_is_joined_by_path(bundle: Bundle) -> None:
    """Of another process."""
    with holder("mount") as pid:
        bundle.namespace("mount", path=f"/proc/{pid}/ns/mnt")
        container = bundle.container("/bin/sleep", "100").up()
        assert identity(container.pid, "mount") == identity(pid, "mount")


def test_hostname_is_set_in_a_new_uts_namespace(bundle: Bundle) -> None:
    """seed: configureHostname: lxc.uts.name."""
    bundle.config["hostname"] = "some-name.example"
    assert bundle.sh("hostname") == "some-name.example\n"


def test_hostname_is_set_in_a_joined_uts_namespace(bundle: Bundle) -> None:
    """seed: configureHostname: liblxc does not set it in a shared namespace, the runtime does."""
    bundle.config["hostname"] = "joined"
    with holder("uts") as pid:
        bundle.namespace("uts", path=f"/proc/{pid}/ns/uts")
        assert bundle.sh("hostname") == "joined\n"
        seen = subprocess.run(
            ["nsenter", f"--uts=/proc/{pid}/ns/uts", "hostname"],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
        )
        assert seen.stdout == "joined\n"


def test_joined_uts_namespace_keeps_its_name_without_hostname(bundle: Bundle) -> None:
    """No hostname: nothing is set."""
    bundle.config.pop("hostname")
    with holder("uts") as pid:
        subprocess.run(["nsenter", f"--uts=/proc/{pid}/ns/uts", "hostname", "before"], check=True)
        bundle.namespace("uts", path=f"/proc/{pid}/ns/uts")
        assert bundle.sh("hostname") == "before\n"


def test_hostname_without_uts_namespace_is_refused(bundle: Bundle) -> None:
    """It would be the host's name. That this has not changed is part of the check after each test."""
    bundle.without_namespace("uts")
    bundle.run().refused("hostname", where="hostname")


@pytest.mark.runc_differs("sets the host's name", run=False)
def test_hostname_for_the_hosts_uts_namespace_by_path_is_refused(bundle: Bundle) -> None:
    """seed: configureHostname: a namespace shared with the runtime: the host's name must not be set."""
    bundle.namespace("uts", path=f"/proc/{os.getpid()}/ns/uts")
    bundle.run().refused("hostname", where="hostname")


@pytest.mark.lxcri_only("runc sets the host's, or does not know domainname")
def test_domainname_for_the_hosts_uts_namespace_by_path_is_refused(bundle: Bundle) -> None:
    """As the host's name."""
    bundle.config.pop("hostname")
    bundle.config["domainname"] = "domain"
    bundle.namespace("uts", path=f"/proc/{os.getpid()}/ns/uts")
    bundle.run().refused("domainname", where="domainname")


def test_hostname_too_long_is_refused(bundle: Bundle) -> None:
    """The kernel takes 64 bytes."""
    bundle.config["hostname"] = "x" * 65
    bundle.run().refused(where="hostname")


@pytest.mark.runc_differs("1.1 does not know domainname")
def test_domainname_is_set(bundle: Bundle) -> None:
    """domainname, since version 1.1 of the specification."""
    bundle.config["ociVersion"] = "1.1.0"
    bundle.config["domainname"] = "some.domain"
    assert bundle.sh("cat /proc/sys/kernel/domainname") == "some.domain\n"


@pytest.mark.runc_differs("1.1 does not know time namespaces")
def test_time_namespace_with_offsets(bundle: Bundle) -> None:
    """linux.timeOffsets: seconds and nanoseconds, for both clocks."""
    bundle.config["ociVersion"] = "1.1.0"
    bundle.namespace("time")
    bundle.linux["timeOffsets"] = {
        "monotonic": {"secs": 172800, "nanosecs": 500000000},
        "boottime": {"secs": 604800},
    }
    lines = [line.split() for line in bundle.sh("cat /proc/self/timens_offsets").splitlines()]
    assert [line[1:] for line in lines] == [["172800", "500000000"], ["604800", "0"]]
