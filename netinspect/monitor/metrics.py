"""One value of the sockets, to be held against a threshold."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from msgspec import UNSET

from netinspect.api import Listing, group
from netinspect.errors import SourceError

if TYPE_CHECKING:
    from netinspect.grouping.keys import Grouping
    from netinspect.grouping.record import Group
    from netinspect.model import Connection

# Notes that say: there may be more sockets than could be read.
MISSING_SOCKETS = frozenset({"protocol_unsupported", "rows_skipped"})
MISSING_OWNERS = frozenset({"owners_hidden"})


class Value(NamedTuple):
    """A value, and in words what it is of.

    `doubts` are the reasons why there may be more of it than was seen.
    """

    number: float
    text: str
    doubts: tuple[str, ...] = ()


def count(listing: Listing) -> Value:
    """How many sockets there are."""
    number = sum(listing.count().values())
    return Value(number, _sockets(number), _doubts(listing))


def largest_count(listing: Listing, grouping: Grouping) -> Value:
    """How many sockets the largest of the groups has."""
    found = group(listing, grouping._replace(top=1))
    doubts = _doubts(listing, needs_owners=grouping.needs_owners)
    if not found.groups:
        return Value(0, f"no sockets, so no group by {', '.join(grouping.by)}", doubts)
    (largest,) = found.groups
    others = found.left_out.groups
    more = f", the largest of {others + 1} groups" if others else ""
    text = f"{_sockets(largest.count)} with {_named(largest, grouping.keys)}{more}"
    return Value(largest.count, text, doubts)


def fullest_queue(listing: Listing) -> Value:
    """The bytes in the fullest queue of a socket; of listeners the connections waiting.

    :raises SourceError: the source tells no queues.
    """
    fullest = max(_queues(listing), key=lambda queue: queue.length, default=None)
    if fullest is None:
        return Value(0, "no socket with a queue", _doubts(listing))
    return Value(fullest.length, fullest.text(), _doubts(listing))


class Queue(NamedTuple):
    """The fullest queue of a socket."""

    length: int
    socket: Connection

    def text(self) -> str:
        """What waits where."""
        c = self.socket
        if c.state == "LISTEN":
            return f"{self.length} connections wait to be accepted on {_local(c)}"
        way = "be read" if self.length == c.recv_q else "be acknowledged"
        return f"{self.length} bytes wait to {way} on {c.protocol} {_local(c)}"


def _queues(batches: Iterable[list[Connection]]) -> Iterator[Queue]:
    for connections in batches:
        for c in connections:
            # the Send-Q of a listener is a limit
            lengths = (c.recv_q,) if c.state == "LISTEN" else (c.recv_q, c.send_q)
            if None in lengths:
                raise SourceError("the queues of some sockets are not told")
            yield Queue(max(filter(None, lengths), default=0), c)


def _local(c: Connection) -> str:
    if c.local_port is None:
        return str(c.local_address)
    address = f"[{c.local_address}]" if c.family == "ipv6" else c.local_address
    return f"{address}:{c.local_port}"


def _sockets(number: int) -> str:
    return "1 socket" if number == 1 else f"{number} sockets"


def _named(found: Group, keys: Iterable[str]) -> str:
    values = ((key, getattr(found, key)) for key in keys if key != "owner_status")
    return " ".join(f"{key}={'?' if v is None or v is UNSET else v}" for key, v in values)


def _doubts(listing: Listing, *, needs_owners: bool = False) -> tuple[str, ...]:
    """Why there may be more sockets, or more of these owners."""
    selects_owners = listing.selection.owner_test() is not None
    codes = MISSING_SOCKETS | (MISSING_OWNERS if needs_owners or selects_owners else frozenset())
    return tuple(note.message for note in listing.notes if note.code in codes)
