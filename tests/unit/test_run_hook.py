"""Running a hook of the runtime's namespaces, and those that a container keeps for later verbs."""

from __future__ import annotations

import json
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from lxcri.context import Context
from lxcri.errors import Error
from lxcri.hooks import HOOKS_FILE, run_hook, run_poststart, run_poststop
from lxcri.log import Log
from lxcri.spec import Hook, Hooks, encode
from lxcri.state import Entry, State

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SUBJECT = 'hooks.prestart[0] "/bin/sh"'
STATE = b'{"ociVersion":"1.0.2","id":"c1","status":"creating","pid":7,"bundle":"/b"}'


def shell(text: str, *args: str, **properties: Any) -> Hook:
    return Hook("/bin/sh", args=["sh", "-c", text, *args], env=["PATH=/usr/bin:/bin"], **properties)


def run(hook: Hook, directory: Path, state: bytes = STATE) -> None:
    run_hook(SUBJECT, hook, state, str(directory))


def refusal(hook: Hook, directory: Path) -> str:
    with pytest.raises(Error) as error:
        run(hook, directory)
    return str(error.value)


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    """No descriptor, no child, and the same working directory."""
    before = os.listdir("/proc/self/fd"), os.getcwd()
    yield
    assert (os.listdir("/proc/self/fd"), os.getcwd()) == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


@pytest.mark.parametrize("state", [b"", STATE, b"x" * 300_000])
def test_state_on_standard_input(state: bytes, tmp_path: Path) -> None:
    """All of it, then the end: also when it is larger than a pipe holds, and is not read."""
    run(shell("cat >out; cat >>out"), tmp_path, state)
    assert (tmp_path / "out").read_bytes() == state
    run(shell(":"), tmp_path, state)


def test_arguments_are_passed_as_they_are(tmp_path: Path) -> None:
    """The first one is argv[0], not the path; without any it is the path."""
    run(Hook("/bin/sh", args=["other name", "-c", 'tr "\\0" "|" </proc/$$/cmdline >out', "a b", "", "ü"]), tmp_path)
    assert (tmp_path / "out").read_text() == """other name|-c|tr "\\0" "|" </proc/$$/cmdline >out|a b||ü|"""
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\ntr "\\0" "\\n" </proc/$$/cmdline >out\n')
    program.chmod(0o755)
    run(Hook(str(program)), tmp_path)
    assert (tmp_path / "out").read_text().splitlines() == ["/bin/sh", str(program)]


def test_environment_is_the_hooks_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """config.md: nothing of the runtime's."""
    monkeypatch.setenv("LEAKED", "1")
    run(Hook("/usr/bin/env", env=["A=1", "B=x=y", "C=", "A=2"]), tmp_path)
    run(Hook("/bin/sh", args=["sh", "-c", "cat /proc/$$/environ >out"], env=["A=1", "B=x=y", "C="]), tmp_path)
    assert (tmp_path / "out").read_bytes() == b"A=1\0B=x=y\0C=\0"


def test_working_directory(tmp_path: Path) -> None:
    run(shell("pwd -P >out"), tmp_path)
    assert (tmp_path / "out").read_text() == f"{tmp_path.resolve()}\n"


def test_signals_and_descriptors_are_as_at_the_start_of_a_program(tmp_path: Path) -> None:
    """Python ignores SIGPIPE; a caller may have blocked others. Only the three streams are open."""
    old = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    opened = os.open("/dev/null", os.O_RDONLY)
    try:
        run(shell("grep -E '^Sig(Blk|Ign)' /proc/self/status >out; ls /proc/self/fd >fds"), tmp_path)
    finally:
        os.close(opened)
        signal.pthread_sigmask(signal.SIG_SETMASK, old)
    of_the_c_library = 1 << 31 | 1 << 32  # which nobody can set
    masks = {int(line.split()[1], 16) & ~of_the_c_library for line in (tmp_path / "out").read_text().splitlines()}
    assert masks == {0}
    assert (tmp_path / "fds").read_text().split() == ["0", "1", "2", "3"]  # the last one is ls's own


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("exit 3", "exit status 3"),
        ("kill -9 $$", "killed by signal 9"),
        ("echo no luck; exit 1", "exit status 1: no luck"),
        ("echo out; echo err >&2; exit 1", "exit status 1: out err"),
        ("printf '\\n a\\n\\tb \\n'; exit 1", "exit status 1: a b"),  # in one line
        ("printf '\\377\\376x'; exit 1", "exit status 1: \ufffd\ufffdx"),
    ],
)
def test_failed_hook(text: str, problem: str, tmp_path: Path) -> None:
    """What it said is in the error."""
    assert refusal(shell(text), tmp_path) == f"{SUBJECT}: {problem}"


