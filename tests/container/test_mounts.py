"""config.json's mounts: types, options, destinations, order."""

from __future__ import annotations

import os
import socket
import stat
from typing import TYPE_CHECKING

import pytest
from oci import cgroup, machine, mountinfo
from oci.machine import MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_RDONLY, MS_REMOUNT, mounted

if TYPE_CHECKING:
    from oci.bundle import Bundle
    from oci.mountinfo import Mount


def seen(bundle: Bundle, point: str) -> Mount:
    """How the container sees what is mounted there."""
    return mountinfo.at(bundle.sh("cat /proc/self/mountinfo"), point)


@pytest.mark.parametrize(
    ("destination", "fstype"),
    [
        ("/proc", "proc"),
        ("/dev", "tmpfs"),
        ("/dev/pts", "devpts"),
        ("/dev/shm", "tmpfs"),
        ("/dev/mqueue", "mqueue"),
        ("/sys", "sysfs"),
    ],
)
def test_types_of_every_engine(bundle: Bundle, destination: str, fstype: str) -> None:
    """seed: configureMounts: lxc.mount.entry: the file systems of an ordinary container, with their flags."""
    mount = seen(bundle, destination)
    wanted = next(entry for entry in bundle.config["mounts"] if entry["destination"] == destination)
    assert mount.fstype == fstype
    flags = {option for option in wanted["options"] if option in ("nosuid", "noexec", "nodev", "ro")}
    assert {option for option in mount.options if option in ("nosuid", "noexec", "nodev", "ro")} == flags


def test_devpts_is_an_instance_of_its_own(bundle: Bundle) -> None:
    """Its options arrive, and liblxc's own devpts does not replace or unmount it."""
    mount = seen(bundle, "/dev/pts")
    assert {"gid=5", "mode=620", "ptmxmode=666"} <= mount.fs_options
    assert bundle.sh("ls /dev/pts") == "ptmx\n"


@pytest.mark.runc_differs("cannot do without /proc")
def test_a_config_without_mounts(bundle: Bundle) -> None:
    """Not even proc: nothing but the root is mounted, nothing of the runtime's is left."""
    bundle.config["mounts"] = []
    container = bundle.container("/bin/sleep", "100").up()
    assert {mount.point for mount in mountinfo.of_process(container.pid)} == {"/"}


def test_proc_that_is_not_first(bundle: Bundle) -> None:
    """Order in the list is the order of mounting, wherever proc stands."""
    bundle.config["mounts"].reverse()
    bundle.config["mounts"].sort(key=lambda mount: mount["destination"].count("/"))
    assert seen(bundle, "/proc").fstype == "proc"


def test_proc_at_another_place(bundle: Bundle) -> None:
    """A second proc, and one in an odd place."""
    bundle.mount("/srv/proc", "proc", "proc", ["ro"])
    assert "ro" in seen(bundle, "/srv/proc").options


@pytest.mark.parametrize(
    ("options", "present", "absent"),
    [
        (["ro"], {"ro"}, {"rw"}),
        (["rw"], {"rw"}, {"ro"}),
        (["ro", "rw"], {"rw"}, {"ro"}),
        (["nosuid"], {"nosuid"}, {"nodev", "noexec"}),
        (["nosuid", "suid"], set(), {"nosuid"}),
        (["nodev"], {"nodev"}, {"nosuid", "noexec"}),
        (["nodev", "dev"], set(), {"nodev"}),
        (["noexec"], {"noexec"}, {"nosuid", "nodev"}),
        (["noexec", "exec"], set(), {"noexec"}),
        (["noatime"], {"noatime"}, {"relatime"}),
        (["noatime", "atime"], set(), {"noatime"}),
        (["nodiratime"], {"nodiratime"}, set()),
        (["nodiratime", "diratime"], set(), {"nodiratime"}),
        (["relatime"], {"relatime"}, {"noatime"}),
        (["strictatime"], set(), {"relatime", "noatime"}),
        ([], {"rw", "relatime"}, {"nosuid", "nodev", "noexec"}),
    ],
)
def test_options_of_a_new_file_system(bundle: Bundle, options: list[str], present: set[str], absent: set[str]) -> None:
    """Each word is a flag of the mount; the last of two that contradict each other wins."""
    bundle.mount("/mnt", "tmpfs", "tmpfs", options)
    mount = seen(bundle, "/mnt")
    assert present <= mount.options
    assert not absent & mount.options


