"""A stand-in for systemd, and for the bus that one reaches it by: what it is asked is kept, how it answers is told."""

from __future__ import annotations

import contextlib
import os
import socket
import struct
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from oci import cgroup

if TYPE_CHECKING:
    from collections.abc import Callable

DRIVER = "org.freedesktop.DBus"
MANAGER = "org.freedesktop.systemd1.Manager"
PATH = "/org/freedesktop/systemd1"

CALL, RETURN, ERROR, SIGNAL = 1, 2, 3, 4
F_PATH, F_INTERFACE, F_MEMBER, F_ERROR, F_REPLY_SERIAL, F_DESTINATION, F_SENDER, F_SIGNATURE = 1, 2, 3, 4, 5, 6, 7, 8

FIXED = {"y": "B", "b": "I", "n": "h", "q": "H", "i": "i", "u": "I", "x": "q", "t": "Q", "d": "d"}
ALIGNMENT = {"s": 4, "o": 4, "g": 1, "a": 4, "(": 8, "v": 1, "y": 1, "n": 2, "q": 2, "x": 8, "t": 8, "d": 8}


def types(signature: str) -> list[str]:
    """The complete types of a signature."""
    found = []
    while signature:
        end = signature.count("a", 0, len(signature) - len(signature.lstrip("a")))
        depth = 0
        while True:
            depth += {"(": 1, ")": -1}.get(signature[end], 0)
            end += 1
            if not depth:
                break
        found.append(signature[:end])
        signature = signature[end:]
    return found


class Reader:
    """Values of a message (D-Bus specification, "Marshaling"), in little-endian order."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self.data = data
        self.position = position

    def fixed(self, format: str) -> Any:
        """A value of struct's format, behind its padding."""
        size = struct.calcsize(format)
        self.position += -self.position % size
        (value,) = struct.unpack_from("<" + format, self.data, self.position)
        self.position += size
        return value

    def text(self, length: int) -> str:
        """A text of this length, and its NUL."""
        value = self.data[self.position : self.position + length].decode()
        self.position += length + 1
        return value

    def value(self, signature: str) -> Any:
        """One of a complete type; an array is a list, a structure a tuple, a variant its type and its value."""
        kind = signature[0]
        if kind in FIXED:
            value = self.fixed(FIXED[kind])
            return bool(value) if kind == "b" else value
        if kind == "g":
            return self.text(self.fixed("B"))
        if kind in "so":
            return self.text(self.fixed("I"))
        if kind == "v":
            inner = self.text(self.fixed("B"))
            return inner, self.value(inner)
        if kind == "(":
            self.position += -self.position % 8
            return tuple(self.value(part) for part in types(signature[1:-1]))
        length = self.fixed("I")
        self.position += -self.position % ALIGNMENT.get(signature[1], 4)
        end = self.position + length
        values = []
        while self.position < end:
            values.append(self.value(signature[1:]))
        return values


def marshal(data: bytearray, signature: str, value: Any) -> None:
    """Append a value of a type without arrays."""
    if signature in FIXED:
        size = struct.calcsize(FIXED[signature])
        data += bytes(-len(data) % size) + struct.pack("<" + FIXED[signature], value)
    elif signature == "g":
        data += bytes([len(value)]) + value.encode() + b"\0"
    elif signature in ("s", "o"):
        data += bytes(-len(data) % 4) + struct.pack("<I", len(value.encode())) + value.encode() + b"\0"
    else:
        assert signature == "v"
        inner, value = value
        marshal(data, "g", inner)
        marshal(data, inner, value)


@dataclass
class Call:
    """A method that was called."""

    interface: str
    member: str
    arguments: list[Any] = field(default_factory=list)

    @property
    def properties(self) -> dict[str, Any]:
        """Values of the properties that a unit is to have; of two with one name the last."""
        (found,) = (argument for argument in self.arguments if isinstance(argument, list) and argument)
        return {name: value for name, (_, value) in found}


