from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.errors import UsageError
from netinspect.model import Connection, Owner, Timer
from netinspect.render.columns import COLUMNS, KEYS, TABLE_COLUMNS, WIDE_COLUMNS, find_column
from tests.records import ANY_CONNECTIONS, made

UNIX: dict[str, Any] = {
    "protocol": "unix",
    "family": "unix",
    "local_port": None,
    "remote_port": None,
}


def cell(column: str, **keys: Any) -> str:
    """The one cell of a record like any other, but for these keys."""
    [text] = COLUMNS[column].cells([made(**keys)])
    return text


@pytest.mark.parametrize(
    ("keys", "local", "remote"),
    [
        pytest.param({}, "10.0.0.1:44321", "10.0.0.2:443", id="IPv4"),
        pytest.param(
            {"local_address": "::1", "remote_address": "fe80::1%eth0"},
            "[::1]:44321",
            "[fe80::1%eth0]:443",
            id="IPv6 and a zone",
        ),
        pytest.param(
            {"local_address": "::ffff:10.0.0.1"},
            "[::ffff:10.0.0.1]:44321",
            "10.0.0.2:443",
            id="v4-mapped",
        ),
        pytest.param(
            {"local_address": "0.0.0.0", "remote_address": None, "remote_port": None},
            "0.0.0.0:44321",
            "*",
            id="listener",
        ),
        pytest.param({"local_port": 0, "remote_port": 0}, "10.0.0.1:0", "10.0.0.2:0", id="port 0"),
        pytest.param(
            {"local_address": "::", "local_port": None, "remote_port": None},
            "::",
            "10.0.0.2",
            id="raw",
        ),
        pytest.param(
            {**UNIX, "local_address": "/run/a:b\n", "remote_address": "@x\x1b"},
            r"/run/a:b\x0a",
            r"@x\x1b",
            id="unix",
        ),
        pytest.param(
            {"local_address": "fe80::1%e\x1b0"},
            r"[fe80::1%e\x1b0]:44321",
            "10.0.0.2:443",
            id="zone",
        ),
    ],
)
def test_endpoints(keys: dict[str, Any], local: str, remote: str) -> None:
    assert (cell("local", **keys), cell("remote", **keys)) == (local, remote)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ({}, "tcp"),
        ({"family": "ipv6"}, "tcp6"),
        ({"protocol": "udplite", "family": "ipv6"}, "udplite6"),
        ({"protocol": "raw", "ip_protocol": 1}, "raw/1"),
        ({"protocol": "raw", "family": "ipv6", "ip_protocol": 58}, "raw6/58"),
        ({"protocol": "raw"}, "raw"),
        ({"protocol": "icmp", "family": "ipv6"}, "icmp6"),
        ({"protocol": "unix", "family": "unix"}, "unix"),
    ],
)
def test_proto(keys: dict[str, Any], expected: str) -> None:
    assert cell("proto", **keys) == expected


TWO_DESCRIPTORS = (Owner(321, "nginx", 5), Owner(321, "nginx", 6))
FORKED = (*TWO_DESCRIPTORS, Owner(322, "nginx", 5), Owner(400, "log\ner", None))


def test_names_that_are_not_the_same() -> None:
    told = [made(owners=(), process=name, owner_status="unsupported") for name in ("a", "b", None)]
    assert COLUMNS["process"].cells(told) == ["a", "b", "-"]
    assert COLUMNS["process"].cells([]) == []


