"""Many containers, many commands, machines that are full, and others that are slow."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from typing import TYPE_CHECKING

import pytest
from oci import machine as machine_module, process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from oci.bundle import Bundle
    from oci.machine import Machine
    from oci.runtime import Result, Runtime

AT_ONCE = 50


def spawn(runtime: Runtime, *words: str) -> subprocess.Popen[bytes]:
    """A command in the background."""
    return runtime.spawn(*words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.slow
def test_containers_at_once(bundle: Bundle, machine: Machine, pytestconfig: pytest.Config) -> None:
    """All run at the same time; each is the one that its id names; when they are gone nothing of them is left."""
    count = pytestconfig.getoption("--containers")
    before = machine.snapshot()
    bundle.resources["pids"] = {"limit": 10}
    containers = []
    with open(os.devnull, "r+b") as null:
        for _ in range(count):
            container = bundle.container("/bin/sleep", "100000")
            container.create(stdout=null, stderr=null)
            bundle.runtime.call("start", container.id).ok()
            containers.append(container)
    assert sorted(bundle.runtime.call("list", "--quiet").ok().stdout.split()) == sorted(c.id for c in containers)
    assert len({container.pid for container in containers}) == count
    last = containers[-1]
    assert last.status() == "running"
    bundle.runtime.call("exec", last.id, "/bin/true").ok()
    for container in containers:
        assert not process.ended(container.pid, 0), container.id
    for container in containers:
        container.delete("--force").ok()
        container.wait()
        bundle.forget(container)
    assert before.differences(machine.snapshot()) == []


@pytest.mark.slow
@pytest.mark.runc_differs("1.1: some of them fail", strict=False)
def test_commands_at_once_on_one_container(bundle: Bundle) -> None:
    """50 of exec, state, kill, update, pause and resume: each does what it says, and the container lives on."""
    container = bundle.shell("trap : USR1; while :; do sleep 1000 & wait; done")
    bundle.resources["pids"] = {"limit": 1000}
    container.up()
    execs = [spawn(bundle.runtime, "exec", container.id, "/bin/sh", "-c", f"exit {n}") for n in range(AT_ONCE)]
    assert [command.wait(60) for command in execs] == list(range(AT_ONCE))
    mixed = [
        ("state", container.id),
        ("update", "--pids-limit", "500", container.id),
        ("kill", container.id, "USR1"),
        ("exec", container.id, "/bin/true"),
        ("ps", "--format", "json", container.id),
    ]
    commands = [spawn(bundle.runtime, *mixed[n % len(mixed)]) for n in range(AT_ONCE)]
    assert [command.wait(60) for command in commands] == [0] * AT_ONCE
    toggles = [spawn(bundle.runtime, ("pause", "resume")[n % 2], container.id) for n in range(10)]
    assert {command.wait(60) for command in toggles} <= {0, 1}
    bundle.runtime.call("resume", container.id)
    assert container.status() == "running"
    deletes = [spawn(bundle.runtime, "delete", "--force", container.id) for _ in range(AT_ONCE)]
    assert 0 in {command.wait(60) for command in deletes}
    assert bundle.runtime.containers() == []


def refused(result: Result, *texts: str) -> None:
    """One line that gives the reason."""
    assert result.returncode == 1, str(result)
    assert any(text in result.message.lower() for text in texts), str(result)
    if result.strict:
        assert len(result.stderr.splitlines()) == 1, str(result)


@contextlib.contextmanager
def small_root(bundle: Bundle, data: str) -> Iterator[tuple[str, str]]:
    """A file system of its own for --root, as options."""
    place = bundle.directory("small")
    with machine_module.mounted("small", place, "tmpfs", data=data):
        yield ("--root", os.path.join(place, "root"))


def fill(place: str) -> None:
    """Leave no byte of its file system."""
    with open(os.path.join(place, "filler"), "wb", 0) as file, contextlib.suppress(OSError):
        while file.write(b"x" * 4096):
            pass


@pytest.mark.lxcri_only("1.1: leaves the directory")
@pytest.mark.parametrize("free", [0, 1, 2, 3, 5, 8])
def test_state_directory_that_is_full(bundle: Bundle, free: int) -> None:
    """`create` fails, and leaves nothing; what was created before can be started and deleted."""
    with small_root(bundle, "size=128k,mode=700") as options:
        place = os.path.dirname(options[1])
        container = bundle.container("/bin/sleep", "100")
        bundle.write()
        create = ("create", "--bundle", bundle.path, "--pid-file", container.pid_file)
        bundle.runtime.call(*create, "first", options=options).ok()
        with open(container.pid_file) as file:
            first = int(file.read())
        with open(os.path.join(place, "spare"), "wb") as file:
            file.write(b"x" * 4096 * free)
        fill(place)
        os.unlink(os.path.join(place, "spare"))
        second = bundle.runtime.call(*create, "second", options=options)
        if second.returncode == 0:
            bundle.runtime.call("delete", "--force", "second", options=options).ok()
        else:
            refused(second, "no space left on device")
        assert sorted(name for name in os.listdir(options[1]) if name != "@seccomp") == ["first"]
        bundle.runtime.call("start", "first", options=options).ok()
        assert '"running"' in bundle.runtime.call("state", "first", options=options).ok().stdout
        bundle.runtime.call("delete", "--force", "first", options=options).ok()
        process.reap(first)
        process.wait_for(lambda: not process.children(), "the other container's end")
        assert [name for name in os.listdir(options[1]) if name != "@seccomp"] == []


@pytest.mark.lxcri_only("1.1: another text")
def test_state_directory_that_is_read_only(bundle: Bundle) -> None:
    """`create` says so; `state` and `kill` need no writing."""
    with small_root(bundle, "mode=700") as options:
        place = os.path.dirname(options[1])
        container = bundle.container("/bin/sleep", "100")
        bundle.write()
        create = ("create", "--bundle", bundle.path, "--pid-file", container.pid_file)
        bundle.runtime.call(*create, "first", options=options).ok()
        with open(container.pid_file) as file:
            first = int(file.read())
        remount = machine_module.MS_REMOUNT
        machine_module.mount("small", place, "tmpfs", remount | machine_module.MS_RDONLY)
        refused(bundle.runtime.call(*create, "second", options=options), "read-only file system")
        assert '"created"' in bundle.runtime.call("state", "first", options=options).ok().stdout
        bundle.runtime.call("kill", "first", "KILL", options=options).ok()
        process.reap(first)
        assert bundle.runtime.call("delete", "first", options=options).returncode == 1
        machine_module.mount("small", place, "tmpfs", remount)
        bundle.runtime.call("delete", "first", options=options).ok()


@pytest.mark.lxcri_only("1.1: leaves the directory")
@pytest.mark.parametrize("inodes", range(3, 16, 2))
def test_state_directory_without_inodes(bundle: Bundle, inodes: int) -> None:
    """The same for files instead of bytes."""
    with small_root(bundle, f"nr_inodes={inodes},mode=700") as options:
        bundle.container("/bin/sleep", "100")
        bundle.write()
        result = bundle.runtime.call("create", "--bundle", bundle.path, "only", options=options)
        if result.returncode == 0:
            bundle.runtime.call("delete", "--force", "only", options=options).ok()
        else:
            refused(result, "no space left on device")
        names = os.listdir(options[1]) if os.path.exists(options[1]) else []
        assert [name for name in names if name != "@seccomp"] == []
        process.wait_for(lambda: not process.children(), "the end of the container")


@contextlib.contextmanager
def pids_cgroup(bundle: Bundle, limit: int) -> Iterator[list[str]]:
    """A wrapper that puts a command in a cgroup with so many processes at most."""
    points = [point for point in bundle_machine_points() if os.path.exists(os.path.join(point, "cgroup.procs"))]
    point = next((p for p in points if p.endswith("/pids")), None)
    if point is None:
        pytest.skip("no hierarchy of cgroup v1 with the pids controller")
    path = os.path.join(point, bundle.runtime.new_id())
    os.mkdir(path)
    try:
        with open(os.path.join(path, "pids.max"), "w") as file:
            file.write(str(limit))
        yield ["/bin/sh", "-c", f'echo $$ >{path}/cgroup.procs; exec "$@"', "sh"]
    finally:
        process.wait_for(lambda: not process.children(), "the end of what is in the cgroup")
        os.rmdir(path)


def bundle_machine_points() -> list[str]:
    """Mount points of the cgroup hierarchies."""
    from oci.machine import Machine

    return Machine.cgroup_mounts()


@pytest.mark.lxcri_only("1.1: goes on without threads, or panics")
@pytest.mark.parametrize("limit", [1, 2, 3, 4])
def test_machine_without_pids(bundle: Bundle, limit: int) -> None:
    """`create` under a limit of processes: a container, or the reason; nothing else."""
    with pids_cgroup(bundle, limit) as wrapper:
        container = bundle.container("/bin/sleep", "100")
        result = container.attempt_create(wrapper=wrapper)
        if result.returncode == 0:
            container.delete("--force").ok()
            container.wait()
        else:
            assert "resource temporarily unavailable" in container.errors() + result.stderr, container.errors()
        assert bundle.runtime.containers() == []


@pytest.mark.lxcri_only("1.1: panics")
@pytest.mark.parametrize("limit", [*range(4, 17), 20, 24, 32])
def test_few_descriptors(bundle: Bundle, limit: int) -> None:
    """`create` with few descriptors, soft and hard."""
    wrapper = ["/bin/sh", "-c", f'ulimit -n {limit}; exec "$@"', "sh"]
    container = bundle.container("/bin/sleep", "100")
    result = container.attempt_create(wrapper=wrapper)
    if result.returncode == 0:
        container.delete("--force").ok()
        container.wait()
    assert bundle.runtime.containers() == []
    process.wait_for(lambda: not process.children(), "the end of the container")


@pytest.fixture
def few_mounts() -> Iterator[Callable[[int], None]]:
    """Set how many mounts a namespace may have."""
    path = "/proc/sys/fs/mount-max"
    with open(path) as file:
        before = file.read()

    def limit(count: int) -> None:
        with open(path, "w") as file:
            file.write(str(count))

    yield limit
    limit(int(before))


@pytest.mark.lxcri_only("the other's needs are others")
@pytest.mark.parametrize("more", [0, 3, 8, 15, 25, 40])
def test_machine_without_mounts(bundle: Bundle, few_mounts: Callable[[int], None], more: int) -> None:
    """At the kernel's limit: the error names it, and nothing is left mounted."""
    with open("/proc/self/mountinfo") as file:
        now = len(file.readlines())
    container = bundle.container("/bin/sleep", "100")
    few_mounts(now + more)
    result = container.attempt_create()
    few_mounts(100000)
    if result.returncode == 0:
        container.delete("--force").ok()
        container.wait()
    else:
        assert "no space left on device" in container.errors(), container.errors()
    assert bundle.runtime.containers() == []


