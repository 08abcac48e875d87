"""`netinspect summary`: how many sockets, by protocol and state?"""

from __future__ import annotations

from typing import Any

import click

from netinspect.cli.exit_status import ExitStatus
from netinspect.cli.options import (
    filter_options,
    format_options,
    output_of,
    refuse_words,
    say_what_does_not_exist,
    selection_of,
)
from netinspect.cli.output import print_notes, write
from netinspect.cli.sections import SectionCommand


@click.command("summary", cls=SectionCommand)
@filter_options
@format_options(("table", "json"))
@click.argument("words", nargs=-1, metavar="")
def command(words: tuple[str, ...], **options: Any) -> int:
    """Count sockets by protocol and state.

    TCP states that do not occur stand as 0. Owners are not read, unless an option filters by them.

    \b
    Examples:
      netinspect summary
      netinspect summary --rport 443 --json
    """
    refuse_words(words)
    selection = selection_of(options)

    from netinspect.api import Listing, summarize
    from netinspect.render.summary import render_summary

    summary = summarize(Listing(selection, source=options["source"], with_owners=False))
    write(render_summary(summary, output_of(options)))
    print_notes(summary.notes)
    say_what_does_not_exist(selection)
    return ExitStatus.DONE
