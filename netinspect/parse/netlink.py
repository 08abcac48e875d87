"""Netlink framing (RFC 3549, linux/netlink.h): requests, replies, attributes, errors.

All of it is in the byte order of the machine that made it, and each part is aligned to 4 bytes.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from functools import lru_cache
from struct import Struct
from typing import NamedTuple

from netinspect.errors import ParseError, RefusedError, SourceError

NLMSG_ERROR = 2
NLMSG_DONE = 3
SOCK_DIAG_BY_FAMILY = 20
TCPDIAG_GETSOCK = 18  # the older request, the only one that takes all families at once
SOCKET_MESSAGES = (SOCK_DIAG_BY_FAMILY, TCPDIAG_GETSOCK)
NLM_F_REQUEST = 0x1
NLM_F_DUMP = 0x300

# struct nlmsghdr: length (with this header), type, flags, sequence number, port id
#   7c000000 1400 0200 01000000 39300000
HEADER = Struct("=IHHII")
LENGTH_AND_TYPE = Struct("=IH")
ERRNO = Struct("=i")
# struct nlattr: length (with this header), type
#   0500 0800 00 and 3 bytes of padding
ATTRIBUTE = Struct("=HH")
# The type also carries NLA_F_NESTED and NLA_F_NET_BYTEORDER in its two high bits.
ATTRIBUTE_TYPE_MASK = 0x3FFF

# What a kernel answers that has no handler for a family or protocol, or does not let us ask.
REFUSALS = frozenset(
    (
        errno.ENOENT,
        errno.EPERM,
        errno.EACCES,
        errno.EINVAL,
        errno.EOPNOTSUPP,
        errno.EPROTONOSUPPORT,
        errno.EAFNOSUPPORT,
    )
)


# A full one; of fewer messages it is as fast to look at each
LARGE_REPLY = 1 << 14
MOST_SIZES = 3


class Reply(NamedTuple):
    """What one read of a dump brought: whole messages, without the end marker."""

    data: bytes
    end: int  # where the messages end in `data`
    size: int  # what each message takes, when all take the same; else 0
    is_last: bool


def aligned(length: int) -> int:
    """NLMSG_ALIGN and NLA_ALIGN: the next multiple of 4."""
    return (length + 3) & ~3


def encode_dump_request(payload: bytes, kind: int = SOCK_DIAG_BY_FAMILY) -> bytes:
    """A request for all sockets that `payload` describes."""
    length = HEADER.size + len(payload)
    return HEADER.pack(length, kind, NLM_F_REQUEST | NLM_F_DUMP, 1, 0) + payload


def encode_attribute(kind: int, value: bytes) -> bytes:
    """One attribute with its padding."""
    padding = bytes(aligned(len(value)) - len(value))
    return ATTRIBUTE.pack(ATTRIBUTE.size + len(value), kind) + value + padding


def decode_reply(data: bytes) -> Reply:
    """Find out where the messages of one read end, and whether they are all of one size.

    :raises RefusedError: the kernel does not offer what was asked.
    :raises SourceError: any other error of the kernel's, also one inside NLMSG_DONE.
    :raises ParseError: a length is not what the bytes hold.
    """
    return _uniform_reply(data) or _mixed_reply(data)


def _uniform_reply(data: bytes) -> Reply | None:
    """The fast path: a table of one kind of socket comes in messages of one size.

    Six strided slices compare length and type of all messages at once; the walk in
    `_mixed_reply`, to which this must be equal, takes 20 times as long.
    """
    if len(data) < LENGTH_AND_TYPE.size:
        return None
    size, kind = LENGTH_AND_TYPE.unpack_from(data)
    if kind not in SOCKET_MESSAGES or size < HEADER.size or size != aligned(size):
        return None
    count = len(data) // size
    end = count * size
    if any(data[i:end:size] != data[i : i + 1] * count for i in range(LENGTH_AND_TYPE.size)):
        return None
    if end == len(data):
        return Reply(data, end, size, is_last=False)
    return Reply(data, end, size, is_last=True) if _ends_dump(data, end) else None


def _mixed_reply(data: bytes) -> Reply:
    offset, end = 0, len(data)
    sizes: frozenset[int] = frozenset()
    while offset < end:
        # What `_ends_dump` would say of almost all messages, without a call for each
        if end - offset >= HEADER.size:
            length, kind = LENGTH_AND_TYPE.unpack_from(data, offset)
            if kind in SOCKET_MESSAGES and HEADER.size <= length <= end - offset:
                offset += (length + 3) & ~3
                if end >= LARGE_REPLY and len(sizes) < MOST_SIZES and length % 4 == 0:
                    sizes |= {length}
                    offset = _end_of_run(sizes, data, offset)
                continue
        if _ends_dump(data, offset):
            return Reply(data, offset, 0, is_last=True)
        offset += aligned(LENGTH_AND_TYPE.unpack_from(data, offset)[0])
    return Reply(data, end, 0, is_last=False)


def _end_of_run(sizes: frozenset[int], data: bytes, offset: int) -> int:
    """Where messages of these sizes end that follow each other: in an eighth of the time."""
    run = _run_of(sizes).match(data, offset)
    return run.end() if run else offset


@lru_cache(maxsize=64)
def _run_of(sizes: frozenset[int]) -> re.Pattern[bytes]:
    #   7c000000 1400, and 118 bytes
    messages = (
        re.escape(LENGTH_AND_TYPE.pack(size, kind)) + b".{%d}" % (size - LENGTH_AND_TYPE.size)
        for size in sorted(sizes)
        for kind in SOCKET_MESSAGES
    )
    return re.compile(b"(?s)(?:" + b"|".join(messages) + b")*")


def _ends_dump(data: bytes, offset: int) -> bool:
    """Whether the message at `offset` is the end of the dump; raise when it is an error."""
    left = len(data) - offset
    if left < HEADER.size:
        raise ParseError(
            f"netlink message at byte {offset}: expected {HEADER.size} bytes, found {left}"
        )
    length, kind = LENGTH_AND_TYPE.unpack_from(data, offset)
    if not HEADER.size <= length <= left:
        raise ParseError(
            f"netlink message at byte {offset}: it says {length} bytes, but {left} are left"
        )
    if kind not in (NLMSG_DONE, NLMSG_ERROR):
        return False
    # A failed dump says so with a negative errno inside NLMSG_DONE as well as in NLMSG_ERROR.
    if length >= HEADER.size + ERRNO.size:
        _raise_errno(-ERRNO.unpack_from(data, offset + HEADER.size)[0])
    return True


def _raise_errno(number: int) -> None:
    if number == 0:
        return
    known = number in errno.errorcode
    reason = f"{os.strerror(number)} ({errno.errorcode[number]})" if known else f"error {number}"
    if number in REFUSALS:
        raise RefusedError(f"the kernel refuses: {reason}")
    raise SourceError(f"the kernel failed: {reason}")


def message_spans(reply: Reply, smallest: int, what: str) -> list[tuple[int, int]]:
    """(start, end) of each message of a reply; each holds at least `smallest` bytes.

    Messages of other types are passed over, as RFC 3549 section 2.2 asks.

    :raises ParseError: a message is smaller.
    """
    data, offset = reply.data, 0
    spans = []
    while offset < reply.end:
        length, kind = LENGTH_AND_TYPE.unpack_from(data, offset)
        if kind in SOCKET_MESSAGES:
            if length < smallest:
                raise short_message(what, offset, smallest, length)
            spans.append((offset, offset + length))
        offset += (length + 3) & ~3
    return spans


def short_message(what: str, offset: int, expected: int, found: int) -> ParseError:
    """The error for a message that ends before its fixed part does."""
    return ParseError(
        f"{what} message at byte {offset}: expected at least {expected} bytes, found {found}"
    )


def decode_attributes(data: bytes, start: int, end: int) -> Iterator[tuple[int, bytes]]:
    """(type, value) of each attribute in `data[start:end]`."""
    while start < end:
        left = end - start
        if left < ATTRIBUTE.size:
            raise ParseError(
                f"netlink attribute at byte {start}: expected {ATTRIBUTE.size} bytes, found {left}"
            )
        length, kind = ATTRIBUTE.unpack_from(data, start)
        if not ATTRIBUTE.size <= length <= left:
            raise ParseError(
                f"netlink attribute {kind & ATTRIBUTE_TYPE_MASK} at byte {start}: "
                f"it says {length} bytes, but {left} are left"
            )
        yield kind & ATTRIBUTE_TYPE_MASK, data[start + ATTRIBUTE.size : start + length]
        start += aligned(length)
