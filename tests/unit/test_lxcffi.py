"""lxcffi without a running container."""

from __future__ import annotations

import ast
import errno
import json
import os
import pickle
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import lxcffi
from lxcffi import compat, library, log, text
from lxcffi.container import Container
from lxcffi.ffi import ffi, lib

PACKAGE = os.path.dirname(lxcffi.__file__)


pytestmark = pytest.mark.usefixtures("lock_directories")


@pytest.fixture
def container(tmp_path: Path) -> Iterator[Container]:
    with Container("unit", tmp_path) as container:
        yield container


def in_python(program: str, *arguments: str, flags: str = "-Ic") -> subprocess.CompletedProcess[str]:
    """Run a program in an interpreter of its own: liblxc has one log for the whole process."""
    prologue = f"import sys; sys.path.insert(0, {os.path.dirname(PACKAGE)!r})\n"
    return subprocess.run(
        [sys.executable, flags, prologue + program, *arguments], capture_output=True, text=True, check=True
    )


# The package


def test_import_loads_nothing_but_the_cffi_back_end() -> None:
    count = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    before = json.loads(in_python(count).stdout)
    after = json.loads(in_python(f"import lxcffi; {count}").stdout)
    foreign = {name for name in set(after) - set(before) if name.partition(".")[0] != "lxcffi"}
    assert foreign == {"_cffi_backend", "__future__"}


@pytest.mark.parametrize("statement", ["import lxcffi", "import lxcffi; lxcffi.Container('unit').state"])
def test_starting_takes_neither_re_nor_enum_nor_typing(statement: str) -> None:
    """liblxc's start forks the process twice: what is in its memory costs time."""
    site = [path for path in sys.path if path.endswith("site-packages")]
    loaded = in_python(f"sys.path += {site!r}\n{statement}\nprint(*sys.modules)", flags="-ISc").stdout.split()
    assert "lxcffi._lxc" in loaded
    assert not {"re", "enum", "typing", "collections", "contextlib", "functools", "ctypes", "tempfile"} & set(loaded)


def test_compat_takes_no_module_that_python3_lxc_does_not() -> None:
    count = "import json, sys; print(json.dumps(sorted(sys.modules)))"
    as_there = json.loads(in_python(f"import os, subprocess, time, lxcffi; {count}").stdout)
    loaded = json.loads(in_python(f"import lxcffi.compat as lxc; lxc.Container('unit').state; {count}").stdout)
    assert {name for name in set(loaded) - set(as_there) if name.partition(".")[0] != "lxcffi"} == set()


def test_states_are_numbered_as_liblxc_does(container: Container) -> None:
    """A state goes through C as a number, a name that is in no list as text."""
    assert tuple(library.wait_states()) == library.STATES
    assert set(library.STATES) == set(lxcffi.State.__args__)  # type: ignore[attr-defined]
    assert library.STATES[lib.container_state_number(container._c)] == "STOPPED"


@pytest.mark.parametrize("kind", [Container, compat.Container])
def test_a_state_that_has_no_number_is_told_as_liblxc_calls_it(
    kind: type[Container | compat.Container], tmp_path: Path
) -> None:
    """A monitor that hangs up before it has answered leaves liblxc without a state."""
    with socket.socket(socket.AF_UNIX) as monitor:
        monitor.bind(f"\0{tmp_path}/unit/command")
        monitor.listen()

        def answer() -> None:
            for _ in range(2):
                connection, _ = monitor.accept()
                with connection:
                    connection.recv(16)

        thread = threading.Thread(target=answer)
        thread.start()
        assert kind("unit", str(tmp_path)).state == "INVALID STATE"
        thread.join()


def test_stub_names_what_the_module_has() -> None:
    with open(os.path.join(PACKAGE, "_lxc.pyi"), encoding="utf-8") as file:
        tree = ast.parse(file.read())
    library_class = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    names = set()
    for node in library_class.body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
            arity = len(node.args.posonlyargs) - 1
            assert arity == len(ffi.typeof(getattr(lib, node.name)).args), node.name
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
            assert isinstance(getattr(lib, node.target.id), int)
    assert names == set(dir(lib))


