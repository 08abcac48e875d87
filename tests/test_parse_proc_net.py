from __future__ import annotations

import ipaddress
import re
import sys
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.errors import ParseError
from netinspect.model import Connection, Table, Timer
from netinspect.parse.address import MOST_REMEMBERED
from netinspect.parse.proc_net import (
    FILES,
    HexAddress,
    icmp_inodes,
    inet_key,
    inet_records,
    inet_states,
    parse,
    split_inet_rows,
)

FIXTURES = Path(__file__).parent / "fixtures/linux/proc/self/net"
TCP4, TCP6 = Table("tcp", "ipv4"), Table("tcp", "ipv6")
UDP4, UDP6 = Table("udp", "ipv4"), Table("udp", "ipv6")
RAW4, ICMP4 = Table("raw", "ipv4"), Table("icmp", "ipv4")
UNIX = Table("unix", "unix")
INET_TABLES = [table for table in FILES if table != UNIX]
USERS = {0: "root", 1000: "ada", 65534: "nobody"}

TCP_HEADER = (
    b"sl local_address rem_address st tx_queue rx_queue tr tm->when retrnsmt uid timeout inode"
)
DATAGRAM_HEADER = TCP_HEADER + b" ref pointer drops"

LISTENER = (
    b"   0: 0100007F:1F90 00000000:0000 0A 00000000:00000002 00:00000000 00000000"
    b"  1000        0 75705 3 00000000ae4c4e79 100 0 0 10 0                     "
)
TIME_WAIT = (
    b"   3: 0100007F:1F90 0100007F:A2DC 06 00000000:00000000 03:0000176C 00000000"
    b"     0        0 0 3 00000000e06c12e2                                      "
)
DATAGRAM = (
    b" 5683: 00000000:0035 00000000:0000 07 00000000:00000D00 00:00000000 00000000"
    b"  1000        0 75708 2 00000000522a2a4f 17         "
)


def fixture(table: Table) -> bytes:
    return (FIXTURES / FILES[table]).read_bytes()


def decode(row: bytes, table: Table = TCP4, ticks_per_second: int = 100) -> Connection:
    """The one record of one row."""
    rows, skipped = split_inet_rows(row + b"\n", table)
    assert skipped == 0
    (record,) = inet_records(rows, table, USERS, ticks_per_second)
    return record


def tcp_row(**fields: str) -> bytes:
    """A TCP row as get_tcp4_sock() prints it, an established connection but for these fields."""
    values = {
        "sl": "   7",
        "local": "0100007F:1F90",
        "remote": "0100007F:A2DC",
        "state": "01",
        "queues": "00000000:00000000",
        "timer": "00:00000000",
        "retransmits": "00000000",
        "uid": " 1000",
        "timeout": "       0",
        "inode": "75705",
        "ref": "1",
        "pointer": "00000000ae4c4e79",
        "rest": " 20 4 30 10 -1",
        **fields,
    }
    return (
        "{sl}: {local} {remote} {state} {queues} {timer} {retransmits} {uid} {timeout} "
        "{inode} {ref} {pointer}{rest}".format(**values).encode()
    )


# What the kernel really printed


@pytest.mark.parametrize("table", FILES, ids=FILES.values())
def test_fixture(table: Table) -> None:
    connections, skipped = parse(fixture(table), table, USERS)
    expected = msgspec.json.decode((FIXTURES / f"{FILES[table]}.json").read_bytes())
    assert skipped == expected["rows_skipped"]
    assert msgspec.json.decode(msgspec.json.encode(connections)) == expected["connections"]


# Every field


def test_listener() -> None:
    assert decode(LISTENER) == Connection(
        "tcp",
        "ipv4",
        "stream",
        "LISTEN",
        local_address="127.0.0.1",
        remote_address=None,
        local_port=8080,
        remote_port=None,
        ip_protocol=None,
        interface=None,
        recv_q=2,
        send_q=None,
        uid=1000,
        user="ada",
        inode=75705,
        cookie=None,
        owner_status="not_requested",
        exposure="loopback",
    )


