"""The verb create."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from oci.console import ConsoleSocket

if TYPE_CHECKING:
    from collections.abc import Callable

    from oci.bundle import Bundle


def test_process_does_not_run_before_start(bundle: Bundle) -> None:
    """create prepares everything, start runs it."""
    container = bundle.shell("echo ran")
    container.create()
    assert container.status() == "created"
    assert container.output() == ""
    container.start()
    container.wait()
    assert container.output() == "ran\n"


def test_pid_file_holds_the_pid_and_nothing_else(bundle: Bundle) -> None:
    """It is complete when create has ended; engines read it then."""
    container = bundle.container("/bin/true")
    container.create()
    with open(container.pid_file) as file:
        assert file.read() == str(container.pid)
    assert container.state()["pid"] == container.pid


def test_pid_file_may_be_relative(bundle: Bundle) -> None:
    """To the current directory."""
    container = bundle.container("/bin/true")
    bundle.write()
    bundle.runtime.call("create", "--bundle", bundle.path, "--pid-file", "relative.pid", container.id).ok()
    path = os.path.join(bundle.runtime.work, "relative.pid")
    with open(path) as file:
        container.pid = int(file.read())
    os.unlink(path)
    assert container.status() == "created"


def test_pid_file_that_cannot_be_written_is_an_error(bundle: Bundle) -> None:
    """Nothing is left then."""
    bundle.write()
    result = bundle.runtime.call(
        "create", "--bundle", bundle.path, "--pid-file", "/no/such/dir/pid", bundle.runtime.new_id()
    )
    result.refused("no such file or directory", where="/no/such/dir/pid")


def test_pid_file_is_replaced_not_written_into(bundle: Bundle) -> None:
    """A symlink that somebody put there is not followed."""
    victim = bundle.file("victim", "precious\n")
    container = bundle.container("/bin/true")
    os.symlink(victim, container.pid_file)
    container.create()
    with open(victim) as file:
        assert file.read() == "precious\n"
    assert not os.path.islink(container.pid_file)


@pytest.mark.runc_differs("1.1 leaves its temporary file")
def test_pid_file_that_cannot_be_put_in_its_place_leaves_nothing(bundle: Bundle) -> None:
    """A directory has this name."""
    place = bundle.directory("pids")
    os.mkdir(f"{place}/pid")
    bundle.write()
    result = bundle.runtime.call(
        "create", "--bundle", bundle.path, "--pid-file", f"{place}/pid", bundle.runtime.new_id()
    )
    result.refused("", where=f"--pid-file {place}/pid")
    assert os.listdir(place) == ["pid"]


@pytest.mark.runc_differs("1.1 refuses a file that it, or somebody else, has left there")
def test_pid_file_is_not_written_into_what_has_its_temporary_name(bundle: Bundle) -> None:
    """A runtime that was killed has left one; or it is a hard link to something else."""
    victim = bundle.file("victim", "precious\n")
    container = bundle.container("/bin/true")
    directory, name = os.path.split(container.pid_file)
    os.link(victim, f"{directory}/.{name}")
    container.create()
    with open(victim) as file:
        assert file.read() == "precious\n"
    assert not os.path.exists(f"{directory}/.{name}")


def test_options_may_have_any_form(bundle: Bundle) -> None:
    """-b DIR, --bundle=DIR, in any order."""
    bundle.write()
    for arguments in (
        ["-b", bundle.path],
        [f"--bundle={bundle.path}"],
        ["--no-new-keyring", "-b", bundle.path],
    ):
        container = bundle.container("/bin/true")
        bundle.runtime.call("create", *arguments, "--pid-file", container.pid_file, container.id).ok()
        with open(container.pid_file) as file:
            container.pid = int(file.read())
        container.close()


@pytest.mark.parametrize("identity", ["a", "A.b_c+d-e", "0", "_", "a..", "-x"])
def test_allowed_ids(bundle: Bundle, identity: str) -> None:
    """Letters, digits, _ + - . in any place; one that begins with - needs -- before it."""
    bundle.linux["cgroupsPath"] = f"/{bundle.runtime.new_id()}"
    container = bundle.container("/bin/true", identity=identity)
    bundle.write()
    bundle.runtime.call("create", "--bundle", bundle.path, "--pid-file", container.pid_file, "--", identity).ok()
    with open(container.pid_file) as file:
        container.pid = int(file.read())
    os.kill(container.pid, 9)
    container.wait()
    bundle.runtime.call("delete", "--", identity).ok()


@pytest.mark.parametrize(
    "identity",
    ["", ".", "..", "a/b", "../x", "/x", "a b", "a\nb", "ü", "a:b", "a\\b", "x" * 1000, "a*", "$x", "~"],
)
def test_bad_ids_are_refused(bundle: Bundle, identity: str) -> None:
    """Before any path is made of them."""
    bundle.write()
    result = bundle.runtime.call("create", "--bundle", bundle.path, identity)
    result.refused(where="id")
    assert bundle.runtime.containers() == []


@pytest.mark.parametrize("verb", ["state", "start", "kill", "delete"])
def test_bad_ids_are_refused_by_every_verb(bundle: Bundle, verb: str) -> None:
    """A root program must not be led out of its state directory. There are runtimes that delete what the id names."""
    victim = bundle.directory("victim")
    for identity in (victim, os.path.relpath(victim, bundle.runtime.root), ""):
        bundle.runtime.call(verb, identity).refused()
        assert os.path.isdir(victim)


def test_taken_id_is_refused(bundle: Bundle) -> None:
    """... and the container that has it is not touched."""
    first = bundle.shell("echo first; exec sleep 100")
    first.create()
    state = first.state()
    bundle.container("/bin/true", identity=first.id).attempt_create().refused("already exists", where=first.id)
    assert first.state() == state
    first.start()
    first.wait_output("first\n")
    bundle.container("/bin/true", identity=first.id).attempt_create().refused("already exists", where=first.id)
    assert first.status() == "running"


def test_taken_id_of_a_stopped_container_is_refused(bundle: Bundle) -> None:
    """Until it is deleted."""
    first = bundle.container("/bin/true").up()
    first.wait()
    bundle.container(identity=first.id).attempt_create().refused("already exists", where=first.id)
    first.delete().ok()
    again = bundle.container(identity=first.id)
    again.create()
    assert again.status() == "created"


def test_failed_create_frees_the_id(bundle: Bundle) -> None:
    """The id can be used again at once."""
    container = bundle.container("/no/such/program")
    container.attempt_create().refused()
    bundle.process["args"] = ["/bin/true"]
    container.create()


def test_later_changes_of_the_bundle_do_not_matter(bundle: Bundle) -> None:
    """runtime.md: changes of config.json after create have no effect on the container."""
    container = bundle.shell("echo before")
    container.create()
    bundle.process["args"] = ["/bin/echo", "after"]
    bundle.write()
    container.start()
    container.wait()
    assert container.output() == "before\n"


def test_bundle_may_vanish_after_create(bundle: Bundle) -> None:
    """Only the root file system is needed."""
    container = bundle.shell("echo alive")
    container.create()
    os.unlink(os.path.join(bundle.path, "config.json"))
    container.start()
    container.wait()
    assert container.output() == "alive\n"
    container.delete().ok()


def test_empty_environment(bundle: Bundle) -> None:
    """podman calls with no PATH and no HOME."""
    container = bundle.container("/bin/true")
    container.create(env={})
    bundle.runtime.call("start", container.id, env={}).ok()
    container.wait()
    bundle.runtime.call("state", container.id, env={"XDG_RUNTIME_DIR": ""}).ok()
    bundle.runtime.call("delete", container.id, env={"XDG_RUNTIME_DIR": ""}).ok()


@pytest.mark.lxcri_only("it is written in Python")
def test_python_variables_of_the_caller_have_no_say(bundle: Bundle) -> None:
    """PYTHONPATH, PYTHONSTARTUP and the like, and a module of the standard library's name in the bundle."""
    trap = bundle.directory("trap")
    for name in ("os", "msgspec", "cffi", "lxcri", "sitecustomize", "json"):
        bundle.file(f"trap/{name}.py", "raise SystemExit('trapped')\n")
        bundle.file(f"{name}.py", "raise SystemExit('trapped')\n")
    environment = {"PYTHONPATH": trap, "PYTHONHOME": trap, "PYTHONINSPECT": "1", "PYTHONDEBUG": "1"}
    bundle.run("/bin/true", env=environment, cwd=bundle.path).ok()


