"""
The state directory: ``<root>/<id>/`` for each container. Nothing else reads or writes it.

Files of a container's directory: ``state`` (this module's), ``start.sock`` (the waiting init listens on it; while
it is paused, under the name ``start.sock.paused``), and what others keep there through Entry. Names below root that
begin with "@" are the runtime's own, never a container's.
"""

from __future__ import annotations

import posix
import time

from .errors import Error, reason
from .log import json_string

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Self

LOCK_PATIENCE = 30.0  # seconds

ID_MAX = 200
_ID_CHARACTERS = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+.-")

_OPEN_DIRECTORY = posix.O_RDONLY | posix.O_DIRECTORY | posix.O_NOFOLLOW | posix.O_CLOEXEC
_OPEN_FILE = posix.O_RDONLY | posix.O_NOFOLLOW | posix.O_NONBLOCK | posix.O_CLOEXEC
_CREATE_FILE = posix.O_WRONLY | posix.O_CREAT | posix.O_TRUNC | posix.O_NOFOLLOW | posix.O_CLOEXEC

START_SOCKET = "start.sock"
PAUSED_START_SOCKET = "start.sock.paused"
_STATE = "state"


def validate_id(id: str) -> None:
    """
    Check that this may name a container: 1 to 200 of ``A-Z a-z 0-9 _ + . -``, but not ``.`` or ``..``; raises
    Error.
    """
    if not id:
        raise Error("container id cannot be empty")
    if len(id) > ID_MAX:
        raise Error(f'invalid container id "{id[:20]}...": {len(id)} characters, more than {ID_MAX}')
    if not _ID_CHARACTERS.issuperset(id):
        raise Error(f'invalid container id "{id}": only letters, digits and _ + . - are allowed')
    if id in (".", ".."):
        raise Error(f'invalid container id "{id}": it names a directory that is there already')


class State:
    """
    What is known of a container once its init exists, or, with pid 0, while it is being made.

    pid, start_time, boot_id: init, field 22 of its /proc/PID/stat (ticks since boot), and which boot that was: a pid
    alone may be another's, and a state directory may outlive the machine's start; "" is any boot
    created: RFC 3339 in UTC
    owner: user name of who created it
    annotations: the bundle's, as the text of a JSON object
    config_file: path of liblxc's items as a config file
    listener_path, listener_metadata: of linux.seccomp
    cgroup: lines that lxcri.cgroup.fs.Cgroup.record made
    resctrl: directories of resctrl that end with the container, children first
    unit: instance ("system" or "user") and name of the unit of systemd that the cgroup belongs to; "" for none
    poststart, poststop: whether the container has such hooks
    """

    __slots__ = (
        "annotations",
        "boot_id",
        "bundle",
        "cgroup",
        "config_file",
        "created",
        "id",
        "listener_metadata",
        "listener_path",
        "oci_version",
        "owner",
        "pid",
        "poststart",
        "poststop",
        "resctrl",
        "rootfs",
        "start_time",
        "unit",
    )

    def __init__(
        self,
        *,
        id: str,
        oci_version: str,
        bundle: str,
        rootfs: str,
        pid: int,
        start_time: int,
        created: str,
        boot_id: str = "",
        owner: str = "",
        annotations: str = "{}",
        config_file: str = "",
        listener_path: str = "",
        listener_metadata: str = "",
        cgroup: list[str] | None = None,
        resctrl: list[str] | None = None,
        unit: str = "",
        poststart: bool = False,
        poststop: bool = False,
    ) -> None:
        self.id = id
        self.oci_version = oci_version
        self.bundle = bundle
        self.rootfs = rootfs
        self.pid = pid
        self.start_time = start_time
        self.created = created
        self.boot_id = boot_id
        self.owner = owner
        self.annotations = annotations
        self.config_file = config_file
        self.listener_path = listener_path
        self.listener_metadata = listener_metadata
        self.cgroup = cgroup or []
        self.resctrl = resctrl or []
        self.unit = unit
        self.poststart = poststart
        self.poststop = poststop


# The file is lines of a key, a space and a value, so that reading it needs no JSON parser. The list keys may
# be there any number of times, the others once. The first line's number changes with the keys and their meaning.
_HEADER = "lxcri-state 2"
_TEXT_KEYS = (
    "id",
    "oci_version",
    "bundle",
    "rootfs",
    "created",
    "boot_id",
    "owner",
    "annotations",
    "config_file",
    "listener_path",
    "listener_metadata",
    "unit",
)
_LIST_KEYS = ("cgroup", "resctrl")
_NUMBER_KEYS = ("pid", "start_time")
_BOOLEAN_KEYS = ("poststart", "poststop")
_PID_MAX = 2**31 - 1
_BOOLEANS = {"true": True, "false": False}


