"""The known holes of others: each attack is made, and fails."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from oci import process
from oci.console import ConsoleSocket

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from oci.bundle import Bundle
    from oci.runtime import Container

needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")

SLOW_EXECUTION = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "trace=execve,execveat"]
"""Holds up who has just executed something, so that an attacker has all the time that he needs."""
ROUNDS = 4


def shared(bundle: Bundle) -> str:
    """A directory of the host that the attacker has at /srv, and where he looks for the word to stop."""
    path = os.path.join(bundle.path, "shared")
    if not os.path.isdir(path):
        bundle.directory("shared")
        bundle.bind(path, "/srv")
    return path


@contextlib.contextmanager
def attacker(bundle: Bundle, *words: str) -> Iterator[Container]:
    """A container that attacks as long as the context lasts; what it got is its output."""
    stop = os.path.join(shared(bundle), "stop")
    container = bundle.container("/bin/attack", *words, "/srv/stop").up()
    container.wait_output("ready")
    try:
        yield container
    finally:
        os.close(os.open(stop, os.O_CREAT))
        container.wait()
        os.unlink(stop)


@contextlib.contextmanager
def exchanging(bundle: Bundle, one: str, other: str) -> Iterator[None]:
    """Somebody on the host who exchanges these two names again and again as long as the context lasts."""
    stop = os.path.join(bundle.path, "stop")
    words = [os.path.join(bundle.rootfs, "bin/attack"), "exchange", one, other, stop]
    with open(os.path.join(bundle.path, "exchanged"), "w+") as out:
        racer = subprocess.Popen(words, stdout=out)
        try:
            yield
        finally:
            os.close(os.open(stop, os.O_CREAT))
            racer.wait()
        out.seek(0)
        assert "exchanged 0" not in out.read()


def spoils(container: Container) -> list[str]:
    """What the attacker got."""
    return sorted({line for line in container.output().splitlines() if line != "ready"})


def slowed(call: str, milliseconds: int = 60) -> list[str]:
    """A wrapper under which this call returns late."""
    return [*SLOW_EXECUTION, "-e", f"inject={call}:delay_exit={milliseconds * 1000}"]


@needs_strace
@pytest.mark.lxcri_only("names the calls that lxcri makes")
@pytest.mark.parametrize("user_namespace", [False, True])
@pytest.mark.parametrize("how", ["exec", "create"])
def test_looking_into_who_enters(new_bundle: Callable[[], Bundle], how: str, user_namespace: bool) -> None:
    """CVE-2016-9962: descriptors and memory of a process that enters the container are not for its processes.

    In a user namespace the attacker has all capabilities; without one, CAP_SYS_PTRACE is the whole machine's.
    """
    bundle, other = new_bundle(), new_bundle()
    if user_namespace:
        bundle.user_namespace()
        other.user_namespace()
        capabilities = bundle.process["capabilities"]
        for names in capabilities.values():
            names.append("CAP_SYS_PTRACE")
    with attacker(bundle, "spy") as spy:
        for round_ in range(ROUNDS):
            wrapper = slowed("execveat" if how == "exec" else "execve") if round_ else ()
            if how == "exec":
                bundle.runtime.call("exec", spy.id, "/bin/true", wrapper=wrapper).ok()
                continue
            other.namespace("pid", path=f"/proc/{spy.pid}/ns/pid")
            if user_namespace:
                other.namespace("user", path=f"/proc/{spy.pid}/ns/user")
                other.linux.pop("uidMappings", None)
                other.linux.pop("gidMappings", None)
            victim = other.container("/bin/true")
            other.write()
            command = victim.runtime.spawn(
                "create", "--bundle", other.path, "--pid-file", victim.pid_file, victim.id, wrapper=wrapper,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            process.wait_for(lambda v=victim: state_is(v, "created"), "the container")  # type: ignore[misc]
            victim.delete("--force").ok()
            command.wait(process.TIMEOUT)
            process.wait_for(lambda: len(process.children()) == 1, "the end of the container")
    got = spoils(spy)
    if how == "create" and user_namespace:  # a child of liblxc's, which makes itself dumpable: docs/security.md
        assert not [line for line in got if bundle.runtime.root in line]
        got = [line for line in got if line.split()[1] != "lxcri"]
    assert got == []


def state_is(container: Container, status: str) -> bool:
    """Whether there is such a container, in this state."""
    result = container.runtime.call("state", container.id)
    return result.returncode == 0 and f'"{status}"' in result.stdout


@needs_strace
def test_writing_to_what_the_runtime_executes(bundle: Bundle) -> None:
    """CVE-2019-5736: who holds the executable of a process that enters the container cannot write to it."""
    files = [bundle.runtime.path, "/proc/self/exe"]
    if bundle.runtime.is_lxcri:
        files.append(os.path.join(os.path.dirname(os.path.dirname(__file__)), "../lxcri/lxcri-init"))
    before = [digest(path) for path in files]
    bundle.process["capabilities"] = {
        kind: [*bundle.process["capabilities"]["bounding"], "CAP_SYS_PTRACE"]
        for kind in ("bounding", "effective", "permitted")
    }
    with attacker(bundle, "overwrite") as attack:
        for _ in range(ROUNDS):
            bundle.runtime.call("exec", attack.id, "/proc/self/exe", "check", wrapper=slowed("execveat,execve", 20))
            bundle.runtime.call("exec", attack.id, "/bin/true", wrapper=slowed("execveat", 100)).ok()
    got = spoils(attack)
    assert not [line for line in got if line.startswith("written")]
    if bundle.runtime.is_lxcri:
        assert any("memfd:lxcri-init" in line for line in got if line.startswith("held ")), got
    assert [digest(path) for path in files] == before
    bundle.sh("true")


def digest(path: str) -> str:
    """Of a file's content."""
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


