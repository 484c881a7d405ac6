"""The state directory: ids, files, locks, and who is alive."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import posix
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st

from lxcri import state as module
from lxcri.errors import Error
from lxcri.state import (
    Entry,
    NotFoundError,
    State,
    all_entries,
    make_root,
    oci_state_json,
    open_init,
    parse,
    process_start_time,
    render,
    state_json,
    status,
    validate_id,
    wait_exit,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lxcri.context import Context

    Fake = Callable[..., Any]

# What a path or a name of Linux may hold, as Python decodes it.
TEXT = st.binary(max_size=20).map(lambda data: data.replace(b"\0", b"\\").decode("utf-8", "surrogateescape"))


def some_state(**changes: Any) -> State:
    """A state with these differences from an ordinary one."""
    values: dict[str, Any] = {
        "id": "c1",
        "oci_version": "1.2.0",
        "bundle": "/b",
        "rootfs": "/b/rootfs",
        "pid": 42,
        "start_time": 4242,
        "created": "2026-01-02T03:04:05.000000006Z",
        "owner": "root",
    }
    return State(**(values | changes))


def values_of(state: State) -> dict[str, Any]:
    return {name: getattr(state, name) for name in State.__slots__}


# -- ids


@pytest.mark.parametrize("id", ["a", "A.b_c+d-9", "-x", "a..b", "x" * 200])
def test_valid_ids(id: str) -> None:
    validate_id(id)


@pytest.mark.parametrize(
    "id",
    [
        "",
        ".",
        "..",
        "a/b",
        "/",
        "../x",
        "a b",
        "a\n",
        "a\0",
        "é",
        "\udcff",
        "x" * 201,
        "a:b",
        "a~",
        "a,b",
    ],
)
def test_invalid_ids_are_refused_before_any_path_is_made(id: str, tmp_path: Path) -> None:
    root = str(tmp_path / "root")
    for use in (Entry.claim, Entry.open):
        with pytest.raises(Error, match="container id"):
            use(root, id)
    assert not os.path.exists(root)


# -- the state file


@given(
    st.builds(
        some_state,
        bundle=TEXT,
        rootfs=TEXT,
        owner=TEXT,
        annotations=TEXT,
        pid=st.integers(0, 2**22),
        start_time=st.integers(0, 2**60),
        cgroup=st.lists(TEXT, max_size=3),
        poststart=st.booleans(),
        poststop=st.booleans(),
    )
)
def test_a_state_is_read_as_it_was_written(state: State) -> None:
    assert values_of(parse(render(state))) == values_of(state)


@given(st.integers(min_value=0))
def test_a_state_file_cut_short_anywhere_is_refused(length: int) -> None:
    data = render(some_state(cgroup=["a", "b"]))
    with pytest.raises(ValueError, match=r"cut short|missing|first line"):
        parse(data[: length % len(data)])


@given(st.binary())
def test_a_foreign_file_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError):
        parse(data)
    with pytest.raises(ValueError):
        parse(render(some_state()) + data + b"x\n")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ((b"lxcri-state 2", b"lxcri-state 3"), "another version"),
        ((b"pid 42", b"pid -42"), ': "pid -42" is not understood'),
        ((b"pid 42", b"pid 4 2"), "not understood"),
        ((b"poststart false", b"poststart no"), "not understood"),
        ((b"pid 42\n", b"pid 42\npid 42\n"), '"pid" is there twice'),
        ((b"bundle /b\n", b""), '"bundle" is missing'),
    ],
)
def test_a_wrong_line_is_named(change: tuple[bytes, bytes], text: str, ctx: Context) -> None:
    with Entry.claim(ctx.root, "c1") as entry:
        entry.write("state", render(some_state()).replace(*change))
        with pytest.raises(Error) as raised:
            entry.load()
    assert text in str(raised.value)
    assert f"{ctx.root}/c1/state" in str(raised.value)


# -- entries


def test_claim_makes_root_and_directory_for_their_owner_only(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        root = str(tmp_path / "a" / "b")
        with Entry.claim(root, "c1") as entry:
            for path in (str(tmp_path / "a"), root, entry.path):
                assert stat.S_IMODE(os.stat(path).st_mode) == 0o700
    finally:
        os.umask(old)


def test_a_rootless_root_is_sticky_so_that_it_is_not_cleaned_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(posix.environ, b"XDG_RUNTIME_DIR", os.fsencode(tmp_path))
    make_root(str(tmp_path / "lxcri"))
    assert stat.S_IMODE(os.stat(tmp_path / "lxcri").st_mode) == 0o1700


def test_a_root_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Error, match=r"file/root: not a directory"):
        Entry.claim(str(tmp_path / "file" / "root"), "c1")


def test_a_taken_id_is_refused_and_its_container_untouched(ctx: Context) -> None:
    with Entry.claim(ctx.root, "c1") as entry:
        entry.save(some_state())
    with pytest.raises(Error, match='container with id "c1" already exists'):
        Entry.claim(ctx.root, "c1")
    assert os.listdir(f"{ctx.root}/c1") == ["state"]


def test_of_many_claims_of_one_id_one_succeeds(ctx: Context) -> None:
    won: list[Entry] = []
    lost: list[Error] = []

    def claim() -> None:
        try:
            won.append(Entry.claim(ctx.root, "c1"))
        except Error as e:
            lost.append(e)

    threads = [threading.Thread(target=claim) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 15)
    won[0].close()


@pytest.mark.parametrize("root_exists", [False, True])
def test_an_unknown_container_does_not_exist(root_exists: bool, ctx: Context) -> None:
    if root_exists:
        make_root(ctx.root)
    with pytest.raises(NotFoundError, match='container "c1" does not exist'):
        Entry.open(ctx.root, "c1")


@pytest.mark.parametrize("kind", ["link", "file"])
def test_an_entry_that_is_no_directory_is_not_followed(kind: str, ctx: Context, tmp_path: Path) -> None:
    make_root(ctx.root)
    if kind == "link":
        (tmp_path / "elsewhere").mkdir()
        os.symlink(tmp_path / "elsewhere", f"{ctx.root}/c1")
    else:
        open(f"{ctx.root}/c1", "w", encoding="utf-8").close()
    with pytest.raises(Error, match=r'container "c1": .*not a directory'):
        Entry.open(ctx.root, "c1")


def test_descriptors_are_not_inherited(ctx: Context) -> None:
    with Entry.claim(ctx.root, "c1") as entry:
        assert not os.get_inheritable(entry.fd)
        entry.save(some_state())


def test_an_entry_leaks_no_descriptor(ctx: Context) -> None:
    before = os.listdir("/proc/self/fd")
    with Entry.claim(ctx.root, "c1") as entry:
        entry.save(some_state())
        entry.load()
        entry.write("deep", b"x")
        os.makedirs(f"{entry.path}/a/b")
        entry.remove()
    with pytest.raises(NotFoundError):
        Entry.open(ctx.root, "c1")
    assert os.listdir("/proc/self/fd") == before


def test_files_are_written_as_a_whole_and_for_the_owner_only(ctx: Context) -> None:
    with Entry.claim(ctx.root, "c1") as entry:
        entry.write("x", b"long content")
        entry.write("x", b"short")
        assert entry.read("x") == b"short"
        assert stat.S_IMODE(os.stat(f"{entry.path}/x").st_mode) == 0o600
        assert os.listdir(entry.path) == ["x"]


def test_a_link_in_the_directory_is_neither_written_through_nor_read_through(ctx: Context, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"secret")
    with Entry.claim(ctx.root, "c1") as entry:
        os.symlink(secret, f"{entry.path}/x")
        os.symlink(secret, f"{entry.path}/.x.new")
        with pytest.raises(Error, match="too many levels of symbolic links"):
            entry.read("x")
        with pytest.raises(Error, match="too many levels of symbolic links"):
            entry.write("x", b"changed")
    assert secret.read_bytes() == b"secret"


def test_a_fifo_in_the_place_of_a_file_does_not_block(ctx: Context) -> None:
    with Entry.claim(ctx.root, "c1") as entry:
        os.mkfifo(f"{entry.path}/state")
        with pytest.raises(Error, match="first line"):
            entry.load()


def test_remove_removes_links_and_keeps_what_they_point_to(ctx: Context, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    (outside / "d").mkdir(parents=True)
    (outside / "file").write_text("x", encoding="utf-8")
    with Entry.claim(ctx.root, "c1") as entry:
        os.symlink(outside, f"{entry.path}/link")
        os.makedirs(f"{entry.path}/a/b/c")
        os.symlink(outside / "file", f"{entry.path}/a/b/file")
        entry.remove()
    assert os.listdir(ctx.root) == []
    assert (outside / "file").exists()
    assert (outside / "d").exists()


def test_a_hidden_entry_can_be_read_and_removed_and_its_id_is_free(ctx: Context) -> None:
    with Entry.claim(ctx.root, "c1") as entry:
        entry.write("hooks.json", b"{}")
        entry.hide()
        assert list(all_entries(ctx.root)) == []
        with pytest.raises(NotFoundError):
            Entry.open(ctx.root, "c1")
        Entry.claim(ctx.root, "c1").close()
        assert entry.read("hooks.json") == b"{}"
        entry.remove()
    assert os.listdir(ctx.root) == ["c1"]


def test_all_entries_are_sorted_and_the_runtimes_own_are_not_among_them(ctx: Context) -> None:
    assert list(all_entries(ctx.root)) == []
    for name in ("b", "a", "@seccomp", "not an id"):
        os.makedirs(f"{ctx.root}/{name}")
    assert list(all_entries(ctx.root)) == ["a", "b"]


def test_the_start_socket_is_reached_below_a_root_of_any_length(tmp_path: Path) -> None:
    root = str(tmp_path / ("long" * 50))
    with Entry.claim(root, "c1") as entry, socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(entry.socket_path())
        assert stat.S_ISSOCK(os.stat(f"{entry.path}/start.sock").st_mode)


# -- locks


def test_a_claimed_entry_is_locked_until_it_is_closed(ctx: Context) -> None:
    with Entry.claim(ctx.root, "c1"), Entry.open(ctx.root, "c1") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with Entry.open(ctx.root, "c1") as other:
        fcntl.flock(other.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)


@pytest.mark.parametrize("call", ["open", "fstat"])
def test_a_claim_that_fails_leaves_no_directory(ctx: Context, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    Entry.claim(ctx.root, "c1").close()

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOMEM, "out of memory")

    with monkeypatch.context() as patched:
        patched.setattr(f"posix.{call}", fail)
        with pytest.raises((Error, OSError), match="out of memory"):
            Entry.claim(ctx.root, "c2")
    assert os.listdir(ctx.root) == ["c1"]


def test_who_waited_for_a_lock_sees_that_the_container_is_gone(ctx: Context) -> None:
    errors: list[Error] = []
    entry = Entry.claim(ctx.root, "c1")
    other = Entry.open(ctx.root, "c1")

    def wait() -> None:
        try:
            other.lock()
        except NotFoundError as e:
            errors.append(e)

    thread = threading.Thread(target=wait)
    thread.start()
    entry.remove()
    Entry.claim(ctx.root, "c1").close()  # another container of the same name is not the one that was opened
    entry.close()
    thread.join()
    other.close()
    assert [str(e) for e in errors] == ['container "c1" does not exist: it was just deleted']


def test_a_lock_that_is_never_released_is_an_error(ctx: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOCK_PATIENCE", 0.01)
    with (
        Entry.claim(ctx.root, "c1"),
        Entry.open(ctx.root, "c1") as other,
        pytest.raises(Error, match='container "c1" is held by another command'),
    ):
        other.lock()


# -- processes


def test_start_time_is_field_22_whatever_the_name_holds(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    os.symlink("/bin/sleep", program)
    with subprocess.Popen([str(program), "1000"]) as child:
        try:
            wait_for(lambda: b"(a) R 1 (b)" in proc_stat(child.pid))
            assert process_start_time(child.pid) == start_field(child.pid)
        finally:
            child.kill()


def proc_stat(pid: int) -> bytes:
    with open(f"/proc/{pid}/stat", "rb") as file:
        return file.read()


def start_field(pid: int) -> int:
    return int(proc_stat(pid).rsplit(b")", 1)[1].split()[19])


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_a_zombie_and_a_process_that_is_gone_have_no_start_time(fake: Fake) -> None:
    container = fake()
    container.end()
    assert process_start_time(container.init.pid) is None
    container.init.wait()
    assert process_start_time(container.init.pid) is None


def test_open_init_is_a_pidfd_of_the_living_init(fake: Fake) -> None:
    container = fake()
    pidfd = open_init(container.state)
    assert pidfd is not None
    assert not wait_exit(pidfd, 0)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert wait_exit(pidfd, 10)
    os.close(pidfd)


@pytest.mark.parametrize("reaped", [False, True])
def test_a_dead_init_is_not_opened(reaped: bool, fake: Fake) -> None:
    container = fake()
    container.end()
    if reaped:
        container.init.wait()
    assert open_init(container.state) is None


def test_a_process_that_has_the_pid_of_a_dead_init_is_not_opened(fake: Fake) -> None:
    container = fake()
    container.state.start_time -= 1
    before = os.listdir("/proc/self/fd")
    assert open_init(container.state) is None
    assert os.listdir("/proc/self/fd") == before


def test_an_init_whose_first_thread_ended_lives_as_long_as_others_do(fake: Fake) -> None:
    script = "import ctypes, threading, time; threading.Thread(target=time.sleep, args=(1000,)).start(); "
    script += "ctypes.CDLL(None).pthread_exit(None)"
    container = fake()
    with subprocess.Popen([sys.executable, "-c", script]) as child:
        try:
            wait_for(lambda: b") Z" in proc_stat(child.pid))
            container.state.pid, container.state.start_time = child.pid, start_field(child.pid)
            pidfd = open_init(container.state)
            assert pidfd is not None
            os.close(pidfd)
        finally:
            child.kill()


def test_a_proc_that_hides_init_is_an_error_and_not_a_stopped_container(
    fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = fake()
    monkeypatch.setattr(module, "_process_stat", lambda _pid: None)
    with pytest.raises(Error, match="is /proc mounted"):
        open_init(container.state)


@pytest.mark.parametrize("call", ["open", "read"])
def test_a_boot_that_cannot_be_read_is_an_error_and_not_another_boot(
    fake: Fake, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    container = fake()
    container.state.boot_id = module.boot_id()

    def fail(*arguments: object, **options: object) -> None:
        raise OSError(errno.EPERM, "operation not permitted")

    with monkeypatch.context() as patched:
        patched.setattr(f"posix.{call}", fail)
        with pytest.raises(Error, match="boot_id: operation not permitted"):
            module.is_of_this_boot(container.state)
    assert module.is_of_this_boot(container.state)
    monkeypatch.setattr(module, "BOOT_ID", "/proc/no/such/file")  # of a machine whose kernel does not tell
    assert module.is_of_this_boot(container.state)


# -- status


def cgroup_that_is(directory: Path, *, frozen: bool) -> list[str]:
    """The record of a cgroup of this kind."""
    (directory / "freezer.state").write_text("FROZEN\n" if frozen else "THAWED\n")
    return [f"made freezer {directory}"]


def status_of(container: Any) -> str:
    with Entry.open(container.root, container.id) as entry:
        return status(entry, entry.load())


def test_a_container_without_state_or_pid_is_creating(ctx: Context) -> None:
    with Entry.claim(ctx.root, "c1") as entry:
        assert status(entry, entry.load()) == "creating"
        entry.save(some_state(pid=0))
        assert status(entry, entry.load()) == "creating"


def test_a_container_whose_init_listens_is_created(fake: Fake) -> None:
    container = fake()
    container.wait_for_start()
    assert status_of(container) == "created"
    assert status_of(container) == "created"
    assert container.received == []


def test_a_container_whose_init_has_no_time_to_accept_is_created(fake: Fake) -> None:
    container = fake()
    with (
        Entry.open(container.root, container.id) as entry,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
    ):
        listener.bind(entry.socket_path())
        listener.listen(0)
        assert [status_of(container) for _ in range(3)] == ["created"] * 3


@pytest.mark.parametrize("left", [False, True])
def test_a_container_whose_init_listens_no_more_is_running(left: bool, fake: Fake) -> None:
    container = fake()
    if left:
        with (
            Entry.open(container.root, container.id) as entry,
            socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
        ):
            listener.bind(entry.socket_path())
    assert status_of(container) == "running"


@pytest.mark.parametrize(("frozen", "expected"), [(True, "paused"), (False, "running")])
def test_a_container_with_a_frozen_cgroup_is_paused(frozen: bool, expected: str, fake: Fake, tmp_path: Path) -> None:
    container = fake()
    container.state.cgroup = cgroup_that_is(tmp_path, frozen=frozen)
    container.save()
    assert status_of(container) == expected


def test_a_zombie_is_a_stopped_container(fake: Fake) -> None:
    container = fake()
    container.wait_for_start()
    container.end()
    assert status_of(container) == "stopped"


def test_a_container_of_an_earlier_boot_is_stopped(fake: Fake) -> None:
    container = fake()
    container.state.start_time += 100
    container.save()
    assert status_of(container) == "stopped"


# -- JSON


def test_state_json_has_the_members_and_order_of_runc() -> None:
    text = state_json(some_state(annotations='{"a":"b"}'), "running")
    assert json.loads(text) == {
        "ociVersion": "1.2.0",
        "id": "c1",
        "pid": 42,
        "status": "running",
        "bundle": "/b",
        "rootfs": "/b/rootfs",
        "created": "2026-01-02T03:04:05.000000006Z",
        "annotations": {"a": "b"},
        "owner": "root",
    }
    assert [line.split('"')[1] for line in text.splitlines()[1:-1]] == list(json.loads(text))


def test_a_stopped_container_has_no_pid_and_no_annotations_are_left_out() -> None:
    state = json.loads(state_json(some_state(), "stopped", pretty=False))
    assert state["pid"] == 0
    assert "annotations" not in state


def test_a_path_of_any_bytes_gives_valid_json() -> None:
    bundle = b'/a"\\\n\xff'.decode("utf-8", "surrogateescape")
    assert json.loads(state_json(some_state(bundle=bundle), "running").encode())["bundle"] == '/a"\\\n\ufffd'


def test_hooks_get_what_the_specification_has() -> None:
    state = some_state(annotations='{"a":"b"}')
    assert json.loads(oci_state_json(state, "creating", 7)) == {
        "ociVersion": "1.2.0",
        "id": "c1",
        "status": "creating",
        "pid": 7,
        "bundle": "/b",
        "annotations": {"a": "b"},
    }
