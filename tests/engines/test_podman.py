"""podman with the runtime under test: what its users see."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from oci import cgroup, engine, process, scenarios
from oci.audit import AUDIT, compare_audits
from oci.calls import Recorder, compare, recorders
from oci.machine import MS_SHARED, mount, mounted
from oci.podman import IMAGE, LIMITS, RUN, Podman
from oci.runtime import contents
from oci.scenarios import SLEEP

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.machine import Machine
    from oci.rootfs import Skeleton
    from oci.runtime import Runtime


@pytest.fixture(scope="module")
def storage(machine: Machine, runtime: Runtime, skeleton: Skeleton) -> Iterator[Podman]:
    """podman with one small image."""
    if shutil.which("podman") is None or shutil.which("conmon") is None:
        pytest.skip("podman is not installed")
    directory = os.path.join(machine.work, "podman")
    rootfs = os.path.join(machine.work, "image")
    skeleton.build(rootfs)
    os.makedirs(directory)
    archive = os.path.join(directory, "image.tar")
    subprocess.run(["tar", "-C", rootfs, "-cf", archive, "."], check=True)
    podman = Podman(runtime.path, directory, f"/{machine.prefix}-podman")
    states = {f"/run/{name}" for name in (runtime.name, "runc")}  # podman gives no --root
    for state in states:
        os.makedirs(state, mode=0o700)
    podman("import", "--change", "ENV PATH=/bin", archive, IMAGE).ok()
    with engine.cgroups(f"{podman.cgroup_parent}/conmon"):
        yield podman
        podman.remove_all()
        podman("rmi", "--all", "--force")
        process.kill_children()
    shutil.rmtree(rootfs)
    engine.remove(directory)
    for state in states:
        shutil.rmtree(state)


@pytest.fixture
def podman(storage: Podman, as_before: None) -> Iterator[Podman]:
    """podman without containers, before and after."""
    yield storage
    storage.remove_all()
    process.wait_for(lambda: not process.children(), "the end of conmon")


# options, script, expected output: @NAME is the host's namespace, a leading * asks for parts
SIMPLE: dict[str, tuple[list[str], str, str]] = {
    **scenarios.RUN,
    "host name": (["-h", "box"], "hostname; cat /etc/hostname", "box\nbox"),
    "groups": (["-u", "1000:1000", "--group-add", "7"], "id -G", "1000 7\n"),
    "read-only": (["--read-only"], "touch /x 2>&1; touch /tmp/x && echo tmp", "*Read-only file system\ntmp\n"),
    "device rule": (
        ["--cap-add", "MKNOD", "--device-cgroup-rule", "c 240:9 rwm"],
        "mknod /tmp/device c 240 9; cat /tmp/device 2>&1", "*No such device*",
    ),
    "capability of a user": (
        ["-u", "1000", "--cap-add", "CHOWN"], "grep Cap[EPA] /proc/self/status | cut -f2 | uniq", "0000000000000001\n",
    ),
    "seccomp": ([], "grep Seccomp: /proc/self/status; probe keyctl 0", "*Seccomp:\t2\nerrno*"),
    "unmasked": (["--security-opt", "unmask=ALL"], "grep -c ' /sys/firmware ' /proc/self/mounts", "0\n"),
    "masked": ([], "grep -c ' /sys/firmware ' /proc/self/mounts", "1\n"),
    "umask": (["--umask", "0027"], "umask", "0027\n"),
    "chowned volume": (["-u", "1000", "--mount", "type=tmpfs,dst=/data,chown=true"], "touch /data/x && echo y", "y\n"),
    "system tables": (["--systemd", "always"], "grep -c ' /run tmpfs' /proc/self/mountinfo", "0\n"),
    "timezone": (["--tz", "local"], "echo yes", "yes\n"),
    "user namespace": (["--userns", "host"], "cat /proc/self/uid_map | tr -s ' '", " 0 0 4294967295\n"),
}  # fmt: skip


def detached(podman: Podman, name: str, *arguments: str) -> None:
    """`run -d`."""
    podman(*RUN, "-d", "--name", name, *arguments).ok()


@pytest.mark.parametrize("name", SIMPLE)
def test_run(podman: Podman, name: str) -> None:
    """One option, seen from inside."""
    options, script, expected = SIMPLE[name]
    result = podman(*RUN, "--rm", *options, IMAGE, "/bin/sh", "-c", script)
    scenarios.expect(result, expected)


@pytest.mark.parametrize("code", [0, 7, 255])
def test_exit_code_of_run(podman: Podman, code: int) -> None:
    """The process' own."""
    assert podman(*RUN, "--rm", IMAGE, "/bin/sh", "-c", f"exit {code}").returncode == code


