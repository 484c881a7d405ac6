"""config.md and config-linux.md: how the process gets CPU, I/O and memory, and its execution domain."""

from sys import byteorder

import msgspec

from ..errors import Error
from ..plan import Builder
from ..spec import IOPriority, MemoryPolicy, Personality, Process, Scheduler, Spec


class Policy(msgspec.Struct, frozen=True, gc=False):
    """A scheduling policy: its number, and which properties it has a use for.

    Args:
        number: SCHED_* of the kernel.
        nice, priority, deadline: whether it looks at nice, at priority, and at runtime, deadline and period.
    """

    number: int
    nice: bool = False
    priority: bool = False
    deadline: bool = False


POLICIES = {
    "SCHED_OTHER": Policy(0, nice=True),
    "SCHED_FIFO": Policy(1, priority=True),
    "SCHED_RR": Policy(2, priority=True),
    "SCHED_BATCH": Policy(3, nice=True),
    "SCHED_IDLE": Policy(5, nice=True),
    "SCHED_DEADLINE": Policy(6, deadline=True),
}

NO_POLICIES = {"SCHED_ISO": "no Linux kernel has this policy"}
"""Policies of the document that cannot be had, and why."""

SCHEDULER_FLAGS = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}

KEEP_POLICY = SCHEDULER_FLAGS["SCHED_FLAG_KEEP_POLICY"]
KEEP_PARAMS = SCHEDULER_FLAGS["SCHED_FLAG_KEEP_PARAMS"]

NICE = (-20, 19)
PRIORITY = (1, 99)
"""Of the real-time policies; the others have 0 only."""
RUNTIME_MIN = 1024
"""Nanoseconds; the kernel counts in units of them."""
TIME_MAX = 2**63 - 1

IO_CLASSES = {
    "IOPRIO_CLASS_RT": 1,
    "IOPRIO_CLASS_BE": 2,
    "IOPRIO_CLASS_IDLE": 3,
}
IO_CLASS_SHIFT = 13
IO_PRIORITY_MAX = 7

MEMORY_MODES = {
    # mode: (MPOL_* of linux/mempolicy.h, whether it needs nodes; None: it may have some)
    "MPOL_DEFAULT": (0, False),
    "MPOL_PREFERRED": (1, None),
    "MPOL_BIND": (2, True),
    "MPOL_INTERLEAVE": (3, True),
    "MPOL_LOCAL": (4, False),
    "MPOL_PREFERRED_MANY": (5, True),
    "MPOL_WEIGHTED_INTERLEAVE": (6, True),  # since Linux 6.9
}

MEMORY_FLAGS = {
    "MPOL_F_NUMA_BALANCING": 1 << 13,
    "MPOL_F_RELATIVE_NODES": 1 << 14,
    "MPOL_F_STATIC_NODES": 1 << 15,
}

CPUS_MAX = 8192
"""The largest number of CPUs that a kernel can be built for."""

NODES_MAX = 1024
"""The largest number of memory nodes that a kernel can be built for."""

DOMAINS = {"LINUX": 0x0000, "LINUX32": 0x0008}
"""Execution domains: PER_* of personality(2)."""


def compile_scheduling(builder: Builder, spec: Spec) -> None:
    """Instructions for scheduler, ioPriority, memoryPolicy and personality; raises Error."""
    process, linux = spec.process, spec.linux
    assert process is not None
    if linux is not None and linux.personality is not None:
        # before `start`, so that hooks in the container see what its process will see
        builder.add("ready", "personality", "linux.personality", personality_number(linux.personality))
    if process.scheduler is not None:
        builder.add("start", "scheduler", "process.scheduler", *scheduler_arguments(process.scheduler))
        if process.scheduler.nice and not POLICIES[process.scheduler.policy].nice:
            builder.warn(f"process.scheduler.nice: without effect on {process.scheduler.policy}")
    if process.io_priority is not None:
        builder.add("start", "ioprio", "process.ioPriority", io_priority_number(process.io_priority))
    if linux is not None and linux.memory_policy is not None:
        mode, nodes = memory_policy_arguments(linux.memory_policy)
        builder.add("start", "memory_policy", "linux.memoryPolicy", mode, nodes)


def exec_cpus(process: Process) -> tuple[list[int], list[int]]:
    """The CPUs of execCPUAffinity, initial and final, each empty where it does not say; raises Error."""
    affinity = process.exec_cpu_affinity

    def cpus(text: str | None, name: str) -> list[int]:
        mask = list_mask(text or "", CPUS_MAX, f"process.execCPUAffinity.{name}")
        return [cpu for cpu in range(mask.bit_length()) if mask >> cpu & 1]

    return (cpus(affinity.initial, "initial"), cpus(affinity.final, "final")) if affinity else ([], [])


def scheduler_arguments(scheduler: Scheduler) -> tuple[int, int, int, int, int, int, int]:
    """Policy, flags, nice, priority, runtime, deadline and period for sched_setattr(2); raises Error."""
    subject = "process.scheduler"
    if scheduler.policy in NO_POLICIES:
        raise Error(f"{subject}.policy: {scheduler.policy}: {NO_POLICIES[scheduler.policy]}")
    policy = POLICIES.get(scheduler.policy)
    if policy is None:
        raise Error(f'{subject}.policy: "{scheduler.policy}" does not exist')
    flags = _flags(scheduler.flags, SCHEDULER_FLAGS, subject)
    if not NICE[0] <= scheduler.nice <= NICE[1]:
        raise Error(f"{subject}.nice: {scheduler.nice} is not between {NICE[0]} and {NICE[1]}")
    # with these flags the kernel takes the policy, or all the rest, from what the process has already
    if flags & KEEP_PARAMS == 0:
        _check_priority(scheduler, policy, subject, known=flags & KEEP_POLICY == 0)
        _check_times(scheduler, policy, subject, known=flags & KEEP_POLICY == 0)
    return (
        policy.number,
        flags,
        scheduler.nice,
        scheduler.priority,
        scheduler.runtime,
        scheduler.deadline,
        scheduler.period,
    )


