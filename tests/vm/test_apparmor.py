"""process.apparmorProfile on a kernel that enforces it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from oci import process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.bundle import Bundle
    from oci.machine import Machine
    from oci.runtime import Container, Result

ENABLED = "/sys/module/apparmor/parameters/enabled"
LOADED = "/sys/kernel/security/apparmor/profiles"

PROFILE = "lxcri-test-"
FIRST, SECOND, UNKNOWN = (PROFILE + name for name in ("first", "second", "unknown"))


def text(name: str) -> str:
    """A profile that allows nearly all, but to write to /tmp/NAME."""
    return f"profile {name} {{\n  file,\n  capability,\n  network,\n  signal,\n  ptrace,\n  deny /tmp/{name} w,\n}}\n"


def is_enabled() -> bool:
    """Whether this kernel has AppArmor, and it is on."""
    try:
        with open(ENABLED) as file:
            return file.read().startswith("Y")
    except FileNotFoundError:
        return False


def parser(*arguments: str) -> None:
    """apparmor_parser, without the cache and the configuration of the host."""
    subprocess.run(
        ["apparmor_parser", "--skip-cache", "--config-file=/dev/null", *arguments],
        check=True,
        timeout=3 * process.TIMEOUT,
    )


@pytest.fixture(scope="module", autouse=True)
def _profiles(machine: Machine) -> Iterator[None]:
    if not is_enabled():
        pytest.skip("AppArmor is not enabled in this kernel")
    if shutil.which("apparmor_parser") is None:
        pytest.skip("apparmor_parser is not installed (Debian: apparmor)")
    if not os.path.exists(LOADED):
        pytest.skip("securityfs is not mounted, so no profile can be loaded")
    path = os.path.join(machine.work, "profiles")
    with open(path, "w") as file:
        file.write(text(FIRST) + text(SECOND))
    parser("--replace", path)
    yield
    parser("--remove", path)
    with open(LOADED) as file:
        assert PROFILE not in file.read()
    os.unlink(path)


@pytest.fixture
def bundle(bundle: Bundle) -> Bundle:
    """Without device rules, which not every cgroup layout has."""
    del bundle.linux["resources"]
    return bundle


def script(name: str) -> str:
    """Print the label of the process, and the outcome of a write to /tmp/NAME and of another one."""
    return (
        f"cat /proc/self/attr/current; for f in {name} other; do"
        " { echo >/tmp/$f; } 2>/dev/null && echo $f written || echo $f refused; done"
    )


def enforced(name: str) -> str:
    """What script() prints under the profile of this name."""
    return f"{name} (enforce)\n{name} refused\nother written\n"


def free(name: str) -> str:
    """What script() prints without a profile."""
    return f"unconfined\n{name} written\nother written\n"


def idle(bundle: Bundle) -> Container:
    """A container that only waits, confined by the first profile."""
    bundle.process["apparmorProfile"] = FIRST
    return bundle.container("/bin/sleep", "100").up()


def execute(container: Container, shell: str, *options: str) -> Result:
    """`exec` of a shell script."""
    return container.runtime.call("exec", *options, container.id, "/bin/sh", "-c", shell)


def test_no_profile(bundle: Bundle) -> None:
    """Without the property the container is as unconfined as the runtime: the other tests' refusals are AppArmor's."""
    assert bundle.sh(script(FIRST)) == free(FIRST)


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_profile_is_enforced(bundle: Bundle, no_new_privileges: bool) -> None:
    """process.apparmorProfile, whatever noNewPrivileges says."""
    bundle.process.update(apparmorProfile=FIRST, noNewPrivileges=no_new_privileges)
    assert bundle.sh(script(FIRST)) == enforced(FIRST)


def test_refusal_is_permission_denied(bundle: Bundle) -> None:
    """A write that the profile denies fails with EACCES."""
    bundle.process["apparmorProfile"] = FIRST
    result = bundle.run("/bin/sh", "-c", f"(echo >/tmp/{FIRST}) 2>&1; true").ok()
    assert result.stdout.endswith(f"can't create /tmp/{FIRST}: Permission denied\n")


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_user_without_privileges(bundle: Bundle, no_new_privileges: bool) -> None:
    """The label is written before the user changes."""
    bundle.process.update(apparmorProfile=FIRST, noNewPrivileges=no_new_privileges)
    bundle.process["user"] = {"uid": 1000, "gid": 1000}
    assert bundle.sh(script(FIRST)) == enforced(FIRST)


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_user_namespace(bundle: Bundle, no_new_privileges: bool) -> None:
    """Its root may confine itself."""
    bundle.user_namespace()
    os.chmod(bundle.path, 0o755)
    bundle.process.update(apparmorProfile=FIRST, noNewPrivileges=no_new_privileges)
    assert bundle.sh(script(FIRST)) == enforced(FIRST)


def test_masked_proc(bundle: Bundle) -> None:
    """What engines hide of /proc does not hide the label's file."""
    bundle.process["apparmorProfile"] = FIRST
    bundle.linux["maskedPaths"] = ["/proc/kcore", "/proc/keys", "/proc/timer_list", "/sys/firmware"]
    bundle.linux["readonlyPaths"] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"]
    assert bundle.sh(script(FIRST)) == enforced(FIRST)


