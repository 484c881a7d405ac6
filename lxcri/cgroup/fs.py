"""The container's cgroups as directories and files: making, filling, limiting, killing, removing them."""

from __future__ import annotations

import posix
import time
from errno import EBUSY, EINVAL, EMFILE, ENFILE, ENODEV, ENOENT, EOPNOTSUPP

from ..errors import Error, reason
from . import UNIFIED, read_text, write_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Callable, Iterable, Sequence
    from typing import Self

    from .devices import DeviceRule
    from .layout import Layout
    from .write import Write
else:
    import _signal  # not `signal`, which imports enum

SIGKILL = _signal.SIGKILL

PATIENCE = 10.0  # seconds to wait for processes to die, freeze, or leave a cgroup; on a busy machine that takes some
FIRST_SLEEP, LONGEST_SLEEP = 0.0002, 0.05  # seconds
FREEZE_BEFORE_SIGNAL = 0.02  # seconds; enough for all but what sleeps in the kernel, which cannot fork either
RACES = 100  # times that others may remove a parent while we make its child
BATCH = 200  # pidfds held at once

DELEGATED = "/sys/kernel/cgroup/delegate"
"""Names of the files that belong to who may use a cgroup as the root of others."""

CPUSET_FILES = ("cpuset.cpus", "cpuset.mems")

_DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC

