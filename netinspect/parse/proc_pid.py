"""/proc/<pid>/{stat,cmdline,exe,status} and /proc/stat: bytes in, what they tell of a process out.

Read proc_pid_stat(5) and its neighbours. Names and arguments are what the process made of them.
"""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import NamedTuple

from netinspect.errors import ParseError
from netinspect.model import decode_name

# 1234 (nginx) S 1 1234 1234 0 -1 4194560 512 0 3 0 4 2 0 0 20 0 1 0 86420 11337728 ...
# The name is not escaped: it may hold blanks, line ends and `) S 1 (`, but behind the last `)` are
# only the state and numbers. The parent is field 4, the start field 22.
STAT = re.compile(
    rb"\d+ \((.*)\) [A-Za-z] (\d{1,10})(?: -?\d+){17} (\d{1,13})(?: -?\d+)*\s*", re.DOTALL
)
# Uid:	1000	1000	1000	1000
# real, effective, saved, file system; the name on the first line is escaped
UID = re.compile(rb"^Uid:\t\d+\t(\d{1,10})\t", re.MULTILINE)
# CapEff:	000001ffffffffff
CAPABILITIES = re.compile(rb"^CapEff:\t([0-9a-f]{1,16})$", re.MULTILINE)
# btime 1767323045
BOOT_TIME = re.compile(rb"^btime (\d{1,11})$", re.MULTILINE)
# Max open files            1024                 1048576              files
OPEN_FILES = re.compile(rb"^Max open files +(\d{1,19}) ", re.MULTILINE)
DELETED = b" (deleted)"


class Stat(NamedTuple):
    """What /proc/<pid>/stat tells."""

    name: str
    parent: int  # 0: none, or one outside of this PID namespace
    start_ticks: int  # since the system was started


def parse_stat(raw: bytes) -> Stat:
    """The name, the parent and the start of a process.

    :raises ParseError: it is not as the kernel prints it.
    """
    match = STAT.fullmatch(raw)
    if match is None:
        raise ParseError(f"/proc/<pid>/stat: expected 'PID (NAME) STATE PPID ...', found {raw!r}")
    name, parent, start_ticks = match.groups()
    return Stat(decode_name(name), int(parent), int(start_ticks))


def parse_command_line(raw: bytes) -> tuple[str, ...] | None:
    r"""The arguments, the program's own name first; None when there are none.

    A process that has written a title over them is told by that title. It fills the rest with NULs,
    so empty arguments at the end are lost.

    >>> parse_command_line(b"sleep\00060\0"), parse_command_line(b"nginx: worker process\0\0\0")
    (('sleep', '60'), ('nginx: worker process',))
    """
    text = raw.rstrip(b"\0")
    return tuple(map(decode_name, text.split(b"\0"))) if text else None


def parse_executable(link: bytes) -> tuple[str, bool]:
    """The path that /proc/<pid>/exe links to, and whether it has been deleted or replaced since.

    >>> parse_executable(b"/usr/sbin/nginx (deleted)")
    ('/usr/sbin/nginx', True)
    """
    return decode_name(link.removesuffix(DELETED)), link.endswith(DELETED)


def parse_effective_uid(raw: bytes) -> int:
    """The user that a process acts as, from /proc/<pid>/status.

    :raises ParseError: it has no such line.
    """
    match = UID.search(raw)
    if match is None:
        raise ParseError(f"/proc/<pid>/status: expected a line 'Uid: ...', found {raw!r}")
    return int(match[1])


def parse_effective_capabilities(raw: bytes) -> int:
    """The capabilities that a process has now, a bit each (capabilities(7)), of its `status`.

    :raises ParseError: there is no such line.
    """
    match = CAPABILITIES.search(raw)
    if match is None:
        raise ParseError("/proc/<pid>/status: expected a line 'CapEff: 000001ffffffffff'")
    return int(match[1], 16)


def parse_boot_time(raw: bytes) -> int:
    """When the system was started, in seconds since 1970, from /proc/stat.

    :raises ParseError: it has no such line.
    """
    match = BOOT_TIME.search(raw)
    if match is None:
        raise ParseError(f"/proc/stat: expected a line 'btime SECONDS', found {raw[-200:]!r}")
    return int(match[1])


def start_time(boot_time: int, start_ticks: int, ticks_per_second: int) -> str:
    """RFC 3339 text of a moment that is told in ticks since the system was started.

    >>> start_time(1767323045, 86420, 100)
    '2026-01-02T03:18:29Z'
    """
    moment = datetime.fromtimestamp(boot_time + start_ticks // ticks_per_second, timezone.utc)
    return moment.isoformat().replace("+00:00", "Z")


def parse_open_files(raw: bytes) -> int | None:
    """How many files the process may have open: the soft limit in /proc/<pid>/limits.

    None: it is without a limit.
    """
    match = OPEN_FILES.search(raw)
    return int(match[1]) if match else None
