"""Folders that look like a Mac of each release: netstat, lsof and sysctl, and what they print.

`python -m tests.macos_roots` writes tests/roots/macos-*; a test checks that they are up to date.
All addresses, names and users are invented (RFC 5737, RFC 3849).
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from tests.macos_format import (
    QUEUE_HEADER,
    UNIX_HEADER,
    Counters,
    Inet,
    Layout,
    Unix,
    inet_header,
    inet_row,
    queue_row,
    unix_row,
)

ROOTS = Path(__file__).parent / "roots"


class Release(NamedTuple):
    """A macOS.

    :param darwin: kern.osrelease.
    :param shows_time_wait: whether netstat has rows of TIME_WAIT.
    :param counts_time_wait: whether net.inet.tcp.tw_pcbcount is there.
    :param has_mixed_header: whether the header is wide where its rows are narrow.
    :param refuses_unknown: whether an unknown protocol is an error.
    """

    name: str
    layout: Layout
    darwin: str
    shows_time_wait: bool = True
    counts_time_wait: bool = True
    has_mixed_header: bool = False
    refuses_unknown: bool = True


RELEASES = (
    Release("10.11", "A", "15.6.0", shows_time_wait=False),
    Release("10.13", "A", "17.7.0"),
    Release("10.14", "B", "18.7.0"),
    Release("14", "C", "23.4.0"),
    Release("15.0", "D1", "24.0.0", counts_time_wait=False),
    Release("15.4", "D2", "24.4.0", counts_time_wait=False),
    Release("26", "E", "25.0.0", counts_time_wait=False),
    Release(
        "26.3",
        "E",
        "25.3.0",
        counts_time_wait=False,
        has_mixed_header=True,
        refuses_unknown=False,
    ),
)
BY_NAME = {release.name: release for release in RELEASES}

# Three sockets of each state, at both families.
CONNECTED = (
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
LONG_HOST = "2001:db8:1234:5678:9abc:def0:1234:5678"  # 38 characters


def _connected() -> Iterator[Inet]:
    for number, state in enumerate(CONNECTED):
        client = str(49152 + number)
        yield Inet("tcp4", ("192.0.2.10", client), ("198.51.100.7", "443"), state)
        yield Inet("tcp6", ("2001:db8::10", client), ("2001:db8:ffff::7", "443"), state, 17, 4)
        yield Inet("tcp6", (LONG_HOST, client), ("2001:db8::53", "853"), state, 0, 1460)


LISTENERS = (
    Inet("tcp4", ("127.0.0.1", "631"), state="LISTEN", pid=97, name="cupsd"),
    Inet("tcp6", ("::1", "631"), state="LISTEN", pid=97, name="cupsd"),
    Inet("tcp46", ("*", "80"), state="LISTEN", pid=501, name="nginx"),
    Inet("tcp6", ("fe80::1%lo0", "8021"), state="LISTEN", pid=1, name="launchd"),
)
QUEUES = ((0, 0, 128), (0, 0, 128), (7, 2, 511), (1, 0, 5))
CLOSED = (
    Inet("tcp4", ("*", "*"), state="CLOSED"),
    Inet("tcp4", ("127.0.0.1", "50100"), state="CLOSED"),
    Inet("tcp6", ("2001:db8::10", "50101"), ("2001:db8::20", "22"), "CLOSED"),
)
# The names as netstat has them: 16 characters at most, of which the last may be a blank.
NAMED = (
    Inet("tcp4", ("127.0.0.1", "50200"), ("127.0.0.1", "50201"), "ESTABLISHED", 0, 0, 2086)
    ._replace(name="Antigravity IDE "),
    Inet("tcp4", ("127.0.0.1", "50201"), ("127.0.0.1", "50200"), "ESTABLISHED", 31, 0, 2087)
    ._replace(name="Brave Browser He"),
    Inet("tcp4", ("127.0.0.1", "50202"), ("127.0.0.1", "50203"), "ESTABLISHED", 0, 0, 2088)
    ._replace(name="a:b 0 1:80"),
    Inet("tcp4", ("192.0.2.10", "50204"), ("198.51.100.9", "445"), "ESTABLISHED", 0, 0, 0)
    ._replace(name="kernel_task"),
    Inet("tcp4", ("192.0.2.10", "50205"), ("198.51.100.9", "993"), "CLOSE_WAIT", 0, 0, 56486)
    ._replace(name=""),
    Inet("tcp6", ("fe80::c34:4384:6f01:1%en0", "49194"), ("fe80::142d:1153:2:3%en0", "64524"))
    ._replace(state="ESTABLISHED"),
)  # fmt: skip
TCP = (*LISTENERS, *_connected(), *CLOSED, *NAMED)
UDP = (
    Inet("udp4", ("*", "5353"), pid=141, name="mDNSResponder"),
    Inet("udp6", ("*", "5353"), pid=141, name="mDNSResponder"),
    Inet("udp46", ("*", "61224"), pid=2087, name="Brave Browser He", recv_q=212),
    Inet("udp4", ("*", "*"), pid=340),
    Inet("udp4", ("192.0.2.10", "50300"), ("198.51.100.53", "53"), pid=141),
    Inet("udp6", ("fe80::1%lo0", "123"), pid=98, name="timed"),
)
ACCEPTS, FILE = 0x2, 0x2AB0
UNIX = (
    Unix(0x7FB03CB94D74825D, "stream", FILE, 0, "/var/run/mDNSResponder", pid=141)
    ._replace(name="mDNSResponder", counters=Counters(options=ACCEPTS)),
    Unix(0x7FB03CB94D748965, "stream", 0, 0x7FB03CB94D748A2D, "/var/run/mDNSResponder"),
    Unix(0x7FB03CB94D748A2D, "stream", 0, 0x7FB03CB94D748965, recv_q=5),
    Unix(0x7FB03CB94D748BBD, "dgram", FILE + 16, 0, "/private/var/run/a b: 1 2", pid=1)
    ._replace(name="launchd"),
    Unix(0x7FB03CB94D748E15, "stream", FILE + 32, 0, "/private/var/bound only"),
    Unix(0x7FB03CB94D747515, "dgram", 0, 0),
)  # fmt: skip


class Held(NamedTuple):
    """What a process has open, as lsof has it."""

    pid: int
    name: str
    uid: int
    login: str
    files: tuple[tuple[int, str, str, str, str], ...]  # fd, type, device, protocol, rest


def _held(protocol: str) -> tuple[Held, ...]:
    if protocol == "udp":
        return (
            Held(141, "mDNSResponder", 65, "_mdnsresponder", (
                (7, "IPv4", "0x61", "UDP", "n*:5353"),
                (8, "IPv6", "0x62", "UDP", "n*:5353"),
            )),
            Held(2087, "Brave Browser Helper", 501, "anna", (
                (20, "IPv6", "0x63", "UDP", "n*:61224"),
            )),
        )  # fmt: skip
    established = "TST=ESTABLISHED\0TQR=0\0TQS=0"
    listen = "TST=LISTEN\0TQR=0\0TQS=0"
    return (
        Held(1, "launchd", 0, "root", (
            (9, "IPv6", "0x51", "TCP", f"n[fe80:1::1]:8021\0{listen}"),
        )),
        Held(501, "nginx", 0, "root", ((6, "IPv6", "0x52", "TCP", f"n*:80\0{listen}"),)),
        Held(502, "nginx", 70, "_www", ((6, "IPv6", "0x52", "TCP", f"n*:80\0{listen}"),)),
        Held(2086, "Antigravity IDE Helper", 501, "anna", (
            (31, "IPv4", "0x53", "TCP", f"n127.0.0.1:50200->127.0.0.1:50201\0{established}"),
        )),
        Held(2087, "Brave Browser Helper", 501, "anna", (
            # An IPv6 socket that carries IPv4: netstat has it as tcp4.
            (21, "IPv6", "0x54", "TCP", f"n127.0.0.1:50201->127.0.0.1:50200\0{established}"),
        )),
    )  # fmt: skip


def lsof_fields(protocol: str, uid: int | None = None) -> str:
    """What `lsof -F pcuLftdPnT0` prints, of one user or of all."""
    lines = []
    for held in _held(protocol):
        if uid is None or held.uid == uid:
            lines.append(f"p{held.pid}\0c{held.name}\0u{held.uid}\0L{held.login}\0\n")
            lines += [
                f"f{fd}\0t{kind}\0d{device}\0P{name}\0{rest}\0\n"
                for fd, kind, device, name, rest in held.files
            ]
    return "".join(lines)


def tcp_of(release: Release) -> tuple[Inet, ...]:
    """The TCP sockets that netstat of a release shows."""
    return tuple(s for s in TCP if release.shows_time_wait or s.state != "TIME_WAIT")


def outputs(release: Release) -> dict[str, str]:
    """The texts that the programs of a release print, by file name: `tcp-v-l` is for -v -l."""
    texts = {"lsof": lsof_fields("tcp") + lsof_fields("udp")}
    texts["lsof-501"] = lsof_fields("tcp", 501) + lsof_fields("udp", 501)
    texts["sysctl"] = _lines(_settings(release))
    for flags in ("", "-v", "-l", "-v-l"):
        for name, sockets in (("tcp", tcp_of(release)), ("udp", UDP)):
            texts[name + flags] = _inet_text(sockets, release, flags)
    for flags in ("", "-v"):
        rows = (unix_row(s, release.layout, is_verbose=bool(flags)) for s in UNIX)
        texts[f"unix{flags}"] = _lines([UNIX_HEADER, *rows])
    for flags in ("", "-l"):
        pairs = zip(QUEUES, LISTENERS, strict=True)
        rows = (queue_row(q, s, release.layout, is_wide=bool(flags)) for q, s in pairs)
        texts[f"queues{flags}"] = _lines([QUEUE_HEADER, *rows])
    return texts


def _inet_text(sockets: Iterable[Inet], release: Release, flags: str) -> str:
    is_wide, is_verbose = "-l" in flags, "-v" in flags
    header = inet_header(
        release.layout, is_wide=is_wide != release.has_mixed_header, is_verbose=is_verbose
    )
    rows = (inet_row(s, release.layout, is_wide=is_wide, is_verbose=is_verbose) for s in sockets)
    return _lines([header, *rows])


def _settings(release: Release) -> list[str]:
    settings = [
        f"kern.osrelease: {release.darwin}",
        "kern.ipc.somaxconn: 128",
        "net.inet.ip.portrange.first: 49152",
        "net.inet.ip.portrange.last: 65535",
        "net.inet.tcp.msl: 15000",
        f"net.inet.tcp.pcbcount: {len(TCP)}",
        f"net.inet.udp.pcbcount: {len(UDP)}",
        f"net.local.pcbcount: {len(UNIX)}",
    ]
    if release.counts_time_wait:
        settings.append("net.inet.tcp.tw_pcbcount: 3")
    return settings


def _lines(lines: Iterable[str]) -> str:
    return "".join(f"{line}\n" for line in lines)


OPTIONS = "AaBbc:dFf:gI:ikLlmnP:p:qQrRsStuvWw:xz"
NETSTAT = """\
#!/bin/sh
# netstat of macOS {name}: takes its flags as that one does, and prints the texts beside it.
texts=${{0%/usr/sbin/netstat}}/output

