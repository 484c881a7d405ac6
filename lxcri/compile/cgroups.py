"""config-linux.md, "Control groups": limits, and what a mount of type cgroup shows."""

from posixpath import normpath

from ..cgroup import UNIFIED
from ..cgroup.devices import DeviceRule, essential_device_rules, expand
from ..cgroup.layout import STANDARD_PLACE, container_mounts
from ..cgroup.resources import compile_resources as compile_limits, device_filter
from ..cgroup.write import Write
from ..errors import Error
from ..plan import Builder, Tree
from ..spec import Resources, Spec
from .namespaces import host_id, id_mappings, is_new, is_present
from .options import ATTR_RDONLY, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, Options, attributes_of
from .request import Host, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..cgroup.unit import Unit

MOUNT_FLAGS = MS_NOSUID | MS_NODEV | MS_NOEXEC


def compile_resources(
    builder: Builder, spec: Spec, request: Request, host: Host
) -> tuple[list[Write], list[DeviceRule] | None]:
    """What to write to the container's cgroup for linux.resources, and the rules of cgroup2's device filter."""
    assert spec.linux is not None
    resources = spec.linux.resources or Resources()
    devices = request.cgroup_devices
    if not devices:
        builder.warn("cgroup-devices is switched off: linux.resources.devices is not applied")
    elif host.user_namespace:  # there neither cgroup v1's list nor a filter of cgroup2 is ours to change
        devices = False
        if resources.devices:
            builder.warn("linux.resources.devices is not applied: in a user namespace nothing can restrict devices")
    shown = host.shown or host.layout
    if host.layout.mode == "none" and shown.mode != "none":
        path = f'linux.cgroupsPath "{spec.linux.cgroups_path}"' if spec.linux.cgroups_path else "linux.cgroupsPath"
        builder.warn(f"{path}: no cgroup can be made by this user, the container stays in the caller's")
    writes = compile_limits(resources, host.layout, devices=devices, warn=builder.warn)
    return writes, device_filter(resources, host.layout) if devices else None


def owner(spec: Spec, host: Host) -> int:
    """
    The uid on the host that the container's cgroup belongs to; -1 to leave it as it is ("Cgroup ownership").

    On v1 delegation is not safe, and what the container sees of a hybrid layout is v1.
    """
    assert spec.process is not None
    if host.layout.mode != "v2" or not is_new(spec, "cgroup"):
        return -1
    for mount in spec.mounts:
        destination = normpath("/" + mount.destination.lstrip("/"))
        if mount.source == "cgroup" and destination == STANDARD_PLACE and "ro" not in mount.options:
            uid = spec.process.user.uid
            if is_present(spec, "user"):
                return host_id(id_mappings(spec, host)[0], uid)
            return uid or -1  # root's it is anyway
    return -1


def compile_unit(spec: Spec, request: Request, host: Host, writes: list[Write]) -> "Unit | None":
    """The unit of systemd for the container, if there is to be one, with the limits that these writes are."""
    assert spec.linux is not None
    if not request.systemd:
        return None
    from ..cgroup.unit import compile_unit as compile_systemd_unit

    resources = spec.linux.resources or Resources()
    restricted = request.cgroup_devices and not host.user_namespace
    return compile_systemd_unit(
        spec.linux.cgroups_path or "",
        request.id,
        request.systemd,
        spec.annotations,
        writes,
        expand(resources.devices) + essential_device_rules() if restricted else None,
        host.layout,
    )


def compile_mount(
    builder: Builder,
    host: Host,
    stage: str,
    subject: str,
    fstype: str,
    destination: str,
    options: Options,
    *,
    unshared: bool,
) -> None:
    """
    The container's view of the hierarchies, or, of type cgroup2, of that one. With a cgroup namespace of its own it
    mounts them, and sees its cgroup as their root; without, its directories of the host are bound.
    """
    shown = host.shown or host.layout
    entries = container_mounts(shown, fstype)
    if not entries:
        raise Error(f"{subject}: this host has no {'cgroups' if fstype == 'cgroup' else fstype}")
    flags = options.flags | MOUNT_FLAGS
    if entries[0].controller != UNIFIED:
        builder.add(stage, "mount", subject, "tmpfs", "tmpfs", destination, flags & ~MS_RDONLY, "mode=755")
    for entry in entries:
        place = f"{destination}/{entry.name}" if entry.name else destination
        if unshared:
            builder.add(stage, "mount", subject, entry.fstype, entry.source, place, flags, entry.data)
        else:
            made = entry.controller in host.layout
            tree = Tree(
                subject,
                "" if made else shown.own[entry.controller],
                cgroup=entry.controller if made else "",
                recursive=True,
                set=attributes_of(flags),
            )
            builder.add(stage, "move", subject, builder.tree(tree), place)
        for link in entry.links:
            builder.add(stage, "symlink", subject, entry.name, f"{destination}/{link}", "")
    if flags & MS_RDONLY and entries[0].controller != UNIFIED:
        builder.add("root", "attributes", subject, destination, ATTR_RDONLY, 0, 0)
