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
    connections = [c for batch in batches for c in batch]
    rows = zip(*[_cells(column, connections) for column in columns], strict=True)
    titles = [column.title for column in columns] if has_header else []
    # Without disable_numparse it turns a process called 1e5 into 100000.
    text = tabulate.tabulate(list(rows), headers=titles, tablefmt=name, disable_numparse=True)
    yield text.encode() + b"\n"


def _cells(column: Column, connections: list[Connection]) -> list[str]:
    """Most of these formats take | as the end of a cell."""
    return [cell.replace("|", "\\|") for cell in column.cells(connections)]
