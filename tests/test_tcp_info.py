"""struct tcp_info and what stands beside it, from the bytes of real sockets."""

from __future__ import annotations

import gc
import struct
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict

from netinspect.extended import Bbr, Dctcp, Memory, Options, TcpInfo, Vegas
from netinspect.model import Connection
from netinspect.parse import extended
from netinspect.parse.extended import Extender
from netinspect.parse.inet_diag import decode_records
from netinspect.parse.inet_records import Names
from netinspect.parse.netlink import decode_reply
from netinspect.parse.seen import Seen
from netinspect.parse.tcp_info import CODES
from tests.kernel_messages import attribute, done, inet_payload, memory, message

NAMES = Names({}, {0: "", 3: "eth\x1b0"})
USERS: dict[int, str | None] = {0: "root"}
CGROUPS: dict[int, str | None] = {1: "/", 77: "/system.slice/shop.service", 99: None}

# Linux 6.18, the client of a connection over lo that has sent 12 times 25,000 bytes. `ss -tiemn`
# of iproute2 6.1 had this to say of it 12 ms later:
#   ts sack bbr wscale:10,10 rto:204 rtt:0.086/0.021 mss:51200 pmtu:65535 rcvmss:536 advmss:65483
#   cwnd:18 bytes_sent:300000 bytes_acked:300001 segs_out:14 segs_in:13 data_segs_out:12
#   bbr:(bw:9752368160bps,mrtt:0.042,pacing_gain:2.88672,cwnd_gain:2.88672) send 85730232558bps
#   lastsnd:436 lastrcv:992 lastack:436 pacing_rate 170125277072bps delivery_rate 9752380952bps
#   delivered:13 app_limited busy:4ms rcv_space:65495 rcv_ssthresh:65495 minrtt:0.042 snd_wnd:102400
CAPTURED = bytes.fromhex(
    "010000000007aa01e01c03000000000000c800001802000000000000000000000000000000000000"
    "00000000a801000000000000d4030000a8010000ffff0000d7ff00005600000015000000ffffff7f"
    "12000000cbff00000300000000000000d7ff000000000000f23688f304000000ffffffffffffffff"
    "e19304000000000000000000000000000e0000000d000000000000002a000000000000000c000000"
    "c330a94800000000a00f000000000000000000000000000000000000000000000d00000000000000"
    "e0930400000000000000000000000000000000000000000000000000009001000000010000000000"
    "00000000000000000000000000000000000000000000000000000000000000000000000000000000"
)
CAPTURED_BBR = bytes.fromhex("842aa948000000002a000000e3020000e3020000")


def info(**fields: int) -> bytes:
    """The struct of Linux 6.18: 0 but for these fields."""
    values = [fields.pop(name, 0) for name in FIELDS]
    assert not fields
    return struct.pack("=" + CODES, *values) + bytes(32)


FIELDS = """
    state ca_state retransmits probes backoff options wscales flags
    rto ato snd_mss rcv_mss unacked sacked lost retrans fackets
    last_data_sent last_ack_sent last_data_recv last_ack_recv
    pmtu rcv_ssthresh rtt rttvar snd_ssthresh snd_cwnd advmss reordering rcv_rtt rcv_space
    total_retrans pacing_rate max_pacing_rate bytes_acked bytes_received segs_out segs_in
    notsent_bytes min_rtt data_segs_in data_segs_out delivery_rate busy_time rwnd_limited
    sndbuf_limited delivered delivered_ce bytes_sent bytes_retrans dsack_dups reord_seen
    rcv_ooopack snd_wnd rcv_wnd rehash total_rto total_rto_recoveries total_rto_time
""".split()  # noqa: SIM905 as the header has them


def extend(*attributes: bytes, interface: int = 0, **fields: Any) -> Connection:
    payload = inet_payload(b"".join(attributes), interface=interface, **fields)
    return extend_all(message(payload) + done())[0]


def extend_all(data: bytes, extender: Extender | None = None) -> list[Connection]:
    reply = decode_reply(data)
    names = Names(USERS, NAMES.interface)
    records = decode_records(reply, "tcp", names, Seen())
    return (extender or Extender(NAMES.interface, CGROUPS)).extend(reply, records)