@pytest.mark.parametrize("interpreter", ["/proc/self/exe", "/proc/self/fd/3"])
def test_script_that_the_runtime_interprets(bundle: Bundle, interpreter: str) -> None:
    """CVE-2019-5736: the image's shell is a script whose interpreter is /proc/self/exe."""
    before = digest(bundle.runtime.path)
    path = os.path.join(bundle.rootfs, "bin/script")
    with open(path, "w") as file:
        file.write(f"#!{interpreter}\n")
    os.chmod(path, 0o755)
    bundle.run("/bin/script", "check", timeout=5)
    container = bundle.container("/bin/sleep", "100").up()
    bundle.runtime.call("exec", container.id, "/bin/script", "check", timeout=5)
    assert digest(bundle.runtime.path) == before


@pytest.mark.parametrize("place", ["/proc", "/proc/sys", "/proc/sys/kernel", "/proc/sys/kernel/domainname"])
def test_writes_to_a_proc_of_the_image(bundle: Bundle, place: str) -> None:
    """CVE-2019-16884, CVE-2025-52881: what is written to the kernel goes to the kernel, or there is no container."""
    source = bundle.directory("volume")
    for name in ("sys/kernel/domainname", "kernel/domainname", "domainname", "attr/exec"):
        bundle.file(f"volume/{name}")
    if place.endswith("domainname"):
        source = os.path.join(source, "domainname")
    bundle.bind(source, place)
    bundle.linux["sysctl"] = {"kernel.domainname": "attack"}
    result = bundle.run("/bin/cat", "/proc/sys/kernel/domainname")
    for directory, _, names in os.walk(os.path.join(bundle.path, "volume")):
        assert all(os.path.getsize(os.path.join(directory, name)) == 0 for name in names)
    result.refused()


