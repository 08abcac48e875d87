"""What we print ourselves, read back."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.errors import ParseError
from netinspect.extended import TcpInfo
from netinspect.model import Connection, Note, Owner, Timer
from netinspect.parse.captured import BATCH_SIZE, Fault, Faults
from netinspect.parse.netinspect_output import Origin, parse_origin
from netinspect.render.listing import Screen, present, render_listing
from tests.captures import format_of, read, recognised
from tests.records import ENVELOPE, made

NOTES = (Note("owners_hidden", 3, "the owners of 3 sockets are hidden"),)
FORMATS = ("json", "ndjson", "csv", "tsv")
FULL = made(
    local_address="fe80::1%eth0",
    user='a "b", c',
    owners=(Owner(812, "x,\ty", 6), Owner(900, None, None)),
    pid=812,
    process="x,\ty",
    timer=Timer("keepalive", 7000, 2),
    dual_stack=True,
)


def printed(output: str, records: list[Connection], *, is_extended: bool = False) -> str:
    shown = present(
        output, columns=[], sort=[], limit=None, has_header=True, has_owners=True,
        screen=Screen(), is_extended=is_extended,
    )  # fmt: skip
    chunks = render_listing(iter([records]), shown, ENVELOPE, lambda: NOTES)
    return b"".join(chunks).decode()


@pytest.mark.parametrize("output", FORMATS)
def test_it_is_recognised_and_read_back(output: str) -> None:
    text = printed(output, [FULL, made()])
    assert recognised(text) == f"netinspect-{output}"
    done = read(f"netinspect-{output}", text)
    # in CSV a column that no record needs is not there
    records = [FULL, made()] if output in ("json", "ndjson") else [without_stack(FULL), made()]
    assert (done.records, done.faults) == (records, [])


def without_stack(record: Connection) -> Connection:
    return msgspec.structs.replace(record, dual_stack=msgspec.UNSET)


@pytest.mark.parametrize("output", FORMATS)
def test_what_extended_adds_is_read_back(output: str) -> None:
    record = made(
        tcp_info=TcpInfo("bbr", rtt_ms=0.5), memory=None, options=None, direction="inbound"
    )
    text = printed(output, [record], is_extended=True)
    assert read(f"netinspect-{output}", text).records == [record]


TEXTS = st.none() | st.text(
    st.characters(blacklist_categories=["Cs"], blacklist_characters="\r\0"), min_size=1
)
NUMBERS = st.none() | st.integers(0, 2**53)
RECORDS = st.builds(
    Connection,
    protocol=st.sampled_from(["tcp", "udp", "unix"]),
    family=st.sampled_from(["ipv4", "ipv6", "unix"]),
    type=st.sampled_from(["stream", "dgram"]),
    state=st.sampled_from(["LISTEN", "UNCONN", "TIME_WAIT"]),
    local_address=TEXTS,
    remote_address=TEXTS,
    local_port=NUMBERS,
    remote_port=NUMBERS,
    ip_protocol=NUMBERS,
    interface=TEXTS,
    recv_q=NUMBERS,
    send_q=NUMBERS,
    uid=NUMBERS,
    user=TEXTS,
    inode=NUMBERS,
    cookie=NUMBERS,
    owners=st.lists(st.builds(Owner, st.integers(1, 99), TEXTS, NUMBERS)).map(tuple),
    owner_status=st.sampled_from(["known", "hidden"]),
    timer=st.none() | st.builds(Timer, st.just("keepalive"), st.integers(0, 9), st.integers(0, 9)),
)


@pytest.mark.parametrize("output", FORMATS)
@given(st.lists(RECORDS, max_size=3))
def test_any_records_come_back_as_they_were(output: str, records: list[Connection]) -> None:
    faults = Faults()
    lines = printed(output, records).replace("\r\n", "\n").removesuffix("\n").split("\n")
    batches = format_of(f"netinspect-{output}").read(lines, faults)
    assert [record for batch in batches for record in batch] == records
    assert faults.count == 0


def test_the_notes_of_a_document_are_kept() -> None:
    assert read("netinspect-json", printed("json", [made()])).notes == list(NOTES)


def test_where_a_document_was_made() -> None:
    origin = Origin("here", "linux", "2026-01-02T03:04:05Z")
    text = printed("json", [made()])
    assert parse_origin(text.splitlines()) == origin
    assert parse_origin(json.dumps(json.loads(text), indent=2).splitlines()) == origin
    assert parse_origin(printed("ndjson", [made()]).splitlines()) == Origin()
    assert parse_origin(['{"schema_version":1,"host":3,"connections":[']) == Origin()


def test_a_document_that_was_laid_out_anew() -> None:
    text = json.dumps(json.loads(printed("json", [FULL, made()])), indent=2)
    assert recognised(text) == "netinspect-json"
    done = read("netinspect-json", text)
    assert (done.records, done.notes) == ([FULL, made()], list(NOTES))


def test_a_document_that_was_cut() -> None:
    text = json.dumps(json.loads(printed("json", [FULL])), indent=2)
    with pytest.raises(
        ParseError, match=r"^expected the JSON of a listing: Input data was truncated"
    ):
        read("netinspect-json", text[:400])


def test_rows_of_some_columns_have_null_for_the_others() -> None:
    row = {"protocol": "tcp", "family": "ipv4", "type": "stream", "state": "LISTEN", "pid": 5}
    (record,) = read("netinspect-ndjson", json.dumps(row)).records
    assert (record.state, record.pid, record.local_address, record.owners) == (
        "LISTEN",
        5,
        None,
        (),
    )
    table = ",".join(row) + "\r\n" + ",".join(map(str, row.values())) + "\r\n"
    assert read("netinspect-csv", table).records == [record]


def test_without_what_makes_a_socket_a_table_is_not_ours() -> None:
    assert recognised("local_address,local_port\r\n1.2.3.4,5\r\n") is None


SHAPE = "a socket as netinspect prints it: "
GOOD = '{"protocol":"tcp","family":"ipv4","type":"stream","state":"LISTEN"}'


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ('{"protocol":"tcp"}', "no 'family'"),
        (GOOD.replace("LISTEN", "LISTENING"), "Invalid enum value 'LISTENING' - at `$.state`"),
        (GOOD[:-1], "Input data was truncated"),
        ("[]", "Expected `object`, got `array`"),
    ],
)
def test_a_row_of_json_that_cannot_be_read(row: str, reason: str) -> None:
    done = read("netinspect-ndjson", f"{GOOD}\n{row}\n{GOOD}\n")
    assert done.faults == [Fault(2, row, 0, SHAPE + reason)]
    assert len(done.records) == 2


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("tcp,ipv4,stream", "5 cells, not 3"),
        ("tcp,ipv4,stream,LISTEN,x", "invalid literal for int() with base 10: 'x'"),
        (f"tcp,ipv4,stream,LISTEN,{'9' * 30}", "a number of 19 digits at the most"),
        ("tcp,ipv4,stream,LISTENS,1", "Invalid enum value 'LISTENS' - at `$.state`"),
    ],
)
def test_a_row_of_csv_that_cannot_be_read(row: str, reason: str) -> None:
    text = f"protocol,family,type,state,pid\r\ntcp,ipv4,stream,LISTEN,1\r\n{row}\r\n"
    done = read("netinspect-csv", text)
    assert done.faults == [Fault(3, row, 0, SHAPE + reason)]
    assert len(done.records) == 1


@pytest.mark.parametrize("output", FORMATS)
def test_long_listings(output: str) -> None:
    records = [made(local_port=n % 60_000) for n in range(2 * BATCH_SIZE + 5)]
    assert read(f"netinspect-{output}", printed(output, records)).records == records
