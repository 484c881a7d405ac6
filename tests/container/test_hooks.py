"""config.json's hooks: when, where and with what each kind runs."""

from __future__ import annotations

import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from oci import mountinfo

if TYPE_CHECKING:
    from oci.bundle import Bundle

KINDS = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
AT_CREATE = ["prestart", "createRuntime", "createContainer"]

RECORDER = """#!/bin/busybox sh
# what a hook sees, in files of the directory that is its first argument
PATH=/bin:/usr/bin:/sbin
out=$1/$2
busybox cat >$out.state
busybox tr '\\0' '\\n' </proc/self/environ >$out.env
busybox readlink /proc/self/ns/mnt >$out.mnt
busybox readlink /proc/self/ns/net >$out.net
busybox printf '%s\\n' "$@" >$out.args
busybox pwd >$out.cwd
echo $2 >>$1/order
"""


class Recording:
    """Hooks that leave in a directory what they see."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.path = bundle.directory("seen")
        os.chmod(self.path, 0o777)
        bundle.file("seen/order", mode=0o666)
        self.script = bundle.file("record", RECORDER, 0o755)
        # startContainer hooks are looked up in the container: it sees the same paths
        bundle.bind(self.path, self.path)
        bundle.bind(self.script, self.script)

    def hook(self, name: str, *args: str, **more: Any) -> dict[str, Any]:
        """A hook that records under this name."""
        return {"path": self.script, "args": ["record", self.path, name, *args], **more}

    def read(self, name: str) -> str:
        """One of the files."""
        with open(os.path.join(self.path, name)) as file:
            return file.read()

    def order(self) -> list[str]:
        """The hooks that ran, in order."""
        return self.read("order").split()

    def state(self, name: str) -> dict[str, Any]:
        """The state that a hook got on stdin."""
        state = json.loads(self.read(f"{name}.state"))
        assert isinstance(state, dict)
        return state


@pytest.fixture
def recording(bundle: Bundle) -> Recording:
    """A recorder whose paths are the same in the container."""
    if not os.path.exists("/bin/busybox"):
        pytest.skip("hooks of this kind need /bin/busybox")
    return Recording(bundle)


def test_hooks_of_create(bundle: Bundle, recording: Recording) -> None:
    """prestart, createRuntime, createContainer: in this order, in the list's order, during create."""
    bundle.config["hooks"] = {
        "createContainer": [recording.hook("createContainer")],
        "createRuntime": [recording.hook("createRuntime-1"), recording.hook("createRuntime-2")],
        "prestart": [recording.hook("prestart-1"), recording.hook("prestart-2")],
    }
    container = bundle.container("/bin/true")
    container.create()
    wanted = ["prestart-1", "prestart-2", "createRuntime-1", "createRuntime-2", "createContainer"]
    assert recording.order() == wanted
    container.start()
    assert recording.order() == wanted


def test_create_container_hooks_make_no_files_for_all_to_write(bundle: Bundle, recording: Recording) -> None:
    """Their umask is an ordinary one, and they are in the root file system of the container."""
    script = bundle.file("files", f"#!/bin/sh\npwd >{recording.path}/made; umask >>{recording.path}/made\n", 0o755)
    bundle.config["hooks"] = {"createContainer": [{"path": script}]}
    bundle.container("/bin/true").create()
    assert recording.read("made") == f"{bundle.rootfs}\n0022\n"
    assert os.stat(os.path.join(recording.path, "made")).st_mode & 0o777 == 0o644


@pytest.mark.runc_differs("1.1 runs poststart hooks in create")
def test_hooks_of_start(bundle: Bundle, recording: Recording) -> None:
    """startContainer before the process, poststart after it."""
    bundle.config["hooks"] = {
        "poststart": [recording.hook("poststart-1"), recording.hook("poststart-2")],
        "startContainer": [recording.hook("startContainer-1"), recording.hook("startContainer-2")],
    }
    container = bundle.container("/bin/sleep", "100")
    container.create()
    assert recording.order() == []
    container.start()
    assert recording.order() == ["startContainer-1", "startContainer-2", "poststart-1", "poststart-2"]


def test_start_container_hook_runs_before_the_process(bundle: Bundle, recording: Recording) -> None:
    """The process finds what the hook left."""
    bundle.config["hooks"] = {"startContainer": [recording.hook("startContainer")]}
    assert bundle.sh(f"cat {recording.path}/order") == "startContainer\n"


def test_hooks_of_delete(bundle: Bundle, recording: Recording) -> None:
    """poststop after the container is deleted."""
    bundle.config["hooks"] = {"poststop": [recording.hook("poststop-1"), recording.hook("poststop-2")]}
    container = bundle.container("/bin/true").up()
    container.wait()
    assert recording.order() == []
    container.delete().ok()
    assert recording.order() == ["poststop-1", "poststop-2"]


