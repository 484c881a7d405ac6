"""The verb run: in the foreground, and detached."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
from typing import TYPE_CHECKING

import pytest
from oci import process
from oci.runtime import contents

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.bundle import Bundle
    from oci.runtime import Container


@contextlib.contextmanager
def foreground(
    container: Container, *options: str, stdin: int = subprocess.DEVNULL
) -> Iterator[subprocess.Popen[bytes]]:
    """A foreground ``run`` whose process has said 'up'."""
    container.bundle.write()
    with tempfile.TemporaryFile() as out:
        command = container.runtime.spawn(
            "run", "--bundle", container.bundle.path, *options, container.id,
            stdin=stdin, stdout=out, stderr=out,
        )  # fmt: skip
        try:
            process.wait_for(lambda: b"up" in contents(out).encode(), f"output of {container.id}")
            yield command
        finally:
            command.kill()
            command.wait()


def test_exit_code(bundle: Bundle) -> None:
    """The process' own."""
    assert bundle.run("/bin/sh", "-c", "exit 42").returncode == 42


@pytest.mark.parametrize("name", ["KILL", "TERM", "SEGV"])
def test_death_by_signal(bundle: Bundle, name: str) -> None:
    """128 plus its number, as a shell says it."""
    bundle.without_namespace("pid")  # init of a pid namespace does not die of its own signals
    number = signal.Signals[f"SIG{name}"]
    assert bundle.run("/bin/sh", "-c", f"kill -{name} $$").returncode == 128 + number


def test_nothing_is_left(bundle: Bundle) -> None:
    """The container is deleted at its end."""
    bundle.run("/bin/false")
    assert bundle.runtime.containers() == []


def test_keep(bundle: Bundle) -> None:
    """--keep: it is stopped, not deleted."""
    container = bundle.container("/bin/true")
    bundle.write()
    bundle.runtime.call("run", "--keep", "--bundle", bundle.path, container.id).ok()
    assert container.status() == "stopped"
    container.delete().ok()


@pytest.mark.parametrize("name", ["TERM", "INT", "HUP", "USR1", "QUIT"])
def test_signals_are_forwarded(bundle: Bundle, name: str) -> None:
    """To the container's process, which decides what comes of them."""
    script = f"trap 'echo got; exit 9' {name}; echo up; while :; do sleep 100 & wait; done"
    with foreground(bundle.shell(script)) as command:
        command.send_signal(signal.Signals[f"SIG{name}"])
        assert command.wait(process.TIMEOUT) == 9


def test_container_outlives_no_killed_run(bundle: Bundle) -> None:
    """run itself killed: the container is still known, and can be deleted."""
    container = bundle.shell("echo up; exec sleep 100")
    with foreground(container, "--pid-file", container.pid_file) as command:
        command.kill()
        command.wait()
    with open(container.pid_file) as file:
        container.pid = int(file.read())
    container.delete("--force").ok()
    container.wait()


def test_orphans_of_the_container_do_not_hinder(bundle: Bundle) -> None:
    """Without a pid namespace: run ends with the process all the same, and kills them."""
    bundle.without_namespace("pid")
    assert bundle.run("/bin/sh", "-c", "(sleep 100 &) ; exit 5").returncode == 5


def test_killed_by_another_command(bundle: Bundle) -> None:
    """kill from beside: run returns 128 + 9 and deletes."""
    container = bundle.shell("echo up; exec sleep 100")
    with foreground(container) as command:
        assert container.status() == "running"
        container.kill("KILL").ok()
        assert command.wait(process.TIMEOUT) == 137
    assert bundle.runtime.containers() == []


@pytest.mark.parametrize("option", ["--detach", "-d"])
def test_detach(bundle: Bundle, option: str) -> None:
    """run returns when the process runs; its parent is the caller's subreaper."""
    container = bundle.shell("echo up; exec sleep 100").run_detached(detach=option)
    container.wait_output("up")
    assert container.status() == "running"
    fields = dict(line.split(":\t", 1) for line in container.proc("status").splitlines())
    assert fields["PPid"] == str(os.getpid())


def test_detached_exit_code_is_the_callers_to_see(bundle: Bundle) -> None:
    """As with create and start."""
    container = bundle.shell("exit 3").run_detached()
    assert container.wait() == 3
    assert container.status() == "stopped"


def test_pid_file(bundle: Bundle) -> None:
    """Of a foreground run."""
    container = bundle.shell("echo up; exec sleep 100")
    with foreground(container, "--pid-file", container.pid_file) as command:
        with open(container.pid_file) as file:
            assert int(file.read()) == container.state()["pid"]
        container.kill("KILL").ok()
        command.wait(process.TIMEOUT)


def test_stdin_is_passed(bundle: Bundle) -> None:
    """A pipe that is written to later."""
    read, write = os.pipe()
    container = bundle.shell("echo up; read line; exit $line")
    with foreground(container, stdin=read) as command:
        os.close(read)
        os.write(write, b"11\n")
        os.close(write)
        assert command.wait(process.TIMEOUT) == 11


def test_output_into_a_closed_pipe(bundle: Bundle) -> None:
    """The process learns it and ends by itself, and the runtime cleans up as ever."""
    runtime = bundle.runtime
    bundle.process["args"] = ["/bin/sh", "-c", "while echo line; do :; done"]
    bundle.write()
    read, write = os.pipe()
    os.close(read)
    command = runtime.spawn("run", "--bundle", bundle.path, runtime.new_id(), stdout=write, stderr=subprocess.DEVNULL)
    os.close(write)
    assert command.wait(process.TIMEOUT) == 0
    assert runtime.containers() == []


def test_failure_leaves_nothing(bundle: Bundle) -> None:
    """Neither the container nor its id."""
    bundle.run("/no/such/program").refused("no such file or directory")
    assert bundle.runtime.containers() == []


def test_taken_id(bundle: Bundle) -> None:
    """The other container is not touched."""
    first = bundle.container("/bin/sleep", "100").up()
    bundle.write()
    bundle.runtime.call("run", "--bundle", bundle.path, first.id).refused("already exists")
    assert first.status() == "running"


def test_no_subreaper(bundle: Bundle) -> None:
    """--no-subreaper is taken."""
    assert bundle.run("/bin/sh", "-c", "exit 4", options=["--no-subreaper"]).returncode == 4
