"""What an ordinary user can do with lxcffi."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import lxcffi

if TYPE_CHECKING:
    from .conftest import Home

USER = 65533

PROGRAM = """
import os, sys
import lxcffi

mine, root = sys.argv[1:]
assert os.geteuid() == 65533

with lxcffi.Container("mine", mine) as container:
    container.config.set("lxc.uts.name", "mine")
    container.config.set("lxc.idmap", ["u 0 65533 1", "g 0 65533 1"])
    container.network.add("empty")
    assert not container.is_defined and container.may_control and container.state == "STOPPED"
    container.save_config()
    assert container.is_defined
    container.config.set("lxc.rootfs.path", "dir:/nonexistent")
    try:
        container.start()
    except lxcffi.StartError as e:
        print(type(e).__name__)
assert lxcffi.list_containers(mine) == ["mine"]
with next(lxcffi.containers(mine)) as container:
    assert container.config.values("lxc.idmap") == ["u 0 65533 1", "g 0 65533 1"]
    container.destroy()
assert lxcffi.list_containers(mine) == []

with lxcffi.Container("running", root) as container:
    print(container.may_control)
    for call in (container.freeze, lambda: container.attach(["/bin/true"]), container.get_interfaces, container.stop):
        try:
            call()
        except lxcffi.NotPermittedError as e:
            print(e)
"""


def test_user_configures_lists_and_may_not_control_roots_containers(
    running: lxcffi.Container, home: Home, environment: dict[str, str]
) -> None:
    mine = os.path.join(home.machine.work, "user")
    os.mkdir(mine)
    os.chown(mine, USER, USER)
    os.chmod(home.machine.work, 0o755)
    program = os.path.join(mine, "program.py")
    with open(program, "w", encoding="utf-8") as file:
        file.write(PROGRAM)
    runtime = os.path.join(mine, "run")
    os.mkdir(runtime)
    os.chown(runtime, USER, USER)
    done = subprocess.run(
        [sys.executable, program, mine, home.path],
        user=USER, group=USER, extra_groups=[], cwd=mine, capture_output=True, text=True, check=False, timeout=60,
        # With newuidmap on PATH liblxc wants an entry in /etc/subuid, which this user has not.
        env={**environment, "HOME": mine, "XDG_RUNTIME_DIR": runtime, "PATH": "/nonexistent"},
    )  # fmt: skip
    if "ModuleNotFoundError" in done.stderr:
        pytest.skip("the user cannot read this Python's packages")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "StartError",
        "False",
        "freeze of container running: it is not the caller's to control",
        "attach of container running: it is not the caller's to control",
        "get_interfaces of container running: it is not the caller's to control",
        "stop of container running: it is not the caller's to control",
    ]
    assert running.state == "RUNNING"
