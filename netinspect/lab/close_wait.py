"""`lab close-wait`: a server whose clients have closed, and that does not close."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

from netinspect.lab.bench import Bench, Endpoint
from netinspect.lab.catalog import Setup
from netinspect.lab.event import Event

ROUNDS = 4  # of three connections, one a second
REQUEST = b"GET / HTTP/1.1\r\n\r\n"
LESSON = (
    (
        "CLOSE_WAIT: the peer has closed, and the program that holds the socket has not called "
        "close(). It never ends by itself and no setting of the kernel ends it: it is a bug in "
        "lab-server. RECV-Q tells which. 0: it read to the end and forgot close(). 1: it does "
        "not look at the connection any more, as a pool with an idle connection. More: it did not "
        "read what was sent. FIN_WAIT2 are the clients' ends, given up after tcp_fin_timeout."
    ),
    (
        "Close what has ended: Go: defer resp.Body.Close(); Python: with socket: ...; a pool: an "
        "idle timeout below that of the server. A restart helps until it has leaked again."
    ),
)


def run(bench: Bench, _setup: Setup) -> Iterator[Event]:
    """Three kinds of forgotten connections, more of them every second."""
    listener = bench.listen()
    address = listener.getsockname()
    bench.start("lab-server", lambda: _leak(listener), listener)
    bench.start("lab-client", lambda: _visit(address))
    yield bench.say(
        "step", "Every second lab-client opens three connections to lab-server and closes them."
    )
    for _ in bench.seconds(ROUNDS):
        states = bench.states()
        yield bench.reading({name: states[name] for name in ("CLOSE_WAIT", "FIN_WAIT2")})
    of_each_kind = {c.recv_q or 0: c for c in bench.connections("CLOSE_WAIT", owners=True)}
    kinds = [of_each_kind[queue] for queue in sorted(of_each_kind)]
    yield bench.say("sockets", "One of each kind:", connections=kinds)
    yield from bench.explain(LESSON)


def _leak(listener: socket.socket) -> None:
    """Accept, and forget, having read to the end, or the request, or nothing. Never returns."""
    kept = []
    while True:
        for reads in (2, 1, 0):
            connection, _ = listener.accept()
            kept.append(connection)
            for _ in range(reads):
                connection.recv(4096)


def _visit(address: Endpoint) -> None:
    """Open three connections a second, in the middle between two readings."""
    time.sleep(0.4)
    for _ in range(ROUNDS):
        for _ in range(3):
            with socket.create_connection(address) as client:
                client.sendall(REQUEST)
                time.sleep(0.05)  # or the end comes together with the request, and is read with it
        time.sleep(0.8)
