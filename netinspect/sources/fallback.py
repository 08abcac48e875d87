"""psutil: what is left where nothing better is at hand, and all there is on Windows."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, Protocol, TypeAlias

from netinspect.errors import RefusedError, SourceError
from netinspect.model import (
    LISTENING,
    STATES,
    Connection,
    Note,
    Owner,
    OwnerStatus,
    State,
    Table,
    decode_name,
)
from netinspect.parse.address import ExposureOf
from netinspect.parse.unix_diag import SOCKET_TYPES
from netinspect.query import Query
from netinspect.sources import UNDECIDED

# psutil's name of each table that it has
KINDS: dict[Table, str] = {
    Table("tcp", "ipv4"): "tcp4",
    Table("tcp", "ipv6"): "tcp6",
    Table("udp", "ipv4"): "udp4",
    Table("udp", "ipv6"): "udp6",
    Table("unix", "unix"): "unix",
}
# psutil.CONN_* are spelt as ours; Windows adds DELETE_TCB (being deleted), Solaris IDLE (not bound)
TCP_STATES: dict[str, State] = {
    **{state: state for state in STATES},
    "DELETE_TCB": "CLOSE",
    "IDLE": "CLOSE",
}
PEERLESS = frozenset({"LISTEN", "BOUND", "UNCONN"})
LIMITS = Note(
    "psutil_limits",
    None,
    "psutil tells no queues, users, inodes or timers, names at most one process of a socket, shows "
    "sockets that look alike as one where it cannot see their processes, and a socket with several "
    "descriptors perhaps several times",
)
EXPOSURE_OF = ExposureOf()

# (address, port), or () when there is none; on Linux also when only the port is 0.
# Of unix sockets the path, or "".
Endpoint: TypeAlias = "tuple[str, int] | tuple[()] | str"


class Row(Protocol):
    """What psutil tells of a socket: psutil.net_connections()[n]."""

    @property
    def fd(self) -> int:
        """-1 when not known."""

    @property
    def type(self) -> int:
        """SOCK_STREAM and so on."""

    @property
    def laddr(self) -> Endpoint:
        """Where it is bound."""

    @property
    def raddr(self) -> Endpoint:
        """To what it is connected."""

    @property
    def status(self) -> str:
        """One of psutil.CONN_*."""

    @property
    def pid(self) -> int | None:
        """A process that holds it."""


class Psutil:
    """All sockets that psutil can see.

    :param connections: the rows of a kind, as psutil.net_connections gives them.
    :param process_name: the name of a process, as bytes; None when it cannot be had.
    :param sees_all: whether every process may be looked into.
    """

    name = "psutil"
    gives_owners = True
    gives_extended = False

    def __init__(
        self,
        connections: Callable[[str], Iterable[Row]] | None = None,
        process_name: Callable[[int], bytes | None] | None = None,
        *,
        sees_all: bool | None = None,
    ) -> None:
        self.notes: list[Note] = []
        self._connections = connections or _net_connections
        if sees_all is None:
            sees_all = not hasattr(os, "geteuid") or os.geteuid() == 0
        self._names = ProcessNames(process_name or psutil_name)
        self._absent: OwnerStatus = "not_found" if sees_all else "hidden"

    def read(self, table: Table, query: Query) -> Iterator[PsutilBatch]:  # noqa: ARG002
        """One batch with all of one table. See `Source.read`."""
        if table not in KINDS:
            raise RefusedError(f"psutil has no {table.protocol} sockets")
        rows = list(self._connections(KINDS[table]))
        if not self.notes:
            self.notes.append(LIMITS)
        yield PsutilBatch(rows, table, self._names, self._absent)


def _net_connections(kind: str) -> Iterable[Row]:
    try:
        import psutil
    except ImportError:
        raise RefusedError("psutil is not installed") from None
    except NotImplementedError as error:
        raise RefusedError(f"psutil does not work here: {error}") from None
    try:
        return psutil.net_connections(kind)
    except psutil.AccessDenied:
        raise RefusedError(
            "psutil may not look into the processes of other users: run netinspect as root"
        ) from None
    except (NotImplementedError, ValueError) as error:
        raise RefusedError(f"psutil cannot read {kind} sockets: {error}") from None
    except (OSError, RuntimeError, psutil.Error) as error:
        raise SourceError(f"psutil failed on {kind} sockets: {error}") from None


def psutil_name(pid: int) -> bytes | None:
    """The name of a process, as psutil has it; None when it has ended."""
    import psutil

    try:
        return os.fsencode(psutil.Process(pid).name())
    except (OSError, psutil.Error):
        return None


class ProcessNames(dict[int, "str | None"]):
    """Process name by pid, each looked up once."""

    def __init__(self, look_up: Callable[[int], bytes | None]) -> None:
        self._look_up = look_up

    def __missing__(self, pid: int) -> str | None:
        raw = self._look_up(pid)
        self[pid] = name = None if raw is None else decode_name(raw)
        return name


class PsutilBatch(NamedTuple):
    """All that psutil knows of one table."""

    rows: list[Row]
    table: Table
    names: ProcessNames
    absent: OwnerStatus
    decided: frozenset[State] = UNDECIDED

    def records(self) -> list[Connection]:
        """The sockets."""
        return [_record(row, self.table, self.names, self.absent) for row in self.rows]

    def tally(self) -> Counter[tuple[Table, State]]:
        """The counts of the sockets."""
        return Counter((self.table, _state(row, self.table)) for row in self.rows)


def _state(row: Row, table: Table) -> State:
    """The state, which psutil tells of TCP only; the others are connected when they have a peer.

    On Linux it cannot tell the peers of unix sockets: one without may be anything.
    """
    if table.protocol == "tcp":
        state = TCP_STATES.get(row.status, "UNKNOWN")
        return "BOUND" if state == "CLOSE" and row.laddr and not row.raddr else state
    if row.raddr:
        return "ESTABLISHED"
    return "UNKNOWN" if table.protocol == "unix" else "UNCONN"


def _record(row: Row, table: Table, names: ProcessNames, absent: OwnerStatus) -> Connection:
    state = _state(row, table)
    local, local_port = _endpoint(row.laddr)
    # Windows tells a peer of 0.0.0.0 for listeners
    remote, remote_port = _endpoint(() if state in PEERLESS else row.raddr)
    owner = _owner(row, names)
    if state == "TIME_WAIT":
        absent = "none"
    return Connection(
        *table,
        SOCKET_TYPES.get(row.type, "raw"),
        state,
        local,
        remote,
        local_port,
        remote_port,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        pid=owner.pid if owner else None,
        process=owner.process if owner else None,
        owners=(owner,) if owner else (),
        owner_status="known" if owner else absent,
        exposure=EXPOSURE_OF[local] if local and state in LISTENING else None,
    )


def _endpoint(endpoint: Endpoint) -> tuple[str | None, int | None]:
    if not endpoint:
        return None, None
    if isinstance(endpoint, str):
        return decode_name(os.fsencode(endpoint)), None
    address, port = endpoint
    return address, port


def _owner(row: Row, names: ProcessNames) -> Owner | None:
    """The process; Windows names 0 for what belongs to none any more."""
    if not row.pid:
        return None
    return Owner(row.pid, names[row.pid], row.fd if row.fd >= 0 else None)
