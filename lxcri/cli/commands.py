"""
Commands and options, as plain data; reading it imports nothing.

fast.py parses what is right, click_app.py turns the same data into help, error texts and completion. Names,
defaults and meanings are runc's where runc has them.
"""

from __future__ import annotations

from ..errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Value = str | int | float | bool | list[str] | None
    Values = dict[str, Any]

TEXT = "text"  # any text; an empty one counts as not given
NUMBER = "number"  # decimal, not negative
FLAG = "flag"  # --force, or --force=BOOL
DURATION = "duration"  # as Go writes it: 5s, 1m30s, 500ms; the value is in seconds, more than 0

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")
TRUTH = {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}
"""How a boolean is written: what Go's flag package accepts, since engines are written in Go."""

HELP_WORDS = ("--help", "-help", "-h", "--h")

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "\u00b5s": 1e-6, "\u03bcs": 1e-6, "ns": 1e-9}
_LONGEST = 2**63 / 1e9  # Go counts nanoseconds in an int64


def duration(text: str) -> float:
    """Seconds of a text like 1m30s or 0.5s, as Go's time.ParseDuration reads it; raises ValueError."""
    total = 0.0
    rest = text.removeprefix("+")
    while rest:
        number = rest[: len(rest) - len(rest.lstrip("0123456789."))]
        unit = rest[len(number) : len(rest) - len(rest[len(number) :].lstrip("hmnsu\u00b5\u03bc"))]
        if unit not in _UNITS or number.count(".") > 1 or not number.strip("."):
            raise ValueError(f'"{text}" is not a duration like 1m30s')
        total += float(number) * _UNITS[unit]
        rest = rest[len(number) + len(unit) :]
    if not 0 < total < _LONGEST:
        raise ValueError(f'"{text}" is not a duration greater than 0')
    return total


class Option:
    """
    An option: ``--name VALUE``, ``--name=VALUE``, with one dash or two, and the same with its short name.

    Kind is TEXT, NUMBER, FLAG or DURATION; metavar is the value's name in help texts; choices, if any, are all
    values allowed. A repeated option, whose kind is TEXT, may be there any number of times; its value is the list
    of all texts.
    """

    __slots__ = ("choices", "default", "help", "hidden", "keyword", "kind", "metavar", "name", "repeated", "short")

    def __init__(
        self,
        name: str,
        kind: str,
        help: str,
        *,
        short: str = "",
        metavar: str = "",
        default: Value = None,
        choices: tuple[str, ...] = (),
        hidden: bool = False,
        repeated: bool = False,
    ) -> None:
        self.name = name
        self.keyword = name.replace("-", "_")
        self.kind = kind
        self.help = help
        self.short = short
        self.metavar = metavar
        self.default = default
        self.choices = choices
        self.hidden = hidden
        self.repeated = repeated

    def absent(self) -> Value:
        """The value if the option is not given."""
        return [] if self.repeated else self.default

    def convert(self, text: str) -> Value:
        """The value that this text stands for, of a repeated option one of its list; raises ValueError."""
        if self.kind is FLAG:
            if text not in TRUTH:
                raise ValueError(f'"{text}" is neither true nor false')
            return TRUTH[text]
        if self.kind is NUMBER:
            if not (text.isascii() and text.isdigit() and len(text) < 10):
                raise ValueError(f'"{text}" is not a number')
            return int(text)
        if self.kind is DURATION:
            return duration(text)
        if self.repeated:
            return text
        if self.choices and text not in self.choices:
            raise ValueError(f'"{text}" is not one of {", ".join(self.choices)}')
        return text or self.default


class Argument:
    """A positional argument; one with a default may be left out."""

    __slots__ = ("default", "keyword", "required")

    def __init__(self, keyword: str, *, required: bool = True, default: Value = None) -> None:
        self.keyword = keyword
        self.required = required
        self.default = default


class Command:
    """
    A verb: ``lxcri.verbs.<name>.run(ctx, **arguments)``.

    Arguments without default come first. With ``rest``, a keyword, options end at the first argument, and all words
    after the arguments are its value, untouched. ``failure`` is the exit status of what failed. A command with a
    reason in ``refused`` takes any words and always fails with that reason.
    """

    __slots__ = ("arguments", "failure", "help", "name", "options", "refused", "rest", "summary")

    def __init__(
        self,
        name: str,
        summary: str,
        help: str = "",
        *,
        arguments: tuple[Argument, ...] = (),
        options: tuple[Option, ...] = (),
        rest: str = "",
        failure: int = 1,
        refused: str = "",
    ) -> None:
        self.name = name
        self.summary = summary
        self.help = help
        self.arguments = arguments
        self.options = options
        self.rest = rest
        self.failure = failure
        self.refused = refused


