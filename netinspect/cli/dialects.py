"""Sockets in the format of another program, for `-o gnu` and `netinspect as`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from netinspect.cli.captures import captures_of
from netinspect.cli.exit_status import ExitStatus
from netinspect.cli.options import end, explain_plan, output_of
from netinspect.cli.output import terminal_width, write
from netinspect.errors import UsageError

if TYPE_CHECKING:
    from netinspect.api import Listing
    from netinspect.filters.selection import Selection
    from netinspect.model import Connection
    from netinspect.render.dialects.dialect import Dialect
    from netinspect.render.listing import Presentation


def list_in_dialect(
    selection: Selection, options: dict[str, Any], arranged: Presentation
) -> ExitStatus:
    """Print the sockets as the format option says.

    :param arranged: in which order, and how many.
    :raises UsageError: an option does not go with it.
    """
    from netinspect.render.dialects.choose import Wanted, choose

    name = output_of(options)
    if options["columns"]:
        raise UsageError(f"-o {name} has the columns of its program: leave --columns out")
    wanted = Wanted(
        protocols={table.protocol for table in selection.tables},
        is_one_state=selection.states is not None and len(selection.states) == 1,
        has_owners=not options["no_owners"],
        is_extended=options["extended"],
        has_header=not options["no_header"],
        width=terminal_width(),
    )
    return print_in_dialect(selection, choose(name, wanted), options, arranged)


def print_in_dialect(
    selection: Selection,
    dialect: Dialect,
    options: dict[str, Any],
    arranged: Presentation | None = None,
) -> ExitStatus:
    """Print the sockets in a dialect."""
    from netinspect.api import Listing
    from netinspect.render.dialects.dialect import render_dialect

    listing = Listing(
        selection,
        source=options["source"],
        captures=captures_of(options),
        with_owners=dialect.needs_owners or bool(arranged and arranged.needs_owners),
        with_direction=bool(arranged and arranged.needs_direction),
        is_extended=dialect.needs_extended or bool(arranged and arranged.needs_extended),
    )
    explain_plan(listing, is_wanted=options.get("explain_plan", False))
    batches = in_order(listing, dialect, arranged)
    if dialect.needs_command_lines and not listing.captures:
        batches = map(listing.describe, batches)
    has_header = not options.get("no_header", False)
    write(render_dialect(dialect, batches, has_header=has_header))
    return end(listing, selection, options)


def in_order(
    listing: Listing, dialect: Dialect, arranged: Presentation | None
) -> Iterator[list[Connection]]:
    """The sockets that the dialect shows, in their order and as many as are asked for.

    The order of a capture stays, unless another is asked for.
    """
    from netinspect.render.dialects.dialect import families_apart
    from netinspect.render.order import arrange

    shown: Iterable[list[Connection]] = (
        [c for c in connections if dialect.shows(c)] for connections in listing
    )
    sort, limit = (arranged.sort, arranged.limit) if arranged else ([], None)
    if not sort and not listing.captures:
        shown = families_apart(shown)
    return arrange(shown, sort, limit)
