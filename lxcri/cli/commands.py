"""
Every command and option, as plain data; reading it imports nothing.

fast.py parses what is right, click_app.py turns the same data into help, error texts and completion. Names,
defaults and meanings are runc's where runc has them.
"""

from __future__ import annotations

from ..errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    Value = str | int | bool | None
    Values = dict[str, Any]

TEXT = "text"  # any text; an empty one counts as not given
NUMBER = "number"  # decimal, not negative
FLAG = "flag"  # --force, or --force=BOOL

_TRUE = ("1", "t", "T", "true", "TRUE", "True")
_FALSE = ("0", "f", "F", "false", "FALSE", "False")
TRUTH = {**dict.fromkeys(_TRUE, True), **dict.fromkeys(_FALSE, False)}
"""How a boolean is written: what Go's flag package accepts, since engines are written in Go."""

HELP_WORDS = ("--help", "-help", "-h", "--h")


class Option:
    """
    An option: ``--name VALUE``, ``--name=VALUE``, with one dash or two, and the same with its short name.

    Kind is TEXT, NUMBER or FLAG; metavar is the value's name in help texts; choices, if any, are all values
    allowed.
    """

    __slots__ = ("choices", "default", "help", "hidden", "keyword", "kind", "metavar", "name", "short")

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

    def convert(self, text: str) -> Value:
        """The value that this text stands for; raises ValueError with the reason."""
        if self.kind is FLAG:
            if text not in TRUTH:
                raise ValueError(f'"{text}" is neither true nor false')
            return TRUTH[text]
        if self.kind is NUMBER:
            if not (text.isascii() and text.isdigit() and len(text) < 10):
                raise ValueError(f'"{text}" is not a number')
            return int(text)
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

    Arguments without default come first. A command with a reason in ``refused`` takes any words and always
    fails with that reason.
    """

    __slots__ = ("arguments", "help", "name", "options", "refused", "summary")

    def __init__(
        self,
        name: str,
        summary: str,
        help: str = "",
        *,
        arguments: tuple[Argument, ...] = (),
        options: tuple[Option, ...] = (),
        refused: str = "",
    ) -> None:
        self.name = name
        self.summary = summary
        self.help = help
        self.arguments = arguments
        self.options = options
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

REFUSED = "checkpoint and restore are not supported by this version of lxcri"

COMMANDS = {
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
        Command(
            "run",
            "Create a container, start it and wait for it",
            "The exit status is that of the container's init, or 128 plus the signal that ended it.",
            arguments=(ID,),
            options=(
                *CREATE_OPTIONS,
                Option("detach", FLAG, "Do not wait for the container.", short="d", default=False),
                Option("keep", FLAG, "Do not delete the container when it ends.", default=False),
                Option(
                    "no-subreaper",
                    FLAG,
                    "Do not adopt the processes that the container leaves behind.",
                    default=False,
                ),
            ),
        ),
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
        Command(
            "list",
            "List the containers",
            options=(
                Option("format", TEXT, "Output format.", short="f", choices=("table", "json"), default="table"),
                Option("quiet", FLAG, "Print the ids only.", short="q", default=False),
            ),
        ),
        Command(
            "spec",
            "Write a config.json to start from",
            "It runs `sh` on a terminal, in the root file system that is in rootfs beside it.",
            options=(
                BUNDLE,
                Option("rootless", FLAG, "Write one that runs without root.", default=False),
            ),
        ),
        Command(
            "plan",
            "Print what a bundle would become, and start nothing",
            arguments=(Argument("bundle", required=False, default="."),),
            options=(Option("id", TEXT, "Name that the container would have.", metavar="ID", default="plan"),),
        ),
        Command("checkpoint", "Not supported", refused=REFUSED),
        Command("restore", "Not supported", refused=REFUSED),
    )
}
