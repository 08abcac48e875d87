from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.errors import ParseError
from netinspect.model import Connection
from netinspect.parse import netstat_bsd
from netinspect.parse.captured import Fault, Faults
from netinspect.parse.netstat_json import FORMAT, read
from tests.bsd_sockets import ANSWERS

LISTENER: dict[str, Any] = {
    "protocol": "tcp46",
    "receive-bytes-waiting": 0,
    "send-bytes-waiting": 0,
    "local": {"address": "*", "port": "22"},
    "remote": {"address": "*", "port": "*"},
    "tcp-state": "LISTEN     ",
}


def document(*sockets: dict[str, Any]) -> str:
    return json.dumps({"statistics": {"socket": sockets}})


def parse(text: str, faults: Faults | None = None) -> list[Connection]:
    found = faults or Faults()
    sockets = [c for batch in read(text.split("\n"), found) for c in batch]
    assert faults or found.kept == []
    return sockets


def test_json_tells_what_the_wide_text_does() -> None:
    answers = ANSWERS["freebsd15"]
    text = [c for b in netstat_bsd.read(answers["netstat-wide"].split("\n"), Faults()) for c in b]
    assert parse(answers["netstat-json"]) == text
    assert len(text) == 29


def test_versions_and_blanks_do_not_matter() -> None:
    text = json.dumps({"__version": "1", "statistics": {"socket": [LISTENER]}}, indent=2)
    (socket,) = parse(text)
    assert (socket.local_address, socket.state, socket.dual_stack) == ("::", "LISTEN", True)
    assert FORMAT.recognises(text.split("\n"))


def test_lists_that_begin_anew_are_one() -> None:
    one = json.dumps(LISTENER)
    text = f'{{"statistics": {{"socket": [{one}], "socket" : [{one},{one}]}}}}'
    assert len(parse(text)) == 3


def test_names_may_be_any_bytes() -> None:
    text = document({"type": "stream", "path": "/run/BYTES"}).replace("BYTES", "\udcff\\\\é")
    (socket,) = parse(text)
    assert socket.local_address == "/run/\\xff\\\\é"


def test_queues_of_listeners() -> None:
    (socket,) = parse(document({**LISTENER, "listen-queue-sizes": "3/0/128    "}))
    assert (socket.state, socket.recv_q, socket.send_q) == ("LISTEN", 3, 128)


def test_nothing_is_no_sockets() -> None:
    assert parse('{"statistics": {}}') == []


def test_others_are_counted() -> None:
    faults = Faults()
    assert parse(document({"protocol": "divert4", "local": LISTENER["local"]}), faults) == []
    assert [(n.code, n.count) for n in faults.all_notes()] == [("rows_left_out", 1)]


@pytest.mark.parametrize(
    ("changed", "found", "expected"),
    [
        ({"tcp-state": "SINGING"}, "SINGING", "a state such as ESTABLISHED"),
        ({"local": {"address": "*", "port": "65536"}}, "65536", "a port from 0 to 65535"),
        ({"listen-queue-sizes": "many"}, "many", "queues such as 0/0/128"),
        ({"type": "odd"}, "odd", "a type such as stream or dgram"),
        ({"type": "dgram", "vnode": "x"}, "x", "an address in the kernel"),
    ],
)
def test_faults(changed: dict[str, Any], found: str, expected: str) -> None:
    faults = Faults()
    bad = {**LISTENER, **changed}
    sockets = parse(document(LISTENER, bad), faults)
    assert len(sockets) == 1
    text = json.dumps(bad)
    assert faults.kept == [Fault(2, text, text.index(found), expected)]


def test_an_object_of_another_shape_is_a_fault() -> None:
    faults = Faults()
    assert parse(document({"protocol": 5}), faults) == []
    (fault,) = faults.kept
    assert fault.expected == (
        "a socket as netstat writes it: Expected `str | null`, got `int` - at `$.protocol`"
    )


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ("usage: netstat", "Expecting value: line 1 column 1 (char 0)"),
        (
            '{"statistics": {"socket": [{}, "type": "stream"]}}',
            "Expecting ',' delimiter: line 1 column 38 (char 37)",
        ),
        ("[]", "Expected `object`, got `array`"),
        (
            "[" * 100_000,
            "too many brackets within each other",
        ),
    ],
)
def test_what_is_no_json_of_netstat(text: str, problem: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse(text)
    assert str(caught.value) == f"netstat --libxo json: {problem}"


SCALARS = st.none() | st.integers() | st.text(max_size=5)
ENDS = st.dictionaries(st.sampled_from(["address", "port"]), SCALARS)
KEYS = st.sampled_from([*LISTENER, "type", "vnode", "path"])


@given(st.lists(st.dictionaries(KEYS, SCALARS | ENDS), max_size=5))
def test_any_object_is_a_socket_nothing_or_a_fault(objects: list[Any]) -> None:
    faults = Faults()
    text = json.dumps({"statistics": {"socket": objects}})
    assert len(parse(text, faults)) + faults.count <= len(objects)


@given(st.text('\udcff{}[]":,statistics', max_size=40))
def test_any_text_is_a_document_or_an_error(text: str) -> None:
    try:
        parse(text, Faults())
    except ParseError:
        return
