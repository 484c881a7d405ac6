"""cgroupsPath and linux.resources as a unit of systemd: names, slices, properties, and values as GVariant texts."""

from __future__ import annotations

from typing import Any

import pytest
from oci.compiling import HYBRID, V1, V2, Json, compiled, merged, refusal

from lxcri.cgroup import unit
from lxcri.cgroup.gvariant import parse
from lxcri.cgroup.layout import Layout
from lxcri.cgroup.systemd import complete_types
from lxcri.errors import Error

INFINITY = 2**64 - 1
ALLOW_ALL = [{"allow": True, "access": "rwm"}]


def path(cgroups_path: str) -> Json:
    return {"linux": {"cgroupsPath": cgroups_path}}


def resources(**properties: Any) -> Json:
    return {"linux": {"resources": properties}}


def unit_of(fragment: Json, systemd: str = "system", **overrides: Any) -> Any:
    host = compiled(fragment, systemd=systemd, **{"layout": V2, **overrides}).host
    assert host.cgroups_path == host.unit.path
    return host.unit


def properties(fragment: Json, **overrides: Any) -> list[tuple[str, str, Any]]:
    return [(p.name, p.signature, p.value) for p in unit_of(fragment, **overrides).properties]


def more(fragment: Json, **overrides: Any) -> list[tuple[str, Any]]:
    """The properties that a fragment adds."""
    base = properties(resources(), **overrides)
    return [(name, value) for name, _, value in properties(fragment, **overrides) if (name, _, value) not in base]


def test_without_the_option_there_is_no_unit() -> None:
    assert compiled(path("a:b:c")).host.unit is None


@pytest.mark.parametrize(
    ("given", "instance", "name", "place"),
    [
        ("", "system", "lxcri-c1.scope", "/system.slice/lxcri-c1.scope"),
        ("", "user", "lxcri-c1.scope", "/user.slice/lxcri-c1.scope"),
        ("system.slice:docker:1234", "system", "docker-1234.scope", "/system.slice/docker-1234.scope"),
        (":x:y", "system", "x-y.scope", "/system.slice/x-y.scope"),
        (":x:y", "user", "x-y.scope", "/user.slice/x-y.scope"),
        ("a.slice::y", "system", "-y.scope", "/a.slice/-y.scope"),
        ("a-b-c.slice:x:y", "system", "x-y.scope", "/a.slice/a-b.slice/a-b-c.slice/x-y.scope"),
        ("-.slice:x:y", "system", "x-y.scope", "/x-y.scope"),
        ("a.slice:x:a-b.slice", "system", "a-b.slice", "/a.slice/a-b.slice"),
        ("_a.slice:cgroup.x:y", "system", "cgroup.x-y.scope", "/__a.slice/_cgroup.x-y.scope"),
        (":memory.x:y", "system", "memory.x-y.scope", "/system.slice/_memory.x-y.scope"),
        (r"a\x2db.slice:x:y", "system", "x-y.scope", r"/a\x2db.slice/x-y.scope"),
    ],
)
def test_path(given: str, instance: str, name: str, place: str) -> None:
    found = unit_of(path(given), systemd=instance)
    assert (found.instance, found.name, found.path) == (instance, name, place)
    assert found.is_slice == name.endswith(".slice")


@pytest.mark.parametrize(
    "given",
    ["/a/b", "a:b", "a.slice:b:c:d", "a.slice:b:", "a:b:c", "a..slice-:b:c", "-a.slice:b:c", "a--b.slice:b:c",
     "a-.slice:b:c", ".slice:b:c", "a/b.slice:b:c", "a.slice:b:c/d", "a.slice:b:" + "c" * 255, "a.slice:b:c+d",
     "a.slice:b:-a.slice"],
)  # fmt: skip
def test_no_path(given: str) -> None:
    assert refusal(path(given), systemd="system", layout=V2).startswith("linux.cgroupsPath")


def test_properties_of_a_scope() -> None:
    assert properties(resources(devices=ALLOW_ALL))[:9] == [
        ("Description", "s", "lxcri container c1"),
        ("Slice", "s", "system.slice"),
        ("Delegate", "b", True),
        ("DefaultDependencies", "b", False),
        ("CollectMode", "s", "inactive-or-failed"),
        ("MemoryAccounting", "b", True),
        ("CPUAccounting", "b", True),
        ("IOAccounting", "b", True),
        ("TasksAccounting", "b", True),
    ]