def tcp_info(value: bytes, *attributes: bytes) -> TcpInfo:
    found = extend(attribute(extended.INFO, value), *attributes).tcp_info
    assert isinstance(found, TcpInfo)
    return found


def options(*attributes: bytes, interface: int = 0) -> Options:
    found = extend(*attributes, interface=interface).options
    assert isinstance(found, Options)
    return found


def test_all_fields_in_their_units() -> None:
    value = info(
        state=1,
        ca_state=4,
        retransmits=2,
        probes=1,
        backoff=3,
        options=1 | 2 | 4 | 8 | 16 | 32,
        wscales=0x7A,
        flags=1,
        rto=204_000,
        ato=40_000,
        snd_mss=1448,
        rcv_mss=536,
        unacked=11,
        sacked=12,
        lost=13,
        retrans=14,
        fackets=15,
        last_data_sent=16,
        last_ack_sent=17,
        last_data_recv=18,
        last_ack_recv=19,
        pmtu=1500,
        rcv_ssthresh=64_088,
        rtt=12_345,
        rttvar=4_100,
        snd_ssthresh=20,
        snd_cwnd=10,
        advmss=1460,
        reordering=3,
        rcv_rtt=5_500,
        rcv_space=14_600,
        total_retrans=21,
        pacing_rate=1_000,
        max_pacing_rate=2_000,
        bytes_acked=22,
        bytes_received=23,
        segs_out=24,
        segs_in=25,
        notsent_bytes=26,
        min_rtt=10_100,
        data_segs_in=27,
        data_segs_out=28,
        delivery_rate=3_000,
        busy_time=29_500,
        rwnd_limited=30_000,
        sndbuf_limited=31_000,
        delivered=32,
        delivered_ce=33,
        bytes_sent=2**40,
        bytes_retrans=35,
        dsack_dups=36,
        reord_seen=37,
        rcv_ooopack=38,
        snd_wnd=39,
        rcv_wnd=40,
        rehash=41,
        total_rto=42,
        total_rto_recoveries=43,
        total_rto_time=44,
    )
    assert tcp_info(value, attribute(extended.CONG, b"cubic\0")) == TcpInfo(
        congestion_control="cubic",
        congestion_state="loss",
        rtt_ms=12.345,
        rttvar_ms=4.1,
        min_rtt_ms=10.1,
        rcv_rtt_ms=5.5,
        rto_ms=204,
        ato_ms=40,
        backoff=3,
        probes=1,
        timeouts=2,
        cwnd_segments=10,
        ssthresh_segments=20,
        snd_mss_bytes=1448,
        rcv_mss_bytes=536,
        advmss_bytes=1460,
        pmtu_bytes=1500,
        snd_wnd_bytes=39,
        rcv_wnd_bytes=40,
        rcv_space_bytes=14_600,
        rcv_ssthresh_bytes=64_088,
        snd_wscale=10,
        rcv_wscale=7,
        timestamps=True,
        sack=True,
        ecn=True,
        ecn_seen=True,
        fastopen=True,
        unacked_segments=11,
        sacked_segments=12,
        lost_segments=13,
        reordering_segments=3,
        retransmits=14,
        retransmits_total=21,
        not_sent_bytes=26,
        bytes_sent=2**40,
        bytes_acked=22,
        bytes_received=23,
        bytes_retransmitted=35,
        segments_sent=24,
        segments_received=25,
        segments_delivered=32,
        segments_delivered_ce=33,
        segments_out_of_order=38,
        data_segments_sent=28,
        data_segments_received=27,
        dsack_duplicates=36,
        reordering_events=37,
        delivery_rate_bps=24_000,
        pacing_rate_bps=8_000,
        max_pacing_rate_bps=16_000,
        app_limited=True,
        busy_ms=29.5,
        rwnd_limited_ms=30,
        sndbuf_limited_ms=31,
        last_data_sent_ms_ago=16,
        last_data_received_ms_ago=18,
        last_ack_received_ms_ago=19,
        rehashes=41,
        timeouts_total=42,
        timeout_recoveries_total=43,
        timeout_recovery_ms=44,
    )


