"""The runtime in a container, and as root of user namespaces that others made."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from oci.bundle import default_config
from oci.rootless import subordinate_user

from lxcri.compile.capabilities import NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.bundle import Bundle
    from oci.machine import Machine
    from oci.rootfs import Skeleton
    from oci.user import User

pytestmark = [
    pytest.mark.lxcri_only(reason="runc takes other cgroup permissions for it"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv (util-linux)"),
]

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
INNER = "/inner"


def inner_config() -> str:
    """A container for within; devices are for the one outside to allow or not."""
    config = default_config()
    config["linux"]["resources"] = {}
    config["process"]["args"] = ["/bin/sh", "-c", "echo inner $(id -u) $$; exec sleep 100"]
    return json.dumps(config)


@pytest.fixture
def outer(bundle: Bundle, skeleton: Skeleton) -> Bundle:
    """A privileged container with this machine's programs, and a bundle for another one in it."""
    skeleton.build(bundle.directory("inner") + "/rootfs")
    bundle.file("inner/config.json", inner_config())
    for name in "lib", "lib64":
        if os.path.islink(f"/{name}"):
            os.symlink(os.readlink(f"/{name}"), f"{bundle.rootfs}/{name}")
        elif os.path.isdir(f"/{name}"):
            bundle.bind(f"/{name}", f"/{name}", "ro")
    bundle.bind("/usr", "/usr", "ro")
    bundle.bind(CHECKOUT, CHECKOUT, "ro")
    bundle.bind(f"{bundle.path}/inner", INNER)
    bundle.process["capabilities"] = {kind: list(NUMBERS) for kind in ("bounding", "effective", "permitted")}
    bundle.process["env"] = ["PATH=/bin:/usr/bin"]
    for mount in bundle.config["mounts"]:
        if mount["type"] == "sysfs":
            mount["options"].remove("ro")
    return bundle


LIFE = f"""
set -e
cd {INNER}
lxcri() {{ {CHECKOUT}/.venv/bin/lxcri --root /run/lxcri "$@"; }}
lxcri run --detach --bundle {INNER} --pid-file /run/pid one >/run/out
until grep -q inner /run/out; do sleep 0.1; done
cat /run/out
lxcri exec one /bin/sh -c 'echo exec $(id -u)'
lxcri ps --format json one | tr -d 0-9
lxcri list | grep -c running
CGROUP
lxcri kill one KILL
while lxcri state one | grep -q running; do sleep 0.1; done
lxcri delete one
ls /run/lxcri
"""


def life(cgroup: str = "") -> str:
    """A script for a container's whole life, with something to say about its cgroup."""
    return LIFE.replace("CGROUP", cgroup)


@pytest.mark.parametrize("namespace", [True, False])
def test_in_a_privileged_container(outer: Bundle, namespace: bool) -> None:
    """With its own cgroup, below that of the container that it is in, and limits that hold."""
    outer.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "nodev", "noexec"])
    outer.resources["devices"] = [{"allow": True, "access": "rwm"}]
    if namespace:
        outer.namespace("cgroup")
    path = f"{outer.path}/inner/config.json"
    config = json.loads(inner_config())
    config["linux"]["resources"] = {"pids": {"limit": 17}, "devices": [{"allow": False, "access": "rwm"}]}
    outer.file("inner/config.json", json.dumps(config))
    assert os.path.exists(path)
    limit = "cat /sys/fs/cgroup/pids/one/pids.max /sys/fs/cgroup/one/pids.max 2>/dev/null || true"
    out = outer.sh(life(limit if namespace else "echo 17")).split("\n")
    assert out == ["inner 0 1", "exec 0", "[]", "1", "17", ""], out


def test_in_a_container_whose_cgroups_cannot_be_written(outer: Bundle) -> None:
    """Root's runtime says so, and --rootless=true does without."""
    outer.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "nodev", "noexec", "ro"])
    outer.resources["devices"] = [{"allow": True, "access": "rwm"}]
    run = f"{CHECKOUT}/.venv/bin/lxcri %s run --bundle {INNER} one 2>&1; echo $?"
    config = json.loads(inner_config())
    config["process"]["args"] = ["/bin/true"]
    outer.file("inner/config.json", json.dumps(config))
    out = outer.sh(run % "" + ";" + run % "--rootless=true").splitlines()
    assert "cgroup: make" in out[0]
    assert "read-only file system" in out[0]
    assert out[1:] == ["1", "0"]


def test_in_a_container_with_a_user_namespace(outer: Bundle) -> None:
    """Own capabilities decide, not the uid: no device nodes, no cgroup, and all of that works."""
    outer.user_namespace()
    os.chmod(outer.path, 0o755)
    for directory, _, _ in os.walk(f"{outer.path}/inner"):
        os.chown(directory, 100000, 100000)
    out = outer.sh(life())
    assert out.split("\n") == ["inner 0 1", "exec 0", "[]", "1", ""], out


@pytest.fixture
def user(machine: Machine, as_before: None) -> Iterator[User]:
    """One with subordinate ids."""
    yield from subordinate_user(machine)


@pytest.mark.parametrize(
    "namespace", [["--map-root-user"], ["--map-root-user", "--map-auto"], ["--map-root-user", "--map-auto", "--net"]]
)
def test_in_a_user_namespace_of_a_user(bundle: Bundle, user: User, namespace: list[str]) -> None:
    """One id, or many; the network of the host, or one's own; exec, kill and delete from within."""
    bundle.config = json.loads(inner_config())
    for mount in bundle.config["mounts"]:
        mount["options"] = [option for option in mount["options"] if not option.startswith("gid=")]
    if "--net" not in namespace:
        bundle.without_namespace("network")
    bundle.write()
    os.chmod(bundle.path, 0o755)
    user.give(bundle.path)
    script = (
        life().replace("--root /run/lxcri", "").replace("/run/", f"{user.runtime_dir}/").replace(INNER, bundle.path)
    )
    environment = [f"{name}={value}" for name, value in user.environment.items()]
    words = user.argv("env", *environment, "unshare", "--user", "--mount", *namespace, "/bin/sh", "-c", script)
    done = bundle.runtime.call(wrapper=[*words, "sh"])
    assert (done.returncode, done.stderr) == (0, ""), done
    assert done.stdout.split("\n") == ["inner 0 1", "exec 0", "[]", "1", ""], done
