"""Sockets in every state, opened and kept.

`open_zoo()` opens them in the network of the caller, which should be its own (namespace.py).
States that a polite peer leaves at once are held by a peer that is deaf: a socket filter drops all
that comes to it. The shortest-lived stay for 60 seconds: TIME_WAIT, FIN_WAIT2, SYN_RECV.
"""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from socket import (
    AF_INET,
    AF_INET6,
    IPPROTO_ICMP,
    IPPROTO_ICMPV6,
    SHUT_WR,
    SO_RCVBUF,
    SOCK_DGRAM,
    SOCK_RAW,
    SOCK_SEQPACKET,
    SOCK_STREAM,
    SOL_SOCKET,
)

from netinspect.lab.endpoints import CLOSE, CLOSING, FIN_WAIT2, await_state, deafen
from netinspect.parse.unix_diag import AF_UNIX
from tests.zoo import UDPLITE, Zoo, family_of, fill, mirror

SO_BINDTODEVICE = 25  # asm-generic/socket.h
IPPROTO_RAW = 255
NOBODY = 65534


@contextmanager
def open_zoo() -> Iterator[Zoo]:
    """All sockets that there are below."""
    with ExitStack() as stack:
        zoo = Zoo(stack)
        for label, host in (("4", "127.0.0.1"), ("6", "::1")):
            add_listeners(zoo, f"tcp{label}", host)
            add_handshakes(zoo, f"tcp{label}", host)
            add_connections(zoo, f"tcp{label}", host)
            add_closings(zoo, f"tcp{label}", host)
            add_datagrams(zoo, f"udp{label}", host, 0)
            add_datagrams(zoo, f"udplite{label}", host, UDPLITE)
        add_mapped(zoo)
        add_link_local(zoo)
        add_owned(zoo)
        add_raw(zoo)
        add_icmp(zoo)
        add_unix_names(zoo)
        add_unix_connections(zoo)
        yield zoo


