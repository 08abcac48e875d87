"""What may run out besides ports: connection tracking, orphans, file descriptors."""

from __future__ import annotations

import os
from collections.abc import Iterator

from netinspect.limits import FileUse, SystemLimits
from netinspect.model import decode_name
from netinspect.parse.proc_pid import parse_open_files
from netinspect.sources.platforms import system_path


def read_limits(root: str | None = None) -> SystemLimits:
    """What this system tells of them: Linux, by its /proc."""
    root = system_path("/proc") if root is None else root
    return SystemLimits(
        conntrack_count=_number(f"{root}/sys/net/netfilter/nf_conntrack_count"),
        conntrack_max=_number(f"{root}/sys/net/netfilter/nf_conntrack_max"),
        max_orphans=_number(f"{root}/sys/net/ipv4/tcp_max_orphans"),
        file_uses=tuple(_file_uses(root)) if os.path.isdir(f"{root}/self") else None,
    )


def _number(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read(64))
    except (OSError, ValueError):
        return None


def _file_uses(root: str) -> Iterator[FileUse]:
    """Of all processes that may be looked into."""
    for name in filter(str.isdecimal, os.listdir(root)):
        try:
            count = _open_files(f"{root}/{name}/fd")
            with open(f"{root}/{name}/limits", "rb") as file:
                limit = parse_open_files(file.read())
            with open(f"{root}/{name}/comm", "rb") as file:
                process = decode_name(file.read().rstrip(b"\n"))
        except OSError:  # it has ended, or may not be looked into
            continue
        if limit:
            yield FileUse(int(name), process, count, limit)


def _open_files(folder: str) -> int:
    """From Linux 6.2 on the size of the directory is their number; before it is 0."""
    return os.stat(folder).st_size or len(os.listdir(folder))
