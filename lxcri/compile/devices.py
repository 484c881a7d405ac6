"""config-linux.md, "Devices" and "Default Devices"."""

from ..errors import Error
from ..plan import Builder, Tree
from ..spec import Device, Spec
from .capabilities import CAP_MKNOD
from .mounts import clean_path
from .namespaces import is_present
from .options import parse_options
from .request import Host

TYPES = {"c": 0o020000, "u": 0o020000, "b": 0o060000, "p": 0o010000}

DEFAULT_DEVICES = (
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
)

LINKS = (
    # target, path, what must exist for it ("" for nothing)
    ("/proc/self/fd", "/dev/fd", ""),
    ("/proc/self/fd/0", "/dev/stdin", ""),
    ("/proc/self/fd/1", "/dev/stdout", ""),
    ("/proc/self/fd/2", "/dev/stderr", ""),
    ("/proc/kcore", "/dev/core", "/proc/kcore"),
)

MADE_OTHERWISE = ("/dev/console", "/dev/ptmx")
"""Devices that a spec may list, but that the container's devpts and console are for (with all of /dev/pts/)."""


def device_number(major: int, minor: int) -> int:
    """The kernel's encoding of a device number, as mknodat(2) takes it."""
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def compile_devices(builder: Builder, spec: Spec, host: Host) -> None:
    """Nodes and links of /dev, but where the spec mounts the host's own over it."""
    assert spec.linux is not None
    for i, mount in enumerate(spec.mounts):
        if clean_path(mount.destination) == "/dev" and parse_options(mount.options, f"mounts[{i}]", mount.type).bind:
            return
    by_bind = is_present(spec, "user") or not host.capabilities >> CAP_MKNOD & 1
    listed = {}
    for i, device in enumerate(spec.linux.devices):
        listed[clean_path(device.path)] = (f'linux.devices[{i}] "{device.path}"', device)
    for path, major, minor in DEFAULT_DEVICES:
        if path not in listed:
            listed[path] = (path, Device(type="c", path=path, major=major, minor=minor))
    for path, (subject, device) in listed.items():
        if path in MADE_OTHERWISE or path.startswith("/dev/pts/"):
            continue
        _compile_device(builder, subject, path, device, by_bind)
    for target, path, needs in LINKS:
        builder.add("mounts", "symlink", path, target, path, needs)
    builder.add("mounts", "replace_symlink", "/dev/ptmx", "pts/ptmx", "/dev/ptmx")


def _compile_device(builder: Builder, subject: str, path: str, device: Device, by_bind: bool) -> None:
    if device.type not in TYPES:
        raise Error(f'{subject}: type "{device.type}" does not exist')
    if by_bind:
        builder.add("mounts", "move", subject, builder.tree(Tree(subject, path)), path)
        return
    mode = TYPES[device.type] | (0o666 if device.file_mode is None else device.file_mode & 0o7777)
    number = device_number(device.major, device.minor)
    builder.add("mounts", "mknod", subject, path, mode, number, device.uid or 0, device.gid or 0)
