"""lxcffi: a typed binding of liblxc.

    from lxcffi import Container

    with Container("web") as container:
        container.set_config_item("lxc.uts.name", "web")
        container.start()

Every failure is an LxcError that says which operation failed on what; after log.capture() it also says why,
in liblxc's own words.
"""

from . import log
from .container import Container
from .errors import ConfigItemError, LxcError, NotSupportedError, ReleasedError, StartError
from .library import config_item_is_supported, has_api_extension, version, version_number

__all__ = [
    "ConfigItemError",
    "Container",
    "LxcError",
    "NotSupportedError",
    "ReleasedError",
    "StartError",
    "config_item_is_supported",
    "has_api_extension",
    "log",
    "version",
    "version_number",
]
