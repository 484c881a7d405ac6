"""A terminal of a running container."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class Terminal:
    """The outer end of a container's terminal; nobody else gets the same terminal until it is closed.

    number  which one: 0 is /dev/console, n is /dev/ttyn
    """

    __slots__ = ("_descriptor", "_lease", "number")

    def __init__(self, number: int, descriptor: int, lease: int) -> None:
        self.number = number
        self._descriptor = descriptor
        self._lease = lease

    def fileno(self) -> int:
        """The descriptor to read from and to write to, -1 once it is closed."""
        return self._descriptor

    def close(self) -> None:
        """Give the terminal back. A second call does nothing."""
        for descriptor in (self._descriptor, self._lease):
            if descriptor >= 0:
                os.close(descriptor)
        self._descriptor = self._lease = -1

    def __del__(self) -> None:
        self.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
