"""config.md, "Mounts": each mount as an instruction, in the document's order."""

from posixpath import normpath

import msgspec

from .. import notify
from ..errors import Error
from ..plan import Builder, Tree
from ..spec import IDMapping, Mount, Spec
from . import cgroups
from .namespaces import id_mappings, is_new, is_present, map_lines
from .options import (
    ATTR_ATIME,
    ATTR_NODEV,
    ATTR_NODIRATIME,
    ATTR_NOEXEC,
    ATTR_NOSUID,
    ATTR_NOSYMFOLLOW,
    ATTR_RDONLY,
    MS_RDONLY,
    MS_SHARED,
    PROPAGATION,
    Options,
    attributes_of,
    is_bind,
    parse_options,
)
from .request import Host, Request

LIBLXC_MOUNTS = {"proc": "/proc", "sysfs": "/sys"}
"""File systems that liblxc mounts at these places: in a user namespace the kernel refuses them after the pivot, unless
one is fully visible already."""

SHOWN = {
    # file system: the type of the namespace that it shows, and where the host has it
    "proc": ("pid", "/proc"),
    "sysfs": ("network", "/sys"),
    "mqueue": ("ipc", "/dev/mqueue"),
}
"""Only who owns that namespace may mount them (user_namespaces(7)); others get the host's by a bind mount."""

NOTIFY_PLACE = "/run/notify"
NOTIFY_ATTRIBUTES = ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC
"""The socket there can be sent to all the same, and no container fills the host's /run."""

WITHOUT_HOST_PATHS = ("bpf", "cgroup", "cgroup2", "devpts", "mqueue", "proc", "ramfs", "securityfs", "sysfs", "tmpfs")
"""File systems whose source and options are no paths. Others are mounted before the pivot, among the host's paths."""

DATA_MAX = 4095
"""Bytes of a file system's own options; mount(2) takes a page, and cuts off the rest without a word."""

TMPFS_MODE = "mode=7777,"
"""What lxcri-init may put before those of a tmpfs."""

WITHOUT_LABEL = ("cgroup", "cgroup2", "mqueue", "proc", "sysfs")
"""File systems that cannot be mounted with a context of SELinux: the policy says which one they have."""

ALL_ATTRIBUTES = ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV | ATTR_NOEXEC | ATTR_NODIRATIME | ATTR_NOSYMFOLLOW | ATTR_ATIME


class Placement(msgspec.Struct, gc=False):
    """A mount of the document, with what does not depend on its kind.

    Args:
        mount: it.
        subject: what errors begin with.
        destination: where, as a clean path.
        options: its options, with the container's label.
        stage: of the program, in which it is mounted.
    """

    mount: Mount
    subject: str
    destination: str
    options: Options
    stage: str


def clean_path(path: str) -> str:
    """The path, absolute, with no "//", "/./" and trailing "/"; ".." is for the kernel to resolve."""
    return "/" + "/".join([part for part in path.split("/") if part not in ("", ".")])


def is_below(path: str, directory: str) -> bool:
    """Whether the path is this directory or in it."""
    return path == directory or path.startswith(directory.rstrip("/") + "/")


def stays_shared(spec: Spec, options: Options) -> bool:
    """
    Whether a bind mount stays a peer of the host's: its option and the root's propagation both say shared.

    With the option alone it is a slave of the host's with peers in the container, as everything there is a slave.
    """
    root = PROPAGATION.get((spec.linux and spec.linux.rootfs_propagation) or "", (0, False))[0]
    return root == MS_SHARED and any(kind == MS_SHARED for kind, _ in options.propagation)


def needs_pre_pivot(mounts: list[Mount]) -> bool:
    """Whether a file system is mounted whose source or options may be paths of the host."""
    return any(
        mount.type and mount.type not in WITHOUT_HOST_PATHS and not is_bind(mount.options, mount.type)
        for mount in mounts
    )


