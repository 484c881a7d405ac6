"""compile: the options of config.md, "Mounts", one by one and against each other."""

from __future__ import annotations

import pytest
from oci.compiling import Json, change, compiled, mount, mounts, refusal

from lxcri.compile.options import (
    ATTR_ATIME,
    ATTR_NOATIME,
    ATTR_NODEV,
    ATTR_NODIRATIME,
    ATTR_NOEXEC,
    ATTR_NOSUID,
    ATTR_NOSYMFOLLOW,
    ATTR_RDONLY,
    ATTR_STRICTATIME,
    BINDS,
    FLAGS,
    ID_MAPS,
    MS_PRIVATE,
    MS_SHARED,
    MS_SLAVE,
    MS_UNBINDABLE,
    NO_OPERATION,
    PROPAGATION,
    RECURSIVE,
    attributes_of,
    parse_options,
)
from lxcri.plan import Tree

SUBJECT = 'mounts[1] "/x"'

# The numbers here are those of linux/mount.h, not of the code.
OPTIONS: dict[str, tuple[int, int, int]] = {
    # option: flags of mount(2) for a file system, attributes that a bind mount sets, and clears
    "async": (0, 0, 0),
    "atime": (0, 0, 0x70),
    "dev": (0, 0, 0x4),
    "diratime": (0, 0, 0x80),
    "dirsync": (0x80, 0, 0),
    "exec": (0, 0, 0x8),
    "iversion": (0x800000, 0, 0),
    "lazytime": (0x2000000, 0, 0),
    "loud": (0, 0, 0),
    "mand": (0x40, 0, 0),
    "noatime": (0x400, 0x10, 0x70),
    "nodev": (0x4, 0x4, 0),
    "nodiratime": (0x800, 0x80, 0),
    "noexec": (0x8, 0x8, 0),
    "noiversion": (0, 0, 0),
    "nolazytime": (0, 0, 0),
    "nomand": (0, 0, 0),
    "norelatime": (0, 0, 0),
    "nostrictatime": (0, 0, 0x70),
    "nosuid": (0x2, 0x2, 0),
    "nosymfollow": (0x100, 0x200000, 0),
    "relatime": (0x200000, 0, 0x70),
    "remount": (0x20, 0, 0),
    "ro": (0x1, 0x1, 0),
    "rw": (0, 0, 0x1),
    "silent": (0x8000, 0, 0),
    "strictatime": (0x1000000, 0x20, 0x70),
    "suid": (0, 0, 0x2),
    "symfollow": (0, 0, 0x200000),
    "sync": (0x10, 0, 0),
}

OF_THE_FILE_SYSTEM = ("dirsync", "iversion", "lazytime", "mand", "remount", "silent", "sync")
"""Options that a bind mount cannot have: they are the file system's, or the call's."""

RECURSIVE_OPTIONS = {
    "ratime": (0, 0x70),
    "rdev": (0, 0x4),
    "rdiratime": (0, 0x80),
    "rexec": (0, 0x8),
    "rnoatime": (0x10, 0x70),
    "rnodev": (0x4, 0),
    "rnodiratime": (0x80, 0),
    "rnoexec": (0x8, 0),
    "rnorelatime": (0, 0),
    "rnostrictatime": (0, 0x70),
    "rnosuid": (0x2, 0),
    "rnosymfollow": (0x200000, 0),
    "rrelatime": (0, 0x70),
    "rro": (0x1, 0),
    "rrw": (0, 0x1),
    "rstrictatime": (0x20, 0x70),
    "rsuid": (0, 0x2),
    "rsymfollow": (0, 0x200000),
}

PROPAGATIONS = {
    "private": (1 << 18, False),
    "rprivate": (1 << 18, True),
    "shared": (1 << 20, False),
    "rshared": (1 << 20, True),
    "slave": (1 << 19, False),
    "rslave": (1 << 19, True),
    "unbindable": (1 << 17, False),
    "runbindable": (1 << 17, True),
}


def bind(*options: str) -> Json:
    return mount("/x", "bind", *options, source="/y")


def tree(*, set: int = 0, clear: int = 0, recursive: bool = False, shared: bool = False) -> Tree:
    return Tree(SUBJECT, "/y", recursive=recursive, shared=shared, set=set, clear=clear)


