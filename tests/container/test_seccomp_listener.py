"""linux.seccomp, SCMP_ACT_NOTIFY: the listener arrives at an agent, which answers for the kernel."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import struct
import threading
from typing import TYPE_CHECKING, Any

import pytest
from oci import process

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.bundle import Bundle

# runc 1.1 cannot be compared: its Debian package is built without listeners for this profile's flags
pytestmark = pytest.mark.lxcri_only(reason="runc 1.1.5 refuses filters that notify of calls which it makes itself")

SECCOMP_IOCTL_NOTIF_RECV = 0xC0502100
SECCOMP_IOCTL_NOTIF_SEND = 0xC0182101
SECCOMP_USER_NOTIF_FLAG_CONTINUE = 1


class Agent:
    """Listens as a seccomp agent; answers calls, one after the other, with these errors (0: go on)."""

    def __init__(self, path: str, answers: list[int]) -> None:
        self.path = path
        self.message: dict[str, Any] = {}
        self.calls: list[int] = []
        self._answers = answers
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(path)
        self._listener.listen(1)
        self._listener.settimeout(process.TIMEOUT)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:
            return
        with connection:
            data, fds, _, _ = socket.recv_fds(connection, 65536, 2)
            while more := connection.recv(65536):
                data += more
        self.message = json.loads(data)
        (listener,) = fds
        for answer in self._answers:
            notification = bytearray(80)
            fcntl.ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, notification)
            identity, _, _, number = struct.unpack_from("=QIIi", notification)
            self.calls.append(number)
            flags = 0 if answer else SECCOMP_USER_NOTIF_FLAG_CONTINUE
            fcntl.ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, struct.pack("=QqiI", identity, 0, -answer, flags))
        os.close(listener)

    def close(self) -> None:
        """End it."""
        self._listener.close()
        self._thread.join()


@pytest.fixture
def agent(bundle: Bundle) -> Iterator[Agent]:
    """An agent that refuses the first call with EXDEV and lets the second pass."""
    agent = Agent(os.path.join(bundle.path, "agent.sock"), [errno.EXDEV, 0])
    yield agent
    agent.close()


def notify(bundle: Bundle, agent: Agent, *names: str, **properties: object) -> None:
    """A filter that notifies of these calls."""
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": agent.path,
        "listenerMetadata": "some metadata",
        "syscalls": [{"names": list(names), "action": "SCMP_ACT_NOTIFY"}],
        **properties,
    }


@pytest.mark.parametrize("no_new_privileges", [True, False])
def test_agent_answers_for_the_kernel(bundle: Bundle, agent: Agent, no_new_privileges: bool) -> None:
    """An error of its own choice, or the call itself."""
    bundle.process["noNewPrivileges"] = no_new_privileges
    notify(bundle, agent, "mkdir", "mkdirat")
    out = bundle.run("/bin/sh", "-c", "mkdir /tmp/a; mkdir /tmp/b; ls /tmp").ok()
    assert out.stdout == "b\n"
    assert "cross-device" in out.stderr.lower()


def test_container_process_state(bundle: Bundle, agent: Agent) -> None:
    """What config-linux.md, "The Container Process State" has."""
    bundle.config["annotations"] = {"a": "b"}
    notify(bundle, agent, "mkdir", "mkdirat")
    container = bundle.shell("mkdir /tmp/a; mkdir /tmp/b; exec sleep 100")
    container.create()
    container.start().ok()
    message = agent.message
    assert message["fds"] == ["seccompFd"]
    assert message["pid"] == container.pid
    assert message["metadata"] == "some metadata"
    assert message["ociVersion"] == bundle.config["ociVersion"]
    assert message["state"]["id"] == container.id
    assert message["state"]["pid"] == container.pid
    assert message["state"]["status"] in ("creating", "created")
    assert message["state"]["bundle"] == bundle.path
    assert message["state"]["annotations"] == {"a": "b"}


@pytest.mark.parametrize("name", ["execve", "capset", "close", "sendto", "recvfrom", "sched_yield"])
def test_calls_that_the_runtime_makes_itself(bundle: Bundle, name: str) -> None:
    """The agent answers them as all others: nothing waits for itself."""
    agent = Agent(os.path.join(bundle.path, "agent.sock"), [0])
    try:
        notify(bundle, agent, name, "execve")
        bundle.process["noNewPrivileges"] = True
        container = bundle.container("/bin/true")
        container.create()
        container.start().ok()
    finally:
        agent.close()
    assert len(agent.calls) == 1


def test_agent_that_is_not_there_is_an_error(bundle: Bundle) -> None:
    """And the container is dead."""
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_ALLOW",
        "listenerPath": os.path.join(bundle.path, "nobody"),
        "syscalls": [{"names": ["mkdir"], "action": "SCMP_ACT_NOTIFY"}],
    }
    container = bundle.container("/bin/true")
    container.create()
    container.attempt_start().refused("no such file or directory", where="linux.seccomp.listenerPath")
    container.wait()


def test_start_that_is_killed_before_the_agent_has_it(bundle: Bundle) -> None:
    """The container's init, which can call nobody any more, ends: here the agent takes no connection."""
    bundle.linux["seccomp"] = {
        "defaultAction": "SCMP_ACT_NOTIFY",
        "listenerPath": os.path.join(bundle.path, "busy"),
        "syscalls": [],
    }
    with socket.socket(socket.AF_UNIX) as agent, socket.socket(socket.AF_UNIX) as first:
        agent.bind(bundle.linux["seccomp"]["listenerPath"])
        agent.listen(0)
        first.connect(agent.getsockname())
        container = bundle.container("/bin/true")
        container.create()
        command = bundle.runtime.spawn("start", container.id)
        init_has_filter = lambda: container.proc("status").partition("Seccomp:\t")[2][:1] == "2"  # noqa: E731
        process.wait_for(init_has_filter, "a filter of init")
        command.kill()
        command.wait()
        assert process.ended(container.pid)
    assert container.status() == "stopped"


def test_listener_path_is_ignored_without_notify(bundle: Bundle) -> None:
    """config-linux.md: it has no meaning then."""
    bundle.linux["seccomp"] = {"defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/nobody", "syscalls": []}
    bundle.run("/bin/true").ok()
