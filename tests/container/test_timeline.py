"""The timeline that --debug prints."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from oci.bundle import Bundle

pytestmark = pytest.mark.lxcri_only("lxcri's own steps")

STEPS = ["fork", "decode", "compile", "cgroup", "liblxc", "placement", "helper", "limits", "state"]


def test_timeline_of_create(bundle: Bundle) -> None:
    container = bundle.container("/bin/sleep", "100")
    bundle.write()
    done = bundle.runtime.call("create", "--bundle", bundle.path, container.id, options=("--debug",)).ok()
    lines = re.findall(r"^lxcri: debug: timeline: +([\d.]+) ms +\+[\d.]+ (.*)$", done.stderr, re.MULTILINE)
    assert [step for _, step in lines if step in STEPS] == STEPS
    times = [float(time) for time, _ in lines]
    assert times == sorted(times)
    container.delete("--force").ok()


def test_no_timeline_unasked(bundle: Bundle) -> None:
    container = bundle.container("/bin/sleep", "100")
    bundle.write()
    done = bundle.runtime.call("create", "--bundle", bundle.path, container.id).ok()
    assert "timeline" not in done.stderr
    container.delete("--force").ok()
