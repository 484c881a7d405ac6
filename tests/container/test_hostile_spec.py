"""Specs, names and identifiers that were made to confuse: each is taken as it is, or refused with one line."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from oci.bundle import Bundle
    from oci.runtime import Result

PATIENCE = 10.0

NAMES = [
    "new\nline",
    "spa ce",
    " ",
    "tab\t",
    "\\",
    "\\040",
    'quo"te',
    "qu'ote",
    "$(touch x)",
    "`touch x`",
    "%s%n",
    "#x",
    "a=b",
    "a,b",
    "a:b",
    "-rf",
    "\x01\x7f",
    "é😀",
    "\u202e",
    "x" * 255,
]


def decided(result: Result) -> bool:
    """Whether it succeeded; if not, in one line."""
    if result.returncode:
        assert result.returncode == 1, str(result)
        if result.strict:
            assert len(result.stderr.splitlines()) == 1, str(result)
            assert "internal error" not in result.stderr, str(result)
            assert "Traceback" not in result.stderr, str(result)
    return result.returncode == 0


@pytest.mark.parametrize("hooks", [False, True])
def test_names_of_mounts(bundle: Bundle, hooks: bool) -> None:
    """As targets and as sources, a directory or a file: what is mounted is what was named."""
    if hooks:
        bundle.config["hooks"] = {"createContainer": [{"path": "/bin/true"}]}
    for number, name in enumerate(NAMES):
        source = bundle.file(f"sources/{number}-{name[:200]}", f"{number}")
        bundle.bind(source, f"/srv/{name}")
    container = bundle.container("/bin/sleep", "100").up()
    for number, name in enumerate(NAMES):
        with open(container.path(f"/srv/{name}")) as file:
            assert file.read() == str(number), repr(name)


@pytest.mark.runc_differs("1.1: other texts", strict=False)
@pytest.mark.parametrize("name", NAMES)
def test_names_of_roots_and_bundles(bundle: Bundle, name: str) -> None:
    """root.path, of which liblxc's items are made."""
    os.rename(bundle.rootfs, os.path.join(bundle.path, name))
    bundle.rootfs = os.path.join(bundle.path, name)
    bundle.config["root"]["path"] = name
    bundle.config["hooks"] = {"createContainer": [{"path": "/bin/true"}]}
    result = bundle.run("/bin/echo", "inside")
    assert not os.path.exists(os.path.join(bundle.path, "x"))
    if decided(result):
        assert result.stdout == "inside\n"
    else:
        assert "root.path" in result.message


@pytest.mark.runc_differs("1.1: other escapes", strict=False)
def test_names_of_everything_else(bundle: Bundle) -> None:
    """Arguments, environment, host name, cwd, annotations."""
    bundle.process["args"] = ["/bin/sh", "-c", 'for a in "$@"; do printf "<%s>" "$a"; done', "sh", *NAMES, ""]
    bundle.process["env"] = ["PATH=/bin", *(f"V{number}={name}" for number, name in enumerate(NAMES))]
    bundle.config["annotations"] = {name: name for name in NAMES}
    os.mkdir(os.path.join(bundle.rootfs, "new\nline $(x)"))
    bundle.process["cwd"] = "/new\nline $(x)"
    assert bundle.run().ok().stdout == "".join(f"<{name}>" for name in [*NAMES, ""])
    container = bundle.container("/bin/sleep", "100").up()
    state = container.state()
    assert all(state["annotations"][name] == name for name in NAMES)
    assert (
        dict(line.partition("=")[::2] for line in container.proc("environ").split("\0")[:-1])
        == {
            "PATH": "/bin",
            "HOME": "/root",
            **{f"V{number}": name for number, name in enumerate(NAMES)},
        }
        or not bundle.runtime.is_lxcri
    )


TOO_LONG = "/" + "/".join(["x" * 200] * 25)  # more than 4096 bytes

