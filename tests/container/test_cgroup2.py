"""cgroup2: handing controllers down, thread mode, delegation. The runtime sees no other hierarchy."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from oci import cgroup, process

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from oci.bundle import Bundle
    from oci.runtime import Container, Result

pytestmark = [
    pytest.mark.skipif("" not in cgroup.mounts(), reason="cgroup2 is not mounted"),
    pytest.mark.lxcri_only("runc refuses a cgroup2 that is not on /sys/fs/cgroup"),
]

CONTROLLER = "hugetlb"  # on a hybrid layout the most likely one to be here
LIMIT: dict[str, Any] = {"hugepageLimits": [{"pageSize": "2MB", "limit": 2 << 20}]}


THREADED = "operation not supported (it is domain threaded)"


@pytest.fixture(autouse=True)
def _with_the_controller() -> None:
    if CONTROLLER not in read("", "cgroup.controllers").split():
        pytest.skip(f"cgroup2 does not have {CONTROLLER}")


def place(path: str) -> str:
    return cgroup.mounts()[""] + path


def read(path: str, file: str) -> str:
    with open(f"{place(path)}/{file}") as opened:
        return opened.read().strip()


def write(path: str, file: str, value: str) -> None:
    with open(f"{place(path)}/{file}", "w") as opened:
        opened.write(value)


def handed_down(path: str) -> set[str]:
    return set(read(path, "cgroup.subtree_control").split())


@pytest.fixture
def make() -> Iterator[Callable[[str], str]]:
    """Makes cgroups, which are removed after the test, with those below."""
    made: list[str] = []

    def make(path: str) -> str:
        os.mkdir(place(path))
        made.append(path)
        return path

    yield make
    for path in reversed(made):
        for directory, _, _ in os.walk(place(path), topdown=False):
            os.rmdir(directory)


@pytest.fixture
def run() -> Iterator[Callable[[str], int]]:
    """Starts processes in cgroups."""
    started: list[subprocess.Popen[bytes]] = []

    def run(path: str) -> int:
        started.append(subprocess.Popen(["sleep", "100"]))
        write(path, "cgroup.procs", str(started[-1].pid))
        return started[-1].pid

    yield run
    for child in started:
        child.kill()
        child.wait()


def container(bundle: Bundle, path: str, resources: dict[str, Any] = LIMIT) -> Container:
    bundle.linux["cgroupsPath"] = path
    bundle.resources.update(resources)
    return bundle.container("/bin/sleep", "100")


def create(container: Container) -> Result:
    return container.attempt_create(wrapper=cgroup.only_v2())


def refusal(container: Container) -> str:
    """What create says; nothing of the container is left."""
    assert create(container).returncode == 1
    assert container.runtime.containers() == []
    (line,) = container.errors().splitlines()
    return line


# --------------------------------------------------------------------------------------- handing controllers down


def test_only_what_the_limits_need_is_handed_down(make: Callable[[str], str], bundle: Bundle) -> None:
    """From the root on, in parents that are there and in those that create makes; delete leaves the former."""
    root = handed_down("")
    parent = make(f"/{bundle.runtime.new_id()}-parent")
    one = container(bundle, f"{parent}/made/leaf")
    create(one).ok()
    assert handed_down("") == root | {CONTROLLER}
    assert handed_down(parent) == handed_down(f"{parent}/made") == {CONTROLLER}
    assert handed_down(f"{parent}/made/leaf") == set()
    assert read(f"{parent}/made/leaf", "hugetlb.2MB.max") == str(2 << 20)
    one.delete("--force").ok()
    assert os.listdir(place(parent)).count("made") == 0
    assert handed_down("") == root | {CONTROLLER}
    assert handed_down(parent) == {CONTROLLER}


def test_without_limits_nothing_is_handed_down(make: Callable[[str], str], bundle: Bundle) -> None:
    root = handed_down("")
    parent = make(f"/{bundle.runtime.new_id()}-parent")
    create(container(bundle, f"{parent}/leaf", {})).ok()
    assert handed_down("") == root
    assert handed_down(parent) == set()


def test_what_is_handed_down_already_stays(make: Callable[[str], str], bundle: Bundle) -> None:
    """Another container may need it."""
    parent = make(f"/{bundle.runtime.new_id()}-parent")
    first = container(bundle, f"{parent}/first")
    create(first).ok()
    second = container(bundle, f"{parent}/second", {})
    create(second).ok()
    second.delete("--force").ok()
    assert handed_down(parent) == {CONTROLLER}
    assert read(f"{parent}/first", "hugetlb.2MB.max") == str(2 << 20)


def test_a_parent_with_processes(make: Callable[[str], str], run: Callable[[str], int], bundle: Bundle) -> None:
    """It can hand down nothing; they are not ours to move. Without limits that is no obstacle."""
    parent = make(f"/{bundle.runtime.new_id()}-parent")
    pid = run(parent)
    leaf = f"{parent}/leaf"
    text = refusal(container(bundle, leaf))
    assert f'enable {CONTROLLER} in "{place(parent)}/cgroup.subtree_control": device or resource busy' in text
    assert "no processes in a cgroup that hands controllers down" in text
    assert not os.path.exists(place(leaf))
    assert read(parent, "cgroup.procs") == str(pid)
    del bundle.resources["hugepageLimits"]
    create(container(bundle, leaf, {})).ok()


def test_a_path_relative_to_where_the_runtime_is(make: Callable[[str], str], bundle: Bundle) -> None:
    """The runtime's own cgroup has a process, the runtime, so the container's is beside it."""
    parent = make(f"/{bundle.runtime.new_id()}-parent")
    own = make(f"{parent}/own")
    enter = ["sh", "-c", f'echo 0 >{place(own)}/cgroup.procs && exec "$@"', "sh"]
    one = container(bundle, "")
    one.create(wrapper=[*enter, *cgroup.only_v2()])
    assert cgroup.paths(one.pid)[""] == f"{parent}/{one.id}"
    assert read(f"{parent}/{one.id}", "hugetlb.2MB.max") == str(2 << 20)


def test_a_threaded_parent(make: Callable[[str], str], bundle: Bundle) -> None:
    """Processes cannot be in a child of a threaded cgroup, and most controllers cannot be handed down to it."""
    parent = make(f"/{bundle.runtime.new_id()}-parent")
    threads = make(f"{parent}/threads")
    write(threads, "cgroup.type", "threaded")
    text = refusal(container(bundle, f"{threads}/leaf", {}))
    assert "(it is domain invalid)" in text
    text = refusal(container(bundle, f"{threads}/leaf"))
    assert (
        text == f'lxcri: create: cgroup: enable {CONTROLLER} in "{place(parent)}/cgroup.subtree_control": ' + THREADED
    )
    assert os.listdir(place(threads)).count("leaf") == 0


def test_a_threaded_cgroup_inside(bundle: Bundle) -> None:
    """The container's own affair: its processes are counted, killed and removed with it."""
    path = f"/{bundle.runtime.new_id()}"
    one = container(bundle, path, {})
    create(one).ok()
    one.start()
    os.mkdir(place(f"{path}/threads"))
    write(f"{path}/threads", "cgroup.type", "threaded")
    write(f"{path}/threads", "cgroup.threads", str(one.pid))
    assert one.runtime.call("ps", "--format", "json", one.id).ok().stdout.strip() == f"[{one.pid}]"
    one.runtime.call("exec", one.id, "/bin/true").ok()
    one.runtime.call("kill", "--all", one.id, "KILL").ok()
    assert one.wait() == -signal.SIGKILL
    one.delete().ok()
    assert not os.path.exists(place(path))


