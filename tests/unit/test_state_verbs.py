"""The verbs that live on the state directory: state, start, kill, delete, list, spec."""

from __future__ import annotations

import json
import os
import pwd
import signal
import struct
import sys
import threading
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest

from lxcri import procfs
from lxcri.context import Context
from lxcri.errors import Error
from lxcri.spec import decode_config
from lxcri.state import Entry, NotFoundError, State
from lxcri.verbs import create, delete, kill, list as list_verb, spec, start, state
from lxcri.verbs.kill import signal_number

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Fake = Callable[..., Any]

NO_ENTRY = "container .nope. does not exist"


class Cgroup:
    """A cgroup that notes what is done to it; of all containers that have one."""

    calls: list[Any]

    @classmethod
    def from_record(cls, lines: list[str]) -> Cgroup:
        """The cgroup of a container that has one."""
        assert lines
        return cls()

    def thaw(self) -> None:
        """Noted."""
        self.calls.append("thaw")

    def kill_all(self, signum: int) -> None:
        """Noted."""
        self.calls.append(("kill_all", signum))

    def remove(self, *, parents: bool) -> None:
        """Noted."""
        assert parents
        self.calls.append("remove")


@pytest.fixture
def cgroup(monkeypatch: pytest.MonkeyPatch) -> type[Cgroup]:
    """Puts Cgroup in the place of the real one."""
    fs = ModuleType("lxcri.cgroup.fs")
    monkeypatch.setattr(fs, "Cgroup", Cgroup, raising=False)
    monkeypatch.setattr(Cgroup, "calls", [], raising=False)
    monkeypatch.setitem(sys.modules, "lxcri.cgroup.fs", fs)
    return Cgroup


