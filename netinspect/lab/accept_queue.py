"""`lab accept-queue`: a listener with a small backlog, and a program that does not accept."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack

from netinspect.lab.bench import Bench, Endpoint
from netinspect.lab.catalog import Setup
from netinspect.lab.event import Event

BACKLOG = 4
CLIENTS = 8
SECONDS = 3
LESSON = (
    (
        "RECV-Q of a listener is how many connections wait for accept(), SEND-Q its backlog: one "
        "more than that has room, so that the queue is full when RECV-Q is above SEND-Q. What "
        "comes then is dropped, SYNs included (ListenOverflows). Those clients see no refusal: "
        "they are in SYN_SENT and try again after 1, 2, 4, ... seconds."
    ),
    (
        "Make the program accept faster (more workers, no slow work in the loop that accepts), "
        "then raise both its backlog and net.core.somaxconn. Leave tcp_abort_on_overflow alone."
    ),
)


def run(bench: Bench, _setup: Setup) -> Iterator[Event]:
    """More clients than the queue has places."""
    listener = bench.listen(BACKLOG)
    address = listener.getsockname()
    bench.start("lab-server", lambda: None, listener)
    bench.start("lab-client", lambda: _knock(address))
    yield bench.say(
        "step",
        f"lab-server listens with a backlog of {BACKLOG} and never calls accept(). lab-client "
        f"opens {CLIENTS} connections.",
    )
    for _ in bench.seconds(SECONDS):
        yield bench.reading(_counts(bench))
    found = bench.connections("LISTEN", "SYN_SENT", owners=True)
    yield bench.say("sockets", "The listener, and the clients outside:", connections=found)
    yield from bench.explain(LESSON)


def _counts(bench: Bench) -> dict[str, int]:
    states = bench.states()
    waiting = sum(connection.recv_q or 0 for connection in bench.connections("LISTEN"))
    counts = {"waiting": waiting, "backlog": BACKLOG, "SYN_SENT": states["SYN_SENT"]}
    overflows = bench.counted("TcpExt.ListenOverflows")
    if overflows is not None:
        counts["ListenOverflows"] = overflows
    return counts


def _knock(address: Endpoint) -> None:
    """Keep so many connections open or under way: connect() gives up after some two minutes."""
    with ExitStack() as stack:
        clients: list[socket.socket] = []
        while True:
            while len(clients) < CLIENTS:
                client = stack.enter_context(socket.socket())
                client.setblocking(False)
                client.connect_ex(address)
                clients.append(client)
            time.sleep(1)
            failed = [c for c in clients if c.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)]
            for client in failed:
                client.close()
                clients.remove(client)
