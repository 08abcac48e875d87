"""Groups as a table, and in the formats for programs."""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.grouping.keys import parse_grouping
from netinspect.grouping.record import Group, Groups, LeftOut
from netinspect.model import Note, State
from netinspect.render.escape import UNSAFE_IN_CELL, display_width
from netinspect.render.groups import render_groups
from tests.records import ADDRESSES, ENVELOPE, HOSTILE_NAMES, NUMBERS

NOTE = Note("owners_hidden", 2, "the owners of 2 sockets are hidden: run as root to see all")


def group(**keys: Any) -> Group:
    """A group of connections with empty queues, but for these keys."""
    states = keys.setdefault("states", {"ESTABLISHED": 1})
    listeners = states.get("LISTEN", 0)
    sums: dict[str, Any] = {"recv_q": 0, "send_q": 0, "waiting": None, "backlog_limit": None}
    return Group(**{"count": sum(states.values()), "listeners": listeners, **sums, **keys})


def document(*groups: Group, by: str, **keys: Any) -> Groups:
    parts: dict[str, Any] = {
        "left_out": LeftOut(0, 0),
        "total": sum(group.count for group in groups),
        "notes": (),
    }
    return Groups(
        host=ENVELOPE.host,
        platform=ENVELOPE.platform,
        sources=ENVELOPE.sources,
        taken_at=ENVELOPE.taken_at,
        by=tuple(by.split(",")),
        groups=groups,
        **{**parts, **keys},
    )


def rendered(groups: Groups, output: str = "table", width: int | None = None) -> str:
    return b"".join(render_groups(groups, output, terminal_width=width)).decode()


WEB = group(
    process="nginx",
    pid=812,
    owner_status="known",
    states={"LISTEN": 2, "ESTABLISHED": 120, "TIME_WAIT": 2},
    recv_q=17,
    waiting=3,
    backlog_limit=1022,
)
NOBODY = group(process=None, pid=None, owner_status="none", states={"TIME_WAIT": 31})
HIDDEN = group(process=None, pid=None, owner_status="hidden", recv_q=None, send_q=None)


def test_table() -> None:
    assert rendered(document(WEB, NOBODY, HIDDEN, by="process,pid")) == (
        "PROCESS        PID  COUNT  RECV-Q  SEND-Q  WAITING  STATES\n"
        "nginx          812    124      17       0        3  "
        "ESTABLISHED 120, LISTEN 2, TIME_WAIT 2\n"
        "-                -     31       0       0        -  TIME_WAIT 31\n"
        "(hidden)  (hidden)      1       -       -        -  ESTABLISHED 1\n"
        "total                 156\n"
    )


def test_an_empty_table() -> None:
    assert rendered(document(by="state")) == (
        "STATE  COUNT  RECV-Q  SEND-Q  WAITING\ntotal      0\n"
    )


def test_what_is_left_out_and_shared() -> None:
    groups = document(WEB, by="process", left_out=LeftOut(12, 345), total=400)
    assert rendered(groups).splitlines()[2:] == [
        "12 more    345",
        "sockets    400",
    ]


def test_states_are_not_shown_twice() -> None:
    rows = [group(state="LISTEN", protocol="tcp", states={"LISTEN": 3}, recv_q=None, send_q=None)]
    assert rendered(document(*rows, by="protocol,state")) == (
        "PROTOCOL  STATE   COUNT  RECV-Q  SEND-Q  WAITING\n"
        "tcp       LISTEN      3       -       -        -\n"
        "total                 3\n"
    )


@pytest.mark.parametrize("status", ["hidden", "not_found", "not_requested", "unsupported"])
def test_why_an_owner_is_missing(status: str) -> None:
    groups = document(group(unit=None, owner_status=status), by="unit")
    assert rendered(groups).splitlines()[1].split()[0] == f"({status})"


