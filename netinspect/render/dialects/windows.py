"""The output of netstat of Windows.

    (an empty line)
    Active Connections

      Proto  Local Address          Foreign Address        State           PID
      TCP    0.0.0.0:135            0.0.0.0:0              LISTENING       884
      TCP    [::1]:49669            [::1]:5354             ESTABLISHED     1010
      UDP    0.0.0.0:123            *:*                                    1234

There is no public source: the columns are those of captured outputs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from netinspect.model import Connection, State
from netinspect.render.dialects.dialect import Block, Names, number_text, without_zone

STATES: dict[State, str] = {
    "LISTEN": "LISTENING",
    "SYN_RECV": "SYN_RECEIVED",
    "FIN_WAIT1": "FIN_WAIT_1",
    "FIN_WAIT2": "FIN_WAIT_2",
    "CLOSE": "CLOSED",
}


class Windows(NamedTuple):
    """netstat of Windows, and with which options.

    :param names: prints names of strangers.
    :param has_all: -a: also what listens, and UDP.
    :param has_bound: -q: also what is bound and does nothing.
    :param has_pids: -o.
    :param has_programs: -b: the program below each socket.
    """

    names: Names
    has_all: bool = True
    has_bound: bool = False
    has_pids: bool = False
    has_programs: bool = False

    @property
    def needs_owners(self) -> bool:
        """Whether pids or programs are shown."""
        return self.has_pids or self.has_programs

    @property
    def needs_command_lines(self) -> bool:
        """It shows the names that processes give themselves."""
        return False

    @property
    def needs_extended(self) -> bool:
        """It tells no more than every listing."""
        return False

    def shows(self, connection: Connection) -> bool:
        """Only TCP and UDP; without -a only connections of TCP."""
        if connection.protocol not in ("tcp", "udp"):
            return False
        if connection.state == "BOUND":
            return self.has_bound
        is_connection = connection.protocol == "tcp" and connection.state != "LISTEN"
        return self.has_all or self.has_bound or is_connection

    def blocks(self, batches: Iterable[list[Connection]]) -> Iterator[Block]:
        """One table; the heading is there without a row as well."""
        pid = f"{'State':<15} PID" if self.has_pids else "State"
        columns = f"  {'Proto':<6} {'Local Address':<22} {'Foreign Address':<22} {pid}"
        heading: tuple[str, ...] = ("", "Active Connections", "", columns)
        for connections in batches:
            seen = [c for c in connections if self.shows(c)]
            yield Block(heading, seen, [self._row(c) for c in seen])
            heading = ()
        yield Block(heading, [], [])

    def _row(self, c: Connection) -> str:
        state = STATES.get(c.state, c.state) if c.protocol == "tcp" else ""
        pid = f" {_pid(c)}" if self.has_pids else ""
        row = (
            f"  {c.protocol.upper():<6} {self._local(c):<22} {self._remote(c):<22} "
            f"{state:<{15 if self.has_pids else 0}}{pid}"
        )
        return f"{row}\n{self._program(c)}" if self.has_programs else row

    def _local(self, c: Connection) -> str:
        return self._end(c.local_address, c.local_port)

    def _remote(self, c: Connection) -> str:
        if c.remote_address is not None:
            return self._end(c.remote_address, c.remote_port)
        if c.protocol == "udp":
            return "*:*"
        return "[::]:0" if c.family == "ipv6" else "0.0.0.0:0"

    def _end(self, address: str | None, port: int | None) -> str:
        host = self.names(without_zone(address or ""))
        return f"[{host}]:{port or 0}" if ":" in host else f"{host}:{port or 0}"

    def _program(self, c: Connection) -> str:
        if not c.owners:
            return "  Can not obtain ownership information"
        return f" [{self.names(c.owners[0].process or '')}]"


def _pid(c: Connection) -> str:
    """What nobody holds any more belongs to process 0."""
    return "0" if c.owner_status == "none" else number_text(c.pid)
