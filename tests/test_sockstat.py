from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from netinspect.model import Connection, Owner
from netinspect.parse.captured import Fault, Faults
from netinspect.parse.sockstat import FORMAT, read
from tests import bsd_sockets
from tests.bsd_sockets import ANSWERS, CURL, INET, UNIX

FIXTURE = Path(__file__).parent / "fixtures/freebsd/10-sockstat-46l.txt"
HEADER = "USER     COMMAND    PID   FD PROTO  LOCAL ADDRESS         FOREIGN ADDRESS"
HEADER_15 = (
    "USER   COMMAND      PID FD PROTO LOCAL ADDRESS         FOREIGN ADDRESS       CONN STATE"
)


def parse(*rows: str, header: str = HEADER, faults: Faults | None = None) -> list[Connection]:
    found = faults or Faults()
    sockets = [c for batch in read([header, *rows], found) for c in batch]
    assert faults or found.kept == []
    return sockets


def one(row: str, header: str = HEADER) -> Connection:
    (socket,) = parse(row, header=header)
    return socket


def ends(socket: Connection) -> tuple[str | int | None, ...]:
    return socket.local_address, socket.local_port, socket.remote_address, socket.remote_port


def test_the_capture_of_freebsd_10_is_read_whole() -> None:
    text, faults = FIXTURE.read_text(), Faults()
    sockets = [c for batch in read(text.split("\n"), faults) for c in batch]
    assert len(sockets) == len(re.findall(r"(?:tcp|udp)[46]", text)) == 4
    assert faults.kept == []
    assert [(c.protocol, c.family, c.state, *ends(c), c.user, c.owners) for c in sockets] == [
        (
            "tcp",
            "ipv4",
            "LISTEN",
            "127.0.0.1",
            25,
            None,
            None,
            "root",
            (Owner(671, "sendmail", 3),),
        ),
        ("tcp", "ipv6", "LISTEN", "::", 22, None, None, "root", (Owner(668, "sshd", 4),)),
        ("tcp", "ipv4", "LISTEN", "0.0.0.0", 22, None, None, "root", (Owner(668, "sshd", 4),)),
        ("udp", "ipv6", "UNCONN", "::", 2049, None, None, None, ()),
    ]
    assert [c.owner_status for c in sockets] == ["known", "known", "known", "not_found"]
    assert [(n.code, n.count) for n in faults.all_notes()] == [("taken_for_listeners", 3)]


@pytest.mark.parametrize("root", ["freebsd12", "freebsd15", "netbsd10"])
def test_each_release_tells_the_same_holders(root: str) -> None:
    faults = Faults()
    sockets = [c for b in FORMAT.read(ANSWERS[root]["sockstat"].split("\n"), faults) for c in b]
    assert faults.kept == []
    has_46 = root.startswith("freebsd")
    expected = [
        (kind(s.protocol, s.family), s.local[1], h.user, h.command[:10], h.pid, h.fd)
        for s in (*INET, *([bsd_sockets.DUAL] if has_46 else []))
        for h in s.holders
    ]
    told = [
        ((c.protocol, c.family), c.local_port, c.user, c.process, c.pid, c.owners[0].fd)
        for c in sockets
        if c.protocol in ("tcp", "udp") and c.owners
    ]
    assert sorted(told) == sorted(expected)
    names = {
        (c.local_address, c.remote_address) for c in sockets if c.protocol == "unix" and c.owners
    }
    assert names == {
        ("/var/run/devd.pipe", None),
        (None, None),
        (None, "/var/run/log"),
        ("/var/run/log", None),
    }


def kind(protocol: str, family: str) -> tuple[str, str]:
    return protocol, "ipv6" if "6" in family else "ipv4"


