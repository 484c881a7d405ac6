"""
linux.seccomp to BPF (config-linux.md, "Seccomp"), with libseccomp, and a cache of the results.

Compiling takes tens of milliseconds, more than the rest of a container's creation. libseccomp is therefore
opened only for a profile that the cache does not have.
"""

import os
import sys
from errno import EFAULT

import msgspec

from .errors import Error
from .spec.seccomp import Arg, Seccomp

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

# The kernel's SECCOMP_RET_* values.
ACTIONS = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
}

# libseccomp's enum scmp_compare. For SCMP_CMP_MASKED_EQ `value` is the mask, `valueTwo` what is left by it.
OPERATORS = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}

# In lower case and without the prefix these are libseccomp's own names.
ARCHITECTURES = (
    "SCMP_ARCH_X86",
    "SCMP_ARCH_X86_64",
    "SCMP_ARCH_X32",
    "SCMP_ARCH_ARM",
    "SCMP_ARCH_AARCH64",
    "SCMP_ARCH_LOONGARCH64",
    "SCMP_ARCH_M68K",
    "SCMP_ARCH_MIPS",
    "SCMP_ARCH_MIPS64",
    "SCMP_ARCH_MIPS64N32",
    "SCMP_ARCH_MIPSEL",
    "SCMP_ARCH_MIPSEL64",
    "SCMP_ARCH_MIPSEL64N32",
    "SCMP_ARCH_PPC",
    "SCMP_ARCH_PPC64",
    "SCMP_ARCH_PPC64LE",
    "SCMP_ARCH_S390",
    "SCMP_ARCH_S390X",
    "SCMP_ARCH_SH",
    "SCMP_ARCH_SHEB",
    "SCMP_ARCH_PARISC",
    "SCMP_ARCH_PARISC64",
    "SCMP_ARCH_RISCV64",
)