def _check_priority(scheduler: Scheduler, policy: Policy, subject: str, *, known: bool) -> None:
    least, greatest = PRIORITY
    if not policy.priority and scheduler.priority:
        raise Error(f"{subject}.priority: {scheduler.policy} has none, only SCHED_FIFO and SCHED_RR have")
    if policy.priority and known and not least <= scheduler.priority <= greatest:
        raise Error(f"{subject}.priority: {scheduler.priority} is not between {least} and {greatest}")


def _check_times(scheduler: Scheduler, policy: Policy, subject: str, *, known: bool) -> None:
    times = {"runtime": scheduler.runtime, "deadline": scheduler.deadline, "period": scheduler.period}
    for name, value in times.items():
        if value and not policy.deadline:
            raise Error(f"{subject}.{name}: {scheduler.policy} has none, only SCHED_DEADLINE has")
        if value > TIME_MAX:
            raise Error(f"{subject}.{name}: {value} is more than {TIME_MAX}")
    if not policy.deadline or not known:
        return
    if scheduler.runtime < RUNTIME_MIN:
        raise Error(f"{subject}.runtime: {scheduler.runtime} is less than {RUNTIME_MIN} nanoseconds")
    if scheduler.deadline < scheduler.runtime:
        raise Error(f"{subject}.deadline: {scheduler.deadline} is less than runtime, {scheduler.runtime}")
    if scheduler.period and scheduler.period < scheduler.deadline:
        raise Error(f"{subject}.period: {scheduler.period} is less than deadline, {scheduler.deadline}")


def io_priority_number(priority: IOPriority) -> int:
    """What ioprio_set(2) takes; raises Error."""
    subject = "process.ioPriority"
    if priority.class_ not in IO_CLASSES:
        raise Error(f'{subject}.class: "{priority.class_}" does not exist')
    if not 0 <= priority.priority <= IO_PRIORITY_MAX:
        raise Error(f"{subject}.priority: {priority.priority} is not between 0 and {IO_PRIORITY_MAX}")
    return IO_CLASSES[priority.class_] << IO_CLASS_SHIFT | priority.priority


def memory_policy_arguments(policy: MemoryPolicy) -> tuple[int, bytes]:
    """Mode with its flags, and nodes as an array of unsigned long, for set_mempolicy(2); raises Error."""
    subject = "linux.memoryPolicy"
    if policy.mode not in MEMORY_MODES:
        raise Error(f'{subject}.mode: "{policy.mode}" does not exist')
    mode, needs_nodes = MEMORY_MODES[policy.mode]
    flags = _flags(policy.flags, MEMORY_FLAGS, subject)
    mask = list_mask(policy.nodes or "", NODES_MAX, f"{subject}.nodes")
    if needs_nodes is True and not mask:
        raise Error(f"{subject}.nodes: {policy.mode} needs at least one")
    if needs_nodes is False and mask:
        raise Error(f"{subject}.nodes: {policy.mode} has none")
    size = -(-mask.bit_length() // 64)
    words = [(mask >> 64 * i & 2**64 - 1).to_bytes(8, byteorder) for i in range(size)]
    return mode | flags, b"".join(words)


def list_mask(text: str, limit: int, subject: str) -> int:
    """The mask of a list like "0-3,7", bit N for number N; numbers are below `limit`. Raises Error."""
    mask = 0
    for part in text.split(",") if text.strip() else []:
        first, dash, last = part.partition("-")
        numbers = [n.strip() for n in ((first, last) if dash else (first, first))]
        if not all(n.isascii() and n.isdecimal() for n in numbers):
            raise Error(f'{subject}: "{text}" is not a list like "0-3,7"')
        if any(len(n.lstrip("0")) > len(str(limit)) for n in numbers):  # int() refuses very long ones
            raise Error(f'{subject}: "{text}": a number is not below {limit}')
        low, high = map(int, numbers)
        if low > high:
            raise Error(f'{subject}: "{text}": {low} is after {high}')
        if high >= limit:
            raise Error(f'{subject}: "{text}": {high} is not below {limit}')
        mask |= (1 << high + 1) - (1 << low)
    return mask


def personality_number(personality: Personality) -> int:
    """What personality(2) takes; raises Error."""
    subject = "linux.personality"
    if personality.domain not in DOMAINS:
        raise Error(f'{subject}.domain: "{personality.domain}" does not exist')
    if personality.flags:
        raise Error(f'{subject}.flags: "{personality.flags[0]}": the specification defines no flags')
    return DOMAINS[personality.domain]


def _flags(names: list[str], table: dict[str, int], subject: str) -> int:
    flags = 0
    for i, name in enumerate(names):
        if name not in table:
            raise Error(f'{subject}.flags[{i}]: "{name}" does not exist')
        flags |= table[name]
    return flags
