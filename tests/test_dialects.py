"""What other programs would print of a record, as text; beside the programs: test_live_dialects."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from netinspect.extended import Options, TcpInfo
from netinspect.model import Connection, Family, Owner, Protocol, Timer, decode_name
from netinspect.render.dialects import DIALECTS
from netinspect.render.dialects.bsd import SYSTEMS, Bsd
from netinspect.render.dialects.busybox import BusyBox
from netinspect.render.dialects.choose import Wanted, choose
from netinspect.render.dialects.dialect import (
    Dialect,
    families_apart,
    names_for,
    original_name,
    render_dialect,
    unix_name,
)
from netinspect.render.dialects.gnu import Gnu
from netinspect.render.dialects.sockstat import Sockstat
from netinspect.render.dialects.ss import Ss
from netinspect.render.dialects.ss_details import Details, duration_text
from netinspect.render.dialects.ss_table import BUFFERED_BYTES, Table, spread
from netinspect.render.dialects.windows import Windows
from netinspect.render.escape import UNSAFE
from tests.program import run
from tests.records import ANY_CONNECTIONS, EXTENDED, HOSTILE_NAMES, PLAIN, made, named

FIXTURES = Path(__file__).parent / "fixtures"
N = names_for(is_terminal=False)
PEERLESS: dict[str, Any] = {"remote_address": None, "remote_port": None}
LISTENER = made(
    state="LISTEN", local_address="0.0.0.0", local_port=80, recv_q=3, send_q=128, **PEERLESS
)
DUAL = replace(LISTENER, family="ipv6", local_address="::", dual_stack=True)
IPV6_ONLY = replace(DUAL, dual_stack=False)
LONG = made(
    family="ipv6",
    local_address="2603:6010:7c00:4::1",
    local_port=51910,
    remote_address="fe80::aede:48ff:fe00:1122%en0",
    remote_port=443,
)
MAPPED = made(
    family="ipv6", local_address="::ffff:127.0.0.1", remote_address="::ffff:10.1.2.3", remote_port=9
)
TIME_WAIT = made(
    state="TIME_WAIT",
    inode=None,
    uid=None,
    user=None,
    owners=(),
    owner_status="none",
    timer=Timer("time_wait", 59_330, 0),
)
UDP = made(
    protocol="udp",
    type="dgram",
    state="UNCONN",
    local_address="10.0.0.1",
    local_port=53,
    **PEERLESS,
)
RAW = made(
    protocol="raw",
    type="raw",
    state="UNCONN",
    local_address="0.0.0.0",
    local_port=None,
    ip_protocol=1,
    **PEERLESS,
)
BOUND = made(state="BOUND", **PEERLESS)
UNIX_LISTENER = made(
    protocol="unix",
    family="unix",
    type="seqpacket",
    state="LISTEN",
    local_address="@a b\\x00c",
    local_port=None,
    inode=4711,
    **PEERLESS,
)
UNIX_PEER = replace(UNIX_LISTENER, type="stream", state="ESTABLISHED", local_address=None)


def printed(dialect: Dialect, *connections: Connection) -> list[str]:
    """The lines, of sockets that come in two batches."""
    half = len(connections) // 2
    batches = [list(connections[:half]), list(connections[half:])]
    return b"".join(render_dialect(dialect, batches)).decode().split("\n")[:-1]


class TestGnu:
    def test_sections_that_were_asked_for_have_headings(self) -> None:
        assert printed(Gnu(N, has_unix=True, shown="connections")) == [
            "Active Internet connections (w/o servers)",
            "Proto Recv-Q Send-Q Local Address           Foreign Address         State      ",
            "Active UNIX domain sockets (w/o servers)",
            "Proto RefCnt Flags       Type       State         I-Node   Path",
        ]

    def test_rows(self) -> None:
        lines = printed(Gnu(N, has_unix=True), PLAIN, DUAL, UDP, RAW, BOUND, UNIX_LISTENER)
        assert [*lines[2:6], *lines[8:]] == [
            "tcp        0     12 10.0.0.1:44321          10.0.0.2:443            ESTABLISHED",
            "tcp6       3      0 :::80                   :::*                    LISTEN     ",
            "udp        0     12 10.0.0.1:53             0.0.0.0:*                          ",
            "raw        0     12 0.0.0.0:1               0.0.0.0:*               7          ",
            "unix  -      [ ACC ]     SEQPACKET  LISTENING     4711     @a",
        ]

    def test_addresses_are_cut_so_that_the_port_is_whole(self) -> None:
        ends = "2603:6010:7c00:4::1:51910 fe80::aede:48ff:fe00:1122:443"
        assert ends.split(maxsplit=1)[0][:17] == "2603:6010:7c00:4:"
        (line,) = printed(Gnu(N), LONG)[2:]
        assert line.split()[3:5] == ["2603:6010:7c00:4::51910", "fe80::aede:48ff:fe0:443"]
        (line,) = printed(Gnu(N, is_wide=True), LONG)[2:]
        assert line.split()[3:5] == ends.split()

    def test_an_ipv6_socket_that_speaks_ipv4(self) -> None:
        assert printed(Gnu(N), MAPPED)[2].split()[3:5] == ["127.0.0.1:44321", "10.1.2.3:9"]

    def test_users_programs_and_timers(self) -> None:
        owner = Owner(321, "nginx", 5, command_line=("/usr/sbin/a-very-long-program-name", "-g"))
        many = Gnu(N, has_users=True, has_programs=True, has_timers=True)
        lines = printed(many, made(owners=(owner,), timer=Timer("keepalive", 7_194_220, 2)))
        assert lines[1].split("State ")[1] == (
            "      User       Inode      PID/Program name     Timer"
        )
        assert lines[2].split("ESTABLISHED")[1] == (
            " 1000       9001       321/a-very-long-pro  keepalive (7194.22/0/2)"
        )

    @pytest.mark.parametrize(
        ("timer", "text"),
        [
            (None, "off (0.00/0/0)"),
            (Timer("retransmit", 140, 3), "on (0.14/3/0)"),
            (Timer("time_wait", 59_330, 0), "timewait (59.33/0/0)"),
            (Timer("zero_window", 1500, 4), "probe (1.50/0/4)"),
        ],
    )
    def test_timers(self, timer: Timer | None, text: str) -> None:
        assert printed(Gnu(N, has_timers=True), made(timer=timer))[2].endswith(f" {text}")

    def test_nobodys(self) -> None:
        everything = Gnu(N, has_users=True, has_programs=True)
        assert printed(everything, TIME_WAIT)[2].split()[6:] == ["0", "0", "-"]
        named_users = everything._replace(is_numeric=False)
        assert printed(named_users, TIME_WAIT)[2].split()[6:] == ["root", "0", "-"]
        assert printed(named_users, PLAIN)[2].split()[6:8] == ["alice", "9001"]
        unknown = replace(TIME_WAIT, owner_status="unsupported")
        assert printed(everything, unknown)[2].split()[6:] == ["-", "-", "-"]

    def test_without_all_a_peer_decides(self) -> None:
        sockets = [PLAIN, LISTENER, UDP, RAW, UNIX_LISTENER, UNIX_PEER]
        servers, connections = Gnu(N, shown="servers"), Gnu(N, shown="connections")
        for dialect, seen in ((servers, [1, 2, 3, 4]), (connections, [0, 5])):
            assert [c for c in sockets if dialect.shows(c)] == [sockets[i] for i in seen]


class TestBusyBox:
    """By what BusyBox 1.35 of Debian 12 printed: test_live_dialects asks one that is installed."""

    def test_rows(self) -> None:
        wide = "2603:6010:7c00:4::1:51910", "fe80::aede:48ff:fe00:1122:443"
        sockets = (PLAIN, DUAL, MAPPED, LONG, UDP, RAW, BOUND, UNIX_LISTENER)
        assert printed(BusyBox(N, has_unix=True), *sockets) == [
            "Active Internet connections (servers and established)",
            "Proto Recv-Q Send-Q Local Address           Foreign Address         State       ",
            "tcp        0     12 10.0.0.1:44321          10.0.0.2:443            ESTABLISHED ",
            "tcp        3      0 :::80                   :::*                    LISTEN      ",
            "tcp        0     12 ::ffff:127.0.0.1:44321  ::ffff:10.1.2.3:9       ESTABLISHED ",
            f"tcp        0     12 {wide[0]} {wide[1]} ESTABLISHED ",
            "udp        0     12 10.0.0.1:53             0.0.0.0:*                           ",
            "raw        0     12 0.0.0.0:1               0.0.0.0:*               1           ",
            "Active UNIX domain sockets (servers and established)",
            "Proto RefCnt Flags       Type       State         I-Node Path",
            "unix  -      [ ACC ]     SEQPACKET  LISTENING       4711 @a b@c",
        ]

    def test_without_all_a_peer_decides(self) -> None:
        for shown, seen in (("servers", [LISTENER]), ("connections", [PLAIN])):
            dialect = BusyBox(N, shown=shown)  # type: ignore[arg-type]
            assert [c for c in (PLAIN, LISTENER, BOUND) if dialect.shows(c)] == seen


class TestSs:
    def test_columns_are_as_wide_as_what_they_hold(self) -> None:
        assert printed(Ss(N), PLAIN, LISTENER, IPV6_ONLY, DUAL, UDP, RAW, BOUND) == [
            "Netid State  Recv-Q Send-Q Local Address:Port  Peer Address:PortProcess",
            "tcp   ESTAB  0      12          10.0.0.1:44321     10.0.0.2:443        ",
            "tcp   LISTEN 3      128          0.0.0.0:80         0.0.0.0:*          ",
            "tcp   LISTEN 3      128             [::]:80            [::]:*          ",
            "tcp   LISTEN 3      128                *:80               *:*          ",
            "udp   UNCONN 0      12          10.0.0.1:53         0.0.0.0:*          ",
            "raw   UNCONN 0      12           0.0.0.0:1          0.0.0.0:*          ",
        ]

    def test_one_kind_in_one_state_and_no_header(self) -> None:
        bare = Ss(N, has_netid=False, has_state=False, has_header=False)
        assert printed(bare, PLAIN) == ["0      12     10.0.0.1:44321 10.0.0.2:443"]

    def test_unix(self) -> None:
        peer = replace(UNIX_PEER, inode=4712, peer_inode=4711)
        assert printed(Ss(N, has_header=False), UNIX_LISTENER, peer) == [
            "u_seq LISTEN 0      12     @a b@c 4711 * 0   ",
            "u_str ESTAB  0      12          * 4712 * 4711",
        ]

    def test_device_and_zone(self) -> None:
        local = made(family="ipv6", local_address="fe80::1%eth0", interface="eth0", **PEERLESS)
        other = made(interface="lo")
        lines = printed(Ss(N, has_header=False), local, other)
        assert [line.split()[4] for line in lines] == ["[fe80::1]%eth0:44321", "10.0.0.1%lo:44321"]

    def test_what_stands_behind_the_addresses(self) -> None:
        everything = Details(True, True, True, True, True, True)
        timer = Timer("retransmit", 204, 2)
        owners = (Owner(1, "a)b", 3), Owner(22, "x y", None))
        (line,) = printed(
            Ss(N, has_header=False, details=everything),
            replace(EXTENDED, owners=owners, timer=timer),
        )
        assert line.split(":443 ", 1)[1] == (
            'users:(("x y",pid=22,fd=-),("a",pid=1,fd=3)) timer:(on,204ms,2) uid:1000 ino:9001 '
            "sk:4d fwmark:0x10 cgroup:/a.slice skmem:(r1,rb131072,t2,tb87040,f4096,w0,o0,bl0,d0) "
            "sack cubic wscale:0,7 rto:204 rtt:12.345/4.1 mss:1448 cwnd:10 "
            "bbr:(bw:9752368160bps,mrtt:0.042,pacing_gain:2.88672,cwnd_gain:2) "
            "send 9383556bps lastsnd:271444 delivery_rate 374500000000bps busy:864000000ms "
            "retrans:1/4"
        )

    def test_a_capture_tells_the_path_of_a_cgroup_without_its_number(self) -> None:
        captured = replace(EXTENDED, options=Options(cgroup="/x y"))
        (line,) = printed(Ss(N, has_header=False, details=Details(details=True)), captured)
        assert " cgroup:/x y" in line

    def test_below_the_row(self) -> None:
        (row, below) = printed(
            Ss(N, has_header=False, details=Details(memory=True)), replace(EXTENDED)
        )
        assert row.endswith(":443")
        assert below == "\t skmem:(r1,rb131072,t2,tb87040,f4096,w0,o0,bl0,d0)"

    def test_a_listener_has_who_waits_as_unacked(self) -> None:
        listener = replace(EXTENDED, state="LISTEN", recv_q=7, tcp_info=TcpInfo("bbr"))
        (line,) = printed(
            Ss(N, has_header=False, details=Details(info=True, is_oneline=True)), listener
        )
        assert line.endswith(" bbr unacked:7")

    @pytest.mark.parametrize(
        ("milliseconds", "text"),
        [
            (0, ""),
            (288, "288ms"),
            (1_464, "1.464ms"),
            (2_000, "2sec"),
            (59_330, "59sec"),
            (61_500, "1min1sec"),
            (7_199_999, "119min"),
        ],
    )
    def test_durations(self, milliseconds: int, text: str) -> None:
        assert duration_text(milliseconds) == text

    def test_widths_are_in_bytes(self) -> None:
        long = replace(UNIX_LISTENER, local_address="é" * 3)
        short = replace(UNIX_LISTENER, local_address="abcd")
        lines = printed(Ss(N, has_header=False), long, short)
        assert [len(line.encode()) for line in lines] == [len(lines[0].encode())] * 2


class TestSpread:
    def test_what_is_left_goes_to_all_and_the_rest_to_the_last(self) -> None:
        assert spread([5, 6, 0, 4], 20) == [6, 8, 0, 6]

    def test_lines_are_broken_where_the_next_does_not_fit(self) -> None:
        assert spread([6, 6, 6], 13) == [6, 7, 13]

    def test_an_exact_fit_is_left_as_it_is(self) -> None:
        assert spread([6, 4, 3], 10) == [6, 4, 10]

    @given(st.lists(st.integers(0, 40), min_size=1), st.integers(40, 200))
    def test_every_line_is_full(self, widths: list[int], screen: int) -> None:
        wider = spread(widths, screen)
        assert sum(wider) % screen == 0
        assert all(new >= old for new, old in zip(wider, widths, strict=True))
        assert [bool(width) for width in wider] == [bool(width) for width in widths]


def test_ss_prints_when_its_buffer_is_full_and_keeps_its_widths() -> None:
    table = Table(["", " "], [False, False], None)
    count = BUFFERED_BYTES // 105 + 1  # a row of 101 characters, and the lengths of two cells
    fullness = [table.is_full]
    table.add([["x" * 100, "y"]] * (count - 1))
    fullness.append(table.is_full)
    table.add([["x" * 100, "y"]])
    fullness.append(table.is_full)
    assert len(table.take_lines()) == count
    fullness.append(table.is_full)
    assert fullness == [False, False, True, False]
    table.add([["a", "b"]])
    assert table.take_lines() == [f"a{' ' * 99} b"]


class TestBsd:
    def test_macos(self) -> None:
        lines = printed(Bsd(N), PLAIN, LISTENER, DUAL, IPV6_ONLY, LONG, MAPPED, UDP, RAW, BOUND)
        assert lines == [
            "Active Internet connections (including servers)",
            "Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)    ",
            "tcp4       0     12  10.0.0.1.44321         10.0.0.2.443           ESTABLISHED",
            "tcp4       0      0  *.80                   *.*                    LISTEN     ",
            "tcp46      0      0  *.80                   *.*                    LISTEN     ",
            "tcp6       0      0  *.80                   *.*                    LISTEN     ",
            "tcp6       0     12  2603:6010:7c00:4.51910 fe80::aede:48ff:.443   ESTABLISHED",
            "tcp4       0     12  127.0.0.1.44321        10.1.2.3.9             ESTABLISHED",
            "udp4       0     12  10.0.0.1.53            *.*                               ",
            "icm4       0     12  *.*                    *.*                               ",
            "tcp4       0     12  10.0.0.1.44321         *.*                    CLOSED     ",
        ]

    def test_freebsd(self) -> None:
        assert printed(Bsd(N, SYSTEMS["freebsd"]), PLAIN, UDP)[1:] == [
            "Proto Recv-Q Send-Q Local Address          Foreign Address        (state)    ",
            "tcp4       0     12 10.0.0.1.44321         10.0.0.2.443           ESTABLISHED",
            "udp4       0     12 10.0.0.1.53            *.*                    ",
        ]

    def test_openbsd_has_a_title_for_each_protocol(self) -> None:
        title = "Active Internet connections (including servers)"
        columns = "Proto   Recv-Q Send-Q  Local Address          Foreign Address        "
        assert printed(Bsd(N, SYSTEMS["openbsd"]), PLAIN, DUAL, UDP) == [
            title,
            f"{columns}TCP-State  ",
            "tcp          0     12  10.0.0.1.44321         10.0.0.2.443           ESTABLISHED",
            "tcp6         0      0  *.80                   *.*                    LISTEN     ",
            title,
            f"{columns}           ",
            "udp          0     12  10.0.0.1.53            *.*                    ",
        ]

    def test_without_a_row_there_is_nothing(self) -> None:
        assert printed(Bsd(N)) == []
        assert printed(Bsd(N, has_all=False), LISTENER, BOUND) == []

    def test_what_takes_both_families_is_of_both(self) -> None:
        sockets = (LISTENER, DUAL, IPV6_ONLY, MAPPED)
        expected: dict[Family, str] = {"ipv4": "tcp4 tcp46 tcp4", "ipv6": "tcp46 tcp6"}
        for family, names in expected.items():
            lines = printed(Bsd(N, families=frozenset({family})), *sockets)
            assert [line.split()[0] for line in lines[2:]] == names.split()

    def test_wide_and_verbose(self) -> None:
        line = printed(Bsd(N, is_wide=True, is_verbose=True), replace(LONG, owners=PLAIN.owners))[2]
        assert line.split() == [
            *("tcp6", "0", "12", "2603:6010:7c00:4::1.51910", "fe80::aede:48ff:fe00:1122%en0.443"),
            *("ESTABLISHED", "-", "-", "-", "-", "nginx:321", *"--------"),
        ]

    def test_unix(self) -> None:
        peer = replace(UNIX_PEER, inode=4712, peer_inode=4711)
        title, header, *rows = printed(Bsd(N), UNIX_LISTENER, peer)
        assert title == "Active LOCAL (UNIX) domain sockets"
        numbers = "Inode             Conn             Refs          Nextref"
        assert header == f"Address          Type   Recv-Q Send-Q            {numbers} Addr"
        refs = f"{'-':>16} {'-':>16}"
        assert [row.lstrip() for row in rows] == [
            f"1267 seqpac      0     12                -                0 {refs} @a b@c",
            f"1268 stream      0     12                -             1267 {refs}",
        ]


class TestWindows:
    def test_rows(self) -> None:
        lines = printed(Windows(N, has_pids=True), PLAIN, DUAL, TIME_WAIT, UDP, RAW, BOUND)
        assert lines == [
            "",
            "Active Connections",
            "",
            "  Proto  Local Address          Foreign Address        State           PID",
            "  TCP    10.0.0.1:44321         10.0.0.2:443           ESTABLISHED     321",
            "  TCP    [::]:80                [::]:0                 LISTENING       321",
            "  TCP    10.0.0.1:44321         10.0.0.2:443           TIME_WAIT       0",
            "  UDP    10.0.0.1:53            *:*                                    321",
        ]

    def test_a_pid_of_nobody_and_one_that_is_not_known(self) -> None:
        pids = Windows(N, has_pids=True)
        for status, pid in (("none", "0"), ("hidden", "-")):
            line = printed(pids, replace(TIME_WAIT, pid=None, owner_status=status))[4]
            assert line.split()[-1] == pid

    def test_programs(self) -> None:
        lines = printed(Windows(N, has_programs=True), PLAIN, TIME_WAIT)
        assert lines[5::2] == [" [nginx]", "  Can not obtain ownership information"]

    def test_without_all_only_connections_of_tcp(self) -> None:
        dialect = Windows(N, has_all=False)
        assert [c for c in (PLAIN, LISTENER, UDP, BOUND) if dialect.shows(c)] == [PLAIN]
        assert dialect._replace(has_bound=True).shows(BOUND)


class TestSockstat:
    def test_a_row_for_each_descriptor(self) -> None:
        owners = (Owner(321, "nginx", 5), Owner(322, "a long command", None))
        sockets = (replace(LISTENER, owners=owners), DUAL, TIME_WAIT, UNIX_LISTENER)
        assert printed(Sockstat(N), *sockets) == [
            "USER     COMMAND    PID   FD PROTO  LOCAL ADDRESS         FOREIGN ADDRESS",
            "alice    nginx      321   5  tcp4   *:80                  *:*",
            "alice    a long com 322   ?  tcp4   *:80                  *:*",
            "alice    nginx      321   5  tcp46  *:80                  *:*",
            "alice    nginx      321   5  seqpac @a b@c",
            "?        ?          ?     ?  tcp4   10.0.0.1:44321        10.0.0.2:443",
        ]

    def test_listening_or_connected(self) -> None:
        listening, connected = Sockstat(N, "listening"), Sockstat(N, "connected")
        for dialect, seen in ((listening, [LISTENER, UDP]), (connected, [PLAIN])):
            assert [c for c in (PLAIN, LISTENER, UDP) if dialect.shows(c)] == seen

    def test_numbers_and_no_header(self) -> None:
        lines = printed(Sockstat(N, is_numeric=True, has_header=False), PLAIN)
        assert lines == ["1000     nginx      321   5  tcp4   10.0.0.1:44321        10.0.0.2:443"]

    def test_a_user_that_is_not_known(self) -> None:
        assert printed(Sockstat(N), made(uid=None, user=None))[1].startswith("?        nginx ")

    def test_what_takes_both_versions_is_of_each(self) -> None:
        mapped = replace(
            PLAIN,
            family="ipv6",
            local_address="::ffff:10.0.0.1",
            remote_address="::ffff:10.0.0.2",
        )
        ipv4, ipv6 = Sockstat(N, versions="4"), Sockstat(N, versions="6")
        for dialect, seen in ((ipv4, [PLAIN, DUAL, mapped]), (ipv6, [DUAL])):
            assert [c for c in (PLAIN, DUAL, mapped) if dialect.shows(c)] == seen
        assert printed(ipv4, mapped)[1].endswith("tcp4   10.0.0.1:44321        10.0.0.2:443")

    def test_an_unbound_end_of_a_unix_connection(self) -> None:
        peer = replace(UNIX_PEER, remote_address="/run/x", peer_inode=1)
        assert printed(Sockstat(N), peer)[1].endswith(" stream -> /run/x")


PROTOCOLS: tuple[Protocol, ...] = ("tcp", "udp", "raw", "unix")


def every(*, width: int | None) -> list[Dialect]:
    """Each dialect as `-o` and `-e -o` have it."""
    names = names_for(is_terminal=width is not None)
    plain = Wanted(PROTOCOLS, width=width)
    more = plain._replace(is_extended=True)
    chosen = [choose(name, wanted) for name in DIALECTS for wanted in (plain, more)]
    return [
        *chosen,
        BusyBox(names, has_unix=True),
        Sockstat(names),
        Windows(names, has_programs=True),
    ]


@given(st.lists(ANY_CONNECTIONS | st.just(EXTENDED), max_size=4))
def test_on_a_terminal_nothing_of_a_stranger_acts(connections: list[Connection]) -> None:
    for dialect in every(width=80):
        text = b"".join(render_dialect(dialect, [connections])).decode()
        for line in text.replace("\n\t", " ").split("\n"):
            assert not re.search(f"[{UNSAFE}]", line)


@given(st.lists(ANY_CONNECTIONS, max_size=4))
def test_each_socket_that_is_shown_has_its_row(connections: list[Connection]) -> None:
    for dialect in every(width=None):
        blocks = list(dialect.blocks([connections]))
        shown = [c for block in blocks for c in block.connections]
        assert sorted(map(id, shown)) == sorted(id(c) for c in connections if dialect.shows(c))
        assert all(len(block.rows) == len(block.connections) for block in blocks)


@given(st.binary())
def test_in_a_pipe_names_are_the_bytes_that_they_were(raw: bytes) -> None:
    assert original_name(decode_name(raw)).encode("utf-8", "surrogateescape") == raw


@given(HOSTILE_NAMES)
def test_names_in_a_pipe_reach_it(name: str) -> None:
    (block,) = [b for b in Ss(N, has_header=False).blocks([[named(f"/{name}")]]) if b.rows]
    assert original_name(f"/{name}") in block.rows[0]


@pytest.mark.parametrize(
    ("address", "text"),
    [("/run/x", "/run/x"), ("@a\\x00b", "@a@b"), ("./@real", "@real"), ("@a\\\\x00", "@a\\\\x00")],
)
def test_names_of_unix_sockets(address: str, text: str) -> None:
    assert unix_name(address) == text


def test_families_apart() -> None:
    four, six = PLAIN, LONG
    udp_six = replace(six, protocol="udp")
    batches = [[six, four], [four, six], [udp_six], [replace(four, protocol="udp")]]
    ordered = [(c.protocol, c.family[-1]) for batch in families_apart(batches) for c in batch]
    assert ordered == [
        *[("tcp", "4")] * 2,
        *[("tcp", "6")] * 2,
        ("udp", "4"),
        ("udp", "6"),
    ]


ROW = re.compile(r"(?:tcp|udp|icm)\d")


@pytest.mark.parametrize(
    ("capture", "command"),
    [
        ("freebsd/12-netstat-an.txt", "freebsd netstat -an"),
        ("freebsd/10-sockstat-46l.txt", "freebsd sockstat -46l"),
        ("macos/netstat-10.14.6.out", "macos netstat"),
    ],
)
def test_a_capture_in_its_own_dialect_is_the_capture(capture: str, command: str) -> None:
    """Each row of the Internet whose ports are numbers: names of services are not kept."""
    path = FIXTURES / capture
    done = run("as", "--from", str(path), *command.split())
    before = [line for line in path.read_text().splitlines() if ROW.search(line)]
    after = [line for line in done.out.splitlines() if ROW.search(line)]
    assert len(before) == len(after) > 3
    same = [pair for pair in zip(before, after, strict=True) if ".- " not in pair[1]]
    assert len(same) > min(3, len(before) - 1)
    assert [old for old, _ in same] == [new for _, new in same]


@pytest.mark.parametrize("name", ["tcp", "tcp-l", "udp", "udp-l"])
def test_netstat_of_macos_in_its_own_dialect(name: str) -> None:
    """As the fake macOS has it; of a closed socket the record does not keep the peer."""
    path = Path(__file__).parent / "roots/macos-26/output" / name
    options = "-anl" if name.endswith("-l") else "-an"
    done = run("as", "--from", str(path), "macos", "netstat", options, "-p", name[:3])
    before, after = path.read_text().splitlines(), done.out.splitlines()
    differing = [pair for pair in zip(before, after, strict=True) if pair[0] != pair[1]]
    assert all("CLOSED" in line for line, _ in differing)
    assert len(differing) <= 1
