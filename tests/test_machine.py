from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netinspect.model import Connection, Note, Owner, Snapshot, Timer
from netinspect.render.columns import COLUMNS, KEYS
from netinspect.render.escape import UNSAFE_IN_CELL
from netinspect.render.listing import Screen, render_listing
from netinspect.render.named import OWN_FORMATS, named_formats
from tests.records import (
    ANY_CONNECTIONS,
    ENVELOPE,
    HOSTILE_NAMES,
    made,
    named,
    presentation,
    rendered,
)

ROWS = st.lists(ANY_CONNECTIONS, max_size=7)
TERMINAL = Screen(width=80)
DIALECTS = {"csv": "excel", "tsv": "excel-tab"}


def json_values(connection: Connection) -> dict[str, Any]:
    """What a reader of JSON has of a record."""
    values: dict[str, Any] = json.loads(msgspec.json.encode(connection))
    return values


def cells(text: str, output: str) -> list[list[str]]:
    """What Python's csv reads."""
    return list(csv.reader(io.StringIO(text, newline=""), DIALECTS[output], strict=True))


def as_in_csv(value: Any) -> Any:
    """The value that a reader of CSV has, once it has read JSON from the cells that hold it."""
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else value


def values_read(line: list[str]) -> list[Any]:
    """The cells of a whole record, owners and timer as what their JSON says."""
    return [
        json.loads(cell) if key in ("owners", "timer") and cell else cell
        for key, cell in zip(KEYS, line, strict=True)
    ]


LISTENER = made(
    state="LISTEN",
    remote_address=None,
    remote_port=None,
    process='a"b',
    owners=(Owner(321, 'a"b', 5), Owner(322, None, 5)),
    timer=Timer("keepalive", 1500, 2),
)
LISTENER_AS_JSON = (
    '{"protocol":"tcp","family":"ipv4","type":"stream","state":"LISTEN",'
    '"local_address":"10.0.0.1","remote_address":null,"local_port":44321,"remote_port":null,'
    '"ip_protocol":null,"interface":null,"recv_q":0,"send_q":12,"uid":1000,"user":"alice",'
    '"inode":9001,"cookie":77,"pid":321,"process":"a\\"b",'
    '"owners":[{"pid":321,"process":"a\\"b","fd":5},{"pid":322,"process":null,"fd":5}],'
    '"owner_status":"known","timer":{"kind":"keepalive","expires_ms":1500,"retransmits":2},'
    '"drops":null,"peer_inode":null,"exposure":null,"netns":null}'
)


def test_ndjson() -> None:
    assert rendered([LISTENER, made()], "ndjson").splitlines()[0] == LISTENER_AS_JSON


def test_json() -> None:
    envelope = (
        '{"schema_version":1,"host":"here","platform":"linux","sources":["sock_diag"],'
        '"taken_at":"2026-01-02T03:04:05Z","connections":['
    )
    assert rendered([], "json") == envelope + '\n],"notes":[]}\n'
    assert rendered([LISTENER], "json") == envelope + f'\n{LISTENER_AS_JSON}\n],"notes":[]}}\n'


def test_json_asks_for_the_notes_when_all_has_been_read() -> None:
    read: list[Note] = []

    def batches() -> Any:
        yield [made()]
        read.append(Note("rows_skipped", 3, "3 rows were torn"))

    chunks = render_listing(batches(), presentation("json"), ENVELOPE, lambda: read)
    assert json.loads(b"".join(chunks))["notes"] == [
        {"code": "rows_skipped", "count": 3, "message": "3 rows were torn"}
    ]


@given(ROWS, st.integers(1, 4))
def test_json_is_one_document_however_the_rows_come(rows: list[Connection], size: int) -> None:
    document = json.loads(rendered(rows, "json", batch_size=size))
    assert document["connections"] == [json_values(row) for row in rows]
    snapshot = msgspec.json.decode(rendered(rows, "json"), type=Snapshot)
    assert snapshot.connections == tuple(rows)


def test_empty_batches_are_no_trouble() -> None:
    batches = [[], [made()], [], [made()], []]
    chunks = render_listing(batches, presentation("json"), ENVELOPE, lambda: ())
    assert len(json.loads(b"".join(chunks))["connections"]) == 2


@given(ROWS, st.sampled_from([Screen(), TERMINAL]))
def test_ndjson_is_one_line_a_socket(rows: list[Connection], screen: Screen) -> None:
    text = rendered(rows, "ndjson", screen=screen)
    assert text.count("\n") == len(rows)
    assert [json.loads(line) for line in text.splitlines()] == [json_values(row) for row in rows]


@pytest.mark.parametrize("output", ["json", "ndjson"])
@given(rows=ROWS)
def test_json_on_a_terminal_is_harmless_and_the_same(output: str, rows: list[Connection]) -> None:
    shown = rendered(rows, output, screen=TERMINAL)
    assert set(re.findall(UNSAFE_IN_CELL, shown)) <= {"\n"}
    if output == "json":
        assert json.loads(shown) == json.loads(rendered(rows, output))


