"""containerd with the runtime under test, by its shim runc.v2 and its client ctr."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
from typing import TYPE_CHECKING

import pytest
from oci import cgroup, engine, machine, process, scenarios
from oci.audit import AUDIT, compare_audits
from oci.calls import Recorder, compare, recorders
from oci.scenarios import SLEEP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.machine import Machine
    from oci.rootfs import Skeleton
    from oci.runtime import Runtime

IMAGE = "docker.io/library/test:latest"
CONFIG = """\
version = 2
root = "{0}/root"
state = "{0}/state"
disabled_plugins = ["io.containerd.grpc.v1.cri"]
[grpc]
  address = "{0}/containerd.sock"
[ttrpc]
  address = "{0}/containerd.ttrpc"
"""


class Containerd(engine.Client):
    """A containerd with storage of its own, and ctr."""

    def __init__(self, runtime: Runtime, directory: str, namespace: str) -> None:
        super().__init__(directory, ["ctr", "--address", f"{directory}/containerd.sock", "--namespace", namespace])
        self.runtime = runtime
        self.runtime_path = runtime.path
        self.namespace = namespace
        with open(f"{directory}/config.toml", "w") as file:
            file.write(CONFIG.format(directory))
        self.daemon = engine.Daemon(["containerd", "--config", f"{directory}/config.toml"], directory, "containerd")

    def start(self) -> None:
        """Start the daemon; returns when it answers."""
        self.daemon.start()
        process.wait_for(lambda: self("version").returncode == 0, "containerd")

    def run_argv(self, name: str, options: list[str], *program: str) -> list[str]:
        """A command line of `run`."""
        return self.argv(
            "run", "--snapshotter", "native", "--runtime", "io.containerd.runc.v2",
            "--runc-binary", self.runtime_path, *options, IMAGE, name, *program,
        )  # fmt: skip

    def run(self, options: list[str], *program: str) -> engine.Finished:
        """`run --rm`, to its end."""
        return self(*self.run_argv("one", ["--rm", *options], *program)[len(self.command) :])

    def shell(self, options: list[str], script: str) -> engine.Finished:
        """`run --rm` a script."""
        return self.run(options, "/bin/sh", "-c", script)

    def detached(self, name: str, *program: str, options: list[str] | None = None) -> int:
        """`run -d`; the pid."""
        path = f"{self.directory}/{name}.pid"
        argv = self.run_argv(name, ["--detach", "--pid-file", path, *(options or [])], *program)
        self(*argv[len(self.command) :]).ok()
        with open(path) as file:
            return int(file.read())

    def exec(self, name: str, script: str, *options: str) -> engine.Finished:
        """`task exec` a script."""
        return self("task", "exec", "--exec-id", "e", *options, name, "/bin/sh", "-c", script)

    def status(self, name: str) -> str:
        """As `task ls` has it; nothing if there is no task."""
        for line in self("task", "ls").ok().stdout.splitlines()[1:]:
            if line.split()[0] == name:
                return line.split()[2]
        return ""

    def wait_status(self, name: str, status: str) -> None:
        """Wait until it is this."""
        process.wait_for(lambda: self.status(name) == status, f"{name} {status}")

    def remove(self, name: str) -> None:
        """Whatever its state."""
        self("task", "resume", name)
        self("task", "rm", "--force", name)
        self("container", "rm", name).ok()


@pytest.fixture(scope="module")
def engine_with_image(machine: Machine, runtime: Runtime, skeleton: Skeleton) -> Iterator[Containerd]:
    """containerd with one small image."""
    if shutil.which("containerd") is None or shutil.which("ctr") is None:
        pytest.skip("containerd is not installed")
    directory = os.path.join(machine.work, "containerd")
    os.makedirs(directory)
    containerd = Containerd(runtime, directory, f"{machine.prefix}-ctr")
    with engine.cgroups(f"/{containerd.namespace}"):
        containerd.start()
        try:
            engine.archive(engine.layer(skeleton, directory), IMAGE, f"{directory}/image.tar")
            containerd("image", "import", "--snapshotter", "native", f"{directory}/image.tar").ok()
            containerd.run([], "/bin/true").ok()  # makes what stays
            yield containerd
        finally:
            containerd.daemon.stop()
            process.kill_children()
    engine.remove(directory)
    for name in ("/run/containerd", "/run/mount"):
        shutil.rmtree(name, ignore_errors=True)


@pytest.fixture
def containerd(engine_with_image: Containerd, as_before: None) -> Iterator[Containerd]:
    """containerd without containers, before and after."""
    yield engine_with_image
    for name in engine_with_image("container", "ls", "--quiet").ok().stdout.split():
        if name != "target":
            engine_with_image.remove(name)
    process.wait_for(lambda: not process.children(), "the end of the shims")


SIMPLE: dict[str, tuple[list[str], str, str]] = {
    "environment": (["--env", "A=b"], "echo $A", "b\n"),
    "directory": (["--cwd", "/srv"], "pwd", "/srv\n"),
    "read-only": (["--read-only"], "touch /x 2>&1", "*Read-only file system*"),
    "all capabilities": (
        [f"--cap-drop=CAP_{n}" for n in ("CHOWN", "DAC_OVERRIDE", "FSETID", "FOWNER", "MKNOD", "NET_RAW", "SETGID",
                                        "SETUID", "SETFCAP", "SETPCAP", "NET_BIND_SERVICE", "SYS_CHROOT", "KILL",
                                        "AUDIT_WRITE")],
        "grep CapEff /proc/self/status", "CapEff:\t0000000000000000\n",
    ),
    "one capability more": (["--cap-add=CAP_SYS_TIME"], "grep CapEff /proc/self/status", "CapEff:\t00000000aa0425fb\n"),
    "default capabilities": ([], "grep CapEff /proc/self/status", "CapEff:\t00000000a80425fb\n"),
    "no new privileges": ([], "grep NoNew /proc/self/status", "NoNewPrivs:\t1\n"),
    "new privileges": (["--allow-new-privs"], "grep NoNew /proc/self/status", "NoNewPrivs:\t0\n"),
    "no seccomp": ([], "grep Seccomp: /proc/self/status", "Seccomp:\t0\n"),
    "seccomp": (["--seccomp"], "grep Seccomp: /proc/self/status; probe keyctl 0", "Seccomp:\t2\nerrno 1\n"),
    "privileged": (
        ["--privileged"], "test -e /dev/kmsg && mount -t tmpfs x /srv && echo mounted", "mounted\n",
    ),
    "limit of files": ([], "ulimit -Hn", "1024\n"),
    "no network": ([], "ls /sys/class/net | grep -v -e tunl -e sit -e ip6 -e gre -e erspan", "lo\n"),
    "network of the host": (["--net-host"], "readlink /proc/self/ns/net", "@net"),
    "device": (["--device", "/dev/loop-control"], "stat -c %t:%T /dev/loop-control", "a:ed\n"),
    "tmpfs": (["--mount", "type=tmpfs,src=tmpfs,dst=/tmp,options=size=1m"], "df -k /tmp | tail -1", "*1024*"),
    "read-only paths": ([], "(: >/proc/sysrq-trigger) 2>/dev/null || echo no", "no\n"),
    "no descriptors": ([], "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 "),
    "default signals": ([], "grep -E 'Sig(Ign|Blk)' /proc/self/status | cut -f2 | uniq", "0000000000000000\n"),
    "annotation": (["--annotation", "a=b"], "echo yes", "yes\n"),
    "root propagation": (["--rootfs-propagation", "rprivate"], "grep -c ' / / .*master' /proc/self/mountinfo", "0\n"),
}  # fmt: skip


@pytest.mark.parametrize("name", SIMPLE)
def test_run(containerd: Containerd, name: str) -> None:
    """One option, seen from inside."""
    options, script, expected = SIMPLE[name]
    if name == "device" and not os.path.exists("/dev/loop-control"):
        pytest.skip("no /dev/loop-control")
    result = containerd.shell(options, script)
    scenarios.expect(result, expected)


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_exit_code(containerd: Containerd, code: int) -> None:
    """The process's own."""
    assert containerd.shell([], f"exit {code}").returncode == code


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("/no/such", "no such file or directory"),
        ("no-such", "executable file not found in $PATH"),
        ("/etc/passwd", "permission denied"),
    ],
)
def test_program_that_cannot_start(containerd: Containerd, program: str, text: str) -> None:
    """ctr shows the runtime's text, from its log."""
    result = containerd.run([], program)
    assert result.returncode == 1, result
    assert text in result.stderr, result
    assert "OCI runtime create failed" in result.stderr, result


