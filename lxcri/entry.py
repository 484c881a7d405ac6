"""Writes the command `lxcri`: python3 -m lxcri.entry PATH.

The script that pip writes for an entry point starts Python with site and with the caller's PYTHON* variables.
This one starts it isolated and without site (-IS): that is faster, and a root program must not listen to
variables. The paths in it are absolute, since engines run a runtime with an empty environment.
"""

from __future__ import annotations

import marshal
import os
import shlex
import subprocess
import sys
import sysconfig
from importlib.util import MAGIC_NUMBER, find_spec

from . import archive, packing

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SHEBANG_MAX_BYTES = 127
"""What the kernel reads of a first line, before Linux 5.1; it cuts the rest off, or refuses."""

PROGRAM = "lxcri_command"
IMPORT = f"-IScimport {PROGRAM}"
"""With it the interpreter does not read, parse and compile a script."""

PACKED = ("lxcri", "lxcffi")
EVERYWHERE = "lxcri.__main__"
BEGINNINGS: dict[str, tuple[str, tuple[str, ...]]] = {
    EVERYWHERE: ("", ()),
    **{f"lxcri.verbs.{verb}": (EVERYWHERE, ()) for verb in ("create", "start", "state", "kill", "delete", "exec")},
    "lxcri.bundle": ("lxcri.verbs.create", ("lxcri.host", "lxcri.launch", "lxcri.linux")),
    "lxcffi.handle": ("", ()),
}
"""Modules whose import takes many others, which of them is imported before, and what is imported right after."""
IMPORTED = """
import sys
modules = sys.argv.pop(1).split()
before = set(sys.modules)
sys.path += sys.argv[1:]
sys.modules["typing_extensions"] = None
for name in modules:
    __import__(name)
for name, module in sys.modules.items():
    spec = getattr(module, "__spec__", None)
    if name not in before and spec and spec.has_location:
        print(name, spec.origin)
"""
"""Prints the names and files of the modules that importing some takes, in the order in which they are complete."""
LIBRARY = "import os, sys; print(sys.platlibdir, os.path.dirname(os.__file__), *sys.path, sep='\\n')"
"""Prints the name of the directory that libraries are in, the directory of Python's own, and where modules are."""
MODULES = ("lxcri", "lxcffi", "msgspec", "click", "cffi", "_cffi_backend")


