"""`lab zero-window`: the receiver does not read, and closes its window."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator

from netinspect.lab.bench import Bench, Endpoint
from netinspect.lab.catalog import Setup
from netinspect.lab.event import Event

SECONDS = 3
LESSON = (
    (
        "RECV-Q of the server is full: its program does not read. It told the sender a window of "
        "0 bytes, and the sender keeps the rest in its SEND-Q and asks from time to time whether "
        "there is room (the timer zero_window in `-o wide`, rwnd_limited in `-e`). The "
        "network is not to blame, and neither is the sender."
    ),
    (
        "Find out what the receiving program waits for (a lock, a disk, its own peer). Larger "
        "buffers only delay it. The sender needs a timeout for its writes."
    ),
)


def run(bench: Bench, _setup: Setup) -> Iterator[Event]:
    """One connection, one that sends, and one that does not read."""
    listener = bench.listen()
    address = listener.getsockname()
    bench.start("lab-server", lambda: _ignore(listener), listener)
    bench.start("lab-client", lambda: _send(address))
    yield bench.say("step", "lab-client sends without end; lab-server accepts and never reads.")
    for _ in bench.seconds(SECONDS):
        found = bench.connections("ESTABLISHED")
        yield bench.reading(
            {
                "unread": max((c.recv_q or 0 for c in found), default=0),
                "unsent": max((c.send_q or 0 for c in found), default=0),
            }
        )
    ends = bench.connections("ESTABLISHED", owners=True)
    yield bench.say("sockets", "Both ends of the connection:", connections=ends)
    yield from bench.explain(LESSON)


def _ignore(listener: socket.socket) -> None:
    """Accept one connection, and leave it alone until the process ends."""
    with listener.accept()[0]:
        signal.pause()


def _send(address: Endpoint) -> None:
    """Send, and be blocked. Never returns, as long as the peer is there."""
    with socket.create_connection(address) as sender:
        while True:
            sender.sendall(bytes(1 << 16))
