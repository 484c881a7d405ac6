"""config.json's process: args, env, cwd, stdio, signals, exit status."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from oci.bundle import Bundle


def test_args_are_passed_verbatim(bundle: Bundle) -> None:
    """Blanks, quotes, newlines, empty and non-ASCII arguments arrive as they are."""
    args = ["/bin/cat", "/proc/self/cmdline", "", "two words", 'it\'s "quoted"', "$HOME *\n", "ünïcode", "-"]
    assert bundle.run(*args).stdout.split("\0")[:-1] == args


def test_args_0_is_the_process_own_name(bundle: Bundle) -> None:
    """args[0] is looked up in PATH, and stays argv[0] as it is written."""
    assert bundle.run("cat", "/proc/self/cmdline").ok().stdout == "cat\0/proc/self/cmdline\0"


def test_env_is_exactly_the_configured_one(bundle: Bundle) -> None:
    """Nothing of the caller's environment, of the runtime or of liblxc is in it; the order is kept."""
    bundle.process["env"] = ["PATH=/bin", "B=2", "A=1 with = and ' \"", "EMPTY=", "UNI=ü", "HOME=/nowhere"]
    out = bundle.run("cat", "/proc/self/environ", env={"PATH": "/bin", "LEAK": "1"}).ok().stdout
    assert out.split("\0")[:-1] == bundle.process["env"]


def test_env_duplicates_are_resolved_to_the_last(bundle: Bundle) -> None:
    """seed: cleanenv: a variable that is set twice has its last value, once."""
    bundle.process["env"] = ["PATH=/bin", "A=1", "HOME=/", "A=2", "B=1", "A=3"]
    environ = bundle.run("cat", "/proc/self/environ").ok().stdout.split("\0")[:-1]
    assert [entry for entry in environ if entry.startswith("A=")] == ["A=3"]
    assert "B=1" in environ


def test_env_without_home_gets_it_from_the_containers_passwd(bundle: Bundle) -> None:
    """HOME, if unset, is the user's directory in the container's /etc/passwd."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    assert "HOME=/home" in bundle.run("cat", "/proc/self/environ").ok().stdout.split("\0")


def test_empty_home_is_an_unset_one(bundle: Bundle) -> None:
    """There is one HOME in the environment, not an empty one before it."""
    bundle.process["env"] = ["HOME=", "PATH=/bin"]
    environ = bundle.run("cat", "/proc/self/environ").ok().stdout.split("\0")
    assert [entry for entry in environ if entry.startswith("HOME=")] == ["HOME=/root"]


def test_env_is_empty_when_not_configured(bundle: Bundle) -> None:
    """No env at all: only HOME is made up."""
    del bundle.process["env"]
    environ = bundle.run("/bin/cat", "/proc/self/environ").ok().stdout.split("\0")[:-1]
    assert [entry for entry in environ if not entry.startswith("HOME=")] == []


def test_cwd_is_entered(bundle: Bundle) -> None:
    """process.cwd."""
    bundle.process["cwd"] = "/usr"
    assert bundle.run("/bin/pwd").ok().stdout == "/usr\n"


def test_cwd_is_entered_in_a_mount(bundle: Bundle) -> None:
    """cwd is resolved after the mounts are made."""
    source = bundle.directory("volume")
    os.mkdir(os.path.join(source, "deep"))
    bundle.bind(source, "/volume")
    bundle.process["cwd"] = "/volume/deep"
    assert bundle.run("/bin/pwd").ok().stdout == "/volume/deep\n"


def test_cwd_that_only_the_user_may_enter(bundle: Bundle) -> None:
    """chdir happens with the user's rights too, when root's are not enough, as on a root-squashed volume."""
    os.mkdir(os.path.join(bundle.rootfs, "private"), 0o700)
    os.chown(os.path.join(bundle.rootfs, "private"), 1000, 1000)
    bundle.process["cwd"] = "/private"
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = {}
    assert bundle.run("/bin/pwd").ok().stdout == "/private\n"


def test_cwd_that_is_missing_is_made(bundle: Bundle) -> None:
    """runc makes it, and images without their WORKDIR rely on it."""
    bundle.process["cwd"] = "/made/deep"
    assert bundle.run("/bin/pwd").ok().stdout == "/made/deep\n"


def test_cwd_must_be_absolute(bundle: Bundle) -> None:
    """process.cwd MUST be an absolute path."""
    bundle.process["cwd"] = "tmp"
    bundle.run().refused("wd must be an absolute path", where="process.cwd")


def test_cwd_that_is_a_file_is_an_error(bundle: Bundle) -> None:
    """The message has the directory and the reason."""
    bundle.process["cwd"] = "/bin/busybox"
    bundle.run().refused("/bin/busybox", "not a directory")


@pytest.mark.parametrize("code", [0, 1, 7, 42, 125, 126, 127, 128, 137, 254, 255])
def test_exit_code_is_the_process_own(bundle: Bundle, code: int) -> None:
    """``run`` returns it."""
    assert bundle.run("/bin/sh", "-c", f"exit {code}").returncode == code


def test_exit_code_is_seen_by_the_engine(bundle: Bundle) -> None:
    """The caller of ``create``, as a subreaper, gets the container's own status from wait."""
    assert bundle.shell("exit 7").up().wait() == 7


