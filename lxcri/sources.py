"""Mount sources of the host, taken as detached trees before the container has namespaces of its own.

From then on no path of the host is needed, and no link can be swapped under us.
"""

from __future__ import annotations

import os
import stat
from errno import ESRCH

from . import linux
from .compile.options import MS_REC, MS_SLAVE
from .errors import Error, reason
from .procfs import write_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable
    from typing import NoReturn

    from .plan import HostPart, Tree
else:
    import _signal  # not `signal`, which imports enum

STAGE = "/proc"
"""Where they are laid out, in a mount namespace that only we are in: a directory that every machine has."""
ERROR_MAX = 8192
READY = b"ready"


def take_trees(host: HostPart, sources: list[str], user_namespace: int | None) -> list[int]:
    """
    Descriptors of the trees at these sources, in the order of host.trees; raises Error, and then leaves none open.

    Where the container has a user namespace, they come from a mount namespace that belongs to one too: the kernel
    has locked the flags of its mounts, and what covers what, against the container's root (mount_namespaces(7)).
    """
    if not host.trees:
        return []
    if not (host.user_namespace or user_namespace is not None):
        return _take(host.trees, sources)
    with_user = Stage(user_namespace)
    try:
        return with_user.take(host, sources)
    finally:
        with_user.end()


def _take(trees: list[Tree], sources: list[str]) -> list[int]:
    taken: list[int] = []
    namespaces: dict[tuple[str, str], int] = {}
    try:
        for tree, source in zip(trees, sources, strict=True):
            if any(tree.id_mappings) and tree.id_mappings not in namespaces:
                namespaces[tree.id_mappings] = mapping_namespace(tree.id_mappings, tree.subject)
            taken.append(_take_one(tree, source, namespaces.get(tree.id_mappings)))
    except BaseException:
        for fd in taken:
            os.close(fd)
        raise
    finally:
        for fd in namespaces.values():
            os.close(fd)
    return taken


def _take_one(tree: Tree, source: str, mapping: int | None) -> int:
    fd = -1
    try:
        fd = linux.open_tree(source, recursive=tree.recursive)
        if not tree.shared:  # what the container mounts must not appear on the host
            linux.mount_setattr(fd, propagation=MS_SLAVE, recursive=True)
        if mapping is not None:
            linux.map_ids(fd, mapping, recursive=tree.recursive_id_map)
        if tree.set or tree.clear:
            linux.mount_setattr(fd, tree.set, tree.clear)
        if tree.recursive_set or tree.recursive_clear:
            linux.mount_setattr(fd, tree.recursive_set, tree.recursive_clear, recursive=True)
    except OSError as e:
        if fd >= 0:
            os.close(fd)
        raise Error(f'{tree.subject}: source "{source}": {reason(e)}') from e
    return fd


