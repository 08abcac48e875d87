"""Messages of sock_diag, counted by where they lead without making records of them.

100,000 messages take as long as the kernel takes to make them; as records they would take thrice.
"""

from __future__ import annotations

import pickle
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from operator import itemgetter, not_, or_
from socket import AF_INET, AF_INET6
from typing import Any, NamedTuple

from netinspect.addresses import needs_zone
from netinspect.ends import (
    FREE_TO_CONNECT,
    LISTENED,
    OTHER,
    End,
    Ends,
    Kind,
    is_server,
    plain,
)
from netinspect.parse.address import MOST_REMEMBERED
from netinspect.parse.inet_diag import columns
from netinspect.parse.inet_numbers import PEERLESS, STATE_NUMBERS, TCP_STATES
from netinspect.parse.inet_records import HOST_PORT, IPV4_TEXT, IPV6_TEXT
from netinspect.parse.netlink import Reply
from netinspect.parse.seen import Seen

# Of the message in inet_diag.py: family and state in one; local port; remote port, both addresses
# and the interface in one, which is where it leads; cookie; expiry in ms.
ENDS = "=16xH2xH38sQI16x"
TIME_WAIT = STATE_NUMBERS["TIME_WAIT"]
# Milliseconds to seconds, of all that a byte can tell: TIME_WAIT lasts a minute
SECONDS = b"".join(bytes([second]) * 1000 for second in range(256))
# Behind the remote port (2 bytes) the local and the remote address (16 each), the interface (4)
PORT, LOCAL, REMOTE, INTERFACE = slice(0, 2), slice(2, 18), slice(18, 34), slice(34, 38)
LOCAL_END = itemgetter(LOCAL, INTERFACE)

# Family and state, where it leads, seconds left
RawClient = tuple[int, bytes, int]
# Family and state, local port, local address and interface, seconds left
RawServer = tuple[int, int, tuple[bytes, bytes], int]


def heads(states: Iterable[int]) -> frozenset[int]:
    """Family and state as they stand in a message, read as one number of this machine's."""
    return frozenset(
        int.from_bytes(bytes([family, state]), sys.byteorder)
        for family in (AF_INET, AF_INET6)
        for state in states
    )


PEERLESS_HEADS = heads(PEERLESS)
TIME_WAIT_HEADS = heads([TIME_WAIT])


class Sockets(NamedTuple):
    """What is taken of many messages, a column each."""

    heads: Sequence[int]
    ports: Sequence[int]
    ends: Sequence[bytes]
    cookies: Sequence[int]
    expiries: Sequence[int]

    @property
    def are_in_time_wait(self) -> bool:
        """Whether all are, and of one family, as in most replies where there are many."""
        heads = self.heads
        return bool(heads) and heads[0] in TIME_WAIT_HEADS and heads.count(heads[0]) == len(heads)

    def select(self, selectors: Iterable[object]) -> Sockets:
        """Those for which there is something true."""
        selectors = list(selectors)
        return Sockets._make(tuple(compress(column, selectors)) for column in self)


