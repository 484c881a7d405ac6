"""A seeded sample of the points that oci.faults tries by hand."""

from __future__ import annotations

import os
import platform
from typing import TYPE_CHECKING

import pytest
from oci import faults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from oci.bundle import Bundle
    from oci.machine import Machine
    from oci.runtime import Runtime

pytestmark = [
    pytest.mark.slow,
    pytest.mark.lxcri_only("others leave processes, cgroups or state behind"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="oci/faults.c knows the registers of x86-64"),
]


@pytest.fixture
def laboratory(machine: Machine, runtime: Runtime, new_bundle: Callable[[], Bundle]) -> Iterator[faults.Laboratory]:
    laboratory = faults.Laboratory(machine, runtime, new_bundle)
    yield laboratory
    laboratory.close()


@pytest.mark.parametrize("verb", faults.VERBS)
def test_faults(laboratory: faults.Laboratory, verb: str, pytestconfig: pytest.Config) -> None:
    """Processes killed, and calls failing: the verb ends, and nothing is left that `delete --force` does not remove."""
    outcomes = list(
        faults.sample(laboratory, verb, pytestconfig.getoption("--faults"), pytestconfig.getoption("--fault-seed"))
    )
    assert any(outcome.reached for outcome in outcomes)
    bad = [f"{o.point}: {o.status} {o.message}: {o.problems}" for o in outcomes if o.problems]
    assert not bad, os.linesep.join(bad)


@pytest.mark.parametrize("verb", ["create", "exec"])
def test_a_word_of_the_helper_that_cannot_be_sent(laboratory: faults.Laboratory, verb: str) -> None:
    """The runtime does not wait for it for ever."""
    points = [p for p in laboratory.points(verb, ["ENOMEM"]) if p.call == "sendto" and p.role != "0"]
    outcomes = list(laboratory.attempt_all(points[-3:]))
    assert any(outcome.reached for outcome in outcomes)
    assert [outcome.problems for outcome in outcomes if outcome.problems] == []


@pytest.mark.parametrize(("verb", "role"), [("exec", "0.1"), ("create", "0.1.1")])
def test_what_gives_up_privileges_does_not_fail_in_silence(laboratory: faults.Laboratory, verb: str, role: str) -> None:
    """Descriptors, being readable, capabilities: a helper that keeps them does not go on."""
    calls = [faults.call_name(number) for number in laboratory.calls(verb)[role]]
    executions = [index for index, name in enumerate(calls) if name.startswith("execve")]  # of the helper, and by it
    begin, end = executions[-1 if verb == "create" else 0], len(calls) if verb == "create" else executions[-1]
    wanted = {
        (name, calls[: index + 1].count(name))
        for index, name in enumerate(calls)
        if begin < index < end and name in ("prctl", "close_range", "capset", "setresuid", "setresgid")
    }
    points = [p for p in laboratory.points(verb, ["EPERM"]) if p.role == role and (p.call, p.place) in wanted]
    outcomes = list(laboratory.attempt_all(points))
    assert [outcome.problems for outcome in outcomes if outcome.problems] == []
    assert len([outcome for outcome in outcomes if outcome.reached]) > 2
    ignored = [str(outcome.point) for outcome in outcomes if outcome.reached and outcome.status == 0]
    assert len(ignored) == 1, ignored  # PR_SET_NAME


def test_a_signal_that_cannot_be_noted_prints_no_traceback(laboratory: faults.Laboratory) -> None:
    """Python says by itself that it could not write to the descriptor that wakes up `exec`."""
    points = [p for p in laboratory.points("exec", ["EIO"]) if p.call == "write" and p.role == "0"]
    outcomes = list(laboratory.attempt_all(points))
    assert any(outcome.reached for outcome in outcomes)
    assert [(str(o.point), o.problems) for o in outcomes if o.problems] == []
