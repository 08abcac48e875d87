from __future__ import annotations

import json
from typing import Any, get_args

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect import errors
from netinspect.model import (
    STATES,
    Connection,
    Exposure,
    Family,
    Note,
    Owner,
    OwnerStatus,
    Protocol,
    Snapshot,
    SocketType,
    State,
    Summary,
    Timer,
    TimerKind,
    decode_name,
)

# The published order: the design's list.
KEYS = (
    "protocol family type state local_address remote_address local_port remote_port ip_protocol "
    "interface recv_q send_q uid user inode cookie pid process owners owner_status timer drops "
    "peer_inode exposure netns"
)
EMPTY = Connection(
    "tcp", "ipv4", "stream", "CLOSE", None, None, None, None, None, None, None, None, None, None,
    None, None,
)  # fmt: skip
FULL = Connection(
    protocol="tcp",
    family="ipv6",
    type="stream",
    state="ESTABLISHED",
    local_address="fe80::1%eth0",
    remote_address="fe80::2%eth0",
    local_port=443,
    remote_port=50000,
    ip_protocol=6,
    interface="eth0",
    recv_q=1,
    send_q=2,
    uid=1000,
    user="caf\\xe9",
    inode=4,
    cookie=2**64 - 1,
    pid=5,
    process="a\\\\b",
    owners=(Owner(5, "a\\\\b", 6), Owner(7, None, None)),
    owner_status="known",
    timer=Timer("keepalive", expires_ms=7200000, retransmits=0),
    drops=8,
    peer_inode=9,
    exposure="link",
    netns=4026531840,
)


def test_the_states_are_those_of_the_kernel_and_three_more() -> None:
    assert " ".join(STATES) == (
        "ESTABLISHED SYN_SENT SYN_RECV FIN_WAIT1 FIN_WAIT2 TIME_WAIT CLOSE CLOSE_WAIT LAST_ACK "
        "LISTEN CLOSING UNCONN BOUND UNKNOWN"
    )


@pytest.mark.parametrize("connection", [EMPTY, FULL], ids=["empty", "full"])
def test_the_keys_of_json_are_in_the_published_order(connection: Connection) -> None:
    assert " ".join(json.loads(msgspec.json.encode(connection))) == KEYS


def test_the_values_of_json() -> None:
    document = json.loads(msgspec.json.encode(FULL))
    assert document["owners"] == [
        {"pid": 5, "process": "a\\\\b", "fd": 6},
        {"pid": 7, "process": None, "fd": None},
    ]
    assert document["timer"] == {"kind": "keepalive", "expires_ms": 7200000, "retransmits": 0}
    assert document["cookie"] == 2**64 - 1
    assert json.loads(msgspec.json.encode(EMPTY)) == {
        **dict.fromkeys(KEYS.split()),
        "protocol": "tcp",
        "family": "ipv4",
        "type": "stream",
        "state": "CLOSE",
        "owners": [],
        "owner_status": "not_requested",
    }


def test_records_cannot_be_changed() -> None:
    with pytest.raises(AttributeError) as caught:
        FULL.state = "CLOSE"  # type: ignore[misc]
    assert str(caught.value) == "immutable type: 'Connection'"


# There only when they were asked for, or where they apply
ASKED_KEYS = "tcp_info memory options dual_stack direction"
DETAIL_KEYS = (
    "command_line executable executable_deleted parents user unit container runtime started_at"
)


def schema_of(kind: type) -> dict[str, Any]:
    return msgspec.json.schema(kind)


def definition(name: str) -> dict[str, Any]:
    found: dict[str, Any] = schema_of(Snapshot)["$defs"][name]
    return found


def test_the_schema_has_the_keys_in_their_order() -> None:
    assert " ".join(definition("Connection")["properties"]) == f"{KEYS} {ASKED_KEYS}"
    assert " ".join(definition("Owner")["properties"]) == f"pid process fd {DETAIL_KEYS}"
    assert list(definition("ParentProcess")["properties"]) == ["pid", "process"]
    assert list(definition("Timer")["properties"]) == ["kind", "expires_ms", "retransmits"]
    assert list(definition("Note")["properties"]) == ["code", "count", "message"]


@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        (Snapshot, ["connections", "notes"]),
        (Summary, ["counts", "total", "notes"]),
    ],
)
def test_every_document_begins_with_the_envelope(kind: type, keys: list[str]) -> None:
    schema = schema_of(kind)
    properties = schema["$defs"][kind.__name__]["properties"]
    assert list(properties) == [
        "schema_version", "host", "platform", "sources", "taken_at", *keys
    ]  # fmt: skip
    assert properties["schema_version"]["default"] == 1


