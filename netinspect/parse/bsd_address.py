"""Addresses as the netstat of macOS and the BSDs prints them: the host, a dot, the port.

The last dot is the separator, also for IPv6; `*` stands for the unspecified address and for port 0:

    127.0.0.1.25     *.22     *.*     ::1.631     fe80::1%lo0.8021     ::ffff:10.0.0.1.443

Without an option for width an IPv6 host is cut to 16 characters, and a port is a name without -n.
"""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Literal, NamedTuple

from netinspect.model import State
from netinspect.parse.captured import captured_name

CUT_HOST = 16
MOST_REMEMBERED = 1 << 13
WILDCARDS = {"ipv4": "0.0.0.0", "ipv6": "::"}

# sys/netinet/tcp_fsm.h of all BSDs, and the short forms of NetBSD's `netstat -An`
TCP_STATES: dict[str, State] = {
    "CLOSED": "CLOSE",
    "LISTEN": "LISTEN",
    "SYN_SENT": "SYN_SENT",
    "SYN_RCVD": "SYN_RECV",
    "ESTABLISHED": "ESTABLISHED",
    "CLOSE_WAIT": "CLOSE_WAIT",
    "FIN_WAIT_1": "FIN_WAIT1",
    "CLOSING": "CLOSING",
    "LAST_ACK": "LAST_ACK",
    "FIN_WAIT_2": "FIN_WAIT2",
    "TIME_WAIT": "TIME_WAIT",
    "SYNSEN": "SYN_SENT",
    "SYSRCV": "SYN_RECV",
    "ESTABL": "ESTABLISHED",
    "CLWAIT": "CLOSE_WAIT",
    "FWAIT1": "FIN_WAIT1",
    "CLOSNG": "CLOSING",
    "LASTAK": "LAST_ACK",
    "FWAIT2": "FIN_WAIT2",
    "TMWAIT": "TIME_WAIT",
}


class Endpoint(NamedTuple):
    """One end of a socket.

    :param address: as the record has it; a name, or what is left of an address, as it was printed.
    :param port: None where it is a name.
    :param remark: a code of `captured.REMARKS`: what is not as it should be.
    """

    address: str
    port: int | None
    remark: Literal["truncated_address", "names_not_numeric"] | None = None

    @property
    def is_unset(self) -> bool:
        """Whether it is `*.*`: of the remote end there is no peer then."""
        return self.port == 0 and self.address in WILDCARDS.values()


class Endpoints(dict[str, "Endpoint | None"]):
    """Endpoints of one family by their text, each read once; None for what is none.

    :param is_wide: whether hosts are whole: netstat had -W (FreeBSD), -v (OpenBSD, NetBSD) or -l
        (macOS).
    :param separator: what stands before the port; sockstat has a colon.
    """

    def __init__(
        self, family: Literal["ipv4", "ipv6"], *, is_wide: bool = False, separator: str = "."
    ) -> None:
        self._family: Literal["ipv4", "ipv6"] = family
        self._is_wide = is_wide
        self._separator = separator

    def __missing__(self, text: str) -> Endpoint | None:
        host, separator, port = text.rpartition(self._separator)
        endpoint = self._endpoint(host, port) if separator and host and port else None
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        self[text] = endpoint
        return endpoint

    def _endpoint(self, host: str, port: str) -> Endpoint:
        number = parse_port(port)
        address = self._address(host)
        remark: Literal["truncated_address", "names_not_numeric"] | None = None
        if self._is_cut(host, address):
            remark = "truncated_address"
        elif address is None or number is None:
            remark = "names_not_numeric"
        return Endpoint(captured_name(host) if address is None else address, number, remark)

    def _address(self, host: str) -> str | None:
        """The address in its canonical form; None for what is no address."""
        if host == "*":
            return WILDCARDS[self._family]
        if self._family == "ipv4":
            return host if is_ipv4(host) else None
        return canonical_ipv6(host)

    def _is_cut(self, host: str, address: str | None) -> bool:
        if self._family == "ipv4" or self._is_wide or ":" not in host:
            return False
        return address is None or len(host) == CUT_HOST


def parse_port(text: str) -> int | None:
    """A port, 0 for `*`; None for what is no number up to 65535."""
    if text == "*":
        return 0
    is_number = text.isascii() and text.isdecimal() and len(text) <= 5
    port = int(text) if is_number else None
    return port if port is not None and port < 1 << 16 else None


def is_ipv4(text: str) -> bool:
    """Whether this is an IPv4 address of four numbers."""
    try:
        inet_pton(AF_INET, text)
    except (OSError, ValueError):
        return False
    return True


def canonical_ipv6(text: str) -> str | None:
    """An IPv6 address in the form of RFC 5952, with its zone; an IPv4 address as v4-mapped.

    >>> canonical_ipv6("FE80:0::1%em0"), canonical_ipv6("10.0.0.1"), canonical_ipv6("localhost")
    ('fe80::1%em0', '::ffff:10.0.0.1', None)
    """
    host, percent, zone = text.partition("%")
    try:
        packed = inet_pton(AF_INET6, host if ":" in host else f"::ffff:{host}")
    except (OSError, ValueError):
        return None
    return inet_ntop(AF_INET6, packed) + percent + captured_name(zone)
