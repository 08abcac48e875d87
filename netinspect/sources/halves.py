"""Counting many TCP sockets: two processes, about half of the sockets each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, islice
from typing import NamedTuple

from msgspec import msgpack
from msgspec.structs import replace

from netinspect.errors import ParseError
from netinspect.model import Connection, State, Table
from netinspect.parse.inet_diag import Kind, count_kinds, encode_tcp_request, named_tally
from netinspect.parse.proc_counters import parse_sockstat
from netinspect.parse.seen import Seen
from netinspect.query import (
    ALL_STATES,
    SOCK_DIAG_ONLY,
    PortRange,
    Query,
    all_of,
    kernel_test,
    leaves,
)
from netinspect.sources.netlink import dump

# A fork costs 3 ms, and the kernel 1 us a socket.
MANY = 20_000
SAMPLE_REPLIES = 8  # 2,100 sockets
SOCKSTAT = ("/proc/net/sockstat", "/proc/net/sockstat6")
# Those in these states stand in tables of their own, and take a third of the time: the kernel looks
# through all sockets that have a port.
OTHER_TABLES: frozenset[State] = frozenset({"LISTEN", "BOUND"})
Counts = Counter[tuple[Table, State]]
Kinds = list[tuple[Kind, int]]


class CountedBatch(NamedTuple):
    """Sockets of which there are only counts. See `Batch`."""

    counts: Counts

    def records(self) -> list[Connection]:
        """:raises NotImplementedError: a query without `needs_records` brings none."""
        raise NotImplementedError

    def tally(self) -> Counts:
        """The counts."""
        return self.counts


def count_in_halves(query: Query, encode: Callable[..., bytes]) -> Iterator[CountedBatch] | None:
    """The TCP sockets of a query; None: it would not pay, or cannot be.

    The kernel makes two dumps at once, and each process counts its own: 0.8 of the time. The local
    port of a socket stays the same, so that one that changes meanwhile is in one half all along;
    but for one that is connected after it was bound, which may be missed while it changes.

    :param encode: the request to the kernel. See `encode_tcp_request`.
    """
    if any(isinstance(leaf, SOCK_DIAG_ONLY) for leaf in leaves(query.condition)):
        return None  # not every kernel tests these
    states = kernel_test(query, query.tables).states or ALL_STATES
    if states <= OTHER_TABLES:
        return None
    tests = _halves()
    if tests is None:
        return None
    low, high = (
        replace(query, states=states - OTHER_TABLES, condition=all_of((query.condition, test)))
        for test in tests
    )
    if encode(low, with_condition=True) == encode(low, with_condition=False):
        return None  # too long for the kernel
    others = replace(query, states=states & OTHER_TABLES)
    theirs, *ours = (encode(part, with_condition=True) for part in (low, others, high))
    return _count_both(ours, theirs)


def _halves() -> tuple[PortRange, PortRange] | None:
    """Two tests that part all TCP sockets in about two halves."""
    if _number_of_sockets() < MANY:
        return None
    from netinspect.parse.inet_halves import halves  # most systems have few
    from netinspect.worker import may_fork

    if not may_fork():
        return None
    query = Query(tables=(), states=ALL_STATES - OTHER_TABLES)
    return halves(islice(dump(encode_tcp_request(query, with_condition=False)), SAMPLE_REPLIES))


def _number_of_sockets() -> int:
    """How many there are, more or less; 0 where the kernel does not say."""
    try:
        counts = parse_sockstat("".join(map(_text, SOCKSTAT)))
    except (OSError, ParseError):
        return 0
    return sum(counts.get(name, 0) for name in ("TCP.inuse", "TCP.tw", "TCP6.inuse"))


def _text(path: str) -> str:
    with open(path, encoding="ascii", errors="replace") as file:
        return file.read()


def _count_both(ours: list[bytes], theirs: bytes) -> Iterator[CountedBatch]:
    from netinspect.worker import Worker

    with Worker(lambda: msgpack.encode(list(_count([theirs]).items()))) as worker:
        yield CountedBatch(named_tally(_count(ours), "tcp"))
        answer = worker.answer()
    counts = _count([theirs]) if answer is None else dict(msgpack.decode(answer, type=Kinds))
    yield CountedBatch(named_tally(counts, "tcp"))


def _count(requests: Iterable[bytes]) -> Mapping[Kind, int]:
    """The sockets of several dumps."""
    counts: Counter[Kind] = Counter()
    seen = Seen()
    for reply in chain.from_iterable(map(dump, requests)):
        counts.update(count_kinds(reply, seen))
    return counts