def render(state: State) -> bytes:
    """The content of the state file."""
    lines = [_HEADER]
    lines += [f"{key} {_escape(getattr(state, key))}" for key in _TEXT_KEYS]
    lines += [f"{key} {getattr(state, key)}" for key in _NUMBER_KEYS]
    lines += [f"{key} {_escape(line)}" for key in _LIST_KEYS for line in getattr(state, key)]
    lines += [f"{key} {'true' if getattr(state, key) else 'false'}" for key in _BOOLEAN_KEYS]
    lines.append("")
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def parse(data: bytes) -> State:
    """The state in a state file's content; raises ValueError with the reason if it is none or cut short."""
    lines = data.decode("utf-8", "surrogateescape").split("\n")
    if lines[0] != _HEADER:
        raise ValueError(f'its first line is not "{_HEADER}": another version of lxcri may have written it')
    if lines.pop() != "":
        raise ValueError("it is cut short")
    values: dict[str, Any] = {key: [] for key in _LIST_KEYS}
    for number, line in enumerate(lines[1:], 2):
        key, _, text = line.partition(" ")
        if key in _LIST_KEYS:
            values[key].append(_unescape(text))
        elif key in values:
            raise ValueError(f'line {number}: "{key}" is there twice')
        elif key in _TEXT_KEYS:
            values[key] = _unescape(text)
        elif key in _NUMBER_KEYS and text.isascii() and text.isdigit() and len(text) < 20:
            values[key] = int(text)
        elif key in _BOOLEAN_KEYS and text in _BOOLEANS:
            values[key] = _BOOLEANS[text]
        else:
            raise ValueError(f'line {number}: "{line[:40]}" is not understood')
    for key in (*_TEXT_KEYS, *_NUMBER_KEYS, *_BOOLEAN_KEYS):
        if key not in values:
            raise ValueError(f'"{key}" is missing')
    if values["pid"] > _PID_MAX:
        raise ValueError(f'"pid": {values["pid"]} is none')
    return State(**values)


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace("\n", "\\n")


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    return "\\".join(part.replace("\\n", "\n") for part in text.split("\\\\"))


