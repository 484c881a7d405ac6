"""`resume`: let the processes of a paused container go on."""

from __future__ import annotations

from ..errors import Error
from ..state import PAUSED_START_SOCKET, START_SOCKET, Entry, open_init

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..context import Context
    from ..state import State


def run(ctx: Context, *, id: str) -> int:
    """Resume a container; raises Error if it is not paused."""
    with Entry.open(ctx.root, id) as entry:
        entry.lock()
        state = entry.load()
        if state is None or not state.cgroup or not is_alive(state):
            raise Error("container not paused")
        from ..cgroup.fs import Cgroup

        cgroup = Cgroup.from_record(state.cgroup)
        if not cgroup.frozen():
            raise Error("container not paused")
        entry.rename(PAUSED_START_SOCKET, START_SOCKET)
        cgroup.thaw(wait=True)
    return 0


def is_alive(state: State) -> bool:
    """Whether the container's init lives."""
    import posix

    init = open_init(state)
    if init is None:
        return False
    posix.close(init)
    return True
