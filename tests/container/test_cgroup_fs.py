"""Cgroups on the machine's own hierarchies: making, placing, limiting, killing, removing."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import posix
import signal
import stat
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from oci import process
from oci.cgroup import directory as cgroup_of

from lxcri import spec
from lxcri.cgroup import UNIFIED, fs, read_text, writable, write_text
from lxcri.cgroup.layout import Layout, detect, warm
from lxcri.cgroup.resources import compile_resources
from lxcri.cgroup.writable import WritableCgroup
from lxcri.cgroup.write import Write
from lxcri.errors import Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from oci.machine import Machine

LAYOUT = detect()
V1 = pytest.mark.skipif("freezer" not in LAYOUT.controllers, reason="needs the freezer of cgroup v1")
MEMORY = pytest.mark.skipif("memory" not in LAYOUT.controllers, reason="needs the memory controller of v1")
CPUSET = pytest.mark.skipif("cpuset" not in LAYOUT.controllers, reason="needs the cpuset controller of v1")
CPU = pytest.mark.skipif("cpu" not in LAYOUT.controllers, reason="needs the cpu controller of v1")

numbers = itertools.count()


@pytest.fixture
def name(machine: Machine) -> str:
    """Of a cgroup that is nobody else's."""
    return f"{machine.prefix}-fs-{next(numbers)}"


@pytest.fixture
def make(name: str) -> Iterator[Callable[..., WritableCgroup]]:
    """Makes cgroups; they are emptied and removed after the test, with their parents."""
    made: list[WritableCgroup] = []

    def make(path: str = f"/{name}", writes: tuple[Write, ...] = ()) -> WritableCgroup:
        made.append(WritableCgroup.make(LAYOUT, path, name, writes))
        return made[-1]

    yield make
    for cgroup in reversed(made):
        cgroup.kill_all(signal.SIGKILL)
        cgroup.remove(parents=True)


@pytest.fixture
def run(name: str) -> Iterator[Callable[..., int]]:
    """Starts processes in a cgroup."""
    started: list[subprocess.Popen[bytes]] = []

    def run(cgroup: WritableCgroup, *argv: str) -> int:
        gate, release = os.pipe()
        child = subprocess.Popen(
            ["/bin/sh", "-c", 'read go && exec "$@"', "sh", *(argv or ("sleep", "100"))], stdin=gate
        )
        started.append(child)
        cgroup.place(child.pid)
        os.write(release, b"go\n")
        os.close(gate)
        os.close(release)
        return child.pid

    yield run
    for child in started:
        child.kill()
        child.wait()


def python(run: Callable[..., int], cgroup: WritableCgroup, program: str) -> int:
    return run(cgroup, sys.executable, "-IS", "-c", program)


def without_cgroup2(cgroup: WritableCgroup) -> WritableCgroup:
    """The same, as on a host that has v1 alone."""
    return WritableCgroup({key: path for key, path in cgroup.dirs.items() if key != UNIFIED})


def limits(resources: dict[str, Any], *, devices: bool = False) -> tuple[Write, ...]:
    return tuple(compile_resources(msgspec.convert(resources, spec.Resources), LAYOUT, devices=devices))


def left_below(name: str) -> list[str]:
    points = {*LAYOUT.controllers.values(), LAYOUT.unified or "/nowhere"}
    return [path for point in points for path in [f"{point}/{name}"] if os.path.exists(path)]


def places(pid: int | str) -> dict[str, str]:
    """Path by controllers, of each hierarchy that is mounted."""
    with open(f"/proc/{pid}/cgroup") as file:
        fields = [line.rstrip("\n").split(":", 2) for line in file]
    known = {*LAYOUT.controllers, UNIFIED} if LAYOUT.unified else set(LAYOUT.controllers)
    return {names: path for _, names, path in fields if names.split(",")[0] in known}


def gone(cgroup: WritableCgroup) -> bool:
    return not any(os.path.exists(path) for path in cgroup.dirs.values())


# ---------------------------------------------------------------------------------------------------- making


def test_a_process_is_placed_in_every_hierarchy(
    make: Callable[..., WritableCgroup], run: Callable[..., int], name: str
) -> None:
    cgroup = make(f"/{name}/a")
    found = places(run(cgroup))
    assert set(found.values()) == {f"/{name}/a"}
    assert found.keys() == places("self").keys()
    assert {UNIFIED if n == "" else n for names in found for n in names.split(",")} == set(cgroup.dirs)


