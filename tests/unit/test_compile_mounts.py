"""compile: mounts, of every type."""

from __future__ import annotations

import pytest
from oci.compiling import HYBRID, NONE, PROC, V1, V2, Json, change, compiled, merged, mount, mounts, namespaces, refusal

from lxcri.cgroup import UNIFIED
from lxcri.cgroup.layout import Layout
from lxcri.compile.mounts import ALL_ATTRIBUTES, WITHOUT_HOST_PATHS, clean_path, is_below
from lxcri.compile.options import ATTR_ATIME, ATTR_NOATIME, ATTR_NOSUID, ATTR_RDONLY, MS_PRIVATE, MS_SHARED, MS_SLAVE
from lxcri.plan import Tree

SUBJECT = 'mounts[1] "/x"'
NOSUID, NODEV, NOEXEC = 2, 4, 8
BARE: Json = {"mounts": []}


@pytest.mark.parametrize(
    ("path", "clean"),
    [
        ("/a", "/a"),
        ("a", "/a"),  # config.md: relative to the root
        ("//a///b/", "/a/b"),
        ("/./a/./b/.", "/a/b"),
        ("/", "/"),
        ("", "/"),
        ("/a/../b", "/a/../b"),  # a could be a link
        ("/...", "/..."),
    ],
)
def test_clean_path(path: str, clean: str) -> None:
    assert clean_path(path) == clean


@pytest.mark.parametrize(
    ("path", "directory", "below"),
    [("/a", "/a", True), ("/a/b", "/a", True), ("/ab", "/a", False), ("/a", "/a/b", False), ("/a", "/", True)],
)
def test_is_below(path: str, directory: str, below: bool) -> None:
    assert is_below(path, directory) is below


@pytest.mark.parametrize(
    ("fragment", "arguments"),
    [
        (mount("/x", "tmpfs"), ("tmpfs", "tmpfs", "/x", 0, "")),
        (
            mount("/x", "tmpfs", "nosuid", "nodev", "size=64k", "mode=1777", source="shm"),
            ("tmpfs", "shm", "/x", NOSUID | NODEV, "size=64k,mode=1777"),
        ),
        (
            mount("/x", "devpts", "nosuid", "noexec", "newinstance", "ptmxmode=0666", "gid=5", source="devpts"),
            ("devpts", "devpts", "/x", NOSUID | NOEXEC, "newinstance,ptmxmode=0666,gid=5"),
        ),
        (mount("/x", "devpts", "ro"), ("devpts", "devpts", "/x", 1, "")),
        (mount("/x", "mqueue", "nosuid", "ro"), ("mqueue", "mqueue", "/x", NOSUID | 1, "")),
        (mount("/x", "proc", "hidepid=2"), ("proc", "proc", "/x", 0, "hidepid=2")),
        (mount("/x", "sysfs", "ro", source="none"), ("sysfs", "none", "/x", 1, "")),
        (mount("/x", "ramfs"), ("ramfs", "ramfs", "/x", 0, "")),
        (mount("/x", "bpf"), ("bpf", "bpf", "/x", 0, "")),
        (mount("/x", "securityfs"), ("securityfs", "securityfs", "/x", 0, "")),
    ],
)
def test_file_systems(fragment: Json, arguments: tuple[str, str, str, int, str]) -> None:
    assert change(fragment) == {"mounts": [("mount", SUBJECT, arguments)]}


def test_destinations() -> None:
    """The subject has the document's words, the target is a clean path."""
    found = change(mount("a/./b//", "ramfs"))
    assert found == {"mounts": [("mount", 'mounts[1] "a/./b//"', ("ramfs", "ramfs", "/a/b", 0, ""))]}


def test_empty_source() -> None:
    """Not the same as none: mount(2) gets it."""
    fragment = mounts({"destination": "/x", "type": "ramfs", "source": ""})
    assert change(fragment) == {"mounts": [("mount", SUBJECT, ("ramfs", "", "/x", 0, ""))]}


