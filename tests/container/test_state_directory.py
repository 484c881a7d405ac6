"""lxcri's state directory: what it holds for hooks and people to read."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from oci.bundle import Bundle
    from oci.runtime import Container

pytestmark = pytest.mark.lxcri_only("its state directory")

ANNOTATION = "org.linuxcontainers.lxc.ConfigFile"


def path(container: Container, name: str = "") -> str:
    return os.path.join(container.runtime.root, container.id, name)


def document(container: Container, name: str) -> Any:
    """A JSON file of the state directory."""
    with open(path(container, name)) as file:
        return json.load(file)


def items(container: Container) -> list[tuple[str, str]]:
    """The saved liblxc configuration."""
    found = []
    with open(path(container, "config")) as file:
        for line in file.read().splitlines():
            if line.strip() and not line.startswith("#"):
                key, _, value = line.partition("=")
                found.append((key.strip(), value.strip()))
    return found


def test_files_are_the_owners_alone(bundle: Bundle) -> None:
    """Directories 0700, files 0600: specs hold secrets."""
    container = bundle.container("/bin/true")
    container.create()
    assert stat.S_IMODE(os.stat(bundle.runtime.root).st_mode) == 0o700
    assert stat.S_IMODE(os.stat(path(container)).st_mode) == 0o700
    for name in ("config", "config.json", "hooks.json", "state.json"):
        assert stat.S_IMODE(os.stat(path(container, name)).st_mode) == 0o600, name


def test_no_temporary_files_are_left(bundle: Bundle) -> None:
    """Each file is written under another name and renamed."""
    container = bundle.container("/bin/sleep", "100").up()
    names = os.listdir(path(container))
    assert not [name for name in names if name.startswith(".") or name.endswith((".tmp", ".new", "~"))]


def test_config_is_liblxcs_syntax(bundle: Bundle) -> None:
    """Lines of key = value, which lxc-info and people read."""
    container = bundle.container("/bin/true")
    container.create()
    keys = dict(items(container))
    assert keys["lxc.rootfs.path"].endswith(bundle.rootfs)
    assert keys["lxc.uts.name"] == "inside"
    assert all(key.startswith("lxc.") for key in keys)


def test_annotation_names_the_config(bundle: Bundle) -> None:
    """In state and in the saved spec, for hooks."""
    container = bundle.container("/bin/true")
    container.create()
    assert container.state()["annotations"][ANNOTATION] == path(container, "config")
    assert document(container, "config.json")["annotations"][ANNOTATION] == path(container, "config")


def test_annotation_of_the_spec_does_not_win(bundle: Bundle) -> None:
    """It would name a file of somebody else."""
    bundle.config["annotations"] = {ANNOTATION: "/etc/passwd"}
    container = bundle.container("/bin/true")
    container.create()
    assert container.state()["annotations"][ANNOTATION] == path(container, "config")


def test_spec_is_saved_as_it_is_applied(bundle: Bundle) -> None:
    """With one value for each variable of the environment."""
    bundle.process["env"] = ["A=1", "PATH=/bin", "A=2"]
    bundle.config["annotations"] = {"a": "b"}
    container = bundle.container("/bin/true")
    container.create()
    saved = document(container, "config.json")
    assert sorted(saved["process"]["env"]) == ["A=2", "PATH=/bin"]
    assert saved["process"]["args"] == ["/bin/true"]
    assert saved["annotations"]["a"] == "b"
    assert len(saved["mounts"]) == len(bundle.config["mounts"])


def test_hooks_are_saved(bundle: Bundle) -> None:
    """hooks.json: those of the runtime first, then those of the spec."""
    bundle.config["hooks"] = {"poststop": [{"path": "/bin/true", "args": ["true", "x"]}]}
    container = bundle.container("/bin/true")
    container.create()
    assert document(container, "hooks.json")["poststop"] == [{"path": "/bin/true", "args": ["true", "x"]}]


def test_state_json_is_the_oci_state(bundle: Bundle) -> None:
    """state.json: for hooks that cannot read stdin."""
    container = bundle.container("/bin/true")
    container.create()
    saved = document(container, "state.json")
    assert saved["id"] == container.id
    assert saved["pid"] == container.pid
    assert saved["bundle"] == bundle.path
    assert saved["status"] in ("creating", "created")


def test_files_are_there_for_the_first_hook(bundle: Bundle) -> None:
    """A prestart hook, which gets the id on stdin, can read them."""
    out = os.path.join(bundle.path, "out")
    id_of_state = 's/.*"id": *"\\([^"]*\\)".*/\\1/'
    script = bundle.file("look", f"#!/bin/sh\nls {bundle.runtime.root}/$(sed '{id_of_state}') >{out}\n", 0o755)
    bundle.config["hooks"] = {"prestart": [{"path": script}]}
    bundle.run().ok()
    with open(out) as file:
        assert {"config", "config.json", "hooks.json", "state.json"} <= set(file.read().split())


def test_default_root(bundle: Bundle) -> None:
    """/run/lxcri, here in the tests' own /run."""
    container = bundle.container("/bin/true")
    bundle.write()
    argv = [bundle.runtime.path, "create", "--bundle", bundle.path, "--pid-file", container.pid_file, container.id]
    import subprocess

    from oci import process
    from oci.runtime import ENVIRONMENT

    null = subprocess.DEVNULL
    subprocess.run(argv, check=True, env=ENVIRONMENT, stdin=null, stdout=null, stderr=null, timeout=process.TIMEOUT)
    assert os.listdir("/run/lxcri") == [container.id]
    subprocess.run(
        [bundle.runtime.path, "delete", "--force", container.id], check=True, env=ENVIRONMENT, timeout=process.TIMEOUT
    )
    assert os.listdir("/run/lxcri") == []
    os.rmdir("/run/lxcri")


def test_tampered_state_is_an_error(bundle: Bundle) -> None:
    """A state file of an unknown version, or that is no state file: refused, with its path."""
    container = bundle.container("/bin/true")
    container.create()
    state = path(container, "state")
    with open(state) as file:
        content = file.read()
    with open(state, "w") as file:
        file.write(content.replace("lxcri-state 2", "lxcri-state 9"))
    bundle.runtime.call("state", container.id).refused("state")
    with open(state, "w") as file:
        file.write(content)
    assert container.status() == "created"


def test_a_pid_that_another_process_has_now_is_not_ours(bundle: Bundle) -> None:
    """The start time tells: a recycled pid is never signalled."""
    container = bundle.container("/bin/true").up()
    container.wait()
    state = path(container, "state")
    with open(state) as file:
        content = file.read()
    other = os.getpid()
    with open(state, "w") as file:
        file.write(content.replace(f"pid {container.pid}\n", f"pid {other}\n"))
    assert container.status() == "stopped"
    container.kill("KILL").refused("container not running")
    container.delete().ok()
