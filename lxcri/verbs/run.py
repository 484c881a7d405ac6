"""`run`: create, start, and, in the foreground, wait for a container and delete it."""

from __future__ import annotations

from .. import linux, notify
from ..errors import Error
from ..foreground import Signals, reap, wait_for
from ..starter import Starter
from ..state import Entry, NotFoundError
from .create import NO_PIVOT, LeftoverError, check_preserved, connect_console, create
from .delete import destroy
from .start import start

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..context import Context
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
    if no_pivot:
        raise Error(NO_PIVOT)
    check_preserved(preserve_fds + notify.listen_fds())  # before we open any
    console = None
    terminal: Terminal | None = None
    signals = None
    with Entry.claim(ctx.root, id) as entry:
        state = None
        starter = None
        try:
            starter = Starter(id, entry)
            from ..bundle import load_bundle

            spec, request = load_bundle(
                ctx,
                id=id,
                bundle=bundle,
                directory=entry.path,
                preserve_fds=preserve_fds,
                session_keyring=not no_new_keyring,
            )
            if not detach and spec.process is not None and spec.process.terminal:
                from ..terminal import Terminal

                if console_socket:
                    raise Error("--console-socket: in the foreground the terminal is the caller's own")
                terminal = Terminal()
                console = terminal.socket
            else:
                console = connect_console(ctx, spec, console_socket)
            if not detach:
                signals = Signals()  # those that come before the container runs are for it too
                linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)  # init becomes our child when liblxc's process ends
            state, pidfd = create(ctx, entry, spec, request, starter, console, pid_file, pidfd_socket)
            if no_subreaper and not detach:
                linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 0)
            if console:
                console.close()
            if terminal:
                terminal.receive()
            start(ctx, entry, state)
            if signals is None:
                return 0
            status = wait_for(state.pid, pidfd, signals, terminal)
        except LeftoverError:
            raise
        except BaseException:
            if state is None:
                if starter:
                    starter.discard()
                entry.remove()
            else:
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
