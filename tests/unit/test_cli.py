"""Both parsers of the command line, held to the table and to each other."""

from __future__ import annotations

import inspect
from contextlib import suppress
from importlib import import_module
from importlib.util import find_spec
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings, strategies as st

from lxcri.cli import click_app, fast
from lxcri.cli.commands import DURATION, FLAG, GLOBAL_OPTIONS, HELP_WORDS, NUMBER, TRUTH, UsageError, duration
from lxcri.cli.every import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lxcri.cli.commands import Command, Option, Request

WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=8)
PARSED = {name: command for name, command in COMMANDS.items() if not command.refused}
BAD_VALUES = {
    FLAG: ("yes", "", "2", "tRue"),
    DURATION: ("", "0", "0s", "-1s", "5", "s", "1x", "1s2", "1.2.3s", ".s", "1 s", "9999999999h", "\u06615s"),
    NUMBER: ("-1", "", "x", "1.0", "0x10", "1_0", " 1", "9999999999", "\u0661"),
}


def outcome(request: Request | int | None) -> tuple[Any, ...]:
    """What makes two requests the same."""
    assert not isinstance(request, int)
    assert request is not None
    return (request.command.name, dict(request.options), dict(request.arguments))


@st.composite
def spelled_option(draw: st.DrawFn, option: Option) -> tuple[list[str], Any]:
    """A right spelling of an option, and the value that it stands for."""
    name = draw(st.sampled_from([name for name in (option.name, option.short) if name]))
    dashes = draw(st.sampled_from(["-", "--"]))
    if option.kind is FLAG:
        text = draw(st.sampled_from(["", *TRUTH]))
        return ([f"{dashes}{name}={text}" if text else f"{dashes}{name}"], TRUTH[text] if text else True)
    value: Any
    if option.kind is NUMBER:
        value = draw(st.integers(0, 999_999_999))
        text = str(value)
    elif option.kind is DURATION:
        text, value = draw(st.sampled_from([("5s", 5.0), ("1m30.5s", 90.5), ("+2h", 7200.0), ("250ms", 0.25)]))
    elif option.choices:
        text = value = draw(st.sampled_from(option.choices))
    elif option.repeated:
        text = value = draw(WORDS)
    else:
        text = draw(WORDS)
        value = text or option.default
    joined = draw(st.booleans())
    return ([f"{dashes}{name}={text}"] if joined else [f"{dashes}{name}", text], value)


@st.composite
def spelled_options(draw: st.DrawFn, options: Sequence[Option]) -> tuple[list[list[str]], dict[str, Any]]:
    """Right spellings of some of these options, some of them repeatedly; the last of each counts, or all."""
    values: dict[str, Any] = {option.keyword: option.absent() for option in options}
    spellings = []
    for option in draw(st.lists(st.sampled_from(options), max_size=4)) if options else []:
        spelling, value = draw(spelled_option(option))
        values[option.keyword] = [*values[option.keyword], value] if option.repeated else value
        spellings.append(spelling)
    return (spellings, values)


@st.composite
def right_command_line(draw: st.DrawFn) -> tuple[list[str], tuple[Any, ...]]:
    """A command line without error, and what it asks for."""
    command = draw(st.sampled_from(list(PARSED.values())))
    spellings, options = draw(spelled_options(GLOBAL_OPTIONS))
    words = [*chain.from_iterable(spellings), command.name]
    spellings, arguments = draw(spelled_options(command.options))
    if command.rest:
        leading = [draw(WORDS) for _ in command.arguments]
        arguments.update(zip((argument.keyword for argument in command.arguments), leading, strict=True))
        arguments[command.rest] = draw(st.lists(st.one_of(WORDS, noise()), max_size=4))
        after = [*leading, *arguments[command.rest]]
        end = ["--"] if (after and len(after[0]) > 1 and after[0][0] == "-") or draw(st.booleans()) else []
        words += [*chain.from_iterable(spellings), *end, *after]
        return (words, (command.name, options, arguments))
    required = sum(argument.required for argument in command.arguments)
    positionals = draw(st.lists(WORDS, min_size=required, max_size=len(command.arguments)))
    for argument, word in zip(command.arguments, positionals, strict=False):
        arguments[argument.keyword] = word
    for argument in command.arguments[len(positionals) :]:
        arguments[argument.keyword] = argument.default
    before = draw(st.integers(0, len(positionals)))
    if any(len(word) > 1 and word[0] == "-" for word in positionals[:before]):
        before = 0
    options_left = iter(spellings)
    positionals_left = iter(positionals[:before])
    for is_option in draw(st.permutations([*[True] * len(spellings), *[False] * before])):
        words += next(options_left) if is_option else [next(positionals_left)]
    rest = positionals[before:]
    superfluous = draw(st.booleans())
    if rest or superfluous:
        words += ["--", *rest]
    return (words, (command.name, options, arguments))


