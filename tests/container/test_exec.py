"""The verb exec: another process in a container, by flags and by file."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import signal
import stat
import subprocess
import tempfile
from typing import TYPE_CHECKING, Any

import pytest
from oci import cgroup, process
from oci.console import ConsoleSocket, OnTerminal
from oci.runtime import ENVIRONMENT, Container, contents

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from oci.bundle import Bundle
    from oci.runtime import Result

SLEEP = ("/bin/sleep", "100")
HIERARCHY_NAMES = ("pid", "mnt", "net", "ipc", "uts", "user", "cgroup", "time")
CAPABILITY_FIELDS = ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")


def execute(container: Container, *words: str, **how: Any) -> Result:
    """`exec` with these options and program."""
    options = []
    rest = list(words)
    while rest and rest[0].startswith("-"):
        options.append(rest.pop(0))
    return container.runtime.call("exec", *options, container.id, *rest, **how)


def shell(container: Container, script: str, *options: str, **how: Any) -> str:
    """What a shell script in the container prints, which must succeed."""
    return container.runtime.call("exec", *options, container.id, "/bin/sh", "-c", script, **how).ok().stdout


def by_file(container: Container, *options: str, **properties: Any) -> Result:
    """`exec --process FILE`."""
    path = container.bundle.file("process.json", json.dumps({"cwd": "/", "env": ["PATH=/bin"], **properties}))
    return container.runtime.call("exec", *options, "--process", path, container.id)


def detached(container: Container, *words: str, **how: Any) -> int:
    """`exec --detach`; the pid that the file holds."""
    path = os.path.join(container.bundle.path, "exec.pid")
    result = execute(container, "--detach", f"--pid-file={path}", *words, **how).ok()
    assert (result.stdout, result.stderr) == ("", "")
    with open(path) as file:
        return int(file.read())


def status_of(pid: int | str) -> dict[str, str]:
    """/proc/PID/status."""
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


@contextlib.contextmanager
def running(pid: int) -> Iterator[None]:
    """A process of the container, killed and reaped at the end."""
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        process.reap(pid)


def await_end(container: Container) -> None:
    """The end of a killed container, of which some processes have become our children: init waits for them."""
    while not process.ended(container.pid, 0.02):
        process.children()
    process.children()
    container.exit = -signal.SIGKILL


@pytest.fixture
def container(bundle: Bundle) -> Container:
    """A running container."""
    return bundle.container(*SLEEP).up()


@pytest.mark.parametrize("code", [0, 1, 7, 254, 255])
def test_exit_code(container: Container, code: int) -> None:
    """The process's own; nothing is printed."""
    result = execute(container, "/bin/sh", "-c", f"exit {code}")
    assert (result.returncode, result.stdout, result.stderr) == (code, "", "")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGSEGV])
def test_death_by_signal(container: Container, number: signal.Signals) -> None:
    """128 and the signal."""
    assert execute(container, "/bin/sh", "-c", f"kill -{int(number)} $$").returncode == 128 + number


@pytest.mark.parametrize(
    ("program", "text"),
    [
        ("/no/such/program", "no such file or directory"),
        ("no-such-program", "executable file not found in $PATH"),
        ("/etc/passwd", "permission denied"),
        ("/etc", ""),
    ],
)
@pytest.mark.parametrize("how", [(), ("--detach",)])
def test_program_that_cannot_start(container: Container, program: str, text: str, how: tuple[str, ...]) -> None:
    """255, in the words that engines look for."""
    execute(container, *how, program).refused(text, status=255)
    assert container.status() == "running"


@pytest.mark.runc_differs("the status is 1")
def test_missing_interpreter(container: Container) -> None:
    """The kernel's own refusal, after everything else was done."""
    with open(container.path("/bin/script"), "w") as file:
        file.write("#!/no/such/interpreter\n")
        os.fchmod(file.fileno(), 0o755)
    execute(container, "/bin/script").refused("no such file or directory", status=255)


def test_stopped_container(bundle: Bundle) -> None:
    """There is nothing to enter."""
    container = bundle.container("/bin/true").up()
    container.wait()
    execute(container, "/bin/true").refused("cannot exec in a stopped container", status=255)


def test_unknown_container(bundle: Bundle) -> None:
    """It does not exist."""
    bundle.runtime.call("exec", bundle.runtime.new_id(), "/bin/true").refused("does not exist", status=255)


def test_no_program(container: Container) -> None:
    """Neither words nor a file."""
    assert container.runtime.call("exec", container.id).returncode != 0


def test_paused_container(container: Container) -> None:
    """It would never answer."""
    container.runtime.call("pause", container.id).ok()
    execute(container, "/bin/true").refused("paused", status=255)
    container.runtime.call("resume", container.id).ok()
    execute(container, "/bin/true").ok()


