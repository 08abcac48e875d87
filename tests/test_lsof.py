"""lsof: its columns and its fields, of Linux and of macOS, with names that strangers chose."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.model import Connection, Owner, State
from netinspect.parse import lsof, lsof_fields
from netinspect.parse.captured import Fault, Faults
from netinspect.parse.lsof_files import ALL_FIELDS, NAME_EXPECTED, unescape
from tests.macos_roots import lsof_fields as fields_of_macos

CAPTURE = Path(__file__).parent / "fixtures/macos/lsof-FpctPn-10.10.out"
HEADER = "COMMAND    PID USER   FD   TYPE             DEVICE SIZE/OFF NODE NAME"


def read_columns(*lines: str) -> tuple[list[Connection], Faults]:
    faults = Faults()
    return [c for batch in lsof.read(lines, faults) for c in batch], faults


def read_fields(*lines: str) -> tuple[list[Connection], Faults]:
    faults = Faults()
    return [c for batch in lsof_fields.read(lines, faults) for c in batch], faults


def only(found: tuple[list[Connection], Faults]) -> Connection:
    connections, faults = found
    assert (faults.kept, faults.all_notes()) == ([], [])
    (connection,) = connections
    return connection


def test_a_row_of_linux() -> None:
    row = "a\\x20b  8672 root    3u  IPv4           48181893      0t0  TCP 127.0.0.1:631 (LISTEN)"
    found = only(read_columns(HEADER, row))
    assert found == Connection(
        "tcp", "ipv4", "stream", "LISTEN", "127.0.0.1", None, 631, None, None, None, None, None,
        None, "root", 48181893, None, 8672, "a b", (Owner(8672, "a b", 3),), "known",
        exposure="loopback",
    )  # fmt: skip


def test_a_row_of_macos() -> None:
    row = (
        "rapportd   340 anna    8u  IPv6 0x6d1f2a3b4c5d6e7f      0t0  TCP "
        "[fe80:5::aede:48ff:fe00:1122]:49154->[fe80:5::aede:48ff:fe33:4455]:61377 (ESTABLISHED)"
    )
    found = only(read_columns(row))
    assert (found.local_address, found.local_port) == ("fe80::aede:48ff:fe00:1122%5", 49154)
    assert (found.remote_address, found.remote_port) == ("fe80::aede:48ff:fe33:4455%5", 61377)
    assert (found.inode, found.state, found.family) == (None, "ESTABLISHED", "ipv6")


@pytest.mark.parametrize(
    ("place", "user", "fd"),
    [
        ("340 anna    8u ", "anna", 8),
        ("340 501    12r ", None, 12),
        ("340     1 340 anna    8uW", "anna", 8),  # -R -g
        ("340 341 worker anna    8u ", "anna", 8),  # -K
        ("340 _www  256u ", "_www", 256),
    ],
)
def test_other_columns_before_the_type(place: str, user: str | None, fd: int) -> None:
    found = only(read_columns(f"httpd      {place} IPv6 0x1f      0t0  UDP *:5353"))
    assert (found.owners, found.user) == ((Owner(340, "httpd", fd),), user)
    assert found.uid == (501 if user is None else None)
    assert (found.local_address, found.local_port, found.state) == ("::", 5353, "UNCONN")


@pytest.mark.parametrize(
    ("name", "state"),
    [
        ("/run/x type=STREAM (LISTEN)", "LISTEN"),
        ("/run/x type=STREAM (CONNECTED)", "ESTABLISHED"),
        ("/run/x type=DGRAM (UNCONNECTED)", "UNCONN"),
        ("/run/x type=SEQPACKET", "UNCONN"),
        ("/run/x type=STREAM (CONNECTING)", "UNKNOWN"),
    ],
)
def test_unix_sockets_of_linux(name: str, state: State) -> None:
    row = f"systemd 1 root 20u unix 0x00000000d815614e      0t0 48181897 {name}"
    found = only(read_columns(row))
    assert (found.protocol, found.state, found.local_address) == ("unix", state, "/run/x")
    assert found.inode == 48181897


def test_unix_sockets_without_a_name() -> None:
    found = only(read_columns("x 1 root 2u unix 0xd8      0t0 4818 type=STREAM (CONNECTED)"))
    assert (found.local_address, found.inode) == (None, 4818)


def test_unix_sockets_of_macos_have_no_type() -> None:
    found, faults = read_columns(
        "mDNSRespo 141 root 5u unix 0x7fb03cb94d74825d      0t0      /var/run/mDNSResponder",
        "mDNSRespo 141 root 6u unix 0x7fb03cb94d74825e      0t0      ->0x7fb03cb94d748965",
    )
    assert (found, faults.count) == ([], 0)
    (note,) = faults.all_notes()
    assert (note.code, note.count) == ("type_not_told", 2)


def test_files_and_complaints_are_passed_over() -> None:
    found, faults = read_columns(
        HEADER,
        "lsof: WARNING: can't stat() fuse file system /run/user/1000/doc",
        "      Output information may be incomplete.",
        "bash 340 anna cwd    DIR   8,1     4096     2 /home/an IPv4 na",
        "bash 340 anna txt    REG   8,1  1265648  1234 /usr/bin/bash",
        "kthreadd 2 root txt unknown                    /proc/2/exe",
        "",
    )
    assert (found, faults.kept, faults.all_notes()) == ([], [], [])


def test_sockets_that_the_record_does_not_know() -> None:
    found, faults = read_columns(
        "ping 7 root 3u raw  48181893 0t0 1 00000000:0001->00000000:0000 st=07",
        "x 7 root 4u sock 0,8 0t0 48181899 protocol: TCP",
        "x 7 root 5u IPv4 48181893 0t0 ICMP *:*",
    )
    assert (found, faults.count) == ([], 0)
    assert [(note.code, note.count) for note in faults.all_notes()] == [("rows_left_out", 3)]


def test_fields_of_macos() -> None:
    found, faults = read_fields(*fields_of_macos("tcp").split("\n"))
    assert (faults.kept, faults.all_notes()) == ([], [])
    seen = [(c.local_address, c.local_port, c.owners, c.uid, c.user) for c in found]
    assert seen == [
        ("fe80::1%1", 8021, (Owner(1, "launchd", 9),), 0, "root"),
        ("::", 80, (Owner(501, "nginx", 6), Owner(502, "nginx", 6)), 0, "root"),
        ("127.0.0.1", 50200, (Owner(2086, "Antigravity IDE Helper", 31),), 501, "anna"),
        # It is an IPv6 socket that carries IPv4.
        ("::ffff:127.0.0.1", 50201, (Owner(2087, "Brave Browser Helper", 21),), 501, "anna"),
    ]
    assert [c.state for c in found] == ["LISTEN", "LISTEN", "ESTABLISHED", "ESTABLISHED"]
    assert [c.recv_q for c in found] == [None, None, 0, 0]


@pytest.mark.parametrize("protocol", ["tcp", "udp"])
def test_fields_with_and_without_nul_are_the_same(protocol: str) -> None:
    text = fields_of_macos(protocol)
    lines = text.replace("\0\n", "\n").replace("\0", "\n").split("\n")
    assert read_fields(*lines)[0] == read_fields(*text.split("\n"))[0]


def test_fields_without_f() -> None:
    """A letter that the file has already begins the next."""
    lines = "p6835 cVBoxHeadl tIPv4 PTCP n127.0.0.1:2022 tIPv4 PUDP n*:61197 p7 cx tIPv6 PUDP n*:*"
    found, _ = read_fields(*lines.split())
    assert [(c.protocol, c.local_port, c.pid) for c in found] == [
        ("tcp", 2022, 6835),
        ("udp", 61197, 6835),
        ("udp", 0, 7),
    ]
    assert {c.owners[0].fd for c in found} == {None}


def test_fields_with_all_that_lsof_can_tell() -> None:
    lines = (
        "p340 g340 R1 cComet u501 Lanna fcwd a l tDIR D0x1 i2 n/ f8 au l tIPv4 d0x5f o0t0 PTCP "
        "n127.0.0.1:1->127.0.0.1:2 TST=TIME_WAIT TQR=12 TQS=7"
    )
    found = only(read_fields(*lines.split(" ")))
    assert (found.state, found.recv_q, found.send_q) == ("TIME_WAIT", 12, 7)
    assert (found.owners, found.uid, found.user) == ((Owner(340, "Comet", 8),), 501, "anna")


def test_fields_without_a_state() -> None:
    """lsof has none of UDP, and of TCP only with -T."""
    tcp, udp = read_fields("p1", "f1", "tIPv4", "PTCP", "n*:1", "f2", "tIPv4", "PUDP", "n*:2")[0]
    assert (tcp.state, udp.state) == ("UNKNOWN", "UNCONN")
    assert (udp.recv_q, udp.send_q) == (None, None)


def test_a_state_that_lsof_does_not_know() -> None:
    lines = ("p1", "f1", "tIPv4", "PTCP", "n*:1", "TST=UNKNOWN_TCP_STATE_12")
    assert only(read_fields(*lines)).state == "UNKNOWN"


def test_one_socket_of_several() -> None:
    """Forked processes and copied descriptors, in the order of pid and descriptor."""
    rows = (
        f"nginx {pid} root {fd}u IPv4 48181893 0t0 TCP *:80 (LISTEN)"
        for pid, fd in ((501, 7), (500, 6), (501, 6), (501, 7))
    )
    found = only(read_columns(*rows))
    assert found.owners == (Owner(500, "nginx", 6), Owner(501, "nginx", 6), Owner(501, "nginx", 7))
    assert (found.pid, found.process) == (500, "nginx")


def test_sockets_that_look_alike_are_several() -> None:
    rows = (f"x 1 root {n}u IPv4 4818189{n} 0t0 TCP *:80 (LISTEN)" for n in (1, 2))
    assert len(read_columns(*rows)[0]) == 2
    fields = ("p1", "f1", "tIPv4", "PTCP", "n*:80", "f2", "tIPv4", "PTCP", "n*:80")
    assert len(read_fields(*fields)[0]) == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("a\\x20b", "a b"),
        ("caf\\xc3\\xa9", "caf\xe9"),
        ("\\xff\\n\\t\\b\\f\\r", "\\xff\n\t\b\f\r"),
        ("back\\\\slash", "back\\\\slash"),
        ("^A^?", "^A^?"),  # cannot be told from the characters themselves
        ("\\x2", "\\\\x2"),
        ("caf\udcc3", "caf\\xc3"),
    ],
)
def test_escapes(text: str, expected: str) -> None:
    assert unescape(text) == expected


@pytest.mark.parametrize(
    ("line", "column", "expected"),
    [
        ("x 1 root 3u IPv4 7 0t0 TCP nowhere (LISTEN)", 27, NAME_EXPECTED),
        ("x 1 root 3u IPv4 7 0t0 TCP *:80 (WAITING)", 33, "a state such as ESTABLISHED"),
        ("x 1 root 3u IPv4 7 0t0 TCP *:99999 (LISTEN)", 29, "a port from 0 to 65535"),
        ("x 1 IPv4 7 0t0 ", 0,
         "a row of lsof: COMMAND PID USER FD TYPE DEVICE SIZE/OFF NODE NAME"),
        ("nonsense", 0, "a row of lsof: COMMAND PID USER FD TYPE DEVICE SIZE/OFF NODE NAME"),
        ("x 1 root 3u IPv4", 0,
         "a row of lsof: COMMAND PID USER FD TYPE DEVICE SIZE/OFF NODE NAME"),
        ("x 1 root 3u", 0, "a row of lsof: COMMAND PID USER FD TYPE DEVICE SIZE/OFF NODE NAME"),
        ("x 1 root 3u 7 0t0 TCP 127.0.0.1:80 (LISTEN)", 0,
         "a row of lsof: COMMAND PID USER FD TYPE DEVICE SIZE/OFF NODE NAME"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_read(line: str, column: int, expected: str) -> None:
    found, faults = read_columns(HEADER, line)
    assert (found, faults.count) == ([], 1)
    assert faults.kept == [Fault(2, line, column, expected)]


def test_fields_that_cannot_be_read() -> None:
    found, faults = read_fields("p1", "f3", "tIPv4", "n*:80", "f4", "tIPv4", "PTCP", "n*:x y", "")
    assert found == []
    assert faults.kept == [
        Fault(4, "n*:80", 0, "the protocol as well: capture with lsof -F pcuLftdPnT"),
        Fault(8, "n*:x y", 3, "a port such as 443"),
    ]


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        (("p1", "n*:80"), Fault(2, "n*:80", 1, f"the type and the protocol as well: {ALL_FIELDS}")),
        (
            ("p1", "cx", "f3", "PTCP", "n[::1]:80->[::1]:9"),
            Fault(5, "n[::1]:80->[::1]:9", 1, f"the type and the protocol as well: {ALL_FIELDS}"),
        ),
        (
            ("p1", "f3", "n/run/a type=STREAM"),
            Fault(3, "n/run/a type=STREAM", 1, f"the type and the protocol as well: {ALL_FIELDS}"),
        ),
        (("p1", "f3", "tIP", "PTCP", "n*:80"), Fault(5, "n*:80", 0, "a type such as IPv4 or unix")),
        (
            ("f3", "tIPv4", "PTCP", "n*:80"),
            Fault(4, "n*:80", 0, "the process of this socket before it, such as p340"),
        ),
        (("p1", "4"), Fault(2, "4", 0, "a field of lsof -F such as p340 or tIPv4")),
    ],
)
def test_sockets_of_which_fields_are_missing_are_not_lost(
    fields: tuple[str, ...], fault: Fault
) -> None:
    found, faults = read_fields(*fields)
    assert (found, faults.kept) == ([], [fault])


@pytest.mark.parametrize(
    "name", ["/home/a:80", "anon_inode:bpf-map", "anon_inode:[eventpoll]", "pipe", "host:/export"]
)
def test_files_without_a_type_are_no_sockets(name: str) -> None:
    found, faults = read_fields("p1", "f3", f"n{name}", "p2", "f3", f"n{name}")
    assert (found, faults.count) == ([], 0)


def test_a_capture_of_a_mac() -> None:
    text = CAPTURE.read_text()
    lines = text.split("\n")
    found, faults = read_fields(*lines)
    assert faults.count == 0
    assert len(found) == len(re.findall(r"^n", text, re.MULTILINE)) == 17
    assert Counter(c.protocol for c in found) == {"udp": 12, "tcp": 5}
    java = next(c for c in found if c.process == "java")
    assert (java.family, java.local_address, java.local_port) == (
        "ipv6",
        "::ffff:192.168.1.66",
        51098,
    )
    assert (java.remote_address, java.remote_port) == ("::ffff:172.18.1.63", 22)
    assert found[0].process == "UserEvent"  # lsof had cut it
    assert lsof_fields.FORMAT.recognises([line for line in lines if line][:50])


@pytest.mark.parametrize(
    ("lines", "columns", "fields"),
    [
        ([HEADER], True, False),
        (["lsof: WARNING: can't stat()", HEADER], True, False),
        (["p340", "cComet", "f3"], False, True),
        (["p340\0cComet\0", "f3\0tIPv4\0"], False, True),
        (["path", "c"], False, False),
        (["p340", "340"], False, False),
        ([], False, False),
    ],
)
def test_what_is_recognised(lines: list[str], columns: bool, fields: bool) -> None:
    assert lsof.FORMAT.recognises(lines) is columns
    assert lsof_fields.FORMAT.recognises(lines) is fields


@given(st.lists(st.text(st.characters(exclude_characters="\n")), max_size=4))
def test_any_lines_are_a_record_or_a_fault(lines: list[str]) -> None:
    read_columns(*lines)
    read_fields("p1", *lines)


@given(st.text(max_size=12), st.integers(0, 99999), st.integers(0, 999))
def test_any_name_comes_back(name: str, pid: int, fd: int) -> None:
    """As safestrprt of lsof escapes it."""
    raw = name.encode("utf-8", "surrogatepass")
    escaped = "".join(
        chr(byte) if 0x20 < byte < 0x7F and byte != 0x5C else f"\\x{byte:02x}" for byte in raw
    )
    row = f"{escaped or 'x'} {pid} root {fd}u IPv4 7 0t0 TCP *:80 (LISTEN)"
    found = only(read_columns(row))
    assert found.owners[0].pid == pid
    assert found.owners[0].fd == fd
    if name and name.isprintable():
        assert found.process == name.replace("\\", "\\\\")


@pytest.mark.skipif(shutil.which("lsof") is None, reason="lsof is not installed")
def test_the_real_lsof() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as client:
        client.connect(server.getsockname())
        command = ["lsof", "-nP", "-w", "-a", "-p", str(os.getpid()), "-i"]
        columns = subprocess.run(command, capture_output=True, check=True, text=True).stdout
        fields = [*command, "-F", "pcuLftdPnT0"]
        told = subprocess.run(fields, capture_output=True, check=True, text=True).stdout
        port = server.getsockname()[1]
    by_columns, _ = read_columns(*columns.split("\n"))
    by_fields, _ = read_fields(*told.split("\n"))
    for found in (by_columns, by_fields):
        (listener,) = (c for c in found if c.local_port == port and c.state == "LISTEN")
        assert listener.owners[0].pid == os.getpid()
        assert listener.uid in (None, os.getuid())
        (peer,) = (c for c in found if c.remote_port == port)
        assert peer.state == "ESTABLISHED"
    assert [c.inode for c in by_columns] == [c.inode for c in by_fields]