def test_properties_of_a_slice() -> None:
    """It cannot be delegated, and lies where its name says."""
    found = {name: value for name, _, value in properties(path("a.slice:x:a-b.slice"))}
    assert found["Wants"] == ["a.slice"]
    assert not {"Slice", "Delegate"} & set(found)


@pytest.mark.parametrize("layout", [V1, HYBRID])
def test_accounting_on_v1(layout: Layout) -> None:
    names = [name for name, _, _ in properties({}, layout=layout)]
    assert "BlockIOAccounting" in names
    assert "IOAccounting" not in names


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"memory": {"limit": 1 << 20}}, [("MemoryMax", 1 << 20)]),
        ({"memory": {"limit": -1}}, [("MemoryMax", INFINITY), ("MemorySwapMax", INFINITY)]),
        ({"memory": {"limit": 1 << 20, "swap": 3 << 20}}, [("MemoryMax", 1 << 20), ("MemorySwapMax", 2 << 20)]),
        ({"memory": {"reservation": 4096}}, [("MemoryLow", 4096)]),
        ({"cpu": {"shares": 1024}}, [("CPUWeight", 100)]),
        ({"cpu": {"shares": 1024, "idle": 1}}, [("CPUWeight", 0)]),
        ({"cpu": {"shares": 1024, "idle": 0}}, [("CPUWeight", 100)]),
        ({"cpu": {"quota": 50000}}, [("CPUQuotaPerSecUSec", 500_000), ("CPUQuotaPeriodUSec", 100_000)]),
        ({"cpu": {"quota": 5, "period": 7000}}, [("CPUQuotaPerSecUSec", 10_000), ("CPUQuotaPeriodUSec", 7000)]),
        ({"cpu": {"quota": 33334, "period": 100000}}, [("CPUQuotaPerSecUSec", 340_000), ("CPUQuotaPeriodUSec", 10**5)]),
        ({"cpu": {"quota": -1}}, [("CPUQuotaPerSecUSec", INFINITY), ("CPUQuotaPeriodUSec", 100_000)]),
        ({"cpu": {"cpus": "0-1,9", "mems": "0"}}, [("AllowedCPUs", [3, 2]), ("AllowedMemoryNodes", [1])]),
        ({"pids": {"limit": 9}}, [("TasksMax", 9)]),
        ({"pids": {"limit": -1}}, [("TasksMax", INFINITY)]),
        ({"blockIO": {"weight": 10}}, [("IOWeight", 1)]),
        ({"blockIO": {"weight": 1000}}, [("IOWeight", 10000)]),
        ({"blockIO": {"weightDevice": [{"major": 8, "minor": 0, "weight": 500}]}}, []),
        ({"hugepageLimits": [{"pageSize": "2MB", "limit": 0}]}, []),
        ({"unified": {"memory.high": "5M", "memory.min": "max"}}, [("MemoryHigh", 5 << 20), ("MemoryMin", INFINITY)]),
        ({"unified": {"cpu.max": "20000"}}, [("CPUQuotaPerSecUSec", 200_000), ("CPUQuotaPeriodUSec", 100_000)]),
        ({"unified": {"io.weight": "default 7\n8:0 9"}}, [("IOWeight", 7)]),
        ({"unified": {"pids.max": "3"}, "pids": {"limit": 9}}, [("TasksMax", 3)]),
    ],
)
def test_limits_on_v2(wanted: Json, found: list[tuple[str, Any]]) -> None:
    assert more(resources(**wanted)) == found


@pytest.mark.parametrize("layout", [V1, HYBRID])
@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"memory": {"limit": 1 << 20, "swap": 3 << 20}}, [("MemoryLimit", 1 << 20)]),
        ({"cpu": {"shares": 512, "cpus": "0"}}, [("CPUShares", 512)]),
        ({"cpu": {"quota": 50000}}, [("CPUQuotaPerSecUSec", 500_000), ("CPUQuotaPeriodUSec", 100_000)]),
        ({"cpu": {"quota": 1000, "period": 2000}}, [("CPUQuotaPerSecUSec", 500_000), ("CPUQuotaPeriodUSec", 2000)]),
        ({"cpu": {"period": 2000}}, [("CPUQuotaPerSecUSec", INFINITY), ("CPUQuotaPeriodUSec", 2000)]),
        ({"pids": {"limit": 9}}, [("TasksMax", 9)]),
        ({"blockIO": {"weight": 500}}, [("BlockIOWeight", 500)]),
    ],
)
def test_limits_on_v1(wanted: Json, found: list[tuple[str, Any]], layout: Layout) -> None:
    assert more(resources(**wanted), layout=layout) == found