def test_states_where_a_column_tells_them() -> None:
    sockets = [
        c
        for b in read(ANSWERS["freebsd15"]["sockstat"].split("\n"), Faults())
        for c in b
        if c.protocol == "tcp"
    ]
    states = {c.state for c in sockets}
    assert states == {
        *("SYN_SENT", "SYN_RECV", "ESTABLISHED", "CLOSE_WAIT", "FIN_WAIT1", "CLOSING", "LAST_ACK"),
        *("FIN_WAIT2", "TIME_WAIT", "LISTEN", "CLOSE", "BOUND"),
    }
    (waiting,) = [c for c in sockets if c.state == "TIME_WAIT"]
    assert (waiting.owners, waiting.owner_status) == ((), "none")


def test_without_a_state_a_connection_may_be_in_any() -> None:
    assert one("alice    curl       123   5  tcp4   10.0.0.1:5000         10.0.0.2:443").state == (
        "UNKNOWN"
    )


@pytest.mark.parametrize(
    ("row", "user", "process", "pid"),
    [
        (
            "www      nginx: a b 12345 7   tcp46  *:80                  *:*",
            "www",
            "nginx: a b",
            12345,
        ),
        ("www       leading     9 7   tcp4   *:80                  *:*", "www", "leading", 9),
        ("www      1 2  tcp4    9 7   tcp4   *:80                  *:*", "www", "1 2  tcp4", 9),
        ("www                   9 7   tcp4   *:80                  *:*", "www", "", 9),
        ("averylongname sh      668 3   tcp4   *:80 *:*", "averylongname", "sh", 668),
        ("averylongname worker1234  668 3   tcp4   *:80 *:*", "averylongname", "worker1234", 668),
        ("averylongname worker123412345 3   tcp4   *:80 *:*", "averylongname", "worker1234", 12345),
        ("1001     ??          77 3   tcp4   *:80                  *:*", "1001", None, 77),
    ],
)
def test_commands_may_be_anything_of_ten_characters(
    row: str, user: str, process: str | None, pid: int
) -> None:
    socket = one(row)
    assert (socket.user, socket.process, socket.pid) == (user, process, pid)
    assert socket.local_port == 80


@pytest.mark.parametrize(
    ("proto", "cell", "address", "port"),
    [
        ("tcp4", "127.0.0.1:25", "127.0.0.1", 25),
        ("tcp6", "::1:25", "::1", 25),
        ("tcp6", "[::1]:25", "::1", 25),
        ("tcp6", "fe80::1%em0:25", "fe80::1%em0", 25),
        ("tcp6", "::ffff:10.0.0.1:25", "::ffff:10.0.0.1", 25),
        ("tcp46", "*:25", "::", 25),
        ("tcp", "10.0.0.1.25", "10.0.0.1", 25),
        ("tcp6", "::1.25", "::1", 25),
        ("tcp6", "*.25", "::", 25),
        ("udp", "*.*", "0.0.0.0", 0),
    ],
)
def test_addresses_of_every_release(proto: str, cell: str, address: str, port: int) -> None:
    any_port = "*.*" if "." in cell[-4:] and ":" not in cell[-4:] else "*:*"
    socket = one(f"root     sshd       668   4  {proto:<6} {cell:<21} {any_port}")
    assert ends(socket) == (address, port, None, None)
    dual = {"tcp46": True}.get(proto, False if any_port == "*:*" else UNSET)
    assert socket.dual_stack is (dual if address == "::" else UNSET)


def test_freebsd_15_cuts_addresses_without_w() -> None:
    faults = Faults()
    (socket,) = parse(
        "alice  curl       12345  3 tcp6  2001:db8:1:2:3:4:5:6: ::1:22                ESTABLISHED",
        header=HEADER_15,
        faults=faults,
    )
    assert ends(socket) == ("2001:db8:1:2:3:4:5:6:", None, "::1", 22)
    assert [n.code for n in faults.all_notes()] == ["truncated_address"]