def compile_mounts(builder: Builder, spec: Spec, request: Request, host: Host, *, pre_pivot: bool) -> str:
    """Instructions for all mounts; return the directory where liblxc mounts the proc that lxcri-init starts from."""
    mounts = [mount if may_mount(spec, mount.type or "", host.owned) else _bound(mount) for mount in spec.mounts]
    proc_directory = _compile_liblxc_mounts(builder, spec, mounts, host, pre_pivot=pre_pivot)
    of_liblxc = [f"/{directory}" for directory in (*builder.directories, proc_directory) if directory != "dev"]
    of_liblxc.append("/dev/pts")  # liblxc 6 unmounts what is there
    for path in host.writable:
        if path != "/" and not any(is_below(path, place) for place in of_liblxc):
            builder.add("mounts", "attributes", f"root: {path}", path, 0, ATTR_RDONLY, 0)
    label = _mount_label(builder, spec, host)
    late: list[str] = []
    covered: set[str] = set()
    for i, mount in enumerate(mounts):
        subject = f'mounts[{i}] "{mount.destination}"'
        if not mount.destination:
            raise Error(f"mounts[{i}]: destination: empty")
        destination = clean_path(mount.destination)
        if normpath(destination) == "/":
            raise Error(f"{subject}: the root itself cannot be mounted over")
        options = parse_options(mount.options, mount.type)
        if label and not options.bind and mount.type not in WITHOUT_LABEL:
            options = msgspec.structs.replace(
                options, data=",".join(filter(None, [options.data, f'context="{label}"']))
            )
        if options.without_effect:
            builder.warn(f"{subject}: options without effect on a bind mount: {','.join(options.without_effect)}")
        # Before the pivot a mount can neither show the container's cgroup namespace nor stay a peer of the host's.
        shows_namespace = mount.type in ("cgroup", "cgroup2") and is_present(spec, "cgroup")
        is_late = pre_pivot and (
            shows_namespace or stays_shared(spec, options) or any(is_below(destination, other) for other in late)
        )
        if is_late:
            late.append(destination)
        stage = "root" if is_late or shows_namespace else "mounts"
        by_liblxc = LIBLXC_MOUNTS.get(mount.type or "") == destination and destination not in covered
        covered.add(destination)
        placement = Placement(mount, subject, destination, options, stage)
        _compile_mount(builder, spec, request, host, placement, by_liblxc=by_liblxc)
    if request.notify:
        tree = Tree("NOTIFY_SOCKET", f"{request.directory}/{notify.DIRECTORY}", set=NOTIFY_ATTRIBUTES)
        builder.add("mounts", "move", tree.subject, builder.tree(tree), NOTIFY_PLACE)
    return proc_directory


def _mount_label(builder: Builder, spec: Spec, host: Host) -> str:
    """linux.mountLabel, where there is a SELinux to understand it."""
    label = (spec.linux and spec.linux.mount_label) or ""
    if label and "selinux" not in host.lsm:
        builder.warn("linux.mountLabel: selinux is not enabled in this kernel")
        return ""
    if '"' in label:
        raise Error("linux.mountLabel: a label has no quotes")
    return label


def may_mount(spec: Spec, kind: str, owned: tuple[str, ...]) -> bool:
    """Whether the container's user namespace owns the namespace that a file system of this kind shows."""
    if kind not in SHOWN:
        return True
    shown = SHOWN[kind][0]
    if is_new(spec, "user"):
        return is_new(spec, shown)
    if is_present(spec, "user"):
        return is_present(spec, shown)
    return is_new(spec, shown) or shown in owned


def _bound(mount: Mount) -> Mount:
    """The host's instance in place of such a file system."""
    recursive = ["rro"] if "ro" in mount.options else []
    source = SHOWN[mount.type or ""][1]
    return Mount(mount.destination, type="bind", source=source, options=["rbind", *mount.options, *recursive])


def _compile_liblxc_mounts(builder: Builder, spec: Spec, mounts: list[Mount], host: Host, *, pre_pivot: bool) -> str:
    """Items for proc, always, and sysfs, if the spec has it."""
    proc_directory = ""
    for mount in mounts:
        for kind, place in LIBLXC_MOUNTS.items():
            if mount.type == kind and clean_path(mount.destination) == place:
                directory = place[1:]
                if directory in builder.directories:
                    continue
                builder.directories.append(directory)
                builder.item("lxc.mount.entry", f"{kind} {directory} {kind} nosuid,nodev,noexec 0 0")
                if kind == "proc":
                    proc_directory = directory
    if proc_directory:
        return proc_directory
    if not may_mount(spec, "proc", host.owned):  # liblxc wants to see itself in /proc, or mounts one there
        builder.directories.append("proc")
        builder.item("lxc.mount.entry", "/proc proc none rbind 0 0")
        if not (pre_pivot and any(clean_path(mount.destination) == "/proc" for mount in mounts)):  # which covers it
            builder.add("root" if pre_pivot else "mounts", "detach", "the helper's proc", "/proc")
        return "proc"
    if not host.empty_proc:
        raise Error("mounts: without a proc at /proc the root file system needs some other directory")
    builder.item("lxc.mount.entry", f"proc {host.empty_proc} proc nosuid,nodev,noexec 0 0")
    builder.add("root" if pre_pivot else "mounts", "detach", "the helper's proc", host.empty_proc)
    return host.empty_proc


