"""config.md: the whole of config.json, as far as it concerns Linux."""

from .base import Base
from .hooks import Hooks
from .linux import IDMapping, Linux
from .process import Process


class Root(Base):
    """Root file system; a relative `path` is relative to the bundle."""

    path: str
    readonly: bool = False


class Mount(Base):
    """One mount, in the order of mounting."""

    destination: str
    type: str | None = None
    source: str | None = None
    options: list[str] = []
    uid_mappings: list[IDMapping] = []
    gid_mappings: list[IDMapping] = []


class Spec(Base):
    """A container's configuration."""

    oci_version: str
    root: Root | None = None
    mounts: list[Mount] = []
    process: Process | None = None
    hostname: str | None = None
    domainname: str | None = None
    hooks: Hooks | None = None
    annotations: dict[str, str] = {}
    linux: Linux | None = None
