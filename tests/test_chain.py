from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from netinspect.errors import RefusedError, SourceError, UsageError
from netinspect.model import Connection, Note, State, Table
from netinspect.query import Query
from netinspect.sources import SOURCE_NAMES, Batch, Source, candidates
from netinspect.sources.chain import Chain

TCP4, TCP6 = Table("tcp", "ipv4"), Table("tcp", "ipv6")
UDP4, RAW4 = Table("udp", "ipv4"), Table("raw", "ipv4")
ICMP4, UNIX = Table("icmp", "ipv4"), Table("unix", "unix")


class FakeBatch:
    """A batch by name."""

    decided: frozenset[State] = frozenset()

    def __init__(self, name: str) -> None:
        self.name = name

    def records(self) -> list[Connection]:
        return []

    def tally(self) -> Counter[tuple[Table, State]]:
        return Counter()


class FakeSource:
    """Two batches of each table that it offers, and what was asked of it."""

    gives_owners = False
    gives_extended = False

    def __init__(self, name: str, *offered: Table, refusal: str = "not here") -> None:
        self.name = name
        self.offered = offered
        self.refusal = refusal
        self.notes: list[Note] = []
        self.asked: list[Table] = []

    def read(self, table: Table, query: Query) -> Iterator[FakeBatch]:
        self.asked.append(table)
        assert table in query.tables
        if table not in self.offered:
            raise RefusedError(f"{self.name}: {self.refusal}")
        for number in (1, 2):
            yield FakeBatch(f"{self.name} {table.protocol}{table.family[-1]} {number}")


class EmptySource(FakeSource):
    """It has the tables, but there is nothing in them."""

    def read(self, table: Table, query: Query) -> Iterator[FakeBatch]:
        yield from list(super().read(table, query))[:0]


class FailingSource(FakeSource):
    """It fails before the first batch, or after it."""

    def __init__(self, name: str, error: Exception, *, after: int) -> None:
        super().__init__(name, TCP4)
        self.error = error
        self.after = after

    def read(self, table: Table, query: Query) -> Iterator[FakeBatch]:
        yield from list(super().read(table, query))[: self.after]
        raise self.error


def chain_of(*sources: FakeSource) -> Chain:
    def maker(source: FakeSource) -> Callable[[], Source]:
        return lambda: source

    return Chain([maker(source) for source in sources])


def read(chain: Chain, *tables: Table) -> list[str]:
    return [name(batch) for batch in chain.open(Query(tables=tables))]


def name(batch: Batch) -> str:
    assert isinstance(batch, FakeBatch)
    return batch.name


def used(chain: Chain) -> list[str]:
    return [source.name for source in chain.used]


def test_the_first_source_is_enough() -> None:
    first, second = FakeSource("first", TCP4, UDP4), FakeSource("second", TCP4, UDP4)
    chain = chain_of(first, second)
    assert read(chain, TCP4, UDP4) == [
        "first tcp4 1",
        "first tcp4 2",
        "first udp4 1",
        "first udp4 2",
    ]
    assert (used(chain), chain.notes()) == (["first"], [])
    assert second.asked == []


def test_a_source_is_not_made_before_it_is_needed() -> None:
    first = FakeSource("first", TCP4)

    def fail() -> Source:
        raise AssertionError("made")

    assert read(Chain([lambda: first, fail]), TCP4) == ["first tcp4 1", "first tcp4 2"]


def test_each_source_is_made_once() -> None:
    made = []

    def make() -> Source:
        made.append("second")
        return FakeSource("second", TCP4, UDP4)

    chain = Chain([lambda: FakeSource("first"), make])
    assert len(read(chain, TCP4, UDP4)) == 4
    assert made == ["second"]


def test_what_the_first_refuses_the_next_is_asked_for_and_it_is_said_once() -> None:
    first, second = FakeSource("first", UNIX), FakeSource("second", TCP4, UDP4)
    chain = chain_of(first, second)
    assert read(chain, TCP4, UNIX, UDP4) == [
        "second tcp4 1",
        "second tcp4 2",
        "first unixx 1",
        "first unixx 2",
        "second udp4 1",
        "second udp4 2",
    ]
    assert used(chain) == ["second", "first"]
    assert chain.notes() == [
        Note(
            "source_fallback",
            None,
            "first: not here; read from second instead, which tells less",
        )
    ]


def test_each_stand_in_is_said() -> None:
    chain = chain_of(FakeSource("a"), FakeSource("b", TCP4), FakeSource("c", UDP4))
    read(chain, TCP4, UDP4)
    assert [note.message for note in chain.notes()] == [
        "a: not here; read from b instead, which tells less",
        "a: not here; read from c instead, which tells less",
    ]