def test_file_system_of_the_host() -> None:
    """Its source and options may be paths of the host, so it is mounted while these are there."""
    options = ["lowerdir=/l", "upperdir=/u", "workdir=/w", "nodev"]
    assert "overlay" not in WITHOUT_HOST_PATHS
    assert change(mount("/x", "overlay", *options)) == {
        "mounts": [("mount", SUBJECT, ("overlay", "overlay", "/x", NODEV, "lowerdir=/l,upperdir=/u,workdir=/w"))],
        "root": [("attributes", "root", ("/", 0, ATTR_RDONLY, 0))],
        "pre_pivot": True,
    }
    assert change(mount("/x", "ext4", source="/dev/loop0"))["pre_pivot"]


def test_tmpfs_becomes_read_only_at_the_end() -> None:
    """Once the mounts below it have their directories."""
    assert change(mount("/x", "tmpfs", "ro", "nosuid")) == {
        "mounts": [("mount", SUBJECT, ("tmpfs", "tmpfs", "/x", NOSUID, ""))],
        "root": [("attributes", SUBJECT, ("/x", ATTR_RDONLY, 0, 0))],
    }


@pytest.mark.parametrize("kind", ["tmpfs", "ramfs", "devtmpfs"])
def test_dev_becomes_read_only_at_the_end(kind: str) -> None:
    """Devices and links are still to be made in it; and there is one devtmpfs: read-only, it is so on the host too."""
    subject = 'mounts[1] "/dev"'
    found = change(mount("/dev", kind, "ro", "nosuid"))
    assert found["mounts"] == [("mount", subject, (kind, kind, "/dev", NOSUID, ""))]
    assert found["root"][-1] == ("attributes", subject, ("/dev", ATTR_RDONLY, 0, 0))


def test_tmpcopyup() -> None:
    assert change(mount("/x", "tmpfs", "tmpcopyup", "ro", "mode=700")) == {
        "mounts": [("mount_copyup", SUBJECT, ("tmpfs", "tmpfs", "/x", 0, "mode=700"))],
        "root": [("attributes", SUBJECT, ("/x", ATTR_RDONLY, 0, 0))],
    }


@pytest.mark.parametrize(
    ("fragment", "text"),
    [
        (mount("/x", "ramfs", "tmpcopyup"), f"{SUBJECT}: options: tmpcopyup: only for tmpfs"),
        (mount("/x", "bind", "tmpcopyup", source="/y"), f"{SUBJECT}: options: tmpcopyup: only for tmpfs"),
        (mount("/x", "bind"), f"{SUBJECT}: a bind mount needs a source"),
        (mount("/x", None, "rbind"), f"{SUBJECT}: a bind mount needs a source"),
        (mount("/x", None, "ro", source="/y"), f"{SUBJECT}: neither a type nor the option bind or rbind"),
        (mounts({"destination": "", "type": "ramfs"}), "mounts[1]: destination: empty"),
        (mount("/", "ramfs"), 'mounts[1] "/": the root itself cannot be mounted over'),
        (mount(".//", "ramfs"), 'mounts[1] ".//": the root itself cannot be mounted over'),
        (mount("/a/..", "ramfs"), 'mounts[1] "/a/..": the root itself cannot be mounted over'),
        (mount("/..", "bind", source="/y"), 'mounts[1] "/..": the root itself cannot be mounted over'),
        (mount("/x", "ramfs", "a" * 4096), f"{SUBJECT}: options: longer than 4095 bytes"),
        (mount("/x", "overlay", "ü" * 2048), f"{SUBJECT}: options: longer than 4095 bytes"),
        (mount("/x", "tmpfs", "a" * 4086), f"{SUBJECT}: options: longer than 4085 bytes"),
    ],
)
def test_mounts_that_cannot_be(fragment: Json, text: str) -> None:
    assert refusal(fragment) == text


@pytest.mark.parametrize(("kind", "longest"), [("ramfs", 4095), ("tmpfs", 4085)])
def test_longest_options(kind: str, longest: int) -> None:
    """mount(2) takes a page; lxcri-init puts a tmpfs's mode before them."""
    found = change(mount("/x", kind, "ro", "a" * (longest - 2), "b"))
    assert found["mounts"][0][2][4] == "a" * (longest - 2) + ",b"


