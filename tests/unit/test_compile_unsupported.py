"""compile: what nothing here does is refused by its name, not ignored."""

from __future__ import annotations

import pytest
from oci.compiling import Json, change, refusal

from lxcri.compile.unsupported import PROPERTIES

FRAGMENTS: dict[str, Json] = {
    "linux.netDevices": {"linux": {"netDevices": {"eth0": {"name": "a"}}}},
    "linux.intelRdt": {"linux": {"intelRdt": {}}},
    "linux.memoryPolicy": {"linux": {"memoryPolicy": {"mode": "MPOL_DEFAULT"}}},
    "linux.mountLabel": {"linux": {"mountLabel": "a:b:c"}},
    "linux.personality": {"linux": {"personality": {"domain": "LINUX"}}},
    "process.scheduler": {"process": {"scheduler": {"policy": "SCHED_OTHER"}}},
    "process.ioPriority": {"process": {"ioPriority": {"class": "IOPRIO_CLASS_BE"}}},
}


@pytest.mark.parametrize("name", [name for name, _ in PROPERTIES])
def test_property_that_is_not_supported(name: str) -> None:
    assert refusal(FRAGMENTS[name]) == f"{name}: not supported"


@pytest.mark.parametrize(
    "fragment",
    [
        {"linux": {"netDevices": {}, "mountLabel": "", "personality": None, "intelRdt": None, "memoryPolicy": None}},
        {"process": {"scheduler": None, "ioPriority": None}},
    ],
)
def test_property_that_is_not_set(fragment: Json) -> None:
    assert change(fragment) == {}


def test_properties_of_no_one() -> None:
    """config.md, "Extensibility": what is not known is ignored."""
    assert change({"x": 1, "linux": {"y": {}}, "annotations": {"a": "b"}}) == {}
