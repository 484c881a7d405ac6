"""Images that were made to lead the runtime out of the container, or to hold it up."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from oci.console import ConsoleSocket

if TYPE_CHECKING:
    from oci.bundle import Bundle
    from oci.runtime import Result

PATIENCE = 5.0  # seconds; what waits for the image would wait for ever


def create(bundle: Bundle) -> Result:
    """``create``, which must come to an end, whichever."""
    bundle.write()
    container = bundle.container()
    result = bundle.runtime.call("create", "--bundle", bundle.path, container.id, timeout=PATIENCE)
    if result.returncode == 0:
        container.delete("--force").ok()
    return result


def image_path(bundle: Bundle, path: str) -> str:
    """A path of the image, whose parents are made; what is there is removed."""
    full = os.path.join(bundle.rootfs, path)
    os.makedirs(os.path.dirname(full), exist_ok=True)
    if os.path.isdir(full) and not os.path.islink(full):
        os.rmdir(full)
    elif os.path.lexists(full):
        os.unlink(full)
    return full


def without_mounts(bundle: Bundle, *destinations: str) -> None:
    """Leave out the mounts at and below these."""
    bundle.config["mounts"] = [
        m
        for m in bundle.config["mounts"]
        if not any((m["destination"] + "/").startswith(d + "/") for d in destinations)
    ]


@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize("dangling", [True, False])
@pytest.mark.parametrize("component", ["a", "a/b", "a/b/c"])
def test_links_in_mount_targets_stay_inside(bundle: Bundle, component: str, dangling: bool, absolute: bool) -> None:
    """Whichever component is one, and whether what it names exists."""
    outside = bundle.directory("outside")
    target = outside if absolute else "../../../../../../../../../../../.." + outside
    os.symlink(target, image_path(bundle, component))
    if not dangling:
        os.makedirs(bundle.rootfs + outside)
    bundle.mount("/a/b/c", "tmpfs", "tmpfs")
    bundle.bind(bundle.file("source"), "/a/b/file")
    result = create(bundle)
    assert os.listdir(outside) == []
    result.ok()


@pytest.mark.parametrize("link", ["/proc/self/root/etc", "/proc/1/root", "/proc/self/fd/3", "/proc/self/cwd/x"])
def test_magic_links_in_mount_targets_lead_nowhere(bundle: Bundle, link: str) -> None:
    """They would be followed without any regard to the root."""
    os.symlink(link, image_path(bundle, "srv/link"))
    bundle.mount("/srv/link/lxcri-magic", "tmpfs", "tmpfs")
    create(bundle)
    assert not os.path.exists("/etc/lxcri-magic")
    assert not os.path.exists("/lxcri-magic")


@pytest.mark.runc_differs("1.1 follows the link, and says something else")
@pytest.mark.parametrize("name", ["proc", "sys"])
@pytest.mark.parametrize("kind", ["link", "file", "pipe"])
def test_places_of_kernel_file_systems(bundle: Bundle, name: str, kind: str) -> None:
    """What is no directory is refused."""
    full = image_path(bundle, name)
    if kind == "link":
        os.symlink("tmp", full)
    elif kind == "file":
        os.close(os.open(full, os.O_CREAT))
    else:
        os.mkfifo(full)
    create(bundle).refused("not a directory", where=name)


@pytest.mark.lxcri_only("runc 1.1 masks with whatever is there")
@pytest.mark.parametrize("kind", ["file", "pipe", "link", "directory"])
def test_null_device_of_the_image(bundle: Bundle, kind: str) -> None:
    """What masks paths is the real one, or there is no container."""
    without_mounts(bundle, "/dev")
    full = image_path(bundle, "dev/null")
    if kind == "file":
        os.close(os.open(full, os.O_CREAT))
    elif kind == "pipe":
        os.mkfifo(full)
    elif kind == "link":
        os.symlink("/etc/passwd", full)
    else:
        os.mkdir(full)
    bundle.linux["maskedPaths"] = ["/proc/kcore"]
    assert create(bundle).returncode != 0


@pytest.mark.runc_differs("1.1 makes links where it leads")
def test_dev_that_is_a_link(bundle: Bundle) -> None:
    """No device and no mount is made where it leads."""
    outside = bundle.directory("outside")
    without_mounts(bundle, "/dev")
    os.symlink(outside, image_path(bundle, "dev"))
    create(bundle)
    assert os.listdir(outside) == []


@pytest.mark.parametrize("kind", ["pipe", "device", "link", "directory", "endless", "binary"])
def test_passwd_of_the_image(bundle: Bundle, kind: str) -> None:
    """It is read for the user's home: nothing in its place does any harm."""
    full = image_path(bundle, "etc/passwd")
    if kind == "pipe":
        os.mkfifo(full)
    elif kind == "device":
        os.mknod(full, stat.S_IFCHR | 0o666, os.makedev(5, 0))
    elif kind == "link":
        os.symlink("/proc/self/fd/0", full)
    elif kind == "directory":
        os.mkdir(full)
    elif kind == "endless":
        with open(full, "wb") as file:
            file.truncate(1 << 40)
    else:
        with open(full, "wb") as file:
            file.write(b"\n:::\n\0root:x:0:\nroot:x:99999999999999999999:0::/x:\nroot:x:0" + b"\xff" * 70000)
    bundle.process["args"] = ["/bin/true"]
    if bundle.runtime.is_lxcri:
        create(bundle).ok()
    elif kind not in ("pipe", "endless"):
        create(bundle)


