"""
A runtime that records: it calls another one, and appends what was said and answered to a file, one JSON object a call.

Engines call a copy of this file, which install() has told where the runtime is; it stands alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import stat
import sys

RUNTIME = ""
RECORDS = ""


def kind_of(fd: int) -> str:
    """What is behind a descriptor."""
    try:
        mode = os.fstat(fd).st_mode
    except OSError:
        return "closed"
    if stat.S_ISCHR(mode):
        return "terminal" if os.isatty(fd) else os.readlink(f"/proc/self/fd/{fd}")
    kinds = ((stat.S_ISFIFO, "pipe"), (stat.S_ISSOCK, "socket"), (stat.S_ISREG, "file"), (stat.S_ISDIR, "directory"))
    return next((kind for is_kind, kind in kinds if is_kind(mode)), "other")


def descriptors() -> list[int]:
    """All that is open, but for the directory that tells."""
    numbers = [int(name) for name in os.listdir("/proc/self/fd")]
    return [number for number in sorted(numbers) if kind_of(number) != "closed"]


def environment() -> dict[bytes, bytes]:
    """As the engine made it; Python adds a locale."""
    with open("/proc/self/environ", "rb") as file:
        return dict(entry.split(b"=", 1) for entry in file.read().split(b"\0") if b"=" in entry)


def value_of(option: str, words: list[str]) -> str | None:
    """The value of an option with two dashes, in either of its forms."""
    for i, word in enumerate(words):
        if word == option and i + 1 < len(words):
            return words[i + 1]
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None


def size_of(path: str | None) -> int:
    """Of a file, 0 if there is none."""
    try:
        return os.stat(path).st_size if path else 0
    except FileNotFoundError:
        return 0


def read_from(path: str | None, offset: int) -> str:
    """The rest of a file."""
    if not path or not os.path.exists(path):
        return ""
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read().decode("utf-8", "surrogateescape")


class Outputs:
    """
    Both outputs of the runtime, which are read here and passed on.

    The container writes to them, too: a process of its own passes on what comes after the runtime's end.
    """

    def __init__(self) -> None:
        self.inner: dict[int, int] = {}
        self.outer: dict[int, int] = {}
        self.texts = {1: b"", 2: b""}
        for fd in (1, 2):
            reading, self.inner[fd] = os.pipe2(os.O_CLOEXEC)
            self.outer[reading] = fd

    def in_child(self) -> None:
        """Give them to the runtime."""
        for fd, pipe in self.inner.items():
            os.dup2(pipe, fd)

    def in_parent(self) -> None:
        """Leave the writing to the runtime."""
        for pipe in self.inner.values():
            os.close(pipe)

    def pass_on(self, ready: list[int]) -> None:
        """Read what is there."""
        for pipe in ready:
            data = os.read(pipe, 65536)
            fd = self.outer[pipe]
            self.texts[fd] += data
            if not data:
                del self.outer[pipe]
            with contextlib.suppress(OSError):  # nobody reads any more
                while data:
                    data = data[os.write(fd, data) :]

    def pass_on_until(self, pidfd: int) -> None:
        """Read until the runtime has ended, and what it said last."""
        while True:
            ready = select.select([pidfd, *self.outer], [], [])[0]
            self.pass_on([pipe for pipe in ready if pipe != pidfd])
            if pidfd in ready:
                break
        while ready := select.select([*self.outer], [], [], 0)[0]:
            self.pass_on(ready)

    def pass_on_to_the_end(self) -> None:
        """Let another process do it, for as long as the container has them."""
        if self.outer and not os.fork():
            os.closerange(3, min(self.outer))
            while self.outer:
                self.pass_on(select.select([*self.outer], [], [])[0])
            os._exit(0)


def main() -> None:
    """One call."""
    given = descriptors()
    words = sys.argv[1:]
    log = value_of("--log", words)
    offset = size_of(log)
    record: dict[str, object] = {
        "argv": words,
        "stdin": kind_of(0),
        "descriptors": given,
        "environment": sorted(os.fsdecode(name) for name in environment()),
    }
    outputs = Outputs()
    pid = os.fork()
    if not pid:
        outputs.in_child()
        os.execve(RUNTIME, [RUNTIME, *words], environment())
    outputs.in_parent()
    outputs.pass_on_until(os.pidfd_open(pid))
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    record["status"] = status
    record["stdout"], record["stderr"] = (outputs.texts[fd].decode("utf-8", "surrogateescape") for fd in (1, 2))
    record["log"] = read_from(log, offset)
    fd = os.open(RECORDS, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    os.write(fd, json.dumps(record).encode() + b"\n")
    outputs.pass_on_to_the_end()
    os._exit(status & 0xFF)


def install(runtime: str, path: str, records: str) -> None:
    """Make the program that records the calls of this runtime in a file."""
    with open(__file__) as file:
        text = file.read()
    for name, value in (("RUNTIME", runtime), ("RECORDS", records)):
        text = text.replace(f'\n{name} = ""\n', f"\n{name} = {value!r}\n")
    with open(path, "w") as file:
        file.write(f"#!/usr/bin/python3 -IS\n{text}")
    os.chmod(path, 0o755)


if __name__ == "__main__":
    main()