@pytest.mark.parametrize(
    ("keys", "process", "owners"),
    [
        pytest.param({}, "nginx", "nginx(pid=321,fd=5)", id="one"),
        pytest.param(
            {"owners": TWO_DESCRIPTORS},
            "nginx",
            "nginx(pid=321,fd=5) nginx(pid=321,fd=6)",
            id="one with two descriptors",
        ),
        pytest.param(
            {"owners": (Owner(321, "nginx", 5), Owner(322, "worker", 5))},
            "nginx +1",
            "nginx(pid=321,fd=5) worker(pid=322,fd=5)",
            id="two",
        ),
        pytest.param(
            {"owners": FORKED},
            "nginx +2",
            r"nginx(pid=321,fd=5) nginx(pid=321,fd=6) nginx(pid=322,fd=5) log\x0aer(pid=400)",
            id="three",
        ),
        pytest.param(
            {"process": "a\tb", "owners": (Owner(321, "a\tb", 5),)},
            r"a\x09b",
            r"a\x09b(pid=321,fd=5)",
            id="a control character",
        ),
        pytest.param(
            {"process": None, "owners": (Owner(321, None, 5),)},
            "-",
            "-(pid=321,fd=5)",
            id="without a name",
        ),
        pytest.param(
            {"process": None, "pid": None, "owners": (), "owner_status": "hidden"},
            "(hidden)",
            "hidden",
            id="hidden",
        ),
        pytest.param(
            {"process": None, "pid": None, "owners": (), "owner_status": "none"},
            "-",
            "none",
            id="none",
        ),
    ],
)
def test_owners(keys: dict[str, Any], process: str, owners: str) -> None:
    assert (cell("process", **keys), cell("owners", **keys)) == (process, owners)


@pytest.mark.parametrize(
    ("timer", "expected"),
    [
        (None, "-"),
        (Timer("time_wait", 59_349, 0), "time_wait 59.3s"),
        (Timer("retransmit", 200, 3), "retransmit 0.2s (3)"),
        (Timer("keepalive", 7_200_000, 0), "keepalive 7200.0s"),
    ],
)
def test_timer(timer: Timer | None, expected: str) -> None:
    assert cell("timer", timer=timer) == expected


@pytest.mark.parametrize(
    ("column", "value", "expected"),
    [
        ("protocol", "udp", "udp"),
        ("family", "ipv6", "ipv6"),
        ("type", "dgram", "dgram"),
        ("state", "TIME_WAIT", "TIME_WAIT"),
        ("local_address", "@\x1b", r"@\x1b"),
        ("remote_address", None, "-"),
        ("local_port", 0, "0"),
        ("remote_port", None, "-"),
        ("ip_protocol", 58, "58"),
        ("interface", "eth0", "eth0"),
        ("interface", None, "-"),
        ("recv_q", 0, "0"),
        ("send_q", None, "-"),
        ("uid", 0, "0"),
        ("user", "r\u202et", r"r\u202et"),
        ("user", None, "1000"),  # the uid
        ("inode", None, "-"),
        ("cookie", 2**63, "9223372036854775808"),
        ("pid", 1, "1"),
        ("owner_status", "not_found", "not_found"),
        ("drops", 0, "0"),
        ("peer_inode", 12, "12"),
        ("exposure", None, "-"),
        ("exposure", "any", "any"),
        ("netns", 4026531840, "4026531840"),
    ],
)
def test_keys(column: str, value: object, expected: str) -> None:
    assert cell(column, **{column: value}) == expected


@given(st.lists(ANY_CONNECTIONS))
def test_what_is_joined_for_eyes_is_the_same_for_machines(connections: list[Connection]) -> None:
    for name in ("proto", "local", "remote"):
        column = COLUMNS[name]
        assert column.cells(connections) == [column.value(c) for c in connections]


def test_every_key_of_the_record_is_a_column_and_some_join_keys() -> None:
    joined = ("proto", "local", "remote", "command", "unit", "container")
    asked = ("direction", "dual_stack")
    assert {*KEYS, *joined, *asked} <= set(COLUMNS)
    assert {*TABLE_COLUMNS, *WIDE_COLUMNS} <= set(COLUMNS)


def test_titles() -> None:
    titles = [COLUMNS[name].title for name in TABLE_COLUMNS]
    assert titles == ["PROTO", "STATE", "LOCAL", "REMOTE", "PID", "PROCESS", "RECV-Q", "SEND-Q"]


@pytest.mark.parametrize("word", ["recv_q", "RECV_Q", "recv-q", "Recv-Q"])
def test_a_column_is_found_in_any_spelling(word: str) -> None:
    assert find_column(word) is COLUMNS["recv_q"]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("locl", "unknown column 'locl'; did you mean local?"),
        ("local-adress", "unknown column 'local-adress'; did you mean local_address?"),
        ("zzz", f"unknown column 'zzz'; expected one of {', '.join(COLUMNS)}"),
    ],
)
def test_an_unknown_column_names_the_nearest(word: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_column(word)
    assert str(caught.value) == message