# The kernel refuses a value of one of these files if another's contradicts it: memory.limit_in_bytes above
# memory.memsw.limit_in_bytes, a quota below cpu.cfs_burst_us, cpu.shares while cpu.idle is set.
_MUTUALLY_BOUND = frozenset({"memory", "cpu", UNIFIED})


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

    @classmethod
    def make(cls, layout: Layout, cgroups_path: str, id: str, writes: Iterable[Write] = ()) -> Cgroup:
        """
        Make the directories, and what of the writes must precede the first process.

        On cgroup2 the parents are told to hand down the controllers that the writes need. Raises Error, with
        nothing left, if a file system refuses, or if a cgroup of this name is in use.
        """
        writes = list(writes)
        cgroup = cls(layout.directories(cgroups_path, id))
        tops = {**layout.controllers, UNIFIED: layout.unified or ""}
        try:
            found = [path for path, name in cgroup._hierarchies() if not cgroup._make_directory(path, tops[name])]
            cgroup._check_unused(found)
            if "cpuset" in cgroup.dirs:
                cgroup._inherit_cpuset(tops["cpuset"])
            cgroup.hand_down(layout, writes)
            cgroup.apply(write for write in writes if write.early)
        except BaseException:
            cgroup.remove(parents=True)
            raise
        return cgroup

    def _hierarchies(self) -> list[tuple[str, str]]:
        """Each directory once, with the first controller of its hierarchy."""
        return list({path: name for name, path in reversed(self.dirs.items())}.items())

    def _make_directory(self, path: str, top: str) -> bool:
        """False if it exists."""
        for _ in range(RACES):
            try:
                posix.mkdir(path, 0o755)
            except FileExistsError:
                return False
            except FileNotFoundError:
                self._make_parents(path, top)
            except OSError as e:
                raise Error(f'cgroup: make "{path}": {reason(e)}') from e
            else:
                self.made.append(path)
                return True
        raise Error(f'cgroup: make "{path}": its parents are removed again and again')

    def _make_parents(self, path: str, top: str) -> None:
        end = len(top)
        while (end := path.find("/", end + 1)) > 0:
            parent = path[:end]
            try:
                posix.mkdir(parent, 0o755)
            except FileExistsError:
                continue
            except FileNotFoundError:
                return  # it was removed under our hands
            except OSError as e:
                raise Error(f'cgroup: make "{parent}": {reason(e)}') from e
            self.made.append(parent)

    def _check_unused(self, paths: list[str]) -> None:
        for path in paths:
            if processes := _pids(path):
                raise Error(f'cgroup: "{path}" is in use: it holds {_count(processes)}')
        if self._freezer() in paths and self.frozen():
            raise Error(f'cgroup: "{self._freezer()}" is frozen')

    def _inherit_cpuset(self, top: str) -> None:
        """Fill empty cpuset.cpus and cpuset.mems of v1, which take no processes, from the parents."""
        path = self.dirs["cpuset"]
        chain = []
        try:
            while path != top:
                own = ["", ""] if path in self.made else _cpuset(path)
                if all(own):
                    break
                chain.append((path, own))
                path = path.rpartition("/")[0]
            else:
                own = _cpuset(top)
            for below, values in reversed(chain):
                path = below
                for i, file in enumerate(CPUSET_FILES):
                    if not values[i]:
                        write_text(f"{path}/{file}", own[i])
                        values[i] = own[i]
                own = values
        except OSError as e:
            raise Error(f'cgroup: give "{path}" the CPUs and memory nodes of its parent: {reason(e)}') from e

    def hand_down(self, layout: Layout, writes: Iterable[Write]) -> None:
        """Have the parents hand down the controllers of cgroup2 that these writes need; raises Error."""
        needed = {write.file.partition(".")[0] for write in writes if write.controller == UNIFIED} - {"cgroup"}
        if needed and layout.unified and UNIFIED in self.dirs:
            _hand_down(needed, layout.unified, self.dirs[UNIFIED])

    def keep_parents(self, controllers: Iterable[str]) -> None:
        """Let the parents that we made in these hierarchies stay: they are somebody else's by now."""
        leaves = set(self.dirs.values())
        theirs = [self.dirs[name] for name in controllers if name in self.dirs]
        self.made = [
            path for path in self.made if path in leaves or not any(leaf.startswith(path + "/") for leaf in theirs)
        ]

    def place(self, pid: int, *, beside: int | None = None) -> None:
        """
        Move a process into the cgroup, in every hierarchy; raises Error.

        beside: the container's init, whose own cgroup of cgroup2 is taken where the container, as systemd does, has
            moved into cgroups that it made in the one that it was given: that then holds no processes
        """
        for path, name in self._hierarchies():
            try:
                self._place(pid, path, beside if name == UNIFIED else None)
            except OSError as e:
                text = f'cgroup: move process {pid} to "{path}": {reason(e)}'
                if e.errno == EOPNOTSUPP:
                    text += f" (it is {_type_of(path)})"
                raise Error(text) from e

    @staticmethod
    def _place(pid: int, path: str, beside: int | None) -> None:
        try:
            write_text(path + "/cgroup.procs", str(pid))
        except OSError as e:
            if e.errno != EBUSY or beside is None:
                raise
            from .layout import directory_of

            below = directory_of(beside)
            if not below.startswith(path + "/"):
                raise
            write_text(below + "/cgroup.procs", str(pid))

    def give(self, uid: int) -> None:
        """
        Let a user make cgroups in the one of cgroup2, and move processes to them (cgroups(7), "Delegation").

        uid: as the host sees it. Raises Error.
        """
        path = self.dirs[UNIFIED]
        try:
            names = read_text(DELEGATED).split()
        except FileNotFoundError:
            names = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"]
        try:
            posix.chown(path, uid, -1)
            for name in names:
                try:
                    posix.chown(f"{path}/{name}", uid, -1)
                except FileNotFoundError:  # of a controller that it does not have
                    continue
        except OSError as e:
            raise Error(f'cgroup: give "{path}" to user {uid}: {reason(e)}') from e

    def apply(self, writes: Iterable[Write]) -> list[str]:
        """
        Write values to files, in their order. Why optional ones could not be written is returned.

        The order is right for a new cgroup. In one that has values already, another may be needed, of which
        the kernel tells with EINVAL: what it refuses so is written again after the others. Raises Error.
        """
        ignored: list[str] = []
        pending = list(writes)
        while pending:
            refused: list[tuple[Write, OSError]] = []
            with _Files(self.dirs) as files:
                for write in pending:
                    try:
                        files.write(write)
                    except OSError as e:
                        if write.optional and e.errno in (ENOENT, EOPNOTSUPP):
                            ignored.append(self._refusal(write, e))
                        elif e.errno == EINVAL and write.controller in _MUTUALLY_BOUND:
                            refused.append((write, e))
                        else:
                            raise Error(self._refusal(write, e)) from e
            if len(refused) == len(pending):
                raise Error(self._refusal(*refused[0]))
            pending = [write for write, _ in refused]
        return ignored

    def filter_devices(self, rules: Sequence[DeviceRule] | None) -> None:
        """
        Have cgroup2 restrict access to devices, in the place of a restriction that there is; None takes it away.

        Raises Error.
        """
        from .bpf import attach, detach

        if rules is not None:
            attach(self.dirs[UNIFIED], rules)
        elif UNIFIED in self.dirs:
            detach(self.dirs[UNIFIED])
        self.filtered = rules is not None

    def _refusal(self, write: Write, error: OSError) -> str:
        directory = self.dirs[write.controller]
        text = f'{write.property}: write "{write.value}" to "{directory}/{write.file}": {reason(error)}'
        if error.errno == EBUSY and write.file == "memory.limit_in_bytes":
            try:
                text += f" ({read_text(directory + '/memory.usage_in_bytes').strip()} are in use)"
            except OSError:
                pass
        return text

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
        return _pids(path) if path else []

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
        return "frozen 1" in read_text(self.dirs[UNIFIED] + "/cgroup.events")

    def frozen(self) -> bool:
        """Whether the processes are stopped, or about to be."""
        try:
            if "freezer" in self.dirs:
                return read_text(self.dirs["freezer"] + "/freezer.state").strip() != "THAWED"
            if UNIFIED not in self.dirs:
                return False
            # A signal lets a frozen process run for a moment.
            return read_text(self.dirs[UNIFIED] + "/cgroup.freeze").strip() == "1" or self._is_frozen()
        except OSError:
            return False

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
                raise Error(f'cgroup: {_count(processes)} in "{self._freezer()}" survived SIGKILL')
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
            self.filter_devices(None)
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
    def from_record(cls, lines: Iterable[str]) -> Cgroup:
        """The cgroup of an existing container; raises Error."""
        cgroup = cls({})
        for line in lines:
            if line.count(" ") < 2:
                raise Error(f'"{line}" is not the record of a cgroup')
            origin, names, path = line.split(" ", 2)
            if origin in ("made", "parent"):
                cgroup.made.append(path)
            elif origin == "filtered":
                cgroup.filtered = True
            if origin != "parent":
                cgroup.dirs.update(dict.fromkeys([UNIFIED if n == "unified" else n for n in names.split(",")], path))
        return cgroup


