"""The container's cgroups: who is in them, freezing, killing, removing. Making and filling them is writable.py's."""

from __future__ import annotations

import posix
import time
from errno import EBUSY, EMFILE, ENFILE, ENODEV, ENOENT, EOPNOTSUPP

from ..errors import Error, reason
from . import UNIFIED, directories, have_stopped, is_frozen, parse_record, read_text, write_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Iterable
    from typing import Self
else:
    import _signal  # not `signal`, which imports enum

SIGKILL = _signal.SIGKILL

PATIENCE = 10.0  # seconds to wait for processes to die, freeze, or leave a cgroup; on a busy machine that takes some
FIRST_SLEEP, LONGEST_SLEEP = 0.0002, 0.05  # seconds
FREEZE_BEFORE_SIGNAL = 0.02  # seconds; enough for all but what sleeps in the kernel, which cannot fork either
BATCH = 200  # pidfds held at once

_DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC


class Cgroup:
    """
    One container's cgroups.

    dirs: absolute directory by controller; UNIFIED for cgroup2
    made: those directories that we made, and their parents if we made them, parents first
    filtered: whether cgroup2 has our device filter, which goes with a directory that we made, and must be taken
        from another one
    """

    __slots__ = ("dirs", "filtered", "made")

    def __init__(self, dirs: dict[str, str], made: list[str] | None = None, *, filtered: bool = False) -> None:
        self.dirs = dirs
        self.made = made or []
        self.filtered = filtered

    def _hierarchies(self) -> list[tuple[str, str]]:
        """Each directory once, with the first controller of its hierarchy."""
        return list({path: name for name, path in reversed(self.dirs.items())}.items())

    def _freezer(self) -> str:
        """Where the container is frozen and its processes are counted; "" without any hierarchy."""
        for name in ("freezer", UNIFIED):
            if name in self.dirs:
                return self.dirs[name]
        return next(iter(self.dirs.values()), "")

    def _freezer_files(self) -> tuple[str, str, str] | None:
        """File, value to freeze, value to thaw."""
        if "freezer" in self.dirs:
            return self.dirs["freezer"] + "/freezer.state", "FROZEN", "THAWED"
        if UNIFIED in self.dirs:
            return self.dirs[UNIFIED] + "/cgroup.freeze", "1", "0"
        return None

    def pids(self) -> list[int]:
        """The processes in the cgroup and in those below it. Zombies are none."""
        path = self._freezer()
        return pids_in(path) if path else []

    def freeze(self) -> None:
        """Stop all processes; raises Error if that is not done within 10 seconds."""
        files = self._freezer_files()
        if files is None:
            raise Error("cgroup: freeze: neither cgroup2 nor the freezer controller is mounted")
        path, freeze, thaw = files
        try:
            write_text(path, freeze)
            if not _wait(self._is_frozen, PATIENCE):
                write_text(path, thaw)
                raise Error(f'cgroup: freeze: processes in "{self._freezer()}" do not stop')
        except OSError as e:
            raise Error(f'cgroup: write "{freeze}" to "{path}": {reason(e)}') from e

    def thaw(self, *, wait: bool = False) -> None:
        """Let processes go on, and wait, if asked to, until they do; raises Error if they don't within 10 seconds."""
        files = self._freezer_files()
        if files is None:
            return
        path, _, thaw = files
        try:
            write_text(path, thaw)
        except OSError as e:
            raise Error(f'cgroup: write "{thaw}" to "{path}": {reason(e)}') from e
        if wait and not _wait(lambda: not self.frozen(), PATIENCE):
            raise Error(f'cgroup: thaw: processes in "{self._freezer()}" do not go on')

    def _is_frozen(self) -> bool:
        """Whether all processes have stopped; raises OSError."""
        if "freezer" in self.dirs:
            return read_text(self.dirs["freezer"] + "/freezer.state").strip() == "FROZEN"
        return have_stopped(self.dirs[UNIFIED])

    def frozen(self) -> bool:
        """Whether the processes are stopped, or about to be."""
        return is_frozen(self.dirs)

    def kill_all(self, signum: int) -> None:
        """
        Send a signal to all processes in the cgroup and below it.

        SIGKILL ends also a frozen one, and what forks faster than it is killed. It is sent until no process
        is left, or, with cgroup.kill, once, after which processes may need a moment to die. Raises Error if
        some do not within 10 seconds.
        """
        if signum == SIGKILL and UNIFIED in self.dirs:
            try:
                write_text(self.dirs[UNIFIED] + "/cgroup.kill", "1")
            except OSError:  # older than Linux 5.14, or the cgroup is gone
                pass
            else:
                self._thaw_for_death()
                return
        was_frozen = self.frozen()
        deadline = time.monotonic() + PATIENCE
        sleep = 0.001
        while processes := self.pids():
            if signum == SIGKILL and time.monotonic() > deadline:
                raise Error(f'cgroup: {count(processes)} in "{self._freezer()}" survived SIGKILL')
            self._freeze_shortly()
            self._signal(signum, self.pids())
            if signum == SIGKILL:
                self._thaw_for_death()
            elif not was_frozen:
                self.thaw()
            if signum != SIGKILL:
                return
            time.sleep(sleep)
            sleep = min(2 * sleep, LONGEST_SLEEP)

    def _freeze_shortly(self) -> None:
        """Hold processes while they are signalled, so that none forks; not being able to is no failure."""
        files = self._freezer_files()
        if files is None:
            return
        try:
            write_text(files[0], files[1])
            _wait(self._is_frozen, FREEZE_BEFORE_SIGNAL)
        except OSError:
            pass

    def _thaw_for_death(self) -> None:
        """
        Thaw v1's freezer, with the cgroups that the container made and froze: nothing dies in it.

        What is frozen on cgroup2 dies, but who used the cgroup again would be frozen.
        """
        if "freezer" not in self.dirs:
            try:
                self.thaw()
            except Error:  # it is gone
                pass
            return

        def thaw(directory: int) -> None:
            try:
                write_text("freezer.state", "THAWED", directory)
            except OSError:
                pass

        _visit(self.dirs["freezer"], thaw)

    def _signal(self, signum: int, processes: list[int]) -> None:
        while processes:
            batch, processes = processes[:BATCH], processes[BATCH:]
            opened: list[tuple[int, int]] = []
            try:
                for pid in batch:
                    try:
                        opened.append((pid, posix.pidfd_open(pid)))
                    except ProcessLookupError:
                        continue
                    except OSError as e:
                        if e.errno not in (EMFILE, ENFILE) or not opened:
                            raise Error(f"cgroup: signal process {pid}: {reason(e)}") from e
                        processes = batch[batch.index(pid) :] + processes
                        break
                # A pid that was listed, opened, and is still listed, is no other process's by now.
                members = set(self.pids())
                for pid, fd in opened:
                    if pid in members:
                        _send(fd, signum, pid)
            finally:
                for _, fd in opened:
                    posix.close(fd)

    def remove(self, *, parents: bool = False) -> None:
        """
        Remove the container's cgroups that we made, and the ones made in them; what is gone is no error.

        parents: also their parents, if they were made for this container and have no other cgroups: delete has
        to remove what create made (runtime.md, "Delete"). Raises Error if processes do not leave within 10
        seconds.
        """
        made = set(self.made)
        removed = waiting = [path for path, _ in self._hierarchies() if path in made]
        deadline = time.monotonic() + PATIENCE
        sleep = FIRST_SLEEP
        while waiting := [path for path in waiting if not _remove_tree(path)]:
            if time.monotonic() > deadline:
                raise Error(f'cgroup: remove "{waiting[0]}": {_why_busy(waiting[0])}')
            time.sleep(sleep)
            sleep = min(2 * sleep, LONGEST_SLEEP)
        if parents:
            for path in reversed([path for path in self.made if path not in removed]):
                try:
                    posix.rmdir(path)
                except OSError:
                    pass
        if self.filtered and self.dirs[UNIFIED] not in made:
            from .bpf import detach

            detach(self.dirs[UNIFIED])
        self.made = []

    def record(self) -> list[str]:
        """What `from_record` needs, as lines: where it is from, its controllers, the directory; parents first."""
        names: dict[str, list[str]] = {}
        for name, path in self.dirs.items():
            names.setdefault(path, []).append(name or "unified")
        origins = dict.fromkeys(names, "found")
        if self.filtered:
            origins[self.dirs[UNIFIED]] = "filtered"
        origins.update((path, "made") for path in self.made if path in names)
        return [f"parent - {path}" for path in self.made if path not in names] + [
            f"{origins[path]} {','.join(names[path])} {path}" for path in names
        ]

    @classmethod
    def from_record(cls, lines: Iterable[str]) -> Self:
        """The cgroup of an existing container; raises Error."""
        lines = list(lines)
        cgroup = cls(directories(lines))
        for origin, _, path in parse_record(lines):
            if origin in ("made", "parent"):
                cgroup.made.append(path)
            elif origin == "filtered":
                cgroup.filtered = True
        return cgroup


