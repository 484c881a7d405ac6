"""The verb update."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from oci import cgroup

if TYPE_CHECKING:
    from oci.bundle import Bundle
    from oci.runtime import Container, Result

MIB = 1024 * 1024

V1_FILES = {
    "memory": ("memory", "memory.limit_in_bytes"),
    "swap": ("memory", "memory.memsw.limit_in_bytes"),
    "reservation": ("memory", "memory.soft_limit_in_bytes"),
    "shares": ("cpu", "cpu.shares"),
    "quota": ("cpu", "cpu.cfs_quota_us"),
    "period": ("cpu", "cpu.cfs_period_us"),
    "cpus": ("cpuset", "cpuset.cpus"),
    "mems": ("cpuset", "cpuset.mems"),
    "pids": ("pids", "pids.max"),
}

LIMITS = {
    "memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB},
    "cpu": {"shares": 512, "quota": 40_000, "period": 80_000},
    "pids": {"limit": 50},
}
"""What a container starts with."""

pytestmark = pytest.mark.skipif(cgroup.is_v2(), reason="the files are those of cgroup v1")


def limits(container: Container) -> dict[str, str]:
    """The values in the files of its cgroup."""
    return {name: cgroup.read(container.pid, *file) for name, file in V1_FILES.items()}


def limited(bundle: Bundle) -> tuple[Container, dict[str, str]]:
    """A running container with LIMITS, and the values that its files have."""
    bundle.resources.update(LIMITS)
    container = bundle.container("/bin/sleep", "100").up()
    return container, limits(container)


def changed(container: Container, before: dict[str, str]) -> dict[str, str]:
    """The values that are not as before."""
    return {name: value for name, value in limits(container).items() if value != before[name]}


def update(container: Container, *options: str) -> Result:
    """``update`` by options."""
    return container.runtime.call("update", *options, container.id)


def update_resources(container: Container, resources: Any, *, by: str = "-") -> Result:
    """``update`` by a document, on standard input unless a file is named."""
    path = os.path.join(container.bundle.path, "resources.json")
    with open(path, "w") as file:
        file.write(resources if isinstance(resources, str) else json.dumps(resources))
    with open(path) as file:
        return container.runtime.call(
            "update", "--resources", by if by == "-" else path, container.id, stdin=file.fileno()
        )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--memory", str(48 * MIB)], {"memory": str(48 * MIB)}),
        (["--memory", "48M"], {"memory": str(48 * MIB)}),
        (["--memory=48m"], {"memory": str(48 * MIB)}),
        (["--memory", "49152 KiB"], {"memory": str(48 * MIB)}),
        (["--memory-swap", "128M"], {"swap": str(128 * MIB)}),
        (["--memory-reservation", "16M"], {"reservation": str(16 * MIB)}),
        (["--cpu-share", "2048"], {"shares": "2048"}),
        (["--cpu-quota", "20000"], {"quota": "20000"}),
        (["--cpu-quota", "-1"], {"quota": "-1"}),
        (["--cpu-period", "50000"], {"period": "50000"}),
        (["--cpu-period", "50000", "--cpu-quota", "10000"], {"period": "50000", "quota": "10000"}),
        (["--cpuset-cpus", "0", "--cpuset-mems", "0"], {"cpus": "0"}),
        (["--pids-limit", "7"], {"pids": "7"}),
        (["--pids-limit", "-1"], {"pids": "max"}),
    ],
)
def test_options(bundle: Bundle, options: list[str], expected: dict[str, str]) -> None:
    """Each changes its file and no other."""
    container, before = limited(bundle)
    if before["cpus"] == "0":
        expected = {name: value for name, value in expected.items() if name != "cpus"}
    result = update(container, *options).ok()
    assert (result.stdout, result.stderr) == ("", "")
    assert changed(container, before) == expected


@pytest.mark.parametrize(
    "options", [(), ("--memory", "0", "--memory-swap", "0"), ("--pids-limit", "0", "--cpu-share=0")]
)
def test_zero_and_nothing_change_nothing(bundle: Bundle, options: tuple[str, ...]) -> None:
    """0 is what is not given."""
    container, before = limited(bundle)
    update(container, *options).ok()
    assert changed(container, before) == {}


@pytest.mark.parametrize("by", ["-", "file"])
def test_resources_as_podman_sends_them(bundle: Bundle, by: str) -> None:
    """A file, or standard input."""
    container, before = limited(bundle)
    resources = {"memory": {"limit": 128 * MIB, "swap": 256 * MIB}, "cpu": {"quota": 50_000, "period": 100_000}}
    update_resources(container, resources, by=by).ok()
    assert changed(container, before) == {
        "memory": str(128 * MIB),
        "swap": str(256 * MIB),
        "quota": "50000",
        "period": "100000",
    }


def test_resources_as_docker_sends_them(bundle: Bundle) -> None:
    """With zeros for all that is not to change."""
    container, before = limited(bundle)
    resources = {
        "memory": {"limit": 32 * MIB, "reservation": 0, "swap": 48 * MIB, "kernel": 0},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": ""},
        "blockIO": {"weight": 0},
    }
    update_resources(container, resources).ok()
    assert changed(container, before) == {"memory": str(32 * MIB), "swap": str(48 * MIB)}


@pytest.mark.runc_differs("1.1 dereferences the null")
def test_empty_and_null_sections(bundle: Bundle) -> None:
    """As Go writes what is nil."""
    container, before = limited(bundle)
    update_resources(container, '{"memory":null,"cpu":{},"devices":null}').ok()
    assert changed(container, before) == {}


@pytest.mark.parametrize("memory", [16, 512])
def test_memory_and_swap_in_the_order_that_the_kernel_needs(bundle: Bundle, memory: int) -> None:
    """Memory may never be above memory and swap: one order lowers, the other raises."""
    container, before = limited(bundle)
    update(container, f"--memory={memory}M", f"--memory-swap={memory + 1}M").ok()
    assert changed(container, before) == {"memory": str(memory * MIB), "swap": str((memory + 1) * MIB)}


def test_unlimited_memory_takes_the_limit_of_swap_away(bundle: Bundle) -> None:
    """As runc; the kernel wants it."""
    container, before = limited(bundle)
    update(container, "--memory=-1").ok()
    now = changed(container, before)
    assert set(now) == {"memory", "swap"}
    assert min(map(int, now.values())) > 2**62


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--memory", "4096"], "memory.limit"),
        (["--memory", "1T"], "memory.limit"),
        (["--memory-swap", "1M"], "memory.swap"),
        (["--cpuset-cpus", "4000"], "cpu.cpus"),
        (["--cpu-period", "1"], "cpu.period"),
        (["--cpu-quota", "1"], "cpu.quota"),
        (["--cpu-share", "1"], "cpu.shares"),
    ],
)
@pytest.mark.runc_differs("1.1 tries to, and does not set back all that it has written", strict=False)
def test_a_refused_value_leaves_everything_as_it_was(bundle: Bundle, options: list[str], named: str) -> None:
    """What was written before it, too; the error names the property."""
    container, before = limited(bundle)
    others = {
        "--cpuset-mems": "0",
        "--cpu-share": "300",
        "--cpu-quota": "30000",
        "--memory-reservation": "8M",
        "--memory": "60M",
        "--pids-limit": "33",
    }
    given = others | {options[0]: options[1]}
    update(container, *(f"{name}={value}" for name, value in given.items())).refused(where=f"linux.resources.{named}")
    assert changed(container, before) == {}


@pytest.mark.parametrize(
    "options",
    [
        ["--memory", "lots"],
        ["--memory", "1.M"],
        ["--memory", "-5"],
        ["--cpu-share", "x"],
        ["--cpu-share", "-1"],
        ["--cpu-quota", "1.5"],
        ["--pids-limit", "many"],
        ["--blkio-weight", "x"],
        ["--cpu-rt-period", ""],
    ],
)
def test_what_is_no_number(bundle: Bundle, options: list[str]) -> None:
    """The option is named; an empty one is not given."""
    container, before = limited(bundle)
    if options[1]:
        update(container, "--pids-limit=9", *options).refused(where=options[0])
    else:
        update(container, "=".join(options)).ok()
    assert changed(container, before) == {}


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "--resources"),
        ("{", "--resources"),
        ('{"memory":{"limit":"1"}}', "memory.limit"),
        ('{"pids":{"limit":1.5}}', "pids.limit"),
    ],
)
def test_what_is_no_resources_document(bundle: Bundle, text: str, where: str) -> None:
    """Nothing changes."""
    container, before = limited(bundle)
    update_resources(container, text).refused(where=where)
    assert changed(container, before) == {}


def test_missing_file(bundle: Bundle) -> None:
    """It is named."""
    container, _ = limited(bundle)
    update(container, "--resources=/no/such/file").refused("no such file or directory", where="/no/such/file")


def test_other_options_count_for_nothing_beside_resources(bundle: Bundle) -> None:
    """As runc's help says."""
    container, before = limited(bundle)
    path = os.path.join(bundle.path, "resources.json")
    with open(path, "w") as file:
        file.write('{"pids":{"limit":8}}')
    update(container, "--pids-limit=9", "--memory=60M", "--resources", path).ok()
    assert changed(container, before) == {"pids": "8"}


