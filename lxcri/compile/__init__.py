"""From the OCI document to the Plan: pure, one module per section of the document."""

import msgspec

from ..errors import Error
from ..plan import Builder, HostPart, Plan
from ..spec import Linux, Spec
from . import (
    cgroups,
    devices,
    hooks,
    intel_rdt,
    mounts,
    namespaces,
    net_devices,
    process,
    root,
)
from .request import Host, Request

__all__ = ["Host", "Request", "compile_execution", "compile_plan"]

STREAMS = 3
"""The descriptors that lxcri-init gets first: stdin, stdout, stderr."""

FIXED_HANDLES = STREAMS + 1
"""As the container's first process, it also gets the socket on which it awaits `start`."""


def _with_linux(spec: Spec) -> Spec:
    """The spec with a `linux`, which may be missing: a container without namespaces."""
    return spec if spec.linux is not None else msgspec.structs.replace(spec, linux=Linux())


def compile_plan(spec: Spec, request: Request, host: Host) -> Plan:
    """The Plan for a container of this spec; raises Error where the spec asks for what cannot be done."""
    if spec.process is None:
        raise Error("process: missing: a container is created with its process")
    spec = _with_linux(spec)
    assert spec.process is not None
    assert spec.linux is not None
    builder = Builder()
    terminal = spec.process.terminal
    builder.first_tree = FIXED_HANDLES + terminal + request.preserve_fds
    pre_pivot = hooks.needs_pre_pivot(spec.hooks) or mounts.needs_pre_pivot(spec.mounts)

    rootfs = root.compile_root(builder, spec, request, host, pre_pivot=pre_pivot)
    uts_name = namespaces.compile_namespaces(builder, spec, host)
    proc_directory = mounts.compile_mounts(builder, spec, request, host, pre_pivot=pre_pivot)
    devices.compile_devices(builder, spec, host)
    runtime_hooks = hooks.compile_hooks(builder, spec)
    root.compile_paths(builder, spec)
    if not namespaces.is_present(spec, "mount"):
        number = builder.first_tree + len(builder.trees)
        builder.add("ready", "leave_mount_namespace", "linux.namespaces", number)
    process.compile_process(builder, spec, request, host, console=FIXED_HANDLES)
    uids, gids = namespaces.id_mappings(spec, host)
    cgroup_writes, device_filter = cgroups.compile_resources(builder, spec, request, host)
    unit = cgroups.compile_unit(spec, request, host, cgroup_writes)
    return Plan(
        items=builder.items,
        program=builder.stages,
        seccomp=spec.linux.seccomp if request.seccomp else None,
        warnings=builder.warnings,
        host=HostPart(
            rootfs=rootfs,
            proc_directory=proc_directory,
            directories=builder.directories,
            joins=builder.joins,
            uts_name=uts_name,
            trees=builder.trees,
            user_namespace=namespaces.is_new(spec, "user"),
            id_mappings=(namespaces.map_lines(uids), namespaces.map_lines(gids)),
            stdio_owner=(
                namespaces.host_id(uids, spec.process.user.uid),
                namespaces.host_id(gids, spec.process.user.gid),
            ),
            time_offsets=namespaces.time_offsets(spec),
            net_devices=net_devices.compile_net_devices(builder, spec),
            intel_rdt=intel_rdt.compile_intel_rdt(builder, spec),
            cgroups_path=unit.path if unit else spec.linux.cgroups_path or "",
            unit=unit,
            cgroup_writes=cgroup_writes,
            device_filter=device_filter,
            cgroup_owner=cgroups.owner(spec, host),
            runtime_hooks=runtime_hooks,
            pre_pivot=pre_pivot,
            own_mount_namespace=namespaces.is_present(spec, "mount"),
            terminal=terminal,
            preserve_fds=request.preserve_fds,
        ),
    )


def compile_execution(spec: Spec, request: Request, host: Host) -> Plan:
    """The Plan for another process, that of the spec, in a container that was created from the rest of the spec."""
    if spec.process is None:
        raise Error("process: missing")
    spec = _with_linux(spec)
    builder = Builder()
    process.compile_process(builder, spec, request, host, console=STREAMS, first=False)
    return Plan(
        items=[],
        program=builder.stages,
        seccomp=spec.linux.seccomp if spec.linux and request.seccomp else None,
        warnings=builder.warnings,
        host=HostPart(rootfs=request.rootfs, proc_directory="", preserve_fds=request.preserve_fds),
    )
