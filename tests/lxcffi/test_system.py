"""lxcffi on real system containers."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from oci import process

import lxcffi
from lxcffi.ffi import lib

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .conftest import Home

    New = Callable[[str], lxcffi.Container]

HERE = os.path.dirname(os.path.abspath(__file__))


@pytest.fixture
def output() -> Iterator[Any]:
    """A file for the output of attached processes."""
    with os.fdopen(os.memfd_create("output"), "w+b") as file:
        yield file


def read(file: Any) -> str:
    """What was written to a file by other processes."""
    return os.pread(file.fileno(), 1 << 20, 0).decode()


# Life


def test_container_lives_from_create_to_destroy(home: Home, new: New) -> None:
    container = new("life")
    assert (container.is_defined, container.may_control, container.is_running) == (True, True, False)
    assert container.state == "STOPPED"
    assert container.init_pid is None
    assert container.config_path == home.path
    assert container.config_file_name == f"{home.path}/life/config"
    assert container.config.get("lxc.uts.name") == "life"
    container.start()
    assert container.wait("RUNNING", timeout=10)
    with open(f"/proc/{container.init_pid}/comm", encoding="utf-8") as file:
        assert file.read() == "init\n"
    home.wait_for_init("life")
    container.freeze()
    assert container.state == "FROZEN"
    container.unfreeze()
    assert container.state == "RUNNING"
    with container.frozen():
        assert container.state == "FROZEN"
    assert container.state == "RUNNING"
    container.reboot(20)
    home.wait_for_init("life", starts=2)
    assert container.state == "RUNNING"
    container.shutdown(20)
    assert container.state == "STOPPED"
    container.destroy()
    assert not container.is_defined
    assert lxcffi.list_containers(home.path) == []


def test_started_is_a_with_block(new: New) -> None:
    container = new("block")
    with container.started():
        states = [container.state]
    states.append(container.state)
    assert states == ["RUNNING", "STOPPED"]
    container.start(["/bin/sleep", "1000"])
    with open(f"/proc/{container.init_pid}/cmdline", encoding="utf-8") as file:
        assert file.read() == "/bin/sleep\x001000\0"


def test_container_in_the_foreground_gives_its_status(home: Home, new: New, environment: dict[str, str]) -> None:
    """In a process of its own: it must have one thread, and is a child of liblxc's."""
    new("foreground")
    program = """
import sys, lxcffi
container = lxcffi.Container("foreground", sys.argv[1])
container.start(["/bin/sh", "-c", "exit 3"], daemonize=False)
print(container.error_number >> 8)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, home.path], capture_output=True, text=True, check=False, timeout=60,
        env=environment,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("3\n", 0), done.stderr


def test_start_that_fails_says_why(new: New) -> None:
    container = new("broken")
    container.config.set("lxc.rootfs.path", "dir:/nonexistent")
    with pytest.raises(lxcffi.StartError) as caught:
        container.start()
    assert caught.value.container == "broken"
    assert caught.value.error_number == 1


def test_state_that_does_not_fit_has_its_own_error(running: lxcffi.Container, new: New, home: Home) -> None:
    with pytest.raises(lxcffi.RunningError, match="start of container running: it runs already"):
        running.start()
    with pytest.raises(lxcffi.RunningError, match="destroy of container running: it runs"):
        running.destroy()
    with pytest.raises(lxcffi.RunningError):
        running.rename("other")
    stopped = new("stopped")
    for call in (
        stopped.freeze,
        stopped.reboot,
        stopped.get_interfaces,
        stopped.get_ips,
        stopped.init_pidfd,
        stopped.console_log,
        stopped.console_getfd,
        stopped.console,
        lambda: stopped.get_cgroup_item("pids.max"),
        lambda: stopped.set_cgroup_item("pids.max", "1"),
        lambda: stopped.attach(["/bin/true"]),
        lambda: stopped.mount("none", "/mnt", "tmpfs"),
        lambda: stopped.checkpoint("/nonexistent"),
    ):
        with pytest.raises(lxcffi.NotRunningError, match="of container stopped"):
            call()
    absent = home.container("absent")
    with pytest.raises(lxcffi.NotDefinedError, match="destroy of container absent: it is not defined"):
        absent.destroy()
    with pytest.raises(lxcffi.NotDefinedError, match="clone of container absent = other: it is not defined"):
        absent.clone("other")
    with pytest.raises(lxcffi.NotDefinedError, match="snapshot of container absent: it is not defined"):
        absent.snapshot()


def test_template_that_fails_is_a_create_error(home: Home) -> None:
    with home.container("failed") as container:
        with pytest.raises(lxcffi.CreateError) as caught:
            container.create(os.path.join(HERE, "template"), ["--fail"], quiet=True)
        assert caught.value.value == os.path.join(HERE, "template")
        assert not container.is_defined


def test_arguments_of_a_template_can_be_a_mapping(home: Home, output: Any, environment: dict[str, str]) -> None:
    program = """