@pytest.mark.runc_differs("1.1 runs poststart hooks in create")
def test_hooks_of_a_foreground_run(bundle: Bundle, recording: Recording) -> None:
    """``run`` has them all."""
    bundle.config["hooks"] = {kind: [recording.hook(kind)] for kind in KINDS}
    bundle.run("/bin/true").ok()
    order = recording.order()
    assert order[:4] == KINDS[:4]
    assert sorted(order[4:]) == ["poststart", "poststop"]


def test_namespaces(bundle: Bundle, recording: Recording) -> None:
    """createContainer and startContainer run in the container's namespaces, the others in the runtime's."""
    bundle.config["hooks"] = {kind: [recording.hook(kind)] for kind in KINDS}
    container = bundle.container("/bin/sleep", "100").up()
    inside = {
        "mnt": os.readlink(f"/proc/{container.pid}/ns/mnt"),
        "net": os.readlink(f"/proc/{container.pid}/ns/net"),
    }
    outside = {"mnt": os.readlink("/proc/self/ns/mnt"), "net": os.readlink("/proc/self/ns/net")}
    container.kill("KILL").ok()
    container.wait()
    container.delete().ok()
    for kind in KINDS:
        expected = inside if kind in ("createContainer", "startContainer") else outside
        assert recording.read(f"{kind}.mnt").strip() == expected["mnt"], kind
        assert recording.read(f"{kind}.net").strip() == expected["net"], kind


@pytest.mark.parametrize("kind", KINDS)
def test_args_and_env_are_exact(bundle: Bundle, recording: Recording, kind: str) -> None:
    """args as given; the environment is env, and nothing of the runtime's."""
    bundle.config["hooks"] = {kind: [recording.hook(kind, "two words", "", env=["PATH=/bin", "A=1 = 2", "LAST="])]}
    bundle.run("/bin/true", env={"PATH": "/bin", "LEAK": "1"}).ok()
    assert recording.read(f"{kind}.args").split("\n") == [recording.path, kind, "two words", "", ""]
    environment = [line for line in recording.read(f"{kind}.env").splitlines() if not line.startswith("PWD=")]
    assert environment == ["PATH=/bin", "A=1 = 2", "LAST="]


@pytest.mark.runc_differs("1.1 gives them its own environment then")
@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "poststart", "poststop"])
def test_no_env_means_an_empty_one(bundle: Bundle, recording: Recording, kind: str) -> None:
    """env absent: what the shell itself adds is all there is."""
    bundle.config["hooks"] = {kind: [recording.hook(kind)]}
    bundle.run("/bin/true", env={"PATH": "/bin", "LEAK": "1"}).ok()
    assert "LEAK=1" not in recording.read(f"{kind}.env").splitlines()


def test_args_0_is_the_hooks_own(bundle: Bundle) -> None:
    """The file is path, the name is args[0]: busybox shows that it gets it."""
    out = os.path.join(bundle.path, "out")
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/busybox", "args": ["touch", out]}]}
    bundle.run("/bin/true").ok()
    assert os.path.exists(out)


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("prestart", {"creating", "created"}),
        ("createRuntime", {"creating", "created"}),
        ("createContainer", {"creating", "created"}),
        ("startContainer", {"created"}),
        pytest.param("poststart", {"running"}, marks=pytest.mark.runc_differs("1.1 runs poststart hooks in create")),
        ("poststop", {"stopped"}),
    ],
)
def test_state_on_stdin(bundle: Bundle, recording: Recording, kind: str, status: set[str]) -> None:
    """The container's state with everything that state.md demands."""
    bundle.config["annotations"] = {"com.example.key": 'value with "quotes" and ü'}
    bundle.config["hooks"] = {kind: [recording.hook(kind)]}
    container = bundle.container("/bin/sleep", "100").up()
    pid = container.pid
    if kind == "poststop":
        container.kill("KILL").ok()
        container.wait()
        container.delete().ok()
    state = recording.state(kind)
    assert state["ociVersion"]
    assert state["id"] == container.id
    assert state["bundle"] == bundle.path
    assert state["annotations"]["com.example.key"] == 'value with "quotes" and ü'
    assert state["status"] in status
    if kind in ("prestart", "createRuntime", "poststart"):
        assert state["pid"] == pid
    if kind == "poststop":
        assert not state.get("pid")


def test_network_namespace_is_there_for_prestart(bundle: Bundle, recording: Recording) -> None:
    """docker's network set-up opens /proc/<pid>/ns/net from the state on stdin."""
    script = bundle.file(
        "net",
        "#!/bin/busybox sh\n"
        "pid=$(busybox sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/')\n"
        "busybox readlink /proc/$pid/ns/net >$1\n",
        0o755,
    )
    out = os.path.join(bundle.path, "out")
    bundle.config["hooks"] = {"prestart": [{"path": script, "args": ["net", out]}]}
    container = bundle.container("/bin/sleep", "100").up()
    with open(out) as file:
        assert file.read().strip() == os.readlink(f"/proc/{container.pid}/ns/net")


