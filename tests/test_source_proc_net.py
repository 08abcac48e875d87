from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from netinspect.errors import ParseError, RefusedError, SourceError
from netinspect.model import Connection, Note, Table
from netinspect.parse.proc_net import FILES, parse
from netinspect.query import Query
from netinspect.sources import tally_records
from netinspect.sources.proc_net import ProcNet

pytestmark = pytest.mark.skipif(os.name == "nt", reason="needs the file system of Linux")

FIXTURES = Path(__file__).parent / "fixtures/linux/proc"
TCP4, TCP6 = Table("tcp", "ipv4"), Table("tcp", "ipv6")
UNIX = Table("unix", "unix")
NOBODY = 65534

TCP_HEADER = (
    b"  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt"
    b"   uid  timeout inode\n"
)
UNIX_HEADER = b"Num       RefCount Protocol Flags    Type St Inode Path\n"


def tcp_row(
    port: int, *, inode: int = 0, state: bytes = b"01", pointer: int = 0, is_mini: bool = False
) -> bytes:
    after = b"" if is_mini else b" 20 4 30 10 -1"
    return (
        b"   7: 0100007F:%04X 0100007F:0050 %b 00000000:00000000 00:00000000 00000000"
        b"     0        0 %d 1 %016x%b\n" % (port, state, inode, pointer, after)
    )


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """The folder of an empty /proc/self/net that has TCP."""
    folder = tmp_path / "self/net"
    folder.mkdir(parents=True)
    (folder / "tcp").write_bytes(TCP_HEADER)
    return folder


def read(source: ProcNet, table: Table) -> list[Connection]:
    batches = list(source.read(table, Query(tables=(table,))))
    return [connection for batch in batches for connection in batch.records()]


def inodes_of(source: ProcNet, table: Table = TCP4) -> list[int | None]:
    return [connection.inode for connection in read(source, table)]