@given(right_command_line())
def test_both_parsers_understand_every_right_command_line(line: tuple[list[str], tuple[Any, ...]]) -> None:
    words, expected = line
    assert outcome(fast.parse(words)) == expected
    assert outcome(click_app.parse(words)) == expected


def noise() -> st.SearchStrategy[str]:
    """Words of which command lines are made, and others."""
    options = [option for command in COMMANDS.values() for option in command.options] + list(GLOBAL_OPTIONS)
    names = sorted({name for option in options for name in (option.name, option.short) if name})
    values = st.sampled_from(["", "true", "false", "0", "7", "json", "x", *BAD_VALUES[FLAG], *BAD_VALUES[NUMBER]])
    dashed = st.builds("{}{}".format, st.sampled_from(["-", "--", "---", ""]), st.sampled_from(names))
    return st.one_of(
        st.sampled_from([*COMMANDS, "c1", "TERM", "--", "-", "", "-9", "--version", "-v", "--nope", *HELP_WORDS]),
        dashed,
        st.builds("{}={}".format, dashed, values),
        values,
        WORDS,
    )


@settings(max_examples=500)
@given(st.lists(noise(), max_size=7))
def test_what_the_fast_parser_understands_click_understands_the_same(words: list[str]) -> None:
    request = fast.parse(words)
    if request is not None:
        assert outcome(click_app.parse(words)) == outcome(request)


@settings(max_examples=200)
@given(st.lists(noise(), max_size=7))
def test_click_answers_every_command_line_with_a_request_or_a_usage_error(
    words: list[str],
) -> None:
    with suppress(UsageError):
        click_app.parse(words)


def every_option() -> list[tuple[list[str], Option]]:
    """Each option with the words that go before it."""
    options: list[tuple[list[str], Option]] = [([], option) for option in GLOBAL_OPTIONS]
    return options + [([command.name], option) for command in PARSED.values() for option in command.options]


@pytest.mark.parametrize(("before", "option"), every_option(), ids=lambda value: getattr(value, "name", None))
def test_a_value_that_does_not_fit_is_a_usage_error_that_names_the_option(before: list[str], option: Option) -> None:
    bad = ("nonsense",) if option.choices else BAD_VALUES.get(option.kind, ())
    after = [] if before else ["list"]
    required = [a.keyword for command in before for a in COMMANDS[command].arguments if a.required]
    for value in bad:
        words = [*before, f"--{option.name}={value}", *after, *required]
        assert fast.parse(words) is None
        with pytest.raises(UsageError) as raised:
            click_app.parse(words)
        assert f"--{option.name}" in str(raised.value)
        assert raised.value.verb == "".join(before)


@pytest.mark.parametrize(
    ("words", "texts", "verb"),
    [
        (["nope"], ("no such command", "nope"), ""),
        (["--nope", "state"], ("no such option", "--nope"), ""),
        (["--root"], ("--root", "requires an argument"), ""),
        (["state"], ("missing argument", "ID"), "state"),
        (["state", "a", "b"], ("unexpected extra argument", "b"), "state"),
        (["kill", "a", "TERM", "b"], ("unexpected extra argument", "b"), "kill"),
        (["kill", "a", "-9"], ("no such option", "-9"), "kill"),
        (["delete", "--for", "a"], ("no such option", "--for", "--force"), "delete"),
        (["create", "--bundle"], ("--bundle", "requires an argument"), "create"),
        (["list", "a"], ("unexpected extra argument", "a"), "list"),
    ],
)
def test_a_usage_error_says_what_is_wrong(words: list[str], texts: tuple[str, ...], verb: str) -> None:
    assert fast.parse(words) is None
    with pytest.raises(UsageError) as raised:
        click_app.parse(words)
    message = str(raised.value)
    assert all(text in message for text in texts)
    assert raised.value.verb == verb
    assert message.endswith(f"(see {f'lxcri {verb}'.rstrip()} --help)")


