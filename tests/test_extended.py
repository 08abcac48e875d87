"""--extended from the request to the table, and what happens where there is nothing to tell."""

from __future__ import annotations

import json
import os
import re
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET
from msgspec.structs import replace

from netinspect.api import Listing, snapshot
from netinspect.errors import UsageError
from netinspect.extended import Dctcp, Memory, Options, TcpInfo
from netinspect.filters.selection import select
from netinspect.model import Connection, Table
from netinspect.parse import inet_diag, unix_diag
from netinspect.parse.netlink import decode_reply
from netinspect.query import Query
from netinspect.render.columns import PARTS, find_column, part_names
from netinspect.render.escape import UNSAFE_IN_CELL
from netinspect.render.fact_lines import fact_lines
from netinspect.render.listing import Screen
from netinspect.render.socket_facts import MOST_REMEMBERED, Fact, Texts, rate_text
from netinspect.sources.cgroups import CgroupPaths, cgroup_mount
from netinspect.sources.chain import NullBatch
from tests.kernel_messages import attribute, memory, message, unix_payload
from tests.records import ENVELOPE, EXTENDED, HOSTILE_NAMES, NOT_EXTENDED, made, rendered

TCP = (Table("tcp", "ipv4"), Table("tcp", "ipv6"))
on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: sock_diag and /proc")

# --- what is asked of the kernel ---


def extensions_of(table: Table, *, is_extended: bool) -> int:
    query = Query(tables=(table,), is_extended=is_extended)
    return inet_diag.encode_request(table, query, with_condition=False)[16 + 2]


@pytest.mark.parametrize(("protocol", "plain"), [("tcp", 0), ("udp", 1 << 6), ("raw", 1 << 6)])
def test_extensions_are_asked_for_when_they_are_wanted(protocol: Any, plain: int) -> None:
    table = Table(protocol, "ipv4")
    assert extensions_of(table, is_extended=False) == plain
    # all but INET_DIAG_MEMINFO, the first, which SKMEMINFO includes
    assert extensions_of(table, is_extended=True) == 0b11111110


@pytest.mark.parametrize(("is_extended", "extensions"), [(False, 0), (True, 0b11111110)])
def test_extensions_of_both_families_at_once(is_extended: bool, extensions: int) -> None:
    query = Query(tables=TCP, is_extended=is_extended)
    assert inet_diag.encode_tcp_request(query, with_condition=False)[16 + 3] == extensions


# --- unix sockets ---


def unix_record(*attributes: bytes) -> Connection:
    reply = decode_reply(message(unix_payload(b"".join(attributes))))
    [record] = unix_diag.decode_records([reply], {}, is_extended=True)
    return record


def test_a_unix_socket() -> None:
    record = unix_record(attribute(5, memory(drops=9)), attribute(6, b"\x01"))
    assert record.tcp_info is None
    assert record.memory == Memory(1, 2, 3, 4, 5, 6, 7, 8, 9)
    assert record.options == Options(receive_shutdown=True, send_shutdown=False)


def test_a_unix_socket_of_which_nothing_is_told() -> None:
    record = unix_record(attribute(6, b""))
    assert (record.tcp_info, record.memory, record.options) == (None, None, Options())


# --- sources that cannot tell ---


class OneBatch:
    decided: frozenset[Any] = frozenset({"LISTEN"})

    def records(self) -> list[Connection]:
        return [made()]

    def tally(self) -> Counter[Any]:
        return Counter({(TCP[0], "ESTABLISHED"): 1})


def test_of_another_source_the_keys_are_null() -> None:
    batch = NullBatch(OneBatch())
    assert batch.records() == [NOT_EXTENDED]
    assert batch.tally() == OneBatch().tally()
    assert batch.decided == OneBatch.decided


@on_linux
@pytest.mark.parametrize("source", ["proc", "psutil"])
def test_a_note_says_that_a_source_does_not_tell(source: str) -> None:
    found = snapshot(source=source, extended=True, owners=False, protocols=["tcp4"])
    assert [(n.code, n.message) for n in found.notes if n.code == "extended_unsupported"] == [
        ("extended_unsupported", f"{source} tells no tcp_info, memory and options")
    ]
    for connection in found.connections:
        assert (connection.tcp_info, connection.memory, connection.options) == (None, None, None)


