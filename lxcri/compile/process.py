"""config.md, "Process": what is done in the last steps before the user's program, and its surroundings."""

from .. import notify
from ..errors import Error
from ..plan import Builder, Instruction
from ..spec import Process, Spec
from .capabilities import capability_masks
from .mounts import NOTIFY_PLACE
from .namespaces import NO_ID, host_id, id_mappings, is_new, is_present
from .request import Host, Request
from .scheduling import compile_scheduling

RLIMITS = {
    # asm-generic/resource.h
    "RLIMIT_CPU": 0,
    "RLIMIT_FSIZE": 1,
    "RLIMIT_DATA": 2,
    "RLIMIT_STACK": 3,
    "RLIMIT_CORE": 4,
    "RLIMIT_RSS": 5,
    "RLIMIT_NPROC": 6,
    "RLIMIT_NOFILE": 7,
    "RLIMIT_MEMLOCK": 8,
    "RLIMIT_AS": 9,
    "RLIMIT_LOCKS": 10,
    "RLIMIT_SIGPENDING": 11,
    "RLIMIT_MSGQUEUE": 12,
    "RLIMIT_NICE": 13,
    "RLIMIT_RTPRIO": 14,
    "RLIMIT_RTTIME": 15,
}

DEFAULT_UMASK = 0o022

SIZE_MAX = 0xFFFF
"""Rows or columns of a terminal (ioctl_tty(2))."""


def unique_environment(env: list[str]) -> list[str]:
    """process.env with the last of several values of one variable, at the place of the first."""
    values: dict[str, str] = {}
    for i, entry in enumerate(env):
        name, equals, _ = entry.partition("=")
        if not equals or not name:
            raise Error(f'process.env[{i}]: "{entry}" is not of the form name=value')
        values[name] = entry
    return list(values.values())


def compile_process(
    builder: Builder, spec: Spec, request: Request, host: Host, *, console: int, first: bool = True
) -> None:
    """
    Instructions for the process: the container's first one, or another.

    `console` is the handle of the console socket; preserved descriptors come after it.
    """
    process = spec.process
    assert process is not None
    if not process.args:
        raise Error("process.args: empty")
    if not process.cwd.startswith("/"):
        raise Error(f'process.cwd "{process.cwd}": cwd must be an absolute path')
    if process.terminal:
        size = process.console_size
        rows, columns = (size.height, size.width) if size else (0, 0)
        if max(rows, columns) > SIZE_MAX:
            raise Error(f"process.consoleSize: {max(rows, columns)} is more than {SIZE_MAX}")
        builder.add("root", "console", "process.terminal", console, rows, columns, process.user.uid, first)
    if not request.session_keyring:
        # A new one is liblxc's default. Against its manual, 1 is what keeps the caller's (confile.c sets
        # keyring_disable_session by it).
        builder.item("lxc.keyring.session", 1)
    if process.oom_score_adj is not None:
        if not -1000 <= process.oom_score_adj <= 1000:
            raise Error(f"process.oomScoreAdj: {process.oom_score_adj} is not between -1000 and 1000")
        builder.item("lxc.proc.oom_score_adj", process.oom_score_adj)
    _check_user(spec, process, host)
    _compile_program(builder, process, request)
    _compile_rlimits(builder, process)
    umask = DEFAULT_UMASK if process.user.umask is None else process.user.umask
    builder.add("start", "umask", "process.user.umask", umask)
    _compile_labels(builder, process, request, host)
    compile_scheduling(builder, spec)
    _compile_privileges(builder, spec, process, request, host, console + process.terminal)


def _check_user(spec: Spec, process: Process, host: Host) -> None:
    """Raise Error for ids that do not exist, or not in the container's user namespace."""
    user = process.user
    uids, gids = id_mappings(spec, host)
    groups = [(f"additionalGids[{i}]", gid, gids) for i, gid in enumerate(user.additional_gids)]
    for name, number, mappings in (("uid", user.uid, uids), ("gid", user.gid, gids), *groups):
        if number == NO_ID:
            raise Error(f"process.user.{name}: {number} is no id")
        # of a joined namespace that cannot be looked into there are none, which is an error of its own
        if is_present(spec, "user") and mappings and host_id(mappings, number) < 0:
            raise Error(f"process.user.{name}: {number} has no mapping in the user namespace")