@pytest.fixture
def hooks(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts functions in the place of those of lxcri.hooks."""

    def install(**functions: Any) -> None:
        module = ModuleType("lxcri.hooks")
        for name, function in functions.items():
            monkeypatch.setattr(module, name, function, raising=False)
        monkeypatch.setitem(sys.modules, "lxcri.hooks", module)

    return install


def failure(text: str, number: int = 0) -> bytes:
    """The packet by which init reports an error."""
    return b"E" + struct.pack("=i", number) + text.encode()


def death(container: Any) -> int:
    """The signal that killed the container's init."""
    return -int(container.init.wait(10))


def unfinished(ctx: Context, **changes: Any) -> None:
    """Leave what a creation leaves that died at an early moment."""
    with Entry.claim(ctx.root, "c1") as entry:
        if changes:
            entry.save(
                State(
                    id="c1",
                    oci_version="1.2.0",
                    bundle="/b",
                    rootfs="/b/r",
                    pid=0,
                    start_time=0,
                    created="",
                    **changes,
                )
            )


@pytest.mark.parametrize(
    "verb",
    [
        lambda ctx: state.run(ctx, id="nope"),
        lambda ctx: start.run(ctx, id="nope"),
        lambda ctx: kill.run(ctx, id="nope", signal="TERM", all=False),
        lambda ctx: kill.run(ctx, id="nope", signal="TERM", all=True),
        lambda ctx: delete.run(ctx, id="nope", force=False),
    ],
    ids=["state", "start", "kill", "kill --all", "delete"],
)
def test_an_unknown_container_does_not_exist(verb: Callable[[Context], int], ctx: Context) -> None:
    with pytest.raises(Error, match=NO_ENTRY):
        verb(ctx)
    assert not os.path.exists(ctx.root)


def test_no_verb_takes_an_invalid_id(ctx: Context) -> None:
    with pytest.raises(Error, match="invalid container id"):
        state.run(ctx, id="../x")
    with pytest.raises(Error, match="invalid container id"):
        start.run(ctx, id="../x")
    with pytest.raises(Error, match="invalid container id"):
        kill.run(ctx, id="../x", signal="TERM", all=True)
    with pytest.raises(Error, match="invalid container id"):
        delete.run(ctx, id="../x", force=True)


# -- state


def test_state_prints_the_state(ctx: Context, fake: Fake, capfd: pytest.CaptureFixture[str]) -> None:
    container = fake()
    assert state.run(ctx, id="c1") == 0
    printed = json.loads(capfd.readouterr().out)
    assert (printed["id"], printed["status"], printed["pid"]) == ("c1", "running", container.init.pid)


def test_state_of_a_container_that_is_being_created(ctx: Context, capfd: pytest.CaptureFixture[str]) -> None:
    unfinished(ctx, poststop=False)
    assert state.run(ctx, id="c1") == 0
    printed = json.loads(capfd.readouterr().out)
    assert (printed["status"], printed["pid"]) == ("creating", 0)


def test_state_of_a_container_without_any_state(ctx: Context) -> None:
    unfinished(ctx)
    with pytest.raises(Error, match="does not exist: its creation"):
        state.run(ctx, id="c1")


# -- start


def test_start_sends_the_state_and_waits_for_execve(ctx: Context, fake: Fake) -> None:
    container = fake()
    container.wait_for_start(b"X")
    assert start.run(ctx, id="c1") == 0
    assert container.received[0][:1] == b"G"
    sent = json.loads(container.received[0][1:])
    assert (sent["id"], sent["status"], sent["pid"]) == ("c1", "created", container.init.pid)
    assert os.listdir(container.path) == ["state"]


@pytest.mark.parametrize(
    ("replies", "text"),
    [
        ((failure('exec: "/x"', 2),), 'exec: "/x": no such file or directory'),
        ((failure("no reason"),), "no reason"),
        ((b"X", failure("late")), "late"),
        ((), "the container's init ended before it executed the program"),
    ],
)
def test_a_start_that_fails_says_why_and_waits_for_the_end_of_init(
    replies: tuple[bytes, ...], text: str, ctx: Context, fake: Fake
) -> None:
    container = fake()
    container.wait_for_start(*replies)
    timer = threading.Timer(0.05, container.init.kill)
    timer.start()
    with pytest.raises(Error) as raised:
        start.run(ctx, id="c1")
    assert str(raised.value) == text
    assert open_status(ctx) == "stopped"
    timer.join()


def open_status(ctx: Context) -> str:
    """What `state` would say now."""
    from lxcri.state import status

    with Entry.open(ctx.root, "c1") as entry:
        return status(entry, entry.load())


def test_a_running_container_is_not_started(ctx: Context, fake: Fake) -> None:
    fake()
    with pytest.raises(Error, match="cannot start an already running container"):
        start.run(ctx, id="c1")


def test_a_container_is_started_once(ctx: Context, fake: Fake) -> None:
    container = fake()
    container.wait_for_start(b"X")
    start.run(ctx, id="c1")
    with pytest.raises(Error, match="cannot start an already running container"):
        start.run(ctx, id="c1")


def test_a_stopped_container_is_not_started(ctx: Context, fake: Fake) -> None:
    container = fake()
    container.wait_for_start()
    container.end()
    with pytest.raises(Error, match="cannot start a container that has stopped"):
        start.run(ctx, id="c1")
    assert container.received == []


@pytest.mark.parametrize("changes", [{}, {"poststop": False}])
def test_a_container_that_is_being_created_is_not_started(changes: dict[str, Any], ctx: Context) -> None:
    unfinished(ctx, **changes)
    with pytest.raises(Error, match="cannot start a container whose creation has not finished"):
        start.run(ctx, id="c1")


def test_poststart_hooks_run_after_the_start_and_may_use_the_container(ctx: Context, fake: Fake, hooks: Any) -> None:
    container = fake()
    container.state.poststart = True
    container.save()
    container.wait_for_start(b"X")
    seen: list[str] = []

    def run_poststart(ctx: Context, entry: Entry, state: State) -> None:
        seen.append(open_status(ctx))
        with Entry.open(ctx.root, "c1") as other:
            other.lock()

    hooks(run_poststart=run_poststart)
    assert start.run(ctx, id="c1") == 0
    assert seen == ["running"]


def test_a_failing_poststart_hook_stops_the_container(ctx: Context, fake: Fake, hooks: Any) -> None:
    container = fake()
    container.state.poststart = True
    container.save()
    container.wait_for_start(b"X")

    def run_poststart(ctx: Context, entry: Entry, state: State) -> None:
        raise Error("hooks.poststart[0]: exit status 1")

    hooks(run_poststart=run_poststart)
    with pytest.raises(Error, match="exit status 1"):
        start.run(ctx, id="c1")
    assert death(container) == signal.SIGKILL


# -- kill


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("TERM", 15),
        ("SIGTERM", 15),
        ("sigterm", 15),
        ("Kill", 9),
        ("9", 9),
        ("0", 0),
        ("64", 64),
        ("rtmin", 34),
    ],
)
def test_signals_have_numbers_and_names(text: str, number: int) -> None:
    assert signal_number(text) == number


