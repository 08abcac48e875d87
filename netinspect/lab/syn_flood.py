"""`lab syn-flood`: SYNs from addresses that will never answer."""

from __future__ import annotations

import socket
from collections.abc import Iterator

from netinspect.lab.bench import Bench
from netinspect.lab.catalog import Setup
from netinspect.lab.event import Event
from netinspect.lab.forged import FLOODERS, add_route, forged_syns

BACKLOG = 128
SYNS = 100  # a second
SECONDS = 4
LESSON = (
    (
        "SYN_RECV: the server has answered, and the last step of the handshake does not come. Such "
        "a connection belongs to no process, and goes away after some 60 seconds. When as many as "
        "the backlog has are there, the kernel keeps none any more: it puts what it would have to "
        "remember into the sequence number of its answer (SyncookiesSent)."
    ),
    (
        "Keep tcp_syncookies=1: the service stays reachable, but that adds no capacity and costs "
        "TCP options. Filter in front of the machine. A server with TCP_DEFER_ACCEPT shows "
        "SYN_RECV without any attack."
    ),
)


def run(bench: Bench, _setup: Setup) -> Iterator[Event]:
    """A bounded flood of one listener, and a client that gets in nevertheless."""
    bench.place.configure("ipv4/tcp_syncookies", "1")
    add_route(FLOODERS, "lo")  # so that the answers go out, and get lost
    listener = bench.listen(BACKLOG)
    address = listener.getsockname()
    bench.start("lab-server", lambda: _serve(listener), listener)
    raw = bench.stack.enter_context(
        socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    )
    syns = forged_syns(address)

    def flood() -> None:
        for _ in range(SYNS):
            raw.sendto(next(syns), address)

    yield bench.say(
        "step",
        f"lab-server listens with a backlog of {BACKLOG}. {SYNS} SYNs a second arrive from forged "
        f"addresses in {FLOODERS}.",
    )
    for _ in bench.seconds(SECONDS):
        flood()
        yield bench.reading(_counts(bench))
    bench.keep = flood
    client = bench.stack.enter_context(socket.create_connection(address, timeout=5))
    local = client.getsockname()
    yield bench.say("step", f"A real client, {local[0]}:{local[1]}, got in, by a SYN cookie.")
    half_open = bench.connections("SYN_RECV")[:3]
    yield bench.say("sockets", "Three of the half-open connections:", connections=half_open)
    yield from bench.explain(LESSON)


def _serve(listener: socket.socket) -> None:
    """Who gets in is let in."""
    clients = []
    while True:
        clients.append(listener.accept())


def _counts(bench: Bench) -> dict[str, int]:
    counts = {"SYN_RECV": bench.states()["SYN_RECV"], "backlog": BACKLOG}
    cookies = bench.counted("TcpExt.SyncookiesSent")
    if cookies is not None:
        counts["SyncookiesSent"] = cookies
    return counts
