from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.model import Connection, Owner
from netinspect.parse.captured import Fault, Faults
from netinspect.parse.netstat_windows import FORMAT, read

HEADER = "  Proto  Local Address          Foreign Address        State           PID"
# netstat -anobq, the ends of its lines as Windows writes them
CAPTURE = f"""
Active Connections

{HEADER}
  TCP    0.0.0.0:135            0.0.0.0:0              LISTENING       1016
  RpcSs
 [svchost.exe]
  TCP    0.0.0.0:445            0.0.0.0:0              LISTENING       4
 Can not obtain ownership information
  TCP    10.0.0.5:49700         0.0.0.0:0              BOUND           77
 [a b].exe]
  TCP    10.0.0.5:49701         203.0.113.9:443        ESTABLISHED     5120
 [firefox.exe]
  TCP    10.0.0.5:49702         203.0.113.9:443        TIME_WAIT       0
  TCP    [::]:135               [::]:0                 LISTENING       1016
  RpcSs
 [svchost.exe]
  TCP    [fe80::1c2d:3%12]:139  [fe80::9%12]:50000     SYN_RECEIVED    4
 Can not obtain ownership information
  UDP    0.0.0.0:123            *:*                                    1234
  W32Time
 [svchost.exe]
  UDP    [::1]:1900             *:*                                    2222
 [svchost.exe]
""".replace("\n", "\r\n")


def parse(*rows: str, faults: Faults | None = None) -> list[Connection]:
    found = faults or Faults()
    sockets = [c for batch in read([HEADER, *rows], found) for c in batch]
    assert faults or found.kept == []
    return sockets


def row(protocol: str, local: str, remote: str, state: str = "", pid: object = "") -> str:
    return f"  {protocol:<6} {local:<22} {remote:<22} {state:<15} {pid}".rstrip()


def test_a_whole_netstat() -> None:
    faults = Faults()
    lines = CAPTURE.split("\n")
    assert FORMAT.recognises([line for line in lines if line.strip()])
    sockets = [c for batch in read(lines, faults) for c in batch]
    assert (faults.count, faults.all_notes()) == (0, [])
    assert len(sockets) == CAPTURE.count("  TCP ") + CAPTURE.count("  UDP ") == 9
    assert [
        (
            c.protocol,
            c.family,
            c.state,
            c.local_address,
            c.local_port,
            c.remote_address,
            c.remote_port,
            c.pid,
            c.process,
            c.owner_status,
            c.exposure,
        )
        for c in sockets
    ] == [
        ("tcp", "ipv4", "LISTEN", "0.0.0.0", 135, None, None, 1016, "svchost.exe", "known", "any"),
        ("tcp", "ipv4", "LISTEN", "0.0.0.0", 445, None, None, 4, None, "known", "any"),
        ("tcp", "ipv4", "BOUND", "10.0.0.5", 49700, None, None, 77, "a b].exe", "known", None),
        (
            "tcp",
            "ipv4",
            "ESTABLISHED",
            "10.0.0.5",
            49701,
            "203.0.113.9",
            443,
            5120,
            "firefox.exe",
            "known",
            None,
        ),
        (
            "tcp",
            "ipv4",
            "TIME_WAIT",
            "10.0.0.5",
            49702,
            "203.0.113.9",
            443,
            None,
            None,
            "none",
            None,
        ),
        ("tcp", "ipv6", "LISTEN", "::", 135, None, None, 1016, "svchost.exe", "known", "any"),
        (
            "tcp",
            "ipv6",
            "SYN_RECV",
            "fe80::1c2d:3%12",
            139,
            "fe80::9%12",
            50000,
            4,
            None,
            "known",
            None,
        ),
        ("udp", "ipv4", "UNCONN", "0.0.0.0", 123, None, None, 1234, "svchost.exe", "known", "any"),
        (
            "udp",
            "ipv6",
            "UNCONN",
            "::1",
            1900,
            None,
            None,
            2222,
            "svchost.exe",
            "known",
            "loopback",
        ),
    ]
    assert sockets[0].owners == (Owner(1016, "svchost.exe", None),)
    assert {c.recv_q for c in sockets} == {None}


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("CLOSED", "BOUND"),
        ("LISTENING", "LISTEN"),
        ("SYN_SENT", "SYN_SENT"),
        ("SYN_RECEIVED", "SYN_RECV"),
        ("ESTABLISHED", "ESTABLISHED"),
        ("FIN_WAIT_1", "FIN_WAIT1"),
        ("FIN_WAIT_2", "FIN_WAIT2"),
        ("CLOSE_WAIT", "CLOSE_WAIT"),
        ("CLOSING", "CLOSING"),
        ("LAST_ACK", "LAST_ACK"),
        ("TIME_WAIT", "TIME_WAIT"),
        ("DELETE_TCB", "BOUND"),
        ("BOUND", "BOUND"),
        ("ABHÖREN", "LISTEN"),
        ("HERGESTELLT", "ESTABLISHED"),
        ("WARTEND", "TIME_WAIT"),
        ("SCHLIESSEN_WARTEN", "CLOSE_WAIT"),
    ],
)
def test_states(word: str, state: str) -> None:
    (socket,) = parse(row("TCP", "10.0.0.5:80", "0.0.0.0:0", word, 9))
    assert socket.state == state


