"""config-linux.md, "Namespaces" and "User namespace mappings"; config.md, "Hostname" and "Domainname"."""

from itertools import pairwise

from ..errors import Error
from ..plan import Builder, Join
from ..spec import IDMapping, Spec
from .request import Host

TYPES = {
    # type in the document: (name in /proc/PID/ns and for liblxc, CLONE_NEW* flag)
    "pid": ("pid", 0x20000000),
    "network": ("net", 0x40000000),
    "mount": ("mnt", 0x00020000),
    "ipc": ("ipc", 0x08000000),
    "uts": ("uts", 0x04000000),
    "user": ("user", 0x10000000),
    "cgroup": ("cgroup", 0x02000000),
    "time": ("time", 0x00000080),
}

JOINED_BY_LIBLXC = ("user", "mount")
"""Types that liblxc's own process must stay out of. With one of them it makes a new cgroup namespace too."""

JOINED_BY_STARTER = ("network", "ipc", "uts", "pid", "cgroup", "time")
"""Types that a process can join before it has liblxc clone init, which then is born in them."""

NO_ID = 2**32 - 1
"""(uid_t)-1: no id, but "leave it as it is" to the calls that set one."""

CLOCKS = ("boottime", "monotonic")
"""Clocks of a time namespace that have an offset (time_namespaces(7))."""

SECOND = 1_000_000_000
"""Nanoseconds."""


def is_present(spec: Spec, kind: str) -> bool:
    """Whether the container has a namespace of this type of its own, new or joined."""
    return spec.linux is not None and any(n.type == kind for n in spec.linux.namespaces)


def is_new(spec: Spec, kind: str) -> bool:
    """Whether the container gets a new namespace of this type."""
    return spec.linux is not None and any(n.type == kind and not n.path for n in spec.linux.namespaces)


def id_mappings(spec: Spec, host: Host) -> tuple[list[IDMapping], list[IDMapping]]:
    """The mappings of user and group ids: those of the spec for a new user namespace, its own for a joined one."""
    assert spec.linux is not None
    if is_new(spec, "user"):
        uids, gids = spec.linux.uid_mappings, spec.linux.gid_mappings
        if host.renamed is None:
            return uids, gids
        return [_seen_here(m, host.renamed[0]) for m in uids], [_seen_here(m, host.renamed[1]) for m in gids]
    uids, gids = ([IDMapping(*map(int, line.split())) for line in lines.splitlines()] for lines in host.joined_ids)
    return uids, gids


def _seen_here(mapping: IDMapping, renamed: tuple[int, int]) -> IDMapping:
    """A mapping with the host's id as it is in the runtime's own user namespace."""
    host_id, here = renamed
    return IDMapping(mapping.container_id, here, 1) if (mapping.host_id, mapping.size) == (host_id, 1) else mapping


def map_lines(mappings: list[IDMapping]) -> str:
    """The lines for uid_map or gid_map (user_namespaces(7))."""
    return "".join([f"{m.container_id} {m.host_id} {m.size}\n" for m in mappings])


def compile_namespaces(builder: Builder, spec: Spec, host: Host) -> str:
    """Items and joins for linux.namespaces; return the host name to set in a joined UTS namespace, "" for none."""
    assert spec.linux is not None
    seen: set[str] = set()
    clone: list[str] = []
    for i, namespace in enumerate(spec.linux.namespaces):
        subject = f"linux.namespaces[{i}]"
        if namespace.type not in TYPES:
            raise Error(f'{subject}: type "{namespace.type}" does not exist')
        if namespace.type in seen:
            raise Error(f'{subject}: a second namespace of type "{namespace.type}"')
        seen.add(namespace.type)
        name, flag = TYPES[namespace.type]
        if not namespace.path:
            if namespace.type == "cgroup":  # its root is the cgroup that init is in by then
                builder.add("root", "unshare_cgroup", "linux.namespaces")
            elif namespace.type != "time":  # liblxc can set seconds or nanoseconds, not both
                clone.append(name)
            continue
        if not namespace.path.startswith("/"):
            raise Error(f'{subject}: path "{namespace.path}" is not absolute')
        builder.joins.append(Join(subject, namespace.type, flag, namespace.path))
        if namespace.type in JOINED_BY_LIBLXC:
            builder.item(f"lxc.namespace.share.{name}", namespace.path, f"{subject}: path")
    joined = {join.type: join for join in builder.joins}
    if "cgroup" in joined and not joined.keys().isdisjoint(JOINED_BY_LIBLXC):
        place = f'{joined["cgroup"].subject}: path "{joined["cgroup"].path}"'
        raise Error(f"{place}: with a joined user or mount namespace liblxc makes a new cgroup namespace")
    builder.change("mount", "mounts")
    if "mount" not in seen:
        clone.append(TYPES["mount"][0])  # for the set-up alone
        if "user" in seen:
            raise Error("linux.namespaces: a user namespace needs a mount namespace too")
    builder.item("lxc.namespace.clone", " ".join(clone))
    if is_new(spec, "network"):
        builder.item("lxc.net.0.type", "empty")
        builder.item("lxc.net.0.flags", "up")
    _compile_id_mappings(builder, spec, host)
    return _compile_names(builder, spec)


