"""sock_diag for TCP, UDP, UDPLITE and raw sockets (linux/inet_diag.h): requests and replies."""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from socket import AF_INET, AF_INET6
from struct import Struct
from typing import Any, NamedTuple

from netinspect.model import (
    Connection,
    Protocol,
    Query,
    SocketType,
    State,
    Table,
    Timer,
    TimerKind,
)
from netinspect.parse.address import AddressText, ExposureOf, needs_zone
from netinspect.parse.bytecode import encode_clauses
from netinspect.parse.netlink import (
    Reply,
    decode_attributes,
    encode_attribute,
    encode_dump_request,
    message_offsets,
)

IP_PROTOCOLS: dict[Protocol, int] = {"tcp": 6, "udp": 17, "udplite": 136, "raw": 255}
FAMILIES = {"ipv4": int(AF_INET), "ipv6": int(AF_INET6)}

INET_DIAG_REQ_BYTECODE = 1
INET_DIAG_SKMEMINFO = 7
INET_DIAG_PROTOCOL = 10
U32 = Struct("=I")
SK_MEMINFO_DROPS = 8  # linux/sock_diag.h: the ninth of the u32

# struct inet_diag_req_v2: family, protocol, extensions, raw protocol, states; then a sockid
#   02 06 00 00 ff2f0000 and 48 bytes of 0
REQUEST = Struct("=BBBBI48x")

# struct nlmsghdr and struct inet_diag_msg, from which we take: state, timer, retransmits, ports
# (big-endian), addresses, interface, cookie; expiry in ms, queues, uid, inode.
# A listener on 127.0.0.1:8080 with inode 12345, before its attributes:
#   7c000000 1400 0200 01000000 00000000   02 0a 00 00   1f90 0000
#   7f000001 0000...  00000000 0000...   00000000 0110000000000000
#   00000000 00000000 80000000 00000000 39300000
FIXED = "=17xBBBHH16s16sIQIIIII"
MESSAGE = Struct(FIXED)
# Of these, what counting needs: state, local port, cookie.
TALLY = "=17xBxxH38xQ20x"

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
LISTENING = frozenset({"LISTEN", "UNCONN"})
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


class Names(NamedTuple):
    """What turns the kernel's numbers into names; a number without a name gives None."""

    user: Mapping[int, str | None]
    interface: Mapping[int, str | None]


# A port in network byte order, read as a number of this machine's, to its value.
HOST_PORT = array("H", range(1 << 16))
if sys.byteorder == "little":
    HOST_PORT.byteswap()
ADDRESS_TEXT = {"ipv4": AddressText("ipv4"), "ipv6": AddressText("ipv6")}
EXPOSURE_OF = ExposureOf()


def encode_request(table: Table, query: Query, *, with_clauses: bool) -> bytes:
    """The dump request for one table; `with_clauses` for what the kernel can test of them."""
    # sk_meminfo is the only place where sock_diag tells drops
    extensions = 0 if table.protocol == "tcp" else 1 << (INET_DIAG_SKMEMINFO - 1)
    family, ip_protocol = FAMILIES[table.family], IP_PROTOCOLS[table.protocol]
    payload = REQUEST.pack(family, ip_protocol, extensions, 0, state_mask(query.states))
    bytecode = encode_clauses(query.clauses) if with_clauses else None
    if bytecode:
        payload += encode_attribute(INET_DIAG_REQ_BYTECODE, bytecode)
    return encode_dump_request(payload)


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


def closed_state(local_port: int) -> State:
    """What kernel state 7 means for TCP: with a port the socket is bound and nothing more."""
    return "BOUND" if local_port else "CLOSE"


def datagram_states() -> tuple[State, ...]:
    """State by number of sockets that know only connected and not connected."""
    names: list[State] = ["UNKNOWN"] * 256
    names[STATE_NUMBERS["ESTABLISHED"]] = "ESTABLISHED"
    names[CLOSE] = "UNCONN"
    return tuple(names)


DATAGRAM_STATES = datagram_states()


