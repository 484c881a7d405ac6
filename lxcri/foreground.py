"""Waiting for a container as its parent: signals go to it, its exit status comes to us."""

from __future__ import annotations

import os
import select
import signal
import sys
import time

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
DRAIN_SECONDS = 1.0
"""How long output is taken from a terminal that processes still write to after init has ended."""


class Signals:
    """The signals sent to this process: from now on, and until end(), they are noted, and have no other effect."""

    def __init__(self) -> None:
        self.fd, self._write = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        self._former = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        sys.unraisablehook = _without_a_word  # by which Python tells of a number that it could not write
        handled = signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}
        self._handlers = {number: signal.signal(number, _noted) for number in handled}

    def noted(self) -> bytes:
        """The numbers of those that came since the last call, once fd is readable."""
        return os.read(self.fd, 4096)

    def end(self) -> None:
        """Let them have their former effects."""
        signal.set_wakeup_fd(self._former)
        sys.unraisablehook = sys.__unraisablehook__
        for number, handler in self._handlers.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)
        os.close(self.fd)
        os.close(self._write)


def _noted(number: int, frame: object) -> None:
    """The number arrives through the wake-up descriptor."""


def _without_a_word(unraisable: object) -> None:
    """No traceback reaches a user."""


def wait_for(pid: int, pidfd: int, signals: Signals, terminal: Terminal | None) -> int:
    """Wait until this child has ended; return its exit status, 128+n if signal n killed it."""
    while True:
        ready = _poll({pidfd: select.POLLIN, signals.fd: select.POLLIN, **(terminal.events() if terminal else {})})
        if signals.fd in ready:
            for number in signals.noted():
                _act_on(number, pid, pidfd, terminal)
        if terminal:
            terminal.act(ready)
        if pidfd in ready:
            break
    if terminal:
        deadline = time.monotonic() + DRAIN_SECONDS
        while (ready := _poll(terminal.output_events(), 0)) and time.monotonic() < deadline:
            terminal.act(ready)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    return 128 - code if code < 0 else code


def _poll(events: dict[int, int], milliseconds: int | None = None) -> dict[int, int]:
    poll = select.poll()
    for fd, wanted in events.items():
        poll.register(fd, wanted)
    return dict(poll.poll(milliseconds))


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
