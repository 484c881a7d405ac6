"""Processes that are attached to a running container."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias, TypedDict

from .ffi import ffi, lib
from .flags import AttachFlag
from .library import require
from .text import encode, string_array

if TYPE_CHECKING:
    from ._lxc import CData
    from .text import Text

    class HasDescriptor(Protocol):
        """Whatever has a descriptor, such as a file."""

        def fileno(self) -> int:
            """The descriptor."""


Function: TypeAlias = Callable[[], int | None]

_C: Any = lib
"""lib, as ffi.addressof() is declared to want it."""

_GROUPS_SINCE = 0x040007
_ALL = -1


class AttachOptions(TypedDict, total=False):
    """How a process is attached to a container. Each may be left out.

    flags        an AttachFlag; AttachFlag.DEFAULT
    namespaces   a Namespace: those that are entered; all that the container has of its own
    personality  the execution domain, see personality(2); the container's
    cwd          working directory in the container; the caller's, if it is there
    uid, gid     user and group in the container; 0 with a user namespace, else the caller's
    groups       supplementary groups, since liblxc 4.0.7; none
    env_policy   "keep" or "clear": what becomes of the caller's environment; "keep"
    env          variables that are set
    keep_env     names of variables that are kept although env_policy is "clear"
    stdin, stdout, stderr
                 descriptors, or files; the caller's 0, 1 and 2
    log_fd       descriptor that liblxc logs to while it attaches; none
    lsm_label    label of the security module, since liblxc 4.0.7; the container's
    """

    flags: int
    namespaces: int
    personality: int
    cwd: Text
    uid: int
    gid: int
    groups: Iterable[int]
    env_policy: Literal["keep", "clear"]
    env: Mapping[str, str]
    keep_env: Iterable[str]
    stdin: int | HasDescriptor
    stdout: int | HasDescriptor
    stderr: int | HasDescriptor
    log_fd: int
    lsm_label: Text


_ENV_POLICIES = {"keep": lib.LXC_ATTACH_KEEP_ENV, "clear": lib.LXC_ATTACH_CLEAR_ENV}


def _descriptor(file: int | HasDescriptor) -> int:
    return file if isinstance(file, int) else file.fileno()


def options_struct(options: AttachOptions) -> tuple[CData, list[CData]]:
    """The struct lxc_attach_options_t, and what must be kept as long as it is used."""
    if unknown := set(options) - AttachOptions.__optional_keys__:
        raise TypeError(f"unknown attach option {min(unknown)!r}")
    kept: list[CData] = []

    def string(text: Text) -> CData:
        kept.append(ffi.new("char[]", encode(text)))
        return kept[-1]

    def strings(texts: Iterable[Text]) -> CData:
        array, each = string_array(texts)
        kept.extend([array, *each])
        return array

    struct: CData = ffi.new("lxc_attach_options_t *")
    struct.attach_flags = options.get("flags", AttachFlag.DEFAULT)
    struct.namespaces = options.get("namespaces", _ALL)
    struct.personality = options.get("personality", -1)
    struct.uid = options["uid"] if "uid" in options else ffi.cast("uid_t", -1)
    struct.gid = options["gid"] if "gid" in options else ffi.cast("gid_t", -1)
    policy = options.get("env_policy", "keep")
    if policy not in _ENV_POLICIES:
        raise ValueError(f"env_policy {policy!r} is neither 'keep' nor 'clear'")
    struct.env_policy = _ENV_POLICIES[policy]
    struct.stdin_fd = _descriptor(options.get("stdin", 0))
    struct.stdout_fd = _descriptor(options.get("stdout", 1))
    struct.stderr_fd = _descriptor(options.get("stderr", 2))
    struct.log_fd = options.get("log_fd", -errno.EBADF)
    if "cwd" in options:
        struct.initial_cwd = string(options["cwd"])
    if "env" in options:
        struct.extra_env_vars = strings(f"{name}={value}" for name, value in options["env"].items())
    if "keep_env" in options:
        struct.extra_keep_env = strings(options["keep_env"])
    if "groups" in options:
        require("attach with groups", _GROUPS_SINCE)
        groups = ffi.new("gid_t[]", list(options["groups"]))
        kept.append(groups)
        struct.groups.list = groups
        struct.groups.size = len(groups)
        struct.attach_flags |= lib.LXC_ATTACH_SETGROUPS
    if "lsm_label" in options:
        require("attach with lsm_label", _GROUPS_SINCE)
        struct.lsm_label = string(options["lsm_label"])
        struct.attach_flags |= lib.LXC_ATTACH_LSM_LABEL
    return struct, kept


def _command(argv: Iterable[Text], program: Text | None, kept: list[CData]) -> CData:
    """The struct lxc_attach_command_t; what must be kept goes with the rest."""
    array, strings = string_array(argv)
    if not strings:
        raise ValueError("a command has at least one word")
    name = strings[0] if program is None else ffi.new("char[]", encode(program))
    kept += [array, *strings, name]
    return ffi.new("lxc_attach_command_t *", {"program": name, "argv": array})


def attach_command(c: CData, argv: Iterable[Text], options: AttachOptions, program: Text | None = None) -> int:
    """Have liblxc execute a command in the container: its process id, or liblxc's negative result.

    No Python runs after the fork.

    program  what is executed; None for the first word
    """
    struct, kept = options_struct(options)
    command = _command(argv, program, kept)
    return _attach(lib.container_attach, c, (ffi.addressof(_C, "lxc_attach_run_command"), command), struct, kept)


def attach_shell(c: CData, options: AttachOptions) -> int:
    """Have liblxc execute the user's shell in the container: its process id, or liblxc's negative result."""
    struct, kept = options_struct(options)
    return _attach(lib.container_attach, c, (ffi.addressof(_C, "lxc_attach_run_shell"), ffi.NULL), struct, kept)


def attach_function(c: CData, function: Function, options: AttachOptions) -> int:
    """Run a function in the container, in a fork of this process: its process id, or liblxc's negative result."""
    struct, kept = options_struct(options)
    # The child gets a copy of what is not yet written, and would write it once more.
    for file in (sys.stdout, sys.stderr):
        if file is not None:
            file.flush()
    handle = ffi.new_handle(function)
    return _attach(lib.container_attach_python, c, (handle,), struct, kept)