@pytest.mark.parametrize("table", [RAW4, ICMP4])
def test_a_fallback_that_loses_nothing_is_not_said(table: Table) -> None:
    chain = chain_of(FakeSource("first", TCP4), FakeSource("second", table))
    assert len(read(chain, TCP4, table)) == 4
    assert (used(chain), chain.notes()) == (["first", "second"], [])


def test_an_empty_table_is_no_refusal() -> None:
    first, second = EmptySource("first", TCP4), FakeSource("second", TCP4)
    chain = chain_of(first, second)
    assert read(chain, TCP4) == []
    assert (used(chain), chain.notes(), second.asked) == (["first"], [], [])


def test_what_nobody_offers_is_said_when_there_is_something_else() -> None:
    chain = chain_of(FakeSource("first", TCP4), FakeSource("second", TCP4, refusal="never"))
    assert read(chain, RAW4, TCP4) == ["first tcp4 1", "first tcp4 2"]
    assert chain.notes() == [
        Note("protocol_unsupported", None, "no raw sockets can be read here: first: not here")
    ]
    assert list(chain.refused) == [RAW4]


def test_a_protocol_that_nobody_offers_is_said_once_for_both_families() -> None:
    chain = chain_of(FakeSource("first", UDP4))
    assert len(read(chain, TCP4, TCP6, UDP4)) == 2
    assert [note.message for note in chain.notes()] == [
        "no tcp sockets can be read here: first: not here"
    ]
    assert list(chain.refused) == [TCP4, TCP6]


def test_when_nobody_offers_anything_it_is_an_error() -> None:
    chain = chain_of(FakeSource("first", refusal="no netlink"), FakeSource("second"))
    with pytest.raises(RefusedError) as caught:
        chain.open(Query(tables=(TCP4, UDP4)))
    assert str(caught.value) == "first: no netlink"


def test_no_tables_are_no_error() -> None:
    chain = chain_of(FakeSource("first"))
    assert (read(chain), used(chain), chain.notes()) == ([], [], [])


def test_the_notes_of_the_sources_that_were_used_come_last() -> None:
    first, second, third = (
        FakeSource("first", TCP4),
        FakeSource("second"),
        FakeSource("third", UDP4),
    )
    for source in (first, second, third):
        source.notes.append(Note("rows_skipped", 1, f"of {source.name}"))
    chain = chain_of(first, second, third)
    read(chain, TCP4, UDP4)
    assert [note.message for note in chain.notes()] == [
        "first: not here; read from third instead, which tells less",
        "of first",
        "of third",
    ]


def test_the_first_batch_of_every_table_is_read_before_the_second_of_any() -> None:
    read_so_far = []

    class Watched(FakeSource):
        def read(self, table: Table, query: Query) -> Iterator[FakeBatch]:
            for batch in super().read(table, query):
                read_so_far.append(batch.name)
                yield batch

    batches = chain_of(Watched("s", TCP4, UDP4)).open(Query(tables=(TCP4, UDP4)))
    assert read_so_far == ["s tcp4 1", "s udp4 1"]
    assert [name(batch) for batch in batches] == ["s tcp4 1", "s tcp4 2", "s udp4 1", "s udp4 2"]


@pytest.mark.parametrize("error", [SourceError("the kernel failed"), RefusedError("too late")])
def test_an_error_after_the_first_batch_is_the_callers(error: Exception) -> None:
    other = FakeSource("other", TCP4)
    batches = chain_of(FailingSource("failing", error, after=1), other).open(Query(tables=(TCP4,)))
    assert name(next(batches)) == "failing tcp4 1"
    with pytest.raises(type(error)) as caught:
        next(batches)
    assert caught.value is error
    assert other.asked == []


def test_a_failure_is_no_refusal_before_the_first_batch_either() -> None:
    other = FakeSource("other", TCP4)
    chain = chain_of(FailingSource("failing", SourceError("broken"), after=0), other)
    with pytest.raises(SourceError) as caught:
        chain.open(Query(tables=(TCP4,)))
    assert str(caught.value) == "broken"
    assert other.asked == []


def test_a_source_by_its_name() -> None:
    for source_name in ("sock_diag", "proc", "psutil"):
        (make,) = candidates(source_name)
        assert make().name == source_name


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("sockdiag", "unknown source 'sockdiag'; did you mean sock_diag?"),
        ("procfs", "unknown source 'procfs'; did you mean proc?"),
        ("xyzzy", f"unknown source 'xyzzy'; expected one of {', '.join(SOURCE_NAMES)}"),
        ("", f"unknown source ''; expected one of {', '.join(SOURCE_NAMES)}"),
    ],
)
def test_no_source(word: str, expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        candidates(word)
    assert str(caught.value) == expected
