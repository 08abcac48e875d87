"""Asking the kernel itself whether a port can be bound.

bind() is really called, and the socket closed at once. Nobody notices but who wants the same port
in these microseconds. What would be noticed is not done:

- No listen(): a listener would take, or lose, the connection that comes just then. It has nothing
  more to tell: Linux looks for the same conflicts again, and what has become bound listens.
- Where a plain bind() works the others are not tried: there is nobody whom they could mind.
- A UDP socket is tried without options only. With SO_REUSEADDR or SO_REUSEPORT it would take
  datagrams of the other one from bind() on; without it succeeds only where there is none.

After a bind() with SO_REUSEPORT the kernel takes its address for proven free of conflicts, and
0.0.0.0 for proof of `::` as well (sk_reuseport_match, net/ipv4/inet_connection_sock.c). Therefore
`::` with both families has to be tried before the others.
"""

from __future__ import annotations

import errno
import os
import socket
import sys

from netinspect.errors import ParseError
from netinspect.model import Family, Protocol
from netinspect.parse.proc_pid import parse_effective_capabilities

# Windows lets SO_REUSEADDR take a port away from its owner.
CAN_TRY = sys.platform != "win32"
CAP_NET_BIND_SERVICE = 10  # linux/capability.h
FAMILIES = {"ipv4": socket.AF_INET, "ipv6": socket.AF_INET6}


def try_bind(
    address: str, port: int, protocol: Protocol, option: str | None = None, *, v6only: bool = False
) -> str | None:
    """The error of bind(), as `EADDRINUSE`; None when it works.

    :param option: SO_REUSEADDR or SO_REUSEPORT.
    :param v6only: for an IPv6 address: it takes no IPv4.
    """
    is_ipv6 = ":" in address
    kind = socket.SOCK_DGRAM if protocol == "udp" else socket.SOCK_STREAM
    try:
        with socket.socket(socket.AF_INET6 if is_ipv6 else socket.AF_INET, kind) as sock:
            if is_ipv6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
            if option:
                sock.setsockopt(socket.SOL_SOCKET, getattr(socket, option), 1)
            sock.bind(_name(address, port))
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, "an error without a name")
    return None


def _name(address: str, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
    """The address as bind() takes it.

    :raises OSError: there is no interface of this name.
    """
    host, _, zone = address.partition("%")
    if not zone:
        return host, port
    try:
        return host, port, 0, socket.if_nametoindex(zone)
    except OSError:  # without a number
        raise OSError(errno.ENODEV, zone) from None


def has_family(family: Family) -> bool:
    """Whether there are sockets of it here."""
    try:
        socket.socket(FAMILIES[family], socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


def local_addresses() -> frozenset[str]:
    """The addresses of the interfaces that are up, as the record has them: `fe80::1%eth0`."""
    import psutil  # only this question needs it

    states = psutil.net_if_stats()
    return frozenset(
        address.address
        for name, addresses in psutil.net_if_addrs().items()
        for address in addresses
        if address.family in FAMILIES.values() and states[name].isup
    )


def may_take_low_ports(root: str = "/proc") -> bool:
    """Whether this process has CAP_NET_BIND_SERVICE; where there are no capabilities, is root."""
    try:
        with open(f"{root}/self/status", "rb") as file:
            return bool(parse_effective_capabilities(file.read()) >> CAP_NET_BIND_SERVICE & 1)
    except (OSError, ParseError):
        return hasattr(os, "geteuid") and os.geteuid() == 0