def test_a_relative_path_is_below_the_own_cgroup(
    make: Callable[..., WritableCgroup], run: Callable[..., int], name: str
) -> None:
    own = places("self")
    assert places(run(make(f"{name}/a"))) == {key: f"{own[key].rstrip('/')}/{name}/a" for key in own}


def test_an_empty_path_is_the_id(make: Callable[..., WritableCgroup], run: Callable[..., int], name: str) -> None:
    own = places("self")
    assert places(run(make(""))) == {key: f"{own[key].rstrip('/')}/{name}" for key in own}


def test_the_record_of_a_cgroup_is_enough_for_later_commands(
    make: Callable[..., WritableCgroup], run: Callable[..., int], name: str
) -> None:
    cgroup = make(f"/{name}/a b")
    lines = cgroup.record()
    assert not any("\n" in line for line in lines)
    later = WritableCgroup.from_record(lines)
    assert later.dirs == cgroup.dirs
    assert later.record() == lines
    pid = run(cgroup)
    assert later.pids() == [pid]
    later.kill_all(signal.SIGKILL)
    later.remove()
    assert gone(cgroup)


def test_a_cgroup_in_use_is_refused(make: Callable[..., WritableCgroup], run: Callable[..., int], name: str) -> None:
    """Its processes would be killed with the container. What was made for the second is removed."""
    first = make(f"/{name}/a")
    key = next(iter(first.dirs))
    pid = run(first)
    for other, path in first.dirs.items():
        if other != key and first.dirs[other] != first.dirs[key]:
            write_text(f"{cgroup_of(os.getpid(), other)}/cgroup.procs", str(pid))
            os.rmdir(path)
    with pytest.raises(Error) as error:
        WritableCgroup.make(LAYOUT, f"/{name}/a", "id")
    assert str(error.value) == f'cgroup: "{first.dirs[key]}" is in use: it holds a process'
    assert [path for path in set(first.dirs.values()) if os.path.exists(path)] == [first.dirs[key]]
    write_text(f"{cgroup_of(os.getpid(), key)}/cgroup.procs", str(pid))


def test_a_cgroup_whose_child_is_in_use_is_refused(
    make: Callable[..., WritableCgroup], run: Callable[..., int], name: str
) -> None:
    inner = make(f"/{name}/a/b")
    run(inner)
    with pytest.raises(Error, match=r"is in use: it holds a process$"):
        WritableCgroup.make(LAYOUT, f"/{name}/a", "id")


def test_an_unused_cgroup_is_taken_and_not_removed(make: Callable[..., WritableCgroup], name: str) -> None:
    """What is associated with the container, but not created by it, MUST NOT be deleted (runtime.md)."""
    before = make(f"/{name}/a")
    child = next(iter(before.dirs.values())) + "/child"
    os.mkdir(child)
    container = WritableCgroup.make(LAYOUT, f"/{name}/a", "id")
    assert container.made == []
    WritableCgroup.from_record(container.record()).remove()
    container.remove(parents=True)
    assert os.path.isdir(child)
    assert all(os.path.isdir(path) for path in before.dirs.values())


@V1
def test_a_frozen_cgroup_is_refused(make: Callable[..., WritableCgroup], name: str) -> None:
    """The container's init would stop in it, and create wait for ever."""
    before = make(f"/{name}")
    before.freeze()
    with pytest.raises(Error) as error:
        WritableCgroup.make(LAYOUT, f"/{name}", "id")
    assert str(error.value) == f'cgroup: "{before.dirs["freezer"]}" is frozen'
    before.thaw()


@CPUSET
def test_a_failure_leaves_nothing(name: str) -> None:
    writes = limits({"cpu": {"cpus": "4095"}})
    with pytest.raises(Error) as error:
        WritableCgroup.make(LAYOUT, f"/{name}/a/b", "id", writes)
    path = f"{LAYOUT.controllers['cpuset']}/{name}/a/b/cpuset.cpus"
    assert str(error.value).startswith(f'linux.resources.cpu.cpus: write "4095" to "{path}": ')
    assert left_below(name) == []


