"""config-linux.md, "Devices" and "Default Devices"."""

from ..errors import Error
from ..plan import Builder, Tree
from ..spec import Device, Spec
from .capabilities import CAP_MKNOD
from .mounts import clean_path
from .namespaces import NO_ID, is_present
from .options import is_bind
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


def _is_made_otherwise(spec: Spec, path: str) -> bool:
    """Whether a spec may list it, but the container's devpts or its terminal are for it."""
    has_terminal = spec.process is not None and spec.process.terminal
    return path == "/dev/ptmx" or path.startswith("/dev/pts/") or (path == "/dev/console" and has_terminal)


MAJOR_MAX = 0xFFF
MINOR_MAX = 0xFFFFF


def device_number(major: int, minor: int) -> int:
    """The kernel's encoding of a device number, as mknodat(2) takes it."""
    return (minor & 0xFF) | (major << 8) | ((minor & ~0xFF) << 12)


def compile_devices(builder: Builder, spec: Spec, host: Host) -> None:
    """Nodes and links of /dev, but where the spec mounts the host's own over it."""
    assert spec.linux is not None
    mounted = {clean_path(mount.destination): is_bind(mount.options, mount.type) for mount in spec.mounts}
    if mounted.get("/dev"):
        return
    by_bind = is_present(spec, "user") or host.user_namespace or not host.capabilities >> CAP_MKNOD & 1
    listed: dict[str, tuple[str, Device]] = {}
    for i, device in enumerate(spec.linux.devices):
        subject, path = f'linux.devices[{i}] "{device.path}"', clean_path(device.path)
        if path == "/":
            raise Error(f"{subject}: not a path of a device")
        _check_device(subject, device)
        other = listed.setdefault(path, (subject, device))
        if _identity(other[1]) != _identity(device):
            raise Error(f"{subject}: another device than {other[0]}")
    for path, major, minor in DEFAULT_DEVICES:
        if path not in listed and path not in mounted:  # what the spec mounts there is to be seen
            listed[path] = (path, Device(type="c", path=path, major=major, minor=minor))
    for path, (subject, device) in listed.items():
        if _is_made_otherwise(spec, path):
            continue
        _compile_device(builder, subject, path, device, by_bind)
    for target, path, needs in LINKS:
        builder.add("mounts", "symlink", path, target, path, needs)
    builder.add("mounts", "replace_symlink", "/dev/ptmx", "pts/ptmx", "/dev/ptmx")


def _check_device(subject: str, device: Device) -> None:
    if device.type not in TYPES:
        raise Error(f'{subject}: type "{device.type}" does not exist')
    if device.type != "p":
        for name, number, most in (("major", device.major, MAJOR_MAX), ("minor", device.minor, MINOR_MAX)):
            if not 0 <= number <= most:
                raise Error(f"{subject}: {name}: {number} is not between 0 and {most}")
    for name, value in (("uid", device.uid), ("gid", device.gid)):
        if value == NO_ID:
            raise Error(f"{subject}: {name}: {value} is no id")


def _identity(device: Device) -> tuple[int, int, int]:
    """What must be the same for two devices to be one; a FIFO has no number."""
    kind = TYPES[device.type]
    return (kind, 0, 0) if device.type == "p" else (kind, device.major, device.minor)


def _compile_device(builder: Builder, subject: str, path: str, device: Device, by_bind: bool) -> None:
    if by_bind:
        builder.add("mounts", "move", subject, builder.tree(Tree(subject, path)), path)
        return
    kind, major, minor = _identity(device)
    mode = kind | (0o666 if device.file_mode is None else device.file_mode & 0o7777)
    number = device_number(major, minor)
    builder.add("mounts", "mknod", subject, path, mode, number, device.uid or 0, device.gid or 0)