# ---- what liblxc mounts ----


@pytest.mark.parametrize(
    ("options", "set_"),
    [
        ([], 0),
        (["nosuid", "noexec", "nodev"], NOSUID | NODEV | NOEXEC),
        (["ro", "noatime"], ATTR_RDONLY | ATTR_NOATIME),
        (["rw", "relatime"], 0),
    ],
)
def test_proc_and_sysfs_are_liblxcs(options: list[str], set_: int) -> None:
    """With exactly the attributes of the spec, put in the spec's order."""
    clear = ALL_ATTRIBUTES & ~(set_ & ~ATTR_ATIME)
    assert change(mount("/sys/", "sysfs", *options, source="sysfs")) == {
        "items": [("lxc.mount.entry", "sysfs sys sysfs nosuid,nodev,noexec 0 0")],
        "directories": ["sys"],
        "mounts": [("reattach", 'mounts[1] "/sys/"', ("/sys", set_, clear))],
    }
    proc = {"mounts": [{**PROC, "options": options}]}
    assert change(proc, base=BARE, given={"empty_proc": "mnt"})["mounts"] == [
        ("reattach", 'mounts[0] "/proc"', ("/proc", set_, clear))
    ]


def test_attributes_of_what_liblxc_mounted() -> None:
    assert ALL_ATTRIBUTES == 0x2000FF


def test_proc_with_options_of_its_own() -> None:
    """liblxc's stays below it."""
    found = change({"mounts": [{**PROC, "options": ["hidepid=2", "nosuid"]}]})
    assert found == {
        "mounts": [("mount", 'mounts[0] "/proc"', ("proc", "proc", "/proc", NOSUID, "hidepid=2"))],
        "-mounts": [("reattach", 'mounts[0] "/proc"', ("/proc", 0, ALL_ATTRIBUTES))],
    }


def test_proc_over_another_mount() -> None:
    """What lies on liblxc's proc by then is not to be put on top of itself."""
    fragment = {"mounts": [{"destination": "/proc", "type": "tmpfs"}, PROC, PROC]}
    assert change(fragment) == {
        "mounts": [
            ("mount", 'mounts[0] "/proc"', ("tmpfs", "tmpfs", "/proc", 0, "")),
            ("mount", 'mounts[1] "/proc"', ("proc", "proc", "/proc", 0, "")),
            ("mount", 'mounts[2] "/proc"', ("proc", "proc", "/proc", 0, "")),
        ],
        "-mounts": [("reattach", 'mounts[0] "/proc"', ("/proc", 0, ALL_ATTRIBUTES))],
    }


def test_no_proc() -> None:
    """liblxc mounts one on any directory, and the helper's first act is to detach it."""
    assert change(BARE, empty_proc="srv") == {
        "items": [("lxc.mount.entry", "proc srv proc nosuid,nodev,noexec 0 0")],
        "-items": [("lxc.mount.entry", "proc proc proc nosuid,nodev,noexec 0 0")],
        "-directories": ["proc"],
        "mounts": [("detach", "the helper's proc", ("srv",))],
        "-mounts": [("reattach", 'mounts[0] "/proc"', ("/proc", 0, ALL_ATTRIBUTES))],
        "proc_directory": "srv",
    }
    text = "mounts: without a proc at /proc the root file system needs some other directory"
    assert refusal(BARE) == text


def test_no_proc_with_hooks_before_the_pivot() -> None:
    """The helper of the hook needs it until then."""
    hooks = {"hooks": {"createRuntime": [{"path": "/h"}]}}
    program = compiled(merged(BARE, hooks), empty_proc="srv").program
    assert ("detach", "the helper's proc", ("srv",)) in program["root"]
    assert not [i for i in program["mounts"] if i[0] == "detach"]


# ---- bind mounts ----


