"""The verb features, against what containers get of it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from oci import mountinfo

if TYPE_CHECKING:
    from oci.bundle import Bundle

BINDS = ("bind", "rbind", "idmap", "ridmap")
SHOWN = "dirsync idmapped lazytime mand noatime nodev nodiratime noexec nosuid nosymfollow ro sync".split()
OTHERWISE = {"idmap": "idmapped", "ridmap": "idmapped"}
"""How mountinfo calls it."""

pytestmark = pytest.mark.lxcri_only("runc 1.1 has another document")


def features(bundle: Bundle) -> Any:
    """The document."""
    return json.loads(bundle.runtime.call("features").ok().stdout)


def test_every_mount_option_works(bundle: Bundle) -> None:
    """On a file system and on a bind mount; what the kernel shows of a mount's options it shows of these."""
    source = bundle.directory("source")
    wanted: dict[str, str] = {}
    ids = [{"containerID": 0, "hostID": 1000, "size": 10}]
    for option in features(bundle)["mountOptions"]:
        if option not in BINDS:
            wanted[f"/options/tmpfs/{option}"] = option
            if option == "remount":
                bundle.mount(f"/options/tmpfs/{option}", "tmpfs", "tmpfs")
            bundle.mount(f"/options/tmpfs/{option}", "tmpfs", "tmpfs", [option])
        if option != "tmpcopyup":
            wanted[f"/options/bind/{option}"] = option
            index = bundle.bind(source, f"/options/bind/{option}", "bind", option)
            if option in ("idmap", "ridmap"):
                bundle.config["mounts"][index] |= {"uidMappings": ids, "gidMappings": ids}
    container = bundle.container("/bin/sleep", "100").up()
    found = {mount.point: mount for mount in mountinfo.of_process(container.pid)}
    assert wanted.keys() <= found.keys()
    for point, option in wanted.items():
        name = OTHERWISE.get(option, option.removeprefix("r") if option.removeprefix("r") in SHOWN else option)
        mount = found[point]
        of_bind = point.startswith("/options/bind/")
        if name in SHOWN and not (of_bind and name in ("dirsync", "lazytime", "mand", "sync")):
            assert name in mount.options | mount.fs_options, point
        for kind in ("shared", "unbindable"):
            assert (kind in mount.propagation) == (option.removeprefix("r") == kind), point


def test_every_namespace_can_be_new(bundle: Bundle) -> None:
    """Together."""
    kinds = features(bundle)["linux"]["namespaces"]
    for kind in kinds:
        if kind == "user":
            bundle.user_namespace()
        else:
            bundle.namespace(kind)
    container = bundle.container("/bin/sleep", "100").up()
    assert len(kinds) == 8
    for name in "cgroup ipc mnt net pid time user uts".split():
        assert os.readlink(f"/proc/{container.pid}/ns/{name}") != os.readlink(f"/proc/self/ns/{name}"), name
