"""macOS: netstat for the sockets, lsof for who holds them, sysctl for what netstat leaves out.

Every user may read all sockets of all users with netstat. It names one process of each, the last
that used it, which may have passed it on or ended. lsof looks at each descriptor of each process
that one may look into, which takes seconds, and is only asked where that is needed.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from msgspec.structs import replace

from netinspect.errors import RefusedError
from netinspect.model import Connection, Note, Owner, Protocol, Table
from netinspect.parse.captured import Faults
from netinspect.parse.join import join
from netinspect.parse.lsof_fields import read as read_lsof
from netinspect.parse.netstat_macos import ListenQueues
from netinspect.parse.netstat_macos import read as read_netstat
from netinspect.query import Query
from netinspect.sources import RecordBatch
from netinspect.sources.commands import TRY_IT, Command
from netinspect.sources.fallback import ProcessNames, psutil_name
from netinspect.sources.platforms import is_elsewhere
from netinspect.sources.sysctl import read_sysctls

NETSTAT, LSOF = "/usr/sbin/netstat", "/usr/sbin/lsof"
# -l makes room for whole IPv6 addresses; without -a there are no listeners.
ARGUMENTS: dict[Protocol, tuple[str, ...]] = {
    "tcp": ("-anvl", "-p", "tcp"),
    "udp": ("-anvl", "-p", "udp"),
    "unix": ("-anv", "-f", "unix"),
}
SOCKET_COUNTS: dict[Protocol, str] = {
    "tcp": "net.inet.tcp.pcbcount",
    "udp": "net.inet.udp.pcbcount",
    "unix": "net.local.pcbcount",
}
LONGEST_CUT_NAME = 16  # bytes of a process name, as netstat has it
FIRST_WITH_TIME_WAIT = 16  # Darwin 16 is macOS 10.12


class MacOS:
    """The sockets of a Mac.

    :param process_name: the name of a process, as bytes; None when it cannot be had.
    :param sees_all: whether lsof may look into every process.
    """

    name = "macos"
    gives_owners = True
    gives_extended = False

    def __init__(
        self,
        process_name: Callable[[int], bytes | None] | None = None,
        *,
        sees_all: bool | None = None,
    ) -> None:
        self._names = ProcessNames(process_name or _process_name)
        self._sees_all = os.geteuid() == 0 if sees_all is None else sees_all
        self._faults = Faults()
        self._told: dict[str, Note] = {}  # by message
        self._hidden_holders = 0
        self._refusal: RefusedError | None = None
        self._has_asked_lsof = False
        self._held: list[Connection] | None = None
        self._unread: dict[Table, list[Connection]] = {}

    @property
    def notes(self) -> list[Note]:
        """What makes the answers partial."""
        counted = (self._hidden_holders_note(), self._skipped_note())
        told = [*self._told.values(), *self._faults.all_notes()]
        return [*told, *(note for note in counted if note is not None)]

    def _skipped_note(self) -> Note | None:
        count = self._faults.count
        rows = "1 row" if count == 1 else f"{count} rows"
        message = f"{rows} of netstat could not be read"
        return Note("rows_skipped", count, message) if count else None

    def _hidden_holders_note(self) -> Note | None:
        count = self._hidden_holders
        sockets = "1 socket" if count == 1 else f"{count} sockets"
        message = (
            f"of {sockets} the descriptors, the user and further holders are hidden: lsof shows "
            "only one's own processes; run as root to see all"
        )
        return Note("owners_hidden", count, message) if count else None

    def read(self, table: Table, query: Query) -> Iterator[RecordBatch]:
        """One batch with all of one table. See `Source.read`."""
        if table.protocol not in ARGUMENTS:
            raise RefusedError(f"macos has no {table.protocol} sockets")
        if self._refusal:  # it may have been silent for long: once is enough
            raise self._refusal
        if table not in self._unread:  # one run of netstat tells of both families
            try:
                self._read_protocol(table.protocol, query)
            except RefusedError as refusal:
                self._refusal = refusal
                raise
        yield RecordBatch(self._unread.pop(table, []))

    def _read_protocol(self, protocol: Protocol, query: Query) -> None:
        """Take all sockets of a protocol at once: what fails then fails before the first row."""
        connections = self._netstat(protocol, query)
        tells_names = any(c.process for c in connections)  # netstat does since 26
        if query.needs_holders and protocol != "unix":
            connections = self._with_holders(connections)
        connections = [self._named(c, tells_names=tells_names) for c in connections]
        for table in query.tables:
            if table.protocol == protocol:
                self._unread[table] = [c for c in connections if c.family == table.family]

    def _netstat(self, protocol: Protocol, query: Query) -> list[Connection]:
        states = query.states
        asks_listeners = protocol == "tcp" and (states is None or "LISTEN" in states)
        queues = self._listen_queues() if asks_listeners else None
        command, earlier = Command(NETSTAT, *ARGUMENTS[protocol]), self._faults.count
        batches = read_netstat(command, self._faults, queues)
        connections = [c for connections in batches for c in connections]
        if command.printed_nothing:
            _check_emptiness(command, SOCKET_COUNTS[protocol])
        if self._faults.count > earlier and not connections:
            raise RefusedError(f"{command}: printed no row that can be read; {TRY_IT}")
        if command.complaint:
            self._tell("netstat_complaint", None, f"netstat complained: {command.complaint}")
        if protocol == "tcp" and (states is None or "TIME_WAIT" in states):
            self._tell_of_hidden_time_wait(connections)
        return connections

    def _listen_queues(self) -> ListenQueues:
        """Who waits at the listeners, which the rows of the sockets do not tell."""
        queues = ListenQueues()
        try:
            for line in Command(NETSTAT, "-anLl"):
                queues.add(line)
        except RefusedError as refusal:
            self._tell("queues_unknown", None, f"the queues of listeners are not known: {refusal}")
        return queues

    def _tell_of_hidden_time_wait(self, connections: Iterable[Connection]) -> None:
        """Before 10.12 netstat leaves them out, and the kernel tells their number."""
        if any(c.state == "TIME_WAIT" for c in connections):
            return
        name = "net.inet.tcp.tw_pcbcount"
        settings = read_sysctls("kern.osrelease", name)
        release = settings.get("kern.osrelease", "").partition(".")[0]
        if not release.isdecimal() or int(release) >= FIRST_WITH_TIME_WAIT:
            return
        count = settings.number(name)
        if count != 0:
            sockets = (
                "sockets" if count is None else "1 socket" if count == 1 else f"{count} sockets"
            )
            self._tell(
                "time_wait_hidden",
                count,
                f"{sockets} in TIME_WAIT not shown: before macOS 10.12 netstat has no rows of them "
                f"(sysctl {name} counts them)",
            )

    def _with_holders(self, connections: list[Connection]) -> list[Connection]:
        """The same, with all that lsof tells of who holds them."""
        if not self._has_asked_lsof:
            self._has_asked_lsof = True
            self._held = self._lsof()
        if self._held is None:
            return connections
        protocols = {c.protocol for c in connections}
        held = [c for c in self._held if c.protocol in protocols]
        joined = join(connections, held)[: len(connections)]  # others were opened meanwhile
        if self._sees_all:
            return [_without_user(c) for c in joined]
        self._hidden_holders += sum(c.uid is None and c.state != "TIME_WAIT" for c in joined)
        return joined

    def _lsof(self) -> list[Connection] | None:
        """What lsof tells, of all protocols: it has to look at every descriptor anyway."""
        command = Command(LSOF, "-nP", "-w", "-i", "-F", "pcuLftdPnT0", nothing_status=1)
        faults = Faults()
        try:
            held = [c for batch in read_lsof(command, faults) for c in batch]
        except RefusedError as refusal:
            message = f"descriptors, users and further holders are not known: {refusal}"
            self._tell("holders_unknown", None, message)
            return None
        if count := faults.count:
            rows = "1 row" if count == 1 else f"{count} rows"
            self._tell("holders_skipped", count, f"{rows} of {LSOF} could not be read")
        return held

    def _named(self, connection: Connection, *, tells_names: bool) -> Connection:
        """The same, with the names of its owners in full, where netstat has none or half of them.

        A name that netstat leaves empty, where it tells names, is that of a process that has ended.
        Its number may be another's by now: then the names differ.
        """
        owners = tuple(
            owner if owner.process is None and tells_names else self._in_full(owner)
            for owner in connection.owners
        )
        if owners == connection.owners:
            return connection
        return replace(connection, owners=owners, process=owners[0].process)

    def _in_full(self, owner: Owner) -> Owner:
        known = owner.process
        if known is not None and len(known.encode()) < LONGEST_CUT_NAME:
            return owner
        name = self._names[owner.pid]
        if name is None or not name.startswith(known or ""):
            return owner
        return replace(owner, process=name)

    def _tell(self, code: str, count: int | None, message: str) -> None:
        """Say something, once."""
        self._told.setdefault(message, Note(code, count, message))


def _without_user(connection: Connection) -> Connection:
    """The same without the process that used it last, where it is none of those that hold it."""
    holders = tuple(o for o in connection.owners if o.fd is not None)
    if not holders or holders == connection.owners:
        return connection
    return replace(connection, owners=holders, pid=holders[0].pid, process=holders[0].process)


def _check_emptiness(command: Command, counter: str) -> None:
    """Fail if netstat printed nothing because it could not read, not because there is nothing.

    :raises RefusedError: the kernel has some.
    """
    count = read_sysctls(counter).number(counter)
    if count:
        raise RefusedError(f"{command}: printed nothing, but {counter} is {count}; {TRY_IT}")


def _process_name(pid: int) -> bytes | None:
    """What psutil says; nothing of a foreign root, whose processes are not those of this system."""
    return None if is_elsewhere() else psutil_name(pid)
