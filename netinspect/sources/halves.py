"""Counting many TCP sockets: two processes, about half of the sockets each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress

from msgspec import msgpack
from msgspec.structs import replace

from netinspect.errors import ParseError
from netinspect.model import State, Table
from netinspect.parse.inet_diag import Kind, count_kinds, named_tally
from netinspect.parse.netlink import Reply
from netinspect.parse.proc_counters import parse_sockstat
from netinspect.parse.seen import Seen
from netinspect.query import (
    ALL_STATES,
    HIGHEST_PORT,
    PEERLESS,
    SOCK_DIAG_ONLY,
    TRUE,
    AllOf,
    AnyOf,
    Condition,
    Network,
    PortRange,
    Query,
    Side,
    all_of,
    any_of,
    decided_states,
    kernel_test,
    leaves,
)
from netinspect.sources import Batch, CountedBatch
from netinspect.sources.conditions import local_ports
from netinspect.sources.netlink import dump
from netinspect.worker import Worker, may_fork

# A fork costs 3 ms, and the kernel 1 us a socket.
MANY = 20_000
OUR_SHARE = 0.37  # besides OTHER_TABLES
SOCKSTAT = ("/proc/net/sockstat", "/proc/net/sockstat6")  # the latter only where IPv6 is
# Those in these states stand in tables of their own, and take a third of the time: the kernel looks
# through all sockets that have a port.
OTHER_TABLES: frozenset[State] = frozenset({"LISTEN", "BOUND"})
Kinds = list[tuple[Kind, int]]


def count_in_halves(
    tables: tuple[Table, ...],
    query: Query,
    encode: Callable[..., bytes],
    batch: Callable[[Reply], Batch],
    seen: Seen,
) -> Iterator[Batch] | None:
    """The TCP sockets of a query; None: it would not pay, or cannot be.

    The kernel makes two dumps at once, and each process counts its own: 0.7 of the time. The ports
    of a socket stay the same, so that one that changes meanwhile is in one half all along; but for
    one that is connected after it was bound, which may be missed while it changes, or counted as
    both where the other process finds it.

    :param encode: the request to the kernel. See `encode_tcp_request`.
    :param batch: makes a batch of a reply, of those sockets that may need a test.
    :param seen: what these batches have brought.
    """
    asked = kernel_test(query, tables).states
    states = ALL_STATES if asked is None else asked
    apart = OTHER_TABLES if query.condition == TRUE else PEERLESS
    is_worth_it = not _is_narrow(query.condition) and _number_of_sockets() >= MANY
    if states <= apart or not is_worth_it or not may_fork():
        return None
    others = replace(query, states=states & apart)
    halves = [
        replace(query, states=states - apart, condition=all_of((query.condition, test)))
        for test in _halves(*local_ports())
    ]
    if not all(decided_states(half, tables) and _is_taken(half, encode) for half in halves):
        return None
    requests = [encode(part, with_condition=True) for part in (others, *halves)]
    return _count_all(requests, batch, seen, states - apart)


def _is_narrow(condition: Condition) -> bool:
    """Whether it leaves few sockets: then most of the work is the walk, which each half makes."""
    if isinstance(condition, AllOf):
        return any(map(_is_narrow, condition.parts))
    if isinstance(condition, AnyOf):
        return all(map(_is_narrow, condition.parts))
    if isinstance(condition, PortRange):
        return condition.high - condition.low < HIGHEST_PORT // 2
    return isinstance(condition, Network) and condition.prefix_length > 0


def _is_taken(half: Query, encode: Callable[..., bytes]) -> bool:
    """Whether the kernel surely makes the tests: not each knows all of them, or takes many."""
    is_refusable = any(isinstance(leaf, SOCK_DIAG_ONLY) for leaf in leaves(half.condition))
    is_too_long = encode(half, with_condition=True) == encode(half, with_condition=False)
    return not is_refusable and not is_too_long


def _halves(low: int, high: int) -> tuple[Condition, Condition]:
    """Two tests of which each socket meets one, by the port that some kernel chose for it.

    That is on one side or the other in a range that is the same nearly everywhere, and anywhere in
    it. The whole range is our own.
    """
    middle = low + int(OUR_SHARE * (high - low))
    sides: tuple[Side, ...] = ("local", "remote")
    ours = any_of(PortRange(side, low, middle) for side in sides)
    others = [(0, low - 1), (middle + 1, HIGHEST_PORT)]
    theirs = all_of(
        any_of(PortRange(side, first, last) for first, last in others if first <= last)
        for side in sides
    )
    return ours, theirs


def _number_of_sockets() -> int:
    """How many there are, more or less; 0 where the kernel does not say."""
    counts: dict[str, int] = {}
    for path in SOCKSTAT:
        with suppress(OSError, ParseError), open(path, encoding="ascii", errors="replace") as file:
            counts |= parse_sockstat(file.read())
    return sum(counts.get(name, 0) for name in ("TCP.inuse", "TCP.tw", "TCP6.inuse"))


def _count_all(
    requests: list[bytes],
    batch: Callable[[Reply], Batch],
    seen: Seen,
    states: frozenset[State],
) -> Iterator[Batch]:
    others, ours, theirs = requests
    with Worker(lambda: msgpack.encode(list(_count(theirs, Seen()).items()))) as worker:
        yield from map(batch, dump(others))
        yield _counted(_count(ours, seen), states)
        answer = worker.answer()
    counts = _count(theirs, Seen()) if answer is None else dict(msgpack.decode(answer, type=Kinds))
    yield _counted(counts, states)


def _counted(counts: Mapping[Kind, int], states: frozenset[State]) -> CountedBatch:
    """Of these states alone: to the kernel, SYN_RECV is also a number that has no name here."""
    named = named_tally(counts, "tcp")
    return CountedBatch(Counter({kind: n for kind, n in named.items() if kind[1] in states}))


def _count(request: bytes, seen: Seen) -> Mapping[Kind, int]:
    counts: Counter[Kind] = Counter()
    for reply in dump(request):
        counts.update(count_kinds(reply, seen))
    return counts
