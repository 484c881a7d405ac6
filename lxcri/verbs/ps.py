"""`ps`: the processes of a container."""

from __future__ import annotations

import posix

from ..errors import Error, reason
from ..state import Entry, open_init

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Collection

    from ..context import Context
    from ..state import State
else:
    import _signal  # not `signal`, which imports enum

IGNORED_BY_PYTHON = (_signal.SIGPIPE, _signal.SIGXFSZ)


def run(ctx: Context, *, id: str, format: str, ps_options: list[str]) -> int:
    """Print the pids, or what the program ps says of them; raises Error if it fails."""
    with Entry.open(ctx.root, id) as entry:
        state = entry.load()
        pids = [] if state is None or state.pid == 0 else pids_of(state)
    if format == "json":
        ctx.print(f"[{','.join(map(str, pids))}]\n" if pids else "null\n")  # as runc
        return 0
    ctx.print(lines_of(ps_output(ps_options or ["-ef"]), set(pids)))
    return 0


def pids_of(state: State) -> list[int]:
    """All processes in the container's cgroup; of a container without one, those of its pid namespace."""
    if state.cgroup:
        from ..cgroup.fs import Cgroup

        return Cgroup.from_record(state.cgroup).pids()
    init = open_init(state)
    if init is None:
        return []
    from ..members import members

    try:
        return members(state)
    finally:
        posix.close(init)


def lines_of(output: str, pids: Collection[int]) -> str:
    """The title line of what ps printed, and the lines of these processes; raises Error without a PID column."""
    title, *lines = output.splitlines(keepends=True) or [""]
    if "PID" not in title.split():
        raise Error("ps: its output has no column PID")
    column = title.split().index("PID")
    return title + "".join([line for line in lines if is_of(line, column, pids)])


def is_of(line: str, column: int, pids: Collection[int]) -> bool:
    """Whether the number in this column of a line is one of these pids."""
    words = line.split()
    return len(words) > column and words[column].isdigit() and int(words[column]) in pids


def ps_output(options: list[str]) -> str:
    """What the program ps prints with these options; raises Error if it is not there, or fails."""
    reading, writing = posix.pipe2(posix.O_CLOEXEC)
    try:
        try:
            pid = spawn(options, writing)
        finally:
            posix.close(writing)
        data = b""
        while chunk := posix.read(reading, 65536):
            data += chunk
    finally:
        posix.close(reading)
    _, status = posix.waitpid(pid, 0)
    text = data.decode("utf-8", "surrogateescape")
    if status != 0:
        why = text.strip().partition("\n")[0] or f"exit status {posix.waitstatus_to_exitcode(status)}"
        raise Error(f"ps: {why.removesuffix('.')}")
    return text


def spawn(options: list[str], output: int) -> int:
    """Start ps with both its outputs there; returns its pid, raises Error if it is nowhere on PATH."""
    from ..executable import find_executable

    program = find_executable("ps")
    if not program:
        raise Error("ps: executable file not found in $PATH")
    actions = [(posix.POSIX_SPAWN_DUP2, output, 1), (posix.POSIX_SPAWN_DUP2, output, 2)]
    try:
        return posix.posix_spawn(
            program, ["ps", *options], posix.environ, file_actions=actions, setsigdef=IGNORED_BY_PYTHON
        )
    except OSError as e:
        raise Error(f"{program}: {reason(e)}") from e
