"""The machine the tests run on, and the proof that a test left it as it was.

The test run gets a mount namespace of its own: its files live in a tmpfs, /run is empty, and /dev/null is a
private node, so that a runtime that goes wrong does no harm beyond it, and each of its traces is seen here.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import stat
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from oci import mountinfo, process

if TYPE_CHECKING:
    from collections.abc import Iterator

CLONE_NEWNS = 0x20000
CLONE_NEWUTS = 0x04000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT = 0x1, 0x2, 0x4, 0x8, 0x20
MS_BIND, MS_REC, MS_PRIVATE, MS_SHARED = 0x1000, 0x4000, 0x40000, 0x100000
MNT_DETACH = 2

_libc = ctypes.CDLL(None, use_errno=True)


def mount(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> None:
    """mount(2)."""
    if _libc.mount(source.encode(), target.encode(), fstype.encode(), ctypes.c_ulong(flags), data.encode()) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"mount {target}: {os.strerror(error)}")


def umount(target: str, flags: int = MNT_DETACH) -> None:
    """umount2(2)."""
    if _libc.umount2(target.encode(), flags) != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"umount {target}: {os.strerror(error)}")


def cgroups_below(directory: str) -> Iterator[str]:
    """Directories below one of a cgroup file system, parents first; what vanishes meanwhile is left out."""
    try:
        if os.lstat(directory).st_nlink == 2:  # it has none
            return
        with os.scandir(directory) as entries:
            paths = [entry.path for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return
    for path in paths:
        yield path
        yield from cgroups_below(path)


@dataclass(frozen=True)
class Snapshot:
    """What a test must leave as it found it; each item is a set of printable facts."""

    null: frozenset[str]
    mounts: frozenset[str]
    cgroups: frozenset[str]
    descriptors: frozenset[str]
    run: frozenset[str]
    names: frozenset[str]
    interfaces: frozenset[str]

    def differences(self, later: Snapshot) -> list[str]:
        """What is new or gone since, one sentence per fact."""
        found = []
        for what in self.__dataclass_fields__:
            before, after = getattr(self, what), getattr(later, what)
            found += [f"{what}: left behind {fact}" for fact in sorted(after - before)]
            found += [f"{what}: gone {fact}" for fact in sorted(before - after)]
        return found


class Machine:
    """This machine, seen from a private mount namespace."""

    def __init__(self) -> None:
        self.prefix = f"lxcri-test-{os.getpid()}"  # of every id and cgroup that the tests make
        process.become_subreaper()
        self._real_null = os.open("/dev/null", os.O_PATH | os.O_CLOEXEC)
        self._real_null_before = stat.filemode(os.fstat(self._real_null).st_mode)
        process.unshare(CLONE_NEWNS | CLONE_NEWUTS)  # a runtime that goes wrong must not rename the host
        mount("none", "/", flags=MS_REC | MS_PRIVATE)
        mount("tmpfs", "/run", "tmpfs", data="mode=755")
        self.work = tempfile.mkdtemp(prefix="lxcri-test-", dir="/tmp")
        mount("tmpfs", self.work, "tmpfs", data="mode=755")
        null = os.path.join(self.work, "null")
        os.mknod(null, stat.S_IFCHR, os.makedev(1, 3))
        os.chmod(null, 0o666)
        mount(null, "/dev/null", flags=MS_BIND)

    def close(self) -> list[str]:
        """Remove the work directory; returns what is wrong with the machine outside of the namespace."""
        now = stat.filemode(os.fstat(self._real_null).st_mode)
        os.close(self._real_null)
        umount("/dev/null")
        umount(self.work)
        os.rmdir(self.work)
        return [] if now == self._real_null_before else [f"/dev/null was {self._real_null_before}, is {now}"]

    def cover(self, directory: str) -> None:
        """Hide what is mounted at ``directory`` under an empty tmpfs."""
        mount("tmpfs", directory, "tmpfs", data="mode=755")

    @staticmethod
    def _fact_of_node(status: os.stat_result) -> str:
        rdev = f"{os.major(status.st_rdev)}:{os.minor(status.st_rdev)}"
        return f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid} {rdev}"

    @staticmethod
    def cgroup_mounts() -> list[str]:
        """Mount points of all cgroup hierarchies, v1 and v2."""
        return [mount.point for mount in mountinfo.of_process() if mount.fstype in ("cgroup", "cgroup2")]

    def cgroups(self) -> list[str]:
        """Directories of cgroups that the tests' containers made, in every hierarchy, parents first."""
        return [path for point in self.cgroup_mounts() for path in cgroups_below(point) if self.prefix in path]

    def snapshot(self) -> Snapshot:
        """The facts now."""
        with open("/proc/self/mountinfo") as file:
            mounts = frozenset(file.read().splitlines())
        descriptors = set()
        for number in os.listdir("/proc/self/fd"):
            with contextlib.suppress(OSError):  # listdir's own descriptor is gone
                descriptors.add(f"{number} {os.readlink('/proc/self/fd/' + number)}")
        run: set[str] = set()
        for directory, directories, files in os.walk("/run"):
            directories[:] = [name for name in directories if not name.startswith("@")]  # lxcri's caches
            run.update(os.path.join(directory, name) for name in directories + files)
        uts = os.uname()
        with open("/proc/sys/kernel/domainname") as file:
            domainname = file.read().strip()
        return Snapshot(
            null=frozenset([self._fact_of_node(os.stat("/dev/null"))]),
            mounts=mounts,
            cgroups=frozenset(self.cgroups()),
            descriptors=frozenset(descriptors),
            run=frozenset(run),
            names=frozenset([f"host name {uts.nodename}", f"domain name {domainname}", f"cwd {os.getcwd()}"]),
            interfaces=frozenset(os.listdir("/sys/class/net")),
        )

    def restore(self, before: Snapshot) -> None:
        """Undo what a failed test left, so that the next one is judged by itself."""
        for directory in self.cgroups():  # what is frozen does not die on cgroup v1
            for name, value in (("freezer.state", "THAWED"), ("cgroup.freeze", "0")):
                with contextlib.suppress(OSError), open(os.path.join(directory, name), "r+") as file:
                    file.write(value)
        process.kill_children()
        for line in sorted(self.snapshot().mounts - before.mounts, reverse=True):
            with contextlib.suppress(OSError):
                umount(mountinfo.parse(line)[0].point)
        for directory in reversed(self.cgroups()):
            if directory not in before.cgroups:
                with contextlib.suppress(OSError):
                    os.rmdir(directory)
        points = {mount.point for mount in mountinfo.of_process()}
        paths = self.snapshot().run - before.run
        paths |= {os.path.join(self.work, name) for name in os.listdir(self.work) if name.startswith("bundle-")}
        for path in paths:
            if any(f"{point}/".startswith(f"{path}/") for point in points):
                continue  # what is mounted there may be the host's own
            if os.path.isdir(path):  # rmtree waits for a writer where there is a FIFO
                shutil.rmtree(path, ignore_errors=True)
            with contextlib.suppress(OSError):
                os.unlink(path)
        os.chmod("/dev/null", 0o666)


@contextlib.contextmanager
def mounted(source: str, target: str, fstype: str = "", flags: int = 0, data: str = "") -> Iterator[str]:
    """Something mounted at ``target`` for as long as the context lasts; gives the target."""
    mount(source, target, fstype, flags, data)
    try:
        yield target
    finally:
        umount(target)
