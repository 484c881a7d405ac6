"""The steps of the original Create and configure* functions that no other file tests, by name.

The others are in the file of their subject: look for "seed:".
"""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING

import pytest
from oci import mountinfo

if TYPE_CHECKING:
    from oci.bundle import Bundle
    from oci.runtime import Container

SAVED = pytest.mark.lxcri_only("the saved liblxc configuration")


def saved(container: Container, key: str) -> list[str]:
    """Values of a liblxc item of a created container."""
    with open(os.path.join(container.runtime.root, container.id, "config")) as file:
        lines = [line.partition("=") for line in file.read().splitlines()]
    return [value.strip() for name, _, value in lines if name.strip() == key]


def created(bundle: Bundle) -> Container:
    container = bundle.container("/bin/true")
    container.create()
    return container


def test_check_config(bundle: Bundle) -> None:
    """seed: Create: checkConfig: nothing is made for a container whose config is bad."""
    bundle.config["root"]["path"] = "/no/such/root"
    container = bundle.container("/bin/true")
    container.attempt_create().refused()
    assert bundle.runtime.containers() == []


def test_runtime_dir(bundle: Bundle) -> None:
    """seed: Create: runtimeDir: the container's files are in <root>/<id>."""
    container = created(bundle)
    assert os.path.isdir(os.path.join(bundle.runtime.root, container.id))


@SAVED
def test_config_file_annotation(bundle: Bundle) -> None:
    """seed: Create: cfg.Spec.Annotations["org.linuxcontainers.lxc.ConfigFile"] names a file that is there."""
    container = created(bundle)
    assert os.path.isfile(container.state()["annotations"]["org.linuxcontainers.lxc.ConfigFile"])


@SAVED
@pytest.mark.parametrize("name", ["config.json", "hooks.json", "state.json"])
def test_documents_for_hooks(bundle: Bundle, name: str) -> None:
    """seed: Create: specki.EncodeJSONFile: the modified spec, its hooks and the state, for their owner only."""
    container = created(bundle)
    path = os.path.join(bundle.runtime.root, container.id, name)
    with open(path) as file:
        assert isinstance(json.load(file), dict)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600


def test_create_must_not_find_a_container(bundle: Bundle) -> None:
    """seed: Create: os.O_EXCL: what is there already is not overwritten."""
    first = created(bundle)
    before = first.state()
    bundle.container("/bin/true", identity=first.id).attempt_create().refused("already exists")
    assert first.state() == before


def test_run_start_cmd(bundle: Bundle) -> None:
    """seed: Create: rt.runStartCmd: the container's process exists when create ends, and waits."""
    container = created(bundle)
    assert os.path.isdir(f"/proc/{container.pid}")
    assert container.status() == "created"


def test_set_log(bundle: Bundle) -> None:
    """seed: configureContainer: c.SetLog: liblxc writes no log of its own to the caller's output."""
    result = bundle.run("/bin/true").ok()
    assert (result.stdout, result.stderr) == ("", "")


def test_init(bundle: Bundle) -> None:
    """seed: configureInit: the process of the spec is the container's init, with its cwd and its environment."""
    bundle.process["cwd"] = "/usr"
    bundle.process["env"] = ["PATH=/bin", "X=1"]
    container = bundle.container("/bin/sleep", "100").up()
    assert os.readlink(f"/proc/{container.pid}/cwd") == "/usr"
    assert "X=1" in container.proc("environ").split("\0")


def test_nothing_of_the_runtime_is_in_the_container(bundle: Bundle) -> None:
    """seed: configureInit: dropped: no /.lxcri in the container, neither as a file nor as a mount."""
    before = sorted(os.listdir(bundle.rootfs))
    container = bundle.container("/bin/sleep", "100").up()
    assert sorted(os.listdir(container.path("/"))) == before
    assert "lxcri" not in {mount.source for mount in mountinfo.of_process(container.pid)}


@SAVED
def test_uts_name(bundle: Bundle) -> None:
    """seed: configureHostname: lxc.uts.name."""
    assert saved(created(bundle), "lxc.uts.name") == ["inside"]