@on_linux
def test_without_extended_no_source_says_so() -> None:
    found = snapshot(source="proc", owners=False, protocols=["tcp4"])
    assert [note.code for note in found.notes] == []
    for connection in found.connections:
        assert connection.tcp_info is UNSET
        assert connection.memory is UNSET
        assert connection.options is UNSET


@on_linux
def test_an_expression_that_needs_tcp_info_does_not_show_it() -> None:
    with _listener() as port:
        shown = Listing(select(expression=f"sport = :{port} and not rtt > 1"), with_owners=False)
        records = [c for batch in shown for c in batch]
        assert [c.local_port for c in records] == [port]
        assert records[0].tcp_info is UNSET
        asked = Listing(
            select(expression=f"sport = :{port} and not rtt > 1"),
            with_owners=False,
            is_extended=True,
        )
        [record] = [c for batch in asked for c in batch]
        assert isinstance(record.tcp_info, TcpInfo)


class _listener:  # noqa: N801 used as a function
    def __enter__(self) -> int:
        import socket

        self.socket = socket.create_server(("127.0.0.1", 0))
        port: int = self.socket.getsockname()[1]
        return port

    def __exit__(self, *_: object) -> None:
        self.socket.close()


# --- cgroups ---


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    r"""A tree of cgroups in a folder with a blank, mounted as /proc/self/mounts has it."""
    root = tmp_path / "c group"
    (root / "system.slice" / "shop.service").mkdir(parents=True)
    (root / "user.slice").mkdir()
    (root / "cgroup.procs").touch()
    file = tmp_path / "mounts"
    escaped = str(root).replace(" ", "\\040")
    file.write_text(f"proc /proc proc rw 0 0\ncgroup2 {escaped} cgroup2 rw,nosuid 0 0\n")
    return file


def test_cgroups_by_inode(mounts: Path) -> None:
    root = mounts.parent / "c group"
    paths = CgroupPaths(str(mounts))
    for path in ("/", "/system.slice", "/system.slice/shop.service", "/user.slice"):
        assert paths[(root / path.lstrip("/")).stat().st_ino] == path
    assert paths[2**40] is None
    assert paths[(root / "cgroup.procs").stat().st_ino] is None
    assert paths[root.stat().st_ino] == "/"


def test_names_of_cgroups_are_decoded(mounts: Path) -> None:
    folder = os.fsencode(mounts.parent / "c group") + b"/a\xff"
    os.mkdir(folder)
    assert CgroupPaths(str(mounts))[os.stat(folder).st_ino] == "/a\\xff"


def test_a_cgroup_that_goes_away_while_looking(mounts: Path) -> None:
    paths = CgroupPaths(str(mounts))
    root = mounts.parent / "c group"
    assert paths[root.stat().st_ino] == "/"
    (root / "user.slice").rmdir()
    assert paths[2**40] is None


@pytest.mark.parametrize("text", ["", "proc /proc proc rw 0 0\n", "\n", "cgroup2\n"])
def test_without_cgroup2_there_are_no_paths(tmp_path: Path, text: str) -> None:
    file = tmp_path / "mounts"
    file.write_text(text)
    assert cgroup_mount(str(file)) is None
    assert CgroupPaths(str(file))[1] is None
    assert CgroupPaths(str(tmp_path / "none"))[1] is None


def test_a_mount_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "mounts"
    file.write_text(f"cgroup2 {tmp_path}/none cgroup2 rw 0 0\n")
    assert CgroupPaths(str(file))[1] is None


# --- the table ---


def lines(*connections: Connection, width: int | None = None) -> list[list[str]]:
    return [text.split("\n")[1:] for text in fact_lines(connections, width)]


def test_what_is_set_is_told_in_the_words_of_ss() -> None:
    [[tcp, setup]] = lines(replace(EXTENDED, owners=()))
    assert tcp == (
        "    cubic  sack  wscale 0,7  rtt 12.345/4.1 ms  rto 204 ms  cwnd 10  mss 1448 bytes"
        "  retrans 1/4  delivery_rate 374 Gbps  busy 864000000 ms  lastsnd 271444 ms"
        "  bbr (bw 9.75 Gbps mrtt 0.042 ms pacing_gain 2.89 cwnd_gain 2)"
    )
    assert setup == (
        "    rcvbuf 1/131072 bytes  sndbuf 2/87040 bytes  fwd_alloc 4096 bytes"
        "  cgroup /a.slice  mark 0x10  device eth0  send shut"
    )