@pytest.mark.parametrize("option", ["--l3-cache-schema=L3:0=f", "--mem-bw-schema=MB:0=20"])
def test_schemata_without_resctrl(bundle: Bundle, option: str) -> None:
    """They are refused, and nothing else has changed."""
    with open("/proc/self/mountinfo") as file:
        if " - resctrl " in file.read():
            pytest.skip("this machine has resctrl")
    container, before = limited(bundle)
    update(container, "--pids-limit=9", option).refused(where="linux.intelRdt: no resctrl file system is mounted")
    assert changed(container, before) == {}


def test_a_process_over_the_new_limit_is_killed(bundle: Bundle) -> None:
    """The limit binds, it is not only written."""
    container = bundle.shell("read line; x=$(dd if=/dev/zero bs=1M count=64 2>/dev/null | tr '\\0' a); echo done ${#x}")
    read, write = os.pipe()
    try:
        container.create(stdin=read)
        container.start()
        update(container, "--memory=16M", "--memory-swap=16M").ok()
        os.write(write, b"\n")
        container.wait()
    finally:
        os.close(read)
        os.close(write)
    assert f"done {64 * MIB}" not in container.output()


def test_created_and_paused_containers(bundle: Bundle) -> None:
    """Both have a cgroup with limits."""
    container = bundle.container("/bin/sleep", "100")
    container.create()
    update(container, "--pids-limit=7").ok()
    assert cgroup.read(container.pid, "pids", "pids.max") == "7"
    container.start()
    bundle.runtime.call("pause", container.id).ok()
    update(container, "--pids-limit=8").ok()
    assert cgroup.read(container.pid, "pids", "pids.max") == "8"
    assert container.status() == "paused"