def test_what_a_real_socket_says_is_what_ss_says_of_it() -> None:
    found = tcp_info(
        CAPTURED,
        attribute(extended.CONG, b"bbr\0"),
        attribute(extended.BBRINFO, CAPTURED_BBR),
    )
    assert found == TcpInfo(
        congestion_control="bbr",
        congestion_state="open",
        rtt_ms=0.086,
        rttvar_ms=0.021,
        min_rtt_ms=0.042,
        rto_ms=204,
        backoff=0,
        probes=0,
        timeouts=0,
        cwnd_segments=18,
        snd_mss_bytes=51_200,
        rcv_mss_bytes=536,
        advmss_bytes=65_483,
        pmtu_bytes=65_535,
        snd_wnd_bytes=102_400,
        rcv_wnd_bytes=65_536,
        rcv_space_bytes=65_495,
        rcv_ssthresh_bytes=65_495,
        snd_wscale=10,
        rcv_wscale=10,
        timestamps=True,
        sack=True,
        ecn=False,
        ecn_seen=False,
        fastopen=False,
        unacked_segments=0,
        sacked_segments=0,
        lost_segments=0,
        reordering_segments=3,
        retransmits=0,
        retransmits_total=0,
        not_sent_bytes=0,
        bytes_sent=300_000,
        bytes_acked=300_001,
        bytes_received=0,
        bytes_retransmitted=0,
        segments_sent=14,
        segments_received=13,
        segments_delivered=13,
        segments_delivered_ce=0,
        segments_out_of_order=0,
        data_segments_sent=12,
        data_segments_received=0,
        dsack_duplicates=0,
        reordering_events=0,
        delivery_rate_bps=9_752_380_952,
        pacing_rate_bps=170_125_277_072,
        app_limited=True,
        busy_ms=4,
        rwnd_limited_ms=0,
        sndbuf_limited_ms=0,
        last_data_sent_ms_ago=424,
        last_data_received_ms_ago=None,  # nothing was: ss counts from the birth of the connection
        last_ack_received_ms_ago=424,
        rehashes=0,
        timeouts_total=0,
        timeout_recoveries_total=0,
        timeout_recovery_ms=0,
        bbr=Bbr(
            bandwidth_bps=9_752_368_160,
            min_rtt_ms=0.042,
            pacing_gain=739 / 256,
            cwnd_gain=739 / 256,
        ),
    )


def test_of_an_old_kernel_what_was_not_counted_yet_is_null() -> None:
    """104 bytes, as up to Linux 3.14."""
    found = tcp_info(CAPTURED[:104])
    assert (found.rtt_ms, found.cwnd_segments, found.retransmits_total) == (0.086, 18, 0)
    assert (found.bytes_acked, found.min_rtt_ms, found.pacing_rate_bps) == (None, None, None)
    assert (found.busy_ms, found.snd_wnd_bytes, found.timeouts_total) == (None, None, None)
    # Whether there was any data is not told: then what the kernel says stands.
    assert found.last_data_received_ms_ago == 980


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"rtt": 0, "rttvar": 250_000}, "rtt_ms"),
        ({"rtt": 0, "rttvar": 250_000}, "rttvar_ms"),
        ({"min_rtt": 0xFFFFFFFF}, "min_rtt_ms"),
        ({"rcv_rtt": 0}, "rcv_rtt_ms"),
        ({"ato": 0}, "ato_ms"),
        ({"snd_ssthresh": 0x7FFFFFFF}, "ssthresh_segments"),
        ({"pmtu": 0}, "pmtu_bytes"),
        ({"pacing_rate": 2**64 - 1}, "pacing_rate_bps"),
        ({"max_pacing_rate": 2**64 - 1}, "max_pacing_rate_bps"),
        ({"delivery_rate": 0}, "delivery_rate_bps"),
        ({"wscales": 0x77, "options": 0}, "snd_wscale"),
        ({"wscales": 0x77, "options": 0}, "rcv_wscale"),
        ({"last_data_sent": 11_741_484}, "last_data_sent_ms_ago"),
        ({"last_data_recv": 11_741_484}, "last_data_received_ms_ago"),
        ({"last_ack_recv": 11_741_484}, "last_ack_received_ms_ago"),
        ({"ca_state": 5}, "congestion_state"),
    ],
)
def test_what_was_not_measured_is_not_0(fields: dict[str, int], key: str) -> None:
    assert getattr(tcp_info(info(state=2, **fields)), key) is None


