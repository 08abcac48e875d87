"""The text that ss of iproute2 prints, in every form that it takes.

The column Netid is missing where one kind of socket was asked for, the column State where one state
was; with -H there is no header, and what -i and -m add stands on a line of its own, or with -O not.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import chain, compress, islice

from msgspec import UNSET
from msgspec.structs import replace

from netinspect.errors import CellError
from netinspect.model import (
    Connection,
    Note,
    OwnerStatus,
    Protocol,
    SocketType,
    State,
    Table,
)
from netinspect.parse.captured import BATCH_SIZE, Faults, Format, Lines, captured_name
from netinspect.parse.cells import (
    OWNERLESS,
    PEERLESS,
    SOCKET_TYPES,
    Numbers,
    Ports,
    exposure_of,
    kind,
    split_endpoint,
)
from netinspect.parse.inet_numbers import closed_state
from netinspect.parse.peered import Columns, Peered
from netinspect.parse.ss_cells import (
    INET,
    NETIDS,
    NEW_STAR,
    OLD_STAR,
    OTHERS,
    STATES,
    UNIX,
    UNIX_ENDS,
    Host,
    Hosts,
    first_columns,
    row_columns,
    zoned,
)
from netinspect.parse.ss_words import USERS, Extra, parse_extra

PLAIN_CELLS = 5
PEERED = frozenset(STATES) - {"LISTEN", "UNCONN", "BOUND-INACTIVE"}
TCP = kind("tcp", "ipv4")
ONLY_OF_TCP = frozenset(STATES) - {"ESTAB", "UNCONN", "UNKNOWN"}
HEADER = re.compile(r"(?:Netid +)?(?:State +)?Recv-Q +Send-Q +Local Address:Port")
BARE_IPV6 = re.compile(r" (?::::|::1:|::ffff:)")  # before iproute2 4.16
TCP_WORDS = re.compile(r" (?:wscale:|cwnd:|rto:)|timer:\(")
# tcp   LISTEN 0      128     0.0.0.0:22    0.0.0.0:*
ROW = re.compile(
    rf"(?:(?:{'|'.join(sorted(NETIDS))}) +)?(?:{'|'.join(sorted(STATES))}) +\d+ +\d+ +\S"
)
HEAD_LINES = 50
ASSUMED = Note(
    "protocol_assumed",
    None,
    "the capture does not say of which protocol it is, taken for tcp; ss-udp is the other --format",
)
NOTHING = Extra()
MOST_CONTINUED = 16
BLANKS = ("\t", " ")


class Reading:
    """One capture while it is read.

    :param protocol: of rows without Netid.
    :param has_owners: whether rows without a process say that there is none.
    """

    def __init__(self, faults: Faults, protocol: Protocol, star: Host, *, has_owners: bool) -> None:
        self._faults = faults
        self._protocol = protocol
        self._has_owners = has_owners
        self._hosts, self._ports = Hosts(star), Ports()
        self._recv_qs, self._send_qs = Numbers("the receive queue"), Numbers("the send queue")
        self._peered = Peered(self._hosts.addresses, self._ports, self._recv_qs, self._send_qs)
        self._records: list[Connection] = []
        self._unix: list[Connection] = []

    def batches(self, lines: Lines) -> Iterator[list[Connection]]:
        """See `captured.Reader`."""
        lines, number = iter(lines), 1
        some = list(islice(lines, BATCH_SIZE))
        while some:
            more = list(islice(lines, BATCH_SIZE))
            end = _last_row(some) if more else len(some)
            self._add_all(number, some[:end])
            yield self._taken()
            number += end
            some = some[end:] + more
        self._put_unix()
        yield self._taken()
        named = self._hosts.addresses.named + self._ports.named
        if named:
            self._faults.remark("names_not_numeric", named)

    def _taken(self) -> list[Connection]:
        records, self._records = self._records, []
        return records

    def _add_all(self, number: int, lines: Sequence[str]) -> None:
        """Whole rows, with the lines that continue them."""
        text = "\n".join(lines)
        if text.startswith(BLANKS) or any(f"\n{blank}" in text for blank in BLANKS):
            self._add_continued(number, lines)
            return
        rows = list(map(str.split, lines))
        is_all = set(map(len, rows)) == {PLAIN_CELLS}
        plain = self._plain(rows) if is_all else None
        if plain:
            self._put_unix()
            self._records += plain
            return
        are_plain = [len(row) == PLAIN_CELLS and row[0] in PEERED for row in rows]
        plain = self._plain(list(compress(rows, are_plain)))
        made = iter(plain or ())
        for position, (is_plain, line) in enumerate(zip(are_plain, lines, strict=True), number):
            if is_plain and plain:
                self._put(next(made))
            else:
                self._add(position, line, ())

    def _plain(self, rows: Sequence[Sequence[str]]) -> list[Connection] | None:
        """Connections over IPv4, five cells each; None where one is another after all."""
        if not rows or self._protocol != "tcp":
            return None
        words, recv_qs, send_qs, local, remote = zip(*rows, strict=True)
        if not PEERED.issuperset(words):
            return None
        states = list(map(STATES.__getitem__, words))
        columns = Columns(states, recv_qs, send_qs, local, remote)
        unseen: OwnerStatus = "not_found" if self._has_owners else "unsupported"
        return self._peered.records(TCP, columns, unseen)

    def _add_continued(self, number: int, lines: Sequence[str]) -> None:
        held: tuple[int, str] | None = None
        continued: list[str] = []
        for position, line in enumerate(lines, number):
            if line.startswith(BLANKS) and held and len(continued) < MOST_CONTINUED:
                continued.append(line)
                continue
            if held:
                self._add(*held, continued)
            held, continued = (position, line), []
        if held:
            self._add(*held, continued)

    def _add(self, number: int, line: str, continued: Sequence[str]) -> None:
        try:
            record = self._row(line, continued)
        except CellError as error:
            self._faults.add_cell(number, line, error)
            return
        if record:
            self._put(record)

    def _put(self, record: Connection) -> None:
        """Unix sockets are held until all of them are known, for the addresses of their peers."""
        if record.protocol == "unix":
            self._unix.append(record)
            return
        if self._unix:
            self._put_unix()
        self._records.append(record)

    def _put_unix(self) -> None:
        self._records += _with_peers(self._unix)
        self._unix = []

    def _row(self, line: str, continued: Sequence[str]) -> Connection | None:
        name, _, rest = line.partition(" ")
        if name in INET:
            return self._inet(INET[name], rest, continued)
        if name in UNIX:
            return self._unix_row(UNIX[name], rest, continued)
        if name in OTHERS:
            return self._other(*OTHERS[name], rest, continued)
        if not line.strip() or HEADER.match(line):
            return None
        if name not in STATES and not name.isdecimal():
            raise CellError(name or line, "a kind such as tcp, or a state such as ESTAB")
        return self._inet(self._protocol, line, continued)

    def _inet(self, protocol: Protocol, rest: str, continued: Sequence[str]) -> Connection:
        state, recv_q, send_q, local_cell, remote_cell, behind = row_columns(rest)
        host, port = split_endpoint(local_cell)
        local, local_port = self._hosts[host], self._ports[port]
        host, port = split_endpoint(remote_cell)
        remote, remote_port = self._hosts[host], self._ports[port]
        if state == "UNCONN" and protocol in ("tcp", "mptcp"):
            state = closed_state(local_port != 0)
        extra = self._extra(behind, continued, state, is_tcp=protocol == "tcp")
        exposure = exposure_of(local.address, state, protocol)
        has_peer, is_raw = state not in PEERLESS, protocol == "raw"
        record = Connection(
            protocol,
            local.family,
            SOCKET_TYPES[protocol],
            state,
            local.address,
            zoned(remote.address, local.interface) if has_peer else None,
            None if is_raw else local_port,
            remote_port if has_peer and not is_raw else None,
            local_port if is_raw else None,
            local.interface,
            self._recv_qs[recv_q],
            self._send_qs[send_q],
            extra.uid,
            None,
            extra.inode or None,
            extra.cookie or None,
            exposure=exposure,
            owner_status=self._owner_status(extra, state),
        )
        if extra is not NOTHING:
            record = _with_extra(record, extra)
        if exposure and local.address == "::" and not is_raw:
            return _with_stack(record, extra, local, local_cell)
        return record

    def _extra(self, behind: str, continued: Sequence[str], state: State, *, is_tcp: bool) -> Extra:
        if not behind and not continued:
            return NOTHING
        text = " ".join((behind, *(line.strip() for line in continued))).rstrip()
        self._has_owners = self._has_owners or USERS in text
        return parse_extra(text, state, is_tcp=is_tcp) if text else NOTHING

    def _owner_status(self, extra: Extra, state: State) -> OwnerStatus:
        if extra.owners:
            return "known"
        if extra.inode == 0 or state in OWNERLESS:
            return "none"
        return "not_found" if self._has_owners else "unsupported"

    def _unix_row(self, socket_type: SocketType, rest: str, continued: Sequence[str]) -> Connection:
        state, recv_q, send_q, ends = first_columns(rest)
        ends = ends.rstrip()
        match = UNIX_ENDS[0].fullmatch(ends) or UNIX_ENDS[1].fullmatch(ends)
        if not match:
            raise CellError(ends, "two paths with their inodes, such as /run/a 31337 * 31338")
        path, inode, peer, peer_inode, behind = match.groups()
        extra = self._extra(behind or "", continued, state, is_tcp=False)
        record = Connection(
            "unix",
            "unix",
            socket_type,
            state,
            None if path == "*" else captured_name(path),
            None if peer in ("*", "?") else captured_name(peer),
            None,
            None,
            None,
            None,
            self._recv_qs[recv_q],
            self._send_qs[send_q],
            None,
            None,
            int(inode) or None,
            None,
            owner_status="none" if inode == "0" else self._owner_status(extra, state),
            peer_inode=int(peer_inode) or None,
        )
        return record if extra is NOTHING else _with_extra(record, extra)

    def _other(
        self, table: Table, socket_type: SocketType, rest: str, continued: Sequence[str]
    ) -> Connection:
        """Of netlink, packet and vsock sockets the address is what ss prints."""
        state, recv_q, send_q, ends = first_columns(rest)
        local, _, behind = ends.partition(" ")
        remote, _, behind = behind.strip().partition(" ")
        extra = self._extra(behind.strip(), continued, state, is_tcp=False)
        record = Connection(
            *table,
            socket_type,
            state,
            captured_name(local),
            None if remote in ("*", "*:*", "") else captured_name(remote),
            *(None,) * 4,
            self._recv_qs[recv_q],
            self._send_qs[send_q],
            extra.uid,
            None,
            extra.inode or None,
            extra.cookie or None,
            owner_status=self._owner_status(extra, state),
        )
        return record if extra is NOTHING else _with_extra(record, extra)


def _last_row(lines: Sequence[str]) -> int:
    """Where the last row begins: what follows may continue it."""
    last = len(lines) - 1
    while last > 0 and lines[last].startswith(BLANKS) and len(lines) - last <= MOST_CONTINUED:
        last -= 1
    return max(last, 1)


def _with_extra(record: Connection, extra: Extra) -> Connection:
    first = extra.owners[0] if extra.owners else None
    memory = extra.memory
    return replace(
        record,
        owners=extra.owners,
        pid=first.pid if first else None,
        process=first.process if first else None,
        timer=extra.timer,
        drops=memory.drops if memory and record.protocol != "tcp" else None,
        memory=UNSET if memory is None else memory,
        options=UNSET if extra.options is None else extra.options,
        tcp_info=UNSET if extra.tcp_info is None else extra.tcp_info,
    )


def _with_stack(record: Connection, extra: Extra, local: Host, cell: str) -> Connection:
    """A listener on ::, of which ss says whether it takes IPv4 as well, by v6only or by its *."""
    if extra.v6only is not None:
        return replace(record, dual_stack=not extra.v6only)
    if local.is_star or cell.startswith("["):
        return replace(record, dual_stack=local.is_star)
    return record


def _with_peers(connections: Sequence[Connection]) -> list[Connection]:
    """Unix sockets with the address of their peer: ss prints its inode alone."""
    address_of = {c.inode: c.local_address for c in connections if c.inode}
    return [
        replace(c, remote_address=address_of.get(c.peer_inode))
        if c.peer_inode and c.remote_address is None
        else c
        for c in connections
    ]


def _read(lines: Lines, faults: Faults, protocol: Protocol | None) -> Iterator[list[Connection]]:
    """:param protocol: of rows without Netid; None to tell it by their states."""
    lines = iter(lines)
    head = list(islice(lines, HEAD_LINES))
    is_old = any(BARE_IPV6.search(line) for line in head)
    told = protocol or _protocol_of(head)
    if told is None:
        faults.notes.append(ASSUMED)
    reading = Reading(
        faults,
        told or "tcp",
        OLD_STAR if is_old else NEW_STAR,
        has_owners=any(USERS in line for line in head),
    )
    yield from reading.batches(chain(head, lines))


def _protocol_of(head: Sequence[str]) -> Protocol | None:
    """Of rows without Netid: what has a state that only TCP has is TCP; None: nothing tells."""
    words = {line.partition(" ")[0] for line in head if not HEADER.match(line)}
    if not words or words & NETIDS or words & ONLY_OF_TCP:
        return "tcp"
    if "UNCONN" in words:
        return "udp"
    return "tcp" if any(TCP_WORDS.search(line) for line in head) else None


def _recognises(lines: Sequence[str]) -> bool:
    return any(HEADER.match(line) or ROW.match(line) for line in lines)


def _never(_lines: Sequence[str]) -> bool:
    """Without Netid they are all alike."""
    return False


PROTOCOLS: tuple[Protocol, ...] = ("tcp", "udp", "raw")
FORMATS = (
    Format("ss", "ss", _recognises, partial(_read, protocol=None)),
    *(
        Format(f"ss-{name}", f"ss of {name} sockets", _never, partial(_read, protocol=name))
        for name in PROTOCOLS
    ),
)
