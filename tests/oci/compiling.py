"""Plans of pieces of config.json, and what a piece changes in a Plan."""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from lxcri.cgroup.layout import Layout
from lxcri.compile import Host, Request, compile_plan
from lxcri.errors import Error
from lxcri.plan import Plan
from lxcri.program import STAGES, encode
from lxcri.spec import decode_config

Json = dict[str, Any]

CONTROLLERS = ("cpuset", "cpu,cpuacct", "memory", "devices", "freezer", "blkio", "pids")


def _v1_text() -> tuple[str, str]:
    mounts, own = [], []
    for number, names in enumerate([*CONTROLLERS, "name=systemd"], 1):
        place = names.removeprefix("name=")
        mounts.append(f"{30 + number} 29 0:{number} / /sys/fs/cgroup/{place} rw,nosuid - cgroup cgroup rw,{names}")
        own.append(f"{number}:{names}:/user/caller")
    return "\n".join(mounts), "\n".join(own)


V1_MOUNTS, V1_OWN = _v1_text()
V2_MOUNT = "29 23 0:99 / {} rw,nosuid,nodev,noexec - cgroup2 cgroup2 rw"

V1 = Layout.parse(V1_MOUNTS, V1_OWN)
HYBRID = Layout.parse(f"{V1_MOUNTS}\n{V2_MOUNT.format('/sys/fs/cgroup/unified')}", f"{V1_OWN}\n0::/user/caller")
V2 = Layout.parse(V2_MOUNT.format("/sys/fs/cgroup"), "0::/user/caller", "cpuset cpu io memory hugetlb pids rdma misc\n")
NONE = Layout.parse("", "")

PROC = {"destination": "/proc", "type": "proc", "source": "proc"}

MINIMAL: Json = {
    "ociVersion": "1.0.2",
    "root": {"path": "rootfs"},
    "process": {"cwd": "/", "args": ["sh"]},
    "mounts": [PROC],
    "linux": {"namespaces": [{"type": kind} for kind in ("pid", "network", "ipc", "uts", "mount", "cgroup")]},
}


def merged(config: Json, fragment: Json) -> Json:
    """The config with the fragment in it: objects are merged, everything else replaces what is there."""
    result = dict(config)
    for name, value in fragment.items():
        old = result.get(name)
        result[name] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def mounts(*more: Json) -> Json:
    """A fragment with these mounts, the first of which is mounts[1]."""
    return {"mounts": [PROC, *more]}


def mount(destination: str, kind: str | None, *options: str, source: str | None = None) -> Json:
    """A fragment with one mount, mounts[1]."""
    found = {"destination": destination, "type": kind, "source": source, "options": list(options)}
    return mounts({name: value for name, value in found.items() if value})


def namespaces(*kinds: str, **paths: str) -> Json:
    """A fragment with new namespaces of these types, and then existing ones."""
    joined = [{"type": kind, "path": path} for kind, path in paths.items()]
    return {"linux": {"namespaces": [*({"type": kind} for kind in kinds), *joined]}}


def compiled(fragment: Json, /, **overrides: Any) -> Any:
    """The Plan for MINIMAL with this fragment; overrides are fields of Request or of Host (as host_capabilities)."""
    spec = decode_config(json.dumps(merged(MINIMAL, fragment)).encode())
    of_request = {name: value for name, value in overrides.items() if name in Request.__struct_fields__}
    of_host = {name.removeprefix("host_"): value for name, value in overrides.items() if name not in of_request}
    request = Request(
        **{"id": "c1", "bundle": "/bundle", "rootfs": "/bundle/rootfs", "directory": "/run/lxcri/c1", **of_request}
    )
    return compile_plan(spec, request, Host(**{"layout": HYBRID, **of_host}))


def refusal(fragment: Json, /, **overrides: Any) -> str:
    """The text of the Error that this fragment gets."""
    with pytest.raises(Error) as error:
        compiled(fragment, **overrides)
    return str(error.value)


def _more(new: list[Any], old: list[Any]) -> list[Any]:
    """What is in `new` beyond `old`."""
    rest = list(old)
    more = []
    for value in new:
        if value in rest:
            rest.remove(value)
        else:
            more.append(value)
    return more


def change(fragment: Json, /, *, base: Json | None = None, given: Json | None = None, **overrides: Any) -> Json:
    """
    All that a fragment, or an override, changes in the Plan of MINIMAL with `base`.

    Keys are `items`, `warnings`, the stages, and the fields of the host's part; each has what is new, or what a single
    value has become. What is there no more stands below the same key with a minus. `given` are overrides for both.
    """
    before = compiled(base or {}, **(given or {}))
    after = compiled(merged(base or {}, fragment), **{**(given or {}), **overrides})
    pairs = [
        ("items", before.items, after.items),
        ("warnings", before.warnings, after.warnings),
        ("seccomp", before.seccomp, after.seccomp),
        *((stage, before.program[stage], after.program[stage]) for stage in before.program),
        *((name, getattr(before.host, name), getattr(after.host, name)) for name in before.host.__struct_fields__),
    ]
    found: Json = {}
    for name, old, new in pairs:
        if isinstance(old, list):
            found[name] = _more(new, old)
            found[f"-{name}"] = _more(old, new)
        elif old != new:
            found[name] = new
    return {name: value for name, value in found.items() if not isinstance(value, list) or value}


def as_json(plan: Any) -> Json:
    """What `lxcri plan` prints of it."""
    decoded: Json = msgspec.json.decode(msgspec.json.encode(plan))
    return decoded


def program_of(plan: Plan) -> bytes:
    """Its program, with no filter in it."""
    return encode([plan.program[name] for name in STAGES])


def check_plan(plan: Plan) -> None:
    """What holds for every Plan."""
    assert all("\n" not in key + value and "\0" not in key + value for key, value in plan.items)
    single = [key for key, _ in plan.items if key not in ("lxc.mount.entry", "lxc.idmap")]
    assert len(single) == len(set(single))
    last = [name for name, _, _ in plan.program["start"]]
    assert last.index("user") < last.index("handover") < last.index("execute") == len(last) - 1
    numbers = [arguments[0] for stage in plan.program.values() for name, _, arguments in stage if name == "move"]
    first = 4 + plan.host.terminal + plan.host.preserve_fds
    assert sorted(numbers) == list(range(first, first + len(plan.host.trees)))
    assert program_of(plan)
    as_json(plan)
