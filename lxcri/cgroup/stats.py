"""
What a container uses, in the form that runc prints: one table from the files of cgroups to the fields.

Where a controller is decides, as for limits, between v1 and cgroup2: on a hybrid layout some may be on cgroup2.
"""

from __future__ import annotations

import posix
from errno import ENODEV, ENOENT

from ..errors import Error, reason
from . import UNIFIED, read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from .fs import Cgroup

    Read = Callable[["Directory"], Any]

NO_LIMIT = 2**64 - 1
"""What is printed for cgroup2's "max", where 0 would be a limit."""

NO_RDMA_LIMIT = 2**32 - 1
"""The same for rdma."""

MICROSECOND = 1000
"""Nanoseconds: the unit of all times here."""

TICK = 1_000_000_000 // posix.sysconf("SC_CLK_TCK")
"""The unit of cpuacct.stat, in nanoseconds."""


class Directory:
    """The files of one cgroup, each read once; one that is not there is empty."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._texts: dict[str, str] = {}

    def text(self, file: str) -> str:
        """The content; raises Error if a file is there and cannot be read."""
        if file not in self._texts:
            path = f"{self.path}/{file}"
            try:
                self._texts[file] = read_text(path)
            except OSError as e:
                # ENODEV: the cgroup was removed after the file was opened. Pressure: the kernel was booted without it.
                if e.errno not in (ENOENT, ENODEV) and not file.endswith(".pressure"):
                    raise Error(f'cgroup: read "{path}": {reason(e)}') from e
                self._texts[file] = ""
        return self._texts[file]

    def names(self) -> list[str]:
        """The names of the files, sorted; none if the cgroup is gone."""
        try:
            return sorted(posix.listdir(self.path))
        except FileNotFoundError:
            return []


def number(file: str, *, unlimited: int = 0, scale: int = 1) -> Read:
    """Read a file that is a number, or "max", which stands for `unlimited`."""

    def read(directory: Directory) -> int:
        text = directory.text(file).strip()
        return unlimited if text == "max" else int(text or "0") * scale

    return read


def keyed(file: str, key: str, *, scale: int = 1) -> Read:
    """Read the number behind a key in a file with a key and a number on each line."""

    def read(directory: Directory) -> int:
        values: dict[str, int] = table(file)(directory)
        return values.get(key, 0) * scale

    return read


def table(file: str) -> Read:
    """Read a file with a key and a number on each line, as a dict sorted by key."""

    def read(directory: Directory) -> dict[str, int]:
        pairs = (line.split() for line in directory.text(file).splitlines())
        return {pair[0]: int(pair[1]) for pair in sorted(pairs) if len(pair) == 2}

    return read


def total(*reads: Read) -> Read:
    """Add numbers; what is unlimited stays so."""

    def read(directory: Directory) -> int:
        numbers: list[int] = [one(directory) for one in reads]
        return min(sum(numbers), NO_LIMIT)

    return read


def numbers(file: str) -> Read:
    """Read a file that is a line of numbers."""

    def read(directory: Directory) -> list[int]:
        return [int(word) for word in directory.text(file).split()]

    return read


def column(file: str, index: int) -> Read:
    """Read one column of a file with titles."""

    def read(directory: Directory) -> list[int]:
        return [int(line.split()[index]) for line in directory.text(file).splitlines()[1:]]

    return read


def members(file: str) -> Read:
    """Read a list like 0-3,7 as its members."""

    def read(directory: Directory) -> list[int]:
        found: list[int] = []
        for part in directory.text(file).strip().split(","):
            if part:
                first, _, last = part.partition("-")
                found += range(int(first), int(last or first) + 1)
        return found

    return read


def devices(*files: str) -> Read:
    """Read, for each block device and operation, a number, from the first of these files that has any."""

    def read(directory: Directory) -> list[dict[str, Any]]:
        for file in files:
            entries = [_device(line.split()) for line in directory.text(file).splitlines() if ":" in line]
            if entries:
                return entries
        return []

    return read


def _device(words: list[str]) -> dict[str, Any]:
    """An entry for a line like "8:0 Read 4096" or "8:0 4096"."""
    major, minor = words[0].split(":")
    entry = {
        "major": int(major),
        "minor": int(minor),
        "op": words[1] if len(words) > 2 else "",
        "value": int(words[-1]),
    }
    return {name: value for name, value in entry.items() if value}


def device_keys(file: str, operations: dict[str, str]) -> Read:
    """Read keys of io.stat, whose lines are like "8:0 rbytes=4096 wbytes=0", each as an operation."""

    def read(directory: Directory) -> list[dict[str, Any]]:
        found = []
        for line in directory.text(file).splitlines():
            device, *pairs = line.split()
            values = dict(_split(pairs))
            found += [_device([device, name, values[key]]) for key, name in operations.items() if key in values]
        return found

    return read


def pressure(file: str) -> Read:
    """Read pressure stall information (Documentation/accounting/psi.rst)."""

    def read(directory: Directory) -> dict[str, dict[str, float]]:
        found: dict[str, dict[str, float]] = {}
        for line in directory.text(file).splitlines():
            kind, *pairs = line.split()
            found[kind] = {name: int(value) if name == "total" else float(value) for name, value in _split(pairs)}
        return found

    return read


def rdma(file: str) -> Read:
    """Read a file of rdma's, whose lines are like "mlx5_0 hca_handle=2 hca_object=max"."""

    def read(directory: Directory) -> list[dict[str, Any]]:
        found = []
        for line in directory.text(file).splitlines():
            device, *pairs = line.split()
            values = {name: NO_RDMA_LIMIT if value == "max" else int(value) for name, value in _split(pairs)}
            entry = {"device": device, "hca_handles": values["hca_handle"], "hca_objects": values["hca_object"]}
            found.append({name: value for name, value in entry.items() if value})
        return found

    return read


