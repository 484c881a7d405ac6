"""
The fuzzer of command lines: both parsers on the same words.

What has to hold of all of them: what the fast parser understands click understands the same, and click answers with a
request, a status or a UsageError.
"""

from __future__ import annotations

import os
import random
import sys

import atheris

with atheris.instrument_imports(include=["lxcri.cli", "click"]):
    import lxcri.cli.click_app
    import lxcri.cli.fast
from fuzz import corpus
from lxcri.cli.commands import Request, UsageError

WORDS = corpus.words()


def words_of(data: bytes) -> list[str]:
    """The words of an input: bytes between NULs, as those of a real command line."""
    return [os.fsdecode(word) for word in data.split(b"\0")] if data else []


def mutate(data: bytes, max_size: int, seed: int) -> bytes:
    """Words made of these: some more, less, others, with values."""
    chance = random.Random(seed)
    if chance.random() < 0.2:
        changed: bytes = atheris.Mutate(data, max_size)
        return changed
    words = words_of(data)
    for _ in range(chance.randint(1, 3)):
        at = chance.randint(0, len(words))
        match chance.randrange(6):
            case 0:
                words.insert(at, chance.choice(WORDS))
            case 1:
                words[at : at + 1] = [chance.choice(WORDS)]
            case 2:
                del words[at : at + 1]
            case 3:
                words[at : at + 1] = [f"{word}={chance.choice(WORDS)}" for word in words[at : at + 1]]
            case 4:
                words[at : at + 1] = [chance.choice(["-", "--", ""]) + word for word in words[at : at + 1]]
            case 5:
                words[at:at] = words[at - 1 : at]
    return b"\0".join(os.fsencode(word) for word in words)[:max_size]


def outcome(request: Request) -> tuple[object, ...]:
    """What makes two requests the same."""
    return request.command.name, request.options, request.arguments


def try_one(data: bytes) -> None:
    """Raise what is a finding."""
    words = words_of(data)
    fast = lxcri.cli.fast.parse(words)
    click: Request | int | UsageError
    try:
        click = lxcri.cli.click_app.parse(words)
    except UsageError as e:
        click = e
    if fast is not None:
        assert isinstance(click, Request), f"{words}: click says {click}"
        assert outcome(fast) == outcome(click), f"{words}: {outcome(fast)} against {outcome(click)}"


def main() -> None:
    """Run libFuzzer, with its own arguments."""
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 (help texts, until the end)
    atheris.Setup(sys.argv, try_one, custom_mutator=mutate)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
