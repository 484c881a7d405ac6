"""`features`: what this runtime can do (features.md)."""

from __future__ import annotations

import msgspec

from ..features import features

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..context import Context


def run(ctx: Context) -> int:
    """Print the Features structure as JSON."""
    ctx.print(msgspec.json.format(msgspec.json.encode(features()), indent=4).decode() + "\n")
    return 0
