"""Counting sockets by where they lead, without records where the source allows."""

from __future__ import annotations

from collections.abc import Iterable

from netinspect.ends import Ends
from netinspect.parse.inet_ends import RawEnds
from netinspect.sources import Batch
from netinspect.sources.sock_diag import InetBatch


def count_ends(batches: Iterable[Batch], ends: Ends) -> None:
    """Count the sockets of batches. Of TCP only."""
    raw: RawEnds | None = None
    for batch in batches:
        if not isinstance(batch, InetBatch):
            ends.add(batch.records())
            continue
        if raw is None:
            raw = RawEnds(ends, batch.names.interface)
        raw.add(batch.reply, batch.seen)
    if raw is not None:
        raw.decode()
