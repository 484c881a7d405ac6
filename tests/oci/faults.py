"""Have one system call of one process of a verb go wrong, and look at what is left.

    PYTHONPATH=.:tests .venv/bin/python -m oci.faults --stride 1 --shards 2

tries all: each process that `create`, `start`, `exec`, `update` and `delete` make is killed at each of its calls, and
each call that can fail fails. After each, the verb has ended; then `state` answers, `delete --force` removes what
there is, and no process, mount, cgroup, file of the state directory or descriptor is left, nor is another container
touched. A failed `create` or `exec` leaves nothing in the first place. Points are numbered by what one undisturbed run
does, so that the last ones of a process may not be reached.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from oci import process
from oci.bundle import Bundle
from oci.machine import Machine
from oci.rootfs import Skeleton
from oci.runtime import ENVIRONMENT, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from oci.runtime import Container

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

FAULTS = {"KILL": 0} | {name: getattr(errno, name) for name in ("ENOMEM", "ENOSPC", "EMFILE", "EIO", "EINTR", "EPERM")}
VERBS = ("create", "start", "exec", "update", "delete")

PATIENCE = 15.0
"""Seconds for a verb; what takes longer hangs."""
CALM = 4.0
"""Seconds until everything that a killed process has started is over."""
START_UP_STRIDE = 40
"""Of the calls with which each verb begins, the interpreter's, only each 40th is a point."""

NEVER_FAIL = frozenset(
    "exit exit_group rt_sigreturn rt_sigaction rt_sigprocmask sigaltstack arch_prctl set_tid_address set_robust_list"
    " rseq getpid gettid getppid getuid geteuid getgid getegid umask close munmap sched_yield getcwd uname times"
    " clock_nanosleep clock_gettime gettimeofday brk".split()
)
"""Calls that do what they do, or nothing, whatever the state of the machine."""


def call_name(number: int) -> str:
    """Name of a system call of this architecture."""
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_syscall_resolve_num_arch.restype = ctypes.c_void_p
    text = library.seccomp_syscall_resolve_num_arch(library.seccomp_arch_native(), number)
    return ctypes.string_at(text).decode() if text else str(number)


@dataclass(frozen=True, order=True)
class Point:
    """One fault: in which verb, of which process (oci/faults.c, "role"), from which of its calls on, which, and how."""

    verb: str
    role: str
    place: int
    number: int
    call: str
    fault: str

    def __str__(self) -> str:
        return f"{self.verb} {self.role} {self.place} {self.call} {self.fault}"


@dataclass
class Outcome:
    """What came of a point."""

    point: Point
    reached: bool
    status: int
    message: str
    problems: list[str] = field(default_factory=list)


