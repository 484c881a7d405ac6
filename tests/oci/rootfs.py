"""A small root file system: static busybox, a probe for single system calls, and what an attacker would bring."""

from __future__ import annotations

import os
import shutil
import subprocess

APPLETS = [
    "[", "awk", "basename", "cat", "chgrp", "chmod", "chown", "cp", "cut", "date", "dd", "df", "dirname",
    "dmesg", "echo", "env", "expr", "false", "find", "grep", "head", "hostname", "id", "ifconfig", "ip",
    "ipcs", "kill", "ln", "ls", "mkdir", "mkfifo", "mknod", "mount", "mountpoint", "mv", "nc", "nohup",
    "od", "printf", "ps", "pwd", "readlink", "realpath", "rm", "rmdir", "sed", "seq", "setsid", "sh",
    "sleep", "sort", "stat", "stty", "sync", "tail", "tee", "test", "timeout", "top", "touch", "tr", "true",
    "truncate", "tty", "umount", "uname", "uniq", "wc", "which", "whoami", "xargs",
]  # fmt: skip

PROGRAMS = ("probe", "attack")

DIRECTORIES = ("bin", "dev", "etc", "home", "proc", "root", "run", "srv", "sys", "tmp", "usr", "var")


class Skeleton:
    """What every root file system is copied from: its files are linked, not copied."""

    def __init__(self, directory: str) -> None:
        busybox = shutil.which("busybox", path="/usr/bin:/bin")
        if busybox is None:
            raise FileNotFoundError("busybox: not installed (Debian: busybox-static)")
        self.busybox = os.path.join(directory, "busybox")
        os.makedirs(directory)
        shutil.copy(busybox, self.busybox)
        self.programs = [self._compile(directory, name) for name in PROGRAMS]

    @staticmethod
    def _compile(directory: str, name: str) -> str:
        """A static program of the C file beside this one; returns its path."""
        program = os.path.join(directory, name)
        source = os.path.join(os.path.dirname(__file__), f"{name}.c")
        subprocess.run(
            ["cc", "-std=c11", "-Wall", "-Wextra", "-O1", "-static", "-o", program, source],
            check=True,
            timeout=60,
            env={"PATH": "/usr/bin:/bin", "TMPDIR": directory},
        )
        return program

    def build(self, root: str) -> None:
        """Make a new root file system at ``root``."""
        for name in DIRECTORIES:
            os.makedirs(os.path.join(root, name))
        os.chmod(os.path.join(root, "tmp"), 0o1777)
        os.link(self.busybox, os.path.join(root, "bin/busybox"))
        for program in self.programs:
            os.link(program, os.path.join(root, "bin", os.path.basename(program)))
        for applet in APPLETS:
            os.symlink("busybox", os.path.join(root, "bin", applet))
        with open(os.path.join(root, "etc/passwd"), "w") as file:
            file.write("root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000:user:/home:/bin/sh\n")
        with open(os.path.join(root, "etc/group"), "w") as file:
            file.write("root:x:0:\nuser:x:1000:\n")
