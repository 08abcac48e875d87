from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterable
from typing import Any, NamedTuple

import psutil
import pytest

from netinspect.errors import RefusedError
from netinspect.model import Connection, Owner, Table
from netinspect.query import Query
from netinspect.sources import tally_records
from netinspect.sources.fallback import LIMITS, Psutil

TCP4, TCP6 = Table("tcp", "ipv4"), Table("tcp", "ipv6")
UDP4, UDP6 = Table("udp", "ipv4"), Table("udp", "ipv6")
UNIX = Table("unix", "unix")


class FakeRow(NamedTuple):
    """A row as psutil.net_connections() gives it."""

    fd: int = -1
    type: int = socket.SOCK_STREAM
    laddr: Any = ("127.0.0.1", 8080)
    raddr: Any = ()
    status: str = "LISTEN"
    pid: int | None = None


def read(source: Psutil, table: Table) -> list[Connection]:
    (batch,) = source.read(table, Query(tables=(table,)))
    return batch.records()


def decode(row: FakeRow, table: Table = TCP4, *, sees_all: bool = True) -> Connection:
    """The record of one row."""
    names = {1: b"init", 2: b"\xff\\"}
    (connection,) = read(Psutil(lambda _: [row], names.get, sees_all=sees_all), table)
    return connection


def test_everything_known() -> None:
    row = FakeRow(
        3, socket.SOCK_STREAM, ("10.0.0.1", 8080), ("10.0.0.2", 5000), "ESTABLISHED", pid=1
    )
    assert decode(row) == Connection(
        "tcp",
        "ipv4",
        "stream",
        "ESTABLISHED",
        local_address="10.0.0.1",
        remote_address="10.0.0.2",
        local_port=8080,
        remote_port=5000,
        ip_protocol=None,
        interface=None,
        recv_q=None,
        send_q=None,
        uid=None,
        user=None,
        inode=None,
        cookie=None,
        pid=1,
        process="init",
        owners=(Owner(1, "init", 3),),
        owner_status="known",
    )


def test_little_known() -> None:
    assert decode(FakeRow(laddr=("::", 53), type=socket.SOCK_DGRAM, status="NONE"), UDP6) == (
        Connection(
            "udp",
            "ipv6",
            "dgram",
            "UNCONN",
            local_address="::",
            remote_address=None,
            local_port=53,
            remote_port=None,
            ip_protocol=None,
            interface=None,
            recv_q=None,
            send_q=None,
            uid=None,
            user=None,
            inode=None,
            cookie=None,
            owner_status="not_found",
            exposure="any",
        )
    )


@pytest.mark.parametrize("status", [c for c in dir(psutil) if c.startswith("CONN_")])
def test_states_of_this_platform(status: str) -> None:
    row = FakeRow(raddr=("10.0.0.2", 5000), status=getattr(psutil, status))
    expected = {"CONN_NONE": "UNKNOWN", "CONN_DELETE_TCB": "CLOSE", "CONN_IDLE": "CLOSE"}
    assert decode(row).state == expected.get(status, status.removeprefix("CONN_"))


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("NONE", "UNKNOWN"),
        ("CLOSE", "BOUND"),
        ("DELETE_TCB", "BOUND"),
        ("BOUND", "BOUND"),
        ("LISTEN", "LISTEN"),
        ("new in psutil", "UNKNOWN"),
    ],
)
def test_states_without_a_peer(status: str, state: str) -> None:
    assert decode(FakeRow(status=status)).state == state


def test_closed_without_a_port_is_not_bound() -> None:
    record = decode(FakeRow(laddr=(), status="CLOSE"))
    assert (record.state, record.local_address, record.local_port) == ("CLOSE", None, None)


def test_listener_has_no_peer_even_where_windows_tells_one() -> None:
    record = decode(FakeRow(raddr=("0.0.0.0", 0)))
    assert (record.remote_address, record.remote_port) == (None, None)


def test_connected_datagram_socket() -> None:
    row = FakeRow(raddr=("8.8.8.8", 53), type=socket.SOCK_DGRAM, status="NONE")
    record = decode(row, UDP4)
    assert (record.state, record.remote_address, record.remote_port, record.exposure) == (
        "ESTABLISHED",
        "8.8.8.8",
        53,
        None,
    )


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("", None),
        ("/run/x", "/run/x"),
        ("@bus", "@bus"),
        ("/run/\udcff\\", "/run/\\xff\\\\"),
    ],
)
@pytest.mark.skipif(os.name == "nt", reason="file names that are not text")
def test_unix_socket(path: str, text: str | None) -> None:
    record = decode(FakeRow(type=5, laddr=path, raddr="", status="NONE"), UNIX)
    assert (record.local_address, record.local_port) == (text, None)
    assert (record.type, record.state) == ("seqpacket", "UNKNOWN")


