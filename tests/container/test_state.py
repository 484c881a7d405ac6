"""The verb state, and the state file's fields (runtime.md)."""

from __future__ import annotations

import datetime as dt
import json
import os
from typing import TYPE_CHECKING

from oci import process

if TYPE_CHECKING:
    from oci.bundle import Bundle


def test_fields(bundle: Bundle) -> None:
    """Those of the specification, and runc's rootfs, created and owner."""
    bundle.config["annotations"] = {"com.example.key": "value", "b": "2"}
    container = bundle.container("/bin/sleep", "100").up()
    state = container.state()
    assert state["ociVersion"].startswith("1.")
    assert state["id"] == container.id
    assert state["pid"] == container.pid
    assert state["status"] == "running"
    assert state["bundle"] == bundle.path
    assert state["rootfs"] == bundle.rootfs
    assert state["annotations"].items() >= {"com.example.key": "value", "b": "2"}.items()
    assert "owner" in state
    created = dt.datetime.fromisoformat(state["created"][:26] + "+00:00")
    assert state["created"].endswith("Z")
    assert abs(dt.datetime.now(dt.UTC) - created) < dt.timedelta(seconds=60)


def test_output_is_one_json_document(bundle: Bundle) -> None:
    """On stdout, and nothing on stderr, which containerd reads together with it."""
    container = bundle.container("/bin/true")
    container.create()
    result = bundle.runtime.call("state", container.id).ok()
    assert result.stderr == ""
    assert json.loads(result.stdout)["status"] == "created"


def test_transitions(bundle: Bundle) -> None:
    """created, running, stopped."""
    container = bundle.shell("read line")
    read, write = os.pipe()
    try:
        container.create(stdin=read)
        assert container.status() == "created"
        container.start()
        assert container.status() == "running"
    finally:
        os.close(read)
        os.close(write)
    container.wait()
    assert container.status() == "stopped"


def test_stopped_container_has_no_pid(bundle: Bundle) -> None:
    """0, as in runc, so that nobody signals who has the number now."""
    container = bundle.container("/bin/true").up()
    container.wait()
    assert container.state()["pid"] == 0


def test_zombie_is_stopped(bundle: Bundle) -> None:
    """Not reaped yet: the container is stopped all the same."""
    container = bundle.container("/bin/true").up()
    assert process.ended(container.pid)
    assert container.status() == "stopped"


def test_unknown_container(bundle: Bundle) -> None:
    """containerd looks for 'does not exist'."""
    bundle.runtime.call("state", "no-such-container").refused("does not exist", where="no-such-container")


def test_deleted_container(bundle: Bundle) -> None:
    """Unknown again."""
    container = bundle.container("/bin/true").up()
    container.wait()
    container.delete().ok()
    bundle.runtime.call("state", container.id).refused("does not exist")


def test_annotations_with_odd_characters(bundle: Bundle) -> None:
    """Quotes, backslashes, newlines, control and non-ASCII characters come back as they were."""
    annotations = {'k"1': "a\\b\n\t\x01\x7f", "ü": "😀", "empty": "", "</script>": "<&>"}
    bundle.config["annotations"] = annotations
    container = bundle.container("/bin/true")
    container.create()
    assert container.state()["annotations"].items() >= annotations.items()


def test_bundle_with_odd_characters(bundle: Bundle) -> None:
    """The path, too."""
    odd = os.path.join(bundle.path, 'o"d\\d ü')
    os.makedirs(odd)
    os.rename(bundle.rootfs, os.path.join(odd, "rootfs"))
    bundle.path, original = odd, bundle.path
    try:
        container = bundle.container("/bin/true")
        container.create()
        assert container.state()["bundle"] == odd
    finally:
        bundle.path = original


def test_bundle_is_absolute(bundle: Bundle) -> None:
    """However it was given."""
    container = bundle.container("/bin/true")
    bundle.write()
    bundle.runtime.call("create", "--bundle", ".", "--pid-file", container.pid_file, container.id, cwd=bundle.path).ok()
    with open(container.pid_file) as file:
        container.pid = int(file.read())
    assert container.state()["bundle"] == bundle.path


def test_state_of_a_container_that_was_killed_from_outside(bundle: Bundle) -> None:
    """kill -9 of the pid: stopped."""
    container = bundle.container("/bin/sleep", "100").up()
    os.kill(container.pid, 9)
    container.wait()
    assert container.status() == "stopped"
