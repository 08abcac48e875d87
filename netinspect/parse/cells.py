"""The cells of a row that Linux tools print: addresses, ports, numbers, each converted once.

Every one is a dictionary that converts what it does not have yet and raises `CellError` for what
cannot stand there, so that a row takes no more than a few look-ups.
"""

from __future__ import annotations

import re
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import NamedTuple

from netinspect.errors import CellError
from netinspect.model import Exposure, Family, Protocol, SocketType, State, Table
from netinspect.parse.address import MOST_REMEMBERED
from netinspect.parse.inet_records import EXPOSURE_OF
from netinspect.query import HIGHEST_PORT

# What a resolver may answer, and what netstat and ss cut it down to
HOST_NAME = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,253}[A-Za-z0-9_.-])?", re.ASCII)
# RFC 6335 section 5.1, and the underscores, dots and signs that services(5) has besides
SERVICE_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9_.+/-]{0,63})", re.ASCII)
LONGEST_NUMBER = 19  # digits: what JSON takes has 64 bits

SOCKET_TYPES: dict[Protocol, SocketType] = {
    "tcp": "stream",
    "mptcp": "stream",
    "sctp": "seqpacket",
    "udp": "dgram",
    "udplite": "dgram",
    "icmp": "dgram",
    "raw": "raw",
}
# Of these a listener is in LISTEN, of others in UNCONN.
WITH_LISTEN: frozenset[Protocol] = frozenset({"tcp", "mptcp", "sctp"})
# In these a socket has no peer, whatever stands in its place.
PEERLESS: frozenset[State] = frozenset({"LISTEN", "CLOSE", "UNCONN", "BOUND"})
# In these no process holds the socket.
OWNERLESS: frozenset[State] = frozenset({"TIME_WAIT", "SYN_RECV"})


class Kind(NamedTuple):
    """What the first word of a row says."""

    table: Table
    socket_type: SocketType


def kind(protocol: Protocol, family: Family) -> Kind:
    """The kind of an Internet socket."""
    return Kind(Table(protocol, family), SOCKET_TYPES[protocol])


class Addresses(dict[str, str]):
    """Canonical text of an address; a name stays what it is, and is counted in `named`.

    >>> Addresses()["2001:DB8::0:1"]
    '2001:db8::1'
    """

    def __init__(self) -> None:
        self.named = 0

    def __missing__(self, text: str) -> str:
        address = canonical_address(text)
        if address is None:
            if not HOST_NAME.fullmatch(text):
                raise CellError(text, "an address such as 127.0.0.1 or ::1")
            self.named += 1
            return text
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        self[text] = address
        return address


def canonical_address(text: str) -> str | None:
    """RFC 5952 text, with the zone; None when it is no address.

    >>> canonical_address("FE80::0001%eth0"), canonical_address("localhost")
    ('fe80::1%eth0', None)
    """
    try:
        if ":" not in text:
            inet_pton(AF_INET, text)  # no libc takes leading zeros: it is canonical
            return text
        host, percent, zone = text.partition("%")
        address = inet_ntop(AF_INET6, inet_pton(AF_INET6, host))
    except (OSError, ValueError):  # the latter for what is not ASCII, or has a NUL
        return None
    return None if percent and not zone.isprintable() else address + percent + zone


class Ports(dict[str, "int | None"]):
    """The number of a port; None for a service name, which is counted in `named`."""

    def __init__(self) -> None:
        self.named = 0
        self["*"] = 0

    def __missing__(self, text: str) -> int | None:
        if text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER:
            port = int(text)
            if port > HIGHEST_PORT:
                raise CellError(text, f"a port from 0 to {HIGHEST_PORT}")
            self[text] = port
            return port
        if not SERVICE_NAME.fullmatch(text):
            raise CellError(text, "a port such as 443")
        self.named += 1
        return None


class Numbers(dict[str, int]):
    """Numbers; those that are not small are converted each time.

    :param what: what it is the number of, for the error.
    """

    def __init__(self, what: str) -> None:
        self._what = what
        self["0"] = 0

    def __missing__(self, text: str) -> int:
        if not (text.isascii() and text.isdecimal() and len(text) <= LONGEST_NUMBER):
            raise CellError(text, f"a number: {self._what}")
        number = int(text)
        if number < MOST_REMEMBERED:
            self[text] = number
        return number


class States(dict[str, State]):
    """Our name of a state by the tool's."""

    def __missing__(self, text: str) -> State:
        raise CellError(text, "a state such as ESTABLISHED")


def split_endpoint(cell: str) -> tuple[str, str]:
    """Host and port of `127.0.0.1:80`, `[::1]:80`, `:::80`, each as it stands there."""
    host, colon, port = cell.rpartition(":")
    if not colon:
        raise CellError(cell, "an address and a port such as 127.0.0.1:80")
    return host, port


def exposure_of(address: str, state: State, protocol: Protocol) -> Exposure | None:
    """From where a listener on this address can be reached; None for other sockets, and names."""
    if state != ("LISTEN" if protocol in WITH_LISTEN else "UNCONN"):
        return None
    try:
        return EXPOSURE_OF[address]
    except ValueError:
        return None
