"""`update`: what its options mean, and what is set back when a limit is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from lxcri.cgroup import UNIFIED
from lxcri.cgroup.devices import DeviceRule, essential_device_rules, v1_changes, v1_lines
from lxcri.cgroup.layout import Layout
from lxcri.cgroup.update import NO_LIMIT_OF_KEY, complete, former, update
from lxcri.cgroup.writable import WritableCgroup
from lxcri.errors import Error
from lxcri.spec import CPU, DeviceCgroup, Memory, Pids, Resources
from lxcri.verbs.update import I64_MAX, number, size

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from lxcri.cgroup.write import Write

V2 = Layout({}, "/", ["memory", "cpu", "cpuset", "pids", "io"])


class Files(WritableCgroup):
    """A cgroup whose files are ordinary ones, and which refuses some values."""

    def __init__(self, path: Path, controllers: Iterable[str], files: dict[str, str]) -> None:
        super().__init__(dict.fromkeys(controllers, str(path)))
        self.path = path
        self.refused: set[tuple[str, str]] = set()
        self.written: list[tuple[str, str]] = []
        self.filters: list[Sequence[DeviceRule] | None] = []
        for name, text in files.items():
            (path / name).write_text(text)

    def hand_down(self, layout: Layout, writes: Iterable[Write]) -> None:
        """There are no parents."""

    def apply(self, writes: Iterable[Write]) -> list[str]:
        """Write, up to the first one that is refused."""
        for write in writes:
            if (write.file, write.value) in self.refused:
                raise Error(f"{write.property}: refused")
            self.written.append((write.file, write.value))
            (self.path / write.file).write_text(write.value + "\n")
        return []

    def filter_devices(self, rules: Sequence[DeviceRule] | None) -> None:
        """Refuse or remember them."""
        if ("devices", "") in self.refused:
            raise Error("linux.resources.devices: refused")
        self.filters.append(rules)

    def read(self, name: str) -> str:
        """The content of a file."""
        return (self.path / name).read_text()


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (None, None),
        ("0", 0),
        ("-1", -1),
        ("4096", 4096),
        ("1k", 1024),
        ("1K", 1024),
        ("1kb", 1024),
        ("1KiB", 1024),
        ("2 M", 2 << 20),
        ("1.5g", 3 << 29),
        ("1T", 1 << 40),
        ("1p", 1 << 50),
        ("10b", 10),
        ("10i", 10),
        (str(I64_MAX), I64_MAX),
    ],
)
def test_sizes_are_written_as_runc_reads_them(text: str | None, value: int | None) -> None:
    assert size("memory", text) == value


@pytest.mark.parametrize(
    "text",
    ["", "x", "M", "-2", "-1M", "1.", ".5M", "1.5.5M", "1  M", "1MM", "1e3", "0x10", "1_000", "9999P", "\u0661", " 1"],
)
def test_other_sizes_are_refused_by_option(text: str) -> None:
    with pytest.raises(Error, match=r"^--memory: "):
        size("memory", text)


@pytest.mark.parametrize("text", ["", "x", "1.5", "--1", "-", "1k", "0x1", " 1", "1_0", "\u0661", "9" * 30])
def test_what_is_no_number_is_refused_by_option(text: str) -> None:
    with pytest.raises(Error, match=r"^--cpu-quota: "):
        number("cpu-quota", text, -I64_MAX, I64_MAX)


@given(st.integers(-(2**70), 2**70))
def test_numbers_are_in_the_range_of_their_type(value: int) -> None:
    if -5 <= value <= I64_MAX:
        assert number("x", str(value), -5, I64_MAX) == value
    else:
        with pytest.raises(Error, match=r"^--x: "):
            number("x", str(value), -5, I64_MAX)


@pytest.mark.parametrize(
    ("file", "text", "value", "expected"),
    [
        ("memory.limit_in_bytes", "67108864\n", "1", "67108864"),
        ("pids.max", "max\n", "7", "max"),
        ("cpu.max", "max 100000\n", "5000 100000", "max 100000"),
        ("cpuset.cpus", "\n", "0-1", "\n"),
        ("cpuset.cpus", "", "0-1", "\n"),
        ("cpuset.cpus", "0-1\n", "\n", "0-1"),
        ("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n", "1", "0"),
        ("io.weight", "default 100\n8:0 200\n", "50", "100"),
        ("io.weight", "default 100\n8:0 200\n", "8:0 300", "8:0 200"),
        ("io.weight", "default 100\n", "8:0 300", "8:0 default"),
        (
            "io.max",
            "8:0 rbps=1 wbps=max riops=max wiops=max\n",
            "8:0 rbps=5",
            "8:0 rbps=1 wbps=max riops=max wiops=max",
        ),
        ("io.max", "", "8:0 rbps=5", "8:0 rbps=max wbps=max riops=max wiops=max"),
        ("blkio.throttle.read_bps_device", "8:16 5\n", "8:0 7", "8:0 0"),
        ("blkio.throttle.read_bps_device", "8:16 5\n8:0 6\n", "8:0 7", "8:0 6"),
        ("net_prio.ifpriomap", "lo 0\neth0 5\n", "eth0 7", "eth0 5"),
        ("rdma.max", "", "mlx hca_handle=1", "mlx hca_handle=max hca_object=max"),
        ("misc.max", "res_a 5\nres_b max\n", "res_b 7", "res_b max"),
        ("misc.max", "res_a 5\nres_b max\n", "res_c 7", None),
    ],
)
def test_what_undoes_a_write(file: str, text: str, value: str, expected: str | None) -> None:
    assert former(file, text, value) == expected


def test_every_file_of_limits_by_device_is_known() -> None:
    """One that is missing would be set back to another device's limit, or not at all."""
    from lxcri.cgroup.resources import PROPERTIES, To
    from lxcri.spec import BlockIO, InterfacePriority, ThrottleDevice, WeightDevice
    from lxcri.spec.resources import Rdma

    examples: dict[str, Any] = {
        "blockIO.weightDevice": [WeightDevice(major=8, minor=0, weight=100)],
        "network.priorities": [InterfacePriority(name="lo", priority=1)],
        "rdma": {"mlx": Rdma(hca_handles=1)},
    }
    examples |= {row.name: [ThrottleDevice(major=8, minor=0)] for row in PROPERTIES if "throttle" in row.name}
    for row in PROPERTIES:
        if row.name not in examples:
            continue
        for target in (row.v1, row.v2):
            if isinstance(target, To):
                for step in target.steps(examples[row.name], BlockIO()):
                    files = {step.file, *(step.otherwise or ())[:1]}
                    assert files <= set(NO_LIMIT_OF_KEY)