def test_stopped_container(bundle: Bundle) -> None:
    """It has no limits any more."""
    container = bundle.container("/bin/true").up()
    container.wait()
    update(container, "--pids-limit=7").refused("container not running")


def test_unknown_container(bundle: Bundle) -> None:
    """containerd looks for 'does not exist'."""
    bundle.runtime.call("update", "no-such-container").refused("does not exist", where="no-such-container")


def devices(container: Container) -> set[str]:
    """The lines of devices.list."""
    return set(cgroup.read(container.pid, "devices", "devices.list").splitlines())


@pytest.mark.lxcri_only("runc does not look at the devices of an update")
def test_devices(bundle: Bundle) -> None:
    """New rules take the place of the old ones; without rules the old ones stay."""
    fuse = {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}
    bundle.resources["devices"].append(fuse)
    container = bundle.container("/bin/sleep", "100").up()
    before = devices(container)
    assert "c 10:229 rw" in before
    update_resources(container, {"pids": {"limit": 9}}).ok()
    assert devices(container) == before
    loop = {"allow": True, "type": "b", "major": 7, "minor": 0, "access": "r"}
    update_resources(container, {"devices": [{"allow": False, "access": "rwm"}, loop]}).ok()
    assert devices(container) == before - {"c 10:229 rw"} | {"b 7:0 r"}
    update_resources(container, {"devices": [{"allow": True, "access": "rwm"}]}).ok()
    assert devices(container) == {"a *:* rwm"}
    update_resources(container, {"devices": [{"allow": False, "access": "rwm"}, fuse]}).ok()
    assert devices(container) == before


@pytest.mark.lxcri_only("runc does not look at the devices of an update")
def test_devices_are_as_before_if_a_limit_is_refused(bundle: Bundle) -> None:
    """Whichever is written first."""
    container = bundle.container("/bin/sleep", "100").up()
    before = devices(container)
    fuse = {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}
    resources = {
        "devices": [{"allow": False, "access": "rwm"}, fuse],
        "memory": {"limit": 60 * MIB, "swap": -1},
        "cpu": {"period": 1},
    }
    update_resources(container, resources).refused(where="linux.resources.cpu.period")
    assert devices(container) == before
