r"""What ss shows behind the addresses: who holds a socket, its timer, memory and TCP internals.

     users:(("sshd",pid=7,fd=3)) timer:(keepalive,119min,0) ino:48 sk:ec6733 cgroup:/ <->
    \t skmem:(r0,rb131072,t0,tb16384,f0,w0,o0,bl0,d0) cubic wscale:7,7 rto:204 mss:32768

Source: proc_ctx_print(), tcp_timer_print(), sock_details_print(), print_skmeminfo() and
tcp_stats_print() of misc/ss.c (iproute2 6.1). Numbers are whole, as with -n.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from netinspect.extended import Memory, Options, TcpInfo
from netinspect.model import Connection, Timer
from netinspect.render.dialects.dialect import Names, number_text

TIMERS = {
    "retransmit": "on",
    "keepalive": "keepalive",
    "time_wait": "timewait",
    "zero_window": "persist",
}
# What the kernel begins with: ss does not show it
FIRST_RTO_MS, FIRST_REORDERING = 3000, 3
# ss takes a greater slow start threshold for none.
MOST_SSTHRESH = 0xFFFF


class Details(NamedTuple):
    """Which of it: -p, -o, -e (which is -o as well), -m, -i and -O."""

    processes: bool = False
    timers: bool = False
    details: bool = False
    memory: bool = False
    info: bool = False
    is_oneline: bool = False


def detail_text(c: Connection, shown: Details, names: Names) -> str:
    """The text behind the addresses, with the blank or the line end that it begins with."""
    text = _users(c, names) if shown.processes else ""
    if (shown.timers or shown.details) and c.timer:
        text += _timer(c.timer)
    if not c.options:  # ss has read it from /proc, which tells no more
        return text
    if c.protocol == "unix":
        text += _memory(c.memory) if shown.memory and c.memory else ""
        return text + (_shutdown(c.options) if shown.details else "")
    if shown.details:
        text += _details(c, c.options, names)
    if shown.memory or (shown.info and c.protocol != "udp"):
        text += "" if shown.is_oneline else "\n\t"
        text += _memory(c.memory) if shown.memory and c.memory else ""
        if shown.info and c.tcp_info:
            has_options = shown.timers or shown.details
            text += " ".join(["", *_info(c, c.tcp_info, has_options=has_options)])
    return text


def _users(c: Connection, names: Names) -> str:
    """The last is what ss has found first. In a name it stops at the first `)`."""
    if not c.owners:
        return ""
    users = [
        f'("{names((o.process or "").partition(")")[0])}",pid={o.pid},fd={number_text(o.fd)})'
        for o in reversed(c.owners)
    ]
    return f" users:({','.join(users)})"


def _timer(timer: Timer) -> str:
    name = TIMERS[timer.kind]
    return f" timer:({name},{duration_text(timer.expires_ms)},{timer.retransmits})"


def duration_text(milliseconds: int) -> str:
    """As ss has it: `1min20sec`, `59sec`, `1.464ms` for 1.464 s, `288ms`.

    >>> duration_text(1464), duration_text(7_199_999), duration_text(59_330)
    ('1.464ms', '119min', '59sec')
    """
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    text = f"{minutes}min" if minutes else ""
    if minutes > 9:
        seconds = 0
    if minutes or seconds > 9:
        rest = 0
    if seconds:
        text += f"{seconds}{'.' if rest else 'sec'}"
    return text + (f"{rest:03}ms" if rest else "")


def _details(c: Connection, options: Options, names: Names) -> str:
    text = f" uid:{c.uid}" if c.uid else ""
    text += f" ino:{c.inode or 0} sk:{c.cookie or 0:x}"
    text += f" fwmark:{options.mark:#x}" if options.mark else ""
    if options.cgroup_id or options.cgroup:
        path = names(options.cgroup) if options.cgroup else f"unreachable:{options.cgroup_id:x}"
        text += f" cgroup:{path}"
    if c.family == "ipv6" and options.v6only is not None:
        text += f" v6only:{options.v6only:d}"
    return text + _shutdown(options)


def _shutdown(options: Options) -> str:
    """An arrow for each direction that is open."""
    if options.receive_shutdown is None:
        return ""
    receive = "-" if options.receive_shutdown else "<"
    send = "-" if options.send_shutdown else ">"
    return f" {receive}-{send}"


def _memory(m: Memory) -> str:
    text = (
        f" skmem:(r{m.receive_allocated_bytes},rb{m.receive_limit_bytes}"
        f",t{m.send_allocated_bytes},tb{m.send_limit_bytes},f{m.forward_allocated_bytes}"
        f",w{m.send_queued_bytes},o{m.option_memory_bytes}"
    )
    text += "" if m.backlog_bytes is None else f",bl{m.backlog_bytes}"
    return text + ("" if m.drops is None else f",d{m.drops}") + ")"


def _info(c: Connection, t: TcpInfo, *, has_options: bool) -> Iterator[str]:
    """The words of -i in the order of ss; what is 0 is left out."""
    if has_options:
        yield from _negotiated(t)
    if t.congestion_control:
        yield t.congestion_control
    if t.snd_wscale is not None:
        yield f"wscale:{t.snd_wscale},{t.rcv_wscale}"
    yield from _rounds(t)
    yield from _sizes(t)
    yield from _counts(t)
    yield from _algorithms(t)
    yield from _rates(t)
    yield from _limits(t)
    yield from _losses(c, t)
    yield from _receiving(t)


def _negotiated(t: TcpInfo) -> Iterator[str]:
    words = {
        "ts": t.timestamps,
        "sack": t.sack,
        "ecn": t.ecn,
        "ecnseen": t.ecn_seen,
        "fastopen": t.fastopen,
    }
    return (word for word, is_used in words.items() if is_used)


def _rounds(t: TcpInfo) -> Iterator[str]:
    if t.rto_ms and t.rto_ms != FIRST_RTO_MS:
        yield f"rto:{t.rto_ms:g}"
    yield from _numbers(backoff=t.backoff)
    if t.rtt_ms:
        yield f"rtt:{t.rtt_ms:g}/{t.rttvar_ms or 0:g}"
    if t.ato_ms:
        yield f"ato:{t.ato_ms:g}"


def _sizes(t: TcpInfo) -> Iterator[str]:
    threshold = t.ssthresh_segments or 0
    return _numbers(
        mss=t.snd_mss_bytes,
        pmtu=t.pmtu_bytes,
        rcvmss=t.rcv_mss_bytes,
        advmss=t.advmss_bytes,
        cwnd=t.cwnd_segments,
        ssthresh=threshold if threshold < MOST_SSTHRESH else 0,
    )


def _counts(t: TcpInfo) -> Iterator[str]:
    return _numbers(
        bytes_sent=t.bytes_sent,
        bytes_retrans=t.bytes_retransmitted,
        bytes_acked=t.bytes_acked,
        bytes_received=t.bytes_received,
        segs_out=t.segments_sent,
        segs_in=t.segments_received,
        data_segs_out=t.data_segments_sent,
        data_segs_in=t.data_segments_received,
    )


def _algorithms(t: TcpInfo) -> Iterator[str]:
    if t.dctcp and t.dctcp.enabled:
        d = t.dctcp
        yield f"dctcp:(ce_state:{d.ce_state},alpha:{d.alpha},ab_ecn:{d.ab_ecn},ab_tot:{d.ab_total})"
    elif t.dctcp:
        yield "dctcp:fallback_mode"
    if t.bbr:
        gains = f",pacing_gain:{t.bbr.pacing_gain:g}" if t.bbr.pacing_gain else ""
        gains += f",cwnd_gain:{t.bbr.cwnd_gain:g}" if t.bbr.cwnd_gain else ""
        yield f"bbr:(bw:{t.bbr.bandwidth_bps}bps,mrtt:{t.bbr.min_rtt_ms or 0:g}{gains})"


def _rates(t: TcpInfo) -> Iterator[str]:
    rtt = t.vegas.rtt_ms if t.vegas and t.vegas.enabled and t.vegas.rtt_ms else t.rtt_ms
    if rtt and t.snd_mss_bytes and t.cwnd_segments:
        yield f"send {t.cwnd_segments * t.snd_mss_bytes * 8000 / rtt:.0f}bps"
    yield from _numbers(
        lastsnd=t.last_data_sent_ms_ago,
        lastrcv=t.last_data_received_ms_ago,
        lastack=t.last_ack_received_ms_ago,
    )
    if t.pacing_rate_bps:
        most = f"/{t.max_pacing_rate_bps}bps" if t.max_pacing_rate_bps else ""
        yield f"pacing_rate {t.pacing_rate_bps}bps{most}"
    if t.delivery_rate_bps:
        yield f"delivery_rate {t.delivery_rate_bps}bps"
    yield from _numbers(delivered=t.segments_delivered, delivered_ce=t.segments_delivered_ce)
    if t.app_limited:
        yield "app_limited"


def _limits(t: TcpInfo) -> Iterator[str]:
    """How long it had something to send, and of that what held it up."""
    if not t.busy_ms:
        return
    yield f"busy:{int(t.busy_ms)}ms"
    for name, limited in (("rwnd", t.rwnd_limited_ms), ("sndbuf", t.sndbuf_limited_ms)):
        if limited:
            yield f"{name}_limited:{int(limited)}ms({100 * limited / t.busy_ms:.1f}%)"


def _losses(c: Connection, t: TcpInfo) -> Iterator[str]:
    # of a listener the kernel gives here who waits to be accepted
    yield from _numbers(unacked=c.recv_q if c.state == "LISTEN" else t.unacked_segments)
    if t.retransmits or t.retransmits_total:
        yield f"retrans:{t.retransmits or 0}/{t.retransmits_total or 0}"
    yield from _numbers(
        lost=t.lost_segments,
        sacked=None if c.state == "LISTEN" else t.sacked_segments,
        dsack_dups=t.dsack_duplicates,
    )
    if t.reordering_segments not in (None, FIRST_REORDERING):
        yield f"reordering:{t.reordering_segments}"
    yield from _numbers(reord_seen=t.reordering_events)


def _receiving(t: TcpInfo) -> Iterator[str]:
    if t.rcv_rtt_ms:
        yield f"rcv_rtt:{t.rcv_rtt_ms:g}"
    yield from _numbers(
        rcv_space=t.rcv_space_bytes, rcv_ssthresh=t.rcv_ssthresh_bytes, notsent=t.not_sent_bytes
    )
    if t.min_rtt_ms:
        yield f"minrtt:{t.min_rtt_ms:g}"
    yield from _numbers(rcv_ooopack=t.segments_out_of_order, snd_wnd=t.snd_wnd_bytes)


def _numbers(**words: int | None) -> Iterator[str]:
    return (f"{word}:{number}" for word, number in words.items() if number)
