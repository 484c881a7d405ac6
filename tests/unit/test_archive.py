"""The archive of compiled modules: what it has is what the sources say, and where it is not, all works without it."""

from __future__ import annotations

import marshal
import os
import subprocess
import sys
from importlib.machinery import ExtensionFileLoader
from typing import TYPE_CHECKING

import pytest

import lxcri
from lxcri.archive import Archive
from lxcri.packing import modules_of, write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

OPENED = """
import marshal
from lxcri.archive import Archive
def opened(path):
    file = open(path, "rb")
    opened.files.append(file)
    return Archive(file.fileno(), marshal.loads(file.read()))
opened.files = []
"""
"""An archive, as the command has it."""

PROGRAM = (
    """
import sys
sys.path.append({packages!r})
"""
    + OPENED
    + """
sys.meta_path.insert(0, opened({archive!r}))
import pack.part.leaf
for name in ("pack", "pack.part", "pack.part.leaf"):
    module = sys.modules[name]
    print(name, type(module.__loader__).__name__, module.__file__, getattr(module, "__path__", None), module.VALUE)
"""
)


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A package of three modules, and its archive beside it."""
    directory = tmp_path / "pack"
    (directory / "part").mkdir(parents=True)
    (directory / "__init__.py").write_text("VALUE = 1\n")
    (directory / "part" / "__init__.py").write_text("VALUE = 2\n")
    (directory / "part" / "leaf.py").write_text("from .. import VALUE as ONE\nVALUE = ONE + 2\n")
    modules = list(modules_of("pack", str(directory)))
    write(str(tmp_path / "archive"), modules[:1], modules[1:])
    return directory


def imported(package: Path) -> list[list[str]]:
    """Name, loader, file, path and value of each module."""
    own = os.path.dirname(os.path.dirname(os.path.abspath(lxcri.__file__)))
    program = PROGRAM.format(packages=own, archive=str(package.parent / "archive"))
    program = program.replace("import pack", f"sys.path.append({str(package.parent)!r})\nimport pack", 1)
    done = subprocess.run([sys.executable, "-IS", "-c", program], check=True, capture_output=True, text=True)
    return [line.split() for line in done.stdout.splitlines()]


def test_modules_come_from_the_archive(package: Path) -> None:
    assert imported(package) == [
        ["pack", "Archive", f"{package}/__init__.py", f"['{package}']", "1"],
        ["pack.part", "Archive", f"{package}/part/__init__.py", f"['{package}/part']", "2"],
        ["pack.part.leaf", "Archive", f"{package}/part/leaf.py", "None", "3"],
    ]


def test_another_package_runs_when_it_is_asked_for_something(tmp_path: Path) -> None:
    """Which its import alone does not do; whoever has nothing to ask for does not wait for it."""
    directory = tmp_path / "other"
    directory.mkdir()
    (directory / "__init__.py").write_text("import builtins\nbuiltins.ran.append(__name__)\nfrom . import leaf\n")
    (directory / "leaf.py").write_text(
        "import builtins\nbuiltins.ran.append(__name__)\n__all__ = ('VALUE',)\nVALUE = 3\n"
    )
    write(str(tmp_path / "archive"), (), modules_of("other", str(directory)))
    program = f"""
import builtins, sys
sys.path.append({os.path.dirname(os.path.dirname(os.path.abspath(lxcri.__file__)))!r})
{OPENED}
builtins.ran = []
sys.meta_path.insert(0, opened({str(tmp_path / "archive")!r}))
import other
print(builtins.ran)
leaf = other.leaf
print(builtins.ran)
from other.leaf import *
print(builtins.ran, VALUE, hasattr(leaf, "missing"), hasattr(other, "missing"), "__getattr__" in vars(leaf))
"""
    done = subprocess.run([sys.executable, "-IS", "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines() == [
        "[]",
        "['other']",
        "['other', 'other.leaf'] 3 False False False",
    ]


BEGINNING = (
    """
import sys
sys.path[:0] = {paths!r}
"""
    + OPENED
    + """
archive = opened({archive!r})
sys.meta_path.insert(0, archive)
searched = []
archive.find_spec = lambda name, *_: searched.append(name) or Archive.find_spec(archive, name)
import head
print(*searched)
print(head.VALUE, *sorted(name for name in sys.modules if name.startswith("pack")))
for module in (head.pack, head.pack.part, head.pack.part.leaf):
    print(module.__name__, module.__package__, module.__file__, module.__spec__.name, getattr(module, "__path__", None))
"""
)


def import_head(
    package: Path,
    changed: str = "",
    text: str = "import pack.part.leaf\nVALUE = pack.part.leaf.VALUE\n",
    first: Sequence[str] = ("pack", "pack.part.leaf", "pack.part"),
) -> list[str]:
    """What BEGINNING prints, of a module whose import begins with the package's; changed: another text of the leaf."""
    head = package.parent / "head.py"
    head.write_text(text)
    path = package.parent / "archive"
    if changed:
        (package / "part" / "leaf.py").write_text(changed)
    modules = [*modules_of("pack", str(package)), ("head", str(head))]
    write(str(path), modules, first={"head": first})
    paths = [os.path.dirname(os.path.dirname(os.path.abspath(lxcri.__file__))), str(package.parent)]
    program = BEGINNING.format(paths=paths, archive=str(path))
    done = subprocess.run([sys.executable, "-IS", "-c", program], check=False, capture_output=True, text=True)
    return done.stdout.splitlines() or done.stderr.splitlines()[-1:]


