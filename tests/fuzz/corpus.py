"""What the fuzzers start from: the configs of engines, `lxcri spec`'s, and every property that conformance.md has."""

from __future__ import annotations

import json
import os
import random
import struct
from typing import Any

from oci.compiling import HYBRID, MINIMAL, Json, merged
from oci.conformance import ROWS

from lxcri.cli.commands import FLAG, GLOBAL_OPTIONS
from lxcri.cli.every import COMMANDS
from lxcri.compile import Host, Request, compile_plan
from lxcri.errors import Error
from lxcri.plan import Instruction, Plan
from lxcri.program import CODES, OPERATIONS, STAGES, encode
from lxcri.rootless import own_mappings
from lxcri.spec import decode_config
from lxcri.verbs.spec import make_rootless, starting_point

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SAMPLES = os.path.join(os.path.dirname(CHECKOUT), "shared/samples")

GVARIANTS = (
    "'text'",
    '"\\u00fc"',
    "true",
    "uint64 0x7f",
    "@at [1, 2]",
    "[('a', 1.5e3), ('b', .5)]",
    "byte 255",
    "@a(sv) []",
    "objectpath '/a'",
)
"""Texts of properties of systemd's units."""

Program = dict[str, list[Instruction]]

KINDS = dict(OPERATIONS)
STRING_MAX = 2**16 - 1
LIST_MAX = 255


def configs() -> list[Json]:
    """Documents that are right, or nearly so; of filters that are all alike only the first rules."""
    found: list[Json] = [starting_point(unified=False), starting_point(unified=True), MINIMAL]
    make_rootless(found[0], *own_mappings(1000, 1000))
    if os.path.isdir(SAMPLES):
        for name in sorted(os.listdir(SAMPLES)):
            with open(f"{SAMPLES}/{name}", "rb") as file:
                config = json.load(file)
            if seccomp := config["linux"].get("seccomp"):
                seccomp["syscalls"] = [{**rule, "names": rule["names"][:3]} for rule in seccomp["syscalls"][:5]]
            found.append(config)
    rows = [row for rows in ROWS.values() for row in rows.values()]
    found.extend(merged(MINIMAL, merged(row.base or {}, row.config)) for row in rows if row.config is not None)
    found.extend(
        merged(MINIMAL, {"annotations": {"org.systemd.property.X": text}, "linux": {"cgroupsPath": path}})
        for text in GVARIANTS
        for path in ("", "a-b.slice:c:d", ":c:d.slice")
    )
    unified = {"cpu.max": "1 2", "cpuset.cpus": "0-3,5", "io.weight": "default 7", "memory.max": "64M", "cpu.idle": "1"}
    found.extend(merged(MINIMAL, {"linux": {"resources": {"unified": {key: value}}}}) for key, value in unified.items())
    return [config for i, config in enumerate(found) if config not in found[:i]]


def plans() -> list[Plan]:
    """The Plans of those that have one."""
    found = []
    for config in configs():
        request = Request(id="c1", bundle="/b", rootfs="/b/rootfs", directory="/run/lxcri/c1")
        host = Host(layout=HYBRID, lsm=("apparmor", "selinux"))
        try:
            found.append(compile_plan(decode_config(json.dumps(config).encode()), request, host))
        except Error:
            continue
    return found


def programs() -> list[Program]:
    """Programs of the helper: those of Plans, and two of each operation, with nothing before them."""
    samples: dict[str, Any] = {"n": 1, "s": "/x", "N": [1, 2], "S": ["a", "b"]}
    found: list[Program] = [plan.program for plan in plans()]
    for name, kinds in OPERATIONS:
        instruction = (name, "it", tuple(samples[kind] for kind in kinds))
        found.append({stage: [instruction] * 2 if stage == "root" else [] for stage in STAGES})
    return found


def encoded_programs() -> list[bytes]:
    """Inputs of reader.c."""
    return [encode([program[name] for name in STAGES]) for program in programs()]