def test_death_by_sigkill_of_run(podman: Podman) -> None:
    """conmon sees the signal itself, as the container's process is its child: 137."""
    podman(*RUN, "-d", "--name", "victim", IMAGE, "/bin/sleep", "100").ok()
    os.kill(int(podman.inspect("victim", "{{.State.Pid}}")), 9)
    assert podman("wait", "victim").ok().stdout.strip() == "137"


def test_kill_command(podman: Podman) -> None:
    """podman kill: seen as 137."""
    podman(*RUN, "-d", "--name", "victim", IMAGE, "/bin/sleep", "100").ok()
    podman("kill", "victim").ok()
    assert podman("wait", "victim").ok().stdout.strip() == "137"
    assert podman.inspect("victim", "{{.State.ExitCode}} {{.State.Status}}") == "137 exited"


def test_output_of_run(podman: Podman) -> None:
    """stdout and stderr apart."""
    result = podman(*RUN, "--rm", IMAGE, "/bin/sh", "-c", "echo out; echo err >&2").ok()
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


def test_detached_life(podman: Podman) -> None:
    """run -d, logs, stop, rm."""
    script = "trap 'echo stopping; exit 3' TERM; echo up; while :; do sleep 0.1; done"
    identity = podman(*RUN, "-d", "--name", "life", IMAGE, "/bin/sh", "-c", script).ok().stdout.strip()
    assert len(identity) == 64
    process.wait_for(lambda: podman("logs", "life").ok().stdout == "up\n", "the log")
    assert podman.inspect("life", "{{.State.Status}}") == "running"
    podman("stop", "--time", "20", "life").ok()
    assert podman("logs", "life").ok().stdout == "up\nstopping\n"
    assert podman.inspect("life", "{{.State.ExitCode}} {{.State.Status}}") == "3 exited"
    podman("rm", "life").ok()
    assert podman("ps", "--all", "--quiet").ok().stdout == ""


def test_restart(podman: Podman) -> None:
    """start of a stopped container: a new create with the same id."""
    podman(*RUN, "-d", "--name", "again", IMAGE, "/bin/sh", "-c", "echo run").ok()
    podman("wait", "again").ok()
    podman("start", "again").ok()
    podman("wait", "again").ok()
    assert podman("logs", "again").ok().stdout == "run\nrun\n"


def test_rm_force(podman: Podman) -> None:
    """rm -f of a running container."""
    podman(*RUN, "-d", "--name", "victim", IMAGE, "/bin/sleep", "100").ok()
    podman("rm", "--force", "--time", "0", "victim").ok()


def test_removal_of_mapped(podman: Podman) -> None:
    """rm of containers with a user namespace that have been cleaned up, which podman does in conmon's namespace."""
    names = ("one", "two", "three")
    for name in names:
        options = ("--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536")
        podman(*RUN, "-d", "--name", name, *options, IMAGE, *SLEEP).ok()
    podman("kill", *names).ok()
    process.wait_for(lambda: not process.children(), "the end of conmon")
    for name in names:
        podman("rm", name).ok()
    assert podman("ps", "--all", "--quiet").ok().stdout == ""


def test_interactive_terminal(podman: Podman) -> None:
    """run -it, as a person uses it."""
    argv = podman.argv(*RUN, "-it", "--rm", IMAGE, "/bin/sh", "-c", "tty; read line; echo got-$line; exit 5")
    scenarios.talk(argv, podman.directory, code=5)


