"""Device rules against what the v1 controller makes of what is written to it."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings, strategies as st
from oci.device_rules import last_match

from lxcri.cgroup.devices import essential_device_rules, expand, v1_lines
from lxcri.errors import Error
from lxcri.spec import DeviceCgroup

ESSENTIAL_LINES = [
    ("devices.allow", "b *:* m"),
    ("devices.allow", "c *:* m"),
    ("devices.allow", "c 1:3 rwm"),
    ("devices.allow", "c 1:5 rwm"),
    ("devices.allow", "c 1:7 rwm"),
    ("devices.allow", "c 1:8 rwm"),
    ("devices.allow", "c 1:9 rwm"),
    ("devices.allow", "c 5:0 rwm"),
    ("devices.allow", "c 5:2 rwm"),
    ("devices.allow", "c 10:200 rwm"),
    ("devices.allow", "c 136:* rwm"),
]


def rule(
    allow: bool,
    type: str | None = None,
    major: int | None = None,
    minor: int | None = None,
    access: str | None = "rwm",
) -> DeviceCgroup:
    return DeviceCgroup(allow=allow, type=type, major=major, minor=minor, access=access)


DENY_ALL = rule(allow=False)
ALLOW_ALL = rule(allow=True)


def test_without_rules_only_essential_devices_are_allowed() -> None:
    """As runc 1.1.5 writes it, value for value."""
    assert v1_lines([]) == v1_lines([DENY_ALL]) == [("devices.deny", "a"), *ESSENTIAL_LINES]


def test_the_hosts_console_is_not_essential() -> None:
    assert not any(r.numbers == ("c", 5, 1) for r in essential_device_rules())


def test_a_container_that_may_use_all_devices_costs_one_write() -> None:
    assert v1_lines([ALLOW_ALL]) == v1_lines([DENY_ALL, ALLOW_ALL]) == [("devices.allow", "a")]


def test_an_allowed_device_is_an_exception() -> None:
    lines = v1_lines([DENY_ALL, rule(True, "c", 10, 229, "rw"), rule(True, "b", 8, access="r")])
    assert lines[:3] == [
        ("devices.deny", "a"),
        ("devices.allow", "c 10:229 rw"),
        ("devices.allow", "b 8:* r"),
    ]
    assert lines[3:] == ESSENTIAL_LINES


def test_a_denied_device_is_an_exception_when_all_are_allowed() -> None:
    assert v1_lines([ALLOW_ALL, rule(False, "c", 10, 229, "wr")]) == [
        ("devices.allow", "a"),
        ("devices.deny", "c 10:229 rw"),
    ]


def test_essential_devices_are_allowed_whatever_the_spec_says() -> None:
    assert v1_lines([ALLOW_ALL, rule(False, "c", 1, 3)]) == [("devices.allow", "a")]
    assert v1_lines([rule(False, "c", 1, 3)]) == v1_lines([])


def test_a_later_rule_takes_back_an_earlier_one() -> None:
    both = [rule(True, "c", 7, 7), rule(False, "c", 7, 7, "w")]
    assert v1_lines(both)[1] == ("devices.allow", "c 7:7 rm")
    wider = [rule(True, "c", 7, 7, "rw"), rule(False, "c", 7, None, "rw")]
    assert v1_lines(wider) == v1_lines([])


def test_accesses_to_one_device_are_put_together() -> None:
    assert v1_lines([rule(True, "c", 7, 7, "w"), rule(True, "c", 7, 7, "r")])[1] == (
        "devices.allow",
        "c 7:7 rw",
    )


def test_a_rule_for_all_types_with_numbers_or_accesses_is_one_for_each() -> None:
    """The kernel takes "a 7:7 r" for "a": it would allow everything, as runc 1.1 does."""
    assert v1_lines([rule(True, "a", 7, 7, "r")])[1:3] == [
        ("devices.allow", "b 7:7 r"),
        ("devices.allow", "c 7:7 r"),
    ]
    assert v1_lines([rule(True, access="r")])[1:3] == [
        ("devices.allow", "b *:* rm"),
        ("devices.allow", "c *:* rm"),
    ]


def test_one_type_may_be_allowed_as_a_whole() -> None:
    assert v1_lines([rule(True, "c")]) == [
        ("devices.deny", "a"),
        ("devices.allow", "b *:* m"),
        ("devices.allow", "c *:* rwm"),
    ]


def test_minus_one_is_any_number() -> None:
    assert v1_lines([rule(True, "c", -1, 7, "rw")]) == v1_lines([rule(True, "c", None, 7, "rw")])
    assert v1_lines([rule(True, "c", -1, 7, "rw")])[1] == ("devices.allow", "c *:7 rw")


@pytest.mark.parametrize(
    ("rules", "text"),
    [
        (
            [DENY_ALL, rule(True, "c", access="m"), rule(False, "c", 1, 3, "m")],
            'cgroup v1 cannot deny "c 1:3 m" while "c *:* m" is allowed',
        ),
        (
            [ALLOW_ALL, rule(False, "c", 1)],
            'cgroup v1 cannot allow "c 1:3 rwm" while "c 1:* rw" is denied',
        ),
        (
            [rule(True, "c", 7, None, "r"), rule(False, "c", None, 8, "r")],
            'cgroup v1 cannot deny "c *:8 r" while "c 7:* r" is allowed',
        ),
        (
            [rule(True, "c"), rule(False, "c", 9, 9, "w")],
            'cgroup v1 cannot deny "c 9:9 w" while "c *:* rwm" is allowed',
        ),
    ],
)
def test_what_v1_would_silently_not_do_is_refused(rules: list[DeviceCgroup], text: str) -> None:
    with pytest.raises(Error) as error:
        v1_lines(rules)
    assert str(error.value) == "linux.resources.devices: " + text


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        (rule(True, "x"), '.type: "x" is none of a, b and c'),
        (rule(True, "p"), '.type: "p" is none of a, b and c'),
        (rule(True, "c", access=None), ".access: is missing or empty"),
        (rule(True, "c", access=""), ".access: is missing or empty"),
        (rule(True, "c", access="rwx"), '.access: "x" is none of r, w and m'),
        (rule(True, "c", -2), ".major: -2 is no device number"),
        (rule(True, "c", 1, 1 << 32), ".minor: 4294967296 is no device number"),
    ],
)
def test_a_bad_rule_is_named(bad: DeviceCgroup, text: str) -> None:
    with pytest.raises(Error) as error:
        v1_lines([DENY_ALL, bad])
    assert str(error.value) == "linux.resources.devices[1]" + text


class Kernel:
    """security/device_cgroup.c: a default for all devices, and exceptions found by their exact numbers."""

    def __init__(self) -> None:
        self.allows = True
        self.exceptions: dict[tuple[str, str], set[str]] = {}

    def write(self, file: str, value: str) -> None:
        """To devices.allow or devices.deny."""
        allow = file == "devices.allow"
        if value[0] == "a":
            self.allows = allow
            self.exceptions = {}
            return
        kind, numbers, access = value.split(" ")
        if allow == self.allows:
            held = self.exceptions.get((kind, numbers), set())
            held -= set(access)
            if not held:
                self.exceptions.pop((kind, numbers), None)
        else:
            self.exceptions.setdefault((kind, numbers), set()).update(access)

    def allowed(self, kind: str, major: int, minor: int, access: str) -> bool:
        """One access to one device."""
        matching = ((kind, f"{a}:{b}") for a, b in itertools.product((str(major), "*"), (str(minor), "*")))
        return self.allows != any(access in self.exceptions.get(key, ()) for key in matching)


small = st.sampled_from([None, 1, 3, 5])
any_rule = st.builds(
    rule,
    st.booleans(),
    st.sampled_from([None, "a", "b", "c"]),
    small,
    small,
    st.sampled_from(["r", "w", "m", "rw", "rwm", "mr"]),
)


@settings(max_examples=500)
@given(st.lists(st.one_of(any_rule, st.sampled_from([ALLOW_ALL, DENY_ALL])), max_size=5))
def test_the_last_matching_rule_decides_or_the_list_is_refused(rules: list[DeviceCgroup]) -> None:
    try:
        lines = v1_lines(rules)
    except Error:
        return
    kernel = Kernel()
    for line in lines:
        kernel.write(*line)
    wanted = expand(rules) + essential_device_rules()
    for device in itertools.product("bc", (1, 3, 5, 9), (1, 3, 5, 9), "rwm"):
        assert kernel.allowed(*device) == last_match(wanted, *device), device
