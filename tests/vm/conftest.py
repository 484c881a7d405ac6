"""Tests of what this machine's kernel may not have: each says what it needs, and is skipped without it."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def _leaves_the_machine_as_before(as_before: None) -> None:
    pass
