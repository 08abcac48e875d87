"""Which system this is."""

from __future__ import annotations

import os
import sys

# As sys.platform spells it: darwin, freebsd15, openbsd7, netbsd10, win32, linux.
PLATFORM_VARIABLE = "NETINSPECT_PLATFORM"

# A folder that stands for the root of that system: DIR/usr/sbin/netstat, DIR/proc.
ROOT_VARIABLE = "NETINSPECT_ROOT"

# The sources to ask, in the order of preference, by the beginning of the platform's name.
PREFERENCES: dict[str, tuple[str, ...]] = {
    "linux": ("sock_diag", "proc", "psutil"),
    "darwin": ("macos", "psutil"),
    "freebsd": ("freebsd", "psutil"),
    "openbsd": ("openbsd", "psutil"),
    "netbsd": ("netbsd", "psutil"),
}
OF_THE_REST = ("psutil",)


def platform() -> str:
    """The platform, as sys.platform spells it; NETINSPECT_PLATFORM can say another."""
    return os.environ.get(PLATFORM_VARIABLE) or sys.platform


def is_elsewhere() -> bool:
    """Whether the system asked is another than the one this runs on: its processes are not ours."""
    return bool(os.environ.get(ROOT_VARIABLE))


def system_path(path: str, root: str | None = None) -> str:
    """Where a path of the system is: below `root`; None: below NETINSPECT_ROOT, if it is set."""
    root = os.environ.get(ROOT_VARIABLE, "") if root is None else root
    return root.rstrip("/") + path


def preferred_sources(name: str) -> tuple[str, ...]:
    """The names of the sources for a platform.

    >>> preferred_sources("linux")
    ('sock_diag', 'proc', 'psutil')
    """
    found = (sources for start, sources in PREFERENCES.items() if name.startswith(start))
    return next(found, OF_THE_REST)
