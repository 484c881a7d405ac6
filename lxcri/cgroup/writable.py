"""The container's cgroups as directories that are made, limited, filled with processes, and given away."""

from __future__ import annotations

import posix
from errno import EBUSY, EINVAL, ENOENT, EOPNOTSUPP

from ..errors import Error, reason
from . import UNIFIED, read_text, write_text
from .fs import Cgroup, count, pids_in

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import Self

    from .devices import DeviceRule
    from .layout import Layout
    from .write import Write

RACES = 100  # times that others may remove a parent while we make its child

DELEGATED = "/sys/kernel/cgroup/delegate"
"""Names of the files that belong to who may use a cgroup as the root of others."""

CPUSET_FILES = ("cpuset.cpus", "cpuset.mems")

# The kernel refuses a value of one of these files if another's contradicts it: memory.limit_in_bytes above
# memory.memsw.limit_in_bytes, a quota below cpu.cfs_burst_us, cpu.shares while cpu.idle is set.
_MUTUALLY_BOUND = frozenset({"memory", "cpu", UNIFIED})


class WritableCgroup(Cgroup):
    """One container's cgroups, with what `create`, `update` and `exec` do to them."""

    __slots__ = ()

    @classmethod
    def make(cls, layout: Layout, cgroups_path: str, id: str, writes: Iterable[Write] = ()) -> Self:
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
            if processes := pids_in(path):
                raise Error(f'cgroup: "{path}" is in use: it holds {count(processes)}')
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
