"""What netstat tells of sockets on FreeBSD, OpenBSD and NetBSD.

The formats are those of usr.bin/netstat/{inet,inet6,unix}.c of each system.

    Active Internet connections (including servers)
    Proto Recv-Q Send-Q Local Address          Foreign Address        (state)
    tcp4       0      0 192.168.71.163.22      192.168.71.1.56321     ESTABLISHED
    tcp6       0      0 *.22                   *.*                    LISTEN
    udp4       0      0 *.514                  *.*

OpenBSD and NetBSD print `tcp` for `tcp4` and two blanks before the addresses; OpenBSD repeats the
title for each kind of socket, and tells the IP protocol of raw ones in the place of the state.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from netinspect.errors import CellError
from netinspect.model import Connection, Family, Protocol, SocketType, State
from netinspect.parse.bsd_address import TCP_STATES, endpoints_by_family
from netinspect.parse.captured import Faults, Format, Lines, read_rows
from netinspect.parse.captured_socket import NOWHERE, UNTOLD, Kind, Queues, inet_socket
from netinspect.parse.cells import Numbers
from netinspect.parse.netstat_unix import UNIX_ROW, UnixRows, unix_listener, unix_row
from netinspect.parse.plain_cells import CONNECTED, FAMILIES, PLAIN_PORTS, PlainHosts

ICMP, IGMP, ICMPV6, PIM = 1, 2, 58, 103
# Proto Recv-Q Send-Q Local Address          Foreign Address        (state)
# Tcpcb            Proto Recv-Q ...   (-A: PCB on OpenBSD and NetBSD)
HEADER = re.compile(
    r"(?:(?:Tcpcb|PCB) +)?Proto +(?P<numbers>\S.*?) {1,9}Local Address(?P<behind>.*)"
)
UNIX_HEADER = re.compile(r"Address +Type +Recv-Q ")
WIDE_CELL = 45
STATE_WORDS = {"(state)", "State", "TCP-State"}
NUMBERS = Numbers("what waits in a queue")


def _kinds() -> dict[str, Kind]:
    """Every name of a protocol that the record knows, as text and JSON have it."""
    families: tuple[tuple[str, Family, bool | None], ...] = (
        ("", "ipv4", None),
        ("4", "ipv4", None),
        ("6", "ipv6", False),
        ("46", "ipv6", True),
    )
    protocols: tuple[tuple[str, Protocol, SocketType, int | None], ...] = (
        ("tcp", "tcp", "stream", None),
        ("toe", "tcp", "stream", None),  # TCP that the network card does
        ("udp", "udp", "dgram", None),
        ("ip", "raw", "raw", None),
        ("icm", "raw", "raw", ICMP),
        ("icmp", "raw", "raw", ICMP),
        ("igm", "raw", "raw", IGMP),
        ("igmp", "raw", "raw", IGMP),
        ("pim", "raw", "raw", PIM),
    )
    kinds = {
        name + suffix: Kind(protocol, family, socket_type, number, is_dual)
        for suffix, family, is_dual in families
        for name, protocol, socket_type, number in protocols
    }
    for name in ("icm6", "icmp6"):
        kinds[name] = kinds[name]._replace(ip_protocol=ICMPV6)
    return kinds


KINDS = _kinds()
# What the record does not know, with the numbers of queues behind it: divert, Infiniband's SDP
LEFT_OUT = re.compile(r"(?:div|sdp)[a-z]*\d* +\d+ +\d+ ", re.ASCII)
# Sections with rows of their own; those of SCTP may have other sockets behind them.
OTHER_SECTIONS = ("Active SCTP ", "Active NETGRAPH ")
# Some tcp sockets may have been created or deleted.
CHANGED = re.compile(r"Some \w+ sockets may have been \w+")
# tcp4  0/0/128                          *.22                  (netstat -L, FreeBSD)
LISTEN_QUEUES = re.compile(r"(\d{1,18})/\d+/(\d{1,18})", re.ASCII)


class Netstat:
    """A netstat, line by line: in which section this is, and what its header promises.

    :param is_wide: whether hosts are whole, see `Endpoints`.
    :param tells_dual: whether `tcp6` says that IPv4 is not taken: not on NetBSD.
    """

    def __init__(self, faults: Faults, *, is_wide: bool, tells_dual: bool) -> None:
        self.unix_rows = UnixRows()
        self._faults = faults
        self._tells_dual = tells_dual
        self._wide_endpoints = endpoints_by_family(is_wide=True)
        self._endpoints = self._wide_endpoints if is_wide else endpoints_by_family(is_wide=False)
        self._hosts = {family: PlainHosts(ends) for family, ends in self._endpoints.items()}
        self._number_count = 2
        self._has_queues, self._has_state = True, True
        self._is_left_out = False

    def connection(self, line: str) -> Connection | None:
        """The socket of a connection that netstat shows in numbers only; None for all other lines.

        What `socket` would answer, in a quarter of the time.
        """
        try:
            name, recv_q, send_q, local, remote, word = line.split()
            state, family = CONNECTED[word], FAMILIES[name]
            hosts = self._hosts[family]
            local, _, local_port = local.rpartition(".")
            remote, _, remote_port = remote.rpartition(".")
            return Connection(
                "tcp",
                family,
                "stream",
                state,
                hosts[local],
                hosts[remote],
                PLAIN_PORTS[local_port],
                PLAIN_PORTS[remote_port],
                None,
                None,
                NUMBERS[recv_q],
                NUMBERS[send_q],
                None,
                None,
                None,
                None,
                owner_status="unsupported",
            )
        except (ValueError, KeyError, CellError):
            return None

    def socket(self, line: str) -> Connection | None:
        """The socket of a line; None where it has none, and for unix sockets until the end.

        :raises CellError: it is none of the lines that netstat prints.
        """
        if line.startswith(("Active ", "Current ")):
            self._is_left_out = line.startswith(OTHER_SECTIONS)
        elif header := HEADER.match(line):
            self._read_header(header)
        elif line.strip() and not UNIX_HEADER.match(line) and not CHANGED.match(line):
            return self._row(line)
        return None

    def _read_header(self, header: re.Match[str]) -> None:
        """Which numbers stand before the addresses, and whether a state stands behind them."""
        if not self._is_left_out:
            numbers = header["numbers"].split()
            self._number_count = len(numbers)
            self._has_queues = "Recv-Q" in numbers
            self._has_state = not STATE_WORDS.isdisjoint(header["behind"].split())

    def _row(self, line: str) -> Connection | None:
        cells = line.split()
        if line.startswith("ip ") and len(cells) == 6 and cells[1] in ("4", "6", "46"):
            cells[:2] = ["ip" + cells[1]]  # FreeBSD cuts and pads: %-3.3s%-2.2s
        if len(cells) > 1 and cells[1] in KINDS and cells[0] not in KINDS:
            del cells[0]  # the address that -A prints
        kind = KINDS.get(cells[0])
        if kind is not None:
            return self._inet_row(kind, cells, line)
        if self._is_left_out or LEFT_OUT.match(line):
            self._faults.remark("rows_left_out")
            return None
        if row := UNIX_ROW.match(line):
            self.unix_rows.append(unix_row(row))
            return None
        if listener := unix_listener(line):
            return listener
        raise CellError(cells[0], "a protocol such as tcp4")

    def _inet_row(self, kind: Kind, cells: list[str], line: str) -> Connection:
        if not self._tells_dual:
            kind = kind._replace(is_dual=None)
        endpoints = self._endpoints[kind.family]
        if len(cells) == 3 and (queues := LISTEN_QUEUES.fullmatch(cells[1])):
            told = Queues(NUMBERS[queues[1]], NUMBERS[queues[2]])
            return inet_socket(kind, "LISTEN", endpoints[cells[2]], NOWHERE, told)
        numbers = [NUMBERS[cell] for cell in cells[1 : self._number_count + 1]]
        rest = cells[self._number_count + 1 :]
        if len(rest) < 2:
            raise CellError(line, "a local and a foreign address behind the queues")
        if _is_wide(line, rest):
            endpoints = self._wide_endpoints[kind.family]
        local, remote = endpoints[rest[0]], endpoints[rest[1]]
        if remark := local.remark or remote.remark:
            self._faults.remark(remark)
        state = self._state(kind, rest)
        if kind.protocol == "raw" and len(rest) == 3:
            kind = kind._replace(ip_protocol=NUMBERS[rest[2]])
        told = Queues(*numbers[:2]) if self._has_queues and state != "LISTEN" else UNTOLD
        return inet_socket(kind, state, local, remote, told)

    def _state(self, kind: Kind, rest: Sequence[str]) -> State | None:
        if kind.protocol != "tcp" or not self._has_state:
            return None
        if len(rest) < 3:
            raise CellError(rest[-1], "a state such as ESTABLISHED behind the addresses")
        state = TCP_STATES.get(rest[2].removesuffix("*"))  # * for a SYN or FIN to come
        if state is None and not rest[2].isdecimal():
            raise CellError(rest[2], "a state such as ESTABLISHED")
        return state


def _is_wide(line: str, ends: Sequence[str]) -> bool:
    """Whether FreeBSD's -W has left 45 columns for the local address."""
    start = line.find(ends[0])
    return line.find(ends[1], start + len(ends[0])) - start > WIDE_CELL


