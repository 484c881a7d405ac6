"""python3-lxc's API: `import lxcffi.compat as lxc` is all that changes in a program.

Names, parameters and results are those of python3-lxc 5.0: methods return False instead of raising, unknown items are
a KeyError, lists are tuples. It differs where python3-lxc is wrong: no call holds the GIL or leaks a descriptor, the
object that rename() returns is below the same configuration path, and a network has its own items only.
"""

from __future__ import annotations

import os as _os

from . import library as _library
from .errors import ConfigItemError as _ConfigItemError, LxcError as _LxcError
from .ffi import ffi as _ffi, lib as _lib
from .flags import Namespace as _Namespace
from .library import STATES as _STATES
from .text import (
    buffer as _buffer,
    decode as _decode,
    encode as _encode,
    encode_optional as _encode_optional,
    string_array as _string_array,
    taken_string as _taken_string,
    taken_strings as _taken_strings,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from typing import Any as _Any

    from . import attach as _attach
    from ._lxc import CData
    from .terminal import Terminal as _Terminal
    from .text import Text


def _string(value: str) -> bytes:
    if not isinstance(value, str):
        raise TypeError(f"argument must be str, not {type(value).__name__}")
    data = value.encode("utf-8", "surrogateescape")
    if 0 in data:
        raise ValueError("embedded null character")
    return data


_state_number = _lib.container_state_number

_keys: dict[str, bytes] = {}
"""Keys as _string() makes them."""

_MAX_KEYS = 1024
"""More than liblxc has, with some networks'."""


def _key(key: str) -> bytes:
    """_string() of a key that is not in _keys."""
    encoded = _string(key)
    if len(_keys) < _MAX_KEYS:
        _keys[key] = encoded
    return encoded


def _words(words: Iterable[str]) -> tuple[CData, list[CData]]:
    words = tuple(words)
    if not all(isinstance(word, str) for word in words):
        raise ValueError("Expected a string")
    return _string_array(words)


def get_global_config_item(key: str) -> str:
    """Value of an item of lxc.conf. Raises KeyError."""
    try:
        return _library.global_config_item(_string(key))
    except _ConfigItemError:
        raise KeyError("Invalid configuration key") from None


default_config_path = get_global_config_item("lxc.lxcpath")
version = _library.version()


class ContainerNetwork:
    """One network of a container's configuration; its items are attributes, with _ for a dot."""

    props: dict[str, str] = {}  # noqa: RUF012 (as there)

    def __init__(self, container: Container, index: int) -> None:
        object.__setattr__(self, "container", container)
        object.__setattr__(self, "index", index)
        keys = container.get_keys(f"lxc.net.{index}") or []
        object.__setattr__(self, "props", {key.replace(".", "_"): key for key in keys})

    def _key(self, name: str) -> str:
        if name not in self.props:
            raise AttributeError(f"'{self._get('type')}' network has no attribute '{name}'")
        return self.props[name]

    def _get(self, key: str) -> _Any:
        return self.container.get_config_item(f"lxc.net.{self.index}.{key}")

    def __delattr__(self, key: str) -> None:
        if key in ("container", "index", "props"):
            object.__delattr__(self, key)
            return
        name = f"lxc.net.{self.index}.{self._key(key)}"
        if key in ("ipv4", "ipv6"):
            self.container.clear_config_item(name)
        else:
            self.container.set_config_item(name, "")

    def __dir__(self) -> list[str]:
        return sorted(self.props)

    def __getattr__(self, key: str) -> _Any:
        if key in ("container", "index", "props"):
            raise AttributeError(key)
        return self._get(self._key(key))

    def __hasattr__(self, key: str) -> bool:
        return key in ("container", "index", "props") or bool(self._key(key))

    def __repr__(self) -> str:
        return f"'{self._get('type')}' network at index '{self.index}'"

    def __setattr__(self, key: str, value: _Any) -> None:
        if key in ("container", "index", "props"):
            object.__setattr__(self, key, value)
        else:
            self.container.set_config_item(f"lxc.net.{self.index}.{self._key(key)}", value)


class ContainerNetworkList:
    """The networks of a container's configuration."""

    def __init__(self, container: Container) -> None:
        self.container = container

    def __getitem__(self, index: int) -> ContainerNetwork:
        if index >= len(self):
            self.add("temp_type")
        return ContainerNetwork(self.container, index)

    def __len__(self) -> int:
        try:
            values = self.container.get_config_item("lxc.net")
        except KeyError:
            return 0
        return len(values) if values else 0

    def add(self, network_type: str) -> bool:
        """Add a network behind the last one."""
        return self.container.set_config_item(f"lxc.net.{len(self)}.type", network_type)

    def remove(self, index: int) -> bool:
        """Remove a network."""
        if index >= len(self):
            raise IndexError("list index out of range")
        return self.container.clear_config_item(f"lxc.net.{index}")


class Container:
    """A container; see lxcffi.Container for what the methods do."""

    _terminals: tuple[_Terminal, ...] = ()  # which nobody else gets as long as the object is there

    def __init__(self, name: str, config_path: Text | None = None) -> None:
        pointer = _lib.lxc_container_new(_string(name), _encode_optional(config_path or None))
        if not pointer:
            raise RuntimeError(f"error during init for container '{name}'.")
        self._c = _ffi.gc(pointer, _lib.lxc_container_put)

    def __getattr__(self, name: str) -> _Any:
        # Made when it is asked for: the two hold each other, and are freed by the garbage collector only.
        if name != "network":
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        self.network = ContainerNetworkList(self)
        return self.network

    @property
    def config_file_name(self) -> str:
        """Path of the configuration file."""
        return _taken_string(_lib.container_config_file_name(self._c))

    @property
    def controllable(self) -> bool:
        """Whether the caller may control the container."""
        return bool(_lib.container_may_control(self._c))

    @property
    def defined(self) -> bool:
        """Whether the container has a configuration file."""
        return bool(_lib.container_is_defined(self._c))

    @property
    def init_pid(self) -> int:
        """Process id of the container's init, -1 if it does not run."""
        pid: int = _lib.container_init_pid(self._c)
        return pid

    @property
    def name(self) -> str:
        """Name of the container."""
        pointer: CData = self._c
        return _decode(pointer.name)

    @property
    def running(self) -> bool:
        """Whether the container is in any state but STOPPED."""
        return bool(_lib.container_is_running(self._c))

    @property
    def state(self) -> str:
        """What the container is doing."""
        try:
            return _STATES[_state_number(self._c)]
        except IndexError:
            return _decode(_lib.container_state(self._c))

    def add_device_net(self, name: str, destname: str | None = None) -> bool:
        """Move one of the host's network interfaces into the running container."""
        import subprocess

        if not self.running:
            return False
        phy_name = f"/sys/class/net/{name}/phy80211/name"
        if _os.path.exists(phy_name):
            with open(phy_name, encoding="utf-8") as file:
                phy = file.read().strip()
            if subprocess.call(["iw", "phy", phy, "set", "netns", str(self.init_pid)]) != 0:
                return False
            if not destname:
                return True
            rename = ["ip", "link", "set", "dev", name, "name", destname]
            return self.attach_wait(attach_run_command, rename, namespaces=CLONE_NEWNET) == 0
        if not _os.path.exists(f"/sys/class/net/{name}/"):
            return False
        move = ["ip", "link", "set", "dev", name, "netns", str(self.init_pid), "name", destname or name]
        return subprocess.call(move) == 0

    def add_device_node(self, src_path: Text, dest_path: Text | None = None) -> bool:
        """Make one of the host's device nodes in the running container."""
        return bool(_lib.container_add_device_node(self._c, _encode(src_path), _encode_optional(dest_path)))

    def remove_device_node(self, src_path: Text, dest_path: Text | None = None) -> bool:
        """Undo add_device_node()."""
        return bool(_lib.container_remove_device_node(self._c, _encode(src_path), _encode_optional(dest_path)))

    def append_config_item(self, key: str, value: str) -> bool:
        """Add a value to an item that is a list; another one gets it as its value."""
        return bool(_lib.container_set_config_item(self._c, _string(key), _string(value)))

    def attach(self, run: Callable[..., _Any], payload: _Any = None, **options: _Any) -> int:
        """Run a function in the container: the process id, or -1.

        Options: attach_flags, namespaces, personality, initial_cwd, uid, gid, env_policy, extra_env_vars,
        extra_keep_env, stdin, stdout, stderr.
        """
        if not callable(run):
            raise TypeError("attach: object not callable")
        from . import attach

        given = _attach_options(options)
        if run is attach_run_command:
            program, words = _command(payload)
            return attach.attach_command(self._c, words, given, program)
        if run is attach_run_shell:
            return attach.attach_shell(self._c, given)

        def function() -> int:
            try:
                result = run() if payload is None else run(payload)
            except Exception as e:  # noqa: BLE001 (as there: printed, and -1)
                attach.print_exception(e)
                return -1
            return result if isinstance(result, int) else -1

        return attach.attach_function(self._c, function, given)

    def attach_wait(self, run: Callable[..., _Any], payload: _Any = None, **options: _Any) -> int:
        """attach(), and wait for the process: its wait status, -1 for exit status 255."""
        pid = self.attach(run, payload, **options)
        if pid < 0:
            return pid
        status = _os.waitpid(pid, 0)[1]
        return -1 if _os.WIFEXITED(status) and _os.WEXITSTATUS(status) == 255 else status

    def attach_interface(self, src_ifname: Text, dst_ifname: Text | None = None) -> bool:
        """Move one of the host's network interfaces into the running container."""
        return bool(_lib.container_attach_interface(self._c, _encode(src_ifname), _encode_optional(dst_ifname)))

    def detach_interface(self, ifname: Text) -> bool:
        """Move a network interface out of the running container."""
        return bool(_lib.container_detach_interface(self._c, _encode(ifname), _ffi.NULL))

    def clear_config(self) -> None:
        """Forget the values of all items."""
        _lib.container_clear_config(self._c)

    def clear_config_item(self, key: str) -> bool:
        """Forget the value of an item."""
        return bool(_lib.container_clear_config_item(self._c, _string(key)))

    def clone(
        self,
        newname: str,
        config_path: Text | None = None,
        flags: int = 0,
        bdevtype: str | None = None,
        bdevdata: str | None = None,
        newsize: int = 0,
        hookargs: tuple[str, ...] = (),
    ) -> Container | bool:
        """Copy the container: the new one, or False."""
        if not isinstance(hookargs, tuple):
            raise ValueError("hookargs needs to be a tuple")  # noqa: TRY004 (as there)
        array, strings = _words(hookargs)
        pointer = _lib.container_clone(
            self._c,
            _string(newname),
            _encode_optional(config_path or None),
            flags,
            _encode_optional(bdevtype or None),
            _encode_optional(bdevdata or None),
            newsize,
            array,
        )
        del strings
        if pointer == _ffi.NULL:
            return False
        _lib.lxc_container_put(pointer)
        return Container(newname, config_path=config_path)

    def console(
        self, ttynum: int = -1, stdinfd: int = 0, stdoutfd: int = 1, stderrfd: int = 2, escape: int = 1
    ) -> bool:
        """Connect a terminal with one of the container's."""
        if not self.running:
            return False
        result: int = _lib.container_console(self._c, ttynum, stdinfd, stdoutfd, stderrfd, escape)
        return result == 0

    def console_getfd(self, ttynum: int = -1) -> int | bool:
        """A descriptor of one of the container's terminals. Raises ValueError if none is free."""
        if not self.running:
            return False
        number, outer = _ffi.new("int *", ttynum), _ffi.new("int *", -1)
        from .terminal import Terminal

        lease = _lib.container_console_getfd(self._c, number, outer)
        if lease < 0:
            raise ValueError("Unable to allocate tty")
        self._terminals = (*self._terminals, Terminal(number[0], -1, lease))
        descriptor: int = outer[0]
        return descriptor

    def create(
        self,
        template: str | None = None,
        flags: int = 0,
        args: Iterable[str] | Mapping[str, _Any] = (),
        bdevtype: str | None = None,
        fssize: int = 0,
    ) -> bool:
        """Create the container with a template; a dict of arguments is options."""
        if isinstance(args, dict):
            args = [word for name, value in args.items() for word in (f"--{name}", f"{value}")]
        if not self.defined:
            self.save_config()
        from .storage import Storage

        array, strings = _words(args)
        specs, kept = Storage(fssize=fssize).as_specs()
        done = _lib.container_create(
            self._c, _encode_optional(template or None), _encode_optional(bdevtype or None), specs, flags, array
        )
        del strings, kept
        return bool(done)

    def destroy(self) -> bool:
        """Remove the container, and forget its configuration."""
        if not _lib.container_destroy(self._c):
            return False
        self.clear_config()
        return True

    def freeze(self) -> bool:
        """Stop all processes of the container from running."""
        return bool(_lib.container_freeze(self._c))

    def unfreeze(self) -> bool:
        """Let all processes of the container run again."""
        return bool(_lib.container_unfreeze(self._c))

    def _text(self, member: Callable[[CData, bytes | CData, CData, int], int], key: str | None, failure: str) -> str:
        encoded = _ffi.NULL if key is None else _string(key)
        text = _buffer(256)
        length = member(self._c, encoded, text, 256)
        if length < 0:
            raise KeyError(failure)
        if length >= 256:
            text = _buffer(length + 1)
            if member(self._c, encoded, text, length + 1) != length:
                raise ValueError("Unable to read config value")
        return _decode(text)

    def get_cgroup_item(self, key: str) -> str:
        """Content of a file of the running container's cgroup. Raises KeyError."""
        return self._text(_lib.container_get_cgroup_item, key, "Invalid cgroup entry").rstrip("\n")

    def get_config_item(self, key: str) -> str | list[str]:
        """Value of an item, a list for one that is a list. Raises KeyError."""
        text = _lib.container_config_text(self._c, _keys.get(key) or _key(key))
        if not text:
            raise KeyError("Invalid configuration key")
        value = _decode(text)
        return value.rstrip("\n").split("\n") if value.endswith("\n") else value

    def get_config_path(self) -> str:
        """Directory that holds the containers' directories."""
        return _decode(_lib.container_get_config_path(self._c))

    def get_keys(self, key: str | None = None) -> str | list[str]:
        """Names of items. Raises KeyError."""
        value = self._text(_lib.container_get_keys, key or None, "Invalid configuration key")
        return value.rstrip("\n").split("\n") if value.endswith("\n") else value

    def get_interfaces(self) -> tuple[str, ...]:
        """Names of the running container's network interfaces."""
        return tuple(_taken_strings(_lib.container_get_interfaces(self._c)))

    def get_ips(
        self, interface: str | None = None, family: str | None = None, scope: int | None = None, timeout: int = 0
    ) -> tuple[str, ...]:
        """Addresses of the running container; asked for once a second until there are some."""
        timeout = int(_os.environ.get("LXC_GETIP_TIMEOUT", timeout))
        while True:
            array = _lib.container_get_ips(
                self._c, _encode_optional(interface or None), _encode_optional(family or None), scope or 0
            )
            ips = tuple(_taken_strings(array))
            if ips or timeout == 0:
                return ips
            import time

            timeout -= 1
            time.sleep(1)

    def get_running_config_item(self, key: str) -> str | None:
        """Value of an item in the running container."""
        value = _lib.container_get_running_config_item(self._c, _string(key))
        return None if value == _ffi.NULL else _taken_string(value)

    def load_config(self, path: Text | None = None) -> bool:
        """Read a configuration file, the container's own by default."""
        return bool(_lib.container_load_config(self._c, _encode_optional(path)))

    def save_config(self, path: Text | None = None) -> bool:
        """Write the configuration to a file, the container's own by default."""
        return bool(_lib.container_save_config(self._c, _encode_optional(path)))

    def reboot(self) -> bool:
        """Ask the container's init to reboot."""
        return bool(_lib.container_reboot(self._c))

    def rename(self, new_name: str) -> Container | bool:
        """Give the container another name: the object with that, or False."""
        if not _lib.container_rename(self._c, _string(new_name)):
            return False
        return Container(new_name, self.get_config_path())

    def set_cgroup_item(self, key: str, value: str) -> bool:
        """Write a file of the running container's cgroup."""
        return bool(_lib.container_set_cgroup_item(self._c, _string(key), _string(value)))

    def set_config_item(self, key: str, value: _Any) -> bool:
        """Replace the value of an item, all values of one that is a list; False leaves it as it was."""
        encoded = _keys.get(key) or _key(key)
        if isinstance(value, list):
            if len(value) > 1 and self._replace(encoded, value, exact=True):
                return True
            before = self._item(encoded)
            if self._replace(encoded, value):
                after = self.get_config_item(key)
                if not isinstance(after, str) and set(after) == set(value):
                    return True
                self._replace(encoded, before.rstrip("\n").split("\n") if before else [])
            else:
                self.get_config_item(key)
            return False
        if not isinstance(value, str):
            _lib.container_clear_config_item(self._c, encoded)  # as there
        exact = key != "lxc.log.level"  # which liblxc tells otherwise
        if _lib.container_replace_config_item(self._c, encoded, _string(value), 1, exact) >= 0:
            self.get_config_item(key)  # which is an error for one that liblxc does not know
            return False
        return True

    def _item(self, key: bytes) -> str | None:
        """Value of an item as liblxc writes it, None if it does not know it."""
        text = _lib.container_config_text(self._c, key)
        return _decode(text) if text else None

    def _replace(self, key: bytes, values: list[str], *, exact: bool = False) -> bool:
        if not values:
            return bool(_lib.container_clear_config_item(self._c, key))
        joined = b"\0".join([_string(value) for value in values])
        failed: int = _lib.container_replace_config_item(self._c, key, joined, len(values), exact)
        return failed < 0

    def set_config_path(self, path: str) -> bool:
        """Set the directory that holds the containers' directories."""
        return bool(_lib.container_set_config_path(self._c, _string(path)))

    def shutdown(self, timeout: int = -1) -> bool:
        """Ask the container's init to shut down, and wait until it has."""
        return bool(_lib.container_shutdown(self._c, timeout))

    def snapshot(self, comment_path: Text | None = None) -> str | bool:
        """Make a snapshot: its name, or False."""
        number = _lib.container_snapshot(self._c, _encode_optional(comment_path))
        return f"snap{number}" if number >= 0 else False

    def snapshot_destroy(self, name: str) -> bool:
        """Remove a snapshot."""
        return bool(_lib.container_snapshot_destroy(self._c, _string(name)))

    def snapshot_list(self) -> tuple[tuple[str, str, str, str], ...]:
        """The snapshots: name, path of the comment, time, configuration path. Raises KeyError."""
        from .snapshot import taken_snapshots

        array = _ffi.new("struct lxc_snapshot **")
        count = _lib.container_snapshot_list(self._c, array)
        if count < 0:
            raise KeyError("Unable to list snapshots")
        return tuple((s.name, s.comment_pathname, s.timestamp, s.lxcpath) for s in taken_snapshots(array[0], count))

    def snapshot_restore(self, name: str, newname: str | None = None) -> bool:
        """Make a snapshot the container again, or another container."""
        return bool(
            _lib.container_snapshot_restore(self._c, _string(name), _ffi.NULL if newname is None else _string(newname))
        )

    def start(
        self, useinit: bool = False, daemonize: bool = True, close_fds: bool = False, cmd: tuple[str, ...] = ()
    ) -> bool:
        """Start the container, with a command or its own init."""
        array, strings = _words(cmd)
        _lib.container_want_close_all_fds(self._c, close_fds is True)
        _lib.container_want_daemonize(self._c, daemonize is True)
        done = _lib.container_start(self._c, useinit is True, array if strings else _ffi.NULL)
        return bool(done)

    def stop(self) -> bool:
        """Kill the container."""
        return bool(_lib.container_stop(self._c))

    def wait(self, state: str, timeout: int = -1) -> bool:
        """Wait until the container is in a state."""
        return bool(_lib.container_wait(self._c, _string(state.upper()), timeout))


_OPTIONS = {
    "attach_flags": "flags",
    "namespaces": "namespaces",
    "personality": "personality",
    "initial_cwd": "cwd",
    "uid": "uid",
    "gid": "gid",
    "stdin": "stdin",
    "stdout": "stdout",
    "stderr": "stderr",
}


def _attach_options(options: dict[str, _Any]) -> _attach.AttachOptions:
    given: _Any = {}
    for name, value in options.items():
        if name == "env_policy":
            given["env_policy"] = "clear" if value == LXC_ATTACH_CLEAR_ENV else "keep"
        elif name == "extra_env_vars":
            given["env"] = dict(_variables(value))
        elif name == "extra_keep_env":
            given["keep_env"] = value
        elif name in ("uid", "gid") and value == -1:
            continue  # as if it were not given
        elif name in _OPTIONS:
            given[_OPTIONS[name]] = value
        else:
            raise TypeError(f"'{name}' is an invalid keyword argument for this function")
    result: _attach.AttachOptions = given
    return result


def _variables(words: Iterable[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        name, _, value = word.partition("=")
        yield name, value


def _command(cmd: str | list[str] | tuple[str, list[str]]) -> tuple[str, list[str]]:
    """Program and words of what attach_run_command() takes."""
    if isinstance(cmd, tuple):
        program, words = cmd
        if not isinstance(words, list):
            raise TypeError("Second part of tuple passed to attach_run_command must be a list.")
        return program, words
    return (cmd[0], cmd) if isinstance(cmd, list) else (cmd, [cmd])


def list_containers(
    active: bool = True, defined: bool = True, as_object: bool = False, config_path: str | None = None
) -> tuple[_Any, ...]:
    """Names of the containers, or objects."""
    if config_path and not _os.path.exists(config_path):
        return ()
    from .listing import list_containers as names_of

    try:
        names = names_of(config_path or None, defined=defined is True, active=active is True)
    except _LxcError:
        return ()
    return tuple(Container(name, config_path) for name in names) if as_object else tuple(names)


def attach_run_command(cmd: str | list[str] | tuple[str, list[str]]) -> int:
    """For Container.attach(): become a command, in C without any Python."""
    program, words = _command(cmd)
    array, strings = _words(words)
    name = _ffi.new("char[]", _string(program))
    result: int = _lib.lxc_attach_run_command(_ffi.new("lxc_attach_command_t *", {"program": name, "argv": array}))
    del strings
    return result


def attach_run_shell() -> int:
    """For Container.attach(): become the user's shell."""
    result: int = _lib.lxc_attach_run_shell(_ffi.NULL)
    return result


_PER_LINUX, _PER_LINUX32 = 0, 8
_PERSONALITIES = {
    **dict.fromkeys(("x86", "linux32", "i386", "i486", "i586", "i686", "athlon"), _PER_LINUX32),
    **dict.fromkeys(("linux64", "x86_64", "amd64"), _PER_LINUX),
}


def arch_to_personality(arch: str | bytes) -> int:
    """The execution domain of an architecture. Raises KeyError."""
    if isinstance(arch, bytes):
        arch = str(arch, "utf-8")
    if not isinstance(arch, str):
        raise ValueError("Expected a string")  # noqa: TRY004 (as there)
    if arch not in _PERSONALITIES:
        raise KeyError("Failed to lookup architecture.")
    return _PERSONALITIES[arch]


CLONE_NEWIPC = int(_Namespace.IPC)
CLONE_NEWNET = int(_Namespace.NET)
CLONE_NEWNS = int(_Namespace.MOUNT)
CLONE_NEWPID = int(_Namespace.PID)
CLONE_NEWUSER = int(_Namespace.USER)
CLONE_NEWUTS = int(_Namespace.UTS)

LXC_ATTACH_CLEAR_ENV = _lib.LXC_ATTACH_CLEAR_ENV
LXC_ATTACH_KEEP_ENV = _lib.LXC_ATTACH_KEEP_ENV

LXC_ATTACH_DEFAULT = _lib.LXC_ATTACH_DEFAULT
LXC_ATTACH_DROP_CAPABILITIES = _lib.LXC_ATTACH_DROP_CAPABILITIES
LXC_ATTACH_LSM_EXEC = _lib.LXC_ATTACH_LSM_EXEC
LXC_ATTACH_LSM_NOW = _lib.LXC_ATTACH_LSM_NOW
LXC_ATTACH_MOVE_TO_CGROUP = _lib.LXC_ATTACH_MOVE_TO_CGROUP
LXC_ATTACH_REMOUNT_PROC_SYS = _lib.LXC_ATTACH_REMOUNT_PROC_SYS
LXC_ATTACH_SET_PERSONALITY = _lib.LXC_ATTACH_SET_PERSONALITY

LXC_CLONE_KEEPBDEVTYPE = _lib.LXC_CLONE_KEEPBDEVTYPE
LXC_CLONE_KEEPMACADDR = _lib.LXC_CLONE_KEEPMACADDR
LXC_CLONE_KEEPNAME = _lib.LXC_CLONE_KEEPNAME
LXC_CLONE_MAYBE_SNAPSHOT = _lib.LXC_CLONE_MAYBE_SNAPSHOT
LXC_CLONE_SNAPSHOT = _lib.LXC_CLONE_SNAPSHOT

LXC_CREATE_QUIET = _lib.LXC_CREATE_QUIET
