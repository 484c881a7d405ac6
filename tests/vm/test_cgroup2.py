"""`update` and `events` on pure cgroup2, with all of its controllers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from oci import cgroup

if TYPE_CHECKING:
    from oci.bundle import Bundle
    from oci.runtime import Container, Result

pytestmark = pytest.mark.skipif(not cgroup.is_v2(), reason="there are hierarchies of cgroup v1")

MIB = 1024 * 1024

LIMITS: dict[str, Any] = {
    "memory": {"limit": 64 * MIB, "swap": 96 * MIB, "reservation": 32 * MIB},
    "cpu": {"shares": 1024, "quota": 40_000, "period": 80_000, "burst": 10_000},
    "pids": {"limit": 50},
}

FILES = (
    "memory.max", "memory.swap.max", "memory.low", "cpu.weight", "cpu.max", "cpu.max.burst", "cpu.idle", "pids.max",
    "cpuset.cpus", "hugetlb.2MB.max",
)  # fmt: skip


def values(container: Container) -> dict[str, str]:
    return {file: cgroup.read(container.pid, "", file) for file in FILES}


def limited(bundle: Bundle) -> tuple[Container, dict[str, str]]:
    bundle.resources.update(
        LIMITS | {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}], "cpu": LIMITS["cpu"] | {"cpus": "0"}}
    )
    container = bundle.container("/bin/sleep", "100").up()
    return container, values(container)


def update(container: Container, resources: dict[str, Any]) -> Result:
    path = container.bundle.file("resources.json", json.dumps(resources))
    return container.runtime.call("update", "--resources", path, container.id)


def changed(container: Container, before: dict[str, str]) -> dict[str, str]:
    return {file: value for file, value in values(container).items() if value != before[file]}


def test_what_is_one_value_with_another_stays(bundle: Bundle) -> None:
    """Quota and period are one file, swap is counted without memory; each change leaves all else alone."""
    container, before = limited(bundle)
    for resources, expected in (
        ({"cpu": {"quota": 20_000}}, {"cpu.max": "20000 80000"}),
        ({"cpu": {"period": 50_000}}, {"cpu.max": "20000 50000"}),
        ({"cpu": {"quota": 40_000, "period": 80_000}}, {}),
        ({"memory": {"swap": 80 * MIB}}, {"memory.swap.max": str(16 * MIB)}),
        ({"memory": {"limit": 48 * MIB}}, {"memory.swap.max": str(16 * MIB), "memory.max": str(48 * MIB)}),
        ({"memory": {"limit": -1}}, {"memory.swap.max": "max", "memory.max": "max"}),
        ({"memory": {"limit": 64 * MIB, "swap": 96 * MIB}}, {}),
        ({"pids": {"limit": -1}}, {"pids.max": "max"}),
    ):
        update(container, resources).ok()
        assert changed(container, before) == expected, resources


@pytest.mark.lxcri_only("runc sets back what it can")
def test_a_refused_limit_changes_nothing(bundle: Bundle) -> None:
    """By the kernel, late, or by us; what was written before it is taken back."""
    container, before = limited(bundle)
    everything = {"memory": {"limit": 32 * MIB, "swap": 32 * MIB}, "pids": {"limit": 9}}
    for refused, name in (
        ({"unified": {"memory.high": "nonsense"}}, 'linux.resources.unified["memory.high"]'),
        ({"unified": {"cpuset.mems": "77"}}, 'linux.resources.unified["cpuset.mems"]'),
        ({"hugepageLimits": [{"pageSize": "3MB", "limit": 0}]}, "linux.resources.hugepageLimits[0]"),
        ({"devices": [{"allow": True, "access": "x"}]}, "linux.resources.devices[0].access"),
        ({"memory": {"limit": 4096, "checkBeforeUpdate": True}}, "linux.resources.memory.limit"),
        ({"memory": {"swappiness": 60}}, "linux.resources.memory.swappiness"),
    ):
        update(container, everything | refused).refused(where=name)
        assert changed(container, before) == {}, refused


@pytest.mark.lxcri_only("runc 1.1 knows neither idle nor burst")
def test_idle_and_burst(bundle: Bundle) -> None:
    """0 is a value of theirs."""
    container, before = limited(bundle)
    update(container, {"cpu": {"idle": 1, "burst": 0}}).ok()
    assert changed(container, before) == {"cpu.idle": "1", "cpu.max.burst": "0", "cpu.weight": "0"}
    update(container, {"cpu": {"idle": 0, "shares": 1024}}).ok()
    assert changed(container, before) == {"cpu.max.burst": "0"}