@pytest.mark.lxcri_only("runc 1.1 waits for the process to be frozen with the others, and thawed")
def test_ignore_paused(container: Container) -> None:
    """The command waits until the container is resumed."""
    container.runtime.call("pause", container.id).ok()
    path = os.path.join(container.bundle.path, "out")
    with open(path, "w+b") as out:
        command = container.runtime.spawn(
            "exec", "--ignore-paused", container.id, "/bin/echo", "thawed", stdout=out, stderr=subprocess.STDOUT
        )
        try:
            with pytest.raises(subprocess.TimeoutExpired):
                command.wait(0.2)
            container.runtime.call("resume", container.id).ok()
            assert command.wait(process.TIMEOUT) == 0
        finally:
            container.runtime.call("resume", container.id)
            if command.poll() is None:
                command.kill()
                command.wait()
        assert contents(out) == "thawed\n"


def test_standard_streams(container: Container) -> None:
    """stdin is read, stdout and stderr stay apart."""
    with tempfile.TemporaryFile() as stdin:
        stdin.write(b"first\nsecond\n")
        stdin.seek(0)
        result = execute(container, "/bin/sh", "-c", "cat; echo err >&2", stdin=stdin).ok()
    assert (result.stdout, result.stderr) == ("first\nsecond\n", "err\n")


def test_end_of_stdin(container: Container) -> None:
    """A pipe whose other end is closed ends the input."""
    command = container.runtime.spawn(
        "exec", container.id, "/bin/cat", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    out, _ = command.communicate(b"x" * 200_000, timeout=process.TIMEOUT)
    assert (command.returncode, len(out)) == (0, 200_000)


def test_namespaces(bundle: Bundle) -> None:
    """All of init's."""
    bundle.namespace("cgroup")
    container = bundle.container(*SLEEP).up()
    pid = detached(container, *SLEEP)
    with running(pid):
        for name in HIERARCHY_NAMES:
            if os.path.exists(f"/proc/self/ns/{name}"):
                assert os.readlink(f"/proc/{pid}/ns/{name}") == os.readlink(f"/proc/{container.pid}/ns/{name}"), name
        assert os.readlink(f"/proc/{pid}/ns/pid_for_children") == os.readlink(f"/proc/{container.pid}/ns/pid")


@pytest.mark.lxcri_only("runc chroots where there is no mount namespace")
def test_container_without_linux(bundle: Bundle) -> None:
    """All of `linux` is optional."""
    del bundle.config["linux"], bundle.config["hostname"]
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["type"] == "proc"]
    container = bundle.container(*SLEEP).up()
    assert shell(container, "echo here") == "here\n"


@pytest.mark.lxcri_only("time namespaces came with runc 1.2")
def test_time_namespace(bundle: Bundle) -> None:
    """The clock is the container's."""
    bundle.namespace("time")
    bundle.linux["timeOffsets"] = {"boottime": {"secs": 1_000_000_000}}
    container = bundle.container(*SLEEP).up()
    assert float(shell(container, "cat /proc/uptime").split()[0]) > 1_000_000_000
    pid = detached(container, *SLEEP)
    with running(pid):
        assert os.readlink(f"/proc/{pid}/ns/time") == os.readlink(f"/proc/{container.pid}/ns/time")


def test_cgroup_in_every_hierarchy(container: Container) -> None:
    """The container's."""
    pid = detached(container, *SLEEP)
    with running(pid):
        mine, its = cgroup.paths(pid), cgroup.paths(container.pid)
        assert mine == its
        assert mine != cgroup.paths("self")


def test_cgroup_namespace_shows_the_cgroup_as_root(bundle: Bundle) -> None:
    """Placed before the namespace is entered, or after: the root is the container's cgroup."""
    bundle.namespace("cgroup")
    container = bundle.container(*SLEEP).up()
    paths = {line.split(":", 2)[2] for line in shell(container, "cat /proc/self/cgroup").splitlines()}
    assert paths == {"/"}


def test_process_is_of_the_container(container: Container) -> None:
    """It sees init as 1, and itself in the container's proc; its parent is outside."""
    out = shell(container, "cat /proc/1/cmdline; echo; echo $PPID; hostname; ls /")
    assert out.startswith("/bin/sleep\x00100")
    assert out.splitlines()[1:3] == ["0", "inside"]
    assert "rootfs" not in out


def test_root_is_init_s(container: Container) -> None:
    """The same directory."""
    pid = detached(container, *SLEEP)
    with running(pid):
        assert os.path.samestat(os.stat(f"/proc/{pid}/root"), os.stat(f"/proc/{container.pid}/root"))