@pytest.mark.parametrize(("option", "shown"), [("sync", "sync"), ("dirsync", "dirsync")])
def test_options_of_the_superblock(bundle: Bundle, option: str, shown: str) -> None:
    """Words that liblxc parses and ignores."""
    bundle.mount("/mnt", "tmpfs", "tmpfs", [option])
    assert shown in seen(bundle, "/mnt").fs_options


@pytest.mark.runc_differs("1.1 hands the word to tmpfs, which refuses it")
def test_defaults_is_no_option_of_the_file_system(bundle: Bundle) -> None:
    """The word is in config.md's table, and means rw, suid, dev, exec, async."""
    bundle.mount("/mnt", "tmpfs", "tmpfs", ["defaults"])
    assert not {"nosuid", "nodev", "noexec", "ro"} & seen(bundle, "/mnt").options


def test_nosymfollow(bundle: Bundle) -> None:
    """A flag since Linux 5.10."""
    bundle.mount("/mnt", "tmpfs", "tmpfs", ["nosymfollow"])
    assert "nosymfollow" in seen(bundle, "/mnt").options


def test_data_options(bundle: Bundle) -> None:
    """What is no flag is the file system's."""
    bundle.mount("/mnt", "tmpfs", "tmpfs", ["size=1m", "mode=1711", "uid=7", "gid=8", "nr_inodes=50", "nosuid"])
    status, info = bundle.sh("stat -c '%a %u %g' /mnt; cat /proc/self/mountinfo").split("\n", 1)
    assert {"size=1024k", "mode=1711", "uid=7", "gid=8", "nr_inodes=50"} <= mountinfo.at(info, "/mnt").fs_options
    assert status == "1711 7 8"


@pytest.mark.runc_differs("1.1 gives a tmpfs the mode of what it covers, whatever its options say")
def test_mode_of_a_tmpfs_on_an_existing_directory(bundle: Bundle) -> None:
    """mode= of the options wins."""
    bundle.mount("/srv", "tmpfs", "tmpfs", ["mode=1711"])
    assert bundle.sh("stat -c %a /srv") == "1711\n"


def test_tmpfs_without_mode_has_that_of_what_it_covers(bundle: Bundle) -> None:
    """As every runtime does: a tmpfs on /tmp is 1777, not the kernel's default for a tmpfs."""
    os.chmod(os.path.join(bundle.rootfs, "srv"), 0o2750)
    bundle.mount("/srv", "tmpfs", "tmpfs", ["nosuid"])
    bundle.mount("/tmp", "tmpfs", "tmpfs")
    assert bundle.sh("stat -c %a /srv /tmp") == "2750\n1777\n"


def test_unknown_option_of_a_file_system_is_an_error(bundle: Bundle) -> None:
    """The kernel's refusal is reported with the mount it belongs to."""
    place = bundle.mount("/mnt", "tmpfs", "tmpfs", ["roomy", "rough=1"])
    bundle.run().refused("/mnt", "invalid argument", where=f"mounts[{place}]")


def test_unknown_file_system_is_an_error(bundle: Bundle) -> None:
    """The kernel's refusal is reported with the mount it belongs to."""
    place = bundle.mount("/mnt", "none", "no-such-fs")
    bundle.run().refused("/mnt", "no such device", where=f"mounts[{place}]")


def test_overlay_with_long_options(bundle: Bundle) -> None:
    """Nearly as much data as the kernel takes; liblxc would cut the line."""
    lowers: list[str] = []
    while len(":".join(lowers)) < 3600:
        lowers.append(bundle.directory(f"lower-{len(lowers):03}-{'x' * 90}"))
    with open(os.path.join(lowers[-1], "deepest"), "w") as file:
        file.write("found\n")
    upper, work = bundle.directory("upper"), bundle.directory("work")
    options = [f"lowerdir={':'.join(lowers)}", f"upperdir={upper}", f"workdir={work}"]
    bundle.mount("/mnt", "overlay", "overlay", options)
    assert bundle.sh("cat /mnt/deepest; echo new >/mnt/file") == "found\n"
    assert os.listdir(upper) == ["file"]


