"""The kernel's settings and counters: their text, and reading them."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.errors import ParseError, SourceError
from netinspect.parse.proc_counters import parse_counters, parse_sockstat
from netinspect.parse.proc_sys import parse_numbers, parse_ports
from netinspect.settings import Settings
from netinspect.sources.settings import read_counters, read_settings
from tests.namespace import private_network, why_not

on_linux = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: /proc")
WHY_NOT = why_not()
needs_network = pytest.mark.skipif(WHY_NOT is not None, reason=str(WHY_NOT))

PORTS = st.tuples(st.integers(0, 65535), st.integers(0, 65535)).map(sorted).map(tuple)


@pytest.mark.parametrize(
    ("text", "numbers"), [("2\n", [2]), ("-1\n", [-1]), ("32768\t60999\n", [32768, 60999])]
)
def test_numbers(text: str, numbers: list[int]) -> None:
    assert parse_numbers(text, len(numbers)) == numbers


@pytest.mark.parametrize(
    ("text", "count", "message"),
    [
        ("", 1, "expected a number, found ''"),
        ("two\n", 1, "expected a number, found 'two'"),
        ("1 2\n", 1, "expected a number, found '1 2'"),
        ("32768\n", 2, "expected 2 numbers, found '32768'"),
        ("1\n2\n", 2, "expected 2 numbers, found '1\\n2'"),
    ],
)
def test_no_numbers(text: str, count: int, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_numbers(text, count)
    assert str(caught.value) == message


@given(st.lists(PORTS))
def test_ports_come_back(ranges: list[tuple[int, int]]) -> None:
    words = [f"{low}" if low == high else f"{low}-{high}" for low, high in ranges]
    assert parse_ports(",".join(words) + "\n") == tuple(ranges)


@pytest.mark.parametrize("word", ["http", "1-", "2-1", "65536", "1-65536", "1-2-3", "", "-1"])
def test_no_ports(word: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_ports(f"22,{word}")
    assert str(caught.value) == f"expected ports such as 8080 or 9000-9010, found {word!r}"


SNMP = """\
Ip: Forwarding DefaultTTL
Ip: 2 64
Tcp: MaxConn ActiveOpens
Tcp: -1 1804
"""


def test_counters() -> None:
    assert parse_counters(SNMP) == {
        "Ip.Forwarding": 2,
        "Ip.DefaultTTL": 64,
        "Tcp.MaxConn": -1,
        "Tcp.ActiveOpens": 1804,
    }
    assert parse_counters("") == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Tcp: A\n", "expected pairs of lines, found 1 lines"),
        ("Tcp: A\nUdp: 1\n", "expected the values of 'Tcp', found 'Udp: 1'"),
        ("Tcp\nTcp\n", "expected the values of 'Tcp', found 'Tcp'"),
        ("Tcp: A B\nTcp: 1\n", "Tcp: expected 2 values, found 1"),
        ("Tcp: A\nTcp: one\n", "Tcp: expected a number, found 'one'"),
    ],
)
def test_no_counters(text: str, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_counters(text)
    assert str(caught.value) == message


def test_sockstat() -> None:
    text = "sockets: used 15\nTCP: inuse 1 orphan 0 tw 27 alloc 1 mem 171\n"
    assert parse_sockstat(text) == {
        "sockets.used": 15,
        "TCP.inuse": 1,
        "TCP.orphan": 0,
        "TCP.tw": 27,
        "TCP.alloc": 1,
        "TCP.mem": 171,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("TCP inuse 1\n", "expected names and numbers, found 'TCP inuse 1'"),
        ("TCP: inuse\n", "expected names and numbers, found 'TCP: inuse'"),
        ("TCP: inuse 1x\n", "TCP: expected a number, found '1x'"),
    ],
)
def test_no_sockstat(text: str, message: str) -> None:
    with pytest.raises(ParseError) as caught:
        parse_sockstat(text)
    assert str(caught.value) == message


@given(st.text())
def test_nothing_but_a_parse_error(text: str) -> None:
    for parse in (parse_counters, parse_sockstat, parse_ports, lambda t: parse_numbers(t, 1)):
        try:
            parse(text)
        except ParseError:
            continue


def make_proc(root: Path, **values: str) -> str:
    """A /proc with these settings of net.ipv4."""
    folder = root / "sys" / "net" / "ipv4"
    folder.mkdir(parents=True)
    for name, value in values.items():
        (folder / name).write_text(value)
    return str(root)


@on_linux
def test_settings_of_linux(tmp_path: Path) -> None:
    root = make_proc(
        tmp_path,
        ip_local_port_range="41000\t41063\n",
        ip_local_reserved_ports="41000,41010-41011\n",
        tcp_tw_reuse="2\n",
        tcp_tw_reuse_delay="1000\n",
        tcp_timestamps="1\n",
        tcp_max_tw_buckets="131072\n",
        tcp_fin_timeout="60\n",
        ip_unprivileged_port_start="1024\n",
    )
    (tmp_path / "sys" / "net" / "ipv6").mkdir()
    (tmp_path / "sys" / "net" / "ipv6" / "bindv6only").write_text("0\n")
    assert read_settings(root) == Settings(
        ephemeral_range=(41000, 41063),
        reserved_ports=((41000, 41000), (41010, 41011)),
        time_wait_seconds=60,
        tcp_max_tw_buckets=131072,
        tcp_tw_reuse=2,
        tcp_tw_reuse_delay_ms=1000,
        tcp_timestamps=1,
        tcp_fin_timeout_seconds=60,
        unprivileged_port_start=1024,
        bindv6only=False,
    )


@on_linux
def test_a_kernel_that_can_change_the_length_of_time_wait(tmp_path: Path) -> None:
    assert read_settings(make_proc(tmp_path, tcp_tw_timeout="5\n")).time_wait_seconds == 5


@on_linux
def test_where_proc_has_no_sys(tmp_path: Path) -> None:
    assert read_settings(str(tmp_path)) == Settings(time_wait_seconds=60)
    assert read_counters(str(tmp_path)) == {}


@on_linux
def test_a_setting_that_cannot_be_understood(tmp_path: Path) -> None:
    root = make_proc(tmp_path, ip_local_port_range="all\n")
    with pytest.raises(SourceError) as caught:
        read_settings(root)
    path = f"{tmp_path}/sys/net/ipv4/ip_local_port_range"
    assert str(caught.value) == f"{path}: expected 2 numbers, found 'all'"


@pytest.mark.skipif(sys.platform == "linux", reason="for the systems that have no /proc/sys")
def test_settings_of_another_system() -> None:
    assert read_settings("/no/such/folder") == Settings()


@on_linux
def test_this_machine() -> None:
    settings, counters = read_settings(), read_counters()
    assert settings.ephemeral_range is not None
    assert settings.time_wait_seconds
    assert {"Tcp.ActiveOpens", "TcpExt.TW", "TcpExt.TCPAbortOnClose", "TCP.tw"} <= set(counters)


@needs_network
@pytest.mark.live
def test_they_are_those_of_the_network_namespace() -> None:
    with private_network():
        Path("/proc/sys/net/ipv4/ip_local_port_range").write_text("41000 41063")
        Path("/proc/sys/net/ipv4/ip_local_reserved_ports").write_text("41001,41003-41005")
        settings = read_settings()
        assert settings.ephemeral_range == (41000, 41063)
        assert settings.reserved_ports == ((41001, 41001), (41003, 41005))
        assert read_counters()["Tcp.ActiveOpens"] == 0
    assert read_settings() != settings
