"""The runtime as an ordinary user: what works without any help of root, and what with that of newuidmap."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from oci import cgroup, engine, process
from oci.console import ConsoleSocket, OnTerminal
from oci.rootless import Rootless, needs_newuidmap
from oci.user import COUNT, SUBORDINATE, UID, User, known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.bundle import Bundle
    from oci.machine import Machine

pytestmark = [
    pytest.mark.lxcri_only(reason="runc takes other cgroup permissions and options for it"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv (util-linux)"),
]

OTHER = 1_000_000
"""No id of the user's."""


@pytest.fixture(scope="module", params=["alone", "subordinate"])
def user(machine: Machine, request: pytest.FixtureRequest) -> Iterator[User]:
    """One that has its own id alone, and one that has others too."""
    subordinate = request.param == "subordinate"
    if subordinate:
        needs_newuidmap()
    with known(machine, subordinate=subordinate) as user:
        yield user


@pytest.fixture
def rootless(bundle: Bundle, user: User, as_before: None, request: pytest.FixtureRequest) -> Iterator[Rootless]:
    """What such a user has."""
    yield Rootless(bundle, user, subordinate="subordinate" in request.node.name)
    for path in (user.home, user.runtime_dir):
        shutil.rmtree(path)
        os.mkdir(path, 0o700)
        os.chown(path, UID, UID)


alone = pytest.mark.parametrize("user", ["alone"], indirect=True)
subordinate = pytest.mark.parametrize("user", ["subordinate"], indirect=True)


def test_user_namespace_is_added(rootless: Rootless) -> None:
    """seed: configureContainer: "unprivileged runtime - enabling user namespace"; the caller is root in it."""
    out = rootless.sh("id -u; tr -s ' ' <proc/self/uid_map; tr -s ' ' <proc/self/gid_map; stat -c %u:%g /etc/passwd")
    ids = out.split()
    assert (ids[0], ids[-1]) == ("0", "0:0")
    maps = [ids[1:-1][i : i + 3] for i in range(0, len(ids) - 2, 3)]
    one = [["0", "0" if rootless.subordinate else str(UID), "1"]]
    rest = [["1", str(SUBORDINATE), str(COUNT)]] if rootless.subordinate else []
    assert maps == (one + rest) * 2


def test_life_of_a_container(rootless: Rootless) -> None:
    """create, state, start, exec, list, kill, delete."""
    bundle = rootless.bundle
    bundle.process["args"] = ["/bin/sleep", "100"]
    rootless.write()
    assert rootless.call("create", "--bundle", bundle.path, "r").stderr == ""
    state = json.loads(rootless.call("state", "r").stdout)
    assert (state["status"], state["owner"]) == ("created", "lxcri-test")
    assert os.stat(f"/proc/{state['pid']}").st_uid in (0, UID)  # root's while it is not dumpable
    assert rootless.call("start", "r").returncode == 0
    assert rootless.call("exec", "r", "/bin/echo", "here").stdout == "here\n"
    assert "running" in rootless.call("list").stdout
    rootless.down(state["pid"])
    assert rootless.call("state", "r").stderr.endswith('container "r" does not exist\n')


def test_exit_status_and_signals(rootless: Rootless) -> None:
    """run in the foreground."""
    assert rootless.run("/bin/sh", "-c", "exit 7").returncode == 7
    assert rootless.run("/bin/sh", "-c", "kill -9 $$").returncode in (0, 137)  # which init of a namespace ignores


def test_terminal_of_create(rootless: Rootless) -> None:
    """--console-socket."""
    rootless.bundle.process.update(terminal=True, args=["/bin/sh", "-c", "tty; read line; echo got-$line"])
    rootless.write()
    path = f"{rootless.bundle.path}/console.sock"
    with ConsoleSocket(path) as server:
        os.chown(path, UID, UID)
        words = ("--bundle", rootless.bundle.path, "--console-socket", path, "--pid-file", f"{path}.pid", "r")
        assert rootless.call("create", *words).stderr == ""
        with server.receive() as terminal:
            assert rootless.call("start", "r").stderr == ""
            terminal.write("typed\n")
            text = terminal.read_to_end()
    assert "/dev/pts/0\r\n" in text
    assert "got-typed\r\n" in text
    with open(f"{path}.pid") as file:
        os.waitpid(int(file.read()), 0)
    assert rootless.call("delete", "r").stderr == ""


