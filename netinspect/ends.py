"""Connections counted by where they lead, instead of kept one by one.

A connection that this host opened leads to a remote address and port, and takes a local port for
it. A connection to one of this host's servers is known by the server's port.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from typing import Literal, NamedTuple

from netinspect.model import Connection, Owner, State
from netinspect.settings import PORTS, Settings

Side = Literal["client", "server"]
MAPPED = "::ffff:"

# What a local port is: none that connect() would choose, one of those, a listener's.
OTHER, FREE_TO_CONNECT, LISTENED = 0, 1, 2


class LocalPorts:
    """What each local port is for the connections that this host opens.

    connect() chooses from the ephemeral range, without what is reserved and without every port that
    some socket holds by bind(), on whatever address (__inet_hash_connect, inet_hashtables.c).

    :param listened: the ports of listeners.
    """

    def __init__(self, settings: Settings, listened: Iterable[int] = ()) -> None:
        kinds = bytearray(PORTS)
        low, high = settings.ephemeral_range or (0, PORTS - 1)
        kinds[low : high + 1] = bytes([FREE_TO_CONNECT]) * (high + 1 - low)
        for first, last in settings.reserved_ports or ():
            kinds[first : last + 1] = bytes(last + 1 - first)
        for port in listened:
            kinds[port] = LISTENED
        self.kinds = bytes(kinds)
        self.is_range_known = settings.ephemeral_range is not None

    def capacity(self, held: Iterable[int]) -> int | None:
        """How many ports connect() can choose from, at most; None where the range is not known.

        :param held: the ports of sockets that are merely bound. One that was bound before it was
            connected holds its port as well, but looks like the others.
        """
        if not self.is_range_known:
            return None
        taken = sum(self.kinds[port] == FREE_TO_CONNECT for port in set(held))
        return self.kinds.count(FREE_TO_CONNECT) - taken


class End(NamedTuple):
    """Where connections lead: for a client the local port is None, for a server the remote end."""

    side: Side
    local_address: str
    local_port: int | None
    remote_address: str | None
    remote_port: int | None


class Kind(NamedTuple):
    """What is counted together.

    `seconds_left` of TIME_WAIT, None where it is not told. `takes_port`: one of those ports that
    connect() can choose from.
    """

    end: End
    state: State
    seconds_left: int | None
    takes_port: bool


class Ends:
    """How many connections of each kind there are.

    Both ends, address and port, are never the same for two sockets of a host, so that of a client's
    end the count of the connections is that of the local ports.
    """

    def __init__(self, ports: LocalPorts) -> None:
        self.ports = ports
        self.counts: Counter[Kind] = Counter()
        self.local_ports: set[int] = set()
        self.held_ports: set[int] = set()  # of sockets without a peer
        self.owners: defaultdict[End, dict[int, Owner]] = defaultdict(dict)

    def add(self, connections: Iterable[Connection]) -> None:
        """Count some more; those without a peer do not lead anywhere."""
        for connection in connections:
            kind = self._kind(connection)
            if kind is not None:
                self.counts[kind] += 1
                self.owners[kind.end].update({owner.pid: owner for owner in connection.owners})

    def _kind(self, connection: Connection) -> Kind | None:
        end, port = end_of_connection(connection, self.ports), connection.local_port
        if port is None:
            return None
        if end is None:
            self.held_ports.add(port)
            return None
        self.local_ports.add(port)
        timer = connection.timer if connection.state == "TIME_WAIT" else None
        left = timer.expires_ms // 1000 if timer else None
        return Kind(end, connection.state, left, self.ports.kinds[port] == FREE_TO_CONNECT)


def end_of_connection(connection: Connection, ports: LocalPorts) -> End | None:
    """Where a connection leads; None where there is no peer."""
    local, remote = connection.local_address, connection.remote_address
    port = connection.local_port
    if local is None or remote is None or port is None:
        return None
    if is_server(ports.kinds[port], port, connection.remote_port):
        return End("server", plain(local), port, None, None)
    return End("client", plain(local), None, plain(remote), connection.remote_port)


def is_server(kind: int, local_port: int, remote_port: int | None) -> bool:
    """Whether the local end is a server's.

    When the server has gone, its connections are known by a port that connect() would not have
    chosen, and a client's port on the other side: those are the larger ones.
    """
    return kind == LISTENED or (kind == OTHER and (remote_port or 0) > local_port)


def plain(address: str) -> str:
    """A v4-mapped IPv6 address as IPv4: on the wire, and for the ports, they are one."""
    is_mapped = address.startswith(MAPPED) and "." in address
    return address[len(MAPPED) :] if is_mapped else address
