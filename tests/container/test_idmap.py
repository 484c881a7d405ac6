"""config.md, "Mounts": uidMappings and gidMappings, idmap and ridmap (id-mapped mounts)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from oci.machine import mounted

if TYPE_CHECKING:
    from oci.bundle import Bundle

pytestmark = pytest.mark.lxcri_only(reason="runc 1.1 knows no id-mapped mounts")

MAPPING = [{"containerID": 1000, "hostID": 7, "size": 2}]


def volume(bundle: Bundle, *options: str, mapping: list[dict[str, int]] | None = None) -> str:
    """A directory with files of users 1000 and 1001, mounted at /volume; returns its path."""
    path = bundle.directory("volume")
    fill(path)
    bundle.bind(path, "/volume", *options)
    if mapping:
        bundle.config["mounts"][-1].update(uidMappings=mapping, gidMappings=mapping)
    return path


def fill(path: str) -> None:
    """Make files of users 1000 and 1001, and of root."""
    for name, uid in (("a", 1000), ("b", 1001), ("root", 0)):
        bundle_file = os.path.join(path, name)
        with open(bundle_file, "w"):
            pass
        os.chown(bundle_file, uid, uid)


@pytest.mark.parametrize("options", [(), ("idmap",), ("ridmap",), ("ro",)])
def test_ids_of_a_volume_are_mapped(bundle: Bundle, options: tuple[str, ...]) -> None:
    """By the mount's own mappings; what has none is nobody's."""
    volume(bundle, *options, mapping=MAPPING)
    assert bundle.sh("cd /volume; stat -c '%n %u %g' a b root") == "a 7 7\nb 8 8\nroot 65534 65534\n"


def test_new_files_are_the_mapped_ids(bundle: Bundle) -> None:
    """Who writes in the container owns the file as the volume's user on the host."""
    path = volume(bundle, mapping=MAPPING)
    os.chown(path, 1000, 1000)
    bundle.process["user"] = {"uid": 7, "gid": 7}
    bundle.sh("echo >/volume/new")
    status = os.stat(os.path.join(path, "new"))
    assert (status.st_uid, status.st_gid) == (1000, 1000)


@pytest.mark.parametrize(("option", "uid"), [("idmap", 1000), ("ridmap", 7)])
def test_mounts_below(bundle: Bundle, option: str, uid: int) -> None:
    """They are mapped with ridmap alone."""
    path = volume(bundle, option, mapping=MAPPING)
    below = os.path.join(path, "below")
    os.mkdir(below)
    with mounted("tmpfs", below, "tmpfs"):
        fill(below)
        assert bundle.sh("stat -c %u /volume/below/a") == f"{uid}\n"


def test_mappings_of_the_container(bundle: Bundle) -> None:
    """idmap alone: a volume's files are of the same ids inside as on the host."""
    bundle.user_namespace()
    bundle.file("traversable")
    os.chmod(bundle.path, 0o755)
    volume(bundle, "idmap")
    assert bundle.sh("stat -c '%u %g' /volume/a /volume/root") == "1000 1000\n0 0\n"


def test_two_volumes_with_different_mappings(bundle: Bundle) -> None:
    """Each has its own."""
    volume(bundle, mapping=MAPPING)
    path = bundle.directory("other")
    fill(path)
    bundle.bind(path, "/other")
    other = [{"containerID": 0, "hostID": 50, "size": 1}]
    bundle.config["mounts"][-1].update(uidMappings=other, gidMappings=other)
    assert bundle.sh("stat -c %u /volume/a /other/root") == "7\n50\n"


def test_mapping_of_a_file_system_that_cannot_is_an_error(bundle: Bundle) -> None:
    """proc has no ids of its own."""
    bundle.bind("/proc", "/volume")
    bundle.config["mounts"][-1].update(uidMappings=MAPPING, gidMappings=MAPPING)
    bundle.run("/bin/true").refused("invalid argument", where="/volume")