def test_time_wait_is_nobodys() -> None:
    assert decode(TIME_WAIT) == Connection(
        "tcp",
        "ipv4",
        "stream",
        "TIME_WAIT",
        local_address="127.0.0.1",
        remote_address="127.0.0.1",
        local_port=8080,
        remote_port=41692,
        ip_protocol=None,
        interface=None,
        recv_q=0,
        send_q=0,
        uid=None,
        user=None,
        inode=None,
        cookie=None,
        owner_status="none",
        timer=Timer("time_wait", 59960, 0),
    )


def test_datagram() -> None:
    assert decode(DATAGRAM, UDP4) == Connection(
        "udp",
        "ipv4",
        "dgram",
        "UNCONN",
        local_address="0.0.0.0",
        remote_address=None,
        local_port=53,
        remote_port=None,
        ip_protocol=None,
        interface=None,
        recv_q=3328,
        send_q=0,
        uid=1000,
        user="ada",
        inode=75708,
        cookie=None,
        owner_status="not_requested",
        drops=17,
        exposure="any",
    )


@pytest.mark.parametrize(
    ("number", "state"),
    [
        ("01", "ESTABLISHED"),
        ("02", "SYN_SENT"),
        ("03", "SYN_RECV"),
        ("04", "FIN_WAIT1"),
        ("05", "FIN_WAIT2"),
        ("06", "TIME_WAIT"),
        ("07", "BOUND"),
        ("08", "CLOSE_WAIT"),
        ("09", "LAST_ACK"),
        ("0A", "LISTEN"),
        ("0B", "CLOSING"),
        ("0F", "UNKNOWN"),
        ("FF", "UNKNOWN"),
    ],
)
def test_tcp_states(number: str, state: str) -> None:
    row = tcp_row(state=number)
    assert decode(row).state == state
    rows, _ = split_inet_rows(row + b"\n", TCP4)
    assert inet_states(rows, TCP4) == [state]


def test_closed_without_a_port_is_not_bound() -> None:
    row = tcp_row(state="07", local="00000000:0000", remote="00000000:0000")
    assert decode(row).state == "CLOSE"
    rows, _ = split_inet_rows(row + b"\n", TCP4)
    assert inet_states(rows, TCP4) == ["CLOSE"]


@pytest.mark.parametrize("state", ["07", "0A"])
def test_no_peer_without_a_connection(state: str) -> None:
    record = decode(tcp_row(state=state))
    assert (record.remote_address, record.remote_port) == (None, None)


def test_connected_datagram_socket_has_a_peer() -> None:
    row = DATAGRAM.replace(b" 07 ", b" 01 ").replace(b"00000000:0000 ", b"08080808:01BB ")
    record = decode(row, UDP4)
    assert (record.state, record.remote_address, record.remote_port, record.exposure) == (
        "ESTABLISHED",
        "8.8.8.8",
        443,
        None,
    )


def test_queues() -> None:
    record = decode(tcp_row(queues="0039F200:FFFFFFFF"))
    assert (record.send_q, record.recv_q) == (3797504, 4294967295)


@pytest.mark.parametrize(
    ("timer", "retransmits", "timeout", "expected"),
    [
        ("00:00000000", "00000003", "       4", None),
        ("01:0000005A", "00000010", "       4", Timer("retransmit", 900, 16)),
        ("02:000AFC75", "00000010", "       4", Timer("keepalive", 7199890, 4)),
        ("03:0000176C", "00000000", "       0", Timer("time_wait", 59960, 0)),
        ("04:0000000E", "00000010", "       4", Timer("zero_window", 140, 4)),
        ("04:100000000", "00000000", "       1", Timer("zero_window", 42949672960, 1)),
        ("09:00000001", "00000000", "       0", None),
    ],
)
def test_timers(timer: str, retransmits: str, timeout: str, expected: Timer | None) -> None:
    row = tcp_row(timer=timer, retransmits=retransmits, timeout=timeout)
    assert decode(row).timer == expected


