"""
linux.resources: what to write to which file of the container's cgroup (config-linux.md, "Control groups").

One table for v1 and cgroup2. Which of the two holds for a property is decided by where its controller is: on
a hybrid layout some may be on cgroup2.
"""

import msgspec

from ..errors import Error
from . import UNIFIED
from .devices import DeviceRule, allows_all, essential_device_rules, expand, v1_lines
from .write import Write

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from ..spec import Resources
    from .layout import Layout

NO_VALUE = 2**64 - 1  # docker's -1 in an unsigned property
UNLIMITED = "-1"

CPU_PERIOD = 100_000  # microseconds; the kernel's own
SHARES_MIN, SHARES_MAX = 2, 262_144
WEIGHT_MIN, WEIGHT_MAX = 10, 1000
SWAPPINESS_MAX = 100


class Step(msgspec.Struct):
    """One write, without its place: `suffix` is added to the property's name."""

    file: str
    value: str
    suffix: str = ""
    optional: bool = False
    otherwise: tuple[str, str] | None = None
    ceiling: str = ""


class To:
    """
    Where a property goes in one version of cgroups.

    controller: that must be there
    convert: a file's name, for the value as it is; or a function of the value and of the object that the
        property is in, that returns Steps, or raises ValueError
    early: as in Write
    optional: as in Write
    """

    def __init__(
        self,
        controller: str,
        convert: "str | Callable[[Any, Any], Iterable[Step]]",
        *,
        early: bool = False,
        optional: bool = False,
    ) -> None:
        self.controller = controller
        self.convert = convert
        self.early = early
        self.optional = optional

    def steps(self, value: object, section: object) -> "Iterable[Step]":
        """Raises ValueError."""
        if isinstance(self.convert, str):
            return (Step(self.convert, str(value), optional=self.optional),)
        return self.convert(value, section)


class Without:
    """A property that a version of cgroups does not have: ignored for this reason, or refused."""

    def __init__(self, reason: str, *, refused: bool = False) -> None:
        self.reason = reason
        self.refused = refused


NOTHING = Without("")
"""There is nothing to write: it always holds, or goes with another property."""


class Property:
    """
    A row of the table.

    name: below linux.resources, in the document's words
    zero: whether 0 is a value; elsewhere it is the same as nothing, as engines write it and runc reads it
    """

    def __init__(self, name: str, v1: To | Without, v2: To | Without, *, zero: bool = False) -> None:
        self.name = name
        self.v1 = v1
        self.v2 = v2
        self.zero = zero


def _max(value: int) -> str:
    return "max" if value == -1 else str(value)


def _pids(value: int, _: object) -> "Iterator[Step]":
    yield Step("pids.max", str(value) if value > 0 else "max")  # docker's and runc's "unlimited" is any negative


def _v1_shares(value: int, _: object) -> "Iterator[Step]":
    if not SHARES_MIN <= value <= SHARES_MAX:  # the kernel would cut it
        raise ValueError(f"{value} is not in {SHARES_MIN} to {SHARES_MAX}")
    yield Step("cpu.shares", str(value))


def shares_to_weight(shares: int) -> int:
    """
    cpu.weight (1 to 10000) for cpu.shares (2 to 262144, or the nearest of these): a parabola of the
    logarithms through the smallest, the default (1024, 100) and the greatest of both, as in runc since 1.3.2.
    """
    from math import ceil, log2

    power = log2(min(max(shares, SHARES_MIN), SHARES_MAX))
    # Rounded before ceil, or the error of floating-point numbers makes 101 of 100.
    return ceil(round(10 ** ((power * power + 125 * power - 126) / 612), 9))


def _v2_shares(value: int, _: object) -> "Iterator[Step]":
    yield Step("cpu.weight", str(shares_to_weight(value)))


def _v2_quota(value: int, cpu: "Any") -> "Iterator[Step]":
    yield Step("cpu.max", f"{value if value > 0 else 'max'} {cpu.period or CPU_PERIOD}")


def _v2_period(value: int, cpu: "Any") -> "Iterator[Step]":
    if not cpu.quota:  # otherwise it is written with the quota
        yield Step("cpu.max", f"max {value}")


def _v1_limit(value: int, memory: "Any") -> "Iterator[Step]":
    file = "memory.limit_in_bytes"
    if value == -1 and not memory.swap:
        # A limit for memory and swap together must go with it; a kernel that does not account swap has none.
        yield Step("memory.memsw.limit_in_bytes", UNLIMITED, otherwise=(file, str(value)))
    yield Step(file, str(value))


