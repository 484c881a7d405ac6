"""
Groups of resctrl: shares of caches and of memory bandwidth (config-linux.md, "IntelRdt").

A directory of the file system is a class of service, and one in its mon_groups a monitoring group. Making one makes
the kernel's files in it, removing one gives its tasks back to the group above.
"""

from __future__ import annotations

import posix

from .cgroup import read_text, write_text
from .errors import Error, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from .spec import IntelRdt

DEFAULT_CLASS = "/"
"""The closID that names the root."""
STATUS = "info/last_cmd_status"
"""Below the root: why the kernel refused the last write, in words."""


def mount_point(mountinfo: str) -> str:
    """Where resctrl is mounted, as /proc/self/mountinfo tells; raises Error if it is not."""
    from .cgroup.layout import unescape

    for line in mountinfo.splitlines():
        fields = line.split(" ")
        if fields[fields.index("-", 6) + 1] == "resctrl" and fields[3] == "/":
            return unescape(fields[4])
    raise Error("linux.intelRdt: no resctrl file system is mounted")


def mounted() -> str:
    """Where resctrl is mounted; raises Error if it is not."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        return mount_point(file.read())


def lines_of(rdt: IntelRdt) -> list[str]:
    """All that is for the file schemata, in the document's order."""
    texts = [rdt.l3_cache_schema, rdt.mem_bw_schema, *rdt.schemata]
    return [line for text in texts if text for line in text.split("\n") if line]


def parse_schemata(lines: Iterable[str]) -> dict[str, dict[str, str]]:
    """Values by resource and domain, without what says the same: blanks, leading zeros, upper case."""
    found: dict[str, dict[str, str]] = {}
    for line in lines:
        resource, _, domains = line.partition(":")
        values = found.setdefault(resource.strip(), {})
        for domain in domains.split(";"):
            number, _, value = domain.partition("=")
            values[_plain(number)] = _plain(value)
    return found


def _plain(value: str) -> str:
    text = value.strip().lower()
    return text.lstrip("0") or text[:1]


def difference(wanted: Iterable[str], present: Iterable[str]) -> str:
    """What of the wanted schemata is otherwise in those present; "" if nothing is."""
    have = parse_schemata(present)
    for resource, domains in parse_schemata(wanted).items():
        for number, value in domains.items():
            if resource not in have:
                return f"has no {resource}"
            if number not in have[resource]:
                return f"{resource} has no domain {number}"
            if have[resource][number] != value:
                return f"{resource} of domain {number} is {have[resource][number]}, not {value}"
    return ""


