"""docker with the runtime under test: what its users see."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from oci import machine, process, scenarios
from oci.audit import AUDIT, compare_audits
from oci.calls import Recorder, compare
from oci.console import OnTerminal
from oci.docker import IMAGE, Docker, running
from oci.scenarios import SLEEP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.engine import Finished
    from oci.machine import Machine
    from oci.rootfs import Skeleton
    from oci.runtime import Runtime


@pytest.fixture(scope="module")
def engine_with_image(machine: Machine, runtime: Runtime, skeleton: Skeleton) -> Iterator[Docker]:
    """docker with one small image."""
    with running(machine, runtime, skeleton) as docker:
        yield docker


@pytest.fixture
def docker(engine_with_image: Docker, as_before: None) -> Iterator[Docker]:
    """docker without containers, before and after."""
    yield engine_with_image
    names = engine_with_image("ps", "--all", "--format", "{{.Names}}").ok().stdout.split()
    names = [name for name in names if name != "target"]
    if names:
        engine_with_image("rm", "--force", "--volumes", *names).ok()
    process.wait_for(lambda: not process.children(), "the end of the shims")


# options, script, expected output
SIMPLE: dict[str, tuple[list[str], str, str]] = {
    **scenarios.RUN,
    "working directory that is not there": (["-w", "/new/one"], "pwd", "/new/one\n"),
    "host name": (["-h", "box"], "hostname; cat /etc/hostname", "box\nbox\n"),
    "user": (["-u", "1000:1001"], "id -u; id -g; id -G", "1000\n1001\n1001\n"),
    "groups": (["-u", "1000:1000", "--group-add", "7", "--group-add", "8"], "id -G", "1000 7 8\n"),
    "read-only": (["--read-only"], "touch /x 2>&1; touch /dev/shm/x && echo shm", "*Read-only file system\nshm\n"),
    "tmpfs of a read-only root": (["--read-only", "--tmpfs", "/srv"], "touch /srv/x && echo yes", "yes\n"),
    "read-only device": (["--device", "/dev/zero:/dev/mine:r"], "head -c 1 /dev/mine | wc -c; : 3>/dev/mine", "1\n"),
    "device rule": (
        ["--device-cgroup-rule", "c 240:9 rw"], "mknod /tmp/device c 240 9; cat /tmp/device 2>&1", "*No such device*",
    ),
    "capabilities of a user": (
        ["-u", "1000"], "grep Cap[EPA] /proc/self/status | cut -f2 | uniq", "0000000000000000\n",
    ),
    "default capabilities": ([], "grep CapBnd /proc/self/status", "CapBnd:\t00000000a80425fb\n"),
    "default seccomp": ([], "grep Seccomp: /proc/self/status; probe keyctl 0", "Seccomp:\t2\nerrno 1\n"),
    "privileged": (
        ["--privileged"], "grep Seccomp: /proc/self/status; test -e /dev/kmsg && mount -t tmpfs x /srv && echo mounted",
        "Seccomp:\t0\nmounted\n",
    ),
    "read-only paths": ([], "(: >/proc/sysrq-trigger) 2>/dev/null || echo no", "no\n"),
    "masked paths": ([], "grep -c -e ' /proc/timer_list ' -e ' /sys/firmware ' /proc/self/mounts", "2\n"),
    "limit of core": (["--ulimit", "core=0"], "ulimit -c", "0\n"),
    "init": (["--init"], "cat /proc/1/comm", "docker-init\n"),
    "no network": ([], "ls /sys/class/net | grep -v -e tunl -e sit -e ip6 -e gre -e erspan", "lo\n"),
    "network of the host": (["--network", "host"], "readlink /proc/self/ns/net", "@net"),
    "ipc without shared memory": (["--ipc", "none"], "grep -c /dev/shm /proc/self/mounts", "0\n"),
    "memory limit": (["--memory", "64m"], "cat /sys/fs/cgroup/memory/memory.limit_in_bytes", "67108864\n"),
    "pids limit": (["--pids-limit", "33"], "cat /sys/fs/cgroup/pids/pids.max", "33\n"),
    "cgroup of the host": (
        ["--cgroupns", "host"], "grep -c docker /proc/self/cgroup | sed 's/[1-9].*/many/'", "many\n",
    ),
    "umask": ([], "umask", "0022\n"),
}  # fmt: skip


def needs_all_capabilities(runtime: Runtime) -> None:
    """docker asks for all that it knows of; runc 1.1 fails where the machine itself lacks one."""
    with open("/proc/self/status") as file:
        bounding = next(int(line.split()[1], 16) for line in file if line.startswith("CapBnd:"))
    if runtime.name == "runc" and bounding & (1 << 38) - 1 != (1 << 38) - 1:
        pytest.xfail("runc 1.1 cannot give capabilities that it has not itself")


@pytest.mark.parametrize("name", SIMPLE)
def test_run(docker: Docker, runtime: Runtime, name: str) -> None:
    """One option, seen from inside."""
    options, script, expected = SIMPLE[name]
    if name == "privileged":
        needs_all_capabilities(runtime)
    network = [] if "--network" in options else ["--network", "none"]
    result = docker("run", "--rm", *network, *options, IMAGE, "/bin/sh", "-c", script)
    scenarios.expect(result, expected, docker.daemon.pid)


@pytest.mark.parametrize("code", [0, 1, 7, 255])
def test_exit_code(docker: Docker, code: int) -> None:
    """The process's own."""
    assert docker.run(IMAGE, "/bin/sh", "-c", f"exit {code}").returncode == code


