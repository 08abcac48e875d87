"""The program: which command, and what becomes of its errors."""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING

import click

from netinspect import __version__
from netinspect.cli.exit_status import ExitStatus
from netinspect.cli.foreign_flags import check_foreign_flags
from netinspect.cli.output import (
    discard_output,
    error_columns,
    flush_output,
    print_error,
    print_lines,
    write,
)
from netinspect.cli.sections import write_sections
from netinspect.errors import ExpressionError, NetinspectError, UsageError, unknown_word
from netinspect.filters.keywords import KEYWORDS, begins_expression
from netinspect.render.escape import escape_part

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

PROGRAM = "netinspect"
COMPLETION_VARIABLE = "_NETINSPECT_COMPLETE"
CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

# Each command is the variable `command` of the module of its name, loaded when it is needed.
COMMANDS = {
    "list": "which sockets are there, and whose are they (the default)",
    "summary": "how many, by protocol and state, or by process, address, ...",
    "time-wait": "where TIME_WAIT comes from, and whether the ports suffice",
    "port": "who has a port, would bind() work, and if not, what to do",
    "lab": "safe loopback experiments that make states and faults appear",
    "diagnose": "what is wrong, how that shows, and what to do",
    "check": "one value against thresholds, for Nagios and Icinga",
    "explain": "what a netstat, ss or lsof command means, flag by flag",
    "translate": "the same command for another system or tool",
    "flags": "what a letter means to netstat, ss, lsof and sockstat",
    "states": "what a TCP state means, and what many of them are a sign of",
    "compare": "the same sockets as Linux, macOS, ss or Windows print them",
    "as": "do what a netstat, ss or sockstat of another system does",
    "schema": "the JSON Schema of a command's output",
    "completion": "completion for bash, zsh or fish",
}
DEFAULT_COMMAND = "list"
# `check` takes the letters of all plugins (-w, -c, -t), the others those of another program.
WITH_OTHER_FLAGS = frozenset({"check", "as", "explain", "translate", "flags"})
PRINTED_BY_CLICK = frozenset({"-h", "--help", "--version"})
EXAMPLES = """\
\b
  netinspect                            all TCP and UDP sockets, with owners
  netinspect -l                         what listens
  netinspect -s time-wait --rport 443   what waits, of those to port 443
  netinspect --process nginx -o json    for a script
  netinspect summary                    how many, by state
  netinspect dst 10.0.0.0/8 and not dport = :443
  netinspect summary --by process       how many, by process
  netinspect time-wait                  do the ports suffice, and why not
  netinspect port 8080                  who has it, and would bind() work
"""


