"""Flags of liblxc, under their own names without the prefix."""

from __future__ import annotations

from enum import IntEnum, IntFlag

from .ffi import lib


class AttachFlag(IntFlag):
    """What becomes of an attached process. DEFAULT is all that attaching does unless told otherwise."""

    MOVE_TO_CGROUP = lib.LXC_ATTACH_MOVE_TO_CGROUP
    DROP_CAPABILITIES = lib.LXC_ATTACH_DROP_CAPABILITIES
    SET_PERSONALITY = lib.LXC_ATTACH_SET_PERSONALITY
    LSM_EXEC = lib.LXC_ATTACH_LSM_EXEC
    REMOUNT_PROC_SYS = lib.LXC_ATTACH_REMOUNT_PROC_SYS
    """For attaching without the mount namespace: /proc and /sys show the container's other namespaces."""
    LSM_NOW = lib.LXC_ATTACH_LSM_NOW
    NO_NEW_PRIVS = lib.LXC_ATTACH_NO_NEW_PRIVS
    TERMINAL = lib.LXC_ATTACH_TERMINAL
    """A pseudo terminal between the caller's and the process's standard streams."""
    DEFAULT = lib.LXC_ATTACH_DEFAULT


class Namespace(IntFlag):
    """Namespaces, as in clone(2)."""

    MOUNT = 0x00020000
    CGROUP = 0x02000000
    UTS = 0x04000000
    IPC = 0x08000000
    USER = 0x10000000
    PID = 0x20000000
    NET = 0x40000000


class CloneFlag(IntFlag):
    """How a container is cloned."""

    KEEPNAME = lib.LXC_CLONE_KEEPNAME
    """Leave the host name in the root file system alone."""
    KEEPMACADDR = lib.LXC_CLONE_KEEPMACADDR
    SNAPSHOT = lib.LXC_CLONE_SNAPSHOT
    """A snapshot of the storage instead of a copy."""
    KEEPBDEVTYPE = lib.LXC_CLONE_KEEPBDEVTYPE
    MAYBE_SNAPSHOT = lib.LXC_CLONE_MAYBE_SNAPSHOT
    """A snapshot where the storage can, else a copy."""
    ALLOW_RUNNING = lib.LXC_CLONE_ALLOW_RUNNING


class MountFlag(IntFlag):
    """Flags of mount(2)."""

    RDONLY = 0x1
    NOSUID = 0x2
    NODEV = 0x4
    NOEXEC = 0x8
    SYNCHRONOUS = 0x10
    REMOUNT = 0x20
    DIRSYNC = 0x80
    NOATIME = 0x400
    NODIRATIME = 0x800
    BIND = 0x1000
    REC = 0x4000
    UNBINDABLE = 0x20000
    PRIVATE = 0x40000
    SLAVE = 0x80000
    SHARED = 0x100000
    RELATIME = 0x200000
    STRICTATIME = 0x1000000


class MigrateCommand(IntEnum):
    """What Container.migrate() does."""

    PRE_DUMP = lib.MIGRATE_PRE_DUMP
    DUMP = lib.MIGRATE_DUMP
    RESTORE = lib.MIGRATE_RESTORE
    FEATURE_CHECK = lib.MIGRATE_FEATURE_CHECK


class MigrateFeature(IntFlag):
    """What MigrateCommand.FEATURE_CHECK asks CRIU and the kernel for."""

    MEM_TRACK = lib.FEATURE_MEM_TRACK
    LAZY_PAGES = lib.FEATURE_LAZY_PAGES
