"""
The device filter of cgroup2, which has no devices controller: a BPF program that the kernel asks (bpf(2)).

Each instruction has 8 bytes (Documentation/bpf/standardization/instruction-set.rst), here in the order of
little-endian machines: code, source and destination register, offset of a jump, immediate value. The program gets
a struct bpf_cgroup_dev_ctx, and returns 1 to allow an access. That may be reading and writing at once.
"""

from __future__ import annotations

import posix
from errno import E2BIG, EFAULT, EPERM

from ..errors import Error, reason
from .devices import ALL, TYPES, DeviceRule

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

NAME = "lxcri_devices"
"""By which our program is told from others that are attached to the same cgroup."""

RESULT, CONTEXT, ACCESS, TYPE, MAJOR, MINOR, DIFFERENCE = range(7)
"""Registers: R0 and R1 have their meaning from the kernel."""

LOAD = 0x61  # BPF_LDX | BPF_MEM | BPF_W
AND, SHIFT_RIGHT, XOR, MOVE, COPY = 0x54, 0x74, 0xA4, 0xB4, 0xBC  # BPF_ALU, the last with a register
JUMP, EXIT = 0x05, 0x95  # BPF_JMP
JUMP_IF_ANY, JUMP_UNLESS = 0x46, 0x56  # BPF_JMP32: BPF_JSET, BPF_JNE

KINDS = {"b": 1, "c": 2}  # BPF_DEVCG_DEV_*
ACCESSES = {"m": 1, "r": 2, "w": 4}  # BPF_DEVCG_ACC_*


def instruction(code: int, destination: int = 0, value: int = 0, *, source: int = 0, offset: int = 0) -> bytes:
    """One instruction; a value of 32 bits may be signed or not."""
    low, high = (offset & 0xFFFF).to_bytes(2, "little"), (value & 0xFFFFFFFF).to_bytes(4, "little")
    return bytes((code, source << 4 | destination)) + low + high


def verdict(allow: bool) -> bytes:
    """Let the program end with this."""
    return instruction(MOVE, RESULT, allow) + instruction(EXIT)


def program(rules: Sequence[DeviceRule]) -> bytes:
    """
    Instructions that allow what these rules do: the last one that matches an access decides, none denies.

    Rules are asked from the last one on. Register ACCESS holds what none of them has decided yet.
    """
    code = (
        instruction(LOAD, ACCESS, source=CONTEXT, offset=0)  # access << 16 | type
        + instruction(LOAD, MAJOR, source=CONTEXT, offset=4)
        + instruction(LOAD, MINOR, source=CONTEXT, offset=8)
        + instruction(COPY, TYPE, source=ACCESS)
        + instruction(AND, TYPE, 0xFFFF)
        + instruction(SHIFT_RIGHT, ACCESS, 16)
    )
    return code + b"".join(_rule(rule) for rule in _that_matter(rules)) + verdict(False)


def _that_matter(rules: Iterable[DeviceRule]) -> list[DeviceRule]:
    """The rules from the last one on, without those before one for all devices of their type, nor that if it denies."""
    found = []
    types = set(TYPES)
    for rule in reversed(list(rules)):
        kind, major, minor = rule.numbers
        if kind not in types:
            continue
        if rule.access == ALL and major is None and minor is None:
            types.discard(kind)
            if not rule.allow:
                continue
        found.append(rule)
    return found


def _rule(rule: DeviceRule) -> bytes:
    kind, major, minor = rule.numbers
    bits = sum(ACCESSES[letter] for letter in rule.access)
    if rule.access == ALL:
        decision = verdict(rule.allow)
    elif rule.allow:
        decided = verdict(True)
        more = instruction(JUMP_UNLESS, ACCESS, 0, offset=len(decided) // 8)
        decision = instruction(AND, ACCESS, ~bits) + more + decided
    else:
        decided = verdict(False)
        none = instruction(JUMP, offset=len(decided) // 8)
        decision = instruction(JUMP_IF_ANY, ACCESS, bits, offset=len(none) // 8) + none + decided
    conditions = [(TYPE, KINDS[kind])]
    conditions += [(register, number) for register, number in ((MAJOR, major), (MINOR, minor)) if number is not None]
    code = decision
    for register, number in reversed(conditions):
        code = _unless_equal(register, number, len(code) // 8) + code
    return code


def _unless_equal(register: int, number: int, skip: int) -> bytes:
    """
    Skip instructions unless a register holds this number.

    It is not compared itself: the verifier would remember its value, and walk through all further rules again for
    each value, so that its patience would end at some hundred rules.
    """
    return (
        instruction(COPY, DIFFERENCE, source=register)
        + instruction(XOR, DIFFERENCE, number)
        + instruction(JUMP_UNLESS, DIFFERENCE, 0, offset=skip)
    )


def attach(directory: str, rules: Sequence[DeviceRule]) -> None:
    """
    Have these rules hold in a cgroup and below it, in the place of those that held before: at no time do none.

    They hold until `detach`, or as long as the cgroup exists. Raises Error.
    """
    from .. import linux

    loaded = _load(rules)
    try:
        cgroup = posix.open(directory, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
        try:
            former = _attached(cgroup)
            try:
                linux.attach_device_filter(cgroup, loaded, *former[:1])
                for other in former[1:]:
                    linux.detach_device_filter(cgroup, other)
            finally:
                _close(former)
        finally:
            posix.close(cgroup)
    except OSError as e:
        raise Error(f'linux.resources.devices: attach the filter to "{directory}": {reason(e)}') from e
    finally:
        posix.close(loaded)


def detach(directory: str) -> None:
    """Take our filter from a cgroup, if both are there; raises Error."""
    from .. import linux

    try:
        cgroup = posix.open(directory, posix.O_RDONLY | posix.O_DIRECTORY | posix.O_CLOEXEC)
    except FileNotFoundError:
        return
    try:
        former = _attached(cgroup)
        try:
            for program in former:
                linux.detach_device_filter(cgroup, program)
        finally:
            _close(former)
    except PermissionError:
        pass  # who may not ask has attached none
    except OSError as e:
        raise Error(f'linux.resources.devices: detach the filter from "{directory}": {reason(e)}') from e
    finally:
        posix.close(cgroup)


def _load(rules: Sequence[DeviceRule]) -> int:
    from .. import linux

    try:
        return linux.load_device_filter(NAME, program(rules))
    except OSError as e:
        why = reason(e)
        if e.errno in (E2BIG, EFAULT):  # the latter: more branches than it remembers
            why = f"{len(rules)} rules are more than the kernel's verifier takes"
        elif e.errno == EPERM:
            why += " (it needs CAP_BPF, or CAP_SYS_ADMIN, in the initial user namespace)"
        raise Error(f"linux.resources.devices: load the filter: {why}") from e


def _attached(cgroup: int) -> list[int]:
    """Descriptors of our programs; raises OSError."""
    from .. import linux

    found: list[int] = []
    try:
        for number in linux.device_filters(cgroup):
            try:
                found.append(linux.open_program(number))
            except FileNotFoundError:  # detached meanwhile
                continue
            if linux.program_name(found[-1]) != NAME:
                posix.close(found.pop())
    except BaseException:
        _close(found)
        raise
    return found


def _close(descriptors: Iterable[int]) -> None:
    for fd in descriptors:
        posix.close(fd)
