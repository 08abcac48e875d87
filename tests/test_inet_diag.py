from __future__ import annotations

import re
import socket
import struct
from collections import Counter, defaultdict
from collections.abc import Callable
from socket import AF_INET, AF_INET6
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.errors import NetinspectError, ParseError
from netinspect.model import Connection, Protocol, State, Table, Timer
from netinspect.parse.bytecode import encode_condition
from netinspect.parse.inet_diag import (
    decode_records,
    encode_request,
    encode_tcp_request,
    state_mask,
    tally,
)
from netinspect.parse.inet_records import HOST_PORT, Names
from netinspect.parse.netlink import decode_reply
from netinspect.parse.seen import Seen
from netinspect.query import PortRange, Query, any_of
from tests.kernel_messages import (
    NLMSG_NOOP,
    TCPDIAG_GETSOCK,
    attribute,
    done,
    inet_payload,
    memory,
    message,
)

TCP4, TCP6 = Table("tcp", "ipv4"), Table("tcp", "ipv6")
UDP4, RAW6 = Table("udp", "ipv4"), Table("raw", "ipv6")
NAMES = Names({0: "root", 1000: "ada", 65534: None}, {1: "lo", 2: "eth0"})
SKMEMINFO, PROTOCOL = 7, 10
ESTABLISHED, SYN_RECV, TIME_WAIT, CLOSE, LISTEN = 1, 3, 6, 7, 10
DATAGRAM_PROTOCOLS: tuple[Protocol, ...] = ("udp", "udplite", "raw")


def records(data: bytes, protocol: Protocol = "tcp", seen: Seen | None = None) -> list[Connection]:
    return decode_records(decode_reply(data), protocol, NAMES, seen or Seen())


def decode(protocol: Protocol = "tcp", attributes: bytes = b"", **fields: Any) -> Connection:
    """The record of one message with these fields."""
    (record,) = records(message(inet_payload(attributes, **fields)) + done(), protocol)
    return record


def test_every_field_of_a_tcp_message() -> None:
    record = decode(
        state=ESTABLISHED,
        timer=1,
        retransmits=3,
        source=("192.0.2.1", 443),
        destination=("198.51.100.7", 50123),
        interface=2,
        cookie=0x1122334455667788,
        expires=1500,
        recv_q=17,
        send_q=4096,
        uid=1000,
        inode=4294967295,
    )
    assert record == Connection(
        protocol="tcp",
        family="ipv4",
        type="stream",
        state="ESTABLISHED",
        local_address="192.0.2.1",
        remote_address="198.51.100.7",
        local_port=443,
        remote_port=50123,
        ip_protocol=None,
        interface="eth0",
        recv_q=17,
        send_q=4096,
        uid=1000,
        user="ada",
        inode=4294967295,
        cookie=0x1122334455667788,
        owner_status="not_requested",
        timer=Timer("retransmit", expires_ms=1500, retransmits=3),
    )


def test_every_field_of_an_ipv6_listener() -> None:
    record = decode(
        family=int(AF_INET6), state=LISTEN, source=("::", 8080), destination=("::", 0), send_q=128
    )
    assert record == Connection(
        protocol="tcp",
        family="ipv6",
        type="stream",
        state="LISTEN",
        local_address="::",
        remote_address=None,
        local_port=8080,
        remote_port=None,
        ip_protocol=None,
        interface=None,
        recv_q=0,
        send_q=128,
        uid=0,
        user="root",
        inode=12345,
        cookie=0x1101,
        owner_status="not_requested",
        exposure="any",
    )


def test_every_field_of_a_udp_message() -> None:
    record = decode(
        "udp",
        attribute(SKMEMINFO, memory(drops=9)),
        state=CLOSE,
        source=("127.0.0.53", 53),
        destination=("0.0.0.0", 0),
        recv_q=3328,
        uid=65534,
    )
    assert record == Connection(
        protocol="udp",
        family="ipv4",
        type="dgram",
        state="UNCONN",
        local_address="127.0.0.53",
        remote_address=None,
        local_port=53,
        remote_port=None,
        ip_protocol=None,
        interface=None,
        recv_q=3328,
        send_q=0,
        uid=65534,
        user=None,
        inode=12345,
        cookie=0x1101,
        owner_status="not_requested",
        drops=9,
        exposure="loopback",
    )


