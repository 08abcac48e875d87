"""What a condition needs to be told of the system before the kernel can test it."""

from __future__ import annotations

import os
from contextlib import suppress
from stat import S_ISDIR

from netinspect.errors import NotThereError
from netinspect.query import (
    UNTOLD,
    Autobound,
    Cgroup,
    CgroupId,
    Condition,
    Leaf,
    Mark,
    PortRange,
    Query,
    all_of,
    leaves,
    substitute,
)
from netinspect.sources.cgroups import cgroup_mount

LOCAL_PORTS = "/proc/sys/net/ipv4/ip_local_port_range"
DEFAULT_LOCAL_PORTS = (32768, 60999)  # net/ipv4/af_inet.c
NEEDS_ROOT = "; the kernel tests marks only with CAP_NET_ADMIN: run as root"


def for_kernel(query: Query) -> Query:
    """The query in the kernel's own terms.

    :raises NotThereError: there is no such cgroup.
    """
    if not untold(query.condition):
        return query
    return Query(
        tables=query.tables,
        states=query.states,
        condition=substitute(query.condition, _for_kernel),
        is_extended=query.is_extended,
    )


def untold(condition: Condition) -> list[Leaf]:
    """The tests in it that only the kernel can make."""
    return [leaf for leaf in leaves(condition) if isinstance(leaf, UNTOLD)]


def _for_kernel(leaf: Leaf, _upper: bool) -> Condition:
    if isinstance(leaf, Cgroup):
        return CgroupId(_cgroup_id(leaf.path))
    if isinstance(leaf, Autobound):
        # The kernel says so of every socket that was not bound, also of one that a listener on
        # a fixed port accepted; as in ss the port has to be one that the kernel chooses.
        return all_of((leaf, PortRange("local", *local_ports())))
    return leaf


def _cgroup_id(path: str) -> int:
    """The number of a cgroup: the inode of its directory, by its path there or below the mount."""
    mount = cgroup_mount()
    if mount:
        for place in (f"{mount}/{path.lstrip('/')}", path):
            with suppress(OSError, ValueError):
                found = os.stat(place)
                if S_ISDIR(found.st_mode) and found.st_dev == os.stat(mount).st_dev:
                    return found.st_ino
    expected = f"expected a path below {mount}" if mount else "no cgroup2 is mounted here"
    raise NotThereError(f"there is no cgroup {path!r}: {expected}", path)


def local_ports() -> tuple[int, int]:
    """The lowest and the highest port that the kernel chooses."""
    try:
        with open(LOCAL_PORTS, encoding="ascii") as file:
            low, high = map(int, file.read().split())
    except (OSError, ValueError):
        return DEFAULT_LOCAL_PORTS
    return low, high


def why_not(condition: Condition, reason: str) -> str | None:
    """Why the answer cannot be had without the kernel's help; None when it can."""
    tests = untold(condition)
    if not tests:
        return None
    from netinspect.parse.condition_text import leaf_text  # only an error needs it

    texts = ", ".join(dict.fromkeys(leaf_text(leaf) for leaf in tests))
    is_denied = "EPERM" in reason and any(isinstance(leaf, Mark) for leaf in tests)
    hint = NEEDS_ROOT if is_denied else ""
    return f"{texts}: only the kernel can test this, and {reason}{hint}"
