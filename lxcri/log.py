"""The --log file, in the two forms that engines read."""

from __future__ import annotations

import posix
import time

from .errors import reason

# posix, not os, here and in all that `start`, `state` and `kill` import: os pulls in collections.abc to
# define os.environ, 1.4 ms of a process that takes 9 in all.

_ESCAPES: dict[int, str] = {code: f"\\u{code:04x}" for code in range(0x20)}
_ESCAPES.update({ord("\n"): "\\n", ord("\r"): "\\r", ord("\t"): "\\t", ord('"'): '\\"', ord("\\"): "\\\\"})


def json_string(text: str) -> str:
    """The text as a JSON string; bytes that were not UTF-8 (surrogate escapes) become U+FFFD."""
    if not text.isascii():
        text = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return f'"{text.translate(_ESCAPES)}"'


class Log:
    """
    A log file, appended to in one write per record; without path, nothing is kept.

    Format is "json" or "text". Levels have logrus' names, because containerd shows the last record of level
    "error" of a JSON log to its users. With ``debug``, records below "error" also go to standard error, and
    debug ones are kept. Raises OSError if the file cannot be opened.
    """

    __slots__ = ("_debug", "_fd", "_json")

    def __init__(self, path: str | None, format: str, debug: bool) -> None:
        self._json = format == "json"
        self._debug = debug
        flags = posix.O_WRONLY | posix.O_CREAT | posix.O_APPEND | posix.O_NOCTTY
        self._fd = posix.open(path, flags, 0o644) if path else -1

    def error(self, message: str) -> None:
        """Record a failure of the command; the command line prints it to standard error itself."""
        self._append("error", message)

    def warn(self, message: str) -> None:
        """Record something that the caller asked for and does not get."""
        self._record("warning", message)

    def debug(self, message: str) -> None:
        """Record a step, if --debug was given."""
        if self._debug:
            self._record("debug", message)

    def _record(self, level: str, message: str) -> None:
        if self._debug:
            write_error(f"lxcri: {level}: {one_line(message)}\n")
        self._append(level, message)

    def _append(self, level: str, message: str) -> None:
        if self._fd < 0:
            return
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        text = json_string(message)
        if self._json:
            line = f'{{"level":"{level}","msg":{text},"time":"{now}"}}\n'
        else:
            line = f'time="{now}" level={level} msg={text}\n'
        try:
            posix.write(self._fd, line.encode())
        except OSError as e:
            write_error(f"lxcri: log: {reason(e)}\n")


def one_line(text: str) -> str:
    """The text with every control character and every byte that was not UTF-8 escaped."""
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def write_error(text: str) -> None:
    """Write to standard error in one write; there is nobody to tell if that fails."""
    try:
        posix.write(2, text.encode("utf-8", "surrogateescape"))
    except OSError:
        pass