@pytest.mark.parametrize(
    "unified", [{"memory.max": "much"}, {"memory.max": "-5"}, {"cpu.weight": "idle?"}, {"cpuset.cpus": "0-x"}]
)
def test_value_that_is_not_understood(unified: dict[str, str]) -> None:
    (file,) = unified
    assert f'linux.resources.unified["{file}"]: ' in refusal(resources(unified=unified), systemd="system", layout=V2)


ESSENTIAL = [
    ("block-*", "m"),
    ("char-*", "m"),
    ("/dev/char/1:3", "rwm"),
    ("/dev/char/1:5", "rwm"),
    ("/dev/char/1:7", "rwm"),
    ("/dev/char/1:8", "rwm"),
    ("/dev/char/1:9", "rwm"),
    ("/dev/char/5:0", "rwm"),
    ("/dev/char/5:2", "rwm"),
    ("/dev/char/10:200", "rwm"),
    ("char-136", "rwm"),
]
DENY = {"allow": False, "access": "rwm"}


def rule(kind: str, major: int | None, minor: int | None, access: str = "rwm", *, allow: bool = True) -> Json:
    return {"allow": allow, "type": kind, "major": major, "minor": minor, "access": access}


@pytest.mark.parametrize(
    ("rules", "allowed"),
    [
        ([], ESSENTIAL),
        ([DENY], ESSENTIAL),
        ([DENY, rule("b", 8, 0, "r")], [("/dev/block/8:0", "r"), *ESSENTIAL]),
        ([DENY, rule("b", 8, None, "rw")], [("block-8", "rw"), *ESSENTIAL]),
        # what a list of systemd cannot say is allowed for more
        ([DENY, rule("b", None, 3, "r")], [("block-*", "rm"), *ESSENTIAL[1:]]),
        ([DENY, rule("c", None, None)], [("char-*", "rwm"), ("block-*", "m")]),
        ([DENY, rule("b", 8, 0), rule("b", 8, 0, "w", allow=False)], [("/dev/block/8:0", "rm"), *ESSENTIAL]),
    ],
)
@pytest.mark.parametrize("layout", [V1, V2])
def test_devices(rules: list[Json], allowed: list[tuple[str, str]], layout: Layout) -> None:
    found = [(name, value) for name, _, value in properties(resources(devices=rules), layout=layout)][-3:]
    assert found[:2] == [("DevicePolicy", "strict"), ("DeviceAllow", [])]
    assert found[2][0] == "DeviceAllow"
    assert sorted(found[2][1]) == sorted(allowed)


@pytest.mark.parametrize("rules", [ALLOW_ALL, [*ALLOW_ALL, rule("b", 8, 0, allow=False)]])
def test_no_list_of_devices(rules: list[Json]) -> None:
    """Where all but some is allowed it is for the filter alone."""
    found = [(name, value) for name, _, value in properties(resources(devices=rules))][-2:]
    assert found == [("DevicePolicy", "auto"), ("DeviceAllow", [])]


def test_a_list_with_a_hole_is_for_the_filter_alone() -> None:
    rules = [DENY, rule("b", 8, None), rule("b", 8, 0, allow=False)]
    assert ("DevicePolicy", "s", "auto") in properties(resources(devices=rules))


def test_devices_switched_off() -> None:
    assert "DevicePolicy" not in [name for name, _, _ in properties({}, cgroup_devices=False)]


def annotated(**texts: str) -> Json:
    return {"annotations": {f"org.systemd.property.{name}": text for name, text in texts.items()} | {"other": "x"}}


def test_annotations() -> None:
    """They come last, so that they have the last word."""
    fragment = annotated(TimeoutStopUSec="uint64 5", CollectMode="'inactive'", TimeoutStopSec="1.5", FooSec="2")
    assert properties(merged(resources(devices=ALLOW_ALL), fragment))[-4:] == [
        ("TimeoutStopUSec", "t", 5),
        ("CollectMode", "s", "inactive"),
        ("TimeoutStopUSec", "t", 1_500_000),
        ("FooUSec", "t", 2_000_000),
    ]
    assert unit_of(fragment).annotations == [key for key in fragment["annotations"] if key != "other"]


