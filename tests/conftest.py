"""Options and fixtures of the behaviour tests, which take any runtime binary.

    pytest tests/container --runtime /usr/sbin/runc

Container tests need root. They run in a mount namespace of their own, and each is followed by a check that
the machine is as before.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import tempfile
from typing import TYPE_CHECKING

import pytest
from oci import process
from oci.bundle import Bundle
from oci.machine import Machine
from oci.rootfs import Skeleton
from oci.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CHECKOUT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--runtime",
        default=os.environ.get("LXCRI_TEST_RUNTIME") or os.path.join(CHECKOUT, ".venv/bin/lxcri"),
        help="runtime binary to test (default: $LXCRI_TEST_RUNTIME, or the checkout's .venv/bin/lxcri)",
    )
    parser.addoption("--faults", type=int, default=20, help="points that the test of faults tries of each verb")
    parser.addoption("--fault-seed", type=int, default=1, help="chooses those points")
    parser.addoption("--containers", type=int, default=30, help="containers that the test of load has at once")
    parser.addoption("--cycles", type=int, default=500, help="containers that the endurance test creates and deletes")


def pytest_configure(config: pytest.Config) -> None:
    # A shell starts what it puts in the background with this ignored, which all that we start would inherit.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for line in (
        "lxcri_only(reason): tests what only lxcri promises; skipped on other runtimes",
        "runc_differs(reason, run=True, strict=True): runc 1.1 behaves differently, for this reason",
        "slow: takes more than a few seconds",
    ):
        config.addinivalue_line("markers", line)


@pytest.fixture(scope="session")
def machine() -> Iterator[Machine]:
    """The machine, in a private mount namespace with a work directory."""
    if os.geteuid() != 0:
        pytest.skip("containers of this kind need root")
    machine = Machine()
    yield machine
    process.kill_children()
    assert machine.close() == []


@pytest.fixture(scope="session")
def skeleton(machine: Machine) -> Skeleton:
    """The root file system that every bundle's is linked from."""
    return Skeleton(os.path.join(machine.work, "skeleton"))


@pytest.fixture(scope="session")
def runtime(machine: Machine, pytestconfig: pytest.Config) -> Runtime:
    """The runtime to test."""
    path = os.path.abspath(pytestconfig.getoption("--runtime"))
    if not os.access(path, os.X_OK):
        pytest.fail(f"{path}: no such runtime; build it, or name one with --runtime", pytrace=False)
    runtime = Runtime(path, machine.work, machine.prefix)
    if runtime.name == "crun" and os.path.ismount("/sys/fs/cgroup/unified"):
        machine.cover("/sys/fs/cgroup/unified")  # it refuses a hybrid layout
    return runtime


def _apply_runtime_marks(request: pytest.FixtureRequest) -> None:
    only, differs = (request.node.get_closest_marker(name) for name in ("lxcri_only", "runc_differs"))
    if not only and not differs:
        return
    runtime: Runtime = request.getfixturevalue("runtime")
    if only and not runtime.is_lxcri:
        pytest.skip(f"only lxcri: {only.args[0]}")
    if differs and runtime.name == "runc":
        request.applymarker(pytest.mark.xfail(reason=differs.args[0], **differs.kwargs))


@pytest.fixture
def as_before(machine: Machine, request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that changes the machine."""
    _apply_runtime_marks(request)
    before = machine.snapshot()
    yield
    problems = []
    try:
        process.wait_for(lambda: not process.children(), "children", timeout=1)
    except TimeoutError:
        problems += [f"process: left behind {what}" for what in process.children().values()]
    problems += before.differences(machine.snapshot())
    if "runtime" in request.fixturenames:
        runtime = request.getfixturevalue("runtime")
        for name in runtime.containers():
            problems.append(f"state directory: left behind {name}")
            shutil.rmtree(os.path.join(runtime.root, name))
    if problems:
        machine.restore(before)
        pytest.fail("the machine is not as before:\n  " + "\n  ".join(problems), pytrace=False)


@pytest.fixture
def new_bundle(
    as_before: None, machine: Machine, runtime: Runtime, skeleton: Skeleton
) -> Iterator[Callable[[], Bundle]]:
    """Makes bundles that are removed, with their containers, after the test."""
    with contextlib.ExitStack() as bundles:

        def make() -> Bundle:
            bundle = Bundle(tempfile.mkdtemp(prefix="bundle-", dir=machine.work), skeleton, runtime)
            bundles.callback(bundle.close)
            return bundle

        yield make


@pytest.fixture
def bundle(new_bundle: Callable[[], Bundle]) -> Bundle:
    """A bundle with the default config."""
    return new_bundle()
