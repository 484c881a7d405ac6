"""Files of the kernel's own file systems, which are read and written as a whole."""

from __future__ import annotations

import os

from .errors import Error, reason

READ_MAX = 65536


def read_text(path: str) -> str:
    """A small file as text, "" where it is not there."""
    try:
        with open(path, "rb", 0) as file:
            return file.read(READ_MAX).decode("utf-8", "surrogateescape")
    except OSError:
        return ""


def write_text(path: str, text: str, subject: str) -> None:
    """Write to a file with one write(2); raises Error, which begins with the subject."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        finally:
            os.close(fd)
    except OSError as e:
        raise Error(f"{subject}: {reason(e)}") from e


def parent_pid(pid: int) -> int:
    """The parent of a process, 0 for none in sight; raises OSError."""
    with open(f"/proc/{pid}/stat", "rb", 0) as file:
        data = file.read(4096)
    return int(data[data.rindex(b")") + 2 :].split()[1])
