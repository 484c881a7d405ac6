"""Properties that are refused, because nothing here does what they ask for."""

from collections.abc import Callable
from typing import Any

from ..errors import Error
from ..spec import Spec

PROPERTIES: tuple[tuple[str, Callable[[Any], Any]], ...] = (
    ("linux.netDevices", lambda spec: spec.linux.net_devices),
    ("linux.intelRdt", lambda spec: spec.linux.intel_rdt),
)


def refuse(spec: Spec) -> None:
    """Raise Error for the first property of PROPERTIES that the spec sets."""
    for name, get in PROPERTIES:
        if get(spec):
            raise Error(f"{name}: not supported")