def test_a_refused_limit_sets_back_what_has_changed_and_no_more(tmp_path: Path) -> None:
    files = {"memory.max": "1000\n", "pids.max": "max\n", "cpu.weight": "100\n", "memory.low": "7\n"}
    cgroup = Files(tmp_path, [UNIFIED], files)
    cgroup.refused.add(("pids.max", "5"))
    resources = Resources(memory=Memory(limit=500), pids=Pids(limit=5), cpu=CPU(shares=2))
    with pytest.raises(Error) as raised:
        update(cgroup, resources, V2, devices=True, warn=pytest.fail)
    assert str(raised.value) == "linux.resources.pids.limit: refused"
    assert {name: cgroup.read(name) for name in files} == files
    assert cgroup.written == [("cpu.weight", "1"), ("memory.max", "500"), ("memory.max", "1000"), ("cpu.weight", "100")]


def test_what_was_empty_is_emptied_again(tmp_path: Path) -> None:
    cgroup = Files(tmp_path, [UNIFIED], {"cpuset.cpus": "\n", "cpuset.mems": "\n", "pids.max": "9\n"})
    cgroup.refused.add(("pids.max", "5"))
    resources = Resources(cpu=CPU(cpus="0", mems="0"), pids=Pids(limit=5))
    with pytest.raises(Error, match=r"^linux\.resources\.pids\.limit: refused$"):
        update(cgroup, resources, V2, devices=True, warn=pytest.fail)
    assert [cgroup.read(file).strip() for file in ("cpuset.cpus", "cpuset.mems", "pids.max")] == ["", "", "9"]


def test_what_cannot_be_set_back_is_said(tmp_path: Path) -> None:
    cgroup = Files(tmp_path, [UNIFIED], {"memory.max": "1000\n", "pids.max": "9\n"})
    cgroup.refused |= {("pids.max", "5"), ("memory.max", "1000")}
    with pytest.raises(Error) as raised:
        update(cgroup, Resources(memory=Memory(limit=500), pids=Pids(limit=5)), V2, devices=True, warn=pytest.fail)
    assert str(raised.value) == (
        "linux.resources.pids.limit: refused (and not all is as before: linux.resources.memory.limit: refused)"
    )


def test_a_limit_out_of_range_writes_nothing(tmp_path: Path) -> None:
    cgroup = Files(tmp_path, ["memory", "cpu"], {"memory.limit_in_bytes": "1\n", "cpu.shares": "1024\n"})
    layout = Layout({"memory": "/", "cpu": "/"})
    with pytest.raises(Error, match=r"^linux\.resources\.cpu\.shares: 1 is not in"):
        update(cgroup, Resources(memory=Memory(limit=5), cpu=CPU(shares=1)), layout, devices=True, warn=pytest.fail)
    assert cgroup.written == []


@pytest.mark.parametrize(
    ("text", "cpu", "expected"),
    [
        ("max 50000\n", CPU(quota=1000), (1000, 50000)),
        ("2000 50000\n", CPU(period=80000), (2000, 80000)),
        ("max 50000\n", CPU(period=80000), (-1, 80000)),
        ("2000 50000\n", CPU(quota=-1), (-1, 50000)),
        ("2000 50000\n", CPU(quota=5, period=6), (5, 6)),
        ("2000 50000\n", CPU(quota=0, period=0), (0, 0)),
        ("2000 50000\n", CPU(shares=5), (None, None)),
    ],
)
def test_on_cgroup2_quota_and_period_stay_what_they_are(
    text: str, cpu: CPU, expected: tuple[int | None, int | None], tmp_path: Path
) -> None:
    """They are one file there."""
    complete(Resources(cpu=cpu), Files(tmp_path, [UNIFIED], {"cpu.max": text}), V2)
    assert (cpu.quota, cpu.period) == expected


