"""
The compiled modules of lxcri and lxcffi, and of what they need of other packages, in one file, which saves their import
most of its system calls.

`python3 -m lxcri.entry` writes it beside the .pyc files, and the command uses it if it is there. It holds as much as
they do: a module whose source has another size or time of change since is imported as ever.
"""

# Not `from __future__ import annotations`: before this runs that module would not come from the archive.
import marshal
import posix
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from importlib.machinery import ModuleSpec
    from types import CodeType, ModuleType

PATH = f"{__file__.rpartition('/')[0]}/__pycache__/lxcri.{sys.implementation.cache_tag}.archive"
LENGTH = 8
"""Bytes of the length of what follows first: this module's code, a table, and, encoded again since most
verbs do not need it, another one. Then comes all other code."""
FIRST_READ = 32768
NAME = "lxcri.archive"


class Archive:
    """
    A finder and loader of the modules in the file at path; raises OSError or ValueError if there is none.

    data is what the file begins with, if it has been read.

    The table has of each module: source, its time of change in seconds, its size, whether it is a package, place and
    length of its code, and the modules that its import begins with.
    """

    def __init__(self, path: str, data: bytes = b"") -> None:
        self._fd = _open(path)
        data = data or posix.read(self._fd, FIRST_READ)
        self._start = LENGTH + int.from_bytes(data[:LENGTH], sys.byteorder)
        if self._start > len(data):
            data += posix.pread(self._fd, self._start - len(data), len(data))
        try:
            _, self._table, self._rest = marshal.loads(memoryview(data)[LENGTH : self._start])  # noqa: S302 (as a .pyc file)
        except (EOFError, TypeError) as e:
            raise ValueError(str(e)) from None
        self._deferred: "set[str]" = set()
        self._kind = type(sys.__spec__)

    def find_spec(self, name: str, *_: object) -> "ModuleSpec | None":
        """The module, if it is here and its source has not changed."""
        spec = self._spec(name)
        if spec is not None and (first := self._table[name][6]):
            self._import(first)
        return spec

    def _spec(self, name: str) -> "ModuleSpec | None":
        entry = self._table.get(name)
        if entry is None and self._rest:
            rest = marshal.loads(self._rest)  # noqa: S302
            self._table.update(rest)
            self._deferred.update(rest)
            self._rest = b""
            entry = self._table.get(name)
        if entry is None:
            return None
        source, changed, size, is_package, *_ = entry
        try:
            status = posix.stat(source)
        except OSError:
            return None
        if status.st_size != size or int(status.st_mtime) != changed:
            return None
        spec: "ModuleSpec" = self._kind(name, self, origin=source, is_package=is_package)  # type: ignore[arg-type]
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
        place, length = self._table[name][4:6]
        code: "CodeType" = marshal.loads(posix.pread(self._fd, length, self._start + place))  # noqa: S302
        return code


def _open(path: str) -> int:
    """Open a file to be read, behind the standard streams: the caller may have closed them."""
    fd = posix.open(path, posix.O_RDONLY | posix.O_CLOEXEC)
    if fd > 2:
        return fd
    import fcntl

    try:
        return fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 3)
    finally:
        posix.close(fd)


def modules_of(package: str, directory: str) -> "Iterable[tuple[str, str]]":
    """Name and source of each module of a package in this directory."""
    import os

    for parent, _, names in os.walk(directory):
        prefix = package + parent.removeprefix(directory).replace("/", ".")
        for name in sorted(names):
            if name == "__init__.py":
                yield prefix, os.path.join(parent, name)
            elif name.endswith(".py"):
                yield f"{prefix}.{name.removesuffix('.py')}", os.path.join(parent, name)


def compiled(text: bytes, source: str) -> "CodeType":
    """
    The code of this text, which is that of the file source, without what only takes time to load.

    That is docstrings, as with -OO, and the import of the module __future__: its statement is for the compiler.
    """
    import __future__

    import ast

    tree = ast.parse(text, source)
    flags = 0
    for statement in list(tree.body):
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            tree.body.remove(statement)
            for feature in statement.names:
                flags |= getattr(__future__, feature.name).compiler_flag
    code: "CodeType" = compile(tree, source, "exec", flags, dont_inherit=True, optimize=2)
    return code


def write(
    path: str,
    modules: "Iterable[tuple[str, str]]",
    rest: "Iterable[tuple[str, str]]" = (),
    first: "Mapping[str, Sequence[str]] | None" = None,
) -> None:
    """
    Write modules, each with its source, to the file at path, those of the rest in a second table; raises OSError.

    first: what the import of some of them begins with, in an order in which each needs none but those before it
    """
    import os

    own = b""
    table: dict[str, tuple[str, int, int, bool, int, int, Sequence[str]]] = {}
    count = len(modules := list(modules))
    codes = b""
    for module, source in [*modules, *rest]:
        with open(source, "rb") as file:
            status = os.fstat(file.fileno())
            code = marshal.dumps(compiled(file.read(), source))
        if module == NAME:
            own = code
        is_package = os.path.basename(source) == "__init__.py"
        begins = (first or {}).get(module, ())
        table[module] = source, int(status.st_mtime), status.st_size, is_package, len(codes), len(code), begins
        codes += code
    entries = list(table.items())
    index = marshal.dumps((own, dict(entries[:count]), marshal.dumps(dict(entries[count:]))))
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(len(index).to_bytes(LENGTH, sys.byteorder) + index + codes)
    os.replace(temporary, path)


def install(path: str, data: bytes = b"") -> None:
    """Import from the archive at path from now on; raises OSError or ValueError if it is none or not of this code."""
    archive = Archive(path, data)
    if data and archive.find_spec(NAME) is None:
        raise ValueError("another version of this module")
    sys.meta_path.insert(2, archive)  # what the interpreter has built in is not here
