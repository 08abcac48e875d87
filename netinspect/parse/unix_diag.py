"""sock_diag for unix sockets (linux/unix_diag.h): the request and the replies."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from socket import SOCK_DGRAM, SOCK_SEQPACKET, SOCK_STREAM
from struct import Struct
from typing import NamedTuple

from msgspec.structs import replace

from netinspect.model import Connection, SocketType, State, decode_name
from netinspect.parse.netlink import (
    Reply,
    decode_attributes,
    encode_dump_request,
    message_spans,
)

AF_UNIX = 1  # the kernel's number, also where Python has no AF_UNIX
SHOW_NAME, SHOW_PEER, SHOW_QUEUES, SHOW_MEMORY, SHOW_UID = 0x01, 0x04, 0x10, 0x20, 0x40
NAME, PEER, QUEUES, MEMORY, SHUTDOWN, UID = 0, 2, 4, 5, 6, 7

# struct unix_diag_req: family, protocol, states, inode, what to show, cookie
#   01 00 0000 ffffffff 00000000 75000000 ffffffffffffffff
REQUEST = Struct("=BBxxIIIq")
# struct nlmsghdr and struct unix_diag_msg, from which we take: type, state, inode, cookie
#   40000000 1400 0200 01000000 00000000   01 01 0a 00 39300000 0110000000000000
MESSAGE = Struct("=17xBBxIQ")
U32 = Struct("=I")
# struct unix_diag_rqlen: receive queue, send queue
U32_PAIR = Struct("=II")
SK_MEMINFO_DROPS = Struct("=32xI")  # the ninth u32 of linux/sock_diag.h

SOCKET_TYPES: dict[int, SocketType] = {
    int(SOCK_STREAM): "stream",
    int(SOCK_DGRAM): "dgram",
    int(SOCK_SEQPACKET): "seqpacket",
}
# include/net/tcp_states.h; a unix socket that is not connected is in TCP_CLOSE
STATES: dict[int, State] = {1: "ESTABLISHED", 2: "SYN_SENT", 7: "UNCONN", 10: "LISTEN"}


class UnixSocket(NamedTuple):
    """One message."""

    socket_type: SocketType
    state: State
    inode: int
    cookie: int
    address: str | None
    peer_inode: int | None
    recv_q: int | None
    send_q: int | None
    uid: int | None
    drops: int | None
    attributes: dict[int, bytes]  # with what only --extended shows


def encode_request() -> bytes:
    """Ask for all of them: the name of a peer is in the peer's own message, whatever its state."""
    show = SHOW_NAME | SHOW_PEER | SHOW_QUEUES | SHOW_MEMORY | SHOW_UID
    return encode_dump_request(REQUEST.pack(AF_UNIX, 0, 0xFFFFFFFF, 0, show, -1))


def decode_records(
    replies: Iterable[Reply], users: Mapping[int, str | None], *, is_extended: bool = False
) -> list[Connection]:
    """The sockets of a whole dump, each with the address of its peer.

    :param is_extended: with tcp_info, which none of them has, memory and options.
    :raises ParseError: a message is shorter than its fixed part, or an attribute longer than its
        message.
    """
    # A dump of a changing table can bring a socket twice.
    sockets = {(s.cookie, s.inode): s for reply in replies for s in _decode(reply)}.values()
    address_of = {s.inode: s.address for s in sockets if s.inode}
    records = [_record(s, address_of, users) for s in sockets]
    if not is_extended:
        return records
    return [_extended(r, s.attributes) for r, s in zip(records, sockets, strict=True)]


def _extended(record: Connection, attributes: Mapping[int, bytes]) -> Connection:
    from netinspect.parse.extended import decode_memory, decode_unix_options  # most do not ask

    options = decode_unix_options(attributes.get(SHUTDOWN, b""))
    return replace(
        record, tcp_info=None, memory=decode_memory(attributes.get(MEMORY, b"")), options=options
    )


def _decode(reply: Reply) -> Iterator[UnixSocket]:
    for start, end in message_spans(reply, MESSAGE.size, "unix_diag"):
        socket_type, state, inode, cookie = MESSAGE.unpack_from(reply.data, start)
        attributes = dict(decode_attributes(reply.data, start + MESSAGE.size, end))
        recv_q, send_q = _unpack(U32_PAIR, attributes.get(QUEUES)) or (None, None)
        yield UnixSocket(
            SOCKET_TYPES.get(socket_type, "raw"),
            STATES.get(state, "UNKNOWN"),
            inode,
            cookie,
            address_text(attributes.get(NAME, b"")),
            _first(U32, attributes.get(PEER)),
            recv_q,
            send_q,
            _first(U32, attributes.get(UID)),
            _first(SK_MEMINFO_DROPS, attributes.get(MEMORY)),
            attributes,
        )


def _unpack(layout: Struct, value: bytes | None) -> tuple[int, ...] | None:
    """The numbers at the start of an attribute; None when it is absent or too short for them."""
    return layout.unpack_from(value) if value is not None and len(value) >= layout.size else None


def _first(layout: Struct, value: bytes | None) -> int | None:
    numbers = _unpack(layout, value)
    return numbers[0] if numbers else None


def address_text(name: bytes) -> str | None:
    r"""The path; an abstract name (a NUL first) with @; a path that begins with @ as ./@ (unix(7)).

    >>> address_text(b"\0bus"), address_text(b"@bus\0"), address_text(b"")
    ('@bus', './@bus', None)
    """
    if not name:
        return None
    if name[:1] == b"\0":
        return "@" + decode_name(name[1:])
    path = decode_name(name.removesuffix(b"\0"))
    return f"./{path}" if path.startswith("@") else path


def _record(
    unix_socket: UnixSocket,
    address_of: Mapping[int, str | None],
    users: Mapping[int, str | None],
) -> Connection:
    inode, uid, peer_inode = unix_socket.inode, unix_socket.uid, unix_socket.peer_inode
    return Connection(
        "unix",
        "unix",
        unix_socket.socket_type,
        unix_socket.state,
        unix_socket.address,
        address_of.get(peer_inode) if peer_inode else None,
        None,
        None,
        None,
        None,
        unix_socket.recv_q,
        unix_socket.send_q,
        uid if inode else None,
        users[uid] if inode and uid is not None else None,
        inode or None,
        unix_socket.cookie or None,
        owner_status="not_requested" if inode else "none",
        drops=unix_socket.drops,
        peer_inode=peer_inode or None,
    )
