"""The kernel's numbers for the states and timers of TCP, UDP and raw sockets, and our names."""

from __future__ import annotations

from netinspect.model import Protocol, SocketType, State, TimerKind

BOUND_BIT = 13  # TCPF_BOUND_INACTIVE: without it no dump shows sockets that are only bound
# Numbers of include/net/tcp_states.h. 12 (NEW_SYN_RECV) and 13 (BOUND_INACTIVE) are the kernel's
# own, shown to us as 3 and 7.
STATE_NUMBERS: dict[State, int] = {
    "ESTABLISHED": 1,
    "SYN_SENT": 2,
    "SYN_RECV": 3,
    "FIN_WAIT1": 4,
    "FIN_WAIT2": 5,
    "TIME_WAIT": 6,
    "CLOSE": 7,
    "CLOSE_WAIT": 8,
    "LAST_ACK": 9,
    "LISTEN": 10,
    "CLOSING": 11,
    "UNCONN": 7,
    "BOUND": BOUND_BIT,
}
CLOSE, LISTEN = 7, 10
PEERLESS = frozenset((CLOSE, LISTEN))
# idiag_timer, net/ipv4/inet_diag.c
TIMER_KINDS: dict[int, TimerKind] = {
    1: "retransmit",
    2: "keepalive",
    3: "time_wait",
    4: "zero_window",
}
SOCKET_TYPES: dict[Protocol, SocketType] = {
    "tcp": "stream",
    "udp": "dgram",
    "udplite": "dgram",
    "raw": "raw",
}


def tcp_states() -> tuple[State | None, ...]:
    """State by number, for all values of a byte; None where the port decides."""
    names: list[State | None] = ["UNKNOWN"] * 256
    for state, number in STATE_NUMBERS.items():
        names[number] = state
    names[CLOSE] = None
    names[BOUND_BIT] = "UNKNOWN"
    return tuple(names)


TCP_STATES = tcp_states()


def closed_state(local_port: int | bool) -> State:
    """What kernel state 7 means for TCP: with a port the socket is bound and nothing more."""
    return "BOUND" if local_port else "CLOSE"


def datagram_states() -> tuple[State, ...]:
    """State by number of sockets that know only connected and not connected."""
    names: list[State] = ["UNKNOWN"] * 256
    names[STATE_NUMBERS["ESTABLISHED"]] = "ESTABLISHED"
    names[CLOSE] = "UNCONN"
    return tuple(names)


DATAGRAM_STATES = datagram_states()