def _compile_program(builder: Builder, process: Process, request: Request) -> None:
    env = unique_environment(process.env)
    if request.listen_fds:
        env = [e for e in env if not e.startswith(("LISTEN_FDS=", "LISTEN_PID="))]
        env += [f"LISTEN_FDS={request.listen_fds}", "LISTEN_PID=1"]
    if request.notify:
        env = [e for e in env if not e.startswith("NOTIFY_SOCKET=")]
        env.append(f"NOTIFY_SOCKET={NOTIFY_PLACE}/{notify.SOCKET}")
    env = [e for e in env if e != "HOME="]  # which counts as unset
    builder.add("ready", "arguments", "process.args", process.args)
    builder.add("ready", "environment", "process.env", env)
    if not any(e.startswith("HOME=") for e in env):
        builder.add("ready", "home", "process.user", process.user.uid)
    builder.add("ready", "cwd", f'process.cwd "{process.cwd}"', process.cwd)
    builder.add("ready", "find_executable", "process.args")


def _compile_rlimits(builder: Builder, process: Process) -> None:
    seen: set[str] = set()
    for i, rlimit in enumerate(process.rlimits):
        subject = f"process.rlimits[{i}]"
        if rlimit.type not in RLIMITS:
            raise Error(f'{subject}: type "{rlimit.type}" does not exist')
        if rlimit.type in seen:
            raise Error(f"{subject}: a second {rlimit.type}")
        seen.add(rlimit.type)
        if rlimit.soft > rlimit.hard:
            raise Error(f"{subject} {rlimit.type}: the soft limit is above the hard one")
        builder.add("start", "rlimit", f"{subject} {rlimit.type}", RLIMITS[rlimit.type], rlimit.soft, rlimit.hard)


def _compile_labels(builder: Builder, process: Process, request: Request, host: Host) -> None:
    # unset means liblxc's own default profile, which it would demand to be loaded
    builder.item("lxc.apparmor.profile", "unconfined")
    if not request.apparmor:
        builder.warn("apparmor is switched off: process.apparmorProfile is not applied")
    elif process.apparmor_profile:
        if "apparmor" not in host.lsm:
            raise Error("process.apparmorProfile: apparmor is not enabled in this kernel")
        subject = f'process.apparmorProfile "{process.apparmor_profile}"'
        builder.add("start", "apparmor", subject, f"exec {process.apparmor_profile}")
    if process.selinux_label:
        if "selinux" not in host.lsm:
            raise Error("process.selinuxLabel: selinux is not enabled in this kernel")
        subject = f'process.selinuxLabel "{process.selinux_label}"'
        builder.add("start", "selinux", subject, process.selinux_label)


def _compile_privileges(
    builder: Builder, spec: Spec, process: Process, request: Request, host: Host, preserved: int
) -> None:
    """
    From here on every step takes something away that an earlier one needed.

    With noNewPrivileges the filter comes last, and has to allow execve alone. Without, the kernel wants CAP_SYS_ADMIN
    for it, so it must come before the capabilities go; but after the change of user, which it may forbid.
    """
    grantable = (1 << host.last_capability + 1) - 1
    if not is_new(spec, "user"):
        grantable &= host.capabilities
    masks = capability_masks(builder, process.capabilities, grantable)
    user = process.user
    if request.capabilities:
        builder.add("start", "bounding", "process.capabilities.bounding", masks["bounding"])
    else:
        builder.warn("capabilities are switched off: the container keeps those of the runtime")
    builder.add("start", "user", f"process.user {user.uid}:{user.gid}", user.uid, user.gid, user.additional_gids)
    if request.preserve_fds:
        builder.add("start", "preserve", "preserved descriptors", preserved, request.preserve_fds)
    if process.no_new_privileges:
        builder.add("start", "no_new_privs", "process.noNewPrivileges")
    last: list[Instruction] = []
    if spec.linux is not None and spec.linux.seccomp is not None:
        if request.seccomp:
            last.append(("seccomp", "linux.seccomp", (0, b"")))  # the filter is not compiled yet
        else:
            builder.warn("seccomp is switched off: linux.seccomp is not applied")
    if request.capabilities:
        sets = tuple(masks[name] for name in ("effective", "permitted", "inheritable", "ambient"))
        last.insert(0 if process.no_new_privileges else len(last), ("capabilities", "process.capabilities", sets))
    builder.stages["start"] += [("handover", "", ()), *last, ("execute", "process.args", ())]