def test_timers_count_in_the_ticks_of_their_machine() -> None:
    row = tcp_row(timer="01:00000064")
    assert decode(row, ticks_per_second=1000).timer == Timer("retransmit", 100, 0)
    assert decode(row, ticks_per_second=1024).timer == Timer("retransmit", 97, 0)


def test_orphan_keeps_its_user_unless_it_may_be_nobodys() -> None:
    assert decode(tcp_row(inode="0")).uid == 1000
    assert decode(tcp_row(inode="0", uid="    0")).uid is None


def test_pending_handshake_shows_the_user_of_its_listener_but_has_none() -> None:
    row = tcp_row(state="03", inode="0", rest="   ")
    record = decode(row)
    assert (record.uid, record.user, record.inode, record.owner_status) == (
        None,
        None,
        None,
        "none",
    )


def test_unknown_user() -> None:
    rows, _ = split_inet_rows(tcp_row() + b"\n", TCP4)
    (record,) = inet_records(rows, TCP4, {1000: None})
    assert (record.uid, record.user) == (1000, None)


def test_wide_numbers() -> None:
    record = decode(tcp_row(sl="200000", inode="4294967295", ref="-1073741824"))
    assert record.inode == 4294967295


def test_columns_of_a_later_kernel_are_passed_over() -> None:
    assert decode(LISTENER.rstrip() + b" 5 6") == decode(LISTENER)
    assert decode(DATAGRAM.rstrip() + b" 5 6", UDP4) == decode(DATAGRAM, UDP4)


def test_drops_that_older_kernels_print_signed() -> None:
    assert decode(DATAGRAM.replace(b" 17 ", b" -1 "), UDP4).drops == 4294967295


def test_raw_socket_has_a_protocol_and_no_ports() -> None:
    record = decode(DATAGRAM.replace(b":0035", b":00FF"), RAW4)
    assert (record.protocol, record.type, record.ip_protocol) == ("raw", "raw", 255)
    assert (record.local_port, record.remote_port, record.exposure) == (None, None, "any")


def test_connected_raw_socket_has_a_peer_without_a_port() -> None:
    record = decode(DATAGRAM.replace(b" 07 ", b" 01 "), RAW4)
    assert (record.remote_address, record.remote_port) == ("0.0.0.0", None)


def test_ping_socket_has_neither_protocol_nor_ports() -> None:
    record = decode(DATAGRAM, ICMP4)
    assert (record.protocol, record.type, record.ip_protocol) == ("icmp", "dgram", None)
    assert (record.local_port, record.remote_port, record.drops) == (None, None, 17)


# Addresses


@pytest.mark.parametrize(
    ("printed", "text"),
    [
        (b"0000000000000000FFFF00000100007F", "::ffff:127.0.0.1"),
        (b"00000000000000000000000001000000", "::1"),
        (b"00000000000000000000000000000000", "::"),
        (b"000080FE000000000000000001000000", "fe80::1"),
        (b"B80D0120000000000000000034120000", "2001:db8::1234"),
    ],
)
def test_ipv6_addresses_of_little_endian_machines(printed: bytes, text: str) -> None:
    assert HexAddress("ipv6", "little")[printed] == text


def test_addresses_of_big_endian_machines() -> None:
    assert HexAddress("ipv4", "big")[b"7F000001"] == "127.0.0.1"
    assert HexAddress("ipv6", "big")[b"20010DB8000000000000000000001234"] == "2001:db8::1234"


def test_addresses_are_forgotten_when_there_are_too_many() -> None:
    addresses = HexAddress("ipv4", "big")
    for number in range(MOST_REMEMBERED + 1):
        assert addresses[b"%08X" % number] == str(ipaddress.IPv4Address(number))
    assert len(addresses) == 1


# Rows that cannot be read


