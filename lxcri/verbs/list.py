"""`list`: the containers in the state directory, as runc prints them."""

from __future__ import annotations

from ..errors import Error
from ..log import write_error
from ..state import Entry, NotFoundError, all_entries, state_json, status

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..context import Context
    from ..state import State

TITLES = ("ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER")
COLUMN_MIN = 12
PADDING = 3


def run(ctx: Context, *, format: str, quiet: bool) -> int:
    """Print a table, JSON (null if there are none, as runc), or ids only."""
    if quiet:
        ctx.print("".join(f"{name}\n" for name in all_entries(ctx.root)))
        return 0
    containers = list(_containers(ctx.root))
    if format == "json":
        objects = ",".join(state_json(state, status, pretty=False) for state, status in containers)
        ctx.print(f"[{objects}]\n" if objects else "null\n")
    else:
        ctx.print(table([TITLES, *(_row(state, status) for state, status in containers)]))
    return 0


def _containers(root: str) -> Iterator[tuple[State, str]]:
    """State and status of each container; those that vanish meanwhile are left out, broken ones are named."""
    for name in all_entries(root):
        try:
            with Entry.open(root, name) as entry:
                state = entry.load()
                if state is None:
                    raise Error(f'container "{name}": its creation has not finished')
                yield state, status(entry, state)
        except NotFoundError:
            continue
        except Error as e:
            write_error(f"lxcri: list: {e}\n")


def _row(state: State, status: str) -> tuple[str, ...]:
    pid = 0 if status == "stopped" else state.pid
    return (state.id, str(pid), status, state.bundle, state.created, state.owner)


def table(rows: list[tuple[str, ...]]) -> str:
    """The rows as text; every column but the last is as wide as its widest cell and PADDING demand."""
    widths = [max(COLUMN_MIN, *(len(cell) + PADDING for cell in column)) for column in zip(*rows, strict=True)]
    lines = (
        "".join(cell.ljust(width) for cell, width in zip(row[:-1], widths, strict=False)) + row[-1] for row in rows
    )
    return "".join(f"{line}\n" for line in lines)
