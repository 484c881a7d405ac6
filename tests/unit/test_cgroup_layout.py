"""Hierarchies found in /proc's files of all kinds of hosts, and the container's places in them."""

from __future__ import annotations

import pytest

from lxcri.cgroup import UNIFIED
from lxcri.cgroup.layout import HierarchyMount, Layout, container_mounts, mounts_below
from lxcri.errors import Error

V1_MOUNTS = """\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
31 22 0:28 / /sys/fs/cgroup ro,nosuid,nodev,noexec - tmpfs tmpfs ro,mode=755
32 31 0:29 / /sys/fs/cgroup/systemd rw shared:9 - cgroup cgroup rw,xattr,name=systemd
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:10 - cgroup cgroup rw,cpu,cpuacct
34 31 0:31 / /sys/fs/cgroup/memory rw shared:11 - cgroup cgroup rw,memory
35 31 0:32 / /sys/fs/cgroup/cpuset rw shared:12 - cgroup cgroup rw,cpuset,clone_children
"""
V1_OWN = """\
4:cpuset:/
3:memory:/user.slice
2:cpu,cpuacct:/user.slice
1:name=systemd:/user.slice/session-1.scope
0::/user.slice/session-1.scope
"""
HYBRID_MOUNTS = V1_MOUNTS + "36 31 0:33 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n"
V2_MOUNTS = """\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
31 22 0:28 / /sys/fs/cgroup rw,nosuid,nodev,noexec - cgroup2 cgroup2 rw,nsdelegate,memory_recursiveprot
"""
V2_OWN = "0::/user.slice/session-1.scope\n"


def test_v1_has_a_mount_point_for_each_controller() -> None:
    layout = Layout.parse(V1_MOUNTS, V1_OWN)
    assert layout.mode == "v1"
    assert layout.unified is None
    assert layout.controllers == {
        "cpuset": "/sys/fs/cgroup/cpuset",
        "memory": "/sys/fs/cgroup/memory",
        "cpu": "/sys/fs/cgroup/cpu,cpuacct",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct",
        "name=systemd": "/sys/fs/cgroup/systemd",
    }


def test_hybrid_has_cgroup2_beside_v1() -> None:
    layout = Layout.parse(HYBRID_MOUNTS, V1_OWN, "hugetlb misc\n")
    assert layout.mode == "hybrid"
    assert layout.unified == "/sys/fs/cgroup/unified"
    assert layout.unified_controllers == {"hugetlb", "misc"}
    assert layout.own[UNIFIED] == "/sys/fs/cgroup/unified/user.slice/session-1.scope"
    assert set(layout.controllers) == {"cpuset", "memory", "cpu", "cpuacct", "name=systemd"}


def test_v2_has_cgroup2_alone() -> None:
    layout = Layout.parse(V2_MOUNTS, V2_OWN, "cpuset cpu io memory pids\n")
    assert (layout.mode, layout.controllers, layout.unified) == ("v2", {}, "/sys/fs/cgroup")
    assert layout.own == {UNIFIED: "/sys/fs/cgroup/user.slice/session-1.scope"}


def test_a_host_may_have_no_cgroups() -> None:
    layout = Layout.parse("22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n", "0::/\n")
    assert layout.mode == "none"
    assert layout.directories("/x", "id") == layout.directories("", "id") == {}


def test_a_mount_at_the_standard_place_is_preferred() -> None:
    elsewhere = V2_MOUNTS.splitlines()[1].replace("/sys/fs/cgroup", "/mnt/cgroup").replace("31 ", "30 ", 1)
    assert Layout.parse(elsewhere + "\n" + V2_MOUNTS, V2_OWN).unified == "/sys/fs/cgroup"
    assert Layout.parse(elsewhere, V2_OWN).unified == "/mnt/cgroup"


def test_escaped_characters_of_a_mount_point_are_read() -> None:
    mounts = r"31 22 0:28 / /a\040b\134c\011d\012e rw - cgroup2 none rw"
    assert Layout.parse(mounts, V2_OWN).unified == "/a b\\c\td\ne"
    assert Layout.parse(r"31 22 0:28 / /a\134040 rw - cgroup2 none rw", V2_OWN).unified == r"/a\040"


