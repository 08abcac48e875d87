"""The socket table, written directly: tabulate takes 0.5 s for 20,000 rows.

Up to SETTLED_ROWS rows the columns are as wide as what they hold. Beyond, the widths found so far
stay, and a wider cell pushes its own row to the right: nothing is ever cut in a pipe.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Iterable, Iterator
from typing import NamedTuple, Protocol

from netinspect.model import Connection
from netinspect.render.columns import Cells, Column
from netinspect.render.escape import display_width, shorten

SETTLED_ROWS = 1000
GAP = "  "
# A long unix path widens its own row only.
WIDEST = {"local": 47, "remote": 47, "process": 20, "command": 40, "unit": 40, "owners": 40}
# What a narrow terminal gives up, in this order; `process` is shortened before `pid` goes.
DROPPABLE = ("send_q", "recv_q", "pid", "process")
SHORTEST_PROCESS = 8

RESET = "\x1b[0m"
# Readable on dark and on light: no yellow, no blue, nothing bright. The word says it all anyway.
STATE_COLOURS = {
    "LISTEN": "\x1b[32m",
    "TIME_WAIT": "\x1b[36m",
    "CLOSE_WAIT": "\x1b[31m",
    "SYN_SENT": "\x1b[35m",
    "SYN_RECV": "\x1b[35m",
    "FIN_WAIT1": "\x1b[35m",
    "FIN_WAIT2": "\x1b[35m",
    "CLOSING": "\x1b[35m",
    "LAST_ACK": "\x1b[31m",
    "UNKNOWN": "\x1b[31m",
}


class Pad(Protocol):
    """What brings the cells of a column to one width."""

    def __call__(self, cells: list[str], width: int, *, to_right: bool) -> Iterable[str]:
        """The cells, each of the width."""


class Layout(NamedTuple):
    """How a table is laid out. `terminal_width` is None where there is no terminal to fit."""

    columns: list[Column]
    terminal_width: int | None = None
    has_header: bool = True
    has_colour: bool = False
    # for each row what follows it, a line end before each line
    lines_below: Callable[[list[Connection]], Iterable[str]] | None = None


def render_table(batches: Iterable[list[Connection]], layout: Layout) -> Iterator[bytes]:
    """The table, piece by piece."""
    first, rest = _settle(batches)
    columns = layout.columns
    widths = _widths(columns, first)
    if layout.terminal_width is not None:
        columns, widths = fit(columns, widths, layout.terminal_width)
        widths = _use_room(columns, widths, first, layout.terminal_width)
    if layout.has_header:
        yield _lines([[column.title] for column in columns], columns, widths)
    writers = _writers(columns, widths, layout)
    for connections in itertools.chain((first,), rest):
        below = list(layout.lines_below(connections)) if layout.lines_below else None
        yield _lines([cells(connections) for cells in writers], columns, widths, below)


def _settle(
    batches: Iterable[list[Connection]],
) -> tuple[list[Connection], Iterator[list[Connection]]]:
    """The connections that the widths are taken from, and the batches after them."""
    first: list[Connection] = []
    rest = iter(batches)
    for connections in rest:
        first += connections
        if len(first) >= SETTLED_ROWS:
            break
    return first, rest


def _widths(columns: list[Column], connections: list[Connection]) -> list[int]:
    return [_width(column, connections) for column in columns]


def _width(column: Column, connections: list[Connection]) -> int:
    widest = _widest(column, connections)
    return max(len(column.title), min(widest, WIDEST.get(column.name, widest)))


def _widest(column: Column, connections: list[Connection]) -> int:
    return max(map(display_width, column.cells(connections)), default=0)


def fit(
    columns: list[Column], widths: list[int], terminal_width: int
) -> tuple[list[Column], list[int]]:
    """Drop and shorten columns, from the right, until a line fits; addresses are never touched."""
    kept = {column.name: width for column, width in zip(columns, widths, strict=True)}
    for name in DROPPABLE:
        excess = -_room(kept.values(), terminal_width)
        if excess <= 0:
            break
        shortest = kept.get("process", 0) - excess
        if name in ("pid", "process") and shortest >= SHORTEST_PROCESS:
            kept["process"] = shortest
            break
        kept.pop(name, None)
    return [column for column in columns if column.name in kept], list(kept.values())


def _use_room(
    columns: list[Column], widths: list[int], connections: list[Connection], terminal_width: int
) -> list[int]:
    """On a wide terminal names may be longer than WIDEST."""
    room = max(0, _room(widths, terminal_width))
    return [
        width + min(room, max(0, _widest(column, connections) - width))
        if column.name == "process" and room
        else width
        for column, width in zip(columns, widths, strict=True)
    ]


def _room(widths: Collection[int], terminal_width: int) -> int:
    """What a line leaves of the terminal; less than 0 when it does not fit."""
    return terminal_width - sum(widths) - len(GAP) * (len(widths) - 1)


def _lines(
    cells: list[list[str]],
    columns: list[Column],
    widths: list[int],
    below: list[str] | None = None,
) -> bytes:
    """The lines of these columns of cells, and what is below each. The last is not padded."""
    lines = _rows(cells, columns, widths, _pad)
    if not "".join(lines).isascii():
        lines = _rows(cells, columns, widths, _pad_displayed)
    if below is not None:
        lines = list(map("".join, zip(lines, below, strict=True)))
    return "\n".join([*lines, ""]).encode()


def _rows(cells: list[list[str]], columns: list[Column], widths: list[int], pad: Pad) -> list[str]:
    """Padding and joining takes a fifth of what a %-format takes.

    Where all cells of a column are the same, as the protocol of most sockets is, one is padded.
    """
    count, last = len(cells[0]), len(columns) - 1
    pieces: list[Iterable[str]] = []
    common = ""  # to all rows, behind the last piece
    for index, (column_cells, column, width) in enumerate(zip(cells, columns, widths, strict=True)):
        is_same = column_cells.count(column_cells[0]) == count if count else True
        some = column_cells[:1] if is_same else column_cells
        padded = pad(some, width, to_right=column.is_number)
        shown = padded if index < last or column.is_number else some
        common += GAP if index else ""
        if is_same:
            common += "".join(shown)
        else:
            pieces += (itertools.repeat(common, count), shown)
            common = ""
    return list(map("".join, zip(*pieces, itertools.repeat(common, count), strict=True)))


def _pad(cells: list[str], width: int, *, to_right: bool) -> Iterable[str]:
    """For ASCII, where each character takes one place."""
    return map(str.rjust if to_right else str.ljust, cells, itertools.repeat(width))


def _pad_displayed(cells: list[str], width: int, *, to_right: bool) -> Iterable[str]:
    blanks = [" " * (width - display_width(text)) for text in cells]
    return [
        blank + text if to_right else text + blank
        for blank, text in zip(blanks, cells, strict=True)
    ]


def _writers(columns: list[Column], widths: list[int], layout: Layout) -> list[Cells]:
    """What makes the cells of each column, with what colour and a narrow terminal add."""
    writers = [column.cells for column in columns]
    for index, column in enumerate(columns):
        if column.name == "process" and layout.terminal_width is not None:
            writers[index] = _shortened(column.cells, widths[index])
        if column.name == "state" and layout.has_colour:
            is_last = index == len(columns) - 1
            writers[index] = _coloured(column.cells, 0 if is_last else widths[index])
    return writers


def _shortened(cells: Cells, width: int) -> Cells:
    return lambda connections: [shorten(text, width) for text in cells(connections)]


def _coloured(cells: Cells, width: int) -> Cells:
    return lambda connections: [_colour(state, width) for state in cells(connections)]


def _colour(state: str, width: int) -> str:
    """Padded here: the colour codes take no room, but padding would count them."""
    colour = STATE_COLOURS.get(state)
    return f"{colour}{state}{RESET}{' ' * (width - len(state))}" if colour else state.ljust(width)