def _short(kind: str, value: Any) -> bytes:
    if kind == "n":
        return struct.pack("<Q", value % 2**64)
    if kind == "s":
        data = (value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape"))[:STRING_MAX]
        return struct.pack("<H", len(data)) + data
    return bytes([min(len(value), LIST_MAX)]) + b"".join(_short(kind.lower(), item) for item in value[:LIST_MAX])


def _short_program(program: Program) -> bytes:
    found = b""
    for stage in STAGES:
        instructions = program[stage][:LIST_MAX]
        found += bytes([len(instructions)])
        for name, subject, arguments in instructions:
            found += bytes([CODES[name]]) + _short("s", subject)
            found += b"".join(_short(kind, value) for kind, value in zip(KINDS[name], arguments, strict=True))
    return found


def _text(data: bytes) -> bytes:
    return struct.pack("<H", len(data)) + data


PASSWD = b"daemon:x:1:1:daemon:/usr/sbin:/bin/sh\nroot:x:0:0:root:/root:/bin/sh\n"
GOOD, ENOENT, EEXIST = b"\0", b"\xf0", b"\xf5"

IMAGES: list[tuple[Instruction, bytes, bytes]] = [
    # an instruction, the answer to each call before it comes to its point, the answers then
    (("home", "", (0,)), b"\1", b"\1" + _text(PASSWD)),
    (("directory", "", ("/a/b",)), GOOD, ENOENT + GOOD + ENOENT + EEXIST + GOOD + _text(b"/c/../d")),
    (("directory", "", ("/a/b",)), GOOD, ENOENT + GOOD + GOOD + ENOENT + EEXIST + GOOD + _text(b"e")),
    (("mknod", "", ("/a/b/c", 0o20666, 259, 0, 0)), GOOD, ENOENT + GOOD + ENOENT + EEXIST + GOOD + _text(b"/c")),
    (("move", "", (9, "/a/f")), b"\1", ENOENT + GOOD + EEXIST + GOOD + _text(b"/g/h")),
    (("move", "", (9, "/a/f")), b"\1", (ENOENT + GOOD + EEXIST + GOOD + _text(b"i")) * 50),
]
"""What an image may hold, which an answer in the wrong place does not show."""

BEFORE = range(70, 130)
"""How many answers the helper may have had until then."""


def runs() -> list[bytes]:
    """Inputs of lxcri_init.c: programs as init, after a hook process, as the hook process and in exec; and images."""
    found = [bytes([what]) + short for short in map(_short_program, programs()) for what in range(4)]
    chance = random.Random(1)
    alphabet = [0] * 40 + [*ENOENT] * 12 + [*EEXIST] * 8 + [*range(256)] + [*b"/:.\n0"] * 4
    found += [run + bytes(chance.choices(alphabet, k=600)) for run in found]
    for instruction, before, then in IMAGES:
        program: Program = {stage: [] for stage in STAGES}
        program["root"] = [("environment", "", (["A=1"],)), instruction]
        found += [b"\3" + _short_program(program) + before * n + then for n in BEFORE]
    return found


def words() -> list[str]:
    """Words that command lines are made of."""
    options = [option for command in COMMANDS.values() for option in command.options] + list(GLOBAL_OPTIONS)
    names = sorted({name for option in options for name in (option.name, option.short) if name})
    values = "true false 1 0 yes 7 -1 json text x 5s 1m30s auto".split()
    return [*COMMANDS, *(f"--{name}" for name in names), *(f"-{name}=" for name in names), *values, "--", "-", "", "-h"]


def command_lines() -> list[list[str]]:
    """Command lines as engines write them, and one with each option of each verb."""
    found = [["--root", "/r", "--log", "/l", "--log-format", "json", "create", "-b", "/b", "--pid-file", "/p", "c1"]]
    for command in COMMANDS.values():
        arguments = [argument.keyword for argument in command.arguments]
        found.append([command.name, *arguments])
        found.extend(
            [command.name, f"--{option.name}", *([] if option.kind is FLAG else ["7"]), *arguments]
            for option in command.options
        )
    return found
