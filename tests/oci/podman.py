"""podman with storage of its own."""

from __future__ import annotations

import subprocess
from typing import IO, Any

from oci import engine

IMAGE = "localhost/busybox:test"
RUN = ("run", "--network", "none")
# podman's default asks for more than the hard limit, which a runtime without CAP_SYS_RESOURCE cannot set
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")
# of a removal; the next one nearly always succeeds
ATTEMPTS = 10


class Podman(engine.Client):
    """podman with storage of its own."""

    def __init__(self, runtime: str, directory: str, cgroup_parent: str) -> None:
        super().__init__(directory, ["podman"])
        self.cgroup_parent = cgroup_parent
        self.options = [
            "--root", f"{directory}/root",
            "--runroot", f"{directory}/run",
            "--tmpdir", f"{directory}/tmp",
            "--storage-driver", "vfs",
            "--cgroup-manager", "cgroupfs",
            "--events-backend", "file",
        ]  # fmt: skip
        self.runtime = ["--runtime", runtime]

    def argv(self, *arguments: str) -> list[str]:
        """A command line; containers get their limits and the tests' cgroup."""
        command, *rest = arguments
        own = [*LIMITS, "--cgroup-parent", self.cgroup_parent] if command in ("run", "create") else []
        return [*self.command, *self.options, *self.runtime, command, *own, *rest]

    def __call__(self, *arguments: str, stdin: IO[Any] | int = subprocess.DEVNULL) -> engine.Finished:
        """Run a command to its end; `rm` again while podman's own mounts are in its way.

        conmon of a container with a user namespace is in a mount namespace of its own, and so is podman's clean-up
        that it runs at the end, which unmounts userdata/shm there only. Then `rm` meets it as a mount point: two of
        its threads remove the same directory, one unmounts, the other one fails with EBUSY. This is so with every
        runtime. (podman 4.3)
        """
        finished = super().__call__(*arguments, stdin=stdin)
        if "rm" in arguments[:2]:
            place = arguments.index("rm") + 1
            again = (*arguments[:place], "--ignore", *arguments[place:])  # some of them may be gone by now
            for _ in range(ATTEMPTS):
                if finished.returncode == 0 or "device or resource busy" not in finished.stderr:
                    break
                finished = super().__call__(*again, stdin=stdin)
        return finished

    def remove_all(self) -> None:
        """Remove all containers."""
        self("rm", "--all", "--force", "--time", "0").ok()

    def on(self, runtime: str, **environment: str) -> Podman:
        """The same storage with another runtime."""
        other = Podman(runtime, self.directory, self.cgroup_parent)
        other.environment.update(environment)
        return other
