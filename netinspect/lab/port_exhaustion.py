"""`lab port-exhaustion`: one destination has used up all local ports."""

from __future__ import annotations

import errno
import socket
import struct
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from functools import partial

from netinspect.errors import SourceError
from netinspect.lab.bench import Bench, Endpoint
from netinspect.lab.catalog import Setup
from netinspect.lab.event import Event
from netinspect.sources.settings import read_settings

IP_LOCAL_PORT_RANGE = 51  # linux/in.h, from Linux 6.3 on
PORTS = 64
FIRST_PORT = 41_000
SERVERS = 9_000, 9_001  # outside of the range
STEPS = 4
LESSON = (
    (
        "A local port is taken for one destination (address and port): the same port may serve "
        "another one. Whoever closes first keeps it in TIME_WAIT for 60 seconds. From one half on "
        "connect() gets slow, for the kernel tries the ports of the other parity last; when all "
        "are taken it fails with EADDRNOTAVAIL. (EADDRINUSE is another fault: bind() found none.)"
    ),
    (
        "Reuse connections first (see `netinspect lab time-wait`). Then: more addresses or ports "
        "of the destination, a wider ip_local_port_range, tcp_tw_reuse=1 with timestamps. No help: "
        "tcp_fin_timeout has nothing to do with it, tcp_tw_recycle is gone, SO_LINGER 0 loses "
        "data."
    ),
)


def run(bench: Bench, setup: Setup) -> Iterator[Event]:
    """Connect to one destination until there is no port left, then to another one."""
    is_range_set = _set_range(bench)
    listener, other = (bench.listen(port=port if is_range_set else 0) for port in SERVERS)
    connect = _connect_and_close if is_range_set else partial(_connect_and_stay, bench.stack)
    yield bench.say("step", _introduction(listener.getsockname(), is_range_set=is_range_set))
    count = setup.requests or PORTS + 1
    step = -(-min(count, PORTS) // STEPS)
    for number in range(1, count + 1):
        try:
            connect(listener)
        except OSError as error:
            yield bench.say("step", _failure(listener.getsockname(), error))
            break
        if number % step == 0 or number == count:
            yield bench.reading(_counts(bench, listener.getsockname()[1]))
    if count > PORTS and is_range_set:
        bench.keep = partial(_use_free_ports, listener)
    connect(other)
    yield bench.say("step", f"connect() to {_text(other.getsockname())} works.")
    yield from bench.explain(LESSON)


def _set_range(bench: Bench) -> bool:
    """Give the network so few ports, and let none in TIME_WAIT be used again."""
    last_port = FIRST_PORT + PORTS - 1
    return bench.place.configure("ipv4/tcp_tw_reuse", "0") and bench.place.configure(
        "ipv4/ip_local_port_range", f"{FIRST_PORT} {last_port}"
    )


def _introduction(address: Endpoint, *, is_range_set: bool) -> str:
    if is_range_set:
        return (
            f"There are {PORTS} local ports. Each connection to {_text(address)} is closed at once."
        )
    return (
        f"Here no setting may be changed: the sockets themselves are limited to {PORTS} local "
        f"ports, and the connections to {_text(address)} stay open."
    )


def _connect_and_close(listener: socket.socket) -> None:
    """Leave the client's end in TIME_WAIT.

    :raises OSError: there is no port left: EADDRNOTAVAIL.
    """
    with socket.socket() as client:
        client.connect(listener.getsockname())
        server = listener.accept()[0]
    server.close()


def _connect_and_stay(stack: ExitStack, listener: socket.socket) -> None:
    """Use a port where TIME_WAIT would not hold it.

    :raises OSError: there is no port left: EADDRNOTAVAIL.
    """
    client = stack.enter_context(socket.socket())
    _limit(client)
    client.connect(listener.getsockname())
    stack.enter_context(listener.accept()[0])


def _limit(client: socket.socket) -> None:
    """Let the socket choose from the last ports of the machine's range only (ip(7)).

    :raises SourceError: this kernel cannot.
    """
    last_port = (read_settings().ephemeral_range or (32768, 60999))[1]
    limits = struct.pack("=I", last_port << 16 | (last_port - PORTS + 1))  # more than an int takes
    try:
        client.setsockopt(socket.IPPROTO_IP, IP_LOCAL_PORT_RANGE, limits)
    except OSError as error:
        raise SourceError(
            "port-exhaustion needs a network namespace (root) or Linux 6.3: a socket's own range "
            f"of ports was refused: {error.strerror}"
        ) from None


def _use_free_ports(listener: socket.socket) -> None:
    """Take what has become free meanwhile."""
    with suppress(OSError):
        for _ in range(PORTS):
            _connect_and_close(listener)


def _counts(bench: Bench, port: int) -> dict[str, int]:
    found = [c for c in bench.connections() if c.remote_port == port]
    used = len({connection.local_port for connection in found})
    return {
        "TIME_WAIT": sum(connection.state == "TIME_WAIT" for connection in found),
        "ESTABLISHED": sum(connection.state == "ESTABLISHED" for connection in found),
        "ports": used,
        "percent": 100 * used // PORTS,
    }


def _failure(address: Endpoint, error: OSError) -> str:
    name = errno.errorcode.get(error.errno or 0, str(error.errno))
    return f"connect() to {_text(address)}: {name} ({error.strerror})"


def _text(address: Endpoint) -> str:
    return f"{address[0]}:{address[1]}"