@pytest.mark.parametrize("file", ["sys/kernel/domainname", "self/attr/exec", "self/comm", "self/mem"])
def test_writes_to_another_file_of_proc(bundle: Bundle, file: str) -> None:
    """CVE-2025-52881: with a file of the host's proc where the sysctl is, nothing is written to that one."""
    victim = subprocess.Popen(["/bin/sleep", "100"])
    try:
        path = f"/proc/{victim.pid}/oom_score_adj"
        bundle.bind(path, f"/proc/{file}")
        bundle.linux["sysctl"] = {"kernel.domainname": "7"}
        bundle.run("/bin/true")
        with open(path) as adjustment:
            assert adjustment.read() == "0\n"
    finally:
        victim.kill()
        victim.wait()


def test_capabilities_of_exec(bundle: Bundle) -> None:
    """CVE-2022-29162, CVE-2022-27650 (crun): no inheritable capabilities of the runtime's own making."""
    container = bundle.container("/bin/sleep", "100").up()
    for options in ((), ("--cap", "CAP_NET_ADMIN"), ("--cap", "CAP_SYS_ADMIN", "--user", "1000:1000")):
        status = bundle.runtime.call("exec", *options, container.id, "/bin/cat", "/proc/self/status").ok().stdout
        sets = dict(line.split(":\t") for line in status.splitlines() if line.startswith("Cap"))
        assert int(sets["CapInh"], 16) == 0, options
        assert int(sets["CapAmb"], 16) == 0, options


@pytest.mark.runc_differs("1.1: not the tmpfs above them", strict=False)
@pytest.mark.parametrize("cgroup_namespace", [False, True])
@pytest.mark.parametrize("user_namespace", [False, True])
def test_cgroups_that_are_read_only(bundle: Bundle, user_namespace: bool, cgroup_namespace: bool) -> None:
    """CVE-2023-25809: all hierarchies of a read-only cgroup mount are, whatever the namespaces."""
    if user_namespace:
        if not cgroup_namespace and bundle.runtime.name == "runc":
            pytest.skip("runc refuses it")
        bundle.user_namespace()
    if cgroup_namespace:
        bundle.namespace("cgroup")
    bundle.mount("/sys/fs/cgroup", "cgroup", "cgroup", ["ro", "nosuid", "noexec", "nodev"])
    out = bundle.sh(
        "cat /proc/self/mountinfo; for d in /sys/fs/cgroup /sys/fs/cgroup/*; do"
        " mkdir $d/attack 2>/dev/null && echo made $d; done; true"
    )
    lines = [line for line in out.splitlines() if " /sys/fs/cgroup" in line]
    assert lines
    for line in lines:
        assert "ro" in line.split()[5].split(","), line
    assert "made" not in out


@pytest.mark.parametrize("fd", [*range(3, 14), "exec"])
def test_working_directory_that_is_a_descriptor(bundle: Bundle, fd: int | str) -> None:
    """CVE-2024-21626: /proc/self/fd/N of the runtime names no working directory, for `run` and `exec`."""
    look = ["/bin/sh", "-c", "cat ../../../../../../../../etc/hostname ../../../../../../../../etc/shadow; ls"]
    outside = bundle.file("etc/hostname", "outside\n")
    assert outside
    if fd != "exec":
        bundle.process["cwd"] = f"/proc/self/fd/{fd}"
        result = bundle.run(*look)
        assert result.returncode != 0
        assert "outside" not in result.stdout
        assert "config.json" not in result.stdout
        return
    container = bundle.container("/bin/sleep", "100").up()
    for number in range(3, 14):
        result = bundle.runtime.call("exec", "--cwd", f"/proc/self/fd/{number}", container.id, *look)
        assert "config.json" not in result.stdout
        assert "shadow" not in result.stdout
        assert "root:" not in result.stdout


BAIT = "bait"  # a directory of the host at which the attackers' links point

TARGETS = [
    ("tmpfs", "/srv/a/b/c"),
    ("bind", "/srv/a/b/c"),
    ("file", "/srv/a/b/file"),
    ("cgroup", "/srv/a/b/c"),
    ("device", "/srv/a/b/device"),
    ("maskedPaths", "/srv/a/hidden"),
    ("readonlyPaths", "/srv/a/hidden"),
]


