"""The unix sockets in the netstat of macOS and the BSDs (usr.bin/netstat/unix.c).

    Address          Type   Recv-Q Send-Q            Inode             Conn  ...  Nextref Addr
    fffff80003abf000 stream      0      0 fffff80003c581e0                0  ...        0 /run/x

All but the type, the queues and the path are addresses in the kernel, 0 for none: of the control
block, of the file that it is bound to, and of the control block of its peer. OpenBSD prints 0x
before each, and 0x0 for all of them to others than root.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from netinspect.errors import CellError
from netinspect.model import Connection, SocketType, State
from netinspect.parse.captured import captured_name
from netinspect.parse.captured_socket import Queues, unix_socket

SOCKET_TYPES: dict[str, SocketType] = {
    "stream": "stream",
    "dgram": "dgram",
    "raw": "raw",
    "rdm": "rdm",
    "seqpac": "seqpacket",
    "seqpacket": "seqpacket",
}
# The path stands behind one blank and may have more. NetBSD: that of the peer, behind an arrow,
# where the socket has none. A hyphen stands for what `netinspect as freebsd` does not know.
POINTER = r"(?:(?:0x)?[0-9a-f]{1,16}|-)"
UNIX_ROW = re.compile(
    rf" *(?P<address>{POINTER}) +(?P<type>[a-z]+) +(?P<recv_q>\d{{1,18}}) +(?P<send_q>\d{{1,18}})"
    rf" +(?P<vnode>{POINTER}) +(?P<conn>{POINTER}) +{POINTER} +{POINTER}"
    r"(?: (?P<arrow>-> )?(?P<path>.*))?$",
    re.ASCII | re.DOTALL,
)
# unix  0/0/30                           /var/run/devd.pipe          (netstat -L, FreeBSD)
LISTENER = re.compile(r"unix +(\d{1,18})/\d+/(\d{1,18})(?: +(/.*))?$", re.ASCII | re.DOTALL)


class UnixRow(NamedTuple):
    """One socket; addresses in the kernel are None where there are none."""

    type: SocketType
    queues: Queues
    address: int | None
    vnode: int | None
    peer: int | None
    path: str | None
    peer_path: str | None


class UnixRows(list[UnixRow]):
    """All rows of a section: only together do they tell the names of the peers."""

    def sockets(self) -> Iterator[Connection]:
        """The records."""
        paths = {row.address: row.path for row in self}
        for row in self:
            peer_path = row.peer_path or (paths.get(row.peer) if row.peer else None)
            yield unix_socket(
                row.type, _state(row), row.path, peer_path, row.queues, cookie=row.address
            )


def unix_row(match: re.Match[str]) -> UnixRow:
    """A row, as UNIX_ROW matches it.

    :raises CellError: its type is none that a unix socket has.
    """
    socket_type = SOCKET_TYPES.get(match["type"])
    if socket_type is None:
        raise CellError(match["type"], "a type such as stream or dgram")
    name = captured_name(match["path"]) if match["path"] else None
    is_peers = match["arrow"] is not None
    return UnixRow(
        socket_type,
        Queues(int(match["recv_q"]), int(match["send_q"])),
        _address(match["address"]),
        _address(match["vnode"]),
        _address(match["conn"]),
        None if is_peers else name,
        name if is_peers else None,
    )


def _address(text: str) -> int | None:
    return None if text == "-" else int(text, 16) or None


def _state(row: UnixRow) -> State:
    """A stream socket with a name and without a peer may listen or not: that is not told."""
    if row.peer or row.peer_path:
        return "ESTABLISHED"
    may_listen = row.type in ("stream", "seqpacket") and (row.vnode or row.path)
    return "UNKNOWN" if may_listen else "UNCONN"


def unix_listener(line: str) -> Connection | None:
    """The listener of a row of `netstat -L`; None when it is no such row."""
    match = LISTENER.match(line)
    if match is None:
        return None
    waiting, limit, path = match.groups()
    name = captured_name(path) if path else None
    return unix_socket("stream", "LISTEN", name, None, Queues(int(waiting), int(limit)))
