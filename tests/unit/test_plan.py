"""The Plan as a whole: of what engines write, of what nobody would, and as `lxcri plan` prints it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from oci.compiling import HYBRID, MINIMAL, V1, V2, Json, as_json, check_plan, compiled, merged, program_of

import build_ffi
from lxcri.bundle import load_bundle
from lxcri.compile import Host, Request, compile_plan
from lxcri.compile.capabilities import NUMBERS
from lxcri.compile.hooks import KINDS
from lxcri.compile.namespaces import TYPES
from lxcri.compile.options import FLAGS, PROPAGATION, RECURSIVE
from lxcri.compile.process import RLIMITS
from lxcri.context import Context
from lxcri.errors import Error
from lxcri.host import gather_host
from lxcri.plan import Builder, Plan, Tree
from lxcri.program import STAGES
from lxcri.sealed import HELPER
from lxcri.spec import decode_config, encode as encode_spec

if TYPE_CHECKING:
    from pathlib import Path

CHECKOUT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SAMPLES = os.path.join(os.path.dirname(CHECKOUT), "shared/samples")
NAMES = sorted(os.listdir(SAMPLES)) if os.path.isdir(SAMPLES) else []
LAYOUTS = {"v1": V1, "hybrid": HYBRID, "v2": V2}

with_samples = pytest.mark.skipif(not NAMES, reason="../shared/samples is not there")


def request_of(**properties: Any) -> Request:
    return Request(id="c1", bundle="/b", rootfs="/b/rootfs", directory="/run/lxcri/c1", **properties)


def sample(name: str) -> bytes:
    with open(os.path.join(SAMPLES, name), "rb") as file:
        return file.read()


# ---- the Builder ----


def test_builder() -> None:
    builder = Builder()
    builder.first_tree = 5
    builder.item("lxc.a", 1)
    builder.item("lxc.b", "x y")
    builder.add("root", "mask", "it", "/x")
    builder.warn("careful")
    assert [builder.tree(Tree("one", "/1")), builder.tree(Tree("two", "/2"))] == [5, 6]
    assert builder.items == [("lxc.a", "1"), ("lxc.b", "x y")]
    assert builder.stages == {**{name: [] for name in STAGES}, "root": [("mask", "it", ("/x",))]}
    assert builder.warnings == ["careful"]
    for subject, text in (("hostname", "hostname: a line break"), ("", "lxc.c: a line break")):
        with pytest.raises(Error) as error:
            builder.item("lxc.c", "a\nb", subject)
        assert str(error.value) == text


# ---- what engines write ----


@pytest.fixture(scope="module")
def helpers(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """lxcri-init as it is built, and with sanitizers where the compiler has them."""
    hosted = str(tmp_path_factory.mktemp("hosted") / "lxcri-init")
    try:
        build_ffi.build_init(hosted, hosted=True)
    except build_ffi.BuildError:
        return [HELPER]
    return [HELPER, hosted]


@with_samples
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", NAMES)
def test_samples(name: str, layout: str, helpers: list[str]) -> None:
    """Every sample has a Plan, and its program is one for the helper."""
    spec = decode_config(sample(name))
    process = spec.process
    assert process is not None
    host = Host(layout=LAYOUTS[layout], lsm=("apparmor", "selinux"))
    plan = compile_plan(spec, request_of(cgroup_devices=layout != "v2"), host)
    assert plan.items[0] == ("lxc.rootfs.path", "dir:/b/rootfs")
    assert [i[2] for i in plan.program["ready"] if i[0] == "arguments"] == [(process.args,)]
    # mounts are made in the document's order
    made = [i[1] for i in plan.program["mounts"] + plan.program["root"] if i[1].startswith("mounts[")]
    indexes = [int(subject[7 : subject.index("]")]) for subject in made]
    assert set(indexes) == set(range(len(spec.mounts)))
    for helper in helpers:
        checked = subprocess.run([helper, "check"], input=program_of(plan), capture_output=True, check=False)
        assert (checked.returncode, checked.stderr) == (0, b"")
        assert checked.stdout.count(b"\n") == sum(len(stage) for stage in plan.program.values())


def sample_bundle(name: str, path: Path) -> str:
    """A bundle with this sample's config."""
    (path / "rootfs").mkdir()
    config = json.loads(sample(name))
    config["root"]["path"] = "rootfs"
    (path / "config.json").write_text(json.dumps(config))
    return str(path)


@with_samples
@pytest.mark.parametrize("name", NAMES)
def test_plan_prints_what_compile_decides(name: str, tmp_path: Path) -> None:
    bundle = sample_bundle(name, tmp_path)
    spec, request = load_bundle(Context("plan"), id="c1", bundle=bundle, directory="/run/lxcri/c1")
    try:
        expected = compile_plan(spec, request, gather_host(spec, request))
    except Error as e:
        if "not enabled in this kernel" not in str(e) and "cgroup" not in str(e):
            raise
        pytest.skip(f"this machine: {e}")
    done = subprocess.run(
        [sys.executable, "-m", "lxcri", "plan", "--id", "c1", bundle],
        capture_output=True,
        check=False,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": CHECKOUT},
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout) == as_json(expected)


