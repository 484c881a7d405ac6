"""`--systemd-cgroup` under systemd itself, with cgroup2 alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from oci import cgroup, engine, process
from oci.podman import IMAGE, RUN, Podman

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.bundle import Bundle
    from oci.machine import Machine
    from oci.rootfs import Skeleton
    from oci.runtime import Container, Result, Runtime

DRIVER = ["--systemd-cgroup"]
RUN_OF_THE_HOST = "/proc/1/root/run"
NO_BUS = {"PATH": "/usr/bin:/bin", "DBUS_SYSTEM_BUS_ADDRESS": "unix:path=/nonexistent"}
RUNC = "/usr/sbin/runc"

MIB = 1 << 20
INFINITY = str(2**64 - 1)
AGREEING = {
    "memory.max": "MemoryMax",
    "memory.low": "MemoryLow",
    "memory.swap.max": "MemorySwapMax",
    "cpu.weight": "CPUWeight",
    "pids.max": "TasksMax",
}
"""Properties by the file with the same value."""


@pytest.fixture(scope="module", autouse=True)
def _systemd(machine: Machine) -> Iterator[None]:
    """The tests' own /run gets what programs need to reach systemd."""
    if not os.path.isdir(f"{RUN_OF_THE_HOST}/systemd/system"):
        pytest.skip("systemd does not run this machine")
    if not cgroup.is_v2():
        pytest.skip("not with cgroup2 alone")
    names = ("dbus", "systemd")
    for name in names:
        os.symlink(f"{RUN_OF_THE_HOST}/{name}", f"/run/{name}")
    yield
    for name in names:
        os.unlink(f"/run/{name}")


@pytest.fixture(autouse=True)
def _leaves_no_unit(machine: Machine, as_before: None) -> Iterator[None]:
    yield
    process.wait_for(lambda: not units(machine.prefix), f"no unit is left: {units(machine.prefix)}")


def systemctl(*arguments: str) -> str:
    """The output of systemctl."""
    return subprocess.run(["systemctl", *arguments], check=True, capture_output=True, text=True, timeout=60).stdout


def units(text: str) -> list[str]:
    """Scopes, loaded in whatever state, with this in their names."""
    listed = systemctl("list-units", "--all", "--plain", "--no-legend", f"*{text}*.scope")
    return [line.split()[0] for line in listed.splitlines()]


