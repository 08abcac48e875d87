"""Tables and paragraphs of prose that fit a width: cells are wrapped, never cut."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

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
    """The lines of a table whose cells are wrapped so that it fits; the last column gets the rest.

    Rows whose cells took several lines are set apart by the hanging of their first cell.
    """
    escaped = [[escape_cell(cell) for cell in row] for row in (header, *rows)]
    widths = column_widths(escaped, width)
    for index, row in enumerate(escaped):
        cells = [wrap(cell, width) for cell, width in zip(row, widths, strict=True)]
        for number in range(max(map(len, cells))):
            parts = [
                _pad(lines[number] if number < len(lines) else "", width)
                for lines, width in zip(cells, widths, strict=True)
            ]
            yield GAP.join(parts).rstrip()
        if index == 0:
            yield GAP.join("-" * width for width in widths)


def column_widths(rows: Sequence[Sequence[str]], width: int) -> list[int]:
    """How wide each column may be, so that a line fits; the widest give up first."""
    columns = list(zip(*rows, strict=True))
    widths = [max(map(display_width, cells)) for cells in columns]
    least = [min(NARROWEST, w) for w in widths]
    longest = [max((display_width(w) for cell in c for w in cell.split()), default=1) for c in columns]
    floors = [min(max(low, word), width // 2) for low, word in zip(least, longest, strict=True)]
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - width
    while excess > 0:
        shrinkable = [i for i, w in enumerate(widths) if w > floors[i]]
        if not shrinkable:
            break
        widest = max(shrinkable, key=widths.__getitem__)
        widths[widest] -= 1
        excess -= 1
    return widths


def _pad(text: str, width: int) -> str:
    return text + " " * (width - display_width(text))
