"""The runtime binary to test, and one container of it."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from oci import process

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from oci.bundle import Bundle

ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}


def contents(file: IO[Any]) -> str:
    """The whole of a file that others write to; nothing of one that is open for writing only."""
    if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY:
        return ""
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size, 0).decode("utf-8", "surrogateescape")


@dataclass(frozen=True)
class Result:
    """A finished command."""

    argv: Sequence[str]
    returncode: int  # minus the signal, for a death by signal
    stdout: str
    stderr: str
    strict: bool  # whether the errors must be one line of lxcri's form

    def __str__(self) -> str:
        return f"{' '.join(self.argv)}\n-> {self.returncode}\nstdout: {self.stdout!r}\nstderr: {self.stderr!r}"

    @property
    def message(self) -> str:
        """stderr, without the escapes of the Go runtimes' log format."""
        return self.stderr if self.strict else self.stderr.replace('\\"', '"')

    def ok(self) -> Result:
        """Assert that it succeeded."""
        assert self.returncode == 0, str(self)
        return self

    def refused(self, *texts: str, where: str = "", status: int = 1) -> str:
        """Assert that it failed as it should: status, one line on stderr with these texts; returns that line.

        ``where`` is the property or path that lxcri's message must name, which others do not promise.
        """
        assert self.returncode == status, str(self)
        for text in texts:
            assert text in self.message, f"{text!r} is missing\n{self}"
        if self.strict:
            lines = self.stderr.splitlines()
            assert len(lines) == 1, f"an error is one line\n{self}"
            assert lines[0].startswith("lxcri: "), str(self)
            assert not lines[0].endswith("."), str(self)
            assert "Traceback" not in lines[0], str(self)
            assert where in lines[0], f"{where!r} is missing\n{self}"
        return self.message