def test_a_mount_on_another_at_the_same_place() -> None:
    """The one on top is in sight, the one below it is not."""
    below = "30 22 0:27 / /sys/fs/cgroup rw - cgroup2 none rw"
    above = "31 30 0:27 /sub /sys/fs/cgroup rw - cgroup2 none rw"
    assert Layout.parse(f"{below}\n{above}", "0::/sub/x\n").own == {UNIFIED: "/sys/fs/cgroup/x"}
    assert Layout.parse(f"{below}\n31 30 0:40 / /sys/fs/cgroup rw - tmpfs none rw", "0::/x\n").mode == "none"


def test_mounts_below_a_directory() -> None:
    """Not its own, not those of others whose names begin alike, not those that others cover."""
    info = "\n".join(
        f"{number} {parent} 0:{number} / {point} {options} shared:1 - tmpfs none rw"
        for number, parent, point, options in (
            (1, 1, "/", "rw"),
            (2, 1, r"/a\040b", "rw"),
            (3, 2, r"/a\040b/x", "ro,nosuid"),
            (4, 2, r"/a\040b/y\012", "rw"),
            (5, 4, r"/a\040b/y\012/covered", "rw"),
            (6, 4, r"/a\040b/y\012", "ro"),
            (7, 1, r"/a\040bc", "rw"),
            (8, 2, r"/a\040b/d/e", "rw"),
            (9, 2, r"/a\040b/d", "rw"),
        )
    )
    found = {"/x": frozenset({"ro", "nosuid"}), "/y\n": frozenset({"ro"}), "/d": frozenset({"rw"})}
    assert mounts_below(info, "/a b") == found
    assert mounts_below(info, "/a") == {}
    assert mounts_below(info, "/").keys() == {"/a b", "/a b/x", "/a b/y\n", "/a b/d", "/a bc"}


def test_an_option_is_no_controller() -> None:
    """Only /proc/self/cgroup tells what of "rw,xattr,name=systemd" is a name."""
    assert Layout.parse(V1_MOUNTS, "1:xattr:/\n").controllers == {"xattr": "/sys/fs/cgroup/systemd"}
    assert "xattr" not in Layout.parse(V1_MOUNTS, V1_OWN).controllers


@pytest.mark.parametrize(
    ("root", "path", "below"),
    [
        ("/", "/", ""),
        ("/", "/a/b", "/a/b"),
        ("/docker/1", "/docker/1", ""),
        ("/docker/1", "/docker/1/a", "/a"),
        ("/docker/1", "/docker/12", ""),
        ("/docker/1", "/", ""),
        ("/", "/../..", ""),
        ("/..", "/../x", ""),
    ],
)
def test_the_own_cgroup_is_seen_from_the_mounts_root(root: str, path: str, below: str) -> None:
    """In a container without a cgroup namespace a mount shows a part of the hierarchy."""
    mounts = f"31 22 0:28 {root} /cg rw - cgroup2 none rw"
    assert Layout.parse(mounts, f"0::{path}\n").own == {UNIFIED: "/cg" + below}


HYBRID = Layout.parse(HYBRID_MOUNTS, V1_OWN)


def test_an_absolute_path_begins_at_the_mount_points() -> None:
    assert HYBRID.directories("/a/b", "id") == {
        "cpuset": "/sys/fs/cgroup/cpuset/a/b",
        "memory": "/sys/fs/cgroup/memory/a/b",
        "cpu": "/sys/fs/cgroup/cpu,cpuacct/a/b",
        "cpuacct": "/sys/fs/cgroup/cpu,cpuacct/a/b",
        "name=systemd": "/sys/fs/cgroup/systemd/a/b",
        UNIFIED: "/sys/fs/cgroup/unified/a/b",
    }


def test_a_relative_path_begins_at_the_runtimes_own_cgroup() -> None:
    directories = HYBRID.directories("a/b", "id")
    assert directories["memory"] == "/sys/fs/cgroup/memory/user.slice/a/b"
    assert directories["cpuset"] == "/sys/fs/cgroup/cpuset/a/b"
    assert directories[UNIFIED] == "/sys/fs/cgroup/unified/user.slice/session-1.scope/a/b"


