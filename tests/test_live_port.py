"""`netinspect port` beside bind() and listen() themselves, in every situation that it knows."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from socket import AF_INET6, SO_REUSEADDR, SO_REUSEPORT, SOCK_DGRAM, SOCK_STREAM

import jsonschema
import pytest

from netinspect.cli.port_question import Wanted, ask
from netinspect.diagnose.bind import SOCKET_OPTIONS, BindAddress
from netinspect.diagnose.port_record import PortAnswer
from netinspect.filters.words import parse_tables
from netinspect.render.schema import render_schema
from tests.binds import acting_as, really, unbound
from tests.namespace import private_network, why_not
from tests.program import run

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]

NOBODY = 65534
PORT = 8080
ALL = BindAddress("0.0.0.0")
ONE = BindAddress("127.0.0.1")
DUAL = BindAddress("::", dual_stack=True)
V6ONLY = BindAddress("::")


class Scene:
    """Sockets on a port, in a network of their own."""

    def __init__(self, stack: ExitStack) -> None:
        self.stack = stack

    def bind(self, where: BindAddress, *options: int, kind: int = SOCK_STREAM) -> socket.socket:
        sock = self.stack.enter_context(unbound(where, kind, *options))
        sock.bind((where.address, PORT))
        return sock

    def listen(self, where: BindAddress, *options: int) -> socket.socket:
        sock = self.bind(where, *options)
        sock.listen()
        return sock

    def connect(self, listener: socket.socket) -> tuple[socket.socket, socket.socket]:
        """Both ends of a connection: the client's, the server's."""
        client = self.stack.enter_context(socket.create_connection(("127.0.0.1", PORT)))
        return client, self.stack.enter_context(listener.accept()[0])


@pytest.fixture
def scene() -> Iterator[Scene]:
    with private_network(), ExitStack() as stack:
        yield Scene(stack)


def answer(
    *addresses: str, port: int = PORT, protocol: str = "tcp", source: str = "auto"
) -> PortAnswer:
    wanted = Wanted(
        ranges=((port, port),),
        tables=tuple(parse_tables([protocol])),
        addresses=addresses,
        is_probing=True,
        source=source,
        captures=None,
    )
    document = ask(wanted)
    assert [note.code for note in document.notes if note.code == "prediction_differs"] == []
    (found,) = document.ports
    return found


def hold_against_the_kernel(found: PortAnswer) -> None:
    """Bind and listen on every address in every way: what was tried, and what was predicted."""
    kind = SOCK_DGRAM if found.protocol == "udp" else SOCK_STREAM
    for option in SOCKET_OPTIONS:
        for place in found.places:
            where = BindAddress(place.address, dual_stack=place.dual_stack or False)
            attempt = getattr(place, option)
            works = really(where, option, found.port, kind)
            assert (where, option, attempt.predicted in (None, works)) == (where, option, True)
            if attempt.tried or attempt.works is not None:
                assert (where, option, attempt.works) == (where, option, works)
            assert (attempt.error is None) == (attempt.works is not False)


def this_process(user: str = "root") -> str:
    with open("/proc/self/comm") as file:
        return f"{file.read().strip()} (pid {os.getpid()}, user {user})"


def free_places(found: PortAnswer, option: str = "plain") -> set[str]:
    """The addresses that can be had; `::` with IPv4 as `dual`."""
    return {
        "dual" if place.dual_stack else place.address
        for place in found.places
        if getattr(place, option).works
    }


@pytest.mark.usefixtures("scene")
def test_nobody_has_it() -> None:
    found = answer()
    hold_against_the_kernel(found)
    assert (found.free, found.cause, found.holders) == (True, None, ())
    assert found.answer == "port 8080 is free: bind() works on all addresses"
    assert found.advice == ()
    assert free_places(found) == {"dual", "0.0.0.0", "::"}
    assert not any(place.reuse_address.tried for place in found.places)


@pytest.mark.parametrize(
    ("where", "endpoint", "free"),
    [
        (ALL, "0.0.0.0:8080", {"::", "::1", "fe80::1%lo"}),
        (ONE, "127.0.0.1:8080", {"::", "::1", "fe80::1%lo"}),
        (BindAddress("127.0.0.2"), "127.0.0.2:8080", {"::", "::1", "fe80::1%lo", "127.0.0.1"}),
        (DUAL, "[::]:8080 (also IPv4)", set()),
        (V6ONLY, "[::]:8080 (only IPv6)", {"0.0.0.0", "127.0.0.1"}),
        (BindAddress("::1"), "[::1]:8080", {"0.0.0.0", "127.0.0.1", "fe80::1%lo"}),
        (
            BindAddress("::ffff:127.0.0.1"),
            "[::ffff:127.0.0.1]:8080",
            {"::", "::1", "fe80::1%lo"},
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_listener(scene: Scene, where: BindAddress, endpoint: str, free: set[str]) -> None:
    scene.listen(where)
    found = answer()
    hold_against_the_kernel(found)
    assert (found.free, found.cause) == (False, "listener")
    assert found.answer == f"port 8080 is taken: {this_process()} listens on {endpoint}"
    assert free_places(found) == free
    assert found.advice[0] == f"Stop {this_process()}: `kill {os.getpid()}`."
    assert found.advice[-1] == (
        "SO_REUSEADDR does not help: no two sockets listen on one address with it."
    )


def test_a_mapped_address(scene: Scene) -> None:
    where = "::ffff:127.0.0.1"
    assert answer(where).answer == f"port 8080 is free on {where}: bind() works"
    scene.listen(ONE)
    found = answer(where)
    hold_against_the_kernel(found)
    assert (found.free, found.cause) == (False, "listener")


def test_another_address(scene: Scene) -> None:
    scene.listen(ONE)
    found = answer("127.0.0.2", "::1")
    hold_against_the_kernel(found)
    assert (found.free, found.cause) == (True, None)
    assert found.answer == "port 8080 is free on 127.0.0.2, ::1: bind() works"
    (holder,) = found.holders
    assert (holder.role, holder.in_the_way) == ("listener", False)


@pytest.mark.parametrize("option", [None, SO_REUSEADDR, SO_REUSEPORT])
def test_bound_and_nothing_more(scene: Scene, option: int | None) -> None:
    scene.bind(ONE, *([option] if option else []))
    found = answer()
    hold_against_the_kernel(found)
    assert (found.free, found.cause) == (False, "bound")
    hint = "; with SO_REUSEADDR it is free" if option == SO_REUSEADDR else ""
    assert found.answer == (
        f"port 8080 is taken: {this_process()} has bound 127.0.0.1:8080, but does not listen{hint}"
    )
    assert ("0.0.0.0" in free_places(found, "reuse_address")) == (option == SO_REUSEADDR)
    assert ("0.0.0.0" in free_places(found, "reuse_port")) == (option == SO_REUSEPORT)


def leave(scene: Scene, option: int | None, *, is_closed: bool) -> None:
    """What there is after a listener has gone."""
    listener = scene.listen(ALL, *([option] if option else []))
    client, server = scene.connect(listener)
    if is_closed:
        server.close()
        client.recv(1)
        client.close()
    listener.close()


@pytest.mark.parametrize("option", [None, SO_REUSEADDR, SO_REUSEPORT])
def test_time_wait_of_a_listener_that_has_gone(scene: Scene, option: int | None) -> None:
    leave(scene, option, is_closed=True)
    found = answer()
    hold_against_the_kernel(found)
    assert (found.free, found.cause) == (False, "leftover")
    (holder,) = found.holders
    assert (holder.role, holder.state, holder.in_the_way) == ("leftover", "TIME_WAIT", True)
    assert holder.expires_ms is not None
    seconds = -(-holder.expires_ms // 1000)
    hint = "; with SO_REUSEADDR it is free" if option == SO_REUSEADDR else ""
    assert found.answer == (
        "port 8080 is taken: an earlier listener has left 1 connection in TIME_WAIT, for "
        f"{seconds} s more{hint}"
    )
    if option == SO_REUSEADDR:
        assert found.advice[0].startswith("Set SO_REUSEADDR on the new listening socket")
    else:
        assert found.advice[0] == f"Wait {seconds} s: TIME_WAIT goes by itself."
        assert found.advice[1].startswith("SO_REUSEADDR does not help this time")
    assert ("dual" in free_places(found, "reuse_port")) == (option == SO_REUSEPORT)


@pytest.mark.parametrize("option", [None, SO_REUSEADDR])
def test_a_connection_of_a_listener_that_has_gone(scene: Scene, option: int | None) -> None:
    leave(scene, option, is_closed=False)
    found = answer()
    hold_against_the_kernel(found)
    assert (found.free, found.cause) == (False, "leftover")
    hint = "; with SO_REUSEADDR it is free" if option else ""
    assert found.answer == (
        "port 8080 is taken: an earlier listener has left 1 connection in ESTABLISHED, held by "
        f"{this_process()}{hint}"
    )


def test_a_request_for_a_connection_is_in_nobodys_way(scene: Scene) -> None:
    from tests.sockets import add_deaf
    from tests.zoo import Zoo

    listener = scene.listen(ONE)
    add_deaf(Zoo(scene.stack), "deaf", listener)
    listener.close()
    found = answer()
    hold_against_the_kernel(found)
    assert found.free


@pytest.mark.parametrize("is_closed", [False, True], ids=["open", "TIME_WAIT"])
def test_a_client_that_has_the_port_by_chance(scene: Scene, is_closed: bool) -> None:
    listener = scene.listen(ONE)
    client, server = scene.connect(listener)
    port: int = client.getsockname()[1]
    if is_closed:
        client.shutdown(socket.SHUT_WR)
        server.recv(1)
        server.close()
        client.recv(1)
        client.close()
    found = answer(port=port)
    hold_against_the_kernel(found)
    assert (found.free, found.cause) == (False, "client")
    if is_closed:
        assert (
            f"port {port} is taken: a connection to 127.0.0.1:8080 that is closed" in found.answer
        )
    else:
        assert found.answer == (
            f"port {port} is taken: {this_process()} has it for a connection to 127.0.0.1:8080"
        )
    does_not_help, reserve = found.advice[-2:]
    assert does_not_help == "SO_REUSEADDR does not help: the other socket does not have it."
    assert reserve == (
        "connect() gives the ports 32768 to 60999 to clients, this one too. To keep it for a "
        f"server: `sysctl net.ipv4.ip_local_reserved_ports={port}`."
    )
    elsewhere = answer("127.0.0.2", port=port)
    hold_against_the_kernel(elsewhere)
    assert elsewhere.free


@pytest.mark.usefixtures("scene")
def test_a_client_over_ipv6_is_in_the_way_of_ipv4() -> None:
    """The kernel gives its socket 127.0.0.6, and 0.0.0.0 meets all addresses."""
    server = socket.create_server(("::1", 0), family=AF_INET6)
    with server, socket.create_connection(server.getsockname()[:2]) as client:
        found = answer(port=client.getsockname()[1])
        hold_against_the_kernel(found)
    assert "0.0.0.0" not in free_places(found)
    assert "127.0.0.1" in free_places(found)


def test_a_group_that_shares_the_port(scene: Scene) -> None:
    with acting_as(NOBODY):
        scene.listen(ALL, SO_REUSEPORT)
        scene.listen(ALL, SO_REUSEPORT)
    found = answer()
    hold_against_the_kernel(found)
    assert found.answer == (
        f"port 8080 is taken: {this_process('nobody')} listens on 0.0.0.0:8080, and 1 other"
    )
    assert free_places(found, "reuse_port") == {"::", "::1", "fe80::1%lo"}
    assert found.advice[-1] == (
        "SO_REUSEPORT does not help: the sockets that share a port must be one user's, and these "
        "are of nobody."
    )
    with acting_as(NOBODY):
        of_nobody = answer()
        hold_against_the_kernel(of_nobody)
    assert {"dual", "0.0.0.0"} <= free_places(of_nobody, "reuse_port")
    assert of_nobody.advice[-1].startswith("SO_REUSEPORT works: the others have set it too.")


@pytest.mark.parametrize("option", [None, SO_REUSEADDR, SO_REUSEPORT])
def test_udp(scene: Scene, option: int | None) -> None:
    scene.bind(ONE, *([option] if option else []), kind=SOCK_DGRAM)
    found = answer(protocol="udp")
    hold_against_the_kernel(found)
    assert (found.free, found.cause) == (False, "datagram")
    assert found.answer == (f"udp port 8080 is taken: {this_process()} receives on 127.0.0.1:8080")
    taken = [place for place in found.places if not place.plain.works]
    assert [place.reuse_port for place in taken] == [place.reuse_address for place in taken]
    assert not any(place.reuse_address.tried or place.reuse_port.tried for place in taken)
    assert answer(protocol="tcp").free


@pytest.mark.usefixtures("scene")
def test_a_port_for_the_privileged() -> None:
    with acting_as(NOBODY):
        found = answer(port=80)
    assert (found.free, found.cause, found.holders) == (False, "permission", ())
    assert found.answer == (
        "port 80 is not for uid 65534: ports below 1024 take CAP_NET_BIND_SERVICE"
    )
    errors = {place.plain.error for place in found.places}
    assert errors == {"EACCES"}
    assert {place.plain.predicted for place in found.places} == {False}
    assert answer(port=80).free


@pytest.mark.usefixtures("scene")
def test_an_address_of_another_machine() -> None:
    for address in ("192.0.2.1", "2001:db8::1", "fe80::2%lo"):
        found = answer(address)
        assert (found.free, found.cause) == (False, "address")
        assert found.answer == (
            f"port 8080 cannot be bound on {address}: that is no address of this machine"
        )
        assert found.places[0].plain.error == "EADDRNOTAVAIL"
        assert found.places[0].plain.predicted is False
    found = answer("127.0.0.1", "192.0.2.1")
    assert found.answer == (
        "port 8080 cannot be bound on 192.0.2.1: that is no address of this machine"
    )
    found = answer("fe80::1%nothing")
    assert (
        found.answer == "port 8080 cannot be bound on fe80::1%nothing: there is no such interface"
    )


LISTEN = """
import socket
with socket.create_server(("::", 8080), family=socket.AF_INET6, dualstack_ipv6=True):
    print(flush=True)
    input()
