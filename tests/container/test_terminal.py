"""process.terminal: --console-socket of create, and run on a terminal."""

from __future__ import annotations

import os
import stat
import termios
from typing import TYPE_CHECKING

import pytest
from oci import process
from oci.console import ConsoleSocket, run_on_terminal, started

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.bundle import Bundle


@pytest.fixture
def tty_bundle(bundle: Bundle) -> Bundle:
    """process.terminal is true."""
    bundle.process["terminal"] = True
    bundle.process["env"].append("TERM=xterm")
    return bundle


@pytest.fixture
def server(bundle: Bundle) -> Iterator[ConsoleSocket]:
    """A console socket."""
    with ConsoleSocket(os.path.join(bundle.path, "console.sock")) as server:
        yield server


def test_master_is_sent(tty_bundle: Bundle, server: ConsoleSocket) -> None:
    """What is typed there is read in the container, and its output comes back."""
    container = tty_bundle.shell("read line; echo got-$line")
    with started(container, server) as terminal:
        terminal.write("typed\n")
        assert "got-typed\r\n" in terminal.read_to_end()
        container.wait()


def test_all_three_are_the_terminal(tty_bundle: Bundle, server: ConsoleSocket) -> None:
    """stdin, stdout and stderr, with a name in the container's own devpts."""
    container = tty_bundle.shell("tty; test -t 0 && test -t 1 && test -t 2 && echo all; ls /dev/pts")
    with started(container, server) as terminal:
        out = terminal.read_to_end()
        container.wait()
    assert "/dev/pts/0\r\n" in out
    assert "all\r\n" in out
    assert "0" in out.split("all\r\n")[1].split()


@pytest.mark.parametrize("uid", [0, 1000])
def test_read_only_devpts(tty_bundle: Bundle, server: ConsoleSocket, uid: int) -> None:
    """A terminal in it cannot be given to the user, and is used all the same."""
    (devpts,) = [mount for mount in tty_bundle.config["mounts"] if mount["type"] == "devpts"]
    devpts["options"].append("ro")
    tty_bundle.process["user"] = {"uid": uid, "gid": uid}
    container = tty_bundle.shell("read line; echo got-$line")
    with started(container, server) as terminal:
        terminal.write("typed\n")
        assert "got-typed\r\n" in terminal.read_to_end()
        container.wait()


def test_terminal_is_controlling(tty_bundle: Bundle, server: ConsoleSocket) -> None:
    """/dev/tty can be opened, ^C is SIGINT for the foreground process group."""
    container = tty_bundle.shell("trap 'echo interrupted; exit 3' INT; echo up >/dev/tty; while :; do sleep 1; done")
    with started(container, server) as terminal:
        terminal.read_until("up")
        terminal.write("\x03")
        terminal.read_until("interrupted")
        assert container.wait() == 3


def test_dev_console(tty_bundle: Bundle, server: ConsoleSocket) -> None:
    """/dev/console is the terminal, with runc's mode; a program may write to it."""
    container = tty_bundle.shell("echo to-console >/dev/console; ls -l /dev/console; sleep 100")
    with started(container, server) as terminal:
        terminal.read_until("to-console")
        terminal.read_until("/dev/console")
        assert stat.S_ISCHR(os.stat(container.path("/dev/console")).st_mode)
        container.kill("KILL").ok()
        container.wait()


def test_no_dev_console_without_a_terminal(bundle: Bundle) -> None:
    """There is nothing that it could be."""
    assert bundle.run("/bin/sh", "-c", "test -e /dev/console").returncode == 1


def test_console_size(tty_bundle: Bundle, server: ConsoleSocket) -> None:
    """process.consoleSize is there before the process reads it."""
    tty_bundle.process["consoleSize"] = {"height": 33, "width": 111}
    container = tty_bundle.container("/bin/stty", "size")
    with started(container, server) as terminal:
        assert "33 111\r\n" in terminal.read_to_end()
        container.wait()


def test_resize(tty_bundle: Bundle, server: ConsoleSocket) -> None:
    """The engine sets the size on the master; the process gets SIGWINCH."""
    container = tty_bundle.shell("trap 'stty size; exit' WINCH; echo up; while :; do sleep 0.1; done")
    with started(container, server) as terminal:
        terminal.read_until("up")
        terminal.size = (40, 132)
        terminal.read_until("40 132")
        container.wait()


def test_terminal_belongs_to_the_user(tty_bundle: Bundle, server: ConsoleSocket) -> None:
    """A user that is not root can open its own terminal by name."""
    tty_bundle.process["user"] = {"uid": 1000, "gid": 1000}
    container = tty_bundle.shell("echo named >$(tty); stat -c '%u' $(tty)")
    with started(container, server) as terminal:
        out = terminal.read_to_end()
        container.wait()
    assert "named" in out
    assert "1000\r\n" in out


def test_terminal_in_a_user_namespace(tty_bundle: Bundle, server: ConsoleSocket) -> None:
    """The pty is of the container's devpts, so it belongs to the mapped root."""
    tty_bundle.user_namespace()
    os.chmod(tty_bundle.path, 0o755)
    container = tty_bundle.shell("echo named >$(tty); stat -c '%u' $(tty)")
    with started(container, server) as terminal:
        out = terminal.read_to_end()
        container.wait()
    assert "named" in out
    assert "0\r\n" in out


