"""config.json's linux.cgroupsPath and linux.resources: where the container is, and what limits it there."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
from typing import TYPE_CHECKING, Any

import pytest
from oci import cgroup, process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.bundle import Bundle

V1 = pytest.mark.skipif(cgroup.is_v2(), reason="the files of cgroup v1")


def sleeper(bundle: Bundle) -> int:
    return bundle.container("/bin/sleep", "100").up().pid


def test_own_cgroup_in_every_hierarchy(bundle: Bundle) -> None:
    """seed: configureCgroup: without cgroupsPath the id names it; no hierarchy is left out."""
    container = bundle.container("/bin/sleep", "100").up()
    found = cgroup.paths(container.pid)
    assert set(found) == set(cgroup.paths("self"))
    for controller, path in found.items():
        assert container.id in path, controller


def test_absolute_cgroups_path(bundle: Bundle) -> None:
    """seed: configureCgroup: an absolute path is below the root of each hierarchy, exactly."""
    path = f"/{bundle.runtime.new_id()}"
    bundle.linux["cgroupsPath"] = path
    container = bundle.container("/bin/sleep", "100").up()
    assert set(cgroup.paths(container.pid).values()) == {path}
    for controller in cgroup.mounts():
        assert os.path.isdir(cgroup.mounts()[controller] + path)


@contextlib.contextmanager
def premade(path: str) -> Iterator[None]:
    """A cgroup in every hierarchy that is there before the container."""
    directories = [point + path for point in set(cgroup.mounts().values())]
    for directory in directories:
        os.mkdir(directory)
    try:
        yield
        for directory in directories:
            assert os.path.isdir(directory), f"{directory}: not the container's to remove"
    finally:
        for directory in directories:
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(directory)


def test_cgroup_below_an_existing_parent(bundle: Bundle) -> None:
    """The parent is the engine's, and stays."""
    parent = f"/{bundle.runtime.new_id()}-parent"
    bundle.linux["cgroupsPath"] = f"{parent}/leaf"
    with premade(parent):
        container = bundle.container("/bin/sleep", "100").up()
        assert set(cgroup.paths(container.pid).values()) == {f"{parent}/leaf"}
        container.close()
        for point in set(cgroup.mounts().values()):
            assert not os.path.exists(f"{point}{parent}/leaf")


@pytest.mark.runc_differs("1.1 leaves parents that it made")
def test_parents_that_the_runtime_made_are_removed(bundle: Bundle) -> None:
    """delete: resources that were created in create MUST be deleted."""
    bundle.linux["cgroupsPath"] = f"/{bundle.runtime.new_id()}-one/two/leaf"
    container = bundle.container("/bin/true").up()
    container.wait()
    container.delete().ok()
    for point in set(cgroup.mounts().values()):
        assert not os.path.exists(f"{point}/{bundle.linux['cgroupsPath'].split('/')[1]}")


def test_relative_cgroups_path(bundle: Bundle) -> None:
    """The runtime chooses where it begins; the path is at its end."""
    name = bundle.runtime.new_id()
    bundle.linux["cgroupsPath"] = name
    found = cgroup.paths(sleeper(bundle))
    assert all(path.endswith(f"/{name}") for path in found.values())


def test_existing_empty_cgroup_is_used(bundle: Bundle) -> None:
    """A leaf that the engine made for the container is no error."""
    path = f"/{bundle.runtime.new_id()}"
    bundle.linux["cgroupsPath"] = path
    for point in set(cgroup.mounts().values()):
        os.mkdir(point + path)
    try:
        container = bundle.container("/bin/sleep", "100").up()
        assert set(cgroup.paths(container.pid).values()) == {path}
        container.close()
    finally:
        for point in set(cgroup.mounts().values()):
            with contextlib.suppress(FileNotFoundError):
                os.rmdir(point + path)


@pytest.mark.runc_differs("1.1 warns, and takes it")
def test_cgroup_of_another_container_is_refused(bundle: Bundle) -> None:
    """Two containers in one cgroup would be killed together; the first one is left alone."""
    path = f"/{bundle.runtime.new_id()}"
    bundle.linux["cgroupsPath"] = path
    first = bundle.container("/bin/sleep", "100").up()
    result = bundle.container("/bin/sleep", "100").attempt_create()
    assert first.status() == "running"
    assert set(cgroup.paths(first.pid).values()) == {path}
    assert result.returncode == 1, "a cgroup in use was taken"


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.lxcri_only("where it is killed is where lxcri makes its cgroups")
def test_a_killed_create_is_not_deleted_with_another_container(bundle: Bundle) -> None:
    """Before it could see that the cgroup is in use."""
    bundle.linux["cgroupsPath"] = f"/{bundle.runtime.new_id()}"
    first = bundle.container("/bin/sleep", "100").up()
    for nth in range(1, 5):
        identity = bundle.runtime.new_id()
        inject = ["-e", "trace=mkdir", "-e", f"inject=mkdir:signal=KILL:when={nth}"]
        bundle.runtime.call(
            "create", "--bundle", bundle.path, identity, wrapper=["strace", "-qq", "-o", "/dev/null", *inject]
        )
        bundle.runtime.call("delete", "--force", identity).ok()
        assert first.status() == "running", nth
        assert set(cgroup.paths(first.pid).values()) == {bundle.linux["cgroupsPath"]}


