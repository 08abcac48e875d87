"""Reading sockets from Python: ask a source, test what it answers, attach owners."""

from __future__ import annotations

import itertools
import os
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime, timezone
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from msgspec import UNSET
from msgspec.structs import asdict, replace

from netinspect.errors import NotThereError, SourceError, UsageError
from netinspect.filters.selection import Selection, Test, parse_pids, select
from netinspect.filters.words import parse_tables
from netinspect.model import (
    EVERY_TABLE,
    STATES,
    Connection,
    Count,
    Envelope,
    Family,
    Note,
    Owner,
    Snapshot,
    State,
    Summary,
    Table,
    decode_name,
)
from netinspect.query import Query, at_tables, possible_states, states_of
from netinspect.sources import (
    Batch,
    CountedBatch,
    Source,
    candidates,
    inodes_of,
    tally_records,
)
from netinspect.sources.chain import Chain
from netinspect.sources.platforms import platform, system_path

if TYPE_CHECKING:
    from netinspect.filters.direction import Directions
    from netinspect.grouping.keys import Grouping
    from netinspect.grouping.record import Group, Groups, LeftOut
    from netinspect.grouping.tally import Tally
    from netinspect.owners import Owners
    from netinspect.processes import ProcessDetails, Processes
    from netinspect.relay import Relay
    from netinspect.sources.capture import Captures

# Where there may be nothing to look for: a batch holds up to some hundred sockets.
FEW_BATCHES = 8
STATE = attrgetter("state")


class Read(NamedTuple):
    """What one query brings, and what its sockets are tested for."""

    batches: Iterator[Batch]
    test: Test | None
    owner_test: Test | None
    is_all_asked: bool  # the query says all that `test` is about

    @property
    def has_test(self) -> bool:
        """Whether not all sockets pass."""
        return self.test is not None or self.owner_test is not None