def test_every_field_of_a_raw_message() -> None:
    record = decode(
        "raw",
        attribute(SKMEMINFO, memory(drops=0)) + attribute(PROTOCOL, b"\x3a"),
        family=int(AF_INET6),
        state=ESTABLISHED,
        source=("::1", 58),
        destination=("2001:db8::1", 58),
    )
    assert record == Connection(
        protocol="raw",
        family="ipv6",
        type="raw",
        state="ESTABLISHED",
        local_address="::1",
        remote_address="2001:db8::1",
        local_port=None,
        remote_port=None,
        ip_protocol=58,
        interface=None,
        recv_q=0,
        send_q=0,
        uid=0,
        user="root",
        inode=12345,
        cookie=0x1101,
        owner_status="not_requested",
        drops=0,
    )


def test_udplite_is_a_datagram_socket_too() -> None:
    record = decode("udplite", state=CLOSE)
    assert (record.protocol, record.type, record.state) == ("udplite", "dgram", "UNCONN")


@pytest.mark.parametrize(
    ("number", "state"),
    [
        (1, "ESTABLISHED"),
        (2, "SYN_SENT"),
        (3, "SYN_RECV"),
        (4, "FIN_WAIT1"),
        (5, "FIN_WAIT2"),
        (6, "TIME_WAIT"),
        (7, "BOUND"),
        (8, "CLOSE_WAIT"),
        (9, "LAST_ACK"),
        (10, "LISTEN"),
        (11, "CLOSING"),
        (0, "UNKNOWN"),
        (12, "UNKNOWN"),
        (13, "UNKNOWN"),
        (14, "UNKNOWN"),
        (255, "UNKNOWN"),
    ],
)
def test_states_of_tcp(number: int, state: State) -> None:
    assert decode(state=number).state == state
    assert count(message(inet_payload(state=number)), "tcp") == {(TCP4, state): 1}


@pytest.mark.parametrize("protocol", DATAGRAM_PROTOCOLS)
def test_states_of_the_others(protocol: Protocol) -> None:
    states = {number: decode(protocol, state=number).state for number in range(256)}
    unknown = dict.fromkeys(range(256), "UNKNOWN")
    assert states == unknown | {1: "ESTABLISHED", 7: "UNCONN"}


def test_a_tcp_socket_that_is_only_bound_has_no_peer() -> None:
    record = decode(state=CLOSE, source=("0.0.0.0", 8080), destination=("0.0.0.0", 0))
    assert (record.state, record.local_port) == ("BOUND", 8080)
    assert (record.remote_address, record.remote_port) == (None, None)
    assert record.exposure is None


def test_a_tcp_socket_without_a_port_is_closed() -> None:
    assert decode(state=CLOSE, source=("0.0.0.0", 0)).state == "CLOSE"
    closed = message(inet_payload(state=CLOSE, source=("0.0.0.0", 0)))
    assert count(closed, "tcp") == {(TCP4, "CLOSE"): 1}


@pytest.mark.parametrize("state", [SYN_RECV, TIME_WAIT, 5])
def test_a_minisocket_is_nobodys(state: int) -> None:
    record = decode(state=state, uid=0, inode=0)
    assert (record.uid, record.user, record.inode) == (None, None, None)
    assert record.owner_status == "none"


def test_an_orphan_still_has_its_user() -> None:
    record = decode(state=4, uid=1000, inode=0)
    assert (record.uid, record.user, record.inode) == (1000, "ada", None)
    assert record.owner_status == "none"


def test_a_cookie_of_0_is_none_and_hides_no_other_socket() -> None:
    data = message(inet_payload(cookie=0, source=("127.0.0.1", 1))) * 2
    assert [record.cookie for record in records(data)] == [None, None]
    assert count(data, "tcp") == {(TCP4, "ESTABLISHED"): 2}


@pytest.mark.parametrize(
    ("number", "kind"),
    [(1, "retransmit"), (2, "keepalive"), (3, "time_wait"), (4, "zero_window")],
)
def test_timers(number: int, kind: Any) -> None:
    record = decode(timer=number, expires=7199000, retransmits=255)
    assert record.timer == Timer(kind, expires_ms=7199000, retransmits=255)


@pytest.mark.parametrize("number", [0, 5, 255])
def test_no_timer_runs_or_none_that_is_known(number: int) -> None:
    assert decode(timer=number, expires=100, retransmits=2).timer is None


