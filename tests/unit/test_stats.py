"""Statistics of cgroups: files of v1 and cgroup2 as runc's fields."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from lxcri.cgroup import UNIFIED, stats
from lxcri.cgroup.fs import Cgroup
from lxcri.cgroup.stats import FIELDS, NO_LIMIT, TICK, collect
from lxcri.errors import Error

if TYPE_CHECKING:
    from pathlib import Path

EMPTY: dict[str, Any] = {
    "cpu": {"usage": {"kernel": 0, "user": 0}, "throttling": {}},
    "cpuset": {
        "cpu_exclusive": 0,
        "mem_hardwall": 0,
        "mem_exclusive": 0,
        "memory_migrate": 0,
        "memory_spread_page": 0,
        "memory_spread_slab": 0,
        "memory_pressure": 0,
        "sched_load_balance": 0,
        "sched_relax_domain_level": 0,
    },
    "memory": {name: {"limit": 0, "failcnt": 0} for name in ("usage", "swap", "kernel", "kernelTCP")},
    "pids": {},
    "blkio": {},
    "hugetlb": {},
    "intel_rdt": {},
    "network_interfaces": None,
}
"""What is printed where nothing is counted."""

V1 = {
    "cpuacct": {
        "cpuacct.usage": "1500\n",
        "cpuacct.usage_percpu": "1000 500 \n",
        "cpuacct.usage_all": "cpu user system\n0 700 300\n1 500 0\n",
        "cpuacct.stat": "user 3\nsystem 2\n",
    },
    "cpu": {"cpu.stat": "nr_periods 9\nnr_throttled 4\nthrottled_time 77\n"},
    "cpuset": {
        "cpuset.cpus": "0-2,7\n",
        "cpuset.mems": "0\n",
        "cpuset.memory_migrate": "1\n",
        "cpuset.sched_relax_domain_level": "-1\n",
    },
    "memory": {
        "memory.limit_in_bytes": "67108864\n",
        "memory.usage_in_bytes": "4096\n",
        "memory.max_usage_in_bytes": "8192\n",
        "memory.failcnt": "3\n",
        "memory.memsw.limit_in_bytes": "9223372036854771712\n",
        "memory.memsw.usage_in_bytes": "4096\n",
        "memory.kmem.usage_in_bytes": "512\n",
        "memory.kmem.tcp.failcnt": "1\n",
        "memory.stat": "rss 10\ncache 2048\n",
    },
    "pids": {"pids.current": "5\n", "pids.max": "max\n"},
    "blkio": {
        "blkio.bfq.io_service_bytes_recursive": "Total 0\n",
        "blkio.throttle.io_service_bytes_recursive": "8:0 Read 4096\n8:0 Write 0\n253:1 Total 4096\nTotal 4096\n",
        "blkio.bfq.io_serviced_recursive": "8:0 Read 1\n",
        "blkio.throttle.io_serviced_recursive": "8:0 Read 2\n",
        "blkio.time_recursive": "8:0 17\n",
    },
    "hugetlb": {
        "hugetlb.2MB.usage_in_bytes": "2097152\n",
        "hugetlb.2MB.max_usage_in_bytes": "4194304\n",
        "hugetlb.2MB.failcnt": "6\n",
        "hugetlb.2MB.rsvd.usage_in_bytes": "1\n",
        "hugetlb.1GB.usage_in_bytes": "0\n",
        "hugetlb.1GB.failcnt": "0\n",
    },
}

V2 = {
    "cpu.stat": "usage_usec 1500\nuser_usec 900\nsystem_usec 600\nnr_periods 9\nnr_throttled 4\nthrottled_usec 77\n",
    "cpu.pressure": "some avg10=1.50 avg60=0.00 avg300=0.00 total=12\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=3\n",
    "cpuset.cpus": "1,3\n",
    "memory.max": "1000\n",
    "memory.current": "400\n",
    "memory.peak": "500\n",
    "memory.events": "low 0\nhigh 0\nmax 8\noom 1\noom_kill 1\n",
    "memory.swap.max": "max\n",
    "memory.swap.current": "50\n",
    "memory.swap.events": "high 0\nmax 2\nfail 0\n",
    "memory.stat": "file 300\nanon 100\n",
    "pids.current": "5\n",
    "pids.max": "10\n",
    "io.stat": "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=5 dios=6\n",
    "hugetlb.2MB.current": "2097152\n",
    "hugetlb.2MB.events": "max 3\n",
    "hugetlb.2MB.rsvd.current": "1\n",
}


def v1(tmp_path: Path, files: dict[str, dict[str, str]]) -> Cgroup:
    """A cgroup of v1 with these files by controller."""
    for controller, texts in files.items():
        (tmp_path / controller).mkdir()
        for name, text in texts.items():
            (tmp_path / controller / name).write_text(text)
    return Cgroup({controller: str(tmp_path / controller) for controller in files})


def v2(tmp_path: Path, files: dict[str, str]) -> Cgroup:
    """A cgroup of cgroup2 with these files."""
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    return Cgroup({UNIFIED: str(tmp_path)})


def test_v1(tmp_path: Path) -> None:
    assert collect(v1(tmp_path, V1)) == {
        "cpu": {
            "usage": {
                "total": 1500,
                "percpu": [1000, 500],
                "percpu_kernel": [300, 0],
                "percpu_user": [700, 500],
                "kernel": 2 * TICK,
                "user": 3 * TICK,
            },
            "throttling": {"periods": 9, "throttledPeriods": 4, "throttledTime": 77},
        },
        "cpuset": EMPTY["cpuset"]
        | {"cpus": [0, 1, 2, 7], "mems": [0], "memory_migrate": 1, "sched_relax_domain_level": -1},
        "memory": {
            "cache": 2048,
            "usage": {"limit": 67108864, "usage": 4096, "max": 8192, "failcnt": 3},
            "swap": {"limit": 9223372036854771712, "usage": 4096, "failcnt": 0},
            "kernel": {"limit": 0, "usage": 512, "failcnt": 0},
            "kernelTCP": {"limit": 0, "failcnt": 1},
            "raw": {"cache": 2048, "rss": 10},
        },
        "pids": {"current": 5},
        "blkio": {
            "ioServiceBytesRecursive": [
                {"major": 8, "op": "Read", "value": 4096},
                {"major": 8, "op": "Write"},
                {"major": 253, "minor": 1, "op": "Total", "value": 4096},
            ],
            "ioServicedRecursive": [{"major": 8, "op": "Read", "value": 1}],
            "ioTimeRecursive": [{"major": 8, "value": 17}],
        },
        "hugetlb": {"1GB": {"failcnt": 0}, "2MB": {"usage": 2097152, "max": 4194304, "failcnt": 6}},
        "intel_rdt": {},
        "network_interfaces": None,
    }


def test_cgroup2(tmp_path: Path) -> None:
    nothing = {"avg10": 0.0, "avg60": 0.0, "avg300": 0.0}
    assert collect(v2(tmp_path, V2)) == EMPTY | {
        "cpu": {
            "usage": {"total": 1_500_000, "kernel": 600_000, "user": 900_000},
            "throttling": {"periods": 9, "throttledPeriods": 4, "throttledTime": 77_000},
            "psi": {"some": nothing | {"avg10": 1.5, "total": 12}, "full": nothing | {"total": 3}},
        },
        "cpuset": EMPTY["cpuset"] | {"cpus": [1, 3]},
        "memory": {
            "cache": 300,
            "usage": {"limit": 1000, "usage": 400, "max": 500, "failcnt": 8},
            "swap": {"limit": NO_LIMIT, "usage": 450, "failcnt": 2},
            "kernel": {"limit": 0, "failcnt": 0},
            "kernelTCP": {"limit": 0, "failcnt": 0},
            "raw": {"anon": 100, "file": 300},
        },
        "pids": {"current": 5, "limit": 10},
        "blkio": {
            "ioServiceBytesRecursive": [{"major": 8, "op": "Read", "value": 4096}, {"major": 8, "op": "Write"}],
            "ioServicedRecursive": [{"major": 8, "op": "Read", "value": 1}, {"major": 8, "op": "Write"}],
        },
        "hugetlb": {"2MB": {"usage": 2097152, "failcnt": 3}},
    }


@pytest.mark.parametrize(
    ("memory", "swap", "both"),
    [("1000", "500", 1500), ("max", "0", NO_LIMIT), ("1000", "max", NO_LIMIT), ("max", "max", NO_LIMIT)],
)
def test_swap_of_cgroup2_includes_memory(memory: str, swap: str, both: int, tmp_path: Path) -> None:
    data = collect(v2(tmp_path, {"memory.max": memory, "memory.swap.max": swap}))
    assert data["memory"]["swap"]["limit"] == both


def test_each_controller_on_a_hybrid_layout_is_read_where_it_is(tmp_path: Path) -> None:
    (tmp_path / "v1").mkdir()
    (tmp_path / "v2").mkdir()
    cgroup = v1(tmp_path / "v1", {"memory": V1["memory"], "cpu": V1["cpu"], "cpuacct": V1["cpuacct"]})
    cgroup.dirs |= v2(tmp_path / "v2", V2).dirs
    data = collect(cgroup)
    assert data["memory"]["usage"]["limit"] == 67108864
    assert data["cpu"]["usage"]["total"] == 1500
    assert "psi" not in data["cpu"]
    assert data["pids"] == {"current": 5, "limit": 10}


RDMA = {
    "rdma.max": "mlx5_0 hca_handle=2 hca_object=max\nocrdma1 hca_handle=max hca_object=9\n",
    "rdma.current": "mlx5_0 hca_handle=1 hca_object=20\nocrdma1 hca_handle=0 hca_object=0\n",
}


def test_rdma(tmp_path: Path) -> None:
    """There is nothing of it where there are no devices."""
    (tmp_path / "v1").mkdir()
    for cgroup in (v1(tmp_path / "v1", {"rdma": RDMA}), v2(tmp_path, RDMA)):
        assert collect(cgroup)["rdma"] == {
            "rdma_limit": [
                {"device": "mlx5_0", "hca_handles": 2, "hca_objects": 2**32 - 1},
                {"device": "ocrdma1", "hca_handles": 2**32 - 1, "hca_objects": 9},
            ],
            "rdma_current": [{"device": "mlx5_0", "hca_handles": 1, "hca_objects": 20}, {"device": "ocrdma1"}],
        }


@pytest.mark.parametrize("dirs", [{}, {"memory": "/nonexistent"}, {UNIFIED: "/nonexistent"}])
def test_what_nobody_counts_is_zero_or_not_there(dirs: dict[str, str]) -> None:
    data = collect(Cgroup(dict(dirs)))
    if "memory" in dirs:
        data["memory"].pop("raw", None)
    assert data == EMPTY


def test_the_order_is_that_of_runc(tmp_path: Path) -> None:
    def names(value: Any) -> list[str]:
        if not isinstance(value, dict):
            return []
        return [name for key, item in value.items() for name in (key, *names(item))]

    assert list(collect(v1(tmp_path, V1))) == [
        "cpu",
        "cpuset",
        "memory",
        "pids",
        "blkio",
        "hugetlb",
        "intel_rdt",
        "network_interfaces",
    ]
    assert len({field.path for field in FIELDS}) == len(FIELDS)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    (tmp_path / "pids.max").mkdir()
    with pytest.raises(Error) as raised:
        collect(v2(tmp_path, {}))
    assert str(raised.value) == f'cgroup: read "{tmp_path}/pids.max": is a directory'


def test_a_cgroup_that_is_removed_meanwhile_uses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def removed(path: str) -> str:
        raise OSError(errno.ENODEV, "No such device", path)

    monkeypatch.setattr(stats, "read_text", removed)
    assert collect(Cgroup({"pids": "/nonexistent", UNIFIED: "/nonexistent"})) == EMPTY


def test_pressure_that_the_kernel_does_not_count_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "cpu.pressure").mkdir()  # as good a failure as any: the kernel's is EOPNOTSUPP
    assert "psi" not in collect(v2(tmp_path, {}))["cpu"]


def test_the_statistics_of_this_process_can_be_collected() -> None:
    from lxcri.cgroup.layout import detect

    own = {name: path for name, path in detect().own.items() if os.path.isdir(path)}
    assert collect(Cgroup(own)).keys() == EMPTY.keys()