def test_create_container_hook_sees_the_mounts(bundle: Bundle) -> None:
    """After the mounts are made, before pivot_root: they are below the host's path of the root."""
    out = os.path.join(bundle.path, "out")
    script = bundle.file("look", f"#!/bin/busybox sh\nbusybox cat /proc/self/mountinfo >{out}\n", 0o755)
    bundle.config["hooks"] = {"createContainer": [{"path": script}]}
    bundle.run("/bin/true").ok()
    with open(out) as file:
        assert mountinfo.at(file.read(), f"{bundle.rootfs}/dev/shm").fstype == "tmpfs"


def test_create_container_hook_may_mount(bundle: Bundle) -> None:
    """What it mounts in the root file system (as libnvidia's hook does) is there for the process."""
    script = bundle.file("mounter", f"#!/bin/busybox sh\nbusybox mount -t tmpfs hooked {bundle.rootfs}/srv\n", 0o755)
    bundle.config["hooks"] = {"createContainer": [{"path": script}]}
    assert "hooked on /srv type tmpfs" in bundle.sh("mount")


def test_hooks_of_the_runtime_may_change_the_containers_network(bundle: Bundle) -> None:
    """A createRuntime hook that enters the network namespace by pid."""
    script = bundle.file(
        "net",
        "#!/bin/sh\n"
        "PATH=/bin:/usr/bin:/sbin:/usr/sbin\n"
        "pid=$(busybox sed 's/.*\"pid\": *\\([0-9]*\\).*/\\1/')\n"
        "exec nsenter --net=/proc/$pid/ns/net busybox ip addr add 192.0.2.7/32 dev lo\n",
        0o755,
    )
    bundle.config["hooks"] = {"createRuntime": [{"path": script}]}
    assert "192.0.2.7" in bundle.sh("ip addr show lo")


@pytest.mark.parametrize("kind", AT_CREATE)
def test_failing_hook_aborts_create(bundle: Bundle, kind: str) -> None:
    """Nothing is left, and the message has the hook's place and status."""
    script = bundle.file("fail", "#!/bin/sh\necho reason >&2\nexit 3\n", 0o755)
    bundle.config["hooks"] = {kind: [{"path": script}]}
    container = bundle.container("/bin/true")
    container.attempt_create().refused("exit status 3", where=f"hooks.{kind}[0]")
    assert bundle.runtime.containers() == []


def test_failing_hook_stops_the_following_ones(bundle: Bundle, recording: Recording) -> None:
    """The first failure ends it."""
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/false"}, recording.hook("second")]}
    bundle.run("/bin/true").refused(where="hooks.createRuntime[0]")
    assert recording.order() == []


def test_failing_start_container_hook_aborts_start(bundle: Bundle) -> None:
    """The process never runs; the container is stopped."""
    bundle.config["hooks"] = {"startContainer": [{"path": "/bin/false"}]}
    container = bundle.shell("echo ran")
    container.create()
    result = container.attempt_start()
    container.wait()
    assert container.output() == ""
    if bundle.runtime.is_lxcri:
        result.refused(where="hooks.startContainer[0]")
    assert container.status() == "stopped"


@pytest.mark.runc_differs("1.1 does not fail start, and kills the container")
def test_failing_poststart_hook_fails_start(bundle: Bundle) -> None:
    """Since version 1.3 of the specification: the runtime MUST generate an error and stop the container."""
    bundle.config["hooks"] = {"poststart": [{"path": "/bin/false"}]}
    container = bundle.container("/bin/sleep", "100")
    container.create()
    container.attempt_start().refused(where="hooks.poststart[0]")
    container.wait()
    assert container.status() == "stopped"


@pytest.mark.parametrize("kind", ["createRuntime", "createContainer", None])
def test_poststop_after_a_create_that_failed(bundle: Bundle, recording: Recording, kind: str | None) -> None:
    """The MUSTs of runtime.md's lifecycle, steps 5 to 13: what a hook has set up another one gets to take away."""
    bundle.config["hooks"] = {"poststop": [recording.hook("first"), recording.hook("second")]}
    if kind:
        bundle.config["hooks"][kind] = [{"path": "/bin/sh", "args": ["sh", "-c", "exit 3"]}]
    container = bundle.container("/bin/true" if kind else "/no/such/program")
    bundle.write()
    assert container.runtime.call("create", "--bundle", bundle.path, container.id).returncode != 0
    assert recording.order() == ["first", "second"]
    assert recording.state("first")["status"] == "stopped"
    assert container.runtime.containers() == []


