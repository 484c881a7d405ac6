"""config.json's uidMappings and gidMappings, and what container root cannot do to the host's mounts."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest
from oci import machine, mountinfo
from oci.machine import mounted

if TYPE_CHECKING:
    from oci.bundle import Bundle

ALL = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_KILL",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SYS_ADMIN",
    "CAP_MKNOD",
]


@pytest.fixture
def mapped(bundle: Bundle) -> Bundle:
    """A bundle with ids 0 to 65535 mapped to 100000 and on, and capabilities enough to mount."""
    bundle.user_namespace()
    bundle.process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), ALL)
    bundle.file("traversable")
    os.chmod(bundle.path, 0o755)
    return bundle


def test_ids_are_mapped(mapped: Bundle) -> None:
    """seed: configureNamespaces, lxc.idmap: exactly the lines of the mappings."""
    mapped.linux["uidMappings"] = [
        {"containerID": 0, "hostID": 100000, "size": 1000},
        {"containerID": 1000, "hostID": 300000, "size": 1},
    ]
    out = mapped.sh("cat /proc/self/uid_map; echo --; cat /proc/self/gid_map")
    uids, gids = (block.split() for block in out.split("--"))
    assert uids == ["0", "100000", "1000", "1000", "300000", "1"]
    assert gids == ["0", "100000", "65536"]


def test_root_is_the_mapped_id_on_the_host(mapped: Bundle) -> None:
    """uid 0 inside, 100000 outside."""
    container = mapped.container("/bin/sleep", "100").up()
    fields = dict(line.split(":\t", 1) for line in container.proc("status").splitlines())
    assert fields["Uid"].split() == ["100000"] * 4
    assert fields["Gid"].split() == ["100000"] * 4


def test_user_and_groups_are_mapped(mapped: Bundle) -> None:
    """A user that is not root, with additional groups."""
    mapped.process["user"] = {"uid": 1000, "gid": 1001, "additionalGids": [5, 6]}
    container = mapped.container("/bin/sleep", "100").up()
    fields = dict(line.split(":\t", 1) for line in container.proc("status").splitlines())
    assert fields["Uid"].split() == ["101000"] * 4
    assert fields["Gid"].split() == ["101001"] * 4
    assert fields["Groups"].split() == ["100005", "100006"]


def test_capabilities_are_of_the_namespace(mapped: Bundle) -> None:
    """The sets are the spec's; they mean nothing outside."""
    out = mapped.sh("grep CapEff /proc/self/status; hostname changed 2>&1 && hostname")
    assert out.splitlines()[0].split()[1] == f"{sum(1 << n for n in (0, 1, 3, 5, 6, 7, 21, 27)):016x}"
    assert out.splitlines()[1] == "changed"


def test_unmapped_user_is_an_error(mapped: Bundle) -> None:
    """process.user.uid must be mapped."""
    mapped.process["user"] = {"uid": 70000, "gid": 0}
    mapped.run().refused(where="70000")


@pytest.mark.runc_differs("1.1 ignores them")
def test_mappings_without_a_namespace_are_an_error(bundle: Bundle) -> None:
    """There is nothing to map."""
    bundle.linux["uidMappings"] = [{"containerID": 0, "hostID": 100000, "size": 1}]
    bundle.run().refused(where="uidMappings")


def test_a_namespace_without_mappings_is_an_error(bundle: Bundle) -> None:
    """Nobody would be anybody in it."""
    bundle.namespace("user")
    bundle.run().refused(where="linux.")


def test_overlapping_mappings_are_an_error(mapped: Bundle) -> None:
    """The kernel refuses them."""
    mapped.linux["uidMappings"] = [
        {"containerID": 0, "hostID": 100000, "size": 10},
        {"containerID": 5, "hostID": 200000, "size": 10},
    ]
    mapped.run().refused(where="uidMappings")


@pytest.mark.parametrize(
    ("destination", "fstype"),
    [
        ("/proc", "proc"),
        ("/dev", "tmpfs"),
        ("/dev/pts", "devpts"),
        ("/dev/shm", "tmpfs"),
        ("/dev/mqueue", "mqueue"),
        ("/sys", "sysfs"),
        ("/volume", "tmpfs"),
    ],
)
def test_types_of_every_engine(mapped: Bundle, destination: str, fstype: str) -> None:
    """proc, sysfs, mqueue, tmpfs, devpts and binds are mounted in a user namespace too, with their flags."""
    mapped.bind(mapped.directory("volume"), "/volume", "nosuid")
    mount = mountinfo.at(mapped.sh("cat /proc/self/mountinfo"), destination)
    wanted = next(entry for entry in mapped.config["mounts"] if entry["destination"] == destination)
    assert mount.fstype == fstype
    assert {"nosuid"} <= mount.options
    if "noexec" in wanted["options"]:
        assert "noexec" in mount.options


