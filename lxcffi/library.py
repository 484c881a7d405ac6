"""The liblxc at hand: its version and what it is able to do."""

from __future__ import annotations

from .errors import NotSupportedError
from .ffi import lib
from .text import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .text import Text

_version_number = 0


def version() -> str:
    """Version of liblxc, such as "5.0.2"; that of a development version has a tail."""
    return decode(lib.lxc_get_version())


def parse_version(text: str) -> int:
    """A version as a number that compares: "5.0.2" is 0x050002; a tail is ignored, missing parts are 0."""
    number = 0
    parts = text.split(".", 2)
    for index in range(3):
        digits = 0
        for character in parts[index] if index < len(parts) else "":
            if not "0" <= character <= "9":
                break
            digits = digits * 10 + int(character)
        number = number << 8 | min(digits, 255)
    return number


def format_version(number: int) -> str:
    """The text of a version number: 0x050002 is "5.0.2"."""
    return f"{number >> 16}.{number >> 8 & 255}.{number & 255}"


def version_number() -> int:
    """Version of liblxc as a number: 0x050002 for 5.0.2."""
    global _version_number
    if not _version_number:
        _version_number = parse_version(version())
    return _version_number


def require(member: str, container: str | None = None) -> None:
    """Raise NotSupportedError if a member of struct lxc_container is newer than the library.

    Such a member lies behind the end of the struct that the library has allocated: it must not even be read.
    """
    since: int = getattr(lib, f"SINCE_{member}")
    if version_number() < since:
        raise NotSupportedError(member, container=container, required=format_version(since), version=version())


def has_api_extension(extension: str) -> bool:
    """Tell whether liblxc has a named addition to its API, such as "time_namespace"."""
    return bool(lib.lxc_has_api_extension(encode(extension)))


def config_item_is_supported(key: Text) -> bool:
    """Tell whether liblxc knows a configuration item.

    The full key must be given: liblxc matches prefixes too.
    """
    return bool(lib.lxc_config_item_is_supported(encode(key)))
