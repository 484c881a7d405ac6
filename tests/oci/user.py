"""An ordinary user of this machine, who is known to it for as long as the tests want."""

from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from oci import machine
from oci.runtime import ENVIRONMENT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from oci.machine import Machine

UID = 54321
SUBORDINATE = 700000
COUNT = 65536


@dataclass
class User:
    """Who the machine's databases call ``lxcri-test``; with a home directory and a runtime directory."""

    directory: str
    uid: int = UID
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home = os.path.join(self.directory, "home")
        self.runtime_dir = os.path.join(self.directory, "xdg")
        os.makedirs(self.directory)
        for path in (self.home, self.runtime_dir):
            os.mkdir(path, 0o700)
            os.chown(path, self.uid, self.uid)
        self.environment = {**ENVIRONMENT, "HOME": self.home, "XDG_RUNTIME_DIR": self.runtime_dir}

    def argv(self, *words: str) -> list[str]:
        """A command line that makes root run these words as this user."""
        return [
            shutil.which("setpriv") or "setpriv",
            f"--reuid={self.uid}",
            f"--regid={self.uid}",
            "--clear-groups",
            "--",
            *words,
        ]

    def give(self, path: str) -> None:
        """Let the user have a directory with all in it."""
        for directory, directories, files in os.walk(path):
            for name in (directory, *(os.path.join(directory, entry) for entry in directories + files)):
                os.chown(name, self.uid, self.uid, follow_symlinks=False)


@contextlib.contextmanager
def known(machine_: Machine, *, subordinate: bool) -> Iterator[User]:
    """A user, with subordinate ids or without, in copies of the databases that are bound over them meanwhile."""
    directory = os.path.join(machine_.work, "user")
    user = User(directory)
    own = f"lxcri-test:{SUBORDINATE}:{COUNT}\n" if subordinate else ""
    files = {
        "/etc/passwd": f"lxcri-test:x:{UID}:{UID}::{user.home}:/bin/sh\n",
        "/etc/group": f"lxcri-test:x:{UID}:\n",
        "/etc/subuid": own,
        "/etc/subgid": own,
    }
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, directory)
        for path, line in files.items():
            if not os.path.exists(path):
                continue
            copy = os.path.join(directory, os.path.basename(path))
            with open(path) as source, open(copy, "w") as target:
                target.write(source.read() + line)
            stack.enter_context(machine.mounted(copy, path, flags=machine.MS_BIND))
        yield user