class FakeSystemd:
    """
    Listens on a socket of the bus, or, if direct, on systemd's own, until closed.

    results: what the next jobs end with; "done" when there are none. None: the job does not end
    refusals: D-Bus errors by method, with texts
    calls: to systemd
    matches: rules that were added to the bus
    control_group: of the instance
    jobs: how many there were
    place: what is done with the processes of a scope: gets their cgroup, relative, and a pid
    hangs_up: whether the connection ends with the call that makes a job
    """

    def __init__(self, path: str, *, direct: bool = False) -> None:
        self.calls: list[Call] = []
        self.matches: list[str] = []
        self.results: list[str | None] = []
        self.refusals: dict[str, tuple[str, str]] = {}
        self.control_group = "/"
        self._direct = direct
        self.place: Callable[[str, int], None] = move
        self.hangs_up = False
        self._serial = 0
        self.jobs = 0
        os.makedirs(os.path.dirname(path), exist_ok=True)
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.bind(path)
        self._socket.listen()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def close(self) -> None:
        """Stop listening."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()
        os.unlink(self._path)

    def members(self) -> list[str]:
        """The methods of systemd that were called, and nothing of the bus."""
        return [call.member for call in self.calls]

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection, contextlib.suppress(ConnectionError):  # of who was killed
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        rest = self._authenticate(connection)
        while True:
            while len(rest) < 16 or len(rest) < (size := self._size(rest)):
                if not (more := connection.recv(65536)):
                    return
                rest += more
            message, rest = rest[:size], rest[size:]
            self._dispatch(connection, message)

    @staticmethod
    def _authenticate(connection: socket.socket) -> bytes:
        """The server's side of EXTERNAL (D-Bus specification, "Authentication Protocol"); what came after it."""
        data = b""
        while True:
            while b"\r\n" not in data:
                if not (more := connection.recv(65536)):
                    return b""
                data += more
            line, _, data = data.partition(b"\r\n")
            words = line.lstrip(b"\0").split()
            if words == [b"BEGIN"]:
                return data
            answer = {b"NEGOTIATE_UNIX_FD": b"AGREE_UNIX_FD"}.get(words[0], b"OK " + b"0" * 32)
            connection.sendall((b"DATA" if words == [b"AUTH", b"EXTERNAL"] else answer) + b"\r\n")

    @staticmethod
    def _size(data: bytes) -> int:
        body, _, fields = struct.unpack_from("<III", data, 4)
        return int(16 + fields + -fields % 8 + body)

    def _dispatch(self, connection: socket.socket, message: bytes) -> None:
        reader = Reader(message, 12)
        serial = struct.unpack_from("<I", message, 8)[0]
        fields = {code: value for code, (_, value) in reader.value("a(yv)")}
        if message[1] != CALL:
            return
        reader.position += -reader.position % 8
        body = Reader(message[reader.position :])
        arguments = [body.value(part) for part in types(fields.get(F_SIGNATURE, ""))]
        call = Call(fields.get(F_INTERFACE, ""), fields[F_MEMBER], arguments)
        if call.interface == DRIVER:
            assert not self._direct, "there is no bus"
            if call.member == "AddMatch":
                self.matches += arguments
            self._send(connection, RETURN, {F_REPLY_SERIAL: serial}, "s" * (call.member == "Hello"), ":1.7")
            return
        self.calls.append(call)
        self._answer(connection, serial, call)

    def _answer(self, connection: socket.socket, serial: int, call: Call) -> None:
        if call.member in self.refusals:
            name, text = self.refusals[call.member]
            self._send(connection, ERROR, {F_REPLY_SERIAL: serial, F_ERROR: name}, "s", text)
        elif call.member == "Get":
            self._send(connection, RETURN, {F_REPLY_SERIAL: serial}, "v", ("s", self.control_group))
        elif call.member in ("StartTransientUnit", "StopUnit"):
            unit = call.arguments[0]
            if call.member == "StartTransientUnit":
                for pid in call.properties.get("PIDs", []):
                    self.place(call.properties["Slice"] + "/" + unit, pid)
            if self.hangs_up:
                connection.shutdown(socket.SHUT_RDWR)
                return
            self.jobs += 1
            job = f"{PATH}/job/{self.jobs}"
            self._send(connection, RETURN, {F_REPLY_SERIAL: serial}, "o", job)
            signal = {F_PATH: PATH, F_INTERFACE: MANAGER, F_MEMBER: "JobRemoved"}
            self._send(connection, SIGNAL, signal, "uoss", 99, f"{PATH}/job/99", unit, "failed")  # another job's
            result = self.results.pop(0) if self.results else "done"
            if result is not None:
                self._send(connection, SIGNAL, signal, "uoss", self.jobs, job, unit, result)
        else:
            self._send(connection, RETURN, {F_REPLY_SERIAL: serial}, "")

    def _send(self, to: socket.socket, kind: int, fields: dict[int, Any], signature: str, *values: Any) -> None:
        body = bytearray()
        for part, value in zip(types(signature), values, strict=False):
            marshal(body, part, value)
        if signature:
            fields = {**fields, F_SIGNATURE: signature}
        header = bytearray()
        own_types = {F_PATH: "o", F_REPLY_SERIAL: "u", F_SIGNATURE: "g"}
        for code, value in {**fields, F_SENDER: "org.freedesktop.systemd1"}.items():
            header += bytes(-len(header) % 8) + bytes([code])
            marshal(header, "v", (own_types.get(code, "s"), value))
        self._serial += 1
        start = struct.pack("<cBBBIII", b"l", kind, 1, 1, len(body), self._serial, len(header))
        to.sendall(start + header + bytes(-len(header) % 8) + body)


def move(path: str, pid: int) -> None:
    """What systemd does with the processes of a scope in a slice of the top: in the hierarchy that is its own."""
    hierarchies = cgroup.mounts()
    directory = f"{hierarchies.get('name=systemd') or hierarchies['']}/{path}"
    os.makedirs(directory, exist_ok=True)
    with contextlib.suppress(ProcessLookupError), open(f"{directory}/cgroup.procs", "w") as file:
        file.write(str(pid))