@pytest.mark.parametrize(
    ("program", "code"),
    [("/no/such", 127), ("no-such", 127), ("/etc/passwd", 126), ("/etc", 126)],
)
def test_program_that_cannot_start(docker: Docker, program: str, code: int) -> None:
    """126 and 127, by the runtime's text."""
    result = docker.run(IMAGE, program)
    assert result.returncode == code, result


@pytest.mark.parametrize(
    ("program", "code"), [("/no/such", 126), ("no-such", 126), ("/etc/passwd", 126)]
)  # fmt: skip
def test_program_that_cannot_start_by_exec(docker: Docker, program: str, code: int) -> None:
    """docker 20.10 has 126 for each of them, and the text on its output."""
    docker.detached("one", IMAGE, *SLEEP)
    result = docker("exec", "one", program)
    assert result.returncode == code, result
    assert "OCI runtime exec failed" in result.stdout, result


def test_125(docker: Docker) -> None:
    """What is neither the program's nor docker's own refusal."""
    result = docker.run("--sysctl", "net.ipv4.no_such_thing=1", IMAGE, "/bin/true")
    assert result.returncode in (125, 127), result


def test_file_on_a_directory(docker: Docker) -> None:
    """docker adds its advice to the text."""
    path = os.path.join(docker.directory, "file")
    with open(path, "w"):
        pass
    result = docker.run("-v", f"{path}:/srv", IMAGE, "/bin/true")
    assert result.returncode == 125, result
    assert "Are you trying to mount a directory onto a file" in result.stderr, result


def test_death_by_a_signal_from_inside(docker: Docker) -> None:
    """128 and the signal, of the shell's child with --init."""
    assert docker.run("--init", IMAGE, "/bin/sh", "-c", "kill -9 $$").returncode == 137


def test_death_by_a_signal_from_outside(docker: Docker) -> None:
    """The shim sees the status itself."""
    docker.detached("one", IMAGE, *SLEEP)
    os.kill(int(docker.inspect("one", "{{.State.Pid}}")), signal.SIGKILL)
    assert docker("wait", "one").ok().stdout.strip() == "137"


def test_streams(docker: Docker) -> None:
    """stdin is read to its end; stdout and stderr stay apart."""
    result = docker.feed("typed\n", "run", "-i", "--rm", "--network", "none", IMAGE, "sh", "-c", "cat; echo err >&2")
    assert (result.returncode, result.stdout, result.stderr) == (0, "typed\n", "err\n")


def test_large_output(docker: Docker) -> None:
    """Nothing is lost at the end."""
    assert len(docker.run(IMAGE, "/bin/sh", "-c", "seq 100000; echo end").ok().stdout.splitlines()) == 100001


