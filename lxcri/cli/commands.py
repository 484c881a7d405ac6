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

EXEC_OPTIONS = (
    Option("process", TEXT, "File with the process object of config.json.", short="p", metavar="FILE"),
    Option("cwd", TEXT, "Working directory in the container.", metavar="DIR"),
    Option("env", TEXT, "Environment variable; may be repeated.", short="e", metavar="NAME=VALUE", repeated=True),
    Option("tty", FLAG, "Give the process a terminal.", short="t", default=False),
    Option("user", TEXT, "Ids of user and group.", short="u", metavar="UID[:GID]"),
    Option("additional-gids", TEXT, "Further group; may be repeated.", short="g", metavar="GID", repeated=True),
    Option("cap", TEXT, "Capability to add; may be repeated.", short="c", metavar="CAP", repeated=True),
    Option("console-socket", TEXT, "Unix socket to send the terminal's master end to.", metavar="SOCKET"),
    Option("pidfd-socket", TEXT, "Unix socket to send a pidfd of the process to.", metavar="SOCKET"),
    Option("detach", FLAG, "Do not wait for the process.", short="d", default=False),
    Option("pid-file", TEXT, "File to write the pid of the process to.", metavar="FILE"),
    Option("process-label", TEXT, "SELinux label of the process.", metavar="LABEL"),
    Option("apparmor", TEXT, "AppArmor profile of the process.", metavar="PROFILE"),
    Option("no-new-privs", FLAG, "Set no_new_privs for the process.", default=False),
    Option(
        "preserve-fds",
        NUMBER,
        "Pass this many descriptors from 3 on to the process.",
        metavar="N",
        default=0,
    ),
    Option("ignore-paused", FLAG, "Also in a paused container, where it waits for resume.", default=False),
    Option(
        "cgroup",
        TEXT,
        "Cgroup below the container's, in all hierarchies or in those of the controllers; may be repeated.",
        metavar="[CONTROLLERS:]PATH",
        repeated=True,
    ),
)

UPDATE_OPTIONS = (
    Option(
        "resources",
        TEXT,
        "JSON file with linux.resources; - is standard input. Other limits than the schemata are ignored then.",
        short="r",
        metavar="FILE",
    ),
    Option("blkio-weight", TEXT, "Weight for block devices, 10 to 1000.", metavar="WEIGHT"),
    Option("cpu-period", TEXT, "Length of the CPU period.", metavar="MICROSECONDS"),
    Option("cpu-quota", TEXT, "CPU time in a period, -1 for no limit.", metavar="MICROSECONDS"),
    Option("cpu-burst", TEXT, "CPU time that may be saved up for later periods.", metavar="MICROSECONDS"),
    Option("cpu-share", TEXT, "Weight for CPU time, 2 to 262144.", metavar="SHARES"),
    Option("cpu-rt-period", TEXT, "Length of the real-time period.", metavar="MICROSECONDS"),
    Option("cpu-rt-runtime", TEXT, "CPU time in a real-time period.", metavar="MICROSECONDS"),
    Option("cpuset-cpus", TEXT, "CPUs to run on, like 0-3,7.", metavar="LIST"),
    Option("cpuset-mems", TEXT, "Memory nodes to use.", metavar="LIST"),
    Option("cpu-idle", TEXT, "1 to give CPU time only when nobody else wants it.", metavar="0|1"),
    Option("kernel-memory", TEXT, "Limit for the kernel's memory.", metavar="BYTES", hidden=True),
    Option("kernel-memory-tcp", TEXT, "Limit for TCP buffers.", metavar="BYTES", hidden=True),
    Option("memory", TEXT, "Memory limit in bytes, or like 64M; -1 for none.", metavar="BYTES"),
    Option("memory-reservation", TEXT, "Memory to leave to the container, if possible.", metavar="BYTES"),
    Option("memory-swap", TEXT, "Limit for memory and swap together.", metavar="BYTES"),
    Option("pids-limit", TEXT, "Greatest number of processes and threads, -1 for no limit.", metavar="NUMBER"),
    Option("l3-cache-schema", TEXT, "Share of the L3 cache, as in a schemata file of resctrl.", metavar="SCHEMA"),
    Option("mem-bw-schema", TEXT, "Share of memory bandwidth, as in a schemata file of resctrl.", metavar="SCHEMA"),
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
            "exec",
            "Run another program in a running container",
            "The exit status is the program's, 128 plus the signal that ended it, or 255 if it was not run.",
            arguments=(ID,),
            rest="args",
            options=EXEC_OPTIONS,
            failure=255,
        ),
        Command(
            "ps",
            "List the processes of a container",
            "The table is what `ps` prints of them, with its options given after the ID, -ef if there are none.",
            arguments=(ID,),
            rest="ps_options",
            options=(
                Option(
                    "format",
                    TEXT,
                    "Output format; json is the pids alone.",
                    short="f",
                    choices=("table", "json"),
                    default="table",
                ),
            ),
        ),
        Command("pause", "Stop all processes of a container until `resume`", arguments=(ID,)),
        Command("resume", "Let the processes of a paused container go on", arguments=(ID,)),
        Command(
            "update",
            "Change the limits of a container",
            "A limit of 0, and one that is not given, stays as it is. If one is refused, all stay as they are.",
            arguments=(ID,),
            options=UPDATE_OPTIONS,
        ),
        Command(
            "events",
            "Print what a container uses, and when it runs out of memory, as JSON",
            "Until the container ends, or is deleted.",
            arguments=(ID,),
            options=(
                Option("interval", DURATION, "Time between two of them.", metavar="DURATION", default=5.0),
                Option("stats", FLAG, "Print what it uses now, and nothing else.", default=False),
            ),
        ),
        Command("features", "Print what this runtime can do, as JSON"),
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
        Command(
            "bench",
            "Time the life of a container with several runtimes, side by side",
            "RUNTIMES are NAME=COMMAND. In turn they create, query, start, kill and delete a container of the bundle. "
            "Times are in milliseconds, and compared with those of the last one.",
            rest="runtimes",
            options=(
                BUNDLE,
                Option("cycles", NUMBER, "How often.", short="n", metavar="N", default=20),
                Option("json-file", TEXT, "Write all figures to a file.", metavar="FILE"),
                Option("svg", TEXT, "Write a chart to a file.", metavar="FILE"),
            ),
        ),
        Command("checkpoint", "Not supported", refused=REFUSED),
        Command("restore", "Not supported", refused=REFUSED),
    )
}