def test_v4_mapped_addresses_stay_ipv6() -> None:
    record = decode(
        family=int(AF_INET6),
        source=("::ffff:127.0.0.1", 8080),
        destination=("::ffff:192.0.2.1", 40000),
    )
    assert (record.family, record.local_address, record.remote_address) == (
        "ipv6",
        "::ffff:127.0.0.1",
        "::ffff:192.0.2.1",
    )


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("fe80::1", "fe80::1%eth0"),
        ("febf::1", "febf::1%eth0"),
        ("ff02::fb", "ff02::fb%eth0"),
        ("ff12::1", "ff12::1%eth0"),
        ("ff01::1", "ff01::1%eth0"),
        ("fec0::1", "fec0::1"),
        ("fe8::1", "fe8::1"),
        ("ff05::2", "ff05::2"),
        ("2001:db8::1", "2001:db8::1"),
        ("::ffff:169.254.0.1", "::ffff:169.254.0.1"),
        ("::", "::"),
    ],
)
def test_a_zone_stands_where_the_address_needs_one(address: str, expected: str) -> None:
    record = decode(
        family=int(AF_INET6), source=(address, 1), destination=(address, 2), interface=2
    )
    assert (record.local_address, record.remote_address) == (expected, expected)
    assert record.interface == "eth0"
    without = decode(family=int(AF_INET6), source=(address, 1), destination=(address, 2))
    assert (without.local_address, without.interface) == (address, None)


def test_an_ipv4_address_needs_no_zone() -> None:
    record = decode(source=("169.254.0.1", 1), interface=1)
    assert (record.local_address, record.interface) == ("169.254.0.1", "lo")


