r"""What lsof tells of the descriptors of processes, as sockets with owners.

A socket that several descriptors are for is one record with several owners, where lsof tells the
number by which it is known to be one (DEVICE, `d`). `lsof` reads its columns, `lsof_fields` what it
prints with -F. Sources: proc.c, print.c and misc.c of lsof.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from netinspect.errors import CellError
from netinspect.model import STATES, Connection, Owner, SocketType, State, decode_name
from netinspect.parse.bsd_address import TCP_STATES as BSD_STATES
from netinspect.parse.bsd_address import Endpoint, Endpoints
from netinspect.parse.captured import BATCH_SIZE, Faults
from netinspect.parse.captured_socket import (
    NOWHERE,
    UNTOLD,
    Holder,
    Kind,
    Queues,
    inet_socket,
    unix_socket,
)

TCP_STATES: dict[str, State] = {
    **{state: state for state in STATES},
    **BSD_STATES,
    "SYN_RECEIVED": "SYN_RECV",
    "IDLE": "CLOSE",
}
KINDS = {
    ("TCP", "IPv4"): Kind("tcp", "ipv4", "stream"),
    ("TCP", "IPv6"): Kind("tcp", "ipv6", "stream"),
    ("UDP", "IPv4"): Kind("udp", "ipv4", "dgram"),
    ("UDP", "IPv6"): Kind("udp", "ipv6", "dgram"),
    ("UDPLITE", "IPv4"): Kind("udplite", "ipv4", "dgram"),
    ("UDPLITE", "IPv6"): Kind("udplite", "ipv6", "dgram"),
    ("SCTP", "IPv4"): Kind("sctp", "ipv4", "seqpacket"),
    ("SCTP", "IPv6"): Kind("sctp", "ipv6", "seqpacket"),
}
INET_TYPES = ("IPv4", "IPv6")
UNIX_TYPES: dict[str, SocketType] = {
    "STREAM": "stream",
    "DGRAM": "dgram",
    "SEQPACKET": "seqpacket",
    "RAW": "raw",
}
UNIX_STATES: dict[str, State] = {
    "LISTEN": "LISTEN",
    "CONNECTED": "ESTABLISHED",
    "UNCONNECTED": "UNCONN",
}
# Sockets of which the record knows nothing, or lsof tells nothing.
PROTOCOLS = frozenset(protocol for protocol, _ in KINDS)
LEFT_OUT = frozenset({"sock", "raw", "raw6", "pack", "netlink", "key", "ndrv", "systm", "rte"})
UNIX_NAME = re.compile(r"(?P<path>.*?) *type=(?P<type>[A-Z]+).*", re.ASCII | re.DOTALL)
# misc.c safestrprt; `^X` for other controls cannot be told from the two characters
ESCAPE = re.compile(rb"\\(?:x([0-9a-fA-F]{2})|([bfnrt\\]))")
ESCAPED = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"\\": b"\\"}
# [fe80:5::1]: macOS has the number of the interface in the address itself (print.c)
EMBEDDED_SCOPE = re.compile(r"(fe[89ab][0-9a-f]|ff[0-9a-f][12]):([0-9a-f]{1,4}):(:?.*)")
# What is a socket, by its name alone: 127.0.0.1:631, [::1]:631->[::1]:50000, *:*
ENDPOINT_NAME = re.compile(
    r"(?!anon_inode:)(?:\[[^\s/\]]+\]|[^\s/:\[]+):(?:\*|[\w-]+)(?:->\S+)?", re.ASCII
)
ALL_FIELDS = "capture with lsof -F pcuLftdPnT"
NAME_EXPECTED = "an address and a port such as 127.0.0.1:631 or [::1]:631->[::1]:50000"


class File(Struct):
    """A descriptor as lsof tells it: texts as they stand there, None for what is missing."""

    command: str | None
    pid: int
    uid: int | None
    user: str | None
    fd: int | None
    type: str | None
    device: str | None = None
    inode: int | None = None
    protocol: str | None = None
    name: str | None = None
    state: str | None = None
    queues: Queues = UNTOLD

    @property
    def identity(self) -> tuple[str | None, ...] | None:
        """What no two sockets have in common; None where that is not told."""
        number = self.device or (str(self.inode) if self.inode else None)
        return (number, self.type, self.protocol, self.name) if number else None


class Sockets:
    """The sockets of many files: those that are one are put together."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._ends = {
            "ipv4": Endpoints("ipv4", is_wide=True, separator=":"),
            "ipv6": Endpoints("ipv6", is_wide=True, separator=":"),
        }
        self._records: list[Connection] = []
        self._places: dict[tuple[str | None, ...], int] = {}

    def add(self, file: File) -> None:
        """Take a file, if it is a socket.

        :raises CellError: it is one that cannot be read.
        """
        identity = file.identity
        place = self._places.get(identity) if identity else None
        if place is not None:
            self._records[place] = _with_owner(self._records[place], _owner(file))
            return
        record = self._record(file)
        if record is not None:
            if identity:
                self._places[identity] = len(self._records)
            self._records.append(record)

    def batches(self) -> Iterator[list[Connection]]:
        """All of them, in the order in which they came."""
        for start in range(0, len(self._records), BATCH_SIZE):
            yield self._records[start : start + BATCH_SIZE]

    def _record(self, file: File) -> Connection | None:
        if file.type == "unix":
            return self._unix_record(file)
        if file.type not in INET_TYPES:
            self._other(file)
            return None
        if file.protocol is None:
            raise CellError(file.type, f"the protocol as well: {ALL_FIELDS}")
        kind = KINDS.get((file.protocol, file.type))
        if kind is None:
            self._faults.remark("rows_left_out")
            return None
        return self._inet_record(file, kind)

    def _other(self, file: File) -> None:
        """A file that is no socket, or one that the record cannot have.

        :raises CellError: it is a socket, but of which type is not told.
        """
        if file.type in LEFT_OUT:
            self._faults.remark("rows_left_out")
        elif is_socket_name(file.name) and file.type is None:
            raise CellError(file.name or "", f"the type and the protocol as well: {ALL_FIELDS}")
        elif file.protocol in PROTOCOLS or UNIX_NAME.fullmatch(file.name or ""):
            raise CellError(file.type or "", "a type such as IPv4 or unix")

    def _inet_record(self, file: File, kind: Kind) -> Connection:
        local, arrow, remote = (file.name or "").partition("->")
        ends = self._end(local, kind), self._end(remote, kind) if arrow else NOWHERE
        for end in ends:
            if end.remark is not None:
                self._faults.remark(end.remark)
        state = None if file.state is None else _state(file.state)
        queues = UNTOLD if state == "LISTEN" else file.queues
        record = inet_socket(kind, state, *ends, queues, Holder(_owner(file), "known"))
        return replace(record, uid=file.uid, user=file.user, inode=_inet_inode(file.device))

    def _end(self, text: str, kind: Kind) -> Endpoint:
        host, colon, port = text.strip(" ").rpartition(":")
        if not colon:
            raise CellError(text, NAME_EXPECTED)
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        return self._ends[kind.family][f"{_with_zone(host)}:{port}"]

    def _unix_record(self, file: File) -> Connection | None:
        named = UNIX_NAME.match(file.name or "")
        if named is None or named["type"] not in UNIX_TYPES:
            self._faults.remark("type_not_told")
            return None
        path = named["path"]
        record = unix_socket(
            UNIX_TYPES[named["type"]],
            UNIX_STATES.get(file.state or "", "UNCONN" if file.state is None else "UNKNOWN"),
            unescape(path) if path and path != "socket" else None,
            None,
            holder=Holder(_owner(file), "known"),
        )
        return replace(record, uid=file.uid, user=file.user, inode=file.inode)


