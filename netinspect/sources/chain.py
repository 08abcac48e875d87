"""Several sources as one: each table from the first of them that offers it."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from msgspec.structs import replace

from netinspect.errors import RefusedError, UntestedError
from netinspect.model import Connection, Note, Protocol, State, Table
from netinspect.query import SOCK_DIAG_ONLY, TRUE, Network, Query, at_tables, leaves
from netinspect.sources import Batch, Source

# sock_diag has no handler for these on most kernels, and /proc/net tells all that it would.
SILENT_FALLBACK: frozenset[Protocol] = frozenset({"raw", "icmp"})


# They have IPv6 addresses without their zones.
ZONELESS = ("proc", "psutil")


def refusal_of_condition(name: str, table: Table, query: Query) -> UntestedError | None:
    """Why a source cannot answer that asks no kernel, and does not tell the device either."""
    tests = [
        leaf
        for leaf in leaves(at_tables(query.condition, (table,)))
        if isinstance(leaf, SOCK_DIAG_ONLY)
        or (name in ZONELESS and isinstance(leaf, Network) and leaf.zone is not None)
    ]
    if not tests:
        return None
    from netinspect.parse.condition_text import leaf_text  # only an error needs it

    texts = ", ".join(dict.fromkeys(map(leaf_text, tests)))
    return UntestedError(f"{texts}: only sock_diag can test this, not {name}")


class NullBatch(NamedTuple):
    """A batch of a source that tells nothing of what --extended asks for."""

    batch: Batch

    @property
    def decided(self) -> frozenset[State]:
        """As that batch."""
        return self.batch.decided

    def records(self) -> list[Connection]:
        """The sockets, with the keys that were asked for."""
        nothing = {"tcp_info": None, "memory": None, "options": None}
        return [replace(record, **nothing) for record in self.batch.records()]

    def tally(self) -> Counter[tuple[Table, State]]:
        """The counts."""
        return self.batch.tally()


class Chain:
    """Sources in the order of preference, and what became of asking them."""

    def __init__(self, candidates: list[Callable[[], Source]]) -> None:
        self._candidates = candidates
        self._made: list[Source] = []
        self.used: list[Source] = []
        self.source_of: dict[Table, Source] = {}
        self.refused: dict[Table, RefusedError] = {}
        self._fallbacks: dict[str, RefusedError] = {}
        self._not_extended: dict[str, None] = {}

    def open(self, query: Query) -> Iterator[Batch]:
        """Begin to read all tables of the query; the first batch of each at once.

        :raises RefusedError: no source offers any of these tables.
        :raises SourceError: the system failed.
        """
        tables = [self._open_table(table, query) for table in query.tables]
        if self.refused and not self.used:
            raise next(iter(self.refused.values()))
        return itertools.chain.from_iterable(tables)

    def _open_table(self, table: Table, query: Query) -> Iterator[Batch]:
        """The batches of one table, of which the first has been read."""
        refusals: list[RefusedError] = []
        for source in self._sources():
            batches = source.read(table, query)
            if query.condition != TRUE and source.name != "sock_diag":
                untested = refusal_of_condition(source.name, table, query)
                if untested:
                    refusals.append(untested)
                    continue
            try:
                first = list(itertools.islice(batches, 1))
            except RefusedError as refusal:
                refusals.append(refusal)
                continue
            self.source_of[table] = source
            if source not in self.used:
                self.used.append(source)
            if refusals and table.protocol not in SILENT_FALLBACK:
                self._fallbacks.setdefault(source.name, refusals[0])
            opened = itertools.chain(first, batches)
            return self._without_extended(source, opened) if query.is_extended else opened
        about_conditions = (r for r in refusals if isinstance(r, UntestedError))
        self.refused[table] = next(about_conditions, refusals[0])
        return iter(())

    def _without_extended(self, source: Source, batches: Iterator[Batch]) -> Iterator[Batch]:
        """Batches of a source that was asked for more than it may know."""
        if source.gives_extended:
            return batches
        self._not_extended[source.name] = None
        return map(NullBatch, batches)

    def _sources(self) -> Iterator[Source]:
        """Each source, made when the ones before it were not enough: most are never loaded."""
        yield from self._made
        for make in self._candidates[len(self._made) :]:
            self._made.append(make())
            yield self._made[-1]

    def readable(self, tables: Iterable[Table]) -> list[Table]:
        """Those of the tables that can be read."""
        return [table for table in tables if table not in self.refused]

    def notes(self) -> list[Note]:
        """What makes the answer partial; to be asked when all batches have been used."""
        fallbacks = [
            Note("source_fallback", None, f"{refusal}; read from {name} instead, which tells less")
            for name, refusal in self._fallbacks.items()
        ]
        refusals = {table.protocol: refusal for table, refusal in self.refused.items()}
        missing = [
            Note("protocol_unsupported", None, f"no {protocol} sockets can be read here: {refusal}")
            for protocol, refusal in refusals.items()
        ]
        null = [
            Note("extended_unsupported", None, f"{name} tells no tcp_info, memory and options")
            for name in self._not_extended
        ]
        return [
            *fallbacks,
            *missing,
            *null,
            *(note for source in self.used for note in source.notes),
        ]