def test_terminal_of_run_and_exec(rootless: Rootless) -> None:
    """In the foreground, on the caller's terminal."""
    rootless.bundle.process.update(terminal=True, args=["/bin/sh", "-c", "tty; read line; echo got-$line; exit 5"])
    rootless.write()
    argv = ["env", *(f"{k}={v}" for k, v in rootless.env.items()), *rootless.argv("run", "--bundle", ".", "r")]
    with OnTerminal(argv, rootless.bundle.path) as command:
        command.terminal.read_until("/dev/pts/0")
        command.terminal.write("typed\n")
        command.terminal.read_until("got-typed")
        assert command.wait() == 5
    rootless.bundle.process["terminal"] = False
    pid = rootless.up("/bin/sleep", "100")
    argv = ["env", *(f"{k}={v}" for k, v in rootless.env.items()), *rootless.argv("exec", "--tty", "r", "tty")]
    with OnTerminal(argv, rootless.bundle.path) as command:
        command.terminal.read_until("/dev/pts/0")
        assert command.wait() == 0
    rootless.down(pid)


HOOKS = ("prestart", "createRuntime", "poststart", "poststop")


@pytest.mark.parametrize("foreground", [True, False])
def test_hooks(rootless: Rootless, foreground: bool) -> None:
    """They run in the namespaces of the caller, as the caller, with the state; and a failing one ends it."""
    log = f"{rootless.bundle.path}/log"
    script = f"echo $1 $(id -u) $(readlink /proc/self/ns/user) $(readlink /proc/self/ns/mnt) $(cat) >>{log}"
    rootless.bundle.config["hooks"] = {
        kind: [{"path": "/bin/sh", "args": ["sh", "-c", script, "x", kind], "env": ["PATH=/usr/bin:/bin"]}]
        for kind in HOOKS
    }
    inside = {"path": "/bin/sh", "args": ["sh", "-c", f"echo $(id -u) >>{log}.in"], "env": ["PATH=/usr/bin:/bin"]}
    rootless.bundle.config["hooks"]["createContainer"] = [inside]
    if foreground:
        rootless.sh("true")
    else:
        rootless.down(rootless.up("/bin/sleep", "100"))
    with open(log) as file:
        lines = [line.split(" ", 4) for line in file.read().splitlines()]
    own = [str(UID), os.readlink("/proc/self/ns/user"), os.readlink("/proc/self/ns/mnt")]
    assert [line[:4] for line in lines] == [[kind, *own] for kind in HOOKS]
    assert all(json.loads(line[4])["bundle"] == rootless.bundle.path for line in lines)
    with open(f"{log}.in") as file:
        assert file.read() == "0\n"
    failing = {"path": "/bin/sh", "args": ["sh", "-c", "echo no >&2; exit 3"]}
    rootless.bundle.config["hooks"] = {"createRuntime": [failing]}
    rootless.refused("hooks.createRuntime[0]", "exit status 3: no")
    rootless.bundle.config["hooks"] = {"prestart": [{"path": "/bin/sleep", "args": ["sleep", "100"], "timeout": 1}]}
    rootless.refused("hooks.prestart[0]", "timed out after 1 seconds")


def test_devices_and_file_systems(rootless: Rootless) -> None:
    """Nodes by bind mounts; sysfs and cgroup mounts of the container's own namespaces."""
    rootless.bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro", "nosuid"])
    script = (
        "echo x >/dev/null && head -c 1 /dev/zero | wc -c; ls /sys/class/net; ls /sys/fs/cgroup | wc -l;"
        "touch /sys/fs/cgroup/x 2>&1; grep -c ' /sys sysfs ro' /proc/self/mounts"
    )
    out = rootless.sh(script).splitlines()
    assert out[:2] == ["1", "lo"]
    assert int(out[2]) > 0
    assert "Read-only file system" in out[3]
    assert out[4] == "1"