class Entry:
    """
    One container's directory, held open; a context manager that closes it.

    Everything goes through the descriptor: who removes or replaces the directory under its name changes
    nothing here.
    """

    __slots__ = ("_name", "fd", "id", "root")

    def __init__(self, root: str, id: str, fd: int) -> None:
        self.root = root
        self.id = id
        self.fd = fd
        self._name = id

    @classmethod
    def claim(cls, root: str, id: str) -> Entry:
        """
        Make the directory of a new container, and the root if that is missing, and lock it.

        Raises Error if the id is not valid or taken: of two that claim one id, one gets it.
        """
        validate_id(id)
        make_root(root)
        path = f"{root}/{id}"
        try:
            posix.mkdir(path, 0o700)
        except FileExistsError:
            raise Error(f'container with id "{id}" already exists') from None
        except OSError as e:
            raise Error(f"{path}: {reason(e)}") from e
        try:
            entry = cls.open(root, id)
            try:
                entry.lock()
            except BaseException:
                entry.close()
                raise
        except NotFoundError:  # it was deleted; by this name there may be another one now
            raise
        except BaseException:
            posix.rmdir(path)
            raise
        return entry

    @classmethod
    def open(cls, root: str, id: str) -> Entry:
        """
        Open the directory of a container; raises Error if there is none.

        Nor may it be another user's: what is in it tells us whom to kill, what to remove, and which hooks to run.
        Nor may /proc be another pid namespace's: whom it calls by the pids there, those here are not.
        """
        validate_id(id)
        check_proc()
        path = f"{root}/{id}"
        try:
            entry = cls(root, id, posix.open(path, _OPEN_DIRECTORY))
        except FileNotFoundError:
            raise NotFoundError(f'container "{id}" does not exist') from None
        except OSError as e:
            raise Error(f'container "{id}": {path}: {reason(e)}') from e
        entry._check_owner()
        return entry

    def _check_owner(self) -> None:
        owner = posix.fstat(self.fd).st_uid
        if owner != posix.geteuid():
            self.close()
            raise Error(f'container "{self.id}": {self.path}: belongs to another user, {owner}')

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the directory, which ends the lock (unless a child process still holds the descriptor)."""
        if self.fd >= 0:
            posix.close(self.fd)
            self.fd = -1

    @property
    def path(self) -> str:
        """Where the directory is, for people and for programs that get it as an argument."""
        return f"{self.root}/{self._name}"

    def socket_path(self) -> str:
        """A path of start.sock that is short enough for a socket address, however long the root's is."""
        return f"/proc/self/fd/{self.fd}/{START_SOCKET}"

    @classmethod
    def open_hidden(cls, root: str, id: str) -> Entry | None:
        """A directory that hide() gave another name, of a `delete` that was killed, opened and locked; None without."""
        prefix = f"@{id}."
        try:
            names = posix.listdir(root)
        except FileNotFoundError:
            return None
        for name in names:
            if not (name.startswith(prefix) and name[len(prefix) :].isdigit()):
                continue
            try:
                entry = cls(root, id, posix.open(f"{root}/{name}", _OPEN_DIRECTORY))
            except FileNotFoundError:
                continue
            entry._name = name
            try:
                entry._check_owner()
                entry.lock(0)
            except Error:  # its `delete` lives, or has just finished
                entry.close()
                continue
            return entry
        return None

    def lock(self, patience: float | None = None) -> None:
        """
        Wait until no other command changes this container, or so many seconds.

        Raises Error if one removed it meanwhile, and, by default, after 30 seconds: an engine that cleans up after
        a hook that hangs must not hang too.
        """
        import fcntl

        deadline = time.monotonic() + (LOCK_PATIENCE if patience is None else patience)
        sleep = 0.0005
        while True:
            try:
                fcntl.flock(self.fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Error(f'container "{self.id}" is held by another command') from None
            time.sleep(sleep)
            sleep = min(2 * sleep, 0.02)
        mine = posix.fstat(self.fd)
        try:
            named = posix.lstat(self.path)
        except FileNotFoundError:
            named = None
        if named is None or (named.st_dev, named.st_ino) != (mine.st_dev, mine.st_ino):
            raise NotFoundError(f'container "{self.id}" does not exist: it was just deleted')

    def unlock(self) -> None:
        """End the lock, in every process that holds this descriptor."""
        import fcntl

        fcntl.flock(self.fd, fcntl.LOCK_UN)

    def write(self, name: str, data: bytes, mode: int = 0o600) -> None:
        """Write a file as a whole: whoever reads it meanwhile gets the old content or the new one."""
        temporary = f".{name}.new"
        try:
            fd = posix.open(temporary, _CREATE_FILE, mode, dir_fd=self.fd)
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[posix.write(fd, rest) :]
            finally:
                posix.close(fd)
            posix.rename(temporary, name, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except OSError as e:
            raise Error(f"{self.path}/{name}: {reason(e)}") from e

    def read(self, name: str) -> bytes:
        """The content of a file; raises FileNotFoundError, and Error for everything else."""
        try:
            fd = posix.open(name, _OPEN_FILE, dir_fd=self.fd)
            try:
                size = posix.fstat(fd).st_size
                data = posix.read(fd, size + 1)
                while len(data) < size and (more := posix.read(fd, size - len(data))):
                    data += more
                return data
            finally:
                posix.close(fd)
        except FileNotFoundError:
            raise
        except OSError as e:
            raise Error(f"{self.path}/{name}: {reason(e)}") from e

    def unlink(self, name: str) -> None:
        """Remove a file, if it is there."""
        try:
            posix.unlink(name, dir_fd=self.fd)
        except FileNotFoundError:
            pass
        except OSError as e:
            raise Error(f"{self.path}/{name}: {reason(e)}") from e

    def rename(self, name: str, new: str) -> None:
        """Rename a file, if it is there."""
        try:
            posix.rename(name, new, src_dir_fd=self.fd, dst_dir_fd=self.fd)
        except FileNotFoundError:
            pass
        except OSError as e:
            raise Error(f"{self.path}/{name}: {reason(e)}") from e

    def save(self, state: State) -> None:
        """Write the state file."""
        self.write(_STATE, render(state))

    def load(self) -> State | None:
        """Read the state file; None if there is none (yet). Raises Error if it is no valid one."""
        try:
            return parse(self.read(_STATE))
        except FileNotFoundError:
            return None
        except ValueError as e:
            raise Error(f'container "{self.id}": {self.path}/{_STATE}: {e}') from None

    def hide(self) -> None:
        """Give the directory a name that is no container's: it can still be read, but others see it gone."""
        hidden = f"@{self.id}.{posix.fstat(self.fd).st_ino}"
        try:
            posix.rename(self.path, f"{self.root}/{hidden}")
        except OSError as e:
            raise Error(f"{self.path}: {reason(e)}") from e
        self._name = hidden

    def remove(self) -> None:
        """Remove the directory with everything in it; symbolic links are removed, not followed."""
        try:
            try:
                _empty(self.fd)
            except OSError as e:
                from errno import EMFILE

                if e.errno != EMFILE:  # to see whether there is anything takes a descriptor
                    raise
            posix.rmdir(self.path)
        except OSError as e:
            raise Error(f"{self.path}: {reason(e)}") from e


class NotFoundError(Error):
    """There is no container of this id."""


def _empty(directory: int) -> None:
    """Remove everything in the directory with this descriptor."""
    for name in posix.listdir(directory):
        try:
            posix.unlink(name, dir_fd=directory)
        except FileNotFoundError:
            pass
        except (IsADirectoryError, PermissionError):
            child = posix.open(name, _OPEN_DIRECTORY, dir_fd=directory)
            try:
                _empty(child)
            finally:
                posix.close(child)
            posix.rmdir(name, dir_fd=directory)


def make_root(root: str) -> None:
    """Make the state directory and what is missing above it, each for its owner only; raises Error."""
    try:
        posix.mkdir(root, 0o700)
        runtime_dir = posix.environ.get(b"XDG_RUNTIME_DIR")
        if runtime_dir and root.encode("utf-8", "surrogateescape").startswith(runtime_dir + b"/"):
            # XDG base directory specification: what is not used for hours may be removed there, unless it is
            # sticky.
            posix.chmod(root, 0o1700)
    except FileExistsError:
        _check_owner(root)
    except FileNotFoundError:
        parent = root.rstrip("/").rpartition("/")[0]
        if not parent:
            raise Error(f"{root}: no such file or directory") from None
        make_root(parent)
        make_root(root)
    except OSError as e:
        raise Error(f"{root}: {reason(e)}") from e


def _check_owner(root: str) -> None:
    """Raise Error if the state directory is another user's who could make it before us, as anybody can in /tmp."""
    owner = posix.lstat(root).st_uid
    if owner != posix.geteuid() and posix.stat(f"{root}/..").st_mode & 0o002:
        raise Error(f"{root}: it belongs to another user")


def all_entries(root: str) -> Iterator[str]:
    """Names of the containers' directories, sorted; none if there is no root."""
    try:
        names = posix.listdir(root)
    except FileNotFoundError:
        return
    except OSError as e:
        raise Error(f"{root}: {reason(e)}") from e
    for name in sorted(names):
        try:
            validate_id(name)
        except Error:
            continue
        yield name


BOOT_ID = "/proc/sys/kernel/random/boot_id"


def boot_id() -> str:
    """Which boot of the machine this is (random(4)); "" where the kernel does not tell. Raises Error."""
    try:
        fd = posix.open(BOOT_ID, posix.O_RDONLY | posix.O_CLOEXEC)
        try:
            return posix.read(fd, 64).decode().strip()
        finally:
            posix.close(fd)
    except FileNotFoundError:
        return ""
    except OSError as e:
        raise Error(f"{BOOT_ID}: {reason(e)}") from e


def is_of_this_boot(state: State) -> bool:
    """Whether the machine was not started anew since: if it was, no process, cgroup or mount is the container's."""
    return not state.boot_id or boot_id() in ("", state.boot_id)


def check_proc() -> None:
    """Raise Error if /proc does not tell of the processes that this one sees."""
    try:
        if posix.readlink("/proc/self") == str(posix.getpid()):
            return
    except OSError as e:
        raise Error(f"/proc: {reason(e)}") from e
    raise Error("/proc: not that of the runtime's pid namespace")


def process_start_time(pid: int) -> int | None:
    """When a process started, in clock ticks since boot; None if it is gone or a zombie."""
    stat = _process_stat(pid)
    return stat[1] if stat and stat[0] not in _ZOMBIE else None


_ZOMBIE = ("Z", "X")


def _process_stat(pid: int) -> tuple[str, int] | None:
    """Fields 3 (state) and 22 (start time) of /proc/PID/stat; None if there is no such process."""
    try:
        fd = posix.open(f"/proc/{pid}/stat", posix.O_RDONLY | posix.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        data = posix.read(fd, 4096)
    except ProcessLookupError:
        return None
    finally:
        posix.close(fd)
    # Field 2, the name, is in parentheses and may hold anything, parentheses too.
    fields = data[data.rindex(b")") + 2 :].split()
    return fields[0].decode(), int(fields[19])


def open_init(state: State) -> int | None:
    """
    A pidfd of the container's init if it lives, else None; the caller closes it.

    A process that took over the pid is not init: the start time is compared after the pidfd pins the process.
    A zombie is dead, whether its parent has waited for it or not, unless other threads of it still run.
    """
    if state.pid <= 0 or not is_of_this_boot(state):
        return None
    try:
        pidfd = posix.pidfd_open(state.pid)
    except ProcessLookupError:
        return None
    except OSError as e:
        raise Error(f"process {state.pid}: {reason(e)}") from e
    stat = _process_stat(state.pid)
    if stat and stat[1] == state.start_time and (stat[0] not in _ZOMBIE or not wait_exit(pidfd, 0)):
        return pidfd
    vanished = stat is None and not wait_exit(pidfd, 0)
    posix.close(pidfd)
    if vanished:
        raise Error(f"process {state.pid} is there, but /proc does not show it: is /proc mounted?")
    return None


def wait_exit(pidfd: int, seconds: float) -> bool:
    """Wait until a process has ended; whether it has, within this time."""
    import select

    poll = select.poll()
    poll.register(pidfd, select.POLLIN)
    return bool(poll.poll(seconds * 1000))


def status(entry: Entry, state: State | None) -> str:
    """
    "creating", "created", "running", "paused" or "stopped" (runtime.md, "State"; paused is runc's).

    Created is who still waits for `start`: its init accepts connections on start.sock. One is made and
    closed.
    """
    if state is None or state.pid == 0:
        return "creating"
    pidfd = open_init(state)
    if pidfd is None:
        return "stopped"
    posix.close(pidfd)
    if _accepts_start(entry):
        return "created"
    if state.cgroup:
        from .cgroup import directories, is_frozen

        if is_frozen(directories(state.cgroup)):
            return "paused"
    return "running"


def _accepts_start(entry: Entry) -> bool:
    """Whether somebody listens on the container's start.sock."""
    import _socket

    # Not `socket`, which imports selectors, enum and collections.
    connection = _socket.socket(_socket.AF_UNIX, _socket.SOCK_SEQPACKET | _socket.SOCK_NONBLOCK)
    try:
        connection.connect(entry.socket_path())
    except BlockingIOError:
        pass  # more connections wait than its queue holds
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    finally:
        connection.close()
    return True


CONFIG_FILE_ANNOTATION = "org.linuxcontainers.lxc.ConfigFile"


def _annotations_with_config_file(state: State) -> str:
    """The annotations and where liblxc's items are. Hooks get the bundle's alone: the document says so."""
    if not state.config_file:
        return state.annotations
    added = f"{{{json_string(CONFIG_FILE_ANNOTATION)}:{json_string(state.config_file)}"
    return added + ("}" if state.annotations in ("", "{}") else f",{state.annotations[1:]}")


def _members(state: State, status: str, pid: int, annotations: str) -> list[tuple[str, str]]:
    """Members of the OCI state object, in runc's order, with their JSON values."""
    members = [
        ("ociVersion", json_string(state.oci_version)),
        ("id", json_string(state.id)),
        ("pid", str(pid)),
        ("status", json_string(status)),
        ("bundle", json_string(state.bundle)),
        ("rootfs", json_string(state.rootfs)),
        ("created", json_string(state.created)),
    ]
    if annotations not in ("", "{}"):
        members.append(("annotations", annotations))
    members.append(("owner", json_string(state.owner)))
    return members


def state_json(state: State, status: str, *, pretty: bool = True) -> str:
    """What `state` prints, or, on one line, an element of what `list` prints; pid is 0 if it is stopped."""
    pid = 0 if status == "stopped" else state.pid
    members = _members(state, status, pid, _annotations_with_config_file(state))
    if pretty:
        return "{\n" + ",\n".join(f'  "{name}": {value}' for name, value in members) + "\n}"
    return "{" + ",".join(f'"{name}":{value}' for name, value in members) + "}"


def oci_state_json(state: State, status: str, pid: int) -> bytes:
    """The state object that hooks get on standard input, with what runtime.md, "State", has in it."""
    members = [
        (name, value)
        for name, value in _members(state, status, pid, state.annotations)
        if name not in ("rootfs", "created", "owner")
    ]
    return ("{" + ",".join(f'"{name}":{value}' for name, value in members) + "}").encode()
