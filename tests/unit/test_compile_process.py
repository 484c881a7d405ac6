"""compile: process, its user, limits, labels and environment; what the caller wants of it; the last steps."""

from __future__ import annotations

from typing import Any

import pytest
from oci.compiling import Json, change, compiled, merged, namespaces, refusal

from lxcri.compile.process import RLIMITS, unique_environment
from lxcri.errors import Error
from lxcri.spec import Seccomp


def process(**properties: Any) -> Json:
    return {"process": properties}


def stage(name: str, fragment: Json, **overrides: Any) -> list[tuple[str, str, tuple[Any, ...]]]:
    found: list[tuple[str, str, tuple[Any, ...]]] = compiled(fragment, **overrides).program[name]
    return found


# ---- program ----


def test_arguments_environment_and_directory() -> None:
    fragment = process(args=["/bin/x", "", "ä b\n"], env=["A=1", "HOME=/h", "B=a=b", "C="], cwd="/w")
    assert stage("ready", fragment) == [
        ("arguments", "process.args", (["/bin/x", "", "ä b\n"],)),
        ("environment", "process.env", (["A=1", "HOME=/h", "B=a=b", "C="],)),
        ("cwd", 'process.cwd "/w"', ("/w",)),
        ("find_executable", "process.args", ()),
    ]


@pytest.mark.parametrize("env", [[], ["HOME="], ["HOMES=/h"], ["A=HOME=/h"]])
def test_home_from_passwd(env: list[str]) -> None:
    """For the user, where the environment has none."""
    assert ("home", "process.user", (7,)) in stage("ready", process(env=env, user={"uid": 7}))


@pytest.mark.parametrize(
    ("env", "unique"),
    [
        ([], []),
        (["A=1", "B=2", "A=3"], ["A=3", "B=2"]),
        (["A=1", "A=1"], ["A=1"]),
        (["A=", "a=1", "A=2"], ["A=2", "a=1"]),
        (["A=B=1", "A=B=2"], ["A=B=2"]),
    ],
)
def test_last_value_of_a_variable(env: list[str], unique: list[str]) -> None:
    """At the place of the first."""
    assert unique_environment(env) == unique


@pytest.mark.parametrize("entry", ["A", "", "=", "=x"])
def test_environment_that_is_none(entry: str) -> None:
    with pytest.raises(Error) as error:
        unique_environment(["A=1", entry])
    assert str(error.value) == f'process.env[1]: "{entry}" is not of the form name=value'


def environment(*env: str, **overrides: Any) -> list[str]:
    found: list[str] = compiled(process(env=list(env)), **overrides).program["ready"][1][2][0]
    return found


def test_descriptors_for_socket_activation() -> None:
    """sd_listen_fds(3), for process 1 of the container; the caller's own variables are not the container's."""
    env = environment("LISTEN_FDS=9", "A=1", "LISTEN_PID=8", listen_fds=2, preserve_fds=2)
    assert env == ["A=1", "LISTEN_FDS=2", "LISTEN_PID=1"]
    assert environment("LISTEN_FDS=9", preserve_fds=2) == ["LISTEN_FDS=9"]


def test_socket_for_notifications() -> None:
    env = environment("NOTIFY_SOCKET=/x", "A=1", notify=True)
    assert env == ["A=1", "NOTIFY_SOCKET=/run/notify/notify.sock"]
    assert environment("NOTIFY_SOCKET=/x") == ["NOTIFY_SOCKET=/x"]


def test_preserved_descriptors() -> None:
    """After the five handles of every container: three streams, the socket, and the console's if there is one."""
    assert change({}, preserve_fds=3) == {"start": [("preserve", "preserved descriptors", (4, 3))], "preserve_fds": 3}
    terminal = process(terminal=True)
    found = change({}, base=terminal, preserve_fds=3)
    assert found["start"] == [("preserve", "preserved descriptors", (5, 3))]


@pytest.mark.parametrize(
    ("size", "arguments"),
    [
        (None, (4, 0, 0, 7, True)),
        ({"height": 24, "width": 80}, (4, 24, 80, 7, True)),
        ({"height": 65535, "width": 0}, (4, 65535, 0, 7, True)),
    ],
)
def test_terminal(size: Json | None, arguments: tuple[int, ...]) -> None:
    base = process(user={"uid": 7})
    found = change(process(terminal=True, consoleSize=size), base=base)
    assert found == {"root": [("console", "process.terminal", arguments)], "terminal": True}


@pytest.mark.parametrize("size", [{"height": 65536, "width": 1}, {"height": 1, "width": 65536}])
def test_size_of_no_terminal(size: Json) -> None:
    assert refusal(process(terminal=True, consoleSize=size)) == "process.consoleSize: 65536 is more than 65535"
    assert change(process(consoleSize=size)) == {}


