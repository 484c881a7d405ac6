"""`kill`: send a signal to a container's init, or to all of its processes (runtime.md, "Kill")."""

from __future__ import annotations

import posix

from ..errors import Error, reason
from ..state import Entry, open_init

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from ..context import Context
    from ..state import State
else:
    import _signal  # not `signal`, which imports enum

SIGKILL = _signal.SIGKILL
SIGNAL_MAX = 64


def run(ctx: Context, *, id: str, signal: str, all: bool) -> int:
    """
    Send a signal; a number, or a name with or without SIG.

    Raises Error if the container does not run, except with ``all``: then a stopped one is no error, as in
    runc, and what is left in its cgroup gets the signal (init's pid namespace may be shared).
    """
    with Entry.open(ctx.root, id) as entry:
        state = entry.load()
        number = signal_number(signal or "SIGTERM")  # a script's unset variable is no signal, as with runc
        if state is None or state.pid == 0:
            raise Error("container not running: it is being created")
        if all and state.cgroup:
            from ..cgroup.fs import Cgroup

            Cgroup.from_record(state.cgroup).kill_all(number)
            return 0
        init = open_init(state)
        if init is None:
            if all:
                return 0
            raise Error("container not running")
        try:
            if all:
                from ..members import signal_members

                signal_members(state, number)
                return 0
            signal_init(state, init, number)
        finally:
            posix.close(init)
    return 0


def signal_number(text: str) -> int:
    """The signal of a number (0 to 64) or a name, in any case, with or without SIG; raises Error."""
    if text.isascii() and text.isdigit() and len(text) < 3 and int(text) <= SIGNAL_MAX:
        return int(text)
    name = text.upper()
    number = getattr(_signal, name if name.startswith("SIG") else f"SIG{name}", None)
    # SIG_BLOCK and its like are there too; they are no signals.
    if "_" in name or not isinstance(number, int):
        raise Error(f'unknown signal "{text}"')
    return number


def signal_init(state: State, init: int, number: int) -> None:
    """Send a signal to init by its pidfd; a paused container is thawed for SIGKILL, or it would not die."""
    try:
        _signal.pidfd_send_signal(init, number)
    except ProcessLookupError:
        raise Error("container not running") from None
    except OSError as e:
        raise Error(f"signal {number} to process {state.pid}: {reason(e)}") from e
    if number == SIGKILL and state.cgroup:
        from ..cgroup import directories, is_frozen

        if is_frozen(directories(state.cgroup)):
            from ..cgroup.fs import Cgroup

            Cgroup.from_record(state.cgroup).thaw()
