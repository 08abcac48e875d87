"""Direction and exposure, as the sources tell them, of sockets of which both are known."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from socket import AF_INET, AF_INET6, SO_REUSEADDR, SOCK_DGRAM, SOL_SOCKET
from typing import Any

import pytest

from netinspect.api import Listing, snapshot, summarize
from netinspect.filters.selection import select
from netinspect.model import Connection, Direction
from netinspect.parse.unix_diag import AF_UNIX
from tests.namespace import private_network, why_not
from tests.sockets import add_deaf
from tests.zoo import Zoo, family_of

pytestmark = pytest.mark.live

IPV6_V6ONLY = 26  # linux/in6.h
SOURCES = ("sock_diag", "proc")
Sockets = dict[int, Direction]


class Made:
    """The sockets that were opened, by inode, and what is true of them."""

    def __init__(self, zoo: Zoo) -> None:
        self.zoo = zoo
        self.directions: Sockets = {}
        self.exposures: dict[int, tuple[str, bool | None]] = {}

    def directed(self, sock: socket.socket, direction: Direction) -> None:
        self.directions[os.fstat(sock.fileno()).st_ino] = direction

    def pair(self, listener: socket.socket, host: str | None = None) -> None:
        """A client of this listener, and what it accepts."""
        client = self.zoo.open(family_of((host, 0)) if host else listener.family)
        client.connect((host, listener.getsockname()[1]) if host else listener.getsockname())
        self.directed(client, "outbound")
        self.directed(self.zoo.keep(listener.accept()[0]), "inbound")

    def listen(
        self, host: str, port: int = 0, *, exposure: str, v6only: bool = False
    ) -> socket.socket:
        listener = self.open((host, port), v6only=v6only)
        listener.listen()
        dual_stack = not v6only if host == "::" else None
        self.exposures[os.fstat(listener.fileno()).st_ino] = (exposure, dual_stack)
        self.directed(listener, "unknown")
        return listener

    def open(
        self, address: tuple[str, int], kind: int = socket.SOCK_STREAM, *, v6only: bool = False
    ) -> socket.socket:
        """A socket bound to an address that others may share."""
        sock = self.zoo.open(family_of(address), kind)
        sock.setsockopt(SOL_SOCKET, SO_REUSEADDR, 1)
        if sock.family == AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, IPV6_V6ONLY, v6only)
        sock.bind(address)
        return sock


@pytest.fixture(scope="module")
def made() -> Iterator[Made]:
    if reason := why_not():
        pytest.skip(reason)
    with private_network(), ExitStack() as stack:
        made = Made(Zoo(stack))
        add_tcp(made)
        add_from_a_listening_port(made)
        add_udp(made)
        add_unix(made)
        yield made


def add_tcp(made: Made) -> None:
    made.pair(made.listen("127.0.0.1", exposure="loopback"))
    made.pair(made.listen("::1", exposure="loopback"))
    made.pair(made.listen("0.0.0.0", exposure="any"), "127.0.0.7")
    dual = made.listen("::", exposure="any")
    made.pair(dual, "127.0.0.7")
    made.pair(dual, "::1")
    made.pair(made.listen("::", exposure="any", v6only=True), "::1")
    made.pair(made.listen("::ffff:127.0.0.1", exposure="loopback"), "127.0.0.1")
    made.directed(made.zoo.bind(("127.0.0.1", 0)), "unknown")


def add_from_a_listening_port(made: Made) -> None:
    """A port may be a listener's on another address, and a client's on this one."""
    server = made.listen("127.0.0.1", exposure="loopback")
    listener = made.listen("127.0.0.1", exposure="loopback")
    client = made.open(("127.0.0.9", listener.getsockname()[1]))
    client.connect(server.getsockname())
    made.directed(client, "outbound")
    made.directed(made.zoo.keep(server.accept()[0]), "inbound")


def add_udp(made: Made) -> None:
    server = made.open(("127.0.0.1", 0), SOCK_DGRAM)
    made.exposures[os.fstat(server.fileno()).st_ino] = ("loopback", None)
    made.directed(server, "unknown")
    client = made.zoo.open(AF_INET, SOCK_DGRAM)
    client.connect(server.getsockname())
    made.directed(client, "outbound")
    of_one_client = made.open(server.getsockname(), SOCK_DGRAM)
    of_one_client.connect(client.getsockname())
    made.directed(of_one_client, "inbound")
    for v6only in (False, True):
        dual = made.open(("::", 0), SOCK_DGRAM, v6only=v6only)
        made.exposures[os.fstat(dual.fileno()).st_ino] = ("any", not v6only)


def add_unix(made: Made) -> None:
    listener = made.zoo.listen(f"{made.zoo.folder}/listener")
    made.directed(listener, "unknown")
    made.pair(listener)
    named = made.zoo.bind(f"{made.zoo.folder}/client")
    named.connect(listener.getsockname())
    made.directed(named, "outbound")
    made.directed(made.zoo.keep(listener.accept()[0]), "inbound")
    left, right = socket.socketpair(AF_UNIX)
    made.directed(made.zoo.keep(left), "unknown")
    made.directed(made.zoo.keep(right), "unknown")


def everything(**options: Any) -> list[Connection]:
    return list(snapshot(protocols=["tcp", "udp", "unix"], owners=False, **options).connections)


def directions(connections: list[Connection], made: Made) -> dict[int | None, Any]:
    return {c.inode: c.direction for c in connections if c.inode in made.directions}


ALL: list[str] = ["inbound", "outbound", "unknown"]


def test_each_direction(made: Made) -> None:
    assert directions(everything(directions=ALL), made) == made.directions


def test_each_direction_by_proc(made: Made) -> None:
    """It does not tell the peers of unix sockets."""
    found = everything(directions=ALL, source="proc")
    inet = {c.inode for c in found if c.protocol != "unix"}
    expected = {inode: way for inode, way in made.directions.items() if inode in inet}
    assert directions([c for c in found if c.inode in inet], made) == expected
    unix = {inode: way for inode, way in made.directions.items() if inode not in inet}
    accepted = [inode for inode, way in unix.items() if way == "inbound"]
    assert accepted
    assert [c.direction for c in found if c.inode in accepted] == ["inbound"] * len(accepted)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("direction", ["inbound", "outbound"])
def test_a_filter_that_leaves_out_the_listeners(
    made: Made, direction: Direction, source: str
) -> None:
    inet = {c.inode for c in snapshot(owners=False).connections}
    found = snapshot(
        states=["established"], directions=[direction], owners=False, source=source
    ).connections
    wanted = {inode for inode, way in made.directions.items() if way == direction}
    assert {c.inode for c in found} == wanted & inet
    assert {c.direction for c in found} == {direction}


def test_the_listener_of_an_accepted_ipv4_may_be_of_the_other_family(made: Made) -> None:
    """With -4 the accepted ends on :: are not there, but their listener is looked at."""
    found = snapshot(families=["ipv4"], directions=ALL, protocols=["tcp"]).connections
    assert directions(list(found), made).items() <= made.directions.items()


def test_nobody_asked(made: Made) -> None:
    assert made.directions
    assert not any(c.direction for c in everything())


def test_a_summary_of_a_direction(made: Made) -> None:
    selection = select(protocols=["tcp"], directions=["inbound"])
    summary = summarize(Listing(selection, with_owners=False))
    found = snapshot(protocols=["tcp"], directions=["inbound"], owners=False).connections
    assert summary.total == len(found) > 0
    assert made.directions


def test_handshakes_and_what_is_left() -> None:
    if reason := why_not():
        pytest.skip(reason)
    with private_network(), ExitStack() as stack:
        zoo = Zoo(stack)
        listener = zoo.listen(("127.0.0.1", 0))
        add_deaf(zoo, "deaf", listener)
        client, server = zoo.pair(listener)
        server.close()
        client.close()
        states = {"SYN_SENT": "outbound", "SYN_RECV": "inbound", "TIME_WAIT": "inbound"}
        found = snapshot(directions=ALL, owners=False).connections
        assert {c.state: c.direction for c in found} == {**states, "LISTEN": "unknown"}
        listener.close()
        (left,) = snapshot(states=["time-wait"], directions=ALL, owners=False).connections
        assert left.direction == "outbound"


def test_the_port_of_a_listener_that_does_not_take_ipv4() -> None:
    """Only sock_diag tells that it does not."""
    if reason := why_not():
        pytest.skip(reason)
    with private_network(), ExitStack() as stack:
        made = Made(Zoo(stack))
        port = made.listen("::", exposure="any", v6only=True).getsockname()[1]
        client = made.open(("127.0.0.1", port))
        client.connect(made.zoo.listen(("127.0.0.1", 0)).getsockname())
        for source, expected in (("sock_diag", "outbound"), ("proc", "inbound")):
            found = snapshot(
                local_ports=port, states=["established"], directions=ALL, source=source
            )
            assert [c.direction for c in found.connections] == [expected]


def exposures(connections: list[Connection], made: Made) -> dict[int | None, Any]:
    """Exposure, and whether IPv4 is served as well where that is told."""
    return {
        c.inode: (c.exposure, c.dual_stack if isinstance(c.dual_stack, bool) else None)
        for c in connections
        if c.inode in made.exposures
    }


def test_each_exposure(made: Made) -> None:
    assert exposures(everything(), made) == made.exposures
    assert exposures(everything(families=["ipv6"]), made).items() <= made.exposures.items()


def test_proc_does_not_tell_whether_ipv4_is_served(made: Made) -> None:
    expected = {inode: (exposure, None) for inode, (exposure, _) in made.exposures.items()}
    assert exposures(everything(source="proc"), made) == expected


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("exposure", ["any", "loopback"])
def test_a_filter_of_exposure(made: Made, exposure: str, source: str) -> None:
    found = everything(exposures=[exposure], source=source)
    wanted = {inode for inode, (found, _) in made.exposures.items() if found == exposure}
    assert {c.inode for c in found} == wanted
    assert {c.exposure for c in found} == {exposure}


def test_other_exposures_are_not_there(made: Made) -> None:
    assert made.exposures
    assert everything(exposures=["public", "private", "link"]) == []
