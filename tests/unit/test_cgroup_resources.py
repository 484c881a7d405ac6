"""linux.resources: the exact file and value of each property on each layout, and the exact refusals."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from lxcri import spec
from lxcri.cgroup import UNIFIED
from lxcri.cgroup.devices import DeviceRule, essential_device_rules
from lxcri.cgroup.layout import Layout
from lxcri.cgroup.resources import PROPERTIES, compile_resources, device_filter, shares_to_weight
from lxcri.cgroup.write import Write
from lxcri.errors import Error

V1_CONTROLLERS = "cpu cpuacct cpuset memory devices freezer blkio pids net_cls net_prio hugetlb rdma name=systemd"
V1 = Layout({name: f"/sys/fs/cgroup/{name}" for name in V1_CONTROLLERS.split()})
V2 = Layout({}, "/sys/fs/cgroup", ["cpuset", "cpu", "io", "memory", "hugetlb", "pids", "rdma", "misc"])
HYBRID = Layout({"pids": "/p", "memory": "/m"}, "/u", ["hugetlb"])


def compiled(resources: dict[str, Any], layout: Layout, **options: Any) -> list[Write]:
    return compile_resources(msgspec.convert(resources, spec.Resources), layout, **options)


def lines(resources: dict[str, Any], layout: Layout) -> list[tuple[str, str]]:
    """File and value of each write, where the file's name tells the controller."""
    writes = compiled(resources, layout, devices=False)
    for write in writes:
        first = write.file.partition(".")[0]
        assert write.controller == (UNIFIED if layout is V2 else "cpuset" if first == "cpuset" else first)
    return [(write.file, write.value) for write in writes]


def refusal(resources: dict[str, Any], layout: Layout) -> str:
    try:
        compiled(resources, layout)
        filtered(resources, layout)
    except Error as e:
        return str(e)
    return "nothing was refused"


def filtered(resources: dict[str, Any], layout: Layout) -> list[DeviceRule] | None:
    """The rules of cgroup2's device filter."""
    return device_filter(msgspec.convert(resources, spec.Resources), layout)


def device(**properties: int) -> dict[str, int]:
    return {"major": 8, "minor": 16, **properties}