class Listing:
    """Sockets while they are read: iterate over it once, for lists of records.

    The `envelope` is known from the start, the `notes` are complete at the end.

    :param captures: read these in place of this system's sockets.
    :param with_holders: whether somebody looks at users, descriptors and every process, not at one
        process alone, which some systems tell much faster; None: as with owners.
    :param is_counted: nobody will iterate over it, but ask for `count` or `batches`.
    :param relay: two processes may take turns at it, if it has no owners: then each iterates over
        its part, and `relay` puts what becomes of the parts in order.
    :raises SourceError: the system's sockets cannot be read.
    """

    def __init__(  # noqa: PLR0913 one argument a thing to ask for
        self,
        selection: Selection,
        *,
        source: str = "auto",
        captures: Captures | None = None,
        with_owners: bool = True,
        with_holders: bool | None = None,
        with_direction: bool = False,
        is_extended: bool = False,
        is_counted: bool = False,
        relay: Relay | None = None,
    ) -> None:
        self.selection = selection
        self.source = source
        host, system, taken_at = _origin(captures)
        has_direction = with_direction or selection.needs_direction
        self.captures = captures
        self._directions = _read_directions(selection, source, captures) if has_direction else None
        self._is_extended = is_extended
        parts = selection.expanded()
        tests_owners = any(part.owner_test() for part in parts)
        self._with_owners = with_owners or tests_owners
        is_shared = len(parts) == 1 and not self._with_owners
        self._chain: Chain | Captures = captures or Chain(
            candidates(source, relay if is_shared else None)
        )
        self._with_holders = tests_owners or (with_owners if with_holders is None else with_holders)
        is_counted = is_counted and len(parts) == 1  # what two bring may be the same socket
        self._reads = [self._read(part, is_counted=is_counted) for part in parts]
        self.envelope = Envelope(
            host=host,
            platform=system,
            sources=tuple(source.name for source in self._chain.used),
            taken_at=taken_at,
        )
        self._owners: Owners | None = None
        self._processes: Processes | None = None
        self._untold: dict[str, Callable[[Connection], bool]] = {}
        if captures and tests_owners:
            self._untold["processes"] = _has_owner
        if captures and selection.needs_user:
            self._untold["users"] = _has_user

    @property
    def tables(self) -> list[Table]:
        """The tables that were asked for and can be read."""
        return self._chain.readable(self.selection.tables)

    @property
    def notes(self) -> tuple[Note, ...]:
        """What makes the answer partial, as far as it has been read."""
        lookers = (self._owners, self._processes)
        notes = [looker.note() for looker in lookers if looker is not None]
        notes += [
            Note("filter_untold", None, f"the capture tells no {what}, and you ask for some")
            for what in self._untold
        ]
        told = self._chain.notes()
        if self.captures and any(read.owner_test for read in self._reads):
            told = [note for note in told if note.code != "time_wait_hidden"]  # nobody's
        return (*told, *(note for note in notes if note is not None))

    @property
    def looks_for_owners(self) -> bool:
        """Whether the processes are searched for the sockets: no source told who holds them."""
        return self._with_owners and not all(s.gives_owners for s in self._chain.used)

    def source_of(self, table: Table) -> Source | None:
        """The source that a table is read from; None when it cannot be read."""
        return self._chain.source_of.get(table) if isinstance(self._chain, Chain) else None

    def __iter__(self) -> Iterator[list[Connection]]:
        records = self._owned() if self.looks_for_owners else self._tested()
        if self.selection.query().is_extended and not self._is_extended:
            records = map(_without_extended, records)
        return records if len(self._reads) == 1 else _distinct(records)

    @property
    def has_test(self) -> bool:
        """Whether the sockets have to be tested, each as a record."""
        return len(self._reads) > 1 or any(read.has_test for read in self._reads)

    def batches(self) -> Iterator[Batch]:
        """What the sources brought, neither tested nor decoded. Instead of an iteration."""
        return itertools.chain.from_iterable(read.batches for read in self._reads)

    def _read(self, part: Selection, *, is_counted: bool) -> Read:
        test, owner_test, is_all_asked = part.socket_test(), part.owner_test(), part.is_all_asked
        needs_records = not is_counted or bool(owner_test or (test and not is_all_asked))
        batches = self._open(part, needs_records=needs_records)
        return Read(batches, test, owner_test, is_all_asked)

    def _open(self, part: Selection, *, needs_records: bool) -> Iterator[Batch]:
        query = part.query()
        asked = replace(
            query,
            is_extended=self._is_extended or query.is_extended,
            needs_owners=self._with_owners or self._with_holders or part.needs_user,
            needs_holders=self._with_holders or part.needs_user,
            needs_records=needs_records,
        )
        try:
            return self._chain.open(asked)
        except NotThereError as error:
            from netinspect.filters.expression import cgroup_fault  # loaded with every expression

            raise cgroup_fault(error.word, part.text, str(error)) from None

    def _tested(self) -> Iterator[list[Connection]]:
        for read in self._reads:
            yield from _matching(self._selected(read, read.batches), read.owner_test)

    def _selected(self, read: Read, batches: Iterable[Batch]) -> Iterator[list[Connection]]:
        """The records of these batches that pass the test of what a socket itself tells."""
        for batch in batches:
            records = self._records(batch)
            yield records if read.test is None else _tested(records, read, batch.decided)

    def _records(self, batch: Batch) -> list[Connection]:
        records = batch.records()
        if self._untold:
            missing = {k: test for k, test in self._untold.items() if not any(map(test, records))}
            self._untold = missing
        return records if self._directions is None else self._directions.attach(records)

    def _owned(self) -> Iterator[list[Connection]]:
        """Read everything, and only then look for owners: what is there all along is found."""
        from netinspect.owners import find_owners  # a count needs none

        reads = [(list(read.batches), read) for read in self._reads]
        wanted: set[int] | None = None
        is_few = sum(len(batches) for batches, _ in reads) <= FEW_BATCHES
        if is_few or any(read.test for _, read in reads):
            kept = [
                (list(self._selected(read, batches)), read.owner_test) for batches, read in reads
            ]
            wanted = {c.inode for lists, _ in kept for records in lists for c in records if c.inode}
            selected = [(iter(lists), owner_test) for lists, owner_test in kept]
        else:
            # Left undecoded until the scan is done: the bytes take a quarter of the memory.
            selected = [(map(self._records, batches), read.owner_test) for batches, read in reads]
        if wanted is None or wanted:
            self._owners = find_owners(wanted, reread=self.inodes_now)
        for records, owner_test in selected:
            owned = map(self._owners.attach, records) if self._owners else records
            yield from _matching(owned, owner_test)

    def inodes_now(self) -> set[int | None]:
        """Of all sockets that the tables hold now: one may be in another state by then.

        See `find_owners`.
        """
        query = Query(tables=tuple(self.tables), needs_owners=False, needs_holders=False)
        batches = Chain(candidates(self.source)).open(query)
        return {inode for batch in batches for inode in inodes_of(batch)}

    def describe(self, connections: list[Connection]) -> list[Connection]:
        """The same sockets, with all that can be told of the processes that hold them."""
        if self.captures:  # a process of this number is another one here
            return connections
        if self._processes is None:
            from netinspect.processes import Processes  # most listings do not ask

            self._processes = Processes(system_path("/proc"))
        return self._processes.describe(connections)

    def count(self) -> Counter[tuple[Table, State]]:
        """How many sockets of each table and state there are. Instead of an iteration."""
        if len(self._reads) != 1 or any(read.owner_test for read in self._reads):
            return tally_records(c for records in self for c in records)
        (read,) = self._reads
        counts: Counter[tuple[Table, State]] = Counter()
        for batch in read.batches:
            if read.test is None or isinstance(batch, CountedBatch):
                counts.update(batch.tally())
            else:
                counts.update(tally_records(itertools.chain(*self._selected(read, [batch]))))
        return counts