ENGINE_CALLS = [
    ("create --bundle B --pid-file P ID", "create", {"bundle": "B", "pid_file": "P", "id": "ID"}),
    (
        "create --bundle B --pid-file P --console-socket S --preserve-fds 3 ID",
        "create",
        {"console_socket": "S", "preserve_fds": 3},
    ),
    ("--log-format=json --log F create --bundle B --pid-file P ID", "create", {"no_pivot": False}),
    ("--systemd-cgroup create --bundle B --pid-file P ID", "create", {"id": "ID"}),
    ("start ID", "start", {"id": "ID"}),
    ("kill ID 9", "kill", {"id": "ID", "signal": "9", "all": False}),
    ("delete --force ID", "delete", {"id": "ID", "force": True}),
    (
        "--root R --log L --log-format json --systemd-cgroup create -b B --no-pivot --no-new-keyring ID",
        "create",
        {"no_pivot": True, "no_new_keyring": True},
    ),
    ("--root R --log L --log-format json kill --all ID 15", "kill", {"all": True, "signal": "15"}),
    ("--debug --criu /usr/sbin/criu --rootless=true list --format=json", "list", {"format": "json"}),
    ("--rootless=false state ID", "state", {"id": "ID"}),
    ("run --detach --no-subreaper --keep ID", "run", {"detach": True, "no_subreaper": True, "keep": True}),
    (
        "exec --pid-file P --process F --detach --tty --console-socket S ID",
        "exec",
        {"id": "ID", "args": [], "pid_file": "P", "process": "F", "detach": True, "tty": True, "console_socket": "S"},
    ),
    (
        "--root R --log L --log-format json exec --process F --detach --pid-file P ID",
        "exec",
        {"process": "F", "detach": True, "pid_file": "P", "tty": False, "console_socket": None},
    ),
    ("pause ID", "pause", {"id": "ID"}),
    ("resume ID", "resume", {"id": "ID"}),
    ("ps --format json ID", "ps", {"id": "ID", "format": "json", "ps_options": []}),
    ("update --resources - ID", "update", {"id": "ID", "resources": "-", "memory": None}),
    ("update --resources=F ID", "update", {"resources": "F"}),
    ("events --stats ID", "events", {"stats": True, "interval": 5.0}),
    ("events --interval=1m30s ID", "events", {"stats": False, "interval": 90.0}),
    ("features", "features", {}),
]


@pytest.mark.parametrize(("line", "verb", "expected"), ENGINE_CALLS, ids=[line for line, _, _ in ENGINE_CALLS])
def test_calls_of_engines_are_understood_without_click(line: str, verb: str, expected: dict[str, Any]) -> None:
    name, _, arguments = outcome(fast.parse(line.split()))
    assert name == verb
    assert expected.items() <= arguments.items()


def test_defaults_are_those_of_runc() -> None:
    _, options, arguments = outcome(fast.parse(["create", "c1"]))
    assert arguments == {
        "id": "c1",
        "bundle": ".",
        "pid_file": None,
        "console_socket": None,
        "pidfd_socket": None,
        "preserve_fds": 0,
        "no_pivot": False,
        "no_new_keyring": False,
    }
    assert options["root"] is None
    assert options["log"] is None
    assert options["log_format"] == "text"
    assert options["rootless"] == "auto"
    assert options["debug"] is False
    assert options["config"] == "/etc/lxcri/lxcri.json"
    assert [options[name] for name in ("apparmor", "capabilities", "cgroup_devices", "seccomp")] == [None] * 4


def test_a_switch_is_on_alone_and_off_with_false() -> None:
    _, options, _ = outcome(fast.parse(["--seccomp=false", "--apparmor", "list"]))
    assert options["seccomp"] is False
    assert options["apparmor"] is True


def test_an_empty_value_counts_as_not_given() -> None:
    _, options, arguments = outcome(fast.parse(["--root=", "--log", "", "create", "--bundle=", "--pid-file", "", "c"]))
    assert (options["root"], options["log"]) == (None, None)
    assert (arguments["bundle"], arguments["pid_file"]) == (".", None)


def test_options_may_follow_the_id() -> None:
    assert outcome(fast.parse(["kill", "c1", "--all", "TERM"]))[2] == {
        "id": "c1",
        "signal": "TERM",
        "all": True,
    }


EXEC: dict[str, Any] = {
    "process": None,
    "cwd": None,
    "env": [],
    "tty": False,
    "user": None,
    "additional_gids": [],
    "cap": [],
    "console_socket": None,
    "pidfd_socket": None,
    "detach": False,
    "pid_file": None,
    "process_label": None,
    "apparmor": None,
    "no_new_privs": False,
    "preserve_fds": 0,
    "ignore_paused": False,
    "cgroup": [],
}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["c1", "ls", "--tty", "-l"], {"id": "c1", "args": ["ls", "--tty", "-l"]}),
        (["c1", "--", "ls"], {"id": "c1", "args": ["--", "ls"]}),
        (["--", "c1", "ls", "--help"], {"id": "c1", "args": ["ls", "--help"]}),
        (["c1"], {"id": "c1", "args": []}),
        (["-t", "c1", "", "-", "-e", "A=1"], {"id": "c1", "tty": True, "args": ["", "-", "-e", "A=1"]}),
        (["-", "-t"], {"id": "-", "args": ["-t"]}),
        (
            ["-e", "A=1,2", "--env=B=", "-env", "", "-u", "1:2", "-g", "3", "-g", "4", "-c", "CAP_KILL", "c1", "x"],
            {
                "id": "c1",
                "args": ["x"],
                "env": ["A=1,2", "B=", ""],
                "user": "1:2",
                "additional_gids": ["3", "4"],
                "cap": ["CAP_KILL"],
            },
        ),
        (["--cgroup", "a", "--cgroup=cpu,memory:b", "c1"], {"id": "c1", "args": [], "cgroup": ["a", "cpu,memory:b"]}),
    ],
)
def test_what_follows_the_id_of_exec_is_the_command(words: list[str], expected: dict[str, Any]) -> None:
    for parse in (fast.parse, click_app.parse):
        assert outcome(parse(["exec", *words]))[2] == EXEC | expected