def show(unit: str, *names: str) -> list[str]:
    """Properties of a scope, as D-Bus has them."""
    path = "".join(c if c.isalnum() else f"_{ord(c):02x}" for c in unit)
    done = subprocess.run(
        ["busctl", "get-property", "org.freedesktop.systemd1", f"/org/freedesktop/systemd1/unit/{path}",
         "org.freedesktop.systemd1.Scope", *names],
        check=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    return [line.partition(" ")[2] for line in done.stdout.splitlines()]


def agreement(container: Container, unit: str) -> dict[str, str]:
    """The values of the files, of which the unit's properties are the same."""
    *found, quota, period, cpus = show(
        unit, *AGREEING.values(), "CPUQuotaPerSecUSec", "CPUQuotaPeriodUSec", "AllowedCPUs"
    )
    in_files = {name: cgroup.read(container.pid, "", name) for name in AGREEING}
    assert dict(zip(AGREEING, found, strict=True)) == {n: v.replace("max", INFINITY) for n, v in in_files.items()}
    in_files["cpu.max"] = cgroup.read(container.pid, "", "cpu.max")
    used, every = in_files["cpu.max"].split()
    assert (quota, period) == (INFINITY if used == "max" else str(int(used) * 1_000_000 // int(every)), every)
    in_files["cpuset.cpus"] = cgroup.read(container.pid, "", "cpuset.cpus")
    length, *mask = cpus.split()
    assert int(length) == len(mask)
    assert mask[:1] == {"": [], "0": ["1"], "0-1": ["3"]}[in_files["cpuset.cpus"]]
    return in_files


def execute(container: Container, script: str) -> Result:
    """`exec` of a shell script."""
    return container.runtime.call("exec", container.id, "/bin/sh", "-c", script).ok()


LIMITS: dict[str, Any] = {
    "memory": {"limit": 64 * MIB, "reservation": 32 * MIB, "swap": 96 * MIB},
    "cpu": {"shares": 512, "quota": 50000, "period": 100000, "cpus": "0"},
    "pids": {"limit": 50},
}


def test_life(bundle: Bundle) -> None:
    """Every verb, with limits that unit and files agree about, also when systemd reads its units anew."""
    bundle.resources.update(LIMITS)
    container = bundle.container("/bin/sleep", "1000")
    container.create(options=DRIVER)
    unit = f"lxcri-{container.id}.scope"
    place = f"/system.slice/{unit}"
    assert cgroup.paths(container.pid) == {"": place}
    assert show(unit, "ControlGroup", "Slice", "Delegate", "DevicePolicy") == [
        f'"{place}"', '"system.slice"', "true", '"strict"'
    ]  # fmt: skip
    before = agreement(container, unit)
    assert before == {
        "memory.max": str(64 * MIB), "memory.low": str(32 * MIB), "memory.swap.max": str(32 * MIB),
        "cpu.weight": before["cpu.weight"], "pids.max": "50", "cpu.max": "50000 100000", "cpuset.cpus": "0",
    }  # fmt: skip
    assert container.status() == "created"
    container.start()
    systemctl("daemon-reload")
    assert agreement(container, unit) == before
    assert execute(container, "cat /proc/self/cgroup").stdout == f"0::{place}\n"

    container.runtime.call("pause", container.id).ok()
    assert container.status() == "paused"
    assert cgroup.read(container.pid, "", "cgroup.freeze") == "1"
    container.runtime.call("resume", container.id).ok()
    assert container.status() == "running"
    stats = json.loads(container.runtime.call("events", "--stats", container.id).ok().stdout)
    assert stats["data"]["memory"]["usage"]["limit"] == 64 * MIB

    container.runtime.call(
        "update", "--memory", "128M", "--memory-swap", "-1", "--cpu-quota", "30000", "--cpuset-cpus", "0-1",
        "--pids-limit", "60", "--cpu-share", "2048", container.id,
    ).ok()  # fmt: skip
    changed = agreement(container, unit)
    assert changed == {
        **changed, "memory.max": str(128 * MIB), "memory.swap.max": "max", "cpu.max": "30000 100000",
        "cpuset.cpus": "0-1", "pids.max": "60",
    }  # fmt: skip
    assert int(changed["cpu.weight"]) > 100 > int(before["cpu.weight"])
    systemctl("daemon-reload")
    assert agreement(container, unit) == changed

    container.kill("KILL").ok()
    container.wait()
    container.delete().ok()


def test_devices(bundle: Bundle) -> None:
    """What the rules allow can be opened, before and after systemd has applied its own list again."""
    bundle.resources["devices"] = [
        {"allow": False, "access": "rwm"},
        {"allow": True, "type": "c", "major": 1, "minor": 11, "access": "w"},
    ]
    bundle.linux["devices"] = [
        {"path": f"/dev/{name}", "type": "c", "major": major, "minor": minor, "fileMode": 0o666}
        for name, major, minor in (("kmsg", 1, 11), ("hosts", 5, 1))
    ]
    container = bundle.container("/bin/sleep", "1000")
    container.create(options=DRIVER)
    container.start()
    script = "exec 2>&-; for f in null kmsg hosts; do (: >>/dev/$f) && echo $f; done; (: </dev/kmsg) || echo no"
    assert execute(container, script).stdout == "null\nkmsg\nno\n"
    unit = f"lxcri-{container.id}.scope"
    allowed = show(unit, "DeviceAllow")[0]
    for entry in ('"/dev/char/1:11" "w"', '"char-136" "rwm"', '"block-*" "m"', '"/dev/char/1:3" "rwm"'):
        assert entry in allowed
    systemctl("daemon-reload")
    assert execute(container, script).stdout == "null\nkmsg\nno\n"
    rules = bundle.file("rules", json.dumps({"devices": [{"allow": True, "access": "rwm"}]}))
    container.runtime.call("update", "--resources", rules, container.id).ok()
    assert show(unit, "DevicePolicy", "DeviceAllow") == ['"auto"', "0"]
    process.wait_for(lambda: "hosts" in execute(container, script).stdout, "access to all")


def test_slices(bundle: Bundle) -> None:
    """A slice in a slice, and the annotations of a unit; without the bus systemd is asked directly."""
    container = bundle.container("/bin/sleep", "1000")
    bundle.linux["cgroupsPath"] = f"lxcritest-inner.slice:x:{container.id}"
    bundle.config["annotations"] = {"org.systemd.property.TimeoutStopSec": "7"}
    container.create(options=DRIVER, env=NO_BUS)
    unit = f"x-{container.id}.scope"
    assert cgroup.paths(container.pid) == {"": f"/lxcritest.slice/lxcritest-inner.slice/{unit}"}
    assert show(unit, "TimeoutStopUSec") == ["7000000"]
    container.runtime.call("delete", "--force", container.id, env=NO_BUS).ok()
    container.wait()
    systemctl("stop", "lxcritest-inner.slice", "lxcritest.slice")
    assert not os.path.exists("/sys/fs/cgroup/lxcritest.slice")


def test_unit_that_is_a_slice(bundle: Bundle) -> None:
    """The name of a slice as the container's own: it is in that slice."""
    bundle.linux["cgroupsPath"] = "lxcritest.slice:x:lxcritest-one.slice"
    container = bundle.container("/bin/sleep", "1000")
    container.create(options=DRIVER)
    assert cgroup.paths(container.pid) == {"": "/lxcritest.slice/lxcritest-one.slice"}
    assert systemctl("is-active", "lxcritest-one.slice") == "active\n"
    container.runtime.call("delete", "--force", container.id).ok()
    container.wait()
    assert systemctl("show", "--property", "ActiveState", "lxcritest-one.slice") == "ActiveState=inactive\n"
    systemctl("stop", "lxcritest.slice")


def test_hierarchy_in_sight(bundle: Bundle) -> None:
    """Without a cgroup namespace the container's own directory is bound, which is there before systemd has the unit."""
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ("ro", "nosuid", "noexec", "nodev"))
    bundle.resources["pids"] = {"limit": 55}
    container = bundle.container("/bin/sleep", "1000")
    container.create(options=DRIVER)
    container.start()
    assert execute(container, "cat /sys/fs/cgroup/pids.max").stdout == "55\n"


@pytest.mark.parametrize(
    ("annotation", "args", "text"),
    [
        ("'no number'", ["/bin/true"], 'annotations["org.systemd.property.TimeoutStopUSec"]'),
        ("uint64 5", ["/no/such/program"], "/no/such/program"),
    ],
)
def test_create_that_fails(bundle: Bundle, annotation: str, args: list[str], text: str) -> None:
    """Nothing is left, whether systemd refuses or something else fails later."""
    bundle.config["annotations"] = {"org.systemd.property.TimeoutStopUSec": annotation}
    assert text in bundle.container(*args).attempt_create(options=DRIVER).refused()


def test_name_that_is_taken(bundle: Bundle) -> None:
    """The unit of another is not touched."""
    first, second = (bundle.container("/bin/sleep", "1000") for _ in range(2))
    bundle.linux["cgroupsPath"] = f":x:{first.id}"
    first.create(options=DRIVER)
    second.attempt_create(options=DRIVER).refused("in use")
    assert first.status() == "created"
    assert units(first.id) == [f"x-{first.id}.scope"]


def test_end_by_itself(bundle: Bundle) -> None:
    """systemd forgets the scope when it is empty, also when the kernel killed what was in it; the id is free again."""
    bundle.resources["memory"] = {"limit": 8 * MIB, "swap": 8 * MIB}
    identity = bundle.runtime.new_id()
    for _ in range(2):
        container = bundle.shell("exec dd if=/dev/zero of=/dev/null bs=64M", identity)
        container.create(options=DRIVER)
        container.start()
        assert container.wait() == -9
        assert container.status() == "stopped"
        container.delete().ok()
        bundle.forget(container)


def test_as_runc(bundle: Bundle, runtime: Runtime) -> None:
    """The properties that runc's units have are the same, but for names and for what a scope is collected by."""
    if not os.access(RUNC, os.X_OK):
        pytest.skip("runc is not installed")
    bundle.resources.update(LIMITS)
    found = []
    for binary, prefix in ((runtime.path, "lxcri"), (RUNC, "runc")):
        container = bundle.container("/bin/sleep", "1000")
        bundle.write()
        base = [binary, "--root", os.path.join(bundle.path, "state"), *DRIVER]
        subprocess.run(
            [*base, "create", "--bundle", bundle.path, "--pid-file", container.pid_file, container.id],
            check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip
        try:
            found.append(systemctl("show", f"{prefix}-{container.id}.scope").replace(container.id, "ID").splitlines())
        finally:
            subprocess.run([*base, "delete", "--force", container.id], check=True, timeout=60)
        process.kill_children()
    differing = {line.partition("=")[0] for line in set(found[0]) ^ set(found[1])}
    measured = {name for name in differing if name.endswith(("Timestamp", "TimestampMonotonic", "USageNSec"))}
    measured |= {"InvocationID", "MemoryCurrent", "MemoryAvailable", "CPUUsageNSec", "TasksCurrent"}
    named = {"Id", "Names", "Description", "ControlGroup", "ControlGroupId", "Transient", "FragmentPath", "DropInPaths"}
    rest = differing - measured - named
    told = [[line for line in lines if line.partition("=")[0] in rest - {"DeviceAllow"}] for lines in found]
    # runc: another curve of weights, devices without a name left out, and units that need a reload
    assert rest <= {"CollectMode", "CPUWeight", "DeviceAllow", "NeedDaemonReload"}, told


def test_podman(machine: Machine, runtime: Runtime, skeleton: Skeleton) -> None:
    """podman with its cgroup manager systemd: run, exec, update, stop, rm; conmon has a scope of its own."""
    if shutil.which("podman") is None or shutil.which("conmon") is None:
        pytest.skip("podman is not installed")
    directory = os.path.join(machine.work, "podman")
    rootfs = os.path.join(machine.work, "image")
    skeleton.build(rootfs)
    os.makedirs(directory)
    podman = Podman(runtime.path, directory, "machine.slice")
    podman.options[podman.options.index("cgroupfs")] = "systemd"
    state = f"/run/{runtime.name}"
    os.makedirs(state, mode=0o700)
    archive = os.path.join(directory, "image.tar")
    subprocess.run(["tar", "-C", rootfs, "-cf", archive, "."], check=True)
    try:
        podman("import", "--change", "ENV PATH=/bin", archive, IMAGE).ok()
        started = podman(
            *RUN, "-d", "--name", "one", "--memory", "64m", "--pids-limit", "40", IMAGE, "/bin/sleep", "1000"
        ).ok()
        unit = f"libpod-{started.stdout.strip()}.scope"
        assert show(unit, "ControlGroup", "MemoryMax", "TasksMax") == [
            f'"/machine.slice/{unit}"', str(64 * MIB), "40"
        ]  # fmt: skip
        assert podman("exec", "one", "/bin/sh", "-c", "cat /sys/fs/cgroup/memory.max").ok().stdout == f"{64 * MIB}\n"
        podman("update", "--memory", "96m", "one").ok()
        assert show(unit, "MemoryMax") == [str(96 * MIB)]
        assert podman("exec", "one", "/bin/cat", "/sys/fs/cgroup/memory.max").ok().stdout == f"{96 * MIB}\n"
        podman("stop", "--time", "0", "one").ok()
        podman("rm", "one").ok()
        process.wait_for(lambda: not units("libpod"), "no unit of podman's is left")
    finally:
        podman("rm", "--all", "--force", "--time", "0")
        podman("rmi", "--all", "--force")
        process.kill_children()
        shutil.rmtree(rootfs)
        engine.remove(directory)
        shutil.rmtree(state)
        shutil.rmtree("/run/containers", ignore_errors=True)
    assert not os.path.exists(f"/sys/fs/cgroup/machine.slice/{unit}")
