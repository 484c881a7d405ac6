"""config.md, "POSIX-platform Hooks"."""

from typing import Annotated

from msgspec import Meta

from .base import Base


class Hook(Base):
    """One hook; `timeout` is in seconds, greater than zero."""

    path: str
    args: list[str] = []
    env: list[str] = []
    timeout: Annotated[int, Meta(ge=1)] | None = None


class Hooks(Base):
    """All hooks, each list in the order in which it has to be run."""

    prestart: list[Hook] = []
    create_runtime: list[Hook] = []
    create_container: list[Hook] = []
    start_container: list[Hook] = []
    poststart: list[Hook] = []
    poststop: list[Hook] = []
