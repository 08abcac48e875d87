"""What sockstat prints on FreeBSD (10 to 15) and NetBSD: a row for each descriptor of a socket.

    USER     COMMAND    PID   FD PROTO  LOCAL ADDRESS         FOREIGN ADDRESS
    root     sendmail   671   3  tcp4   127.0.0.1:25          *:*
    ?        ?          ?     ?  udp6   *:2049                *:*
    root     syslogd    512   6  dgram  /var/run/log
    root     devd       402   9  stream -> /var/run/devd.pipe

The formats are those of usr.bin/sockstat/{sockstat,main}.c of each system. Commands are cut to 10
characters and may have blanks. Behind the addresses -i, -U, -s, -S and -C add columns. FreeBSD 15
makes columns as wide as they have to be, cuts addresses without -w, and has `??` for `?`. NetBSD
has a dot before the port, no 4 in `tcp4`, and `-` for a name that is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from netinspect.errors import CellError
from netinspect.model import Connection, Family, Owner, SocketType, State
from netinspect.parse.address import MOST_REMEMBERED
from netinspect.parse.bsd_address import TCP_STATES, Endpoint, endpoints_by_family, without_brackets
from netinspect.parse.captured import Faults, Format, Lines, captured_name, read_rows
from netinspect.parse.captured_socket import UNTOLD, Holder, Kind, inet_socket, unix_socket
from netinspect.parse.netstat_bsd import KINDS
from netinspect.parse.plain_cells import CONNECTED, FAMILIES, PLAIN_PORTS, PlainHosts, PlainNumbers

COMMAND_WIDTH = 10
COMMAND_COLUMN = 9
ADDRESS_WIDTH = 21  # of FreeBSD 15 without -w
UNKNOWN = ("?", "??")
UNIX_TYPES: dict[str, SocketType] = {
    "stream": "stream",
    "dgram": "dgram",
    "seqpac": "seqpacket",
    "seq": "seqpacket",
    "rdm": "rdm",
}
NETBSD_RAW = {"raw": Kind("raw", "ipv4", "raw"), "raw6": Kind("raw", "ipv6", "raw")}
# USER     COMMAND    PID   FD PROTO  ...   FreeBSD up to 14 and NetBSD: numbers on the left
# USER  COMMAND      PID FD PROTO     ...   FreeBSD 15: numbers on the right
HEADER = re.compile(r"USER +(?P<command>COMMAND) +PID +FD +PROTO +LOCAL ADDRESS +FOREIGN ADDRESS")
ON_THE_LEFT = "COMMAND    PID   FD "
# Behind the command (PID_MAX is 99999):  671   3  tcp4   127.0.0.1:25          *:*
TAIL = re.compile(
    r" *(?P<pid>\d{1,5}|\?\??) +(?P<fd>\d{1,9}|\?\??)"
    r" +(?P<proto>[a-z]\w*|\?\?|\d+/[\d/]+)"
    r"(?: +(?P<rest>.*))?$",
    re.ASCII | re.DOTALL,
)
# Sockets that the record does not know, and further addresses of those
LEFT_OUT = re.compile(r"(?:sctp|div)\w*$|\?\?$|\d+/")
# -                     /var/run/log       NetBSD: 21 characters and a blank before the peer
NETBSD_UNIX_ENDS = re.compile(r"(?P<local>(?!-> ).{21,}?) (?P<remote>-|/.*)$", re.DOTALL)
PIDS, FDS = PlainNumbers(5), PlainNumbers(9)
NO_NAME = ("", "-", "?", "??", "(not connected)")


class Layout(NamedTuple):
    """Where the columns are.

    :param command: where the command begins, when the user's name is no longer.
    :param local: of FreeBSD 15 where the local address begins; None for the others.
    :param foreign: of FreeBSD 15 where the foreign address begins.
    :param end: of FreeBSD 15 where what stands behind it begins; None: nothing does.
    """

    command: int = COMMAND_COLUMN
    local: int | None = None
    foreign: int = 0
    end: int | None = None

    @property
    def may_cut(self) -> bool:
        """Whether addresses are as wide as FreeBSD 15 makes them without -w."""
        return self.local is not None and self.foreign - self.local == ADDRESS_WIDTH + 1


def read(lines: Lines, faults: Faults) -> Iterator[list[Connection]]:
    """A record for each descriptor, see `captured.Reader`: a socket may come several times."""
    layout = Layout()

    def row(line: str) -> Connection | None:
        nonlocal layout
        if header := HEADER.match(line):
            layout = layout_of(header, line)
            return None
        if not line.strip():
            return None
        return plain_socket(line, layout) or any_socket(line, layout, faults)

    return read_rows(lines, faults, row)


def layout_of(header: re.Match[str], line: str) -> Layout:
    """Where the columns are, from the header, as HEADER matches it."""
    command = header.start("command")
    if ON_THE_LEFT in line:
        return Layout(command)
    foreign = line.index("FOREIGN ADDRESS")
    behind = line[header.end() :].lstrip()
    end = line.index(behind, header.end()) if behind else None
    return Layout(command, line.index("LOCAL ADDRESS"), foreign, end)


ENDPOINTS = {
    separator: endpoints_by_family(is_wide=True, separator=separator) for separator in (":", ".")
}
# By the name of the protocol: NetBSD's has no 4, and a dot before the port.
PLAIN_ENDS = {
    name: (separator, PlainHosts(ENDPOINTS[separator][FAMILIES[name]]))
    for name, separator in (("tcp", "."), ("tcp4", ":"), ("tcp6", ":"), ("tcp46", ":"))
}


class Heads(dict[tuple[int, str], tuple[str, str]]):
    """User and command by the column of the command, and what stands before its end."""

    def __missing__(self, key: tuple[int, str]) -> tuple[str, str]:
        column, text = key
        user, command = text[:column].rstrip(" "), text[column:].strip()
        is_in_columns = text[column - 1 : column] == " " and text.endswith(" ")
        if not is_in_columns or " " in user or user in UNKNOWN or command in UNKNOWN:
            raise KeyError(text)
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        head = self[key] = captured_name(user), captured_name(command)
        return head


HEADS = Heads()


def plain_socket(line: str, layout: Layout) -> Connection | None:
    """What `any_socket` tells of a TCP connection in its columns; None for all other lines."""
    end = layout.command + COMMAND_WIDTH + 1
    if layout.may_cut:
        return None
    try:
        user, command = HEADS[layout.command, line[:end]]
        pid, fd, name, local, remote, *words = line[end:].split()
        separator, hosts = PLAIN_ENDS[name]
        local, _, local_port = local.rpartition(separator)
        remote, _, remote_port = remote.rpartition(separator)
        owner = Owner(PIDS[pid], command, FDS[fd])
        return Connection(
            "tcp",
            FAMILIES[name],
            "stream",
            _connected_state(words) if words else "UNKNOWN",
            hosts[local],
            hosts[remote],
            PLAIN_PORTS[local_port],
            PLAIN_PORTS[remote_port],
            None,
            None,
            None,
            None,
            None,
            user,
            None,
            None,
            owner.pid,
            command,
            (owner,),
            "known",
        )
    except (ValueError, KeyError, CellError):
        return None


def _connected_state(words: Sequence[str]) -> State:
    return next((CONNECTED[word] for word in words if word in TCP_STATES), "UNKNOWN")


def any_socket(line: str, layout: Layout, faults: Faults) -> Connection | None:
    """The socket of a line; None for what the record does not know.

    :raises CellError: it is no row.
    """
    if line.startswith(" "):  # further addresses of an SCTP socket
        faults.remark("rows_left_out")
        return None
    user = line.partition(" ")[0]
    command, tail = _split_command(line, max(layout.command, len(user) + 1), layout)
    holder = _holder(user, command, tail)
    name = tail["proto"]
    if socket_type := UNIX_TYPES.get(name):
        return _unix_socket(socket_type, line, tail, holder, layout)
    if kind := KINDS.get(name) or NETBSD_RAW.get(name):
        return _inet_socket(kind, tail["rest"] or "", holder, layout, faults)
    if LEFT_OUT.match(name):
        faults.remark("rows_left_out")
        return None
    raise CellError(name, "a protocol such as tcp4, or a type such as stream")


def _split_command(line: str, start: int, layout: Layout) -> tuple[str, re.Match[str]]:
    """The command, and what stands behind it.

    Anything may stand in a command, so that only its place tells where it ends: in its column,
    and behind the name of a user that is longer than its own column, where 10 characters are full.
    """
    end = layout.command + COMMAND_WIDTH + 1
    for place in range(end, max(end, start + COMMAND_WIDTH) + 1):
        if tail := TAIL.match(line, place):
            return line[start:place].strip(), tail
    raise CellError(line[start:], "a command, a process, a descriptor and a protocol")


def _holder(user: str, command: str, tail: re.Match[str]) -> Holder:
    if tail["pid"] in UNKNOWN:
        return Holder(None, "not_found")
    process = None if command in UNKNOWN else captured_name(command)
    fd = None if tail["fd"] in UNKNOWN else int(tail["fd"])
    owner = Owner(int(tail["pid"]), process, fd)
    return Holder(owner, "known", None if user in UNKNOWN else captured_name(user))


def _inet_socket(
    kind: Kind, rest: str, holder: Holder, layout: Layout, faults: Faults
) -> Connection:
    cells = rest.split()
    if len(cells) < 2:
        raise CellError(rest, "a local and a foreign address")
    local, remote = (_endpoint(cell, kind.family, layout) for cell in cells[:2])
    if _separator(cells[0]) == ".":
        kind = kind._replace(is_dual=None)  # NetBSD does not tell
    if remark := local.remark or remote.remark:
        faults.remark(remark)
    state = next((TCP_STATES[cell] for cell in cells[2:] if cell in TCP_STATES), None)
    if kind.protocol == "tcp" and state is None and remote.is_unset:
        faults.remark("taken_for_listeners")
        state = "LISTEN"
    if state == "TIME_WAIT" and holder.owner is None:
        holder = Holder(None, "none")
    return inet_socket(kind, state, local, remote, UNTOLD, holder)


def _endpoint(cell: str, family: Family, layout: Layout) -> Endpoint:
    """`127.0.0.1:25`, `::1:25`, `[::1]:25`; on NetBSD `127.0.0.1.25`, `::1.25`."""
    if layout.may_cut and family == "ipv6" and len(cell) == ADDRESS_WIDTH:
        return Endpoint(cell, None, "truncated_address")
    return ENDPOINTS[_separator(cell)][family][without_brackets(cell)]


def _separator(cell: str) -> str:
    return ":" if cell.rfind(":") > cell.rfind(".") else "."


def _unix_socket(
    socket_type: SocketType, line: str, tail: re.Match[str], holder: Holder, layout: Layout
) -> Connection:
    local, remote = _unix_ends(line, tail, layout)
    is_connected = remote is not None
    return unix_socket(
        socket_type,
        "ESTABLISHED" if is_connected else _unconnected_state(socket_type, local),
        local,
        None if not remote or remote.startswith("[") else remote,
        holder=holder,
    )


def _unix_ends(line: str, tail: re.Match[str], layout: Layout) -> tuple[str | None, str | None]:
    """The name of the socket, and that of its peer; "" when the peer has none."""
    rest = tail["rest"] or ""
    remote: str | None
    if layout.local is not None:
        local = line[layout.local : layout.foreign - 1].rstrip(" ")
        remote = _split_arrow(line[layout.foreign : layout.end])[1]
    elif netbsd := NETBSD_UNIX_ENDS.match(rest):
        local = netbsd["local"].rstrip(" ")
        remote = None if netbsd["remote"] == "-" else netbsd["remote"]
    else:
        local, remote = _split_arrow(rest)
    name = None if local in NO_NAME else captured_name(local)
    if remote in NO_NAME:
        remote = ""
    return name, None if remote is None else captured_name(remote)


def _split_arrow(text: str) -> tuple[str, str | None]:
    """`/run/x -> /var/run/log`, `-> ??`, `/var/run/log <- [700 3],[701 4]`, `(not connected)`."""
    text = text.rstrip(" ").partition("<- [")[0].rstrip(" ")
    local, arrow, remote = f" {text}".partition(" -> ")
    return local[1:], remote if arrow else None


def _unconnected_state(socket_type: SocketType, local: str | None) -> State:
    """A stream socket with a name may listen or not: that is not told."""
    may_listen = socket_type in ("stream", "seqpacket") and local is not None
    return "UNKNOWN" if may_listen else "UNCONN"


def _recognises(lines: Sequence[str]) -> bool:
    return any(HEADER.match(line) for line in lines)


FORMAT = Format("sockstat", "sockstat of FreeBSD and NetBSD", _recognises, read)
