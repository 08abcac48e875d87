"""The output of netstat of Linux (net-tools 2.10).

    Active Internet connections (servers and established)
    Proto Recv-Q Send-Q Local Address           Foreign Address         State
    tcp        0      0 127.0.0.1:631           0.0.0.0:*               LISTEN
    tcp6       0      0 :::80                   :::*                    LISTEN
    Active UNIX domain sockets (servers and established)
    Proto RefCnt Flags       Type       State         I-Node   Path
    unix  -      [ ACC ]     STREAM     LISTENING     48108239 /run/x

Source: tcp_do_one(), udp_do_one(), unix_do_one() and finish_this_one() of netstat.c. The
record does not tell RefCnt, nor who owns a connection that nobody has accepted.
"""

from __future__ import annotations

import os.path
import re
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

from netinspect.model import Connection, State, Timer
from netinspect.render.dialects.dialect import (
    Block,
    Names,
    number_text,
    unix_name,
    without_zone,
)

# /proc/net, from which netstat reads, does not show the others.
PROTOCOLS = {"tcp": "tcp", "udp": "udp", "udplite": "udpl", "raw": "raw", "unix": "unix"}
Shown = Literal["all", "servers", "connections"]
TITLES: dict[Shown, str] = {
    "all": "(servers and established)",
    "servers": "(only servers)",
    "connections": "(w/o servers)",
}
UNIX_STATES: dict[State, str] = {"LISTEN": "LISTENING", "ESTABLISHED": "CONNECTED"}
# The numbers of include/net/tcp_states.h: of raw sockets netstat knows no names.
RAW_STATES: dict[State, str] = {"ESTABLISHED": "1", "UNCONN": "7"}
TIMERS = {
    "retransmit": "on",
    "keepalive": "keepalive",
    "time_wait": "timewait",
    "zero_window": "probe",
}
ADDRESS_WIDTH = 22
PROGRAM_WIDTH = 19
MAPPED = "::ffff:"
BLANKS = re.compile(r"[ \t\n\v\f\r]")  # isspace() of C


