"""The configuration of a container as values and lists of values."""

from __future__ import annotations

import os

from .ffi import lib
from .library import config_item_is_supported
from .text import decode, encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from .container import Container
    from .text import Text


class Config:
    """Configuration items of a container, lxc.container.conf(5), in memory until Container.save_config().

    An item is one value or a list of values. Setting replaces what was there, all of a list too; append() adds to
    a list. What liblxc does not take raises ConfigItemError, and leaves the item as it was.
    """

    __slots__ = ("_container",)

    def __init__(self, container: Container) -> None:
        self._container = container

    def get(self, key: Text) -> str:
        """Value of an item, "" if it is not set; the values of a list with newlines between them."""
        container = self._container
        c = container._pointer("get_config_item")  # noqa: SLF001 (the one that it is a part of)
        text = lib.container_config_text(c, encode(key))
        return decode(text).removesuffix("\n") if text else container.get_config_item(key)

    def values(self, key: Text) -> list[str]:
        """Values of an item that is a list; of another one its one value, or none if it is not set."""
        text = self.get(key)
        return text.split("\n") if text else []

    def set(self, key: Text, value: Text | Iterable[Text]) -> None:
        """Replace the value of an item, or all values of one that is a list."""
        container = self._container
        if type(value) is str:  # nearly always, and the fastest way
            c = container._pointer("set_config_item")  # noqa: SLF001 (the one that it is a part of)
            if lib.container_replace_config_item(c, encode(key), encode(value), 1, False) < 0:
                return
        container.replace_config_item(key, [value] if isinstance(value, (str, bytes, os.PathLike)) else list(value))

    def append(self, key: Text, value: Text) -> None:
        """Add a value to an item that is a list; another one gets it as its value."""
        self._container.set_config_item(key, value)

    def clear(self, key: Text) -> None:
        """Forget the value of an item, all values of a list."""
        self._container.clear_config_item(key)

    def keys(self, prefix: Text | None = None) -> list[str]:
        """Names of all items; with a prefix such as "lxc.net.0" the names of those below it, without the prefix."""
        return self._container.get_keys(prefix)

    def running(self, key: Text) -> str | None:
        """Value of an item in the running container, which was configured when it started.

        None if it does not run or the item cannot be had.
        """
        value = self._container.get_running_config_item(key)
        return None if value is None else value.removesuffix("\n")

    def __getitem__(self, key: Text) -> str:
        return self.get(key)

    def __setitem__(self, key: Text, value: Text | Iterable[Text]) -> None:
        self.set(key, value)

    def __delitem__(self, key: Text) -> None:
        self.clear(key)

    def __contains__(self, key: Text) -> bool:
        return config_item_is_supported(key) and self._container.get_config_item(key) != ""

    def __repr__(self) -> str:
        return f"<configuration of {self._container.name}>"
