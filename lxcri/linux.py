"""System calls that Python 3.11's os module lacks. Failures are OSError."""

from __future__ import annotations

import os

from lxcri._linux import ffi, lib

AT_FDCWD = -100
AT_EMPTY_PATH = 0x1000
AT_RECURSIVE = 0x8000
OPEN_TREE_CLONE = 1
MOUNT_ATTR_IDMAP = 0x00100000
CLOSE_RANGE_CLOEXEC = 4

CLONE_NEWTIME = 0x00000080
CLONE_NEWNS = 0x00020000
CLONE_NEWUSER = 0x10000000

MNT_DETACH = 2

PR_SET_DUMPABLE = 4
PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def _check(result: int, path: str | None = None) -> int:
    if result < 0:
        raise OSError(-result, os.strerror(-result), path)
    return result


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(lib.linux_unshare(flags))


def setns(fd: int, kind: int) -> None:
    """setns(2): join the namespace behind fd, which must be of this kind (CLONE_NEW*; 0 for any)."""
    _check(lib.linux_setns(fd, kind))


def mount(source: str, target: str, fstype: str, flags: int, data: str = "") -> None:
    """mount(2)."""
    encoded = [os.fsencode(s) for s in (source, target, fstype, data)]
    _check(lib.linux_mount(*encoded[:3], flags, encoded[3] or ffi.NULL), target)


def umount2(target: str, flags: int) -> None:
    """umount2(2)."""
    _check(lib.linux_umount2(os.fsencode(target), flags), target)


def open_tree(path: str, *, recursive: bool) -> int:
    """A detached copy of what is mounted at path (open_tree(2)), with all mounts below it when recursive."""
    flags = OPEN_TREE_CLONE | os.O_CLOEXEC | (AT_RECURSIVE if recursive else 0)
    return _check(lib.linux_open_tree(AT_FDCWD, os.fsencode(path), flags), path)


def mount_setattr(fd: int, set: int = 0, clear: int = 0, *, propagation: int = 0, recursive: bool = False) -> None:
    """mount_setattr(2): attributes to set and to clear, and propagation (MS_SHARED, ...), of the mount behind fd."""
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _check(lib.linux_mount_setattr(fd, b"", flags, set, clear, propagation, 0))


def map_ids(fd: int, user_namespace: int, *, recursive: bool) -> None:
    """mount_setattr(2): map the ids of the detached mount behind fd as this user namespace does."""
    flags = AT_EMPTY_PATH | (AT_RECURSIVE if recursive else 0)
    _check(lib.linux_mount_setattr(fd, b"", flags, MOUNT_ATTR_IDMAP, 0, 0, user_namespace))


def move_mount(fd: int, target: int) -> None:
    """move_mount(2): attach the detached tree behind fd to what is behind target."""
    _check(lib.linux_move_mount(fd, target))


def close_range(first: int, last: int, flags: int) -> None:
    """close_range(2)."""
    _check(lib.linux_close_range(first, last, flags))


def pidfd_getfd(pidfd: int, fd: int) -> int:
    """pidfd_getfd(2): a copy of another process's descriptor."""
    return _check(lib.linux_pidfd_getfd(pidfd, fd))


def prctl(option: int, value: int) -> int:
    """prctl(2) with one argument."""
    return _check(lib.linux_prctl(option, value, 0))


def namespace_type(fd: int) -> int:
    """Which kind of namespace (CLONE_NEW*) is behind fd (ioctl NS_GET_NSTYPE, namespaces(7))."""
    return _check(lib.linux_namespace_type(fd))


def clearenv() -> None:
    """clearenv(3): the environment of the C library, which liblxc reads; os.environ stays as it is."""
    _check(lib.linux_clearenv())