def test_repeated_options_of_two_command_lines_do_not_mix() -> None:
    for parse in (fast.parse, click_app.parse):
        assert outcome(parse(["exec", "-e", "A=1", "c1"]))[2]["env"] == ["A=1"]
        assert outcome(parse(["exec", "c1"]))[2]["env"] == []


def test_options_of_ps_follow_the_id() -> None:
    for parse in (fast.parse, click_app.parse):
        assert outcome(parse(["ps", "c1", "-o", "pid", "--help"]))[2]["ps_options"] == ["-o", "pid", "--help"]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5s", 5),
        ("1h1m1s", 3661),
        ("1.5h", 5400),
        ("0.5m", 30),
        (".5s", 0.5),
        ("1.s", 1),
        ("100ms", 0.1),
        ("7us", 7e-6),
        ("7\u00b5s", 7e-6),
        ("7\u03bcs", 7e-6),
        ("3ns", 3e-9),
        ("+1s", 1),
    ],
)
def test_durations_are_written_as_in_go(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_only_exec_fails_with_255(command: Command) -> None:
    assert command.failure == (255 if command.name == "exec" else 1)


def test_global_options_end_at_the_verb() -> None:
    assert fast.parse(["state", "--root", "/x", "c1"]) is None


@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_keywords_of_a_command_are_the_parameters_of_its_verb(command: Command) -> None:
    if command.refused:
        assert find_spec(f"lxcri.verbs.{command.name}") is None
        return
    run = import_module(f"lxcri.verbs.{command.name}").run
    first, *others = inspect.signature(run).parameters.values()
    assert first.name == "ctx"
    assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in others)
    assert {parameter.name for parameter in others} == {
        *(option.keyword for option in command.options),
        *(argument.keyword for argument in command.arguments),
        *filter(None, [command.rest]),
    }


@pytest.mark.parametrize("word", HELP_WORDS)
@pytest.mark.parametrize("command", COMMANDS.values(), ids=list(COMMANDS))
def test_help_names_every_option(command: Command, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert click_app.parse([command.name, word]) == 0
    text = capsys.readouterr().out
    assert command.summary in text
    for option in command.options:
        if option.hidden:
            assert f"--{option.name} " not in text
            continue
        assert f"--{option.name}" in text
        assert option.help.split()[0] in text


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"], ["help"], ["h"]])
def test_help_lists_every_command(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert fast.parse(words) is None
    assert click_app.parse(words) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in COMMANDS)
    assert "--criu" not in text


def test_help_of_a_command_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert click_app.parse(["help", "kill"]) == 0
    assert "lxcri kill [OPTIONS] ID [SIGNAL]" in capsys.readouterr().out


@pytest.mark.parametrize("word", ["--version", "-v", "-version"])
def test_version_is_readable_for_docker(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert click_app.parse([word]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("lxcri version ")
    values = dict(line.split(": ") for line in lines[1:])
    assert values["commit"]
    assert values["spec"] == "1.3.0"


@pytest.mark.parametrize("words", [["checkpoint"], ["restore", "--image-path", "/x", "c1"], ["checkpoint", "-x"]])
def test_refused_commands_take_any_words(words: list[str]) -> None:
    assert outcome(fast.parse(words)) == outcome(click_app.parse(words))


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("lxcri ki", ["kill"]),
        ("lxcri --root {root} kill ", ["a", "b"]),
        ("lxcri list --format ", ["table", "json"]),
    ],
)
def test_shells_can_complete(
    line: str,
    expected: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    line = line.format(root=tmp_path)
    monkeypatch.setenv("_LXCRI_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split(" ")) - 1))
    with pytest.raises(SystemExit):
        click_app.parse([])
    assert [line.split(",")[1] for line in capsys.readouterr().out.splitlines()] == expected
