"""
linux.seccomp to BPF: what a filter answers, evaluated here and by the kernel, and the cache.

None of this needs root: a process may filter itself once it has no_new_privs.
"""

import ctypes
import errno
import json
import os
import shutil
import signal
import stat
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from lxcri import seccomp
from lxcri.errors import Error
from lxcri.seccomp import ACTIONS, ARCHITECTURES, FLAGS, OPERATORS, Filter, compile_filter, enosys_stub
from lxcri.spec import Arg, Seccomp, Syscall, decode_config

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
SAMPLES = sorted((SHARED / "samples").glob("*.json"))


def open_libseccomp() -> Any:
    try:
        return seccomp._open_libseccomp()[1]
    except (ImportError, Error):
        return None


LIBSECCOMP = open_libseccomp()
pytestmark = pytest.mark.skipif(LIBSECCOMP is None, reason="no libseccomp.so.2, or lxcri._libseccomp not built")

X86_64 = 0xC000003E
X86 = 0x40000003
X32 = 0x4000003E
AARCH64 = 0xC00000B7
RISCV64 = 0xC00000F3
X32_BIT = 1 << 30
NATIVE = LIBSECCOMP.seccomp_arch_native() if LIBSECCOMP else 0

ALLOW = ACTIONS["SCMP_ACT_ALLOW"]
ERRNO = ACTIONS["SCMP_ACT_ERRNO"]
KILL = ACTIONS["SCMP_ACT_KILL"]
EPERM, EACCES, ENOSYS = 1, 13, 38

on_x86_64 = pytest.mark.skipif(NATIVE != X86_64, reason="about the three ABIs of x86-64")


def number(name: str, arch: int = NATIVE) -> int:
    return int(LIBSECCOMP.seccomp_syscall_resolve_name_arch(arch, name.encode()))


def evaluate(bpf: bytes, nr: int, *args: int, arch: int = NATIVE) -> int:
    """What the filter returns for a syscall: classic BPF, as far as libseccomp uses it."""
    data = struct.pack("=IIQ6Q", nr & 0xFFFFFFFF, arch, 0, *args, *([0] * (6 - len(args))))
    accumulator = position = 0
    while True:
        code, true, false, k = struct.unpack_from("=HBBI", bpf, 8 * position)
        position += 1
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("=I", data, k)
            case 0x54:
                accumulator &= k
            case 0x05:
                position += k
            case 0x06:
                return int(k)
            case _:
                jumps = {0x15: accumulator == k, 0x25: accumulator > k, 0x35: accumulator >= k}
                jumps[0x45] = accumulator & k != 0
                position += true if jumps[code] else false


def profile(*syscalls: Syscall, default: str = "SCMP_ACT_ALLOW", **more: Any) -> Seccomp:
    return Seccomp(default, syscalls=list(syscalls), **more)


def rule(*names: str, action: str = "SCMP_ACT_ERRNO", **more: Any) -> Syscall:
    return Syscall(list(names), action, **more)


def answer(compiled: Filter, name: str, *args: int) -> int:
    return evaluate(compiled.bpf, number(name), *args)


# Tables


@pytest.mark.skipif(not SHARED.is_dir(), reason="no ../shared/schema beside the source tree")
@pytest.mark.parametrize(
    ("definition", "table"),
    [
        ("SeccompAction", ACTIONS),
        ("SeccompOperators", OPERATORS),
        ("SeccompArch", ARCHITECTURES),
        ("SeccompFlag", FLAGS),
    ],
)
def test_tables_have_the_documents_names(definition: str, table: dict[str, int] | tuple[str, ...]) -> None:
    """Neither fewer nor more than the schema lists."""
    definitions = json.loads((SHARED / "schema" / "defs-linux.json").read_text())["definitions"]
    assert sorted(table) == sorted(definitions[definition]["enum"])


def test_numbers_are_those_of_the_headers(tmp_path: Path) -> None:
    """Actions, operators, flags and architectures of seccomp.h and linux/seccomp.h."""
    compiler = shutil.which("cc")
    if compiler is None or not Path("/usr/include/seccomp.h").exists():
        pytest.skip("no C compiler, or no libseccomp-dev")
    macros = {name: f"{name}(0)" if name in seccomp._WITH_ERRNO else name for name in ACTIONS}
    expected = {**ACTIONS, **OPERATORS, "SCMP_ARCH_X86_64": X86_64, "SCMP_ARCH_X32": X32}
    expected |= {name: value for name, value in FLAGS.items() if value}
    expected |= {"SCMP_FLTATR_CTL_OPTIMIZE": LIBSECCOMP.SCMP_FLTATR_CTL_OPTIMIZE}
    expected |= {"__NR_SCMP_ERROR": LIBSECCOMP.SCMP_ERROR}
    expected |= {"SCMP_ARCH_S390": 0x16, "SCMP_ARCH_S390X": 0x80000016}
    checks = "".join(
        f'_Static_assert((unsigned)({macros.get(name, name)}) == {value & 0xFFFFFFFF}u, "{name}");\n'
        for name, value in expected.items()
    )
    source = tmp_path / "numbers.c"
    source.write_text(f"#include <seccomp.h>\n#include <linux/seccomp.h>\n{checks}")
    subprocess.run([compiler, "-fsyntax-only", source], check=True)