def test_death_by_signal_is_seen_by_the_engine(bundle: Bundle) -> None:
    """No process stands between the container and the engine."""
    container = bundle.container("/bin/sleep", "100").up()
    os.kill(container.pid, signal.SIGKILL)
    assert container.wait() == -signal.SIGKILL


def test_pid_is_the_containers_own(bundle: Bundle) -> None:
    """The pid file names the process that runs args: init of its pid namespace, child of the engine."""
    container = bundle.container("/bin/sleep", "100").up()
    assert container.proc("comm") == "sleep\n"
    fields = dict(line.split(":\t", 1) for line in container.proc("status").splitlines())
    assert fields["PPid"] == str(os.getpid())
    assert fields["NSpid"].split() == [str(container.pid), "1"]


def test_signals_have_their_default_disposition(bundle: Bundle) -> None:
    """What Python ignores (SIGPIPE, SIGXFSZ) is not ignored in the container."""
    out = bundle.run("/bin/grep", "^Sig[BI]", "/proc/self/status").ok().stdout
    assert out.split() == ["SigBlk:", "0" * 16, "SigIgn:", "0" * 16]


@pytest.mark.runc_differs("passes its caller's blocked signals on")
def test_signals_blocked_by_the_caller_are_unblocked(bundle: Bundle) -> None:
    """An engine that blocks signals around fork does not stop the container from getting them."""
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR2, signal.SIGCHLD])
    try:
        out = bundle.run("/bin/grep", "^SigBlk", "/proc/self/status").ok().stdout
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    assert out.split() == ["SigBlk:", "0" * 16]


def test_process_leads_its_own_session(bundle: Bundle) -> None:
    """setsid: a terminal's ^C for the engine is not the container's."""
    container = bundle.container("/bin/sleep", "100").up()
    assert os.getsid(container.pid) == container.pid
    assert os.getpgid(container.pid) == container.pid


def test_stdio_is_the_callers(bundle: Bundle) -> None:
    """``create`` hands its own stdin, stdout and stderr to the container, not copies of what flows there."""
    with open(bundle.file("in", "typed\n")) as stdin:
        container = bundle.shell("read line; echo out-$line; echo err-$line >&2")
        container.create(stdin=stdin)
        container.start()
        assert container.wait() == 0
    assert container.output() == "out-typed\n"
    assert container.errors() == "err-typed\n"


def test_stdio_keeps_its_files(bundle: Bundle) -> None:
    """fds 0 to 2 are the very files of the caller: same inode and mode as before."""
    path = bundle.file("out", mode=0o640)
    with open(path, "w") as stdout, open(os.devnull) as stdin:
        container = bundle.container("/bin/sleep", "100")
        container.create(stdin=stdin, stdout=stdout)
        container.start()
        status, expected = os.stat(f"/proc/{container.pid}/fd/1"), os.stat(path)
        assert (status.st_dev, status.st_ino) == (expected.st_dev, expected.st_ino)
        assert expected.st_mode & 0o777 == 0o640
        assert os.stat(f"/proc/{container.pid}/fd/0").st_rdev == os.stat("/dev/null").st_rdev


