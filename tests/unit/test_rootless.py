"""Rules for who is not root: ids, what can be mounted, where a cgroup can be made."""

from __future__ import annotations

import os
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, strategies as st
from oci.compiling import HYBRID, NONE, V1, V2, Json, compiled, merged, mount, mounts, namespaces

from lxcri import host as host_module, rootless
from lxcri.cgroup import UNIFIED
from lxcri.cgroup.layout import Layout
from lxcri.context import Context
from lxcri.errors import Error
from lxcri.spec import IDMapping, Linux, Namespace, Spec
from lxcri.state import State

if TYPE_CHECKING:
    from pathlib import Path

RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 10)), max_size=8)


@given(RANGES)
def test_merged_ranges(ranges: list[tuple[int, int]]) -> None:
    """The same ids; no two ranges overlap or touch."""
    found = rootless._merged(ranges)
    assert {i for start, count in found for i in range(start, start + count)} == {
        i for start, count in ranges for i in range(start, start + count)
    }
    assert all(start + count < following for (start, count), (following, _) in pairwise(found))


def test_subordinate_ids(tmp_path: Path) -> None:
    """Lines by name and by number; what is no line of subuid(5) is passed over."""
    path = tmp_path / "subuid"
    path.write_text("root:100:10\n0:200:20\nother:300:30\n\n# x\nroot:x:1\nroot:1\nroot:400:40:4\n 0:500:50 \n")
    assert rootless.subordinate_ids(str(path), 0) == [(100, 10), (200, 20), (500, 50)]
    assert rootless.subordinate_ids(str(tmp_path / "missing"), 0) == []


@pytest.mark.parametrize(("uids", "gids"), [(True, True), (True, False), (False, True), (False, False)])
def test_own_mappings(uids: bool, gids: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The own id, then the subordinate ones; uids without gids are no use."""
    monkeypatch.setattr(rootless, "find_executable", lambda name: name)
    given_ids = {"/etc/subuid": [(100, 10), (200, 20)] if uids else [], "/etc/subgid": [(300, 30)] if gids else []}
    monkeypatch.setattr(rootless, "subordinate_ids", lambda path, _: given_ids[path])
    found = rootless.own_mappings(7, 8)
    if uids and gids:
        assert found == ([IDMapping(0, 7, 1), IDMapping(1, 100, 10), IDMapping(11, 200, 20)],
                         [IDMapping(0, 8, 1), IDMapping(1, 300, 30)])  # fmt: skip
    else:
        assert found == ([IDMapping(0, 7, 1)], [IDMapping(0, 8, 1)])


def test_root_has_its_own_id_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """As runc has it in `spec --rootless`."""
    monkeypatch.setattr(rootless, "subordinate_ids", lambda *_: [(100, 10)])
    assert rootless.own_mappings(0, 0) == ([IDMapping(0, 0, 1)], [IDMapping(0, 0, 1)])


def spec_with(*found: Namespace, uids: list[IDMapping] | None = None) -> Spec:
    """A spec with these namespaces."""
    return Spec("1.0.2", linux=Linux(namespaces=list(found), uid_mappings=uids or [], gid_mappings=uids or []))


def test_completion(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user namespace and mappings where there are none; what is wanted beside the own ids."""
    monkeypatch.setattr(rootless, "own_mappings", lambda uid, gid: ([IDMapping(0, uid, 1)], [IDMapping(0, gid, 1)]))
    spec = spec_with()
    assert rootless._complete(spec, (7, 8)) == [[], []]
    assert spec.linux is not None
    assert [n.type for n in spec.linux.namespaces] == ["user"]
    assert (spec.linux.uid_mappings, spec.linux.gid_mappings) == ([IDMapping(0, 7, 1)], [IDMapping(0, 8, 1)])
    spec = spec_with(Namespace(type="user"), uids=[IDMapping(0, 7, 1), IDMapping(1, 100, 5)])
    assert rootless._complete(spec, (7, 8)) == [[(100, 5)], [(7, 1), (100, 5)]]
    with pytest.raises(Error, match=r"linux\.namespaces: only root"):
        rootless._complete(spec_with(Namespace(type="user", path="/proc/1/ns/user")), (7, 8))
    with pytest.raises(Error, match="linux: missing"):
        rootless._complete(Spec("1.0.2"), (7, 8))


USER: Json = {
    "linux": {
        "uidMappings": [{"containerID": 0, "hostID": 7, "size": 1}, {"containerID": 1, "hostID": 100, "size": 5}],
        "gidMappings": [{"containerID": 0, "hostID": 8, "size": 1}],
    }
}


def test_renamed_ids() -> None:
    """The mappings are those that the runtime's own user namespace has; the document's host ids are the host's."""
    plan = compiled(
        merged(namespaces("pid", "network", "ipc", "uts", "mount", "user"), USER), host_renamed=((7, 0), (8, 0))
    )
    assert [value for key, value in plan.items if key == "lxc.idmap"] == ["u 0 0 1", "u 1 100 5", "g 0 0 1"]
    assert plan.host.id_mappings == ("0 0 1\n1 100 5\n", "0 0 1\n")
    assert plan.host.stdio_owner == (0, 0)


KINDS = {"proc": ("pid", "/proc"), "sysfs": ("network", "/sys"), "mqueue": ("ipc", "/dev/mqueue")}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("user", "new", "owned", "bound"),
    [
        (True, True, False, False),
        (True, False, True, True),  # what the container's user namespace does not get new is not its own
        (False, True, False, False),
        (False, False, True, False),
        (False, False, False, True),
    ],
)
def test_file_systems_of_namespaces(kind: str, user: bool, new: bool, owned: bool, bound: bool) -> None:
    """They can be mounted where the container's user namespace owns what they show; elsewhere the host's is bound."""
    shown, source = KINDS[kind]
    names = [name for name in ("pid", "network", "ipc", "uts", "mount") if new or name != shown]
    found = namespaces(*names, *(["user"] if user else []))
    fragment = merged(merged(found, mount("/x", kind, "ro", "nosuid")), USER if user else {})
    plan = compiled(fragment, host_owned=(shown,) if owned else (), host_empty_proc="srv")
    trees = [tree for tree in plan.host.trees if tree.subject == 'mounts[1] "/x"']
    assert [tree.source for tree in trees] == ([source] if bound else [])
    assert all(tree.recursive and tree.set & 1 and tree.recursive_set & 1 for tree in trees)


