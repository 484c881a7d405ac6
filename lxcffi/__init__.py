"""lxcffi: a typed binding of liblxc.

    from lxcffi import Container

    with Container("web") as container:
        container.config.set("lxc.uts.name", "web")
        container.start()
        container.attach_wait(["/bin/hostname"])

Every failure is an LxcError that says which operation failed on what; after log.capture() it also says why, in
liblxc's own words. What is named here is imported when it is first asked for.
"""

from .errors import (
    AttachError,
    CheckpointError,
    ConfigItemError,
    CreateError,
    LxcError,
    NotDefinedError,
    NotPermittedError,
    NotRunningError,
    NotSupportedError,
    OperationTimeoutError,
    ReleasedError,
    RunningError,
    SnapshotError,
    StartError,
)
from .library import (
    config_item_is_supported,
    global_config_item,
    has_api_extension,
    version,
    version_number,
    wait_states,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import log
    from .attach import AttachOptions
    from .config import Config
    from .container import Container
    from .flags import AttachFlag, CloneFlag, MigrateCommand, MigrateFeature, MountFlag, Namespace
    from .handle import Handle
    from .listing import containers, list_containers
    from .network import Interface, Network, Networks
    from .snapshot import Snapshot
    from .states import State
    from .storage import Storage
    from .terminal import Terminal

__all__ = [
    "AttachError",
    "AttachFlag",
    "AttachOptions",
    "CheckpointError",
    "CloneFlag",
    "Config",
    "ConfigItemError",
    "Container",
    "CreateError",
    "Handle",
    "Interface",
    "LxcError",
    "MigrateCommand",
    "MigrateFeature",
    "MountFlag",
    "Namespace",
    "Network",
    "Networks",
    "NotDefinedError",
    "NotPermittedError",
    "NotRunningError",
    "NotSupportedError",
    "OperationTimeoutError",
    "ReleasedError",
    "RunningError",
    "Snapshot",
    "SnapshotError",
    "StartError",
    "State",
    "Storage",
    "Terminal",
    "config_item_is_supported",
    "containers",
    "global_config_item",
    "has_api_extension",
    "list_containers",
    "log",
    "version",
    "version_number",
    "wait_states",
]

_MODULES = {
    "attach": ("AttachOptions",),
    "config": ("Config",),
    "container": ("Container",),
    "flags": ("AttachFlag", "CloneFlag", "MigrateCommand", "MigrateFeature", "MountFlag", "Namespace"),
    "handle": ("Handle",),
    "listing": ("containers", "list_containers"),
    "network": ("Interface", "Network", "Networks"),
    "snapshot": ("Snapshot",),
    "states": ("State",),
    "storage": ("Storage",),
    "terminal": ("Terminal",),
}
"""Where the names are that take a module of their own: most programs need few of them."""


def __getattr__(name: str) -> object:
    if name in ("compat", "log"):
        return __import__(f"{__name__}.{name}", fromlist=[name])
    for module, names in _MODULES.items():
        if name in names:
            value = getattr(__import__(f"{__name__}.{module}", fromlist=[name]), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
