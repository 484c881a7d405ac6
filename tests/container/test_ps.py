"""The verb ps."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from oci import process

if TYPE_CHECKING:
    from oci.bundle import Bundle
    from oci.runtime import Container

needs_ps = pytest.mark.skipif(shutil.which("ps") is None, reason="ps is not there (Debian: procps)")


def family(bundle: Bundle) -> tuple[Container, set[int]]:
    """A container of three processes, and their pids."""
    container = bundle.shell("sleep 101 & sleep 102 & echo up; wait").up()
    container.wait_output("up")

    def children() -> set[int]:
        with open(f"/proc/{container.pid}/task/{container.pid}/children") as file:
            return {int(pid) for pid in file.read().split()}

    process.wait_for(lambda: len(children()) == 2, "two children")
    return container, {container.pid, *children()}


def test_json_is_an_array_of_pids(bundle: Bundle) -> None:
    """Those of the host, of all processes; containerd reads them with stderr."""
    container, pids = family(bundle)
    for option in ("--format=json", "-f=json"):
        result = bundle.runtime.call("ps", option, container.id).ok()
        assert set(json.loads(result.stdout)) == pids
        assert result.stderr == ""


@needs_ps
def test_table_has_the_title_and_a_line_for_each_process(bundle: Bundle) -> None:
    """What `ps -ef` says, of these processes only."""
    container, pids = family(bundle)
    title, *lines = bundle.runtime.call("ps", container.id).ok().stdout.splitlines()
    assert title.split()[:3] == ["UID", "PID", "PPID"]
    assert {int(line.split()[1]) for line in lines} == pids
    assert sorted(line.split(None, 7)[7] for line in lines)[1:] == ["sleep 101", "sleep 102"]


@needs_ps
def test_options_after_the_id_are_those_of_ps(bundle: Bundle) -> None:
    """With dashes and without; the PID column is found by its title."""
    container, pids = family(bundle)
    lines = bundle.runtime.call("ps", container.id, "-e", "-o", "comm,pid").ok().stdout.splitlines()
    assert lines[0].split() == ["COMMAND", "PID"]
    assert {int(line.split()[1]) for line in lines[1:]} == pids
    lines = bundle.runtime.call("ps", container.id, "ax").ok().stdout.splitlines()
    assert {int(line.split()[0]) for line in lines[1:]} == pids


@needs_ps
def test_what_ps_does_not_understand(bundle: Bundle) -> None:
    """Its own words."""
    container = bundle.container("/bin/sleep", "100").up()
    bundle.runtime.call("ps", container.id, "--no-such-option").refused("unknown gnu long option", where="ps: ")


@needs_ps
def test_ps_without_pids_is_refused(bundle: Bundle) -> None:
    """Its lines could not be told apart."""
    container = bundle.container("/bin/sleep", "100").up()
    bundle.runtime.call("ps", container.id, "-e", "-o", "comm").refused("PID")


@needs_ps
def test_stopped_container(bundle: Bundle) -> None:
    """It has no processes, which is no error."""
    container = bundle.container("/bin/true").up()
    container.wait()
    assert json.loads(bundle.runtime.call("ps", "--format", "json", container.id).ok().stdout) is None
    assert len(bundle.runtime.call("ps", container.id).ok().stdout.splitlines()) == 1


def test_created_container(bundle: Bundle) -> None:
    """Its init waits for start."""
    container = bundle.container("/bin/true")
    container.create()
    assert json.loads(bundle.runtime.call("ps", "--format", "json", container.id).ok().stdout) == [container.pid]


@needs_ps
def test_paused_container(bundle: Bundle) -> None:
    """As a running one."""
    container = bundle.container("/bin/sleep", "100").up()
    bundle.runtime.call("pause", container.id).ok()
    assert json.loads(bundle.runtime.call("ps", "--format", "json", container.id).ok().stdout) == [container.pid]
    assert str(container.pid) in bundle.runtime.call("ps", container.id).ok().stdout


@needs_ps
@pytest.mark.lxcri_only("runc looks on PATH alone")
def test_without_path(bundle: Bundle) -> None:
    """The program ps is found where it usually is."""
    container = bundle.container("/bin/sleep", "100").up()
    assert str(container.pid) in bundle.runtime.call("ps", container.id, env={}).ok().stdout


def test_another_ps(bundle: Bundle) -> None:
    """The first one on PATH; one that is no program is passed over."""
    container = bundle.container("/bin/sleep", "100").up()
    for name, mode in (("a", 0o644), ("b", 0o755)):
        os.mkdir(os.path.join(bundle.path, name))
        path = os.path.join(bundle.path, name, "ps")
        with open(path, "w") as file:
            file.write(f"#!/bin/sh\necho X PID\necho mine {container.pid}\necho other 1\n")
        os.chmod(path, mode)
    path = f"{bundle.path}/a:{bundle.path}/b:/usr/bin:/bin"
    result = bundle.runtime.call("ps", container.id, env={"PATH": path}).ok()
    assert result.stdout.splitlines() == ["X PID", f"mine {container.pid}"]


def test_unknown_container(bundle: Bundle) -> None:
    """containerd looks for 'does not exist'."""
    bundle.runtime.call("ps", "no-such-container").refused("does not exist", where="no-such-container")


def test_unknown_format(bundle: Bundle) -> None:
    """Neither table nor json."""
    container = bundle.container("/bin/sleep", "100").up()
    bundle.runtime.call("ps", "--format", "xml", container.id).refused("format")
