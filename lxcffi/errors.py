"""What is raised when liblxc says no."""

from __future__ import annotations

import os

_ADVICE = (
    "Snapshot of directory-backed container requested",
    "Making a copy-clone.  If you do want snapshots, then",
    "please create overlay clone first, snapshot that",
    "and keep the original container pristine",
)
"""What liblxc logs as errors, and goes on."""


class LxcError(Exception):
    """An operation of liblxc failed.

    operation     the function of liblxc, or the member of struct lxc_container, that failed
    container     name of the container, if it concerns one
    key, value    configuration item and its value, if it concerns one
    error_number  the container's error_num: for start() the wait status of its init, or 1; often 0
    errno         errno after the call, 0 if liblxc left none; often the reason, sometimes a left-over
    reason        why it failed, as far as liblxc says
    log           what liblxc logged as an error during the operation, oldest first: the first is the cause,
                  the others follow from it. Empty unless lxcffi.log.capture() was called before.
    """

    def __init__(
        self,
        operation: str,
        *,
        container: str | None = None,
        key: str | None = None,
        value: str | None = None,
        error_number: int = 0,
        errno: int = 0,
        log: tuple[str, ...] = (),
        reason: str | None = None,
    ) -> None:
        super().__init__(operation)
        self.operation = operation
        self.container = container
        self.key = key
        self.value = value
        self.error_number = error_number
        self.errno = errno
        self.log = log
        self.reason = reason or self._reason()

    def _reason(self) -> str:
        for line in self.log:
            if line not in _ADVICE:
                return line
        if self.errno:
            return os.strerror(self.errno).lower()
        return f"liblxc gives no reason (error number {self.error_number})"

    def __str__(self) -> str:
        what = self.operation
        if self.container is not None:
            what += f" of container {self.container}"
        if self.key is not None:
            what += f": {self.key}"
        if self.value is not None:
            what += f" = {self.value}"
        return f"{what}: {self.reason}"


class ConfigItemError(LxcError):
    """liblxc does not know a configuration item, or does not take its value."""


class StartError(LxcError):
    """The container did not start."""


class CreateError(LxcError):
    """The container was not created or cloned: its template or its storage failed, or it is there already."""


class AttachError(LxcError):
    """No process could be attached to the container."""


class SnapshotError(LxcError):
    """A snapshot could not be made, listed, restored or destroyed."""


class CheckpointError(LxcError):
    """The container was not dumped or restored; CRIU does that."""


class NotDefinedError(LxcError):
    """The operation needs a container that has been created, and this one has not."""


class NotRunningError(LxcError):
    """The operation needs a running container, and this one does not run."""


class RunningError(LxcError):
    """The operation needs a stopped container, and this one runs."""


class NotPermittedError(LxcError):
    """The caller may not control the container: it is another user's."""


class OperationTimeoutError(LxcError):
    """The container did not do in time what it was asked to."""


class NotSupportedError(LxcError):
    """The liblxc at hand is older than what is asked of it.

    required  the version that it takes, such as "6.0.0"
    version   the version at hand
    """

    def __init__(self, operation: str, *, required: str = "", version: str = "", container: str | None = None) -> None:
        super().__init__(operation, container=container, reason=f"needs liblxc {required}, this is {version}")
        self.required = required
        self.version = version


class ReleasedError(LxcError):
    """The container object was used after release()."""
