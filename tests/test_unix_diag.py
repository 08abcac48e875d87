from __future__ import annotations

import struct
from collections import defaultdict
from socket import SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.errors import NetinspectError, ParseError
from netinspect.model import Connection
from netinspect.parse.netlink import decode_reply
from netinspect.parse.unix_diag import address_text, decode_records, encode_request
from tests.kernel_messages import NLMSG_NOOP, attribute, done, memory, message, unix_payload

USERS = {0: "root", 1000: "ada", 65534: None}
NAME, VFS, PEER, ICONS, RQLEN, MEMINFO, SHUTDOWN, UID = range(8)


def u32(*numbers: int) -> bytes:
    return struct.pack(f"={len(numbers)}I", *numbers)


def records(*replies: bytes) -> list[Connection]:
    return decode_records([decode_reply(data) for data in replies], USERS)


def decode(attributes: bytes = b"", **fields: Any) -> Connection:
    (record,) = records(message(unix_payload(attributes, **fields)) + done())
    return record


def test_every_field() -> None:
    attributes = (
        attribute(NAME, b"/run/x.sock")
        + attribute(VFS, u32(77, 1))
        + attribute(RQLEN, u32(3, 4096))
        + attribute(MEMINFO, memory(drops=5))
        + attribute(SHUTDOWN, b"\0")
        + attribute(UID, u32(1000))
    )
    record = decode(attributes, kind=int(SOCK_STREAM), state=10, inode=4294967295, cookie=1 << 40)
    assert record == Connection(
        protocol="unix",
        family="unix",
        type="stream",
        state="LISTEN",
        local_address="/run/x.sock",
        remote_address=None,
        local_port=None,
        remote_port=None,
        ip_protocol=None,
        interface=None,
        recv_q=3,
        send_q=4096,
        uid=1000,
        user="ada",
        inode=4294967295,
        cookie=1 << 40,
        owner_status="not_requested",
        drops=5,
    )


def test_what_no_attribute_tells_is_not_known() -> None:
    record = decode()
    assert record.local_address is None
    assert (record.recv_q, record.send_q, record.drops) == (None, None, None)
    assert (record.uid, record.user, record.peer_inode) == (None, None, None)


def test_what_an_attribute_is_too_short_to_tell_is_not_known() -> None:
    attributes = (
        attribute(PEER, b"123")
        + attribute(RQLEN, u32(1))
        + attribute(MEMINFO, memory(5)[:-1])
        + attribute(UID, b"")
    )
    record = decode(attributes)
    assert (record.recv_q, record.send_q, record.drops) == (None, None, None)
    assert (record.uid, record.user, record.peer_inode) == (None, None, None)


def test_an_attribute_may_tell_more() -> None:
    record = decode(attribute(MEMINFO, memory(5) + b"more") + attribute(99, b"?"))
    assert record.drops == 5


def test_a_user_without_a_name() -> None:
    record = decode(attribute(UID, u32(65534)))
    assert (record.uid, record.user) == (65534, None)


def test_a_socket_without_an_inode_is_nobodys() -> None:
    record = decode(attribute(UID, u32(0)), inode=0)
    assert (record.inode, record.uid, record.user) == (None, None, None)
    assert record.owner_status == "none"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (int(SOCK_STREAM), "stream"),
        (int(SOCK_DGRAM), "dgram"),
        (int(SOCK_SEQPACKET), "seqpacket"),
        (3, "raw"),
    ],
)
def test_types(kind: int, expected: str) -> None:
    assert decode(kind=kind).type == expected


def test_states() -> None:
    states = {number: decode(state=number).state for number in range(256)}
    assert states == dict.fromkeys(range(256), "UNKNOWN") | {
        1: "ESTABLISHED",
        2: "SYN_SENT",
        7: "UNCONN",
        10: "LISTEN",
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (b"/run/x.sock\0", "/run/x.sock"),
        (b"/run/x.sock", "/run/x.sock"),
        (b"relative", "relative"),
        (b"/ends in\0\0", "/ends in\\x00"),
        (b"@path\0", "./@path"),
        (b"./@path\0", "./@path"),
        (b"\0abstract", "@abstract"),
        (b"\0@abstract", "@@abstract"),
        (b"\0trailing\0", "@trailing\\x00"),
        (b"\0a\0b", "@a\\x00b"),
        (b"\0", "@"),
        (b"\0\0", "@\\x00"),
        (b"\0/run/.X11-unix/X0", "@/run/.X11-unix/X0"),
        ("/run/\u00e9\0".encode(), "/run/\u00e9"),
        (b"/run/\xff\xfe\0", "/run/\\xff\\xfe"),
        (b"\0\xff", "@\\xff"),
        (b"/a\\b\0", "/a\\\\b"),
        (b"/a\nb\x1b[31m\0", "/a\nb\x1b[31m"),
        (b"", None),
    ],
)
def test_names(name: bytes, expected: str | None) -> None:
    assert address_text(name) == expected
    assert decode(attribute(NAME, name)).local_address == expected


@given(st.binary(max_size=108), st.binary(max_size=108))
def test_two_abstract_names_are_two_texts(one: bytes, other: bytes) -> None:
    texts = address_text(b"\0" + one), address_text(b"\0" + other)
    assert (texts[0] == texts[1]) == (one == other)


