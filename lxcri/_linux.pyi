"""The module that the build makes of lxcri/csrc/linux.[ch] (cffi, API mode)."""

from typing import Any

ffi: Any
lib: Any
