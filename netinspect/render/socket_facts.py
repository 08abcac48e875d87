"""What the extended table says of sockets: the words of ss, with units.

A column at a time, as the records are made: the same text is made once for many sockets.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from msgspec import Struct
from msgspec.structs import astuple

from netinspect.extended import Bbr, Dctcp, Memory, Options, TcpInfo, Vegas
from netinspect.model import Connection
from netinspect.render.escape import escape_cell

Column = Iterable[str]
GAP = "  "
# What nearly every socket has, and nobody asks for
USUAL = frozenset(("ca open", "reordering 3", "cgroup /"))
MOST_REMEMBERED, LONGEST_REMEMBERED = 1024, 100


class Fact(NamedTuple):
    """What to say of the keys of a record where the first of them is neither null, false nor 0.

    `is_zero_told`: also where it is 0.
    """

    keys: tuple[str, ...]
    text: Callable[..., str]
    is_zero_told: bool = False

    def tell(self, value: Any) -> str:
        """GAP and the text of a value, or of those of several keys; `""` if it says nothing."""
        values = (value,) if len(self.keys) == 1 else value
        is_told = values[0] or (self.is_zero_told and values[0] is not None)
        fact = self.text(*values) if is_told else ""
        return GAP + fact if fact and fact not in USUAL else ""


def _fact(key: str, template: str) -> Fact:
    """The value in a sentence; `{:.10g}` writes a number of milliseconds without an exponent."""
    return Fact((key,), template.format)


def _flag(key: str, word: str | None = None) -> Fact:
    return Fact((key,), lambda _: word or key)


def _rate(key: str, word: str) -> Fact:
    return Fact((key,), lambda rate: f"{word} {rate_text(rate)}")


def _name(key: str, word: str = "") -> Fact:
    return Fact((key,), lambda name: f"{word} {escape_cell(name)}".lstrip())


def rate_text(bps: float) -> str:
    """Bits a second in decimal units, as ss has them: `1.07 Gbps`."""
    for unit in ("", "K", "M", "G"):
        if bps < 1000:
            return f"{bps:.3g} {unit}bps"
        bps /= 1000
    return f"{bps:.6g} Tbps"


def _bbr(bbr: Bbr) -> str:
    gains = f"pacing_gain {bbr.pacing_gain:.3g} cwnd_gain {bbr.cwnd_gain:.3g}"
    return f"bbr (bw {rate_text(bbr.bandwidth_bps)} mrtt {_time(bbr.min_rtt_ms)} {gains})"


def _vegas(vegas: Vegas) -> str:
    return f"vegas (rtt {_time(vegas.rtt_ms)} minrtt {_time(vegas.min_rtt_ms)})"


def _dctcp(dctcp: Dctcp) -> str:
    if not dctcp.enabled:
        return "dctcp fallback_mode"
    marked = f"ab_ecn {dctcp.ab_ecn} ab_tot {dctcp.ab_total}"
    return f"dctcp (ce_state {dctcp.ce_state} alpha {dctcp.alpha} {marked})"


def _time(ms: float | None) -> str:
    return "-" if ms is None else f"{ms:.10g} ms"


TCP_FACTS = (
    _name("congestion_control"),
    _flag("timestamps", "ts"),
    _flag("sack", "sack"),
    _flag("ecn", "ecn"),
    _flag("ecn_seen", "ecnseen"),
    _flag("fastopen", "fastopen"),
    Fact(("rcv_wscale", "snd_wscale"), "wscale {1},{0}".format, is_zero_told=True),
    Fact(("rtt_ms", "rttvar_ms"), "rtt {:.10g}/{:.10g} ms".format),
    _fact("min_rtt_ms", "minrtt {:.10g} ms"),
    _fact("rcv_rtt_ms", "rcv_rtt {:.10g} ms"),
    _fact("rto_ms", "rto {:.10g} ms"),
    _fact("ato_ms", "ato {:.10g} ms"),
    _fact("backoff", "backoff {}"),
    _fact("probes", "probes {}"),
    _fact("timeouts", "timeouts {}"),
    _fact("cwnd_segments", "cwnd {}"),
    _fact("ssthresh_segments", "ssthresh {}"),
    _fact("snd_mss_bytes", "mss {} bytes"),
    _fact("rcv_mss_bytes", "rcvmss {} bytes"),
    _fact("advmss_bytes", "advmss {} bytes"),
    _fact("pmtu_bytes", "pmtu {} bytes"),
    _fact("congestion_state", "ca {}"),
    _fact("unacked_segments", "unacked {}"),
    Fact(("retransmits_total", "retransmits"), "retrans {1}/{0}".format),
    _fact("lost_segments", "lost {}"),
    _fact("sacked_segments", "sacked {}"),
    _fact("dsack_duplicates", "dsack_dups {}"),
    _fact("reordering_segments", "reordering {}"),
    _fact("reordering_events", "reord_seen {}"),
    _fact("not_sent_bytes", "notsent {} bytes"),
    _fact("bytes_sent", "bytes_sent {}"),
    _fact("bytes_retransmitted", "bytes_retrans {}"),
    _fact("bytes_acked", "bytes_acked {}"),
    _fact("bytes_received", "bytes_received {}"),
    _fact("segments_sent", "segs_out {}"),
    _fact("segments_received", "segs_in {}"),
    _fact("data_segments_sent", "data_segs_out {}"),
    _fact("data_segments_received", "data_segs_in {}"),
    _fact("segments_delivered", "delivered {}"),
    _fact("segments_delivered_ce", "delivered_ce {}"),
    _fact("segments_out_of_order", "rcv_ooopack {}"),
    _rate("delivery_rate_bps", "delivery_rate"),
    _flag("app_limited", "app_limited"),
    _rate("pacing_rate_bps", "pacing_rate"),
    _rate("max_pacing_rate_bps", "max_pacing_rate"),
    _fact("busy_ms", "busy {:.10g} ms"),
    _fact("rwnd_limited_ms", "rwnd_limited {:.10g} ms"),
    _fact("sndbuf_limited_ms", "sndbuf_limited {:.10g} ms"),
    _fact("last_data_sent_ms_ago", "lastsnd {:.10g} ms"),
    _fact("last_data_received_ms_ago", "lastrcv {:.10g} ms"),
    _fact("last_ack_received_ms_ago", "lastack {:.10g} ms"),
    _fact("rcv_space_bytes", "rcv_space {} bytes"),
    _fact("rcv_ssthresh_bytes", "rcv_ssthresh {} bytes"),
    _fact("snd_wnd_bytes", "snd_wnd {} bytes"),
    _fact("rcv_wnd_bytes", "rcv_wnd {} bytes"),
    _fact("rehashes", "rehash {}"),
    _fact("timeouts_total", "timeouts_total {}"),
    _fact("timeout_recovery_ms", "timeout_recovery {:.10g} ms"),
    Fact(("vegas",), _vegas),
    Fact(("dctcp",), _dctcp),
    Fact(("bbr",), _bbr),
)
MEMORY_FACTS = (
    Fact(("receive_limit_bytes", "receive_allocated_bytes"), "rcvbuf {1}/{0} bytes".format),
    Fact(("send_limit_bytes", "send_allocated_bytes"), "sndbuf {1}/{0} bytes".format),
    _fact("forward_allocated_bytes", "fwd_alloc {} bytes"),
    _fact("send_queued_bytes", "wmem_queued {} bytes"),
    _fact("option_memory_bytes", "optmem {} bytes"),
    _fact("backlog_bytes", "backlog {} bytes"),
    _fact("drops", "drops {}"),
)
OPTION_FACTS = (
    _name("cgroup", "cgroup"),
    _fact("mark", "mark {:#x}"),
    _fact("tos", "tos {:#x}"),
    _fact("traffic_class", "tclass {:#x}"),
    _fact("class_id", "class_id {:#x}"),
    _name("bound_device", "device"),
    _flag("v6only"),
    _flag("receive_shutdown", "receive shut"),
    _flag("send_shutdown", "send shut"),
    _name("upper_layer", "ulp"),
    _flag("recverr"),
    _flag("recverr_rfc4884"),
    _flag("freebind"),
    _flag("transparent"),
    _flag("hdrincl"),
    _flag("nodefrag"),
    _flag("bind_address_no_port"),
    _flag("defer_connect"),
)


class Texts(dict[Any, str]):
    """The text of each value of a fact: many sockets have the same one."""

    def __init__(self, fact: Fact) -> None:
        self._tell = fact.tell

    def __missing__(self, value: Any) -> str:
        text = self._tell(value)
        if len(text) <= LONGEST_REMEMBERED:  # a damaged capture has names of 32 KiB
            if len(self) >= MOST_REMEMBERED:
                self.clear()
            self[value] = text
        return text


class Reader:
    """Makes facts of records, `""` for what is not worth telling."""

    def __init__(self, kind: type[Struct], facts: Sequence[Fact]) -> None:
        place = kind.__struct_fields__.index
        self._facts = [(Texts(fact), tuple(map(place, fact.keys))) for fact in facts]

    def read(self, records: Sequence[Any], *, is_joined: bool) -> list[Column]:
        """For each fact that any of the records has, the texts of all.

        :param is_joined: neighbours that all records have in common become one text.
        """
        if not records:
            return []
        fields = list(zip(*map(astuple, records), strict=True))  # a fifth of an attrgetter
        columns: list[Column] = []
        common = ""
        for texts, places in self._facts:
            values = _values(fields, places)
            # the first comparison is enough for most of those that differ
            is_common = values[0] == values[-1] and values.count(values[0]) == len(values)
            if is_common:
                common += texts[values[0]]
            if common and not (is_common and is_joined):
                columns.append((common,) * len(records))
                common = ""
            if not is_common:
                columns.append(map(texts.__getitem__, values))
        return [*columns, (common,) * len(records)] if common else columns


def _values(fields: Sequence[Sequence[Any]], places: Sequence[int]) -> Sequence[Any]:
    """What one fact is about, of all records."""
    if len(places) == 1:
        return fields[places[0]]
    return tuple(zip(*(fields[place] for place in places), strict=True))


READERS = {
    "tcp_info": Reader(TcpInfo, TCP_FACTS),
    "memory": Reader(Memory, MEMORY_FACTS),
    "options": Reader(Options, OPTION_FACTS),
}


def read_facts(connections: Sequence[Connection], key: str, *, is_joined: bool) -> list[Column]:
    """GAP and `rtt 12.3/4.1 ms`, `cwnd 10` and so on, fit for a terminal.

    :param key: of READERS.
    :param is_joined: see `Reader.read`.
    :returns: a column for each fact that a socket has; `""` for those that do not.
    """
    records = list(map(attrgetter(key), connections))
    # Sockets that are set up alike share their options, and most have the same memory: to compare
    # it pays, to compare all of tcp_info would not.
    marks: Sequence[Any] = records if key == "memory" else list(map(id, records))
    distinct = {mark: record for mark, record in zip(marks, records, strict=True) if record}
    columns = READERS[key].read(list(distinct.values()), is_joined=is_joined)
    if len(distinct) == len(records):
        return columns
    if is_joined:
        texts = dict(zip(distinct, map("".join, zip(*columns, strict=True)), strict=False))
        return [[texts.get(mark, "") for mark in marks]]
    rows = dict(zip(distinct, zip(*columns, strict=True), strict=False))
    nothing = ("",) * len(columns)
    return list(zip(*(rows.get(mark, nothing) for mark in marks), strict=True))