class Stage:
    """
    A process that lays the trees out in a mount namespace of its own, then moves to a user namespace with a copy of
    it, whose mounts are locked, and waits while we take them there.

    user_namespace: which one; None for a new one with the container's ids
    """

    def __init__(self, user_namespace: int | None) -> None:
        self._user_namespace = user_namespace
        self._pid = -1
        self._from_child = self._to_child = -1

    def take(self, host: HostPart, sources: list[str]) -> list[int]:
        """The trees."""
        home = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
        directory = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            locked = self._locked_mount_namespace(host, sources)
            try:
                linux.setns(locked, linux.CLONE_NEWNS)
            finally:
                os.close(locked)
            try:
                return [linux.open_tree(f"{STAGE}/{i}", recursive=True) for i in range(len(host.trees))]
            finally:
                linux.setns(home, linux.CLONE_NEWNS)
                os.fchdir(directory)
        finally:
            os.close(home)
            os.close(directory)

    def end(self) -> None:
        """Let the process end."""
        for fd in (self._from_child, self._to_child):
            if fd >= 0:
                os.close(fd)
        if self._pid > 0:
            os.waitpid(self._pid, 0)

    def _locked_mount_namespace(self, host: HostPart, sources: list[str]) -> int:
        self._from_child, to_parent = os.pipe()
        from_parent, self._to_child = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            os.close(self._from_child)
            os.close(self._to_child)
            self._run_child(host.trees, sources, from_parent, to_parent)
        os.close(to_parent)
        os.close(from_parent)
        self._await_child("u")
        if self._user_namespace is None:
            for name, lines in zip(("uid_map", "gid_map"), host.id_mappings, strict=True):
                write_text(f"/proc/{self._pid}/{name}", lines, "linux.uidMappings, linux.gidMappings")
        os.write(self._to_child, b"m")
        self._await_child("n")
        return os.open(f"/proc/{self._pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)

    def _await_child(self, word: str) -> None:
        answer = os.read(self._from_child, ERROR_MAX).decode("utf-8", "surrogateescape")
        if answer != word:
            raise Error(answer or "the process that prepares the mount sources ended")

    def _run_child(self, trees: list[Tree], sources: list[str], from_parent: int, to_parent: int) -> NoReturn:
        try:
            self._lay_out(trees, sources)
            if self._user_namespace is None:
                linux.unshare(linux.CLONE_NEWUSER)
            else:
                linux.setns(self._user_namespace, linux.CLONE_NEWUSER)
            os.write(to_parent, b"u")
            if os.read(from_parent, 1):
                linux.unshare(linux.CLONE_NEWNS)
                os.write(to_parent, b"n")
                os.read(from_parent, 1)
        except OSError as e:
            os.write(to_parent, f"mount sources for a user namespace: {reason(e)}".encode())
        except Error as e:
            os.write(to_parent, str(e).encode("utf-8", "surrogateescape"))
        finally:
            os._exit(0)

    @staticmethod
    def _lay_out(trees: list[Tree], sources: list[str]) -> None:
        """Put each tree at a place of its own below STAGE."""
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount("", "/", "", MS_REC | MS_SLAVE)
        taken = _take(trees, sources)
        linux.mount("none", STAGE, "tmpfs", 0, "mode=755")
        for i, fd in enumerate(taken):
            place = f"{STAGE}/{i}"
            if stat.S_ISDIR(os.fstat(fd).st_mode):
                os.mkdir(place)
            else:
                os.close(os.open(place, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC))
            target = os.open(place, os.O_PATH | os.O_CLOEXEC)
            linux.move_mount(fd, target)
            os.close(target)
            os.close(fd)


def read_id_mappings(user_namespace: int) -> tuple[str, str]:
    """uid_map and gid_map of a user namespace, as this process sees its ids; empty if it cannot be joined."""
    try:
        pid = _fork_into(lambda: linux.setns(user_namespace, linux.CLONE_NEWUSER))
    except OSError:
        return "", ""
    try:
        maps = []
        for name in ("uid_map", "gid_map"):
            with open(f"/proc/{pid}/{name}", "rb", 0) as file:
                maps.append(file.readall().decode())
        return maps[0], maps[1]
    finally:
        _end(pid)


def mapping_namespace(id_mappings: tuple[str, str], subject: str) -> int:
    """A descriptor of a new user namespace with these mappings, for the ids of mounts; raises Error."""
    try:
        pid = _fork_into(lambda: linux.unshare(linux.CLONE_NEWUSER))
    except OSError as e:
        raise Error(f"{subject}: a user namespace to map its ids: {reason(e)}") from e
    try:
        for name, lines in zip(("uid_map", "gid_map"), id_mappings, strict=True):
            write_text(f"/proc/{pid}/{name}", lines, f"{subject}: uidMappings, gidMappings")
        return os.open(f"/proc/{pid}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        _end(pid)


def _fork_into(enter: Callable[[], None]) -> int:
    """The pid of a process that has entered a namespace and does nothing more; raises OSError if it could not."""
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(ready_read)
            enter()
            linux.prctl(linux.PR_SET_PDEATHSIG, _signal.SIGKILL)
            os.write(ready_write, READY)
            os.close(ready_write)
            os.kill(os.getpid(), _signal.SIGSTOP)
        except OSError as e:
            os.write(ready_write, b"%d" % (e.errno or 0))
        finally:
            os._exit(0)
    os.close(ready_write)
    try:
        answer = os.read(ready_read, 16)
    finally:
        os.close(ready_read)
    if answer == READY:
        return pid
    os.waitpid(pid, 0)
    number = int(answer or ESRCH)  # it was killed
    raise OSError(number, os.strerror(number))


def _end(pid: int) -> None:
    os.kill(pid, _signal.SIGKILL)
    os.waitpid(pid, 0)
