"""config.md, "Process" with its POSIX, Linux and "User" parts."""

from msgspec import field

from .base import I32, U32, U64, Base


class Box(Base):
    """Size of the console, in characters."""

    height: U64
    width: U64


class User(Base):
    """Ids in the container's user namespace."""

    uid: U32 = 0
    gid: U32 = 0
    umask: U32 | None = None
    additional_gids: list[U32] = []


class Capabilities(Base):
    """The five capability sets, with names like "CAP_CHOWN"."""

    bounding: list[str] = []
    effective: list[str] = []
    inheritable: list[str] = []
    permitted: list[str] = []
    ambient: list[str] = []


class Rlimit(Base):
    """One resource limit of getrlimit(2); `type` is like "RLIMIT_NOFILE"."""

    type: str
    soft: U64
    hard: U64


class Scheduler(Base):
    """Attributes of sched_setattr(2); `runtime`, `deadline` and `period` are in nanoseconds."""

    policy: str
    nice: I32 = 0
    priority: I32 = 0
    flags: list[str] = []
    runtime: U64 = 0
    deadline: U64 = 0
    period: U64 = 0


class IOPriority(Base):
    """What ioprio_set(2) takes; `class_` is like "IOPRIO_CLASS_BE", `priority` 0 (highest) to 7."""

    class_: str = field(name="class")
    priority: I32 = 0


class CPUAffinity(Base):
    """CPU lists like "0-3,7" for exec: before and after the process is moved to the container's cgroup."""

    initial: str | None = None
    final: str | None = None


class Process(Base):
    """The container's process."""

    cwd: str
    terminal: bool = False
    console_size: Box | None = None
    env: list[str] = []
    args: list[str] = []
    user: User = field(default_factory=User)
    capabilities: Capabilities | None = None
    rlimits: list[Rlimit] = []
    no_new_privileges: bool = False
    apparmor_profile: str | None = None
    selinux_label: str | None = None
    oom_score_adj: int | None = None
    scheduler: Scheduler | None = None
    io_priority: IOPriority | None = None
    exec_cpu_affinity: CPUAffinity | None = field(default=None, name="execCPUAffinity")
