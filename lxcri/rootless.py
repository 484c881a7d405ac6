"""
Containers of who is not root: made in a user namespace of the runtime's own, in which it has all capabilities.

The ids of that one are the caller's own and the caller's subordinate ones (subuid(5)). The container's own one is made
within it. docs/rootless.md tells why.
"""

from __future__ import annotations

import _socket
import os
import signal

import msgspec

from . import linux
from .compile.options import MS_REC, MS_SLAVE
from .errors import Error, reason
from .executable import find_executable
from .hooks import run_hook
from .procfs import write_text
from .spec import Hook, IDMapping, Namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from .context import Context
    from .spec import Spec

    Renamed = tuple[int, int]

PROGRAMS = {"uid": ("/etc/subuid", "newuidmap"), "gid": ("/etc/subgid", "newgidmap")}
OUTPUT_MAX = 4096


def enter_user_namespace(ctx: Context, spec: Spec) -> tuple[Renamed, Renamed]:
    """
    Enter a new user namespace, with all capabilities, and a new mount namespace; return what uid and gid became there.

    Subordinate ids keep their numbers. The own id becomes 0, or, where no process may set its groups, another one: a
    liblxc that is root insists on that. The spec gets a user namespace, if it has none, and mappings, if it has none.
    `ctx.outside` becomes a process that stays behind. Raises Error where the spec wants what only root can have.
    """
    own = os.geteuid(), os.getegid()
    wanted = _complete(spec, own)
    renamed = [(number, 0 if wanted[1] else number or 1) for number in own]
    ctx.outside = outside = Outside()
    try:
        linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNS)
    except OSError as e:
        raise Error(f"a user namespace for the container: {reason(e)}") from e
    for kind, (number, here), ranges in zip(PROGRAMS, renamed, wanted, strict=True):
        if ranges:
            outside.map_ids(kind, [(here, number, 1), *((start, start, count) for start, count in _merged(ranges))])
        else:
            if kind == "gid":
                write_text("/proc/self/setgroups", "deny", "user namespace")
            write_text(f"/proc/self/{kind}_map", f"{here} {number} 1\n", "user namespace")
    linux.mount("", "/", "", MS_REC | MS_SLAVE)
    return renamed[0], renamed[1]


def _complete(spec: Spec, own: tuple[int, int]) -> list[list[tuple[int, int]]]:
    """Give the spec its user namespace and mappings; return the ranges of uids and of gids beside the own ones."""
    part = spec.linux
    if part is None:
        raise Error("linux: missing: only root can run a container without a user namespace")
    user = [namespace for namespace in part.namespaces if namespace.type == "user"]
    if any(namespace.path for namespace in user):
        raise Error("linux.namespaces: only root can have a container join a user namespace")
    if not user:
        part.namespaces.append(Namespace(type="user"))
    if not (part.uid_mappings or part.gid_mappings):
        part.uid_mappings, part.gid_mappings = own_mappings(*own)
    return [
        [(m.host_id, m.size) for m in mappings if (m.host_id, m.size) != (own_id, 1)]
        for mappings, own_id in ((part.uid_mappings, own[0]), (part.gid_mappings, own[1]))
    ]


def own_mappings(uid: int, gid: int) -> tuple[list[IDMapping], list[IDMapping]]:
    """An ordinary user as root, followed by its subordinate ids where newuidmap and newgidmap can map them."""
    if uid == 0:
        return [IDMapping(0, uid, 1)], [IDMapping(0, gid, 1)]
    uids, gids = _with_subordinates("uid", uid, uid), _with_subordinates("gid", uid, gid)
    if len(uids) == 1 or len(gids) == 1:  # the one without the other is of little use
        return uids[:1], gids[:1]
    return uids, gids


def _with_subordinates(kind: str, user: int, own: int) -> list[IDMapping]:
    mappings = [IDMapping(0, own, 1)]
    file, program = PROGRAMS[kind]
    if find_executable(program):
        for start, count in subordinate_ids(file, user):
            last = mappings[-1]
            mappings.append(IDMapping(last.container_id + last.size, start, count))
    return mappings


def subordinate_ids(path: str, uid: int) -> list[tuple[int, int]]:
    """First id and number of each range that this file gives to a user, by name or number (subuid(5))."""
    import pwd

    names = {str(uid)}
    try:
        names.add(pwd.getpwuid(uid).pw_name)
    except KeyError:
        pass
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            lines = [line.strip().split(":") for line in file]
    except OSError:
        return []
    return [
        (int(fields[1]), int(fields[2]))
        for fields in lines
        if len(fields) == 3 and fields[0] in names and fields[1].isdecimal() and fields[2].isdecimal()
    ]


