"""Addresses: from packed bytes to canonical text, and what can reach them."""

from __future__ import annotations

import ipaddress
from socket import AF_INET, AF_INET6, inet_ntop
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from netinspect.model import Exposure

# 100.64.0.0/10: carrier-grade NAT (RFC 6598) is as little public as RFC 1918 is
SHARED_SPACE = ipaddress.ip_network("100.64.0.0/10")

MOST_REMEMBERED = 1 << 15


class AddressText(dict[bytes, str]):
    """Canonical text of the 16-byte address fields of sock_diag, each converted once.

    It forgets them all when there are too many: a server on the Internet may have as many peers as
    sockets, and then remembering them costs memory and saves nothing.
    IPv4 uses the first 4 of the 16 bytes (struct inet_diag_sockid, linux/inet_diag.h).
    """

    def __init__(self, family: Literal["ipv4", "ipv6"]) -> None:
        self.family: Literal["ipv4", "ipv6"] = family

    def __missing__(self, packed: bytes) -> str:
        text = (
            inet_ntop(AF_INET, packed[:4]) if self.family == "ipv4" else inet_ntop(AF_INET6, packed)
        )
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        self[packed] = text
        return text


def needs_zone(address: str) -> bool:
    """Whether the address says nothing without its link: fe80::/10, ff01::/16 and ff02::/16.

    RFC 4007 section 6: link-local and interface-local scope.
    """
    return address[:3] in ("fe8", "fe9", "fea", "feb") or address[:4] in ("ff01", "ff02")


class ExposureOf(dict[str, "Exposure"]):
    """From where a listener on this address can be reached, each address judged once."""

    def __missing__(self, address: str) -> Exposure:
        exposure = _judge(address)
        self[address] = exposure
        return exposure


def _judge(address: str) -> Exposure:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if ip.is_unspecified:
        return "any"
    if ip.is_loopback:
        return "loopback"
    if ip.is_link_local:
        return "link"
    if ip.is_private or (ip.version == SHARED_SPACE.version and ip in SHARED_SPACE):
        return "private"
    return "public"