def _split(pairs: list[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, _, value in (pair.partition("=") for pair in pairs)]


def hugepages(rest: str, fields: dict[str, Callable[[str], Read]]) -> Read:
    """
    Read numbers for each size of huge pages: those that have a file hugetlb.SIZE with this rest.

    fields: how to read each one, by the beginning of the names of the files of one size
    """

    def read(directory: Directory) -> dict[str, dict[str, int]]:
        found = {}
        for name in directory.names():
            size = name.removeprefix("hugetlb.").removesuffix(rest)
            if f"hugetlb.{size}{rest}" == name and "." not in size:
                values = {field: how(f"hugetlb.{size}")(directory) for field, how in fields.items()}
                found[size] = {field: value for field, value in values.items() if value or field == "failcnt"}
        return found

    return read


class Field:
    """
    One field.

    path: names of the objects that it is in, and its own, with dots between them
    v1: controller, and how to read it
    v2: the same on cgroup2, where the controller only tells whether cgroup2 is in charge
    always: it is printed if it is 0, too
    """

    __slots__ = ("always", "controller", "path", "v1", "v2")

    def __init__(
        self, path: str, controller: str, v1: Read | None, v2: Read | None = None, *, always: bool = False
    ) -> None:
        self.path = path
        self.controller = controller
        self.v1 = v1
        self.v2 = v2
        self.always = always


def _cpuset(name: str, file: str) -> Field:
    return Field(f"cpuset.{name}", "cpuset", number(f"cpuset.{file}"), always=True)


def _memory_v1(name: str, start: str) -> list[Field]:
    return [
        Field(f"memory.{name}.limit", "memory", number(f"{start}.limit_in_bytes"), always=True),
        Field(f"memory.{name}.usage", "memory", number(f"{start}.usage_in_bytes")),
        Field(f"memory.{name}.max", "memory", number(f"{start}.max_usage_in_bytes")),
        Field(f"memory.{name}.failcnt", "memory", number(f"{start}.failcnt"), always=True),
    ]


def _memory(name: str, start: str, limit: Read, usage: Read, most: Read, failures: Read) -> list[Field]:
    fields = _memory_v1(name, start)
    for field, read in zip(fields, (limit, usage, most, failures), strict=True):
        field.v2 = read
    return fields


_LIMIT, _SWAP_LIMIT = (number(f"{start}.max", unlimited=NO_LIMIT) for start in ("memory", "memory.swap"))

_BFQ, _CFQ, _THROTTLE = "blkio.bfq.", "blkio.", "blkio.throttle."


def _blkio(name: str, *files: str, v2: Read | None = None) -> Field:
    return Field(f"blkio.{name}", "blkio", devices(*files), v2)


FIELDS = (
    Field("cpu.usage.total", "cpuacct", number("cpuacct.usage"), keyed("cpu.stat", "usage_usec", scale=MICROSECOND)),
    Field("cpu.usage.percpu", "cpuacct", numbers("cpuacct.usage_percpu")),
    Field("cpu.usage.percpu_kernel", "cpuacct", column("cpuacct.usage_all", 2)),
    Field("cpu.usage.percpu_user", "cpuacct", column("cpuacct.usage_all", 1)),
    Field(
        "cpu.usage.kernel",
        "cpuacct",
        keyed("cpuacct.stat", "system", scale=TICK),
        keyed("cpu.stat", "system_usec", scale=MICROSECOND),
        always=True,
    ),
    Field(
        "cpu.usage.user",
        "cpuacct",
        keyed("cpuacct.stat", "user", scale=TICK),
        keyed("cpu.stat", "user_usec", scale=MICROSECOND),
        always=True,
    ),
    Field("cpu.throttling.periods", "cpu", keyed("cpu.stat", "nr_periods"), keyed("cpu.stat", "nr_periods")),
    Field(
        "cpu.throttling.throttledPeriods", "cpu", keyed("cpu.stat", "nr_throttled"), keyed("cpu.stat", "nr_throttled")
    ),
    Field(
        "cpu.throttling.throttledTime",
        "cpu",
        keyed("cpu.stat", "throttled_time"),
        keyed("cpu.stat", "throttled_usec", scale=MICROSECOND),
    ),
    Field("cpu.psi", "cpu", None, pressure("cpu.pressure")),
    Field("cpuset.cpus", "cpuset", members("cpuset.cpus"), members("cpuset.cpus")),
    _cpuset("cpu_exclusive", "cpu_exclusive"),
    Field("cpuset.mems", "cpuset", members("cpuset.mems"), members("cpuset.mems")),
    _cpuset("mem_hardwall", "mem_hardwall"),
    _cpuset("mem_exclusive", "mem_exclusive"),
    _cpuset("memory_migrate", "memory_migrate"),
    _cpuset("memory_spread_page", "memory_spread_page"),
    _cpuset("memory_spread_slab", "memory_spread_slab"),
    _cpuset("memory_pressure", "memory_pressure"),
    _cpuset("sched_load_balance", "sched_load_balance"),
    _cpuset("sched_relax_domain_level", "sched_relax_domain_level"),
    Field("memory.cache", "memory", keyed("memory.stat", "cache"), keyed("memory.stat", "file")),
    *_memory(
        "usage",
        "memory",
        _LIMIT,
        number("memory.current"),
        number("memory.peak"),
        keyed("memory.events", "max"),
    ),
    # As on v1, the memory is part of it: cgroup2 counts swap alone.
    *_memory(
        "swap",
        "memory.memsw",
        total(_LIMIT, _SWAP_LIMIT),
        total(number("memory.current"), number("memory.swap.current")),
        number("memory.swap.peak"),
        keyed("memory.swap.events", "max"),
    ),
    *_memory_v1("kernel", "memory.kmem"),
    *_memory_v1("kernelTCP", "memory.kmem.tcp"),
    Field("memory.raw", "memory", table("memory.stat"), table("memory.stat")),
    Field("memory.psi", "memory", None, pressure("memory.pressure")),
    Field("pids.current", "pids", number("pids.current"), number("pids.current")),
    Field("pids.limit", "pids", number("pids.max"), number("pids.max")),
    _blkio(
        "ioServiceBytesRecursive",
        _BFQ + "io_service_bytes_recursive",
        _CFQ + "io_service_bytes_recursive",
        _THROTTLE + "io_service_bytes_recursive",
        _THROTTLE + "io_service_bytes",
        v2=device_keys("io.stat", {"rbytes": "Read", "wbytes": "Write"}),
    ),
    _blkio(
        "ioServicedRecursive",
        _BFQ + "io_serviced_recursive",
        _CFQ + "io_serviced_recursive",
        _THROTTLE + "io_serviced_recursive",
        _THROTTLE + "io_serviced",
        v2=device_keys("io.stat", {"rios": "Read", "wios": "Write"}),
    ),
    _blkio("ioQueueRecursive", _BFQ + "io_queued_recursive", _CFQ + "io_queued_recursive"),
    _blkio("ioServiceTimeRecursive", _BFQ + "io_service_time_recursive", _CFQ + "io_service_time_recursive"),
    _blkio("ioWaitTimeRecursive", _BFQ + "io_wait_time_recursive", _CFQ + "io_wait_time_recursive"),
    _blkio("ioMergedRecursive", _BFQ + "io_merged_recursive", _CFQ + "io_merged_recursive"),
    _blkio("ioTimeRecursive", _BFQ + "time_recursive", _CFQ + "time_recursive"),
    _blkio("sectorsRecursive", _BFQ + "sectors_recursive", _CFQ + "sectors_recursive"),
    Field("blkio.psi", "blkio", None, pressure("io.pressure")),
    Field(
        "hugetlb",
        "hugetlb",
        hugepages(
            ".usage_in_bytes",
            {
                "usage": lambda start: number(f"{start}.usage_in_bytes"),
                "max": lambda start: number(f"{start}.max_usage_in_bytes"),
                "failcnt": lambda start: number(f"{start}.failcnt"),
            },
        ),
        hugepages(
            ".current",
            {
                "usage": lambda start: number(f"{start}.current"),
                "failcnt": lambda start: keyed(f"{start}.events", "max"),
            },
        ),
        always=True,
    ),
    # As libcontainer's; runc itself does not print it.
    Field("rdma.rdma_limit", "rdma", rdma("rdma.max"), rdma("rdma.max")),
    Field("rdma.rdma_current", "rdma", rdma("rdma.current"), rdma("rdma.current")),
)
"""Every field that comes from a file, in the order in which runc prints them."""

OBJECTS = ("cpu.usage", "cpu.throttling", "cpuset", "memory", "pids", "blkio")
"""Objects that are there even if nothing is in them."""


def collect(cgroup: Cgroup) -> dict[str, Any]:
    """
    What the processes in a container's cgroup use, as runc's object "data"; raises Error.

    Times are in nanoseconds, sizes in bytes. Values that nobody counts on this machine are 0, or not there.
    """
    found: dict[str, Any] = {}
    for path in OBJECTS:
        _object(found, path)
    directories = {path: Directory(path) for path in cgroup.dirs.values()}
    for field in FIELDS:
        value = _value(field, cgroup, directories)
        if value or field.always:
            above, _, name = field.path.rpartition(".")
            _object(found, above)[name] = value
    found["intel_rdt"] = {}
    found["network_interfaces"] = None  # runc's: those of the host that it made itself, which are none
    return found


def _value(field: Field, cgroup: Cgroup, directories: dict[str, Directory]) -> Any:
    nothing: Any = {} if field.path == "hugetlb" else 0
    if field.controller in cgroup.dirs:
        return field.v1(directories[cgroup.dirs[field.controller]]) if field.v1 else nothing
    if field.v2 and UNIFIED in cgroup.dirs:
        return field.v2(directories[cgroup.dirs[UNIFIED]])
    return nothing


def _object(found: dict[str, Any], path: str) -> dict[str, Any]:
    for name in path.split(".") if path else ():
        found = found.setdefault(name, {})
    return found
