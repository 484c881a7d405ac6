"""Scheduler, I/O priority, memory policy and personality: what they are to the kernel, and what is refused."""

from __future__ import annotations

import os
from sys import byteorder
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from lxcri.compile import scheduling
from lxcri.errors import Error
from lxcri.plan import Builder
from lxcri.spec import IOPriority, Linux, MemoryPolicy, Personality, Process, Scheduler, Spec

if TYPE_CHECKING:
    from collections.abc import Callable

DEADLINE = {"runtime": 1_000_000, "deadline": 2_000_000, "period": 4_000_000}


def scheduler(policy: str, **properties: Any) -> tuple[int, ...]:
    """Arguments of sched_setattr(2)."""
    return scheduling.scheduler_arguments(Scheduler(policy=policy, **properties))


def text_of(call: Callable[[], object]) -> str:
    """The text of the Error that this raises."""
    with pytest.raises(Error) as error:
        call()
    return str(error.value)


def refusal(policy: str, **properties: Any) -> str:
    """The text of the Error that this scheduler gets."""
    return text_of(lambda: scheduler(policy, **properties))


def io_priority(class_: str, priority: int = 0) -> int:
    """The argument of ioprio_set(2)."""
    return scheduling.io_priority_number(IOPriority(class_=class_, priority=priority))


def memory(mode: str, nodes: str | None = None, *flags: str) -> tuple[int, bytes]:
    """Arguments of set_mempolicy(2)."""
    return scheduling.memory_policy_arguments(MemoryPolicy(mode=mode, nodes=nodes, flags=list(flags)))


def words(*values: int) -> bytes:
    """An array of unsigned long."""
    return b"".join(value.to_bytes(8, byteorder) for value in values)


@pytest.mark.parametrize(
    ("policy", "number"),
    [
        ("SCHED_OTHER", os.SCHED_OTHER),
        ("SCHED_BATCH", os.SCHED_BATCH),
        ("SCHED_IDLE", os.SCHED_IDLE),
    ],
)
def test_policies_of_the_fair_scheduler_take_nice(policy: str, number: int) -> None:
    assert scheduler(policy) == (number, 0, 0, 0, 0, 0, 0)
    assert scheduler(policy, nice=-20) == (number, 0, -20, 0, 0, 0, 0)
    assert scheduler(policy, nice=19) == (number, 0, 19, 0, 0, 0, 0)
    assert refusal(policy, priority=1) == (
        f"process.scheduler.priority: {policy} has none, only SCHED_FIFO and SCHED_RR have"
    )


@pytest.mark.parametrize(("policy", "number"), [("SCHED_FIFO", os.SCHED_FIFO), ("SCHED_RR", os.SCHED_RR)])
def test_real_time_policies_take_a_priority_that_the_kernel_has(policy: str, number: int) -> None:
    least, greatest = os.sched_get_priority_min(number), os.sched_get_priority_max(number)
    for priority in (least, greatest):
        assert scheduler(policy, priority=priority) == (number, 0, 0, priority, 0, 0, 0)
    for priority in (least - 1, greatest + 1, -5):
        assert refusal(policy, priority=priority) == (
            f"process.scheduler.priority: {priority} is not between {least} and {greatest}"
        )


def test_deadline_takes_times() -> None:
    assert scheduler("SCHED_DEADLINE", **DEADLINE) == (6, 0, 0, 0, 1_000_000, 2_000_000, 4_000_000)
    no_period = {"runtime": 1024, "deadline": 1024}
    assert scheduler("SCHED_DEADLINE", **no_period) == (6, 0, 0, 0, 1024, 1024, 0)
    assert "has none" in refusal("SCHED_DEADLINE", priority=1, **DEADLINE)


@pytest.mark.parametrize(
    ("changed", "text"),
    [
        ({"runtime": 1023}, "process.scheduler.runtime: 1023 is less than 1024 nanoseconds"),
        ({"runtime": 2_000_001}, "process.scheduler.deadline: 2000000 is less than runtime, 2000001"),
        ({"deadline": 0}, "process.scheduler.deadline: 0 is less than runtime, 1000000"),
        ({"period": 1_999_999}, "process.scheduler.period: 1999999 is less than deadline, 2000000"),
        ({"period": 2**63}, f"process.scheduler.period: {2**63} is more than {2**63 - 1}"),
    ],
)
def test_times_must_fit_together(changed: dict[str, int], text: str) -> None:
    assert refusal("SCHED_DEADLINE", **{**DEADLINE, **changed}) == text


