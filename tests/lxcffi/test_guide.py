"""The examples of docs/lxcffi.md, run one after the other."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .conftest import Home

HERE = os.path.dirname(os.path.abspath(__file__))
GUIDE = os.path.join(os.path.dirname(os.path.dirname(HERE)), "docs", "lxcffi.md")

# The guide says nothing of the cgroups that these containers have to be below, nor that it freezes one whose init has
# just begun: Home.wait_for_init() says why that takes a wait.
PROLOGUE = """
import os, time
import lxcffi

class Container(lxcffi.Container):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        if not self.is_defined:
            self.config.set("lxc.cgroup.dir", {cgroup!r})
            self.config.set("lxc.rootfs.mount", {mount!r})

    def start(self, *arguments, **options):
        super().start(*arguments, **options)
        while not arguments and not os.path.exists(os.path.join(lxcpath, self.name, "rootfs/run/starts")):
            time.sleep(0.01)

lxcffi.Container = Container
lxcpath = {path!r}
template = {template!r}
"""


def test_examples_of_the_guide_run(home: Home, environment: dict[str, str]) -> None:
    with open(GUIDE, encoding="utf-8") as file:
        examples = re.findall(r"^```python\n(.*?)^```$", file.read(), re.DOTALL | re.MULTILINE)
    assert len(examples) > 12
    path = os.path.join(home.path, "guide")
    os.makedirs(path)
    template = os.path.join(HERE, "template")
    prologue = PROLOGUE.format(cgroup=home.cgroup, mount=home.mount, path=path, template=template)
    program = "\n".join([prologue, *examples])
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=100,
        env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "web lxc.tty.max many\n" in done.stdout
    assert "attach of container absent: it does not run\n" in done.stdout
    assert "before the upgrade\n" in done.stdout
    assert os.listdir(path) == ["output"]
