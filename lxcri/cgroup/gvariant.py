"""GVariants as text (GLib, "GVariant Text Format"), as far as units of systemd have properties of such types."""

import re
from typing import Any

from .systemd import complete_types

KEYWORDS = {
    "boolean": "b",
    "byte": "y",
    "int16": "n",
    "uint16": "q",
    "int32": "i",
    "handle": "h",
    "uint32": "u",
    "int64": "x",
    "uint64": "t",
    "double": "d",
    "string": "s",
    "objectpath": "o",
    "signature": "g",
}
RANGES = {
    "y": (0, 2**8),
    "n": (-(2**15), 2**15),
    "q": (0, 2**16),
    "i": (-(2**31), 2**31),
    "u": (0, 2**32),
    "x": (-(2**63), 2**63),
    "t": (0, 2**64),
}

TOKEN = re.compile(
    r"""\s*(?: (?P<string> '(?:[^'\\]|\\.)*' | "(?:[^"\\]|\\.)*" )
             | (?P<number> [-+]?(?:0x[0-9a-fA-F]+ | (?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?) )
             | @(?P<type> [a-z()]+ )
             | (?P<word> [a-z0-9]+ )
             | (?P<mark> [][(),] ) )""",
    re.VERBOSE,
)
ESCAPE = re.compile(r"\\(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))", re.DOTALL)
CONTROLS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def parse(text: str) -> tuple[str, Any]:
    """
    The D-Bus signature and the value of a text.

    A number without a type is an int32, or, with a point or an exponent, a double. Raises ValueError with the
    reason; dictionaries, maybes and variants are not understood.
    """
    try:
        parser = _Parser(text)
        signature, value = parser.value(None)
    except OverflowError as e:
        raise ValueError(str(e)) from None
    except RecursionError:
        raise ValueError("too deep") from None
    if parser.kind:
        raise ValueError(f'"{parser.lexeme}" is too much')
    return signature, value


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0
        self.kind = ""
        self.lexeme = ""
        self.advance()

    def advance(self) -> None:
        found = TOKEN.match(self.text, self.position)
        if found is None:
            if rest := self.text[self.position :].strip():
                raise ValueError(f'"{rest}" is not understood')
            self.kind, self.lexeme = "", "the end"
            return
        self.position = found.end()
        self.kind = found.lastgroup or ""
        self.lexeme = found[self.kind]

    def take(self) -> str:
        lexeme = self.lexeme
        self.advance()
        return lexeme

    def value(self, wanted: str | None) -> tuple[str, Any]:
        """The value that begins here, of the wanted type if there is one."""
        kind, lexeme = self.kind, self.lexeme
        if kind == "type" or (kind == "word" and lexeme in KEYWORDS):
            self.advance()
            signature = KEYWORDS.get(lexeme, lexeme) if kind == "word" else lexeme
            if wanted not in (None, signature):
                raise ValueError(f"{lexeme} where {wanted} belongs")
            return self.value(signature)
        if lexeme in ("[", "(") and kind == "mark":
            return self.container(wanted)
        self.advance()
        if kind == "word" and lexeme in ("true", "false"):
            return _typed("b", "b", wanted, lexeme == "true")
        if kind == "string":
            return _typed("s", "sog", wanted, _string(lexeme[1:-1]))
        if kind == "number":
            return _number(lexeme, wanted)
        raise ValueError(f'"{lexeme}" is not understood')

    def container(self, wanted: str | None) -> tuple[str, Any]:
        """An array or a tuple."""
        opening = self.take()
        closing = "]" if opening == "[" else ")"
        types = _inner(wanted, opening)
        found: list[tuple[str, Any]] = []
        while not (self.kind == "mark" and self.lexeme == closing):
            element = found[0][0] if opening == "[" and found else None
            if types is not None:
                element = types[0] if opening == "[" else (types[len(found) :] or [""])[0]
            found.append(self.value(element))
            if self.kind == "mark" and self.lexeme == ",":
                self.advance()
            elif not (self.kind == "mark" and self.lexeme == closing):
                raise ValueError(f'"{self.lexeme}" where a comma or "{closing}" belongs')
        self.advance()
        values = [value for _, value in found]
        if opening == "[":
            if not found and types is None:
                raise ValueError("an empty array needs a type")
            return "a" + (types[0] if types else found[0][0]), values
        if types is not None and len(types) != len(found):
            raise ValueError(f"a tuple of {len(found)} where one of {len(types)} belongs")
        return "(" + "".join(signature for signature, _ in found) + ")", tuple(values)


def _inner(wanted: str | None, opening: str) -> list[str] | None:
    """The types of what is in a container of the wanted type."""
    if wanted is None:
        return None
    if wanted[:1] != {"[": "a", "(": "("}[opening]:
        raise ValueError(f"{opening} where {wanted or 'nothing'} belongs")
    return [wanted[1:]] if opening == "[" else complete_types(wanted[1:-1])


def _typed(own: str, possible: str, wanted: str | None, value: Any) -> tuple[str, Any]:
    signature = own if wanted is None else wanted
    if signature == "" or signature not in possible:
        raise ValueError(f"{value!r} where {signature or 'nothing'} belongs")
    return signature, value


def _string(text: str) -> str:
    """The text without escapes; raises ValueError for what D-Bus cannot carry."""
    found = ESCAPE.sub(_unescape, text)
    if "\0" in found:
        raise ValueError("a NUL in a string")
    found.encode()  # UnicodeEncodeError is a ValueError
    return found


def _number(lexeme: str, wanted: str | None) -> tuple[str, Any]:
    is_integer = lexeme.lstrip("+-").isdigit() or "0x" in lexeme
    signature = ("i" if is_integer else "d") if wanted is None else wanted
    if signature == "d":
        return "d", float(int(lexeme, 0) if "0x" in lexeme else lexeme)
    if signature not in RANGES or not is_integer:
        raise ValueError(f"{lexeme} where {signature or 'nothing'} belongs")
    value = int(lexeme, 16 if "0x" in lexeme else 10)
    least, end = RANGES[signature]
    if not least <= value < end:
        raise ValueError(f"{lexeme} is out of range")
    return signature, value


def _unescape(match: re.Match[str]) -> str:
    short, long, letter = match.groups()
    if letter is not None:
        return CONTROLS.get(letter, letter)
    return chr(int(short or long, 16))
