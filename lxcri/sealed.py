"""Memory files that nobody can change any more: the helper and its program."""

from __future__ import annotations

import posix

from .errors import Error, reason

HELPER = f"{__file__.rpartition('/')[0]}/lxcri-init"
MFD_EXEC = 0x10


def seal(fd: int) -> None:
    """Make a memfd unchangeable for ever, by whoever may open it."""
    import fcntl

    seals = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, seals)


def sealed_memory(name: str, data: bytes, *, executable: bool = False) -> int:
    """A sealed memfd with this content."""
    flags = posix.MFD_CLOEXEC | posix.MFD_ALLOW_SEALING
    try:
        fd = posix.memfd_create(name, flags | (MFD_EXEC if executable else 0))
    except OSError:
        if not executable:
            raise
        fd = posix.memfd_create(name, flags)  # before Linux 6.3
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[posix.write(fd, rest) :]
        seal(fd)
    except BaseException:
        posix.close(fd)
        raise
    return fd


def open_helper() -> int:
    """
    lxcri-init in a sealed memfd: a container that gets hold of it cannot change it for others (CVE-2019-5736).

    Nor can it read it: in a user namespace the kernel then keeps the process closed to others from the first
    instruction on, as one of the host's (CVE-2016-9962). Later it sees to that itself.
    """
    try:
        with open(HELPER, "rb", 0) as file:
            fd = sealed_memory("lxcri-init", file.readall(), executable=True)
            posix.chmod(fd, 0o111)
            return fd
    except OSError as e:
        raise Error(f"{HELPER}: {reason(e)}") from e
