"""The exception that reaches a user as a line on stderr, and how the kernel's reasons are worded in it."""


class Error(Exception):
    """A failure that is reported in one line: what failed, on what, and why (lower case, no final period)."""


def reason(error: OSError) -> str:
    """Why a system call failed, in lower case: docker matches "no such file or directory" so."""
    return (error.strerror or str(error)).lower()