class Request:
    """A parsed command line: global options, the command, and the arguments of its verb, all by keyword."""

    __slots__ = ("arguments", "command", "options")

    def __init__(self, options: Values, command: Command, arguments: Values) -> None:
        self.options = options
        self.command = command
        self.arguments = arguments


class UsageError(Error):
    """A wrong command line; ``verb`` may be empty, ``options`` are the global ones that are known."""

    def __init__(self, message: str, verb: str, options: Values) -> None:
        super().__init__(message)
        self.verb = verb
        self.options = options


GLOBAL_OPTIONS = (
    Option(
        "root",
        TEXT,
        "Directory of the containers' state.  [default: /run/lxcri, or $XDG_RUNTIME_DIR/lxcri]",
        metavar="DIR",
    ),
    Option("log", TEXT, "File to append errors and warnings to.", metavar="FILE"),
    Option("log-format", TEXT, "How records are written to the log.", choices=("text", "json"), default="text"),
    Option("debug", FLAG, "Log more, and also on standard error.", default=False),
    Option(
        "systemd-cgroup",
        FLAG,
        'Let systemd make the cgroup; cgroupsPath is "slice:prefix:name".',
        default=False,
    ),
    Option(
        "rootless",
        TEXT,
        "Whether missing permissions for cgroups are no error.",
        metavar="true|false|auto",
        choices=("auto", *TRUTH),
        default="auto",
    ),
    Option("config", TEXT, "Runtime configuration.", metavar="FILE", default="/etc/lxcri/lxcri.json"),
    Option("apparmor", FLAG, "Whether AppArmor profiles are applied.", metavar="BOOL"),
    Option("capabilities", FLAG, "Whether capabilities are restricted.", metavar="BOOL"),
    Option("cgroup-devices", FLAG, "Whether access to devices is restricted.", metavar="BOOL"),
    Option("seccomp", FLAG, "Whether system calls are filtered.", metavar="BOOL"),
    Option("criu", TEXT, "Accepted and not used, as by runc.", metavar="FILE", hidden=True),
)

ID = Argument("id")

BUNDLE = Option("bundle", TEXT, "Directory of config.json.", short="b", metavar="DIR", default=".")

CREATE_OPTIONS = (
    BUNDLE,
    Option("pid-file", TEXT, "File to write the pid of the container's init to.", metavar="FILE"),
    Option("console-socket", TEXT, "Unix socket to send the terminal's master end to.", metavar="SOCKET"),
    Option("pidfd-socket", TEXT, "Unix socket to send a pidfd of the container's init to.", metavar="SOCKET"),
    Option(
        "preserve-fds",
        NUMBER,
        "Pass this many descriptors from 3 on to the container.",
        metavar="N",
        default=0,
    ),
    Option("no-pivot", FLAG, "Refused: the root file system is always entered by pivot_root.", default=False),
    Option("no-new-keyring", FLAG, "Do not give the container a session keyring of its own.", default=False),
)

LOOPED = {
    command.name: command
    for command in (
        Command(
            "create",
            "Create a container from a bundle",
            "ID is the new container's name. Its process waits for `lxcri start`.",
            arguments=(ID,),
            options=CREATE_OPTIONS,
        ),
        Command("start", "Run the program of a created container", arguments=(ID,)),
        Command("state", "Print the state of a container as JSON", arguments=(ID,)),
        Command(
            "kill",
            "Send a signal to a container's init",
            "SIGNAL is a number or a name with or without SIG, SIGTERM if left out.",
            arguments=(ID, Argument("signal", required=False, default="SIGTERM")),
            options=(Option("all", FLAG, "Send it to all processes of the container.", short="a", default=False),),
        ),
        Command(
            "delete",
            "Remove what a stopped container holds",
            "A container that was created and not started is killed first.",
            arguments=(ID,),
            options=(
                Option(
                    "force",
                    FLAG,
                    "Kill a running container; a container that does not exist is no error.",
                    short="f",
                    default=False,
                ),
            ),
        ),
    )
}
"""The commands that engines call in a loop; the others are in every.py, which takes time to read."""
