"""Lists of device rules, and what they mean (config-linux.md, "Allowed Device list")."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lxcri.cgroup.devices import DeviceRule

if TYPE_CHECKING:
    from collections.abc import Sequence
    from random import Random

ACCESSES = ("r", "w", "m", "rw", "rm", "wm", "rwm")


def last_match(rules: Sequence[DeviceRule], kind: str, major: int, minor: int, accesses: str) -> bool:
    """Whether all of these accesses are allowed: each as the last rule that matches it says, none otherwise."""
    allowed = dict.fromkeys(accesses, False)
    for rule in rules:
        if all(a is None or a == b for a, b in zip(rule.numbers, (kind, major, minor), strict=True)):
            allowed.update(dict.fromkeys(set(rule.access) & set(accesses), rule.allow))
    return all(allowed.values())


def some_rules(random: Random, majors: Sequence[int], minors: Sequence[int]) -> list[DeviceRule]:
    """Up to 12 rules about these numbers, with many that overlap."""

    def one() -> DeviceRule:
        major, minor = (random.choice([None, *numbers]) for numbers in (majors, minors))
        access = random.choice([*ACCESSES, "rwm", "rwm"])
        return DeviceRule(random.random() < 0.5, (random.choice("bc"), major, minor), access)

    return [one() for _ in range(random.randrange(13))]
