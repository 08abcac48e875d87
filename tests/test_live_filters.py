"""What the kernel selects for us is what Python would have selected of everything."""

from __future__ import annotations

import socket
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import cache
from typing import Any, TypeVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netinspect.api import Listing, snapshot, summarize
from netinspect.filters.selection import Selection, select
from netinspect.model import STATES, Connection, State, Table
from netinspect.parse.bytecode import encode_condition
from netinspect.query import PortRange, Query, all_of, any_of
from netinspect.sources.sock_diag import SockDiag
from tests.namespace import private_network, why_not
from tests.sockets import open_zoo
from tests.zoo import Zoo

pytestmark = pytest.mark.live

T = TypeVar("T")

PROTOCOLS = ("tcp", "udp", "udplite")
TABLES = tuple(Table(p, f) for p in ("tcp", "udp") for f in ("ipv4", "ipv6"))
# Others go by themselves, in the end.
LASTING = {"ESTABLISHED", "LISTEN", "CLOSE_WAIT", "UNCONN"}
PATIENCE = 20  # times that the table may change while it is looked at
ADDRESSES = [
    "127.0.0.1",
    "127.0.0.7",
    "127.0.0.0/29",
    "127.0.0.8/30",
    "0.0.0.0",
    "0.0.0.0/0",
    "10.0.0.0/8",
    "::1",
    "::",
    "::/0",
    "fe80::1",
    "fe80::1%lo",
    "fe80::1%eth0",
    "fe80::/10",
    "::ffff:127.0.0.1",
    "::ffff:0.0.0.0/96",
    "127.0.0.1/32",
    "128.0.0.0/1",
    "0.0.0.0/1",
]


@pytest.fixture(scope="module", autouse=True)
def _crowd() -> Iterator[None]:
    """Sockets in every state, and some hundred more on many addresses and ports."""
    if reason := why_not():
        pytest.skip(reason)
    with private_network(), open_zoo() as zoo:
        for number in range(60):
            add_connection(zoo, f"127.0.0.{number % 16}", number)
        for number in range(30):
            add_connection(zoo, "::1", number)
            add_mapped(zoo, f"127.0.0.{number % 16}")
            zoo.bind((f"127.0.0.{number % 16}", 0), socket.SOCK_DGRAM)
            zoo.bind(("::1", 0), socket.SOCK_DGRAM)
        yield


def add_connection(zoo: Zoo, host: str, number: int) -> None:
    """A listener and both ends of a connection, some of which are half closed."""
    listener = zoo.listen((host if host != "127.0.0.0" else "0.0.0.0", 0))
    client, server = zoo.pair(listener)
    if number % 4 == 1:
        client.shutdown(socket.SHUT_WR)
    elif number % 4 == 2:
        server.close()


def add_mapped(zoo: Zoo, host: str) -> None:
    """An IPv4 client of an IPv6 listener, and an IPv6 socket that is bound to IPv4."""
    listener = zoo.listen(("::", 0))
    client = zoo.open(socket.AF_INET)
    client.connect((host if host != "127.0.0.0" else "127.0.0.1", listener.getsockname()[1]))
    zoo.keep(listener.accept()[0])
    zoo.bind(("::ffff:127.0.0.1", 0), socket.SOCK_DGRAM)


def key(connection: Connection) -> Hashable:
    return (connection.protocol, connection.family, connection.cookie, connection.state)


def keys(connections: Iterable[Connection]) -> set[Hashable]:
    return {key(connection) for connection in connections}


def everything() -> list[Connection]:
    return list(snapshot(protocols=PROTOCOLS, owners=False).connections)


def while_nothing_changes(look: Callable[[], T]) -> tuple[list[Connection], T]:
    """All sockets, and what was seen while they stayed as they are."""
    for _ in range(PATIENCE):
        before, seen, after = everything(), look(), everything()
        if keys(before) == keys(after):
            return before, seen
    raise AssertionError(f"the table changed {PATIENCE} times")


def selected(selection: Selection, connections: Iterable[Connection]) -> set[Hashable]:
    """Those that pass, of all: nothing but Python."""
    test = selection.socket_test()
    return keys(
        c
        for c in connections
        if Table(c.protocol, c.family) in selection.tables and (test is None or test(c))
    )


@cache
def ports_in_use() -> list[int]:
    ports = {port for c in everything() for port in (c.local_port, c.remote_port)}
    return sorted(port for port in ports if port)


@st.composite
def port_words(draw: st.DrawFn) -> list[str]:
    """Ports that are in use, their neighbours, and ranges between them."""
    port = st.sampled_from([0, 1, 65535, *ports_in_use()])
    near = st.builds(
        lambda port, step: min(max(port + step, 0), 65535), port, st.sampled_from([0, 0, -1, 1])
    )
    ranges = st.builds(lambda a, b: f"{min(a, b)}-{max(a, b)}", near, near)
    return draw(st.lists(st.one_of(near.map(str), ranges), min_size=1, max_size=5))


