"""What engines may call, without an engine: the answers have to be the same in kind as runc's."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import tempfile
from typing import TYPE_CHECKING, Any

import pytest
from oci import process
from oci.bundle import default_config
from oci.calls import Call, differences
from oci.runtime import Runtime

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.machine import Machine
    from oci.rootfs import Skeleton

# one call a line, with the words that follow < on its standard input; ID is a running container, OTHER one that the
# calls make; FILES/NAME is a file of the table FILES, BUNDLES/NAME a bundle with the changes of the table BUNDLES.
# "wait" lets the container's init end.
CALLS = {
    "unknown": """
        state no-such
        start no-such
        kill no-such
        kill no-such KILL
        kill --all no-such 9
        delete no-such
        delete --force no-such
        exec no-such /bin/true
        exec --process FILES/true --detach no-such
        pause no-such
        resume no-such
        ps no-such
        ps --format json no-such
        update --memory 64M no-such
        update --resources - no-such <{}
        events --stats no-such
    """,
    "bad ids": """
        state a/b
        create --bundle BUNDLES/same a/b
        create --bundle BUNDLES/same ../a
        create --bundle BUNDLES/same ''
        create --bundle BUNDLES/same .
        create --bundle BUNDLES/same ID
        delete --force a/b
    """,
    "life": """
        create --bundle BUNDLES/same --pid-file FILES/pid OTHER
        state OTHER
        list
        list --format json
        list --quiet
        ps OTHER
        ps --format json OTHER
        create --bundle BUNDLES/same OTHER
        resume OTHER
        pause OTHER
        resume OTHER
        start OTHER
        start OTHER
        kill OTHER 0
        kill OTHER USR1
        kill OTHER SIGUSR1
        kill OTHER sigusr1
        kill OTHER 10
        kill OTHER NOSUCH
        kill OTHER 999
        delete OTHER
        kill OTHER KILL
        wait
        state OTHER
        kill OTHER 0
        kill OTHER 15
        kill OTHER KILL
        kill --all OTHER 9
        start OTHER
        pause OTHER
        resume OTHER
        exec OTHER /bin/true
        exec --process FILES/true --detach OTHER
        ps OTHER
        ps --format json OTHER
        update --memory 64M OTHER
        events --stats OTHER
        list --format json
        delete OTHER
        delete OTHER
        delete --force OTHER
        list
        list --format json
    """,
    "life by force": """
        create --bundle BUNDLES/same OTHER
        delete --force OTHER
        delete --force OTHER
        create --bundle BUNDLES/same OTHER
        start OTHER
        delete --force OTHER
        create --bundle BUNDLES/same OTHER
        start OTHER
        pause OTHER
        delete --force OTHER
        state OTHER
    """,
    "create that fails": """
        create --bundle FILES OTHER
        create --bundle FILES/no-such OTHER
        create --bundle BUNDLES/sameS/missing OTHER
        create --bundle BUNDLES/sameS/not-in-path OTHER
        create --bundle BUNDLES/sameS/not-executable OTHER
        create --bundle BUNDLES/sameS/directory OTHER
        create --bundle BUNDLES/sameS/in-path-not-executable OTHER
        create --bundle BUNDLES/sameS/last-in-path-not-executable OTHER
        create --bundle BUNDLES/sameS/directory-in-path OTHER
        create --bundle BUNDLES/sameS/no-path OTHER
        create --bundle BUNDLES/sameS/no-args OTHER
        create --bundle BUNDLES/sameS/empty-arg OTHER
        create --bundle BUNDLES/sameS/relative-cwd OTHER
        create --bundle BUNDLES/sameS/terminal OTHER
        create --bundle BUNDLES/sameS/no-root OTHER
        create --bundle BUNDLES/sameS/no-source OTHER
        create --bundle BUNDLES/sameS/file-on-directory OTHER
        create --bundle BUNDLES/sameS/sysctl OTHER
        create --bundle BUNDLES/sameS/systemd-path OTHER
        create --bundle BUNDLES/sameS/no-namespace OTHER
        create --bundle BUNDLES/sameS/no-hook OTHER
        create --bundle BUNDLES/sameS/hook-fails OTHER
        create --bundle BUNDLES/sameS/relative-hook OTHER
        create --bundle BUNDLES/sameS/one-byte OTHER
        create --bundle BUNDLES/sameS/rlimit OTHER
        create --bundle BUNDLES/sameS/apparmor OTHER
        create --bundle BUNDLES/same --console-socket /no/such OTHER
        create --bundle BUNDLES/same --pid-file /no/such/pid OTHER
        list --quiet
    """,
    "run": """
        run --bundle BUNDLES/sameS/true OTHER
        run --bundle BUNDLES/sameS/seven OTHER
        run --bundle BUNDLES/sameS/killed OTHER
        run --bundle BUNDLES/sameS/missing OTHER
        run --bundle BUNDLES/sameS/true --pid-file FILES/pid OTHER
        run --bundle BUNDLES/same --detach OTHER
        delete --force OTHER
    """,
    "exec": """
        exec ID /bin/true
        exec ID /bin/sh -c 'exit 7'
        exec ID /bin/sh -c 'echo out; echo err >&2'
        exec ID /bin/cat <typed
        exec ID /no/such
        exec ID no-such
        exec ID /etc/passwd
        exec ID /etc
        exec --env PATH=/etc:/bin ID passwd
        exec --env PATH=/no:/etc ID passwd
        exec --env PATH=/ ID etc
        exec ID
        exec --detach ID /no/such
        exec --detach ID /bin/true
        exec --detach --pid-file FILES/pid ID /bin/true
        exec --process FILES/true ID
        exec --process FILES/true --detach --pid-file FILES/pid ID
        exec --process FILES/missing --detach ID
        exec --process FILES/denied --detach ID
        exec --process FILES/no-such --detach ID
        exec --process FILES/no-json --detach ID
        exec --process FILES/no-args --detach ID
        exec --process FILES/bad-cwd --detach ID
        exec --process FILES/terminal --detach ID
        exec --cwd /tmp ID /bin/pwd
        exec --cwd relative ID /bin/pwd
        exec --user 1000:1001 --additional-gids 7 --additional-gids 8 ID /bin/id
        exec --user 1000 ID /bin/id -g
        exec --user nobody ID /bin/id
        exec --env A=b ID /bin/env
        exec --cap CAP_SYS_ADMIN ID /bin/grep Cap /proc/self/status
        exec --cap NO_SUCH ID /bin/true
        exec --no-new-privs ID /bin/grep NoNew /proc/self/status
        exec --apparmor no-such ID /bin/true
        exec --process-label no-such ID /bin/true
        exec --ignore-paused ID /bin/true
        exec --preserve-fds 0 ID /bin/true
        exec --cgroup no-such ID /bin/true
        exec --cgroup ../x ID /bin/true
        exec --tty --detach ID /bin/true
        exec --console-socket /no/such --tty --detach ID /bin/true
    """,
    "pause": """
        resume ID
        pause ID
        state ID
        list --format json
        pause ID
        exec ID /bin/true
        exec --process FILES/true --detach ID
        update --memory 64M ID
        ps --format json ID
        events --stats ID
        start ID
        delete ID
        resume ID
        resume ID
        exec ID /bin/true
    """,
    "ps and events": """
        ps ID
        ps --format table ID
        ps --format json ID
        ps --format no-such ID
        ps ID -o pid,comm
        ps ID -e -o pid,comm
        ps ID aux
        ps ID -o comm
        ps ID --no-such
        events --stats ID
        events --interval 0s ID
        events --interval 0 ID
        features
        --version
        -v
        --help
    """,
    "usage": """
        create
        exec
        ps
        events
        update
        no-such-verb
        create --no-such-option OTHER
        exec --no-such-option ID /bin/true
        update --no-such-option ID
        update --pids-limit x ID
        events --interval x ID
    """,
    "update": """
        update ID
        update --memory 64M ID
        update --memory 64M --memory-swap 128M ID
        update --memory 32M --memory-swap 64M ID
        update --memory-swap 128M ID
        update --memory -1 ID
        update --memory 64MiB ID
        update --memory 64x ID
        update --memory -5 ID
        update --memory 1 ID
        update --memory 128M --memory-swap 64M ID
        update --memory-reservation 16M ID
        update --kernel-memory 16M ID
        update --kernel-memory-tcp 16M ID
        update --cpu-period 50000 ID
        update --cpu-period 1 ID
        update --cpu-period 50000 --cpu-quota 25000 ID
        update --cpu-quota 30000 ID
        update --cpu-quota -1 ID
        update --cpu-quota 1 ID
        update --cpu-quota x ID
        update --cpu-share 512 ID
        update --cpu-share 1 ID
        update --cpu-share x ID
        update --cpu-rt-period 1000000 ID
        update --cpu-rt-runtime 1000 ID
        update --cpuset-cpus 0 ID
        update --cpuset-cpus 0-99999 ID
        update --cpuset-cpus x ID
        update --cpuset-mems 0 ID
        update --cpuset-mems 77 ID
        update --pids-limit 50 ID
        update --pids-limit -1 ID
        update --pids-limit 0 ID
        update --blkio-weight 500 ID
        update --blkio-weight 5 ID
        update --blkio-weight 70000 ID
        update --l3-cache-schema L3:0=f ID
        update --mem-bw-schema MB:0=20 ID
        update --resources - ID <{}
        update --resources - ID <
        update --resources - ID <{
        update --resources - ID <[]
        update --resources - ID <{"memory":{"limit":67108864}}
        update --resources - ID <{"memory":{"limit":"x"}}
        update --resources - ID <{"memory":{"limit":67108864,"reservation":0,"swap":134217728,"kernel":0}}
        update --resources - ID <{"cpu":{"shares":0,"quota":0,"period":0},"blockIO":{"weight":0}}
        update --resources - ID <{"cpu":{"quota":1}}
        update --resources - ID <{"unknown":{"a":1}}
        update --resources - ID <{"pids":{"limit":77}}
        update --resources - ID <{"hugepageLimits":[{"pageSize":"2MB","limit":0}]}
        update --resources - ID <{"hugepageLimits":[{"pageSize":"3MB","limit":0}]}
        update --resources - ID <{"unified":{"memory.high":"1"}}
        update --resources FILES/limits ID
        update --resources FILES/no-such ID
        update --resources FILES/no-json ID
    """,
}  # fmt: skip

USAGE = "a wrong command line is told in one line, status 1; runc prints its help"
DELIBERATE = {
    **dict.fromkeys([line.strip() for line in CALLS["usage"].strip().splitlines()], USAGE),
    "create --bundle FILES OTHER": "the path that is missing is named",
    "events --stats ID": "hugetlb is counted where only cgroup2 has that controller, on a hybrid layout",
    "features": "runc 1.1 knows fewer",
    "update --blkio-weight 5 ID": "the specification's range is kept",
    'update --resources - ID <{"hugepageLimits":[{"pageSize":"3MB","limit":0}]}': "what cannot be set is refused",
}
"""What is not as runc's, and why (docs/engines.md)."""

FILES = {
    "true": {"args": ["/bin/true"], "cwd": "/", "env": ["PATH=/bin"]},
    "missing": {"args": ["/no/such"], "cwd": "/", "env": ["PATH=/bin"]},
    "denied": {"args": ["passwd"], "cwd": "/", "env": ["PATH=/etc"]},
    "no-args": {"args": [], "cwd": "/"},
    "bad-cwd": {"args": ["/bin/true"], "cwd": "/no/such"},
    "terminal": {"args": ["/bin/true"], "cwd": "/", "terminal": True},
    "limits": {"memory": {"limit": 134217728, "swap": 268435456}, "cpu": {"quota": 50000, "period": 100000}},
    "no-json": "{",
}


BUNDLES: dict[str, dict[str, Any]] = {
    "same": {},
    "true": {"process.args": ["/bin/true"]},
    "seven": {"process.args": ["/bin/sh", "-c", "exit 7"]},
    "killed": {"process.args": ["/bin/sh", "-c", "kill -9 $$"]},
    "missing": {"process.args": ["/no/such"]},
    "not-in-path": {"process.args": ["no-such"]},
    "not-executable": {"process.args": ["/etc/passwd"]},
    "directory": {"process.args": ["/etc"]},
    "in-path-not-executable": {"process.args": ["passwd"], "process.env": ["PATH=/etc:/bin"]},
    "last-in-path-not-executable": {"process.args": ["passwd"], "process.env": ["PATH=/no:/etc"]},
    "directory-in-path": {"process.args": ["etc"], "process.env": ["PATH=/"]},
    "no-path": {"process.args": ["true"], "process.env": []},
    "no-args": {"process.args": []},
    "empty-arg": {"process.args": [""]},
    "relative-cwd": {"process.cwd": "relative"},
    "terminal": {"process.terminal": True},
    "no-root": {"root.path": "no-such"},
    "no-source": {"mounts": [{"destination": "/srv", "type": "bind", "source": "/no/such", "options": ["bind"]}]},
    "file-on-directory": {
        "mounts": [{"destination": "/srv", "type": "bind", "source": "/etc/passwd", "options": ["bind"]}]
    },
    "sysctl": {"linux.sysctl": {"net.ipv4.no_such": "1"}},
    "no-namespace": {"linux.namespaces": [{"type": "mount"}, {"type": "network", "path": "/no/such"}]},
    "no-hook": {"hooks": {"prestart": [{"path": "/no/such"}]}},
    "hook-fails": {"hooks": {"createRuntime": [{"path": "/bin/false"}]}},
    "relative-hook": {"hooks": {"prestart": [{"path": "relative"}]}},
    "one-byte": {"linux.resources": {"memory": {"limit": 1}}},
    "rlimit": {"process.rlimits": [{"type": "RLIMIT_NO", "hard": 1, "soft": 1}]},
    "apparmor": {"process.apparmorProfile": "no-such"},
}


class Caller:
    """A runtime, a container of it, and what the calls need."""

    def __init__(self, runtime: Runtime, directory: str, skeleton: Skeleton) -> None:
        os.mkdir(directory)
        self.runtime = runtime
        self.directory = directory
        self.log = f"{directory}/log.json"
        skeleton.build(f"{directory}/rootfs")
        for name, content in FILES.items():
            with open(f"{directory}/{name}", "w") as file:
                file.write(content if isinstance(content, str) else json.dumps(content))
        for name, changes in BUNDLES.items():
            self._make_bundle(f"{directory}/{name}.bundle", changes)
        self.ids = {"ID": runtime.new_id(), "OTHER": runtime.new_id()}

    def _make_bundle(self, path: str, changes: dict[str, Any]) -> None:
        config = default_config()
        config["root"]["path"] = f"{self.directory}/rootfs"
        config["process"]["args"] = ["/bin/sleep", "1000"]
        config["linux"]["resources"]["memory"] = {"limit": 512 * 1024**2}
        for place, value in changes.items():
            *parts, last = place.split(".")
            target = config
            for part in parts:
                target = target.setdefault(part, {})
            target[last] = target[last] + value if last == "mounts" else value
        os.mkdir(path)
        with open(f"{path}/config.json", "w") as file:
            json.dump(config, file)

    def answers(self, lines: str) -> list[Call]:
        """What a running container, and the runtime, say to these calls."""
        before = set(process.children())
        self("create --bundle BUNDLES/same ID")
        self("start ID")
        running = set(process.children()) - before
        process.expected |= running
        try:
            calls = [self(line.strip()) for line in lines.strip().splitlines()]
            return [call for call in calls if call]
        finally:
            for name in ("ID", "OTHER"):
                self(f"resume {name}")
                self(f"delete --force {name}")
            process.expected -= running
            process.kill_children()

    def __call__(self, line: str) -> Call | None:
        """Make one call."""
        if line == "wait":
            process.wait_for(lambda: not process.children(), "the end of init")
            return None
        text, arrow, given = line.partition(" <")
        size = os.stat(self.log).st_size if os.path.exists(self.log) else 0
        with tempfile.TemporaryFile(dir=self.directory) as stdin:
            stdin.write(given.encode())
            stdin.seek(0)
            result = self.runtime.call(
                *[self._word(word) for word in shlex.split(text)],
                options=("--log", self.log, "--log-format", "json"),
                stdin=stdin,
            )
        process.children()
        with open(self.log) as file:
            file.seek(size)
            return Call([line], arrow, [], [], result.returncode, result.stdout, result.stderr, file.read())

    def _word(self, word: str) -> str:
        kind, _, name = word.partition("/")
        if kind == "BUNDLES":
            return f"{self.directory}/{name}.bundle"
        return f"{self.directory}/{name}" if kind == "FILES" else self.ids.get(word, word)


@pytest.fixture(scope="module")
def callers(machine: Machine, runtime: Runtime, skeleton: Skeleton) -> Iterator[list[Caller]]:
    """The runtime under test, and runc."""
    runc = shutil.which("runc")
    if runc is None or not runtime.is_lxcri:
        pytest.skip("this compares lxcri with runc")
    runtimes = [runtime, Runtime(runc, machine.work, machine.prefix)]
    runtimes[1].root = f"{machine.work}/run/runc"  # it wonders at what others keep in theirs
    directories = [f"{machine.work}/calls-{one.name}" for one in runtimes]
    yield [Caller(one, directory, skeleton) for one, directory in zip(runtimes, directories, strict=True)]
    for directory in directories:
        shutil.rmtree(directory)


@pytest.mark.parametrize("name", CALLS)
def test_answers(callers: list[Caller], as_before: None, name: str) -> None:
    """The same in kind as runc's."""
    mine, others = (caller.answers(CALLS[name]) for caller in callers)
    found = {call: text for call, text in differences(mine, others).items() if call not in DELIBERATE}
    assert not found, "\n\n".join(f"{call}\n{text}" for call, text in found.items())
