"""A dump over netlink, by a socket of its own: the request, and the reads of the answer."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator

from netinspect.errors import RefusedError, SourceError
from netinspect.parse.netlink import Reply, decode_reply

NETLINK_SOCK_DIAG = 4
# The kernel fills at most 32 KiB at a time, unless a single message is larger (af_netlink.c).
SMALLEST_READ = 1 << 16
ANSWER_TIMEOUT_S = 10
# struct timeval
TIMEVAL = struct.Struct("@ll")


def open_socket() -> socket.socket:
    """A netlink socket to sock_diag whose reads end after ANSWER_TIMEOUT_S.

    :raises RefusedError: this system, or what this process may do, has no such sockets.
    """
    try:
        netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_SOCK_DIAG)
        netlink.bind((0, 0))
    except AttributeError:
        raise RefusedError("this system has no netlink sockets") from None
    except OSError as error:
        raise RefusedError(f"netlink is refused: {error.strerror}") from None
    # A timeout of Python's own would cost a poll() a read.
    netlink.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, TIMEVAL.pack(ANSWER_TIMEOUT_S, 0))
    return netlink


class _TruncatedError(SourceError):
    """A read brought less than the kernel had to say."""


def dump(request: bytes, read_size: int = SMALLEST_READ) -> Iterator[Reply]:
    """The replies to one request.

    When the kernel has more to say at a time than is read at a time, the dump begins again with
    larger reads: what comes twice is known by its cookie.

    :raises RefusedError: the kernel does not offer this, or we may not ask.
    :raises SourceError: the kernel fails, or does not answer in time.
    :raises ParseError: an answer is not netlink.
    """
    try:
        with open_socket() as netlink:
            send(netlink, request)
            yield from read_replies(netlink, read_size)
    except _TruncatedError:
        yield from dump(request, 2 * read_size)


def read_replies(netlink: socket.socket, read_size: int = SMALLEST_READ) -> Iterator[Reply]:
    """What is left of a dump, a read at a time. See `dump`."""
    is_last = False
    while not is_last:
        reply = decode_reply(receive(netlink, read_size))
        is_last = reply.is_last
        yield reply


def send(netlink: socket.socket, request: bytes) -> None:
    """Send a request. The kernel makes the first reply before this returns.

    :raises RefusedError: we may not ask.
    """
    try:
        netlink.send(request)
    except OSError as error:
        raise RefusedError(f"netlink is refused: {error.strerror}") from None


def receive(netlink: socket.socket, read_size: int) -> bytes:
    """One read of whole messages.

    :raises SourceError: nothing came in time, the read failed, or there was more than read_size.
    """
    try:
        data, _, flags, _ = netlink.recvmsg(read_size)
    except BlockingIOError:
        raise SourceError(
            f"the kernel did not answer a sock_diag request within {ANSWER_TIMEOUT_S} s"
        ) from None
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "?")
        raise SourceError(f"reading sock_diag failed: {error.strerror} ({name})") from None
    if flags & socket.MSG_TRUNC:
        raise _TruncatedError(f"the kernel had more to say than {read_size} bytes")
    return data
