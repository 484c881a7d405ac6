"""`spec`: write a config.json to start from."""

from __future__ import annotations

import json
import os

from .. import OCI_VERSION
from ..errors import Error, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..context import Context
    from ..spec import IDMapping

CONFIG = "config.json"

CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"]

MASKED_PATHS = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/scsi",
    "/proc/sched_debug",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
]

READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]


def run(ctx: Context, *, bundle: str, rootless: bool) -> int:  # noqa: ARG001 (every verb gets it)
    """Write config.json into the bundle; raises Error if there is one."""
    path = os.path.join(bundle, CONFIG)
    config = starting_point(unified=os.path.exists("/sys/fs/cgroup/cgroup.controllers"))
    if rootless:
        from ..rootless import own_mappings

        make_rootless(config, *own_mappings(os.geteuid(), os.getegid()))
    try:
        with open(path, "x", encoding="utf-8") as file:
            json.dump(config, file, indent="\t")
            file.write("\n")
    except FileExistsError:
        raise Error(f"{path} exists: remove it first") from None
    except OSError as e:
        raise Error(f"{path}: {reason(e)}") from e
    return 0


def starting_point(*, unified: bool) -> dict[str, Any]:
    """The configuration of a container that runs `sh`, with the usual mounts and few rights."""
    namespaces = ["pid", "network", "ipc", "uts", "mount"]
    if unified:
        namespaces.append("cgroup")  # without it, the cgroup mount shows the container's place in the host's tree
    return {
        "ociVersion": OCI_VERSION,
        "process": {
            "terminal": True,
            "user": {"uid": 0, "gid": 0},
            "args": ["sh"],
            "env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
            "cwd": "/",
            "capabilities": dict.fromkeys(("bounding", "effective", "permitted"), CAPABILITIES),
            "rlimits": [{"type": "RLIMIT_NOFILE", "hard": 1024, "soft": 1024}],
            "noNewPrivileges": True,
        },
        "root": {"path": "rootfs", "readonly": True},
        "hostname": "lxcri",
        "mounts": [
            _mount("/proc", "proc", "proc"),
            _mount("/dev", "tmpfs", "tmpfs", "nosuid", "strictatime", "mode=755", "size=65536k"),
            _mount(
                "/dev/pts",
                "devpts",
                "devpts",
                "nosuid",
                "noexec",
                "newinstance",
                "ptmxmode=0666",
                "mode=0620",
                "gid=5",
            ),
            _mount("/dev/shm", "tmpfs", "shm", "nosuid", "noexec", "nodev", "mode=1777", "size=65536k"),
            _mount("/dev/mqueue", "mqueue", "mqueue", "nosuid", "noexec", "nodev"),
            _mount("/sys", "sysfs", "sysfs", "nosuid", "noexec", "nodev", "ro"),
            _mount("/sys/fs/cgroup", "cgroup", "cgroup", "nosuid", "noexec", "nodev", "relatime", "ro"),
        ],
        "linux": {
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
            "namespaces": [{"type": kind} for kind in namespaces],
            "maskedPaths": MASKED_PATHS,
            "readonlyPaths": READONLY_PATHS,
        },
    }


def make_rootless(config: dict[str, Any], uids: list[IDMapping], gids: list[IDMapping]) -> None:
    """Change a configuration to what an ordinary user may do, who is root of a user namespace with these ids."""
    linux = config["linux"]
    del linux["resources"]
    # The network of the host: nobody else could connect a new one. Its sysfs cannot be mounted without owning
    # it.
    linux["namespaces"] = [
        {"type": "user"},
        *(one for one in linux["namespaces"] if one["type"] != "network"),
    ]
    for name, mappings in (("uidMappings", uids), ("gidMappings", gids)):
        linux[name] = [{"containerID": m.container_id, "hostID": m.host_id, "size": m.size} for m in mappings]
    mounts = [mount for mount in config["mounts"] if not mount["destination"].startswith("/sys")]
    for mount in mounts:
        if "options" in mount and len(gids) == 1:
            # Other groups, such as 5 of devpts, are not mapped.
            mount["options"] = [option for option in mount["options"] if not option.startswith("gid=")]
    mounts.append(_mount("/sys", "none", "/sys", "rbind", "nosuid", "noexec", "nodev", "ro"))
    config["mounts"] = mounts


def _mount(destination: str, kind: str, source: str, *options: str) -> dict[str, Any]:
    mount: dict[str, Any] = {"destination": destination, "type": kind, "source": source}
    if options:
        mount["options"] = list(options)
    return mount
