from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.model import Connection, Owner
from netinspect.parse.captured import Fault, Faults
from netinspect.parse.fstat import FORMAT, read
from tests.bsd_sockets import ANSWERS, INET

HEADER = "USER     CMD          PID   FD MOUNT        INUM MODE       R/W    SZ|DV"
NETBSD_HEADER = "USER     CMD          PID   FD MOUNT       INUM MODE         SZ|DV R/W"


def parse(*rows: str, header: str = HEADER, faults: Faults | None = None) -> list[Connection]:
    found = faults or Faults()
    sockets = [c for batch in read([header, *rows], found) for c in batch]
    assert faults or found.kept == []
    return sockets


def ends(socket: Connection) -> tuple[str | int | None, ...]:
    return socket.local_address, socket.local_port, socket.remote_address, socket.remote_port


def test_the_holders_of_a_whole_system() -> None:
    faults = Faults()
    sockets = [c for b in read(ANSWERS["openbsd7"]["fstat"].split("\n"), faults) for c in b]
    assert faults.kept == []
    told = [
        (c.protocol, c.local_port, c.user, c.process, c.pid, c.owners[0].fd)
        for c in sockets
        if c.protocol != "unix"
    ]
    assert sorted(told) == sorted(
        (s.protocol, s.local[1], h.user, h.command, h.pid, h.fd) for s in INET for h in s.holders
    )


@pytest.mark.parametrize(
    ("rest", "protocol", "state", "where"),
    [
        (
            "internet stream tcp 0xffff80000031c7f8 *:22",
            "tcp",
            "LISTEN",
            ("0.0.0.0", 22, None, None),
        ),
        (
            "internet6 stream tcp 0x0 [::1]:22 <-- [fe80::1%lo0]:5555",
            "tcp",
            "UNKNOWN",
            ("::1", 22, "fe80::1%lo0", 5555),
        ),
        (
            "internet stream tcp 0x0 10.0.0.1:5000 --> 10.0.0.2:443",
            "tcp",
            "UNKNOWN",
            ("10.0.0.1", 5000, "10.0.0.2", 443),
        ),
        (
            "internet stream tcp 0x0 1.2.3.4:80 <-- 1.2.3.5:9 <==> tcp 0x0 9.9.9.9:5",
            "tcp",
            "UNKNOWN",
            ("1.2.3.4", 80, "1.2.3.5", 9),
        ),
        (
            "internet dgram udp 10.0.0.5:1024 <-> 192.0.2.1:123",
            "udp",
            "ESTABLISHED",
            ("10.0.0.5", 1024, "192.0.2.1", 123),
        ),
        ("internet6 dgram udp *:514", "udp", "UNCONN", ("::", 514, None, None)),
        ("internet stream tcp 0x0 *:0", "tcp", "UNKNOWN", ("0.0.0.0", 0, None, None)),
    ],
)
def test_openbsd(rest: str, protocol: str, state: str, where: tuple[object, ...]) -> None:
    (socket,) = parse(f"root     sshd       68201    3* {rest}")
    assert (socket.protocol, socket.state, ends(socket)) == (protocol, state, where)
    assert (socket.user, socket.owners, socket.owner_status) == (
        "root",
        (Owner(68201, "sshd", 3),),
        "known",
    )


def test_netbsd_prints_the_peer_first() -> None:
    row = "root     sshd         668    4* internet stream tcp 10.0.0.2:5000 <-> 10.0.0.1:22"
    (socket,) = parse(row, header=NETBSD_HEADER)
    assert ends(socket) == ("10.0.0.1", 22, "10.0.0.2", 5000)
    (socket,) = parse(row.replace("tcp", "udp").replace("stream", "dgram"))
    assert ends(socket) == ("10.0.0.2", 5000, "10.0.0.1", 22)


def test_netbsd_prints_no_address_of_a_socket_without_one() -> None:
    row = "root     sshd         668    4* internet dgram udp c1a2b3c4"
    (socket,) = parse(row, header=NETBSD_HEADER)
    assert (socket.state, ends(socket)) == ("UNCONN", ("0.0.0.0", 0, None, None))


