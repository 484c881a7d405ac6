"""
The process that has liblxc start a container.

It is forked before the runtime knows the spec, and while that imports what it takes to read one: it brings up liblxc,
and waits for the orders. What liblxc has to clone is then a small process.
"""

from __future__ import annotations

import _socket
import os
import posix

from .channel import Channel
from .errors import Error, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    import signal as _signal
    from collections.abc import Sequence
    from typing import NoReturn

    from lxcffi.handle import Handle

    from .plan import Plan
    from .state import Entry
else:
    import _signal  # not `signal`, which imports enum

CGROUP_ROOT = "/sys/fs/cgroup"
RUNTIME_PATH = "/run"
ROOTFS_ITEMS = ("lxc.rootfs.path", "lxc.rootfs.mount")
KILLED = "the container's init was killed before it was ready"
FALSE_ALARMS = ("Can't open /dev/null", "Failed to drop supplimentary groups")
"""What liblxc logs as an error, and goes on: of every container that has no /dev/null before its mounts are made; and
of every one in a user namespace in which nobody may set groups."""
PATH_WITHOUT_PROGRAMS = "/nonexistent"
"""liblxc run by root demands entries in /etc/subuid if it finds newuidmap on PATH."""
MSG_CMSG_CLOEXEC = 0x40000000
JOINS_MAX = 16
"""More than there are types of namespaces."""
LENGTH = 8
"""Bytes of the length of the orders, which they begin with."""
GO = b"G"
"""What follows the orders once the runtime can end what the starter starts, which is not before it has got them."""


class Orders:
    """
    What the starter does for a spec.

    items: of liblxc's configuration
    joins: of the namespaces to join, whose descriptors come along: the CLONE_NEW* flag, and the item by which liblxc
        joins them, "" for what the starter joins itself
    user_namespace: whether the container has one
    private: whether the process can be closed to others from then on
    the others: as in plan.HostPart
    """

    __slots__ = (
        "items",
        "joins",
        "pre_pivot",
        "private",
        "proc_directory",
        "rootfs",
        "time_offsets",
        "user_namespace",
        "uts_name",
    )

    def __init__(
        self,
        items: Sequence[tuple[str, str]],
        joins: Sequence[tuple[int, str]],
        rootfs: str,
        proc_directory: str,
        time_offsets: str | None,
        uts_name: str,
        pre_pivot: bool,
        private: bool,
    ) -> None:
        self.items = items
        self.joins = joins
        self.rootfs = rootfs
        self.proc_directory = proc_directory
        self.time_offsets = time_offsets
        self.uts_name = uts_name
        self.pre_pivot = pre_pivot
        self.private = private
        self.user_namespace = any(key == "lxc.idmap" for key, _ in items)

    @classmethod
    def of_plan(cls, plan: Plan, *, private: bool) -> Orders:
        """Those that a Plan comes down to."""
        from .compile.namespaces import JOINED_BY_STARTER, TYPES

        host = plan.host
        joins = [
            (join.flag, "" if join.type in JOINED_BY_STARTER else f"lxc.namespace.share.{TYPES[join.type][0]}")
            for join in host.joins
        ]
        return cls(
            plan.items,
            joins,
            host.rootfs,
            host.proc_directory,
            host.time_offsets,
            host.uts_name or "",
            host.pre_pivot,
            private,
        )

    def encode(self) -> bytes:
        """For a process of this very program."""
        import marshal

        return marshal.dumps(
            (
                list(self.items),
                list(self.joins),
                self.rootfs,
                self.proc_directory,
                self.time_offsets,
                self.uts_name,
                self.pre_pivot,
                self.private,
            )
        )

    @classmethod
    def decode(cls, data: bytes) -> Orders:
        """What encode() made."""
        import marshal

        return cls(*marshal.loads(data))  # noqa: S302 (from our parent)


