"""What the readers of captured output have in common: formats, batches, and rows that fail.

A reader takes the lines of what a tool printed and yields records. A row that it cannot read is
never lost in silence: it goes to `Faults`, which count all and keep the first of them to show.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeAlias

from msgspec import Struct

from netinspect.errors import CellError
from netinspect.model import Connection, Note, decode_name

MOST_KEPT = 20
# What a reader may remark of rows that it can read, with what is said of that many.
REMARKS = {
    "truncated_address": "addresses that may be cut short in the capture: {count}",
    "taken_for_listeners": "TCP sockets taken for listeners, for neither a state nor a peer of "
    "them is told: {count}",
    "rows_left_out": "rows of sockets of which a record could say nothing: {count}",
    "type_not_told": "{count} unix sockets are left out: lsof tells their type on Linux only",
    "names_not_numeric": "hosts and ports that are names in the capture, of which the ports are "
    "not known; capture with -n: {count}",
}
# Sockets in a batch, about: enough that the cost of a batch is nothing, little to hold.
BATCH_SIZE = 1000


class Fault(Struct, frozen=True):
    """A row that cannot be read, and why.

    :param line: its number in the capture; the first is 1.
    :param text: the row, as it stands there.
    :param column: index of the character of `text` where the fault is.
    :param expected: what should be there, as "a state such as ESTABLISHED".
    """

    line: int
    text: str
    column: int
    expected: str


class Faults:
    """What of one capture could not be read: how many rows, and the first of them.

    Also what else is to be said of it: `notes` that the capture itself has, and remarks.
    """

    def __init__(self) -> None:
        self.count = 0
        self.kept: list[Fault] = []
        self.notes: list[Note] = []
        self._remarks: dict[str, int] = {}

    def add_cell(self, line: int, text: str, error: CellError) -> None:
        """Count a row of which one cell is not what stands there."""
        self.add(line, text, max(text.find(error.text), 0), error.expected)

    def add(self, line: int, text: str, column: int, expected: str) -> None:
        """Count a row, see `Fault`."""
        self.count += 1
        if len(self.kept) < MOST_KEPT:
            self.kept.append(Fault(line, text, column, expected))

    def remark(self, code: str, count: int = 1) -> None:
        """Count something that is as REMARKS says."""
        self._remarks[code] = self._remarks.get(code, 0) + count

    def all_notes(self) -> list[Note]:
        """The notes, and one for each kind of remark."""
        remarks = self._remarks.items()
        counted = [Note(code, n, REMARKS[code].format(count=n)) for code, n in remarks]
        return [*self.notes, *counted]


# Lines without their ends, decoded as UTF-8 with surrogateescape.
Lines: TypeAlias = Iterable[str]
# Yields batches of up to about BATCH_SIZE records, in the order of the rows.
Reader: TypeAlias = Callable[[Lines, Faults], Iterator[list[Connection]]]


def read_rows(
    lines: Lines, faults: Faults, read: Callable[[str], Connection | None]
) -> Iterator[list[Connection]]:
    """Batches of what `read` makes of the lines, each by itself; see `Reader`.

    :param read: None for a line that is no row of a socket; raises CellError.
    """
    batch: list[Connection] = []
    for number, line in enumerate(lines, start=1):
        try:
            record = read(line)
        except CellError as error:
            faults.add_cell(number, line, error)
            continue
        if record is not None:
            batch.append(record)
            if len(batch) >= BATCH_SIZE:
                yield batch
                batch = []
    if batch:
        yield batch


class Format(NamedTuple):
    """One kind of captured output.

    :param name: what `--format` takes and `sources` shows: `macos-netstat`.
    :param title: what a person calls it: `macOS netstat`.
    :param recognises: whether the first 50 lines that are not empty look like this.
    :param read: the reader.
    """

    name: str
    title: str
    recognises: Callable[[Sequence[str]], bool]
    read: Reader


def captured_name(text: str) -> str:
    """A name in a capture, as the record has it: see `decode_name`."""
    if text.isascii() and "\\" not in text and "\0" not in text:
        return text
    return decode_name(text.encode("utf-8", "surrogateescape"))


class BinaryFormat(NamedTuple):
    """A kind of capture that is no text: as `Format`, of bytes.

    :param recognises: whether the first bytes look like this.
    """

    name: str
    title: str
    recognises: Callable[[bytes], bool]
    read: Callable[[Iterable[bytes], Faults], Iterator[list[Connection]]]
