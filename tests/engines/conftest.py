"""Every engine test is followed by the check of the machine."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _leaves_the_machine_as_before(as_before: None) -> None:
    pass
