"""sock_diag for TCP, UDP, UDPLITE and raw sockets (linux/inet_diag.h): requests and replies."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import islice, repeat
from socket import AF_INET, AF_INET6
from struct import Struct
from typing import Any, NamedTuple

from msgspec.structs import replace

from netinspect.model import (
    Connection,
    Family,
    Protocol,
    Query,
    SocketType,
    State,
    Table,
    Timer,
    TimerKind,
)
from netinspect.parse.address import AddressText, ExposureOf, needs_zone
from netinspect.parse.netlink import (
    TCPDIAG_GETSOCK,
    Reply,
    decode_attributes,
    encode_attribute,
    encode_dump_request,
    message_spans,
)

IP_PROTOCOLS: dict[Protocol, int] = {"tcp": 6, "udp": 17, "udplite": 136, "raw": 255}
FAMILIES: dict[Family, int] = {"ipv4": int(AF_INET), "ipv6": int(AF_INET6)}

INET_DIAG_REQ_BYTECODE = 1
INET_DIAG_SKMEMINFO = 7
INET_DIAG_PROTOCOL = 10
SK_MEMINFO_DROPS = Struct("=32xI")  # linux/sock_diag.h: the ninth u32

# struct inet_diag_req_v2: family, protocol, extensions, raw protocol, states; then a sockid
#   02 06 00 00 ff2f0000 and 48 bytes of 0
REQUEST = Struct("=BBBBI48x")
# struct inet_diag_req, of which only the states count: they stand behind 4 bytes and a sockid
OLD_REQUEST = Struct("=52xI4x")

# struct nlmsghdr and struct inet_diag_msg, from which we take: family, state, timer, retransmits,
# ports (big-endian), addresses, interface, cookie; expiry in ms, queues, uid, inode.
# A listener on 127.0.0.1:8080 with inode 12345, before its attributes:
#   7c000000 1400 0200 01000000 00000000   02 0a 00 00   1f90 0000
#   7f000001 0000...  00000000 0000...   00000000 0110000000000000
#   00000000 00000000 80000000 00000000 39300000
FIXED = "=16xBBBBHH16s16sIQIIIII"
MESSAGE = Struct(FIXED)
# Of these, what counting needs: family, state, local port, cookie.
TALLY = "=16xBBxxH38xQ20x"
COOKIE = Struct("=60xQ20x")

BOUND_BIT = 13  # TCPF_BOUND_INACTIVE: without it no dump shows sockets that are only bound
# Numbers of include/net/tcp_states.h. 7 (CLOSE) is in _state_of; 12 (NEW_SYN_RECV) and 13
# (BOUND_INACTIVE) are the kernel's own, shown to us as 3 and 7.
STATE_NUMBERS: dict[State, int] = {
    "ESTABLISHED": 1,
    "SYN_SENT": 2,
    "SYN_RECV": 3,
    "FIN_WAIT1": 4,
    "FIN_WAIT2": 5,
    "TIME_WAIT": 6,
    "CLOSE": 7,
    "CLOSE_WAIT": 8,
    "LAST_ACK": 9,
    "LISTEN": 10,
    "CLOSING": 11,
    "UNCONN": 7,
    "BOUND": BOUND_BIT,
}
CLOSE, LISTEN = 7, 10
PEERLESS = frozenset((CLOSE, LISTEN))
TIMER_KINDS: dict[int, TimerKind] = {
    1: "retransmit",
    2: "keepalive",
    3: "time_wait",
    4: "zero_window",
}
SOCKET_TYPES: dict[Protocol, SocketType] = {
    "tcp": "stream",
    "udp": "dgram",
    "udplite": "dgram",
    "raw": "raw",
}


class Seen:
    """The cookies of the sockets that a dump has brought, as far as they can come again.

    A table that changes meanwhile can show a socket twice: when it moves to another hash chain
    (bound, then connected), or when others are put before the place where the dump goes on in its
    chain. So those without a peer are remembered, and of the others the latest.
    """

    MOST = 4096
    LATEST = 1024  # four replies

    def __init__(self) -> None:
        self.cookies: dict[int, None] = {}
        self.peerless: set[int] = set()

    def forget_old(self) -> None:
        """Make room, between two replies."""
        if len(self.cookies) > len(self.peerless) + self.MOST:
            latest = islice(reversed(self.cookies), self.LATEST)
            self.cookies = dict.fromkeys((*self.peerless, *latest))


class Names(NamedTuple):
    """What turns the kernel's numbers into names; a number without a name gives None."""

    user: Mapping[int, str | None]
    interface: Mapping[int, str]