class Starter:
    """
    The process, as the runtime sees it. It ends with the runtime, and when it gets no orders.

    channel: between the runtime and the helper; the starter reports its own failures there
    log: a descriptor of liblxc's log
    user_namespace: inode of the one that it is in
    """

    __slots__ = ("_entry", "_id", "_orders", "channel", "log", "pid", "user_namespace")

    channel: Channel
    log: int

    def __init__(self, id: str, entry: Entry) -> None:
        """Fork it, for the container of this id; it does not keep the state directory."""
        self._id = id
        self._entry = entry
        self._fork()

    def _fork(self) -> None:
        self.channel = Channel()
        try:
            self._orders, orders = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_STREAM)
        except OSError:
            self.channel.close()
            raise
        self.log = self.pid = -1
        try:
            self.log = posix.memfd_create("liblxc.log", posix.MFD_CLOEXEC)
            self.user_namespace = own_user_namespace()
            runtime = posix.getpid()
            self.pid = posix.fork()
        except BaseException:  # to remove the state directory takes a descriptor
            orders.close()
            self.discard()
            raise
        if not self.pid:
            self._run(runtime, orders)
        orders.close()
        self.channel.inner.close()

    def follow(self) -> None:
        """Have it in this process's user namespace: where we have moved to another one, that is a new process."""
        if self.user_namespace != own_user_namespace():
            self.discard()
            self._fork()

    def order(self, orders: Orders, joins: Sequence[int]) -> None:
        """Have it start the container, with these descriptors of the namespaces to join."""
        from sys import byteorder

        encoded = orders.encode()
        data = memoryview(len(encoded).to_bytes(LENGTH, byteorder) + encoded)
        control = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, b"".join([fd.to_bytes(4, byteorder) for fd in joins]))]
        try:
            sent = self._orders.sendmsg([data], control if joins else [])
            self._orders.sendall(data[sent:])
            from . import linux

            linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)  # if it is killed, what it has started becomes ours to end
            self._orders.sendall(GO)
        except ConnectionError:
            pass  # it has ended, and told why on the channel
        self._orders.close()

    def kill_children(self) -> None:
        """
        A child that liblxc has just cloned does not die with it yet, and would wait for it for ever.

        Once the starter is stopped it makes no more of them, and reaps none: their pids are theirs.
        """
        if self.pid < 0:
            return
        posix.kill(self.pid, _signal.SIGSTOP)
        info = posix.waitid(posix.P_PID, self.pid, posix.WSTOPPED | posix.WEXITED | posix.WNOWAIT)
        stopped = info is None or info.si_code == posix.CLD_STOPPED
        for pid in self.children() if stopped else _children_of(posix.getpid()):
            if pid != self.pid:
                posix.kill(pid, _signal.SIGKILL)

    def children(self) -> list[int]:
        """Pids of the processes that liblxc has started and not yet reaped."""
        return _children_of(self.pid)

    def kill(self) -> None:
        """Kill it: liblxc has done its part. Init becomes the child of who will reap it: the engine."""
        if self.pid > 0:
            posix.kill(self.pid, _signal.SIGKILL)

    def end(self) -> None:
        """Kill it, and wait until it is gone."""
        self.kill()
        if self.pid > 0:
            posix.waitpid(self.pid, 0)
        self.pid = -1

    def discard(self) -> None:
        """End it, and close everything."""
        self.end()
        self._orders.close()
        self.channel.close()
        if self.log >= 0:
            posix.close(self.log)
        self.log = -1

    def failure(self, *, met: bool) -> Error:
        """
        Why there is no container: the first error that liblxc logged; what follows it is its consequence.

        met: whether init was there already
        """
        from lxcffi.log import errors

        data = posix.pread(self.log, 1 << 16, 0)
        lines = [_reworded(line) for line in errors(data) if not _is_false_alarm(line)]
        if lines:
            return Error(f"liblxc: {lines[0]}")
        return Error(KILLED if met else "liblxc could not start the container, and does not say why")

    # In the forked process

    def _run(self, runtime: int, orders: _socket.socket) -> NoReturn:
        try:
            self._entry.close()
            self._orders.close()
            self._prepare_and_start(runtime, orders)
        except BaseException as e:  # noqa: BLE001 (nothing may return from here into the parent's code)
            from lxcffi import LxcError

            if not isinstance(e, LxcError):
                self.channel.send_failure(
                    f"liblxc could not be started: {reason(e)}" if isinstance(e, OSError) else str(e)
                )
        finally:
            posix._exit(1)  # noqa: SLF001 (its documented name)

    def _prepare_and_start(self, runtime: int, orders: _socket.socket) -> None:
        from . import linux

        # Who kills the runtime ends all of it: liblxc would wait for init, and init for the runtime's word. But while
        # liblxc starts init it blocks this signal, and must not die: the child that it has just cloned would wait for
        # it for ever. As soon as that executes the helper it sees that nobody is there, and ends.
        _signal.signal(_signal.SIGTERM, _signal.SIG_DFL)
        linux.prctl(linux.PR_SET_PDEATHSIG, _signal.SIGTERM)
        if posix.getppid() != runtime:  # it was killed before we could ask for that
            return
        self.channel.outer.close()
        posix.setsid()  # what the caller's terminal sends is for the runtime to act on
        control = self.channel.inner.fileno()
        linux.close_range(3, 0xFFFFFFFF, linux.CLOSE_RANGE_CLOEXEC)
        posix.set_inheritable(control, True)
        from .sealed import open_helper

        helper = open_helper()
        posix.set_inheritable(helper, True)
        # liblxc changes owner and mode of what is on 0 to 2 before it executes init: never the caller's own.
        nothing = posix.memfd_create("stdio", posix.MFD_CLOEXEC)
        for fd in range(3):
            posix.dup2(nothing, fd)
        from .cgroup.layout import detect, warm

        warm(detect())
        linux.clearenv()
        os.environ.clear()
        os.environ["PATH"] = PATH_WITHOUT_PROGRAMS
        os.environ["XDG_RUNTIME_DIR"] = RUNTIME_PATH  # asked for where /run is not the caller's
        linux.unshare(linux.CLONE_NEWNS)
        linux.mount("", "/", "", linux.MS_REC | linux.MS_SLAVE)
        # With no cgroup hierarchy in sight liblxc makes no cgroups.
        covered = os.path.isdir(CGROUP_ROOT)
        if covered:
            linux.mount("none", CGROUP_ROOT, "tmpfs", linux.MS_RDONLY, COVER)
        container = self._new_container(CGROUP_ROOT if covered else "/")
        self._start(container, helper, orders, covered=covered)

    def _new_container(self, lxcpath: str) -> Handle:
        """A container object of liblxc; the directory for a lock that it makes below /run comes to nothing."""
        from lxcffi import log
        from lxcffi.handle import Handle

        from . import linux

        log.init(f"/proc/self/fd/{self.log}", "ERROR")
        linux.mount("none", RUNTIME_PATH, "tmpfs", 0, "mode=755,size=64k")
        container = Handle(f"{self._id}.{posix.getpid()}", lxcpath)
        linux.umount2(RUNTIME_PATH, linux.MNT_DETACH)
        container.clear_config()
        return container

    def _start(self, container: Handle, helper: int, connection: _socket.socket, *, covered: bool) -> None:
        from . import linux
        from .procfs import write_text

        orders, fds = _receive(connection)
        rootfs = orders.rootfs
        if covered and orders.user_namespace:
            rootfs = _reachable(rootfs)
        shared = {}
        for fd, (flag, item) in zip(fds, orders.joins, strict=True):
            if item:  # by the descriptor that was checked: the path may lead to another one by now
                shared[item] = f"/proc/self/fd/{fd}"
            else:
                linux.setns(fd, flag)
        if orders.time_offsets is not None:  # its children are born in it, this process stays
            linux.unshare(linux.CLONE_NEWTIME)
            if orders.time_offsets:
                write_text("/proc/self/timens_offsets", orders.time_offsets, "linux.timeOffsets")
        if orders.uts_name:
            _socket.sethostname(orders.uts_name)
        for key, value in orders.items:
            text = value.replace(orders.rootfs, rootfs) if key in ROOTFS_ITEMS else shared.get(key, value)
            container.set_config_item(key, text)
        control = self.channel.inner.fileno()
        if orders.pre_pivot:
            hook = f"/proc/self/fd/{helper} hook {control} {_quote(rootfs)}"
            container.set_config_item("lxc.hook.version", "1")  # no arguments of liblxc's own
            container.set_config_item("lxc.hook.mount", hook)
        container.want_daemonize(False)
        # Until it executes the helper liblxc's child has what we have, in joined namespaces in company (CVE-2016-9962).
        # As an ordinary user liblxc could not read its own /proc, nor its child's.
        if orders.private and posix.geteuid() == 0:
            linux.prctl(linux.PR_SET_DUMPABLE, 0)
        if not connection.recv(len(GO)):
            return
        mode = "init-hooked" if orders.pre_pivot else "init"
        container.start([f"/{orders.proc_directory}/self/fd/{helper}", mode, str(control)])