def test_what_was_counted_may_be_0() -> None:
    found = tcp_info(info(state=1))
    assert (found.busy_ms, found.bytes_sent, found.unacked_segments) == (0, 0, 0)
    assert (found.timestamps, found.app_limited) == (False, False)


def test_of_a_listener_only_its_defaults_are_told() -> None:
    """Where unacked and sacked stand, it has the lengths of its queue."""
    value = info(state=10, unacked=3, sacked=128, snd_cwnd=10, reordering=3)
    assert tcp_info(value, attribute(extended.CONG, b"bbr\0")) == TcpInfo(
        "bbr", cwnd_segments=10, reordering_segments=3
    )


FULL = info(**{name: number for number, name in enumerate(FIELDS, start=1) if name != "state"})


@pytest.mark.parametrize("length", range(len(FULL) + 8))
def test_every_length(length: int) -> None:
    """Shorter: what is cut is null, the rest is as ever. Longer: what is more is left."""
    whole = asdict(tcp_info(FULL))
    found = extend(attribute(extended.INFO, (FULL + bytes(8))[:length])).tcp_info
    if length < 8:
        assert found is None
        return
    assert isinstance(found, TcpInfo)
    values = asdict(found)
    cut = {key for key, value in values.items() if value is None and whole[key] is not None}
    assert {key: whole[key] for key in values.keys() - cut} == {
        key: values[key] for key in values.keys() - cut
    }
    ends = {name: struct.calcsize("=" + CODES[: n + 1]) for n, name in enumerate(FIELDS)}
    assert ("retransmits_total" in cut) == (length < ends["total_retrans"])
    assert ("bytes_sent" in cut) == (length < ends["bytes_sent"])
    assert ("snd_wnd_bytes" in cut) == (length < ends["snd_wnd"])
    assert ("timeout_recovery_ms" in cut) == (length < ends["total_rto_time"])


U8, U32 = st.integers(0, 255), st.integers(0, 2**32 - 1)


@given(st.lists(st.tuples(U8, U32, U32, U32), min_size=1, max_size=9))
def test_each_socket_of_a_reply_gets_what_is_its_own(rows: list[tuple[int, int, int, int]]) -> None:
    data = b"".join(
        message(
            inet_payload(
                attribute(extended.TOS, bytes([tos]))
                + attribute(
                    extended.INFO, info(state=1, rtt=rtt, snd_cwnd=cwnd, delivery_rate=rate)
                )
                + attribute(extended.SKMEMINFO, memory(rate)),
                cookie=cookie,
            )
        )
        for cookie, (tos, rtt, cwnd, rate) in enumerate(rows, start=1)
    )
    for record, (tos, rtt, cwnd, rate) in zip(extend_all(data), rows, strict=True):
        assert isinstance(record.tcp_info, TcpInfo)
        assert isinstance(record.memory, Memory)
        assert isinstance(record.options, Options)
        assert record.options.tos == tos
        assert record.tcp_info.rtt_ms == (rtt / 1000 if rtt else None)
        assert record.tcp_info.cwnd_segments == cwnd
        assert record.tcp_info.delivery_rate_bps == (rate * 8 or None)
        assert record.memory.drops == rate


ATTRIBUTES = {
    extended.TOS: b"\x10",
    extended.SHUTDOWN: b"\x02",
    extended.MARK: struct.pack("=I", 9),
    extended.CONG: b"reno\0",
    extended.INFO: info(state=1, rtt=7_000),
    extended.SKMEMINFO: memory(5),
    extended.CGROUP_ID: struct.pack("=Q", 77),
    99: b"unknown",
}


