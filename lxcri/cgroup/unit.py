"""
linux.cgroupsPath and linux.resources as systemd has them (`--systemd-cgroup`): a unit, its slice and its properties.

The properties come of the very writes that the cgroup's files get, so unit and files agree: what systemd does not
know of it sets back when it applies its own (systemctl daemon-reload).
"""

from typing import Any

import msgspec

from ..errors import Error
from . import UNIFIED
from .devices import ALL, TYPES, Controller, DeviceRule, Numbers
from .resources import CPU_PERIOD
from .write import Write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from .layout import Layout

ANNOTATION = "org.systemd.property."
"""What annotations begin with that name a property of the unit; their values are texts of GVariants, as with runc."""

DEFAULT_SLICES = {"system": "system.slice", "user": "user.slice"}
DEFAULT_PREFIX = "lxcri"
NAME_MAX = 255
_NAME_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789:-_.\\@")

INFINITY = 2**64 - 1
SECOND = 1_000_000  # microseconds
QUOTA_STEP = SECOND // 100  # the units' files, which a reload reads, have whole percents of a CPU
WEIGHT_IDLE = 0  # CPUWeight=idle, since systemd 252
NUMBERS_MAX = 65536  # of CPUs and of nodes, far more than any kernel has
SUFFIXES = {letter: 1024**power for power, letter in enumerate("kmgtpe", 1)}


class UnitProperty(msgspec.Struct, frozen=True):
    """A property of a unit (org.freedesktop.systemd1(5)), with the D-Bus signature of its value."""

    name: str
    signature: str
    value: Any


class Unit(msgspec.Struct, frozen=True):
    """
    A unit of systemd.

    instance: of systemd, "system" or "user"
    path: its cgroup, from the root of that instance
    properties: those that it is made with, but PIDs
    annotations: the keys of those that some of them come from
    """

    instance: str
    name: str
    path: str
    properties: list[UnitProperty]
    annotations: list[str] = []

    @property
    def is_slice(self) -> bool:
        """Whether it is a slice, which takes its processes by files, not a scope, made with them."""
        return self.name.endswith(".slice")


def compile_unit(
    cgroups_path: str,
    id: str,
    instance: str,
    annotations: "Mapping[str, str]",
    writes: "Iterable[Write]",
    rules: "Sequence[DeviceRule] | None",
    layout: "Layout",
) -> Unit:
    """
    The unit for a container.

    cgroups_path: "slice:prefix:name", or empty for a scope "lxcri-ID.scope". An empty slice is system.slice, or,
        of a user's instance, user.slice. The unit is the scope "prefix-name.scope", or, if name ends in ".slice",
        that slice.
    rules: the device rules in their plain form; None where access to devices is not restricted

    Raises Error.
    """
    parent, prefix, name = _parts(cgroups_path, id)
    parent = parent or DEFAULT_SLICES[instance]
    path = slice_path(parent)
    if not name.endswith(".slice"):
        name = f"{prefix}-{name}.scope"
        _check_name(name)
        path += f"/{_cgroup_name(name)}"
        place = [UnitProperty("Slice", "s", parent), UnitProperty("Delegate", "b", True)]
    else:
        path = slice_path(name)
        place = [UnitProperty("Wants", "as", [parent])]
    accounting = ("Memory", "CPU", "IO" if layout.mode == "v2" else "BlockIO", "Tasks")
    properties = [
        UnitProperty("Description", "s", f"lxcri container {id}"),
        *place,
        UnitProperty("DefaultDependencies", "b", False),
        UnitProperty("CollectMode", "s", "inactive-or-failed"),
        *(UnitProperty(f"{what}Accounting", "b", True) for what in accounting),
        *limits(writes),
    ]
    if rules is not None:
        properties += device_properties(rules)
    annotated = {key: _annotated(key, text) for key, text in annotations.items() if key.startswith(ANNOTATION)}
    return Unit(instance, name, path, [*properties, *annotated.values()], list(annotated))


def _parts(cgroups_path: str, id: str) -> tuple[str, str, str]:
    if not cgroups_path:
        return "", DEFAULT_PREFIX, id
    parts = cgroups_path.split(":")
    if len(parts) != 3 or not parts[2]:
        raise Error(f'linux.cgroupsPath "{cgroups_path}": with --systemd-cgroup it has the form "slice:prefix:name"')
    return parts[0], parts[1], parts[2]


