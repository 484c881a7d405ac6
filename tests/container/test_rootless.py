"""The runtime as an ordinary user: what works without any help of root."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from oci import process

if TYPE_CHECKING:
    from oci.bundle import Bundle

pytestmark = [
    pytest.mark.lxcri_only(reason="runc takes other cgroup permissions and options for it"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv (util-linux)"),
]

USER = 54321


class Rootless:
    """A bundle that belongs to an ordinary user, who runs the runtime with a state directory of its own."""

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.root = bundle.directory("run")
        bundle.linux.pop("cgroupsPath", None)
        bundle.linux["resources"] = {}
        for mount in bundle.config["mounts"]:  # no id but its own is mapped
            mount["options"] = [option for option in mount.get("options", []) if not option.startswith("gid=")]

    def call(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the runtime; output goes to files."""
        self.bundle.write()
        os.chmod(self.bundle.path, 0o755)
        for directory, directories, files in os.walk(self.bundle.path):
            for name in (directory, *(os.path.join(directory, entry) for entry in directories + files)):
                os.chown(name, USER, USER, follow_symlinks=False)
        argv = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--"]
        argv += [self.bundle.runtime.path, "--root", os.path.join(self.root, "lxcri"), *words]
        out = os.path.join(self.bundle.path, "out")
        with open(out, "w") as stdout, open(out + ".err", "w") as stderr:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                env={},
                timeout=process.TIMEOUT,
                check=False,
            )
        with open(out) as stdout, open(out + ".err") as stderr:
            return subprocess.CompletedProcess(argv, done.returncode, stdout.read(), stderr.read())

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run a container with this process."""
        self.bundle.process["args"] = list(args)
        return self.call("run", "--bundle", self.bundle.path, "rootless")


@pytest.fixture
def rootless(bundle: Bundle) -> Rootless:
    """What an ordinary user has."""
    return Rootless(bundle)


def test_user_namespace_is_added(rootless: Rootless) -> None:
    """seed: configureContainer: "unprivileged runtime - enabling user namespace"; the caller is root in it."""
    done = rootless.run("/bin/sh", "-c", "id -u; cat /proc/self/uid_map /proc/self/gid_map")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.split() == ["0", *(["0", str(USER), "1"] * 2)]


@pytest.mark.parametrize("property", ["uidMappings", "gidMappings"])
def test_other_ids_cannot_be_mapped(rootless: Rootless, property: str) -> None:
    """They need newuidmap."""
    mapping: list[dict[str, Any]] = [{"containerID": 0, "hostID": 100000, "size": 65536}]
    rootless.bundle.namespace("user")
    rootless.bundle.linux[property] = mapping
    done = rootless.run("/bin/true")
    assert done.returncode == 1
    assert f"linux.{property}: an ordinary user can have its own id, {USER}, mapped to 0" in done.stderr


def test_life_of_a_container(rootless: Rootless) -> None:
    """create, state, start, exec, kill, delete."""
    bundle = rootless.bundle
    bundle.process["args"] = ["/bin/sleep", "100"]
    assert rootless.call("create", "--bundle", bundle.path, "r").stderr == ""
    state = json.loads(rootless.call("state", "r").stdout)
    assert state["status"] == "created"
    assert os.stat(f"/proc/{state['pid']}").st_uid in (0, USER)  # root's while it is not dumpable
    assert rootless.call("start", "r").returncode == 0
    assert rootless.call("exec", "r", "/bin/echo", "here").stdout == "here\n"
    assert rootless.call("kill", "r", "KILL").returncode == 0
    assert process.ended(state["pid"])
    os.waitpid(state["pid"], 0)
    assert rootless.call("delete", "r").stderr == ""
    assert os.listdir(os.path.join(rootless.root, "lxcri")) == []


def test_limits_are_refused(rootless: Rootless) -> None:
    """No cgroup can be made, and a limit that does not hold is no limit."""
    rootless.bundle.linux["resources"] = {"pids": {"limit": 5}}
    done = rootless.run("/bin/true")
    assert done.returncode == 1
    assert "linux.resources.pids" in done.stderr