def test_a_name_that_the_kernel_refuses_is_told(name: str) -> None:
    long = "x" * 5000
    with pytest.raises(Error) as error:
        WritableCgroup.make(LAYOUT, f"/{name}/{long}", "id")
    assert str(error.value).startswith('cgroup: make "/')
    assert str(error.value).endswith(f'/{name}/{long}": file name too long')
    assert left_below(name) == []


@CPUSET
def test_cpus_and_memory_nodes_come_from_the_parents(
    make: Callable[..., WritableCgroup], run: Callable[..., int], name: str
) -> None:
    """Also from above one that somebody made without giving it any: v1 lets no process in there."""
    top = LAYOUT.controllers["cpuset"]
    os.mkdir(f"{top}/{name}")
    try:
        cgroup = make(f"/{name}/a/b")
        for file in writable.CPUSET_FILES:
            assert read_text(f"{cgroup.dirs['cpuset']}/{file}") == read_text(f"{top}/{file}") != "\n"
        run(cgroup)
        cgroup.kill_all(signal.SIGKILL)
        cgroup.remove(parents=True)
    finally:
        os.rmdir(f"{top}/{name}")


@CPUSET
@pytest.mark.skipif(os.cpu_count() == 1, reason="needs two CPUs")
def test_fewer_cpus_of_a_parent_stay_fewer(make: Callable[..., WritableCgroup], name: str) -> None:
    parent = f"{LAYOUT.controllers['cpuset']}/{name}"
    make(f"/{name}/other")
    all_cpus = read_text(parent + "/cpuset.cpus")
    one = all_cpus.strip().partition("-")[0].partition(",")[0]
    write_text(f"{parent}/other/cpuset.cpus", one)
    write_text(f"{parent}/cpuset.cpus", one)
    cgroup = make(f"/{name}/a")
    assert read_text(cgroup.dirs["cpuset"] + "/cpuset.cpus") == one + "\n" != all_cpus


@CPUSET
def test_the_specs_cpus_precede_the_first_process(make: Callable[..., WritableCgroup]) -> None:
    first = read_text(LAYOUT.controllers["cpuset"] + "/cpuset.cpus").strip().partition("-")[0].partition(",")[0]
    cgroup = make(writes=limits({"cpu": {"cpus": first}, "pids": {"limit": 7}}))
    assert read_text(cgroup.dirs["cpuset"] + "/cpuset.cpus") == first + "\n"
    if "pids" in cgroup.dirs:
        assert read_text(cgroup.dirs["pids"] + "/pids.max") == "max\n"


@pytest.mark.skipif("hugetlb" not in LAYOUT.unified_controllers, reason="cgroup2 has no hugetlb controller")
def test_parents_on_cgroup2_hand_down_what_is_needed(make: Callable[..., WritableCgroup], name: str) -> None:
    assert LAYOUT.unified is not None
    control = LAYOUT.unified + "/cgroup.subtree_control"
    before = read_text(control).split()
    writes = limits({"hugepageLimits": [{"pageSize": "2MB", "limit": 4 << 20}]})
    try:
        cgroup = make(f"/{name}/a", writes)
        cgroup.apply(writes)
        assert read_text(cgroup.dirs[UNIFIED] + "/hugetlb.2MB.max") == f"{4 << 20}\n"
        assert set(read_text(control).split()) == {*before, "hugetlb"}
        assert read_text(cgroup.dirs[UNIFIED] + "/cgroup.subtree_control").split() == []
    finally:
        cgroup.remove(parents=True)
        if "hugetlb" not in before:
            write_text(control, "-hugetlb")


def test_others_may_remove_parents_meanwhile(name: str) -> None:
    """Two containers below one parent, one of which is being removed with it."""
    end = threading.Event()
    layout = Layout({key: point for key, point in LAYOUT.controllers.items() if key == "freezer"}, LAYOUT.unified)
    points = {*layout.controllers.values(), *([layout.unified] if layout.unified else [])}

    def disturb() -> None:
        while not end.wait(0.0002):
            for point in points:
                with contextlib.suppress(OSError):
                    os.rmdir(f"{point}/{name}")

    thread = threading.Thread(target=disturb)
    thread.start()
    try:
        for _ in range(200):
            cgroup = WritableCgroup.make(layout, f"/{name}/a", "id")
            assert not gone(cgroup)
            cgroup.remove()
    finally:
        end.set()
        thread.join()
    for point in points:
        with contextlib.suppress(FileNotFoundError):
            os.rmdir(f"{point}/{name}")


