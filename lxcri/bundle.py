"""A bundle and what the runtime makes of it, before anything happens (bundle.md)."""

from __future__ import annotations

import os

from . import OCI_VERSION, timeline
from .compile.hooks import merge_hooks
from .compile.process import unique_environment
from .compile.request import Request
from .configuration import load_configuration
from .errors import Error, reason
from .notify import caller_socket, listen_fds
from .spec import decode_config

TYPE_CHECKING = False
if TYPE_CHECKING:
    from .configuration import Configuration
    from .context import Context
    from .spec import Spec
    from .state import Entry, State


def read_config(bundle: str) -> bytes:
    """The bundle's config.json; raises Error."""
    path = f"{bundle}/config.json"
    try:
        with open(path, "rb", 0) as file:
            return file.readall()
    except OSError as e:
        raise Error(f"{path}: {reason(e)}") from e


def check_version(version: str) -> None:
    """Raise Error for an ociVersion that this runtime does not follow (Semantic Versioning: another major number)."""
    numbers = version.partition("-")[0].partition("+")[0].split(".")
    if len(numbers) != 3 or not all(n.isascii() and n.isdigit() for n in numbers):
        raise Error(f'ociVersion: "{version}" is not a version')
    if numbers[0] != OCI_VERSION.partition(".")[0]:
        raise Error(f'ociVersion: "{version}" is not supported, this runtime follows {OCI_VERSION}')


def real_rootfs(bundle: str, path: str) -> str:
    """The real path of root.path, which liblxc wants without links; raises Error."""
    given = path if path.startswith("/") else f"{bundle}/{path}"
    try:
        real = os.path.realpath(given, strict=True)
    except OSError as e:
        raise Error(f'root.path "{path}": {reason(e)}') from e
    if not os.path.isdir(real):
        raise Error(f'root.path "{path}": not a directory')
    if real == "/":
        raise Error(f'root.path "{path}": the root file system of the host')
    return real


def load_bundle(
    ctx: Context, *, id: str, bundle: str, directory: str, preserve_fds: int = 0, session_keyring: bool = True
) -> tuple[Spec, Request]:
    """
    The spec of a bundle as this runtime applies it, and the request to compile it.

    To the spec are added the runtime's own hooks; of several values of an environment variable the last one stays.
    """
    bundle = os.path.abspath(bundle)
    data = read_config(bundle)
    timeline.mark("config.json")
    spec = decode_config(data)
    timeline.mark("decode")
    check_version(spec.oci_version)
    if spec.root is None:
        raise Error("root: missing")
    configuration = load_configuration(ctx.config)
    ctx.timeout = configuration.timeout
    spec.hooks = merge_hooks(configuration.hooks, spec.hooks)
    if spec.process is not None:
        spec.process.env = unique_environment(spec.process.env)
    request = make_request(
        ctx,
        configuration,
        id=id,
        bundle=bundle,
        rootfs=real_rootfs(bundle, spec.root.path),
        directory=directory,
        preserve_fds=preserve_fds,
        listening=listen_fds(),
    )
    request.notify = bool(caller_socket())
    request.session_keyring = session_keyring
    request.systemd = systemd_instance(ctx)
    return spec, request


def load_execution(ctx: Context, entry: Entry, state: State, preserve_fds: int) -> Request:
    """The request for another process in a container; no LISTEN_FDS, as it has a pid that nobody knows yet."""
    configuration = load_configuration(ctx.config)
    ctx.timeout = configuration.timeout
    return make_request(
        ctx,
        configuration,
        id=state.id,
        bundle=state.bundle,
        rootfs=state.rootfs,
        directory=entry.path,
        preserve_fds=preserve_fds,
        listening=0,
    )


def make_request(
    ctx: Context,
    configuration: Configuration,
    *,
    id: str,
    bundle: str,
    rootfs: str,
    directory: str,
    preserve_fds: int,
    listening: int,
) -> Request:
    """A Request with the switches of the command line, or else of the configuration, and with passed descriptors."""

    def switch(name: str) -> bool:
        given: bool | None = getattr(ctx, name)
        return getattr(configuration, name) if given is None else given

    return Request(
        id=id,
        bundle=bundle,
        rootfs=rootfs,
        directory=directory,
        preserve_fds=preserve_fds + listening,
        listen_fds=listening,
        apparmor=switch("apparmor"),
        capabilities=switch("capabilities"),
        cgroup_devices=switch("cgroup_devices"),
        seccomp=switch("seccomp"),
    )


def systemd_instance(ctx: Context) -> str:
    """The instance of systemd that is to make the cgroup, "system" or "user", "" for none; raises Error."""
    if not ctx.systemd_cgroup:
        return ""
    from .cgroup.systemd import require_booted
    from .context import is_rootless

    require_booted()
    return "user" if (is_rootless() if ctx.rootless is None else ctx.rootless) else "system"
