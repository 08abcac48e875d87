"""The output of sockstat of FreeBSD (to 14).

    USER     COMMAND    PID   FD PROTO  LOCAL ADDRESS         FOREIGN ADDRESS
    root     sendmail   671   3  tcp4   127.0.0.1:25          *:*
    ?        ?          ?     ?  tcp6   [::1]:49160           [::1]:25
    root     devd       402   9  stream /var/run/devd.pipe

A row for each descriptor. Source: usr.bin/sockstat/main.c; 15 makes its columns as wide as they
have to be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from netinspect.model import Connection, Owner
from netinspect.render.dialects.dialect import Block, Names, unix_name, without_zone

ANY = ("0.0.0.0", "::")
MAPPED = "::ffff:"
UNKNOWN = "?"
HEADING = "USER     COMMAND    PID   FD PROTO  LOCAL ADDRESS         FOREIGN ADDRESS"
Shown = Literal["all", "listening", "connected"]


class Sockstat(NamedTuple):
    """sockstat, and with which options.

    :param names: prints names of strangers.
    :param shown: -l, -c, or both of them or none.
    :param is_numeric: -n: users as numbers.
    :param has_header: False with -q.
    :param versions: of IP, with -4 or -6 alone; a socket for both is of each (inp_vflag, which is
        what gather_inet() compares), one whose addresses are v4-mapped is of IPv4.
    """

    names: Names
    shown: Shown = "all"
    is_numeric: bool = False
    has_header: bool = True
    versions: str = "46"

    @property
    def needs_owners(self) -> bool:
        """It is about owners."""
        return True

    @property
    def needs_command_lines(self) -> bool:
        """It shows the names that processes give themselves."""
        return False

    @property
    def needs_extended(self) -> bool:
        """It tells no more than every listing."""
        return False

    def shows(self, connection: Connection) -> bool:
        """Whether there is a row for it; what is connected has a peer."""
        if connection.protocol not in ("tcp", "udp", "unix"):
            return False
        if connection.protocol != "unix" and not set(_version(connection)) & set(self.versions):
            return False
        has_peer = connection.remote_address is not None or bool(connection.peer_inode)
        return self.shown == "all" or (self.shown == "connected") == has_peer

    def blocks(self, batches: Iterable[list[Connection]]) -> Iterator[Block]:
        """What nobody holds comes last."""
        heading = (HEADING,) if self.has_header else ()
        ownerless: list[Connection] = []
        for connections in batches:
            seen = [c for c in connections if self.shows(c)]
            ownerless += [c for c in seen if not c.owners]
            owned = [c for c in seen if c.owners]
            yield Block(heading, owned, [self._rows(c) for c in owned])
            heading = ()
        yield Block(heading, ownerless, [self._row(c, None) for c in ownerless])

    def _rows(self, c: Connection) -> str:
        return "\n".join(self._row(c, owner) for owner in c.owners)

    def _row(self, c: Connection, owner: Owner | None) -> str:
        cells = (UNKNOWN,) * 4
        if owner is not None:
            uid = UNKNOWN if c.uid is None else str(c.uid)
            user = c.user if not self.is_numeric and c.user else uid
            fd = UNKNOWN if owner.fd is None else str(owner.fd)
            cells = (self.names(user), self.names(owner.process or ""), str(owner.pid), fd)
        who = f"{cells[0]:<8.8} {cells[1]:<10.10} {cells[2]:<5} {cells[3]:<2}"
        return f"{who} {_protocol(c):<6} {self._ends(c)}"

    def _ends(self, c: Connection) -> str:
        if c.protocol == "unix":
            if c.local_address is None and c.peer_inode:
                return f"-> {self._unix_name(c.remote_address)}"
            return self._unix_name(c.local_address)
        local, remote = (
            self._end(c.local_address, c.local_port),
            self._end(c.remote_address, c.remote_port),
        )
        return f"{local:<21} {remote}"

    def _unix_name(self, address: str | None) -> str:
        return self.names(unix_name(address)) if address else "??"

    def _end(self, address: str | None, port: int | None) -> str:
        if address is None or address in ANY:
            return f"*:{port or '*'}"
        host = self.names(without_zone(address))
        if "." in host:
            host = host.removeprefix(MAPPED)
        return f"[{host}]:{port or '*'}" if ":" in host else f"{host}:{port or '*'}"


def _protocol(c: Connection) -> str:
    if c.protocol == "unix":
        return c.type[:6]
    return c.protocol + _version(c)


def _version(c: Connection) -> str:
    if c.dual_stack is True:
        return "46"
    is_mapped = (c.local_address or "").startswith(MAPPED)
    return "4" if c.family == "ipv4" or is_mapped else "6"