def test_pid_namespace_of_the_host(bundle: Bundle) -> None:
    """/proc has other pids then."""
    bundle.without_namespace("pid")
    bundle.process["apparmorProfile"] = FIRST
    assert bundle.sh(script(FIRST)) == enforced(FIRST)


def test_init_and_its_children(bundle: Bundle) -> None:
    """The label is seen from outside, between `create` and `start` it is not there yet, and children keep it."""
    bundle.process["apparmorProfile"] = FIRST
    container = bundle.shell("sleep 100 & wait")
    container.create()
    assert container.proc("attr/current") == "unconfined\n"
    container.start()
    assert container.proc("attr/current") == f"{FIRST} (enforce)\n"
    children = process.wait_for(lambda: container.proc(f"task/{container.pid}/children").split(), "sleep")
    with open(f"/proc/{children[0]}/attr/current") as file:
        assert file.read() == f"{FIRST} (enforce)\n"


def test_exec(bundle: Bundle) -> None:
    """`exec` has the container's profile, and with --apparmor another one."""
    container = idle(bundle)
    assert execute(container, script(FIRST)).ok().stdout == enforced(FIRST)
    assert execute(container, script(SECOND), f"--apparmor={SECOND}").ok().stdout == enforced(SECOND)
    assert execute(container, script(FIRST), "--no-new-privs").ok().stdout == enforced(FIRST)


def test_exec_of_a_file(bundle: Bundle) -> None:
    """`exec --process` takes the file's profile, none too."""
    container = idle(bundle)
    for profile, output in ({"apparmorProfile": SECOND}, enforced(SECOND)), ({}, free(SECOND)):
        described = {"cwd": "/", "env": ["PATH=/bin"], "args": ["/bin/sh", "-c", script(SECOND)], **profile}
        path = bundle.file("process.json", json.dumps(described))
        assert bundle.runtime.call("exec", "--process", path, container.id).ok().stdout == output


def test_profile_by_exec_alone(bundle: Bundle) -> None:
    """`exec --apparmor` in a container that has no profile."""
    container = bundle.container("/bin/sleep", "100").up()
    assert execute(container, script(FIRST)).ok().stdout == free(FIRST)
    assert execute(container, script(FIRST), f"--apparmor={FIRST}").ok().stdout == enforced(FIRST)


def test_unknown_profile(bundle: Bundle) -> None:
    """A profile that is not loaded is refused by `start`, by its name, and nothing has run."""
    bundle.process["apparmorProfile"] = UNKNOWN
    container = bundle.shell("echo ran")
    container.create()
    container.attempt_start().refused(UNKNOWN, "not loaded", where="process.apparmorProfile")
    container.wait()
    assert container.output() == ""


def test_unknown_profile_of_exec(bundle: Bundle) -> None:
    """`exec` refuses it likewise."""
    refusal = execute(idle(bundle), "echo ran", f"--apparmor={UNKNOWN}")
    refusal.refused(UNKNOWN, "not loaded", where="process.apparmorProfile", status=255)
    assert refusal.stdout == ""


@pytest.mark.lxcri_only("runc needs a /proc")
@pytest.mark.parametrize("other", [[], [{"destination": "/proc", "type": "tmpfs", "source": "tmpfs"}]])
def test_without_proc(bundle: Bundle, other: list[dict[str, str]]) -> None:
    """A container whose /proc is none is confined all the same."""
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["destination"] != "/proc"] + other
    bundle.process["apparmorProfile"] = FIRST
    assert bundle.sh(f"echo >/tmp/other; (echo >/tmp/{FIRST}) 2>/dev/null || echo refused") == "refused\n"


@pytest.mark.lxcri_only("others may refuse such a mount")
@pytest.mark.parametrize("place", ["exec", "apparmor/exec"])
def test_mount_over_the_file_of_the_label(bundle: Bundle, place: str) -> None:
    """What swallows the label, a file of a proc too, does not free the container."""
    bundle.bind("/proc/self/attr/current", f"/proc/1/attr/{place}")
    bundle.process["apparmorProfile"] = FIRST
    assert bundle.sh(script(FIRST)) == enforced(FIRST)


@pytest.mark.lxcri_only("its switch")
def test_switched_off(bundle: Bundle) -> None:
    """--apparmor=false leaves the profile out, and the log says so."""
    bundle.process.update(apparmorProfile=UNKNOWN, args=["/bin/sh", "-c", script(FIRST)])
    bundle.write()
    log = os.path.join(bundle.path, "log.json")
    options = ("--apparmor=false", "--log", log, "--log-format", "json")
    arguments = ("run", "--bundle", bundle.path, bundle.runtime.new_id())
    assert bundle.runtime.call(*arguments, options=options).ok().stdout == free(FIRST)
    with open(log) as file:
        records = [json.loads(line) for line in file]
    warnings = [record["msg"] for record in records if record["level"] == "warning"]
    assert warnings == ["apparmor is switched off: process.apparmorProfile is not applied"]
