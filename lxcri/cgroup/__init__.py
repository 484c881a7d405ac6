"""
Control groups: where they are (layout), what a spec wants of them (resources, devices), and their files (fs).

None of them is imported here: `state` and `kill` need this module alone, `delete` fs too, and until liblxc is at work
`create` needs all but that.
"""

from __future__ import annotations

import posix

from ..errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

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


def parse_record(lines: Iterable[str]) -> Iterator[tuple[str, list[str], str]]:
    """Of each line of a cgroup's record: where the directory is from, its controllers, the directory; raises Error."""
    for line in lines:
        if line.count(" ") < 2:
            raise Error(f'"{line}" is not the record of a cgroup')
        origin, names, path = line.split(" ", 2)
        yield origin, [UNIFIED if name == "unified" else name for name in names.split(",")], path


def directories(record: Iterable[str]) -> dict[str, str]:
    """The directories of a recorded cgroup by their controllers; raises Error."""
    return {name: path for origin, names, path in parse_record(record) if origin != "parent" for name in names}


def is_frozen(directories: Mapping[str, str]) -> bool:
    """Whether the processes of a cgroup with these directories are stopped, or about to be."""
    try:
        if "freezer" in directories:
            return read_text(directories["freezer"] + "/freezer.state").strip() != "THAWED"
        if UNIFIED not in directories:
            return False
        # A signal lets a frozen process run for a moment.
        unified = directories[UNIFIED]
        return read_text(unified + "/cgroup.freeze").strip() == "1" or have_stopped(unified)
    except OSError:
        return False


def have_stopped(unified: str) -> bool:
    """Whether all processes of a cgroup of cgroup2 have stopped; raises OSError."""
    return "frozen 1" in read_text(unified + "/cgroup.events")
