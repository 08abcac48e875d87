"""sock_diag on Linux: one netlink socket a dump, read by a thread of its own."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from queue import SimpleQueue
from threading import Thread
from typing import NamedTuple, TypeVar

from netinspect.errors import NetinspectError, RefusedError, SourceError
from netinspect.model import Connection, Note, Query, State, Table
from netinspect.parse import inet_diag, unix_diag
from netinspect.parse.inet_diag import Names
from netinspect.parse.netlink import Reply, decode_reply
from netinspect.sources.names import InterfaceNames, UserNames

NETLINK_SOCK_DIAG = 4
# The kernel fills at most 32 KiB at a time, unless a single message is larger (af_netlink.c).
SMALLEST_READ = 1 << 16
ANSWER_TIMEOUT_S = 10
# struct timeval
TIMEVAL = struct.Struct("@ll")

T = TypeVar("T")


class SockDiag:
    """The sockets of this process's network namespace, from the kernel's own tables."""

    name = "sock_diag"
    gives_owners = False

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self._names = Names(UserNames(), InterfaceNames())

    def read(self, table: Table, query: Query) -> Iterator[InetBatch | UnixBatch]:
        """Batches of one table. See `Source.read`."""
        if table.protocol == "unix":
            yield UnixBatch(list(dump(unix_diag.encode_request())), table, self._names)
        elif table.protocol in inet_diag.IP_PROTOCOLS:
            yield from self._read_inet(table, query)
        else:
            raise RefusedError(f"sock_diag has no {table.protocol} sockets")

    def _read_inet(self, table: Table, query: Query) -> Iterator[InetBatch]:
        seen: set[int] = set()
        for reply in _dump_inet(table, query):
            yield InetBatch(reply, table, self._names, seen)


def _dump_inet(table: Table, query: Query) -> Iterator[Reply]:
    """All replies; without the kernel's help where it does not know what we want tested."""
    plain = inet_diag.encode_request(table, query, with_clauses=False)
    helped = inet_diag.encode_request(table, query, with_clauses=True)
    replies = dump(helped)
    try:
        first = next(replies)
    except RefusedError:
        if helped == plain:
            raise
        yield from dump(plain)
    else:
        yield first
        yield from replies


class InetBatch(NamedTuple):
    """One reply of a TCP, UDP or raw dump."""

    reply: Reply
    table: Table
    names: Names
    seen: set[int]

    def records(self) -> list[Connection]:
        """The sockets of this reply that no earlier one had."""
        records = inet_diag.decode_records(self.reply, self.table, self.names)
        return _unseen(records, [record.cookie or 0 for record in records], self.seen)

    def states(self) -> Iterator[State]:
        """The states of the sockets of this reply that no earlier one had."""
        states, cookies = inet_diag.decode_states(self.reply, self.table)
        return iter(_unseen(states, cookies, self.seen))


def _unseen(items: list[T], cookies: list[int], seen: set[int]) -> list[T]:
    """The items whose cookie is new.

    A table that changes during its dump can show a socket twice: when it moves to another hash
    chain (bound, then connected), or when others are put before the place where the dump goes on.
    """
    new = set(cookies)
    if len(new) == len(items) and seen.isdisjoint(new):
        seen |= new
        return items
    unseen = []
    for item, cookie in zip(items, cookies, strict=True):
        if cookie not in seen:
            seen.add(cookie)
            unseen.append(item)
    return unseen


class UnixBatch(NamedTuple):
    """A whole dump of unix sockets: the name of a peer may stand in any other reply."""

    replies: list[Reply]
    table: Table
    names: Names

    def records(self) -> list[Connection]:
        """All unix sockets."""
        records = unix_diag.decode_records(self.replies, self.names.user)
        return _unseen(records, [record.cookie or 0 for record in records], set())

    def states(self) -> Iterator[State]:
        """The states of all unix sockets."""
        return (record.state for record in self.records())


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


def dump(request: bytes) -> Iterator[Reply]:
    """The replies to one request, read ahead by a thread.

    recv() releases the interpreter lock while the kernel fills the buffer, so the next reply is
    made while the one before is decoded.

    :raises RefusedError: the kernel does not offer this, or we may not ask.
    :raises SourceError: the kernel fails, or does not answer in time.
    :raises ParseError: an answer is not netlink.
    """
    with open_socket() as netlink:
        try:
            netlink.send(request)
        except OSError as error:
            raise RefusedError(f"netlink is refused: {error.strerror}") from None
        reader = _Reader(netlink)
        reader.start()
        try:
            yield from reader.take()
        finally:
            reader.is_wanted = False
            reader.join()


class _Reader(Thread):
    """Reads until the dump ends, fails, or nobody wants more of it."""

    def __init__(self, netlink: socket.socket) -> None:
        super().__init__(name="sock_diag", daemon=True)
        self.netlink = netlink
        self.replies: SimpleQueue[Reply | NetinspectError] = SimpleQueue()
        self.is_wanted = True

    def run(self) -> None:
        is_last = False
        while self.is_wanted and not is_last:
            try:
                reply = decode_reply(receive(self.netlink))
            except NetinspectError as error:
                self.replies.put(error)
                return
            is_last = reply.is_last
            self.replies.put(reply)

    def take(self) -> Iterator[Reply]:
        """Each reply when it is there, the last one last; raise what the reading raised."""
        is_last = False
        while not is_last:
            reply = self.replies.get()
            if isinstance(reply, NetinspectError):
                raise reply
            yield reply
            is_last = reply.is_last


def receive(netlink: socket.socket) -> bytes:
    """One read of whole messages, however long they are.

    :raises SourceError: nothing came in time, or the read failed.
    """
    try:
        length = netlink.recv_into(bytearray(1), 1, socket.MSG_PEEK | socket.MSG_TRUNC)
        return netlink.recv(max(length, SMALLEST_READ))
    except BlockingIOError:
        raise SourceError(
            f"the kernel did not answer a sock_diag request within {ANSWER_TIMEOUT_S} s"
        ) from None
    except OSError as error:
        name = errno.errorcode.get(error.errno or 0, "?")
        raise SourceError(f"reading sock_diag failed: {error.strerror} ({name})") from None
