"""Sockets of an invented BSD, as each system's tools would print them.

The formats are those of usr.bin/{netstat,sockstat,fstat} of each system; a test holds the rows
against the real captures. `python -m tests.bsd_sockets` writes the answers of the fake systems in
tests/roots anew.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

ROOTS = Path(__file__).parent / "roots"
LONGEST = "2001:db8:1111:2222:3333:4444:5555:6666"


class Holder(NamedTuple):
    """A descriptor of a process."""

    user: str
    command: str
    pid: int
    fd: int


class Inet(NamedTuple):
    """A socket of the Internet; hosts as they are printed, port 0 for `*`."""

    protocol: str
    family: str
    local: tuple[str, int]
    remote: tuple[str, int] = ("*", 0)
    state: str = ""
    queues: tuple[int, int] = (0, 0)
    waiting: tuple[int, int, int] | None = None
    holders: tuple[Holder, ...] = ()
    ip_protocol: int | None = None


class Unix(NamedTuple):
    """A unix socket; numbers are addresses in the kernel."""

    type: str
    address: int
    vnode: int = 0
    peer: int = 0
    path: str = ""
    waiting: tuple[int, int, int] | None = None
    holders: tuple[Holder, ...] = ()
    references: tuple[int, int] = (0, 0)


SSHD, NGINX, WORKER = (
    Holder("root", "sshd", 668, 4),
    Holder("www", "nginx: master", 901, 7),
    Holder("www", "nginx: worker", 902, 7),
)
HERE, THERE, ZONED = "198.51.100.7", "203.0.113.9", "fe80::1%em0"
STATES = (
    "SYN_SENT",
    "SYN_RCVD",
    "ESTABLISHED",
    "CLOSE_WAIT",
    "FIN_WAIT_1",
    "CLOSING",
    "LAST_ACK",
    "FIN_WAIT_2",
    "TIME_WAIT",
)
NOBODYS = ("SYN_RCVD", "TIME_WAIT")
CURL = Holder("alice", "c u:rl 1 2", 12345, 5)
INET = (
    *(
        Inet(
            "tcp",
            "4",
            (HERE, 50000 + number),
            (THERE, 443),
            state,
            (number, 2 * number),
            holders=() if state in NOBODYS else (CURL._replace(fd=number),),
        )
        for number, state in enumerate(STATES, start=3)
    ),
    Inet("tcp", "4", ("*", 22), state="LISTEN", waiting=(2, 1, 128), holders=(SSHD,)),
    Inet("tcp", "4", ("127.0.0.1", 25), state="LISTEN", waiting=(0, 0, 10)),
    Inet("tcp", "6", ("*", 22), state="LISTEN", waiting=(0, 0, 128), holders=(SSHD,)),
    Inet("tcp", "6", ("::1", 80), state="LISTEN", waiting=(1, 0, 511), holders=(NGINX, WORKER)),
    Inet("tcp", "6", (LONGEST, 22), (LONGEST, 65535), "ESTABLISHED", (9, 0), holders=(SSHD,)),
    Inet("tcp", "6", (ZONED, 22), ("fe80::2%em0", 40000), "ESTABLISHED", holders=(SSHD,)),
    Inet("tcp", "4", ("*", 0), state="CLOSED", holders=(CURL,)),
    Inet("tcp", "4", (HERE, 7070), state="CLOSED", holders=(CURL._replace(fd=20),)),
    Inet("udp", "4", ("*", 514), queues=(120, 0), holders=(Holder("root", "syslogd", 512, 6),)),
    Inet("udp", "6", ("*", 514), holders=(Holder("root", "syslogd", 512, 7),)),
    Inet("udp", "4", (HERE, 123), (THERE, 123), holders=(Holder("ntpd", "ntpd", 700, 20),)),
    Inet("raw", "4", ("*", 0), ip_protocol=1),
)
# What only FreeBSD has: one row for a listener of both families.
DUAL = Inet("tcp", "46", ("*", 8080), state="LISTEN", waiting=(0, 0, 64), holders=(NGINX,))
LOGGER = Holder("root", "logger", 811, 3)
UNIX = (
    Unix(
        "stream",
        0xFFFFF80003ABF000,
        0xFFFFF80003C581E0,
        path="/var/run/devd.pipe",
        waiting=(0, 0, 30),
        holders=(Holder("root", "devd", 402, 9),),
    ),
    Unix("stream", 0xFFFFF80003ABF100, 0xFFFFF80003C58200, path="/var/run/bound only"),
    Unix("stream", 0xFFFFF80003AB6100, peer=0xFFFFF80003AB6200, holders=(LOGGER,)),
    Unix("stream", 0xFFFFF80003AB6200, peer=0xFFFFF80003AB6100, holders=(LOGGER._replace(fd=4),)),
    Unix("dgram", 0xFFFFF80003AC3E00, peer=0xFFFFF80003AB6D00, holders=(LOGGER._replace(fd=5),)),
    Unix(
        "dgram",
        0xFFFFF80003AB6D00,
        0xFFFFF80003C67000,
        path="/var/run/log",
        holders=(Holder("root", "syslogd", 512, 5),),
    ),
    Unix("seqpacket", 0xFFFFF80003AB6300),
)


def host_port(end: tuple[str, int], separator: str = ".", host_width: int = 39) -> str:
    """`host.port` as netstat prints it, with the host cut."""
    host, port = end
    return f"{host[:host_width]}{separator}{port or '*'}"


# FreeBSD: usr.bin/netstat/inet.c, protopr(); unix.c, unixdomainpr()


def freebsd_netstat(inet: Iterable[Inet], unix: Iterable[Unix], *, is_wide: bool) -> Iterator[str]:
    """`netstat -an` or `-anW`."""
    width = 45 if is_wide else 22
    yield "Active Internet connections (including servers)"
    yield (
        f"{'Proto':<5} {'Recv-Q':<6} {'Send-Q':<6} {'Local Address':<{width}} "
        f"{'Foreign Address':<{width}} {'(state)':<11}"
    )
    for sock in inet:
        cut = 39 if is_wide else 16
        ends = [
            host_port(e, host_width=cut if "6" in sock.family else 39)
            for e in (sock.local, sock.remote)
        ]
        state = f"{sock.state:<11}" if sock.protocol == "tcp" else ""
        yield (
            f"{freebsd_protocol(sock):<5.5} {sock.queues[0]:>6} {sock.queues[1]:>6} "
            f"{ends[0]:<{width}} {ends[1]:<{width}} {state}"
        )
    yield "Active UNIX domain sockets"
    titles = "".join(f" {title:>16}" for title in ("Inode", "Conn", "Refs", "Nextref"))
    yield f"{'Address':<16} {'Type':<6} {'Recv-Q':<6} {'Send-Q':<6}{titles} Addr"
    for socket in unix:
        numbers = "".join(f" {n:>16x}" for n in (socket.vnode, socket.peer, *socket.references))
        path = f" {socket.path}" if socket.path else ""
        yield f"{socket.address:>16x} {socket.type:<6.6} {0:>6} {0:>6}{numbers}{path}"


def freebsd_protocol(sock: Inet) -> str:
    """`%-3.3s%-2.2s` of the protocol and the family."""
    return ("icm" if sock.protocol == "raw" else sock.protocol) + sock.family


def freebsd_json(inet: Iterable[Inet], unix: Iterable[Unix]) -> Iterator[str]:
    """`netstat --libxo json -anW`."""
    sockets: list[dict[str, object]] = []
    for sock in inet:
        name = "icmp" if sock.protocol == "raw" else sock.protocol
        state = {"tcp-state": f"{sock.state:<11}"} if sock.protocol == "tcp" else {}
        sockets.append(
            {
                "protocol": name + sock.family,
                "receive-bytes-waiting": sock.queues[0],
                "send-bytes-waiting": sock.queues[1],
                "local": {"address": sock.local[0], "port": str(sock.local[1] or "*")},
                "remote": {"address": sock.remote[0], "port": str(sock.remote[1] or "*")},
                **state,
            }
        )
    sockets += [
        {
            "address": f"{socket.address:>16x}",
            "type": f"{socket.type:<6.6}",
            "receive-bytes-waiting": 0,
            "send-bytes-waiting": 0,
            "vnode": f"{socket.vnode:>16x}",
            "connection": f"{socket.peer:>16x}",
            "first-reference": f"{0:>16x}",
            "next-reference": f"{0:>16x}",
            **({"path": socket.path} if socket.path else {}),
        }
        for socket in unix
    ]
    yield json.dumps({"statistics": {"socket": sockets}}, separators=(",", ": "))


def freebsd_queues(inet: Iterable[Inet], unix: Iterable[Unix]) -> Iterator[str]:
    """`netstat -anLW`."""
    yield "Current listen queue sizes (qlen/incqlen/maxqlen)"
    yield f"{'Proto':<5} {'Listen':<32} {'Local Address':<45}"
    for sock in inet:
        if sock.waiting:
            queues = "/".join(map(str, sock.waiting))
            yield f"{freebsd_protocol(sock):<5} {queues:<32} {host_port(sock.local):<45} "
    for socket in unix:
        if socket.waiting:
            yield f"unix  {'/'.join(map(str, socket.waiting)):<32} {socket.path}"


# OpenBSD: usr.bin/netstat/inet.c, netdomainpr(); with -v no address is cut


def openbsd_netstat(inet: Iterable[Inet], unix: Iterable[Unix], *, is_wide: bool) -> Iterator[str]:
    """`netstat -an` or `-anv`."""
    kind = ("", "")
    for sock in sorted(inet, key=lambda s: (s.family, s.protocol != "tcp", s.protocol)):
        if kind != (kind := (sock.protocol, sock.family)):
            behind = {"tcp": " TCP-State", "raw": " IP-Proto"}.get(sock.protocol, "")
            yield "Active Internet connections (including servers)"
            yield (
                f"{'Proto':<7} {'Recv-Q':<6} {'Send-Q':<6}  {'Local Address':<22} "
                f"{'Foreign Address':<22}{behind}"
            )
        name = "ip" if sock.protocol == "raw" else sock.protocol
        last = {"tcp": f" {sock.state}", "raw": f" {sock.ip_protocol}"}.get(sock.protocol, "")
        yield (
            f"{name + sock.family.replace('4', ''):<7} {sock.queues[0]:>6} {sock.queues[1]:>6} "
            f"{bsd_cells(sock, is_wide=is_wide)}{last}"
        )
    yield "Active UNIX domain sockets"
    titles = "".join(f" {title:>18}" for title in ("Inode", "Conn", "Refs", "Nextref"))
    yield f"{'Address':<18} {'Type':<6} {'Recv-Q':<6} {'Send-Q':<6}{titles} Addr"
    for socket in unix:
        numbers = "".join(f" {n:>#18x}" for n in (socket.vnode, socket.peer, *socket.references))
        path = f" {socket.path}" if socket.path else ""
        yield f"{socket.address:>#18x} {socket.type:<6.6} {0:>6} {0:>6}{numbers}{path}"


def bsd_cells(sock: Inet, *, is_wide: bool) -> str:
    """Both addresses, each behind a blank in 22 columns, or more where -v leaves it whole."""
    cut = 39 if is_wide or sock.family == "4" else 16
    ends = (host_port(end, host_width=cut) for end in (sock.local, sock.remote))
    return "".join(f" {end:<22}" for end in ends)


# NetBSD: usr.bin/netstat/inet.c, protopr0()


def netbsd_netstat(inet: Iterable[Inet], unix: Iterable[Unix], *, is_wide: bool) -> Iterator[str]:
    """`netstat -an` or `-anv`."""
    for family, title in (("4", "Internet"), ("6", "Internet6")):
        yield f"Active {title} connections (including servers)"
        yield (
            f"{'Proto':<5} {'Recv-Q':<6} {'Send-Q':<6}  {'Local Address':<22} "
            f"{'Foreign Address':<22} State"
        )
        for sock in inet:
            if sock.family == family and sock.protocol != "raw":
                state = f" {sock.state}" if sock.protocol == "tcp" else ""
                name = sock.protocol + family.replace("4", "")
                yield (
                    f"{name:<5} {sock.queues[0]:>6} {sock.queues[1]:>6} "
                    f"{bsd_cells(sock, is_wide=is_wide)}{state}"
                )
    yield "Active UNIX domain sockets"
    yield "Address  Type   Recv-Q Send-Q    Inode     Conn     Refs  Nextref Addr"
    paths = {socket.address: socket.path for socket in unix}
    for socket in unix:
        numbers = "".join(f" {n:>8x}" for n in (socket.vnode, socket.peer, *socket.references))
        peer = paths.get(socket.peer)
        path = f" -> {peer}" if peer else f" {socket.path}" if socket.path else ""
        yield f"{socket.address:>8x} {socket.type:<6.6} {0:>6} {0:>6}{numbers}{path}"


# FreeBSD 10 to 14: usr.bin/sockstat/sockstat.c, display() and displaysock()


def sockstat(inet: Iterable[Inet], unix: Iterable[Unix]) -> Iterator[str]:
    """`sockstat -46uw`."""
    yield (
        f"{'USER':<8} {'COMMAND':<10} {'PID':<5} {'FD':<3} {'PROTO':<6} "
        f"{'LOCAL ADDRESS':<45} {'FOREIGN ADDRESS':<45}"
    )
    sockets: list[Inet | Unix] = [*inet, *unix]
    for socket in sockets:
        for holder in socket.holders:
            yield _padded(_padded(holder.user + " ", 9) + holder.command[:10], 20) + (
                f"{holder.pid:>5} {holder.fd:<3} {_ends(socket, sockets)}"
            )
    for socket in sockets:
        if not socket.holders:
            yield f"{'?':<8} {'?':<10} {'?':<5} {'?':<2}  {_ends(socket, sockets)}"


def _ends(socket: Inet | Unix, sockets: list[Inet | Unix]) -> str:
    if isinstance(socket, Inet):
        local, remote = (host_port(end, ":") for end in (socket.local, socket.remote))
        return f"{sockstat_protocol(socket):<6} {local:<45} {remote}"
    peers = {s.address: s.path for s in sockets if isinstance(s, Unix)}
    name = socket.path if socket.path or socket.peer else "(not connected)"
    if socket.peer:
        name += f"{' ' if name else ''}-> {peers[socket.peer] or '??'}"
    return f"{socket.type[:6]:<6} {name}"


def sockstat_protocol(sock: Inet) -> str:
    """Of raw sockets sockstat tells nothing; the row is one of a divert socket."""
    return ("div" if sock.protocol == "raw" else sock.protocol) + sock.family


def _padded(text: str, width: int) -> str:
    return text.ljust(width)


# FreeBSD 15: usr.bin/sockstat/main.c, display() and display_sock()


def sockstat_15(inet: Iterable[Inet], unix: Iterable[Unix], *, is_wide: bool) -> Iterator[str]:
    """`sockstat -46us` or `-46usw`: columns as wide as they have to be."""
    sockets: list[Inet | Unix] = [*inet, *unix]
    titles = ("USER", "COMMAND", "PID", "FD", "PROTO", "LOCAL ADDRESS", "FOREIGN ADDRESS")
    rows = [
        (*_holder_cells(holder), *_cells(socket, sockets))
        for has_holder in (True, False)
        for socket in sockets
        if bool(socket.holders) == has_holder
        for holder in socket.holders or (None,)
    ]
    widths = [max(len(row[i]) for row in (titles, *rows)) for i in range(7)]
    widths[1] = 10
    if not is_wide:
        widths[5:] = [21, 21]
    for *row, state in [(*titles, "CONN STATE"), *rows]:
        cells = [cell[:width] for cell, width in zip(row, widths, strict=True)]
        yield " ".join(
            (
                *(
                    c.rjust(w) if i in (2, 3) else c.ljust(w)
                    for i, (c, w) in enumerate(zip(cells, widths, strict=True))
                ),
                f"{state:<11}",
            )
        )


def _holder_cells(holder: Holder | None) -> tuple[str, ...]:
    if holder is None:
        return ("??",) * 4
    return holder.user, holder.command[:10], str(holder.pid), str(holder.fd)


def _cells(socket: Inet | Unix, sockets: list[Inet | Unix]) -> tuple[str, ...]:
    if isinstance(socket, Inet):
        local, remote = (host_port(end, ":") for end in (socket.local, socket.remote))
        return sockstat_protocol(socket), local, remote, socket.state or "??"
    peers = {s.address: s.path for s in sockets if isinstance(s, Unix)}
    local = socket.path or ("??" if socket.peer else "(not connected)")
    peer = f"-> {peers[socket.peer] or '[811 4]'}" if socket.peer else "??"
    return socket.type[:6], local, peer, "??"


# NetBSD: usr.bin/sockstat/sockstat.c, print_socket()


def netbsd_sockstat(inet: Iterable[Inet], unix: Iterable[Unix]) -> Iterator[str]:
    """`sockstat -n`: only what has a descriptor."""
    yield (
        f"{'USER':<8} {'COMMAND':<10} {'PID':<5} {'FD':<2} {'PROTO':<6} "
        f"{'LOCAL ADDRESS':<21} FOREIGN ADDRESS"
    )
    unix = tuple(unix)
    paths = {socket.address: socket.path for socket in unix}
    sockets: list[Inet | Unix] = [*inet, *unix]
    for socket in sockets:
        if isinstance(socket, Unix):
            kind = {"seqpacket": "seq"}.get(socket.type, socket.type)
            ends = socket.path or "-", paths.get(socket.peer) or "-"
        elif socket.protocol == "raw":
            continue
        else:
            kind = socket.protocol + socket.family.replace("4", "")
            ends = host_port(socket.local), host_port(socket.remote)
        for holder in socket.holders:
            yield (
                f"{holder.user:<8} {holder.command:<10.10} {holder.pid:<5} {holder.fd:>2} "
                f"{kind:<6} {ends[0]:<21} {ends[1]}"
            )


# OpenBSD: usr.bin/fstat/fstat.c, socktrans()


def fstat(inet: Iterable[Inet], unix: Iterable[Unix]) -> Iterator[str]:
    """`fstat -n`."""
    yield "USER     CMD          PID   FD MOUNT        INUM MODE       R/W    SZ|DV"
    yield "root     init           1   wd  4,0            2   40755   r      512"
    sockets: list[Inet | Unix] = [*inet, *unix]
    for socket in sockets:
        for holder in socket.holders:
            # the user is cut at 8, the command only padded
            yield (
                f"{holder.user:<8.8} {holder.command:<10} {holder.pid:>5} {holder.fd:>4}* "
                f"{_fstat_unix(socket) if isinstance(socket, Unix) else _fstat_inet(socket)}"
            )
    yield "root     syslogd      512   12 pipe 0xfffffd8012345678 state: "


def _fstat_inet(sock: Inet) -> str:
    domain = "internet6" if sock.family == "6" else "internet"
    kind = {"tcp": "stream", "udp": "dgram", "raw": "raw"}[sock.protocol]
    if sock.protocol == "raw":
        return f"{domain} {kind} icmp 0xfffffd8011112222"
    pointer = " 0xfffffd8011112222" if sock.protocol == "tcp" else ""
    ends = [f"[{h}]:{p}" if ":" in h else f"{h}:{p}" for h, p in (sock.local, sock.remote)]
    arrow = "<->" if sock.protocol == "udp" else "-->" if sock.remote[1] == 443 else "<--"
    peer = f" {arrow} {ends[1]}" if sock.remote[1] else ""
    return f"{domain} {kind} {sock.protocol}{pointer} {ends[0]}{peer}"


def _fstat_unix(socket: Unix) -> str:
    kind = {"seqpacket": "seqpak"}.get(socket.type, socket.type)
    return f"unix {kind} {socket.address:#x}" + (f" <-> {socket.peer:#x}" if socket.peer else "")


# sysctl: of FreeBSD 12 a real one, see fixtures/freebsd; what later ones lack is left out

FREEBSD_12_SYSCTL = (Path(__file__).parent / "fixtures/freebsd/12-sysctl-net.txt").read_text()
OPENBSD_SYSCTL = ("net.inet.ip.portfirst=1024", "net.inet.ip.portlast=49151")
NETBSD_SYSCTL = (
    "net.inet.ip.anonportmin = 49152",
    "net.inet.ip.anonportmax = 65535",
    "net.inet6.ip6.v6only = 1",
)


def freebsd_sysctl(release: int) -> list[str]:
    """All settings; from 14 on TIME_WAIT has no table of its own that could be full."""
    lines = FREEBSD_12_SYSCTL.splitlines()
    return [line for line in lines if release < 14 or "maxtcptw" not in line]


# The answers of each fake system, by the name of the file that its programs print


def freebsd_answers(release: int) -> dict[str, Iterable[str]]:
    """FreeBSD 12, 14 or 15."""
    inet = (*INET, DUAL)
    new = release >= 15
    return {
        "netstat-text": freebsd_netstat(inet, UNIX, is_wide=False),
        "netstat-wide": freebsd_netstat(inet, UNIX, is_wide=True),
        "netstat-json": freebsd_json(inet, UNIX),
        "netstat-queues": freebsd_queues(inet, UNIX),
        "sockstat": sockstat_15(inet, UNIX, is_wide=True) if new else sockstat(inet, UNIX),
        "sysctl": freebsd_sysctl(release),
    }


OPENBSD_ANSWERS = {
    "netstat-text": openbsd_netstat(INET, UNIX, is_wide=False),
    "netstat-wide": openbsd_netstat(INET, UNIX, is_wide=True),
    "fstat": fstat(INET, UNIX),
    "sysctl": OPENBSD_SYSCTL,
}
NETBSD_ANSWERS = {
    "netstat-text": netbsd_netstat(INET, UNIX, is_wide=False),
    "netstat-wide": netbsd_netstat(INET, UNIX, is_wide=True),
    "sockstat": netbsd_sockstat(INET, UNIX),
    "sysctl": NETBSD_SYSCTL,
}
ANSWERS: dict[str, dict[str, str]] = {
    root: {name: "".join(f"{line}\n" for line in lines) for name, lines in answers.items()}
    for root, answers in (
        ("freebsd12", freebsd_answers(12)),
        ("freebsd14", freebsd_answers(14)),
        ("freebsd15", freebsd_answers(15)),
        ("openbsd7", OPENBSD_ANSWERS),
        ("netbsd10", NETBSD_ANSWERS),
    )
}


def write_answers() -> None:
    """Write the answers of all roots anew."""
    for root, answers in ANSWERS.items():
        folder = ROOTS / root / "answers"
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in answers.items():
            (folder / name).write_text(text)


if __name__ == "__main__":
    write_answers()
