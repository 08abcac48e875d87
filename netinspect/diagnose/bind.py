"""Whether bind() and listen() would work, told from the sockets that have the port already.

The rules are those of Linux: `inet_bind_conflict` (net/ipv4/inet_connection_sock.c),
`udp_lib_lport_inuse` (net/ipv4/udp.c) and `inet_rcv_saddr_equal`. They ask for the options of the
other socket too, which no table of the kernel tells; then the answer is None: it depends on them.
listen() looks for the same conflicts as bind(), and finds no others.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from msgspec import UNSET

from netinspect.model import Connection, Family
from netinspect.settings import Settings

BindOption = Literal["plain", "reuse_address", "reuse_port"]
# How a server may ask for its port: without an option, or with one of these
SOCKET_OPTIONS: dict[BindOption, str | None] = {
    "plain": None,
    "reuse_address": "SO_REUSEADDR",
    "reuse_port": "SO_REUSEPORT",
}
ANY_IPV4, ANY_IPV6 = "0.0.0.0", "::"
MAPPED = "::ffff:"
# The IPv4 address that the kernel gives to IPv6 sockets that have a peer: LOOPBACK4_IPV6 of
# include/linux/ipv6.h. It collides as any other, unless IPV6_V6ONLY is set.
LOOPBACK4_IPV6 = "127.0.0.6"
IN_USE = "EADDRINUSE"


class BindAddress(NamedTuple):
    """What a server binds to. `dual_stack` is for `::` alone: whether it takes IPv4 as well."""

    address: str
    dual_stack: bool = False

    @property
    def family(self) -> Family:
        """Of the socket."""
        return "ipv6" if ":" in self.address else "ipv4"

    @property
    def is_v6only(self) -> bool:
        """Whether IPV6_V6ONLY is set: with it bind() refuses v4-mapped addresses (EINVAL)."""
        return self.address == ANY_IPV6 and not self.dual_stack


EVERYWHERE = (
    # The dual-stack one comes first: see `sources.binding`.
    BindAddress(ANY_IPV6, dual_stack=True),
    BindAddress(ANY_IPV4),
    BindAddress(ANY_IPV6),
)


class Binder(NamedTuple):
    """Who would bind, and where; None is not known.

    `addresses` are those of the machine; `may_take_low_ports` is CAP_NET_BIND_SERVICE.
    """

    uid: int | None = None
    may_take_low_ports: bool | None = None
    addresses: frozenset[str] | None = None
    settings: Settings = Settings()
    has_linux_rules: bool = True


class Outcome(NamedTuple):
    """What bind() and listen() say; `works` None: that depends on what is not told."""

    works: bool | None
    error: str | None = None


class Reach(NamedTuple):
    """The address that a socket has in each family; None: none.

    `perhaps_ipv4` it has unless IPV6_V6ONLY is set on it, which is not told.
    """

    ipv4: str | None = None
    ipv6: str | None = None
    perhaps_ipv4: str | None = None


def reach(family: Family, address: str, dual_stack: bool | None, *, has_peer: bool) -> Reach:
    """Where a socket with this local address is met by others."""
    if family == "ipv4":
        return Reach(ipv4=address)
    if address.startswith(MAPPED):
        return Reach(ipv4=address.removeprefix(MAPPED))
    if address != ANY_IPV6:
        # To bind one IPv6 address sets IPV6_V6ONLY (__inet6_bind); to connect does not.
        return Reach(ipv6=address, perhaps_ipv4=LOOPBACK4_IPV6 if has_peer else None)
    if dual_stack is None:
        return Reach(ipv6=address, perhaps_ipv4=ANY_IPV4)
    return Reach(ipv6=address, ipv4=ANY_IPV4 if dual_stack else None)


def collides(ours: Reach, theirs: Reach) -> bool | None:
    """Whether two sockets with one port are in each other's way; None when that is not told."""
    if _is_same(ours.ipv4, theirs.ipv4) or _is_same(ours.ipv6, theirs.ipv6):
        return True
    return None if _is_same(ours.ipv4, theirs.perhaps_ipv4) else False


