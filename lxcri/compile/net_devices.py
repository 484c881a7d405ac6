"""config-linux.md, "Network Devices": which device gets which name."""

from ..errors import Error
from ..plan import Builder
from ..spec import Spec
from .namespaces import is_present

NAME_MAX = 15
"""Bytes; the kernel's IFNAMSIZ counts a final NUL."""
TEMPLATE = "%d"


def compile_net_devices(builder: Builder, spec: Spec) -> dict[str, str]:
    """Names in the container by the devices' names on the host; raises Error."""
    if spec.linux is None or not spec.linux.net_devices:
        return {}
    if not is_present(spec, "network"):
        raise Error("linux.netDevices: the container has no network namespace for them")
    names: dict[str, str] = {}
    for host_name, device in spec.linux.net_devices.items():
        subject = f'linux.netDevices "{host_name}"'
        if not is_name(host_name):
            raise Error(f"{subject}: not a name of a network device")
        name = device.name or host_name
        if not is_name(name) and not (name.endswith(TEMPLATE) and is_name(name.removesuffix(TEMPLATE) + "0")):
            raise Error(f'{subject}: name "{name}": not a name of a network device')
        if is_name(name) and name in names.values():
            raise Error(f'{subject}: name "{name}": another device gets it too')
        names[host_name] = name
        builder.change("network", subject)
    return names


def is_name(text: str) -> bool:
    """Whether a network device can have this name; a template is none."""
    size = len(text.encode("utf-8", "surrogateescape"))
    return 0 < size <= NAME_MAX and text not in (".", "..") and not any(c in "/:%" or c.isspace() for c in text)