import sys, lxcffi
container = lxcffi.Container("arguments", sys.argv[1])
container.config.set("lxc.rootfs.mount", sys.argv[3])
try:
    container.create(sys.argv[2], {"one": "a b", "two": "c"})
except lxcffi.CreateError:
    pass
"""
    script = os.path.join(home.path, "template")
    with open(script, "w", encoding="utf-8") as file:
        file.write('#!/bin/sh\nprintf "%s\\n" "$@"\nexit 1\n')
    os.chmod(script, 0o755)
    subprocess.run(
        [sys.executable, "-c", program, home.path, script, home.mount], stdout=output, check=True, timeout=60,
        env=environment,
    )  # fmt: skip
    assert read(output).splitlines()[-4:] == ["--one", "a b", "--two", "c"]


def test_debians_template_works_offline(home: Home) -> None:
    if not os.path.exists("/usr/share/lxc/templates/lxc-busybox"):
        pytest.skip("liblxc's templates are not there (Debian: lxc)")
    with home.container("debian") as container:
        container.create("busybox", quiet=True)
        with container.started():
            assert container.attach_wait(["/bin/true"]) == 0
        container.destroy()


def test_shutdown_that_takes_too_long_is_a_timeout(new: New) -> None:
    container = new("deaf")
    with container.started(["/bin/sleep", "1000"]):
        with pytest.raises(lxcffi.OperationTimeoutError, match="shutdown of container deaf: not within 1 s"):
            container.shutdown(1)
        container.shutdown(0)
        assert container.state == "RUNNING"
        assert not container.wait("STOPPED", timeout=0)
        with pytest.raises(ValueError, match="negative"):
            container.wait("STOPPED", timeout=-1)


# Copies


def test_snapshot_is_restored_under_another_name(new: New, home: Home) -> None:
    if not os.path.exists("/usr/bin/rsync"):
        pytest.skip("rsync is not there, by which liblxc copies")
    container = new("original")
    assert container.snapshot_list() == []
    assert container.snapshot("first ä") == "snap0"
    (snapshot,) = container.snapshot_list()
    assert snapshot.name == "snap0"
    assert snapshot.comment == "first ä"
    assert snapshot.lxcpath == f"{home.path}/original/snaps"
    assert snapshot.timestamp.count(":") == 4
    container.snapshot_restore(snapshot, "restored")
    assert {"original", "restored"} <= set(lxcffi.list_containers(home.path, active=False))
    with lxcffi.Container("restored", home.path) as restored:
        with restored.started():
            assert restored.attach_wait(["/bin/true"]) == 0
        restored.destroy()
    with pytest.raises(lxcffi.SnapshotError, match="snap7"):
        container.snapshot_restore("snap7", "x")
    with pytest.raises(lxcffi.SnapshotError):
        container.snapshot_destroy("snap7")
    with pytest.raises(lxcffi.LxcError):
        container.destroy()
    container.snapshot()
    container.snapshot_destroy(snapshot)
    assert [s.name for s in container.snapshot_list()] == ["snap1"]
    assert container.snapshot_list()[0].comment is None
    container.snapshot_destroy_all()
    assert container.snapshot_list() == []
    container.snapshot()
    container.destroy(snapshots=True)
    assert not container.is_defined


def test_clone_and_rename(new: New, home: Home) -> None:
    if not os.path.exists("/usr/bin/rsync"):
        pytest.skip("rsync is not there, by which liblxc copies")
    container = new("first")
    with container.clone("second") as clone:
        assert clone.name == "second"
        assert clone.is_defined
        assert type(clone) is lxcffi.Container
        clone.rename("third")
        assert (clone.name, clone.is_defined, clone.config_path) == ("third", True, home.path)
        assert clone.config.get("lxc.rootfs.path").endswith("/third/rootfs")
        assert {c.name for c in lxcffi.containers(home.path, active=False)} >= {"first", "third"}
        with pytest.raises(lxcffi.CreateError):
            container.clone("third")
        clone.destroy()


def test_lists(running: lxcffi.Container, new: New, home: Home) -> None:
    new("listed")
    assert lxcffi.list_containers(home.path, defined=False) == ["running"]
    assert set(lxcffi.list_containers(home.path)) >= {"listed", "running"}
    assert lxcffi.list_containers(home.path, defined=False, active=False) == []
    (active,) = lxcffi.containers(home.path, defined=False)
    assert active.init_pid == running.init_pid
    with pytest.raises(lxcffi.LxcError, match="list_defined_containers = /nonexistent"):
        lxcffi.list_containers("/nonexistent", active=False)


# Attached processes


def test_command_is_attached(running: lxcffi.Container, output: Any) -> None:
    assert running.attach_wait(["/bin/sh", "-c", "hostname; pwd; id -u"], stdout=output, cwd="/tmp") == 0
    assert read(output) == "running\n/tmp\n0\n"
    assert running.attach_wait(["/bin/sh", "-c", "exit 7"]) == 7
    assert running.attach_wait(["/bin/sh", "-c", "kill -9 $$"]) == -signal.SIGKILL
    assert running.attach_wait(["/nonexistent"], stderr=output) == 127


def test_user_groups_and_environment_are_as_asked(running: lxcffi.Container, output: Any) -> None:
    os.environ["LXCFFI_TEST"] = "caller"
    try:
        status = running.attach_wait(
            ["/bin/sh", "-c", 'id -u; id -g; id -G; echo "$A $LXCFFI_TEST $HOME"'],
            uid=1, gid=2, groups=[3, 4], env_policy="clear", env={"A": "b"}, keep_env=["LXCFFI_TEST"], stdout=output,
        )  # fmt: skip
        assert status == 0
        assert read(output).splitlines()[:3] == ["1", "2", "2 3 4"]
        assert read(output).splitlines()[3].startswith("b caller")
        command = ["/bin/sh", "-c", 'test -z "$LXCFFI_TEST"']
        assert [running.attach_wait(command, env_policy=policy) for policy in ("clear", "keep")] == [0, 1]
    finally:
        del os.environ["LXCFFI_TEST"]


def test_namespaces_are_chosen(running: lxcffi.Container) -> None:
    def namespaces(pid: int | str = "self") -> dict[str, str]:
        return {name: os.readlink(f"/proc/{pid}/ns/{name}") for name in ("mnt", "uts", "net", "pid")}

    reading, writing = os.pipe()
    with os.fdopen(reading) as pipe:

        def tell() -> None:
            os.write(writing, os.uname().nodename.encode())

        assert running.attach_wait(tell, namespaces=lxcffi.Namespace.UTS) == 0
        command = ["/bin/sh", "-c", "readlink /proc/self/ns/uts /proc/self/ns/net"]
        assert running.attach_wait(command, namespaces=lxcffi.Namespace.UTS, stdout=writing) == 0
        os.close(writing)
        name, _, links = pipe.read().partition("uts:")
        assert name == "running"
        assert f"uts:{links}".split() == [namespaces(running.init_pid or 0)["uts"], namespaces()["net"]]


def test_shell_is_attached(running: lxcffi.Container, output: Any) -> None:
    reading, writing = os.pipe()
    os.write(writing, b"hostname\nexit 4\n")
    os.close(writing)
    assert running.attach_wait(stdin=reading, stdout=output) == 4
    os.close(reading)
    assert read(output) == "running\n"


def test_function_is_attached(running: lxcffi.Container, output: Any) -> None:
    """A copy of this process: it sees what was here, and the container's files."""
    secret = {"value": 42}

    def inside() -> int:
        sys.stdout.write(f"{os.uname().nodename} {os.path.exists('/bin/busybox')} {os.path.exists('/usr/lib')}\n")
        secret["value"] = 0
        return secret["value"] + 5

    assert running.attach_wait(inside, stdout=output) == 5
    assert secret["value"] == 42
    assert running.attach_wait(lambda: None) == 0
    assert running.attach_wait(lambda: sys.exit(9)) == 9
    assert running.attach_wait(lambda: sys.exit("why"), stderr=output) == 1


