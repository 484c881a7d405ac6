"""compile: root, linux.rootfsPropagation, linux.sysctl, linux.maskedPaths, linux.readonlyPaths; what every Plan has."""

from __future__ import annotations

import json

import pytest
from oci.compiling import HYBRID, MINIMAL, change, compiled, merged, namespaces, refusal

from lxcri.compile import Host, Request, compile_plan
from lxcri.compile.options import ATTR_RDONLY, MS_PRIVATE, MS_SHARED, MS_UNBINDABLE
from lxcri.errors import Error
from lxcri.spec import decode_config

REQUEST = Request(id="c1", bundle="/bundle", rootfs="/bundle/rootfs", directory="/run/lxcri/c1")


def test_items_of_every_container() -> None:
    assert compiled({}).items == [
        ("lxc.rootfs.path", "dir:/bundle/rootfs"),
        ("lxc.rootfs.mount", "/bundle/rootfs"),
        ("lxc.rootfs.managed", "0"),
        ("lxc.ephemeral", "0"),
        ("lxc.autodev", "0"),
        ("lxc.tty.max", "0"),
        ("lxc.pty.max", "0"),
        ("lxc.console.path", "none"),
        ("lxc.rootfs.options", "ro"),
        ("lxc.namespace.clone", "pid net ipc uts mnt"),
        ("lxc.net.0.type", "empty"),
        ("lxc.net.0.flags", "up"),
        ("lxc.mount.entry", "proc proc proc nosuid,nodev,noexec 0 0"),
        ("lxc.apparmor.profile", "unconfined"),
    ]


def test_program_of_every_container() -> None:
    program = compiled({}).program
    assert program["mounts"][0] == ("attributes", "root", ("/", 0, ATTR_RDONLY, 0))
    assert program["create_container"] == []
    assert program["root"] == [
        ("unshare_cgroup", "linux.namespaces", ()),
        ("directory", 'process.cwd "/"', ("/",)),
    ]
    assert program["ready"] == [
        ("arguments", "process.args", (["sh"],)),
        ("environment", "process.env", ([],)),
        ("home", "process.user", (0,)),
        ("cwd", 'process.cwd "/"', ("/",)),
        ("find_executable", "process.args", ()),
    ]
    assert program["start"] == [
        ("umask", "process.user.umask", (0o22,)),
        ("bounding", "process.capabilities.bounding", (0,)),
        ("user", "process.user 0:0", (0, 0, [])),
        ("handover", "", ()),
        ("capabilities", "process.capabilities", (0, 0, 0, 0)),
        ("execute", "process.args", ()),
    ]


def test_root_comes_from_the_request() -> None:
    """The real path, which compile cannot know."""
    plan = compiled({}, rootfs="/srv/it")
    assert plan.items[:2] == [("lxc.rootfs.path", "dir:/srv/it"), ("lxc.rootfs.mount", "/srv/it")]
    assert plan.host.rootfs == "/srv/it"


def test_root_on_a_path_that_is_no_line() -> None:
    assert refusal({}, rootfs="/srv/a\nb") == "root.path: a line break"


@pytest.mark.parametrize(
    ("name", "text"),
    [("process", "process: missing: a container is created with its process"), ("root", "root: missing")],
)
def test_missing_parts(name: str, text: str) -> None:
    spec = decode_config(json.dumps({**MINIMAL, name: None}).encode())
    with pytest.raises(Error) as error:
        compile_plan(spec, REQUEST, Host(layout=HYBRID))
    assert str(error.value) == text


def test_linux_is_optional() -> None:
    """config.md, "Platform-specific configuration": without it there are no namespaces."""
    document = {name: value for name, value in MINIMAL.items() if name != "linux"}
    spec = decode_config(json.dumps(document).encode())
    assert compile_plan(spec, REQUEST, Host(layout=HYBRID)) == compiled({"linux": {"namespaces": []}})
    assert spec.linux is None


