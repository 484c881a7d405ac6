"""The device filter of cgroup2, asked by the kernel: wherever cgroup2 is mounted, alone or beside v1."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import random
import select
import signal
import stat
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from oci import cgroup, process
from oci.device_rules import last_match, some_rules

from lxcri import linux
from lxcri.cgroup import UNIFIED, bpf, read_text
from lxcri.cgroup.devices import DeviceRule, essential_device_rules
from lxcri.cgroup.layout import Layout
from lxcri.cgroup.writable import WritableCgroup
from lxcri.errors import Error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from oci.bundle import Bundle
    from oci.machine import Machine
    from oci.runtime import Container

pytestmark = pytest.mark.skipif(UNIFIED not in cgroup.mounts(), reason="cgroup2 is not mounted")

names = itertools.count()


@pytest.fixture
def directory(machine: Machine) -> Iterator[str]:
    """A cgroup of cgroup2."""
    path = f"{cgroup.mounts()[UNIFIED]}/{machine.prefix}-bpf-{next(names)}"
    os.mkdir(path)
    yield path
    os.rmdir(path)


@pytest.fixture
def inside(directory: str) -> Iterator[Callable[[Callable[[], bytes]], bytes]]:
    """Has a process in the cgroup run functions, one for each byte that it reads, and return what they return."""
    work: list[Callable[[], bytes]] = []
    ours, theirs = os.pipe(), os.pipe()
    running: list[int] = []

    def answer() -> None:
        while os.read(ours[0], 1):
            os.write(theirs[1], work[0]())

    def run(function: Callable[[], bytes]) -> bytes:
        if not running:
            work.append(function)
            running.append(forked(directory, answer))
        assert work == [function], "one function for each process"
        os.write(ours[1], b"?")
        assert select.select([theirs[0]], [], [], process.TIMEOUT)[0]
        return os.read(theirs[0], 65536)

    yield run
    for pid in running:
        os.kill(pid, signal.SIGKILL)
        process.reap(pid)
    for fd in (*ours, *theirs):
        os.close(fd)


def forked(directory: str, function: Callable[[], object]) -> int:
    """A child in the cgroup that runs a function."""
    pid = os.fork()
    if not pid:
        try:
            with open(f"{directory}/cgroup.procs", "w") as file:
                file.write("0")
            function()
            os._exit(0)
        finally:
            os._exit(1)
    return pid


# Numbers that exist and such that do not: the kernel asks the filter before it looks for a driver.
MAJORS, MINORS = (1, 7, 240), (3, 5, 77)
ACCESSES = ("r", "w", "rw", "m")


def permitted(directory: str) -> Callable[[], bytes]:
    """Try every access to the devices of these numbers; a byte for each."""
    nodes = {
        (kind, *numbers): os.path.join(directory, "-".join(map(str, (kind, *numbers))))
        for kind in "bc"
        for numbers in itertools.product(MAJORS, MINORS)
    }
    for (kind, major, minor), path in nodes.items():
        os.mknod(path, (stat.S_IFBLK if kind == "b" else stat.S_IFCHR) | 0o666, os.makedev(major, minor))

    def one(device: tuple[str, int, int], access: str) -> bool:
        path = nodes[device]
        if access == "m":
            try:
                os.mknod(path + "-made", os.stat(path).st_mode, os.makedev(*device[1:]))
            except PermissionError:
                return False
            os.unlink(path + "-made")
            return True
        allowed = os.access(path, sum({"r": os.R_OK, "w": os.W_OK}[letter] for letter in access))
        if device[0] == "c" and device[1] == 1:  # memory devices, which are safe to open
            flags = {"r": os.O_RDONLY, "w": os.O_WRONLY, "rw": os.O_RDWR}[access]
            try:
                os.close(os.open(path, flags))
            except PermissionError:
                assert not allowed
            except OSError:  # there is none
                assert allowed
            else:
                assert allowed
        return allowed

    return lambda: bytes(one(device, access) for device in nodes for access in ACCESSES)


def expected(rules: list[DeviceRule]) -> bytes:
    return bytes(
        last_match(rules, kind, major, minor, access)
        for kind, major, minor, access in itertools.product("bc", MAJORS, MINORS, ACCESSES)
    )


def test_the_kernel_allows_what_the_rules_do(
    directory: str, inside: Callable[[Callable[[], bytes]], bytes], machine: Machine
) -> None:
    """300 lists of rules, each in the place of the one before, with and without the essential ones behind."""
    nodes = os.path.join(machine.work, "nodes")
    os.mkdir(nodes)
    ask = permitted(nodes)
    answers = set()
    for seed in range(300):
        rules = some_rules(random.Random(seed), MAJORS, MINORS)
        if seed % 2:
            rules += essential_device_rules()
        bpf.attach(directory, rules)
        found = inside(ask)
        assert found == expected(rules), (seed, rules)
        answers.add(found)
    assert len(answers) > 150
    assert len(filters(directory)) == 1


def filters(directory: str) -> list[int]:
    """Ids of the programs attached to a cgroup."""
    fd = os.open(directory, os.O_RDONLY)
    try:
        return linux.device_filters(fd)
    finally:
        os.close(fd)


def test_there_is_a_filter_at_every_moment(directory: str, machine: Machine) -> None:
    """While it is replaced, what both filters deny stays denied, and what both allow stays allowed."""
    node = os.path.join(machine.work, "denied")
    os.mknod(node, stat.S_IFCHR | 0o666, os.makedev(1, 7))

    def watch() -> None:
        while True:
            assert not os.access(node, os.R_OK)
            os.close(os.open("/dev/null", os.O_RDONLY))

    null = DeviceRule(True, ("c", 1, 3), "rw")
    both = [[null], [DeviceRule(True, ("c", 1, None), "w"), null]]
    bpf.attach(directory, both[0])
    pid = forked(directory, watch)
    for i in range(500):
        bpf.attach(directory, both[i % 2])
    assert not process.ended(pid, 0), "it was seen with a wrong filter"
    os.kill(pid, signal.SIGKILL)
    process.reap(pid)
    os.unlink(node)


def test_it_outlives_who_attached_it(directory: str) -> None:
    """The cgroup holds it, no process."""
    code = f"from lxcri.cgroup import bpf; bpf.attach({directory!r}, [])"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=process.TIMEOUT)
    (number,) = filters(directory)
    fd = linux.open_program(number)
    assert linux.program_name(fd) == bpf.NAME
    os.close(fd)
    bpf.detach(directory)
    assert filters(directory) == []


def test_filters_of_others_are_left_alone(directory: str) -> None:
    """systemd attaches one to the units that it makes; an access needs the consent of all."""
    other = linux.load_device_filter("other", bpf.program([DeviceRule(True, ("c", 1, 3), "rw")]))
    cgroup_fd = os.open(directory, os.O_RDONLY)
    linux.attach_device_filter(cgroup_fd, other)
    os.close(cgroup_fd)
    os.close(other)
    (first,) = filters(directory)
    for rules in (essential_device_rules(), []):
        bpf.attach(directory, rules)
        assert len(filters(directory)) == 2
        assert first in filters(directory)
    bpf.detach(directory)
    assert filters(directory) == [first]


def test_more_rules_than_the_kernel_takes(directory: str) -> None:
    """Thousands are no problem; what is too much is refused, and the filter that is there stays."""
    bpf.attach(directory, [DeviceRule(True, ("c", n, n), "rwm") for n in range(2000)])
    before = filters(directory)
    rules = [DeviceRule(True, ("c", n, n), "r") for n in range(20000)]
    with pytest.raises(Error, match=r"^linux.resources.devices: load the filter: 20000 rules are more than the kernel"):
        bpf.attach(directory, rules)
    assert filters(directory) == before


def test_a_cgroup_that_was_there_loses_the_filter(machine: Machine, directory: str) -> None:
    """With the container: the next one in it has its own."""
    point = cgroup.mounts()[UNIFIED]
    made = WritableCgroup.make(Layout({}, point), directory.removeprefix(point), "id")
    made.filter_devices([])
    assert filters(directory)
    later = WritableCgroup.from_record(made.record())
    assert later.filtered
    later.remove(parents=True)
    assert filters(directory) == []


def test_a_failed_create_takes_no_filter_of_another_container(directory: str) -> None:
    """The cgroup is in use: what holds there holds on."""
    point = cgroup.mounts()[UNIFIED]
    bpf.attach(directory, [])
    pid = forked(directory, signal.pause)
    process.wait_for(lambda: read_text(f"{directory}/cgroup.procs"), "the process")
    try:
        with pytest.raises(Error, match="is in use: it holds a process"):
            WritableCgroup.make(Layout({}, point), directory.removeprefix(point), "id")
        assert len(filters(directory)) == 1
    finally:
        os.kill(pid, signal.SIGKILL)
        process.reap(pid)


def test_a_cgroup_that_is_gone_is_no_error(directory: str) -> None:
    bpf.detach(directory + "/gone")
    with pytest.raises(Error, match=r'/gone": no such file or directory$'):
        bpf.attach(directory + "/gone", [])


# ---------------------------------------------------------------------------- containers that see cgroup2 alone

PROBE = """
cd /tmp
try() { if (eval "$2") 2>/dev/null; then echo "$1 yes"; else echo "$1 no"; fi; }
try null 'echo >/dev/null'
try mknod 'mknod made c 1 11 && rm made'
test -e node || mknod node c 1 11
try read 'exec <node'
try write 'exec >>node'
"""


def probe(container: Container) -> dict[str, str]:
    result = container.runtime.call("exec", container.id, "/bin/sh", "-c", PROBE).ok()
    return dict(line.split() for line in result.stdout.splitlines())


@pytest.fixture
def container(bundle: Bundle) -> Container:
    """One whose runtime sees no hierarchy but cgroup2."""
    bundle.mount("/tmp", "tmpfs", "tmpfs", ["nosuid"])
    for capabilities in bundle.process["capabilities"].values():
        capabilities.append("CAP_SYSLOG")  # to open kmsg
    return bundle.container("/bin/sleep", "100")


def up(container: Container) -> None:
    container.create(wrapper=cgroup.only_v2())
    container.start()


def update(container: Container, rules: list[dict[str, object]]) -> None:
    path = container.bundle.file("resources.json", json.dumps({"devices": rules}))
    container.runtime.call("update", "--resources", path, container.id, wrapper=cgroup.only_v2()).ok()


KMSG = {"type": "c", "major": 1, "minor": 11}
DENIED = {"null": "yes", "mknod": "yes", "read": "no", "write": "no"}


@pytest.mark.lxcri_only("runc refuses a cgroup2 that is not on /sys/fs/cgroup, and update ignores devices")
def test_container_opens_devices(container: Container) -> None:
    """A denied one, then what update makes of it; exec'ed processes are in the same cgroup."""
    up(container)
    assert probe(container) == DENIED
    update(container, [{"allow": False, "access": "rwm"}, {"allow": True, "access": "r", **KMSG}])
    assert probe(container) == DENIED | {"read": "yes"}
    update(container, [{"allow": True, "access": "rwm"}])
    assert probe(container) == DENIED | {"read": "yes", "write": "yes"}
    update(container, [{"allow": True, "access": "rwm"}, {"allow": False, "access": "w", **KMSG}])
    assert probe(container) == DENIED | {"read": "yes"}