@pytest.mark.parametrize("name", sorted(DEADLINE))
@pytest.mark.parametrize("policy", sorted(set(scheduling.POLICIES) - {"SCHED_DEADLINE"}))
def test_times_are_for_deadline_only(policy: str, name: str) -> None:
    properties = {name: 1_000_000, "priority": int(policy in ("SCHED_FIFO", "SCHED_RR"))}
    assert refusal(policy, **properties) == (f"process.scheduler.{name}: {policy} has none, only SCHED_DEADLINE has")


def test_nice_has_the_range_of_the_kernel() -> None:
    for nice in (-21, 20, 2**31 - 1):
        assert refusal("SCHED_OTHER", nice=nice) == f"process.scheduler.nice: {nice} is not between -20 and 19"


def test_flags_of_sched_setattr() -> None:
    names = "RESET_ON_FORK RECLAIM DL_OVERRUN KEEP_POLICY KEEP_PARAMS UTIL_CLAMP_MIN UTIL_CLAMP_MAX".split()
    for bit, name in enumerate(names):
        assert scheduler("SCHED_OTHER", flags=[f"SCHED_FLAG_{name}"])[1] == 1 << bit
    assert scheduler("SCHED_OTHER", flags=[f"SCHED_FLAG_{name}" for name in names])[1] == 0x7F
    assert refusal("SCHED_OTHER", flags=["SCHED_FLAG_RECLAIM", "SCHED_FLAG_X"]) == (
        'process.scheduler.flags[1]: "SCHED_FLAG_X" does not exist'
    )


def test_what_is_kept_need_not_be_given() -> None:
    """With these flags the kernel does not look at the policy, or at the parameters."""
    assert scheduler("SCHED_FIFO", flags=["SCHED_FLAG_KEEP_POLICY"])[:4] == (1, 0x08, 0, 0)
    assert scheduler("SCHED_DEADLINE", flags=["SCHED_FLAG_KEEP_PARAMS"])[:2] == (6, 0x10)


def test_policies_that_do_not_exist() -> None:
    assert refusal("SCHED_ISO") == "process.scheduler.policy: SCHED_ISO: no Linux kernel has this policy"
    assert refusal("SCHED_NORMAL") == 'process.scheduler.policy: "SCHED_NORMAL" does not exist'


def test_io_priority_is_class_and_level() -> None:
    assert io_priority("IOPRIO_CLASS_RT") == 1 << 13
    assert io_priority("IOPRIO_CLASS_BE", 7) == 2 << 13 | 7
    assert io_priority("IOPRIO_CLASS_IDLE", 3) == 3 << 13 | 3
    for priority in (-1, 8):
        assert text_of(lambda priority=priority: io_priority("IOPRIO_CLASS_BE", priority)) == (  # type: ignore[misc]
            f"process.ioPriority.priority: {priority} is not between 0 and 7"
        )
    assert text_of(lambda: io_priority("IOPRIO_CLASS_NONE")) == (
        'process.ioPriority.class: "IOPRIO_CLASS_NONE" does not exist'
    )


@pytest.mark.parametrize(
    ("mode", "number", "nodes", "mask"),
    [
        ("MPOL_DEFAULT", 0, None, ()),
        ("MPOL_PREFERRED", 1, "", ()),
        ("MPOL_PREFERRED", 1, "1", (2,)),
        ("MPOL_BIND", 2, "0-3,7", (0x8F,)),
        ("MPOL_INTERLEAVE", 3, " 0 , 63 ", (1 << 63 | 1,)),
        ("MPOL_LOCAL", 4, " ", ()),
        ("MPOL_PREFERRED_MANY", 5, "64", (0, 1)),
        ("MPOL_WEIGHTED_INTERLEAVE", 6, "62-65", (3 << 62, 3)),
    ],
)
def test_memory_policy_is_mode_and_nodes(mode: str, number: int, nodes: str | None, mask: tuple[int, ...]) -> None:
    assert memory(mode, nodes) == (number, words(*mask))


def test_flags_of_set_mempolicy_are_part_of_the_mode() -> None:
    assert memory("MPOL_BIND", "0", "MPOL_F_NUMA_BALANCING") == (2 | 1 << 13, words(1))
    assert memory("MPOL_BIND", "0", "MPOL_F_RELATIVE_NODES") == (2 | 1 << 14, words(1))
    assert memory("MPOL_BIND", "0", "MPOL_F_STATIC_NODES") == (2 | 1 << 15, words(1))
    assert text_of(lambda: memory("MPOL_BIND", "0", "MPOL_F_X")) == (
        'linux.memoryPolicy.flags[0]: "MPOL_F_X" does not exist'
    )


