"""compile: linux.devices, the default devices, and the links of /dev."""

from __future__ import annotations

from typing import Any

import pytest
from oci.compiling import Json, change, compiled, merged, mount, namespaces, refusal

from lxcri.compile.devices import device_number
from lxcri.plan import Tree

DEFAULT = [
    ("/dev/null", 0x103),
    ("/dev/zero", 0x105),
    ("/dev/full", 0x107),
    ("/dev/random", 0x108),
    ("/dev/urandom", 0x109),
    ("/dev/tty", 0x500),
]
CHARACTER, BLOCK, FIFO = 0o020000, 0o060000, 0o010000
WITHOUT_MKNOD = {"host_capabilities": (1 << 41) - 1 & ~(1 << 27)}


def listed(*devices: Json) -> Json:
    return {"linux": {"devices": list(devices)}}


def device(path: str = "/dev/x", kind: str = "c", **properties: Any) -> Json:
    return {"path": path, "type": kind, "major": 10, "minor": 229, **properties}


def nodes(fragment: Json, **overrides: Any) -> list[Any]:
    return [i for i in compiled(fragment, **overrides).program["mounts"] if i[0] == "mknod"]


def test_default_devices() -> None:
    assert nodes({}) == [("mknod", path, (path, CHARACTER | 0o666, number, 0, 0)) for path, number in DEFAULT]


def test_links() -> None:
    """After the devices; ptmx is the container's own devpts's, whatever is there."""
    assert compiled({}).program["mounts"][-6:] == [
        ("symlink", "/dev/fd", ("/proc/self/fd", "/dev/fd", "")),
        ("symlink", "/dev/stdin", ("/proc/self/fd/0", "/dev/stdin", "")),
        ("symlink", "/dev/stdout", ("/proc/self/fd/1", "/dev/stdout", "")),
        ("symlink", "/dev/stderr", ("/proc/self/fd/2", "/dev/stderr", "")),
        ("symlink", "/dev/core", ("/proc/kcore", "/dev/core", "/proc/kcore")),
        ("replace_symlink", "/dev/ptmx", ("pts/ptmx", "/dev/ptmx")),
    ]


@pytest.mark.parametrize(
    ("found", "arguments"),
    [
        (device(), ("/dev/x", CHARACTER | 0o666, 0xAE5, 0, 0)),
        (device(kind="u"), ("/dev/x", CHARACTER | 0o666, 0xAE5, 0, 0)),
        (device(kind="b", fileMode=0o640, uid=7, gid=8), ("/dev/x", BLOCK | 0o640, 0xAE5, 7, 8)),
        (device(kind="p"), ("/dev/x", FIFO | 0o666, 0, 0, 0)),
        ({"path": "/dev/x", "type": "p"}, ("/dev/x", FIFO | 0o666, 0, 0, 0)),
        (device(kind="p", major=-1, minor=2**40), ("/dev/x", FIFO | 0o666, 0, 0, 0)),
        (device(fileMode=0), ("/dev/x", CHARACTER, 0xAE5, 0, 0)),
        (device(fileMode=0o4755), ("/dev/x", CHARACTER | 0o4755, 0xAE5, 0, 0)),
        (device(fileMode=0o020620), ("/dev/x", CHARACTER | 0o620, 0xAE5, 0, 0)),  # engines set the type as well
        (device(major=4095, minor=1048575), ("/dev/x", CHARACTER | 0o666, 0xFFFFFFFF, 0, 0)),
        (device(major=0, minor=0), ("/dev/x", CHARACTER | 0o666, 0, 0, 0)),
    ],
)
def test_listed_devices(found: Json, arguments: tuple[Any, ...]) -> None:
    assert change(listed(found)) == {"mounts": [("mknod", 'linux.devices[0] "/dev/x"', arguments)]}


@pytest.mark.parametrize(
    ("major", "minor", "number"),
    [(1, 3, 0x103), (8, 255, 0x8FF), (8, 256, 0x100800), (4095, 1048575, 0xFFFFFFFF), (259, 0x12345, 0x12310345)],
)
def test_device_numbers(major: int, minor: int, number: int) -> None:
    """The kernel's new_encode_dev."""
    assert device_number(major, minor) == number


def test_paths_of_devices() -> None:
    """Clean ones, relative to the root as in runc; the subject has the document's words."""
    found = listed(device("dev//a/./b"), device("/elsewhere"))
    assert [(subject, arguments[0]) for _, subject, arguments in change(found)["mounts"]] == [
        ('linux.devices[0] "dev//a/./b"', "/dev/a/b"),
        ('linux.devices[1] "/elsewhere"', "/elsewhere"),
    ]


def test_listed_default_device() -> None:
    """The document's takes the place of the default one."""
    found = nodes(listed(device("/dev//null", major=1, minor=3, fileMode=0o600)))
    assert found[0] == ("mknod", 'linux.devices[0] "/dev//null"', ("/dev/null", CHARACTER | 0o600, 0x103, 0, 0))
    assert [i[1] for i in found[1:]] == [path for path, _ in DEFAULT[1:]]


