"""Connections of a capture, a column at a time: most rows of a long one are plain connections.

Row by row a record takes three times as long; what is not plain goes that way.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple

from netinspect.errors import CellError
from netinspect.model import Connection, OwnerStatus, State
from netinspect.parse.cells import OWNERLESS, Addresses, Kind, Numbers, Ports

Cells = Sequence[str]


class Columns(NamedTuple):
    """The cells of rows that all have a peer."""

    states: Sequence[State]
    recv_qs: Cells
    send_qs: Cells
    local: Cells
    remote: Cells


class Peered:
    """Makes records of columns, with what looks at single cells."""

    def __init__(
        self, addresses: Addresses, ports: Ports, recv_qs: Numbers, send_qs: Numbers
    ) -> None:
        self._addresses = addresses
        self._ports = ports
        self._recv_qs = recv_qs
        self._send_qs = send_qs

    def records(
        self, kind: Kind, columns: Columns, unseen: OwnerStatus = "unsupported"
    ) -> list[Connection] | None:
        """The connections, of which nothing more is told; None where a cell has to be looked at.

        :param unseen: the owner status of what may have owners.
        """
        named = self._addresses.named, self._ports.named
        try:
            return self._connections(kind, columns, unseen)
        except CellError:
            self._addresses.named, self._ports.named = named  # it will be counted there
            return None

    def _connections(self, kind: Kind, columns: Columns, unseen: OwnerStatus) -> list[Connection]:
        local, local_ports = self._ends(columns.local)
        remote, remote_ports = self._ends(columns.remote)
        status_of: dict[State, OwnerStatus] = dict.fromkeys(columns.states, unseen)
        status_of.update(dict.fromkeys(OWNERLESS, "none"))
        nothing = repeat(None)
        return list(
            map(
                Connection,
                repeat(kind.table.protocol),
                repeat(kind.table.family),
                repeat(kind.socket_type),
                columns.states,
                local,
                remote,
                local_ports,
                remote_ports,
                nothing,
                nothing,
                list(map(self._recv_qs.__getitem__, columns.recv_qs)),
                list(map(self._send_qs.__getitem__, columns.send_qs)),
                *(nothing,) * 6,
                repeat(()),
                map(status_of.__getitem__, columns.states),
            )
        )

    def _ends(self, cells: Cells) -> tuple[list[str], list[int | None]]:
        """Cut at all colons at once: those of IPv6 are more than one a cell, and not for here."""
        text = " ".join(cells)
        parts = text.replace(":", " ").split()
        if len(parts) != 2 * len(cells) or text.count(":") != len(cells) or "%" in text:
            raise CellError(text, "IPv4 addresses with their ports")
        addresses = list(map(self._addresses.__getitem__, parts[::2]))
        return addresses, list(map(self._ports.__getitem__, parts[1::2]))