@pytest.mark.parametrize(
    ("status", "process", "unit"),
    [("known", "-", "-"), ("none", "-", "(none)"), ("hidden", "(hidden)", "(hidden)")],
)
def test_no_process_is_not_a_process_without_a_unit(status: str, process: str, unit: str) -> None:
    groups = document(group(process=None, unit=None, owner_status=status), by="process,unit")
    assert rendered(groups).splitlines()[1].split()[:2] == [process, unit]


LONG = group(
    process="a-process-name",
    unit="a-service-with-a-rather-long-name@instance.service",
    owner_status="known",
    remote_address="2001:db8:1234:5678:9abc:def0:1234:5678",
    states={"ESTABLISHED": 12, "CLOSE_WAIT": 3, "FIN_WAIT2": 1},
    waiting=4,
)


@pytest.mark.parametrize(
    ("by", "width", "lines"),
    [
        (
            "process",
            80,
            (
                "PROCESS         COUNT  RECV-Q  SEND-Q  WAITING  STATES",
                "a-process-name     16       0       0        4  ESTABLISHED 12, CLOSE_WAIT 3, F…",
                "total              16",
            ),
        ),
        (
            "process",
            60,
            (
                "PROCESS         COUNT  RECV-Q  WAITING  STATES",
                "a-process-name     16       0        4  ESTABLISHED 12, CLO…",
                "total              16",
            ),
        ),
        (
            "remote_address",
            80,
            (
                "REMOTE_ADDRESS                          COUNT  WAITING  STATES",
                "2001:db8:1234:5678:9abc:def0:1234:5678     16        4  ESTABLISHED 12, CLOSE_W…",
                "total                                      16",
            ),
        ),
        (
            "unit",
            60,
            (
                "UNIT                    COUNT  WAITING  STATES",
                "a-service-with-a-rath…     16        4  ESTABLISHED 12, CLO…",
                "total                      16",
            ),
        ),
        (
            "process,remote_address",
            60,
            (
                "PROCESS        REMOTE_ADDRESS                          COUNT",
                "a-process-na…  2001:db8:1234:5678:9abc:def0:1234:5678     16",
                "total                                                     16",
            ),
        ),
    ],
)
def test_a_narrow_terminal(by: str, width: int, lines: tuple[str, ...]) -> None:
    out = rendered(document(LONG, by=by), width=width)
    assert out.splitlines() == list(lines)


def test_in_a_pipe_nothing_is_cut() -> None:
    out = rendered(document(LONG, by="unit,process,remote_address"))
    for text in (LONG.unit, LONG.process, LONG.remote_address, "FIN_WAIT2 1"):
        assert str(text) in out


def test_json() -> None:
    groups = document(WEB, by="process", left_out=LeftOut(2, 9), total=133, notes=(NOTE,))
    assert rendered(groups, "json") == (
        '{"schema_version":1,"host":"here","platform":"linux","sources":["sock_diag"],'
        '"taken_at":"2026-01-02T03:04:05Z","by":["process"],"groups":[{"pid":812,'
        '"process":"nginx","owner_status":"known","count":124,'
        '"states":{"LISTEN":2,"ESTABLISHED":120,"TIME_WAIT":2},"recv_q":17,"send_q":0,'
        '"listeners":2,"waiting":3,"backlog_limit":1022}],"left_out":{"groups":2,"count":9},'
        '"total":133,"notes":[{"code":"owners_hidden","count":2,"message":"the owners of 2 sockets '
        'are hidden: run as root to see all"}]}\n'
    )


def test_ndjson() -> None:
    rows = [group(local_port=port) for port in (22, None)]
    lines = rendered(document(*rows, by="local_port"), "ndjson").splitlines()
    assert [json.loads(line)["local_port"] for line in lines] == [22, None]


