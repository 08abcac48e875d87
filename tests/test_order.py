from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from netinspect.errors import UsageError
from netinspect.extended import Memory
from netinspect.model import Connection, Owner, Timer
from netinspect.render.columns import COLUMNS
from netinspect.render.order import arrange, parse_sort
from tests.records import ANY_CONNECTIONS, made


def in_order(rows: list[Connection], *keys: str, limit: int | None = None) -> list[Connection]:
    """The rows, which come in two batches, arranged."""
    half = len(rows) // 2
    return [
        c for batch in arrange([rows[:half], rows[half:]], parse_sort(keys), limit) for c in batch
    ]


TEXTS = [None, "alpha", "beta", "gamma"]
NUMBERS = [None, 0, 9, 10, 100]
ADDRESSES = [
    None,
    "9.0.0.1",
    "10.0.0.2",
    "10.0.0.10",
    "127.0.0.1",
    "::",
    "::1",
    "::ffff:9.0.0.1",
    "fe80::1%eth0",
    "fe80::1%eth1",
    "fe80::2%eth0",
    "/run/a",
    "@a",
]
OWNERS = [(), (Owner(9, "z", 1),), (Owner(1, "a", 1), Owner(2, "a", 1))]
TIMERS = [None, Timer("time_wait", 0, 0), Timer("keepalive", 900, 0), Timer("keepalive", 1000, 0)]
# The values of each column from the smallest to the largest; null and no owners come last.
VALUES: dict[str, list[Any]] = {
    "protocol": ["icmp", "tcp", "udp"],
    "family": ["ipv4", "ipv6", "unix"],
    "type": ["dgram", "raw", "stream"],
    "state": ["CLOSE", "LISTEN", "TIME_WAIT"],
    "local_address": ADDRESSES,
    "remote_address": ADDRESSES,
    **dict.fromkeys(
        (
            *("local_port", "remote_port", "ip_protocol", "recv_q", "send_q", "uid", "inode"),
            *("cookie", "pid", "drops", "peer_inode", "netns"),
        ),
        NUMBERS,
    ),
    **dict.fromkeys(("interface", "user", "process", "exposure"), TEXTS),
    "owner_status": ["hidden", "known", "none"],
    "owners": OWNERS,
    "timer": TIMERS,
    "direction": [UNSET, "inbound", "outbound"],
    "dual_stack": [UNSET, False, True],
    "memory": [UNSET, Memory(*[1] * 9), Memory(*[2] * 9)],
}


@pytest.mark.parametrize("key", VALUES)
@given(data=st.data())
def test_by_every_key_in_both_directions(key: str, data: st.DataObject) -> None:
    values = VALUES[key]
    unknown, known = (
        [v for v in values if v in (None, (), UNSET)],
        [v for v in values if v not in (None, (), UNSET)],
    )
    shuffled = [made(**{key: value}) for value in data.draw(st.permutations(values))]
    assert [getattr(c, key) for c in in_order(shuffled, key)] == known + unknown
    assert [getattr(c, key) for c in in_order(shuffled, f"-{key}")] == known[::-1] + unknown


def test_every_column_has_been_sorted_by() -> None:
    others = {"proto", "local", "remote", "tcp_info", "options", *DETAILS}
    assert set(VALUES) == set(COLUMNS) - others


# What the first owner has, and what its column makes of it
DETAILS: dict[str, tuple[str, list[Any]]] = {
    "command": ("command_line", [("/usr/bin/a",), ("b", "-x"), ("/bin/c",)]),
    "unit": ("unit", ["a.service", "b.service", "c.service"]),
    "container": ("container", ["0", "a", "b"]),
}


@pytest.mark.parametrize("key", DETAILS)
@given(data=st.data())
def test_by_what_the_first_owner_is(key: str, data: st.DataObject) -> None:
    detail, values = DETAILS[key]
    rows = [made(owners=(Owner(1, "x", 3, **{detail: value}),)) for value in values]
    unknown = [made(owners=()), made(owners=(Owner(1, "x", 3),))]
    shuffled = data.draw(st.permutations(rows))
    assert in_order([*unknown, *shuffled], key) == [*rows, *unknown]
    assert in_order([*unknown, *shuffled], f"-{key}") == [*reversed(rows), *unknown]


