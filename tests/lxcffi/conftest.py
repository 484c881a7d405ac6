"""System containers of liblxc: a static busybox with its own init, made by the template beside this file."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from typing import TYPE_CHECKING

import pytest
from oci import mountinfo, process
from oci.machine import MS_SHARED, mount, umount

import lxcffi

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from oci.machine import Machine

TEMPLATE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "template")


class Home:
    """A place for containers: their configuration path, and the cgroup that theirs are below."""

    def __init__(self, machine: Machine) -> None:
        self.machine = machine
        self.path = os.path.join(machine.work, "lxc")
        self.shared = os.path.join(self.path, "mounts")
        self.cgroup = f"{machine.prefix}-lxc"
        self.mount = os.path.join(self.path, "mount")
        os.makedirs(self.mount)
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            self._cgroups = [line.split(":", 2)[1:] for line in file.read().splitlines()]

    def container(self, name: str) -> lxcffi.Container:
        """A container that is not created yet, whose cgroups are below the tests' own."""
        container = lxcffi.Container(name, self.path)
        container.config.set("lxc.cgroup.dir", self.cgroup)
        container.config.set("lxc.rootfs.mount", self.mount)  # liblxc's own is in a package that need not be there
        return container

    def create(self, name: str) -> lxcffi.Container:
        """A container that is created by the template."""
        container = self.container(name)
        container.create(TEMPLATE, quiet=True)
        return container

    def rootfs(self, name: str) -> str:
        """The root file system of a container."""
        return os.path.join(self.path, name, "rootfs")

    def wait_for_init(self, name: str, starts: int = 1) -> None:
        """
        Wait until the init of a container has started all for the nth time.

        Before, it is deaf to signals, and a process in vfork(2) keeps cgroup v1 from freezing it, for which liblxc
        would wait for ever.
        """

        def has_started() -> bool:
            try:
                with open(os.path.join(self.rootfs(name), "run/starts"), encoding="utf-8") as file:
                    return len(file.readlines()) >= starts
            except FileNotFoundError:
                return False

        process.wait_for(has_started, f"start {starts} of {name}")

    def go_home(self) -> None:
        """Back into the cgroups that this process was in: starting a container moves it into the monitor's."""
        for each in mountinfo.of_process():
            if each.fstype not in ("cgroup", "cgroup2"):
                continue
            for controllers, path in self._cgroups:
                names = set(controllers.split(",")) - {""}
                if names <= each.fs_options and bool(names) == (each.fstype == "cgroup"):
                    with open(f"{each.point}{path}/cgroup.procs", "w", encoding="utf-8") as file:
                        file.write("0")

    def clean(self) -> None:
        """Stop and remove all containers, and what liblxc leaves behind."""
        for container in lxcffi.containers(self.path):
            with container:
                if container.is_running:
                    container.stop()
        self.go_home()
        process.wait_for(lambda: not process.children(), "the monitors' end")
        for directory in reversed(self.machine.cgroups()):
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(directory)
        if os.path.ismount(self.shared):
            umount(self.shared)
        for path in (self.path, "/run/lxc"):
            shutil.rmtree(path, ignore_errors=True)


def cgroups_of_liblxc(machine: Machine) -> set[str]:
    """Cgroups that liblxc makes for a container that is not told where."""
    return {
        os.path.join(point, name)
        for point in machine.cgroup_mounts()
        for name in os.listdir(point)
        if name.startswith("lxc.")
    }


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    """Of another interpreter: it finds what this one does, whatever directory it is in."""
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path)), "PYTHONSAFEPATH": "1"}


@pytest.fixture(scope="module")
def home(machine: Machine) -> Iterator[Home]:
    """A place for the containers of a module."""
    if shutil.which("busybox") is None:
        pytest.skip("busybox is not there (Debian: busybox-static)")
    before, cgroups = machine.snapshot(), cgroups_of_liblxc(machine)
    home = Home(machine)
    yield home
    home.clean()
    assert cgroups_of_liblxc(machine) == cgroups
    # pytest's own descriptors differ between a module's start and its end.
    left = [what for what in before.differences(machine.snapshot()) if not what.startswith("descriptors: ")]
    assert left == []


@pytest.fixture
def new(home: Home) -> Iterator[Callable[[str], lxcffi.Container]]:
    """Makes containers that a test need not remove."""
    made: list[lxcffi.Container] = []

    def make(name: str) -> lxcffi.Container:
        made.append(home.create(name))
        return made[-1]

    yield make
    for container in made:
        if container._c is not None:
            if container.is_running:
                container.stop()
            if container.is_defined:
                container.destroy(snapshots=True)


@pytest.fixture(scope="module")
def running(home: Home) -> lxcffi.Container:
    """A container that runs, for what does not end it."""
    container = home.create("running")
    container.config.set("lxc.console.buffer.size", "64kB")
    # Where liblxc mounts what it then moves in the container: that has to be seen there.
    os.mkdir(home.shared)
    mount("tmpfs", home.shared, "tmpfs")
    mount("", home.shared, flags=MS_SHARED)
    container.config.append("lxc.mount.auto", f"shmounts:{home.shared}")
    container.start()
    home.wait_for_init("running")
    return container
