"""Several captures of one machine as one: a netstat with its lsof or sockstat.

Sockets are the same when protocol, addresses and ports are, however each tool spells them:
- macOS netstat has an IPv6 socket that carries IPv4 as tcp4 with an IPv4 address, lsof as IPv6;
- netstat has a listener for both families as tcp46 with an IPv4 wildcard, lsof as IPv6;
- a link-local address has its zone as %en0, in the address itself (fe80:5::1, the number of the
  interface), or not at all.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

from msgspec import UNSET
from msgspec.structs import replace

from netinspect.model import Connection, Owner

MAPPED = "::ffff:"
WILDCARDS = frozenset({"0.0.0.0", "::", "*", None})
# fe80:5::1: the second group, which RFC 4291 has as 0, is the number of the interface.
EMBEDDED_ZONE = re.compile(r"(fe[89ab][0-9a-f]|ff[0-9a-f][12]):[0-9a-f]{1,4}:(?=:|[0-9a-f])")
# macOS netstat cuts an IPv6 address at 16 characters, net-tools later.
SHORTEST_CUT = 15
MOST_COMPARED = 64
# What both tell is taken from the first; these are what makes them the same, or who holds them.
NOT_ADDED = frozenset(
    ("protocol", "family", "type", "state", "local_address", "local_port", "remote_address")
) | {"remote_port", "pid", "process", "owners", "owner_status"}
ADDED = tuple(key for key in Connection.__struct_fields__ if key not in NOT_ADDED)


def join(base: Iterable[Connection], others: Iterable[Connection]) -> list[Connection]:
    """The sockets of `base`, with what `others` tell besides, and behind them those it lacks.

    `others` may have a socket several times, once for each process that holds it.
    """
    joined = list(base)
    places = _places_by_key(joined)
    taken: set[int] = set()
    new = []
    for other in others:
        key = _key(other)
        keys = (("inode", other.inode or None), key, _key_of_cut(other))
        alike: Sequence[int] = next((places[k] for k in keys if k in places), ())
        place = None if key is None else _best(joined, other, alike, taken)
        if place is None:
            new.append(other)
        else:
            taken.add(place)
            joined[place] = _merged(joined[place], other)
    return joined + new


def _places_by_key(connections: Sequence[Connection]) -> dict[Hashable, list[int]]:
    places: defaultdict[Hashable, list[int]] = defaultdict(list)
    for index, connection in enumerate(connections):
        key = _key(connection)
        if connection.inode:
            places["inode", connection.inode].append(index)
        if key is not None:
            places[key].append(index)
        if _is_cut(connection.local_address) or _is_cut(connection.remote_address):
            places[_key_of_cut(connection)].append(index)
    return places


def _key(connection: Connection) -> Hashable:
    """What two records of one socket have in common; None where there is nothing to tell it by."""
    c = connection
    if c.protocol == "unix":
        return (c.protocol, c.inode or c.local_address) if c.inode or c.local_address else None
    place = (_plain(c.local_address), c.local_port, _plain(c.remote_address), c.remote_port)
    return c.protocol, c.ip_protocol, place


def _plain(address: str | None) -> str | None:
    """An address without its zone and family; None for a wildcard, and where there is none.

    >>> _plain("fe80:5::aede:48ff"), _plain("fe80::aede:48ff%en5"), _plain("::ffff:127.0.0.1")
    ('fe80::aede:48ff', 'fe80::aede:48ff', '127.0.0.1')
    """
    if address is None or address in WILDCARDS:
        return None
    host = address.partition("%")[0]
    if host.startswith("f"):
        host = EMBEDDED_ZONE.sub(r"\1::", host, count=1).replace(":::", "::")
    return host.removeprefix(MAPPED)


def _is_cut(address: str | None) -> bool:
    return address is not None and len(address) >= SHORTEST_CUT and ":" in address


def _key_of_cut(connection: Connection) -> Hashable:
    """What is left of the key where an address is cut: the ports."""
    return connection.protocol, connection.local_port, connection.remote_port


def _best(
    joined: Sequence[Connection], other: Connection, places: Sequence[int], taken: set[int]
) -> int | None:
    """Of the sockets that look alike the one that is most like it, and was not met yet.

    Of very many it is one after the other.
    """
    if len(places) > MOST_COMPARED:
        place = places[len(taken) % len(places)]
        return place if _may_be_same(joined[place], other) else None
    may_be = [p for p in places if _may_be_same(joined[p], other)]
    if not may_be:
        return None

    def likeness(place: int) -> tuple[bool, ...]:
        one = joined[place]
        return (
            one.inode is not None and one.inode == other.inode,
            one.family == other.family,  # before the process: it may listen on both
            place not in taken or one.pid == other.pid,
            one.pid is not None and one.pid == other.pid,
        )

    return max(may_be, key=likeness)


def _may_be_same(one: Connection, other: Connection) -> bool:
    if one.inode and other.inode:
        return one.inode == other.inode
    return _agree(one.local_address, other.local_address) and _agree(
        one.remote_address, other.remote_address
    )


def _agree(one: str | None, other: str | None) -> bool:
    """Whether they are the same address, or one is cut."""
    one, other = _plain(one), _plain(other)
    if one == other:
        return True
    return _is_cut(one) and one is not None and other is not None and other.startswith(one)


def _merged(one: Connection, other: Connection) -> Connection:
    """The first, with what only the second tells."""
    added = {
        key: theirs
        for key in ADDED
        if getattr(one, key) in (None, UNSET) and (theirs := getattr(other, key)) is not UNSET
    }
    if (one.family, one.state) != (other.family, other.state):  # they are of listeners
        for key in ("dual_stack", "exposure"):
            added.pop(key, None)
    for key in ("local_address", "remote_address"):
        ours, theirs = getattr(one, key), getattr(other, key)
        if _plain(ours) != _plain(theirs):  # it was cut
            added[key] = theirs
    owners = _all_owners(one.owners, other.owners)
    status = other.owner_status if one.owner_status == "unsupported" else one.owner_status
    return replace(
        one,
        **added,
        owners=owners,
        pid=owners[0].pid if owners else one.pid,
        process=owners[0].process if owners else one.process,
        owner_status="known" if owners else status,
    )


def _all_owners(ours: Iterable[Owner], theirs: Iterable[Owner]) -> tuple[Owner, ...]:
    """All of them by pid and descriptor; of one process the longest name, netstat cuts it."""
    names: dict[int, str | None] = {}
    held: dict[int, set[int | None]] = {}
    for owner in (*ours, *theirs):
        name = names.get(owner.pid)
        if len(owner.process or "") > len(name or ""):
            name = owner.process
        names[owner.pid] = name
        held.setdefault(owner.pid, set()).add(owner.fd)
    return tuple(
        Owner(pid, names[pid], fd)
        for pid in sorted(held)
        for fd in sorted(n for n in held[pid] if n is not None) or (None,)
    )
