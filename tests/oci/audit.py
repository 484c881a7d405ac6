"""What a container sees of itself, and whether that is the same under two runtimes."""

from __future__ import annotations

import re
import shutil
from typing import TYPE_CHECKING

import pytest

from oci import mountinfo

if TYPE_CHECKING:
    from collections.abc import Callable

    from oci.engine import Finished
    from oci.runtime import Runtime

AUDIT = r"""
echo == status
grep -E '^(Cap|NoNewPrivs|Seccomp|Sig(Ign|Blk|Cgt)|Groups|Uid|Gid|Umask|Spec|THP|CoreDump)' /proc/self/status
echo == limits; cat /proc/self/limits
echo == mounts; cat /proc/self/mountinfo
echo == descriptors; ls /proc/self/fd
echo == environment; env | sort
echo == devices; find /dev | sort | while read f; do stat -c '%n %A %u %g %t %T %N' $f; done
echo == cgroup; sort /proc/self/cgroup
for f in memory/memory.limit_in_bytes memory/memory.swappiness pids/pids.max cpu/cpu.shares cpu/cpu.cfs_quota_us \
    cpuset/cpuset.cpus; do echo $f $(cat /sys/fs/cgroup/$f); done
echo == rules; sort /sys/fs/cgroup/devices/devices.list
echo == rest; cat /proc/self/oom_score_adj /proc/self/uid_map /proc/self/setgroups
cat /proc/sys/kernel/hostname /proc/sys/net/ipv4/ip_default_ttl; umask; pwd
stat -c '%A %u:%g %n' / /proc /sys /dev /dev/shm /dev/pts; stat -c %s /
"""
"""A shell script that tells what a container sees of itself, one section for each line that begins with ==."""


def audit(output: str) -> dict[str, list[str]]:
    """The sections, without what is different in any two containers, or as docs/engines.md says."""
    output = re.sub(r"[0-9a-f]{64}", "ID", output)
    output = re.sub(r"\b[0-9a-f]{12}\b", "ID", output)
    output = re.sub(r"(?<=/snapshots/)\d+", "ID", output)
    output = re.sub(r"(?<=^/dev/mqueue drwxrwxrwt) \d+", "", output, flags=re.MULTILINE)
    sections = {}
    for section in output.split("== ")[1:]:
        name, *lines = section.splitlines()
        sections[name] = lines
    sections["mounts"] = sorted(
        f"{mount.root} {mount.point} {sorted(mount.options)} {sorted(mount.propagation)} {mount.fstype}"
        for mount in mountinfo.parse("\n".join(sections["mounts"]))
        if mount.point != "/sys/fs/cgroup"
    )
    return sections


def compare_audits(runtime: Runtime, look: Callable[[bool], Finished]) -> None:
    """Assert that the script prints the same in a container of the runtime under test, and in one of runc."""
    if shutil.which("runc") is None or not runtime.is_lxcri:
        pytest.skip("this compares lxcri with runc")
    mine, others = (audit(look(runc).ok().stdout) for runc in (False, True))
    assert mine.keys() == others.keys()
    for section, lines in mine.items():
        differing = sorted(set(lines) ^ set(others[section])) or "their order"
        assert lines == others[section], f"{section}: {differing}"