def test_death_by_a_signal(containerd: Containerd) -> None:
    """The shim sees the status itself."""
    os.kill(containerd.detached("one", *SLEEP), signal.SIGKILL)
    containerd.wait_status("one", "STOPPED")
    assert "exit code 137" in containerd("task", "rm", "one").stderr


def test_streams(containerd: Containerd) -> None:
    """stdin, whose end ctr does not pass on; stdout and stderr apart."""
    argv = containerd.run_argv("one", ["--rm"], "/bin/sh", "-c", "read l; echo $l; echo err >&2")
    result = containerd.feed("typed\n", *argv[len(containerd.command) :])
    assert (result.returncode, result.stdout, result.stderr) == (0, "typed\n", "err\n")


def test_terminal(containerd: Containerd) -> None:
    """run -t."""
    argv = containerd.run_argv(
        "one", ["--rm", "--tty"],
        "/bin/sh", "-c", "tty; test -c /dev/console && echo console; read l; echo got-$l; exit 5",
    )  # fmt: skip
    scenarios.talk(argv, containerd.directory, code=5, before=("/dev/pts/0", "console"))


def test_life(containerd: Containerd) -> None:
    """run -d, kill, task delete, and a new task of the same container."""
    containerd.detached("one", "/bin/sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done")
    for start in (False, True):
        if start:
            containerd("task", "start", "--detach", "one").ok()
        assert containerd.status("one") == "RUNNING"
        process.wait_for(lambda: containerd.exec("one", "true").returncode == 0, "exec")
        containerd("task", "kill", "one").ok()
        containerd.wait_status("one", "STOPPED")
        assert "exit code 3" in containerd("task", "rm", "one").stderr
    containerd("container", "rm", "one").ok()


