"""Propagation of mounts: per mount, and linux.rootfsPropagation."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest
from oci import machine, mountinfo
from oci.machine import MS_BIND, MS_SHARED, mounted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.bundle import Bundle
    from oci.runtime import Container


ROOT_STAYS_PRIVATE = pytest.mark.runc_differs("1.1 sets it on the host's tree before the root is bound from it")


@contextlib.contextmanager
def shared_volume(bundle: Bundle) -> Iterator[str]:
    """A shared mount of the host with two directories."""
    path = bundle.directory("volume")
    with mounted("tmpfs", path, "tmpfs"):
        machine.mount("none", path, flags=MS_SHARED)
        os.mkdir(os.path.join(path, "by-host"))
        os.mkdir(os.path.join(path, "by-container"))
        yield path


def as_engines_do(bundle: Bundle, option: str) -> None:
    """Engines share the root too when a volume is shared: runc binds from a copy of the host's tree."""
    if option in ("shared", "rshared"):
        bundle.linux["rootfsPropagation"] = "rshared"


def points(container: Container) -> set[str]:
    return {mount.point for mount in mountinfo.of_process(container.pid)}


def propagation(container: Container, point: str) -> set[str]:
    return set(mountinfo.at(container.proc("mountinfo"), point).propagation)


def mounting(bundle: Bundle, directory: str) -> Container:
    """A container that mounts a tmpfs on a directory, and then sleeps."""
    for kind in bundle.process["capabilities"].values():
        kind.append("CAP_SYS_ADMIN")
    container = bundle.shell(f"mount -t tmpfs tmpfs {directory} && echo mounted; exec sleep 100").up()
    container.wait_output("mounted")
    return container


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ("private", set()),
        ("slave", {"master"}),
        ("shared", {"shared"}),
        ("unbindable", {"unbindable"}),
        ("rprivate", set()),
        ("rslave", {"master"}),
        ("rshared", {"shared"}),
        ("runbindable", {"unbindable"}),
    ],
)
def test_option_sets_the_propagation_of_a_mount(bundle: Bundle, option: str, expected: set[str]) -> None:
    """liblxc makes everything shared after pivot_root, so this is set after it."""
    with shared_volume(bundle) as volume:
        as_engines_do(bundle, option)
        bundle.bind(volume, "/volume", "bind", option)
        container = bundle.container("/bin/sleep", "100").up()
        assert propagation(container, "/volume") == expected
        container.close()


def test_options_of_several_mounts_do_not_meet(bundle: Bundle) -> None:
    """Each mount has its own; a recursive word reaches what is below, not beside."""
    with shared_volume(bundle) as volume:
        as_engines_do(bundle, "rshared")
        bundle.bind(volume, "/one", "rslave")
        bundle.bind(volume, "/two", "rshared")
        bundle.bind(volume, "/three", "rprivate")
        container = bundle.container("/bin/sleep", "100").up()
        found = [propagation(container, point) for point in ("/one", "/two", "/three")]
        assert found == [{"master"}, {"shared"}, set()]
        container.close()


@pytest.mark.parametrize(("option", "arrives"), [("rslave", True), ("rshared", True), ("rprivate", False)])
def test_mount_of_the_host_arrives(bundle: Bundle, option: str, arrives: bool) -> None:
    """What the host mounts in the volume later."""
    with shared_volume(bundle) as volume:
        as_engines_do(bundle, option)
        bundle.bind(volume, "/volume", option)
        container = bundle.container("/bin/sleep", "100").up()
        with mounted("tmpfs", os.path.join(volume, "by-host"), "tmpfs"):
            assert ("/volume/by-host" in points(container)) == arrives
        container.close()


@pytest.mark.parametrize(("option", "arrives"), [("rslave", False), ("rshared", True), ("rprivate", False)])
def test_mount_of_the_container_arrives(bundle: Bundle, option: str, arrives: bool) -> None:
    """What the container mounts in the volume: only rshared shows it to the host, as CSI drivers need it."""
    with shared_volume(bundle) as volume:
        as_engines_do(bundle, option)
        bundle.bind(volume, "/volume", option)
        container = mounting(bundle, "/volume/by-container")
        by_container = os.path.join(volume, "by-container")
        assert os.path.ismount(by_container) == arrives
        if arrives:
            machine.umount(by_container)
        container.close()


def test_volume_without_an_option_does_not_reach_the_host(bundle: Bundle) -> None:
    """No word: the root's propagation, which is not shared with the host."""
    with shared_volume(bundle) as volume:
        bundle.bind(volume, "/volume")
        container = mounting(bundle, "/volume/by-container")
        assert not os.path.ismount(os.path.join(volume, "by-container"))
        container.close()


@contextlib.contextmanager
def shared_root(bundle: Bundle) -> Iterator[None]:
    """The root file system as a shared mount of the host."""
    with mounted(bundle.rootfs, bundle.rootfs, flags=MS_BIND):
        machine.mount("none", bundle.rootfs, flags=MS_SHARED)
        yield


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("private", set()),
        ("rprivate", set()),
        ("slave", set()),
        ("rslave", set()),
        pytest.param("shared", {"shared"}, marks=ROOT_STAYS_PRIVATE),
        pytest.param("rshared", {"shared"}, marks=ROOT_STAYS_PRIVATE),
        pytest.param("unbindable", {"unbindable"}, marks=ROOT_STAYS_PRIVATE),
        pytest.param("runbindable", {"unbindable"}, marks=ROOT_STAYS_PRIVATE),
    ],
)
def test_rootfs_propagation_of_the_root(bundle: Bundle, value: str, expected: set[str]) -> None:
    """seed: configureRootfs: lxc.rootfs.options: linux.rootfsPropagation, as mountinfo shows it for /."""
    bundle.linux["rootfsPropagation"] = value
    with shared_root(bundle):
        container = bundle.container("/bin/sleep", "100").up()
        assert propagation(container, "/") & {"shared", "unbindable"} == expected
        container.close()


@pytest.mark.parametrize("value", ["", "rslave", "rprivate", "private"])
def test_mounts_of_the_container_do_not_reach_the_host(bundle: Bundle, value: str) -> None:
    """Unless the root is shared."""
    if value:
        bundle.linux["rootfsPropagation"] = value
    with shared_root(bundle):
        container = mounting(bundle, "/srv")
        assert not os.path.ismount(os.path.join(bundle.rootfs, "srv"))
        container.close()


def test_root_is_not_shared_by_default(bundle: Bundle) -> None:
    """A container's own mounts do not propagate between namespaces that its processes make, unless asked."""
    container = bundle.container("/bin/sleep", "100").up()
    assert "shared" not in propagation(container, "/")
    assert "shared" not in propagation(container, "/proc")


def test_unknown_rootfs_propagation_is_an_error(bundle: Bundle) -> None:
    """Named in the message."""
    bundle.linux["rootfsPropagation"] = "wild"
    bundle.run().refused("wild", where="linux.rootfsPropagation")


@pytest.mark.parametrize("option", ["shared", "rshared"])
def test_shared_volume_under_a_root_that_is_not(bundle: Bundle, option: str) -> None:
    """Shared among the container's own namespaces: what it mounts does not appear on the host."""
    with shared_volume(bundle) as volume:
        bundle.bind(volume, "/volume", option)
        container = bundle.container("/bin/sleep", "100").up()
        assert propagation(container, "/volume") == {"shared", "master"}
        container.close()