PLACES = [
    ("root", "path"),
    ("process", "cwd"),
    ("process", "args", 0),
    ("process", "env", 0),
    ("mounts", 0, "destination"),
    ("mounts", 5, "source"),
    ("mounts", 1, "options", 0),
    ("hostname",),
    ("linux", "cgroupsPath"),
    ("linux", "maskedPaths", 0),
    ("linux", "readonlyPaths", 0),
    ("linux", "devices", 0, "path"),
    ("linux", "rootfsPropagation"),
    ("linux", "namespaces", 0, "path"),
    ("hooks", "createRuntime", 0, "path"),
    ("linux", "sysctl", "net.ipv4.ip_forward"),
]


@pytest.mark.runc_differs("1.1 cuts some of them at the NUL", strict=False)
@pytest.mark.parametrize("value", ["/a\0b", TOO_LONG, "x" * 300, "/../../../../etc", "\udc80", ""])
@pytest.mark.parametrize("place", PLACES, ids=lambda place: ".".join(map(str, place)))
def test_values_that_are_no_names(bundle: Bundle, place: tuple[str | int, ...], value: str) -> None:
    """NUL, 4096 bytes, way up, a surrogate, nothing: refused in one line, or harmless."""
    bundle.linux.update(
        maskedPaths=["/proc/kcore"],
        readonlyPaths=["/proc/sys"],
        devices=[{"path": "/dev/x", "type": "c", "major": 1, "minor": 3}],
        cgroupsPath="/x",
        rootfsPropagation="private",
        sysctl={"net.ipv4.ip_forward": "0"},
    )
    bundle.config["hooks"] = {"createRuntime": [{"path": "/bin/true"}]}
    at = bundle.config
    for step in place[:-1]:
        at = at[step]
    if place == ("linux", "cgroupsPath") and "\0" not in value:
        value = f"/{bundle.runtime.new_id()}{value}"
    at[place[-1]] = value
    before = set(os.listdir("/"))
    result = bundle.run("/bin/true") if place[:2] != ("process", "args") else bundle.run_as_is()
    decided(result)
    if "\0" in value:
        assert result.returncode != 0, str(result)
    assert set(os.listdir("/")) == before


def raw(bundle: Bundle, text: bytes) -> Result:
    """``run`` exactly these bytes."""
    bundle.config = None
    with open(os.path.join(bundle.path, "config.json"), "wb") as file:
        file.write(text)
    return bundle.runtime.call("run", "--bundle", bundle.path, bundle.runtime.new_id(), timeout=PATIENCE)


def document(bundle: Bundle, **more: str) -> bytes:
    """The default config with members whose text is given."""
    text = json.dumps(bundle.config)
    return (text[:-1] + "".join(f', "{name}": {value}' for name, value in more.items()) + "}").encode()


@pytest.mark.parametrize("place", ["unknown", "annotations", "mounts", "process"])
@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_depth(bundle: Bundle, place: str, brackets: str) -> None:
    """10,000 levels: ignored where nobody looks, refused elsewhere; never a crash."""
    depth = 10_000
    text = "[" * depth + "]" * depth if brackets == "[]" else '{"a":' * depth + "1" + "}" * depth
    result = raw(bundle, document(bundle, **{place: text}))
    if not decided(result) and result.strict:
        assert "config.json" in result.stderr


@pytest.mark.parametrize(
    "number", ["1e400", "-1e400", "9" * 5000, "1." + "0" * 5000, "-0", "1e2", "18446744073709551616", "NaN"]
)
@pytest.mark.parametrize("place", ["uid", "limit", "major", "unknown"])
def test_numbers(bundle: Bundle, place: str, number: str) -> None:
    """Which no type holds."""
    bundle.linux["devices"] = [{"path": "/dev/x", "type": "c", "major": 77777, "minor": 3}]
    bundle.process["user"]["uid"] = 77777
    bundle.resources["memory"] = {"limit": 77777 << 20}
    old = {
        "uid": '"uid": 77777',
        "limit": f'"limit": {77777 << 20}',
        "major": '"major": 77777',
        "unknown": '"uid": 77777',
    }
    new = {"uid": '"uid": N', "limit": '"limit": N', "major": '"major": N', "unknown": '"uid": 0, "unknown": N'}
    text = json.dumps(bundle.config)
    assert old[place] in text
    decided(raw(bundle, text.replace(old[place], new[place].replace("N", number)).encode()))