def test_defaults_are_the_container_s(bundle: Bundle) -> None:
    """Directory, environment, user and groups of config.json."""
    bundle.process["cwd"] = "/srv"
    bundle.process["env"].append("COLOUR=red")
    bundle.process["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [7, 8]}
    container = bundle.container(*SLEEP).up()
    assert shell(container, "pwd; echo $COLOUR; id -u; id -g; id -G").splitlines() == [
        "/srv", "red", "1000", "1001", "1001 7 8",
    ]  # fmt: skip


def test_cwd_env_user_groups(container: Container) -> None:
    """By flags."""
    out = shell(
        container, "pwd; echo $A-$B; id -u; id -g; id -G",
        "--cwd", "/tmp", "--env", "A=1", "--env", "B=2", "--user", "1000:1001",
        "--additional-gids", "30", "--additional-gids", "31",
    )  # fmt: skip
    assert out.splitlines() == ["/tmp", "1-2", "1000", "1001", "1001 30 31"]


def test_user_without_group(container: Container) -> None:
    """The group stays."""
    assert shell(container, "id -u; id -g", "--user", "1000").splitlines() == ["1000", "0"]


def test_later_value_wins(bundle: Bundle) -> None:
    """--env of a name that the container has."""
    bundle.process["env"].append("COLOUR=red")
    container = bundle.container(*SLEEP).up()
    assert shell(container, "env | grep ^COLOUR", "--env", "COLOUR=blue") == "COLOUR=blue\n"


def test_environment_is_nothing_else(container: Container) -> None:
    """Nothing of the caller's; HOME is of the user."""
    out = execute(container, "--user=1000", "/bin/env", env={**ENVIRONMENT, "SECRET": "x", "LISTEN_PID": "1"}).ok()
    assert sorted(out.stdout.splitlines()) == ["HOME=/home", "PATH=/bin"]


def test_session_keyring_is_not_the_callers(container: Container) -> None:
    """Nobody in a container gets at the keys of who called the runtime."""
    # KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING
    words = ["/bin/probe", "keyctl", "0", "-3", "0"]
    callers = subprocess.run(
        [container.bundle.rootfs + words[0], *words[1:]], capture_output=True, text=True, check=True
    ).stdout
    if not callers.startswith("ok"):
        pytest.skip("the kernel has no keyrings")
    inside = execute(container, *words).ok().stdout
    assert inside.startswith("ok")
    assert inside != callers


def test_home(container: Container) -> None:
    """By the container's passwd, unless it is given."""
    assert shell(container, "echo $HOME") == "/root\n"
    assert shell(container, "echo $HOME", "--user", "4242") == "/\n"
    assert shell(container, "echo $HOME", "--env", "HOME=/x") == "/x\n"


@pytest.mark.lxcri_only("runc makes a missing directory in create only, and its text is its own")
def test_missing_cwd(container: Container) -> None:
    """255 and its name."""
    execute(container, "--cwd=/no/such", "/bin/true").refused("no such", where="/no/such", status=255)


def test_capabilities_default(bundle: Bundle) -> None:
    """Those of config.json."""
    caps = ["CAP_CHOWN", "CAP_KILL"]
    bundle.process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), caps)
    container = bundle.container(*SLEEP).up()
    pid = detached(container, *SLEEP)
    with running(pid):
        assert {k: status_of(pid)[k] for k in CAPABILITY_FIELDS} == {
            k: status_of(container.pid)[k] for k in CAPABILITY_FIELDS
        }


def test_capabilities_by_file(container: Container) -> None:
    """Five sets exactly, ambient too, for a user that is not root."""
    result = by_file(
        container,
        args=["/bin/grep", "^Cap", "/proc/self/status"],
        user={"uid": 1000, "gid": 1000},
        capabilities={
            "bounding": ["CAP_CHOWN", "CAP_KILL", "CAP_SETUID"],
            "permitted": ["CAP_CHOWN", "CAP_KILL"],
            "inheritable": ["CAP_CHOWN", "CAP_KILL"],
            "effective": ["CAP_CHOWN"],
            "ambient": ["CAP_CHOWN"],
        },
    ).ok()  # fmt: skip
    found = {line.split(":\t")[0]: int(line.split(":\t")[1], 16) for line in result.stdout.splitlines()}
    # execve gives a user that is not root the ambient set
    assert found == {"CapInh": 0b100001, "CapPrm": 1, "CapEff": 1, "CapBnd": 0b10100001, "CapAmb": 1}


def test_what_a_file_does_not_say(bundle: Bundle) -> None:
    """Capabilities and OOM score are the container's; limits, groups, environment and noNewPrivileges are not."""
    bundle.process["oomScoreAdj"] = 333
    bundle.process["noNewPrivileges"] = True
    bundle.process["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 4, "hard": 5}]
    bundle.process["user"]["additionalGids"] = [7]
    bundle.process["env"].append("A=b")
    container = bundle.container(*SLEEP).up()
    result = by_file(
        container, args=["/bin/sh", "-c", "cat /proc/self/oom_score_adj /proc/self/status; ulimit -Hc; env"]
    )
    lines = result.ok().stdout.splitlines()
    assert lines[0] == "333"
    assert f"CapEff:\t{status_of(container.pid)['CapEff']}" in lines
    assert "NoNewPrivs:\t0" in lines
    assert "Groups:\t " in lines
    assert "5" not in lines
    assert "A=b" not in lines


def test_no_capabilities_by_file(container: Container) -> None:
    """Empty ones are none."""
    result = by_file(container, args=["/bin/grep", "^CapEff", "/proc/self/status"], capabilities={})
    assert int(result.ok().stdout.split()[1], 16) == 0


def test_cap_flag(bundle: Bundle) -> None:
    """--cap adds to what the container has."""
    caps = ["CAP_CHOWN"]
    bundle.process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), caps)
    container = bundle.container(*SLEEP).up()
    out = execute(container, "--cap=CAP_KILL", "/bin/grep", "^CapEff", "/proc/self/status").ok().stdout
    assert int(out.split()[1], 16) == 0b100001


