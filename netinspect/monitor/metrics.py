"""One value of the sockets, to be held against a threshold."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

from msgspec import UNSET

from netinspect.api import Listing, group
from netinspect.diagnose.destinations import RATE_SECONDS, count_ports, judge, tally_ends
from netinspect.diagnose.time_wait import picture
from netinspect.ends import Ends, LocalPorts
from netinspect.errors import SourceError
from netinspect.filters.selection import TCP_INFO_KEYS, Selection
from netinspect.grouping.keys import OWNER_KEYS
from netinspect.monitor.time_wait import is_all, leaves_out_time_wait, listened_ports, ports_in
from netinspect.query import ALL_STATES, leaves, negated_leaves, possible_states
from netinspect.settings import Settings
from netinspect.sources import SHOWING_BOUND
from netinspect.sources.ends import EndCounter
from netinspect.sources.settings import captured_settings, read_settings

if TYPE_CHECKING:
    from netinspect.grouping.keys import Grouping
    from netinspect.grouping.record import Group
    from netinspect.model import Connection

# Notes that say: there may be more sockets than could be read.
# Extended is asked for only where an expression tests something of it.
MISSING_SOCKETS = frozenset({"protocol_unsupported", "rows_skipped", "extended_unsupported"})
MISSING_OWNERS = frozenset({"owners_hidden"})
MISSING_OWNERLESS = frozenset({"time_wait_hidden"})
# What psutil does not tell, and what shows that a capture does.
UNTOLD_BY_PSUTIL = ("users", "queues", "inodes")
TOLD: dict[str, Callable[[Connection], object]] = {
    "owners": lambda c: c.owner_status not in ("unsupported", "none"),
    "users": lambda c: c.uid is not None or c.user is not None,
    "queues": lambda c: c.recv_q is not None,
    "inodes": lambda c: c.inode is not None,
}


def untold(listing: Listing, by: Iterable[str] = ()) -> tuple[str, ...]:
    """What the filters and these keys of groups look at, and no source tells: nothing meets it.

    To be asked before the listing is read.
    """
    wanted = tuple(_wanted(listing.selection, frozenset(by)))
    captures = listing.captures
    if captures:
        missing = [what for what in wanted if not captures.tells(TOLD[what])]
    else:
        has_psutil = "psutil" in listing.envelope.sources
        missing = [what for what in wanted if has_psutil and what in UNTOLD_BY_PSUTIL]
    sources = ", ".join(listing.envelope.sources)
    reasons = [f"{sources} tells no {what}" for what in missing]
    if _is_of_bound(listing.selection) and not SHOWING_BOUND.issuperset(listing.envelope.sources):
        reasons.append(f"{sources} shows no sockets that are bound and nothing more")
    return tuple(reasons)


def _is_of_bound(selection: Selection) -> bool:
    """Whether it asks for BOUND, and for nothing that every source shows."""
    states = possible_states(selection.expression) & (selection.query().states or ALL_STATES)
    return "BOUND" in states and states <= {"BOUND", "CLOSE"}


def _wanted(selection: Selection, by: frozenset[str]) -> Iterator[str]:
    keys = {getattr(leaf, "key", None) for leaf in leaves(selection.expression)} | by
    if selection.owner_test() is not None or not OWNER_KEYS.isdisjoint(by):
        yield "owners"
    if selection.needs_user or not keys.isdisjoint({"uid", "user"}):
        yield "users"
    if not keys.isdisjoint({"recv_q", "send_q"}):
        yield "queues"
    if "inode" in keys:
        yield "inodes"


class Value(NamedTuple):
    """A value, and in words what it is of.

    `doubts` are the reasons why there may be more of it than was seen, and less unless `is_least`.
    """

    number: float
    text: str
    doubts: tuple[str, ...] = ()
    is_least: bool = True


def count(listing: Listing) -> Value:
    """How many sockets there are."""
    number = sum(listing.count().values())
    return Value(number, _sockets(number), doubts(listing))


def largest_count(listing: Listing, grouping: Grouping) -> Value:
    """How many sockets the largest of the groups has.

    What has none of the keys is no group: listeners have no peer, TIME_WAIT has no process.
    """
    groups = [g for g in group(listing, grouping).groups if any(_values(g, grouping.by))]
    why = doubts(listing, needs_owners=grouping.needs_owners)
    if not groups:
        return Value(0, f"no sockets with {', '.join(grouping.by)}", why)
    largest = groups[0]
    more = f", the largest of {len(groups)} groups" if len(groups) > 1 else ""
    text = f"{_sockets(largest.count)} with {_named(largest, grouping.keys)}{more}"
    return Value(largest.count, text, why)


def fullest_queue(listing: Listing) -> Value:
    """The bytes in the fullest queue of a socket; of listeners the connections waiting.

    :raises SourceError: the source tells no queues.
    """
    listening = listing.selection.listening
    queues = (q for q in _queues(listing) if not listening or q.socket.state == "LISTEN")
    fullest = max(queues, key=lambda queue: queue.length, default=None)
    if fullest is None:
        return Value(0, "no socket with a queue", doubts(listing))
    return Value(fullest.length, fullest.text(), doubts(listing))


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


def fullest_destination(listing: Listing) -> Value:
    """Percent of the local ports that connections to one address and port can have.

    :raises SourceError: the range of local ports is not known, or TIME_WAIT is left out.
    """
    settings, ends = _ends(listing)
    if settings.ephemeral_range is None:
        raise SourceError("the range of local ports is not known here")
    ports = count_ports(ends)
    tallies = tally_ends(ends, settings).items()
    judged = [judge(end, tally, ports, settings, RATE_SECONDS) for end, tally in tallies]
    worst = max(judged, key=lambda d: d.used_percent or 0, default=None)
    if worst is None or worst.used_percent is None or not worst.used_ports:
        return Value(0, "no connection takes a local port", doubts(listing))
    reusable = worst.reusable_ports or 0
    again = f", and {reusable} that can be used again" if reusable else ""
    text = (
        f"{worst.used_percent:g} % of the local ports to {worst.remote_address} port "
        f"{worst.remote_port} are in use "
        f"({worst.used_ports - reusable} of {worst.capacity}{again})"
    )
    return Value(worst.used_percent, text, doubts(listing))


def time_wait_rate(listing: Listing) -> Value:
    """Sockets a second that came into TIME_WAIT, the mean of the last ten seconds.

    :raises SourceError: nothing tells how long TIME_WAIT still lasts.
    """
    settings, ends = _ends(listing)
    rate = picture(tally_ends(ends, settings), count_ports(ends), settings).created_per_second
    if rate is None:
        raise SourceError("nothing tells here how long sockets are in TIME_WAIT already")
    return Value(round(rate, 2), f"{rate:g} sockets a second into TIME_WAIT", doubts(listing))


def _ends(listing: Listing) -> tuple[Settings, Ends]:
    """The connections of a listing by where they lead, and what the kernel has been told."""
    captures = listing.captures
    if not captures and leaves_out_time_wait(listing.selection):
        raise SourceError("the filters leave out TIME_WAIT, which has neither process nor user")
    settings = captured_settings(captures) if captures else read_settings()
    ends = Ends(LocalPorts(settings, listened_ports(listing.source, captures)))
    if not captures and not is_all(listing):  # in every connection's way all the same
        ends.held_ports |= ports_in("bound", listing.source)
    if listing.has_test:
        for connections in listing:
            ends.add(connections)
    else:
        EndCounter(ends).count(listing.batches())
    return settings, ends


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


def _values(found: Group, keys: Iterable[str]) -> Iterator[bool]:
    return (getattr(found, key) not in (None, UNSET) for key in keys)


def _named(found: Group, keys: Iterable[str]) -> str:
    values = ((key, getattr(found, key)) for key in keys if key != "owner_status")
    return " ".join(f"{key}={'?' if v is None or v is UNSET else v}" for key, v in values)


def doubts(listing: Listing, *, needs_owners: bool = False) -> tuple[str, ...]:
    """Why there may be more sockets, or more of these owners."""
    selects_owners = listing.selection.owner_test() is not None
    codes = MISSING_SOCKETS | (MISSING_OWNERS if needs_owners or selects_owners else frozenset())
    if not selects_owners:
        codes |= MISSING_OWNERLESS
    return tuple(note.message for note in listing.notes if note.code in codes)


def may_be_fewer(listing: Listing, untold: Sequence[str] = ()) -> bool:
    """Whether some are counted that a `not` lets through only because of what is not known.

    The process of a hidden owner is no x: `not process = x` holds.

    :param untold: what no source tells of what the filters look at.
    """
    negated = negated_leaves(listing.selection.expression)
    if untold or not negated:
        return bool(untold and negated)
    from netinspect.filters.terms import OWNER_TERMS  # loaded with every expression, and only then

    codes = {note.code for note in listing.notes}
    tests_owners = any(isinstance(leaf, OWNER_TERMS) for leaf in negated)
    tests_extended = any(getattr(leaf, "key", None) in TCP_INFO_KEYS for leaf in negated)
    return (tests_owners and not codes.isdisjoint(MISSING_OWNERS)) or (
        tests_extended and "extended_unsupported" in codes
    )
