"""/proc/PID/mountinfo, see proc(5)."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Mount:
    """One line of mountinfo."""

    root: str
    point: str
    options: frozenset[str]  # of this mount: ro, nosuid, ...
    propagation: frozenset[str]  # shared, master, unbindable; none of them is private
    fstype: str
    source: str
    fs_options: frozenset[str]  # of the file system: size=..., mode=...


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)


def parse(text: str) -> list[Mount]:
    """All mounts, in mountinfo's order."""
    mounts = []
    for line in text.splitlines():
        fields = line.split(" ")
        separator = fields.index("-")
        mounts.append(
            Mount(
                root=_unescape(fields[3]),
                point=_unescape(fields[4]),
                options=frozenset(fields[5].split(",")),
                propagation=frozenset(field.split(":")[0] for field in fields[6:separator]),
                fstype=fields[separator + 1],
                source=_unescape(fields[separator + 2]),
                fs_options=frozenset(fields[separator + 3].split(",")),
            )
        )
    return mounts


def at(text: str, point: str) -> Mount:
    """The uppermost mount at ``point``."""
    found = [mount for mount in parse(text) if mount.point == point]
    assert found, f"nothing is mounted at {point}:\n{text}"
    return found[-1]


def of_process(pid: int | str = "self") -> list[Mount]:
    """The mounts that a process sees."""
    with open(f"/proc/{pid}/mountinfo") as file:
        return parse(file.read())
