"""sock_diag on Linux: one netlink socket a dump, read by a thread of its own."""

from __future__ import annotations

import errno
import socket
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from queue import SimpleQueue
from threading import Thread
from typing import TYPE_CHECKING, NamedTuple

from netinspect.errors import NetinspectError, RefusedError, SourceError, UntestedError
from netinspect.model import Connection, Note, Protocol, State, Table
from netinspect.parse import inet_diag
from netinspect.parse.inet_records import Names
from netinspect.parse.netlink import Reply, decode_reply
from netinspect.parse.seen import Seen
from netinspect.query import TRUE, Query, kernel_test
from netinspect.sources import tally_records
from netinspect.sources.names import InterfaceNames, UserNames

if TYPE_CHECKING:
    from netinspect.parse.extended import Extender

NETLINK_SOCK_DIAG = 4
# The kernel fills at most 32 KiB at a time, unless a single message is larger (af_netlink.c).
SMALLEST_READ = 1 << 16
ANSWER_TIMEOUT_S = 10
# struct timeval
TIMEVAL = struct.Struct("@ll")

TCP4, TCP6 = Table("tcp", "ipv4"), Table("tcp", "ipv6")


class SockDiag:
    """The sockets of this process's network namespace, from the kernel's own tables."""

    name = "sock_diag"
    gives_owners = False
    gives_extended = True

    def __init__(self) -> None:
        self.notes: list[Note] = []
        self.refusals: dict[tuple[Table, ...], str] = {}  # of conditions, by what was asked for
        self._names = Names(UserNames(), InterfaceNames())
        self._brought: tuple[int, Table] | None = None  # the other family of TCP, by query
        self._extender: Extender | None = None

    def read(self, table: Table, query: Query) -> Iterator[InetBatch | UnixBatch]:
        """Batches of one table; of TCP both families with the first of them. See `Source.read`."""
        if table.protocol == "unix":
            from netinspect.parse import unix_diag

            replies = list(dump(unix_diag.encode_request()))
            yield UnixBatch(replies, self._names, is_extended=query.is_extended)
        elif table.protocol not in inet_diag.IP_PROTOCOLS:
            raise RefusedError(f"sock_diag has no {table.protocol} sockets")
        elif table.protocol != "tcp" or not {TCP4, TCP6} <= set(query.tables):
            encode = partial(inet_diag.encode_request, table)
            yield from self._read_inet((table,), query, encode)
        elif self._brought == (id(query), table):
            self._brought = None
        else:
            for batch in self._read_inet((TCP4, TCP6), query, inet_diag.encode_tcp_request):
                self._brought = (id(query), TCP6 if table == TCP4 else TCP4)  # not refused
                yield batch

    def _read_inet(
        self, tables: tuple[Table, ...], query: Query, encode: Callable[..., bytes]
    ) -> Iterator[InetBatch]:
        seen = Seen()
        extender = self._make_extender() if query.is_extended else None
        if query.condition == TRUE:
            replies = dump(encode(query, with_condition=False))
        else:
            replies = self._ask_with_condition(tables, query, encode)
        for reply in replies:
            yield InetBatch(reply, tables[0].protocol, self._names, seen, extender)

    def _make_extender(self) -> Extender:
        """One for all dumps: it remembers what it has seen of attributes and cgroups."""
        if self._extender is None:
            from netinspect.parse.extended import Extender  # most questions do not need it
            from netinspect.sources.cgroups import CgroupPaths

            self._extender = Extender(self._names.interface, CgroupPaths())
        return self._extender

    def _ask_with_condition(
        self, tables: tuple[Table, ...], query: Query, encode: Callable[..., bytes]
    ) -> Iterator[Reply]:
        """All replies; to a request without condition where the kernel does not know a test."""
        from netinspect.sources.conditions import for_kernel, why_not

        condition = kernel_test(query, tables).condition
        asked = for_kernel(query)
        request, plain = (encode(asked, with_condition=is_with) for is_with in (True, False))
        refusal = "that is too long for it" if request == plain and condition != TRUE else None
        replies = dump(request)
        try:
            first = next(replies)
        except RefusedError as error:
            if request == plain:
                raise
            refusal = str(error)
        if refusal is None:
            yield first
            yield from replies
            return
        self.refusals[tables] = refusal
        if problem := why_not(condition, refusal):
            raise UntestedError(problem)
        yield from dump(plain)


class InetBatch(NamedTuple):
    """One reply of a TCP, UDP or raw dump."""

    reply: Reply
    protocol: Protocol
    names: Names
    seen: Seen
    extender: Extender | None = None

    def records(self) -> list[Connection]:
        """The sockets of this reply that no earlier one had."""
        records = inet_diag.decode_records(self.reply, self.protocol, self.names, self.seen)
        return self.extender.extend(self.reply, records) if self.extender else records

    def tally(self) -> Counter[tuple[Table, State]]:
        """The counts of the sockets of this reply that no earlier one had."""
        return inet_diag.tally(self.reply, self.protocol, self.seen)


class UnixBatch(NamedTuple):
    """A whole dump of unix sockets: the name of a peer may stand in any other reply."""

    replies: list[Reply]
    names: Names
    is_extended: bool = False

    def records(self) -> list[Connection]:
        """All unix sockets."""
        from netinspect.parse import unix_diag

        return unix_diag.decode_records(self.replies, self.names.user, is_extended=self.is_extended)

    def tally(self) -> Counter[tuple[Table, State]]:
        """The counts of all unix sockets."""
        return tally_records(self.records())


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


def dump(request: bytes, read_size: int = SMALLEST_READ) -> Iterator[Reply]:
    """The replies to one request, read ahead by a thread.

    recv() releases the interpreter lock while the kernel fills the buffer, so the next reply is
    made while the one before is decoded. When the kernel has more to say at a time than is read at
    a time, the dump begins again with larger reads: what comes twice is known by its cookie.

    :raises RefusedError: the kernel does not offer this, or we may not ask.
    :raises SourceError: the kernel fails, or does not answer in time.
    :raises ParseError: an answer is not netlink.
    """
    try:
        yield from _dump_once(request, read_size)
    except _TruncatedError:
        yield from dump(request, 2 * read_size)


def _dump_once(request: bytes, read_size: int) -> Iterator[Reply]:
    with open_socket() as netlink:
        reader = _Reader(netlink, request, read_size)
        reader.start()
        try:
            yield from reader.take()
        finally:
            reader.is_wanted = False
            reader.join()


class _TruncatedError(SourceError):
    """A read brought less than the kernel had to say."""


class _Reader(Thread):
    """Asks, and reads until the dump ends, fails, or nobody wants more of it."""

    def __init__(self, netlink: socket.socket, request: bytes, read_size: int) -> None:
        super().__init__(name="sock_diag", daemon=True)
        self.netlink = netlink
        self.request = request
        self.read_size = read_size
        self.replies: SimpleQueue[Reply | NetinspectError] = SimpleQueue()
        self.is_wanted = True

    def run(self) -> None:
        """The thread: put each reply, the last one last, or what went wrong."""
        try:
            send(self.netlink, self.request)
            is_last = False
            while self.is_wanted and not is_last:
                reply = decode_reply(receive(self.netlink, self.read_size))
                is_last = reply.is_last
                self.replies.put(reply)
        except NetinspectError as error:
            self.replies.put(error)

    def take(self) -> Iterator[Reply]:
        """Each reply when it is there; raise what the reading raised."""
        is_last = False
        while not is_last:
            reply = self.replies.get()
            if isinstance(reply, NetinspectError):
                raise reply
            yield reply
            is_last = reply.is_last


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
