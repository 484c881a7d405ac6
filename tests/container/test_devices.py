"""config.json's linux.devices, the default devices and links of /dev, and the device rules of the cgroup."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from oci.bundle import Bundle

DEFAULT = {
    "null": (1, 3),
    "zero": (1, 5),
    "full": (1, 7),
    "random": (1, 8),
    "urandom": (1, 9),
    "tty": (5, 0),
}
LINKS = {
    "fd": "/proc/self/fd",
    "stdin": "/proc/self/fd/0",
    "stdout": "/proc/self/fd/1",
    "stderr": "/proc/self/fd/2",
}


def test_default_devices(bundle: Bundle) -> None:
    """config-linux.md: null, zero, full, random, urandom, tty, and ptmx, whatever the spec lists."""
    container = bundle.container("/bin/sleep", "100").up()
    for name, (major, minor) in DEFAULT.items():
        status = os.stat(container.path(f"/dev/{name}"))
        assert stat.S_ISCHR(status.st_mode), name
        assert status.st_rdev == os.makedev(major, minor), name
        assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o666, 0, 0), name
    assert os.readlink(container.path("/dev/ptmx")) in ("pts/ptmx", "/dev/pts/ptmx")


def test_default_links(bundle: Bundle) -> None:
    """runtime-linux.md: /dev/fd, stdin, stdout, stderr."""
    container = bundle.container("/bin/sleep", "100").up()
    for name, target in LINKS.items():
        assert os.readlink(container.path(f"/dev/{name}")) == target


def test_default_links_are_made_when_create_ends(bundle: Bundle) -> None:
    """Before the process of the user runs."""
    container = bundle.container("/bin/true")
    container.create()
    assert os.readlink(container.path("/dev/stdin")) == "/proc/self/fd/0"


def test_existing_links_and_devices_are_kept(bundle: Bundle) -> None:
    """Without a mount on /dev, what the image has there is no obstacle."""
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["destination"] == "/proc"]
    os.symlink("/proc/self/fd", os.path.join(bundle.rootfs, "dev/fd"))
    os.mknod(os.path.join(bundle.rootfs, "dev/null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
    bundle.sh("echo x >/dev/null; test -c /dev/zero")


def test_default_devices_work(bundle: Bundle) -> None:
    """They can be opened, with a cgroup that denies everything else."""
    out = bundle.sh(
        "echo x >/dev/null; head -c 3 /dev/zero | od -An -tx1; head -c 9 /dev/urandom | wc -c; "
        "echo x 2>/dev/null >/dev/full || echo full"
    )
    assert out.split() == ["00", "00", "00", "9", "full"]


@pytest.mark.parametrize("name", ["random", "null", "tty"])
@pytest.mark.parametrize("device", [True, False])
def test_mount_in_the_place_of_a_default_device(bundle: Bundle, name: str, device: bool) -> None:
    """As in ``-v /dev/urandom:/dev/random``: what the spec mounts there is what is seen."""
    source = "/dev/urandom" if device else bundle.file("source", "content\n")
    bundle.bind(source, f"/dev/{name}", "bind")
    container = bundle.container("/bin/sleep", "100").up()
    assert os.path.samefile(container.path(f"/dev/{name}"), source)
    assert stat.S_ISCHR(os.stat(container.path("/dev/zero")).st_mode)


def test_listed_console_without_a_terminal(bundle: Bundle) -> None:
    """It is a device as any other, where nothing else is to be at its place."""
    bundle.linux["devices"] = [{"path": "/dev/console", "type": "c", "major": 5, "minor": 1, "fileMode": 0o600}]
    container = bundle.container("/bin/sleep", "100").up()
    assert os.stat(container.path("/dev/console")).st_rdev == os.makedev(5, 1)


def test_listed_device(bundle: Bundle) -> None:
    """Type, numbers, mode and owner, and missing directories are made."""
    bundle.linux["devices"] = [
        {
            "path": "/dev/own/fuse",
            "type": "c",
            "major": 10,
            "minor": 229,
            "fileMode": 0o640,
            "uid": 7,
            "gid": 8,
        },
        {"path": "/dev/disk", "type": "b", "major": 7, "minor": 99, "fileMode": 0o600},
        {"path": "/dev/unbuffered", "type": "u", "major": 1, "minor": 5, "fileMode": 0o666},
        {"path": "/dev/queue", "type": "p", "fileMode": 0o622},
    ]
    container = bundle.container("/bin/sleep", "100").up()
    status = os.stat(container.path("/dev/own/fuse"))
    assert stat.filemode(status.st_mode) == "crw-r-----"
    assert (status.st_rdev, status.st_uid, status.st_gid) == (os.makedev(10, 229), 7, 8)
    status = os.stat(container.path("/dev/disk"))
    assert (stat.filemode(status.st_mode), status.st_rdev) == ("brw-------", os.makedev(7, 99))
    assert (status.st_uid, status.st_gid) == (0, 0)
    assert stat.S_ISCHR(os.stat(container.path("/dev/unbuffered")).st_mode)
    assert stat.filemode(os.stat(container.path("/dev/queue")).st_mode) == "prw--w--w-"


def test_listed_device_with_a_large_minor(bundle: Bundle) -> None:
    """Major and minor have 12 and 20 bits."""
    bundle.linux["devices"] = [{"path": "/dev/large", "type": "c", "major": 4095, "minor": 1048575, "fileMode": 0o600}]
    container = bundle.container("/bin/sleep", "100").up()
    assert os.stat(container.path("/dev/large")).st_rdev == os.makedev(4095, 1048575)


def test_listed_device_may_be_outside_of_dev(bundle: Bundle) -> None:
    """Anywhere in the container."""
    bundle.linux["devices"] = [{"path": "/srv/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666}]
    container = bundle.container("/bin/sleep", "100").up()
    assert os.stat(container.path("/srv/null")).st_rdev == os.makedev(1, 3)


@pytest.mark.runc_differs("1.1 does not allow access any more to a default device that is listed")
def test_listed_device_with_the_name_of_a_default_one(bundle: Bundle) -> None:
    """Its mode and owner are the listed ones."""
    bundle.linux["devices"] = [
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o600, "uid": 5, "gid": 6}
    ]
    container = bundle.container("/bin/sleep", "100").up()
    status = os.stat(container.path("/dev/null"))
    assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o600, 5, 6)


def test_devices_that_the_runtime_makes_itself_are_skipped(bundle: Bundle) -> None:
    """ptmx and console of a privileged container's list do not get in the way."""
    bundle.linux["devices"] = [
        {"path": "/dev/ptmx", "type": "c", "major": 5, "minor": 2, "fileMode": 0o666},
        {"path": "/dev/console", "type": "c", "major": 5, "minor": 1, "fileMode": 0o600},
    ]
    container = bundle.container("/bin/sleep", "100").up()
    assert os.readlink(container.path("/dev/ptmx")) in ("pts/ptmx", "/dev/pts/ptmx")


