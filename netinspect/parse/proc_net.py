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
from collections.abc import Iterable, Mapping
from struct import Struct
from typing import Literal, TypeAlias

from netinspect.errors import ParseError
from netinspect.model import (
    Connection,
    OwnerStatus,
    Protocol,
    SocketType,
    State,
    Table,
    Timer,
    decode_name,
)
from netinspect.parse import inet_numbers, proc_unix
from netinspect.parse.address import MOST_REMEMBERED, AddressText
from netinspect.parse.inet_numbers import CLOSE, LISTEN, TIMER_KINDS, closed_state
from netinspect.parse.inet_records import EXPOSURE_OF

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
SOCKET_TYPES: dict[Protocol, SocketType] = {**inet_numbers.SOCKET_TYPES, "icmp": "dgram"}

# The first line of a file, runs of blanks as one (tcp4_seq_show, udp4_seq_show and so on).
TCP_HEADER = (
    "sl local_address {}_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode"
)
DATAGRAM_HEADER = TCP_HEADER + " ref pointer drops"
UNIX_HEADER = "Num RefCount Protocol Flags Type St Inode Path"

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
TCP_STATES = _by_digits(inet_numbers.TCP_STATES)
DATAGRAM_STATES = _by_digits(inet_numbers.DATAGRAM_STATES)
CLOSE_DIGITS, LISTEN_DIGITS = b"%02X" % CLOSE, b"%02X" % LISTEN


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
        unix_rows, skipped = proc_unix.split_rows(rows)
        return [proc_unix.record(row) for row in unix_rows], skipped
    inet_rows, skipped = split_inet_rows(rows, table)
    return inet_records(inet_rows, table, users, ticks_per_second), skipped


def check_header(line: bytes, table: Table) -> None:
    """Look whether a file begins as the file of this table does.

    :raises ParseError: it does not.
    """
    if table.protocol == "unix":
        expected = UNIX_HEADER
    else:
        header = TCP_HEADER if table.protocol == "tcp" else DATAGRAM_HEADER
        expected = header.format("rem" if table.family == "ipv4" else "remote")
    if b" ".join(line.split()) != expected.encode():
        raise ParseError(
            f"/proc/net/{FILES[table]} line 1: expected the header '{expected}', "
            f"found '{decode_name(line[:120].strip())}'"
        )


def split_inet_rows(block: bytes, table: Table) -> tuple[list[InetRow], int]:
    """The rows of a piece of a file, cut into fields, and how many lines are not rows.

    A line without its end was cut, perhaps inside of a number: it is not a row.
    """
    lines, _, torn = block.rpartition(b"\n")
    rows = INET_ROWS[table.family, table.protocol == "tcp"].findall(lines)
    return rows, block.count(b"\n") - len(rows) + bool(torn)


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


def icmp_inodes(block: bytes) -> set[bytes]:
    """Inodes of the rows of icmp or icmp6 that surely stand in the right one of the two files.

    Only the first row of a hash chain, which is the first field, is chosen by its family. Those
    that follow it in the chain may be of the other, and then have an address of 0 (ping_get_first,
    ping_get_next, net/ipv4/ping.c).
    """
    inodes, last_chain = set(), b""
    for fields in map(bytes.split, block.splitlines()):
        if len(fields) > 9:
            chain, local, inode = fields[0], fields[1], fields[9]
            if chain != last_chain or local.partition(b":")[0].strip(b"0"):
                inodes.add(inode)
            last_chain = chain
    return inodes


def inet_states(rows: Iterable[InetRow], table: Table) -> list[State]:
    """The state of each row: all that counting needs."""
    states = TCP_STATES if table.protocol == "tcp" else DATAGRAM_STATES
    return [states[row[STATE]] or closed_state(row[LOCAL_PORT] != b"0000") for row in rows]


def inet_records(
    rows: Iterable[InetRow],
    table: Table,
    users: Mapping[int, str | None],
    ticks_per_second: int = 100,
    unasked: OwnerStatus = "not_requested",
) -> list[Connection]:
    """A record of each row. /proc/net tells no interface, cookie or backlog limit.

    :param unasked: the owner status of what may have owners.
    One loop without calls, as in inet_diag: the rows may be many.
    """
    protocol, family = table
    socket_type = SOCKET_TYPES[protocol]
    is_tcp, is_raw = protocol == "tcp", protocol == "raw"
    states = TCP_STATES if is_tcp else DATAGRAM_STATES
    listening = LISTEN_DIGITS if is_tcp else CLOSE_DIGITS
    has_ports = protocol not in ("raw", "icmp")
    text = ADDRESS_TEXT[family]
    records = []
    for (
        source, sport, destination, dport, state_digits, queues, timer, retransmits,
        uid_digits, timeout, inode_digits, _, after,
    ) in rows:  # fmt: skip
        port, uid, inode = int(sport, 16), int(uid_digits), int(inode_digits)
        state = states[state_digits] or closed_state(port)
        local = text[source]
        remote = remote_port = exposure = None
        if state_digits == listening:
            exposure = EXPOSURE_OF[local]
        elif state_digits != CLOSE_DIGITS:
            remote = text[destination]
            remote_port = int(dport, 16) if has_ports else None
        send_q, recv_q = (0, 0) if queues == IDLE else _hex_pair(queues)
        is_minisocket = is_tcp and not after
        has_uid = (uid or inode) and not is_minisocket
        records.append(
            Connection(
                protocol,
                family,
                socket_type,
                state,
                local,
                remote,
                port if has_ports else None,
                remote_port,
                port if is_raw else None,
                None,
                recv_q,
                None if state == "LISTEN" else send_q,
                uid if has_uid else None,
                users[uid] if has_uid else None,
                inode or None,
                None,
                owner_status=unasked if inode else "none",
                timer=None
                if timer == NO_TIMER
                else _timer(timer, retransmits, timeout, ticks_per_second),
                drops=None if is_tcp else int(after) & 0xFFFFFFFF,
                exposure=exposure,
            )
        )
    return records


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
