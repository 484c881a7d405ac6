"""The program of lxcri-init: its encoding, and that the helper reads exactly what was written, and nothing else."""

from __future__ import annotations

import os
import random
import re
import struct
import subprocess
import tempfile
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from oci import reader

import build_ffi
from lxcri import program
from lxcri.program import CODES, MAGIC, OPERATIONS, STAGES, STAMP, c_header, encode, encode_instruction
from lxcri.sealed import HELPER

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Instruction = tuple[str, str, tuple[Any, ...]]

HEADER = 8 * (3 + len(STAGES))

STRINGS: list[str | bytes] = [
    "",
    *("abcdefghi"[:n] for n in range(1, 10)),
    "ü€😀",
    b"\xff\xfe\x80",
    "\udcff\udc80",  # bytes that are not UTF-8, as Python has them in paths
    "line\nbreak\ttab",
    "x" * 1000,
]
NUMBERS = [0, 1, 8, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1, -1, -(2**63)]


def stages(*instructions: Instruction, stage: str = STAGES[-1]) -> list[list[Instruction]]:
    return [list(instructions) if name == stage else [] for name in STAGES]


def check(data: bytes) -> subprocess.CompletedProcess[bytes]:
    """What the built helper says of this program."""
    assert os.path.exists(HELPER), "lxcri-init is not built"
    return subprocess.run([HELPER, "check"], input=data, capture_output=True, check=False)


def as_bytes(value: str | bytes) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")


def shown(kind: str, value: Any) -> bytes:
    """An argument as the helper prints it."""
    if kind == "n":
        return b"%d" % (value % 2**64)
    if kind == "s":
        return as_bytes(value)
    return b"(" + b" ".join(shown(kind.lower(), item) for item in value) + b")"


def arguments(kinds: str, turn: int) -> tuple[Any, ...]:
    """Arguments of these kinds, others for each turn."""
    found: list[Any] = []
    for i, kind in enumerate(kinds):
        at = turn + i
        values: list[Any] = list(NUMBERS if kind in "nN" else STRINGS)
        values = values[at % len(values) :] + values[: at % len(values)]
        found.append(values[: at % 4] if kind in "NS" else values[0])
    return tuple(found)


# ---- the tables ----


def test_codes() -> None:
    """One for each operation, by its place."""
    assert list(CODES.values()) == list(range(len(OPERATIONS)))
    assert {kind for _, kinds in OPERATIONS for kind in kinds} <= set("nsNS")


def test_stamp_is_of_the_tables() -> None:
    """A helper of other tables is another."""
    before = program._stamp()
    assert before == STAMP
    assert 0 < STAMP < 2**64
    for name in ("OPERATIONS", "STAGES", "MAGIC"):
        original = getattr(program, name)
        try:
            setattr(program, name, original[:-1])
            assert program._stamp() != before
        finally:
            setattr(program, name, original)


def test_c_header() -> None:
    text = c_header()
    assert f"#define PROGRAM_STAMP 0x{STAMP:016x}ULL" in text
    assert re.findall(r"^\tOP_(\w+),$", text, re.MULTILINE) == [name.upper() for name in CODES]
    assert re.findall(r"#define STAGE_(\w+) (\d+)", text) == [(n.upper(), str(i)) for i, n in enumerate(STAGES)]
    assert re.findall(r'^\t"(\w*)",$', text, re.MULTILINE) == [
        *(name for name, _ in OPERATIONS),
        *(kinds for _, kinds in OPERATIONS),
    ]


# ---- the encoding ----


def test_empty_program() -> None:
    assert encode(stages()) == MAGIC + struct.pack("=QQ", STAMP, HEADER) + struct.pack("=Q", HEADER) * len(STAGES)


def test_instruction() -> None:
    data = encode_instruction("user", "who", (1000, -1, [5, 2**64 - 1]))
    assert data == struct.pack("=II", CODES["user"], 64) + struct.pack(
        "=Q8sQQQQQ", 3, b"who", 1000, 2**64 - 1, 2, 5, 2**64 - 1
    )


@pytest.mark.parametrize("length", range(10))
def test_strings_end_with_a_nul_and_are_aligned(length: int) -> None:
    data = encode_instruction("hostname", "", ("x" * length,))
    assert len(data) % 8 == 0
    argument = data[8 + 16 :]
    assert argument[:8] == struct.pack("=Q", length)
    assert argument[8:] == b"x" * length + bytes(8 - length % 8)


def test_offsets_of_stages() -> None:
    one = encode_instruction("hostname", "", ("a",))
    two = encode_instruction("cwd", "", ("bbbbbbbb",))
    data = encode([[("hostname", "", ("a",))], [], [("cwd", "", ("bbbbbbbb",))], [], []])
    after = HEADER + len(one)
    assert data[24:HEADER] == struct.pack("=5Q", HEADER, after, after, after + len(two), after + len(two))
    assert data[HEADER:] == one + two


