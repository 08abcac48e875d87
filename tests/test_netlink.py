from __future__ import annotations

import errno
import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.errors import NetinspectError, ParseError, RefusedError, SourceError
from netinspect.parse.netlink import (
    LARGE_REPLY,
    Reply,
    _mixed_reply,
    _uniform_reply,
    decode_attributes,
    decode_reply,
    encode_attribute,
    encode_dump_request,
    message_spans,
)
from tests.kernel_messages import (
    NLMSG_DONE,
    NLMSG_ERROR,
    NLMSG_NOOP,
    TCPDIAG_GETSOCK,
    attribute,
    done,
    error,
    message,
)

BOTH_PLACES = pytest.mark.parametrize("place", [done, error], ids=["in the end", "in an error"])


class Walk:
    """A plain walk over the messages of one read, as RFC 3549 section 2 describes it."""

    def __init__(self, data: bytes) -> None:
        self.offsets: list[tuple[int, int]] = []
        self.is_last = False
        offset = 0
        while offset < len(data) and not self.is_last:
            length, kind = check(data, offset)
            if kind in (2, 3):
                self.is_last = True
            else:
                if kind in (18, 20):
                    self.offsets.append((offset, offset + length))
                offset += length + -length % 4
        self.end = min(offset, len(data))


def check(data: bytes, offset: int) -> tuple[int, int]:
    left = len(data) - offset
    if left < 16:
        raise ParseError(f"netlink message at byte {offset}: expected 16 bytes, found {left}")
    length, kind = struct.unpack("=IH", data[offset : offset + 6])
    if length < 16 or length > left:
        raise ParseError(
            f"netlink message at byte {offset}: it says {length} bytes, but {left} are left"
        )
    return length, kind


def offsets(reply: Reply) -> list[tuple[int, int]]:
    return list(message_spans(reply, 16, "test"))


def outcome(decode: Callable[[bytes], Any], data: bytes) -> Any:
    """What comes of it, an error as its text."""
    try:
        return decode(data)
    except NetinspectError as error:
        return f"{type(error).__name__}: {error}"


def assert_equal_to_walk(data: bytes) -> None:
    """The same messages, the same end, or the same error."""
    reply, walk = outcome(decode_reply, data), outcome(Walk, data)
    if isinstance(walk, str) or isinstance(reply, str):
        assert reply == walk
        return
    assert (reply.data, reply.end, reply.is_last) == (data, walk.end, walk.is_last)
    assert offsets(reply) == walk.offsets
    if reply.size:
        assert {(start, start + reply.size) for start, _ in walk.offsets} == set(walk.offsets)


def test_a_dump_request_is_a_header_and_the_payload() -> None:
    header = struct.pack("=IHHII", 20, 20, 0x301, 1, 0)
    assert encode_dump_request(b"abcd") == header + b"abcd"
    header = struct.pack("=IHHII", 18, 18, 0x301, 1, 0)
    assert encode_dump_request(b"ab", TCPDIAG_GETSOCK) == header + b"ab"


@pytest.mark.parametrize("value", [b"", b"a", b"ab", b"abc", b"abcd", b"abcde"])
def test_an_attribute_is_padded_to_four_bytes_but_says_its_own_length(value: bytes) -> None:
    assert encode_attribute(7, value) == attribute(7, value)
    encoded = encode_attribute(7, value) + encode_attribute(8, b"next")
    assert list(decode_attributes(encoded, 0, len(encoded))) == [(7, value), (8, b"next")]


def test_nothing_read_is_an_empty_reply() -> None:
    assert decode_reply(b"") == Reply(b"", 0, 0, is_last=False)


def test_messages_of_one_size_are_told_by_their_size() -> None:
    data = message(bytes(72)) * 3
    assert decode_reply(data) == Reply(data, 264, 88, is_last=False)
    assert decode_reply(data + done()) == Reply(data + done(), 264, 88, is_last=True)


def test_messages_of_several_sizes_are_told_by_size_0() -> None:
    data = message(bytes(72)) + message(bytes(80))
    assert decode_reply(data) == Reply(data, 184, 0, is_last=False)
    assert decode_reply(data + done()) == Reply(data + done(), 184, 0, is_last=True)


def test_answers_to_the_older_request_are_taken_as_well() -> None:
    data = message(bytes(72), TCPDIAG_GETSOCK) * 2 + done()
    assert decode_reply(data) == Reply(data, 176, 88, is_last=True)
    assert offsets(decode_reply(data)) == [(0, 88), (88, 176)]


def test_a_reply_may_be_only_the_end() -> None:
    assert decode_reply(done()) == Reply(done(), 0, 0, is_last=True)


def test_an_end_without_a_number_is_an_end() -> None:
    end = message(b"", NLMSG_DONE)
    assert decode_reply(end) == Reply(end, 0, 0, is_last=True)


def test_what_follows_the_end_is_not_looked_at() -> None:
    data = message(bytes(4)) + done() + b"garbage"
    assert decode_reply(data) == Reply(data, 20, 0, is_last=True)


