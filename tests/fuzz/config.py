"""
The fuzzer of config.json: decoding and compiling it.

What has to hold of every document: there is a Plan or lxcri's own Error, the same again the second time, the spec is
as before, and the program is one that the helper's reader takes.
"""

from __future__ import annotations

import json
import os
import random
import re
import struct
import subprocess
import sys
import zlib
from typing import Any

import atheris

with atheris.instrument_imports(include=["lxcri"]):
    import lxcri.cgroup.gvariant
    import lxcri.cgroup.unit
    import lxcri.compile
    import lxcri.launch
    import lxcri.spec
from oci.compiling import HYBRID, NONE, V1, V2, Json, check_plan, program_of

from fuzz.corpus import configs
from lxcri._libsystemd import ffi
from lxcri.bundle import check_version
from lxcri.cgroup.systemd import BASIC, complete_types
from lxcri.compile.process import unique_environment
from lxcri.compile.request import ALL_SHOWN
from lxcri.context import Context
from lxcri.errors import Error
from lxcri.plan import Plan
from lxcri.spec import Spec

SYSCALLS_MAX = 40
"""Rules of filters that are compiled, which takes longer than all else."""

CONTEXT = Context("fuzz", root="/nonexistent")

ODD: list[Any] = [
    *(None, True, False, 0, 1, -1, 7, 1000, 2**31, 2**32 - 1, 2**32, 2**63 - 1, -(2**63), 2**63, 2**64 - 1, 2**64, 1.5),
    *(
        "",
        "/",
        "..",
        "a",
        "a b",
        "=",
        "a=b",
        ":",
        "0-1",
        "x" * 300,
        "ü",
        "\0",
        "\n",
        "\ud800",
        "/a/../b",
        "/proc/1/ns/net",
    ),
    *([], {}, [[]], [None], {"": ""}),
]


class Pool:
    """Values of documents by the name of their property, and names of properties by that of what they are in."""

    def __init__(self) -> None:
        self.values: dict[str, list[Any]] = {}
        self.names: dict[str, list[str]] = {}
        for config in configs():
            self._add("", config)

    def _add(self, name: str, value: Any) -> None:
        known = self.values.setdefault(name, [])
        if value not in known:
            known.append(value)
        if isinstance(value, list):
            for item in value:
                self._add(f"{name}[]", item)
        elif isinstance(value, dict):
            for key, item in value.items():
                names = self.names.setdefault(name, [])
                if key not in names:
                    names.append(key)
                self._add(key, item)

    def value(self, name: str, chance: random.Random) -> Any:
        """A value for a property, often one that it could have."""
        fitting = self.values.get(name)
        if fitting and chance.random() < 0.7:
            return chance.choice(fitting)
        if chance.random() < 0.2:
            return chance.choice(self.values[chance.choice(list(self.values))])
        return chance.choice(ODD)

    def change(self, document: Any, chance: random.Random) -> None:
        """Change one thing somewhere in an object or list."""
        if chance.random() < 0.4 and (found := leaves(document)):
            container, key = chance.choice(found)
            container[key] = chance.choice(ODD) if chance.random() < 0.2 else varied(container[key], chance, 1)
            return
        name, place = "", document
        while True:
            inner: list[tuple[str, Any]] = (
                list(place.items()) if isinstance(place, dict) else [(f"{name}[]", item) for item in place]
            )
            inner = [(key, item) for key, item in inner if isinstance(item, (dict, list)) and item]
            if not inner or chance.random() < 0.25:
                break
            name, place = chance.choice(inner)
        if isinstance(place, dict):
            self._change_object(name, place, chance)
        else:
            self._change_list(name, place, chance)

    def _change_object(self, name: str, place: Json, chance: random.Random) -> None:
        if place and chance.random() < 0.2:
            del place[chance.choice(list(place))]
            return
        if place and chance.random() < 0.4:
            key = chance.choice(list(place))
        else:
            key = chance.choice(self.names.get(name, list(self.names)))
        place[key] = varied(self.value(key, chance), chance)

    def _change_list(self, name: str, place: list[Any], chance: random.Random) -> None:
        if place and chance.random() < 0.2:
            del place[chance.randrange(len(place))]
        elif place and chance.random() < 0.2:
            place.append(chance.choice(place))
        elif place and chance.random() < 0.4:
            place[chance.randrange(len(place))] = varied(self.value(f"{name}[]", chance), chance)
        else:
            place.insert(chance.randint(0, len(place)), varied(self.value(f"{name}[]", chance), chance))


def leaves(place: Any) -> list[tuple[Any, Any]]:
    """Where the texts, numbers and truth values of a document are: an object or list, and the place in it."""
    found: list[tuple[Any, Any]] = []
    for key, value in place.items() if isinstance(place, dict) else enumerate(place):
        if isinstance(value, (dict, list)):
            found += leaves(value)
        else:
            found.append((place, key))
    return found


NUMBERS = [value for value in ODD if type(value) is int]
TEXTS = [value for value in ODD if isinstance(value, str)]


