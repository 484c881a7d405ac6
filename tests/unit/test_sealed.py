"""Memory files that nobody can change."""

from __future__ import annotations

import errno
import os

import pytest

from lxcri import sealed


def test_it_cannot_be_changed() -> None:
    fd = sealed.sealed_memory("test", b"content")
    try:
        assert os.pread(fd, 100, 0) == b"content"
        for change in (lambda: os.pwrite(fd, b"x", 0), lambda: os.ftruncate(fd, 0), lambda: os.ftruncate(fd, 100)):
            with pytest.raises(PermissionError):
                change()
        assert not os.get_inheritable(fd)
    finally:
        os.close(fd)


def test_a_failure_leaves_no_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """For lack of memory, for one."""

    def refuse(fd: int) -> None:
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))

    monkeypatch.setattr(sealed, "seal", refuse)
    before = os.listdir("/proc/self/fd")
    with pytest.raises(OSError, match="Cannot allocate memory"):
        sealed.sealed_memory("test", b"content")
    assert os.listdir("/proc/self/fd") == before
