"""
Control groups: where they are (layout), what a spec wants of them (resources, devices), and their files (fs).

Nothing is imported here: `state`, `kill` and `delete` need fs alone, and until liblxc is at work `create` needs all
but that.
"""

from __future__ import annotations

import posix

UNIFIED = ""
"""The key of cgroup2 beside those of v1: the name of a controller, or "name=..." of a hierarchy without."""


def read_text(path: str, directory: int | None = None) -> str:
    """A file of the kernel's; raises OSError."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC, dir_fd=directory)
    try:
        data = b""
        while chunk := posix.read(fd, 65536):
            data += chunk
    finally:
        posix.close(fd)
    return data.decode("utf-8", "surrogateescape")


def write_text(path: str, value: str, directory: int | None = None) -> None:
    """Write to a file of the kernel's with one write(2); raises OSError."""
    fd = posix.open(path, posix.O_WRONLY | posix.O_CLOEXEC, dir_fd=directory)
    try:
        posix.write(fd, value.encode("utf-8", "surrogateescape"))
    finally:
        posix.close(fd)
