"""State that is not what it was: of another boot, another process, another user, another version, or damaged."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from oci import process

if TYPE_CHECKING:
    from collections.abc import Callable

    from oci.bundle import Bundle
    from oci.runtime import Container

pytestmark = pytest.mark.lxcri_only("its state directory")

VERBS = {
    "state": [],
    "start": [],
    "kill": [],
    "delete": [],
    "exec": ["true"],
    "pause": [],
    "resume": [],
    "update": [],
    "ps": [],
}


def directory(container: Container) -> str:
    return os.path.join(container.runtime.root, container.id)


def rewrite(container: Container, change: Callable[[str], str]) -> str:
    """Change the state file; returns what it was."""
    path = os.path.join(directory(container), "state")
    with open(path) as file:
        before = file.read()
    with open(path, "w") as file:
        file.write(change(before))
    return before


def value(text: str, key: str) -> str:
    """Of a key of the state file."""
    return next(line.partition(" ")[2] for line in text.splitlines() if line.startswith(f"{key} "))


def test_the_machine_was_started_anew(bundle: Bundle) -> None:
    """What has the pid, the start time and the cgroup of the container now is somebody else's."""
    container = bundle.container("/bin/sleep", "100").up()
    before = rewrite(container, lambda text: text.replace(value(text, "boot_id"), "another"))
    assert container.state()["status"] == "stopped"
    assert container.state()["pid"] == 0
    container.kill("KILL").refused("container not running")
    container.runtime.call("exec", container.id, "true").refused("stopped", status=255)
    saved = shutil.copytree(directory(container), os.path.join(bundle.path, "saved"), ignore=lambda *_: ["start.sock"])
    container.delete("--force").ok()
    assert not process.ended(container.pid, 0.2)
    with open(f"/proc/{container.pid}/cgroup") as file:
        assert container.id in file.read()
    shutil.copytree(saved, directory(container))
    rewrite(container, lambda _: before)
    assert container.status() == "running"
    container.delete("--force").ok()


def test_a_process_of_the_same_pid(bundle: Bundle) -> None:
    """Started at another time: not signalled, nor executed in."""
    container = bundle.container("/bin/true").up()
    container.wait()
    with subprocess.Popen(["/bin/sleep", "100"]) as other:
        rewrite(container, lambda text: text.replace(f"pid {container.pid}\n", f"pid {other.pid}\n"))
        assert container.state()["pid"] == 0
        container.kill("KILL").refused("container not running")
        container.runtime.call("exec", container.id, "true").refused("stopped", status=255)
        container.delete("--force").ok()
        assert other.poll() is None
        other.kill()


def test_pids_that_come_round(bundle: Bundle) -> None:
    """A new process gets the very pid of the ended init: the kernel is asked for it."""
    container = bundle.container("/bin/true").up()
    container.wait()
    with open("/proc/sys/kernel/ns_last_pid", "w") as file:
        file.write(str(container.pid - 1))
    with subprocess.Popen(["/bin/sleep", "100"]) as other:
        if other.pid != container.pid:
            other.kill()
            pytest.skip("somebody else took the pid")
        assert container.state()["status"] == "stopped"
        container.kill("KILL").refused("container not running")
        container.delete("--force").ok()
        assert other.poll() is None
        other.kill()


def test_a_zombie_is_stopped(bundle: Bundle) -> None:
    """Nobody has waited for init yet."""
    container = bundle.container("/bin/true").up()
    assert process.ended(container.pid)
    with open(f"/proc/{container.pid}/stat") as file:
        assert ") Z " in file.read()
    assert container.status() == "stopped"
    container.kill("KILL").refused("container not running")
    container.delete().ok()
    container.wait()


