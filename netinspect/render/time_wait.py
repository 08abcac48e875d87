"""TIME_WAIT: its numbers, a line for each destination, and the findings; or for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import msgspec

from netinspect.diagnose.time_wait_evidence import name_of
from netinspect.diagnose.time_wait_record import Destination, TimeWait
from netinspect.render.escape import display_width, escape_cell
from netinspect.render.findings import finding_lines
from netinspect.render.wrapped import DEFAULT_WIDTH, paragraph

BARS = "▁▂▃▄▅▆▇█"
NONE_CREATED = " "
UNKNOWN = "-"
GAP = "  "
LONGEST_TEXT = 100  # columns of prose, however wide the terminal is
KEYS = Destination.__struct_fields__


class Column(NamedTuple):
    """One column of the table of destinations."""

    title: str
    cells: list[str]
    is_number: bool = True


# In a terminal that is too narrow these are left out, in this order.
MAY_BE_LEFT_OUT = ("OTHER", "FROM", "ESTAB", "LIKELY", "FULL IN", "PER S", "SIDE")


def render_time_wait(
    document: TimeWait,
    output: str,
    *,
    top: int | None = None,
    terminal_width: int | None = None,
    languages: Sequence[str] = (),
) -> Iterator[bytes]:
    """The document as `table`, `json`, `ndjson`, `csv` or `tsv`; the latter have the destinations.

    :param top: how many of the destinations to show.
    :param terminal_width: None where it is no terminal.
    :param languages: for which more advice can be asked.
    """
    if output == "table":
        lines = _lines(document, top, terminal_width, languages)
        return (f"{line}\n".encode() for line in lines)
    from netinspect.render.document import render_document  # a table does not need it

    shown = msgspec.structs.replace(document, destinations=document.destinations[:top])
    return render_document(
        shown, shown.destinations, KEYS, output, is_terminal=terminal_width is not None
    )


def _lines(
    document: TimeWait, top: int | None, terminal_width: int | None, languages: Sequence[str]
) -> Iterator[str]:
    width = min(terminal_width or DEFAULT_WIDTH, LONGEST_TEXT)
    for text in _facts(document):
        yield from paragraph(text, width, indent=GAP)
    if document.count and document.history:
        yield from _sparkline(document.history, width)
    shown = document.destinations[:top]
    if shown:
        yield ""
        yield from _table(shown, terminal_width)
        more = len(document.destinations) - len(shown)
        if more:
            yield f"and {more} more (--top {len(document.destinations)} shows them)"
    yield from finding_lines(document.findings, width)
    if languages:
        yield ""
        yield from paragraph(f"Code for: --advice {','.join(languages)}", width, indent=GAP)
    verdict = _verdict(document)
    if verdict:
        yield ""
        yield from paragraph(verdict, width, indent=GAP)


def _facts(document: TimeWait) -> Iterator[str]:
    """What there is, and what the kernel has been told."""
    limit = "" if document.limit is None else f" of at most {document.limit}"
    rate = document.created_per_second
    coming = "" if rate is None else f"; {rate:g} a second now"
    most = max((count or 0 for count in document.history or ()), default=0)
    peak = f", {most} at the peak" if most else ""
    length = document.duration_seconds
    lasting = "" if length is None else f", each for {length:g} s"
    yield f"TIME_WAIT {document.count}{limit}{lasting}{coming}{peak}"
    if document.ephemeral_range is not None:
        low, high = document.ephemeral_range
        reserved = ",".join(_range_text(*ports) for ports in document.reserved_ports or ())
        without = f" without {reserved}" if reserved else ""
        reuse = document.tcp_tw_reuse
        setting = "" if reuse is None else f"; tcp_tw_reuse {reuse} ({REUSE.get(reuse, '?')})"
        yield f"local ports {low}-{high}{without}, {document.ports_in_use} in use{setting}"


REUSE = {0: "never", 1: "always", 2: "on loopback"}


def _range_text(low: int, high: int) -> str:
    return str(low) if low == high else f"{low}-{high}"


def _sparkline(history: Sequence[int | None], width: int) -> Iterator[str]:
    """How many came in each second, the tallest bar for the most; of a narrow one the youngest."""
    shown = history[-max(1, width - len("60 s ago [] now")) :]
    most = max(count or 0 for count in shown)
    if most:
        yield f"{len(shown)} s ago [{''.join(_bar(count, most) for count in shown)}] now"


def _bar(count: int | None, most: int) -> str:
    if not count:
        return NONE_CREATED
    return BARS[(count * len(BARS) - 1) // most]


def _table(destinations: Sequence[Destination], terminal_width: int | None) -> Iterator[str]:
    columns = _columns(destinations)
    for title in MAY_BE_LEFT_OUT:
        if terminal_width is None or _line_width(columns) <= terminal_width:
            break
        columns = [column for column in columns if column.title != title]
    for line in zip(*map(_padded, columns), strict=True):
        yield GAP.join(line).rstrip()


def _columns(destinations: Sequence[Destination]) -> list[Column]:
    return [
        Column("LEVEL", [d.severity or UNKNOWN for d in destinations], is_number=False),
        Column("SIDE", [d.side for d in destinations], is_number=False),
        Column("END", [_end(d) for d in destinations], is_number=False),
        Column("FROM", [_from(d) for d in destinations], is_number=False),
        Column("TIME_WAIT", [str(d.time_wait) for d in destinations]),
        Column("ESTAB", [str(d.established) for d in destinations]),
        Column("OTHER", [str(d.other) for d in destinations]),
        Column("USED", [_number(d.used_percent, " %") for d in destinations]),
        Column("PER S", [_number(d.created_per_second) for d in destinations]),
        Column("FULL IN", [_number(d.seconds_to_exhaustion, " s") for d in destinations]),
        Column("LIKELY", [_likely(d) for d in destinations], is_number=False),
    ]


def _end(destination: Destination) -> str:
    """The server's end: here, or there."""
    return escape_cell(name_of(destination))


def _from(destination: Destination) -> str:
    return escape_cell(destination.local_address) if destination.side == "client" else UNKNOWN


def _number(value: float | None, unit: str = "") -> str:
    return UNKNOWN if value is None else f"{value:g}{unit}"


def _likely(destination: Destination) -> str:
    """The first process, and how many others."""
    owners = destination.likely_owners
    if not owners:
        return UNKNOWN
    name = owners[0].process
    first = f"pid {owners[0].pid}" if name is None else f"{escape_cell(name)}({owners[0].pid})"
    return f"{first} +{len(owners) - 1}" if len(owners) > 1 else first


def _line_width(columns: Sequence[Column]) -> int:
    return sum(map(_width, columns)) + len(GAP) * (len(columns) - 1)


def _width(column: Column) -> int:
    return max(map(display_width, (column.title, *column.cells)))


def _padded(column: Column) -> list[str]:
    width = _width(column)
    cells = [(cell, " " * (width - display_width(cell))) for cell in (column.title, *column.cells)]
    return [blank + cell if column.is_number else cell + blank for cell, blank in cells]


def _verdict(document: TimeWait) -> str | None:
    """That nothing is wrong is an answer too."""
    if any(finding.severity != "info" for finding in document.findings):
        return None
    if not document.count:
        if any(note.code == "time_wait_hidden" for note in document.notes):
            return None
        return "No socket is in TIME_WAIT: no problem."
    if document.ephemeral_range is None:
        return None
    problem = "" if document.findings else ": no problem"
    return f"No destination is short of local ports{problem}."
