"""`start`: let a created container execute its program (runtime.md, "Start")."""

from __future__ import annotations

import _socket
import posix

from ..channel import FAILED, LAST_STEP, PACKET_MAX, START, failure, send_state
from ..errors import Error
from ..state import START_SOCKET, Entry, oci_state_json, open_init, status, wait_exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..context import Context
    from ..state import State

LAST_BREATH = 2.0  # seconds that an init which failed to start gets to end


def run(ctx: Context, *, id: str) -> int:
    """Start a created container; raises Error if it is none, and if its program cannot be executed."""
    with Entry.open(ctx.root, id) as entry:
        entry.lock()
        state = entry.load()
        start(ctx, entry, state)
    return 0


def start(ctx: Context, entry: Entry, state: State | None) -> None:
    """Start the container of this locked entry; the lock ends before its poststart hooks run."""
    if state is None or state.pid == 0:
        raise Error(f'container "{entry.id}": cannot start a container whose creation has not finished')
    init = open_init(state)
    if init is None:
        raise Error(f'container "{entry.id}": cannot start a container that has stopped')
    notification = None
    if caller := posix.environ.get(b"NOTIFY_SOCKET"):
        from ..notify import listen

        notification = listen(entry, caller)
    try:
        try:
            tell_init(entry, state, init)
        except FailedStartError:
            # Who asks for the state of a container that failed to start is not to be told that it runs.
            wait_exit(init, LAST_BREATH)
            raise
        entry.unlink(START_SOCKET)
        entry.unlock()
        if state.poststart:
            from ..hooks import run_poststart

            try:
                run_poststart(ctx, entry, state)
            except (Error, OSError):
                from .kill import SIGKILL, signal_init

                signal_init(state, init, SIGKILL)
                raise
        if notification:
            notification.forward(state.pid, init)
    finally:
        posix.close(init)
        if notification:
            notification.close()


class FailedStartError(Error):
    """The container's init reported why it could not execute the program, or ended without a word."""


def tell_init(entry: Entry, state: State, init: int) -> None:
    """
    Tell the waiting init to go on, and wait until it has executed the program.

    Raises Error if nobody waits (then the container runs already, or is paused), FailedStartError if the program
    was not executed.
    """
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    try:
        try:
            connection.connect(entry.socket_path())
        except (FileNotFoundError, ConnectionRefusedError):
            if status(entry, state) == "paused":
                raise Error(f'container "{entry.id}": cannot start a container in the paused state') from None
            raise Error(f'container "{entry.id}": cannot start an already running container') from None
        executing = False
        try:
            send_state(connection, START, oci_state_json(state, "created", state.pid))
            while packet := connection.recv(PACKET_MAX):
                if packet[:1] == FAILED:
                    raise FailedStartError(str(failure(packet)))
                executing = packet[:1] == LAST_STEP
                if executing and packet[1:]:  # a seccomp filter with a listener
                    deliver_listener(state, init, packet[1:])
        except ConnectionError:
            pass  # init has ended
        if not executing:
            raise FailedStartError("the container's init ended before it executed the program")
    finally:
        connection.close()


def deliver_listener(state: State, init: int, numbers: bytes) -> None:
    """Send the listener of init's seccomp filter to its agent; raises FailedStartError, and then init is killed."""
    from ..listener import deliver
    from .kill import SIGKILL, signal_init

    try:
        deliver(state, "created", state.pid, init, numbers)
    except Error as e:
        signal_init(state, init, SIGKILL)  # it waits for somebody to have its listener
        raise FailedStartError(str(e)) from e