def test_proc_of_the_host() -> None:
    """liblxc gets a bind mount of it, and sees itself there; it is gone before the container's own mounts."""
    fragment = merged(namespaces("network", "ipc", "uts", "mount", "user"), USER)
    plan = compiled(fragment)
    assert [value for key, value in plan.items if key == "lxc.mount.entry"] == ["/proc proc none rbind 0 0"]
    assert plan.host.proc_directory == "proc"
    assert ("detach", "the helper's proc", ("/proc",)) in plan.program["mounts"]


def test_cgroup_mount_without_cgroup() -> None:
    """The caller's directories are shown; a new cgroup namespace shows itself."""
    cgroups = mounts({"destination": "/c", "type": "cgroup"})
    without = merged(namespaces("pid", "network", "ipc", "uts", "mount"), cgroups)
    sources = {
        t.source: t.cgroup
        for t in compiled(without, layout=NONE, host_shown=V1).host.trees
        if t.subject[:6] == "mounts"
    }
    assert set(sources) == set(V1.own.values())
    assert set(sources.values()) == {""}
    assert not [t for t in compiled(cgroups, layout=NONE, host_shown=V1).host.trees if t.subject[:6] == "mounts"]


def test_warning_without_cgroup() -> None:
    """It is said that there is none."""
    assert compiled({}, layout=NONE, host_shown=V2).warnings == [
        "linux.cgroupsPath: no cgroup can be made by this user, the container stays in the caller's"
    ]
    assert compiled({}, layout=NONE).warnings == []