@pytest.mark.parametrize(
    ("text", "memory", "limit"),
    [
        ("1000\n", Memory(swap=1500), 1000),
        ("max\n", Memory(swap=1500), None),
        ("1000\n", Memory(swap=1500, limit=700), 700),
        ("1000\n", Memory(swap=-1), None),
        ("1000\n", Memory(reservation=5), None),
    ],
)
def test_on_cgroup2_swap_alone_includes_the_memory_limit_that_is(
    text: str, memory: Memory, limit: int | None, tmp_path: Path
) -> None:
    complete(Resources(memory=memory), Files(tmp_path, [UNIFIED], {"memory.max": text}), V2)
    assert memory.limit == limit


def device(allow: bool, access: str, kind: str | None = None, major: int | None = None, minor: int = 0) -> DeviceCgroup:
    return DeviceCgroup(allow=allow, access=access, type=kind, major=major, minor=None if major is None else minor)


NONE = device(False, "rwm")
ALL = device(True, "rwm")
FUSE = device(True, "rw", "c", 10, 229)


def listed(*rules: DeviceCgroup) -> str:
    """What devices.list shows under these rules."""
    first, *rest = v1_lines(rules)
    return "a *:* rwm\n" if first[0] == "devices.allow" else "".join(f"{value}\n" for _, value in rest)


def test_device_rules_that_stay_cost_no_write() -> None:
    """A container that opens /dev/null meanwhile sees nothing of it."""
    assert v1_changes(listed(NONE, FUSE), [NONE, FUSE]) == ([], [])
    assert v1_changes(listed(ALL), [ALL]) == ([], [])


def test_only_the_difference_of_device_rules_is_written_and_taken_back() -> None:
    there, back = v1_changes(listed(NONE, FUSE), [NONE, device(True, "r", "c", 10, 229), device(True, "m", "b", 7)])
    assert there == [("devices.allow", "b 7:0 m"), ("devices.deny", "c 10:229 w")]
    assert back == [("devices.allow", "c 10:229 w"), ("devices.deny", "b 7:0 m")]
    there, back = v1_changes(listed(NONE), [NONE, FUSE])
    assert there == [("devices.allow", "c 10:229 rw")]
    assert back == [("devices.deny", "c 10:229 rw")]


def test_device_rules_with_another_default_are_written_as_a_whole() -> None:
    there, back = v1_changes(listed(NONE, FUSE), [ALL])
    assert there == [("devices.allow", "a")]
    assert back[0] == ("devices.deny", "a")
    assert ("devices.allow", "c 10:229 rw") in back
    there, back = v1_changes(listed(ALL), [NONE, FUSE])
    assert there == v1_lines([NONE, FUSE])
    assert back == [("devices.allow", "a")]


def test_without_device_rules_those_of_the_container_stay(tmp_path: Path) -> None:
    cgroup = Files(tmp_path, ["devices", "pids"], {"pids.max": "9\n", "devices.list": "c 1:3 rwm\n"})
    layout = Layout({"pids": "/", "devices": "/"})
    update(cgroup, Resources(pids=Pids(limit=5)), layout, devices=True, warn=pytest.fail)
    assert cgroup.written == [("pids.max", "5")]


def test_device_rules_are_not_applied_if_devices_are_switched_off(tmp_path: Path) -> None:
    cgroup = Files(tmp_path, ["devices", "pids"], {"pids.max": "9\n", "devices.list": "a *:* rwm\n"})
    layout = Layout({"pids": "/", "devices": "/"})
    resources = Resources(pids=Pids(limit=5), devices=[NONE])
    update(cgroup, resources, layout, devices=False, warn=pytest.fail)
    assert cgroup.written == [("pids.max", "5")]


def test_on_cgroup2_the_device_filter_is_replaced(tmp_path: Path) -> None:
    cgroup = Files(tmp_path, [UNIFIED], {"pids.max": "9\n"})
    for rules, filtered in (
        ([], []),
        ([NONE], [[DeviceRule(False, (kind, None, None), "rwm") for kind in "bc"] + essential_device_rules()]),
        ([ALL], [None]),
    ):
        cgroup.filters = []
        update(cgroup, Resources(devices=rules), V2, devices=True, warn=pytest.fail)
        assert cgroup.filters == filtered
    update(cgroup, Resources(devices=[NONE]), V2, devices=False, warn=pytest.fail)
    assert cgroup.filters == [None]


def test_a_refused_device_filter_sets_back_the_limits(tmp_path: Path) -> None:
    cgroup = Files(tmp_path, [UNIFIED], {"pids.max": "9\n"})
    cgroup.refused.add(("devices", ""))
    with pytest.raises(Error, match=r"^linux\.resources\.devices: refused$"):
        update(cgroup, Resources(pids=Pids(limit=5), devices=[NONE]), V2, devices=True, warn=pytest.fail)
    assert cgroup.read("pids.max") == "9\n"
