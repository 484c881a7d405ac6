"""Readiness for a caller that is a service of systemd (sd_notify(3)): NOTIFY_SOCKET, as runc has it.

The container sees a socket of its own, in a directory of its state directory that is mounted for it. `start` waits for
its READY=1, and tells the caller.
"""

from __future__ import annotations

import _socket
import posix

from .errors import Error, reason

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .state import Entry

DIRECTORY = "notify"
SOCKET = "notify.sock"
MESSAGE_MAX = 4096
READY = b"READY=1"


def caller_socket() -> bytes:
    """The address of the caller's socket, b"" without one."""
    return posix.environ.get(b"NOTIFY_SOCKET", b"")


def listen_fds() -> int:
    """How many descriptors were passed to this process for socket activation (sd_listen_fds(3))."""
    count = posix.environ.get(b"LISTEN_FDS", b"")
    if posix.environ.get(b"LISTEN_PID") != b"%d" % posix.getpid() or not count.isdigit():
        return 0
    return int(count)


def listen(entry: Entry, caller: bytes) -> Notification | None:
    """The container's socket, None if it was created without one; raises Error."""
    socket = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
    path = f"/proc/self/fd/{entry.fd}/{DIRECTORY}/{SOCKET}"
    try:
        socket.bind(path)
        posix.chmod(path, 0o777)  # the container's user is anybody
    except FileNotFoundError:
        socket.close()
        return None
    except OSError as e:
        socket.close()
        raise Error(f"NOTIFY_SOCKET: {entry.path}/{DIRECTORY}/{SOCKET}: {reason(e)}") from e
    return Notification(socket, b"\0" + caller[1:] if caller.startswith(b"@") else caller)


class Notification:
    """The container's socket, from before its program runs until it is ready."""

    def __init__(self, socket: _socket.socket, caller: bytes) -> None:
        self._socket = socket
        self._caller = caller

    def forward(self, pid: int, pidfd: int) -> None:
        """Wait until the container is ready, or has ended, and tell the caller that it is, and its pid."""
        import select

        poll = select.poll()
        poll.register(self._socket.fileno(), select.POLLIN)
        poll.register(pidfd, select.POLLIN)
        while True:
            ready = [fd for fd, _ in poll.poll()]
            if self._socket.fileno() in ready:
                if READY in self._socket.recv(MESSAGE_MAX).split(b"\n"):
                    self._tell(b"%s\nMAINPID=%d" % (READY, pid))
                    return
            elif ready:
                return

    def _tell(self, message: bytes) -> None:
        caller = _socket.socket(_socket.AF_UNIX, _socket.SOCK_DGRAM)
        try:
            caller.connect(self._caller)
            caller.send(message)
        except OSError as e:
            raise Error(f"NOTIFY_SOCKET: {reason(e)}") from e
        finally:
            caller.close()

    def close(self) -> None:
        """Close the container's socket."""
        self._socket.close()