def _has_owner(connection: Connection) -> bool:
    """Whether the source looked for who holds it."""
    return connection.owner_status not in ("unsupported", "none")


def _has_user(connection: Connection) -> bool:
    return connection.uid is not None or connection.user is not None


def _origin(captures: Captures | None) -> tuple[str | None, str | None, str | None]:
    """Whose sockets they are: host and platform, and when they were read."""
    if captures:
        origin = captures.origin
        return origin.host, origin.platform, origin.taken_at
    host = decode_name(os.fsencode(socket.gethostname()))
    return host, platform(), datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")


def _read_directions(
    selection: Selection, source: str, captures: Captures | None = None
) -> Directions:
    """Read the listeners, also those that the selection leaves out.

    Where they cannot be read, no direction is known; a capture without any may not have them.
    """
    from netinspect.filters.direction import LISTENERS, Directions

    if captures:
        found = [c for c in captures.listeners() if LISTENERS.get(c.protocol) == c.state]
        return Directions(found, {c.protocol for c in found})
    listeners: list[Connection] = []
    protocols = dict.fromkeys(t.protocol for t in selection.tables if t.protocol in LISTENERS)
    for protocol in list(protocols):
        # A listener on :: takes IPv4 as well, whatever is asked for.
        tables = tuple(parse_tables([protocol]))
        states = frozenset({LISTENERS[protocol]})
        query = Query(tables=tables, states=states, needs_owners=False, needs_holders=False)
        try:
            for batch in Chain(candidates(source)).open(query):
                listeners += batch.records()
        except SourceError:
            del protocols[protocol]
    return Directions(listeners, protocols)


def _without_extended(connections: list[Connection]) -> list[Connection]:
    """Without what a test needed and nobody wants to see."""
    return [replace(c, tcp_info=UNSET, memory=UNSET, options=UNSET) for c in connections]


