from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.model import Owner, Timer
from netinspect.parse.captured import BATCH_SIZE, Fault
from tests.captures import read, recognised, told

HEADER = """\
Active Internet connections (servers and established)
Proto Recv-Q Send-Q Local Address           Foreign Address         State
"""
PLAIN = "tcp        5      7 10.0.0.1:443            192.0.2.9:51000         ESTABLISHED\n"
LISTENER = "tcp        3      0 0.0.0.0:22              0.0.0.0:*               LISTEN\n"
TCP6 = "tcp6       0      0 ::1:631                 ::1:50000               FIN_WAIT2\n"
UDP = "udp        0      0 127.0.0.1:53            0.0.0.0:*\n"
UDP_CONNECTED = "udp6       0      0 2001:db8::1:123         2001:db8::2:123         ESTABLISHED\n"
RAW = "raw        0      0 0.0.0.0:1               0.0.0.0:*               7\n"
ALL = HEADER + PLAIN + LISTENER + TCP6 + UDP + UDP_CONNECTED + RAW


def test_each_kind_of_row() -> None:
    done = read("gnu-netstat", ALL)
    assert (done.faults, done.notes) == ([], [])
    assert [told(record) for record in done.records] == [
        {
            "protocol": "tcp", "family": "ipv4", "type": "stream", "state": "ESTABLISHED",
            "local_address": "10.0.0.1", "remote_address": "192.0.2.9", "local_port": 443,
            "remote_port": 51000, "recv_q": 5, "send_q": 7, "owner_status": "unsupported",
        },
        {
            "protocol": "tcp", "family": "ipv4", "type": "stream", "state": "LISTEN",
            "local_address": "0.0.0.0", "local_port": 22, "recv_q": 3, "exposure": "any",
            "owner_status": "unsupported",
        },
        {
            "protocol": "tcp", "family": "ipv6", "type": "stream", "state": "FIN_WAIT2",
            "local_address": "::1", "remote_address": "::1", "local_port": 631,
            "remote_port": 50000, "recv_q": 0, "send_q": 0, "owner_status": "unsupported",
        },
        {
            "protocol": "udp", "family": "ipv4", "type": "dgram", "state": "UNCONN",
            "local_address": "127.0.0.1", "local_port": 53, "recv_q": 0, "send_q": 0,
            "exposure": "loopback", "owner_status": "unsupported",
        },
        {
            "protocol": "udp", "family": "ipv6", "type": "dgram", "state": "ESTABLISHED",
            "local_address": "2001:db8::1", "remote_address": "2001:db8::2", "local_port": 123,
            "remote_port": 123, "recv_q": 0, "send_q": 0, "owner_status": "unsupported",
        },
        {
            "protocol": "raw", "family": "ipv4", "type": "raw", "state": "UNCONN",
            "local_address": "0.0.0.0", "ip_protocol": 1, "recv_q": 0, "send_q": 0,
            "exposure": "any", "owner_status": "unsupported",
        },
    ]  # fmt: skip


def test_it_is_recognised_with_and_without_headers() -> None:
    assert recognised(ALL) == recognised(PLAIN) == recognised(LISTENER) == "gnu-netstat"


OWNED = """\
Active Internet connections (servers and established)
Proto Recv-Q Send-Q Local Address           Foreign Address         State       User       Inode      PID/Program name     Timer
tcp        0      0 10.0.0.1:443            192.0.2.9:51000         ESTABLISHED 33         31337      812/nginx: worker    keepalive (7199.05/0/2)
tcp        0      1 10.0.0.1:443            192.0.2.9:51001         FIN_WAIT1   0          0          -                    on (0.25/3/0)
tcp        0      0 10.0.0.1:443            192.0.2.9:51002         TIME_WAIT   0          0          -                    timewait (58.90/0/0)
tcp        0      0 10.0.0.1:443            192.0.2.9:51003         CLOSE_WAIT  www-data   31338      -                    off (0.00/0/0)
udp        0      0 0.0.0.0:53              0.0.0.0:*                           0          31339      4242/dns             off (0.00/0/0)
"""  # noqa: E501 the rows of netstat are long


def test_owners_users_inodes_and_timers() -> None:
    nginx, orphan, waiting, unseen, dns = read("gnu-netstat", OWNED).records
    assert nginx.owners == (Owner(812, "nginx: worker", None),)
    assert (nginx.pid, nginx.process, nginx.owner_status) == (812, "nginx: worker", "known")
    assert (nginx.uid, nginx.user, nginx.inode) == (33, None, 31337)
    assert nginx.timer == Timer("keepalive", 7199050, 2)
    assert (orphan.uid, orphan.inode, orphan.owner_status) == (None, None, "none")
    assert orphan.timer == Timer("retransmit", 250, 3)
    assert (waiting.owner_status, waiting.timer) == ("none", Timer("time_wait", 58900, 0))
    assert (unseen.user, unseen.uid, unseen.owner_status) == ("www-data", None, "not_found")
    assert unseen.timer is None
    assert (dns.state, dns.uid, dns.inode, dns.pid) == ("UNCONN", 0, 31339, 4242)