@pytest.mark.parametrize(
    ("key", "type_"),
    [
        ("protocol", Protocol),
        ("family", Family),
        ("type", SocketType),
        ("state", State),
        ("owner_status", OwnerStatus),
    ],
)
def test_the_schema_lists_the_words_of_a_key(key: str, type_: Any) -> None:
    assert sorted(definition("Connection")["properties"][key]["enum"]) == sorted(get_args(type_))


def test_the_schema_lists_the_words_of_what_may_be_null() -> None:
    exposure = definition("Connection")["properties"]["exposure"]
    assert {"enum": sorted(get_args(Exposure))} in exposure["anyOf"]
    kind = definition("Timer")["properties"]["kind"]
    assert sorted(kind["enum"]) == sorted(get_args(TimerKind))


def snapshot_of(*connections: Connection) -> Any:
    document = Snapshot(
        host="here",
        platform="linux",
        sources=("sock_diag",),
        taken_at="2026-01-02T03:04:05.678901Z",
        connections=connections,
        notes=(Note("owners_hidden", 1, "one owner is hidden"), Note("source_fallback", None, "")),
    )
    return json.loads(msgspec.json.encode(document))


def test_documents_are_as_the_schema_says() -> None:
    validator = jsonschema.Draft202012Validator(schema_of(Snapshot))
    validator.validate(snapshot_of(EMPTY, FULL))


@pytest.mark.parametrize(
    ("key", "value"),
    [("state", "TIME-WAIT"), ("local_port", "443"), ("owners", None), ("pid", 1.5)],
)
def test_the_schema_refuses_other_documents(key: str, value: Any) -> None:
    document = snapshot_of(FULL)
    document["connections"][0][key] = value
    assert not jsonschema.Draft202012Validator(schema_of(Snapshot)).is_valid(document)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (b"", ""),
        (b"nginx", "nginx"),
        (b"a b\n\t\x1b[31m\x7f", "a b\n\t\x1b[31m\x7f"),
        ("caf\u00e9 \U0001f600".encode(), "caf\u00e9 \U0001f600"),
        (b"caf\xe9", "caf\\xe9"),
        (b"\xff\xfe", "\\xff\\xfe"),
        (b"\\", "\\\\"),
        (b"\\xff", "\\\\xff"),
        (b"\\\xff", "\\\\\\xff"),
        (b"a\0b", "a\\x00b"),
        (b"\0\xff", "\\x00\\xff"),
        (b"\xc3", "\\xc3"),  # the first half of a character
        (b"\xed\xa0\x80", "\\xed\\xa0\\x80"),  # a surrogate
        (b"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"),  # beyond Unicode
        (b"\xc0\x80", "\\xc0\\x80"),  # an overlong NUL
    ],
    ids=ascii,
)
def test_names(raw: bytes, expected: str) -> None:
    assert decode_name(raw) == expected


# Bytes with which names collide, if any do.
RAW = st.one_of(
    st.binary(max_size=12),
    st.lists(st.sampled_from([b"\\", b"x", b"f", b"0", b"\xff", b"\0", b"\\xff", b"\xc3\xa9"])).map(
        b"".join
    ),
)


@given(RAW, RAW)
def test_different_names_are_different_texts(one: bytes, other: bytes) -> None:
    assert (decode_name(one) == decode_name(other)) == (one == other)


@given(RAW)
def test_every_name_is_valid_utf_8_and_json(raw: bytes) -> None:
    text = decode_name(raw)
    assert text.encode().decode() == text
    assert "\0" not in text
    assert json.loads(msgspec.json.encode(text)) == text


@given(RAW)
def test_a_name_can_be_had_back(raw: bytes) -> None:
    """Undo it by a reading of the rule: \\\\ is a backslash, \\xNN a byte."""
    parts = decode_name(raw).split("\\\\")
    undone = b"\\".join(unescape(part) for part in parts)
    assert undone == raw


def unescape(text: str) -> bytes:
    first, *rest = text.split("\\x")
    return first.encode() + b"".join(bytes([int(r[:2], 16)]) + r[2:].encode() for r in rest)


def test_every_error_is_one_of_ours() -> None:
    kinds = {kind for kind in vars(errors).values() if isinstance(kind, type)}
    assert all(
        issubclass(kind, errors.NetinspectError)
        for kind in kinds
        if kind.__module__ == errors.__name__
    )
    assert issubclass(errors.UsageError, ValueError)
    assert issubclass(errors.RefusedError, errors.SourceError)
    assert not issubclass(errors.ParseError, errors.SourceError)