def varied(value: Any, chance: random.Random, likelihood: float = 0.3) -> Any:
    """A copy of a value, now and then not quite it."""
    value = json.loads(json.dumps(value))
    if chance.random() >= likelihood:
        return value
    if isinstance(value, str):
        numbers = list(re.finditer(r"\d+", value))
        if numbers and chance.random() < 0.5:
            start, end = chance.choice(numbers).span()
            return f"{value[:start]}{chance.choice(NUMBERS)}{value[end:]}"
        at = chance.randint(0, len(value))
        return value[:at] + chance.choice(TEXTS) + value[at + chance.randint(0, 2) :]
    if type(value) is int:
        return value + chance.choice([-1, 1, 8, -8, 2**16, 2**31, -(2**32)])
    return value


POOL = Pool()


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """A document made of this one, often still JSON."""
    chance = random.Random(seed)
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        document = None
    if not isinstance(document, dict) or chance.random() < 0.1:
        changed: bytes = atheris.Mutate(data, max_size)
        return changed
    for _ in range(chance.randint(1, 3)):
        POOL.change(document, chance)
    return json.dumps(document).encode()[:max_size]


class Reader:
    """The helper's reader, in a process of its own."""

    def __init__(self, path: str) -> None:
        self._process = subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def accepts(self, program: bytes) -> bool:
        """Whether it takes the program."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(struct.pack("=I", len(program)) + program)
        self._process.stdin.flush()
        return self._process.stdout.readline().startswith(b"ok ")


def surroundings(data: bytes) -> tuple[lxcri.compile.Request, lxcri.compile.Host]:
    """A request and a host that depend on the document and on nothing else."""
    chance = random.Random(zlib.crc32(data))

    def mostly() -> bool:
        return chance.random() < 0.8

    request = lxcri.compile.Request(
        id="c1",
        bundle="/b",
        rootfs="/b/rootfs",
        directory="/run/lxcri/c1",
        preserve_fds=chance.choice([0, 0, 3]),
        listen_fds=chance.choice([0, 0, 1]),
        notify=not mostly(),
        session_keyring=mostly(),
        systemd=chance.choice(["", "", "system", "user"]),
        apparmor=mostly(),
        capabilities=mostly(),
        cgroup_devices=mostly(),
        seccomp=mostly(),
    )
    host = lxcri.compile.Host(
        layout=chance.choice([V1, HYBRID, V2, NONE]),
        capabilities=chance.choice([(1 << 41) - 1, 0]),
        lsm=("apparmor", "selinux") if mostly() else (),
        shown=chance.choice([None, V1, NONE]),
        user_namespace=not mostly(),
        renamed=chance.choice([None, ((1000, 0), (1000, 0))]),
        owned=chance.choice([ALL_SHOWN, ()]),
        joined_ids=chance.choice([("", ""), ("0 100000 65536\n", "0 100000 65536\n")]),
        empty_proc=chance.choice(["", "mnt"]),
    )
    return request, host


def decoded(data: bytes) -> Spec:
    """What `create` compiles; raises Error."""
    spec = lxcri.spec.decode_config(data)
    check_version(spec.oci_version)
    if spec.process is not None:
        spec.process.env = unique_environment(spec.process.env)
    return spec


def compiled(data: bytes) -> tuple[str, Plan | None, Plan | None]:
    """The text of the Error or "", the Plan of a container, and that of a process in it; all else that is raised."""
    request, host = surroundings(data)
    try:
        spec = decoded(data)
        before = lxcri.spec.encode(spec)
        plan = lxcri.compile.compile_plan(spec, request, host)
        assert lxcri.spec.encode(spec) == before, "the spec has changed"
        return "", plan, lxcri.compile.compile_execution(spec, request, host)
    except Error as e:
        return str(e), None, None


def complete(plan: Plan) -> bytes | None:
    """Its program, if the filter does not take long to be compiled and is one for libseccomp."""
    if plan.seccomp and sum(len(rule.names) for rule in plan.seccomp.syscalls) > SYSCALLS_MAX:
        return None
    try:
        return lxcri.launch.encode_program(CONTEXT, plan)
    except Error as e:
        if str(e).startswith("linux.seccomp"):
            return None
        raise


def check_marshalling(signature: str, value: Any) -> None:
    """Raise what is raised where a property of a unit is put into a message of D-Bus."""
    if signature[0] == "a":
        for item in value:
            check_marshalling(signature[1:], item)
    elif signature[0] == "(":
        for part, item in zip(complete_types(signature[1:-1]), value, strict=True):
            check_marshalling(part, item)
    elif signature in BASIC:
        ffi.new(BASIC[signature], value)
    else:
        ffi.new("char[]", value.encode("utf-8", "surrogateescape"))


def try_one(data: bytes, reader: Reader) -> None:
    """Raise what is a finding."""
    found = compiled(data)
    assert found == compiled(data), "not the same twice"
    error, plan, execution = found
    if plan is None or execution is None:
        assert error, "an error without a text"
        return
    check_plan(plan)
    for one in plan.host.unit.properties if plan.host.unit else ():
        check_marshalling(one.signature, one.value)
    for program in (program_of(plan), program_of(execution), complete(plan)):
        assert program is None or reader.accepts(program), "the helper refuses the program"


def main() -> None:
    """Run libFuzzer, with its own arguments."""
    reader = Reader(os.environ["LXCRI_FUZZ_READER"])
    atheris.Setup(sys.argv, lambda data: try_one(data, reader), custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
