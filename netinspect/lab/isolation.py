"""A network namespace for an experiment: nothing done in it reaches the machine's own network.

namespaces(7), user_namespaces(7). It vanishes, with all its sockets, when its last process ends.
"""

from __future__ import annotations

import ctypes
import os
import socket
import struct
import sys
from typing import Literal, NamedTuple

# linux/sched.h; os.unshare() and os.setns() are there from Python 3.12 on
CLONE_NEWUSER, CLONE_NEWNET = 0x10000000, 0x40000000
SIOCSIFFLAGS = 0x8914  # linux/sockios.h
IFF_UP = 0x1  # linux/if.h


class Place(NamedTuple):
    """Where an experiment runs.

    `reason` says why on the machine's own loopback, None in a namespace.
    """

    kind: Literal["namespace", "user_namespace", "loopback"]
    reason: str | None = None

    @property
    def is_private(self) -> bool:
        """Whether nothing here is shared with the machine."""
        return self.kind != "loopback"

    def configure(self, name: str, value: str) -> bool:
        """Write a setting below /proc/sys/net; False, and nothing is written, where it is shared.

        Also False where a container has /proc/sys for reading only.
        """
        if not self.is_private:
            return False
        try:
            with open(f"/proc/sys/net/{name}", "w", encoding="ascii") as file:
                file.write(value)
        except OSError:
            return False
        return True


def enter_private_network() -> Place:
    """Move this process into a new network that has only a loopback device, if it is permitted.

    To be called by the main thread, before there is another one: /proc/self/net shows the network
    of the main thread, and a user namespace takes a process of one thread.
    """
    if sys.platform != "linux":
        return Place("loopback", "network namespaces are there on Linux only")
    try:
        unshare(CLONE_NEWNET)
    except OSError:
        return _enter_as_user()
    raise_loopback()
    return Place("namespace")


def _enter_as_user() -> Place:
    """The same for one who is not root: a user namespace makes its owner root over its network.

    Its owner is uid 0 in there, or a program that is started in it would be without rights again,
    and netinspect not be allowed to see the owners of sockets.
    """
    uid, gid = os.geteuid(), os.getegid()
    try:
        unshare(CLONE_NEWUSER | CLONE_NEWNET)
    except OSError as refusal:
        return Place("loopback", f"a namespace was refused: {refusal.strerror}")
    # setgroups must be given up before a group can be mapped: user_namespaces(7)
    _write("/proc/self/setgroups", "deny")
    _write("/proc/self/uid_map", f"0 {uid} 1")
    _write("/proc/self/gid_map", f"0 {gid} 1")
    raise_loopback()
    return Place("user_namespace")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def unshare(flags: int) -> None:
    """Go to new namespaces.

    :raises OSError: it is not permitted (see the manual of unshare, section 2).
    """
    call_libc("unshare", flags)


def call_libc(name: str, *arguments: int) -> None:
    """A function of the C library that says -1 and errno when it fails.

    :raises OSError: it failed.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def raise_loopback() -> None:
    """Bring lo up: it gets 127.0.0.1, and ::1 where there is IPv6."""
    import fcntl  # this module can be imported on Windows too

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        # struct ifreq: name, flags, and the rest of a union
        fcntl.ioctl(control, SIOCSIFFLAGS, struct.pack("16sH22x", b"lo", IFF_UP))
