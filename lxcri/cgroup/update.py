"""Changing the limits of a container that runs: all of them, or, if one is refused, none."""

from __future__ import annotations

from ..errors import Error, reason
from . import UNIFIED, read_text
from .devices import essential_device_rules, expand, v1_changes
from .resources import CPU_PERIOD, compile_resources, device_filter
from .write import Write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..spec import DeviceCgroup, Resources
    from .layout import Layout
    from .writable import WritableCgroup

NO_LIMIT_OF_KEY = {
    # file with a line for each device (or interface): what takes a limit back that was not there
    "blkio.bfq.weight_device": "0",
    "blkio.leaf_weight_device": "0",
    "blkio.throttle.read_bps_device": "0",
    "blkio.throttle.read_iops_device": "0",
    "blkio.throttle.write_bps_device": "0",
    "blkio.throttle.write_iops_device": "0",
    "blkio.weight_device": "0",
    "io.bfq.weight": "default",
    "io.max": "rbps=max wbps=max riops=max wiops=max",
    "io.weight": "default",
    "net_prio.ifpriomap": "0",
    "rdma.max": "hca_handle=max hca_object=max",
}

KEY_OF_VALUE = {"memory.oom_control": "oom_kill_disable", "io.bfq.weight": "default", "io.weight": "default"}
"""Files with a key and a value on each line, where the value of this key is written without it."""


def update(
    cgroup: WritableCgroup,
    resources: Resources,
    layout: Layout,
    *,
    devices: bool,
    warn: Callable[[str], object],
    unit: str = "",
) -> None:
    """
    Apply new limits to a container's cgroup; what is absent, or 0, stays as it is.

    devices: off means that access to devices is not restricted, and stays so
    warn: called with a sentence for each property that is ignored
    unit: State.unit, whose properties change with them

    Raises Error, which names the property, if the kernel refuses one; then all are as they were before.
    """
    complete(resources, cgroup, layout)
    with_devices = devices and bool(resources.devices)
    on_v1 = "devices" in layout.controllers
    writes = compile_resources(resources, layout, devices=False, warn=warn)
    rules = device_filter(resources, layout) if with_devices else None
    cgroup.hand_down(layout, writes)
    before = [saved for write in writes if (saved := save(cgroup, write))]
    back: list[Write] = []
    if with_devices and on_v1:
        changes, back = _device_writes(cgroup, resources)
        writes += changes
    files = writes
    if unit:
        from .unit import left_to_files

        files = left_to_files(writes)
    try:
        for warning in cgroup.apply(files):
            warn(warning)
        if unit:
            _change_unit(unit, cgroup, writes, resources.devices if with_devices else [])
        if with_devices and not on_v1:
            cgroup.filter_devices(rules)
    except Error as e:
        raise Error(f"{e}{_restore(cgroup, before, back)}") from e


def _change_unit(unit: str, cgroup: WritableCgroup, writes: list[Write], devices: list[DeviceCgroup]) -> None:
    """Let systemd have the same limits, or it sets them back."""
    from .systemd import change_unit
    from .unit import CPU_QUOTA_FILES, device_properties, limits

    if any(write.file in CPU_QUOTA_FILES for write in writes):  # one limit, of which one file may stay as it is
        path = cgroup.dirs["cpu"]
        writes = writes + [Write("", "cpu", file, _text(f"{path}/{file}").strip()) for file in CPU_QUOTA_FILES]
    properties = limits(writes)
    if devices:
        properties += device_properties(expand(devices) + essential_device_rules())
    if properties:
        change_unit(unit, properties)


def complete(resources: Resources, cgroup: WritableCgroup, layout: Layout) -> None:
    """Fill in, on cgroup2, what is one value there with something that is to change."""
    if UNIFIED not in cgroup.dirs:
        return
    path = cgroup.dirs[UNIFIED]
    cpu = resources.cpu
    if cpu and "cpu" not in layout.controllers and bool(cpu.quota) != bool(cpu.period):
        quota, period = (_text(f"{path}/cpu.max").split() or ["max", str(CPU_PERIOD)])[:2]
        cpu.quota = cpu.quota or (-1 if quota == "max" else int(quota))
        cpu.period = cpu.period or int(period)
    memory = resources.memory
    if memory and "memory" not in layout.controllers and (memory.swap or 0) > 0 and not memory.limit:
        limit = _text(f"{path}/memory.max").strip()
        memory.limit = int(limit) if limit.isdigit() else None


def _text(path: str) -> str:
    """The file's content, "" if there is none."""
    try:
        return read_text(path)
    except FileNotFoundError:
        return ""
    except OSError as e:
        raise Error(f'cgroup: read "{path}": {reason(e)}') from e


def _device_writes(cgroup: WritableCgroup, resources: Resources) -> tuple[list[Write], list[Write]]:
    """What to write for linux.resources.devices on v1, and what would take it back."""
    current = _text(f"{cgroup.dirs['devices']}/devices.list")
    there, back = (
        [Write("linux.resources.devices", "devices", file, value) for file, value in lines]
        for lines in v1_changes(current, resources.devices)
    )
    return there, back


def save(cgroup: WritableCgroup, write: Write) -> Write | None:
    """What would bring the value back that a write replaces; None if it cannot be known."""
    if write.controller not in cgroup.dirs:
        return None
    for file in (write.file, *(write.otherwise or ())[:1]):
        try:
            text = read_text(f"{cgroup.dirs[write.controller]}/{file}")
        except FileNotFoundError:
            continue
        except OSError:
            return None
        value = former(file, text, write.value)
        return None if value is None else Write(write.property, write.controller, file, value)
    return None


def former(file: str, text: str, value: str) -> str | None:
    """What to write to a file, whose content was this text, to undo the write of `value`; None if nothing does."""
    lines = text.splitlines()
    first, *rest = value.split() or [""]
    if file in NO_LIMIT_OF_KEY and rest:
        return _line(lines, first) or f"{first} {NO_LIMIT_OF_KEY[file]}"
    if file in KEY_OF_VALUE and (line := _line(lines, KEY_OF_VALUE[file])):
        return line.split()[1]
    if len(lines) > 1:
        return _line(lines, first)
    return lines[0] if lines and lines[0] else "\n"  # an empty value is written as a line without one


def _line(lines: list[str], key: str) -> str | None:
    return next((line for line in lines if line.split()[:1] == [key]), None)


def _restore(cgroup: WritableCgroup, before: list[Write], back: list[Write]) -> str:
    """Write back what has changed; returns what that failed with, for the end of an error's text."""
    changed = [write for write in reversed(before) if save(cgroup, write) != write]
    try:
        cgroup.apply(changed + back)
    except Error as e:
        return f" (and not all is as before: {e})"
    return ""