@pytest.mark.parametrize(
    ("address", "exposure"),
    [
        ("0.0.0.0", "any"),
        ("::", "any"),
        ("::ffff:0.0.0.0", "any"),
        ("127.0.0.1", "loopback"),
        ("127.8.9.10", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("169.254.1.1", "link"),
        ("fe80::1", "link"),
        ("255.255.255.255", "link"),
        ("fec0::7", "private"),
        ("feff::7", "private"),
        ("10.1.2.3", "private"),
        ("172.31.255.255", "private"),
        ("192.168.0.1", "private"),
        ("100.64.0.1", "private"),
        ("fd00::1", "private"),
        ("::ffff:10.0.0.1", "private"),
        ("8.8.8.8", "public"),
        ("100.128.0.1", "public"),
        ("2606:4700::1111", "public"),
        ("::ffff:8.8.8.8", "public"),
        ("224.0.0.251", "link"),
        ("239.255.255.250", "private"),
        ("224.0.1.129", "public"),
        ("ff01::1", "loopback"),
        ("ff02::fb", "link"),
        ("ff03::1", "private"),
        ("ff04::1", "private"),
        ("ff05::c", "private"),
        ("ff08::1", "private"),
        ("ff0e::1", "public"),
    ],
)
def test_from_where_a_listener_can_be_reached(address: str, exposure: str) -> None:
    family = int(AF_INET6 if ":" in address else AF_INET)
    fields: dict[str, Any] = {
        "family": family,
        "source": (address, 80),
        "destination": (address, 0),
    }
    assert decode(state=LISTEN, **fields).exposure == exposure
    assert decode("udp", state=CLOSE, **fields).exposure == exposure
    assert decode(state=ESTABLISHED, **fields).exposure is None
    assert decode("udp", state=ESTABLISHED, **fields).exposure is None


def test_the_zone_is_no_part_of_the_exposure() -> None:
    record = decode(
        family=int(AF_INET6),
        state=LISTEN,
        source=("fe80::1", 80),
        destination=("::", 0),
        interface=2,
    )
    assert (record.local_address, record.exposure) == ("fe80::1%eth0", "link")


def test_all_ports() -> None:
    assert [HOST_PORT[socket.htons(port)] for port in range(1 << 16)] == list(range(1 << 16))


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_ports_are_in_network_byte_order(local: int, remote: int) -> None:
    record = decode(source=("127.0.0.1", local), destination=("127.0.0.2", remote))
    assert (record.local_port, record.remote_port) == (local, remote)


@given(st.ip_addresses())
def test_addresses_are_canonical(address: Any) -> None:
    family = int(AF_INET if address.version == 4 else AF_INET6)
    record = decode(family=family, source=(str(address), 1), destination=(str(address), 2))
    canonical = socket.inet_ntop(family, address.packed)
    assert (record.local_address, record.remote_address) == (canonical, canonical)


def test_both_families_may_come_in_one_reply() -> None:
    data = message(inet_payload(cookie=1), TCPDIAG_GETSOCK)
    six = inet_payload(
        family=int(AF_INET6), source=("::1", 1), destination=("::2", 2), cookie=2, state=LISTEN
    )
    data += message(six, TCPDIAG_GETSOCK)
    assert [(r.family, r.local_address) for r in records(data)] == [
        ("ipv4", "127.0.0.1"),
        ("ipv6", "::1"),
    ]
    assert count(data, "tcp") == {(TCP4, "ESTABLISHED"): 1, (TCP6, "LISTEN"): 1}


@pytest.mark.parametrize("protocol", ["tcp", *DATAGRAM_PROTOCOLS])
def test_longer_messages_and_unknown_attributes_are_taken(protocol: Protocol) -> None:
    unknown = attribute(999, b"from the future")
    plain = decode(protocol, attribute(SKMEMINFO, memory(7)))
    longer = decode(protocol, unknown + attribute(SKMEMINFO, memory(7) + b"more") + unknown)
    assert longer == plain
    mixed = records(
        message(inet_payload(cookie=1)) + message(inet_payload(unknown, cookie=2)), protocol
    )
    assert [record.cookie for record in mixed] == [1, 2]


def test_what_an_attribute_does_not_hold_is_not_known() -> None:
    attributes = attribute(SKMEMINFO, memory(7)[:-1]) + attribute(PROTOCOL, b"")
    record = decode("raw", attributes, state=CLOSE)
    assert (record.drops, record.ip_protocol) == (None, None)


def test_each_socket_has_its_own_attributes() -> None:
    data = b"".join(
        message(inet_payload(attribute(SKMEMINFO, memory(n)), cookie=n, inode=n)) for n in (5, 6)
    )
    assert [(r.inode, r.drops) for r in records(data, "udp")] == [(5, 5), (6, 6)]


def test_messages_of_other_types_are_passed_over() -> None:
    data = message(b"", NLMSG_NOOP) + message(inet_payload()) + message(bytes(80), 99)
    assert len(records(data)) == 1
    assert count(data, "tcp") == {(TCP4, "ESTABLISHED"): 1}


def test_a_socket_that_comes_twice_is_shown_once() -> None:
    seen = Seen()
    first = message(inet_payload(state=CLOSE, cookie=1)) + message(inet_payload(cookie=2))
    second = message(inet_payload(state=ESTABLISHED, cookie=1)) + message(inet_payload(cookie=3))
    assert [r.cookie for r in records(first + first, seen=seen)] == [1, 2]
    assert [r.cookie for r in records(second, seen=seen)] == [3]


def test_a_socket_that_comes_twice_is_counted_once() -> None:
    seen = Seen()
    first = message(inet_payload(state=CLOSE, cookie=1)) + message(inet_payload(cookie=2))
    second = message(inet_payload(state=ESTABLISHED, cookie=1)) + message(inet_payload(cookie=3))
    assert count(first + first, "tcp", seen) == {(TCP4, "BOUND"): 1, (TCP4, "ESTABLISHED"): 1}
    assert count(second, "tcp", seen) == {(TCP4, "ESTABLISHED"): 1}


def shown(data: bytes, seen: Seen) -> int:
    return len(records(data, seen=seen))


def counted(data: bytes, seen: Seen) -> int:
    return sum(count(data, "tcp", seen).values())


@pytest.mark.parametrize("look", [shown, counted])
def test_those_without_a_peer_and_the_latest_are_remembered_the_others_are_not(
    look: Callable[[bytes, Seen], int],
) -> None:
    seen = Seen()
    bound, listener = (message(inet_payload(state=s, cookie=s)) for s in (CLOSE, LISTEN))
    assert look(bound + listener, seen) == 2
    cookies = range(100, 100 + Seen.MOST_REPLIES + 1)
    assert sum(look(message(inet_payload(cookie=c)), seen) for c in cookies) == len(cookies)
    latest = [message(inet_payload(cookie=c)) for c in cookies[-Seen.LATEST_REPLIES :]]
    assert look(bound + listener + b"".join(latest), seen) == 0
    assert len(seen.latest) < Seen.MOST_REPLIES
    assert look(message(inet_payload(cookie=100)), seen) == 1


def test_every_truncation_of_a_reply_is_an_error_or_fewer_sockets() -> None:
    payload = inet_payload(attribute(SKMEMINFO, memory(1)))
    size = 16 + len(payload)
    data = b"".join(message(inet_payload(payload[72:], cookie=n)) for n in (1, 2, 3))
    for length in range(len(data) + 1):
        whole, rest = divmod(length, size)
        start = whole * size
        if rest == 0:
            assert [r.cookie for r in records(data[:length], "udp")] == [1, 2, 3][:whole]
        else:
            assert decode_error(data[:length], "udp") == (
                f"netlink message at byte {start}: expected 16 bytes, found {rest}"
                if rest < 16
                else f"netlink message at byte {start}: it says {size} bytes, but {rest} are left"
            )


@pytest.mark.parametrize("protocol", ["tcp", *DATAGRAM_PROTOCOLS])
def test_every_message_that_ends_before_its_fixed_part_is_an_error(protocol: Protocol) -> None:
    payload = inet_payload()
    for length in range(len(payload)):
        expected = f"expected at least 88 bytes, found {16 + length}"
        one = message(payload[:length])
        error = f"inet_diag message at byte 0: {expected}"
        assert decode_error(one, protocol) == error
        assert tally_error(one, protocol) == error
        error = f"inet_diag message at byte 88: {expected}"
        assert decode_error(message(payload) + one, protocol) == error
        assert tally_error(message(payload) + one, protocol) == error


@pytest.mark.parametrize("protocol", DATAGRAM_PROTOCOLS)
def test_every_message_that_ends_within_its_attributes(protocol: Protocol) -> None:
    payload = inet_payload(attribute(SKMEMINFO, memory(1)))
    assert records(message(payload[:72]), protocol)[0].drops is None
    for length in range(1, 40):
        assert decode_error(message(payload[: 72 + length]), protocol) == (
            f"netlink attribute at byte 88: expected 4 bytes, found {length}"
            if length < 4
            else f"netlink attribute 7 at byte 88: it says 40 bytes, but {length} are left"
        )


def decode_error(data: bytes, protocol: Protocol) -> str:
    with pytest.raises(ParseError) as caught:
        records(data, protocol)
    return str(caught.value)


def tally_error(data: bytes, protocol: Protocol) -> str:
    with pytest.raises(ParseError) as caught:
        count(data, protocol)
    return str(caught.value)


def count(
    data: bytes, protocol: Protocol, seen: Seen | None = None
) -> Counter[tuple[Table, State]]:
    return tally(decode_reply(data), protocol, seen or Seen())


PAYLOADS = st.builds(
    lambda attributes, family, state, port, cookie: inet_payload(
        attributes,
        family=int(family),
        state=state,
        source=("127.0.0.1" if family == AF_INET else "::1", port),
        destination=("127.0.0.1" if family == AF_INET else "::1", 1),
        cookie=cookie,
    ),
    st.sampled_from([b"", attribute(SKMEMINFO, memory(3)), attribute(99, b"?")]),
    st.sampled_from([AF_INET, AF_INET6]),
    st.integers(0, 14),
    st.sampled_from([0, 80]),
    st.integers(0, 5),
)


@given(
    st.lists(st.lists(PAYLOADS, max_size=6), max_size=3),
    st.sampled_from(["tcp", *DATAGRAM_PROTOCOLS]),
)
def test_a_tally_counts_what_the_records_say(
    batches: list[list[bytes]], protocol: Protocol
) -> None:
    expected: Counter[tuple[Table, State]] = Counter()
    found: Counter[tuple[Table, State]] = Counter()
    seen_by_records, seen_by_tally = Seen(), Seen()
    for payloads in batches:
        data = b"".join(map(message, payloads))
        expected.update(
            (Table(r.protocol, r.family), r.state) for r in records(data, protocol, seen_by_records)
        )
        found.update(count(data, protocol, seen_by_tally))
    assert found == expected


ANY_NAMES = Names(defaultdict(lambda: None), defaultdict(lambda: "eth0"))


def decode_anything(data: bytes) -> None:
    for protocol in ("tcp", *DATAGRAM_PROTOCOLS):
        for decode_one in (
            lambda reply, p: decode_records(reply, p, ANY_NAMES, Seen()),
            lambda reply, p: tally(reply, p, Seen()),
        ):
            try:
                decode_one(decode_reply(data), protocol)
            except NetinspectError:
                continue


@given(st.binary(max_size=300))
def test_random_bytes_raise_nothing_but_our_errors(data: bytes) -> None:
    decode_anything(data)
    decode_anything(message(data))
    decode_anything(message(inet_payload(data)))


@given(st.data())
def test_a_spoilt_reply_raises_nothing_but_our_errors(data: st.DataObject) -> None:
    attributes = attribute(SKMEMINFO, memory(1)) + attribute(PROTOCOL, b"\1")
    reply = bytearray(message(inet_payload(attributes)) * 2 + message(inet_payload()) + done(1))
    for _ in range(data.draw(st.integers(1, 4))):
        reply[data.draw(st.integers(0, len(reply) - 1))] = data.draw(st.integers(0, 255))
    decode_anything(bytes(reply))


def split_request(request: bytes, fixed: int) -> tuple[tuple[int, ...], bytes, bytes]:
    """Header, fixed part and the rest of a request, whose length must be what it says."""
    header = struct.unpack("=IHHII", request[:16])
    assert header[0] == len(request)
    return header[1:], request[16 : 16 + fixed], request[16 + fixed :]


def test_a_request_for_one_table() -> None:
    query = Query(tables=(UDP4,), states=frozenset({"UNCONN"}))
    header, request, rest = split_request(encode_request(UDP4, query, with_condition=True), 56)
    assert header == (20, 0x301, 1, 0)
    # family, protocol, extensions (bit 6 is INET_DIAG_SKMEMINFO, 7), padding, states, no sockid
    assert request == struct.pack("=BBBBI", 2, 17, 1 << 6, 0, 1 << 7) + bytes(48)
    assert rest == b""


def test_a_request_for_raw_sockets_of_ipv6() -> None:
    query = Query(tables=(RAW6,))
    _, request, _ = split_request(encode_request(RAW6, query, with_condition=True), 56)
    assert request[:8] == struct.pack("=BBBBI", int(AF_INET6), 255, 1 << 6, 0, 0xFFFFFFFF)


def test_a_request_for_tcp_of_both_families() -> None:
    query = Query(tables=(TCP4, TCP6), states=frozenset({"LISTEN"}))
    header, request, rest = split_request(encode_tcp_request(query, with_condition=True), 60)
    assert header == (18, 0x301, 1, 0)
    assert request == bytes(52) + struct.pack("=II", 1 << 10, 0)
    assert rest == b""


def test_a_request_with_tests_for_the_kernel() -> None:
    query = Query(tables=(TCP4, TCP6), condition=PortRange("local", 22, 22))
    bytecode = attribute(1, cast("bytes", encode_condition(query.condition)))
    assert encode_request(TCP4, query, with_condition=True).endswith(bytecode)
    assert encode_tcp_request(query, with_condition=True).endswith(bytecode)
    assert len(encode_request(TCP4, query, with_condition=False)) == 72
    assert len(encode_tcp_request(query, with_condition=False)) == 76


def test_tests_that_are_too_long_for_the_kernel_are_left_out() -> None:
    query = Query(tables=(TCP4,), condition=any_of(PortRange("local", p, p) for p in range(5000)))
    assert len(encode_request(TCP4, query, with_condition=True)) == 72


@pytest.mark.parametrize(
    ("states", "mask"),
    [
        (None, 0xFFFFFFFF),
        ({"UNKNOWN"}, 0xFFFFD001),
        (set(), 0),
        ({"ESTABLISHED"}, 1 << 1),
        ({"SYN_SENT"}, 1 << 2),
        ({"SYN_RECV"}, 1 << 3),
        ({"FIN_WAIT1"}, 1 << 4),
        ({"FIN_WAIT2"}, 1 << 5),
        ({"TIME_WAIT"}, 1 << 6),
        ({"CLOSE"}, 1 << 7),
        ({"UNCONN"}, 1 << 7),
        ({"CLOSE_WAIT"}, 1 << 8),
        ({"LAST_ACK"}, 1 << 9),
        ({"LISTEN"}, 1 << 10),
        ({"CLOSING"}, 1 << 11),
        ({"BOUND"}, 1 << 13),
        ({"LISTEN", "BOUND", "TIME_WAIT"}, 1 << 10 | 1 << 13 | 1 << 6),
    ],
    ids=lambda value: "+".join(sorted(value)) if isinstance(value, set) else None,
)
def test_the_mask_of_the_states(states: set[State] | None, mask: int) -> None:
    assert state_mask(None if states is None else frozenset(states)) == mask


def test_text_of_addresses_is_forgotten_when_there_is_too_much_of_it() -> None:
    from netinspect.parse.address import MOST_REMEMBERED, AddressText

    texts = AddressText("ipv4")
    for number in range(MOST_REMEMBERED + 1):
        packed = struct.pack("!I", number).ljust(16, b"\0")
        assert re.fullmatch(r"0\.0\.\d+\.\d+", texts[packed])
        assert len(texts) <= MOST_REMEMBERED
    assert len(texts) == 1
