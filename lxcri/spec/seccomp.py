"""config-linux.md, "Seccomp"."""

from .base import U32, U64, Base


class Arg(Base):
    """A condition on one argument (index 0 to 5) of a syscall; `value_two` serves SCMP_CMP_MASKED_EQ only."""

    index: U32
    value: U64
    op: str
    value_two: U64 = 0


class Syscall(Base):
    """The action for some syscalls, under all conditions of `args`."""

    names: list[str]
    action: str
    errno_ret: U32 | None = None
    args: list[Arg] = []


class Seccomp(Base):
    """A seccomp filter; runtimes have default `flags` for who gives none, but not for an empty list."""

    default_action: str
    default_errno_ret: U32 | None = None
    architectures: list[str] = []
    flags: list[str] | None = None
    listener_path: str | None = None
    listener_metadata: str | None = None
    syscalls: list[Syscall] = []