@contextmanager
def unprivileged() -> Iterator[None]:
    """Permissions mean nothing to root, and tmp_path lets nobody else in."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def without_users(connections: list[Connection]) -> list[tuple[object, ...]]:
    return [(c.inode, c.local_address, c.local_port, c.state, c.uid, c.timer) for c in connections]


@pytest.mark.parametrize("table", [t for t in FILES if t.protocol != "icmp"], ids=str)
@pytest.mark.parametrize("block_size", [1, 7, 149, 150, 1000, 1 << 18])
def test_blocks_may_end_anywhere(table: Table, block_size: int) -> None:
    source = ProcNet(str(FIXTURES), block_size)
    data = (FIXTURES / "self/net" / FILES[table]).read_bytes()
    expected, _ = parse(data, table, dict.fromkeys(range(100000)))
    assert without_users(read(source, table)) == without_users(expected)
    assert source.notes == []


def test_batches_hold_whole_lines(net: Path) -> None:
    (net / "tcp").write_bytes(TCP_HEADER + b"".join(tcp_row(n, inode=n) for n in range(1, 100)))
    batches = list(ProcNet(str(net.parent.parent), 1000).read(TCP4, Query(tables=(TCP4,))))
    counts = [len(batch.records()) for batch in batches]
    assert sum(counts) == 99
    assert max(counts) < 99


@pytest.mark.parametrize("table", FILES, ids=str)
def test_tally_counts_what_records_show(table: Table) -> None:
    source = ProcNet(str(FIXTURES))
    query = Query(tables=(table,))
    for counted, shown in zip(source.read(table, query), source.read(table, query), strict=True):
        assert counted.tally() == tally_records(shown.records())


def test_sockets_of_the_other_family_are_left_out_of_icmp6() -> None:
    source = ProcNet(str(FIXTURES))
    ipv4 = read(source, Table("icmp", "ipv4"))
    ipv6 = read(source, Table("icmp", "ipv6"))
    assert [c.local_address for c in ipv4] == ["127.0.0.1", "127.0.0.1"]
    assert [c.local_address for c in ipv6] == ["::1", "::1"]
    assert source.notes == []


def test_user_names(net: Path) -> None:
    (net / "tcp").write_bytes(TCP_HEADER + tcp_row(1, inode=1))
    (connection,) = read(ProcNet(str(net.parent.parent)), TCP4)
    assert (connection.uid, connection.user) == (0, "root")


# What is not there


def test_protocol_that_the_kernel_lacks_has_no_sockets(net: Path) -> None:
    source = ProcNet(str(net.parent.parent))
    for table in FILES:
        assert read(source, table) == []
    assert source.notes == []


def test_no_proc(tmp_path: Path) -> None:
    source = ProcNet(str(tmp_path))
    for table in FILES:
        path = f"{tmp_path}/self/net/{FILES[table]}"
        if table.protocol == "icmp":
            path = re.sub("icmp6?$", "icmp6?", path)
        with pytest.raises(RefusedError, match=f"^{path}: no such file$"):
            read(source, table)


def test_other_protocols() -> None:
    table = Table("sctp", "ipv4")
    with pytest.raises(RefusedError, match=r"^/proc/net has no sctp sockets$"):
        read(ProcNet(str(FIXTURES)), table)


def test_permission_denied(net: Path) -> None:
    (net / "tcp6").touch(mode=0)
    with unprivileged(), pytest.raises(RefusedError, match=f"^{net}/tcp6: permission denied$"):
        read(ProcNet(str(net.parent.parent)), TCP6)


def test_failure_to_read(net: Path) -> None:
    (net / "tcp6").mkdir()
    with pytest.raises(SourceError, match=f"^{net}/tcp6: Is a directory$") as caught:
        read(ProcNet(str(net.parent.parent)), TCP6)
    assert not isinstance(caught.value, RefusedError)


def test_other_file(net: Path) -> None:
    shutil.copy(FIXTURES / "self/net/udp", net / "tcp")
    with pytest.raises(ParseError, match=r"^/proc/net/tcp line 1: expected the header 'sl local"):
        read(ProcNet(str(net.parent.parent)), TCP4)


# What cannot be read, and what comes twice


@pytest.mark.parametrize("block_size", [1, 1 << 18])
def test_torn_rows(net: Path, block_size: int) -> None:
    rows = tcp_row(1, inode=1) + b"torn\n" + tcp_row(2, inode=2) + tcp_row(3, inode=3)[:-4]
    (net / "tcp").write_bytes(TCP_HEADER + rows)
    source = ProcNet(str(net.parent.parent), block_size)
    assert inodes_of(source) == [1, 2]
    assert source.notes == [Note("rows_skipped", 2, "2 rows of /proc/net could not be read")]


def test_one_torn_row(net: Path) -> None:
    (net / "unix").write_bytes(UNIX_HEADER + b"stray\n")
    source = ProcNet(str(net.parent.parent))
    assert read(source, UNIX) == []
    assert source.notes == [Note("rows_skipped", 1, "1 row of /proc/net could not be read")]


@pytest.mark.parametrize("block_size", [1, 400, 1 << 18])
def test_duplicates(net: Path, block_size: int) -> None:
    rows = [
        tcp_row(1, inode=1),
        tcp_row(1, inode=2),
        tcp_row(1, inode=1, state=b"08", pointer=9),
        tcp_row(2, inode=2),
        tcp_row(1, inode=2),
    ]
    (net / "tcp").write_bytes(TCP_HEADER + b"".join(rows))
    source = ProcNet(str(net.parent.parent), block_size)
    assert inodes_of(source) == [1, 2, 2]
    message = "2 rows of /proc/net came twice while it changed, shown once"
    assert source.notes == [Note("duplicates_dropped", 2, message)]


def test_sockets_without_inode_are_told_by_their_pointer(net: Path) -> None:
    waits = [tcp_row(1, state=b"06", pointer=pointer, is_mini=True) for pointer in (1, 2, 1)]
    (net / "tcp").write_bytes(TCP_HEADER + b"".join(waits))
    source = ProcNet(str(net.parent.parent))
    assert inodes_of(source) == [None, None]
    message = "1 row of /proc/net came twice while it changed, shown once"
    assert source.notes == [Note("duplicates_dropped", 1, message)]


def test_sockets_without_inode_and_pointer_are_told_by_their_state(net: Path) -> None:
    rows = [tcp_row(1, state=state) for state in (b"06", b"01", b"06")]
    (net / "tcp").write_bytes(TCP_HEADER + b"".join(rows))
    connections = read(ProcNet(str(net.parent.parent)), TCP4)
    assert [connection.state for connection in connections] == ["TIME_WAIT", "ESTABLISHED"]


def test_unix_connections_that_wait_all_count(net: Path) -> None:
    waiting = b"0000000000000000: 00000003 00000000 00000000 0001 02     0 /run/x\n"
    bound = b"0000000000000000: 00000002 00000000 00010000 0001 01 12345 /run/x\n"
    (net / "unix").write_bytes(UNIX_HEADER + 3 * waiting + 2 * bound)
    source = ProcNet(str(net.parent.parent))
    assert inodes_of(source, UNIX) == [None, None, None, 12345]
    assert [note.code for note in source.notes] == ["duplicates_dropped"]


def udp_row(port: int) -> bytes:
    return (
        b" 5683: 00000000:%04X 00000000:0000 07 00000000:00000000 00:00000000 00000000"
        b"     0        0 %d 2 0000000000000001 0\n" % (port, port)
    )


def test_second_look_finds_what_the_first_missed(net: Path) -> None:
    """The kernel skips a row when one before the place where it goes on is gone."""
    rows = [udp_row(port) for port in range(1, 100)]
    header = (FIXTURES / "self/net/udp").read_bytes().partition(b"\n")[0] + b"\n"
    udp = net / "udp"
    udp.write_bytes(header + b"".join(rows[:50] + rows[51:]) + b"torn\n")
    source = ProcNet(str(net.parent.parent))
    table = Table("udp", "ipv4")
    batches = source.read(table, Query(tables=(table,)))
    first = next(batches).records()
    udp.write_bytes(header + b"".join(rows[1:]) + b"torn\n")
    second = [connection for batch in batches for connection in batch.records()]
    assert len(first) == 98
    assert [connection.local_port for connection in second] == [51]
    assert [note.code for note in source.notes] == ["rows_skipped"]


def test_short_files_and_tcp_are_read_once(net: Path) -> None:
    header = (FIXTURES / "self/net/udp").read_bytes().partition(b"\n")[0] + b"\n"
    (net / "udp").write_bytes(header + udp_row(1))
    (net / "tcp").write_bytes(TCP_HEADER + b"".join(tcp_row(n, inode=n) for n in range(1, 100)))
    source = ProcNet(str(net.parent.parent))
    for table in (TCP4, Table("udp", "ipv4")):
        assert len(list(source.read(table, Query(tables=(table,))))) == 1


def test_tables_are_remembered_apart(net: Path) -> None:
    """A protocol of its own has tuples of its own, and so has the next reading."""
    for name in ("tcp", "udp"):
        shutil.copy(FIXTURES / "self/net" / name, net / name)
    source = ProcNet(str(net.parent.parent))
    first, second = read(source, TCP4), read(source, TCP4)
    assert first == second
    assert source.notes == []
