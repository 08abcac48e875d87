from __future__ import annotations

import json
import sys
from typing import Any

import jsonschema
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

import netinspect
from netinspect.api import Listing, group, summarize
from netinspect.filters.selection import select
from netinspect.grouping.keys import parse_grouping
from netinspect.model import Connection, Note, Owner, ParentProcess
from netinspect.render.groups import render_groups
from netinspect.render.listing import render_listing
from netinspect.render.schema import DOCUMENTS, render_schema
from netinspect.render.summary import render_summary
from tests.records import (
    ANY_CONNECTIONS,
    ENVELOPE,
    EXTENDED,
    NOT_EXTENDED,
    made,
    presentation,
    rendered,
)

# As the design has them: an order that scripts may rely on
CONNECTION_KEYS = [
    *("protocol", "family", "type", "state", "local_address", "remote_address", "local_port"),
    *("remote_port", "ip_protocol", "interface", "recv_q", "send_q", "uid", "user", "inode"),
    *("cookie", "pid", "process", "owners", "owner_status", "timer", "drops", "peer_inode"),
    *("exposure", "netns"),
]
# There only when they were asked for, or where they apply
ASKED_KEYS = ["tcp_info", "memory", "options", "dual_stack", "direction"]
DETAIL_KEYS = [
    *("command_line", "executable", "executable_deleted", "parents", "user", "unit", "container"),
    *("runtime", "started_at"),
]
ENVELOPE_KEYS = ["schema_version", "host", "platform", "sources", "taken_at"]
GROUP_SUMS = [
    *("count", "states", "recv_q", "send_q", "listeners", "waiting", "backlog_limit"),
]
KEYS = {
    "Snapshot": [*ENVELOPE_KEYS, "connections", "notes"],
    "Summary": [*ENVELOPE_KEYS, "counts", "total", "notes"],
    "Connection": [*CONNECTION_KEYS, *ASKED_KEYS],
    "Owner": ["pid", "process", "fd", *DETAIL_KEYS],
    "ParentProcess": ["pid", "process"],
    "Timer": ["kind", "expires_ms", "retransmits"],
    "Note": ["code", "count", "message"],
    "Count": ["protocol", "family", "state", "count"],
    "Groups": [*ENVELOPE_KEYS, "by", "groups", "left_out", "total", "notes"],
    "Group": [
        *("protocol", "family", "type", "state", "local_address", "remote_address", "local_port"),
        *("remote_port", "ip_protocol", "interface", "uid", "user", "pid", "process", "unit"),
        *("container", "runtime", "owner_status", "exposure", "netns", "direction"),
        "cgroup",
        *GROUP_SUMS,
    ],
    "LeftOut": ["groups", "count"],
    "Ports": [*ENVELOPE_KEYS, "uid", "ports", "notes"],
    "PortAnswer": [
        *("port", "protocol", "service", "free", "cause", "answer", "advice", "holders", "places"),
        "other_namespaces",
    ],
    "Holder": [
        *("role", "in_the_way", "count", "protocol", "family", "state", "local_address"),
        *("remote_address", "remote_port", "interface", "dual_stack", "uid", "user", "owners"),
        *("owner_status", "expires_ms"),
    ],
    "Place": ["address", "dual_stack", "asked", "plain", "reuse_address", "reuse_port"],
    "Attempt": ["works", "error", "tried", "predicted"],
    "Neighbour": ["netns", "local_address", "owners"],
    "TimeWait": [
        *(*ENVELOPE_KEYS, "count", "limit", "duration_seconds", "ephemeral_range"),
        *("reserved_ports", "tcp_tw_reuse", "ports_in_use", "created_per_second", "history"),
        *("destinations", "sample", "findings", "notes"),
    ],
    "Destination": [
        *("side", "local_address", "local_port", "remote_address", "remote_port", "time_wait"),
        *("established", "other", "used_ports", "reusable_ports", "capacity", "used_percent"),
        *("created_per_second", "seconds_to_exhaustion", "severity", "likely_owners"),
    ],
    "LikelyOwner": ["pid", "process"],
    "Sample": [
        *("seconds", "opened", "accepted", "time_wait_entered", "time_wait_reused"),
        *("aborted_on_close", "time_wait_overflowed"),
    ],
    "Finding": [
        *("code", "severity", "title", "evidence", "confidence", "advice", "avoid", "examples"),
        "references",
    ],
    "Example": ["language", "text", "code"],
    "TcpInfo": [
        *("congestion_control", "congestion_state", "rtt_ms", "rttvar_ms", "min_rtt_ms"),
        *("rcv_rtt_ms", "rto_ms", "ato_ms", "backoff", "probes", "timeouts"),
        *("cwnd_segments", "ssthresh_segments", "snd_mss_bytes", "rcv_mss_bytes"),
        *("advmss_bytes", "pmtu_bytes", "snd_wnd_bytes", "rcv_wnd_bytes"),
        *("rcv_space_bytes", "rcv_ssthresh_bytes", "snd_wscale", "rcv_wscale"),
        *("timestamps", "sack", "ecn", "ecn_seen", "fastopen", "unacked_segments"),
        *("sacked_segments", "lost_segments", "reordering_segments", "retransmits"),
        *("retransmits_total", "not_sent_bytes", "bytes_sent", "bytes_acked"),
        *("bytes_received", "bytes_retransmitted", "segments_sent", "segments_received"),
        *("segments_delivered", "segments_delivered_ce", "segments_out_of_order"),
        *("data_segments_sent", "data_segments_received", "dsack_duplicates"),
        *("reordering_events", "delivery_rate_bps", "pacing_rate_bps"),
        *("max_pacing_rate_bps", "app_limited", "busy_ms", "rwnd_limited_ms"),
        *("sndbuf_limited_ms", "last_data_sent_ms_ago", "last_data_received_ms_ago"),
        *("last_ack_received_ms_ago", "rehashes", "timeouts_total"),
        *("timeout_recoveries_total", "timeout_recovery_ms", "vegas", "dctcp", "bbr"),
    ],
    "Vegas": [
        *("enabled", "rtt_count", "rtt_ms", "min_rtt_ms"),
    ],
    "Dctcp": [
        *("enabled", "ce_state", "alpha", "ab_ecn", "ab_total"),
    ],
    "Bbr": [
        *("bandwidth_bps", "min_rtt_ms", "pacing_gain", "cwnd_gain"),
    ],
    "Memory": [
        *("receive_allocated_bytes", "receive_limit_bytes", "send_allocated_bytes"),
        *("send_limit_bytes", "forward_allocated_bytes", "send_queued_bytes"),
        *("option_memory_bytes", "backlog_bytes", "drops"),
    ],
    "Options": [
        *("mark", "tos", "traffic_class", "class_id", "cgroup_id", "cgroup"),
        *("bound_device", "v6only", "receive_shutdown", "send_shutdown", "upper_layer"),
        *("recverr", "recverr_rfc4884", "freebind", "transparent", "hdrincl", "nodefrag"),
        *("bind_address_no_port", "defer_connect", "mc_loop", "mc_all", "is_icsk"),
    ],
}

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: sock_diag and /proc")