@pytest.mark.parametrize(
    ("section", "properties", "v1", "v2"),
    [
        ("cpu", {"cpus": "0-1"}, [("cpuset.cpus", "0-1")], [("cpuset.cpus", "0-1")]),
        ("cpu", {"mems": "0"}, [("cpuset.mems", "0")], [("cpuset.mems", "0")]),
        ("cpu", {"shares": 2}, [("cpu.shares", "2")], [("cpu.weight", "1")]),
        ("cpu", {"shares": 1024}, [("cpu.shares", "1024")], [("cpu.weight", "100")]),
        ("cpu", {"quota": 5000}, [("cpu.cfs_quota_us", "5000")], [("cpu.max", "5000 100000")]),
        ("cpu", {"quota": -1}, [("cpu.cfs_quota_us", "-1")], [("cpu.max", "max 100000")]),
        ("cpu", {"period": 5000}, [("cpu.cfs_period_us", "5000")], [("cpu.max", "max 5000")]),
        (
            "cpu",
            {"quota": 5000, "period": 9000, "burst": 100},
            [("cpu.cfs_period_us", "9000"), ("cpu.cfs_quota_us", "5000"), ("cpu.cfs_burst_us", "100")],
            [("cpu.max", "5000 9000"), ("cpu.max.burst", "100")],
        ),
        ("cpu", {"burst": 0}, [("cpu.cfs_burst_us", "0")], [("cpu.max.burst", "0")]),
        ("cpu", {"idle": 1}, [("cpu.idle", "1")], [("cpu.idle", "1")]),
        ("cpu", {"idle": 0}, [("cpu.idle", "0")], [("cpu.idle", "0")]),
        ("memory", {"limit": 4096}, [("memory.limit_in_bytes", "4096")], [("memory.max", "4096")]),
        (
            "memory",
            {"limit": -1},
            [("memory.memsw.limit_in_bytes", "-1"), ("memory.limit_in_bytes", "-1")],
            [("memory.max", "max"), ("memory.swap.max", "max")],
        ),
        (
            "memory",
            {"limit": 4096, "swap": 12288},
            [("memory.limit_in_bytes", "4096"), ("memory.memsw.limit_in_bytes", "12288")],
            [("memory.max", "4096"), ("memory.swap.max", "8192")],
        ),
        (
            "memory",
            {"limit": 4096, "swap": 4096},
            [("memory.limit_in_bytes", "4096"), ("memory.memsw.limit_in_bytes", "4096")],
            [("memory.max", "4096"), ("memory.swap.max", "0")],
        ),
        (
            "memory",
            {"limit": 4096, "swap": -1},
            [("memory.limit_in_bytes", "4096"), ("memory.memsw.limit_in_bytes", "-1")],
            [("memory.max", "4096"), ("memory.swap.max", "max")],
        ),
        (
            "memory",
            {"limit": -1, "swap": -1},
            [("memory.limit_in_bytes", "-1"), ("memory.memsw.limit_in_bytes", "-1")],
            [("memory.max", "max"), ("memory.swap.max", "max")],
        ),
        ("memory", {"reservation": 4096}, [("memory.soft_limit_in_bytes", "4096")], [("memory.low", "4096")]),
        ("memory", {"reservation": -1}, [("memory.soft_limit_in_bytes", "-1")], [("memory.low", "max")]),
        ("memory", {"kernel": 4096}, [("memory.kmem.limit_in_bytes", "4096")], []),
        ("memory", {"kernelTCP": 4096}, [("memory.kmem.tcp.limit_in_bytes", "4096")], []),
        ("memory", {"swappiness": 2**64 - 1}, [], None),
        ("memory", {"swappiness": 0}, [("memory.swappiness", "0")], None),
        ("memory", {"disableOOMKiller": True}, [("memory.oom_control", "1")], []),
        ("memory", {"disableOOMKiller": False, "useHierarchy": False}, [], []),
        ("memory", {"useHierarchy": True, "checkBeforeUpdate": True}, [], []),
        ("pids", {"limit": 20}, [("pids.max", "20")], [("pids.max", "20")]),
        ("pids", {"limit": -1}, [("pids.max", "max")], [("pids.max", "max")]),
        ("pids", {"limit": -7}, [("pids.max", "max")], [("pids.max", "max")]),
        ("blockIO", {"weight": 10}, [("blkio.weight", "10")], [("io.bfq.weight", "10")]),
        ("blockIO", {"leafWeight": 1000}, [("blkio.leaf_weight", "1000")], None),
        (
            "blockIO",
            {"weightDevice": [device(weight=500)]},
            [("blkio.weight_device", "8:16 500")],
            [("io.bfq.weight", "8:16 500")],
        ),
        (
            "blockIO",
            {"weightDevice": [device(leafWeight=500)]},
            [("blkio.leaf_weight_device", "8:16 500")],
            None,
        ),
        (
            "blockIO",
            {"throttleReadBpsDevice": [device(rate=9)], "throttleWriteBpsDevice": [device(rate=8)]},
            [("blkio.throttle.read_bps_device", "8:16 9"), ("blkio.throttle.write_bps_device", "8:16 8")],
            [("io.max", "8:16 rbps=9"), ("io.max", "8:16 wbps=8")],
        ),
        (
            "blockIO",
            {"throttleReadIOPSDevice": [device(rate=7)], "throttleWriteIOPSDevice": [device(rate=0)]},
            [("blkio.throttle.read_iops_device", "8:16 7"), ("blkio.throttle.write_iops_device", "8:16 0")],
            [("io.max", "8:16 riops=7"), ("io.max", "8:16 wiops=max")],
        ),
    ],
)
def test_values_and_files(
    section: str,
    properties: dict[str, Any],
    v1: list[tuple[str, str]],
    v2: list[tuple[str, str]] | None,
) -> None:
    """v2 None: cgroup2 refuses it."""
    resources = {section: properties}
    assert lines(resources, V1) == v1
    if v2 is None:
        refusal(resources, V2)
    else:
        assert lines(resources, V2) == v2


@pytest.mark.parametrize(("layout", "file"), [(V1, "limit_in_bytes"), (V2, "max")])
def test_hugepages_are_limited_also_when_reserved(layout: Layout, file: str) -> None:
    resources = {"hugepageLimits": [{"pageSize": "2MB", "limit": 0}, {"pageSize": "1GB", "limit": 1 << 30}]}
    writes = compiled(resources, layout, devices=False)
    assert [(w.file, w.value, w.optional) for w in writes] == [
        (f"hugetlb.2MB.{file}", "0", False),
        (f"hugetlb.2MB.rsvd.{file}", "0", True),
        (f"hugetlb.1GB.{file}", str(1 << 30), False),
        (f"hugetlb.1GB.rsvd.{file}", str(1 << 30), True),
    ]
    assert writes[2].property == "linux.resources.hugepageLimits[1]"


