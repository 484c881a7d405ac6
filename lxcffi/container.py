"""A container of liblxc, with all that it is able to do."""

from __future__ import annotations

import errno
import math
import os

from . import log
from .config import Config
from .errors import (
    AttachError,
    CheckpointError,
    ConfigItemError,
    CreateError,
    LxcError,
    NotDefinedError,
    NotPermittedError,
    NotRunningError,
    OperationTimeoutError,
    RunningError,
    SnapshotError,
)
from .ffi import ffi, lib
from .handle import Handle
from .library import STATES, config_item_is_supported
from .text import buffer, decode, encode, encode_optional, string_array, taken_string, taken_strings

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Literal, Self, TypeAlias, Unpack

    from ._lxc import CData
    from .attach import AttachOptions
    from .flags import MigrateCommand
    from .network import Interface, Networks
    from .snapshot import Snapshot
    from .states import State
    from .storage import Storage
    from .terminal import Terminal
    from .text import Text

    Needs: TypeAlias = Literal["running", "stopped", "defined"]

_MAX_SECONDS = 0x7FFFFFFF

# Programs ask for the state in loops, where looking the function up shows beside liblxc's own time.
_state_number = lib.container_state_number


def _seconds(timeout: float | None) -> int:
    """A timeout as liblxc has it: whole seconds, -1 for ever."""
    if timeout is None:
        return -1
    if timeout < 0:
        raise ValueError(f"timeout {timeout} is negative; None is for ever")
    return min(math.ceil(timeout), _MAX_SECONDS)


def _snapshot_name(snapshot: Text | Snapshot) -> Text:
    from .snapshot import Snapshot

    return snapshot.name if isinstance(snapshot, Snapshot) else snapshot


