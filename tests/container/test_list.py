"""The verb list."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from oci.bundle import Bundle


def test_empty_table(bundle: Bundle) -> None:
    """Only the head."""
    assert bundle.runtime.call("list").ok().stdout.split() == [
        "ID",
        "PID",
        "STATUS",
        "BUNDLE",
        "CREATED",
        "OWNER",
    ]


def test_table(bundle: Bundle) -> None:
    """One line for each container, with runc's columns."""
    created = bundle.container("/bin/true")
    created.create()
    running = bundle.container("/bin/sleep", "100").up()
    stopped = bundle.container("/bin/true").up()
    stopped.wait()
    lines = [line.split() for line in bundle.runtime.call("list").ok().stdout.splitlines()]
    assert lines[0] == ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"]
    assert {line[0]: line[1:4] for line in lines[1:]} == {
        created.id: [str(created.pid), "created", bundle.path],
        running.id: [str(running.pid), "running", bundle.path],
        stopped.id: ["0", "stopped", bundle.path],
    }
    assert {line[4] for line in lines[1:]} == {
        container.state()["created"] for container in (created, running, stopped)
    }
    assert all(line[5] == "root" for line in lines[1:])


@pytest.mark.parametrize("option", [("--format", "json"), ("-f", "json"), ("--format=json",)])
def test_json(bundle: Bundle, option: tuple[str, ...]) -> None:
    """A list of states."""
    container = bundle.container("/bin/sleep", "100").up()
    (entry,) = json.loads(bundle.runtime.call("list", *option).ok().stdout)
    state = container.state()
    for name in ("id", "pid", "status", "bundle", "created"):
        assert entry[name] == state[name]


def test_empty_json(bundle: Bundle) -> None:
    """An empty list, or runc's null."""
    assert json.loads(bundle.runtime.call("list", "--format", "json").ok().stdout) in ([], None)


@pytest.mark.parametrize("option", ["--quiet", "-q"])
def test_quiet(bundle: Bundle, option: str) -> None:
    """Ids only."""
    containers = [bundle.container("/bin/true") for _ in range(3)]
    for container in containers:
        container.create()
    listed = bundle.runtime.call("list", option).ok().stdout.split()
    assert sorted(listed) == sorted(container.id for container in containers)


def test_unknown_format_is_an_error(bundle: Bundle) -> None:
    """table and json."""
    result = bundle.runtime.call("list", "--format", "yaml")
    assert result.returncode != 0
    assert "format" in result.stderr or "yaml" in result.stderr