# Actions


@pytest.mark.parametrize("action", sorted(ACTIONS.keys() - {"SCMP_ACT_ALLOW"}))
def test_action_of_a_rule(action: str) -> None:
    """The kernel's return value; ERRNO and TRACE give EPERM."""
    expected = ACTIONS[action] | (EPERM if action in {"SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"} else 0)
    compiled = compile_filter(profile(rule("chroot", action=action), listener_path="/s"), None)
    assert answer(compiled, "chroot") == expected
    assert answer(compiled, "chdir") == ALLOW


@pytest.mark.parametrize("action", sorted(ACTIONS.keys() - {"SCMP_ACT_ALLOW"}))
def test_action_as_the_default(action: str) -> None:
    """For what no rule is about."""
    expected = ACTIONS[action] | (EPERM if action in {"SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"} else 0)
    allowed = rule("reboot", "futex", "statx", action="SCMP_ACT_ALLOW")
    compiled = compile_filter(profile(allowed, default=action, listener_path="/s"), None)
    assert answer(compiled, "chroot") == expected
    assert answer(compiled, "statx") == ALLOW


def test_errno_ret_is_the_errno() -> None:
    """Of a rule, of a tracer's event, and of the default; 0 is a value, too."""
    compiled = compile_filter(
        profile(
            rule("chroot", errno_ret=EACCES),
            rule("chdir", action="SCMP_ACT_TRACE", errno_ret=7),
            rule("reboot", errno_ret=0),
            default="SCMP_ACT_ERRNO",
            default_errno_ret=95,
        ),
        None,
    )
    assert answer(compiled, "chroot") == ERRNO | EACCES
    assert answer(compiled, "chdir") == ACTIONS["SCMP_ACT_TRACE"] | 7
    assert answer(compiled, "reboot") == ERRNO
    assert answer(compiled, "getpid") == ERRNO | 95


def test_rule_that_repeats_the_default_is_redundant() -> None:
    """libseccomp would refuse it; with another errno it is a rule."""
    compiled = compile_filter(
        profile(
            rule("chroot"),
            rule("reboot", errno_ret=EPERM),
            rule("chdir", errno_ret=2),
            default="SCMP_ACT_ERRNO",
        ),
        None,
    )
    assert answer(compiled, "chdir") == ERRNO | 2
    assert answer(compiled, "chroot") == ERRNO | EPERM


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"default": "SCMP_ACT_NO"}, 'linux.seccomp.defaultAction: unknown action "SCMP_ACT_NO"'),
        ({"default_errno_ret": 1}, "linux.seccomp.defaultErrnoRet: set, but SCMP_ACT_ALLOW has no errno"),
        (
            {"architectures": ["SCMP_ARCH_VAX"]},
            'linux.seccomp.architectures[0]: unknown architecture "SCMP_ARCH_VAX"',
        ),
        (
            {"flags": ["SECCOMP_FILTER_FLAG_NO"]},
            'linux.seccomp.flags[0]: unknown flag "SECCOMP_FILTER_FLAG_NO"',
        ),
    ],
)
def test_mistakes_of_the_profile_are_named(change: dict[str, Any], message: str) -> None:
    """By the property and its value."""
    with pytest.raises(Error) as caught:
        compile_filter(profile(rule("chroot"), **change), None)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("mistake", "message"),
    [
        (rule("chroot", action="SCMP_ACT_NO"), 'action: unknown action "SCMP_ACT_NO"'),
        (
            rule("chroot", action="SCMP_ACT_KILL", errno_ret=1),
            "errnoRet: set, but SCMP_ACT_KILL has no errno",
        ),
        (rule("chroot", errno_ret=0x10000), "errnoRet: 65536 is above 65535"),
        (rule("chroot", args=[Arg(0, 1, "SCMP_CMP_NO")]), 'args[0].op: unknown operator "SCMP_CMP_NO"'),
        (rule("chroot", args=[Arg(6, 1, "SCMP_CMP_EQ")]), "args[0].index: 6, but syscalls have 6 arguments"),
    ],
)
def test_mistakes_of_a_rule_are_named(mistake: Syscall, message: str) -> None:
    """With the rule's index."""
    with pytest.raises(Error) as caught:
        compile_filter(profile(rule("chdir"), mistake), None)
    assert str(caught.value) == f"linux.seccomp.syscalls[1].{message}"


def test_contradicting_rules_are_refused() -> None:
    """libseccomp's word for them is EEXIST."""
    same = [Arg(0, 1, "SCMP_CMP_EQ")]
    with pytest.raises(Error, match=r'^linux\.seccomp\.syscalls\[1\]: "chown": file exists$'):
        compile_filter(profile(rule("chown", args=same), rule("chown", action="SCMP_ACT_KILL", args=same)), None)


# Names