def test_overlay_paths_with_words_of_liblxc(bundle: Bundle) -> None:
    """``optional``, ``relative`` and ``create=dir`` within a path are no options."""
    lower = bundle.directory("optional/create=dir/relative/ro-nosuid")
    with open(os.path.join(lower, "file"), "w") as file:
        file.write("found\n")
    bundle.mount("/mnt", "overlay", "overlay", [f"lowerdir={lower}:{bundle.directory('second')}"])
    assert bundle.sh("cat /mnt/file") == "found\n"


def test_bind_shows_the_source(bundle: Bundle) -> None:
    """A directory of the host, read and written."""
    source = bundle.directory("volume")
    with open(os.path.join(source, "file"), "w") as file:
        file.write("hosts\n")
    bundle.bind(source, "/volume")
    assert bundle.sh("cat /volume/file; echo mine >/volume/new") == "hosts\n"
    with open(os.path.join(source, "new")) as file:
        assert file.read() == "mine\n"


@pytest.mark.parametrize("kind", ["bind", "none", ""])
def test_type_of_a_bind_is_a_dummy(bundle: Bundle, kind: str) -> None:
    """Options bind or rbind make the bind, whatever the type."""
    bundle.mount("/volume", bundle.directory("volume"), kind, ["bind"])
    assert seen(bundle, "/volume").root.endswith("/volume")


@pytest.mark.parametrize("option", ["nosuid", "nodev", "noexec", "ro", "noatime"])
@pytest.mark.parametrize("bind", ["bind", "rbind"])
def test_bind_keeps_flag(bundle: Bundle, bind: str, option: str) -> None:
    """A flag of a bind needs a remount, which liblxc leaves out on a writable one."""
    bundle.mount("/volume", bundle.directory("volume"), "bind", [bind, option])
    mount = seen(bundle, "/volume")
    assert option in mount.options
    assert ("ro" in mount.options) == (option == "ro")


def test_bind_keeps_all_flags_while_writable(bundle: Bundle) -> None:
    """nosuid, nodev and noexec without ro: what every engine asks for its volumes."""
    bundle.bind(bundle.directory("volume"), "/volume", "nosuid", "nodev", "noexec", "rw")
    assert {"nosuid", "nodev", "noexec", "rw"} <= seen(bundle, "/volume").options


def test_bind_noexec_binds(bundle: Bundle) -> None:
    """The flag is not only shown: nothing can be executed."""
    source = bundle.directory("volume")
    os.link(os.path.join(bundle.rootfs, "bin/busybox"), os.path.join(source, "true"))
    bundle.bind(source, "/volume", "noexec")
    assert "Permission denied" in bundle.run("/bin/sh", "-c", "/volume/true").stderr


def test_bind_readonly_binds(bundle: Bundle) -> None:
    """Nothing can be written through it; the host still writes."""
    source = bundle.directory("volume")
    bundle.bind(source, "/volume", "ro")
    assert "Read-only file system" in bundle.sh("touch /volume/file 2>&1 || true")
    with open(os.path.join(source, "file"), "w"):
        pass


@pytest.mark.runc_differs("1.1 clears what the options do not name, when it remounts")
def test_bind_keeps_the_sources_own_flags(bundle: Bundle) -> None:
    """A source that is mounted nosuid and nodev is so in the container, though the options do not say it."""
    source = bundle.directory("volume")
    with mounted("tmpfs", source, "tmpfs", MS_NOSUID | MS_NODEV):
        bundle.bind(source, "/volume", "ro")
        assert {"nosuid", "nodev", "ro"} <= seen(bundle, "/volume").options