def test_function_that_raises_is_status_1_with_a_traceback(running: lxcffi.Container, output: Any) -> None:
    def fails() -> None:
        raise KeyError("lost")

    assert running.attach_wait(fails, stderr=output) == 1
    text = read(output)
    assert text.startswith("Traceback (most recent call last):\n")
    assert text.endswith("in fails\nKeyError: 'lost'\n")


def test_function_is_forked_as_by_os_fork(running: lxcffi.Container) -> None:
    """Python's own handlers run, and only the thread that attaches is in the child, whatever the others do."""
    events: list[str] = []
    active = [True]
    pid = os.getpid()

    def record(event: str) -> Callable[[], None]:
        return lambda: events.append(event) if active else None

    os.register_at_fork(before=record("before"), after_in_parent=record("parent"), after_in_child=record("child"))
    stop = threading.Event()

    def allocate() -> None:
        while not stop.is_set():
            dict.fromkeys(range(1000))

    threads = [threading.Thread(target=allocate) for _ in range(2)]
    for thread in threads:
        thread.start()

    def inside() -> int:
        ok = threading.active_count() == 1 and events[-2:] == ["before", "child"] and os.getpid() != pid
        return 0 if ok and sum(dict.fromkeys(range(1000))) == 499500 else 1

    try:
        for _ in range(10):
            events.clear()
            assert running.attach_wait(inside) == 0
            assert events == ["before", "parent"]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
        active.clear()


