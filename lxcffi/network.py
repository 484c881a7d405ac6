"""The networks that a container is configured with, and the interfaces that a running one has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, overload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from .container import Container
    from .text import Text


_MAX_INDEX = 1 << 16
"""Far more networks than a container has."""


class Interface(NamedTuple):
    """A network interface in a running container, with its addresses."""

    name: str
    ipv4: tuple[str, ...]
    ipv6: tuple[str, ...]


class Network:
    """One lxc.net.INDEX: items are named without that prefix, such as "type", "link" or "ipv4.address"."""

    __slots__ = ("_container", "index")

    def __init__(self, container: Container, index: int) -> None:
        self._container = container
        self.index = index

    def _key(self, name: str) -> str:
        return f"lxc.net.{self.index}.{name}"

    @property
    def type(self) -> str:
        """empty, veth, macvlan and so on."""
        return self.get("type")

    def get(self, name: str) -> str:
        """Value of an item, "" if it is not set."""
        return self._container.config.get(self._key(name))

    def values(self, name: str) -> list[str]:
        """Values of an item that is a list, such as ipv4.address."""
        return self._container.config.values(self._key(name))

    def set(self, name: str, value: Text | Iterable[Text]) -> None:
        """Replace the value of an item, or all values of one that is a list."""
        self._container.config.set(self._key(name), value)

    def append(self, name: str, value: Text) -> None:
        """Add a value to an item that is a list."""
        self._container.config.append(self._key(name), value)

    def clear(self, name: str) -> None:
        """Forget the value of an item."""
        self._container.config.clear(self._key(name))

    def keys(self) -> list[str]:
        """Names of the items that this type of network has."""
        return self._container.get_keys(f"lxc.net.{self.index}")

    def __getitem__(self, name: str) -> str:
        return self.get(name)

    def __setitem__(self, name: str, value: Text | Iterable[Text]) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        self.clear(name)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Network):
            return NotImplemented
        return (self._container, self.index) == (other._container, other.index)

    def __hash__(self) -> int:
        return hash((id(self._container), self.index))

    def __repr__(self) -> str:
        return f"<lxc.net.{self.index} of {self._container.name}>"


class Networks(Sequence[Network]):
    """The networks of a container's configuration, in the order of their indices, which may have gaps."""

    __slots__ = ("_container",)

    def __init__(self, container: Container) -> None:
        self._container = container

    def _indices(self) -> Iterator[int]:
        left = len(self)
        for index in range(_MAX_INDEX):
            if not left:
                return
            if self._is_used(index):
                yield index
                left -= 1

    def _is_used(self, index: int) -> bool:
        return self._container.has_keys(f"lxc.net.{index}")

    def __len__(self) -> int:
        # liblxc has a line for each network, an empty one for a network without a type.
        return self._container.get_config_item("lxc.net").count("\n")

    @overload
    def __getitem__(self, position: int) -> Network: ...
    @overload
    def __getitem__(self, position: slice) -> list[Network]: ...
    def __getitem__(self, position: int | slice) -> Network | list[Network]:
        networks = list(self)
        return networks[position]

    def __iter__(self) -> Iterator[Network]:
        return (Network(self._container, index) for index in self._indices())

    def add(self, type: Text, items: Mapping[str, Text | Iterable[Text]] | None = None) -> Network:
        """Add a network of a type, at the first index that is free, with further items.

        Raises ConfigItemError, and then no network is added.
        """
        index = 0
        while self._is_used(index):
            index += 1
        network = Network(self._container, index)
        try:
            self._container.set_config_item(f"lxc.net.{index}.type", type)
            for name, value in (items or {}).items():
                network.set(name, value)
        except BaseException:
            self.remove(network)
            raise
        return network

    def remove(self, network: Network) -> None:
        """Remove a network from the configuration."""
        self._container.clear_config_item(f"lxc.net.{network.index}")