def test_tables_are_complete() -> None:
    assert OPTIONS.keys() == FLAGS.keys()
    assert RECURSIVE_OPTIONS.keys() == RECURSIVE.keys()
    assert PROPAGATIONS.keys() == PROPAGATION.keys()


def test_every_option_of_the_document() -> None:
    """The table of config.md, "Linux mount options", in its order."""
    document = (
        "async atime bind defaults dev diratime dirsync exec idmap iversion lazytime loud mand noatime nodev "
        "nodiratime "
        "noexec noiversion nolazytime nomand norelatime nostrictatime nosuid nosymfollow private ratime rbind rdev "
        "rdiratime relatime remount rexec rnoatime rnodev rnodiratime rnoexec rnorelatime rnostrictatime rnosuid "
        "rnosymfollow ridmap ro rprivate rrelatime rro rrw rshared rslave rstrictatime rsuid rsymfollow runbindable rw "
        "shared silent slave strictatime suid symfollow sync tmpcopyup unbindable"
    ).split()
    known = {*FLAGS, *RECURSIVE, *PROPAGATION, *BINDS, *ID_MAPS, *NO_OPERATION, "tmpcopyup"}
    assert not set(document) - known
    assert known - set(document) == {""}


@pytest.mark.parametrize("option", OPTIONS)
def test_option_of_a_file_system(option: str) -> None:
    flags = OPTIONS[option][0]
    assert change(mount("/x", "ramfs", option)) == {"mounts": [("mount", SUBJECT, ("ramfs", "ramfs", "/x", flags, ""))]}


@pytest.mark.parametrize("option", OPTIONS)
def test_option_of_a_bind_mount(option: str) -> None:
    """What no option names stays as it is at the source."""
    _, set_, clear = OPTIONS[option]
    expected: Json = {
        "mounts": [("move", SUBJECT, (4, "/x"))],
        "trees": [tree(set=set_, clear=clear)],
    }
    if option in OF_THE_FILE_SYSTEM:
        expected["warnings"] = [f"{SUBJECT}: options without effect on a bind mount: {option}"]
    assert change(bind(option)) == expected


@pytest.mark.parametrize("option", RECURSIVE_OPTIONS)
def test_recursive_option_of_a_bind_mount(option: str) -> None:
    set_, clear = RECURSIVE_OPTIONS[option]
    assert change(bind("rbind", option)) == {
        "mounts": [("move", SUBJECT, (4, "/x"))],
        "trees": [Tree(SUBJECT, "/y", recursive=True, recursive_set=set_, recursive_clear=clear)],
    }


@pytest.mark.parametrize("option", RECURSIVE_OPTIONS)
def test_recursive_option_of_a_file_system(option: str) -> None:
    """Once all is mounted that comes below it."""
    set_, clear = RECURSIVE_OPTIONS[option]
    expected: Json = {"mounts": [("mount", SUBJECT, ("ramfs", "ramfs", "/x", 0, ""))]}
    if set_ or clear:
        expected["root"] = [("attributes", SUBJECT, ("/x", set_, clear, 1))]
    assert change(mount("/x", "ramfs", option)) == expected


@pytest.mark.parametrize("option", PROPAGATIONS)
@pytest.mark.parametrize("kind", ["ramfs", "bind"])
def test_propagation_option(option: str, kind: str) -> None:
    """A bind mount is no peer of the host's, whatever it says."""
    found = change(mount("/x", kind, option, source="/y"))
    assert found["root"] == [("propagation", SUBJECT, ("/x", *PROPAGATIONS[option]))]
    assert found.get("trees", []) == ([tree()] if kind == "bind" else [])


@pytest.mark.parametrize("root", PROPAGATIONS)
@pytest.mark.parametrize("option", PROPAGATIONS)
def test_bind_mount_that_stays_a_peer_of_the_host(option: str, root: str) -> None:
    """Only if the root is shared too, as with runc."""
    base = {"linux": {"namespaces": [{"type": "mount"}], "rootfsPropagation": root}}
    found = change(mount("/x", "bind", option, source="/y"), base=base)
    assert found["trees"] == [tree(shared=option in ("shared", "rshared") and root in ("shared", "rshared"))]


