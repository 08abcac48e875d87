"""How many of the local ports that a destination could have are in use, and for how long yet."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from msgspec import Struct

from netinspect.diagnose.time_wait_record import Destination, Level
from netinspect.ends import FREE_TO_CONNECT, End, Ends
from netinspect.settings import Settings

# From half of the ports connect() searches long: it takes those of one parity first, and walks
# through all of them before it looks at the others (__inet_hash_connect, inet_hashtables.c).
WARNING_PERCENT, CRITICAL_PERCENT = 50, 80
RATE_SECONDS = 10  # unless a sample says how long to look back
HISTORY_SECONDS = 60
# Before it could be set (tcp_tw_reuse_delay), connect() took over what was older than a second.
REUSE_DELAY_MS = 1000


class Ports(NamedTuple):
    """What there is to choose from on this host."""

    capacity: int | None
    in_use: int  # different ones, whichever the destination


class Waiting(NamedTuple):
    """Sockets of one end that came into TIME_WAIT in the same second."""

    age: int  # in whole seconds
    sockets: int
    takes_port: bool


class EndTally(Struct, gc=False):
    """The connections to one end."""

    time_wait: int = 0
    established: int = 0
    other: int = 0
    used_ports: int = 0
    is_timed: bool = True  # of all TIME_WAIT it is known how much is left
    waiting: tuple[Waiting, ...] = ()


def tally_ends(ends: Ends, settings: Settings) -> dict[End, EndTally]:
    """The counts of each end, put together; they are taken away from `ends`.

    There may be as many ends as sockets: so they are not held twice, and what is alike is shared.
    """
    tallies: dict[End, EndTally] = {}
    shared: dict[Waiting, tuple[Waiting]] = {}
    length = math.ceil(settings.time_wait_seconds or 0)
    while ends.counts:
        kind, count = ends.counts.popitem()
        tally = tallies.get(kind.end)
        if tally is None:
            tally = tallies[kind.end] = EndTally()
        tally.used_ports += count * kind.takes_port
        if kind.state == "ESTABLISHED":
            tally.established += count
        elif kind.state != "TIME_WAIT":
            tally.other += count
        else:
            tally.time_wait += count
            if kind.seconds_left is None or not length:
                tally.is_timed = False
                continue
            age = max(0, length - 1 - kind.seconds_left)
            waiting = Waiting(age, count, kind.takes_port)
            tally.waiting += shared.setdefault(waiting, (waiting,))
    return tallies


def count_ports(ends: Ends) -> Ports:
    """The ports that connect() could choose from, and how many of them are in use."""
    kinds = ends.ports.kinds
    in_use = sum(kinds[port] == FREE_TO_CONNECT for port in ends.local_ports - ends.held_ports)
    return Ports(ends.ports.capacity(ends.held_ports), in_use)


def judge(
    end: End, tally: EndTally, ports: Ports, settings: Settings, rate_seconds: int
) -> Destination:
    """What is to be said of one end.

    :param rate_seconds: of how many seconds the rate is the mean.
    """
    rate = None
    if tally.is_timed:
        rate = round(created_within(tally.waiting, rate_seconds) / rate_seconds, 1)
    if end.side == "server":
        return _destination(end, tally, rate)
    reusable = _reusable(end, tally, settings)
    taken = ports.in_use if settings.is_port_taken_everywhere else tally.used_ports - reusable
    percent = None
    if ports.capacity is not None:
        percent = round(min(100, 100 * taken / ports.capacity), 1) if ports.capacity else 100.0
    return _destination(
        end,
        tally,
        rate,
        reusable_ports=reusable,
        capacity=ports.capacity,
        used_percent=percent,
        seconds_to_exhaustion=_seconds_to_exhaustion(end, tally, ports, settings, rate_seconds),
        severity=None if percent is None else level(percent),
    )


def _destination(  # noqa: PLR0913 what only clients have
    end: End,
    tally: EndTally,
    rate: float | None,
    *,
    reusable_ports: int | None = None,
    capacity: int | None = None,
    used_percent: float | None = None,
    seconds_to_exhaustion: int | None = None,
    severity: Level | None = "ok",
) -> Destination:
    return Destination(
        side=end.side,
        local_address=end.local_address,
        local_port=end.local_port,
        remote_address=end.remote_address,
        remote_port=end.remote_port,
        time_wait=tally.time_wait,
        established=tally.established,
        other=tally.other,
        used_ports=tally.used_ports if end.side == "client" else None,
        reusable_ports=reusable_ports,
        capacity=capacity,
        used_percent=used_percent,
        created_per_second=rate,
        seconds_to_exhaustion=seconds_to_exhaustion,
        severity=severity,
    )


def level(percent: float) -> Level:
    """How bad it is that so much of the ports is in use."""
    if percent >= CRITICAL_PERCENT:
        return "critical"
    return "warning" if percent >= WARNING_PERCENT else "ok"


def created_within(waiting: Iterable[Waiting], seconds: int) -> int:
    """How many came into TIME_WAIT in the last seconds."""
    return sum(w.sockets for w in waiting if w.age < seconds)


def history(waiting: Iterable[Waiting], length: float) -> tuple[int | None, ...]:
    """How many were created in each second, oldest first; None: too long ago to be seen."""
    total: Counter[int] = Counter()
    for age, sockets, _ in waiting:
        total[age] += sockets
    return tuple(total[age] if age < length else None for age in reversed(range(HISTORY_SECONDS)))


def can_be_reused(end: End, settings: Settings) -> bool:
    """Whether connect() takes over ports in TIME_WAIT (tcp_twsk_unique, tcp_ipv4.c).

    The peer has to use timestamps too, which cannot be seen.
    """
    if not settings.tcp_timestamps:
        return False
    addresses = end.local_address, end.remote_address
    return settings.tcp_tw_reuse == 1 or (
        settings.tcp_tw_reuse == 2 and any(map(_is_loopback, addresses))
    )


def _is_loopback(address: str | None) -> bool:
    return address is not None and (address == "::1" or address.startswith("127."))


def _delay_seconds(settings: Settings) -> int:
    """In whole seconds, as ages are."""
    return (settings.tcp_tw_reuse_delay_ms or REUSE_DELAY_MS) // 1000


def _reusable(end: End, tally: EndTally, settings: Settings) -> int:
    """How many of the used ports connect() would take over."""
    if not can_be_reused(end, settings):
        return 0
    delay = _delay_seconds(settings)
    return sum(w.sockets for w in tally.waiting if w.takes_port and w.age >= delay)


def _seconds_to_exhaustion(
    end: End, tally: EndTally, ports: Ports, settings: Settings, rate_seconds: int
) -> int | None:
    """When the ports run out if it goes on like this; what is known to expire is taken off.

    None: never, because as many expire as come before the last port is gone; or not known.
    """
    length, capacity = settings.time_wait_seconds, ports.capacity
    if length is None or capacity is None or not tally.is_timed:
        return None
    held = _delay_seconds(settings) if can_be_reused(end, settings) else length
    waiting = [w for w in tally.waiting if w.takes_port]
    rate = created_within(waiting, rate_seconds) / rate_seconds
    if tally.used_ports + rate * held < capacity:  # so it is of most
        return None
    others = tally.used_ports - sum(w.sockets for w in waiting)

    def taken_after(seconds: int) -> float:
        still = sum(w.sockets for w in waiting if w.age + seconds < held)
        return others + still + rate * min(seconds, held)

    if taken_after(0) <= others + rate * held < capacity:
        return None
    seconds = range(math.ceil(held) + 1)
    return next((second for second in seconds if taken_after(second) >= capacity), None)
