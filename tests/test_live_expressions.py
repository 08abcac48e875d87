"""What an expression selects with the kernel's help is what testing everything here selects."""

from __future__ import annotations

import os
import socket
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator
from functools import cache
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from netinspect.api import Listing, snapshot
from netinspect.cli.plan import plan_lines
from netinspect.errors import ExpressionError, RefusedError
from netinspect.filters.expression import parse_expression
from netinspect.filters.selection import select
from netinspect.filters.terms import predicate
from netinspect.filters.words import parse_states
from netinspect.model import Connection, State, Table
from netinspect.parse.netlink import Reply
from netinspect.query import (
    AllOf,
    AnyOf,
    Autobound,
    Condition,
    Mark,
    Not,
    at_tables,
)
from netinspect.sources import halves
from netinspect.sources.cgroups import cgroup_mount
from netinspect.sources.netlink import dump
from netinspect.sources.sock_diag import SockDiag
from netinspect.worker import Worker
from tests.namespace import private_network, why_not
from tests.program import Done, run
from tests.sockets import open_zoo
from tests.test_live_filters import ADDRESSES, add_connection, add_mapped, key, keys
from tests.zoo import Zoo

pytestmark = pytest.mark.live

T = TypeVar("T")
PROTOCOLS = ("tcp", "udp", "udplite", "raw", "icmp", "unix")
SO_MARK = 36  # asm-generic/socket.h


@pytest.fixture(scope="module", autouse=True)
def _crowd() -> Iterator[None]:
    """Sockets in every state, some of them marked."""
    if reason := why_not():
        pytest.skip(reason)
    with private_network(), open_zoo() as zoo:
        for number in range(20):
            add_connection(zoo, f"127.0.0.{number % 16}", number)
            add_mapped(zoo, f"127.0.0.{number % 16}")
        add_marked(zoo)
        yield
        ports.cache_clear()
        marks.cache_clear()


def add_marked(zoo: Zoo) -> None:
    for mark in (1, 2, 3, 0x103):
        sock = zoo.bind(("127.0.0.1", 0))
        sock.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)
        sock.listen()
        datagram = zoo.bind(("::1", 0), socket.SOCK_DGRAM)
        datagram.setsockopt(socket.SOL_SOCKET, SO_MARK, mark)


def listed(
    expression: str, protocols: tuple[str, ...], states: list[str] | None = None
) -> list[Connection]:
    selection = select(protocols=protocols, expression=expression, states=states)
    return [c for records in Listing(selection, with_owners=False) for c in records]


@cache
def ports() -> list[str]:
    found = snapshot(protocols=PROTOCOLS, owners=False).connections
    numbers = {port for c in found for port in (c.local_port, c.remote_port) if port is not None}
    return [str(port) for port in sorted({0, 1, 65535, *numbers})]


@cache
def marks() -> dict[Hashable, set[str]]:
    """Which of the tests that only the kernel makes hold for a socket: each asked alone."""
    met: dict[Hashable, set[str]] = {}
    for text in KERNEL_ONLY:
        for c in listed(text, ("tcp", "udp")):
            met.setdefault((c.protocol, c.family, c.cookie), set()).add(text)
    return met


KERNEL_ONLY = ("fwmark = 0x1", "fwmark = 0x1/0x3", "fwmark = 0x0", "autobound")


def holds(condition: Condition, connection: Connection) -> bool:
    """A direct evaluation, with what the kernel says of a socket when asked for one thing."""
    if isinstance(condition, AllOf):
        return all(holds(part, connection) for part in condition.parts)
    if isinstance(condition, AnyOf):
        return any(holds(part, connection) for part in condition.parts)
    if isinstance(condition, Not):
        return not holds(condition.part, connection)
    if isinstance(condition, (Mark, Autobound)):
        name = next(text for text in KERNEL_ONLY if of_text(text) == condition)
        identity = (connection.protocol, connection.family, connection.cookie)
        return name in marks().get(identity, ())
    return predicate(condition)(connection)


def of_text(text: str) -> Condition:
    return at_tables(parse_expression(text).condition, [Table("tcp", "ipv4")])


def chosen(
    text: str, connections: Iterable[Connection], states: list[str] | None = None
) -> Iterator[Connection]:
    """Those that meet the expression and, if there is one, the option."""
    condition = parse_expression(text).condition
    wanted = parse_states(["all"] if states is None else states)
    for c in connections:
        if c.state in wanted and holds(at_tables(condition, [Table(c.protocol, c.family)]), c):
            yield c


