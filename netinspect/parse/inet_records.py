"""Records from the unpacked messages of sock_diag: the hot path of every listing.

A column at a time. What only some sockets have (a zone, a timer, no peer, no inode) is looked for
in the whole column first, through C, and only then row by row.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from socket import AF_INET
from typing import Any, NamedTuple

from netinspect.addresses import needs_zone
from netinspect.model import Connection, Exposure, Family, OwnerStatus, Protocol, State, Timer
from netinspect.parse.address import AddressText, ExposureOf
from netinspect.parse.inet_numbers import (
    CLOSE,
    DATAGRAM_STATES,
    LISTEN,
    PEERLESS,
    SOCKET_TYPES,
    TCP_STATES,
    TIMER_KINDS,
    closed_state,
)

IPV4 = int(AF_INET)
IPV4_TEXT, IPV6_TEXT = AddressText("ipv4"), AddressText("ipv6")
EXPOSURE_OF = ExposureOf()
NOTHING = repeat(None)


class Names(NamedTuple):
    """What turns the kernel's numbers into names; a number without a name gives None."""

    user: Mapping[int, str | None]
    interface: Mapping[int, str]


def host_ports() -> array[int]:
    """A port in network byte order, read as a number of this machine's, to its value.

    Made of bytes, because of 65,536 numbers it takes 3 ms of every start.
    """
    ports = bytearray(2 << 16)
    ports[0::2] = b"".join(bytes([high]) * 256 for high in range(256))
    ports[1::2] = bytes(range(256)) * 256
    return array("H", bytes(ports))


HOST_PORT = host_ports()
# A raw socket has its IP protocol there.
NO_PORT: Sequence[int | None] = [None] * (1 << 16)


class Columns(NamedTuple):
    """The fixed part of many messages, a sequence for each field."""

    families: Sequence[int]
    states: Sequence[int]
    timers: Sequence[int]
    retransmits: Sequence[int]
    local_ports: Sequence[int]
    remote_ports: Sequence[int]
    local_addresses: Sequence[bytes]
    remote_addresses: Sequence[bytes]
    interfaces: Sequence[int]
    cookies: Sequence[int]
    expiries_ms: Sequence[int]
    recv_qs: Sequence[int]
    send_qs: Sequence[int]
    uids: Sequence[int]
    inodes: Sequence[int]


def connections(columns: Columns, protocol: Protocol, names: Names) -> list[Connection]:
    """The record of each socket, in the order of the columns."""
    ports = NO_PORT if protocol == "raw" else HOST_PORT
    has_peer = _has_peer(columns.states)
    interfaces = _interfaces(columns.interfaces, names.interface)
    local = _addresses(columns.families, columns.local_addresses, interfaces)
    remote = _addresses(columns.families, columns.remote_addresses, interfaces)
    uids, users = _users(columns, names.user)
    return list(
        map(
            Connection,
            repeat(protocol),
            _families(columns.families),
            repeat(SOCKET_TYPES[protocol]),
            _states(columns, protocol),
            local,
            _only(remote, has_peer),
            map(ports.__getitem__, columns.local_ports),
            _only(map(ports.__getitem__, columns.remote_ports), has_peer),
            NOTHING,
            interfaces or NOTHING,
            columns.recv_qs,
            columns.send_qs,
            uids,
            users,
            _none_for_0(columns.inodes),
            _none_for_0(columns.cookies),
            NOTHING,
            NOTHING,
            repeat(()),
            _owner_statuses(columns.inodes),
            _timers(columns),
            NOTHING,
            NOTHING,
            NOTHING if has_peer is None else _exposures(columns.states, protocol, local),
        )
    )


def _has_peer(states: Sequence[int]) -> list[bool] | None:
    """None: all of them have."""
    if PEERLESS.isdisjoint(states):
        return None
    return [state not in PEERLESS for state in states]


def _only(values: Iterable[Any], has_peer: list[bool] | None) -> Iterable[Any]:
    """The values, None for sockets without a peer."""
    if has_peer is None:
        return values
    return [value if is_peer else None for value, is_peer in zip(values, has_peer, strict=True)]


def _families(numbers: Sequence[int]) -> Iterable[Family]:
    if numbers.count(IPV4) == len(numbers):
        return repeat("ipv4")
    return ["ipv4" if number == IPV4 else "ipv6" for number in numbers]


def _interfaces(indexes: Sequence[int], names: Mapping[int, str]) -> list[str | None] | None:
    """None: none of them is bound to one."""
    if not any(indexes):
        return None
    return [names[index] if index else None for index in indexes]


def _addresses(
    families: Sequence[int], packed: Sequence[bytes], interfaces: list[str | None] | None
) -> list[str]:
    if families.count(IPV4) == len(families):
        addresses = list(map(IPV4_TEXT.__getitem__, packed))
    else:
        addresses = [
            IPV4_TEXT[address] if family == IPV4 else IPV6_TEXT[address]
            for family, address in zip(families, packed, strict=True)
        ]
    if interfaces is None:
        return addresses
    return [_zoned(text, zone) for text, zone in zip(addresses, interfaces, strict=True)]


def _zoned(address: str, interface: str | None) -> str:
    return f"{address}%{interface}" if interface and needs_zone(address) else address


def _states(columns: Columns, protocol: Protocol) -> Iterable[State | None]:
    names: Sequence[State | None] = TCP_STATES if protocol == "tcp" else DATAGRAM_STATES
    if CLOSE not in columns.states:
        return map(names.__getitem__, columns.states)
    return [
        names[number] or closed_state(port)
        for number, port in zip(columns.states, columns.local_ports, strict=True)
    ]


def _users(
    columns: Columns, names: Mapping[int, str | None]
) -> tuple[Iterable[int | None], Iterable[str | None]]:
    """Uid and user. A minisocket has inode 0 and uid 0: it is nobody's, not root's."""
    uids: Sequence[int | None] = columns.uids
    if 0 in columns.inodes:
        uids = [
            uid if uid or inode else None
            for uid, inode in zip(columns.uids, columns.inodes, strict=True)
        ]
    if len(set(uids)) == 1 and uids[0] is not None:
        return uids, repeat(names[uids[0]])
    return uids, [None if uid is None else names[uid] for uid in uids]


def _none_for_0(numbers: Sequence[int]) -> Iterable[int | None]:
    return [number or None for number in numbers] if 0 in numbers else numbers


def _owner_statuses(inodes: Sequence[int]) -> Iterable[OwnerStatus]:
    if 0 not in inodes:
        return repeat("not_requested")
    return ["not_requested" if inode else "none" for inode in inodes]


def _timers(columns: Columns) -> Iterable[Timer | None]:
    if not any(columns.timers):
        return NOTHING
    return [
        Timer(TIMER_KINDS[kind], expires_ms, retransmits) if kind in TIMER_KINDS else None
        for kind, expires_ms, retransmits in zip(
            columns.timers, columns.expiries_ms, columns.retransmits, strict=True
        )
    ]


def _exposures(
    states: Sequence[int], protocol: Protocol, local: Sequence[str]
) -> list[Exposure | None]:
    listening = LISTEN if protocol == "tcp" else CLOSE
    return [
        EXPOSURE_OF[address] if state == listening else None
        for state, address in zip(states, local, strict=True)
    ]