DAMAGES: dict[str, Callable[[str], str]] = {
    "empty": lambda _: "",
    "cut": lambda text: text[: len(text) // 2],
    "newer": lambda text: text.replace("lxcri-state 2", "lxcri-state 3"),
    "unknown key": lambda text: text + "future 1\n",
    "missing key": lambda text: "".join(line for line in text.splitlines(True) if not line.startswith("pid ")),
    "twice": lambda text: text + "pid 1\n",
    "negative": lambda text: text.replace("\npid ", "\npid -"),
    "huge": lambda text: text.replace("\npid ", "\npid 99999999999999999999"),
    "large pid": lambda text: "".join(
        "pid 4294967297\n" if line.startswith("pid ") else line for line in text.splitlines(True)
    ),
    "binary": lambda _: "\0\x01\x02" * 1000,
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_state_file(new_bundle: Callable[[], Bundle], damage: str) -> None:
    """Each verb says so in one line that names the file, or what is wrong; `list` shows the other containers."""
    bundle = new_bundle()
    container = bundle.container("/bin/sleep", "100").up()
    other = new_bundle().container("/bin/sleep", "100").up()
    before = rewrite(container, DAMAGES[damage])
    try:
        for verb in ("state", "start", "kill", "delete", "exec"):
            result = container.runtime.call(verb, container.id, *VERBS[verb])
            assert result.returncode in (1, 255), str(result)
            assert len(result.stderr.splitlines()) == 1, str(result)
            assert "internal error" not in result.stderr, str(result)
        forced = container.delete("--force")
        assert forced.returncode == 1
        assert directory(container) in forced.stderr or "process" in forced.stderr, str(forced)
        listed = container.runtime.call("list", "--quiet").ok().stdout.split()
        assert other.id in listed
        table = container.runtime.call("list").ok()
        assert other.id in table.stdout
        assert not process.ended(container.pid, 0)
    finally:
        rewrite(container, lambda _: before)
    assert container.status() == "running"


def test_a_damaged_record_of_a_cgroup(bundle: Bundle) -> None:
    """In a state file that is one otherwise."""
    container = bundle.container("/bin/sleep", "100").up()
    before = rewrite(container, lambda text: text + "cgroup x\n")
    container.runtime.call("update", "--pids-limit", "5", container.id).refused('"x" is not the record of a cgroup')
    rewrite(container, lambda _: before)


@pytest.mark.parametrize("kind", ["directory", "pipe", "link", "socket"])
def test_a_state_file_that_is_none(bundle: Bundle, kind: str) -> None:
    """Nobody waits for it, nor follows it."""
    container = bundle.container("/bin/sleep", "100").up()
    path = os.path.join(directory(container), "state")
    os.rename(path, path + ".saved")
    if kind == "directory":
        os.mkdir(path)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "link":
        os.symlink(path + ".saved", path)
    else:
        os.mknod(path, 0o140600)
    try:
        container.runtime.call("state", container.id, timeout=5).refused("state")
    finally:
        (os.rmdir if kind == "directory" else os.unlink)(path)
        os.rename(path + ".saved", path)


def test_the_directory_of_another_user(bundle: Bundle) -> None:
    """It would tell root whom to kill, what to remove, and what to execute as a hook."""
    mark = os.path.join(bundle.path, "mark")
    bundle.config["hooks"] = {"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", f"echo >{mark}"]}]}
    container = bundle.container("/bin/sleep", "100").up()
    os.chown(directory(container), 1000, 1000)
    try:
        for verb, last in VERBS.items():
            result = container.runtime.call(verb, container.id, *last)
            result.refused("belongs to another user", status=255 if verb == "exec" else 1)
        container.delete("--force").refused("belongs to another user")
        assert not os.path.exists(mark)
        assert not process.ended(container.pid, 0)
    finally:
        os.chown(directory(container), 0, 0)


def test_a_linked_directory(bundle: Bundle) -> None:
    """An entry of the state directory that is a link is not followed."""
    container = bundle.container("/bin/sleep", "100").up()
    name = bundle.runtime.new_id()
    os.symlink(directory(container), os.path.join(bundle.runtime.root, name))
    try:
        for verb in ("state", "kill", "delete"):
            assert bundle.runtime.call(verb, name).returncode == 1
        assert bundle.runtime.call("delete", "--force", name).returncode == 1
        assert container.status() == "running"
    finally:
        os.unlink(os.path.join(bundle.runtime.root, name))


def test_leftovers_of_a_machine_that_lost_its_power(bundle: Bundle) -> None:
    """A directory without a state file: in the making, or nothing; `delete --force` removes it."""
    for names in ([], [".state.new"], ["config", "config.json", ".state.new", "start.sock"]):
        name = bundle.runtime.new_id()
        path = os.path.join(bundle.runtime.root, name)
        os.makedirs(path)
        for file in names:
            os.close(os.open(os.path.join(path, file), os.O_CREAT))
        assert bundle.runtime.call("start", name).returncode == 1
        bundle.runtime.call("delete", name).refused("does not exist")
        bundle.runtime.call("delete", "--force", name).ok()
    assert bundle.runtime.containers() == []


def test_the_clock_jumps(bundle: Bundle) -> None:
    """What takes time is measured with a clock that nobody sets: none of our files asks for another, but `created`."""
    if not os.path.isdir(os.path.join(os.path.dirname(bundle.runtime.path), "../../lxcri")):
        pytest.skip("the runtime is not this checkout's")
    found = []
    top = os.path.normpath(os.path.join(os.path.dirname(bundle.runtime.path), "../../lxcri"))
    for place, _, names in os.walk(top):
        for name in names:
            if name.endswith(".py"):
                with open(os.path.join(place, name)) as file:
                    found += [(name, line.strip()) for line in file if "time.time" in line or "datetime" in line]
    assert found == [("create.py", "seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)")]


@pytest.mark.skipif(not shutil.which("faketime"), reason="faketime is not installed")
@pytest.mark.parametrize("when", ["1970-01-02", "2099-12-31"])
def test_another_time_of_day(bundle: Bundle, when: str) -> None:
    """The life of a container does not depend on it."""
    wrapper = ["faketime", when]
    container = bundle.container("/bin/sleep", "100")
    container.create(wrapper=wrapper)
    assert container.state()["created"].startswith(when[:3])
    for verb, more in (("start", []), ("exec", ["true"]), ("pause", []), ("resume", []), ("kill", ["KILL"])):
        bundle.runtime.call(verb, container.id, *more, wrapper=wrapper).ok()
    assert container.wait() == -signal.SIGKILL
    bundle.runtime.call("delete", container.id, wrapper=wrapper).ok()
