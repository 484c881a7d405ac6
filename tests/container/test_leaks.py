"""What a container sees of the host and of the runtime, and what others see of its state."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from oci import process

if TYPE_CHECKING:
    from oci.bundle import Bundle
    from oci.runtime import Container

WRITABLE_BY_OTHERS = 0o022
NOT_OURS = 0o077


def descriptors(text: str) -> dict[int, str]:
    """What ``attack descriptors`` prints."""
    return {int(number): target for number, _, target in (line.partition(" ") for line in text.splitlines())}


@pytest.mark.runc_differs("1.1 cannot enter the root file system of the tests", strict=False)
@pytest.mark.parametrize("user_namespace", [False, True])
@pytest.mark.parametrize("hooks", [False, True])
def test_descriptors(bundle: Bundle, hooks: bool, user_namespace: bool) -> None:
    """The program has its standard streams, and nothing else; neither with `exec`."""
    if user_namespace:
        bundle.user_namespace()
    if hooks:
        bundle.config["hooks"] = {
            kind: [{"path": "/bin/true"}]
            for kind in ("prestart", "createRuntime", "createContainer", "startContainer", "poststart")
        }
    bundle.bind(bundle.directory("volume"), "/srv")
    secret = os.open("/etc/passwd", os.O_RDONLY)
    container = bundle.shell("attack descriptors; exec sleep 100")
    try:
        container.create(pass_fds=[secret])
        bundle.runtime.call("start", container.id, pass_fds=[secret]).ok()
        container.wait_output("2 ")
        result = bundle.runtime.call("exec", container.id, "/bin/attack", "descriptors", pass_fds=[secret]).ok()
    finally:
        os.close(secret)
    assert set(descriptors(container.output())) == {0, 1, 2}
    assert set(descriptors(result.stdout)) <= {0, 1, 2}


def test_environment(bundle: Bundle) -> None:
    """The spec's, and HOME; of the runtime's own nothing."""
    bundle.process["env"] = ["PATH=/bin", "A=1"]
    container = bundle.container("/bin/sleep", "100")
    container.create(
        env={"PATH": "/usr/bin:/bin", "SECRET": "secret", "LXC_SECRET": "s", "LD_SECRET": "s", "HOME": "/h"}
    )
    bundle.runtime.call("start", container.id, env={"PATH": "/usr/bin:/bin", "SECRET": "secret"}).ok()
    process.wait_for(lambda: "A=1" in container.proc("environ"), "execve")
    assert set(container.proc("environ").split("\0")) - {"", "HOME=/root"} == {"PATH=/bin", "A=1"}
    result = bundle.runtime.call(
        "exec", container.id, "/bin/env", env={"PATH": "/usr/bin:/bin", "SECRET": "secret"}
    ).ok()
    assert "SECRET" not in result.stdout


DEVICES = [f"/dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty")]
"""In a user namespace they are the host's, mounted one by one."""


@pytest.mark.runc_differs("1.1: see test_descriptors", strict=False)
@pytest.mark.parametrize("user_namespace", [False, True])
def test_mounts(bundle: Bundle, user_namespace: bool) -> None:
    """The root file system and those of the spec, in this order: none of liblxc's, of the runtime's, of the host's."""
    if user_namespace:
        bundle.user_namespace()
    volume = bundle.directory("volume")
    bundle.bind(volume, "/srv", "ro")
    container = bundle.container("/bin/sleep", "100").up()
    lines = [line.split() for line in container.proc("mountinfo").splitlines()]
    points = [line[4] for line in lines if not (user_namespace and line[3].startswith("/") and line[4] in DEVICES)]
    assert sorted(points) == sorted(["/", *(mount["destination"] for mount in bundle.config["mounts"])])
    roots = {line[3] for line in lines if line[4] not in ("/", "/srv", *DEVICES)}
    assert roots <= {"/", "/dev/pts"}
    assert "lxc" not in " ".join(" ".join(line[5:]) for line in lines)


@pytest.mark.lxcri_only("names of its own")
def test_no_trace_of_the_helper(bundle: Bundle) -> None:
    """After start: the program's name, executable, memory, threads, keyring, parent and signals are its own."""
    container = bundle.container("/bin/sleep", "100").up()
    assert container.proc("comm") == "sleep\n"
    assert container.proc("cmdline") == "/bin/sleep\x00100\x00"
    assert os.readlink(f"/proc/{container.pid}/exe").endswith("/bin/busybox")
    assert "memfd" not in container.proc("maps")
    status = dict(line.split(":\t", 1) for line in container.proc("status").splitlines())
    assert status["Threads"] == "1"
    assert {int(status[name], 16) for name in ("SigBlk", "SigIgn", "SigPnd", "ShdPnd")} == {0}
    assert os.listdir(f"/proc/{container.pid}/task") == [str(container.pid)]
    assert container.proc(f"task/{container.pid}/children") == ""
    assert container.proc("timers") == ""
    names = os.listdir(os.path.join(bundle.runtime.root, container.id))
    assert "start.sock" not in names