def host_ports() -> array[int]:
    """A port in network byte order, read as a number of this machine's, to its value.

    Made of bytes, because of 65,536 numbers it takes 3 ms of every start.
    """
    low_bytes = bytes(range(256))
    values = array("H")
    for high in range(256):
        block = bytearray(512)
        block[0::2] = bytes([high]) * 256
        block[1::2] = low_bytes
        values.frombytes(block)
    return values


HOST_PORT = host_ports()
# A raw socket has its IP protocol there.
NO_PORT: Sequence[int | None] = [None] * (1 << 16)
IPV4_TEXT, IPV6_TEXT = AddressText("ipv4"), AddressText("ipv6")
IPV4 = int(AF_INET)
EXPOSURE_OF = ExposureOf()


def encode_request(table: Table, query: Query, *, with_clauses: bool) -> bytes:
    """The dump request for one table; `with_clauses` for what the kernel can test of them."""
    # sk_meminfo is the only place where sock_diag tells drops
    extensions = 0 if table.protocol == "tcp" else 1 << (INET_DIAG_SKMEMINFO - 1)
    family, ip_protocol = FAMILIES[table.family], IP_PROTOCOLS[table.protocol]
    payload = REQUEST.pack(family, ip_protocol, extensions, 0, state_mask(query.states))
    return encode_dump_request(payload + _bytecode(query, with_clauses=with_clauses))


def encode_tcp_request(query: Query, *, with_clauses: bool) -> bytes:
    """The request for TCP sockets of both families in one walk through the kernel's table.

    That table is as large as the machine's memory asks for, and all network namespaces share it:
    on an idle machine the walk is most of the cost, and a walk a family doubles it.
    """
    payload = OLD_REQUEST.pack(state_mask(query.states))
    bytecode = _bytecode(query, with_clauses=with_clauses)
    return encode_dump_request(payload + bytecode, TCPDIAG_GETSOCK)


def _bytecode(query: Query, *, with_clauses: bool) -> bytes:
    """The attribute with the tests that the kernel is to make; empty without any."""
    if not with_clauses or not query.clauses:
        return b""
    from netinspect.parse.bytecode import encode_clauses  # most questions have no clauses

    bytecode = encode_clauses(query.clauses)
    return encode_attribute(INET_DIAG_REQ_BYTECODE, bytecode) if bytecode else b""


def state_mask(states: frozenset[State] | None) -> int:
    """The bits of the states; all of them, the bound-only one included, for None."""
    if states is None or "UNKNOWN" in states:
        return 0xFFFFFFFF
    mask = 0
    for state in states:
        mask |= 1 << STATE_NUMBERS[state]
    return mask


def tcp_states() -> tuple[State | None, ...]:
    """State by number, for all values of a byte; None where the port decides."""
    names: list[State | None] = ["UNKNOWN"] * 256
    for state, number in STATE_NUMBERS.items():
        names[number] = state
    names[CLOSE] = None
    names[BOUND_BIT] = "UNKNOWN"
    return tuple(names)


TCP_STATES = tcp_states()


def closed_state(local_port: int | bool) -> State:
    """What kernel state 7 means for TCP: with a port the socket is bound and nothing more."""
    return "BOUND" if local_port else "CLOSE"


def datagram_states() -> tuple[State, ...]:
    """State by number of sockets that know only connected and not connected."""
    names: list[State] = ["UNKNOWN"] * 256
    names[STATE_NUMBERS["ESTABLISHED"]] = "ESTABLISHED"
    names[CLOSE] = "UNCONN"
    return tuple(names)


DATAGRAM_STATES = datagram_states()


def decode_records(reply: Reply, protocol: Protocol, names: Names, seen: Seen) -> list[Connection]:
    """The sockets of one reply that `seen` does not have yet, in the kernel's order.

    :raises ParseError: a message is shorter than its fixed part, or an attribute longer than its
        message.
    """
    records = _decode_fixed_parts(reply, protocol, names, seen)
    if protocol == "tcp":
        return records
    extras = {cookie: found for cookie, found in _extras(reply) if found}
    return [replace(r, **extras[r.cookie]) if r.cookie in extras else r for r in records]


def tally(reply: Reply, protocol: Protocol, seen: Seen) -> Counter[tuple[Table, State]]:
    """How many sockets of each table and state one reply brought. See `decode_records`."""
    kinds: Counter[tuple[int, int, bool]] = Counter()
    seen.forget_old()
    cookies, peerless = seen.cookies, seen.peerless
    for family, number, port, cookie in _rows(reply, TALLY):
        if cookie not in cookies or not cookie:
            cookies[cookie] = None
            if number in PEERLESS:
                peerless.add(cookie)
            kinds[family, number, port != 0] += 1
    return _named_tally(kinds, protocol)