@pytest.mark.parametrize(
    ("source", "path"),
    [("/y", "/y"), ("data", "/bundle/data"), ("./a/../b", "/bundle/./a/../b"), ("/y/../z", "/y/../z")],
)
def test_bind_sources(source: str, path: str) -> None:
    """config.md: relative to the bundle."""
    assert change(mount("/x", "bind", "ro", source=source)) == {
        "mounts": [("move", SUBJECT, (4, "/x"))],
        "trees": [Tree(SUBJECT, path, set=ATTR_RDONLY)],
    }


def test_numbers_of_trees() -> None:
    """After stdio, the socket, the console's and the preserved descriptors; in the order of the spec."""
    two = mounts(
        {"destination": "/x", "type": "bind", "source": "/y"},
        {"destination": "/z", "type": "bind", "source": "/y", "options": ["rbind"]},
    )
    console = {"process": {"terminal": True}}
    with_console = merged(two, console)
    for fragment, preserved, first in ((two, 0, 4), (two, 3, 7), (with_console, 0, 5), (with_console, 3, 8)):
        plan = compiled(fragment, preserve_fds=preserved)
        moves = [i for i in plan.program["mounts"] if i[0] == "move"]
        assert moves == [
            ("move", 'mounts[1] "/x"', (first, "/x")),
            ("move", 'mounts[2] "/z"', (first + 1, "/z")),
        ]
        assert plan.host.trees == [Tree('mounts[1] "/x"', "/y"), Tree('mounts[2] "/z"', "/y", recursive=True)]


def test_order_of_mounts() -> None:
    """The document's, whatever the type."""
    fragment = {
        "mounts": [
            PROC,
            {"destination": "/dev", "type": "tmpfs"},
            {"destination": "/x", "type": "bind", "source": "/y"},
            {"destination": "/sys", "type": "sysfs"},
            {"destination": "/sys/fs/x", "type": "ramfs"},
        ]
    }
    made = [(i[0], i[1]) for i in compiled(fragment).program["mounts"]]
    assert made[:6] == [
        ("attributes", "root"),
        ("reattach", 'mounts[0] "/proc"'),
        ("mount", 'mounts[1] "/dev"'),
        ("move", 'mounts[2] "/x"'),
        ("reattach", 'mounts[3] "/sys"'),
        ("mount", 'mounts[4] "/sys/fs/x"'),
    ]
    assert {what for what, _ in made[6:]} == {"mknod", "symlink", "replace_symlink"}


# ---- before and after the pivot ----

HOOK = {"hooks": {"prestart": [{"path": "/h"}]}}


SHARED_ROOT = {"linux": {"rootfsPropagation": "rshared"}}


def test_mounts_before_the_pivot() -> None:
    """A mount that stays a peer of the host's, and all below it, has to wait until after it."""
    fragment = mounts(
        {"destination": "/a", "type": "ramfs"},
        {"destination": "/s", "type": "bind", "source": "/y", "options": ["rshared"]},
        {"destination": "/s/below", "type": "ramfs"},
        {"destination": "/sb", "type": "bind", "source": "/y", "options": ["rslave"]},
    )
    found = change(fragment, base=merged(HOOK, SHARED_ROOT))
    assert found["mounts"] == [
        ("mount", 'mounts[1] "/a"', ("ramfs", "ramfs", "/a", 0, "")),
        ("move", 'mounts[4] "/sb"', (5, "/sb")),
    ]
    assert found["root"] == [
        ("move", 'mounts[2] "/s"', (4, "/s")),
        ("propagation", 'mounts[2] "/s"', ("/s", MS_SHARED, True)),
        ("mount", 'mounts[3] "/s/below"', ("ramfs", "ramfs", "/s/below", 0, "")),
        ("propagation", 'mounts[4] "/sb"', ("/sb", MS_SLAVE, True)),
    ]
    without_hook = change(fragment, base=SHARED_ROOT)
    assert [i[1] for i in without_hook["mounts"]] == [
        f"mounts[{i}] {p}" for i, p in enumerate(('"/a"', '"/s"', '"/s/below"', '"/sb"'), 1)
    ]


