"""Which cgroup hierarchies there are, and where in them a container belongs (cgroups(7), config-linux.md)."""

from __future__ import annotations

from posixpath import normpath

from ..errors import Error, reason
from . import UNIFIED, read_text, write_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

STANDARD_PLACE = "/sys/fs/cgroup"


class Layout:
    """
    The mounted hierarchies.

    mode: "v1", "hybrid" (v1 and cgroup2), "v2", or "none"
    controllers: v1 controller, or "name=..." of a hierarchy without, to mount point; co-mounted ones share it
    unified: mount point of cgroup2, None if it is not mounted
    unified_controllers: the controllers that cgroup2 has to give
    own: the directory of the calling process in each hierarchy, by controller; UNIFIED for cgroup2
    """

    __slots__ = ("controllers", "mode", "own", "unified", "unified_controllers")

    def __init__(
        self,
        controllers: dict[str, str],
        unified: str | None = None,
        unified_controllers: Iterable[str] = (),
        own: dict[str, str] | None = None,
    ) -> None:
        self.controllers = controllers
        self.unified = unified
        self.unified_controllers = frozenset(unified_controllers)
        self.own = own or {}
        if unified is None:
            self.mode = "v1" if controllers else "none"
        else:
            self.mode = "hybrid" if controllers else "v2"

    @classmethod
    def parse(cls, mountinfo: str, proc_self_cgroup: str, unified_controllers: str = "") -> Layout:
        """The Layout that /proc/self/mountinfo, /proc/self/cgroup and cgroup2's cgroup.controllers tell."""
        mounts = list(_cgroup_mounts(mountinfo))
        controllers = {}
        unified = None
        own = {}
        for line in proc_self_cgroup.splitlines():
            number, _, rest = line.partition(":")
            field, _, path = rest.partition(":")
            names = field.split(",")
            fstype = "cgroup2" if number == "0" else "cgroup"
            # Only this file tells which of a mount's options are names of controllers.
            found = [m for m in mounts if m[0] == fstype and (number == "0" or m[3].issuperset(names))]
            if not found:
                continue
            found.sort(key=lambda mount: not mount[2].startswith(STANDARD_PLACE))
            _, root, point, _ = found[0]
            if number == "0":
                unified = point
            else:
                controllers.update(dict.fromkeys(names, point))
            own.update(dict.fromkeys(names, point + _below(root, path)))
        return cls(controllers, unified, unified_controllers.split(), own)

    def __contains__(self, controller: str) -> bool:
        return self.unified is not None if controller == UNIFIED else controller in self.controllers

    def without(self, names: Iterable[str]) -> Layout:
        """The same but for the hierarchies of these controllers."""
        gone = set(names)
        return Layout(
            {name: point for name, point in self.controllers.items() if name not in gone},
            None if UNIFIED in gone else self.unified,
            () if UNIFIED in gone else self.unified_controllers,
            {name: place for name, place in self.own.items() if name not in gone},
        )

    def directories(self, cgroups_path: str, id: str) -> dict[str, str]:
        """
        The container's directory in each hierarchy, by controller; UNIFIED for cgroup2 (config-linux.md,
        "Cgroups Path").

        An absolute cgroups_path is one from the mount point, a relative one from the runtime's own cgroup, an
        empty one means `id`, relative. With cgroup2 alone it is the parent of the runtime's own: that itself, which
        has processes, could hand no controllers down. ".." does not lead above. Raises Error where there is nothing
        left to name a cgroup.
        """
        path = cgroups_path or id
        if "\0" in path or "\n" in path:
            raise Error("linux.cgroupsPath: a cgroup's name has no line breaks and no NUL")
        tail = "/" + normpath("/" + path).lstrip("/")  # normpath keeps two slashes at the beginning
        if tail == "/":
            raise Error(f'linux.cgroupsPath "{path}": names no cgroup that a container could have for itself')
        if cgroups_path.startswith("/"):
            places = dict(self.controllers)
            if self.unified is not None:
                places[UNIFIED] = self.unified
        else:
            places = self.own
            if self.mode == "v2" and places.get(UNIFIED, self.unified) != self.unified:
                places = {UNIFIED: places[UNIFIED].rpartition("/")[0]}
        return {name: place + tail for name, place in places.items()}


def _cgroup_mounts(mountinfo: str) -> Iterator[tuple[str, str, str, frozenset[str]]]:
    """Type, root, mount point and options of each cgroup mount that is in sight (proc_pid_mountinfo(5))."""
    lines = mountinfo.splitlines()
    places = {}  # by mount id: parent's mount id, mount point
    for line in lines:
        mount_id, parent, _, _, point, _ = line.split(" ", 5)
        places[mount_id] = parent, point
    covered = set(places.values())
    for line in lines:
        if " - cgroup" not in line:
            continue
        before, _, after = line.partition(" - ")
        fields = before.split(" ")
        fstype, _, options = after.split(" ", 2)
        if fstype in ("cgroup", "cgroup2") and _in_sight(fields[0], places, covered):
            yield fstype, unescape(fields[3]), unescape(fields[4]), frozenset(options.split(","))