def test_unknown_option_and_empty_command_are_refused(running: lxcffi.Container) -> None:
    with pytest.raises(TypeError, match="unknown attach option 'user'"):
        running.attach(["/bin/true"], user=1)  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="env_policy 'drop'"):
        running.attach(["/bin/true"], env_policy="drop")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one word"):
        running.attach([])


# The GIL


def test_other_threads_run_while_liblxc_works(new: New, home: Home) -> None:
    """What blocks must let another thread count."""
    container = new("threads")
    done = threading.Event()
    counted = 0

    def count() -> None:
        nonlocal counted
        while not done.wait(0.002):
            counted += 1

    thread = threading.Thread(target=count)
    thread.start()
    try:

        def counts(operation: Callable[[], object]) -> int:
            before = counted
            operation()
            return counted - before

        assert counts(container.start) >= 1
        home.wait_for_init("threads")
        assert counts(lambda: container.wait("STOPPED", timeout=1)) >= 10
        assert counts(lambda: container.attach_wait(["/bin/sleep", "0.3"])) >= 10
        assert counts(lambda: container.reboot(20)) >= 10
        home.wait_for_init("threads", starts=2)
        assert counts(lambda: container.shutdown(20)) >= 10
    finally:
        done.set()
        thread.join()


def test_release_in_another_thread_waits_for_the_call(new: New, home: Home) -> None:
    container = new("shared")
    container.start()
    other = lxcffi.Container("shared", home.path)
    results: list[bool] = []
    thread = threading.Thread(target=lambda: results.append(other.wait("STOPPED", timeout=20)))
    thread.start()
    process.wait_for(lambda: any("sock" in os.readlink(f"/proc/self/fd/{fd}") for fd in sockets()), "the wait")
    other.release()
    with pytest.raises(lxcffi.ReleasedError):
        other.wait("STOPPED")
    container.stop()
    thread.join()
    assert results == [True]


