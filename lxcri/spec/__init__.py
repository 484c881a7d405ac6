"""
The OCI runtime specification 1.3 as msgspec Structs, one module per part of the document.

Everything of config.json is here by name. `State` is in lxcri.spec.state and `Features` in
lxcri.spec.features: who decodes a config does not pay for them.
"""

from typing import Any, TypeVar

import msgspec

from ..errors import Error
from .base import U64_MAX, Base
from .config import Mount, Root, Spec
from .hooks import Hook, Hooks
from .linux import (
    Device,
    IDMapping,
    IntelRdt,
    Linux,
    MemoryPolicy,
    Namespace,
    NetDevice,
    Personality,
    TimeOffset,
)
from .process import Box, Capabilities, CPUAffinity, IOPriority, Process, Rlimit, Scheduler, User
from .resources import (
    CPU,
    BlockIO,
    DeviceCgroup,
    HugepageLimit,
    InterfacePriority,
    Memory,
    Network,
    Pids,
    Rdma,
    Resources,
    ThrottleDevice,
    WeightDevice,
)
from .seccomp import Arg, Seccomp, Syscall

__all__ = [
    "CPU",
    "Arg",
    "Base",
    "BlockIO",
    "Box",
    "CPUAffinity",
    "Capabilities",
    "Device",
    "DeviceCgroup",
    "Hook",
    "Hooks",
    "HugepageLimit",
    "IDMapping",
    "IOPriority",
    "IntelRdt",
    "InterfacePriority",
    "Linux",
    "Memory",
    "MemoryPolicy",
    "Mount",
    "Namespace",
    "NetDevice",
    "Network",
    "Personality",
    "Pids",
    "Process",
    "Rdma",
    "Resources",
    "Rlimit",
    "Root",
    "Scheduler",
    "Seccomp",
    "Spec",
    "Syscall",
    "ThrottleDevice",
    "TimeOffset",
    "User",
    "WeightDevice",
    "decode",
    "decode_config",
    "decode_hooks",
    "decode_process",
    "decode_resources",
    "encode",
]

_T = TypeVar("_T")

_DIGITS = b"".join(b"0" if byte in b"0123456789" else b" " for byte in range(256))
_LONG_NUMBER = b"0" * len(str(U64_MAX))
_NUL = b"\\u0000"


def decode_config(data: bytes, name: str = "config.json") -> Spec:
    """Decode a config.json (config.md); raises Error, beginning with `name`, with the JSON path at fault."""
    return decode(data, Spec, name)


def decode_process(data: bytes, name: str = "process") -> Process:
    """Decode a `process` object, as `exec --process` gets it; raises Error like decode_config."""
    return decode(data, Process, name)


def decode_resources(data: bytes, name: str = "resources") -> Resources:
    """Decode a `linux.resources` object, as `update --resources` gets it; raises Error like decode_config."""
    return decode(data, Resources, name)


def decode_hooks(data: bytes, name: str = "hooks.json") -> Hooks:
    """Decode a `hooks` object; raises Error like decode_config."""
    return decode(data, Hooks, name)


def encode(obj: Base) -> bytes:
    """Compact JSON, without the properties that have their default value."""
    return msgspec.json.encode(obj)


def decode(data: bytes, struct: type[_T], name: str) -> _T:
    """Decode a Struct of these, or one that has some; raises Error like decode_config."""
    try:
        # Only a document with a number of 20 digits or more can have one above uint64.
        if _NUL in data or _LONG_NUMBER in data.translate(_DIGITS):
            _refuse_what_c_cannot_hold(msgspec.json.decode(data), "$")
        try:
            return msgspec.json.decode(data, type=struct)
        except msgspec.ValidationError as error:
            # Go writes nil slices, maps and pointers as null, and reads null as absent, whatever the type.
            if "got `null`" not in str(error):
                raise
            return msgspec.convert(_without_nulls(msgspec.json.decode(data)), struct)
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at ")
        path = path.strip("`").replace("\n", "\\n") or "$"  # a property's name may have any character
        raise Error(f"{name}: {path}: {_lower_first(what)}") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Error(f"{name}: {_lower_first(str(error))}") from None


def _lower_first(text: str) -> str:
    return text if text.startswith("JSON") else text[:1].lower() + text[1:]


def _without_nulls(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _refuse_what_c_cannot_hold(value: Any, path: str) -> None:
    """Numbers above uint64, and strings that C would end at a NUL in them."""
    if isinstance(value, dict):
        for key, item in value.items():
            _refuse_what_c_cannot_hold(key, path)
            _refuse_what_c_cannot_hold(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _refuse_what_c_cannot_hold(item, f"{path}[{index}]")
    elif isinstance(value, str) and "\0" in value:
        raise msgspec.ValidationError(f"Expected `str` without NUL - at `{path}`")
    elif isinstance(value, int) and value > U64_MAX:
        raise msgspec.ValidationError(f"Expected `int` <= {U64_MAX} - at `{path}`")
