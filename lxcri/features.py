"""What this runtime can do (features.md, features-linux.md), from the tables that the verbs themselves use."""

from __future__ import annotations

import lxcffi

from . import OCI_VERSION, __version__, seccomp
from .cgroup.resources import PROPERTIES
from .compile import capabilities, hooks, namespaces, options
from .compile.scheduling import MEMORY_FLAGS, MEMORY_MODES
from .errors import Error
from .spec.features import (
    CgroupFeatures,
    Enabled,
    Features,
    IntelRdtFeatures,
    LinuxFeatures,
    MemoryPolicyFeatures,
    MountExtensions,
    SeccompFeatures,
)

OCI_VERSION_MIN = "1.0.0"


def features() -> Features:
    """The whole document."""
    try:
        known = seccomp.support()
    except Error:
        known = None
    annotations = {
        "org.linuxcontainers.lxcri.version": __version__,
        "org.linuxcontainers.lxc.version": lxcffi.version(),
    }
    if known:
        annotations["io.github.seccomp.libseccomp.version"] = known.version
    return Features(
        oci_version_min=OCI_VERSION_MIN,
        oci_version_max=OCI_VERSION,
        hooks=list(hooks.KINDS),
        mount_options=mount_options(),
        linux=LinuxFeatures(
            namespaces=sorted(namespaces.TYPES),
            capabilities=list(capabilities.NUMBERS),
            cgroup=CgroupFeatures(
                v1=True,
                v2=True,
                systemd=True,
                systemd_user=True,
                rdma=any(row.name == "rdma" for row in PROPERTIES),
            ),
            seccomp=_seccomp(known),
            apparmor=Enabled(enabled=True),
            selinux=Enabled(enabled=True),
            intel_rdt=IntelRdtFeatures(enabled=True, schemata=True, monitoring=True),
            memory_policy=MemoryPolicyFeatures(modes=sorted(MEMORY_MODES), flags=sorted(MEMORY_FLAGS)),
            mount_extensions=MountExtensions(idmap=Enabled(enabled=True)),
            net_devices=Enabled(enabled=True),
        ),
        annotations=annotations,
        potentially_unsafe_config_annotations=[],  # no annotation of a container changes what lxcri does
    )


def mount_options() -> list[str]:
    """The options of mounts that are not the file system's own."""
    known = {*options.FLAGS, *options.RECURSIVE, *options.PROPAGATION, *options.BINDS, *options.NO_OPERATION}
    return sorted((known | {"tmpcopyup"} | set(options.ID_MAPS)) - {""})


def _seccomp(known: seccomp.Support | None) -> SeccompFeatures:
    if known is None:  # then no filter can be made
        return SeccompFeatures(enabled=False)
    return SeccompFeatures(
        enabled=True,
        actions=sorted(known.actions),
        operators=sorted(seccomp.OPERATORS),
        archs=sorted(known.architectures),
        known_flags=sorted(seccomp.FLAGS),
        supported_flags=sorted(known.flags),
    )