def test_limits(podman: Podman) -> None:
    """--memory and --pids-limit, seen from inside through podman's own cgroup mount."""
    script = (
        "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/memory/memory.limit_in_bytes || cat /sys/fs/cgroup/pids.max"
    )
    result = podman(*RUN, "--rm", "--pids-limit", "33", "--memory", "64m", IMAGE, "/bin/sh", "-c", script)
    assert result.stdout.split()[0] == "33", result


def test_volume_and_user(podman: Podman) -> None:
    """-v, -u, -w, -e."""
    source = os.path.join(podman.directory, "volume")
    os.makedirs(source, exist_ok=True)
    os.chown(source, 1000, 1000)
    podman(
        *RUN, "--rm", "-v", f"{source}:/data", "-u", "1000:1000", "-w", "/data", "-e", "X=y", IMAGE,
        "/bin/sh", "-c", "echo $X >file; id -u >>file",
    ).ok()  # fmt: skip
    with open(f"{source}/file") as file:
        assert file.read() == "y\n1000\n"
    shutil.rmtree(source)


def test_readonly_with_tmpfs(podman: Podman) -> None:
    """--read-only, --tmpfs: podman asks for tmpcopyup."""
    result = podman(
        *RUN, "--rm", "--read-only", "--tmpfs", "/etc", IMAGE,
        "/bin/sh", "-c", "touch /x 2>&1; cat /etc/group; touch /etc/new && echo new",
    )  # fmt: skip
    assert "Read-only file system" in result.stdout
    assert "root:x:0:" in result.stdout
    assert result.stdout.endswith("new\n")


def test_privileged(podman: Podman) -> None:
    """--privileged: a hundred devices, all capabilities, no seccomp."""
    result = podman(*RUN, "--rm", "--privileged", IMAGE, "/bin/grep", "-E", "^(CapEff|Seccomp):", "/proc/self/status")
    assert "Seccomp:\t0" in result.ok().stdout


def test_user_namespace(podman: Podman) -> None:
    """--uidmap."""
    result = podman(
        *RUN, "--rm", "--uidmap", "0:100000:1000", "--gidmap", "0:100000:1000", IMAGE, "/bin/cat", "/proc/self/uid_map"
    )
    assert result.ok().stdout.split() == ["0", "100000", "1000"]


def test_host_network(podman: Podman) -> None:
    """--network host: the caller's namespace."""
    result = podman("run", "--network", "host", "--rm", IMAGE, "/bin/readlink", "/proc/self/ns/net")
    assert result.ok().stdout.strip() == os.readlink("/proc/self/ns/net")


def test_shared_namespaces(podman: Podman) -> None:
    """--network container:, --pid container:, --ipc container:."""
    podman(*RUN, "-d", "--name", "first", IMAGE, "/bin/sleep", "100").ok()
    pid = podman.inspect("first", "{{.State.Pid}}")
    result = podman(
        "run", "--rm", *(f"--{kind}=container:first" for kind in ("network", "pid", "ipc")), IMAGE,
        "/bin/sh", "-c", "readlink /proc/self/ns/net; readlink /proc/self/ns/ipc; cat /proc/1/cmdline",
    )  # fmt: skip
    assert os.readlink(f"/proc/{pid}/ns/net") in result.ok().stdout
    assert os.readlink(f"/proc/{pid}/ns/ipc") in result.stdout
    assert result.stdout.endswith("/bin/sleep\x00100\x00")


def test_preserved_descriptors(podman: Podman) -> None:
    """--preserve-fds 1."""
    path = os.path.join(podman.directory, "kept")
    with open(path, "w") as file:
        file.write("kept\n")
    argv = podman.argv(*RUN, "--rm", "--preserve-fds", "1", IMAGE, "/bin/sh", "-c", "cat <&3")
    with open(f"{podman.directory}/out", "w+b") as out:
        subprocess.run(
            ["/bin/sh", "-c", 'exec 3<"$0"; exec "$@"', path, *argv],
            stdin=subprocess.DEVNULL, stdout=out, env=podman.environment, timeout=60, check=True,
        )  # fmt: skip
        assert contents(out) == "kept\n"


