r"""The program that lxcri-init interprets: its operations, and their encoding.

`OPERATIONS` is the one table of operations. The build turns it into the C header that lxcri-init is compiled with
(`c_header`), so an operation cannot have two numbers, and a helper of another build is refused by its stamp.

A program is a header, then instructions, in the byte order of the machine and aligned to 8 bytes:

    magic   8 bytes      b"lxcri\0\0\2"
    stamp   u64          hash of OPERATIONS and STAGES
    size    u64          bytes of the whole program
    stage   u64 each     offset of the first instruction of each of STAGES

    instruction: u32 operation, u32 size with this header, its subject (a string), its arguments

An argument is a number (u64), a string (u64 length without the final NUL, then the bytes, a NUL, and zeros up to the
next multiple of 8), or a list (u64 count, then numbers or strings).
"""

from __future__ import annotations

from sys import byteorder

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MAGIC = b"lxcri\0\0\2"

STAGES = ("mounts", "create_container", "root", "ready", "start")
"""When the instructions run: `mounts` before or after the pivot (nothing in them depends on it); `create_container`
before the pivot, the hooks of that name; `root` after the pivot, once init is in its cgroup; `ready` when the
container stands, before `create` returns; `start` after `start` was called."""

OPERATIONS: tuple[tuple[str, str], ...] = (
    # Mounts. Targets are paths below the root, resolved with RESOLVE_IN_ROOT; a missing one is made.
    ("mount", "sssns"),  # type, source, target, MS_* flags, data
    ("mount_copyup", "sssns"),  # the same, then the directory's former content is copied into the new file system
    ("move", "ns"),  # tree, target
    ("reattach", "snn"),  # target, attributes to set, to clear: what liblxc mounted there, in the spec's order
    ("attributes", "snnn"),  # target, attributes to set, to clear, whether to do so recursively
    ("propagation", "snn"),  # target, MS_SHARED|MS_SLAVE|MS_PRIVATE|MS_UNBINDABLE, whether recursively
    ("detach", "s"),  # target
    ("leave_mount_namespace", "n"),  # handle of the one to be in: the tree of mounts comes along as the root
    ("mask", "s"),  # path: a file gets /dev/null, a directory an empty read-only tmpfs, a missing one nothing
    ("readonly", "s"),  # path, where it exists
    # Files below the root.
    ("mknod", "snnnn"),  # path, mode with its type, device number, uid, gid
    ("directory", "s"),  # path
    ("symlink", "sss"),  # target, path, a file below the root that must exist ("" for none)
    ("replace_symlink", "ss"),  # target, path: what is there is replaced
    # The namespaces' own properties.
    ("unshare_cgroup", ""),
    ("sysctl", "ss"),  # path below proc/sys, value
    ("hostname", "s"),
    ("domainname", "s"),
    ("console", "nnnnn"),  # handle of the console socket, rows, columns, uid, whether it becomes /dev/console
    # The process.
    ("arguments", "S"),
    ("environment", "S"),
    ("personality", "n"),
    ("home", "n"),  # uid: sets HOME from the container's passwd
    ("cwd", "s"),
    ("find_executable", ""),
    ("hook", "sSSn"),  # path, arguments, environment, timeout in milliseconds (0: none)
    ("rlimit", "nnn"),  # resource, soft, hard
    ("scheduler", "nnnnnnn"),  # policy, flags, nice, priority, runtime, deadline, period
    ("ioprio", "n"),
    ("memory_policy", "ns"),  # MPOL_* mode with its flags, array of unsigned long: bit N of all for node N
    ("umask", "n"),
    ("apparmor", "s"),
    ("selinux", "s"),
    ("bounding", "n"),  # capability sets are masks, bit N for capability N
    ("user", "nnN"),  # uid, gid, additional groups
    ("no_new_privs", ""),
    ("seccomp", "ns"),  # SECCOMP_FILTER_FLAG_*, array of struct sock_filter
    ("capabilities", "nnnn"),  # effective, permitted, inheritable, ambient
    ("preserve", "nn"),  # first handle, count: become the descriptors from 3 on
    ("listener", ""),  # the filter that follows has a listener, which the runtime fetches before execve
    ("handover", ""),  # all that is left is the filter, the capabilities and execve
    ("execute", ""),
)

CODES = {name: code for code, (name, _) in enumerate(OPERATIONS)}


def _stamp() -> int:
    """FNV-1a of the tables, 64 bits."""
    value = 0xCBF29CE484222325
    for byte in repr((MAGIC, STAGES, OPERATIONS)).encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


STAMP = _stamp()


def _number(value: int) -> bytes:
    return (value & 0xFFFFFFFFFFFFFFFF).to_bytes(8, byteorder)


def _string(value: str | bytes) -> bytes:
    data = value if isinstance(value, bytes) else value.encode("utf-8", "surrogateescape")
    return _number(len(data)) + data + b"\0" * (8 - len(data) % 8)


def _argument(kind: str, value: object) -> bytes:
    if kind == "n":
        assert isinstance(value, int)
        return _number(value)
    if kind == "s":
        assert isinstance(value, (str, bytes))
        return _string(value)
    assert isinstance(value, (list, tuple))
    return _number(len(value)) + b"".join(_number(v) if kind == "N" else _string(v) for v in value)


def encode_instruction(name: str, subject: str, arguments: Iterable[object]) -> bytes:
    """One instruction. `subject` says in errors what it is about: `mounts[3] "/data"`."""
    code = CODES[name]
    body = _string(subject)
    for kind, value in zip(OPERATIONS[code][1], arguments, strict=True):
        body += _argument(kind, value)
    return code.to_bytes(4, byteorder) + (len(body) + 8).to_bytes(4, byteorder) + body


def encode(stages: Sequence[Iterable[tuple[str, str, tuple[object, ...]]]]) -> bytes:
    """A program from one list of (operation, subject, arguments) per stage."""
    offset = len(MAGIC) + 8 * (2 + len(STAGES))
    offsets, bodies = [], []
    for stage in stages:
        body = b"".join([encode_instruction(name, subject, arguments) for name, subject, arguments in stage])
        offsets.append(offset)
        bodies.append(body)
        offset += len(body)
    return b"".join([MAGIC, _number(STAMP), _number(offset), *map(_number, offsets), *bodies])


def c_header() -> str:
    """The tables as a C header for lxcri-init."""
    lines = [
        "/* Generated from lxcri/program.py by the build. */",
        "#define PROGRAM_MAGIC { " + ", ".join(map(str, MAGIC)) + " }",
        f"#define PROGRAM_STAMP 0x{STAMP:016x}ULL",
        "",
    ]
    lines += [f"#define STAGE_{name.upper()} {i}" for i, name in enumerate(STAGES)]
    lines += [f"#define STAGES {len(STAGES)}", ""]
    lines += ["enum operation {", *(f"\tOP_{name.upper()}," for name in CODES), "};"]
    lines += [f"#define OPERATIONS {len(OPERATIONS)}", "", "static const char *const operation_names[OPERATIONS] = {"]
    lines += [f'\t"{name}",' for name, _ in OPERATIONS]
    lines += ["};", "", "static const char *const operation_arguments[OPERATIONS] = {"]
    lines += [f'\t"{kinds}",' for _, kinds in OPERATIONS]
    lines += ["};", ""]
    return "\n".join(lines)