PATHS = st.binary(min_size=1, max_size=108).filter(lambda path: b"\0" not in path)


@given(PATHS, PATHS)
def test_a_path_is_never_the_text_of_an_abstract_name(path: bytes, name: bytes) -> None:
    text = address_text(path + b"\0")
    assert text is not None
    assert not text.startswith("@")
    assert text != address_text(b"\0" + name)


def test_a_peer_is_found_in_its_own_message_also_of_another_reply() -> None:
    client = unix_payload(attribute(PEER, u32(20)), inode=10, cookie=1)
    server = unix_payload(attribute(NAME, b"/srv\0") + attribute(PEER, u32(10)), inode=20, cookie=2)
    first, second = records(message(client), message(server) + done())
    assert (first.inode, first.peer_inode, first.remote_address) == (10, 20, "/srv")
    assert (second.inode, second.peer_inode, second.remote_address) == (20, 10, None)


def test_a_peer_that_is_gone_still_has_its_number() -> None:
    record = decode(attribute(PEER, u32(99)))
    assert (record.peer_inode, record.remote_address) == (99, None)


def test_a_peer_of_0_is_none() -> None:
    unnamed = unix_payload(attribute(NAME, b"/accepting\0"), inode=0, cookie=1)
    connected = unix_payload(attribute(PEER, u32(0)), inode=10, cookie=2)
    _, record = records(message(unnamed) + message(connected))
    assert (record.peer_inode, record.remote_address) == (None, None)


def test_a_socket_that_comes_twice_is_shown_once() -> None:
    data = message(unix_payload(cookie=1)) + message(unix_payload(cookie=2))
    again = message(unix_payload(cookie=2, state=10))
    assert [(r.cookie, r.state) for r in records(data, again)] == [
        (1, "ESTABLISHED"),
        (2, "LISTEN"),
    ]


def test_a_cookie_of_0_is_none_and_hides_no_other_socket() -> None:
    data = message(unix_payload(cookie=0, inode=1)) + message(unix_payload(cookie=0, inode=2))
    assert [(r.cookie, r.inode) for r in records(data)] == [(None, 1), (None, 2)]


def test_messages_of_other_types_are_passed_over() -> None:
    assert records(message(b"", NLMSG_NOOP) + message(bytes(60), 99) + done()) == []


def test_every_truncation_of_a_reply_is_an_error_or_fewer_sockets() -> None:
    data = message(unix_payload(attribute(NAME, b"/run/x.sockets\0"), cookie=1))
    data += message(unix_payload(attribute(99, b""), cookie=2))
    assert len(data) == 52 + 36
    for length in range(len(data) + 1):
        start, size = (0, 52) if length < 52 else (52, 36)
        rest = length - start
        if rest in (0, size):
            cookies = [r.cookie for r in records(data[:length])]
            assert cookies == [1, 2][: (length >= 52) + (length >= 88)]
        else:
            assert decode_error(data[:length]) == (
                f"netlink message at byte {start}: expected 16 bytes, found {rest}"
                if rest < 16
                else f"netlink message at byte {start}: it says {size} bytes, but {rest} are left"
            )


def test_every_message_that_ends_too_early() -> None:
    payload = unix_payload(attribute(NAME, b"/run/x.sock\0"))
    for length in range(len(payload)):
        if length == 16:
            assert records(message(payload[:length]))[0].local_address is None
            continue
        left = length - 16
        if left < 0:
            expected = (
                f"unix_diag message at byte 0: expected at least 32 bytes, found {16 + length}"
            )
        elif left < 4:
            expected = f"netlink attribute at byte 32: expected 4 bytes, found {left}"
        else:
            expected = f"netlink attribute 0 at byte 32: it says 16 bytes, but {left} are left"
        assert decode_error(message(payload[:length])) == expected


def decode_error(data: bytes) -> str:
    with pytest.raises(ParseError) as caught:
        records(data)
    return str(caught.value)


def decode_anything(data: bytes) -> None:
    try:
        decode_records([decode_reply(data)], defaultdict(lambda: None))
    except NetinspectError:
        return


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_our_errors(data: bytes) -> None:
    decode_anything(data)
    decode_anything(message(data))
    decode_anything(message(unix_payload(data)))


@given(st.data())
def test_a_spoilt_reply_raises_nothing_but_our_errors(data: st.DataObject) -> None:
    attributes = attribute(NAME, b"\0x") + attribute(PEER, u32(3)) + attribute(UID, u32(7))
    reply = bytearray(message(unix_payload(attributes)) + message(unix_payload()) + done(1))
    for _ in range(data.draw(st.integers(1, 4))):
        reply[data.draw(st.integers(0, len(reply) - 1))] = data.draw(st.integers(0, 255))
    decode_anything(bytes(reply))


def test_the_request_asks_for_all_states_and_for_what_is_shown() -> None:
    header, request = encode_request()[:16], encode_request()[16:]
    assert header == struct.pack("=IHHII", 40, 20, 0x301, 1, 0)
    show = 1 << 0 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6  # name, peer, queues, memory, uid
    expected = struct.pack("=BBHIII", 1, 0, 0, 0xFFFFFFFF, 0, show) + b"\xff" * 8
    assert request == expected