def test_notify_socket() -> None:
    """Its directory is mounted after all else."""
    assert change({}, notify=True)["trees"] == [Tree("NOTIFY_SOCKET", "/run/lxcri/c1/notify", set=0xF)]
    found = change(mount("/x", "bind", source="/y"), given={"notify": True}, base=mounts())
    assert found["mounts"][-1] == ("move", "NOTIFY_SOCKET", (5, "/run/notify"))


# ---- cgroups ----

CGROUP_FLAGS = NOSUID | NODEV | NOEXEC


@pytest.mark.parametrize("layout", [V1, HYBRID])
def test_cgroups_with_a_namespace_of_their_own(layout: Layout) -> None:
    """A tmpfs, and each hierarchy of v1, mounted in that namespace."""
    found = change(mount("/c", "cgroup"), given={"layout": layout})
    subject = 'mounts[1] "/c"'
    others = ["memory", "devices", "freezer", "blkio", "pids"]
    assert found == {
        "root": [
            ("mount", subject, ("tmpfs", "tmpfs", "/c", CGROUP_FLAGS, "mode=755")),
            ("mount", subject, ("cgroup", "cgroup", "/c/cpuset", CGROUP_FLAGS, "cpuset")),
            ("mount", subject, ("cgroup", "cgroup", "/c/cpu,cpuacct", CGROUP_FLAGS, "cpu,cpuacct")),
            ("symlink", subject, ("cpu,cpuacct", "/c/cpu", "")),
            ("symlink", subject, ("cpu,cpuacct", "/c/cpuacct", "")),
            *(("mount", subject, ("cgroup", "cgroup", f"/c/{name}", CGROUP_FLAGS, name)) for name in others),
            ("mount", subject, ("cgroup", "cgroup", "/c/systemd", CGROUP_FLAGS, "none,name=systemd")),
        ]
    }


def test_read_only_cgroups() -> None:
    """The tmpfs once the directories are in it, each hierarchy at once."""
    found = change(mount("/c", "cgroup", "ro"))["root"]
    assert found[0][2] == ("tmpfs", "tmpfs", "/c", CGROUP_FLAGS, "mode=755")
    assert {i[2][3] for i in found[1:] if i[0] == "mount"} == {CGROUP_FLAGS | 1}
    assert found[-1] == ("attributes", 'mounts[1] "/c"', ("/c", ATTR_RDONLY, 0, 0))


def test_cgroups_without_a_namespace() -> None:
    """The container's own directories are bound."""
    subject = 'mounts[1] "/c"'
    found = change(mount("/c", "cgroup", "ro"), base=namespaces("mount"))
    attributes = ATTR_RDONLY | NOSUID | NODEV | NOEXEC
    keys = ["cpuset", "cpu", "memory", "devices", "freezer", "blkio", "pids", "name=systemd"]
    assert found == {
        "trees": [Tree(subject, cgroup=key, recursive=True, set=attributes) for key in keys],
        "mounts": [
            ("mount", subject, ("tmpfs", "tmpfs", "/c", CGROUP_FLAGS, "mode=755")),
            ("move", subject, (4, "/c/cpuset")),
            ("move", subject, (5, "/c/cpu,cpuacct")),
            ("symlink", subject, ("cpu,cpuacct", "/c/cpu", "")),
            ("symlink", subject, ("cpu,cpuacct", "/c/cpuacct", "")),
            ("move", subject, (6, "/c/memory")),
            ("move", subject, (7, "/c/devices")),
            ("move", subject, (8, "/c/freezer")),
            ("move", subject, (9, "/c/blkio")),
            ("move", subject, (10, "/c/pids")),
            ("move", subject, (11, "/c/systemd")),
        ],
        "root": [("attributes", subject, ("/c", ATTR_RDONLY, 0, 0))],
    }


