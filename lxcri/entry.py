"""Writes the command `lxcri`: python3 -m lxcri.entry PATH.

The script that pip writes for an entry point starts Python with site and with the caller's PYTHON* variables.
This one starts it isolated and without site (-IS): that is faster, and a root program must not listen to
variables. The paths in it are absolute, since engines run a runtime with an empty environment.
"""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import sysconfig
from importlib.util import find_spec

from . import archive

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

SHEBANG_MAX_BYTES = 127
"""What the kernel reads of a first line, before Linux 5.1; it cuts the rest off, or refuses."""

PACKED = ("lxcri", "lxcffi")
BEGINNINGS = {
    "lxcri.__main__": (),
    **{f"lxcri.verbs.{verb}": () for verb in ("create", "start", "state", "kill", "delete", "exec")},
    "lxcri.bundle": ("lxcri.host", "lxcri.launch", "lxcri.linux"),
}
"""Modules whose import takes many others, and those that are imported right after them."""
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
    if name not in before and spec and spec.has_location and spec.origin.endswith(".py"):
        print(name, spec.origin)
"""
"""Prints the names and sources of the modules that importing some takes, in the order in which they are complete."""
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


def program(paths: list[str], archive_path: str = "") -> str:
    """The Python program, without a first line; with the path of an archive it imports what it can from there.

    The archive's own module is the first thing in it, so that nothing needs to be searched for.
    """
    lines = ["import gc", "import sys", "", "gc.disable()", f"sys.path += {paths!r}", ""]
    if archive_path:
        lines += [
            "try:",
            "    from marshal import loads",
            "",
            f"    with open({archive_path!r}, 'rb', 0) as file:",
            f"        data = file.read({archive.FIRST_READ})",
            f"    names = {{'__name__': {archive.NAME!r}, '__file__': {archive.__file__!r}}}",
            f"    exec(loads(loads(data[{archive.LENGTH}:])[0]), names)",
            f"    names['install']({archive_path!r}, data)",
            "except (OSError, ValueError, EOFError, TypeError):",
            "    pass",
            "",
        ]
    return "\n".join([*lines, "from lxcri.__main__ import main", "", "main()", ""])


def fits_shebang(python: str) -> bool:
    """Tell whether an interpreter's path can stand in a script's first line, followed by -IS."""
    return len(os.fsencode(f"#!{python} -IS\n")) <= SHEBANG_MAX_BYTES and not any(map(str.isspace, python))


def write(path: str, python: str, paths: list[str], archive_path: str = "") -> None:
    """Write an executable script that runs lxcri with an interpreter, the packages being in the given paths.

    An interpreter whose path does not fit into a first line is run by /bin/sh, and the program lies beside
    the script, as PATH.py.
    """
    if fits_shebang(python):
        replace(path, f"#!{python} -IS\n{program(paths, archive_path)}")
    else:
        replace(f"{path}.py", program(paths, archive_path))
        command = shlex.join([python, "-IS", f"{path}.py"])
        replace(path, f'#!/bin/sh\nexec {command} "$@"\n')


def imported(modules: Iterable[str]) -> dict[str, str]:
    """The source of each module that importing these takes, in an order in which each needs none but those before."""
    listing = subprocess.run(
        [sys.executable, "-IS", "-c", IMPORTED, " ".join(modules), *package_paths()],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    sources = dict(line.split(" ", 1) for line in listing.stdout.splitlines())
    sources.pop("__future__", None)  # which is for the compiler
    return sources


def packed() -> tuple[list[tuple[str, str]], list[tuple[str, str]], dict[str, list[str]]]:
    """What archive.write() takes: our own modules, and what `create` imports of others'."""
    own = {
        module: source
        for name in PACKED
        if (spec := find_spec(name)) and spec.origin
        for module, source in archive.modules_of(name, os.path.dirname(spec.origin))
    }
    others: dict[str, str] = {}
    first: dict[str, list[str]] = {}
    for name, following in BEGINNINGS.items():
        sources = imported([name, *following])
        others.update((module, source) for module, source in sources.items() if module not in own)
        first[name] = [module for module in sources if module != name]
    return list(own.items()), list(others.items()), first


def write_archive() -> None:
    """Write the archive of modules, where the package's directory can be written."""
    try:
        archive.write(archive.PATH, *packed())
    except OSError as e:
        sys.stderr.write(f"lxcri.entry: {archive.PATH}: {e.strerror}; without it the command starts more slowly\n")


def replace(path: str, text: str) -> None:
    """Write an executable file under a temporary name and move it into place: it may be running."""
    temporary = f"{path}.new"
    with open(temporary, "w", encoding="utf-8", errors="surrogateescape") as file:
        file.write(text)
    os.chmod(temporary, 0o755)  # noqa: S103 - a command is for everyone
    os.replace(temporary, path)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python3 -m lxcri.entry PATH")
    # Not the link in a virtual environment, from which Python would go and look for its library.
    write(os.path.abspath(sys.argv[1]), os.path.realpath(sys.executable), package_paths(), archive.PATH)
    write_archive()