def test_run_passes_stdio_through(bundle: Bundle) -> None:
    """The foreground ``run`` too."""
    with open(bundle.file("in", "typed\n")) as stdin:
        result = bundle.run("/bin/sh", "-c", "cat; echo err >&2", stdin=stdin).ok()
    assert (result.stdout, result.stderr) == ("typed\n", "err\n")


def test_no_other_descriptors_reach_the_process(bundle: Bundle) -> None:
    """Inheritable descriptors of the caller, and those of the runtime, end before the container's process."""
    with open(os.devnull) as leak:
        descriptor = os.dup2(leak.fileno(), 77)
        try:
            container = bundle.container("/bin/sleep", "100")
            container.create(pass_fds=[descriptor])
        finally:
            os.close(descriptor)
    container.start()
    assert sorted(os.listdir(f"/proc/{container.pid}/fd"), key=int) == ["0", "1", "2"]


def test_preserve_fds_passes_the_first_ones(bundle: Bundle) -> None:
    """--preserve-fds N: descriptors 3 to 3+N-1 arrive under their numbers, and no further one."""
    content = bundle.file("content", "kept\n")
    container = bundle.container("/bin/sleep", "100")
    container.create(
        "--preserve-fds", "2",
        wrapper=("/bin/sh", "-c", 'exec 3<"$0" 4<"$0" 5<"$0"; exec "$@"', content),
    )  # fmt: skip
    container.start()
    assert sorted(os.listdir(f"/proc/{container.pid}/fd"), key=int) == ["0", "1", "2", "3", "4"]
    assert os.path.samefile(f"/proc/{container.pid}/fd/4", content)


@pytest.mark.runc_differs("takes descriptors of its own for the caller's")
def test_preserve_fds_beyond_what_is_open(bundle: Bundle) -> None:
    """More descriptors are asked for than there are: refused, nothing is guessed."""
    container = bundle.container("/bin/sleep", "100")
    container.attempt_create("--preserve-fds", "3", stderr=None, stdout=None).refused(where="3")


def test_executable_is_looked_up_in_the_containers_path(bundle: Bundle) -> None:
    """PATH of process.env, in the container's root."""
    bundle.process["env"] = ["PATH=/nowhere:/usr/own:/bin"]
    os.mkdir(os.path.join(bundle.rootfs, "usr/own"))
    script = os.path.join(bundle.rootfs, "usr/own/tool")
    with open(script, "w") as file:
        file.write("#!/bin/sh\necho found $0\n")
    os.chmod(script, 0o755)
    assert bundle.run("tool").ok().stdout == "found /usr/own/tool\n"


def test_executable_that_is_not_in_path(bundle: Bundle) -> None:
    """Engines tell 127 by this text, which is runc's."""
    bundle.run("no-such-tool").refused('exec: "no-such-tool": executable file not found in $PATH')


def test_executable_that_is_missing(bundle: Bundle) -> None:
    """Engines tell 127 by this text: lower case."""
    bundle.run("/no/such/tool").refused('exec: "/no/such/tool": stat /no/such/tool: no such file or directory')


def test_executable_without_execute_permission(bundle: Bundle) -> None:
    """Engines tell 126 by this text: lower case."""
    bundle.run("/etc/passwd").refused('exec: "/etc/passwd": permission denied')


def test_executable_that_is_a_directory(bundle: Bundle) -> None:
    """As a shell says it."""
    error = bundle.run("/etc").refused('exec: "/etc": ')
    assert "is a directory" in error or "permission denied" in error


def test_executable_of_unknown_format_fails_start(bundle: Bundle) -> None:
    """``start`` reports what execve says, and the container is stopped then."""
    path = os.path.join(bundle.rootfs, "bin/garbage")
    with open(path, "w") as file:
        file.write("\x7fNOT")
    os.chmod(path, 0o755)
    assert "exec format error" in bundle.run("/bin/garbage").stderr


def test_missing_executable_fails_create(bundle: Bundle) -> None:
    """Not ``start``: the engine learns it while it can still say so, and nothing is left."""
    container = bundle.container("/no/such/tool")
    assert container.attempt_create().returncode == 1
    assert "no such file or directory" in container.errors()
    assert container.runtime.containers() == []


def test_args_must_not_be_empty(bundle: Bundle) -> None:
    """process.args: at least one entry."""
    bundle.process["args"] = []
    bundle.run().refused("args", where="process.args")
