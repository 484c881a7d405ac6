"""With blocks at whose end something is put back."""

from __future__ import annotations

from contextlib import contextmanager

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import TypeVar

    from .container import Container
    from .text import Text

    C = TypeVar("C", bound=Container)


@contextmanager
def frozen(container: C) -> Iterator[C]:
    """A container that is frozen meanwhile."""
    container.freeze()
    try:
        yield container
    finally:
        container.unfreeze()


@contextmanager
def started(container: C, argv: Iterable[Text] | None) -> Iterator[C]:
    """A container that runs meanwhile; at the end it is killed, unless it has ended or the object is released."""
    container.start(argv)
    try:
        yield container
    finally:
        if container._c is not None and container.is_running:  # noqa: SLF001 (the package's own)
            container.stop()
