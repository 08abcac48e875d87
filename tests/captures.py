"""A capture in memory, read by the format of a name."""

from __future__ import annotations

from typing import Any, NamedTuple

from msgspec import UNSET
from msgspec.structs import asdict

from netinspect.model import Connection, Note
from netinspect.parse.captured import Fault, Faults, Format
from netinspect.sources.capture import formats


class Read(NamedTuple):
    """What a reader made of a text."""

    records: list[Connection]
    faults: list[Fault]
    notes: list[Note]


def format_of(name: str) -> Format:
    (found,) = (known for known in formats() if known.name == name)
    assert isinstance(found, Format)
    return found


def read(name: str, text: str) -> Read:
    """The text, read by this format, which recognises it."""
    faults = Faults()
    batches = format_of(name).read(text.splitlines(), faults)
    records = [record for batch in batches for record in batch]
    assert len(faults.kept) == faults.count
    return Read(records, faults.kept, faults.all_notes())


def recognised(text: str) -> str | None:
    """The name of the first format that recognises these lines."""
    lines = [line for line in text.splitlines() if line.strip()]
    for known in formats():
        if isinstance(known, Format) and known.recognises(lines):
            return known.name
    return None


def told(record: Connection) -> dict[str, Any]:
    """The keys of which something is told."""
    return {key: value for key, value in asdict(record).items() if value not in (None, UNSET, ())}
