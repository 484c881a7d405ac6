"""A bundle and its runtime in the hands of an ordinary user."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from oci import process
from oci.runtime import contents
from oci.user import known

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.bundle import Bundle
    from oci.machine import Machine
    from oci.user import User


def needs_newuidmap() -> None:
    """Skip a test of subordinate ids where nothing can map them."""
    if not (shutil.which("newuidmap") and os.path.exists("/etc/subuid")):
        pytest.skip("newuidmap is not installed (Debian: uidmap)")


def subordinate_user(machine: Machine) -> Iterator[User]:
    """A fixture's user with subordinate ids."""
    needs_newuidmap()
    with known(machine, subordinate=True) as user:
        yield user


class Rootless:
    """A bundle that belongs to an ordinary user, who runs the runtime with a state directory of its own."""

    def __init__(self, bundle: Bundle, user: User, *, subordinate: bool) -> None:
        self.bundle = bundle
        self.user = user
        self.subordinate = subordinate
        self.env = dict(user.environment)
        self.wrapper: list[str] = []
        """What root does before it becomes the user: the beginning of a command line."""
        bundle.linux.pop("cgroupsPath", None)
        bundle.linux["resources"] = {}
        if not subordinate:
            for mount in bundle.config["mounts"]:  # no id but its own is mapped
                mount["options"] = [option for option in mount.get("options", []) if not option.startswith("gid=")]

    @property
    def root(self) -> str:
        """The state directory."""
        return os.path.join(self.user.runtime_dir, "lxcri")

    def argv(self, *words: str) -> list[str]:
        """A command line of the runtime as the user."""
        return self.user.argv(self.bundle.runtime.path, *words)

    def write(self) -> None:
        """Write the bundle and give it to the user."""
        self.bundle.write()
        os.chmod(self.bundle.path, 0o755)
        self.user.give(self.bundle.path)

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the runtime; output goes to files."""
        argv = [*self.wrapper, *self.user.argv(self.bundle.runtime.path, *words)]
        path = os.path.join(self.bundle.path, "out")
        with open(path, "w+") as out, open(path + ".err", "w+") as err:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                env=self.env,
                cwd=self.bundle.path,
                timeout=process.TIMEOUT,
                check=False,
            )
            return subprocess.CompletedProcess(argv, done.returncode, contents(out), contents(err))

    def run(self, *args: str, options: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        """Run a container with this process."""
        self.bundle.process["args"] = list(args)
        self.write()
        return self.call(*options, "run", "--bundle", self.bundle.path, "rootless")

    def sh(self, script: str, *options: str) -> str:
        """Run a container with this shell script, which must succeed; return its output."""
        done = self.run("/bin/sh", "-c", script, options=options)
        assert (done.returncode, done.stderr) == (0, ""), done
        return done.stdout

    def refused(self, *texts: str) -> None:
        """Run a container, which the runtime refuses with these texts."""
        done = self.run("/bin/true")
        assert done.returncode == 1, done
        assert len(done.stderr.splitlines()) == 1, done
        for text in texts:
            assert text in done.stderr, done
        assert os.listdir(self.root) == []

    def up(self, *args: str) -> int:
        """Create and start a container; return the pid of its init."""
        self.bundle.process["args"] = list(args)
        self.write()
        done = self.call("create", "--bundle", self.bundle.path, "--pid-file", f"{self.bundle.path}/pid", "r")
        assert (done.returncode, done.stderr) == (0, ""), done
        assert self.call("start", "r").stderr == ""
        with open(f"{self.bundle.path}/pid") as file:
            return int(file.read())

    def down(self, pid: int) -> None:
        """Kill that container and delete it."""
        assert self.call("kill", "r", "KILL").stderr == ""
        assert process.ended(pid)
        os.waitpid(pid, 0)
        assert self.call("delete", "r").stderr == ""
        assert os.listdir(self.root) == []

    def log(self, *args: str) -> list[str]:
        """Run a container; return the warnings in the log."""
        path = f"{self.bundle.path}/log.json"
        done = self.run(*args, options=("--log", path, "--log-format", "json"))
        assert (done.returncode, done.stderr) == (0, ""), done
        with open(path) as file:
            return [record["msg"] for record in map(json.loads, file) if record["level"] == "warning"]
