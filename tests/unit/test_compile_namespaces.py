"""compile: linux.namespaces, linux.uidMappings, linux.gidMappings, linux.timeOffsets, hostname, domainname."""

from __future__ import annotations

import msgspec
import pytest
from oci.compiling import Json, change, compiled, merged, namespaces, refusal

from lxcri.compile.namespaces import TYPES
from lxcri.plan import Join

PATH = "/proc/7/ns/it"

IDS = [{"containerID": 0, "hostID": 100000, "size": 65536}]


def with_user(*, uids: list[Json] | None = None, gids: list[Json] | None = None) -> Json:
    """A fragment with a user namespace and these mappings."""
    mappings = {"uidMappings": IDS if uids is None else uids, "gidMappings": IDS if gids is None else gids}
    return merged(namespaces("mount", "user"), {"linux": mappings})


@pytest.mark.parametrize(
    ("kinds", "clone"),
    [
        (("mount",), "mnt"),
        (("pid", "mount"), "pid mnt"),
        (("mount", "network", "ipc", "uts", "pid"), "mnt net ipc uts pid"),
        (("cgroup", "mount"), "mnt"),  # unshared by the helper
        (("time", "mount"), "mnt"),  # unshared by the starter
        ((), "mnt"),  # liblxc needs one, lxcri-init leaves it
        (("pid",), "pid mnt"),
    ],
)
def test_new_namespaces(kinds: tuple[str, ...], clone: str) -> None:
    items = compiled(namespaces(*kinds)).items
    assert [value for key, value in items if key == "lxc.namespace.clone"] == [clone]
    net = [("lxc.net.0.type", "empty"), ("lxc.net.0.flags", "up")]
    assert [item for item in items if item[0].startswith("lxc.net")] == (net if "network" in kinds else [])


def test_new_cgroup_namespace() -> None:
    """Its root is the cgroup that init is in by then."""
    found = change(namespaces("mount", "cgroup"), base=namespaces("mount"))
    assert found == {"root": [("unshare_cgroup", "linux.namespaces", ())]}


@pytest.mark.parametrize(
    ("kind", "flag"),
    [
        # as in linux/sched.h
        ("network", 0x40000000),
        ("ipc", 0x08000000),
        ("uts", 0x04000000),
        ("pid", 0x20000000),
        ("cgroup", 0x02000000),
        ("time", 0x00000080),
    ],
)
def test_joined_namespaces(kind: str, flag: int) -> None:
    """The starter joins them; liblxc's item would need them to be of a running container's."""
    found = change(namespaces("mount", **{kind: PATH}), base=namespaces("mount"))
    assert found == {"joins": [Join("linux.namespaces[1]", kind, flag, PATH)]}


def test_joined_user_namespace() -> None:
    plan = compiled(namespaces("mount", user=PATH), joined_ids=("0 1000 10\n", "0 2000 10\n20 3000 1\n"))
    assert plan.host.joins == [Join("linux.namespaces[1]", "user", 0x10000000, PATH)]
    assert plan.items[9:13] == [
        ("lxc.namespace.share.user", PATH),
        ("lxc.namespace.clone", "mnt"),
        ("lxc.idmap", "u 0 1000 10"),
        ("lxc.idmap", "g 0 2000 10"),
    ]
    assert plan.items[13] == ("lxc.idmap", "g 20 3000 1")
    assert plan.host.id_mappings == ("0 1000 10\n", "0 2000 10\n20 3000 1\n")
    assert plan.host.stdio_owner == (1000, 2000)
    assert not plan.host.user_namespace


def test_joined_mount_namespace() -> None:
    plan = compiled(namespaces("pid", mount=PATH))
    assert plan.host.joins == [Join("linux.namespaces[1]", "mount", 0x00020000, PATH, "mounts")]
    assert plan.items[9:11] == [("lxc.namespace.share.mnt", PATH), ("lxc.namespace.clone", "pid")]
    assert plan.host.own_mount_namespace


def test_no_mount_namespace() -> None:
    """The helper leaves liblxc's, once all is mounted; the handle is the one after those of the trees."""
    bind = {"mounts": [{"destination": "/x", "type": "bind", "source": "/y"}]}
    plan = compiled(merged(namespaces("pid"), bind), preserve_fds=2, empty_proc="mnt")
    assert len(plan.host.trees) == 1
    assert plan.program["ready"][0] == ("leave_mount_namespace", "linux.namespaces", (4 + 2 + 1,))
    assert not plan.host.own_mount_namespace


LIBLXC_MAKES = "user or mount namespace liblxc makes a new cgroup namespace"


