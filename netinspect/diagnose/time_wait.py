"""What TIME_WAIT tells: one snapshot, or two and what the kernel counted between them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from operator import attrgetter
from typing import Any, NamedTuple

from msgspec.structs import replace

from netinspect.diagnose.destinations import (
    RATE_SECONDS,
    EndTally,
    Ports,
    created_within,
    history,
    judge,
)
from netinspect.diagnose.time_wait_record import Destination, LikelyOwner, Sample
from netinspect.ends import End
from netinspect.model import Note
from netinspect.settings import Settings

RANK = {"critical": 0, "warning": 1, "ok": 2, None: 2}
# What comes first decides first. They are sorted by one after the other: keys of several parts
# would take as much memory as the destinations.
ORDER: tuple[Callable[[Destination], Any], ...] = (
    lambda d: RANK[d.severity],
    attrgetter("side"),  # clients before servers: those take ports
    lambda d: -d.time_wait,
    attrgetter("local_address"),
    lambda d: d.local_port or 0,
    lambda d: d.remote_address or "",
    lambda d: d.remote_port or 0,
)


class Picture(NamedTuple):
    """What one snapshot shows.

    `created_per_second` and `history` are None where it is not told how long TIME_WAIT still lasts.
    """

    destinations: tuple[Destination, ...]
    time_wait: int
    ports: Ports
    created_per_second: float | None
    history: tuple[int | None, ...] | None


def picture(
    tallies: dict[End, EndTally],
    ports: Ports,
    settings: Settings,
    rate_seconds: int = RATE_SECONDS,
) -> Picture:
    """The destinations of clients, and the servers that have sockets in TIME_WAIT; the worst first.

    :param tallies: they are given up one by one: there may be as many as sockets.
    :param rate_seconds: of how many seconds rates are the mean.
    """
    length = settings.time_wait_seconds
    time_wait = sum(tally.time_wait for tally in tallies.values())
    waiting = [w for tally in tallies.values() for w in tally.waiting]
    is_timed = length is not None and all(tally.is_timed for tally in tallies.values())
    pairs = (tallies.popitem() for _ in range(len(tallies)))
    judged = (judge(end, tally, ports, settings, rate_seconds) for end, tally in pairs)
    shown = [d for d in judged if d.side == "client" or d.time_wait]
    for key in reversed(ORDER):
        shown.sort(key=key)
    rate = round(created_within(waiting, rate_seconds) / rate_seconds, 1)
    return Picture(
        destinations=tuple(shown),
        time_wait=time_wait,
        ports=ports,
        created_per_second=rate if is_timed else None,
        history=history(waiting, length) if is_timed and length else None,
    )


def end_of(destination: Destination) -> End:
    """What the destination is known by."""
    return End(
        destination.side,
        destination.local_address,
        destination.local_port,
        destination.remote_address,
        destination.remote_port,
    )


def difference(before: Mapping[str, int], after: Mapping[str, int], seconds: float) -> Sample:
    """What was counted between two readings of the counters."""

    def grown(name: str) -> int | None:
        if name not in before or name not in after:
            return None
        return after[name] - before[name]

    return Sample(
        seconds=seconds,
        opened=grown("Tcp.ActiveOpens"),
        accepted=grown("Tcp.PassiveOpens"),
        time_wait_entered=grown("TcpExt.TW"),
        time_wait_reused=grown("TcpExt.TWRecycled"),
        aborted_on_close=grown("TcpExt.TCPAbortOnClose"),
        time_wait_overflowed=grown("TcpExt.TCPTimeWaitOverflow"),
    )


def created_since(
    before: Mapping[End, EndTally], after: Mapping[End, EndTally], seconds: int
) -> dict[End, int]:
    """What came into TIME_WAIT in the last seconds; without timers what there is more than before.

    That is too little where some have gone meanwhile.
    """
    created = {}
    for end, tally in after.items():
        if tally.is_timed:
            created[end] = created_within(tally.waiting, seconds)
        else:
            created[end] = max(0, tally.time_wait - before.get(end, EndTally()).time_wait)
    return created


def hidden(notes: Iterable[Note]) -> int:
    """How many sockets in TIME_WAIT there are that the source has no rows of."""
    return sum(note.count or 0 for note in notes if note.code == "time_wait_hidden")


def with_owners(
    destinations: Iterable[Destination], owners: Mapping[End, Iterable[LikelyOwner]]
) -> tuple[Destination, ...]:
    """The destinations, with the processes that hold other sockets to the same end."""
    return tuple(
        replace(d, likely_owners=tuple(found)) if (found := owners.get(end_of(d))) else d
        for d in destinations
    )
