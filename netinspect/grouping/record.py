"""A group of sockets, as the records of `model` are: key order, JSON and schema are from here."""

from __future__ import annotations

from typing import Annotated

from msgspec import UNSET, Meta, Struct, UnsetType
from msgspec.structs import fields

from netinspect.model import (
    Direction,
    Envelope,
    Exposure,
    Family,
    Note,
    OwnerStatus,
    Protocol,
    Runtime,
    SocketType,
    State,
)


class Group(Struct, frozen=True, kw_only=True, gc=False, repr_omit_defaults=True):
    """The sockets that have the same values of some keys: only these keys are there."""

    protocol: Protocol | UnsetType = UNSET
    family: Family | UnsetType = UNSET
    type: SocketType | UnsetType = UNSET
    state: State | UnsetType = UNSET
    local_address: str | UnsetType | None = UNSET
    remote_address: str | UnsetType | None = UNSET
    local_port: int | UnsetType | None = UNSET
    remote_port: int | UnsetType | None = UNSET
    ip_protocol: int | UnsetType | None = UNSET
    interface: str | UnsetType | None = UNSET
    uid: int | UnsetType | None = UNSET
    user: str | UnsetType | None = UNSET
    pid: int | UnsetType | None = UNSET
    process: str | UnsetType | None = UNSET
    unit: str | UnsetType | None = UNSET
    container: str | UnsetType | None = UNSET
    runtime: Runtime | UnsetType | None = UNSET
    owner_status: Annotated[
        OwnerStatus | UnsetType,
        Meta(description="with a key of an owner: why that is null where it is"),
    ] = UNSET
    exposure: Exposure | UnsetType | None = UNSET
    netns: int | UnsetType | None = UNSET
    direction: Direction | UnsetType | None = UNSET
    cgroup: Annotated[
        str | UnsetType | None,
        Meta(description="path below the cgroup2 mount; null where the kernel does not tell it"),
    ] = UNSET
    count: Annotated[int, Meta(description="sockets; one of two processes is in both's groups")]
    states: Annotated[dict[State, int], Meta(description="how many are in each state")]
    recv_q: Annotated[int | None, Meta(description="bytes not yet read; not of listeners")]
    send_q: Annotated[int | None, Meta(description="bytes not yet acknowledged; not of listeners")]
    listeners: Annotated[int, Meta(description="how many are in LISTEN")]
    waiting: Annotated[int | None, Meta(description="listeners: connections not yet accepted")]
    backlog_limit: Annotated[int | None, Meta(description="listeners: the sum of their limits")]


class LeftOut(Struct, frozen=True):
    """The groups that `--top` leaves out."""

    groups: int
    count: Annotated[int, Meta(description="the sum of their counts")]


class Groups(Envelope, frozen=True, kw_only=True):
    """Sockets, grouped by the values of some keys."""

    by: Annotated[tuple[str, ...], Meta(description="the keys")]
    groups: tuple[Group, ...]
    left_out: LeftOut
    total: Annotated[int, Meta(description="different sockets in all groups, left out or not")]
    notes: tuple[Note, ...]


KEYS = tuple(field.name for field in fields(Group) if not field.required)
SUMS = tuple(field.name for field in fields(Group) if field.required)
MEASURES = tuple(name for name in SUMS if name != "states")
