"""What may run out besides ports: connection tracking, orphans, file descriptors."""

from __future__ import annotations

import os

from netinspect.limits import FileUse, SystemLimits
from netinspect.model import decode_name
from netinspect.parse.proc_pid import parse_open_files
from netinspect.sources.platforms import system_path


def read_limits(root: str | None = None) -> SystemLimits:
    """What this system tells of them: Linux, by its /proc."""
    root = system_path("/proc") if root is None else root
    uses, has_hidden = _file_uses(root) if os.path.isdir(f"{root}/self") else (None, False)
    return SystemLimits(
        conntrack_count=_number(f"{root}/sys/net/netfilter/nf_conntrack_count"),
        conntrack_max=_number(f"{root}/sys/net/netfilter/nf_conntrack_max"),
        max_orphans=_number(f"{root}/sys/net/ipv4/tcp_max_orphans"),
        file_uses=uses,
        has_hidden_files=has_hidden,
    )


def _number(path: str) -> int | None:
    try:
        with open(path, encoding="ascii") as file:
            return int(file.read(64))
    except (OSError, ValueError):
        return None


def _file_uses(root: str) -> tuple[tuple[FileUse, ...], bool]:
    """Of all processes that may be looked into, and whether there are others."""
    uses = []
    # from Linux 6.2 on the size of the directory is their number, for everybody; before it is 0
    has_sizes = os.stat(f"{root}/self/fd").st_size > 0
    has_hidden = not os.path.isdir(f"{root}/1")  # mounted with hidepid=2
    for name in filter(str.isdecimal, os.listdir(root)):
        folder = f"{root}/{name}"
        try:
            count = (
                os.stat(f"{folder}/fd").st_size if has_sizes else len(os.listdir(f"{folder}/fd"))
            )
            use = _file_use(folder, int(name), count)
        except PermissionError:
            has_hidden = True
        except OSError:  # it has ended
            continue
        else:
            uses += [use] if use else []
    return tuple(uses), has_hidden


def _file_use(folder: str, pid: int, count: int) -> FileUse | None:
    with open(f"{folder}/limits", "rb") as file:
        limit = parse_open_files(file.read())
    with open(f"{folder}/comm", "rb") as file:
        process = decode_name(file.read().rstrip(b"\n"))
    return FileUse(pid, process, count, limit) if limit else None