def test_children_of_the_process_are_in_the_cgroup(bundle: Bundle) -> None:
    """And so is everything else of the container."""
    container = bundle.shell("sleep 100 & sleep 100 & echo up; wait").up()
    container.wait_output("up")
    for controller in cgroup.mounts():
        assert len(cgroup.read(container.pid, controller, "cgroup.procs").split()) == 3


def test_cgroups_made_by_the_container_are_removed(bundle: Bundle) -> None:
    """Child cgroups, as systemd in a container makes them, do not keep delete from its work."""
    container = bundle.container("/bin/sleep", "100").up()
    for controller in ("pids", "memory", "name=systemd"):
        os.makedirs(os.path.join(cgroup.directory(container.pid, controller), "child/grandchild"), exist_ok=True)
    container.kill("KILL").ok()
    container.wait()
    container.delete().ok()


UNLIMITED = "9223372036854771712"  # bytes, in pages, as v1 shows it
# the property, its value; then the controller, the file and its content on v1; the file and its content on v2
LIMITS: dict[str, tuple[dict[str, Any], tuple[str, str, str], tuple[str, str]]] = {
    "memory.limit": (
        {"memory": {"limit": 67108864}},
        ("memory", "memory.limit_in_bytes", "67108864"),
        ("memory.max", "67108864"),
    ),
    "memory.limit unlimited": (
        {"memory": {"limit": -1}},
        ("memory", "memory.limit_in_bytes", UNLIMITED),
        ("memory.max", "max"),
    ),
    "memory.reservation": (
        {"memory": {"reservation": 33554432}},
        ("memory", "memory.soft_limit_in_bytes", "33554432"),
        ("memory.low", "33554432"),
    ),
    "memory.swap": (
        {"memory": {"limit": 67108864, "swap": 134217728}},
        ("memory", "memory.memsw.limit_in_bytes", "134217728"),
        ("memory.swap.max", "67108864"),
    ),
    "memory.swap unlimited": (
        {"memory": {"limit": 67108864, "swap": -1}},
        ("memory", "memory.memsw.limit_in_bytes", UNLIMITED),
        ("memory.swap.max", "max"),
    ),
    "cpu.shares": ({"cpu": {"shares": 262144}}, ("cpu", "cpu.shares", "262144"), ("cpu.weight", "10000")),
    "cpu.quota": (
        {"cpu": {"quota": 50000, "period": 200000}},
        ("cpu", "cpu.cfs_quota_us", "50000"),
        ("cpu.max", "50000 200000"),
    ),
    "cpu.quota unlimited": (
        {"cpu": {"quota": -1}},
        ("cpu", "cpu.cfs_quota_us", "-1"),
        ("cpu.max", "max 100000"),
    ),
    "cpu.period": (
        {"cpu": {"period": 200000}},
        ("cpu", "cpu.cfs_period_us", "200000"),
        ("cpu.max", "max 200000"),
    ),
    "cpu.cpus": ({"cpu": {"cpus": "0"}}, ("cpuset", "cpuset.cpus", "0"), ("cpuset.cpus", "0")),
    "cpu.mems": ({"cpu": {"mems": "0"}}, ("cpuset", "cpuset.mems", "0"), ("cpuset.mems", "0")),
    "pids.limit": ({"pids": {"limit": 123}}, ("pids", "pids.max", "123"), ("pids.max", "123")),
    "pids.limit unlimited": ({"pids": {"limit": -1}}, ("pids", "pids.max", "max"), ("pids.max", "max")),
}


@pytest.mark.parametrize("name", sorted(LIMITS))
def test_limit_is_in_its_file(bundle: Bundle, name: str) -> None:
    """seed: configureCgroup: each property of linux.resources, as the kernel shows it."""
    resources, (controller, *v1), v2 = LIMITS[name]
    file, expected = v2 if cgroup.is_v2() else v1
    bundle.resources.update(resources)
    pid = sleeper(bundle)
    if not os.path.exists(os.path.join(cgroup.directory(pid, controller), file)):
        pytest.skip(f"this kernel has no {file}")
    assert cgroup.read(pid, controller, file) == expected


