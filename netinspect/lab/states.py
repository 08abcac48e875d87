"""`lab states`: a socket in every state of TCP, by real connections (RFC 9293, section 3.3.2)."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterator
from contextlib import suppress
from socket import SHUT_WR

from netinspect.lab.bench import LOOPBACK, Bench
from netinspect.lab.catalog import FILTERS_SOCKETS, Setup
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
ABOUT_CLOSE = (
    "CLOSE is no socket that could be listed: after the last state, and before the first, the "
    "kernel has it in no table. More on each state: netinspect states STATE."
)


def run(bench: Bench, _setup: Setup) -> Iterator[Event]:
    """Make the states, and show a socket in each, in the order in which they follow each other."""
    listener = bench.listen()
    _bind(bench)
    _make_polite(bench, listener)
    with suppress(PermissionError):  # some kernels let only root filter what TCP hears
        _make_deaf(bench, listener)
    found = bench.connections(owners=True)
    first = {connection.state: connection for connection in reversed(found)}
    shown = [first[state] for state in MEANINGS if state in first]
    remarks = tuple(MEANINGS[connection.state] for connection in shown)
    yield bench.say("sockets", "One in each state:", connections=shown, remarks=remarks)
    yield from bench.explain((_about_filter(first), ABOUT_CLOSE))


def _about_filter(made: Collection[State]) -> str:
    missing = ", ".join(state for state in MEANINGS if state not in made)
    if missing:
        return f"Not here: {missing}. They take {FILTERS_SOCKETS}, which is permitted to root only."
    return (
        "Where a polite peer would have answered at once, a socket filter dropped all that came "
        "to it."
    )


def _bind(bench: Bench) -> None:
    bound = bench.stack.enter_context(socket.socket())
    bound.bind((LOOPBACK, 0))
    bench.ports.append(bound.getsockname()[1])


def _pair(bench: Bench, listener: socket.socket) -> tuple[socket.socket, socket.socket]:
    """Both ends of a connection: the client's, the server's."""
    client = bench.stack.enter_context(socket.create_connection(listener.getsockname()))
    return client, bench.stack.enter_context(listener.accept()[0])


def _make_polite(bench: Bench, listener: socket.socket) -> None:
    """ESTABLISHED; FIN_WAIT2 and CLOSE_WAIT; TIME_WAIT."""
    _pair(bench, listener)
    for closes_too in (False, True):
        client, server = _pair(bench, listener)
        client.shutdown(SHUT_WR)
        await_state(client, FIN_WAIT2)
        if closes_too:
            server.close()
            await_state(client, CLOSE)  # for its owner; the kernel keeps what is left
            client.close()


def _make_deaf(bench: Bench, listener: socket.socket) -> None:
    """SYN_SENT and SYN_RECV; FIN_WAIT1; CLOSING; LAST_ACK: what is waited for is not heard.

    :raises PermissionError: a socket filter is not for everybody here.
    """
    deaf = bench.stack.enter_context(socket.socket())
    deafen(deaf)
    deaf.setblocking(False)
    deaf.connect_ex(listener.getsockname())

    for closes_too in (False, True):  # each FIN is sent before the other's is heard
        client, server = _pair(bench, listener)
        deafen(server)
        client.shutdown(SHUT_WR)
        if closes_too:
            server.shutdown(SHUT_WR)
            await_state(client, CLOSING)

    client, server = _pair(bench, listener)
    client.shutdown(SHUT_WR)
    await_state(client, FIN_WAIT2)
    deafen(client)
    server.shutdown(SHUT_WR)
