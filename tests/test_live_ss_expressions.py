"""Expressions given to ss and to us, on the same sockets; each difference has a named rule."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pytest

from netinspect.api import snapshot
from netinspect.model import Connection
from tests.namespace import private_network, why_not
from tests.sockets import open_zoo
from tests.test_live_expressions import add_marked

pytestmark = pytest.mark.live

COOKIE = re.compile(r"\bsk:([0-9a-f]+)")


class Rule(NamedTuple):
    """A difference that is intended: of which expressions, and of which sockets."""

    reason: str
    expression: re.Pattern[str]
    explains: Callable[[Connection], bool]


def peerless(connection: Connection) -> bool:
    return connection.remote_address is None


RULES = (
    Rule(
        "ss does not ask for sockets that are only bound",
        re.compile(""),
        lambda c: c.state == "BOUND",
    ),
    Rule(
        "a socket without a peer has no remote port or address, where ss sees 0",
        re.compile(r"\b(dport|dst)\b"),
        peerless,
    ),
    Rule(
        "a network of prefix length 0 is of one family, where ss takes all sockets",
        re.compile(r"/0\b"),
        lambda _: True,
    ),
    Rule(
        "a family of a host is tested, where ss reads no tables of other families, also under not",
        re.compile(r"(not|!).*inet6?:"),
        lambda _: True,
    ),
    Rule(
        "inet: does not stand for IPv4 in IPv6 sockets",
        re.compile(r"inet:"),
        lambda c: c.family == "ipv6",
    ),
    Rule(
        "under not, ss compares addresses of both families bit by bit: :: is 0.0.0.0 for it",
        re.compile(r"not (src|dst) (0\.0\.0\.0|128\.0\.0\.0/1|\[::\])$"),
        lambda _: True,
    ),
    Rule(
        "where no state is left ss shows all sockets",
        re.compile(r"exclude all"),
        lambda _: True,
    ),
    Rule(
        "ss asks the kernel and the range of ports, where it cannot ask the kernel only the range: "
        "a port of that range may be bound on purpose",
        re.compile(r"not autobound|autobound or"),
        lambda c: c.state == "LISTEN",
    ),
    Rule(
        "UDP sockets are in UNCONN, which ss names close as well",
        re.compile(r"state clos(e|ed)|exclude clos(e|ed)|bound"),
        lambda c: c.state == "UNCONN",
    ),
)


class Seen(NamedTuple):
    shown: dict[int, Connection]
    port: int
    peer_port: int


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    if reason := why_not():
        pytest.skip(reason)
    if shutil.which("ss") is None:
        pytest.skip("ss is not installed")
    with private_network(), open_zoo() as zoo:
        add_marked(zoo)
        shown = snapshot(owners=False).connections
        idle = zoo.made["tcp4 idle"]
        assert idle.local_port
        assert idle.remote_port
        yield Seen({c.cookie: c for c in shown if c.cookie}, idle.remote_port, idle.local_port)


def ss(expression: str) -> set[int]:
    command = ["ss", "-H", "-O", "-tuane", *expression.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, ""), (expression, done.stderr)
    return {int(cookie, 16) for cookie in COOKIE.findall(done.stdout)}


OPERATORS = [
    "=",
    "==",
    "eq",
    "!=",
    "ne",
    "neq",
    ">",
    "gt",
    "<",
    "lt",
    ">=",
    "ge",
    "geq",
    "<=",
    "le",
    "leq",
]
HOSTS = (
    "127.0.0.1",
    "127.0.0.0/8",
    "127.0.0.1:{port}",
    "*:{port}",
    ":{port}",
    "*",
    "0.0.0.0",
    "0.0.0.0/0",
    "10/8",
    "128.0.0.0/1",
    "[::1]",
    "[::1]:{port}",
    "[::]",
    "[::]:{port}",
    "[fe80::1]",
    "[fe80::/10]",
    "[::ffff:127.0.0.1]",
    "inet:127.0.0.1",
    "inet6:[::1]",
    "inet:*",
    "inet6:*",
    "inet:*:{port}",
)
STATES = [
    "established",
    "syn-sent",
    "syn-recv",
    "fin-wait-1",
    "fin-wait-2",
    "time-wait",
    "unconnected",
    "close-wait",
    "last-ack",
    "listening",
    "closing",
    "close",
    "closed",
    "syn-rcv",
    "all",
    "connected",
    "synchronized",
    "bucket",
    "big",
]
OTHERS = (
    "autobound",
    "not autobound",
    "dev lo",
    "dev = lo",
    "dev != lo",
    "not dev lo",
    "fwmark = 1",
    "fwmark 0x1",
    "fwmark = 0x1/0x3",
    "fwmark != 1",
    "fwmark = 0",
    "fwmark = 3/0xff",
    "not fwmark = 2",
    "fwmark = 1 or sport = {port}",
    "( fwmark = 1 or dport = {port} )",
    "( fwmark = 1 or dport = {port} ) and src 127.0.0.1",
    "autobound and fwmark = 0",
    "autobound or dev lo",
    "autobound and dport = {port}",
    "sport = {port} or sport = {peer}",
    "sport = {port} | dport = {port}",
    "sport = {port} || dport = {port}",
    "sport = {port} and dport = {peer}",
    "sport = {port} & dport = {peer}",
    "sport = {port} && dport = {peer}",
    "sport = {port} dport = {peer}",
    "not sport = {port}",
    "! sport = {port}",
    "not not sport = {port}",
    "not ( sport = {port} )",
    "not ( sport = {port} or dport = {port} )",
    "! ( sport = {port} and dport = {peer} )",
    "( sport = {port} or dport = {port} ) and src 127.0.0.1",
    "( ( sport = {port} ) )",
    "sport > 1024 and sport < 65000",
    "sport >= :{port} and sport <= :{port}",
    "src 127.0.0.1 dst 127.0.0.1",
    "src 127.0.0.1 and not dst 127.0.0.1",
    "src 127.0.0.1 or src [::1]",
    "sport = ssh",
    "sport = :http",
    "dport != https",
)


def expressions() -> list[str]:
    """All of them; {port} and {peer} are the ends of a connection."""
    ports = [
        f"{word} {operator} {colon}{{port}}"
        for word in ("sport", "dport")
        for operator in OPERATORS
        for colon in ("", ":")
    ]
    ports += [f"{word} {{port}}" for word in ("sport", "dport")]
    hosts = [
        f"{word} {host}" for word in ("src", "dst", "not src", "not dst", "src =") for host in HOSTS
    ]
    states = [f"{clause} {state}" for clause in ("state", "exclude") for state in STATES]
    states += [f"state established state {state}" for state in STATES[1:6]]
    states += [f"exclude established exclude {state}" for state in STATES[1:6]]
    states += [f"state {state} sport = {{port}}" for state in ("established", "connected", "all")]
    states += ["exclude listening dport = {port}", "state all exclude time-wait src 127.0.0.1"]
    return [*ports, *hosts, *states, *OTHERS]


def test_there_are_enough_of_them() -> None:
    assert len(set(expressions())) >= 200


@pytest.mark.parametrize("template", expressions())
def test_ss_selects_the_same(seen: Seen, template: str) -> None:
    expression = template.format(port=seen.port, peer=seen.peer_port)
    ours = {c.cookie for c in snapshot(expression=expression, owners=False).connections}
    theirs = ss(expression)
    rules = [rule for rule in RULES if rule.expression.search(expression)]
    unexplained = [
        seen.shown[cookie]
        for cookie in ours ^ theirs
        if cookie and not any(rule.explains(seen.shown[cookie]) for rule in rules)
    ]
    assert unexplained == []
