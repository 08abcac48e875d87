"""Formats for programs: JSON, NDJSON, CSV and TSV. Each yields bytes, a batch at a time."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import msgspec

from netinspect.model import Connection, Envelope, Note
from netinspect.render.columns import WITH_PARTS, Column
from netinspect.render.escape import escape_cell

ENCODER = msgspec.json.Encoder()
# Python's str.splitlines() and some editors end a line here too.
LINE_ENDS = "\x85\u2028\u2029"
# In CSV as JSON has them: what has parts, and what is true or false
AS_JSON = ("owners", "timer", *WITH_PARTS, "dual_stack")


def render_ndjson(
    batches: Iterable[list[Connection]], columns: list[Column] | None
) -> Iterator[bytes]:
    """One JSON object a line and a socket. `columns` None is the whole record."""
    for connections in batches:
        yield _lines(connections, columns)


def render_json(
    batches: Iterable[list[Connection]],
    columns: list[Column] | None,
    envelope: Envelope,
    notes: Callable[[], Iterable[Note]],
) -> Iterator[bytes]:
    """One document, an object a line. `notes` is asked at the end, when they are known."""
    yield ENCODER.encode(envelope)[:-1] + b',"connections":['
    separator = b"\n"
    for connections in batches:
        if connections:
            # no JSON text has a bare line end inside
            yield separator + _lines(connections, columns)[:-1].replace(b"\n", b",\n")
            separator = b",\n"
    yield b'\n],"notes":' + ENCODER.encode(tuple(notes())) + b"}\n"


def _lines(connections: list[Connection], columns: list[Column] | None) -> bytes:
    return json_lines(_objects(connections, columns))


def json_lines(objects: Sequence[Any]) -> bytes:
    """One JSON object a line, whatever the reader takes for the end of a line."""
    lines = ENCODER.encode_lines(objects)
    if not lines.isascii():
        for line_end in LINE_ENDS:
            lines = lines.replace(line_end.encode(), b"\\u%04x" % ord(line_end))
    return lines


def _objects(connections: list[Connection], columns: list[Column] | None) -> list[Any]:
    if columns is None:
        return list(connections)
    return [{column.name: column.value(c) for column in columns} for c in connections]


def render_csv(
    batches: Iterable[list[Connection]],
    columns: list[Column],
    *,
    delimiter: str = ",",
    has_header: bool = True,
    is_escaped: bool = False,
) -> Iterator[bytes]:
    """As `csv_lines` has it; owners and timer are one JSON cell each.

    :param is_escaped: for a terminal: control characters in names are shown, not sent.
    """
    header = [column.name for column in columns] if has_header else None
    rows = (
        zip(*[_csv_cells(column, connections) for column in columns], strict=True)
        for connections in batches
    )
    return csv_lines(header, rows, delimiter=delimiter, is_escaped=is_escaped)


def csv_lines(
    header: Sequence[str] | None,
    batches: Iterable[Iterable[Sequence[Any]]],
    *,
    delimiter: str,
    is_escaped: bool,
) -> Iterator[bytes]:
    """Rows by RFC 4180: CRLF, null as an empty cell."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n")
    if header is not None:
        writer.writerow(header)
    for rows in batches:
        writer.writerows([map(_escaped, row) for row in rows] if is_escaped else rows)
        yield text.getvalue().encode()
        text.seek(0)
        text.truncate()
    yield text.getvalue().encode()


def _csv_cells(column: Column, connections: list[Connection]) -> list[Any]:
    """Numbers and text as they are, what has parts as JSON; csv writes None as nothing."""
    values = map(column.value, connections)
    if column.name in AS_JSON or "." in column.name:
        return [
            v if v is None or isinstance(v, str) else ENCODER.encode(v).decode() for v in values
        ]
    return list(values)


def _escaped(cell: Any) -> Any:
    return escape_cell(cell) if isinstance(cell, str) else cell
