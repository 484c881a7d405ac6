"""What every use of a container of liblxc has in common, and all that starting one takes."""

from __future__ import annotations

from . import log
from .errors import ConfigItemError, LxcError, NotSupportedError, ReleasedError, StartError
from .ffi import ffi, lib
from .library import format_version, version, version_number
from .text import decode, encode, encode_optional, string_array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from ._lxc import CData
    from .text import Text


class Handle:
    """One container, by name below a configuration path; it need not exist.

    name     name of the container
    lxcpath  directory that holds the containers' directories; None for liblxc's own (lxc.lxcpath)

    liblxc reads the container's configuration if there is one. It makes a directory named after lxcpath, for
    root below /run/lxc/lock, and never removes it. The object is freed by release(), at the end of a with
    block, or with the last reference to it; a call that another thread is in ends first. liblxc locks the
    container for each call, so threads may share it, but not what they configure.
    """

    __slots__ = ("__weakref__", "_c", "name")

    name: str
    _c: CData | None

    def __init__(self, name: Text, lxcpath: Text | None = None) -> None:
        encoded = encode(name)
        self.name = name if type(name) is str else decode(encoded)
        self._c = None
        ffi.errno = 0
        log.begin()
        pointer = lib.lxc_container_new(encoded, encode_optional(lxcpath))
        if not pointer:
            errno = ffi.errno
            raise LxcError("lxc_container_new", container=self.name, errno=errno, log=log.captured_errors())
        self._c = ffi.gc(pointer, lib.lxc_container_put)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exception_type: type[BaseException] | None,
        exception: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.release()

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def release(self) -> None:
        """Give the object back to liblxc; the container itself is not touched. A second call does nothing."""
        self._c = None

    def _pointer(self, operation: str) -> CData:
        """The object in C, for an operation that is about to be called."""
        if self._c is None:
            raise ReleasedError(operation, container=self.name, reason="the object has been released")
        if log.captured >= 0:
            log.begin()
        return self._c

    def _is_configured(self) -> bool:
        """Whether liblxc has a configuration at all: none before the first item and after clear_config()."""
        return self._c is not None and self._c.lxc_conf != ffi.NULL

    def _error(
        self,
        kind: type[LxcError],
        operation: str,
        key: Text | None = None,
        value: Text | None = None,
        reason: str | None = None,
    ) -> LxcError:
        """The error of the call that has just failed."""
        errno = ffi.errno
        since: int = getattr(lib, f"SINCE_{operation}", 0)
        if version_number() < since:
            return NotSupportedError(operation, container=self.name, required=format_version(since), version=version())
        if reason is None and not self._is_configured():
            reason = "it has no configuration"
        return kind(
            operation,
            container=self.name,
            key=None if key is None else decode(encode(key)),
            value=None if value is None else decode(encode(value)),
            error_number=self.error_number,
            errno=errno,
            log=log.captured_errors(),
            reason=reason,
        )

    def set_config_item(self, key: Text, value: Text) -> None:
        """Set an item; one that is a list gets the value added. Raises ConfigItemError."""
        c = self._pointer("set_config_item")
        if not lib.container_set_config_item(c, encode(key), encode(value)):
            raise self._error(ConfigItemError, "set_config_item", key, value)

    def clear_config(self) -> None:
        """Forget the values of all items."""
        lib.container_clear_config(self._pointer("clear_config"))

    def want_daemonize(self, wanted: bool) -> None:
        """Let start() go on in the background, which is liblxc's default, or not.

        Raises LxcError, always for a container without a configuration: an item must be set before.
        """
        c = self._pointer("want_daemonize")
        if not lib.container_want_daemonize(c, wanted):
            raise self._error(LxcError, "want_daemonize")

    def start(self, argv: Iterable[Text] | None = None) -> None:
        """Start the container with a command, or with its lxc.init.cmd.

        In the background it returns when the container runs. In the foreground it returns when the container
        has ended, and error_number is its wait status; the process must have one thread only.
        Raises StartError.
        """
        self._start(argv, useinit=False)

    def _start(self, argv: Iterable[Text] | None, *, useinit: bool) -> None:
        c = self._pointer("start")
        if argv is None:
            started = lib.container_start(c, useinit, ffi.NULL)
        else:
            array, strings = string_array(argv)
            started = lib.container_start(c, useinit, array)
            del strings
        if not started:
            raise self._error(StartError, "start")

    @property
    def error_number(self) -> int:
        """liblxc's error_num: after start() in the foreground the wait status of the container's init.

        0 for exit status 0, n << 8 for exit status n, and, unlike wait(2), signal << 8 | 0x7f for death by a
        signal; 1 if the container did not start.
        """
        if self._c is None:
            raise ReleasedError("error_num", container=self.name, reason="the object has been released")
        number: int = self._c.error_num
        return number