@pytest.mark.parametrize("text", ["", "SIG", "foo", "65", "-1", "9x", "SIG_BLOCK", "_DFL", "SIGSIGTERM", "9" * 5000])
def test_other_signals_are_unknown(text: str) -> None:
    with pytest.raises(Error, match="unknown signal"):
        signal_number(text)


def test_kill_sends_the_signal_to_init(ctx: Context, fake: Fake) -> None:
    container = fake()
    assert kill.run(ctx, id="c1", signal="USR1", all=False) == 0
    assert death(container) == signal.SIGUSR1


def test_kill_of_a_created_container(ctx: Context, fake: Fake) -> None:
    container = fake()
    container.wait_for_start()
    assert kill.run(ctx, id="c1", signal="KILL", all=False) == 0
    assert death(container) == signal.SIGKILL


def test_signal_0_changes_nothing(ctx: Context, fake: Fake) -> None:
    container = fake()
    assert kill.run(ctx, id="c1", signal="0", all=False) == 0
    assert container.init.poll() is None


def test_kill_of_a_stopped_container_fails_as_containerd_expects(ctx: Context, fake: Fake) -> None:
    fake().end()
    with pytest.raises(Error, match=r"^container not running$"):
        kill.run(ctx, id="c1", signal="TERM", all=False)


def test_kill_does_not_hit_who_took_over_the_pid(ctx: Context, fake: Fake) -> None:
    container = fake()
    container.state.start_time -= 1
    container.save()
    with pytest.raises(Error, match="container not running"):
        kill.run(ctx, id="c1", signal="KILL", all=False)
    assert container.init.poll() is None


def test_kill_of_a_container_that_is_being_created(ctx: Context) -> None:
    unfinished(ctx)
    with pytest.raises(Error, match="container not running"):
        kill.run(ctx, id="c1", signal="KILL", all=False)


def test_a_wrong_signal_is_refused(ctx: Context, fake: Fake) -> None:
    container = fake()
    with pytest.raises(Error, match='unknown signal "NOPE"'):
        kill.run(ctx, id="c1", signal="NOPE", all=True)
    assert container.init.poll() is None


def with_cgroup(container: Any) -> None:
    container.state.cgroup = ["found freezer /sys/fs/cgroup/freezer/does-not-exist"]
    container.save()


@pytest.mark.parametrize("stopped", [False, True])
def test_kill_all_goes_to_the_cgroup_of_a_running_and_of_a_stopped_container(
    stopped: bool, ctx: Context, fake: Fake, cgroup: type[Cgroup]
) -> None:
    container = fake()
    with_cgroup(container)
    if stopped:
        container.end()
    assert kill.run(ctx, id="c1", signal="15", all=True) == 0
    assert cgroup.calls == [("kill_all", 15)]


def test_kill_all_of_a_stopped_container_without_cgroup_succeeds(ctx: Context, fake: Fake) -> None:
    fake().end()
    assert kill.run(ctx, id="c1", signal="KILL", all=True) == 0


def test_kill_all_without_cgroup_and_pid_namespace(ctx: Context, fake: Fake) -> None:
    container = fake()
    for name in ("TERM", "KILL"):
        with pytest.raises(Error, match="neither a cgroup nor a pid namespace"):
            kill.run(ctx, id="c1", signal=name, all=True)
    assert container.init.poll() is None


@pytest.mark.parametrize("frozen", [False, True])
def test_a_paused_container_is_thawed_for_sigkill(
    frozen: bool, ctx: Context, fake: Fake, cgroup: type[Cgroup], tmp_path: Path
) -> None:
    (tmp_path / "freezer.state").write_text("FROZEN\n" if frozen else "THAWED\n")
    container = fake()
    container.state.cgroup = [f"made freezer {tmp_path}"]
    container.save()
    assert kill.run(ctx, id="c1", signal="KILL", all=False) == 0
    assert cgroup.calls == (["thaw"] if frozen else [])


# -- delete


def test_delete_removes_a_stopped_container(ctx: Context, fake: Fake, cgroup: type[Cgroup]) -> None:
    container = fake()
    with_cgroup(container)
    container.end()
    assert delete.run(ctx, id="c1", force=False) == 0
    assert cgroup.calls == [("kill_all", 9), "remove"]
    assert os.listdir(ctx.root) == []


