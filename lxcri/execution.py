"""Another process in a running container (runc's exec): the same helper as for init, in the container's namespaces."""

from __future__ import annotations

import _socket
import os
import signal

from . import linux
from .channel import HELLO, LAST_STEP, PLACED, Channel, ClosedError
from .compile.namespaces import TYPES
from .compile.scheduling import exec_cpus
from .errors import Error, reason
from .launch import encode_program
from .procfs import write_text
from .sealed import open_helper, sealed_memory
from .state import wait_exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

    from .cgroup.writable import WritableCgroup
    from .context import Context
    from .plan import Plan
    from .spec import Process
    from .state import State

DEATH_SECONDS = 5.0


class Execution:
    """
    A process that enters the container of this init.

    Used as: start(), which returns once the program is executed, or raises Error and leaves nothing.
    """

    def __init__(self, ctx: Context, plan: Plan, state: State, pidfd: int) -> None:
        self.ctx = ctx
        self.plan = plan
        self.state = state
        self._init = state.pid
        self._init_pidfd = pidfd
        self._channel = Channel()
        self.pid = -1

    def start(self, process: Process, cgroup: WritableCgroup | None, console: _socket.socket | None) -> None:
        """Have the program executed, in the container's cgroup and namespaces; raises Error."""
        helper = open_helper()
        try:
            self._fork(helper)
        finally:
            os.close(helper)
        try:
            self._guide(process, cgroup, console)
        except ClosedError:
            self.end()
            self._channel.raise_reported()
            raise Error("the process in the container ended before it executed the program") from None
        except BaseException:
            self.end()
            raise
        finally:
            self._channel.close()

    def _guide(self, process: Process, cgroup: WritableCgroup | None, console: _socket.socket | None) -> None:
        initial, final = exec_cpus(process)
        self._channel.expect(HELLO, self.ctx.log.warn)
        self._set_affinity(initial, "initial")
        if cgroup is not None:
            self._place(cgroup)
        self._set_affinity(final, "final")
        if process.oom_score_adj is not None:
            subject = f"process.oomScoreAdj: {process.oom_score_adj}"
            write_text(f"/proc/{self.pid}/oom_score_adj", str(process.oom_score_adj), subject)
        code = sealed_memory("program", encode_program(self.ctx, self.plan))
        consoles = [console.fileno()] if console else []
        preserved = range(3, 3 + self.plan.host.preserve_fds)
        try:
            self._channel.send_descriptors([code, 0, 1, 2, *consoles, *preserved])
        finally:
            os.close(code)
        self._channel.send(PLACED)
        _, numbers = self._channel.expect(LAST_STEP, self.ctx.log.warn)
        if numbers:
            self._deliver_listener(numbers)
        self._channel.expect_end(self.ctx.log.warn)  # execve closes it

    def _place(self, cgroup: WritableCgroup) -> None:
        """
        Move the process to its cgroup.

        An ordinary user who calls from a cgroup that is not the user's may not (cgroups(7), "Delegation"). Systemd may.
        """
        try:
            cgroup.place(self.pid, beside=self._init)
        except Error:
            if not self.state.unit.startswith("user "):
                raise
            from .cgroup.systemd import attach

            attach(self.state.unit, self.pid)
            cgroup.place(self.pid, beside=self._init)

    def _set_affinity(self, cpus: list[int], name: str) -> None:
        try:
            if cpus:
                os.sched_setaffinity(self.pid, cpus)
        except OSError as e:
            raise Error(f"process.execCPUAffinity.{name}: {reason(e)}") from e

    def _deliver_listener(self, numbers: bytes) -> None:
        from .listener import deliver

        pidfd = os.pidfd_open(self.pid)
        try:
            deliver(self.state, "running", self.pid, pidfd, numbers)
        finally:
            os.close(pidfd)

    def end(self) -> None:
        """Let the process be gone."""
        try:
            pidfd = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return
        try:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            wait_exit(pidfd, DEATH_SECONDS)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        finally:
            os.close(pidfd)

    def _fork(self, helper: int) -> None:
        """Fork the process; its pid is from the container's pid namespace on, which only children enter."""
        flags = self._other_namespaces()
        root = os.open(f"/proc/{self._init}/root", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
        pid_flag, user_flag = TYPES["pid"][1], TYPES["user"][1]
        try:
            if flags & user_flag and os.geteuid() != 0:  # it is what gives an ordinary user the right to the others
                linux.setns(self._init_pidfd, user_flag)
                flags &= ~user_flag
            if flags & pid_flag:
                linux.setns(self._init_pidfd, pid_flag)
            self.pid = os.fork()
            if not self.pid:
                self._enter(helper, root, flags & ~pid_flag)
        except OSError as e:
            raise Error(f"namespaces of the container: {reason(e)}") from e
        finally:
            os.close(root)
        self._channel.inner.close()

    @staticmethod
    def _drop_groups() -> None:
        try:
            os.setgroups([])
        except PermissionError:
            pass  # the user namespace of an ordinary user forbids it

    def _other_namespaces(self) -> int:
        """Flags of the namespaces of init that this process is not in already."""
        flags = 0
        for name, flag in TYPES.values():
            try:
                if not os.path.samestat(os.stat(f"/proc/{self._init}/ns/{name}"), os.stat(f"/proc/self/ns/{name}")):
                    flags |= flag
            except FileNotFoundError:
                continue  # this kernel has no such type
            except OSError as e:
                raise Error(f"namespaces of the container: {reason(e)}") from e
        return flags

    def _enter(self, helper: int, root: int, flags: int) -> NoReturn:
        """The child: become a process of the container, and the helper."""
        try:
            linux.prctl(linux.PR_SET_DUMPABLE, 0)  # processes of the container must not look into this one
            control = self._channel.inner.fileno()
            linux.close_range(3, 0xFFFFFFFF, linux.CLOSE_RANGE_CLOEXEC)
            os.setsid()  # signals of the caller's terminal are not for the container
            if flags:
                linux.setns(self._init_pidfd, flags)
            if not flags & TYPES["mount"][1]:
                os.fchdir(root)
                os.chroot(".")
            if flags & TYPES["user"][1] or os.geteuid() != 0:
                self._drop_groups()
                os.setresgid(0, 0, 0)
                os.setresuid(0, 0, 0)
            os.set_inheritable(control, True)
            os.execve(helper, ["lxcri-init", "exec", str(control)], {})  # noqa: S606 (no shell is wanted)
        except BaseException as e:  # noqa: BLE001 (nothing may return from here into the parent's code)
            self._channel.send_failure(f"namespaces of the container: {e}")
        finally:
            os._exit(1)
