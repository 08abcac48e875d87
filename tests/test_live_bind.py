"""The rules of bind() beside bind() itself: sockets of all kinds, and every way to want their port.

Each example makes a socket that has a port, predicts from the tables what becomes of another one on
the same port, and really binds and listens. Where the prediction is that it depends on the options
of the first socket, the test knows them.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from socket import AF_INET6, SO_REUSEADDR, SO_REUSEPORT, SOCK_DGRAM, SOCK_STREAM
from typing import Literal, NamedTuple

import pytest
from hypothesis import HealthCheck, assume, given, reject, settings
from hypothesis import strategies as st

from netinspect.api import snapshot
from netinspect.diagnose.bind import (
    EVERYWHERE,
    LOOPBACK4_IPV6,
    BindAddress,
    Binder,
    BindOption,
    collides,
    predict,
    reach,
    reach_of,
)
from netinspect.model import Connection
from tests.binds import acting_as, really, unbound
from tests.namespace import private_network, why_not

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]

NOBODY = 65534
Kind = Literal[
    "listener", "bound", "client", "bound client", "accepted", "time_wait", "udp", "udp client"
]
KINDS: tuple[Kind, ...] = (
    *("listener", "bound", "client", "bound client", "accepted", "time_wait"),
    *("udp", "udp client"),
)
PLACES = (
    *EVERYWHERE,
    *map(BindAddress, ("127.0.0.1", "127.0.0.2", "127.0.0.6", "::1", "::ffff:127.0.0.1")),
)
# The order in which what has worked does not change the next answer: see `sources.binding`
OPTIONS: tuple[BindOption, ...] = ("reuse_port", "reuse_address", "plain")


class Old(NamedTuple):
    """The socket that has the port."""

    kind: Kind
    where: BindAddress
    reuse_address: bool
    reuse_port: bool
    uid: int

    @property
    def socket_type(self) -> int:
        return SOCK_DGRAM if self.kind.startswith("udp") else SOCK_STREAM

    @property
    def options(self) -> list[int]:
        return [SO_REUSEADDR] * self.reuse_address + [SO_REUSEPORT] * self.reuse_port

    @property
    def has_v6only(self) -> bool:
        """It was set, or bind() has set it."""
        if self.where.address == "::":
            return not self.where.dual_stack
        return self.where.address == "::1" and self.kind not in ("client", "udp client")


OLDS = st.builds(
    Old,
    st.sampled_from(KINDS),
    st.sampled_from(PLACES),
    st.booleans(),
    st.booleans(),
    st.sampled_from((0, NOBODY)),
)


def loopback_of(where: BindAddress) -> str:
    """Where to connect to from there."""
    if where.address in ("::", "::1"):
        return "::1"
    return "::ffff:127.0.0.1" if where.family == "ipv6" else "127.0.0.1"


def open_old(old: Old, stack: ExitStack) -> int:
    """Make the socket, keep it, and tell its port."""
    with acting_as(old.uid):
        sock = stack.enter_context(unbound(old.where, old.socket_type, *old.options))
    if old.kind not in ("client", "udp client"):
        sock.bind((old.where.address, 0))
    if old.kind in ("client", "bound client"):
        server = stack.enter_context(
            socket.create_server(("::", 0), family=AF_INET6, dualstack_ipv6=True)
        )
        sock.connect((loopback_of(old.where), server.getsockname()[1]))
    elif old.kind == "udp client":
        sock.connect((loopback_of(old.where), 9))
    elif old.kind not in ("bound", "udp"):
        sock.listen()
    port: int = sock.getsockname()[1]
    if old.kind in ("accepted", "time_wait"):
        leave_connection(sock, old, stack)
    return port


def leave_connection(listener: socket.socket, old: Old, stack: ExitStack) -> None:
    """What is there when a listener is closed before its connections."""
    address = (
        old.where.address if old.where.address not in ("::", "0.0.0.0") else loopback_of(old.where)
    )
    with acting_as(old.uid):
        client = stack.enter_context(socket.socket(listener.family))
    client.connect((address, listener.getsockname()[1]))
    server = stack.enter_context(listener.accept()[0])
    listener.close()
    if old.kind == "time_wait":
        server.close()
        client.close()


def resolved(where: BindAddress, option: BindOption, other: Connection, old: Old) -> bool:
    """What a prediction that depends on the old socket comes to."""
    ours = reach(where.family, where.address, where.dual_stack, has_peer=False)
    # With an address of its own a TCP socket is compared with that address, since Linux 6.1.
    is_not_met = old.has_v6only or (where.address == LOOPBACK4_IPV6 and other.protocol == "tcp")
    if collides(ours, reach_of(other)) is None and is_not_met:
        return True
    if option == "reuse_port":
        return old.reuse_port and other.uid in (0, None)
    return option == "reuse_address" and old.reuse_address and old.kind != "listener"


def on_port(port: int, old: Old) -> tuple[Connection, ...]:
    protocol = "udp" if old.socket_type == SOCK_DGRAM else "tcp"
    return snapshot(
        protocols=[protocol], local_ports=[port], owners=False, extended=True
    ).connections


@given(OLDS)
@settings(max_examples=200, deadline=None)
@pytest.mark.usefixtures("network")
def test_predictions_come_true(old: Old) -> None:
    with ExitStack() as stack:
        port = open_old(old, stack)
        others = on_port(port, old)
        assume(len(others) == 1)  # another example may have left a TIME_WAIT there
        for where in PLACES:
            for option in OPTIONS:
                predicted = predict(where, option, port, others, Binder(uid=0)).works
                found = really(where, option, port, old.socket_type)
                if predicted is None:
                    predicted = resolved(where, option, others[0], old)
                assert (where, option, found) == (where, option, predicted)


def open_second(old: Old, port: int, stack: ExitStack) -> int:
    """Bind another socket to the same port, and tell its inode."""
    with acting_as(old.uid):
        sock = stack.enter_context(unbound(old.where, old.socket_type, *old.options))
    try:
        sock.bind((old.where.address, port))
        if old.kind == "listener":
            sock.listen()
    except OSError:
        reject()
    return os.fstat(sock.fileno()).st_ino


@given(OLDS, OLDS)
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@pytest.mark.usefixtures("network")
def test_predictions_from_two_sockets_come_true(first: Old, second: Old) -> None:
    """With SO_REUSEPORT one that shares the port may be enough, so it may be left open."""
    second = second._replace(kind="udp" if first.socket_type == SOCK_DGRAM else second.kind)
    assume(second.kind in ("listener", "bound", "udp") and first.socket_type == second.socket_type)
    with ExitStack() as stack:
        port = open_old(first, stack)
        inode = open_second(second, port, stack)
        others = on_port(port, first)
        assume(len(others) == 2)
        pairs = [(other, second if other.inode == inode else first) for other in others]
        for where in PLACES:
            for option in OPTIONS:
                found = really(where, option, port, first.socket_type)
                predicted = predict(where, option, port, others, Binder(uid=0)).works
                if predicted is None and option == "reuse_port":
                    continue
                if predicted is None:
                    predicted = all(works_beside(where, option, *pair) for pair in pairs)
                assert (where, option, found) == (where, option, predicted)


def works_beside(where: BindAddress, option: BindOption, other: Connection, old: Old) -> bool:
    works = predict(where, option, 0, [other], Binder(uid=0)).works
    return resolved(where, option, other, old) if works is None else works


@pytest.fixture(scope="module")
def network() -> Iterator[None]:
    with private_network():
        yield
