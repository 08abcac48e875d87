"""FreeBSD, OpenBSD, NetBSD: netstat for the sockets, sockstat or fstat for who holds them.

netstat tells of no process, and in the rows of listeners nothing of who waits there. On FreeBSD it
has a second table for that (-L), and writes JSON; what it writes is none where sockets come or go
meanwhile (usr.bin/netstat/unix.c), and then its text is read.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeAlias

from msgspec.structs import replace

from netinspect.errors import ParseError, RefusedError
from netinspect.model import Connection, Note, Owner, OwnerStatus, State, Table
from netinspect.parse import fstat, netstat_bsd, netstat_json, sockstat
from netinspect.parse.captured import Faults, Reader
from netinspect.parse.holders import attach_holders
from netinspect.query import Query
from netinspect.sources import RecordBatch
from netinspect.sources.commands import TRY_IT, Command
from netinspect.sources.fallback import ProcessNames, psutil_name

NETSTAT = "/usr/bin/netstat"
PROTOCOLS = frozenset({"tcp", "udp", "raw", "unix"})
# In these the kernel has taken the socket from its process.
OWNERLESS: frozenset[State] = frozenset({"TIME_WAIT", "SYN_RECV"})
Batches: TypeAlias = Iterator[list[Connection]]
Place: TypeAlias = tuple[str, str, str | None, int | None]
CUT_NAME = 10  # characters of a command, as sockstat has it


class System(NamedTuple):
    """What one of the systems is asked, and how its answer is read.

    :param netstat: the arguments for all sockets, with whole addresses.
    :param holders: the program that tells the descriptors of all processes, and its arguments.
    :param has_queues: whether `netstat -L` tells the queues of listeners.
    """

    title: str
    netstat: tuple[str, ...]
    tells_dual: bool
    holders: tuple[str, ...]
    read_holders: Reader
    has_queues: bool = False


SYSTEMS = {
    "freebsd": System(
        "FreeBSD",
        ("-anW",),
        tells_dual=True,
        holders=("/usr/bin/sockstat", "-46uw"),
        read_holders=sockstat.read,
        has_queues=True,
    ),
    "openbsd": System(
        "OpenBSD",
        ("-anv",),
        tells_dual=True,
        holders=("/usr/bin/fstat", "-n"),
        read_holders=fstat.read,
    ),
    "netbsd": System(
        "NetBSD",
        ("-anv",),
        tells_dual=False,
        holders=("/usr/bin/sockstat", "-n"),
        read_holders=sockstat.read,
    ),
}


class Bsd:
    """The sockets of a BSD.

    :param name: one of SYSTEMS.
    :param process_name: the name of a process, as bytes; None when it cannot be had.
    :param run: starts a program, see `Command`.
    """

    gives_owners = True
    gives_extended = False

    def __init__(
        self,
        name: str,
        process_name: Callable[[int], bytes | None] = psutil_name,
        run: Callable[..., Command] = Command,
    ) -> None:
        self.name = name
        self._system = SYSTEMS[name]
        self._names = ProcessNames(process_name)
        self._run = run
        self._faults = Faults()
        self._told: dict[str, Note] = {}
        self._unread: dict[Table, list[Connection]] = {}

    @property
    def notes(self) -> list[Note]:
        """What makes the answers partial."""
        notes = [*self._told.values(), *self._faults.all_notes()]
        if skipped := self._faults.count:
            rows = "1 row" if skipped == 1 else f"{skipped} rows"
            notes.append(Note("rows_skipped", skipped, f"{rows} of netstat could not be read"))
        return notes

    def read(self, table: Table, query: Query) -> Iterator[RecordBatch]:
        """One batch with all of one table. See `Source.read`."""
        if table.protocol not in PROTOCOLS:
            raise RefusedError(f"no {table.protocol} sockets are read on {self._system.title}")
        if table not in self._unread:  # one run of netstat tells of all tables
            self._read_tables(query)
        yield RecordBatch(self._unread.pop(table))

    def _read_tables(self, query: Query) -> None:
        """Take all sockets at once: what fails then fails before the first row."""
        connections = self._sockets()
        asks_listeners = query.states is None or "LISTEN" in query.states
        if self._system.has_queues and asks_listeners:
            connections = self._with_queues(connections)
        if query.needs_owners:
            connections = self._with_owners(connections)
        else:
            connections = [replace(c, owner_status="not_requested") for c in connections]
        self._unread = {table: [] for table in query.tables}
        for connection in connections:
            table = Table(connection.protocol, connection.family)
            if table in self._unread:
                self._unread[table].append(connection)

    def _sockets(self) -> list[Connection]:
        if self.name == "freebsd":
            with suppress(ParseError):
                return self._netstat(netstat_json.read, "--libxo", "json")
        read = partial(netstat_bsd.read, tells_dual=self._system.tells_dual)
        return self._netstat(read)

    def _netstat(self, read: Callable[..., Batches], *options: str) -> list[Connection]:
        """All sockets of one run.

        :raises RefusedError: it failed, or told nothing, although there are sockets everywhere.
        :raises ParseError: what it wrote is not the format at all.
        """
        command, faults = self._run(NETSTAT, *options, *self._system.netstat), Faults()
        connections = [c for batch in read(command, faults, is_wide=True) for c in batch]
        if command.printed_nothing:
            raise RefusedError(f"{command}: printed nothing; {TRY_IT}")
        if faults.count and not connections:
            raise RefusedError(f"{command}: printed no row that can be read; {TRY_IT}")
        if command.complaint:
            self._tell("netstat_complaint", f"netstat complained: {command.complaint}")
        self._faults = faults
        return connections

    def _with_queues(self, connections: list[Connection]) -> list[Connection]:
        """The same, with who waits at the listeners; of unix sockets it also tells which listen."""
        command = self._run(NETSTAT, "-anLW")
        try:
            listeners = [c for batch in netstat_bsd.read(command, Faults()) for c in batch]
        except RefusedError as refusal:
            self._tell("queues_unknown", f"the queues of listeners are not known: {refusal}")
            return connections
        waiting: defaultdict[Place, deque[Connection]] = defaultdict(deque)
        for listener in listeners:
            waiting[_place(listener)].append(listener)
        return [_with_queue(c, waiting[_place(c)]) for c in connections]

    def _with_owners(self, connections: list[Connection]) -> list[Connection]:
        """The same, with the processes that hold them."""
        program, *options = self._system.holders
        command, faults = self._run(program, *options), Faults()
        try:
            held = [c for batch in self._system.read_holders(command, faults) for c in batch]
        except RefusedError as refusal:
            self._tell("owners_unknown", f"processes and users are not known: {refusal}")
            return connections
        if faults.count:
            rows = "1 row" if faults.count == 1 else f"{faults.count} rows"
            self._tell("owners_skipped", f"{rows} of {program} could not be read", faults.count)
        return [_with_status(self._named(c)) for c in attach_holders(connections, held)]

    def _named(self, connection: Connection) -> Connection:
        """The same, with the whole names of its owners where sockstat has cut them.

        The number of a process that has ended may be another's by now: then the names differ.
        """
        owners = tuple(map(self._in_full, connection.owners))
        if owners == connection.owners:
            return connection
        return replace(connection, owners=owners, process=owners[0].process)

    def _in_full(self, owner: Owner) -> Owner:
        if owner.process is None or len(owner.process) != CUT_NAME:
            return owner
        name = self._names[owner.pid]
        is_longer = name is not None and name.startswith(owner.process)
        return replace(owner, process=name) if is_longer else owner

    def _tell(self, code: str, message: str, count: int | None = None) -> None:
        self._told[code] = Note(code, count, message)


def _place(connection: Connection) -> Place:
    return connection.protocol, connection.family, connection.local_address, connection.local_port


def _with_queue(connection: Connection, waiting: deque[Connection]) -> Connection:
    """The socket, with the queues of the next listener in the same place."""
    if connection.protocol == "unix":
        if connection.state != "UNKNOWN":
            return connection
        if not waiting:
            return replace(connection, state="UNCONN")
    elif connection.state != "LISTEN" or not waiting:
        return connection
    listener = waiting.popleft()
    return replace(connection, state="LISTEN", recv_q=listener.recv_q, send_q=listener.send_q)


def _with_status(connection: Connection) -> Connection:
    """The socket, with the reason where no process is known.

    A unix socket without a name cannot be told from others of its kind.
    """
    if connection.owners:
        return connection
    if connection.protocol == "unix" and connection.local_address is None:
        return replace(connection, owner_status="unsupported")
    status: OwnerStatus = "none" if connection.state in OWNERLESS else "not_found"
    return replace(connection, owner_status=status)
