"""A whole listing in one of the formats."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from netinspect.model import Connection, Envelope, Note
from netinspect.render.columns import (
    ASKED_KEYS,
    DETAIL_COLUMNS,
    HOLDER_COLUMNS,
    KEYS,
    OWNER_COLUMNS,
    TABLE_COLUMNS,
    WIDE_COLUMNS,
    WITH_PARTS,
    Column,
    find_column,
)
from netinspect.render.escape import escape_json
from netinspect.render.named import check_format, render_named
from netinspect.render.order import SortKey, arrange, parse_sort
from netinspect.render.table import Layout, render_table

MACHINE_FORMATS = ("json", "ndjson", "csv", "tsv")
Describe = Callable[[list[Connection]], list[Connection]]
DELIMITERS = {"csv": ",", "tsv": "\t"}


class Screen(NamedTuple):
    """What the output goes to. `width` is None, and nothing is cut, where it is no terminal."""

    width: int | None = None
    has_colour: bool = False

    @property
    def is_terminal(self) -> bool:
        """Whether a control character would do something there."""
        return self.width is not None


class Presentation(NamedTuple):
    """How a listing is shown."""

    format: str
    columns: list[Column]
    is_whole_record: bool  # columns are the record's keys, all of them
    may_drop_columns: bool  # nobody asked for these columns by name
    has_owners: bool  # nobody asked to do without
    sort: list[SortKey]
    limit: int | None
    has_header: bool
    screen: Screen
    is_extended: bool = False  # with all that can be told of each socket and its owners

    @property
    def is_streamed(self) -> bool:
        """Whether each socket is shown as it comes, whatever came before and follows."""
        is_written_here = self.format in ("table", "wide", *MACHINE_FORMATS)
        return is_written_here and not self.sort and self.limit is None

    @property
    def needs_owners(self) -> bool:
        """Whether anything of it shows owners or sorts by them."""
        shown = [*self.columns, *(key.column for key in self.sort)]
        return self.has_owners and any(column.name in OWNER_COLUMNS for column in shown)

    @property
    def needs_holders(self) -> bool:
        """Whether anything of it shows users, descriptors or every process, or sorts by them."""
        shown = [*self.columns, *(key.column for key in self.sort)]
        has_column = any(column.name in HOLDER_COLUMNS for column in shown)
        return self.has_owners and (self.is_extended or has_column)

    @property
    def needs_details(self) -> bool:
        """Whether anything of it shows what the owners are, or sorts by it."""
        if self.is_extended and self.needs_owners:
            return True
        return self.has_owners and (
            self.sorts_by_details or any(c.name in DETAIL_COLUMNS for c in self.columns)
        )

    @property
    def sorts_by_details(self) -> bool:
        """Whether the order depends on what the owners are."""
        return any(key.column.name in DETAIL_COLUMNS for key in self.sort)

    @property
    def needs_direction(self) -> bool:
        """Whether anything of it shows the direction or sorts by it."""
        shown = [*self.columns, *(key.column for key in self.sort)]
        return self.is_extended or any(column.name == "direction" for column in shown)

    @property
    def needs_extended(self) -> bool:
        """Whether anything of it shows tcp_info, memory or options, or sorts by them."""
        shown = [*self.columns, *(key.column for key in self.sort)]
        return self.is_extended or any(c.name.partition(".")[0] in WITH_PARTS for c in shown)


def present(  # noqa: PLR0913 one argument an output option
    output: str,
    *,
    columns: list[str],
    sort: list[str],
    limit: int | None,
    has_header: bool,
    has_owners: bool,
    screen: Screen,
    is_extended: bool = False,
) -> Presentation:
    """The presentation that the output options describe.

    :raises UsageError: there is no such format or column.
    """
    check_format(output)
    names = columns or _default_columns(output, has_owners=has_owners, is_extended=is_extended)
    return Presentation(
        format=output,
        columns=[find_column(name) for name in names],
        is_whole_record=not columns and output in ("json", "ndjson"),
        may_drop_columns=not columns and output == "table",
        has_owners=has_owners,
        sort=parse_sort(sort),
        limit=limit,
        has_header=has_header,
        screen=screen,
        is_extended=is_extended,
    )


def _default_columns(output: str, *, has_owners: bool, is_extended: bool) -> list[str]:
    """The whole record for machines, also without owners: its keys do not change."""
    if output in MACHINE_FORMATS:
        return [*KEYS, *ASKED_KEYS] if is_extended else list(KEYS)
    names = WIDE_COLUMNS if output == "wide" else TABLE_COLUMNS
    return [name for name in names if has_owners or name not in OWNER_COLUMNS]


def render_listing(
    batches: Iterable[list[Connection]],
    shown: Presentation,
    envelope: Envelope,
    notes: Callable[[], Iterable[Note]],
    describe: Describe | None = None,
) -> Iterator[bytes]:
    """The listing, piece by piece. `notes` is asked when all has been read.

    :param describe: adds what the owners are, to the sockets that are shown, if it is to be shown.
    """
    arranged = _arranged(batches, shown, describe if shown.needs_details else None)
    if shown.format in ("table", "wide"):
        return render_table(arranged, _layout(shown))
    if shown.format in MACHINE_FORMATS:
        return _for_machines(arranged, shown, envelope, notes)
    return render_named(arranged, shown.columns, shown.format, has_header=shown.has_header)


def _arranged(
    batches: Iterable[list[Connection]], shown: Presentation, describe: Describe | None
) -> Iterator[list[Connection]]:
    if describe is None:
        return arrange(batches, shown.sort, shown.limit)
    if shown.sorts_by_details:
        return arrange(map(describe, batches), shown.sort, shown.limit)
    return map(describe, arrange(batches, shown.sort, shown.limit))


def _for_machines(
    batches: Iterator[list[Connection]],
    shown: Presentation,
    envelope: Envelope,
    notes: Callable[[], Iterable[Note]],
) -> Iterator[bytes]:
    from netinspect.render.machine import render_csv, render_json, render_ndjson

    keys = None if shown.is_whole_record else shown.columns
    if shown.format == "json":
        return _for_screen(render_json(batches, keys, envelope, notes), shown.screen)
    if shown.format == "ndjson":
        return _for_screen(render_ndjson(batches, keys), shown.screen)
    return render_csv(
        batches,
        shown.columns,
        delimiter=DELIMITERS[shown.format],
        has_header=shown.has_header,
        is_escaped=shown.screen.is_terminal,
    )


def _layout(shown: Presentation) -> Layout:
    return Layout(
        shown.columns,
        terminal_width=shown.screen.width if shown.may_drop_columns else None,
        has_header=shown.has_header,
        has_colour=shown.screen.has_colour,
        lines_below=_lines_below(shown),
    )


def _lines_below(shown: Presentation) -> Callable[[list[Connection]], Iterable[str]] | None:
    """What the extended table has below each row."""
    if not shown.is_extended:
        return None
    from netinspect.render.fact_lines import fact_lines  # most tables do not have them

    return lambda connections: fact_lines(connections, shown.screen.width)


def _for_screen(chunks: Iterator[bytes], screen: Screen) -> Iterator[bytes]:
    """JSON with the escapes that a terminal needs: the same document."""
    if not screen.is_terminal:
        return chunks
    return (escape_json(chunk.decode()).encode() for chunk in chunks)
