"""Types of the compiled module. Of the container_NAME functions those that the package calls are declared."""

from typing import Any, TypeAlias, type_check_only

from _cffi_backend import FFI

CData: TypeAlias = Any

ffi: FFI
lib: _Library

@type_check_only
class _Library:
    def __getattr__(self, name: str, /) -> Any: ...
