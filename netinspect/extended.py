"""What --extended adds to a record: TCP internals, memory and options of the socket.

Keys end with their unit. `X_bytes` and `X_segments` are how much there is now, `bytes_X` and
`segments_X` are counted since the connection began. `None` is what the kernel does not tell or has
not measured yet: there is no round trip of 0 ms.
"""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

CongestionState = Literal["open", "disorder", "cwr", "recovery", "loss"]


class Vegas(Struct, frozen=True, gc=False):
    """What TCP Vegas and its relatives measure (struct tcpvegas_info)."""

    enabled: bool
    rtt_count: int
    rtt_ms: float | None
    min_rtt_ms: float | None


class Dctcp(Struct, frozen=True, gc=False):
    """What Data Center TCP measures (struct tcp_dctcp_info)."""

    enabled: bool
    ce_state: int
    alpha: int
    ab_ecn: int
    ab_total: int


class Bbr(Struct, frozen=True, gc=False):
    """What BBR measures (struct tcp_bbr_info)."""

    bandwidth_bps: int
    min_rtt_ms: float | None
    pacing_gain: float
    cwnd_gain: float


class TcpInfo(Struct, frozen=True, gc=False):
    """The state of a TCP connection as its sender has it (struct tcp_info of linux/tcp.h).

    Of a listener only its defaults are told: the algorithm, cwnd_segments, reordering_segments.
    """

    congestion_control: Annotated[str | None, Meta(description="the algorithm")] = None
    congestion_state: CongestionState | None = None
    rtt_ms: Annotated[float | None, Meta(description="smoothed round trip time")] = None
    rttvar_ms: Annotated[float | None, Meta(description="its mean deviation")] = None
    min_rtt_ms: Annotated[float | None, Meta(description="least round trip time lately")] = None
    rcv_rtt_ms: Annotated[float | None, Meta(description="as the receiving side sees it")] = None
    rto_ms: Annotated[float | None, Meta(description="retransmission timeout")] = None
    ato_ms: Annotated[float | None, Meta(description="delay of acknowledgements")] = None
    backoff: Annotated[int | None, Meta(description="times that rto_ms was doubled")] = None
    probes: Annotated[
        int | None, Meta(description="unanswered probes: of a closed window, of keepalive")
    ] = None
    timeouts: Annotated[
        int | None, Meta(description="retransmission timeouts in a row, without an answer")
    ] = None
    cwnd_segments: Annotated[int | None, Meta(description="congestion window")] = None
    ssthresh_segments: Annotated[
        int | None, Meta(description="slow start threshold; null while it is infinite")
    ] = None
    snd_mss_bytes: Annotated[int | None, Meta(description="segment size when sending")] = None
    rcv_mss_bytes: Annotated[int | None, Meta(description="estimated of what is received")] = None
    advmss_bytes: Annotated[int | None, Meta(description="segment size told to the peer")] = None
    pmtu_bytes: Annotated[int | None, Meta(description="path MTU")] = None
    snd_wnd_bytes: Annotated[int | None, Meta(description="window that the peer offers")] = None
    rcv_wnd_bytes: Annotated[int | None, Meta(description="window offered to the peer")] = None
    rcv_space_bytes: Annotated[
        int | None, Meta(description="what the program reads in a round trip; tunes the buffer")
    ] = None
    rcv_ssthresh_bytes: Annotated[int | None, Meta(description="limit of the window offered")] = (
        None
    )
    snd_wscale: Annotated[
        int | None, Meta(description="window scale of the peer; null without this option")
    ] = None
    rcv_wscale: Annotated[int | None, Meta(description="window scale told to the peer")] = None
    timestamps: Annotated[bool | None, Meta(description="RFC 7323 timestamps are used")] = None
    sack: Annotated[bool | None, Meta(description="selective acknowledgement is used")] = None
    ecn: Annotated[bool | None, Meta(description="explicit congestion notification is used")] = None
    ecn_seen: Annotated[bool | None, Meta(description="a packet with ECT has come")] = None
    fastopen: Annotated[bool | None, Meta(description="data in the SYN was acknowledged")] = None
    unacked_segments: Annotated[int | None, Meta(description="sent, not acknowledged")] = None
    sacked_segments: int | None = None
    lost_segments: Annotated[int | None, Meta(description="taken for lost now")] = None
    reordering_segments: Annotated[
        int | None, Meta(description="distance that is not yet taken for a loss")
    ] = None
    retransmits: Annotated[
        int | None, Meta(description="segments sent again and not acknowledged yet")
    ] = None
    retransmits_total: Annotated[int | None, Meta(description="segments sent again so far")] = None
    not_sent_bytes: Annotated[int | None, Meta(description="written, not sent yet")] = None
    bytes_sent: Annotated[int | None, Meta(description="with those sent again")] = None
    bytes_acked: int | None = None
    bytes_received: int | None = None
    bytes_retransmitted: int | None = None
    segments_sent: int | None = None
    segments_received: int | None = None
    segments_delivered: int | None = None
    segments_delivered_ce: Annotated[int | None, Meta(description="marked as congested")] = None
    segments_out_of_order: Annotated[int | None, Meta(description="received so")] = None
    data_segments_sent: int | None = None
    data_segments_received: int | None = None
    dsack_duplicates: Annotated[int | None, Meta(description="sent again in vain")] = None
    reordering_events: int | None = None
    delivery_rate_bps: Annotated[int | None, Meta(description="bits a second, measured")] = None
    pacing_rate_bps: Annotated[
        int | None, Meta(description="bits a second; null when there is no limit")
    ] = None
    max_pacing_rate_bps: Annotated[
        int | None, Meta(description="bits a second; null when there is no limit")
    ] = None
    app_limited: Annotated[
        bool | None, Meta(description="the delivery rate is all that the program sent")
    ] = None
    busy_ms: Annotated[float | None, Meta(description="with data to send or on the way")] = None
    rwnd_limited_ms: Annotated[float | None, Meta(description="held up by the window")] = None
    sndbuf_limited_ms: Annotated[float | None, Meta(description="held up by the buffer")] = None
    last_data_sent_ms_ago: Annotated[int | None, Meta(description="null: none was")] = None
    last_data_received_ms_ago: Annotated[int | None, Meta(description="null: none was")] = None
    last_ack_received_ms_ago: Annotated[int | None, Meta(description="null: none was")] = None
    rehashes: Annotated[int | None, Meta(description="times that another path was tried")] = None
    timeouts_total: int | None = None
    timeout_recoveries_total: int | None = None
    timeout_recovery_ms: Annotated[int | None, Meta(description="spent in recovery")] = None
    vegas: Vegas | None = None
    dctcp: Dctcp | None = None
    bbr: Bbr | None = None