def test_bind_leaves_the_source_mount_alone(bundle: Bundle) -> None:
    """The flags are of the container's mount."""
    source = bundle.directory("volume")
    with mounted("tmpfs", source, "tmpfs"):
        bundle.bind(source, "/volume", "ro", "nosuid")
        bundle.run().ok()
        own = [mount for mount in mountinfo.of_process() if mount.point == source]
        assert not {"ro", "nosuid"} & own[0].options


def test_rbind_takes_what_is_mounted_below(bundle: Bundle) -> None:
    """... and bind does not."""
    source = bundle.directory("volume")
    with mounted("tmpfs", source, "tmpfs"):
        below = os.path.join(source, "below")
        os.mkdir(below)
        with mounted("tmpfs", below, "tmpfs", data="size=64k"):
            bundle.bind(source, "/all", "rbind")
            bundle.bind(source, "/top", "bind")
            points = {mount.point for mount in mountinfo.parse(bundle.sh("cat /proc/self/mountinfo"))}
    assert "/all/below" in points
    assert "/top/below" not in points


def test_ro_of_an_rbind_is_not_recursive(bundle: Bundle) -> None:
    """ro is for the mount itself; rro is the recursive word."""
    source = bundle.directory("volume")
    with mounted("tmpfs", source, "tmpfs"):
        below = os.path.join(source, "below")
        os.mkdir(below)
        with mounted("tmpfs", below, "tmpfs"):
            bundle.bind(source, "/volume", "ro")
            info = bundle.sh("cat /proc/self/mountinfo")
    assert "ro" in mountinfo.at(info, "/volume").options
    assert "rw" in mountinfo.at(info, "/volume/below").options


@pytest.mark.parametrize(
    ("option", "shown"),
    [
        ("rro", "ro"),
        ("rnosuid", "nosuid"),
        ("rnodev", "nodev"),
        ("rnoexec", "noexec"),
        ("rnoatime", "noatime"),
        ("rnodiratime", "nodiratime"),
        ("rnosymfollow", "nosymfollow"),
    ],
)
def test_recursive_option_sets_flag_below(bundle: Bundle, option: str, shown: str) -> None:
    """mount_setattr with AT_RECURSIVE: the mount and all below it."""
    source = bundle.directory("volume")
    with mounted("tmpfs", source, "tmpfs"):
        below = os.path.join(source, "below")
        os.mkdir(below)
        with mounted("tmpfs", below, "tmpfs"):
            bundle.bind(source, "/volume", option)
            info = bundle.sh("cat /proc/self/mountinfo")
    assert shown in mountinfo.at(info, "/volume").options
    assert shown in mountinfo.at(info, "/volume/below").options


@pytest.mark.parametrize(
    ("option", "gone"),
    [("rrw", "ro"), ("rsuid", "nosuid"), ("rdev", "nodev"), ("rexec", "noexec")],
)
def test_recursive_option_clears_flag_below(bundle: Bundle, option: str, gone: str) -> None:
    """The positive words clear what the source has."""
    source = bundle.directory("volume")
    with mounted("tmpfs", source, "tmpfs"):
        below = os.path.join(source, "below")
        os.mkdir(below)
        with mounted("tmpfs", below, "tmpfs", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC):
            bundle.bind(source, "/volume", option)
            info = bundle.sh("cat /proc/self/mountinfo")
    assert gone not in mountinfo.at(info, "/volume/below").options


@pytest.mark.parametrize(
    ("options", "shown", "below"),
    [
        (("rro", "rw"), "ro", "ro"),
        (("rw", "rro"), "ro", "ro"),
        (("ro", "rrw"), "rw", "rw"),
        (("rnoexec", "exec"), "noexec", "noexec"),
        (("noatime", "rrelatime"), "relatime", "relatime"),
        (("ro", "rnosuid"), "ro", "nosuid"),
    ],
)
def test_recursive_option_counts_for_the_mount_itself_too(
    bundle: Bundle, options: tuple[str, ...], shown: str, below: str
) -> None:
    """Whatever the other word says, and in whatever order: a tree that is to be read-only has no writable top."""
    source = bundle.directory("volume")
    with mounted("tmpfs", source, "tmpfs"):
        os.mkdir(os.path.join(source, "below"))
        with mounted("tmpfs", os.path.join(source, "below"), "tmpfs"):
            bundle.bind(source, "/volume", *options)
            info = bundle.sh("cat /proc/self/mountinfo")
    assert shown in mountinfo.at(info, "/volume").options
    assert below in mountinfo.at(info, "/volume/below").options