@pytest.mark.lxcri_only("runc refuses a cgroup2 that is not on /sys/fs/cgroup")
def test_container_without_restriction(container: Container) -> None:
    """No program is attached where it would allow everything."""
    container.bundle.resources["devices"] = [{"allow": True, "access": "rwm"}]
    up(container)
    assert probe(container) == DENIED | {"read": "yes", "write": "yes"}
    assert filters(cgroup.mounts()[UNIFIED] + cgroup.paths(container.pid)[UNIFIED]) == []


@pytest.mark.lxcri_only("runc refuses a cgroup2 that is not on /sys/fs/cgroup")
def test_a_refused_filter_leaves_nothing(container: Container) -> None:
    """The machine is as before, though the filter comes late."""
    container.bundle.resources["devices"] = [
        {"allow": True, "access": "r", "type": "c", "major": n, "minor": n} for n in range(20000)
    ]
    result = container.attempt_create(wrapper=cgroup.only_v2())
    assert result.returncode == 1
    with contextlib.suppress(FileNotFoundError):
        assert container.id not in os.listdir(container.runtime.root)
    assert "linux.resources.devices: load the filter: " in container.errors()


def test_signals_while_it_is_loaded(directory: str) -> None:
    """The kernel's verifier gives up then; the end of a child is such a signal."""
    rules = [DeviceRule(True, ("c", 1, minor), "r") for minor in range(30)]
    start = time.monotonic()
    bpf.attach(directory, rules)
    interval = 2 * (time.monotonic() - start)
    before = signal.signal(signal.SIGALRM, lambda *_: None)
    signal.setitimer(signal.ITIMER_REAL, interval, interval)
    try:
        for _ in range(100):
            bpf.attach(directory, rules)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    bpf.detach(directory)
