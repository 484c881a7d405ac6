"""A parser for right command lines. Wrong ones, help and completion are click's (click_app)."""

from __future__ import annotations

from .commands import FLAG, GLOBAL_OPTIONS, HELP_WORDS, LOOPED, Request

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .commands import Option, Values


def parse(words: list[str]) -> Request | None:
    """What these words (without the program's name) ask for, or None if click has to look at them."""
    scanned = _scan(GLOBAL_OPTIONS, words, stop_at_positional=True)
    if scanned is None or not scanned[1]:
        return None
    options, (verb, *rest) = scanned
    command = LOOPED.get(verb)
    if command is None:
        from .every import COMMANDS

        command = COMMANDS.get(verb)
    if command is None:
        return None
    if command.refused:
        return None if any(word in HELP_WORDS for word in rest) else Request(options, command, {})
    scanned = _scan(command.options, rest, stop_at_positional=bool(command.rest))
    if scanned is None:
        return None
    arguments, positionals = scanned
    if command.rest:
        count = len(command.arguments)
        arguments[command.rest] = positionals[count:]
        positionals = positionals[:count]
    if len(positionals) > len(command.arguments):
        return None
    for position, argument in enumerate(command.arguments):
        if position < len(positionals):
            arguments[argument.keyword] = positionals[position]
        elif argument.required:
            return None
        else:
            arguments[argument.keyword] = argument.default
    return Request(options, command, arguments)


def _scan(
    options: tuple[Option, ...], words: list[str], *, stop_at_positional: bool = False
) -> tuple[Values, list[str]] | None:
    """Values by keyword, with defaults, and the positional words; None if something is not understood."""
    values: Values = {option.keyword: option.absent() for option in options}
    if not words:
        return values, words
    named = {option.name: option for option in options}
    named.update((option.short, option) for option in options if option.short)
    positionals: list[str] = []
    position = 0
    while position < len(words):
        word = words[position]
        position += 1
        if word == "--":
            return values, positionals + words[position:]
        if len(word) < 2 or word[0] != "-":
            if stop_at_positional:
                return values, words[position - 1 :]
            positionals.append(word)
            continue
        name, equals, text = word[2 if word[1] == "-" else 1 :].partition("=")
        option = named.get(name)
        if option is None:
            return None
        if not equals:
            if option.kind is FLAG:
                text = "true"
            elif position < len(words):
                text = words[position]
                position += 1
            else:
                return None
        try:
            value = option.convert(text)
        except ValueError:
            return None
        if option.repeated:
            values[option.keyword].append(value)
        else:
            values[option.keyword] = value
    return values, positionals