def test_warming_moves_nobody(name: str) -> None:
    before = places("self")
    warm(LAYOUT)
    warm(Layout({}, own={"x": f"/sys/fs/cgroup/{name}"}))
    assert places("self") == before


def test_placing_a_process_that_is_gone_names_it(make: Callable[..., WritableCgroup]) -> None:
    cgroup = make()
    with pytest.raises(Error, match=r'^cgroup: move process 999999999 to "/.*": no such process$'):
        cgroup.place(999999999)


# -------------------------------------------------------------------------------------------------- limiting


def value(cgroup: WritableCgroup, file: str) -> str:
    controller = file.partition(".")[0]
    return read_text(f"{cgroup.dirs[controller if controller in cgroup.dirs else UNIFIED]}/{file}").strip()


@pytest.mark.skipif("pids" not in LAYOUT.controllers, reason="needs the pids controller of v1")
def test_a_limit_holds(make: Callable[..., WritableCgroup], run: Callable[..., int]) -> None:
    cgroup = make()
    assert cgroup.apply(limits({"pids": {"limit": 3}})) == []
    program = """
import os, sys
children = 0
try:
    while True:
        if not os.fork():
            os.read(0, 1)
            os._exit(0)
        children += 1
except BlockingIOError:
    os.kill(0, 0)
    sys.exit(children)
"""
    pid = python(run, cgroup, program)
    assert process.reap(pid) == 2
    cgroup.kill_all(signal.SIGKILL)


@pytest.mark.skipif("pids" not in LAYOUT.controllers, reason="needs the pids controller of v1")
def test_a_value_that_the_kernel_refuses_is_told_with_property_file_and_reason(
    make: Callable[..., WritableCgroup],
) -> None:
    cgroup = make()
    with pytest.raises(Error) as error:
        cgroup.apply([Write("linux.resources.pids.limit", "pids", "pids.max", "many")])
    assert str(error.value) == (
        f'linux.resources.pids.limit: write "many" to "{cgroup.dirs["pids"]}/pids.max": invalid argument'
    )
    with pytest.raises(Error) as error:
        cgroup.apply([Write("linux.resources.x", "pids", "pids.x", "1")])
    assert str(error.value) == (
        f'linux.resources.x: write "1" to "{cgroup.dirs["pids"]}/pids.x": no such file or directory'
    )


def test_a_controller_that_is_not_mounted_is_told() -> None:
    with pytest.raises(Error) as error:
        WritableCgroup({}).apply([Write("linux.resources.pids.limit", "pids", "pids.max", "1")])
    assert str(error.value) == "linux.resources.pids.limit: the controller pids is not mounted"


@MEMORY
def test_memory_and_swap_can_be_raised_and_lowered(make: Callable[..., WritableCgroup]) -> None:
    """The kernel wants memory <= memory+swap at each step: the right order depends on the old values."""
    cgroup = make()
    for limit, swap in ((64, 128), (256, 512), (32, 48), (-1, -1), (64, 64), (96, -1), (-1, 0), (8, 16)):
        mib = [n << 20 if n > 0 else n for n in (limit, swap)]
        cgroup.apply(limits({"memory": {"limit": mib[0], "swap": mib[1]}}))
        for file, wanted in zip(("memory.limit_in_bytes", "memory.memsw.limit_in_bytes"), mib, strict=True):
            found = int(value(cgroup, file))
            assert found == wanted if wanted > 0 else found > 1 << 60, (limit, swap)


@MEMORY
def test_a_value_that_no_order_makes_right_is_an_error(make: Callable[..., WritableCgroup]) -> None:
    cgroup = make()
    with pytest.raises(Error) as error:
        cgroup.apply(limits({"memory": {"limit": -5, "reservation": 4096}}))
    assert str(error.value) == (
        f'linux.resources.memory.limit: write "-5" to "{cgroup.dirs["memory"]}/memory.limit_in_bytes": invalid argument'
    )


