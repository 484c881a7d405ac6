"""config.json's root."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest
from oci import mountinfo
from oci.machine import MS_BIND, MS_NOSUID, MS_PRIVATE, MS_RDONLY, MS_REC, MS_REMOUNT, mount, mounted

if TYPE_CHECKING:
    from collections.abc import Callable

    from oci.bundle import Bundle


def test_root_is_the_bundles(bundle: Bundle) -> None:
    """A relative path is relative to the bundle, and nothing of the host is seen at /."""
    with open(os.path.join(bundle.rootfs, "marker"), "w") as file:
        file.write("mine\n")
    assert bundle.sh("cat /marker; ls /").split() == ["mine", *sorted(os.listdir(bundle.rootfs))]


def test_root_path_may_be_absolute(bundle: Bundle) -> None:
    """root.path as containerd and podman write it, outside of the bundle."""
    moved = bundle.rootfs + "-elsewhere"
    os.rename(bundle.rootfs, moved)
    bundle.config["root"]["path"] = moved
    assert bundle.sh("ls -d /bin").strip() == "/bin"


@pytest.mark.runc_differs("refuses a symlink")
def test_root_path_may_contain_symlinks(bundle: Bundle) -> None:
    """seed: configureRootfs: lxc.rootfs.path; liblxc 5 refuses symlinks in it, so it gets the real path."""
    os.symlink(bundle.path, os.path.join(bundle.path, "loop"))
    os.symlink("rootfs", os.path.join(bundle.path, "root-link"))
    bundle.config["root"]["path"] = os.path.join(bundle.path, "loop/root-link")
    assert bundle.sh("ls -d /bin").strip() == "/bin"


def test_bundle_path_may_be_a_symlink(bundle: Bundle) -> None:
    """--bundle with a symlink in it."""
    link = os.path.join(bundle.runtime.work, "bundle-link")
    os.symlink(bundle.path, link)
    bundle.write()
    identity = bundle.runtime.new_id()
    try:
        bundle.runtime.call("run", "--bundle", link, identity).ok()
    finally:
        os.unlink(link)


def test_bundle_path_may_hold_odd_characters(bundle: Bundle) -> None:
    """Blanks, commas, colons, backslashes, quotes and # mean something in liblxc's files, not in a path."""
    odd = os.path.join(bundle.path, 'it\'s "a" b, c:d\\040e #f=g')
    os.makedirs(odd)
    os.rename(bundle.rootfs, os.path.join(odd, "rootfs"))
    bundle.config["process"]["args"] = ["/bin/ls", "-d", "/bin"]
    bundle.path, original = odd, bundle.path
    bundle.write()
    try:
        result = bundle.runtime.call("run", "--bundle", odd, bundle.runtime.new_id())
    finally:
        bundle.path = original
    assert result.ok().stdout == "/bin\n"


def test_bundle_defaults_to_the_current_directory(bundle: Bundle) -> None:
    """Without --bundle."""
    bundle.write()
    bundle.runtime.call("run", bundle.runtime.new_id(), cwd=bundle.path).ok()


def test_root_is_writable_by_default(bundle: Bundle) -> None:
    """root.readonly absent or false; what is written is in the bundle's root file system afterwards."""
    bundle.sh("echo data >/written")
    with open(os.path.join(bundle.rootfs, "written")) as file:
        assert file.read() == "data\n"


def test_root_readonly(bundle: Bundle) -> None:
    """seed: configureRootfs: lxc.rootfs.options ro: / is read-only, the mounts in it keep their own flags."""
    bundle.config["root"]["readonly"] = True
    out = bundle.sh("touch /file 2>&1; touch /dev/shm/file && echo writable; cat /proc/self/mountinfo")
    assert "touch: /file: Read-only file system" in out
    assert "writable\n" in out
    info = "\n".join(line for line in out.splitlines() if " - " in line)
    assert "ro" in mountinfo.at(info, "/").options
    assert "rw" in mountinfo.at(info, "/dev").options


@pytest.mark.parametrize("hooked", [False, True])
def test_root_on_a_read_only_mount_stays_so(bundle: Bundle, hooked: bool) -> None:
    """Whoever has mounted it may not want it written, whatever root.readonly says."""
    if hooked:
        bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/true"}]}
    with mounted(bundle.rootfs, bundle.rootfs, flags=MS_BIND):
        mount("none", bundle.rootfs, flags=MS_REMOUNT | MS_BIND | MS_RDONLY)
        assert bundle.sh("touch /new 2>&1; touch /dev/new && echo new").splitlines() == [
            "touch: /new: Read-only file system",
            "new",
        ]
    assert not os.path.exists(os.path.join(bundle.rootfs, "new"))


@pytest.mark.parametrize("hooked", [False, True])
def test_mounts_of_the_host_in_the_root_keep_their_flags(bundle: Bundle, hooked: bool) -> None:
    """They come along: what can be written there can be written in the container, and nothing else."""
    if hooked:
        bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/true"}]}
    directories = [os.path.join(bundle.rootfs, name) for name in ("srv", "home")]
    with mounted("tmpfs", directories[0], "tmpfs", MS_NOSUID), mounted("tmpfs", directories[1], "tmpfs", MS_RDONLY):
        inner = os.path.join(directories[0], "in\\n er")
        os.mkdir(inner)
        with mounted("tmpfs", inner, "tmpfs"):
            out = bundle.sh("touch /new /srv/new '/srv/in\\n er/new'; touch /home/new 2>&1; cat /proc/self/mountinfo")
    assert out.startswith("touch: /home/new: Read-only file system\n")
    info = out.split("\n", 1)[1]
    assert {"rw", "nosuid"} <= mountinfo.at(info, "/srv").options


