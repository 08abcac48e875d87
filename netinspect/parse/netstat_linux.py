"""What netstat of Linux prints: that of net-tools (GNU) and that of BusyBox.

net-tools' netstat.c prints, with -e user and inode, with -p a process, with -o the timer, each
behind the state; without a header, as behind grep, the shape of a row tells which are there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import compress, islice
from typing import NamedTuple

from netinspect.errors import CellError
from netinspect.model import (
    Connection,
    Owner,
    OwnerStatus,
    SocketType,
    State,
    Timer,
    TimerKind,
)
from netinspect.parse.captured import BATCH_SIZE, Faults, Format, Lines, captured_name
from netinspect.parse.cells import (
    OWNERLESS,
    PEERLESS,
    WITH_LISTEN,
    Addresses,
    Numbers,
    Ports,
    States,
    canonical_address,
    exposure_of,
    kind,
    split_endpoint,
)
from netinspect.parse.inet_numbers import closed_state
from netinspect.parse.peered import Columns, Peered

KINDS = {
    "tcp": kind("tcp", "ipv4"),
    "tcp6": kind("tcp", "ipv6"),
    "udp": kind("udp", "ipv4"),
    "udp6": kind("udp", "ipv6"),
    "udpl": kind("udplite", "ipv4"),
    "udpl6": kind("udplite", "ipv6"),
    "raw": kind("raw", "ipv4"),
    "raw6": kind("raw", "ipv6"),
    "sctp": kind("sctp", "ipv4"),
    "sctp6": kind("sctp", "ipv6"),
}
WILDCARDS = {"ipv4": "0.0.0.0", "ipv6": "::"}
# BusyBox has tcp for both families.
OF_IPV6 = {"tcp": KINDS["tcp6"], "udp": KINDS["udp6"], "raw": KINDS["raw6"]}
STATES = States(
    ESTABLISHED="ESTABLISHED",
    SYN_SENT="SYN_SENT",
    SYN_RECV="SYN_RECV",
    FIN_WAIT1="FIN_WAIT1",
    FIN_WAIT2="FIN_WAIT2",
    TIME_WAIT="TIME_WAIT",
    CLOSE="CLOSE",
    CLOSE_WAIT="CLOSE_WAIT",
    LAST_ACK="LAST_ACK",
    LISTEN="LISTEN",
    CLOSING="CLOSING",
    UNKNOWN="UNKNOWN",
)
PLAIN_CELLS = 6
PEERED = frozenset(STATES) - {"LISTEN", "CLOSE"}
UNIX_STATES = States(
    {
        "": "UNCONN",
        "LISTENING": "LISTEN",
        "CONNECTED": "ESTABLISHED",
        "CONNECTING": "ESTABLISHED",
        "DISCONNECTING": "UNCONN",
        "FREE": "UNCONN",
        "UNKNOWN": "UNKNOWN",
    }
)
UNIX_TYPES: dict[str, SocketType] = {
    "STREAM": "stream",
    "DGRAM": "dgram",
    "SEQPACKET": "seqpacket",
    "RAW": "raw",
    "RDM": "rdm",
}
TIMERS: dict[str, TimerKind] = {
    "on": "retransmit",
    "keepalive": "keepalive",
    "timewait": "time_wait",
    "probe": "zero_window",
}
TITLES = ("Active ", "Proto ", "netstat: no support for ")
# Printed on stderr, which may be in the capture; the sentence goes on in a second line.
HIDDEN = (
    "(Not all processes could be identified",
    "(No info could be read for",
    "netstat: showing only processes with your user ID",  # BusyBox
)
SECOND_LINE = "will not be shown, you would have to be root"
CUT_LENGTH = 23  # of a cell: without -W an IPv6 address is made to fit

# What stands behind the state with -e, -p and -o; a name may have blanks:
#   1000       31337      4242/nginx: worker   keepalive (7199.05/0/0)
REST = re.compile(
    r"(?:(?P<user>[^\s/-][^\s/]*) +(?P<inode>\d{1,19})(?: +|$))?"
    r"(?:(?P<pid>\d{1,10})/(?P<name>.*)|(?P<nobody>-))?"
)
TIMES = re.compile(r"(\d{1,10}\.\d\d)/(\d{1,10})/(\d{1,10})\)")
TIMER_WORD = re.compile(r"[a-z]+|unkn-\d+")
LONGEST_ROW = 4096
# unix  2      [ ACC ]     STREAM     LISTENING     31337    4242/a b             /run/a b
UNIX_ROW = re.compile(
    r"unix +\d+ +\[[ A-Z]*\] +(?P<type>[A-Z]+) +(?P<state>[A-Z]*) +(?P<inode>\d{1,19})"
    r"(?P<rest> .*)?"
)
# With this header, of BusyBox and of old net-tools, the path stands right behind:
# unix  2      [ ACC ]     SEQPACKET  LISTENING      20611 812/a b             /run/udev/control
TIGHT = "I-Node PID/"
INODE_WIDTH, OWNER_WIDTH = 8, 20  # at least; with -W a program may take more
UNIX_OWNER = re.compile(r"(?P<pid>\d{1,10})/(?P<name>.*)|-")
# tcp6       0      0 :::22                   :::*                    LISTEN
GNU_ROW = re.compile(
    r"(?:tcp|udp|udpl|raw|sctp)6? +\d+ +\d+ \S+:\S+ +\S+:\S+(?: |$)|unix +\d+ +\[[ A-Z]*\] +[A-Z]+ "
)
BUSYBOX_ROW = re.compile(r"(?:tcp|udp|raw) +\d+ +\d+ \S*:\S*:\S+ +\S+:\S+(?: |$)")
UNIX_ROW_SHAPE = "a row such as unix  2  [ ACC ]  STREAM  LISTENING  31337  /run/a"


class Rest(NamedTuple):
    """What stands behind the state."""

    uid: int | None = None
    user: str | None = None
    inode: int | None = None
    owners: tuple[Owner, ...] = ()
    status: OwnerStatus = "unsupported"
    timer: Timer | None = None


NOTHING = Rest()
NOT_OWNED = Rest(status="none")


class Reading:
    """One capture while it is read: what earlier rows told of later ones."""

    def __init__(self, faults: Faults, *, is_busybox: bool) -> None:
        self._is_busybox = is_busybox
        self._faults = faults
        self._addresses, self._ports = Addresses(), Ports()
        self._recv_qs, self._send_qs = Numbers("the receive queue"), Numbers("the send queue")
        self._peered = Peered(self._addresses, self._ports, self._recv_qs, self._send_qs)
        self._unseen: OwnerStatus = "not_found"
        self._has_owners = False
        self._is_tight = False

    def batches(self, lines: Lines) -> Iterator[list[Connection]]:
        """See `captured.Reader`."""
        lines, number = iter(lines), 1
        while some := list(islice(lines, BATCH_SIZE)):
            yield self._records(number, some)
            number += len(some)
        named = self._addresses.named + self._ports.named
        if named:
            self._faults.remark("names_not_numeric", named)

    def _records(self, number: int, lines: Sequence[str]) -> list[Connection]:
        """:param number: of the first of the lines."""
        rows = list(map(str.split, lines))
        if set(map(len, rows)) == {PLAIN_CELLS}:
            plain = self._plain(rows)
            if plain:
                return plain
        are_plain = [
            len(row) == PLAIN_CELLS and row[5] in PEERED and row[0] == "tcp" for row in rows
        ]
        plain = self._plain(list(compress(rows, are_plain)))
        if plain is None:
            return [r for n, line in enumerate(lines, number) for r in self._row(n, line)]
        made, records = iter(plain), []
        for position, (is_plain, line) in enumerate(zip(are_plain, lines, strict=True), number):
            records += [next(made)] if is_plain else self._row(position, line)
        return records

    def _plain(self, rows: Sequence[Sequence[str]]) -> list[Connection] | None:
        """Connections over IPv4, six cells each; None where one is another after all."""
        if not rows:
            return []
        names, recv_qs, send_qs, local, remote, words = zip(*rows, strict=True)
        if set(names) != {"tcp"} or not PEERED.issuperset(words):
            return None
        states = list(map(STATES.__getitem__, words))
        columns = Columns(states, recv_qs, send_qs, local, remote)
        return self._peered.records(KINDS["tcp"], columns)

    def _row(self, number: int, line: str) -> list[Connection]:
        """The record of a line, if it has one."""
        try:
            fields = _cells(line)
            if fields and fields[0] in KINDS:
                return [self._inet(fields)]
            if fields and fields[0] == "unix":
                return [self._unix(line)]
            self._title(line)
        except CellError as error:
            self._faults.add_cell(number, line, error)
        return []

    def _title(self, line: str) -> None:
        """A line that is no row: the first lines tell whether there are owners."""
        if line.startswith("Proto "):
            self._has_owners = "PID/Program" in line
            self._is_tight = TIGHT in line
        elif line.lstrip().startswith(HIDDEN):
            self._unseen = "hidden"
        elif line.strip() and not line.startswith(TITLES) and SECOND_LINE not in line:
            raise CellError(line.split(None, 1)[0], "a protocol such as tcp or tcp6")

    def _inet(self, fields: list[str]) -> Connection:
        if len(fields) < 5:
            raise CellError(fields[-1], "a row of at least five columns")
        name, recv_q, send_q, local_cell, remote_cell = fields[:5]
        of_kind = KINDS[name]
        if self._is_busybox and local_cell.count(":") > 1:
            of_kind = OF_IPV6.get(name, of_kind)
        (protocol, family), socket_type = of_kind
        local, local_port = self._endpoint(local_cell, family)
        remote, remote_port = self._endpoint(remote_cell, family)
        behind = fields[5].rstrip() if len(fields) > 5 else ""
        if protocol in WITH_LISTEN:
            word, _, behind = behind.partition(" ")
            state = STATES[word]
            if state == "CLOSE":
                state = closed_state(local_port != 0)
        else:
            state, behind = _datagram_state(behind, is_raw=protocol == "raw")
        has_peer, is_raw = state not in PEERLESS, protocol == "raw"
        rest = self._rest(behind) if behind else NOTHING
        if state in OWNERLESS and not rest.owners:
            rest = rest._replace(status="none") if behind else NOT_OWNED
        owner = rest.owners[0] if rest.owners else None
        return Connection(
            protocol,
            family,
            socket_type,
            state,
            local,
            remote if has_peer else None,
            None if is_raw else local_port,
            remote_port if has_peer and not is_raw else None,
            local_port if is_raw else None,
            None,
            self._recv_qs[recv_q],
            None if state == "LISTEN" else self._send_qs[send_q],
            rest.uid,
            rest.user,
            rest.inode,
            None,
            owner.pid if owner else None,
            owner.process if owner else None,
            rest.owners,
            rest.status,
            rest.timer,
            exposure=None if has_peer else exposure_of(local, state, protocol),
        )

    def _endpoint(self, cell: str, family: str) -> tuple[str, int | None]:
        host, port = split_endpoint(cell)
        if len(cell) == CUT_LENGTH and family == "ipv6":
            return self._cut_endpoint(host, port)
        if host == "*":
            host = WILDCARDS[family]
        elif host[:1] == "[":
            host = host[1:-1]
        address = self._addresses[host]
        # A v4-mapped one is printed as the IPv4 address that it is; a name is not remembered.
        if family == "ipv6" and ":" not in address and address in self._addresses:
            address = f"::ffff:{address}"
        return address, self._ports[port]

    def _cut_endpoint(self, host: str, port: str) -> tuple[str, int | None]:
        """GNU cuts the address and keeps the port, BusyBox cuts at the end."""
        self._faults.remark("truncated_address")
        address = canonical_address(host) or captured_name(host)
        return address, None if self._is_busybox else self._ports[port]

    def _rest(self, text: str) -> Rest:
        """What -e, -p and -o add.

        :raises CellError: it is something else.
        """
        text, timer = _split_timer(text.strip())
        match = REST.fullmatch(text)
        if not match:
            raise CellError(text, "user and inode, PID/program or -, and a timer")
        owner = None
        if match["pid"]:
            owner = Owner(int(match["pid"]), captured_name(match["name"]), None)
        inode = match["inode"]
        user = match["user"] if inode and inode != "0" else None
        is_number = user is not None and user.isascii() and user.isdecimal()
        return Rest(
            int(user) if user and is_number else None,
            captured_name(user) if user and not is_number else None,
            int(inode) or None if inode else None,
            (owner,) if owner else (),
            self._owner_status(owner, inode, is_told=bool(match["nobody"])),
            timer,
        )

    def _owner_status(
        self, owner: Owner | None, inode: str | None, *, is_told: bool
    ) -> OwnerStatus:
        if owner:
            return "known"
        if inode == "0":
            return "none"
        return self._unseen if is_told else "unsupported"

    def _unix(self, line: str) -> Connection:
        match = UNIX_ROW.fullmatch(line.rstrip())
        if not match:
            raise CellError(line, UNIX_ROW_SHAPE)
        inode = match["inode"]
        owner, path, is_told = self._unix_owner(inode, match["rest"] or "")
        return Connection(
            "unix",
            "unix",
            UNIX_TYPES.get(match["type"], "raw"),
            UNIX_STATES[match["state"]],
            captured_name(path) if path else None,
            *(None,) * 9,
            int(inode) or None,
            None,
            owner.pid if owner else None,
            owner.process if owner else None,
            (owner,) if owner else (),
            self._owner_status(owner, inode, is_told=is_told),
        )

    def _unix_owner(self, inode: str, rest: str) -> tuple[Owner | None, str, bool]:
        """The process, the path, and whether the processes are told at all."""
        start = max(INODE_WIDTH - len(inode), 0) + 1
        if self._is_tight:
            start = len(rest) - len(rest.lstrip(" "))
        cell, path = rest[start : start + OWNER_WIDTH], rest[start + OWNER_WIDTH :]
        if path and not path.startswith(" ") and not self._is_tight:
            more, _, path = path.partition(" ")
            cell += more
        match = UNIX_OWNER.fullmatch(cell.rstrip()) if self._has_owners else None
        if match is None:
            return None, rest.strip(), False
        owner = None
        if match["pid"]:
            owner = Owner(int(match["pid"]), captured_name(match["name"]), None)
        return owner, path.removeprefix(" "), True


def _datagram_state(behind: str, *, is_raw: bool) -> tuple[State, str]:
    """The state, and what stands behind it: of those without a peer it is blank.

    Of raw sockets it is the kernel's number.
    """
    word, _, rest = behind.partition(" ")
    if word == "ESTABLISHED" or (is_raw and word == "1"):
        return "ESTABLISHED", rest
    return "UNCONN", rest if is_raw and word == "7" else behind


def _cells(line: str) -> list[str]:
    """Five cells, and what stands behind them in one."""
    if len(line) > LONGEST_ROW:
        raise CellError(line, f"a row of at most {LONGEST_ROW} characters")
    return line.split(None, 5)


def _split_timer(text: str) -> tuple[str, Timer | None]:
    """What stands before the timer, and the timer: `keepalive (7199.05/0/2)`.

    Its third number counts the unanswered probes of the timers that are not for data.
    """
    before, _, tail = text.rpartition(" (")
    times = TIMES.fullmatch(tail)
    start = before.rfind(" ") + 1
    word = before[start:]
    if not times or not TIMER_WORD.fullmatch(word):
        return text, None
    kind = TIMERS.get(word)
    seconds, sent, probes = times.groups()
    fired = int(probes if kind in ("keepalive", "zero_window") else sent)
    timer = Timer(kind, round(float(seconds) * 1000), fired) if kind else None
    return before[:start].rstrip(), timer


def _recognises(lines: Sequence[str]) -> bool:
    return any(GNU_ROW.match(line) for line in lines)


def _recognises_busybox(lines: Sequence[str]) -> bool:
    """It shows IPv6 as tcp and udp; with IPv4 alone there is no difference."""
    return any(BUSYBOX_ROW.match(line) for line in lines)


def _read_gnu(lines: Lines, faults: Faults) -> Iterator[list[Connection]]:
    return Reading(faults, is_busybox=False).batches(lines)


def _read_busybox(lines: Lines, faults: Faults) -> Iterator[list[Connection]]:
    return Reading(faults, is_busybox=True).batches(lines)


FORMATS = (
    Format("busybox-netstat", "BusyBox netstat", _recognises_busybox, _read_busybox),
    Format("gnu-netstat", "GNU netstat", _recognises, _read_gnu),
)