def _is_same(ours: str | None, theirs: str | None) -> bool:
    """Whether two addresses of one family are equal, or one of them is any."""
    if ours is None or theirs is None:
        return False
    return ours == theirs or ours in (ANY_IPV4, ANY_IPV6) or theirs in (ANY_IPV4, ANY_IPV6)


def conflicts(
    where: BindAddress, option: BindOption, other: Connection, binder: Binder
) -> bool | None:
    """Whether this socket alone lets bind() or listen() fail; None: its options decide."""
    if other.state == "SYN_RECV" or other.local_address is None:
        return False  # a request is not in the table of bound ports yet
    ours = reach(where.family, where.address, where.dual_stack, has_peer=False)
    met = collides(ours, reach_of(other))
    if not met:
        return met
    return _conflicts_by_option(option, other, binder)


def reach_of(connection: Connection) -> Reach:
    """Where a socket is met by others that want its port."""
    return reach(
        connection.family,
        connection.local_address or "",
        dual_stack_of(connection),
        has_peer=connection.remote_address is not None,
    )


def dual_stack_of(connection: Connection) -> bool | None:
    """Whether a socket on `::` takes IPv4 as well; None: that is not told, or it is on another."""
    if connection.local_address != ANY_IPV6:
        return None
    if connection.options and connection.options.v6only is not None:
        return not connection.options.v6only  # told of those that do not listen, too
    return None if connection.dual_stack is UNSET else connection.dual_stack


def _conflicts_by_option(option: BindOption, other: Connection, binder: Binder) -> bool | None:
    """Of two sockets that meet. What has an option has to find it on the other one as well."""
    if option == "plain":
        return True
    if not binder.has_linux_rules:
        return None
    if option == "reuse_address":
        return True if other.state == "LISTEN" else None
    # Sockets in TIME_WAIT are nobody's: of them the kernel does not compare the users.
    is_of_another = None not in (binder.uid, other.uid) and binder.uid != other.uid
    return True if is_of_another else None


def refusal(where: BindAddress, port: int, binder: Binder) -> str | None:
    """Why bind() would not even look for conflicts: EADDRNOTAVAIL, EACCES; None: it would look."""
    lowest = binder.settings.unprivileged_port_start
    if lowest is not None and port < lowest and binder.may_take_low_ports is False:
        return "EACCES"
    return "EADDRNOTAVAIL" if is_elsewhere(where, binder) else None


def is_elsewhere(where: BindAddress, binder: Binder) -> bool:
    """Whether it is no address of this machine: all of 127.0.0.0/8 is, and what means many."""
    if binder.addresses is None or where.address in (ANY_IPV4, ANY_IPV6):
        return False
    text = where.address.removeprefix(MAPPED)
    is_local = text.startswith("127.") or text in binder.addresses
    return not is_local and not _is_for_many(text)


def _is_for_many(address: str) -> bool:
    """Multicast and the broadcast to all: bind() takes them without asking an interface."""
    if ":" in address:
        return address.startswith("ff")
    return address == "255.255.255.255" or 224 <= int(address.partition(".")[0]) < 240


def predict(
    where: BindAddress,
    option: BindOption,
    port: int,
    others: Iterable[Connection],
    binder: Binder,
) -> Outcome:
    """What bind() and listen() would say, as far as the tables tell."""
    refused = refusal(where, port, binder)
    if refused:
        return Outcome(works=False, error=refused)
    found = {conflicts(where, option, other, binder) for other in others}
    if option == "reuse_port" and None in found:
        # One that shares the port is proof enough: others are not looked at (sk_reuseport_match;
        # UDP ends its search there).
        return Outcome(works=None)
    if True in found:
        return Outcome(works=False, error=IN_USE)
    return Outcome(works=None if None in found else True)