COMPARISON = st.sampled_from(["=", "!=", "<", "<=", ">", ">="])
PORT = st.deferred(lambda: st.sampled_from(ports()))
HOSTS = [a for a in ADDRESSES if "%" not in a or a.endswith("lo")]
TERMS = st.one_of(
    st.builds("{} {} :{}".format, st.sampled_from(["sport", "dport"]), COMPARISON, PORT),
    st.builds(
        "{} {} {}".format,
        st.sampled_from(["src", "dst"]),
        st.sampled_from(["=", "!="]),
        st.sampled_from([f"[{a}]" if ":" in a else a for a in HOSTS]),
    ),
    st.builds(
        "state {}".format,
        st.sampled_from(["established", "listen", "connected", "time-wait", "unconn", "bound"]),
    ),
    st.builds(
        "proto {} {}".format,
        st.sampled_from(["=", "!="]),
        st.sampled_from(["tcp", "udp", "tcp6", "tcp4", "udp6"]),
    ),
    st.sampled_from(
        ["dev = lo", "dev != lo", "uid = 65534", "user != root", "inode > 0", "src inet:*:*"]
    ),
    st.sampled_from(["recv_q > 0", "send_q >= 1k", "exposure = any", "src unix:*dgram*"]),
)
WITH_KERNEL = st.one_of(TERMS, st.sampled_from(KERNEL_ONLY))


# By option: none, one or two
STATES = st.none() | st.lists(
    st.sampled_from(["established", "listen", "time-wait", "unconn", "bound", "syn-recv"]),
    min_size=1,
    max_size=2,
)