@pytest.mark.parametrize(("program", "code"), [("/no/such", 127), ("no-such", 127), ("/etc/passwd", 126)])
def test_program_that_cannot_start(podman: Podman, program: str, code: int) -> None:
    """126 and 127, by the runtime's text."""
    result = podman(*RUN, "--rm", IMAGE, program)
    assert result.returncode == code, result


EXEC: dict[str, tuple[list[str], str, str, int]] = {
    **scenarios.EXEC,
    "capabilities": ([], "grep -c 'CapEff:.*800405fb' /proc/self/status", "1\n", 0),
    "capabilities of a user": (["-u", "1000"], "grep Cap[EPA] /proc/self/status | cut -f2 | uniq", "0" * 16 + "\n", 0),
    "limits": ([], "ulimit -Hn", "1024\n", 0),
    "umask": ([], "umask", "0022\n", 0),
}


@pytest.mark.parametrize("name", EXEC)
def test_exec(podman: Podman, name: str) -> None:
    """One option, seen from inside."""
    options, script, expected, code = EXEC[name]
    detached(podman, "one", "-h", "box", "-e", "B=from-run", "--oom-score-adj", "333", IMAGE, *SLEEP)
    result = podman("exec", *options, "one", "/bin/sh", "-c", script)
    assert (result.stdout, result.returncode) == (expected, code), result


@pytest.mark.parametrize(("program", "code"), [("/no/such", 127), ("no-such", 127), ("/etc/passwd", 126)])
def test_program_that_cannot_start_by_exec(podman: Podman, program: str, code: int) -> None:
    """126 and 127, by the runtime's text."""
    detached(podman, "one", IMAGE, *SLEEP)
    result = podman("exec", "one", program)
    assert result.returncode == code, result


def test_exec_with_input(podman: Podman) -> None:
    """exec -i: stdin to its end, stdout and stderr apart."""
    detached(podman, "one", IMAGE, *SLEEP)
    result = podman.feed("typed\n", "exec", "-i", "one", "/bin/sh", "-c", "cat; echo err >&2; exit 4")
    assert (result.returncode, result.stdout, result.stderr) == (4, "typed\n", "err\n")


def test_exec_on_a_terminal(podman: Podman) -> None:
    """exec -it."""
    detached(podman, "one", IMAGE, *SLEEP)
    argv = podman.argv("exec", "-it", "one", "/bin/sh", "-c", "tty; read l; echo got-$l; exit 6")
    scenarios.talk(argv, podman.directory, code=6)


def test_exec_detached(podman: Podman) -> None:
    """exec -d."""
    detached(podman, "one", IMAGE, *SLEEP)
    podman("exec", "-d", "one", "/bin/sh", "-c", "echo done >/tmp/mark").ok()
    process.wait_for(lambda: podman("exec", "one", "cat", "/tmp/mark").stdout == "done\n", "the mark")


def test_run_with_input(podman: Podman) -> None:
    """run -i."""
    result = podman.feed("typed\n", *RUN, "-i", "--rm", IMAGE, "/bin/sh", "-c", "cat; echo err >&2")
    assert (result.returncode, result.stdout, result.stderr) == (0, "typed\n", "err\n")


def test_pause(podman: Podman) -> None:
    """pause, unpause."""
    detached(podman, "one", IMAGE, *SLEEP)
    podman("pause", "one").ok()
    assert podman.inspect("one", "{{.State.Status}}") == "paused"
    assert podman("exec", "one", "true").returncode != 0
    podman("unpause", "one").ok()
    podman("exec", "one", "true").ok()


def test_top_and_stats(podman: Podman) -> None:
    """The processes, and what they use."""
    detached(podman, "one", IMAGE, *SLEEP)
    assert "sleep 100" in podman("top", "one", "args").ok().stdout
    assert podman("stats", "--no-stream", "--format", "{{.PIDS}}", "one").ok().stdout.strip() == "1"


def test_update(podman: Podman) -> None:
    """Limits of a running container."""
    detached(podman, "one", IMAGE, *SLEEP)
    podman("update", "--memory", "64m", "--cpus", "0.5", "one").ok()
    script = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/cpu/cpu.cfs_quota_us"
    assert podman("exec", "one", "/bin/sh", "-c", script).ok().stdout.split() == ["67108864", "50000"]