def _compile_id_mappings(builder: Builder, spec: Spec, host: Host) -> None:
    assert spec.linux is not None
    linux = spec.linux
    if not is_present(spec, "user"):
        if linux.uid_mappings or linux.gid_mappings:
            raise Error("linux.uidMappings: not possible without a user namespace")
        return
    if is_new(spec, "user") and not (linux.uid_mappings and linux.gid_mappings):
        raise Error("linux.namespaces: a new user namespace needs linux.uidMappings and linux.gidMappings")
    _check_mappings("linux.uidMappings", linux.uid_mappings)
    _check_mappings("linux.gidMappings", linux.gid_mappings)
    for letter, mappings in zip("ug", id_mappings(spec, host), strict=True):
        for mapping in mappings:
            builder.item("lxc.idmap", f"{letter} {mapping.container_id} {mapping.host_id} {mapping.size}")


def _check_mappings(name: str, mappings: list[IDMapping]) -> None:
    """Raise Error for what the kernel refuses, with no word about which (user_namespaces(7))."""
    for i, mapping in enumerate(mappings):
        if not mapping.size:
            raise Error(f"{name}[{i}].size: 0")
        if max(mapping.container_id, mapping.host_id) + mapping.size > NO_ID:
            raise Error(f"{name}[{i}]: goes beyond the last id, {NO_ID - 1}")
    for side in ("container_id", "host_id"):
        ranges = sorted((getattr(mapping, side), mapping.size, i) for i, mapping in enumerate(mappings))
        for (start, size, i), (following, _, j) in pairwise(ranges):
            if start + size > following:
                raise Error(f"{name}[{max(i, j)}]: overlaps {name}[{min(i, j)}]")


def time_offsets(spec: Spec) -> str | None:
    """The lines for timens_offsets (time_namespaces(7)); None without a new time namespace."""
    assert spec.linux is not None
    if not is_new(spec, "time"):
        if spec.linux.time_offsets:
            raise Error("linux.timeOffsets: not possible without a new time namespace")
        return None
    for clock, offset in spec.linux.time_offsets.items():
        if clock not in CLOCKS:
            raise Error(f'linux.timeOffsets: clock "{clock}" does not exist')
        if offset.nanosecs >= SECOND:
            raise Error(f"linux.timeOffsets.{clock}.nanosecs: {offset.nanosecs} is a second or more")
    return "".join([f"{clock} {o.secs} {o.nanosecs}\n" for clock, o in spec.linux.time_offsets.items()])


def host_id(mappings: list[IDMapping], id: int) -> int:
    """What this id of the container is on the host; -1 if it is not mapped."""
    for m in mappings:
        if m.container_id <= id < m.container_id + m.size:
            return m.host_id + id - m.container_id
    return -1


def _compile_names(builder: Builder, spec: Spec) -> str:
    """Host name and domain name."""
    for value, kind in ((spec.hostname, "hostname"), (spec.domainname, "domainname")):
        if value and not is_present(spec, "uts"):
            raise Error(f"{kind}: not possible without a UTS namespace of the container's own")
        if value and len(value.encode()) > 64:
            raise Error(f"{kind}: longer than 64 bytes")
        if value:
            builder.change("uts", kind)
    if spec.domainname:
        builder.add("root", "domainname", "domainname", spec.domainname)
    if not spec.hostname:
        return ""
    if is_new(spec, "uts"):
        builder.item("lxc.uts.name", spec.hostname, "hostname")
        return ""
    return spec.hostname
