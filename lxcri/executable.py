"""Programs of the host that verbs run: where they are."""

from __future__ import annotations

import posix

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Where they are looked for if the caller has no PATH: engines call with an empty environment."""


def find_executable(name: str) -> str:
    """The path of a program on PATH (environ(7)), an empty part of which is the current directory; "" without it."""
    path = posix.environ.get(b"PATH", b"").decode("utf-8", "surrogateescape") or PATH
    for directory in path.split(":"):
        program = f"{directory or '.'}/{name}"
        if posix.access(program, posix.X_OK) and not _is_directory(program):
            return program
    return ""


def _is_directory(path: str) -> bool:
    return posix.stat(path).st_mode & 0o170000 == 0o040000
