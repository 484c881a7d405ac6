"""config-linux.md, "IntelRdt": what is checked before anything is written to resctrl."""

from ..errors import Error
from ..plan import Builder
from ..spec import IntelRdt, Spec

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

NAMES_OF_RESCTRL = (".", "..", "info", "mon_data", "mon_groups")
L3, MEMORY_BANDWIDTH = "L3:", "MB:"


def compile_intel_rdt(builder: Builder, spec: Spec) -> IntelRdt | None:
    """linux.intelRdt, checked, if it is set."""
    rdt = spec.linux.intel_rdt if spec.linux is not None else None
    if rdt is not None:
        check_intel_rdt(rdt, builder.warn)
    return rdt


def check_intel_rdt(rdt: IntelRdt, warn: "Callable[[str], object]") -> None:
    """Raise Error for what the document forbids, warn of what it advises against."""
    from ..resctrl import DEFAULT_CLASS

    name = rdt.clos_id
    if name and name != DEFAULT_CLASS and (name in NAMES_OF_RESCTRL or "/" in name or "\n" in name or "\0" in name):
        raise Error(f'linux.intelRdt.closID: "{name}" is not a name of a class')
    if rdt.mem_bw_schema:
        if not rdt.mem_bw_schema.startswith(MEMORY_BANDWIDTH):
            raise Error(f'linux.intelRdt.memBwSchema: "{rdt.mem_bw_schema}" does not start with {MEMORY_BANDWIDTH}')
        _check_line(rdt.mem_bw_schema, "linux.intelRdt.memBwSchema")
    for i, schema in enumerate(rdt.schemata):
        _check_line(schema, f"linux.intelRdt.schemata[{i}]")
    if rdt.l3_cache_schema:
        if not rdt.l3_cache_schema.startswith(L3):
            warn(f"linux.intelRdt.l3CacheSchema: does not start with {L3}")
        if "\n" in rdt.l3_cache_schema:
            warn("linux.intelRdt.l3CacheSchema: has more than one line")


def _check_line(text: str, subject: str) -> None:
    if "\n" in text:
        raise Error(f"{subject}: a line break")