# ----------------------------------------------------------------------------------------------------- delegation

NESTING = """
cd /sys/fs/cgroup
mkdir init.scope
echo $$ >init.scope/cgroup.procs
echo +{controller} >cgroup.subtree_control
mkdir work
cat cgroup.subtree_control work/cgroup.controllers
sleep 100 &
echo $! >work/cgroup.procs
echo ready
wait
"""


def nested(bundle: Bundle, path: str) -> Container:
    """A container that does with its cgroup what systemd does."""
    bundle.namespace("cgroup")
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "noexec", "nodev", "rw"])
    bundle.linux["cgroupsPath"] = path
    bundle.resources.update(LIMIT)
    one = bundle.shell(NESTING.format(controller=CONTROLLER))
    create(one).ok()
    one.start()
    assert one.wait_output("ready") == f"{CONTROLLER}\n{CONTROLLER}\nready\n"
    return one


@pytest.mark.parametrize("user_namespace", [False, True])
def test_a_container_with_cgroups_of_its_own(bundle: Bundle, user_namespace: bool) -> None:
    """They need no help from outside, exec finds a place beside init, and all is gone with the container."""
    if user_namespace:
        bundle.user_namespace()
        os.chmod(bundle.path, 0o755)
    path = f"/{bundle.runtime.new_id()}"
    one = nested(bundle, path)
    assert read(path, "cgroup.procs") == ""
    result = one.runtime.call("exec", one.id, "/bin/cat", "/proc/self/cgroup").ok()
    assert [line for line in result.stdout.splitlines() if line.startswith("0:")] == ["0::/init.scope"]
    one.runtime.call("pause", one.id).ok()
    assert one.status() == "paused"
    one.runtime.call("resume", one.id).ok()
    one.delete("--force").ok()
    one.wait()
    assert not os.path.exists(place(path))