def test_only_the_beginning_of_the_output_is_shown(tmp_path: Path) -> None:
    text = refusal(shell("head -c 100000 /dev/zero | tr '\\0' x; exit 1"), tmp_path)
    assert text == f"{SUBJECT}: exit status 1: {'x' * 256}"


def test_output_of_a_good_hook_goes_nowhere(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """The runtime's own streams are the container's."""
    run(shell("echo out; echo err >&2"), tmp_path)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("/nonexistent/hook", "no such file or directory"),
        ("/tmp", "permission denied"),
        ("/proc/version", "permission denied"),
    ],
)
def test_hook_that_cannot_be_run(path: str, problem: str, tmp_path: Path) -> None:
    assert refusal(Hook(path), tmp_path) == f"{SUBJECT}: {problem}"


def test_bundle_that_is_gone(tmp_path: Path) -> None:
    assert refusal(shell(":"), tmp_path / "gone") == f"{SUBJECT}: no such file or directory"


def test_timeout(tmp_path: Path) -> None:
    """The hook is killed, not before its time, and reaped."""
    started = time.monotonic()
    hook = Hook("/bin/sleep", args=["sleep", "60"], timeout=1)
    assert refusal(hook, tmp_path) == f"{SUBJECT}: timed out after 1 seconds"
    assert time.monotonic() - started > 0.9


@pytest.mark.parametrize("timeout", [1, 2**31, 2**63, 2**64 - 1])
def test_timeout_that_is_not_reached(timeout: int, tmp_path: Path) -> None:
    """However long: poll(2) counts in 31 bits."""
    run(shell(":", timeout=timeout), tmp_path)


# ---- hooks of later verbs ----


@pytest.fixture
def entry(tmp_path: Path) -> Iterator[Entry]:
    with Entry.claim(str(tmp_path / "root"), "c1") as entry:
        yield entry


@pytest.fixture
def state(tmp_path: Path) -> State:
    return State(
        id="c1",
        oci_version="1.0.2",
        bundle=str(tmp_path),
        rootfs=str(tmp_path / "rootfs"),
        pid=os.getpid(),
        start_time=1,
        created="2026-01-02T03:04:05.000000006Z",
        owner="root",
    )


@pytest.fixture
def logged(tmp_path: Path) -> Iterator[Context]:
    """The context of a verb whose log is a file."""
    log = Log(str(tmp_path / "log"), "json", debug=False)
    yield Context("test", log=log)
    os.close(log._fd)


def test_poststart_hooks(entry: Entry, state: State, logged: Context, tmp_path: Path) -> None:
    """In their order, with the status running and the pid; the first that fails ends it."""
    hooks = Hooks(poststart=[shell("cat >one"), shell("exit 2"), shell("cat >three")], poststop=[shell("cat >four")])
    entry.write(HOOKS_FILE, encode(hooks))
    with pytest.raises(Error) as error:
        run_poststart(logged, entry, state)
    assert str(error.value) == 'hooks.poststart[1] "/bin/sh": exit status 2'
    text = (tmp_path / "one").read_text()
    assert '"status":"running"' in text
    assert f'"pid":{os.getpid()}' in text
    assert not (tmp_path / "three").exists()
    assert not (tmp_path / "four").exists()


def test_poststop_hooks(entry: Entry, state: State, logged: Context, tmp_path: Path) -> None:
    """All of them: failures are warnings in the log."""
    entry.write(HOOKS_FILE, encode(Hooks(poststop=[shell("exit 2"), shell("cat >two"), Hook("/nonexistent")])))
    run_poststop(logged, entry, state)
    assert '"status":"stopped"' in (tmp_path / "two").read_text()
    log = (tmp_path / "log").read_text()
    assert [line["msg"] for line in map(json.loads, log.splitlines())] == [
        'hooks.poststop[0] "/bin/sh": exit status 2',
        'hooks.poststop[2] "/nonexistent": no such file or directory',
    ]


def test_hooks_file_that_is_gone(entry: Entry, state: State, logged: Context, tmp_path: Path) -> None:
    with pytest.raises(Error) as error:
        run_poststart(logged, entry, state)
    assert str(error.value) == f"{entry.path}/hooks.json: missing"
    run_poststop(logged, entry, state)
    assert "hooks.json: missing" in (tmp_path / "log").read_text()