@pytest.mark.parametrize(
    ("fragment", "text"),
    [
        (namespaces("mount", "net"), 'linux.namespaces[1]: type "net" does not exist'),
        (namespaces(""), 'linux.namespaces[0]: type "" does not exist'),
        (namespaces("pid", "mount", "pid"), 'linux.namespaces[2]: a second namespace of type "pid"'),
        (namespaces("mount", mount=PATH), 'linux.namespaces[1]: a second namespace of type "mount"'),
        (namespaces("mount", network="ns"), 'linux.namespaces[1]: path "ns" is not absolute'),
        (namespaces("pid", mount="ns"), 'linux.namespaces[1]: path "ns" is not absolute'),
        (namespaces("mount", user="./ns"), 'linux.namespaces[1]: path "./ns" is not absolute'),
        (namespaces("mount", user="/a\nb"), "linux.namespaces[1]: path: a line break"),
        *(
            (
                namespaces("pid", cgroup="/c", **{kind: PATH}),
                f'linux.namespaces[1]: path "/c": with a joined {LIBLXC_MAKES}',
            )
            for kind in ("user", "mount")
        ),
        (namespaces("pid", "user"), "linux.namespaces: a user namespace needs a mount namespace too"),
    ],
)
def test_namespaces_that_cannot_be(fragment: Json, text: str) -> None:
    assert refusal(fragment) == text


def test_id_mappings() -> None:
    uids = [*IDS, {"containerID": 70000, "hostID": 5, "size": 1}]
    plan = compiled(with_user(uids=uids))
    assert [item for item in plan.items if item[0] == "lxc.idmap"] == [
        ("lxc.idmap", "u 0 100000 65536"),
        ("lxc.idmap", "u 70000 5 1"),
        ("lxc.idmap", "g 0 100000 65536"),
    ]
    assert plan.host.id_mappings == ("0 100000 65536\n70000 5 1\n", "0 100000 65536\n")
    assert plan.host.user_namespace


@pytest.mark.parametrize(
    ("user", "owner"),
    [({}, (100000, 100000)), ({"uid": 70000, "gid": 9}, (5, 100009)), ({"uid": 65535, "gid": 65535}, (165535, 165535))],
)
def test_standard_streams_belong_to_the_mapped_user(user: Json, owner: tuple[int, int]) -> None:
    uids = [*IDS, {"containerID": 70000, "hostID": 5, "size": 1}]
    plan = compiled(merged(with_user(uids=uids), {"process": {"user": user}}))
    assert plan.host.stdio_owner == owner


OVERLAP = "linux.{0}Mappings[{1}]: overlaps linux.{0}Mappings[{2}]"


def mapping(container: int, host: int, size: int) -> Json:
    return {"containerID": container, "hostID": host, "size": size}


def test_adjacent_mappings() -> None:
    """In any order."""
    uids = [mapping(10, 50, 5), mapping(0, 55, 10), mapping(15, 49, 1)]
    found = compiled(with_user(uids=uids)).host.id_mappings[0]
    assert found == "10 50 5\n0 55 10\n15 49 1\n"


ALL_IDS = {"containerID": 0, "hostID": 0, "size": 2**32 - 1}


def test_all_ids_mapped() -> None:
    """As on the host."""
    items = compiled(with_user(uids=[ALL_IDS], gids=[ALL_IDS])).items
    assert ("lxc.idmap", "u 0 0 4294967295") in items


@pytest.mark.parametrize(
    ("fragment", "text"),
    [
        (
            merged(namespaces("mount"), {"linux": {"uidMappings": IDS}}),
            "linux.uidMappings: not possible without a user namespace",
        ),
        (
            merged(namespaces("mount"), {"linux": {"gidMappings": IDS}}),
            "linux.uidMappings: not possible without a user namespace",
        ),
        (
            with_user(uids=[]),
            "linux.namespaces: a new user namespace needs linux.uidMappings and linux.gidMappings",
        ),
        (
            with_user(gids=[]),
            "linux.namespaces: a new user namespace needs linux.uidMappings and linux.gidMappings",
        ),
        (with_user(uids=[*IDS, {**IDS[0], "size": 0}]), "linux.uidMappings[1].size: 0"),
        (
            with_user(gids=[{**ALL_IDS, "hostID": 1}]),
            "linux.gidMappings[0]: goes beyond the last id, 4294967294",
        ),
        (with_user(uids=[mapping(0, 50, 10), mapping(20, 70, 1), mapping(5, 90, 1)]), OVERLAP.format("uid", 2, 0)),
        (with_user(uids=[mapping(9, 50, 10), mapping(0, 90, 10)]), OVERLAP.format("uid", 1, 0)),
        (with_user(gids=[mapping(0, 50, 10), mapping(10, 59, 1)]), OVERLAP.format("gid", 1, 0)),
        (with_user(uids=[{**ALL_IDS, "containerID": 1}]), "linux.uidMappings[0]: goes beyond the last id, 4294967294"),
    ],
)
def test_id_mappings_that_cannot_be(fragment: Json, text: str) -> None:
    assert refusal(fragment) == text