def test_no_new_privileges(container: Container) -> None:
    """By flag, by file, and not else."""
    grep = ("/bin/grep", "^NoNewPrivs", "/proc/self/status")
    assert execute(container, *grep).ok().stdout.split()[1] == "0"
    assert execute(container, "--no-new-privs", *grep).ok().stdout.split()[1] == "1"
    assert by_file(container, args=[*grep], noNewPrivileges=True).ok().stdout.split()[1] == "1"


@pytest.mark.parametrize("no_new_privileges", [True, False])
@pytest.mark.parametrize("uid", [0, 1000])
def test_seccomp(bundle: Bundle, no_new_privileges: bool, uid: int) -> None:
    """The container's filter is on for this process too."""
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["sync"], "action": "SCMP_ACT_ERRNO"}],
    }
    container = bundle.container(*SLEEP).up()
    result = by_file(
        container,
        args=["/bin/probe", "sync"],
        user={"uid": uid, "gid": uid},
        noNewPrivileges=no_new_privileges,
        capabilities={},
    )
    assert result.ok().stdout.strip() == f"errno {errno.EPERM}"


@pytest.mark.runc_differs("Go raises the soft limit of open files to the hard one, at times", strict=False)
def test_rlimits(bundle: Bundle) -> None:
    """By file; by flags the container's."""
    bundle.process["rlimits"] = [{"type": "RLIMIT_NOFILE", "soft": 77, "hard": 88}]
    container = bundle.container(*SLEEP).up()
    assert shell(container, "ulimit -Sn; ulimit -Hn").split() == ["77", "88"]
    result = by_file(
        container, args=["/bin/sh", "-c", "ulimit -Sn; ulimit -Hn; ulimit -Sc"],
        rlimits=[{"type": "RLIMIT_NOFILE", "soft": 55, "hard": 66}, {"type": "RLIMIT_CORE", "soft": 0, "hard": 0}],
    )  # fmt: skip
    assert result.ok().stdout.split() == ["55", "66", "0"]


@pytest.mark.runc_differs("the container's is taken")
def test_oom_score_adj(bundle: Bundle) -> None:
    """By file; by flags the container's."""
    bundle.process["oomScoreAdj"] = 100
    container = bundle.container(*SLEEP).up()
    assert shell(container, "cat /proc/self/oom_score_adj") == "100\n"
    result = by_file(container, args=["/bin/cat", "/proc/self/oom_score_adj"], oomScoreAdj=321)
    assert result.ok().stdout == "321\n"


@pytest.mark.runc_differs("user.umask is for init alone")
def test_umask(bundle: Bundle) -> None:
    """user.umask of the file."""
    container = bundle.container(*SLEEP).up()
    result = by_file(container, args=["/bin/sh", "-c", "umask"], user={"uid": 0, "gid": 0, "umask": 0o27})
    assert result.ok().stdout.strip() == "0027"


@pytest.mark.runc_differs("the caller's is kept")
def test_default_umask(container: Container) -> None:
    """0022, whatever the caller's is."""
    result = execute(container, "/bin/sh", "-c", "umask", wrapper=("/bin/sh", "-c", 'umask 0077; exec "$@"', "sh"))
    assert result.ok().stdout.strip() == "0022"


def test_file_without_args(container: Container) -> None:
    """Nothing to execute."""
    assert by_file(container).returncode == 255


@pytest.mark.parametrize("content", ["", "{", "[]", '{"args": 7}'])
def test_broken_file(container: Container, content: str) -> None:
    """255, and one line."""
    path = container.bundle.file("process.json", content)
    assert container.runtime.call("exec", "--process", path, container.id).returncode != 0
    if container.runtime.is_lxcri:
        container.runtime.call("exec", "--process", path, container.id).refused(status=255)


def test_missing_file(container: Container) -> None:
    """255 and its name."""
    result = container.runtime.call("exec", "--process", "/no/such.json", container.id)
    assert result.returncode != 0
    if container.runtime.is_lxcri:
        result.refused("no such file", where="/no/such.json", status=255)


@pytest.mark.lxcri_only("runc gives the terminal its size after the program has begun")
def test_tty_in_the_foreground(container: Container) -> None:
    """A person's shell: raw, own size, controlling terminal, exit code, and the terminal as before."""
    argv = container.runtime.argv(
        "exec", "-t", container.id, "/bin/sh", "-c",
        "stty size; tty; test -t 0 && test -t 1 && test -t 2 && echo all; read line </dev/tty; echo got-$line; exit 9",
    )  # fmt: skip
    with OnTerminal(argv, container.bundle.path, size=(33, 111)) as command:
        command.terminal.read_until("33 111")
        command.terminal.read_until("/dev/pts/0")
        command.terminal.read_until("all")
        command.terminal.write("typed\n")
        command.terminal.read_until("got-typed")
        assert command.wait() == 9


def test_interrupt_on_the_terminal(container: Container) -> None:
    """^C is SIGINT for the process in the container, not for the command."""
    script = "trap 'echo interrupted; exit 4' INT; echo up; while :; do sleep 0.1; done"
    argv = container.runtime.argv("exec", "--tty", container.id, "/bin/sh", "-c", script)
    with OnTerminal(argv, container.bundle.path) as command:
        command.terminal.read_until("up")
        command.terminal.write("\x03")
        command.terminal.read_until("interrupted")
        assert command.wait() == 4


