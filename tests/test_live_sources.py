"""sock_diag, /proc, psutil, ss, netstat and lsof on the same sockets, in every state there is."""

from __future__ import annotations

import socket
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import pytest
from msgspec import UNSET
from msgspec.structs import asdict

from netinspect.api import snapshot
from netinspect.model import Connection, Snapshot, Table
from netinspect.query import Query
from netinspect.sources.sock_diag import SockDiag
from tests import peers
from tests.exceptions import EXTRA_ROW, ROW, RULES, Rule, explain
from tests.namespace import private_network, why_not
from tests.peers import Row
from tests.sockets import open_zoo
from tests.zoo import Made

pytestmark = [pytest.mark.live, pytest.mark.every_python]

# Not compared as they are: owners and timers are, below; netns is told when several are read.
DERIVED = ("pid", "process", "netns")


class Seen(NamedTuple):
    """What there was, and what each reader said of it."""

    made: dict[str, Made]
    shown: Snapshot
    by_peer: dict[str, list[Row] | None]
    timers: tuple[Snapshot, Snapshot, Snapshot]
    elapsed_ms: float


@pytest.fixture(scope="module")
def seen() -> Seen:
    if reason := why_not():
        pytest.skip(reason)
    with private_network(), open_zoo() as zoo:
        began = time.monotonic()
        timers = (
            snapshot(owners=False),
            snapshot(owners=False, source="proc"),
            snapshot(owners=False),
        )
        elapsed_ms = (time.monotonic() - began) * 1000
        shown = snapshot(protocols=["all"])
        proc = snapshot(protocols=["all"], source="proc")
        psutil = snapshot(protocols=["tcp", "udp", "unix"], source="psutil")
        by_peer = {
            "proc": [as_row(c) for c in proc.connections],
            "psutil": [as_row(c) for c in psutil.connections],
            **{program: peers.run(program) for program in peers.COMMANDS},
        }
        return Seen(zoo.made, shown, by_peer, timers, elapsed_ms)


def as_row(connection: Connection) -> Row:
    """In the form of the rows of the other programs."""
    row = asdict(connection)
    row["owners"] = frozenset((owner.pid, owner.fd) for owner in connection.owners)
    row["timer"] = connection.timer.kind if connection.timer else None
    return {k: value for k, value in row.items() if k not in DERIVED and value is not UNSET}


def ends(row: Row) -> tuple[Any, ...]:
    """What tells the sockets that have no inode."""
    keys = ("protocol", "state", "local_address", "local_port", "remote_address", "remote_port")
    return tuple(row[key] for key in keys)


class Finder:
    """Finds our socket for a row: by inode, by descriptor, by both ends."""

    def __init__(self, connections: Iterable[Connection]) -> None:
        self.by_inode = {c.inode: c for c in connections if c.inode}
        self.by_owner = {(o.pid, o.fd): c for c in connections for o in c.owners}
        self.by_ends = {ends(asdict(c)): c for c in connections}

    def find(self, row: Row) -> Connection | None:
        if row.get("inode"):
            return self.by_inode.get(row["inode"])
        for owner in row.get("owners", ()):
            return self.by_owner.get(owner)
        # the connections to a unix listener all have its path
        return None if row["protocol"] == "unix" else self.by_ends.get(ends(row))


def differences(
    ours: Iterable[Connection], theirs: Iterable[Row]
) -> Iterator[tuple[str, Any, Connection | None]]:
    """Key, their value and our socket, of everything that is not the same."""
    finder = Finder(ours)
    found = set()
    for row in theirs:
        connection = finder.find(row)
        if connection is None:
            yield EXTRA_ROW, row, None
            continue
        found.add(id(connection))
        own = as_row(connection)
        own["pids"] = frozenset(owner.pid for owner in connection.owners)
        for key, value in row.items():
            if own[key] != value:
                yield key, value, connection
    for connection in ours:
        if id(connection) not in found:
            yield ROW, None, connection


