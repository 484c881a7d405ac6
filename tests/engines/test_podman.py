"""podman with the runtime under test: what its users see."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from oci import process
from oci.console import OnTerminal
from oci.podman import IMAGE, RUN
from oci.runtime import contents

if TYPE_CHECKING:
    from oci.podman import Podman


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


def test_interactive_terminal(podman: Podman) -> None:
    """run -it, as a person uses it."""
    argv = podman.argv(*RUN, "-it", "--rm", IMAGE, "/bin/sh", "-c", "tty; read line; echo got-$line; exit 5")
    with OnTerminal(argv, podman.directory) as command:
        command.terminal.read_until("/dev/pts/0")
        command.terminal.write("typed\n")
        command.terminal.read_until("got-typed")
        assert command.wait() == 5


def test_missing_program(podman: Podman) -> None:
    """127, by the runtime's text."""
    result = podman(*RUN, "--rm", IMAGE, "/no/such/program")
    assert result.returncode == 127, result


def test_program_that_is_not_in_path(podman: Podman) -> None:
    """127, by the runtime's text."""
    result = podman(*RUN, "--rm", IMAGE, "no-such-program")
    assert result.returncode == 127, result


def test_program_without_permission(podman: Podman) -> None:
    """126, by the runtime's text."""
    result = podman(*RUN, "--rm", IMAGE, "/etc/passwd")
    assert result.returncode == 126, result


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