@pytest.mark.runc_differs("1.1.5 makes files and directories outside", strict=False)
@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize(("kind", "target"), TARGETS)
def test_race_for_a_mount_target(bundle: Bundle, kind: str, target: str, absolute: bool) -> None:
    """CVE-2019-19921, CVE-2021-30465, CVE-2024-45310, CVE-2019-18837 (crun), CVE-2015-1335 (liblxc).

    While containers are created a directory of a shared volume is exchanged with a link that leads out of it, by who
    has the volume too. Nothing is made or mounted where the link leads.
    """
    volume, bait = bundle.directory("shared"), bundle.directory(BAIT)
    os.makedirs(os.path.join(volume, "a"))
    if kind.endswith("Paths"):
        os.mkdir(os.path.join(volume, "a/hidden"))
        os.mkdir(os.path.join(bait, "hidden"))
    there = os.listdir(bait)
    os.symlink(bait if absolute else "../../../../../../../../../.." + bait, os.path.join(volume, "link"))
    bundle.bind(volume, "/srv")
    before = mounts_of_host()
    with attacker(bundle, "exchange", "/srv/a", "/srv/link") as racer:
        if kind == "tmpfs":
            bundle.mount(target, "tmpfs", "tmpfs")
        elif kind == "bind":
            bundle.bind(bundle.directory("source"), target)
        elif kind == "file":
            bundle.bind(bundle.file("file"), target)
        elif kind == "cgroup":
            bundle.mount(target, "cgroup", "cgroup", ["ro"])
        elif kind.endswith("Paths"):
            bundle.linux[kind] = [target]
        else:
            bundle.linux["devices"] = [{"path": target, "type": "c", "major": 1, "minor": 3}]
        for _ in range(RACES):
            container = bundle.container("/bin/true")
            if container.attempt_create().returncode == 0:
                container.delete("--force").ok()
                container.wait()
            assert os.listdir(bait) == there
    assert "exchanged 0" not in racer.output()
    assert mounts_of_host() == before


RACES = 8


def mounts_of_host() -> list[str]:
    """Of the namespace of the tests."""
    with open("/proc/self/mountinfo") as file:
        return file.read().splitlines()


@pytest.mark.runc_differs("1.1.5 makes directories outside", strict=False)
@pytest.mark.parametrize("name", ["proc", "sys", "dev"])
def test_race_for_a_file_system_of_the_kernel(bundle: Bundle, name: str) -> None:
    """CVE-2023-27561: /proc, /sys and /dev of a root file system that somebody else changes meanwhile."""
    bait = bundle.directory(BAIT)
    os.rename(os.path.join(bundle.rootfs, name), os.path.join(bundle.rootfs, "place"))
    os.symlink(bait, os.path.join(bundle.rootfs, "link"))
    os.makedirs(os.path.join(bundle.rootfs, name))
    bundle.bind(bundle.rootfs, "/srv")
    before = mounts_of_host()
    with exchanging(bundle, f"{bundle.rootfs}/{name}", f"{bundle.rootfs}/link"):
        for _ in range(RACES):
            container = bundle.container("/bin/true")
            if container.attempt_create().returncode == 0:
                container.delete("--force").ok()
                container.wait()
            assert os.listdir(bait) == []
    assert mounts_of_host() == before


@pytest.mark.runc_differs("1.1.5 mounts what the link names")
@pytest.mark.parametrize("target", ["/proc/sys/kernel/domainname", "/etc/passwd", "../../../../../etc/passwd"])
def test_null_device_that_is_a_link(bundle: Bundle, target: str) -> None:
    """CVE-2025-31133: what hides paths is no file of the attacker's choice."""
    bundle.config["mounts"] = [m for m in bundle.config["mounts"] if not m["destination"].startswith("/dev")]
    os.symlink(target, os.path.join(bundle.rootfs, "dev/null"))
    bundle.linux["maskedPaths"] = ["/proc/kcore", "/etc/group"]
    result = bundle.run("/bin/cat", "/etc/group")
    result.refused(where="/dev/null")
    assert "root" not in result.stdout


