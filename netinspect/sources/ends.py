"""Counting sockets by where they lead, without records where the source allows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netinspect.ends import Ends
from netinspect.parse.inet_ends import RawEnds
from netinspect.relay import Relay
from netinspect.sources import Batch
from netinspect.sources.names import InterfaceNames
from netinspect.sources.sock_diag import InetBatch


class EndCounter:
    """Counts the sockets of batches. Of TCP only.

    `relay` is for the listing that they are of: of a long one another process counts half.
    """

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        self._raw = RawEnds(ends, InterfaceNames())
        self.relay = Relay(self._raw)

    def count(self, batches: Iterable[Batch]) -> None:
        """Count them all. To be called once."""
        for counted in self.relay.in_order(self._added(batches)):
            if counted:
                self._raw.merge(counted)
        self._raw.decode()

    def _added(self, batches: Iterable[Batch]) -> Iterator[bytes]:
        """Count them one by one; there is nothing to say of each."""
        for batch in batches:
            if isinstance(batch, InetBatch):
                self._raw.add(batch.reply, batch.seen)
            else:
                self._ends.add(batch.records())
            yield b""
