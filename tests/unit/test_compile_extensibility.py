"""compile: properties that are empty, and properties that nobody knows."""

from __future__ import annotations

import pytest
from oci.compiling import Json, change


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