@MEMORY
def test_a_memory_limit_below_the_usage_tells_the_usage(
    make: Callable[..., WritableCgroup], run: Callable[..., int]
) -> None:
    cgroup = make()
    python(run, cgroup, "import time; held = b'x' * (8 << 20); time.sleep(100)")
    process.wait_for(lambda: int(value(cgroup, "memory.usage_in_bytes")) > 8 << 20, "memory in use")
    cgroup.apply(limits({"memory": {"limit": 64 << 20, "swap": 64 << 20}}))
    with pytest.raises(Error, match=r"device or resource busy \(\d+ are in use\)$") as error:
        cgroup.apply(limits({"memory": {"limit": 4096}}))
    assert str(error.value).startswith('linux.resources.memory.limit: write "4096" to "')


@MEMORY
def test_a_ceiling_is_compared_before_the_write(make: Callable[..., WritableCgroup]) -> None:
    cgroup = make()
    write_text(cgroup.dirs["memory"] + "/memory.soft_limit_in_bytes", "8192")
    write = Write("p", "memory", "memory.limit_in_bytes", "4096", ceiling="memory.soft_limit_in_bytes")
    with pytest.raises(Error, match=r"^p: 4096 is less than what is in use, 8192$"):
        cgroup.apply([write])
    cgroup.apply([msgspec.structs.replace(write, value="8192")])
    assert value(cgroup, "memory.limit_in_bytes") == "8192"


@CPU
def test_quota_period_and_burst_can_be_raised_and_lowered(make: Callable[..., WritableCgroup]) -> None:
    cgroup = make()
    for quota, period, burst in (
        (50000, 100000, 40000),
        (2000, 4000, 1000),
        (900000, 1000000, 0),
        (-1, 5000, 0),
    ):
        cgroup.apply(limits({"cpu": {"quota": quota, "period": period, "burst": burst}}))
        files = ("cpu.cfs_quota_us", "cpu.cfs_period_us", "cpu.cfs_burst_us")
        assert [int(value(cgroup, file)) for file in files] == [quota, period, burst]


@CPU
def test_shares_of_an_idle_cgroup_that_becomes_busy(make: Callable[..., WritableCgroup]) -> None:
    """The kernel refuses shares while cpu.idle is 1."""
    cgroup = make()
    cgroup.apply(limits({"cpu": {"idle": 1}}))
    cgroup.apply(limits({"cpu": {"idle": 0, "shares": 512}}))
    assert (value(cgroup, "cpu.idle"), value(cgroup, "cpu.shares")) == ("0", "512")


def test_a_missing_file_may_have_a_substitute_or_be_optional(make: Callable[..., WritableCgroup]) -> None:
    cgroup = make()
    key, path = next(iter(cgroup.dirs.items()))
    substitute = "notify_on_release" if key != UNIFIED else "cgroup.max.depth"
    ignored = cgroup.apply(
        [
            Write("p", key, "no.file", "7", otherwise=(substitute, "1")),
            Write("q", key, "no.file", "7", optional=True),
        ]
    )
    assert read_text(f"{path}/{substitute}") == "1\n"
    assert ignored == [f'q: write "7" to "{path}/no.file": no such file or directory']


@pytest.mark.skipif("devices" not in LAYOUT.controllers, reason="needs the devices controller of v1")
def test_device_rules_hold(make: Callable[..., WritableCgroup], run: Callable[..., int], machine: Machine) -> None:
    """Real devices, opened and made under them; 1:11 (kmsg) exists everywhere."""
    node = os.path.join(machine.work, "kmsg")
    os.mknod(node, stat.S_IFCHR | 0o600, os.makedev(1, 11))
    program = f"""
import os, sys
def can(mode, path={node!r}):
    try:
        os.close(os.open(path, mode | os.O_NONBLOCK))
    except OSError:
        return False
    return True
os.mknod({node + "-made"!r}, 0o020600, os.makedev(1, 11))
os.unlink({node + "-made"!r})
for path in ("null", "zero", "full", "random", "urandom"):
    assert can(os.O_RDONLY, "/dev/" + path) and can(os.O_WRONLY, "/dev/" + path), path
sys.exit(can(os.O_RDONLY) + 2 * can(os.O_WRONLY))
"""
    kmsg = {"type": "c", "major": 1, "minor": 11}
    everything = {"allow": True, "access": "rwm"}
    try:
        for rules, expected in (
            ([], 0),
            ([everything], 3),
            ([{"allow": True, "access": "r", **kmsg}], 1),
            ([everything, {"allow": False, "access": "r", **kmsg}], 2),
            ([everything, {"allow": False, "access": "rwm"}], 0),
        ):
            cgroup = make()
            cgroup.apply(limits({"devices": rules}, devices=True))
            assert process.reap(python(run, cgroup, program)) == expected, rules
            cgroup.remove()
    finally:
        os.unlink(node)


