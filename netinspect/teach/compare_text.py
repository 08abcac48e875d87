"""Comparisons as text: side by side where the terminal is wide enough, otherwise one by one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import NamedTuple

from netinspect.render.escape import display_width
from netinspect.render.wrapped import DEFAULT_WIDTH, paragraph
from netinspect.teach.compare import Printed, differing

GAP = "   "
NOT_SHOWN = "(not shown)"
BOLD, MARKED, RESET = "\x1b[1m", "\x1b[1;4m", "\x1b[0m"


class Cell(NamedTuple):
    """What one side has of one socket: headings, and the row with its marks."""

    above: list[str]
    row: list[str]


class Text:
    """How a comparison is written.

    :param width: columns that a line may take; None: as many as it needs, one by one.
    :param has_colour: differing words are underlined; if not, `^` stands below them.
    """

    def __init__(self, width: int | None, *, has_colour: bool) -> None:
        self._width = width
        self._has_colour = has_colour

    def lines(self, sides: Sequence[Printed]) -> Iterator[str]:
        """The whole comparison."""
        rows = [self._cells(sides, i) for i in range(len(sides[0].slots))]
        rows.append([Cell([], list(side.below)) for side in sides])
        columns = list(zip(*rows, strict=True))
        widths = [_width(column) for column in columns]
        is_wide = self._width is not None and self._width >= _sum(widths)
        if is_wide and len(sides) > 1:
            yield from self._side_by_side(sides, rows, widths)
        else:
            yield from self._stacked(sides, columns)

    def _cells(self, sides: Sequence[Printed], index: int) -> list[Cell]:
        slots = [side.slots[index] for side in sides]
        marks = differing([slot.row for slot in slots])
        return [
            Cell(list(slot.above), self._row(slot.row, spans))
            for slot, spans in zip(slots, marks, strict=True)
        ]

    def _row(self, row: str | None, spans: Sequence[tuple[int, int]]) -> list[str]:
        if row is None:
            return [NOT_SHOWN]
        if not self._has_colour:
            return [row, _pointers(row, spans)] if spans else [row]
        text, last = "", 0
        for start, end in spans:
            text += f"{row[last:start]}{MARKED}{row[start:end]}{RESET}"
            last = end
        return [text + row[last:]]

    def _stacked(
        self, sides: Sequence[Printed], columns: Sequence[Sequence[Cell]]
    ) -> Iterator[str]:
        for number, (side, cells) in enumerate(zip(sides, columns, strict=True)):
            if number:
                yield ""
            yield from self._head(side, self._width or DEFAULT_WIDTH)
            yield ""
            for cell in cells:
                yield from (*cell.above, *(line for line in cell.row if line != NOT_SHOWN))

    def _side_by_side(
        self, sides: Sequence[Printed], rows: Sequence[Sequence[Cell]], widths: Sequence[int]
    ) -> Iterator[str]:
        heads = [list(self._head(side, width)) for side, width in zip(sides, widths, strict=True)]
        yield from _joined([*heads], widths)
        yield ""
        for cells in rows:
            height = max(len(cell.above) for cell in cells)
            above = [[""] * (height - len(cell.above)) + cell.above for cell in cells]
            yield from _joined(above, widths)
            yield from _joined([cell.row for cell in cells], widths)

    def _head(self, side: Printed, width: int) -> Iterator[str]:
        """What to type, what its flags mean, and what to know."""
        about = side.side
        yield f"{BOLD}{about.title}{RESET}" if self._has_colour else about.title
        yield from paragraph(about.command, width, first="  $ ", indent="    ")
        flag_width = max((len(flag.flag) for flag in about.flags), default=0)
        for flag in about.flags:
            first = f"  {flag.flag:<{flag_width}}  "
            yield from paragraph(flag.meaning, width, first=first, indent=" " * len(first))
        for note in about.notes:
            yield from paragraph(note, width, first="  * ", indent="    ")


def _pointers(row: str, spans: Sequence[tuple[int, int]]) -> str:
    """`^` below each span."""
    text = ""
    for start, end in spans:
        text += " " * (display_width(row[:start]) - len(text)) + "^" * display_width(row[start:end])
    return text


def _plain(line: str) -> str:
    """Without the codes of this file."""
    for code in (MARKED, BOLD, RESET):
        line = line.replace(code, "")
    return line


def _width(cells: Iterable[Cell]) -> int:
    lines = (line for cell in cells for line in (*cell.above, *cell.row))
    return max((display_width(_plain(line).rstrip()) for line in lines), default=0)


def _sum(widths: Sequence[int]) -> int:
    return sum(widths) + len(GAP) * (len(widths) - 1)


def _joined(columns: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    """Lines beside each other, each as wide as its column."""
    for lines in zip_longest(*columns, fillvalue=""):
        cells = [
            line.rstrip() + " " * (width - display_width(_plain(line).rstrip()))
            for line, width in zip(lines, widths, strict=True)
        ]
        yield GAP.join(cells).rstrip()