_lock = threading.RLock()
"""Held by who gets a descriptor of a container's init from liblxc."""


def init_pidfd(c: CData) -> int:
    """c->init_pidfd()."""
    with _lock:
        descriptor: int = lib.container_init_pidfd(c)
        return descriptor


def _descriptors_like(reference: int) -> set[int]:
    """The descriptors of this process that are the same open file as another one."""
    numbers = {int(name) for name in os.listdir("/proc/self/fd")} - {reference}
    return {number for number in numbers if lib.is_same_file(number, reference)}


def _attach(attach: CData, c: CData, what: tuple[CData, ...], struct: CData, kept: list[CData]) -> int:
    """Call c->attach(), and close the pidfd of the container's init that liblxc 5.0 leaves open in each call.

    It gets it from the monitor, as c->init_pidfd() does: both are one open file, and what somebody else has opened
    is another. A call that lasts as long as the process, with a terminal, is left alone.
    """
    pid = ffi.new("pid_t *", -1)
    if struct.attach_flags & AttachFlag.TERMINAL:
        result: int = attach(c, *what, struct, pid)
        del kept
        return int(pid[0]) if result == 0 else result
    with _lock:
        reference = lib.container_init_pidfd(c)
        before = _descriptors_like(reference) if reference >= 0 else set()
        result = attach(c, *what, struct, pid)
        error = ffi.errno
        del kept
        if reference >= 0:
            for number in _descriptors_like(reference) - before:
                os.close(number)
            os.close(reference)
        ffi.errno = error
    return int(pid[0]) if result == 0 else result


@ffi.def_extern()
def lxcffi_attached(payload: CData) -> int:
    """In the container: call the function; the exit status. Everything is imported already: sys.path leads nowhere."""
    status = 1
    try:
        result = ffi.from_handle(payload)()
        status = 0 if result is None else int(result)
    except SystemExit as e:
        status = _exit_status(e.code)
    except BaseException as e:  # noqa: BLE001 (nothing may return from here but the status)
        print_exception(e)
    for file in (sys.stdout, sys.stderr):
        try:
            if file is not None:
                file.flush()
        except (OSError, ValueError):
            status = status or 1
    return status & 0xFF


def _exit_status(code: object) -> int:
    if code is None:
        return 0
    if isinstance(code, int):
        return code
    _write_error(f"{code}\n")
    return 1


def print_exception(exception: BaseException) -> None:
    """What traceback prints, without the lines of the source: their files are not in the container."""
    text = "Traceback (most recent call last):\n"
    traceback = exception.__traceback__
    while traceback is not None:
        code = traceback.tb_frame.f_code
        text += f'  File "{code.co_filename}", line {traceback.tb_lineno}, in {code.co_name}\n'
        traceback = traceback.tb_next
    _write_error(f"{text}{type(exception).__name__}: {exception}\n")


def _write_error(text: str) -> None:
    data = text.encode("utf-8", "backslashreplace")
    try:
        while data:
            data = data[os.write(2, data) :]
    except OSError:
        pass