def _compile_mount(
    builder: Builder,
    spec: Spec,
    request: Request,
    host: Host,
    placement: Placement,
    *,
    by_liblxc: bool,
) -> None:
    mount, subject, destination, options = placement.mount, placement.subject, placement.destination, placement.options
    if mount.type in ("cgroup", "cgroup2") and not options.bind:
        unshared = is_present(spec, "cgroup")
        cgroups.compile_mount(
            builder, host, placement.stage, subject, mount.type, destination, options, unshared=unshared
        )
    elif options.bind:
        _compile_bind(builder, spec, request, host, placement)
    elif not mount.type:
        raise Error(f"{subject}: neither a type nor the option bind or rbind")
    elif by_liblxc and not options.data:
        set_ = attributes_of(options.flags)
        builder.add(placement.stage, "reattach", subject, destination, set_, ALL_ATTRIBUTES & ~(set_ & ~ATTR_ATIME))
    else:
        _compile_file_system(builder, placement)
    for kind, recursive in options.propagation:
        builder.add("root", "propagation", subject, destination, kind, recursive)
    if not options.bind and (options.recursive_set or options.recursive_clear):
        builder.add("root", "attributes", subject, destination, options.recursive_set, options.recursive_clear, 1)


def _compile_file_system(builder: Builder, placement: Placement) -> None:
    mount, subject, destination, options = placement.mount, placement.subject, placement.destination, placement.options
    assert mount.type
    if options.id_map is not None or mount.uid_mappings or mount.gid_mappings:
        raise Error(f"{subject}: only bind mounts can be id-mapped")
    flags = options.flags
    if options.copy_up and mount.type != "tmpfs":
        raise Error(f"{subject}: options: tmpcopyup: only for tmpfs")
    limit = DATA_MAX - len(TMPFS_MODE) if mount.type == "tmpfs" else DATA_MAX
    if len(options.data.encode("utf-8", "surrogateescape")) > limit:
        raise Error(f"{subject}: options: longer than {limit} bytes")
    if flags & MS_RDONLY and (mount.type == "tmpfs" or destination == "/dev"):  # things are still to be put in it
        flags &= ~MS_RDONLY
        builder.add("root", "attributes", subject, destination, ATTR_RDONLY, 0, 0)
    source = mount.source if mount.source is not None else mount.type
    operation = "mount_copyup" if options.copy_up else "mount"
    builder.add(placement.stage, operation, subject, mount.type, source, destination, flags, options.data)


def _mount_mappings(spec: Spec, host: Host, placement: Placement) -> tuple[list[IDMapping], list[IDMapping]]:
    """The mappings for the ids of a mount: its own, or, where only an option asks for it, those of the container."""
    mount, subject = placement.mount, placement.subject
    if mount.uid_mappings or mount.gid_mappings:
        if not (mount.uid_mappings and mount.gid_mappings):
            raise Error(f"{subject}: uidMappings and gidMappings: one is no use without the other")
        return mount.uid_mappings, mount.gid_mappings
    if placement.options.id_map is None:
        return [], []
    uids, gids = id_mappings(spec, host)
    if not (uids and gids):
        raise Error(f"{subject}: options: id-mapped, but neither the mount nor the container has mappings")
    return uids, gids


def _compile_bind(builder: Builder, spec: Spec, request: Request, host: Host, placement: Placement) -> None:
    mount, subject, options = placement.mount, placement.subject, placement.options
    if not mount.source:
        raise Error(f"{subject}: a bind mount needs a source")
    if options.copy_up:
        raise Error(f"{subject}: options: tmpcopyup: only for tmpfs")
    source = mount.source if mount.source.startswith("/") else f"{request.bundle}/{mount.source}"
    uids, gids = _mount_mappings(spec, host, placement)
    number = builder.tree(
        Tree(
            subject,
            source,
            recursive=options.recursive_bind,
            shared=stays_shared(spec, options),
            set=options.set,
            clear=options.clear,
            recursive_set=options.recursive_set,
            recursive_clear=options.recursive_clear,
            id_mappings=(map_lines(uids), map_lines(gids)),
            recursive_id_map=bool(options.id_map),
        )
    )
    builder.add(placement.stage, "move", subject, number, placement.destination)
