"""Addresses: from packed bytes to canonical text, and what can reach them."""

from __future__ import annotations

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


class ExposureOf(dict[str, Exposure]):
    """From where a listener on this address can be reached, each address judged once."""

    def __missing__(self, address: str) -> Exposure:
        exposure = COMMON_EXPOSURES.get(address)
        if exposure is None:
            from netinspect.parse.exposure import judge

            exposure = judge(address)
        self[address] = exposure
        return exposure
