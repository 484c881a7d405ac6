"""What an ordinary user can never do: docs/rootless.md has a line for each of these, with the error."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from oci.rootless import Rootless, subordinate_user
from oci.user import SUBORDINATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from oci.bundle import Bundle
    from oci.machine import Machine
    from oci.user import User

pytestmark = [
    pytest.mark.lxcri_only(reason="runc has other words"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv (util-linux)"),
]

DOCUMENT = os.path.join(os.path.dirname(__file__), "../../docs/rootless.md")


def resources(**properties: Any) -> Callable[[Bundle], None]:
    """linux.resources."""
    return lambda bundle: bundle.linux.update(resources=properties)


def process(**properties: Any) -> Callable[[Bundle], None]:
    """Properties of the process."""
    return lambda bundle: bundle.process.update(properties)


def linux(**properties: Any) -> Callable[[Bundle], None]:
    """Properties of linux."""
    return lambda bundle: bundle.linux.update(properties)


def joined(kind: str) -> Callable[[Bundle], None]:
    """A namespace of another user's."""
    return lambda bundle: bundle.namespace(kind, path=f"/proc/1/ns/{kind[:3] if kind == 'network' else kind}")


def mounted(destination: str, source: str, kind: str, *options: str) -> Callable[[Bundle], None]:
    """A mount."""

    def change(bundle: Bundle) -> None:
        bundle.mount(destination, source, kind, options)

    return change


IDS = [{"containerID": 0, "hostID": SUBORDINATE, "size": 10}]


def id_mapped(bundle: Bundle) -> None:
    """A bind mount with ids of its own."""
    bundle.config["mounts"].append(
        {
            "destination": "/data", "type": "bind", "source": bundle.rootfs, "options": ["bind"],
            "uidMappings": IDS, "gidMappings": IDS,
        }
    )  # fmt: skip


def root_of_others(bundle: Bundle) -> None:
    """A root file system that is not the user's."""
    bundle.config["root"]["path"] = "/root"


def other_ids(bundle: Bundle) -> None:
    """Of nobody's, at least not of the user's."""
    mappings = [{"containerID": 0, "hostID": 1000000, "size": 10}]
    bundle.namespace("user")
    bundle.linux.update(uidMappings=mappings, gidMappings=mappings)


REFUSED: dict[str, tuple[Callable[[Bundle], None], str]] = {
    "a limit without a cgroup": (
        resources(memory={"limit": 1 << 26}),
        "linux.resources.memory.limit: the controller memory is not available",
    ),
    "ids of others": (
        other_ids, "linux.uidMappings: newuidmap: uid range [1000000-1000010) -> [1000000-1000010) not allowed",
    ),
    "network of others": (
        joined("network"), 'linux.namespaces[4]: path "/proc/1/ns/net": permission denied',
    ),
    "user namespace of others": (
        joined("user"), "linux.namespaces: only root can have a container join a user namespace",
    ),
    "device that is not there": (
        linux(devices=[{"path": "/dev/missing", "type": "c", "major": 240, "minor": 9}]),
        'linux.devices[0] "/dev/missing": source "/dev/missing": no such file or directory',
    ),
    "more open files": (
        process(rlimits=[{"type": "RLIMIT_NOFILE", "hard": 1 << 30, "soft": 1 << 30}]),
        "process.rlimits[0] RLIMIT_NOFILE: setrlimit: operation not permitted",
    ),
    "safe from the OOM killer": (
        process(oomScoreAdj=-500),
        "liblxc: failed to setup proc filesystem oom_score_adj to -500: permission denied",
    ),
    "realtime": (
        process(scheduler={"policy": "SCHED_FIFO", "priority": 5}),
        "process.scheduler: sched_setattr: operation not permitted",
    ),
    "realtime for disks": (
        process(ioPriority={"class": "IOPRIO_CLASS_RT", "priority": 1}),
        "process.ioPriority: ioprio_set: operation not permitted",
    ),
    "file system of a disk": (
        mounted("/data", "/dev/zram0", "ext4"), 'mounts[6] "/data": mount: operation not permitted',
    ),
    "id-mapped mount": (id_mapped, '/rootfs": operation not permitted'),
    "source of others": (
        mounted("/data", "/root", "bind", "bind"), 'mounts[6] "/data": mount: permission denied',
    ),
    "root file system of others": (root_of_others, 'root.path "/root": mkdir dev: permission denied'),
    "network device of the host": (
        linux(netDevices={"lo": {}}), "linux.netDevices: the devices here are not this user's: operation not permitted",
    ),
    "cache of the processor": (linux(intelRdt={"closID": "x"}), "linux.intelRdt: "),
    "clock of the whole machine": (
        linux(sysctl={"kernel.panic": "1"}), 'linux.sysctl "kernel.panic": not in a separate kernel namespace',
    ),
}  # fmt: skip


@pytest.fixture
def user(machine: Machine, as_before: None) -> Iterator[User]:
    """One with subordinate ids."""
    yield from subordinate_user(machine)


@pytest.mark.parametrize("name", REFUSED)
def test_refused(bundle: Bundle, user: User, name: str) -> None:
    """With this error, and nothing left."""
    rootless = Rootless(bundle, user, subordinate=True)
    change, error = REFUSED[name]
    change(bundle)
    rootless.refused(error)


def test_document() -> None:
    """It has all of these."""
    with open(DOCUMENT) as file:
        text = file.read()
    assert [error for _, error in REFUSED.values() if error not in text] == []
