"""What every verb gets: the global options, and where its output goes."""

from __future__ import annotations

import posix

from .cli.commands import TRUTH
from .errors import Error, reason
from .log import Log

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .cli.commands import Values
    from .rootless import Outside

ROOT = "/run/lxcri"
TIMEOUT = 60.0


class Context:
    """
    The circumstances of one command.

    root: state directory, absolute
    config: file with the runtime's own configuration; need not exist
    systemd_cgroup: whether systemd makes the cgroup
    rootless: whether missing permissions for cgroups are no error; None: as the circumstances demand
    apparmor, capabilities, cgroup_devices, seccomp: switches; None: not given on the command line
    outside: a process in the caller's namespaces, once this one has left them
    timeout: seconds that others get, which the configuration may change
    """

    __slots__ = (
        "apparmor",
        "capabilities",
        "cgroup_devices",
        "config",
        "debug",
        "log",
        "outside",
        "root",
        "rootless",
        "seccomp",
        "systemd_cgroup",
        "timeout",
        "verb",
    )

    def __init__(
        self,
        verb: str,
        *,
        root: str = ROOT,
        log: Log | None = None,
        debug: bool = False,
        systemd_cgroup: bool = False,
        rootless: bool | None = None,
        config: str = "",
        apparmor: bool | None = None,
        capabilities: bool | None = None,
        cgroup_devices: bool | None = None,
        seccomp: bool | None = None,
    ) -> None:
        self.verb = verb
        self.root = root
        self.log = log or Log(None, "text", debug)
        self.debug = debug
        self.systemd_cgroup = systemd_cgroup
        self.rootless = rootless
        self.config = config
        self.apparmor = apparmor
        self.capabilities = capabilities
        self.cgroup_devices = cgroup_devices
        self.seccomp = seccomp
        self.outside: Outside | None = None
        self.timeout = TIMEOUT

    @classmethod
    def from_options(cls, verb: str, options: Values) -> Context:
        """The context for a verb under these global options; raises Error if the log cannot be opened."""
        debug = options["debug"]
        return cls(
            verb,
            root=state_root(options["root"]),
            log=open_log(options),
            debug=debug,
            systemd_cgroup=options["systemd_cgroup"],
            rootless=None if options["rootless"] == "auto" else TRUTH[options["rootless"]],
            config=options["config"],
            apparmor=options["apparmor"],
            capabilities=options["capabilities"],
            cgroup_devices=options["cgroup_devices"],
            seccomp=options["seccomp"],
        )

    def print(self, text: str) -> None:
        """Write to standard output at once, as UTF-8, whatever the locale says."""
        data = text.encode("utf-8", "surrogateescape")
        while data:
            try:
                data = data[posix.write(1, data) :]
            except BrokenPipeError:
                raise
            except OSError as e:
                raise Error(f"standard output: {reason(e)}") from e


def open_log(options: Values) -> Log:
    """The log that these global options name; raises Error."""
    try:
        return Log(options["log"], options["log_format"], options["debug"])
    except OSError as e:
        raise Error(f"log {options['log']}: {reason(e)}") from e


def state_root(given: str | None) -> str:
    """The absolute path of the state directory: the one given, or the default for this user."""
    if given:
        return given if given.startswith("/") else f"{posix.getcwd()}/{given}"
    if not is_rootless():
        return ROOT
    if runtime_dir := posix.environ.get(b"XDG_RUNTIME_DIR"):
        return f"{runtime_dir.decode('utf-8', 'surrogateescape')}/lxcri"
    uid = posix.geteuid()
    if uid == 0:  # the root of a user namespace, with a /run that may well be its own
        return ROOT
    if _owner(f"/run/user/{uid}") == uid:
        return f"/run/user/{uid}/lxcri"
    root = f"/tmp/lxcri-{uid}"
    if _owner(root) not in (uid, None):
        raise Error(f"{root}: it belongs to another user; set XDG_RUNTIME_DIR, or give --root")
    return root


def _owner(directory: str) -> int | None:
    try:
        return posix.lstat(directory).st_uid
    except OSError:
        return None


def is_rootless() -> bool:
    """Whether we are an ordinary user, or root of a user namespace only."""
    if posix.geteuid() != 0:
        return True
    if posix.environ.get(b"USER") == b"root":
        return False
    try:
        with open("/proc/self/uid_map", "rb", 0) as uid_map:
            return uid_map.read(64).split() != [b"0", b"0", b"4294967295"]
    except OSError:
        return False
