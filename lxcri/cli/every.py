"""Every command and option."""

from __future__ import annotations

from .commands import BUNDLE, CREATE_OPTIONS, DURATION, FLAG, ID, LOOPED, NUMBER, TEXT, Argument, Command, Option

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

COMMANDS = LOOPED | {
    command.name: command
    for command in (
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