def test_terminal(docker: Docker) -> None:
    """run -it, as a person uses it."""
    argv = docker.argv(
        "run", "--rm", "-it", "--network", "none", IMAGE,
        "/bin/sh", "-c", "tty; test -c /dev/console && echo console; read l; "
            "until stty size 2>/dev/null | grep '31 101'; do sleep 0.05; done; echo got-$l; exit 5",
    )  # fmt: skip
    with OnTerminal(argv, docker.directory, size=(31, 101)) as command:
        command.terminal.read_until("/dev/pts/0")
        command.terminal.read_until("console")
        command.terminal.write("typed\n")
        command.terminal.read_until("got-typed")
        assert "31 101" in command.terminal.text
        assert command.wait() == 5


def test_detached_life(docker: Docker) -> None:
    """run -d, logs, stop, start, rm."""
    script = "trap 'echo stopping; exit 3' TERM; echo up; echo err >&2; while :; do sleep 0.05; done"
    docker.detached("life", IMAGE, "/bin/sh", "-c", script)
    process.wait_for(lambda: docker("logs", "life").ok().stdout == "up\n", "the log")
    assert docker("logs", "life").ok().stderr == "err\n"
    docker("stop", "--time", "20", "life").ok()
    assert docker.inspect("life", "{{.State.ExitCode}} {{.State.Status}}") == "3 exited"
    docker("start", "life").ok()
    process.wait_for(lambda: docker("logs", "life").ok().stdout.count("up\n") == 2, "the second log")
    docker("restart", "--time", "20", "life").ok()
    docker("rm", "--force", "life").ok()


def test_stop_by_force(docker: Docker) -> None:
    """Who does not listen is killed in the end."""
    docker.detached("deaf", IMAGE, "/bin/sh", "-c", "trap '' TERM; while :; do sleep 1; done")
    docker("stop", "--time", "1", "deaf").ok()
    assert docker.inspect("deaf", "{{.State.ExitCode}}") == "137"


def test_kill(docker: Docker) -> None:
    """By name and by number; a stopped one is refused."""
    docker.detached("one", IMAGE, "/bin/sh", "-c", "trap 'echo usr1' USR1; echo up; while :; do sleep 0.05; done")
    process.wait_for(lambda: "up" in docker("logs", "one").stdout, "the log")
    docker("kill", "--signal", "USR1", "one").ok()
    process.wait_for(lambda: "usr1" in docker("logs", "one").stdout, "the signal")
    docker("kill", "one").ok()
    assert docker("wait", "one").ok().stdout.strip() == "137"
    result = docker("kill", "one")
    assert result.returncode == 1
    assert "is not running" in result.stderr


def test_bridge(docker: Docker) -> None:
    """Two containers on docker's own bridge, and one that is reached by a port of the host."""
    script = "while :; do nc -l -p 7 -e /bin/sh -c 'read l; echo got-$l'; done"
    docker("run", "-d", "--name", "server", "-p", "127.0.0.1:7777:7", IMAGE, "/bin/sh", "-c", script).ok()
    address = docker.inspect("server", "{{.NetworkSettings.IPAddress}}")
    client = ("/bin/sh", "-c", f"ip route | grep -c default; echo typed | nc {address} 7")
    answers = "1\ngot-typed\n"
    process.wait_for(lambda: docker("run", "--rm", IMAGE, *client).stdout == answers, "the server")
    enter = ["nsenter", "--net", "--target", str(docker.daemon.pid), "busybox", "nc", "127.0.0.1", "7777"]
    answer = subprocess.run(enter, input=b"typed\n", capture_output=True, timeout=process.TIMEOUT, check=True)
    assert answer.stdout == b"got-typed\n"


def test_network(docker: Docker) -> None:
    """One that a user makes: the container joins it, and leaves it again while it runs."""
    docker("network", "create", "--subnet", "10.77.0.0/24", "mine").ok()
    docker("run", "-d", "--name", "one", "--network", "mine", IMAGE, *SLEEP).ok()
    script = "ip -o addr | grep -c 10.77.0."
    assert docker("exec", "one", "/bin/sh", "-c", script).stdout == "1\n"
    docker("network", "connect", "bridge", "one").ok()
    assert docker("exec", "one", "/bin/sh", "-c", "ls /sys/class/net | grep -c eth").stdout == "2\n"
    docker("network", "disconnect", "mine", "one").ok()
    assert docker("exec", "one", "/bin/sh", "-c", script).stdout == "0\n"
    docker("rm", "--force", "one").ok()
    docker("network", "rm", "mine").ok()


