"""`--systemd-cgroup`: what is said to systemd, and what becomes of its answers. tests/vm has a real one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from oci import cgroup, process
from oci.systemd import FakeSystemd, move

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
    """On a host without systemd they are not there; in a test that fails they still hold something."""
    yield
    for path in remaining():
        with contextlib.suppress(OSError):
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


def test_failed_create_ends_the_unit(systemd: FakeSystemd, container: Container) -> None:
    """What fails after systemd made the unit: one more call ends it, and two at most are beside."""
    container.bundle.process["args"] = ["/no/such/program"]
    container.attempt_create(options=DRIVER).refused("/no/such/program")
    assert systemd.members() == ["StartTransientUnit", "StopUnit", "ResetFailedUnit"]


def test_refused_unit(systemd: FakeSystemd, container: Container) -> None:
    """systemd's own words; what may be there is ended."""
    systemd.refusals = {
        "StartTransientUnit": ("org.freedesktop.DBus.Error.PropertyReadOnly", "Cannot set property Foo."),
        "StopUnit": NO_SUCH_UNIT,
    }
    text = container.attempt_create(options=DRIVER).refused()
    assert text == f'lxcri: create: systemd: start "{scope(container)}": cannot set property Foo\n'
    assert systemd.members() == ["StartTransientUnit", "StopUnit"]


def test_refused_property_of_an_annotation(systemd: FakeSystemd, container: Container) -> None:
    """systemd does not always say which property it dislikes."""
    key = "org.systemd.property.TimeoutStopUSec"
    container.bundle.config["annotations"] = {key: "'x'"}
    systemd.refusals = {
        "StartTransientUnit": ("System.Error.ENXIO", "Unexpected message contents"),
        "StopUnit": NO_SUCH_UNIT,
    }
    assert f'annotations["{key}"]' in container.attempt_create(options=DRIVER).refused("nexpected message contents")


def test_unit_of_another(systemd: FakeSystemd, container: Container) -> None:
    """It is not ended."""
    name = scope(container)
    systemd.refusals["StartTransientUnit"] = ("org.freedesktop.systemd1.UnitExists", f"Unit {name} already exists.")
    container.attempt_create(options=DRIVER).refused("already exists")
    assert systemd.members() == ["StartTransientUnit"]


@pytest.mark.parametrize("result", ["failed", "canceled", "timeout", "dependency"])
def test_job_that_fails(systemd: FakeSystemd, container: Container, result: str) -> None:
    """Its result is the reason; other jobs, which end meanwhile, mean nothing."""
    systemd.results = [result]
    container.attempt_create(options=DRIVER).refused(f"the job ended with the result {result}")
    assert systemd.members() == ["StartTransientUnit", "StopUnit", "ResetFailedUnit"]


def test_bus_that_ends_before_the_job(systemd: FakeSystemd, container: Container) -> None:
    """Then `create` fails, and so does ending the unit: what is left is for `delete --force`."""
    systemd.hangs_up = True
    text = container.attempt_create(options=DRIVER).refused(f'start "{scope(container)}"')
    assert f'stop "{scope(container)}"' in text
    systemd.hangs_up = False
    container.delete("--force").ok()
    assert systemd.members() == ["StartTransientUnit", "StopUnit", "ResetFailedUnit"]


def test_misplaced(systemd: FakeSystemd, container: Container) -> None:
    """A process that is not in the scope's cgroup afterwards is an error."""
    systemd.place = lambda *_: None
    container.attempt_create(options=DRIVER).refused(f'not in "/system.slice/{scope(container)}"')
    assert systemd.members() == ["StartTransientUnit", "StopUnit", "ResetFailedUnit"]


def test_delete_of_a_unit_that_is_gone(systemd: FakeSystemd, container: Container) -> None:
    """systemd forgets a scope that is empty."""
    container.create(options=DRIVER)
    systemd.refusals["StopUnit"] = NO_SUCH_UNIT
    container.delete("--force").ok()
    container.wait()
    assert systemd.members() == ["StartTransientUnit", "StopUnit"]


def test_delete_that_systemd_refuses(systemd: FakeSystemd, container: Container) -> None:
    """The container stays, without processes."""
    container.create(options=DRIVER)
    systemd.refusals["StopUnit"] = ("org.freedesktop.DBus.Error.AccessDenied", "Access denied")
    container.delete("--force").refused(f'systemd: stop "{scope(container)}": access denied')
    container.wait()
    assert container.status() == "stopped"
    systemd.refusals.clear()
    container.delete().ok()


def test_no_bus(container: Container) -> None:
    """Neither a bus nor systemd's own socket."""
    container.attempt_create(options=DRIVER).refused("systemd: connect to the system bus: no such file or directory")


def test_private_socket(container: Container) -> None:
    """Without a bus systemd is asked directly, and tells of jobs without being asked to."""
    fake = FakeSystemd(PRIVATE, direct=True)
    try:
        container.create(options=DRIVER)
        container.delete("--force").ok()
        container.wait()
        assert fake.members() == ["StartTransientUnit", "StopUnit", "ResetFailedUnit"]
    finally:
        fake.close()


def test_systemd_that_does_not_run(container: Container) -> None:
    """Nothing is asked, and nothing made."""
    os.rename(BOOTED, f"{BOOTED}.not")
    try:
        container.attempt_create(options=DRIVER).refused("--systemd-cgroup: systemd does not run on this host")
    finally:
        os.rename(f"{BOOTED}.not", BOOTED)


