"""What compile is told beside the spec: what was asked for, and what the host is."""

import msgspec

from ..cgroup.layout import Layout

ALL_SHOWN = ("pid", "network", "ipc")
"""The types of namespaces that file systems show."""


class Request(msgspec.Struct):
    """One `create`: its container, its options, and the runtime's own configuration.

    Args:
        id: the container's.
        bundle: absolute path of its bundle.
        rootfs: real path of root.path.
        directory: its state directory.
        preserve_fds: how many of the caller's descriptors from 3 on it keeps.
        listen_fds: how many of them were passed for socket activation (sd_listen_fds(3)).
        notify: whether it gets a socket for sd_notify(3).
        session_keyring: whether it gets a new one.
        systemd: the instance of systemd, "system" or "user", that makes its cgroup; "" for none.
        apparmor, capabilities, cgroup_devices, seccomp: off means that the spec's property is not applied.
    """

    id: str
    bundle: str
    rootfs: str
    directory: str
    preserve_fds: int = 0
    listen_fds: int = 0
    notify: bool = False
    session_keyring: bool = True
    systemd: str = ""
    apparmor: bool = True
    capabilities: bool = True
    cgroup_devices: bool = True
    seccomp: bool = True


class Host(msgspec.Struct):
    """Facts about the machine, the runtime's process and the image that rules depend on.

    Args:
        layout: the cgroup hierarchies in which the container gets a cgroup.
        shown: those in sight, which a mount of type cgroup shows; None: the same.
        capabilities: those that the runtime can give (its bounding set), bit N for capability N.
        last_capability: the kernel's highest.
        lsm: the security modules in force.
        user_namespace: whether the runtime itself is in one, where it can make no device nodes.
        renamed: the uid, and the gid, of the host that has another number in the runtime's own user namespace, each
            with that number.
        owned: types of namespaces, among those that file systems show, where the one that the container joins or
            inherits belongs to the runtime's user namespace.
        joined_ids: uid_map and gid_map of the user namespace that the spec joins.
        writable: of the image, "/", and below it those where something is mounted, whose mounts can be written.
        empty_proc: a directory of the image that can hold liblxc's proc where the spec mounts none; "" if none.
    """

    layout: Layout
    shown: Layout | None = None
    capabilities: int = (1 << 41) - 1
    last_capability: int = 40
    lsm: tuple[str, ...] = ()
    user_namespace: bool = False
    renamed: tuple[tuple[int, int], tuple[int, int]] | None = None
    owned: tuple[str, ...] = ALL_SHOWN
    joined_ids: tuple[str, str] = ("", "")
    writable: tuple[str, ...] = ("/",)
    empty_proc: str = ""
