"""process.selinuxLabel on a kernel that has SELinux.

A policy is not needed: as long as none is loaded the kernel takes the names of its initial labels.
"""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

import pytest
from oci.machine import mounted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.bundle import Bundle
    from oci.machine import Machine

SELINUX = "/sys/fs/selinux"
LABEL = "unlabeled"
SHOW = "cat /proc/self/attr/current | tr -d '\\0'"


@pytest.fixture(scope="module", autouse=True)
def _selinux(machine: Machine) -> Iterator[None]:
    if not os.path.isdir(SELINUX):
        pytest.skip("SELinux is not enabled in this kernel")
    if os.path.exists(f"{SELINUX}/policy") and os.path.getsize(f"{SELINUX}/policy"):
        pytest.skip("SELinux has a policy, which these labels are not made for")
    with contextlib.nullcontext() if os.path.exists(f"{SELINUX}/enforce") else mounted("none", SELINUX, "selinuxfs"):
        yield


@pytest.fixture
def bundle(bundle: Bundle) -> Bundle:
    """Without device rules, which not every cgroup layout has."""
    del bundle.linux["resources"]
    return bundle


def label_of(bundle: Bundle) -> str:
    """The label of a container's process."""
    return bundle.sh(SHOW).strip()


def test_no_label(bundle: Bundle) -> None:
    """Without the property the container has the runtime's label."""
    with open("/proc/self/attr/current") as file:
        assert label_of(bundle) == file.read().rstrip("\0\n")


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_label(bundle: Bundle, no_new_privileges: bool) -> None:
    """The process has it, whatever noNewPrivileges says."""
    bundle.process.update(selinuxLabel=LABEL, noNewPrivileges=no_new_privileges)
    assert label_of(bundle) == LABEL


def test_user_namespace(bundle: Bundle) -> None:
    """Its root may label itself."""
    bundle.user_namespace()
    os.chmod(bundle.path, 0o755)
    bundle.process["selinuxLabel"] = LABEL
    assert label_of(bundle) == LABEL


def test_exec(bundle: Bundle) -> None:
    """`exec` has the container's label, and with --process-label another one."""
    bundle.process["selinuxLabel"] = LABEL
    container = bundle.container("/bin/sleep", "100").up()
    for options, label in ((), LABEL), (("--process-label=file",), "file"):
        result = bundle.runtime.call("exec", *options, container.id, "/bin/sh", "-c", SHOW).ok()
        assert result.stdout.strip() == label