def test_rdma_limits_are_the_same_on_both() -> None:
    resources = {"rdma": {"mlx5_1": {"hcaHandles": 0, "hcaObjects": 9}, "mlx5_2": {"hcaObjects": 8}, "x": {}}}
    expected = [("rdma.max", "mlx5_1 hca_handle=0 hca_object=9"), ("rdma.max", "mlx5_2 hca_object=8")]
    for layout in (V1, V2):
        assert [(w.file, w.value) for w in compiled(resources, layout, devices=False)] == expected


def test_network_marks_are_v1s() -> None:
    resources = {"network": {"classID": 1048577, "priorities": [{"name": "eth0", "priority": 500}]}}
    assert [(w.controller, w.file, w.value) for w in compiled(resources, V1, devices=False)] == [
        ("net_cls", "net_cls.classid", "1048577"),
        ("net_prio", "net_prio.ifpriomap", "eth0 500"),
    ]
    assert refusal(resources, V2) == "linux.resources.network.classID: cgroup2 has no net_cls"


def test_zero_is_the_same_as_nothing() -> None:
    """As runc 1.1 reads it; also pids.limit, which since runtime-spec 1.3 could be a limit of none."""
    resources = {
        "memory": dict.fromkeys(("limit", "reservation", "swap", "kernel", "kernelTCP"), 0),
        "cpu": {
            **dict.fromkeys(("shares", "quota", "period", "realtimeRuntime", "realtimePeriod"), 0),
            "cpus": "",
            "mems": "",
        },
        "pids": {"limit": 0},
        "blockIO": {"weight": 0, "leafWeight": 0, "weightDevice": []},
        "network": {"classID": 0, "priorities": []},
        "hugepageLimits": [],
        "rdma": {},
        "unified": {},
    }
    for layout in (V1, V2, HYBRID, Layout({})):
        assert compiled(resources, layout, devices=False) == []


def test_realtime_and_cpuset_precede_the_first_process_on_v1() -> None:
    cpu = {"cpus": "0", "mems": "0", "realtimePeriod": 1000000, "realtimeRuntime": 900000, "shares": 2}
    writes = compiled({"cpu": cpu, "pids": {"limit": 1}}, V1)
    assert [(w.file, w.value) for w in writes if w.early] == [
        ("cpuset.cpus", "0"),
        ("cpuset.mems", "0"),
        ("cpu.rt_period_us", "1000000"),
        ("cpu.rt_runtime_us", "900000"),
    ]
    assert refusal({"cpu": {"realtimePeriod": 1}}, V2) == (
        "linux.resources.cpu.realtimePeriod: cgroup2 has no realtime limits"
    )


def test_weights_go_to_bfq_where_it_is_the_scheduler() -> None:
    resources = {"blockIO": {"weight": 505, "weightDevice": [device(weight=1000)]}}
    v1, v2 = (compiled(resources, layout, devices=False) for layout in (V1, V2))
    assert [w.otherwise for w in v1] == [
        ("blkio.bfq.weight", "505"),
        ("blkio.bfq.weight_device", "8:16 1000"),
    ]
    assert [w.otherwise for w in v2] == [("io.weight", "5000"), ("io.weight", "8:16 10000")]


def test_the_memory_limit_of_minus_one_does_not_need_accounting_of_swap() -> None:
    first, second = compiled({"memory": {"limit": -1}}, V1, devices=False)
    assert first.otherwise == (second.file, second.value)


def test_a_kernel_without_swap_is_no_error_where_none_or_any_is_wanted() -> None:
    for swap, optional in ((4096, True), (-1, True), (8192, False)):
        writes = compiled({"memory": {"limit": 4096, "swap": swap}}, V2)
        assert [(w.file, w.optional) for w in writes] == [("memory.max", False), ("memory.swap.max", optional)]