def test_cgroup_mount_in_a_new_namespace(rootless: Rootless) -> None:
    """The root that it shows is the caller's cgroup."""
    rootless.bundle.namespace("cgroup")
    rootless.bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro", "nosuid"])
    out = rootless.sh("cut -d: -f3 /proc/self/cgroup | uniq; ls /sys/fs/cgroup | wc -l").splitlines()
    assert out[0] == "/"
    assert int(out[1]) > 0


def test_sysfs_with_the_network_of_the_host(rootless: Rootless) -> None:
    """The kernel allows no sysfs of a network namespace that is another's: /sys is bound."""
    rootless.bundle.without_namespace("network")
    out = rootless.sh(
        "readlink /proc/self/ns/net; ls /sys/class/net; grep -c ' /sys sysfs ro' /proc/self/mounts"
    ).split()
    assert out == [os.readlink("/proc/self/ns/net"), *sorted(os.listdir("/sys/class/net")), "1"]


def test_namespaces_of_the_host(rootless: Rootless) -> None:
    """Their file systems are the host's then too."""
    for kind in "pid", "ipc":
        rootless.bundle.without_namespace(kind)
    if not os.path.exists("/dev/mqueue"):
        mounts = rootless.bundle.config["mounts"]
        mounts[:] = [mount for mount in mounts if mount["type"] != "mqueue"]
    out = rootless.sh("readlink /proc/self/ns/pid; readlink /proc/self/ns/ipc; grep -c ' /proc proc' /proc/self/mounts")
    assert out.split() == [*(os.readlink(f"/proc/self/ns/{kind}") for kind in ("pid", "ipc")), "1"]