@SAVED
def test_rootfs_items(bundle: Bundle) -> None:
    """seed: configureRootfs: lxc.rootfs.path, lxc.rootfs.mount, lxc.rootfs.managed=0, lxc.ephemeral=0."""
    container = created(bundle)
    assert [value.removeprefix("dir:") for value in saved(container, "lxc.rootfs.path")] == [bundle.rootfs]
    assert saved(container, "lxc.rootfs.mount") == [bundle.rootfs]
    assert saved(container, "lxc.rootfs.managed") == ["0"]
    assert saved(container, "lxc.ephemeral") == ["0"]


@SAVED
def test_namespace_items(bundle: Bundle) -> None:
    """seed: configureNamespaces: lxc.namespace.clone."""
    (value,) = saved(created(bundle), "lxc.namespace.clone")
    assert set(value.split()) == {"pid", "net", "ipc", "uts", "mnt"}


@SAVED
def test_idmap_items(bundle: Bundle) -> None:
    """seed: configureNamespaces: lxc.idmap."""
    bundle.user_namespace()
    os.chmod(bundle.path, 0o755)
    assert saved(created(bundle), "lxc.idmap") == ["u 0 100000 65536", "g 0 100000 65536"]


@SAVED
def test_oom_score_adj_item(bundle: Bundle) -> None:
    """seed: configureContainer: lxc.proc.oom_score_adj."""
    bundle.process["oomScoreAdj"] = 77
    assert saved(created(bundle), "lxc.proc.oom_score_adj") == ["77"]


@SAVED
def test_apparmor_item(bundle: Bundle) -> None:
    """seed: configureApparmor: unconfined when the spec has no profile, so that liblxc's default does not apply."""
    assert saved(created(bundle), "lxc.apparmor.profile") == ["unconfined"]


def test_apparmor_profile_of_the_spec(bundle: Bundle) -> None:
    """seed: configureApparmor: the spec's profile; a host without AppArmor refuses it."""
    if os.path.isdir("/sys/kernel/security/apparmor"):
        bundle.process["apparmorProfile"] = "unconfined"
        bundle.run().ok()
    else:
        bundle.process["apparmorProfile"] = "some-profile"
        bundle.run().refused("pparmor", where="process.apparmorProfile")


@SAVED
def test_autodev_item(bundle: Bundle) -> None:
    """seed: configureContainer: lxc.autodev=0."""
    assert saved(created(bundle), "lxc.autodev") == ["0"]


@pytest.mark.lxcri_only("others fail without CAP_MKNOD")
def test_devices_without_mknod(bundle: Bundle) -> None:
    """seed: configureContainer: rt.hasCapability("mknod"): without CAP_MKNOD devices are bind mounts of the host's."""
    bundle.linux["devices"] = [{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11}]
    for kind in bundle.process["capabilities"].values():
        kind.remove("CAP_MKNOD")
    out = bundle.sh(
        "echo x >/dev/null && stat -c %F /dev/zero /dev/kmsg && cat /proc/self/mountinfo",
        wrapper=("setpriv", "--bounding-set=-mknod", "--inh-caps=-mknod"),
    )
    lines = out.splitlines()
    assert lines[:2] == ["character special file"] * 2
    points = {mount.point for mount in mountinfo.parse("\n".join(lines[2:]))}
    assert {"/dev/null", "/dev/zero", "/dev/kmsg"} <= points


def test_sysctls_are_all_written(bundle: Bundle) -> None:
    """seed: configureContainer: for key, val := range c.Spec.Linux.Sysctl."""
    bundle.linux["sysctl"] = {"kernel.shmmni": "4000", "kernel.msgmni": "3000", "net.ipv4.ip_forward": "1"}
    names = "kernel/shmmni kernel/msgmni net/ipv4/ip_forward"
    assert bundle.sh(f"cd /proc/sys && cat {names}").split() == ["4000", "3000", "1"]


def test_readonly_paths_of_engines(bundle: Bundle) -> None:
    """seed: configureReadonlyPaths: every path of the list, those that are missing left out."""
    paths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger", "/proc/no-such"]
    bundle.linux["readonlyPaths"] = paths
    info = bundle.sh("cat /proc/self/mountinfo")
    for path in paths[:-1]:
        if os.path.exists(path):
            assert "ro" in mountinfo.at(info, path).options, path


def test_release(bundle: Bundle) -> None:
    """seed: Create: "should call Runtime.Delete even if the Create returned with an error": no need to here."""
    container = bundle.container("/no/such/program")
    container.attempt_create().refused()
    bundle.runtime.call("delete", "--force", container.id).ok()
    assert bundle.runtime.containers() == []