def test_without_the_right_to_look_owners_are_hidden() -> None:
    warning = (
        "(Not all processes could be identified, non-owned process info\n"
        " will not be shown, you would have to be root to see it all.)\n"
    )
    row = "tcp        0      0 10.0.0.1:22   0.0.0.0:*  LISTEN      -\n"
    assert [r.owner_status for r in read("gnu-netstat", row).records] == ["not_found"]
    done = read("gnu-netstat", warning + row)
    assert ([r.owner_status for r in done.records], done.faults) == (["hidden"], [])


UNIX = """\
Active UNIX domain sockets (servers and established)
Proto RefCnt Flags       Type       State         I-Node   PID/Program name     Path
unix  2      [ ACC ]     STREAM     LISTENING     31337    812/a b              /run/a b
unix  3      [ ]         DGRAM                    31338    -                    @abstract
unix  3      [ W N ]     SEQPACKET  CONNECTED     31339    813/verylongname12
"""


def test_unix_sockets() -> None:
    listener, dgram, connected = read("gnu-netstat", UNIX).records
    assert told(listener) == {
        "protocol": "unix", "family": "unix", "type": "stream", "state": "LISTEN",
        "local_address": "/run/a b", "inode": 31337, "pid": 812, "process": "a b",
        "owners": (Owner(812, "a b", None),), "owner_status": "known",
    }  # fmt: skip
    assert (dgram.type, dgram.state, dgram.local_address) == ("dgram", "UNCONN", "@abstract")
    assert dgram.owner_status == "not_found"
    assert (connected.type, connected.state) == ("seqpacket", "ESTABLISHED")
    assert (connected.process, connected.local_address) == ("verylongname12", None)


def test_without_owners_the_path_follows_the_inode() -> None:
    row = "unix  2      [ ACC ]     STREAM     LISTENING     31337    12/a  b\n"
    (record,) = read("gnu-netstat", row).records
    assert (record.local_address, record.owner_status) == ("12/a  b", "unsupported")


def test_names_are_kept_and_counted() -> None:
    row = "tcp   0   0 build.example:ssh   localhost:51000   ESTABLISHED\n"
    done = read("gnu-netstat", row)
    (record,) = done.records
    assert (record.local_address, record.local_port) == ("build.example", None)
    assert (record.remote_address, record.remote_port) == ("localhost", 51000)
    assert [(note.code, note.count) for note in done.notes] == [("names_not_numeric", 3)]


@pytest.mark.parametrize("cell", ["*:ssh", "0.0.0.0:ssh"])
def test_a_wildcard_with_a_service(cell: str) -> None:
    (record,) = read("gnu-netstat", f"tcp 0 0 {cell} 0.0.0.0:* LISTEN\n").records
    assert (record.local_address, record.local_port, record.exposure) == ("0.0.0.0", None, "any")


def test_an_ipv6_address_that_was_made_to_fit() -> None:
    done = read("gnu-netstat", "tcp6 0 0 2001:db8:1234:5678:9:44 ::1:1 ESTABLISHED\n")
    (record,) = done.records
    assert (record.local_address, record.local_port) == ("2001:db8:1234:5678:9", 44)
    assert [(note.code, note.count) for note in done.notes] == [("truncated_address", 1)]


def test_a_mapped_address_stands_there_as_ipv4() -> None:
    (record,) = read("gnu-netstat", "tcp6 0 0 127.0.0.1:80 127.0.0.1:9000 ESTABLISHED\n").records
    assert (record.family, record.local_address) == ("ipv6", "::ffff:127.0.0.1")


def test_busybox_has_tcp_for_both_families() -> None:
    text = HEADER + "tcp        0      0 :::22                   :::*                    LISTEN\n"
    assert recognised(text) == "busybox-netstat"
    (record,) = read("busybox-netstat", text).records
    assert (record.family, record.local_address, record.local_port) == ("ipv6", "::", 22)


TIGHT = """\
netstat: showing only processes with your user ID
Active UNIX domain sockets (servers and established)
Proto RefCnt Flags       Type       State         I-Node PID/Program name    Path
unix  2      [ ACC ]     SEQPACKET  LISTENING      20611 -                   /run/udev/control
unix  3      [ ]         STREAM     CONNECTED   34142000 751/docker-containe /run/a b
unix  2      [ ]         DGRAM                     33822 606/dhcpcd
unix  2      [ ACC ]     STREAM     LISTENING     19695    5890/x y            @abstract
"""