usage() {{
    echo 'Usage:	netstat [-AaLlnW] [-f address_family | -p protocol]' >&2
    exit {usage_status}
}}

a= f= l= L= n= p= v=
while getopts ':{options}' flag; do
    case $flag in
    a | l | L | n | v) eval "$flag=-$flag" ;;
    f | p) eval "$flag=\\$OPTARG" ;;
    u) f=unix ;;
    t) ;; # with -i only
    :) echo "netstat: option requires an argument -- $OPTARG" >&2; usage ;;
    \\?) echo "netstat: illegal option -- $OPTARG" >&2; usage ;;
    *) echo "netstat: -$flag is not in this imitation" >&2; exit 99 ;;
    esac
done
case $p in
'' | tcp | udp) ;;
*) echo "netstat: $p: unknown or uninstrumented protocol" >&2; {unknown} ;;
esac
[ -n "$n" ] || {{ echo 'netstat: there are no names in this imitation' >&2; exit 99; }}

if [ -n "$L" ]; then
    [ -z "$a" ] || cat "$texts/queues$l"
    exit 0
fi
for table in tcp udp unix; do
    case $p:$f:$table in
    tcp:*:tcp | udp:*:udp | :unix:unix | ::*) ;;
    *) continue ;;
    esac
    [ $table = unix ] && wide= || wide=$l
    if [ -n "$a" ]; then cat "$texts/$table$v$wide"
    else grep -v -e ' LISTEN ' -e ' CLOSED ' "$texts/$table$v$wide"
    fi
