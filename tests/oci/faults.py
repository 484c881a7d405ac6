"""Have one system call of one process of a verb go wrong, and look at what is left.

    PYTHONPATH=.:tests .venv/bin/python -m oci.faults --shards 3

tries all: each process that `create`, `start`, `run`, `exec`, `update` and `delete` make is killed at each of its
calls, and each call that can fail fails. After each, the verb has ended; then `state` answers, `delete --force`
removes what there is, and no process, mount, cgroup, file of the state directory or descriptor is left, nor is
another container touched. A failed `create` or `exec` leaves nothing in the first place. Points are what one
undisturbed run does: the N-th call of a kind of a process. Some of these are second tries, which another run has
fewer of: not all are reached.

A container that a point has left as it was, to the byte of its state directory, serves for the next points of the
verb, and is deleted after these.
"""

from __future__ import annotations

import argparse
import ctypes
import errno
import json
import os
import pickle
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from oci import process
from oci.bundle import Bundle
from oci.machine import Machine
from oci.rootfs import Skeleton
from oci.runtime import ENVIRONMENT, Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from oci.machine import Snapshot
    from oci.runtime import Container

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

FAULTS = {"KILL": 0} | {name: getattr(errno, name) for name in ("ENOMEM", "ENOSPC", "EMFILE", "EIO", "EINTR", "EPERM")}
VERBS = ("create", "start", "run", "exec", "update", "delete")

PATIENCE = 15.0
"""Seconds for a verb; what takes longer hangs."""
CALM = 4.0
"""Seconds until everything that a killed process has started is over."""
SAMPLED_START_UP = 40
"""A sample takes each 40th of the calls with which each verb begins, the interpreter's, or had little else."""
WORD = 8
"""Bytes of a chunk's number on its way to a shard."""
CONTAINER = "0.1.1"
"""Role of the container's init, and what those of its children begin with."""
CHUNK = 25
"""Points of one verb that a shard tries in a row, and that a container may serve for."""

OUR_TRACEBACK = re.compile(r'Traceback[^\0]*File "[^"]*/lxc(ri|ffi)/(?!archive\.py)[^"]*", line \d+, in (?!<module>)')
"""With a function of ours; where the interpreter cannot start, nor import our first module, there is no better word."""

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
    """One fault: in which verb, of which process (oci/faults.c, "role"), at the how manieth of which call, and how."""

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