@pytest.mark.runc_differs("its own descriptors become the container's then")
def test_odd_standard_descriptors(bundle: Bundle) -> None:
    """stdin, stdout and stderr may be closed: nothing of the runtime's takes their place in the container."""
    container = bundle.container("/bin/sleep", "100")
    bundle.write()
    bundle.runtime.call(
        "create", "--bundle", bundle.path, "--pid-file", container.pid_file, container.id,
        wrapper=("/bin/sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"),
    )  # fmt: skip
    if os.path.exists(container.pid_file):
        with open(container.pid_file) as file:
            container.pid = int(file.read())
        container.start()
        targets = [os.readlink(f"/proc/{container.pid}/fd/{n}") for n in os.listdir(f"/proc/{container.pid}/fd")]
        assert [target for target in targets if not target.endswith("/null")] == []


def test_proc_of_another_pid_namespace_is_refused(bundle: Bundle) -> None:
    """The pids in it are those of others: what is recorded there would be what `delete --force` kills."""
    unshare = ("/usr/bin/unshare", "--pid", "--fork", "--kill-child")
    bundle.run("/bin/true", wrapper=unshare).refused(where="/proc: not that of the runtime's pid namespace")
    bundle.run("/bin/true", wrapper=(*unshare, "--mount-proc")).ok()