class Group:
    """
    A container's class of service, and its monitoring group.

    Attributes:
        path: directory of the class.
        monitoring: directory of the monitoring group, "" if it has none.
        owned: directories to be removed with the container, children first.
    """

    def __init__(self, root: str) -> None:
        self.path = root
        self.monitoring = ""
        self.owned: list[str] = []
        self._root = root
        self._made: list[str] = []
        self._before = ""

    @classmethod
    def make(cls, rdt: IntelRdt, id: str, root: str) -> Group:
        """Make or find what linux.intelRdt says for this container in the resctrl that is mounted at root."""
        group = cls(root)
        try:
            group._take_class(rdt, id)
            if rdt.enable_monitoring:
                group.monitoring = f"{group.path}/mon_groups/{id}"
                group._mkdir(group.monitoring, "linux.intelRdt.enableMonitoring")
                group.owned.insert(0, group.monitoring)
        except BaseException:
            group.undo()
            raise
        return group

    @classmethod
    def change(cls, rdt: IntelRdt, of_spec: IntelRdt | None, owned: list[str], id: str, root: str) -> Group:
        """
        Write other schemata to the class of a container, which it may share by closID, or make one if it has none.

        of_spec: linux.intelRdt of its config.json
        owned: directories that are its own already
        """
        if of_spec is None and not owned:
            return cls.make(rdt, id, root)
        group = cls(root)
        group.owned = owned
        group._name_class(of_spec or rdt, id)
        schemata = f"{group.path}/schemata"
        try:
            group._before = read_text(schemata)
        except OSError as e:
            raise Error(f"linux.intelRdt: {schemata}: {reason(e)}") from e
        group._write_schemata(lines_of(rdt))
        return group

    def place_all(self, pids: Callable[[], Iterable[int]]) -> None:
        """Put processes that run, with their threads, and those that they meanwhile begin, into the class."""
        placed: set[str] = set()
        while new := {thread for pid in pids() for thread in _threads(pid)} - placed:
            for thread in new:
                try:
                    self._write(f"{self.path}/tasks", thread, "linux.intelRdt")
                except Error as e:
                    if not isinstance(e.__cause__, ProcessLookupError):
                        raise
            placed |= new

    def place(self, pid: int) -> None:
        """Put a process into the class and the monitoring group."""
        for directory in filter(None, (self.path, self.monitoring)):
            self._write(f"{directory}/tasks", str(pid), "linux.intelRdt")

    def undo(self) -> None:
        """Remove all that was made, but for a class that others already use, and set back what was changed."""
        if self._before:
            self._write(f"{self.path}/schemata", self._before, "linux.intelRdt")
        unused = [path for path in self._made if path in self.owned or not _tasks(path)]
        remove(reversed(unused))
        self.owned = [path for path in self.owned if path not in unused]

    def _take_class(self, rdt: IntelRdt, id: str) -> None:
        lines = lines_of(rdt)
        subject = f'linux.intelRdt: closID "{self._name_class(rdt, id)}"'
        if not rdt.clos_id:
            self._mkdir(self.path, "linux.intelRdt")
            self.owned.append(self.path)
        elif _is_directory(self.path):
            if lines:
                self._compare(lines, subject)
            return
        elif not lines:
            raise Error(f"{subject}: no such class")
        else:
            self._mkdir(self.path, subject)
        if lines:
            self._write_schemata(lines)

    def _name_class(self, rdt: IntelRdt, id: str) -> str:
        name = rdt.clos_id or id
        if name != DEFAULT_CLASS:
            self.path = f"{self._root}/{name}"
        return name

    def _write_schemata(self, lines: list[str]) -> None:
        self._write(f"{self.path}/schemata", "".join([f"{line}\n" for line in lines]), "linux.intelRdt")

    def _compare(self, lines: list[str], subject: str) -> None:
        try:
            present = read_text(f"{self.path}/schemata").splitlines()
        except OSError as e:
            raise Error(f"{subject}: {self.path}/schemata: {reason(e)}") from e
        found = difference(lines, present)
        if found:
            raise Error(f"{subject} exists with other schemata: {found}")

    def _mkdir(self, path: str, subject: str) -> None:
        try:
            posix.mkdir(path, 0o755)
        except OSError as e:
            said = (
                "" if isinstance(e, FileExistsError) else self._status()
            )  # of that the kernel's resctrl hears nothing
            raise Error(f"{subject}: mkdir {path}: {reason(e)}{said}") from e
        self._made.append(path)

    def _write(self, path: str, text: str, subject: str) -> None:
        try:
            write_text(path, text)
        except OSError as e:
            raise Error(f"{subject}: {path}: {reason(e)}{self._status()}") from e

    def _status(self) -> str:
        """What the kernel says of the last failure."""
        try:
            text = read_text(f"{self._root}/{STATUS}").strip()
        except OSError:
            return ""
        return f" ({' '.join(text.split())})" if text and text != "ok" else ""


def remove(directories: Iterable[str]) -> None:
    """Remove groups, those that there are; raises Error."""
    for path in directories:
        try:
            posix.rmdir(path)
        except FileNotFoundError:
            pass
        except OSError as e:
            raise Error(f"linux.intelRdt: rmdir {path}: {reason(e)}") from e


def _is_directory(path: str) -> bool:
    try:
        return posix.stat(path).st_mode & 0o170000 == 0o040000
    except OSError:
        return False


def _threads(pid: int) -> list[str]:
    try:
        return posix.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return []


def _tasks(path: str) -> bool:
    try:
        return bool(read_text(f"{path}/tasks").strip())
    except OSError:
        return False