"""


@pytest.fixture
def neighbour() -> Iterator[int]:
    """The pid of a listener in another network namespace."""
    command = [sys.executable, "-c", LISTEN]
    with private_network():
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdout
        process.stdout.readline()
    yield process.pid
    process.communicate(b"\n")


@pytest.mark.usefixtures("scene")
def test_another_network_namespace(neighbour: int) -> None:
    found = answer()
    hold_against_the_kernel(found)
    assert found.free
    (other,) = [n for n in found.other_namespaces if n.owners[0].pid == neighbour]
    assert other.local_address == "::"
    assert other.netns == os.stat(f"/proc/{neighbour}/ns/net").st_ino
    # and this process is where it was: it entered with a thread alone
    assert os.stat("/proc/self/ns/net").st_ino == os.stat("/proc/thread-self/ns/net").st_ino
    with acting_as(NOBODY):
        assert answer().other_namespaces == ()


def test_the_program(scene: Scene) -> None:
    scene.listen(ONE)
    done = run("port", "8080", "--json")
    assert (done.status, done.err) == (1, "")
    document = json.loads(done.out)
    jsonschema.validate(document, json.loads(b"".join(render_schema("port"))))
    assert document["ports"][0]["holders"][0]["owners"][0]["pid"] == os.getpid()
    assert document["uid"] == 0

    done = run("port", "8080-8081", "--proto", "tcp,udp")
    assert (done.status, done.err) == (1, "")
    assert done.out == (
        f"port 8080 is taken: {this_process()} listens on 127.0.0.1:8080\n"
        "port 8081 is free: bind() works on all addresses\n"
        "udp port 8080 is free: bind() works on all addresses\n"
        "udp port 8081 is free: bind() works on all addresses\n"
    )
    assert run("port", "8081").status == 0


@pytest.mark.parametrize("source", ["proc", "psutil"])
def test_sources_that_do_not_tell_of_what_is_merely_bound(scene: Scene, source: str) -> None:
    scene.bind(ONE)
    found = answer(source=source)
    hold = {place.plain.works for place in found.places if place.address == "127.0.0.1"}
    assert hold == {False}
    assert (found.free, found.cause) == (False, "unseen")
    assert found.answer == (
        "port 8080 is taken: bind() says so, but no table that could be read shows a socket that "
        "has it"
    )
    done = run("port", "8080", "--source", source, "--no-probe")
    assert done.status == 0
    assert done.out == "port 8080 is free: nothing that can be seen has it\n"
    assert (
        f"netinspect: {source}: sockets that are bound and nothing more may not be shown there, so "
        "a port may be taken by one of those\n"
    ) in done.err
