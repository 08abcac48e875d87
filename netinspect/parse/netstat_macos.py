"""What netstat prints about sockets on macOS, from 10.9 to 26, with any options.

    Active Internet connections (including servers)
    Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)
    tcp4       0      0  127.0.0.1.631          *.*                    LISTEN
    udp6       0      0  *.5353                 *.*
    Active LOCAL (UNIX) domain sockets
    Address          Type   Recv-Q Send-Q            Inode             Conn             Refs
    7fb03cb94d74825d stream      0      0                0 7fb03cb94d748965                0

Rows are read by their own shape, never by a header: one may be missing, narrower than its rows, or
of a release that we do not know. What `-v` adds is in `macos_verbose`.
Source of the formats: netstat.tproj/{inet,inet6,unix,mptcp}.c of Apple's network_cmds.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from netinspect.errors import CellError
from netinspect.model import Connection, State
from netinspect.parse.bsd_address import TCP_STATES, Endpoint, Endpoints
from netinspect.parse.captured import Faults, Format, Lines, read_rows
from netinspect.parse.captured_socket import UNTOLD, Kind, Queues, inet_socket
from netinspect.parse.cells import Numbers
from netinspect.parse.macos_unix import UNIX_ROW, UnixRows, unix_row
from netinspect.parse.macos_verbose import read_columns

# `%-3.3s%-2.2s`: of the protocol three letters, and the family. Of tcp46 both: it takes IPv4 too.
KINDS = {
    "tcp4": Kind("tcp", "ipv4", "stream"),
    "tcp6": Kind("tcp", "ipv6", "stream", is_dual=False),
    "tcp46": Kind("tcp", "ipv6", "stream", is_dual=True),
    "udp4": Kind("udp", "ipv4", "dgram"),
    "udp6": Kind("udp", "ipv6", "dgram", is_dual=False),
    "udp46": Kind("udp", "ipv6", "dgram", is_dual=True),
    "icm4": Kind("raw", "ipv4", "raw", 1),
    "icm6": Kind("raw", "ipv6", "raw", 58),
    "igm4": Kind("raw", "ipv4", "raw", 2),
    "ip4": Kind("raw", "ipv4", "raw"),
    "ip6": Kind("raw", "ipv6", "raw"),
}
NUMBERS = Numbers("bytes that wait to be read, and to be sent")
CUT_CELL = 18  # with -A, when the port loses its end
WIDE_CELL = 45  # with -l, when an IPv6 host is whole

# With -A: the address of the control block, and the hash of the flow
# 7fb03cb94d505aed cedd0cbf tcp4       0      0  192.168.1.221.5486 140.82.113.26.443  ESTABLISHED
CONTROL_BLOCK = re.compile(r" *[0-9a-f]{8,16} +[0-9a-f]{1,8} (?=[a-z]{2,3} ?[46])")
# 0/0/128        *.22
QUEUE_ROW = re.compile(r"(\d{1,9})/(\d{1,9})/(\d{1,9}) +(\S.*?) *", re.ASCII)
HEADER = re.compile(
    r"(Active |Proto|Socket +Flowhash|Address +Type| +pcb Proto|Registered kernel |id +|kctlref "
    r"|Listen +|Current listen |Some \w+ sockets may )"
)
# Sockets of which the record knows nothing: of the kernel, multipath TCP, vsock, divert
LEFT_OUT = re.compile(
    r"(([ 0-9a-f]{16} )?(kevt|kctl) |mptcp/| tcp[46]/|(vsock|div|rip|reg|ipsec)\S* +\d"
    r"| *[0-9a-f]+( +-?[0-9a-f]+){0,6} +[A-Za-z]\w*\.\w+\.)"
)
# What no other netstat prints: tcp4 and two blanks before the address, and some titles
OWN = re.compile(
    r"([0-9a-f]{16} [ 0-9a-f]{8} )?(tcp|udp|icm)(4 |46) {,6}\d+ +\d+  \S"
    r"|Active (LOCAL|Multipath|kernel) |Registered kernel "
    r"|(Socket +Flowhash )?Proto Recv-Q Send-Q  Local Address +Foreign Address +\(state\)"
)


class ListenQueues:
    """Who waits at each listener, by the text of its address, from `netstat -L`.

    It tells no protocol: where two listeners have the same text and others wait, it says nothing.
    """

    def __init__(self) -> None:
        self._queues: dict[str, Queues] = {}

    def add(self, line: str) -> str | None:
        """Take a row `qlen/incqlen/maxqlen address`; its address, or None for any other line.

        qlen counts those whose handshake is not done as well (sonewconn, bsd/kern/uipc_socket2.c).
        """
        row = QUEUE_ROW.fullmatch(line)
        if row is None:
            return None
        waiting, unfinished, limit, address = row.groups()
        queues = Queues(int(waiting) - int(unfinished), int(limit))
        if self._queues.setdefault(address, queues) != queues:
            self._queues[address] = UNTOLD
        return address

    def of(self, address: str) -> Queues:
        """The queues of a listener."""
        return self._queues.get(address, UNTOLD)


class Netstat:
    """A netstat, line by line."""

    def __init__(self, faults: Faults, queues: ListenQueues | None = None) -> None:
        self._faults = faults
        self._queues = queues or ListenQueues()
        self._ends = {"ipv4": Endpoints("ipv4"), "ipv6": Endpoints("ipv6")}
        self._wide_ends = Endpoints("ipv6", is_wide=True)
        self.unix_rows = UnixRows()

    def record(self, line: str) -> Connection | None:
        """The socket of a line; None where it has none, and for unix sockets until the end.

        :raises CellError: it is neither.
        """
        fields = line.split(None, 5)
        if not fields:
            return None
        kind = KINDS.get(fields[0])
        if kind is None:
            return self._other(line, fields)
        if len(fields) < 5:
            raise CellError(line.rstrip(), "two queues, two addresses and a state")
        return self._inet_record(line, fields, kind)

    def _inet_record(self, line: str, fields: list[str], kind: Kind) -> Connection:
        rest = fields[5].rstrip() if len(fields) > 5 else ""
        state: State | None = None
        if kind.protocol == "tcp":
            word, _, rest = rest.partition(" ")
            state = TCP_STATES.get(word) or _state(word)
        ends = self._ends[kind.family]
        local, remote = ends[fields[3]], ends[fields[4]]
        if local.remark or remote.remark or CUT_CELL in (len(fields[3]), len(fields[4])):
            local, remote = self._doubtful(line, fields[3], fields[4], (local, remote))
        queues = Queues(NUMBERS[fields[1]], NUMBERS[fields[2]])
        if state == "LISTEN":  # the bytes are always 0
            queues = self._queues.of(fields[3])
        holder = read_columns(rest).holder
        return inet_socket(kind, state, local, remote, queues, holder)

    def _doubtful(
        self, line: str, local: str, remote: str, found: tuple[Endpoint, Endpoint]
    ) -> tuple[Endpoint, Endpoint]:
        """The endpoints of which something may be cut, as the width of their cells tells."""
        width = _cell_width(line, local, remote)
        if width >= WIDE_CELL and "truncated_address" in (found[0].remark, found[1].remark):
            found = self._wide_ends[local], self._wide_ends[remote]
        if width == CUT_CELL:
            found = _without_cut_port(local, found[0]), _without_cut_port(remote, found[1])
        for end in found:
            if end.remark is not None:
                self._faults.remark(end.remark)
        return found

    def _other(self, line: str, fields: list[str]) -> Connection | None:
        """What does not begin with a protocol."""
        if fields[0] == "ip" and fields[1:2] in (["4"], ["6"]):
            return self.record(line.replace("ip ", "ip", 1))
        if block := CONTROL_BLOCK.match(line):
            return self.record(line[block.end() :])
        if row := UNIX_ROW.fullmatch(line):
            self.unix_rows.append(unix_row(row))
            return None
        if HEADER.match(line) or self._queues.add(line):
            return None
        if LEFT_OUT.match(line):
            self._faults.remark("rows_left_out")
            return None
        raise CellError(fields[0], "a protocol such as tcp4 or udp6")


def _state(word: str) -> State:
    """States up to 10.14 may end in `*`; a number is a state that netstat does not know."""
    state = TCP_STATES.get(word.rstrip("*"))
    if state is None and not (word.isascii() and word.isdecimal()):
        raise CellError(word, "a state such as ESTABLISHED")
    return state or "UNKNOWN"


def _cell_width(line: str, local: str, remote: str) -> int:
    """How wide the cell of the local address is."""
    start = line.index(local)
    return line.index(remote, start + len(local)) - start - 1


def _without_cut_port(text: str, end: Endpoint) -> Endpoint:
    """A port that may have lost its last digits is not known."""
    if len(text) < CUT_CELL:
        return end
    return end._replace(port=None, remark="truncated_address")


def read(
    lines: Lines, faults: Faults, queues: ListenQueues | None = None
) -> Iterator[list[Connection]]:
    """See `captured.Reader`.

    :param queues: those of the listeners; rows of `netstat -L` before the sockets add to them.
    """
    netstat = Netstat(faults, queues)
    yield from read_rows(lines, faults, netstat.record)
    if unix := list(netstat.unix_rows.sockets()):
        yield unix


def recognises(lines: Sequence[str]) -> bool:
    """Whether this is what macOS's netstat prints."""
    return any(map(OWN.match, lines))


FORMAT = Format("macos-netstat", "macOS netstat", recognises, read)