@pytest.mark.parametrize(
    "wrong", [("hostname", ()), ("hostname", ("a", "b")), ("hostname", (1,)), ("umask", ("a",)), ("arguments", ("a",))]
)
def test_wrong_arguments_are_a_mistake_of_ours(wrong: tuple[str, tuple[Any, ...]]) -> None:
    name, values = wrong
    with pytest.raises((ValueError, AssertionError)):
        encode_instruction(name, "", values)


# ---- the round trip ----


@pytest.mark.parametrize("stage", STAGES)
def test_helper_reads_what_was_written(stage: str) -> None:
    """Every operation, with every string and number."""
    instructions: list[Instruction] = []
    lines = []
    for turn in range(len(STRINGS)):
        for name, kinds in OPERATIONS:
            subject = os.fsdecode(as_bytes(STRINGS[(turn + len(name)) % len(STRINGS)]))
            values = arguments(kinds, turn + len(name))
            instructions.append((name, subject, values))
            shown_values = [b" " + shown(kind, value) for kind, value in zip(kinds, values, strict=True)]
            lines.append(
                b"%d %s [%s]" % (STAGES.index(stage), name.encode(), as_bytes(subject)) + b"".join(shown_values) + b"\n"
            )
    checked = check(encode(stages(*instructions, stage=stage)))
    assert (checked.returncode, checked.stderr) == (0, b"")
    assert checked.stdout == b"".join(lines)


def test_empty_program_is_one() -> None:
    checked = check(encode(stages()))
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


SAMPLE = encode(
    [
        [("mount", 'mounts[0] "/x"', ("tmpfs", "tmpfs", "/x", 6, "mode=755")), ("detach", "it", ("/x",))],
        [("hook", "h", ("/h", ["h", "", "x" * 9], ["A=1"], 1000))],
        [],
        [("arguments", "process.args", (["sh", "-c", "true"],))],
        [("user", "u", (1, 2, [3, 4])), ("seccomp", "s", (1, b"\0\1\2\0\0\0\0\0")), ("execute", "", ())],
    ]
)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"", b"shorter than its header\n"),
        (SAMPLE[: HEADER - 1], b"shorter than its header\n"),
        (b"X" + SAMPLE[1:], b"not a program\n"),
        (MAGIC[:-1] + bytes([MAGIC[-1] ^ 1]) + SAMPLE[8:], b"not a program\n"),
        (SAMPLE[:8] + struct.pack("=Q", STAMP ^ 1) + SAMPLE[16:], b"made for another build of lxcri-init\n"),
        (SAMPLE + bytes(8), b"its size is not what its header says\n"),
        (SAMPLE[:-1], b"its size is not what its header says\n"),
        (SAMPLE[:24] + struct.pack("=Q", HEADER + 8) + SAMPLE[32:], b"its first stage does not follow its header\n"),
        (SAMPLE[:24] + struct.pack("=Q", HEADER - 8) + SAMPLE[32:], b"a stage lies outside of it\n"),
        (SAMPLE[:32] + struct.pack("=Q", len(SAMPLE) + 8) + SAMPLE[40:], b"a stage lies outside of it\n"),
        (SAMPLE[:HEADER] + struct.pack("=I", len(OPERATIONS)) + SAMPLE[HEADER + 4 :], b"a malformed instruction\n"),
    ],
)
def test_helper_refuses(data: bytes, text: bytes) -> None:
    checked = check(data)
    assert (checked.returncode, checked.stdout, checked.stderr) == (1, b"", text)


# ---- the reader, with sanitizers ----


@pytest.fixture(scope="module")
def read() -> Iterator[Callable[[list[bytes]], list[bytes]]]:
    """The helper's reader on many programs: a line for each."""
    with tempfile.TemporaryDirectory() as directory:
        try:
            out = reader.build(directory)
        except build_ffi.BuildError as e:
            pytest.skip(str(e))

        def run(programs: list[bytes]) -> list[bytes]:
            data = b"".join([struct.pack("=I", len(data)) + data for data in programs])
            done = subprocess.run([out], input=data, capture_output=True, check=False)
            assert (done.returncode, done.stderr) == (0, b""), done.stderr.decode("utf-8", "replace")
            lines = done.stdout.splitlines()
            assert len(lines) == len(programs)
            return lines

        yield run


def instructions_of(data: bytes) -> list[int]:
    """Offsets of the instructions of a good program, and its end."""
    offsets = [HEADER]
    while offsets[-1] < len(data):
        offsets.append(offsets[-1] + struct.unpack_from("=I", data, offsets[-1] + 4)[0])
    return offsets


