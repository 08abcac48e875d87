from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.model import Connection, Table, decode_name
from netinspect.parse.proc_net import parse
from netinspect.parse.proc_unix import record, row_key, row_state, split_rows

FIXTURE = Path(__file__).parent / "fixtures/linux/proc/self/net/unix"
UNIX = Table("unix", "unix")


def unix_row(
    path: bytes | None = b"/run/a b",
    *,
    state: bytes = b"01",
    flags: bytes = b"00010000",
    kind: bytes = b"0001",
    inode: int = 75714,
    pointer: bytes = b"00000000d541d5a6",
) -> bytes:
    """A row as unix_seq_show() prints it."""
    row = b"%b: 00000002 00000000 %b %b %b %5d" % (pointer, flags, kind, state, inode)
    return row + (b"\n" if path is None else b" " + path + b"\n")


def decode(data: bytes) -> list[Connection]:
    """The records of rows that all can be read."""
    rows, skipped = split_rows(data)
    assert skipped == 0
    return [record(row) for row in rows]


def test_listener() -> None:
    assert decode(unix_row()) == [
        Connection(
            "unix",
            "unix",
            "stream",
            "LISTEN",
            local_address="/run/a b",
            remote_address=None,
            local_port=None,
            remote_port=None,
            ip_protocol=None,
            interface=None,
            recv_q=None,
            send_q=None,
            uid=None,
            user=None,
            inode=75714,
            cookie=None,
            owner_status="not_requested",
        )
    ]


def test_waiting_to_be_accepted() -> None:
    (connection,) = decode(unix_row(b"/run/x", state=b"02", flags=b"00000000", inode=0))
    assert (connection.state, connection.local_address) == ("ESTABLISHED", "/run/x")
    assert (connection.inode, connection.owner_status) == (None, "none")


@pytest.mark.parametrize(
    ("flags", "number", "state"),
    [
        (b"00010000", b"01", "LISTEN"),
        (b"00000000", b"00", "UNKNOWN"),
        (b"00000000", b"01", "UNCONN"),
        (b"00000000", b"02", "ESTABLISHED"),
        (b"00000000", b"03", "ESTABLISHED"),
        (b"00000000", b"04", "UNCONN"),
        (b"00000000", b"05", "UNKNOWN"),
    ],
)
def test_states(flags: bytes, number: bytes, state: str) -> None:
    data = unix_row(flags=flags, state=number)
    assert decode(data)[0].state == state
    assert row_state(split_rows(data)[0][0]) == state


@pytest.mark.parametrize(
    ("number", "socket_type"),
    [(b"0001", "stream"), (b"0002", "dgram"), (b"0005", "seqpacket"), (b"000A", "raw")],
)
def test_types(number: bytes, socket_type: str) -> None:
    assert decode(unix_row(kind=number))[0].type == socket_type


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (None, None),
        (b"/run/x", "/run/x"),
        (b"/run/a  b ", "/run/a  b "),
        (b"@abstract", "@abstract"),
        (b"@abstract@with@nuls", "@abstract@with@nuls"),
        (b"@", "@"),
        (b"caf\xc3\xa9 \xff \\", "café \\xff \\\\"),
        (b"/run/x\ny", "/run/x\ny"),
        (b"/run/x\n", "/run/x\n"),
        (b"\n\n\n", "\n\n\n"),
        (b"x\n0123456: y", "x\n0123456: y"),
        (b"x\n 0123456789abcdef: y", "x\n 0123456789abcdef: y"),
    ],
)
@pytest.mark.parametrize("pointer", [b"00000000d541d5a6", b"c541d5a6"])
def test_names(path: bytes | None, text: str | None, pointer: bytes) -> None:
    data = unix_row(path, pointer=pointer)
    after = unix_row(b"/after", inode=1)
    assert [c.local_address for c in decode(data)] == [text]
    assert [c.local_address for c in decode(data + after)] == [text, "/after"]