class Container(Handle):
    """One container, by name below a configuration path; it need not exist.

    name     name of the container
    lxcpath  directory that holds the containers' directories; None for liblxc's own (lxc.lxcpath)

    Methods have the names of the members of struct lxc_container, whose documentation is lxccontainer.h. A timeout
    is in seconds, rounded up to whole ones; None is for ever. What fails raises LxcError or what is derived from it:
    NotRunningError, RunningError, NotDefinedError and NotPermittedError where that is why, NotSupportedError where
    the library is too old. No call holds the GIL.
    """

    __slots__ = ()

    @classmethod
    def adopt(cls, pointer: CData) -> Self:
        """An object for a struct lxc_container, one of whose references becomes the object's own."""
        container = cls.__new__(cls)
        container.name = decode(pointer.name)
        container._c = ffi.gc(pointer, lib.lxc_container_put)  # noqa: SLF001 (its own)
        return container

    def _failure(
        self, kind: type[LxcError], operation: str, needs: Needs | None = None, value: Text | None = None
    ) -> LxcError:
        """The error of the call that has just failed, of the kind that says why, as far as the state shows it."""
        error = self._error(kind, operation, value=value)
        if type(error) is not kind:
            return error
        # errno and what was captured are in that error already: what is asked now cannot change it.
        assert self._c is not None
        if not lib.container_may_control(self._c):
            return self._error(NotPermittedError, operation, value=value, reason="it is not the caller's to control")
        if needs == "running" and not lib.container_is_running(self._c):
            return self._error(NotRunningError, operation, value=value, reason="it does not run")
        if needs == "stopped" and lib.container_is_running(self._c):
            return self._error(RunningError, operation, value=value, reason="it runs")
        if needs in ("defined", "stopped") and not lib.container_is_defined(self._c):
            return self._error(NotDefinedError, operation, value=value, reason="it is not defined")
        return error

    def _check(
        self,
        done: bool,
        operation: str,
        needs: Needs | None = None,
        kind: type[LxcError] = LxcError,
        value: Text | None = None,
    ) -> None:
        if not done:
            raise self._failure(kind, operation, needs, value)

    # What it is

    @property
    def is_defined(self) -> bool:
        """Whether the container has a configuration file: it has been created."""
        return bool(lib.container_is_defined(self._pointer("is_defined")))

    @property
    def may_control(self) -> bool:
        """Whether the caller may control the container."""
        return bool(lib.container_may_control(self._pointer("may_control")))

    @property
    def state(self) -> str:
        """What the container is doing: a State."""
        c = self._c
        if c is None or log.captured >= 0:
            c = self._pointer("state")
        try:
            return STATES[_state_number(c)]
        except IndexError:
            return decode(lib.container_state(c))

    @property
    def is_running(self) -> bool:
        """Whether the container is in any state but STOPPED."""
        return bool(lib.container_is_running(self._pointer("is_running")))

    @property
    def init_pid(self) -> int | None:
        """Process id of the container's init, None if it does not run."""
        pid = lib.container_init_pid(self._pointer("init_pid"))
        return pid if pid > 0 else None

    def init_pidfd(self) -> int:
        """A pidfd of the container's init, for the caller to close. Since liblxc 4.0.5."""
        from . import attach

        c = self._pointer("init_pidfd")
        descriptor = attach.init_pidfd(c)
        self._check(descriptor >= 0, "init_pidfd", "running")
        return descriptor

    def devpts_fd(self) -> int:
        """An O_PATH descriptor of the container's devpts, for the caller to close. Since liblxc 4.0.5."""
        return self._descriptor("devpts_fd")

    def seccomp_notify_fd(self) -> int:
        """The listener of the container's seccomp filter as it was configured, liblxc's own. Since liblxc 3.2.0."""
        return self._descriptor("seccomp_notify_fd")

    def seccomp_notify_fd_active(self) -> int:
        """The listener of the running container's seccomp filter, for the caller to close. Since liblxc 4.0.5."""
        return self._descriptor("seccomp_notify_fd_active")

    def _descriptor(self, operation: str) -> int:
        c = self._pointer(operation)
        descriptor: int = getattr(lib, f"container_{operation}")(c)
        self._check(descriptor >= 0, operation, "running")
        return descriptor

    @property
    def config_path(self) -> str:
        """Directory that holds the containers' directories. Setting it reads nothing."""
        return decode(lib.container_get_config_path(self._pointer("get_config_path")))

    @config_path.setter
    def config_path(self, path: Text) -> None:
        c = self._pointer("set_config_path")
        self._check(lib.container_set_config_path(c, encode(path)), "set_config_path", value=path)

    @property
    def config_file_name(self) -> str:
        """Path of the configuration file, which need not exist."""
        return taken_string(lib.container_config_file_name(self._pointer("config_file_name")))

    def set_timeout(self, seconds: float) -> None:
        """How long to wait for the answers of the container's monitor. Since liblxc 6.0.0."""
        c = self._pointer("set_timeout")
        self._check(lib.container_set_timeout(c, _seconds(seconds)), "set_timeout")

    # Configuration, lxc.container.conf(5)

    @property
    def config(self) -> Config:
        """The configuration items, as values and lists."""
        return Config(self)

    @property
    def network(self) -> Networks:
        """The networks of the configuration."""
        from .network import Networks

        return Networks(self)

    def get_config_item(self, key: Text) -> str:
        """Value of an item as liblxc writes it, "" if it is not set; a list has a newline after each value.

        Raises ConfigItemError for an item that liblxc does not know.
        """
        c = self._pointer("get_config_item")
        text = lib.container_config_text(c, encode(key))
        if text:
            return decode(text)
        if not self._is_configured() and config_item_is_supported(key):
            return ""
        raise self._error(ConfigItemError, "get_config_item", key)

    def replace_config_item(self, key: Text, values: Sequence[Text]) -> None:
        """Replace the value of an item, or all values of one that is a list.

        Raises ConfigItemError, and then the item is as it was.
        """
        if not values:
            self.clear_config_item(key)
            return
        c = self._pointer("set_config_item")
        count = len(values)
        joined = encode(values[0]) if count == 1 else b"\0".join([encode(value) for value in values])
        failed = lib.container_replace_config_item(c, encode(key), joined, count, False)
        if failed < 0:
            return
        if failed == count:
            raise self._error(ConfigItemError, "clear_config_item", key)
        raise self._error(ConfigItemError, "set_config_item", key, values[failed])

    def get_running_config_item(self, key: Text) -> str | None:
        """Value of an item in the running container; None if it does not run or the item cannot be had."""
        c = self._pointer("get_running_config_item")
        value = lib.container_get_running_config_item(c, encode(key))
        return None if value == ffi.NULL else taken_string(value)

    def clear_config_item(self, key: Text) -> None:
        """Forget the value of an item. Raises ConfigItemError for one that liblxc cannot clear."""
        c = self._pointer("clear_config_item")
        if not lib.container_clear_config_item(c, encode(key)):
            if not self._is_configured() and config_item_is_supported(key):
                return
            raise self._error(ConfigItemError, "clear_config_item", key)

    def get_keys(self, key: Text | None = None) -> list[str]:
        """Names of all items; below one such as "lxc.net.0" the rest of their names. Raises ConfigItemError."""
        text = self._get_text("get_keys", key)
        if text is None:
            raise self._error(ConfigItemError, "get_keys", key)
        return text.splitlines()

    def has_keys(self, key: Text) -> bool:
        """Whether there are items below one such as "lxc.net.0"."""
        return bool(self._get_text("get_keys", key))

    def _get_text(self, operation: str, key: Text | None) -> str | None:
        """What a member writes into a buffer, None if it fails."""
        c = self._pointer(operation)
        member = getattr(lib, f"container_{operation}")
        encoded = encode_optional(key)
        length = member(c, encoded, ffi.NULL, 0)
        if length < 0:
            return None
        text = buffer(length + 1)
        if member(c, encoded, text, length + 1) < 0:
            return None
        return decode(text)

    def load_config(self, file: Text | None = None) -> None:
        """Read a configuration file, None for the container's own."""
        c = self._pointer("load_config")
        if not lib.container_load_config(c, encode_optional(file)):
            raise self._error(LxcError, "load_config", value=file)

    def save_config(self, file: Text | None = None) -> None:
        """Write the configuration to a file, None for the container's own.

        liblxc makes the container's directory, and leaves a lock file.
        """
        c = self._pointer("save_config")
        if not lib.container_save_config(c, encode_optional(file)):
            raise self._error(LxcError, "save_config", value=file)

    # Life

    def create(
        self,
        template: Text | None = None,
        args: Iterable[Text] | Mapping[str, Text] = (),
        *,
        bdevtype: Text | None = None,
        storage: Storage | None = None,
        quiet: bool = False,
    ) -> None:
        """Create the container: its directory, its storage, and what a template makes in it.

        template  name of a template of liblxc's, or path of one, an executable; None for none
        args      arguments of the template; a mapping is options, {"arch": "amd64"} is --arch amd64
        bdevtype  type of the storage: dir, overlay, btrfs, lvm, loop, zfs, rbd; None for dir
        quiet     the template's output goes to /dev/null, not to the caller's standard output

        Raises CreateError.
        """
        from collections.abc import Mapping

        c = self._pointer("create")
        if isinstance(args, Mapping):
            args = [word for name, value in args.items() for word in (f"--{name}", value)]
        array, strings = string_array(args)
        specs, kept = storage.as_specs() if storage is not None else (ffi.NULL, [])
        flags = lib.LXC_CREATE_QUIET if quiet else 0
        done = lib.container_create(
            c, encode_optional(template), encode_optional(bdevtype), specs, flags, array if strings else ffi.NULL
        )
        del kept
        self._check(done, "create", kind=CreateError, value=template)

    def destroy(self, *, snapshots: bool = False) -> None:
        """Remove the container with its storage; with its snapshots, without which it cannot be removed else."""
        if snapshots and self.snapshot_list():  # without any it fails
            c = self._pointer("destroy_with_snapshots")
            self._check(lib.container_destroy_with_snapshots(c), "destroy_with_snapshots", "stopped")
        else:
            c = self._pointer("destroy")
            self._check(lib.container_destroy(c), "destroy", "stopped")

    def rename(self, newname: Text) -> None:
        """Give the container, which is stopped, another name; the object is then that container's as it is on disk."""
        c = self._pointer("rename")
        encoded = encode(newname)
        self._check(lib.container_rename(c, encoded), "rename", "stopped", value=newname)
        # liblxc's object still has the former name.
        renamed = type(self)(encoded, self.config_path)
        self.name, self._c = renamed.name, renamed._c  # noqa: SLF001 (its own)

    def clone(
        self,
        newname: Text,
        *,
        lxcpath: Text | None = None,
        flags: int = 0,
        bdevtype: Text | None = None,
        bdevdata: Text | None = None,
        newsize: int = 0,
        hookargs: Iterable[Text] = (),
    ) -> Self:
        """Copy the container, which is stopped, or make a snapshot of it that is a container.

        lxcpath   where the copy lies; None for where this one does
        flags     a CloneFlag
        bdevtype  type of the copy's storage, bdevdata what that needs to know, newsize its size in bytes
        hookargs  further arguments of lxc.hook.clone

        Raises CreateError.
        """
        c = self._pointer("clone")
        array, strings = string_array(hookargs)
        pointer = lib.container_clone(
            c,
            encode(newname),
            encode_optional(lxcpath),
            flags,
            encode_optional(bdevtype),
            encode_optional(bdevdata),
            newsize,
            array if strings else ffi.NULL,
        )
        self._check(pointer != ffi.NULL, "clone", "defined", kind=CreateError, value=newname)
        return type(self).adopt(pointer)

    def want_close_all_fds(self, wanted: bool) -> None:
        """Let start() close all inherited descriptors, or not.

        Raises LxcError, always for a container without a configuration: an item must be set before.
        """
        c = self._pointer("want_close_all_fds")
        if not lib.container_want_close_all_fds(c, wanted):
            raise self._error(LxcError, "want_close_all_fds")

    def start(
        self,
        argv: Iterable[Text] | None = None,
        *,
        useinit: bool = False,
        daemonize: bool | None = None,
        close_all_fds: bool | None = None,
    ) -> None:
        """Start the container with a command, or with its lxc.init.cmd.

        useinit        with liblxc's own small init, which then runs the command
        daemonize      in the background or not; None as want_daemonize() said, else in the background
        close_all_fds  close all inherited descriptors; None as want_close_all_fds() said, else not

        In the background it returns when the container runs. In the foreground it returns when the container has
        ended, and error_number is its wait status; the process must have one thread only.
        Raises StartError, RunningError.
        """
        if daemonize is not None:
            self.want_daemonize(daemonize)
        if close_all_fds is not None:
            self.want_close_all_fds(close_all_fds)
        try:
            self._start(argv, useinit=useinit)
        except LxcError as e:
            if self.is_running:
                raise self._error(RunningError, "start", reason="it runs already") from e
            raise

    def stop(self) -> None:
        """Kill the container, and wait until it has ended."""
        self._check(lib.container_stop(self._pointer("stop")), "stop", "running")

    def shutdown(self, timeout: float | None = None) -> None:
        """Ask the container's init to shut down (lxc.signal.halt), and wait until it has; 0 is not waiting.

        Raises OperationTimeoutError if it then still runs.
        """
        c = self._pointer("shutdown")
        if not lib.container_shutdown(c, _seconds(timeout)):
            raise self._timed_out("shutdown", timeout)

    def reboot(self, timeout: float | None = 0) -> None:
        """Ask the container's init to reboot (lxc.signal.reboot), and wait until it runs again; 0 is not waiting.

        Raises OperationTimeoutError if it has not by then. Waiting is since liblxc 3.0.0.
        """
        if timeout == 0:
            self._check(lib.container_reboot(self._pointer("reboot")), "reboot", "running")
            return
        c = self._pointer("reboot2")
        if not lib.container_reboot2(c, _seconds(timeout)):
            raise self._timed_out("reboot2", timeout)

    def _timed_out(self, operation: str, timeout: float | None) -> LxcError:
        error = self._failure(LxcError, operation, "running")
        if timeout and type(error) is LxcError:
            return self._error(OperationTimeoutError, operation, reason=f"not within {timeout:g} s")
        return error

    def freeze(self) -> None:
        """Stop all processes of the container from running."""
        self._check(lib.container_freeze(self._pointer("freeze")), "freeze", "running")

    def unfreeze(self) -> None:
        """Let all processes of the container run again."""
        self._check(lib.container_unfreeze(self._pointer("unfreeze")), "unfreeze", "running")

    def frozen(self) -> AbstractContextManager[Self]:
        """A with block in which the container is frozen."""
        from . import blocks

        return blocks.frozen(self)

    def started(self, argv: Iterable[Text] | None = None) -> AbstractContextManager[Self]:
        """A with block in which the container runs; at its end it is killed, unless it has ended."""
        from . import blocks

        return blocks.started(self, argv)

    def wait(self, *states: State, timeout: float | None = None) -> bool:
        """Wait until the container is in one of some states; False if it is not in time.

        0 is not waiting. A state that does not last may be missed. Signals have to wait too, without a timeout for
        ever.
        """
        if not states:
            raise ValueError("no state to wait for")
        for state in states:
            if not state.replace("_", "").isalpha():
                raise ValueError(f"unknown state {state!r}")
        if timeout == 0:  # for liblxc that is for ever
            return self.state in states
        c = self._pointer("wait")
        return bool(lib.container_wait(c, encode("|".join(states)), _seconds(timeout)))

    # Attached processes

    def attach(
        self, what: Iterable[Text] | Callable[[], int | None] | None = None, **options: Unpack[AttachOptions]
    ) -> int:
        """Run something in the running container, as a child of the caller's, which has to wait for it.

        what     a command, which liblxc executes; or a function, called in a fork of this process; None for the
                 user's shell
        options  see AttachOptions

        Returns the process id. A function gets no arguments; what it returns is the exit status, None is 0. It
        sees the container's files, so it cannot import what is not imported yet; other threads do not exist.
        A command that cannot be executed ends with 126 or 127. Raises AttachError.
        """
        from . import attach

        c = self._pointer("attach")
        if what is None:
            pid = attach.attach_shell(c, options)
        elif callable(what):
            pid = attach.attach_function(c, what, options)
        else:
            pid = attach.attach_command(c, what, options)
        self._check(pid > 0, "attach", "running", kind=AttachError)
        return pid

    def attach_wait(
        self, what: Iterable[Text] | Callable[[], int | None] | None = None, **options: Unpack[AttachOptions]
    ) -> int:
        """attach(), and wait for the process: its exit status, or minus the signal that killed it.

        A command as by the members attach_run_wait and attach_run_waitl, but that signals are handled meanwhile.
        """
        pid = self.attach(what, **options)
        return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    # Terminals

    def console(self, tty: int = -1, *, stdin: int = 0, stdout: int = 1, stderr: int = 2, escape: int = 1) -> None:
        """Connect the caller's terminal with one of the container's, until the escape is typed.

        tty     -1 for the first that is free, 0 for /dev/console, n for /dev/ttyn
        escape  Ctrl and this letter of the alphabet, then q, is the end: 1 is Ctrl-a
        """
        c = self._pointer("console")
        self._check(lib.container_console(c, tty, stdin, stdout, stderr, escape) == 0, "console", "running")

    def console_getfd(self, tty: int = -1) -> Terminal:
        """One of the container's terminals, which is the caller's until it is closed.

        tty  -1 for the first that is free, 0 for /dev/console, n for /dev/ttyn
        """
        from .terminal import Terminal

        c = self._pointer("console_getfd")
        number = ffi.new("int *", tty)
        outer = ffi.new("int *", -1)
        lease = lib.container_console_getfd(c, number, outer)
        self._check(lease >= 0 and outer[0] >= 0, "console_getfd", "running")
        return Terminal(number[0], outer[0], lease)

    def console_log(self, *, read: bool = True, clear: bool = False, maximum: int = 0) -> bytes:
        """What the container wrote to its console, as far as lxc.console.buffer.size keeps it. Since liblxc 3.0.0.

        read     return it; clear forgets it
        maximum  bytes to return, 0 for all
        """
        c = self._pointer("console_log")
        size = ffi.new("uint64_t *", maximum)
        request: CData = ffi.new("struct lxc_console_log *", {"clear": clear, "read": read, "read_max": size})
        result = lib.container_console_log(c, request)
        if result < 0 and result == -errno.ENODATA:  # nothing was written yet
            return b""
        self._check(result == 0, "console_log", "running")
        if request.data == ffi.NULL:
            return b""
        data: bytes = ffi.buffer(request.data, size[0])[:]
        lib.free(request.data)
        return data

    # Snapshots

    def snapshot(self, comment: str | None = None, *, commentfile: Text | None = None) -> str:
        """Make a snapshot of the container, which is stopped; returns its name.

        comment      text that is kept with it
        commentfile  file with such a text

        Raises SnapshotError.
        """
        if comment is not None:
            if commentfile is not None:
                raise ValueError("comment and commentfile exclude each other")
            import tempfile

            with tempfile.NamedTemporaryFile() as file:
                file.write(encode(comment))
                file.flush()
                return self.snapshot(commentfile=file.name)
        c = self._pointer("snapshot")
        number = lib.container_snapshot(c, encode_optional(commentfile))
        self._check(number >= 0, "snapshot", "defined", kind=SnapshotError)
        return f"snap{number}"

    def snapshot_list(self) -> list[Snapshot]:
        """The container's snapshots. Raises SnapshotError."""
        from .snapshot import taken_snapshots

        c = self._pointer("snapshot_list")
        array = ffi.new("struct lxc_snapshot **")
        count = lib.container_snapshot_list(c, array)
        self._check(count >= 0, "snapshot_list", "defined", kind=SnapshotError)
        return taken_snapshots(array[0], count)

    def snapshot_restore(self, snapshot: Text | Snapshot, newname: Text | None = None) -> None:
        """Make a snapshot the container again, or another container. Raises SnapshotError."""
        c = self._pointer("snapshot_restore")
        name = _snapshot_name(snapshot)
        done = lib.container_snapshot_restore(c, encode(name), encode_optional(newname))
        self._check(done, "snapshot_restore", "defined", kind=SnapshotError, value=name)

    def snapshot_destroy(self, snapshot: Text | Snapshot) -> None:
        """Remove a snapshot. Raises SnapshotError."""
        c = self._pointer("snapshot_destroy")
        name = _snapshot_name(snapshot)
        self._check(lib.container_snapshot_destroy(c, encode(name)), "snapshot_destroy", "defined", SnapshotError, name)

    def snapshot_destroy_all(self) -> None:
        """Remove all snapshots. Raises SnapshotError."""
        c = self._pointer("snapshot_destroy_all")
        self._check(lib.container_snapshot_destroy_all(c), "snapshot_destroy_all", "defined", SnapshotError)

    # Dumps, by CRIU

    def checkpoint(self, directory: Text, *, stop: bool = False, verbose: bool = False) -> None:
        """Dump the running container's processes into a directory, and stop it or not. Raises CheckpointError."""
        c = self._pointer("checkpoint")
        done = lib.container_checkpoint(c, encode(directory), stop, verbose)
        self._check(done, "checkpoint", "running", CheckpointError, directory)

    def restore(self, directory: Text, *, verbose: bool = False) -> None:
        """Start the container from a dump in a directory. Raises CheckpointError."""
        c = self._pointer("restore")
        done = lib.container_restore(c, encode(directory), verbose)
        self._check(done, "restore", "stopped", CheckpointError, directory)

    def migrate(
        self,
        command: MigrateCommand | int,
        directory: Text | None = None,
        *,
        verbose: bool = False,
        stop: bool = False,
        predump_dir: Text | None = None,
        pageserver_address: Text | None = None,
        pageserver_port: Text | None = None,
        preserves_inodes: bool = False,
        action_script: Text | None = None,
        disable_skip_in_flight: bool = False,
        ghost_limit: int = 0,
        features_to_check: int = 0,
    ) -> int:
        """checkpoint() and restore() with all of CRIU's options that liblxc has.

        command            a MigrateCommand
        predump_dir        earlier dump, relative to directory, that this one adds to
        preserves_inodes   the root file system keeps its inode numbers on the way
        ghost_limit        size in bytes up to which deleted open files are dumped, 0 for CRIU's default
        features_to_check  a MigrateFeature, for MigrateCommand.FEATURE_CHECK

        Returns the features that are there. Raises CheckpointError.
        """
        c = self._pointer("migrate")
        struct: CData = ffi.new(
            "struct migrate_opts *",
            {
                "verbose": verbose,
                "stop": stop,
                "preserves_inodes": preserves_inodes,
                "disable_skip_in_flight": disable_skip_in_flight,
                "ghost_limit": ghost_limit,
                "features_to_check": features_to_check,
            },
        )
        kept = []
        for member, text in (
            ("directory", directory),
            ("predump_dir", predump_dir),
            ("pageserver_address", pageserver_address),
            ("pageserver_port", pageserver_port),
            ("action_script", action_script),
        ):
            if text is not None:
                kept.append(ffi.new("char[]", encode(text)))
                setattr(struct, member, kept[-1])
        result = lib.container_migrate(c, command, struct, ffi.sizeof("struct migrate_opts"))
        is_check = command == lib.MIGRATE_FEATURE_CHECK
        needs: Needs | None = None if is_check else "stopped" if command == lib.MIGRATE_RESTORE else "running"
        self._check(result == 0, "migrate", needs, CheckpointError, directory)
        features: int = struct.features_to_check
        return features if is_check else 0

    # Mounts, devices, cgroups, interfaces of a running container

    def mount(
        self,
        source: Text | None,
        target: Text,
        filesystemtype: Text | None = None,
        flags: int = 0,
        data: Text | None = None,
    ) -> None:
        """Mount something in the running container, as mount(2) does. Since liblxc 3.1.0.

        flags  a MountFlag

        The container's lxc.mount.auto must have shmounts:PATH.
        """
        c = self._pointer("mount")
        version = ffi.new("struct lxc_mount *", {"version": lib.LXC_MOUNT_API_V1})
        kept = ffi.NULL if data is None else ffi.new("char[]", encode(data))
        result = lib.container_mount(
            c, encode_optional(source), encode(target), encode_optional(filesystemtype), flags, kept, version
        )
        self._check(result == 0, "mount", "running", value=target)

    def umount(self, target: Text, flags: int = 0) -> None:
        """Unmount something in the running container, as umount2(2) does. Since liblxc 3.1.0."""
        c = self._pointer("umount")
        version = ffi.new("struct lxc_mount *", {"version": lib.LXC_MOUNT_API_V1})
        self._check(lib.container_umount(c, encode(target), flags, version) == 0, "umount", "running", value=target)

    def add_device_node(self, src_path: Text, dest_path: Text | None = None) -> None:
        """Make one of the host's device nodes in the running container, and allow it; at the same path, or another."""
        c = self._pointer("add_device_node")
        done = lib.container_add_device_node(c, encode(src_path), encode_optional(dest_path))
        self._check(done, "add_device_node", "running", value=src_path)

    def remove_device_node(self, src_path: Text, dest_path: Text | None = None) -> None:
        """Undo add_device_node()."""
        c = self._pointer("remove_device_node")
        done = lib.container_remove_device_node(c, encode(src_path), encode_optional(dest_path))
        self._check(done, "remove_device_node", "running", value=src_path)

    def get_cgroup_item(self, subsys: Text) -> str:
        """Content of a file of the running container's cgroup, such as memory.max."""
        text = self._get_text("get_cgroup_item", subsys)
        if text is None:
            raise self._failure(LxcError, "get_cgroup_item", "running", subsys)
        return text

    def set_cgroup_item(self, subsys: Text, value: Text) -> None:
        """Write a file of the running container's cgroup."""
        c = self._pointer("set_cgroup_item")
        done = lib.container_set_cgroup_item(c, encode(subsys), encode(value))
        self._check(done, "set_cgroup_item", "running", value=f"{decode(encode(subsys))} {decode(encode(value))}")

    def attach_interface(self, dev: Text, dst_dev: Text | None = None) -> None:
        """Move one of the host's network interfaces into the running container, under its name or another."""
        c = self._pointer("attach_interface")
        done = lib.container_attach_interface(c, encode(dev), encode_optional(dst_dev))
        self._check(done, "attach_interface", "running", value=dev)

    def detach_interface(self, dev: Text, dst_dev: Text | None = None) -> None:
        """Move a network interface out of the running container to the host, under its name or another."""
        c = self._pointer("detach_interface")
        done = lib.container_detach_interface(c, encode(dev), encode_optional(dst_dev))
        self._check(done, "detach_interface", "running", value=dev)

    def get_interfaces(self) -> list[str]:
        """Names of the running container's network interfaces."""
        c = self._pointer("get_interfaces")
        array = lib.container_get_interfaces(c)
        if array == ffi.NULL and not self.is_running:
            raise self._failure(LxcError, "get_interfaces", "running")
        return taken_strings(array)

    def get_ips(
        self, interface: Text | None = None, family: Literal["inet", "inet6"] | None = None, scope: int = 0
    ) -> list[str]:
        """Addresses of the running container's network interfaces, without those of lo.

        scope  of IPv6 addresses: 0 global, 253 link-local
        """
        c = self._pointer("get_ips")
        array = lib.container_get_ips(c, encode_optional(interface), encode_optional(family), scope)
        if array == ffi.NULL and not self.is_running:
            raise self._failure(LxcError, "get_ips", "running")
        return taken_strings(array)

    def interfaces(self) -> list[Interface]:
        """The running container's network interfaces with their addresses."""
        from .network import Interface

        return [
            Interface(name, tuple(self.get_ips(name, "inet")), tuple(self.get_ips(name, "inet6")))
            for name in self.get_interfaces()
        ]