def test_check_before_update_compares_with_the_usage_on_cgroup2() -> None:
    """v1's kernel refuses by itself; cgroup2's would kill."""
    resources = {"memory": {"limit": 4096, "checkBeforeUpdate": True}}
    assert compiled(resources, V2, devices=False)[0].ceiling == "memory.current"
    assert compiled(resources, V1, devices=False)[0].ceiling == ""


def test_kernel_memory_may_have_gone_from_the_kernel() -> None:
    writes = compiled({"memory": {"kernel": 1, "kernelTCP": 1}}, V1, devices=False)
    assert [w.optional for w in writes] == [True, True]


def test_what_is_ignored_is_told() -> None:
    told: list[str] = []
    resources = {"memory": {"kernel": 1, "disableOOMKiller": True, "useHierarchy": True}}
    assert compiled(resources, V2, devices=False, warn=told.append) == []
    assert told == [
        "linux.resources.memory.kernel is ignored: cgroup2 has no limit for it, it counts as memory",
        "linux.resources.memory.disableOOMKiller is ignored: cgroup2 cannot switch the OOM killer off",
    ]


@pytest.mark.parametrize(
    ("resources", "layout", "text"),
    [
        ({"cpu": {"shares": 1}}, V1, "cpu.shares: 1 is not in 2 to 262144"),
        ({"cpu": {"shares": 262145}}, V1, "cpu.shares: 262145 is not in 2 to 262144"),
        ({"memory": {"swap": -2}}, V1, "memory.swap: -2 is no size"),
        (
            {"memory": {"limit": 9, "swap": 8}},
            V1,
            "memory.swap: 8 is less than memory.limit, 9, which it includes",
        ),
        (
            {"memory": {"limit": 9, "swap": 8}},
            V2,
            "memory.swap: 8 is less than memory.limit, 9, which it includes",
        ),
        ({"memory": {"swap": 8}}, V2, "memory.swap: needs memory.limit, which it includes"),
        ({"memory": {"limit": -1, "swap": 8}}, V2, "memory.swap: needs memory.limit, which it includes"),
        ({"memory": {"swappiness": 101}}, V1, "memory.swappiness: 101 is not in 0 to 100"),
        ({"memory": {"swappiness": 60}}, V2, "memory.swappiness: cgroup2 has no swappiness"),
        ({"blockIO": {"weight": 9}}, V1, "blockIO.weight: 9 is not in 10 to 1000"),
        ({"blockIO": {"weight": 1001}}, V2, "blockIO.weight: 1001 is not in 10 to 1000"),
        ({"blockIO": {"leafWeight": 10}}, V2, "blockIO.leafWeight: cgroup2 has no leafWeight"),
        (
            {"blockIO": {"weightDevice": [device(weight=10, leafWeight=10)]}},
            V2,
            "blockIO.weightDevice: cgroup2 has no leafWeight",
        ),
        (
            {"hugepageLimits": [{"pageSize": "../../x", "limit": 1}]},
            V1,
            'hugepageLimits: "../../x" is no page size',
        ),
        ({"blockIO": {"weight": 10}}, HYBRID, "blockIO.weight: the controller blkio is not available"),
        ({"blockIO": {"weight": 10}}, Layout({}, "/u"), "blockIO.weight: the controller io is not available"),
        ({"pids": {"limit": 1}}, Layout({}), "pids.limit: the controller pids is not available"),
        ({"network": {"classID": 5}}, HYBRID, "network.classID: the controller net_cls is not available"),
        ({"rdma": {"mlx5_1": {"hcaHandles": 3}}}, HYBRID, "rdma: the controller rdma is not available"),
        (
            {"unified": {"memory.max": "1"}},
            HYBRID,
            "unified: needs a host with cgroup2 alone, this one's layout is hybrid",
        ),
        (
            {"unified": {"memory.max": "1"}},
            V1,
            "unified: needs a host with cgroup2 alone, this one's layout is v1",
        ),
        ({"unified": {"../x.y": "1"}}, V2, 'unified["../x.y"]: is no name of a cgroup\'s file'),
        ({"unified": {"memory": "1"}}, V2, 'unified["memory"]: is no name of a cgroup\'s file'),
        ({"unified": {"dmem.max": "1"}}, V2, 'unified["dmem.max"]: the controller dmem is not available'),
        (
            {"devices": [{"allow": False, "access": "rwm"}]},
            Layout({"pids": "/p"}),
            "devices: the controller devices is not available",
        ),
        ({"devices": [{"allow": True, "access": "x"}]}, V2, 'devices[0].access: "x" is none of r, w and m'),
    ],
)
def test_refusals(resources: dict[str, Any], layout: Layout, text: str) -> None:
    assert refusal(resources, layout) == "linux.resources." + text


