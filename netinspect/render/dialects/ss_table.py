"""The columns of ss: as wide as what they show, spread over a terminal.

Source: render_calc_width() and render() of misc/ss.c (iproute2 6.1).
"""

from __future__ import annotations

from collections.abc import Sequence

# ss keeps this much text, prints it, and begins again, with columns that never become narrower:
# it does so as soon as it needs a fifth chunk of 1 MiB.
BUFFERED_BYTES = 4 << 20


class Table:
    """Rows that wait until the widths are known.

    :param gaps: what stands before each column, unless it is the first of a line.
    :param to_right: the columns whose text stands at the right.
    :param screen: columns of the terminal; None where there is none.
    """

    def __init__(self, gaps: Sequence[str], to_right: Sequence[bool], screen: int | None) -> None:
        self._gaps = ["", *gaps[1:]]
        self._to_right = to_right
        self._screen = screen
        self._longest = [0] * len(gaps)
        self._rows: list[Sequence[str]] = []
        self._size = 0

    def add(self, rows: Sequence[Sequence[str]]) -> None:
        """Take rows of cells."""
        self._rows += rows
        for index, cells in enumerate(zip(*rows, strict=True)):
            lengths = _lengths(cells)
            self._longest[index] = max(self._longest[index], *lengths)
            self._size += sum(lengths) + 2 * len(lengths)

    @property
    def is_full(self) -> bool:
        """Whether ss would print now."""
        return self._size >= BUFFERED_BYTES

    def take_lines(self) -> list[str]:
        """The rows as text; the table is empty then, and keeps its widths."""
        widths = [
            length + len(gap) if length else 0
            for length, gap in zip(self._longest, self._gaps, strict=True)
        ]
        if self._screen is not None:
            widths = spread([min(width, self._screen) for width in widths], self._screen)
        columns = [
            _padded(cells, gap, width, to_right=to_right)
            for cells, gap, width, to_right in zip(
                zip(*self._rows, strict=True), self._gaps, widths, self._to_right, strict=False
            )
        ]
        self._rows, self._size = [], 0
        return list(map("".join, zip(*columns, strict=True)))


def spread(widths: list[int], screen: int) -> list[int]:
    """The widths, with what each line of the screen has left shared out among its columns.

    Lines are broken where the next column would not fit. The last columns get what is left over.
    """
    wider, line = list(widths), list[int]()
    for index in [index for index, width in enumerate(widths) if width]:
        if line and sum(widths[i] for i in line) + widths[index] > screen:
            _share(wider, line, screen)
            line = []
        line.append(index)
        if sum(widths[i] for i in line) == screen:
            line = []
    if line:
        _share(wider, line, screen)
    return wider


def _share(widths: list[int], line: list[int], screen: int) -> None:
    each, rest = divmod(screen - sum(widths[i] for i in line), len(line))
    for place, index in enumerate(reversed(line)):
        widths[index] += each + (place < rest)


def _padded(cells: Sequence[str], gap: str, width: int, *, to_right: bool) -> list[str]:
    """The cells with their gap, as wide as the column."""
    room = width - len(gap)
    if "".join(cells).isascii():
        if to_right:
            return [gap + cell.rjust(room) for cell in cells]
        return [gap + cell.ljust(room) for cell in cells]
    blanks = [" " * (room - length) for length in _lengths(cells)]
    pairs = zip(blanks, cells, strict=True)
    return [gap + (blank + cell if to_right else cell + blank) for blank, cell in pairs]


def _lengths(cells: Sequence[str]) -> list[int]:
    """In bytes, as ss counts."""
    if "".join(cells).isascii():
        return list(map(len, cells))
    return [len(cell.encode("utf-8", "surrogateescape")) for cell in cells]