def test_memory_limit_binds(podman: Podman) -> None:
    """A process over the limit is killed."""
    result = podman(
        *RUN, "--name", "one", "--memory", "20m", "--memory-swap", "20m", IMAGE, "sh", "-c", scenarios.MEMORY_EATER
    )
    assert result.returncode == 137, result


def test_pids_limit_binds(podman: Podman) -> None:
    """fork fails."""
    script = "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait"
    assert "can't fork" in podman(*RUN, "--rm", "--pids-limit", "5", IMAGE, "sh", "-c", script).stderr


def test_cpu_limit_binds(podman: Podman) -> None:
    """The process is throttled."""
    script = "timeout 1 sh -c 'while :; do :; done'; grep nr_throttled /sys/fs/cgroup/cpu/cpu.stat"
    result = podman(*RUN, "--rm", "--cpus", "0.1", IMAGE, "/bin/sh", "-c", script)
    assert int(result.stdout.split()[-1]) > 2, result


def test_restart_policy(podman: Podman) -> None:
    """on-failure:2: three runs."""
    detached(podman, "again", "--restart", "on-failure:2", IMAGE, "/bin/sh", "-c", "echo run; exit 1")
    process.wait_for(lambda: podman("logs", "again").ok().stdout == "run\n" * 3, "three runs")


def test_health_check(podman: Podman) -> None:
    """By exec."""
    detached(podman, "one", "--health-cmd", "test ! -e /tmp/ill", "--health-interval", "disable", IMAGE, *SLEEP)
    podman("healthcheck", "run", "one").ok()
    podman("exec", "one", "touch", "/tmp/ill").ok()
    assert podman("healthcheck", "run", "one").returncode == 1


def test_init(podman: Podman) -> None:
    """--init, where podman has one."""
    if not os.path.exists("/usr/libexec/podman/catatonit"):
        pytest.skip("catatonit is not installed")
    assert podman(*RUN, "--rm", "--init", IMAGE, "cat", "/proc/1/comm").ok().stdout in ("catatonit\n", "podman-init\n")


@pytest.mark.parametrize(
    ("propagation", "field"), [("rshared", "shared"), ("rslave", "master"), ("rprivate", ""), ("private", "")]
)
def test_propagation(podman: Podman, propagation: str, field: str) -> None:
    """As mountinfo in the container says."""
    directory = os.path.join(podman.directory, "shared")
    os.mkdir(directory)
    with mounted("tmpfs", directory, "tmpfs"):
        mount("none", directory, flags=MS_SHARED)
        volume = f"{directory}:/data:{propagation}"
        line = podman(*RUN, "--rm", "-v", volume, IMAGE, "grep", " /data ", "/proc/self/mountinfo").ok().stdout
    os.rmdir(directory)
    fields = [one.split(":")[0] for one in line.split(" - ")[0].split()[6:]]
    assert fields[:1] == ([field] if field else [])


def test_chowned_volume(podman: Podman) -> None:
    """:U gives the volume to the container's user; :z is nothing without SELinux."""
    directory = os.path.join(podman.directory, "volume")
    os.mkdir(directory)
    podman(*RUN, "--rm", "-u", "1000:1000", "-v", f"{directory}:/data:U,z", IMAGE, "touch", "/data/x").ok()
    assert os.stat(f"{directory}/x").st_uid == 1000
    shutil.rmtree(directory)


def test_custom_seccomp(podman: Podman) -> None:
    """A profile of one's own."""
    path = scenarios.seccomp_profile(podman)
    result = podman(*RUN, "--rm", "--security-opt", f"seccomp={path}", IMAGE, "probe", "sync")
    assert result.ok().stdout == "errno 1\n"


