"""When the steps of a command came to their end, for --debug; without begin() nothing is noted."""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

_marks: list[tuple[str, int]] | None = None


def begin() -> None:
    """Note the steps from now on. The first one is all of this process until now, in CPU time."""
    global _marks
    now = time.monotonic_ns()
    _marks = [("", now - time.process_time_ns()), ("start of Python, command line", now)]


def mark(step: str) -> None:
    """A step has just ended."""
    if _marks is not None:
        _marks.append((step, time.monotonic_ns()))


def report(write: Callable[[str], None]) -> None:
    """Write a line for each step: milliseconds since the start, milliseconds of the step, its name."""
    marks = _marks or []
    before = start = marks[0][1] if marks else 0
    for step, now in marks[1:]:
        write(f"timeline: {(now - start) / 1e6:8.2f} ms {(now - before) / 1e6:+8.2f} {step}")
        before = now
