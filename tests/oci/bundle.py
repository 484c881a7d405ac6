"""A bundle: a directory with a root file system and a config.json that is easy to vary."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from typing import TYPE_CHECKING, Any

from oci import mountinfo
from oci.runtime import Container

if TYPE_CHECKING:
    from collections.abc import Sequence

    from oci.rootfs import Skeleton
    from oci.runtime import Result, Runtime

CAPABILITIES = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
]


def default_config() -> dict[str, Any]:
    """What an engine asks for an ordinary container, without its seccomp profile, masks and cgroup mount."""
    return {
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/true"],
            "env": ["PATH=/bin"],
            "cwd": "/",
            "capabilities": {kind: list(CAPABILITIES) for kind in ("bounding", "effective", "permitted")},
        },
        "root": {"path": "rootfs"},
        "hostname": "inside",
        "mounts": [
            {
                "destination": "/proc",
                "type": "proc",
                "source": "proc",
                "options": ["nosuid", "noexec", "nodev"],
            },
            {
                "destination": "/dev",
                "type": "tmpfs",
                "source": "tmpfs",
                "options": ["nosuid", "strictatime", "mode=755", "size=65536k"],
            },
            {
                "destination": "/dev/pts",
                "type": "devpts",
                "source": "devpts",
                "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
            },
            {
                "destination": "/dev/shm",
                "type": "tmpfs",
                "source": "shm",
                "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"],
            },
            {
                "destination": "/dev/mqueue",
                "type": "mqueue",
                "source": "mqueue",
                "options": ["nosuid", "noexec", "nodev"],
            },
            {
                "destination": "/sys",
                "type": "sysfs",
                "source": "sysfs",
                "options": ["nosuid", "noexec", "nodev", "ro"],
            },
        ],
        "linux": {
            "namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount")],
            "resources": {"devices": [{"allow": False, "access": "rwm"}]},
        },
    }


class Bundle:
    """A bundle in an existing directory; ``config`` is written when a container is made of it."""

    def __init__(self, path: str, skeleton: Skeleton, runtime: Runtime) -> None:
        self.path = path
        self.rootfs = os.path.join(path, "rootfs")
        self.runtime = runtime
        self.config: Any = default_config()
        self._containers: list[Container] = []
        skeleton.build(self.rootfs)

    @property
    def process(self) -> dict[str, Any]:
        """config.json's process."""
        process = self.config["process"]
        assert isinstance(process, dict)
        return process

    @property
    def linux(self) -> dict[str, Any]:
        """config.json's linux."""
        linux = self.config["linux"]
        assert isinstance(linux, dict)
        return linux

    @property
    def resources(self) -> dict[str, Any]:
        """config.json's linux.resources."""
        resources = self.linux["resources"]
        assert isinstance(resources, dict)
        return resources

    def mount(self, destination: str, source: str = "", kind: str = "", options: Sequence[str] = ()) -> int:
        """Append a mount; returns its place in the list."""
        mount: dict[str, Any] = {"destination": destination}
        if kind:
            mount["type"] = kind
        if source:
            mount["source"] = source
        if options:
            mount["options"] = list(options)
        self.config["mounts"].append(mount)
        return len(self.config["mounts"]) - 1

    def bind(self, source: str, destination: str, *options: str) -> int:
        """Append a bind mount; it is an rbind unless ``bind`` is among the options."""
        return self.mount(destination, source, "bind", options if "bind" in options else ("rbind", *options))

    def namespace(self, kind: str, **properties: str) -> None:
        """Add or replace the namespace of this type."""
        self.without_namespace(kind)
        self.linux["namespaces"].append({"type": kind, **properties})

    def without_namespace(self, kind: str) -> None:
        """Leave this namespace out: the container inherits the caller's."""
        self.linux["namespaces"] = [entry for entry in self.linux["namespaces"] if entry["type"] != kind]

    def user_namespace(self, host: int = 100000, size: int = 65536) -> None:
        """Map ids 0 to ``size`` to ``host`` and on; the root file system is given to the mapped root."""
        self.namespace("user")
        mapping = [{"containerID": 0, "hostID": host, "size": size}]
        self.linux["uidMappings"] = mapping
        self.linux["gidMappings"] = mapping
        os.chown(self.rootfs, host, host)
        for directory, directories, _ in os.walk(self.rootfs):
            for name in directories:
                os.chown(os.path.join(directory, name), host, host)

    def directory(self, name: str) -> str:
        """Make a directory of the host beside the root file system; returns its path."""
        path = os.path.join(self.path, name)
        os.makedirs(path)
        return path

    def file(self, name: str, content: str = "", mode: int = 0o644) -> str:
        """Make a file of the host beside the root file system; returns its path."""
        path = os.path.join(self.path, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(content)
        os.chmod(path, mode)
        return path

    def write(self) -> None:
        """Write config.json; a text is written as it is, None is not written."""
        if self.config is None:
            return
        with open(os.path.join(self.path, "config.json"), "w") as file:
            file.write(self.config if isinstance(self.config, str) else json.dumps(self.config))

    def container(self, *args: str, identity: str | None = None) -> Container:
        """A container of this bundle, not yet created, that runs ``args``."""
        if args:
            self.process["args"] = list(args)
        container = Container(self.runtime, self, identity)
        self._containers.append(container)
        return container

    def forget(self, container: Container) -> None:
        """Let go of a container that is deleted already."""
        self._containers.remove(container)
        container.close()

    def shell(self, script: str, identity: str | None = None) -> Container:
        """A container of this bundle, not yet created, that runs a shell script."""
        return self.container("/bin/sh", "-c", script, identity=identity)

    def run(self, *args: str, options: Sequence[str] = (), **how: Any) -> Result:
        """``run`` a container in the foreground."""
        container = self.container(*args)
        self.write()
        return self.runtime.call("run", "--bundle", self.path, *options, container.id, **how)

    def run_as_is(self) -> Result:
        """``run`` what config.json says, or what ``config`` says if it is text."""
        self.write()
        return self.runtime.call("run", "--bundle", self.path, self.runtime.new_id())

    def sh(self, script: str, **how: Any) -> str:
        """``run`` a shell script that must succeed; returns its output."""
        return self.run("/bin/sh", "-c", script, **how).ok().stdout

    def close(self) -> None:
        """Remove the containers and the directory."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._remove)
            for container in self._containers:
                stack.callback(container.close)

    def _remove(self) -> None:
        below = [mount.point for mount in mountinfo.of_process() if mount.point.startswith(self.path + "/")]
        assert not below, f"mounts are left, so the bundle is not removed: {below}"
        shutil.rmtree(self.path)