@pytest.mark.parametrize("layout", [V1, HYBRID, V2])
def test_layout_without(layout: Layout) -> None:
    """Nothing is left of a hierarchy."""
    name = "memory" if layout is not V2 else UNIFIED
    less = layout.without([name])
    assert name in layout
    assert name not in less
    assert name not in less.own
    assert less.mode == {"v1": "v1", "hybrid": "hybrid", "v2": "none"}[layout.mode]
    assert HYBRID.without([UNIFIED]).mode == "v1"


@pytest.mark.parametrize(
    ("writable", "path", "found"),
    [
        ((), "/own/c", False),
        (("own",), "/own/c", False),  # cgroup2 wants the right to move processes from where the caller is
        (("own", "own/cgroup.procs"), "/own/c", True),
        (("own", "own/cgroup.procs"), "/own/a/b", True),
        (("own", "own/cgroup.procs"), "/other/c", False),
        (("own", "own/cgroup.procs", "other"), "/other/c", False),
        (("own", "own/cgroup.procs", "other", "cgroup.procs"), "/other/c", True),
        (("own", "own/cgroup.procs", "own/there"), "/own/there", False),
        (("own", "own/cgroup.procs", "own/there/cgroup.procs"), "/own/there", True),
    ],
)
def test_where_a_cgroup_can_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writable: tuple[str, ...], path: str, found: bool
) -> None:
    """By the rights to files alone."""
    top = str(tmp_path)
    for name in "own", "other", "own/there":
        os.mkdir(f"{top}/{name}")
    rights = {os.path.normpath(f"{top}/{name}") for name in writable}
    monkeypatch.setattr(host_module, "_is_writable", lambda path: os.path.normpath(path) in rights)
    layout = Layout({}, top, (), {UNIFIED: f"{top}/own"})
    assert (host_module._usable(layout, path, "c1").mode == "v2") is found


def test_hooks_of_who_stayed_go_through_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once the runtime has left the caller's namespaces."""
    from lxcri import hooks
    from lxcri.spec import Hook

    calls: list[str] = []

    class Outside:
        def run_hook(self, subject: str, *_: object) -> None:
            calls.append(f"outside {subject}")

    monkeypatch.setattr(hooks, "run_hook", lambda subject, *_: calls.append(subject))
    ctx = Context("test")
    hooks.run_outside(ctx, "here", Hook("/x"), b"", "/")
    ctx.outside = Outside()  # type: ignore[assignment]
    hooks.run_outside(ctx, "there", Hook("/x"), b"", "/")
    assert calls == ["here", "outside there"]


class Cgroup:
    """One that the caller may not move processes to, until somebody else has."""

    def __init__(self, attached: list[object]) -> None:
        self.attached = attached

    def place(self, pid: int, *, beside: int | None) -> None:
        """Cgroup.place."""
        del beside
        if not self.attached:
            raise Error(f"cgroup: move process {pid}: permission denied")


@pytest.mark.parametrize("unit", ["user x.scope", "system x.scope", ""])
def test_exec_from_a_cgroup_that_is_not_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, unit: str) -> None:
    """The user's systemd moves the process, as it did with the container's first one; nobody else does."""
    from oci.systemd import MANAGER, Call, FakeSystemd

    from lxcri.execution import Execution

    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.delenv("DBUS_SESSION_BUS_ADDRESS", raising=False)
    state = State(
        id="c", oci_version="1.0.2", bundle="/b", rootfs="/b/r", pid=7, start_time=1, created="", unit=unit
    )  # fmt: skip
    execution = Execution(Context("exec"), None, state, -1)  # type: ignore[arg-type]
    execution.pid = 8
    systemd = FakeSystemd(f"{tmp_path}/bus")
    try:
        cgroup = Cgroup(systemd.calls)  # type: ignore[arg-type]
        if unit.startswith("user"):
            execution._place(cgroup)  # type: ignore[arg-type]
        else:
            with pytest.raises(Error, match="permission denied"):
                execution._place(cgroup)  # type: ignore[arg-type]
    finally:
        systemd.close()
        execution._channel.close()
    expected = [Call(MANAGER, "AttachProcessesToUnit", ["x.scope", "", [8]])] if unit.startswith("user") else []
    assert systemd.calls == expected