def _v2_limit(value: int, memory: "Any") -> "Iterator[Step]":
    # v1 refuses a limit below what is in use, cgroup2 kills for it.
    ceiling = "memory.current" if memory.check_before_update and value > 0 else ""
    yield Step("memory.max", _max(value), ceiling=ceiling)
    if value == -1 and not memory.swap:  # as on v1, where the kernel wants it
        yield Step("memory.swap.max", "max", optional=True)


def _v2_reservation(value: int, _: object) -> "Iterator[Step]":
    yield Step("memory.low", _max(value))


def _check_swap(value: int, memory: "Any") -> None:
    if value < -1:
        raise ValueError(f"{value} is no size")
    if value > 0 and memory.limit and memory.limit > value:
        raise ValueError(f"{value} is less than memory.limit, {memory.limit}, which it includes")


def _v1_swap(value: int, memory: "Any") -> "Iterator[Step]":
    _check_swap(value, memory)
    yield Step("memory.memsw.limit_in_bytes", str(value))


def _v2_swap(value: int, memory: "Any") -> "Iterator[Step]":
    _check_swap(value, memory)
    if value == -1:
        limit = "max"
    elif not memory.limit or memory.limit < 0:
        raise ValueError("needs memory.limit, which it includes")
    else:
        limit = str(value - memory.limit)
    # Without the file swap is not counted, or there is none.
    yield Step("memory.swap.max", limit, optional=limit in ("0", "max"))


def _swappiness(value: int, _: object) -> "Iterator[Step]":
    if value == NO_VALUE:
        return
    if value > SWAPPINESS_MAX:
        raise ValueError(f"{value} is not in 0 to {SWAPPINESS_MAX}")
    yield Step("memory.swappiness", str(value))


def _oom_control(_value: bool, _: object) -> "Iterator[Step]":
    yield Step("memory.oom_control", "1")


def _weight(value: int) -> int:
    if not WEIGHT_MIN <= value <= WEIGHT_MAX:
        raise ValueError(f"{value} is not in {WEIGHT_MIN} to {WEIGHT_MAX}")
    return value


def _io_weight(weight: int) -> int:
    """io.weight (1 to 10000) for blkio.weight (10 to 1000)."""
    return 1 + (weight - WEIGHT_MIN) * 9999 // (WEIGHT_MAX - WEIGHT_MIN)


def _v1_weight(value: int, _: object) -> "Iterator[Step]":
    weight = str(_weight(value))
    yield Step("blkio.weight", weight, otherwise=("blkio.bfq.weight", weight))


def _v2_weight(value: int, _: object) -> "Iterator[Step]":
    weight = _weight(value)
    yield Step("io.bfq.weight", str(weight), otherwise=("io.weight", str(_io_weight(weight))))


def _v1_leaf_weight(value: int, _: object) -> "Iterator[Step]":
    yield Step("blkio.leaf_weight", str(_weight(value)))


def _v1_weight_device(devices: "Any", _: object) -> "Iterator[Step]":
    for i, device in enumerate(devices):
        number = f"{device.major}:{device.minor}"
        if device.weight:
            value = f"{number} {_weight(device.weight)}"
            yield Step("blkio.weight_device", value, f"[{i}].weight", otherwise=("blkio.bfq.weight_device", value))
        if device.leaf_weight:
            value = f"{number} {_weight(device.leaf_weight)}"
            yield Step("blkio.leaf_weight_device", value, f"[{i}].leafWeight")


def _v2_weight_device(devices: "Any", _: object) -> "Iterator[Step]":
    for i, device in enumerate(devices):
        number = f"{device.major}:{device.minor}"
        if device.leaf_weight:
            raise ValueError("cgroup2 has no leafWeight")
        if device.weight:
            weight = _weight(device.weight)
            otherwise = ("io.weight", f"{number} {_io_weight(weight)}")
            yield Step("io.bfq.weight", f"{number} {weight}", f"[{i}].weight", otherwise=otherwise)


def _v1_throttle(file: str) -> To:
    def convert(devices: "Any", _: object) -> "Iterator[Step]":
        for i, device in enumerate(devices):
            yield Step(file, f"{device.major}:{device.minor} {device.rate}", f"[{i}]")

    return To("blkio", convert)


def _v2_throttle(key: str) -> To:
    def convert(devices: "Any", _: object) -> "Iterator[Step]":
        for i, device in enumerate(devices):
            rate = device.rate or "max"  # 0 takes a limit away on v1
            yield Step("io.max", f"{device.major}:{device.minor} {key}={rate}", f"[{i}]")

    return To("io", convert)