class _Files:
    """Writes to the files of a cgroup; one that takes several values in a row is opened once."""

    def __init__(self, dirs: dict[str, str]) -> None:
        self._dirs = dirs
        self._path = ""
        self._fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()

    def _close(self) -> None:
        if self._fd >= 0:
            posix.close(self._fd)
            self._fd = -1
            self._path = ""

    def write(self, write: Write) -> None:
        """Raises OSError, and Error if the controller is missing or the value is too low."""
        if write.controller not in self._dirs:
            raise Error(f"{write.property}: the controller {write.controller or 'cgroup2'} is not mounted")
        directory = self._dirs[write.controller]
        if write.ceiling:
            used = int(read_text(f"{directory}/{write.ceiling}"))
            if int(write.value) < used:
                raise Error(f"{write.property}: {write.value} is less than what is in use, {used}")
        try:
            self._write(f"{directory}/{write.file}", write.value)
        except FileNotFoundError:
            if write.otherwise is None:
                raise
            file, value = write.otherwise
            self._write(f"{directory}/{file}", value)

    def _write(self, path: str, value: str) -> None:
        if path != self._path:
            self._close()
            self._fd = posix.open(path, posix.O_WRONLY | posix.O_CLOEXEC)
            self._path = path
        posix.write(self._fd, value.encode("utf-8", "surrogateescape"))


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


def _cpuset(path: str) -> list[str]:
    return [read_text(f"{path}/{file}").strip() for file in CPUSET_FILES]


def _hand_down(controllers: set[str], top: str, path: str) -> None:
    """Enable controllers of cgroup2 for a cgroup, in those of its parents that do not hand them down yet."""
    file = ""
    try:
        if controllers <= set(read_text(path + "/cgroup.controllers").split()):
            return
        end = len(top)
        while end > 0:
            file = path[:end] + "/cgroup.subtree_control"
            if missing := controllers - set(read_text(file).split()):
                write_text(file, " ".join(f"+{name}" for name in sorted(missing)))
            end = path.find("/", end + 1)
    except OSError as e:
        text = f'cgroup: enable {", ".join(sorted(controllers))} in "{file}": {reason(e)}'
        if e.errno == EBUSY:
            text += " (cgroup2 wants no processes in a cgroup that hands controllers down)"
        elif e.errno == EOPNOTSUPP:
            text += f" (it is {_type_of(file.rpartition('/')[0])})"
        raise Error(text) from e


def _type_of(path: str) -> str:
    """What kind of cgroup2 it is, for an error's text (cgroups(7), "Thread mode")."""
    try:
        return read_text(path + "/cgroup.type").strip()
    except OSError:  # the root has none
        return "no domain"


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


def _pids(path: str) -> list[int]:
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


def _count(processes: list[int]) -> str:
    return "a process" if len(processes) == 1 else f"{len(processes)} processes"


def _why_busy(path: str) -> str:
    processes = _pids(path)
    return f"it holds {_count(processes)}" if processes else "device or resource busy"
