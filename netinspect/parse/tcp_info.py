"""struct tcp_info (linux/tcp.h), and what the congestion control algorithms measure besides.

Kernels append fields to these structs: of a shorter one what is missing is None, of a longer one
what is not known here is left. Where the kernel says 0 or its largest number for "not measured",
the value is None too.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from itertools import repeat
from typing import Any

from netinspect.extended import Bbr, CongestionState, Dctcp, TcpInfo, Vegas
from netinspect.model import decode_name

# Type codes of the fields in their order, with the kernel that brought them. All of them stand
# where their size aligns them. An idle connection over lo begins:
#   01 00 00 00 00 07 aa 01   state, ca_state, retransmits, probes, backoff, options, wscales, flags
#   e01c0300 00000000 00800000 18020000   rto, ato, snd_mss, rcv_mss
CODES = (
    "B" * 8
    + "I" * 24  # rto to total_retrans
    + "Q" * 4  # pacing rates (3.15), bytes acked and received (4.1)
    + "I" * 6  # segments (4.2), notsent, min_rtt, data segments (4.6)
    + "Q" * 4  # delivery_rate (4.9), busy, rwnd_limited, sndbuf_limited (4.10)
    + "I" * 2  # delivered, delivered_ce (4.18)
    + "Q" * 2  # bytes_sent, bytes_retrans (4.19)
    + "I" * 6  # dsack_dups, reord_seen (4.19), rcv_ooopack, snd_wnd (5.4), rcv_wnd, rehash (6.2)
    + "HHI"  # total_rto, total_rto_recoveries, total_rto_time (6.7)
)
OLDEST = 8  # without its flags nothing can be told

CA_STATES: tuple[CongestionState, ...] = ("open", "disorder", "cwr", "recovery", "loss")
TCP_LISTEN = 10
INFINITE_SSTHRESH = 0x7FFFFFFF  # include/net/tcp.h
NO_LIMIT = (0, None, (1 << 64) - 1)
NO_TIME = (0, None, (1 << 32) - 1)
NO_VEGAS_TIME = (0, 0x7FFFFFFF)

# Bit-fields begin at the low end of a byte where the machine's numbers do.
IS_LITTLE = sys.byteorder == "little"
FIRST_BIT = 0x01 if IS_LITTLE else 0x80
TIMESTAMPS, SACK, WSCALE, ECN, ECN_SEEN, SYN_DATA = 1, 2, 4, 8, 16, 32  # TCPI_OPT_

# struct tcpvegas_info: enabled, rttcnt, rtt and minrtt in microseconds
VEGAS_CODES = "IIII"
# struct tcp_dctcp_info: enabled, ce_state, alpha, ab_ecn, ab_tot
DCTCP_CODES = "HHIII"
# struct tcp_bbr_info: bandwidth in bytes a second (lower half, upper half), min_rtt in
# microseconds, gains in 256ths
BBR_CODES = "IIIII"

Column = Sequence[Any]


def decode_tcp_infos(
    columns: Sequence[Column],
    algorithms: Iterable[str | None],
    vegas: Iterable[Vegas | None],
    dctcp: Iterable[Dctcp | None],
    bbr: Iterable[Bbr | None],
) -> Iterable[TcpInfo]:
    """The structs whose fields are these columns, as many of CODES as the kernel knows.

    A column at a time: of 192,000 sockets a record takes a third of what it takes row by row.

    :param algorithms: what INET_DIAG_CONG says.
    """
    missing: Column = (None,) * len(columns[0])
    fields = [*columns, *repeat(missing, len(CODES) - len(columns))]
    (
        states, ca_states, timeouts, probes, backoffs, options, wscales, flags,
        rtos, atos, snd_mss, rcv_mss, unacked, sacked, lost, retrans, _fackets,
        last_data_sent, _last_ack_sent, last_data_recv, last_ack_recv,
        pmtus, rcv_ssthresh, rtts, rttvars, ssthresh, cwnds, advmss, reordering,
        rcv_rtts, rcv_space, total_retrans,
        pacing_rates, max_pacing_rates, bytes_acked, bytes_received,
        segs_out, segs_in, notsent, min_rtts, data_segs_in, data_segs_out,
        delivery_rates, busy, rwnd_limited, sndbuf_limited,
        delivered, delivered_ce, bytes_sent, bytes_retrans,
        dsack_dups, reord_seen, rcv_ooopack, snd_wnd, rcv_wnd, rehash,
        total_rto, total_rto_recoveries, total_rto_time,
    ) = fields  # fmt: skip
    infos: Iterable[TcpInfo] = map(
        TcpInfo,
        algorithms,
        _converted(ca_states, dict(enumerate(CA_STATES)).get),
        [time / 1000 if time else None for time in rtts],
        [
            var / 1000 if rtt and var is not None else None
            for rtt, var in zip(rtts, rttvars, strict=True)
        ],
        [None if time in NO_TIME else time / 1000 for time in min_rtts],
        _converted(rcv_rtts, measured_ms),
        _converted(rtos, measured_ms),
        _converted(atos, measured_ms),
        backoffs,
        probes,
        timeouts,
        cwnds,
        _converted(ssthresh, finite_ssthresh),
        snd_mss,
        rcv_mss,
        advmss,
        _converted(pmtus, lambda pmtu: pmtu or None),
        snd_wnd,
        rcv_wnd,
        rcv_space,
        rcv_ssthresh,
        *zip(*_converted(tuple(zip(options, wscales, strict=True)), option_values), strict=True),
        unacked,
        sacked,
        lost,
        reordering,
        retrans,
        total_retrans,
        notsent,
        bytes_sent,
        bytes_acked,
        bytes_received,
        bytes_retrans,
        segs_out,
        segs_in,
        delivered,
        delivered_ce,
        rcv_ooopack,
        data_segs_out,
        data_segs_in,
        dsack_dups,
        reord_seen,
        _converted(delivery_rates, bps),
        _converted(pacing_rates, bps),
        _converted(max_pacing_rates, bps),
        _converted(flags, lambda byte: byte & FIRST_BIT != 0),
        _converted(busy, ms),
        _converted(rwnd_limited, ms),
        _converted(sndbuf_limited, ms),
        _ago(last_data_sent, data_segs_out),
        _ago(last_data_recv, data_segs_in),
        _ago(last_ack_recv, segs_in),
        rehash,
        total_rto,
        total_rto_recoveries,
        total_rto_time,
        vegas,
        dctcp,
        bbr,
    )
    if TCP_LISTEN not in states:
        return infos
    return map(_of_state, infos, states)


def _of_state(info: TcpInfo, state: int) -> TcpInfo:
    """Of a listener the rest is 0, but for two fields: the accept queue stands in them."""
    if state != TCP_LISTEN:
        return info
    return TcpInfo(
        info.congestion_control,
        cwnd_segments=info.cwnd_segments,
        reordering_segments=info.reordering_segments,
    )


def _converted(column: Column, convert: Callable[[Any], Any]) -> Iterable[Any]:
    """Each distinct value is converted once: in one reply most fields have one, or few."""
    first = column[0]
    if column.count(first) == len(column):
        return (convert(first),) * len(column)
    known = {value: convert(value) for value in set(column)}
    return map(known.__getitem__, column)


def measured_ms(time: Any) -> float | None:
    """From microseconds; None when there are none."""
    return None if time in NO_TIME else time / 1000


def ms(time: Any) -> float | None:
    """From microseconds."""
    return None if time is None else time / 1000


def bps(rate: Any) -> int | None:
    """From bytes a second; None when there is no limit, or nothing was measured."""
    return None if rate in NO_LIMIT else rate * 8


def finite_ssthresh(segments: int) -> int | None:
    """None before the first loss."""
    return None if segments == INFINITE_SSTHRESH else segments


def option_values(bits: tuple[int, int]) -> tuple[int | bool | None, ...]:
    """Both window scales, timestamps, SACK, ECN, ECN seen, SYN data.

    :param bits: TCPI_OPT_*, and two numbers of four bits.
    """
    options, wscales = bits
    low, high = wscales & 15, wscales >> 4
    scales = ((low, high) if IS_LITTLE else (high, low)) if options & WSCALE else (None, None)
    return (*scales, *(options & bit != 0 for bit in (TIMESTAMPS, SACK, ECN, ECN_SEEN, SYN_DATA)))


def _ago(times: Column, counts: Column) -> Column:
    """Counted from the birth of the connection, or from nowhere, as long as there was none."""
    if 0 not in counts:
        return times
    return [None if count == 0 else time for time, count in zip(times, counts, strict=True)]


def vegas_ms(time: int) -> float | None:
    """From microseconds; None when there are none."""
    return None if time in NO_VEGAS_TIME else time / 1000


@lru_cache(maxsize=64)
def algorithm_name(value: bytes) -> str:
    """The text of INET_DIAG_CONG; a machine knows a handful of them."""
    return decode_name(value.rstrip(b"\0"))


def decode_vegas(columns: Sequence[Column]) -> Iterable[Vegas]:
    """INET_DIAG_VEGASINFO."""
    enabled, counts, rtts, min_rtts = columns
    times = (_converted(column, vegas_ms) for column in (rtts, min_rtts))
    return map(Vegas, map(bool, enabled), counts, *times)


def decode_dctcp(columns: Sequence[Column]) -> Iterable[Dctcp]:
    """INET_DIAG_DCTCPINFO."""
    enabled, *numbers = columns
    return map(Dctcp, map(bool, enabled), *numbers)


def decode_bbr(columns: Sequence[Column]) -> Iterable[Bbr]:
    """INET_DIAG_BBRINFO."""
    lows, highs, min_rtts, pacing_gains, cwnd_gains = columns
    return map(
        Bbr,
        [(high << 32 | low) * 8 for low, high in zip(lows, highs, strict=True)],
        _converted(min_rtts, measured_ms),
        *(_converted(gains, lambda gain: gain / 256) for gains in (pacing_gains, cwnd_gains)),
    )