@pytest.mark.parametrize(
    ("offsets", "lines"),
    [
        ({}, ""),
        ({"boottime": {"secs": -5}}, "boottime -5 0\n"),
        (
            {"monotonic": {"secs": 2**40, "nanosecs": 999999999}, "boottime": {"nanosecs": 1}},
            "monotonic 1099511627776 999999999\nboottime 0 1\n",
        ),
    ],
)
def test_time_offsets(offsets: Json, lines: str) -> None:
    fragment = merged(namespaces("mount", "time"), {"linux": {"timeOffsets": offsets}})
    assert change(fragment, base=namespaces("mount")) == {"time_offsets": lines}


@pytest.mark.parametrize(
    ("fragment", "text"),
    [
        (
            {"linux": {"timeOffsets": {"boottime": {"secs": 1}}}},
            "linux.timeOffsets: not possible without a new time namespace",
        ),
        (
            merged(namespaces("mount", "time"), {"linux": {"timeOffsets": {"realtime": {"secs": 1}}}}),
            'linux.timeOffsets: clock "realtime" does not exist',
        ),
        (
            merged(namespaces("mount", "time"), {"linux": {"timeOffsets": {"boottime": {"nanosecs": 10**9}}}}),
            "linux.timeOffsets.boottime.nanosecs: 1000000000 is a second or more",
        ),
    ],
)
def test_time_offsets_that_cannot_be(fragment: Json, text: str) -> None:
    assert refusal(fragment) == text


@pytest.mark.parametrize("name", ["box", "x" * 64, "ü" * 32, "a b"])
def test_hostname(name: str) -> None:
    assert change({"hostname": name}) == {"items": [("lxc.uts.name", name)]}


def test_hostname_in_a_joined_uts_namespace() -> None:
    """The starter sets it there: liblxc would not."""
    assert change({"hostname": "box"}, base=namespaces("mount", uts=PATH)) == {
        "uts_name": "box",
        **joined_and_changed("uts", "hostname"),
    }


def joined_and_changed(kind: str, by: str) -> Json:
    """That something changes the joined namespace, which then must not be the host's."""
    join = Join("linux.namespaces[1]", kind, TYPES[kind][1], PATH)
    return {"joins": [msgspec.structs.replace(join, changes=by)], "-joins": [join]}


def test_domainname() -> None:
    instruction = ("domainname", "domainname", ("lan",))
    assert change({"domainname": "lan"}) == {"root": [instruction]}
    assert change({"domainname": "lan"}, base=namespaces("mount", uts=PATH)) == {
        "root": [instruction],
        **joined_and_changed("uts", "domainname"),
    }


def test_sysctl_in_a_joined_namespace() -> None:
    found = change({"linux": {"sysctl": {"net.x": "1"}}}, base=namespaces("mount", network=PATH))
    assert found == {
        "root": [("sysctl", 'linux.sysctl "net.x"', ("net/x", "1"))],
        **joined_and_changed("network", 'linux.sysctl "net.x"'),
    }


@pytest.mark.parametrize("kind", ["hostname", "domainname"])
def test_empty_names(kind: str) -> None:
    """As absent ones."""
    assert change({kind: ""}) == {}
    assert change({kind: ""}, base=namespaces("mount")) == {}


@pytest.mark.parametrize("kind", ["hostname", "domainname"])
@pytest.mark.parametrize(
    ("value", "base", "text"),
    [
        ("box", namespaces("mount"), "not possible without a UTS namespace of the container's own"),
        ("x" * 65, {}, "longer than 64 bytes"),
        ("ü" * 33, {}, "longer than 64 bytes"),
    ],
)
def test_names_that_cannot_be(kind: str, value: str, base: Json, text: str) -> None:
    assert refusal(merged(base, {kind: value})) == f"{kind}: {text}"


def test_hostname_that_is_no_line() -> None:
    """It would make a second line of the saved config file, with any item in it."""
    assert refusal({"hostname": "a\nlxc.hook.start-host = /x"}) == "hostname: a line break"


def test_container_without_any_of_it() -> None:
    host = compiled({}).host
    assert (host.joins, host.uts_name, host.time_offsets, host.user_namespace) == ([], "", None, False)
    assert (host.id_mappings, host.stdio_owner) == (("", ""), (-1, -1))