@dataclass(frozen=True)
class Patient:
    """A container to make faults in, and what it was like before."""

    container: Container
    status: str
    state: dict[str, bytes]
    before: Snapshot


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
        self._patient: Patient | None = None
        self._attempts = 0

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
        """Let go of the bystander."""
        process.expected.discard(self._bystander.pid)

    def calls(self, verb: str) -> dict[str, list[int]]:
        """The calls of each process of a verb, by role, when nothing goes wrong."""
        container = self._prepare(verb)
        self._run(verb, container, "-", 0, 0, 0)
        with open(self._report) as file:
            found = {words[0]: [int(n) for n in words[1:]] for line in file if (words := line.split())}
        self._patient = None
        self._clear(container)
        return found

    def start_up(self) -> list[int]:
        """The calls of a verb that does nothing."""
        words = [self._program, self._report, "-", "0", "0", "0", *self.runtime.argv("state", "nobody")]
        null = subprocess.DEVNULL
        subprocess.run(words, check=False, env=ENVIRONMENT, stdin=null, stdout=null, stderr=null, timeout=PATIENCE)
        with open(self._report) as file:
            return [int(n) for n in file.readline().split()[1:]]

    def points(self, verb: str, faults: Sequence[str], start_up_stride: int = 1) -> list[Point]:
        """
        All points of a verb with these faults; of the interpreter's start each so many calls are one.

        `run` is `create` and `start` in one: its points are what the container's processes do after `create`.
        """
        found = []
        start_up = self.start_up()
        created = {role: len(calls) for role, calls in self.calls("create").items()} if verb == "run" else {}
        for role, calls in self.calls(verb).items():
            common = 0
            counts: dict[int, int] = {}
            if role == "0":
                while common < min(len(start_up), len(calls)) and start_up[common] == calls[common]:
                    common += 1
            for index, number in enumerate(calls):
                counts[number] = counts.get(number, 0) + 1
                if verb == "run" and (index < created.get(role, 0) or not role.startswith(CONTAINER)):
                    continue
                if index < common and index % start_up_stride:
                    continue
                name = call_name(number)
                found += [
                    Point(verb, role, counts[number], number, name, fault)
                    for fault in faults
                    if fault == "KILL" or name not in NEVER_FAIL
                ]
        return found

    def attempt_all(self, points: Iterable[Point]) -> Iterator[Outcome]:
        """Attempt these, and delete the last one's container."""
        outcome = None
        for point in points:
            if outcome:
                yield outcome
            outcome = self.attempt(point)
        if outcome:
            outcome.problems += self._discharge()
            yield outcome

    def attempt(self, point: Point) -> Outcome:
        """Make this fault, and look at what is left."""
        outcome = Outcome(point, False, -1, "")
        try:
            self._attempt(outcome)
        except (AssertionError, OSError) as e:
            outcome.problems.append(f"it could not be tried, or judged: {e}")
        if outcome.problems:
            self._mend()
        return outcome

    def _attempt(self, outcome: Outcome) -> None:
        self._attempts += 1
        point = outcome.point
        container = self._prepare(point.verb)
        error = FAULTS[point.fault]
        try:
            outcome.status, outcome.message = self._run(
                point.verb, container, point.role, point.place, point.number, error
            )
        except subprocess.TimeoutExpired:
            outcome.problems.append("the verb hangs")
        with open(self._report) as file:
            outcome.reached = file.read().startswith("hit")
        if OUR_TRACEBACK.search(outcome.message):
            outcome.problems.append("a traceback")
        self._judge(outcome, container)

    def _prepare(self, verb: str) -> Container:
        status = {"create": "", "run": "", "start": "created"}.get(verb, "running")
        if self._patient and self._patient.status == status:
            return self._patient.container
        problems = self._discharge()
        assert not problems, problems
        bundle = self._bundle
        container = bundle.container("/bin/sleep", "1000000")
        if os.path.exists(container.pid_file):
            os.unlink(container.pid_file)
        if not status:
            shutil.rmtree(
                os.path.join(self.runtime.root, "@seccomp"), ignore_errors=True
            )  # so that each compiles its filter
            bundle.write()
            return container
        container.create()
        process.expected.add(container.pid)
        if status == "running":
            container.start()
        self._patient = Patient(container, status, self._state(container.id), self.machine.snapshot())
        return container

    def _discharge(self) -> list[str]:
        """Delete the container that serves for several points; returns what is then wrong."""
        if not self._patient:
            return []
        container, self._patient = self._patient.container, None
        return [*self._clear(container), *self._left(self._before)]

    def _run(self, verb: str, container: Container, role: str, place: int, number: int, error: int) -> tuple[int, str]:
        odd = self._attempts % 2  # so that there is something to do
        words = {
            "create": ["create", "--bundle", container.bundle.path, "--pid-file", container.pid_file, container.id],
            "run": ["run", "--detach", "--bundle", container.bundle.path, container.id],
            "start": ["start", container.id],
            "exec": ["exec", container.id, "/bin/true"],
            "update": ["update", "--memory", str(1 << 27 + odd), "--pids-limit", str(50 + odd), container.id],
            "delete": ["delete", "--force", container.id],
        }[verb]
        argv = [self._program, self._report, role, str(place), str(number), str(error), *self.runtime.argv(*words)]
        with tempfile.TemporaryFile(dir=self.runtime.work) as errors:
            command = subprocess.Popen(
                argv, env=ENVIRONMENT, cwd=self.runtime.work, stderr=errors,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            )  # fmt: skip
            try:
                process.wait_command(command, PATIENCE)
            except subprocess.TimeoutExpired:
                command.kill()
                command.wait()
                process.kill_children()
                raise
            return command.returncode, os.pread(errors.fileno(), 4000, 0).decode("utf-8", "replace").strip()

    def _judge(self, outcome: Outcome, container: Container) -> None:
        point, problems = outcome.point, outcome.problems
        failed_by_itself = 0 < outcome.status < 128
        status = ""
        if point.verb in ("create", "run") and failed_by_itself and container.id in self.runtime.containers():
            problems.append(f"a failed {point.verb} left its directory ({outcome.message})")
        if point.verb in ("exec", "update") and not self._alone(container):
            problems.append("a process is left in the container")
        if container.id in self.runtime.containers():
            answer = self.runtime.call("state", container.id, timeout=PATIENCE)
            if answer.returncode == 0:
                status = json.loads(answer.stdout)["status"]
            elif "does not exist" not in answer.stderr:
                problems.append(f"state: {answer.stderr.strip()}")
        if point.verb in ("exec", "update") and status != "running":
            problems.append(f"the container runs no more: {status}")
        patient, self._patient = self._patient, None
        if patient and not problems and self._unchanged(patient, status):
            self._patient = patient
            return
        problems += self._clear(container)
        problems += self._left(self._before)

    def _unchanged(self, patient: Patient, status: str) -> bool:
        """Whether the container, and all else, is as before the point."""
        container = patient.container
        return (
            status == patient.status
            and self._state(container.id) == patient.state
            and not process.ended(container.pid, 0)
            and self._alone(container)
            and not self._left(patient.before, container.id)
        )

    def _left(self, before: Snapshot, *names: str) -> list[str]:
        """How the machine differs from before, with these containers besides the bystander."""
        problems = []
        try:
            process.wait_for(lambda: not process.children(), "", CALM)
        except TimeoutError:
            problems += [f"process left: {what}" for what in process.children().values()]
        differences = before.differences(self.machine.snapshot())
        problems += [what for what in differences if not what.startswith("interfaces")]  # others make some too
        left = [name for name in os.listdir(self.runtime.root) if name not in (self._bystander.id, "@seccomp", *names)]
        problems += [f"left in the state directory: {name}" for name in left]
        if self._state(self._bystander.id) != self._bystanders_state or process.ended(self._bystander.pid, 0):
            problems.append("the other container is not as before")
        return problems

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
        process.expected.discard(container.pid)
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
        self._patient = None
        process.expected &= {self._bystander.pid}
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
        """What the state directory holds of a container; of what is no file its inode's number."""
        found = {}
        for entry in os.scandir(os.path.join(self.runtime.root, name)):
            if entry.is_file(follow_symlinks=False):
                with open(entry.path, "rb") as content:
                    found[entry.name] = content.read()
            else:
                found[entry.name] = str(entry.inode()).encode()
        return found


