"""`bench`: time the life of a container with several runtimes, side by side."""

from __future__ import annotations

import json
import os
import select
import shlex
import shutil
import statistics
import sys
import tempfile
import time
from html import escape

import click

from .. import linux
from ..errors import Error, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from ..context import Context

STEPS = ("create", "state", "start", "kill", "delete")
CYCLE = "cycle"
IDLE_SECONDS = 0.06
"""Before each create: the first process moved to a cgroup after a pause has to wait for the kernel, those right after
it do not, and in use there are pauses."""
END_SECONDS = 10.0
DIGITS = 3
COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377")


class Sample:
    """What one call took: milliseconds of wall time and of CPU time, and its peak of memory in KiB."""

    __slots__ = ("cpu", "peak", "wall")

    def __init__(self, wall: float, cpu: float, peak: int) -> None:
        self.wall = wall
        self.cpu = cpu
        self.peak = peak


class Runtime:
    """A runtime by the name that people know it by, and its command; raises Error if that is none."""

    def __init__(self, text: str, output: int) -> None:
        name, equals, command = text.partition("=")
        words = shlex.split(command if equals else name)
        if not words or not name:
            raise Error(f'"{text}": a runtime is NAME=COMMAND, or a command')
        path = shutil.which(words[0])
        if path is None:
            raise Error(f'"{text}": {words[0]}: no such command')
        self.name = name if equals else os.path.basename(words[0])
        self.words = [os.path.abspath(path), *words[1:]]
        self.samples: dict[str, list[Sample]] = {step: [] for step in (*STEPS, CYCLE)}
        self._output = output

    def call(self, *arguments: str) -> Sample:
        """Call it; raises Error if it fails."""
        os.ftruncate(self._output, 0)
        files = [
            (os.POSIX_SPAWN_OPEN, 0, "/dev/null", os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, self._output, 1),
            (os.POSIX_SPAWN_DUP2, self._output, 2),
        ]
        before = time.perf_counter()
        pid = os.posix_spawn(self.words[0], [*self.words, *arguments], os.environ, file_actions=files)
        _, status, usage = os.wait4(pid, 0)
        wall = time.perf_counter() - before
        if status:
            said = os.pread(self._output, 4096, 0).decode(errors="replace").strip()
            raise Error(f"{self.name} {' '.join(arguments)}: {said or os.waitstatus_to_exitcode(status)}")
        return Sample(1e3 * wall, 1e3 * (usage.ru_utime + usage.ru_stime), usage.ru_maxrss)

    def cycle(self, bundle: str, id: str, pid_file: str) -> dict[str, Sample]:
        """Create, query, start, kill and delete a container; what each step took. Raises Error."""
        taken = {}
        try:
            taken["create"] = self.call("create", "--bundle", bundle, "--pid-file", pid_file, id)
            with open(pid_file, encoding="ascii") as file:
                init = os.pidfd_open(int(file.read()))
            try:
                taken["state"] = self.call("state", id)
                taken["start"] = self.call("start", id)
                try:
                    taken["kill"] = self.call("kill", id, "KILL")
                except Error:
                    if not select.select([init], [], [], 0)[0]:  # a program may end by itself
                        raise
                if not select.select([init], [], [], END_SECONDS)[0]:
                    raise Error(f"{self.name}: the container has not ended {END_SECONDS:.0f} seconds after SIGKILL")
            finally:
                os.close(init)
            reap()
            taken["delete"] = self.call("delete", id)
        except BaseException:
            try:
                self.call("delete", "--force", id)
            except Error:
                pass
            raise
        samples = list(taken.values())
        taken[CYCLE] = Sample(sum(s.wall for s in samples), sum(s.cpu for s in samples), max(s.peak for s in samples))
        return taken