@pytest.mark.runc_differs("1.1.5 hides with what the link names", strict=False)
def test_race_for_the_null_device(bundle: Bundle) -> None:
    """CVE-2025-31133, by who shares the directory of the devices: what is hidden stays hidden."""
    devices = bundle.directory("devices")
    os.symlink("/etc/passwd", os.path.join(devices, "link"))
    os.mknod(os.path.join(devices, "null"), 0o20666, os.makedev(1, 3))
    os.chmod(os.path.join(devices, "null"), 0o666)
    bundle.config["mounts"] = [m for m in bundle.config["mounts"] if not m["destination"].startswith("/dev")]
    bundle.bind(devices, "/dev")
    bundle.linux["maskedPaths"] = ["/etc/group"]
    with exchanging(bundle, f"{devices}/null", f"{devices}/link"):
        results = [bundle.run("/bin/cat", "/etc/group") for _ in range(RACES)]
    assert {result.stdout for result in results} == {""}, results


@pytest.mark.lxcri_only("runc 1.1.5 leaves a process")
@pytest.mark.parametrize("target", ["/proc/sys/kernel/domainname", "/etc/passwd", "bait", "/proc/self/fd/0"])
def test_console_that_is_a_link(bundle: Bundle, target: str) -> None:
    """CVE-2025-52565: the terminal is the pty that was opened, and it is mounted in the container only."""
    bait = bundle.file(BAIT, "bait")
    bundle.config["mounts"] = [
        m for m in bundle.config["mounts"] if m["destination"] == "/dev/pts" or not m["destination"].startswith("/dev")
    ]
    os.symlink(bait if target == "bait" else target, os.path.join(bundle.rootfs, "dev/console"))
    bundle.process["terminal"] = True
    before = mounts_of_host()
    container = bundle.container(
        "/bin/sh", "-c", "cat /proc/self/mountinfo; stat -c %t:%T /proc/self/fd/0; exec sleep 100"
    )
    with ConsoleSocket(os.path.join(bundle.path, "console.sock")) as console:
        created = container.attempt_create("--console-socket", console.path)
        if created.returncode == 0:
            assert os.minor(os.stat(container.path("/proc/1/fd/0")).st_rdev) == 0
            container.delete("--force").ok()
    assert mounts_of_host() == before
    with open(bait) as file:
        assert file.read() == "bait"


@pytest.mark.lxcri_only("runc 1.1.5 leaves a process")
def test_race_for_the_console(bundle: Bundle) -> None:
    """CVE-2025-52565, by who shares the directory of the devices."""
    devices, bait = bundle.directory("devices"), bundle.file(BAIT, "bait")
    os.makedirs(os.path.join(devices, "pts"))
    os.symlink(bait, os.path.join(devices, "link"))
    os.close(os.open(os.path.join(devices, "console"), os.O_CREAT))
    pts = next(mount for mount in bundle.config["mounts"] if mount["destination"] == "/dev/pts")
    bundle.config["mounts"] = [m for m in bundle.config["mounts"] if not m["destination"].startswith("/dev")]
    bundle.bind(devices, "/dev")
    bundle.config["mounts"].append(pts)
    bundle.process["terminal"] = True
    before = mounts_of_host()
    with exchanging(bundle, f"{devices}/console", f"{devices}/link"):
        for number in range(RACES):
            container = bundle.container("/bin/sleep", "100")
            with ConsoleSocket(os.path.join(bundle.path, f"{number}.sock")) as console:
                if container.attempt_create("--console-socket", console.path).returncode == 0:
                    assert os.readlink(container.path("/proc/1/fd/0")).startswith("/dev/pts/")
                    container.delete("--force").ok()
                    container.wait()
    assert mounts_of_host() == before
    with open(bait) as file:
        assert file.read() == "bait"