def is_socket_name(name: str | None) -> bool:
    """Whether only a socket is called so.

    >>> is_socket_name("[::1]:631"), is_socket_name("/run/a type=STREAM"), is_socket_name("/run/a")
    (True, True, False)
    """
    return bool(name and (ENDPOINT_NAME.fullmatch(name) or UNIX_NAME.fullmatch(name)))


def _owner(file: File) -> Owner:
    return Owner(file.pid, None if file.command is None else unescape(file.command), file.fd)


def _with_owner(record: Connection, owner: Owner) -> Connection:
    owners = tuple(sorted({*record.owners, owner}, key=_by_pid))
    return replace(record, owners=owners, pid=owners[0].pid, process=owners[0].process)


def _by_pid(owner: Owner) -> tuple[int, int]:
    return owner.pid, -1 if owner.fd is None else owner.fd


def _inet_inode(device: str | None) -> int | None:
    """On Linux the device of a socket is its inode; on macOS 0x and an address in the kernel."""
    return int(device) if device and device.isascii() and device.isdecimal() else None


def _state(text: str) -> State:
    state = TCP_STATES.get(text)
    if state is None and not text.startswith("UNKNOWN_TCP_STATE_"):
        raise CellError(text, "a state such as ESTABLISHED")
    return state or "UNKNOWN"


def _with_zone(host: str) -> str:
    """The number of the interface behind a %, where it stands in the address.

    >>> _with_zone("fe80:5::aede:48ff"), _with_zone("fe80::1"), _with_zone("fe80:5:0:0:1:2:3:4")
    ('fe80::aede:48ff%5', 'fe80::1', 'fe80:0:0:0:1:2:3:4%5')
    """
    scoped = EMBEDDED_SCOPE.fullmatch(host)
    if scoped is None or int(scoped[2], 16) == 0:
        return host
    first, scope, rest = scoped.groups()
    return f"{first}{'' if rest.startswith(':') else ':0'}:{rest}%{int(scope, 16)}"


def unescape(text: str) -> str:
    r"""A name without lsof's escapes, as the record has it.

    >>> unescape("a\\x20b"), unescape("caf\\xc3\\xa9")
    ('a b', 'café')
    """
    raw = text.encode("utf-8", "surrogateescape")
    return decode_name(ESCAPE.sub(_unescaped, raw) if b"\\" in raw else raw)


def _unescaped(match: re.Match[bytes]) -> bytes:
    return bytes([int(match[1], 16)]) if match[1] else ESCAPED[match[2]]


class Told(NamedTuple):
    """A file in a capture: where it stands, and how to read it.

    :param file: None for what is no file; raises CellError if it cannot be read.
    """

    line: int
    text: str
    file: Callable[[], File | None]


def collect(told: Iterable[Told], faults: Faults) -> Iterator[list[Connection]]:
    """The sockets of all files. They are held until the end: each may have more owners there."""
    sockets = Sockets(faults)
    for line, text, file in told:
        try:
            found = file()
            if found is not None:
                sockets.add(found)
        except CellError as error:
            faults.add_cell(line, text, error)
    yield from sockets.batches()