def test_sysfs_with_the_hosts_network_namespace(mapped: Bundle) -> None:
    """A new sysfs needs its own network namespace; engines bind /sys of the host then."""
    mapped.without_namespace("network")
    for mount in mapped.config["mounts"]:
        if mount["destination"] == "/sys":
            mount.update(type="bind", source="/sys", options=["rbind", "nosuid", "noexec", "nodev", "ro"])
    assert "ro" in mountinfo.at(mapped.sh("cat /proc/self/mountinfo"), "/sys").options


def test_cgroup_mount(mapped: Bundle) -> None:
    """Type cgroup, with a cgroup namespace."""
    mapped.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro", "nosuid", "noexec", "nodev"])
    mapped.namespace("cgroup")
    found = mountinfo.parse(mapped.sh("cat /proc/self/mountinfo"))
    roots = {mount.root for mount in found if mount.fstype in ("cgroup", "cgroup2")}
    assert roots == {"/"}


def test_devpts_gid_is_mapped(mapped: Bundle) -> None:
    """gid=5 is the container's tty group, which is 100005 on the host."""
    container = mapped.container("/bin/sleep", "100").up()
    assert "gid=100005" in mountinfo.at(container.proc("mountinfo"), "/dev/pts").fs_options


def test_default_devices_are_binds(mapped: Bundle) -> None:
    """seed: configureContainer: without the right to mknod, devices are bind mounts of the host's."""
    container = mapped.shell("echo x >/dev/null && head -c 1 /dev/zero | od -An -tx1; exec sleep 100").up()
    container.wait_output("00")
    for name, minor in (("null", 3), ("zero", 5), ("full", 7), ("random", 8), ("urandom", 9)):
        assert os.stat(container.path(f"/dev/{name}")).st_rdev == os.makedev(1, minor)
    assert stat.S_IMODE(os.stat(container.path("/dev/null")).st_mode) == 0o666


def test_listed_device_is_a_bind(mapped: Bundle) -> None:
    """seed: configureContainer: a device of linux.devices too, when the host has it at that path."""
    mapped.linux["devices"] = [{"path": "/dev/kmsg", "type": "c", "major": 1, "minor": 11}]
    container = mapped.container("/bin/sleep", "100").up()
    assert os.stat(container.path("/dev/kmsg")).st_rdev == os.makedev(1, 11)


@pytest.mark.runc_differs("1.1 binds within the container's own namespaces, where no flag is locked")
@pytest.mark.parametrize(("flag", "opposite"), [("ro", "rw"), ("nosuid", "suid"), ("nodev", "dev"), ("noexec", "exec")])
def test_flag_of_a_bind_cannot_be_cleared(mapped: Bundle, flag: str, opposite: str) -> None:
    """Container root remounts without it: the kernel says no, as the flags are locked."""
    mapped.bind(mapped.directory("volume"), "/volume", "ro", "nosuid", "nodev", "noexec")
    rest = ",".join(other for other in ("ro", "nosuid", "nodev", "noexec") if other != flag)
    out = mapped.sh(f"mount -o remount,bind,{rest},{opposite} /volume 2>&1; cat /proc/self/mountinfo")
    assert "ermission denied" in out or "not permitted" in out
    assert {"ro", "nosuid", "nodev", "noexec"} <= mountinfo.at(out.split("\n", 1)[1], "/volume").options


def test_flags_of_a_bind_can_be_kept(mapped: Bundle) -> None:
    """The same remount with all flags succeeds: what fails above is the clearing."""
    mapped.bind(mapped.directory("volume"), "/volume", "ro", "nosuid", "nodev", "noexec")
    mapped.sh("mount -o remount,bind,ro,nosuid,nodev,noexec /volume")


def test_flag_of_what_is_below_a_bind_cannot_be_cleared(mapped: Bundle) -> None:
    """An rbind's submounts have locked flags too."""
    source = mapped.directory("volume")
    with mounted("tmpfs", source, "tmpfs"):
        os.mkdir(os.path.join(source, "below"))
        with mounted("tmpfs", os.path.join(source, "below"), "tmpfs", machine.MS_RDONLY):
            mapped.bind(source, "/volume")
            out = mapped.sh("mount -o remount,bind,rw /volume/below 2>&1; cat /proc/self/mountinfo")
    assert "ermission denied" in out or "not permitted" in out
    assert "ro" in mountinfo.at(out.split("\n", 1)[1], "/volume/below").options


