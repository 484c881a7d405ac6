"""compile: process.capabilities."""

from __future__ import annotations

from typing import Any

import pytest
from oci.compiling import Json, change, compiled, merged, namespaces, refusal

from lxcri.compile.capabilities import NAMES, NUMBERS, capability_names

ALL = (1 << 41) - 1
CHOWN, KILL, MKNOD, NET_RAW = 1 << 0, 1 << 5, 1 << 27, 1 << 13


def sets(**names: list[str]) -> Json:
    return {"process": {"capabilities": names}}


def masks(fragment: Json, **overrides: Any) -> tuple[int, ...]:
    """Bounding, effective, permitted, inheritable, ambient."""
    start = {name: arguments for name, _, arguments in compiled(fragment, **overrides).program["start"]}
    return (*start["bounding"], *start["capabilities"])


def test_numbers() -> None:
    """capability(7) has 41, the last of which are of Linux 5.8 and 5.9."""
    assert len(NAMES) == len(NUMBERS) == 41
    assert NUMBERS["CAP_CHOWN"] == 0
    assert NUMBERS["CAP_SYS_ADMIN"] == 21
    assert NUMBERS["CAP_MKNOD"] == 27
    assert NUMBERS["CAP_AUDIT_READ"] == 37
    assert NUMBERS["CAP_CHECKPOINT_RESTORE"] == 40


def test_the_five_sets() -> None:
    every = ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"]
    fragment = sets(
        bounding=every,
        effective=["CAP_CHOWN"],
        permitted=["CAP_KILL", "CAP_CHOWN", "CAP_CHOWN"],
        inheritable=["CAP_NET_RAW", "CAP_KILL"],
        ambient=["CAP_KILL"],
    )
    assert change(fragment) == {
        "start": [
            ("bounding", "process.capabilities.bounding", (CHOWN | KILL | NET_RAW,)),
            ("capabilities", "process.capabilities", (CHOWN, CHOWN | KILL, NET_RAW | KILL, KILL)),
        ],
        "-start": [
            ("bounding", "process.capabilities.bounding", (0,)),
            ("capabilities", "process.capabilities", (0, 0, 0, 0)),
        ],
    }


def test_no_capabilities() -> None:
    """config.md: none, whatever the runtime has."""
    assert masks({}) == masks(sets()) == (0, 0, 0, 0, 0)


def test_all_capabilities() -> None:
    every = list(NUMBERS)
    fragment = sets(bounding=every, effective=every, permitted=every, inheritable=every, ambient=every)
    assert masks(fragment) == (ALL,) * 5


WARNING = "process.capabilities: unknown or not to be granted here: "


@pytest.mark.parametrize("name", ["CAP_UNKNOWN", "CHOWN", "cap_chown", "Cap_Chown", "CAP_CHOWN ", "", "ALL"])
def test_unknown_capabilities(name: str) -> None:
    """config.md: "any value which cannot be mapped [...] MUST be logged as a warning". Names are as in runc."""
    fragment = sets(bounding=[name, "CAP_KILL"], permitted=[name])
    assert change(fragment)["warnings"] == [WARNING + name]
    assert masks(fragment) == (KILL, 0, 0, 0, 0)


def test_capabilities_that_the_runtime_lacks() -> None:
    every = ["CAP_MKNOD", "CAP_KILL"]
    fragment = sets(bounding=every, effective=every, permitted=every)
    found = change(fragment, given={"host_capabilities": ALL & ~MKNOD})
    assert found["warnings"] == [f"{WARNING}CAP_MKNOD"]
    assert masks(fragment, host_capabilities=ALL & ~MKNOD) == (KILL, KILL, KILL, 0, 0)


def test_capabilities_that_the_kernel_lacks() -> None:
    fragment = sets(bounding=["CAP_BPF", "CAP_CHECKPOINT_RESTORE"])
    assert change(fragment, given={"last_capability": 39})["warnings"] == [f"{WARNING}CAP_CHECKPOINT_RESTORE"]
    assert masks(fragment, last_capability=39)[0] == 1 << 39


def test_capabilities_in_a_new_user_namespace() -> None:
    """It has all, whatever the runtime has."""
    ids = [{"containerID": 0, "hostID": 1, "size": 9}]
    user = merged(namespaces("mount", "user"), {"linux": {"uidMappings": ids, "gidMappings": ids}})
    fragment = merged(user, sets(bounding=["CAP_MKNOD"]))
    assert masks(fragment, host_capabilities=0)[0] == MKNOD
    joined = merged(namespaces("mount", user="/ns"), sets(bounding=["CAP_MKNOD"]))
    assert masks(joined, host_capabilities=0)[0] == 0


def test_ambient_capabilities_that_are_not_inheritable() -> None:
    """The kernel would refuse them; runc leaves them out too."""
    fragment = sets(
        bounding=["CAP_CHOWN", "CAP_KILL"],
        permitted=["CAP_CHOWN", "CAP_KILL"],
        inheritable=["CAP_CHOWN"],
        ambient=["CAP_KILL", "CAP_CHOWN", "CAP_NET_RAW"],
    )
    assert masks(fragment)[4] == CHOWN
    assert change(fragment)["warnings"] == [f"{WARNING}CAP_KILL, CAP_NET_RAW"]


def test_one_warning_for_all() -> None:
    """Sorted, each once."""
    fragment = sets(bounding=["B", "A"], effective=["C", "B"])
    assert change(fragment)["warnings"] == [f"{WARNING}A, B, C"]


@pytest.mark.parametrize(
    ("fragment", "text"),
    [
        (
            sets(permitted=["CAP_CHOWN"], effective=["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"]),
            "process.capabilities.effective: CAP_KILL, CAP_NET_RAW: not in permitted",
        ),
        (
            sets(bounding=["CAP_CHOWN"], permitted=["CAP_KILL"], inheritable=["CAP_KILL"]),
            "process.capabilities.inheritable: CAP_KILL: not in bounding",
        ),
    ],
)
def test_sets_that_capset_refuses(fragment: Json, text: str) -> None:
    assert refusal(fragment) == text


def test_names_of_a_mask() -> None:
    assert capability_names(0) == ""
    assert capability_names(MKNOD | CHOWN) == "CAP_CHOWN, CAP_MKNOD"