def schema_of(command: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads(b"".join(render_schema(command)))
    return schema


def validator(command: str, definition: str | None = None) -> Draft202012Validator:
    """A validator of a command's document, or of something inside it."""
    schema = schema_of(command)
    if definition:
        schema["$ref"] = f"#/$defs/{definition}"
    return Draft202012Validator(schema)


@pytest.mark.parametrize("command", ["list", "summary", "port", "time-wait"])
def test_it_is_a_schema(command: str) -> None:
    schema = schema_of(command)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("command", ["list", "summary", "port", "time-wait"])
def test_it_has_the_keys_of_the_design_in_their_order(command: str) -> None:
    definitions = schema_of(command)["$defs"]
    found = {name: list(definition["properties"]) for name, definition in definitions.items()}
    assert found == {name: KEYS[name] for name in found}
    assert {document.__name__ for document in DOCUMENTS[command]} <= set(found)


@pytest.mark.parametrize("command", ["list", "summary", "port", "time-wait"])
def test_everything_is_described(command: str) -> None:
    for definition in schema_of(command)["$defs"].values():
        assert definition["description"]


def test_what_is_not_always_there_is_not_required() -> None:
    definitions = schema_of("list")["$defs"]
    assert definitions["Connection"]["required"] == CONNECTION_KEYS
    assert definitions["Owner"]["required"] == ["pid", "process", "fd"]


DETAILED = Owner(
    1,
    "java",
    5,
    command_line=("java", "-jar"),
    executable="/usr/bin/java",
    executable_deleted=False,
    parents=(ParentProcess(1, None),),
    user="ada",
    unit=None,
    container="web",
    runtime="lxc",
    started_at="2026-01-02T03:04:05Z",
)


@pytest.mark.parametrize(
    "row",
    [made(direction="inbound", dual_stack=True), made(owners=(DETAILED,)), EXTENDED, NOT_EXTENDED],
    ids=["direction", "owner in full", "extended", "extended, not told"],
)
def test_what_was_asked_for_is_valid(row: Connection) -> None:
    validator("list", "Connection").validate(json.loads(rendered([row], "ndjson")))


def test_keys_that_do_not_say_it_themselves_are_described() -> None:
    properties = schema_of("list")["$defs"]["Connection"]["properties"]
    plain = {name for name, value in properties.items() if "description" not in value}
    assert plain == {
        *("protocol", "family", "type", "state", "remote_port", "user", "inode", "process"),
        *("timer", "tcp_info", "memory", "options"),
    }


@given(st.lists(ANY_CONNECTIONS, max_size=5), st.lists(st.builds(Note, st.text(), st.none())))
def test_listings_are_valid(rows: list[Connection], notes: list[Note]) -> None:
    chunks = render_listing([rows], presentation("json"), ENVELOPE, lambda: notes)
    validator("list").validate(json.loads(b"".join(chunks)))


@given(ANY_CONNECTIONS)
def test_a_line_of_ndjson_is_a_connection(row: Connection) -> None:
    document = json.loads(rendered([row], "ndjson"))
    validator("list", "Connection").validate(document)
    assert list(document) == CONNECTION_KEYS


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("state", "TIME-WAIT"),
        ("protocol", "ip"),
        ("local_port", "80"),
        ("owners", None),
        ("owner_status", "unknown"),
        ("timer", {"kind": "other", "expires_ms": 1, "retransmits": 0}),
    ],
)
def test_what_is_no_connection_is_refused(key: str, value: object) -> None:
    document = {**json.loads(rendered([made()], "ndjson")), key: value}
    with pytest.raises(jsonschema.ValidationError):
        validator("list", "Connection").validate(document)


