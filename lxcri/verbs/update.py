"""`update`: change the limits of a container."""

from __future__ import annotations

import posix

from ..cgroup.layout import detect
from ..cgroup.update import update
from ..cgroup.writable import WritableCgroup
from ..errors import Error, reason
from ..spec import CPU, BlockIO, IntelRdt, Memory, Pids, Resources, decode_resources
from ..spec.base import U64_MAX
from ..state import Entry, open_init

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..context import Context
    from ..resctrl import Group
    from ..state import State

UNITS = {letter: 1024**power for power, letter in enumerate("kmgtp", 1)}

I64_MAX = 2**63 - 1
DIGITS_MAX = 20


def run(
    ctx: Context,
    *,
    id: str,
    resources: str | None,
    blkio_weight: str | None,
    cpu_period: str | None,
    cpu_quota: str | None,
    cpu_burst: str | None,
    cpu_share: str | None,
    cpu_rt_period: str | None,
    cpu_rt_runtime: str | None,
    cpuset_cpus: str | None,
    cpuset_mems: str | None,
    cpu_idle: str | None,
    kernel_memory: str | None,
    kernel_memory_tcp: str | None,
    memory: str | None,
    memory_reservation: str | None,
    memory_swap: str | None,
    pids_limit: str | None,
    l3_cache_schema: str | None,
    mem_bw_schema: str | None,
) -> int:
    """
    Change limits: those of a file with linux.resources, "-" for standard input, or those of the options.

    Raises Error if the container does not run, or if one of them is refused; then nothing has changed.
    """
    if resources:
        wanted = read_resources(resources)
    else:
        wanted = Resources(
            memory=Memory(
                limit=size("memory", memory),
                reservation=size("memory-reservation", memory_reservation),
                swap=size("memory-swap", memory_swap),
                kernel=size("kernel-memory", kernel_memory),
                kernel_tcp=size("kernel-memory-tcp", kernel_memory_tcp),
            ),
            cpu=CPU(
                shares=number("cpu-share", cpu_share, 0, U64_MAX),
                quota=number("cpu-quota", cpu_quota, -I64_MAX, I64_MAX),
                burst=number("cpu-burst", cpu_burst, 0, U64_MAX),
                period=number("cpu-period", cpu_period, 0, U64_MAX),
                realtime_runtime=number("cpu-rt-runtime", cpu_rt_runtime, -I64_MAX, I64_MAX),
                realtime_period=number("cpu-rt-period", cpu_rt_period, 0, U64_MAX),
                cpus=cpuset_cpus,
                mems=cpuset_mems,
                idle=number("cpu-idle", cpu_idle, -I64_MAX, I64_MAX),
            ),
            pids=Pids(limit=number("pids-limit", pids_limit, -I64_MAX, I64_MAX)),
            block_io=BlockIO(weight=number("blkio-weight", blkio_weight, 0, 0xFFFF)),
        )
    with Entry.open(ctx.root, id) as entry:
        entry.lock()
        state = entry.load()
        init = open_init(state) if state else None
        if state is None or init is None:
            raise Error("container not running")
        posix.close(init)
        if not state.cgroup:
            raise Error("the container has no cgroup")
        devices = ctx.cgroup_devices is not False
        cgroup = WritableCgroup.from_record(state.cgroup)
        group = None
        try:
            if l3_cache_schema or mem_bw_schema:
                rdt = IntelRdt(l3_cache_schema=l3_cache_schema, mem_bw_schema=mem_bw_schema)
                group = change_class(entry, state, rdt, ctx.log.warn)
                if group.owned != state.resctrl:
                    keep_class(entry, state, group)
                    group.place_all(cgroup.pids)
            update(cgroup, wanted, detect(), devices=devices, warn=ctx.log.warn, unit=state.unit)
        except BaseException:
            if group:
                group.undo()
                keep_class(entry, state, group)
            raise
    return 0


def change_class(entry: Entry, state: State, rdt: IntelRdt, warn: Callable[[str], object]) -> Group:
    """Change the container's shares of caches and memory bandwidth, in a new class if it has none; raises Error."""
    from ..compile.intel_rdt import check_intel_rdt
    from ..resctrl import Group, mounted
    from ..spec import decode_config

    check_intel_rdt(rdt, warn)
    linux = decode_config(entry.read("config.json")).linux
    return Group.change(rdt, linux.intel_rdt if linux else None, state.resctrl, state.id, mounted())


def keep_class(entry: Entry, state: State, group: Group) -> None:
    """Record what is to be removed with the container."""
    state.resctrl = group.owned
    entry.save(state)


def read_resources(path: str) -> Resources:
    """The limits in a file, or on standard input; raises Error."""
    fd = -1
    try:
        fd = 0 if path == "-" else posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
        data = b""
        while chunk := posix.read(fd, 65536):
            data += chunk
    except OSError as e:
        raise Error(f"--resources {path}: {reason(e)}") from e
    finally:
        if fd > 0:
            posix.close(fd)
    return decode_resources(data, f"--resources {path}")


def number(option: str, text: str | None, least: int, most: int) -> int | None:
    """The value of an option that is a decimal number; raises Error."""
    if text is None:
        return None
    if not _is_decimal(text.removeprefix("-")):
        raise Error(f'--{option}: "{text}" is not a number')
    return _in_range(option, int(text), least, most)


def size(option: str, text: str | None) -> int | None:
    """The value of an option in bytes, which may be written like 64M or 1.5GiB, or -1; raises Error."""
    if text is None:
        return None
    if text == "-1":
        return -1
    digits = text
    for letters in ("bB", "iI"):
        digits = digits[:-1] if digits[-1:] in tuple(letters) else digits
    scale = UNITS.get(digits[-1:].lower(), 1)
    digits = (digits[:-1] if scale > 1 else digits).removesuffix(" ")
    whole, dot, fraction = digits.partition(".")
    if not _is_decimal(whole) or (dot and not _is_decimal(fraction)):
        raise Error(f'--{option}: "{text}" is not a size like 64M')
    return _in_range(option, int(float(digits) * scale) if dot else int(whole) * scale, 0, I64_MAX)


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= DIGITS_MAX


def _in_range(option: str, value: int, least: int, most: int) -> int:
    if not least <= value <= most:
        raise Error(f"--{option}: {value} is not in {least} to {most}")
    return value
