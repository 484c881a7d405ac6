"""The runtime's own configuration: a JSON file for what an operator wants of every container.

{"seccomp": false, "hooks": {"createRuntime": [{"path": "/usr/local/bin/audit"}]}}
"""

from typing import Annotated

import msgspec

from .context import TIMEOUT
from .errors import Error, reason
from .spec import Hooks, decode

TIMEOUT_MAX = 1e9
"""Seconds: 31 years. The kernel takes no more than fits in its own struct timeval (socket(7), SO_SNDTIMEO)."""


class Configuration(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    """The file's properties; the switches of the same names on the command line have precedence.

    Args:
        apparmor, capabilities, cgroup_devices, seccomp: off means that the spec's property is not applied.
        hooks: run for every container, before those of its spec.
        timeout: seconds that liblxc gets to start init, and whoever listens on a socket that we connect to, to take
            the connection.
    """

    apparmor: bool = True
    capabilities: bool = True
    cgroup_devices: bool = True
    seccomp: bool = True
    hooks: Hooks | None = None
    timeout: Annotated[float, msgspec.Meta(gt=0, le=TIMEOUT_MAX)] = TIMEOUT


def load_configuration(path: str) -> Configuration:
    """The configuration in this file, the defaults where there is none; raises Error."""
    try:
        with open(path, "rb", 0) as file:
            data = file.readall()
    except FileNotFoundError:
        return Configuration()
    except OSError as e:
        raise Error(f"{path}: {reason(e)}") from e
    return decode(data, Configuration, path)
