"""The Features structure, held to the published schema and to what the parts of lxcri accept."""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import jsonschema
import pytest
from oci.compiling import compiled, mount, namespaces, refusal

import lxcffi
from lxcri import OCI_VERSION, __version__, seccomp
from lxcri.compile.options import parse_options
from lxcri.context import Context
from lxcri.errors import Error
from lxcri.features import features
from lxcri.spec import encode
from lxcri.spec.seccomp import Arg, Seccomp, Syscall
from lxcri.verbs import features as verb

SCHEMAS = os.environ.get("OCI_SCHEMAS") or os.path.join(os.path.dirname(__file__), "../../../shared/schema")

DOCUMENT: dict[str, Any] = json.loads(encode(features()))
LINUX = DOCUMENT["linux"]

BIG_ENDIAN = set("MIPS MIPS64 MIPS64N32 PARISC PARISC64 PPC PPC64 S390 S390X SHEB M68K".split())
OTHER_BYTE_ORDER = BIG_ENDIAN if sys.byteorder == "little" else set()
"""Architectures that libseccomp knows, and does not put into one filter with that of this machine."""

IDS = [{"containerID": 0, "hostID": 1000, "size": 10}]


def schema(name: str) -> Any:
    with open(os.path.join(SCHEMAS, name)) as file:
        return json.load(file)


@pytest.mark.skipif(not os.path.isdir(SCHEMAS), reason="the published schemas are not here; OCI_SCHEMAS may name them")
@pytest.mark.filterwarnings("ignore:jsonschema.RefResolver:DeprecationWarning")
def test_it_is_valid_against_the_published_schema() -> None:
    store = {name: schema(name) for name in os.listdir(SCHEMAS) if name.endswith(".json")}
    root = store["features-schema.json"]
    resolver = jsonschema.RefResolver("", root, store=store)
    jsonschema.Draft4Validator(root, resolver=resolver).validate(DOCUMENT)
    broken = DOCUMENT | {"linux": LINUX | {"namespaces": ["nope"]}}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft4Validator(root, resolver=resolver).validate(broken)


def test_every_property_of_the_document_is_said() -> None:
    assert set(DOCUMENT) == {
        "ociVersionMin",
        "ociVersionMax",
        "hooks",
        "mountOptions",
        "linux",
        "annotations",
        "potentiallyUnsafeConfigAnnotations",
    }
    assert set(LINUX) == {
        "namespaces",
        "capabilities",
        "cgroup",
        "seccomp",
        "apparmor",
        "selinux",
        "intelRdt",
        "memoryPolicy",
        "mountExtensions",
        "netDevices",
    }
    assert set(LINUX["seccomp"]) == {"enabled", "actions", "operators", "archs", "knownFlags", "supportedFlags"}
    assert set(LINUX["cgroup"]) == {"v1", "v2", "systemd", "systemdUser", "rdma"}
    assert LINUX["intelRdt"] == {"enabled": True, "schemata": True, "monitoring": True}
    assert set(LINUX["memoryPolicy"]) == {"modes", "flags"}
    assert LINUX["mountExtensions"] == {"idmap": {"enabled": True}}
    assert (DOCUMENT["ociVersionMin"], DOCUMENT["ociVersionMax"]) == ("1.0.0", OCI_VERSION)


@pytest.mark.parametrize("version", [DOCUMENT["ociVersionMin"], DOCUMENT["ociVersionMax"]])
def test_both_versions_are_accepted(version: str) -> None:
    from lxcri.bundle import check_version

    check_version(version)
    assert DOCUMENT["ociVersionMax"] == OCI_VERSION


@pytest.mark.parametrize("option", DOCUMENT["mountOptions"])
def test_a_mount_option_is_accepted_and_none_of_the_file_systems(option: str) -> None:
    if option in ("idmap", "ridmap"):
        fragment = mount("/data", "bind", "bind", option, source="/srv")
        fragment["mounts"][-1] |= {"uidMappings": IDS, "gidMappings": IDS}
    else:
        fragment = mount("/data", "tmpfs", option, source="/srv")
    compiled(fragment)
    assert parse_options([option], "tmpfs").data == ""


@pytest.mark.parametrize("option", ["size=4k", "mode=755", "nope"])
def test_another_option_is_the_file_systems(option: str) -> None:
    assert parse_options([option], "tmpfs").data == option
    assert option not in DOCUMENT["mountOptions"]


@pytest.mark.parametrize("kind", LINUX["namespaces"])
def test_a_namespace_type_is_known(kind: str) -> None:
    others = [] if kind == "user" else [kind]
    fragment = namespaces("mount", *(other for other in others if other != "mount"))
    if kind == "user":
        fragment = namespaces("mount", "user")
        fragment["linux"] |= {"uidMappings": IDS, "gidMappings": IDS}
    compiled(fragment)


def test_another_namespace_type_is_not() -> None:
    assert "does not exist" in refusal(namespaces("mount", "nope"))
    assert "nope" not in LINUX["namespaces"]


@pytest.mark.parametrize("capability", LINUX["capabilities"])
def test_a_capability_can_be_granted(capability: str) -> None:
    fragment = {"process": {"capabilities": {"bounding": [capability]}}}
    assert compiled(fragment, host_capabilities=2**41 - 1).warnings == []


@pytest.mark.parametrize("kind", DOCUMENT["hooks"])
def test_a_hook_is_one_of_the_plan(kind: str) -> None:
    compiled({"hooks": {kind: [{"path": "/bin/true"}]}})
    assert "is not absolute" in refusal({"hooks": {kind: [{"path": "true"}]}})