def reap() -> None:
    """Take the exit status of the containers, which became our children."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        pass


def run(ctx: Context, *, runtimes: list[str], bundle: str, cycles: int, json_file: str | None, svg: str | None) -> int:
    """Run the cycles in turn, print a table, and write the files that are asked for; raises Error."""
    if not runtimes:
        raise Error("no runtimes: name them after the options, as NAME=COMMAND")
    if cycles < 1:
        raise Error("--cycles: at least 1")
    check_bundle(bundle)
    linux.prctl(linux.PR_SET_CHILD_SUBREAPER, 1)
    with tempfile.TemporaryDirectory(prefix="lxcri-bench-") as scratch, open(f"{scratch}/output", "a+b") as output:
        compared = [Runtime(text, output.fileno()) for text in runtimes]
        measure(compared, os.path.abspath(bundle), cycles, f"{scratch}/pid")
    results = summary(compared)
    ctx.print(table(results))
    data = {"bundle": os.path.abspath(bundle), "cycles": cycles, "milliseconds": results}
    for path, text in ((json_file, json.dumps(data, indent=1) + "\n"), (svg, chart(results))):
        if path:
            try:
                with open(path, "w", encoding="utf-8") as file:
                    file.write(text)
            except OSError as e:
                raise Error(f"{path}: {reason(e)}") from e
    return 0


def check_bundle(bundle: str) -> None:
    """Raise Error for one that this cannot use."""
    path = f"{bundle}/config.json"
    try:
        with open(path, encoding="utf-8") as file:
            config = json.load(file)
    except (OSError, ValueError) as e:
        raise Error(f"{path}: {reason(e) if isinstance(e, OSError) else e}") from e
    process = config.get("process") if isinstance(config, dict) else None
    if isinstance(process, dict) and process.get("terminal"):
        raise Error(f"{path}: process.terminal: nobody is there to take its console")


def measure(runtimes: list[Runtime], bundle: str, cycles: int, pid_file: str) -> None:
    """Run all of them once for the caches, then as often as asked for; the progress goes to standard error."""
    with click.progressbar(range(cycles + 1), label="cycles", file=sys.stderr) as rounds:
        for number in rounds:
            for index, runtime in enumerate(runtimes):
                time.sleep(IDLE_SECONDS)
                taken = runtime.cycle(bundle, f"bench-{os.getpid()}-{index}-{number}", pid_file)
                for step, sample in taken.items() if number else ():
                    runtime.samples[step].append(sample)


def summary(runtimes: list[Runtime]) -> dict[str, dict[str, dict[str, Any]]]:
    """By step and runtime: median, minimum, CPU time's median, peak of memory, and ratios to the last runtime."""
    results: dict[str, dict[str, dict[str, Any]]] = {}
    for step in (*STEPS, CYCLE):
        if not all(runtime.samples[step] for runtime in runtimes):
            continue
        reference = [sample.wall for sample in runtimes[-1].samples[step]]
        results[step] = {}
        for runtime in runtimes:
            walls = [sample.wall for sample in runtime.samples[step]]
            median, minimum = statistics.median(walls), min(walls)
            results[step][runtime.name] = {
                "median": round(median, DIGITS),
                "minimum": round(minimum, DIGITS),
                "cpu": round(statistics.median(sample.cpu for sample in runtime.samples[step]), DIGITS),
                "peak_kib": max(sample.peak for sample in runtime.samples[step]),
                "ratio": round(median / statistics.median(reference), DIGITS),
                "ratio_of_minima": round(minimum / min(reference), DIGITS),
                "samples": [round(wall, DIGITS) for wall in walls],
            }
    return results


def table(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """For people."""
    width = max(len(name) for names in results.values() for name in names)
    last = list(results[CYCLE])[-1]
    lines = [f"{'':7} {'':{width}}  median  minimum      CPU   to {last}: median, minimum"]
    for step, names in results.items():
        for name, r in names.items():
            figures = f"{r['median']:8.1f} {r['minimum']:8.1f} {r['cpu']:8.1f}"
            lines.append(f"{step:7} {name:{width}} {figures}   {r['ratio']:.2f}  {r['ratio_of_minima']:.2f}")
    return "\n".join([*lines, ""])


def chart(results: dict[str, dict[str, dict[str, Any]]]) -> str:
    """Bars of the medians, with a line at each minimum, as SVG."""
    names = list(results[CYCLE])
    longest = max(r["median"] for step in results.values() for r in step.values())
    scale, bar, left = 600 / longest, 16, 90
    height = 30 + len(results) * (len(names) * bar + 12) + 20
    size = f'width="{left + 700}" height="{height}"'
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">']
    for index, name in enumerate(names):
        x, colour = left + 140 * index, COLOURS[index % len(COLOURS)]
        parts.append(f'<rect x="{x}" y="8" width="10" height="10" fill="{colour}"/>')
        parts.append(f'<text x="{x + 14}" y="17">{escape(name)}</text>')
    y = 30
    for step, by_name in results.items():
        parts.append(f'<text x="4" y="{y + 12}">{step}</text>')
        for index, r in enumerate(by_name.values()):
            length, least = scale * r["median"], left + scale * r["minimum"]
            colour = COLOURS[index % len(COLOURS)]
            parts.append(f'<rect x="{left}" y="{y}" width="{length:.1f}" height="{bar - 3}" fill="{colour}"/>')
            parts.append(f'<path d="M{least:.1f} {y}v{bar - 3}" stroke="black"/>')
            parts.append(f'<text x="{left + length + 5:.1f}" y="{y + 11}">{r["median"]:.1f} ms</text>')
            y += bar
        y += 12
    parts.append(f'<text x="{left}" y="{y + 8}">median; the line is the minimum</text></svg>')
    return "\n".join([*parts, ""])
