"""The way of the state, of descriptors and of `start` to the process that becomes the user's."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from oci import process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.bundle import Bundle
    from oci.runtime import Container

PATIENCE = 5.0  # seconds, after which it hangs


@pytest.mark.parametrize("kibibytes", [70, 300, 2000])
@pytest.mark.parametrize("kind", ["createRuntime", "createContainer", "startContainer", "poststart", "poststop"])
def test_state_of_any_size(bundle: Bundle, kind: str, kibibytes: int) -> None:
    """Annotations larger than any packet between processes."""
    bundle.config["annotations"] = {"large": "x" * (kibibytes << 10)}
    shared = bundle.directory("shared")
    bundle.bind(shared, "/srv")
    out = "/srv/state" if kind == "startContainer" else os.path.join(shared, "state")
    copy = {"path": "/bin/sh", "args": ["sh", "-c", f"cat >{out}; cat >{out}2"]}
    bundle.config["hooks"] = {kind: [copy, copy]}
    container = bundle.container("/bin/true").up()
    container.wait()
    container.delete("--force").ok()
    with open(os.path.join(shared, "state")) as file:
        assert len(json.load(file)["annotations"]["large"]) == kibibytes << 10
    assert os.path.getsize(os.path.join(shared, "state2")) == 0


@pytest.mark.parametrize("kind", ["createRuntime", "createContainer", "startContainer", "poststart", "poststop"])
@pytest.mark.runc_differs("1.1 leaves its caller's descriptors open to hooks", strict=False)
def test_hooks_inherit_no_descriptors(bundle: Bundle, kind: str) -> None:
    """Neither the runtime's nor those of its caller: standard input, output and error are all there is."""
    shared = bundle.directory("shared")
    bundle.bind(shared, "/srv")
    out = "/srv/list" if kind == "startContainer" else os.path.join(shared, "list")
    script = f"exec >{out}; cd /proc/self/fd; for fd in *; do test $fd -gt 2 && readlink $fd; done; true"
    bundle.config["hooks"] = {kind: [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    container = bundle.container("/bin/true")
    secret = os.open("/etc/passwd", os.O_RDONLY)
    try:
        container.create(pass_fds=[secret])
        bundle.runtime.call("start", container.id, pass_fds=[secret]).ok()
        container.wait()
        bundle.runtime.call("delete", "--force", container.id, pass_fds=[secret]).ok()
    finally:
        os.close(secret)
    with open(os.path.join(shared, "list")) as file:
        seen = [line for line in file.read().splitlines() if not line.endswith("/list")]
    assert seen == []


@pytest.mark.parametrize("kind", ["createRuntime", "createContainer", "startContainer"])
@pytest.mark.runc_differs("1.1 reads the output to its end")
def test_a_child_of_a_hook_that_keeps_its_output(bundle: Bundle, kind: str) -> None:
    """Nobody waits for it."""
    bundle.config["hooks"] = {kind: [{"path": "/bin/sh", "args": ["sh", "-c", "sleep 3 & echo done"]}]}
    container = bundle.container("/bin/sleep", "100")
    before = time.monotonic()
    container.up()
    assert time.monotonic() - before < 2.5
    container.kill("KILL").ok()
    process.wait_for(lambda: not process.children(), "the child of the hook")


@pytest.fixture
def few_descriptors() -> Iterator[None]:
    """The limit that most processes have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.runc_differs("1.1 raises the container's limit, and needs a root file system that its root can reach")
@pytest.mark.usefixtures("few_descriptors")
@pytest.mark.parametrize("user_namespace", [True, False])
def test_more_mounts_than_descriptors(bundle: Bundle, user_namespace: bool) -> None:
    """As many as a spec lists; and the limit is the container's own afterwards."""
    if user_namespace:
        bundle.user_namespace()
    source = bundle.file("source", "content")
    for i in range(300):
        bundle.bind(source, f"/srv/{i}", "ro", "bind")
    container = bundle.container("/bin/sleep", "100").up()
    with open(container.path("/srv/299")) as file:
        assert file.read() == "content"
    limits = next(line for line in container.proc("limits").splitlines() if line.startswith("Max open files"))
    assert limits.split()[3] == "256"


def start_socket(container: Container) -> str:
    """What the created container listens on."""
    return os.path.join(container.runtime.root, container.id, "start.sock")


@contextlib.contextmanager
def connection(container: Container) -> Iterator[socket.socket]:
    """Somebody who connects as `start` does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as connected:
        connected.connect(start_socket(container))
        yield connected


@pytest.mark.lxcri_only("tests lxcri's start socket")
def test_created_container_with_a_silent_caller(bundle: Bundle) -> None:
    """A command that is stopped after it has connected does not keep signals away."""
    container = bundle.container("/bin/true")
    container.create()
    with connection(container):
        time.sleep(0.05)
        container.kill("TERM").ok()
        assert container.wait(PATIENCE) == 128 + signal.SIGTERM


@pytest.mark.lxcri_only("tests lxcri's start socket")
@pytest.mark.parametrize("word", [b"", b"X", b"G", b"D", b"G" * 70000])
def test_start_of_another_kind(bundle: Bundle, word: bytes) -> None:
    """What is no `start` changes nothing."""
    container = bundle.container("/bin/true")
    container.create()
    with connection(container) as connected:
        if word:
            connected.send(word)
    assert container.status() == "created"
    container.start()
    assert container.wait() == 0


def test_start_killed_while_the_container_is_stopped(bundle: Bundle) -> None:
    """The next one starts it, or says that it runs."""
    container = bundle.container("/bin/sleep", "100")
    container.create()
    os.kill(container.pid, signal.SIGSTOP)
    command = bundle.runtime.spawn("start", container.id, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    command.kill()
    command.wait()
    os.kill(container.pid, signal.SIGCONT)
    time.sleep(0.1)
    if container.status() == "created":
        container.start()
    assert container.status() == "running"


@pytest.mark.lxcri_only("runc's starts wait for each other")
def test_starts_at_once(bundle: Bundle) -> None:
    """One of them starts it."""
    container = bundle.container("/bin/sleep", "100")
    container.create()
    commands = [
        bundle.runtime.spawn("start", container.id, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(8)
    ]
    assert sorted(command.wait(PATIENCE) for command in commands) == [0] + [1] * 7
    assert container.status() == "running"


def test_the_waiting_process_shows_nothing(bundle: Bundle) -> None:
    """Neither environment nor descriptors of the runtime."""
    container = bundle.container("/bin/true")
    secret = os.open("/etc/passwd", os.O_RDONLY)
    try:
        container.create(env={"PATH": "/usr/bin:/bin", "LXCRI_SECRET": "secret"}, pass_fds=[secret])
    finally:
        os.close(secret)
    assert "LXCRI_SECRET" not in container.proc("environ")
    links = [os.readlink(f"/proc/{container.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{container.pid}/fd")]
    assert "/etc/passwd" not in links


@pytest.mark.parametrize("pid_namespace", [True, False])
def test_forced_delete_of_a_container_whose_start_hangs(bundle: Bundle, pid_namespace: bool) -> None:
    """Nothing that a hook of the container does can keep it."""
    if not pid_namespace:
        bundle.without_namespace("pid")
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/sleep", "args": ["sleep", "100"]}]}
    container = bundle.container("/bin/true")
    container.create()
    command = bundle.runtime.spawn("start", container.id, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(0.3)
    bundle.runtime.call("delete", "--force", container.id, timeout=PATIENCE).ok()
    command.wait(PATIENCE)
    assert bundle.runtime.containers() == []