def add_listeners(zoo: Zoo, label: str, host: str) -> None:
    zoo.add(f"{label} listen", zoo.listen((host, 0)), "LISTEN")
    zoo.add(f"{label} bound", zoo.bind((host, 0)), "BOUND")
    port = 0
    for number in range(2):
        listener = zoo.open(family_of((host, 0)))
        listener.setsockopt(SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind((host, port))
        listener.listen()
        port = listener.getsockname()[1]
        zoo.add(f"{label} reuseport {number}", listener, "LISTEN")


def add_handshakes(zoo: Zoo, label: str, host: str) -> None:
    """A queue with two that wait, and one client that never hears the answer to its SYN."""
    listener = zoo.listen((host, 0), backlog=3)
    zoo.add(f"{label} queue", listener, "LISTEN")
    for number in range(2):
        zoo.add(f"{label} waiting {number}", zoo.connect(listener), "ESTABLISHED")
        waiting = zoo.made[f"{label} waiting {number}"]
        zoo.add_without_owner(f"{label} unaccepted {number}", mirror(waiting))
    add_deaf(zoo, label, listener)


def add_deaf(zoo: Zoo, label: str, listener: socket.socket) -> None:
    deaf = zoo.open(listener.family)
    deafen(deaf)
    deaf.setblocking(False)
    assert deaf.connect_ex(listener.getsockname()) == errno.EINPROGRESS
    remote, port = listener.getsockname()[:2]
    zoo.add(f"{label} syn_sent", deaf, "SYN_SENT", remote_address=remote, remote_port=port)
    minisocket = mirror(zoo.made[f"{label} syn_sent"])._replace(state="SYN_RECV")
    zoo.add_without_owner(f"{label} syn_recv", minisocket)


def add_connections(zoo: Zoo, label: str, host: str) -> None:
    """Connections that stay: idle, with data on the way, with timers."""
    listener = zoo.listen((host, 0))
    zoo.add(f"{label} server", listener, "LISTEN")

    def add(name: str) -> tuple[socket.socket, socket.socket]:
        client, server = zoo.pair(listener)
        zoo.add(f"{label} {name}", client, "ESTABLISHED")
        zoo.add(f"{label} {name} peer", server, "ESTABLISHED")
        return client, server

    add("idle")
    client, _ = add("unread")
    client.send(b"hello")
    client, _ = add("keepalive")
    client.setsockopt(SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    client, server = add("unacknowledged")
    deafen(server)
    client.send(b"are you there?")
    client, _ = add("zero_window")
    fill(client)


def add_closings(zoo: Zoo, label: str, host: str) -> None:
    """All that a connection can be in once one end has closed, with and without a descriptor."""
    listener = zoo.listen((host, 0))
    zoo.add(f"{label} closing server", listener, "LISTEN")

    for end in ("", " orphan"):
        client, server = zoo.pair(listener)
        deafen(server)
        client.shutdown(SHUT_WR)
        zoo.add(f"{label} fin_wait1{end}", client, "FIN_WAIT1")
        zoo.add(f"{label} fin_wait1{end} peer", server, "ESTABLISHED")

        client, server = zoo.pair(listener)
        client.shutdown(SHUT_WR)
        await_state(client, FIN_WAIT2)
        zoo.add(f"{label} fin_wait2{end}", client, "FIN_WAIT2")
        zoo.add(f"{label} fin_wait2{end} peer", server, "CLOSE_WAIT")

        client, server = zoo.pair(listener)
        deafen(server)
        client.shutdown(SHUT_WR)
        server.shutdown(SHUT_WR)
        await_state(client, CLOSING)
        zoo.add(f"{label} closing{end}", client, "CLOSING")
        zoo.add(f"{label} closing{end} peer", server, "FIN_WAIT1")

        client, server = zoo.pair(listener)
        client.shutdown(SHUT_WR)
        await_state(client, FIN_WAIT2)
        deafen(client)
        server.shutdown(SHUT_WR)
        zoo.add(f"{label} last_ack{end}", server, "LAST_ACK")
        zoo.add(f"{label} last_ack{end} peer", client, "FIN_WAIT2")

    for state in ("fin_wait1", "fin_wait2", "closing", "last_ack"):
        zoo.abandon(f"{label} {state} orphan")

    client, server = zoo.pair(listener)
    zoo.add(f"{label} time_wait", client, "TIME_WAIT")
    client.shutdown(SHUT_WR)
    await_state(client, FIN_WAIT2)
    server.close()
    await_state(client, CLOSE)
    zoo.abandon(f"{label} time_wait")


def add_datagrams(zoo: Zoo, label: str, host: str, protocol: int) -> None:
    """UDP and UDPLITE, which some kernels no longer have."""
    any_host = "::" if ":" in host else "0.0.0.0"
    try:
        wildcard = zoo.bind((any_host, 0), SOCK_DGRAM, protocol)
    except OSError as error:
        if error.errno in (errno.EPROTONOSUPPORT, errno.ESOCKTNOSUPPORT):
            return
        raise
    zoo.add(f"{label} wildcard", wildcard, "UNCONN")

    def bind(name: str) -> socket.socket:
        sock = zoo.bind((host, 0), SOCK_DGRAM, protocol)
        zoo.add(f"{label} {name}", sock, "UNCONN")
        return sock

    unread, deluged = bind("unread"), bind("deluged")
    deluged.setsockopt(SOL_SOCKET, SO_RCVBUF, 4096)
    client = zoo.open(wildcard.family, SOCK_DGRAM, protocol)
    client.connect(bind("connected to").getsockname())
    zoo.add(f"{label} connected", client, "ESTABLISHED")
    client.sendto(b"hello", unread.getsockname())
    for _ in range(20):
        client.sendto(bytes(1000), deluged.getsockname())


def add_mapped(zoo: Zoo) -> None:
    """IPv4 clients of an IPv6 listener, and IPv4 through an IPv6 UDP socket."""
    listener = zoo.listen(("::", 0))
    zoo.add("mapped listen", listener, "LISTEN")
    client = zoo.open(AF_INET)
    client.connect(("127.0.0.1", listener.getsockname()[1]))
    zoo.add("mapped client", client, "ESTABLISHED")
    zoo.add("mapped server", zoo.keep(listener.accept()[0]), "ESTABLISHED")
    udp = zoo.open(AF_INET6, SOCK_DGRAM)
    udp.connect(("::ffff:127.0.0.1", 9))
    zoo.add("mapped udp", udp, "ESTABLISHED")


def add_link_local(zoo: Zoo) -> None:
    """Addresses that need a zone, and sockets that are bound to a device."""
    address = ("fe80::1", 0, 0, socket.if_nametoindex("lo"))
    listener = zoo.listen(address)
    zoo.add("link-local listen", listener, "LISTEN")
    client, server = zoo.pair(listener)
    zoo.add("link-local client", client, "ESTABLISHED")
    zoo.add("link-local server", server, "ESTABLISHED")
    zoo.add("link-local udp", zoo.bind(address, SOCK_DGRAM), "UNCONN")
    device = zoo.bind(("127.0.0.1", 0), SOCK_DGRAM)
    device.setsockopt(SOL_SOCKET, SO_BINDTODEVICE, b"lo\0")
    zoo.add("device udp", device, "UNCONN")


def add_owned(zoo: Zoo) -> None:
    """Another user's sockets; one that two processes hold; one that no process holds."""
    os.seteuid(NOBODY)
    try:
        foreign = zoo.listen(("127.0.0.1", 0))
    finally:
        os.seteuid(0)
    zoo.add("nobody's listen", foreign, "LISTEN")
    zoo.add("nobody's client", zoo.connect(foreign), "ESTABLISHED")
    zoo.add_without_owner("nobody's unaccepted", mirror(zoo.made["nobody's client"]))
    zoo.made["nobody's unaccepted"] = zoo.made["nobody's unaccepted"]._replace(uid=NOBODY)
    add_deaf(zoo, "nobody's", foreign)

    shared, udp = zoo.listen(("127.0.0.1", 0)), zoo.bind(("127.0.0.1", 0), SOCK_DGRAM)
    holders = tuple(sorted((os.getpid(), zoo.fork_holder(shared, udp))))
    zoo.add("shared listen", shared, "LISTEN", holders=holders)
    zoo.add("shared udp", udp, "UNCONN", holders=holders)

    travelling = zoo.listen(("127.0.0.1", 0))
    zoo.add("travelling listen", travelling, "LISTEN", holders=())
    here, there = socket.socketpair()
    zoo.add("letter box 0", zoo.keep(here), "ESTABLISHED")
    zoo.add("letter box 1", zoo.keep(there), "ESTABLISHED")
    socket.send_fds(here, [b"x"], [travelling.fileno()])
    travelling.close()


def add_raw(zoo: Zoo) -> None:
    """The local port of a raw socket is its protocol."""
    raws = [("raw4", AF_INET, IPPROTO_ICMP), ("raw4 send", AF_INET, IPPROTO_RAW)]
    raws += [("raw6", AF_INET6, IPPROTO_ICMPV6), ("raw4 connected", AF_INET, 200)]
    for name, family, protocol in raws:
        sock = zoo.open(family, SOCK_RAW, protocol)
        if "connected" in name:
            sock.connect(("127.0.0.1", 1))  # getpeername() wants a port
        zoo.add(name, sock, "ESTABLISHED" if "connected" in name else "UNCONN")


def add_icmp(zoo: Zoo) -> None:
    """Ping sockets (icmp(7)); the range of groups that may have them belongs to the network."""
    with open("/proc/sys/net/ipv4/ping_group_range", "w") as file:
        file.write("0 2147483647")
    for label, host, protocol in (
        ("icmp4", "127.0.0.1", IPPROTO_ICMP),
        ("icmp6", "::1", IPPROTO_ICMPV6),
    ):
        zoo.add(f"{label} bound", zoo.bind((host, 77), SOCK_DGRAM, protocol), "UNCONN")
        connected = zoo.bind((host, 78), SOCK_DGRAM, protocol)
        connected.connect((host, 1))  # getpeername() wants a port
        zoo.add(f"{label} connected", connected, "ESTABLISHED")


def add_unix_names(zoo: Zoo) -> None:
    """Names that are hard to print."""

    def add(name: str, address: bytes, text: str) -> None:
        zoo.add(f"unix {name}", zoo.bind(address, SOCK_DGRAM), "UNCONN", local_address=text)

    folder = zoo.folder
    raw = os.fsencode(folder)
    add("path", raw + b"/plain", f"{folder}/plain")
    add("blanks", raw + b"/a  b ", f"{folder}/a  b ")
    add("line break", raw + b"/x\ny\n", f"{folder}/x\ny\n")
    add("bytes", raw + b"/\xff\\\xc3\xa9", f"{folder}/\\xff\\\\\u00e9")
    # not only in this network: the number keeps the abstract names of two runs apart
    name = f"zoo-{os.getpid()}"
    add("abstract", b"\0" + name.encode(), f"@{name}")
    add("abstract with NUL", f"\0{name}\0n".encode(), f"@{name}\\x00n")
    home = os.open(".", os.O_RDONLY)
    try:
        os.chdir(folder)
        add("path with @", b"@real", "./@real")
    finally:
        os.fchdir(home)
        os.close(home)
    forged = f"\0z\n0000000000000000: 00000002 00000000 00010000 0001 01 {os.getpid()} /forged"
    add("forged row", forged.encode(), "@" + forged[1:])


def add_unix_connections(zoo: Zoo) -> None:
    """Listeners and pairs; the address of a peer is that which it is bound to."""
    for label, kind in (("stream", SOCK_STREAM), ("seqpacket", SOCK_SEQPACKET)):
        path = f"{zoo.folder}/{label}"
        listener = zoo.bind(path, kind)
        listener.listen(5)
        zoo.add(f"unix {label} listen", listener, "LISTEN")
        client, server = zoo.pair(listener)
        zoo.add(f"unix {label} client", client, "ESTABLISHED")
        zoo.add(f"unix {label} server", server, "ESTABLISHED")
        server.send(b"unread")
        # its peer has no inode until it is accepted, and so cannot be named
        waiting = zoo.connect(listener)
        zoo.add(f"unix {label} waiting", waiting, "ESTABLISHED", remote_address=None)
        zoo.add(f"unix {label} unbound", zoo.open(AF_UNIX, kind), "UNCONN")
    bound = zoo.bind(f"{zoo.folder}/dgram", SOCK_DGRAM)
    zoo.add("unix dgram connected", zoo.connect(bound), "ESTABLISHED")
    # unix_dgram_connect() makes both ends ESTABLISHED, but only one has a peer (net/unix/af_unix.c)
    zoo.add("unix dgram bound", bound, "ESTABLISHED", remote_address=None)
    for kind in (SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET):
        for end, sock in enumerate(socket.socketpair(AF_UNIX, kind)):
            zoo.add(f"unix pair {kind.name} {end}", zoo.keep(sock), "ESTABLISHED")
