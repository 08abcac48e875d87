"""Who began a connection: told by whether its local port is a listener's.

The kernel does not keep it. What follows from the sockets that there are now:

- inbound: a socket listens on the local port, and on the same address or all; or it is SYN_RECV.
  `::` without IPV6_V6ONLY listens on IPv4 as well.
- outbound: there is a peer, but no such listener; or it is SYN_SENT. After a listener has gone,
  what is left of its connections (TIME_WAIT for a minute) looks like this too.
- unknown: there is no peer, there are no ports, or the listeners could not be read.

For UDP a socket without a peer listens. Of unix sockets those that were accepted have the path of
their listener (unix_stream_connect, net/unix/af_unix.c), and the others, at the most, one of their
own.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable

from msgspec import UNSET
from msgspec.structs import replace

from netinspect.model import Connection, Direction, Protocol, State

# What listens, by protocol: the others have no ports, and no names that tell.
LISTENERS: dict[Protocol, State] = {
    "tcp": "LISTEN",
    "udp": "UNCONN",
    "udplite": "UNCONN",
    "unix": "LISTEN",
}
# What the state alone tells
HANDSHAKES: dict[State, Direction] = {"SYN_SENT": "outbound", "SYN_RECV": "inbound"}
WILDCARDS = {"ipv4": "0.0.0.0", "ipv6": "::"}
MAPPED, MAPPED_WILDCARD = "::ffff:", "::ffff:0.0.0.0"


class Directions:
    """Tells the direction of connections by the listeners that there are.

    :param protocols: those of which the listeners were read.
    """

    def __init__(self, listeners: Collection[Connection], protocols: Collection[Protocol]) -> None:
        self._protocols = protocols
        self._places = {place for listener in listeners for place in _places(listener)}
        self._ports = {(c.protocol, c.local_port) for c in listeners}
        self._by_end: dict[Hashable, Direction] = {}

    def attach(self, connections: Iterable[Connection]) -> list[Connection]:
        """The same connections, with their direction; one that was captured stays."""
        return [
            replace(c, direction=self.of(c)) if c.direction is UNSET else c for c in connections
        ]

    def of(self, connection: Connection) -> Direction:
        """The direction of one connection."""
        if connection.protocol not in self._protocols or connection.state == "LISTEN":
            return "unknown"
        if connection.protocol == "unix":
            if _unix_place(connection) in self._places:
                return "inbound"
            return "outbound" if connection.remote_address is not None else "unknown"
        if connection.remote_address is None:
            return "unknown"
        if connection.state in HANDSHAKES:
            return HANDSHAKES[connection.state]
        if (connection.protocol, connection.local_port) not in self._ports:  # most clients
            return "outbound"
        end = connection.protocol, connection.local_address, connection.local_port
        direction = self._by_end.get(end)
        if direction is None:  # a server has many connections at one end
            is_inbound = any(place in self._places for place in _ways_in(connection))
            direction = self._by_end[end] = "inbound" if is_inbound else "outbound"
        return direction


def _places(listener: Connection) -> Iterable[Hashable]:
    """Where it takes connections."""
    protocol, port, address = listener.protocol, listener.local_port, listener.local_address
    if LISTENERS.get(protocol) != listener.state or address is None:
        return
    if protocol == "unix":
        yield _unix_place(listener)
        return
    yield protocol, port, address
    # /proc does not tell: then it is taken for dual, the default of the kernel.
    is_dual = address == WILDCARDS["ipv6"] and listener.dual_stack is not False
    if is_dual or address == MAPPED_WILDCARD:
        yield protocol, port, MAPPED


def _ways_in(connection: Connection) -> Iterable[Hashable]:
    """The places of listeners that would have taken this connection."""
    protocol, port = connection.protocol, connection.local_port
    address = connection.local_address or ""
    yield protocol, port, address
    if connection.family == "ipv4" or address.startswith(MAPPED):
        yield protocol, port, MAPPED
        if connection.family == "ipv6":
            return
    yield protocol, port, WILDCARDS[connection.family]


def _unix_place(connection: Connection) -> Hashable:
    return connection.type, connection.local_address