def test_with_cgroup2_alone_a_relative_path_begins_at_the_parent_of_the_runtimes_own_cgroup() -> None:
    """Which has no processes: cgroup2 does not let a cgroup with some limit others."""
    mount = "29 23 0:99 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw"
    for own, directory in (
        ("/user.slice/session-1.scope", "/sys/fs/cgroup/user.slice/a"),
        ("/shell", "/sys/fs/cgroup/a"),
        ("/", "/sys/fs/cgroup/a"),
    ):
        assert Layout.parse(mount, f"0::{own}\n").directories("a", "id") == {UNIFIED: directory}
        assert Layout.parse(mount, f"0::{own}\n").directories("/a", "id") == {UNIFIED: "/sys/fs/cgroup/a"}
    inner = mount.replace(" / /sys", " /outer /sys")
    for own, directory in (("/outer", "/sys/fs/cgroup/a"), ("/outer/own", "/sys/fs/cgroup/a")):
        assert Layout.parse(inner, f"0::{own}\n").directories("../a", "id") == {UNIFIED: directory}


def test_an_empty_path_is_the_id_as_relative_path() -> None:
    assert HYBRID.directories("", "id") == HYBRID.directories("id", "other")


@pytest.mark.parametrize(
    ("path", "same"),
    [
        ("/../../a/../b", "/b"),
        ("../../a/../b", "b"),
        ("//a//b/", "/a/b"),
        ("/./a/.", "/a"),
        ("a/../../../b", "b"),
    ],
)
def test_dots_do_not_lead_above_the_beginning(path: str, same: str) -> None:
    assert HYBRID.directories(path, "id") == HYBRID.directories(same, "id")


@pytest.mark.parametrize("path", ["/", "//", ".", "..", "/..", "/a/..", "a/.."])
def test_a_path_must_name_a_cgroup_of_its_own(path: str) -> None:
    """Else the container would share the one of the runtime, or of all the host, and die with it."""
    with pytest.raises(Error) as error:
        HYBRID.directories(path, "id")
    assert str(error.value) == (f'linux.cgroupsPath "{path}": names no cgroup that a container could have for itself')


@pytest.mark.parametrize("path", ["/a\nb", "a\0b"])
def test_a_path_has_no_line_break_and_no_nul(path: str) -> None:
    with pytest.raises(Error, match=r"^linux\.cgroupsPath: a cgroup's name has no line breaks and no NUL$"):
        HYBRID.directories(path, "id")


def test_a_container_on_v1_sees_a_directory_for_each_hierarchy() -> None:
    """Co-mounted controllers have one directory, and a link for each; cgroup2 is not shown (as by runc)."""

    def entry(name: str, data: str, links: tuple[str, ...] = ()) -> HierarchyMount:
        controller = data.partition(",")[0] if not data.startswith("none") else "name=systemd"
        return HierarchyMount(name, controller, links=links, fstype="cgroup", source="cgroup", data=data)

    expected = [
        entry("cpuset", "cpuset"),
        entry("memory", "memory"),
        entry("cpu,cpuacct", "cpu,cpuacct", ("cpu", "cpuacct")),
        entry("systemd", "none,name=systemd"),
    ]
    assert container_mounts(HYBRID) == expected
    assert container_mounts(Layout.parse(V1_MOUNTS, V1_OWN)) == expected


def test_a_container_on_v2_sees_cgroup2() -> None:
    assert container_mounts(Layout.parse(V2_MOUNTS, V2_OWN)) == [
        HierarchyMount("", UNIFIED, fstype="cgroup2", source="cgroup", data="")
    ]


def test_a_container_on_a_host_without_cgroups_sees_none() -> None:
    assert container_mounts(Layout({})) == []


def test_a_hierarchy_that_is_covered_is_not_there() -> None:
    """As on a hybrid host whose cgroup2 mount somebody hid: what cannot be reached cannot be used."""
    mountinfo = (
        "20 1 0:5 / / rw - ext4 /dev/vda rw\n"
        "30 20 0:30 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n"
        "31 30 0:31 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
        "32 30 0:32 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
        "33 32 0:33 / /sys/fs/cgroup/unified rw - tmpfs none rw\n"
    )
    layout = Layout.parse(mountinfo, "1:pids:/\n0::/\n")
    assert layout.controllers == {"pids": "/sys/fs/cgroup/pids"}
    assert layout.unified is None
    assert (
        Layout.parse(mountinfo + "34 30 0:34 / /sys/fs/cgroup rw - tmpfs none rw\n", "1:pids:/\n0::/\n").mode == "none"
    )