class RawEnds:
    """Counts messages that have a peer, and tells at the end what they are.

    :param interface: names by index.
    """

    def __init__(self, ends: Ends, interface: Mapping[int, str]) -> None:
        self._ends = ends
        self._interface = interface
        self._kind_of_port = _by_port_as_sent(ends.ports.kinds)
        self._free_clients: Counter[RawClient] = Counter()
        self._other_clients: Counter[RawClient] = Counter()
        self._servers: Counter[RawServer] = Counter()
        self._ports: set[int] = set()

    def add(self, reply: Reply, seen: Seen) -> None:
        """Count the sockets of a reply that no earlier one had."""
        sockets = Sockets(*columns(reply, ENDS))
        are_new = seen.add(sockets.cookies, sockets.heads)
        if are_new is not None:
            sockets = sockets.select(are_new)
        if not sockets.are_in_time_wait and not PEERLESS_HEADS.isdisjoint(sockets.heads):
            sockets = self._without_peerless(sockets)
        self._ports.update(sockets.ports)
        kinds = bytes(map(self._kind_of_port.__getitem__, sockets.ports))
        if kinds.count(FREE_TO_CONNECT) == len(kinds):
            self._free_clients.update(_clients(sockets))
        elif kinds.count(LISTENED) == len(kinds):
            self._servers.update(_servers(sockets))
        else:
            self._add_mixed(sockets, kinds)

    def _add_mixed(self, sockets: Sockets, kinds: bytes) -> None:
        are_servers = list(map(_is_server, kinds, sockets.ports, sockets.ends))
        self._servers.update(_servers(sockets.select(are_servers)))
        are_free = [kind == FREE_TO_CONNECT for kind in kinds]
        self._free_clients.update(_clients(sockets.select(are_free)))
        others = map(not_, map(or_, are_servers, are_free))
        self._other_clients.update(_clients(sockets.select(others)))

    def _without_peerless(self, sockets: Sockets) -> Sockets:
        """Those that are to be counted; of the others the port is taken down."""
        has_peer = [head not in PEERLESS_HEADS for head in sockets.heads]
        held = compress(sockets.ports, map(not_, has_peer))
        self._ends.held_ports.update(map(HOST_PORT.__getitem__, held))
        return sockets.select(has_peer)

    def clear(self) -> None:
        """Forget what was counted."""
        for counts in self._counts():
            counts.clear()
        for ports in (self._ports, self._ends.held_ports):
            ports.clear()

    def to_bytes(self) -> bytes:
        """What was counted, for a process that adds it to its own."""
        return pickle.dumps((self._counts(), self._ports, self._ends.held_ports))

    def merge(self, counted: bytes) -> None:
        """Add what another process has counted, which was forked from this one."""
        theirs, ports, held_ports = pickle.loads(counted)  # noqa: S301 of our own making
        for counts, more in zip(self._counts(), theirs, strict=True):
            counts.update(more)
        self._ports |= ports
        self._ends.held_ports |= held_ports

    def _counts(self) -> tuple[Counter[Any], ...]:
        return self._free_clients, self._other_clients, self._servers

    def decode(self) -> None:
        """Hand over what was counted."""
        self._ends.local_ports.update(map(HOST_PORT.__getitem__, self._ports))
        self._decode_clients(self._free_clients, takes_port=True)
        self._decode_clients(self._other_clients, takes_port=False)
        counts = self._ends.counts
        for (head, port, (address, interface), seconds), count in self._servers.items():
            family, state = head.to_bytes(2, sys.byteorder)
            local = self._address(family, address, interface)
            end = End("server", local, HOST_PORT[port], None, None)
            counts[_kind(end, state, seconds, takes_port=False)] += count

    def _decode_clients(self, clients: Counter[RawClient], *, takes_port: bool) -> None:
        found: dict[tuple[int, bytes], End] = {}
        counts = self._ends.counts
        while clients:  # they are given up one by one: there may be as many as sockets
            (head, packed, seconds), count = clients.popitem()
            family, state = head.to_bytes(2, sys.byteorder)
            end = found.get((family, packed))
            if end is None:
                if len(found) >= MOST_REMEMBERED:
                    found.clear()
                end = found[family, packed] = self._client(family, packed)
            counts[_kind(end, state, seconds, takes_port=takes_port)] += count

    def _client(self, family: int, packed: bytes) -> End:
        local = self._address(family, packed[LOCAL], packed[INTERFACE])
        remote = self._address(family, packed[REMOTE], packed[INTERFACE])
        return End("client", local, None, remote, int.from_bytes(packed[PORT], "big"))

    def _address(self, family: int, packed: bytes, interface: bytes) -> str:
        text = IPV4_TEXT[packed] if family == AF_INET else IPV6_TEXT[packed]
        index = int.from_bytes(interface, sys.byteorder)
        if index and needs_zone(text):
            return f"{text}%{self._interface[index]}"
        return plain(text)


def _by_port_as_sent(kinds: bytes) -> bytes:
    """The same, by ports in network byte order, read as numbers of this machine."""
    if sys.byteorder == "big":
        return kinds
    return b"".join(kinds[low_byte::256] for low_byte in range(256))


def _is_server(kind: int, port: int, packed: bytes) -> bool:
    if kind != OTHER:
        return kind == LISTENED
    return is_server(kind, HOST_PORT[port], int.from_bytes(packed[PORT], "big"))


def _kind(end: End, state: int, seconds: int, *, takes_port: bool) -> Kind:
    left = seconds if state == TIME_WAIT else None
    return Kind(end, TCP_STATES[state] or "UNKNOWN", left, takes_port)


def _clients(sockets: Sockets) -> Iterable[RawClient]:
    """The remote end and the local address in one piece, as they came."""
    return zip(sockets.heads, sockets.ends, _seconds_left(sockets), strict=True)


def _servers(sockets: Sockets) -> Iterable[RawServer]:
    """By the local end alone: the clients are many."""
    ends = map(LOCAL_END, sockets.ends)
    return zip(sockets.heads, sockets.ports, ends, _seconds_left(sockets), strict=True)


def _seconds_left(sockets: Sockets) -> Sequence[int]:
    """0 but in TIME_WAIT: the other timers say nothing of when the connection ended."""
    expiries = sockets.expiries
    if not sockets.are_in_time_wait:
        pairs = zip(sockets.heads, expiries, strict=True)
        expiries = [expiry if head in TIME_WAIT_HEADS else 0 for head, expiry in pairs]
    try:
        return list(map(SECONDS.__getitem__, expiries))
    except IndexError:  # a kernel with another length, longer than four minutes
        return [expiry // 1000 for expiry in expiries]
