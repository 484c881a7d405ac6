"""podman with storage of its own."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from oci.runtime import contents

if TYPE_CHECKING:
    from oci.runtime import Runtime

IMAGE = "localhost/busybox:test"
RUN = ("run", "--network", "none")
# podman's default asks for more than the hard limit, which a runtime without CAP_SYS_RESOURCE cannot set
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")


@dataclass
class Finished:
    """A podman command's end."""

    returncode: int
    stdout: str
    stderr: str

    def ok(self) -> Finished:
        """Assert success."""
        assert self.returncode == 0, str(self)
        return self


class Podman:
    """podman with storage of its own."""

    def __init__(self, runtime: Runtime, directory: str, cgroup_parent: str) -> None:
        self.directory = directory
        self.cgroup_parent = cgroup_parent
        os.makedirs(f"{directory}/home")
        self.options = [
            "--root", f"{directory}/root",
            "--runroot", f"{directory}/run",
            "--tmpdir", f"{directory}/tmp",
            "--storage-driver", "vfs",
            "--cgroup-manager", "cgroupfs",
            "--events-backend", "file",
            "--runtime", runtime.path,
        ]  # fmt: skip
        self.environment = {
            "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "HOME": f"{directory}/home",
            "TMPDIR": f"{directory}",
        }

    def argv(self, *arguments: str) -> list[str]:
        """A command line; containers get their limits and the tests' cgroup."""
        command, *rest = arguments
        own = [*LIMITS, "--cgroup-parent", self.cgroup_parent] if command == "run" else []
        return ["podman", *self.options, command, *own, *rest]

    def __call__(self, *arguments: str) -> Finished:
        """Run a command to its end, with output in files."""
        with open(f"{self.directory}/out", "w+b") as out, open(f"{self.directory}/err", "w+b") as err:
            command = subprocess.run(
                self.argv(*arguments),
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=self.environment, cwd=self.directory,
                timeout=60, check=False,
            )  # fmt: skip
            return Finished(command.returncode, contents(out), contents(err))

    def inspect(self, name: str, template: str) -> str:
        """One value of a container."""
        return self("inspect", "--format", template, name).ok().stdout.strip()
