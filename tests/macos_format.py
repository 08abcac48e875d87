"""What netstat of each macOS prints of a socket, from the format strings of Apple's network_cmds.

netstat.tproj/inet.c, inet6.c and unix.c; `%-22.22s` there is `{:<22.22}` here. The names of layouts
are those of `netinspect.parse.macos_verbose`; D is D1 in 15.0 and D2 from 15.2 on.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Layout = Literal["A", "B", "C", "D1", "D2", "E"]
LAYOUTS: tuple[Layout, ...] = ("A", "B", "C", "D1", "D2", "E")
NARROW, WIDE = 22, 45


class Counters(NamedTuple):
    """What -v tells besides the process."""

    rx: int = 13928
    tx: int = 2265
    rhiwat: int = 131072
    shiwat: int = 131600
    epid: int = 0
    bits: int = 0x102
    options: int = 0x4
    gencnt: int = 0x344A58
    flags: int = 0x80
    flags1: int = 0x4000900
    usecnt: int = 2
    rtncnt: int = 0
    fltrs: int = 0


class Inet(NamedTuple):
    """A socket of the Internet; hosts as netstat prints them in full, `*` for none."""

    protocol: str
    local: tuple[str, str]
    remote: tuple[str, str] = ("*", "*")
    state: str = ""
    recv_q: int = 0
    send_q: int = 0
    pid: int = 340
    name: str = "rapportd"
    counters: Counters = Counters()


class Unix(NamedTuple):
    """A unix socket; numbers are addresses in the kernel."""

    address: int
    kind: str
    file: int = 0
    peer: int = 0
    path: str = ""
    recv_q: int = 0
    send_q: int = 0
    pid: int = 340
    name: str = "rapportd"
    counters: Counters = Counters()


def inet_row(socket: Inet, layout: Layout, *, is_wide: bool = True, is_verbose: bool = True) -> str:
    """A row of `netstat -an`, with -v and -l where asked."""
    name, family = socket.protocol[:3], socket.protocol[3:]
    cells = (
        f"{cell(host, port, is_ipv6='6' in family, is_wide=is_wide, layout=layout)} "
        for host, port in (socket.local, socket.remote)
    )
    start = f"{name:<3.3}{family:<2.2} {socket.recv_q:6} {socket.send_q:6}  {''.join(cells)}"
    columns = verbose_columns(socket, layout) if is_verbose else ""
    return f"{start}{socket.state:<11}{columns}"


def cell(host: str, port: str, *, is_ipv6: bool, is_wide: bool, layout: Layout) -> str:
    """An address: an IPv6 host is cut to 16 characters without -l."""
    cut = 39 if is_ipv6 and is_wide else 16
    # IPv4 has wide cells since macOS 12
    width = WIDE if is_wide and (is_ipv6 or layout not in ("A", "B")) else NARROW
    text = f"{host[:cut]}.{port}"
    return f"{text:<{width}.{width}}"


def verbose_columns(socket: Inet | Unix, layout: Layout) -> str:
    """What -v adds to a row."""
    c = socket.counters
    tail = (
        f" {c.bits:05x} {c.options:08x} {c.gencnt:016x} {c.flags:08x} {c.flags1:08x}"
        f" {c.usecnt:6} {c.rtncnt:6} {c.fltrs:06x}"
    )
    if layout in ("A", "B"):
        columns = f" {c.rhiwat:6} {c.shiwat:6} {socket.pid:6} {c.epid:6}"
        return columns if layout == "A" else f"{columns} 0x{c.bits:04x} 0x{c.options:08x}"
    if layout == "E":
        columns = f" {c.rx:12} {c.tx:12} {c.rhiwat:7} {c.shiwat:7}"
        return f"{columns} {socket.name:>16}:{socket.pid:<6}{tail}"
    columns = f" {c.rhiwat:7} {c.shiwat:7} {socket.pid:6} {c.epid:6}{tail}"
    width = {"C": 0, "D1": 10, "D2": 12}[layout]
    return f" {c.rx:{width}} {c.tx:{width}}{columns}" if width else columns


def unix_row(socket: Unix, layout: Layout, *, is_verbose: bool = True) -> str:
    """A row of `netstat -an -f unix`; the columns of -v begin with macOS 13.3."""
    start = (
        f"{socket.address:16x} {socket.kind:<6.6} {socket.recv_q:6} {socket.send_q:6}"
        f" {socket.file:16x} {socket.peer:16x} {0:16x} {0:16x}"
    )
    columns = ""
    if is_verbose and layout == "C":
        c = socket.counters
        columns = f"{c.rhiwat:6} {c.shiwat:6} {socket.pid:6} {c.epid:6}"
    elif is_verbose and layout not in ("A", "B"):
        columns = verbose_columns(socket, layout)
    return f"{start}{columns} {socket.path}" if socket.path else f"{start}{columns}"


def inet_header(layout: Layout, *, is_wide: bool, is_verbose: bool) -> str:
    """The two lines before the first row."""
    width = WIDE if is_wide else NARROW
    names = {
        "": "",
        "A": " rhiwat shiwat    pid   epid",
        "B": " rhiwat shiwat    pid   epid  state    options",
        "C": "  rhiwat  shiwat    pid   epid state  options           gencnt    flags   flags1 "
        "usscnt rtncnt fltrs",
        "D1": "    rxbytes    txbytes  rhiwat  shiwat    pid   epid state  options           gencnt"
        "    flags   flags1 usecnt rtncnt fltrs",
        "D2": "      rxbytes      txbytes  rhiwat  shiwat    pid   epid state  options"
        "           gencnt    flags   flags1 usecnt rtncnt fltrs",
        "E": "      rxbytes      txbytes  rhiwat  shiwat          process:pid    state  options"
        "           gencnt    flags   flags1 usecnt rtncnt fltrs",
    }[layout if is_verbose else ""]
    addresses = f"{'Local Address':<{width}} {'Foreign Address':<{width}}"
    return (
        "Active Internet connections (including servers)\n"
        f"Proto Recv-Q Send-Q  {addresses} {'(state)':<11}{names}"
    )


UNIX_HEADER = (
    "Active LOCAL (UNIX) domain sockets\n"
    "Address          Type   Recv-Q Send-Q            Inode             Conn             Refs"
    "          Nextref Addr"
)
QUEUE_HEADER = (
    "Current listen queue sizes (qlen/incqlen/maxqlen)\nListen         Local Address         "
)


def queue_row(queues: tuple[int, int, int], socket: Inet, layout: Layout, *, is_wide: bool) -> str:
    """A row of `netstat -anL`."""
    numbers = "/".join(map(str, queues))
    host, port = socket.local
    is_ipv6 = "6" in socket.protocol
    place = cell(host, port, is_ipv6=is_ipv6, is_wide=is_wide, layout=layout)
    return f"{numbers:<14.14} {place}"
