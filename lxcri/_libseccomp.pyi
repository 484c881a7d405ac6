"""The module that the build makes of lxcri/csrc/libseccomp.h (cffi, ABI mode)."""

from typing import Any

ffi: Any