def test_without_o_no_process_is_told() -> None:
    (socket,) = parse(row("TCP", "10.0.0.5:80", "10.0.0.6:9", "ESTABLISHED"))
    assert (socket.pid, socket.owners, socket.owner_status) == (None, (), "unsupported")
    (socket,) = parse(row("TCP", "10.0.0.5:80", "10.0.0.6:9", "ESTABLISHED"), " [nginx.exe]")
    assert (socket.pid, socket.process, socket.owners) == (None, "nginx.exe", ())


def test_other_columns_behind_the_process_are_left_out() -> None:
    (socket,) = parse(row("TCP", "10.0.0.5:80", "10.0.0.6:9", "ESTABLISHED", "77  InHost"))
    assert socket.pid == 77


def test_process_0_is_nobody() -> None:
    (socket,) = parse(row("TCP", "10.0.0.5:80", "10.0.0.6:9", "CLOSE_WAIT", 0))
    assert (socket.pid, socket.owner_status) == (None, "not_found")


def test_names_are_kept_and_counted() -> None:
    faults = Faults()
    (socket,) = parse(row("TCP", "DESKTOP-1:50000", "web:https", "ESTABLISHED"), faults=faults)
    assert (socket.local_address, socket.remote_address, socket.remote_port) == (
        "DESKTOP-1",
        "web",
        None,
    )
    assert [n.code for n in faults.all_notes()] == ["names_not_numeric"]


@pytest.mark.parametrize(
    ("text", "column", "expected"),
    [
        (
            row("TCP", "10.0.0.5:80", "10.0.0.6:9", "ÉTABLI", 9),
            55,
            "a state in English such as ESTABLISHED",
        ),
        (row("TCP", "10.0.0.5:80", "10.0.0.6:9"), 0, "a state in English such as ESTABLISHED"),
        (
            row("TCQ", "10.0.0.5:80", "10.0.0.6:9", "ESTABLISHED", 9),
            2,
            "TCP or UDP, two addresses, a state and a process",
        ),
        (
            row("TCP", "10.0.0.5:66000", "10.0.0.6:9", "ESTABLISHED", 9),
            18,
            "a port from 0 to 65535",
        ),
        (
            row("TCP", "10.0.0.(:66", "10.0.0.6:9", "ESTABLISHED", 9),
            9,
            "an address such as 127.0.0.1 or ::1",
        ),
    ],
)
def test_faults(text: str, column: int, expected: str) -> None:
    faults = Faults()
    before = row("UDP", "0.0.0.0:53", "*:*", "", 7)
    (socket,) = parse(before, text, " [lost.exe]", faults=faults)
    assert faults.kept == [Fault(3, text, column, expected)]
    assert socket.process is None  # what names the program of a lost row is not another's


def test_network_direct_is_counted() -> None:
    faults = Faults()
    assert parse("  Kernel 12  Connection   10.0.0.5:445   10.0.0.6:5000   0", faults=faults) == []
    assert [(n.code, n.count) for n in faults.all_notes()] == [("rows_left_out", 1)]


def test_what_is_recognised() -> None:
    assert FORMAT.recognises([row("UDP", "0.0.0.0:123", "*:*", "", 9)])
    assert not FORMAT.recognises(["tcp        0      0 0.0.0.0:22  0.0.0.0:*  LISTEN"])
    assert not FORMAT.recognises([HEADER])


@given(st.lists(st.text("  TCPUD0123.:[]*%LISTENING-", max_size=70)))
def test_anything_is_a_socket_a_title_or_a_fault(lines: list[str]) -> None:
    faults = Faults()
    sockets = [c for batch in read(lines, faults) for c in batch]
    assert len(sockets) + faults.count <= len(lines)