def test_public_names_are_those_that_are_declared() -> None:
    for name in lxcffi.__all__:
        assert getattr(lxcffi, name) is getattr(lxcffi, name)
    assert set(lxcffi.__all__) <= set(dir(lxcffi))
    with open(os.path.join(PACKAGE, "__init__.py"), encoding="utf-8") as file:
        tree = ast.parse(file.read())
    declared = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    found = {name: module for module, names in lxcffi._MODULES.items() for name in names}
    assert found | {"log": None} == declared
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        lxcffi.nonsense  # noqa: B018


# The library


def test_version_is_that_of_the_shared_library() -> None:
    assert library.format_version(lxcffi.version_number()) == lxcffi.version().partition("-")[0]
    assert lxcffi.version_number() >= 0x040000


@pytest.mark.parametrize(
    ("version", "number"),
    [
        ("5.0.2", 0x050002),
        ("4.0.12", 0x04000C),
        ("7.0.0-devel", 0x070000),
        ("6.1.0~rc1", 0x060100),
        ("6.0", 0x060000),
        ("3", 0x030000),
        ("4.0.6~git20210414-1", 0x040006),
        ("nonsense", 0),
        ("1.2.3.4", 0x010203),
    ],
)
def test_version_number_ignores_a_tail(version: str, number: int) -> None:
    assert lib.parse_version(version.encode()) == number


@pytest.fixture
def older() -> Iterator[Callable[[int], None]]:
    """Makes the module take the library for an older one."""
    yield lib.set_library_version
    lib.set_library_version(0)


def test_member_newer_than_the_library_is_refused_by_name(container: Container, older: Callable[[int], None]) -> None:
    older(0x050002)
    with pytest.raises(lxcffi.NotSupportedError) as caught:
        container.set_timeout(1)
    assert caught.value.operation == "set_timeout"
    assert caught.value.required == "6.0.0"
    assert "needs liblxc 6.0.0" in str(caught.value)
    older(0x040004)
    with pytest.raises(lxcffi.NotSupportedError, match=r"init_pidfd of container unit: needs liblxc 4\.0\.5"):
        container.init_pidfd()
    with pytest.raises(lxcffi.NotSupportedError):
        container.devpts_fd()
    older(0x040006)
    for options in ({"groups": [1]}, {"lsm_label": "a"}):
        with pytest.raises(lxcffi.NotSupportedError, match=r"needs liblxc 4\.0\.7"):
            container.attach(["/bin/true"], **options)


def test_member_newer_than_the_library_is_not_touched(older: Callable[[int], None]) -> None:
    """In a struct of zeroes a call is a crash."""
    struct = ffi.new("struct lxc_container *")
    older(0x040000)
    refused = set()
    for name in dir(lib):
        since = getattr(lib, f"SINCE_{name.removeprefix('container_')}", 0)
        if name.startswith("container_") and since > 0x040000:
            function = getattr(lib, name)
            zeroes = [0 if kind.kind == "primitive" else ffi.NULL for kind in ffi.typeof(function).args[1:]]
            ffi.errno = 0
            assert function(struct, *zeroes) in (-1, False)
            assert ffi.errno == errno.ENOSYS
            refused.add(name.removeprefix("container_"))
    assert refused == {"seccomp_notify_fd_active", "init_pidfd", "devpts_fd", "set_timeout"}


def test_api_extensions_and_items_are_known() -> None:
    assert lxcffi.has_api_extension("mount_injection_file")
    assert not lxcffi.has_api_extension("lxcri_no_such_extension")
    assert lxcffi.config_item_is_supported("lxc.uts.name")
    assert not lxcffi.config_item_is_supported("lxc.no.such.item")


# Text


def test_text_that_is_not_utf_8_survives(container: Container) -> None:
    assert text.encode("\udcff") == b"\xff"
    assert text.decode(b"\xff") == "\udcff"
    assert text.encode(Path("/a/\udcff")) == b"/a/\xff"
    container.set_config_item("lxc.environment", b"A=\xff")
    container.set_config_item("lxc.environment", "B=ä")
    assert container.get_config_item("lxc.environment") == "A=\udcff\nB=ä\n"