@pytest.mark.runc_differs("1.1 tries mknod in devpts, and fails")
def test_terminals_of_the_host_are_skipped(bundle: Bundle) -> None:
    """/dev/pts/0 in a privileged container's list: the container has its own devpts there."""
    bundle.linux["devices"] = [{"path": "/dev/pts/0", "type": "c", "major": 136, "minor": 0, "fileMode": 0o600}]
    container = bundle.container("/bin/sleep", "100").up()
    assert os.listdir(container.path("/dev/pts")) == ["ptmx"]


def test_symlink_in_the_path_of_a_device(bundle: Bundle) -> None:
    """It is resolved beneath the root, never on the host."""
    outside = bundle.directory("outside")
    os.symlink(outside, os.path.join(bundle.rootfs, "link"))
    bundle.linux["devices"] = [{"path": "/link/null", "type": "c", "major": 1, "minor": 3}]
    bundle.run()
    assert os.listdir(outside) == []


def test_unknown_device_type_is_an_error(bundle: Bundle) -> None:
    """c, u, b, p."""
    bundle.linux["devices"] = [{"path": "/dev/odd", "type": "z", "major": 1, "minor": 3}]
    bundle.run().refused(where="linux.devices[0]")


def test_hosts_dev_null_is_not_touched(bundle: Bundle) -> None:
    """With stdin from it and a regular file for the container's own, liblxc would change its mode."""
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["destination"] == "/proc"]
    with open(os.path.join(bundle.rootfs, "dev/null"), "w"):
        pass
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.run("/bin/true")
    assert stat.S_IMODE(os.stat("/dev/null").st_mode) == 0o666


