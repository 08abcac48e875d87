"""The sockets in what fstat prints on OpenBSD and NetBSD: a row for each open file of a process.

    USER     CMD          PID   FD MOUNT        INUM MODE       R/W    SZ|DV
    root     sshd       68201    3* internet stream tcp 0xffff80000031c7f8 *:22
    root     sshd       68202    4* internet6 stream tcp 0x0 [::1]:22 <-- [::1]:5555
    _ntp     ntpd       33001    4* internet dgram udp 10.0.0.5:1024 <-> 192.0.2.1:123
    root     syslogd    51001    5* unix dgram 0xffff80000031d000 <-> 0xffff800000320000

That is OpenBSD: `-->` is a connection that was begun here, `<--` one that was taken, and 0x0 stands
for every address in the kernel where the reader is not root. NetBSD prints the peer first:

    USER     CMD          PID   FD MOUNT       INUM MODE         SZ|DV R/W
    root     sshd         668    4* internet stream tcp 10.0.0.2:5000 <-> 10.0.0.1:22

The formats are those of usr.bin/fstat/fstat.c of each system, no capture was at hand.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from netinspect.errors import CellError
from netinspect.model import Connection, Owner
from netinspect.parse.bsd_address import endpoints_by_family, without_brackets
from netinspect.parse.captured import Faults, Format, Lines, captured_name, read_rows
from netinspect.parse.captured_socket import (
    NOWHERE,
    UNTOLD,
    Holder,
    Kind,
    inet_socket,
    unix_socket,
)
from netinspect.parse.netstat_unix import SOCKET_TYPES
from netinspect.parse.plain_cells import PLAIN_PORTS, PlainHosts, PlainNames, PlainNumbers

HEADER = re.compile(r"USER +CMD +PID +FD +MOUNT +INUM ")
OPENBSD_HEADER = re.compile(r".* R/W +SZ\|DV")
USER_WIDTH = 8
UNBOUND = "*:*"  # NetBSD prints nothing for it
PLAIN = ("internet", "stream", "tcp")
# Behind the user: %-10s %5ld %4d*. A command has 24 characters at most, and anything may stand in
# it: the last place is taken that can be its end, and its first is fixed.
ROW = re.compile(
    r"(?P<command>.{1,24}) +(?P<pid>\d{1,9}) +(?P<fd>\d{1,9})\* +"
    r"(?P<domain>internet6?|unix|local) +(?P<type>[a-z]+)(?: +(?P<rest>.*))?$",
    re.ASCII | re.DOTALL,
)
# Of a file, a pipe or another kind of socket: `  wd /  2 drwxr-xr-x`, ` 4 pipe 0x0 state:`
OTHER_ROW = re.compile(r".{1,24} +\d{1,9} +(?:\d+|[a-z]+)[* ]", re.ASCII | re.DOTALL)
# A row that says socket where ROW does not find one; in its place a command may say so too.
SOCKET_AT_ALL = re.compile(r"\d\*(?: +(?:internet6?|unix|local)\b.*| *)$", re.ASCII | re.DOTALL)
# tcp 0xffff80000031c7f8 *:22 <-- 10.0.0.2:5000 <==> ...      (spliced with another socket)
INET = re.compile(
    r"(?P<protocol>\S+)(?: +(?:0x)?[0-9a-f]+(?= |$))?"
    r"(?: +(?P<first>\S*:\d+)(?: +(?P<arrow>-->|<--|<->) +(?P<second>\S*:\d+))?)?"
    r"(?: +(?:<==>|==>|<==).*)? *$",
    re.ASCII,
)
#  0xffff80000031d000 <-> 0xffff800000320000        NetBSD:  <-> /var/run/log, <-> ffff8000
UNIX_PEER = re.compile(r"(?:0x)?[0-9a-f]+ <?->? (?:0x)?[0-9a-f]+$| *<?->? [0-9a-f]+$", re.ASCII)
POINTER = re.compile(r"0x([0-9a-f]{1,16})\b", re.ASCII)
NETBSD_NAME = re.compile(r" *<?->? (/.*)$", re.DOTALL)
KINDS: dict[tuple[str, str], Kind] = {
    ("tcp", "internet"): Kind("tcp", "ipv4", "stream"),
    ("tcp", "internet6"): Kind("tcp", "ipv6", "stream"),
    ("udp", "internet"): Kind("udp", "ipv4", "dgram"),
    ("udp", "internet6"): Kind("udp", "ipv6", "dgram"),
}
ENDPOINTS = endpoints_by_family(is_wide=True, separator=":")


def read(lines: Lines, faults: Faults) -> Iterator[list[Connection]]:
    """A record for each descriptor, see `captured.Reader`: a socket may come several times.

    Raw sockets are left out: their addresses are not told.
    """
    is_peer_first = False

    def row(line: str) -> Connection | None:
        nonlocal is_peer_first
        if HEADER.match(line):
            is_peer_first = not OPENBSD_HEADER.match(line)
            return None
        return plain_socket(line) or any_socket(line, faults, is_peer_first=is_peer_first)

    return read_rows(lines, faults, row)


PLAIN_HOSTS = PlainHosts(ENDPOINTS["ipv4"])
PIDS, FDS, NAMES = PlainNumbers(9), PlainNumbers(9), PlainNames()


def plain_socket(line: str) -> Connection | None:
    """What `any_socket` tells of an IPv4 TCP connection on OpenBSD; None for all other lines."""
    try:
        user, command, pid, fd, domain, kind, name, pointer, local, arrow, remote = line.split()
        if (domain, kind, name) != PLAIN or arrow not in ("-->", "<--") or fd[-1] != "*":
            return None
        is_in_columns = line.startswith(user) and line.startswith(f" {command}", USER_WIDTH)
        if not is_in_columns or not POINTER.fullmatch(pointer):
            return None
        local, _, local_port = local.rpartition(":")
        remote, _, remote_port = remote.rpartition(":")
        owner = Owner(PIDS[pid], NAMES[command], FDS[fd[:-1]])
        return Connection(
            "tcp",
            "ipv4",
            "stream",
            "UNKNOWN",
            PLAIN_HOSTS[local],
            PLAIN_HOSTS[remote],
            PLAIN_PORTS[local_port],
            PLAIN_PORTS[remote_port],
            None,
            None,
            None,
            None,
            None,
            _user(user),
            None,
            None,
            owner.pid,
            owner.process,
            (owner,),
            "known",
        )
    except (ValueError, KeyError, CellError):
        return None


def any_socket(line: str, faults: Faults, *, is_peer_first: bool) -> Connection | None:
    """The socket of a line; None for other open files.

    :raises CellError: it is no row.
    """
    row = ROW.match(line, USER_WIDTH + 1)
    if row is None:
        is_other = OTHER_ROW.match(line, USER_WIDTH + 1) and not SOCKET_AT_ALL.search(line)
        if not line.strip() or is_other:
            return None
        raise CellError(line, "a user, a command, a process, a descriptor and an open file")
    owner = Owner(int(row["pid"]), captured_name(row["command"].rstrip()), int(row["fd"]))
    holder = Holder(owner, "known", _user(line[:USER_WIDTH].rstrip()))
    if row["domain"] in ("unix", "local"):
        return _unix_socket(row, holder)
    return _inet_socket(row, holder, faults, is_peer_first=is_peer_first)


def _user(name: str) -> str | None:
    """A name of full width may be cut, and then be another user's."""
    return captured_name(name) if len(name) < USER_WIDTH else None