def decode_records(reply: Reply, table: Table, names: Names) -> list[Connection]:
    """The sockets of one reply, in the kernel's order.

    :raises ParseError: a message is shorter than its fixed part, or an attribute longer than its
        message.
    """
    record = _recorder(table, names)
    if table.protocol == "tcp":
        return [record(row) for row in _rows(reply, FIXED)]
    return [
        record(MESSAGE.unpack_from(reply.data, start), **_extras(reply.data, start, end))
        for start, end in _messages(reply)
    ]


def decode_states(reply: Reply, table: Table) -> tuple[list[State], list[int]]:
    """State and cookie of each socket of one reply: all that counting needs."""
    states = TCP_STATES if table.protocol == "tcp" else DATAGRAM_STATES
    rows = list(_rows(reply, TALLY))
    found = [states[number] or closed_state(port) for number, port, _ in rows]
    return found, [cookie for _, _, cookie in rows]


def _messages(reply: Reply) -> Iterator[tuple[int, int]]:
    return message_offsets(reply, MESSAGE.size, "inet_diag")


def _rows(reply: Reply, layout: str) -> Iterator[tuple[Any, ...]]:
    """The fixed part of each message, unpacked."""
    if reply.size >= MESSAGE.size:
        return _padded(layout, reply.size).iter_unpack(memoryview(reply.data)[: reply.end])
    fixed = _padded(layout, MESSAGE.size)
    return (fixed.unpack_from(reply.data, start) for start, _ in _messages(reply))


@cache
def _padded(layout: str, size: int) -> Struct:
    """The fixed part, and pad bytes in place of the attributes."""
    return Struct(f"{layout}{size - MESSAGE.size}x")


def _extras(data: bytes, start: int, end: int) -> dict[str, int]:
    """`drops` and `ip_protocol`, as far as the attributes of one message tell them."""
    found = {}
    for kind, value in decode_attributes(data, start + MESSAGE.size, end):
        if kind == INET_DIAG_SKMEMINFO and len(value) >= 4 * (SK_MEMINFO_DROPS + 1):
            found["drops"] = U32.unpack_from(value, 4 * SK_MEMINFO_DROPS)[0]
        elif kind == INET_DIAG_PROTOCOL and value:
            found["ip_protocol"] = value[0]
    return found


def _recorder(table: Table, names: Names) -> Callable[..., Connection]:
    """A function that makes a record of an unpacked message of this table."""
    protocol, family = table
    socket_type = SOCKET_TYPES[protocol]
    states = TCP_STATES if protocol == "tcp" else DATAGRAM_STATES
    has_ports = protocol != "raw"
    text = ADDRESS_TEXT[family]
    users, interfaces = names

    def record(
        row: tuple[Any, ...], drops: int | None = None, ip_protocol: int | None = None
    ) -> Connection:
        number, timer, retransmits, sport, dport, source, destination = row[:7]
        ifindex, cookie, expires_ms, recv_q, send_q, uid, inode = row[7:]
        state = states[number] or closed_state(sport)
        has_peer = number != CLOSE and number != LISTEN  # noqa: PLR1714 a tuple is made each time
        interface = interfaces[ifindex] if ifindex else None
        local, remote = text[source], text[destination] if has_peer else None
        if interface:
            local, remote = _zoned(local, interface), remote and _zoned(remote, interface)
        # A minisocket has inode 0 and uid 0: it is nobody's, not root's.
        has_uid = uid or inode
        return Connection(
            protocol,
            family,
            socket_type,
            state,
            local,
            remote,
            HOST_PORT[sport] if has_ports else None,
            HOST_PORT[dport] if has_ports and has_peer else None,
            ip_protocol,
            interface,
            recv_q,
            send_q,
            uid if has_uid else None,
            users[uid] if has_uid else None,
            inode or None,
            cookie,
            owner_status="not_requested" if inode else "none",
            timer=Timer(TIMER_KINDS[timer], expires_ms, retransmits)
            if timer in TIMER_KINDS
            else None,
            drops=drops,
            exposure=EXPOSURE_OF[local] if state in LISTENING else None,
        )

    return record


def _zoned(address: str, interface: str) -> str:
    return f"{address}%{interface}" if needs_zone(address) else address
