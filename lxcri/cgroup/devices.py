"""
linux.resources.devices: which devices the container may use (config-linux.md, "Allowed Device list").

The last rule that matches an access decides. v1's controller has no such list: it has a default, and
exceptions to it, which it finds by exactly their numbers. A rule that would have to cut a piece out of an
exception has no effect there, and no error. So the rules are brought into its form here, and what it cannot
hold is refused.
"""

import msgspec

from ..errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ..spec import DeviceCgroup

Numbers = tuple[str, int | None, int | None]
"""Type ("b" or "c"), major and minor; None is any."""

NUMBER_MAX = 0xFFFFFFFF
ALL = "rwm"
TYPES = ("b", "c")


class DeviceRule(msgspec.Struct, frozen=True):
    """Allows or denies a composition of r, w and m, in this order."""

    allow: bool
    numbers: Numbers
    access: str


# runc's. /dev/console is none: a container's is a pseudo-terminal, 5:1 is that of the host.
ESSENTIAL = (
    (("b", None, None), "m"),  # mknod of any device: opening it is another access
    (("c", None, None), "m"),
    (("c", 1, 3), ALL),  # null
    (("c", 1, 5), ALL),  # zero
    (("c", 1, 7), ALL),  # full
    (("c", 1, 8), ALL),  # random
    (("c", 1, 9), ALL),  # urandom
    (("c", 5, 0), ALL),  # tty
    (("c", 5, 2), ALL),  # ptmx
    (("c", 10, 200), ALL),  # net/tun
    (("c", 136, None), ALL),  # pts/*
)


def essential_device_rules() -> list[DeviceRule]:
    """The rules that follow those of the spec in every container."""
    return [DeviceRule(allow=True, numbers=numbers, access=access) for numbers, access in ESSENTIAL]


def expand(rules: "Iterable[DeviceCgroup]") -> list[DeviceRule]:
    """
    The spec's rules in their plain form: "a", and no type, are "b" and "c"; -1 for a number is any.

    Raises Error that names the rule.
    """
    plain = []
    for i, rule in enumerate(rules):
        where = f"linux.resources.devices[{i}]"
        kind = rule.type or "a"
        if kind not in ("a", *TYPES):
            raise Error(f'{where}.type: "{kind}" is none of a, b and c')
        if not rule.access:
            raise Error(f"{where}.access: is missing or empty")
        if strange := set(rule.access) - set(ALL):
            raise Error(f'{where}.access: "{min(strange)}" is none of r, w and m')
        major = _number(f"{where}.major", rule.major)
        minor = _number(f"{where}.minor", rule.minor)
        access = _accesses(rule.access)
        plain += [DeviceRule(rule.allow, (t, major, minor), access) for t in TYPES if kind in ("a", t)]
    return plain


def allows_all(rules: "Sequence[DeviceRule]") -> bool:
    """Whether the last rules allow everything."""
    types = set(TYPES)
    for rule in reversed(rules):
        if not rule.allow:
            return False
        if rule.access == ALL and rule.numbers[1:] == (None, None):
            types.discard(rule.numbers[0])
        if not types:
            return True
    return False


def _number(where: str, number: int | None) -> int | None:
    if number is None or number == -1:
        return None
    if not 0 <= number <= NUMBER_MAX:
        raise Error(f"{where}: {number} is no device number")
    return number


def _accesses(letters: str) -> str:
    return "".join(letter for letter in ALL if letter in letters)