def _distinct(batches: Iterable[list[Connection]]) -> Iterator[list[Connection]]:
    """Without what two dumps brought: a socket that changed between them."""
    seen: set[int | None] = set()
    for connections in batches:
        new = [c for c in connections if c.cookie is None or c.cookie not in seen]
        seen.update(c.cookie for c in new)
        yield new


def _tested(records: list[Connection], read: Read, decided: frozenset[State]) -> list[Connection]:
    """Those that pass. What is in these states does, if the query says all that is tested."""
    if read.is_all_asked and decided.issuperset(map(STATE, records)):
        return records
    return list(filter(read.test, records))


def _matching(batches: Iterable[list[Connection]], test: Test | None) -> Iterator[list[Connection]]:
    if test is None:
        yield from batches
    else:
        for connections in batches:
            yield [c for c in connections if test(c)]


def snapshot(  # noqa: PLR0913 one argument a filter option, as the command line has them
    *,
    protocols: Iterable[str] | None = None,
    families: Iterable[Family] | None = None,
    states: Iterable[str] | None = None,
    listening: bool = False,
    pids: Iterable[int] | int | None = None,
    processes: Iterable[str] | None = None,
    users: Iterable[str] | None = None,
    exposures: Iterable[str] | None = None,
    directions: Iterable[str] | None = None,
    ports: Iterable[int | str] | int | None = None,
    local_ports: Iterable[int | str] | int | None = None,
    remote_ports: Iterable[int | str] | int | None = None,
    addresses: Iterable[str] | None = None,
    local_addresses: Iterable[str] | None = None,
    remote_addresses: Iterable[str] | None = None,
    expression: str | None = None,
    source: str = "auto",
    owners: bool = True,
    extended: bool = False,
    captures: Iterable[str] | str | None = None,
    capture_formats: Iterable[str] | str | None = None,
) -> Snapshot:
    """All sockets that meet every condition; None leaves a condition out.

    The words are those of the command line: `protocols=["tcp4"]`, `states=["time-wait"]`,
    `ports=[443, "8000-8100"]`, `remote_addresses=["10.0.0.0/8"]`. Without `protocols` TCP and UDP.
    A single word or number may stand without its list. `expression` is in the language of ss and
    more: `"state time-wait dport = :443"`. `extended` adds tcp_info, memory, options
    and the direction, and to each owner all that can be told of the process.
    `captures` are files with the output of netstat, ss and others, read in place of this system's
    sockets, `capture_formats` what each of them is; then all protocols are taken, and what is not
    told of an owner is null.

    :raises UsageError: a word is not what its condition takes, or a capture cannot be read.
    :raises SourceError: the sockets cannot be read.
    """
    selection = select(
        protocols=_words(protocols),
        families=_words(families),
        states=_words(states),
        listening=listening,
        pids=None if pids is None else parse_pids(_words(pids) or ()),
        processes=_words(processes),
        users=_words(users),
        exposures=_words(exposures),
        directions=_words(directions),
        ports=_words(ports),
        local_ports=_words(local_ports),
        remote_ports=_words(remote_ports),
        addresses=_words(addresses),
        local_addresses=_words(local_addresses),
        remote_addresses=_words(remote_addresses),
        expression=expression,
        tables=EVERY_TABLE if captures is not None else None,
    )
    listing = Listing(
        selection,
        source=source,
        captures=_captures(captures, capture_formats),
        with_owners=owners,
        with_direction=extended,
        is_extended=extended,
    )
    batches: Iterable[list[Connection]] = listing
    if listing.captures:
        batches = map(_without_lookup, listing)
    elif extended and owners:
        batches = map(listing.describe, listing)
    connections = tuple(c for records in batches for c in records)
    return Snapshot(**asdict(listing.envelope), connections=connections, notes=listing.notes)