def slice_path(name: str) -> str:
    """
    The cgroup of a slice: "a-b.slice" lies in "a.slice", "-.slice" is the root (systemd.slice(5)).

    Raises Error.
    """
    stem = name.removesuffix(".slice")
    if stem == "-":
        return ""
    parts = stem.split("-")
    if stem == name or "" in parts:
        raise Error(f'linux.cgroupsPath: "{name}" is not the name of a slice')
    _check_name(name)
    names = ["-".join(parts[:end]) + ".slice" for end in range(1, len(parts) + 1)]
    return "".join(f"/{_cgroup_name(part)}" for part in names)


def _check_name(name: str) -> None:
    if len(name) > NAME_MAX or not _NAME_CHARACTERS.issuperset(name):
        raise Error(
            f'linux.cgroupsPath: "{name}" is no name of a unit: at most {NAME_MAX} letters, digits and : - _ . \\ @'
        )


CONTROLLERS = ("cpu", "cpuacct", "cpuset", "io", "blkio", "memory", "devices", "pids")


def _cgroup_name(name: str) -> str:
    """The directory of a unit: systemd marks names that could be those of a cgroup's own files."""
    reserved = name[0] in "_." or name.partition(".")[0] in ("cgroup", *CONTROLLERS)
    return f"_{name}" if reserved else name


def _amount(value: str) -> int:
    """A number, with the suffixes that the kernel takes, or no limit."""
    if value in ("max", "-1"):
        return INFINITY
    scale: int = SUFFIXES.get(value[-1:].lower(), 1)
    amount: int = int(value[:-1] if scale > 1 else value) * scale
    if not 0 <= amount < INFINITY:
        raise ValueError(value)
    return amount


def _to(name: str) -> "Callable[[Write], Iterator[UnitProperty]]":
    def convert(write: Write) -> "Iterator[UnitProperty]":
        yield UnitProperty(name, "t", _amount(write.value))

    return convert


def _quota(write: Write) -> "Iterator[UnitProperty]":
    quota, _, period = write.value.partition(" ")
    yield from quota_properties(quota, period)