class Controller:
    """
    The state of v1's controller, but that each type has a default of its own.

    default: type to whether what is no exception is allowed
    exceptions: numbers to accesses
    """

    def __init__(self) -> None:
        self.default = dict.fromkeys(TYPES, False)
        self.exceptions: dict[Numbers, str] = {}

    def add(self, rule: DeviceRule) -> None:
        """Let this rule be the last one; raises Error if the controller cannot hold the result."""
        kind, major, minor = rule.numbers
        if rule.access == ALL and major is None and minor is None:
            self.default[kind] = rule.allow
            self.exceptions = {n: access for n, access in self.exceptions.items() if n[0] != kind}
        elif rule.allow != self.default[kind]:
            self.exceptions[rule.numbers] = _accesses(self.exceptions.get(rule.numbers, "") + rule.access)
        else:
            self._take_back(rule)

    def _take_back(self, rule: DeviceRule) -> None:
        for numbers, held in list(self.exceptions.items()):
            if not _overlap(rule.numbers, numbers) or not set(held) & set(rule.access):
                continue
            if not _covers(rule.numbers, numbers):
                raise _impossible(rule, numbers, held)
            left = "".join(letter for letter in held if letter not in rule.access)
            if left:
                self.exceptions[numbers] = left
            else:
                del self.exceptions[numbers]

    def lines(self) -> list[tuple[str, str]]:
        """File and value of each write that brings the controller to this state; raises Error."""
        files = ("devices.deny", "devices.allow")
        default = all(self.default.values())
        exceptions = self.exceptions
        for kind, allowed in self.default.items():
            if allowed and not default:  # the kernel's default is one for both types
                for numbers, access in exceptions.items():
                    if numbers[0] == kind:
                        raise _impossible(DeviceRule(False, numbers, access), (kind, None, None), ALL)
                exceptions = {**exceptions, (kind, None, None): ALL}
        lines = [(files[default], "a")]
        lines += [(files[not default], _text(numbers, access)) for numbers, access in exceptions.items()]
        return lines


def _covers(wide: Numbers, narrow: Numbers) -> bool:
    return all(a is None or a == b for a, b in zip(wide, narrow, strict=True))


def _overlap(one: Numbers, other: Numbers) -> bool:
    return all(a is None or b is None or a == b for a, b in zip(one, other, strict=True))


def _text(numbers: Numbers, access: str) -> str:
    kind, major, minor = numbers
    return f"{kind} {'*' if major is None else major}:{'*' if minor is None else minor} {access}"


def _impossible(rule: DeviceRule, numbers: Numbers, held: str) -> Error:
    verb, opposite = ("allow", "denied") if rule.allow else ("deny", "allowed")
    return Error(
        f'linux.resources.devices: cgroup v1 cannot {verb} "{_text(rule.numbers, rule.access)}" '
        f'while "{_text(numbers, held)}" is {opposite}'
    )


def v1_lines(rules: "Iterable[DeviceCgroup]") -> list[tuple[str, str]]:
    """
    File and value of each write to v1's controller, for the spec's rules and the essential ones.

    Without rules all but the essential devices is denied, as with runc. Raises Error.
    """
    controller = Controller()
    for rule in expand(rules) + essential_device_rules():
        controller.add(rule)
    return controller.lines()


def v1_changes(current: str, rules: "Iterable[DeviceCgroup]") -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """
    File and value of each write that brings v1's controller from where it is to the spec's rules, and back.

    current: the content of devices.list

    Nothing that is allowed before and after is denied meanwhile, as long as what no rule names is denied both
    times. Raises Error.
    """
    wanted = v1_lines(rules)
    lines = [line for line in current.splitlines() if line]
    if ALLOW_ALL in lines:  # devices.list does not tell the exceptions
        return ([], []) if wanted == [("devices.allow", "a")] else (wanted, [("devices.allow", "a")])
    if wanted[0] != ("devices.deny", "a"):
        return wanted, [("devices.deny", "a"), *(("devices.allow", line) for line in lines)]
    before, after = _accesses_by_numbers(lines), _accesses_by_numbers([value for _, value in wanted[1:]])
    more, less = list(_left(after, before)), list(_left(before, after))
    return (
        [*(("devices.allow", line) for line in more), *(("devices.deny", line) for line in less)],
        [*(("devices.allow", line) for line in less), *(("devices.deny", line) for line in more)],
    )


ALLOW_ALL = "a *:* rwm"
"""The content of devices.list where all but the exceptions is allowed."""


def _accesses_by_numbers(lines: "Iterable[str]") -> dict[str, str]:
    """Lines like "c 1:3 rwm" as what is before the last space to what is behind it."""
    return {line.rpartition(" ")[0]: line.rpartition(" ")[2] for line in lines}


def _left(these: dict[str, str], others: dict[str, str]) -> "Iterator[str]":
    """Lines for what is in these and not in the others."""
    for numbers, access in these.items():
        if left := "".join(letter for letter in access if letter not in others.get(numbers, "")):
            yield f"{numbers} {left}"
