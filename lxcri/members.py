"""The processes of a container that has no cgroup to hold them: those of its pid namespace."""

from __future__ import annotations

import os

from .errors import Error
from .procfs import parent_pid

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from .state import State
else:
    import _signal  # not `signal`, which imports enum


def members(state: State) -> list[int]:
    """
    Pids of the processes in the pid namespace of a container's init, which lives, and of their descendants.

    Raises Error if that is the caller's too, where nothing tells them from others.
    """
    inside = _namespace(state.pid)
    if inside == _namespace(os.getpid()):
        raise Error("the container has neither a cgroup nor a pid namespace of its own")
    parents = {}
    for pid in [int(name) for name in os.listdir("/proc") if name.isdigit()]:
        try:
            parents[pid] = parent_pid(pid)
        except OSError:
            continue  # it has ended
    found = {pid for pid in parents if pid == state.pid or _namespace(pid) == inside}
    while more := {pid for pid, parent in parents.items() if parent in found} - found:  # in namespaces below
        found |= more
    return sorted(found)


def signal_members(state: State, number: int) -> None:
    """Send a signal to them all; raises Error."""
    opened: dict[int, int] = {}
    try:
        for pid in members(state):
            try:
                opened[pid] = os.pidfd_open(pid)
            except ProcessLookupError:
                continue
        still = set(members(state))  # a pid that was listed, opened, and is still listed is no other process's by now
        for pid, fd in opened.items():
            if pid in still:
                try:
                    _signal.pidfd_send_signal(fd, number)
                except ProcessLookupError:
                    continue
    finally:
        for fd in opened.values():
            os.close(fd)


def _namespace(pid: int) -> str:
    """Which pid namespace a process is in; "" if it has ended, or is not ours to look at."""
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""
