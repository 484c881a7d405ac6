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

MS_RDONLY = 1
MS_REMOUNT = 32
MS_REC = 16384
MS_SLAVE = 1 << 19
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


def load_device_filter(name: str, instructions: bytes) -> int:
    """bpf(2), BPF_PROG_LOAD: a program of type cgroup_device, of these instructions of 8 bytes each."""
    return _check(lib.linux_device_filter_load(name.encode(), instructions, len(instructions) // 8))


def attach_device_filter(cgroup: int, program: int, replaced: int | None = None) -> None:
    """bpf(2), BPF_PROG_ATTACH: beside those that are there, or, in one step, in the place of one."""
    _check(lib.linux_device_filter_attach(cgroup, program, -1 if replaced is None else replaced))


def detach_device_filter(cgroup: int, program: int) -> None:
    """bpf(2), BPF_PROG_DETACH."""
    _check(lib.linux_device_filter_detach(cgroup, program))


def device_filters(cgroup: int) -> list[int]:
    """bpf(2), BPF_PROG_QUERY: the ids of the programs that are attached to this cgroup itself."""
    room = 64  # BPF_CGROUP_MAX_PROGS
    ids = ffi.new("uint32_t[]", room)
    return list(ids[0 : min(_check(lib.linux_device_filter_ids(cgroup, ids, room)), room)])


def open_program(id: int) -> int:
    """bpf(2), BPF_PROG_GET_FD_BY_ID."""
    return _check(lib.linux_program_open(id))


def program_name(program: int) -> str:
    """bpf(2), BPF_OBJ_GET_INFO_BY_FD: the name that a program was loaded with."""
    name = ffi.new("char[]", 17)
    _check(lib.linux_program_name(program, name))
    return str(ffi.string(name).decode())
