"""Looking at the sockets once or twice, and at what else rules need."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import NamedTuple

from msgspec import UNSET
from msgspec.structs import replace

from netinspect.api import Listing
from netinspect.diagnose.destinations import count_ports, tally_ends
from netinspect.diagnose.scene import Key, Moment, Scene, is_telling, key_of
from netinspect.diagnose.sentences import MOST_SHOWN
from netinspect.diagnose.time_wait import difference, picture
from netinspect.diagnose.time_wait_evidence import Evidence
from netinspect.ends import Ends, LocalPorts
from netinspect.extended import TcpInfo
from netinspect.filters.selection import select
from netinspect.limits import SystemLimits
from netinspect.model import Connection, Note, State
from netinspect.owners import find_owners
from netinspect.settings import PORTS, Settings
from netinspect.sources.limits import read_limits
from netinspect.sources.platforms import platform
from netinspect.sources.settings import read_counters, read_settings

# Of a destination with fewer connections than this part of the ports there is nothing to be said.
HOT = 0.25
# Ages of established connections are asked for by port: the kernel takes a few hundred.
MOST_PORTS = 64
CLOSING: tuple[State, ...] = ("CLOSE_WAIT", "FIN_WAIT2")
END = attrgetter("local_address", "remote_address", "remote_port")

Look = Callable[[], Listing]


class Observation(NamedTuple):
    """A scene, the listing that it is from, and what makes it partial."""

    scene: Scene
    listing: Listing
    notes: tuple[Note, ...]


class Here(NamedTuple):
    """What this machine tells beside its sockets; nothing of a capture's machine."""

    settings: Settings
    limits: SystemLimits
    counters: Mapping[str, int]


class Glance:
    """One pass over all sockets: the telling ones are kept, the others counted.

    :param has_ends: keep also those that lead to such an end; None keeps none.
    """

    def __init__(
        self,
        batches: Iterable[list[Connection]],
        has_ends: Callable[[Connection], bool] | None = None,
    ) -> None:
        self.telling: list[Connection] = []
        self.leading: list[Connection] = []
        self.ends: Counter[tuple[object, ...]] = Counter()
        self.time_wait = 0
        for connections in batches:
            self.telling += filter(is_telling, connections)
            self.ends.update(map(END, connections))
            self.time_wait += sum(c.state == "TIME_WAIT" for c in connections)
            if has_ends is not None:
                self.leading += filter(has_ends, connections)


def observe(look: Look, *, seconds: float | None, wait: Callable[[float], None]) -> Observation:
    """Look once, or twice with so many seconds between.

    :param look: begins to read the sockets anew.
    :param wait: lets time pass.
    """
    listing = look()
    if listing.captures is not None:
        everything = list(listing)
        return _observation(Glance(everything), Glance(everything, _is_tcp), listing)
    before, started = read_counters(), time.monotonic()
    if seconds is None:
        everything = list(listing)
        first, last = Glance(everything), Glance(everything, _is_tcp)
        return _observation(first, last, listing, _here(before))
    first = Glance(listing)
    wait(max(0.0, started + seconds - time.monotonic()))
    here, passed = _here(read_counters()), round(time.monotonic() - started, 2)
    listing = look()
    last = Glance(listing, _leads_to_crowd(first, here.settings))
    return _observation(first, last, listing, here, before, passed)


def _here(counters: Mapping[str, int]) -> Here:
    return Here(read_settings(), read_limits(), counters)


def _is_tcp(connection: Connection) -> bool:
    return connection.protocol == "tcp"


def _leads_to_crowd(glance: Glance, settings: Settings) -> Callable[[Connection], bool]:
    """Whether a connection is one of many to the same end, or takes a port for them all."""
    low, high = settings.ephemeral_range or (0, PORTS)
    crowds = {end for end, count in glance.ends.items() if count >= HOT * (high - low + 1)}

    def leads(connection: Connection) -> bool:
        return connection.protocol == "tcp" and (
            connection.remote_address is None or END(connection) in crowds
        )

    return leads


