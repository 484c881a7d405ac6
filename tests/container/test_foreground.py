"""`run` in the foreground, with others around that do not behave."""

from __future__ import annotations

import os
import signal
import subprocess
import termios
import time
from typing import TYPE_CHECKING

import pytest
from oci import process
from oci.console import run_on_terminal

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.bundle import Bundle

PATIENCE = 5.0  # seconds, after which it hangs


@pytest.fixture
def tty_bundle(bundle: Bundle) -> Bundle:
    """A bundle whose process has a terminal."""
    bundle.process["terminal"] = True
    return bundle


@pytest.fixture
def hook_mark(bundle: Bundle) -> Iterator[str]:
    """A file that a hook makes before it waits until the file is removed."""
    mark = os.path.join(bundle.path, "hook-runs")
    script = f"touch {mark}; while test -e {mark}; do sleep 0.01; done"
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    yield mark
    if os.path.exists(mark):
        os.unlink(mark)


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1"])
def test_signal_before_the_container_runs(bundle: Bundle, hook_mark: str, name: str) -> None:
    """It is for the container, as one that comes a moment later."""
    container = bundle.shell(f"trap 'exit 9' {name}; echo up; while :; do sleep 0.01; done")
    bundle.write()
    command = container.runtime.spawn("run", "--bundle", bundle.path, container.id, stdout=subprocess.DEVNULL)
    process.wait_for(lambda: os.path.exists(hook_mark), "the hook")
    command.send_signal(signal.Signals[f"SIG{name}"])
    time.sleep(0.1)
    assert command.poll() is None
    os.unlink(hook_mark)
    # To init of a pid namespace without a handler yet it means nothing; with one it ends it.
    try:
        assert command.wait(1) == 9
    except subprocess.TimeoutExpired:
        command.send_signal(signal.Signals[f"SIG{name}"])
        assert command.wait(PATIENCE) == 9


def test_container_deleted_meanwhile(bundle: Bundle) -> None:
    """run still returns the container's status, and has nothing to say."""
    container = bundle.container("/bin/sleep", "100")
    bundle.write()
    command = container.runtime.spawn("run", "--bundle", bundle.path, container.id, stderr=subprocess.PIPE)
    process.wait_for(
        lambda: (
            container.id in bundle.runtime.containers()
            and '"running"' in bundle.runtime.call("state", container.id).stdout
        ),
        "the container",
    )
    container.delete("--force").ok()
    _, errors = command.communicate(timeout=PATIENCE)
    assert command.returncode == 137
    if bundle.runtime.is_lxcri:
        assert errors == b""


@pytest.mark.lxcri_only("runc waits for the last of them")
def test_processes_that_outlive_init_and_go_on_writing(tty_bundle: Bundle) -> None:
    """They can keep the terminal, but not the caller."""
    tty_bundle.without_namespace("pid")
    container = tty_bundle.shell("trap '' HUP; (while :; do echo y; done) & sleep 0.2; exit 5")
    with run_on_terminal(container) as command:
        deadline = time.monotonic() + PATIENCE
        while process_runs(command.pid) and time.monotonic() < deadline:
            command.terminal.read_some()
        assert command.wait(PATIENCE) == 5


def process_runs(pid: int) -> bool:
    """Whether it has not ended, reaped or not."""
    return not process.ended(pid, 0)


def test_input_that_nobody_reads(tty_bundle: Bundle) -> None:
    """More of it than a terminal holds keeps neither output nor signals from their ways."""
    container = tty_bundle.shell("stty raw -echo; trap 'echo bye; exit 3' TERM; echo up; while :; do sleep 0.01; done")
    with run_on_terminal(container) as command:
        command.terminal.read_until("up")
        os.set_blocking(command.terminal.master, False)
        deadline = time.monotonic() + 1
        while time.monotonic() < deadline:
            try:
                os.write(command.terminal.master, b"x" * 4096)
            except BlockingIOError:
                time.sleep(0.01)
        os.kill(command.pid, signal.SIGTERM)
        command.terminal.read_until("bye", PATIENCE)
        assert command.wait(PATIENCE) == 3


def test_output_that_nobody_reads(tty_bundle: Bundle) -> None:
    """A reader that leaves does not end the container."""
    mark = os.path.join(tty_bundle.directory("shared"), "mark")
    tty_bundle.bind(os.path.dirname(mark), "/srv")
    container = tty_bundle.shell("echo one; sleep 0.3; echo two; sleep 0.1; echo three; touch /srv/mark; exit 4")
    reader, writer = os.pipe()
    with run_on_terminal(container, stdout=writer) as command:
        os.close(writer)
        assert os.read(reader, 100).startswith(b"one")
        os.close(reader)
        assert command.wait(PATIENCE) == 4
    assert os.path.exists(mark)


@pytest.mark.parametrize("name", ["TERM", "HUP", "QUIT"])
def test_terminal_restored_after_a_signal(tty_bundle: Bundle, name: str) -> None:
    """Whichever the container ends by."""
    container = tty_bundle.shell(f"trap 'exit 6' {name}; echo up; while :; do sleep 0.01; done")
    with run_on_terminal(container) as command:
        command.terminal.read_until("up")
        os.kill(command.pid, signal.Signals[f"SIG{name}"])
        assert command.wait(PATIENCE) == 6
        assert termios.tcgetattr(command.slave) == command.attributes
