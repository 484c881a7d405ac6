"""Many commands at once: on different containers, and on one."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from typing import TYPE_CHECKING

import pytest
from oci import process

if TYPE_CHECKING:
    from collections.abc import Callable

    from oci.bundle import Bundle
    from oci.runtime import Container

AT_ONCE = 32


def spawn_create(container: Container) -> subprocess.Popen[bytes]:
    """``create`` in the background, with /dev/null for stdin and stdout."""
    with open(f"{container.pid_file}.errors", "wb") as errors:
        return container.runtime.spawn(
            "create", "--bundle", container.bundle.path, "--pid-file", container.pid_file, container.id,
            stdout=subprocess.DEVNULL, stderr=errors,
        )  # fmt: skip


def outcome(container: Container, command: subprocess.Popen[bytes]) -> str:
    """Wait for a create: 'created', or its error; a created container is known from then on."""
    command.wait(120)
    with open(f"{container.pid_file}.errors") as errors:
        text = errors.read()
    if command.returncode == 0:
        with open(container.pid_file) as file:
            container.pid = int(file.read())
        return "created" + text
    return f"{command.returncode}: {text}"


def spawn(container: Container, verb: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Another verb in the background."""
    return container.runtime.spawn(verb, *arguments, container.id, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_all(commands: list[subprocess.Popen[bytes]]) -> list[int]:
    """Their exit codes."""
    return [command.wait(120) for command in commands]


def test_many_creates_at_once(bundle: Bundle) -> None:
    """All succeed, and so do their starts and deletes."""
    containers = [bundle.container("/bin/true") for _ in range(AT_ONCE)]
    bundle.write()
    commands = [spawn_create(container) for container in containers]
    outcomes = [outcome(*pair) for pair in zip(containers, commands, strict=True)]
    assert set(outcomes) == {"created"}
    assert len({container.pid for container in containers}) == AT_ONCE
    assert wait_all([spawn(container, "start") for container in containers]) == [0] * AT_ONCE
    assert [container.wait() for container in containers] == [0] * AT_ONCE
    assert wait_all([spawn(container, "delete") for container in containers]) == [0] * AT_ONCE
    assert bundle.runtime.containers() == []


@pytest.mark.runc_differs("1.1: sometimes none of them succeeds", strict=False)
@pytest.mark.parametrize("attempt", range(3))
def test_creates_of_one_id(new_bundle: Callable[[], Bundle], attempt: int) -> None:
    """Exactly one succeeds, and its container is whole."""
    identity = f"{new_bundle().runtime.new_id()}-{attempt}"
    containers = []
    for _ in range(4):
        bundle = new_bundle()
        containers.append(bundle.container("/bin/sleep", "100", identity=identity))
        bundle.write()
    commands = [spawn_create(container) for container in containers]
    outcomes = [outcome(*pair) for pair in zip(containers, commands, strict=True)]
    assert outcomes.count("created") == 1, outcomes
    assert all("already exists" in text for text in outcomes if text != "created"), outcomes
    winner = containers[outcomes.index("created")]
    state = winner.state()
    assert (state["pid"], state["bundle"]) == (winner.pid, winner.bundle.path)
    winner.start()
    assert winner.status() == "running"


@pytest.mark.runc_differs("1.1: sometimes the losers end the container", strict=False)
def test_starts_of_one_container(bundle: Bundle) -> None:
    """Exactly one succeeds; the process runs once."""
    container = bundle.shell("echo ran; exec sleep 100")
    container.create()
    codes = wait_all([spawn(container, "start") for _ in range(4)])
    assert codes.count(0) == 1
    container.wait_output("ran\n")
    assert container.output() == "ran\n"
    assert container.status() == "running"


def test_deletes_of_one_container(bundle: Bundle) -> None:
    """With --force all may succeed; nothing is left."""
    container = bundle.container("/bin/sleep", "100").up()
    codes = wait_all([spawn(container, "delete", "--force") for _ in range(4)])
    assert 0 in codes
    assert bundle.runtime.containers() == []


@pytest.mark.runc_differs("1.1: an error, when it meets one that is half gone", strict=False)
def test_list_while_containers_come_and_go(bundle: Bundle) -> None:
    """A container that is half made or half gone is no error of list."""
    containers = [bundle.container("/bin/true") for _ in range(8)]
    bundle.write()
    creates = [spawn_create(container) for container in containers]
    while any(command.poll() is None for command in creates):
        bundle.runtime.call("list", "--quiet").ok()
    assert {outcome(*pair) for pair in zip(containers, creates, strict=True)} == {"created"}
    deletes = [spawn(container, "delete", "--force") for container in containers]
    while any(command.poll() is None for command in deletes):
        bundle.runtime.call("list", "--format", "json").ok()


@pytest.mark.lxcri_only("others leave processes, cgroups or state behind")
@pytest.mark.parametrize("attempt", range(12))
def test_create_that_is_killed(bundle: Bundle, attempt: int) -> None:
    """At any instant: nothing of it lives on, and delete --force removes what it had made."""
    container = bundle.container("/bin/true")
    bundle.write()
    command = spawn_create(container)
    time.sleep(random.Random(attempt).uniform(0, 0.12))
    command.send_signal(signal.SIGKILL)
    command.wait()
    if os.path.exists(container.pid_file):  # it was done, or nearly
        with open(container.pid_file) as file:
            container.pid = int(file.read())
    container.delete("--force").ok()
    container.exit = 0  # it is an orphan: reaped by the check after the test
    process.wait_for(lambda: not process.children(), "the end of what create had started")
    assert bundle.runtime.containers() == []