def package_paths() -> list[str]:
    """Directories that the packages are imported from and that Python does not search without site."""
    paths: dict[str, None] = {}
    for name in MODULES:
        spec = find_spec(name)
        if spec is None or spec.origin is None:
            raise SystemExit(f"lxcri.entry: the package {name} is not installed")
        directory = os.path.dirname(spec.origin)
        paths[os.path.dirname(directory) if spec.submodule_search_locations else directory] = None
    without_site = {sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib")}
    return [path for path in paths if path not in without_site]


def program(paths: list[str], archive_path: str = "", head_bytes: int = 0) -> str:
    """The Python program, without a first line; with an archive, and the length of its head, it imports from there.

    The archive's own module is the first thing in it, so that nothing needs to be searched for.
    """
    lines = ["import sys", "", f"sys.path += {paths!r}"]
    if archive_path:
        lines += [
            "try:",
            "    import marshal",
            "    import posix",
            f"    fd = posix.open({archive_path!r}, posix.O_RDONLY | posix.O_CLOEXEC)",
            f"    head = marshal.loads(posix.read(fd, {head_bytes}))",
            f"    names = {{'__name__': {archive.NAME!r}, '__file__': {archive.__file__!r}}}",
            "    exec(head[0], names)",
            "    names['install'](fd, head)",
            "except (OSError, ValueError, EOFError, TypeError):",
            "    pass",
        ]
    return "\n".join([*lines, "from lxcri.__main__ import main", "", "main()", ""])


def write_interpreter(directory: str, python: str) -> None:
    """
    Give an interpreter a directory of its own, from which it starts faster.

    A ._pth file says what it imports from, instead of a search, and first of all it finds there what each start
    imports, without reading the long list of the standard library (docs.python.org, "The initialization of the
    sys.path module search path"). Raises OSError.
    """
    name = os.path.basename(python)
    listing = subprocess.run(
        [python, "-IS", "-c", LIBRARY], check=True, capture_output=True, text=True,
    )  # fmt: skip
    platlibdir, stdlib, *paths = listing.stdout.splitlines()
    lib = os.path.join(directory, platlibdir)
    os.makedirs(lib, exist_ok=True)
    path = os.path.join(directory, name)
    link(python, path)
    link(os.path.join(stdlib, "encodings"), os.path.join(directory, "encodings"))
    link(stdlib, os.path.join(lib, os.path.basename(stdlib)))  # where its prefix says that its library is
    replace(f"{path}._pth", "".join(f"{line}\n" for line in [directory, *filter(os.path.exists, paths)]), 0o644)


def link(target: str, path: str) -> None:
    """Make or replace a symbolic link; who uses it meanwhile finds the old one or the new one."""
    temporary = f"{path}.{os.getpid()}"
    os.symlink(target, temporary)
    os.replace(temporary, path)


def fits_shebang(python: str, options: str = "-IS") -> bool:
    """Tell whether an interpreter's path can stand in a script's first line, followed by these options."""
    return len(os.fsencode(f"#!{python} {options}\n")) <= SHEBANG_MAX_BYTES and not any(map(str.isspace, python))


def write(path: str, python: str, paths: list[str], archive_path: str = "", head_bytes: int = 0) -> None:
    """Write an executable script that runs lxcri with an interpreter, the packages being in the given paths.

    An interpreter whose path does not fit into a first line is run by /bin/sh, and the program lies beside
    the script, as PATH.py.
    """
    text = program(paths, archive_path, head_bytes)
    if fits_shebang(python):
        replace(path, f"#!{python} -IS\n{text}")
    else:
        replace(f"{path}.py", text)
        command = shlex.join([python, "-IS", f"{path}.py"])
        replace(path, f'#!/bin/sh\nexec {command} "$@"\n')


def write_faster(path: str, python: str, paths: list[str], archive_path: str = "", head_bytes: int = 0) -> bool:
    """
    Write the same in two: a first line, and, in a directory of the interpreter's own, the compiled program.

    The directory is lib/lxcri beside the bin that the script is in. Returns whether that can be.
    """
    prefix, name = os.path.split(os.path.dirname(path))
    directory = os.path.join(prefix, "lib", "lxcri")
    own = os.path.join(directory, os.path.basename(python))
    if name not in ("bin", "sbin") or not fits_shebang(own, IMPORT):
        return False
    text = program(paths, archive_path, head_bytes)
    code = compile(f"import sys\ndel sys.argv[0]\n{text}", PROGRAM, "exec", optimize=2)
    try:
        write_interpreter(directory, python)
        header = MAGIC_NUMBER + bytes(12)  # as that of a .pyc file without a source
        replace(os.path.join(directory, f"{PROGRAM}.pyc"), header + marshal.dumps(code), 0o644)
    except OSError as e:
        complain(directory, e)
        return False
    replace(path, f"#!{own} {IMPORT}\n# The program is {directory}/{PROGRAM}.pyc, which lxcri.entry wrote.\n")
    return True


def imported(modules: Iterable[str]) -> dict[str, str]:
    """The file of each module that importing these takes, in an order in which each needs none but those before."""
    listing = subprocess.run(
        [sys.executable, "-IS", "-c", IMPORTED, " ".join(modules), *package_paths()],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    files = dict(line.split(" ", 1) for line in listing.stdout.splitlines())
    files.pop("__future__", None)  # which is for the compiler
    return files


def write_archive(path: str) -> int:
    """Write the archive of our own modules, and of what `create` imports of others'; as packing.write()."""
    own = {
        module: source
        for name in PACKED
        if (spec := find_spec(name)) and spec.origin
        for module, source in packing.modules_of(name, os.path.dirname(spec.origin))
    }
    others: dict[str, str] = {}
    extensions: dict[str, str] = {}
    first: dict[str, list[str]] = {}
    for name, (before, following) in BEGINNINGS.items():
        files = imported([name, *following])
        sources = {module: file for module, file in files.items() if file.endswith(".py")}
        others.update((module, source) for module, source in sources.items() if module not in own)
        extensions.update((module, file) for module, file in files.items() if module not in sources)
        there = {name}
        earlier = before
        while earlier:
            there.update((earlier, *first[earlier]))
            earlier, _ = BEGINNINGS[earlier]
        first[name] = [module for module in sources if module not in there]
    return packing.write(
        path, own.items(), others.items(), first=first, everywhere=EVERYWHERE, extensions=extensions.items()
    )


def complain(path: str, e: OSError) -> None:
    """Say that something that only makes it faster could not be written."""
    sys.stderr.write(f"lxcri.entry: {path}: {e.strerror}; without it the command starts more slowly\n")


def replace(path: str, data: str | bytes, mode: int = 0o755) -> None:
    """Write a file, an executable by default, under a temporary name and move it into place: it may be running."""
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as file:
        file.write(data if isinstance(data, bytes) else data.encode("utf-8", "surrogateescape"))
    os.chmod(temporary, mode)
    os.replace(temporary, path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python3 -m lxcri.entry PATH")
    try:
        packed = archive.PATH, write_archive(archive.PATH)
    except OSError as e:  # where the package's directory cannot be written
        complain(archive.PATH, e)
        packed = "", 0
    # Not the link in a virtual environment, from which Python would go and look for its library.
    words = os.path.abspath(sys.argv[1]), os.path.realpath(sys.executable), package_paths(), *packed
    if not write_faster(*words):
        write(*words)
