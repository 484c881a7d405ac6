"""`run`: create, start, and, in the foreground, wait for a container and delete it."""

from __future__ import annotations

from .. import linux
from ..errors import Error
from ..foreground import Signals, reap, wait_for
from ..state import Entry, NotFoundError
from .create import OWN_TERMINAL, check_options, connect_console, make
from .delete import destroy
from .start import start

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _socket

    from ..context import Context
    from ..spec import Spec
    from ..state import State
    from ..terminal import Terminal


def run(
    ctx: Context,
    *,
    id: str,
    bundle: str,
    pid_file: str | None,
    console_socket: str | None,
    pidfd_socket: str | None,
    no_pivot: bool,
    no_new_keyring: bool,
    preserve_fds: int,
    detach: bool,
    keep: bool,
    no_subreaper: bool,
) -> int:
    """Run a container; in the foreground the exit status is the container's, 128+n if signal n killed it."""
    check_options(no_pivot, preserve_fds)
    terminal: Terminal | None = None
    signals: Signals | None = None

    def console_of(spec: Spec) -> _socket.socket | None:
        nonlocal terminal, signals
        if detach:
            return connect_console(ctx, spec, console_socket)
        if spec.process is not None and spec.process.terminal:
            from ..terminal import Terminal

            if console_socket:
                raise Error(OWN_TERMINAL)
            terminal = Terminal()
        signals = Signals()  # those that come before the container runs are for it too
        linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)  # init becomes our child when liblxc's process ends
        return terminal.socket if terminal else connect_console(ctx, spec, console_socket)

    with Entry.claim(ctx.root, id) as entry:
        state, pidfd = make(
            ctx,
            entry,
            console_of,
            bundle=bundle,
            pid_file=pid_file,
            pidfd_socket=pidfd_socket,
            preserve_fds=preserve_fds,
            session_keyring=not no_new_keyring,
        )
        try:
            if no_subreaper and not detach:
                linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 0)
            if terminal:
                terminal.receive()
            start(ctx, entry, state)
            if signals is None:
                return 0
            status = wait_for(state.pid, pidfd, signals, terminal)
        except BaseException:
            _delete(ctx, entry, state)
            if not detach:
                reap(state.pid)
            raise
        finally:
            if terminal:
                terminal.restore()
        if not keep:
            _delete(ctx, entry, state)
    return status


def _delete(ctx: Context, entry: Entry, state: State) -> None:
    try:
        entry.lock()
    except NotFoundError:
        return  # another command deleted it meanwhile
    destroy(ctx, entry, state)