@given(st.lists(st.lists(st.sampled_from(list(ATTRIBUTES)), unique=True), max_size=6))
def test_attributes_in_any_order_and_number(kinds_of_each: list[list[int]]) -> None:
    """Also where messages of one length are of different shapes."""
    extender = Extender({}, CGROUPS)
    data = b"".join(
        message(inet_payload(b"".join(attribute(k, ATTRIBUTES[k]) for k in kinds), cookie=number))
        for number, kinds in enumerate(kinds_of_each, start=1)
    )
    if not data:
        return
    for record, kinds in zip(extend_all(data, extender), kinds_of_each, strict=True):
        has_options = not {8, 5, 15, 21}.isdisjoint(kinds)
        assert (record.tcp_info is not None) == (extended.INFO in kinds)
        assert (record.memory is not None) == (extended.SKMEMINFO in kinds)
        assert (record.options is not None) == has_options
        if isinstance(record.tcp_info, TcpInfo):
            assert record.tcp_info.rtt_ms == 7
            named = "reno" if extended.CONG in kinds else None
            assert record.tcp_info.congestion_control == named
        if isinstance(record.options, Options):
            assert record.options.tos == (16 if extended.TOS in kinds else None)
            assert record.options.mark == (9 if extended.MARK in kinds else None)
            assert record.options.cgroup_id == (77 if extended.CGROUP_ID in kinds else None)
            shut = True if extended.SHUTDOWN in kinds else None
            assert record.options.send_shutdown == shut


def test_without_attributes_there_is_nothing() -> None:
    record = extend()
    assert (record.tcp_info, record.memory, record.options) == (None, None, None)


def test_a_socket_without_a_cookie_has_nothing() -> None:
    """Of several nobody could tell whose it is."""
    record = extend(attribute(extended.TOS, b"\x10"), cookie=0)
    assert (record.tcp_info, record.memory, record.options) == (None, None, None)


def test_vegas() -> None:
    value = struct.pack("=4I", 1, 5, 1500, 0x7FFFFFFF)
    found = tcp_info(info(state=1), attribute(extended.VEGASINFO, value))
    assert found.vegas == Vegas(enabled=True, rtt_count=5, rtt_ms=1.5, min_rtt_ms=None)


def test_dctcp() -> None:
    value = struct.pack("=HHIII", 1, 2, 1024, 4, 5)
    found = tcp_info(info(state=1), attribute(extended.DCTCPINFO, value))
    assert found.dctcp == Dctcp(enabled=True, ce_state=2, alpha=1024, ab_ecn=4, ab_total=5)


def test_bbr() -> None:
    value = struct.pack("=5I", 1, 2, 1500, 739, 512)
    found = tcp_info(info(state=1), attribute(extended.BBRINFO, value))
    bandwidth = ((2 << 32) + 1) * 8
    assert found.bbr == Bbr(
        bandwidth_bps=bandwidth, min_rtt_ms=1.5, pacing_gain=739 / 256, cwnd_gain=2
    )


@pytest.mark.parametrize(
    ("kind", "length"),
    [(extended.VEGASINFO, 15), (extended.DCTCPINFO, 15), (extended.BBRINFO, 19)],
)
def test_what_is_shorter_than_an_algorithm_tells_is_left(kind: int, length: int) -> None:
    found = tcp_info(info(state=1), attribute(kind, bytes(length)))
    assert (found.vegas, found.dctcp, found.bbr) == (None, None, None)


def test_memory() -> None:
    value = struct.pack("=4Ii4I", 1, 2, 3, 4, -5, 6, 7, 8, 9)
    assert extend(attribute(extended.SKMEMINFO, value)).memory == Memory(
        receive_allocated_bytes=1,
        receive_limit_bytes=2,
        send_allocated_bytes=3,
        send_limit_bytes=4,
        forward_allocated_bytes=-5,
        send_queued_bytes=6,
        option_memory_bytes=7,
        backlog_bytes=8,
        drops=9,
    )


