"""The program: parse the command line, run one verb, say in one line what went wrong."""

from __future__ import annotations

import gc
import posix
import sys

from .cli import fast
from .cli.commands import UsageError
from .context import Context, open_log
from .errors import Error, reason
from .log import one_line, write_error

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from typing import NoReturn

    from .cli.commands import Values
    from .log import Log
else:
    import _signal  # not `signal`, which imports enum

INTERRUPTED = 128 + 2


def main() -> NoReturn:
    """Run the command line of this process and end it, without the interpreter's own clean-up."""
    gc.disable()
    # Where it is installed, msgspec takes from it what typing has as well; it costs more than half of msgspec's import.
    sys.modules["typing_extensions"] = None  # type: ignore[assignment]
    open_standard_descriptors()
    # With it ignored, which a caller may leave us, nobody can wait for a child.
    _signal.signal(_signal.SIGCHLD, _signal.SIG_DFL)
    status = run(sys.argv[1:])
    for stream in (sys.stdout, sys.stderr):
        try:
            if stream is not None:
                stream.flush()
        except (OSError, ValueError):
            status = status or 1
    posix._exit(status)  # noqa: SLF001 (its documented name)


def open_standard_descriptors() -> None:
    """Open /dev/null where the caller closed 0, 1 or 2: no file of ours may become standard output."""
    for fd in range(3):
        try:
            posix.fstat(fd)
        except OSError:
            posix.set_inheritable(posix.open("/dev/null", posix.O_RDWR), True)


def run(words: list[str]) -> int:
    """Run a command line, without the program's name; returns the exit status."""
    verb = ""
    failure = 1
    log = None
    debug = False
    try:
        request = fast.parse(words)
        if request is None:
            from .cli import click_app

            outcome = click_app.parse(words)
            if isinstance(outcome, int):
                return outcome
            request = outcome
        verb = request.command.name
        failure = request.command.failure
        debug = request.options["debug"]
        context = Context.from_options(verb, request.options)
        log = context.log
        if request.command.refused:
            raise Error(request.command.refused)
        if debug:
            from . import timeline

            timeline.begin()
        module = __import__(f"lxcri.verbs.{verb}", None, None, ("run",))
        try:
            status: int = module.run(context, **request.arguments)
            return status
        finally:
            if debug:
                timeline.report(log.debug)
            if context.outside:
                context.outside.end()
    except UsageError as e:
        verb = e.verb
        report(e, verb, log_of(e.options), debug)
        return 1  # of exec, too, as of runc
    except BrokenPipeError:
        pass  # the reader of our output has left; other pipes' ends are errors of their verbs
    except Exception as e:  # noqa: BLE001 (no traceback reaches a user)
        report(e, verb, log, debug)
    except KeyboardInterrupt:
        return INTERRUPTED
    return failure


def report(e: Exception, verb: str, log: Log | None, debug: bool) -> None:
    """Write the one line of a failure to standard error and to the log."""
    text = one_line(f"lxcri: {verb}: {describe(e)}" if verb else f"lxcri: {describe(e)}")
    if log:
        log.error(text)
    if debug:
        import traceback

        write_error("".join(traceback.format_exception(e)))
    write_error(f"{text}\n")


def describe(e: Exception) -> str:
    """What an exception says to people."""
    if isinstance(e, Error):
        return str(e)
    if isinstance(e, OSError) and e.strerror:
        return f"{e.filename}: {reason(e)}" if e.filename is not None else reason(e)
    return f"internal error: {type(e).__name__}: {e}"


def log_of(options: Values) -> Log | None:
    """The log of a command line with an error, as far as that can be known."""
    try:
        return open_log(options) if options.get("log") else None
    except Error:
        return None


if __name__ == "__main__":
    main()
