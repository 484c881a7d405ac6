"""Waiting for a container as its parent: signals go to it, its exit status comes to us."""

from __future__ import annotations

import os
import select
import signal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .terminal import Terminal

NOT_FORWARDED = {
    signal.SIGCHLD,
    signal.SIGKILL,
    signal.SIGSTOP,
    signal.SIGPIPE,  # a matter of our own output
    signal.SIGURG,
    signal.SIGWINCH,  # said to the terminal
}


def wait_for(pid: int, pidfd: int, terminal: Terminal | None) -> int:
    """Wait until this child has ended; return its exit status, 128+n if signal n killed it."""
    signals_read, signals_write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    former = signal.set_wakeup_fd(signals_write, warn_on_full_buffer=False)
    handled = set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP}
    handlers = {number: signal.signal(number, _noted) for number in handled}
    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    poll.register(signals_read, select.POLLIN)
    if terminal:
        poll.register(0, select.POLLIN)
        poll.register(terminal.master, select.POLLIN)
    try:
        while True:
            ready = {fd for fd, _ in poll.poll()}
            if signals_read in ready:
                for number in os.read(signals_read, 4096):
                    _act_on(number, pid, pidfd, terminal)
            if terminal and 0 in ready and not terminal.to_container():
                poll.unregister(0)
            if terminal and terminal.master in ready and not terminal.from_container():
                poll.unregister(terminal.master)
            if pidfd in ready:
                break
        while terminal and _readable(terminal.master) and terminal.from_container():
            pass
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        return 128 - code if code < 0 else code
    finally:
        signal.set_wakeup_fd(former)
        for number, handler in handlers.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        os.close(signals_read)
        os.close(signals_write)


def _noted(number: int, frame: object) -> None:
    """The number arrives through the wake-up descriptor."""


def _readable(fd: int) -> bool:
    return bool(select.select([fd], [], [], 0)[0])


def _act_on(number: int, pid: int, pidfd: int, terminal: Terminal | None) -> None:
    if number == signal.SIGCHLD:
        _reap_others(pid)
    elif number == signal.SIGWINCH and terminal:
        terminal.resize()
    elif number not in NOT_FORWARDED:
        try:
            signal.pidfd_send_signal(pidfd, number)
        except ProcessLookupError:
            pass


def reap(pid: int) -> None:
    """Have no zombie left of this child, which was killed."""
    try:
        os.waitpid(pid, 0)
    except ChildProcessError:
        pass


def _reap_others(pid: int) -> None:
    """Processes of the container that lost their parent may have become our children."""
    while True:
        try:
            child = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
        except ChildProcessError:
            return
        if child is None or child.si_pid == pid:
            return
        os.waitpid(child.si_pid, 0)