COVER = "mode=755,size=4k"


def _reachable(rootfs: str) -> str:
    """
    The root file system at a place that the root of a user namespace can reach, whatever directories are above it.

    That is the tmpfs that covers the cgroup hierarchies.
    """
    from . import linux

    tree = linux.open_tree(rootfs, recursive=True)
    linux.mount("none", CGROUP_ROOT, "tmpfs", linux.MS_REMOUNT, COVER)
    place = f"{CGROUP_ROOT}/rootfs"
    posix.mkdir(place)
    target = posix.open(place, posix.O_RDONLY | posix.O_PATH | posix.O_CLOEXEC)
    linux.move_mount(tree, target)
    posix.close(target)
    posix.close(tree)
    return place


def _receive(orders: _socket.socket) -> tuple[Orders, list[int]]:
    """The orders and the descriptors that come along; ends the process where none come."""
    from sys import byteorder

    size = _socket.CMSG_SPACE(4 * JOINS_MAX)
    length, control, _, _ = orders.recvmsg(LENGTH, size, MSG_CMSG_CLOEXEC)
    fds = [
        int.from_bytes(numbers[at : at + 4], byteorder)
        for level, kind, numbers in control
        if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS)
        for at in range(0, len(numbers) - 3, 4)
    ]
    missing = int.from_bytes(length, byteorder)
    data = b""
    while missing and (chunk := orders.recv(missing)):
        data += chunk
        missing -= len(chunk)
    if missing or not data:
        posix._exit(1)  # noqa: SLF001 (its documented name)
    return Orders.decode(data), fds


def _children_of(pid: int) -> list[int]:
    try:
        with open(f"/proc/{pid}/task/{pid}/children", "rb", 0) as file:
            return [int(child) for child in file.readall().split()]
    except OSError:
        return []


def own_user_namespace() -> int:
    """What tells this process's user namespace from others, as long as it exists."""
    try:
        return posix.stat("/proc/self/ns/user").st_ino
    except OSError:  # a kernel without them
        return 0


def _quote(path: str) -> str:
    """For the shell that liblxc runs hooks with."""
    return "'" + path.replace("'", "'\\''") + "'"


def _is_false_alarm(line: str) -> bool:
    return any(text in line for text in FALSE_ALARMS)


def _reworded(line: str) -> str:
    """liblxc says "Reason - What": what failed belongs first, the reason last, in lower case."""
    why, dash, what = line.partition(" - ")
    return f"{what[:1].lower()}{what[1:]}: {why.lower()}" if dash else line