def _without_lookup(connections: list[Connection]) -> list[Connection]:
    """With null for what a capture does not tell of its owners: here others have their numbers."""
    return [
        replace(c, owners=tuple(map(_all_told, c.owners))) if c.owners else c for c in connections
    ]


def _all_told(owner: Owner) -> Owner:
    keys = owner.__struct_fields__
    return replace(owner, **{key: None for key in keys if getattr(owner, key) is UNSET})


def _captures(
    paths: Iterable[str] | str | None, formats: Iterable[str] | str | None
) -> Captures | None:
    if paths is None:
        return None
    from netinspect.sources.capture import Captures  # most questions are about this system

    words = _words(paths)
    if not words:
        raise UsageError("captures: expected a file, or several, and found none")
    return Captures(words, _words(formats) or ())


def _words(values: Iterable[int | str] | int | None) -> list[str] | None:
    """As text; a single string is one word, not its letters."""
    if values is None:
        return None
    return [str(values)] if isinstance(values, (int, str)) else [str(value) for value in values]


def summarize(listing: Listing) -> Summary:
    """Counts by protocol, family and state, in the order of the tables and of STATES.

    Of a table that cannot be read there is no count: it is not 0.
    """
    counts = listing.count()
    rows = [
        Count(*table, state, counts[table, state])
        for table in listing.tables
        for state in STATES
        if counts[table, state] or _is_shown_empty(table, state, listing.selection)
    ]
    return Summary(
        **asdict(listing.envelope),
        counts=tuple(rows),
        total=sum(row.count for row in rows),
        notes=listing.notes,
    )


def group(listing: Listing, grouping: Grouping) -> Groups:
    """The sockets of a listing by the values of some keys. Only groups are held, no sockets."""
    from netinspect.grouping.record import Groups

    tally = _tally(listing, grouping, is_here=listing.captures is None)
    groups, left_out = _arrange(tally, grouping)
    return Groups(
        **asdict(listing.envelope),
        by=grouping.by,
        groups=tuple(groups),
        left_out=left_out,
        total=tally.total,
        notes=listing.notes,
    )


def group_by(
    connections: Iterable[Connection],
    *keys: str,
    sort: Iterable[str] | None = None,
    top: int | None = None,
) -> list[Group]:
    """The sockets by the values of these keys, with the words of `netinspect summary --by`.

    `group_by(snapshot.connections, "process", "state", top=10)`: the largest count first, unless
    `sort` says otherwise. A socket of several processes is in the groups of all of them.

    :raises UsageError: a word is no key, there is none, or `top` is less than 1.
    """
    from netinspect.grouping.keys import parse_grouping

    grouping = parse_grouping(keys, _words(sort) or (), top)
    return _arrange(_tally([list(connections)], grouping), grouping)[0]


def _tally(
    batches: Iterable[list[Connection]], grouping: Grouping, *, is_here: bool = True
) -> Tally:
    """:param is_here: whether the processes are this machine's."""
    from netinspect.grouping.tally import Tally

    details = _details(is_here=is_here) if grouping.needs_details else None
    tally = Tally(grouping, details)
    for connections in batches:
        tally.add(connections)
    return tally


def _details(*, is_here: bool) -> Callable[[int], ProcessDetails]:
    from netinspect.processes import ProcessDetails, Processes  # most groupings do not ask

    return Processes(system_path("/proc")).details if is_here else lambda _pid: ProcessDetails()


def _arrange(tally: Tally, grouping: Grouping) -> tuple[list[Group], LeftOut]:
    from netinspect.grouping.order import arrange, take_largest

    return take_largest(arrange(tally.groups(), grouping), grouping)


def _is_shown_empty(table: Table, state: State, selection: Selection) -> bool:
    """A monitor needs the 0 of a state; not of one that was filtered out."""
    asked = selection.query().states
    told = possible_states(at_tables(selection.expression, (table,)))
    return state in states_of(table.protocol) & told and (asked is None or state in asked)