def unix_sockets() -> set[str]:
    """Abstract names of liblxc's sockets in this network namespace."""
    with open("/proc/net/unix") as file:
        names = {line.split()[7] for line in file.readlines()[1:] if len(line.split()) > 7}
    return {name for name in names if name.startswith("@") and "lxc" in name}


@pytest.mark.lxcri_only("names of its own")
def test_nothing_in_the_image(bundle: Bundle) -> None:
    """Neither a file, nor a directory, nor a time is changed by a container that starts and ends."""

    def tree() -> dict[str, tuple[int, int, int, int]]:
        found = {}
        for directory, names, files in os.walk(bundle.rootfs):
            for name in ["", *names, *files]:
                status = os.lstat(os.path.join(directory, name))
                found[os.path.join(directory, name)] = (
                    status.st_mode,
                    status.st_uid,
                    status.st_mtime_ns,
                    status.st_size,
                )
        return found

    def but_for_the_top() -> dict[str, tuple[int, int, int, int]]:
        # liblxc makes and removes a file there, so that nobody can mount it read-only meanwhile
        return {path: facts for path, facts in tree().items() if path != bundle.rootfs + "/"}

    before = but_for_the_top()
    container = bundle.container("/bin/sleep", "100").up()
    assert not [name for name in unix_sockets() if container.id in name]
    container.delete("--force").ok()
    assert but_for_the_top() == before


def check_private(top: str) -> None:
    """Nobody but the owner can read or write anything below the directory."""
    for directory, names, files in os.walk(top):
        for path in [directory, *(os.path.join(directory, name) for name in names + files)]:
            status = os.lstat(path)
            assert status.st_uid == os.geteuid(), path
            if stat.S_ISDIR(status.st_mode) and path == top:
                assert not stat.S_IMODE(status.st_mode) & NOT_OURS, path
            elif not stat.S_ISSOCK(status.st_mode):
                assert not stat.S_IMODE(status.st_mode) & WRITABLE_BY_OTHERS, path


@pytest.mark.lxcri_only("its state directory")
def test_permissions_of_the_state_directory(bundle: Bundle) -> None:
    """Whatever the umask: 0700 above, and nothing below that others could write, at any time of a container's life."""
    bundle.config["hooks"] = {"poststart": [{"path": "/bin/true"}], "poststop": [{"path": "/bin/true"}]}
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["reboot"], "action": "SCMP_ACT_ERRNO"}],
    }
    for umask in (0o000, 0o022, 0o777):
        container = bundle.container("/bin/sleep", "100")
        wrapper = ["/bin/sh", "-c", f'umask {umask:03o}; exec "$@"', "sh"]
        root = os.path.join(bundle.path, f"root{umask}")
        container.runtime.root, before = root, container.runtime.root
        try:
            container.create(wrapper=wrapper)
            check_private(root)
            for verb, more in (("start", []), ("pause", []), ("resume", []), ("update", ["--pids-limit", "7"])):
                bundle.runtime.call(verb, *more, container.id, wrapper=wrapper).ok()
                check_private(root)
            bundle.runtime.call("delete", "--force", container.id, wrapper=wrapper).ok()
            check_private(root)
        finally:
            container.runtime.root = before
        container.wait()


def own_writable(container: Container) -> list[str]:
    """Files and directories on the container's mounts of host files that its other users could write."""
    found = []
    for directory, names, files in os.walk(container.path("/")):
        names[:] = [name for name in names if os.path.join(directory, name) != container.path("/proc")]
        for name in names + files:
            path = os.path.join(directory, name)
            status = os.lstat(path)
            if status.st_mode & 0o002 and not stat.S_ISLNK(status.st_mode) and not status.st_mode & stat.S_ISVTX:
                found.append(path.removeprefix(container.path("/")))
    return found


@pytest.mark.runc_differs("1.1: /dev/console", strict=False)
def test_nothing_of_ours_is_writable(bundle: Bundle) -> None:
    """What an ordinary user of the container can write: the devices for everybody."""
    container = bundle.container("/bin/sleep", "100").up()
    devices = {f"dev/{name}" for name in ("null", "zero", "full", "random", "urandom", "tty", "ptmx", "pts/ptmx")}
    assert set(own_writable(container)) - devices == set()