def test_propagation_options_in_their_order() -> None:
    found = change(mount("/x", "ramfs", "rslave", "shared", "ro"))
    assert found["root"] == [
        ("propagation", SUBJECT, ("/x", MS_SLAVE, True)),
        ("propagation", SUBJECT, ("/x", MS_SHARED, False)),
    ]


@pytest.mark.parametrize(
    ("kind", "options", "recursive"),
    [
        ("bind", [], False),
        ("bind", ["bind"], False),
        ("bind", ["rbind"], True),
        (None, ["bind"], False),
        ("none", ["rbind"], True),
        ("tmpfs", ["bind"], False),  # the option decides
        ("bind", ["rbind", "bind"], False),  # the last one counts
        ("bind", ["bind", "rbind"], True),
    ],
)
def test_bind_options(kind: str | None, options: list[str], recursive: bool) -> None:
    assert change(mount("/x", kind, *options, source="/y")) == {
        "mounts": [("move", SUBJECT, (4, "/x"))],
        "trees": [tree(recursive=recursive)],
    }


@pytest.mark.parametrize(
    ("options", "set_", "clear"),
    [
        (["ro", "rw"], 0, ATTR_RDONLY),
        (["rw", "ro"], ATTR_RDONLY, 0),
        (["ro", "rw", "ro"], ATTR_RDONLY, 0),
        (["nosuid", "suid", "noexec"], ATTR_NOEXEC, ATTR_NOSUID),
        # one field with three values
        (["noatime", "strictatime"], ATTR_STRICTATIME, ATTR_ATIME),
        (["strictatime", "noatime"], ATTR_NOATIME, ATTR_ATIME),
        (["noatime", "relatime"], 0, ATTR_ATIME),
        (["relatime", "noatime"], ATTR_NOATIME, ATTR_ATIME),
        (["noatime", "atime"], 0, ATTR_ATIME),
        (["strictatime", "nostrictatime"], 0, ATTR_ATIME),
        (["strictatime", "atime"], ATTR_STRICTATIME, ATTR_ATIME),
        (["noatime", "nostrictatime"], ATTR_NOATIME, ATTR_ATIME),
        (["noatime", "norelatime"], ATTR_NOATIME, ATTR_ATIME),
        # which is none of it
        (["noatime", "nodiratime"], ATTR_NOATIME | ATTR_NODIRATIME, ATTR_ATIME),
        (["nodiratime", "diratime"], 0, ATTR_NODIRATIME),
        (["defaults", "nosymfollow", ""], ATTR_NOSYMFOLLOW, 0),
    ],
)
def test_last_option_counts(options: list[str], set_: int, clear: int) -> None:
    assert change(bind(*options)) == {
        "mounts": [("move", SUBJECT, (4, "/x"))],
        "trees": [tree(set=set_, clear=clear)],
    }


def test_recursive_and_single_options() -> None:
    """The mount itself gets its own last."""
    assert change(bind("rbind", "rro", "rw", "rnodev", "rsuid")) == {
        "mounts": [("move", SUBJECT, (4, "/x"))],
        "trees": [
            Tree(
                SUBJECT,
                "/y",
                recursive=True,
                clear=ATTR_RDONLY,
                recursive_set=ATTR_RDONLY | ATTR_NODEV,
                recursive_clear=ATTR_NOSUID,
            )
        ],
    }


@pytest.mark.parametrize(
    ("options", "flags", "data"),
    [
        (["ro", "rw"], 0, ""),
        (["rw", "ro"], 1, ""),
        (["silent", "loud"], 0, ""),
        (["iversion", "noiversion"], 0, ""),
        (["lazytime", "nolazytime"], 0, ""),
        (["mand", "nomand"], 0, ""),
        (["relatime", "norelatime"], 0, ""),
        (["sync", "async"], 0, ""),
        (["size=5m", "nosuid", "mode=700"], 2, "size=5m,mode=700"),
        (["ROnly", "rona"], 0, "ROnly,rona"),  # no option's beginning
        (["", "size=5m", "", "defaults"], 0, "size=5m"),
        (["size=5m", "size=6m"], 0, "size=5m,size=6m"),
    ],
)
def test_flags_and_data_of_a_file_system(options: list[str], flags: int, data: str) -> None:
    found = change(mount("/x", "ramfs", *options))
    assert found == {"mounts": [("mount", SUBJECT, ("ramfs", "ramfs", "/x", flags, data))]}