@pytest.mark.parametrize(
    "row",
    [
        LISTENER[:70],
        tcp_row(rest=" 20 4 30 10"),
        tcp_row(rest=" 20"),
        tcp_row(local="0100007G:1F90"),
        tcp_row(local="100007F:1F90"),
        tcp_row(local="0100007F"),
        tcp_row(local="0100007F:1f90"),
        tcp_row(state="1"),
        tcp_row(queues="00000000"),
        tcp_row(uid="-1"),
        tcp_row(inode="7" * 5000),
        tcp_row(timer="01:" + "F" * 5000),
        tcp_row(sl="sl"),
        b"",
        b"\x00\xff",
    ],
)
def test_bad_row_between_good_ones_is_counted(row: bytes) -> None:
    block = b"\n".join([LISTENER, row, TIME_WAIT, b""])
    rows, skipped = split_inet_rows(block, TCP4)
    assert skipped == 1
    assert inet_records(rows, TCP4, USERS) == [decode(LISTENER), decode(TIME_WAIT)]


def test_row_of_udp_is_none_of_tcp() -> None:
    assert split_inet_rows(DATAGRAM + b"\n", TCP4) == ([], 1)
    assert split_inet_rows(LISTENER + b"\n", UDP6) == ([], 1)
    assert split_inet_rows(TIME_WAIT + b"\n", UDP4) == ([], 1)


@pytest.mark.parametrize("table", INET_TABLES, ids=str)
def test_every_truncation(table: Table) -> None:
    """The row that is cut is counted, even where it could be taken for a whole one."""
    header, _, rows = fixture(table).partition(b"\n")
    whole, _ = parse(fixture(table), table, USERS)
    for end in range(len(rows) + 1):
        cut = rows[:end]
        count = cut.count(b"\n")
        expected = (whole[:count], 0 if cut[-1:] in (b"\n", b"") else 1)
        assert parse(header + b"\n" + cut, table, USERS) == expected


@pytest.mark.parametrize(
    ("data", "table", "expected", "found"),
    [
        (b"", TCP4, TCP_HEADER, b""),
        (b"hello\n", TCP4, TCP_HEADER, b"hello"),
        (TCP_HEADER[:-1], TCP4, TCP_HEADER, TCP_HEADER[:-1]),
        (LISTENER, TCP4, TCP_HEADER, LISTENER[:120].strip()),
        (DATAGRAM_HEADER, TCP4, TCP_HEADER, DATAGRAM_HEADER),
        (TCP_HEADER, UDP4, DATAGRAM_HEADER, TCP_HEADER),
        (TCP_HEADER, TCP6, TCP_HEADER.replace(b"rem", b"remote"), TCP_HEADER),
        (b"\x1b[2J" + b"x" * 200, UNIX, b"Num RefCount Protocol Flags Type St Inode Path", None),
    ],
)
def test_other_files(data: bytes, table: Table, expected: bytes, found: bytes | None) -> None:
    shown = "\x1b[2J" + "x" * 116 if found is None else found.decode()
    message = (
        f"/proc/net/{FILES[table]} line 1: expected the header '{expected.decode()}', "
        f"found '{shown}'"
    )
    with pytest.raises(ParseError) as caught:
        parse(data, table, USERS)
    assert str(caught.value) == message


# What tells one row from another


def key(**fields: str) -> bytes:
    ((row,), _) = split_inet_rows(tcp_row(**fields) + b"\n", TCP4)
    return inet_key(row)


def test_key_of_a_socket_with_inode_is_address_pair_and_inode() -> None:
    assert key() == key(state="08", pointer="0" * 16, uid="    0", sl="   9")
    for other in ({"inode": "75706"}, {"local": "0200007F:1F90"}, {"remote": "0100007F:A2DD"}):
        assert key() != key(**other)


def test_key_of_a_socket_without_inode_is_the_pointer() -> None:
    assert key(inode="0") == key(inode="0", state="04")
    assert key(inode="0") != key(inode="0", pointer="00000000ae4c4e70")


def test_key_without_inode_and_pointer_is_the_state() -> None:
    hidden = {"inode": "0", "pointer": "0" * 16}
    assert key(**hidden, state="06") == key(**hidden, state="06", timer="03:00000001")
    assert key(**hidden, state="06") != key(**hidden, state="03")


