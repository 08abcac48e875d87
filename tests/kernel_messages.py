"""What the kernel answers to sock_diag, encoded field by field as its headers have it.

Written from linux/netlink.h, inet_diag.h and unix_diag.h, not from the decoders.
"""

from __future__ import annotations

import errno
import socket
import struct

SOCK_DIAG_BY_FAMILY = 20
TCPDIAG_GETSOCK = 18
NLMSG_NOOP, NLMSG_ERROR, NLMSG_DONE = 1, 2, 3
NLM_F_MULTI = 2


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % 4)


def message(payload: bytes, kind: int = SOCK_DIAG_BY_FAMILY, length: int | None = None) -> bytes:
    """struct nlmsghdr and a payload; `length` for one that lies."""
    length = 16 + len(payload) if length is None else length
    header = struct.pack("=I", length) + struct.pack("=HHII", kind, NLM_F_MULTI, 1, 0x3039)
    return padded(header + payload)


def done(number: int = 0) -> bytes:
    """The end of a dump, or of one that failed."""
    return message(struct.pack("=i", -number), NLMSG_DONE)


def error(number: int = errno.ENOENT) -> bytes:
    """A struct nlmsgerr: a negative errno, and the header of the request."""
    request = struct.pack("=IHHII", 72, SOCK_DIAG_BY_FAMILY, 0x301, 1, 0)
    return message(struct.pack("=i", -number) + request, NLMSG_ERROR)


def attribute(kind: int, value: bytes) -> bytes:
    """struct nlattr, a value, padding."""
    return padded(struct.pack("=HH", 4 + len(value), kind) + value)


def inet_payload(  # noqa: PLR0913 one argument a field of the struct
    attributes: bytes = b"",
    *,
    family: int = int(socket.AF_INET),
    state: int = 1,
    timer: int = 0,
    retransmits: int = 0,
    source: tuple[str, int] = ("127.0.0.1", 8080),
    destination: tuple[str, int] = ("127.0.0.2", 40000),
    interface: int = 0,
    cookie: int = 0x1101,
    expires: int = 0,
    recv_q: int = 0,
    send_q: int = 0,
    uid: int = 0,
    inode: int = 12345,
) -> bytes:
    """struct inet_diag_msg and its attributes."""
    return b"".join(
        (
            struct.pack("=4B", family, state, timer, retransmits),
            struct.pack("!HH", source[1], destination[1]),
            address(family, source[0]),
            address(family, destination[0]),
            struct.pack("=I", interface),
            struct.pack("=II", *halves(cookie)),
            struct.pack("=5I", expires, recv_q, send_q, uid, inode),
            attributes,
        )
    )


def address(family: int, text: str) -> bytes:
    """__be32[4]; IPv4 uses the first."""
    return socket.inet_pton(family, text).ljust(16, b"\0")


def halves(cookie: int) -> tuple[int, int]:
    """__u32[2], the lower half first (sock_diag_save_cookie() in net/core/sock_diag.c)."""
    return cookie & 0xFFFFFFFF, cookie >> 32


def memory(drops: int) -> bytes:
    """INET_DIAG_SKMEMINFO and UNIX_DIAG_MEMINFO: nine numbers, drops the last."""
    return struct.pack("=9I", 1, 2, 3, 4, 5, 6, 7, 8, drops)


def unix_payload(
    attributes: bytes = b"",
    *,
    kind: int = int(socket.SOCK_STREAM),
    state: int = 1,
    inode: int = 12345,
    cookie: int = 0x1101,
) -> bytes:
    """struct unix_diag_msg and its attributes."""
    fixed = struct.pack("=BBBBIII", 1, kind, state, 0, inode, *halves(cookie))
    return fixed + attributes
