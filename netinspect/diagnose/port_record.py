"""The document of `netinspect port`."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from netinspect.model import Envelope, Family, Note, Owner, OwnerStatus, Protocol, State

Role = Literal[
    "listener", "bound", "datagram", "accepted", "leftover", "client", "connection", "request"
]
Cause = Literal[
    "listener",
    "bound",
    "datagram",
    "leftover",
    "client",
    "connection",
    "permission",
    "address",
    "unseen",
]


class Attempt(Struct, frozen=True):
    """Whether bind() and then listen() work with one socket option."""

    works: Annotated[bool | None, Meta(description="null: depends on what is not told")]
    error: Annotated[str | None, Meta(description="EADDRINUSE, EACCES, EADDRNOTAVAIL, ...")]
    tried: Annotated[bool, Meta(description="bind() was really called; else a prediction")]
    predicted: Annotated[
        bool | None,
        Meta(description="what the sockets there are say; null: it depends on their options"),
    ]


class Place(Struct, frozen=True):
    """One address to bind to."""

    address: str
    dual_stack: Annotated[
        bool | None, Meta(description="of :: whether IPv4 comes with it; null for the others")
    ]
    asked: Annotated[bool, Meta(description="it counts for `free`; the others are alternatives")]
    plain: Attempt
    reuse_address: Annotated[Attempt, Meta(description="with SO_REUSEADDR")]
    reuse_port: Annotated[Attempt, Meta(description="with SO_REUSEPORT")]


class Holder(Struct, frozen=True):
    """Sockets with this local port that are alike: one, or connections of one owner."""

    role: Annotated[
        Role,
        Meta(
            description="accepted: a connection of a listener that is there; leftover: of one that "
            "has gone; client: it began the connection; connection: leftover or client, which is "
            "not told; request: a connection that is being opened, which is in nobody's way"
        ),
    ]
    in_the_way: Annotated[
        bool | None, Meta(description="a plain bind() fails because of it; null: not told")
    ]
    count: int
    protocol: Protocol
    family: Family
    state: State
    local_address: str | None
    remote_address: Annotated[str | None, Meta(description="null when there are several")]
    remote_port: int | None
    interface: str | None
    dual_stack: Annotated[bool | None, Meta(description="of sockets on ::, where it is told")]
    uid: int | None
    user: str | None
    owners: tuple[Owner, ...]
    owner_status: OwnerStatus
    expires_ms: Annotated[
        int | None, Meta(description="TIME_WAIT: milliseconds until the last of them is gone")
    ]


class Neighbour(Struct, frozen=True):
    """A listener in another network namespace, which is in nobody's way here."""

    netns: Annotated[int, Meta(description="the inode of the namespace")]
    local_address: str | None
    owners: tuple[Owner, ...]


class PortAnswer(Struct, frozen=True):
    """What there is to say of one port of one protocol."""

    port: int
    protocol: Protocol
    service: Annotated[str | None, Meta(description="its name in the table of services")]
    free: Annotated[
        bool | None,
        Meta(description="plain bind() and listen() work on every address that was asked for"),
    ]
    cause: Annotated[Cause | None, Meta(description="why not; null when it is free")]
    answer: Annotated[str, Meta(description="the same, as a sentence")]
    advice: Annotated[tuple[str, ...], Meta(description="what can be done, the best first")]
    holders: tuple[Holder, ...]
    places: tuple[Place, ...]
    other_namespaces: Annotated[
        tuple[Neighbour, ...], Meta(description="as far as they may be looked into")
    ]


class Ports(Envelope, frozen=True, kw_only=True):
    """Who has the ports, and whether they can be had."""

    uid: Annotated[
        int | None, Meta(description="for whom bind() was tried or predicted; null: not known")
    ]
    ports: tuple[PortAnswer, ...]
    notes: tuple[Note, ...]
