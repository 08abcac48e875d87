"""`lab states`: a socket in every state of TCP, by real connections (RFC 9293, section 3.3.2)."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from socket import SHUT_WR

from netinspect.lab.bench import LOOPBACK, Bench
from netinspect.lab.catalog import Setup
from netinspect.lab.endpoints import CLOSE, CLOSING, FIN_WAIT2, await_state, deafen
from netinspect.lab.event import Event
from netinspect.model import State

MEANINGS: dict[State, str] = {
    "BOUND": "bind() was called, listen() and connect() were not: the port is taken all the same",
    "LISTEN": "waits for connections",
    "SYN_SENT": "the client sent SYN and waits for SYN-ACK; it stays where a firewall drops it",
    "SYN_RECV": "the server answered with SYN-ACK and waits for ACK; thousands are a SYN flood",
    "ESTABLISHED": "the connection is there, and both sides may send",
    "FIN_WAIT1": "this side closed first; its FIN is not acknowledged: the peer has vanished",
    "FIN_WAIT2": "this side closed first and the peer knows, but the peer has not closed",
    "CLOSE_WAIT": "the peer has closed, and this side's program has not: its bug if it stays",
    "CLOSING": "both closed at the same time, and the acknowledgement is not there yet",
    "LAST_ACK": "the peer closed first, then this side; it waits for the last acknowledgement",
    "TIME_WAIT": "closed first, and all is done: it waits 60 s for stray packets, held by nobody",
}


def run(bench: Bench, setup: Setup) -> Iterator[Event]:  # noqa: ARG001 all experiments take it
    """Make the states in the order in which a connection passes through them, and show each."""
    listener = bench.listen()
    bound = bench.stack.enter_context(socket.socket())
    bound.bind((LOOPBACK, 0))
    bench.ports.append(bound.getsockname()[1])
    yield bench.say(
        "step",
        "Where a polite peer would answer at once, a socket filter drops all that comes to it.",
    )
    _open(bench, listener)
    _close_first(bench, listener)
    _close_both(bench, listener)
    _close_last(bench, listener)
    _close_completely(bench, listener)
    found = bench.connections(owners=True)
    first = {connection.state: connection for connection in reversed(found)}
    shown = [first[state] for state in MEANINGS if state in first]
    remarks = tuple(MEANINGS[connection.state] for connection in shown)
    yield bench.say("sockets", "One in each state:", connections=shown, remarks=remarks)
    yield bench.say(
        "explanation",
        "CLOSE is no socket that could be listed: after the last state, and before the first, "
        "the kernel has it in no table.",
    )


def _pair(bench: Bench, listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection: the client's, the server's."""
    client = bench.stack.enter_context(socket.create_connection(listener.getsockname()))
    return client, bench.stack.enter_context(listener.accept()[0])


def _open(bench: Bench, listener: socket.socket) -> None:
    """ESTABLISHED; SYN_SENT and SYN_RECV, for the answer is not heard."""
    _pair(bench, listener)
    deaf = bench.stack.enter_context(socket.socket())
    deafen(deaf)
    deaf.setblocking(False)
    deaf.connect_ex(listener.getsockname())


def _close_first(bench: Bench, listener: socket.socket) -> None:
    """FIN_WAIT1, for the FIN is not heard; FIN_WAIT2 and CLOSE_WAIT."""
    client, server = _pair(bench, listener)
    deafen(server)
    client.shutdown(SHUT_WR)
    client, _ = _pair(bench, listener)
    client.shutdown(SHUT_WR)
    await_state(client, FIN_WAIT2)


def _close_both(bench: Bench, listener: socket.socket) -> None:
    """CLOSING: each side's FIN is sent before the other's is heard."""
    client, server = _pair(bench, listener)
    deafen(server)
    client.shutdown(SHUT_WR)
    server.shutdown(SHUT_WR)
    await_state(client, CLOSING)


def _close_last(bench: Bench, listener: socket.socket) -> None:
    """LAST_ACK, for the second FIN is not heard."""
    client, server = _pair(bench, listener)
    client.shutdown(SHUT_WR)
    await_state(client, FIN_WAIT2)
    deafen(client)
    server.shutdown(SHUT_WR)


def _close_completely(bench: Bench, listener: socket.socket) -> None:
    """TIME_WAIT: a socket that is CLOSE for its owner, while the kernel keeps what is left."""
    client, server = _pair(bench, listener)
    client.shutdown(SHUT_WR)
    await_state(client, FIN_WAIT2)
    server.close()
    await_state(client, CLOSE)
    client.close()
