"""Addresses and networks, IPv4 and IPv6."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Iterable
from contextlib import suppress
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Literal

from netinspect.addresses import needs_zone
from netinspect.errors import UsageError
from netinspect.query import Network

MAPPED_PREFIX = b"\0" * 10 + b"\xff\xff"


def parse_networks(words: Iterable[str], side: Literal["local", "remote"]) -> list[Network]:
    """The network of each word: `10.0.0.1`, `10.0.0.0/8`, `::1`, `[::1]`, `fe80::1%eth0`.

    :raises UsageError: a word is no address and no network.
    """
    return [_parse_network(word, side) for word in words]


def _parse_network(word: str, side: Literal["local", "remote"]) -> Network:
    host, slash, length = word.partition("/")
    host, _, zone = host.strip().removeprefix("[").removesuffix("]").partition("%")
    try:
        network = ipaddress.ip_network(f"{host}{slash}{length}", strict=False)
    except ValueError:
        raise UsageError(
            f"address {word!r}: expected an IPv4 or IPv6 address, or a network such as "
            f"10.0.0.0/8 or 2001:db8::/32{_prefix_hint(host, slash, length)}"
        ) from None
    if "%" in zone:
        raise UsageError(f"address {word!r}: expected one zone, found {zone!r}")
    return Network(side, network.network_address.packed, network.prefixlen, zone or None)


def device_of(network: Network) -> str | None:
    """The device that ss prints behind a local address that needs no zone: `127.0.0.1%lo`."""
    family = AF_INET if len(network.packed) == 4 else AF_INET6
    return None if needs_zone(inet_ntop(family, network.packed)) else network.zone


def _zone_names(zone: str) -> frozenset[str]:
    """The zone as it was written, and the name that an interface of this number has here.

    RFC 4007, section 11.2. Windows prints the numbers, also in captures.
    """
    names = {zone}
    if zone.isascii() and zone.isdecimal():
        with suppress(OSError, OverflowError, AttributeError):  # not each system has it
            names.add(socket.if_indextoname(int(zone)))
    return frozenset(names)


def parse_address(word: str) -> str:
    """One address as the record has it: `10.0.0.1`, `::1`, `fe80::1%eth0`.

    :raises UsageError: it is none.
    """
    host, _, zone = word.strip().removeprefix("[").removesuffix("]").partition("%")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        raise UsageError(
            f"address {word!r}: expected one IPv4 or IPv6 address, as 127.0.0.1 or ::1; names are "
            "not looked up"
        ) from None
    if address.is_link_local and address.version == 6 and not zone:
        raise UsageError(f"address {word!r}: expected its interface too, as {host}%eth0")
    family = AF_INET if address.version == 4 else AF_INET6
    text = inet_ntop(family, address.packed)  # ::ffff:10.0.0.1, as str() has it only in new Pythons
    return f"{text}%{zone}" if zone else text


def _prefix_hint(host: str, slash: str, length: str) -> str:
    """What is wrong with the part behind the slash, when the part before it is right."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return ""
    if not slash:
        return ""
    return f"; a prefix length here is 0 to {address.max_prefixlen}, found {length!r}"


class InNetwork(dict["str | None", bool]):
    """Whether an address, as the record has it, lies in one of the networks; each judged once."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self.networks = tuple(networks)
        self._zones = [network.zone and _zone_names(network.zone) for network in self.networks]

    def __missing__(self, address: str | None) -> bool:
        self[address] = verdict = address is not None and self._holds(address)
        return verdict

    def _holds(self, address: str) -> bool:
        text, _, zone = address.partition("%")
        try:
            packed = ipaddress.ip_address(text).packed
        except ValueError:  # the path of a unix socket
            return False
        return any(
            _has_prefix(packed, network) and (zones is None or zone in zones)
            for network, zones in zip(self.networks, self._zones, strict=True)
        )


def _has_prefix(packed: bytes, network: Network) -> bool:
    if len(packed) == 16 and len(network.packed) == 4 and packed.startswith(MAPPED_PREFIX):
        packed = packed[12:]
    if len(packed) != len(network.packed):
        return False
    shift = 8 * len(packed) - network.prefix_length
    return int.from_bytes(packed, "big") >> shift == int.from_bytes(network.packed, "big") >> shift
