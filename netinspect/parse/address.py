"""Addresses: from packed bytes to canonical text, and what can reach them."""

from __future__ import annotations

import re
from socket import AF_INET, AF_INET6, inet_ntop
from typing import Literal

from netinspect.model import Exposure

# Judged without the module for all others: ipaddress takes 5 ms to load.
COMMON_EXPOSURES: dict[str, Exposure] = {
    "0.0.0.0": "any",
    "::": "any",
    "127.0.0.1": "loopback",
    "::1": "loopback",
}
NEEDS_ZONE = re.compile(r"fe[89ab][0-9a-f]:|ff[0-9a-f][12]:")

MOST_REMEMBERED = 1 << 13


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
    """Whether the address says nothing without its link: fe80::/10, ffX1::/16 and ffX2::/16.

    RFC 4007 section 6: link-local and interface-local scope.
    """
    return NEEDS_ZONE.match(address) is not None


class ExposureOf(dict[str, Exposure]):
    """From where a listener on this address can be reached, each address judged once."""

    def __missing__(self, address: str) -> Exposure:
        exposure = COMMON_EXPOSURES.get(address)
        if exposure is None:
            from netinspect.parse.exposure import judge

            exposure = judge(address)
        self[address] = exposure
        return exposure
