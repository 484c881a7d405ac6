"""Many cycles of create, start and delete leave the machine as it was."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from oci.bundle import Bundle
    from oci.machine import Machine


@pytest.mark.slow
def test_cycles(bundle: Bundle, machine: Machine, pytestconfig: pytest.Config) -> None:
    """Processes, mounts, cgroups, /run, /dev/null and descriptors: compared every 50 cycles, and after the test."""
    bundle.process["args"] = ["/bin/true"]
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro", "nosuid", "noexec", "nodev"])
    bundle.resources.update(memory={"limit": 268435456}, pids={"limit": 100})
    bundle.run().ok()
    before = machine.snapshot()
    for cycle in range(pytestconfig.getoption("--cycles")):
        container = bundle.container()
        container.create()
        container.start()
        assert container.wait() == 0
        container.delete().ok()
        bundle.forget(container)
        if cycle % 50 == 49:
            assert before.differences(machine.snapshot()) == [], f"after {cycle + 1} cycles"
            assert bundle.runtime.containers() == []


@pytest.mark.slow
def test_failing_cycles(bundle: Bundle, machine: Machine, pytestconfig: pytest.Config) -> None:
    """The same for creates that fail late: at the last mount."""
    bundle.bind("/no/such/source", "/mnt")
    before = machine.snapshot()
    for _ in range(pytestconfig.getoption("--cycles") // 10):
        bundle.run_as_is().refused()
    assert before.differences(machine.snapshot()) == []
