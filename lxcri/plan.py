"""The Plan of a container: all that compile decided, and nothing that has happened yet."""

from typing import Any

import msgspec

from . import program
from .cgroup.devices import DeviceRule
from .cgroup.write import Write
from .errors import Error
from .spec import Hook, IntelRdt, Seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .cgroup.unit import Unit

Instruction = tuple[str, str, tuple[Any, ...]]
"""Operation (of lxcri.program.OPERATIONS), what it is about, arguments."""


class Part(msgspec.Struct, omit_defaults=True, gc=False):
    """Base of the Plan's Structs."""


class Tree(Part):
    """A mount of the host to be taken as a detached tree, before the container has namespaces of its own.

    Args:
        subject: what needs it, for errors.
        source: absolute path on the host; "" where `cgroup` says which.
        cgroup: the hierarchy whose directory of the container it is.
        recursive: whether the mounts below it come along.
        shared: whether it stays a peer of the host's mount (mounts then propagate both ways), or becomes a slave.
        set, clear: attributes of the mount (mount_setattr(2)) to set and to clear; others stay as they are.
        recursive_set, recursive_clear: the same for it and all mounts below.
        id_mappings: lines for uid_map and gid_map of a user namespace that maps its ids; empty for none.
        recursive_id_map: whether those of the mounts below too.
    """

    subject: str
    source: str = ""
    recursive: bool = False
    shared: bool = False
    cgroup: str = ""
    set: int = 0
    clear: int = 0
    recursive_set: int = 0
    recursive_clear: int = 0
    id_mappings: tuple[str, str] = ("", "")
    recursive_id_map: bool = False


class Join(Part):
    """An existing namespace to join, and the CLONE_NEW* flag of the type that it must have.

    Args:
        changes: the property that changes something in it, so that it must not be the host's own; "" for none.
    """

    subject: str
    type: str
    flag: int
    path: str
    changes: str = ""


class HostPart(Part):
    """What the runtime does outside of the container.

    Args:
        rootfs: real path of the root file system.
        directories: directories that must exist in it for liblxc, which would follow links to make them.
        joins: namespaces to join before the container is cloned; their children inherit them.
        uts_name: host name to set in a joined UTS namespace.
        trees: mounts to take from the host, in the order of the program's tree numbers.
        user_namespace: whether the trees must be taken so that the container's root cannot undo their flags.
        id_mappings: lines for uid_map and gid_map of that namespace.
        stdio_owner: uid and gid on the host that standard streams get, (-1, -1) to leave them to the helper.
        time_offsets: lines for timens_offsets of a new time namespace; None where there is none.
        net_devices: names in the container by the names of the host's devices that move there.
        intel_rdt: linux.intelRdt, checked.
        cgroups_path: linux.cgroupsPath; of a unit, its cgroup.
        unit: the unit of systemd that the container's cgroup belongs to, if there is one.
        cgroup_writes: limits, in the order to be written.
        device_filter: rules of cgroup2's device filter; None for none.
        cgroup_owner: uid on the host that gets the container's cgroup of cgroup2; -1 for none.
        runtime_hooks: prestart and createRuntime.
        pre_pivot: whether mounts are made by a hook of liblxc, before the pivot, because hooks must see them then.
        proc_directory: where liblxc mounts the proc that the helper is executed from.
        own_mount_namespace: whether it keeps the one that it is made in.
        terminal: whether the container gets a console.
        preserve_fds: how many of the caller's descriptors from 3 on the container gets.
    """

    rootfs: str
    proc_directory: str
    directories: list[str] = []
    joins: list[Join] = []
    uts_name: str = ""
    trees: list[Tree] = []
    user_namespace: bool = False
    id_mappings: tuple[str, str] = ("", "")
    stdio_owner: tuple[int, int] = (-1, -1)
    time_offsets: str | None = None
    net_devices: dict[str, str] = {}
    intel_rdt: IntelRdt | None = None
    cgroups_path: str = ""
    unit: "Unit | None" = None
    cgroup_writes: list[Write] = []
    device_filter: list[DeviceRule] | None = None
    cgroup_owner: int = -1
    runtime_hooks: list[tuple[str, Hook]] = []
    pre_pivot: bool = False
    own_mount_namespace: bool = True
    terminal: bool = False
    preserve_fds: int = 0


class Plan(Part):
    """liblxc's config items, the program of lxcri-init, and the host's part."""

    items: list[tuple[str, str]]
    program: dict[str, list[Instruction]]
    host: HostPart
    seccomp: Seccomp | None = None
    warnings: list[str] = []


class Builder:
    """Where the compilers of the document's sections put what they decide."""

    def __init__(self) -> None:
        self.items: list[tuple[str, str]] = []
        self.stages: dict[str, list[Instruction]] = {name: [] for name in program.STAGES}
        self.trees: list[Tree] = []
        self.first_tree = 0
        self.directories: list[str] = []
        self.joins: list[Join] = []
        self.warnings: list[str] = []

    def item(self, key: str, value: str | int, subject: str = "") -> None:
        """Append a config item of liblxc; raises Error if it does not fit on a line of its config files."""
        text = str(value)
        if "\n" in text:
            raise Error(f"{subject or key}: a line break")
        self.items.append((key, text))

    def add(self, stage: str, operation: str, subject: str, *arguments: Any) -> None:
        """Append an instruction to a stage of the program."""
        self.stages[stage].append((operation, subject, arguments))

    def tree(self, tree: Tree) -> int:
        """Have a tree taken; return its number for `move`."""
        self.trees.append(tree)
        return self.first_tree + len(self.trees) - 1

    def change(self, namespace: str, subject: str) -> None:
        """Note that this property changes something in the container's namespace of a type."""
        for join in self.joins:
            if join.type == namespace:
                join.changes = subject

    def warn(self, text: str) -> None:
        """Have a warning written to the log."""
        self.warnings.append(text)
