"""`state`: print what is known of a container (runtime.md, "Query State")."""

from __future__ import annotations

from ..errors import Error
from ..state import Entry, state_json, status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from ..context import Context


def run(ctx: Context, *, id: str) -> int:
    """Print the state as JSON; raises Error if there is no such container."""
    with Entry.open(ctx.root, id) as entry:
        state = entry.load()
        if state is None:
            raise Error(f'container "{id}" does not exist: its creation has not got that far')
        ctx.print(state_json(state, status(entry, state)) + "\n")
    return 0
