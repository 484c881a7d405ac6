"""process.scheduler and ioPriority, linux.memoryPolicy and personality, as the kernel tells of them."""

from __future__ import annotations

import ctypes
import os
from typing import TYPE_CHECKING, Any

import pytest
from oci.process import wait_for

if TYPE_CHECKING:
    from oci.bundle import Bundle

SCHED_DEADLINE = 6
SYS_IOPRIO_GET = 252 if os.uname().machine == "x86_64" else 31
SYS_SCHED_GETATTR = 315 if os.uname().machine == "x86_64" else 275

_libc = ctypes.CDLL(None, use_errno=True)


class Attributes(ctypes.Structure):
    """struct sched_attr of sched_getattr(2)."""

    _fields_ = (
        ("size", ctypes.c_uint32),
        ("policy", ctypes.c_uint32),
        ("flags", ctypes.c_uint64),
        ("nice", ctypes.c_int32),
        ("priority", ctypes.c_uint32),
        ("runtime", ctypes.c_uint64),
        ("deadline", ctypes.c_uint64),
        ("period", ctypes.c_uint64),
    )


def attributes(pid: int) -> Attributes:
    """How a process is scheduled."""
    found = Attributes()
    if _libc.syscall(SYS_SCHED_GETATTR, pid, ctypes.byref(found), ctypes.sizeof(found), 0):
        raise OSError(ctypes.get_errno(), "sched_getattr")
    return found


def scheduled(bundle: Bundle, **scheduler: Any) -> Attributes:
    """How the process of a container with this scheduler is scheduled."""
    bundle.process["scheduler"] = scheduler
    return attributes(bundle.container("/bin/sleep", "100").up().pid)


@pytest.fixture
def realtime(bundle: Bundle) -> None:
    """With CONFIG_RT_GROUP_SCHED a cgroup of v1 has no realtime processes unless it gets time for them."""
    if os.path.exists("/sys/fs/cgroup/cpu/cpu.rt_runtime_us"):
        bundle.resources["cpu"] = {"realtimeRuntime": 1000, "realtimePeriod": 1_000_000}


@pytest.mark.parametrize(
    ("policy", "number", "nice", "priority"),
    [
        ("SCHED_OTHER", os.SCHED_OTHER, -20, 0),
        ("SCHED_OTHER", os.SCHED_OTHER, 19, 0),
        ("SCHED_BATCH", os.SCHED_BATCH, 7, 0),
        ("SCHED_IDLE", os.SCHED_IDLE, 0, 0),
        ("SCHED_FIFO", os.SCHED_FIFO, 0, 1),
        ("SCHED_RR", os.SCHED_RR, 0, 99),
    ],
)
def test_policy(bundle: Bundle, realtime: None, policy: str, number: int, nice: int, priority: int) -> None:
    found = scheduled(bundle, policy=policy, nice=nice, priority=priority)
    assert (found.policy, found.nice, found.priority, found.flags) == (number, nice, priority, 0)


def test_deadline(bundle: Bundle) -> None:
    found = scheduled(bundle, policy="SCHED_DEADLINE", runtime=1_000_000, deadline=20_000_000, period=100_000_000)
    assert (found.policy, found.runtime, found.deadline, found.period) == (
        SCHED_DEADLINE,
        1_000_000,
        20_000_000,
        100_000_000,
    )


def test_reset_on_fork(bundle: Bundle, realtime: None) -> None:
    """The process has its policy, its children have not."""
    flags = ["SCHED_FLAG_RESET_ON_FORK"]
    bundle.process["scheduler"] = {"policy": "SCHED_FIFO", "priority": 5, "flags": flags}
    pid = bundle.shell("sleep 100 & wait").up().pid
    child = wait_for(lambda: children(pid), "a child")[0]
    found = attributes(pid)
    assert (found.policy, found.priority, found.flags) == (os.SCHED_FIFO, 5, 1)
    assert attributes(child).policy == os.SCHED_OTHER


def children(pid: int) -> list[int]:
    """Pids of a process's children."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def test_policy_that_does_not_exist(bundle: Bundle) -> None:
    bundle.process["scheduler"] = {"policy": "SCHED_ISO"}
    bundle.run("/bin/true").refused("SCHED_ISO", where="process.scheduler")


def test_scheduling_holds_without_the_capability_for_it(bundle: Bundle, realtime: None) -> None:
    """It is set before the capabilities go, and before the user is another."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["ioPriority"] = {"class": "IOPRIO_CLASS_RT", "priority": 0}
    found = scheduled(bundle, policy="SCHED_RR", priority=3)
    assert (found.policy, found.priority) == (os.SCHED_RR, 3)


def test_hooks_are_not_scheduled_so(bundle: Bundle) -> None:
    """startContainer hooks run before: a process with a deadline could not even fork."""
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/true"}]}
    found = scheduled(bundle, policy="SCHED_DEADLINE", runtime=1_000_000, deadline=20_000_000, period=100_000_000)
    assert found.policy == SCHED_DEADLINE


@pytest.mark.parametrize("cls", ["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"])
def test_io_priority(bundle: Bundle, cls: str) -> None:
    bundle.process["ioPriority"] = {"class": cls, "priority": 5}
    pid = bundle.container("/bin/sleep", "100").up().pid
    number = ["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"].index(cls) + 1
    assert _libc.syscall(SYS_IOPRIO_GET, 1, pid) == number << 13 | 5


@pytest.mark.parametrize(
    ("policy", "shown"),
    [
        ({"mode": "MPOL_DEFAULT"}, "default"),
        ({"mode": "MPOL_BIND", "nodes": "0"}, "bind:0"),
        ({"mode": "MPOL_INTERLEAVE", "nodes": "0"}, "interleave:0"),
        ({"mode": "MPOL_PREFERRED", "nodes": "0"}, "prefer:0"),
        ({"mode": "MPOL_PREFERRED"}, "local"),
        ({"mode": "MPOL_PREFERRED_MANY", "nodes": "0"}, "prefer (many):0"),
        ({"mode": "MPOL_LOCAL"}, "local"),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_STATIC_NODES"]}, "bind=static:0"),
        ({"mode": "MPOL_BIND", "nodes": "0", "flags": ["MPOL_F_RELATIVE_NODES"]}, "bind=relative:0"),
    ],
)
def test_memory_policy(bundle: Bundle, policy: dict[str, Any], shown: str) -> None:
    bundle.linux["memoryPolicy"] = policy
    line = bundle.sh("head -n 1 /proc/self/numa_maps")
    assert line.split(" ", 1)[1].startswith(f"{shown} ")


def test_memory_policy_with_nodes_that_are_not_there(bundle: Bundle) -> None:
    bundle.linux["memoryPolicy"] = {"mode": "MPOL_BIND", "nodes": "1000"}
    bundle.run("/bin/true").refused("set_mempolicy: invalid argument", where="linux.memoryPolicy")


@pytest.mark.parametrize(("domain", "number"), [("LINUX", 0), ("LINUX32", 8)])
def test_personality(bundle: Bundle, domain: str, number: int) -> None:
    bundle.linux["personality"] = {"domain": domain}
    shown, machine = bundle.sh("cat /proc/self/personality; uname -m").split()
    assert int(shown, 16) == number
    own = os.uname().machine
    assert machine == (own if domain == "LINUX" else {"x86_64": "i686", "aarch64": "armv8l"}[own])