def test_csv() -> None:
    assert rendered(document(WEB, NOBODY, by="process"), "csv") == (
        "process,owner_status,count,states,recv_q,send_q,listeners,waiting,backlog_limit\r\n"
        'nginx,known,124,"{""LISTEN"":2,""ESTABLISHED"":120,""TIME_WAIT"":2}",17,0,2,3,1022\r\n'
        ',none,31,"{""TIME_WAIT"":31}",0,0,0,,\r\n'
    )


def test_tsv_has_the_keys_in_the_order_of_by() -> None:
    rows = [group(state="LISTEN", protocol="tcp", states={"LISTEN": 1}, recv_q=None, send_q=None)]
    header, row = rendered(document(*rows, by="state,protocol"), "tsv").split("\r\n")[:2]
    assert header.split("\t")[:3] == ["state", "protocol", "count"]
    assert row.split("\t")[:3] == ["LISTEN", "tcp", "1"]


KEYS: dict[str, st.SearchStrategy[Any]] = {
    "process": st.none() | HOSTILE_NAMES,
    "user": st.none() | HOSTILE_NAMES,
    "unit": st.none() | HOSTILE_NAMES,
    "local_address": st.none() | ADDRESSES | HOSTILE_NAMES,
    "remote_port": st.none() | st.integers(0, 65535),
    "pid": st.none() | st.integers(1, 2**22),
}
STATES: st.SearchStrategy[dict[State, int]] = st.dictionaries(
    st.sampled_from(["LISTEN", "ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT2"]),
    st.integers(1, 10**6),
    min_size=1,
)


@st.composite
def documents(draw: st.DrawFn) -> Groups:
    """Groups with hostile names."""
    by = draw(st.lists(st.sampled_from(sorted(KEYS)), min_size=1, max_size=3, unique=True))
    keys = parse_grouping(by).keys
    strategies = {**KEYS, "owner_status": st.sampled_from(["known", "hidden", "none"])}
    rows = [
        group(
            **{key: draw(strategies[key]) for key in keys},
            states=draw(STATES),
            recv_q=draw(NUMBERS),
            waiting=draw(NUMBERS),
        )
        for _ in range(draw(st.integers(0, 4)))
    ]
    return document(*rows, by=",".join(by), left_out=LeftOut(draw(st.integers(0, 2)), 7))


@given(documents(), st.none() | st.integers(20, 200))
def test_a_line_a_group_without_anything_unsafe(groups: Groups, width: int | None) -> None:
    lines = rendered(groups, width=width).splitlines()
    assert len(lines) == len(groups.groups) + 2 + (groups.left_out.groups > 0)
    for line in lines:
        assert not re.search(UNSAFE_IN_CELL, line)


@given(documents())
def test_a_line_fits_unless_the_keys_do_not(groups: Groups) -> None:
    """200 columns hold three keys: names are shortened for it, addresses are not."""
    has_paths = "local_address" in groups.by
    if not has_paths:
        assert all(display_width(line) <= 80 for line in rendered(groups, width=80).splitlines())


@pytest.mark.parametrize("output", ["json", "ndjson", "csv", "tsv"])
@given(groups=documents())
def test_on_a_terminal_nothing_unsafe_in_any_format(output: str, groups: Groups) -> None:
    out = rendered(groups, output, width=80)
    assert not re.search(
        UNSAFE_IN_CELL, out.replace("\r\n", "").replace("\n", "").replace("\t", "")
    )


@given(documents())
def test_json_and_csv_come_back(groups: Groups) -> None:
    read = json.loads(rendered(groups, "json"))
    assert read == json.loads(rendered(groups, "json", width=80))
    lines = [json.loads(line) for line in rendered(groups, "ndjson").splitlines()]
    assert lines == read["groups"]
    rows = list(csv.DictReader(io.StringIO(rendered(groups, "csv"), newline="")))
    assert len(rows) == len(lines)
    for row, line in zip(rows, lines, strict=True):
        assert set(row) == set(line)
        assert json.loads(row.pop("states")) == line.pop("states")
        assert row == {key: "" if v is None else str(v) for key, v in line.items()}
