"""/proc/net/{tcp,udp,udplite,raw,icmp}{,6} and unix: rows of text in, records out.

Read Documentation/networking/proc_net_tcp.rst and proc_pid_net(5); the rest is known only from the
functions that print the rows, which are named below.

A row that is not as its function prints it is not an error, because a file may be cut short: it is
counted. A first line that is not the header is a ParseError: this is another file.
"""

from __future__ import annotations

import re
import sys
from binascii import unhexlify
from collections.abc import Callable, Iterable, Mapping
from struct import Struct
from typing import Literal, NamedTuple, TypeAlias

from netinspect.errors import ParseError
from netinspect.model import Connection, Protocol, SocketType, State, Table, Timer, decode_name
from netinspect.parse import inet_diag, unix_diag
from netinspect.parse.address import MOST_REMEMBERED, AddressText
from netinspect.parse.inet_diag import CLOSE, EXPOSURE_OF, LISTEN, LISTENING, TIMER_KINDS

FILES: dict[Table, str] = {
    Table("tcp", "ipv4"): "tcp",
    Table("tcp", "ipv6"): "tcp6",
    Table("udp", "ipv4"): "udp",
    Table("udp", "ipv6"): "udp6",
    Table("udplite", "ipv4"): "udplite",
    Table("udplite", "ipv6"): "udplite6",
    Table("raw", "ipv4"): "raw",
    Table("raw", "ipv6"): "raw6",
    Table("icmp", "ipv4"): "icmp",
    Table("icmp", "ipv6"): "icmp6",
    Table("unix", "unix"): "unix",
}
SOCKET_TYPES: dict[Protocol, SocketType] = {**inet_diag.SOCKET_TYPES, "icmp": "dgram"}

# How each file begins, runs of blanks as one; the datagram tables go on with `ref pointer drops`.
INET_HEADER = (
    "sl local_address {peer}_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode"
)
HEADERS = {
    "ipv4": INET_HEADER.format(peer="rem").encode(),
    "ipv6": INET_HEADER.format(peer="remote").encode(),
    "unix": b"Num RefCount Protocol Flags Type St Inode Path",
}

# A row of tcp (get_tcp4_sock, net/ipv4/tcp_ipv4.c), its columns folded here, and padded to 149:
#    0: 0100007F:97E5 0100007F:A2DC 08 00000000:00000001 00:00000000 00000000
#        1000        0 75705 3 00000000ae4c4e79 20 0 0 10 -1
# tcp6 has four words an address and no padding (get_tcp6_sock, net/ipv6/tcp_ipv6.c).
# A minisocket ends with the pointer (get_openreq4, get_timewait4_sock), and so has no uid of its
# own: a SYN_RECV prints that of its listener, where sock_diag prints 0.
#    3: 0100007F:A2DC 0100007F:97E5 06 00000000:00000000 03:0000176C 00000000
#           0        0 0 3 00000000ae4c4e79
TCP_END = rb"(?: (\d{1,20}) \S+ \S+ \S+ \S+.*)?"
# udp, udplite, raw and icmp end with the drops: 32 bits, old kernels print them signed
# (udp4_format_sock, raw_sock_seq_show, ping_v4_format_sock, ip6_dgram_sock_seq_show).
#  5683: 00000000:1388 00000000:0000 07 00000000:00000000 00:00000000 00000000
#           0        0 75708 2 00000000522a2a4f 0
DATAGRAM_END = rb" (-?\d{1,20})(?: .*)?"

# The groups of a row: local address and port, remote address and port, state, tx_queue:rx_queue,
# timer:when, retransmits, uid, timeout, inode, pointer, and the first field after the pointer.
InetRow: TypeAlias = tuple[bytes, ...]
LOCAL_PORT, STATE, INODE, POINTER = 1, 4, 10, 11
IDLE = b"00000000:00000000"
NO_TIMER = b"00:00000000"


def _inet_row(address_digits: int, end: bytes) -> re.Pattern[bytes]:
    address = rb"([0-9A-F]{%d}):([0-9A-F]{4}) " % address_digits
    queues = rb"([0-9A-F]{8}:[0-9A-F]{8}) "
    timer = rb"([0-9A-F]{2}:[0-9A-F]{8,16}) ([0-9A-F]{8}) "
    numbers = rb"+(\d{1,10}) +(\d{1,10}) (\d{1,20}) \S+ (\S+)"
    row = rb"^ *\d+: " + address + address + rb"([0-9A-F]{2}) " + queues + timer + numbers + end
    return re.compile(row + rb" *$", re.MULTILINE)


INET_ROWS = {
    (family, protocol == "tcp"): _inet_row(digits, TCP_END if protocol == "tcp" else DATAGRAM_END)
    for family, digits in (("ipv4", 8), ("ipv6", 32))
    for protocol in ("tcp", "udp")
}