@pytest.mark.parametrize("peer", RULES)
def test_all_that_both_tell_is_the_same(seen: Seen, peer: str) -> None:
    rows = seen.by_peer[peer]
    if rows is None:
        pytest.skip(f"{peer} is not installed")
    used: set[Rule] = set()
    unexplained = []
    for key, theirs, ours in differences(seen.shown.connections, rows):
        rule = explain(RULES[peer], key, theirs, ours)
        if rule is None:
            unexplained.append(f"{key}: {theirs} for {ours}")
        else:
            used.add(rule)
    assert unexplained == []
    unused = [rule.reason for rule in RULES[peer] if rule.is_everywhere and rule not in used]
    assert unused == []


def test_every_socket_is_shown_as_it_was_made(seen: Seen) -> None:
    """And there is nothing else."""
    made = Counter(seen.made.values())
    shown = Counter(
        Made(
            c.protocol,
            c.family,
            c.state,
            c.local_address,
            c.local_port,
            c.remote_address,
            c.remote_port,
            c.inode,
            c.uid,
            tuple(owner.pid for owner in c.owners),
        )
        for c in seen.shown.connections
    )
    assert shown - made == Counter()
    assert made - shown == Counter()


def test_every_state_was_there(seen: Seen) -> None:
    for family in ("ipv4", "ipv6"):
        states = {m.state for m in seen.made.values() if (m.protocol, m.family) == ("tcp", family)}
        assert states == {
            *("ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2", "TIME_WAIT"),
            *("CLOSE_WAIT", "LAST_ACK", "LISTEN", "CLOSING", "BOUND"),
        }


def test_owner_status_says_why_there_is_none(seen: Seen) -> None:
    is_hidden = any(note.code == "owners_hidden" for note in seen.shown.notes)
    travelling = seen.made["travelling listen"].inode
    for connection in seen.shown.connections:
        status = "known"
        if connection.inode is None:
            status = "none"
        elif connection.inode == travelling:
            status = "hidden" if is_hidden else "not_found"
        assert connection.owner_status == status
        assert bool(connection.owners) == (status == "known")


def test_every_kind_of_timer_was_there(seen: Seen) -> None:
    kinds = {c.timer.kind for c in seen.shown.connections if c.timer}
    assert kinds == {"retransmit", "keepalive", "time_wait", "zero_window"}


def test_timers_of_proc_lie_between_those_of_sock_diag_before_and_after(seen: Seen) -> None:
    before, between, after = seen.timers
    earlier_by_ends, later_by_ends = Finder(before.connections), Finder(after.connections)
    compared = set()
    for connection in between.connections:
        earlier = earlier_by_ends.find(as_row(connection))
        later = later_by_ends.find(as_row(connection))
        timer = connection.timer
        if not (timer and earlier and earlier.timer and later and later.timer):
            continue
        if earlier.timer.expires_ms < seen.elapsed_ms + 10:
            continue  # it may have fired meanwhile, and been set anew
        if earlier.timer.retransmits != later.timer.retransmits:
            continue  # of SYN_RECV also when the SYN comes again
        if connection.state == "SYN_RECV":
            # sock_diag also counts the answers to a SYN that came again, /proc only the timeouts
            assert timer.retransmits <= earlier.timer.retransmits
        else:
            assert timer.retransmits == earlier.timer.retransmits
        # /proc counts in ticks of 10 ms
        assert later.timer.expires_ms - 10 <= timer.expires_ms <= earlier.timer.expires_ms + 10
        compared.add(timer.kind)
    assert {"keepalive", "time_wait"} <= compared


def test_drops_are_counted(seen: Seen) -> None:
    for label in ("udp4", "udp6", "udplite4", "udplite6"):
        if f"{label} deluged" in seen.made:
            inode = seen.made[f"{label} deluged"].inode
            (drops,) = [c.drops for c in seen.shown.connections if c.inode == inode]
            assert drops


def test_a_source_can_be_asked_the_same_again() -> None:
    if reason := why_not():
        pytest.skip(reason)
    query = Query(tables=(Table("tcp", "ipv4"), Table("tcp", "ipv6")))
    with private_network(), socket.create_server(("127.0.0.1", 0)):
        source = SockDiag()
        counts = [
            sum(
                len(batch.records())
                for table in query.tables
                for batch in source.read(table, query)
            )
            for _ in range(2)
        ]
    assert counts == [1, 1]