class Memory(Struct, frozen=True, gc=False):
    """What the socket takes of the kernel's memory (SK_MEMINFO of linux/sock_diag.h)."""

    receive_allocated_bytes: int
    receive_limit_bytes: Annotated[int, Meta(description="SO_RCVBUF")]
    send_allocated_bytes: int
    send_limit_bytes: Annotated[int, Meta(description="SO_SNDBUF")]
    forward_allocated_bytes: Annotated[int, Meta(description="set aside, not used yet")]
    send_queued_bytes: int
    option_memory_bytes: Annotated[int, Meta(description="socket options and filters")]
    backlog_bytes: Annotated[int | None, Meta(description="came while the socket was locked")] = (
        None
    )
    drops: Annotated[int | None, Meta(description="packets dropped")] = None


class Options(Struct, frozen=True, gc=False):
    """How the socket is set up, as far as the kernel tells."""

    mark: Annotated[
        int | None, Meta(description="SO_MARK; null without the right to know (CAP_NET_ADMIN)")
    ] = None
    tos: Annotated[int | None, Meta(description="IP_TOS")] = None
    traffic_class: Annotated[int | None, Meta(description="IPV6_TCLASS")] = None
    class_id: Annotated[
        int | None, Meta(description="of the cgroup (net_cls); without one SO_PRIORITY")
    ] = None
    cgroup_id: int | None = None
    cgroup: Annotated[
        str | None, Meta(description="path below the cgroup2 mount; null when it is gone or hidden")
    ] = None
    bound_device: Annotated[str | None, Meta(description="SO_BINDTODEVICE")] = None
    v6only: Annotated[bool | None, Meta(description="listeners: IPV6_V6ONLY")] = None
    receive_shutdown: Annotated[bool | None, Meta(description="nothing more is received")] = None
    send_shutdown: Annotated[bool | None, Meta(description="nothing more is sent")] = None
    upper_layer: Annotated[str | None, Meta(description="TCP_ULP: tls, mptcp")] = None
    recverr: Annotated[bool | None, Meta(description="IP_RECVERR")] = None
    recverr_rfc4884: bool | None = None
    freebind: Annotated[bool | None, Meta(description="IP_FREEBIND")] = None
    transparent: Annotated[bool | None, Meta(description="IP_TRANSPARENT")] = None
    hdrincl: Annotated[bool | None, Meta(description="IP_HDRINCL")] = None
    nodefrag: Annotated[bool | None, Meta(description="IP_NODEFRAG")] = None
    bind_address_no_port: bool | None = None
    defer_connect: Annotated[bool | None, Meta(description="TCP_FASTOPEN_CONNECT")] = None
    mc_loop: Annotated[bool | None, Meta(description="IP_MULTICAST_LOOP")] = None
    mc_all: Annotated[bool | None, Meta(description="IP_MULTICAST_ALL")] = None
    is_icsk: Annotated[bool | None, Meta(description="an inet_connection_sock: TCP")] = None
