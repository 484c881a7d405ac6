"""`lxcri bench`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from oci.bundle import Bundle

pytestmark = pytest.mark.lxcri_only("a command of its own")

STEPS = ["create", "state", "start", "kill", "delete", "cycle"]


def test_two_runtimes(bundle: Bundle, tmp_path: Path) -> None:
    """The same one twice: all steps of both are there, in the table and in both files."""
    bundle.process["args"] = ["/bin/sleep", "100"]
    bundle.write()
    command = " ".join(bundle.runtime.argv())
    figures, chart = tmp_path / "bench.json", tmp_path / "bench.svg"
    done = bundle.runtime.call(
        "bench", "--bundle", bundle.path, "--cycles", "2", "--json-file", str(figures), "--svg", str(chart),
        f"one={command}", f"<two>={command}",
    ).ok()  # fmt: skip
    lines = [line.split()[:2] for line in done.stdout.splitlines()[1:]]
    assert lines == [[step, name] for step in STEPS for name in ("one", "<two>")]
    data = json.loads(figures.read_text())
    assert list(data["milliseconds"]) == STEPS
    for by_name in data["milliseconds"].values():
        assert len(by_name["one"]["samples"]) == 2
        assert by_name["<two>"]["ratio"] == 1
        assert by_name["one"]["minimum"] <= by_name["one"]["median"]
    texts = [element.text for element in ET.fromstring(chart.read_text()).iter("{http://www.w3.org/2000/svg}text")]
    assert texts[:2] == ["one", "<two>"]
    assert bundle.runtime.containers() == []


def test_a_program_that_ends(bundle: Bundle) -> None:
    bundle.process["args"] = ["/bin/true"]
    bundle.write()
    command = " ".join(bundle.runtime.argv())
    done = bundle.runtime.call("bench", "--bundle", bundle.path, "--cycles", "1", f"it={command}").ok()
    assert "cycle" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "no runtimes"),
        (("--cycles", "0", "a=/bin/true"), "--cycles: at least 1"),
        (("a=/nonexistent/runtime",), "no such command"),
        (("=x",), "a runtime is NAME=COMMAND"),
        ((f"python={sys.executable} -c 'raise SystemExit(3)'",), "python create"),
    ],
)
def test_what_cannot_be_measured(bundle: Bundle, words: tuple[str, ...], message: str) -> None:
    bundle.write()
    done = bundle.runtime.call("bench", "--bundle", bundle.path, *words)
    assert done.returncode == 1
    assert message in done.stderr


def test_a_terminal(bundle: Bundle) -> None:
    bundle.process["terminal"] = True
    bundle.write()
    done = bundle.runtime.call("bench", "--bundle", bundle.path, "a=/bin/true")
    assert "process.terminal" in done.stderr
