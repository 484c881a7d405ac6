"""Child processes of the test run: orphans come to us, every wait has an end."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import time
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

TIMEOUT = float(os.environ.get("LXCRI_TEST_TIMEOUT") or 20)
"""Seconds; far beyond what anything here takes, so only a hang meets it. An emulated machine needs more."""

expected: set[int] = set()
"""Children that are meant to run beyond a test."""

_PR_SET_CHILD_SUBREAPER = 36
_libc = ctypes.CDLL(None, use_errno=True)


def become_subreaper() -> None:
    """Have orphaned descendants re-parented to this process, as container engines do."""
    if _libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_CHILD_SUBREAPER)")


def unshare(flags: int) -> None:
    """Leave the named namespaces (``CLONE_NEW*``); os.unshare needs Python 3.12."""
    if _libc.unshare(flags) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


def ended(pid: int, timeout: float = TIMEOUT) -> bool:
    """Whether the process is dead, or dies within ``timeout`` seconds; it is not reaped."""
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return True
    try:
        poll = select.poll()
        poll.register(pidfd, select.POLLIN)
        return bool(poll.poll(timeout * 1000))
    finally:
        os.close(pidfd)


def wait_command(command: subprocess.Popen[bytes], timeout: float = TIMEOUT) -> int:
    """Popen.wait, which sleeps up to 50 ms too long when it is given a time-out."""
    if not ended(command.pid, timeout):
        raise subprocess.TimeoutExpired(command.args, timeout)
    return command.wait()


def reap(pid: int, timeout: float = TIMEOUT) -> int:
    """Wait for a child; returns its exit code, or minus the signal that killed it."""
    if not ended(pid, timeout):
        raise TimeoutError(f"process {pid} is still there after {timeout} s")
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def wait_for(condition: Callable[[], T], what: str, timeout: float = TIMEOUT) -> T:
    """Call ``condition`` until it returns something true, and return that."""
    deadline = time.monotonic() + timeout
    pause = 0.0005
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(pause)
        pause = min(pause * 1.5, 0.02)


def children() -> dict[int, str]:
    """Living children of this process, by pid, with their name and state; zombies are reaped first."""
    try:
        while os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG):
            pass
    except ChildProcessError:
        return {}
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", errors="surrogateescape") as file:
                stat = file.read()
            name = stat[stat.index("(") + 1 : stat.rindex(")")]
            state, parent = stat[stat.rindex(")") + 2 :].split()[:2]
            if int(parent) != os.getpid() or state in "ZX" or int(entry) in expected:
                continue
            with open(f"/proc/{entry}/cmdline", errors="surrogateescape") as file:
                command = file.read().replace("\0", " ").strip()
        except OSError:
            continue
        found[int(entry)] = f"{name} ({state}) {command}"
    return found


def kill_children() -> None:
    """Kill and reap every child, and what is orphaned by that."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        left = children()
        if not left:
            return
        for pid in left:
            os.kill(pid, signal.SIGKILL)
            ended(pid, 2)
