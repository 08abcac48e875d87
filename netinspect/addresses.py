"""The order of addresses: a module of its own, as many commands sort none and need no socket."""

from __future__ import annotations

from socket import AF_INET, AF_INET6, inet_pton


def address_order(address: str) -> tuple[int, bytes, str]:
    """What to sort addresses by: IPv4 before IPv6, both by number, before the paths of sockets."""
    host = address.partition("%")[0]
    version, family = (6, AF_INET6) if ":" in host else (4, AF_INET)
    try:
        return version, inet_pton(family, host), address
    except (OSError, ValueError):
        return 9, b"", address