def test_restart_policy(docker: Docker) -> None:
    """on-failure:2: three runs."""
    docker.detached("again", "--restart", "on-failure:2", IMAGE, "/bin/sh", "-c", "echo run; exit 1")
    docker.wait_state("again", "{{.RestartCount}} {{.State.Status}}", "2 exited")
    assert docker("logs", "again").ok().stdout == "run\n" * 3


def test_restart_always(docker: Docker) -> None:
    """After death by a signal."""
    docker.detached("again", "--restart", "always", IMAGE, *SLEEP)
    os.kill(int(docker.inspect("again", "{{.State.Pid}}")), signal.SIGKILL)
    docker.wait_state("again", "{{.RestartCount}} {{.State.Status}}", "1 running")


EXEC: dict[str, tuple[list[str], str, str, int]] = {
    **scenarios.EXEC,
    "privileged": (["--privileged"], "grep CapEff /proc/self/status | grep -c a80425fb", "0\n", 1),
    "not privileged": ([], "grep -c 'CapEff:.*a80425fb' /proc/self/status", "1\n", 0),
    "limits": ([], "ulimit -Hn", "88\n", 0),
    "cgroup": ([], "cat /sys/fs/cgroup/pids/cgroup.procs | wc -l | sed 's/[2-9]/many/'", "many\n", 0),
}


@pytest.fixture(scope="module")
def execution_target(engine_with_image: Docker) -> Iterator[Docker]:
    """A container for exec alone."""
    before = set(process.children())
    engine_with_image.detached(
        "target",
        "-h",
        "box",
        "-e",
        "B=from-run",
        "--ulimit",
        "nofile=88:88",
        "--oom-score-adj",
        "333",
        IMAGE,
        "sleep",
        "3000",
    )
    shims = set(process.children()) - before
    process.expected |= shims
    yield engine_with_image
    process.expected -= shims
    engine_with_image("rm", "--force", "target")


@pytest.mark.parametrize("name", EXEC)
def test_exec(execution_target: Docker, runtime: Runtime, name: str) -> None:
    """One option, seen from inside."""
    options, script, expected, code = EXEC[name]
    if name == "privileged":
        needs_all_capabilities(runtime)
    result = execution_target("exec", *options, "target", "/bin/sh", "-c", script)
    assert (result.stdout, result.returncode) == (expected, code), result


def test_exec_with_input(docker: Docker) -> None:
    """exec -i."""
    docker.detached("one", IMAGE, *SLEEP)
    result = docker.feed("typed\n", "exec", "-i", "one", "/bin/sh", "-c", "cat; echo err >&2; exit 4")
    assert (result.returncode, result.stdout, result.stderr) == (4, "typed\n", "err\n")


def test_exec_on_a_terminal(docker: Docker) -> None:
    """exec -it."""
    docker.detached("one", IMAGE, *SLEEP)
    argv = docker.argv("exec", "-it", "one", "/bin/sh", "-c", "tty; read l; echo got-$l; exit 6")
    scenarios.talk(argv, docker.directory, code=6)


def test_exec_detached(docker: Docker) -> None:
    """exec -d."""
    docker.detached("one", IMAGE, *SLEEP)
    docker("exec", "-d", "one", "/bin/sh", "-c", "echo done >/tmp/mark").ok()
    process.wait_for(lambda: docker("exec", "one", "cat", "/tmp/mark").stdout == "done\n", "the mark")


def test_health_check(docker: Docker) -> None:
    """By exec, again and again; healthy, then unhealthy."""
    docker.detached(
        "one", "--health-cmd", "test ! -e /tmp/ill", "--health-interval", "300ms", "--health-retries", "1",
        IMAGE, *SLEEP,
    )  # fmt: skip
    docker.wait_state("one", "{{.State.Health.Status}}", "healthy")
    docker("exec", "one", "touch", "/tmp/ill").ok()
    docker.wait_state("one", "{{.State.Health.Status}}", "unhealthy")


def test_pause(docker: Docker) -> None:
    """pause, unpause, and rm -f of a paused one."""
    docker.detached("one", IMAGE, *SLEEP)
    docker("pause", "one").ok()
    assert docker.inspect("one", "{{.State.Status}}") == "paused"
    assert docker("exec", "one", "true").returncode != 0
    docker("unpause", "one").ok()
    docker("exec", "one", "true").ok()
    docker("pause", "one").ok()
    docker("rm", "--force", "one").ok()


