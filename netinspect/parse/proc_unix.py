"""/proc/net/unix: rows of text in, records out. See proc_net."""

from __future__ import annotations

import re
from typing import NamedTuple

from netinspect.model import Connection, OwnerStatus, State, decode_name
from netinspect.parse.unix_diag import SOCKET_TYPES

# A row of unix (unix_seq_show, net/unix/af_unix.c); the pointer has 8 digits on 32-bit machines:
#   00000000d541d5a6: 00000002 00000000 00010000 0001 01 75714 /run/a b
# The path is printed as it is, a line break too, and each NUL of an abstract name as @. So a line
# that does not begin as a row does is the rest of the path before it. And whoever names a socket
# "x\n<a row>" forges a row: pointer, inode and path are all his choice, there is nothing in this
# file to tell it by. What holds is that he can only add rows: every row that the kernel prints
# stays one, whatever stands before it. Only sock_diag, which has lengths, cannot be fooled.
ROW_START = rb"[0-9a-f]{8,16}: "
ROW = re.compile(
    rb"^([0-9a-f]{8,16}): [0-9A-F]{8} [0-9A-F]{8} ([0-9A-F]{8}) ([0-9A-F]{4}) ([0-9A-F]{2})"
    rb" +(\d{1,20})(?: (.*(?:\n(?!" + ROW_START + rb").*)*))?$",
    re.MULTILINE,
)
ACCEPTS_CONNECTIONS = 0x10000  # __SO_ACCEPTCON, include/linux/net.h
# enum socket_state, linux/net.h. The kernel derives it from TCP_ESTABLISHED or not, and a socket
# that is still there or not: 2 waits to be accepted, 4 was closed.
STATES: dict[bytes, State] = {
    b"01": "UNCONN",
    b"02": "ESTABLISHED",
    b"03": "ESTABLISHED",
    b"04": "UNCONN",
}


class UnixRow(NamedTuple):
    """The fields of a row that tell something; `path` is empty when there is none."""

    pointer: bytes
    flags: bytes
    socket_type: bytes
    state: bytes
    inode: bytes
    path: bytes


def split_rows(data: bytes) -> tuple[list[UnixRow], int]:
    """The rows of a file, and how many lines are neither a row nor the rest of a path."""
    lines, _, torn = data.rpartition(b"\n")
    rows = [UnixRow._make(fields) for fields in ROW.findall(lines)]
    others = ROW.sub(b"", lines).split(b"\n")
    return rows, sum(map(bool, others)) + bool(torn)


def row_key(row: UnixRow) -> UnixRow | None:
    """What no two rows have in common, unless one is shown twice; None where that is not known.

    Connections that wait to be accepted have no inode, and all have the path of their listener.
    Everything in the row counts, or else a forged one could take the place of a true one.
    """
    return None if row.inode == b"0" else row


def row_state(row: UnixRow) -> State:
    """LISTEN has no number of its own here, it is a flag."""
    if int(row.flags, 16) & ACCEPTS_CONNECTIONS:
        return "LISTEN"
    return STATES.get(row.state, "UNKNOWN")


def record(row: UnixRow, unasked: OwnerStatus = "not_requested") -> Connection:
    """A record. /proc/net tells no queues, uid or peer of unix sockets.

    A path that begins with @ is taken for an abstract name; sock_diag, which can tell, has ./@.

    :param unasked: the owner status of what may have owners.
    """
    inode = int(row.inode)
    return Connection(
        "unix",
        "unix",
        SOCKET_TYPES.get(int(row.socket_type, 16), "raw"),
        row_state(row),
        decode_name(row.path) if row.path else None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        None,
        inode or None,
        None,
        owner_status=unasked if inode else "none",
    )