def test_forged_row_adds_a_socket_but_takes_none_away() -> None:
    """It cannot be told from a true one: all of its text is the choice of who forged it."""
    forged = unix_row(b"/run/victim", inode=1).rstrip(b"\n")
    rows = decode(unix_row(b"/srv/x\n" + forged) + unix_row(b"/run/victim", inode=2))
    assert [(c.inode, c.local_address) for c in rows] == [
        (75714, "/srv/x"),
        (1, "/run/victim"),
        (2, "/run/victim"),
    ]


def test_half_forged_row_is_counted() -> None:
    rows, skipped = split_rows(unix_row(b"/srv/x\n0123456789abcdef: y\nz") + unix_row(b"/run/v"))
    assert [row.path for row in rows] == [b"/srv/x", b"/run/v"]
    assert skipped == 2


def test_lines_that_belong_to_no_path_are_counted() -> None:
    rows, skipped = split_rows(b"stray\n" + unix_row(None) + b"stray\nstray\n" + unix_row(b"/x"))
    assert [row.path for row in rows] == [b"", b"/x"]
    assert skipped == 3


def test_huge_numbers_are_not_rows() -> None:
    data = unix_row(None).replace(b"75714", b"7" * 5000)
    assert split_rows(data) == ([], 1)


def test_every_truncation() -> None:
    """Whatever is cut off, all whole rows before it are read and the torn end is counted."""
    data = FIXTURE.read_bytes().partition(b"\n")[2]
    whole, _ = split_rows(data)
    for end in range(len(data) + 1):
        rows, skipped = split_rows(data[:end])
        # the last one may have lost the further lines of its path
        assert rows[:-1] == whole[: max(len(rows) - 1, 0)]
        assert skipped == (data[:end][-1:] not in (b"\n", b""))


def test_fixture_has_every_hard_name() -> None:
    connections, skipped = parse(FIXTURE.read_bytes(), UNIX, {})
    names = [connection.local_address or "" for connection in connections]
    assert skipped == 0
    assert "/run/zoo/x\ny\n" in names
    assert "/run/zoo/\\xff\\\\é" in names
    assert any(connection.inode is None for connection in connections)
    assert "/forged" in names


def test_rows_without_inode_are_never_the_same() -> None:
    (waiting,), _ = split_rows(unix_row(state=b"02", inode=0))
    assert row_key(waiting) is None


def test_forged_row_does_not_take_the_place_of_a_true_one() -> None:
    (true,), _ = split_rows(unix_row())
    for change in ({"state": b"03"}, {"kind": b"0002"}, {"path": b"/y"}, {"flags": b"00000000"}):
        (forged,), _ = split_rows(unix_row(**change))  # type: ignore[arg-type]
        assert row_key(forged) != row_key(true)


@given(st.binary())
def test_random_bytes(data: bytes) -> None:
    rows, _ = split_rows(data)
    assert len([record(row) for row in rows]) == len(rows)


NAMES = st.binary(min_size=1, max_size=107).map(lambda name: name.replace(b"\0", b"@"))
FORGERIES = st.tuples(NAMES, NAMES).map(
    lambda names: b"\n".join((names[0][:10], unix_row(names[1], inode=7).rstrip(b"\n")))
)


@given(st.lists(NAMES | FORGERIES | st.none()))
def test_no_name_hides_another_socket(names: list[bytes | None]) -> None:
    data = b"".join(unix_row(name, inode=1000 + n) for n, name in enumerate(names))
    rows, _ = split_rows(data)
    inodes = [int(row.inode) for row in rows if int(row.inode) >= 1000]
    assert inodes == [1000 + n for n in range(len(names))]


@given(st.lists(NAMES.filter(lambda name: b": " not in name) | st.none()))
def test_names_that_forge_nothing_round_trip(names: list[bytes | None]) -> None:
    data = b"".join(unix_row(name, inode=n) for n, name in enumerate(names))
    expected = [None if name is None else decode_name(name) for name in names]
    assert [connection.local_address for connection in decode(data)] == expected