def _observation(
    first: Glance,
    last: Glance,
    listing: Listing,
    here: Here | None = None,
    before: Mapping[str, int] | None = None,
    seconds: float | None = None,
) -> Observation:
    settings, limits, counters = here or Here(Settings(), SystemLimits(), {})
    selection = listing.selection
    if limits.file_uses is not None:
        uses = (use for use in limits.file_uses if selection.selects_process(use.pid, use.process))
        limits = limits._replace(file_uses=tuple(uses))
    telling, crowd, notes = last.telling, _some_of_each(last.leading), listing.notes
    if here is not None:
        aged = _with_ages(telling, listing)
        owned, hidden = _with_owners([*aged, *crowd], listing)
        telling, crowd = owned[: len(aged)], owned[len(aged) :]
        notes = (*notes, *hidden)
    scene = Scene(
        first=Moment(first.telling),
        last=Moment(telling),
        settings=settings,
        counters=counters,
        grown=None if before is None else _grown(before, counters),
        limits=limits,
        crowd=tuple(crowd),
        ports=_ports(last, settings, counters, before, seconds) if here else None,
        seconds=seconds,
        sources=listing.envelope.sources,
        is_by_process=selection.owner_test() is not None,
        protocols=frozenset(table.protocol for table in selection.tables),
    )
    return Observation(scene, listing, notes)


def _some_of_each(connections: Iterable[Connection]) -> list[Connection]:
    """A few of those that lead to the same end, first those that a process can have."""
    shown: dict[tuple[object, ...], list[Connection]] = {}
    for c in sorted((c for c in connections if c.remote_address), key=lambda c: c.inode is None):
        some = shown.setdefault(END(c), [])
        if len(some) < MOST_SHOWN:
            some.append(c)
    return [c for some in shown.values() for c in some]


def _grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    return {name: after[name] - before[name] for name in after.keys() & before.keys()}


def _ports(
    glance: Glance,
    settings: Settings,
    counters: Mapping[str, int],
    before: Mapping[str, int] | None,
    seconds: float | None,
) -> Evidence:
    """What there is to tell of the destinations that many connections lead to."""
    listened = {c.local_port for c in glance.leading if c.state == "LISTEN" and c.local_port}
    ends = Ends(LocalPorts(settings, listened))
    ends.add(glance.leading)
    seen = picture(tally_ends(ends, settings), count_ports(ends), settings)
    seen = seen._replace(time_wait=glance.time_wait)
    sample = None if before is None else difference(before, counters, seconds or 0)
    return Evidence(seen, settings, counters, sample)


def _with_owners(
    connections: list[Connection], listing: Listing
) -> tuple[list[Connection], list[Note]]:
    wanted = {c.inode for c in connections if c.inode and not c.owners}
    if not wanted or platform() != "linux":  # elsewhere the source has told them
        return connections, []
    owners = find_owners(wanted, reread=listing.inodes_now)
    attached = owners.attach(connections)
    note = owners.note()
    return attached, [note] if note else []


def _with_ages(connections: list[Connection], listing: Listing) -> list[Connection]:
    """Those that may have waited long, with tcp_info, which tells how long."""
    infos: dict[Key, TcpInfo | None] = {}
    for old in _listings_of_the_waiting(connections, listing):
        for records in old:
            infos.update((key_of(c), c.tcp_info) for c in records if c.tcp_info is not UNSET)
    return [replace(c, tcp_info=infos[key_of(c)]) if key_of(c) in infos else c for c in connections]


def _listings_of_the_waiting(connections: list[Connection], listing: Listing) -> Iterator[Listing]:
    if "sock_diag" not in listing.envelope.sources:
        return
    tcp = [c for c in connections if c.protocol == "tcp"]
    closing = {c.state for c in tcp if c.state in CLOSING}
    ports = {c.local_port for c in tcp if c.state == "ESTABLISHED"}
    if closing:
        yield _extended(closing)
    if 0 < len(ports) <= MOST_PORTS:
        yield _extended({"ESTABLISHED"}, map(str, ports))


def _extended(states: Iterable[str], ports: Iterable[str] | None = None) -> Listing:
    selection = select(protocols=["tcp"], states=states, local_ports=ports)
    return Listing(selection, source="sock_diag", with_owners=False, is_extended=True)