class Program(click.Group):
    """A group whose commands are loaded one at a time, and whose default command is `list`."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 click's signature
        """All commands, in the order of `--help`."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 click's signature
        """Load a command; None when there is none of this name."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"netinspect.cli.{cmd_name.replace('-', '_')}_command")
        command: click.Command = module.command
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Put the default command in."""
        # While the shell completes the first word it may still become a command.
        if args or not ctx.resilient_parsing:
            args = with_command(args)
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The first word is a command, or an option of the default command."""
        default = self.get_command(ctx, DEFAULT_COMMAND)
        if incomplete.startswith("-") and default:
            return default.shell_complete(click.Context(default), incomplete)
        return super().shell_complete(ctx, incomplete)

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The commands, the options of the default command, and our own."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))
        default = self.get_command(ctx, DEFAULT_COMMAND)
        if default:
            write_sections(ctx, [*default.params, *self.get_params(ctx)], formatter)


def with_command(args: list[str]) -> list[str]:
    """The arguments with the default command where none is named.

    :raises UsageError: the first word is no command.
    """
    if not args or (args[0].startswith("-") and args[0] not in PRINTED_BY_CLICK):
        return [DEFAULT_COMMAND, *args]
    if args[0].startswith("-") or args[0] in COMMANDS:
        return args
    if begins_expression(args[0]):
        return [DEFAULT_COMMAND, *args]
    raise unknown_first_word(args[0])


def unknown_first_word(word: str) -> UsageError:
    """The error for a word that is no command and begins no expression."""
    return UsageError(unknown_word("command or condition", word, (*COMMANDS, *KEYWORDS)))


@click.command(
    cls=Program,
    context_settings=CONTEXT,
    help="What are this machine's sockets doing, whose are they, and is that a problem?\n\n"
    + EXAMPLES,
    options_metavar="[COMMAND] [OPTIONS]",
    subcommand_metavar="",
)
@click.version_option(__version__, prog_name=PROGRAM)
def program() -> None:
    """Overridden by `help`."""


def run(args: list[str]) -> int:
    """Do what the arguments ask; the exit status. Nothing that is foreseen raises.

    Not through click's main(): its statuses for a broken pipe and for Ctrl-C are wrong.
    """
    instruction = os.environ.get(COMPLETION_VARIABLE)
    if instruction:
        return _complete(instruction)
    if args[:1] == ["check"]:
        from netinspect.cli.check_command import as_plugin  # has statuses of its own

        is_asked_for_help = bool(PRINTED_BY_CLICK.intersection(args))
        return as_plugin(lambda: _invoke(args), _message, is_answer=not is_asked_for_help)
    try:
        return _invoke(args)
    except (UsageError, click.UsageError) as error:
        return _fail(error, ExitStatus.USAGE)
    except NetinspectError as error:
        return _fail(error, ExitStatus.UNREADABLE)
    except KeyboardInterrupt:
        discard_output()
        return ExitStatus.INTERRUPTED
    except BrokenPipeError:
        discard_output()
        return ExitStatus.BROKEN_PIPE
    except OSError as error:
        discard_output()
        return _fail(error, ExitStatus.UNREADABLE)


def _complete(instruction: str) -> int:
    from click.shell_completion import shell_complete

    status = shell_complete(program, {}, PROGRAM, COMPLETION_VARIABLE, instruction)
    flush_output()
    return status


def _invoke(args: list[str]) -> int:
    if args[:1] == ["help"]:
        args = [*args[1:], "--help"]
    if not args or args[0] not in WITH_OTHER_FLAGS:
        check_foreign_flags(args, _options_with_value(args))
    if PRINTED_BY_CLICK.intersection(args):
        write(())  # fails where stdout is closed; click does not, or with a traceback
    try:
        with program.make_context(PROGRAM, list(args)) as context:
            status = program.invoke(context)
    except click.exceptions.Exit as done:  # --help, --version
        status = done.exit_code
    flush_output()
    return status if status is not None else ExitStatus.DONE


def _options_with_value(args: list[str]) -> set[str]:
    """The options of the command in question that take the next word as their value."""
    name = args[0] if args and args[0] in COMMANDS else DEFAULT_COMMAND
    command = program.get_command(click.Context(program), name)
    params = command.params if command else []
    return {
        name
        for param in params
        if isinstance(param, click.Option) and not param.is_flag
        for name in param.opts
    }


def _usage_message(error: click.UsageError) -> str:
    """What click says, on one line and in our manner."""
    if isinstance(error, click.NoSuchOption):
        nearest = " or ".join(error.possibilities or ())
        question = f"; did you mean {nearest}?" if nearest else ""
        if len(error.option_name) == 2:
            question = f"; what others mean by it: netinspect flags {error.option_name[1]}"
        return f"unknown option {error.option_name!r}{question}"
    message = " ".join(error.format_message().split()).rstrip(".")
    return f"{message[:1].lower()}{message[1:]}"


def _message(error: Exception) -> str:
    """What is wrong, and where there is help."""
    if isinstance(error, click.UsageError):
        path = error.ctx.command_path if error.ctx else PROGRAM
        return f"{_usage_message(error)} (see {path} --help)"
    if isinstance(error, ExpressionError):
        return error.problem
    if isinstance(error, OSError):
        return f"cannot write the answer: {error.strerror}"
    return str(error)


def _fail(error: Exception, status: ExitStatus) -> int:
    """Say it on one line of stderr, and point at the place in an expression."""
    print_error(_message(error))
    if isinstance(error, ExpressionError):
        from netinspect.render.pointer import pointer

        print_lines(pointer(map(escape_part, error.parts), error_columns()))
    return status
