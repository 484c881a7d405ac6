"""lxcffi, lxcffi.compat and python3-lxc side by side, on system containers: a table for docs/lxcffi.md.

    PYTHONPATH=.:tests .venv/bin/python tests/lxcffi/bench.py

As root, with python3-lxc in the system's Python. Each of the three is a process of that Python that has imported
nothing else, from byte code as an installed package, and is asked in turns. A number is the best of 100 turns in time
of the processor; for start and stop it is the median of the time that passes.
"""

# ruff: noqa: T201

from __future__ import annotations

import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

# Starting a container forks the process: the workers must not have what only main() needs.

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEM_PYTHON = "/usr/bin/python3"
ROUNDS = 100
NAMES = ("python3-lxc", "lxcffi.compat", "lxcffi")


def seconds(function: Callable[[], object], clock: Callable[[], float]) -> float:
    """How long a call takes by a clock."""
    begin = clock()
    function()
    return clock() - begin


def worker(name: str, path: str) -> None:
    """In a process of its own: do what is asked for, and tell how long it took."""
    if name == "lxcffi":
        import lxcffi

        container: Any = lxcffi.Container

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

    else:
        module = "lxc" if name == "python3-lxc" else name
        container = __import__(module, fromlist=["Container"]).Container

        def items(c: Any) -> None:
            for number in range(1000):
                c.set_config_item("lxc.uts.name", f"name{number}")
                assert c.get_config_item("lxc.uts.name") == f"name{number}"

        def lists(c: Any) -> None:
            for number in range(100):
                c.set_config_item("lxc.environment", [f"A{n}={number}" for n in range(20)])
                assert len(c.get_config_item("lxc.environment")) == 20

    plain, bench = container("plain", path), container("bench", path)

    def new() -> None:
        for _ in range(1000):
            container("bench", path)

    def states() -> None:
        for _ in range(100):
            assert bench.state == "RUNNING"

    def cycle() -> None:
        bench.start()
        bench.stop()

    tasks: dict[str, Callable[[], object]] = {
        "new": new,
        "items": lambda: items(plain),
        "lists": lambda: lists(plain),
        "states": states,
        "cycle": cycle,
    }
    for line in sys.stdin:
        task = line.strip()
        if task == "others":
            print(others(cycle), flush=True)
        else:
            # What a call does alone is told best by the processor's time, whatever else the machine does.
            print(seconds(tasks[task], time.perf_counter if task == "cycle" else time.process_time), flush=True)


def others(function: Callable[[], object]) -> float:
    """How many steps of a millisecond another thread got done while something ran."""
    import threading

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
    result = float(steps - before)
    done = True
    thread.join()
    return result


def median(numbers: list[float]) -> float:
    """The one in the middle."""
    return sorted(numbers)[len(numbers) // 2]


ROWS: tuple[tuple[str, str, Callable[[list[float]], str]], ...] = (
    ("1,000 new/close", "new", lambda times: f"{min(times) * 1000:.1f}"),
    ("set and get of 1,000 items", "items", lambda times: f"{min(times) * 1000:.2f}"),
    ("set and get of 100 lists of 20", "lists", lambda times: f"{min(times) * 1000:.2f}"),
    ("100 state queries", "states", lambda times: f"{min(times) * 1000:.2f}"),
    ("20 start/stop", "cycle", lambda times: f"{20 * median(times) * 1000:.0f}"),
    ("steps of 1 ms by another thread in 20 start/stop", "others", lambda steps: f"{20 * sum(steps) / len(steps):.0f}"),
)


def main() -> None:
    """Measure all three in turns, and print the table."""
    import importlib.util
    import subprocess

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
        bench = home.create("bench")
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(packages),
            "PYTHONPYCACHEPREFIX": os.path.join(machine.work, "byte code"),
        }
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        command = [SYSTEM_PYTHON, os.path.abspath(__file__)]
        for name in NAMES:  # which writes the byte code
            subprocess.run([*command, name, home.path], stdin=subprocess.DEVNULL, env=environment, check=True)
        workers = {
            name: subprocess.Popen(
                [*command, name, home.path],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for name in NAMES
        }

        def ask(name: str, task: str) -> float:
            stdin, stdout = workers[name].stdin, workers[name].stdout
            assert stdin is not None
            assert stdout is not None
            stdin.write(f"{task}\n")
            stdin.flush()
            return float(stdout.readline())

        results: dict[str, dict[str, list[float]]] = {task: {name: [] for name in NAMES} for _, task, _ in ROWS}
        # Who starts a container gets into the monitor's cgroup, and has a share of the processor of its own.
        bench.start()
        home.go_home()
        for task in results:
            if task == "cycle":
                bench.stop()
            for turn in range(ROUNDS):
                for name in NAMES[turn % 3 :] + NAMES[: turn % 3]:
                    results[task][name].append(ask(name, task))
        for process in workers.values():
            assert process.stdin is not None
            process.stdin.close()
            process.wait()
    finally:
        home.clean()
        machine.close()
    print(f"| liblxc {lxcffi.version()}, ms | {' | '.join(NAMES)} |")
    print("|---|---:|---:|---:|")
    for what, task, shown in ROWS:
        print(f"| {what} | {' | '.join(shown(results[task][name]) for name in NAMES)} |")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        worker(*sys.argv[1:])
    else:
        main()
