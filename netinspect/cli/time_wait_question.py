"""What `netinspect time-wait` asks: sockets, settings and counters, once or twice."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import asdict, replace

from netinspect.api import Listing
from netinspect.cli.options import explain_plan
from netinspect.diagnose.destinations import (
    HISTORY_SECONDS,
    RATE_SECONDS,
    EndTally,
    count_ports,
    tally_ends,
)
from netinspect.diagnose.time_wait import (
    Picture,
    created_since,
    difference,
    end_of,
    hidden,
    picture,
    with_owners,
)
from netinspect.diagnose.time_wait_causes import findings
from netinspect.diagnose.time_wait_evidence import Evidence
from netinspect.diagnose.time_wait_record import Destination, LikelyOwner, Sample, TimeWait
from netinspect.ends import End, Ends, LocalPorts, end_of_connection, plain
from netinspect.filters.selection import Selection, select
from netinspect.model import Connection, Note, Owner, State
from netinspect.monitor.time_wait import is_all, listened_ports, ports_in
from netinspect.owners import find_owners
from netinspect.settings import Settings
from netinspect.sources import SHOWING_BOUND
from netinspect.sources.ends import EndCounter
from netinspect.sources.platforms import platform
from netinspect.sources.settings import (
    captured_settings,
    read_counters,
    read_settings,
    read_uptime,
)

if TYPE_CHECKING:
    from netinspect.sources.capture import Captures

# Owners are looked for of so many destinations, the worst.
MOST_WITH_OWNERS = 20
MOST_OWNERS = 5  # of each
CONNECTED = ("established", "syn-sent", "fin-wait-1", "fin-wait-2", "close-wait", "last-ack")
WILDCARDS = ("0.0.0.0", "::")


class Wanted(NamedTuple):
    """The question, as it was typed."""

    selection: Selection
    source: str
    captures: Captures | None
    has_owners: bool
    sample_seconds: float | None
    is_explained: bool = False


class Counted(NamedTuple):
    """One reading of the sockets."""

    listing: Listing
    ends: Ends
    tallies: dict[End, EndTally]


class Look(NamedTuple):
    """A reading, and what it shows."""

    listing: Listing
    ends: Ends
    picture: Picture


class Moment(NamedTuple):
    """What is read at the beginning of a sample, to be compared at its end."""

    counted: Counted
    counters: Mapping[str, int]
    established: Mapping[Hashable, End]
    time_wait: Mapping[Hashable, End]
    clock: float


def ask(wanted: Wanted) -> TimeWait:
    """The answer.

    :raises SourceError: the sockets or settings cannot be read.
    """
    settings = captured_settings(wanted.captures) if wanted.captures else read_settings()
    before = None
    if wanted.sample_seconds is not None:
        before = _begin(wanted, settings)
        time.sleep(wanted.sample_seconds)
    counted = _count(wanted, settings)
    counters = {} if wanted.captures else read_counters()
    created = _created(before, counted, wanted)
    look = _look(counted, settings, _rate_seconds(wanted))
    evidence = Evidence(look.picture, settings, counters, created=created)
    if before:
        evidence = _compared(evidence, before, look, wanted)
    destinations, owner_notes = _with_owners(wanted, look)
    owners_follow = wanted.has_owners and wanted.captures is None
    explain_plan(look.listing, is_wanted=wanted.is_explained, owners_follow=owners_follow)
    return _document(look, evidence, destinations, owner_notes)


def _rate_seconds(wanted: Wanted) -> int:
    """How long to look back: as long as the sample, as far as the history goes."""
    if wanted.sample_seconds is None:
        return RATE_SECONDS
    return max(1, min(HISTORY_SECONDS, round(wanted.sample_seconds)))


def _look(counted: Counted, settings: Settings, rate_seconds: int) -> Look:
    """What was counted, judged; the tallies are gone then."""
    listing, ends, tallies = counted
    return Look(listing, ends, picture(tallies, count_ports(ends), settings, rate_seconds))


def _count(wanted: Wanted, settings: Settings) -> Counted:
    """Count the sockets by where they lead."""
    ends = Ends(LocalPorts(settings, listened_ports(wanted.source, wanted.captures)))
    counter = EndCounter(ends)
    # What comes without asking is taken; on Linux nobody has a socket in TIME_WAIT.
    gives_owners = wanted.captures is not None or platform() != "linux"
    listing = Listing(
        wanted.selection,
        source=wanted.source,
        captures=wanted.captures,
        with_owners=wanted.has_owners and gives_owners,
        with_holders=False,
        relay=counter.relay,
    )
    if listing.has_test:
        for connections in listing:
            ends.add(connections)
    else:
        counter.count(listing.batches())
    if not is_all(listing) and not wanted.captures:
        ends.held_ports |= ports_in("bound", wanted.source)
    return Counted(listing, ends, tally_ends(ends, settings))


def _begin(wanted: Wanted, settings: Settings) -> Moment:
    counters = read_counters()
    clock = time.monotonic()
    counted = _count(wanted, settings)
    ends = counted.ends
    return Moment(
        counted,
        counters,
        _standing(wanted, "ESTABLISHED", ends),
        _standing(wanted, "TIME_WAIT", ends) if _is_longer(wanted, settings) else {},
        clock,
    )


def _is_longer(wanted: Wanted, settings: Settings) -> bool:
    """Whether all that is in TIME_WAIT must have gone when the sample ends."""
    length = settings.time_wait_seconds
    return length is not None and (wanted.sample_seconds or 0) > length


def _standing(wanted: Wanted, state: State, ends: Ends) -> dict[Hashable, End]:
    """What is in a state now, by what tells one socket from another."""
    selection = replace(wanted.selection, states=frozenset({state}))
    listing = Listing(selection, source=wanted.source, with_owners=False)
    return {
        (c.cookie, c.local_address, c.local_port, c.remote_address, c.remote_port): end
        for connections in listing
        for c in connections
        if (end := end_of_connection(c, ends.ports)) is not None
    }


def _created(before: Moment | None, counted: Counted, wanted: Wanted) -> dict[End, int]:
    """What came into TIME_WAIT between the two readings; nothing where there is one."""
    if before is None:
        return {}
    return created_since(before.counted.tallies, counted.tallies, _rate_seconds(wanted))


def _compared(evidence: Evidence, before: Moment, look: Look, wanted: Wanted) -> Evidence:
    """What the second look adds."""
    seconds = time.monotonic() - before.clock
    established = _standing(wanted, "ESTABLISHED", look.ends)
    undying = 0
    if before.time_wait:
        still = _standing(wanted, "TIME_WAIT", look.ends)
        undying = len(before.time_wait.keys() & still.keys())
    return evidence._replace(
        sample=difference(before.counters, evidence.counters, round(seconds, 2)),
        lasting=Counter(established[key] for key in before.established.keys() & established.keys()),
        undying=undying,
        uptime_seconds=read_uptime() if platform() == "darwin" else None,
    )


def _document(
    look: Look,
    evidence: Evidence,
    destinations: tuple[Destination, ...],
    owner_notes: list[Note],
) -> TimeWait:
    seen, settings, sample = evidence.picture, evidence.settings, evidence.sample
    return TimeWait(
        **asdict(look.listing.envelope),
        count=seen.time_wait + hidden(look.listing.notes),
        limit=settings.tcp_max_tw_buckets,
        duration_seconds=settings.time_wait_seconds,
        ephemeral_range=settings.ephemeral_range,
        reserved_ports=settings.reserved_ports,
        tcp_tw_reuse=settings.tcp_tw_reuse,
        ports_in_use=seen.ports.in_use,
        created_per_second=_rate(look, sample),
        history=seen.history,
        destinations=destinations,
        sample=sample,
        findings=findings(evidence),
        notes=(*_notes(look, settings), *look.listing.notes, *owner_notes),
    )


def _rate(look: Look, sample: Sample | None) -> float | None:
    """By the counter, if it counts nothing that was not asked for."""
    if sample and sample.time_wait_entered is not None and is_all(look.listing):
        return round(sample.time_wait_entered / sample.seconds, 1)
    return look.picture.created_per_second


def _notes(look: Look, settings: Settings) -> Iterator[Note]:
    """What cannot be known here."""
    if settings.ephemeral_range is None:
        message = (
            "the range of ephemeral ports is not known here, so it cannot be told how near a "
            "destination is to running out of them"
        )
        yield Note("settings_unknown", None, message)
    if look.picture.time_wait and look.picture.history is None:
        message = (
            "nothing tells how long TIME_WAIT still lasts, so it is not known how fast it comes"
        )
        captures = look.listing.captures
        if not captures:
            message += "; --sample 10 counts it"
        elif captures.is_linux:
            message += "; ss and netstat show the timers with -o"
        yield Note("timers_unknown", None, message)
    unseen = [name for name in look.listing.envelope.sources if name not in SHOWING_BOUND]
    if unseen and look.picture.ports.capacity is not None:
        message = (
            f"{', '.join(unseen)}: sockets that are bound and nothing more are not shown there, "
            "so there may be fewer ports than said"
        )
        yield Note("bound_unseen", None, message)


def _with_owners(wanted: Wanted, look: Look) -> tuple[tuple[Destination, ...], list[Note]]:
    """The destinations with the processes that hold other sockets to the same end."""
    destinations = look.picture.destinations
    if not wanted.has_owners:
        return destinations, []
    holders = {end: _first(found.values()) for end, found in look.ends.owners.items() if found}
    notes: list[Note] = []
    if not wanted.captures:
        companions, notes = _owned(wanted, look, destinations[:MOST_WITH_OWNERS])
        for end, connection in companions:
            holders[end] = _first([*holders.get(end, ()), *connection.owners])
    likely = {
        end: [LikelyOwner(owner.pid, owner.process) for owner in found]
        for end, found in holders.items()
    }
    return with_owners(destinations, likely), notes


def _owned(
    wanted: Wanted, look: Look, destinations: tuple[Destination, ...]
) -> tuple[list[tuple[End, Connection]], list[Note]]:
    """What else leads to these destinations, with its owners; they are looked for once."""
    found: list[tuple[End, Connection]] = []
    listings = [
        Listing(selection, source=wanted.source, with_owners=True, with_holders=False)
        for selection in _companions(destinations)
    ]
    for listing in listings:
        records = (c for batch in listing.batches() for c in batch.records())
        found += [(end, c) for c in records for end in _ends_of(c, destinations, look.ends)]
    inodes = {c.inode for _, c in found if c.inode}
    if not inodes or not any(listing.looks_for_owners for listing in listings):
        return found, []
    owners = find_owners(inodes, reread=listings[0].inodes_now)  # all are of the same tables
    attached = owners.attach(connection for _, connection in found)
    note = owners.note()
    return list(zip((end for end, _ in found), attached, strict=True)), [note] if note else []


def _first(owners: Iterable[Owner]) -> tuple[Owner, ...]:
    """A few, each process once."""
    by_pid = {owner.pid: owner for owner in owners}
    return tuple(by_pid[pid] for pid in sorted(by_pid)[:MOST_OWNERS])


def _companions(destinations: Iterable[Destination]) -> Iterator[Selection]:
    """What has an owner: connections to the same ends, and the listeners of servers."""
    clients = [
        d
        for d in destinations
        if d.side == "client" and d.established + d.other and d.remote_port is not None
    ]
    if clients:
        yield select(
            protocols=["tcp"],
            states=CONNECTED,
            remote_addresses=dict.fromkeys(d.remote_address or "" for d in clients),
            remote_ports=dict.fromkeys(str(d.remote_port) for d in clients),
        )
    ports = dict.fromkeys(str(d.local_port) for d in destinations if d.side == "server")
    if ports:
        yield select(protocols=["tcp"], states=["listen"], local_ports=ports)


def _ends_of(
    connection: Connection, destinations: Iterable[Destination], ends: Ends
) -> Iterator[End]:
    """Those of the destinations that a socket belongs to, other than one in TIME_WAIT."""
    if connection.state != "LISTEN":
        end = end_of_connection(connection, ends.ports)
        is_wanted = connection.state != "TIME_WAIT" and any(end_of(d) == end for d in destinations)
        if end is not None and is_wanted:
            yield end
        return
    address = plain(connection.local_address or "")
    for destination in destinations:
        is_same = destination.side == "server" and destination.local_port == connection.local_port
        if is_same and address in (*WILDCARDS, destination.local_address):
            yield end_of(destination)
