"""Which containers there are."""

from __future__ import annotations

from . import log
from .errors import LxcError
from .ffi import ffi, lib
from .text import decode, encode, encode_optional, taken_string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from .container import Container
    from .text import Text

_FUNCTIONS = {
    (True, True): "list_all_containers",
    (True, False): "list_defined_containers",
    (False, True): "list_active_containers",
}


def _list(lxcpath: Text | None, defined: bool, active: bool, objects: bool) -> tuple[list[str], list[Container]]:
    if not (defined or active):
        return [], []
    function = _FUNCTIONS[defined, active]
    names = ffi.new("char ***")
    found = ffi.new("struct lxc_container ***") if objects else ffi.NULL
    ffi.errno = 0
    log.begin()
    count = getattr(lib, function)(encode_optional(lxcpath), names, found)
    if count < 0:
        path = None if lxcpath is None else decode(encode(lxcpath))
        raise LxcError(function, value=path, errno=ffi.errno, log=log.captured_errors())
    if count == 0:
        return [], []
    texts = [taken_string(names[0][index]) for index in range(count)]
    lib.free(names[0])
    containers = []
    if objects:
        from .container import Container

        containers = [Container.adopt(found[0][index]) for index in range(count)]
        lib.free(found[0])
    return texts, containers


def list_containers(lxcpath: Text | None = None, *, defined: bool = True, active: bool = True) -> list[str]:
    """Names of containers, sorted.

    lxcpath  directory that holds the containers' directories; None for liblxc's own
    defined  those that have a configuration
    active   those that run

    Raises LxcError if the directory cannot be read.
    """
    return sorted(_list(lxcpath, defined, active, objects=False)[0])


def containers(lxcpath: Text | None = None, *, defined: bool = True, active: bool = True) -> Iterator[Container]:
    """The containers that list_containers() names, as objects."""
    return iter(_list(lxcpath, defined, active, objects=True)[1])
