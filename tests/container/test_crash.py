"""Death in the middle: what is left of a container that was being made is what `delete --force` removes."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest
from oci import process

if TYPE_CHECKING:
    from oci.bundle import Bundle
    from oci.runtime import Container

PATIENCE = 5.0  # seconds in which everything is over, far less than the runtime's own time limits

CREATE_STOPS = [  # a system call of `create`, and which one of its kind
    *(("mkdir", n) for n in range(1, 13)),
    *(("renameat", n) for n in range(1, 7)),
    *(
        (name, 1)
        for name in ("clone", "socketpair", "bind", "listen", "sendmsg", "pidfd_open", "kill", "wait4", "getuid")
    ),
    *((name, n) for name in ("recvmsg", "sendto", "memfd_create") for n in (1, 2)),
]
FAMILY_STOPS = [  # of whichever process comes to it first: the runtime, liblxc's, the helper
    ("setns", 1), ("unshare", 1), ("unshare", 2), ("pivot_root", 1), *(("mount", n) for n in range(1, 6)),
    ("umount2", 1), ("setsid", 1), ("sethostname", 1), ("keyctl", 1), ("getsockname", 1), ("execve", 2),
    ("mknodat", 1), ("mknodat", 4), ("symlinkat", 2), ("openat2", 3), ("openat2", 20), ("dup3", 1),
    ("close_range", 2), ("signalfd4", 1), ("ppoll", 1),
]  # fmt: skip

needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")


def create_killed_at(container: Container, syscall: str, nth: int, *options: str) -> int:
    """``create`` that is killed at a system call; returns its status."""
    container.bundle.write()
    inject = f"{syscall}:signal=KILL:when={nth}"
    command = container.runtime.spawn(
        "create", "--bundle", container.bundle.path, "--pid-file", container.pid_file, container.id,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        wrapper=["strace", *options, "-qq", "-o", "/dev/null", "-e", f"trace={syscall}", "-e", f"inject={inject}"],
    )  # fmt: skip
    try:
        return command.wait(PATIENCE)
    except subprocess.TimeoutExpired:  # with -f strace stays with a container that waits for its start
        container.runtime.call("delete", "--force", container.id).ok()
        return command.wait(PATIENCE)


def assert_removable(container: Container) -> None:
    """Nothing lives on without the runtime, and delete --force takes away the rest; the fixtures check all else."""
    process.wait_for(lambda: not process.children(), "the end of all processes", PATIENCE)
    container.runtime.call("delete", "--force", container.id, timeout=PATIENCE).ok()
    assert container.runtime.containers() == []


@needs_strace
@pytest.mark.lxcri_only("runc's process for init waits for ever")
@pytest.mark.parametrize(("syscall", "nth"), CREATE_STOPS)
def test_create_killed(bundle: Bundle, syscall: str, nth: int) -> None:
    """At any of its steps."""
    container = bundle.container("/bin/sleep", "100")
    if create_killed_at(container, syscall, nth) == 0:
        container.delete("--force").ok()
        pytest.skip("create comes to its end with fewer of these calls")
    assert_removable(container)


@needs_strace
@pytest.mark.slow
@pytest.mark.lxcri_only("tests the processes that lxcri makes")
@pytest.mark.parametrize(("syscall", "nth"), FAMILY_STOPS)
def test_a_process_of_create_killed(bundle: Bundle, syscall: str, nth: int) -> None:
    """Any process at any of its steps: the runtime says so, or the container is whole."""
    container = bundle.container("/bin/sleep", "100")
    create_killed_at(container, syscall, nth, "-f")
    assert_removable(container)


@pytest.mark.lxcri_only("tests what hooks of lxcri's own see")
@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
@pytest.mark.parametrize("pid_namespace", [True, False])
def test_create_killed_in_a_hook(bundle: Bundle, kind: str, pid_namespace: bool) -> None:
    """With the namespaces made, and the pivot still to come."""
    mark = os.path.join(bundle.path, "hook-runs")
    script = f"touch {mark}; exec sleep 3" if kind != "createContainer" else "exec sleep 3"
    bundle.config["hooks"] = {kind: [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    if not pid_namespace:
        bundle.without_namespace("pid")
    container = bundle.container("/bin/sleep", "100")
    bundle.write()
    command = container.runtime.spawn(
        "create", "--bundle", bundle.path, container.id, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    if kind == "createContainer":
        process.wait_for(lambda: sleeping_descendant(command.pid), "the hook")
    else:
        process.wait_for(lambda: os.path.exists(mark), "the hook")
    command.kill()
    command.wait()
    assert_removable(container)


@pytest.mark.lxcri_only("runc's create ignores SIGINT in its own way")
def test_create_interrupted_in_a_hook(bundle: Bundle) -> None:
    """Ctrl-C: all is undone, at once, the hook included."""
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/sleep", "args": ["sleep", "100"]}]}
    container = bundle.container("/bin/sleep", "100")
    bundle.write()
    command = container.runtime.spawn("create", "--bundle", bundle.path, container.id)
    process.wait_for(lambda: sleeping_descendant(command.pid), "the hook")
    command.send_signal(signal.SIGINT)
    assert command.wait(PATIENCE) == 130
    assert container.runtime.containers() == []
    assert process.children() == {}


@pytest.mark.lxcri_only("tests the time in which lxcri gives up")
def test_failed_create_waits_for_nobody(bundle: Bundle) -> None:
    """A mount source that is missing is found while the helper waits for the runtime."""
    bundle.bind("/nonexistent", "/srv")
    container = bundle.container("/bin/true")
    container.bundle.write()
    result = container.runtime.call("create", "--bundle", bundle.path, container.id, timeout=PATIENCE / 2)
    result.refused("no such file or directory", where="mounts[6]")


@pytest.mark.runc_differs("1.1 leaves the parents that it made")
def test_failed_create_leaves_no_parents_of_its_cgroup(bundle: Bundle, runtime_cgroup_parent: str) -> None:
    """Where it made them."""
    bundle.linux["cgroupsPath"] = f"/{runtime_cgroup_parent}/child/leaf"
    bundle.bind("/nonexistent", "/srv")
    bundle.container("/bin/true").attempt_create().refused("no such file or directory")


@pytest.fixture
def runtime_cgroup_parent(bundle: Bundle) -> str:
    """A name that the check of the machine takes for the tests' own."""
    return bundle.runtime.new_id()


