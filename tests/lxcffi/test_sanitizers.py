"""The module's own C code, built with the address and undefined behaviour sanitizers."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import build_ffi
import lxcffi

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Home

PROGRAM = """
import os, sys, threading
import lxcffi
from lxcffi.ffi import ffi, lib
assert lxcffi.__file__.startswith(sys.argv[2])

for text in ("", ".", "...", "5", "5.", "5.0.2", "99999999999999999999.1.2", "1.2.3.4", "x"):
    lib.parse_version(text.encode())

path = sys.argv[1]
with lxcffi.Container("config", path) as c:
    for length in (0, 1, 255, 256, 257, 70000):
        values = ["A=" + "x" * length, "B="]
        c.config.set("lxc.environment", values)
        assert c.config.values("lxc.environment") == values
    c.config.set("lxc.idmap", ["u 0 1 1", "g 0 1 1"])
    for values in (["u 0 2 1", "nonsense"], ["nonsense"], ["nonsense", "u 0 2 1"], [""]):
        try:
            c.config.set("lxc.idmap", values)
        except lxcffi.ConfigItemError:
            assert c.config.values("lxc.idmap") == ["u 0 1 1", "g 0 1 1"]
    for key in ("lxc.nonsense", "", "lxc"):
        for values in ([], ["x"], ["x", "y"]):
            try:
                c.config.set(key, values)
            except lxcffi.ConfigItemError:
                pass
    c.network.add("veth", {"ipv4.address": ["10.0.0.1/24"]})
    list(c.network), c.network[0].keys()
lib.set_library_version(0x040000)
zeroes = ffi.new("struct lxc_container *")
assert lib.container_init_pidfd(zeroes) == -1 and not lib.container_set_timeout(zeroes, 1)
lib.set_library_version(0)

container = lxcffi.Container("running", path)
assert [c.name for c in lxcffi.containers(path, defined=False)] == ["running"]
threads = [threading.Thread(target=lambda: [container.state for _ in range(50)]) for _ in range(3)]
for thread in threads:
    thread.start()
for _ in range(3):
    assert container.attach_wait(lambda: sum(range(1000)) and 7) == 7
    assert container.attach_wait(["/bin/true"]) == 0
    assert container.attach_wait(["/bin/sh", "-c", "exit 3"], env={"A": "b"}, groups=[1, 2], cwd="/") == 3
for thread in threads:
    thread.join()
container.console_getfd().close()
container.console_log()
container.interfaces()
container.release()
print("done")
"""


def test_sanitizers_find_nothing(
    running: lxcffi.Container, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler = build_ffi.compiler()
    library = subprocess.run(
        [*compiler, "-print-file-name=libasan.so"], capture_output=True, text=True, check=True
    ).stdout.strip()
    if not os.path.isabs(library):
        pytest.skip("the compiler has no address sanitizer")
    package = tmp_path / "lxcffi"
    shutil.copytree(os.path.dirname(lxcffi.__file__), package, ignore=shutil.ignore_patterns("*.so", "__pycache__"))
    monkeypatch.setenv("CFLAGS", "-fsanitize=address,undefined -fno-sanitize-recover=all -O1 -U_FORTIFY_SOURCE")
    monkeypatch.setenv("LDFLAGS", "-fsanitize=address,undefined")
    build_ffi.LxcModule("lxcffi._lxc", "_lxc.abi3.so").build(str(package / "_lxc.abi3.so"), str(tmp_path / "build"))
    search = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, home.path, str(tmp_path)], capture_output=True, text=True, check=False,
        env={
            **os.environ, "PYTHONPATH": search, "PYTHONMALLOC": "malloc", "LD_PRELOAD": os.path.realpath(library),
            # What Python itself never frees is no leak of the module's.
            "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=0:exitcode=99", "UBSAN_OPTIONS": "print_stacktrace=1",
        },
        cwd=tmp_path, timeout=100,
    )  # fmt: skip
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr
    assert b"__asan_" in (package / "_lxc.abi3.so").read_bytes()
