"""What netinspect itself prints: JSON, NDJSON, CSV and TSV of a listing, back to records."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, islice
from typing import Any, NamedTuple

import msgspec

from netinspect.errors import ParseError
from netinspect.model import Connection, Note
from netinspect.parse.captured import BATCH_SIZE, Faults, Format, Lines

SOCKET = "a socket as netinspect prints it"
# Without these a row says nothing; all others may be missing, by --columns.
NEEDED = ("protocol", "family", "type", "state")
REQUIRED = tuple(field.name for field in msgspec.structs.fields(Connection) if field.required)
AS_NUMBER = frozenset(
    ("local_port", "remote_port", "ip_protocol", "recv_q", "send_q", "uid", "inode", "cookie")
) | frozenset(("pid", "drops", "peer_inode", "netns"))
AS_JSON = frozenset(("owners", "timer", "tcp_info", "memory", "options", "dual_stack"))
# An empty cell of these is null; of others that a record may lack it is that they are not there.
EXTENDED = frozenset(("tcp_info", "memory", "options"))
LONGEST_NUMBER = 19  # digits: what JSON takes has 64 bits

# {"schema_version":1,"host":"a","platform":"linux", ... ,"connections":[
FIRST_LINE = re.compile(r'\s*\{"schema_version":.*"connections":\[\s*')
HEAD = re.compile(r'\s*(\{\s*"schema_version".*?),\s*"connections"\s*:', re.DOTALL)
# ],"notes":[{"code":"owners_hidden","count":3,"message":"..."}]}
LAST_LINE = re.compile(r'\s*\],"notes":(\[.*\])\}\s*')
NDJSON_LINE = re.compile(r'\s*\{.*"protocol":')

# No JSON, not what it should hold, and no UTF-8 in a string
UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError)
RECORD = msgspec.json.Decoder(Connection)
OBJECT = msgspec.json.Decoder(dict[str, Any])
NOTES = msgspec.json.Decoder(list[Note])


class Origin(msgspec.Struct, frozen=True):
    """Where and when a listing was made; None where it does not say."""

    host: str | None = None
    platform: str | None = None
    taken_at: str | None = None


class _Document(msgspec.Struct):
    connections: list[dict[str, Any]]
    notes: list[Note] = []


ORIGIN = msgspec.json.Decoder(Origin)
DOCUMENT = msgspec.json.Decoder(_Document)


def parse_origin(lines: Sequence[str]) -> Origin:
    """Where a JSON document was made, by its first lines."""
    match = HEAD.match("\n".join(lines))
    if not match:
        return Origin()
    try:
        return ORIGIN.decode(_encoded(match[1]) + b"}")
    except UNREADABLE:
        return Origin()


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _read_json(lines: Lines, faults: Faults) -> Iterator[list[Connection]]:
    """As netinspect lays it out, a socket a line, it is read so; otherwise as a whole."""
    lines = iter(lines)
    first = next(lines, "")
    if FIRST_LINE.fullmatch(first):
        return _read_rows(_rows_of_json(lines, faults), faults)
    return _read_document("\n".join(chain([first], lines)), faults)


def _rows_of_json(lines: Iterable[str], faults: Faults) -> Iterator[tuple[int, str]]:
    """Number and text of each line between the first and the last one."""
    for number, line in enumerate(lines, 2):
        last = LAST_LINE.fullmatch(line) if line.startswith("]") else None
        if not last:
            yield number, line.rstrip().removesuffix(",")
            continue
        try:
            faults.notes += NOTES.decode(_encoded(last[1]))
        except UNREADABLE:
            faults.add(number, line, 0, "the notes of a listing")


def _read_document(text: str, faults: Faults) -> Iterator[list[Connection]]:
    try:
        document = DOCUMENT.decode(_encoded(text))
    except UNREADABLE as error:
        raise ParseError(f"expected the JSON of a listing: {error}") from None
    faults.notes += document.notes
    records = []
    for number, found in enumerate(document.connections, 1):
        try:
            records.append(_record(found))
        except msgspec.ValidationError as error:
            faults.add(number, str(found), 0, f"{SOCKET}: {error}")
    yield records


def _read_ndjson(lines: Lines, faults: Faults) -> Iterator[list[Connection]]:
    return _read_rows(enumerate(lines, 1), faults)


def _read_rows(rows: Iterator[tuple[int, str]], faults: Faults) -> Iterator[list[Connection]]:
    while some := list(islice(rows, BATCH_SIZE)):
        try:
            text = "\n".join([line for _, line in some])
            yield RECORD.decode_lines(_encoded(text))
        except UNREADABLE:
            yield list(_read_singly(some, faults))


def _read_singly(rows: Iterable[tuple[int, str]], faults: Faults) -> Iterator[Connection]:
    """Rows of which at least one is not a whole record."""
    for number, line in rows:
        if not line.strip():
            continue
        try:
            yield _record(OBJECT.decode(_encoded(line)))
        except UNREADABLE as error:
            faults.add(number, line, 0, f"{SOCKET}: {error}")


def _record(found: dict[str, Any]) -> Connection:
    """A record of what may lack keys.

    :raises msgspec.ValidationError: a key that is needed is missing, or a value is none of it.
    """
    for key in NEEDED:
        if key not in found:
            raise msgspec.ValidationError(f"no {key!r}")
    return msgspec.convert({**dict.fromkeys(REQUIRED), **found}, Connection)


class _Column(NamedTuple):
    key: str
    convert: Callable[[str], Any]


def _read_csv(lines: Lines, faults: Faults, delimiter: str = ",") -> Iterator[list[Connection]]:
    rows = csv.reader((f"{line}\n" for line in lines), delimiter=delimiter)
    columns: list[_Column] | None = None
    records = []
    while True:
        cells: list[str] = []
        try:
            cells = next(rows)
            if columns is None:
                columns = [_Column(name, _converter(name)) for name in cells]
            elif cells:
                records.append(_record(_found(columns, cells)))
        except StopIteration:
            break
        except (csv.Error, ValueError, *UNREADABLE) as error:
            faults.add(rows.line_num, delimiter.join(cells), 0, f"{SOCKET}: {error}")
        if len(records) >= BATCH_SIZE:
            yield records
            records = []
    yield records


def _found(columns: Sequence[_Column], cells: Sequence[str]) -> dict[str, Any]:
    if len(cells) != len(columns):
        raise ValueError(f"{len(columns)} cells, not {len(cells)}")
    pairs = zip(columns, cells, strict=True)
    return {
        column.key: column.convert(cell) if cell else None
        for column, cell in pairs
        if cell or column.key in EXTENDED
    }


def _converter(key: str) -> Callable[[str], Any]:
    if key in AS_NUMBER:
        return _number
    return msgspec.json.decode if key in AS_JSON else str


def _number(cell: str) -> int:
    if len(cell) > LONGEST_NUMBER:
        raise ValueError(f"a number of {LONGEST_NUMBER} digits at the most")
    return int(cell)


def _read_tsv(lines: Lines, faults: Faults) -> Iterator[list[Connection]]:
    return _read_csv(lines, faults, "\t")


def _has_columns(lines: Sequence[str], delimiter: str) -> bool:
    """Whether the first line names columns, and among them what is needed."""
    return bool(lines) and set(NEEDED) <= set(lines[0].split(delimiter))


FORMATS = (
    Format(
        "netinspect-json",
        "JSON of netinspect",
        lambda lines: bool(HEAD.match("\n".join(lines))),
        _read_json,
    ),
    Format(
        "netinspect-ndjson",
        "NDJSON of netinspect",
        lambda lines: bool(lines) and bool(NDJSON_LINE.match(lines[0])),
        _read_ndjson,
    ),
    Format(
        "netinspect-csv",
        "CSV of netinspect",
        lambda lines: _has_columns(lines, ","),
        _read_csv,
    ),
    Format(
        "netinspect-tsv",
        "TSV of netinspect",
        lambda lines: _has_columns(lines, "\t"),
        _read_tsv,
    ),
)
