"""Every engine test is followed by the check of the machine; podman for two files of tests."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from oci import engine, process
from oci.podman import IMAGE, Podman

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.machine import Machine
    from oci.rootfs import Skeleton
    from oci.runtime import Runtime


@pytest.fixture(autouse=True)
def _leaves_the_machine_as_before(as_before: None) -> None:
    pass


@pytest.fixture(scope="module")
def storage(machine: Machine, runtime: Runtime, skeleton: Skeleton) -> Iterator[Podman]:
    """podman with one small image."""
    if shutil.which("podman") is None or shutil.which("conmon") is None:
        pytest.skip("podman is not installed")
    directory = os.path.join(machine.work, "podman")
    rootfs = os.path.join(machine.work, "image")
    skeleton.build(rootfs)
    os.makedirs(directory)
    archive = os.path.join(directory, "image.tar")
    subprocess.run(["tar", "-C", rootfs, "-cf", archive, "."], check=True)
    podman = Podman(runtime.path, directory, f"/{machine.prefix}-podman")
    states = {f"/run/{name}" for name in (runtime.name, "runc")}  # podman gives no --root
    for state in states:
        os.makedirs(state, mode=0o700)
    podman("import", "--change", "ENV PATH=/bin", archive, IMAGE).ok()
    with engine.cgroups(f"{podman.cgroup_parent}/conmon"):
        yield podman
        podman("rm", "--all", "--force", "--time", "0")
        podman("rmi", "--all", "--force")
        process.kill_children()
    shutil.rmtree(rootfs)
    engine.remove(directory)
    for state in states:
        shutil.rmtree(state)


@pytest.fixture
def podman(storage: Podman, as_before: None) -> Iterator[Podman]:
    """podman without containers, before and after."""
    yield storage
    storage("rm", "--all", "--force", "--time", "0").ok()
    process.wait_for(lambda: not process.children(), "the end of conmon")
