"""The named formats of tabulate: github, html, latex and so on. They hold all rows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netinspect.errors import UsageError, unknown_word
from netinspect.model import Connection
from netinspect.render.columns import Column

# These print cells as code of their format, and a stranger chooses what stands in a cell.
UNSAFE_FORMATS = {"unsafehtml": "html", "latex_raw": "latex"}
OWN_FORMATS = ("table", "wide", "json", "ndjson", "csv", "tsv")


def named_formats() -> list[str]:
    """The formats of tabulate that are offered."""
    import tabulate

    return [name for name in tabulate.tabulate_formats if name not in UNSAFE_FORMATS]


def check_format(name: str) -> None:
    """Refuse a format that does not exist.

    :raises UsageError: with the nearest that does.
    """
    if name in UNSAFE_FORMATS:
        safe = UNSAFE_FORMATS[name]
        raise UsageError(f"format {name!r} does not escape what strangers choose; use {safe}")
    if name not in OWN_FORMATS and name not in named_formats():
        raise UsageError(unknown_word("format", name, (*OWN_FORMATS, *named_formats())))


def render_named(
    batches: Iterable[list[Connection]], columns: list[Column], name: str, *, has_header: bool
) -> Iterator[bytes]:
    """The table in a format of tabulate's."""
    import tabulate

    tabulate.PRESERVE_WHITESPACE = True
    rows = [[_cell(column, c) for column in columns] for b in batches for c in b]
    titles = [column.title for column in columns] if has_header else []
    # Without disable_numparse it turns a process called 1e5 into 100000.
    text = tabulate.tabulate(rows, headers=titles, tablefmt=name, disable_numparse=True)
    yield text.encode() + b"\n"


def _cell(column: Column, connection: Connection) -> str:
    """Most of these formats take | as the end of a cell."""
    return column.cell(connection).replace("|", "\\|")
