"""Counting and summing up, a batch at a time: what is held are groups, not sockets."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any

from msgspec import UNSET
from msgspec.structs import replace

from netinspect.grouping.keys import DETAIL_KEYS, Grouping
from netinspect.grouping.record import Group
from netinspect.model import Connection, State, user_or_uid

STATE = attrgetter("state")
QUEUES = attrgetter("recv_q", "send_q")
EMPTY = (0, 0)

# The values of the keys, and the state
Row = tuple[Any, ...]
Column = Callable[[list[Connection]], Iterable[Any]]


class Tally:
    """Sockets by the values of some keys.

    A socket that several processes hold counts once for each value of the keys that it has: by pid
    once for each process, by process once for each name.

    :param details: what a process tells of itself, by pid: its attributes are the DETAIL_KEYS.
        Not needed without such a key; not asked of an owner that has them.
    """

    def __init__(self, grouping: Grouping, details: Callable[[int], object] | None = None) -> None:
        self.total = 0
        self._names = grouping.keys
        self._is_by_owner = grouping.needs_owners
        self._columns = [_column(name, details) for name in grouping.keys]
        self._counts: Counter[Row] = Counter()
        self._queues: defaultdict[Row, _Queues] = defaultdict(_Queues)
        self._backlogs: defaultdict[Row, _Queues] = defaultdict(_Queues)  # those of listeners

    def add(self, connections: list[Connection]) -> None:
        """Count some sockets. Without a call a socket, unless there is something in its queues."""
        self.total += len(connections)
        members = self._members(connections) if self._is_by_owner else connections
        rows = self._rows(members)
        self._counts.update(rows)
        for row, queues in zip(rows, map(QUEUES, members), strict=True):
            if queues != EMPTY:
                sums = self._backlogs if row[-1] == "LISTEN" else self._queues
                sums[row[:-1]].add(*queues)

    def _rows(self, members: list[Connection]) -> list[Row]:
        columns = [column(members) for column in self._columns]
        return list(zip(*columns, map(STATE, members), strict=True))

    def _members(self, connections: list[Connection]) -> list[Connection]:
        """The sockets, those of several owners once for each of their values of the keys."""
        members = [c for c in connections if len(c.owners) < 2]
        for connection in connections:
            if len(connection.owners) > 1:
                members += self._shares(connection)
        return members

    def _shares(self, connection: Connection) -> Iterable[Connection]:
        shares = [replace(connection, pid=o.pid, process=o.process) for o in connection.owners]
        return dict(zip(self._rows(shares), shares, strict=True)).values()

    def groups(self) -> list[Group]:
        """The groups of all sockets so far, in no order."""
        states: defaultdict[Row, dict[State, int]] = defaultdict(dict)
        for row, count in self._counts.items():
            states[row[:-1]][row[-1]] = count
        return [self._group(key, counts) for key, counts in states.items()]

    def _group(self, key: Row, states: dict[State, int]) -> Group:
        count, listeners = sum(states.values()), states.get("LISTEN", 0)
        recv_q, send_q = _sums(self._queues.get(key), count - listeners)
        waiting, backlog_limit = _sums(self._backlogs.get(key), listeners)
        return Group(
            **dict(zip(self._names, key, strict=True)),
            count=count,
            states=states,
            recv_q=recv_q,
            send_q=send_q,
            listeners=listeners,
            waiting=waiting,
            backlog_limit=backlog_limit,
        )


def _column(name: str, details: Callable[[int], object] | None) -> Column:
    """What gives the values of one key, of many sockets at once."""
    if name == "direction":  # it is there only when it was asked for
        return lambda cs: [None if c.direction is UNSET else c.direction for c in cs]
    if name == "user":
        return lambda cs: map(user_or_uid, cs)
    if name == "cgroup":
        return lambda cs: [c.options.cgroup if c.options else None for c in cs]
    if details is None or name not in DETAIL_KEYS:
        value = attrgetter(name)
        return lambda connections: map(value, connections)
    of_process = _OfProcess(name, details)
    return lambda connections: map(of_process.of_owner, connections)


class _OfProcess(dict["int | None", Any]):
    """One detail of each process, asked for once, where the record does not have it."""

    def __init__(self, name: str, details: Callable[[int], object]) -> None:
        self._name = name
        self._details = details

    def of_owner(self, connection: Connection) -> Any:
        """That of the owner which is counted."""
        pid = connection.pid
        told = next((getattr(o, self._name) for o in connection.owners if o.pid == pid), UNSET)
        return self[pid] if told is UNSET else told

    def __missing__(self, pid: int | None) -> Any:
        found = None if pid is None else getattr(self._details(pid), self._name)
        self[pid] = found
        return found


class _Queues:
    """Both queues of some sockets, summed up, and of how many sockets they are not known."""

    __slots__ = ("recv_q", "recv_unknown", "send_q", "send_unknown")

    def __init__(self) -> None:
        self.recv_q = self.send_q = 0
        self.recv_unknown = self.send_unknown = 0

    def add(self, recv_q: int | None, send_q: int | None) -> None:
        self.recv_q += recv_q or 0
        self.send_q += send_q or 0
        self.recv_unknown += recv_q is None
        self.send_unknown += send_q is None


def _sums(queues: _Queues | None, count: int) -> tuple[int | None, int | None]:
    """The queues of so many sockets; None when not one of them tells."""
    if not count:
        return None, None
    if queues is None:
        return 0, 0
    return (
        queues.recv_q if queues.recv_unknown < count else None,
        queues.send_q if queues.send_unknown < count else None,
    )
