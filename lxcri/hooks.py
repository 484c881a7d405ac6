"""Hooks of the runtime's namespaces (config.md, "POSIX-platform Hooks")."""

from __future__ import annotations

import os
import time

from .errors import Error, reason
from .state import oci_state_json, wait_exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from .context import Context
    from .spec import Hook
    from .state import Entry, State
else:
    import _signal  # not `signal`, which imports enum

HOOKS_FILE = "hooks.json"
C_LIBRARYS_OWN = (32, 33)
ALL_SIGNALS = [n for n in range(1, 65) if n not in (_signal.SIGKILL, _signal.SIGSTOP, *C_LIBRARYS_OWN)]
"""All that can have another disposition than the default one: Python ignores some of them."""
LONGEST_WAIT = 0.25
"""Seconds. An interrupt that Python takes note of just before it waits is acted on only after that."""
OUTPUT_SHOWN = 256
"""Bytes of a failed hook's output that its error shows."""


def run_hook(subject: str, hook: Hook, state: bytes, directory: str) -> None:
    """Run a hook in a directory, with the state on its standard input; raises Error if it fails or takes too long."""
    state_fd = os.memfd_create("state", os.MFD_CLOEXEC)
    output_fd = os.memfd_create("output", os.MFD_CLOEXEC)
    try:
        os.write(state_fd, state)
        os.lseek(state_fd, 0, os.SEEK_SET)
        streams = [(os.POSIX_SPAWN_DUP2, fd, n) for n, fd in enumerate((state_fd, output_fd, output_fd))]
        env = dict(entry.partition("=")[::2] for entry in hook.env)
        _keep_descriptors()
        ended = False
        # An interrupt is held back until there is a pid to kill.
        mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, (_signal.SIGINT,))
        try:
            pid = _spawn(subject, hook, env, streams, directory)
            try:
                _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
                ended = _wait(pid, hook.timeout)
            finally:
                if not ended:
                    os.kill(pid, _signal.SIGKILL)
                status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        finally:
            _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
        if not ended:
            raise Error(f"{subject}: timed out after {hook.timeout} seconds")
        if status:
            what = f"exit status {status}" if status > 0 else f"killed by signal {-status}"
            output = os.pread(output_fd, OUTPUT_SHOWN, 0).decode("utf-8", "replace").strip()
            raise Error(f"{subject}: {what}{': ' if output else ''}{' '.join(output.split())}")
    finally:
        os.close(state_fd)
        os.close(output_fd)


def run_outside(ctx: Context, subject: str, hook: Hook, state: bytes, directory: str) -> None:
    """run_hook in the namespaces of the caller, which this process may have left."""
    if ctx.outside is not None:
        ctx.outside.run_hook(subject, hook, state, directory)
    else:
        run_hook(subject, hook, state, directory)


def _spawn(subject: str, hook: Hook, env: dict[str, str], streams: list[tuple[int, int, int]], directory: str) -> int:
    here = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.chdir(directory)
        return os.posix_spawn(
            hook.path, hook.args or [hook.path], env, file_actions=streams, setsigmask=(), setsigdef=ALL_SIGNALS
        )
    except OSError as e:
        raise Error(f"{subject}: {reason(e)}") from e
    finally:
        os.fchdir(here)
        os.close(here)


def _wait(pid: int, seconds: float | None) -> bool:
    """Wait until a child has ended; whether it has, within this time."""
    deadline = None if seconds is None else time.monotonic() + seconds
    pidfd = os.pidfd_open(pid)
    try:
        while True:
            left = LONGEST_WAIT if deadline is None else deadline - time.monotonic()
            if wait_exit(pidfd, max(0.0, min(left, LONGEST_WAIT))):
                return True
            if left <= 0:
                return False
    finally:
        os.close(pidfd)


def _keep_descriptors() -> None:
    """Have no descriptor that our caller left open inherited."""
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2:
            try:
                os.set_inheritable(int(name), False)
            except OSError:
                pass  # it was the one that listed them


def _saved_hooks(entry: Entry, kind: str) -> list[tuple[str, Hook]]:
    from .compile.hooks import hooks_of
    from .spec import decode_hooks

    try:
        return hooks_of(decode_hooks(entry.read(HOOKS_FILE)), kind)
    except FileNotFoundError:
        raise Error(f"{entry.path}/{HOOKS_FILE}: missing") from None


def run_poststart(ctx: Context, entry: Entry, state: State) -> None:
    """The poststart hooks; raises Error for the first that fails."""
    for subject, hook in _saved_hooks(entry, "poststart"):
        run_outside(ctx, subject, hook, oci_state_json(state, "running", state.pid), state.bundle)


def run_poststop(ctx: Context, entry: Entry, state: State) -> None:
    """The poststop hooks, all of them: a failing one is a warning in the log (runtime.md, "Lifecycle")."""
    try:
        hooks = _saved_hooks(entry, "poststop")
    except Error as e:
        ctx.log.warn(str(e))
        return
    for subject, hook in hooks:
        try:
            run_outside(ctx, subject, hook, oci_state_json(state, "stopped", 0), state.bundle)
        except Error as e:
            ctx.log.warn(str(e))
