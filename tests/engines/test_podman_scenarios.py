"""More of what podman's users see: exec, pods, builds, limits, security options."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from oci import cgroup, engine, machine, process
from oci.calls import Recorder, compare, recorders
from oci.console import OnTerminal
from oci.podman import IMAGE, LIMITS, RUN

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.podman import Podman
    from oci.runtime import Runtime

SLEEP = ("/bin/sleep", "100")

# options, script, expected output: @NAME is the host's namespace, a leading * asks for parts
SIMPLE: dict[str, tuple[list[str], str, str]] = {
    "environment": (["-e", "A=b"], "echo $A $HOME", "b /root\n"),
    "directory": (["-w", "/srv"], "pwd", "/srv\n"),
    "host name": (["-h", "box"], "hostname; cat /etc/hostname", "box\nbox"),
    "user by name": (["-u", "user"], "id -u; echo $HOME", "1000\n/home\n"),
    "groups": (["-u", "1000:1000", "--group-add", "7"], "id -G", "1000 7\n"),
    "read-only": (["--read-only"], "touch /x 2>&1; touch /tmp/x && echo tmp", "*Read-only file system\ntmp\n"),
    "tmpfs": (["--tmpfs", "/tmp:size=1m"], "df -k /tmp | tail -1", "*1024*"),
    "shared memory": (["--shm-size", "3m"], "df -k /dev/shm | tail -1", "*3072*"),
    "device": (["--device", "/dev/null:/dev/mine:rw"], "echo x >/dev/mine && stat -c %t:%T /dev/mine", "1:3\n"),
    "device that is not allowed": (
        ["--cap-add", "MKNOD"], "mknod /tmp/device c 240 9; cat /tmp/device 2>&1", "*Operation not permitted*",
    ),
    "device rule": (
        ["--cap-add", "MKNOD", "--device-cgroup-rule", "c 240:9 rwm"],
        "mknod /tmp/device c 240 9; cat /tmp/device 2>&1", "*No such device*",
    ),
    "no capabilities": (["--cap-drop", "ALL"], "grep CapEff /proc/self/status", "CapEff:\t0000000000000000\n"),
    "one capability": (
        ["--cap-drop", "ALL", "--cap-add", "CHOWN"], "grep Cap[EP] /proc/self/status",
        "CapPrm:\t0000000000000001\nCapEff:\t0000000000000001\n",
    ),
    "capability of a user": (
        ["-u", "1000", "--cap-add", "CHOWN"], "grep Cap[EPA] /proc/self/status | cut -f2 | uniq", "0000000000000001\n",
    ),
    "no new privileges": (["--security-opt", "no-new-privileges"], "grep NoNew /proc/self/status", "NoNewPrivs:\t1\n"),
    "seccomp": ([], "grep Seccomp: /proc/self/status; probe keyctl 0", "*Seccomp:\t2\nerrno*"),
    "no seccomp": (["--security-opt", "seccomp=unconfined"], "grep Seccomp: /proc/self/status", "Seccomp:\t0\n"),
    "unmasked": (["--security-opt", "unmask=ALL"], "grep -c ' /sys/firmware ' /proc/self/mounts", "0\n"),
    "masked": ([], "grep -c ' /sys/firmware ' /proc/self/mounts", "1\n"),
    "sysctl": (["--sysctl", "net.ipv4.ip_default_ttl=77"], "cat /proc/sys/net/ipv4/ip_default_ttl", "77\n"),
    "limit of files": (["--ulimit", "nofile=77:88"], "ulimit -Hn", "88\n"),
    "oom score": (["--oom-score-adj", "333"], "cat /proc/self/oom_score_adj", "333\n"),
    "umask": (["--umask", "0027"], "umask", "0027\n"),
    "loopback is up": ([], "cat /sys/class/net/lo/carrier", "1\n"),
    "pids of the host": (["--pid", "host"], "readlink /proc/self/ns/pid", "@pid"),
    "names of the host": (["--uts", "host"], "readlink /proc/self/ns/uts", "@uts"),
    "ipc of the host": (["--ipc", "host"], "readlink /proc/self/ns/ipc", "@ipc"),
    "cpu shares": (["--cpu-shares", "512"], "cat /sys/fs/cgroup/cpu/cpu.shares", "512\n"),
    "cpu quota": (["--cpus", "0.5"], "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"),
    "cpuset": (["--cpuset-cpus", "0"], "grep Cpus_allowed_list /proc/self/status", "Cpus_allowed_list:\t0\n"),
    "cgroup namespace": (["--cgroupns", "private"], "cut -d: -f3 /proc/self/cgroup | uniq", "/\n"),
    "anonymous volume": (["-v", "/data"], "touch /data/x && grep -c ' /data ' /proc/self/mounts", "1\n"),
    "chowned volume": (["-u", "1000", "--mount", "type=tmpfs,dst=/data,chown=true"], "touch /data/x && echo y", "y\n"),
    "system tables": (["--systemd", "always"], "grep -c ' /run tmpfs' /proc/self/mountinfo", "0\n"),
    "timezone": (["--tz", "local"], "echo yes", "yes\n"),
    "no descriptors": ([], "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 "),
    "default signals": ([], "grep -E 'Sig(Ign|Blk)' /proc/self/status | cut -f2 | uniq", "0000000000000000\n"),
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
    if expected.startswith("@"):
        expected = os.readlink(f"/proc/self/ns/{expected[1:]}") + "\n"
    if expected.startswith("*"):
        for part in expected.split("*"):
            assert part in result.stdout, result
    else:
        assert result.stdout == expected, result


EXEC: dict[str, tuple[list[str], str, str, int]] = {
    "plain": ([], "echo here; hostname", "here\nbox\n", 0),
    "code": ([], "exit 7", "", 7),
    "signal": ([], "kill -9 $$", "", 137),
    "environment": (["-e", "A=b"], "echo $A$B", "bfrom-run\n", 0),
    "directory": (["-w", "/tmp"], "pwd", "/tmp\n", 0),
    "user": (["-u", "1000:1001"], "id -u; id -g", "1000\n1001\n", 0),
    "capabilities": ([], "grep -c 'CapEff:.*800405fb' /proc/self/status", "1\n", 0),
    "capabilities of a user": (["-u", "1000"], "grep Cap[EPA] /proc/self/status | cut -f2 | uniq", "0" * 16 + "\n", 0),
    "filter": ([], "grep Seccomp: /proc/self/status", "Seccomp:\t2\n", 0),
    "limits": ([], "ulimit -Hn", "1024\n", 0),
    "processes": ([], "cat /proc/1/comm", "sleep\n", 0),
    "descriptors": ([], "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 ", 0),
    "umask": ([], "umask", "0022\n", 0),
    "oom score": ([], "cat /proc/self/oom_score_adj", "333\n", 0),
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
    with OnTerminal(argv, podman.directory) as command:
        command.terminal.read_until("/dev/pts/0")
        command.terminal.write("typed\n")
        command.terminal.read_until("got-typed")
        assert command.wait() == 6


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
    script = "exec awk 'BEGIN { s = \"x\"; while (1) s = s s }'"
    result = podman(*RUN, "--name", "one", "--memory", "20m", "--memory-swap", "20m", IMAGE, "sh", "-c", script)
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
    with machine.mounted("tmpfs", directory, "tmpfs"):
        machine.mount("none", directory, flags=machine.MS_SHARED)
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
    path = os.path.join(podman.directory, "seccomp.json")
    with open(path, "w") as file:
        rule = {"names": ["sync"], "action": "SCMP_ACT_ERRNO"}
        json.dump({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}, file)
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
    with contextlib.ExitStack() as stack:
        paths = [os.path.join(podman.directory, f"many-{n}") for n in range(20)]
        commands = []
        for number, path in enumerate(paths):
            out = stack.enter_context(open(path, "w"))
            argv = podman.argv(*RUN, "--rm", IMAGE, "/bin/sh", "-c", f"echo {number}; exit {number}")
            commands.append(
                subprocess.Popen(
                    argv, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=podman.environment
                )
            )
        assert [command.wait(120) for command in commands] == list(range(20))
    for number, path in enumerate(paths):
        with open(path) as file:
            assert file.read() == f"{number}\n"
        os.unlink(path)


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
        other("rm", "--all", "--force", "--time", "0").ok()
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
        return line, result.returncode, bool(result.stdout), bool(result.stderr)

    compare(command, recorded, CALLS[name])
