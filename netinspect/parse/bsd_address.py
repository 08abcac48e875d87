"""Addresses as the netstat of macOS and the BSDs prints them: the host, a dot, the port.

The last dot is the separator, also for IPv6; `*` stands for the unspecified address and for port 0:

    127.0.0.1.25     *.22     *.*     ::1.631     fe80::1%lo0.8021     ::ffff:10.0.0.1.443

Without an option for width an IPv6 host is cut to 16 characters, and a port is a name without -n.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from netinspect.errors import CellError
from netinspect.model import Family, State
from netinspect.parse.address import MOST_REMEMBERED
from netinspect.parse.cells import HOST_NAME, SERVICE_NAME, canonical_address
from netinspect.query import HIGHEST_PORT

CUT_HOST = 16
# What is left of a cut address where a name would not do
ADDRESS_CHARACTERS = "0123456789abcdefABCDEF:."
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

Remark = Literal["truncated_address", "names_not_numeric"]


class Endpoint(NamedTuple):
    """One end of a socket.

    :param address: as the record has it; a name, or what is left of an address, as it was printed.
    :param port: None where it is a name; 0 where there is none.
    :param remark: a code of `captured.REMARKS`: what is not as it should be.
    """

    address: str
    port: int | None
    remark: Remark | None = None

    @property
    def is_unset(self) -> bool:
        """Whether it is `*.*`: a remote end like this is no peer."""
        return self.port == 0 and self.address in WILDCARDS.values()


class Host(NamedTuple):
    """The address of an endpoint, and what is not as it should be of it."""

    address: str
    remark: Remark | None


class Ports(dict[str, "int | None"]):
    """Ports by their text; None for the name of a service."""

    def __missing__(self, text: str) -> int | None:
        port = parse_port(text)
        if port is not None:
            self[text] = port
        return port


PORTS = Ports()


class Endpoints(dict[str, Endpoint]):
    """Endpoints of one family by their text, each read once; so are their hosts and ports.

    A text that is none raises `CellError`.

    :param is_wide: whether hosts are whole: netstat had -W (FreeBSD), -v (OpenBSD, NetBSD) or -l
        (macOS).
    :param separator: what stands before the port: other tools have a colon.
    """

    def __init__(
        self, family: Literal["ipv4", "ipv6"], *, is_wide: bool = False, separator: str = "."
    ) -> None:
        self._family: Literal["ipv4", "ipv6"] = family
        self._is_wide = is_wide
        self.separator = separator
        self._hosts: dict[str, Host] = {}

    def __missing__(self, text: str) -> Endpoint:
        host, separator, port = text.rpartition(self.separator)
        if not separator:
            raise CellError(text, f"an address and a port such as 127.0.0.1{self.separator}25")
        address, remark = self._hosts.get(host) or self._host(host)
        number = PORTS[port]
        if number is None and remark is None:
            remark = "names_not_numeric"
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        endpoint = self[text] = Endpoint(address, number, remark)
        return endpoint

    def _host(self, text: str) -> Host:
        address = self._address(text)
        remark: Remark | None = None
        if self._is_cut(text, address):
            remark = "truncated_address"
        elif address is None:
            if not HOST_NAME.fullmatch(text):
                raise CellError(text, "an address such as 127.0.0.1 or ::1")
            remark = "names_not_numeric"
        if len(self._hosts) >= MOST_REMEMBERED:
            self._hosts.clear()
        host = self._hosts[text] = Host(address or text, remark)
        return host

    def _address(self, host: str) -> str | None:
        """The address in its canonical form; None for what is no address of this family."""
        if host == "*":
            return WILDCARDS[self._family]
        address = canonical_address(host)
        if address is None or (":" in address) == (self._family == "ipv6"):
            return address
        return f"::ffff:{address}" if self._family == "ipv6" else None

    def _is_cut(self, host: str, address: str | None) -> bool:
        """Whether it may be all that was left of 16 characters and more."""
        if self._is_wide or self._family == "ipv4" or ":" not in host or not host.isprintable():
            return False
        return len(host) == CUT_HOST or (address is None and host.rstrip(ADDRESS_CHARACTERS) == "")


def endpoints_by_family(*, is_wide: bool, separator: str = ".") -> dict[Family, Endpoints]:
    """What reads the endpoints of each family, see `Endpoints`."""
    return {
        "ipv4": Endpoints("ipv4", is_wide=is_wide, separator=separator),
        "ipv6": Endpoints("ipv6", is_wide=is_wide, separator=separator),
    }


def without_brackets(endpoint: str) -> str:
    """`[::1]:22` as `::1:22`."""
    return endpoint[1:].replace("]", "", 1) if endpoint.startswith("[") else endpoint


def parse_port(text: str) -> int | None:
    """A port, 0 for `*`; None for the name of a service."""
    if text == "*":
        return 0
    if text.isascii() and text.isdecimal():
        if len(text) > 5 or int(text) > HIGHEST_PORT:
            raise CellError(text, f"a port from 0 to {HIGHEST_PORT}")
        return int(text)
    if not SERVICE_NAME.fullmatch(text):
        raise CellError(text, "a port such as 443")
    return None
