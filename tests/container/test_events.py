"""The verb events: statistics, and notifications when memory runs out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from typing import IO, TYPE_CHECKING, Any, Self

import pytest
from oci import cgroup, process
from oci.runtime import Runtime, contents

if TYPE_CHECKING:
    from oci.bundle import Bundle
    from oci.runtime import Container

MIB = 1024 * 1024


def stats(container: Container) -> dict[str, Any]:
    """What ``events --stats`` prints: one line, whose data is returned."""
    result = container.runtime.call("events", "--stats", container.id).ok()
    assert result.stderr == ""
    assert result.stdout.count("\n") == 1
    event = json.loads(result.stdout)
    assert list(event) == ["type", "id", "data"]
    assert (event["type"], event["id"]) == ("stats", container.id)
    data = event["data"]
    assert isinstance(data, dict)
    return data


def shape(value: Any, path: str = "") -> list[str]:
    """The fields in their order, with their types; one element stands for a list."""
    if isinstance(value, dict):
        return [line for name, item in value.items() for line in shape(item, f"{path}.{name}")] or [f"{path} {{}}"]
    if isinstance(value, list):
        return [line for item in value[:1] for line in shape(item, f"{path}[]")]
    return [f"{path} {type(value).__name__}"]


def busy(bundle: Bundle) -> Container:
    """A container that has used some of everything."""
    bundle.resources.update(
        {
            "memory": {"limit": 64 * MIB, "swap": 64 * MIB},
            "pids": {"limit": 20},
            "cpu": {"quota": 20_000, "period": 100_000},
        }
    )
    script = "dd if=/dev/zero of=/tmp/x bs=64k count=40 conv=fsync 2>/dev/null; i=0; "
    container = bundle.shell(script + "while [ $i -lt 60000 ]; do i=$((i+1)); done; echo done; sleep 1000").up()
    container.wait_output("done")
    return container


def test_statistics(bundle: Bundle) -> None:
    """They are those of the container, in nanoseconds and bytes."""
    container = busy(bundle)
    data = stats(container)
    usage = data["cpu"]["usage"]
    assert 1_000_000 < usage["total"] < 60_000_000_000
    assert usage["user"] + usage["kernel"] <= usage["total"] + 20_000_000
    assert data["cpu"]["throttling"]["periods"] > 0
    assert data["cpu"]["throttling"]["throttledTime"] > 0
    assert data["memory"]["usage"]["limit"] == 64 * MIB
    assert 0 < data["memory"]["usage"]["usage"] <= 64 * MIB
    assert data["memory"]["raw"]["pgfault"] > 0
    assert data["pids"] == {"current": 1 + len(children(container.pid)), "limit": 20}


def children(pid: int) -> list[str]:
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return file.read().split()


def test_statistics_grow(bundle: Bundle) -> None:
    """They are those of the moment."""
    container = bundle.shell("read line; while :; do :; done")
    read, write = os.pipe()
    try:
        container.create(stdin=read)
        container.start()
        before = stats(container)["cpu"]["usage"]["total"]
        os.write(write, b"\n")
        process.wait_for(lambda: stats(container)["cpu"]["usage"]["total"] > before + 10_000_000, "CPU time")
    finally:
        os.close(read)
        os.close(write)


def test_unlimited_pids_have_no_limit(bundle: Bundle) -> None:
    """The field is left out, as in runc."""
    container = bundle.container("/bin/sleep", "100").up()
    assert stats(container)["pids"] == {"current": 1}


@pytest.mark.lxcri_only("what runc prints is the measure")
def test_the_fields_are_those_of_runc(bundle: Bundle) -> None:
    """The real runc, asked about cgroups with the same in them: names, order and types."""
    runc = shutil.which("runc")
    if runc is None:
        pytest.skip("no runc")
    mine = stats(busy(bundle))
    theirs = stats_of_runc(runc, bundle)
    for data in (mine, theirs):
        for section in ("cpu", "memory", "blkio"):  # since 1.2
            data[section].pop("psi", None)
        for name in list(data["blkio"]):  # whether there was any is the disk's affair
            assert name in ("ioServiceBytesRecursive", "ioServicedRecursive")
            for entry in data["blkio"].pop(name):
                assert set(entry) <= {"major", "minor", "op", "value"}
        if "hugetlb" not in cgroup.mounts() and not cgroup.is_v2():  # runc looks for it on v1 only, if there is any
            del data["hugetlb"]
        if cgroup.is_v2():  # memory.peak and memory.swap.peak are newer than 1.1, too
            data["memory"]["usage"].pop("max", None)
            data["memory"]["swap"].pop("max", None)
        data["memory"].setdefault("cache", 0)
        data["memory"]["usage"].setdefault("usage", 0)
        data["memory"]["swap"].setdefault("usage", 0)
    assert sorted(shape(mine)) == sorted(shape(theirs))


def stats_of_runc(path: str, bundle: Bundle) -> dict[str, Any]:
    """What runc prints of the same bundle."""
    runc = Runtime(path, tempfile.mkdtemp(dir=bundle.path), f"{bundle.runtime.new_id()}-runc")
    identity = runc.new_id()
    pid_file = os.path.join(runc.work, "pid")
    with tempfile.TemporaryFile(dir=runc.work) as output:
        runc.call(
            "run", "--detach", "--bundle", bundle.path, "--pid-file", pid_file, identity, stdout=output, stderr=output
        ).ok()
        with open(pid_file) as file:
            pid = int(file.read())
        try:
            process.wait_for(lambda: "done" in contents(output), "the container's work")
            data = json.loads(runc.call("events", "--stats", identity).ok().stdout)["data"]
        finally:
            runc.call("kill", identity, "KILL").ok()
            process.reap(pid)
            runc.call("delete", "--force", identity).ok()
    assert isinstance(data, dict)
    return data


class Watch:
    """``events`` in the background."""

    def __init__(self, container: Container, *options: str) -> None:
        self._out: IO[bytes] = tempfile.TemporaryFile(dir=container.bundle.path)  # noqa: SIM115 (closed in __exit__)
        self.command = container.runtime.spawn("events", *options, container.id, stdout=self._out, stderr=self._out)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.command.kill()
        self.command.wait()
        self._out.close()

    def lines(self) -> list[dict[str, Any]]:
        """The events so far."""
        return [json.loads(line) for line in contents(self._out).splitlines(keepends=True) if line.endswith("\n")]

    def types(self) -> list[str]:
        """Their types."""
        return [event["type"] for event in self.lines()]


def test_interval(bundle: Bundle) -> None:
    """Statistics again and again, until the container is gone; that is no error."""
    container = bundle.container("/bin/sleep", "100").up()
    with Watch(container, "--interval", "100ms") as watch:
        process.wait_for(lambda: len(watch.lines()) >= 3, "three lines")
        assert set(watch.types()) == {"stats"}
        container.kill("KILL").ok()
        container.wait()
        container.delete().ok()
        assert watch.command.wait(process.TIMEOUT) == 0


@pytest.mark.lxcri_only("runc goes on until the container is deleted")
def test_it_ends_with_the_container(bundle: Bundle) -> None:
    """It need not be deleted."""
    container = bundle.container("/bin/sleep", "100").up()
    with Watch(container, "--interval=300ms") as watch:
        process.wait_for(watch.lines, "a line")
        container.kill("KILL").ok()
        container.wait()
        assert watch.command.wait(process.TIMEOUT) == 0


def test_out_of_memory(bundle: Bundle) -> None:
    """An event without data, as soon as it happens."""
    bundle.resources["memory"] = {"limit": 16 * MIB, "swap": 16 * MIB}
    hungry = "x=$(dd if=/dev/zero bs=1M count=64 2>/dev/null | tr '\\0' a)"
    container = bundle.shell(f"read line; ({hungry}); echo survived; sleep 1000")
    read, write = os.pipe()
    try:
        container.create(stdin=read)
        container.start()
        with Watch(container, "--interval=200ms") as watch:
            process.wait_for(lambda: "stats" in watch.types(), "the first statistics")
            assert "oom" not in watch.types()
            os.write(write, b"\n")
            process.wait_for(lambda: "oom" in watch.types(), "the event")
            event = next(event for event in watch.lines() if event["type"] == "oom")
            assert event == {"type": "oom", "id": container.id}
    finally:
        os.close(read)
        os.close(write)


def test_out_of_memory_that_ends_the_container(bundle: Bundle) -> None:
    """The event comes before the end."""
    bundle.resources["memory"] = {"limit": 16 * MIB, "swap": 16 * MIB}
    container = bundle.shell("read line; x=$(dd if=/dev/zero bs=1M count=64 2>/dev/null | tr '\\0' a); exit 9")
    read, write = os.pipe()
    try:
        container.create(stdin=read)
        container.start()
        with Watch(container, "--interval=200ms") as watch:
            process.wait_for(lambda: "stats" in watch.types(), "the first statistics")
            os.write(write, b"\n")
            container.wait()
            process.wait_for(lambda: "oom" in watch.types(), "the event")
    finally:
        os.close(read)
        os.close(write)


def test_the_end_of_a_container_is_no_lack_of_memory(bundle: Bundle) -> None:
    """v1 tells those who wait for it that the cgroup is removed."""
    container = bundle.container("/bin/sleep", "100").up()
    with Watch(container, "--interval=100ms") as watch:
        process.wait_for(lambda: len(watch.lines()) >= 1, "a line")
        container.delete("--force").ok()
        container.wait()
        watch.command.wait(process.TIMEOUT)
        assert set(watch.types()) == {"stats"}


@pytest.mark.parametrize("interval", ["0", "0s", "-1s", "5", "soon"])
def test_wrong_interval(bundle: Bundle, interval: str) -> None:
    """It is more than nothing, and has a unit."""
    container = bundle.container("/bin/sleep", "100").up()
    bundle.runtime.call("events", f"--interval={interval}", container.id).refused("interval")


def test_created_and_paused_containers(bundle: Bundle) -> None:
    """Both use something."""
    container = bundle.container("/bin/sleep", "100")
    container.create()
    assert stats(container)["pids"]["current"] >= 1
    container.start()
    bundle.runtime.call("pause", container.id).ok()
    assert stats(container)["pids"]["current"] == 1


def test_stopped_container(bundle: Bundle) -> None:
    """runc's words."""
    container = bundle.container("/bin/true").up()
    container.wait()
    for options in ((), ("--stats",)):
        bundle.runtime.call("events", *options, container.id).refused("is not running", where=container.id)


def test_unknown_container(bundle: Bundle) -> None:
    """containerd looks for 'does not exist'."""
    bundle.runtime.call("events", "no-such-container").refused("does not exist", where="no-such-container")


def test_who_reads_the_events_may_leave(bundle: Bundle) -> None:
    """The next line finds out."""
    container = bundle.container("/bin/sleep", "100").up()
    read, write = os.pipe()
    with tempfile.TemporaryFile(dir=bundle.path) as errors:
        command = container.runtime.spawn("events", "--interval=50ms", container.id, stdout=write, stderr=errors)
        os.close(write)
        os.close(read)
        try:
            command.wait(process.TIMEOUT)
        except subprocess.TimeoutExpired:
            command.kill()
            command.wait()
            raise
        if bundle.runtime.is_lxcri:
            assert contents(errors) == ""
