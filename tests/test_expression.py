from __future__ import annotations

import socket
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.errors import ExpressionError, UsageError
from netinspect.extended import TcpInfo
from netinspect.filters.expression import DEEPEST, parse_expression
from netinspect.filters.selection import select
from netinspect.filters.terms import predicate
from netinspect.model import STATES, Connection, Owner, State, Table
from netinspect.query import (
    PEERLESS,
    TCP_STATES,
    at_tables,
    decided_states,
    kernel_test,
    negated_leaves,
)
from netinspect.render.escape import ELLIPSIS, display_width, escape_part
from netinspect.render.pointer import pointer
from tests.records import made

CONNECTED = TCP_STATES - PEERLESS | {"UNKNOWN"}
PLACES = [
    ("sport", "sport", "     ^"),
    ("sport =", "sport =", "       ^"),
    ("sport >= foo", "sport >= foo", "         ~~^"),
    ("sport>=99999", "sport>=99999", "       ~~~~^"),
    ("sport > :1-2", "sport > :1-2", "        ~~~^"),
    ("sport = and dport = 2", "sport = and dport = 2", "        ~~^"),
    ("src", "src", "   ^"),
    ("src < 10.0.0.1", "src < 10.0.0.1", "    ^"),
    ("dst = example.com", "dst = example.com", "      ~~~~~~~~~~^"),
    ("dst ::1:80", "dst ::1:80", "    ~~~~~^"),
    ("dst 10.0.0.0/33", "dst 10.0.0.0/33", "    ~~~~~~~~~~^"),
    ("src vsock:2", "src vsock:2", "    ~~~~~~^"),
    ("src [::1", "src [::1", "    ~~~^"),
    ("state", "state", "     ^"),
    ("state fast", "state fast", "      ~~~^"),
    ("sport = 1 state fast", "sport = 1 state fast", "                ~~~^"),
    ("state ( listen )", "state ( listen )", "      ^"),
    ("and sport = 1", "and sport = 1", "~~^"),
    ("sport = 1 or", "sport = 1 or", "            ^"),
    ("sport = 1 and and", "sport = 1 and and", "              ~~^"),
    ("( sport = 1", "( sport = 1", "^"),
    ("sport = 1 )", "sport = 1 )", "          ^"),
    ("( )", "( )", "  ^"),
    ("not", "not", "   ^"),
    ("!", "!", " ^"),
    ("not not )", "not not )", "        ^"),
    ("sport = 1 or sport = 2 and dport = 3", None, "                       ~~^"),
    ("sport = 1 or sport = 2 dport = 3", None, "                       ~~~~^"),
    ("( sport = 1 and dport = 2 or pid = 3 )", None, "                          ~^"),
    ("state listen state bound or sport = 1", None, "                         ~^"),
    ("pid = x", "pid = x", "      ^"),
    ("uid 1.5", "uid 1.5", "    ~~^"),
    ("rtt > 5min", "rtt > 5min", "      ~~~^"),
    ("recv_q > 1x", "recv_q > 1x", "         ~^"),
    ("proto tpc", "proto tpc", "      ~~^"),
    ("process > a", "process > a", "        ^"),
    ("process = user", "process = user", "          ~~~^"),
    ("dev = no-such-device", None, "      ~~~~~~~~~~~~~^"),
    ("fwmark 0x1/", "fwmark 0x1/", "       ~~~^"),
    ("fwmark = 4294967296", None, "         ~~~~~~~~~^"),
    ("exposure = publik", None, "           ~~~~~^"),
    ("sprot = 1", "sprot = 1", "~~~~^"),
    ("autobound = 1", "autobound = 1", "          ^"),
    ("src unix:'a b", "src unix:'a b", "         ^"),
    ('( sport = 22 ")"', '( sport = 22 ")"', "             ~~^"),
    ("sport = 1 and or dport = 3", None, "              ~^"),
    ("state != lisen", None, "         ~~~~^"),
    ("user \ud800", "user \ud800", "     ^"),
    ("", "", "^"),
]


