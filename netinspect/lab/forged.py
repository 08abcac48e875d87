"""TCP segments with forged source addresses, for a network namespace of their own."""

from __future__ import annotations

import ctypes
import itertools
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Network

from netinspect.lab.bench import Endpoint

FLOODERS = IPv4Network("198.18.0.0/15")  # RFC 2544: for benchmarks, nobody's
SIOCADDRT = 0x890B  # linux/sockios.h
RTF_UP = 0x1  # linux/route.h
TCP_SYN = 0x02
WINDOW = 64_240
TTL = 64


def add_route(network: IPv4Network, device: str) -> None:
    """Let packets to a network go out through a device: struct rtentry of linux/route.h.

    :raises OSError: it takes CAP_NET_ADMIN.
    """
    import fcntl  # this module can be imported on Windows too

    name = ctypes.create_string_buffer(device.encode())
    # rt_pad1, rt_dst, rt_gateway, rt_genmask, rt_flags, rt_pad2, rt_pad3, rt_pad4, rt_metric,
    # rt_dev, rt_mtu, rt_window, rt_irtt
    entry = struct.pack(
        "@L16s16s16sHhLPhPLLH6x",
        0,
        _sockaddr(network.network_address.packed),
        _sockaddr(bytes(4)),
        _sockaddr(network.netmask.packed),
        RTF_UP,
        *(0, 0, 0, 0),
        ctypes.addressof(name),
        *(0, 0, 0),
    )
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        fcntl.ioctl(control, SIOCADDRT, entry)


def _sockaddr(address: bytes) -> bytes:
    return struct.pack("=HH4s8x", socket.AF_INET, 0, address)


def forged_syns(destination: Endpoint) -> Iterator[bytes]:
    """SYNs without end, each from another address of FLOODERS."""
    to = socket.inet_aton(destination[0])
    first = int(FLOODERS.network_address)
    for number in itertools.cycle(range(1, FLOODERS.num_addresses - 1)):
        source = struct.pack("!I", first + number)
        yield _syn(source, 1024 + number % 60_000, to, destination[1], number)


def _syn(source: bytes, source_port: int, to: bytes, port: int, sequence: int) -> bytes:
    """An IPv4 header (RFC 791) and a TCP header (RFC 9293), without options.

    Length, id and checksum of the IP header are the kernel's to fill in (raw(7)).
    """
    ip = struct.pack("!BBHHHBBH", 0x45, 0, 0, 0, 0, TTL, socket.IPPROTO_TCP, 0) + source + to
    ports = struct.pack("!HHII", source_port, port, sequence, 0)
    flags = struct.pack("!BBH", 5 << 4, TCP_SYN, WINDOW)
    pseudo = source + to + struct.pack("!HH", socket.IPPROTO_TCP, 20)
    return ip + ports + flags + struct.pack("!HH", checksum(pseudo + ports + flags), 0)


def checksum(data: bytes) -> int:
    """The internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
