"""What bad input gets: one line that says what, where and why, exit 1, and nothing left behind."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from oci.bundle import Bundle
    from oci.runtime import Result

VERBS = ["create", "run"]


@pytest.mark.parametrize("verb", VERBS)
def test_missing_config(bundle: Bundle, verb: str) -> None:
    """A bundle without config.json."""
    result = bundle.runtime.call(verb, "--bundle", bundle.path, bundle.runtime.new_id())
    result.refused("config.json", where="no such file or directory")


@pytest.mark.parametrize("verb", VERBS)
def test_missing_bundle(bundle: Bundle, verb: str) -> None:
    """The directory does not exist."""
    result = bundle.runtime.call(verb, "--bundle", "/no/such/bundle", bundle.runtime.new_id())
    result.refused("no such file or directory", where="/no/such/bundle")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '"text"',
        '{"ociVersion": "1.0.2",}',
        "\x00",
        "{} {}",
        pytest.param("null", marks=pytest.mark.runc_differs("1.1 panics")),
    ],
)
def test_broken_config(bundle: Bundle, text: str) -> None:
    """No JSON, or not an object."""
    bundle.config = text
    bundle.run_as_is().refused(where="config.json")


def test_config_that_is_a_directory(bundle: Bundle) -> None:
    """The reason is in the message."""
    bundle.config = None
    os.mkdir(os.path.join(bundle.path, "config.json"))
    bundle.run_as_is().refused("is a directory", where="config.json")


def test_config_that_is_not_utf8(bundle: Bundle) -> None:
    """JSON is UTF-8."""
    bundle.config = None
    with open(os.path.join(bundle.path, "config.json"), "wb") as file:
        file.write(b'{"ociVersion": "\xff\xfe"}')
    bundle.run_as_is().refused(where="config.json")


@pytest.mark.parametrize(
    ("path", "value", "where"),
    [
        (["ociVersion"], 1, "$.ociVersion"),
        (["process"], "text", "$.process"),
        (["process", "args"], "true", "$.process.args"),
        (["process", "args", 0], 5, "$.process.args[0]"),
        (["process", "terminal"], "yes", "$.process.terminal"),
        (["process", "user", "uid"], "0", "$.process.user.uid"),
        (["process", "user", "uid"], -1, "$.process.user.uid"),
        (["process", "user", "uid"], 2**32, "$.process.user.uid"),
        (["process", "env"], {"A": "1"}, "$.process.env"),
        (["root", "readonly"], 1, "$.root.readonly"),
        (["mounts", 0, "options"], "ro", "$.mounts[0].options"),
        (["mounts", 2, "destination"], None, "$.mounts[2]"),
        (["linux", "namespaces", 1, "type"], 7, "$.linux.namespaces[1].type"),
        (["linux", "resources", "pids"], {"limit": "many"}, "$.linux.resources.pids.limit"),
        (["linux", "resources", "devices", 0, "allow"], "no", "$.linux.resources.devices[0].allow"),
        (["annotations"], {"a": 1}, "$.annotations"),
        (["hooks"], {"prestart": {"path": "/x"}}, "$.hooks.prestart"),
    ],
)
def test_wrong_type_is_named_by_its_path(bundle: Bundle, path: list[str | int], value: Any, where: str) -> None:
    """The JSON path says where."""
    place: Any = bundle.config
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    bundle.write()
    result = bundle.run_as_is()
    if bundle.runtime.is_lxcri:
        result.refused("config.json", where=where)
    elif value is not None:
        assert result.returncode != 0, str(result)


@pytest.mark.runc_differs("1.1 does not look at it")
@pytest.mark.parametrize("version", ["2.0.0", "0.9.0", "1", "", "one", "1.0.x", "10.0.0"])
def test_unsupported_version(bundle: Bundle, version: str) -> None:
    """Another major version, or none at all."""
    bundle.config["ociVersion"] = version
    bundle.run().refused(where="ociVersion")


@pytest.mark.runc_differs("1.1 does not look at it")
def test_missing_version(bundle: Bundle) -> None:
    """ociVersion is required."""
    del bundle.config["ociVersion"]
    bundle.run().refused(where="ociVersion")


@pytest.mark.parametrize("version", ["1.0.0", "1.0.2-dev", "1.1.0-rc.1", "1.2.1", "1.3.0"])
def test_supported_version(bundle: Bundle, version: str) -> None:
    """All of major version 1."""
    bundle.config["ociVersion"] = version
    bundle.run().ok()


def test_unknown_properties_are_ignored(bundle: Bundle) -> None:
    """config.md, Extensibility: runtimes MUST NOT generate an error."""
    bundle.config["unknown"] = {"a": 1}
    bundle.process["unknown"] = [1]
    bundle.linux["unknown"] = None
    bundle.config["mounts"][0]["unknown"] = True
    bundle.run().ok()


def test_null_is_the_same_as_absent(bundle: Bundle) -> None:
    """As Go writes what is not set."""
    bundle.config.update(hooks=None, annotations=None)
    bundle.process.update(rlimits=None, apparmorProfile="", selinuxLabel="")
    bundle.linux.update(sysctl=None, seccomp=None, devices=None, maskedPaths=None, readonlyPaths=None, uidMappings=None)
    bundle.config["mounts"][0]["options"] = None
    bundle.run().ok()


def test_missing_process(bundle: Bundle) -> None:
    """There is nothing to start."""
    del bundle.config["process"]
    bundle.run().refused(where="process")


@pytest.mark.runc_differs("crashes, or mounts in the host's namespace", run=False)
def test_missing_linux(bundle: Bundle) -> None:
    """linux is optional: the container has the caller's namespaces, its own root, and a cgroup."""
    del bundle.config["linux"], bundle.config["hostname"]
    bundle.config["mounts"] = [mount for mount in bundle.config["mounts"] if mount["type"] == "proc"]
    assert bundle.sh("ls -d /bin") == "/bin\n"