def test_top_and_stats(docker: Docker) -> None:
    """The processes, and what they use."""
    docker.detached("one", IMAGE, *SLEEP)
    assert "sleep 100" in docker("top", "one").ok().stdout
    result = docker("stats", "--no-stream", "--format", "{{.PIDs}} {{.MemUsage}}", "one").ok()
    assert result.stdout.startswith("1 "), result


def test_update(docker: Docker) -> None:
    """Limits of a running container; docker sends 0 for what is not changed."""
    docker.detached("one", "--cpu-shares", "512", IMAGE, *SLEEP)
    docker("update", "--memory", "64m", "--memory-swap", "128m", "--pids-limit", "44", "one").ok()
    script = (
        "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/cpu/cpu.shares"
    )
    assert docker("exec", "one", "/bin/sh", "-c", script).ok().stdout.split() == ["67108864", "44", "512"]
    docker("update", "--memory", "32m", "--cpus", "0.5", "one").ok()
    script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us"
    assert docker("exec", "one", "/bin/sh", "-c", script).ok().stdout.split() == ["33554432", "50000"]


def test_memory_limit_binds(docker: Docker) -> None:
    """A process over the limit is killed, and docker knows why."""
    docker(
        "run", "--network", "none", "--name", "one", "--memory", "20m", "--memory-swap", "20m", IMAGE,
        "sh", "-c", scenarios.MEMORY_EATER,
    )  # fmt: skip
    assert docker.inspect("one", "{{.State.ExitCode}} {{.State.OOMKilled}}") == "137 true"


def test_pids_limit_binds(docker: Docker) -> None:
    """fork fails."""
    result = docker.run("--pids-limit", "5", IMAGE, "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait")
    assert "can't fork" in result.stderr, result


def test_cpu_limit_binds(docker: Docker) -> None:
    """The process is throttled."""
    script = "timeout 1 sh -c 'while :; do :; done'; grep nr_throttled /sys/fs/cgroup/cpu/cpu.stat"
    result = docker.run("--cpus", "0.1", IMAGE, "/bin/sh", "-c", script)
    assert int(result.stdout.split()[-1]) > 2, result


@pytest.fixture
def shared_directory(docker: Docker) -> Iterator[str]:
    """A directory of the host on a shared mount."""
    directory = os.path.join(docker.directory, "shared")
    os.mkdir(directory)
    machine.mount("tmpfs", directory, "tmpfs")
    machine.mount("none", directory, flags=machine.MS_SHARED)
    os.mkdir(f"{directory}/sub")
    yield directory
    with contextlib.suppress(OSError):
        machine.umount(f"{directory}/sub")
    machine.umount(directory)
    os.rmdir(directory)


@pytest.mark.parametrize(
    ("propagation", "field"),
    [("rshared", "shared:"), ("shared", "shared:"), ("rslave", "master:"), ("slave", "master:"), ("rprivate", "- ")],
)
def test_propagation(docker: Docker, shared_directory: str, propagation: str, field: str) -> None:
    """As mountinfo in the container says, and as mounts of the host arrive."""
    docker.detached("one", "-v", f"{shared_directory}:/data:{propagation}", IMAGE, *SLEEP)
    line = docker("exec", "one", "grep", " /data ", "/proc/self/mountinfo").ok().stdout
    optional = line.split(" - ")[0].split()[6:]
    assert [one.split(":")[0] + ":" for one in optional] == ([] if field == "- " else [field]), line
    machine.mount("tmpfs", f"{shared_directory}/sub", "tmpfs")
    seen = docker("exec", "one", "grep", "-c", " /data/sub ", "/proc/self/mountinfo").stdout.strip()
    assert seen == ("0" if field == "- " else "1")


def test_read_only_volume(docker: Docker) -> None:
    """:ro, and an ordinary one beside it."""
    directory = os.path.join(docker.directory, "volume")
    os.mkdir(directory)
    result = docker.run(
        "-v", f"{directory}:/in:ro", "-v", f"{directory}:/out", IMAGE,
        "/bin/sh", "-c", "touch /in/x 2>&1; touch /out/y && ls /in",
    )  # fmt: skip
    assert "Read-only" in result.stdout
    assert result.stdout.endswith("y\n")
    shutil.rmtree(directory)


