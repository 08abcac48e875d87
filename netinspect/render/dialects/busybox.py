"""The output of netstat of BusyBox 1.35, as Debian builds it.

    Active Internet connections (servers and established)
    Proto Recv-Q Send-Q Local Address           Foreign Address         State
    tcp        0      0 127.0.0.1:631           0.0.0.0:*               LISTEN
    tcp        0      0 ::1:631                 :::*                    LISTEN
    Active UNIX domain sockets (servers and established)
    Proto RefCnt Flags       Type       State         I-Node Path
    unix  -      [ ACC ]     STREAM     LISTENING     48108239 /run/x

IPv6 is not told apart by name, and nothing is cut. Of raw sockets the state is the protocol, by
mistake. Source: networking/netstat.c.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from netinspect.model import Connection
from netinspect.render.dialects.dialect import (
    Block,
    Names,
    number_text,
    unix_name,
    without_zone,
)
from netinspect.render.dialects.gnu import TITLES, UNIX_STATES, Shown, is_server, kernel_number

PROTOCOLS = ("tcp", "udp", "raw", "unix")


class BusyBox(NamedTuple):
    """netstat of BusyBox, and with which options.

    :param names: prints names of strangers.
    :param has_unix: whether there is a section of unix sockets, also an empty one.
    """

    names: Names
    has_inet: bool = True
    has_unix: bool = False
    shown: Shown = "all"

    @property
    def needs_owners(self) -> bool:
        """-p is not built in."""
        return False

    @property
    def needs_command_lines(self) -> bool:
        """-p is not built in."""
        return False

    @property
    def needs_extended(self) -> bool:
        """It tells no more than /proc/net."""
        return False

    def shows(self, connection: Connection) -> bool:
        """Whether it knows the socket; without -a and -l it leaves out what has no peer."""
        if connection.protocol not in PROTOCOLS or connection.state == "BOUND":
            return False
        return self.shown == "all" or (self.shown == "servers") == is_server(connection)

    def blocks(self, batches: Iterable[list[Connection]]) -> Iterator[Block]:
        """First the Internet, then unix: a section that was asked for has its heading."""
        unix: list[Connection] = []
        title = f"Active Internet connections {TITLES[self.shown]}"
        columns = f"{'Local Address':<23} {'Foreign Address':<23} {'State':<12}"
        heading = (title, f"Proto Recv-Q Send-Q {columns}") if self.has_inet else ()
        for connections in batches:
            seen = [c for c in connections if self.shows(c)]
            unix += [c for c in seen if c.protocol == "unix"]
            inet = [c for c in seen if c.protocol != "unix"]
            yield Block(heading, inet, [self._inet_row(c) for c in inet])
            heading = ()
        yield Block(heading, [], [])
        if self.has_unix:
            title = f"Active UNIX domain sockets {TITLES[self.shown]}"
            columns = "Proto RefCnt Flags       Type       State         I-Node Path"
            yield Block((title, columns), unix, [self._unix_row(c) for c in unix])

    def _inet_row(self, c: Connection) -> str:
        limit = 0 if c.state == "LISTEN" else c.send_q  # /proc/net does not tell it
        is_raw = c.protocol == "raw"
        local = self._end(c, c.local_address, c.ip_protocol if is_raw else c.local_port)
        remote = self._end(c, c.remote_address, c.remote_port)
        state = str(c.ip_protocol) if is_raw else "" if c.state == "UNCONN" else c.state
        return (
            f"{c.protocol}   {number_text(c.recv_q):>6} {number_text(limit):>6} "
            f"{local:<23} {remote:<23} {state:<12}"
        )

    def _end(self, c: Connection, address: str | None, port: int | None) -> str:
        host = "::" if c.family == "ipv6" else "0.0.0.0"
        if address is not None:
            host = self.names(without_zone(address))
        return f"{host}:{port or '*'}"

    def _unix_row(self, c: Connection) -> str:
        flags = "[ ACC ]" if c.state == "LISTEN" else "[ ]"
        inode = kernel_number(c, c.inode)
        state = "CONNECTING" if inode == "0" else UNIX_STATES.get(c.state, "")
        path = self.names(unix_name(c.local_address or ""))
        return f"unix  {'-':<6} {flags:<11} {c.type.upper():<10} {state:<13} {inode:>6} {path}"
