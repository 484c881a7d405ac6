# ruff: noqa: T201
"""What a program of python3-lxc does, as lines of results: run on python3-lxc and on lxcffi.compat by test_compat.py.

compat_script.py MODULE LXCPATH CGROUP TEMPLATE
"""

from __future__ import annotations

import importlib
import os
import sys
import time

lxc = importlib.import_module(sys.argv[1])
PATH, CGROUP, TEMPLATE = sys.argv[2:]


def show(what: str, function, *arguments, **options) -> object:  # type: ignore[no-untyped-def]
    """Print what a call returns or raises, and return it."""
    try:
        result = function(*arguments, **options)
    except Exception as e:  # noqa: BLE001 (whatever it raises)
        print(what, "raises", type(e).__name__, e if isinstance(e, KeyError) else "", flush=True)
        return None
    shown: object = result.name if isinstance(result, lxc.Container) else result
    if isinstance(result, tuple) and any(isinstance(each, lxc.Container) for each in result):
        shown = [each.name for each in result]
    print(what, type(result).__name__, repr(shown), flush=True)
    return result


def wait_for_init(name: str) -> None:
    """Wait until the init of a container has started: before, it is deaf to signals."""
    while not os.path.exists(f"{PATH}/{name}/rootfs/run/starts"):
        time.sleep(0.01)


def module() -> None:
    """Functions and constants of the module."""
    print("version", lxc.version, lxc.default_config_path)
    show("global", lxc.get_global_config_item, "lxc.lxcpath")
    show("global", lxc.get_global_config_item, key="lxc.default_config")
    show("global", lxc.get_global_config_item, "lxc.nonsense")
    for arch in ("x86", "i686", "athlon", "x86_64", "amd64", b"linux64", "linux32", "arm", "nonsense", "ppc64le"):
        show(f"arch {arch!r}", lxc.arch_to_personality, arch)
    show("arch", lxc.arch_to_personality, 1)
    show("list", lxc.list_containers, config_path=PATH)
    show("list", lxc.list_containers, config_path="/nonexistent")


def configuration() -> None:
    """Items and networks of a container that is not created."""
    c = lxc.Container("config", PATH)
    for name in ("name", "state", "running", "defined", "controllable", "init_pid", "config_file_name"):
        print(name, repr(getattr(c, name)))
    show("path", c.get_config_path)
    for key, value in (
        ("lxc.uts.name", "one"),
        ("lxc.uts.name", "two"),
        ("lxc.environment", ["A=1", "B=2"]),
        ("lxc.environment", "C=3"),
        ("lxc.environment", []),
        ("lxc.cap.drop", ["sys_admin", "mknod"]),
        ("lxc.log.level", "INFO"),
        ("lxc.tty.max", "4"),
        ("lxc.tty.max", "many"),
        ("lxc.nonsense", "x"),
        ("lxc.mount.auto", ["proc", "sys"]),
        ("lxc.signal.halt", "SIGUSR1"),
        ("lxc.nonsense", ["x"]),
        ("lxc.idmap", ["u 0 1 1", "g 0 1 1"]),
        ("lxc.idmap", ["u 0 2 1", "nonsense"]),
        ("lxc.cap.drop", "mknod sys_time"),
        ("lxc.cap.drop", ["mknod sys_time", "sys_nice"]),
        ("lxc.environment", "A=" + "x" * 1000),
        ("lxc.uts.name", 7),
    ):
        show(f"set {key}", c.set_config_item, key, value)
        show(f"get {key}", c.get_config_item, key)
    show("append", c.append_config_item, "lxc.cap.drop", "sys_time")
    show("append", c.append_config_item, key="lxc.nonsense", value="x")
    show("get", c.get_config_item, "lxc.cap.drop")
    show("clear", c.clear_config_item, key="lxc.cap.drop")
    show("clear", c.clear_config_item, "lxc.nonsense")
    show("get", c.get_config_item, "lxc.cap.drop")
    show("get", c.get_config_item, 1)
    print("networks", len(c.network))
    show("add", c.network.add, "veth")
    show("add", c.network.add, "empty")
    print("networks", len(c.network), c.network[0], c.network[1])
    c.network[0].link = "br0"
    c.network[0].ipv4_address = ["10.0.0.1/24", "10.0.0.2/24"]
    c.network[0].flags = "up"
    for name in ("type", "link", "ipv4_address", "flags", "hwaddr"):
        show(name, getattr, c.network[0], name)
    del c.network[0].link
    show("link", getattr, c.network[0], "link")
    show("nonsense", getattr, c.network[0], "nonsense")
    show("nonsense", setattr, c.network[0], "nonsense", "x")
    print("dir", dir(c.network[0]))
    show("remove", c.network.remove, 1)
    show("remove", c.network.remove, 5)
    print("networks", len(c.network))
    show("keys", c.get_keys, "lxc.net.0")
    show("keys", c.get_keys, key="lxc.nonsense")
    print("all keys", len(c.get_keys()) > 50)
    show("save", c.save_config, f"{PATH}/saved")
    show("save", c.save_config, path="/nonexistent/a/b")
    show("clear", c.clear_config)
    show("load", c.load_config, path=f"{PATH}/saved")
    show("load", c.load_config, "/nonexistent")
    show("get", c.get_config_item, "lxc.uts.name")
    show("set path", c.set_config_path, path=f"{PATH}/other")
    show("path", c.get_config_path)
    for call in (c.freeze, c.get_interfaces, c.get_ips, c.console, c.console_getfd, c.reboot, c.destroy):
        show(call.__name__, call)
    show("cgroup", c.get_cgroup_item, "pids.max")
    show("cgroup", c.set_cgroup_item, "pids.max", "1")
    show("running item", c.get_running_config_item, key="lxc.uts.name")
    show("snapshot", c.snapshot)
    show("snapshots", c.snapshot_list)
    show("attach", c.attach, 1)
    show("attach", c.attach_wait, lxc.attach_run_command, ["/bin/true"])
    show("clone", c.clone, "other")
    show("clone", c.clone, "other", hookargs=["x"])


