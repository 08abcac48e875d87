"""Records of the sockets that the tools of the BSDs, macOS and Windows print."""

from __future__ import annotations

from typing import NamedTuple

from msgspec import UNSET, UnsetType

from netinspect.model import (
    Connection,
    Exposure,
    Family,
    Owner,
    OwnerStatus,
    Protocol,
    SocketType,
    State,
)
from netinspect.parse.address import ExposureOf
from netinspect.parse.bsd_address import Endpoint
from netinspect.parse.cells import PEERLESS

EXPOSURE_OF = ExposureOf()
NOWHERE = Endpoint("*", 0)


class Kind(NamedTuple):
    """What a socket is, by the name of its protocol.

    :param is_dual: whether an IPv6 socket takes IPv4 as well; None where that is not told.
    """

    protocol: Protocol
    family: Family
    type: SocketType
    ip_protocol: int | None = None
    is_dual: bool | None = None


class Queues(NamedTuple):
    """Bytes that wait; of a listener the connections that wait, and how many may."""

    recv_q: int | None = None
    send_q: int | None = None


class Holder(NamedTuple):
    """Who holds a socket, or why nobody is known, and the user that it belongs to."""

    owner: Owner | None
    status: OwnerStatus
    user: str | None = None


UNTOLD = Queues()
NOBODY_TOLD = Holder(None, "unsupported")


def inet_socket(
    kind: Kind,
    state: State | None,
    local: Endpoint,
    remote: Endpoint,
    queues: Queues = UNTOLD,
    holder: Holder = NOBODY_TOLD,
) -> Connection:
    """The record of a socket of the Internet.

    :param state: as TCP has it; None where the row tells none.
    :param remote: NOWHERE or an unset one is no peer.
    :param queues: of a listener those of connections: its bytes are always 0.
    """
    is_connected = not remote.is_unset and remote is not NOWHERE
    state = _state(kind, state, local, is_connected=is_connected)
    has_peer = is_connected and state not in PEERLESS
    has_ports = kind.protocol != "raw"
    owner, status, user = holder
    listens = state == ("LISTEN" if kind.protocol == "tcp" else "UNCONN")
    return Connection(
        kind.protocol,
        kind.family,
        kind.type,
        state,
        local.address,
        remote.address if has_peer else None,
        local.port if has_ports else None,
        remote.port if has_peer and has_ports else None,
        kind.ip_protocol,
        None,
        queues.recv_q,
        queues.send_q,
        None,
        user,
        None,
        None,
        owner.pid if owner else None,
        owner.process if owner else None,
        (owner,) if owner else (),
        status,
        exposure=_exposure(local) if listens else None,
        dual_stack=_dual_stack(kind, local) if listens else UNSET,
    )


def _state(kind: Kind, state: State | None, local: Endpoint, *, is_connected: bool) -> State:
    if kind.protocol != "tcp":
        return "ESTABLISHED" if is_connected else "UNCONN"
    if state == "CLOSE" and local.port and not is_connected:
        return "BOUND"
    return state or "UNKNOWN"


def _exposure(local: Endpoint) -> Exposure | None:
    """Of what is no address, or only a part of one, it is not known."""
    return EXPOSURE_OF[local.address] if local.remark is None else None


def _dual_stack(kind: Kind, local: Endpoint) -> bool | UnsetType:
    if local.address != "::" or kind.is_dual is None:
        return UNSET
    return kind.is_dual


def unix_socket(
    socket_type: SocketType,
    state: State,
    local: str | None,
    remote: str | None,
    queues: Queues = UNTOLD,
    cookie: int | None = None,
    holder: Holder = NOBODY_TOLD,
) -> Connection:
    """The record of a unix socket.

    :param cookie: the address of its control block in the kernel.
    """
    owner, status, user = holder
    return Connection(
        "unix",
        "unix",
        socket_type,
        state,
        local,
        remote,
        None,
        None,
        None,
        None,
        *queues,
        None,
        user,
        None,
        cookie,
        owner.pid if owner else None,
        owner.process if owner else None,
        (owner,) if owner else (),
        status,
    )