def _named_tally(
    kinds: Counter[tuple[int, int, bool]], protocol: Protocol
) -> Counter[tuple[Table, State]]:
    """The same, by names instead of family and state numbers."""
    states = TCP_STATES if protocol == "tcp" else DATAGRAM_STATES
    counts: Counter[tuple[Table, State]] = Counter()
    for (family, number, has_port), count in kinds.items():
        table = Table(protocol, "ipv4" if family == IPV4 else "ipv6")
        counts[table, states[number] or closed_state(has_port)] += count
    return counts


def _messages(reply: Reply) -> list[tuple[int, int]]:
    return message_spans(reply, MESSAGE.size, "inet_diag")


def _rows(reply: Reply, layout: str) -> Iterator[tuple[Any, ...]]:
    """The fixed part of each message, unpacked."""
    if reply.size >= MESSAGE.size:
        return _padded(layout, reply.size).iter_unpack(memoryview(reply.data)[: reply.end])
    fixed = _padded(layout, MESSAGE.size)
    starts = [start for start, _ in _messages(reply)]
    return map(fixed.unpack_from, repeat(reply.data), starts)


@cache
def _padded(layout: str, size: int) -> Struct:
    """The fixed part, and pad bytes in place of the attributes."""
    return Struct(f"{layout}{size - MESSAGE.size}x")


def _extras(reply: Reply) -> Iterator[tuple[int, dict[str, Any]]]:
    """Cookie of each message, and the `drops` and `ip_protocol` that its attributes tell."""
    data = reply.data
    for start, end in _messages(reply):
        found: dict[str, Any] = {}
        for kind, value in decode_attributes(data, start + MESSAGE.size, end):
            if kind == INET_DIAG_SKMEMINFO and len(value) >= SK_MEMINFO_DROPS.size:
                (found["drops"],) = SK_MEMINFO_DROPS.unpack_from(value)
            elif kind == INET_DIAG_PROTOCOL and value:
                found["ip_protocol"] = value[0]
        yield COOKIE.unpack_from(data, start)[0], found


def _decode_fixed_parts(
    reply: Reply, protocol: Protocol, names: Names, seen: Seen
) -> list[Connection]:
    """One loop without calls: with a function a socket it takes twice as long."""
    socket_type = SOCKET_TYPES[protocol]
    states = TCP_STATES if protocol == "tcp" else DATAGRAM_STATES
    port: Sequence[int | None] = NO_PORT if protocol == "raw" else HOST_PORT
    listening = LISTEN if protocol == "tcp" else CLOSE
    users, interfaces = names
    seen.forget_old()
    cookies, peerless = seen.cookies, seen.peerless
    records = []
    for (
        family_number, number, timer, retransmits, sport, dport, source, destination,
        ifindex, cookie, expires_ms, recv_q, send_q, uid, inode,
    ) in _rows(reply, FIXED):  # fmt: skip
        if cookie in cookies and cookie:  # 0 is none
            continue
        cookies[cookie] = None
        text = IPV4_TEXT if family_number == IPV4 else IPV6_TEXT
        local, interface = text[source], None
        remote = remote_port = exposure = None
        if number in PEERLESS:
            peerless.add(cookie)
            exposure = EXPOSURE_OF[local] if number == listening else None
        else:
            remote, remote_port = text[destination], port[dport]
        if ifindex:
            interface = interfaces[ifindex]
            local = _zoned(local, interface)
            remote = remote and _zoned(remote, interface)
        # A minisocket has inode 0 and uid 0: it is nobody's, not root's.
        has_uid = uid or inode
        records.append(
            Connection(
                protocol,
                text.family,
                socket_type,
                states[number] or closed_state(sport),
                local,
                remote,
                port[sport],
                remote_port,
                None,
                interface,
                recv_q,
                send_q,
                uid if has_uid else None,
                users[uid] if has_uid else None,
                inode or None,
                cookie or None,
                None,
                None,
                (),
                "not_requested" if inode else "none",
                _timer(timer, expires_ms, retransmits) if timer else None,
                None,
                None,
                exposure,
            )
        )
    return records


def _timer(number: int, expires_ms: int, retransmits: int) -> Timer | None:
    kind = TIMER_KINDS.get(number)
    return Timer(kind, expires_ms, retransmits) if kind else None


def _zoned(address: str, interface: str) -> str:
    return f"{address}%{interface}" if needs_zone(address) else address
