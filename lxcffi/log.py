"""liblxc's log. It has one, for the whole process.

liblxc keeps the level and the choice of quiet from the first call. Once it has opened a file it writes errors
to stderr as well, whatever quiet says.
"""

from __future__ import annotations

import os

from .errors import LxcError
from .ffi import ffi, lib
from .text import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ._lxc import CData
    from .text import Text

LEVELS = ("TRACE", "DEBUG", "INFO", "NOTICE", "WARN", "ERROR", "CRIT", "ALERT", "FATAL")
"""From the most to the least talkative."""

_ERRORS = LEVELS[LEVELS.index("ERROR") :]

_CAPTURED_BYTES = 1 << 16
"""So much of the captured log is kept, and so much of an operation's own is read."""

_open = False
captured = -1
"""Descriptor of the memory file that capture() made, -1 without."""

_read_to = 0


def init(
    file: Text | None = None,
    level: str = "ERROR",
    *,
    quiet: bool = True,
    prefix: Text | None = None,
    name: Text | None = None,
    lxcpath: Text | None = None,
) -> None:
    """Write the log of liblxc to a file, from a level on; a former file is closed.

    file     appended to, its directories are made; "/proc/self/fd/N" for a descriptor. None: liblxc's default
             file for the container name, or none if there is no name either.
    level    one of LEVELS
    quiet    do not write errors to stderr too
    prefix   stands at the start of each line instead of "lxc"
    name     container that each line names

    Raises ValueError for an unknown level, LxcError if the file cannot be opened.
    """
    global _open
    if level not in LEVELS:
        raise ValueError(f"unknown log level {level!r}")
    if _open:
        close()
    settings: CData = ffi.new("struct lxc_log *")
    kept = []
    for member, text in (
        ("file", file),
        ("level", level),
        ("prefix", prefix),
        ("name", name),
        ("lxcpath", lxcpath),
    ):
        if text is not None:
            kept.append(ffi.new("char[]", encode(text)))
            setattr(settings, member, kept[-1])
    settings.quiet = quiet
    if lib.lxc_log_init(settings) != 0:
        raise LxcError("lxc_log_init", value=None if file is None else decode(encode(file)), errno=ffi.errno)
    _open = True


def close() -> None:
    """Close the log file."""
    global _open, captured, _read_to
    lib.lxc_log_close()
    _open = False
    if captured >= 0:
        os.close(captured)
        captured = -1
        _read_to = 0


def capture(level: str = "ERROR") -> int:
    """Keep the log in memory from now on, so that every LxcError has what liblxc says.

    liblxc then writes errors to stderr too, and nothing can stop it from that. What other threads do at the same
    time gets into the same log.

    Returns the descriptor of the memory file, which stays this module's own; a forked child shares the file.
    """
    global captured, _read_to
    descriptor = os.memfd_create("liblxc.log", os.MFD_CLOEXEC)
    try:
        init(f"/proc/self/fd/{descriptor}", level)
    except BaseException:
        os.close(descriptor)
        raise
    captured = descriptor
    _read_to = 0
    return descriptor


def begin() -> None:
    """An operation begins: what was captured so far is not about it."""
    global _read_to
    if captured < 0:
        return
    _read_to = os.fstat(captured).st_size
    if _read_to > _CAPTURED_BYTES:
        os.ftruncate(captured, 0)  # liblxc appends
        _read_to = 0


def captured_errors() -> tuple[str, ...]:
    """The errors that were captured since the operation began, oldest first; empty without capture()."""
    if captured < 0:
        return ()
    return errors(os.pread(captured, _CAPTURED_BYTES, _read_to))


def errors(data: bytes) -> tuple[str, ...]:
    """The messages of level ERROR and above in the text of a log file, oldest first.

    A line is `lxc NAME TIME LEVEL CATEGORY - FILE:FUNCTION:LINE - MESSAGE`, the name only where there is one.
    """
    messages = []
    for line in decode(data).splitlines():
        head, _, rest = line.partition(" - ")
        _, separator, message = rest.partition(" - ")
        if separator and any(word in _ERRORS for word in head.split()[2:4]):
            messages.append(message)
    return tuple(messages)
