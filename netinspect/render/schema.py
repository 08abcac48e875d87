"""The published JSON Schemas, generated from the records."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from netinspect.model import Envelope, Snapshot, Summary

DIALECT = "https://json-schema.org/draft/2020-12/schema"
DOCUMENTS: dict[str, type[Envelope]] = {"list": Snapshot, "summary": Summary}


def render_schema(command: str) -> Iterator[bytes]:
    """The schema of what `netinspect COMMAND --json` prints."""
    schema = {"$schema": DIALECT, **msgspec.json.schema(DOCUMENTS[command])}
    for definition in schema["$defs"].values():
        # All keys are always written, also those that msgspec could leave out when reading.
        definition["required"] = list(definition["properties"])
    yield msgspec.json.format(msgspec.json.encode(schema), indent=2) + b"\n"
