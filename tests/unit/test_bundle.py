"""Reading a bundle: config.json, ociVersion, root.path, and what the caller and the configuration add to it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

from lxcri import OCI_VERSION
from lxcri.bundle import check_version, load_bundle, read_config, real_rootfs
from lxcri.compile.request import Request
from lxcri.context import Context
from lxcri.errors import Error
from lxcri.notify import listen_fds
from lxcri.spec import Hook, Hooks, Spec

if TYPE_CHECKING:
    from pathlib import Path

CONFIG: dict[str, Any] = {
    "ociVersion": "1.0.2",
    "root": {"path": "rootfs"},
    "process": {"cwd": "/", "args": ["sh"], "env": ["A=1", "B=2", "A=3"]},
    "linux": {},
}


@pytest.fixture(autouse=True)
def no_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody passes descriptors, or waits for a notification."""
    for name in ("LISTEN_FDS", "LISTEN_PID", "NOTIFY_SOCKET"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    (tmp_path / "bundle/rootfs").mkdir(parents=True)
    write(tmp_path / "bundle", CONFIG)
    return (tmp_path / "bundle").resolve()


def write(bundle: Path, config: Any) -> None:
    (bundle / "config.json").write_text(config if isinstance(config, str) else json.dumps(config))


def load(bundle: Path | str, **options: Any) -> tuple[Spec, Request]:
    switches = {name: options.pop(name) for name in ("seccomp", "apparmor", "config") if name in options}
    ctx = Context("test", **switches)
    return load_bundle(ctx, id="c1", bundle=str(bundle), directory="/run/lxcri/c1", **options)


def refusal(bundle: Path) -> str:
    with pytest.raises(Error) as error:
        load(bundle)
    return str(error.value)


# ---- ociVersion ----


@pytest.mark.parametrize(
    "version", [OCI_VERSION, "1.0.0", "1.0.0-rc5", "1.0.2-dev", "1.9.0", "1.2.3+build", "1.0.0-a+b.c"]
)
def test_versions(version: str) -> None:
    """Of the same major number, whatever the others."""
    check_version(version)


@pytest.mark.parametrize(
    "version", ["", "1", "1.0", "1.0.0.0", "v1.0.0", "1.x.0", "1.0.-1", "1..0", "1.0.²", " 1.0.0", "1.0.0 "]
)
def test_what_is_no_version(version: str) -> None:
    with pytest.raises(Error) as error:
        check_version(version)
    assert str(error.value) == f'ociVersion: "{version}" is not a version'


@pytest.mark.parametrize("version", ["0.1.0", "2.0.0", "2.0.0-rc1", "10.0.0"])
def test_versions_that_are_not_followed(version: str) -> None:
    with pytest.raises(Error) as error:
        check_version(version)
    assert str(error.value) == f'ociVersion: "{version}" is not supported, this runtime follows {OCI_VERSION}'


# ---- the bundle ----


def test_bundle(bundle: Path) -> None:
    spec, request = load(bundle)
    assert spec.oci_version == "1.0.2"
    assert request == Request(id="c1", bundle=str(bundle), rootfs=f"{bundle}/rootfs", directory="/run/lxcri/c1")


def test_bundle_by_a_relative_path(bundle: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(bundle)
    for path in (".", "../bundle/", "rootfs/.."):
        assert load(path)[1].bundle == str(bundle)


def test_last_value_of_a_variable(bundle: Path) -> None:
    """seed: duplicates in process.env."""
    process = load(bundle)[0].process
    assert process is not None
    assert process.env == ["A=3", "B=2"]


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ("", "config.json: input data was truncated"),
        ("{", "config.json: input data was truncated"),
        ('{"ociVersion": tru}', "config.json: JSON is malformed: "),
        ({}, "config.json: $: object missing required field `ociVersion`"),
        ({**CONFIG, "ociVersion": 1}, "config.json: $.ociVersion: expected `str`, got `int`"),
        ({**CONFIG, "ociVersion": "2.0.0"}, 'ociVersion: "2.0.0" is not supported'),
        ({**CONFIG, "root": None}, "root: missing"),
        ({**CONFIG, "process": {"cwd": "/", "env": ["A"]}}, 'process.env[0]: "A" is not of the form name=value'),
        ({**CONFIG, "hostname": "a\0b"}, "config.json: $.hostname: expected `str` without NUL"),
        (
            {**CONFIG, "process": {"cwd": "/", "args": ["a", "\0"]}},
            "config.json: $.process.args[1]: expected `str` without NUL",
        ),
        ({**CONFIG, "annotations": {"a\0": "b"}}, "config.json: $.annotations: expected `str` without NUL"),
    ],
)
def test_configs_that_are_none(bundle: Path, config: Any, text: str) -> None:
    write(bundle, config)
    assert refusal(bundle).startswith(text)