def test_inodes_that_surely_belong_to_icmp6() -> None:
    inodes = {record.inode for record in parse(fixture(ICMP4), ICMP4, USERS)[0]}
    icmp6 = Table("icmp", "ipv6")
    all_inodes = {record.inode for record in parse(fixture(icmp6), icmp6, USERS)[0]}
    assert inodes < all_inodes, "the kernel prints IPv4 sockets here too"
    assert {int(inode) for inode in icmp_inodes(fixture(icmp6).partition(b"\n")[2])} == (
        all_inodes - inodes
    )


def test_wildcards_that_follow_in_a_chain_may_be_of_the_other_family() -> None:
    def row(chain: bytes, address: bytes, inode: bytes) -> bytes:
        printed = DATAGRAM.replace(b"5683", chain).replace(b"00000000:0035", address + b":0001")
        return printed.replace(b"75708", inode) + b"\n"

    any_host, loopback = b"00000000", b"0100007F"
    block = row(b"1", any_host, b"10") + row(b"1", any_host, b"11") + row(b"1", loopback, b"12")
    assert icmp_inodes(block + row(b"2", any_host, b"13")) == {b"10", b"12", b"13"}
    assert icmp_inodes(b"1: torn") == set()


# Properties

U32 = st.integers(0, 2**32 - 1)


def host_endian_hex(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> str:
    """As the kernel prints it: each word of the packed address as a number of this machine's."""
    words = [address.packed[i : i + 4] for i in range(0, len(address.packed), 4)]
    return "".join(f"{int.from_bytes(word, sys.byteorder):08X}" for word in words)


@given(
    version=st.sampled_from([4, 6]),
    data=st.data(),
    ports=st.tuples(st.integers(0, 65535), st.integers(0, 65535)),
    queues=st.tuples(U32, U32),
    uid=U32,
    inode=U32,
    drops=U32,
)
def test_round_trip(
    version: Any, data: st.DataObject, ports: Any, queues: Any, **numbers: int
) -> None:
    local, remote = (data.draw(st.ip_addresses(v=version)) for _ in range(2))
    uid, inode, drops = numbers["uid"], numbers["inode"], numbers["drops"]
    line = (
        f"{7:5d}: {host_endian_hex(local)}:{ports[0]:04X} {host_endian_hex(remote)}:{ports[1]:04X}"
        f" 01 {queues[0]:08X}:{queues[1]:08X} 00:00000000 00000000 {uid:5d} {0:8d} {inode} 2 "
        f"{0xFFFF:016x} {drops}"
    )
    table = UDP4 if version == 4 else UDP6
    rows, _ = split_inet_rows(line.encode() + b"\n", table)
    (record,) = inet_records(rows, table, {uid: "ada"})
    assert ipaddress.ip_address(record.local_address or "") == local
    assert ipaddress.ip_address(record.remote_address or "") == remote
    assert (record.local_port, record.remote_port) == ports
    assert (record.send_q, record.recv_q) == queues
    assert record.uid == (uid if uid or inode else None)
    assert (record.inode or 0, record.drops) == (inode, drops)


@given(table=st.sampled_from(list(FILES)), data=st.binary())
def test_random_bytes_are_another_file(table: Table, data: bytes) -> None:
    with pytest.raises(ParseError):
        parse(data, table, USERS)


ROW_PIECES = st.sampled_from(
    [
        *re.split(rb"(?<= )", LISTENER + DATAGRAM + TIME_WAIT),
        b"\n",
        b" ",
        b"\x00",
        b"-1",
        b"FFFFFFFF",
    ]
)


@given(
    table=st.sampled_from(INET_TABLES),
    data=st.binary() | st.lists(ROW_PIECES, max_size=60).map(b"".join),
)
def test_every_line_is_a_row_or_counted(table: Table, data: bytes) -> None:
    rows, skipped = split_inet_rows(data, table)
    assert len(inet_records(rows, table, dict.fromkeys(range(100000)))) == len(rows)
    assert len(rows) + skipped == data.count(b"\n") + (data[-1:] not in (b"\n", b""))


@given(st.binary())
def test_icmp_inodes_never_fails(data: bytes) -> None:
    icmp_inodes(data)
