"""`create`: everything but the user's program (runtime.md, "Create")."""

from __future__ import annotations

import _socket
import os
import time

from .. import notify, timeline
from ..channel import set_send_timeout
from ..errors import Error, reason
from ..starter import Starter
from ..state import CONFIG_FILE_ANNOTATION, Entry, State, boot_id

# What reads the spec is imported once the starter is on its way.

OWN_TERMINAL = "--console-socket: in the foreground the terminal is the caller's own"

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from ..compile.request import Request
    from ..context import Context
    from ..plan import Plan
    from ..spec import Spec


def run(
    ctx: Context,
    *,
    id: str,
    bundle: str,
    pid_file: str | None,
    console_socket: str | None,
    pidfd_socket: str | None,
    no_pivot: bool,
    no_new_keyring: bool,
    preserve_fds: int,
) -> int:
    """Create a container, which then waits for `start`."""
    check_options(no_pivot, preserve_fds)
    with Entry.claim(ctx.root, id) as entry:
        make(
            ctx,
            entry,
            lambda spec: connect_console(ctx, spec, console_socket),
            bundle=bundle,
            pid_file=pid_file,
            pidfd_socket=pidfd_socket,
            preserve_fds=preserve_fds,
            session_keyring=not no_new_keyring,
        )
    return 0


def check_options(no_pivot: bool, preserve_fds: int) -> None:
    """Raise Error for options that cannot be had; call it before any descriptor is opened."""
    if no_pivot:
        raise Error("--no-pivot: liblxc always uses pivot_root; a root file system on a ramfs is not supported")
    check_preserved(preserve_fds + notify.listen_fds())


def make(
    ctx: Context,
    entry: Entry,
    console_of: Callable[[Spec], _socket.socket | None],
    *,
    bundle: str,
    pid_file: str | None,
    pidfd_socket: str | None,
    preserve_fds: int,
    session_keyring: bool,
) -> tuple[State, int]:
    """
    Create a container in its claimed directory; return its state and a pidfd of its init.

    console_of: opens the socket that the master of its terminal is sent over, None for a spec without one

    Raises Error; then the directory is gone, unless something of the container could not be removed.
    """
    console = None
    starter = None
    try:
        starter = Starter(entry.id, entry)
        timeline.mark("fork")
        from ..bundle import load_bundle

        timeline.mark("import of msgspec and the compiler")
        spec, request = load_bundle(
            ctx,
            id=entry.id,
            bundle=bundle,
            directory=entry.path,
            preserve_fds=preserve_fds,
            session_keyring=session_keyring,
        )
        console = console_of(spec)
        return create(ctx, entry, spec, request, starter, console, pid_file, pidfd_socket)
    except LeftoverError:
        raise
    except BaseException:
        if starter:
            starter.discard()
        entry.remove()
        raise
    finally:
        if console:
            console.close()


def create(
    ctx: Context,
    entry: Entry,
    spec: Spec,
    request: Request,
    starter: Starter,
    console: _socket.socket | None,
    pid_file: str | None,
    pidfd_socket: str | None,
) -> tuple[State, int]:
    """Create the container of this spec in its claimed directory; return its state and a pidfd of its init."""
    from ..compile import compile_plan
    from ..host import prepare_host
    from ..launch import Launch

    timeline.mark("bundle, import of the rest")
    uid = os.getuid()  # which may be another one in a moment
    host = prepare_host(ctx, spec, request)
    starter.follow()
    timeline.mark("facts about the host")
    plan = compile_plan(spec, request, host)
    timeline.mark("compile")
    for warning in plan.warnings:
        ctx.log.warn(warning)
    launch = Launch(ctx, plan, entry, host.layout, starter)
    state = None
    try:
        launch.begin()
        timeline.mark("orders to liblxc's process")
        # What takes time and liblxc's process does not need comes from here on: it has started.
        state = new_state(entry, spec, request, plan, owner(uid))
        write_documents(entry, spec, plan)
        timeline.mark("documents")
        if request.notify:
            os.mkdir(notify.DIRECTORY, 0o755, dir_fd=entry.fd)
        launch.start(state, console)
        if pid_file:
            write_pid_file(pid_file, state.pid)
        if pidfd_socket:
            send_pidfd(ctx, pidfd_socket, launch.pidfd)
        launch.commit()
    except BaseException as e:
        try:
            launch.abort()
        except (Error, OSError) as left:
            raise LeftoverError(f"{str(e) or 'interrupted'}; {left}") from e
        if state and state.poststop and state.pid:  # there was a container, maybe hooks have set up something for it
            from ..hooks import run_poststop

            entry.hide()  # it is gone when they run
            run_poststop(ctx, entry, state)
        raise
    return state, launch.pidfd