def test_delete_refuses_a_running_container(ctx: Context, fake: Fake) -> None:
    container = fake()
    with pytest.raises(Error, match="cannot delete container c1 that is not stopped: running"):
        delete.run(ctx, id="c1", force=False)
    assert container.init.poll() is None
    assert os.listdir(container.path) == ["state"]


def test_delete_force_kills_a_running_container(ctx: Context, fake: Fake) -> None:
    container = fake()
    assert delete.run(ctx, id="c1", force=True) == 0
    assert death(container) == signal.SIGKILL
    assert os.listdir(ctx.root) == []


def test_delete_of_a_created_container_needs_force(ctx: Context, fake: Fake) -> None:
    container = fake()
    container.wait_for_start()
    with pytest.raises(Error, match="cannot delete container c1 that is not stopped: created"):
        delete.run(ctx, id="c1", force=False)
    assert delete.run(ctx, id="c1", force=True) == 0
    assert death(container) == signal.SIGKILL


def test_delete_force_of_an_unknown_container_succeeds(ctx: Context) -> None:
    assert delete.run(ctx, id="nope", force=True) == 0


@pytest.mark.parametrize("changes", [{}, {"cgroup": ["recorded"]}])
def test_what_is_left_of_a_creation_is_removed_with_force_only(
    changes: dict[str, Any], ctx: Context, cgroup: type[Cgroup]
) -> None:
    unfinished(ctx, **changes)
    with pytest.raises(Error, match=r"does not exist|not stopped: creating"):
        delete.run(ctx, id="c1", force=False)
    assert delete.run(ctx, id="c1", force=True) == 0
    assert cgroup.calls == ([("kill_all", 9), "remove"] if changes else [])
    assert os.listdir(ctx.root) == []


def test_delete_does_not_kill_who_took_over_the_pid(ctx: Context, fake: Fake) -> None:
    container = fake()
    container.state.start_time -= 1
    container.save()
    assert delete.run(ctx, id="c1", force=True) == 0
    assert container.init.poll() is None


def test_a_container_whose_cgroup_stays_is_not_forgotten(
    ctx: Context, fake: Fake, cgroup: type[Cgroup], monkeypatch: pytest.MonkeyPatch
) -> None:
    def remove(self: Cgroup, *, parents: bool) -> None:
        raise Error("cgroup: busy")

    monkeypatch.setattr(cgroup, "remove", remove)
    container = fake()
    with_cgroup(container)
    container.end()
    with pytest.raises(Error, match="cgroup: busy"):
        delete.run(ctx, id="c1", force=True)
    assert os.listdir(container.path) == ["state"]


def test_an_init_that_does_not_die_is_an_error(ctx: Context, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delete, "wait_exit", lambda _init, _seconds: False)
    container = fake()
    with pytest.raises(Error, match=f"process {container.init.pid} has not ended 10 seconds after SIGKILL"):
        delete.run(ctx, id="c1", force=True)
    assert os.path.exists(container.path)


def test_poststop_hooks_run_when_the_container_is_gone(ctx: Context, fake: Fake, hooks: Any) -> None:
    container = fake()
    container.state.poststop = True
    container.save()
    with Entry.open(ctx.root, "c1") as entry:
        entry.write("hooks.json", b"{}")
    container.end()
    seen: list[Any] = []

    def run_poststop(ctx: Context, entry: Entry, state: State) -> None:
        with pytest.raises(NotFoundError):
            Entry.open(ctx.root, "c1")
        seen.append((state.id, entry.read("hooks.json")))

    hooks(run_poststop=run_poststop)
    assert delete.run(ctx, id="c1", force=False) == 0
    assert seen == [("c1", b"{}")]
    assert os.listdir(ctx.root) == []


def test_two_deletes_at_once_agree(ctx: Context, fake: Fake) -> None:
    fake().end()
    results: list[Any] = []

    def run(force: bool) -> None:
        try:
            results.append(delete.run(ctx, id="c1", force=force))
        except NotFoundError:
            results.append("gone")

    threads = [threading.Thread(target=run, args=[force]) for force in (True, False) * 4]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 8
    assert 4 <= results.count(0) <= 5
    assert results.count("gone") == 8 - results.count(0)


# -- list


def test_the_table_of_no_containers_is_its_titles(ctx: Context, capfd: pytest.CaptureFixture[str]) -> None:
    assert list_verb.run(ctx, format="table", quiet=False) == 0
    assert capfd.readouterr().out == "ID          PID         STATUS      BUNDLE      CREATED     OWNER\n"