def test_hooks(podman: Podman, runtime: Runtime) -> None:
    """--hooks-dir: prestart, createRuntime, poststart, poststop, with the state on stdin."""
    directory = os.path.join(podman.directory, "hooks.d")
    os.mkdir(directory)
    log = os.path.join(podman.directory, "hooks.log")
    script = os.path.join(podman.directory, "hook")
    with open(script, "w") as file:
        file.write(f'#!/bin/sh\necho "$1 $(cat)" >>{log}\n')
    os.chmod(script, 0o755)
    for stage in ("prestart", "createRuntime", "poststart", "poststop"):
        with open(f"{directory}/{stage}.json", "w") as file:
            hook = {"path": script, "args": ["hook", stage]}
            json.dump({"version": "1.0.0", "hook": hook, "when": {"always": True}, "stages": [stage]}, file)
    with_hooks = podman.on(runtime.path)
    with_hooks.options += ["--hooks-dir", directory]
    with_hooks(*RUN, "--rm", IMAGE, "/bin/true").ok()
    with open(log) as file:
        found = [line.split(" ", 1) for line in file.read().splitlines()]
    assert [stage for stage, _ in found] == ["prestart", "createRuntime", "poststart", "poststop"]
    assert all(json.loads(state)["id"] for _, state in found)


@pytest.fixture
def pod(podman: Podman, runtime: Runtime) -> Iterator[Podman]:
    """podman with a pod named pod, whose infra container has limits that can be set here."""
    path = os.path.join(podman.directory, "pod.conf")
    with open(path, "w") as file:
        file.write('[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n')
    podman.environment["CONTAINERS_CONF"] = path
    podman(
        "pod", "create", "--name", "pod", "--network", "none", "--share", "net,ipc,uts", "--hostname", "box",
        "--cgroup-parent", podman.cgroup_parent, "--infra-image", IMAGE, "--infra-command", "/bin/sleep 1000",
    ).ok()  # fmt: skip
    yield podman
    podman("pod", "rm", "--force", "--time", "0", "pod").ok()
    del podman.environment["CONTAINERS_CONF"]
    if not runtime.is_lxcri:  # podman removes the pod's cgroup where it has controllers, lxcri all that it made
        for point in set(cgroup.mounts().values()):
            for name in os.listdir(point + podman.cgroup_parent):
                if len(name) == 64:
                    os.rmdir(f"{point}{podman.cgroup_parent}/{name}")


def test_build(podman: Podman) -> None:
    """RUN by the runtime (--isolation oci), as another user too; a failing one fails the build."""
    directory = os.path.join(podman.directory, "context")
    os.mkdir(directory)
    build = ("build", "--isolation", "oci", "--network", "none", *LIMITS)
    with open(f"{directory}/Containerfile", "w") as file:
        file.write(f"FROM {IMAGE}\nRUN echo built >/mark\nUSER 1000\nRUN id -u >/tmp/user\n")
    podman(*build, "-t", "built", directory).ok()
    assert podman(*RUN, "--rm", "built", "cat", "/mark", "/tmp/user").ok().stdout == "built\n1000\n"
    with open(f"{directory}/Containerfile", "w") as file:
        file.write(f"FROM {IMAGE}\nRUN exit 9\n")
    result = podman(*build, directory)
    assert result.returncode != 0
    assert "exit status 9" in result.stderr, result
    podman("rmi", "--force", "built").ok()
    shutil.rmtree(directory)


def test_copy(podman: Podman) -> None:
    """podman cp both ways, of a running container."""
    detached(podman, "one", IMAGE, *SLEEP)
    path = os.path.join(podman.directory, "copied")
    podman("cp", "one:/etc/passwd", path).ok()
    podman("cp", path, "one:/tmp/back").ok()
    assert "root" in podman("exec", "one", "cat", "/tmp/back").ok().stdout
    os.unlink(path)


def test_twenty_at_once(podman: Podman) -> None:
    """Each has its own output and code."""
    run = (*RUN, "--rm", IMAGE, "/bin/sh", "-c")
    scenarios.twenty_at_once(podman, lambda _, script: podman.argv(*run, script))