def test_unknown_names_are_skipped() -> None:
    """Profiles name syscalls of later kernels; the rest of their rule holds."""
    compiled = compile_filter(profile(rule("no_such_call", "chroot"), rule("neither")), None)
    assert compiled.unknown == ["no_such_call", "neither"]
    assert answer(compiled, "chroot") == ERRNO | EPERM


# Conditions


@pytest.mark.parametrize(
    ("operator", "value", "hits", "misses"),
    [
        ("SCMP_CMP_NE", 5, [4, 6, 5 | 1 << 32], [5]),
        ("SCMP_CMP_LT", 5, [0, 4], [5, 6, 1 << 32]),
        ("SCMP_CMP_LE", 5, [0, 5], [6, 1 << 63]),
        ("SCMP_CMP_EQ", 5, [5], [4, 5 | 1 << 32]),
        ("SCMP_CMP_GE", 5, [5, 1 << 40], [0, 4]),
        ("SCMP_CMP_GT", 5, [6, 2**64 - 1], [0, 5]),
        ("SCMP_CMP_EQ", 1 << 40, [1 << 40], [0, 1 << 41]),
        ("SCMP_CMP_MASKED_EQ", 0xF0, [0x0, 0xF, 1 << 40], [0x10, 0x80]),
    ],
)
def test_operator(operator: str, value: int, hits: list[int], misses: list[int]) -> None:
    """All 64 bits count, without sign."""
    compiled = compile_filter(profile(rule("chown", args=[Arg(1, value, operator)])), None)
    assert {answer(compiled, "chown", 0, hit) for hit in hits} == {ERRNO | EPERM}
    assert {answer(compiled, "chown", 0, miss) for miss in misses} == {ALLOW}


def test_masked_equality_compares_with_the_second_value() -> None:
    """`value` is the mask: libseccomp's order."""
    args = [Arg(0, 0xF0, "SCMP_CMP_MASKED_EQ", value_two=0x30)]
    compiled = compile_filter(profile(rule("chown", args=args)), None)
    assert answer(compiled, "chown", 0x3F) == ERRNO | EPERM
    assert answer(compiled, "chown", 0x4F) == ALLOW


def test_conditions_on_different_arguments_are_all_needed() -> None:
    """One rule."""
    args = [Arg(0, 1, "SCMP_CMP_EQ"), Arg(1, 2, "SCMP_CMP_EQ")]
    compiled = compile_filter(profile(rule("chown", args=args)), None)
    assert answer(compiled, "chown", 1, 2) == ERRNO | EPERM
    assert answer(compiled, "chown", 1, 3) == ALLOW
    assert answer(compiled, "chown", 0, 2) == ALLOW


def test_of_conditions_on_the_same_argument_one_suffices() -> None:
    """As in runc; then it is so for all conditions of the rule."""
    args = [Arg(0, 1, "SCMP_CMP_EQ"), Arg(1, 9, "SCMP_CMP_EQ"), Arg(0, 2, "SCMP_CMP_EQ")]
    compiled = compile_filter(profile(rule("chown", args=args)), None)
    for hit in [(1, 0), (2, 0), (0, 9)]:
        assert answer(compiled, "chown", *hit) == ERRNO | EPERM
    assert answer(compiled, "chown", 3, 3) == ALLOW


# Architectures


def test_native_architecture_is_always_there() -> None:
    """Without a list; other architectures are killed."""
    compiled = compile_filter(profile(rule("chroot")), None)
    assert answer(compiled, "chroot") == ERRNO | EPERM
    foreign = RISCV64 if NATIVE != RISCV64 else AARCH64
    assert evaluate(compiled.bpf, 1, arch=foreign) == KILL


@pytest.mark.skipif(sys.byteorder != "little", reason="about a little-endian machine")
def test_architectures_have_their_own_numbers() -> None:
    """A rule is by name."""
    archs = {"SCMP_ARCH_AARCH64": AARCH64, "SCMP_ARCH_X86": X86, "SCMP_ARCH_RISCV64": RISCV64}
    compiled = compile_filter(profile(rule("chroot"), architectures=[*archs, "SCMP_ARCH_X86"]), None)
    for arch in archs.values():
        assert evaluate(compiled.bpf, number("chroot", arch), arch=arch) == ERRNO | EPERM
        assert evaluate(compiled.bpf, number("chdir", arch), arch=arch) == ALLOW
    assert len({number("chroot", arch) for arch in archs.values()}) > 1


@pytest.mark.skipif(sys.byteorder != "little", reason="about a little-endian machine")
def test_architecture_of_the_other_byte_order_is_refused() -> None:
    """libseccomp cannot have both in one filter."""
    with pytest.raises(Error, match=r'architectures\[1\]: "SCMP_ARCH_S390X": numerical argument out of domain$'):
        compile_filter(profile(architectures=["SCMP_ARCH_X86_64", "SCMP_ARCH_S390X"]), None)


