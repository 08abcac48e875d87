"""Messages of sock_diag, counted by where they lead without making records of them.

100,000 messages take as long as the kernel takes to make them; as records they would take thrice.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress
from operator import itemgetter, not_
from socket import AF_INET
from typing import NamedTuple

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
from netinspect.parse.address import needs_zone
from netinspect.parse.inet_diag import columns
from netinspect.parse.inet_numbers import PEERLESS, STATE_NUMBERS, TCP_STATES
from netinspect.parse.inet_records import HOST_PORT, IPV4_TEXT, IPV6_TEXT
from netinspect.parse.netlink import Reply
from netinspect.parse.seen import Seen

# Of the message in inet_diag.py: family, state, local port; remote port, both addresses and the
# interface in one, which is where it leads; cookie, expiry in ms.
ENDS = "=16xBB2xH38sQI16x"
TIME_WAIT = STATE_NUMBERS["TIME_WAIT"]
# Milliseconds to seconds, of all that a byte can tell: TIME_WAIT lasts a minute
SECONDS = b"".join(bytes([second]) * 1000 for second in range(256))

# Behind the remote port (2 bytes) the local and the remote address (16 each), the interface (4)
PORT, LOCAL, REMOTE, INTERFACE = slice(0, 2), slice(2, 18), slice(18, 34), slice(34, 38)
LOCAL_END = itemgetter(LOCAL, INTERFACE)

# Family, state, whether connect() can choose the local port, where it leads, seconds left
RawClient = tuple[int, int, int, bytes, int]
# Family, state, local port, local address and interface, seconds left
RawServer = tuple[int, int, int, tuple[bytes, bytes], int]


class Sockets(NamedTuple):
    """What is taken of many messages, a column each."""

    families: Sequence[int]
    states: Sequence[int]
    ports: Sequence[int]
    ends: Sequence[bytes]
    cookies: Sequence[int]
    expiries: Sequence[int]

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
        self._port_kinds = bytes(map(ends.ports.kinds.__getitem__, HOST_PORT))
        self._clients: Counter[RawClient] = Counter()
        self._servers: Counter[RawServer] = Counter()
        self._ports: set[int] = set()

    def add(self, reply: Reply, seen: Seen) -> None:
        """Count the sockets of a reply that no earlier one had."""
        sockets = Sockets(*columns(reply, ENDS))
        are_new = seen.add(sockets.cookies, sockets.states)
        if are_new is not None:
            sockets = sockets.select(are_new)
        if not PEERLESS.isdisjoint(sockets.states):
            sockets = self._without_peerless(sockets)
        self._ports.update(sockets.ports)
        kinds = list(map(self._port_kinds.__getitem__, sockets.ports))
        if kinds.count(FREE_TO_CONNECT) == len(kinds):  # most replies
            self._count_clients(sockets, kinds)
            return
        are_servers = list(map(_is_server, kinds, sockets.ports, sockets.ends))
        self._count_servers(sockets.select(are_servers))
        are_clients = list(map(not_, are_servers))
        self._count_clients(sockets.select(are_clients), list(compress(kinds, are_clients)))

    def _count_clients(self, sockets: Sockets, kinds: list[int]) -> None:
        """The remote end and the local address in one piece, as they came."""
        families, states, _, ends, _, expiries = sockets
        seconds = _seconds_left(states, expiries)
        self._clients.update(zip(families, states, kinds, ends, seconds, strict=True))

    def _count_servers(self, sockets: Sockets) -> None:
        """By the local end alone: the clients are many."""
        families, states, ports, ends, _, expiries = sockets
        seconds = _seconds_left(states, expiries)
        local_ends = map(LOCAL_END, ends)
        self._servers.update(zip(families, states, ports, local_ends, seconds, strict=True))

    def _without_peerless(self, sockets: Sockets) -> Sockets:
        """Those that are to be counted; of the others the port is taken down."""
        has_peer = [state not in PEERLESS for state in sockets.states]
        held = compress(sockets.ports, map(not_, has_peer))
        self._ends.held_ports.update(map(HOST_PORT.__getitem__, held))
        return sockets.select(has_peer)

    def decode(self) -> None:
        """Hand over what was counted."""
        self._ends.local_ports.update(map(HOST_PORT.__getitem__, self._ports))
        counts = self._ends.counts
        found: dict[tuple[int, bytes], End] = {}
        for (family, state, kind, packed, seconds), count in self._clients.items():
            end = found.get((family, packed))
            if end is None:
                end = found[family, packed] = self._client(family, packed)
            counts[_kind(end, state, seconds, kind)] += count
        for (family, state, port, (address, interface), seconds), count in self._servers.items():
            local = self._address(family, address, interface)
            end = End("server", local, HOST_PORT[port], None, None)
            counts[_kind(end, state, seconds, LISTENED)] += count

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


def _is_server(kind: int, port: int, packed: bytes) -> bool:
    if kind != OTHER:
        return kind == LISTENED
    return is_server(kind, HOST_PORT[port], int.from_bytes(packed[PORT], "big"))


def _kind(end: End, state: int, seconds: int, port_kind: int) -> Kind:
    left = seconds if state == TIME_WAIT else None
    return Kind(end, TCP_STATES[state] or "UNKNOWN", left, port_kind == FREE_TO_CONNECT)


def _seconds_left(states: Sequence[int], expiries: Sequence[int]) -> Iterable[int]:
    """0 but in TIME_WAIT: the other timers say nothing of when the connection ended."""
    if states.count(TIME_WAIT) != len(states):
        pairs = zip(states, expiries, strict=True)
        expiries = [expiry if state == TIME_WAIT else 0 for state, expiry in pairs]
    try:
        return list(map(SECONDS.__getitem__, expiries))
    except IndexError:  # a kernel with another length, longer than four minutes
        return [expiry // 1000 for expiry in expiries]
