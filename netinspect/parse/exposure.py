"""From where a listener can be reached, by its address."""

from __future__ import annotations

import ipaddress

from netinspect.model import Exposure

# 100.64.0.0/10: carrier-grade NAT (RFC 6598) is as little public as RFC 1918 is
SHARED_SPACE = ipaddress.ip_network("100.64.0.0/10")

# Never forwarded (RFC 919, section 7)
LIMITED_BROADCAST = ipaddress.ip_address("255.255.255.255")
# Deprecated, and private still (RFC 3879)
SITE_LOCAL = ipaddress.ip_network("fec0::/10")

# Multicast that stays on the link (RFC 5771), and within an organization (RFC 2365)
LINK_MULTICAST = ipaddress.ip_network("224.0.0.0/24")
PRIVATE_MULTICAST = ipaddress.ip_network("239.0.0.0/8")
# The last four bits of the first group of an IPv6 multicast address, RFC 7346
MULTICAST_SCOPES: dict[int, Exposure] = {
    1: "loopback",
    2: "link",
    3: "private",
    4: "private",
    5: "private",
    8: "private",
}


def judge(address: str) -> Exposure:
    """The widest place that can reach this address, as the record has it.

    >>> judge("192.168.1.1"), judge("fe80::1%eth0")
    ('private', 'link')
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if ip.is_unspecified:
        return "any"
    if ip.is_multicast:
        return _judge_multicast(ip)
    if ip.is_loopback:
        return "loopback"
    if ip.is_link_local or ip == LIMITED_BROADCAST:
        return "link"
    if ip.is_private or ip in SHARED_SPACE or ip in SITE_LOCAL:
        return "private"
    return "public"


def _judge_multicast(ip: ipaddress.IPv4Address | ipaddress.IPv6Address) -> Exposure:
    if isinstance(ip, ipaddress.IPv6Address):
        return MULTICAST_SCOPES.get(ip.packed[1] & 0x0F, "public")
    if ip in LINK_MULTICAST:
        return "link"
    return "private" if ip in PRIVATE_MULTICAST else "public"