def test_unix_socket_with_a_peer() -> None:
    """As psutil shows them on macOS."""
    record = decode(FakeRow(type=1, laddr="", raddr="/run/x", status="NONE"), UNIX)
    assert (record.state, record.remote_address) == ("ESTABLISHED", "/run/x")


# Owners


def test_process_name_that_is_not_text() -> None:
    record = decode(FakeRow(pid=2, fd=7))
    assert record.process == "\\xff\\\\"


def test_process_that_has_ended() -> None:
    record = decode(FakeRow(pid=4, fd=-1))
    assert record.owners == (Owner(4, None, None),)
    assert (record.pid, record.process, record.owner_status) == (4, None, "known")


@pytest.mark.parametrize(
    ("row", "sees_all", "status"),
    [
        (FakeRow(), True, "not_found"),
        (FakeRow(), False, "hidden"),
        (FakeRow(status="TIME_WAIT"), True, "none"),
        (FakeRow(status="TIME_WAIT"), False, "none"),
        (FakeRow(status="TIME_WAIT", pid=0), True, "none"),  # Windows
    ],
)
def test_no_owner(row: FakeRow, sees_all: bool, status: str) -> None:
    record = decode(row, sees_all=sees_all)
    assert (record.pid, record.process, record.owners) == (None, None, ())
    assert record.owner_status == status


def test_each_process_is_looked_up_once() -> None:
    asked = []

    def name(pid: int) -> bytes:
        asked.append(pid)
        return b"x"

    rows = [FakeRow(pid=1), FakeRow(pid=1), FakeRow(pid=2)]
    source = Psutil(lambda _: rows, name)
    assert [record.pid for record in read(source, TCP4)] == [1, 1, 2]
    read(source, TCP6)
    assert asked == [1, 2]


# Tables


def test_kinds() -> None:
    asked = []

    def rows(kind: str) -> Iterable[FakeRow]:
        asked.append(kind)
        return []

    source = Psutil(rows)
    for table in (TCP4, TCP6, UDP4, UDP6, UNIX):
        assert read(source, table) == []
    assert asked == ["tcp4", "tcp6", "udp4", "udp6", "unix"]
    assert source.notes == [LIMITS]


def test_limits_are_not_told_before_anything_is_read() -> None:
    assert Psutil().notes == []


def test_limits() -> None:
    assert (LIMITS.code, LIMITS.count) == ("psutil_limits", None)
    assert LIMITS.message == (
        "psutil tells no queues, users, inodes or timers, names at most one process of a socket, "
        "shows sockets that look alike as one where it cannot see their processes, and a socket "
        "with several descriptors perhaps several times"
    )


@pytest.mark.parametrize("protocol", ["udplite", "raw", "icmp"])
def test_tables_that_psutil_has_not(protocol: Any) -> None:
    source = Psutil(lambda _: [])
    with pytest.raises(RefusedError, match=f"^psutil has no {protocol} sockets$"):
        read(source, Table(protocol, "ipv4"))
    assert source.notes == []


def test_tally_counts_what_records_show() -> None:
    rows = [FakeRow(), FakeRow(status="CLOSE"), FakeRow(status="CLOSE", laddr=()), FakeRow(pid=1)]
    (batch,) = Psutil(lambda _: rows, lambda _: None).read(TCP4, Query(tables=(TCP4,)))
    assert batch.tally() == tally_records(batch.records())


# This machine


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_own_sockets(host: str) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, 0), family=family)
    except OSError as error:
        pytest.skip(f"no {host} here: {error}")
    with listener, socket.create_connection(listener.getsockname()[:2]) as client:
        tcp, udp = (TCP6, UDP6) if ":" in host else (TCP4, UDP4)
        with socket.socket(family, socket.SOCK_DGRAM) as datagram:
            datagram.bind((host, 0))
            port, udp_port = listener.getsockname()[1], datagram.getsockname()[1]
            try:
                records = [*read(Psutil(), tcp), *read(Psutil(), udp)]
            except RefusedError as refusal:
                pytest.skip(str(refusal))
            client_port = client.getsockname()[1]
            own = {
                (c.protocol, c.local_port, c.remote_port): c
                for c in records
                if c.pid == os.getpid() and c.local_address == host
            }
            listening = own["tcp", port, None]
            assert (listening.state, listening.exposure) == ("LISTEN", "loopback")
            assert listening.process == psutil.Process().name()
            connected = own["tcp", client_port, port]
            assert (connected.state, connected.remote_address) == ("ESTABLISHED", host)
            assert own["udp", udp_port, None].state == "UNCONN"
            if os.name == "posix":
                assert connected.owners[0].fd == client.fileno()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="needs unix sockets")
def test_own_unix_socket() -> None:
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as listener:
        listener.bind(f"{folder}/x")
        try:
            records = read(Psutil(), UNIX)
        except RefusedError as refusal:
            pytest.skip(str(refusal))
        own = [record.local_address for record in records if record.pid == os.getpid()]
        assert f"{folder}/x" in own
