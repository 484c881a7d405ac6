"""Carrying out a Plan: the one place that has liblxc create a container."""

from __future__ import annotations

import _socket
import os

from . import program, timeline
from .channel import CONTINUE, HELLO, HOOK, PLACED, READY, SAVED, ClosedError
from .compile.namespaces import TYPES
from .errors import Error, reason
from .procfs import parent_pid
from .sealed import sealed_memory
from .starter import KILLED, Orders
from .state import oci_state_json, process_start_time, wait_exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal

    from .cgroup.layout import Layout
    from .cgroup.systemd import Systemd
    from .cgroup.unit import Unit
    from .cgroup.writable import WritableCgroup
    from .context import Context
    from .plan import Plan
    from .resctrl import Group
    from .starter import Starter
    from .state import Entry, State
else:
    import _signal  # not `signal`, which imports enum

SECCOMP_CACHE = "@seccomp"
"""In the state root, where "@" begins the names that are no container's."""
GLANCE_SECONDS = 0.25
"""After which to look, and look again, whether liblxc waits for a child that is dead: in the middle of some of their
handshakes it does so for ever."""
DEATH_SECONDS = 5.0
OTHER_DESCRIPTORS = 64
"""How many, beside those of mount sources, this process and the helper have open; ample."""


def encode_program(ctx: Context, plan: Plan) -> bytes:
    """The plan's program, with the compiled filter in its place."""
    stages = dict(plan.program)
    if plan.seccomp is not None:
        from .seccomp import NEW_LISTENER, compile_filter

        compiled = compile_filter(plan.seccomp, f"{ctx.root}/{SECCOMP_CACHE}")
        if compiled.unknown:
            ctx.log.debug(f"linux.seccomp: unknown syscalls: {', '.join(compiled.unknown)}")
        timeline.mark("seccomp")
        flags = compiled.flags | (NEW_LISTENER if compiled.notify else 0)
        stages["start"] = [
            (name, subject, (flags, compiled.bpf)) if name == "seccomp" else (name, subject, arguments)
            for name, subject, arguments in stages["start"]
        ]
        if compiled.notify:
            place = [name for name, _, _ in stages["start"]].index("handover")
            stages["start"].insert(place, ("listener", "linux.seccomp", ()))
    return program.encode([stages[name] for name in program.STAGES])


