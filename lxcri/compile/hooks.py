"""config.md, "POSIX-platform Hooks"."""

from ..errors import Error
from ..plan import Builder
from ..spec import Hook, Hooks, Spec

KINDS = {
    # name in the document: field of the Struct, in the order of the container's life
    "prestart": "prestart",
    "createRuntime": "create_runtime",
    "createContainer": "create_container",
    "startContainer": "start_container",
    "poststart": "poststart",
    "poststop": "poststop",
}

RUNTIME_KINDS = ("prestart", "createRuntime")
"""Hooks that the runtime runs during create, in its own namespaces."""

TIMEOUT_MAX = 2**64 - 1
"""Milliseconds that an instruction can hold."""

STAGES = {"createContainer": "create_container", "startContainer": "start"}
"""Hooks that lxcri-init runs, in the container's namespaces, and the stage of its program that they are in."""


def merge_hooks(first: Hooks | None, second: Hooks | None) -> Hooks | None:
    """The hooks of both, those of `first` before those of `second`."""
    if first is None or second is None:
        return first or second
    return Hooks(**{field: getattr(first, field) + getattr(second, field) for field in KINDS.values()})


def hooks_of(hooks: Hooks | None, kind: str) -> list[tuple[str, Hook]]:
    """The hooks of one kind, each with its subject for errors."""
    if hooks is None:
        return []
    return [(f'hooks.{kind}[{i}] "{hook.path}"', hook) for i, hook in enumerate(getattr(hooks, KINDS[kind]))]


def needs_pre_pivot(hooks: Hooks | None) -> bool:
    """Whether there are hooks that must see the mounts before the pivot."""
    return any(hooks_of(hooks, kind) for kind in (*RUNTIME_KINDS, "createContainer"))


def _check_hook(subject: str, hook: Hook) -> None:
    if not hook.path.startswith("/"):
        raise Error(f'{subject.partition(" ")[0]}.path: "{hook.path}" is not absolute')
    if hook.args and not hook.args[0]:
        raise Error(f"{subject}: args[0]: empty")
    for i, entry in enumerate(hook.env):
        if entry.find("=") < 1:
            raise Error(f'{subject}: env[{i}]: "{entry}" is not of the form name=value')


def compile_hooks(builder: Builder, spec: Spec) -> list[tuple[str, Hook]]:
    """Instructions for the helper's hooks; return those that the runtime runs during create."""
    for kind in KINDS:
        for subject, hook in hooks_of(spec.hooks, kind):
            _check_hook(subject, hook)
            if kind in STAGES:
                args = hook.args or [hook.path]
                timeout = min((hook.timeout or 0) * 1000, TIMEOUT_MAX)
                builder.add(STAGES[kind], "hook", subject, hook.path, args, hook.env, timeout)
    return [hook for kind in RUNTIME_KINDS for hook in hooks_of(spec.hooks, kind)]