def test_text_with_a_null_character_is_refused(container: Container) -> None:
    with pytest.raises(ValueError, match="embedded null character"):
        container.set_config_item("lxc.uts.name", "a\0b")
    with pytest.raises(ValueError, match="embedded null character"):
        Container("a\0b")


def test_string_array_ends_with_null() -> None:
    array, strings = text.string_array(["a", b"b", Path("c")])
    assert [ffi.string(array[i]) for i in range(3)] == [b"a", b"b", b"c"]
    assert array[3] == ffi.NULL
    assert len(strings) == 3


# The container


def test_config_item_is_read_back(container: Container) -> None:
    assert container.get_config_item("lxc.uts.name") == ""
    container.set_config_item("lxc.uts.name", "a" * 64)
    assert container.get_config_item("lxc.uts.name") == "a" * 64
    container.clear_config_item("lxc.uts.name")
    assert container.get_config_item("lxc.uts.name") == ""


def test_clear_config_forgets_all_items(container: Container) -> None:
    container.set_config_item("lxc.uts.name", "a")
    container.set_config_item("lxc.environment", "A=1")
    container.clear_config()
    assert container.get_config_item("lxc.uts.name") == ""
    assert container.get_config_item("lxc.environment") == ""


def test_config_item_that_is_refused_names_key_value_and_container(container: Container) -> None:
    with pytest.raises(lxcffi.ConfigItemError) as caught:
        container.set_config_item("lxc.tty.max", "many")
    error = caught.value
    assert error.errno in {0, errno.EINVAL}
    assert (error.operation, error.container, error.key, error.value) == (
        "set_config_item",
        "unit",
        "lxc.tty.max",
        "many",
    )
    assert str(error).startswith("set_config_item of container unit: lxc.tty.max = many: ")
    with pytest.raises(lxcffi.ConfigItemError, match=r"get_config_item of container unit: lxc\.nope: "):
        container.get_config_item("lxc.nope")
    with pytest.raises(lxcffi.ConfigItemError, match=r"clear_config_item of container unit: lxc\.nope: "):
        container.clear_config_item("lxc.nope")


@pytest.mark.parametrize(
    "error",
    [
        lxcffi.StartError("start", container="a", error_number=1, log=("why", "what follows")),
        lxcffi.ConfigItemError("set_config_item", container="a", key="k", value="v", errno=22),
        lxcffi.NotSupportedError("mount", required="3.1.0", version="3.0.3"),
    ],
)
def test_errors_can_be_sent_to_another_process(error: lxcffi.LxcError) -> None:
    copy = pickle.loads(pickle.dumps(error))
    assert type(copy) is type(error)
    assert str(copy) == str(error)
    assert vars(copy) == vars(error)