def test_options_without_effect_on_a_bind_mount() -> None:
    found = change(bind("size=5m", "ro", "sync", "async", "X"))
    assert found["warnings"] == [f"{SUBJECT}: options without effect on a bind mount: sync,size=5m,X"]


MAPPED = {
    "uidMappings": [{"containerID": 0, "hostID": 1, "size": 2}, {"containerID": 5, "hostID": 6, "size": 1}],
    "gidMappings": [{"containerID": 0, "hostID": 3, "size": 4}],
}


@pytest.mark.parametrize(
    ("options", "recursive"), [(["rbind"], False), (["rbind", "idmap"], False), (["ridmap"], True)]
)
def test_id_mapped_mount(options: list[str], recursive: bool) -> None:
    """With mappings of its own it needs no option; ridmap is for the mounts below too."""
    fragment = mounts({"destination": "/x", "type": "bind", "source": "/y", "options": options, **MAPPED})
    (tree,) = change(fragment)["trees"]
    assert tree.id_mappings == ("0 1 2\n5 6 1\n", "0 3 4\n")
    assert tree.recursive_id_map == recursive


def test_id_mapped_mount_with_the_mappings_of_the_container() -> None:
    fragment: Json = mount("/x", "bind", "idmap", source="/y")
    fragment["linux"] = {"namespaces": [{"type": "user"}, {"type": "mount"}], **MAPPED}
    (tree,) = [tree for tree in compiled(fragment).host.trees if tree.subject == SUBJECT]
    assert tree.id_mappings == ("0 1 2\n5 6 1\n", "0 3 4\n")


def test_id_mapped_mount_without_mappings() -> None:
    text = f"{SUBJECT}: options: id-mapped, but neither the mount nor the container has mappings"
    assert refusal(mount("/x", "bind", "idmap", source="/y")) == text


@pytest.mark.parametrize("property", ["uidMappings", "gidMappings"])
def test_id_mappings_of_one_kind_alone(property: str) -> None:
    fragment = mounts({"destination": "/x", "type": "bind", "source": "/y", property: MAPPED[property]})
    assert refusal(fragment) == f"{SUBJECT}: uidMappings and gidMappings: one is no use without the other"


@pytest.mark.parametrize("how", [{"options": ["idmap"]}, MAPPED])
def test_file_systems_are_not_id_mapped(how: Json) -> None:
    fragment = mounts({"destination": "/x", "type": "tmpfs", **how})
    assert refusal(fragment) == f"{SUBJECT}: only bind mounts can be id-mapped"


@pytest.mark.parametrize(
    ("flags", "attributes"),
    [
        (0, 0),
        (0x1 | 0x2 | 0x4 | 0x8, 0xF),
        (0x400, ATTR_NOATIME),
        (0x1000000, ATTR_STRICTATIME),
        (0x1000000 | 0x400, ATTR_STRICTATIME),  # as mount(2) has it
        (0x200000, 0),
        (0x200000 | 0x400, ATTR_NOATIME),
        (0x800 | 0x100, ATTR_NODIRATIME | ATTR_NOSYMFOLLOW),
        (0x10 | 0x20 | 0x40 | 0x80 | 0x8000 | 1 << 23 | 1 << 25, 0),
    ],
)
def test_attributes_of_flags(flags: int, attributes: int) -> None:
    assert attributes_of(flags) == attributes


def test_constants_of_propagation() -> None:
    assert (MS_UNBINDABLE, MS_PRIVATE, MS_SLAVE, MS_SHARED) == (1 << 17, 1 << 18, 1 << 19, 1 << 20)


def test_options_of_a_mount_are_not_changed() -> None:
    """The list is the spec's."""
    options = ["ro", "rro", "bind", "x"]
    parse_options(options, None)
    assert options == ["ro", "rro", "bind", "x"]