@pytest.mark.parametrize(
    ("mode", "nodes", "text"),
    [
        ("MPOL_BIND", None, "linux.memoryPolicy.nodes: MPOL_BIND needs at least one"),
        ("MPOL_INTERLEAVE", "", "linux.memoryPolicy.nodes: MPOL_INTERLEAVE needs at least one"),
        ("MPOL_DEFAULT", "0", "linux.memoryPolicy.nodes: MPOL_DEFAULT has none"),
        ("MPOL_LOCAL", "1", "linux.memoryPolicy.nodes: MPOL_LOCAL has none"),
        ("MPOL_NONE", None, 'linux.memoryPolicy.mode: "MPOL_NONE" does not exist'),
        ("MPOL_BIND", "3-1", 'linux.memoryPolicy.nodes: "3-1": 3 is after 1'),
        ("MPOL_BIND", "0,1024", 'linux.memoryPolicy.nodes: "0,1024": 1024 is not below 1024'),
        ("MPOL_BIND", "9" * 5000, f'linux.memoryPolicy.nodes: "{"9" * 5000}": a number is not below 1024'),
        *(
            ("MPOL_BIND", nodes, f'linux.memoryPolicy.nodes: "{nodes}" is not a list like "0-3,7"')
            for nodes in ("a", "1,", ",", "-", "1-", "-1", "1-2-3", "0x1", "+1", "\N{SUPERSCRIPT TWO}", "1 2")
        ),
    ],
)
def test_memory_policies_that_cannot_be(mode: str, nodes: str | None, text: str) -> None:
    assert text_of(lambda: memory(mode, nodes)) == text


@given(st.sets(st.integers(0, 1023)))
def test_a_list_is_the_mask_of_its_numbers(numbers: set[int]) -> None:
    text = ",".join(map(str, sorted(numbers)))
    assert scheduling.list_mask(text, 1024, "x") == sum(1 << n for n in numbers)


@given(st.integers(0, 1023), st.integers(0, 1023))
def test_a_range_is_all_numbers_in_it(a: int, b: int) -> None:
    low, high = sorted((a, b))
    assert scheduling.list_mask(f"{low}-{high}", 1024, "x") == sum(1 << n for n in range(low, high + 1))


@given(st.text())
def test_any_text_is_a_list_or_an_error(text: str) -> None:
    try:
        mask = scheduling.list_mask(text, 1024, "x")
    except Error as error:
        mask, told = 0, str(error)
    else:
        told = "x: "
    assert mask < 1 << 1024
    assert told.startswith("x: ")


def test_personality_is_a_domain_without_flags() -> None:
    assert scheduling.personality_number(Personality(domain="LINUX")) == 0
    assert scheduling.personality_number(Personality(domain="LINUX32")) == 8
    assert text_of(lambda: scheduling.personality_number(Personality(domain="BSD"))) == (
        'linux.personality.domain: "BSD" does not exist'
    )
    assert text_of(lambda: scheduling.personality_number(Personality(domain="LINUX", flags=["ADDR_X"]))) == (
        'linux.personality.flags: "ADDR_X": the specification defines no flags'
    )


def instructions(**properties: Any) -> tuple[dict[str, list[Any]], list[str]]:
    """Stages of the program that are not empty, and warnings."""
    process = {name: properties.pop(name) for name in ("scheduler", "io_priority") if name in properties}
    builder = Builder()
    spec = Spec(oci_version="1.3.0", process=Process(cwd="/", **process), linux=Linux(**properties))
    scheduling.compile_scheduling(builder, spec)
    return {stage: found for stage, found in builder.stages.items() if found}, builder.warnings


def test_nothing_is_set_that_the_document_does_not_set() -> None:
    assert instructions() == ({}, [])


def test_each_property_is_one_instruction() -> None:
    found, warnings = instructions(
        scheduler=Scheduler(policy="SCHED_BATCH", nice=5),
        io_priority=IOPriority(class_="IOPRIO_CLASS_BE", priority=4),
        memory_policy=MemoryPolicy(mode="MPOL_BIND", nodes="0"),
        personality=Personality(domain="LINUX32"),
    )
    assert found == {
        "ready": [("personality", "linux.personality", (8,))],
        "start": [
            ("scheduler", "process.scheduler", (3, 0, 5, 0, 0, 0, 0)),
            ("ioprio", "process.ioPriority", (2 << 13 | 4,)),
            ("memory_policy", "linux.memoryPolicy", (2, words(1))),
        ],
    }
    assert warnings == []


def test_a_nice_value_that_the_policy_ignores_is_a_warning() -> None:
    _, warnings = instructions(scheduler=Scheduler(policy="SCHED_FIFO", priority=1, nice=5))
    assert warnings == ["process.scheduler.nice: without effect on SCHED_FIFO"]
