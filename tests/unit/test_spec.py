"""The Structs against the document's own schemas, real files of engines, and what Go's decoder accepts."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings, strategies as st
from msgspec import inspect

from lxcri import spec
from lxcri.errors import Error
from lxcri.spec.features import Enabled, Features, LinuxFeatures, MountExtensions, SeccompFeatures
from lxcri.spec.state import ContainerProcessState, State

SHARED = Path(__file__).resolve().parents[2].parent / "shared"
SCHEMAS = SHARED / "schema"
SAMPLES = sorted((SHARED / "samples").glob("*.json"))

with_schemas = pytest.mark.skipif(not SCHEMAS.is_dir(), reason="no ../shared/schema beside the source tree")
with_samples = pytest.mark.skipif(not SAMPLES, reason="no ../shared/samples beside the source tree")

# In a schema, but not in the Structs.
OTHER_PLATFORMS = {
    "$.solaris",
    "$.windows",
    "$.vm",
    "$.zos",
    "$.freebsd",
    "$.process.commandLine",
    "$.process.user.username",
}
# In the document (features-linux.md), but not in its schema.
MISSING_IN_SCHEMA = {"$.linux.intelRdt.schemata", "$.linux.intelRdt.monitoring", "$.linux.memoryPolicy"}
# Required by the schema, but not by the Go binding: nil is "no limit".
OPTIONAL_IN_GO = {"$.linux.resources.pids.limit"}
# Required by the document's text, but not by its schema.
REQUIRED_IN_TEXT = {"$.linux.memoryPolicy.mode", "$.linux.personality.domain"}
# Engines send the whole st_mode, not only permission bits.
WIDER_THAN_SCHEMA = {"$.linux.devices[].fileMode"}


class Schema:
    """Walks JSON schema nodes; files are found by name."""

    def __init__(self) -> None:
        self.files = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.json")}

    def resolve(self, node: Any, file: str) -> tuple[dict[str, Any], str]:
        """The node without references, and the file it is in; what allOf and anyOf say is merged."""
        while "$ref" in node:
            name, pointer = node["$ref"].split("#")
            file = name or file
            node = self.files[file]
            for part in pointer.strip("/").split("/"):
                node = node[part]
        merged = dict(node)
        for reference in [*node.get("allOf", []), *node.get("anyOf", [])]:
            part, file = self.resolve(reference, file)
            merged = {**merged, **part, "properties": {**merged.get("properties", {}), **part["properties"]}}
        return merged, file


def fields(struct: inspect.StructType) -> dict[str, inspect.Field]:
    return {field.encode_name: field for field in struct.fields}


def without_none(kind: inspect.Type) -> inspect.Type:
    if isinstance(kind, inspect.UnionType):
        (kind,) = [part for part in kind.types if not isinstance(part, inspect.NoneType)]
    return kind


def differences(schema: Schema, node: Any, file: str, kind: inspect.Type, path: str) -> list[str]:
    """Everything in which the schema's node and the type differ, down to the leaves."""
    node, file = schema.resolve(node, file)
    kind = without_none(kind)
    if isinstance(kind, inspect.StructType):
        found = []
        ours, theirs = fields(kind), node["properties"]
        for name in theirs.keys() - ours.keys():
            found += [f"{path}.{name}: not in Struct"] if f"{path}.{name}" not in OTHER_PLATFORMS else []
        for name in ours.keys() - theirs.keys():
            found += [f"{path}.{name}: not in schema"] if f"{path}.{name}" not in MISSING_IN_SCHEMA else []
        for name in ours.keys() & theirs.keys():
            here = f"{path}.{name}"
            required = name in node.get("required", ())
            if ours[name].required != required and here not in OPTIONAL_IN_GO | REQUIRED_IN_TEXT:
                found.append(f"{here}: required {ours[name].required}, in schema {required}")
            found += differences(schema, theirs[name], file, ours[name].type, here)
        return found
    if isinstance(kind, inspect.ListType):
        assert node["type"] == "array", path
        return differences(schema, node["items"], file, kind.item_type, f"{path}[]")
    if isinstance(kind, inspect.DictType):
        assert node["type"] == "object", path
        values = [
            *node.get("properties", {}).values(),
            *node.get("patternProperties", {}).values(),
            *([node["additionalProperties"]] if "additionalProperties" in node else []),
        ]
        assert values, path
        return [d for value in values for d in differences(schema, value, file, kind.value_type, f"{path}{{}}")]
    if isinstance(kind, inspect.IntType):
        assert node["type"] == "integer", path
        highest = node.get("maximum")
        found = [] if kind.ge == node.get("minimum") else [f"{path}: minimum {kind.ge}"]
        if highest not in (kind.le, spec.base.U64_MAX) and path not in WIDER_THAN_SCHEMA:
            found.append(f"{path}: maximum {kind.le}")
        return found
    names = {inspect.StrType: "string", inspect.BoolType: "boolean"}
    return [] if node["type"] == names[type(kind)] else [f"{path}: {kind}, in schema {node['type']}"]