def test_device_that_is_listed_twice() -> None:
    """The first one counts, as in runc."""
    found = change(listed(device(uid=1), device("//dev/x", kind="u", uid=2)))
    assert found == {"mounts": [("mknod", 'linux.devices[0] "/dev/x"', ("/dev/x", CHARACTER | 0o666, 0xAE5, 1, 0))]}


@pytest.mark.parametrize("path", ["/dev/ptmx", "/dev/pts/0", "dev/ptmx"])
def test_devices_of_the_containers_own(path: str) -> None:
    """They are its devpts's."""
    assert change(listed(device(path, major=5, minor=2))) == {}


def test_listed_console() -> None:
    """It is the terminal's place, if there is one."""
    console = listed(device("/dev/console", major=5, minor=1))
    assert [node[2][0] for node in nodes(console)].count("/dev/console") == 1
    console["process"] = {"cwd": "/", "args": ["x"], "terminal": True, "user": {"uid": 0, "gid": 0}}
    assert "/dev/console" not in [node[2][0] for node in nodes(console)]


def test_mount_in_the_place_of_a_default_device() -> None:
    """The default one is not made: it would not be seen, or be what is made of the mounted file."""
    found = nodes(mount("/dev//null", kind="bind", source="/x"))
    assert [node[1] for node in found] == [path for path, _ in DEFAULT[1:]]


@pytest.mark.parametrize(
    ("devices", "text"),
    [
        ([device(kind="x")], 'linux.devices[0] "/dev/x": type "x" does not exist'),
        ([device(kind="a")], 'linux.devices[0] "/dev/x": type "a" does not exist'),
        ([device(kind="")], 'linux.devices[0] "/dev/x": type "" does not exist'),
        ([device("")], 'linux.devices[0] "": not a path of a device'),
        ([device(), device("/.//")], 'linux.devices[1] "/.//": not a path of a device'),
        ([device(major=-1)], 'linux.devices[0] "/dev/x": major: -1 is not between 0 and 4095'),
        ([device(major=4096)], 'linux.devices[0] "/dev/x": major: 4096 is not between 0 and 4095'),
        ([device(minor=-1)], 'linux.devices[0] "/dev/x": minor: -1 is not between 0 and 1048575'),
        ([device(kind="b", minor=1 << 20)], 'linux.devices[0] "/dev/x": minor: 1048576 is not between 0 and 1048575'),
        ([device(uid=2**32 - 1)], 'linux.devices[0] "/dev/x": uid: 4294967295 is no id'),
        ([device(gid=2**32 - 1)], 'linux.devices[0] "/dev/x": gid: 4294967295 is no id'),
        (
            [device(), device("/dev/y"), device("/dev//x", minor=1)],
            'linux.devices[2] "/dev//x": another device than linux.devices[0] "/dev/x"',
        ),
        ([device(), device(kind="p")], 'linux.devices[1] "/dev/x": another device than linux.devices[0] "/dev/x"'),
    ],
)
def test_devices_that_cannot_be(devices: list[Json], text: str) -> None:
    assert refusal(listed(*devices)) == text


IDS = [{"containerID": 0, "hostID": 1, "size": 9}]
IN_USER_NAMESPACE = merged(namespaces("mount", "pid", "user"), {"linux": {"uidMappings": IDS, "gidMappings": IDS}})


@pytest.mark.parametrize(
    ("base", "overrides"),
    [
        (IN_USER_NAMESPACE, {}),
        (namespaces("mount", "pid", user="/ns"), {"joined_ids": ("0 1 9\n", "0 1 9\n")}),
        ({}, WITHOUT_MKNOD),
    ],
)
def test_bind_mounts_where_there_is_no_mknod(base: Json, overrides: Json) -> None:
    """In a user namespace, and without the capability; with the host's owners and modes."""
    fragment = merged(base, listed(device(fileMode=0o600, uid=5), device("/dev/null", major=1, minor=3)))
    plan = compiled(fragment, **overrides)
    assert not nodes(fragment, **overrides)
    moves = [i for i in plan.program["mounts"] if i[0] == "move"]
    assert moves == [
        ("move", 'linux.devices[0] "/dev/x"', (4, "/dev/x")),
        ("move", 'linux.devices[1] "/dev/null"', (5, "/dev/null")),
        *(("move", path, (number, path)) for number, (path, _) in enumerate(DEFAULT[1:], 6)),
    ]
    assert plan.host.trees == [
        Tree('linux.devices[0] "/dev/x"', "/dev/x"),
        Tree('linux.devices[1] "/dev/null"', "/dev/null"),
        *(Tree(path, path) for path, _ in DEFAULT[1:]),
    ]


@pytest.mark.parametrize(
    ("kind", "options", "destination", "made"),
    [
        ("bind", [], "/dev", False),
        (None, ["rbind"], "/dev/", False),
        ("tmpfs", [], "/dev", True),
        ("bind", [], "/dev/shm", True),
    ],
)
def test_dev_of_the_host(kind: str | None, options: list[str], destination: str, made: bool) -> None:
    """Where the spec mounts the host's /dev nothing is made in it, or changed."""
    fragment = mount(destination, kind, *options, source="/dev")
    operations = {i[0] for i in compiled(fragment).program["mounts"]}
    assert bool(operations & {"mknod", "symlink", "replace_symlink"}) is made