def test_text_that_only_looks_like_a_nul(bundle: Path) -> None:
    """An escaped backslash."""
    write(bundle, {**CONFIG, "hostname": "a\\u0000"})
    assert load(bundle)[0].hostname == "a\\u0000"


def test_config_that_is_not_there(bundle: Path) -> None:
    (bundle / "config.json").unlink()
    assert refusal(bundle) == f"{bundle}/config.json: no such file or directory"
    (bundle / "config.json").mkdir()
    assert refusal(bundle) == f"{bundle}/config.json: is a directory"
    assert refusal(bundle / "gone") == f"{bundle}/gone/config.json: no such file or directory"


def test_config_is_read_whole(bundle: Path) -> None:
    text = json.dumps({**CONFIG, "annotations": {"a": "x" * 3_000_000}})
    write(bundle, text)
    assert read_config(str(bundle)) == text.encode()


# ---- root.path ----


@pytest.mark.parametrize("path", ["rootfs", "./rootfs/", "link", "../bundle/rootfs", "{0}/rootfs", "{0}/link/."])
def test_real_root(bundle: Path, path: str) -> None:
    """Without links, relative to the bundle."""
    (bundle / "link").symlink_to("rootfs")
    assert real_rootfs(str(bundle), path.replace("{0}", str(bundle))) == f"{bundle}/rootfs"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("gone", "no such file or directory"),
        ("config.json", "not a directory"),
        ("config.json/x", "not a directory"),
        ("loop", "too many levels of symbolic links"),
        ("/", "the root file system of the host"),
        ("top", "the root file system of the host"),
        ("../../../../../../../../../..", "the root file system of the host"),
    ],
)
def test_roots_that_cannot_be(bundle: Path, path: str, text: str) -> None:
    (bundle / "loop").symlink_to("loop")
    (bundle / "top").symlink_to("/")
    write(bundle, {**CONFIG, "root": {"path": path}})
    assert refusal(bundle) == f'root.path "{path}": {text}'


# ---- the caller ----


def test_preserved_descriptors(bundle: Path) -> None:
    assert load(bundle, preserve_fds=2)[1].preserve_fds == 2
    assert load(bundle, session_keyring=False)[1].session_keyring is False


@pytest.mark.parametrize(
    ("count", "pid", "passed"),
    [
        ("2", "{pid}", 2),
        ("2", "1", 0),
        ("2", "", 0),
        ("", "{pid}", 0),
        ("x", "{pid}", 0),
        ("-1", "{pid}", 0),
        ("²", "{pid}", 0),
    ],
)
def test_descriptors_for_socket_activation(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, count: str, pid: str, passed: int
) -> None:
    """sd_listen_fds(3): they are those of the process that the variable names. They come before the preserved ones."""
    monkeypatch.setenv("LISTEN_FDS", count)
    monkeypatch.setenv("LISTEN_PID", pid.replace("{pid}", str(os.getpid())))
    assert listen_fds() == passed
    request = load(bundle, preserve_fds=1)[1]
    assert (request.listen_fds, request.preserve_fds) == (passed, passed + 1)


@pytest.mark.parametrize(("value", "notify"), [("/run/x", True), ("@abstract", True), ("", False)])
def test_caller_that_waits_for_a_notification(
    bundle: Path, monkeypatch: pytest.MonkeyPatch, value: str, notify: bool
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", value)
    assert load(bundle)[1].notify is notify


# ---- the configuration ----


def test_hooks_of_the_configuration_come_first(bundle: Path, tmp_path: Path) -> None:
    write(bundle, {**CONFIG, "hooks": {"prestart": [{"path": "/b"}], "poststop": [{"path": "/c"}]}})
    configuration = tmp_path / "lxcri.json"
    configuration.write_text('{"hooks": {"prestart": [{"path": "/a", "timeout": 5}]}}')
    spec = load(bundle, config=str(configuration))[0]
    assert spec.hooks == Hooks(prestart=[Hook("/a", timeout=5), Hook("/b")], poststop=[Hook("/c")])


@pytest.mark.parametrize(
    ("option", "configured", "value"),
    [(None, None, True), (None, False, False), (True, False, True), (False, True, False), (False, None, False)],
)
def test_option_has_precedence(
    bundle: Path, tmp_path: Path, option: bool | None, configured: bool | None, value: bool
) -> None:
    configuration = tmp_path / "lxcri.json"
    configuration.write_text("{}" if configured is None else json.dumps({"seccomp": configured}))
    request = load(bundle, config=str(configuration), seccomp=option)[1]
    assert request.seccomp is value
    assert request.apparmor
    assert request.capabilities
    assert request.cgroup_devices