def test_config_is_loaded_from_a_file(container: Container, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("lxc.uts.name = fromfile\n")
    container.load_config(file)
    assert container.get_config_item("lxc.uts.name") == "fromfile"
    with pytest.raises(lxcffi.LxcError, match="load_config"):
        container.load_config(tmp_path / "absent")


def test_container_that_does_not_run_is_stopped(container: Container) -> None:
    assert container.state == "STOPPED"
    assert container.init_pid is None
    assert not container.is_running
    assert container.error_number == 0


def test_container_without_a_configuration_says_so(container: Container) -> None:
    for call in (container.want_daemonize, container.want_close_all_fds):
        with pytest.raises(lxcffi.LxcError, match="of container unit: it has no configuration"):
            call(False)
    container.set_config_item("lxc.uts.name", "a")
    container.want_daemonize(False)
    container.want_close_all_fds(False)


def test_use_after_release_is_an_error(tmp_path: Path) -> None:
    container = Container("released", tmp_path)
    container.release()
    container.release()
    for use in (
        lambda: container.set_config_item("lxc.uts.name", "a"),
        container.clear_config,
        container.start,
        container.init_pidfd,
        lambda: container.state,
    ):
        with pytest.raises(lxcffi.ReleasedError, match="of container released: the object has been released"):
            use()


def resident() -> int:
    """Bytes of memory that this process has."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def test_many_containers_leak_nothing(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text("lxc.uts.name = leak\nlxc.environment = A=1\nlxc.net.0.type = empty\n" * 10)

    def cycles(count: int) -> None:
        for _ in range(count):
            with Container("leak", tmp_path) as container:
                container.load_config(config)
                container.config.set("lxc.environment", ["A=1", "B=2"])
                with pytest.raises(lxcffi.ConfigItemError):
                    container.config.set("lxc.tty.max", "many")

    cycles(500)
    descriptors, memory = os.listdir("/proc/self/fd"), resident()
    for _ in range(9_000):
        Container("leak", tmp_path).release()
    cycles(1000)
    assert os.listdir("/proc/self/fd") == descriptors
    assert resident() - memory < 2 << 20  # one leaked configuration in each cycle would be more than 10 MiB


# The log


LINES = (
    b"lxc web 20261124233555.413 ERROR    confile - ../src/lxc/confile.c:f:1 - Invalid argument - No key\n"
    b"lxc 20261124233555.413 WARN     conf - conf.c:f:2 - ERROR is a word\n"
    b"lxc 20261124233555.413 ERROR    start - start.c:f:2 - Failed\n"
    b"lxc a 20261124233555.413 TRACE    start - start.c:f:2 - Traced\n"
    b"an ERROR line of another form\n"
    b"lxc a 20261124233555.413 FATAL    start - start.c:f:2 - Fatal \xff\n"
)


def test_errors_are_found_in_a_log() -> None:
    assert log.errors(LINES) == ("Invalid argument - No key", "Failed", "Fatal \udcff")
    assert log.errors(b"") == ()


def test_unknown_level_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown log level 'LOUD'"):
        log.init("/dev/null", "LOUD")


def test_captured_log_is_in_the_error_once() -> None:
    printed = in_python(
        """
import lxcffi
container = lxcffi.Container("web", "/nonexistent")
errors = []
def fail(key):
    try:
        container.set_config_item(key, "x")
    except lxcffi.LxcError as e:
        errors.append(e)
fail("lxc.zero")
lxcffi.log.capture()
fail("lxc.one")
fail("lxc.two")
lxcffi.log.close()
fail("lxc.three")
for e in errors:
    print(len(e.log), e)
"""
    ).stdout.splitlines()
    assert len(printed) == 4
    assert printed[0] == "0 set_config_item of container web: lxc.zero = x: invalid argument"
    assert printed[1].startswith("1 set_config_item of container web: lxc.one = x: ")
    assert 'Unsupported config key "lxc.one"' in printed[1]
    assert 'Unsupported config key "lxc.two"' in printed[2]
    assert printed[3].startswith("0 ")


def test_log_file_can_be_a_descriptor_and_be_changed(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    in_python(
        """
import os, lxcffi
container = lxcffi.Container("web", "/nonexistent")
for number, path in enumerate(sys.argv[1:]):
    fd = os.open(path, os.O_CREAT | os.O_RDWR)
    lxcffi.log.init(f"/proc/self/fd/{fd}", "ERROR", prefix="prefix")
    try:
        container.set_config_item(f"lxc.number{number}", "x")
    except lxcffi.LxcError:
        pass
""",
        str(first),
        str(second),
    )
    assert len(log.errors(first.read_bytes())) == 1
    assert first.read_text().startswith("prefix ")
    assert "lxc.number0" in first.read_text()
    assert "lxc.number1" in second.read_text()


def test_log_that_cannot_be_opened_is_an_error() -> None:
    printed = in_python(
        """
import lxcffi
try:
    lxcffi.log.init("/proc/self/fd/4711/no")
except lxcffi.LxcError as e:
    print(e)
"""
    ).stdout
    assert printed == "lxc_log_init = /proc/self/fd/4711/no: no such file or directory\n"
