"""A document that is not a listing, in the formats for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from netinspect.model import Envelope
from netinspect.render.escape import escape_json

DELIMITERS = {"csv": ",", "tsv": "\t"}


def render_document(
    document: Envelope,
    rows: Sequence[msgspec.Struct],
    keys: Sequence[str],
    output: str,
    *,
    is_terminal: bool,
) -> Iterator[bytes]:
    """The whole document as `json`; its rows as `ndjson`, or with these keys as `csv` or `tsv`.

    :param is_terminal: control characters in names are shown, not sent.
    """
    if output in DELIMITERS:
        from netinspect.render.machine import csv_lines

        cells = [[_cell(getattr(row, key)) for key in keys] for row in rows]
        return csv_lines(keys, [cells], delimiter=DELIMITERS[output], is_escaped=is_terminal)
    parts = _json(document, rows, output)
    if is_terminal:
        return (escape_json(part.decode()).encode() for part in parts)
    return iter(parts)


def _json(document: Envelope, rows: Sequence[msgspec.Struct], output: str) -> list[bytes]:
    if output == "json":
        return [msgspec.json.encode(document), b"\n"]  # in two, because the first may be large
    from netinspect.render.machine import json_lines

    return [json_lines(rows)]


def _cell(value: Any) -> Any:
    """What has parts is one cell of JSON."""
    return msgspec.json.encode(value).decode() if isinstance(value, (dict, tuple)) else value