@pytest.mark.parametrize("name", ["proc/sys/kernel/domainname", "proc/sys/net/ipv4/ip_forward"])
@pytest.mark.lxcri_only("runc would wait for who reads the pipe")
def test_sysctl_without_a_proc(bundle: Bundle, name: str) -> None:
    """What the image has in its place is not written to, nor waited for."""
    without_mounts(bundle, "/proc")
    os.mkfifo(image_path(bundle, name))
    bundle.linux["sysctl"] = {name.removeprefix("proc/sys/").replace("/", "."): "1"}
    create(bundle).refused(where="linux.sysctl")


@pytest.mark.parametrize("kind", ["file", "pipe", "device"])
def test_terminal_device_of_the_image(bundle: Bundle, kind: str) -> None:
    """Without a devpts there is no terminal, whatever the image has there."""
    without_mounts(bundle, "/dev")
    full = image_path(bundle, "dev/pts/ptmx")
    if kind == "file":
        os.close(os.open(full, os.O_CREAT))
    elif kind == "pipe":
        os.mkfifo(full)
    else:
        os.mknod(full, stat.S_IFCHR | 0o666, os.makedev(1, 5))
    bundle.process["terminal"] = True
    bundle.write()
    container = bundle.container()
    with ConsoleSocket(os.path.join(bundle.path, "console.sock")) as console:
        result = bundle.runtime.call(
            "create", "--bundle", bundle.path, "--console-socket", console.path, container.id, timeout=PATIENCE
        )
    assert result.returncode == 1


@pytest.mark.parametrize(
    "cwd", ["/proc/self/fd/3", "/proc/self/fd/7", "/proc/self/fd/8", "/proc/self/cwd", "/srv/link"]
)
def test_working_directory_outside(bundle: Bundle, cwd: str) -> None:
    """CVE-2024-21626: a descriptor of the runtime's names no working directory."""
    os.symlink("/proc/self/fd/3", image_path(bundle, "srv/link"))
    bundle.process["cwd"] = cwd
    bundle.process["args"] = ["/bin/sh", "-c", "ls; cat ../../../../../../etc/hostname"]
    result = bundle.run_as_is()
    assert "config.json" not in result.stdout
    assert os.uname().nodename not in result.stdout
    if cwd != "/proc/self/cwd":
        assert result.returncode != 0


@pytest.mark.parametrize("args0", ["/proc/self/exe", "/srv/link", "/proc/self/fd/3"])
def test_program_that_is_the_runtime(bundle: Bundle, args0: str) -> None:
    """CVE-2019-5736: what a container can get hold of of the runtime cannot be written."""
    os.symlink("/proc/self/exe", image_path(bundle, "srv/link"))
    bundle.process["args"] = [args0, "check"]
    bundle.write()
    before = os.stat(bundle.runtime.path)
    bundle.runtime.call("run", "--bundle", bundle.path, bundle.runtime.new_id(), timeout=PATIENCE)
    after = os.stat(bundle.runtime.path)
    assert (before.st_mtime_ns, before.st_ino, before.st_size) == (after.st_mtime_ns, after.st_ino, after.st_size)


@pytest.mark.runc_differs("1.1 cannot copy all of them")
def test_copied_up_directory_with_every_kind_of_file(bundle: Bundle) -> None:
    """tmpcopyup neither follows links nor waits for pipes."""
    top = os.path.join(bundle.rootfs, "srv")
    os.symlink("/etc/hostname", os.path.join(top, "link"))
    os.symlink("x" * 4000, os.path.join(top, "long"))
    os.mkfifo(os.path.join(top, "pipe"))
    os.mkdir(os.path.join(top, "directory"), 0o701)
    os.mknod(os.path.join(top, "device"), stat.S_IFCHR | 0o640, os.makedev(1, 0x123))
    with open(os.path.join(top, "n" * 255), "w") as file:
        file.write("content")
    os.mkdir(os.path.join(top, os.fsdecode(b"\xff new\nline")))
    os.chown(os.path.join(top, "n" * 255), 7, 8)
    bundle.mount("/srv", "tmpfs", "tmpfs", ["tmpcopyup"])
    container = bundle.container("/bin/sleep", "100").up()
    assert os.readlink(container.path("/srv/link")) == "/etc/hostname"
    assert len(os.readlink(container.path("/srv/long"))) == 4000
    assert stat.S_ISFIFO(os.lstat(container.path("/srv/pipe")).st_mode)
    assert os.lstat(container.path("/srv/directory")).st_mode == stat.S_IFDIR | 0o701
    assert os.path.isdir(container.path("/srv/" + os.fsdecode(b"\xff new\nline")))
    status = os.lstat(container.path("/srv/" + "n" * 255))
    assert (status.st_size, status.st_uid, status.st_gid) == (7, 7, 8)
    if bundle.runtime.is_lxcri:
        assert os.lstat(container.path("/srv/device")).st_rdev == os.makedev(1, 0x123)


@pytest.mark.lxcri_only("runc lets the kernel cut them")
def test_mount_options_longer_than_the_kernel_takes(bundle: Bundle) -> None:
    """It would cut them, and mount something else."""
    bundle.mount("/srv", "tmpfs", "tmpfs", ["size=1m", *["mode=0755"] * 450])
    create(bundle).refused("longer than", where="mounts[6]")
