"""The output of netstat of macOS 26, FreeBSD and OpenBSD.

    Active Internet connections (including servers)
    Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)
    tcp4       0      0  127.0.0.1.631          *.*                    LISTEN
    tcp46      0      0  *.80                   *.*                    LISTEN
    tcp6       0      0  fe80::aede:48ff:.49159 fe80::aede:48ff:.49160 ESTABLISHED
    udp4       0      0  *.5353                 *.*

Hosts are cut to 16 characters, unless an option makes the columns wide. Source: protopr() and
inetprint() of netstat.tproj/{inet,inet6}.c of Apple's network_cmds, and what FreeBSD and OpenBSD
have changed of it. macOS 26.3 prints wide titles above narrow columns, by mistake, and narrow ones
above wide; ours are those of 26.0. What a Mac's kernel counts and ours does not is printed as `-`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import groupby
from typing import NamedTuple

from netinspect.model import Connection, Family, Owner, State
from netinspect.render.dialects.dialect import NOT_TOLD, Block, Names, number_text, unix_name

STATES: dict[State, str] = {
    "CLOSE": "CLOSED",
    "BOUND": "CLOSED",
    "SYN_RECV": "SYN_RCVD",
    "FIN_WAIT1": "FIN_WAIT_1",
    "FIN_WAIT2": "FIN_WAIT_2",
}
# Without -a
HIDDEN: frozenset[State] = frozenset({"LISTEN", "CLOSE", "BOUND"})
RAW_NAMES = {1: "icm", 2: "igm", 58: "icm"}
ANY = ("0.0.0.0", "::")
MAPPED = "::ffff:"
HOST_WIDTH, CELL_WIDTH = 16, 22
WIDE_HOST, WIDE_CELL = 39, 45
NAME_WIDTH = 16
# Of -v: state options gencnt flags flags1 usecnt rtncnt fltrs
TAIL_WIDTHS = (5, 8, 16, 8, 8, 6, 6, 6)
TAIL_TITLES = ("state", "options", "gencnt", "flags", "flags1", "usecnt", "rtncnt", "fltrs")


class System(NamedTuple):
    """How the netstat of a system differs from that of the others.

    :param name_width: of the column Proto.
    :param gap: between Send-Q and the address.
    :param ipv4: what stands behind `tcp`.
    :param pads_state: whether a row without a state has blanks there.
    """

    unix_title: str
    name_width: int = 5
    gap: str = " "
    ipv4: str = "4"
    state_title: str = "(state)"
    pads_state: bool = False
    has_title_of_each: bool = False


SYSTEMS = {
    "macos": System("Active LOCAL (UNIX) domain sockets", gap="  ", pads_state=True),
    "freebsd": System("Active UNIX domain sockets"),
    "openbsd": System(
        "Active UNIX domain sockets",
        name_width=7,
        gap="  ",
        ipv4="",
        state_title="TCP-State",
        has_title_of_each=True,
    ),
}


class Bsd(NamedTuple):
    """netstat of a BSD, and with which options.

    :param names: prints names of strangers.
    :param has_all: -a: also what listens.
    :param families: -f: only these; what takes both is of both.
    :param is_wide: -l (macOS), -W (FreeBSD), -v (OpenBSD): addresses are whole.
    :param has_bytes: -b (macOS).
    :param is_verbose: -v (macOS): bytes, buffers and the process as well.
    """

    names: Names
    system: System = SYSTEMS["macos"]
    has_all: bool = True
    families: frozenset[Family] | None = None
    is_wide: bool = False
    has_bytes: bool = False
    is_verbose: bool = False

    @property
    def needs_owners(self) -> bool:
        """Whether the process is shown."""
        return self.is_verbose

    @property
    def needs_command_lines(self) -> bool:
        """It shows the names that processes give themselves."""
        return False

    @property
    def needs_extended(self) -> bool:
        """Whether bytes are shown."""
        return self.has_bytes or self.is_verbose

    def shows(self, connection: Connection) -> bool:
        """Whether there is such a socket on a BSD; without -a no listeners of TCP."""
        if connection.protocol == "udplite" or not self._is_of_family(connection):
            return False
        return self.has_all or connection.protocol != "tcp" or connection.state not in HIDDEN

    def _is_of_family(self, c: Connection) -> bool:
        if self.families is None or c.protocol == "unix":
            return True
        if c.dual_stack is True:
            return True
        return ("ipv4" if _is_mapped(c) else c.family) in self.families

    def blocks(self, batches: Iterable[list[Connection]]) -> Iterator[Block]:
        """First the Internet, then unix. Without a row there is no heading."""
        unix: list[Connection] = []
        last: str | None = None
        for connections in batches:
            seen = [c for c in connections if self.shows(c)]
            unix += [c for c in seen if c.protocol == "unix"]
            inet = (c for c in seen if c.protocol != "unix")
            for protocol, run in groupby(inet, key=lambda c: c.protocol):
                some = list(run)
                rows = [self._inet_row(c) for c in some]
                yield Block(self._inet_heading(last, protocol), some, rows)
                last = protocol
        if unix:
            yield Block(self._unix_heading(), unix, [self._unix_row(c) for c in unix])

    def _inet_heading(self, last: str | None, protocol: str) -> tuple[str, ...]:
        if last is not None and (last == protocol or not self.system.has_title_of_each):
            return ()
        width = WIDE_CELL if self.is_wide else CELL_WIDTH
        has_state = protocol == "tcp" or not self.system.has_title_of_each
        columns = (
            f"{'Proto':<{self.system.name_width}} Recv-Q Send-Q{self.system.gap}"
            f"{'Local Address':<{width}} {'Foreign Address':<{width}} "
            f"{self.system.state_title if has_state else '':<11}{self._more_titles()}"
        )
        servers = " (including servers)" if self.has_all else ""
        return f"Active Internet connections{servers}", columns

    def _more_titles(self) -> str:
        if self.is_verbose:
            *tail, last = zip(TAIL_TITLES, TAIL_WIDTHS, strict=True)
            titles = " ".join([*(f"{title:>{width}}" for title, width in tail), last[0]])
            numbers = f"{'rxbytes':>12} {'txbytes':>12} {'rhiwat':>7} {'shiwat':>7}"
            return f" {numbers} {'process':>16}:{'pid':<6} {titles}"
        return f" {'rxbytes':>12} {'txbytes':>12}" if self.has_bytes else ""

    def _inet_row(self, c: Connection) -> str:
        queues = ("0", "0") if c.state == "LISTEN" else map(number_text, (c.recv_q, c.send_q))
        recv_q, send_q = queues
        width = WIDE_CELL if self.is_wide else CELL_WIDTH
        local = self._end(c, c.local_address, c.local_port)
        remote = self._end(c, c.remote_address, c.remote_port)
        state = STATES.get(c.state, c.state) if c.protocol == "tcp" else ""
        state_width = 11 if self.system.pads_state or state else 0
        return (
            f"{self._name(c):<{self.system.name_width}} {recv_q:>6} {send_q:>6}{self.system.gap}"
            f"{local:<{width}.{width}} {remote:<{width}.{width}} {state:<{state_width}}"
            f"{self._more(c)}"
        )

    def _name(self, c: Connection) -> str:
        """`tcp4`; `tcp46` takes both. What has IPv4 addresses is of IPv4."""
        family = self.system.ipv4 if c.family == "ipv4" or _is_mapped(c) else "6"
        if c.dual_stack is True:
            family = f"{self.system.ipv4}6"
        if c.protocol == "icmp":
            return f"icm{family}"
        if c.protocol == "raw":
            name = RAW_NAMES.get(c.ip_protocol or 0, "ip")
            return f"{name:<3}{family}" if self.system.ipv4 else name + family
        return c.protocol + family

    def _end(self, c: Connection, address: str | None, number: int | None) -> str:
        host = "*"
        if address is not None and address not in ANY:
            host = self.names(address)
        if host.startswith(MAPPED) and "." in host:
            host = host.removeprefix(MAPPED)
        is_known = number is not None or address is None or c.protocol in ("raw", "icmp")
        port = str(number or "*") if is_known else NOT_TOLD
        return f"{host[: WIDE_HOST if self.is_wide else HOST_WIDTH]}.{port}"

    def _more(self, c: Connection) -> str:
        if not self.needs_extended:
            return ""
        info = c.tcp_info or None
        received = number_text(info.bytes_received if info else None)
        sent = number_text(info.bytes_sent if info else None)
        if not self.is_verbose:
            return f" {received:>12} {sent:>12}"
        memory = c.memory or None
        receive_limit = number_text(memory.receive_limit_bytes if memory else None)
        send_limit = number_text(memory.send_limit_bytes if memory else None)
        tail = (f"{NOT_TOLD:>{width}}" for width in TAIL_WIDTHS)
        return (
            f" {received:>12} {sent:>12} {receive_limit:>7} {send_limit:>7}"
            f" {self._owner(c.owners[0] if c.owners else None)} {' '.join(tail)}"
        )

    def _owner(self, owner: Owner | None) -> str:
        """`name:pid`; without a name where nobody is known."""
        name = self.names(owner.process or "")[:NAME_WIDTH] if owner else ""
        return f"{name:>16}:{number_text(owner.pid if owner else None):<6}"

    def _unix_heading(self) -> tuple[str, ...]:
        numbers = f"{'Inode':>16} {'Conn':>16} {'Refs':>16} {'Nextref':>16}"
        return self.system.unix_title, f"{'Address':<16} Type   Recv-Q Send-Q {numbers} Addr"

    def _unix_row(self, c: Connection) -> str:
        """Addresses in the kernel are not told: numbers of inodes show who is connected to whom."""
        path = f" {self.names(unix_name(c.local_address))}" if c.local_address else ""
        return (
            f"{c.inode or 0:>16x} {c.type[:6]:<6} {number_text(c.recv_q):>6} "
            f"{number_text(c.send_q):>6} {NOT_TOLD:>16} {c.peer_inode or 0:>16x} "
            f"{NOT_TOLD:>16} {NOT_TOLD:>16}{path}"
        )


def _is_mapped(c: Connection) -> bool:
    return (c.local_address or "").startswith(MAPPED)