def sockets() -> list[str]:
    """Descriptors of this process that are sockets, as far as they stay."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        try:
            if os.readlink(f"/proc/self/fd/{fd}").startswith("socket:"):
                found.append(fd)
        except OSError:
            continue
    return found


# A running container


def test_console_log_has_what_init_wrote(running: lxcffi.Container) -> None:
    process.wait_for(lambda: b"hello from init" in running.console_log(), "init's line")
    assert running.console_log(maximum=5) in (b"hello", running.console_log()[-5:])
    assert running.console_log(read=False, clear=True) == b""
    assert running.console_log() == b""


def test_terminal_belongs_to_one_until_it_is_closed(running: lxcffi.Container) -> None:
    with running.console_getfd(1) as terminal:
        assert terminal.number == 1
        os.write(terminal.fileno(), b"echo\n")  # the container has cat on tty1
        assert b"echo" in os.read(terminal.fileno(), 100)
        with pytest.raises(lxcffi.LxcError, match="console_getfd of container running"):
            running.console_getfd(1)
    assert terminal.fileno() == -1
    terminal.close()


def test_console_connects_two_terminals(running: lxcffi.Container, environment: dict[str, str]) -> None:
    """In a process of its own, whose terminal this is; the escape comes from there until it is seen."""
    program = """