def _inet_socket(
    row: re.Match[str], holder: Holder, faults: Faults, *, is_peer_first: bool
) -> Connection | None:
    rest = row["rest"] or ""
    found = INET.match(rest)
    if found is None:
        raise CellError(rest, "a protocol and addresses such as tcp 0x0 *:22")
    kind = KINDS.get((found["protocol"], row["domain"]))
    if kind is None:
        faults.remark("rows_left_out")
        return None
    first, second = found["first"] or UNBOUND, found["second"]
    ends = ENDPOINTS[kind.family]
    local = ends[without_brackets(second if is_peer_first and second else first)]
    peer = first if is_peer_first else second
    remote = ends[without_brackets(peer)] if second and peer else NOWHERE
    if kind.protocol == "tcp" and local.port and remote is NOWHERE:
        faults.remark("taken_for_listeners")
        return inet_socket(kind, "LISTEN", local, remote, UNTOLD, holder)
    return inet_socket(kind, None, local, remote, UNTOLD, holder)


def _unix_socket(row: re.Match[str], holder: Holder) -> Connection:
    rest = row["rest"] or ""
    socket_type = SOCKET_TYPES.get({"seqpak": "seqpac"}.get(row["type"], row["type"]))
    if socket_type is None:
        raise CellError(row["type"], "a type such as stream or dgram")
    name = NETBSD_NAME.match(rest)
    own = POINTER.match(rest)
    return unix_socket(
        socket_type,
        "ESTABLISHED" if UNIX_PEER.match(rest) else "UNKNOWN",
        captured_name(name[1]) if name else None,
        None,
        cookie=(int(own[1], 16) or None) if own else None,
        holder=holder,
    )


def _recognises(lines: Sequence[str]) -> bool:
    return any(HEADER.match(line) for line in lines)


FORMAT = Format("fstat", "fstat of OpenBSD and NetBSD", _recognises, read)
