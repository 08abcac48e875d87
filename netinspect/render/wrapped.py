"""Tables and paragraphs of prose that fit a width: cells are wrapped, never cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import zip_longest

from netinspect.render.escape import display_width, escape_cell

GAP = "  "
# Where stdout is no terminal
DEFAULT_WIDTH = 80
# A column of prose is not made narrower than this for another's sake.
NARROWEST = 10


def wrap(text: str, width: int, first_width: int | None = None) -> list[str]:
    """The lines of a text, broken at blanks; a word that is longer has a line of its own.

    :param first_width: the room in the first line, where that is another.

    >>> wrap("one two three", 7)
    ['one two', 'three']
    """
    lines: list[str] = []
    line = ""
    room = width if first_width is None else first_width
    for word in text.split():
        longer = f"{line} {word}" if line else word
        if line and display_width(longer) > room:
            lines.append(line)
            line, room = word, width
        else:
            line = longer
    return [*lines, line] if line or not lines else lines


def paragraph(text: str, width: int, *, first: str = "", indent: str = "") -> list[str]:
    """A text under a hanging indent: `first` stands before its first line, `indent` before others.

    What a stranger chose is escaped.
    """
    lines = wrap(escape_cell(text), width - display_width(indent), width - display_width(first))
    return [f"{indent if index else first}{line}".rstrip() for index, line in enumerate(lines)]


def wrapped_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], width: int
) -> Iterator[str]:
    """The lines of a table whose cells are wrapped so that it fits.

    Where even that does not fit, each row is a block of its own, a paragraph for each cell.
    """
    escaped = [[escape_cell(cell) for cell in row] for row in (header, *rows)]
    widths = column_widths(escaped, width)
    if sum(widths) + len(GAP) * (len(widths) - 1) > width:
        yield from _blocks(header, rows, width)
        return
    for index, row in enumerate(escaped):
        yield from _row(row, widths)
        if index == 0:
            yield GAP.join("-" * column for column in widths)


def _row(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    """One row, in as many lines as its longest cell takes."""
    cells = [wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
    for lines in zip_longest(*cells, fillvalue=""):
        yield GAP.join(map(_pad, lines, widths)).rstrip()


def _blocks(header: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    for index, row in enumerate(rows):
        if index:
            yield ""
        yield from paragraph(row[0], width)
        for title, cell in zip(header[1:], row[1:], strict=True):
            if cell:
                yield from paragraph(cell, width, first=f"{GAP}{title}: ", indent=GAP * 2)


def column_widths(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """How wide each column may be, so that a line fits; the widest give up first.

    None gets narrower than its longest word, nor than NARROWEST: a line may still be too long.
    """
    columns = list(zip(*rows, strict=True))
    widths = [max(map(display_width, cells)) for cells in columns]
    floors = [
        min(w, max(NARROWEST, _longest_word(c))) for w, c in zip(widths, columns, strict=True)
    ]
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    while excess > 0 and widths != floors:
        shrinkable = [index for index, floor in enumerate(floors) if widths[index] > floor]
        widths[max(shrinkable, key=widths.__getitem__)] -= 1
        excess -= 1
    return widths


def _longest_word(cells: Sequence[str]) -> int:
    return max((display_width(word) for cell in cells for word in cell.split()), default=1)


def _pad(text: str, width: int) -> str:
    return text + " " * (width - display_width(text))
