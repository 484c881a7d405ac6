"""config.json's linux.seccomp."""

from __future__ import annotations

import errno
import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from oci.bundle import Bundle


def profile(bundle: Bundle, *rules: dict[str, Any], default: str = "SCMP_ACT_ALLOW", **more: Any) -> None:
    """Set linux.seccomp."""
    bundle.linux["seccomp"] = {"defaultAction": default, "syscalls": list(rules), **more}


def probe(bundle: Bundle, *call: str) -> str:
    """What one system call does: 'ok VALUE' or 'errno NUMBER'."""
    return bundle.run("/bin/probe", *call).ok().stdout.strip()


@pytest.mark.parametrize("no_new_privileges", [True, False])
@pytest.mark.parametrize("uid", [0, 1000])
def test_errno(bundle: Bundle, no_new_privileges: bool, uid: int) -> None:
    """seed: configureContainer: lxc.seccomp.profile: EPERM, with and without noNewPrivileges."""
    profile(bundle, {"names": ["sync"], "action": "SCMP_ACT_ERRNO"})
    bundle.process["noNewPrivileges"] = no_new_privileges
    bundle.process["user"] = {"uid": uid, "gid": uid}
    assert probe(bundle, "sync") == f"errno {errno.EPERM}"
    assert "Seccomp:\t2\n" in bundle.sh("cat /proc/self/status")


def test_errno_ret(bundle: Bundle) -> None:
    """The value of errnoRet, 0 included."""
    profile(
        bundle,
        {"names": ["sync"], "action": "SCMP_ACT_ERRNO", "errnoRet": errno.ENOSYS},
        {"names": ["personality"], "action": "SCMP_ACT_ERRNO", "errnoRet": 0},
    )
    assert probe(bundle, "sync") == f"errno {errno.ENOSYS}"
    assert probe(bundle, "personality", "0x0008") == "ok 0"


def test_what_is_not_named_is_allowed(bundle: Bundle) -> None:
    """The default action."""
    profile(bundle, {"names": ["sync"], "action": "SCMP_ACT_ERRNO"})
    assert probe(bundle, "personality", "0xffffffff") == "ok 0"


# enough for the probe to start and to print
NEEDED = [
    "arch_prctl", "brk", "execve", "exit", "exit_group", "fstat", "futex", "getrandom", "mmap", "mprotect",
    "munmap", "newfstatat", "prlimit64", "read", "readlink", "readlinkat", "rseq", "rt_sigaction",
    "rt_sigprocmask", "rt_sigreturn", "set_robust_list", "set_tid_address", "write", "writev", "capget",
    "capset", "chdir", "close", "close_range", "dup3", "fchdir", "fcntl", "fstatfs", "getcwd", "getdents64",
    "getpid", "getppid", "gettid", "nanosleep", "openat", "openat2", "prctl", "setgid", "setgroups",
    "setuid", "setresuid", "setresgid", "stat", "statfs", "tgkill", "umask", "getuid", "epoll_ctl",
    "epoll_pwait", "epoll_create1", "eventfd2", "pipe2", "sched_yield", "sched_getaffinity", "sigaltstack",
    "clone", "madvise", "access", "faccessat", "faccessat2", "execveat", "getegid", "geteuid", "getgid",
    "lseek", "ioctl", "recvmsg", "sendmsg", "poll", "ppoll", "dup2", "open", "clock_gettime", "setsid",
    "unlinkat", "sendto", "recvfrom",
]  # fmt: skip


def test_default_errno_ret(bundle: Bundle) -> None:
    """An allow-list whose default is an error of one's choice."""
    profile(
        bundle,
        {"names": NEEDED, "action": "SCMP_ACT_ALLOW"},
        default="SCMP_ACT_ERRNO",
        defaultErrnoRet=errno.ENOSYS,
    )
    assert probe(bundle, "sync") == f"errno {errno.ENOSYS}"


@pytest.mark.parametrize("action", ["SCMP_ACT_KILL", "SCMP_ACT_KILL_PROCESS", "SCMP_ACT_KILL_THREAD"])
def test_kill(bundle: Bundle, action: str) -> None:
    """SIGSYS ends the process."""
    profile(bundle, {"names": ["sync"], "action": action})
    container = bundle.container("/bin/probe", "sync").up()
    assert container.wait() == -signal.SIGSYS


def test_trap(bundle: Bundle) -> None:
    """SIGSYS, without a handler the same as kill."""
    profile(bundle, {"names": ["sync"], "action": "SCMP_ACT_TRAP"})
    assert bundle.container("/bin/probe", "sync").up().wait() == -signal.SIGSYS


def test_trace_without_a_tracer(bundle: Bundle) -> None:
    """ENOSYS."""
    profile(bundle, {"names": ["sync"], "action": "SCMP_ACT_TRACE", "errnoRet": 1})
    assert probe(bundle, "sync") == f"errno {errno.ENOSYS}"


def test_log(bundle: Bundle) -> None:
    """Allowed, and logged by the kernel."""
    profile(bundle, {"names": ["sync"], "action": "SCMP_ACT_LOG"})
    assert probe(bundle, "sync") == "ok 0"


