"""`--systemd-cgroup`: what is said to systemd, and what becomes of its answers. tests/vm has a real one."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from oci import cgroup
from oci.systemd import FakeSystemd

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.bundle import Bundle
    from oci.machine import Machine
    from oci.runtime import Container

pytestmark = pytest.mark.lxcri_only("the stand-in for systemd answers no more than what lxcri asks")

BUS = "/run/dbus/system_bus_socket"
PRIVATE = "/run/systemd/private"
BOOTED = "/run/systemd/system"
DRIVER = ["--systemd-cgroup"]
NO_SUCH_UNIT = ("org.freedesktop.systemd1.NoSuchUnit", "Unit x.scope not loaded.")


@pytest.fixture(scope="module", autouse=True)
def _booted(machine: Machine) -> Iterator[None]:
    """A host that looks as if systemd had booted it, in the tests' own /run."""
    if os.path.exists(BOOTED):
        pytest.skip("a test's /run is empty")
    os.makedirs(BOOTED)
    os.makedirs(os.path.dirname(BUS))
    yield
    for path in (BOOTED, os.path.dirname(BOOTED), os.path.dirname(BUS)):
        os.rmdir(path)


@pytest.fixture
def systemd() -> Iterator[FakeSystemd]:
    """The stand-in, on the system bus."""
    fake = FakeSystemd(BUS)
    yield fake
    fake.close()


@pytest.fixture
def container(bundle: Bundle) -> Container:
    """A container that only waits, in the tests' own cgroup."""
    container = bundle.container("/bin/sleep", "100")
    bundle.linux["cgroupsPath"] = f"system.slice:x:{container.id}"
    return container


def scope(container: Container) -> str:
    """The unit of the container."""
    return f"x-{container.id}.scope"


def remaining() -> list[str]:
    """Directories of slices in any hierarchy."""
    return [path for point in cgroup.mounts().values() for path in [f"{point}/system.slice"] if os.path.isdir(path)]


@pytest.fixture(autouse=True)
def _no_slices(as_before: None) -> Iterator[None]:
    """As systemd leaves them: without containers."""
    assert remaining() == []
    yield
    for path in remaining():
        os.rmdir(path)


def test_create_and_delete(systemd: FakeSystemd, container: Container) -> None:
    """One call makes the container's unit, two end it. It is in the scope's cgroup in every hierarchy."""
    container.create(options=DRIVER)
    assert systemd.members() == ["StartTransientUnit"]
    assert systemd.calls[0].arguments[:2] == [scope(container), "replace"]
    assert systemd.calls[0].properties["PIDs"] == [container.pid]
    assert set(cgroup.paths(container.pid).values()) == {f"/system.slice/{scope(container)}"}
    container.start()
    assert container.status() == "running"
    container.kill("KILL").ok()
    container.wait()
    container.delete().ok()
    assert systemd.members() == ["StartTransientUnit", "StopUnit", "ResetFailedUnit"]
    assert systemd.calls[1].arguments == [scope(container), "replace"]
    assert len(systemd.matches) == 2
    assert all(f"arg2='{scope(container)}'" in rule for rule in systemd.matches)
