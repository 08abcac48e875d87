"""HOST of an expression: `[family:]address[/prefix][:port]`, as ss has it, and IPv6 as it is."""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple

from netinspect.errors import UsageError
from netinspect.model import Family

FAMILIES: dict[str, Family] = {"inet": "ipv4", "inet6": "ipv6", "unix": "unix"}
UNREAD_FAMILIES = ("link", "netlink", "vsock")
#   inet6:[fe80::1%eth0/64]:https   [fe80::1]%eth0:22   10/8:22   *:22   :22   ::1
FAMILY = r"(?i)(inet6?|unix|link|netlink|vsock):"
BRACKETS = r"(?s)\[(?P<address>[^\]]*)\](?P<zone>%[^/:]*)?(?P<prefix>/[^:]*)?(?::(?P<port>.*))?\Z"
SHORT_IPV4 = r"(?a)\d{1,3}(\.\d{1,3}){0,2}\Z"


class Host(NamedTuple):
    """A HOST taken apart; None is what it does not say."""

    family: Family | None
    address: str | None  # with its prefix; of unix sockets the pattern
    port: str | None


def parse_host(word: str) -> Host:
    """Take a HOST apart.

    :raises UsageError: it is none, it can be read in two ways, or it is a name.
    """
    prefix = re.match(FAMILY, word)
    family = None
    if prefix:
        name = prefix[1].lower()
        if name in UNREAD_FAMILIES:
            raise UsageError(f"{name} sockets are not read yet; there are inet:, inet6: and unix:")
        family, word = FAMILIES[name], word[prefix.end() :]
    if family == "unix":
        return Host(family, None if word == "*" else word, None)
    address, port = _split_port(word)
    if not address and not port:
        raise UsageError("expected an address, a network, or :PORT")
    network = None if address in ("", "*") else _network_text(address)
    return Host(family, network, None if port in ("", "*") else port)


def _split_port(word: str) -> tuple[str, str | None]:
    if word.startswith("["):
        found = re.match(BRACKETS, word)
        if not found:
            raise UsageError("expected ] behind the address, then perhaps :PORT")
        return "".join(filter(None, found.group("address", "zone", "prefix"))), found["port"]
    head, slash, tail = word.partition("/")
    if slash:
        length, colon, port = tail.partition(":")
        return f"{head}/{length}", port if colon else None
    if word.count(":") <= 1:
        address, colon, port = word.partition(":")
        return address, port if colon else None
    return _bare_ipv6(word), None


def _bare_ipv6(word: str) -> str:
    """IPv6 without brackets, when its last part cannot be meant as a port."""
    address, _, last = word.rpartition(":")
    if _is_ipv6(address) and (last.isdecimal() or not _is_ipv6(word)):
        whole = f", or [{word}] for an address" if _is_ipv6(word) else ""
        raise UsageError(f"write [{address}]:{last} for an address and a port{whole}")
    return word


def _is_ipv6(text: str) -> bool:
    try:
        ipaddress.IPv6Address(text.partition("%")[0])
    except ValueError:
        return False
    return True


def _network_text(text: str) -> str:
    """An address that can be one; `10/8` as 10.0.0.0/8, as ss has it."""
    if text.startswith("/"):
        raise UsageError(f"{text!r} is no address; write unix:{text} for the path of a unix socket")
    host, slash, length = text.partition("/")
    if not re.search(r"[.:\d]", host) or re.search(r"[g-zG-Z_]", host.partition("%")[0]):
        raise UsageError(
            f"{host!r} is no address, and names are not looked up; give its address, as "
            "10.0.0.1, 10.0.0.0/8, ::1 or [::1]:443"
        )
    if slash and re.match(SHORT_IPV4, host):
        host += ".0" * (3 - host.count("."))
    return f"{host}{slash}{length}"
