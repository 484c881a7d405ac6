"""What is tested with more than one engine."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
from typing import TYPE_CHECKING

from oci.console import OnTerminal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from oci.engine import Client, Finished

SLEEP = ("/bin/sleep", "100")

RUN: dict[str, tuple[list[str], str, str]] = {
    "environment": (["-e", "A=b"], "echo $A $HOME", "b /root\n"),
    "working directory": (["-w", "/srv"], "pwd", "/srv\n"),
    "user by name": (["-u", "user"], "id -u; echo $HOME", "1000\n/home\n"),
    "tmpfs": (["--tmpfs", "/tmp:size=1m"], "df -k /tmp | tail -1", "*1024*"),
    "shared memory": (["--shm-size", "3m"], "df -k /dev/shm | tail -1", "*3072*"),
    "device": (["--device", "/dev/null:/dev/mine:rw"], "echo x >/dev/mine && stat -c %t:%T /dev/mine", "1:3\n"),
    "device that is not allowed": (
        ["--cap-add", "MKNOD"], "mknod /tmp/device c 240 9; cat /tmp/device 2>&1", "*Operation not permitted*",
    ),
    "all capabilities": (["--cap-drop", "ALL"], "grep CapEff /proc/self/status", "CapEff:\t0000000000000000\n"),
    "one capability": (
        ["--cap-drop", "ALL", "--cap-add", "CHOWN"], "grep Cap[EP] /proc/self/status",
        "CapPrm:\t0000000000000001\nCapEff:\t0000000000000001\n",
    ),
    "no new privileges": (["--security-opt", "no-new-privileges"], "grep NoNew /proc/self/status", "NoNewPrivs:\t1\n"),
    "no seccomp": (["--security-opt", "seccomp=unconfined"], "grep Seccomp: /proc/self/status", "Seccomp:\t0\n"),
    "sysctl": (["--sysctl", "net.ipv4.ip_default_ttl=77"], "cat /proc/sys/net/ipv4/ip_default_ttl", "77\n"),
    "limit of files": (["--ulimit", "nofile=77:88"], "ulimit -Hn", "88\n"),
    "oom score": (["--oom-score-adj", "333"], "cat /proc/self/oom_score_adj", "333\n"),
    "loopback is up": ([], "cat /sys/class/net/lo/carrier", "1\n"),
    "pids of the host": (["--pid", "host"], "readlink /proc/self/ns/pid", "@pid"),
    "names of the host": (["--uts", "host"], "readlink /proc/self/ns/uts", "@uts"),
    "ipc of the host": (["--ipc", "host"], "readlink /proc/self/ns/ipc", "@ipc"),
    "cpu shares": (["--cpu-shares", "512"], "cat /sys/fs/cgroup/cpu/cpu.shares", "512\n"),
    "cpu quota": (["--cpus", "0.5"], "cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us", "50000\n"),
    "cpuset": (["--cpuset-cpus", "0"], "grep Cpus_allowed_list /proc/self/status", "Cpus_allowed_list:\t0\n"),
    "cgroup namespace": (["--cgroupns", "private"], "cut -d: -f3 /proc/self/cgroup | uniq", "/\n"),
    "anonymous volume": (["-v", "/data"], "touch /data/x && grep -c ' /data ' /proc/self/mounts", "1\n"),
    "no descriptors": ([], "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 "),
    "default signals": ([], "grep -E 'Sig(Ign|Blk)' /proc/self/status | cut -f2 | uniq", "0000000000000000\n"),
}  # fmt: skip
"""Options of `run`, a script, and what it prints, as expect() takes it; of docker and podman."""

EXEC: dict[str, tuple[list[str], str, str, int]] = {
    "plain": ([], "echo here; hostname", "here\nbox\n", 0),
    "code": ([], "exit 7", "", 7),
    "signal": ([], "kill -9 $$", "", 137),
    "environment": (["-e", "A=b"], "echo $A$B", "bfrom-run\n", 0),
    "directory": (["-w", "/tmp"], "pwd", "/tmp\n", 0),
    "user": (["-u", "1000:1001"], "id -u; id -g", "1000\n1001\n", 0),
    "filter": ([], "grep Seccomp: /proc/self/status", "Seccomp:\t2\n", 0),
    "processes": ([], "cat /proc/1/comm", "sleep\n", 0),
    "descriptors": ([], "ls /proc/self/fd | tr '\\n' ' '", "0 1 2 3 ", 0),
    "oom score": ([], "cat /proc/self/oom_score_adj", "333\n", 0),
}
"""Options of `exec`, a script, what it prints, and its exit code; of docker and podman."""

MEMORY_EATER = "exec awk 'BEGIN { s = \"x\"; while (1) s = s s }'"
"""A shell script that never has enough."""


def expect(result: Finished, expected: str, pid: int | str = "self") -> None:
    """
    Assert what a command has printed.

    @NAME stands for this namespace of a process of the host, texts after a leading * and between others for parts.
    """
    if expected.startswith("@"):
        expected = os.readlink(f"/proc/{pid}/ns/{expected[1:]}") + "\n"
    if expected.startswith("*"):
        for part in expected.split("*"):
            assert part in result.stdout, result
    else:
        assert result.stdout == expected, result


def talk(argv: Sequence[str], directory: str, *, code: int, before: Sequence[str] = ("/dev/pts/0",)) -> None:
    """Run a command on a terminal, which says something before it reads a line, and got-LINE after it."""
    with OnTerminal(argv, directory, size=(31, 101)) as command:
        for text in before:
            command.terminal.read_until(text)
        command.terminal.write("typed\n")
        command.terminal.read_until("got-typed")
        assert command.wait() == code


def twenty_at_once(engine: Client, argv: Callable[[int, str], Sequence[str]]) -> None:
    """Run twenty containers, by command lines for a number and a script: each has its own output and code."""
    paths = [os.path.join(engine.directory, f"many-{n}") for n in range(20)]
    with contextlib.ExitStack() as stack:
        commands = []
        for number, path in enumerate(paths):
            out = stack.enter_context(open(path, "w"))
            words = argv(number, f"echo {number}; exit {number}")
            commands.append(
                subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT, env=engine.environment
                )
            )
        assert [command.wait(120) for command in commands] == list(range(20))
    for number, path in enumerate(paths):
        with open(path) as file:
            assert file.read() == f"{number}\n"
        os.unlink(path)


def seccomp_profile(engine: Client) -> str:
    """Make a profile that forbids sync(2); returns its path."""
    path = os.path.join(engine.directory, "seccomp.json")
    with open(path, "w") as file:
        rule = {"names": ["sync"], "action": "SCMP_ACT_ERRNO"}
        json.dump({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule]}, file)
    return path
