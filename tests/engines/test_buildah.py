"""buildah with the runtime under test: run and build, isolated by the runtime."""

from __future__ import annotations

import os
import shlex
import shutil
from typing import TYPE_CHECKING

import pytest
from oci import engine, process
from oci.calls import Recorder, compare, recorders
from oci.podman import LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.machine import Machine
    from oci.rootfs import Skeleton
    from oci.runtime import Runtime


class Buildah(engine.Client):
    """buildah with storage of its own, and one working container."""

    def __init__(self, runtime: Runtime, directory: str) -> None:
        super().__init__(
            directory,
            ["buildah", "--root", f"{directory}/root", "--runroot", f"{directory}/run", "--storage-driver", "vfs"],
        )
        self.runtime = runtime
        self.container = ""

    def prepare(self, layer: str) -> None:
        """Make the working container of one layer."""
        self.container = self("from", "scratch").ok().stdout.strip()
        self("add", self.container, layer, "/").ok()
        self("config", "--env", "PATH=/bin", self.container).ok()

    def run(self, *arguments: str) -> engine.Finished:
        """`run` in the working container; options go before the program."""
        options = [argument for argument in arguments if argument.startswith("--")]
        return self(
            "run", "--runtime", self.runtime.path, "--isolation", "oci", "--network", "none", *options,
            self.container, "--", *arguments[len(options) :],
        )  # fmt: skip


@pytest.fixture(scope="module")
def prepared(machine: Machine, runtime: Runtime, skeleton: Skeleton) -> Iterator[Buildah]:
    """buildah with a working container."""
    if shutil.which("buildah") is None:
        pytest.skip("buildah is not installed")
    directory = os.path.join(machine.work, "buildah")
    os.makedirs(directory)
    config = os.path.join(directory, "containers.conf")
    with open(config, "w") as file:
        file.write('[containers]\ndefault_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]\n')
    buildah = Buildah(runtime, directory)
    buildah.environment["CONTAINERS_CONF"] = config
    states = {f"/run/{name}" for name in (runtime.name, "runc")}  # buildah gives no --root
    for state in states:
        os.makedirs(state, mode=0o700)
    buildah.prepare(engine.layer(skeleton, directory))
    yield buildah
    buildah("rm", "--all")
    buildah("rmi", "--all", "--force")
    process.kill_children()
    engine.remove(directory)
    for name in ("/run/lock", "/run/containers", *states):
        shutil.rmtree(name, ignore_errors=True)


@pytest.fixture
def buildah(prepared: Buildah, as_before: None) -> Buildah:
    """buildah, with nothing running."""
    return prepared


@pytest.mark.parametrize("code", [0, 7])
def test_exit_code(buildah: Buildah, code: int) -> None:
    """The process's own."""
    assert buildah.run("/bin/sh", "-c", f"exit {code}").returncode == code


def test_streams(buildah: Buildah) -> None:
    """stdout and stderr apart."""
    result = buildah.run("/bin/sh", "-c", "echo out; echo err >&2").ok()
    assert (result.stdout, result.stderr) == ("out\n", "err\n")


@pytest.mark.parametrize(
    ("options", "script", "expected"),
    [
        (["--user=1000:1000"], "id -u; id -g", "1000\n1000\n"),
        (["--env=A=b"], "echo $A", "b\n"),
        (["--workingdir=/srv"], "pwd", "/srv\n"),
        (["--hostname=box"], "hostname", "box\n"),
        (["--cap-drop=CAP_CHOWN"], "chown 1 /tmp 2>&1 | grep -c permitted", "1\n"),
        (["--volume=/etc:/srv:ro"], "touch /srv/x 2>&1 | grep -c Read-only", "1\n"),
        ([], "grep Seccomp: /proc/self/status", "Seccomp:\t2\n"),
        ([], "cat /proc/1/comm", "cat\n"),
    ],
)
def test_run(buildah: Buildah, options: list[str], script: str, expected: str) -> None:
    """One option, seen from inside."""
    assert buildah.run(*options, "/bin/sh", "-c", script).ok().stdout == expected


def test_missing_program(buildah: Buildah) -> None:
    """The runtime's text is shown."""
    result = buildah.run("/no/such")
    assert result.returncode != 0
    assert "no such file or directory" in result.stderr, result


def test_build(buildah: Buildah) -> None:
    """RUN by the runtime, as another user too; a failing one fails the build."""
    buildah("commit", "--rm=false", buildah.container, "base").ok()
    context = os.path.join(buildah.directory, "context")
    os.mkdir(context)
    build = ("build", "--runtime", buildah.runtime.path, "--isolation", "oci", "--network", "none", *LIMITS)
    with open(f"{context}/Containerfile", "w") as file:
        file.write("FROM localhost/base\nRUN echo built >/mark\nUSER 1000\nRUN id -u; cat /mark\n")
    result = buildah(*build, "-t", "built", context).ok()
    assert "1000\nbuilt\n" in result.stdout
    with open(f"{context}/Containerfile", "w") as file:
        file.write("FROM localhost/base\nRUN exit 9\n")
    result = buildah(*build, context)
    assert result.returncode != 0
    assert "exit status 9" in result.stderr, result
    shutil.rmtree(context)


CALLS = """
    RUN -- /bin/true
    RUN -- /bin/sh -c 'echo out; echo err >&2; exit 7'
    RUN -- /bin/sh -c 'kill -9 $$'
    RUN -- /no/such
    RUN -- no-such
    RUN -- /etc/passwd
    RUN -- /etc
    RUN --workingdir /new -- /bin/true
    RUN --terminal -- /bin/true
    RUN --user 1000:1000 -- /bin/true
"""


def test_calls(buildah: Buildah) -> None:
    """Each call of the runtime is answered as runc answers it."""

    def command(recorder: Recorder, line: str) -> object:
        run = f"run --runtime {recorder.path} --isolation oci --network none"
        result = buildah(*shlex.split(line.replace("RUN", run).replace(" -- ", f" {buildah.container} -- ")))
        return line, result.returncode, bool(result.stdout), bool(result.stderr)

    compare(command, recorders(buildah.runtime, buildah.directory), CALLS)