@pytest.mark.parametrize("output", DIALECTS)
@given(rows=ROWS, size=st.integers(1, 4))
def test_csv_comes_back_through_python(output: str, rows: list[Connection], size: int) -> None:
    header, *lines = cells(rendered(rows, output, batch_size=size), output)
    assert header == list(KEYS)
    for row, line in zip(rows, lines, strict=True):
        assert values_read(line) == [as_in_csv(value) for value in json_values(row).values()]


def test_csv() -> None:
    row = made(process='say "a,b"\n', owners=(), timer=None, user="=1+1", interface="a\tb\r")
    assert rendered([row], "csv", columns="user process pid remote_port drops interface") == (
        'user,process,pid,remote_port,drops,interface\r\n=1+1,"say ""a,b""\n",321,443,,"a\tb\r"\r\n'
    )


def test_tsv() -> None:
    row = made(process="a,b", interface="a\tb")
    assert rendered([row], "tsv", columns="process drops interface") == (
        'process\tdrops\tinterface\r\na,b\t\t"a\tb"\r\n'
    )


def test_owners_and_timer_are_one_json_cell_each() -> None:
    columns = "owners timer"
    [owners, timer] = cells(rendered([LISTENER], "csv", columns=columns), "csv")[1]
    assert json.loads(owners) == json_values(LISTENER)["owners"]
    assert json.loads(timer) == json_values(LISTENER)["timer"]
    assert cells(rendered([made(owners=())], "csv", columns=columns), "csv")[1] == ["[]", ""]


@pytest.mark.parametrize("output", DIALECTS)
def test_no_sockets_are_a_line_of_keys(output: str) -> None:
    assert cells(rendered([], output), output) == [list(KEYS)]
    assert rendered([], output, has_header=False) == ""


@pytest.mark.parametrize("output", DIALECTS)
def test_without_a_line_of_keys(output: str) -> None:
    assert len(cells(rendered([made()], output, has_header=False), output)) == 1


@pytest.mark.parametrize("output", DIALECTS)
@given(rows=ROWS)
def test_csv_on_a_terminal_is_harmless(output: str, rows: list[Connection]) -> None:
    shown = rendered(rows, output, screen=TERMINAL)
    assert set(re.findall(UNSAFE_IN_CELL, shown)) <= {"\r", "\n", "\t"}
    assert shown.count("\r") == shown.count("\n") == 1 + len(rows)
    assert {len(line) for line in cells(shown, output)} == {len(KEYS)}


COLUMN_NAMES = st.lists(st.sampled_from(list(COLUMNS)), min_size=1, unique=True)


@given(ROWS, COLUMN_NAMES)
def test_columns_of_json(rows: list[Connection], names: list[str]) -> None:
    columns = " ".join(names)
    lines = rendered(rows, "ndjson", columns=columns).splitlines()
    assert [list(json.loads(line)) for line in lines] == [names] * len(rows)
    document = json.loads(rendered(rows, "json", columns=columns))
    assert document["connections"] == [json.loads(line) for line in lines]
    for row, line in zip(rows, lines, strict=True):
        values = {**json_values(row), **{n: COLUMNS[n].value(row) for n in names if n not in KEYS}}
        assert json.loads(line) == {name: values[name] for name in names}


@pytest.mark.parametrize("output", DIALECTS)
@given(rows=ROWS, names=COLUMN_NAMES)
def test_columns_of_csv(output: str, rows: list[Connection], names: list[str]) -> None:
    whole = cells(rendered(rows, output, columns=" ".join(COLUMNS)), output)
    assert cells(rendered(rows, output, columns=" ".join(names)), output) == [
        [line[list(COLUMNS).index(name)] for name in names] for line in whole
    ]


def test_without_owners_the_keys_are_the_same() -> None:
    row = made(pid=None, process=None, owners=(), owner_status="not_requested")
    [line] = rendered([row], "ndjson", has_owners=False).splitlines()
    assert list(json.loads(line)) == list(KEYS)
    assert cells(rendered([row], "csv", has_owners=False), "csv")[0] == list(KEYS)


@pytest.mark.parametrize("output", [*OWN_FORMATS, *named_formats()])
@settings(max_examples=30)
@given(screen=st.sampled_from([Screen(), TERMINAL]), one=HOSTILE_NAMES, other=HOSTILE_NAMES)
def test_distinct_names_stay_distinct(output: str, screen: Screen, one: str, other: str) -> None:
    texts = {
        rendered([named(name)], output, columns="local user", screen=screen)
        for name in (one, other)
    }
    assert len(texts) == len({one, other})


@pytest.mark.parametrize("output", ["json", "ndjson", "csv", "tsv", "table"])
def test_rows_are_written_as_they_come(output: str) -> None:
    """The first are there before the last are read, and nothing keeps them."""
    taken = 0

    def batches() -> Any:
        nonlocal taken
        for _ in range(50):
            taken += 1
            yield [made()] * 100

    chunks = render_listing(batches(), presentation(output), ENVELOPE, lambda: ())
    text = b""
    while b"10.0.0.2" not in text:
        text += next(chunks)
    assert taken <= 11
