"""Every verb in the surroundings that engines call it in: it succeeds, and says nothing on stderr."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from typing import TYPE_CHECKING, Any

import pytest
from oci import process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from oci.bundle import Bundle


@contextlib.contextmanager
def inherited_descriptors() -> Iterator[dict[str, Any]]:
    """The caller has more of them open than the standard ones."""
    with contextlib.ExitStack() as stack:
        numbers = [os.open("/dev/null", os.O_RDWR), *os.pipe()]
        for number in numbers:
            stack.callback(os.close, number)
        yield {"pass_fds": numbers}


@contextlib.contextmanager
def blocked_signals() -> Iterator[dict[str, Any]]:
    """Every one that can be."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    try:
        yield {}
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


SHELL = ("/bin/sh", "-c")
IGNORE = """import os, signal, sys
for name in "HUP INT QUIT PIPE TERM USR1 CHLD".split():
    signal.signal(signal.Signals["SIG" + name], signal.SIG_IGN)
os.execv(sys.argv[1], sys.argv[1:])"""
"""Not a shell's trap: that keeps CHLD."""

SURROUNDINGS: dict[str, Callable[[], AbstractContextManager[dict[str, Any]]]] = {
    "no environment": lambda: contextlib.nullcontext({"env": {}}),
    "podman's environment": lambda: contextlib.nullcontext({"env": {"XDG_RUNTIME_DIR": ""}}),
    "another environment": lambda: contextlib.nullcontext(
        {"env": {"PYTHONPATH": "/no/such", "PYTHONHOME": "/no/such", "LC_ALL": "xx", "HOME": "/no"}}
    ),
    "descriptors": inherited_descriptors,
    "blocked signals": blocked_signals,
    "ignored signals": lambda: contextlib.nullcontext({"wrapper": [sys.executable, "-c", IGNORE]}),
    "no input": lambda: contextlib.nullcontext({"wrapper": [*SHELL, 'exec "$@" <&-', "sh"]}),
    "an odd umask and directory": lambda: contextlib.nullcontext(
        {"wrapper": [*SHELL, 'umask 0777; exec "$@"', "sh"], "cwd": "/proc/self"}
    ),
}


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_verbs(bundle: Bundle, name: str) -> None:
    """From create to delete."""
    container = bundle.container("/bin/sleep", "100")
    bundle.write()
    path = bundle.file("process.json", json.dumps({"args": ["/bin/true"], "cwd": "/"}))
    limits = bundle.file("limits.json", json.dumps({"pids": {"limit": 50}}))
    with SURROUNDINGS[name]() as how:

        def call(*words: str) -> str:
            result = bundle.runtime.call(*words, **how).ok()
            assert result.stderr == "", result
            return result.stdout

        container.create(**how)
        assert json.loads(call("state", container.id))["status"] == "created"
        call("start", container.id)
        assert container.id in call("list")
        assert str(container.pid) in call("ps", "--format", "json", container.id)
        call("exec", "--process", path, "--detach", container.id)
        call("exec", container.id, "/bin/true")
        call("pause", container.id)
        call("resume", container.id)
        call("update", "--resources", limits, container.id)
        assert json.loads(call("events", "--stats", container.id))["type"] == "stats"
        call("features")
        call("--version")
        call("kill", container.id, "KILL")
        process.wait_for(lambda: not process.children(), "the end of init, and of what exec has begun")
        container.exit = -signal.SIGKILL
        call("kill", "--all", container.id, "9")
        assert json.loads(call("state", container.id))["status"] == "stopped"
        call("delete", container.id)
        call("delete", "--force", container.id)
    assert container.errors() == ""
