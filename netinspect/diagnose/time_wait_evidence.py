"""What there is to conclude from, and how destinations are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from netinspect.diagnose.time_wait import Picture
from netinspect.diagnose.time_wait_record import Destination, Sample
from netinspect.ends import End
from netinspect.settings import Settings


class Evidence(NamedTuple):
    """What there is to conclude from.

    :param sample: what was counted between two snapshots; None: there is one.
    :param lasting: of each end the connections that stood in both snapshots; empty without.
    :param created: of each end what came into TIME_WAIT between them; empty without.
    :param undying: sockets in TIME_WAIT that should have gone between the two, but did not.
    """

    picture: Picture
    settings: Settings
    counters: Mapping[str, int]
    sample: Sample | None = None
    lasting: Mapping[End, int] = {}
    created: Mapping[End, int] = {}
    undying: int = 0
    uptime_seconds: float | None = None


def endpoint(address: str | None, port: int | None) -> str:
    """`10.0.0.1:443`, `[::1]:443`; without a port, which is a name in a capture, the address."""
    host = f"[{address}]" if address and ":" in address else str(address)
    return host if port is None else f"{host}:{port}"


def name_of(destination: Destination) -> str:
    """Where it leads, in words."""
    if destination.side == "server":
        return endpoint(destination.local_address, destination.local_port)
    return endpoint(destination.remote_address, destination.remote_port)