@pytest.mark.parametrize("size", range(16, 40))
def test_a_last_message_may_lack_its_padding(size: int) -> None:
    data = message(bytes(72)) + struct.pack("=IHHII", size, 20, 2, 1, 0) + bytes(size - 16)
    reply = decode_reply(data)
    assert (reply.end, reply.is_last) == (len(data), False)
    assert offsets(reply) == [(0, 88), (88, 88 + size)]


@BOTH_PLACES
@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (1, "Operation not permitted (EPERM)"),
        (2, "No such file or directory (ENOENT)"),
        (13, "Permission denied (EACCES)"),
        (22, "Invalid argument (EINVAL)"),
        (93, "Protocol not supported (EPROTONOSUPPORT)"),
        (95, f"Operation not supported ({errno.errorcode[95]})"),
        (97, "Address family not supported by protocol (EAFNOSUPPORT)"),
    ],
)
def test_what_the_kernel_does_not_offer_is_a_refusal(
    place: Callable[[int], bytes], number: int, expected: str
) -> None:
    with pytest.raises(RefusedError) as caught:
        decode_reply(place(number))
    assert str(caught.value) == f"the kernel refuses: {expected}"


@BOTH_PLACES
@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (12, "Cannot allocate memory (ENOMEM)"),
        (16, "Device or resource busy (EBUSY)"),
        (105, "No buffer space available (ENOBUFS)"),
        (524, "error 524"),  # ENOTSUPP, the kernel's own
        (-5, "error -5"),
        (2**31, "error 2147483648"),
    ],
)
def test_any_other_error_is_a_failure(
    place: Callable[[int], bytes], number: int, expected: str
) -> None:
    with pytest.raises(SourceError) as caught:
        decode_reply(place(number))
    assert type(caught.value) is SourceError
    assert str(caught.value) == f"the kernel failed: {expected}"


@BOTH_PLACES
def test_an_error_after_messages_is_raised_too(place: Callable[[int], bytes]) -> None:
    for messages in (message(bytes(72)) * 2, message(bytes(72)) + message(bytes(80))):
        with pytest.raises(SourceError) as caught:
            decode_reply(messages + place(errno.ENOMEM))
        assert str(caught.value) == "the kernel failed: Cannot allocate memory (ENOMEM)"


def test_an_error_of_0_is_an_end() -> None:
    assert decode_reply(error(0)) == Reply(error(0), 0, 0, is_last=True)


@pytest.mark.parametrize("length", [0, 1, 15])
def test_a_message_that_says_less_than_its_header(length: int) -> None:
    with pytest.raises(ParseError) as caught:
        decode_reply(message(b"", length=length))
    assert str(caught.value) == (
        f"netlink message at byte 0: it says {length} bytes, but 16 are left"
    )


def test_a_message_that_says_more_than_there_is() -> None:
    with pytest.raises(ParseError) as caught:
        decode_reply(message(bytes(8)) + message(bytes(8), length=25))
    assert str(caught.value) == "netlink message at byte 24: it says 25 bytes, but 24 are left"


def test_every_truncation_of_one_message_is_an_error() -> None:
    data = message(bytes(72))
    for length in range(1, len(data)):
        with pytest.raises(ParseError) as caught:
            decode_reply(data[:length])
        assert str(caught.value) == (
            f"netlink message at byte 0: expected 16 bytes, found {length}"
            if length < 16
            else f"netlink message at byte 0: it says 88 bytes, but {length} are left"
        )


@pytest.mark.parametrize(
    "data",
    [
        message(bytes(72)) * 3 + done(),
        message(bytes(72)) + message(bytes(80)) + message(bytes(72)) + done(),
        message(bytes(72)) + message(bytes(72), NLMSG_NOOP) + done(),
        message(b"") * 4 + done(),
        message(bytes(4)) * 4 + done(),
    ],
    ids=["one size", "several sizes", "another type", "headers only", "as long as the end"],
)
def test_every_truncation_of_a_reply_is_as_a_plain_walk_finds_it(data: bytes) -> None:
    for length in range(len(data) + 1):
        assert_equal_to_walk(data[:length])


SIZES = st.sampled_from([16, 17, 19, 20, 21, 36, 40, 88, 92, 100])  # 40 is a parenthesis
KINDS = st.sampled_from([18, 20, 20, 20, NLMSG_NOOP, NLMSG_DONE, NLMSG_ERROR, 99])
MIXED = st.builds(lambda size, kind: message(bytes(size - 16), kind), SIZES, KINDS)
UNIFORM = st.builds(lambda one, count: [one] * count, MIXED, st.integers(0, 8))
END = st.sampled_from([b"", done(), error(0), message(b"", NLMSG_DONE), b"\0" * 8, b"\xff" * 40])


@given(UNIFORM, st.lists(MIXED, max_size=4), END, st.integers(0, 3))
def test_the_fast_path_is_equal_to_a_plain_walk(
    same: list[bytes], others: list[bytes], end: bytes, lacking: int
) -> None:
    data = b"".join((*same, *others, end))
    assert_equal_to_walk(data[: len(data) - lacking])