def test_rro_binds_below_too(bundle: Bundle) -> None:
    """Nothing can be written anywhere in the tree."""
    source = bundle.directory("volume")
    with mounted("tmpfs", source, "tmpfs"):
        below = os.path.join(source, "below")
        os.mkdir(below)
        with mounted("tmpfs", below, "tmpfs"):
            bundle.bind(source, "/volume", "rro")
            assert "Read-only" in bundle.sh("touch /volume/below/file 2>&1 || true")


def test_bind_of_a_file(bundle: Bundle) -> None:
    """The destination is made as a file: /etc/resolv.conf and the like."""
    bundle.bind(bundle.file("hosts", "127.0.0.1 me\n"), "/etc/new/hosts", "ro")
    assert bundle.sh("cat /etc/new/hosts") == "127.0.0.1 me\n"
    assert stat.S_ISREG(os.stat(os.path.join(bundle.rootfs, "etc/new/hosts")).st_mode)


def test_bind_of_a_socket_and_a_device(bundle: Bundle) -> None:
    """Neither directory nor regular file: the destination is made as a file."""
    path = os.path.join(bundle.path, "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        bundle.bind(path, "/run/socket")
        bundle.bind("/dev/zero", "/run/zero")
        assert bundle.sh("stat -c %F /run/socket /run/zero") == "socket\ncharacter special file\n"


def test_bind_of_a_symlink_binds_what_it_names(bundle: Bundle) -> None:
    """The source is followed on the host, as mount(8) does."""
    bundle.file("versions/2/file", "two\n")
    os.symlink("versions/2", os.path.join(bundle.path, "current"))
    bundle.bind(os.path.join(bundle.path, "current"), "/volume")
    assert bundle.sh("cat /volume/file") == "two\n"


def test_relative_source_is_relative_to_the_bundle(bundle: Bundle) -> None:
    """For bind mounts."""
    bundle.file("volume/file", "here\n")
    bundle.bind("volume", "/volume")
    assert bundle.sh("cat /volume/file") == "here\n"


def test_source_with_odd_characters(bundle: Bundle) -> None:
    """Blanks, tabs, newlines, backslashes and # in source and destination."""
    name = "a b\tc\\040d\ne#f\"g'h"
    bundle.file(f"{name}/file", "odd\n")
    bundle.bind(os.path.join(bundle.path, name), f"/{name}")
    bundle.process["args"] = ["/bin/cat", f"/{name}/file"]
    assert bundle.run().ok().stdout == "odd\n"


def test_missing_source_is_an_error(bundle: Bundle) -> None:
    """Which mount, which path, why."""
    place = bundle.bind("/no/such/source", "/volume")
    bundle.run().refused("/no/such/source", "no such file or directory", where=f"mounts[{place}]")


def test_directory_on_a_file_is_an_error(bundle: Bundle) -> None:
    """docker looks for 'not a directory' to add its hint."""
    place = bundle.bind(bundle.directory("volume"), "/etc/passwd")
    bundle.run().refused("/etc/passwd", "not a directory", where=f"mounts[{place}]")


def test_file_on_a_directory_is_an_error(bundle: Bundle) -> None:
    """The other way round: the kernel says 'not a directory' too."""
    place = bundle.bind(bundle.file("flat"), "/etc")
    bundle.run().refused("/etc", "not a directory", where=f"mounts[{place}]")


def test_missing_destination_is_made(bundle: Bundle) -> None:
    """With its parents, mode 0755 and root's."""
    bundle.mount("/some/new/place", "tmpfs", "tmpfs")
    bundle.run().ok()
    made = os.stat(os.path.join(bundle.rootfs, "some/new/place"))
    assert (stat.filemode(made.st_mode), made.st_uid, made.st_gid) == ("drwxr-xr-x", 0, 0)


def test_destination_is_made_in_an_earlier_mount(bundle: Bundle) -> None:
    """Mounts stack in the order of the list."""
    bundle.mount("/mnt", "tmpfs", "tmpfs")
    bundle.bind(bundle.directory("volume"), "/mnt/a/b")
    assert seen(bundle, "/mnt/a/b").root.endswith("/volume")
    assert not os.path.exists(os.path.join(bundle.rootfs, "mnt/a"))


def test_later_mount_covers_earlier(bundle: Bundle) -> None:
    """The same destination twice: the second is on top, and both are there."""
    bundle.mount("/mnt", "first", "tmpfs")
    bundle.mount("/mnt", "second", "tmpfs")
    found = [m for m in mountinfo.parse(bundle.sh("cat /proc/self/mountinfo")) if m.point == "/mnt"]
    assert [mount.source for mount in found] == ["first", "second"]


def test_symlinked_destination_stays_beneath_the_root(bundle: Bundle) -> None:
    """An absolute link in the image means a place in the image, never one of the host."""
    outside = bundle.directory("outside")
    os.symlink(outside, os.path.join(bundle.rootfs, "link"))
    bundle.mount("/link", "tmpfs", "tmpfs", ["size=64k"])
    container = bundle.container("/bin/sleep", "100").up()
    points = {mount.point for mount in mountinfo.of_process(container.pid)}
    assert outside in points  # the same path, in the container
    assert not os.path.ismount(outside)


def test_destination_with_dots_stays_beneath_the_root(bundle: Bundle) -> None:
    """.. above the root is the root."""
    os.symlink("../../../../../../../../srv/up", os.path.join(bundle.rootfs, "link"))
    bundle.mount("/usr/../../../link", "tmpfs", "tmpfs", ["size=64k"])
    assert seen(bundle, "/srv/up").fstype == "tmpfs"


def test_relative_symlink_in_the_destination(bundle: Bundle) -> None:
    """/var/run -> ../run, as in every distribution."""
    os.symlink("../run", os.path.join(bundle.rootfs, "var/run"))
    bundle.mount("/var/run/lock", "tmpfs", "tmpfs")
    assert seen(bundle, "/run/lock").fstype == "tmpfs"


def test_dangling_file_destination_is_made_beneath_the_root(bundle: Bundle) -> None:
    """/etc/mtab -> /proc/mounts style links: the file is made where the link points, in the container."""
    os.symlink("/srv/made/resolv.conf", os.path.join(bundle.rootfs, "etc/resolv.conf"))
    bundle.bind(bundle.file("resolv.conf", "nameserver\n"), "/etc/resolv.conf")
    assert bundle.sh("cat /srv/made/resolv.conf") == "nameserver\n"


def test_looping_symlink_in_the_destination_is_an_error(bundle: Bundle) -> None:
    """Reported, with the mount it belongs to."""
    os.symlink("loop", os.path.join(bundle.rootfs, "loop"))
    place = bundle.mount("/loop/x", "tmpfs", "tmpfs")
    bundle.run().refused("loop", where=f"mounts[{place}]")


def test_relative_destination_is_below_the_root(bundle: Bundle) -> None:
    """Deprecated, but runtimes take it with a warning."""
    bundle.mount("mnt", "tmpfs", "tmpfs")
    assert seen(bundle, "/mnt").fstype == "tmpfs"


def test_destination_is_required(bundle: Bundle) -> None:
    """A mount without destination, or with an empty one, has no place."""
    place = bundle.mount("", "tmpfs", "tmpfs")
    bundle.run().refused(where=f"mounts[{place}]")


def test_tmpcopyup_fills_the_tmpfs(bundle: Bundle) -> None:
    """podman's and docker's extension: what the image has there is copied, with owners, modes and links."""
    directory = os.path.join(bundle.rootfs, "data")
    os.makedirs(os.path.join(directory, "sub"), 0o750)
    with open(os.path.join(directory, "file"), "w") as file:
        file.write("copied\n")
    os.chmod(os.path.join(directory, "file"), 0o640)
    os.chown(os.path.join(directory, "file"), 7, 8)
    os.symlink("file", os.path.join(directory, "link"))
    bundle.mount("/data", "tmpfs", "tmpfs", ["tmpcopyup", "nosuid"])
    out = bundle.sh("cd /data; cat link; stat -c '%n %a %u %g' file sub; readlink link; echo x >file")
    assert out == "copied\nfile 640 7 8\nsub 750 0 0\nfile\n"
    with open(os.path.join(directory, "file")) as file:
        assert file.read() == "copied\n"


def test_tmpcopyup_of_a_missing_directory(bundle: Bundle) -> None:
    """Nothing to copy: an empty tmpfs."""
    bundle.mount("/data", "tmpfs", "tmpfs", ["tmpcopyup"])
    assert bundle.sh("ls -A /data; stat -f -c %T /data") == "tmpfs\n"


def test_cgroup_mount_shows_the_own_cgroup(bundle: Bundle) -> None:
    """Type cgroup: on v1 and hybrid a directory per controller with the container's own cgroup, read-only."""
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro", "nosuid", "noexec", "nodev", "relatime"])
    container = bundle.container("/bin/sleep", "100").up()
    found = [mount for mount in mountinfo.of_process(container.pid) if mount.fstype in ("cgroup", "cgroup2")]
    assert found
    for mount in found:
        assert container.id in mount.root
        assert {"ro", "nosuid", "noexec", "nodev"} <= mount.options
    assert os.listdir(container.path("/sys/fs/cgroup"))


def test_cgroup_mount_in_a_cgroup_namespace(bundle: Bundle) -> None:
    """The own cgroup is the root of every hierarchy then."""
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro", "nosuid", "noexec", "nodev"])
    bundle.namespace("cgroup")
    out = bundle.sh("cat /proc/self/mountinfo; cat /proc/self/cgroup")
    cgroups = [line for line in out.splitlines() if " - " not in line]
    assert {line.split(":")[2] for line in cgroups} == {"/"}
    found = [mount for mount in mountinfo.parse(out.split("\n" + cgroups[0])[0]) if mount.fstype == "cgroup"]
    assert {mount.root for mount in found} == {"/"}


@pytest.mark.skipif("" not in cgroup.mounts(), reason="cgroup2 is not mounted")
@pytest.mark.parametrize(
    "namespace", [True, pytest.param(False, marks=pytest.mark.runc_differs("shows the host's root of it"))]
)
def test_cgroup2_mount(bundle: Bundle, namespace: bool) -> None:
    """Type cgroup2 is that hierarchy alone, beside v1 too, from the container's own cgroup on."""
    bundle.mount("/unified", "cgroup2", "cgroup2", ["ro", "nosuid"])
    if namespace:
        bundle.namespace("cgroup")
    container = bundle.container("/bin/sleep", "100").up()
    mount = next(mount for mount in mountinfo.of_process(container.pid) if mount.point == "/unified")
    assert mount.fstype == "cgroup2"
    assert {"ro", "nosuid"} <= mount.options
    with open(container.path("/unified/cgroup.procs")) as file:
        assert str(container.pid) in file.read().split()


def test_cgroup_mount_has_the_limits(bundle: Bundle) -> None:
    """What is written is what the container reads there."""
    if not os.path.isdir("/sys/fs/cgroup/pids"):
        pytest.skip("no pids hierarchy of cgroup v1")
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro", "nosuid", "noexec", "nodev"])
    bundle.resources["pids"] = {"limit": 77}
    assert bundle.sh("cat /sys/fs/cgroup/pids/pids.max") == "77\n"


def test_hosts_mounts_are_not_remounted(bundle: Bundle) -> None:
    """A read-only bind of a whole file system leaves the host's mount of it as it is."""
    source = bundle.directory("volume")
    with mounted("tmpfs", source, "tmpfs"):
        bundle.bind(source, "/volume", "ro")
        bundle.run().ok()
        machine.mount("none", source, flags=MS_REMOUNT | MS_BIND)
        with open(os.path.join(source, "writable"), "w"):
            pass
