"""Processes that enter a namespace to have its descriptor, or a look at its files."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, NoReturn

import pytest

from lxcri import linux, sources
from lxcri.errors import Error

if TYPE_CHECKING:
    from collections.abc import Iterator


def refuse(*_: int) -> NoReturn:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.fixture(autouse=True)
def _nothing_is_left() -> Iterator[None]:
    """Neither a child nor a descriptor."""
    before = os.listdir("/proc/self/fd")
    yield
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)
    assert os.listdir("/proc/self/fd") == before


def test_why_there_is_no_namespace_to_map_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    """/proc/sys/user/max_user_namespaces may be 0."""
    monkeypatch.setattr(linux, "unshare", refuse)
    with pytest.raises(Error) as error:
        sources.mapping_namespace(("0 1000 1\n", "0 1000 1\n"), 'mounts[0] "/data"')
    assert str(error.value) == 'mounts[0] "/data": a user namespace to map its ids: no space left on device'


def test_a_namespace_that_cannot_be_joined_has_no_mappings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linux, "setns", refuse)
    assert sources.read_id_mappings(0) == ("", "")