class Runtime:
    """A runtime binary with a state directory of its own."""

    def __init__(self, path: str, work: str, prefix: str) -> None:
        self.path = path
        self.work = work
        self.root = os.path.join(work, "run/state")  # a runtime that obeys the id ".." ruins its own tests only
        self.version = subprocess.run(
            [path, "--version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=process.TIMEOUT,
            env=ENVIRONMENT,
        ).stdout
        self.name = self.version.split()[0]
        self._prefix = prefix
        self._count = 0

    @property
    def is_lxcri(self) -> bool:
        """Whether this is lxcri itself."""
        return self.name == "lxcri"

    def new_id(self) -> str:
        """A container id that nobody else uses."""
        self._count += 1
        return f"{self._prefix}-{self._count}"

    def containers(self) -> list[str]:
        """Names in the state directory; names that begin with @ are the runtime's own (caches)."""
        try:
            return sorted(name for name in os.listdir(self.root) if not name.startswith("@"))
        except FileNotFoundError:
            return []

    def argv(self, *arguments: str, options: Sequence[str] = ()) -> list[str]:
        """The command line with this run's state directory."""
        return [self.path, "--root", self.root, *options, *arguments]

    def spawn(
        self,
        *arguments: str,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: IO[Any] | int | None = subprocess.DEVNULL,
        stdout: IO[Any] | int | None = None,
        stderr: IO[Any] | int | None = None,
        pass_fds: Sequence[int] = (),
        wrapper: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a command, behind the words of ``wrapper`` if there are any, and do not wait for it."""
        return subprocess.Popen(
            [*wrapper, *self.argv(*arguments, options=options)],
            env=ENVIRONMENT if env is None else env,
            cwd=self.work if cwd is None else cwd,
            stdin=stdin,
            stdout=stdout,
            stderr=stderr,
            pass_fds=pass_fds,
        )

    def call(
        self,
        *arguments: str,
        options: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        cwd: str | None = None,
        stdin: IO[Any] | int | None = subprocess.DEVNULL,
        stdout: IO[Any] | None = None,
        stderr: IO[Any] | None = None,
        pass_fds: Sequence[int] = (),
        wrapper: Sequence[str] = (),
        timeout: float = process.TIMEOUT,
    ) -> Result:
        """Run a command to its end. Output goes to files: a pipe would wait for whoever inherits it."""
        with tempfile.TemporaryFile(dir=self.work) as out, tempfile.TemporaryFile(dir=self.work) as err:
            command = self.spawn(
                *arguments,
                options=options,
                env=env,
                cwd=cwd,
                stdin=stdin,
                stdout=stdout or out,
                stderr=stderr or err,
                pass_fds=pass_fds,
                wrapper=wrapper,
            )
            try:
                process.wait_command(command, timeout)
            except subprocess.TimeoutExpired:
                command.kill()
                command.wait()
                raise
            return self.result(command, stdout or out, stderr or err)

    def result(self, command: subprocess.Popen[bytes], stdout: IO[Any], stderr: IO[Any]) -> Result:
        """What a finished command wrote to its files."""
        arguments = command.args
        assert isinstance(arguments, list)
        return Result(arguments, command.returncode, contents(stdout), contents(stderr), self.is_lxcri)


class Container:
    """One container; its output is collected in files of its bundle."""

    def __init__(self, runtime: Runtime, bundle: Bundle, identity: str | None = None) -> None:
        self.runtime = runtime
        self.bundle = bundle
        self.id = identity or runtime.new_id()
        self.pid = 0
        self.pid_file = os.path.join(bundle.path, f"{self.id[:60]}.pid")
        # close() closes them; the container writes as long as it lives
        self._out = tempfile.TemporaryFile(dir=bundle.path)  # noqa: SIM115
        self._err = tempfile.TemporaryFile(dir=bundle.path)  # noqa: SIM115
        self.exit: int | None = None

    def create(self, *options: str, **how: Any) -> Result:
        """``create`` with the pid file; the container's own output is read by output()."""
        return self.attempt_create(*options, **how).ok()

    def attempt_create(self, *options: str, **how: Any) -> Result:
        """``create`` that may fail."""
        self.bundle.write()
        how.setdefault("stdout", self._out)
        how.setdefault("stderr", self._err)
        result = self.runtime.call(
            "create", "--bundle", self.bundle.path, "--pid-file", self.pid_file, *options, self.id, **how
        )
        if result.returncode == 0:
            self._read_pid()
        return result

    def start(self) -> Result:
        """``start``; runc's returns before the process has executed args, so wait for that."""
        before = self._executable()
        result = self.attempt_start().ok()
        process.wait_for(lambda: self._executable() != before, f"{self.id}: execve")
        return result

    def _executable(self) -> str | None:
        try:
            return os.readlink(f"/proc/{self.pid}/exe")
        except OSError:  # a zombie has none
            return None

    def attempt_start(self) -> Result:
        """``start`` that may fail."""
        return self.runtime.call("start", self.id)

    def up(self, *options: str) -> Container:
        """``create`` and ``start``."""
        self.create(*options)
        self.start()
        return self

    def run_detached(self, *options: str, detach: str = "--detach") -> Container:
        """``run --detach``."""
        self.bundle.write()
        self.runtime.call(
            "run", detach, "--bundle", self.bundle.path, "--pid-file", self.pid_file, *options, self.id,
            stdout=self._out, stderr=self._err,
        ).ok()  # fmt: skip
        self._read_pid()
        return self

    def _read_pid(self) -> None:
        with open(self.pid_file) as file:
            self.pid = int(file.read())

    def state(self) -> dict[str, Any]:
        """``state``, decoded."""
        state = json.loads(self.runtime.call("state", self.id).ok().stdout)
        assert isinstance(state, dict)
        return state

    def status(self) -> str:
        """The status that ``state`` reports."""
        return str(self.state()["status"])

    def wait(self, timeout: float = process.TIMEOUT) -> int:
        """Wait for the container's init; returns its exit code, or minus the signal that killed it."""
        if self.exit is None:
            self.exit = process.reap(self.pid, timeout)
        return self.exit

    def kill(self, *arguments: str) -> Result:
        """``kill ID ARGUMENTS``."""
        return self.runtime.call("kill", self.id, *arguments)

    def delete(self, *options: str) -> Result:
        """``delete``."""
        return self.runtime.call("delete", *options, self.id)

    def output(self) -> str:
        """What went to the container's stdout so far."""
        return contents(self._out)

    def errors(self) -> str:
        """What went to the container's stderr so far."""
        return contents(self._err)

    def wait_output(self, text: str) -> str:
        """Wait until stdout holds this text."""
        process.wait_for(lambda: text in self.output(), f"{text!r} from {self.id}")
        return self.output()

    def proc(self, name: str) -> str:
        """A file of /proc/PID of the container's init."""
        with open(f"/proc/{self.pid}/{name}", errors="surrogateescape") as file:
            return file.read()

    def path(self, inside: str) -> str:
        """How the host reaches a path of the container."""
        return f"/proc/{self.pid}/root/{inside.lstrip('/')}"

    def close(self) -> None:
        """Remove the container, whatever its state. What a failed ``create`` leaves stays, for the check."""
        self._out.close()
        self._err.close()
        if self.pid and self.exit is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            if not process.ended(self.pid, 0.5):
                self.runtime.call("resume", self.id)  # a frozen process does not die on v1
            with contextlib.suppress(ChildProcessError):
                self.wait()  # pid 1 of a namespace does not end before the others are reaped
        if self.pid and self.id in self.runtime.containers():
            self.runtime.call("delete", "--force", self.id).ok()