def test_resize_of_the_terminal(container: Container) -> None:
    """SIGWINCH of the command is one of the process in the container."""
    script = "trap 'stty size; exit' WINCH; echo up; while :; do sleep 0.1; done"
    argv = container.runtime.argv("exec", "--tty", container.id, "/bin/sh", "-c", script)
    with OnTerminal(argv, container.bundle.path) as command:
        command.terminal.read_until("up")
        command.terminal.size = (40, 132)
        os.kill(command.pid, signal.SIGWINCH)
        command.terminal.read_until("40 132")
        assert command.wait() == 0


@pytest.fixture
def server(bundle: Bundle) -> Iterator[ConsoleSocket]:
    """A console socket."""
    with ConsoleSocket(os.path.join(bundle.path, "console.sock")) as server:
        yield server


def test_console_socket(container: Container, server: ConsoleSocket) -> None:
    """The master arrives; the slave is of the container's devpts, and it is the controlling terminal."""
    script = "tty; stat -c %u $(tty); echo up >/dev/tty; read line; echo got-$line; exit 3"
    pid = detached(container, "--tty", f"--console-socket={server.path}", "/bin/sh", "-c", script)
    with server.receive() as terminal:
        terminal.read_until("/dev/pts/0\r\n0\r\nup")
        terminal.write("typed\n")
        terminal.read_until("got-typed")
        assert process.reap(pid) == 3


def test_console_size_and_owner(container: Container, server: ConsoleSocket) -> None:
    """By file: consoleSize, and a terminal that belongs to the user."""
    path = container.bundle.file(
        "process.json",
        json.dumps(
            {
                "terminal": True, "consoleSize": {"height": 22, "width": 99}, "cwd": "/", "env": ["PATH=/bin"],
                "user": {"uid": 1000, "gid": 1000}, "args": ["/bin/sh", "-c", "stty size; stat -c %u $(tty)"],
            }
        ),
    )  # fmt: skip
    pid = detached(container, f"--console-socket={server.path}", f"--process={path}")
    with server.receive() as terminal:
        assert terminal.read_to_end().splitlines() == ["22 99", "1000"]
    assert process.reap(pid) == 0


def test_dev_console_is_untouched(bundle: Bundle, server: ConsoleSocket) -> None:
    """It stays the terminal of init."""
    bundle.process["terminal"] = True
    container = bundle.container(*SLEEP)
    container.create("--console-socket", server.path)
    with server.receive():
        container.start()
        before = os.stat(container.path("/dev/console"))
        mounts = container.proc("mountinfo")
        pid = detached(container, "--tty", f"--console-socket={server.path}", "/bin/tty")
        with server.receive() as terminal:
            assert terminal.read_to_end() == "/dev/pts/1\r\n"
        assert process.reap(pid) == 0
        after = os.stat(container.path("/dev/console"))
        assert (before.st_rdev, before.st_ino, before.st_dev) == (after.st_rdev, after.st_ino, after.st_dev)
        assert container.proc("mountinfo") == mounts
        container.kill("KILL").ok()
        container.wait()


def test_no_dev_console_is_made(container: Container, server: ConsoleSocket) -> None:
    """A container without a terminal keeps a /dev without one."""
    pid = detached(container, "--tty", f"--console-socket={server.path}", "/bin/true")
    server.receive().close()
    process.reap(pid)
    assert not os.path.exists(container.path("/dev/console"))


@pytest.mark.parametrize(
    "options", [("--detach", "--tty"), ("--detach", "--console-socket=/no"), ("--console-socket=/no", "--tty")]
)
def test_terminal_and_socket_belong_together(container: Container, options: tuple[str, ...]) -> None:
    """Detached with a terminal: a socket; else none."""
    execute(container, *options, "/bin/true").refused(status=255)


def test_tty_without_a_terminal(container: Container) -> None:
    """In the foreground it is the caller's own."""
    if container.runtime.is_lxcri:
        execute(container, "--tty", "/bin/true").refused("not a terminal", status=255)


def test_detached_process_is_the_engine_s(container: Container) -> None:
    """It is our child, as of any subreaper, and we see its true status."""
    pid = detached(container, "/bin/sh", "-c", "sleep 0.1; exit 42")
    assert int(status_of(pid)["PPid"]) == os.getpid()
    assert process.reap(pid) == 42
    pid = detached(container, "/bin/sh", "-c", "sleep 0.1; kill -9 $$")
    assert process.reap(pid) == -signal.SIGKILL


def test_detached_streams(container: Container) -> None:
    """They are those of the command, and stay open after it."""
    with tempfile.TemporaryFile() as out:
        pid = detached(container, "/bin/sh", "-c", "sleep 0.1; echo later", stdout=out)
        process.reap(pid)
        assert contents(out) == "later\n"


