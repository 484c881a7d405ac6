"""What a limit comes down to: a value for a file."""

import msgspec


class Write(msgspec.Struct, omit_defaults=True, frozen=True):
    """
    A value for one file of the container's cgroup.

    property: the property that asks for it ("linux.resources.pids.limit"), for errors
    controller: key of Cgroup.dirs
    early: must precede the container's first process
    optional: a kernel without it is no error, and the reason is returned by Cgroup.apply
    otherwise: file and value to write if there is no such file
    ceiling: file whose number must not be above the value
    """

    property: str
    controller: str
    file: str
    value: str
    early: bool = False
    optional: bool = False
    otherwise: tuple[str, str] | None = None
    ceiling: str = ""