def life() -> None:
    """A container from its creation to its end."""
    c = lxc.Container("life", PATH)
    show("cgroup", c.set_config_item, "lxc.cgroup.dir", CGROUP)
    show("mount", c.set_config_item, "lxc.rootfs.mount", os.path.dirname(PATH) + "/mount")
    show("create", c.create, TEMPLATE, lxc.LXC_CREATE_QUIET, {"x": "y"})
    show("list", lxc.list_containers, config_path=PATH, as_object=True)
    show("list", lxc.list_containers, active=True, defined=False, config_path=PATH)
    show("start", c.start)
    show("wait", c.wait, "running", 10)
    show("wait", c.wait, state="STOPPED", timeout=1)
    wait_for_init("life")
    print("running", c.running, c.state, c.init_pid > 0, c.defined)
    show("list", lxc.list_containers, active=True, defined=False, config_path=PATH)
    show("item", c.get_running_config_item, "lxc.uts.name")
    show("interfaces", c.get_interfaces)
    show("ips", c.get_ips, timeout=0)
    show("ips", c.get_ips, interface="lo", family="inet")
    with open(f"{PATH}/out", "w+b") as out:
        show("command", c.attach_wait, lxc.attach_run_command, ["/bin/hostname"], stdout=out)
        show("command", c.attach_wait, lxc.attach_run_command, "/bin/pwd", stdout=out, initial_cwd="/tmp")
        show("command", c.attach_wait, lxc.attach_run_command, ("/bin/sh", ["sh", "-c", "echo $0; exit 3"]), stdout=out)
        script = "echo $A$B$LXCFFI; id -u; id -g"
        show(
            "command",
            c.attach_wait,
            lxc.attach_run_command,
            ["/bin/sh", "-c", script],
            stdout=out.fileno(),
            uid=1,
            gid=2,
            env_policy=lxc.LXC_ATTACH_CLEAR_ENV,
            extra_env_vars=["A=x", "B=y=z"],
            extra_keep_env=["LXCFFI"],
        )
        show("command", c.attach_wait, lxc.attach_run_command, ["/nonexistent"], stderr=out)
        show("namespace", c.attach_wait, lambda: os.write(out.fileno(), os.uname().nodename.encode()) and 0,
             namespaces=lxc.CLONE_NEWUTS)  # fmt: skip
        show("function", c.attach_wait, lambda payload: payload + 1, 41)
        show("function", c.attach_wait, lambda: None)
        show("function", c.attach_wait, lambda: 255)
        show("function", c.attach_wait, lambda: 1 // 0, stderr=out)
        show("option", c.attach_wait, lambda: 0, nonsense=1)
        pid = c.attach(lxc.attach_run_command, ["/bin/sleep", "0"])
        print("attached", pid > 0, os.waitpid(pid, 0)[1])
        out.seek(0)
        print(out.read().partition(b"Traceback")[0])
    terminal = show("terminal", lambda: c.console_getfd(1) > 2)
    show("terminal", c.console_getfd, ttynum=1)
    print(terminal)
    show("device", c.add_device_node, src_path="/dev/kmsg")
    show("device", c.remove_device_node, "/dev/kmsg")
    show("device", c.add_device_node, "/dev/nonexistent")
    show("interface", c.attach_interface, "nonexistent0")
    show("interface", c.detach_interface, "nonexistent0")
    show("net", c.add_device_net, "nonexistent0")
    show("cgroup", c.get_cgroup_item, "no.such.item")
    show("freeze", c.freeze)
    print(c.state)
    show("unfreeze", c.unfreeze)
    show("start", c.start)
    show("destroy", c.destroy)
    show("rename", c.rename, "other")
    show("snapshot", c.snapshot)
    show("shutdown", c.shutdown, timeout=20)
    print(c.state, c.init_pid)
    show("start", c.start, cmd=("/bin/sleep", "1000"), close_fds=True)
    show("shutdown", c.shutdown, timeout=1)
    show("stop", c.stop)
    show("stop", c.stop)
    show("snapshots", c.snapshot_list)
    with open(f"{PATH}/comment", "w") as file:
        file.write("comment")
    show("snapshot", c.snapshot, comment_path=f"{PATH}/comment")
    show("snapshots", lambda: [(s[0], s[1], s[3]) for s in c.snapshot_list()])
    show("restore", c.snapshot_restore, "snap0", newname="restored")
    show("restore", c.snapshot_restore, name="snap9")
    show("destroy", c.destroy)
    show("destroy", c.snapshot_destroy, "snap9")
    show("destroy", c.snapshot_destroy, name="snap0")
    show("clone", c.clone, "copy", config_path=PATH, flags=lxc.LXC_CLONE_KEEPNAME)
    copy = lxc.Container("copy", PATH)
    print(copy.defined, copy.get_config_item("lxc.uts.name"))
    show("rename", copy.rename, "renamed")
    show("list", lxc.list_containers, config_path=PATH)
    for name in ("renamed", "restored", "life"):
        show("destroy", lxc.Container(name, PATH).destroy)
    show("destroy", c.destroy)
    print(c.defined, c.state)
    show("list", lxc.list_containers, config_path=PATH)


if __name__ == "__main__":
    module()
    configuration()
    life()
