"""config-linux.md: namespaces, devices and the rest of the `linux` property."""

from msgspec import field

from .base import I64, U32, Base
from .resources import Resources
from .seccomp import Seccomp


class IDMapping(Base):
    """`size` ids from `container_id` on are those from `host_id` on outside."""

    container_id: U32 = field(name="containerID")
    host_id: U32 = field(name="hostID")
    size: U32


class Namespace(Base):
    """A new namespace of this type, or the existing one at `path`."""

    type: str
    path: str | None = None


class Device(Base):
    """A device node; `type` is "c", "u", "b" or "p"; engines set the file type's bits in `file_mode` too."""

    type: str
    path: str
    major: I64 = 0
    minor: I64 = 0
    file_mode: U32 | None = None
    uid: U32 | None = None
    gid: U32 | None = None


class NetDevice(Base):
    """A host network device to move into the container, and its name there."""

    name: str | None = None


class TimeOffset(Base):
    """Offset of one clock of a time namespace."""

    secs: I64 = 0
    nanosecs: U32 = 0


class IntelRdt(Base):
    """Resource control groups of resctrl."""

    clos_id: str | None = field(default=None, name="closID")
    schemata: list[str] = []
    l3_cache_schema: str | None = None
    mem_bw_schema: str | None = None
    enable_monitoring: bool = False


class MemoryPolicy(Base):
    """What set_mempolicy(2) takes; `nodes` is a list like "0-3,7"."""

    mode: str
    nodes: str | None = None
    flags: list[str] = []


class Personality(Base):
    """Execution domain, "LINUX" or "LINUX32"; no flags are defined yet."""

    domain: str
    flags: list[str] = []


class Linux(Base):
    """The `linux` property; `time_offsets` is by clock, "boottime" or "monotonic"."""

    namespaces: list[Namespace] = []
    uid_mappings: list[IDMapping] = []
    gid_mappings: list[IDMapping] = []
    time_offsets: dict[str, TimeOffset] = {}
    devices: list[Device] = []
    net_devices: dict[str, NetDevice] = {}
    cgroups_path: str | None = None
    resources: Resources | None = None
    intel_rdt: IntelRdt | None = None
    memory_policy: MemoryPolicy | None = None
    sysctl: dict[str, str] = {}
    seccomp: Seccomp | None = None
    rootfs_propagation: str | None = None
    masked_paths: list[str] = []
    readonly_paths: list[str] = []
    mount_label: str | None = None
    personality: Personality | None = None