def test_the_table_is_laid_out_as_runcs() -> None:
    rows: list[tuple[str, ...]] = [list_verb.TITLES]
    rows += [("a1", "0", "stopped", "/tmp/w/cli/b", "2026-11-24T23:27:46.560935Z", "root")]
    assert list_verb.table(rows) == (
        "ID          PID         STATUS      BUNDLE         CREATED                       OWNER\n"
        "a1          0           stopped     /tmp/w/cli/b   2026-11-24T23:27:46.560935Z   root\n"
    )


def test_list_as_json_is_a_list_of_states(ctx: Context, fake: Fake, capfd: pytest.CaptureFixture[str]) -> None:
    assert list_verb.run(ctx, format="json", quiet=False) == 0
    assert json.loads(capfd.readouterr().out) is None
    fake("b").end()
    running = fake("a")
    assert list_verb.run(ctx, format="json", quiet=False) == 0
    listed = json.loads(capfd.readouterr().out)
    assert [(c["id"], c["status"], c["pid"]) for c in listed] == [
        ("a", "running", running.init.pid),
        ("b", "stopped", 0),
    ]


def test_list_quiet_is_the_ids(ctx: Context, fake: Fake, capfd: pytest.CaptureFixture[str]) -> None:
    fake("b")
    fake("a")
    assert list_verb.run(ctx, format="table", quiet=True) == 0
    assert capfd.readouterr().out == "a\nb\n"


def test_list_names_broken_containers_and_shows_the_others(
    ctx: Context, fake: Fake, capfd: pytest.CaptureFixture[str]
) -> None:
    fake("good")
    with Entry.claim(ctx.root, "broken") as entry:
        entry.write("state", b"lxcri-st")
    Entry.claim(ctx.root, "half").close()
    assert list_verb.run(ctx, format="json", quiet=False) == 0
    out, err = capfd.readouterr()
    assert [c["id"] for c in json.loads(out)] == ["good"]
    first, second = err.splitlines()
    assert first.startswith('lxcri: list: container "broken": ')
    assert second == 'lxcri: list: container "half": its creation has not finished'


def test_list_leaves_out_what_vanishes_meanwhile(
    ctx: Context, fake: Fake, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake("a")
    monkeypatch.setattr(list_verb, "all_entries", lambda _root: iter(["a", "gone"]))
    assert list_verb.run(ctx, format="json", quiet=False) == 0
    out, err = capfd.readouterr()
    assert len(json.loads(out)) == 1
    assert err == ""


# -- spec


@pytest.mark.parametrize("rootless", [False, True])
def test_spec_writes_a_valid_config(rootless: bool, ctx: Context, tmp_path: Path) -> None:
    assert spec.run(ctx, bundle=str(tmp_path), rootless=rootless) == 0
    data = (tmp_path / "config.json").read_bytes()
    config = decode_config(data)
    assert config.process
    assert config.process.args == ["sh"]
    assert config.linux
    kinds = [namespace.type for namespace in config.linux.namespaces]
    assert ("user" in kinds) == rootless
    assert ("network" in kinds) != rootless
    assert len(kinds) == len(set(kinds))
    if rootless:
        assert config.linux.uid_mappings[0].host_id == os.geteuid()
        assert config.linux.resources is None
        assert not any("gid=" in option for mount in config.mounts for option in mount.options or [])


def test_spec_does_not_overwrite(ctx: Context, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("mine", encoding="utf-8")
    with pytest.raises(Error, match="exists: remove it first"):
        spec.run(ctx, bundle=str(tmp_path), rootless=False)
    assert (tmp_path / "config.json").read_text(encoding="utf-8") == "mine"


def test_spec_into_a_missing_bundle_is_an_error(ctx: Context, tmp_path: Path) -> None:
    with pytest.raises(Error, match="no such file or directory"):
        spec.run(ctx, bundle=str(tmp_path / "nope"), rootless=False)


# -- create


@pytest.mark.parametrize("text", ["", "+other:x:0:\n-no:x:0:\n\nbroken\nx:0\n"])
def test_the_owner_is_who_the_host_says(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [pwd.getpwuid(0).pw_name, pwd.getpwuid(1).pw_name, "3999999999"]
    assert [create.owner(0), create.owner(1), create.owner(3999999999)] == expected
    monkeypatch.setattr(procfs, "read_text", lambda _path: text)
    assert [create.owner(0), create.owner(1), create.owner(3999999999)] == expected
