"""docker with storage and a network of its own."""

from __future__ import annotations

import contextlib
import os
import shutil
from typing import TYPE_CHECKING

import pytest

from oci import engine, process
from oci.calls import recorders

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.machine import Machine
    from oci.rootfs import Skeleton
    from oci.runtime import Runtime

IMAGE = "test"


class Docker(engine.Client):
    """A dockerd with storage of its own, and its command."""

    def __init__(self, runtime: Runtime, directory: str, cgroup_parent: str, *options: str) -> None:
        command = shutil.which("docker", path="/usr/bin:/usr/local/bin")
        assert command is not None
        socket = f"unix://{directory}/docker.sock"
        super().__init__(directory, [command, "--host", socket])
        self.environment["DOCKER_BUILDKIT"] = "0"
        self.cgroup_parent = cgroup_parent
        self.recorders = recorders(runtime, directory)
        self.daemon = engine.Daemon(
            [
                "unshare", "--net", "--", "dockerd",  # with a bridge of its own
                "--data-root", f"{directory}/data",
                "--exec-root", f"{directory}/exec",
                "--pidfile", f"{directory}/pid",
                "--host", socket,
                "--add-runtime", f"tested={runtime.path}",
                *(f"--add-runtime={one.name}={one.path}" for one in self.recorders),
                "--default-runtime", "tested",
                "--cgroup-parent", cgroup_parent,
                "--storage-driver", "overlay2",
                "--live-restore",
                *options,
            ],
            directory,
            "dockerd",
        )  # fmt: skip

    def start(self) -> None:
        """Start the daemon; returns when it answers."""
        self.daemon.start()
        process.wait_for(lambda: self("version").returncode == 0, "dockerd")

    def run(self, *arguments: str) -> engine.Finished:
        """`run --rm` without a network, to its end."""
        return self("run", "--rm", "--network", "none", *arguments)

    def detached(self, name: str, *arguments: str) -> str:
        """`run -d`; returns the id."""
        return self("run", "-d", "--network", "none", "--name", name, *arguments).ok().stdout.strip()

    def wait_state(self, name: str, template: str, value: str) -> None:
        """Wait until it is this."""
        process.wait_for(lambda: self.inspect(name, template) == value, f"{name} {template} {value}")


@contextlib.contextmanager
def running(machine: Machine, runtime: Runtime, skeleton: Skeleton, *options: str) -> Iterator[Docker]:
    """docker with one small image, and with these options of the daemon."""
    if shutil.which("dockerd") is None:
        pytest.skip("docker is not installed")
    directory = os.path.join(machine.work, "docker")
    os.makedirs(directory)
    docker = Docker(runtime, directory, f"/{machine.prefix}-docker", *options)
    with engine.cgroups(docker.cgroup_parent):
        docker.start()
        try:
            layer = engine.layer(skeleton, directory)
            docker("import", "--change", "ENV PATH=/bin", layer, IMAGE).ok()
            for network in ("none", "host", "bridge"):
                docker("run", "--rm", "--network", network, IMAGE, "/bin/true")  # makes what stays
            yield docker
        finally:
            docker.daemon.stop()
            process.kill_children()
    engine.remove(directory)
    for name in ("/run/docker", "/run/containerd", "/run/mount"):
        shutil.rmtree(name, ignore_errors=True)