def trees(terms: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.recursive(
        terms,
        lambda parts: st.one_of(
            st.lists(parts, min_size=2, max_size=4).map(lambda p: f"( {' and '.join(p)} )"),
            st.lists(parts, min_size=2, max_size=4).map(lambda p: f"( {' or '.join(p)} )"),
            parts.map("not {}".format),
        ),
        max_leaves=8,
    )


def steady(look: Callable[[], T], protocols: tuple[str, ...]) -> tuple[list[Connection], T]:
    """All sockets, and what was seen while they stayed as they are."""
    for _ in range(20):
        before = everything(protocols)
        seen = look()
        if keys(before) == keys(everything(protocols)):
            return before, seen
    raise AssertionError("the table changes all the time")


def everything(protocols: tuple[str, ...]) -> list[Connection]:
    return list(snapshot(protocols=protocols, owners=False).connections)


def check(text: str, protocols: tuple[str, ...], states: list[str] | None = None) -> None:
    connections, found = steady(lambda: listed(text, protocols, states), protocols)
    counted = Counter(map(key, found))
    # sockets without cookie: icmp, and raw from /proc
    assert {k for k in counted if k[2] is not None} == {  # type: ignore[index]
        k
        for k in keys(chosen(text, connections, states))
        if k[2] is not None  # type: ignore[index]
    }
    assert all(count == 1 for k, count in counted.items() if k[2] is not None)  # type: ignore[index]


@settings(max_examples=150)
@given(trees(TERMS))
def test_an_expression_selects_what_testing_everything_selects(text: str) -> None:
    protocols = ("tcp", "udp", "udplite") if "dev" in text else PROTOCOLS
    check(text, protocols)


# the kernel gives UNCONN and CLOSE one number, and udp sockets have the first alone
@example("not ( state unconn or fwmark = 0x1 )", None)
@example("not ( src inet:*:* and ( state established or fwmark = 0x1 ) )", None)
# all unix sockets are read, whatever their state
@example("fwmark = 0x1 or state established", ["listen"])
@example("not ( state connected or fwmark = 0x1 )", None)
@settings(max_examples=100)
@given(trees(WITH_KERNEL), STATES)
def test_what_only_the_kernel_can_test_may_stand_anywhere(
    text: str, states: list[str] | None
) -> None:
    check(text, ("tcp", "udp", "unix"), states)


def counted(
    text: str | None, protocols: tuple[str, ...] = ("tcp", "udp"), **options: Any
) -> tuple[Counter[tuple[Table, State]], bool]:
    """The counts, and whether two processes made them."""
    selection = select(protocols=protocols, expression=text, **options)
    listing = Listing(selection, with_owners=False, is_counted=True)
    sources = map(listing.source_of, selection.tables)
    return listing.count(), any(isinstance(s, SockDiag) and s.halved for s in sources)


@pytest.fixture
def _always_in_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also few sockets, and in a process of tests, which has threads."""
    monkeypatch.setattr(halves, "MANY", 0)
    monkeypatch.setattr(halves, "may_fork", lambda: True)


def check_count(text: str, states: list[str] | None = None) -> None:
    connections, (counts, _) = steady(lambda: counted(text, states=states), ("tcp", "udp"))
    assert counts == Counter(
        (Table(c.protocol, c.family), c.state) for c in chosen(text, connections, states)
    )


@pytest.mark.usefixtures("_always_in_halves")
# no socket can be asked for
@example("state established", ["listen"])
@example("not state listen", ["listen"])
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(trees(TERMS), STATES)
def test_two_processes_count_what_testing_everything_counts(
    text: str, states: list[str] | None
) -> None:
    check_count(text, states)


@pytest.mark.usefixtures("_always_in_halves")
def test_no_halves_where_there_may_be_no_fork(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halves, "may_fork", lambda: False)
    assert not counted("sport >= :0")[1]


def test_two_questions_are_counted_as_one() -> None:
    check_count("autobound or recv_q > 5")
    assert len(select(expression="autobound or recv_q > 5").expanded()) == 2


def test_an_expression_that_no_socket_can_meet() -> None:
    text = "not ( fwmark = 7 or fwmark != 7 or uid = 0 )"
    assert counted(text)[0] == Counter()
    assert listed(text, ("tcp", "unix")) == []


@pytest.mark.parametrize("place", ["/proc", "../..", __file__, f"{cgroup_mount()}/cgroup.procs"])
def test_a_cgroup_is_a_folder_of_cgroups(place: str) -> None:
    with pytest.raises(ExpressionError, match="there is no cgroup"):
        snapshot(expression=f'cgroup "{place}"')


@pytest.mark.usefixtures("_always_in_halves")
@pytest.mark.parametrize(
    ("text", "is_in_halves"),
    [
        ("sport >= :0", True),
        ("dport != :1", True),
        ("not ( dst 127.0.0.1 or sport = :1 )", True),
        ("sport >= :1024 or dport = :80", True),
        ("state big", True),  # a minisocket has a state that the request has no bit for
        ("exclude syn-recv", True),
        ("exclude established and sport > :1", True),
        ("state time-wait", True),
        ("state listening", False),  # a table of its own
        ("state bound or state close", False),
        ("recv_q > 0", False),
        ("fwmark = 0x1", False),  # may be refused
        ("sport = :22 or sport = :80", False),  # narrow
        (" or ".join(f"sport=:{port}" for port in range(1, 4000)), False),  # too long
    ],
)
def test_what_two_processes_count(text: str, is_in_halves: bool) -> None:
    check_count(text)
    assert counted(text)[1] == is_in_halves


@pytest.mark.usefixtures("_always_in_halves")
@pytest.mark.parametrize("states", [None, ["established"], ["syn-recv"], ["bound", "time-wait"]])
def test_what_two_processes_count_by_options(states: list[str] | None) -> None:
    connections, (counts, _) = steady(lambda: counted(None, states=states), ("tcp", "udp"))
    wanted = states and {word.upper().replace("-", "_") for word in states}
    assert counts == Counter(
        (Table(c.protocol, c.family), c.state)
        for c in connections
        if not wanted or c.state in wanted
    )


@pytest.mark.usefixtures("_always_in_halves")
@pytest.mark.parametrize("protocol", ["tcp4", "tcp6"])
def test_two_processes_count_one_family(protocol: str) -> None:
    connections, (counts, is_in_halves) = steady(
        lambda: counted("sport > :0", protocols=(protocol,)), (protocol,)
    )
    assert is_in_halves
    assert counts == Counter((Table(c.protocol, c.family), c.state) for c in connections)


@pytest.mark.usefixtures("_always_in_halves")
def test_the_other_half_is_counted_here_when_the_other_process_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    expected = steady(lambda: counted("sport > :0"), ("tcp", "udp"))[1]
    monkeypatch.setattr(Worker, "answer", lambda _: None)
    assert steady(lambda: counted("sport > :0"), ("tcp", "udp"))[1] == expected
    assert expected[1]


@pytest.mark.usefixtures("_always_in_halves")
def test_the_plan_says_what_the_kernel_decides() -> None:
    selection = select(protocols=["tcp"], expression="sport > :1 and not dst ::1")
    listing = Listing(selection, with_owners=False, is_counted=True)
    assert list(plan_lines(listing)) == [
        "plan: tcp4, tcp6: sock_diag: all states; sport >= :2",
        "plan: tcp4, tcp6: counted by two processes at once, parted by ports",
        "plan: tested here: what the socket tells",
        "plan: owners are not looked for",
    ]
    listing = Listing(select(protocols=["tcp4"], expression="sport > :1"), with_owners=False)
    assert list(plan_lines(listing)) == [
        "plan: tcp4: sock_diag: all states; sport >= :2",
        "plan: tcp4: of what has a peer the kernel decides",
        "plan: tested here: what the socket tells",
        "plan: owners are not looked for",
    ]


@pytest.mark.parametrize("protocol", ["tcp4", "udp4"])
def test_the_plan_says_where_the_kernel_does_not_decide(
    protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def plan(text: str) -> list[str]:
        listing = Listing(select(protocols=[protocol], expression=text), with_owners=False)
        return list(plan_lines(listing))[:-1]

    # inode is tested here
    assert plan("sport > :1 and inode > 5") == [
        f"plan: {protocol}: sock_diag: all states; sport >= :2",
        "plan: tested here: what the socket tells",
    ]
    assert plan("not ( fwmark = 7 or fwmark != 7 or uid = 0 )") == [
        "plan: nothing is asked: no socket can meet the expression",
    ]

    requests: list[bytes] = []

    def refuse(request: bytes) -> Iterator[Reply]:
        requests.append(request)
        if len(requests) == 1:
            raise RefusedError("not known")
        yield from dump(request)

    monkeypatch.setattr("netinspect.sources.sock_diag.dump", refuse)
    assert plan("sport > :1") == [
        f"plan: {protocol}: sock_diag: all states; sport >= :2",
        f"plan: {protocol}: the condition was not taken, so all sockets were read: not known",
        "plan: tested here: what the socket tells",
    ]


def test_what_the_kernel_decides_is_not_tested_again(monkeypatch: pytest.MonkeyPatch) -> None:
    tested: list[Connection] = []

    def test(connection: Connection) -> bool:
        tested.append(connection)
        return True

    monkeypatch.setattr("netinspect.filters.expansion.predicate", lambda _: test)
    time_wait()
    found = listed("sport > :1 and state time-wait", ("tcp",))
    assert found
    assert tested == []
    listed("sport > :1 and rtt > 5", ("tcp",))
    assert tested


def test_the_plan_says_nothing_of_deciding_where_all_pass() -> None:
    assert list(plan_lines(Listing(select(protocols=["tcp4"]), with_owners=False))) == [
        "plan: tcp4: sock_diag: all states; no condition",
        "plan: tested here: nothing",
        "plan: owners are not looked for",
    ]


def test_a_few_sockets_are_counted_by_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halves, "may_fork", lambda: True)
    assert not counted(None)[1]
    monkeypatch.setattr(halves, "MANY", len(everything(("tcp",))) // 2)
    assert counted(None)[1]


def time_wait() -> None:
    """A socket that nobody holds, for a minute."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        server, _ = listener.accept()
        client.close()
        server.close()


def owned(text: str | None = None) -> list[Connection]:
    return list(snapshot(protocols=("tcp", "udp"), expression=text).connections)


@pytest.mark.parametrize(
    "text",
    [
        "pid = {me} and sport >= 1",
        "pid != {me}",
        "( pid = {me} and state listen ) or state time-wait",
        "autobound and not pid = {me}",
        "( autobound or pid = {me} ) and proto = tcp",
    ],
)
def test_owners_in_an_expression(text: str) -> None:
    text = text.format(me=os.getpid())
    time_wait()
    marks.cache_clear()
    found: list[Connection] = []
    for _ in range(20):  # until nothing expires meanwhile
        before, found, after = owned(), owned(text), owned()
        if keys(before) == keys(after):
            assert keys(found) == keys(chosen(text, before))
            break
    assert found


@pytest.mark.parametrize(
    ("expression", "under"),
    [
        ("cgroup = /nosuch", "         ~~~~~~^"),
        ('pid = 1 or not cgroup "/nosuch"', "                      ~~~~~~~~^"),
        (
            "cgroup / and ( process /nosuch or cgroup /nosuch )",
            "                                         ~~~~~~^",
        ),
        ("process /nosuch or cgroup = /nosuch", "                            ~~~~~~^"),
        ("(sport = :1 and cgroup!=/nosuch) or process = x", "                        ~~~~~~^"),
    ],
)
def test_a_cgroup_that_is_not_there_is_pointed_at(expression: str, under: str) -> None:
    problem = f"there is no cgroup '/nosuch': expected a path below {cgroup_mount()}"
    with pytest.raises(ExpressionError) as caught:
        snapshot(expression=expression)
    assert str(caught.value) == f"{problem}\n  {expression}\n  {under}"
    pointer = f"netinspect: {problem}\n  {expression}\n  {under}\n"
    assert run("summary", expression) == Done(2, "", pointer)
    assert run("check", "-w", "1", expression).out == f"NETINSPECT UNKNOWN: {problem}\n"
