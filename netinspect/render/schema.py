"""The published JSON Schemas, generated from the records."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from netinspect.diagnose.diagnosis import Diagnosis
from netinspect.diagnose.port_record import Ports
from netinspect.diagnose.time_wait_record import TimeWait
from netinspect.grouping.record import Groups
from netinspect.model import Envelope, Snapshot, Summary

DIALECT = "https://json-schema.org/draft/2020-12/schema"
# `summary` prints the second with --by.
DOCUMENTS: dict[str, tuple[type[Envelope], ...]] = {
    "list": (Snapshot,),
    "summary": (Summary, Groups),
    "port": (Ports,),
    "time-wait": (TimeWait,),
    "diagnose": (Diagnosis,),
}


def render_schema(command: str) -> Iterator[bytes]:
    """The schema of what `netinspect COMMAND --json` prints."""
    return schema_of(DOCUMENTS[command])


def schema_of(kinds: Iterable[type[Envelope]]) -> Iterator[bytes]:
    """The schema of documents of these kinds."""
    documents, definitions = msgspec.json.schema_components(kinds, ref_template="#/$defs/{name}")
    for definition in definitions.values():
        definition["required"] = _always_there(definition)
    (first, *others) = documents
    root = {"anyOf": documents} if others else first
    schema = {"$schema": DIALECT, **root, "$defs": definitions}
    yield msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"


def _always_there(definition: dict[str, Any]) -> list[str]:
    """The keys that are always written: those that are not have UNSET for a default, not a value.

    Those that could be left out when reading are not what msgspec calls required.
    """
    properties, required = definition["properties"], definition.get("required", ())
    return [key for key, value in properties.items() if key in required or "default" in value]