import os, sys, lxcffi
lxcffi.Container("running", sys.argv[1]).console(2)
print("back")
"""
    outer, inner = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", program, running.config_path], stdin=inner, stdout=inner, stderr=inner,
        start_new_session=True, env=environment,
    ) as console:  # fmt: skip
        try:
            for _ in range(200):
                os.write(outer, b"\x01q")
                try:
                    console.wait(0.1)
                    break
                except subprocess.TimeoutExpired:
                    continue
            os.set_blocking(outer, False)
            assert b"back" in os.read(outer, 1 << 16)
        finally:
            console.kill()
    os.close(outer)
    os.close(inner)


def test_descriptors_of_a_running_container(running: lxcffi.Container) -> None:
    pidfd = running.init_pidfd()
    with open(f"/proc/self/fdinfo/{pidfd}", encoding="utf-8") as file:
        assert f"Pid:\t{running.init_pid}\n" in file.read()
    os.close(pidfd)
    devpts = running.devpts_fd()
    assert "ptmx" in os.listdir(f"/proc/self/fd/{devpts}")
    os.close(devpts)
    with pytest.raises(lxcffi.LxcError, match="seccomp_notify_fd_active of container running: "):
        running.seccomp_notify_fd_active()


def test_interfaces_are_named_tuples(running: lxcffi.Container) -> None:
    assert running.get_interfaces() == ["lo"]
    assert running.interfaces() == [lxcffi.Interface("lo", (), ())]
    assert running.get_ips() == []
    assert running.get_ips("lo", "inet") == []


@pytest.fixture
def dummy() -> Iterator[str]:
    """A network interface of the host."""
    name = f"lx{os.getpid()}"
    words = ["ip", "link", "add", name, "type", "veth", "peer", "name", f"{name}p"]
    if shutil.which("ip") is None or subprocess.run(words, check=False, capture_output=True).returncode != 0:
        pytest.skip("ip or the kernel has no veth interfaces")
    yield name
    subprocess.run(["ip", "link", "del", f"{name}p"], check=True, capture_output=True)


def test_interface_moves_in_and_out(running: lxcffi.Container, dummy: str) -> None:
    running.attach_interface(dummy, "inside0")
    assert sorted(running.get_interfaces()) == ["inside0", "lo"]
    assert running.attach_wait(["/bin/ip", "addr", "add", "10.1.2.3/24", "dev", "inside0"]) == 0
    assert lxcffi.Interface("inside0", ("10.1.2.3",), ()) in running.interfaces()
    running.detach_interface("inside0", dummy)
    assert running.get_interfaces() == ["lo"]
    with pytest.raises(lxcffi.LxcError, match="attach_interface of container running = nonexistent"):
        running.attach_interface("nonexistent")


def test_device_node_is_added_and_removed(running: lxcffi.Container) -> None:
    present = ["/bin/test", "-c", "/dev/kmsg"]
    assert running.attach_wait(present) == 1
    running.add_device_node("/dev/kmsg")
    assert running.attach_wait(present) == 0
    running.remove_device_node("/dev/kmsg")
    assert running.attach_wait(present) == 1
    with pytest.raises(lxcffi.LxcError, match="add_device_node of container running = /dev/nonexistent"):
        running.add_device_node("/dev/nonexistent")


def test_mount_appears_in_the_container(running: lxcffi.Container, home: Home) -> None:
    source = os.path.join(home.path, "injected")
    os.mkdir(source)
    open(os.path.join(source, "file"), "w").close()
    os.mkdir(os.path.join(home.rootfs("running"), "mnt"))
    running.mount(source, "/mnt", None, lxcffi.MountFlag.BIND)
    assert running.attach_wait(["/bin/test", "-e", "/mnt/file"]) == 0
    running.umount("/mnt")
    assert running.attach_wait(["/bin/test", "-e", "/mnt/file"]) == 1
    with pytest.raises(lxcffi.LxcError, match="umount of container running = /nonexistent"):
        running.umount("/nonexistent")


def test_cgroup_items_are_read_and_written(running: lxcffi.Container) -> None:
    with pytest.raises(lxcffi.LxcError, match=r"get_cgroup_item of container running = no\.such\.item"):
        running.get_cgroup_item("no.such.item")
    try:
        running.set_cgroup_item("pids.max", "1000")
    except lxcffi.LxcError:
        pytest.skip("the pids controller is not there")
    assert running.get_cgroup_item("pids.max").strip() == "1000"


def test_running_configuration(running: lxcffi.Container, home: Home) -> None:
    assert running.config.running("lxc.uts.name") == "running"
    with lxcffi.Container("running", home.path) as other:
        other.config.set("lxc.uts.name", "later")
        assert other.config.get("lxc.uts.name") == "later"
        assert other.config.running("lxc.uts.name") == "running"
        assert other.config.running("lxc.nonsense") is None


def test_checkpoint_without_criu_says_so(running: lxcffi.Container, tmp_path: Any) -> None:
    if any(os.path.exists(os.path.join(path, "criu")) for path in os.get_exec_path()):
        pytest.skip("criu is there")
    with pytest.raises(lxcffi.CheckpointError, match="checkpoint of container running"):
        running.checkpoint(tmp_path)
    with pytest.raises(lxcffi.CheckpointError, match="migrate of container running"):
        running.migrate(lxcffi.MigrateCommand.DUMP, tmp_path, stop=True, predump_dir="x", ghost_limit=1)
    with pytest.raises(lxcffi.RunningError, match="restore of container running"):
        running.restore(tmp_path)


def test_set_timeout_where_the_library_has_it(running: lxcffi.Container) -> None:
    if lxcffi.version_number() >= lib.SINCE_set_timeout:
        running.set_timeout(5)
        assert running.state == "RUNNING"
    else:
        with pytest.raises(lxcffi.NotSupportedError, match=r"set_timeout of container running: needs liblxc 6\.0\.0"):
            running.set_timeout(5)


def test_many_operations_leak_nothing(running: lxcffi.Container, home: Home) -> None:
    def cycle() -> None:
        assert running.attach_wait(["/bin/true"]) == 0
        assert running.attach_wait(lambda: 0) == 0
        running.console_getfd().close()
        running.interfaces()
        assert list(lxcffi.containers(home.path))
        assert running.config.running("lxc.uts.name")
        with pytest.raises(lxcffi.LxcError):
            running.get_cgroup_item("no.such.item")

    cycle()
    before = os.listdir("/proc/self/fd")
    for _ in range(10):
        cycle()
    assert os.listdir("/proc/self/fd") == before


# The log


def test_captured_log_is_in_the_error(home: Home, environment: dict[str, str]) -> None:
    """In a process of its own: liblxc has one log for each, and writes errors to stderr once it has a file."""
    program = """
import sys, lxcffi
lxcffi.log.capture()
container = lxcffi.Container("absent", sys.argv[1])
container.config.set("lxc.cgroup.dir", sys.argv[2])
container.config.set("lxc.rootfs.path", "dir:/nonexistent")
try:
    container.start()
except lxcffi.StartError as e:
    print(e)
try:
    container.set_config_item("lxc.nonsense", "x")
except lxcffi.ConfigItemError as e:
    print(len(e.log), e)
"""
    done = subprocess.run(
        [sys.executable, "-c", program, home.path, home.cgroup], capture_output=True, text=True, check=True, timeout=60,
        env=environment,
    )  # fmt: skip
    start, item = done.stdout.splitlines()
    assert start.startswith("start of container absent: ")
    assert "error number" not in start
    assert item.startswith("1 set_config_item of container absent: lxc.nonsense = x: ")
