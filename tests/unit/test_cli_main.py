"""The program around the parsers: exit status, the one line, the log, and hostile circumstances."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

import lxcri
from lxcri import __main__ as program
from lxcri.context import Context, state_root
from lxcri.errors import Error

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PACKAGES = os.path.dirname(os.path.dirname(os.path.abspath(lxcri.__file__)))
START = f"import sys; sys.path.insert(0, {PACKAGES!r}); from lxcri.__main__ import main; main()"


def lxcri_process(*words: str, **how: Any) -> subprocess.CompletedProcess[str]:
    """Run the program as its entry does: isolated and without site, with an empty environment."""
    how.setdefault("env", {})
    return subprocess.run(
        [sys.executable, "-IS", "-c", START, *words],
        check=False, capture_output=True, text=True, timeout=60, **how,
    )  # fmt: skip


@pytest.fixture
def verb(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], None]:
    """Puts a function in the place of the verb `state`."""

    def install(run: Any) -> None:
        module = ModuleType("lxcri.verbs.state")
        monkeypatch.setattr(module, "run", run, raising=False)
        monkeypatch.setitem(sys.modules, "lxcri.verbs.state", module)

    return install


def raising(e: BaseException) -> Any:
    """A verb that fails so."""

    def run(ctx: Context, *, id: str) -> int:
        raise e

    return run


def test_the_status_of_the_verb_is_the_exit_status(verb: Any) -> None:
    def run(ctx: Context, *, id: str) -> int:
        return 37 if (ctx.verb, id) == ("state", "c1") else 1

    verb(run)
    assert program.run(["state", "c1"]) == 37


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (Error('mounts[0] "/data": no'), 'lxcri: state: mounts[0] "/data": no'),
        (
            FileNotFoundError(2, "No such file or directory", "/x"),
            "lxcri: state: /x: no such file or directory",
        ),
        (OSError(28, "No space left on device"), "lxcri: state: no space left on device"),
        (TypeError("bad thing"), "lxcri: state: internal error: TypeError: bad thing"),
        (Error("two\nlines"), "lxcri: state: two\\nlines"),
    ],
)
def test_a_failure_is_one_line_and_status_1(
    verb: Any, capfd: pytest.CaptureFixture[str], failure: Exception, line: str
) -> None:
    verb(raising(failure))
    assert program.run(["state", "c1"]) == 1
    assert capfd.readouterr() == ("", f"{line}\n")


def test_a_traceback_is_shown_with_debug_only(verb: Any, capfd: pytest.CaptureFixture[str]) -> None:
    verb(raising(Error("no")))
    assert program.run(["--debug", "state", "c1"]) == 1
    err = capfd.readouterr().err
    assert "Traceback" in err
    assert err.endswith("lxcri: state: no\n")


def test_the_log_gets_the_same_text(verb: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    verb(raising(Error("no")))
    log = tmp_path / "log.json"
    assert program.run(["--log", str(log), "--log-format=json", "state", "c1"]) == 1
    record = json.loads(log.read_text(encoding="utf-8"))
    assert record["level"] == "error"
    assert f"{record['msg']}\n" == capfd.readouterr().err == "lxcri: state: no\n"


def test_a_usage_error_is_logged_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "log.json"
    assert program.run(["--log", str(log), "--log-format=json", "state", "--nope", "c1"]) == 1
    record = json.loads(log.read_text(encoding="utf-8"))
    assert f"{record['msg']}\n" == capfd.readouterr().err
    assert record["msg"].startswith("lxcri: state: no such option")


def test_a_log_that_cannot_be_opened_is_an_error(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "missing" / "log"
    assert program.run(["--log", str(path), "state", "c1"]) == 1
    assert capfd.readouterr().err == f"lxcri: state: log {path}: no such file or directory\n"


def test_a_refused_command_gives_its_reason(capfd: pytest.CaptureFixture[str]) -> None:
    assert program.run(["checkpoint", "--image-path", "/x", "c1"]) == 1
    assert capfd.readouterr().err.startswith("lxcri: checkpoint: checkpoint and restore are not supported")


def test_an_interrupted_command_exits_as_if_killed_by_sigint(verb: Any, capfd: pytest.CaptureFixture[str]) -> None:
    verb(raising(KeyboardInterrupt()))
    assert program.run(["state", "c1"]) == 130
    assert capfd.readouterr().err == ""


def test_a_reader_that_left_is_no_message() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    result = subprocess.run(
        [sys.executable, "-IS", "-c", START, "list"],
        check=False, stdout=writing, stderr=subprocess.PIPE, text=True, env={}, timeout=60,
    )  # fmt: skip
    os.close(writing)
    assert (result.returncode, result.stderr) == (1, "")


def test_output_that_cannot_be_written_is_an_error() -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        result = subprocess.run(
            [sys.executable, "-IS", "-c", START, "list"],
            check=False, stdout=full, stderr=subprocess.PIPE, text=True, env={}, timeout=60,
        )  # fmt: skip
    assert result.returncode == 1
    assert result.stderr == "lxcri: list: standard output: no space left on device\n"


def test_it_works_with_an_empty_environment(tmp_path: Path) -> None:
    result = lxcri_process("--root", str(tmp_path / "none"), "state", "c1")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == 'lxcri: state: container "c1" does not exist\n'


@pytest.mark.parametrize("closed", [(0,), (1,), (2,), (0, 1, 2)])
def test_closed_standard_descriptors_do_no_harm(closed: tuple[int, ...], tmp_path: Path) -> None:
    """A log opened as descriptor 1 would get the output, one opened as 2 the errors."""
    log = tmp_path / "log"
    redirections = " ".join(f"{fd}>&-" for fd in closed)
    command = [sys.executable, "-IS", "-c", START, "--root", str(tmp_path / "none"), "--log", str(log)]
    listing, state = (
        subprocess.run(["sh", "-c", f'"$@" {redirections}', "sh", *command, *words], check=False, timeout=60)
        for words in (["list"], ["state", "c1"])
    )
    assert (listing.returncode, state.returncode) == (0, 1)
    lines = log.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1
    assert "level=error" in lines[0]


def test_a_locale_does_not_change_the_output(tmp_path: Path) -> None:
    result = lxcri_process("--root", str(tmp_path / "é"), "state", "é", env={"LC_ALL": "C"})
    assert result.stderr.startswith('lxcri: state: invalid container id "é"')


@pytest.mark.parametrize(
    ("given", "variable", "uid", "expected"),
    [
        (None, None, 0, "/run/lxcri"),
        (None, b"/run/user/0", 0, "/run/lxcri"),
        (None, b"/run/user/7", 7, "/run/user/7/lxcri"),
        (None, b"", 7, "/tmp/lxcri-7"),
        (None, None, 7, "/tmp/lxcri-7"),
        ("/x", b"/run/user/7", 7, "/x"),
        ("x", None, 0, f"{os.getcwd()}/x"),
    ],
)
def test_state_root(
    given: str | None, variable: bytes | None, uid: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import posix

    environment = {b"USER": b"root"} if variable is None else {b"USER": b"root", b"XDG_RUNTIME_DIR": variable}
    monkeypatch.setattr(posix, "environ", environment)
    monkeypatch.setattr(posix, "geteuid", lambda: uid)
    assert state_root(given) == expected


@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["exec"], 1),  # a wrong command line is one of any verb, as of runc
        (["exec", "--nope", "c1", "true"], 1),
        (["exec", "--preserve-fds=x", "c1", "true"], 1),
        (["--log=/nonexistent/log", "exec", "c1", "true"], 255),
        (["--root=/nonexistent", "exec", "c1", "true"], 255),
    ],
)
def test_exec_that_runs_nothing_fails_with_255(words: list[str], status: int) -> None:
    assert program.run(words) == status
    assert program.run([word if word != "exec" else "ps" for word in words]) == 1
