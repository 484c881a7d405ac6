"""compile: hooks of all six kinds, and those that the runtime itself adds."""

from __future__ import annotations

import pytest
from oci.compiling import Json, change, refusal

from lxcri.compile.hooks import KINDS, hooks_of, merge_hooks, needs_pre_pivot
from lxcri.compile.options import ATTR_RDONLY
from lxcri.spec import Hook, Hooks

WRITABLE = ("attributes", "root", ("/", 0, ATTR_RDONLY, 0))


def hooks(kind: str, *found: Json) -> Json:
    return {"hooks": {kind: list(found)}}


@pytest.mark.parametrize("kind", ["prestart", "createRuntime"])
def test_hooks_of_the_runtimes_namespace(kind: str) -> None:
    """The runtime runs them, once the mounts are made but before the pivot."""
    two: list[Json] = [{"path": "/a", "args": ["a", "b"], "env": ["A=1"], "timeout": 9}, {"path": "/b"}]
    assert change(hooks(kind, *two)) == {
        "runtime_hooks": [
            (f'hooks.{kind}[0] "/a"', Hook("/a", args=["a", "b"], env=["A=1"], timeout=9)),
            (f'hooks.{kind}[1] "/b"', Hook("/b")),
        ],
        "root": [WRITABLE],
        "pre_pivot": True,
    }


def test_prestart_hooks_come_first() -> None:
    found = change({"hooks": {"createRuntime": [{"path": "/b"}], "prestart": [{"path": "/a"}]}})
    subjects = [subject for subject, _ in found["runtime_hooks"]]
    assert subjects == ['hooks.prestart[0] "/a"', 'hooks.createRuntime[0] "/b"']


def test_create_container_hooks() -> None:
    """lxcri-init runs them, in the container's namespaces, before the pivot."""
    found = change(hooks("createContainer", {"path": "/a", "args": ["a", ""], "env": ["A=", "B=x=y"], "timeout": 9}))
    assert found == {
        "create_container": [("hook", 'hooks.createContainer[0] "/a"', ("/a", ["a", ""], ["A=", "B=x=y"], 9000))],
        "root": [WRITABLE],
        "pre_pivot": True,
    }


def test_start_container_hooks() -> None:
    """lxcri-init runs them when the container is started; nothing has to be seen before the pivot."""
    found = change(hooks("startContainer", {"path": "/a"}, {"path": "/b", "timeout": 1}))
    assert found == {
        "start": [
            ("hook", 'hooks.startContainer[0] "/a"', ("/a", ["/a"], [], 0)),
            ("hook", 'hooks.startContainer[1] "/b"', ("/b", ["/b"], [], 1000)),
        ]
    }


@pytest.mark.parametrize("kind", ["poststart", "poststop"])
def test_hooks_of_later_verbs(kind: str) -> None:
    assert change(hooks(kind, {"path": "/a"})) == {}


def test_longest_timeout() -> None:
    """No number of milliseconds is cut."""
    found = change(hooks("startContainer", {"path": "/a", "timeout": 2**64 - 1}))
    assert found["start"][0][2][3] == 2**64 - 1


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("hook", "text"),
    [
        ({"path": "bin/x"}, '.path: "bin/x" is not absolute'),
        ({"path": ""}, '.path: "" is not absolute'),
        ({"path": "/x", "args": [""]}, ' "/x": args[0]: empty'),
        ({"path": "/x", "env": ["A=1", "B"]}, ' "/x": env[1]: "B" is not of the form name=value'),
        ({"path": "/x", "env": ["=1"]}, ' "/x": env[0]: "=1" is not of the form name=value'),
    ],
)
def test_hooks_that_cannot_be(kind: str, hook: Json, text: str) -> None:
    assert refusal(hooks(kind, {"path": "/ok"}, hook)) == f"hooks.{kind}[1]{text}"


def test_kinds() -> None:
    """Those of the document, in the order of a container's life."""
    assert list(KINDS) == ["prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"]
    assert set(KINDS.values()) == set(Hooks.__struct_fields__)


@pytest.mark.parametrize(
    ("kind", "needed"),
    [
        ("prestart", True),
        ("create_runtime", True),
        ("create_container", True),
        ("start_container", False),
        ("poststart", False),
        ("poststop", False),
    ],
)
def test_hooks_before_the_pivot(kind: str, needed: bool) -> None:
    assert needs_pre_pivot(Hooks(**{kind: [Hook("/a")]})) is needed


def test_no_hooks() -> None:
    assert not needs_pre_pivot(None)
    assert not needs_pre_pivot(Hooks())
    assert hooks_of(None, "prestart") == []


def test_merged_hooks() -> None:
    """seed: those of the runtime come first, for each kind; neither list is changed."""
    first = Hooks(prestart=[Hook("/a")], poststop=[Hook("/b")])
    second = Hooks(prestart=[Hook("/c"), Hook("/d")], poststart=[Hook("/e")])
    assert merge_hooks(first, second) == Hooks(
        prestart=[Hook("/a"), Hook("/c"), Hook("/d")], poststart=[Hook("/e")], poststop=[Hook("/b")]
    )
    assert first == Hooks(prestart=[Hook("/a")], poststop=[Hook("/b")])
    assert merge_hooks(first, None) is first
    assert merge_hooks(None, second) is second
    assert merge_hooks(None, None) is None
