"""What netstat prints about sockets on Windows: `netstat -ano`, with -q, and with -b.

    Active Connections

      Proto  Local Address          Foreign Address        State           PID
      TCP    0.0.0.0:135            0.0.0.0:0              LISTENING       1016
      RpcSs
     [svchost.exe]
      TCP    [fe80::1c2d%12]:139    [::]:0                 LISTENING       4
     Can not obtain ownership information
      UDP    0.0.0.0:123            *:*                                    1234

Rows are known by their shape: titles are in the language of Windows, states in most languages in
English. There is no source; the shapes are those of Microsoft's documentation and of captures.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from netinspect.errors import CellError
from netinspect.model import Connection, Family, Owner, State
from netinspect.parse.address import MOST_REMEMBERED
from netinspect.parse.bsd_address import Endpoint, endpoints_by_family, without_brackets
from netinspect.parse.captured import BATCH_SIZE, Faults, Format, Lines, captured_name
from netinspect.parse.captured_socket import NOBODY_TOLD, NOWHERE, UNTOLD, Holder, Kind, inet_socket
from netinspect.parse.plain_cells import PLAIN_PORTS, PlainHosts

# enum MIB_TCP_STATE of tcpmib.h, BOUND of `-q`, and German where it differs
STATES: dict[str, State] = {
    "CLOSED": "CLOSE",
    "LISTENING": "LISTEN",
    "SYN_SENT": "SYN_SENT",
    "SYN_RECEIVED": "SYN_RECV",
    "SYN_RCVD": "SYN_RECV",
    "ESTABLISHED": "ESTABLISHED",
    "FIN_WAIT_1": "FIN_WAIT1",
    "FIN_WAIT_2": "FIN_WAIT2",
    "CLOSE_WAIT": "CLOSE_WAIT",
    "CLOSING": "CLOSING",
    "LAST_ACK": "LAST_ACK",
    "TIME_WAIT": "TIME_WAIT",
    "DELETE_TCB": "CLOSE",
    "BOUND": "BOUND",
    "ABHÖREN": "LISTEN",
    "HERGESTELLT": "ESTABLISHED",
    "WARTEND": "TIME_WAIT",
    "SCHLIESSEN_WARTEN": "CLOSE_WAIT",
}
KINDS: dict[tuple[str, Family], Kind] = {
    ("TCP", "ipv4"): Kind("tcp", "ipv4", "stream"),
    ("TCP", "ipv6"): Kind("tcp", "ipv6", "stream"),
    ("UDP", "ipv4"): Kind("udp", "ipv4", "dgram"),
    ("UDP", "ipv6"): Kind("udp", "ipv6", "dgram"),
}
ENDPOINTS = endpoints_by_family(is_wide=True, separator=":")
ROW = re.compile(r"  (?P<protocol>TCP|UDP) +(?P<local>\S+:\S+) +(?P<remote>\S+:\S+)(?P<rest>.*)$")
# The program that -b names, alone in its line
PROGRAM = re.compile(r" \[(?P<name>.+)\]$")
# What has an address and is no row: `  TCPX   0.0.0.0:135   0.0.0.0:0 ...`
DAMAGED = re.compile(r".*\S:(?:\d+|\*)(?: |$)", re.ASCII)
# `Active NetworkDirect Connections, ...` of -x, whose rows begin with a mode
NETWORK_DIRECT = re.compile(r"  (?:User|Kernel) +\d+ +")


class Told(NamedTuple):
    """What stands behind the addresses."""

    state: State | None
    pid: int | None


def read(lines: Lines, faults: Faults) -> Iterator[list[Connection]]:
    """The sockets of a whole netstat, see `captured.Reader`."""
    batch: list[Connection] = []
    is_row_known = False
    for number, line in enumerate(lines, start=1):
        line = line.rstrip()
        try:
            socket = plain_socket(line) or any_socket(line, faults)
            if socket is not None:
                if len(batch) >= BATCH_SIZE:
                    yield batch
                    batch = []
                batch.append(socket)
                is_row_known = True
            elif program := PROGRAM.match(line):
                if is_row_known:
                    batch[-1] = _with_program(batch[-1], captured_name(program["name"]))
            else:
                _check(line, faults)
        except CellError as error:
            is_row_known = False
            faults.add_cell(number, line, error)
    if batch:
        yield batch


class Owners(dict[str, Owner]):
    """Processes by their numbers, as text."""

    def __missing__(self, text: str) -> Owner:
        if not (text.isascii() and text.isdecimal() and len(text) <= 10) or int(text) == 0:
            raise KeyError(text)  # 0 is nobody
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        owner = self[text] = Owner(int(text), None, None)
        return owner


OWNERS = Owners()
NOTHING = (None,) * 8  # from ip_protocol to cookie


PLAIN_HOSTS = PlainHosts(ENDPOINTS["ipv4"])
PLAIN_STATES = {
    word: state for word, state in STATES.items() if state not in ("CLOSE", "LISTEN", "BOUND")
}


def plain_socket(line: str) -> Connection | None:
    """What `any_socket` tells of an IPv4 connection with a process; None for all other lines."""
    try:
        protocol, local, remote, word, pid = line.split()
        if protocol != "TCP" or not line.startswith("  TCP "):
            return None
        local, _, local_port = local.rpartition(":")
        remote, _, remote_port = remote.rpartition(":")
        owner = OWNERS[pid]
        return Connection(
            "tcp",
            "ipv4",
            "stream",
            PLAIN_STATES[word],
            PLAIN_HOSTS[local],
            PLAIN_HOSTS[remote],
            PLAIN_PORTS[local_port],
            PLAIN_PORTS[remote_port],
            *NOTHING,
            owner.pid,
            None,
            (owner,),
            "known",
        )
    except (ValueError, KeyError, CellError):
        return None


def _check(line: str, faults: Faults) -> None:
    """Titles and the components that -b names are no rows."""
    if NETWORK_DIRECT.match(line):
        faults.remark("rows_left_out")
    elif DAMAGED.match(line):
        raise CellError(line.strip(), "TCP or UDP, two addresses, a state and a process")


def any_socket(line: str, faults: Faults) -> Connection | None:
    """The socket of a line; None for a line that is no row."""
    row = ROW.match(line)
    if row is None:
        return None
    family: Family = "ipv6" if row["local"].startswith("[") else "ipv4"
    kind = KINDS[row["protocol"], family]
    local, remote = _endpoint(row["local"], family), _endpoint(row["remote"], family)
    if remark := local.remark or remote.remark:
        faults.remark(remark)
    state, pid = _told(kind, row["rest"].split(), row["rest"])
    return inet_socket(kind, state, local, remote, UNTOLD, _holder(state, pid))


def _endpoint(text: str, family: Family) -> Endpoint:
    """`0.0.0.0:135`, `[fe80::1%12]:139`; `*:*` for no peer."""
    if text == "*:*":
        return NOWHERE
    return ENDPOINTS[family][without_brackets(text)]


def _told(kind: Kind, cells: Sequence[str], rest: str) -> Told:
    """The state, of TCP only, and the process where -o shows it."""
    state = None
    if kind.protocol == "tcp":
        state = STATES.get(cells[0]) if cells else None
        if state is None:
            found = cells[0] if cells else rest
            raise CellError(found, "a state in English such as ESTABLISHED")
        cells = cells[1:]
    number = cells[0] if cells else ""
    is_number = number.isascii() and number.isdecimal() and len(number) <= 10
    return Told(state, int(number) if is_number else None)


def _holder(state: State | None, pid: int | None) -> Holder:
    """Process 0 stands for none any more."""
    if pid is None:
        return NOBODY_TOLD
    if pid == 0:
        return Holder(None, "none" if state == "TIME_WAIT" else "not_found")
    return Holder(Owner(pid, None, None), "known")


def _with_program(connection: Connection, name: str) -> Connection:
    """The socket, with the program that holds it; without -o its process is not known."""
    owners = tuple(replace(owner, process=name) for owner in connection.owners)
    return replace(connection, process=name, owners=owners)


def _recognises(lines: Sequence[str]) -> bool:
    return any(ROW.match(line.rstrip()) for line in lines)


FORMAT = Format("windows-netstat", "Windows netstat", _recognises, read)
