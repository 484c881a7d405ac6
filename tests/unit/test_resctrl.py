"""linux.intelRdt, on directories that behave as those of resctrl do."""

from __future__ import annotations

import errno
import os
import posix
import shutil
from typing import TYPE_CHECKING, Any

import pytest

from lxcri import resctrl
from lxcri.compile.intel_rdt import compile_intel_rdt
from lxcri.errors import Error
from lxcri.plan import Builder
from lxcri.resctrl import Group
from lxcri.spec import IntelRdt, Linux, Spec

if TYPE_CHECKING:
    from pathlib import Path

DEFAULT = "    L3:0=7ff;1=7ff\n    MB:0=100;1=100\n"
L3, MB = "L3:0=7f0;1=1f", "MB:0=20;1=70"


class Resctrl:
    """A resctrl file system: mkdir makes a group with its files, rmdir removes it."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.root = str(root)
        self.full = "none"  # the directory that has no room
        os.mkdir(f"{root}/info")
        self.write("info/last_cmd_status", "ok\n")
        self._fill(self.root)
        monkeypatch.setattr(posix, "mkdir", self._mkdir)
        monkeypatch.setattr(posix, "rmdir", shutil.rmtree)

    def _mkdir(self, path: str, mode: int) -> None:
        if os.path.dirname(path) == f"{self.root}{self.full}":
            self.write("info/last_cmd_status", "Out of CLOSIDs\n")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        os.mkdir(path, mode)
        self._fill(path)

    @staticmethod
    def _fill(path: str) -> None:
        for name, text in (("tasks", ""), ("cpus", "")):
            with open(f"{path}/{name}", "w") as file:
                file.write(text)
        if os.path.basename(os.path.dirname(path)) != "mon_groups":
            os.mkdir(f"{path}/mon_groups")
            with open(f"{path}/schemata", "w") as file:
                file.write(DEFAULT)

    def write(self, name: str, text: str) -> None:
        """Write a file below the root."""
        with open(f"{self.root}/{name}", "w") as file:
            file.write(text)

    def read(self, name: str) -> str:
        """Content of a file below the root; what the runtime wrote, since that replaces what was there."""
        with open(f"{self.root}/{name}") as file:
            return file.read()

    def groups(self) -> set[str]:
        """All groups but the root."""
        found = {os.path.relpath(path, self.root) for path, _, files in os.walk(self.root) if "tasks" in files}
        return found - {"."}

    def make(self, **properties: Any) -> Group:
        """The group of container c1."""
        return Group.make(IntelRdt(**properties), "c1", self.root)

    def refusal(self, **properties: Any) -> str:
        """The text of the Error that container c1 gets."""
        with pytest.raises(Error) as error:
            self.make(**properties)
        return str(error.value)


@pytest.fixture
def fs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Resctrl:
    """A resctrl file system."""
    return Resctrl(tmp_path, monkeypatch)


def test_without_a_class_the_container_gets_its_own(fs: Resctrl) -> None:
    group = fs.make()
    assert fs.groups() == {"c1"}
    assert fs.read("c1/schemata") == DEFAULT
    group.place(4711)
    assert fs.read("c1/tasks") == "4711"
    resctrl.remove(group.owned)
    assert fs.groups() == set()


def test_a_class_of_that_name_that_is_there_already_is_not_taken(fs: Resctrl) -> None:
    fs.make()
    assert fs.refusal() == f"linux.intelRdt: mkdir {fs.root}/c1: file exists"
    assert fs.groups() == {"c1"}


def test_schemata_are_written_in_the_documents_order(fs: Resctrl) -> None:
    fs.make(schemata=["L2:0=f", "L3CODE:0=1"], mem_bw_schema=MB, l3_cache_schema=L3)
    assert fs.read("c1/schemata").startswith(f"{L3}\n{MB}\nL2:0=f\nL3CODE:0=1\n")


def test_a_class_that_is_missing_is_made_if_schemata_say_how(fs: Resctrl) -> None:
    group = fs.make(clos_id="gold", l3_cache_schema=L3)
    assert fs.groups() == {"gold"}
    assert fs.read("gold/schemata").startswith(f"{L3}\n")
    assert group.owned == []  # it stays


def test_a_class_that_is_missing_is_an_error_without_schemata(fs: Resctrl) -> None:
    assert fs.refusal(clos_id="gold") == 'linux.intelRdt: closID "gold": no such class'
    assert fs.groups() == set()


@pytest.mark.parametrize(
    "wanted",
    [
        {},
        {"l3_cache_schema": "L3:0=7f0"},
        {"l3_cache_schema": "L3: 1=01F ; 0 = 7F0", "mem_bw_schema": MB},
        {"schemata": [MB, L3]},
    ],
)
def test_a_class_that_exists_is_joined_and_not_written(fs: Resctrl, wanted: dict[str, Any]) -> None:
    fs.make(clos_id="gold", l3_cache_schema=L3)
    present = "    L3:0=7f0;1=01f\n    MB:0= 20;1= 70\n"
    fs.write("gold/schemata", present)
    group = fs.make(clos_id="gold", **wanted)
    assert fs.read("gold/schemata") == present
    group.place(4711)
    assert fs.read("gold/tasks") == "4711"
    assert group.owned == []


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"l3_cache_schema": "L3:0=7f0;1=1f"}, "L3 of domain 0 is 7ff, not 7f0"),
        ({"mem_bw_schema": "MB:1=70"}, "MB of domain 1 is 100, not 70"),
        ({"schemata": ["L3:2=1"]}, "L3 has no domain 2"),
        ({"l3_cache_schema": "L3:0=7ff", "schemata": ["L2:0=1"]}, "has no L2"),
        ({"l3_cache_schema": "L3:0=7ff", "schemata": ["L3:0=1"]}, "L3 of domain 0 is 7ff, not 1"),
    ],
)
@pytest.mark.parametrize("name", ["gold", "/"])
def test_a_class_with_other_schemata_is_an_error(fs: Resctrl, name: str, wanted: dict[str, Any], text: str) -> None:
    fs._mkdir(f"{fs.root}/gold", 0o755)
    assert fs.refusal(clos_id=name, **wanted) == f'linux.intelRdt: closID "{name}" exists with other schemata: {text}'
    assert fs.groups() == {"gold"}


def test_the_default_class_is_the_root(fs: Resctrl) -> None:
    group = fs.make(clos_id="/", mem_bw_schema="MB:0=100")
    group.place(4711)
    assert fs.read("tasks") == "4711"
    assert fs.groups() == set()
    assert group.owned == []


@pytest.mark.parametrize(("name", "path"), [(None, "c1/"), ("gold", "gold/"), ("/", "")])
def test_monitoring_is_a_group_of_the_containers_own(fs: Resctrl, name: str | None, path: str) -> None:
    fs._mkdir(f"{fs.root}/gold", 0o755)
    group = fs.make(clos_id=name, enable_monitoring=True)
    group.place(4711)
    assert fs.read(f"{path}tasks") == fs.read(f"{path}mon_groups/c1/tasks") == "4711"
    resctrl.remove(group.owned)
    assert fs.groups() == {"gold"}


@pytest.mark.parametrize(("name", "place"), [(None, "/c1"), ("new", "/new"), ("gold", "/gold"), ("/", "")])
def test_a_monitoring_group_that_cannot_be_made_is_an_error(fs: Resctrl, name: str | None, place: str) -> None:
    """The class that was made for it goes; one that was there stays."""
    fs._mkdir(f"{fs.root}/gold", 0o755)
    fs.full = f"{place}/mon_groups"
    schemata = ["L3:0=7ff"]
    assert fs.refusal(clos_id=name, enable_monitoring=True, schemata=schemata) == (
        f"linux.intelRdt.enableMonitoring: mkdir {fs.root}{place}/mon_groups/c1: "
        "no space left on device (Out of CLOSIDs)"
    )
    assert fs.groups() == {"gold"}


def test_a_monitoring_group_of_that_name_is_not_taken(fs: Resctrl) -> None:
    fs._mkdir(f"{fs.root}/mon_groups/c1", 0o755)
    fs.write("info/last_cmd_status", "of an earlier command\n")
    assert fs.refusal(clos_id="/", enable_monitoring=True) == (
        f"linux.intelRdt.enableMonitoring: mkdir {fs.root}/mon_groups/c1: file exists"
    )
    assert fs.groups() == {"mon_groups/c1"}


def test_the_kernels_own_words_are_in_the_error(fs: Resctrl) -> None:
    fs.full = ""
    assert fs.refusal() == f"linux.intelRdt: mkdir {fs.root}/c1: no space left on device (Out of CLOSIDs)"


def test_schemata_that_the_kernel_refuses_leave_nothing(fs: Resctrl, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str, text: str) -> None:
        fs.write("info/last_cmd_status", "Non-hex character in the mask xyz\n")
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), path)

    monkeypatch.setattr(resctrl, "write_text", refuse)
    for name in (None, "gold"):
        assert fs.refusal(clos_id=name, l3_cache_schema="L3:0=xyz") == (
            f"linux.intelRdt: {fs.root}/{name or 'c1'}/schemata: invalid argument (Non-hex character in the mask xyz)"
        )
    assert fs.groups() == set()


def test_what_was_made_for_nothing_is_undone_unless_others_use_it(fs: Resctrl) -> None:
    fs.make(enable_monitoring=True).undo()
    fs.make(clos_id="gold", mem_bw_schema=MB).undo()
    assert fs.groups() == set()
    group = fs.make(clos_id="gold", mem_bw_schema=MB, enable_monitoring=True)
    fs.write("gold/tasks", "17\n")
    group.undo()
    assert fs.groups() == {"gold"}


def test_removal_takes_what_is_there(fs: Resctrl) -> None:
    group = fs.make(enable_monitoring=True)
    shutil.rmtree(group.monitoring)
    resctrl.remove(group.owned)
    assert fs.groups() == set()


def test_removal_that_fails_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "busy").mkdir()
    (tmp_path / "busy/file").touch()
    with pytest.raises(Error, match=r"^linux\.intelRdt: rmdir .*/busy: directory not empty$"):
        resctrl.remove([f"{tmp_path}/busy"])


@pytest.mark.parametrize("place", ["/sys/fs/resctrl", "/mnt/a b\\c"])
def test_the_mount_point_is_that_of_the_whole_file_system(place: str) -> None:
    escaped = place.replace("\\", "\\134").replace(" ", "\\040")
    assert (
        resctrl.mount_point(
            "29 1 0:1 / /sys rw - sysfs sysfs rw\n"
            "30 29 0:9 /info /tmp/info rw - resctrl resctrl rw\n"
            f"31 29 0:9 / {escaped} rw,nosuid shared:3 master:2 - resctrl resctrl rw\n"
        )
        == place
    )


def test_without_resctrl_there_is_no_group() -> None:
    with pytest.raises(Error, match=r"^linux\.intelRdt: no resctrl file system is mounted$"):
        resctrl.mount_point("29 1 0:1 / /sys rw shared:1 - sysfs resctrl rw\n")


def compiled(**properties: Any) -> tuple[IntelRdt | None, list[str]]:
    """What compile makes of linux.intelRdt, and its warnings."""
    builder = Builder()
    linux = Linux(intel_rdt=IntelRdt(**properties) if properties else None)
    return compile_intel_rdt(builder, Spec(oci_version="1.3.0", linux=linux)), builder.warnings


def test_compile_passes_it_on() -> None:
    assert compiled() == (None, [])
    assert compiled(clos_id="/", l3_cache_schema=L3) == (IntelRdt(clos_id="/", l3_cache_schema=L3), [])


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"mem_bw_schema": "L3:0=1"}, 'linux.intelRdt.memBwSchema: "L3:0=1" does not start with MB:'),
        ({"mem_bw_schema": "MB:0=1\nL3:0=1"}, "linux.intelRdt.memBwSchema: a line break"),
        ({"schemata": [MB, "L3:0=1\n"]}, "linux.intelRdt.schemata[1]: a line break"),
        *(
            ({"clos_id": name}, f'linux.intelRdt.closID: "{name}" is not a name of a class')
            for name in (".", "..", "a/b", "/a", "info", "mon_groups", "mon_data", "a\nb", "a\0b")
        ),
    ],
)
def test_compile_refuses_what_the_document_forbids(properties: dict[str, Any], text: str) -> None:
    with pytest.raises(Error) as error:
        compiled(**properties)
    assert str(error.value) == text


def test_what_the_document_advises_against_is_a_warning() -> None:
    assert compiled(l3_cache_schema="L3CODE:0=1\nL3DATA:0=2")[1] == [
        "linux.intelRdt.l3CacheSchema: does not start with L3:",
        "linux.intelRdt.l3CacheSchema: has more than one line",
    ]
