"""linux.seccomp's listener: its descriptor goes to the agent at listenerPath, with the container process state
(config-linux.md, "The Container Process State").
"""

from __future__ import annotations

import _socket
import os
import time

from . import linux
from .channel import set_send_timeout
from .context import TIMEOUT
from .errors import Error, reason
from .spec import encode
from .spec.state import ContainerProcessState, State
from .state import oci_state_json, wait_exit

TYPE_CHECKING = False
if TYPE_CHECKING:
    from . import state

FD_NAME = "seccompFd"
LINK = "anon_inode:seccomp notify"
FIRST_SLEEP = 0.0002
LONGEST_SLEEP = 0.01


def deliver(container: state.State, status: str, pid: int, pidfd: int, numbers: bytes) -> None:
    """
    Fetch the listener from a process that is about to install it, send it to the agent, and let the process go on.

    numbers: those that the process has told: of its gate's descriptor, and of the listener's. Raises Error.
    """
    gate_number, listener_number = map(int, numbers.split())
    gate = linux.pidfd_getfd(pidfd, gate_number)
    try:
        listener = _fetch(pidfd, listener_number)
        try:
            _send(container, status, pid, listener)
        finally:
            os.close(listener)
        os.ftruncate(gate, 1)
        os.pwrite(gate, b"\1", 0)
    finally:
        os.close(gate)


def _fetch(pidfd: int, number: int) -> int:
    """The listener, once it is there: the process can call nobody after it has installed the filter."""
    sleep = FIRST_SLEEP
    while True:
        try:
            fd = linux.pidfd_getfd(pidfd, number)
            if os.readlink(f"/proc/self/fd/{fd}") == LINK:
                return fd
            os.close(fd)
        except OSError as e:
            if wait_exit(pidfd, 0):
                raise Error(f"linux.seccomp: no listener: {reason(e)}") from e
        time.sleep(sleep)
        sleep = min(2 * sleep, LONGEST_SLEEP)


def _send(container: state.State, status: str, pid: int, listener: int) -> None:
    from sys import byteorder

    import msgspec

    oci_state = msgspec.json.decode(oci_state_json(container, status, container.pid), type=State)
    message = ContainerProcessState(
        oci_version=container.oci_version,
        fds=[FD_NAME],
        pid=pid,
        metadata=container.listener_metadata,
        state=oci_state,
    )
    agent = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    set_send_timeout(agent, TIMEOUT)
    try:
        agent.connect(container.listener_path)
        rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, listener.to_bytes(4, byteorder))]
        data = encode(message)
        sent = agent.sendmsg([data], rights)
        agent.sendall(data[sent:])
    except OSError as e:
        raise Error(f'linux.seccomp.listenerPath "{container.listener_path}": {reason(e)}') from e
    finally:
        agent.close()
