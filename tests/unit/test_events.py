"""The verb events, without a container."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from lxcri.cgroup.fs import Cgroup
from lxcri.cgroup.oom import OutOfMemory
from lxcri.verbs.events import watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from lxcri.context import Context


@pytest.mark.parametrize("interval", [600 * 3600.0, 2**63 / 1e9])
def test_interval_that_is_longer_than_poll_can_wait(ctx: Context, fake: Callable[..., Any], interval: float) -> None:
    """poll(2) takes milliseconds in an int; Go's longest duration is 292 years."""
    container = fake()
    init = os.pidfd_open(container.init.pid)
    try:
        container.end()
        cgroup = Cgroup({})
        with OutOfMemory(cgroup) as memory:
            watch(ctx, container.id, cgroup, memory, init, interval)
    finally:
        os.close(init)