def test_custom_seccomp(docker: Docker) -> None:
    """A profile of one's own."""
    path = scenarios.seccomp_profile(docker)
    assert docker.run("--security-opt", f"seccomp={path}", IMAGE, "probe", "sync").ok().stdout == "errno 1\n"


def test_shared_namespaces(docker: Docker) -> None:
    """--network, --pid and --ipc container:."""
    docker.detached("first", "--ipc", "shareable", IMAGE, *SLEEP)
    pid = docker.inspect("first", "{{.State.Pid}}")
    result = docker(
        "run", "--rm", "--network", "container:first", "--pid", "container:first", "--ipc", "container:first", IMAGE,
        "/bin/sh", "-c", "for n in net pid ipc; do readlink /proc/self/ns/$n; done; cat /proc/1/comm",
    ).ok()  # fmt: skip
    assert result.stdout.split() == [*(os.readlink(f"/proc/{pid}/ns/{n}") for n in ("net", "pid", "ipc")), "sleep"]


def test_process_of_a_shared_pid_namespace_ends_with_its_container(docker: Docker) -> None:
    """The shim sends kill --all when its init is gone."""
    docker.detached("first", IMAGE, *SLEEP)
    docker.detached("second", "--pid", "container:first", IMAGE, "/bin/sh", "-c", "sleep 77 & exec sleep 0.2")
    docker("wait", "second").ok()
    process.wait_for(lambda: "sleep 77" not in docker("exec", "first", "ps").stdout, "the end of the orphan")


def test_copy(docker: Docker) -> None:
    """docker cp both ways, of a running container."""
    docker.detached("one", IMAGE, *SLEEP)
    path = os.path.join(docker.directory, "copied")
    docker("cp", "one:/etc/passwd", path).ok()
    docker("cp", path, "one:/tmp/back").ok()
    assert "root" in docker("exec", "one", "cat", "/tmp/back").ok().stdout
    os.unlink(path)


def test_build(docker: Docker) -> None:
    """RUN by the runtime, as another user too; a failing one fails the build."""
    directory = os.path.join(docker.directory, "context")
    os.mkdir(directory)
    with open(f"{directory}/Dockerfile", "w") as file:
        file.write(f"FROM {IMAGE}\nRUN echo built >/mark\nUSER 1000\nRUN id -u >/tmp/user\n")
    docker("build", "--network", "none", "-t", "built", directory).ok()
    assert docker.run("built", "cat", "/mark", "/tmp/user").ok().stdout == "built\n1000\n"
    with open(f"{directory}/Dockerfile", "w") as file:
        file.write(f"FROM {IMAGE}\nRUN exit 9\n")
    result = docker("build", "--network", "none", directory)
    assert "returned a non-zero code: 9" in result.stderr, result
    docker("rmi", "built").ok()
    shutil.rmtree(directory)


def test_twenty_at_once(docker: Docker) -> None:
    """Each has its own output and code."""
    run = ("run", "--rm", "--network", "none", IMAGE, "/bin/sh", "-c")
    scenarios.twenty_at_once(docker, lambda _, script: docker.argv(*run, script))


def test_restart_of_the_daemon(docker: Docker) -> None:
    """Containers run on, and obey afterwards."""
    docker.detached("one", IMAGE, "/bin/sh", "-c", "trap 'exit 3' TERM; while :; do sleep 0.05; done")
    docker.detached("dies", IMAGE, *SLEEP)
    pid, dying = (int(docker.inspect(name, "{{.State.Pid}}")) for name in ("one", "dies"))
    docker.daemon.stop()
    os.kill(dying, signal.SIGKILL)
    docker.start()
    assert docker.inspect("one", "{{.State.Status}} {{.State.Pid}}") == f"running {pid}"
    docker.wait_state("dies", "{{.State.Status}} {{.State.ExitCode}}", "exited 137")
    assert docker("exec", "one", "echo", "here").ok().stdout == "here\n"
    docker("stop", "one").ok()
    assert docker.inspect("one", "{{.State.ExitCode}}") == "3"