@on_linux
@pytest.mark.parametrize("protocols", [["tcp", "udp"], ["all"]], ids=["default", "all"])
def test_this_machine_is_valid(protocols: list[str]) -> None:
    listing = Listing(select(protocols=protocols))
    chunks = render_listing(
        listing, presentation("json", limit=300), listing.envelope, lambda: listing.notes
    )
    document = json.loads(b"".join(chunks))
    validator("list").validate(document)
    assert list(document) == KEYS["Snapshot"]
    for connection in document["connections"]:
        assert list(connection) == CONNECTION_KEYS


@on_linux
@pytest.mark.parametrize("protocols", [["tcp", "udp"], ["all"]], ids=["default", "all"])
def test_the_summary_of_this_machine_is_valid(protocols: list[str]) -> None:
    summary = summarize(Listing(select(protocols=protocols), with_owners=False))
    document = json.loads(b"".join(render_summary(summary, "json")))
    validator("summary").validate(document)
    assert list(document) == KEYS["Summary"]
    assert document["total"] == sum(count["count"] for count in document["counts"])


@pytest.mark.parametrize("command", ["list", "summary", "port", "time-wait"])
def test_every_other_key_is_always_there(command: str) -> None:
    for name, definition in schema_of(command)["$defs"].items():
        if name not in ("Connection", "Owner", "Group"):
            assert definition["required"] == list(definition["properties"]), name


@on_linux
@pytest.mark.parametrize(
    "by", [["process", "state"], ["remote"], ["unit"], ["cgroup"], ["pid", "exposure"]]
)
def test_the_groups_of_this_machine_are_valid(by: list[str]) -> None:
    grouping = parse_grouping(by, top=3)
    listing = Listing(select(protocols=["all"]), with_owners=grouping.needs_owners)
    document = json.loads(b"".join(render_groups(group(listing, grouping), "json")))
    validator("summary").validate(document)
    assert list(document) == KEYS["Groups"]
    for line in document["groups"]:
        assert list(line) == [key for key in KEYS["Group"] if key in (*grouping.keys, *GROUP_SUMS)]
    counts = sum(line["count"] for line in document["groups"]) + document["left_out"]["count"]
    assert counts >= document["total"]


@pytest.mark.parametrize(
    ("key", "value"), [("count", None), ("states", {"LISTEN": None}), ("process", 7)]
)
def test_what_is_no_group_is_refused(key: str, value: object) -> None:
    (line,) = netinspect.group_by([made()], "process")
    document = {**json.loads(msgspec.json.encode(line)), key: value}
    with pytest.raises(jsonschema.ValidationError):
        validator("summary", "Group").validate(document)


def test_of_a_group_the_sums_are_always_there() -> None:
    assert schema_of("summary")["$defs"]["Group"]["required"] == GROUP_SUMS
