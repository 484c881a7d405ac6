"""
The compiled modules of lxcri and lxcffi, and of what they need of other packages, in one file, which saves their import
most of its system calls.

`python3 -m lxcri.entry` writes it beside the .pyc files (packing.py), and the command uses it if it is there. It holds
as much as they do: a module whose source has another size or time of change since is imported as ever.
"""

# Not `from __future__ import annotations`: before this runs that module would not come from the archive.
import gc
import marshal
import posix
import sys
from _frozen_importlib_external import ExtensionFileLoader

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType
    from typing import Any, TypeAlias

    Beginning: TypeAlias = tuple[Sequence[str], int, int]
    Row: TypeAlias = tuple[str, int, int, bool, int, int, Beginning | None]
    Table: TypeAlias = dict[str, Row]
    Head: TypeAlias = tuple[CodeType, int, Table, bytes, dict[str, CodeType]]

PATH = f"{__file__.rpartition('/')[0]}/__pycache__/lxcri.{sys.implementation.cache_tag}.archive"
NAME = "lxcri.archive"


class Archive:
    """
    A finder and loader of the modules in an open archive with this head, which the file begins with.

    The head has the code of this module, its own length, behind which all other code is, a table, two others, encoded
    again since most verbs do not need them, and the code of the modules that all verbs need.
    The table has of each module: source, its time of change in seconds, its size, whether it is a package, place and
    length of its code (none for an extension module, whose source is what is loaded), and, where its import takes many
    others, what it begins with: those modules, and place and length of their code and its own, all in one; no length
    if it is in the head, or not in one.
    """

    def __init__(self, fd: int, head: "Head") -> None:
        self._fd = fd if fd > 2 else _above_standard(fd)
        _, self._start, self._table, self._rest, self._codes = head
        self._deferred: "set[str]" = set()
        self._kind = type(sys.__spec__)

    def find_spec(self, name: str, *_: object) -> "ModuleSpec | None":
        """The module, if it is here and its source has not changed."""
        spec = self._spec(name)
        if spec is not None and (beginning := self._table[name][6]):
            names, place, length = beginning
            if length:
                self._codes.update(self._load(place, length))
            self._import(names)
        return spec

    def _spec(self, name: str) -> "ModuleSpec | None":
        entry = self._table.get(name)
        if entry is None and self._rest:
            seldom, other = marshal.loads(self._rest)  # noqa: S302
            self._table.update(seldom)
            self._table.update(other)
            self._deferred.update(other)
            self._rest = b""
            entry = self._table.get(name)
        if entry is None:
            return None
        source, changed, size, is_package, _, length, _ = entry
        try:
            status = posix.stat(source)
        except OSError:
            return None
        if status.st_size != size or int(status.st_mtime) != changed:
            return None
        loader = self if length else ExtensionFileLoader(name, source)
        spec: "ModuleSpec" = self._kind(name, loader, origin=source, is_package=is_package)  # type: ignore[arg-type]
        spec.has_location = True
        if is_package:
            spec.submodule_search_locations = [source.rpartition("/")[0]]
        return spec

    def _import(self, names: "Sequence[str]") -> None:
        """
        Import modules of which each needs none but those before it; its package may come after it.

        The import system takes as long to search for a module, and to begin it, as most of ours take to run. Where
        something is in the way, all that are left are imported one by one, and who does that gets to know.
        """
        specs = {name: self._spec(name) for name in names if name not in sys.modules}
        if None in specs.values():
            return
        begun: dict[str, "ModuleType"] = {}
        try:
            for name in specs:
                self.exec_module(begun.get(name) or self._begin(name, specs, begun))  # type: ignore[arg-type]
                del begun[name]
        except Exception:  # noqa: BLE001, S110
            pass
        for name in begun:
            del sys.modules[name]
            package, _, own_name = name.rpartition(".")
            if package in sys.modules:  # where `from package import own_name` would find it half made
                sys.modules[package].__dict__.pop(own_name, None)

    def _begin(self, name: str, specs: "dict[str, ModuleSpec]", begun: "dict[str, ModuleType]") -> "ModuleType":
        """A module, and its package, as before their code runs."""
        module = begun[name] = sys.modules[name] = type(sys)(name)
        spec = module.__spec__ = specs[name]
        package, _, own_name = name.rpartition(".")
        module.__loader__ = self  # type: ignore[assignment]
        module.__file__ = spec.origin
        module.__package__ = package
        if spec.submodule_search_locations is not None:
            module.__package__ = name
            module.__path__ = spec.submodule_search_locations
        if package:
            setattr(sys.modules.get(package) or self._begin(package, specs, begun), own_name, module)
        return module

    def create_module(self, spec: "ModuleSpec") -> None:
        """A module as every other."""

    def exec_module(self, module: "ModuleType") -> None:
        """
        Run its code; that of another package's module when something in the module is asked for (PEP 562).

        Of some that msgspec imports nothing ever is: textwrap, msgspec.inspect, msgspec.toml.
        """
        names = module.__dict__

        def run() -> None:
            exec(self.code(module.__name__), names)  # noqa: S102 (that is what an import is)

        def __getattr__(name: str) -> object:  # noqa: N807
            del names["__getattr__"]
            try:
                run()
            except BaseException:
                names["__getattr__"] = __getattr__
                raise
            return getattr(module, name)

        if module.__name__ in self._deferred:
            names["__getattr__"] = __getattr__
        else:
            run()

    def code(self, name: str) -> "CodeType":
        """The code of a module."""
        if name in self._codes:
            return self._codes.pop(name)
        code: "CodeType" = self._load(*self._table[name][4:6])
        return code

    def _load(self, place: int, length: int) -> "Any":
        return marshal.loads(posix.pread(self._fd, length, self._start + place))  # noqa: S302


def _above_standard(fd: int) -> int:
    """The descriptor behind the standard streams: the caller may have closed them."""
    import fcntl

    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        posix.close(fd)


def install(fd: int, head: "Head") -> None:
    """Import from this archive from now on; raises ValueError if this module has changed since it was written."""
    gc.disable()  # of which main() would be the first to do it, after its imports
    archive = Archive(fd, head)
    if archive.find_spec(NAME) is None:
        raise ValueError("another version of this module")
    sys.meta_path.insert(2, archive)  # what the interpreter has built in is not here