def test_hang_up(tty_bundle: Bundle, server: ConsoleSocket) -> None:
    """The engine closes the master: the process gets SIGHUP, or reads the end."""
    container = tty_bundle.container("/bin/cat")
    with started(container, server):
        pass
    container.wait()


def test_create_without_console_socket_is_refused(tty_bundle: Bundle) -> None:
    """terminal true: somebody must take the master."""
    container = tty_bundle.container("/bin/true")
    container.attempt_create().refused(
        "cannot allocate tty if runc will detach without setting console socket"
        if tty_bundle.runtime.name == "runc"
        else "console-socket"
    )


def test_detached_run_without_console_socket_is_refused(tty_bundle: Bundle) -> None:
    """The same for run --detach."""
    tty_bundle.run("/bin/true", options=["--detach"]).refused("console", where="console-socket")


def test_console_socket_without_terminal_is_refused(bundle: Bundle, server: ConsoleSocket) -> None:
    """The other way round."""
    bundle.container("/bin/true").attempt_create("--console-socket", server.path).refused(where="process.terminal")


def test_missing_console_socket_is_an_error(tty_bundle: Bundle) -> None:
    """Nobody listens."""
    tty_bundle.container("/bin/true").attempt_create("--console-socket", "/no/such/socket").refused(
        "/no/such/socket", "no such file or directory"
    )


def test_run_on_a_terminal(tty_bundle: Bundle) -> None:
    """What a person sees: the container's terminal on the own one."""
    container = tty_bundle.shell("tty; read line; echo got-$line; exit 6")
    with run_on_terminal(container) as command:
        command.terminal.read_until("/dev/pts/0")
        command.terminal.write("typed\n")
        command.terminal.read_until("got-typed")
        assert command.wait() == 6


def test_run_restores_the_terminal(tty_bundle: Bundle) -> None:
    """Raw while it runs, as before afterwards."""
    container = tty_bundle.shell("echo up; read line")
    with run_on_terminal(container) as command:
        command.terminal.read_until("up")
        process.wait_for(lambda: not termios.tcgetattr(command.slave)[3] & (termios.ICANON | termios.ECHO), "raw mode")
        command.terminal.write("x\n")
        assert command.wait() == 0
        assert termios.tcgetattr(command.slave) == command.attributes


def test_run_restores_the_terminal_after_a_failure(tty_bundle: Bundle) -> None:
    """A container that cannot start."""
    container = tty_bundle.container("/no/such/program")
    with run_on_terminal(container) as command:
        assert command.wait() == 1
        command.terminal.read_until("no such file or directory")
        assert termios.tcgetattr(command.slave) == command.attributes


def test_run_restores_the_terminal_when_the_container_is_killed(tty_bundle: Bundle) -> None:
    """Death by signal."""
    container = tty_bundle.shell("echo up; exec sleep 100")
    with run_on_terminal(container) as command:
        command.terminal.read_until("up")
        container.kill("KILL").ok()
        assert command.wait() == 137
        assert termios.tcgetattr(command.slave) == command.attributes


def test_run_passes_the_size_on(tty_bundle: Bundle) -> None:
    """At the start, and when the window changes."""
    container = tty_bundle.shell("stty size; trap 'stty size; exit' WINCH; echo up; while :; do sleep 0.1; done")
    with run_on_terminal(container, size=(30, 100)) as command:
        command.terminal.read_until("30 100")
        command.terminal.read_until("up")
        command.terminal.size = (40, 120)
        command.terminal.read_until("40 120")
        assert command.wait() == 0


def test_run_passes_interrupts_on(tty_bundle: Bundle) -> None:
    """^C goes to the process in the container, not to the runtime."""
    container = tty_bundle.shell("trap 'echo interrupted; exit 3' INT; echo up; while :; do sleep 0.1; done")
    with run_on_terminal(container) as command:
        command.terminal.read_until("up")
        command.terminal.write("\x03")
        command.terminal.read_until("interrupted")
        assert command.wait() == 3


def test_run_shows_all_output(tty_bundle: Bundle) -> None:
    """What is written just before the end is not lost."""
    container = tty_bundle.shell("seq 5000; echo last")
    with run_on_terminal(container) as command:
        text = command.terminal.read_until("last")
        assert "5000\r\n" in text
        assert "2500\r\n" in text
        assert command.wait() == 0


def test_run_with_terminal_but_without_a_tty_is_refused(tty_bundle: Bundle) -> None:
    """stdin is /dev/null: there is nothing to be raw."""
    result = tty_bundle.run("/bin/true")
    assert result.returncode != 0


def test_run_without_terminal_on_a_tty(bundle: Bundle) -> None:
    """terminal false: the person's terminal is the container's stdio as it is."""
    container = bundle.shell("test -t 0 && echo a-tty; exit 2")
    with run_on_terminal(container) as command:
        assert command.wait() == 2
