"""Snapshots of a container."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from .ffi import ffi, lib
from .text import decode

if TYPE_CHECKING:
    from ._lxc import CData


class Snapshot(NamedTuple):
    """A snapshot: a stopped copy of a container at one time.

    name              "snap0" and so on
    comment_pathname  file with the comment, which need not exist
    timestamp         when it was made, such as "2026:11:25 02:52:14"
    lxcpath           directory that holds the snapshots' directories
    """

    name: str
    comment_pathname: str
    timestamp: str
    lxcpath: str

    @property
    def comment(self) -> str | None:
        """Text of the comment, None if there is none."""
        try:
            with open(self.comment_pathname, "rb") as file:
                return decode(file.read())
        except FileNotFoundError:
            return None


def taken_snapshots(array: CData, count: int) -> list[Snapshot]:
    """The values of an array of structs lxc_snapshot that liblxc has allocated, which is freed."""

    def text(string: CData) -> str:
        return "" if string == ffi.NULL else decode(string)

    snapshots = []
    for index in range(count):
        s = array[index]
        snapshots.append(Snapshot(text(s.name), text(s.comment_pathname), text(s.timestamp), text(s.lxcpath)))
        s.free(ffi.addressof(array, index))
    if count > 0:
        lib.free(array)
    return snapshots
