"""Messages of sock_diag, counted by where they lead without making records of them.

100,000 messages take as long as the kernel takes to make them; as records they would take thrice.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import compress
from operator import and_, not_
from socket import AF_INET

from netinspect.ends import FREE_TO_CONNECT, End, Ends, Kind, is_server, plain
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

# Family, state, what the local port is, where it leads, seconds left
RawKind = tuple[int, int, int, bytes, int]
# Behind the remote port (2 bytes) the local and the remote address (16 each), the interface (4)
PORT, LOCAL, REMOTE, INTERFACE = slice(0, 2), slice(2, 18), slice(18, 34), slice(34, 38)
NO_REMOTE = bytes(16)


class RawEnds:
    """Counts messages that have a peer, and tells at the end what they are.

    :param interface: names by index.
    """

    def __init__(self, ends: Ends, interface: Mapping[int, str]) -> None:
        self._ends = ends
        self._interface = interface
        self._port_kinds = bytes(map(ends.ports.kinds.__getitem__, HOST_PORT))
        self._counts: Counter[RawKind] = Counter()
        self._ports: set[int] = set()

    def add(self, reply: Reply, seen: Seen) -> None:
        """Count the sockets of a reply that no earlier one had."""
        fields = columns(reply, ENDS)
        families, states, ports, ends, cookies, expiries = fields
        are_new = seen.add(cookies, states)
        if not PEERLESS.isdisjoint(states):
            are_new = self._without_peerless(states, ports, are_new or [True] * len(states))
        if are_new is not None:
            families, states, ports, ends, _, expiries = (
                tuple(compress(field, are_new)) for field in fields
            )
        self._ports.update(ports)
        kinds = list(map(self._port_kinds.__getitem__, ports))
        if kinds.count(FREE_TO_CONNECT) != len(kinds):
            ends = map(_fold, kinds, ports, ends)
        self._counts.update(
            zip(families, states, kinds, ends, _seconds_left(states, expiries), strict=True)
        )

    def _without_peerless(
        self, states: Sequence[int], ports: Sequence[int], are_new: list[bool]
    ) -> list[bool]:
        """Which are to be counted; of the others the port is taken down."""
        has_peer = [state not in PEERLESS for state in states]
        held = compress(ports, map(and_, are_new, map(not_, has_peer)))
        self._ends.held_ports.update(map(HOST_PORT.__getitem__, held))
        return list(map(and_, are_new, has_peer))

    def decode(self) -> None:
        """Hand over what was counted."""
        self._ends.local_ports.update(map(HOST_PORT.__getitem__, self._ports))
        counts = self._ends.counts
        for kind, count in self._decoded():
            counts[kind] += count

    def _decoded(self) -> Iterator[tuple[Kind, int]]:
        found: dict[tuple[int, int, bytes], End] = {}
        for (family, state, port_kind, packed, seconds), count in self._counts.items():
            is_free = port_kind == FREE_TO_CONNECT
            key = family, is_free, packed
            end = found.get(key)
            if end is None:
                end = found[key] = self._decode_end(family, packed)
            left = seconds if state == TIME_WAIT else None
            yield Kind(end, TCP_STATES[state] or "UNKNOWN", left, is_free), count

    def _decode_end(self, family: int, packed: bytes) -> End:
        texts = IPV4_TEXT if family == AF_INET else IPV6_TEXT
        interface = int.from_bytes(packed[INTERFACE], sys.byteorder)
        port = int.from_bytes(packed[PORT], "big")
        local = self._zoned(texts[packed[LOCAL]], interface)
        if packed[REMOTE] == NO_REMOTE:
            return End("server", local, port, None, None)
        return End("client", local, None, self._zoned(texts[packed[REMOTE]], interface), port)

    def _zoned(self, address: str, interface: int) -> str:
        if interface and needs_zone(address):
            return f"{address}%{self._interface[interface]}"
        return plain(address)


def _fold(kind: int, port: int, packed: bytes) -> bytes:
    """For a server its own port in place of the remote end: its clients are many."""
    local_port = HOST_PORT[port]
    if is_server(kind, local_port, int.from_bytes(packed[PORT], "big")):
        return local_port.to_bytes(2, "big") + packed[LOCAL] + NO_REMOTE + packed[INTERFACE]
    return packed


def _seconds_left(states: Sequence[int], expiries: Sequence[int]) -> Iterable[int]:
    """0 but in TIME_WAIT: the other timers say nothing of when the connection ended."""
    if states.count(TIME_WAIT) != len(states):
        pairs = zip(states, expiries, strict=True)
        expiries = [expiry if state == TIME_WAIT else 0 for state, expiry in pairs]
    try:
        return list(map(SECONDS.__getitem__, expiries))
    except IndexError:  # a kernel with another length, longer than four minutes
        return [expiry // 1000 for expiry in expiries]
