"""Who holds the sockets of one system: its own list of descriptors beside its list of sockets."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Iterator, Sequence

from msgspec.structs import replace

from netinspect.model import Connection


def attach_holders(
    connections: Sequence[Connection], held: Iterable[Connection]
) -> list[Connection]:
    """The same sockets, with the owners and the user that the descriptors tell.

    Both lists have to spell protocols and addresses alike. Where several sockets look the same
    each gets one descriptor if there are as many, and all of them if there are more: then some are
    shared, and nothing tells which.

    :param held: a record for each descriptor.
    """
    holders: defaultdict[Hashable, list[Connection]] = defaultdict(list)
    for descriptor in held:
        holders[next(_places(descriptor), None)].append(descriptor)
    places = [next((p for p in _places(c) if p in holders), None) for c in connections]
    alike = Counter(places)
    met: Counter[Hashable] = Counter()
    attached = []
    for connection, place in zip(connections, places, strict=True):
        theirs = [] if place is None else holders[place]
        if alike[place] > 1 and len(theirs) <= alike[place]:
            theirs = theirs[met[place] : met[place] + 1]
        met[place] += 1
        attached.append(_held_by(connection, theirs))
    return attached


def _places(connection: Connection) -> Iterator[Hashable]:
    """What may tell a socket from others, the best first: of unix sockets the kernel's number."""
    c = connection
    if c.protocol != "unix":
        yield c.protocol, c.family, c.local_address, c.local_port, c.remote_address, c.remote_port
    else:
        yield from (key for key in (c.cookie, c.local_address) if key is not None)


def _held_by(connection: Connection, descriptors: Iterable[Connection]) -> Connection:
    descriptors = [d for d in descriptors if d.owners]
    if not descriptors:
        return connection
    owners = sorted({owner for d in descriptors for owner in d.owners}, key=lambda o: (o.pid, o.fd))
    return replace(
        connection,
        user=descriptors[0].user,
        pid=owners[0].pid,
        process=owners[0].process,
        owners=tuple(owners),
        owner_status="known",
    )