def test_user_gets_devnull_as_stdio(bundle: Bundle) -> None:
    """A user that is not root, with /dev/null on all three: it is not given to that user."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    with open(os.devnull, "r+b") as null:
        container = bundle.container("/bin/true")
        container.create(stdin=null, stdout=null, stderr=null)
        container.start()
        assert container.wait() == 0


# A device without a driver: opening it fails in any case, but differently when the cgroup does not allow it.
DEVICE = {"path": "/dev/own", "type": "c", "major": 10, "minor": 250, "fileMode": 0o666}


def opened(bundle: Bundle) -> list[str]:
    """How the cgroup lets the container open the device."""
    bundle.linux["devices"] = [DEVICE]
    lines = bundle.sh("(exec 3</dev/own) 2>&1; (exec 3>>/dev/own) 2>&1; true").splitlines()
    assert len(lines) == 2, lines
    return [how for how, line in zip(("read", "write"), lines, strict=True) if "Operation not permitted" not in line]


def test_device_that_is_not_allowed_cannot_be_opened(bundle: Bundle) -> None:
    """A node alone is no access."""
    assert opened(bundle) == []


@pytest.mark.parametrize(
    ("access", "expected"), [("rw", ["read", "write"]), ("r", ["read"]), ("w", ["write"]), ("m", [])]
)
def test_device_that_is_allowed(bundle: Bundle, access: str, expected: list[str]) -> None:
    """Exactly the access that the rule gives."""
    bundle.resources["devices"].append({"allow": True, "type": "c", "major": 10, "minor": 250, "access": access})
    assert opened(bundle) == expected


def test_last_rule_wins(bundle: Bundle) -> None:
    """Rules apply in order: what was allowed is denied again."""
    device = {"type": "c", "major": 10, "minor": 250}
    bundle.resources["devices"] += [
        {"allow": True, **device, "access": "rwm"},
        {"allow": False, **device, "access": "w"},
    ]
    assert opened(bundle) == ["read"]


def test_denial_within_a_wildcard(bundle: Bundle) -> None:
    """cgroup v1 cannot express it: it is refused then, not ignored."""
    bundle.linux["devices"] = [DEVICE]
    bundle.resources["devices"] += [
        {"allow": True, "type": "c", "major": 10, "access": "rwm"},
        {"allow": False, "type": "c", "major": 10, "minor": 250, "access": "w"},
    ]
    result = bundle.run("/bin/sh", "-c", "(exec 3>>/dev/own) 2>&1; true")
    if result.returncode == 0:
        assert "Operation not permitted" in result.stdout
    else:
        result.refused("device", where="linux.resources.devices")


def test_wildcard_rule(bundle: Bundle) -> None:
    """Without major and minor, all of the type."""
    bundle.resources["devices"].append({"allow": True, "type": "c", "access": "rw"})
    assert opened(bundle) == ["read", "write"]


def test_allow_all(bundle: Bundle) -> None:
    """A privileged container."""
    bundle.resources["devices"] = [{"allow": True, "access": "rwm"}]
    assert opened(bundle) == ["read", "write"]


def test_mknod_is_allowed_but_opening_is_not(bundle: Bundle) -> None:
    """Every runtime allows mknod of anything ('c *:* m'), so that images can be unpacked."""
    out = bundle.sh("mknod /srv/own c 10 250 && mknod /srv/disk b 10 250 && echo made; (exec 3</srv/own) 2>&1; true")
    assert out.startswith("made\n")
    assert "Operation not permitted" in out


def test_essential_devices_are_always_allowed(bundle: Bundle) -> None:
    """seed: specki.AllowEssentialDevices: rules that deny everything leave null, zero, tty, pts usable."""
    bundle.resources["devices"] = [
        {"allow": False, "access": "rwm"},
        {"allow": False, "type": "c", "major": 1, "minor": 5, "access": "rwm"},
    ]
    assert bundle.sh("echo x >/dev/null; head -c 1 /dev/zero | od -An -tx1").strip() == "00"


def test_no_device_rules(bundle: Bundle) -> None:
    """Without linux.resources a container starts, and has its devices."""
    del bundle.linux["resources"]
    bundle.sh("echo x >/dev/null")
