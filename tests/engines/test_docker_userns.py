"""docker with userns-remap: every container has a user namespace."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from oci import process
from oci.docker import IMAGE, Docker, running
from oci.machine import MS_BIND, mount, umount

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.machine import Machine
    from oci.rootfs import Skeleton
    from oci.runtime import Runtime

SLEEP = ("/bin/sleep", "100")


@pytest.fixture(scope="module")
def remapped(machine: Machine, runtime: Runtime, skeleton: Skeleton) -> Iterator[Docker]:
    """docker whose containers' root is 200000 of the host."""
    for name in ("subuid", "subgid"):
        path = os.path.join(machine.work, name)
        with open(path, "w") as file:
            file.write("nobody:200000:65536\n")
        mount(path, f"/etc/{name}", flags=MS_BIND)
    with running(machine, runtime, skeleton, "--userns-remap", "nobody:nogroup") as docker:
        yield docker
    for name in ("subuid", "subgid"):
        umount(f"/etc/{name}")


@pytest.fixture
def docker(remapped: Docker, as_before: None) -> Iterator[Docker]:
    """docker without containers, before and after."""
    yield remapped
    names = remapped("ps", "--all", "--format", "{{.Names}}").ok().stdout.split()
    if names:
        remapped("rm", "--force", "--volumes", *names).ok()
    process.wait_for(lambda: not process.children(), "the end of the shims")


@pytest.mark.parametrize(
    ("options", "script", "expected"),
    [
        ([], "cat /proc/self/uid_map", "0 200000 65536"),
        (["--user", "1000:1000"], "id -u; grep CapEff /proc/self/status", "1000 CapEff: 0000000000000000"),
        (["--tmpfs", "/srv", "--read-only"], "touch /srv/x && stat -c %u /srv/x; touch /x 2>&1 | grep -c Read", "0 1"),
        (["--device", "/dev/zero"], "head -c 3 /dev/zero | wc -c", "3"),
        (["--memory", "64m"], "cat /sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864"),
        (["--sysctl", "net.ipv4.ip_default_ttl=77"], "cat /proc/sys/net/ipv4/ip_default_ttl", "77"),
        (["--userns", "host"], "cat /proc/self/uid_map", "0 0 4294967295"),
        (["-v", "/data"], "touch /data/x && stat -c %u /data/x", "0"),
        ([], "grep Seccomp: /proc/self/status; ls /proc/self/fd | tr '\\n' ' '", "Seccomp: 2 0 1 2 3"),
    ],
)
def test_run(docker: Docker, options: list[str], script: str, expected: str) -> None:
    """One option, seen from inside."""
    result = docker.run(*options, IMAGE, "/bin/sh", "-c", script).ok()
    assert result.stdout.split() == expected.split(), result


def test_bridge(docker: Docker) -> None:
    """The network namespace belongs to the user namespace, and docker's hook reaches it."""
    docker("run", "-d", "--name", "one", IMAGE, *SLEEP).ok()
    assert docker("exec", "one", "/bin/sh", "-c", "ip route | grep -c default").stdout == "1\n"


def test_life(docker: Docker) -> None:
    """exec, pause, update, kill; the host sees the mapped ids."""
    docker.detached("one", IMAGE, *SLEEP)
    assert os.stat(f"/proc/{docker.inspect('one', '{{.State.Pid}}')}").st_uid == 200000
    assert docker("exec", "one", "cat", "/proc/self/uid_map").ok().stdout.split() == ["0", "200000", "65536"]
    docker("exec", "-u", "1000", "one", "touch", "/tmp/mark").ok()
    docker("pause", "one").ok()
    docker("unpause", "one").ok()
    docker("update", "--memory", "64m", "--memory-swap", "64m", "one").ok()
    docker("kill", "one").ok()
    assert docker("wait", "one").ok().stdout == "137\n"
    docker("restart", "--time", "0", "one").ok()
    docker("rm", "--force", "one").ok()
