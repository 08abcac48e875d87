"""Really binding: what a prediction is held against."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from socket import AF_INET, AF_INET6, SOCK_STREAM

from netinspect.diagnose.bind import SOCKET_OPTIONS, BindAddress, BindOption


@contextmanager
def acting_as(uid: int) -> Iterator[None]:
    os.seteuid(uid)
    try:
        yield
    finally:
        os.seteuid(0)


def unbound(where: BindAddress, socket_type: int, *options: int) -> socket.socket:
    sock = socket.socket(AF_INET6 if where.family == "ipv6" else AF_INET, socket_type)
    if where.family == "ipv6":
        sock.setsockopt(
            socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, where.address == "::" and not where.dual_stack
        )
    for option in options:
        sock.setsockopt(socket.SOL_SOCKET, option, 1)
    return sock


def really(where: BindAddress, option: BindOption, port: int, socket_type: int) -> bool:
    """Whether bind() works; if so, listen() does as well."""
    name = SOCKET_OPTIONS[option]
    with unbound(where, socket_type, *([getattr(socket, name)] if name else [])) as sock:
        try:
            sock.bind(socket.getaddrinfo(where.address, port)[0][4])  # which knows zones
        except OSError as error:
            if error.errno != errno.EADDRINUSE:
                raise
            return False
        if socket_type == SOCK_STREAM:
            sock.listen()
        return True
