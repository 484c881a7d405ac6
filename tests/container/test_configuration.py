"""lxcri's own configuration: switches, and hooks of the runtime for every container."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from oci.bundle import Bundle
    from oci.runtime import Result

pytestmark = pytest.mark.lxcri_only("its configuration")


def run(bundle: Bundle, configuration: Any, *options: str) -> Result:
    """``run`` with this configuration file."""
    bundle.write()
    path = bundle.file("lxcri.json", json.dumps(configuration))
    return bundle.runtime.call(
        "run", "--bundle", bundle.path, bundle.runtime.new_id(), options=("--config", path, *options)
    )


def warnings(bundle: Bundle, configuration: Any, *options: str) -> str:
    """The warnings in the log of a successful ``run``."""
    log = os.path.join(bundle.path, "log.json")
    run(bundle, configuration, *options, "--log", log, "--log-format", "json").ok()
    if not os.path.exists(log):
        return ""
    with open(log) as file:
        records = [json.loads(line) for line in file]
    return "\n".join(record["msg"] for record in records if record["level"] == "warning")


def test_hooks_of_the_runtime_come_first(bundle: Bundle) -> None:
    """seed: configureHooks: the runtime's hooks are prepended to the container's, for all six kinds."""
    kinds = ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
    seen = bundle.directory("seen")
    bundle.bind(seen, seen)
    recorder = bundle.file("record", f"#!/bin/sh\necho $1 >>{seen}/order\n", 0o755)
    bundle.bind(recorder, recorder)

    def hooks(owner: str) -> dict[str, Any]:
        return {kind: [{"path": recorder, "args": ["record", f"{owner}-{kind}"]}] for kind in kinds}

    bundle.config["hooks"] = hooks("container")
    run(bundle, {"hooks": hooks("runtime")}).ok()
    with open(f"{seen}/order") as file:
        order = file.read().split()
    assert sorted(order) == sorted(f"{owner}-{kind}" for owner in ("runtime", "container") for kind in kinds)
    for kind in kinds:
        assert order.index(f"runtime-{kind}") < order.index(f"container-{kind}")


def test_hooks_of_the_runtime_alone(bundle: Bundle) -> None:
    """A spec without hooks."""
    out = os.path.join(bundle.path, "out")
    run(bundle, {"hooks": {"createRuntime": [{"path": "/bin/touch", "args": ["touch", out]}]}}).ok()
    assert os.path.exists(out)


@pytest.mark.parametrize("way", ["file", "option"])
def test_seccomp_off(bundle: Bundle, way: str) -> None:
    """seed: configureContainer: rt.Features.Seccomp off: no filter, and a warning."""
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["sync"], "action": "SCMP_ACT_ERRNO"}],
    }
    bundle.process["args"] = ["/bin/probe", "sync"]
    configuration, options = ({"seccomp": False}, ()) if way == "file" else ({}, ("--seccomp=false",))
    assert run(bundle, configuration, *options).ok().stdout == "ok 0\n"
    assert "seccomp" in warnings(bundle, configuration, *options)


@pytest.mark.parametrize("way", ["file", "option"])
def test_capabilities_off(bundle: Bundle, way: str) -> None:
    """seed: configureContainer: rt.Features.Capabilities off: those of the runtime, and a warning."""
    bundle.process["args"] = ["/bin/grep", "CapEff", "/proc/self/status"]
    configuration, options = ({"capabilities": False}, ()) if way == "file" else ({}, ("--capabilities=false",))
    with open("/proc/self/status") as file:
        own = next(line for line in file if line.startswith("CapEff"))
    assert run(bundle, configuration, *options).ok().stdout == own
    assert "capabilities" in warnings(bundle, configuration, *options)


@pytest.mark.parametrize("way", ["file", "option"])
def test_cgroup_devices_off(bundle: Bundle, way: str) -> None:
    """The device rules are not applied, and a warning says so."""
    bundle.linux["devices"] = [{"path": "/dev/own", "type": "c", "major": 10, "minor": 250, "fileMode": 0o666}]
    bundle.process["args"] = ["/bin/sh", "-c", "(exec 3</dev/own) 2>&1; true"]
    configuration, options = ({"cgroupDevices": False}, ()) if way == "file" else ({}, ("--cgroup-devices=false",))
    assert "not permitted" in run(bundle, {}).ok().stdout
    assert "not permitted" not in run(bundle, configuration, *options).ok().stdout
    assert "devices" in warnings(bundle, configuration, *options)


@pytest.mark.parametrize("way", ["file", "option"])
def test_apparmor_off(bundle: Bundle, way: str) -> None:
    """seed: configureContainer: rt.Features.Apparmor off: unconfined, and a warning."""
    bundle.process["apparmorProfile"] = "no-such-profile"
    configuration, options = ({"apparmor": False}, ()) if way == "file" else ({}, ("--apparmor=false",))
    assert "apparmor" in warnings(bundle, configuration, *options)


def test_option_overrides_the_file(bundle: Bundle) -> None:
    """The command line has precedence."""
    bundle.process["args"] = ["/bin/probe", "sync"]
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{"names": ["sync"], "action": "SCMP_ACT_ERRNO"}],
    }
    assert run(bundle, {"seccomp": False}, "--seccomp=true").ok().stdout == "errno 1\n"


def test_nothing_off_nothing_said(bundle: Bundle) -> None:
    """No warning without a switch."""
    assert warnings(bundle, {}) == ""


def test_unknown_property_is_an_error(bundle: Bundle) -> None:
    """A misspelt switch must not go unnoticed."""
    run(bundle, {"secomp": False}).refused("secomp", where="lxcri.json")


def test_broken_file_is_an_error(bundle: Bundle) -> None:
    """With its path."""
    bundle.write()
    path = bundle.file("lxcri.json", "{")
    bundle.runtime.call("run", "--bundle", bundle.path, bundle.runtime.new_id(), options=("--config", path)).refused(
        path
    )