@pytest.mark.parametrize("action", LINUX["seccomp"]["actions"])
def test_a_seccomp_action_compiles(action: str) -> None:
    listener = "/run/agent" if action == "SCMP_ACT_NOTIFY" else ""
    profile = Seccomp(
        default_action="SCMP_ACT_ALLOW" if action != "SCMP_ACT_ALLOW" else "SCMP_ACT_ERRNO",
        listener_path=listener,
        syscalls=[Syscall(names=["getpid"], action=action)],
    )
    assert seccomp.compile_filter(profile, None).bpf


@pytest.mark.parametrize("operator", LINUX["seccomp"]["operators"])
def test_a_seccomp_operator_compiles(operator: str) -> None:
    arg = Arg(index=0, value=1, value_two=1, op=operator)
    profile = Seccomp(
        default_action="SCMP_ACT_ALLOW",
        syscalls=[Syscall(names=["getpid"], action="SCMP_ACT_ERRNO", args=[arg])],
    )
    assert seccomp.compile_filter(profile, None).bpf


@pytest.mark.parametrize("architecture", LINUX["seccomp"]["archs"])
def test_a_seccomp_architecture_compiles(architecture: str) -> None:
    profile = Seccomp(
        default_action="SCMP_ACT_ALLOW",
        architectures=[architecture],
        syscalls=[Syscall(names=["getpid"], action="SCMP_ACT_ERRNO")],
    )
    if architecture.removeprefix("SCMP_ARCH_") in OTHER_BYTE_ORDER:
        with pytest.raises(Error, match="out of domain"):
            seccomp.compile_filter(profile, None)
    else:
        assert seccomp.compile_filter(profile, None).bpf


@pytest.mark.parametrize("flag", LINUX["seccomp"]["knownFlags"])
def test_a_seccomp_flag_compiles(flag: str) -> None:
    profile = Seccomp(
        default_action="SCMP_ACT_ALLOW", flags=[flag], syscalls=[Syscall(names=["getpid"], action="SCMP_ACT_ERRNO")]
    )
    assert seccomp.compile_filter(profile, None).bpf


def test_supported_seccomp_flags_are_those_of_this_kernel() -> None:
    """The oldest kernel that lxcri is for has all of them but one, which came with 5.19."""
    older = set(LINUX["seccomp"]["knownFlags"]) - {"SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV"}
    release = tuple(int(part) for part in os.uname().release.split("-")[0].split(".")[:2])
    expected = set(LINUX["seccomp"]["knownFlags"]) if release >= (5, 19) else older
    assert set(LINUX["seccomp"]["supportedFlags"]) == expected
    assert not seccomp._kernel_knows(317 if os.uname().machine == "x86_64" else 277, 1 << 30)


@pytest.mark.parametrize(
    ("fragment", "enabled"),
    [
        ({"linux": {"intelRdt": {"closID": "c"}}}, LINUX["intelRdt"]["enabled"]),
        ({"linux": {"netDevices": {"eth0": {}}}}, LINUX["netDevices"]["enabled"]),
        ({"linux": {"mountLabel": "system_u:object_r:x_t:s0"}}, LINUX["selinux"]["enabled"]),
        (
            {"linux": {"memoryPolicy": {"mode": "MPOL_BIND", "nodes": "0"}}},
            "MPOL_BIND" in LINUX["memoryPolicy"]["modes"],
        ),
    ],
)
def test_what_is_not_enabled_is_refused(fragment: Any, enabled: bool) -> None:
    if enabled:
        assert compiled(fragment)
    else:
        assert refusal(fragment).endswith("not supported")


@pytest.mark.parametrize("mode", LINUX["memoryPolicy"]["modes"])
def test_a_memory_policy_compiles(mode: str) -> None:
    nodes = {} if mode in ("MPOL_DEFAULT", "MPOL_LOCAL") else {"nodes": "0"}
    compiled({"linux": {"memoryPolicy": {"mode": mode, **nodes}}})


def test_id_mapped_mounts() -> None:
    fragment = mount("/data", "bind", "rbind", source="/srv")
    fragment["mounts"][-1] |= {"uidMappings": IDS, "gidMappings": IDS}
    if LINUX["mountExtensions"]["idmap"]["enabled"]:
        compiled(fragment)
        assert {"idmap", "ridmap"} <= set(DOCUMENT["mountOptions"])
    else:
        assert "id-mapped" in refusal(fragment)
        assert not {"idmap", "ridmap"} & set(DOCUMENT["mountOptions"])


def test_the_versions_are_annotations() -> None:
    annotations = DOCUMENT["annotations"]
    assert annotations["org.linuxcontainers.lxcri.version"] == __version__
    assert annotations["org.linuxcontainers.lxc.version"] == lxcffi.version()
    assert annotations["io.github.seccomp.libseccomp.version"] == seccomp.support().version


def test_without_libseccomp_there_is_no_seccomp(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise Error("linux.seccomp: no libseccomp")

    monkeypatch.setattr(seccomp, "support", missing)
    document = json.loads(encode(features()))
    assert document["linux"]["seccomp"] == {"enabled": False}
    assert "io.github.seccomp.libseccomp.version" not in document["annotations"]


def test_the_verb_prints_it(capfd: pytest.CaptureFixture[str]) -> None:
    assert verb.run(Context("features")) == 0
    assert json.loads(capfd.readouterr().out) == DOCUMENT
