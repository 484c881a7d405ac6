"""Mount sources of the host, taken as detached trees before the container has namespaces of its own.

From then on no path of the host is needed, and no link can be swapped under us.
"""

from __future__ import annotations

import os

from . import linux
from .compile.options import MS_REC, MS_SLAVE
from .errors import Error, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .plan import HostPart, Tree


def take_trees(host: HostPart, sources: list[str], user_namespace: int | None) -> list[int]:
    """
    Descriptors of the trees at these sources, in the order of host.trees; raises Error, and then leaves none open.

    Where the container has a user namespace they are taken from a mount namespace that belongs to one with the same
    ids: the kernel locks the flags of such mounts, and what covers what, against the container's root.
    """
    if not host.trees:
        return []
    if not (host.user_namespace or user_namespace is not None):
        return _take(host.trees, sources)
    home = os.open("/proc/self/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    directory = os.open(".", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        locked = _locked_mount_namespace(host.id_mappings, user_namespace)
        try:
            linux.setns(locked, linux.CLONE_NEWNS)
        finally:
            os.close(locked)
        try:
            return _take(host.trees, sources)
        finally:
            linux.setns(home, linux.CLONE_NEWNS)
            os.fchdir(directory)
    finally:
        os.close(home)
        os.close(directory)


def _take(trees: list[Tree], sources: list[str]) -> list[int]:
    taken: list[int] = []
    try:
        for tree, source in zip(trees, sources, strict=True):
            taken.append(_take_one(tree, source))
    except BaseException:
        for fd in taken:
            os.close(fd)
        raise
    return taken


def _take_one(tree: Tree, source: str) -> int:
    try:
        fd = linux.open_tree(source, recursive=tree.recursive)
    except OSError as e:
        raise Error(f'{tree.subject}: source "{source}": {reason(e)}') from e
    try:
        if not tree.shared:  # what the container mounts must not appear on the host
            linux.mount_setattr(fd, propagation=MS_SLAVE, recursive=True)
    except OSError as e:
        os.close(fd)
        raise Error(f'{tree.subject}: source "{source}": {reason(e)}') from e
    return fd


def _locked_mount_namespace(id_mappings: tuple[str, str], user_namespace: int | None) -> int:
    """A descriptor of a copy of this mount namespace that belongs to a user namespace: the given one, or a new one."""
    mapped_read, mapped_write = os.pipe()
    ready_read, ready_write = os.pipe()
    pid = os.fork()
    if not pid:
        _stay_in_namespaces(user_namespace, mapped_read, mapped_write, ready_read, ready_write)
    os.close(ready_write)
    os.close(mapped_read)
    try:
        # the child says that it has unshared its user namespace, then waits for its ids
        if not os.read(ready_read, 1):
            raise Error("user namespace: cannot be made to take the mount sources")
        if user_namespace is None:
            for name, lines in zip(("uid_map", "gid_map"), id_mappings, strict=True):
                _write_map(f"/proc/{pid}/{name}", lines)
        os.write(mapped_write, b"m")
        if not os.read(ready_read, 1):
            raise Error("mount namespace: cannot be made to take the mount sources")
        return os.open(f"/proc/{pid}/ns/mnt", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(ready_read)
        os.close(mapped_write)
        os.waitpid(pid, 0)


def _write_map(path: str, lines: str) -> None:
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(fd, lines.encode())
        finally:
            os.close(fd)
    except OSError as e:
        raise Error(f"linux.uidMappings, linux.gidMappings: {path}: {reason(e)}") from e


def _stay_in_namespaces(
    user_namespace: int | None, mapped_read: int, mapped_write: int, ready_read: int, ready_write: int
) -> None:
    """The child: enter the namespaces, and stay until the parent has what it wants."""
    try:
        os.close(mapped_write)
        os.close(ready_read)
        if user_namespace is None:
            linux.unshare(linux.CLONE_NEWUSER)
        else:
            linux.setns(user_namespace, linux.CLONE_NEWUSER)
        os.write(ready_write, b"u")
        if os.read(mapped_read, 1):
            linux.unshare(linux.CLONE_NEWNS)
            linux.mount("", "/", "", MS_REC | MS_SLAVE)
            os.write(ready_write, b"n")
            os.read(mapped_read, 1)
    finally:
        os._exit(0)
