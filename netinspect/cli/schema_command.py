"""`netinspect schema`: the JSON Schema of what a command prints."""

from __future__ import annotations

import click

from netinspect.cli.exit_status import ExitStatus
from netinspect.cli.output import write
from netinspect.cli.sections import SectionCommand
from netinspect.errors import UsageError, unknown_word

COMMANDS_WITH_JSON = ("list", "summary", "port")


@click.command("schema", cls=SectionCommand)
@click.argument("name", metavar="[COMMAND]", default="list")
def command(name: str) -> int:
    """Print the JSON Schema (2020-12) of a command's --json output: list, summary or port.

    A line of NDJSON is what the schema calls Connection in `list`, Count in `summary`, Group in
    `summary --by` and PortAnswer in `port`.
    """
    if name not in COMMANDS_WITH_JSON:
        raise UsageError(unknown_word("command with JSON output", name, COMMANDS_WITH_JSON))

    from netinspect.render.schema import render_schema

    write(render_schema(name))
    return ExitStatus.DONE
