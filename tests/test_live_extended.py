"""tcp_info, memory and options beside `ss -tiemo` on the same sockets.

Everything that ss prints of a socket is compared. Ages move between two looks, so ours lies between
those of ss before and after; what differs on purpose stands in `ss_extended.py`, with its reason.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

import pytest

from netinspect.api import snapshot
from netinspect.extended import Options, TcpInfo
from netinspect.lab.endpoints import deafen
from netinspect.model import Connection, Snapshot
from tests import ss_extended
from tests.namespace import private_network, why_not
from tests.sockets import open_zoo
from tests.ss_extended import GROWING, Key, Words, agree
from tests.zoo import Zoo

pytestmark = pytest.mark.live

ALGORITHMS = "/proc/sys/net/ipv4/tcp_allowed_congestion_control"
# asm-generic/socket.h, linux/in.h, linux/in6.h
SO_PRIORITY, SO_BINDTODEVICE, SO_MARK, SO_MAX_PACING_RATE = 12, 25, 36, 47
IP_RECVERR, IP_FREEBIND, IP_TRANSPARENT, IP_BIND_ADDRESS_NO_PORT = 11, 15, 19, 24
IPV6_TCLASS = 67


class Seen(NamedTuple):
    """Our answer, and those of ss before and after."""

    before: dict[Key, Words]
    shown: Snapshot
    after: dict[Key, Words]
    names: dict[str, int]

    def of(self, name: str) -> Connection:
        """Our record of a socket by its name in the zoo."""
        inode = self.names[name]
        return next(c for c in self.shown.connections if c.inode == inode)


@pytest.fixture(scope="module")
def seen() -> Iterator[Seen]:
    if reason := why_not():
        pytest.skip(reason)
    if shutil.which("ss") is None:
        pytest.skip("ss is not installed")
    with private_network(), ExitStack() as stack, open_zoo():
        own = Zoo(stack)
        names = {name: os.fstat(sock.fileno()).st_ino for name, sock in add_all(own)}
        time.sleep(0.5)  # delayed acknowledgements
        yield quiet_look(names)


def quiet_look(names: dict[str, int]) -> Seen:
    """A look while no timer fired between the two of ss."""
    for _ in range(10):
        before = ss_extended.run()
        shown = snapshot(protocols=["tcp", "udp", "unix"], owners=False, extended=True)
        after = ss_extended.run()
        if stable(before) == stable(after):
            return Seen(before, shown, after, names)
    raise AssertionError("the sockets did not keep still")


def stable(rows: dict[Key, Words]) -> dict[Key, Words]:
    return {key: {k: v for k, v in row.items() if k not in GROWING} for key, row in rows.items()}


def add_all(zoo: Zoo) -> Iterator[tuple[str, socket.socket]]:
    """Sockets set up and used in many ways."""
    for algorithm in Path(ALGORITHMS).read_text().split():
        for host in ("127.0.0.1", "::1"):
            client, server = talkers(zoo, host, algorithm)
            yield f"{algorithm} {host} client", client
            yield f"{algorithm} {host} server", server
    listener = zoo.listen(("127.0.0.1", 0))
    for name, level, option, value in (
        ("mark", socket.SOL_SOCKET, SO_MARK, 0xCAFE),
        ("tos", socket.IPPROTO_IP, socket.IP_TOS, 0x10),
        ("priority", socket.SOL_SOCKET, SO_PRIORITY, 5),
        ("pacing", socket.SOL_SOCKET, SO_MAX_PACING_RATE, 1_000_000),
        ("recverr", socket.IPPROTO_IP, IP_RECVERR, 1),
        ("freebind", socket.IPPROTO_IP, IP_FREEBIND, 1),
        ("transparent", socket.IPPROTO_IP, IP_TRANSPARENT, 1),
        ("no port", socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1),
    ):
        client, _ = zoo.pair(listener)
        client.setsockopt(level, option, value)
        yield name, client
    yield "device", bound_to_lo(zoo)
    yield from shut_down(zoo, listener)
    yield from of_ipv6(zoo)
    yield "lost", retransmitting(zoo, listener)
    yield "udp", zoo.bind(("127.0.0.1", 0), socket.SOCK_DGRAM)
    left, right = socket.socketpair()
    yield "unix", zoo.keep(left)
    zoo.keep(right).shutdown(socket.SHUT_WR)
    left.send(bytes(1000))


def talkers(zoo: Zoo, host: str, algorithm: str) -> tuple[socket.socket, socket.socket]:
    """They have sent something to each other; some of it was not read."""
    listener = zoo.listen((host, 0))
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, algorithm.encode())
    client = zoo.open(listener.family)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, algorithm.encode())
    client.connect(listener.getsockname())
    server = zoo.keep(listener.accept()[0])
    for _ in range(20):
        client.sendall(bytes(10_000))
        assert server.recv(10_000, socket.MSG_WAITALL)
        server.sendall(b"thanks")
    client.sendall(bytes(777))
    return client, server


def bound_to_lo(zoo: Zoo) -> socket.socket:
    sock = zoo.open(socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, SO_BINDTODEVICE, b"lo")
    sock.bind(("127.0.0.1", 0))
    sock.listen()
    return sock


def shut_down(zoo: Zoo, listener: socket.socket) -> Iterator[tuple[str, socket.socket]]:
    for name, how in (("shut receive", socket.SHUT_RD), ("shut send", socket.SHUT_WR)):
        client, _ = zoo.pair(listener)
        client.shutdown(how)
        yield name, client


def of_ipv6(zoo: Zoo) -> Iterator[tuple[str, socket.socket]]:
    for name, only in (("v6only", 1), ("dual", 0)):
        sock = zoo.open(socket.AF_INET6)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
        sock.setsockopt(socket.IPPROTO_IPV6, IPV6_TCLASS, 0x20)
        sock.bind(("::", 0))
        sock.listen()
        yield name, sock


def retransmitting(zoo: Zoo, listener: socket.socket) -> socket.socket:
    """What it sends is not heard: the timer has fired some times, and the next one is far."""
    client, server = zoo.pair(listener)
    deafen(server)
    client.send(bytes(5000))
    deadline = time.monotonic() + 10
    while (
        client.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 3)[2] < 2
        and time.monotonic() < deadline
    ):
        time.sleep(0.05)
    return client


def test_all_that_ss_says_is_what_we_say_and_nothing_else(seen: Seen) -> None:
    by_key = {ss_extended.key_of(c): ss_extended.words_of(c) for c in seen.shown.connections}
    unlike = [
        f"{key}: of {word} ss says {theirs.get(word)}, we {ours.get(word)}"
        for key, theirs in seen.before.items()
        for ours in [by_key[key]]
        for word in {**theirs, **ours}
        if not agree(word, ours.get(word), theirs.get(word), seen.after[key].get(word))
    ]
    assert unlike == []
    assert set().union(*seen.before.values()) >= ss_extended.EXPECTED


def test_nothing_is_left_out(seen: Seen) -> None:
    shown = {ss_extended.key_of(c) for c in seen.shown.connections if c.state != "BOUND"}
    assert shown == set(seen.before)  # the ss of iproute2 6.1 does not show BOUND
    for connection in seen.shown.connections:
        has_info = isinstance(connection.tcp_info, TcpInfo)
        without = ("BOUND", "CLOSE", "TIME_WAIT", "SYN_RECV")
        orphan = connection.inode is None
        if connection.protocol != "tcp":
            assert connection.tcp_info is None
        elif not orphan and connection.state not in without:
            assert has_info


def test_options_are_those_that_were_set(seen: Seen) -> None:
    def options(name: str) -> Options:
        found = seen.of(name).options
        assert isinstance(found, Options)
        return found

    assert options("mark").mark == 0xCAFE
    assert options("tos").tos == 0x10
    assert options("priority").class_id == 5
    assert options("recverr").recverr is True
    assert options("freebind").freebind is True
    assert options("transparent").transparent is True
    assert options("no port").bind_address_no_port is True
    assert options("mark").recverr is False
    assert options("device").bound_device == "lo"
    assert options("mark").bound_device is None
    assert (options("shut receive").receive_shutdown, options("shut receive").send_shutdown) == (
        True,
        False,
    )
    assert (options("shut send").receive_shutdown, options("shut send").send_shutdown) == (
        False,
        True,
    )
    assert (options("v6only").v6only, options("v6only").traffic_class) == (True, 0x20)
    assert (options("dual").v6only, options("mark").v6only) == (False, None)
    assert (options("unix").receive_shutdown, options("unix").send_shutdown) == (True, False)


def test_tcp_info_is_what_was_done(seen: Seen) -> None:
    def info(name: str) -> TcpInfo:
        found = seen.of(name).tcp_info
        assert isinstance(found, TcpInfo)
        return found

    for algorithm in Path(ALGORITHMS).read_text().split():
        client, server = info(f"{algorithm} ::1 client"), info(f"{algorithm} ::1 server")
        assert client.congestion_control == server.congestion_control == algorithm
        assert client.bytes_sent == server.bytes_received == 200_777
        assert client.bytes_received == server.bytes_sent == 20 * len("thanks")
        assert (client.bbr is not None) == (algorithm == "bbr")
    assert info("pacing").max_pacing_rate_bps == 8_000_000
    lost = info("lost")
    assert (lost.timeouts or 0) >= 2
    assert (lost.retransmits_total or 0) >= 2
    assert lost.congestion_state == "loss"
    assert lost.unacked_segments


def test_memory_is_what_is_held(seen: Seen) -> None:
    unread = seen.of("reno ::1 server" if "reno ::1 server" in seen.names else "unix").memory
    assert unread
    assert unread.receive_allocated_bytes >= 777
    assert unread.receive_limit_bytes > unread.receive_allocated_bytes


def test_cgroups_are_where_this_process_is(seen: Seen) -> None:
    (own,) = (
        line.rpartition(":")[2]
        for line in Path("/proc/self/cgroup").read_text().splitlines()
        if line.startswith("0::")
    )
    options = seen.of("mark").options
    assert isinstance(options, Options)
    assert options.cgroup in (own, "/")
