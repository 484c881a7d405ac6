"""lxcffi.compat against the real python3-lxc, which is in the distribution's own Python."""

from __future__ import annotations

import inspect
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

import lxcffi.compat
from lxcffi import compat

if TYPE_CHECKING:
    from .conftest import Home

HERE = os.path.dirname(os.path.abspath(__file__))
SYSTEM_PYTHON = "/usr/bin/python3"

DESCRIBE = """
import inspect, json, sys
import importlib
module = importlib.import_module(sys.argv[1])

def signature(value):
    # A signature as text without types; None for what is written in C and does not tell.
    try:
        parameters = inspect.signature(value).parameters.values()
    except ValueError:
        return None
    return [
        (p.name, str(p.kind), None if p.default is p.empty else repr(p.default))
        for p in parameters
        if p.name != "self"
    ]

def public(holder):
    return {name: value for name, value in vars(holder).items() if not name.startswith("_")}

def members(kind):
    found = {}
    for base in reversed(kind.__mro__[:-1]):
        found.update(public(base))
    return found

described = {}
for name, value in public(module).items():
    if inspect.ismodule(value) or name == "annotations" or name == "TYPE_CHECKING":
        continue
    if inspect.isclass(value):
        for member, function in members(value).items():
            kind = "callable" if callable(function) else "value"
            described[f"{name}.{member}"] = [kind, signature(function) if callable(function) else None]
        described[name] = ["class", signature(value.__init__)]
    elif callable(value):
        described[name] = ["callable", signature(value)]
    else:
        described[name] = ["value", value]
print(json.dumps(described))
"""


@pytest.fixture(scope="module")
def python3_lxc() -> str:
    """The Python that has python3-lxc."""
    done = subprocess.run([SYSTEM_PYTHON, "-Ic", "import lxc"], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip("python3-lxc is not there (Debian: python3-lxc)")
    return SYSTEM_PYTHON


def describe(python: str, module: str, **options: Any) -> dict[str, Any]:
    """The public names of a module with their signatures."""
    done = subprocess.run(
        [python, "-c", DESCRIBE, module], check=True, stdout=subprocess.PIPE, text=True, timeout=60, **options
    )
    described: dict[str, Any] = json.loads(done.stdout)
    return described


def test_names_and_signatures_are_the_same(python3_lxc: str, environment: dict[str, str]) -> None:
    theirs = describe(python3_lxc, "lxc", cwd="/")
    ours = describe(sys.executable, "lxcffi.compat", env=environment)
    assert set(ours) == set(theirs)
    assert len(theirs) > 70
    compared = 0
    for name, (kind, detail) in theirs.items():
        assert ours[name][0] == kind, name
        if detail is not None:
            assert ours[name][1] == detail, name
            compared += 1
    assert compared > 40


C_PARAMETERS = {
    "add_device_node": "src_path dest_path",
    "attach_interface": "src_ifname dst_ifname",
    "clear_config": "",
    "clear_config_item": "key",
    "detach_interface": "ifname",
    "freeze": "",
    "get_config_path": "",
    "get_running_config_item": "key",
    "load_config": "path",
    "reboot": "",
    "remove_device_node": "src_path dest_path",
    "save_config": "path",
    "set_cgroup_item": "key value",
    "set_config_path": "path",
    "shutdown": "timeout",
    "snapshot": "comment_path",
    "snapshot_destroy": "name",
    "snapshot_list": "",
    "snapshot_restore": "name newname",
    "start": "useinit daemonize close_fds cmd",
    "stop": "",
    "unfreeze": "",
}
"""Names of the parameters of those methods that python3-lxc has in C, where no introspection shows them."""


@pytest.mark.parametrize("method", C_PARAMETERS)
def test_parameters_of_what_is_in_c_are_the_same(python3_lxc: str, method: str) -> None:
    parameters = C_PARAMETERS[method].split()
    assert list(inspect.signature(getattr(compat.Container, method)).parameters)[1:] == parameters


def test_c_methods_take_these_names(home: Home, python3_lxc: str) -> None:
    """A number is the wrong type for all of them, which they say of the names that they know."""
    program = """
import json, sys, lxc
container = lxc.Container("names", "/nonexistent")
for method, names in json.loads(sys.argv[1]).items():
    try:
        getattr(container, method)(**dict.fromkeys(names.split(), 1.5))
    except TypeError as e:
        if "keyword" in str(e):
            print(method, e)
    else:
        print(method, "takes it")
"""
    methods = {method: names for method, names in C_PARAMETERS.items() if names and method != "start"}
    done = subprocess.run(
        [python3_lxc, "-c", program, json.dumps(methods)],
        check=True, stdout=subprocess.PIPE, text=True, timeout=60, cwd="/",
    )  # fmt: skip
    assert done.stdout == ""


def results(home: Home, python: str, module: str, **options: Any) -> list[str]:
    """What the script prints, without what differs from run to run."""
    path = os.path.join(home.path, "compat")
    os.mkdir(path)
    done = subprocess.run(
        [python, os.path.join(HERE, "compat_script.py"), module, path, home.cgroup, os.path.join(HERE, "template")],
        stdout=subprocess.PIPE, text=True, check=False, timeout=100, **options,
    )  # fmt: skip
    assert done.returncode == 0
    os.rename(path, f"{path}-{module}")
    printed: str = done.stdout
    return printed.splitlines()


def test_a_program_has_the_same_results_on_both(home: Home, python3_lxc: str, environment: dict[str, str]) -> None:
    theirs = results(home, python3_lxc, "lxc", cwd="/", env={**os.environ, "LXCFFI": "kept"})
    ours = results(home, sys.executable, "lxcffi.compat", env={**environment, "LXCFFI": "kept"})
    assert len(theirs) > 120
    differences = [(mine, other) for mine, other in zip(ours, theirs, strict=False) if mine != other]
    assert differences == []
    assert len(ours) == len(theirs)


def test_import_is_all_that_changes() -> None:
    assert lxcffi.compat.version == lxcffi.version()
    assert lxcffi.compat is compat