@pytest.mark.parametrize(
    ("properties", "text"),
    [
        ({"args": []}, "process.args: empty"),
        ({"args": None}, "process.args: empty"),
        ({"cwd": ""}, 'process.cwd "": cwd must be an absolute path'),
        ({"cwd": "tmp"}, 'process.cwd "tmp": cwd must be an absolute path'),
        ({"env": ["A=1", "B"]}, 'process.env[1]: "B" is not of the form name=value'),
    ],
)
def test_processes_that_cannot_be(properties: Json, text: str) -> None:
    assert refusal(process(**properties)) == text


# ---- session keyring, OOM score ----


def test_session_keyring() -> None:
    """liblxc makes a new one unless told not to."""
    assert change({}, session_keyring=False) == {"items": [("lxc.keyring.session", "1")]}


@pytest.mark.parametrize("score", [-1000, -1, 0, 1000])
def test_oom_score(score: int) -> None:
    assert change(process(oomScoreAdj=score)) == {"items": [("lxc.proc.oom_score_adj", str(score))]}


@pytest.mark.parametrize("score", [-1001, 1001, 2**63])
def test_oom_score_out_of_range(score: int) -> None:
    assert refusal(process(oomScoreAdj=score)) == f"process.oomScoreAdj: {score} is not between -1000 and 1000"


# ---- user ----


def test_user() -> None:
    """Groups as they are listed: a group twice is the kernel's to take."""
    fragment = process(user={"uid": 1, "gid": 2, "additionalGids": [5, 3, 5]})
    found = change(fragment)
    assert found["start"] == [("user", "process.user 1:2", (1, 2, [5, 3, 5]))]
    assert found["ready"] == [("home", "process.user", (1,))]


@pytest.mark.parametrize("umask", [0, 0o77, 0o22, 0o777, 0o7777])
def test_umask(umask: int) -> None:
    """umask(2) takes what of it is a mask."""
    instructions = stage("start", process(user={"umask": umask}))
    assert instructions[0] == ("umask", "process.user.umask", (umask,))


def test_umask_by_default() -> None:
    """runc's."""
    assert stage("start", {})[0] == ("umask", "process.user.umask", (0o22,))


NO_ID = 2**32 - 1


@pytest.mark.parametrize(
    ("user", "text"),
    [
        ({"uid": NO_ID}, "process.user.uid: 4294967295 is no id"),  # to setresuid(2): leave it as it is
        ({"gid": NO_ID}, "process.user.gid: 4294967295 is no id"),
        ({"additionalGids": [1, NO_ID]}, "process.user.additionalGids[1]: 4294967295 is no id"),
    ],
)
def test_ids_that_are_none(user: Json, text: str) -> None:
    assert refusal(process(user=user)) == text


IDS = [{"containerID": 0, "hostID": 1, "size": 9}, {"containerID": 20, "hostID": 50, "size": 2}]


@pytest.mark.parametrize(
    ("user", "text"),
    [
        ({"uid": 21, "gid": 8, "additionalGids": [20]}, ""),
        ({"uid": 9}, "process.user.uid: 9 has no mapping in the user namespace"),
        ({"gid": 19}, "process.user.gid: 19 has no mapping in the user namespace"),
        ({"additionalGids": [3, 22]}, "process.user.additionalGids[1]: 22 has no mapping in the user namespace"),
    ],
)
def test_ids_in_a_user_namespace(user: Json, text: str) -> None:
    base = merged(namespaces("mount", "user"), {"linux": {"uidMappings": IDS, "gidMappings": IDS}})
    fragment = merged(base, process(user=user))
    if not text:
        assert ("user", "process.user 21:8", (21, 8, [20])) in stage("start", fragment)
        return
    assert refusal(fragment) == text
    joined = merged(namespaces("mount", user="/ns"), process(user=user))
    lines = "0 1 9\n20 50 2\n"
    assert refusal(joined, joined_ids=(lines, lines)) == text
    # cannot be looked into: why is told when it is to be joined
    assert stage("start", joined)


# ---- limits ----


def test_all_limits() -> None:
    """The numbers of asm-generic/resource.h."""
    names = "CPU FSIZE DATA STACK CORE RSS NPROC NOFILE MEMLOCK AS LOCKS SIGPENDING MSGQUEUE NICE RTPRIO RTTIME".split()
    assert {f"RLIMIT_{name}": number for number, name in enumerate(names)} == RLIMITS


@pytest.mark.parametrize("kind", RLIMITS)
def test_limit(kind: str) -> None:
    limit = {"type": kind, "soft": 5, "hard": 2**64 - 1}
    expected = ("rlimit", f"process.rlimits[0] {kind}", (RLIMITS[kind], 5, 2**64 - 1))
    assert change(process(rlimits=[limit])) == {"start": [expected]}