# Flags of seccomp(2). Whoever loads the filter has one thread: there is none to synchronize with, and
# the kernel refuses TSYNC together with a listener.
FLAGS = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0,
    "SECCOMP_FILTER_FLAG_LOG": 1 << 1,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 1 << 2,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 1 << 5,
}
# As runc and crun do: without it, every filter would slow the process down by the mitigation of
# speculative store bypass on kernels before 5.16.
_DEFAULT_FLAGS = ["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]
# The kernel refuses this one without a listener.
_LISTENER_FLAGS = FLAGS["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]
NEW_LISTENER = 1 << 3
"""SECCOMP_FILTER_FLAG_NEW_LISTENER: no flag of the document, it comes with SCMP_ACT_NOTIFY."""
_SET_MODE_FILTER = 1

# The levels of seccomp_api_get(3) from which on an action works; all others always do.
_API_LEVELS = {"SCMP_ACT_KILL_PROCESS": 3, "SCMP_ACT_LOG": 3, "SCMP_ACT_NOTIFY": 5}

_WITH_ERRNO = ("SCMP_ACT_ERRNO", "SCMP_ACT_TRACE")
_EPERM = 1
_ENOSYS = 38
_RET_ENOSYS = ACTIONS["SCMP_ACT_ERRNO"] | _ENOSYS

_MAX_ARGS = 6
_MAX_ERRNO_RET = 0xFFFF

# Architectures that the stub for unknown syscalls treats specially, by libseccomp's number; but for x32
# it is the kernel's AUDIT_ARCH_* too.
_X86_64 = 0xC000003E
_X32 = 0x4000003E
_S390 = (0x00000016, 0x80000016)
_X32_SYSCALL_BIT = 1 << 30

# struct sock_filter, <linux/bpf_common.h>, and the offsets in struct seccomp_data.
_INSTRUCTION = "=HBBI"
_INSTRUCTION_SIZE = 8
_MAX_INSTRUCTIONS = 4096
_LOAD, _JUMP, _JUMP_EQUAL, _JUMP_GREATER, _JUMP_SET, _RETURN = 0x20, 0x05, 0x15, 0x25, 0x45, 0x06
_NR, _ARCH = 0, 4

# Part of what names a cache entry: to be raised when another filter comes of the same profile.
_FORMAT = 1
# Engines use a handful of profiles; when there is a new one for each container, start over.
_MAX_ENTRIES = 256
_MAX_ENTRY_SIZE = 1 << 20


class Filter(msgspec.Struct):
    """
    A compiled filter.

    `bpf` is an array of struct sock_filter in the byte order of this machine. `flags` are for seccomp(2);
    if `notify` is true, whoever loads the filter adds NEW_LISTENER. `unknown` are names
    of the profile that are no syscalls as far as libseccomp knows: they have no effect.
    """

    bpf: bytes
    flags: int
    notify: bool
    unknown: list[str]


class _Entry(msgspec.Struct):
    """A file of the cache: the filter, and what made it (the library's path, device, inode, size, ctime)."""

    library: tuple[bytes, int, int, int, int]
    filter: Filter


def compile_filter(seccomp: Seccomp, cache: str | None) -> Filter:
    """
    Compile linux.seccomp for this machine.

    `cache` is a directory for the results, made if it is missing (its parent must exist). A cache that cannot
    be used, or that others can write to, is as good as none. Raises Error for a profile with mistakes, or one
    that this libseccomp or kernel cannot do.

    Several conditions on different arguments of a syscall must all be true, but of several on one and the
    same argument any: so runc reads the document, and profiles depend on it.
    """
    directory = -1 if cache is None else _open_cache(cache)
    if directory < 0:
        return _compile(*_open_libseccomp(), seccomp)
    try:
        name = _entry_name(seccomp)
        compiled = _read_entry(directory, name)
        if compiled is None:
            ffi, library = _open_libseccomp()
            compiled = _compile(ffi, library, seccomp)
            # While the library is open: its file is looked up among the mappings of this process.
            _write_entry(directory, name, compiled)
        return compiled
    finally:
        os.close(directory)


def enosys_stub(highest: dict[int, int]) -> bytes:
    """
    BPF to go before a filter: ENOSYS for syscalls above the highest one that the profile names.

    A profile cannot name what was not there when it was written; and libc falls back to older syscalls when
    it sees ENOSYS, not when it sees EPERM or is killed. `highest` is syscall numbers by libseccomp's number
    of the architecture. x32 shares x86_64's architecture in the kernel, but its syscalls have a bit of their
    own. On s390, a syscall that the kernel does not know arrives as number 0.
    """
    sections: dict[int, list[tuple[int, int, int, int]]] = {}
    enosys = (_RETURN, 0, 0, _RET_ENOSYS)
    for arch, number in highest.items():
        section = sections.setdefault(_X86_64 if arch == _X32 else arch, [(_LOAD, 0, 0, _NR)])
        if arch == _X86_64:
            section += [(_JUMP_SET, 2, 0, _X32_SYSCALL_BIT)]
        elif arch == _X32:
            section += [(_JUMP_SET, 0, 2, _X32_SYSCALL_BIT)]
        elif arch in _S390:
            section += [(_JUMP_EQUAL, 0, 1, 0), enosys]
        section += [(_JUMP_GREATER, 0, 1, number), enosys]
    program: list[tuple[int, int, int, int]] = []
    for arch, section in reversed(sections.items()):
        program = [(_JUMP_EQUAL, 0, len(section) + 1, arch), *section, (_JUMP, 0, 0, len(program)), *program]
    if not program:
        return b""
    from struct import pack

    return b"".join(pack(_INSTRUCTION, *instruction) for instruction in [(_LOAD, 0, 0, _ARCH), *program])


def _compile(ffi: "Any", library: "Any", seccomp: Seccomp) -> Filter:
    notify = _notifies(seccomp)
    if notify and not seccomp.listener_path:
        raise Error("linux.seccomp.listenerPath: not set, but SCMP_ACT_NOTIFY is used")
    flags = _flags(seccomp, notify)
    default = _action(
        seccomp.default_action,
        seccomp.default_errno_ret,
        "linux.seccomp.defaultAction",
        "linux.seccomp.defaultErrnoRet",
    )
    _check_api_level(library, seccomp.default_action, "linux.seccomp.defaultAction")
    context = library.seccomp_init(default)
    if context == ffi.NULL:
        raise Error(f'linux.seccomp.defaultAction: libseccomp refuses "{seccomp.default_action}"')
    try:
        names = [name.encode() for syscall in seccomp.syscalls for name in syscall.names]
        # A binary tree instead of a list; libseccomp up to 2.5.4 makes a wrong filter of one without rules.
        if len(names) > 32:
            library.seccomp_attr_set(context, library.SCMP_FLTATR_CTL_OPTIMIZE, 2)
        archs = _add_architectures(library, context, seccomp)
        unknown = _add_rules(ffi, library, context, seccomp, default)
        bpf = _export(library, context)
    finally:
        library.seccomp_release(context)
    if _denies(default):
        highest = {
            arch: max((library.seccomp_syscall_resolve_name_arch(arch, name) for name in names), default=0)
            for arch in archs
        }
        bpf = enosys_stub({arch: number for arch, number in highest.items() if number > 0}) + bpf
    length = len(bpf) // _INSTRUCTION_SIZE
    if length > _MAX_INSTRUCTIONS:
        raise Error(f"linux.seccomp: {length} BPF instructions, but the kernel takes {_MAX_INSTRUCTIONS}")
    return Filter(bpf, flags, notify, unknown)


def _notifies(seccomp: Seccomp) -> bool:
    actions = [seccomp.default_action, *(syscall.action for syscall in seccomp.syscalls)]
    return "SCMP_ACT_NOTIFY" in actions


def _flags(seccomp: Seccomp, notify: bool) -> int:
    flags = 0
    for index, flag in enumerate(_DEFAULT_FLAGS if seccomp.flags is None else seccomp.flags):
        if flag not in FLAGS:
            raise Error(f'linux.seccomp.flags[{index}]: unknown flag "{flag}"')
        flags |= FLAGS[flag]
    return flags if notify else flags & ~_LISTENER_FLAGS


def _action(name: str, errno_ret: int | None, name_path: str, errno_path: str) -> int:
    if name not in ACTIONS:
        raise Error(f'{name_path}: unknown action "{name}"')
    if name not in _WITH_ERRNO:
        if errno_ret is not None:
            raise Error(f"{errno_path}: set, but {name} has no errno")
        return ACTIONS[name]
    if errno_ret is None:
        errno_ret = _EPERM
    if errno_ret > _MAX_ERRNO_RET:
        raise Error(f"{errno_path}: {errno_ret} is above {_MAX_ERRNO_RET}")
    return ACTIONS[name] | errno_ret


def _denies(default: int) -> bool:
    # A tracer gets to see unknown syscalls, too. With ENOSYS as the default the stub would say the same.
    permissive = (ACTIONS["SCMP_ACT_ALLOW"], ACTIONS["SCMP_ACT_LOG"], ACTIONS["SCMP_ACT_TRACE"])
    return default & ~_MAX_ERRNO_RET not in permissive and default != _RET_ENOSYS


class Support(msgspec.Struct):
    """What of the tables above libseccomp and the kernel at hand can do."""

    version: str
    actions: list[str]
    architectures: list[str]
    flags: list[str]


def support() -> Support:
    """Ask libseccomp and the kernel; raises Error if there is no libseccomp."""
    _, library = _open_libseccomp()
    version = library.seccomp_version()
    level = library.seccomp_api_get()
    return Support(
        f"{version.major}.{version.minor}.{version.micro}",
        [action for action in ACTIONS if _API_LEVELS.get(action, 0) <= level],
        [name for name in ARCHITECTURES if _architecture(library, name)],
        [name for name, flag in FLAGS.items() if _kernel_knows(library.seccomp_syscall_resolve_name(b"seccomp"), flag)],
    )


def _kernel_knows(syscall: int, flag: int) -> bool:
    """Whether seccomp(2) takes this flag: then it complains of the filter, which is none."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    if flag & _LISTENER_FLAGS:
        flag |= NEW_LISTENER
    libc.syscall(syscall, _SET_MODE_FILTER, flag, None)
    return ctypes.get_errno() == EFAULT


def _architecture(library: "Any", name: str) -> int:
    """libseccomp's number of an architecture, 0 if it does not know it."""
    number: int = library.seccomp_arch_resolve_name(name.removeprefix("SCMP_ARCH_").lower().encode())
    return number


def _open_libseccomp() -> "tuple[Any, Any]":
    from ._libseccomp import ffi

    try:
        return ffi, ffi.dlopen("libseccomp.so.2")
    except OSError as error:
        raise Error(f"linux.seccomp: {error}") from None


def _check_api_level(library: "Any", action: str, path: str) -> None:
    needed = _API_LEVELS.get(action, 0)
    if needed and library.seccomp_api_get() < needed:
        version = library.seccomp_version()
        raise Error(
            f"{path}: {action} needs API level {needed}, but libseccomp {version.major}.{version.minor}."
            f"{version.micro} has {library.seccomp_api_get()} on this kernel"
        )


def _add_architectures(library: "Any", context: "Any", seccomp: Seccomp) -> list[int]:
    """Add all architectures to the native one, which is always there; all of them by libseccomp's number."""
    archs = [library.seccomp_arch_native()]
    for index, name in enumerate(seccomp.architectures):
        path = f"linux.seccomp.architectures[{index}]"
        if name not in ARCHITECTURES:
            raise Error(f'{path}: unknown architecture "{name}"')
        arch = _architecture(library, name)
        if arch == 0:
            raise Error(f'{path}: libseccomp does not know "{name}"')
        if arch in archs:
            continue
        result = library.seccomp_arch_add(context, arch)
        if result < 0:
            raise Error(f'{path}: "{name}": {os.strerror(-result).lower()}')
        archs.append(arch)
    return archs


def _add_rules(ffi: "Any", library: "Any", context: "Any", seccomp: Seccomp, default: int) -> list[str]:
    """Add a rule for each name and set of conditions; return the names that are unknown."""
    unknown = []
    for index, syscall in enumerate(seccomp.syscalls):
        path = f"linux.seccomp.syscalls[{index}]"
        action = _action(syscall.action, syscall.errno_ret, f"{path}.action", f"{path}.errnoRet")
        _check_api_level(library, syscall.action, f"{path}.action")
        conditions = [ffi.new("struct scmp_arg_cmp[]", rule) for rule in _conditions(syscall.args, f"{path}.args")]
        if action == default:
            # libseccomp takes such a rule for a mistake.
            continue
        for name in syscall.names:
            number = library.seccomp_syscall_resolve_name(name.encode())
            if number == library.SCMP_ERROR:
                unknown.append(name)
                continue
            for rule in conditions:
                result = library.seccomp_rule_add_array(context, action, number, len(rule), rule)
                if result < 0:
                    raise Error(f'{path}: "{name}": {os.strerror(-result).lower()}')
    return unknown


def _conditions(args: list[Arg], path: str) -> list[list[tuple[int, int, int, int]]]:
    """Fields of struct scmp_arg_cmp, by rule."""
    for position, arg in enumerate(args):
        if arg.index >= _MAX_ARGS:
            raise Error(f"{path}[{position}].index: {arg.index}, but syscalls have {_MAX_ARGS} arguments")
        if arg.op not in OPERATORS:
            raise Error(f'{path}[{position}].op: unknown operator "{arg.op}"')
    rule = [(arg.index, OPERATORS[arg.op], arg.value, arg.value_two) for arg in args]
    if len({arg.index for arg in args}) < len(args):
        return [[condition] for condition in rule]
    return [rule]


def _export(library: "Any", context: "Any") -> bytes:
    fd = os.memfd_create("seccomp")
    try:
        result = library.seccomp_export_bpf(context, fd)
        if result < 0:
            raise Error(f"linux.seccomp: seccomp_export_bpf: {os.strerror(-result).lower()}")
        return os.pread(fd, os.fstat(fd).st_size, 0)
    finally:
        os.close(fd)


def _entry_name(seccomp: Seccomp) -> str:
    # hashlib costs 3 ms of OpenSSL; its own implementation has had two names, and to search for one takes time too.
    try:
        if sys.version_info >= (3, 12):
            from _sha2 import sha256
        else:
            from _sha256 import sha256  # type: ignore[import-not-found]
    except ImportError:
        from hashlib import sha256
    profile = (
        _FORMAT,
        seccomp.default_action,
        seccomp.default_errno_ret,
        seccomp.architectures,
        seccomp.flags,
        bool(seccomp.listener_path),
        seccomp.syscalls,
    )
    name: str = sha256(msgspec.json.encode(profile)).hexdigest()
    return name


def _open_cache(path: str) -> int:
    """A descriptor of the directory if nobody else can write to it, else -1."""
    try:
        os.mkdir(path, 0o700)
    except OSError:
        pass
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return -1
    if _is_ours(os.fstat(fd)):
        return fd
    os.close(fd)
    return -1


def _is_ours(status: os.stat_result) -> bool:
    return status.st_uid == os.geteuid() and status.st_mode & 0o022 == 0


def _library(path: bytes) -> tuple[bytes, int, int, int, int]:
    status = os.stat(path)
    return path, status.st_dev, status.st_ino, status.st_size, status.st_ctime_ns


def _loaded_libseccomp() -> bytes:
    with open("/proc/self/maps", "rb") as maps:
        for line in maps:
            if b"/libseccomp.so." in line:
                return line.rstrip(b"\n").split(maxsplit=5)[5]
    raise FileNotFoundError


def _read_entry(directory: int, name: str) -> Filter | None:
    try:
        fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return None
    try:
        status = os.fstat(fd)
        if not _is_ours(status) or not 0 < status.st_size <= _MAX_ENTRY_SIZE:
            return None
        entry = msgspec.msgpack.decode(os.read(fd, status.st_size), type=_Entry)
        bpf = entry.filter.bpf
        if not bpf or len(bpf) % _INSTRUCTION_SIZE or entry.library != _library(entry.library[0]):
            return None
        return entry.filter
    except (OSError, ValueError, msgspec.MsgspecError):
        return None
    finally:
        os.close(fd)


def _write_entry(directory: int, name: str, compiled: Filter) -> None:
    temporary = f".{name}.{os.getpid()}"
    try:
        data = msgspec.msgpack.encode(_Entry(_library(_loaded_libseccomp()), compiled))
        names = os.listdir(directory)
        if len(names) >= _MAX_ENTRIES:
            _remove(directory, names)
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=directory)
    except OSError:
        return
    try:
        if os.write(fd, data) == len(data):
            os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except OSError:
        pass
    finally:
        os.close(fd)
        _remove(directory, [temporary])


def _remove(directory: int, names: list[str]) -> None:
    for name in names:
        try:
            os.unlink(name, dir_fd=directory)
        except OSError:
            pass