# ------------------------------------------------------------------------------------- freezing and killing


def test_freezing_stops_and_thawing_continues(make: Callable[..., WritableCgroup], run: Callable[..., int]) -> None:
    cgroup = make()
    assert not cgroup.frozen()
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_inheritable(writer, True)
    pid = run(cgroup, "sh", "-c", f"while :; do echo >/proc/{os.getpid()}/fd/{writer}; done")
    try:
        os.close(os.dup(writer))
        process.wait_for(lambda: _drain(reader), "output")
        cgroup.freeze()
        assert WritableCgroup.from_record(cgroup.record()).frozen()
        _drain(reader)
        time.sleep(0.02)
        assert not _drain(reader)
        cgroup.thaw()
        assert not cgroup.frozen()
        process.wait_for(lambda: _drain(reader), "output")
    finally:
        os.kill(pid, signal.SIGKILL)
        process.reap(pid)
        os.close(reader)
        os.close(writer)


def _drain(reader: int) -> bool:
    count = 0
    with contextlib.suppress(BlockingIOError):
        while os.read(reader, 65536):
            count += 1
    return bool(count)


def test_what_cannot_be_frozen_is_thawed_again(
    make: Callable[..., WritableCgroup], run: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroup = make()
    run(cgroup)
    monkeypatch.setattr(fs, "PATIENCE", 0.01)
    monkeypatch.setattr(WritableCgroup, "_is_frozen", lambda _: False)
    with pytest.raises(Error, match=r'^cgroup: freeze: processes in "/.*" do not stop$'):
        cgroup.freeze()
    monkeypatch.undo()
    process.wait_for(lambda: not cgroup.frozen(), "thawed")


VIEWS = pytest.mark.parametrize("view", [pytest.param(without_cgroup2, id="v1", marks=V1), lambda c: c])


@VIEWS
def test_kill_all_ends_a_tree(
    make: Callable[..., WritableCgroup], run: Callable[..., int], view: Callable[[WritableCgroup], WritableCgroup]
) -> None:
    """Also what ignores all other signals, and what has left its session."""
    cgroup = make()
    run(cgroup, "sh", "-c", "trap '' TERM; sleep 100 & setsid sh -c 'sleep 100 & wait' & wait")
    process.wait_for(lambda: len(cgroup.pids()) == 4, "4 processes")
    view(cgroup).kill_all(signal.SIGKILL)
    process.wait_for(lambda: cgroup.pids() == [], "all dead", timeout=1)
    cgroup.remove()


@VIEWS
def test_kill_all_ends_what_is_frozen(
    make: Callable[..., WritableCgroup], run: Callable[..., int], view: Callable[[WritableCgroup], WritableCgroup]
) -> None:
    cgroup = make()
    pid = run(cgroup)
    cgroup.freeze()
    view(cgroup).kill_all(signal.SIGKILL)
    assert process.reap(pid, timeout=1) == -signal.SIGKILL
    assert not cgroup.frozen()


@V1
@VIEWS
def test_kill_all_ends_what_the_container_froze_itself(
    make: Callable[..., WritableCgroup], run: Callable[..., int], view: Callable[[WritableCgroup], WritableCgroup]
) -> None:
    cgroup = make()
    pid = run(cgroup)
    inner = cgroup.dirs["freezer"] + "/inner"
    os.mkdir(inner)
    write_text(inner + "/cgroup.procs", str(pid))
    write_text(inner + "/freezer.state", "FROZEN")
    view(cgroup).kill_all(signal.SIGKILL)
    assert process.reap(pid, timeout=1) == -signal.SIGKILL
    cgroup.remove()


@VIEWS
def test_kill_all_ends_a_fork_bomb(
    make: Callable[..., WritableCgroup], run: Callable[..., int], view: Callable[[WritableCgroup], WritableCgroup]
) -> None:
    """Processes that do nothing but fork and die, so that no list of them is right for long."""
    cgroup = make()
    cgroup.apply(limits({"pids": {"limit": 300}}))
    python(
        run,
        cgroup,
        """
import os, signal
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
generation = 0
while True:
    try:
        if os.fork():
            if generation > 20:
                os._exit(0)
        else:
            generation += 1
    except OSError:
        pass
""",
    )
    process.wait_for(lambda: len(cgroup.pids()) > 250, "a bomb")
    before = time.monotonic()
    view(cgroup).kill_all(signal.SIGKILL)
    cgroup.remove()
    assert time.monotonic() - before < 2
    assert gone(cgroup)


@VIEWS
def test_another_signal_reaches_all_once(
    make: Callable[..., WritableCgroup], run: Callable[..., int], view: Callable[[WritableCgroup], WritableCgroup]
) -> None:
    cgroup = make()
    pids = [run(cgroup) for _ in range(3)]
    process.wait_for(lambda: all("sleep" in _name(pid) for pid in pids), "exec")
    view(cgroup).kill_all(0)
    assert sorted(cgroup.pids()) == sorted(pids)
    view(cgroup).kill_all(signal.SIGTERM)
    assert [process.reap(pid, timeout=1) for pid in pids] == [-signal.SIGTERM] * 3
    assert not cgroup.frozen()


def _name(pid: int) -> str:
    with open(f"/proc/{pid}/comm") as file:
        return file.read()


@VIEWS
def test_another_signal_leaves_a_frozen_container_frozen(
    make: Callable[..., WritableCgroup], run: Callable[..., int], view: Callable[[WritableCgroup], WritableCgroup]
) -> None:
    cgroup = make()
    pid = run(cgroup)
    cgroup.freeze()
    view(cgroup).kill_all(signal.SIGTERM)
    assert cgroup.frozen()
    cgroup.thaw()
    assert process.reap(pid, timeout=1) == -signal.SIGTERM


def test_more_processes_than_descriptors_are_signalled(
    make: Callable[..., WritableCgroup], run: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroup = make()
    pids = [run(cgroup) for _ in range(7)]
    process.wait_for(lambda: all("sleep" in _name(pid) for pid in pids), "exec")
    opened = 0
    pidfd_open, close = posix.pidfd_open, posix.close

    def scarce(pid: int, flags: int = 0) -> int:
        nonlocal opened
        if opened == 3:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        opened += 1
        return pidfd_open(pid, flags)

    def give_back(fd: int) -> None:
        nonlocal opened
        if os.readlink(f"/proc/self/fd/{fd}") == "anon_inode:[pidfd]":
            opened -= 1
        close(fd)

    with monkeypatch.context() as patch:
        patch.setattr(posix, "pidfd_open", scarce)
        patch.setattr(posix, "close", give_back)
        cgroup.kill_all(signal.SIGTERM)
    assert [process.reap(pid, timeout=1) for pid in pids] == [-signal.SIGTERM] * 7


@V1
def test_what_does_not_die_is_an_error(
    make: Callable[..., WritableCgroup], run: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroup = make()
    run(cgroup)
    monkeypatch.setattr(fs, "PATIENCE", 0.01)
    monkeypatch.setattr(WritableCgroup, "_signal", lambda *_: None)
    with pytest.raises(Error, match=r'^cgroup: a process in "/.*" survived SIGKILL$'):
        without_cgroup2(cgroup).kill_all(signal.SIGKILL)


def test_zombies_are_no_processes(make: Callable[..., WritableCgroup], run: Callable[..., int]) -> None:
    cgroup = make()
    pid = run(cgroup, "true")
    assert process.ended(pid)
    assert cgroup.pids() == []
    cgroup.remove()
    assert process.reap(pid) == 0


def test_processes_of_inner_cgroups_count(make: Callable[..., WritableCgroup], run: Callable[..., int]) -> None:
    cgroup = make()
    pids = [run(cgroup), run(cgroup)]
    inner = cgroup._freezer() + "/a"
    os.mkdir(inner)
    os.mkdir(inner + "/b")
    write_text(inner + "/b/cgroup.procs", str(pids[1]))
    assert sorted(cgroup.pids()) == sorted(pids)


# -------------------------------------------------------------------------------------------------- removing


def test_what_the_container_made_is_removed_too(make: Callable[..., WritableCgroup]) -> None:
    cgroup = make()
    for path in set(cgroup.dirs.values()):
        for inner in ("a", "a/b", "a/c", "d"):
            os.mkdir(f"{path}/{inner}")
    cgroup.remove()
    assert gone(cgroup)
    cgroup.remove()


def test_depth_is_no_obstacle(make: Callable[..., WritableCgroup]) -> None:
    """Deeper than a path may be long, and than descriptors are many."""
    cgroup = make()
    fd = os.open(cgroup._freezer(), os.O_RDONLY)
    for _ in range(300):
        os.mkdir("x" * 50, dir_fd=fd)
        inner = os.open("x" * 50, os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd = inner
    os.close(fd)
    assert cgroup.pids() == []
    cgroup.remove()
    assert gone(cgroup)


def test_parents_are_removed_with_the_container(make: Callable[..., WritableCgroup], name: str) -> None:
    """By delete, which knows of them from the record."""
    cgroup = make(f"/{name}/a/b")
    WritableCgroup.from_record(cgroup.record()).remove(parents=True)
    assert gone(cgroup)
    assert not any(os.path.exists(os.path.dirname(path)) for path in cgroup.dirs.values())


def test_parents_that_a_failed_create_made_go_unless_others_use_them(
    make: Callable[..., WritableCgroup], name: str
) -> None:
    first = make(f"/{name}/a/b")
    other = make(f"/{name}/c")
    first.remove(parents=True)
    assert not any(os.path.exists(os.path.dirname(path)) for path in first.dirs.values())
    assert all(os.path.isdir(path) for path in other.dirs.values())
    other.remove()
    assert left_below(name)
    for path in set(other.dirs.values()):
        os.rmdir(os.path.dirname(path))


def test_removing_waits_for_dying_processes(make: Callable[..., WritableCgroup], run: Callable[..., int]) -> None:
    cgroup = make()
    pid = run(cgroup)
    timer = threading.Timer(0.1, os.kill, (pid, signal.SIGKILL))
    timer.start()
    cgroup.remove()
    assert gone(cgroup)
    timer.join()


def test_a_process_that_stays_is_an_error_and_is_left_alone(
    make: Callable[..., WritableCgroup], run: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    cgroup = make()
    pid = run(cgroup)
    monkeypatch.setattr(fs, "PATIENCE", 0.01)
    with pytest.raises(Error, match=r'^cgroup: remove "/.*": it holds a process$'):
        cgroup.remove()
    monkeypatch.undo()
    assert cgroup.pids() == [pid]


def test_a_cgroup_that_is_gone_is_no_error(make: Callable[..., WritableCgroup]) -> None:
    cgroup = make()
    later = WritableCgroup.from_record(cgroup.record())
    cgroup.remove()
    later.remove()
    later.kill_all(signal.SIGKILL)
    assert later.pids() == []
    assert not later.frozen()


# -------------------------------------------------------------------------------------------------- delegation

CGROUP2 = pytest.mark.skipif(LAYOUT.unified is None, reason="cgroup2 is not mounted")


@CGROUP2
@pytest.mark.parametrize("list_is_there", [True, False])
def test_giving_a_cgroup_away(
    make: Callable[..., WritableCgroup], monkeypatch: pytest.MonkeyPatch, list_is_there: bool
) -> None:
    """config-linux.md, "WritableCgroup ownership": the files that the kernel names, or three if it names none."""
    delegated = {"cgroup.procs", "cgroup.subtree_control", "cgroup.threads"}
    if list_is_there:
        delegated = set(read_text(writable.DELEGATED).split())
    else:
        monkeypatch.setattr(writable, "DELEGATED", "/nonexistent")
    cgroup = make()
    cgroup.give(1234)
    path = cgroup.dirs[UNIFIED]
    found = {name: os.stat(f"{path}/{name}") for name in [".", *os.listdir(path)]}
    assert {name for name, status in found.items() if status.st_uid == 1234} == {".", *(delegated & set(found))}
    assert {status.st_uid for status in found.values()} == {0, 1234}
    assert {status.st_gid for status in found.values()} == {0}