def test_named_runtime(podman: Podman, runtime: Runtime) -> None:
    """[engine.runtimes] and runtime_supports_json: the text comes from the JSON log."""
    path = os.path.join(podman.directory, "containers.conf")
    with open(path, "w") as file:
        file.write(
            f'[engine]\nruntime = "tested"\nruntime_supports_json = ["tested"]\n'
            f'[engine.runtimes]\ntested = ["{runtime.path}"]\n'
        )
    by_name = podman.on("tested", CONTAINERS_CONF=path)
    by_name.runtime = []
    assert by_name(*RUN, "--rm", IMAGE, "echo", "here").ok().stdout == "here\n"
    result = by_name(*RUN, "--rm", IMAGE, "/no/such")
    assert result.returncode == 127, result
    assert "no such file or directory" in result.stderr, result
    assert by_name("info", "--format", "{{.Host.OCIRuntime.Name}}").ok().stdout == "tested\n"


def test_pod(pod: Podman) -> None:
    """Containers of a pod share network, IPC and host name with its infra container."""
    script = "hostname; for n in net ipc uts; do readlink /proc/self/ns/$n; done"
    run = ("run", "--rm", "--pod", "pod", IMAGE, "/bin/sh", "-c", script)
    first, second = (pod(*run).ok().stdout.split() for _ in range(2))
    assert first == second
    assert first[0] == "box"
    assert first[1] != os.readlink("/proc/self/ns/net")


def test_life_of_a_pod(pod: Podman) -> None:
    """start, pause, unpause, stop of all its containers."""
    pod("run", "-d", "--pod", "pod", "--name", "member", IMAGE, *SLEEP).ok()
    pod("pod", "pause", "pod").ok()
    assert pod.inspect("member", "{{.State.Status}}") == "paused"
    pod("pod", "unpause", "pod").ok()
    pod("exec", "member", "true").ok()
    pod("pod", "stop", "--time", "0", "pod").ok()
    assert pod.inspect("member", "{{.State.Status}}") == "exited"
    pod("pod", "start", "pod").ok()
    assert pod.inspect("member", "{{.State.Status}}") == "running"


@pytest.fixture
def bridged(podman: Podman, runtime: Runtime) -> Iterator[Podman]:
    """podman in a network namespace of its own, where its bridges are."""
    if not os.path.exists("/usr/lib/podman/netavark"):
        pytest.skip("netavark is not installed")
    networks = os.path.join(podman.directory, "networks")
    os.mkdir(networks)
    script = "busybox ip link set lo up && exec sleep 1000"
    with subprocess.Popen(["unshare", "--net", "--", "sh", "-c", script], stdin=subprocess.DEVNULL) as holder:
        process.expected.add(holder.pid)
        other = podman.on(runtime.path)
        process.wait_for(lambda: os.readlink(f"/proc/{holder.pid}/exe").endswith("sleep"), "the namespace")
        other.command = ["nsenter", f"--net=/proc/{holder.pid}/ns/net", "podman"]
        other.options += ["--network-config-dir", networks]
        yield other
        other.remove_all()
        holder.kill()
        process.expected.discard(holder.pid)
    shutil.rmtree(networks)
    for name in ("netavark", "containers", "netns"):
        if os.path.exists(f"/run/{name}"):
            engine.remove(f"/run/{name}")


def test_bridge(bridged: Podman) -> None:
    """Two containers on podman's own bridge, whose namespaces podman makes; a published port."""
    script = "while :; do nc -l -p 7 -e /bin/sh -c 'read l; echo got-$l'; done"
    bridged("run", "-d", "--name", "server", "-p", "127.0.0.1:7777:7", IMAGE, "/bin/sh", "-c", script).ok()
    address = bridged.inspect("server", "{{.NetworkSettings.IPAddress}}")
    client = ("/bin/sh", "-c", f"ip route | grep -c default; echo typed | nc {address} 7")
    process.wait_for(lambda: bridged("run", "--rm", IMAGE, *client).stdout == "1\ngot-typed\n", "the server")
    bridged("exec", "server", "/bin/sh", "-c", "ip -o addr | grep -q eth0").ok()


