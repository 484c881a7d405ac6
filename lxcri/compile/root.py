"""config.md, "Root"; config-linux.md, "Rootfs Mount Propagation", "Masked Paths", "Readonly Paths", "Sysctl"."""

from ..errors import Error
from ..plan import Builder
from ..spec import Spec
from . import namespaces
from .options import ATTR_RDONLY, MS_SLAVE, PROPAGATION
from .request import Host, Request

ITEMS = (
    # What liblxc would do of its own accord, and OCI does not ask for.
    ("lxc.rootfs.managed", "0"),
    ("lxc.ephemeral", "0"),
    ("lxc.autodev", "0"),
    ("lxc.tty.max", "0"),
    ("lxc.pty.max", "0"),
    ("lxc.console.path", "none"),
    # An image is not to be changed: liblxc puts links in its /dev where it can. This is for all mounts that are there;
    # the helper makes writable again what was.
    ("lxc.rootfs.options", "ro"),
)


def compile_root(builder: Builder, spec: Spec, request: Request, host: Host, *, pre_pivot: bool) -> str:
    """Items for the root file system; return its path."""
    if spec.root is None:
        raise Error("root: missing")
    builder.item("lxc.rootfs.path", f"dir:{request.rootfs}", "root.path")
    builder.item("lxc.rootfs.mount", request.rootfs, "root.path")
    for key, value in ITEMS:
        builder.item(key, value)
    builder.directories.append("dev")  # liblxc opens it, and fails where there is none
    if "/" in host.writable:
        builder.add("mounts", "attributes", "root", "/", 0, ATTR_RDONLY, 0)
        if pre_pivot:  # it was read-only again for what liblxc does in between
            builder.add("root", "attributes", "root", "/", 0, ATTR_RDONLY, 0)
    _compile_propagation(builder, spec)
    return request.rootfs


def _compile_propagation(builder: Builder, spec: Spec) -> None:
    """linux.rootfsPropagation comes before that of the single mounts, which may differ."""
    propagation = spec.linux.rootfs_propagation if spec.linux else None
    if not propagation:
        return
    if propagation not in PROPAGATION:
        raise Error(f'linux.rootfsPropagation: "{propagation}" is not a propagation type')
    kind, recursive = PROPAGATION[propagation]
    if kind != MS_SLAVE:  # which it is already
        builder.add("root", "propagation", "linux.rootfsPropagation", "/", kind, recursive)


SWAPPED = str.maketrans("./", "/.")

SYSCTL_NAMESPACES = {
    # prefix or name: the namespace that makes it the container's own (sysctl(2), namespaces(7))
    "kernel.msgmax": "ipc",
    "kernel.msgmnb": "ipc",
    "kernel.msgmni": "ipc",
    "kernel.sem": "ipc",
    "kernel.shmall": "ipc",
    "kernel.shmmax": "ipc",
    "kernel.shmmni": "ipc",
    "kernel.shm_rmid_forced": "ipc",
    "fs.mqueue.": "ipc",
    "net.": "network",
    "kernel.domainname": "uts",
    "kernel.hostname": "uts",
}


def _sysctl_namespace(name: str) -> str | None:
    for known, namespace in SYSCTL_NAMESPACES.items():
        if name == known or (known.endswith(".") and name.startswith(known)):
            return namespace
    return None


def _dotted(name: str) -> str:
    """sysctl(8): the first of "." and "/" is the separator, the other one stands for itself as the other one."""
    first = next((c for c in name if c in "./"), ".")
    if first == ".":
        return name
    return name.translate(SWAPPED)


def compile_sysctl(builder: Builder, spec: Spec) -> None:
    """linux.sysctl. What is the whole machine's is refused: a container is not to change it."""
    assert spec.linux is not None
    for key, value in spec.linux.sysctl.items():
        subject = f'linux.sysctl "{key}"'
        name = _dotted(key)
        namespace = _sysctl_namespace(name)
        file = name.translate(SWAPPED)
        if not all(part.strip(".") for part in file.split("/")):
            raise Error(f"{subject}: not a name of a sysctl")
        if namespace is None:
            raise Error(f"{subject}: not in a separate kernel namespace")
        if not namespaces.is_present(spec, namespace):
            raise Error(f"{subject}: not permitted without a {namespace} namespace of the container's own")
        if (name, True) in (("kernel.hostname", bool(spec.hostname)), ("kernel.domainname", bool(spec.domainname))):
            raise Error(f"{subject}: in conflict with {name.removeprefix('kernel.')}")
        builder.change(namespace, subject)
        builder.add("root", "sysctl", subject, file, value)


def compile_paths(builder: Builder, spec: Spec) -> None:
    """What is done to the finished tree: sysctls before their directory is read-only, hidden paths."""
    assert spec.linux is not None
    assert spec.root is not None
    assert spec.process is not None
    builder.add("root", "directory", f'process.cwd "{spec.process.cwd}"', spec.process.cwd)
    compile_sysctl(builder, spec)
    for operation, name, paths in (
        ("readonly", "readonlyPaths", spec.linux.readonly_paths),
        ("mask", "maskedPaths", spec.linux.masked_paths),
    ):
        for i, path in enumerate(paths):
            subject = f'linux.{name}[{i}] "{path}"'
            if not path.startswith("/"):
                raise Error(f"{subject}: not an absolute path")
            builder.add("root", operation, subject, path)
    if spec.root.readonly:
        builder.add("root", "attributes", "root.readonly", "/", ATTR_RDONLY, 0, 0)
