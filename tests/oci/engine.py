"""Container engines under test: their commands, their daemons, the cgroups and images that they need."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import signal
import subprocess
import tarfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from oci import cgroup, process
from oci.runtime import ENVIRONMENT, contents

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from oci.rootfs import Skeleton


@dataclass
class Finished:
    """A command's end."""

    argv: Sequence[str]
    returncode: int
    stdout: str
    stderr: str

    def ok(self) -> Finished:
        """Assert success."""
        assert self.returncode == 0, str(self)
        return self


class Client:
    """An engine's command line."""

    def __init__(self, directory: str, argv: Sequence[str]) -> None:
        self.directory = directory
        self.command = list(argv)
        self.environment = {**ENVIRONMENT, "HOME": directory, "TMPDIR": directory}

    def argv(self, *arguments: str) -> list[str]:
        """A command line."""
        return [*self.command, *arguments]

    def __call__(self, *arguments: str, stdin: IO[Any] | int = subprocess.DEVNULL) -> Finished:
        """Run a command to its end, with output in files."""
        argv = self.argv(*arguments)
        with open(f"{self.directory}/out", "w+b") as out, open(f"{self.directory}/err", "w+b") as err:
            command = subprocess.run(
                argv, stdin=stdin, stdout=out, stderr=err, env=self.environment, cwd=self.directory,
                timeout=60, check=False,
            )  # fmt: skip
            return Finished(argv, command.returncode, contents(out), contents(err))

    def inspect(self, name: str, template: str) -> str:
        """One value of a container, of podman and docker."""
        return self("inspect", "--format", template, name).ok().stdout.strip()

    def feed(self, text: str, *arguments: str) -> Finished:
        """Run a command with this on its standard input, which then ends."""
        path = os.path.join(self.directory, "in")
        with open(path, "w") as file:
            file.write(text)
        with open(path, "rb") as file:
            return self(*arguments, stdin=file)


class Daemon:
    """An engine's daemon, which is no leftover as long as it is meant to run."""

    def __init__(self, argv: Sequence[str], directory: str, name: str) -> None:
        self.argv = list(argv)
        self.directory = directory
        self.log = os.path.join(directory, f"{name}.log")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Its pid."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Start it; when it answers is for the caller to find out."""
        with open(self.log, "ab") as log:
            self._process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self.directory,
                env={**ENVIRONMENT, "HOME": self.directory, "TMPDIR": self.directory},
            )  # fmt: skip
        process.expected.add(self._process.pid)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> None:
        """End it."""
        if self._process is None:
            return
        self._process.send_signal(number)
        try:
            self._process.wait(process.TIMEOUT)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        process.expected.discard(self._process.pid)
        self._process = None


@contextlib.contextmanager
def cgroups(*parents: str) -> Iterator[None]:
    """Cgroups that engines make in every hierarchy, and leave; below them they may leave more of their own."""
    points = set(cgroup.mounts().values())
    made = []
    for parent in parents:
        parts = parent.strip("/").split("/")
        for point in points:
            for depth in range(1, len(parts) + 1):
                directory = "/".join((point, *parts[:depth]))
                if not os.path.isdir(directory):
                    os.mkdir(directory)
                    made.append(directory)
                for name in ("cpuset.cpus", "cpuset.mems"):  # a new cpuset of cgroup v1 is empty, and takes no process
                    if os.path.exists(f"{directory}/{name}"):
                        shutil.copyfile(f"{os.path.dirname(directory)}/{name}", f"{directory}/{name}")
    try:
        yield
    finally:
        for directory in reversed(made):
            with contextlib.suppress(FileNotFoundError):  # after a test that left something behind
                os.rmdir(directory)


def mounts_of(directory: str) -> list[str]:
    """Mount points at it and below it, in the order of mounting."""
    with open("/proc/self/mountinfo") as file:
        points = [line.split(" ")[4] for line in file]
    return [point for point in points if f"{point}/".startswith(f"{directory}/")]


def remove(directory: str) -> None:
    """Remove a directory, and what is mounted there."""
    for point in reversed(mounts_of(directory)):
        subprocess.run(["umount", "-n", "-l", point], check=True)
    shutil.rmtree(directory)


def layer(skeleton: Skeleton, directory: str) -> str:
    """A tar of the tests' root file system; returns its path."""
    rootfs = os.path.join(directory, "image")
    skeleton.build(rootfs)
    path = os.path.join(directory, "layer.tar")
    subprocess.run(["tar", "-C", rootfs, "-cf", path, "."], check=True)
    shutil.rmtree(rootfs)
    return path


def archive(layer_path: str, name: str, path: str) -> None:
    """An image of one layer as `docker save` writes it."""
    with open(layer_path, "rb") as file:
        data = file.read()
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    config = json.dumps(
        {
            "architecture": machine,
            "os": "linux",
            "config": {"Env": ["PATH=/bin"], "Cmd": ["/bin/sh"]},
            "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(data).hexdigest()}"]},
        }
    ).encode()
    config_name = f"{hashlib.sha256(config).hexdigest()}.json"
    manifest = json.dumps([{"Config": config_name, "RepoTags": [name], "Layers": ["layer.tar"]}]).encode()
    with tarfile.open(path, "w") as tar:
        for member, content in ((config_name, config), ("layer.tar", data), ("manifest.json", manifest)):
            info = tarfile.TarInfo(member)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