@pytest.mark.parametrize(
    ("ends_text", "local", "remote", "state"),
    [
        ("/var/run/log", "/var/run/log", None, "UNCONN"),
        ("/a b/log", "/a b/log", None, "UNCONN"),
        ("-> /var/run/log", None, "/var/run/log", "ESTABLISHED"),
        ("-> ??", None, None, "ESTABLISHED"),
        ("/var/x -> [700 3]", "/var/x", None, "ESTABLISHED"),
        ("/var/run/log <- [700 3],[701 4]", "/var/run/log", None, "UNCONN"),
        ("(not connected)", None, None, "UNCONN"),
        ("-                     /var/run/log", None, "/var/run/log", "ESTABLISHED"),
        ("/var/run/log          -", "/var/run/log", None, "UNCONN"),
    ],
)
def test_unix_sockets(ends_text: str, local: str | None, remote: str | None, state: str) -> None:
    socket = one(f"root     syslogd    512   6  dgram  {ends_text}")
    assert (socket.type, socket.local_address, socket.remote_address, socket.state) == (
        "dgram",
        local,
        remote,
        state,
    )


def test_a_stream_socket_with_a_name_may_listen_or_not() -> None:
    assert one("root     devd       402   9  stream /var/run/devd.pipe").state == "UNKNOWN"


def test_sockets_that_the_record_does_not_know_are_counted() -> None:
    faults = Faults()
    sockets = parse(
        "root     x          512   7  sctp4  10.0.0.1:80           10.0.0.2:5000",
        "                                    10.0.0.3:80           10.0.0.2:5000",
        "root     natd       513   4  div4   *:8668                *:*",
        "??       ??          ?? ??   ??     10.0.0.3:80           10.0.0.2:5000",
        faults=faults,
    )
    assert sockets == []
    assert [(n.code, n.count) for n in faults.all_notes()] == [("rows_left_out", 4)]


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        (
            "root     sshd       abc   4  tcp4   *:22  *:*",
            9,
            "a command, a process, a descriptor and a protocol",
        ),
        (
            "root     sshd       668   4  tcq4   *:22  *:*",
            29,
            "a protocol such as tcp4, or a type such as stream",
        ),
        ("root     sshd       668   4  tcp4   *:22", 36, "a local and a foreign address"),
        ("root     sshd       668   4  tcp4   *:99999  *:*", 38, "a port from 0 to 65535"),
        (
            "root     sshd       668   4  tcp4   nothing  *:*",
            36,
            "an address and a port such as 127.0.0.1.25",
        ),
    ],
)
def test_faults(row: str, column: int, expected: str) -> None:
    faults = Faults()
    assert parse(row, faults=faults) == []
    assert faults.kept == [Fault(2, row, column, expected)]


def test_what_is_recognised() -> None:
    assert FORMAT.recognises([HEADER])
    assert FORMAT.recognises([HEADER_15])
    assert not FORMAT.recognises(["USER PID FD", "root sshd 668 4 tcp4 *:22 *:*"])


# One that is called "?" cannot be told from none that is known.
COMMANDS = st.text(
    st.characters(codec="ascii", categories=["L", "N", "P", "Zs"]), max_size=10
).filter(lambda command: command.strip() not in ("?", "??"))


@given(COMMANDS, st.integers(1, 99999), st.integers(0, 9999), st.sampled_from([12, 15]))
def test_a_command_never_changes_the_rest_of_a_row(
    command: str, pid: int, fd: int, release: int
) -> None:
    holder = CURL._replace(command=command, pid=pid, fd=fd)
    inet, unix = [INET[2]._replace(holders=(holder,))], [UNIX[0]._replace(holders=())]
    lines = (
        bsd_sockets.sockstat(inet, unix)
        if release == 12
        else bsd_sockets.sockstat_15(inet, unix, is_wide=True)
    )
    faults = Faults()
    (sockets,) = read(lines, faults)
    owner = sockets[0].owners[0]
    assert (owner.pid, owner.fd, owner.process) == (pid, fd, command.strip().replace("\\", "\\\\"))
    assert faults.kept == []


@given(st.lists(st.text("root sshd?tcp46:.*/->[]<%0123", max_size=60)))
def test_anything_is_a_socket_or_a_fault(rows: list[str]) -> None:
    faults = Faults()
    sockets = [c for batch in read([HEADER_15, *rows], faults) for c in batch]
    assert len(sockets) + faults.count <= len(rows)