def test_a_hybrid_layout_uses_the_controllers_of_both() -> None:
    writes = compiled(
        {"pids": {"limit": 5}, "hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}, HYBRID, devices=False
    )
    assert [(w.controller, w.file) for w in writes] == [
        ("pids", "pids.max"),
        (UNIFIED, "hugetlb.2MB.max"),
        (UNIFIED, "hugetlb.2MB.rsvd.max"),
    ]


def test_unified_is_written_as_it_is_line_by_line() -> None:
    unified = {"cgroup.max.depth": "3", "memory.high": "max", "io.max": "8:0 rbps=1\n8:16 rbps=2\n"}
    writes = compiled({"memory": {"limit": 9}, "unified": unified}, V2)
    assert [(w.file, w.value) for w in writes] == [
        ("memory.max", "9"),
        ("cgroup.max.depth", "3"),
        ("memory.high", "max"),
        ("io.max", "8:0 rbps=1"),
        ("io.max", "8:16 rbps=2"),
    ]
    assert writes[1].property == 'linux.resources.unified["cgroup.max.depth"]'


def test_devices_come_last_and_can_be_switched_off() -> None:
    resources = {"devices": [{"allow": False, "access": "rwm"}], "pids": {"limit": 5}}
    writes = compiled(resources, V1)
    assert [w.file for w in writes[:2]] == ["pids.max", "devices.deny"]
    assert {w.controller for w in writes[1:]} == {"devices"}
    assert compiled(resources, V1, devices=False) == writes[:1]
    assert compiled({"devices": resources["devices"]}, V2, devices=False) == []


def test_devices_without_the_controller_of_v1() -> None:
    """A filter, whose rules are those of the spec and the essential ones, in this order."""
    rule = {"allow": False, "type": "c", "major": 7, "access": "wr"}
    for layout in (V2, HYBRID):
        assert compiled({"devices": [rule]}, layout) == []
        assert filtered({"devices": [rule]}, layout) == [
            DeviceRule(False, ("c", 7, None), "rw"),
            *essential_device_rules(),
        ]
        assert filtered({}, layout) == essential_device_rules()
    assert filtered({"devices": [rule]}, V1) is None


def test_rules_that_deny_nothing_need_no_controller() -> None:
    everything = {"allow": True, "access": "rwm"}
    for layout in (V2, HYBRID, Layout({})):
        assert compiled({}, layout) == []
        assert compiled({"devices": [everything]}, layout) == []
        assert filtered({"devices": [everything]}, layout) is None
    assert filtered({}, Layout({})) is None
    both = [{"allow": True, "type": kind, "access": "mwr"} for kind in "bc"]
    assert filtered({"devices": [{"allow": False, "access": "r"}, *both]}, V2) is None
    assert filtered({"devices": both[:1]}, V2) is not None
    assert filtered({"devices": [everything, {"allow": False, "type": "c", "major": 9, "access": "r"}]}, V2) is not None


@pytest.mark.parametrize(
    ("shares", "weight"),
    [
        (1, 1),
        (2, 1),
        (3, 2),
        (512, 59),
        (1024, 100),
        (2048, 174),
        (262143, 10000),
        (262144, 10000),
        (262145, 10000),
    ],
)
def test_shares_become_weights_on_a_curve_through_both_defaults(shares: int, weight: int) -> None:
    assert shares_to_weight(shares) == weight


def test_every_property_of_the_document_is_in_the_table() -> None:
    names = set()
    for field in msgspec.structs.fields(spec.Resources):
        if field.encode_name in ("devices", "unified"):
            continue
        section = getattr(spec, {"blockIO": "BlockIO", "cpu": "CPU"}.get(field.encode_name, field.name.title()), None)
        if field.encode_name in ("hugepageLimits", "rdma"):
            names.add(field.encode_name)
        else:
            assert section, field.encode_name
            names |= {f"{field.encode_name}.{f.encode_name}" for f in msgspec.structs.fields(section)}
    assert {row.name for row in PROPERTIES} == names
    assert len(PROPERTIES) == len(names)
