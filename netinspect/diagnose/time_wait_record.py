"""What `netinspect time-wait` tells: key order, JSON and schema are from here."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

from netinspect.diagnose.finding import Finding
from netinspect.ends import Side
from netinspect.model import Envelope, Note

Level = Literal["ok", "warning", "critical"]


class LikelyOwner(Struct, frozen=True):
    """A process that holds other sockets to the same end now: likely, never certain."""

    pid: int
    process: str | None


class Destination(Struct, frozen=True, kw_only=True):
    """Where connections lead whose local ports are counted together.

    A v4-mapped IPv6 address stands as IPv4: the ports are the same.
    """

    side: Annotated[Side, Meta(description="client: this host opened them; server: it took them")]
    local_address: str
    local_port: Annotated[int | None, Meta(description="null for clients: each has another")]
    remote_address: Annotated[str | None, Meta(description="null for servers: there are many")]
    remote_port: int | None
    time_wait: int
    established: int
    other: Annotated[int, Meta(description="in all other states")]
    used_ports: Annotated[
        int | None, Meta(description="clients: ephemeral ports in use, in any state")
    ]
    reusable_ports: Annotated[
        int | None,
        Meta(description="of these in TIME_WAIT, but free for connect() by tcp_tw_reuse"),
    ]
    capacity: Annotated[
        int | None,
        Meta(
            description="clients: ports that connect() can choose from, at most: a program that "
            "calls bind() before connect() leaves less"
        ),
    ]
    used_percent: Annotated[
        float | None, Meta(description="of the capacity, without what is reusable")
    ]
    created_per_second: Annotated[
        float | None,
        Meta(description="TIME_WAIT, the mean of the last 10 seconds, or of the sample"),
    ]
    seconds_to_exhaustion: Annotated[
        int | None, Meta(description="null also where the rate settles below the capacity")
    ]
    severity: Annotated[Level | None, Meta(description="warning from 50 percent, critical from 80")]
    likely_owners: tuple[LikelyOwner, ...] = ()


class Sample(Struct, frozen=True, kw_only=True):
    """What the kernel counted between two looks; null where it does not count it."""

    seconds: float
    opened: Annotated[int | None, Meta(description="connections that this host opened")]
    accepted: int | None
    time_wait_entered: int | None
    time_wait_reused: Annotated[int | None, Meta(description="ports taken over by connect()")]
    aborted_on_close: Annotated[
        int | None, Meta(description="resets, because a program closed with data unread")
    ]
    time_wait_overflowed: Annotated[
        int | None, Meta(description="left out, because there were too many")
    ]


class TimeWait(Envelope, frozen=True, kw_only=True):
    """Where TIME_WAIT comes from, and how near each destination is to running out of ports."""

    count: Annotated[int, Meta(description="sockets in TIME_WAIT")]
    limit: Annotated[int | None, Meta(description="tcp_max_tw_buckets")]
    duration_seconds: Annotated[float | None, Meta(description="how long TIME_WAIT lasts")]
    ephemeral_range: Annotated[
        tuple[int, int] | None, Meta(description="whence connect() takes local ports")
    ]
    reserved_ports: Annotated[
        tuple[tuple[int, int], ...] | None, Meta(description="ranges that connect() leaves out")
    ]
    tcp_tw_reuse: int | None
    ports_in_use: Annotated[
        int, Meta(description="different local ports of that range, whichever the destination")
    ]
    created_per_second: Annotated[
        float | None,
        Meta(description="by the timers of the last 10 seconds; of a sample by the counter"),
    ]
    history: Annotated[
        tuple[int | None, ...] | None,
        Meta(description="created in each of the last 60 seconds, oldest first"),
    ]
    destinations: tuple[Destination, ...]
    sample: Sample | None
    findings: tuple[Finding, ...]
    notes: tuple[Note, ...]


class TimeWaitCount(Struct, frozen=True):
    """A line of `--watch`."""

    taken_at: Annotated[str, Meta(description="RFC 3339, UTC")]
    count: int
