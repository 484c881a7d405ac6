"""`delete`: remove what a container holds: processes, cgroups, state directory (runtime.md, "Delete")."""

from __future__ import annotations

import posix

from ..errors import Error
from ..state import Entry, NotFoundError, is_of_this_boot, open_init, status, wait_exit
from .kill import SIGKILL, signal_init

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..context import Context
    from ..state import State

DEADLINE = 10.0  # seconds for init to die of SIGKILL; it may have a large address space or wait for a disk


def run(ctx: Context, *, id: str, force: bool) -> int:
    """
    Delete a stopped container, with ``force`` any.

    Raises Error if the container runs, or, without ``force``, if there is none.
    """
    try:
        entry = Entry.open(ctx.root, id)
        with entry:
            if force and (found := entry.load()):
                kill_init(found)  # which ends a `start` that waits for it with the lock in its hands
            entry.lock()
            state = entry.load()
            current = status(entry, state)
            if not force:
                if state is None:
                    raise NotFoundError(f'container "{id}" does not exist: its creation did not finish')
                if current != "stopped":
                    raise Error(f"cannot delete container {id} that is not stopped: {current}")
            if current == "stopped":
                release(ctx, entry, state)
            else:
                destroy(ctx, entry, state)
    except NotFoundError:
        if not finish(ctx, id) and not force:
            raise
    return 0


def finish(ctx: Context, id: str) -> bool:
    """Finish what a `delete` that was killed while poststop hooks ran has left; whether there was something."""
    entry = Entry.open_hidden(ctx.root, id)
    if entry is None:
        return False
    with entry:
        state = entry.load()
        if state is not None and state.poststop:
            from ..hooks import run_poststop

            run_poststop(ctx, entry, state)
        entry.remove()
    return True


def destroy(ctx: Context, entry: Entry, state: State | None) -> None:
    """Kill what lives of a container and remove all that it holds; the entry is locked."""
    if state is not None:
        kill_init(state)
    release(ctx, entry, state)


def release(ctx: Context, entry: Entry, state: State | None) -> None:
    """Remove all that a container whose init has ended holds, with what else of it lives; the entry is locked."""
    if state is None:
        entry.remove()
        return
    still_ours = is_of_this_boot(state)
    if state.cgroup and still_ours:
        from ..cgroup.fs import Cgroup

        cgroup = Cgroup.from_record(state.cgroup)
        cgroup.kill_all(SIGKILL)  # what does not share init's pid namespace outlived it
        if state.unit:
            from ..cgroup.systemd import stop_unit

            stop_unit(state.unit)
        cgroup.remove(parents=True)
    if state.resctrl and still_ours:
        from ..resctrl import remove

        remove(state.resctrl)
    if state.poststop:
        from ..hooks import run_poststop

        # The container is to be gone when the hooks run, which are written in its directory.
        entry.hide()
        run_poststop(ctx, entry, state)
    entry.remove()
    if state.poststop:
        while finish(ctx, entry.id):  # of a container that had this id before
            pass


def kill_init(state: State) -> None:
    """Kill the container's init, if it lives, and wait until it has ended; raises Error if it does not."""
    init = open_init(state)
    if init is None:
        return
    try:
        signal_init(state, init, SIGKILL)
        if not wait_exit(init, DEADLINE):
            raise Error(f"process {state.pid} has not ended {DEADLINE:.0f} seconds after SIGKILL")
    finally:
        posix.close(init)