@pytest.mark.parametrize(
    ("name", "text"),
    [("A", "1"), ("Foo_Bar", "1"), ("Foo.Bar", "1"), ("FooSec", "'1'"), ("FooSec", "-1"), ("FooSec", "[1]"),
     ("FooSec", "true"), ("Foo", ""), ("Foo", "1 2"), ("Foo", "nothing"), ("FooSec", "1e300")],
)  # fmt: skip
def test_bad_annotations(name: str, text: str) -> None:
    found = refusal(annotated(**{name: text}), systemd="system", layout=V2)
    assert found.startswith(f'annotations["org.systemd.property.{name}"]: ')


@pytest.mark.parametrize(
    ("text", "signature", "value"),
    [
        ("true", "b", True),
        (" 'it''s' ".replace("''", "\\'"), "s", "it's"),
        ('"a\\n\\u00e9\\\\"', "s", "a\né\\"),
        ("17", "i", 17),
        ("-0x10", "i", -16),
        ("1.5", "d", 1.5),
        ("1e3", "d", 1000.0),
        ("double 3", "d", 3.0),
        ("byte 255", "y", 255),
        ("uint64 18446744073709551615", "t", INFINITY),
        ("objectpath '/a'", "o", "/a"),
        ("['a', 'b']", "as", ["a", "b"]),
        ("@as []", "as", []),
        ("[uint32 1, 2]", "au", [1, 2]),
        ("[('/dev/null', 'rw')]", "a(ss)", [("/dev/null", "rw")]),
        ("@a(st) [('/', 5)]", "a(st)", [("/", 5)]),
        ("(1, 'x', [true])", "(isab)", (1, "x", [True])),
    ],
)
def test_gvariant(text: str, signature: str, value: Any) -> None:
    assert parse(text) == (signature, value)
    assert complete_types(signature) == [signature]


@pytest.mark.parametrize(
    "text",
    ["", "[]", "[1, 'a']", "[1, 2", "(1", "uint32 -1", "byte 256", "int32 2147483648", "@(ss) ('a',)", "@as ['a', 1]",
     "'a' 'b'", "{'a': 1}", "<1>", "nothing", "uint64 'a'", "uint32 1.5", "boolean 1", "@ 1", "'open", "uint64",
     "@a(s ('a',)", "@s uint32 1", "'\\Uffffffff'", "'\\ud800'", "'\\u0000'", "[" * 100_000, "1" * 5000,
     "double 0x" + "f" * 500],
)  # fmt: skip
def test_no_gvariant(text: str) -> None:
    with pytest.raises(ValueError):
        parse(text)


@pytest.mark.parametrize(
    ("numbers", "bytes_"), [("", []), ("0", [1]), ("0-7", [255]), ("8", [0, 1]), ("1,3-4", [26]), ("0\n", [1])]
)
def test_mask(numbers: str, bytes_: list[int]) -> None:
    assert unit.mask(numbers) == bytes_


@pytest.mark.parametrize("numbers", ["5-1", "0-99999999999999999999", "0-65536", "-1", "a", "0,,1", "1-2-3"])
def test_no_mask(numbers: str) -> None:
    """It is for the kernel to say what it has; that the list is one is said here."""
    with pytest.raises(ValueError):
        unit.mask(numbers)


@pytest.mark.parametrize(
    ("file", "value"),
    [("cpu.max", "1 0"), ("cpu.max", f"1 {2**64}"), ("cpu.max", f"{2**63} 1"), ("io.weight", "-2"),
     ("io.weight", str(2**64)), ("cpuset.cpus", "5-1")],
)  # fmt: skip
def test_numbers_that_no_property_holds(file: str, value: str) -> None:
    found = refusal(resources(unified={file: value}), systemd="system", layout=V2)
    assert found == f'linux.resources.unified["{file}"]: "{value}" is not understood, as a property of a unit'


def test_a_quota_that_no_property_holds() -> None:
    found = refusal(resources(cpu={"quota": 2**63 - 1, "period": 1}), systemd="system", layout=V1)
    assert found.startswith(f"linux.resources.cpu: {2**63 - 1} microseconds in 1 is not understood")


def test_root_slice_is_no_parent_in_a_path() -> None:
    assert unit.slice_path("-.slice") == ""
    with pytest.raises(Error):
        unit.slice_path("--.slice")


def test_weight_of_io_is_left_to_systemd() -> None:
    weights = {"weight": 100, "weightDevice": [{"major": 8, "minor": 0, "weight": 200}]}
    fragment = resources(devices=ALLOW_ALL, blockIO=weights)
    writes = compiled(fragment, systemd="system", layout=V2).host.cgroup_writes
    assert [write.value for write in writes] == ["100", "8:0 200"]
    assert [write.value for write in unit.left_to_files(writes)] == ["8:0 200"]