@pytest.mark.parametrize("how", ["run", "exec"])
@pytest.mark.parametrize(
    "options",
    [
        [],
        [
            "-u",
            "1000:1000",
            "--read-only",
            "--cap-drop",
            "ALL",
            "--cap-add",
            "CHOWN",
            "--memory",
            "64m",
            "--cpus",
            "0.5",
        ],
        ["--pid", "host", "--ipc", "host", "-v", "/etc:/srv:ro", "--security-opt", "seccomp=unconfined"],
        ["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536", "--tmpfs", "/srv"],
    ],
    ids=["default", "user", "host", "userns"],
)
def test_audit(podman: Podman, runtime: Runtime, how: str, options: list[str]) -> None:
    """A container is the same as runc makes it."""

    def look(runc: bool) -> engine.Finished:
        client = podman.on("/usr/sbin/runc" if runc else runtime.path)
        if how == "run":
            return client(*RUN, "--rm", *options, IMAGE, "/bin/sh", "-c", AUDIT)
        client(*RUN, "-d", "--name", f"one{runc}", *options, IMAGE, *SLEEP).ok()
        return client("exec", f"one{runc}", "/bin/sh", "-c", AUDIT)

    compare_audits(runtime, look)


CALLS = {
    "life": """
        RUN -d --name one IMAGE /bin/sleep 100
        exec one true
        exec one /bin/sh -c 'exit 7'
        exec -u 1000:1001 -w /tmp -e A=b one true
        exec --privileged one true
        exec one /no/such
        exec one no-such
        exec one /etc/passwd
        exec -w /no/such one true
        exec -t one tty
        exec -d one true
        top one args
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
        RUN -d --name one --memory 128m IMAGE /bin/sleep 100
        update --memory 64m --memory-swap 128m one
        update --cpus 0.5 one
        update --cpu-shares 512 one
        update --cpuset-cpus 99 one
        pause one
        update --cpus 0.4 one
        rm --force --time 0 one
    """,
    "ends": """
        RUN --rm IMAGE /bin/true
        RUN --rm IMAGE /bin/sh -c 'echo out; echo err >&2; exit 7'
        RUN --rm IMAGE /bin/sh -c 'kill -9 $$'
        RUN --rm -t IMAGE /bin/sh -c 'tty; exit 3'
        RUN --rm IMAGE /no/such
        RUN --rm IMAGE no-such
        RUN --rm IMAGE /etc/passwd
        RUN --rm IMAGE /etc
        RUN --rm -e PATH=/etc IMAGE passwd
        RUN --rm --sysctl net.ipv4.no_such=1 IMAGE /bin/true
        RUN --rm -v /etc/passwd:/srv IMAGE /bin/true
        RUN --name one IMAGE /bin/true
        start --attach one
        rm one
        create --name one --network none IMAGE /bin/true
        init one
        start one
        wait one
        rm one
    """,
    "shared": """
        RUN -d --name first IMAGE /bin/sleep 100
        RUN --rm --pid container:first --ipc container:first --network container:first IMAGE /bin/true
        RUN -d --name second --pid host IMAGE /bin/sleep 100
        kill second
        rm --force --time 0 second first
    """,
}


@pytest.mark.parametrize(
    ("name", "by_name"), [("life", True), ("limits", False), ("ends", False), ("ends", True), ("shared", False)]
)
def test_calls(podman: Podman, runtime: Runtime, name: str, by_name: bool) -> None:
    """Each call of the runtime is answered as runc answers it; one that containers.conf names gets a log."""
    recorded = recorders(runtime, podman.directory)
    path = os.path.join(podman.directory, "containers.conf")
    names = [one.name for one in recorded]
    with open(path, "w") as file:
        if by_name:
            file.write(f"[engine]\nruntime_supports_json = {names}\n[engine.runtimes]\n")
            file.writelines(f'{one.name} = ["{one.path}"]\n' for one in recorded)

    def command(recorder: Recorder, line: str) -> object:
        client = podman.on(recorder.name if by_name else recorder.path, CONTAINERS_CONF=path)
        result = client(*shlex.split(line.replace("RUN", "run --network none").replace("IMAGE", IMAGE)))
        removal = "rm" in line.split()[:2]  # which says nothing if it took a second attempt
        return line, result.returncode, bool(result.stdout) and not removal, bool(result.stderr)

    compare(command, recorded, CALLS[name])