class Outside:
    """
    A process that stays in the namespaces of the caller, and does there what must be done there.

    It is ours, and ends with us.
    """

    def __init__(self) -> None:
        self._socket, other = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        self._runtime = os.getpid()
        self._pid = os.fork()
        if not self._pid:
            self._socket.close()
            self._serve(other)
        other.close()

    def map_ids(self, kind: str, lines: list[tuple[int, int, int]]) -> None:
        """Have newuidmap or newgidmap write the map of our user namespace; raises Error."""
        self._ask("map", [kind, lines])

    def run_hook(self, subject: str, hook: Hook, state: bytes, directory: str) -> None:
        """run_hook of lxcri.hooks."""
        self._ask("hook", [subject, hook, state.decode("utf-8", "surrogateescape"), directory])

    def end(self) -> None:
        """Let it end."""
        self._socket.close()
        try:
            os.waitpid(self._pid, 0)
        except ChildProcessError:
            pass  # it died, and was reaped as one of the container's orphans

    def _ask(self, what: str, arguments: list[object]) -> None:
        try:
            _send(self._socket, msgspec.json.encode([what, arguments]))
            answer = _receive(self._socket)
        except KeyboardInterrupt:
            os.kill(self._pid, signal.SIGINT)  # which ends what it does
            raise
        if answer is None:
            raise Error("the process for what is done outside of the user namespace ended")
        if answer:
            raise Error(answer.decode("utf-8", "surrogateescape"))

    def _serve(self, connection: _socket.socket) -> NoReturn:
        try:
            signal.set_wakeup_fd(-1)
            for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
                if signal.getsignal(number) not in (signal.SIG_IGN, signal.SIG_DFL, None):
                    signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            linux.prctl(linux.PR_SET_PDEATHSIG, signal.SIGKILL)
            linux.close_range(3, connection.fileno() - 1, 0)
            linux.close_range(connection.fileno() + 1, 0xFFFFFFFF, 0)
            if os.getppid() == self._runtime:
                while (request := _receive(connection)) is not None:
                    _send(connection, self._do(*msgspec.json.decode(request)).encode("utf-8", "surrogateescape"))
        except (KeyboardInterrupt, BrokenPipeError):
            pass
        finally:
            os._exit(0)

    def _do(self, what: str, arguments: list[object]) -> str:
        """Carry out a request; return why it failed, "" if it did not."""
        try:
            if what == "map":
                kind, lines = msgspec.convert(arguments, tuple[str, list[tuple[int, int, int]]])
                _map_ids(self._runtime, kind, lines)
            else:
                subject, hook, state, directory = msgspec.convert(arguments, tuple[str, Hook, str, str])
                run_hook(subject, hook, state.encode("utf-8", "surrogateescape"), directory)
        except Error as e:
            return str(e)
        except OSError as e:
            return reason(e)
        return ""


def _map_ids(pid: int, kind: str, lines: list[tuple[int, int, int]]) -> None:
    """Run newuidmap or newgidmap for a process."""
    subject = f"linux.{kind}Mappings"
    path = find_executable(PROGRAMS[kind][1])
    if not path:
        raise Error(f"{subject}: {PROGRAMS[kind][1]} is not installed: without it a user has only its own id")
    words = [path, str(pid), *(str(number) for line in lines for number in line)]
    output = os.memfd_create("output", os.MFD_CLOEXEC)
    try:
        streams = [(os.POSIX_SPAWN_DUP2, output, 1), (os.POSIX_SPAWN_DUP2, output, 2)]
        child = os.posix_spawn(path, words, os.environ, file_actions=streams)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        if status:
            said = os.pread(output, OUTPUT_MAX, 0).decode("utf-8", "replace")
            raise Error(f"{subject}: {' '.join(said.split()) or f'{PROGRAMS[kind][1]}: exit status {status}'}")
    finally:
        os.close(output)


def _merged(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The same ids as ranges that neither overlap nor touch: the kernel wants no overlaps, and 340 lines at most."""
    merged: list[tuple[int, int]] = []
    for start, count in sorted(ranges):
        if merged and start <= sum(merged[-1]):
            first = merged[-1][0]
            merged[-1] = first, max(sum(merged[-1]), start + count) - first
        else:
            merged.append((start, count))
    return merged


LENGTH = 8
"""Bytes of the length that precedes a message."""


def _send(connection: _socket.socket, data: bytes) -> None:
    connection.sendall(len(data).to_bytes(LENGTH, "little") + data)


def _receive(connection: _socket.socket) -> bytes | None:
    """A message; None at the end of the connection."""
    header = _receive_exactly(connection, LENGTH)
    return None if header is None else _receive_exactly(connection, int.from_bytes(header, "little"))


def _receive_exactly(connection: _socket.socket, count: int) -> bytes | None:
    data = b""
    while len(data) < count:
        chunk = connection.recv(count - len(data))
        if not chunk:
            return None
        data += chunk
    return data