def sleeping_descendant(pid: int) -> bool:
    """Whether a process below this one is a `sleep`."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            below = [int(word) for word in file.read().split()]
        if any(open_comm(child) == "sleep" for child in below):
            return True
    except FileNotFoundError:
        return False
    return any(sleeping_descendant(child) for child in below)


def open_comm(pid: int) -> str:
    """Name of a process."""
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except OSError:
        return ""


@pytest.mark.lxcri_only("runc keeps the container")
@pytest.mark.parametrize("force", [True, False])
def test_delete_killed_in_a_hook(bundle: Bundle, force: bool) -> None:
    """The container is gone; the next delete of this id has its hooks run again, and removes what is left."""
    out = os.path.join(bundle.path, "out")
    script = f"echo ran >>{out}; test -e {bundle.path}/quick || exec sleep 3"
    bundle.config["hooks"] = {"poststop": [{"path": "/bin/sh", "args": ["sh", "-c", script]}]}
    container = bundle.container("/bin/true").up()
    container.wait()
    command = container.runtime.spawn("delete", container.id)
    process.wait_for(lambda: os.path.exists(out), "the hook")
    command.kill()
    command.wait()
    assert container.runtime.call("state", container.id).returncode != 0
    process.wait_for(lambda: not process.children(), "the hook's end")
    bundle.file("quick")
    container.delete(*(["--force"] if force else [])).ok()
    with open(out) as file:
        assert file.read() == "ran\nran\n"
    assert [name for name in os.listdir(container.runtime.root) if name != "@seccomp"] == []
    assert (container.delete().returncode, container.delete("--force").returncode) == (1, 0)


@needs_strace
@pytest.mark.lxcri_only("tests the processes that lxcri makes")
def test_the_process_of_liblxc_killed_in_the_middle(bundle: Bundle) -> None:
    """With a child that waits for it: `create` notices, and ends that too."""
    container = bundle.container("/bin/sleep", "100")
    bundle.write()
    slow = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=sethostname,pivot_root"]
    slow += ["-e", "inject=sethostname,pivot_root:delay_enter=300000"]
    command = container.runtime.spawn(
        "create", "--bundle", bundle.path, container.id,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, wrapper=slow,
    )  # fmt: skip
    starter = process.wait_for(lambda: with_child(command.pid, 3), "the child of liblxc")
    os.kill(starter, signal.SIGKILL)
    assert command.wait(PATIENCE) == 1
    assert container.runtime.containers() == []
    process.wait_for(lambda: not process.children(), "the end of all processes", PATIENCE)


def with_child(pid: int, depth: int) -> int:
    """The process so many generations below, less one, that has a child itself; 0 if there is none (yet)."""
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as file:
            below = [int(word) for word in file.read().split()]
    except FileNotFoundError:
        return 0
    if depth == 1:
        return pid if below else 0
    return next((found for child in below if (found := with_child(child, depth - 1))), 0)
