"""`events`: what a container uses, and when it runs out of memory, as one JSON object a line, as runc prints them."""

from __future__ import annotations

import os
import select
import time

import msgspec

from ..cgroup.fs import Cgroup
from ..cgroup.oom import OutOfMemory
from ..cgroup.stats import collect
from ..errors import Error
from ..state import Entry, open_init

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..context import Context

LONGEST_WAIT = 86400.0  # seconds; poll(2) takes milliseconds in an int, 24 days


def run(ctx: Context, *, id: str, interval: float, stats: bool) -> int:
    """
    Print statistics once, or every `interval` seconds, beside what happens, until the container has ended.

    Raises Error if it does not run.
    """
    with Entry.open(ctx.root, id) as entry:
        state = entry.load()
        init = open_init(state) if state else None
        if state is None or init is None:
            raise Error(f"container with id {id} is not running")
        if not state.cgroup:
            os.close(init)
            raise Error("the container has no cgroup")
        try:
            cgroup = Cgroup.from_record(state.cgroup)
            if stats:
                ctx.print(event("stats", id, collect(cgroup)))
            else:
                with OutOfMemory(cgroup) as memory:
                    watch(ctx, id, cgroup, memory, init, interval)
        finally:
            os.close(init)
    return 0


def event(kind: str, id: str, data: Any = None) -> str:
    """One line of output."""
    members = {"type": kind, "id": id} if data is None else {"type": kind, "id": id, "data": data}
    return msgspec.json.encode(members).decode() + "\n"


def watch(ctx: Context, id: str, cgroup: Cgroup, memory: OutOfMemory, init: int, interval: float) -> None:
    """Print events until init has ended."""
    poll = select.poll()
    poll.register(init, select.POLLIN)
    if memory.fd >= 0:
        poll.register(memory.fd, memory.events)
    due = time.monotonic() + interval
    while True:
        ready = dict(poll.poll(min(max(0.0, due - time.monotonic()), LONGEST_WAIT) * 1000))
        for _ in range(memory.count()):
            ctx.print(event("oom", id))
        if init in ready:
            return
        if time.monotonic() >= due:
            due = max(due + interval, time.monotonic())
            ctx.print(event("stats", id, collect(cgroup)))