@given(UNIFORM, st.lists(MIXED, max_size=2), END)
def test_the_fast_path_is_equal_to_the_slow_path(
    same: list[bytes], others: list[bytes], end: bytes
) -> None:
    data = b"".join((*same, *others, end))
    fast = outcome(_uniform_reply, data)
    if fast:
        fast = fast._replace(size=0) if isinstance(fast, Reply) else fast
        assert fast == outcome(_mixed_reply, data)


@given(st.lists(MIXED, min_size=1, max_size=6), END, st.integers(0, 3))
def test_a_large_reply_of_several_sizes_is_as_a_plain_walk_finds_it(
    some: list[bytes], end: bytes, lacking: int
) -> None:
    times = 1 + LARGE_REPLY // sum(map(len, some))
    data = b"".join((*some * times, end))
    assert_equal_to_walk(data[: len(data) - lacking])


def test_the_fast_path_is_taken() -> None:
    assert _uniform_reply(message(bytes(72)) * 3 + done())
    assert _uniform_reply(message(bytes(72)) * 3)


@pytest.mark.parametrize("start", [0, 88])
def test_a_message_that_is_too_short_for_what_it_should_hold(start: int) -> None:
    data = message(bytes(72))[:start] + message(bytes(70))
    with pytest.raises(ParseError) as caught:
        list(message_spans(decode_reply(data), 88, "inet_diag"))
    assert str(caught.value) == (
        f"inet_diag message at byte {start}: expected at least 88 bytes, found 86"
    )


def test_messages_of_other_types_are_passed_over_however_short() -> None:
    data = message(b"", NLMSG_NOOP) + message(bytes(72)) + message(b"x", 99)
    assert list(message_spans(decode_reply(data), 88, "inet_diag")) == [(16, 104)]


def test_the_flags_of_an_attribute_are_not_its_type() -> None:
    nested, big_endian = 0x8000, 0x4000
    data = attribute(nested | 5, b"a") + attribute(big_endian | 6, b"b")
    assert list(decode_attributes(data, 0, len(data))) == [(5, b"a"), (6, b"b")]


def test_attributes_begin_and_end_where_they_are_said_to() -> None:
    data = b"before" + attribute(1, b"abcd") + b"after"
    assert list(decode_attributes(data, 6, 14)) == [(1, b"abcd")]
    assert list(decode_attributes(data, 6, 6)) == []


def test_a_last_attribute_may_lack_its_padding() -> None:
    data = attribute(1, b"abc") + attribute(2, b"a")[:5]
    assert list(decode_attributes(data, 0, len(data))) == [(1, b"abc"), (2, b"a")]


def test_every_truncation_of_attributes() -> None:
    data = attribute(1, b"abcd") + attribute(0x8000 | 2, b"abcdefgh")
    for length in (1, 2, 3):
        assert attribute_error(data[:length]) == (
            f"netlink attribute at byte 0: expected 4 bytes, found {length}"
        )
    for length in range(4, 8):
        assert attribute_error(data[:length]) == (
            f"netlink attribute 1 at byte 0: it says 8 bytes, but {length} are left"
        )
    assert list(decode_attributes(data[:8], 0, 8)) == [(1, b"abcd")]
    for length in (9, 10, 11):
        assert attribute_error(data[:length]) == (
            f"netlink attribute at byte 8: expected 4 bytes, found {length - 8}"
        )
    for length in range(12, 20):
        assert attribute_error(data[:length]) == (
            f"netlink attribute 2 at byte 8: it says 12 bytes, but {length - 8} are left"
        )


@pytest.mark.parametrize("length", [0, 3])
def test_an_attribute_that_says_less_than_its_header(length: int) -> None:
    data = struct.pack("=HH", length, 7)
    assert attribute_error(data) == (
        f"netlink attribute 7 at byte 0: it says {length} bytes, but 4 are left"
    )


def attribute_error(data: bytes) -> str:
    with pytest.raises(ParseError) as caught:
        list(decode_attributes(data, 0, len(data)))
    return str(caught.value)


@given(st.lists(st.tuples(st.integers(0, 0x3FFF), st.binary(max_size=40))))
def test_attributes_come_back_as_they_were_encoded(attributes: list[tuple[int, bytes]]) -> None:
    data = b"".join(encode_attribute(kind, value) for kind, value in attributes)
    assert data == b"".join(attribute(kind, value) for kind, value in attributes)
    assert list(decode_attributes(data, 0, len(data))) == attributes


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_but_our_errors(data: bytes) -> None:
    try:
        list(message_spans(decode_reply(data), 16, "test"))
        list(decode_attributes(data, 0, len(data)))
    except NetinspectError:
        return


@given(st.data())
def test_a_spoilt_reply_raises_nothing_but_our_errors(data: st.DataObject) -> None:
    reply = bytearray(message(bytes(72)) * 2 + message(bytes(80)) + done(errno.EPERM))
    for _ in range(data.draw(st.integers(1, 4))):
        reply[data.draw(st.integers(0, len(reply) - 1))] = data.draw(st.integers(0, 255))
    try:
        list(message_spans(decode_reply(bytes(reply)), 88, "test"))
    except NetinspectError:
        return
