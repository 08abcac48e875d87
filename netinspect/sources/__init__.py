"""All reading of sockets: a source is asked for one table and answers with batches.

A batch keeps the kernel's own bytes until its records are asked for, so that a listing can read a
whole table before it looks for owners, at 124 bytes a socket instead of 450.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple, Protocol, runtime_checkable

from netinspect.errors import UsageError, unknown_word
from netinspect.model import Connection, Note, State, Table
from netinspect.sources.platforms import platform, preferred_sources

if TYPE_CHECKING:
    from netinspect.query import Query
    from netinspect.relay import Relay

KIND = attrgetter("protocol", "family", "state")
# They show sockets that are bound and nothing more.
SHOWING_BOUND = frozenset({"sock_diag", "macos", "freebsd", "openbsd", "netbsd"})
UNDECIDED: frozenset[State] = frozenset()


class Batch(Protocol):
    """Some sockets of one table, in the system's order."""

    @property
    def decided(self) -> frozenset[State]:
        """The states of which every socket meets the condition of the query, and needs no test."""

    def records(self) -> list[Connection]:
        """The sockets. To be called once: what a dump brings twice is dropped by memory."""

    def tally(self) -> Counter[tuple[Table, State]]:
        """How many there are of each table and state. To be called instead of `records`."""


@runtime_checkable
class InodeColumn(Protocol):
    """A batch that tells the inodes of its sockets without making records of them."""

    def inodes(self) -> Iterable[int]:
        """The inodes, 0 for none; also what a dump brings twice."""


def inodes_of(batch: Batch) -> Iterable[int | None]:
    """The inode of each socket of a batch. To be called instead of `records`."""
    if isinstance(batch, InodeColumn):
        return batch.inodes()
    return [connection.inode for connection in batch.records()]


def tally_records(connections: Iterable[Connection]) -> Counter[tuple[Table, State]]:
    """How many there are of each table and state."""
    counts = Counter(map(KIND, connections))
    return Counter({(Table(p, family), state): n for (p, family, state), n in counts.items()})


class RecordBatch(NamedTuple):
    """Sockets that are records already. See `Batch`."""

    connections: list[Connection]
    decided: frozenset[State] = UNDECIDED

    def records(self) -> list[Connection]:
        """The sockets."""
        return self.connections

    def tally(self) -> Counter[tuple[Table, State]]:
        """The counts."""
        return tally_records(self.connections)


class CountedBatch(NamedTuple):
    """Sockets that need no test, and of which there are only counts. See `Batch`."""

    counts: Counter[tuple[Table, State]]
    decided: frozenset[State] = UNDECIDED

    def records(self) -> list[Connection]:
        """:raises NotImplementedError: a query without `needs_records` brings none."""
        raise NotImplementedError

    def tally(self) -> Counter[tuple[Table, State]]:
        """The counts."""
        return self.counts


class Source(Protocol):
    """One way to read sockets."""

    @property
    def name(self) -> str:
        """As `--source` and `sources` have it."""

    @property
    def gives_owners(self) -> bool:
        """Whether its records come with their owners; if not, they have inodes to look for."""

    @property
    def gives_extended(self) -> bool:
        """Whether its records have tcp_info, memory and options where the query asks for them."""

    @property
    def notes(self) -> list[Note]:
        """What makes the answers partial; complete when the last batch has been used."""

    def read(self, table: Table, query: Query) -> Iterator[Batch]:
        """The sockets of one table that the query describes, and perhaps more.

        :raises RefusedError: before the first batch: this is not offered here.
        :raises SourceError: the system failed.
        """


def _sock_diag(relay: Relay | None = None) -> Source:
    from netinspect.sources.sock_diag import SockDiag

    return SockDiag(relay)


def _proc() -> Source:
    from netinspect.sources.proc_net import ProcNet

    return ProcNet()


def _psutil() -> Source:
    from netinspect.sources.fallback import Psutil

    return Psutil()


def _macos() -> Source:
    from netinspect.sources.macos import MacOS

    return MacOS()


def _bsd(name: str) -> Source:
    from netinspect.sources.bsd import Bsd

    return Bsd(name)


SOURCES: dict[str, Callable[[], Source]] = {
    "sock_diag": _sock_diag,
    "proc": _proc,
    "macos": _macos,
    "freebsd": partial(_bsd, "freebsd"),
    "openbsd": partial(_bsd, "openbsd"),
    "netbsd": partial(_bsd, "netbsd"),
    "psutil": _psutil,
}
SOURCE_NAMES = ("auto", *SOURCES)


def candidates(name: str, relay: Relay | None = None) -> list[Callable[[], Source]]:
    """What makes the sources to ask, each for what those before it do not offer.

    :param name: one of SOURCE_NAMES; `auto` is for what this platform has.
    :param relay: what a source may share a long answer with another process by.
    :raises UsageError: it is none of them.
    """
    if name not in SOURCE_NAMES:
        raise UsageError(unknown_word("source", name, SOURCE_NAMES))
    names = preferred_sources(platform()) if name == "auto" else (name,)
    return [partial(_sock_diag, relay) if n == "sock_diag" else SOURCES[n] for n in names]