@pytest.mark.parametrize(
    ("limits", "text"),
    [
        ([("RLIMIT_NOFILES", 1, 2)], 'process.rlimits[0]: type "RLIMIT_NOFILES" does not exist'),
        ([("NOFILE", 1, 2)], 'process.rlimits[0]: type "NOFILE" does not exist'),
        ([("RLIMIT_CPU", 1, 2), ("RLIMIT_AS", 1, 2), ("RLIMIT_CPU", 1, 2)], "process.rlimits[2]: a second RLIMIT_CPU"),
        ([("RLIMIT_AS", 3, 2)], "process.rlimits[0] RLIMIT_AS: the soft limit is above the hard one"),
    ],
)
def test_limits_that_cannot_be(limits: list[tuple[str, int, int]], text: str) -> None:
    rlimits = [{"type": kind, "soft": soft, "hard": hard} for kind, soft, hard in limits]
    assert refusal(process(rlimits=rlimits)) == text


# ---- labels ----


def test_apparmor() -> None:
    """liblxc is told nothing of it: it would apply its own default."""
    found = change(process(apparmorProfile="docker-default"), given={"lsm": ("apparmor",)})
    assert found == {"start": [("apparmor", 'process.apparmorProfile "docker-default"', ("exec docker-default",))]}
    assert ("lxc.apparmor.profile", "unconfined") in compiled({}).items


def test_selinux() -> None:
    found = change(process(selinuxLabel="a:b:c"), given={"lsm": ("selinux",)})
    assert found == {"start": [("selinux", 'process.selinuxLabel "a:b:c"', ("a:b:c",))]}


def test_labels_that_are_empty() -> None:
    assert change(process(apparmorProfile="", selinuxLabel="")) == {}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("apparmorProfile", "process.apparmorProfile: apparmor is not enabled in this kernel"),
        ("selinuxLabel", "process.selinuxLabel: selinux is not enabled in this kernel"),
    ],
)
def test_labels_that_the_kernel_has_not(name: str, text: str) -> None:
    assert refusal(process(**{name: "x"})) == text


# ---- the last steps ----

SECCOMP = {"linux": {"seccomp": {"defaultAction": "SCMP_ACT_ALLOW"}}}


def last_steps(fragment: Json, **overrides: Any) -> list[str]:
    return [name for name, _, _ in stage("start", fragment, **overrides)]


def test_last_steps_with_no_new_privileges() -> None:
    """The filter comes last, and has to allow execve alone."""
    fragment = merged(SECCOMP, process(noNewPrivileges=True))
    assert last_steps(fragment, preserve_fds=1) == [
        "umask",
        "bounding",
        "user",
        "preserve",
        "no_new_privs",
        "handover",
        "capabilities",
        "seccomp",
        "execute",
    ]


def test_last_steps_without() -> None:
    """The kernel wants CAP_SYS_ADMIN for the filter."""
    assert last_steps(SECCOMP) == ["umask", "bounding", "user", "handover", "seccomp", "capabilities", "execute"]


def test_all_of_the_process_in_its_order() -> None:
    """Limits and labels before the user changes, hooks before all."""
    fragment = merged(
        {"hooks": {"startContainer": [{"path": "/h"}]}},
        process(apparmorProfile="a", selinuxLabel="s", rlimits=[{"type": "RLIMIT_AS", "soft": 1, "hard": 1}]),
    )
    found = last_steps(fragment, lsm=("apparmor", "selinux"))
    assert found == [
        "hook",
        "rlimit",
        "umask",
        "apparmor",
        "selinux",
        "bounding",
        "user",
        "handover",
        "capabilities",
        "execute",
    ]


def test_no_new_privileges() -> None:
    assert change(process(noNewPrivileges=True)) == {"start": [("no_new_privs", "process.noNewPrivileges", ())]}


def test_seccomp() -> None:
    """Its filter is compiled when the container is created."""
    assert change(SECCOMP) == {
        "start": [("seccomp", "linux.seccomp", (0, b""))],
        "seccomp": Seccomp(default_action="SCMP_ACT_ALLOW"),
    }


# ---- switches ----


def test_apparmor_switched_off() -> None:
    base = process(apparmorProfile="docker-default")
    text = "apparmor is switched off: process.apparmorProfile is not applied"
    assert change({}, apparmor=False) == {"warnings": [text]}
    plan = compiled(base, apparmor=False)
    assert plan.warnings == [text]
    assert "apparmor" not in [name for name, _, _ in plan.program["start"]]


def test_capabilities_switched_off() -> None:
    every = ["CAP_CHOWN"]
    base = process(capabilities={"bounding": every, "permitted": every})
    assert change({}, base=base, capabilities=False) == {
        "warnings": ["capabilities are switched off: the container keeps those of the runtime"],
        "-start": [
            ("bounding", "process.capabilities.bounding", (1,)),
            ("capabilities", "process.capabilities", (0, 1, 0, 0)),
        ],
    }


def test_seccomp_switched_off() -> None:
    plan = compiled(SECCOMP, seccomp=False)
    assert plan.warnings == ["seccomp is switched off: linux.seccomp is not applied"]
    assert plan.seccomp is None
    assert "seccomp" not in [name for name, _, _ in plan.program["start"]]
    assert change({}, seccomp=False) == {}