def test_plan_is_json() -> None:
    """Numbers, texts and lists; the filter is none yet."""
    plan = as_json(compiled({"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}}))
    assert ["seccomp", "linux.seccomp", [0, ""]] in plan["program"]["start"]
    assert set(plan) == {"items", "program", "host", "seccomp"}


# ---- what nobody would write ----

WORDS = st.sampled_from(["", "a", "/a", "/", "..", "/a/../b", "-1", "0-1", "x" * 300, "ü", "a\nb", "a=b", "=", "\0"])
TEXT = st.one_of(WORDS, st.text(max_size=8))
TEXTS = st.lists(TEXT, max_size=3)
PLACES = "/proc /sys /dev /dev/null /dev/pts/0 /sys/fs/cgroup /x /x/y x / /../ /dev/x /proc/./".split()
PATH = st.one_of(st.sampled_from(PLACES), st.sampled_from(PLACES), TEXT)
U32 = st.one_of(st.integers(0, 9), st.sampled_from([65535, 65536, 2**31, 2**32 - 1]), st.integers(0, 2**32 - 1))
I64 = st.one_of(st.integers(-9, 9), st.sampled_from([-(2**63), 2**63 - 1]), st.integers(-(2**63), 2**63 - 1))
U64 = st.one_of(st.integers(0, 9), st.sampled_from([2**63, 2**64 - 1]))


def some(**properties: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    """An object with some of these properties, each of which can be null too."""
    return st.fixed_dictionaries({}, optional={name: st.one_of(value, st.none()) for name, value in properties.items()})


def also(first: Json, rest: Json) -> Json:
    """An object with what it must have, and more."""
    return {**first, **rest}


def often(values: Any) -> st.SearchStrategy[str]:
    """Mostly what exists."""
    known = st.sampled_from(sorted(values))
    return st.one_of(known, known, known, TEXT)


def required(**properties: st.SearchStrategy[Any]) -> st.SearchStrategy[Json]:
    return st.fixed_dictionaries(properties)


def few(values: st.SearchStrategy[Any]) -> st.SearchStrategy[list[Any]]:
    return st.lists(values, max_size=3)


IDS = few(required(containerID=U32, hostID=U32, size=U32))
OPTIONS = st.lists(
    st.one_of(
        st.sampled_from(["bind", "rbind", "tmpcopyup", "idmap", "defaults", "size=1m"]),
        st.sampled_from(sorted([*FLAGS, *RECURSIVE, *PROPAGATION])),
        TEXT,
    ),
    max_size=4,
)
MOUNT_TYPES = "bind cgroup cgroup2 devpts mqueue overlay proc sysfs tmpfs".split()
MOUNT = st.builds(also, required(destination=PATH), some(type=often(MOUNT_TYPES), source=PATH, options=OPTIONS))
CAPABILITIES = st.lists(often(NUMBERS), max_size=4)
DEVICE = st.builds(
    also, required(type=often("cubp"), path=PATH), some(major=I64, minor=I64, fileMode=U32, uid=U32, gid=U32)
)
RULE = some(allow=st.booleans(), type=often("abc"), major=I64, minor=I64, access=often(["rwm", "r", "m"]))
SYSCTLS = ["net.ipv4.ip_forward", "kernel.msgmax", "kernel.hostname", "net/a/b", "fs.mqueue.x", "vm.x", "net.//.x"]
HOOK = st.builds(also, required(path=PATH), some(args=TEXTS, env=TEXTS, timeout=st.integers(1, 2**64 - 1)))

PROPERTIES: dict[str, st.SearchStrategy[Any]] = {
    "hostname": TEXT,
    "domainname": TEXT,
    "annotations": st.dictionaries(TEXT, TEXT, max_size=2),
    "mounts": st.lists(MOUNT, max_size=5),
    "root.readonly": st.booleans(),
    "process.args": TEXTS,
    "process.cwd": PATH,
    "process.env": few(st.one_of(st.sampled_from(["A=1", "A=2", "HOME=/", "PATH=/bin"]), TEXT)),
    "process.terminal": st.booleans(),
    "process.consoleSize": required(height=U64, width=U64),
    "process.user": some(uid=U32, gid=U32, umask=U32, additionalGids=few(U32)),
    "process.capabilities": some(
        bounding=CAPABILITIES,
        effective=CAPABILITIES,
        permitted=CAPABILITIES,
        inheritable=CAPABILITIES,
        ambient=CAPABILITIES,
    ),
    "process.rlimits": few(required(type=often(RLIMITS), soft=U64, hard=U64)),
    "process.noNewPrivileges": st.booleans(),
    "process.apparmorProfile": TEXT,
    "process.selinuxLabel": TEXT,
    "process.oomScoreAdj": I64,
    "process.scheduler": st.builds(
        also,
        required(policy=often(["SCHED_OTHER", "SCHED_FIFO", "SCHED_DEADLINE"])),
        some(nice=st.integers(-21, 20), priority=st.integers(-1, 100), flags=TEXTS, runtime=U64, period=U64),
    ),
    "process.ioPriority": st.builds(
        also,
        st.fixed_dictionaries({"class": often(["IOPRIO_CLASS_RT", "IOPRIO_CLASS_BE", "IOPRIO_CLASS_IDLE"])}),
        some(priority=st.integers(-1, 9)),
    ),
    "linux.namespaces": st.lists(
        st.builds(also, required(type=often(TYPES)), some(path=PATH)), max_size=8, unique_by=lambda n: str(n["type"])
    ),
    "linux.uidMappings": IDS,
    "linux.gidMappings": IDS,
    "linux.timeOffsets": st.dictionaries(often(["boottime", "monotonic"]), some(secs=I64, nanosecs=U32), max_size=2),
    "linux.devices": few(DEVICE),
    "linux.netDevices": st.dictionaries(often(["eth0"]), some(name=TEXT), max_size=2),
    "linux.cgroupsPath": PATH,
    "linux.sysctl": st.dictionaries(often(SYSCTLS), TEXT, max_size=2),
    "linux.seccomp": st.just({"defaultAction": "SCMP_ACT_ALLOW"}),
    "linux.rootfsPropagation": often(PROPAGATION),
    "linux.maskedPaths": few(PATH),
    "linux.readonlyPaths": few(PATH),
    "linux.mountLabel": TEXT,
    "linux.personality": required(domain=often(["LINUX", "LINUX32"]), flags=TEXTS),
    "linux.memoryPolicy": st.builds(
        also, required(mode=often(["MPOL_DEFAULT", "MPOL_BIND"])), some(nodes=TEXT, flags=TEXTS)
    ),
    "linux.intelRdt": some(closID=TEXT, l3CacheSchema=TEXT),
    "linux.resources.devices": few(RULE),
    "linux.resources.memory": some(limit=I64, swap=I64, reservation=I64, swappiness=U64, kernel=I64),
    "linux.resources.cpu": some(shares=U64, quota=I64, period=U64, burst=U64, cpus=TEXT, mems=TEXT, idle=I64),
    "linux.resources.pids": some(limit=I64),
    "linux.resources.blockIO": some(weight=st.integers(0, 65535)),
    "linux.resources.hugepageLimits": few(required(pageSize=often(["2MB", "1GB"]), limit=U64)),
    "linux.resources.unified": st.dictionaries(TEXT, TEXT, max_size=2),
    **{f"hooks.{kind}": few(HOOK) for kind in KINDS},
}


@st.composite
def fragments(draw: st.DrawFn) -> Json:
    """Up to four properties that have something, the rest is MINIMAL's."""
    fragment: Json = {}
    for name in draw(st.lists(st.sampled_from(sorted(PROPERTIES)), min_size=1, max_size=4, unique=True)):
        value: Any = draw(st.one_of(PROPERTIES[name], PROPERTIES[name], PROPERTIES[name], st.none()))
        for part in reversed(name.split(".")):
            value = {part: value}
        fragment = merged(fragment, value)
    return fragment


SWITCHES = required(
    **dict.fromkeys(("apparmor", "capabilities", "cgroup_devices", "seccomp", "notify"), st.booleans()),
    preserve_fds=st.sampled_from([0, 3]),
)
HOSTS = st.builds(
    Host,
    layout=st.sampled_from(list(LAYOUTS.values())),
    capabilities=st.sampled_from([(1 << 41) - 1, 0]),
    lsm=st.just(("apparmor", "selinux")),
    empty_proc=st.sampled_from(["mnt", ""]),
)


def outcome(document: Json, request: Request, host: Host) -> Plan | str:
    """The Plan, or the text of the Error."""
    try:
        return compile_plan(decode_config(json.dumps(document).encode()), request, host)
    except Error as e:
        return str(e)


@settings(max_examples=500, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(fragments(), SWITCHES, HOSTS)
def test_compile_gives_a_plan_or_an_error(fragment: Json, switches: Json, host: Host) -> None:
    """Nothing else, the same one every time; the spec is as before."""
    document = merged(MINIMAL, fragment)
    request = request_of(**switches)
    found = outcome(document, request, host)
    assert found == outcome(document, request, host)
    if isinstance(found, str):
        assert found
        assert not found.endswith(".")
    else:
        check_plan(found)
        spec = decode_config(json.dumps(document).encode())
        before = encode_spec(spec)
        compile_plan(spec, request, host)
        assert encode_spec(spec) == before


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name: str) -> None:
    """The texts that these tests use are what they say."""
    assert LAYOUTS[name].mode == name