def test_two_bundles_with_one_id_at_different_roots(new_bundle: Callable[[], Bundle]) -> None:
    """--root is a world of its own."""
    bundle = new_bundle()
    other = os.path.join(bundle.path, "other-root")
    first = bundle.container("/bin/true")
    first.create()
    bundle.runtime.call("state", first.id, options=("--root", other)).refused("does not exist")


@pytest.mark.lxcri_only("others run without pivot_root")
@pytest.mark.parametrize("verb", ["create", "run"])
def test_no_pivot_is_refused(bundle: Bundle, verb: str) -> None:
    """liblxc always pivots; the message says why."""
    bundle.write()
    result = bundle.runtime.call(verb, "--no-pivot", "--bundle", bundle.path, bundle.runtime.new_id())
    result.refused("pivot", where="--no-pivot")


@pytest.mark.lxcri_only("others have CRIU")
@pytest.mark.parametrize("verb", ["checkpoint", "restore"])
def test_checkpoint_and_restore_are_refused(bundle: Bundle, verb: str) -> None:
    """With a reason, and for now."""
    bundle.runtime.call(verb, bundle.runtime.new_id()).refused(where=verb)


@pytest.mark.lxcri_only("runc has it since 1.2")
def test_pidfd_socket(bundle: Bundle) -> None:
    """--pidfd-socket gets a pidfd of the container's init, by the console socket's protocol."""
    container = bundle.container("/bin/sleep", "100")
    with ConsoleSocket(os.path.join(bundle.path, "pidfd.sock")) as server:
        container.create("--pidfd-socket", server.path)
        descriptor = server.receive_descriptor()
    try:
        with open(f"/proc/self/fdinfo/{descriptor}") as file:
            assert f"Pid:\t{container.pid}\n" in file.read()
    finally:
        os.close(descriptor)


def test_new_session_keyring(bundle: Bundle) -> None:
    """The container has a session keyring of its own; with --no-new-keyring it keeps the caller's."""
    # KEYCTL_GET_KEYRING_ID, KEY_SPEC_SESSION_KEYRING
    bundle.process["args"] = ["/bin/probe", "keyctl", "0", "-3", "0"]
    own = bundle.run().ok().stdout
    if not own.startswith("ok"):
        pytest.skip("the kernel has no keyrings")
    assert bundle.run().ok().stdout != own
    kept = bundle.run(options=["--no-new-keyring"]).ok().stdout
    assert bundle.run(options=["--no-new-keyring"]).ok().stdout == kept


def test_create_is_not_disturbed_by_a_full_state_root(bundle: Bundle) -> None:
    """Files in the state directory that are no containers are nobody's business."""
    os.makedirs(bundle.runtime.root, exist_ok=True)
    stray = os.path.join(bundle.runtime.root, ".stray")
    with open(stray, "w"):
        pass
    try:
        bundle.run().ok()
        bundle.runtime.call("list").ok()
    finally:
        os.unlink(stray)
