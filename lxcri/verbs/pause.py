"""`pause`: stop all processes of a container, until `resume`."""

from __future__ import annotations

from ..errors import Error
from ..state import PAUSED_START_SOCKET, START_SOCKET, Entry, status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..context import Context


def run(ctx: Context, *, id: str) -> int:
    """
    Pause a container that runs, or is created; raises Error if it does neither, or cannot be stopped.

    The socket of a created one is put aside: its init would take what `start` says when it is resumed.
    """
    with Entry.open(ctx.root, id) as entry:
        entry.lock()
        state = entry.load()
        current = status(entry, state)
        if state is None or current not in ("created", "running"):
            raise Error("container not running" if current == "stopped" else f"container not running: it is {current}")
        if not state.cgroup:
            raise Error("the container has no cgroup")
        from ..cgroup.fs import Cgroup

        Cgroup.from_record(state.cgroup).freeze()
        if current == "created":
            entry.rename(START_SOCKET, PAUSED_START_SOCKET)
    return 0