@with_schemas
@pytest.mark.parametrize(
    ("file", "struct"),
    [("config-schema.json", spec.Spec), ("features-schema.json", Features), ("state-schema.json", State)],
)
def test_structs_have_the_schemas_properties_types_and_ranges(file: str, struct: type[spec.Base]) -> None:
    """Same names both ways, same JSON types, same required ones, same integer ranges."""
    schema = Schema()
    assert differences(schema, schema.files[file], file, inspect.type_info(struct), "$") == []


@with_schemas
@pytest.mark.parametrize("exception", sorted(OTHER_PLATFORMS | OPTIONAL_IN_GO | REQUIRED_IN_TEXT | WIDER_THAN_SCHEMA))
def test_each_exception_from_the_schema_exists(exception: str) -> None:
    """An exception of these tests that names nothing would hide a mistake."""
    schema = Schema()
    node, file = schema.resolve(schema.files["config-schema.json"], "config-schema.json")
    for part in exception.replace("[]", "").split(".")[1:]:
        node, file = schema.resolve(node.get("items", node), file)
        node, file = schema.resolve(node["properties"][part], file)


def lost(before: Any, after: Any, path: str = "$") -> list[str]:
    """What is in `before` and not in `after`, unless it says the same as its absence."""
    if isinstance(before, dict):
        return [
            entry
            for key, value in before.items()
            for entry in (
                lost(value, after[key], f"{path}.{key}") if key in after else [f"{path}.{key}"] if value else []
            )
        ]
    if isinstance(before, list):
        assert len(before) == len(after), path
        return [entry for i, value in enumerate(before) for entry in lost(value, after[i], f"{path}[{i}]")]
    return [] if before == after else [path]


@with_samples
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_configs_of_engines_decode_without_loss(sample: Path) -> None:
    """Encoded again, a real config.json has everything that it had."""
    data = sample.read_bytes()
    again = spec.encode(spec.decode_config(data))
    assert lost(json.loads(data), json.loads(again)) == []
    assert spec.decode_config(again) == spec.decode_config(data)


@with_samples
@with_schemas
@pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.name)
def test_encoded_configs_are_valid(sample: Path) -> None:
    """What we encode is valid by the published schema, but for the file type bits that engines send."""
    config = spec.decode_config(sample.read_bytes())
    assert config.linux
    for device in config.linux.devices:
        device.file_mode = (device.file_mode or 0) & 0o777
    validate(config, "config-schema.json")