@pytest.mark.parametrize("side", ["local", "remote"])
@given(data=st.data())
def test_endpoints_by_address_then_port(side: str, data: st.DataObject) -> None:
    ends = [
        ("9.0.0.1", 10),
        ("10.0.0.1", 9),
        ("10.0.0.1", 10),
        ("10.0.0.1", 443),
        ("::1", None),
        ("::1", 1),
        ("/run/x", None),
    ]
    rows = [made(**{f"{side}_address": a, f"{side}_port": p}) for a, p in ends]
    nobody = made(**{f"{side}_address": None, f"{side}_port": None})
    shuffled = data.draw(st.permutations([*rows, nobody]))
    assert in_order(shuffled, side) == [*rows, nobody]
    assert in_order(shuffled, f"-{side}") == [*reversed(rows), nobody]


def test_proto() -> None:
    rows = [made(family="ipv6"), made(protocol="udp"), made()]
    assert [COLUMNS["proto"].value(c) for c in in_order(rows, "proto")] == ["tcp", "tcp6", "udp"]


def test_by_several_keys_the_first_is_the_first() -> None:
    rows = [
        made(state="LISTEN", recv_q=1),
        made(state="CLOSE", recv_q=3),
        made(state="LISTEN", recv_q=5),
        made(state="CLOSE", recv_q=None),
    ]
    expected = [("CLOSE", 3), ("CLOSE", None), ("LISTEN", 5), ("LISTEN", 1)]
    assert [(c.state, c.recv_q) for c in in_order(rows, "state", "-recv_q")] == expected


@given(st.lists(ANY_CONNECTIONS, max_size=8), st.sampled_from(list(COLUMNS)), st.booleans())
def test_sorting_any_records_keeps_them_all(
    rows: list[Connection], key: str, is_descending: bool
) -> None:
    arranged = in_order(rows, f"-{key}" if is_descending else key)
    assert sorted(map(repr, arranged)) == sorted(map(repr, rows))
    assert in_order(arranged, f"-{key}" if is_descending else key) == arranged


@pytest.mark.parametrize("keys", [("recv_q",), ("-recv_q",)], ids=["ascending", "descending"])
def test_equals_stay_as_they_came(keys: tuple[str]) -> None:
    rows = [made(cookie=number) for number in range(5)]
    assert in_order(rows, *keys) == rows


def test_without_keys_and_limit_batches_pass_as_they_are() -> None:
    batches = [[made()], [], [made(), made()]]
    assert list(arrange(batches, [], None)) == batches


@pytest.mark.parametrize(
    ("limit", "sizes", "asked"),
    [
        pytest.param(0, [], 0, id="none"),
        pytest.param(1, [1], 1, id="a part of the first batch"),
        pytest.param(3, [3], 1, id="the whole first batch"),
        pytest.param(4, [3, 1], 2, id="a part of the second"),
        pytest.param(100, [3, 3, 3], 4, id="more than there are"),
    ],
)
def test_a_limit_reads_no_further(limit: int, sizes: list[int], asked: int) -> None:
    reads = 0

    def batches() -> Iterator[list[Connection]]:
        nonlocal reads
        for reads in (1, 2, 3):  # noqa: B007 it is read below
            yield [made()] * 3
        reads = 4

    assert [len(batch) for batch in arrange(batches(), [], limit)] == sizes
    assert reads == asked


def test_a_limit_counts_after_sorting() -> None:
    rows = [made(recv_q=number) for number in (5, 9, 1, 7)]
    assert [c.recv_q for c in in_order(rows, "-recv_q", limit=2)] == [9, 7]


def test_an_unknown_key_names_the_nearest() -> None:
    with pytest.raises(UsageError) as caught:
        parse_sort(["-recvq1"])
    assert str(caught.value) == "unknown column 'recvq1'; did you mean recv_q?"
