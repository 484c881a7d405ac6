"""lxcffi, lxcffi.compat and python3-lxc side by side, on system containers: a table for docs/lxcffi.md.

    PYTHONPATH=.:tests .venv/bin/python tests/lxcffi/bench.py

As root, with python3-lxc in the system's Python. All three run in the same Python, the system's, in processes of
their own, in turns; a number is the best of the rounds, which other programs disturb least.
"""

# ruff: noqa: T201

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEM_PYTHON = "/usr/bin/python3"
ROUNDS = 7
NAMES = ("python3-lxc", "lxcffi.compat", "lxcffi")


def seconds(function: Callable[[], object]) -> float:
    """How long a call takes."""
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def measure(name: str, path: str) -> dict[str, float]:
    """In a process of its own: all measurements of one of the three, in milliseconds."""
    if name == "lxcffi":
        import lxcffi

        def new(container: str) -> Any:
            return lxcffi.Container(container, path)

        def items(c: Any) -> None:
            config = c.config
            for number in range(1000):
                config.set("lxc.uts.name", f"name{number}")
                assert config.get("lxc.uts.name") == f"name{number}"

        def lists(c: Any) -> None:
            config = c.config
            for number in range(100):
                config.set("lxc.environment", [f"A{n}={number}" for n in range(20)])
                assert len(config.values("lxc.environment")) == 20

        def state(c: Any) -> object:
            return c.state

    else:
        lxc: Any = importlib.import_module("lxc" if name == "python3-lxc" else "lxcffi.compat")

        def new(container: str) -> Any:
            return lxc.Container(container, path)

        def items(c: Any) -> None:
            for number in range(1000):
                c.set_config_item("lxc.uts.name", f"name{number}")
                assert c.get_config_item("lxc.uts.name") == f"name{number}"

        def lists(c: Any) -> None:
            for number in range(100):
                c.set_config_item("lxc.environment", [f"A{n}={number}" for n in range(20)])
                assert len(c.get_config_item("lxc.environment")) == 20

        def state(c: Any) -> object:
            return c.state

    def cycles() -> None:
        for _ in range(1000):
            new("bench")

    def states(c: Any) -> None:
        for _ in range(100):
            assert state(c) == "RUNNING"

    def starts(c: Any) -> None:
        for _ in range(20):
            c.start()
            c.stop()

    cycles()  # the first time something is imported and the kernel learns the paths
    result = {"1,000 new/close": seconds(cycles)}
    plain = new("plain")
    items(plain)
    result["set and get of 1,000 items"] = seconds(lambda: items(plain))
    result["set and get of 100 lists of 20"] = seconds(lambda: lists(plain))
    c = new("bench")
    c.start()
    states(c)
    result["100 state queries"] = seconds(lambda: states(c))
    c.stop()
    result["20 start/stop"] = seconds(lambda: starts(c))
    result["another thread meanwhile"] = others(lambda: starts(c))
    return {what: value * 1000 for what, value in result.items()}


def others(function: Callable[[], object]) -> float:
    """How many thousand steps another thread got done while something ran."""
    done = False
    steps = 0

    def step() -> None:
        nonlocal steps
        while not done:
            time.sleep(0.001)
            steps += 1

    thread = threading.Thread(target=step)
    thread.start()
    before = steps
    function()
    result = steps - before
    done = True
    thread.join()
    return result / 1000


def main() -> None:
    """Measure all three in turns, and print the table."""
    from oci.machine import Machine

    import lxcffi

    spec = importlib.util.spec_from_file_location("fixtures", os.path.join(HERE, "conftest.py"))
    assert spec is not None
    assert spec.loader is not None
    fixtures = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fixtures)
    machine = Machine()
    home = fixtures.Home(machine)
    packages = [os.path.dirname(os.path.dirname(lxcffi.__file__)), *(p for p in sys.path if p.endswith("-packages"))]
    try:
        home.create("bench")
        results: dict[str, list[dict[str, float]]] = {name: [] for name in NAMES}
        for turn in range(ROUNDS):
            for name in NAMES[turn % 3 :] + NAMES[: turn % 3]:
                printed = subprocess.run(
                    [SYSTEM_PYTHON, os.path.abspath(__file__), name, home.path],
                    stdout=subprocess.PIPE, check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(packages)},
                ).stdout  # fmt: skip
                results[name].append(json.loads(printed))
    finally:
        home.clean()
        machine.close()
    print(f"| liblxc {lxcffi.version()}, ms | {' | '.join(NAMES)} |")
    print("|---|---:|---:|---:|")
    for what in results[NAMES[0]][0]:
        best = max if "thread" in what else min
        form = "{:.0f} steps" if "thread" in what else "{:.1f}"
        print(f"| {what} | {' | '.join(form.format(best(each[what] for each in results[name])) for name in NAMES)} |")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        print(json.dumps(measure(*sys.argv[1:])))
    else:
        main()
