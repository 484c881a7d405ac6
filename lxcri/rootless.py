"""An ordinary user's containers: made in a user namespace, in which the runtime has the capabilities that it needs."""

from __future__ import annotations

import os

from . import linux
from .compile.options import MS_REC, MS_SLAVE
from .errors import Error, reason
from .procfs import write_text
from .spec import IDMapping, Namespace

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .spec import Spec


def enter_user_namespace(spec: Spec) -> None:
    """
    Move this process to a user namespace in which it has all capabilities, and keeps its ids, and to a mount namespace.

    The spec gets a user namespace, if it has none, whose root is the caller. Raises Error if it wants other ids.
    """
    uid, gid = os.geteuid(), os.getegid()
    linux_part = spec.linux
    if linux_part is None:
        raise Error("linux: missing: only root can run a container without a user namespace")
    user = [namespace for namespace in linux_part.namespaces if namespace.type == "user"]
    if any(namespace.path for namespace in user):
        raise Error("linux.namespaces: only root can have a container join a user namespace")
    if not user:
        linux_part.namespaces.append(Namespace(type="user"))
    for name, attribute, own in (("uidMappings", "uid_mappings", uid), ("gidMappings", "gid_mappings", gid)):
        mappings = getattr(linux_part, attribute) or [IDMapping(0, own, 1)]
        _check_mappings(name, mappings, own)
        setattr(linux_part, attribute, mappings)
    try:
        linux.unshare(linux.CLONE_NEWUSER | linux.CLONE_NEWNS)
    except OSError as e:
        raise Error(f"user namespace: {reason(e)}") from e
    write_text("/proc/self/setgroups", "deny", "user namespace")
    write_text("/proc/self/uid_map", f"{uid} {uid} 1\n", "user namespace")
    write_text("/proc/self/gid_map", f"{gid} {gid} 1\n", "user namespace")
    linux.mount("", "/", "", MS_REC | MS_SLAVE)


def _check_mappings(name: str, mappings: list[IDMapping], own: int) -> None:
    for mapping in mappings:
        if (mapping.container_id, mapping.host_id, mapping.size) != (0, own, 1):
            raise Error(f"linux.{name}: an ordinary user can have its own id, {own}, mapped to 0, and no others")