def test_unix_sockets() -> None:
    sockets = parse(
        "root     syslogd    51001    5* unix dgram 0xffff80000031d000 <-> 0xffff800000320000",
        "root     syslogd    51001    6* unix stream 0xffff80000031d100",
        "root     syslogd    51001    7* unix seqpak 0x0",
    )
    assert [(c.type, c.state, c.cookie) for c in sockets] == [
        ("dgram", "ESTABLISHED", 0xFFFF80000031D000),
        ("stream", "UNKNOWN", 0xFFFF80000031D100),
        ("seqpacket", "UNKNOWN", None),
    ]
    (named,) = parse(
        "root     syslogd      151    5* local dgram  <-> /var/run/lo g", header=NETBSD_HEADER
    )
    assert named.local_address == "/var/run/lo g"


def test_a_command_cannot_pass_for_a_socket() -> None:
    (socket,) = parse("root     a 1 3* unix x 51001    5* internet dgram udp *:53")
    assert (socket.protocol, socket.process, socket.pid) == ("udp", "a 1 3* unix x", 51001)


def test_a_user_that_may_be_cut_is_not_told() -> None:
    (socket,) = parse("_postgre postgres   33333    5* internet dgram udp *:53")
    assert (socket.user, socket.pid) == (None, 33333)


def test_other_files_are_no_sockets_and_raw_ones_have_no_address() -> None:
    faults = Faults()
    sockets = parse(
        "root     sshd       68201   wd /            2 drwxr-xr-x     r      512",
        "root     sshd       68201 text /usr    467712 -r-xr-xr-x     r   590336",
        "root     sshd       68201    0 /        26013 crw-rw-rw-    rw     null",
        "root     sshd       68201    6 pipe 0xfffffd8012345678 state: ",
        "root     sshd       68201    7 kqueue 0xfffffd8012345678 3 state: W",
        "root     route      68201    8* route raw 0 0xfffffd8012345678",
        "root     ping       68202    3* internet raw icmp 0xfffffd8012345678",
        "",
        faults=faults,
    )
    assert sockets == []
    assert faults.kept == []
    assert [(n.code, n.count) for n in faults.all_notes()] == [("rows_left_out", 1)]


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        ("garbage", 0, "a user, a command, a process, a descriptor and an open file"),
        (
            "root     sshd       68201    3* internet stream tcp 0x0 nowhere",
            48,
            "a protocol and addresses such as tcp 0x0 *:22",
        ),
        (
            "root     sshd       68201    3* internet stream tcp 0x0 *:70000",
            58,
            "a port from 0 to 65535",
        ),
        ("root     sshd       68201    3* unix odd 0x0", 37, "a type such as stream or dgram"),
        (
            "root     sshd       68201    3* internet str.am tcp 0x0 *:22",
            0,
            "a user, a command, a process, a descriptor and an open file",
        ),
        (
            "root     sshd       68201    3*",
            0,
            "a user, a command, a process, a descriptor and an open file",
        ),
    ],
)
def test_faults(row: str, column: int, expected: str) -> None:
    faults = Faults()
    assert parse(row, faults=faults) == []
    assert faults.kept == [Fault(2, row, column, expected)]


def test_what_is_recognised() -> None:
    assert FORMAT.recognises([HEADER])
    assert FORMAT.recognises([NETBSD_HEADER])
    assert not FORMAT.recognises(["USER PID %CPU %MEM VSZ RSS TT STAT STARTED TIME COMMAND"])


@given(st.lists(st.text("root sshd 12345*internet6ux.:<->[]x", max_size=60)))
def test_anything_is_a_socket_another_file_or_a_fault(rows: list[str]) -> None:
    for header in (HEADER, NETBSD_HEADER):
        faults = Faults()
        sockets = [c for batch in read([header, *rows], faults) for c in batch]
        assert len(sockets) + faults.count <= len(rows)
