r"""What lsof prints about sockets, on Linux, macOS and the BSDs, as columns.

    COMMAND    PID USER   FD   TYPE             DEVICE SIZE/OFF NODE NAME
    a\x20b    8672 root    3u  IPv4           48181893      0t0  TCP 127.0.0.1:631 (LISTEN)
    rapportd   340 anna    8u  IPv6 0x6d1f2a3b4c5d6e7f      0t0  TCP [fe80:5::1]:49154 (LISTEN)

The fields that it prints with -F are read in `lsof_fields`. Source: print.c of lsof.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from netinspect.errors import CellError
from netinspect.model import Connection
from netinspect.parse.captured import Faults, Format, Lines
from netinspect.parse.lsof_files import INET_TYPES, LEFT_OUT, File, Told, collect, unescape

SOCKET_TYPES = "|".join((*INET_TYPES, "unix", *sorted(LEFT_OUT)))
SOCKET = re.compile(rf" (?:{SOCKET_TYPES})(?: |$)| (?:TCP|UDP) (?:\*|\[|\d)\S*:")
# COMMAND PID USER FD and a name at least: `bash 1 root NOFD /proc/1/fd (...)`
OTHER_FILE = re.compile(r"\S+ +\d+ +\S+ +\S+ +\S+ +\S", re.ASCII)
HEADER = re.compile(r"COMMAND +PID .*\bNAME *$")
# With -g, -R or -K there are more columns behind the PID.
ROW = re.compile(
    r"(?P<command>\S+) +(?P<pid>\d{1,10}) +(?:\S+ +)*?(?P<user>\S+) +"
    rf"(?:(?P<fd>\d{{1,10}})[a-zA-Z -]{{0,2}}|[a-zA-Z]{{2,5}}) +(?P<type>{SOCKET_TYPES}|[A-Z]+) +"
    r"(?P<device>\S+) +(?P<offset>\S+) +(?P<rest>\S.*)",
    re.ASCII | re.DOTALL,
)
STATE_AT_END = re.compile(r"(?P<name>.*?) \((?P<state>[A-Z0-9_]+)\) *", re.ASCII | re.DOTALL)
# `/path` or `->0x7fb03cb94d748965`, the address of the peer
UNIX_NODE = re.compile(r"(?:(?P<inode>\d{1,18}) +)?(?P<name>.*)", re.ASCII | re.DOTALL)


class Name(NamedTuple):
    """What the last columns say."""

    text: str
    state: str | None


def row_file(line: str) -> File:
    """The file of a row of columns.

    :raises CellError: it is no row.
    """
    row = ROW.fullmatch(line)
    if row is None:
        raise CellError(line, "a row of lsof: COMMAND PID USER FD TYPE DEVICE SIZE/OFF NODE NAME")
    user, rest = row["user"], row["rest"]
    file = File(
        command=row["command"],
        pid=int(row["pid"]),
        uid=int(user) if user.isdecimal() and len(user) < 11 else None,
        user=None if user.isdecimal() else unescape(user),
        fd=int(row["fd"]) if row["fd"] else None,
        type=row["type"],
        device=row["device"],
    )
    if file.type in INET_TYPES:
        file.protocol, _, rest = rest.partition(" ")
        file.name, file.state = _name(rest.strip(" "))
    elif file.type == "unix":
        node = UNIX_NODE.fullmatch(rest)
        if node is not None:
            file.inode = int(node["inode"]) if node["inode"] else None
            file.name, file.state = _name(node["name"])
    return file


def _name(text: str) -> Name:
    found = STATE_AT_END.fullmatch(text)
    return Name(found["name"], found["state"]) if found else Name(text, None)


def read(lines: Lines, faults: Faults) -> Iterator[list[Connection]]:
    """See `captured.Reader`."""
    rows = ((number, line) for number, line in enumerate(lines, 1) if _is_row(line))
    return collect((Told(n, line, partial(row_file, line)) for n, line in rows), faults)


def _is_row(line: str) -> bool:
    """Whether it may be a socket: not a file, the header, or what lsof complains of."""
    if SOCKET.search(line):
        return True
    is_known = HEADER.match(line) or OTHER_FILE.match(line) or line.startswith(("lsof: ", "    "))
    return bool(line.strip()) and not is_known


def recognises(lines: Sequence[str]) -> bool:
    """Whether this has lsof's header."""
    return any(HEADER.match(line) for line in lines)


FORMAT = Format("lsof", "lsof", recognises, read)
