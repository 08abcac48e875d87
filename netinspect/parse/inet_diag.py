"""sock_diag for TCP, UDP, UDPLITE and raw sockets (linux/inet_diag.h): requests and replies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, lru_cache
from itertools import compress, repeat
from socket import AF_INET, AF_INET6
from struct import Struct
from typing import Any

from msgspec.structs import replace

from netinspect.model import Connection, Family, Protocol, State, Table
from netinspect.parse.inet_numbers import (
    DATAGRAM_STATES,
    PEERLESS,
    STATE_NUMBERS,
    TCP_STATES,
    closed_state,
)
from netinspect.parse.inet_records import Columns, Names, connections
from netinspect.parse.netlink import (
    TCPDIAG_GETSOCK,
    Reply,
    decode_attributes,
    encode_attribute,
    encode_dump_request,
    message_spans,
)
from netinspect.parse.seen import Seen
from netinspect.query import TRUE, Condition, Query, kernel_test

IP_PROTOCOLS: dict[Protocol, int] = {"tcp": 6, "udp": 17, "udplite": 136, "raw": 255}
FAMILIES: dict[Family, int] = {"ipv4": int(AF_INET), "ipv6": int(AF_INET6)}
TCP4, TCP6 = Table("tcp", "ipv4"), Table("tcp", "ipv6")

ANY_STATE = 0xFFFFFFFF
NAMED_STATES = sum({1 << number for number in STATE_NUMBERS.values()})

INET_DIAG_REQ_BYTECODE = 1
INET_DIAG_SKMEMINFO = 7
INET_DIAG_PROTOCOL = 10
INET_DIAG_SKV6ONLY = 11  # comes unasked with IPv6 sockets in LISTEN and CLOSE
# What --extended takes: all that the 8 bits can ask for, but MEMINFO, which SKMEMINFO includes.
ALL_EXTENSIONS = 0xFE
SK_MEMINFO_DROPS = Struct("=32xI")  # linux/sock_diag.h: the ninth u32

# struct inet_diag_req_v2: family, protocol, extensions, raw protocol, states; then a sockid
#   02 06 00 00 ff2f0000 and 48 bytes of 0
REQUEST = Struct("=BBBBI48x")
# struct inet_diag_req, of which extensions and states count: between them 48 bytes of sockid
OLD_REQUEST = Struct("=3xB48xI4x")

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
# What tells one socket from another, and whether it has a peer: state, cookie
IDENTITY = "=17xB42xQ20x"
COOKIES = "=60xQ20x"
INODES = "=84xI"
FAMILY_AND_STATE = (16, 17)  # where these bytes are
COOKIE = Struct(COOKIES)
# Family, state, and whether it has a local port: without one, a socket in CLOSE is not bound.
Kind = tuple[int, int, bool]


def encode_request(table: Table, query: Query, *, with_condition: bool) -> bytes:
    """The dump request for one table; `with_condition` for what the kernel can test of it."""
    # sk_meminfo is the only place where sock_diag tells drops
    needed = 0 if table.protocol == "tcp" else 1 << (INET_DIAG_SKMEMINFO - 1)
    extensions = ALL_EXTENSIONS if query.is_extended else needed
    family, ip_protocol = FAMILIES[table.family], IP_PROTOCOLS[table.protocol]
    test = kernel_test(query, (table,))
    payload = REQUEST.pack(family, ip_protocol, extensions, 0, state_mask(test.states))
    return encode_dump_request(payload + (_bytecode(test.condition) if with_condition else b""))


def encode_tcp_request(query: Query, *, with_condition: bool) -> bytes:
    """The request for TCP sockets of both families in one walk through the kernel's table.

    That table is as large as the machine's memory asks for, and all network namespaces share it:
    on an idle machine the walk is most of the cost, and a walk a family doubles it.
    """
    test = kernel_test(query, (TCP4, TCP6))
    extensions = ALL_EXTENSIONS if query.is_extended else 0
    payload = OLD_REQUEST.pack(extensions, state_mask(test.states))
    bytecode = _bytecode(test.condition) if with_condition else b""
    return encode_dump_request(payload + bytecode, TCPDIAG_GETSOCK)


def _bytecode(condition: Condition) -> bytes:
    """The attribute with the tests that the kernel is to make; empty without any."""
    if condition == TRUE:
        return b""
    from netinspect.parse.bytecode import encode_condition  # most questions have no condition

    bytecode = encode_condition(condition)
    return encode_attribute(INET_DIAG_REQ_BYTECODE, bytecode) if bytecode else b""


def state_mask(states: frozenset[State] | None) -> int:
    """The bits of the states; all of them, the bound-only one included, for None.

    UNKNOWN is every state that has no name here.
    """
    if states is None:
        return ANY_STATE
    mask = 0
    for state in states:
        mask |= ANY_STATE & ~NAMED_STATES if state == "UNKNOWN" else 1 << STATE_NUMBERS[state]
    return mask


def decode_records(reply: Reply, protocol: Protocol, names: Names, seen: Seen) -> list[Connection]:
    """The sockets of one reply that `seen` does not have yet, in the kernel's order.

    :raises ParseError: a message is shorter than its fixed part, or an attribute longer than its
        message.
    """
    before = len(seen.peerless)
    records = _decode_fixed_parts(reply, protocol, names, seen)
    if len(seen.peerless) > before and protocol != "raw":  # those take IPv6 alone
        records = _with_dual_stack(reply, records)
    if protocol == "tcp":
        return records
    extras = {cookie: found for cookie, found in _extras(reply) if found}
    return [replace(r, **extras[r.cookie]) if r.cookie in extras else r for r in records]


def tally(reply: Reply, protocol: Protocol, seen: Seen) -> Counter[tuple[Table, State]]:
    """How many sockets of each table and state one reply brought. See `decode_records`."""
    return named_tally(count_kinds(reply, seen), protocol)


def count_kinds(reply: Reply, seen: Seen) -> Mapping[Kind, int]:
    """The same, without the names."""
    if kind := _only_kind(reply):  # almost always: a third of the time
        (cookies,) = columns(reply, COOKIES)
        are_new = seen.add(cookies, ())
        return {kind: len(cookies) if are_new is None else sum(are_new)}
    families, states, ports, cookies = columns(reply, TALLY)
    are_new = seen.add(cookies, states)
    kinds = zip(families, states, map(bool, ports), strict=True)
    return Counter(kinds if are_new is None else compress(kinds, are_new))


def _only_kind(reply: Reply) -> Kind | None:
    """What all sockets of a reply are, if they have a peer; None where they differ, or may."""
    if reply.size < MESSAGE.size:
        return None
    families, states = (
        set(reply.data[place : reply.end : reply.size]) for place in FAMILY_AND_STATE
    )
    is_one = len(families) == len(states) == 1 and PEERLESS.isdisjoint(states)
    return (families.pop(), states.pop(), True) if is_one else None


def named_tally(counts: Mapping[Kind, int], protocol: Protocol) -> Counter[tuple[Table, State]]:
    """The counts by table and state."""
    states = TCP_STATES if protocol == "tcp" else DATAGRAM_STATES
    named: Counter[tuple[Table, State]] = Counter()
    for (family, number, has_port), count in counts.items():
        table = Table(protocol, "ipv4" if family == AF_INET else "ipv6")
        named[table, states[number] or closed_state(has_port)] += count
    return named


def _messages(reply: Reply) -> list[tuple[int, int]]:
    return message_spans(reply, MESSAGE.size, "inet_diag")


def columns(reply: Reply, layout: str) -> list[Any]:
    """The fixed part of all messages, a tuple for each field; all empty without a message."""
    width = _width(layout)
    if reply.size >= MESSAGE.size:
        values = _repeated(layout, reply.size, reply.end // reply.size).unpack_from(reply.data)
        return [values[place::width] for place in range(width)]
    starts = [start for start, _ in _messages(reply)]
    rows = map(Struct(layout).unpack_from, repeat(reply.data), starts)
    return list(zip(*rows, strict=True)) or [()] * width


def inodes(reply: Reply) -> Sequence[int]:
    """The inodes of all sockets, 0 for none."""
    (numbers,) = columns(reply, INODES)
    return tuple(numbers)


@cache
def _width(layout: str) -> int:
    return len(Struct(layout).unpack(bytes(MESSAGE.size)))


@lru_cache(maxsize=16)
def _repeated(layout: str, size: int, count: int) -> Struct:
    """So many fixed parts, and pad bytes in place of the attributes.

    To unpack all at once takes two thirds of a tuple a message and a zip(); the kernel fills its
    replies, so that most hold the same number.
    """
    return Struct(layout[0] + f"{layout[1:]}{size - MESSAGE.size}x" * count)


def _with_dual_stack(reply: Reply, records: list[Connection]) -> list[Connection]:
    """Listeners on `::` with whether they take IPv4 as well: IPV6_V6ONLY of ipv6(7)."""
    wildcards = {r.cookie for r in records if r.local_address == "::" and r.exposure}
    if not wildcards:
        return records
    dual = {
        cookie: value == b"\0"
        for start, end in _messages(reply)
        if (cookie := COOKIE.unpack_from(reply.data, start)[0]) in wildcards
        for kind, value in decode_attributes(reply.data, start + MESSAGE.size, end)
        if kind == INET_DIAG_SKV6ONLY
    }
    return [replace(r, dual_stack=dual[r.cookie]) if r.cookie in dual else r for r in records]


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
    fields = columns(reply, FIXED)
    sockets = Columns(*fields)
    are_new = seen.add(sockets.cookies, sockets.states)
    if are_new is not None:
        sockets = Columns(*[tuple(compress(field, are_new)) for field in fields])
    return connections(sockets, protocol, names)
