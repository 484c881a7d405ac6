"""Calls of a runtime as an engine makes them, and what two runtimes answer, compared in kind."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from oci import process
from oci.recorder import install

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from oci.runtime import Runtime

MATCHED = (
    "os: process already finished", "container not running", "container not paused", "does not exist",
    "(?i)no such process", "(?i)permission denied", "(?i)operation not permitted", "executable file not found in",
    "no such file or directory", "not a directory", "is a directory",
)  # fmt: skip
"""Patterns that engines look for in errors (and a few that they do not, which tell the same)."""

VARIABLE = (
    r"\b[0-9a-f]{64}\b",
    r"\b[0-9a-f-]{36}\b",
    r"(?<=/pty)\d+",
    r"(?<=runc-process)\d+",
    r"(?<=conmon-term\.)\w{6}",
    r"(?<=exec-process-)\d+",
    r"(?<=/podman)\d+",
    r"(?<=buildah)\d+",
)
"""What is another in every run of the same scenario."""


@dataclass(frozen=True)
class Call:
    """One call, and its answer."""

    argv: Sequence[str]
    stdin: str
    descriptors: Sequence[int]
    environment: Sequence[str]
    status: int
    stdout: str
    stderr: str
    log: str

    def __str__(self) -> str:
        texts = [repr(text[:1000]) for text in (self.stdout, self.stderr, self.log)]
        question = f"{' '.join(self.argv)} (stdin {self.stdin}, descriptors {self.descriptors})"
        return f"{question}: status {self.status}\n  stdout {texts[0]}\n  stderr {texts[1]}\n  log {texts[2]}"

    @property
    def verb(self) -> str:
        """The first word that is no global option, nor the value of one."""
        words = list(self.argv)
        while words and words[0].startswith("-"):
            word = words.pop(0)
            if word in ("--root", "--log", "--log-format", "--criu", "--rootless") and words:
                words.pop(0)
        return words[0] if words else ""

    def question(self) -> tuple[object, ...]:
        """What the engine wanted and how it called, without what differs in every run."""
        text = "\n".join(self.argv)
        for pattern in VARIABLE:
            text = re.sub(pattern, "*", text)
        return (self.verb, text, self.stdin, tuple(self.environment))

    def kind(self) -> dict[str, set[str]]:
        """The answer, as far as it has to be the same."""
        return {
            "status": {str(self.status)},
            "stdout": kind_of_text(self.stdout),
            "stderr": kind_of_text(self.stderr),
            "matched in the output": matched(self.stdout + self.stderr) if self.status else set(),
            "log": kind_of_log(self.log),
        }


def matched(text: str) -> set[str]:
    """The patterns that are in a text."""
    return {pattern for pattern in MATCHED if re.search(pattern, text)}


def shape(value: Any, path: str = "") -> set[str]:
    """Paths and types in a JSON value. Annotations are free, and may be none."""
    if isinstance(value, dict):
        members = [shape(member, f"{path}.{key}") for key, member in value.items() if key != "annotations"]
        return {f"{path} is an object"}.union(*members)
    if isinstance(value, list):
        return {f"{path} is a list"}.union(*(shape(member, f"{path}[]") for member in value))
    return {f"{path} is {TYPES.get(type(value), 'null')}"}


TYPES = {bool: "a boolean", int: "a number", float: "a number", str: "a text"}


def kind_of_text(text: str) -> set[str]:
    """Nothing, JSON of some shape, a table with this head, or words."""
    if not text:
        return {"nothing"}
    for documents in ([text], text.splitlines()):
        try:
            return {"JSON"}.union(*(shape(json.loads(document)) for document in documents))
        except ValueError:
            pass
    head = text.splitlines()[0].split()
    return {f"a table of {head}"} if len(head) > 1 and all(word.isupper() for word in head) else {"words"}


def kind_of_log(text: str) -> set[str]:
    """Of each error its keys and the matched texts; what is no record stands for itself."""
    kinds = set()
    for line in text.splitlines():
        try:
            record = json.loads(line)
        except ValueError:
            found = re.fullmatch(r'time="[^"]*" level=(\w+) msg=(.*)', line)
            record = {"level": found[1], "msg": found[2], "text": ""} if found else {"text": line}
        time = re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|[+-]\d\d:\d\d)", record.get("time", ""))
        if record.get("level") not in ("debug", "info", "warning"):
            message = sorted(matched(record.get("msg", "")))
            kinds.add(f"{sorted(record)} {bool(time)} {record.get('text')} {message}")
    return kinds


class Recorder:
    """A runtime whose calls are recorded; `path` is the program to give to an engine, its last part is `name`."""

    def __init__(self, runtime: str, directory: str, name: str) -> None:
        self.name = name
        self.path = os.path.join(directory, name)
        self._records = os.path.join(directory, f"{name}.calls")
        install(runtime, self.path, self._records)

    def take(self) -> list[Call]:
        """The calls since the last time, in the order of their ends."""
        try:
            with open(self._records) as file:
                lines = file.read().splitlines()
        except FileNotFoundError:
            return []
        os.unlink(self._records)
        return [Call(**json.loads(line)) for line in lines]


def recorders(runtime: Runtime, directory: str) -> list[Recorder]:
    """Of this runtime, and of runc; none if it is runc itself, or there is none."""
    runc = shutil.which("runc")
    if runc is None or not runtime.is_lxcri:
        return []
    return [Recorder(runtime.path, directory, "recorded"), Recorder(runc, directory, "recorded-runc")]


def differences(mine: Sequence[Call], others: Sequence[Call]) -> dict[str, str]:
    """What is not the same in kind, by question; calls are matched by their place among those of their question."""
    remaining = list(others)
    found = {}
    for call in mine:
        other = next((one for one in remaining if one.question() == call.question()), None)
        question = " ".join(call.argv)
        if other is None:
            found[question] = f"the other does not get this call: {call}"
            continue
        remaining.remove(other)
        kind, expected = call.kind(), other.kind()
        lines = [
            f"  {what}: {sorted(kind[what] - expected[what])}, not {sorted(expected[what] - kind[what])}"
            for what in kind
            if kind[what] != expected[what]
        ]
        if lines:
            found[question] = "\n".join([*lines, f"by {call}", f"and {other}"])
    return found | {" ".join(call.argv): f"only the other gets this call: {call}" for call in remaining}


def compare(engine: Callable[[Recorder, str], object], recorders: Sequence[Recorder], lines: str) -> None:
    """
    Run the same lines of an engine's commands on each of two recorded runtimes: neither the engine nor its user may see
    which one it is.
    """
    if not recorders:
        pytest.skip("this compares lxcri with runc")
    calls, outcomes = [], []
    for recorder in recorders:
        outcomes.append([engine(recorder, line.strip()) for line in lines.strip().splitlines()])
        process.wait_for(lambda: not process.children(), "the end of what the engine runs")
        calls.append(recorder.take())
    assert calls[0], "the engine has called no runtime"
    found = differences(*calls)
    assert not found, "\n\n".join(f"{call}\n{text}" for call, text in found.items())
    assert [call.verb for call in calls[0]] == [call.verb for call in calls[1]]
    assert outcomes[0] == outcomes[1]