def test_readonly_is_the_last_thing_done_to_the_tree() -> None:
    fragment = {
        "root": {"readonly": True},
        "linux": {"maskedPaths": ["/a"], "readonlyPaths": ["/b"], "sysctl": {"net.core.somaxconn": "9"}},
        "domainname": "d",
    }
    assert compiled(fragment).program["root"] == [
        ("unshare_cgroup", "linux.namespaces", ()),
        ("domainname", "domainname", ("d",)),
        ("directory", 'process.cwd "/"', ("/",)),
        ("sysctl", 'linux.sysctl "net.core.somaxconn"', ("net/core/somaxconn", "9")),
        ("readonly", 'linux.readonlyPaths[0] "/b"', ("/b",)),
        ("mask", 'linux.maskedPaths[0] "/a"', ("/a",)),
        ("attributes", "root.readonly", ("/", ATTR_RDONLY, 0, 0)),
    ]


def test_what_can_be_written() -> None:
    """liblxc makes all mounts read-only that are there; with hooks lxcri-init does so again with the root's."""
    found = compiled({}, writable=("/", "/a")).program
    assert found["mounts"][:2] == [
        ("attributes", "root", ("/", 0, ATTR_RDONLY, 0)),
        ("attributes", "root: /a", ("/a", 0, ATTR_RDONLY, 0)),
    ]
    covered = (
        "/",
        "/proc",
        "/proc/sys/x",
        "/sys",
        "/procs",
        "/dev/pts",
        "/dev/x",
    )  # by liblxc's own, or unmounted by it
    found = compiled({}, writable=covered).program
    assert [i[2][0] for i in found["mounts"] if i[1].startswith("root")] == ["/", "/sys", "/procs", "/dev/x"]
    hooked = {"hooks": {"prestart": [{"path": "/h"}]}}
    assert compiled(hooked).program["root"][0] == ("attributes", "root", ("/", 0, ATTR_RDONLY, 0))
    for fragment in ({}, hooked):
        program = compiled(fragment, writable=("/a",)).program
        assert [i[2][0] for stage in ("mounts", "root") for i in program[stage] if i[1].startswith("root")] == ["/a"]


def test_readonly_false() -> None:
    assert change({"root": {"readonly": False}}) == {}


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("private", ("/", MS_PRIVATE, False)),
        ("rprivate", ("/", MS_PRIVATE, True)),
        ("shared", ("/", MS_SHARED, False)),
        ("rshared", ("/", MS_SHARED, True)),
        ("unbindable", ("/", MS_UNBINDABLE, False)),
        ("runbindable", ("/", MS_UNBINDABLE, True)),
        # which it is already
        ("slave", None),
        ("rslave", None),
        ("", None),
    ],
)
def test_rootfs_propagation(name: str, arguments: tuple[str, int, bool] | None) -> None:
    expected = {"root": [("propagation", "linux.rootfsPropagation", arguments)]} if arguments else {}
    assert change({"linux": {"rootfsPropagation": name}}) == expected


def test_rootfs_propagation_comes_first() -> None:
    """That of a mount may differ."""
    fragment = {
        "linux": {"rootfsPropagation": "shared"},
        "mounts": [{"destination": "/x", "type": "tmpfs", "options": ["private"]}],
    }
    found = compiled(fragment, empty_proc="mnt").program["root"]
    assert [i for i in found if i[0] == "propagation"] == [
        ("propagation", "linux.rootfsPropagation", ("/", MS_SHARED, False)),
        ("propagation", 'mounts[0] "/x"', ("/x", MS_PRIVATE, False)),
    ]


def test_rootfs_propagation_of_no_kind() -> None:
    text = 'linux.rootfsPropagation: "Rslave" is not a propagation type'
    assert refusal({"linux": {"rootfsPropagation": "Rslave"}}) == text


