"""config.json's process.capabilities and noNewPrivileges: the five sets exactly, for root and for others."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from oci.bundle import Bundle

NUMBERS = {
    "CAP_CHOWN": 0,
    "CAP_DAC_OVERRIDE": 1,
    "CAP_FOWNER": 3,
    "CAP_KILL": 5,
    "CAP_SETGID": 6,
    "CAP_SETUID": 7,
    "CAP_SETPCAP": 8,
    "CAP_NET_BIND_SERVICE": 10,
    "CAP_NET_RAW": 13,
    "CAP_SYS_ADMIN": 21,
    "CAP_MKNOD": 27,
    "CAP_AUDIT_WRITE": 29,
}
FIELDS = {
    "inheritable": "CapInh",
    "permitted": "CapPrm",
    "effective": "CapEff",
    "bounding": "CapBnd",
    "ambient": "CapAmb",
}


def sets(bundle: Bundle) -> dict[str, set[str]]:
    """The five sets of the container's process."""
    return parse(bundle.run("cat", "/proc/self/status").ok().stdout)


def parse(status: str) -> dict[str, set[str]]:
    fields = dict(line.split(":\t", 1) for line in status.splitlines())
    found = {}
    for kind, field in FIELDS.items():
        bits = int(fields[field], 16)
        found[kind] = {name for name, number in NUMBERS.items() if bits >> number & 1}
        assert bits == sum(1 << NUMBERS[name] for name in found[kind]), f"{kind}: {bits:x}"
    return found


def test_root_has_exactly_these(bundle: Bundle) -> None:
    """seed: configureCapabilities: lxc.cap.keep: nothing beyond the sets that are asked for."""
    caps = ["CAP_CHOWN", "CAP_KILL", "CAP_NET_BIND_SERVICE"]
    bundle.process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), caps)
    assert sets(bundle) == {
        "bounding": set(caps),
        "permitted": set(caps),
        "effective": set(caps),
        "inheritable": set(),
        "ambient": set(),
    }


def test_bounding_limits_what_root_gets(bundle: Bundle) -> None:
    """An exec as root gives permitted = effective = inheritable | bounding; that is the kernel's rule."""
    bundle.process["capabilities"] = {
        "bounding": ["CAP_CHOWN", "CAP_KILL"],
        "permitted": ["CAP_KILL"],
        "effective": ["CAP_KILL"],
    }
    found = sets(bundle)
    assert found["bounding"] == {"CAP_CHOWN", "CAP_KILL"}
    assert found["permitted"] == {"CAP_CHOWN", "CAP_KILL"}


def test_no_capabilities_object_means_none(bundle: Bundle) -> None:
    """seed: configureCapabilities: lxc.cap.keep=none when the spec has no capabilities."""
    del bundle.process["capabilities"]
    assert sets(bundle) == {kind: set() for kind in FIELDS}


def test_empty_sets_mean_none(bundle: Bundle) -> None:
    """seed: configureCapabilities: lxc.cap.keep=none when the sets are empty."""
    bundle.process["capabilities"] = {kind: [] for kind in FIELDS}
    assert sets(bundle) == {kind: set() for kind in FIELDS}


def test_user_keeps_only_the_bounding_set(bundle: Bundle) -> None:
    """Without ambient capabilities, execve by a user that is not root clears permitted and effective."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    caps = ["CAP_CHOWN", "CAP_NET_RAW"]
    bundle.process["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), caps)
    assert sets(bundle) == {
        "bounding": set(caps),
        "permitted": set(),
        "effective": set(),
        "inheritable": set(),
        "ambient": set(),
    }


def test_user_with_ambient_capabilities(bundle: Bundle) -> None:
    """Ambient ones survive execve, in permitted and effective."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = {
        "bounding": ["CAP_NET_RAW", "CAP_KILL", "CAP_CHOWN"],
        "permitted": ["CAP_NET_RAW", "CAP_KILL"],
        "effective": ["CAP_NET_RAW", "CAP_KILL"],
        "inheritable": ["CAP_NET_RAW", "CAP_KILL"],
        "ambient": ["CAP_NET_RAW"],
    }
    assert sets(bundle) == {
        "bounding": {"CAP_NET_RAW", "CAP_KILL", "CAP_CHOWN"},
        "permitted": {"CAP_NET_RAW"},
        "effective": {"CAP_NET_RAW"},
        "inheritable": {"CAP_NET_RAW", "CAP_KILL"},
        "ambient": {"CAP_NET_RAW"},
    }