def test_where_dctcp_has_fallen_back_it_measures_nothing() -> None:
    [[line]] = lines(made(tcp_info=TcpInfo("dctcp", dctcp=Dctcp(False, 0, 0, 0, 0)), owners=()))
    assert line == "    dctcp  dctcp fallback_mode"


def test_a_window_scale_of_0_is_told() -> None:
    for scales, told in (((0, 10), "wscale 10,0"), ((0, 0), "wscale 0,0"), ((None, None), "")):
        info = TcpInfo("cubic", rcv_wscale=scales[0], snd_wscale=scales[1])
        [[line]] = lines(made(tcp_info=info, owners=()))
        assert line.split("cubic")[1].strip() == told


def test_what_is_remembered_of_texts_is_bounded() -> None:
    fact = Fact(("name",), "{}".format)
    texts = Texts(fact)
    for number in range(MOST_REMEMBERED + 1):
        assert texts[f"n{number}"] == f"  n{number}"
    assert len(texts) == 1
    assert texts["x" * 1000] == "  " + "x" * 1000
    assert len(texts) == 1


def test_lines_are_broken_between_facts_where_the_terminal_ends() -> None:
    [found] = lines(replace(EXTENDED, owners=()), width=80)
    assert max(map(len, found)) <= 80
    [[whole, below]] = lines(replace(EXTENDED, owners=()))
    assert re.sub(r"\s+", " ", " ".join(found)) == re.sub(r"\s+", " ", f"{whole} {below}")
    assert [len(line) - len(line.lstrip()) for line in found] == [4, 8, 8, 8, 4, 8]


def test_each_socket_has_its_own_lines() -> None:
    """Also where some of them have nothing, or the same."""
    other = replace(EXTENDED, tcp_info=TcpInfo("reno"), memory=None, owners=())
    mine = replace(EXTENDED, owners=())
    found = lines(made(owners=()), mine, other, NOT_EXTENDED, mine)
    assert found[0] == found[3] == []
    assert found[1] == found[4] == lines(mine)[0]
    assert found[2] == [
        "    reno",
        "    cgroup /a.slice  mark 0x10  device eth0  send shut",
    ]


def test_of_no_sockets_there_are_no_lines() -> None:
    assert lines() == []


TCP_INFOS = st.builds(
    replace,
    st.just(EXTENDED.tcp_info),
    congestion_control=HOSTILE_NAMES,
    rtt_ms=st.none() | st.floats(0.001, 1e6),
    rttvar_ms=st.floats(0, 1e6),
    bytes_sent=st.integers(0, 2**64),
    rcv_wscale=st.none() | st.integers(0, 15),
)
OPTIONS = st.builds(
    replace,
    st.just(EXTENDED.options),
    cgroup=HOSTILE_NAMES,
    bound_device=st.none() | HOSTILE_NAMES,
    upper_layer=st.none() | HOSTILE_NAMES,
)
SOCKETS = st.builds(
    replace,
    st.sampled_from((EXTENDED, NOT_EXTENDED, made())),
    tcp_info=st.none() | TCP_INFOS,
    options=st.none() | OPTIONS,
)


@given(st.lists(SOCKETS, max_size=4), st.none() | st.integers(20, 200))
def test_names_in_details_do_nothing_to_a_terminal(
    sockets: list[Connection], width: int | None
) -> None:
    screen = Screen(width=width)
    text = rendered(sockets, is_extended=True, screen=screen)
    assert not re.search(UNSAFE_IN_CELL.partition("|")[0], text.replace("\n", ""))
    assert text.count("\n") == 1 + len(sockets) + sum(
        len(below) for below in lines(*sockets, width=width)
    )


@pytest.mark.parametrize(
    ("bps", "text"),
    [
        (0, "0 bps"),
        (999, "999 bps"),
        (1000, "1 Kbps"),
        (8_000_000, "8 Mbps"),
        (9_752_368_160, "9.75 Gbps"),
        (1_070_240_895_144, "1.07024 Tbps"),
    ],
)
def test_rates(bps: int, text: str) -> None:
    assert rate_text(bps) == text


# --- formats for programs ---


