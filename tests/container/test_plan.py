"""The verb plan: a bundle's items, program and host part, with nothing started."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from oci.compiling import merged

if TYPE_CHECKING:
    from oci.bundle import Bundle

pytestmark = pytest.mark.lxcri_only("the verb is its own")


def test_plan_is_json(bundle: Bundle) -> None:
    """Three parts."""
    bundle.write()
    plan = json.loads(bundle.runtime.call("plan", bundle.path).ok().stdout)
    assert {"items", "program", "host"} <= set(plan)
    assert ["lxc.uts.name", "inside"] in plan["items"]


def test_plan_starts_nothing(bundle: Bundle) -> None:
    """No state, no process; the check after the test looks for more."""
    bundle.write()
    bundle.runtime.call("plan", bundle.path).ok()
    assert bundle.runtime.containers() == []


def test_plan_of_a_bad_bundle(bundle: Bundle) -> None:
    """The same errors as create's."""
    bundle.process["cwd"] = "relative"
    bundle.write()
    bundle.runtime.call("plan", bundle.path).refused(where="process.cwd")


def test_plan_is_the_same_every_time(bundle: Bundle) -> None:
    """compile is pure."""
    bundle.write()
    plans = {bundle.runtime.call("plan", bundle.path).ok().stdout for _ in range(3)}
    assert len(plans) == 1


CHANGES: list[dict[str, Any]] = [
    {},
    {"hostname": "other", "domainname": "lan", "root": {"path": "rootfs", "readonly": True}},
    {"process": {"user": {"uid": 7, "gid": 8, "additionalGids": [9]}, "noNewPrivileges": True}},
    {"process": {"rlimits": [{"type": "RLIMIT_CORE", "soft": 1, "hard": 2}], "oomScoreAdj": 5}},
    {"linux": {"maskedPaths": ["/proc/kcore"], "readonlyPaths": ["/proc/sys"], "sysctl": {"net.ipv4.ip_forward": "1"}}},
    {"linux": {"resources": {"pids": {"limit": 9}, "cpu": {"shares": 7}}}},
    {"linux": {"cgroupsPath": "/plan-test", "rootfsPropagation": "private"}},
    {"hooks": {"createRuntime": [{"path": "/bin/true"}], "poststop": [{"path": "/bin/true"}]}},
    {"process": {"cwd": "x"}},
    {"process": {"rlimits": [{"type": "RLIMIT_NONE", "soft": 1, "hard": 2}]}},
    {"linux": {"sysctl": {"kernel.pid_max": "9"}}},
    {"linux": {"namespaces": [{"type": "galaxy"}]}},
    {"linux": {"resources": {"memory": {"limit": "much"}}}},
    {"hooks": {"createRuntime": [{"path": "true"}]}},
]


@pytest.mark.parametrize("change", CHANGES)
def test_plan_is_what_create_does(bundle: Bundle, change: dict[str, Any]) -> None:
    """The same refusal, or the items that liblxc gets."""
    bundle.config = merged(bundle.config, change)
    container = bundle.container("/bin/sleep", "100")
    bundle.write()
    planned = bundle.runtime.call("plan", "--id", container.id, bundle.path)
    if planned.returncode:
        text = planned.refused().partition(": plan: ")[2]
        created = bundle.runtime.call("create", "--bundle", bundle.path, container.id)
        assert created.refused().partition(": create: ")[2] == text
        return
    container.create()
    with open(os.path.join(bundle.runtime.root, container.id, "config")) as file:
        items = [line.split(" = ", 1) for line in file.read().splitlines()]
    assert items == json.loads(planned.stdout)["items"]
    container.delete("--force").ok()
