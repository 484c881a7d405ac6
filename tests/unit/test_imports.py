"""What the verbs that engines call in a loop import: their start is most of what they cost."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import lxcri

if TYPE_CHECKING:
    from collections.abc import Callable

    from lxcri.context import Context

    Fake = Callable[..., Any]

PACKAGES = os.path.dirname(os.path.dirname(os.path.abspath(lxcri.__file__)))

# posix._exit is where the program ends, so what it imported is printed there.
PROGRAM = f"""
import sys
REPORT = int(sys.argv.pop(1))
before = set(sys.modules)
import posix
def finish(status):
    posix.write(REPORT, "\\n".join(sorted(set(filter(sys.modules.get, sys.modules)) - before)).encode())
    end(status)
end, posix._exit = posix._exit, finish
sys.path.append({PACKAGES!r})
from lxcri.__main__ import main
main()
"""

COMMAND_LINE = {
    "lxcri",
    "lxcri.__main__",
    "lxcri.cli",
    "lxcri.cli.commands",
    "lxcri.cli.fast",
    "lxcri.context",
    "lxcri.errors",
    "lxcri.log",
    "lxcri.state",
    "lxcri.verbs",
    "gc",
    "__future__",
}
"""Modules of every verb; more than the interpreter's own."""

CGROUP = {"errno", "lxcri.cgroup", "lxcri.cgroup.fs"}
FROZEN = {"lxcri.cgroup"}
"""To see whether a cgroup is frozen."""
RARE = {"lxcri.cli.every"}
"""Of the verbs that engines do not call in a loop."""


def with_cgroup(container: Any) -> Any:
    """Give a container a cgroup, which does not exist."""
    container.state.cgroup = ["found freezer /sys/fs/cgroup/freezer/does-not-exist"]
    container.save()
    return container


def imported(*words: str, succeeds: bool = True) -> set[str]:
    """The modules that a command line imports."""
    reading, writing = os.pipe()
    subprocess.run(
        [sys.executable, "-IS", "-c", PROGRAM, str(writing), *words],
        check=succeeds, capture_output=True, pass_fds=[writing], env={}, timeout=60,
    )  # fmt: skip
    os.close(writing)
    with open(reading, encoding="utf-8") as pipe:
        return set(pipe.read().splitlines())


def budget_of(ctx: Context, *words: str, succeeds: bool = True) -> set[str]:
    """What a verb imports beyond COMMAND_LINE."""
    options = ("--root", ctx.root, "--log", f"{ctx.root}.log", "--log-format=json")
    return imported(*options, *words, succeeds=succeeds) - COMMAND_LINE


def test_state_of_a_created_container(ctx: Context, fake: Fake) -> None:
    fake().wait_for_start()
    assert budget_of(ctx, "state", "c1") == {"_socket", "lxcri.verbs.state"}


def test_state_of_a_running_container(ctx: Context, fake: Fake) -> None:
    with_cgroup(fake())
    assert budget_of(ctx, "state", "c1") == {"_socket", "lxcri.verbs.state", *FROZEN}


def test_state_of_a_stopped_container(ctx: Context, fake: Fake) -> None:
    with_cgroup(fake()).end()
    assert budget_of(ctx, "state", "c1") == {"lxcri.verbs.state", "select"}


def test_start(ctx: Context, fake: Fake) -> None:
    fake().wait_for_start(b"X")
    assert budget_of(ctx, "start", "c1") == {"_socket", "fcntl", "lxcri.channel", "lxcri.verbs.start"}


def test_kill(ctx: Context, fake: Fake) -> None:
    with_cgroup(fake())
    assert budget_of(ctx, "kill", "c1", "TERM") == {"lxcri.verbs.kill"}


def test_kill_for_good(ctx: Context, fake: Fake) -> None:
    with_cgroup(fake())
    assert budget_of(ctx, "kill", "c1", "KILL") == {"lxcri.verbs.kill", *FROZEN}


def test_kill_all(ctx: Context, fake: Fake) -> None:
    with_cgroup(fake())
    assert budget_of(ctx, "kill", "--all", "c1", "TERM") == {"lxcri.verbs.kill", *CGROUP}


@pytest.mark.parametrize("options", [(), ("--force",)])
def test_delete_of_a_stopped_container(options: tuple[str, ...], ctx: Context, fake: Fake) -> None:
    with_cgroup(fake()).end()
    more = {"fcntl", "lxcri.verbs.delete", "lxcri.verbs.kill", "select"}
    assert budget_of(ctx, "delete", *options, "c1") == {*more, *CGROUP}


def test_delete_of_an_unknown_container(ctx: Context) -> None:
    assert budget_of(ctx, "delete", "--force", "c1") == {"lxcri.verbs.delete", "lxcri.verbs.kill"}


def test_list(ctx: Context, fake: Fake) -> None:
    with_cgroup(fake())
    assert budget_of(ctx, "list") == {*RARE, "_socket", "lxcri.verbs.list", *FROZEN}


def test_ps_as_json(ctx: Context, fake: Fake) -> None:
    with_cgroup(fake())
    assert budget_of(ctx, "ps", "--format", "json", "c1") == {*RARE, "lxcri.verbs.ps", *CGROUP}


@pytest.mark.skipif(shutil.which("ps") is None, reason="ps is not there (Debian: procps)")
def test_ps_as_a_table(ctx: Context, fake: Fake) -> None:
    with_cgroup(fake())
    assert budget_of(ctx, "ps", "c1") == {*RARE, "lxcri.executable", "lxcri.verbs.ps", *CGROUP}


@pytest.mark.parametrize("verb", ["pause", "resume"])
def test_pause_and_resume(verb: str, ctx: Context, fake: Fake) -> None:
    """Of a cgroup that does not exist, which is the last thing that they find out."""
    with_cgroup(fake())
    more = {*RARE, "_socket"} if verb == "pause" else RARE
    assert budget_of(ctx, verb, "c1", succeeds=False) == {"fcntl", f"lxcri.verbs.{verb}", *more, *CGROUP}


def test_the_budget_sees_what_is_imported() -> None:
    """Help is click's, which is not found without site, but needs more than any verb before that."""
    assert "typing" in imported("--help", succeeds=False)