def test_cgroups_of_v2() -> None:
    subject = 'mounts[1] "/c"'
    everything = [{"allow": True, "access": "rwm"}]
    base = {"linux": {"resources": {"devices": everything}}}
    found = change(mount("/c", "cgroup", "ro"), base=base, given={"layout": V2})
    assert found == {"root": [("mount", subject, ("cgroup2", "cgroup", "/c", CGROUP_FLAGS | 1, ""))]}
    found = change(mount("/c", "cgroup2"), base=merged(base, namespaces("mount")), given={"layout": V2})
    assert found == {
        "mounts": [("move", subject, (4, "/c"))],
        "trees": [Tree(subject, cgroup=UNIFIED, recursive=True, set=CGROUP_FLAGS)],
    }


def test_cgroup2_beside_v1() -> None:
    """That hierarchy alone, where there is one."""
    subject = 'mounts[1] "/c"'
    found = change(mount("/c", "cgroup2", "ro"), given={"layout": HYBRID})
    assert found == {"root": [("mount", subject, ("cgroup2", "cgroup", "/c", CGROUP_FLAGS | 1, ""))]}
    found = change(mount("/c", "cgroup2"), base=namespaces("mount"), given={"layout": HYBRID})
    assert found == {
        "mounts": [("move", subject, (4, "/c"))],
        "trees": [Tree(subject, cgroup=UNIFIED, recursive=True, set=CGROUP_FLAGS)],
    }
    assert refusal(mount("/c", "cgroup2"), layout=V1) == f"{subject}: this host has no cgroup2"


def test_cgroups_before_the_pivot() -> None:
    """With a namespace they are mounted late in any case, and what is below them too; without, at once."""
    fragment = mounts({"destination": "/c", "type": "cgroup"}, {"destination": "/c/x", "type": "ramfs"})
    late = change(fragment, base=HOOK)
    assert "mounts" not in late
    assert late["root"][-1][1] == 'mounts[2] "/c/x"'
    early = change(fragment, base=merged(HOOK, namespaces("mount")))
    assert "root" not in early


def test_cgroups_where_there_are_none() -> None:
    assert refusal(mount("/c", "cgroup"), layout=NONE) == 'mounts[1] "/c": this host has no cgroups'


def test_bind_of_type_cgroup() -> None:
    """The option decides, as for every type."""
    found = change(mount("/c", "cgroup", "bind", source="/sys/fs/cgroup"))
    assert found["trees"] == [Tree('mounts[1] "/c"', "/sys/fs/cgroup")]


def test_propagation_and_recursive_options_of_cgroups() -> None:
    found = change(mount("/c", "cgroup", "private", "rnosuid"))["root"]
    assert found[-2:] == [
        ("propagation", 'mounts[1] "/c"', ("/c", MS_PRIVATE, False)),
        ("attributes", 'mounts[1] "/c"', ("/c", ATTR_NOSUID, 0, 1)),
    ]


LABEL = "system_u:object_r:container_file_t:s0:c1,c2"


def test_mount_label() -> None:
    """config-linux.md, "Mount Label": of file systems that take one; with what else is in their options."""
    fragment = mounts(
        {"destination": "/t", "type": "tmpfs", "options": ["size=1m"]},
        {"destination": "/p", "type": "devpts"},
        {"destination": "/q", "type": "mqueue"},
        {"destination": "/b", "type": "bind", "source": "/b"},
    )
    fragment["linux"] = {"namespaces": [{"type": "mount"}], "mountLabel": LABEL}
    plan = compiled(fragment, lsm=("selinux",))
    data = {arguments[2]: arguments[4] for name, _, arguments in plan.program["mounts"] if name == "mount"}
    assert data["/t"] == f'size=1m,context="{LABEL}"'
    assert data["/p"] == f'context="{LABEL}"'
    assert data["/q"] == ""
    assert not [warning for warning in plan.warnings if "mountLabel" in warning]


def test_mount_label_without_selinux() -> None:
    fragment = mounts({"destination": "/t", "type": "tmpfs"})
    fragment["linux"] = {"namespaces": [{"type": "mount"}], "mountLabel": LABEL}
    plan = compiled(fragment)
    assert "linux.mountLabel: selinux is not enabled in this kernel" in plan.warnings
    assert not [arguments for _, _, arguments in plan.program["mounts"] if "context" in str(arguments)]
