"""The verb plan: a bundle's items, program and host part, with nothing started."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from oci.bundle import Bundle

pytestmark = pytest.mark.lxcri_only("the verb is its own")


def test_plan_is_json(bundle: Bundle) -> None:
    """Three parts."""
    bundle.write()
    plan = json.loads(bundle.runtime.call("plan", bundle.path).ok().stdout)
    assert {"items", "program", "host"} <= set(plan)
    assert ["lxc.uts.name", "inside"] in plan["items"]


def test_plan_starts_nothing(bundle: Bundle) -> None:
    """No state, no process; the check after the test looks for more."""
    bundle.write()
    bundle.runtime.call("plan", bundle.path).ok()
    assert bundle.runtime.containers() == []


def test_plan_of_a_bad_bundle(bundle: Bundle) -> None:
    """The same errors as create's."""
    bundle.process["cwd"] = "relative"
    bundle.write()
    bundle.runtime.call("plan", bundle.path).refused(where="process.cwd")


def test_plan_is_the_same_every_time(bundle: Bundle) -> None:
    """compile is pure."""
    bundle.write()
    plans = {bundle.runtime.call("plan", bundle.path).ok().stdout for _ in range(3)}
    assert len(plans) == 1
