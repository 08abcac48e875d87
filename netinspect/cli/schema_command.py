"""`netinspect schema`: the JSON Schema of what a command prints."""

from __future__ import annotations

from collections.abc import Iterator

import click

from netinspect.cli.exit_status import ExitStatus
from netinspect.cli.output import write
from netinspect.cli.sections import SectionCommand
from netinspect.errors import UsageError, unknown_word

COMMANDS_WITH_JSON = ("list", "summary", "port", "time-wait", "diagnose")

# The documents of the commands that teach: `render` does not know them.
TAUGHT = {
    "compare": "netinspect.teach.compare:Comparison",
    "explain": "netinspect.teach.explain:Explanations",
    "translate": "netinspect.teach.translate:Translations",
    "flags": "netinspect.teach.flags:Flags",
    "states": "netinspect.teach.states:States",
    "lab": "netinspect.lab.event:Event",
}


@click.command("schema", cls=SectionCommand)
@click.argument("name", metavar="[COMMAND]", default="list")
def command(name: str) -> int:
    """Print the JSON Schema (2020-12) of a command's --json output.

    A line of NDJSON is what the schema calls Connection in `list`, Count in `summary`, Group in
    `summary --by`, PortAnswer in `port`, Destination in `time-wait` and Finding in `diagnose`.
    """
    if name in TAUGHT:
        write(_schema_of_teaching(name))
        return ExitStatus.DONE
    if name not in COMMANDS_WITH_JSON:
        choices = (*COMMANDS_WITH_JSON, *TAUGHT)
        raise UsageError(unknown_word("command with JSON output", name, choices))

    from netinspect.render.schema import render_schema

    write(render_schema(name))
    return ExitStatus.DONE


def _schema_of_teaching(name: str) -> Iterator[bytes]:
    from importlib import import_module

    from netinspect.render.schema import schema_of

    module, _, kind = TAUGHT[name].partition(":")
    return schema_of([getattr(import_module(module), kind)])
