"""linux.intelRdt, with a directory in the place of resctrl, which few machines have."""

from __future__ import annotations

import copy
import os
import sys
from typing import TYPE_CHECKING

import pytest
from oci import process

if TYPE_CHECKING:
    from oci.bundle import Bundle
    from oci.runtime import Container, Result

pytestmark = pytest.mark.lxcri_only("runs lxcri's own code with resctrl replaced")

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

WRAPPER = """#!{python}
import os, posix, shutil, sys

sys.path[:0] = [{checkout!r}]

from lxcri import resctrl
from lxcri.__main__ import main

ROOT = {root!r}

def mkdir(path, mode=0o777, **how):
    os.mkdir(path, mode, **how)
    if str(path).startswith(ROOT):
        open(path + "/tasks", "w").close()
        if not path.endswith("/mon_groups"):
            os.mkdir(path + "/mon_groups")
            open(path + "/schemata", "w").close()

def rmdir(path, **how):
    shutil.rmtree(path) if str(path).startswith(ROOT) else os.rmdir(path, **how)

posix.mkdir, posix.rmdir = mkdir, rmdir
resctrl.mount_point = lambda mountinfo: ROOT
main()
"""


@pytest.fixture
def root(bundle: Bundle) -> str:
    """A directory that the runtime takes for resctrl."""
    root = bundle.directory("resctrl")
    text = WRAPPER.format(python=sys.executable, checkout=CHECKOUT, root=root)
    bundle.runtime = copy.copy(bundle.runtime)
    bundle.runtime.path = bundle.file("wrapper", text, 0o755)
    return root


def content(root: str, path: str) -> str:
    """What the runtime has written to a file."""
    with open(f"{root}/{path}") as file:
        return file.read()


def test_the_process_is_in_its_class_until_the_container_is_deleted(bundle: Bundle, root: str) -> None:
    bundle.linux["intelRdt"] = {"l3CacheSchema": "L3:0=f", "enableMonitoring": True}
    container = bundle.container("/bin/sleep", "100")
    container.create()
    assert content(root, f"{container.id}/schemata") == "L3:0=f\n"
    for path in (f"{container.id}/tasks", f"{container.id}/mon_groups/{container.id}/tasks"):
        assert content(root, path) == str(container.pid)
    container.start()
    container.delete("--force")
    assert os.listdir(root) == []


def test_a_named_class_stays(bundle: Bundle, root: str) -> None:
    bundle.linux["intelRdt"] = {"closID": "gold", "memBwSchema": "MB:0=20", "enableMonitoring": True}
    container = bundle.container("/bin/sleep", "100").up()
    assert content(root, "gold/tasks") == str(container.pid)
    container.delete("--force")
    assert os.listdir(root) == ["gold"]
    assert os.listdir(f"{root}/gold/mon_groups") == []


def update(container: Container, *options: str) -> Result:
    """`update` of a container."""
    return container.runtime.call("update", *options, container.id)


def test_update_of_a_class(bundle: Bundle, root: str) -> None:
    """Of the container's own, and of one that it shares."""
    for closid, name in ((None, ""), ("gold", "gold")):
        bundle.linux["intelRdt"] = {"l3CacheSchema": "L3:0=f", **({"closID": closid} if closid else {})}
        container = bundle.container("/bin/sleep", "100").up()
        update(container, "--l3-cache-schema", "L3:0=3", "--mem-bw-schema", "MB:0=20").ok()
        assert content(root, f"{name or container.id}/schemata") == "L3:0=3\nMB:0=20\n"
        update(container, "--l3-cache-schema=L3:0=1", "--mem-bw-schema=MB:0=50").ok()
        assert content(root, f"{name or container.id}/schemata") == "L3:0=1\nMB:0=50\n"
        container.delete("--force")


def test_update_makes_a_class(bundle: Bundle, root: str) -> None:
    """For a container that has none, with all its processes, until it is deleted."""
    container = bundle.shell("sleep 100 & sleep 100; true").up()
    process.wait_for(lambda: container.proc(f"task/{container.pid}/children").count(" ") == 2, "the children")
    update(container, "--l3-cache-schema", "L3:0=3").ok()
    assert content(root, f"{container.id}/schemata") == "L3:0=3\n"
    assert content(root, f"{container.id}/tasks")
    update(container, "--l3-cache-schema", "L3:0=1", "--memory", "100M").ok()
    assert content(root, f"{container.id}/schemata") == "L3:0=1\n"
    container.delete("--force")
    assert os.listdir(root) == []


def test_update_that_fails_leaves_the_class(bundle: Bundle, root: str) -> None:
    """As it was before; and none that was not there."""
    bundle.linux["intelRdt"] = {"l3CacheSchema": "L3:0=f"}
    with_class = bundle.container("/bin/sleep", "100").up()
    update(with_class, "--l3-cache-schema", "L3:0=3", "--cpuset-cpus", "9999").refused(where="cpu.cpus")
    assert content(root, f"{with_class.id}/schemata") == "L3:0=f\n"
    update(with_class, "--mem-bw-schema", "L3:0=3").refused(where="memBwSchema")
    del bundle.linux["intelRdt"]
    without = bundle.container("/bin/sleep", "100").up()
    update(without, "--l3-cache-schema", "L3:0=3", "--cpuset-cpus", "9999").refused(where="cpu.cpus")
    assert os.listdir(root) == [with_class.id]
    update(without, "--l3-cache-schema", "L3:0=3").ok()


@pytest.mark.parametrize("hook", ["prestart", "createContainer"])
def test_a_failed_create_leaves_no_class(bundle: Bundle, root: str, hook: str) -> None:
    bundle.linux["intelRdt"] = {"enableMonitoring": True}
    bundle.config["hooks"] = {hook: [{"path": "/bin/false"}]}
    bundle.run("/bin/true").refused(where=f"hooks.{hook}")
    assert os.listdir(root) == []


def test_a_missing_class_is_an_error(bundle: Bundle, root: str) -> None:
    bundle.linux["intelRdt"] = {"closID": "gold"}
    bundle.run("/bin/true").refused("no such class", where="linux.intelRdt")


def test_without_resctrl_it_is_refused(bundle: Bundle) -> None:
    with open("/proc/self/mountinfo") as file:
        if " - resctrl " in file.read():
            pytest.skip("this machine has resctrl")
    bundle.linux["intelRdt"] = {}
    bundle.run("/bin/true").refused("no resctrl file system is mounted", where="linux.intelRdt")