def mounts_below(mountinfo: str, directory: str) -> dict[str, frozenset[str]]:
    """The options of the mounts in sight below a directory, not of its own, by their paths in it."""
    prefix = directory.rstrip("/") + "/"
    start = " " + escape(prefix)
    if start not in mountinfo:
        return {}
    found = {}
    lines = [line.split(" ", 6) for line in mountinfo.splitlines()]
    places = {mount_id: (parent, point) for mount_id, parent, _, _, point, _, _ in lines}
    covered = set(places.values())
    for mount_id, _, _, _, point, options, _ in lines:
        inner = unescape(point).removeprefix(prefix)
        if inner and len(inner) < len(unescape(point)) and _in_sight(mount_id, places, covered):
            found[f"/{inner}"] = frozenset(options.split(","))
    return found


def _in_sight(mount_id: str, places: dict[str, tuple[str, str]], covered: set[tuple[str, str]]) -> bool:
    """Whether nothing else is mounted on top of this mount, or of one that it lies in, or on the way between them."""
    came_from = ""
    while mount_id in places:
        parent, point = places[mount_id]
        if parent == mount_id:
            break
        if (mount_id, point) in covered and point != came_from:
            return False
        top = len(places[parent][1]) if parent in places else 0
        between = point.rpartition("/")[0]
        while len(between) > top:
            if (parent, between) in covered:
                return False
            between = between.rpartition("/")[0]
        mount_id, came_from = parent, point
    return True


ESCAPES = ("\\", "\\134"), (" ", "\\040"), ("\t", "\\011"), ("\n", "\\012")
"""Characters, and what mountinfo has for them; that of the others' escapes is the first."""


def unescape(path: str) -> str:
    """A path of mountinfo without the kernel's octal escapes of space, tab, line break and backslash."""
    if "\\" in path:
        for character, code in reversed(ESCAPES):
            path = path.replace(code, character)
    return path


def escape(path: str) -> str:
    """A path as mountinfo has it."""
    for character, code in ESCAPES:
        path = path.replace(character, code)
    return path


def _below(root: str, path: str) -> str:
    """The cgroup `path` as seen from a mount of `root`; "" for root itself, and for one out of its sight."""
    if root == "/":
        root = ""
    if path.startswith(root + "/") and not path.startswith("/.."):
        return path[len(root) :].rstrip("/")
    return ""


def warm(layout: Layout) -> None:
    """
    Move the calling process to where it is.

    The first move after 50 ms without one waits 5 to 8 ms for an RCU grace period of the kernel, those that
    follow do not. This one waits in the place of the container's; a thread can do it, and no cgroup should be
    made meanwhile.
    """
    for directory in layout.own.values():
        try:
            write_text(directory + "/cgroup.procs", "0")
        except OSError:
            continue
        return


def detect(mountinfo: str = "") -> Layout:
    """The Layout of the calling process; raises Error if /proc is not there. mountinfo: if it has been read."""
    try:
        layout = Layout.parse(mountinfo or read_text("/proc/self/mountinfo"), read_text("/proc/self/cgroup"))
        if layout.unified is not None:
            layout.unified_controllers = frozenset(read_text(f"{layout.unified}/cgroup.controllers").split())
    except OSError as e:
        raise Error(f'cgroup: read "{e.filename}": {reason(e)}') from e
    return layout


def directory_of(pid: int) -> str:
    """A process's directory of cgroup2, "" if there is none; raises OSError."""
    return Layout.parse(read_text("/proc/self/mountinfo"), read_text(f"/proc/{pid}/cgroup")).own.get(UNIFIED, "")


class HierarchyMount:
    """
    One directory of a container's /sys/fs/cgroup.

    name: of the directory; "" where cgroup2 is mounted on /sys/fs/cgroup itself
    links: further names, for symbolic links to it
    controller: key of the container's directory in Cgroup.dirs, for a bind mount
    fstype, source, data: for mount(2) in the container's own cgroup namespace
    """

    __slots__ = ("controller", "data", "fstype", "links", "name", "source")

    def __init__(
        self, name: str, controller: str, *, links: tuple[str, ...] = (), fstype: str, source: str, data: str
    ) -> None:
        self.name = name
        self.links = links
        self.controller = controller
        self.fstype = fstype
        self.source = source
        self.data = data

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"HierarchyMount({values})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, HierarchyMount) and repr(self) == repr(other)

    def __hash__(self) -> int:
        return hash(repr(self))


def container_mounts(layout: Layout, fstype: str = "cgroup") -> list[HierarchyMount]:
    """
    What a mount of type "cgroup", or "cgroup2", shows inside a container; nothing if there is no such hierarchy.

    On v1 and hybrid layouts "cgroup" is a directory for each hierarchy of v1, without cgroup2, as runc does it; with
    pure v2 there is one entry, cgroup2, and so for "cgroup2" wherever it is mounted.
    """
    if fstype == "cgroup2" and UNIFIED not in layout:
        return []
    if fstype == "cgroup2" or layout.mode == "v2":
        return [HierarchyMount("", UNIFIED, fstype="cgroup2", source="cgroup", data="")]
    by_point: dict[str, list[str]] = {}
    for name, point in layout.controllers.items():
        by_point.setdefault(point, []).append(name)
    entries = []
    for names in by_point.values():
        data = ",".join(names)
        shown = data.removeprefix("name=")
        links = tuple(names) if len(names) > 1 else ()
        if names[0].startswith("name="):
            data = "none," + data
        entries.append(HierarchyMount(shown, names[0], links=links, fstype="cgroup", source="cgroup", data=data))
    return entries
