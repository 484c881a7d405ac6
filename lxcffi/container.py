"""A container of liblxc."""

from __future__ import annotations

from . import log
from .errors import ConfigItemError, LxcError, ReleasedError, StartError
from .ffi import ffi, lib
from .library import config_item_is_supported, require
from .text import decode, encode, encode_optional, string_array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType
    from typing import Self

    from ._lxc import CData
    from .text import Text


class Container:
    """One container, by name below a configuration path; it need not exist.

    name     name of the container
    lxcpath  directory that holds the containers' directories; None for liblxc's own (lxc.lxcpath)

    liblxc reads the container's configuration if there is one. It makes a directory named after lxcpath, for
    root below /run/lxc/lock, and never removes it. The object is freed by release(), at the end of a with
    block, or with the last reference to it. Not safe to be used by two threads at once.
    """

    __slots__ = ("__weakref__", "_c", "name")

    name: str
    _c: CData | None

    def __init__(self, name: Text, lxcpath: Text | None = None) -> None:
        encoded = encode(name)
        self.name = decode(encoded)
        self._c = None
        pointer = lib.lxc_container_new(encoded, encode_optional(lxcpath))
        if pointer == ffi.NULL:
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
        return f"Container({self.name!r})"

    def release(self) -> None:
        """Give the object back to liblxc; the container itself is not touched. A second call does nothing."""
        pointer, self._c = self._c, None
        if pointer is not None:
            ffi.release(pointer)

    def _pointer(self, operation: str) -> CData:
        """The object in C, for an operation that is about to be called."""
        if self._c is None:
            raise ReleasedError(operation, container=self.name, reason="the object has been released")
        # liblxc does not set errno in every failure: what an error shows must not be older than the call.
        ffi.errno = 0
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
    ) -> LxcError:
        """The error of the call that has just failed."""
        errno = ffi.errno
        return kind(
            operation,
            container=self.name,
            key=None if key is None else decode(encode(key)),
            value=None if value is None else decode(encode(value)),
            error_number=self.error_number,
            errno=errno,
            log=log.captured_errors(),
            reason=None if self._is_configured() else "it has no configuration",
        )

    # Configuration, lxc.container.conf(5)

    def set_config_item(self, key: Text, value: Text) -> None:
        """Set an item; one that is a list gets the value added. Raises ConfigItemError."""
        c = self._pointer("set_config_item")
        if not lib.container_set_config_item(c, encode(key), encode(value)):
            raise self._error(ConfigItemError, "set_config_item", key, value)

    def get_config_item(self, key: Text) -> str:
        """Value of an item as liblxc writes it, "" if it is not set; a list has a newline after each value.

        Raises ConfigItemError for an item that liblxc does not know.
        """
        c = self._pointer("get_config_item")
        encoded = encode(key)
        length = lib.container_get_config_item(c, encoded, ffi.NULL, 0)
        if length < 0 and not self._is_configured() and config_item_is_supported(key):
            return ""
        if length < 0:
            raise self._error(ConfigItemError, "get_config_item", key)
        buffer = ffi.new("char[]", length + 1)
        if lib.container_get_config_item(c, encoded, buffer, length + 1) < 0:
            raise self._error(ConfigItemError, "get_config_item", key)
        return decode(buffer)

    def clear_config_item(self, key: Text) -> None:
        """Forget the value of an item. Raises ConfigItemError for one that liblxc cannot clear."""
        c = self._pointer("clear_config_item")
        if not lib.container_clear_config_item(c, encode(key)):
            raise self._error(ConfigItemError, "clear_config_item", key)

    def clear_config(self) -> None:
        """Forget the values of all items."""
        lib.container_clear_config(self._pointer("clear_config"))

    def load_config(self, file: Text | None = None) -> None:
        """Read a configuration file, None for the container's own. Raises LxcError."""
        c = self._pointer("load_config")
        if not lib.container_load_config(c, encode_optional(file)):
            raise self._error(LxcError, "load_config", value=file)

    def save_config(self, file: Text | None = None) -> None:
        """Write the configuration to a file, None for the container's own. Raises LxcError.

        liblxc makes the container's directory, and leaves a lock file.
        """
        c = self._pointer("save_config")
        if not lib.container_save_config(c, encode_optional(file)):
            raise self._error(LxcError, "save_config", value=file)

    # Life

    def want_daemonize(self, wanted: bool) -> None:
        """Let start() go on in the background, which is liblxc's default, or not.

        Raises LxcError, always for a container without a configuration: an item must be set before.
        """
        c = self._pointer("want_daemonize")
        if not lib.container_want_daemonize(c, wanted):
            raise self._error(LxcError, "want_daemonize")

    def want_close_all_fds(self, wanted: bool) -> None:
        """Let start() close all inherited descriptors, or not.

        Raises LxcError, always for a container without a configuration: an item must be set before.
        """
        c = self._pointer("want_close_all_fds")
        if not lib.container_want_close_all_fds(c, wanted):
            raise self._error(LxcError, "want_close_all_fds")

    def start(self, argv: Iterable[Text] | None = None) -> None:
        """Start the container with a command, or with its lxc.init.cmd.

        In the background it returns when the container runs. In the foreground it returns when the container
        has ended, and error_number is its wait status; the process must have one thread only.
        Raises StartError.
        """
        c = self._pointer("start")
        if argv is None:
            started = lib.container_start(c, 0, ffi.NULL)
        else:
            array, strings = string_array(argv)
            started = lib.container_start(c, 0, array)
            del strings
        if not started:
            raise self._error(StartError, "start")

    @property
    def error_number(self) -> int:
        """liblxc's error_num: after start() in the foreground the wait status of the container's init.

        0 for exit status 0, n << 8 for exit status n, and, unlike wait(2), signal << 8 | 0x7f for death by a
        signal; 1 if the container did not start.
        """
        number: int = self._pointer("error_num").error_num
        return number

    @property
    def state(self) -> str:
        """STOPPED, STARTING, RUNNING, STOPPING, ABORTING, FREEZING, FROZEN or THAWED."""
        return decode(lib.container_state(self._pointer("state")))

    @property
    def is_running(self) -> bool:
        """Whether the container is in any state but STOPPED."""
        return bool(lib.container_is_running(self._pointer("is_running")))

    @property
    def init_pid(self) -> int | None:
        """Process id of the container's init, None if it does not run."""
        pid = lib.container_init_pid(self._pointer("init_pid"))
        return pid if pid > 0 else None

    def init_pidfd(self) -> int:
        """A pidfd of the container's init, for the caller to close. Since liblxc 4.0.5. Raises LxcError."""
        c = self._pointer("init_pidfd")
        require("init_pidfd", self.name)
        return self._descriptor("init_pidfd", lib.container_init_pidfd(c))

    def devpts_fd(self) -> int:
        """A descriptor of the container's devpts, for the caller to close. Since liblxc 4.0.5.

        Raises LxcError.
        """
        c = self._pointer("devpts_fd")
        require("devpts_fd", self.name)
        return self._descriptor("devpts_fd", lib.container_devpts_fd(c))

    def _descriptor(self, operation: str, descriptor: int) -> int:
        if descriptor < 0:
            raise self._error(LxcError, operation)
        return descriptor

    def set_timeout(self, seconds: int) -> None:
        """How long to wait for the answers of the container's monitor. Since liblxc 6.0.0.

        Raises LxcError.
        """
        c = self._pointer("set_timeout")
        require("set_timeout", self.name)
        if not lib.container_set_timeout(c, seconds):
            raise self._error(LxcError, "set_timeout")