def test_large_config(bundle: Bundle) -> None:
    """A megabyte of annotations."""
    bundle.config["annotations"] = {f"key-{number}": "x" * 1000 for number in range(1000)}
    container = bundle.container("/bin/true")
    container.create()
    assert len(container.state()["annotations"]) >= 1000


def test_many_mounts(bundle: Bundle) -> None:
    """Hundreds, as with many secrets in a pod."""
    source = bundle.file("secret", "s\n")
    for number in range(300):
        bundle.bind(source, f"/srv/{number}", "ro")
    assert bundle.sh("cat /srv/299") == "s\n"


def many_mounts(bundle: Bundle, limit: str) -> Result:
    """Run a container with hundreds of mounts by a runtime with this limit of open files."""
    source = bundle.file("secret", "s\n")
    for number in range(300):
        bundle.bind(source, f"/srv/{number}", "ro")
    return bundle.run("/bin/cat", "/srv/299", wrapper=("/bin/sh", "-c", f'ulimit {limit}; exec "$@"', "sh"))


def test_many_mounts_with_few_descriptors(bundle: Bundle) -> None:
    """The runtime's soft limit of open files is no limit of mounts."""
    assert many_mounts(bundle, "-S -n 64").ok().stdout == "s\n"


def test_many_mounts_with_a_hard_limit_of_descriptors(bundle: Bundle) -> None:
    """Nor is the hard one, for who may raise it (CAP_SYS_RESOURCE); else the error names the mount."""
    result = many_mounts(bundle, "-n 64")
    if result.returncode:
        result.refused("too many open files", where="mounts[")
    else:
        assert result.stdout == "s\n"


def test_unknown_verb(bundle: Bundle) -> None:
    """Not zero."""
    assert bundle.runtime.call("frobnicate").returncode != 0


@pytest.mark.parametrize("verb", ["create", "start", "state", "kill", "delete"])
def test_missing_id(bundle: Bundle, verb: str) -> None:
    """Not zero."""
    assert bundle.runtime.call(verb).returncode != 0


@pytest.mark.parametrize("verb", ["create", "start", "state", "delete", "list"])
def test_unknown_option(bundle: Bundle, verb: str) -> None:
    """Not zero, and the option is in the message."""
    result = bundle.runtime.call(verb, "--frobnicate", "x")
    assert result.returncode != 0
    assert "frobnicate" in result.stdout + result.stderr


def test_state_directory_that_cannot_be_made(bundle: Bundle) -> None:
    """--root below a file."""
    bundle.write()
    path = bundle.file("flat")
    result = bundle.runtime.call("create", "--bundle", bundle.path, "x", options=("--root", os.path.join(path, "root")))
    result.refused("not a directory", where=path)


def test_failures_leave_nothing(bundle: Bundle) -> None:
    """At every stage; the check after the test looks for more than the state directory."""
    good = json.dumps(bundle.config)
    for path, value in (
        (("process", "args"), ["/no/such"]),
        (("process", "cwd"), "relative"),
        (("linux", "namespaces"), [{"type": "mount"}, {"type": "network", "path": "/no/such"}]),
        (("linux", "sysctl"), {"net.no.such": "1"}),
        (("linux", "cgroupsPath"), "/lxcri-test/\0"),
        (("linux", "resources"), {"cpu": {"cpus": "999"}}),
        (("linux", "maskedPaths"), ["/bin/busybox/x"]),
    ):
        bundle.config = json.loads(good)
        bundle.config[path[0]][path[1]] = value
        bundle.run()
        assert bundle.runtime.containers() == [], path
