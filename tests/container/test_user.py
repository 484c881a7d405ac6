"""config.json's process.user: ids, groups, umask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from oci.bundle import Bundle


def ids(bundle: Bundle) -> dict[str, list[str]]:
    """Uid, Gid and Groups of /proc/self/status: real, effective, saved, file system."""
    lines = bundle.run("grep", "-E", "^(Uid|Gid|Groups):", "/proc/self/status").ok().stdout.splitlines()
    return {line.split(":")[0]: line.split()[1:] for line in lines}


def test_root_has_no_groups(bundle: Bundle) -> None:
    """The caller's supplementary groups do not reach the container."""
    assert ids(bundle) == {"Uid": ["0"] * 4, "Gid": ["0"] * 4, "Groups": []}


def test_all_four_ids_are_set(bundle: Bundle) -> None:
    """uid and gid, with no entry in the container's passwd; not even the saved ids are root's."""
    bundle.process["user"] = {"uid": 1234, "gid": 5678}
    assert ids(bundle) == {"Uid": ["1234"] * 4, "Gid": ["5678"] * 4, "Groups": []}


def test_root_with_another_group(bundle: Bundle) -> None:
    """uid 0, gid not."""
    bundle.process["user"] = {"uid": 0, "gid": 5}
    assert ids(bundle) == {"Uid": ["0"] * 4, "Gid": ["5"] * 4, "Groups": []}


def test_additional_gids(bundle: Bundle) -> None:
    """The supplementary groups are exactly these."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [5, 20, 2147483647]}
    assert sorted(ids(bundle)["Groups"]) == ["20", "2147483647", "5"]


def test_many_additional_gids(bundle: Bundle) -> None:
    """More than 32, the limit of old kernels."""
    gids = list(range(2000, 2200))
    bundle.process["user"] = {"uid": 0, "gid": 0, "additionalGids": gids}
    assert [int(gid) for gid in ids(bundle)["Groups"]] == gids


def test_username_is_not_for_linux(bundle: Bundle) -> None:
    """user.username is Windows'; it changes nothing here."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000, "username": "root"}
    assert ids(bundle)["Uid"] == ["1000"] * 4


def test_stdio_belongs_to_the_user(bundle: Bundle) -> None:
    """/dev/stdout can be opened again by a user that is not root, as programs that log there do."""
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    assert bundle.sh("echo reopened >/proc/self/fd/1").endswith("reopened\n")


@pytest.mark.parametrize("umask", [0o22, 0o77, 0o2, 0])
def test_umask(bundle: Bundle, umask: int) -> None:
    """user.umask, a number."""
    bundle.process["user"]["umask"] = umask
    assert int(bundle.sh("umask"), 8) == umask


def test_default_umask(bundle: Bundle) -> None:
    """Not given: 0022, whatever the caller has."""
    assert bundle.sh("umask", wrapper=("/bin/sh", "-c", 'umask 077; exec "$@"', "sh")) == "0022\n"


@pytest.mark.runc_differs("1.1 makes mount points with its caller's umask")
def test_files_made_by_the_runtime_do_not_depend_on_the_callers_umask(bundle: Bundle) -> None:
    """Mount points and devices have their modes with a umask of 077 too."""
    bundle.mount("/made/here", "tmpfs", "tmpfs", ["mode=755"])
    out = bundle.sh(
        "stat -c '%a %n' /made /dev/null /dev/shm",
        wrapper=("/bin/sh", "-c", 'umask 077; exec "$@"', "sh"),
    )
    assert out == "755 /made\n666 /dev/null\n1777 /dev/shm\n"
