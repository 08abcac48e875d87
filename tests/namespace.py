"""A network of the test's own: nothing else in it, and nothing done in it reaches outside."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Interface

from netinspect.lab.isolation import CLONE_NEWNET, call_libc, raise_loopback, unshare

SIOCSIFADDR = 0x8916  # linux/sockios.h
LINK_LOCAL = IPv6Interface("fe80::1/64")


def why_not() -> str | None:
    """Why there cannot be such a network here; None when there can."""
    if not hasattr(os, "geteuid") or not os.path.exists("/proc/self/ns/net"):
        return "needs Linux: network namespaces"
    if os.geteuid() != 0:
        return "needs root: it opens sockets in a network namespace of its own"
    try:
        with private_network():
            return None
    except PermissionError as error:
        return f"needs a network namespace of its own: {error.strerror}"


@contextmanager
def private_network() -> Iterator[None]:
    """In here this thread, and what it starts, is in a new network with only a loopback device.

    lo has 127.0.0.1, ::1 and LINK_LOCAL. To be called by the main thread: /proc/self/net shows the
    network of that one. (Before Linux 5.0 what it has shown once may stay: "proc: fix /proc/net/*
    after setns(2)".)

    :raises PermissionError: this takes CAP_SYS_ADMIN.
    """
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        unshare(CLONE_NEWNET)
        try:
            raise_loopback()
            _add_link_local()
            yield
        finally:
            call_libc("setns", home, CLONE_NEWNET)
    finally:
        os.close(home)


def _add_link_local() -> None:
    import fcntl  # this module can be imported on Windows too

    index = socket.if_nametoindex("lo")
    with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as control:
        # struct in6_ifreq: address, prefix length, interface index
        address = struct.pack("=16sIi", LINK_LOCAL.packed, LINK_LOCAL.network.prefixlen, index)
        fcntl.ioctl(control, SIOCSIFADDR, address)