def _hugepages(limit: str) -> To:
    def convert(limits: "Any", _: object) -> "Iterator[Step]":
        for i, huge in enumerate(limits):
            if not (huge.page_size.isascii() and huge.page_size.isalnum()):
                raise ValueError(f'"{huge.page_size}" is no page size')
            for file in (f"hugetlb.{huge.page_size}.{limit}", f"hugetlb.{huge.page_size}.rsvd.{limit}"):
                yield Step(file, str(huge.limit), f"[{i}]", optional=".rsvd." in file)

    return To("hugetlb", convert)


def _priorities(priorities: "Any", _: object) -> "Iterator[Step]":
    for i, interface in enumerate(priorities):
        yield Step("net_prio.ifpriomap", f"{interface.name} {interface.priority}", f"[{i}]")


def _rdma(devices: "Any", _: object) -> "Iterator[Step]":
    for name, limits in devices.items():
        pairs = (("hca_handle", limits.hca_handles), ("hca_object", limits.hca_objects))
        values = [f"{key}={value}" for key, value in pairs if value is not None]
        if values:
            yield Step("rdma.max", " ".join([name, *values]), f'["{name}"]')


_NO_KERNEL_LIMIT = Without("cgroup2 has no limit for it, it counts as memory")

PROPERTIES = (
    Property("cpu.cpus", To("cpuset", "cpuset.cpus", early=True), To("cpuset", "cpuset.cpus")),
    Property("cpu.mems", To("cpuset", "cpuset.mems", early=True), To("cpuset", "cpuset.mems")),
    Property(
        "cpu.realtimePeriod",
        To("cpu", "cpu.rt_period_us", early=True),
        Without("cgroup2 has no realtime limits", refused=True),
    ),
    Property(
        "cpu.realtimeRuntime",
        To("cpu", "cpu.rt_runtime_us", early=True),
        Without("cgroup2 has no realtime limits", refused=True),
    ),
    Property("cpu.shares", To("cpu", _v1_shares), To("cpu", _v2_shares)),
    Property("cpu.period", To("cpu", "cpu.cfs_period_us"), To("cpu", _v2_period)),
    Property("cpu.quota", To("cpu", "cpu.cfs_quota_us"), To("cpu", _v2_quota)),
    Property("cpu.burst", To("cpu", "cpu.cfs_burst_us"), To("cpu", "cpu.max.burst"), zero=True),
    Property("cpu.idle", To("cpu", "cpu.idle"), To("cpu", "cpu.idle"), zero=True),
    Property("memory.limit", To("memory", _v1_limit), To("memory", _v2_limit)),
    Property("memory.swap", To("memory", _v1_swap), To("memory", _v2_swap)),
    Property("memory.reservation", To("memory", "memory.soft_limit_in_bytes"), To("memory", _v2_reservation)),
    Property("memory.kernel", To("memory", "memory.kmem.limit_in_bytes", optional=True), _NO_KERNEL_LIMIT),
    Property("memory.kernelTCP", To("memory", "memory.kmem.tcp.limit_in_bytes", optional=True), _NO_KERNEL_LIMIT),
    Property(
        "memory.swappiness",
        To("memory", _swappiness),
        Without("cgroup2 has no swappiness", refused=True),
        zero=True,
    ),
    Property(
        "memory.disableOOMKiller",
        To("memory", _oom_control),
        Without("cgroup2 cannot switch the OOM killer off"),
    ),
    Property("memory.useHierarchy", NOTHING, NOTHING),
    Property("memory.checkBeforeUpdate", NOTHING, NOTHING),
    Property("pids.limit", To("pids", _pids), To("pids", _pids)),
    Property("blockIO.weight", To("blkio", _v1_weight), To("io", _v2_weight)),
    Property("blockIO.leafWeight", To("blkio", _v1_leaf_weight), Without("cgroup2 has no leafWeight", refused=True)),
    Property("blockIO.weightDevice", To("blkio", _v1_weight_device), To("io", _v2_weight_device)),
    Property("blockIO.throttleReadBpsDevice", _v1_throttle("blkio.throttle.read_bps_device"), _v2_throttle("rbps")),
    Property(
        "blockIO.throttleWriteBpsDevice",
        _v1_throttle("blkio.throttle.write_bps_device"),
        _v2_throttle("wbps"),
    ),
    Property(
        "blockIO.throttleReadIOPSDevice",
        _v1_throttle("blkio.throttle.read_iops_device"),
        _v2_throttle("riops"),
    ),
    Property(
        "blockIO.throttleWriteIOPSDevice",
        _v1_throttle("blkio.throttle.write_iops_device"),
        _v2_throttle("wiops"),
    ),
    Property("hugepageLimits", _hugepages("limit_in_bytes"), _hugepages("max")),
    Property(
        "network.classID",
        To("net_cls", "net_cls.classid"),
        Without("cgroup2 has no net_cls", refused=True),
    ),
    Property(
        "network.priorities",
        To("net_prio", _priorities),
        Without("cgroup2 has no net_prio", refused=True),
    ),
    Property("rdma", To("rdma", _rdma), To("rdma", _rdma)),
)
"""Every property of linux.resources but devices and unified, in the order in which they are written."""