def test_kill(containerd: Containerd) -> None:
    """--all, too, and of a stopped task."""
    containerd.detached("one", "/bin/sh", "-c", "sleep 50 & sleep 60")
    containerd("task", "kill", "--signal", "KILL", "--all", "one").ok()
    containerd.wait_status("one", "STOPPED")
    result = containerd("task", "kill", "one")
    assert result.returncode == 1
    assert "process already finished: not found" in result.stderr, result


def test_remove_by_force(containerd: Containerd) -> None:
    """task rm -f of a running one."""
    containerd.detached("one", *SLEEP)
    containerd("task", "rm", "--force", "one")
    assert containerd.status("one") == ""


EXEC: dict[str, tuple[list[str], str, str, int]] = {
    "plain": ([], "echo here", "here\n", 0),
    "code": ([], "exit 7", "", 7),
    "signal": ([], "kill -9 $$", "", 137),
    "directory": (["--cwd", "/tmp"], "pwd", "/tmp\n", 0),
    "user": (["--user", "1000"], "id -u", "1000\n", 0),
    "capabilities": ([], "grep CapEff /proc/self/status", "CapEff:\t00000000a80425fb\n", 0),
    "no new privileges": ([], "grep NoNew /proc/self/status", "NoNewPrivs:\t1\n", 0),
    "filter": ([], "grep Seccomp: /proc/self/status", "Seccomp:\t2\n", 0),
    "limits": ([], "ulimit -Hn", "1024\n", 0),
    "processes": ([], "cat /proc/1/comm", "sleep\n", 0),
    "descriptors": ([], "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 ", 0),
    "errors": ([], "echo err >&2", "", 0),
}