def test_unix_sockets_of_busybox_and_old_net_tools() -> None:
    done = read("gnu-netstat", TIGHT)
    assert done.faults == []
    assert [(r.local_address, r.inode, r.pid, r.process, r.owner_status) for r in done.records] == [
        ("/run/udev/control", 20611, None, None, "hidden"),
        ("/run/a b", 34142000, 751, "docker-containe", "known"),
        (None, 33822, 606, "dhcpcd", "known"),
        ("@abstract", 19695, 5890, "x y", "known"),
    ]


def test_busybox_cuts_the_port() -> None:
    row = "tcp        0      0 2001:db8:1:2:3:4:5:6:22 2001:db8::1:443         ESTABLISHED\n"
    done = read("busybox-netstat", row)
    (record,) = done.records
    assert (record.local_port, record.remote_port) == (None, 443)
    assert [note.code for note in done.notes] == ["truncated_address"]


WRONG_STATE = "tcp        0      0 10.0.0.1:443            192.0.2.9:51000         ESTABLISHD"
STATE = "a state such as ESTABLISHED"
BEHIND = "user and inode, PID/program or -, and a timer"
ROW_FAULTS = [
    (WRONG_STATE, WRONG_STATE.index("ESTABLISHD"), STATE),
    ("tcp x 0 10.0.0.1:443 0.0.0.0:* LISTEN", 4, "a number: the receive queue"),
    ("tcp 0 0 10.0.0.1:99999 0.0.0.0:* LISTEN", 17, "a port from 0 to 65535"),
    ("tcp 0 0 10.0.0.1:\x1b 0.0.0.0:* LISTEN", 17, "a port such as 443"),
    ("tcp 0 0 10.0.0.1 0.0.0.0:* LISTEN", 8, "an address and a port such as 127.0.0.1:80"),
    ("tcp 0 0 fe80::x:1 ::1:1 LISTEN", 8, "an address such as 127.0.0.1 or ::1"),
    ("tcp 0 0", 4, "a row of at least five columns"),
    ("dccp 0 0 10.0.0.1:1 0.0.0.0:* LISTEN", 0, "a protocol such as tcp or tcp6"),
    ("tcp 0 0 1.2.3.4:1 1.2.3.4:2 CLOSING what", 36, BEHIND),
    ("unix 2 what", 0, "a row such as unix  2  [ ACC ]  STREAM  LISTENING  31337  /run/a"),
]  # fmt: skip


@pytest.mark.parametrize(("row", "column", "expected"), ROW_FAULTS)
def test_a_row_that_cannot_be_read(row: str, column: int, expected: str) -> None:
    done = read("gnu-netstat", f"{HEADER}{row}\n{PLAIN}")
    assert done.faults == [Fault(3, row, column, expected)]
    assert len(done.records) == 1


def test_a_long_capture_is_read_as_a_short_one() -> None:
    rows = [PLAIN, LISTENER, TCP6, "what is this\n", UDP]
    few = read("gnu-netstat", "".join(rows))
    repeated = read("gnu-netstat", "".join(rows) + PLAIN * 2 * BATCH_SIZE + "".join(rows))
    assert repeated.records[:4] == few.records
    assert repeated.records[-4:] == few.records
    assert repeated.records[4:-4] == [few.records[0]] * 2 * BATCH_SIZE
    assert [fault.line for fault in repeated.faults] == [4, 5 + 2 * BATCH_SIZE + 4]


def test_a_row_that_is_too_long_for_one() -> None:
    row = "unix  2      [ ACC ]     STREAM" + " " * 100_000 + "x"
    assert read("gnu-netstat", row).faults == [Fault(1, row, 0, "a row of at most 4096 characters")]


NUMBERS = st.integers(0, 65535)
IPV4 = st.ip_addresses(v=4).map(str)
PEERED_STATES = st.sampled_from(["ESTABLISHED", "SYN_SENT", "TIME_WAIT", "CLOSE_WAIT", "LAST_ACK"])
ROWS = st.tuples(NUMBERS, NUMBERS, IPV4, NUMBERS, IPV4, NUMBERS, PEERED_STATES)


@given(st.lists(ROWS, min_size=1), st.booleans())
def test_what_was_printed_is_what_is_read(rows: list[tuple[object, ...]], is_mixed: bool) -> None:
    lines = [f"tcp {r} {s} {a}:{p} {b}:{q} {word}" for r, s, a, p, b, q, word in rows]
    done = read("gnu-netstat", "\n".join([*lines, LISTENER] if is_mixed else lines))
    assert done.faults == []
    assert [
        (
            c.recv_q,
            c.send_q,
            c.local_address,
            c.local_port,
            c.remote_address,
            c.remote_port,
            c.state,
        )
        for c in done.records[: len(rows)]
    ] == rows
