"""
systemd over D-Bus (org.freedesktop.systemd1(5)), by the client of libsystemd: making, changing and ending a unit.

The library is opened for `--systemd-cgroup` alone.
"""

from __future__ import annotations

import posix
import time

from ..errors import Error
from . import UNIFIED, read_text
from .layout import Layout

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any, Self

    from .unit import Unit, UnitProperty

BOOTED = "/run/systemd/system"  # sd_booted(3)

MANAGED = (UNIFIED, "name=systemd", "cpu", "cpuacct", "blkio", "memory", "devices", "pids")
"""The hierarchies in which systemd makes and removes the cgroups of slices."""

NAME = "org.freedesktop.systemd1"
PATH = "/org/freedesktop/systemd1"
MANAGER = "org.freedesktop.systemd1.Manager"
BUS_NAME, BUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"
JOB_REMOVED = f"type='signal',sender='{NAME}',path='{PATH}',interface='{MANAGER}',member='JobRemoved',arg2='%s'"
UNIT_EXISTS = "org.freedesktop.systemd1.UnitExists"
NO_SUCH_UNIT = "org.freedesktop.systemd1.NoSuchUnit"

PATIENCE = 30.0  # seconds for an answer, and for a job: as long as other runtimes wait

CONTAINERS = {"a": b"a", "(": b"r", "v": b"v"}
BASIC = {
    "y": "uint8_t *",
    "b": "int *",
    "n": "int16_t *",
    "q": "uint16_t *",
    "i": "int32_t *",
    "u": "uint32_t *",
    "x": "int64_t *",
    "t": "uint64_t *",
    "d": "double *",
}
"""What sd_bus_message_append_basic(3) wants a pointer to; strings are pointers themselves."""


class CallError(Error):
    """What systemd, or the bus, answered instead; name is that of the D-Bus error."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name


def stop_unit(record: str) -> None:
    """End the unit of a container, State.unit; raises Error."""
    instance, _, name = record.partition(" ")
    with Systemd(instance) as systemd:
        systemd.stop(name)


def change_unit(record: str, properties: Iterable[UnitProperty]) -> None:
    """Give the unit of a container, State.unit, other properties; raises Error."""
    instance, _, name = record.partition(" ")
    with Systemd(instance) as systemd:
        systemd.change(name, properties)


def attach(record: str, pid: int) -> None:
    """Move a process to the unit of a container, State.unit; raises Error."""
    instance, _, name = record.partition(" ")
    with Systemd(instance) as systemd:
        systemd.attach(name, pid)


def check_place(pid: int, unit: Unit) -> None:
    """Raise Error unless systemd has put a process where its scope's cgroup was expected."""
    lines = read_text(f"/proc/{pid}/cgroup").splitlines()
    places = [line for line in lines if line.startswith("0::") or ":name=systemd:" in line]
    if not any(line.endswith(unit.path) for line in places):
        raise Error(
            f'systemd: "{unit.name}": process {pid} is in "{places[0] if places else ""}", not in "{unit.path}"'
        )


def _system_root() -> str:
    layout = Layout.parse(read_text("/proc/self/mountinfo"), read_text("/proc/1/cgroup"))
    for name, top in (("name=systemd", layout.controllers.get("name=systemd")), (UNIFIED, layout.unified)):
        if top is not None and name in layout.own:
            return layout.own[name].removeprefix(top).removesuffix("/init.scope")
    raise Error("--systemd-cgroup: the cgroup hierarchy of systemd is not mounted")


def _marshalled(properties: Iterable[UnitProperty]) -> list[tuple[str, tuple[str, Any]]]:
    """As the D-Bus type a(sv)."""
    return [(p.name, (p.signature, p.value)) for p in properties]


def require_booted() -> None:
    """Raise Error if systemd is not what runs this host."""
    if not posix.access(BOOTED, posix.F_OK):
        raise Error(f"--systemd-cgroup: systemd does not run on this host: there is no {BOOTED}")