@pytest.mark.parametrize("length", range(44))
def test_memory_of_every_length(length: int) -> None:
    value = (struct.pack("=9I", *range(1, 10)) + bytes(8))[:length]
    found = extend(attribute(extended.SKMEMINFO, value)).memory
    if length < 28:
        assert found is None
    else:
        assert isinstance(found, Memory)
        assert found.option_memory_bytes == 7
        assert found.backlog_bytes == (8 if length >= 32 else None)
        assert found.drops == (9 if length >= 36 else None)


def test_options() -> None:
    assert options(
        attribute(extended.SHUTDOWN, b"\x02"),
        attribute(extended.TOS, b"\x10"),
        attribute(extended.TCLASS, b"\x20"),
        attribute(extended.SKV6ONLY, b"\x01"),
        attribute(extended.MARK, struct.pack("=I", 0xFFFFFFFF)),
        attribute(extended.CLASS_ID, struct.pack("=I", 6)),
        attribute(extended.CGROUP_ID, struct.pack("=Q", 77)),
        attribute(extended.ULP_INFO, attribute(1, b"tls\0") + attribute(2, b"")),
        interface=3,
    ) == Options(
        mark=0xFFFFFFFF,
        tos=16,
        traffic_class=32,
        class_id=6,
        cgroup_id=77,
        cgroup="/system.slice/shop.service",
        bound_device="eth\x1b0",
        v6only=True,
        receive_shutdown=False,
        send_shutdown=True,
        upper_layer="tls",
    )


SOCKOPT_NAMES = [
    *("recverr", "is_icsk", "freebind", "hdrincl", "mc_loop", "transparent", "mc_all", "nodefrag"),
    *("bind_address_no_port", "recverr_rfc4884", "defer_connect"),
]


@pytest.mark.parametrize("number", range(16))
def test_each_bit_of_sockopt(number: int) -> None:
    found = options(attribute(extended.SOCKOPT, struct.pack("<H", 1 << number)))
    on = [name for name in SOCKOPT_NAMES if getattr(found, name)]
    assert on == ([SOCKOPT_NAMES[number]] if number < 11 else [])
    assert all(getattr(found, name) is not None for name in SOCKOPT_NAMES)


def test_options_that_are_not_told_are_null() -> None:
    found = asdict(options(attribute(extended.TOS, b"\0")))
    assert {key for key, value in found.items() if value is not None} == {"tos"}


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (extended.TOS, b""),
        (extended.MARK, b"123"),
        (extended.CGROUP_ID, b"1234567"),
        (extended.SOCKOPT, b"1"),
    ],
)
def test_an_option_that_is_cut_is_not_told(kind: int, value: bytes) -> None:
    assert extend(attribute(kind, value)).options is None


def test_a_cgroup_that_is_gone() -> None:
    found = options(attribute(extended.CGROUP_ID, struct.pack("=Q", 99)))
    assert (found.cgroup_id, found.cgroup) == (99, None)


def test_many_different_options_are_not_remembered_for_ever() -> None:
    extender = Extender({}, CGROUPS)
    for first in range(0, 10_000, 100):
        data = b"".join(
            message(inet_payload(attribute(extended.MARK, struct.pack("=I", n)), cookie=n + 1))
            for n in range(first, first + 100)
        )
        marks = [r.options.mark for r in extend_all(data, extender) if r.options]
        assert marks == list(range(first, first + 100))
    (shape,) = extender._shapes.values()  # noqa: SLF001
    assert len(shape._options_of) <= extended.MOST_REMEMBERED  # noqa: SLF001


def test_an_extender_leaves_without_garbage_collection() -> None:
    """The program does not collect: what refers to itself would stay, at each round of a watch."""
    extender = Extender({}, CGROUPS)
    payload = inet_payload(attribute(extended.MARK, struct.pack("=I", 9)))
    assert extend_all(message(payload), extender)
    gone = weakref.ref(extender)
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        del extender
        assert gone() is None
    finally:
        if was_enabled:
            gc.enable()
