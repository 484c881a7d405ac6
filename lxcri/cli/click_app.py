"""
The command line as click sees it: help, error texts and completion for people.

It is made from lxcri.cli.every and runs nothing: the outcome is a Request, or the exit status when the
answer was printed already.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from .. import OCI_VERSION, __version__
from ..context import state_root
from ..state import all_entries
from .commands import DURATION, FLAG, GLOBAL_OPTIONS, HELP_WORDS, Command, Option, Request, UsageError
from .every import COMMANDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .commands import Argument, Value

# docker looks for a line with "version" in it, and for a commit that is not empty.
VERSION = f"lxcri version {__version__}\ncommit: {__version__}\nspec: {OCI_VERSION}"


def parse(words: list[str]) -> Request | int:
    """What these words ask for, or the exit status if help was asked for; raises UsageError."""
    try:
        outcome = Program().main(words, prog_name="lxcri", standalone_mode=False)
    except click.UsageError as e:
        options = e.ctx.find_root().params if e.ctx else {}
        verb = e.ctx.info_name or "" if e.ctx and e.ctx.parent else ""
        raise UsageError(_sentence(e, verb), verb, options) from e
    assert isinstance(outcome, Request | int)
    return outcome


def _sentence(e: click.UsageError, verb: str) -> str:
    """The error on one line, worded as other errors are, with the way to help."""
    message = " ".join(e.format_message().split()).rstrip(".")
    return f"{message[:1].lower()}{message[1:]} (see {f'lxcri {verb}'.rstrip()} --help)"


class Program(click.Group):
    """The program with its global options; verbs are made when they are asked for."""

    def __init__(self) -> None:
        version = click.Option(
            ["--version", "-v"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_print_version,
            help="Print the version and exit.",
        )
        super().__init__(
            params=[*(_option(option) for option in GLOBAL_OPTIONS), version],
            help="An OCI container runtime on liblxc.",
            epilog="Every option may be written with one dash or two.",
            callback=_no_verb,
            invoke_without_command=True,
            context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 110},
        )

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 (click's signature)
        """Names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 (click's signature)
        """One verb, or `help`, which runc has too."""
        if cmd_name in ("help", "h"):
            name = click.Argument(["name"], required=False, default="")
            return click.Command("help", params=[name], callback=self._help)
        command = COMMANDS.get(cmd_name)
        return Verb(command) if command else None

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words up to the verb."""
        with click.core.augment_usage_errors(ctx):
            return super().parse_args(ctx, list(spelled_out(GLOBAL_OPTIONS, args, stop_at_positional=True)))

    def _help(self, name: str) -> Request | int:
        return parse([name, "--help"] if name else ["--help"])


class Verb(click.Command):
    """One command, whose outcome is the Request."""

    def __init__(self, command: Command) -> None:
        self.definition = command
        rest = [click.Argument([command.rest], nargs=-1, type=click.UNPROCESSED)] if command.rest else []
        super().__init__(
            command.name,
            params=[*map(_argument, command.arguments), *rest, *map(_option, command.options)],
            context_settings={"allow_interspersed_args": not rest},
            help=f"{command.summary}.\n\n{command.refused or command.help}",
            short_help=command.summary,
            callback=self._request,
        )

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words after the verb; one that is always refused does not look at them."""
        if self.definition.refused:
            args = [word for word in args if word in HELP_WORDS]
        with click.core.augment_usage_errors(ctx):
            words = spelled_out(self.definition.options, args, stop_at_positional=bool(self.definition.rest))
            return super().parse_args(ctx, list(words))

    def _request(self, **arguments: Any) -> Request:
        for keyword, value in arguments.items():
            if isinstance(value, tuple):  # click's way of saying list
                arguments[keyword] = list(value)
        return Request(click.get_current_context().find_root().params, self.definition, arguments)


def spelled_out(options: Sequence[Option], words: Sequence[str], *, stop_at_positional: bool = False) -> Iterator[str]:
    """
    Options in the one spelling that click is told of, two dashes and an equals sign.

    Go programs, and so engines and people who know runc, may write one dash and --flag=false.
    """
    rest = iter(words)
    for word in rest:
        name, equals, text = word.removeprefix("-").removeprefix("-").partition("=")
        option = next((option for option in options if name and name in (option.name, option.short)), None)
        if word == "--" or (stop_at_positional and (len(word) < 2 or word[0] != "-")):
            yield word
            break
        if word in HELP_WORDS:
            yield "--help"
        elif word == "-version":
            yield "--version"
        elif option is None or word[0] != "-":
            yield word
        elif equals:
            yield f"--{option.name}={text}"
        elif option.kind is FLAG:
            yield f"--{option.name}=true"
        else:
            value = next(rest, None)
            yield f"--{option.name}" if value is None else f"--{option.name}={value}"
    yield from rest


def _option(option: Option) -> click.Option:
    """An option as click has it; flags too have a value there (see spelled_out)."""
    return click.Option(
        [f"-{option.short}", f"--{option.name}"] if option.short else [f"--{option.name}"],
        type=OptionType(option),
        multiple=option.repeated,
        default=option.default,
        show_default=_default_in_help(option),
        metavar=option.metavar or "|".join(option.choices),
        help=option.help,
        hidden=option.hidden,
    )


def _default_in_help(option: Option) -> bool | str:
    if option.kind is DURATION:
        return f"{option.default:g}s"
    return bool(option.default) and option.kind is not FLAG


def _argument(argument: Argument) -> click.Argument:
    if argument.required:
        return click.Argument([argument.keyword], shell_complete=_complete_id)
    return click.Argument([argument.keyword], required=False, default=argument.default)


class OptionType(click.ParamType):  # type: ignore[type-arg]  # generic since click 8.4 only
    """The values of one option."""

    def __init__(self, option: Option) -> None:
        self.option = option
        self.name = option.kind

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Convert as the fast parser does."""
        if not isinstance(value, str) or value == self.option.default:
            return value
        try:
            return self.option.convert(value)
        except ValueError as e:
            self.fail(str(e), param, ctx)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The choices or file names; what follows a flag is the verb's argument, not a value."""
        if self.option.kind is FLAG:
            return _complete_id(ctx, param, incomplete)
        if self.option.choices:
            return click.Choice(self.option.choices).shell_complete(ctx, param, incomplete)
        return click.Path().shell_complete(ctx, param, incomplete)


def _complete_id(ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    root = state_root(ctx.find_root().params.get("root"))
    return [CompletionItem(name) for name in all_entries(root) if name.startswith(incomplete)]


def _print_version(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value and not ctx.resilient_parsing:
        click.echo(VERSION)
        ctx.exit()


def _no_verb(**_options: Value) -> None:
    ctx = click.get_current_context()
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())
        ctx.exit()
