"""Sockets that are opened and kept, each with what a source has to say of it."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from array import array
from contextlib import ExitStack, suppress
from socket import AF_INET, AF_INET6, IPPROTO_TCP, SOCK_DGRAM, SOCK_STREAM, SOL_SOCKET
from typing import Any, NamedTuple

from netinspect.model import Family, Protocol, State
from netinspect.parse.unix_diag import AF_UNIX

SO_PROTOCOL = 38  # asm-generic/socket.h
SIOCOUTQ = 0x5411  # asm-generic/ioctls.h
UDPLITE = 136

PROTOCOLS: dict[tuple[int, int], Protocol] = {
    (SOCK_STREAM, IPPROTO_TCP): "tcp",
    (SOCK_DGRAM, socket.IPPROTO_UDP): "udp",
    (SOCK_DGRAM, UDPLITE): "udplite",
    (SOCK_DGRAM, socket.IPPROTO_ICMP): "icmp",
    (SOCK_DGRAM, socket.IPPROTO_ICMPV6): "icmp",
}
FAMILIES: dict[int, Family] = {AF_INET: "ipv4", AF_INET6: "ipv6", AF_UNIX: "unix"}
WITHOUT_PEER = ("LISTEN", "BOUND", "UNCONN")


class Made(NamedTuple):
    """What is known of a socket by having made it."""

    protocol: Protocol
    family: Family
    state: State
    local_address: str | None
    local_port: int | None
    remote_address: str | None
    remote_port: int | None
    inode: int | None
    uid: int | None
    holders: tuple[int, ...]


class Zoo:
    """Opens sockets, keeps them, and knows them by name."""

    def __init__(self, stack: ExitStack) -> None:
        self.made: dict[str, Made] = {}
        self.opened: dict[str, socket.socket] = {}
        self.stack = stack
        self.folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="zoo"))

    def open(self, family: int, kind: int = SOCK_STREAM, protocol: int = 0) -> socket.socket:
        """A new socket; it is closed with the zoo, or before."""
        return self.keep(socket.socket(family, kind, protocol))

    def keep(self, sock: socket.socket) -> socket.socket:
        """Take a socket that somebody else opened."""
        return self.stack.enter_context(sock)

    def add(self, name: str, sock: socket.socket, state: State, **known: Any) -> None:
        """Write down what is there. What is not as the socket itself says it, is in `known`."""
        assert name not in self.made
        self.made[name] = look_at(sock, state, **known)
        self.opened[name] = sock

    def add_without_owner(self, name: str, made: Made) -> None:
        """Write down a socket that no descriptor is for."""
        assert name not in self.made
        self.made[name] = made._replace(inode=None, uid=None, holders=())

    def abandon(self, name: str) -> None:
        """Close the descriptor; what the kernel still has to do is nobody's."""
        self.add_without_owner(name, self.made.pop(name))
        self.opened.pop(name).close()

    def bind(self, address: Any, kind: int = SOCK_STREAM, protocol: int = 0) -> socket.socket:
        """A new bound socket."""
        sock = self.open(family_of(address), kind, protocol)
        sock.bind(address)
        return sock

    def listen(self, address: Any, backlog: int = 64) -> socket.socket:
        """A new TCP listener."""
        listener = self.bind(address)
        listener.listen(backlog)
        return listener

    def connect(self, listener: socket.socket) -> socket.socket:
        """A client of a listener; nobody has accepted it."""
        client = self.open(listener.family, listener.type)
        client.connect(listener.getsockname())
        return client

    def pair(self, listener: socket.socket) -> tuple[socket.socket, socket.socket]:
        """Both ends of a connection: the client's, the server's."""
        client = self.connect(listener)
        return client, self.keep(listener.accept()[0])

    def fork_holder(self, *socks: socket.socket) -> int:
        """The pid of a process that holds these sockets as well."""
        fds = [sock.fileno() for sock in socks]
        sleep = [sys.executable, "-c", "import time; print(flush=True); time.sleep(600)"]
        process = subprocess.Popen(sleep, pass_fds=fds, stdout=subprocess.PIPE)
        assert process.stdout
        process.stdout.readline()  # now it is python, and no longer a fork of this process
        self.stack.enter_context(process)
        self.stack.callback(process.terminate)
        return process.pid


def look_at(sock: socket.socket, state: State, **known: Any) -> Made:
    """What the socket itself says, but for what is known better."""
    number = sock.getsockopt(SOL_SOCKET, SO_PROTOCOL)
    protocol = "unix" if sock.family == AF_UNIX else PROTOCOLS.get((sock.type, number), "raw")
    has_ports = protocol not in ("raw", "icmp", "unix")
    local, local_port = endpoint(sock.getsockname())
    remote, remote_port = None, None
    if state not in WITHOUT_PEER and "remote_address" not in known:
        remote, remote_port = endpoint(sock.getpeername())
    status = os.fstat(sock.fileno())
    return Made(
        protocol,
        FAMILIES[sock.family],
        state,
        local,
        local_port if has_ports else None,
        remote,
        remote_port if has_ports else None,
        status.st_ino,
        status.st_uid,
        (os.getpid(),),
    )._replace(**known)


def endpoint(address: Any) -> tuple[str | None, int | None]:
    """Address and port as getsockname() and getpeername() tell them."""
    if not isinstance(address, tuple):
        return address or None, None
    zone = address[3] if len(address) == 4 else 0
    return f"{address[0]}%{socket.if_indextoname(zone)}" if zone else address[0], address[1]


def mirror(made: Made) -> Made:
    """The other end of a connection."""
    return made._replace(
        local_address=made.remote_address,
        local_port=made.remote_port,
        remote_address=made.local_address,
        remote_port=made.local_port,
    )


def family_of(address: Any) -> int:
    if not isinstance(address, tuple):
        return AF_UNIX
    return AF_INET6 if ":" in address[0] else AF_INET


def fill(sock: socket.socket) -> None:
    """Send until nothing moves any more: the peer's window is closed, and our buffer is full."""
    sock.setblocking(False)
    before = -1
    while before != (before := unsent(sock)):
        with suppress(BlockingIOError):
            while True:
                sock.send(bytes(1 << 16))
        time.sleep(0.3)  # a window that is open a little is filled by the first probe, after 0.2 s


def unsent(sock: socket.socket) -> int:
    """Bytes that the peer has not acknowledged (tcp(7))."""
    import fcntl  # this module can be imported on Windows too

    number = array("i", [0])
    fcntl.ioctl(sock, SIOCOUTQ, number)
    return number[0]
