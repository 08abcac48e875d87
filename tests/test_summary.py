from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from netinspect.model import STATES, Count, Family, Note, Protocol, Summary
from netinspect.render.summary import render_summary
from tests.records import ENVELOPE

TABLES: list[tuple[Protocol, Family]] = [("tcp", "ipv4"), ("tcp", "ipv6"), ("udp", "ipv4")]


def summary_of(*counts: Count, notes: tuple[Note, ...] = ()) -> Summary:
    return Summary(
        host=ENVELOPE.host,
        platform=ENVELOPE.platform,
        sources=ENVELOPE.sources,
        taken_at=ENVELOPE.taken_at,
        counts=counts,
        total=sum(count.count for count in counts),
        notes=notes,
    )


def table(*counts: Count) -> str:
    return b"".join(render_summary(summary_of(*counts), "table")).decode()


def test_table() -> None:
    counts = (
        Count("tcp", "ipv4", "ESTABLISHED", 12345),
        Count("tcp", "ipv4", "TIME_WAIT", 0),
        Count("tcp", "ipv6", "ESTABLISHED", 1),
        Count("tcp", "ipv6", "TIME_WAIT", 20),
        Count("udp", "ipv4", "ESTABLISHED", 3),
        Count("udp", "ipv4", "UNCONN", 0),
    )
    assert table(*counts) == (
        "STATE          TCP  TCP6  UDP  TOTAL\n"
        "ESTABLISHED  12345     1    3  12349\n"
        "TIME_WAIT        0    20    -     20\n"
        "UNCONN           -     -    0      0\n"
        "total        12345    21    3  12369\n"
    )


def test_an_empty_table() -> None:
    assert table() == "STATE  TOTAL\ntotal      0\n"


def test_json() -> None:
    note = Note("source_fallback", None, "netlink is refused")
    summary = summary_of(Count("unix", "unix", "LISTEN", 2), notes=(note,))
    assert b"".join(render_summary(summary, "json")) == (
        b'{"schema_version":1,"host":"here","platform":"linux","sources":["sock_diag"],'
        b'"taken_at":"2026-01-02T03:04:05Z",'
        b'"counts":[{"protocol":"unix","family":"unix","state":"LISTEN","count":2}],"total":2,'
        b'"notes":[{"code":"source_fallback","count":null,"message":"netlink is refused"}]}\n'
    )


def test_csv() -> None:
    counts = (Count("tcp", "ipv6", "LISTEN", 2), Count("tcp", "ipv6", "TIME_WAIT", 0))
    assert b"".join(render_summary(summary_of(*counts), "csv")) == (
        b"protocol,family,state,count\r\ntcp,ipv6,LISTEN,2\r\ntcp,ipv6,TIME_WAIT,0\r\n"
    )


def test_ndjson() -> None:
    counts = (Count("tcp", "ipv6", "LISTEN", 2), Count("udp", "ipv4", "UNCONN", 0))
    assert b"".join(render_summary(summary_of(*counts), "ndjson")) == (
        b'{"protocol":"tcp","family":"ipv6","state":"LISTEN","count":2}\n'
        b'{"protocol":"udp","family":"ipv4","state":"UNCONN","count":0}\n'
    )


@st.composite
def some_counts(draw: st.DrawFn) -> list[Count]:
    """Counts as `summarize` makes them: table by table, states in their order."""
    return [
        Count(*table, state, draw(st.integers(0, 10**6)))
        for table in draw(st.lists(st.sampled_from(TABLES), unique=True))
        for state in STATES
        if draw(st.booleans())
    ]


@given(some_counts())
def test_the_table_adds_up(counts: list[Count]) -> None:
    header, *rows, totals = (line.split() for line in table(*counts).splitlines())
    numbers = [[int(cell.replace("-", "0")) for cell in row[1:]] for row in (*rows, totals)]
    assert all(sum(row[:-1]) == row[-1] for row in numbers)
    columns = zip(*numbers, strict=True)
    assert all(sum(column[:-1]) == column[-1] for column in columns)
    assert numbers[-1][-1] == sum(count.count for count in counts)
    assert {len(row) for row in (*rows, totals)} == {len(header)}


@given(some_counts())
def test_json_has_every_count(counts: list[Count]) -> None:
    document = json.loads(b"".join(render_summary(summary_of(*counts), "json")))
    read = [tuple(count.values()) for count in document["counts"]]
    assert read == [(c.protocol, c.family, c.state, c.count) for c in counts]
