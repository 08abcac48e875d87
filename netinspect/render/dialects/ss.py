"""The output of ss (iproute2 6.1).

    Netid State  Recv-Q Send-Q Local Address:Port Peer Address:PortProcess
    tcp   LISTEN 0      128        127.0.0.1:631       0.0.0.0:*    users:(("cupsd",pid=1,fd=7))
    tcp   LISTEN 0      128            [::1]:631          [::]:*    users:(("cupsd",pid=1,fd=8))
    u_str ESTAB  0      0                  * 48108251         * 48108252

Source: sock_state_print(), inet_addr_print() and unix_show_sock() of misc/ss.c.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from netinspect.model import Connection, SocketType, State
from netinspect.render.dialects.dialect import (
    Block,
    Names,
    number_text,
    unix_name,
    without_zone,
)
from netinspect.render.dialects.ss_details import Details, detail_text
from netinspect.render.dialects.ss_table import Table

STATES: dict[State, str] = {
    "ESTABLISHED": "ESTAB",
    "CLOSE": "UNCONN",
    "FIN_WAIT1": "FIN-WAIT-1",
    "FIN_WAIT2": "FIN-WAIT-2",
}
UNIX_NAMES: dict[SocketType, str] = {"stream": "u_str", "dgram": "u_dgr", "seqpacket": "u_seq"}
MAPPED = "::ffff:"


class Column(NamedTuple):
    """A column: its title, what stands before it, and whether its text stands at the right."""

    title: str
    gap: str = ""
    to_right: bool = False


COLUMNS = (
    Column("Netid"),
    Column("State", " "),
    Column("Recv-Q", " "),
    Column("Send-Q", " "),
    Column("Local Address:", " ", to_right=True),
    Column("Port"),
    Column("Peer Address:", " ", to_right=True),
    Column("Port"),
    Column("Process"),
)


class Ss(NamedTuple):
    """ss, and with which options.

    :param names: prints names of strangers.
    :param has_netid: whether several kinds of sockets were asked for.
    :param has_state: whether several states were.
    :param has_header: False with -H.
    :param details: what to show behind the addresses.
    :param unix_types: which unix sockets were asked for.
    :param screen: columns of the terminal; None where there is none.
    """

    names: Names
    has_netid: bool = True
    has_state: bool = True
    has_header: bool = True
    details: Details = Details()
    unix_types: frozenset[SocketType] = frozenset(UNIX_NAMES)
    screen: int | None = None

    @property
    def needs_command_lines(self) -> bool:
        """It shows the names that processes give themselves."""
        return False

    @property
    def needs_owners(self) -> bool:
        """Whether -p is there."""
        return self.details.processes

    @property
    def needs_extended(self) -> bool:
        """Whether one of -e, -m and -i is there."""
        return self.details.details or self.details.memory or self.details.info

    def shows(self, connection: Connection) -> bool:
        """Whether ss 6.1 knows of it: not of what is only bound, nor of ping and UDP-Lite."""
        if connection.protocol == "unix":
            return connection.type in self.unix_types
        return connection.protocol in ("tcp", "udp", "raw") and connection.state != "BOUND"

    def blocks(self, batches: Iterable[list[Connection]]) -> Iterator[Block]:
        """As much at a time as ss keeps: the widths come from that."""
        hidden = {"Netid": not self.has_netid, "State": not self.has_state}
        columns = [column for column in COLUMNS if not hidden.get(column.title)]
        table = Table([c.gap for c in columns], [c.to_right for c in columns], self.screen)
        header = [[c.title for c in columns]] if self.has_header else []
        table.add(header)
        kept: list[Connection] = []
        for connections in batches:
            seen = list(filter(self.shows, connections))
            table.add([self._cells(c) for c in seen])
            kept += seen
            if table.is_full:
                yield _block(table.take_lines(), len(header), kept)
                header, kept = [], []
        yield _block(table.take_lines(), len(header), kept)

    def _cells(self, c: Connection) -> tuple[str, ...]:
        return (
            *((_netid(c),) if self.has_netid else ()),
            *((_state(c),) if self.has_state else ()),
            f"{number_text(c.recv_q):<6}",
            f"{number_text(c.send_q):<6}",
            *(self._unix_ends(c) if c.protocol == "unix" else self._inet_ends(c)),
            detail_text(c, self.details, self.names),
        )

    def _unix_ends(self, c: Connection) -> tuple[str, str, str, str]:
        name = self.names(unix_name(c.local_address)) if c.local_address else "*"
        return f"{name} ", str(c.inode or 0), "* ", str(c.peer_inode or 0)

    def _inet_ends(self, c: Connection) -> tuple[str, str, str, str]:
        any_address = "0.0.0.0" if c.family == "ipv4" else "::"
        is_starred = c.family == "ipv6" and not _is_v6only(c)
        local, remote = (
            self._host(address or any_address, is_starred=is_starred)
            for address in (c.local_address, c.remote_address)
        )
        if device := c.interface or (c.local_address or "").partition("%")[2]:
            local += f"%{self.names(device)}"
        local_port = c.ip_protocol if c.protocol == "raw" else c.local_port
        return f"{local}:", str(local_port or "*"), f"{remote}:", str(c.remote_port or "*")

    def _host(self, address: str, *, is_starred: bool) -> str:
        if address == "::" and is_starred:
            return "*"
        host = self.names(without_zone(address))
        return f"[{host}]" if ":" in host else host


def _block(lines: list[str], header_lines: int, connections: list[Connection]) -> Block:
    return Block(tuple(lines[:header_lines]), connections, lines[header_lines:])


def _netid(c: Connection) -> str:
    return UNIX_NAMES.get(c.type, "u_dgr") if c.protocol == "unix" else c.protocol


def _state(c: Connection) -> str:
    return STATES.get(c.state) or c.state.replace("_", "-")


def _is_v6only(c: Connection) -> bool:
    """Whether it takes no IPv4: `[::]` then, otherwise `*`. What is bound to an address does not.

    (inet6_bind() sets it for any address but `::` and the v4-mapped.) Raw sockets ss reads from
    /proc, which does not tell.
    """
    if c.protocol == "raw":
        return False
    if c.options and c.options.v6only is not None:
        return c.options.v6only
    local = c.local_address or ""
    return c.dual_stack is False if local == "::" or local.startswith(MAPPED) else True
