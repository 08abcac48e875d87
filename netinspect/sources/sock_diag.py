"""sock_diag on Linux: the kernel's own tables of sockets."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from socket import socket
from typing import TYPE_CHECKING, NamedTuple

from netinspect.errors import RefusedError, UntestedError
from netinspect.model import Connection, Note, Protocol, State, Table
from netinspect.parse import inet_diag
from netinspect.parse.inet_records import Names
from netinspect.parse.netlink import Reply
from netinspect.parse.seen import Seen
from netinspect.query import TRUE, Query, decided_states, kernel_test
from netinspect.sources import UNDECIDED, Batch, tally_records
from netinspect.sources.names import InterfaceNames, UserNames
from netinspect.sources.netlink import dump, open_socket, read_replies, send

if TYPE_CHECKING:
    from netinspect.parse.extended import Extender
    from netinspect.relay import Relay

# 256 KiB: 2,100 sockets without their attributes, 500 with
REPLIES_A_TURN = 8
TCP4, TCP6 = Table("tcp", "ipv4"), Table("tcp", "ipv6")


class SockDiag:
    """The sockets of this process's network namespace, from the kernel's own tables."""

    name = "sock_diag"
    gives_owners = False
    gives_extended = True

    def __init__(self, relay: Relay | None = None) -> None:
        """:param relay: two processes may share a long dump of it, each yields half of it."""
        self.notes: list[Note] = []
        self._relay = relay
        self.refusals: dict[tuple[Table, ...], str] = {}  # of conditions, by what was asked for
        self.halved: set[tuple[Table, ...]] = set()  # what two processes counted
        self._names = Names(UserNames(), InterfaceNames())
        self._brought: tuple[int, Table] | None = None  # the other family of TCP, by query
        self._extender: Extender | None = None

    def read(self, table: Table, query: Query) -> Iterator[Batch]:
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
    ) -> Iterator[Batch]:
        seen = Seen()
        extender = self._make_extender() if query.is_extended else None
        protocol = tables[0].protocol
        decided = decided_states(query, tables)

        def batch(reply: Reply) -> Batch:
            states = UNDECIDED if tables in self.refusals else decided
            return InetBatch(reply, protocol, self._names, seen, extender, states)

        if not query.needs_records and protocol == "tcp":
            from netinspect.sources.halves import count_in_halves

            if counted := count_in_halves(tables, query, encode, batch, seen):
                self.halved.add(tables)
                yield from counted
                return
        ask = self._asker(protocol, seen)
        if query.condition == TRUE:
            replies = ask(encode(query, with_condition=False))
        else:
            replies = self._ask_with_condition(tables, query, encode, ask)
        yield from map(batch, replies)

    def _asker(self, protocol: Protocol, seen: Seen) -> Callable[[bytes], Iterator[Reply]]:
        """What brings the replies to a request."""
        if protocol != "tcp":
            return dump_at_once
        return partial(dump_in_turns, self._relay, seen) if self._relay else dump

    def _make_extender(self) -> Extender:
        """One for all dumps: it remembers what it has seen of attributes and cgroups."""
        if self._extender is None:
            from netinspect.parse.extended import Extender  # most questions do not need it
            from netinspect.sources.cgroups import CgroupPaths

            self._extender = Extender(self._names.interface, CgroupPaths())
        return self._extender

    def _ask_with_condition(
        self,
        tables: tuple[Table, ...],
        query: Query,
        encode: Callable[..., bytes],
        ask: Callable[[bytes], Iterator[Reply]],
    ) -> Iterator[Reply]:
        """All replies; to a request without condition where the kernel does not know a test."""
        from netinspect.sources.conditions import for_kernel, why_not

        condition = kernel_test(query, tables).condition
        asked = for_kernel(query)
        request, plain = (encode(asked, with_condition=is_with) for is_with in (True, False))
        refusal = "that is too long for it" if request == plain and condition != TRUE else None
        replies = ask(request)
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
        yield from ask(plain)


def dump_at_once(request: bytes) -> Iterator[Reply]:
    """As `dump`, but all is read before anything of it is looked at.

    The kernel goes on in a hash slot at the socket of a number: if one before it was closed since
    the last read, it leaves one out (net/ipv4/udp_diag.c). Such tables are small.
    """
    yield from list(dump(request))


def dump_in_turns(relay: Relay, seen: Seen, request: bytes) -> Iterator[Reply]:
    """As `dump`, but of a long one only those replies that are this process's."""
    with open_socket() as netlink:
        send(netlink, request)
        yield from relay.turns(_Turns(netlink, seen))


class _Turns(NamedTuple):
    """A dump that two processes read. What one has seen may come again to the other."""

    netlink: socket
    seen: Seen

    def read(self, *, is_helper: bool = False) -> tuple[list[Reply], bool]:
        """Some replies, and whether the dump ends with them."""
        count = REPLIES_A_TURN + is_helper  # a ninth more: of -e 5 % less time
        replies = list(islice(read_replies(self.netlink), count))
        return replies, replies[-1].is_last

    def tell(self, replies: list[Reply]) -> bytes:
        """The cookies to remember."""
        fields = [inet_diag.columns(reply, inet_diag.IDENTITY) for reply in replies]
        states, cookies = (
            list(chain.from_iterable(column)) for column in zip(*fields, strict=True)
        )
        return self.seen.tell(states, cookies)

    def hear(self, told: bytes) -> None:
        """Remember them here too."""
        self.seen.hear(told)


class InetBatch(NamedTuple):
    """One reply of a TCP, UDP or raw dump."""

    reply: Reply
    protocol: Protocol
    names: Names
    seen: Seen
    extender: Extender | None = None
    decided: frozenset[State] = UNDECIDED

    def records(self) -> list[Connection]:
        """The sockets of this reply that no earlier one had."""
        records = inet_diag.decode_records(self.reply, self.protocol, self.names, self.seen)
        return self.extender.extend(self.reply, records) if self.extender else records

    def tally(self) -> Counter[tuple[Table, State]]:
        """The counts of the sockets of this reply that no earlier one had."""
        return inet_diag.tally(self.reply, self.protocol, self.seen)

    def inodes(self) -> Sequence[int]:
        """The inodes, without a record for each: there may be as many as in the whole table."""
        return inet_diag.inodes(self.reply)


class UnixBatch(NamedTuple):
    """A whole dump of unix sockets: the name of a peer may stand in any other reply."""

    replies: list[Reply]
    names: Names
    is_extended: bool = False
    decided: frozenset[State] = UNDECIDED

    def records(self) -> list[Connection]:
        """All unix sockets."""
        from netinspect.parse import unix_diag

        return unix_diag.decode_records(self.replies, self.names.user, is_extended=self.is_extended)

    def tally(self) -> Counter[tuple[Table, State]]:
        """The counts of all unix sockets."""
        return tally_records(self.records())