def test_root_that_was_prepared_for_chroot(bundle: Bundle) -> None:
    """With /proc, /sys and /dev of the host in it, and all that is mounted there."""
    with contextlib.ExitStack() as stack:
        for name in ("proc", "sys", "dev"):
            place = os.path.join(bundle.rootfs, name)
            stack.enter_context(mounted(f"/{name}", place, flags=MS_BIND | MS_REC))
            mount("none", place, flags=MS_REC | MS_PRIVATE)
        stack.enter_context(mounted("tmpfs", os.path.join(bundle.rootfs, "proc/bus"), "tmpfs"))
        assert bundle.sh("echo x >/dev/null; cat /proc/self/comm; ls -d /sys/class") == "cat\n/sys/class\n"
        bundle.config["mounts"] = [m for m in bundle.config["mounts"] if m["destination"] == "/proc"]
        assert bundle.sh("echo x >/dev/null; cat /proc/self/comm; ls -d /sys/class") == "cat\n/sys/class\n"


def test_root_readonly_leaves_mounts_of_the_host_writable(bundle: Bundle) -> None:
    """It is for the root's own mount."""
    bundle.config["root"]["readonly"] = True
    with mounted("tmpfs", os.path.join(bundle.rootfs, "srv"), "tmpfs"):
        assert bundle.sh("touch /new 2>&1; touch /srv/new") == "touch: /new: Read-only file system\n"


def test_root_readonly_still_gets_its_working_directory(bundle: Bundle) -> None:
    """A missing one is made, as with a root that can be written."""
    bundle.config["root"]["readonly"] = True
    bundle.process["cwd"] = "/new/deep"
    assert bundle.sh("pwd; touch /new/x 2>&1 || true") == "/new/deep\ntouch: /new/x: Read-only file system\n"


def test_root_readonly_still_gets_its_mount_points(bundle: Bundle) -> None:
    """The root is made read-only last: missing destinations of mounts are made before that."""
    bundle.config["root"]["readonly"] = True
    bundle.mount("/new/deep", "tmpfs", "tmpfs")
    assert "rw" in mountinfo.at(bundle.sh("cat /proc/self/mountinfo"), "/new/deep").options


def test_root_readonly_leaves_the_hosts_mount_writable(bundle: Bundle) -> None:
    """Only the container's mount is changed, not the file system that others have mounted too."""
    bundle.config["root"]["readonly"] = True
    bundle.run("/bin/true").ok()
    with open(os.path.join(bundle.rootfs, "still-writable"), "w"):
        pass


def test_root_is_not_deleted(bundle: Bundle) -> None:
    """seed: configureRootfs: lxc.ephemeral=0, lxc.rootfs.managed=0: delete leaves what it did not make."""
    before = sorted(os.listdir(bundle.rootfs))
    container = bundle.container("/bin/true").up()
    container.wait()
    container.delete().ok()
    assert sorted(os.listdir(bundle.rootfs)) == before


def test_old_root_is_not_reachable(bundle: Bundle) -> None:
    """After pivot_root only the container's own mounts are left in its namespace."""
    points = {mount.point for mount in mountinfo.parse(bundle.sh("cat /proc/self/mountinfo"))}
    assert points == {"/", *(mount["destination"] for mount in bundle.config["mounts"])}


def test_missing_root_is_refused(bundle: Bundle) -> None:
    """The path and the reason are in the message."""
    bundle.config["root"]["path"] = "no-such-root"
    bundle.run().refused("no-such-root", "no such file or directory", where="root.path")


@pytest.mark.runc_differs("says 'fork/exec /proc/self/exe: not a directory', without the path")
def test_root_that_is_a_file_is_refused(bundle: Bundle) -> None:
    """The path and the reason are in the message."""
    bundle.file("flat")
    bundle.config["root"]["path"] = "flat"
    bundle.run().refused("flat", "not a directory", where="root.path")


def test_root_without_path_is_refused(bundle: Bundle) -> None:
    """root.path is required."""
    bundle.config["root"] = {}
    bundle.run().refused(where="root")


def test_config_without_root_is_refused(bundle: Bundle) -> None:
    """root is required on Linux."""
    del bundle.config["root"]
    bundle.run().refused(where="root")


def test_same_root_in_two_containers(new_bundle: Callable[[], Bundle]) -> None:
    """Two containers on one root file system at once, as pods' read-only images are used."""
    first, second = new_bundle(), new_bundle()
    second.config["root"]["path"] = first.rootfs
    one, two = first.container("/bin/sleep", "100").up(), second.container("/bin/sleep", "100").up()
    assert os.stat(one.path("/bin/busybox")).st_ino == os.stat(two.path("/bin/busybox")).st_ino


@pytest.mark.parametrize("kind", ["prestart", "createRuntime", "createContainer"])
def test_image_is_as_before_where_there_are_hooks(bundle: Bundle, kind: str) -> None:
    """liblxc puts links in /dev of the root file system where it can: nothing is under the mounts of the container."""
    bundle.config["hooks"] = {kind: [{"path": "/bin/true"}]}
    bundle.sh("touch /written")
    assert os.listdir(os.path.join(bundle.rootfs, "dev")) == []
    assert os.path.exists(os.path.join(bundle.rootfs, "written"))
