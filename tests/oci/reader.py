"""lxcri-init's reader of programs on its own, with sanitizers."""

from __future__ import annotations

import os
import subprocess

import build_ffi
from lxcri.program import c_header

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "reader.c")


def includes(directory: str) -> list[str]:
    """Options for what includes the helper's sources; what is generated of them is written to the directory."""
    with open(f"{directory}/lxcri-init-program.h", "w", encoding="utf-8") as header:
        header.write(c_header())
    return [f"-I{directory}", f"-I{build_ffi.CSRC}", "-Wno-unused-function"]


def build(directory: str) -> str:
    """The program of reader.c; raises BuildError where there is no compiler with sanitizers."""
    out = f"{directory}/reader"
    command = [*build_ffi.compiler("LXCRI_INIT_CC"), *build_ffi.HOSTED_INIT_FLAGS, *includes(directory), SOURCE]
    built = subprocess.run([*command, "-o", out], capture_output=True, text=True, check=False)
    if built.returncode and "asan" in built.stderr:
        raise build_ffi.BuildError(f"{command[0]} has no address sanitizer")
    assert not built.returncode, built.stderr
    return out
