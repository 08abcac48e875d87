"""What the text of an address tells: its place in an order, and whether it needs a zone."""

from __future__ import annotations

import re
from socket import AF_INET, AF_INET6, inet_pton

NEEDS_ZONE = r"fe[89ab][0-9a-f]:|ff[0-9a-f][12]:"


def address_order(address: str) -> tuple[int, bytes, str]:
    """What to sort addresses by: IPv4 before IPv6, both by number, before the paths of sockets."""
    host = address.partition("%")[0]
    version, family = (6, AF_INET6) if ":" in host else (4, AF_INET)
    try:
        return version, inet_pton(family, host), address
    except (OSError, ValueError):
        return 9, b"", address


def needs_zone(address: str) -> bool:
    """Whether the address says nothing without its link: fe80::/10, ffX1::/16 and ffX2::/16.

    RFC 4007 section 6: link-local and interface-local scope.
    """
    return re.match(NEEDS_ZONE, address) is not None