def validate(obj: spec.Base, file: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    referencing = pytest.importorskip("referencing.jsonschema")
    resources = [(name, referencing.DRAFT4.create_resource(text)) for name, text in Schema().files.items()]
    registry = referencing.SchemaRegistry().with_resources(resources)
    validator = jsonschema.Draft4Validator(Schema().files[file], registry=registry)
    validator.validate(json.loads(spec.encode(obj)))


@with_schemas
def test_encoded_state_is_valid() -> None:
    """runtime.md: a stopped container has no pid."""
    state = State(oci_version="1.3.0", id="c", status="stopped", bundle="/b", annotations={"a": ""})
    validate(state, "state-schema.json")
    assert "pid" not in json.loads(spec.encode(state))
    validate(State("1.3.0", "c", "created", "/b", pid=1), "state-schema.json")


@with_schemas
def test_encoded_features_are_valid() -> None:
    """features.md: what is left out is unknown; False is said."""
    features = Features(
        "1.0.0",
        "1.3.0",
        hooks=["prestart"],
        mount_options=["ro"],
        linux=LinuxFeatures(
            namespaces=["mount"],
            capabilities=["CAP_CHOWN"],
            seccomp=SeccompFeatures(enabled=True, actions=["SCMP_ACT_ALLOW"], archs=["SCMP_ARCH_X86_64"]),
            mount_extensions=MountExtensions(idmap=Enabled(True)),
            net_devices=Enabled(False),
        ),
        potentially_unsafe_config_annotations=["bundle"],
    )
    validate(features, "features-schema.json")
    assert json.loads(spec.encode(features))["linux"]["netDevices"] == {"enabled": False}


def test_container_process_state_has_the_documents_names() -> None:
    """config-linux.md, "The Container Process State"."""
    state = State("1.3.0", "c", "creating", "/b", pid=4422)
    assert json.loads(spec.encode(ContainerProcessState("1.3.0", ["seccompFd"], 4422, state, "m"))) == {
        "ociVersion": "1.3.0",
        "fds": ["seccompFd"],
        "pid": 4422,
        "metadata": "m",
        "state": {"ociVersion": "1.3.0", "id": "c", "status": "creating", "pid": 4422, "bundle": "/b"},
    }


def config(**properties: Any) -> bytes:
    return json.dumps({"ociVersion": "1.3.0", **properties}).encode()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (config(process={"cwd": "/", "args": ["a", 1]}), "$.process.args[1]: expected `str`, got `int`"),
        (config(process={"cwd": "/", "user": {"uid": "0"}}), "$.process.user.uid: expected `int`, got `str`"),
        (config(process={"cwd": "/", "user": {"uid": -1}}), "$.process.user.uid: expected `int` >= 0"),
        (
            config(process={"cwd": "/", "user": {"gid": 2**32}}),
            "$.process.user.gid: expected `int` <= 4294967295",
        ),
        (config(process={}), "$.process: object missing required field `cwd`"),
        (
            config(linux={"resources": {"cpu": {"shares": 1.5}}}),
            "$.linux.resources.cpu.shares: expected `int | null`, got `float`",
        ),
        (config(linux={"namespaces": {}}), "$.linux.namespaces: expected `array`, got `object`"),
        (config(annotations={"a": 1}), "$.annotations[...]: expected `str`, got `int`"),
        (
            config(hooks={"poststop": [{"path": "/h", "timeout": 0}]}),
            "$.hooks.poststop[0].timeout: expected `int` >= 1",
        ),
        (
            config(mounts=[{"destination": "/a"}, {"source": "/b"}]),
            "$.mounts[1]: object missing required field",
        ),
        (config(process=[]), "$.process: expected `object"),
        (b"[]", "$: expected `object`, got `array`"),
        (b"null", "$: expected `object`, got `null`"),
        (b"{}", "$: object missing required field `ociVersion`"),
        (b"", "input data was truncated"),
        (b'{"ociVersion":', "input data was truncated"),
        (b'{"ociVersion":"1",}', "JSON is malformed: trailing comma in object (byte 18)"),
        (b'{"ociVersion":"\xff"}', "'utf-8' codec can't decode byte 0xff"),
        (b'{"a":' + 100000 * b"[", "maximum recursion depth exceeded"),
    ],
)
def test_error_names_the_json_path(data: bytes, message: str) -> None:
    """One line: file, path, what was expected there."""
    with pytest.raises(Error) as caught:
        spec.decode_config(data)
    assert str(caught.value).startswith(f"config.json: {message}")
    assert "\n" not in str(caught.value)