class Gnu(NamedTuple):
    """netstat of Linux, and with which options.

    :param names: prints names of strangers.
    :param has_unix: whether there is a section of unix sockets, also an empty one.
    :param has_users: -e: who owns the socket, and its inode.
    :param is_numeric: -n: users as numbers.
    :param is_wide: -W: addresses are never cut.
    """

    names: Names
    has_inet: bool = True
    has_unix: bool = False
    shown: Shown = "all"
    has_users: bool = False
    has_programs: bool = False
    has_timers: bool = False
    is_numeric: bool = True
    is_wide: bool = False

    @property
    def needs_owners(self) -> bool:
        """Whether the program is shown."""
        return self.has_programs

    @property
    def needs_command_lines(self) -> bool:
        """The program is the first word of its command line."""
        return self.has_programs

    @property
    def needs_extended(self) -> bool:
        """It tells no more than /proc/net."""
        return False

    def shows(self, connection: Connection) -> bool:
        """Whether netstat knows the socket; without -a and -l it leaves out what has no peer."""
        if connection.protocol not in PROTOCOLS or connection.state == "BOUND":
            return False
        if self.shown == "all":
            return True
        return (self.shown == "servers") == is_server(connection)

    def blocks(self, batches: Iterable[list[Connection]]) -> Iterator[Block]:
        """First the Internet, then unix: a section that was asked for has its heading."""
        unix: list[Connection] = []
        heading = self._inet_heading() if self.has_inet else ()
        for connections in batches:
            seen = [c for c in connections if self.shows(c)]
            unix += [c for c in seen if c.protocol == "unix"]
            inet = [c for c in seen if c.protocol != "unix"]
            yield Block(heading, inet, [self._inet_row(c) for c in inet])
            heading = ()
        yield Block(heading, [], [])
        if self.has_unix:
            yield Block(self._unix_heading(), unix, [self._unix_row(c) for c in unix])

    def _inet_heading(self) -> tuple[str, ...]:
        columns = "Proto Recv-Q Send-Q Local Address           Foreign Address         State      "
        columns += " User       Inode     " if self.has_users else ""
        columns += f" {'PID/Program name':<20}" if self.has_programs else ""
        columns += " Timer" if self.has_timers else ""
        return f"Active Internet connections {TITLES[self.shown]}", columns

    def _unix_heading(self) -> tuple[str, ...]:
        columns = "Proto RefCnt Flags       Type       State         I-Node  "
        columns += f" {'PID/Program name':<20}" if self.has_programs else ""
        return f"Active UNIX domain sockets {TITLES[self.shown]}", f"{columns} Path"

    def _inet_row(self, c: Connection) -> str:
        name = PROTOCOLS[c.protocol] + ("6" if c.family == "ipv6" else "")
        limit = 0 if c.state == "LISTEN" else c.send_q  # /proc/net does not tell it
        row = (
            f"{name:<5} {number_text(c.recv_q):>6} {number_text(limit):>6} "
            f"{self._end(c, c.local_address, c.local_port):<23} "
            f"{self._end(c, c.remote_address, c.remote_port, is_remote=True):<23} {_state(c):<11}"
        )
        if self.has_users:
            row += f" {self._user(c):<10} {kernel_number(c, c.inode):<10}"
        row += self._program(c)
        return f"{row} {_timer(c.timer)}" if self.has_timers else row

    def _unix_row(self, c: Connection) -> str:
        flags = "[ ACC ]" if c.state == "LISTEN" else "[ ]"
        inode = kernel_number(c, c.inode)
        # no inode: the other end of a connection that nobody has accepted
        state = "CONNECTING" if inode == "0" else UNIX_STATES.get(c.state, "")
        return (
            f"unix  {'-':<6} {flags:<11} {c.type.upper():<10} {state:<13} {inode:<8}"
            f"{self._program(c)} {self._path(c.local_address)}"
        )

    def _path(self, address: str | None) -> str:
        """As far as its first blank: that is where netstat stops to read."""
        words = BLANKS.split(unix_name(address or "").lstrip(" \t\n\v\f\r"), maxsplit=1)
        return self.names(words[0])

    def _end(
        self, c: Connection, address: str | None, number: int | None, *, is_remote: bool = False
    ) -> str:
        host = "::" if c.family == "ipv6" else "0.0.0.0"
        if address is not None:
            host = self.names(without_zone(address))
        if host.startswith(MAPPED) and "." in host:
            host = host.removeprefix(MAPPED)
        if c.protocol == "raw" and not is_remote:
            number = c.ip_protocol
        port = str(number) if number else "*"
        if not self.is_wide and len(host) + len(port) > ADDRESS_WIDTH:
            host = host[: ADDRESS_WIDTH - len(port)]
        return f"{host}:{port}"

    def _user(self, c: Connection) -> str:
        number = kernel_number(c, c.uid)
        if self.is_numeric:
            return number
        return self.names(c.user) if c.user else {"0": "root"}.get(number, number)

    def _program(self, c: Connection) -> str:
        """The lowest pid, and the first argument: without its folders if it is a whole path."""
        if not self.has_programs:
            return ""
        if not c.owners:
            return f" {'-':<20}"
        owner = c.owners[0]
        command = (owner.command_line or (owner.process or "",))[0]
        if command.startswith("/"):
            command = os.path.basename(command)
        return f" {self.names(f'{owner.pid}/{command}')[:PROGRAM_WIDTH]:<20}"


def is_server(c: Connection) -> bool:
    """Whether -l shows it, and no option does not: what has no peer."""
    return c.state == "LISTEN" if c.protocol == "unix" else c.remote_address is None


def kernel_number(c: Connection, number: int | None) -> str:
    """What the kernel gives as 0 is null in the record; what a capture does not tell is too."""
    is_told = c.owner_status != "unsupported"
    return "0" if number is None and is_told else number_text(number)


def _state(c: Connection) -> str:
    if c.protocol == "raw":
        return RAW_STATES.get(c.state, c.state)
    return "" if c.state == "UNCONN" else c.state


def _timer(timer: Timer | None) -> str:
    """Seconds, retransmissions, and probes that nobody answered."""
    if timer is None:
        return "off (0.00/0/0)"
    name = TIMERS[timer.kind]
    counts = (timer.retransmits, 0) if timer.kind == "retransmit" else (0, timer.retransmits)
    return f"{name} ({timer.expires_ms / 1000:.2f}/{counts[0]}/{counts[1]})"