def read(
    lines: Lines, faults: Faults, *, is_wide: bool = False, tells_dual: bool = True
) -> Iterator[list[Connection]]:
    """The sockets of a whole netstat, see `captured.Reader`."""
    netstat = Netstat(faults, is_wide=is_wide, tells_dual=tells_dual)
    yield from read_rows(
        lines, faults, lambda line: netstat.connection(line) or netstat.socket(line)
    )
    if unix := list(netstat.unix_rows.sockets()):
        yield unix


class Signs(NamedTuple):
    """What only the netstat of one system prints, the surest first."""

    header: re.Pattern[str]
    unix_header: re.Pattern[str]
    row: re.Pattern[str]


FREEBSD = Signs(
    re.compile(
        r"(?:Tcpcb +)?Proto (?:"
        r"Recv-Q Send-Q Local Address +Foreign Address +(?:\(state\)|R-MBUF|flowid)"
        r"|Rexmit OOORcv |Listen +Local Address)"
    ),
    re.compile(r"Address {10}Type "),
    re.compile(r"(?:tcp|udp)(?:4|6|46) +\d+ +\d+ \S+\.(?:\d+|\*) +\S+\.", re.ASCII),
)
OPENBSD = Signs(
    re.compile(r"(?:PCB +)?Proto   Recv-Q Send-Q  "),
    re.compile(r"Address {12}Type "),
    # The first queue ends in column 14, on NetBSD in column 12.
    re.compile(r"(?=.{13}\d )(?:tcp|udp)6? +\d+ +\d+  \S+\.(?:\d+|\*) ", re.ASCII),
)
NETBSD = Signs(
    re.compile(
        r"(?:Proto Recv-Q Send-Q  |PCB +Proto Recv-Q Send-Q +)"
        r"Local Address +Foreign Address +State$"
    ),
    re.compile(r"Address  Type "),
    re.compile(r"(?=.{11}\d )(?:tcp|udp)6? +\d+ +\d+  \S+\.(?:\d+|\*) ", re.ASCII),
)
MACOS_TITLE = "Active LOCAL (UNIX)"


def _recognises(signs: Signs, lines: Sequence[str]) -> bool:
    """By the surest signs that any system has left there."""
    if any(line.startswith(MACOS_TITLE) for line in lines):
        return False
    for kind in Signs._fields:
        found = [
            known
            for known in (FREEBSD, OPENBSD, NETBSD)
            if any(getattr(known, kind).match(line) for line in lines)
        ]
        if found:
            return signs in found
    return False


FORMATS = (
    Format(
        "freebsd-netstat",
        "FreeBSD netstat",
        partial(_recognises, FREEBSD),
        read,
    ),
    Format(
        "openbsd-netstat",
        "OpenBSD netstat",
        partial(_recognises, OPENBSD),
        read,
    ),
    Format(
        "netbsd-netstat",
        "NetBSD netstat",
        partial(_recognises, NETBSD),
        partial(read, tells_dual=False),
    ),
)
