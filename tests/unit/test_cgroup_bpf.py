"""The device filter's program, run by an interpreter, against what its rules mean."""

from __future__ import annotations

import itertools
import random
import struct

import pytest
from oci.device_rules import last_match, some_rules

from lxcri.cgroup import bpf
from lxcri.cgroup.devices import ALL, DeviceRule, essential_device_rules

WORD = 0xFFFFFFFF

ACCESSES = {"m": 1, "r": 2, "w": 4}
"""BPF_DEVCG_ACC_MKNOD, BPF_DEVCG_ACC_READ, BPF_DEVCG_ACC_WRITE."""

TYPES = {"b": 1, "c": 2}
"""BPF_DEVCG_DEV_BLOCK, BPF_DEVCG_DEV_CHAR."""


def interpret(program: bytes, kind: str, major: int, minor: int, accesses: str) -> bool:
    """What the kernel's virtual machine does; the codes are those of the instruction set's own tables."""
    access = sum(ACCESSES[letter] for letter in accesses)
    context = struct.pack("<III", access << 16 | TYPES[kind], major, minor)
    registers: dict[int, int] = {1: -1}  # the address of the context is not to be looked at
    instructions = list(struct.iter_unpack("<BBhi", program))
    position = 0
    while True:
        code, both, offset, value = instructions[position]
        destination, source = both & 0xF, both >> 4
        position += 1
        if code == 0x95:  # exit
            return bool(registers[0])
        if code == 0x61:  # dst = *(u32 *)(src + offset)
            assert registers[source] == -1
            (registers[destination],) = struct.unpack_from("<I", context, offset)
        elif code == 0x54:  # dst &= value, of 32 bits as all that follow
            registers[destination] &= value & WORD
        elif code == 0x74:  # dst >>= value
            registers[destination] >>= value
        elif code == 0xA4:  # dst ^= value
            registers[destination] ^= value & WORD
        elif code == 0xB4:  # dst = value
            registers[destination] = value & WORD
        elif code == 0xBC:  # dst = src
            registers[destination] = registers[source]
        elif code == 0x05:  # goto
            position += offset
        elif code == 0x46:  # if (dst & value) goto
            position += offset if registers[destination] & value & WORD else 0
        elif code == 0x56:  # if (dst != value) goto
            position += offset if registers[destination] != value & WORD else 0
        else:
            raise AssertionError(f"code {code:#x}")


MAJORS, MINORS = (1, 5, 0xFFFFFFFF), (0, 3, 0x80000000)
DEVICES = list(
    itertools.product("bc", (*MAJORS, 9), (*MINORS, 9), [*"rwm", "rw", "rm", "wm", "rwm"])
)  # more accesses at once than the kernel asks for


@pytest.mark.parametrize("seed", range(300))
def test_the_last_matching_rule_decides(seed: int) -> None:
    rules = some_rules(random.Random(seed), MAJORS, MINORS)
    for rules_ in (rules, rules + essential_device_rules()):
        program = bpf.program(rules_)
        for device in DEVICES:
            assert interpret(program, *device) == last_match(rules_, *device), (device, rules_)


def test_every_instruction_can_be_reached() -> None:
    """The verifier refuses a program with dead code, such as behind a rule for all devices."""
    for seed in range(300):
        program = bpf.program(some_rules(random.Random(seed), MAJORS, MINORS))
        instructions = list(struct.iter_unpack("<BBhi", program))
        reached, pending = set(), [0]
        while pending:
            position = pending.pop()
            if position in reached:
                continue
            reached.add(position)
            code, _, offset, _ = instructions[position]
            if code != 0x95:
                pending += [position + 1 + offset] if code == 0x05 else [position + 1]
            if code in (0x46, 0x56):
                pending.append(position + 1 + offset)
        assert reached == set(range(len(instructions)))


def test_size() -> None:
    """What has no effect costs nothing: a default of the kernel's, and rules before one for all devices."""
    least = len(bpf.program([])) // 8
    assert least == 8
    denied = [DeviceRule(False, (kind, None, None), ALL) for kind in "bc"]
    assert bpf.program(denied) == bpf.program([])
    allowed = [DeviceRule(True, (kind, None, None), ALL) for kind in "bc"]
    rules = [DeviceRule(True, ("c", 1, n), "r") for n in range(100)]
    assert bpf.program(rules + denied) == bpf.program([])
    assert bpf.program(rules + allowed) == bpf.program(allowed)
    assert len(bpf.program(essential_device_rules())) // 8 == 118


def test_name() -> None:
    """Not longer than the kernel remembers (BPF_OBJ_NAME_LEN)."""
    assert len(bpf.NAME) < 16