@pytest.mark.parametrize(
    ("key", "path"),
    [
        ("kernel.msgmax", "kernel/msgmax"),
        ("kernel.sem", "kernel/sem"),
        ("kernel.shm_rmid_forced", "kernel/shm_rmid_forced"),
        ("fs.mqueue.msg_max", "fs/mqueue/msg_max"),
        ("net.ipv4.ip_forward", "net/ipv4/ip_forward"),
        ("net/ipv4/ip_forward", "net/ipv4/ip_forward"),
        ("net.ipv4.conf.eth0/100.forwarding", "net/ipv4/conf/eth0.100/forwarding"),
        ("net/ipv4/conf/eth0.100/forwarding", "net/ipv4/conf/eth0.100/forwarding"),
        ("kernel.domainname", "kernel/domainname"),
        ("kernel.hostname", "kernel/hostname"),
    ],
)
def test_sysctl(key: str, path: str) -> None:
    """sysctl(8): the first separator is the separator."""
    assert change({"linux": {"sysctl": {key: "1 2\t3"}}}) == {
        "root": [("sysctl", f'linux.sysctl "{key}"', (path, "1 2\t3"))]
    }


@pytest.mark.parametrize(
    "key", ["kernel.panic", "kernel/panic", "vm.swappiness", "net", "kernel.msgmaximum", "fs.mqueue", "netx.a", "x"]
)
def test_sysctl_of_the_whole_machine(key: str) -> None:
    assert refusal({"linux": {"sysctl": {key: "1"}}}) == f'linux.sysctl "{key}": not in a separate kernel namespace'


@pytest.mark.parametrize(
    "key",
    ["", ".", "net.", ".net.a", "net..a", "net.//.kernel.panic", "net/../kernel/panic", "net./.a", "net/./a", "net//a"],
)
def test_sysctl_that_is_no_name(key: str) -> None:
    """Nothing leads out of the namespace's own part of /proc/sys."""
    assert refusal({"linux": {"sysctl": {key: "1"}}}) == f'linux.sysctl "{key}": not a name of a sysctl'


@pytest.mark.parametrize(
    ("key", "namespace"),
    [
        *(
            (f"kernel.{name}", "ipc")
            for name in "msgmax msgmnb msgmni sem shmall shmmax shmmni shm_rmid_forced".split()
        ),
        ("fs.mqueue.msg_max", "ipc"),
        ("net.a", "network"),
        ("kernel.domainname", "uts"),
        ("kernel.hostname", "uts"),
    ],
)
def test_sysctl_without_its_namespace(key: str, namespace: str) -> None:
    others = [kind for kind in ("pid", "network", "ipc", "uts", "mount") if kind != namespace]
    text = f"not permitted without a {namespace} namespace of the container's own"
    assert refusal(merged(namespaces(*others), {"linux": {"sysctl": {key: "1"}}})) == f'linux.sysctl "{key}": {text}'


@pytest.mark.parametrize("name", ["hostname", "domainname"])
@pytest.mark.parametrize("separator", [".", "/"])
def test_sysctl_against_the_property(name: str, separator: str) -> None:
    key = f"kernel{separator}{name}"
    text = f'linux.sysctl "{key}": in conflict with {name}'
    assert refusal({name: "a", "linux": {"sysctl": {key: "b"}}}) == text


def test_paths_in_their_order() -> None:
    """Read-only ones first, so that a mask lies on top."""
    fragment = {"linux": {"maskedPaths": ["/proc/kcore", "/a b"], "readonlyPaths": ["/proc/sys", "/proc/../c"]}}
    assert change(fragment) == {
        "root": [
            ("readonly", 'linux.readonlyPaths[0] "/proc/sys"', ("/proc/sys",)),
            ("readonly", 'linux.readonlyPaths[1] "/proc/../c"', ("/proc/../c",)),
            ("mask", 'linux.maskedPaths[0] "/proc/kcore"', ("/proc/kcore",)),
            ("mask", 'linux.maskedPaths[1] "/a b"', ("/a b",)),
        ]
    }


@pytest.mark.parametrize("name", ["maskedPaths", "readonlyPaths"])
@pytest.mark.parametrize("path", ["", "proc/kcore", "./a"])
def test_paths_that_are_not_absolute(name: str, path: str) -> None:
    assert refusal({"linux": {name: ["/a", path]}}) == f'linux.{name}[1] "{path}": not an absolute path'
