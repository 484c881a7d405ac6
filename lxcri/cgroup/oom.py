"""Notifications that a container's cgroup ran out of memory, from v1 and from cgroup2."""

from __future__ import annotations

import os
import select

from ..errors import Error, reason
from . import UNIFIED, write_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Self

    from .fs import Cgroup


class OutOfMemory:
    """
    A descriptor to poll, and how often the cgroup has run out of memory since it was asked last.

    On v1 the kernel counts on an eventfd (memory.oom_control), on cgroup2 in memory.events. A context manager that
    closes what is open. Raises Error if the files refuse; without a memory controller nothing ever happens.
    """

    def __init__(self, cgroup: Cgroup) -> None:
        self.fd = -1
        self.events = 0
        self._path = ""
        self._kills = 0
        try:
            if "memory" in cgroup.dirs:
                self._path = cgroup.dirs["memory"]
                self.fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
                self.events = select.POLLIN
                self._register()
            elif UNIFIED in cgroup.dirs:
                self._path = f"{cgroup.dirs[UNIFIED]}/memory.events"
                self.fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
                self.events = select.POLLPRI
                self._kills = self._killed()
        except FileNotFoundError:
            self.close()
        except OSError as e:
            self.close()
            raise Error(f'cgroup: watch "{self._path}" for lack of memory: {reason(e)}') from e

    def _register(self) -> None:
        control = os.open(f"{self._path}/memory.oom_control", os.O_RDONLY | os.O_CLOEXEC)
        try:
            write_text(f"{self._path}/cgroup.event_control", f"{self.fd} {control}")
        finally:
            os.close(control)

    def _killed(self) -> int:
        """The number of killed processes in memory.events; the last one seen if the cgroup is gone."""
        try:
            lines = os.pread(self.fd, 4096, 0).decode().splitlines()
        except OSError:
            return self._kills
        return next((int(line.split()[1]) for line in lines if line.startswith("oom_kill ")), 0)

    def count(self) -> int:
        """How often it happened since the last call."""
        if self.events == select.POLLPRI:
            before, self._kills = self._kills, self._killed()
            return self._kills - before
        if self.fd < 0:
            return 0
        try:
            happened = os.eventfd_read(self.fd)
        except BlockingIOError:
            return 0
        # The kernel also counts when the cgroup is removed.
        return happened if os.path.exists(f"{self._path}/cgroup.event_control") else 0

    def close(self) -> None:
        """Close the descriptor."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
