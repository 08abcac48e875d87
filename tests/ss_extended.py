"""What `ss -tuxiemo` says of each socket, word by word, and the same words made of our record.

Written for iproute2 6.1; an ss that says more makes the comparison fail with what it says.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator

from netinspect.extended import Bbr, Memory, Options, TcpInfo
from netinspect.model import Connection

Words = dict[str, str]
Key = tuple[str, int]  # cookie, or of unix sockets inode

COMMAND = ["ss", "-tuxanHO", "-iemo", "--tos", "--cgroup", "--inet-sockopt"]
AGES = ("lastsnd", "lastrcv", "lastack")
TIMES = ("busy", "rwnd_limited", "sndbuf_limited")
# They grow between two looks.
GROWING = frozenset((*AGES, *TIMES))
# Nothing was sent, or came: ss counts from the birth of the connection, or from nowhere.
NEVER = "never"
# Told by other keys of the record (test_live_sources.py), or made of others (send).
ELSEWHERE = frozenset(("timer", "uid", "ino", "sk", "dev", "send"))
# Words of which at least one socket of the test has each
EXPECTED = {
    *("skmem", "v6only", "shutdown", "fwmark", "tos", "tclass", "class_id", "cgroup"),
    *("inet-sockopt", "ts", "sack", "algorithm", "wscale", "rto", "backoff", "rtt", "ato", "mss"),
    *("pmtu", "rcvmss", "advmss", "cwnd", "bytes_sent", "bytes_retrans", "bytes_acked"),
    *("bytes_received", "segs_out", "segs_in", "data_segs_out", "data_segs_in", "pacing_rate"),
    *("delivery_rate", "delivered", "app_limited", "unacked", "retrans", "lost", "rcv_space"),
    *("rcv_ssthresh", "minrtt", "snd_wnd", *AGES, "busy"),
}

# u_str ESTAB 0 0 /run/a b 12345 * 12346 skmem:(...) <->
UNIX_ROW = re.compile(rb"^u_\w+ +\S+ +\d+ +\d+ +(?s:.)*? (\d+) +\* \d+ +(.*?) *$", re.MULTILINE)
# tcp ESTAB 0 0 127.0.0.1:5000 127.0.0.1:6000 timer:(on,068ms,3) ino:7 sk:1f cgroup:/ <-> tos:0
INET_ROW = re.compile(
    rb"^(?:tcp|udp) +(\S+) +\d+ +\d+ +\S+ +\S+ +(.*sk:([0-9a-f]+).*?) *$", re.MULTILINE
)
# inet-sockopt: ( is_icsk mc_loop), skmem:(r0,...), pacing_rate 1bps/2bps, wscale:10,10, ts, <->
WORD = re.compile(r"([\w-]+): ?\(([^)]*)\)|(\w+_rate|send) (\S+)|(\w+):(\S+)|(\S+)")
SHUTDOWN = re.compile(r"[<-]-[->]")
FLAGS = ("ts", "sack", "ecn", "ecnseen", "fastopen", "app_limited")


def run() -> dict[Key, Words]:
    """What ss says of each socket, by what tells it from the others."""
    text = subprocess.run(COMMAND, capture_output=True, check=True).stdout
    rows = {("unix", int(inode)): words_of_ss(rest) for inode, rest in UNIX_ROW.findall(text)}
    for state, rest, cookie in INET_ROW.findall(text):
        words = words_of_ss(rest)
        if state == b"LISTEN":  # the accept queue, which is recv_q
            words.pop("unacked", None)
        rows["inet", int(cookie, 16)] = words
    return rows


def words_of_ss(text: bytes) -> Words:
    """`{"rtt": "0.006/0.003", "ts": "", ...}`."""
    words = {}
    text = text.partition(b" peers:")[0]  # of a unix listener, each behind a blank
    for group, members, rate, bps, name, value, bare in WORD.findall(text.decode()):
        if bare:
            name = bare
            if SHUTDOWN.fullmatch(bare):
                name, value = "shutdown", bare
            elif bare not in FLAGS:
                name, value = "algorithm", bare
        words[group or rate or name] = members.strip() or bps or value
    return {word: value for word, value in words.items() if word not in ELSEWHERE}


def key_of(connection: Connection) -> Key:
    if connection.protocol == "unix":
        return "unix", connection.inode or 0
    return "inet", connection.cookie or 0


def words_of(connection: Connection) -> Words:
    """The words in which ss would say what the record says."""
    words: dict[str, str] = {}
    if isinstance(connection.memory, Memory):
        words["skmem"] = memory_word(connection.memory)
    if isinstance(connection.options, Options):
        words.update(option_words(connection.options))
    if isinstance(connection.tcp_info, TcpInfo):
        words.update(tcp_words(connection.tcp_info))
    return words


def memory_word(memory: Memory) -> str:
    return (
        f"r{memory.receive_allocated_bytes},rb{memory.receive_limit_bytes},"
        f"t{memory.send_allocated_bytes},tb{memory.send_limit_bytes},"
        f"f{memory.forward_allocated_bytes},w{memory.send_queued_bytes},"
        f"o{memory.option_memory_bytes},bl{memory.backlog_bytes},d{memory.drops}"
    )


def option_words(options: Options) -> Iterator[tuple[str, str]]:
    if options.receive_shutdown is not None:
        ends = "-" if options.receive_shutdown else "<", "-" if options.send_shutdown else ">"
        yield "shutdown", "-".join(ends)
    if options.mark:
        yield "fwmark", f"{options.mark:#x}"
    for word, value in (
        ("tos", options.tos),
        ("tclass", options.traffic_class),
        ("class_id", options.class_id),
    ):
        if value is not None:
            yield word, f"{value:#x}" if value else "0"
    if options.v6only is not None:
        yield "v6only", str(int(options.v6only))
    if options.cgroup is not None:
        yield "cgroup", options.cgroup
    if options.is_icsk is not None:
        yield "inet-sockopt", " ".join(sockopt_words(options))


def sockopt_words(options: Options) -> Iterator[str]:
    for name in (
        *("recverr", "is_icsk", "freebind", "hdrincl", "mc_loop", "transparent", "mc_all"),
        *("nodefrag", "bind_address_no_port", "recverr_rfc4884", "defer_connect"),
    ):
        if getattr(options, name):
            yield name.replace("address", "addr")


# Where ss prints the number as we have it, if it is not 0
NUMBERS = {
    "backoff": "backoff",
    "mss": "snd_mss_bytes",
    "pmtu": "pmtu_bytes",
    "rcvmss": "rcv_mss_bytes",
    "advmss": "advmss_bytes",
    "cwnd": "cwnd_segments",
    "ssthresh": "ssthresh_segments",
    "bytes_sent": "bytes_sent",
    "bytes_retrans": "bytes_retransmitted",
    "bytes_acked": "bytes_acked",
    "bytes_received": "bytes_received",
    "segs_out": "segments_sent",
    "segs_in": "segments_received",
    "data_segs_out": "data_segments_sent",
    "data_segs_in": "data_segments_received",
    "delivered": "segments_delivered",
    "delivered_ce": "segments_delivered_ce",
    "unacked": "unacked_segments",
    "lost": "lost_segments",
    "sacked": "sacked_segments",
    "dsack_dups": "dsack_duplicates",
    "reord_seen": "reordering_events",
    "rcv_space": "rcv_space_bytes",
    "rcv_ssthresh": "rcv_ssthresh_bytes",
    "notsent": "not_sent_bytes",
    "rcv_ooopack": "segments_out_of_order",
    "snd_wnd": "snd_wnd_bytes",
    "rto": "rto_ms",
    "ato": "ato_ms",
    "rcv_rtt": "rcv_rtt_ms",
    "minrtt": "min_rtt_ms",
}
SWITCHES = {
    "ts": "timestamps",
    "sack": "sack",
    "ecn": "ecn",
    "ecnseen": "ecn_seen",
    "fastopen": "fastopen",
    "app_limited": "app_limited",
}


def tcp_words(info: TcpInfo) -> Iterator[tuple[str, str]]:
    for word, key in NUMBERS.items():
        if value := getattr(info, key):
            yield word, f"{value:g}" if isinstance(value, float) else str(value)
    for word, key in SWITCHES.items():
        if getattr(info, key):
            yield word, ""
    if info.congestion_control:
        yield "algorithm", info.congestion_control
    if info.rcv_wscale is not None:
        yield "wscale", f"{info.snd_wscale},{info.rcv_wscale}"
    if info.rtt_ms:
        yield "rtt", f"{info.rtt_ms:g}/{info.rttvar_ms:g}"
    if info.retransmits or info.retransmits_total:
        yield "retrans", f"{info.retransmits}/{info.retransmits_total}"
    if info.reordering_segments not in (None, 0, 3):
        yield "reordering", str(info.reordering_segments)
    yield from rate_words(info)
    yield from time_words(info)


def rate_words(info: TcpInfo) -> Iterator[tuple[str, str]]:
    if info.pacing_rate_bps:
        limit = f"/{info.max_pacing_rate_bps}bps" if info.max_pacing_rate_bps else ""
        yield "pacing_rate", f"{info.pacing_rate_bps}bps{limit}"
    if info.delivery_rate_bps:
        yield "delivery_rate", f"{info.delivery_rate_bps}bps"
    if info.bbr:
        yield "bbr", bbr_word(info.bbr)


def bbr_word(bbr: Bbr) -> str:
    gains = f",pacing_gain:{bbr.pacing_gain:g}" if bbr.pacing_gain else ""
    gains += f",cwnd_gain:{bbr.cwnd_gain:g}" if bbr.cwnd_gain else ""
    return f"bw:{bbr.bandwidth_bps}bps,mrtt:{bbr.min_rtt_ms or 0:g}{gains}"


def time_words(info: TcpInfo) -> Iterator[tuple[str, str]]:
    for word in TIMES:
        if time := getattr(info, f"{word}_ms"):
            yield word, str(int(time))
    for word, age, count in (
        ("lastsnd", info.last_data_sent_ms_ago, info.data_segments_sent),
        ("lastrcv", info.last_data_received_ms_ago, info.data_segments_received),
        ("lastack", info.last_ack_received_ms_ago, info.segments_received),
    ):
        if age is not None:
            yield word, str(age)
        elif count == 0:
            yield word, NEVER


def agree(word: str, ours: str | None, theirs: str | None, later: str | None) -> bool:
    """Whether we say what ss said before us, or a time between that and what it said after us."""
    if word not in GROWING:
        return ours == theirs
    if ours in (NEVER, None):
        return ours == NEVER and word in AGES
    earliest, latest = _ms(theirs), _ms(later)
    return earliest <= int(ours) <= latest


def _ms(time: str | None) -> int:
    """`12`, `12ms`, `12ms(3.4%)`; ss does not print 0."""
    found = re.match(r"\d+", time or "0")
    assert found, time
    return int(found[0])