def test_failing_poststop_hook_only_warns(bundle: Bundle, recording: Recording) -> None:
    """The container is gone all the same, and the following hooks run."""
    bundle.config["hooks"] = {"poststop": [{"path": "/bin/false"}, recording.hook("second")]}
    container = bundle.container("/bin/true").up()
    container.wait()
    container.delete().ok()
    assert bundle.runtime.containers() == []
    if bundle.runtime.is_lxcri:  # others stop at the first failure
        assert recording.order() == ["second"]


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_missing_hook_is_an_error(bundle: Bundle, kind: str) -> None:
    """The path and the reason."""
    bundle.config["hooks"] = {kind: [{"path": "/no/such/hook"}]}
    bundle.run("/bin/true").refused("/no/such/hook", "no such file or directory", where=f"hooks.{kind}[0]")


@pytest.mark.runc_differs("1.1 does not check it", run=False)
def test_hook_path_must_be_absolute(bundle: Bundle) -> None:
    """hooks.path MUST be absolute."""
    bundle.config["hooks"] = {"createRuntime": [{"path": "bin/true"}]}
    bundle.run("/bin/true").refused("bin/true", where="hooks.createRuntime[0].path")


@pytest.mark.parametrize("kind", AT_CREATE)
def test_timeout_kills_the_hook(bundle: Bundle, kind: str) -> None:
    """timeout, in seconds; the hook is dead and the create has failed when it is over."""
    script = bundle.file("slow", "#!/bin/sh\nexec sleep 1000\n", 0o755)
    bundle.config["hooks"] = {kind: [{"path": script, "timeout": 1}]}
    before = time.monotonic()
    result = bundle.run("/bin/true")
    assert time.monotonic() - before > 0.9
    assert result.returncode == 1
    assert "timeout" in result.message or "timed out" in result.message


def test_timeout_must_be_positive(bundle: Bundle) -> None:
    """timeout MUST be greater than zero."""
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/true", "timeout": 0}]}
    bundle.run("/bin/true").refused(where="hooks.createRuntime[0].timeout")


def test_hook_that_ignores_stdin(bundle: Bundle) -> None:
    """A hook that does not read the state is no failure."""
    bundle.config["annotations"] = {"large": "x" * 200000}
    bundle.config["hooks"] = {
        "createRuntime": [{"path": "/bin/true"}],
        "createContainer": [{"path": "/bin/true"}],
    }
    bundle.run("/bin/true").ok()


def test_large_state_arrives(bundle: Bundle, recording: Recording) -> None:
    """More than a pipe holds."""
    bundle.config["annotations"] = {"large": "x" * 200000}
    bundle.config["hooks"] = {"createRuntime": [recording.hook("hook")]}
    bundle.run("/bin/true").ok()
    assert len(recording.state("hook")["annotations"]["large"]) == 200000


def test_hook_with_default_signals(bundle: Bundle) -> None:
    """Hooks do not inherit what Python ignores."""
    out = os.path.join(bundle.path, "out")
    script = bundle.file("signals", f"#!/bin/busybox sh\nbusybox grep SigIgn /proc/self/status >{out}\n", 0o755)
    bundle.config["hooks"] = {"createRuntime": [{"path": script}]}
    bundle.run("/bin/true").ok()
    with open(out) as file:
        assert int(file.read().split()[1], 16) & (1 << 12 | 1 << 24) == 0  # SIGPIPE, SIGXFSZ


def test_cwd_of_hooks(bundle: Bundle, recording: Recording) -> None:
    """Runtime hooks run in the bundle, as with runc."""
    bundle.config["hooks"] = {"createRuntime": [recording.hook("hook")]}
    bundle.run("/bin/true").ok()
    assert recording.read("hook.cwd").strip() == bundle.path


def test_hooks_in_a_user_namespace(bundle: Bundle, recording: Recording) -> None:
    """createContainer hooks run as the container's root there."""
    bundle.user_namespace()
    os.chmod(bundle.path, 0o755)
    bundle.config["hooks"] = {kind: [recording.hook(kind)] for kind in ("createRuntime", "createContainer")}
    bundle.run("/bin/true").ok()
    assert recording.order() == ["createRuntime", "createContainer"]


def test_hooks_and_annotations_of_another_container_do_not_mix(bundle: Bundle, recording: Recording) -> None:
    """poststop gets the state of its own container."""
    bundle.config["hooks"] = {"poststop": [recording.hook("poststop")]}
    first, second = bundle.container("/bin/true").up(), bundle.container("/bin/true").up()
    first.wait()
    second.wait()
    second.delete().ok()
    assert recording.state("poststop")["id"] == second.id
    first.delete().ok()
    assert recording.state("poststop")["id"] == first.id