class Launch:
    """
    A container in the making: what has to be undone if it comes to nothing.

    Used as: begin(); start(), which returns once the container stands; then commit(), or, at any time, abort().

    state: is given to start()
    """

    state: State

    def __init__(self, ctx: Context, plan: Plan, entry: Entry, layout: Layout, starter: Starter) -> None:
        self.ctx = ctx
        self.plan = plan
        self.entry = entry
        self.layout = layout
        self.cgroup: WritableCgroup | None = None
        self.resctrl: Group | None = None
        self.pidfd = -1
        self._systemd: Systemd | None = None
        self._starter = starter
        self._channel = starter.channel
        self._fds: list[int] = []
        self._joins: list[int] = []
        self._limits: tuple[int, int] | None = None

    def begin(self) -> None:
        """Have liblxc start the container, which goes on while we prepare what its helper needs; raises Error."""
        self._joins = joins = [
            self._keep(self._open_namespace(j.path, j.flag, j.subject)) for j in self.plan.host.joins
        ]
        self._spare_the_host(joins)
        self._give_stdio()
        self._make_directories()
        self._limits = self._make_room()
        self._starter.order(Orders.of_plan(self.plan, private=self.ctx.outside is None), joins)

    def start(self, state: State, console: _socket.socket | None) -> None:
        """Bring the container to where only `start` is missing; raises Error."""
        self.state = state
        from .cgroup.writable import WritableCgroup
        from .sources import take_trees

        users = [fd for fd, j in zip(self._joins, self.plan.host.joins, strict=True) if j.type == "user"]
        try:
            writes = self.plan.host.cgroup_writes
            path = self._connect_to_systemd() + self.plan.host.cgroups_path
            self._record(self._intended_cgroup(path))  # from here on `delete` knows what to remove if we are killed
            self.cgroup = WritableCgroup.make(self.layout, path, self.state.id, writes)
            self.cgroup.filtered = self.plan.host.device_filter is not None
            self._record(self.cgroup, self.plan.host.unit)
            self._make_resctrl_group()
            timeline.mark("cgroup")
            listener = self._listen()
            sources = [t.source or self.cgroup.dirs[t.cgroup] for t in self.plan.host.trees]
            trees = [self._keep(fd) for fd in take_trees(self.plan.host, sources, users[0] if users else None)]
            preserved = range(3, 3 + self.plan.host.preserve_fds)
            consoles = [console.fileno()] if console else []
            code = self._keep(sealed_memory("program", encode_program(self.ctx, self.plan)))
            outer = [] if self.plan.host.own_mount_namespace else [self._keep(_open("/proc/self/ns/mnt"))]
            descriptors = [code, 0, 1, 2, listener, *consoles, *preserved, *trees, *outer]
            timeline.mark("program, trees")
            self._guide(descriptors)
        except ClosedError:
            self._channel.raise_reported()
            raise self._starter.failure(met=self.pidfd >= 0) from None
        timeline.mark("helper")
        self._starter.kill()  # which takes as long as the next steps, to commit()
        if self.plan.host.unit is not None:
            from .cgroup.unit import left_to_files

            writes = left_to_files(writes)
        for ignored in self.cgroup.apply(writes):
            self.ctx.log.warn(ignored)
        if self.plan.host.cgroup_owner >= 0:
            self.cgroup.give(self.plan.host.cgroup_owner)
        if "devices" not in self.cgroup.dirs:
            self.cgroup.filter_devices(self.plan.host.device_filter)
        timeline.mark("limits")
        self._close_fds()
        if self._limits:
            self._restore_limits(*self._limits)

    def commit(self) -> None:
        """Save the state: from now on the container exists. Then let init wait for `start` without us."""
        self.entry.save(self.state)
        timeline.mark("state")
        self._starter.end()
        timeline.mark("end of liblxc's process")
        try:
            self._channel.send(SAVED)
        except ClosedError:
            raise Error("the container's init ended before it was started") from None
        self._channel.close()
        if self._systemd is not None:
            self._systemd.close()

    def abort(self) -> None:
        """
        End all that was started and remove all that was made, but for the state directory.

        Raises Error if something of it is left.
        """
        _signal.signal(_signal.SIGINT, _signal.SIG_IGN)  # a second one would leave it half done
        self._close_fds()
        self._starter.kill_children()
        self._starter.end()
        try:
            if self.pidfd >= 0:
                self._kill_init()
            if self.cgroup is not None:
                self.cgroup.kill_all(_signal.SIGKILL)
            self._await_end()
            if self._systemd is not None and self._systemd.started:
                self._systemd.stop(self._systemd.started)
            if self.cgroup is not None:
                self.cgroup.remove(parents=True)
            if self.resctrl is not None:
                self.resctrl.undo()
        finally:
            self._channel.close()

    def _kill_init(self) -> None:
        try:
            _signal.pidfd_send_signal(self.pidfd, _signal.SIGKILL)
        except ProcessLookupError:
            pass
        ended = wait_exit(self.pidfd, DEATH_SECONDS)
        os.close(self.pidfd)
        self.pidfd = -1
        if not ended:
            raise Error(f"process {self.state.pid} has not ended {DEATH_SECONDS:.0f} seconds after SIGKILL")

    def _await_end(self) -> None:
        """Tell whoever of the helper is left that we are gone; the last of them closes the other end."""
        try:
            self._channel.outer.shutdown(_socket.SHUT_WR)
            self._channel.outer.settimeout(DEATH_SECONDS)
            while True:
                self._channel.receive()
        except (ClosedError, OSError):
            pass

    def _keep(self, fd: int) -> int:
        self._fds.append(fd)
        return fd

    def _close_fds(self) -> None:
        while self._fds:
            os.close(self._fds.pop())

    def _connect_to_systemd(self) -> str:
        """Where systemd has its units, if it is to have the container."""
        unit = self.plan.host.unit
        if unit is None:
            return ""
        from .cgroup.systemd import Systemd

        self._systemd = Systemd(unit.instance)
        return self._systemd.root()

    def _intended_cgroup(self, path: str) -> WritableCgroup:
        """What of the cgroup will be made, if nobody makes a part of it meanwhile; the rest may be of others."""
        from .cgroup.writable import WritableCgroup

        dirs = self.layout.directories(path, self.state.id)
        missing = {name: path for name, path in dirs.items() if not os.path.lexists(path)}
        return WritableCgroup(missing, list(missing.values()))

    def _record(self, cgroup: WritableCgroup, unit: Unit | None = None) -> None:
        """Save what `delete` has to remove. A unit before its cgroup was found unused may be that of another."""
        found = cgroup.record(), f"{unit.instance} {unit.name}" if unit else ""
        if found != (self.state.cgroup, self.state.unit):
            self.state.cgroup, self.state.unit = found
            self.entry.save(self.state)

    def _make_resctrl_group(self) -> None:
        rdt = self.plan.host.intel_rdt
        if rdt is None:
            return
        from .resctrl import Group, mounted

        self.resctrl = Group.make(rdt, self.state.id, mounted())
        self.state.resctrl = self.resctrl.owned
        self.entry.save(self.state)

    def _open_namespace(self, path: str, flag: int, subject: str) -> int:
        """A descriptor of the namespace at path, which must be of the type that the document says."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as e:
            raise Error(f'{subject}: path "{path}": {reason(e)}') from e
        from . import linux

        try:
            right = linux.namespace_type(fd) == flag
        except OSError:
            right = False
        if not right:
            os.close(fd)
            raise Error(f'{subject}: path "{path}": not a namespace of this type')
        return fd

    def _spare_the_host(self, joins: list[int]) -> None:
        """The host's own namespaces are joined, by whatever path, only where nothing in them is to change."""
        for fd, join in zip(joins, self.plan.host.joins, strict=True):
            if join.changes and os.path.samestat(os.fstat(fd), os.stat(f"/proc/self/ns/{TYPES[join.type][0]}")):
                raise Error(
                    f'{join.changes}: {join.subject}: path "{join.path}": the {join.type} namespace of the host'
                )

    def _give_stdio(self) -> None:
        """In a user namespace the helper has no right to hand the streams of the host to the container's user."""
        uid, gid = self.plan.host.stdio_owner
        if uid < 0:
            return
        null = os.stat("/dev/null")
        for fd in range(3):
            status = os.fstat(fd)
            if status.st_rdev != null.st_rdev and status.st_uid != uid and not self.plan.host.terminal:
                try:
                    os.fchown(fd, uid, gid)
                except OSError as e:
                    self.ctx.log.debug(f"standard stream {fd}: chown: {reason(e)}")

    def _make_directories(self) -> None:
        """Directories for liblxc's own mounts. It would make them itself, along whatever link the image has there."""
        rootfs = self.plan.host.rootfs
        root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            for name in self.plan.host.directories:
                try:
                    os.mkdir(name, 0o755, dir_fd=root)
                except FileExistsError:
                    pass
                except OSError as e:
                    raise Error(f'root.path "{rootfs}": mkdir {name}: {reason(e)}') from e
                try:
                    os.close(os.open(name, os.O_PATH | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=root))
                except OSError:
                    raise Error(f'root.path "{rootfs}": {name} is not a directory') from None
        finally:
            os.close(root)

    def _make_room(self) -> tuple[int, int] | None:
        """Have this process, and the helper, hold a descriptor for every tree; return the former limits if changed."""
        needed = len(self.plan.host.trees) + self.plan.host.preserve_fds + OTHER_DESCRIPTORS
        if needed <= OTHER_DESCRIPTORS * 2:
            return None  # every limit allows for that
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft >= needed:
            return None
        for pid in (0, self._starter.pid):
            try:
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (needed, max(needed, hard)))
            except (OSError, ValueError):  # not privileged
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (hard, hard))
        return soft, hard

    def _restore_limits(self, soft: int, hard: int) -> None:
        import resource

        for pid in (0, self.state.pid):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))

    def _listen(self) -> int:
        """The socket on which init will wait for `start`."""
        listener = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
        listener.bind(self.entry.socket_path())
        listener.listen(16)
        return self._keep(listener.detach())

    def _guide(self, descriptors: list[int]) -> None:
        """The conversation with the helper, until it is ready."""
        if self.plan.host.pre_pivot:
            hook = self._expect_of_liblxc(HOOK, self.ctx.timeout)
            self._channel.send_descriptors(descriptors)
            self._expect(HOOK)
            self._meet(parent_pid(hook))
            self._publish()
            self._place(self.state.pid, hook)
            self._move_devices()
            self._run_hooks()
            self._channel.send_state(CONTINUE, oci_state_json(self.state, "creating", self.state.pid))
            self._expect_of_liblxc(HELLO)  # createContainer hooks have time-outs of their own
        else:
            self._meet(self._expect_of_liblxc(HELLO, self.ctx.timeout))
        self._channel.send_descriptors(descriptors)
        if not self.plan.host.pre_pivot:
            self._place(self.state.pid)
            self._move_devices()
        timeline.mark("placement")
        self._channel.send(PLACED)
        if not self.plan.host.pre_pivot:
            self._publish()  # while the helper works
        self._expect(READY)

    def _meet(self, pid: int) -> None:
        """Init is this process: it waits for our word, so its pid cannot become another's before we hold it."""
        timeline.mark("liblxc")
        try:
            self.pidfd = os.pidfd_open(pid)
        except ProcessLookupError:
            raise Error(KILLED) from None
        start_time = process_start_time(pid)
        if start_time is None:
            raise Error(KILLED)
        self.state.pid, self.state.start_time = pid, start_time

    def _publish(self) -> None:
        """Write the state that hooks, and people, find in a file."""
        self.entry.write("state.json", oci_state_json(self.state, "creating", self.state.pid) + b"\n")

    def _place(self, *pids: int) -> None:
        """Put init in its cgroup, and its child. If it just failed and ended, that is what there is to report."""
        assert self.cgroup is not None
        try:
            by_files = self._start_unit(pids)
            for pid in pids:
                if by_files:
                    self.cgroup.place(pid)
                if self.resctrl is not None:
                    self.resctrl.place(pid)
        except Error:
            if wait_exit(self.pidfd, 0):
                self._expect(READY)
            raise

    def _start_unit(self, pids: tuple[int, ...]) -> bool:
        """Have systemd put these processes in the unit, if there is one; whether they must be placed by files."""
        unit = self.plan.host.unit
        if unit is None or self._systemd is None:
            return True
        from .cgroup.systemd import MANAGED, check_place

        assert self.cgroup is not None
        self._systemd.start(unit, pids)
        self.cgroup.keep_parents(MANAGED)
        self._record(self.cgroup, unit)
        if unit.is_slice:
            return True
        for pid in pids:
            check_place(pid, unit)
        return self.layout.mode != "v2"  # where systemd does not have all hierarchies

    def _move_devices(self) -> None:
        """Give init's network namespace its devices."""
        if not self.plan.host.net_devices:
            return
        from .netlink import move_devices

        move_devices(self.plan.host.net_devices, self._keep(_open(f"/proc/{self.state.pid}/ns/net")))

    def _run_hooks(self) -> None:
        from .hooks import run_outside

        state = oci_state_json(self.state, "creating", self.state.pid)
        for subject, hook in self.plan.host.runtime_hooks:
            # prestart hooks ran after create once, and still get to read so
            seen = (
                oci_state_json(self.state, "created", self.state.pid) if subject.startswith("hooks.prestart") else state
            )
            run_outside(self.ctx, subject, hook, seen, self.state.bundle)
            timeline.mark(subject)

    def _expect(self, kind: bytes) -> int:
        """Wait for a packet of this kind; return its sender's pid. Raises Error for a failure that it reports."""
        return self._channel.expect(kind, self.ctx.log.warn)[0]

    def _expect_of_liblxc(self, kind: bytes, seconds: float = 0) -> int:
        """The same, from a process that liblxc has still to start, within this time if it is not 0."""
        self._channel.outer.settimeout(GLANCE_SECONDS)
        dead: set[int] = set()
        glances = 0
        while True:
            try:
                pid = self._expect(kind)
                self._channel.outer.settimeout(None)
                return pid
            except TimeoutError:
                glances += 1
            if 0 < seconds <= glances * GLANCE_SECONDS:
                raise Error(f"liblxc did not start the container within {seconds:g} seconds")
            family = (self._starter.pid, *self._starter.children())
            before, dead = dead, {pid for pid in family if process_start_time(pid) is None}
            if self._starter.pid in before & dead:
                raise ClosedError
            if before & dead:
                raise Error(KILLED)


def _open(path: str) -> int:
    return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
