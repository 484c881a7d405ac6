"""The liblxc at hand: its version and what it is able to do."""

from __future__ import annotations

from .errors import ConfigItemError, NotSupportedError
from .ffi import ffi, lib
from .text import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .text import Text


def version() -> str:
    """Version of liblxc, such as "5.0.2"; that of a development version has a tail."""
    return decode(lib.lxc_get_version())


def version_number() -> int:
    """Version of liblxc as a number: 0x050002 for 5.0.2."""
    number: int = lib.get_library_version()
    return number


def format_version(number: int) -> str:
    """The text of a version number: 0x050002 is "5.0.2"."""
    return f"{number >> 16}.{number >> 8 & 255}.{number & 255}"


def require(operation: str, since: int, container: str | None = None) -> None:
    """Raise NotSupportedError if the library is older than what is asked of it, as 0xMMmmuu."""
    if version_number() < since:
        raise NotSupportedError(operation, container=container, required=format_version(since), version=version())


def has_api_extension(extension: Text) -> bool:
    """Tell whether liblxc has a named addition to its API, such as "time_namespace"."""
    return bool(lib.lxc_has_api_extension(encode(extension)))


def config_item_is_supported(key: Text) -> bool:
    """Tell whether liblxc knows a configuration item.

    The full key must be given: liblxc matches prefixes too.
    """
    return bool(lib.lxc_config_item_is_supported(encode(key)))


def global_config_item(key: Text) -> str:
    """Value of an item of lxc.conf, or its default: lxc.lxcpath, lxc.default_config, lxc.bdev.lvm.vg and others.

    Raises ConfigItemError for an item that liblxc does not know.
    """
    ffi.errno = 0
    value = lib.lxc_get_global_config_item(encode(key))
    if value == ffi.NULL:
        raise ConfigItemError("lxc_get_global_config_item", key=decode(encode(key)), errno=ffi.errno)
    return decode(value)


def wait_states() -> list[str]:
    """The states that Container.wait() knows."""
    count = lib.lxc_get_wait_states(ffi.NULL)
    states = ffi.new("const char *[]", count)
    lib.lxc_get_wait_states(states)
    return [decode(state) for state in states]


STATES = tuple(wait_states())
"""Names of the states by their numbers."""
