"""What the rules look at: the sockets at one moment or two, settings and counters."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from typing import NamedTuple

from netinspect.diagnose.time_wait_evidence import Evidence
from netinspect.ends import plain
from netinspect.errors import NotCheckedError
from netinspect.limits import SystemLimits
from netinspect.model import Connection, Protocol, State
from netinspect.settings import Settings

# A socket in these says something by being there.
TELLING: frozenset[State] = frozenset(
    {
        "LISTEN",
        "SYN_SENT",
        "SYN_RECV",
        "FIN_WAIT1",
        "FIN_WAIT2",
        "CLOSE_WAIT",
        "LAST_ACK",
        "CLOSING",
    }
)
Key = tuple[object, ...]
LINUX_SOURCES = ("sock_diag", "proc")


def is_telling(connection: Connection) -> bool:
    """Whether any rule may want to see this socket: of a busy machine's most are of no interest."""
    return bool(
        connection.state in TELLING
        or connection.recv_q
        or connection.send_q
        or connection.drops
        or connection.exposure
        or (connection.timer and connection.timer.retransmits)
        or (connection.state == "ESTABLISHED" and is_unheld(connection))
    )


def is_unheld(connection: Connection) -> bool:
    """Whether it is known that no process has it.

    What tells no inodes does not say: a capture without owners, psutil where owners are hidden.
    """
    return not (
        connection.inode
        or connection.owners
        or connection.owner_status in ("unsupported", "hidden")
    )


def key_of(connection: Connection) -> Key:
    """What a socket is known by at another moment."""
    if connection.cookie is not None:
        return connection.protocol, connection.cookie
    return (
        connection.protocol,
        connection.local_address,
        connection.local_port,
        connection.remote_address,
        connection.remote_port,
        connection.inode,
    )


def _local_end(c: Connection) -> Key:
    """One end of a connection may be IPv6 with a v4-mapped address, and the other IPv4."""
    return c.local_address and plain(c.local_address), c.local_port


def _remote_end(c: Connection) -> Key:
    return c.remote_address and plain(c.remote_address), c.remote_port


class Moment:
    """The telling sockets at one moment."""

    def __init__(self, connections: Iterable[Connection]) -> None:
        self.connections = tuple(connections)

    @cached_property
    def by_key(self) -> dict[Key, Connection]:
        """Each socket by what it is known by."""
        return {key_of(c): c for c in self.connections}

    @cached_property
    def _by_ends(self) -> dict[tuple[object, ...], Connection]:
        return {(c.protocol, *_local_end(c), *_remote_end(c)): c for c in self.connections}

    def other_end(self, c: Connection) -> Connection | None:
        """The socket of the peer, where it is on this host."""
        return self._by_ends.get((c.protocol, *_remote_end(c), *_local_end(c)))

    def in_states(self, *states: State) -> list[Connection]:
        """The TCP sockets in these states."""
        return [c for c in self.connections if c.protocol == "tcp" and c.state in states]

    @cached_property
    def listened_ports(self) -> frozenset[int]:
        """The ports of TCP listeners."""
        return frozenset(c.local_port for c in self.in_states("LISTEN") if c.local_port is not None)


class Scene(NamedTuple):
    """One moment, or two of which `last` is the later: then `seconds` lie between them.

    `counters` are the kernel's at the last moment, `grown` what they grew by: by name, without
    those that this system does not count. `ports` is what there is to tell of connections by where
    they lead, `crowd` are some of those to ends that many lead to. `is_by_process`: only what a
    process holds was let through. `protocols` are those that were looked at; None: all.
    """

    first: Moment
    last: Moment
    settings: Settings
    counters: Mapping[str, int]
    grown: Mapping[str, int] | None
    limits: SystemLimits
    crowd: tuple[Connection, ...]
    ports: Evidence | None
    seconds: float | None
    sources: tuple[str, ...] = LINUX_SOURCES
    is_by_process: bool = False
    protocols: frozenset[Protocol] | None = None

    def need_unheld(self) -> None:
        """For rules about sockets that no process has.

        :raises NotCheckedError: they were not let through.
        """
        if self.is_by_process:
            raise NotCheckedError("a filter by process leaves out the sockets that none has")

    def need_told(self, what: str, test: Callable[[Connection], object]) -> None:
        """For rules that look at something which only sources of Linux tell for sure.

        :param test: true of a socket of which it is told.
        :raises NotCheckedError: it is told of no socket here.
        """
        others = [source for source in self.sources if source not in LINUX_SOURCES]
        if others and not any(map(test, self.last.connections)):
            raise NotCheckedError(f"{', '.join(others)} tells no {what}")

    def need_sample(self) -> float:
        """The seconds between two moments.

        :raises NotCheckedError: there is only one.
        """
        if self.seconds is None:
            raise NotCheckedError("needs two moments, and there is one")
        return self.seconds

    def growth(self, name: str) -> int:
        """What a counter grew by.

        :raises NotCheckedError: there is only one moment, or this is not counted here.
        """
        self.need_sample()
        if self.grown is None or name not in self.grown:
            raise NotCheckedError(f"this system does not tell {name}")
        return self.grown[name]

    def stayed(self, test: Callable[[Connection], bool]) -> Iterator[tuple[Connection, Connection]]:
        """The sockets that meet the test at both moments, as they were at each."""
        self.need_sample()
        before = self.first.by_key
        for connection in self.last.connections:
            earlier = before.get(key_of(connection))
            if earlier is not None and test(earlier) and test(connection):
                yield earlier, connection
