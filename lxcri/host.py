"""Facts about the machine and the image that compile's rules depend on, and nothing that it does not ask for."""

from __future__ import annotations

import os

from .cgroup import UNIFIED, read_text as read_whole
from .cgroup.layout import detect, mounts_below
from .compile.capabilities import CAP_SYS_ADMIN
from .compile.mounts import clean_path
from .compile.namespaces import TYPES
from .compile.request import ALL_SHOWN, Host
from .procfs import read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .cgroup.layout import Layout
    from .compile.request import Request
    from .context import Context
    from .rootless import Renamed
    from .spec import Spec

NS_GET_USERNS = 0xB701


def _capabilities(kind: str) -> int:
    """A set of this process: "Eff" or "Bnd"."""
    _, _, rest = read_text("/proc/self/status").partition(f"\nCap{kind}:")
    return int(rest.split(None, 1)[0], 16) if rest else 0


def _security_modules() -> tuple[str, ...]:
    modules = []
    if read_text("/sys/module/apparmor/parameters/enabled").startswith("Y"):
        modules.append("apparmor")
    if os.path.exists("/sys/fs/selinux/enforce"):
        modules.append("selinux")
    return tuple(modules)


def _free_directory(rootfs: str, uses: list[str]) -> str:
    """A directory of the image that no mount covers or lies in, to hold a proc for the start; "" if there is none."""
    try:
        names = sorted(entry.name for entry in os.scandir(rootfs) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return ""
    usable = [name for name in names if not set(" \t\n\\") & set(name) and not name.startswith("#")]
    free = [name for name in usable if not any((use + "/").startswith(f"/{name}/") for use in uses)]
    return (free or usable or [""])[0]


def _joined_ids(spec: Spec) -> tuple[str, str]:
    """The id mappings of the user namespace that the spec joins, if it does and if that is one."""
    for namespace in spec.linux.namespaces if spec.linux else ():
        if namespace.type == "user" and namespace.path:
            try:
                fd = os.open(namespace.path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                break  # which is said when it is to be joined
            try:
                from .sources import read_id_mappings

                return read_id_mappings(fd)
            finally:
                os.close(fd)
    return "", ""


def _can_be_made(layout: Layout, controller: str, path: str) -> bool:
    """Whether this process may make a cgroup at path, or use the one there, and put a process of its own in it."""
    parent = path
    while parent and not os.path.isdir(parent):
        parent = os.path.dirname(parent) if parent != "/" else ""
    if not _is_writable(parent if parent != path else f"{path}/cgroup.procs"):
        return False
    if controller != UNIFIED:
        return True
    # a process moves only within what its mover may change (cgroups(7), "Delegation")
    return _is_writable(f"{os.path.commonpath((layout.own[controller], path))}/cgroup.procs")


def _is_writable(path: str) -> bool:
    return os.access(path, os.W_OK, effective_ids=True)


def _usable(layout: Layout, cgroups_path: str, id: str) -> Layout:
    """The hierarchies in which the container can get a cgroup."""
    places = layout.directories(cgroups_path, id)
    return layout.without([name for name, path in places.items() if not _can_be_made(layout, name, path)])


def _owned(spec: Spec) -> tuple[str, ...]:
    """Host.owned, in a user namespace."""
    return tuple([kind for kind in ALL_SHOWN if _owns(spec, kind)])


def _owns(spec: Spec, kind: str) -> bool:
    from fcntl import ioctl

    path = f"/proc/self/ns/{TYPES[kind][0]}"
    for namespace in spec.linux.namespaces if spec.linux else ():
        if namespace.type == kind and namespace.path:
            path = namespace.path
    try:
        with open(path, "rb", 0) as file:
            os.close(ioctl(file.fileno(), NS_GET_USERNS))
    except OSError:  # it is one above ours, or something that is no namespace, which will be said
        return False
    return True


def _writable(mountinfo: str, rootfs: str) -> tuple[str, ...]:
    """Host.writable: what liblxc makes read-only, and was not."""
    found = [path for path, options in mounts_below(mountinfo, rootfs).items() if "rw" in options]
    try:
        readonly = os.statvfs(rootfs).f_flag & os.ST_RDONLY
    except OSError:  # which is said when it is to be entered
        readonly = 0
    return tuple(found if readonly else ["/", *found])


def prepare_host(ctx: Context, spec: Spec, request: Request) -> Host:
    """
    The Host for a new container.

    Who is not root, lacks root's capability for it, or may not set its groups (as root of a user namespace that maps
    one id), enters a user namespace first. Whether root is the machine's is not asked.
    """
    renamed = None
    may = os.geteuid() == 0 and _capabilities("Eff") >> CAP_SYS_ADMIN & 1
    if not may or read_text("/proc/self/setgroups").startswith("deny"):
        from .rootless import enter_user_namespace

        renamed = enter_user_namespace(ctx, spec)
    return gather_host(spec, request, rootless=ctx.rootless, renamed=renamed)


def gather_host(
    spec: Spec,
    request: Request,
    *,
    rootless: bool | None = None,
    renamed: tuple[Renamed, Renamed] | None = None,
) -> Host:
    """
    The Host for this spec.

    rootless: whether hierarchies of cgroups that cannot be written are left alone, or, with False, an error; None:
        left alone by who is not the machine's root. With a unit of systemd none is: systemd may more than we
    renamed: as in Host
    """
    rootfs = request.rootfs
    process = spec.process
    labelled = process is not None and (process.apparmor_profile or process.selinux_label)
    labelled = labelled or (spec.linux is not None and spec.linux.mount_label)
    destinations = [clean_path(mount.destination) for mount in spec.mounts]
    user_namespace = read_text("/proc/self/uid_map").split() != ["0", "0", "4294967295"]
    owned = _owned(spec) if user_namespace else ALL_SHOWN
    has_proc = any(m.type == "proc" and d == "/proc" for m, d in zip(spec.mounts, destinations, strict=True))
    mountinfo = read_whole("/proc/self/mountinfo")
    writable = _writable(mountinfo, rootfs)
    shown = layout = detect(mountinfo)
    if not request.systemd and (user_namespace if rootless is None else rootless):
        layout = _usable(layout, (spec.linux and spec.linux.cgroups_path) or "", request.id)
    return Host(
        layout=layout,
        shown=shown,
        renamed=renamed,
        owned=owned,
        user_namespace=user_namespace,
        capabilities=_capabilities("Bnd"),
        last_capability=int(read_text("/proc/sys/kernel/cap_last_cap") or 40),
        lsm=_security_modules() if labelled else (),
        joined_ids=_joined_ids(spec),
        writable=writable,
        empty_proc="" if has_proc else _free_directory(rootfs, [*destinations, *writable]),
    )