done
exit 0
"""
LSOF = """\
#!/bin/sh
# lsof of macOS {name}: shows others than root their own processes only.
# FAKE_UID stands for the user that runs it.
texts=${{0%/usr/sbin/lsof}}/output
all= fields=
while getopts ':nPwiF:' flag; do
    case $flag in
    i) all=1 ;;
    F) fields=$OPTARG ;;
    \\? | :) echo "lsof: illegal option character: $OPTARG" >&2; exit 1 ;;
    esac
done
[ "$all$fields" = 1pcuLftdPnT0 ] || {{ echo "lsof: not in this imitation: $*" >&2; exit 1; }}
uid=${{FAKE_UID:-$(id -u)}}
[ "$uid" = 0 ] && exec cat "$texts/lsof"
[ "$uid" = 501 ] && exec cat "$texts/lsof-501"
exit 1
"""
SYSCTL = """\
#!/bin/sh
# sysctl of macOS {name}: a name that it does not have is a line less.
texts=${{0%/usr/sbin/sysctl}}/output
status=0
for name; do
    grep "^$name: " "$texts/sysctl" && continue
    echo "sysctl: unknown oid '$name'" >&2
    status=1
done
exit $status
"""


def programs(release: Release) -> dict[str, str]:
    """The programs of a release, by name."""
    netstat = NETSTAT.format(
        name=release.name,
        options=OPTIONS,
        usage_status=1 if release.refuses_unknown else 64,
        unknown="exit 1" if release.refuses_unknown else "p=",
    )
    return {
        "netstat": netstat,
        "lsof": LSOF.format(name=release.name),
        "sysctl": SYSCTL.format(name=release.name),
    }


def files(release: Release) -> dict[str, str]:
    """The whole folder of a release: texts by path."""
    return {
        **{f"usr/sbin/{name}": text for name, text in programs(release).items()},
        **{f"output/{name}": text for name, text in outputs(release).items()},
    }


def root_of(release: Release) -> Path:
    """Where the folder is."""
    return ROOTS / f"macos-{release.name}"


def write_all() -> None:
    """Write all folders anew."""
    for release in RELEASES:
        for path, text in files(release).items():
            file = root_of(release) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            file.chmod(0o755 if path.startswith("usr/") else 0o644)
        sys.stdout.write(f"{root_of(release)}\n")


if __name__ == "__main__":
    write_all()
