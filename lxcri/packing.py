"""Writes the archive that archive.py reads."""

from __future__ import annotations

import ast
import marshal
import os
from typing import TYPE_CHECKING

from .archive import NAME

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from types import CodeType

    from .archive import Beginning, Table


def modules_of(package: str, directory: str) -> Iterable[tuple[str, str]]:
    """Name and source of each module of a package in this directory."""
    for parent, _, names in os.walk(directory):
        prefix = package + parent.removeprefix(directory).replace("/", ".")
        for name in sorted(names):
            if name == "__init__.py":
                yield prefix, os.path.join(parent, name)
            elif name.endswith(".py"):
                yield f"{prefix}.{name.removesuffix('.py')}", os.path.join(parent, name)


def compiled(text: bytes, source: str) -> CodeType:
    """
    The code of this text, which is that of the file source, without what only takes time to load.

    That is docstrings, as with -OO, and the import of the module __future__: its statement is for the compiler.
    """
    import __future__

    tree = ast.parse(text, source)
    flags = 0
    for statement in list(tree.body):
        if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
            tree.body.remove(statement)
            for feature in statement.names:
                flags |= getattr(__future__, feature.name).compiler_flag
    code: CodeType = compile(tree, source, "exec", flags, dont_inherit=True, optimize=2)
    return code


def write(
    path: str,
    modules: Iterable[tuple[str, str]],
    rest: Iterable[tuple[str, str]] = (),
    first: Mapping[str, Sequence[str]] | None = None,
    everywhere: str = "",
    extensions: Iterable[tuple[str, str]] = (),
) -> int:
    """
    Write modules, each with its source, to the file at path; returns how long its head is. Raises OSError.

    The rest are others' modules, which do not run before something in them is asked for.

    first: what the import of some of them begins with, in an order in which each needs none but those before it
    everywhere: which of those is always imported: its code and theirs are in the head
    extensions: compiled modules of others and of ours, each with its file: where they are
    """
    modules, rest = list(modules), list(rest)
    sources = dict([*modules, *rest])
    codes: dict[str, CodeType] = {}
    statuses: dict[str, os.stat_result] = {}
    for name, source in sources.items():
        with open(source, "rb") as file:
            statuses[name] = os.fstat(file.fileno())
            codes[name] = compiled(file.read(), source)
    deferred = {name for name, _ in rest}
    head: dict[str, CodeType] = {}
    blobs: list[bytes] = []
    size = 0

    def add(value: CodeType | dict[str, CodeType]) -> tuple[int, int]:
        nonlocal size
        blobs.append(marshal.dumps(value))
        size += len(blobs[-1])
        return size - len(blobs[-1]), len(blobs[-1])

    beginnings: dict[str, Beginning] = {}
    for name, names in sorted((first or {}).items(), key=lambda item: item[0] != everywhere):
        place = length = 0
        if name == everywhere:
            head = {n: codes[n] for n in [*names, name]}
        elif deferred.isdisjoint(names):
            place, length = add({n: codes[n] for n in [*names, name] if n not in head})
        # Of many modules it is better to load one, and run it, than to load all.
        beginnings[name] = tuple(names), place, length
    table: Table = {}
    for name, source in sources.items():
        status = statuses[name]
        is_package = os.path.basename(source) == "__init__.py"
        place, length = add(codes[name])
        table[name] = source, int(status.st_mtime), status.st_size, is_package, place, length, beginnings.get(name)
    for name, binary in extensions:
        status = os.stat(binary)
        table[name] = binary, int(status.st_mtime), status.st_size, False, 0, 0, None
    # What takes others' modules needs the second table anyway.
    soon = {NAME}.union(*({name, *names} for name, (names, *_) in beginnings.items() if deferred.isdisjoint(names)))
    own = {name: row for name, row in table.items() if name in soon}
    seldom = {name: row for name, row in table.items() if name not in soon and name not in deferred}
    other = {name: row for name, row in table.items() if name in deferred}
    parts = own, marshal.dumps((seldom, other)), head
    start = len(marshal.dumps((codes.get(NAME), 0, *parts)))  # any number takes as many bytes
    os.makedirs(os.path.dirname(path), exist_ok=True)
    temporary = f"{path}.{os.getpid()}"
    with open(temporary, "wb") as archive:
        archive.write(marshal.dumps((codes.get(NAME), start, *parts)))
        archive.writelines(blobs)
    os.replace(temporary, path)
    return start