def test_error_names_the_document() -> None:
    """Each kind of document by the name that its caller gives, or its own."""
    for decode, name in [
        (spec.decode_process, "process"),
        (spec.decode_resources, "resources"),
        (spec.decode_hooks, "hooks.json"),
    ]:
        with pytest.raises(Error, match=rf"^{name}: \$: expected `object`, got `int`$"):
            decode(b"1")
        with pytest.raises(Error, match=r"^/b/x\.json: \$: expected `object`, got `int`$"):
            decode(b"1", "/b/x.json")


@pytest.mark.parametrize("value", [2**64, 10**30])
def test_numbers_above_uint64_are_refused(value: int) -> None:
    """msgspec makes them Python integers, that no kernel structure can hold."""
    rlimits = [{"type": "RLIMIT_CORE", "soft": 0, "hard": value}]
    with pytest.raises(Error, match=r"\$\.process\.rlimits\[0\]\.hard: expected `int` <= 18446744073709551615$"):
        spec.decode_config(config(process={"cwd": "/", "rlimits": rlimits}))


def test_whole_uint64_range_decodes() -> None:
    """Unlimited is the greatest uint64; long digit strings elsewhere are not numbers."""
    rlimits = [{"type": "RLIMIT_CORE", "soft": 0, "hard": 2**64 - 1}]
    data = config(process={"cwd": "/", "rlimits": rlimits}, annotations={"a": "9" * 40})
    process = spec.decode_config(data).process
    assert process
    assert process.rlimits == [spec.Rlimit("RLIMIT_CORE", 0, 2**64 - 1)]