def test_info_names_the_runtime(docker: Docker, runtime: Runtime) -> None:
    """dockerd understood --version; docker info calls it again."""
    assert docker("info", "--format", "{{.DefaultRuntime}}").ok().stdout == "tested\n"
    result = docker("info").ok()
    assert "tested" in result.stdout
    assert "unknown output format" not in result.stderr


@pytest.mark.parametrize("how", ["run", "exec"])
@pytest.mark.parametrize(
    "options",
    [
        [],
        ["-u", "1000:1000", "--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--cap-add", "CHOWN"],
        [
            "--memory",
            "64m",
            "--cpus",
            "0.5",
            "--pids-limit",
            "50",
            "--ulimit",
            "core=0",
            "--device",
            "/dev/zero:/dev/z",
        ],
        ["--pid", "host", "--ipc", "host", "--uts", "host", "-v", "/etc:/srv:ro", "-w", "/srv"],
        ["--security-opt", "no-new-privileges", "--security-opt", "seccomp=unconfined", "--cgroupns", "private"],
    ],
    ids=["default", "user", "limits", "host", "security"],
)
def test_audit(docker: Docker, runtime: Runtime, how: str, options: list[str]) -> None:
    """A container is the same as runc makes it."""

    def look(name: str) -> Finished:
        if how == "run":
            return docker.run("--runtime", name, *options, IMAGE, "/bin/sh", "-c", AUDIT)
        docker.detached(name, "--runtime", name, *options, IMAGE, *SLEEP)
        return docker("exec", name, "/bin/sh", "-c", AUDIT)

    compare_audits(runtime, lambda runc: look("runc" if runc else "tested"))


# one command a line, RUN is `run` without a network; what is done to a container that is there no longer fails
CALLS = {
    "life": """
        RUN -d --name one test /bin/sleep 100
        exec one true
        exec one /bin/sh -c 'exit 7'
        exec -u 1000:1001 -w /tmp -e A=b one true
        exec one /no/such
        exec one no-such
        exec one /etc/passwd
        exec -w /no/such one true
        exec -t one tty
        exec -d one true
        top one
        pause one
        pause one
        exec one true
        unpause one
        unpause one
        kill --signal USR1 one
        kill one
        wait one
        kill one
        exec one true
        start one
        restart --time 0 one
        stop --time 0 one
        rm one
    """,
    "limits": """
        RUN -d --name one --memory 128m test /bin/sleep 100
        update --memory 64m --memory-swap 128m --pids-limit 44 one
        update --cpus 0.5 one
        update --cpu-shares 512 one
        update --cpuset-cpus 99 one
        update --memory 1000000000000g --memory-swap -1 one
        pause one
        update --cpus 0.4 one
        unpause one
        rm --force one
    """,
    "ends": """
        RUN --rm test /bin/true
        RUN --rm test /bin/sh -c 'echo out; echo err >&2; exit 7'
        RUN --rm --init test /bin/sh -c 'kill -9 $$'
        RUN --rm -t test /bin/sh -c 'tty; exit 3'
        RUN --rm test /no/such
        RUN --rm test no-such
        RUN --rm test /etc/passwd
        RUN --rm test /etc
        RUN --rm -e PATH=/etc test passwd
        RUN --rm --sysctl net.ipv4.no_such=1 test /bin/true
        RUN --rm -v /etc/passwd:/srv test /bin/true
        RUN --rm --memory 6m --cpuset-cpus 0 test /bin/true
        RUN --name one test /bin/true
        start --attach one
        rm one
        create --name one --network none test /bin/true
        rm one
    """,
    "shared": """
        RUN -d --name first --ipc shareable test /bin/sleep 100
        RUN --rm --pid container:first --ipc container:first test /bin/sh -c 'sleep 77 & exec sleep 0.1'
        RUN -d --name second --pid host test /bin/sleep 100
        kill second
        rm --force first second
    """,
}


@pytest.mark.parametrize("name", CALLS)
def test_calls(docker: Docker, runtime: Runtime, name: str) -> None:
    """Each call of the runtime is answered as runc answers it."""

    def command(recorder: Recorder, line: str) -> object:
        words = shlex.split(line.replace("RUN", f"run --network none --runtime {recorder.name}"))
        result = docker(*words)
        return line, result.returncode, bool(result.stdout), bool(result.stderr)

    compare(command, docker.recorders, CALLS[name])
