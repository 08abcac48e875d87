"""`lab time-wait`: what client and server do after each answer decides where TIME_WAIT piles up."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from typing import NamedTuple

from netinspect.lab.bench import LOOPBACK, Bench
from netinspect.lab.catalog import MODES, Setup
from netinspect.lab.event import Event
from netinspect.lab.http import (
    FAILED,
    OPENED,
    REQUESTS,
    Client,
    Manners,
    send_requests,
    serve,
)

LARGE_BODY = 200_000  # more than one read of the client takes
AT_ONCE = 16
WORK_S = 0.02  # long enough for all of them to be under way together


class Lesson(NamedTuple):
    """A mode: how the two sides behave, and what there is to learn from it."""

    manners: Manners
    cause: str
    cure: str


READ_BODIES = (
    "Read each body to its end before you close it. Go: io.Copy(io.Discard, resp.Body), then "
    "resp.Body.Close(). Python: no stream=True without reading all of it."
)
LESSONS = {
    "new": Lesson(
        Manners(max_idle=0),
        "Each request opened a connection of its own, and the client closed it first: TIME_WAIT "
        "stays with the one who closes first, and holds a local port of the client for 60 seconds.",
        "Use one client for all requests. Go: one http.Client, not a new http.Transport for each "
        "request, and no DisableKeepAlives. Python: requests.Session() in place of requests.get().",
    ),
    "server-closes": Lesson(
        Manners(server_closes=True),
        "The server says 'Connection: close' and closes first, so that TIME_WAIT stays with the "
        "server, on the port it listens on. That takes memory but no ports: mostly harmless.",
        "Let the server keep connections open if the handshakes cost too much. Go: no "
        "SetKeepAlivesEnabled(false). nginx: keepalive_timeout, and to an upstream HTTP/1.1.",
    ),
    "undrained-small": Lesson(
        Manners(reads_body=False),
        "The client has a pool but closes the bodies unread. What is left of an answer would come "
        "before the next one, so the connection cannot be used again: it is closed, by the client, "
        "and TIME_WAIT piles up as if there were no pool.",
        READ_BODIES + " (From Go 1.27 on Close() reads a small rest by itself.)",
    ),
    "undrained-large": Lesson(
        Manners(reads_body=False, body_size=LARGE_BODY),
        "As with small bodies no connection is used again, but here data was waiting unread when "
        "the client closed: the kernel then sends RST in place of FIN, and there is no TIME_WAIT "
        "at all. Only the counters TCPAbortOnClose and ActiveOpens show it.",
        READ_BODIES,
    ),
    "drained": Lesson(
        Manners(),
        "Each body was read to its end, so that one connection served all requests.",
        "Nothing to cure: this is how it should be.",
    ),
    "small-pool": Lesson(
        Manners(max_idle=2, at_once=AT_ONCE, work_seconds=WORK_S),
        f"All bodies are read, but of {AT_ONCE} connections that come back at the same time the "
        "pool keeps 2, as Go's does unless told otherwise, and the client closes the others: "
        "TIME_WAIT beside a few connections that stay.",
        "Make the pool as large as the number of requests at the same time. Go: "
        "Transport.MaxIdleConnsPerHost (2 by default). Python: HTTPAdapter(pool_maxsize=...).",
    ),
    "pool": Lesson(
        Manners(max_idle=100, at_once=AT_ONCE, work_seconds=WORK_S),
        f"The pool keeps all of the {AT_ONCE} connections (Go: MaxIdleConnsPerHost 100), and they "
        "served all requests.",
        "Nothing to cure: this is how it should be.",
    ),
}


def run(bench: Bench, setup: Setup) -> Iterator[Event]:
    """Requests at a steady rate, and the states of their connections every second."""
    lesson = LESSONS[setup.mode]
    # Between two machines a port in TIME_WAIT is not used again; on loopback it would be.
    bench.place.configure("ipv4/tcp_tw_reuse", "0")
    requests = setup.requests or 0
    meter = memoryview(mmap.mmap(-1, 3 * 8)).cast("Q")  # shared with the client
    port = _start(bench, setup, lesson.manners, meter)
    yield bench.say(
        "step",
        f"Mode {setup.mode}: {MODES[setup.mode]}. lab-client sends {setup.rate} requests a second "
        f"to lab-server, {LOOPBACK}:{port}.",
    )
    seconds = math.ceil(requests / setup.rate)
    for second in bench.seconds(2 * seconds + 2):  # a busy machine may not keep up with the rate
        yield bench.reading(_counts(bench, meter))
        if second >= seconds and meter[REQUESTS] + meter[FAILED] >= requests:
            break
    yield from bench.explain((_sides(bench, port) + lesson.cause, lesson.cure))


def _start(bench: Bench, setup: Setup, manners: Manners, meter: memoryview) -> int:
    """Start both sides; the server's port. While it is held the requests go on."""
    listener = bench.listen()
    address = listener.getsockname()
    bench.start("lab-server", lambda: serve(listener, manners), listener)
    count = (setup.requests or 0) + setup.rate * setup.hold_seconds
    client = Client(address, manners, meter)
    bench.start(
        "lab-client",
        lambda: send_requests(client, count, rate=setup.rate, at_once=manners.at_once),
    )
    return int(address[1])


def _counts(bench: Bench, meter: memoryview) -> dict[str, int]:
    """Of TIME_WAIT both sides, for it is with either; of ESTABLISHED the client's alone."""
    found = bench.connections("TIME_WAIT", "ESTABLISHED")
    waiting = sum(connection.state == "TIME_WAIT" for connection in found)
    clients = [connection for connection in found if connection.remote_port in bench.ports]
    counts = {
        "TIME_WAIT": waiting,
        "ESTABLISHED": sum(connection.state == "ESTABLISHED" for connection in clients),
        "requests": meter[REQUESTS],
        "connections": meter[OPENED],
    }
    resets = bench.counted("TcpExt.TCPAbortOnClose")
    if resets:
        counts["resets"] = resets
    if meter[FAILED]:
        counts["failed"] = meter[FAILED]
    return counts


def _sides(bench: Bench, port: int) -> str:
    """With whom TIME_WAIT is: the server's sockets have its port for their own."""
    waiting = bench.connections("TIME_WAIT")
    if not waiting:
        return ""
    servers = sum(connection.local_port == port for connection in waiting)
    return f"TIME_WAIT: {len(waiting) - servers} with the client, {servers} with the server. "