NAMES = st.sampled_from(
    [
        "ociVersion",
        "process",
        "cwd",
        "args",
        "user",
        "uid",
        "linux",
        "resources",
        "memory",
        "limit",
        "hooks",
        "path",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(NAMES | st.text(), inner),
)


@settings(max_examples=50)
@given(st.dictionaries(NAMES, JSON))
@example({"annotations": {"\n": 1}})
@example({"ociVersion": {"\n": {"\x00": None}}})
def test_any_document_decodes_or_is_an_error(document: dict[str, Any]) -> None:
    """Of one line, with a path; nothing else is raised."""
    message = "config.json: $"
    try:
        spec.encode(spec.decode_config(json.dumps({"ociVersion": "1", **document}).encode()))
    except Error as error:
        message = str(error)
    assert message.startswith("config.json: $")
    assert "\n" not in message


@settings(max_examples=50)
@given(st.binary())
def test_any_bytes_are_an_error(data: bytes) -> None:
    """A config.json need not be JSON."""
    with pytest.raises(Error, match=r"^config\.json: [^\n]*$"):
        spec.decode_config(data)


def test_null_is_absence_as_in_go() -> None:
    """Go writes nil slices, maps and pointers as null."""
    data = config(
        process={
            "cwd": "/",
            "args": ["sh"],
            "env": None,
            "capabilities": {"ambient": None},
            "oomScoreAdj": None,
        },
        root=None,
        mounts=None,
        hooks={"prestart": None},
        annotations=None,
        linux={"resources": {"devices": None, "memory": {"limit": None}}, "sysctl": None, "seccomp": None},
    )
    decoded = spec.decode_config(data)
    assert decoded == spec.decode_config(
        config(
            process={"cwd": "/", "args": ["sh"], "capabilities": {}},
            hooks={},
            linux={"resources": {"memory": {}}},
        )
    )
    assert decoded.mounts == []
    assert decoded.annotations == {}


def test_null_does_not_hide_another_error() -> None:
    """The path is right in a document with nulls, too."""
    with pytest.raises(Error, match=r"^config\.json: \$\.process\.args\[1\]: expected `str`, got `int`$"):
        spec.decode_config(config(mounts=None, process={"cwd": "/", "env": None, "args": ["a", 1]}))


def test_null_in_a_list_is_an_error() -> None:
    """An argument that is null is no argument."""
    with pytest.raises(Error, match=r"\$\.process\.args\[0\]: expected `str`, got `null`$"):
        spec.decode_config(config(process={"cwd": "/", "args": [None]}))


def test_null_for_a_required_property_is_its_absence() -> None:
    """Named as missing, with its path."""
    with pytest.raises(Error, match=r"\$\.process: object missing required field `cwd`$"):
        spec.decode_config(config(process={"cwd": None}))


def test_unknown_and_deprecated_properties_are_ignored() -> None:
    """config.md, "Extensibility"; the others were in earlier versions of the document."""
    data = config(
        platform={"os": "linux", "arch": "amd64"},
        windows={"layerFolders": []},
        extra=[[None, {"a": 1.5}]],
        process={"cwd": "/", "user": {"username": "u"}, "commandLine": "c", "additionalField": 1},
        linux={
            "resources": {"disableOOMKiller": True, "oomScoreAdj": 1, "memory": {"kernel": -1, "x": 1}},
            "intelRdt": {"enableCMT": True, "enableMBM": True},
        },
    )
    decoded = spec.decode_config(data)
    assert decoded.linux
    assert decoded.linux.resources
    assert decoded.linux.resources.memory == spec.Memory(kernel=-1)
    assert decoded.linux.intel_rdt == spec.IntelRdt()


def test_absent_properties_have_fresh_defaults() -> None:
    """No two documents share a list, a map or a Struct."""
    first, second = (spec.decode_process(b'{"cwd":"/"}') for _ in range(2))
    first.env.append("A=1")
    first.user.additional_gids.append(1)
    assert second.env == []
    assert second.user.additional_gids == []


def test_parts_decode_by_themselves() -> None:
    """exec --process, update --resources, and the hooks kept for poststop."""
    assert spec.decode_process(b'{"cwd":"/","ioPriority":{"class":"IOPRIO_CLASS_RT"}}').io_priority == (
        spec.IOPriority("IOPRIO_CLASS_RT", 0)
    )
    assert spec.decode_resources(b'{"pids":{}}').pids == spec.Pids(None)
    assert spec.decode_hooks(b'{"poststop":[{"path":"/h"}]}').poststop == [spec.Hook("/h")]


def test_encode_leaves_out_defaults() -> None:
    """Compact, and with the document's names."""
    process = spec.Process("/", user=spec.User(0, 0), rlimits=[spec.Rlimit("RLIMIT_AS", 0, 0)])
    data = spec.encode(spec.Spec("1.3.0", process=process))
    assert json.loads(data) == {
        "ociVersion": "1.3.0",
        "process": {"cwd": "/", "user": {}, "rlimits": [{"type": "RLIMIT_AS", "soft": 0, "hard": 0}]},
    }


def test_decoding_a_config_imports_no_more_than_needed() -> None:
    """Nor anything else that msgspec can do without; creating a container pays for it."""
    program = (
        "import sys; sys.path[:0] = %r; sys.modules['typing_extensions'] = None\n"
        'from lxcri import spec; spec.decode_config(b\'{"ociVersion":"1"}\')\n'
        "print([m for m in ('lxcri.spec.features', 'lxcri.spec.state', 'inspect')"
        " if m in sys.modules])"
    )
    paths = [str(Path(spec.__file__).parents[2]), str(Path(msgspec.__file__).parents[1])]
    result = subprocess.run([sys.executable, "-IS", "-c", program % paths], check=True, capture_output=True, text=True)
    assert result.stdout == "[]\n"
