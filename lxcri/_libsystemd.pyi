"""The module that the build makes of lxcri/csrc/libsystemd.h (cffi, ABI mode)."""

from typing import Any

ffi: Any