def test_keys_are_there_only_when_they_were_asked_for() -> None:
    plain = json.loads(rendered([made()], "ndjson"))
    null = json.loads(rendered([NOT_EXTENDED], "ndjson"))
    assert {"tcp_info", "memory", "options"}.isdisjoint(plain)
    assert [null[key] for key in ("tcp_info", "memory", "options")] == [None, None, None]
    assert json.loads(rendered([EXTENDED], "ndjson"))["tcp_info"]["bbr"]["cwnd_gain"] == 2


def test_csv_has_three_more_columns_when_they_were_asked_for() -> None:
    header, row = rendered([made(owners=())], "csv").split("\r\n")[:2]
    assert "tcp_info" not in header
    header, row = rendered([EXTENDED], "csv", is_extended=True).split("\r\n")[:2]
    assert header.endswith(",netns,tcp_info,memory,options,dual_stack,direction")
    assert '""memory""' not in row
    assert '{""congestion_control"":""cubic"",' in row
    columns = "memory options tcp_info.sack tcp_info.rtt_ms tcp_info.bbr options.cgroup options.tos"
    rows = rendered([NOT_EXTENDED, EXTENDED], "tsv", columns=columns).split("\r\n")
    assert rows[0] == columns.replace(" ", "\t")
    assert rows[1] == "\t" * 6
    bbr = '"{""bandwidth_bps"":9752368160,""min_rtt_ms"":0.042,'
    bbr += '""pacing_gain"":2.88671875,""cwnd_gain"":2.0}"'
    assert rows[2].split("\t")[2:] == [
        "true",
        "12.345",
        bbr,
        "/a.slice",
        "0",
    ]


# --- columns for a part of a key ---


def test_every_part_is_a_column() -> None:
    assert len(part_names()) == sum(len(parts.__struct_fields__) for parts in PARTS.values())
    for name in part_names():
        column = find_column(name)
        assert column.name == name
        assert column.cells([NOT_EXTENDED, made()]) == ["-", "-"]
        assert column.value(made()) is None


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("tcp_info.rtt_ms", "12.345"),
        ("TCP-INFO.rtt-ms", "12.345"),
        ("tcp_info.sack", "true"),
        ("tcp_info.lost_segments", "0"),
        ("tcp_info.congestion_control", "cubic"),
        ("tcp_info.min_rtt_ms", "-"),
        ("tcp_info.bbr.cwnd_gain", "2.0"),
        ("tcp_info.vegas.rtt_ms", "-"),
        ("memory.drops", "0"),
        ("options.cgroup", "/a.slice"),
    ],
)
def test_cells_of_parts(name: str, cell: str) -> None:
    assert find_column(name).cells([EXTENDED]) == [cell]


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("tcp_info.rtt", "unknown column 'tcp_info.rtt'; did you mean tcp_info.rtt_ms?"),
        ("timer.kinds", "unknown column 'timer.kinds'; did you mean timer.kind?"),
        ("options.marks", "unknown column 'options.marks'; did you mean options.mark?"),
    ],
)
def test_a_part_that_is_not_there(word: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        find_column(word)
    assert str(caught.value) == message


def test_sorting_by_a_part() -> None:
    def with_rtt(rtt: float | None) -> Connection:
        return made(tcp_info=TcpInfo(rtt_ms=rtt))

    rows = [with_rtt(30), NOT_EXTENDED, with_rtt(4), with_rtt(None), with_rtt(200), made()]
    text = rendered(rows, "ndjson", columns="tcp_info.rtt_ms", sort="-tcp_info.rtt_ms")
    found = [json.loads(line)["tcp_info.rtt_ms"] for line in text.splitlines()]
    assert found == [200, 30, 4, None, None, None]


@pytest.mark.parametrize(
    ("options", "is_needed"),
    [
        ({}, False),
        ({"columns": "local timer.kind"}, False),
        ({"columns": "memory"}, True),
        ({"columns": "options.mark"}, True),
        ({"sort": "-tcp_info.rtt_ms"}, True),
        ({"is_extended": True}, True),
    ],
)
def test_what_is_shown_or_sorted_by_is_asked_for(options: dict[str, Any], is_needed: bool) -> None:
    from tests.records import presentation

    assert presentation("json", **options).needs_extended is is_needed


def test_the_envelope_does_not_change() -> None:
    document = json.loads(rendered([EXTENDED], "json", is_extended=True))
    assert document["host"] == ENVELOPE.host
    assert len(document["connections"]) == 1
