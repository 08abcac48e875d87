"""The cells of what ss prints: kinds and states, addresses with their interface, columns."""

from __future__ import annotations

import re
from typing import NamedTuple

from netinspect.addresses import needs_zone
from netinspect.errors import CellError
from netinspect.model import Family, Protocol, SocketType, State, Table
from netinspect.parse.address import MOST_REMEMBERED
from netinspect.parse.captured import captured_name
from netinspect.parse.cells import Addresses, States

INET: dict[str, Protocol] = {
    "tcp": "tcp",
    "udp": "udp",
    "raw": "raw",
    "udplite": "udplite",
    "sctp": "sctp",
    "mptcp": "mptcp",
    "icmp": "icmp",
    "icmp6": "icmp",
}
UNIX: dict[str, SocketType] = {"u_str": "stream", "u_dgr": "dgram", "u_seq": "seqpacket"}
OTHERS: dict[str, tuple[Table, SocketType]] = {
    "nl": (Table("netlink", "netlink"), "dgram"),
    "p_raw": (Table("packet", "packet"), "raw"),
    "p_dgr": (Table("packet", "packet"), "dgram"),
    "v_str": (Table("vsock", "vsock"), "stream"),
    "v_dgr": (Table("vsock", "vsock"), "dgram"),
}
NETIDS = frozenset((*INET, *UNIX, *OTHERS))
STATES = States(
    {
        "ESTAB": "ESTABLISHED",
        "SYN-SENT": "SYN_SENT",
        "SYN-RECV": "SYN_RECV",
        "NEW-SYN-RECV": "SYN_RECV",
        "FIN-WAIT-1": "FIN_WAIT1",
        "FIN-WAIT-2": "FIN_WAIT2",
        "TIME-WAIT": "TIME_WAIT",
        "UNCONN": "UNCONN",
        "CLOSE-WAIT": "CLOSE_WAIT",
        "LAST-ACK": "LAST_ACK",
        "LISTEN": "LISTEN",
        "CLOSING": "CLOSING",
        "BOUND-INACTIVE": "BOUND",
        "UNKNOWN": "UNKNOWN",
    }
)
# A path has 108 bytes at the most (unix(7)):
# u_str LISTEN 0 4096 /run/a b 31337 * 0 users:(("a",pid=1,fd=3))
BEHIND_UNIX = r" *((?:users:|timer:|uid:|ino:|sk:|skmem:|peers:|cgroup:|[<-]-[->]).*)?"
# Old ones have the path of the peer as well.
UNIX_ENDS = (
    re.compile(r"(.{0,128}?) (\d{1,19}) +([*?]) (\d{1,19})" + BEHIND_UNIX),
    re.compile(r"(.{0,128}?) (\d{1,19}) +(\S.{0,128}?) (\d{1,19})" + BEHIND_UNIX),
)


class Host(NamedTuple):
    """What stands before the port."""

    address: str
    family: Family
    interface: str | None
    is_star: bool


class Hosts(dict[str, Host]):
    """`127.0.0.1`, `[::1]`, `[fe80::1]%eth0`, `0.0.0.0%lo`, `*`.

    :param star: what * is: of ss before iproute2 4.16 the IPv4 wildcard, and :: that of IPv6;
        later that of IPv6 which takes IPv4 as well.
    """

    def __init__(self, star: Host) -> None:
        self.addresses = Addresses()
        self["*"] = star

    def __missing__(self, text: str) -> Host:
        named = self.addresses.named
        host, _, interface = text.partition("%")
        inner = host[1:-1] if host[:1] == "[" else host
        address = self.addresses[inner]
        family: Family = "ipv6" if ":" in inner else "ipv4"
        zone = captured_name(interface) or None
        if zone and needs_zone(address):
            address = f"{address}%{zone}"
        found = Host(address, family, zone, is_star=False)
        if named == self.addresses.named and len(self) < MOST_REMEMBERED:
            self[text] = found
        return found


OLD_STAR = Host("0.0.0.0", "ipv4", None, is_star=False)
NEW_STAR = Host("::", "ipv6", None, is_star=True)


def row_columns(rest: str) -> tuple[State, str, str, str, str, str]:
    """State, queues, both ends, and what stands behind them."""
    fields = rest.split(None, 5)
    if fields and fields[0].isdecimal():
        fields = ["UNKNOWN", *rest.split(None, 4)]
    if len(fields) < 5:
        raise CellError(fields[-1] if fields else rest, "a state, two queues and two addresses")
    state, recv_q, send_q, local, remote, *behind = fields
    return STATES[state], recv_q, send_q, local, remote, behind[0] if behind else ""


def first_columns(rest: str) -> tuple[State, str, str, str]:
    """State, queues, and all that stands behind them."""
    fields = rest.split(None, 3)
    if fields and fields[0].isdecimal():
        fields = ["UNKNOWN", *rest.split(None, 2)]
    if len(fields) < 4:
        raise CellError(fields[-1] if fields else rest, "a state, two queues and two addresses")
    return STATES[fields[0]], fields[1], fields[2], fields[3]


def zoned(address: str, interface: str | None) -> str:
    """The zone of the peer is that of the socket: ss prints it once."""
    if interface and "%" not in address and needs_zone(address):
        return f"{address}%{interface}"
    return address