def with_size(data: bytes) -> bytes:
    """A program whose header says its size, if it has one."""
    return data[:16] + struct.pack("=Q", len(data)) + data[24:] if len(data) >= 24 else data


class MalformedError(Exception):
    """Not a program."""


class Model:
    """The format as lxcri/program.py tells it, read by another hand."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.end = len(data)

    def number(self, at: int) -> tuple[int, int]:
        """The number there, and the offset behind it."""
        if at + 8 > self.end:
            raise MalformedError
        return struct.unpack_from("=Q", self.data, at)[0], at + 8

    def string(self, at: int) -> int:
        """The offset behind the string there."""
        size, at = self.number(at)
        after = at + size + 8 - size % 8
        if after > self.end or self.data[at + size]:
            raise MalformedError
        return after

    def argument(self, kind: str, at: int) -> int:
        """The offset behind the argument there."""
        if kind == "n":
            return self.number(at)[1]
        if kind == "s":
            return self.string(at)
        count, at = self.number(at)
        if count > self.end - at:
            raise MalformedError
        for _ in range(count):
            at = self.string(at) if kind == "S" else self.number(at)[1]
        return at

    def accepts(self) -> bool:
        """Whether it is a program."""
        data = self.data
        if len(data) < HEADER or data[:8] != MAGIC:
            return False
        stamp, size, *starts = struct.unpack_from(f"={2 + len(STAGES)}Q", data, 8)
        bounds = [*starts, len(data)]
        if stamp != STAMP or size != len(data) or starts[0] != HEADER or bounds != sorted(bounds):
            return False
        try:
            for start, end in pairwise(bounds):
                at = start
                while at < end:
                    if at + 8 > end:
                        return False
                    code, size = struct.unpack_from("=II", data, at)
                    if code >= len(OPERATIONS) or size < 8 or size % 8 or at + size > end:
                        return False
                    self.end = at + size
                    at = self.string(at + 8)
                    for kind in OPERATIONS[code][1]:
                        at = self.argument(kind, at)
                    if at != self.end:
                        return False
        except MalformedError:
            return False
        return True


def test_reader_touches_nothing_outside(read: Callable[[list[bytes]], list[bytes]]) -> None:
    """It is run on memory of exactly the program's size."""
    assert Model(SAMPLE).accepts()
    assert [line.split()[:2] for line in read([SAMPLE, encode(stages())])] == [[b"ok", b"7"], [b"ok", b"0"]]


def test_truncation_at_every_byte(read: Callable[[list[bytes]], list[bytes]]) -> None:
    cut = [SAMPLE[:n] for n in range(len(SAMPLE))]
    assert not any(line.startswith(b"ok") for line in read(cut))
    # With a header that knows, it is a program again between two instructions of the last stage.
    last_stage = struct.unpack_from("=Q", SAMPLE, HEADER - 8)[0]
    whole = [n for n in instructions_of(SAMPLE) if last_stage <= n < len(SAMPLE)]
    lines = read([with_size(data) for data in cut])
    assert [n for n, line in enumerate(lines) if line.startswith(b"ok")] == whole


def mutated(data: bytes, chance: random.Random) -> bytes:
    """One to three changes at random."""
    changed = bytearray(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randrange(len(changed))
        match chance.randrange(6):
            case 0:
                changed[at] ^= 1 << chance.randrange(8)
            case 1:
                changed[at] = chance.choice((0, 1, 7, 8, 0x7F, 0x80, 0xFF))
            case 2:
                at -= at % 8
                value = chance.choice((0, 1, 7, 8, 9, len(data), 2**31, 2**32 - 8, 2**63, 2**64 - 8, 2**64 - 1))
                changed[at : at + 8] = struct.pack("=Q", value)
            case 3:
                at -= at % 8
                number = struct.unpack_from("=Q", changed, at)[0] if at + 8 <= len(changed) else 0
                changed[at : at + 8] = struct.pack("=Q", (number + chance.choice((-16, -8, -1, 1, 8, 16))) % 2**64)
            case 4:
                at -= at % 8
                del changed[at : at + 8 * chance.randint(1, 3)]
            case 5:
                at -= at % 8
                changed[at:at] = bytes(8 * chance.randint(1, 3))
        if len(changed) < HEADER:
            break
    return with_size(bytes(changed)) if chance.random() < 0.8 else bytes(changed)


def test_reader_on_broken_programs(read: Callable[[list[bytes]], list[bytes]]) -> None:
    """It accepts what the format allows, and never leaves the program."""
    chance = random.Random(20)
    programs = [mutated(SAMPLE, chance) for _ in range(6000)]
    lines = read(programs)
    accepted = [line.startswith(b"ok") for line in lines]
    assert accepted == [Model(data).accepts() for data in programs]
    assert 500 < sum(accepted) < 5500  # both happen, or the mutations say nothing
