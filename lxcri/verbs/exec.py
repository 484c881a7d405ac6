"""`exec`: run another process in a container."""

from __future__ import annotations

import os

from .. import linux
from ..bundle import load_execution
from ..compile import compile_execution
from ..errors import Error, reason
from ..execution import Execution
from ..host import gather_host
from ..spec import Box, Capabilities, Process, Spec, decode_config, decode_process
from ..state import Entry, open_init, status
from .create import OWN_TERMINAL, check_preserved, connect_console, send_pidfd, write_pid_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..cgroup.writable import WritableCgroup
    from ..context import Context
    from ..terminal import Terminal

REFUSED = ("creating", "stopped")
ID_MAX = 2**32 - 1


def run(
    ctx: Context,
    *,
    id: str,
    args: list[str],
    process: str | None,
    cwd: str | None,
    env: list[str],
    tty: bool,
    user: str | None,
    additional_gids: list[str],
    cap: list[str],
    console_socket: str | None,
    pidfd_socket: str | None,
    detach: bool,
    pid_file: str | None,
    process_label: str | None,
    apparmor: str | None,
    no_new_privs: bool,
    preserve_fds: int,
    ignore_paused: bool,
    cgroup: list[str],
) -> int:
    """Run a process in a container; in the foreground the exit status is the process's, 128+n if signal n killed it."""
    with Entry.open(ctx.root, id) as entry:
        state = entry.load()
        current = status(entry, state)
        if state is None or current in REFUSED:
            raise Error(f"cannot exec in a {current} container")
        if current == "paused" and not ignore_paused:
            raise Error("cannot exec in a paused container (use --ignore-paused to override)")
        init = open_init(state)
        if init is None:
            raise Error("cannot exec in a stopped container")
        spec = decode_config(entry.read("config.json"))
        if process is not None:
            spec.process = read_process(process, spec.process)
        else:
            spec.process = change_process(
                spec, args, cwd, env, tty, user, additional_gids, cap, process_label, apparmor, no_new_privs
            )
        terminal: Terminal | None = None
        if not detach:
            if console_socket:
                raise Error(OWN_TERMINAL)
            if spec.process.terminal:
                from ..terminal import Terminal

                terminal = Terminal()
                spec.process.console_size = Box(*terminal.size())
        request = load_execution(ctx, entry, state, preserve_fds)
        check_preserved(request.preserve_fds)
        plan = compile_execution(spec, request, gather_host(spec, request))
        for warning in plan.warnings:
            ctx.log.warn(warning)
        console = terminal.socket if terminal else connect_console(ctx, spec, console_socket)
        signals = None
        if not detach:
            from ..foreground import Signals

            signals = Signals()  # those that come before the program runs are for it too
            linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
        execution = Execution(ctx, plan, state, init)
        execution.start(spec.process, container_cgroup(state.cgroup, cgroup), console)
        try:
            pidfd = os.pidfd_open(execution.pid)
            if pid_file:
                write_pid_file(pid_file, execution.pid)
            if pidfd_socket:
                send_pidfd(ctx, pidfd_socket, pidfd)
        except BaseException:
            execution.end()  # its caller would never know of it
            raise
    if signals is None:
        return 0
    from ..foreground import wait_for

    try:
        if terminal:
            terminal.receive()
        return wait_for(execution.pid, pidfd, signals, terminal)
    finally:
        if terminal:
            terminal.restore()


def container_cgroup(record: list[str], within: list[str]) -> WritableCgroup | None:
    """The container's cgroup, or, by `--cgroup [CONTROLLER[,...]:]PATH`, others below it."""
    from ..cgroup.writable import WritableCgroup

    if not record:
        return None
    cgroup = WritableCgroup.from_record(record)
    for option in within:
        controllers, colon, path = option.rpartition(":")
        if ".." in path.split("/"):
            raise Error(f"--cgroup {option}: not below the container's cgroup")
        for controller in controllers.split(",") if colon else list(cgroup.dirs):
            if controller not in cgroup.dirs:
                raise Error(f"--cgroup {option}: the container has no cgroup of controller {controller}")
            cgroup.dirs[controller] += f"/{path.strip('/')}" if path.strip("/") else ""
    return cgroup


INHERITED = ("capabilities", "oom_score_adj", "selinux_label")
"""What is the container's where a process document says nothing of it, as with runc."""


def read_process(path: str, of_container: Process | None) -> Process:
    """The process object in a file; raises Error."""
    try:
        with open(path, "rb", 0) as file:
            process = decode_process(file.readall())
    except OSError as e:
        raise Error(f"{path}: {reason(e)}") from e
    for name in INHERITED:
        if getattr(process, name) in (None, ""):
            setattr(process, name, getattr(of_container, name, None))
    return process


def change_process(
    spec: Spec,
    args: list[str],
    cwd: str | None,
    env: list[str],
    tty: bool,
    user: str | None,
    additional_gids: list[str],
    cap: list[str],
    process_label: str | None,
    apparmor: str | None,
    no_new_privs: bool,
) -> Process:
    """The container's own process with what the options change."""
    process = spec.process
    assert process is not None
    if not args:
        raise Error("the command to execute is missing")
    process.args = args
    process.terminal = tty
    process.cwd = cwd or process.cwd
    process.env = process.env + env
    process.selinux_label = process_label or process.selinux_label
    process.apparmor_profile = apparmor or process.apparmor_profile
    process.no_new_privileges = no_new_privs or process.no_new_privileges
    if user is not None:
        uid, colon, gid = user.partition(":")
        process.user.uid = number(uid, f"--user {user}")
        process.user.gid = number(gid, f"--user {user}") if colon else process.user.gid
    process.user.additional_gids += [number(gid, f"--additional-gids {gid}") for gid in additional_gids]
    if cap:
        capabilities = process.capabilities or Capabilities()
        for name in RAISED:
            setattr(capabilities, name, getattr(capabilities, name) + cap)
        process.capabilities = capabilities
    return process


RAISED = ("bounding", "effective", "permitted")
"""The sets that `--cap` adds to."""


def number(text: str, subject: str) -> int:
    """A user or group id; raises Error."""
    digits = text.lstrip("0") or text[:1]
    if not (digits.isascii() and digits.isdigit() and len(digits) <= len(str(ID_MAX)) and int(digits) <= ID_MAX):
        raise Error(f'{subject}: "{text}" is not an id')
    return int(digits)