@pytest.fixture(scope="module")
def execution_target(engine_with_image: Containerd) -> Iterator[Containerd]:
    """A container for exec alone."""
    before = set(process.children())
    engine_with_image.detached("target", "/bin/sleep", "3000", options=["--seccomp"])
    shims = set(process.children()) - before
    process.expected |= shims
    yield engine_with_image
    process.expected -= shims
    engine_with_image.remove("target")


@pytest.mark.parametrize("name", EXEC)
def test_exec(execution_target: Containerd, name: str) -> None:
    """One option, seen from inside."""
    options, script, expected, code = EXEC[name]
    result = execution_target.exec("target", script, *options)
    assert (result.stdout, result.returncode) == (expected, code), result


def test_exec_of_a_missing_program(execution_target: Containerd) -> None:
    """ctr shows the runtime's text."""
    result = execution_target("task", "exec", "--exec-id", "e", "target", "/no/such")
    assert result.returncode == 1
    assert "OCI runtime exec failed" in result.stderr, result
    assert "no such file or directory" in result.stderr, result


def test_exec_with_input(containerd: Containerd) -> None:
    """stdin to its end."""
    containerd.detached("one", *SLEEP)
    result = containerd.feed(
        "typed\n", "task", "exec", "--exec-id", "e", "one", "/bin/sh", "-c", "read l; echo $l; exit 4"
    )
    assert (result.returncode, result.stdout) == (4, "typed\n")


def test_exec_on_a_terminal(containerd: Containerd) -> None:
    """task exec -t."""
    containerd.detached("one", *SLEEP)
    argv = containerd.argv(
        "task", "exec", "--tty", "--exec-id", "e", "one", "/bin/sh", "-c", "tty; read l; echo got-$l; exit 6"
    )
    scenarios.talk(argv, containerd.directory, code=6)


def test_pause(containerd: Containerd) -> None:
    """pause and resume."""
    containerd.detached("one", *SLEEP)
    containerd("task", "pause", "one").ok()
    assert containerd.status("one") == "PAUSED"
    containerd("task", "resume", "one").ok()
    assert containerd.status("one") == "RUNNING"
    containerd.exec("one", "true").ok()


def test_ps_and_metrics(containerd: Containerd) -> None:
    """The host's pids, and what the cgroup has used."""
    pid = containerd.detached("one", "/bin/sh", "-c", "sleep 50 & sleep 60")
    process.wait_for(lambda: len(containerd("task", "ps", "one").ok().stdout.splitlines()) >= 3, "the processes")
    listed = [line.split()[0] for line in containerd("task", "ps", "one").ok().stdout.splitlines()[1:]]
    assert str(pid) in listed
    assert "memory.usage_in_bytes" in containerd("task", "metrics", "one").ok().stdout


def test_cgroup(containerd: Containerd) -> None:
    """Of the namespace and the container, exactly, in every hierarchy."""
    pid = containerd.detached("one", *SLEEP)
    assert {name: path for name, path in cgroup.paths(pid).items() if name != "name=x"} == dict.fromkeys(
        cgroup.paths(pid), f"/{containerd.namespace}/one"
    )


def test_limits(containerd: Containerd) -> None:
    """In the files of its cgroups."""
    options = ["--memory-limit", "67108864", "--cpus", "0.5", "--cpu-shares", "512"]
    pid = containerd.detached("one", *SLEEP, options=options)
    files = (("memory", "memory.limit_in_bytes"), ("cpu", "cpu.cfs_quota_us"), ("cpu", "cpu.shares"))
    assert [cgroup.read(pid, *file) for file in files] == ["67108864", "50000", "512"]


def test_memory_limit_binds(containerd: Containerd) -> None:
    """A process over the limit is killed."""
    assert containerd.shell(["--memory-limit", "20000000"], scenarios.MEMORY_EATER).returncode == 137