def test_pid_file_in_the_foreground(container: Container) -> None:
    """It holds the host's pid."""
    path = os.path.join(container.bundle.path, "foreground.pid")
    command = container.runtime.spawn("exec", f"--pid-file={path}", container.id, *SLEEP)
    process.wait_for(lambda: os.path.exists(path) and os.path.getsize(path), "the pid file")
    with open(path) as file:
        os.kill(int(file.read()), signal.SIGKILL)
    assert command.wait(process.TIMEOUT) == 137


def test_pid_file_that_cannot_be_written(container: Container) -> None:
    """255, and no process stays."""
    before = set(process.children())
    execute(container, "--detach", "--pid-file=/no/such/file", *SLEEP).refused(status=255)
    assert set(process.children()) == before


def test_signals_are_forwarded(container: Container) -> None:
    """What is sent to the command in the foreground goes to the process."""
    script = "trap 'echo term; exit 6' TERM; echo up; while :; do sleep 0.05; done"
    with tempfile.TemporaryFile() as out:
        command = container.runtime.spawn("exec", container.id, "/bin/sh", "-c", script, stdout=out)
        process.wait_for(lambda: contents(out) == "up\n", "the shell")
        command.terminate()
        assert command.wait(process.TIMEOUT) == 6
        assert contents(out) == "up\nterm\n"


def test_preserved_descriptors(container: Container) -> None:
    """3 to 3+N-1, and no others."""
    path = container.bundle.file("kept", "kept\n")
    wrapper = ("/bin/sh", "-c", f'exec 3<{path} 4<{path} 5<{path}; exec "$@"', "sh")
    out = shell(container, "cat <&3; cat <&4; ls /proc/$$/fd; true", "--preserve-fds", "2", wrapper=wrapper)
    assert out.splitlines()[:2] == ["kept", "kept"]
    assert set(out.split()[2:]) & {"5", "6"} == set()


def test_preserved_descriptor_that_is_not_open(container: Container) -> None:
    """An error rather than another file by chance."""
    assert execute(container, "--preserve-fds=7", "/bin/true").returncode != 0


def test_listen_fds_are_not_passed(container: Container) -> None:
    """LISTEN_PID would have to be a pid that nobody knows; the descriptors do not leak either."""
    path = container.bundle.file("kept", "kept\n")
    script = "echo [$LISTEN_FDS$LISTEN_PID]; ls -l /proc/$$/fd; true"
    wrapper = ("/bin/sh", "-c", f'exec 3<{path}; export LISTEN_FDS=1 LISTEN_PID=$$; exec "$@"', "sh")
    out = shell(container, script, wrapper=wrapper)
    assert out.startswith("[]\n")
    assert "kept" not in out


def test_no_descriptor_leaks(container: Container) -> None:
    """Whatever the caller has open."""
    path = container.bundle.file("leak")
    wrapper = ("/bin/sh", "-c", f'exec 3<{path} 4<{path} 9<{path}; exec "$@"', "sh")
    assert shell(container, "ls -l /proc/$$/fd; true", wrapper=wrapper).count("leak") == 0
    pid = detached(container, *SLEEP, wrapper=wrapper)
    with running(pid):
        assert sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1", "2"]


def test_sub_cgroup(container: Container) -> None:
    """--cgroup, of one controller and of all."""
    for controller in {mount for mount in cgroup.mounts() if mount}:
        os.makedirs(f"{cgroup.directory(container.pid, controller)}/below", exist_ok=True)
    if "" in cgroup.mounts():
        os.makedirs(f"{cgroup.directory(container.pid, '')}/below", exist_ok=True)
    for name in ("cpuset.cpus", "cpuset.mems"):
        top = cgroup.directory(container.pid, "cpuset")
        with open(f"{top}/{name}") as source, open(f"{top}/below/{name}", "w") as target:
            target.write(source.read())
    pid = detached(container, "--cgroup=pids:below", *SLEEP)
    with running(pid):
        assert cgroup.paths(pid)["pids"] == cgroup.paths(container.pid)["pids"] + "/below"
        assert cgroup.paths(pid)["memory"] == cgroup.paths(container.pid)["memory"]


def test_sub_cgroup_that_is_not_below(container: Container) -> None:
    """No way out of the container's cgroup, and none into one that is not there."""
    for value in ("pids:../..", "pids:no-such", "nocontroller:x"):
        execute(container, f"--cgroup={value}", "/bin/true").refused(status=255)
    assert container.status() == "running"


def test_created_container(bundle: Bundle) -> None:
    """Before start."""
    container = bundle.container(*SLEEP)
    container.create()
    assert shell(container, "echo early; ls /proc/1/exe >/dev/null; hostname") == "early\ninside\n"
    assert container.status() == "created"
    container.start()
    assert shell(container, "echo late") == "late\n"


def test_user_namespace(bundle: Bundle) -> None:
    """Root of the container, with its capabilities, and files of the mapped id."""
    bundle.user_namespace()
    os.chmod(bundle.path, 0o755)
    container = bundle.container(*SLEEP).up()
    assert shell(container, "id -u; id -g; cat /proc/self/setgroups; touch /tmp/mine").split() == ["0", "0", "allow"]
    assert os.stat(container.path("/tmp/mine")).st_uid == 100000
    pid = detached(container, *SLEEP)
    with running(pid):
        assert status_of(pid)["Uid"].split() == ["100000"] * 4
        assert status_of(pid)["Groups"].split() == []
        for field in CAPABILITY_FIELDS:
            assert status_of(pid)[field] == status_of(container.pid)[field], field


