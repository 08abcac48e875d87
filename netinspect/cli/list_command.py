"""`netinspect list`: which sockets are there, and whose are they?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from netinspect.cli.captures import captures_of
from netinspect.cli.exit_status import ExitStatus
from netinspect.cli.options import (
    OUTPUT,
    check_words,
    column_words,
    complete_keywords,
    complete_words,
    end,
    explain_plan,
    filter_options,
    format_options,
    option,
    output_of,
    selection_of,
)
from netinspect.cli.output import has_colour, terminal_width, write
from netinspect.cli.sections import SectionCommand

if TYPE_CHECKING:
    from netinspect.api import Listing
    from netinspect.filters.selection import Selection
    from netinspect.render.listing import Presentation


@click.command("list", cls=SectionCommand, short_help="which sockets are there (the default)")
@filter_options
@format_options()
@option(
    OUTPUT,
    "--columns",
    multiple=True,
    metavar="NAMES",
    help="The columns, by comma: keys of the record, parts of them (tcp_info.rtt_ms), and local, "
    "remote, proto; of the first owner command, unit, container.",
    shell_complete=complete_words(column_words),
)
@option(
    OUTPUT,
    "--sort",
    multiple=True,
    metavar="KEY",
    help="Order by this column, -KEY for the largest first. Holds all rows.",
    shell_complete=complete_words(column_words),
)
@option(OUTPUT, "--limit", type=click.IntRange(min=0), metavar="N", help="At most N sockets.")
@option(OUTPUT, "--no-header", is_flag=True, help="No line of titles.")
@option(OUTPUT, "--no-owners", is_flag=True, help="Do not look for owners: much faster.")
@option(
    OUTPUT,
    "-e",
    "--extended",
    is_flag=True,
    help="All that can be told: TCP internals, memory and options of each socket; of each owner "
    "command line, parents, unit, container and so on.",
)
@option(
    OUTPUT,
    "--color",
    type=click.Choice(("auto", "always", "never")),
    default="auto",
    help="auto: on a terminal, unless NO_COLOR is set or TERM is dumb.",
)
@option(
    OUTPUT,
    "-q",
    "--quiet",
    is_flag=True,
    help="Print nothing; exit with 1 when nothing matches.",
)
@click.argument("words", nargs=-1, metavar="[EXPRESSION]", shell_complete=complete_keywords)
def command(words: tuple[str, ...], **options: Any) -> int:
    """List sockets with their owners.

    All TCP and UDP sockets unless an option says otherwise.

    \b
    Examples:
      netinspect -l --proto tcp
      netinspect -s close-wait --process java
      netinspect state established and not dst 10.0.0.0/8
      netinspect 'rtt > 100 or retrans > 20' --proto tcp
      netinspect -e --raddr 10.0.0.0/8
      netinspect --sort -tcp_info.rtt_ms --columns local,remote,tcp_info.rtt_ms
      netinspect --exposure any,public -o wide
      netinspect --direction inbound --columns local,remote,process
      netinspect --raddr 10.0.0.0/8 --sort -recv_q --limit 10
      netinspect -o csv --columns local_address,local_port,pid,process
      netinspect -o gnu --rport 443
      ssh host ss -tanp | netinspect --from - -s close-wait
    """
    check_words(words)
    selection = selection_of(options, words)

    from netinspect.api import Listing
    from netinspect.relay import Relay
    from netinspect.render.dialects import DIALECTS
    from netinspect.render.listing import render_listing

    is_dialect = output_of(options) in DIALECTS
    shown = _arrangement(options) if is_dialect else _presentation(options)
    if is_dialect and not options["quiet"]:
        from netinspect.cli.dialects import list_in_dialect

        return list_in_dialect(selection, options, shown)
    with_owners = shown.needs_owners and not options["quiet"]
    relay = Relay()
    listing = Listing(
        selection,
        source=options["source"],
        captures=captures_of(options),
        with_owners=with_owners,
        with_holders=shown.needs_holders and not options["quiet"],
        with_direction=shown.needs_direction and not options["quiet"],
        is_extended=shown.needs_extended and not options["quiet"],
        relay=relay if shown.is_streamed and not options["quiet"] else None,
    )
    explain_plan(listing, is_wanted=options["explain_plan"])
    if options["quiet"]:
        return _quiet_status(listing, selection, options)
    chunks = render_listing(
        listing, shown, listing.envelope, lambda: listing.notes, describe=listing.describe
    )
    write(relay.in_order(chunks))
    return end(listing, selection, options)


def _quiet_status(listing: Listing, selection: Selection, options: dict[str, Any]) -> ExitStatus:
    if not options["strict"]:
        return ExitStatus.DONE if any(listing) else ExitStatus.NO
    is_found = any(list(listing))  # to the end, for the rows that cannot be read
    return end(listing, selection, options) or (ExitStatus.DONE if is_found else ExitStatus.NO)


def _presentation(options: dict[str, Any]) -> Presentation:
    from netinspect.filters.words import split_words
    from netinspect.render.listing import Screen, present

    width = terminal_width()
    return present(
        output_of(options),
        columns=split_words(options["columns"]),
        sort=split_words(options["sort"]),
        limit=options["limit"],
        has_header=not options["no_header"],
        has_owners=not options["no_owners"],
        is_extended=options["extended"],
        screen=Screen(
            width=width,
            has_colour=has_colour(options["color"], is_terminal=width is not None),
        ),
    )


def _arrangement(options: dict[str, Any]) -> Presentation:
    """Only the order of the sockets and how many: the columns are not ours."""
    return _presentation({**options, "output": "table", "is_json": False, "columns": ("proto",)})
