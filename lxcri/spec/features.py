"""features.md and features-linux.md. A property that is None says "unknown"; an empty list says "none"."""

from .base import Base


class Enabled(Base):
    """A part of the specification that is implemented or not, whatever the host can do."""

    enabled: bool | None = None


class CgroupFeatures(Base):
    """Cgroup versions, managers and controllers."""

    v1: bool | None = None
    v2: bool | None = None
    systemd: bool | None = None
    systemd_user: bool | None = None
    rdma: bool | None = None


class SeccompFeatures(Base):
    """Names known in linux.seccomp; `supported_flags` are those that kernel and libseccomp can do too."""

    enabled: bool | None = None
    actions: list[str] | None = None
    operators: list[str] | None = None
    archs: list[str] | None = None
    known_flags: list[str] | None = None
    supported_flags: list[str] | None = None


class IntelRdtFeatures(Base):
    """Whether linux.intelRdt, its `schemata` and its `enableMonitoring` are implemented."""

    enabled: bool | None = None
    schemata: bool | None = None
    monitoring: bool | None = None


class MemoryPolicyFeatures(Base):
    """Names known in linux.memoryPolicy."""

    modes: list[str] | None = None
    flags: list[str] | None = None


class MountExtensions(Base):
    """Extensions of mounts: id-mapped ones."""

    idmap: Enabled | None = None


class LinuxFeatures(Base):
    """What of the Linux part is implemented."""

    namespaces: list[str] | None = None
    capabilities: list[str] | None = None
    cgroup: CgroupFeatures | None = None
    seccomp: SeccompFeatures | None = None
    apparmor: Enabled | None = None
    selinux: Enabled | None = None
    intel_rdt: IntelRdtFeatures | None = None
    memory_policy: MemoryPolicyFeatures | None = None
    mount_extensions: MountExtensions | None = None
    net_devices: Enabled | None = None


class Features(Base):
    """What this runtime implements."""

    oci_version_min: str
    oci_version_max: str
    hooks: list[str] | None = None
    mount_options: list[str] | None = None
    linux: LinuxFeatures | None = None
    annotations: dict[str, str] = {}
    potentially_unsafe_config_annotations: list[str] | None = None