def test_architecture_unknown_to_this_libseccomp_is_refused() -> None:
    """libseccomp 2.5 has no LoongArch, 2.6 has all."""
    for name in ARCHITECTURES:
        if LIBSECCOMP.seccomp_arch_resolve_name(name.removeprefix("SCMP_ARCH_").lower().encode()) == 0:
            with pytest.raises(Error, match=rf'architectures\[0\]: libseccomp does not know "{name}"$'):
                compile_filter(profile(architectures=[name]), None)


@on_x86_64
def test_x32_needs_to_be_listed() -> None:
    """Its syscalls have x86_64's architecture and a bit of their own."""
    x32_chroot = number("chroot", X32)
    assert x32_chroot == number("chroot") | X32_BIT
    with_x32 = compile_filter(profile(rule("chroot"), architectures=["SCMP_ARCH_X32"]), None)
    assert evaluate(with_x32.bpf, x32_chroot) == ERRNO | EPERM
    assert evaluate(compile_filter(profile(rule("chroot")), None).bpf, x32_chroot) == KILL


# Flags, listener


def test_flags_are_those_of_the_kernel() -> None:
    """Without a list, speculation is left alone, as in runc and crun; an empty list is none."""
    assert compile_filter(profile(), None).flags == FLAGS["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]
    assert compile_filter(profile(flags=[]), None).flags == 0
    every = compile_filter(profile(rule("chroot", action="SCMP_ACT_NOTIFY"), flags=[*FLAGS], listener_path="/s"), None)
    assert every.flags == 0b100110


def test_tsync_is_known_and_needless() -> None:
    """There is one thread."""
    assert compile_filter(profile(flags=["SECCOMP_FILTER_FLAG_TSYNC"]), None).flags == 0


def test_wait_killable_recv_only_with_a_listener() -> None:
    """The kernel refuses it without."""
    flags = ["SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"]
    assert compile_filter(profile(rule("chroot"), flags=flags), None).flags == 0


def test_notify_is_reported() -> None:
    """The loader needs to ask for a listener."""
    assert not compile_filter(profile(rule("chroot"), listener_path="/s"), None).notify
    assert compile_filter(profile(rule("chroot", action="SCMP_ACT_NOTIFY"), listener_path="/s"), None).notify


def test_notify_without_listener_path_is_refused() -> None:
    """Nobody would ever answer."""
    with pytest.raises(Error, match=r"^linux\.seccomp\.listenerPath: not set, but SCMP_ACT_NOTIFY is used$"):
        compile_filter(profile(rule("chroot", action="SCMP_ACT_NOTIFY")), None)


def test_action_beyond_the_api_level_is_refused() -> None:
    """Of an old library, or an old kernel."""
    library = SimpleNamespace(
        seccomp_api_get=lambda: 4, seccomp_version=lambda: SimpleNamespace(major=2, minor=5, micro=4)
    )
    seccomp._check_api_level(library, "SCMP_ACT_LOG", "p")
    with pytest.raises(Error, match=r"^p: SCMP_ACT_NOTIFY needs API level 5, but libseccomp 2\.5\.4 has 4 on this"):
        seccomp._check_api_level(library, "SCMP_ACT_NOTIFY", "p")


# Syscalls that a profile cannot know


@pytest.mark.parametrize("action", ["SCMP_ACT_ERRNO", "SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP"])
def test_syscalls_newer_than_the_profile_are_enosys(action: str) -> None:
    """Above the highest number that any rule names, even a redundant one; below it the default holds."""
    compiled = compile_filter(
        profile(rule("statx", action="SCMP_ACT_ALLOW"), rule("pidfd_open", action=action), default=action),
        None,
    )
    newest = number("pidfd_open")
    default = ACTIONS[action] | (EPERM if action == "SCMP_ACT_ERRNO" else 0)
    assert evaluate(compiled.bpf, newest) == default
    assert evaluate(compiled.bpf, newest + 1) == ERRNO | ENOSYS
    assert evaluate(compiled.bpf, number("chroot")) == default


@pytest.mark.parametrize("action", ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG", "SCMP_ACT_TRACE"])
def test_permissive_defaults_hold_for_all_syscalls(action: str) -> None:
    """Also for new ones: whoever traces sees them."""
    compiled = compile_filter(profile(rule("chroot", action="SCMP_ACT_KILL"), default=action), None)
    expected = ACTIONS[action] | (EPERM if action == "SCMP_ACT_TRACE" else 0)
    assert evaluate(compiled.bpf, 5000) == expected


def test_profile_without_known_syscalls_says_nothing_of_new_ones() -> None:
    """It has no highest syscall, as in runc."""
    for names in ([], ["no_such_call"]):
        compiled = compile_filter(profile(rule(*names, action="SCMP_ACT_ALLOW"), default="SCMP_ACT_ERRNO"), None)
        assert evaluate(compiled.bpf, 5000) == ERRNO | EPERM


def test_default_of_enosys_needs_no_stub() -> None:
    """podman's profile: the filter says the same."""
    compiled = compile_filter(
        profile(rule("statx", action="SCMP_ACT_ALLOW"), default="SCMP_ACT_ERRNO", default_errno_ret=ENOSYS),
        None,
    )
    assert evaluate(compiled.bpf, 5000) == ERRNO | ENOSYS
    first_load = struct.pack("=HBBI", 0x20, 0, 0, 4)
    assert compiled.bpf.startswith(first_load)
    assert compiled.bpf.count(first_load) == 1


@on_x86_64
def test_enosys_by_abi() -> None:
    """Each of the three has its own numbers."""
    compiled = compile_filter(
        profile(
            rule("pidfd_open", "socket", "waitpid", action="SCMP_ACT_ALLOW"),
            default="SCMP_ACT_ERRNO",
            architectures=["SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        ),
        None,
    )
    for arch, audit in [(X86_64, X86_64), (X32, X86_64), (X86, X86)]:
        newest = number("pidfd_open", arch)
        assert evaluate(compiled.bpf, newest, arch=audit) == ALLOW
        assert evaluate(compiled.bpf, newest + 1, arch=audit) == ERRNO | ENOSYS
        assert evaluate(compiled.bpf, number("chroot", arch), arch=audit) == ERRNO | EPERM
    assert evaluate(compiled.bpf, 1, arch=AARCH64) == KILL


def stub_answer(highest: dict[int, int], nr: int, arch: int) -> int:
    """The stub before a filter that allows everything."""
    return evaluate(enosys_stub(highest) + struct.pack("=HBBI", 0x06, 0, 0, ALLOW), nr, arch=arch)


def test_stub_for_x32_alone() -> None:
    """x86_64's numbers are then for the filter."""
    highest = {X32: X32_BIT | 100}
    assert stub_answer(highest, 101, X86_64) == ALLOW
    assert stub_answer(highest, X32_BIT | 100, X86_64) == ALLOW
    assert stub_answer(highest, X32_BIT | 101, X86_64) == ERRNO | ENOSYS


def test_stub_for_x86_64_alone() -> None:
    """x32's numbers are then for the filter."""
    highest = {X86_64: 100}
    assert stub_answer(highest, 101, X86_64) == ERRNO | ENOSYS
    assert stub_answer(highest, X32_BIT | 101, X86_64) == ALLOW


@pytest.mark.parametrize("arch", [0x16, 0x80000016])
def test_stub_for_s390_knows_the_multiplexer(arch: int) -> None:
    """A syscall above the kernel's table arrives as number 0."""
    assert stub_answer({arch: 100}, 0, arch) == ERRNO | ENOSYS
    assert stub_answer({arch: 100}, 1, arch) == ALLOW
    assert stub_answer({arch: 100}, 101, arch) == ERRNO | ENOSYS


def test_stub_for_many_architectures() -> None:
    """Each jumps over all the others; one that has no limit is for the filter."""
    highest = {arch: arch + 10 for arch in range(1, 40)}
    for arch in highest:
        assert stub_answer(highest, arch + 10, arch) == ALLOW
        assert stub_answer(highest, arch + 11, arch) == ERRNO | ENOSYS
    assert stub_answer(highest, 5000, 99) == ALLOW
    _load, first_comparison = struct.iter_unpack("=HBBI", enosys_stub(highest)[:16])
    assert first_comparison[3] == 1, "the native architecture comes first"
    assert enosys_stub({}) == b""


# The whole


@pytest.mark.skipif(not SAMPLES, reason="no ../shared/samples beside the source tree")
@pytest.mark.skipif(NATIVE != X86_64, reason="the samples are of x86-64")
@pytest.mark.parametrize("engine", ["docker-default", "podman-default", "containerd-ctr-seccomp"])
def test_profiles_of_engines(engine: str) -> None:
    """The optimized tree, three ABIs, socketcall on x86, conditions and the stub."""
    config = decode_config((SHARED / "samples" / f"{engine}.config.json").read_bytes())
    assert config.linux
    assert config.linux.seccomp
    compiled = compile_filter(config.linux.seccomp, None)
    denied = ERRNO | (ENOSYS if engine == "podman-default" else EPERM)
    for arch, audit in [(X86_64, X86_64), (X32, X86_64), (X86, X86)]:
        for name in ("read", "execve", "openat", "exit_group"):
            assert evaluate(compiled.bpf, number(name, arch), 2, arch=audit) == ALLOW
        assert evaluate(compiled.bpf, number("personality", arch), 8, arch=audit) == ALLOW
        assert evaluate(compiled.bpf, number("personality", arch), 9, arch=audit) == denied
        assert evaluate(compiled.bpf, number("kexec_load", arch), arch=audit) == ERRNO | EPERM
        assert evaluate(compiled.bpf, number("read", arch) + 700, arch=audit) == ERRNO | ENOSYS
    assert evaluate(compiled.bpf, 0, arch=AARCH64) == KILL


def test_filter_longer_than_the_kernel_takes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """BPF_MAXINSNS."""
    monkeypatch.setattr(seccomp, "_MAX_INSTRUCTIONS", 8)
    with pytest.raises(Error, match=r"^linux\.seccomp: \d+ BPF instructions, but the kernel takes 8$"):
        compile_filter(profile(rule("chroot", "chown", "mount", "reboot")), None)


def test_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The linker says what is missing."""

    def dlopen(name: str) -> None:
        raise OSError(f"cannot load library '{name}'")

    monkeypatch.setitem(sys.modules, "lxcri._libseccomp", SimpleNamespace(ffi=SimpleNamespace(dlopen=dlopen)))
    with pytest.raises(Error, match=r"^linux\.seccomp: cannot load library 'libseccomp\.so\.2'$"):
        compile_filter(profile(), None)


# In the kernel

PR_SET_NO_NEW_PRIVS = 38
SECCOMP_SET_MODE_FILTER = 1
SECCOMP_FILTER_FLAG_NEW_LISTENER = 1 << 3


class SockFprog(ctypes.Structure):
    """struct sock_fprog."""

    _fields_ = (("len", ctypes.c_ushort), ("filter", ctypes.c_void_p))


def in_filtered_child(compiled: Filter, act: Callable[[Any, int], int]) -> int:
    """Wait status of a child that loads the filter; `act` gets libc and seccomp(2)'s result."""
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall.restype = ctypes.c_long
    program = SockFprog(len(compiled.bpf) // 8, ctypes.cast(ctypes.c_char_p(compiled.bpf), ctypes.c_void_p))
    flags = compiled.flags | (SECCOMP_FILTER_FLAG_NEW_LISTENER if compiled.notify else 0)
    child = os.fork()
    if child == 0:
        status = 199
        try:
            libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
            result = libc.syscall(number("seccomp"), SECCOMP_SET_MODE_FILTER, flags, ctypes.byref(program))
            status = act(libc, result) if result >= 0 else 200 + ctypes.get_errno()
        finally:
            os._exit(status)
    return os.waitpid(child, 0)[1]


def test_kernel_answers_with_the_errno() -> None:
    """getppid fails, with the argument that the rule is about."""

    def act(libc: Any, _result: int) -> int:
        if libc.syscall(number("getppid"), 2) != os.getppid():
            return 1
        return ctypes.get_errno() if libc.syscall(number("getppid"), 1) == -1 else 2

    compiled = compile_filter(profile(rule("getppid", errno_ret=EACCES, args=[Arg(0, 1, "SCMP_CMP_EQ")])), None)
    assert os.waitstatus_to_exitcode(in_filtered_child(compiled, act)) == EACCES


def test_kernel_kills() -> None:
    """With SIGSYS."""
    compiled = compile_filter(profile(rule("getppid", action="SCMP_ACT_KILL_PROCESS")), None)
    status = in_filtered_child(compiled, lambda libc, _result: int(libc.syscall(number("getppid"))))
    assert os.WTERMSIG(status) == signal.SIGSYS


def known_to_the_kernel(flag: int) -> bool:
    """Flags come before the program: EFAULT for the one, EINVAL for the other."""
    libc = ctypes.CDLL(None, use_errno=True)
    flags = ctypes.c_ulong(flag | SECCOMP_FILTER_FLAG_NEW_LISTENER)
    assert libc.syscall(number("seccomp"), SECCOMP_SET_MODE_FILTER, flags, None) == -1
    return ctypes.get_errno() == errno.EFAULT


def test_kernel_takes_every_flag() -> None:
    """Together, with a listener, whose descriptor seccomp(2) returns."""
    flags = [name for name, flag in FLAGS.items() if known_to_the_kernel(flag)]
    assert "SECCOMP_FILTER_FLAG_LOG" in flags
    listening = profile(rule("acct", action="SCMP_ACT_NOTIFY"), flags=flags, listener_path="/s")
    status = in_filtered_child(
        compile_filter(listening, None),
        lambda _libc, fd: int("seccomp" not in os.readlink(f"/proc/self/fd/{fd}")),
    )
    assert os.waitstatus_to_exitcode(status) == 0


@on_x86_64
@pytest.mark.skipif(not SAMPLES, reason="no ../shared/samples beside the source tree")
def test_kernel_takes_an_engines_profile() -> None:
    """docker's, with the stub: an unknown syscall is ENOSYS, a denied one EPERM."""
    config = decode_config((SHARED / "samples" / "docker-default.config.json").read_bytes())
    assert config.linux
    assert config.linux.seccomp

    def act(libc: Any, _result: int) -> int:
        errors = []
        for nr in (number("kexec_load"), 900):
            libc.syscall(nr, 0, 0, 0, 0)
            errors.append(ctypes.get_errno())
        return int(errors != [EPERM, ENOSYS])

    assert in_filtered_child(compile_filter(config.linux.seccomp, None), act) == 0


# The cache

DENY_CHROOT = profile(rule("chroot", "no_such_call"), flags=["SECCOMP_FILTER_FLAG_LOG"])


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache with DENY_CHROOT in it."""
    path = tmp_path / "cache"
    compile_filter(DENY_CHROOT, str(path))
    return path


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[Seccomp]:
    """The profiles that are compiled, not read."""
    profiles: list[Seccomp] = []
    real = seccomp._compile

    def record(ffi: Any, library: Any, profile: Seccomp) -> Filter:
        profiles.append(profile)
        return real(ffi, library, profile)

    monkeypatch.setattr(seccomp, "_compile", record)
    return profiles


def the_entry(cache: Path) -> Path:
    (entry,) = cache.iterdir()
    return entry


def test_cached_filter_is_the_compiled_one(cache: Path, compiled: list[Seccomp]) -> None:
    """In all its parts, and without opening libseccomp."""
    assert compile_filter(DENY_CHROOT, str(cache)) == compile_filter(DENY_CHROOT, None)
    assert compiled == [DENY_CHROOT]


def test_cache_is_for_its_owner_only(cache: Path) -> None:
    """Directory 0700, files 0600, nothing else left there."""
    assert stat.S_IMODE(cache.stat().st_mode) == 0o700
    assert stat.S_IMODE(the_entry(cache).stat().st_mode) == 0o600


def test_reading_the_cache_opens_no_library(cache: Path) -> None:
    """Neither cffi nor OpenSSL's hashlib is imported."""
    program = (
        "import sys; sys.path[:0] = %r\n"
        "from lxcri.spec import Seccomp, Syscall\n"
        "from lxcri.seccomp import compile_filter\n"
        "profile = Seccomp('SCMP_ACT_ALLOW', flags=['SECCOMP_FILTER_FLAG_LOG'],"
        " syscalls=[Syscall(['chroot', 'no_such_call'], 'SCMP_ACT_ERRNO')])\n"
        "assert compile_filter(profile, %r).bpf\n"
        "print([m for m in ('_cffi_backend', 'lxcri._libseccomp', 'hashlib', 'struct') if m in sys.modules])"
    )
    paths = [str(Path(seccomp.__file__).parents[1]), str(Path(msgspec.__file__).parents[1])]
    result = subprocess.run(
        [sys.executable, "-IS", "-c", program % (paths, str(cache))],
        check=True,
        capture_output=True,
        text=True,
    )
    assert result.stdout == "[]\n"


@pytest.mark.parametrize(
    "other",
    [
        profile(rule("chroot"), flags=["SECCOMP_FILTER_FLAG_LOG"]),
        profile(rule("chroot", "no_such_call"), flags=[]),
        profile(rule("chroot", "no_such_call")),
        profile(rule("chroot", "no_such_call", errno_ret=2), flags=["SECCOMP_FILTER_FLAG_LOG"]),
        profile(rule("chroot", "no_such_call", args=[Arg(0, 0, "SCMP_CMP_EQ")]), flags=["SECCOMP_FILTER_FLAG_LOG"]),
        profile(
            rule("chroot", "no_such_call"),
            flags=["SECCOMP_FILTER_FLAG_LOG"],
            architectures=["SCMP_ARCH_X86_64" if NATIVE == X86_64 else "SCMP_ARCH_AARCH64"],
        ),
        profile(
            rule("chroot", "no_such_call"),
            flags=["SECCOMP_FILTER_FLAG_LOG"],
            default="SCMP_ACT_ERRNO",
            default_errno_ret=2,
        ),
    ],
)
def test_another_profile_is_another_entry(other: Seccomp, cache: Path, compiled: list[Seccomp]) -> None:
    """Each property that makes a filter counts."""
    compile_filter(other, str(cache))
    assert compiled == [other]
    assert len(list(cache.iterdir())) == 2


def test_default_errno_counts(tmp_path: Path) -> None:
    """Two profiles that differ in nothing else."""
    for errno_ret in (2, 3):
        denying = profile(default="SCMP_ACT_ERRNO", default_errno_ret=errno_ret)
        assert answer(compile_filter(denying, str(tmp_path / "cache")), "chroot") == ERRNO | errno_ret


def test_missing_listener_path_is_refused_in_spite_of_the_cache(tmp_path: Path) -> None:
    """With a path, the same profile was good."""
    notifying = profile(rule("chroot", action="SCMP_ACT_NOTIFY"), listener_path="/s")
    assert compile_filter(notifying, str(tmp_path / "cache")).notify
    notifying.listener_path = ""
    with pytest.raises(Error, match="listenerPath"):
        compile_filter(notifying, str(tmp_path / "cache"))


def test_no_descriptor_is_left_open(cache: Path) -> None:
    """Whether it was read, written, or not safe to use."""
    before = os.listdir("/proc/self/fd")
    compile_filter(DENY_CHROOT, str(cache))
    compile_filter(profile(), str(cache))
    cache.chmod(0o777)
    compile_filter(DENY_CHROOT, str(cache))
    assert os.listdir("/proc/self/fd") == before


def test_listener_does_not_count(tmp_path: Path, compiled: list[Seccomp]) -> None:
    """Engines put the container's name into its metadata."""
    for name in ("a", "b"):
        compile_filter(
            profile(rule("chroot"), listener_path=f"/run/{name}", listener_metadata=name),
            str(tmp_path / "cache"),
        )
    assert len(compiled) == 1


def make_writable_for_group(cache: Path) -> None:
    the_entry(cache).chmod(0o620)


def make_writable_for_others(cache: Path) -> None:
    the_entry(cache).chmod(0o602)


def make_empty(cache: Path) -> None:
    the_entry(cache).write_bytes(b"")


def cut_in_the_middle(cache: Path) -> None:
    entry = the_entry(cache)
    entry.write_bytes(entry.read_bytes()[:-9])


def make_garbage(cache: Path) -> None:
    the_entry(cache).write_bytes(b"\xff" * 100)


def make_huge(cache: Path) -> None:
    os.truncate(the_entry(cache), 1 << 30)


def replace_by_symlink(cache: Path) -> None:
    entry = the_entry(cache)
    entry.rename(cache.parent / "elsewhere")
    entry.symlink_to(cache.parent / "elsewhere")


def replace_by_fifo(cache: Path) -> None:
    entry = the_entry(cache)
    entry.unlink()
    os.mkfifo(entry, 0o600)


def rewrite(cache: Path, change: Callable[[dict[str, Any]], None]) -> None:
    entry = the_entry(cache)
    content = msgspec.msgpack.decode(entry.read_bytes())
    change(content)
    entry.write_bytes(msgspec.msgpack.encode(content))


def change_library_size(cache: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["library"][3] += 1

    rewrite(cache, change)


def remove_library(cache: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["library"][0] += b".0"

    rewrite(cache, change)


def cut_an_instruction(cache: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["filter"]["bpf"] = content["filter"]["bpf"][:-1]

    rewrite(cache, change)


def remove_all_instructions(cache: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        content["filter"]["bpf"] = b""

    rewrite(cache, change)


@pytest.mark.parametrize(
    "spoil",
    [
        make_writable_for_group,
        make_writable_for_others,
        make_empty,
        cut_in_the_middle,
        make_garbage,
        make_huge,
        replace_by_symlink,
        replace_by_fifo,
        change_library_size,
        remove_library,
        cut_an_instruction,
        remove_all_instructions,
    ],
)
def test_bad_entry_is_replaced(spoil: Callable[[Path], None], cache: Path, compiled: list[Seccomp]) -> None:
    """Compiled once more, then good again."""
    spoil(cache)
    for _ in range(2):
        assert compile_filter(DENY_CHROOT, str(cache)).unknown == ["no_such_call"]
    assert compiled == [DENY_CHROOT]
    assert stat.S_IMODE(the_entry(cache).lstat().st_mode) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away needs root")
@pytest.mark.parametrize("what", [the_entry, lambda cache: cache], ids=["entry", "directory"])
def test_what_others_own_is_not_used(what: Callable[[Path], Path], cache: Path, compiled: list[Seccomp]) -> None:
    """They could have written it."""
    os.chown(what(cache), 1, 0)
    assert compile_filter(DENY_CHROOT, str(cache)) == compile_filter(DENY_CHROOT, None)
    assert compiled == [DENY_CHROOT] * 2


@pytest.mark.parametrize("mode", [0o770, 0o707])
def test_directory_that_others_can_write_to_is_not_used(mode: int, cache: Path, compiled: list[Seccomp]) -> None:
    """Neither for reading nor for writing."""
    cache.chmod(mode)
    the_entry(cache).unlink()
    compile_filter(DENY_CHROOT, str(cache))
    assert compiled == [DENY_CHROOT]
    assert list(cache.iterdir()) == []


def test_directory_is_not_followed(cache: Path, compiled: list[Seccomp]) -> None:
    """A symbolic link in its place is as good as no cache."""
    link = cache.parent / "link"
    link.symlink_to(cache)
    compile_filter(DENY_CHROOT, str(link))
    assert compiled == [DENY_CHROOT]


def test_cache_that_cannot_be_made_is_no_error(tmp_path: Path) -> None:
    """No parent directory, or a file in its place."""
    (tmp_path / "file").touch()
    for path in (tmp_path / "none" / "cache", tmp_path / "file"):
        assert compile_filter(DENY_CHROOT, str(path)) == compile_filter(DENY_CHROOT, None)
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_full_cache_is_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Else profiles made for one container each would fill /run."""
    monkeypatch.setattr(seccomp, "_MAX_ENTRIES", 3)
    sizes = []
    for errno_ret in range(1, 6):
        compile_filter(profile(rule("chroot", errno_ret=errno_ret)), str(tmp_path / "cache"))
        sizes.append(len(list((tmp_path / "cache").iterdir())))
    assert sizes == [1, 2, 3, 1, 2]


def test_writers_at_the_same_time_do_not_meet(tmp_path: Path) -> None:
    """Nobody reads half an entry, or fails because another one cleared the cache."""
    cache = tmp_path / "cache"
    expected = compile_filter(DENY_CHROOT, None)
    children = []
    for _ in range(8):
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for _ in range(10):
                    assert compile_filter(DENY_CHROOT, str(cache)) == expected
                    for entry in cache.iterdir():
                        entry.unlink(missing_ok=True)
                status = 0
            finally:
                os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8
    assert list(cache.iterdir()) == []