WITHOUT_ZONE = [address for address in ADDRESSES if "%" not in address]
ADDRESS_WORDS = st.lists(st.sampled_from(ADDRESSES), min_size=1, max_size=3)
OPTIONS: dict[str, st.SearchStrategy[Any]] = {
    "protocols": st.lists(
        st.sampled_from(["tcp", "tcp4", "tcp6", "udp", "udp4", "udp6", "udplite"]), min_size=1
    ),
    "families": st.lists(st.sampled_from(["ipv4", "ipv6"]), min_size=1),
    "states": st.lists(st.sampled_from([*STATES, "connected", "bucket"]), min_size=1, max_size=4),
    "listening": st.just(value=True),
    "ports": port_words(),
    "local_ports": port_words(),
    "remote_ports": port_words(),
    "addresses": ADDRESS_WORDS,
    "local_addresses": ADDRESS_WORDS,
    "remote_addresses": ADDRESS_WORDS,
}
LOCAL: dict[str, st.SearchStrategy[Any]] = {
    "local_ports": port_words(),
    "local_addresses": st.lists(st.sampled_from(WITHOUT_ZONE), min_size=1, max_size=3),
}
WITHOUT_STATES = {name: words for name, words in OPTIONS.items() if name != "states"}


def answer(query: Query) -> set[Hashable]:
    """What the kernel says, before anything is tested here."""
    source = SockDiag()
    batches = [batch for table in query.tables for batch in source.read(table, query)]
    return keys(record for batch in batches for record in batch.records())


@pytest.mark.parametrize("state", [state for state in STATES if state != "UNKNOWN"])
def test_the_kernel_alone_selects_states(state: State) -> None:
    query = Query(tables=TABLES, states=frozenset({state}))
    connections, found = while_nothing_changes(lambda: answer(query))
    # CLOSE and UNCONN have one number, and TCP sockets that are only CLOSE stand in no table.
    shown = "UNCONN" if state == "CLOSE" else state
    expected = keys(c for c in connections if c.state == shown and c.protocol in ("tcp", "udp"))
    assert found == expected
    assert found or state not in LASTING


def test_the_kernel_takes_the_longest_program() -> None:
    port = next(c.local_port or 0 for c in everything() if c.state == "LISTEN")
    many = tuple(PortRange("local", p, p) for p in (*range(1, 3275), port))
    condition = all_of((any_of(many), PortRange("local", 0, 65535), PortRange("remote", 0, 65535)))
    assert len(encode_condition(condition) or b"") == 65528
    query = Query(tables=TABLES, condition=condition)
    connections, found = while_nothing_changes(lambda: answer(query))
    assert found == keys(
        c
        for c in connections
        if c.protocol in ("tcp", "udp") and c.local_port in (port, *range(1, 3275))
    )
    assert found


def test_a_program_that_is_too_long_is_left_to_python() -> None:
    ports = ports_in_use()[::2]
    words = [str(port) for port in (*range(1, 5000), *ports)]
    selection = select(ports=words)
    assert encode_condition(selection.query().condition) is None
    connections, found = while_nothing_changes(
        lambda: keys(c for records in Listing(selection, with_owners=False) for c in records)
    )
    assert found == selected(selection, connections)
    assert found


@pytest.mark.parametrize("source", ["sock_diag", "proc"])
def test_a_summary_counts_what_a_listing_shows(source: str) -> None:
    """Without conditions no records are made for it."""
    selection = select(protocols=["all"])

    def look() -> tuple[Counter[Any], Counter[Any]]:
        summary = summarize(Listing(selection, source=source, with_owners=False))
        counted = {(c.protocol, c.family, c.state): c.count for c in summary.counts if c.count}
        shown = snapshot(protocols=["all"], source=source, owners=False).connections
        return Counter(counted), Counter((c.protocol, c.family, c.state) for c in shown)

    _, (counted, shown) = while_nothing_changes(look)
    inet = {kind for kind in shown if kind[0] != "unix"}  # unix sockets have no namespace of ours
    assert {kind: counted[kind] for kind in inet} == {kind: shown[kind] for kind in inet}
    assert {state for _, _, state in inet} >= LASTING


@settings(max_examples=60)
@given(st.fixed_dictionaries({}, optional=OPTIONS))
def test_a_listing_is_what_python_selects_of_everything(options: dict[str, Any]) -> None:
    selection = select(**{"protocols": PROTOCOLS, **options})
    listing: Callable[[], set[Hashable]] = lambda: keys(  # noqa: E731 so it reads as what is looked at
        c for records in Listing(selection, source="sock_diag", with_owners=False) for c in records
    )
    connections, found = while_nothing_changes(listing)
    assert found == selected(selection, connections)


@settings(max_examples=30)
@given(st.fixed_dictionaries({}, optional=LOCAL))
def test_the_kernel_alone_selects_exactly_by_what_is_local(options: dict[str, Any]) -> None:
    """So it took the tests, and they mean there what they mean here."""
    selection = select(**options)
    connections, found = while_nothing_changes(lambda: answer(selection.query()))
    assert found == selected(selection, connections)


@settings(max_examples=30)
@given(st.fixed_dictionaries({}, optional=WITHOUT_STATES))
def test_the_kernel_alone_selects_no_less(options: dict[str, Any]) -> None:
    selection = select(**options)
    connections, found = while_nothing_changes(lambda: answer(selection.query()))
    assert found >= selected(selection, connections)
