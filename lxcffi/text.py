"""Strings on their way into C and back: UTF-8; other bytes survive as surrogates (PEP 383)."""

from __future__ import annotations

import os

from .ffi import ffi, lib

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import TypeAlias

    from ._lxc import CData

    Text: TypeAlias = str | bytes | os.PathLike[str] | os.PathLike[bytes]


def encode(text: Text) -> bytes:
    """Bytes of a str, bytes or path. Raises ValueError for a NUL, at which C would cut the string short."""
    if type(text) is str:  # nearly always
        data = text.encode("utf-8", "surrogateescape")
    else:
        value = text if isinstance(text, (str, bytes)) else os.fspath(text)
        data = value.encode("utf-8", "surrogateescape") if isinstance(value, str) else value
    if 0 in data:
        raise ValueError(f"embedded null character in {text!r}")
    return data


def encode_optional(text: Text | None) -> bytes | CData:
    """Bytes of a text, or NULL for None."""
    return ffi.NULL if text is None else encode(text)


def decode(string: CData | bytes) -> str:
    """The str of a C string that is not NULL, or of bytes."""
    data = string if isinstance(string, bytes) else ffi.string(string)
    assert isinstance(data, bytes)
    return data.decode("utf-8", "surrogateescape")


_CHARS = ffi.typeof("char[]")


def buffer(size: int) -> CData:
    """A C string of so many bytes, all zero."""
    return ffi.new(_CHARS, size)


def string_array(texts: Iterable[Text]) -> tuple[CData, list[CData]]:
    """A C array of strings that ends with NULL, and the strings, to be kept as long as the array is used."""
    strings = [ffi.new("char[]", encode(text)) for text in texts]
    return ffi.new("char *[]", [*strings, ffi.NULL]), strings


def taken_strings(array: CData) -> list[str]:
    """The strings of an array that liblxc has allocated and that ends with NULL; all of it is freed."""
    texts = []
    if array != ffi.NULL:
        index = 0
        while array[index] != ffi.NULL:
            texts.append(taken_string(array[index]))
            index += 1
        lib.free(array)
    return texts


def taken_string(string: CData) -> str:
    """The str of a C string that liblxc has allocated and that is freed."""
    text = decode(string)
    lib.free(string)
    return text
