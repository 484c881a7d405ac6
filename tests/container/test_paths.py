"""config.json's linux.maskedPaths and readonlyPaths."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from oci import mountinfo

if TYPE_CHECKING:
    from oci.bundle import Bundle


def put(bundle: Bundle, path: str, content: str = "secret\n") -> None:
    """A file in the root file system."""
    inside = os.path.join(bundle.rootfs, path.lstrip("/"))
    os.makedirs(os.path.dirname(inside), exist_ok=True)
    with open(inside, "w") as file:
        file.write(content)


def test_masked_file_reads_as_empty(bundle: Bundle) -> None:
    """/dev/null is over it."""
    put(bundle, "/srv/file")
    bundle.linux["maskedPaths"] = ["/srv/file"]
    assert bundle.sh("cat /srv/file; stat -c %F /srv/file") == "character special file\n"


def test_masked_directory_is_empty_and_readonly(bundle: Bundle) -> None:
    """A read-only tmpfs is over it."""
    put(bundle, "/srv/dir/file")
    bundle.linux["maskedPaths"] = ["/srv/dir"]
    out = bundle.sh("ls -A /srv/dir; touch /srv/dir/x 2>&1; cat /proc/self/mountinfo")
    assert out.startswith("touch: /srv/dir/x: Read-only file system\n")
    mount = mountinfo.at(out.split("\n", 1)[1], "/srv/dir")
    assert mount.fstype == "tmpfs"
    assert "ro" in mount.options


def test_engines_masked_paths(bundle: Bundle) -> None:
    """What docker and podman mask, of which some do not exist here."""
    bundle.linux["maskedPaths"] = [
        "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
        "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/fs/selinux",
    ]  # fmt: skip
    assert bundle.sh("cat /proc/keys; ls -A /sys/firmware") == ""


def test_missing_masked_path_is_ignored(bundle: Bundle) -> None:
    """It is not made either."""
    bundle.linux["maskedPaths"] = ["/no/such/path"]
    bundle.run().ok()
    assert not os.path.exists(os.path.join(bundle.rootfs, "no"))


def test_masked_path_in_a_bind(bundle: Bundle) -> None:
    """The host's file keeps its content."""
    source = bundle.directory("volume")
    bundle.file("volume/file", "secret\n")
    bundle.bind(source, "/volume")
    bundle.linux["maskedPaths"] = ["/volume/file"]
    assert bundle.sh("cat /volume/file") == ""
    with open(os.path.join(source, "file")) as file:
        assert file.read() == "secret\n"


def test_masked_symlink_of_the_image_is_resolved_in_the_container(bundle: Bundle) -> None:
    """The thing it names there is masked, or nothing; never something of the host."""
    outside = bundle.file("outside", "hosts\n")
    os.symlink(outside, os.path.join(bundle.rootfs, "srv/link"))
    bundle.linux["maskedPaths"] = ["/srv/link"]
    bundle.run()
    assert not os.path.ismount(outside)


def test_readonly_path(bundle: Bundle) -> None:
    """seed: configureReadonlyPaths: bind,ro."""
    put(bundle, "/srv/dir/file")
    bundle.linux["readonlyPaths"] = ["/srv/dir"]
    out = bundle.sh("cat /srv/dir/file; touch /srv/dir/new 2>&1; touch /srv/beside && echo beside")
    assert out == "secret\ntouch: /srv/dir/new: Read-only file system\nbeside\n"


def test_readonly_file(bundle: Bundle) -> None:
    """seed: configureReadonlyPaths: a single file."""
    put(bundle, "/srv/file")
    bundle.linux["readonlyPaths"] = ["/srv/file"]
    assert "Read-only file system" in bundle.sh("(echo x >/srv/file) 2>&1; cat /srv/file")


def test_readonly_path_that_is_missing_is_ignored(bundle: Bundle) -> None:
    """seed: configureReadonlyPaths: optional."""
    bundle.linux["readonlyPaths"] = ["/no/such/path"]
    bundle.run().ok()
    assert not os.path.exists(os.path.join(bundle.rootfs, "no"))


def test_readonly_path_keeps_the_flags_of_its_mount(bundle: Bundle) -> None:
    """nosuid, nodev and noexec of the file system it is in."""
    bundle.linux["readonlyPaths"] = ["/proc/sys", "/proc/bus", "/proc/sysrq-trigger"]
    mount = mountinfo.at(bundle.sh("cat /proc/self/mountinfo"), "/proc/sys")
    assert {"ro", "nosuid", "nodev", "noexec"} <= mount.options


def test_readonly_path_is_recursive_in_what_it_shows(bundle: Bundle) -> None:
    """What is mounted below a read-only path stays visible."""
    bundle.mount("/srv/dir/below", "tmpfs", "tmpfs")
    bundle.linux["readonlyPaths"] = ["/srv/dir"]
    info = bundle.sh("cat /proc/self/mountinfo")
    assert "ro" in mountinfo.at(info, "/srv/dir").options
    assert mountinfo.at(info, "/srv/dir/below").fstype == "tmpfs"


@pytest.mark.parametrize("path", ["/", "/.", "/srv/link"])
def test_readonly_path_that_is_the_root(bundle: Bundle, path: str) -> None:
    """Nothing can be mounted over it: its own mount becomes read-only, what is mounted below does not."""
    os.symlink("/", os.path.join(bundle.rootfs, "srv/link"))
    bundle.linux["readonlyPaths"] = [path]
    assert bundle.sh("touch /new 2>&1; touch /dev/new && echo new") == "touch: /new: Read-only file system\nnew\n"


def test_readonly_path_that_shows_the_root_again(bundle: Bundle) -> None:
    """It is another mount than the root's, which stays writable."""
    bundle.bind(bundle.rootfs, "/srv")
    bundle.linux["readonlyPaths"] = ["/srv"]
    assert bundle.sh("touch /srv/new 2>&1; touch /new && echo new") == "touch: /srv/new: Read-only file system\nnew\n"


def test_masked_below_readonly(bundle: Bundle) -> None:
    """Both lists on one tree, as all engines have it in /proc."""
    put(bundle, "/srv/dir/file")
    bundle.linux["readonlyPaths"] = ["/srv/dir"]
    bundle.linux["maskedPaths"] = ["/srv/dir/file"]
    assert bundle.sh("cat /srv/dir/file; touch /srv/dir/x 2>&1 || true").endswith("Read-only file system\n")


def test_path_that_is_relative_is_refused(bundle: Bundle) -> None:
    """Both lists hold absolute paths in the container."""
    bundle.linux["maskedPaths"] = ["srv"]
    result = bundle.run()
    if bundle.runtime.is_lxcri:
        result.refused("srv", where="linux.maskedPaths[0]")