def test_duplicate_keys(bundle: Bundle) -> None:
    """The last one counts, as everywhere: what a reader of the document sees is what is applied."""
    result = raw(
        bundle,
        document(
            bundle,
            hostname='"first", "hostname": "second"',
            process=json.dumps(bundle.process | {"args": ["/bin/hostname"]}),
        ),
    )
    if decided(result):
        assert result.stdout == "second\n"


@pytest.mark.parametrize(
    "identity",
    [
        "..",
        ".",
        "/",
        "/etc",
        "../x",
        "a/b",
        "a/../b",
        "",
        "\n",
        "a\nb",
        " ",
        "@seccomp",
        "x" * 4096,
        "é",
        b"\xff",
        "a:b",
    ],
)
@pytest.mark.parametrize(
    "verb", ["create", "run", "start", "state", "kill", "delete", "exec", "pause", "resume", "update", "ps", "events"]
)
@pytest.mark.lxcri_only(
    "others remove or make what the path names",
)
def test_ids_that_are_paths(bundle: Bundle, verb: str, identity: str | bytes) -> None:
    """Refused by every verb, before any file is looked at."""
    bundle.write()
    more = {"create": ["--bundle", bundle.path], "run": ["--bundle", bundle.path], "delete": ["--force"]}.get(verb, [])
    last = ["true"] if verb == "exec" else []
    text = os.fsdecode(identity)
    before = sorted(os.listdir(bundle.runtime.work)), sorted(os.listdir(os.path.dirname(bundle.runtime.root)))
    result = bundle.runtime.call(verb, *more, "--", text, *last, timeout=PATIENCE)
    assert result.returncode != 0, str(result)
    assert "container id" in result.stderr, str(result)
    assert (sorted(os.listdir(bundle.runtime.work)), sorted(os.listdir(os.path.dirname(bundle.runtime.root)))) == before


@pytest.mark.runc_differs("1.1 puts U+FFFD in their place", strict=False)
@pytest.mark.parametrize("member", ["hostname", "args", "destination"])
def test_bytes_that_are_not_utf_8(bundle: Bundle, member: str) -> None:
    """JSON is UTF-8 (RFC 8259, section 8.1): refused, with the file's name."""
    bundle.mount("/srv/X0", "tmpfs", "tmpfs")
    bundle.process["args"] = ["/bin/echo", "X1"]
    bundle.config["hostname"] = "X2"
    place = {"destination": b"X0", "args": b"X1", "hostname": b"X2"}[member]
    result = raw(bundle, json.dumps(bundle.config).encode().replace(place, b"\xff\xfe"))
    assert not decided(result)
    result.refused(where="config.json")


@pytest.mark.parametrize("name", [b"\xff", b"a\xc3", b"\xed\xb2\x80"])
def test_bundles_whose_names_are_not_utf_8(bundle: Bundle, name: bytes) -> None:
    """Names of files are bytes: the container runs, or it is said in one line why not."""
    path = os.path.join(bundle.path, os.fsdecode(name))
    os.mkdir(path)
    os.rename(bundle.rootfs, os.path.join(path, "rootfs"))
    bundle.process["args"] = ["/bin/echo", "here"]
    with open(os.path.join(path, "config.json"), "w") as file:
        json.dump(bundle.config, file)
    result = bundle.runtime.call("run", "--bundle", path, bundle.runtime.new_id(), timeout=PATIENCE)
    if decided(result):
        assert result.stdout == "here\n"