class Systemd:
    """
    A connection to an instance of systemd, "system" or the "user"'s; a context manager that closes it.

    started: the unit that start() has made, or may have made when it failed
    """

    def __init__(self, instance: str) -> None:
        from .._libsystemd import ffi

        try:
            self._library = ffi.dlopen("libsystemd.so.0")
        except OSError as e:
            raise Error(f"--systemd-cgroup: {e}") from None
        self._ffi = ffi
        self.started = ""
        self._is_user = instance == "user"
        self._is_direct = False
        self._bus = self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """End the connection."""
        self._library.sd_bus_flush_close_unref(self._bus)
        self._bus = self._ffi.NULL

    def _open(self) -> Any:
        """A connection by the bus, or, where there is none, to systemd's own socket."""
        bus = self._ffi.new("sd_bus **")
        status = (self._library.sd_bus_open_user if self._is_user else self._library.sd_bus_open_system)(bus)
        if status >= 0:
            return bus[0]
        socket = "/run/systemd/private"
        if self._is_user:
            directory = posix.environ.get(b"XDG_RUNTIME_DIR", b"").decode("utf-8", "surrogateescape")
            socket = f"{directory}/systemd/private" if directory else ""
        if socket and posix.access(socket, posix.W_OK):
            self._check(self._library.sd_bus_new(bus), "connect")
            self._check(self._library.sd_bus_set_address(bus[0], f"unix:path={_escape(socket)}".encode()), socket)
            self._check(self._library.sd_bus_start(bus[0]), socket)
            self._is_direct = True
            return bus[0]
        kind = "user" if self._is_user else "system"
        raise Error(f"systemd: connect to the {kind} bus: {posix.strerror(-status).lower()}")

    def _check(self, status: int, what: str) -> int:
        if status < 0:
            raise Error(f"systemd: {what}: {posix.strerror(-status).lower()}")
        return status

    def root(self) -> str:
        """
        The cgroup below which this instance has its units, from where the hierarchies are mounted; "" is that place.

        Of the host's instance it is where process 1 is, so there is nothing to ask. Raises Error.
        """
        if not self._is_user:
            return _system_root()
        what = "read ControlGroup"
        reply = self._call(
            (NAME, PATH, "org.freedesktop.DBus.Properties", "Get"), "ss", (MANAGER, "ControlGroup"), what
        )
        try:
            self._check(self._library.sd_bus_message_enter_container(reply, b"v", b"s"), what)
            return self._read_string(reply, b"s").rstrip("/")
        finally:
            self._release(reply)

    def start(self, unit: Unit, pids: Iterable[int]) -> None:
        """
        Make a transient unit and wait until it is there; a scope is made of these processes, which are moved to it.

        Raises Error.
        """
        what = f'start "{unit.name}"'
        self._listen(unit.name, what)
        properties = _marshalled(unit.properties)
        if not unit.is_slice:
            properties.append(("PIDs", ("au", list(pids))))
        arguments: tuple[Any, ...] = (unit.name, "replace", properties, [])
        self.started = unit.name
        try:
            job = self._job("StartTransientUnit", "ssa(sv)a(sa(sv))", arguments, what)
        except CallError as e:
            if e.name == UNIT_EXISTS:
                self.started = ""  # it is somebody else's
            if unit.annotations:  # systemd does not always say which property it dislikes
                keys = ", ".join(f'annotations["{key}"]' for key in unit.annotations)
                raise Error(f"{e} (some of its properties are those of {keys})") from e
            raise
        self._await_job(job, what)

    def stop(self, unit: str) -> None:
        """End a unit, wait until it has ended, and forget it, if it is there; raises Error."""
        what = f'stop "{unit}"'
        self._listen(unit, what)
        try:
            self._await_job(self._job("StopUnit", "ss", (unit, "replace"), what), what)
            self._release(self._call((NAME, PATH, MANAGER, "ResetFailedUnit"), "s", (unit,), f'reset "{unit}"'))
        except CallError as e:
            if e.name != NO_SUCH_UNIT:
                raise

    def change(self, unit: str, properties: Iterable[UnitProperty]) -> None:
        """Give a unit other properties, for as long as it runs; raises Error."""
        arguments: tuple[Any, ...] = (unit, True, _marshalled(properties))
        what = f'change "{unit}"'
        self._release(self._call((NAME, PATH, MANAGER, "SetUnitProperties"), "sba(sv)", arguments, what))

    def attach(self, unit: str, pid: int) -> None:
        """Move a process to a unit; raises Error."""
        call = (NAME, PATH, MANAGER, "AttachProcessesToUnit")
        self._release(self._call(call, "ssau", (unit, "", [pid]), f'attach process {pid} to "{unit}"'))

    def _listen(self, unit: str, what: str) -> None:
        """Get to hear of the end of jobs of this unit. On its own socket systemd tells without being asked."""
        if not self._is_direct:
            call = (BUS_NAME, BUS_PATH, BUS_NAME, "AddMatch")
            self._release(self._call(call, "s", (JOB_REMOVED % unit,), what))

    def _job(self, member: str, signature: str, arguments: tuple[Any, ...], what: str) -> str:
        """Call a method that answers with a job."""
        reply = self._call((NAME, PATH, MANAGER, member), signature, arguments, what)
        try:
            return self._read_string(reply, b"o")
        finally:
            self._release(reply)

    def _await_job(self, job: str, what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        message = self._ffi.new("sd_bus_message **")
        while True:
            status = self._check(self._library.sd_bus_process(self._bus, message), what)
            if message[0] != self._ffi.NULL:
                try:
                    result = self._result(message[0], job)
                finally:
                    self._release(message[0])
                if result == "done":
                    return
                if result:
                    raise Error(f"systemd: {what}: the job ended with the result {result}")
            elif status == 0:
                rest = deadline - time.monotonic()
                if rest <= 0:
                    raise Error(f"systemd: {what}: the job has not ended after {PATIENCE:.0f} seconds")
                self._library.sd_bus_wait(self._bus, int(rest * 1_000_000) + 1)

    def _result(self, message: Any, job: str) -> str:
        """The result of this job, if the message tells that it has ended; otherwise ""."""
        if not self._library.sd_bus_message_is_signal(message, MANAGER.encode(), b"JobRemoved"):
            return ""
        number = self._ffi.new("uint32_t *")
        self._check(self._library.sd_bus_message_read_basic(message, b"u", number), "JobRemoved")
        if self._read_string(message, b"o") != job:
            return ""
        self._read_string(message, b"s")
        return self._read_string(message, b"s")

    def _call(self, method: tuple[str, str, str, str], signature: str, arguments: tuple[Any, ...], what: str) -> Any:
        """Call a method of an object (destination, path, interface, member); the caller releases the answer."""
        message = self._ffi.new("sd_bus_message **")
        reply = self._ffi.new("sd_bus_message **")
        error = self._ffi.new("sd_bus_error *")
        names = [name.encode() for name in method]
        self._check(self._library.sd_bus_message_new_method_call(self._bus, message, *names), what)
        try:
            for part, value in zip(complete_types(signature), arguments, strict=True):
                self._append(message[0], part, value, what)
            status = self._library.sd_bus_call(self._bus, message[0], int(PATIENCE * 1_000_000), error, reply)
            if status < 0:
                name, text = (self._ffi.string(s).decode() if s else "" for s in (error.name, error.message))
                text = text or posix.strerror(-status)
                raise CallError(f"systemd: {what}: {text[:1].lower()}{text[1:].rstrip('.')}", name)
        finally:
            self._library.sd_bus_error_free(error)
            self._release(message[0])
        return reply[0]

    def _append(self, message: Any, signature: str, value: Any, what: str) -> None:
        """Append a value of one complete type."""
        kind = signature[0]
        if kind not in CONTAINERS:
            if kind in BASIC:
                pointer = self._ffi.new(BASIC[kind], value)
            else:
                pointer = self._ffi.new("char[]", value.encode("utf-8", "surrogateescape"))
            status = self._library.sd_bus_message_append_basic(message, kind.encode(), pointer)
            self._check(status, f"{what}: value {value!r}")
            return
        inner = {"a": signature[1:], "(": signature[1:-1], "v": ""}[kind]
        if kind == "v":
            inner, value = value
        status = self._library.sd_bus_message_open_container(message, CONTAINERS[kind], inner.encode())
        self._check(status, f"{what}: type {signature}")
        if kind == "a":
            for element in value:
                self._append(message, inner, element, what)
        elif kind == "v":
            self._append(message, inner, value, what)
        else:
            for part, element in zip(complete_types(inner), value, strict=True):
                self._append(message, part, element, what)
        self._check(self._library.sd_bus_message_close_container(message), f"{what}: type {signature}")

    def _read_string(self, message: Any, kind: bytes) -> str:
        text = self._ffi.new("char **")
        self._check(self._library.sd_bus_message_read_basic(message, kind, text), "answer")
        return str(self._ffi.string(text[0]).decode("utf-8", "surrogateescape"))

    def _release(self, message: Any) -> None:
        self._library.sd_bus_message_unref(message)


def complete_types(signature: str) -> list[str]:
    """The complete types of a signature, "ua(ss)" for example is "u" and "a(ss)" (D-Bus specification)."""
    types = []
    start = depth = 0
    for end, letter in enumerate(signature, 1):
        depth += (letter == "(") - (letter == ")")
        if not depth and letter != "a":
            types.append(signature[start:end])
            start = end
    return types


def _escape(path: str) -> str:
    """For the address of a bus (D-Bus specification, "Server Addresses")."""
    plain = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_/.\\*"
    return "".join(chr(c) if c in plain else f"%{c:02x}" for c in path.encode("utf-8", "surrogateescape"))
