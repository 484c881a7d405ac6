"""Where a container's cgroups are, and what their files hold: cgroup v1, hybrid and v2."""

from __future__ import annotations

import os

from oci import mountinfo


def mounts() -> dict[str, str]:
    """Mount point by controller; name=systemd for the named hierarchy, "" for cgroup2."""
    found = {}
    for mount in mountinfo.of_process():
        if mount.fstype == "cgroup2":
            found[""] = mount.point
        elif mount.fstype == "cgroup":
            for option in mount.fs_options - {"rw", "ro", "xattr", "noprefix", "clone_children"}:
                found[option] = mount.point
    return found


def is_v2() -> bool:
    """Whether there is nothing but cgroup2."""
    return set(mounts()) == {""}


def paths(pid: int | str) -> dict[str, str]:
    """A process' cgroup by controller, relative to the hierarchy's root."""
    found = {}
    with open(f"/proc/{pid}/cgroup") as file:
        for line in file.read().splitlines():
            _, controllers, path = line.split(":", 2)
            for controller in controllers.split(","):
                found[controller] = path
    return found


def directory(pid: int | str, controller: str) -> str:
    """The directory of a process' cgroup; on v2 the same for every controller."""
    hierarchies = mounts()
    name = controller if controller in hierarchies else ""
    return hierarchies[name] + paths(pid)[name]


def read(pid: int | str, controller: str, name: str) -> str:
    """The content of one file of a process' cgroup."""
    with open(os.path.join(directory(pid, controller), name)) as file:
        return file.read().strip()


def only_v2() -> list[str]:
    """A command in front of another, which then sees no hierarchy but cgroup2, wherever that is mounted."""
    points = sorted({point for controller, point in mounts().items() if controller})
    if not points:
        return []
    return ["unshare", "--mount", "sh", "-c", f'umount -n {" ".join(points)} && exec "$@"', "sh"]
