"""compile: linux.cgroupsPath and linux.resources, as far as compile decides; the values are lxcri.cgroup's."""

from __future__ import annotations

from typing import Any

import pytest
from oci.compiling import HYBRID, NONE, V1, V2, Json, change, compiled, mounts, namespaces, refusal

from lxcri.cgroup import UNIFIED
from lxcri.cgroup.devices import DeviceRule, essential_device_rules
from lxcri.cgroup.layout import Layout


def resources(**properties: Any) -> Json:
    return {"linux": {"resources": properties}}


def writes(fragment: Json, **overrides: Any) -> list[tuple[str, str, str]]:
    found = compiled(fragment, **overrides).host.cgroup_writes
    return [(write.controller, write.file, write.value) for write in found]


@pytest.mark.parametrize("path", ["/a/b", "a", "", "user.slice:x:y"])
def test_cgroups_path(path: str) -> None:
    """As it is: where it leads is for the layout."""
    assert compiled({"linux": {"cgroupsPath": path}}).host.cgroups_path == path


LIMITS = resources(memory={"limit": 1 << 20}, cpu={"shares": 512, "cpus": "0"}, pids={"limit": 9})


@pytest.mark.parametrize("layout", [V1, HYBRID])
def test_limits_on_v1(layout: Layout) -> None:
    found = change(LIMITS, given={"layout": layout})
    assert set(found) == {"cgroup_writes"}
    assert {(w.property, w.controller, w.file, w.value) for w in found["cgroup_writes"]} == {
        ("linux.resources.memory.limit", "memory", "memory.limit_in_bytes", "1048576"),
        ("linux.resources.cpu.shares", "cpu", "cpu.shares", "512"),
        ("linux.resources.cpu.cpus", "cpuset", "cpuset.cpus", "0"),
        ("linux.resources.pids.limit", "pids", "pids.max", "9"),
    }


def test_limits_on_v2() -> None:
    base = resources(devices=[{"allow": True, "access": "rwm"}])
    found = change(LIMITS, base=base, given={"layout": V2})
    assert {(w.controller, w.file, w.value) for w in found["cgroup_writes"]} == {
        (UNIFIED, "memory.max", "1048576"),
        (UNIFIED, "cpu.weight", "59"),
        (UNIFIED, "cpuset.cpus", "0"),
        (UNIFIED, "pids.max", "9"),
    } | {(w.controller, w.file, w.value) for w in found["cgroup_writes"] if w.file == "cpu.weight"}


ESSENTIAL = [
    ("devices", "devices.allow", value)
    for value in (
        "b *:* m",
        "c *:* m",
        "c 1:3 rwm",
        "c 1:5 rwm",
        "c 1:7 rwm",
        "c 1:8 rwm",
        "c 1:9 rwm",
        "c 5:0 rwm",
        "c 5:2 rwm",
        "c 10:200 rwm",
        "c 136:* rwm",
    )
]


def test_essential_devices() -> None:
    """seed: always allowed, whatever the document says."""
    denied = [("devices", "devices.deny", "a"), *ESSENTIAL]
    assert writes({}) == denied
    assert writes(resources(devices=[{"allow": False, "access": "rwm"}])) == denied


def test_device_rules() -> None:
    rules = [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 10, "minor": 229, "access": "rw"}]
    assert writes(resources(devices=rules)) == [
        ("devices", "devices.deny", "a"),
        ("devices", "devices.allow", "c 10:229 rw"),
        *ESSENTIAL,
    ]


def test_device_rules_switched_off() -> None:
    """Off means off, and says so; the other limits stay."""
    plan = compiled(resources(devices=[{"allow": False, "access": "rwm"}], pids={"limit": 9}), cgroup_devices=False)
    assert [(w.file, w.value) for w in plan.host.cgroup_writes] == [("pids.max", "9")]
    assert plan.warnings == ["cgroup-devices is switched off: linux.resources.devices is not applied"]


def test_device_filter() -> None:
    """cgroup2's, where there is no devices controller of v1."""
    fragment = resources(devices=[{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "access": "r"}])
    assert compiled(fragment, layout=HYBRID).host.device_filter is None
    plan = compiled(fragment, layout=V2)
    assert plan.host.cgroup_writes == []
    assert plan.host.device_filter == [
        *(DeviceRule(False, (kind, None, None), "rwm") for kind in "bc"),
        DeviceRule(True, ("c", None, None), "r"),
        *essential_device_rules(),
    ]
    assert compiled(fragment, layout=V2, cgroup_devices=False).host.device_filter is None


def test_no_device_filter_from_a_user_namespace() -> None:
    """The kernel takes none from there."""
    fragment = resources(devices=[{"allow": False, "access": "rwm"}])
    for layout in (V2, NONE):
        plan = compiled(fragment, layout=layout, user_namespace=True)
        assert plan.host.device_filter is None
        assert (
            "linux.resources.devices is not applied: in a user namespace nothing can restrict devices" in plan.warnings
        )


CGROUP_MOUNT = {"destination": "/sys/fs/cgroup", "type": "cgroup", "source": "cgroup", "options": ["nosuid", "rw"]}
MAPPINGS = [{"containerID": 0, "hostID": 100000, "size": 65536}]
USER_NAMESPACE = {"uidMappings": MAPPINGS, "gidMappings": MAPPINGS}


@pytest.mark.parametrize(
    ("kinds", "uid", "mount", "layout", "owner"),
    [
        (("user", "cgroup"), 0, {}, V2, 100000),
        (("user", "cgroup"), 1000, {}, V2, 101000),
        (("user", "cgroup"), 0, {"destination": "/sys//fs/./cgroup/"}, V2, 100000),
        (("user", "cgroup"), 0, {"options": ["ro"]}, V2, -1),
        (("user", "cgroup"), 0, {"source": "cgroup2"}, V2, -1),
        (("user", "cgroup"), 0, {"destination": "/elsewhere"}, V2, -1),
        (("user",), 0, {}, V2, -1),
        (("user", "cgroup"), 0, {}, HYBRID, -1),
        (("user", "cgroup"), 0, {}, V1, -1),
        (("cgroup",), 1000, {}, V2, 1000),
        (("cgroup",), 0, {}, V2, -1),
    ],
)
def test_owner(kinds: tuple[str, ...], uid: int, mount: Json, layout: Layout, owner: int) -> None:
    """config-linux.md, "Cgroup ownership": its user's, where it may use the cgroup as the root of others."""
    linux = namespaces("mount", "pid", *kinds)["linux"]
    if "user" in kinds:
        linux |= USER_NAMESPACE
    fragment = {"linux": linux, **mounts(CGROUP_MOUNT | mount), "process": {"user": {"uid": uid, "gid": 7}}}
    assert compiled(fragment, layout=layout).host.cgroup_owner == owner


def test_owner_in_a_joined_cgroup_namespace() -> None:
    """That is another container's."""
    linux = namespaces("mount", "pid", "user", cgroup="/proc/1/ns/cgroup")["linux"] | USER_NAMESPACE
    assert compiled({"linux": linux, **mounts(CGROUP_MOUNT)}, layout=V2).host.cgroup_owner == -1


@pytest.mark.parametrize(
    ("fragment", "text"),
    [
        (
            resources(devices=[{"allow": True, "access": "x"}]),
            'linux.resources.devices[0].access: "x" is none of r, w and m',
        ),
    ],
)
def test_refusals_name_the_property(fragment: Json, text: str) -> None:
    assert refusal(fragment) == text