def test_root_with_all_five_sets(bundle: Bundle) -> None:
    """Inheritable and ambient for root."""
    caps = ["CAP_CHOWN", "CAP_NET_RAW", "CAP_AUDIT_WRITE"]
    bundle.process["capabilities"] = dict.fromkeys(FIELDS, caps)
    assert sets(bundle) == {kind: set(caps) for kind in FIELDS}


def test_inheritable_alone(bundle: Bundle) -> None:
    """A user with inheritable, not ambient, capabilities gets them only from files that have them."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = {kind: ["CAP_NET_RAW"] for kind in ("bounding", "permitted", "inheritable")}
    found = sets(bundle)
    assert found["inheritable"] == {"CAP_NET_RAW"}
    assert found["permitted"] == set()


@pytest.mark.parametrize("name", ["CAP_FLY", "chown", ""])
def test_unknown_capability_is_ignored(bundle: Bundle, name: str) -> None:
    """Names that neither runtime nor kernel know are left out, with a warning in the log."""
    bundle.process["capabilities"] = {kind: ["CAP_KILL", name] for kind in ("bounding", "effective", "permitted")}
    log = os.path.join(bundle.path, "log")
    result = bundle.run("cat", "/proc/self/status").ok()
    assert parse(result.stdout)["effective"] == {"CAP_KILL"}
    container = bundle.container("/bin/true")
    bundle.runtime.call(
        "run", "--bundle", bundle.path, container.id, options=("--log", log, "--log-format", "json")
    ).ok()
    with open(log) as file:
        records = [json.loads(line) for line in file]
    assert any(record["level"] == "warning" and name in record["msg"] for record in records)


def test_capabilities_act(bundle: Bundle) -> None:
    """Without CAP_CHOWN root cannot chown; with it, root can."""
    caps = bundle.process["capabilities"]
    assert bundle.run("/bin/sh", "-c", "touch /file && chown 5 /file").returncode == 0
    for kind in caps:
        caps[kind] = [name for name in caps[kind] if name != "CAP_CHOWN"]
    assert bundle.run("/bin/sh", "-c", "touch /file && chown 6 /file").returncode == 1


def test_setuid_file_gives_no_more_than_bounding(bundle: Bundle) -> None:
    """A setuid-root program of the image is limited by the bounding set."""
    path = os.path.join(bundle.rootfs, "home/cat")
    shutil.copy(os.path.join(bundle.rootfs, "bin/busybox"), path)
    os.chmod(path, 0o4755)
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    bundle.process["capabilities"] = {"bounding": ["CAP_CHOWN"]}
    assert parse(bundle.run("/home/cat", "/proc/self/status").ok().stdout)["bounding"] == {"CAP_CHOWN"}


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("uid", [0, 1000])
def test_no_new_privileges(bundle: Bundle, value: bool, uid: int) -> None:
    """seed: configureContainer: lxc.no_new_privs, as /proc/self/status shows it."""
    bundle.process["noNewPrivileges"] = value
    bundle.process["user"] = {"uid": uid, "gid": uid}
    assert f"NoNewPrivs:\t{int(value)}\n" in bundle.run("cat", "/proc/self/status").ok().stdout


def test_no_new_privileges_is_off_by_default(bundle: Bundle) -> None:
    """Not given."""
    assert "NoNewPrivs:\t0\n" in bundle.run("cat", "/proc/self/status").ok().stdout


def test_process_is_dumpable_again(bundle: Bundle) -> None:
    """/proc/self belongs to the user after execve."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    assert bundle.sh("stat -c %u /proc/self/fd") == "1000\n"