@pytest.mark.parametrize("address", ["DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"])
def test_instance_of_the_user(container: Container, address: str) -> None:
    """Its bus, by either variable; its cgroup is asked for: two calls for a create."""
    directory = container.bundle.directory("runtime")
    bus = f"{directory}/bus"
    container.bundle.linux["cgroupsPath"] = f"app.slice:x:{container.id}"
    fake = FakeSystemd(bus)
    fake.control_group = f"/{container.id}.service"
    fake.place = lambda path, pid: move(f"{container.id}.service/{path}", pid)
    env = {"PATH": "/bin", address: f"unix:path={bus}" if address.startswith("DBUS") else directory}
    try:
        container.create(options=["--rootless=true", *DRIVER], env=env)
        assert set(cgroup.paths(container.pid).values()) == {f"/{container.id}.service/app.slice/{scope(container)}"}
        container.runtime.call("delete", "--force", container.id, env=env).ok()
        container.wait()
        assert fake.members() == ["Get", "StartTransientUnit", "StopUnit", "ResetFailedUnit"]
    finally:
        fake.close()
        for point in set(cgroup.mounts().values()):
            for path in (f"{point}/{container.id}.service/app.slice", f"{point}/{container.id}.service"):
                with contextlib.suppress(FileNotFoundError):
                    os.rmdir(path)


def test_update(systemd: FakeSystemd, container: Container) -> None:
    """Unit and files change together; a change that systemd refuses is taken back."""
    container.bundle.resources.update(cpu={"quota": 20000, "period": 50000}, pids={"limit": 20})
    container.create(options=DRIVER)
    assert systemd.calls[0].properties["CPUQuotaPerSecUSec"] == 400_000
    container.runtime.call("update", "--pids-limit", "30", "--cpu-quota", "10000", container.id).ok()
    call = systemd.calls[1]
    assert (call.member, call.arguments[:2]) == ("SetUnitProperties", [scope(container), True])
    assert call.properties == {"CPUQuotaPerSecUSec": 200_000, "CPUQuotaPeriodUSec": 50_000, "TasksMax": 30}
    assert cgroup.read(container.pid, "pids", "pids.max") == "30"
    systemd.refusals["SetUnitProperties"] = ("org.freedesktop.DBus.Error.InvalidArgs", "Out of range")
    result = container.runtime.call("update", "--pids-limit", "40", container.id)
    result.refused(f'systemd: change "{scope(container)}": out of range')
    assert cgroup.read(container.pid, "pids", "pids.max") == "30"


def test_update_of_devices(systemd: FakeSystemd, container: Container) -> None:
    """Also where all become allowed: the unit's own list would go on to hold."""
    container.create(options=DRIVER)
    rules = container.bundle.file("rules", json.dumps({"devices": [{"allow": True, "access": "rwm"}]}))
    container.runtime.call("update", "--resources", rules, container.id).ok()
    assert systemd.calls[0].properties["DevicePolicy"] == "strict"
    assert systemd.calls[1].properties == {"DevicePolicy": "auto", "DeviceAllow": []}


def test_limits_that_are_no_properties(systemd: FakeSystemd, container: Container) -> None:
    """An update of those alone asks systemd nothing."""
    container.create(options=DRIVER)
    container.runtime.call("update", "--cpuset-mems", "0", container.id).ok()
    assert systemd.members() == ["StartTransientUnit"] + ["SetUnitProperties"] * cgroup.is_v2()


def test_hooks_before_the_pivot(systemd: FakeSystemd, container: Container) -> None:
    """Where the mounts are made by a process of its own, that is placed with init."""
    container.bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/true"}]}
    container.create(options=DRIVER)
    assert systemd.calls[0].properties["PIDs"][0] == container.pid
    assert len(systemd.calls[0].properties["PIDs"]) == 2
    assert len(systemd.calls) == 1


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_without_the_option(systemd: FakeSystemd, container: Container) -> None:
    """Neither systemd nor its library is touched."""
    container.bundle.linux["cgroupsPath"] = f"/{container.id}"
    with open(f"{container.bundle.path}/trace", "w+") as trace:
        wrapper = ["strace", "-o", trace.name, "-e", "trace=openat,connect"]
        container.create(wrapper=wrapper)
        assert "libsystemd" not in trace.read()
    assert systemd.calls == []


def test_slices_of_other_hierarchies(systemd: FakeSystemd, container: Container) -> None:
    """systemd keeps slices in its own hierarchies alone: in the others what create made goes with the container."""
    if cgroup.is_v2():
        pytest.skip("there is but one hierarchy")
    container.bundle.linux["cgroupsPath"] = f"{container.id.replace('-', '')}.slice:x:{container.id}"
    container.create(options=DRIVER)
    freezer, own = (os.path.dirname(cgroup.directory(container.pid, name)) for name in ("freezer", "pids"))
    container.delete("--force").ok()
    container.wait()
    assert not os.path.exists(freezer)
    assert os.path.exists(own)
    for point in set(cgroup.mounts().values()):
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(f"{point}/{os.path.basename(own)}")


def test_record_of_the_unit(systemd: FakeSystemd, container: Container) -> None:
    """Who is killed while systemd works leaves a container whose unit `delete` ends."""
    systemd.results = [None]
    container.bundle.write()
    command = container.runtime.spawn("create", "--bundle", container.bundle.path, container.id, options=DRIVER)
    process.wait_for(lambda: systemd.jobs == 1, "the job")
    command.kill()
    command.wait()
    container.delete("--force").ok()
    assert systemd.members() == ["StartTransientUnit", "StopUnit", "ResetFailedUnit"]