# A row of unix (unix_seq_show, net/unix/af_unix.c); the pointer has 8 digits on 32-bit machines:
#   00000000d541d5a6: 00000002 00000000 00010000 0001 01 75714 /run/a b
# The path is printed as it is, a line break too, and each NUL of an abstract name as @. So a line
# that does not begin as a row does is the rest of the path before it. And whoever names a socket
# "x\n<a row>" forges a row: pointer, inode and path are all his choice, there is nothing in this
# file to tell it by. What holds is that he can only add rows: every row that the kernel prints
# stays one, whatever stands before it. Only sock_diag, which has lengths, cannot be fooled.
UNIX_ROW_START = rb"[0-9a-f]{8,16}: "
UNIX_ROW = re.compile(
    rb"^([0-9a-f]{8,16}): [0-9A-F]{8} [0-9A-F]{8} ([0-9A-F]{8}) ([0-9A-F]{4}) ([0-9A-F]{2})"
    rb" +(\d{1,20})(?: (.*(?:\n(?!" + UNIX_ROW_START + rb").*)*))?$",
    re.MULTILINE,
)
ACCEPTS_CONNECTIONS = 0x10000  # __SO_ACCEPTCON, include/linux/net.h
# enum socket_state, linux/net.h. The kernel derives it from TCP_ESTABLISHED or not, and a socket
# that is still there or not: 2 waits to be accepted, 4 was closed.
UNIX_STATES: dict[bytes, State] = {
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


class HexAddress(dict[bytes, str]):
    """Canonical text of an address as /proc/net prints it, each converted once.

    Every 32-bit word is printed as a number of this machine's:

    >>> HexAddress("ipv4", "little")[b"0100007F"], HexAddress("ipv4", "big")[b"7F000001"]
    ('127.0.0.1', '127.0.0.1')
    """

    def __init__(
        self,
        family: Literal["ipv4", "ipv6"],
        byteorder: Literal["little", "big"] = sys.byteorder,
    ) -> None:
        words = 1 if family == "ipv4" else 4
        self._printed = Struct(f">{words}I")
        self._packed = Struct(f"{'<' if byteorder == 'little' else '>'}{words}I")
        self._text = AddressText(family)

    def __missing__(self, printed: bytes) -> str:
        text = self._text[self._packed.pack(*self._printed.unpack(unhexlify(printed)))]
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        self[printed] = text
        return text


ADDRESS_TEXT = {"ipv4": HexAddress("ipv4"), "ipv6": HexAddress("ipv6")}


def _by_digits(states: tuple[State | None, ...]) -> dict[bytes, State | None]:
    return {b"%02X" % number: state for number, state in enumerate(states)}


# State by the digits of its number; None where the port decides.
TCP_STATES = _by_digits(inet_diag.TCP_STATES)
DATAGRAM_STATES = _by_digits(inet_diag.DATAGRAM_STATES)
PEERLESS = frozenset((b"%02X" % CLOSE, b"%02X" % LISTEN))


def parse(
    data: bytes, table: Table, users: Mapping[int, str | None], ticks_per_second: int = 100
) -> tuple[list[Connection], int]:
    """The sockets of a whole file, and how many of its rows could not be read.

    :param ticks_per_second: USER_HZ, in which timers are printed.
    :raises ParseError: the first line is not the header of this table's file.
    """
    header, _, rows = data.partition(b"\n")
    check_header(header, table)
    if table.protocol == "unix":
        unix_rows, skipped = split_unix_rows(rows)
        return [unix_record(row) for row in unix_rows], skipped
    inet_rows, skipped = split_inet_rows(rows, table)
    return inet_records(inet_rows, table, users, ticks_per_second), skipped


def check_header(line: bytes, table: Table) -> None:
    """Look whether a file begins as the file of this table does.

    :raises ParseError: it does not.
    """
    expected = HEADERS[table.family]
    if not b" ".join(line.split()).startswith(expected):
        raise ParseError(
            f"/proc/net/{FILES[table]} line 1: expected the header '{expected.decode()}', "
            f"found '{decode_name(line[:120].strip())}'"
        )


def split_inet_rows(block: bytes, table: Table) -> tuple[list[InetRow], int]:
    """The rows of a piece of a file, cut into fields, and how many lines are not rows.

    A line without its end was cut, perhaps inside of a number: it is not a row.
    """
    lines, _, torn = block.rpartition(b"\n")
    rows = INET_ROWS[table.family, table.protocol == "tcp"].findall(lines)
    line_count = lines.count(b"\n") + 1 if lines else 0
    return rows, line_count - len(rows) + bool(torn)


def inet_key(row: InetRow) -> bytes:
    """What no two sockets of a table have in common: both addresses, and the inode.

    Without an inode it is the kernel's (hashed) pointer; where that is hidden too, as it is from
    those without CAP_SYSLOG when kernel.kptr_restrict is set, the state.
    """
    identity = row[INODE]
    if identity == b"0":
        pointer = row[POINTER]
        identity = pointer if pointer.strip(b"0") else row[STATE]
    return b"%b%b%b%b " % row[:4] + identity


def inet_states(rows: Iterable[InetRow], table: Table) -> list[State]:
    """The state of each row: all that counting needs."""
    states = TCP_STATES if table.protocol == "tcp" else DATAGRAM_STATES
    return [states[row[STATE]] or _closed_state(row[LOCAL_PORT]) for row in rows]


def inet_records(
    rows: Iterable[InetRow],
    table: Table,
    users: Mapping[int, str | None],
    ticks_per_second: int = 100,
) -> list[Connection]:
    """A record of each row. /proc/net tells no interface, cookie or backlog limit."""
    record = _recorder(table, users, ticks_per_second)
    return [record(row) for row in rows]


def _closed_state(port: bytes) -> State:
    return "CLOSE" if port == b"0000" else "BOUND"


def _recorder(
    table: Table, users: Mapping[int, str | None], ticks_per_second: int
) -> Callable[[InetRow], Connection]:
    """A function that makes a record of a row of this table."""
    protocol, family = table
    socket_type = SOCKET_TYPES[protocol]
    is_tcp, is_raw = protocol == "tcp", protocol == "raw"
    states = TCP_STATES if is_tcp else DATAGRAM_STATES
    has_ports = protocol not in ("raw", "icmp")
    text = ADDRESS_TEXT[family]

    def record(row: InetRow) -> Connection:
        source, sport, destination, dport, digits, queues, timer, retransmits = row[:8]
        uid_text, timeout, inode_text, _, after = row[8:]
        state = states[digits] or _closed_state(sport)
        has_peer = digits not in PEERLESS
        local, port = text[source], int(sport, 16)
        send_q, recv_q = (0, 0) if queues == IDLE else _hex_pair(queues)
        uid, inode = int(uid_text), int(inode_text)
        is_minisocket = is_tcp and not after
        has_uid = (uid or inode) and not is_minisocket
        return Connection(
            protocol,
            family,
            socket_type,
            state,
            local,
            text[destination] if has_peer else None,
            port if has_ports else None,
            int(dport, 16) if has_ports and has_peer else None,
            port if is_raw else None,
            None,
            recv_q,
            None if state == "LISTEN" else send_q,
            uid if has_uid else None,
            users[uid] if has_uid else None,
            inode or None,
            None,
            owner_status="not_requested" if inode else "none",
            timer=None
            if timer == NO_TIMER
            else _timer(timer, retransmits, timeout, ticks_per_second),
            drops=None if is_tcp else int(after) & 0xFFFFFFFF,
            exposure=EXPOSURE_OF[local] if state in LISTENING else None,
        )

    return record


def _hex_pair(text: bytes) -> tuple[int, int]:
    first, _, second = text.partition(b":")
    return int(first, 16), int(second, 16)


def _timer(timer: bytes, retransmits: bytes, timeout: bytes, ticks_per_second: int) -> Timer | None:
    """The `timeout` column counts the unanswered probes of the timers that are not for data."""
    number, ticks = _hex_pair(timer)
    kind = TIMER_KINDS.get(number)
    if kind is None:
        return None
    fired = int(timeout) if kind in ("keepalive", "zero_window") else int(retransmits, 16)
    return Timer(kind, ticks * 1000 // ticks_per_second, fired)


def split_unix_rows(data: bytes) -> tuple[list[UnixRow], int]:
    """The rows of a file, and how many lines are neither a row nor the rest of a path."""
    lines, _, torn = data.rpartition(b"\n")
    rows = [UnixRow._make(fields) for fields in UNIX_ROW.findall(lines)]
    others = UNIX_ROW.sub(b"", lines).split(b"\n")
    return rows, sum(map(bool, others)) + bool(torn)


def unix_key(row: UnixRow) -> UnixRow | None:
    """What no two rows have in common, unless one is shown twice; None where that is not known.

    Connections that wait to be accepted have no inode, and all have the path of their listener.
    Everything in the row counts, or else a forged one could take the place of a true one.
    """
    return None if row.inode == b"0" else row


def unix_state(row: UnixRow) -> State:
    """LISTEN has no number of its own here, it is a flag."""
    if int(row.flags, 16) & ACCEPTS_CONNECTIONS:
        return "LISTEN"
    return UNIX_STATES.get(row.state, "UNKNOWN")


def unix_record(row: UnixRow) -> Connection:
    """A record. /proc/net tells no queues, uid or peer of unix sockets.

    A path that begins with @ is taken for an abstract name; sock_diag, which can tell, has ./@.
    """
    inode = int(row.inode)
    return Connection(
        "unix",
        "unix",
        unix_diag.SOCKET_TYPES.get(int(row.socket_type, 16), "raw"),
        unix_state(row),
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
        owner_status="not_requested" if inode else "none",
    )