def sample(laboratory: Laboratory, verb: str, count: int, seed: int) -> Iterator[Outcome]:
    """Outcomes of this many points of a verb, half of them deaths."""
    chooser = random.Random(f"{verb} {seed}")
    deaths = laboratory.points(verb, ["KILL"], SAMPLED_START_UP)
    failures = laboratory.points(verb, [name for name in FAULTS if name != "KILL"], SAMPLED_START_UP)
    for points in (deaths, failures):
        yield from laboratory.attempt_all(sorted(chooser.sample(points, min(count // 2, len(points)))))


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


def all_points(options: argparse.Namespace) -> list[list[Point]]:
    """Points that are to be tried, in random order, in chunks of one verb."""
    machine, laboratory = laboratory_of_its_own(options.runtime)
    chooser = random.Random(options.seed)
    chunks = []
    for verb in options.verb:
        points = laboratory.points(verb, options.fault, options.start_up)
        points = [point for point in points if options.role in ("", point.role)]
        chooser.shuffle(points)
        points = points[options.offset :: options.stride]
        say(f"{verb}: {len(points)} points")
        chunks += [points[at : at + CHUNK] for at in range(0, len(points), CHUNK)]
    chooser.shuffle(chunks)
    close(machine, laboratory)
    return chunks


def close(machine: Machine, laboratory: Laboratory) -> None:
    """Remove all traces of a laboratory of its own."""
    laboratory.close()
    process.kill_children()
    for name in laboratory.runtime.containers():
        laboratory.runtime.call("delete", "--force", name)
    machine.close()


def work(options: argparse.Namespace, chunks: list[list[Point]], queue: int, feed: int) -> dict[str, list[int]]:
    """Attempt the chunks whose numbers the queue gives; returns [tried, reached, failed, with problems] by kind."""
    os.close(feed)  # or the queue would have no end
    machine, laboratory = laboratory_of_its_own(options.runtime)
    rows: dict[str, list[int]] = {}
    deadline = time.monotonic() + options.seconds
    while (word := os.read(queue, WORD)) and time.monotonic() < deadline:
        for outcome in laboratory.attempt_all(chunks[int(word)]):
            point = outcome.point
            who = "the runtime" if point.role == "0" else "others"
            how = "killed" if point.fault == "KILL" else "call fails"
            row = rows.setdefault(f"`{point.verb}` | {who} | {how}", [0, 0, 0, 0])
            for column, counts in enumerate((True, outcome.reached, outcome.status != 0, bool(outcome.problems))):
                row[column] += counts
            if outcome.problems or options.verbose:
                say(f"{point}: status {outcome.status} {outcome.message!r}: {outcome.problems}")
        if not int(word) % 100:
            say(f"part {word.decode().strip()} of {len(chunks)}")
    close(machine, laboratory)
    return rows


def table(rows: dict[str, list[int]]) -> str:
    """In Markdown."""
    lines = [
        "| verb | process | fault | points tried | reached | verb failed | problems |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [f"| {key} | {' | '.join(map(str, row))} |" for key, row in sorted(rows.items())]
    totals = [sum(column) for column in zip(*rows.values(), strict=True)]
    lines.append(f"| all | | | {' | '.join(map(str, totals))} |")
    return "\n".join(lines)


def in_child(what: Callable[[], Any]) -> tuple[int, int]:
    """Begin this in a process of its own, whose namespaces it may leave; its pid, and where its result comes from."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            with os.fdopen(write, "wb") as out:
                pickle.dump(what(), out)
        except BaseException:  # noqa: BLE001 (it is printed)
            sys.excepthook(*sys.exc_info())
            os._exit(1)
        os._exit(0)
    os.close(write)
    return pid, read


def result(pid: int, read: int) -> Any:
    """What the child has returned; None if it did not."""
    with os.fdopen(read, "rb") as answer:
        data = answer.read()
    os.waitpid(pid, 0)
    return pickle.loads(data) if data else None


def main() -> int:
    """Run by hand; the exit status tells whether there were problems, or points were not tried."""
    parser = argparse.ArgumentParser(prog="python -m oci.faults", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runtime", default=os.path.join(CHECKOUT, ".venv/bin/lxcri"))
    parser.add_argument("--verb", nargs="+", choices=VERBS, default=VERBS)
    parser.add_argument("--fault", nargs="+", choices=FAULTS, default=list(FAULTS))
    parser.add_argument("--role", default="", help="of which process; all by default")
    parser.add_argument("--start-up", type=int, default=1, help="of the interpreter's own start each N-th call")
    parser.add_argument("--stride", type=int, default=1, help="attempt each N-th point")
    parser.add_argument("--offset", type=int, default=0, help="begin with this one")
    parser.add_argument("--shards", type=int, default=1, help="processes that share the work")
    parser.add_argument("--seconds", type=float, default=1e9, help="after which no more points are tried")
    parser.add_argument("--seed", type=int, default=1, help="of the order")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    begin = time.monotonic()
    chunks: list[list[Point]] = result(*in_child(lambda: all_points(options))) or []
    queue, feed = os.pipe()
    workers = [in_child(lambda: work(options, chunks, queue, feed)) for _ in range(options.shards)]
    os.close(queue)
    try:
        for number in range(len(chunks)):
            os.write(feed, f"{number:{WORD}}".encode())
    except BrokenPipeError:  # all have come to the end of their time
        pass
    os.close(feed)
    rows: dict[str, list[int]] = {}
    for worker in workers:
        for key, row in (result(*worker) or {}).items():
            rows[key] = [a + b for a, b in zip(rows.get(key, [0] * len(row)), row, strict=True)]
    if not rows:
        return 1
    tried, points = sum(row[0] for row in rows.values()), sum(map(len, chunks))
    say(f"{tried} of {points} points in {time.monotonic() - begin:.0f} seconds")
    say(table(rows))
    return 1 if tried < points or any(row[3] for row in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