@V1
def test_memory_swappiness(bundle: Bundle) -> None:
    """cgroup v1 only."""
    bundle.resources["memory"] = {"swappiness": 7}
    assert cgroup.read(sleeper(bundle), "memory", "memory.swappiness") == "7"


@V1
def test_oom_killer_can_be_disabled(bundle: Bundle) -> None:
    """cgroup v1 only."""
    bundle.resources["memory"] = {"limit": 67108864, "disableOOMKiller": True}
    assert "oom_kill_disable 1" in cgroup.read(sleeper(bundle), "memory", "memory.oom_control")


def test_several_limits_at_once(bundle: Bundle) -> None:
    """As engines send them, some of them 0, which means 'not set'."""
    bundle.resources.update(
        {
            "memory": {"limit": 67108864, "reservation": 0, "swap": 67108864, "kernel": 0},
            "cpu": {"shares": 0, "quota": 0, "period": 0},
            "pids": {"limit": 50},
            "blockIO": {"weight": 0},
        }
    )
    pid = sleeper(bundle)
    if cgroup.is_v2():
        assert cgroup.read(pid, "cpu", "cpu.max") == "max 100000"
    else:
        assert cgroup.read(pid, "memory", "memory.limit_in_bytes") == "67108864"
        assert cgroup.read(pid, "cpu", "cpu.cfs_quota_us") == "-1"
        assert cgroup.read(pid, "cpu", "cpu.shares") == "1024"


def test_limits_are_there_before_start(bundle: Bundle) -> None:
    """The created container has them, so that the engine can check."""
    bundle.resources["pids"] = {"limit": 60}
    container = bundle.container("/bin/true")
    container.create()
    assert cgroup.read(container.pid, "pids", "pids.max") == "60"


def test_pids_limit_binds(bundle: Bundle) -> None:
    """fork fails when it is reached; the runtime's own processes do not count after start."""
    bundle.resources["pids"] = {"limit": 3}
    result = bundle.run("/bin/sh", "-c", "sleep 5 & sleep 5 & sleep 5 & echo more; kill %1 %2 %3; exit 9")
    assert "can't fork" in result.stderr
    assert "more" not in result.stdout


def test_memory_limit_binds(bundle: Bundle) -> None:
    """What takes too much is killed."""
    bundle.resources["memory"] = {"limit": 25165824, "swap": 25165824}
    container = bundle.container("/bin/sh", "-c", "head -c 100000000 /dev/zero | tail >/dev/null; echo $?")
    container.up()
    code = container.wait()
    assert code == -signal.SIGKILL or container.output() == "137\n"


def test_cpus_bind(bundle: Bundle) -> None:
    """The process may run on these only."""
    bundle.resources["cpu"] = {"cpus": "0"}
    assert "Cpus_allowed_list:\t0\n" in bundle.sh("cat /proc/self/status")


@pytest.mark.parametrize(
    ("resources", "where"),
    [
        ({"cpu": {"cpus": "4000"}}, "linux.resources.cpu.cpus"),
        ({"cpu": {"quota": 50000, "period": 1}}, "linux.resources.cpu"),
        ({"memory": {"limit": 67108864, "swap": 1000}}, "linux.resources.memory.swap"),
    ],
)
def test_bad_limit_is_an_error(bundle: Bundle, resources: dict[str, Any], where: str) -> None:
    """The property is named; cgroups, processes and state are gone afterwards."""
    bundle.resources.update(resources)
    bundle.run().refused(where=where)


def test_delete_kills_what_is_left_in_the_cgroup(bundle: Bundle) -> None:
    """Without a pid namespace, processes survive the container's init; delete does not leave them."""
    bundle.without_namespace("pid")
    container = bundle.shell("setsid sleep 100 & echo $!").up()
    container.wait()
    orphan = int(container.wait_output("\n"))
    container.delete("--force").ok()
    assert process.ended(orphan)


def test_cgroup_namespace_is_made_after_placement(bundle: Bundle) -> None:
    """The container's own cgroup is the namespace's root."""
    bundle.namespace("cgroup")
    paths = {line.split(":", 2)[2] for line in bundle.sh("cat /proc/self/cgroup").splitlines()}
    assert paths == {"/"}


def test_state_of_the_callers_cgroup_is_unchanged(bundle: Bundle) -> None:
    """Neither the caller nor the runtime itself moves."""
    before = cgroup.paths("self")
    bundle.run().ok()
    assert cgroup.paths("self") == before