def test_what_an_import_begins_with_is_not_searched_for(package: Path) -> None:
    """Though a package is complete only after what is in it, where its own import imports that."""
    assert import_head(package) == [
        "head",
        "3 pack pack.part pack.part.leaf",
        f"pack pack {package}/__init__.py pack ['{package}']",
        f"pack.part pack.part {package}/part/__init__.py pack.part ['{package}/part']",
        f"pack.part.leaf pack.part {package}/part/leaf.py pack.part.leaf None",
    ]


def test_what_fails_too_early_is_imported_as_ever(package: Path) -> None:
    """A module that takes something from its own package, which is not there yet."""
    searched, value, *_ = import_head(package, "from . import VALUE as TWO\nVALUE = TWO * 10\n")
    assert searched.split()[-2:] == ["pack.part", "pack.part.leaf"]
    assert value == "20 pack pack.part pack.part.leaf"


def test_what_fails_for_good_says_so_itself(package: Path) -> None:
    assert import_head(package, "VALUE = undefined\n") == ["NameError: name 'undefined' is not defined"]


def test_what_fails_for_good_is_not_found_half_made_in_its_package(package: Path) -> None:
    text = "from pack.part import leaf\nVALUE = leaf.VALUE\n"
    answer = import_head(package, "VALUE = undefined\n", text, ("pack", "pack.part", "pack.part.leaf"))
    assert answer == ["NameError: name 'undefined' is not defined"]


def test_another_package_that_fails_does_so_again(tmp_path: Path) -> None:
    """It is not taken for one that has run."""
    directory = tmp_path / "other"
    directory.mkdir()
    (directory / "__init__.py").write_text("FIRST = 1\nSECOND = undefined\n")
    write(str(tmp_path / "archive"), (), modules_of("other", str(directory)))
    program = f"""
import sys
sys.path.append({os.path.dirname(os.path.dirname(os.path.abspath(lxcri.__file__)))!r})
{OPENED}
sys.meta_path.insert(0, opened({str(tmp_path / "archive")!r}))
import other
for _ in range(2):
    try:
        other.SECOND
    except NameError as e:
        print(e)
"""
    done = subprocess.run([sys.executable, "-IS", "-c", program], check=False, capture_output=True, text=True)
    assert done.stdout.splitlines() == ["name 'undefined' is not defined"] * 2, done.stderr


def test_a_source_that_has_changed(package: Path) -> None:
    (package / "part" / "leaf.py").write_text("VALUE = 'other'\n")
    assert [line[1] for line in imported(package)] == ["Archive", "Archive", "SourceFileLoader"]
    assert imported(package)[2][4] == "other"


def test_a_source_that_has_another_time(package: Path) -> None:
    leaf = package / "part" / "leaf.py"
    os.utime(leaf, (1, 1))
    assert [line[1] for line in imported(package)] == ["Archive", "Archive", "SourceFileLoader"]


def test_a_changed_source_among_what_an_import_begins_with(package: Path) -> None:
    import_head(package)
    (package / "part" / "leaf.py").write_text("VALUE = 'other'\n")
    paths = [os.path.dirname(os.path.dirname(os.path.abspath(lxcri.__file__))), str(package.parent)]
    program = BEGINNING.format(paths=paths, archive=str(package.parent / "archive"))
    done = subprocess.run([sys.executable, "-IS", "-c", program], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[1] == "other pack pack.part pack.part.leaf"


def test_an_extension_module_is_loaded_from_its_file_as_long_as_that_is_the_same(tmp_path: Path) -> None:
    binary = tmp_path / "fast.abi3.so"
    binary.write_bytes(b"\x7fELF")
    write(str(tmp_path / "archive"), (), extensions=[("pack.fast", str(binary))])
    path = tmp_path / "archive"
    archive = Archive(os.open(path, os.O_RDONLY), marshal.loads(path.read_bytes()))
    spec = archive.find_spec("pack.fast")
    assert spec is not None
    assert isinstance(spec.loader, ExtensionFileLoader)
    assert (spec.name, spec.origin, spec.loader.path) == ("pack.fast", str(binary), str(binary))
    os.utime(binary, (1, 1))
    assert archive.find_spec("pack.fast") is None


def test_a_head_may_be_long(tmp_path: Path) -> None:
    """It has the paths of many files, and they may be long."""
    directory = tmp_path / "long" / ("d" * 200)
    directory.mkdir(parents=True)
    for number in range(400):
        (directory / f"m{number}.py").write_text(f"VALUE = {number}\n")
    modules = list(modules_of("pack", str(directory)))
    length = write(str(tmp_path / "archive"), modules, first={"pack.m0": ["pack.m1"]}, everywhere="pack.m0")
    assert length > 65536
    data = (tmp_path / "archive").read_bytes()
    archive = Archive(os.open(tmp_path / "archive", os.O_RDONLY), marshal.loads(data[:length]))
    for name in ("pack.m0", "pack.m399"):
        assert archive.find_spec(name) is not None
        names: dict[str, object] = {}
        exec(archive.code(name), names)
        assert names["VALUE"] == int(name.removeprefix("pack.m"))
    os.close(archive._fd)