@pytest.mark.parametrize(("text", "line", "under"), PLACES, ids=[p[0] for p in PLACES])
def test_an_error_points_at_its_place(text: str, line: str | None, under: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_expression(text)
    shown = str(caught.value).split("\n")
    assert shown[1:] == [f"  {text if line is None else line}", f"  {under}"]


MESSAGES = [
    ("sport", "expected a port after 'sport'"),
    ("sport = user", "expected a port after 'sport', found 'user'; as a name it takes quotes"),
    ("src < 10.0.0.1", "expected = or != after 'src', found '<'"),
    ("src vsock:2", "vsock sockets are not read yet; there are inet:, inet6: and unix:"),
    ("dst ::1:80", "write [::1]:80 for an address and a port, or [::1:80] for an address"),
    ("dst ::1:http", "write [::1]:http for an address and a port"),
    (
        "dst example.com",
        (
            "'example.com' is no address, and names are not looked up; give its address, as "
            "10.0.0.1, 10.0.0.0/8, ::1 or [::1]:443"
        ),
    ),
    ("src /run/a*", "'/run/a*' is no address; write unix:/run/a* for the path of a unix socket"),
    ("state estblished", "unknown state 'estblished'; did you mean established?"),
    ("sprot = 1", "unknown condition 'sprot'; did you mean sport?"),
    ("sport = 1 tcp", "expected a condition, found 'tcp'; did you mean proto = tcp?"),
    ("sport = 1 estab", "expected a condition, found 'estab'; did you mean state estab?"),
    ("sport = 1 or", "expected a condition after 'or'"),
    ("sport = 1 && || dport = 3", "expected a condition after '&&', found '||'"),
    ("not and", "expected a condition after 'not', found 'and'"),
    ("sport = 1 = 2", "expected a condition, found '='"),
    ("autobound = 1", "'autobound' takes no value"),
    ("src [::1", "expected ] behind the address, then perhaps :PORT"),
    ("( )", "expected a condition, found ')'"),
    ("sport > :1-2", "a range goes with = and != only, not with >"),
    ("src 'a", "this ' is not closed"),
    (
        "sport = 1 or sport = 2 and dport = 3",
        (
            "'and' and 'or' side by side: ss reads them from left to right, while its manual says "
            "that 'and' goes first; write ( sport = 1 or sport = 2 ) and dport = 3, or "
            "sport = 1 or ( sport = 2 and dport = 3 )"
        ),
    ),
    (
        "sport = 1 or sport = 2 dport = 3",
        (
            "'and' and 'or' side by side (the 'and' is not written): ss reads them from left to "
            "right, while its manual says that 'and' goes first; write ( sport = 1 or sport = 2 ) "
            "and dport = 3, or sport = 1 or ( sport = 2 and dport = 3 )"
        ),
    ),
]


@pytest.mark.parametrize(("text", "message"), MESSAGES, ids=[m[0] for m in MESSAGES])
def test_what_an_error_says(text: str, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_expression(text)
    assert caught.value.problem == message


def test_nesting_has_an_end() -> None:
    for opening in ("( ", "not "):
        with pytest.raises(ExpressionError, match="nested more than 50 deep"):
            parse_expression(opening * 5000 + "sport = 1")
    closed = "(" * DEEPEST + "sport = 1" + ")" * DEEPEST
    assert parse_expression(closed) == parse_expression("sport = 1")
    with pytest.raises(ExpressionError) as caught:
        parse_expression(f"({closed})")
    assert (caught.value.start, caught.value.end) == (DEEPEST, DEEPEST + 1)


def test_length_has_an_end() -> None:
    with pytest.raises(ExpressionError, match="has 70000 characters, and may have 65536"):
        parse_expression(" " * 70000)
    long = " or ".join(f"sport = {port}" for port in range(3000))
    assert passes(long, made(local_port=2999))
    assert not passes(long, made(local_port=3000))
    # each part looked at once: against all others it would take minutes
    others = " ".join(f"pid != {pid}" for pid in range(4000))
    assert len(select(expression=f"{others} fwmark = 1").expanded()) == 1
    assert len(select(expression=f"{others} ( fwmark = 1 or pid = 1 )").expanded()) == 2


def test_a_long_one_is_quoted_in_part() -> None:
    ports = " ".join(f"sport = {port}" for port in range(1000))
    with pytest.raises(ExpressionError) as caught:
        parse_expression(f"{ports} or dport = 3")
    assert len(caught.value.problem) < 500
    part = "write ( sport = 0 sport = 1 sport ... 7 sport = 998 sport = 999 ) or dport = 3, or "
    assert part in caught.value.problem


def passes(text: str, connection: Connection) -> bool:
    condition = parse_expression(text).condition
    table = Table(connection.protocol, connection.family)
    return predicate(at_tables(condition, [table]))(connection)


UNIX: dict[str, Any] = {"protocol": "unix", "family": "unix", "local_port": None}
# 10.0.0.1:44321 is connected to 10.0.0.2:443; alice has it, by nginx.
HOLD = [
    "dport=:443",
    "(dport = :443)",
    "!sport=22",
    "dport == https",
    "dport eq 443",
    "DPORT EQ 443",
    "dport>=443",
    "dport ge :443",
    "dport 400-500",
    "dport != :8000-8100",
    "dst!=1.2.3.4",
    "dst 10/8",
    "dst inet:10.0.0.2:443",
    "dst :443",
    "dst *:443",
    "src 10.0.0.0/8:44321",
    "src *",
    "sport *",
    "state established",
    "state connected",
    "exclude listen",
    "state != listen",
    "exclude != estab",
    "state connected state != listen",
    "state listen state estab",
    "state listen or dport = 443",
    "state estab and dport = 443",
    "dport = 443 state established",
    "dport = 443 && state established",
    "dport = 80 || dport = 443",
    "dport = 80 | dport = 443",
    "not ( dport = 80 or dport = 81 )",
    "not dport = 80 dport = 443",
    "pid = 321",
    "pid 321",
    "pid > 300",
    "pid != 5",
    "process = ngin",
    "process ng*x",
    'process = "nginx"',
    "user alice",
    "user = 1000",
    "uid >= 1000",
    "proto tcp",
    "proto != udp",
    "inode = 9001",
    "recv_q < 1",
    "send_q = 12",
    "send-q != 1k",
    "not src unix:*",
    "not rtt > 1",
    "rtt != 1",
]


@pytest.mark.parametrize("text", HOLD)
def test_what_holds(text: str) -> None:
    assert passes(text, made())
    if not text.startswith(("state", "exclude")):
        assert not passes(f"not ( {text} )", made())


def test_null_compares_with_nothing() -> None:
    listener = made(state="LISTEN", remote_address=None, remote_port=None)
    for text in ("dport >= 0", "dport <= 65535", "dst 0.0.0.0/0", "dport < 5"):
        assert not passes(text, listener), text
    for text in ("dport != 443", "dst != 10.0.0.2", "not dport = 0", "dport != 0"):
        assert passes(text, listener), text


@pytest.mark.parametrize("word", ["close", "closed", "unconnected", "UNCONN"])
def test_to_ss_all_that_is_unconnected_is_one_state(word: str) -> None:
    for state in ("CLOSE", "UNCONN"):
        assert passes(f"state {word}", made(state=state))
        assert passes(f"sport > 0 state {word}", made(state=state))
        assert not passes(f"exclude {word}", made(state=state))
    assert not passes(f"state {word}", made(state="BOUND"))


@pytest.mark.parametrize("us", [9, 13, 26, 123, 246, 99_999])
def test_microseconds_are_exact(us: int) -> None:
    connection = made(tcp_info=TcpInfo(rtt_ms=us / 1000))
    for value in (f"{us}us", f"{us / 1000}", f"{us / 1000}ms", f"{us / 1e6:.6f}s"):
        assert passes(f"rtt = {value}", connection), value
        assert not passes(f"rtt > {value}", connection)
        assert not passes(f"rtt < {value}", connection)


def test_zones() -> None:
    index = socket.if_nametoindex("lo")
    link_local = made(family="ipv6", local_address="fe80::1%lo", local_port=22)
    for text in ("fe80::1", "fe80::1%lo", "[fe80::1%lo]:22", "[fe80::1]%lo:22", f"fe80::1%{index}"):
        assert passes(f"src {text}", link_local), text
    for text in ("fe80::1%eth0", "[fe80::1]%lo:23", "fe80::1%99999999999"):
        assert not passes(f"src {text}", link_local), text
    # as Windows prints it, whose interface 1 is another one
    captured = made(family="ipv6", local_address=f"fe80::1%{index}")
    assert passes(f"src fe80::1%{index}", captured)
    with pytest.raises(ExpressionError, match="expected one zone, found 'lo%lo'"):
        parse_expression("src fe80::1%lo%lo")


def test_a_device_behind_an_address() -> None:
    """As ss prints a socket that is bound to one."""
    bound = made(local_address="127.0.0.1", local_port=22, interface="lo")
    for text in ("127.0.0.1%lo", "127.0.0.1%lo:22", "127.0.0.0%lo/8"):
        assert passes(f"src {text}", bound), text
        assert not passes(f"src {text}", made(local_address="127.0.0.1", local_port=22)), text
    # neither of these has a zone in its record
    for address in ("ff05::1", "ff0e::1", "2001:db8::1"):
        group = made(family="ipv6", local_address=address, interface="lo")
        assert passes(f"src [{address}]%lo", group)
    with pytest.raises(ExpressionError, match="only a local end has a device: src ADDRESS%lo"):
        parse_expression("dst 127.0.0.1%lo")
    options: tuple[dict[str, Any], ...] = (
        {"addresses": ["127.0.0.1%lo"]},
        {"remote_addresses": ["::1%lo"]},
    )
    for option in options:
        with pytest.raises(UsageError, match="bound to a device ask for: dev lo"):
            select(**option)


def test_unix_patterns() -> None:
    path = made(**UNIX, local_address="/run/a b/docker.sock")
    assert passes("src unix:*docker*", path)
    assert passes('src unix:"/run/a b/*"', path)
    assert passes("src unix:*/[!e]ocker.*", path)
    assert not passes("src unix:docker", path)
    assert not passes("src 10.0.0.1", path)
    assert passes("autobound", made(**UNIX, local_address="@0001f"))
    assert not passes("autobound", path)


def test_any_owner_will_do() -> None:
    shared = made(owners=(Owner(1, "a", 3), Owner(2, "b", 3)))
    assert passes("pid = 2", shared)
    assert passes("process = b", shared)
    assert not passes("pid != 2", shared)
    assert not passes("pid > 2", shared)


def names(**options: Any) -> str:
    return " ".join(f"{t.protocol}{t.family[-1]}" for t in select(**options).tables)


def test_tables_follow_the_expression() -> None:
    assert names(expression="sport = 1") == "tcp4 tcp6 udp4 udp6"
    assert names(expression="proto = unix") == "unixx"
    assert names(expression="src unix:*docker*") == "unixx"
    assert names(expression="proto = raw or sport = 1") == "tcp4 tcp6 udp4 udp6 raw4 raw6"
    assert names(expression="proto != unix") == "tcp4 tcp6 udp4 udp6"
    assert names(expression="proto = tcp6") == "tcp6"
    assert names(expression="src inet6:*") == "tcp6 udp6"
    assert names(expression="proto = udp", protocols=["tcp"]) == ""
    assert names(expression="proto = unix or proto = tcp", families=["ipv6"]) == "tcp6"


def test_an_expression_and_options_must_both_hold() -> None:
    selection = select(local_ports=["44321"], expression="dport = 443")
    test = selection.socket_test()
    assert test
    assert test(made())
    assert not test(made(local_port=1))
    assert not test(made(remote_port=1))


def test_what_only_the_kernel_can_tell_is_expanded() -> None:
    assert len(select(expression="fwmark = 1 and rtt > 5").expanded()) == 1
    assert len(select(expression="fwmark = 1 or sport = 5").expanded()) == 1
    parts = select(expression="fwmark = 1 or rtt > 5").expanded()
    assert [part.socket_test() is None for part in parts] == [True, False]
    text = " or ".join(f"fwmark = {n}" for n in range(5))
    with pytest.raises(ExpressionError, match="has 5 conditions beside others") as caught:
        select(expression=f"{text} or rtt > 5").expanded()
    assert caught.value.start == text.rindex("fwmark")


def test_a_datagram_that_is_not_unconn_is_not_closed_either() -> None:
    """To the kernel both are state 7: its mask must leave that out where nothing else does."""
    (part,) = select(protocols=["udp"], expression="not ( state unconn or fwmark = 1 )").expanded()
    assert part.socket_test() is None
    for table in part.tables:
        states = kernel_test(part.query(), (table,)).states
        assert states is not None
        assert not states & {"UNCONN", "CLOSE"}


def test_states_of_one_family_are_not_decided_by_a_dump_of_both() -> None:
    text = "not ( src inet:*:* and ( state established or fwmark = 1 ) )"
    parts = select(protocols=["tcp"], expression=text).expanded()
    assert [part.socket_test() is not None for part in parts] == [False, True]
    (alone,) = select(protocols=["tcp4"], expression=text).expanded()
    assert alone.socket_test() is None  # of IPv4 alone the mask of states tells


@pytest.mark.parametrize(
    ("text", "is_all_asked", "decided"),
    [
        ("sport = :22", True, CONNECTED),
        ("dport = :22 and not src 10.0.0.0/8", True, CONNECTED),
        ("state established", True, frozenset({"ESTABLISHED"})),
        ("sport = :22 and state bound", True, frozenset()),
        ("dport != :22", True, frozenset()),  # holds for those without a peer: not asked for
        ("dst [fe80::1%lo]", True, frozenset()),  # the zone is not
        ("sport = :22 and rtt > 5", False, CONNECTED),
        ("uid = 0", False, CONNECTED),
        ("sport = :22 or pid = 1", False, CONNECTED),
    ],
)
def test_what_the_kernel_decides(text: str, is_all_asked: bool, decided: frozenset[State]) -> None:
    (part,) = select(protocols=["tcp"], expression=text).expanded()
    assert part.is_all_asked == is_all_asked
    assert decided_states(part.query(), part.tables) == decided


@pytest.mark.parametrize(
    "options", [{"users": ["root"]}, {"exposures": ["any"]}, {"directions": ["inbound"]}]
)
def test_what_no_query_asks(options: dict[str, Any]) -> None:
    assert select(states=["established"], ports=["22"], addresses=["::1"]).is_all_asked
    assert not select(**options).is_all_asked


# Texts, and what they mean, written side by side.
WORDS = st.sampled_from(
    [
        ("sport = :44321", lambda c: c.local_port == 44321),
        ("dport != 443", lambda c: c.remote_port != 443),
        ("dport<1024", lambda c: c.remote_port is not None and c.remote_port < 1024),
        ("src 10.0.0.1", lambda c: c.local_address == "10.0.0.1"),
        ("state listen", lambda c: c.state == "LISTEN"),
        ("uid = 0", lambda c: c.uid == 0),
        ("send_q >= 1k", lambda c: c.send_q is not None and c.send_q >= 1024),
        ("process = nginx", lambda c: any("nginx" in (o.process or "") for o in c.owners)),
        ("pid > 5", lambda c: any(o.pid > 5 for o in c.owners)),
        ("proto = udp", lambda c: c.protocol == "udp"),
    ]
)
TREES: st.SearchStrategy[Any] = st.recursive(
    WORDS,
    lambda parts: st.one_of(
        st.tuples(
            st.sampled_from([" and ", " & ", "&&", " "]), st.lists(parts, min_size=2, max_size=4)
        ).map(
            lambda p: (
                f"({p[0].join(t for t, _ in p[1])})",
                lambda c: all(meaning(c) for _, meaning in p[1]),
            )
        ),
        st.tuples(
            st.sampled_from([" or ", "|", "||"]), st.lists(parts, min_size=2, max_size=4)
        ).map(
            lambda p: (
                f"({p[0].join(t for t, _ in p[1])})",
                lambda c: any(meaning(c) for _, meaning in p[1]),
            )
        ),
        parts.map(lambda p: (f"!{p[0]}", lambda c: not p[1](c))),
    ),
    max_leaves=12,
)
RECORDS = st.builds(
    made,
    protocol=st.sampled_from(["tcp", "udp"]),
    state=st.sampled_from(STATES),
    local_address=st.sampled_from(["10.0.0.1", "10.0.0.9"]),
    local_port=st.sampled_from([22, 44321]),
    remote_port=st.sampled_from([443, 1024, 1023, None]),
    uid=st.sampled_from([0, 1000, None]),
    send_q=st.sampled_from([0, 1023, 1024, None]),
    owners=st.sampled_from([(), (Owner(1, "init", 3),), (Owner(5, "nginx", 3), Owner(6, None, 3))]),
)


@given(TREES, st.lists(RECORDS, min_size=1, max_size=8))
def test_a_text_means_what_its_parts_mean(tree: Any, records: list[Connection]) -> None:
    text, meaning = tree
    assert [passes(text, record) for record in records] == [meaning(r) for r in records]


@pytest.mark.parametrize(
    ("text", "negated"),
    [
        ("pid = 1 or uid = 2", set()),
        ("not pid = 1 and uid != 2", {1, 2}),
        ("not ( pid = 1 and ( uid = 2 or not inode = 3 ) )", {1, 2}),
        ("pid = 1 and not pid = 1", {1}),
    ],
)
def test_negated_leaves(text: str, negated: set[int]) -> None:
    condition = parse_expression(text).condition
    assert {leaf.value for leaf in negated_leaves(condition)} == negated  # type: ignore[union-attr]


@given(st.text(alphabet="sportd =!<>()&|'\"\\:[]/*1.0 not\x1b\u4e2d", max_size=40))
def test_any_text_is_read_or_refused_at_a_place(text: str) -> None:
    fault = None
    try:
        parse_expression(text)
    except ExpressionError as error:
        fault = error
    assert fault is None or 0 <= fault.start <= fault.end <= len(text)


def test_the_place_is_right_behind_what_is_escaped() -> None:
    with pytest.raises(ExpressionError) as caught:
        parse_expression("process = \u4e2d\x1b sport = x")
    line, under = pointer(map(escape_part, caught.value.parts), 80)
    assert line == "  process = \u4e2d\\x1b sport = x"
    assert under == "  " + " " * 25 + "^"


@pytest.mark.parametrize("columns", [20, 21, 40, 60, 79, 80])
@pytest.mark.parametrize(
    "lengths", [(0, 1, 200), (200, 1, 0), (200, 5, 200), (3, 300, 3), (300, 0, 0)]
)
def test_the_place_fits_the_terminal(lengths: tuple[int, int, int], columns: int) -> None:
    parts = [letter * length for letter, length in zip("abc", lengths, strict=True)]
    line, under = pointer(parts, columns)
    assert max(display_width(line), display_width(under)) <= columns
    pointed = line[under.index(under.strip()) : len(under)]
    assert set(pointed) <= {"b", ELLIPSIS}
    assert ("b" in pointed) == bool(lengths[1])
    assert line.startswith("  …a") == (lengths[0] > columns)


@pytest.mark.parametrize(
    ("parts", "columns", "line", "under"),
    [
        (("abcdefghijklmnop", "FAULT", "0123456789"), 33, "abcdefghijklmnopFAULT0123456789", 16),
        (("abcdefghijklmnop", "FAULT", "0123456789"), 30, "…efghijklmnopFAULT0123456789", 13),
        (("abcdefghijklmnopqrstuvwxyz", "FAULT", ""), 30, "…efghijklmnopqrstuvwxyzFAULT", 23),
        (("", "FAULT", "abcdefghijklmnopqrstuvwxyz"), 20, "FAULTabcdefghijkl…", 0),
        (("", "F" * 40, ""), 20, "FFFFFFFF…", 0),
        (("x" * 38, "", ""), 41, "x" * 38, 38),
        (("x" * 38, "", ""), 40, "…" + "x" * 36, 37),
    ],
)
def test_what_is_shown_around_the_place(
    parts: tuple[str, str, str], columns: int, line: str, under: int
) -> None:
    shown, pointing = pointer(parts, columns)
    assert shown == f"  {line}"
    assert len(pointing) - len(pointing.lstrip()) == 2 + under