class Laboratory:
    """Containers to make faults in, and one that must not notice."""

    def __init__(self, machine: Machine, runtime: Runtime, new_bundle: Callable[[], Bundle]) -> None:
        self.machine = machine
        self.runtime = runtime
        self._bundle = new_bundle()
        self._rich(self._bundle)
        self._report = os.path.join(self._bundle.path, "report")
        self._program = os.path.join(machine.work, "faults")
        if not os.path.exists(self._program):
            source = os.path.join(os.path.dirname(__file__), "faults.c")
            words = ["cc", "-std=c11", "-Wall", "-Wextra", "-O1", "-o", self._program, source]
            subprocess.run(words, check=True, timeout=60, env={"PATH": "/usr/bin:/bin", "TMPDIR": machine.work})
        bystanders = new_bundle()
        bystanders.resources["pids"] = {"limit": 10}
        self._bystander = bystanders.container("/bin/sleep", "1000000").up()
        process.expected.add(self._bystander.pid)
        self._bystanders_state = self._state(self._bystander.id)
        self._before = machine.snapshot()

    @staticmethod
    def _rich(bundle: Bundle) -> None:
        """A config.json with something of everything."""
        bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro", "nosuid", "noexec", "nodev"])
        bundle.bind(bundle.directory("volume"), "/srv/volume")
        bundle.bind(bundle.file("file"), "/srv/file", "ro")
        bundle.resources.update(memory={"limit": 1 << 28}, pids={"limit": 100}, cpu={"shares": 512})
        bundle.linux.update(
            maskedPaths=["/proc/kcore", "/proc/acpi"],
            readonlyPaths=["/proc/sys"],
            sysctl={"kernel.domainname": "inside"},
            seccomp={
                "defaultAction": "SCMP_ACT_ALLOW",
                "syscalls": [{"names": ["kexec_load"], "action": "SCMP_ACT_ERRNO"}],
            },
        )
        bundle.config["hooks"] = {
            kind: [{"path": "/bin/true"}] for kind in ("createRuntime", "startContainer", "poststart", "poststop")
        }

    def close(self) -> None:
        """Remove the bystander."""
        process.expected.discard(self._bystander.pid)

    def calls(self, verb: str) -> dict[str, list[int]]:
        """The calls of each process of a verb, by role, when nothing goes wrong."""
        container = self._prepare(verb)
        self._run(verb, container, "-", 0, 0, 0)
        with open(self._report) as file:
            found = {words[0]: [int(n) for n in words[1:]] for line in file if (words := line.split())}
        self._clear(container)
        return found

    def start_up(self) -> list[int]:
        """The calls of a verb that does nothing."""
        words = [self._program, self._report, "-", "0", "0", "0", *self.runtime.argv("state", "nobody")]
        null = subprocess.DEVNULL
        subprocess.run(words, check=False, env=ENVIRONMENT, stdin=null, stdout=null, stderr=null, timeout=PATIENCE)
        with open(self._report) as file:
            return [int(n) for n in file.readline().split()[1:]]

    def points(self, verb: str, faults: Sequence[str], stride: int = 1) -> list[Point]:
        """All points of a verb with these faults, or each stride-th."""
        found = []
        start_up = self.start_up()
        for role, calls in self.calls(verb).items():
            common = 0
            if role == "0":
                while common < min(len(start_up), len(calls)) and start_up[common] == calls[common]:
                    common += 1
            for index, number in enumerate(calls):
                if index < common and index % START_UP_STRIDE:
                    continue
                name = call_name(number)
                found += [
                    Point(verb, role, index + 1, number, name, fault)
                    for fault in faults
                    if fault == "KILL" or name not in NEVER_FAIL
                ]
        return found[::stride]

    def attempt(self, point: Point) -> Outcome:
        """Make this fault, and look at what is left."""
        container = self._prepare(point.verb)
        try:
            error = FAULTS[point.fault]
            status, message = self._run(point.verb, container, point.role, point.place, point.number, error)
        except subprocess.TimeoutExpired:
            status, message = -1, "hangs"
        with open(self._report) as file:
            reached = file.read().startswith("hit")
        outcome = Outcome(point, reached, status, message)
        if status == -1:
            outcome.problems.append("the verb hangs")
        if "Traceback" in message and "in <module>" not in message:  # of an import of ours there is no better word
            outcome.problems.append(f"a traceback: {message}")
        self._judge(outcome, container)
        if outcome.problems:
            self._mend()
        return outcome

    def _prepare(self, verb: str) -> Container:
        bundle = self._bundle
        container = bundle.container("/bin/sleep", "1000000")
        if os.path.exists(container.pid_file):
            os.unlink(container.pid_file)
        if verb == "create":
            bundle.write()
        elif verb == "start":
            container.create()
        else:
            container.up()
        return container

    def _run(self, verb: str, container: Container, role: str, place: int, number: int, error: int) -> tuple[int, str]:
        words = {
            "create": ["create", "--bundle", container.bundle.path, "--pid-file", container.pid_file, container.id],
            "start": ["start", container.id],
            "exec": ["exec", container.id, "/bin/true"],
            "update": ["update", "--memory", str(1 << 27), "--pids-limit", "50", container.id],
            "delete": ["delete", "--force", container.id],
        }[verb]
        argv = [self._program, self._report, role, str(place), str(number), str(error), *self.runtime.argv(*words)]
        with tempfile.TemporaryFile(dir=self.runtime.work) as errors:
            command = subprocess.Popen(
                argv, env=ENVIRONMENT, cwd=self.runtime.work, stderr=errors,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                command.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                command.kill()
                command.wait()
                process.kill_children()
                raise
            return command.returncode, os.pread(errors.fileno(), 4000, 0).decode("utf-8", "replace").strip()

    def _judge(self, outcome: Outcome, container: Container) -> None:
        point, problems = outcome.point, outcome.problems
        failed_by_itself = 0 < outcome.status < 128
        if point.verb == "create" and failed_by_itself and container.id in self.runtime.containers():
            problems.append(f"a failed create left its directory ({outcome.message})")
        if point.verb in ("exec", "update") and not self._alone(container):
            problems.append("a process is left in the container")
        if container.id in self.runtime.containers():
            answer = self.runtime.call("state", container.id, timeout=PATIENCE)
            if answer.returncode and "does not exist" not in answer.stderr:
                problems.append(f"state: {answer.stderr.strip()}")
            elif point.verb in ("exec", "update") and '"running"' not in answer.stdout:
                problems.append(f"the container runs no more: {answer.stdout}")
        problems += self._clear(container)
        try:
            process.wait_for(lambda: not process.children(), "", CALM)
        except TimeoutError:
            problems += [f"process left: {what}" for what in process.children().values()]
        differences = self._before.differences(self.machine.snapshot())
        problems += [what for what in differences if not what.startswith("interfaces")]  # others make some too
        left = [name for name in os.listdir(self.runtime.root) if name not in (self._bystander.id, "@seccomp")]
        problems += [f"left in the state directory: {name}" for name in left]
        if self._state(self._bystander.id) != self._bystanders_state or process.ended(self._bystander.pid, 0):
            problems.append("the other container is not as before")

    def _alone(self, container: Container) -> bool:
        """Whether the container's init is soon the only process in its pid namespace."""
        path = f"/proc/{container.pid}/root/proc"

        def alone() -> bool:
            process.children()  # reaps the orphans
            return [name for name in os.listdir(path) if name.isdigit()] == ["1"]

        try:
            process.wait_for(alone, "", CALM)
        except (TimeoutError, OSError):
            return False
        return True

    def _clear(self, container: Container) -> list[str]:
        """``delete --force``; what it says if it fails."""
        process.children()  # init does not end before its orphans are reaped, which the engine does, here we
        try:
            result = self.runtime.call("delete", "--force", container.id, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return ["delete --force hangs"]
        finally:
            container.exit = 0  # init is ours, and reaped by process.children
            container.pid = 0
            self._bundle.forget(container)
        return [] if result.returncode == 0 else [f"delete --force: {result.stderr.strip()}"]

    def _mend(self) -> None:
        """Have the next point judged by itself."""
        for pid in process.children():
            os.kill(pid, signal.SIGKILL)
            process.ended(pid, 2)
        process.children()
        for name in os.listdir(self.runtime.root):
            if name not in (self._bystander.id, "@seccomp"):
                self.runtime.call("delete", "--force", name, timeout=PATIENCE)
                shutil.rmtree(os.path.join(self.runtime.root, name), ignore_errors=True)
        left = self.machine.snapshot()
        for path in sorted(left.cgroups - self._before.cgroups, reverse=True):
            try:
                os.rmdir(path)
            except OSError:
                pass
        self._before = self.machine.snapshot()

    def _state(self, name: str) -> dict[str, bytes]:
        """What the state directory holds of a container."""
        found = {}
        directory = os.path.join(self.runtime.root, name)
        for file in sorted(os.listdir(directory)):
            with open(os.path.join(directory, file), "rb") as content:
                found[file] = content.read()
        return found


def sample(laboratory: Laboratory, verb: str, count: int, seed: int) -> Iterator[Outcome]:
    """Outcomes of this many points of a verb, half of them deaths."""
    chooser = random.Random(f"{verb} {seed}")
    deaths = laboratory.points(verb, ["KILL"])
    failures = laboratory.points(verb, [name for name in FAULTS if name != "KILL"])
    for points in (deaths, failures):
        for point in sorted(chooser.sample(points, min(count // 2, len(points)))):
            yield laboratory.attempt(point)


def laboratory_of_its_own(path: str) -> tuple[Machine, Laboratory]:
    """For runs by hand."""
    machine = Machine()
    skeleton = Skeleton(os.path.join(machine.work, "skeleton"))
    runtime = Runtime(path, machine.work, machine.prefix)

    def new_bundle() -> Bundle:
        return Bundle(tempfile.mkdtemp(prefix="bundle-", dir=machine.work), skeleton, runtime)

    return machine, Laboratory(machine, runtime, new_bundle)


def say(line: str) -> None:
    """To whoever started the run."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def work(options: argparse.Namespace, shard: int) -> dict[str, list[int]]:
    """Attempt each shards-th point; returns [tried, reached, failed, with problems] by verb, role and fault."""
    machine, laboratory = laboratory_of_its_own(options.runtime)
    rows: dict[str, list[int]] = {}
    for verb in options.verb:
        points = [p for p in laboratory.points(verb, options.fault) if options.role in ("", p.role)]
        random.Random(options.seed).shuffle(points)  # so that what is tried in a given time is a sample
        deadline = time.monotonic() + options.seconds
        for number, point in enumerate(points):
            if number % options.stride != options.offset or number // options.stride % options.shards != shard:
                continue
            if time.monotonic() > deadline:
                say(f"{verb}: {number} of {len(points)} points in {options.seconds:.0f} seconds")
                break
            outcome = laboratory.attempt(point)
            row = rows.setdefault(f"{verb} {point.role} {point.fault}", [0, 0, 0, 0])
            for column, counts in enumerate((True, outcome.reached, outcome.status != 0, bool(outcome.problems))):
                row[column] += counts
            if outcome.problems or options.verbose:
                say(f"{point}: status {outcome.status} {outcome.message!r}: {outcome.problems}")
    laboratory.close()
    process.kill_children()
    for name in laboratory.runtime.containers():
        laboratory.runtime.call("delete", "--force", name)
    machine.close()
    return rows


def table(rows: dict[str, list[int]]) -> str:
    """In Markdown."""
    lines = ["| verb | process | fault | tried | reached | verb failed | problems |", "|---|---|---|---|---|---|---|"]
    lines += [f"| {' | '.join(key.split())} | {' | '.join(map(str, row))} |" for key, row in sorted(rows.items())]
    totals = [sum(column) for column in zip(*rows.values(), strict=True)]
    lines.append(f"| all | | | {' | '.join(map(str, totals))} |")
    return "\n".join(lines)


def main() -> int:
    """Run by hand; the exit status tells whether there were problems."""
    parser = argparse.ArgumentParser(prog="python -m oci.faults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runtime", default=os.path.join(CHECKOUT, ".venv/bin/lxcri"))
    parser.add_argument("--verb", nargs="+", choices=VERBS, default=VERBS)
    parser.add_argument("--fault", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--role", default="", help="of which process; all by default")
    parser.add_argument("--stride", type=int, default=1, help="attempt each N-th point")
    parser.add_argument("--offset", type=int, default=0, help="begin with this one")
    parser.add_argument("--shards", type=int, default=1, help="processes that share the work")
    parser.add_argument("--seconds", type=float, default=1e9, help="of each verb, after which the next one comes")
    parser.add_argument("--seed", type=int, default=1, help="of the order")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    workers = []
    for shard in range(options.shards):
        read, write = os.pipe()
        pid = os.fork()
        if not pid:
            try:
                with os.fdopen(write, "w") as out:
                    json.dump(work(options, shard), out)
            except BaseException:  # noqa: BLE001 (it is printed)
                sys.excepthook(*sys.exc_info())
                os._exit(1)
            os._exit(0)
        os.close(write)
        workers.append((pid, read))
    rows: dict[str, list[int]] = {}
    for pid, read in workers:
        with os.fdopen(read) as answer:
            text = answer.read()
        os.waitpid(pid, 0)
        for key, row in json.loads(text).items() if text else ():
            rows[key] = [a + b for a, b in zip(rows.get(key, [0] * len(row)), row, strict=True)]
    if not rows:
        return 1
    say(table(rows))
    return 1 if any(row[3] for row in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