@pytest.mark.lxcri_only("the name of the file")
def test_machine_without_cgroups(bundle: Bundle) -> None:
    """cgroup.max.descendants of the hierarchy's part is reached: refused, and the other controllers' are removed."""
    point = next((p for p in bundle_machine_points() if os.path.exists(os.path.join(p, "cgroup.controllers"))), None)
    if point is None:
        pytest.skip("no hierarchy of cgroup2")
    parent = bundle.runtime.new_id()
    path = os.path.join(point, parent)
    os.mkdir(path)
    try:
        with open(os.path.join(path, "cgroup.max.descendants"), "w") as file:
            file.write("0")
        bundle.linux["cgroupsPath"] = f"/{parent}/leaf"
        container = bundle.container("/bin/sleep", "100")
        result = container.attempt_create()
        assert result.returncode == 1
        assert parent in container.errors()
    finally:
        os.rmdir(path)
    assert bundle.runtime.containers() == []


def test_a_hook_that_does_not_end(bundle: Bundle) -> None:
    """Its time-out ends it, and the creation, and leaves nothing."""
    for kind in ("createRuntime", "createContainer"):
        bundle.config["hooks"] = {kind: [{"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]}
        container = bundle.container("/bin/true")
        result = container.attempt_create()
        assert result.returncode == 1
        assert bundle.runtime.containers() == []
        process.wait_for(lambda: not process.children(), "the end of the hook")


@pytest.mark.parametrize("backlog", [0, 1])
def test_a_console_socket_that_nobody_reads(bundle: Bundle, backlog: int) -> None:
    """The terminal is sent, and whoever listens may take it when he likes; or `create` is interrupted, and is gone."""
    bundle.process["terminal"] = True
    path = os.path.join(bundle.path, "console.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(path)
        listener.listen(backlog)
        container = bundle.container("/bin/sleep", "100")
        container.create("--console-socket", path)
        container.start()
        assert container.status() == "running"
        container.delete("--force").ok()


@pytest.mark.lxcri_only("1.1 has no time limit")
@pytest.mark.parametrize("option", ["--console-socket", "--pidfd-socket"])
def test_a_socket_that_is_stuck(bundle: Bundle, option: str) -> None:
    """Its queue is full, and nobody takes anything from it: `create` gives up, and leaves nothing."""
    bundle.process["terminal"] = option == "--console-socket"
    path = os.path.join(bundle.path, "console.sock")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener, contextlib.ExitStack() as others:
        listener.bind(path)
        listener.listen(0)
        for _ in range(4):
            other = others.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
            other.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                other.connect(path)
        container = bundle.container("/bin/sleep", "100")
        bundle.write()
        configuration = bundle.file("configuration", '{"timeout": 0.5}')
        result = bundle.runtime.call(
            "create", "--bundle", bundle.path, option, path, container.id,
            options=("--config", configuration), timeout=20,
        )  # fmt: skip
        result.refused(option, "nobody took the connection within 0.5 seconds")
    assert bundle.runtime.containers() == []


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.lxcri_only("tests the time that lxcri gives liblxc")
def test_a_liblxc_that_takes_too_long(bundle: Bundle) -> None:
    """The configuration's time-out ends the creation, and leaves nothing."""
    configuration = bundle.file("configuration", '{"timeout": 0.5}')
    slow = [
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "trace=pivot_root",
        "-e",
        "inject=pivot_root:delay_enter=3000000",
    ]
    container = bundle.container("/bin/true")
    bundle.write()
    result = bundle.runtime.call(
        "create", "--bundle", bundle.path, container.id, options=("--config", configuration), wrapper=slow
    )
    assert result.returncode == 1
    assert "liblxc did not start the container within 0.5 seconds" in result.stderr  # strace has its own word too
    assert bundle.runtime.containers() == []
    process.wait_for(lambda: not process.children(), "the end of what liblxc had started")


@pytest.mark.parametrize("timeout", ["0", '"x"', "1e999"])
@pytest.mark.lxcri_only("its configuration")
def test_a_timeout_that_is_none(bundle: Bundle, timeout: str) -> None:
    """Refused, with its name."""
    configuration = bundle.file("configuration", f'{{"timeout": {timeout}}}')
    bundle.write()
    result = bundle.runtime.call(
        "create", "--bundle", bundle.path, bundle.runtime.new_id(), options=("--config", configuration)
    )
    result.refused("timeout" if timeout != "1e999" else "configuration")