@subordinate
def test_groups_can_be_set(rootless: Rootless) -> None:
    """user, additionalGids, and setgroups(2) in the container."""
    rootless.bundle.process["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [7, 8]}
    assert rootless.sh("id -u; id -G; cat /proc/self/setgroups; touch /tmp/x; stat -c %u:%g /tmp/x").split() == [
        *("1000", "1001", "7", "8", "allow", "1000:1001"),
    ]
    owner = os.stat(f"{rootless.bundle.rootfs}/tmp/x")
    assert (owner.st_uid, owner.st_gid) == (SUBORDINATE + 999, SUBORDINATE + 1000)


@alone
def test_groups_cannot_be_set(rootless: Rootless) -> None:
    """The kernel wants that denied before it lets a user map its own group."""
    assert rootless.sh("id -u; cat /proc/self/setgroups").split() == ["0", "deny"]


@subordinate
@pytest.mark.parametrize("own", [True, False])
def test_mappings_of_the_document(rootless: Rootless, own: bool) -> None:
    """With the caller's own id or without it, in any order and number of ranges."""
    mappings = [
        {"containerID": 5, "hostID": SUBORDINATE + 10, "size": 10},
        {"containerID": 0, "hostID": UID if own else SUBORDINATE, "size": 1},
    ]
    rootless.bundle.namespace("user")
    rootless.bundle.linux.update(uidMappings=mappings, gidMappings=mappings)
    rootless.bundle.process["user"] = {"uid": 6, "gid": 6}
    os.chmod(rootless.bundle.rootfs + "/tmp", 0o1777)
    pid = rootless.up("/bin/sh", "-c", "touch /tmp/x; sleep 100")
    process.wait_for(lambda: os.path.exists(f"{rootless.bundle.rootfs}/tmp/x"), "the file")
    assert os.stat(f"{rootless.bundle.rootfs}/tmp/x").st_uid == SUBORDINATE + 11
    assert rootless.call("exec", "--user", "0:0", "r", "/bin/stat", "-c", "%u", "/tmp/x").stdout == "6\n"
    rootless.down(pid)


def test_state_directory(rootless: Rootless) -> None:
    """An empty XDG_RUNTIME_DIR is none: then it is one in /tmp that must be the user's own."""
    fallback = f"/tmp/lxcri-{UID}"
    for unset in True, False:
        if unset:
            del rootless.env["XDG_RUNTIME_DIR"]
        else:
            rootless.env["XDG_RUNTIME_DIR"] = ""
        assert rootless.sh("echo here") == "here\n"
        status = os.stat(fallback)
        assert (status.st_uid, status.st_mode & 0o777) == (UID, 0o700)
        shutil.rmtree(fallback)
    os.mkdir(fallback, 0o777)
    done = rootless.run("/bin/true")
    os.rmdir(fallback)
    assert done.returncode == 1
    assert f"{fallback}: it belongs to another user" in done.stderr


def test_spec_rootless(rootless: Rootless) -> None:
    """What `spec --rootless` writes runs."""
    os.chown(rootless.bundle.path, UID, UID)
    assert rootless.call("spec", "--rootless").stderr == ""
    with open(f"{rootless.bundle.path}/config.json") as file:
        rootless.bundle.config = json.load(file)
    rootless.bundle.process["terminal"] = False
    out = rootless.sh("id -u; grep -c . /proc/self/uid_map; ls /sys/kernel >/dev/null && echo sys").split()
    assert out == ["0", "2" if rootless.subordinate else "1", "sys"]


def test_limits_are_refused(rootless: Rootless) -> None:
    """No cgroup can be made, and a limit that does not hold is no limit."""
    rootless.bundle.linux["resources"] = {"pids": {"limit": 5}}
    rootless.refused("linux.resources.pids")


def test_what_is_not_applied_is_said(rootless: Rootless) -> None:
    """A cgroup for its own sake, and rules for devices, whose nodes cannot be made anyway."""
    rootless.bundle.linux.update(cgroupsPath="/some/where", resources={"devices": [{"allow": False, "access": "rwm"}]})
    devices, path = rootless.log("/bin/true")
    assert devices == "linux.resources.devices is not applied: in a user namespace nothing can restrict devices"
    assert (
        path
        == 'linux.cgroupsPath "/some/where": no cgroup can be made by this user, the container stays in the caller\'s'
    )


def test_rootless_false(rootless: Rootless) -> None:
    """--rootless=false: a cgroup that cannot be made is an error."""
    done = rootless.run("/bin/true", options=("--rootless=false",))
    assert done.returncode == 1
    assert "cgroup: make" in done.stderr
    assert os.listdir(rootless.root) == []


def test_processes_without_a_cgroup(rootless: Rootless) -> None:
    """ps and kill --all take those of the pid namespace."""
    pid = rootless.up("/bin/sh", "-c", "trap 'echo got >>/tmp/init' TERM; while :; do sleep 0.1; done")
    other = ("exec", "--detach", "--pid-file", f"{rootless.bundle.path}/pid.2", "r")
    script = "trap 'echo got >>/tmp/other; exit 0' TERM; while :; do sleep 0.1; done"
    assert rootless.call(*other, "/bin/sh", "-c", script).stderr == ""
    with open(f"{rootless.bundle.path}/pid.2") as file:
        second = int(file.read())
    listed = json.loads(rootless.call("ps", "--format", "json", "r").stdout)
    assert {pid, second} <= set(listed)
    if shutil.which("ps"):
        assert str(second) in rootless.call("ps", "r").stdout
    assert rootless.call("kill", "--all", "r", "TERM").returncode == 0
    temporary = f"{rootless.bundle.rootfs}/tmp"
    process.wait_for(lambda: {"init", "other"} <= set(os.listdir(temporary)), "both traps")
    assert rootless.call("kill", "--all", "r", "KILL").stderr == ""
    os.waitpid(second, 0)  # the end of a pid namespace's init waits for that
    assert process.ended(pid)
    os.waitpid(pid, 0)
    assert rootless.call("delete", "r").stderr == ""


def test_processes_that_nothing_tells_from_others(rootless: Rootless) -> None:
    """With neither a cgroup nor a pid namespace."""
    rootless.bundle.without_namespace("pid")
    pid = rootless.up("/bin/sleep", "100")
    for words in ("ps", "r"), ("kill", "--all", "r", "KILL"):
        assert rootless.call(*words).stderr.endswith(
            "the container has neither a cgroup nor a pid namespace of its own\n"
        )
    rootless.down(pid)


@pytest.mark.parametrize("words", [("pause",), ("update", "--pids-limit", "5"), ("events", "--stats"), ("events",)])
def test_verbs_that_take_a_cgroup(rootless: Rootless, words: tuple[str, ...]) -> None:
    """They say so."""
    pid = rootless.up("/bin/sleep", "100")
    done = rootless.call(*words, "r")
    assert done.returncode == 1
    assert done.stderr == f"lxcri: {words[0]}: the container has no cgroup\n"
    rootless.down(pid)


@pytest.fixture
def delegated(rootless: Rootless, machine: Machine) -> Iterator[Rootless]:
    """The user has a cgroup in every hierarchy, and is in it."""
    parent = f"/{machine.prefix}-delegated"
    with engine.cgroups(f"{parent}/own"):
        directories = [f"{point}{parent}" for point in sorted(set(cgroup.mounts().values()))]
        for directory in directories:
            for path in directory, f"{directory}/own", f"{directory}/cgroup.procs", f"{directory}/own/cgroup.procs":
                os.chown(path, UID, UID)
        move = "for d; do [ $d = -- ] && break; echo $$ >$d/own/cgroup.procs; done"
        script = f'{move}; while [ "$1" != -- ]; do shift; done; shift; exec "$@"'
        rootless.wrapper = ["/bin/sh", "-c", script, "sh", *directories, "--"]
        rootless.bundle.linux["cgroupsPath"] = f"{parent}/container"
        yield rootless


def test_delegated_cgroup(delegated: Rootless) -> None:
    """Limits, pause, update, events, ps and kill --all, in cgroups that are the user's."""
    delegated.bundle.linux["resources"] = {"pids": {"limit": 17}, "memory": {"limit": 1 << 26}}
    pid = delegated.up("/bin/sleep", "1000")
    with open(f"/proc/{pid}/cgroup") as file:
        assert file.read().count("-delegated/container\n") == len(delegated.wrapper) - 5
    assert delegated.call("update", "--pids-limit", "18", "r").stderr == ""
    stats = json.loads(delegated.call("events", "--stats", "r").stdout)["data"]
    assert (stats["pids"]["limit"], stats["memory"]["usage"]["limit"]) == (18, 1 << 26)
    assert delegated.call("pause", "r").stderr == ""
    assert json.loads(delegated.call("state", "r").stdout)["status"] == "paused"
    assert delegated.call("resume", "r").stderr == ""
    assert delegated.call("exec", "r", "/bin/grep", "-c", "/container$", "/proc/self/cgroup").returncode == 0
    assert json.loads(delegated.call("ps", "--format", "json", "r").stdout) == [pid]
    assert delegated.call("kill", "--all", "r", "KILL").stderr == ""
    assert process.ended(pid)
    os.waitpid(pid, 0)
    assert delegated.call("delete", "r").stderr == ""


def test_limit_in_a_delegated_cgroup_binds(delegated: Rootless) -> None:
    """What goes beyond it fails."""
    delegated.bundle.linux["resources"] = {"pids": {"limit": 5}}
    done = delegated.run("/bin/sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 1 & done; wait")
    assert "can't fork" in done.stderr


def mapping(host: int, size: int = 1) -> dict[str, Any]:
    """One of container root."""
    return {"containerID": 0, "hostID": host, "size": size}


@subordinate
@pytest.mark.parametrize("property", ["uidMappings", "gidMappings"])
def test_ids_of_others(rootless: Rootless, property: str) -> None:
    """newuidmap and newgidmap refuse them."""
    rootless.bundle.namespace("user")
    rootless.bundle.linux.update(uidMappings=[mapping(SUBORDINATE, 10)], gidMappings=[mapping(SUBORDINATE, 10)])
    rootless.bundle.linux[property] = [mapping(OTHER, 10)]
    rootless.refused(f"linux.{property}: new{property[:3]}map: {property[:3]} range", "not allowed")


@pytest.mark.parametrize("property", ["uidMappings", "gidMappings"])
def test_without_newuidmap(rootless: Rootless, property: str) -> None:
    """Other ids are an error that says what is missing."""
    rootless.env["PATH"] = "/bin/missing"
    rootless.bundle.namespace("user")
    rootless.bundle.linux.update(uidMappings=[mapping(UID)], gidMappings=[mapping(UID)])
    rootless.bundle.linux[property] = [mapping(SUBORDINATE, 10)]
    program = f"new{property[:3]}map"
    rootless.refused(f"linux.{property}: {program} is not installed: without it a user has only its own id")
