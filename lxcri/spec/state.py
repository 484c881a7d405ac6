"""runtime.md, "State", and config-linux.md, "The Container Process State"."""

from .base import U64, Base


class State(Base):
    """State of a container; `status` is "creating", "created", "running" or "stopped"; `pid` 0 is none."""

    oci_version: str
    id: str
    status: str
    bundle: str
    pid: U64 = 0
    annotations: dict[str, str] = {}


class ContainerProcessState(Base):
    """What goes to a seccomp agent; `fds` names the descriptors sent with it, in their order."""

    oci_version: str
    fds: list[str]
    pid: U64
    state: State
    metadata: str | None = None
