"""FreeBSD's `netstat --libxo json`: the sockets in {"statistics": {"socket": [...]}}.

    {"protocol":"tcp4","receive-bytes-waiting":0,"send-bytes-waiting":0,
     "local":{"address":"*","port":"22"},"remote":{"address":"*","port":"*"},
     "tcp-state":"LISTEN     "}
    {"address":"fffff80003abf000","type":"stream","receive-bytes-waiting":0,
     "send-bytes-waiting":0,"vnode":"fffff80003c581e0","connection":"               0",
     "first-reference":"               0","next-reference":"               0","path":"/run/x"}

libxo pads values as the text has them, and writes what is no JSON when sockets come and go
meanwhile: "Some ... sockets may have been created" in the middle of the list.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from netinspect.errors import CellError, ParseError
from netinspect.model import Connection, Family
from netinspect.parse.bsd_address import TCP_STATES, Endpoint, Endpoints, endpoints_by_family
from netinspect.parse.captured import BATCH_SIZE, Faults, Format, Lines, captured_name
from netinspect.parse.captured_socket import NOWHERE, UNTOLD, Queues, inet_socket
from netinspect.parse.netstat_bsd import KINDS, LISTEN_QUEUES
from netinspect.parse.netstat_unix import SOCKET_TYPES, UnixRow, UnixRows

# FreeBSD 11 and 12 begin the list anew for some protocols: of two equal keys a reader takes one.
NEXT_LIST = re.compile(r'\]\s*,\s*"socket"\s*:\s*\[')


class XoEndpoint(msgspec.Struct):
    """One end of a socket."""

    address: str
    port: str


class XoSocket(msgspec.Struct, rename="kebab"):
    """One object of the list: of the Internet with `protocol`, of the unix domain with `type`."""

    protocol: str | None = None
    local: XoEndpoint | None = None
    remote: XoEndpoint | None = None
    tcp_state: str | None = None
    type: str | None = None
    address: str = "0"
    vnode: str = "0"
    connection: str = "0"
    path: str | None = None
    listen_queue_sizes: str | None = None
    receive_bytes_waiting: int | None = None
    send_bytes_waiting: int | None = None

    @property
    def queues(self) -> Queues:
        """What waits, in bytes."""
        return Queues(self.receive_bytes_waiting, self.send_bytes_waiting)


class XoStatistics(msgspec.Struct):
    """The container of the list."""

    socket: list[Any] = []


class XoDocument(msgspec.Struct):
    """The whole output."""

    statistics: XoStatistics


def read(lines: Lines, faults: Faults, *, is_wide: bool = False) -> Iterator[list[Connection]]:
    """The sockets of a whole document, see `captured.Reader`.

    :raises ParseError: it is not JSON, or not that of netstat.
    """
    endpoints = endpoints_by_family(is_wide=is_wide)
    unix_rows = UnixRows()
    batch: list[Connection] = []
    for number, item in enumerate(_items("\n".join(lines)), start=1):
        try:
            socket = msgspec.convert(item, XoSocket)
            if socket.type is not None:
                unix_rows.append(_unix_row(socket, socket.type))
            elif socket.protocol is not None:
                batch += _inet_socket(socket, socket.protocol.strip(), endpoints, faults)
        except (msgspec.ValidationError, UnicodeEncodeError) as error:
            faults.add(number, json.dumps(item), 0, f"a socket as netstat writes it: {error}")
        except CellError as error:
            text = json.dumps(item)
            faults.add(number, text, max(text.find(error.text), 0), error.expected)
    batch += unix_rows.sockets()
    for start in range(0, len(batch), BATCH_SIZE):
        yield batch[start : start + BATCH_SIZE]


def _items(text: str) -> list[Any]:
    """The objects of the list. Not by msgspec: it takes no bytes that are not UTF-8."""
    try:
        document = json.loads(NEXT_LIST.sub(",", text))
        return msgspec.convert(document, XoDocument).statistics.socket
    except RecursionError:
        raise ParseError("netstat --libxo json: too many brackets within each other") from None
    except (ValueError, msgspec.ValidationError) as error:
        raise ParseError(f"netstat --libxo json: {error}") from None


def _inet_socket(
    socket: XoSocket, protocol: str, endpoints: dict[Family, Endpoints], faults: Faults
) -> list[Connection]:
    """The record; none of what the record does not know."""
    kind = KINDS.get(protocol)
    if kind is None or socket.local is None:
        faults.remark("rows_left_out")
        return []
    local = _endpoint(socket.local, endpoints[kind.family])
    remote = _endpoint(socket.remote or XoEndpoint("*", "*"), endpoints[kind.family])
    if remark := local.remark or remote.remark:
        faults.remark(remark)
    if socket.listen_queue_sizes is not None:
        listener = _listen_queues(socket.listen_queue_sizes.strip())
        return [inet_socket(kind, "LISTEN", local, NOWHERE, listener)]
    word = (socket.tcp_state or "").strip()
    state = TCP_STATES.get(word)
    if word and state is None and not word.isdecimal():
        raise CellError(word, "a state such as ESTABLISHED")
    queues = UNTOLD if state == "LISTEN" else socket.queues
    return [inet_socket(kind, state, local, remote, queues)]


def _listen_queues(text: str) -> Queues:
    match = LISTEN_QUEUES.fullmatch(text)
    if match is None:
        raise CellError(text, "queues such as 0/0/128")
    return Queues(int(match[1]), int(match[2]))


def _endpoint(endpoint: XoEndpoint, endpoints: Endpoints) -> Endpoint:
    return endpoints[f"{endpoint.address.strip()}.{endpoint.port.strip()}"]


def _unix_row(socket: XoSocket, name: str) -> UnixRow:
    socket_type = SOCKET_TYPES.get(name.strip())
    if socket_type is None:
        raise CellError(name, "a type such as stream or dgram")
    return UnixRow(
        socket_type,
        socket.queues,
        _address(socket.address),
        _address(socket.vnode),
        _address(socket.connection),
        captured_name(socket.path) if socket.path else None,
        None,
    )


def _address(text: str) -> int | None:
    """An address in the kernel, in hexadecimal digits."""
    try:
        return int(text, 16) % (1 << 64) or None
    except ValueError:
        raise CellError(text, "an address in the kernel") from None


def _recognises(lines: Sequence[str]) -> bool:
    return (
        re.match(r'\s*\{\s*(?:"__version":\s*"[^"]*",\s*)?"statistics"', "".join(lines)) is not None
    )


FORMAT = Format("freebsd-netstat-json", "FreeBSD netstat --libxo json", _recognises, read)
