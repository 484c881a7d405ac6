"""config.json's process.rlimits and oomScoreAdj."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from oci.bundle import Bundle

NAMES = {
    "RLIMIT_AS": "Max address space",
    "RLIMIT_CORE": "Max core file size",
    "RLIMIT_CPU": "Max cpu time",
    "RLIMIT_DATA": "Max data size",
    "RLIMIT_FSIZE": "Max file size",
    "RLIMIT_LOCKS": "Max file locks",
    "RLIMIT_MEMLOCK": "Max locked memory",
    "RLIMIT_MSGQUEUE": "Max msgqueue size",
    "RLIMIT_NICE": "Max nice priority",
    "RLIMIT_NOFILE": "Max open files",
    "RLIMIT_NPROC": "Max processes",
    "RLIMIT_RSS": "Max resident set",
    "RLIMIT_RTPRIO": "Max realtime priority",
    "RLIMIT_RTTIME": "Max realtime timeout",
    "RLIMIT_SIGPENDING": "Max pending signals",
    "RLIMIT_STACK": "Max stack size",
}
ZERO_HERE = {"RLIMIT_NICE", "RLIMIT_RTPRIO"}  # the hard limit of an ordinary process is 0


def limits(bundle: Bundle) -> dict[str, tuple[str, str]]:
    """Soft and hard limit, by the kernel's name."""
    lines = bundle.run("cat", "/proc/self/limits").ok().stdout.splitlines()[1:]
    return {line[:26].strip(): (line[26:47].strip(), line[47:68].strip()) for line in lines}


@pytest.mark.parametrize("name", sorted(NAMES))
def test_each_limit(bundle: Bundle, name: str) -> None:
    """seed: configureContainer: lxc.prlimit: soft and hard, as /proc/self/limits shows them."""
    unit = 0 if name in ZERO_HERE else 2**20 * 256 if name in ("RLIMIT_AS", "RLIMIT_DATA") else 4096
    if name == "RLIMIT_STACK":
        unit = 2**20
    bundle.process["rlimits"] = [{"type": name, "soft": unit, "hard": unit * 2}]
    assert limits(bundle)[NAMES[name]] == (str(unit), str(unit * 2))


def test_unlimited(bundle: Bundle) -> None:
    """RLIM_INFINITY is 2^64-1 in JSON."""
    bundle.process["rlimits"] = [{"type": "RLIMIT_FSIZE", "soft": 2**64 - 1, "hard": 2**64 - 1}]
    assert limits(bundle)["Max file size"] == ("unlimited", "unlimited")


def test_limits_not_given_are_inherited(bundle: Bundle) -> None:
    """From the caller of the runtime."""
    result = bundle.run(
        "cat", "/proc/self/limits", wrapper=("/bin/sh", "-c", 'ulimit -c 77; ulimit -n 900; exec "$@"', "sh")
    )
    lines = {line[:26].strip(): line[26:].split()[:2] for line in result.ok().stdout.splitlines()}
    assert lines["Max core file size"] == [str(77 * 512), str(77 * 512)]
    assert lines["Max open files"] == ["900", "900"]


@pytest.mark.parametrize(
    "descriptors",
    [pytest.param(3, marks=pytest.mark.runc_differs("1.1 opens files after it set the limit")), 16],
)
def test_tight_limits_do_not_break_the_runtime(bundle: Bundle, descriptors: int) -> None:
    """Limits are the container's: its mounts do not fail for a NOFILE of 3 or an FSIZE of 0."""
    bundle.process["rlimits"] = [
        {"type": "RLIMIT_NOFILE", "soft": descriptors, "hard": descriptors},
        {"type": "RLIMIT_FSIZE", "soft": 0, "hard": 0},
    ]
    for number in range(8):
        bundle.mount(f"/mnt/{number}", "tmpfs", "tmpfs")
    bundle.run("/bin/true").ok()


@pytest.mark.runc_differs("1.1 takes the last one")
def test_duplicate_limit_is_an_error(bundle: Bundle) -> None:
    """seed: configureContainer: duplicate resource limit."""
    bundle.process["rlimits"] = [{"type": "RLIMIT_CORE", "soft": value, "hard": value} for value in (2, 1)]
    bundle.run().refused("RLIMIT_CORE", where="process.rlimits[1]")


def test_unknown_limit_is_an_error(bundle: Bundle) -> None:
    """The runtime MUST generate an error for a value that it cannot map to a kernel interface."""
    bundle.process["rlimits"] = [{"type": "RLIMIT_PATIENCE", "soft": 1, "hard": 1}]
    bundle.run().refused("RLIMIT_PATIENCE", where="process.rlimits[0]")


def test_soft_above_hard_is_an_error(bundle: Bundle) -> None:
    """The kernel refuses it, if nobody did before."""
    bundle.process["rlimits"] = [{"type": "RLIMIT_CORE", "soft": 2, "hard": 1}]
    bundle.run().refused(where="RLIMIT_CORE")


def test_oom_score_adj(bundle: Bundle) -> None:
    """seed: configureContainer: lxc.proc.oom_score_adj."""
    bundle.process["oomScoreAdj"] = 567
    assert bundle.run("cat", "/proc/self/oom_score_adj").ok().stdout == "567\n"


def test_oom_score_adj_is_set_before_start(bundle: Bundle) -> None:
    """The created container has it already."""
    bundle.process["oomScoreAdj"] = 321
    container = bundle.container("/bin/true")
    container.create()
    assert container.proc("oom_score_adj") == "321\n"


def test_oom_score_adj_not_given_is_inherited(bundle: Bundle) -> None:
    """The runtime MUST NOT change it then."""
    out = bundle.run(
        "cat", "/proc/self/oom_score_adj",
        wrapper=("/bin/sh", "-c", 'echo 123 >/proc/self/oom_score_adj; exec "$@"', "sh"),
    )  # fmt: skip
    assert out.ok().stdout == "123\n"


def test_oom_score_adj_out_of_range_is_an_error(bundle: Bundle) -> None:
    """-1000 to 1000."""
    bundle.process["oomScoreAdj"] = 1001
    bundle.run().refused(where="oomScoreAdj")