@pytest.mark.parametrize(
    ("operator", "values", "blocked", "allowed"),
    [
        ("SCMP_CMP_EQ", (2, 0), "2", "3"),
        ("SCMP_CMP_NE", (2, 0), "3", "2"),
        ("SCMP_CMP_LT", (2, 0), "1", "2"),
        ("SCMP_CMP_LE", (2, 0), "2", "3"),
        ("SCMP_CMP_GT", (2, 0), "3", "2"),
        ("SCMP_CMP_GE", (2, 0), "2", "1"),
        ("SCMP_CMP_MASKED_EQ", (6, 2), "3", "7"),
    ],
)
def test_condition_on_an_argument(
    bundle: Bundle, operator: str, values: tuple[int, int], blocked: str, allowed: str
) -> None:
    """Each operator; lseek on a descriptor that is not open tells EBADF when it is let through."""
    condition = {"index": 2, "value": values[0], "valueTwo": values[1], "op": operator}
    profile(bundle, {"names": ["lseek"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99, "args": [condition]})
    assert probe(bundle, "lseek", "77", "0", blocked) == "errno 99"
    assert probe(bundle, "lseek", "77", "0", allowed) == f"errno {errno.EBADF}"


def test_conditions_on_several_arguments_are_anded(bundle: Bundle) -> None:
    """All of one rule must hold."""
    conditions = [
        {"index": 0, "value": 77, "op": "SCMP_CMP_EQ"},
        {"index": 1, "value": 5, "op": "SCMP_CMP_GT"},
    ]
    profile(bundle, {"names": ["lseek"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99, "args": conditions})
    assert probe(bundle, "lseek", "77", "6", "0") == "errno 99"
    assert probe(bundle, "lseek", "77", "5", "0") == f"errno {errno.EBADF}"
    assert probe(bundle, "lseek", "78", "6", "0") == f"errno {errno.EBADF}"


def test_rules_on_one_syscall_are_ored(bundle: Bundle) -> None:
    """Two rules: either is enough."""
    rules = [
        {
            "names": ["lseek"],
            "action": "SCMP_ACT_ERRNO",
            "errnoRet": 99,
            "args": [{"index": 0, "value": number, "op": "SCMP_CMP_EQ"}],
        }
        for number in (77, 78)
    ]
    profile(bundle, *rules)
    assert probe(bundle, "lseek", "77", "0", "0") == "errno 99"
    assert probe(bundle, "lseek", "78", "0", "0") == "errno 99"
    assert probe(bundle, "lseek", "79", "0", "0") == f"errno {errno.EBADF}"


def test_wide_values(bundle: Bundle) -> None:
    """64 bits are compared."""
    condition = {"index": 1, "value": 2**40 + 1, "op": "SCMP_CMP_EQ"}
    profile(bundle, {"names": ["lseek"], "action": "SCMP_ACT_ERRNO", "errnoRet": 99, "args": [condition]})
    assert probe(bundle, "lseek", "77", str(2**40 + 1), "0") == "errno 99"
    assert probe(bundle, "lseek", "77", "1", "0") == f"errno {errno.EBADF}"


def test_several_architectures(bundle: Bundle) -> None:
    """A profile for all that the machine runs, as engines write it."""
    rule = {"names": ["sync"], "action": "SCMP_ACT_ERRNO"}
    machines = {
        "x86_64": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "aarch64": ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
    }
    machine = os.uname().machine
    if machine not in machines:
        pytest.skip(f"no list of architectures for {machine}")
    profile(bundle, rule, architectures=machines[machine])
    assert probe(bundle, "sync") == f"errno {errno.EPERM}"


def test_unknown_syscall_is_ignored(bundle: Bundle) -> None:
    """Profiles name calls of newer kernels and other architectures."""
    profile(bundle, {"names": ["no_such_call", "sync"], "action": "SCMP_ACT_ERRNO"})
    assert probe(bundle, "sync") == f"errno {errno.EPERM}"


def test_profile_without_rules(bundle: Bundle) -> None:
    """Default allow, nothing else: the container runs."""
    profile(bundle)
    assert probe(bundle, "sync") == "ok 0"


def test_no_profile_means_no_filter(bundle: Bundle) -> None:
    """Seccomp: 0 in /proc/self/status."""
    assert "Seccomp:\t0\n" in bundle.sh("cat /proc/self/status")


def test_unknown_action_is_an_error(bundle: Bundle) -> None:
    """Named, with its place."""
    profile(bundle, {"names": ["sync"], "action": "SCMP_ACT_SHRUG"})
    bundle.run().refused("SCMP_ACT_SHRUG", where="linux.seccomp.syscalls[0].action")


def test_unknown_operator_is_an_error(bundle: Bundle) -> None:
    """Named, with its place."""
    condition = {"index": 0, "value": 1, "op": "SCMP_CMP_ISH"}
    profile(bundle, {"names": ["sync"], "action": "SCMP_ACT_ERRNO", "args": [condition]})
    bundle.run().refused("SCMP_CMP_ISH", where="linux.seccomp.syscalls[0].args[0].op")


def test_unknown_architecture_is_an_error(bundle: Bundle) -> None:
    """Named, with its place."""
    profile(bundle, architectures=["SCMP_ARCH_ABACUS"])
    bundle.run().refused("SCMP_ARCH_ABACUS", where="linux.seccomp.architectures[0]")


def test_filter_does_not_hinder_the_runtime(bundle: Bundle) -> None:
    """What is forbidden to the process is not forbidden to what prepares it, with noNewPrivileges."""
    names = [
        "setuid",
        "setgid",
        "setgroups",
        "setresuid",
        "setresgid",
        "capset",
        "mount",
        "umount2",
        "chdir",
        "fchdir",
    ]
    profile(bundle, {"names": names, "action": "SCMP_ACT_ERRNO"})
    bundle.process["noNewPrivileges"] = True
    bundle.process["user"] = {"uid": 1000, "gid": 1000, "additionalGids": [5]}
    out = bundle.run("/bin/grep", "-E", "^(Uid|Groups):", "/proc/self/status").ok().stdout
    assert out.split() == ["Uid:", "1000", "1000", "1000", "1000", "Groups:", "5"]
