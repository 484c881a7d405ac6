"""--log, --log-format, --debug: what containerd and podman read when something fails."""

from __future__ import annotations

import datetime as dt
import json
import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from oci.bundle import Bundle


def records(path: str) -> list[dict[str, Any]]:
    """A JSON log, line by line."""
    with open(path) as file:
        return [json.loads(line) for line in file]


def failing(bundle: Bundle, *options: str) -> str:
    """A run that fails for want of its program; returns stderr."""
    bundle.process["args"] = ["/no/such/program"]
    bundle.write()
    command = bundle.runtime.call("run", "--bundle", bundle.path, bundle.runtime.new_id(), options=options)
    assert command.returncode == 1
    return command.stderr


def test_json_record_of_an_error(bundle: Bundle) -> None:
    """level, msg, and time as RFC 3339."""
    log = os.path.join(bundle.path, "log.json")
    stderr = failing(bundle, "--log", log, "--log-format", "json")
    errors = [record for record in records(log) if record["level"] == "error"]
    assert "/no/such/program" in errors[-1]["msg"]
    assert "no such file or directory" in errors[-1]["msg"]
    assert isinstance(errors[-1]["time"], str)
    dt.datetime.fromisoformat(errors[-1]["time"])
    assert "no such file or directory" in stderr


@pytest.mark.lxcri_only("the same text in both places is its own promise")
def test_log_and_stderr_say_the_same(bundle: Bundle) -> None:
    """Without the verb's prefix."""
    log = os.path.join(bundle.path, "log.json")
    stderr = failing(bundle, "--log", log, "--log-format", "json")
    assert stderr.strip().endswith(records(log)[-1]["msg"])


def test_equals_form(bundle: Bundle) -> None:
    """podman writes --log-format=json first, and --log after it."""
    log = os.path.join(bundle.path, "log.json")
    failing(bundle, "--log-format=json", "--log", log)
    assert records(log)[-1]["level"] == "error"


def test_log_is_appended_to(bundle: Bundle) -> None:
    """containerd has all calls of a container write to one file."""
    log = os.path.join(bundle.path, "log.json")
    failing(bundle, "--log", log, "--log-format", "json")
    before = len(records(log))
    failing(bundle, "--log", log, "--log-format", "json")
    assert len(records(log)) > before


def test_message_with_quotes_is_valid_json(bundle: Bundle) -> None:
    """Whatever a path contains."""
    log = os.path.join(bundle.path, "log.json")
    bundle.process["args"] = ['/no/"such\\\n\x01ü']
    bundle.write()
    options = ("--log", log, "--log-format", "json")
    bundle.runtime.call("run", "--bundle", bundle.path, bundle.runtime.new_id(), options=options)
    assert records(log)[-1]["level"] == "error"


def test_text_log(bundle: Bundle) -> None:
    """The default format."""
    log = os.path.join(bundle.path, "log")
    failing(bundle, "--log", log)
    with open(log) as file:
        assert "no such file or directory" in file.read()


def test_success_writes_no_error(bundle: Bundle) -> None:
    """And nothing to stderr."""
    log = os.path.join(bundle.path, "log.json")
    bundle.write()
    command = bundle.runtime.call(
        "run",
        "--bundle",
        bundle.path,
        bundle.runtime.new_id(),
        options=("--log", log, "--log-format", "json"),
    ).ok()
    assert command.stderr == ""
    if os.path.exists(log):
        assert not [record for record in records(log) if record["level"] == "error"]


def test_log_that_cannot_be_opened(bundle: Bundle) -> None:
    """An error before anything happens."""
    bundle.write()
    command = bundle.runtime.call(
        "create", "--bundle", bundle.path, bundle.runtime.new_id(), options=("--log", "/no/such/dir/log")
    )
    command.refused("/no/such/dir/log", "no such file or directory")


def test_unknown_log_format(bundle: Bundle) -> None:
    """text and json."""
    command = bundle.runtime.call("list", options=("--log-format", "xml"))
    assert command.returncode != 0
    assert "xml" in command.stderr


def test_debug_does_not_disturb(bundle: Bundle) -> None:
    """--debug says more, and changes nothing."""
    log = os.path.join(bundle.path, "log.json")
    options = ("--debug", "--log", log, "--log-format", "json")
    bundle.process["args"] = ["/bin/sh", "-c", "exit 3"]
    bundle.write()
    command = bundle.runtime.call("run", "--bundle", bundle.path, bundle.runtime.new_id(), options=options)
    assert command.returncode == 3


def test_version(bundle: Bundle) -> None:
    """dockerd looks for a line '<name> version <v>'; spec: tells the specification's version."""
    lines = bundle.runtime.call("--version").ok().stdout.splitlines()
    assert lines[0].split()[:2] == [bundle.runtime.name, "version"]
    assert any(line.startswith("spec: ") for line in lines)


def test_error_of_every_verb_is_in_the_log(bundle: Bundle) -> None:
    """start, state, kill, delete."""
    for verb in ("start", "state", "kill", "delete"):
        log = os.path.join(bundle.path, f"{verb}.json")
        bundle.runtime.call(verb, "no-such-container", options=("--log", log, "--log-format", "json"))
        assert "does not exist" in records(log)[-1]["msg"], verb
