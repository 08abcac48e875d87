"""Where to part a long dump, so that two processes can read it at once."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

from netinspect.parse.inet_diag import columns
from netinspect.parse.netlink import Reply
from netinspect.query import PortRange, Side

# Of the message in inet_diag.py the ports, local and remote
PORTS = ">20xHH64x"
HIGHEST_PORT = 65_535
LOW_SHARE = 0.6  # whoever counts the high ports also has what has no peer, and the fork
MOST_UNEVEN = 0.3


class Parting(NamedTuple):
    """Between a port and the next one, and how far it is from what is wanted."""

    unevenness: float
    side: Side
    port: int


def halves(sample: Iterable[Reply]) -> tuple[PortRange, PortRange] | None:
    """Two tests of which every socket meets one: low and high ports, about half of them each.

    Where most have the same local port, as on a server, they are parted by the remote port. None:
    neither parts them.
    """
    fields = [columns(reply, PORTS) for reply in sample]
    local, remote = (sorted(chain.from_iterable(column)) for column in zip(*fields, strict=True))
    parting = min((*_partings("local", local), *_partings("remote", remote)), default=None)
    if parting is None or parting.unevenness > MOST_UNEVEN:
        return None
    _, side, port = parting
    return PortRange(side, 0, port), PortRange(side, port + 1, HIGHEST_PORT)


def _partings(side: Side, ports: list[int]) -> Iterator[Parting]:
    """After a port, and before it: many sockets may have that very port."""
    if ports:
        port = ports[int(len(ports) * LOW_SHARE)]
        for count, last in (
            (bisect_right(ports, port), port),
            (bisect_left(ports, port), port - 1),
        ):
            yield Parting(abs(count / len(ports) - LOW_SHARE), side, last)