@pytest.mark.parametrize("absolute", [True, False])
@pytest.mark.parametrize("verb", ["run", "exec"])
def test_race_for_the_working_directory(bundle: Bundle, verb: str, absolute: bool) -> None:
    """CVE-2024-21626's aim: the program does not begin outside of its root."""
    volume, bait = bundle.directory("shared"), bundle.directory(BAIT)
    os.makedirs(os.path.join(volume, "a"))
    os.close(os.open(os.path.join(bait, "outside"), os.O_CREAT))
    os.symlink(bait if absolute else "../../../../../../../../../.." + bait, os.path.join(volume, "link"))
    bundle.bind(volume, "/srv")
    if verb == "exec":
        container = bundle.container("/bin/sleep", "100").up()
    with exchanging(bundle, f"{volume}/a", f"{volume}/link"):
        for _ in range(RACES):
            if verb == "exec":
                result = bundle.runtime.call("exec", "--cwd", "/srv/a", container.id, "/bin/ls")
            else:
                bundle.process["cwd"] = "/srv/a"
                result = bundle.run("/bin/ls")
            assert "outside" not in result.stdout


def test_race_for_the_user_database(bundle: Bundle) -> None:
    """/etc/passwd of the image becomes a link to a file of the host while it is read for HOME."""
    bait = bundle.file(BAIT, "root:x:0:0::/bait:/bin/sh\n")
    passwd = os.path.join(bundle.rootfs, "etc/passwd")
    os.makedirs(os.path.dirname(passwd), exist_ok=True)
    with open(passwd, "w") as file:
        file.write("root:x:0:0::/home:/bin/sh\n")
    os.symlink(bait, f"{passwd}-")
    bundle.process["env"] = ["PATH=/bin"]
    with exchanging(bundle, passwd, f"{passwd}-"):
        homes = {bundle.run("/bin/sh", "-c", "echo $HOME").ok().stdout.strip() for _ in range(RACES)}
    assert homes <= {"/home", "/root", "/"}


def test_run_of_another_lock_directory(bundle: Bundle) -> None:
    """CVE-2015-1331 (liblxc): links below /run/lxc and /run/lock/lxc are not followed."""
    bait = bundle.directory(BAIT)
    os.symlink(bait, "/run/lxc")
    os.makedirs("/run/lock", exist_ok=True)
    os.symlink(bait, "/run/lock/lxc")
    try:
        bundle.run("/bin/true").ok()
    finally:
        os.unlink("/run/lxc")
        os.unlink("/run/lock/lxc")
        os.rmdir("/run/lock")
    assert os.listdir(bait) == []


@pytest.mark.runc_differs("1.1: exec needs the container's /proc", strict=False)
def test_entering_a_container_with_a_proc_of_its_own(bundle: Bundle) -> None:
    """CVE-2015-1334, CVE-2016-8649 (liblxc): exec takes nothing of what the container has at /proc for its own."""
    container = bundle.container(
        "/bin/sh", "-c", "umount /proc; mkdir -p /proc/1 /proc/self; echo ready; exec sleep 100"
    )
    for names in bundle.process["capabilities"].values():
        names.append("CAP_SYS_ADMIN")
    fake = os.path.join(bundle.rootfs, "proc")
    for name in ("1", "self"):
        os.makedirs(os.path.join(fake, name, "attr"))
        os.symlink("/bin", os.path.join(fake, name, "fd"))
        for file in ("status", "attr/exec", "attr/current", "uid_map"):
            os.close(os.open(os.path.join(fake, name, file), os.O_CREAT))
    container.up()
    container.wait_output("ready")
    result = bundle.runtime.call("exec", container.id, "/bin/attack", "descriptors").ok()
    assert result.stdout == ""
    for directory, _, names in os.walk(fake):
        assert all(os.path.getsize(os.path.join(directory, name)) == 0 for name in names)
