"""config-linux.md, "Control groups": limits, in the units of the cgroup files that they end in."""

from msgspec import field

from .base import I64, U16, U32, U64, Base


class DeviceCgroup(Base):
    """Allows or denies access to devices; no `type` is all of them, no `major` or `minor` is any number."""

    allow: bool
    type: str | None = None
    major: I64 | None = None
    minor: I64 | None = None
    access: str | None = None


class Memory(Base):
    """Limits in bytes, -1 for none; `swap` is memory and swap together, `swappiness` 0 to 100."""

    limit: I64 | None = None
    reservation: I64 | None = None
    swap: I64 | None = None
    kernel: I64 | None = None
    kernel_tcp: I64 | None = field(default=None, name="kernelTCP")
    swappiness: U64 | None = None
    disable_oom_killer: bool | None = field(default=None, name="disableOOMKiller")
    use_hierarchy: bool | None = None
    check_before_update: bool | None = None


class CPU(Base):
    """Times in microseconds; `cpus` and `mems` are lists like "0-3,7"."""

    shares: U64 | None = None
    quota: I64 | None = None
    burst: U64 | None = None
    period: U64 | None = None
    realtime_runtime: I64 | None = None
    realtime_period: U64 | None = None
    cpus: str | None = None
    mems: str | None = None
    idle: I64 | None = None


class Pids(Base):
    """Greatest number of tasks, -1 for no limit."""

    limit: I64 | None = None


class WeightDevice(Base):
    """Weight (10 to 1000) of one block device."""

    major: I64
    minor: I64
    weight: U16 | None = None
    leaf_weight: U16 | None = None


class ThrottleDevice(Base):
    """Greatest rate of one block device, in bytes or operations per second."""

    major: I64
    minor: I64
    rate: U64 = 0


class BlockIO(Base):
    """Weights (10 to 1000) and rates of block devices."""

    weight: U16 | None = None
    leaf_weight: U16 | None = None
    weight_device: list[WeightDevice] = []
    throttle_read_bps_device: list[ThrottleDevice] = []
    throttle_write_bps_device: list[ThrottleDevice] = []
    throttle_read_iops_device: list[ThrottleDevice] = field(default_factory=list, name="throttleReadIOPSDevice")
    throttle_write_iops_device: list[ThrottleDevice] = field(default_factory=list, name="throttleWriteIOPSDevice")


class HugepageLimit(Base):
    """Limit in bytes for pages of one size, like "2MB"."""

    page_size: str
    limit: U64


class InterfacePriority(Base):
    """Priority of the container's packets on one interface."""

    name: str
    priority: U32


class Network(Base):
    """Marks of the container's packets."""

    class_id: U32 | None = field(default=None, name="classID")
    priorities: list[InterfacePriority] = []


class Rdma(Base):
    """Limits of one RDMA device."""

    hca_handles: U32 | None = None
    hca_objects: U32 | None = None


class Resources(Base):
    """All limits; `unified` is cgroup v2 file name to content."""

    devices: list[DeviceCgroup] = []
    memory: Memory | None = None
    cpu: CPU | None = None
    pids: Pids | None = None
    block_io: BlockIO | None = field(default=None, name="blockIO")
    hugepage_limits: list[HugepageLimit] = []
    network: Network | None = None
    rdma: dict[str, Rdma] = {}
    unified: dict[str, str] = {}
