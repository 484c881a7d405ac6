"""`plan`: print what a bundle would become, without starting anything."""

from __future__ import annotations

import os

import msgspec

from ..bundle import load_bundle
from ..compile import compile_plan
from ..host import prepare_host

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..context import Context


def run(ctx: Context, *, bundle: str, id: str) -> int:
    """Print the Plan of a bundle as JSON: liblxc's items, lxcri-init's program, the host's part."""
    spec, request = load_bundle(ctx, id=id, bundle=bundle, directory=f"{ctx.root}/{id}")
    plan = compile_plan(spec, request, prepare_host(ctx, spec, request))
    ctx.print(msgspec.json.format(msgspec.json.encode(plan)).decode() + os.linesep)
    return 0
