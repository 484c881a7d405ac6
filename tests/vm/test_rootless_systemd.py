"""Limits of an ordinary user's containers, set by the user's own systemd, with cgroup2 alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from oci import cgroup
from oci.bundle import default_config
from oci.rootfs import APPLETS, DIRECTORIES
from oci.user import UID

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.machine import Machine
    from oci.runtime import Runtime

HOME = "/var/tmp/lxcri-rootless"
NAME = "lxcri-rootless"
RUN = f"/run/user/{UID}"
MIB = 1 << 20


class Session:
    """An ordinary user for whom systemd runs, in the mount namespace of the machine's first process."""

    def __init__(self, runtime: Runtime) -> None:
        self.runtime = runtime
        self.config: Any = default_config()
        self.bundle = f"{HOME}/bundle"

    def argv(self, *words: str) -> list[str]:
        """A command line of the user's."""
        environment = (f"HOME={HOME}", f"XDG_RUNTIME_DIR={RUN}", "PATH=/usr/bin:/bin")
        user = (f"--reuid={UID}", f"--regid={UID}", "--clear-groups")
        enter = ("nsenter", "--target=1", "--mount", "--")
        return [*enter, "setpriv", *user, "env", "-i", f"--chdir={HOME}", *environment, *words]

    def __call__(self, *words: str, driver: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the runtime."""
        options = ["--systemd-cgroup"] if driver else []
        with open(f"{HOME}/out", "w+") as out, open(f"{HOME}/err", "w+") as err:
            done = subprocess.run(
                self.argv(self.runtime.path, *options, *words),
                stdin=subprocess.DEVNULL, stdout=out, stderr=err, timeout=120, check=False,
            )  # fmt: skip
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(words, done.returncode, out.read(), err.read())

    def write(self, *args: str, **resources: Any) -> None:
        """The bundle's config.json."""
        self.config["process"]["args"] = list(args)
        self.config["linux"].update(resources=resources, cgroupsPath="user.slice:lxcri:rootless")
        with open(f"{self.bundle}/config.json", "w") as file:
            json.dump(self.config, file)

    def systemctl(self, *words: str) -> str:
        """What the user's systemctl prints."""
        return subprocess.run(
            self.argv("systemctl", "--user", *words), capture_output=True, text=True, timeout=60, check=True
        ).stdout


@pytest.fixture(scope="module")
def session(machine: Machine, runtime: Runtime) -> Iterator[Session]:
    """A user with systemd."""
    del machine
    if not os.path.isdir("/proc/1/root/run/systemd/system"):
        pytest.skip("systemd does not run this machine")
    if not cgroup.is_v2():
        pytest.skip("not with cgroup2 alone")
    subprocess.run(["useradd", "--uid", str(UID), "--home-dir", HOME, "--create-home", NAME], check=True, timeout=60)
    root = f"{HOME}/bundle/rootfs"
    for name in DIRECTORIES:
        os.makedirs(f"{root}/{name}")
    busybox = shutil.which("busybox", path="/usr/bin:/bin")
    assert busybox
    shutil.copy(busybox, f"{root}/bin/busybox")
    for name in APPLETS:
        os.symlink("busybox", f"{root}/bin/{name}")
    subprocess.run(["chown", "-R", f"{UID}:{UID}", HOME], check=True, timeout=60)
    os.chmod(HOME, 0o755)
    systemctl = ["nsenter", "--target=1", "--mount", "systemctl"]
    subprocess.run([*systemctl, "start", f"user@{UID}.service"], check=True, timeout=300)
    yield Session(runtime)
    subprocess.run([*systemctl, "stop", f"user@{UID}.service"], check=True, timeout=300)
    subprocess.run(["userdel", "--remove", NAME], check=True, timeout=60)


def limits(pid: int) -> tuple[str, list[str]]:
    """The cgroup of a process, and its limits of memory, processes and CPUs."""
    with open(f"/proc/{pid}/cgroup") as file:
        path = file.read().strip().partition("::")[2]
    values = []
    for name in "memory.max", "pids.max", "cpu.max":
        with open(f"/sys/fs/cgroup{path}/{name}") as file:
            values.append(file.read().strip())
    return path, values


def test_limits(session: Session) -> None:
    """They are in the files of a scope below the user's systemd; pause, update, events and ps work; delete ends it."""
    session.write(
        "/bin/sleep", "1000",
        memory={"limit": 64 * MIB}, pids={"limit": 20}, cpu={"quota": 20000, "period": 100000},
    )  # fmt: skip
    done = session("run", "--detach", "--bundle", session.bundle, "--pid-file", f"{HOME}/pid", "one")
    assert (done.returncode, done.stderr) == (0, ""), done
    with open(f"{HOME}/pid") as file:
        pid = int(file.read())
    path, values = limits(pid)
    assert f"user@{UID}.service" in path
    assert path.endswith("user.slice/lxcri-rootless.scope")
    assert values == [str(64 * MIB), "20", "20000 100000"]
    shown = session.systemctl("show", "--property=MemoryMax,TasksMax", "lxcri-rootless.scope").split()
    assert set(shown) == {f"MemoryMax={64 * MIB}", "TasksMax=20"}
    assert session("update", "--pids-limit", "30", "one", driver=False).stderr == ""
    assert limits(pid)[1][1] == "30"
    assert session("pause", "one", driver=False).stderr == ""
    assert json.loads(session("state", "one", driver=False).stdout)["status"] == "paused"
    assert session("resume", "one", driver=False).stderr == ""
    stats = json.loads(session("events", "--stats", "one", driver=False).stdout)
    assert stats["data"]["pids"]["limit"] == 30
    assert str(pid) in session("ps", "--format", "json", "one", driver=False).stdout
    assert (
        session("exec", "one", "/bin/cat", "/proc/self/cgroup", driver=False).stdout.strip().endswith("rootless.scope")
    )
    assert session("delete", "--force", "one", driver=False).stderr == ""
    assert "lxcri-rootless" not in session.systemctl("list-units", "--all", "--plain", "--no-legend", "*.scope")
    assert not os.path.exists(f"/sys/fs/cgroup{path}")


@pytest.mark.parametrize(
    ("resources", "script", "expected"),
    [
        ({"pids": {"limit": 8}}, "for i in 1 2 3 4 5 6 7 8 9; do sleep 5 & done; wait", "can't fork"),
        (
            {"memory": {"limit": 16 * MIB, "swap": 16 * MIB}},
            "awk 'BEGIN { s = \"x\"; while (1) s = s s }'; echo code $?",
            "code 137",
        ),
    ],
)
def test_limits_bind(session: Session, resources: dict[str, Any], script: str, expected: str) -> None:
    """What goes beyond them fails."""
    session.write("/bin/sh", "-c", script, **resources)
    done = session("run", "--bundle", session.bundle, "two")
    assert expected in done.stdout + done.stderr, done


def test_cpu_limit_binds(session: Session) -> None:
    """The process is throttled."""
    session.write("/bin/sh", "-c", "while :; do :; done", cpu={"quota": 10000, "period": 100000})
    done = session("run", "--detach", "--bundle", session.bundle, "--pid-file", f"{HOME}/pid", "three")
    assert done.stderr == "", done
    with open(f"{HOME}/pid") as file:
        path, _ = limits(int(file.read()))
    deadline = time.monotonic() + 60
    throttled = 0
    while throttled < 3 and time.monotonic() < deadline:
        with open(f"/sys/fs/cgroup{path}/cpu.stat") as file:
            throttled = int(dict(line.split() for line in file)["nr_throttled"])
        time.sleep(0.2)
    assert session("delete", "--force", "three", driver=False).stderr == ""
    assert throttled >= 3


def test_without_delegation(session: Session) -> None:
    """Outside of what is delegated, by files, a limit is an error, and no cgroup a warning."""
    session.write("/bin/true", pids={"limit": 20})
    session.config["linux"]["cgroupsPath"] = "/elsewhere/one"
    with open(f"{session.bundle}/config.json", "w") as file:
        json.dump(session.config, file)
    done = session("run", "--bundle", session.bundle, "four", driver=False)
    assert done.returncode == 1
    assert "linux.resources.pids" in done.stderr