def quota_properties(quota: str, period: str) -> "Iterator[UnitProperty]":
    """
    The properties for a quota in a period, in microseconds; the quota may be unlimited, the period absent.

    Raises ValueError.
    """
    microseconds = int(period or CPU_PERIOD)
    per_second = _amount(quota)
    if not 0 < microseconds < INFINITY:
        raise ValueError(period)
    if per_second != INFINITY:
        per_second = -(-per_second * SECOND // (microseconds * QUOTA_STEP)) * QUOTA_STEP
        if per_second >= INFINITY:
            raise ValueError(quota)
    yield UnitProperty("CPUQuotaPerSecUSec", "t", per_second)
    yield UnitProperty("CPUQuotaPeriodUSec", "t", microseconds)


def _idle(write: Write) -> "Iterator[UnitProperty]":
    if write.value == "1":
        yield UnitProperty("CPUWeight", "t", WEIGHT_IDLE)


def _io_weight(write: Write) -> "Iterator[UnitProperty]":
    """In terms of io.weight: systemd itself converts it for io.bfq.weight."""
    value = (write.otherwise or ("", write.value))[1].removeprefix("default ")
    if " " not in value:  # otherwise it is a device's
        yield UnitProperty("IOWeight", "t", _amount(value))


def _cpus(name: str) -> "Callable[[Write], Iterator[UnitProperty]]":
    def convert(write: Write) -> "Iterator[UnitProperty]":
        yield UnitProperty(name, "ay", mask(write.value))

    return convert


def mask(numbers: str) -> list[int]:
    """A list like "0-3,7" as bytes, the least bit of the first of which stands for 0; raises ValueError."""
    bits = 0
    for part in numbers.strip().split(",") if numbers.strip() else ():
        first, _, last = part.partition("-")
        start, end = int(first), int(last or first) + 1
        if not start < end <= NUMBERS_MAX:
            raise ValueError(part)
        bits |= (1 << end) - (1 << start)
    return list(bits.to_bytes((bits.bit_length() + 7) // 8, "little"))


V2: "dict[str, Callable[[Write], Iterator[UnitProperty]]]" = {
    "cpu.idle": _idle,
    "cpu.max": _quota,
    "cpu.weight": _to("CPUWeight"),
    "cpuset.cpus": _cpus("AllowedCPUs"),
    "cpuset.mems": _cpus("AllowedMemoryNodes"),
    "io.bfq.weight": _io_weight,
    "io.weight": _io_weight,
    "memory.high": _to("MemoryHigh"),
    "memory.low": _to("MemoryLow"),
    "memory.max": _to("MemoryMax"),
    "memory.min": _to("MemoryMin"),
    "memory.swap.max": _to("MemorySwapMax"),
    "pids.max": _to("TasksMax"),
}
"""The files of cgroup2 that systemd has properties for. It leaves the others as they are, limits of devices too."""

V1: "dict[str, Callable[[Write], Iterator[UnitProperty]]]" = {
    "blkio.weight": _to("BlockIOWeight"),
    "cpu.shares": _to("CPUShares"),
    "memory.limit_in_bytes": _to("MemoryLimit"),
    "pids.max": _to("TasksMax"),
}
"""Those of v1, but for CPU_QUOTA_FILES."""

CPU_QUOTA_FILES = ("cpu.cfs_quota_us", "cpu.cfs_period_us")
"""Two files of v1 that are one limit."""


def limits(writes: "Iterable[Write]") -> list[UnitProperty]:
    """The properties that say what these writes do; raises Error for a value that is no number."""
    found: dict[str, UnitProperty] = {}
    quota: dict[str, str] = {}
    for write in writes:
        if write.file in CPU_QUOTA_FILES:
            quota[write.file] = write.value
        table = V2 if write.controller == UNIFIED else V1
        if write.file in table:
            try:
                found.update({p.name: p for p in table[write.file](write)})
            except ValueError:
                raise Error(f'{write.property}: "{write.value}" is not understood, as a property of a unit') from None
    if quota:
        us, period = (quota.get(file, "") for file in CPU_QUOTA_FILES)
        try:
            found.update({p.name: p for p in quota_properties(us or "-1", period)})
        except ValueError:
            what = f"{us} microseconds in {period or CPU_PERIOD}"
            raise Error(f"linux.resources.cpu: {what} is not understood, as a property of a unit") from None
    return list(found.values())


GROUPS = {"b": "block", "c": "char"}


def left_to_files(writes: "Iterable[Write]") -> list[Write]:
    """The writes but those that systemd makes itself, in a way of its own: it converts IOWeight for io.bfq.weight."""
    return [write for write in writes if write.file != "io.bfq.weight" or " " in write.value]


def device_properties(rules: "Iterable[DeviceRule]") -> list[UnitProperty]:
    """
    At least what these rules allow: systemd has no more than a list of devices that are.

    The rules hold beside it: on cgroup2 both filters have to allow, v1's files are written after systemd's.
    """
    controller = Controller()
    try:
        for rule in rules:
            controller.add(rule)
    except Error:  # a list cannot hold these
        controller.default = dict.fromkeys(TYPES, True)
    allowed = {f"{GROUPS[kind]}-*": ALL for kind, default in controller.default.items() if default}
    for numbers, access in controller.exceptions.items():
        if not controller.default[numbers[0]]:
            specifier = _specifier(numbers)
            held = allowed.get(specifier, "") + access
            allowed[specifier] = "".join(letter for letter in ALL if letter in held)
    properties = [
        UnitProperty("DevicePolicy", "s", "auto" if all(controller.default.values()) else "strict"),
        UnitProperty("DeviceAllow", "a(ss)", []),  # or those to come are added to those that are there
    ]
    if not all(controller.default.values()):
        properties.append(UnitProperty("DeviceAllow", "a(ss)", list(allowed.items())))
    return properties


def _specifier(numbers: Numbers) -> str:
    """Devices as in systemd.resource-control(5), DeviceAllow=; of any major number all, as it knows no minor alone."""
    kind, major, minor = numbers
    if major is None:
        return f"{GROUPS[kind]}-*"
    return f"{GROUPS[kind]}-{major}" if minor is None else f"/dev/{GROUPS[kind]}/{major}:{minor}"


def _annotated(key: str, text: str) -> UnitProperty:
    from .gvariant import parse

    name = key.removeprefix(ANNOTATION)
    where = f'annotations["{key}"]'
    if len(name) < 3 or not (name.isascii() and name.isalpha()):
        raise Error(f"{where}: is no name of a unit's property")
    try:
        signature, value = parse(text)
    except ValueError as e:
        raise Error(f"{where}: {e}") from None
    if name.endswith("Sec") and not name.endswith("USec"):
        if signature not in "ynqiuxtd" or not 0 <= value < INFINITY // SECOND:
            raise Error(f"{where}: {text} is no time in seconds")
        return UnitProperty(f"{name.removesuffix('Sec')}USec", "t", int(value * SECOND))
    return UnitProperty(name, signature, value)