def test_what_a_mount_of_the_host_hides_stays_hidden(mapped: Bundle) -> None:
    """An rbind comes with the mounts in it: container root cannot take them off, nor bind around them."""
    source = mapped.directory("volume")
    with mounted("tmpfs", source, "tmpfs"):
        below = os.path.join(source, "below")
        os.mkdir(below)
        with open(os.path.join(below, "secret"), "w") as file:
            file.write("secret\n")
        with mounted("tmpfs", below, "tmpfs"):
            mapped.bind(source, "/volume")
            out = mapped.sh(
                "umount /volume/below && cat /volume/below/secret; umount -l /volume/below;"
                " mount -o bind /volume /srv && cat /srv/below/secret;"
                " mount --move /volume/below /srv && cat /volume/below/secret; ls -A /volume/below; true"
            )
    assert out == ""


def test_bind_of_the_container_may_be_unmounted_as_a_whole(mapped: Bundle) -> None:
    """A bind that the spec asks for is at the container's disposal, with all that is below."""
    mapped.bind(mapped.directory("volume"), "/volume")
    assert mapped.run("/bin/sh", "-c", "umount /volume 2>&1; test -d /proc/1").returncode == 0


def test_readonly_root(mapped: Bundle) -> None:
    """root.readonly."""
    mapped.config["root"]["readonly"] = True
    assert "Read-only file system" in mapped.sh("touch /file 2>&1 || true")


def test_files_of_the_hosts_root_are_nobodys(mapped: Bundle) -> None:
    """Ids that are not mapped show as the overflow id."""
    source = mapped.directory("volume")
    mapped.bind(source, "/volume")
    assert mapped.sh("stat -c '%u %g' /volume") == "65534 65534\n"


def test_masked_and_readonly_paths(mapped: Bundle) -> None:
    """They work in a user namespace."""
    mapped.linux["maskedPaths"] = ["/proc/kcore", "/proc/keys", "/sys/firmware"]
    mapped.linux["readonlyPaths"] = ["/proc/sys", "/proc/bus"]
    out = mapped.sh("cat /proc/keys; ls -A /sys/firmware; cat /proc/self/mountinfo")
    assert "ro" in mountinfo.at(out, "/proc/sys").options


def test_stdio_can_be_opened_again(mapped: Bundle) -> None:
    """/proc/self/fd/1 belongs to the container's root, or is open to it."""
    assert mapped.sh("echo reopened >>/proc/self/fd/1").endswith("reopened\n")


def test_tmpcopyup(mapped: Bundle) -> None:
    """podman's tmpcopyup in a user namespace."""
    mapped.mount("/etc", "tmpfs", "tmpfs", ["tmpcopyup"])
    assert mapped.sh("cat /etc/passwd").startswith("root:")


def test_net_sysctl(mapped: Bundle) -> None:
    """Sysctls of namespaces that the user namespace owns."""
    mapped.linux["sysctl"] = {"net.ipv4.ip_forward": "1"}
    assert mapped.sh("cat /proc/sys/net/ipv4/ip_forward") == "1\n"


def test_namespace_joined_by_path(mapped: Bundle) -> None:
    """A pod: the second container joins the user namespace of the first, and its network's."""
    first = mapped.container("/bin/sleep", "100").up()
    mapped.namespace("user", path=f"/proc/{first.pid}/ns/user")
    mapped.namespace("network", path=f"/proc/{first.pid}/ns/net")
    second = mapped.container("/bin/sleep", "100").up()
    for kind in ("user", "net"):
        assert os.readlink(f"/proc/{second.pid}/ns/{kind}") == os.readlink(f"/proc/{first.pid}/ns/{kind}")
    assert os.readlink(f"/proc/{second.pid}/ns/mnt") != os.readlink(f"/proc/{first.pid}/ns/mnt")


@pytest.mark.runc_differs("1.1 demands mappings, which it does not use")
def test_namespace_joined_by_path_needs_no_mappings(mapped: Bundle) -> None:
    """They are the joined namespace's."""
    first = mapped.container("/bin/sleep", "100").up()
    mapped.namespace("user", path=f"/proc/{first.pid}/ns/user")
    mapped.linux.pop("uidMappings")
    mapped.linux.pop("gidMappings")
    second = mapped.container("/bin/sleep", "100").up()
    assert second.proc("uid_map").split() == ["0", "100000", "65536"]