def new_state(entry: Entry, spec: Spec, request: Request, plan: Plan, creator: str) -> State:
    """The state of a container that has no process yet; its spec is annotated with where liblxc's items will be."""
    import msgspec

    annotations = {name: text for name, text in spec.annotations.items() if name != CONFIG_FILE_ANNOTATION}
    spec.annotations = {**annotations, CONFIG_FILE_ANNOTATION: f"{entry.path}/config"}
    return State(
        id=request.id,
        oci_version=spec.oci_version,
        bundle=request.bundle,
        rootfs=request.rootfs,
        pid=0,
        start_time=0,
        created=now(),
        boot_id=boot_id(),
        owner=creator,
        annotations=msgspec.json.encode(annotations).decode(),
        config_file=f"{entry.path}/config",
        listener_path=(plan.seccomp.listener_path or "") if plan.seccomp else "",
        listener_metadata=(plan.seccomp.listener_metadata or "") if plan.seccomp else "",
        poststart=bool(spec.hooks and spec.hooks.poststart),
        poststop=bool(spec.hooks and spec.hooks.poststop),
    )


class LeftoverError(Error):
    """A container could neither be created nor be removed: its directory stays, for `delete --force`."""


def write_documents(entry: Entry, spec: Spec, plan: Plan) -> None:
    """What hooks and people may read: liblxc's items as a config file, the spec as it is applied, its hooks."""
    from ..spec import encode

    entry.write(
        "config", "".join([f"{key} = {value}\n" for key, value in plan.items]).encode("utf-8", "surrogateescape")
    )
    entry.write("config.json", encode(spec))
    entry.write("hooks.json", encode(spec.hooks) if spec.hooks else b"{}")


def now() -> str:
    """The moment in UTC, as RFC 3339 with nanoseconds."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{nanoseconds:09d}Z"


def owner(uid: int) -> str:
    """Name of the user who creates the container, the number where there is none."""
    from ..procfs import read_text

    # What the C library does to look a user up takes ten times as long as this file, which nearly always comes first.
    for line in read_text("/etc/passwd").splitlines():
        name, *fields = line.split(":")
        if fields[1:2] == [str(uid)] and name[:1] not in ("+", "-"):  # those are of NIS
            return name
    import pwd

    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def check_preserved(count: int) -> None:
    """Raise Error unless the descriptors that the container is to keep, this many from 3 on, are open."""
    for fd in range(3, 3 + count):
        try:
            passed = os.get_inheritable(fd)  # which our own ones are not
        except OSError:
            passed = False
        if not passed:
            raise Error(f"--preserve-fds {count}: descriptor {fd} is not open")


def connect_console(ctx: Context, spec: Spec, path: str | None) -> _socket.socket | None:
    """The socket to send the terminal's master over, where the container has a terminal; raises Error."""
    terminal = spec.process is not None and spec.process.terminal
    if terminal and not path:
        raise Error("process.terminal: cannot allocate a terminal without a console socket (--console-socket)")
    if path and not terminal:
        raise Error("process.terminal: cannot use a console socket without a terminal")
    return connect(ctx, path, "--console-socket") if path else None


def connect(ctx: Context, path: str, option: str) -> _socket.socket:
    """A connection to the unix socket at path, however long that is; raises Error, after a time too."""
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    set_send_timeout(connection, ctx.timeout)
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
        try:
            connection.connect(f"/proc/self/fd/{fd}")
        finally:
            os.close(fd)
    except BlockingIOError:  # more connections wait than its queue holds, and nobody takes any
        connection.close()
        raise Error(f"{option} {path}: nobody took the connection within {ctx.timeout:g} seconds") from None
    except OSError as e:
        connection.close()
        raise Error(f"{option} {path}: {reason(e)}") from e
    return connection


def send_pidfd(ctx: Context, path: str, pidfd: int) -> None:
    """Send a pidfd of init over the unix socket at path; raises Error."""
    from sys import byteorder

    connection = connect(ctx, path, "--pidfd-socket")
    try:
        control = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, pidfd.to_bytes(4, byteorder))]
        connection.sendmsg([b"pidfd"], control)
    except OSError as e:
        raise Error(f"--pidfd-socket {path}: {reason(e)}") from e
    finally:
        connection.close()


def write_pid_file(path: str, pid: int) -> None:
    """Write the pid as the whole of a file, which never is there half written; raises Error, and then leaves none."""
    directory, name = os.path.split(path)
    temporary = os.path.join(directory, f".{name}")
    try:
        fd = _new_file(temporary)
        try:
            os.write(fd, str(pid).encode())
            os.rename(temporary, path)
        except OSError:
            os.unlink(temporary)
            raise
        finally:
            os.close(fd)
    except OSError as e:
        raise Error(f"--pid-file {path}: {reason(e)}") from e


def _new_file(path: str) -> int:
    """A file that was not there: what has its name was left by a runtime that was killed, or is somebody's link."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return os.open(path, flags, 0o644)
    except FileExistsError:
        os.unlink(path)
        return os.open(path, flags, 0o644)
