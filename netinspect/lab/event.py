"""What an experiment has to say, line by line."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from netinspect.model import Connection

Kind = Literal["place", "step", "reading", "sockets", "explanation", "command", "hold"]


class Event(Struct, frozen=True, kw_only=True):
    """One thing that an experiment says; a line of NDJSON."""

    experiment: str
    kind: Annotated[
        Kind,
        Meta(
            description="place: where it runs; step: what is done; reading: counts of now; "
            "sockets: some of them; explanation; command: what reveals it; hold: it is kept"
        ),
    ]
    elapsed_seconds: float
    text: Annotated[str, Meta(description="for people; it may change at any time")]
    counts: Annotated[
        dict[str, int] | None, Meta(description="of a reading, by state and by other names")
    ] = None
    connections: tuple[Connection, ...] | None = None
    remarks: Annotated[
        tuple[str, ...] | None, Meta(description="one on each of the connections")
    ] = None
    command: Annotated[
        str | None, Meta(description="what to type in another terminal while it is held")
    ] = None