def test_user_and_terminal_in_a_user_namespace(bundle: Bundle, server: ConsoleSocket) -> None:
    """A user that is not root, with groups, and its own terminal."""
    bundle.user_namespace()
    os.chmod(bundle.path, 0o755)
    container = bundle.container(*SLEEP).up()
    pid = detached(
        container, "--tty", f"--console-socket={server.path}", "--user=1000:1000", "--additional-gids=7",
        "/bin/sh", "-c", "id -u; id -G; stat -c %u $(tty); echo named >$(tty)",
    )  # fmt: skip
    with server.receive() as terminal:
        assert terminal.read_to_end().split("\r\n")[:4] == ["1000", "1000 7", "1000", "named"]
    assert process.reap(pid) == 0


def test_without_a_pid_namespace(bundle: Bundle) -> None:
    """The host's pids."""
    bundle.without_namespace("pid")
    container = bundle.container(*SLEEP).up()
    pid = detached(container, *SLEEP)
    with running(pid):
        assert os.readlink(f"/proc/{pid}/ns/pid") == os.readlink("/proc/self/ns/pid")
        assert os.readlink(f"/proc/{pid}/ns/mnt") == os.readlink(f"/proc/{container.pid}/ns/mnt")


def test_with_the_host_s_namespaces(bundle: Bundle) -> None:
    """Only mounts and pids are its own."""
    for kind in ("network", "ipc", "uts"):
        bundle.without_namespace(kind)
    del bundle.config["hostname"]
    container = bundle.container(*SLEEP).up()
    assert shell(container, "readlink /proc/self/ns/net").strip() == os.readlink("/proc/self/ns/net")


@pytest.mark.lxcri_only("runc needs a mount namespace")
def test_without_a_mount_namespace(bundle: Bundle) -> None:
    """The root is the container's all the same."""
    bundle.without_namespace("mount")
    bundle.config["mounts"] = []
    del bundle.linux["resources"]
    container = bundle.container(*SLEEP).up()
    assert "busybox" in shell(container, "ls /bin")
    pid = detached(container, *SLEEP)
    with running(pid):
        assert os.path.samestat(os.stat(f"/proc/{pid}/root"), os.stat(f"/proc/{container.pid}/root"))


def test_many_at_once(container: Container) -> None:
    """Each its own answer."""
    count = 16
    with contextlib.ExitStack() as stack:
        outs = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(count)]
        commands = [
            container.runtime.spawn("exec", container.id, "/bin/sh", "-c", f"echo n{n}; exit {n}", stdout=outs[n])
            for n in range(count)
        ]
        assert [command.wait(process.TIMEOUT) for command in commands] == list(range(count))
        assert [contents(out) for out in outs] == [f"n{n}\n" for n in range(count)]


def test_signals_are_default(container: Container) -> None:
    """None is blocked or ignored, whatever the caller had."""
    trap = ("/bin/sh", "-c", "trap '' HUP TERM USR1 PIPE; exec \"$@\"", "sh")
    pid = detached(container, *SLEEP, wrapper=trap)
    with running(pid):
        found = status_of(pid)
        assert (int(found["SigIgn"], 16), int(found["SigBlk"], 16)) == (0, 0)


def test_session(container: Container) -> None:
    """A process of the container is in no session of the host."""
    pid = detached(container, "/bin/sh", "-c", "exec sleep 100")
    with running(pid):
        assert os.getsid(pid) == pid


def test_container_that_dies(bundle: Bundle) -> None:
    """The process dies with it; the command tells so."""
    container = bundle.container(*SLEEP).up()
    with tempfile.TemporaryFile() as out:
        command = container.runtime.spawn("exec", container.id, "/bin/sh", "-c", "echo up; sleep 100", stdout=out)
        process.wait_for(lambda: contents(out) == "up\n", "the process")
        container.kill("KILL").ok()
        assert command.wait(process.TIMEOUT) == 137
        container.wait()


def test_exec_while_the_container_dies(new_bundle: Callable[[], Bundle]) -> None:
    """Either it ran, or it says that it did not: never a hang, never anything left."""
    for delay in range(8):
        container = new_bundle().container(*SLEEP).up()
        command = container.runtime.spawn(
            "exec", container.id, "/bin/sh", "-c", "exit 3", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            command.wait(delay * 0.015)
        os.kill(container.pid, signal.SIGKILL)
        assert command.wait(process.TIMEOUT) in (3, 137, 255)
        await_end(container)


def test_killed_exec_leaves_nothing(container: Container) -> None:
    """A command that is killed at any moment takes what is not yet the user's program with it."""
    before = set(process.children())
    for delay in range(10):
        command = container.runtime.spawn(
            "exec", container.id, "/bin/sleep", "0.3", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with contextlib.suppress(subprocess.TimeoutExpired):
            command.wait(0.02 + delay * 0.006)
        command.kill()
        command.wait()
    process.wait_for(lambda: set(process.children()) <= before, "the end of all of them", timeout=5)
    os.kill(container.pid, signal.SIGKILL)
    await_end(container)


@pytest.mark.lxcri_only("runc closes descriptors by the image's proc")
def test_image_without_proc(bundle: Bundle) -> None:
    """Nothing of it is needed."""
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["destination"] != "/proc"]
    container = bundle.container(*SLEEP).up()
    assert shell(container, "ls /proc; echo here; id -u", "--user", "1000").split() == ["here", "1000"]


@pytest.mark.lxcri_only("runc reads the kernel's proc by a path of the image, and refuses what is no procfs")
def test_proc_that_the_image_fakes(bundle: Bundle) -> None:
    """Files of the image at /proc/self are not taken for the kernel's."""
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["destination"] != "/proc"]
    os.makedirs(f"{bundle.rootfs}/proc/self/fd")
    container = bundle.container(*SLEEP).up()
    assert shell(container, "echo here") == "here\n"


