"""Facts about the machine and the image that compile's rules depend on, and nothing that it does not ask for."""

from __future__ import annotations

import os

from .cgroup.layout import Layout, detect
from .compile.mounts import clean_path
from .compile.request import Host
from .procfs import read_text
from .sources import read_id_mappings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .spec import Spec


def _bounding_set() -> int:
    _, _, rest = read_text("/proc/self/status").partition("\nCapBnd:")
    return int(rest.split(None, 1)[0], 16) if rest else 0


def _security_modules() -> tuple[str, ...]:
    modules = []
    if read_text("/sys/module/apparmor/parameters/enabled").startswith("Y"):
        modules.append("apparmor")
    if os.path.exists("/sys/fs/selinux/enforce"):
        modules.append("selinux")
    return tuple(modules)


def _free_directory(rootfs: str, uses: list[str]) -> str:
    """A directory of the image that no mount covers or lies in, to hold a proc for the start; "" if there is none."""
    try:
        names = sorted(entry.name for entry in os.scandir(rootfs) if entry.is_dir(follow_symlinks=False))
    except OSError:
        return ""
    usable = [name for name in names if not set(" \t\n\\") & set(name) and not name.startswith("#")]
    free = [name for name in usable if not any((use + "/").startswith(f"/{name}/") for use in uses)]
    return (free or usable or [""])[0]


def _joined_ids(spec: Spec) -> tuple[str, str]:
    """The id mappings of the user namespace that the spec joins, if it does and if that is one."""
    for namespace in spec.linux.namespaces if spec.linux else ():
        if namespace.type == "user" and namespace.path:
            try:
                fd = os.open(namespace.path, os.O_RDONLY | os.O_CLOEXEC)
            except OSError:
                break  # which is said when it is to be joined
            try:
                return read_id_mappings(fd)
            finally:
                os.close(fd)
    return "", ""


def gather_host(spec: Spec, rootfs: str) -> Host:
    """The Host for this spec."""
    process = spec.process
    labelled = process is not None and (process.apparmor_profile or process.selinux_label)
    labelled = labelled or (spec.linux is not None and spec.linux.mount_label)
    destinations = [clean_path(mount.destination) for mount in spec.mounts]
    has_proc = any(m.type == "proc" and d == "/proc" for m, d in zip(spec.mounts, destinations, strict=True))
    user_namespace = read_text("/proc/self/uid_map").split() != ["0", "0", "4294967295"]
    layout = detect()
    if user_namespace and not any(os.access(directory, os.W_OK) for directory in layout.own.values()):
        layout = Layout({})  # an ordinary user's processes stay in the cgroups that they are in
    return Host(
        layout=layout,
        user_namespace=user_namespace,
        capabilities=_bounding_set(),
        last_capability=int(read_text("/proc/sys/kernel/cap_last_cap") or 40),
        lsm=_security_modules() if labelled else (),
        joined_ids=_joined_ids(spec),
        empty_proc="" if has_proc else _free_directory(rootfs, destinations),
    )
