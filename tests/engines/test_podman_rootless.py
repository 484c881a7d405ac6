"""podman of an ordinary user with subordinate ids: the scenarios of root's podman, as far as such a podman has them."""

from __future__ import annotations

import copy
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from engines import test_podman
from oci import process
from oci.podman import IMAGE, Podman
from oci.user import User, known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.machine import Machine
    from oci.rootfs import Skeleton
    from oci.runtime import Runtime

pod = test_podman.pod

NO_CGROUP = "with cgroup v1 an ordinary user's podman sets no limits, and has no cgroup to pause or to count"
OTHER_IDS = "looks for ids of the host that are not the user's"
MKNOD = "an ordinary user's container can make no device"
OUTSIDE = "mounts something that the mount namespace of the user's podman does not have"
NOT_ROOTLESS = {
    # scenario: why an ordinary user's podman does not have it, with runc either
    "test_limits": NO_CGROUP,
    "test_run[cpu shares]": NO_CGROUP,
    "test_run[cpu quota]": NO_CGROUP,
    "test_run[cpuset]": NO_CGROUP,
    "test_pause": NO_CGROUP,
    "test_top_and_stats": NO_CGROUP,
    "test_update": NO_CGROUP,
    "test_memory_limit_binds": NO_CGROUP,
    "test_pids_limit_binds": NO_CGROUP,
    "test_cpu_limit_binds": NO_CGROUP,
    "test_life_of_a_pod": NO_CGROUP,
    "test_volume_and_user": OTHER_IDS,
    "test_chowned_volume": OTHER_IDS,
    "test_user_namespace": OTHER_IDS,
    "test_run[user namespace]": OTHER_IDS,
    "test_run[device that is not allowed]": MKNOD,
    "test_run[device rule]": MKNOD,
    "test_propagation[rslave-master]": OUTSIDE,
}


class RootlessPodman(Podman):
    """podman that a user runs, with storage in its home directory."""

    def __init__(self, runtime: Runtime, user: User) -> None:
        super().__init__(runtime.path, os.path.join(user.home, "podman"), "")
        os.makedirs(self.directory, exist_ok=True)
        own = {"HOME": self.directory, "TMPDIR": self.directory, "XDG_RUNTIME_DIR": user.runtime_dir}
        self.command = user.argv("env", *(f"{name}={value}" for name, value in own.items()), "podman")

    def argv(self, *arguments: str) -> list[str]:
        """The user's command line; its containers have no cgroup of the tests."""
        return [word for word in super().argv(*arguments) if word not in ("--cgroup-parent", self.cgroup_parent)]

    def on(self, runtime: str, **environment: str) -> RootlessPodman:
        """The same storage with another runtime."""
        other = copy.copy(self)
        other.runtime = ["--runtime", runtime]
        other.environment = {**self.environment, **environment}
        return other


@pytest.fixture(scope="module")
def storage(machine: Machine, runtime: Runtime, skeleton: Skeleton) -> Iterator[RootlessPodman]:
    """podman with one small image."""
    for program in "podman", "conmon", "newuidmap", "setpriv":
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    rootfs = os.path.join(machine.work, "image")
    skeleton.build(rootfs)
    with known(machine, subordinate=True) as user:
        podman = RootlessPodman(runtime, user)
        archive = os.path.join(podman.directory, "image.tar")
        subprocess.run(["tar", "-C", rootfs, "-cf", archive, "."], check=True)
        user.give(podman.directory)
        podman("import", "--change", "ENV PATH=/bin", archive, IMAGE).ok()
        pause = set(process.children())  # which holds podman's user namespace for the user's next commands
        process.expected.update(pause)
        yield podman
        podman.remove_all()
        podman("rmi", "--all", "--force")
        process.expected.difference_update(pause)
        process.kill_children()
    shutil.rmtree(rootfs)


@pytest.fixture
def podman(storage: RootlessPodman, as_before: None, request: pytest.FixtureRequest) -> Iterator[RootlessPodman]:
    """podman without containers, before and after."""
    if request.node.name in NOT_ROOTLESS:
        pytest.skip(NOT_ROOTLESS[request.node.name])
    if request.node.name == "test_run[ipc of the host]" and not os.path.exists("/dev/mqueue"):
        pytest.skip("podman wants /dev/mqueue of the host, which this one does not have")
    yield storage
    storage.remove_all()
    process.wait_for(lambda: not process.children(), "the end of conmon")


OF_ROOT = ("test_audit", "test_bridge", "test_calls", "test_removal_of_mapped")

for name, value in vars(test_podman).items():
    if name.startswith("test_") and name not in OF_ROOT:
        globals()[name] = value
