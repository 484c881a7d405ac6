"""
Coverage-guided fuzzing of what reads other people's words.

    PYTHONPATH=.:tests .venv/bin/python -m fuzz [--seconds N] [--findings DIRECTORY] [TARGET ...]
    PYTHONPATH=.:tests .venv/bin/python -m fuzz --again FILE TARGET

Targets, with libFuzzer and the sanitizers of addresses and undefined behaviour (Debian: clang, libclang-rt-14-dev):
    reader      lxcri-init's reader of programs
    lxcri_init  lxcri-init as a whole, in a kernel whose answers are the input: programs, packets, files of images
and with atheris, which is libFuzzer for Python (pip install atheris):
    config      decoding and compiling config.json
    arguments   both parsers of the command line

Each starts from what corpus.py makes, and runs for N seconds (10). For each a line is printed; the exit status is 1
if one of them found something, which then is a file in DIRECTORY (fuzz-findings), for --again.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable

from oci import reader

import build_ffi
from fuzz import corpus

HERE = os.path.dirname(os.path.abspath(__file__))
SANITIZERS = "-fsanitize=fuzzer,address,undefined"
FLAGS = [flag for flag in build_ffi.HOSTED_INIT_FLAGS if not flag.startswith(("-fsanitize=", "-DLXCRI_INIT"))]
DEEP = b'{"annotations": ' + b"[" * 100_000

Seeds = list[bytes]
DONE = re.compile(r"cov: (\d+) ft: (\d+) corp: (\d+)")


def say(text: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def build_c(name: str, directory: str) -> list[str]:
    """The command of a target in C."""
    clang = shutil.which("clang")
    if not clang:
        raise build_ffi.BuildError("libFuzzer needs clang (Debian: apt-get install clang libclang-rt-14-dev)")
    out = f"{directory}/{name}"
    options = [*FLAGS, SANITIZERS, "-DLXCRI_INIT_FUZZED", *reader.includes(directory)]
    build_ffi.run([clang, *options, f"{HERE}/{name}.c", "-o", out])
    return [out]


def python_command(name: str, directory: str) -> list[str]:
    """The command of a target in Python."""
    os.environ["LXCRI_FUZZ_READER"] = reader.build(directory)
    return [sys.executable, "-m", f"fuzz.{name}"]


def config_seeds() -> Seeds:
    """Inputs of config.py."""
    import json

    return [*(json.dumps(config).encode() for config in corpus.configs()), b"", b"{}", DEEP]


def argument_seeds() -> Seeds:
    """Inputs of arguments.py."""
    return [b"\0".join(map(os.fsencode, words)) for words in corpus.command_lines()]


TARGETS: dict[str, tuple[Callable[[str, str], list[str]], Callable[[], Seeds], int]] = {
    # how it is built, what it starts from, the longest input
    "reader": (build_c, corpus.encoded_programs, 1 << 14),
    "lxcri_init": (build_c, corpus.runs, 1 << 14),
    "config": (python_command, config_seeds, 1 << 17),
    "arguments": (python_command, argument_seeds, 1 << 9),
}


def fuzz(name: str, seconds: int, findings: str, directory: str) -> bool:
    """Run one target and print what came of it; whether nothing was found."""
    build, seeds, longest = TARGETS[name]
    command = build(name, directory)
    inputs = f"{directory}/{name}-corpus"
    os.mkdir(inputs)
    for number, seed in enumerate(seeds()):
        with open(f"{inputs}/seed-{number}", "wb") as file:
            file.write(seed)
    options = [f"-max_total_time={seconds}", f"-max_len={longest}", "-timeout=20", "-rss_limit_mb=2048"]
    with open(f"{directory}/{name}.log", "w+", encoding="utf-8", errors="replace") as log:
        done = subprocess.run(
            [*command, *options, "-print_final_stats=1", f"-artifact_prefix={findings}/{name}-", inputs],
            check=False,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        log.seek(0)
        text = log.read()
    executions = re.search(r"number_of_executed_units: (\d+)", text) or re.search(r"Done (\d+) runs", text)
    coverage = DONE.findall(text)
    edges, features, corpus_size = coverage[-1] if coverage else ("0", "0", "0")
    found = [os.path.join(findings, file) for file in sorted(os.listdir(findings)) if file.startswith(f"{name}-")]
    say(
        f"{name}: {seconds} s, {executions[1] if executions else 0} executions, {edges} edges, {features} features, "
        f"corpus {corpus_size}, {f'{len(found)} findings' if done.returncode else 'nothing found'}"
    )
    if done.returncode:
        say(text[-4000:])
        for path in found:
            say(f"again: python -m fuzz --again {shlex.quote(path)} {name}")
    return not done.returncode


def main() -> int:
    """Run the targets that are named, or all."""
    parser = argparse.ArgumentParser(prog="fuzz", description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--findings", default="fuzz-findings")
    parser.add_argument("--again")
    options = parser.parse_args()
    if options.again:
        with tempfile.TemporaryDirectory() as directory:
            (name,) = options.targets
            command = TARGETS[name][0](name, directory)
            return subprocess.run([*command, options.again], check=False).returncode
    findings = os.path.abspath(options.findings)
    os.makedirs(findings, exist_ok=True)
    with tempfile.TemporaryDirectory() as directory:
        good = [fuzz(name, options.seconds, findings, directory) for name in options.targets or TARGETS]
    if not os.listdir(findings):
        os.rmdir(findings)
    return int(not all(good))


if __name__ == "__main__":
    sys.exit(main())
