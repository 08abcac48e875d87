"""Counts: a table with a line for each state, or one of the formats for programs."""

from __future__ import annotations

from collections.abc import Iterator

from netinspect.model import Count, Summary
from netinspect.render.document import render_document

TITLE = "STATE"
KEYS = ("protocol", "family", "state", "count")


def render_summary(summary: Summary, output: str) -> Iterator[bytes]:
    """The summary as `table`, `json`, `ndjson`, `csv` or `tsv`; a line for each count."""
    if output == "table":
        return iter([_table(summary).encode()])
    return render_document(summary, summary.counts, KEYS, output, is_terminal=False)


def _table(summary: Summary) -> str:
    """States down, protocols across; `-` where a protocol does not know the state."""
    protocols = list(dict.fromkeys(map(_protocol, summary.counts)))
    states = list(dict.fromkeys(count.state for count in summary.counts))
    cells: dict[tuple[str, str], int] = {
        (count.state, _protocol(count)): count.count for count in summary.counts
    }
    totals = [
        sum(count.count for count in summary.counts if _protocol(count) == protocol)
        for protocol in protocols
    ]
    rows = [
        [TITLE, *(protocol.upper() for protocol in protocols), "TOTAL"],
        *(_row(state, protocols, cells) for state in states),
        ["total", *map(str, totals), str(summary.total)],
    ]
    return "".join(_line(row, _widths(rows)) for row in rows)


def _protocol(count: Count) -> str:
    return count.protocol + ("6" if count.family == "ipv6" else "")


def _row(state: str, protocols: list[str], cells: dict[tuple[str, str], int]) -> list[str]:
    counts = [cells.get((state, protocol)) for protocol in protocols]
    total = sum(count or 0 for count in counts)
    return [state, *("-" if count is None else str(count) for count in counts), str(total)]


def _widths(rows: list[list[str]]) -> list[int]:
    return [max(map(len, column)) for column in zip(*rows, strict=True)]


def _line(row: list[str], widths: list[int]) -> str:
    numbers = (cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))
    return "  ".join([row[0].ljust(widths[0]), *numbers]) + "\n"