def _wait(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether the condition became true in time."""
    deadline = time.monotonic() + seconds
    sleep = FIRST_SLEEP
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(sleep)
        sleep = min(2 * sleep, LONGEST_SLEEP)
    return True


def _send(pidfd: int, signum: int, pid: int) -> None:
    try:
        _signal.pidfd_send_signal(pidfd, signum)
    except ProcessLookupError:
        pass
    except OSError as e:
        raise Error(f"cgroup: signal process {pid}: {reason(e)}") from e


def _subdirectories(fd: int) -> list[str]:
    try:
        with posix.scandir(fd) as entries:
            return [entry.name for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:  # removed meanwhile
        return []


def _visit(
    path: str,
    enter: Callable[[int], object],
    leave: Callable[[int, str], object] = lambda _parent, _name: None,
) -> None:
    """
    Call `enter` with a descriptor of each cgroup from path on down, parents first, and `leave` with the
    parent's and the name when all below a cgroup was visited.

    The container may have made them as deep as it likes: no more than two descriptors are open at once, and
    no path grows.
    """
    try:
        fd = posix.open(path, _DIRECTORY)
    except FileNotFoundError:
        return
    names: list[str] = []
    try:
        enter(fd)
        pending = [_subdirectories(fd)]
        while True:
            if pending[-1]:
                name = pending[-1].pop()
                try:
                    child = posix.open(name, _DIRECTORY, dir_fd=fd)
                except FileNotFoundError:
                    continue
                posix.close(fd)
                fd = child
                names.append(name)
                enter(fd)
                pending.append(_subdirectories(fd))
            elif names:
                pending.pop()
                parent = posix.open("..", _DIRECTORY, dir_fd=fd)
                posix.close(fd)
                fd = parent
                leave(fd, names.pop())
            else:
                return
    finally:
        posix.close(fd)


def pids_in(path: str) -> list[int]:
    """The processes in a cgroup and in those below it."""
    found: list[int] = []

    def collect(directory: int) -> None:
        try:
            text = read_text("cgroup.procs", directory)
        except OSError as e:
            # EOPNOTSUPP: a threaded cgroup, whose processes are listed by the one above that is not.
            if e.errno not in (ENOENT, ENODEV, EOPNOTSUPP):
                raise Error(f'cgroup: list the processes in "{path}": {reason(e)}') from e
            return
        # 0 is a process of another pid namespace, which nobody here could name.
        found.extend(int(line) for line in text.split() if line != "0")

    _visit(path, collect)
    return found


def _remove_directory(name: str, directory: int | None = None) -> bool:
    """Whether it is gone."""
    try:
        posix.rmdir(name, dir_fd=directory)
    except FileNotFoundError:
        return True
    except OSError as e:
        if e.errno == EBUSY:
            return False
        raise Error(f'cgroup: remove "{name}": {reason(e)}') from e
    return True


def _remove_tree(path: str) -> bool:
    """Whether a cgroup, with all below it, is gone; processes in it are left alone."""
    if _remove_directory(path):
        return True
    _visit(path, lambda _: None, lambda parent, name: _remove_directory(name, parent))
    return _remove_directory(path)


def count(processes: list[int]) -> str:
    """How many they are, in words."""
    return "a process" if len(processes) == 1 else f"{len(processes)} processes"


def _why_busy(path: str) -> str:
    processes = pids_in(path)
    return f"it holds {count(processes)}" if processes else "device or resource busy"