def test_cpu_limit_binds(containerd: Containerd) -> None:
    """The process is throttled."""
    pid = containerd.detached("one", "/bin/sh", "-c", "while :; do :; done", options=["--cpus", "0.1"])
    process.wait_for(lambda: " 0" not in cgroup.read(pid, "cpu", "cpu.stat").splitlines()[1], "throttling")


def test_user_namespace(containerd: Containerd) -> None:
    """--uidmap, --gidmap."""
    result = containerd.shell(["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"], "cat /proc/self/uid_map")
    assert result.ok().stdout.split() == ["0", "100000", "65536"]


def test_joined_namespaces(containerd: Containerd) -> None:
    """--with-ns by the paths of another container."""
    pid = containerd.detached("first", *SLEEP)
    options = [f"--with-ns={kind}:/proc/{pid}/ns/{name}" for kind, name in (("network", "net"), ("ipc", "ipc"))]
    result = containerd.shell(options, "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc")
    assert result.ok().stdout.split() == [os.readlink(f"/proc/{pid}/ns/{name}") for name in ("net", "ipc")]


@pytest.mark.parametrize("propagation", ["rshared", "rslave", "rprivate"])
def test_propagation(containerd: Containerd, propagation: str) -> None:
    """Of a bind mount."""
    directory = os.path.join(containerd.directory, "shared")
    os.mkdir(directory)
    with machine.mounted("tmpfs", directory, "tmpfs"):
        machine.mount("none", directory, flags=machine.MS_SHARED)
        options = ["--mount", f"type=bind,src={directory},dst=/srv,options=rbind:rw:{propagation}"]
        line = containerd.shell(options, "grep ' /srv ' /proc/self/mountinfo").ok().stdout
    os.rmdir(directory)
    fields = [one.split(":")[0] for one in line.split(" - ")[0].split()[6:]]
    assert fields[:1] == {"rshared": ["shared"], "rslave": ["master"], "rprivate": []}[propagation]


def test_custom_seccomp(containerd: Containerd) -> None:
    """A profile of one's own."""
    path = scenarios.seccomp_profile(containerd)
    result = containerd.run(["--seccomp", "--seccomp-profile", path], "/bin/probe", "sync")
    assert result.ok().stdout == "errno 1\n"


def test_twenty_at_once(containerd: Containerd) -> None:
    """Each has its own output and code."""
    run = containerd.run_argv
    scenarios.twenty_at_once(containerd, lambda n, script: run(f"many{n}", ["--rm"], "/bin/sh", "-c", script))


def test_restart_of_the_daemon(containerd: Containerd) -> None:
    """Containers run on, and obey afterwards."""
    pid = containerd.detached("one", *SLEEP)
    dying = containerd.detached("dies", *SLEEP)
    containerd.daemon.stop(signal.SIGKILL)
    os.kill(dying, signal.SIGKILL)
    containerd.start()
    assert containerd.status("one") == "RUNNING"
    containerd.wait_status("dies", "STOPPED")
    assert containerd.exec("one", "echo here").ok().stdout == "here\n"
    assert os.path.exists(f"/proc/{pid}")
    containerd("task", "kill", "--signal", "KILL", "one").ok()
    containerd.wait_status("one", "STOPPED")


@pytest.fixture
def _without_files_of_containerd(as_before: None) -> Iterator[None]:
    """Remove sockets and FIFOs that it, or ctr, leaves when something fails."""

    def files() -> set[str]:
        places = ("/run/containerd/s", "/run/containerd/fifo")
        return {os.path.join(place, name) for place in places for name in os.listdir(place)}

    before = files()
    yield
    for path in files() - before:
        if os.path.isdir(path):
            shutil.rmtree(path)
        else:
            os.unlink(path)