def _attribute(struct: msgspec.Struct, name: str) -> str:
    return struct.__struct_fields__[struct.__struct_encode_fields__.index(name)]


def _given(resources: "Resources", row: Property) -> "tuple[Any, Any] | None":
    """The property's value, and the object that holds it; None where the spec says nothing."""
    section: Any = resources
    first, _, second = row.name.partition(".")
    value = getattr(resources, _attribute(resources, first))
    if second and value is not None:
        section = value
        value = getattr(section, _attribute(section, second))
    if value is None or not (value or row.zero):
        return None
    return value, section


def _target(row: Property, layout: "Layout") -> tuple[str, To | Without]:
    """The hierarchy (a key of Cgroup.dirs) and what to write there."""
    if isinstance(row.v1, To) and row.v1.controller in layout.controllers:
        return row.v1.controller, row.v1
    if isinstance(row.v2, To):
        if row.v2.controller in layout.unified_controllers:
            return UNIFIED, row.v2
    elif layout.mode == "v2" or isinstance(row.v1, Without):
        return UNIFIED, row.v2
    wanted = row.v2 if layout.mode == "v2" else row.v1
    assert isinstance(wanted, To)
    raise Error(f"linux.resources.{row.name}: the controller {wanted.controller} is not available")


def compile_resources(
    resources: "Resources",
    layout: "Layout",
    *,
    devices: bool = True,
    warn: "Callable[[str], object] | None" = None,
) -> list[Write]:
    """
    What to write for these limits.

    devices: off means that access to devices is not restricted
    warn: called with a sentence for each property that is ignored

    Raises Error that names the property where a value is out of its range, or cannot be had on this layout.
    """
    writes = []
    for row in PROPERTIES:
        given = _given(resources, row)
        if given is None:
            continue
        key, target = _target(row, layout)
        name = f"linux.resources.{row.name}"
        if isinstance(target, Without):
            if target.refused:
                raise Error(f"{name}: {target.reason}")
            if warn and target.reason:
                warn(f"{name} is ignored: {target.reason}")
            continue
        try:
            writes += [
                Write(
                    name + step.suffix,
                    key,
                    step.file,
                    step.value,
                    target.early,
                    step.optional,
                    step.otherwise,
                    step.ceiling,
                )
                for step in target.steps(*given)
            ]
        except ValueError as e:
            raise Error(f"{name}: {e}") from None
    writes += _unified(resources.unified, layout)
    if devices and "devices" in layout.controllers:
        writes += [Write("linux.resources.devices", "devices", *line) for line in v1_lines(resources.devices)]
    return writes


def device_filter(resources: "Resources", layout: "Layout") -> list[DeviceRule] | None:
    """
    The rules for cgroup2, which has no controller with files for devices; None where v1's is, or all is allowed.

    Raises Error that names the rule, or if a device is denied and there is neither.
    """
    if "devices" in layout.controllers:
        return None
    rules = expand(resources.devices)
    if layout.unified is None:
        if all(rule.allow for rule in rules):
            return None
        raise Error("linux.resources.devices: the controller devices is not available")
    rules += essential_device_rules()
    return None if allows_all(rules) else rules


def _unified(unified: dict[str, str], layout: "Layout") -> "Iterator[Write]":
    if unified and layout.mode != "v2":
        raise Error(f"linux.resources.unified: needs a host with cgroup2 alone, this one's layout is {layout.mode}")
    for file, value in unified.items():
        name = f'linux.resources.unified["{file}"]'
        controller, dot, _ = file.partition(".")
        if "/" in file or not dot:
            raise Error(f"{name}: is no name of a cgroup's file")
        if controller not in layout.unified_controllers | {"cgroup"}:
            raise Error(f"{name}: the controller {controller} is not available")
        for line in value.splitlines():  # io.max takes one device in a write
            yield Write(name, UNIFIED, file, line)