def test_owner_of_the_cgroup(bundle: Bundle) -> None:
    """config-linux.md, "Cgroup ownership": the directory, and the files for delegation, no others."""
    bundle.user_namespace()
    os.chmod(bundle.path, 0o755)
    path = f"/{bundle.runtime.new_id()}"
    nested(bundle, path)
    with open("/sys/kernel/cgroup/delegate") as file:
        delegated = set(file.read().split())
    files = os.listdir(place(path))
    owned = {name for name in files if os.stat(f"{place(path)}/{name}").st_uid == 100000}
    assert owned == (delegated & set(files)) | {"init.scope", "work"}
    assert os.stat(place(path)).st_uid == 100000


@pytest.mark.parametrize("reason", ["read-only", "no namespace", "no mount"])
def test_a_cgroup_that_is_not_given_away(bundle: Bundle, reason: str) -> None:
    """The rules' "only if"."""
    bundle.user_namespace()
    os.chmod(bundle.path, 0o755)
    if reason != "no namespace":
        bundle.namespace("cgroup")
    if reason != "no mount":
        bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["nosuid", "ro" if reason == "read-only" else "rw"])
    path = f"/{bundle.runtime.new_id()}"
    create(container(bundle, path, {})).ok()
    assert {os.stat(f"{place(path)}/{name}").st_uid for name in [".", *os.listdir(place(path))]} == {0}


def test_exec_where_the_container_is_full_and_elsewhere(make: Callable[[str], str], bundle: Bundle) -> None:
    """Init was moved out of the container's cgroups by somebody: there exec does not follow."""
    path = f"/{bundle.runtime.new_id()}"
    elsewhere = make(f"{path}-elsewhere")
    one = nested(bundle, path)
    write(elsewhere, "cgroup.procs", str(one.pid))
    try:
        one.runtime.call("exec", one.id, "/bin/true").refused("device or resource busy", where=place(path), status=255)
    finally:
        one.kill("KILL").ok()
        one.wait()
        with contextlib.suppress(FileNotFoundError):
            process.wait_for(lambda: read(elsewhere, "cgroup.procs") == "", "an empty cgroup")
