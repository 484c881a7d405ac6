"""
Every property of linux.resources that this kernel has, written by `create` and `update`: all files of the
container's cgroup are then as runc leaves them for the same document. Where they are not, DIFFERENCES says why.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import tempfile
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from oci import cgroup, process
from oci.runtime import Runtime

from lxcri import spec
from lxcri.cgroup.layout import detect
from lxcri.cgroup.resources import PROPERTIES, compile_resources
from lxcri.cgroup.writable import WritableCgroup
from lxcri.errors import Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from oci.bundle import Bundle

Json = dict[str, Any]
Files = dict[str, str]

pytestmark = [
    pytest.mark.lxcri_only("runc is the measure"),
    pytest.mark.skipif(shutil.which("runc") is None, reason="no runc to compare with"),
]

MIB = 1024 * 1024

LAYOUT = detect()


def per_disk(*, scheduler: str = "", **values: int) -> list[Json]:
    """An entry for a block device, with this scheduler if one is wanted."""
    for name in sorted(os.listdir("/sys/block"), key=lambda name: (not name.startswith("vd"), name)):
        try:
            with open(f"/sys/block/{name}/queue/scheduler") as file:
                known = file.read()
        except FileNotFoundError:
            continue
        if scheduler and f"[{scheduler}]" not in known:
            continue
        with open(f"/sys/block/{name}/dev") as file:
            major, minor = file.read().split(":")
        return [{"major": int(major), "minor": int(minor), **values}]
    return []


SETS: dict[str, Json] = {
    "nothing": {},
    "limits": {
        "memory": {
            "limit": 64 * MIB,
            "swap": 96 * MIB,
            "reservation": 32 * MIB,
            "kernel": 48 * MIB,
            "kernelTCP": 24 * MIB,
            "swappiness": 7,
            "disableOOMKiller": True,
            "useHierarchy": True,
            "checkBeforeUpdate": True,
        },
        "cpu": {"shares": 512, "quota": 40_000, "period": 80_000, "burst": 10_000, "cpus": "0", "mems": "0"},
        "pids": {"limit": 123},
        "blockIO": {
            "weight": 300,
            "leafWeight": 400,
            "weightDevice": per_disk(scheduler="bfq", weight=500),
            "throttleReadBpsDevice": per_disk(rate=4096),
            "throttleWriteBpsDevice": per_disk(rate=8192),
            "throttleReadIOPSDevice": per_disk(rate=100),
            "throttleWriteIOPSDevice": per_disk(rate=200),
        },
        "hugepageLimits": [{"pageSize": "2MB", "limit": 4 * MIB}],
        "network": {"classID": 0x100001, "priorities": [{"name": "lo", "priority": 5}]},
        "rdma": {"mlx5_0": {"hcaHandles": 3, "hcaObjects": 10000}},
        "devices": [{"allow": False, "access": "rwm"}, {"allow": True, "type": "c", "major": 10, "access": "rw"}],
    },
    "without limits": {
        "memory": {"limit": -1, "swap": -1, "reservation": -1},
        "cpu": {"quota": -1},
        "pids": {"limit": -1},
        "devices": [{"allow": True, "access": "rwm"}],
    },
    "as docker sends nothing": {
        "memory": {"limit": 0, "swap": 0, "reservation": 0, "kernel": 0, "disableOOMKiller": False},
        "cpu": {"shares": 0, "quota": 0, "period": 0, "cpus": "", "mems": "", "realtimePeriod": 0},
        "blockIO": {"weight": 0},
        "pids": {"limit": 0},
    },
    "memory without swap": {"memory": {"limit": 64 * MIB, "swap": 64 * MIB, "swappiness": 0}},
    "memory alone": {"memory": {"limit": 64 * MIB}, "cpu": {"period": 50_000}},
    "any swap": {"memory": {"limit": 64 * MIB, "swap": -1}, "cpu": {"quota": 50_000}},
    "little CPU": {"cpu": {"shares": 2}},
    "usual CPU": {"cpu": {"shares": 1024}},
    "much CPU": {"cpu": {"shares": 262_144}},
    "idle": {"cpu": {"idle": 1}},
    "realtime": {"cpu": {"realtimePeriod": 500_000, "realtimeRuntime": 20_000}},
    "unified": {
        "unified": {"memory.high": str(48 * MIB), "pids.max": "77", "cpu.max": "30000 90000", "io.weight": "7"}
    },
}

UPDATES = {
    "limits": "without limits",
    "nothing": "limits",
    "memory without swap": "any swap",
    "usual CPU": "little CPU",
    "memory alone": "unified",
}
"""What a container is created with, and then changed to."""

UPDATED_BY_RUNC = {
    "memory": {"limit", "swap", "reservation"},
    "cpu": {"shares", "quota", "period", "cpus", "mems", "realtimePeriod", "realtimeRuntime"},
    "pids": {"limit"},
    "blockIO": {"weight"},
    "unified": {"*"},
}
"""The properties of a document that `runc update` reads; it ignores the others."""


def former_weight(resources: Json) -> str:
    """cpu.weight for cpu.shares in runc before 1.3.2: a line through the least and the greatest of both."""
    shares = min(max(resources["cpu"]["shares"], 2), 262_144)
    return str(1 + (shares - 2) * 9999 // 262_142)


def constant(value: str) -> Callable[[Json], str]:
    return lambda _: value


NO_BURST = "1.1 does not know cpu.burst"
NO_IDLE = "1.1 does not know cpu.idle, which gives cpu.shares the least value"
LINE = "before 1.3.2 the formula was a line"

UNLIMITED = "9223372036854771712"  # bytes, in pages; some kernels call it max where others do not
V1_ONLY = "beside v1, 1.1 uses no controller of cgroup2, and refuses the limit"

DIFFERENCES: list[tuple[str, tuple[str, ...], str, Callable[[Json], str]]] = [
    ("cpu.cfs_burst_us", ("limits",), NO_BURST, constant("0")),
    ("cpu.max.burst", ("limits",), NO_BURST, constant("0")),
    ("cpu.idle", ("idle",), NO_IDLE, constant("0")),
    ("cpu.shares", ("idle",), NO_IDLE, constant("1024")),
    ("cpu.weight", ("idle",), NO_IDLE, constant("100")),
    ("cpu.weight", ("limits", "little CPU", "usual CPU", "much CPU"), LINE, former_weight),
    ("memory.kmem.tcp.limit_in_bytes", ("limits",), "1.1 warns, and does nothing", constant("max")),
]
"""Files that have other values with runc 1.1: in which sets, why, and which."""

if LAYOUT.mode == "hybrid":
    DIFFERENCES += [
        (file, ("limits",), V1_ONLY, constant("max")) for file in ("hugetlb.2MB.max", "hugetlb.2MB.rsvd.max")
    ]
elif LAYOUT.mode == "v2":
    DIFFERENCES.append(("hugetlb.2MB.rsvd.max", ("limits",), "1.1 limits no reservations", constant("max")))


def for_runc(resources: Json) -> Json:
    """What it does not refuse."""
    refused = ("hugepageLimits",) if LAYOUT.mode == "hybrid" and "hugetlb" not in LAYOUT.controllers else ()
    return {section: values for section, values in resources.items() if section not in refused}


VOLATILE = (
    "cgroup.procs cgroup.threads tasks cpuacct.usage memory.peak memory.swap.peak pids.peak cgroup.pressure"
    " cpu.pressure io.pressure irq.pressure memory.pressure cpu.weight.nice"
).split()
"""Files that can be written, and tell what happens, or what another one says."""


def is_setting(name: str) -> bool:
    return name not in VOLATILE and not name.endswith((".failcnt", "max_usage_in_bytes"))


def settings(pid: int) -> Files:
    """What can be set in the cgroup of a process, in all hierarchies."""
    found = {}
    for controller in cgroup.mounts():
        directory = cgroup.directory(pid, controller)
        for name in os.listdir(directory):
            path = os.path.join(directory, name)
            mode = os.stat(path).st_mode
            if name == "devices.list" or (mode & 0o600 == 0o600 and os.path.isfile(path) and is_setting(name)):
                with contextlib.suppress(OSError), open(path) as file:
                    lines = file.read().replace(UNLIMITED, "max").splitlines()
                    found[name] = "\n".join(sorted(lines) if name == "devices.list" else lines)
    return found


def split(resources: Json) -> Iterator[tuple[str, str, Json]]:
    """Section, property, and the property alone, with what it cannot be without."""
    for section, values in resources.items():
        if section == "devices":
            continue
        if not isinstance(values, dict) or section == "rdma":
            yield section, "", {section: values}
            continue
        for name, value in values.items():
            alone = {name: value}
            if name == "swap":
                alone["limit"] = values["limit"]
            yield section, name, {section: alone}


def is_there(alone: Json, existing: WritableCgroup) -> bool:
    """Whether this kernel has the files for a property; what is ignored needs none."""
    try:
        writes = compile_resources(msgspec.convert(alone, spec.Resources), LAYOUT, devices=False)
    except Error as e:
        if any(text in str(e) for text in ("is not available", "cgroup2 has no", "needs a host with cgroup2")):
            return False
        raise
    existing.hand_down(LAYOUT, writes)
    for write in writes:
        if write.optional:
            continue
        names = [write.file, *(write.otherwise or ())[:1]]
        if not any(os.path.exists(f"{existing.dirs[write.controller]}/{name}") for name in names):
            return False
        if write.file == "rdma.max":  # it lists the devices
            return os.path.exists(f"/sys/class/infiniband/{write.value.split()[0]}")
    return True


@pytest.fixture
def scratch(bundle: Bundle) -> Iterator[WritableCgroup]:
    """A cgroup to look which files there are."""
    identity = bundle.runtime.new_id()
    made = WritableCgroup.make(LAYOUT, f"/{identity}", identity)
    yield made
    made.remove(parents=True)


def available(resources: Json, scratch: WritableCgroup) -> Json:
    """The resources without what this kernel does not have."""
    found = json.loads(json.dumps(resources))
    for section, name, alone in split(resources):
        if not is_there(alone, scratch):
            if name:
                del found[section][name]
            else:
                del found[section]
    return {section: values for section, values in found.items() if values or section == "devices"}


@pytest.fixture
def runc(bundle: Bundle) -> Runtime:
    return Runtime(shutil.which("runc") or "", tempfile.mkdtemp(dir=bundle.path), f"{bundle.runtime.new_id()}-runc")


def outcome(runtime: Runtime, bundle: Bundle, resources: Json, changes: Json | None) -> list[Files]:
    """The settings after create, and, if there are changes, after update, all in the same cgroup."""
    bundle.linux["resources"] = resources
    bundle.write()
    identity = runtime.new_id()
    pid_file = bundle.file("pid")
    runtime.call("create", "--bundle", bundle.path, "--pid-file", pid_file, identity).ok()
    with open(pid_file) as file:
        pid = int(file.read())
    found = [settings(pid)]
    if changes is not None:
        path = bundle.file("changes.json", json.dumps(changes))
        runtime.call("update", "--resources", path, identity).ok()
        found.append(settings(pid))
    runtime.call("kill", identity, "KILL").ok()
    process.reap(pid)  # runc leaves a cgroup in which a process dies slowly
    runtime.call("delete", identity).ok()
    return found


def compare(mine: Files, theirs: Files, resources: Json, *names: str) -> None:
    """Hold settings after these SETS, which come to these resources, against those of runc."""
    expected = dict(theirs)
    for file, sets, _, value in DIFFERENCES:
        if file in theirs and not set(names).isdisjoint(sets):
            assert theirs[file] == value(resources), f"{file}: runc is not what the list of differences says"
            expected[file] = mine[file]
    assert mine == expected


@pytest.mark.parametrize("name", SETS)
def test_create(bundle: Bundle, scratch: WritableCgroup, runc: Runtime, name: str) -> None:
    """All settings are those of runc."""
    resources = available(SETS[name], scratch)
    if SETS[name] and not resources:
        pytest.skip("this kernel has none of it")
    bundle.linux["cgroupsPath"] = f"/{bundle.runtime.new_id()}"
    (mine,) = outcome(bundle.runtime, bundle, resources, None)
    (theirs,) = outcome(runc, bundle, for_runc(resources), None)
    compare(mine, theirs, resources, name)


def test_each_property_has_an_effect(bundle: Bundle, scratch: WritableCgroup) -> None:
    """What one of SETS sets, as far as this kernel has it, is not what it would be without."""
    bundle.linux["cgroupsPath"] = f"/{bundle.runtime.new_id()}"
    (default,) = outcome(bundle.runtime, bundle, {}, None)
    for name in ("limits", "realtime", "idle", "unified"):
        resources = available(SETS[name], scratch)
        (found,) = outcome(bundle.runtime, bundle, resources, None)
        for write in compile_resources(msgspec.convert(resources, spec.Resources), LAYOUT, devices=False):
            file = next((file for file in (write.file, *(write.otherwise or ())[:1]) if file in found), None)
            if file not in (None, "cpuset.mems") and not write.optional:  # there may be one node only
                assert found[file] != default[file], write.property


def test_no_property_is_forgotten() -> None:
    """Each row of the table is in one of SETS."""
    given = {
        f"{section}.{name}" if isinstance(values, dict) and section not in ("rdma", "unified") else section
        for resources in SETS.values()
        for section, values in resources.items()
        for name in (values if isinstance(values, dict) else [""])
    }
    assert given >= {row.name for row in PROPERTIES} | {"unified", "devices"}


@pytest.mark.parametrize("before", UPDATES)
def test_update(bundle: Bundle, scratch: WritableCgroup, runc: Runtime, before: str) -> None:
    """The same of update, with what runc reads of the document."""
    resources, changes = (available(SETS[name], scratch) for name in (before, UPDATES[before]))
    changes = {
        section: {name: value for name, value in changes[section].items() if {name, "*"} & names}
        for section, names in UPDATED_BY_RUNC.items()
        if section in changes
    }
    bundle.linux["cgroupsPath"] = f"/{bundle.runtime.new_id()}"
    mine = outcome(bundle.runtime, bundle, resources, changes)
    theirs = outcome(runc, bundle, for_runc(resources), for_runc(changes))
    compare(mine[0], theirs[0], resources, before)
    both = resources | {section: resources.get(section, {}) | values for section, values in changes.items()}
    compare(mine[1], theirs[1], both, before, UPDATES[before])