@pytest.mark.usefixtures("_without_files_of_containerd")
def test_shim_that_is_killed(containerd: Containerd) -> None:
    """containerd cleans up by `delete --force`: nothing of the container stays."""
    pid = containerd.detached("one", *SLEEP)
    with open(f"/proc/{pid}/stat") as file:
        shim = int(file.read().rpartition(")")[2].split()[1])
    os.kill(shim, signal.SIGKILL)
    process.wait_for(lambda: containerd.status("one") in ("", "STOPPED", "UNKNOWN"), "the end of the task")
    process.wait_for(lambda: not process.children() and not os.path.exists(f"/proc/{pid}"), "the end of the container")


@pytest.mark.parametrize("how", ["run", "exec"])
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--seccomp", "--read-only", "--memory-limit", "64000000", "--cpus", "0.5", "--allow-new-privs"],
        ["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"],
    ],
    ids=["default", "limits", "userns"],
)
def test_audit(containerd: Containerd, runtime: Runtime, how: str, options: list[str]) -> None:
    """A container is the same as runc makes it."""

    def look(runc: bool) -> engine.Finished:
        containerd.runtime_path = "/usr/sbin/runc" if runc else runtime.path
        try:
            if how == "run":
                return containerd.shell(options, AUDIT)
            containerd.detached("one", *SLEEP, options=options)
            result = containerd.exec("one", AUDIT)
            containerd.remove("one")
            return result
        finally:
            containerd.runtime_path = runtime.path

    compare_audits(runtime, look)


CALLS = {
    "life": """
        RUN --detach IMAGE one /bin/sleep 100
        EXEC one /bin/true
        EXEC one /bin/sh -c 'exit 7'
        EXEC --cwd /tmp --user 1000 one /bin/true
        EXEC one /no/such
        EXEC one no-such
        EXEC one /etc/passwd
        EXEC --cwd /no/such one /bin/true
        EXEC --tty one tty
        EXEC --detach one /bin/true
        task ps one
        task metrics one
        task pause one
        task pause one
        EXEC one /bin/true
        task resume one
        task resume one
        task kill --signal USR1 one
        task kill --signal KILL one
        task kill one
        task kill --all one
        EXEC one /bin/true
        task pause one
        task delete one
        task delete one
        task start --detach one
        task kill --all --signal KILL one
        task rm --force one
        container rm one
    """,
    "ends": """
        RUN --rm IMAGE one /bin/true
        RUN --rm IMAGE one /bin/sh -c 'echo out; echo err >&2; exit 7'
        RUN --rm IMAGE one /bin/sh -c 'kill -9 $$'
        RUN --rm IMAGE one /no/such
        RUN --rm IMAGE one no-such
        RUN --rm IMAGE one /etc/passwd
        RUN --rm IMAGE one /etc
        RUN --rm --env PATH=/etc IMAGE one passwd
        RUN --rm --mount type=bind,src=/no/such,dst=/srv,options=bind IMAGE one /bin/true
        RUN --rm --mount type=bind,src=/etc/passwd,dst=/srv,options=bind IMAGE one /bin/true
        RUN --rm --with-ns network:/no/such IMAGE one /bin/true
        RUN --rm --memory-limit 1000000000 --cpus 0.5 IMAGE one /bin/true
    """,
}


@pytest.mark.usefixtures("_without_files_of_containerd")
@pytest.mark.parametrize("name", CALLS)
def test_calls(containerd: Containerd, name: str) -> None:
    """Each call of the runtime is answered as runc answers it."""

    def command(recorder: Recorder, line: str) -> object:
        run = f"run --snapshotter native --runtime io.containerd.runc.v2 --runc-binary {recorder.path}"
        words = shlex.split(
            line.replace("RUN", run).replace("EXEC", "task exec --exec-id e").replace("IMAGE", IMAGE),
        )
        result = containerd(*words)
        if line.startswith("task kill") and "USR1" not in line:
            containerd.wait_status("one", "STOPPED")
        return line, result.returncode, bool(result.stdout), bool(result.stderr)

    compare(command, recorders(containerd.runtime, containerd.directory), CALLS[name])