def test_read_only_root(bundle: Bundle) -> None:
    """Is one here too."""
    bundle.config["root"]["readonly"] = True
    container = bundle.container(*SLEEP).up()
    assert execute(container, "/bin/touch", "/x").returncode == 1


def test_devices_are_limited(container: Container) -> None:
    """By the container's cgroup: a device that was not listed cannot be opened."""
    out = execute(container, "/bin/sh", "-c", "mknod /tmp/kmsg c 1 11 && cat /tmp/kmsg").stderr
    assert "Operation not permitted" in out
    assert stat.S_ISCHR(os.stat(container.path("/dev/null")).st_mode)


def test_exec_is_counted_by_ps(container: Container) -> None:
    """The process is among the container's."""
    pid = detached(container, *SLEEP)
    with running(pid):
        listed = json.loads(container.runtime.call("ps", "--format", "json", container.id).ok().stdout)
        assert sorted(listed) == sorted([container.pid, pid])


def test_end_of_process_leaves_the_container(container: Container) -> None:
    """Orphans of it stay, as children of init."""
    assert execute(container, "/bin/sh", "-c", "sleep 50 >/dev/null 2>&1 & exit 0").returncode == 0
    assert container.status() == "running"
    listed = json.loads(container.runtime.call("ps", "--format", "json", container.id).ok().stdout)
    assert len(listed) == 2


@pytest.mark.lxcri_only("what the helper is, is lxcri's own matter")
def test_container_cannot_look_into_the_helper(bundle: Bundle) -> None:
    """A process of the container that searches /proc for the helper finds nothing that it can open."""
    bundle.process["capabilities"] = {}
    script = (
        "while :; do for p in /proc/[0-9]*; do [ ${p#/proc/} = 1 ] && continue; "
        "case $(readlink $p/exe 2>/dev/null) in *lxcri*|*memfd*|*python*) echo FOUND;; esac; "
        "ls $p/fd/ 2>/dev/null | grep -q '^[4-9]' && echo FDS; done; done"
    )
    container = bundle.shell(script).up()
    for _ in range(20):
        execute(container, "/bin/true").ok()
    assert "FOUND" not in container.output()
    container.kill("KILL").ok()
    container.wait()


@pytest.mark.parametrize("environment", [{}, {"XDG_RUNTIME_DIR": ""}])
def test_empty_environment(container: Container, environment: dict[str, str]) -> None:
    """No PATH and no HOME are needed."""
    assert execute(container, "/bin/echo", "here", env=environment).ok().stdout == "here\n"


def test_log_of_a_failure(container: Container) -> None:
    """Engines read the last record of level error."""
    path = os.path.join(container.bundle.path, "log.json")
    container.runtime.call("exec", container.id, "/no/such", options=("--log", path, "--log-format", "json")).refused(
        "no such file or directory", status=255
    )
    with open(path) as file:
        records = [json.loads(line) for line in file]
    assert records[-1]["level"] == "error"
    assert "no such file or directory" in records[-1]["msg"]


@pytest.mark.lxcri_only("runc 1.1 does not know execCPUAffinity")
@pytest.mark.parametrize(
    ("affinity", "cpus"),
    [({"final": "1"}, "1"), ({"initial": "0"}, "0"), ({"initial": "0", "final": "1"}, "1"), ({}, "0-1")],
)
def test_cpu_affinity(container: Container, affinity: dict[str, str], cpus: str) -> None:
    """config.md, "Linux Process": execCPUAffinity."""
    result = by_file(container, args=["/bin/grep", "Cpus_allowed_list", "/proc/self/status"], execCPUAffinity=affinity)
    assert result.ok().stdout.split() == ["Cpus_allowed_list:", cpus]


@pytest.mark.lxcri_only("runc 1.1 does not know execCPUAffinity")
@pytest.mark.parametrize(("cpus", "text"), [("x", "is not a list"), ("8000", "invalid argument")])
def test_cpu_affinity_that_cannot_be(container: Container, cpus: str, text: str) -> None:
    """Not a list, and a CPU that is not there."""
    result = by_file(container, args=["/bin/true"], execCPUAffinity={"initial": cpus})
    result.refused(text, where="process.execCPUAffinity.initial", status=255)
