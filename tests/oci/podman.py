"""podman with storage of its own."""

from __future__ import annotations

from oci import engine, process

IMAGE = "localhost/busybox:test"
RUN = ("run", "--network", "none")
# podman's default asks for more than the hard limit, which a runtime without CAP_SYS_RESOURCE cannot set
LIMITS = ("--ulimit", "nofile=1024:1024", "--ulimit", "nproc=4096:4096")


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

    def remove_all(self) -> None:
        """Remove all containers, as often as podman finds something busy.

        With any runtime podman 4.3 now and then fails to unmount the /dev/shm of a container with a user namespace,
        and can do so a moment later.
        """

        def removed() -> bool:
            done = self("rm", "--all", "--force", "--time", "0")
            if "device or resource busy" in done.stderr:
                return False
            done.ok()
            return True

        process.wait_for(removed, "the removal of all containers")

    def on(self, runtime: str, **environment: str) -> Podman:
        """The same storage with another runtime."""
        other = Podman(runtime, self.directory, self.cgroup_parent)
        other.environment.update(environment)
        return other
