"""The unix sockets in macOS's netstat (netstat.tproj/unix.c, network_cmds).

    Address          Type   Recv-Q Send-Q            Inode             Conn ...  Nextref Addr
    7fb03cb94d74825d stream      0      0                0 7fb03cb94d748965 ...        0 /run/x

Address, file, peer and two more are addresses in the kernel, 16 wide, 0 for none. With -v the
columns of `macos_verbose` stand between them and the path, which may hold blanks; from 13.3 to 14
only four of them, without a blank before: `               0 131072 131072    340      0 /run/x`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from netinspect.errors import CellError
from netinspect.model import Connection, State
from netinspect.parse.captured import captured_name
from netinspect.parse.captured_socket import Queues, unix_socket
from netinspect.parse.macos_verbose import NOTHING, TAIL, Verbose, read_columns
from netinspect.parse.netstat_unix import SOCKET_TYPES

POINTER = r" ([ 0-9a-f]{15}[0-9a-f-])"  # `-` where `netinspect as macos` knows none
UNIX_ROW = re.compile(
    rf" *([0-9a-f]{{1,16}}) ([a-z#0-9]+) +(\d{{1,18}}) +(\d{{1,18}}){POINTER * 4}(.*)",
    re.ASCII | re.DOTALL,
)
COLUMNS = re.compile(
    rf"(?P<columns>(?:.*?{TAIL}| *\d+ +\d+ +\d+ +\d+))(?: (?P<path>.*))?", re.ASCII | re.DOTALL
)
SO_ACCEPTCONN = 0x0002  # sys/socket.h


class UnixRow(NamedTuple):
    """One socket: addresses in the kernel are 0 where there are none."""

    type: str
    queues: Queues
    address: int
    file: int
    peer: int
    path: str | None
    verbose: Verbose


class UnixRows(list[UnixRow]):
    """All rows: only together do they tell the names of the peers."""

    def sockets(self) -> Iterator[Connection]:
        """The records."""
        paths = {row.address: row.path for row in self}
        for row in self:
            peer_path = paths.get(row.peer) if row.peer else None
            yield unix_socket(
                SOCKET_TYPES[row.type],
                _state(row),
                row.path,
                peer_path,
                row.queues,
                row.address,
                row.verbose.holder,
            )


def unix_row(match: re.Match[str]) -> UnixRow:
    """A row, as UNIX_ROW matches it.

    :raises CellError: it has no type of a unix socket, or columns that netstat does not print.
    """
    address, kind, recv_q, send_q, file, peer, _refs, _next, rest = match.groups()
    if kind not in SOCKET_TYPES:
        raise CellError(kind, "a type such as stream or dgram")
    verbose, path = _split_path(rest)
    return UnixRow(
        kind,
        Queues(int(recv_q), int(send_q)),
        int(address, 16),
        _number(file),
        _number(peer),
        captured_name(path) if path else None,
        verbose,
    )


def _number(pointer: str) -> int:
    digits = pointer.lstrip(" ")
    if digits == "-":
        return 0
    if " " in digits:
        raise CellError(pointer, "an address in the kernel, 16 digits wide")
    return int(digits, 16)


def _split_path(rest: str) -> tuple[Verbose, str]:
    if found := COLUMNS.fullmatch(rest):
        return read_columns(found["columns"]), found["path"] or ""
    return NOTHING, rest.removeprefix(" ")


def _state(row: UnixRow) -> State:
    """A stream with a file and without a peer listens if SO_ACCEPTCONN says so: not always told."""
    if row.peer:
        return "ESTABLISHED"
    if row.verbose.options is not None:
        return "LISTEN" if row.verbose.options & SO_ACCEPTCONN else "UNCONN"
    return "UNKNOWN" if row.file and row.type != "dgram" else "UNCONN"
