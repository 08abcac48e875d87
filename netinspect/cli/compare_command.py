"""`netinspect compare`: the same sockets as several programs print them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from netinspect.cli.captures import captures_of
from netinspect.cli.exit_status import ExitStatus
from netinspect.cli.options import (
    OUTPUT,
    check_words,
    complete_keywords,
    complete_words,
    end,
    explain_plan,
    filter_options,
    option,
    output_of,
    selection_of,
)
from netinspect.cli.output import has_colour, print_error, terminal_width
from netinspect.cli.sections import SectionCommand
from netinspect.cli.teaching import teaching_options, text_width, write_document, write_lines

if TYPE_CHECKING:
    from collections.abc import Sequence

    from netinspect.api import Listing
    from netinspect.filters.selection import Selection
    from netinspect.model import Connection
    from netinspect.teach.compare import Comparison, Printed

MOST_IN_TEXT = 10


def _dialect_words() -> tuple[str, ...]:
    from netinspect.render.dialects import DIALECTS

    return DIALECTS


@click.command("compare", cls=SectionCommand)
@filter_options
@option(
    OUTPUT,
    "--dialects",
    multiple=True,
    metavar="NAMES",
    help="By comma: gnu (netstat of Linux), bsd (of macOS), ss, windows. Without: gnu,bsd.",
    shell_complete=complete_words(_dialect_words),
)
@teaching_options
@option(
    OUTPUT,
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    help=f"At most N sockets. Without: {MOST_IN_TEXT}, and all with --json.",
)
@option(
    OUTPUT,
    "--color",
    type=click.Choice(("auto", "always", "never")),
    default="auto",
    help="What differs is underlined, or has ^ below it. auto: on a terminal, unless NO_COLOR is "
    "set or TERM is dumb.",
)
@click.argument("words", nargs=-1, metavar="[EXPRESSION]", shell_complete=complete_keywords)
def command(words: tuple[str, ...], **options: Any) -> int:
    """Show sockets as netstat of Linux and of macOS print them, with what to type there.

    Says what each flag means and what cannot be asked for, and marks what differs in the rows.
    Side by side where the terminal is wide enough.

    \b
    Examples:
      netinspect compare -s time-wait
      netinspect compare -l --proto tcp --dialects gnu,ss
      netinspect compare --rport 443 --dialects gnu,bsd,ss,windows
      netinspect compare --from mac.txt --limit 3 --json
    """
    check_words(words)
    selection = selection_of(options, words)

    from netinspect.api import Listing
    from netinspect.filters.words import split_words
    from netinspect.teach.compare import parse_dialects, print_side

    names = parse_dialects(split_words(options["dialects"]))
    listing = Listing(
        selection, source=options["source"], captures=captures_of(options), with_owners=False
    )
    explain_plan(listing, is_wanted=options["explain_plan"])
    connections, total = _take(listing, _limit(options))
    expression = " ".join(words).split()
    is_terminal = terminal_width() is not None
    sides = [
        print_side(name, selection, expression, connections, is_terminal=is_terminal)
        for name in names
    ]
    return _write(sides, listing, selection, options, total)


def _limit(options: dict[str, Any]) -> int | None:
    is_json = output_of(options) == "json"
    limit: int | None = options["limit"]
    return limit if limit is not None or is_json else MOST_IN_TEXT


def _take(listing: Listing, limit: int | None) -> tuple[list[Connection], int]:
    """The first sockets, IPv4 before IPv6, and how many there are."""
    from netinspect.render.dialects.dialect import families_apart

    taken: list[Connection] = []
    total = 0
    for connections in families_apart(listing):
        total += len(connections)
        taken += connections if limit is None else connections[: max(0, limit - len(taken))]
    return taken, total


def _write(
    sides: Sequence[Printed],
    listing: Listing,
    selection: Selection,
    options: dict[str, Any],
    total: int,
) -> ExitStatus:
    if output_of(options) == "json":
        write_document(_document(sides, listing, total))
        return end(listing, selection, options)

    from netinspect.teach.compare_text import Text

    width = terminal_width()
    text = Text(width, has_colour=has_colour(options["color"], is_terminal=width is not None))
    write_lines(text.lines(sides))
    if options["with_sources"]:
        from netinspect.teach.translate_text import source_lines

        found = [source for printed in sides for source in printed.side.sources]
        write_lines(["", *source_lines(found, text_width())])
    shown = len(sides[0].slots)
    if shown < total:
        print_error(f"{shown} of {total} sockets; --limit {total} shows all")
    return end(listing, selection, options)


def _document(sides: Sequence[Printed], listing: Listing, total: int) -> Comparison:
    from msgspec.structs import asdict

    from netinspect.teach.compare import Comparison

    return Comparison(
        **asdict(listing.envelope),
        dialects=tuple(printed.side for printed in sides),
        total=total,
        shown=len(sides[0].slots),
        notes=listing.notes,
    )
