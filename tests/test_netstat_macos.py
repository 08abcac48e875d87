"""macOS netstat: every layout, every state, real captures, and what a stranger may put into it."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from netinspect.model import Connection, Owner, State, decode_name
from netinspect.parse.captured import Fault, Faults
from netinspect.parse.netstat_macos import FORMAT, ListenQueues, read
from tests.macos_format import LAYOUTS, Counters, Inet, Layout, Unix, inet_row, unix_row
from tests.macos_roots import CONNECTED, NAMED, QUEUES, RELEASES, TCP, UDP, UNIX, outputs, tcp_of

CAPTURES = Path(__file__).parent / "fixtures/macos"
# What grep -cE counts: the rows of sockets that the record knows
INET_ROWS = re.compile(r"^([0-9a-f]{16} [ 0-9a-f]{8} )?(tcp|udp|icm)(4|6|46) ", re.MULTILINE)
UNIX_SOCKETS = re.compile(r"^[0-9a-f]{16} (stream|dgram) ", re.MULTILINE)
OTHER_ROWS = re.compile(r"^([0-9a-f]{16} )?(kevt|kctl) |^ +[0-9a-f]+ .* com\.", re.MULTILINE)
STATES: dict[str, State] = {
    "SYN_SENT": "SYN_SENT",
    "SYN_RCVD": "SYN_RECV",
    "ESTABLISHED": "ESTABLISHED",
    "CLOSE_WAIT": "CLOSE_WAIT",
    "FIN_WAIT_1": "FIN_WAIT1",
    "CLOSING": "CLOSING",
    "LAST_ACK": "LAST_ACK",
    "FIN_WAIT_2": "FIN_WAIT2",
    "TIME_WAIT": "TIME_WAIT",
    "LISTEN": "LISTEN",
    "CLOSED": "CLOSE",
}


def lines_of(name: str) -> list[str]:
    text = (CAPTURES / name).read_bytes().decode("utf-8", "surrogateescape")
    return text.split("\n")


def read_all(*lines: str, queues: ListenQueues | None = None) -> tuple[list[Connection], Faults]:
    faults = Faults()
    return [c for batch in read(lines, faults, queues) for c in batch], faults


def record(line: str) -> Connection:
    """The one socket of one line, without any fault or remark."""
    connections, faults = read_all(line)
    assert (faults.kept, faults.all_notes()) == ([], [])
    (connection,) = connections
    return connection


def remarks(faults: Faults) -> dict[str, int | None]:
    return {note.code: note.count for note in faults.all_notes()}


def owner_of(socket: Inet | Unix, layout: Layout) -> Owner | None:
    """Whom the columns of a layout tell."""
    if isinstance(socket, Unix) and layout in ("A", "B"):
        return None
    return Owner(socket.pid, (socket.name or None) if layout == "E" else None, None)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("socket", [*TCP, *UDP], ids=lambda s: f"{s.protocol} {s.state} {s.local}")
def test_a_row_of_each_layout(socket: Inet, layout: Layout) -> None:
    found = record(inet_row(socket, layout))
    owner = owner_of(socket, layout)
    assert owner is not None
    assert (found.pid, found.process, found.owners) == (owner.pid, owner.process, (owner,))
    assert found.owner_status == "known"
    assert (found.protocol, found.uid, found.inode) == (socket.protocol[:3], None, None)
    assert found.family == ("ipv6" if "6" in socket.protocol else "ipv4")
    wildcard = "::" if found.family == "ipv6" else "0.0.0.0"
    assert found.local_address == socket.local[0].replace("*", wildcard)
    assert found.local_port == int(socket.local[1].replace("*", "0"))
    has_peer = socket.remote != ("*", "*") and socket.state != "CLOSED"
    assert found.remote_address == (socket.remote[0] if has_peer else None)
    assert found.remote_port == (int(socket.remote[1]) if has_peer else None)
    is_listener = socket.state == "LISTEN"
    queues = (None, None) if is_listener else (socket.recv_q, socket.send_q)
    assert (found.recv_q, found.send_q) == queues


@pytest.mark.parametrize("layout", LAYOUTS)
def test_there_are_three_rows_of_each_state_in_each_layout(layout: Layout) -> None:
    rows = [inet_row(socket, layout) for socket in TCP]
    states = Counter(socket.state for socket in TCP)
    assert set(states) == set(STATES)
    assert min(states.values()) >= 3
    found, _ = read_all(*rows)
    expected: Counter[str] = Counter(STATES[s.state] for s in TCP)
    expected.update({"BOUND": 1, "CLOSE": -1})  # closed with a port and without a peer
    assert Counter(c.state for c in found) == expected


@pytest.mark.parametrize("release", RELEASES, ids=lambda r: r.name)
@pytest.mark.parametrize("flags", ["", "-v", "-l", "-v-l"])
def test_whole_outputs(release: Any, flags: str) -> None:
    """Every release with any flags tells the same sockets; the header is no guide."""
    texts = outputs(release)
    found, faults = read_all(*texts[f"tcp{flags}"].split("\n"), *texts[f"udp{flags}"].split("\n"))
    assert faults.count == 0
    assert len(found) == len(tcp_of(release)) + len(UDP)
    assert {c.owner_status for c in found} == {"known" if "-v" in flags else "unsupported"}
    # The addresses of 16 characters and more; those on fe80 have lost their zone as well
    cut = sum(len(h) >= 16 for s in (*tcp_of(release), *UDP) for h in (s.local[0], s.remote[0]))
    assert remarks(faults) == ({} if "-l" in flags else {"truncated_address": cut})


def test_dual_stack_is_told_of_listeners_on_all_addresses() -> None:
    def dual(line: str) -> bool | object:
        return record(line).dual_stack

    assert dual("tcp46      0      0  *.80     *.*    LISTEN     ") is True
    assert dual("tcp6       0      0  *.80     *.*    LISTEN     ") is False
    assert dual("udp46      0      0  *.5353   *.*               ") is True
    assert dual("tcp4       0      0  *.80     *.*    LISTEN     ") is UNSET
    assert dual("tcp6       0      0  ::1.80   *.*    LISTEN     ") is UNSET


def test_ipv4_in_a_socket_of_both_families() -> None:
    found = record("udp46      0      0  192.0.2.1.80   198.51.100.1.53   ")
    assert (found.family, found.local_address) == ("ipv6", "::ffff:192.0.2.1")
    assert found.remote_address == "::ffff:198.51.100.1"


def test_the_exposure_of_listeners() -> None:
    found = {c.local_address: c.exposure for c in read_all(*(inet_row(s, "E") for s in TCP))[0]}
    assert found["127.0.0.1"] is None or found["::1"] == "loopback"
    assert (found["::"], found["fe80::1%lo0"]) == ("any", "link")


@pytest.mark.parametrize(
    ("state", "expected"),
    [("ESTABLISHED*", "ESTABLISHED"), ("CLOSING*", "CLOSING"), ("11", "UNKNOWN")],
)
def test_states_of_old_releases(state: str, expected: State) -> None:
    row = f"tcp4       0      0  127.0.0.1.1   127.0.0.1.2   {state} 131072 131072 340 0"
    assert record(row).state == expected


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Antigravity IDE ", "Antigravity IDE "),
        ("a:b 0 1:80", "a:b 0 1:80"),
        ("", None),
        ("12 34", "12 34"),
        ("caf\xe9", "caf\xe9"),
        ("caf\udcc3", "caf\\xc3"),
        ("back\\slash", "back\\\\slash"),
        ("\u3000sshd\u2003", "\u3000sshd\u2003"),
    ],
)
def test_names_of_processes(name: str, expected: str | None) -> None:
    found = record(inet_row(NAMED[0]._replace(name=name), "E"))
    assert found.owners == (Owner(2086, expected, None),)
    assert (found.pid, found.process, found.owner_status) == (2086, expected, "known")


@given(
    st.text(max_size=16).filter(lambda s: not s.startswith(" ") and "\n" not in s),
    st.integers(0, 99999),
)
def test_any_name_comes_back(name: str, pid: int) -> None:
    connections, faults = read_all(inet_row(NAMED[0]._replace(name=name, pid=pid), "E"))
    assert faults.count == 0
    expected = decode_name(name.encode("utf-8", "surrogatepass")) if name else None
    if name.isprintable():
        assert connections[0].owners == (Owner(pid, expected, None),)
    assert connections[0].pid == pid


def test_a_row_of_26_that_lost_its_owner() -> None:
    row = inet_row(NAMED[0], "E").replace("Antigravity IDE :2086  ", " " * 23)
    found = record(row)
    assert (found.owners, found.owner_status) == ((), "unsupported")


def test_counters_and_packets_with_vv() -> None:
    row = (
        "tcp4       0      0  127.0.0.1.1   127.0.0.1.2   ESTABLISHED     13928/12      2265/9"
        "  131072  131600   Comet: Helper:340           agentd:77     00102 00000008"
        " 0000000000344a58 00000080 04000900      2      0 000000"
    )
    assert record(row).owners == (Owner(340, "Comet: Helper", None),)


def test_counters_and_packets_of_15_with_vv() -> None:
    row = inet_row(TCP[0], "D2").replace("13928 ", "13928/7 ").replace("2265 ", "2265/0 ")
    assert record(row).pid == 97


@pytest.mark.parametrize("layout", ["D2", "E"])
@pytest.mark.parametrize("name", ["rapportd", "12 34", "0:1"])
def test_drops_with_d(layout: Layout, name: str) -> None:
    row = inet_row(NAMED[0]._replace(name=name), layout)
    row = row.replace("         2265", "         2265            7")
    expected = name if layout == "E" else None
    assert record(row).owners == (Owner(2086, expected, None),)


@pytest.mark.parametrize(
    "columns", ["      13928       2265", "         13928         2265", " 13928 2265 1 2 340 0"]
)
def test_bytes_alone_or_before_the_columns_of_old_releases(columns: str) -> None:
    found = record(f"tcp4       0      0  127.0.0.1.1   127.0.0.1.2   ESTABLISHED{columns}")
    assert found.pid == (340 if "340" in columns else None)


@pytest.mark.parametrize(
    ("host", "is_wide", "address"),
    [
        ("2001:db8::10", False, "2001:db8::10"),
        ("2001:db8:1234:56", False, "2001:db8:1234:56"),
        ("fe80::aede:48ff:", False, "fe80::aede:48ff:"),
        ("fe80::aede:48ff:fe00:1122%en5", True, "fe80::aede:48ff:fe00:1122%en5"),
        ("2001:db8:1::abcd", True, "2001:db8:1::abcd"),
        ("2001:db8:1::abcd", False, "2001:db8:1::abcd"),
    ],
)
def test_hosts_that_were_cut(host: str, is_wide: bool, address: str) -> None:
    socket = Inet("tcp6", (host, "49159"), ("2001:db8::7", "443"), "ESTABLISHED")
    (found,), faults = read_all(inet_row(socket, "E", is_wide=is_wide))
    assert (found.local_address, found.local_port) == (address, 49159)
    is_cut = len(host) == 16 and not is_wide
    assert remarks(faults) == ({"truncated_address": 1} if is_cut else {})


def test_a_cut_listener_has_no_exposure() -> None:
    (found,), _ = read_all("tcp6       0      0  fe80::aede:48ff:.80    *.*       LISTEN     ")
    assert (found.local_address, found.exposure) == ("fe80::aede:48ff:", None)


def test_a_takes_the_port() -> None:
    """With -A a cell has 18 characters: 192.168.1.221.5486 was port 54862."""
    (ipv4, ipv6), faults = read_all(
        "7fb03cb94d505aed cedd0cbf tcp4   0   0  192.168.1.221.5486 192.0.2.26.443     SYN_SENT",
        "7fb03cb946c1cbcd  3c023c0 tcp6   0   0  2600:1700:bab0:d.5 2607:f8b0:4003::.9 SYN_SENT",
    )
    assert (ipv4.local_address, ipv4.local_port) == ("192.168.1.221", None)
    assert (ipv4.remote_address, ipv4.remote_port) == ("192.0.2.26", 443)
    assert (ipv6.local_address, ipv6.local_port) == ("2600:1700:bab0:d", None)
    assert remarks(faults) == {"truncated_address": 3}


def test_a_capture_whose_blanks_became_tabs() -> None:
    row = "tcp6\t0\t0\tfe80::aede:48ff:.49159\tlocalhost.443\tESTABLISHED"
    (found,), faults = read_all(row)
    assert (found.local_port, found.remote_port, found.state) == (49159, 443, "ESTABLISHED")
    assert remarks(faults) == {"truncated_address": 1, "names_not_numeric": 1}


def test_names_in_place_of_numbers() -> None:
    row = "tcp4       0      0  kbrazil-mac.attl.62979 40.77.18.167.https     ESTABLISHED"
    (found,), faults = read_all(row)
    assert (found.local_address, found.local_port) == ("kbrazil-mac.attl", 62979)
    assert (found.remote_address, found.remote_port) == ("40.77.18.167", None)
    assert remarks(faults) == {"names_not_numeric": 2}


def test_other_sockets_of_the_internet() -> None:
    lines = (
        "icm4    8136      0  *.*                    *.*                               ",
        "icm6       0      0  *.*                    *.*                               ",
        "ip 4       0      0  *.*                    *.*                               ",
    )
    found, faults = read_all(*lines)
    assert faults.count == 0
    kinds = [(c.protocol, c.type, c.family, c.ip_protocol, c.state, c.local_port) for c in found]
    assert kinds == [
        ("raw", "raw", "ipv4", 1, "UNCONN", None),
        ("raw", "raw", "ipv6", 58, "UNCONN", None),
        ("raw", "raw", "ipv4", None, "UNCONN", None),
    ]


@pytest.mark.parametrize("layout", LAYOUTS)
def test_unix_sockets(layout: Layout) -> None:
    found, faults = read_all(*(unix_row(socket, layout) for socket in UNIX))
    assert (faults.count, remarks(faults)) == (0, {})
    tells_options = layout in ("D1", "D2", "E")
    bound = "UNCONN" if tells_options else "UNKNOWN"
    assert [c.state for c in found] == [
        "LISTEN" if tells_options else "UNKNOWN",
        "ESTABLISHED",
        "ESTABLISHED",
        "UNCONN",
        bound,
        "UNCONN",
    ]
    assert [c.local_address for c in found] == [socket.path or None for socket in UNIX]
    assert found[2].remote_address == "/var/run/mDNSResponder"
    assert [c.cookie for c in found] == [socket.address for socket in UNIX]
    assert [c.type for c in found] == [socket.kind for socket in UNIX]
    assert found[2].recv_q == 5
    owners = [owner_of(socket, layout) for socket in UNIX]
    assert [c.owners for c in found] == [() if owner is None else (owner,) for owner in owners]


def test_a_number_of_six_digits_stands_right_behind_the_address() -> None:
    """macOS 13.3 to 14 has no blank there."""
    socket = UNIX[3]._replace(counters=Counters(rhiwat=131072))
    row = unix_row(socket, "C")
    assert f"{0:16x}131072 131600    " in row
    assert record(row).pid == 1
    assert record(row).local_address == "/private/var/run/a b: 1 2"


def test_listen_queues_before_the_sockets() -> None:
    found, faults = read_all(
        "Current listen queue sizes (qlen/incqlen/maxqlen)",
        "Listen         Local Address         ",
        "7/2/511        *.80                  ",
        "0/0/128        *.22",
        "1/0/128        *.22",
        "0/0/5          127.0.0.1.631",
        "Active Internet connections (including servers)",
        "tcp46      0      0  *.80                   *.*                    LISTEN     ",
        "tcp4       0      0  *.22                   *.*                    LISTEN     ",
        "tcp4       0      0  127.0.0.1.632          *.*                    LISTEN     ",
    )
    assert faults.count == 0
    # 2 of the 7 have not finished their handshake. Of *.22 there are two that differ.
    assert [(c.recv_q, c.send_q) for c in found] == [(5, 511), (None, None), (None, None)]


def test_the_queues_of_each_release() -> None:
    for release in RELEASES:
        texts = outputs(release)
        text = texts["queues-l"] + texts["tcp-v-l"]
        found = [c for c in read_all(*text.split("\n"))[0] if c.state == "LISTEN"]
        expected = [(waiting - unfinished, most) for waiting, unfinished, most in QUEUES]
        assert [(c.recv_q, c.send_q) for c in found] == expected


def test_what_is_no_socket_of_ours_is_counted() -> None:
    found, faults = read_all(
        "Active Multipath Internet connections",
        "Proto/ID  Flags      Local Address          Foreign Address        (state)    ",
        "mptcp/00                                                           ESTABLISHED",
        " tcp4/01  0000007c   192.0.2.1.50000        198.51.100.1.443       ESTABLISHED",
        "Registered kernel control modules",
        "id       flags    pcbcount rcvbuf   sndbuf   name ",
        "       1        9        0   131072   131072 com.apple.flow-divert ",
        "1        com.apple.flow-divert",
        "Active kernel event sockets",
        "Proto Recv-Q Send-Q vendor  class subcla",
        "kevt       0      0      1      1      0",
        "Active kernel control sockets",
        "Proto Recv-Q Send-Q   unit     id name",
        "kctl       0      0      1      2 com.apple.nke.sockwall",
    )
    assert (found, faults.count, remarks(faults)) == ([], 0, {"rows_left_out": 6})


E_ROW = inet_row(NAMED[0], "E")
UNIX_ROW = unix_row(UNIX[0], "A")


@pytest.mark.parametrize(
    ("line", "column", "expected"),
    [
        ("nonsense", 0, "a protocol such as tcp4 or udp6"),
        ("tcp4       0      0  *.22", 0, "two queues, two addresses and a state"),
        ("tcp4       0      0  *.22   *.*  LISTENING ", 33, "a state such as ESTABLISHED"),
        ("tcp4       0      0  *.22   *.*", 0, "a state such as ESTABLISHED"),
        ("tcp4       0      x  *.22   *.*  LISTEN", 18,
         "a number: bytes that wait to be read, and to be sent"),
        ("tcp4       0      0  *.99999   *.*  LISTEN", 23, "a port from 0 to 65535"),
        ("tcp4       0      0  *.22   *.*  LISTEN  1 2 3", 41, "rhiwat shiwat pid epid"),
        ("tcp4       0      0  *.22   *.*  LISTEN  1 2 x 4", 45,
         "the columns of netstat -v, or nothing"),
        (E_ROW.replace("2265", "22x5"), E_ROW.index("13928"),
         "rxbytes txbytes rhiwat shiwat process:pid"),
        (UNIX_ROW.replace("stream", "weird "), 17, "a type such as stream or dgram"),
        (UNIX_ROW.replace("  2ab0", "2ab0 0"), 38, "an address in the kernel, 16 digits wide"),
    ],
)  # fmt: skip
def test_rows_that_cannot_be_read(line: str, column: int, expected: str) -> None:
    found, faults = read_all("", line)
    assert (found, faults.count) == ([], 1)
    (fault,) = faults.kept
    assert fault.expected == expected
    assert fault == Fault(2, line, column, expected)


@given(st.lists(st.text(st.characters(exclude_characters="\n")), max_size=3))
def test_any_lines_are_a_record_or_a_fault(lines: list[str]) -> None:
    read_all(*lines)


@given(st.data())
def test_a_damaged_row_is_a_record_or_a_fault(data: st.DataObject) -> None:
    row = inet_row(data.draw(st.sampled_from(TCP)), data.draw(st.sampled_from(LAYOUTS)))
    start = data.draw(st.integers(0, len(row)))
    length = data.draw(st.integers(0, 9))
    damaged = row[:start] + data.draw(st.text(max_size=3)) + row[start + length :]
    found, faults = read_all(*damaged.split("\n"))
    assert len(found) + faults.count <= damaged.count("\n") + 1


@pytest.mark.parametrize(
    "name", ["netstat-10.14.6.out", "netstat-An-10.14.6.out", "netstat-Abn-10.14.6.out"]
)
def test_captures_are_read_completely(name: str) -> None:
    lines = lines_of(name)
    text = "\n".join(lines)
    found, faults = read_all(*lines)
    assert faults.count == 0
    assert len(found) == len(INET_ROWS.findall(text)) + len(UNIX_SOCKETS.findall(text))
    assert remarks(faults)["rows_left_out"] == len(OTHER_ROWS.findall(text))
    assert FORMAT.recognises([line for line in lines if line][:50])


# Counted with grep -c on the files
COUNTS = {
    "netstat-10.14.6.out": {"tcp": 53, "udp": 104, "raw": 1, "unix": 425},
    "netstat-An-10.14.6.out": {"tcp": 49, "udp": 88, "raw": 1, "unix": 400},
    "netstat-Abn-10.14.6.out": {"tcp": 49, "udp": 88, "raw": 1, "unix": 400},
}


@pytest.mark.parametrize("name", COUNTS)
def test_how_many_sockets_the_captures_have(name: str) -> None:
    found, _ = read_all(*lines_of(name))
    assert Counter(c.protocol for c in found) == COUNTS[name]


def test_sockets_of_a_capture() -> None:
    found, _ = read_all(*lines_of("netstat-10.14.6.out"))
    first = found[0]
    assert first == Connection(
        "tcp", "ipv4", "stream", "ESTABLISHED", "kbrazil-mac.attl", "40.77.18.167", 62979, None,
        None, None, 0, 0, None, None, None, None, owner_status="unsupported",
    )  # fmt: skip
    (waiting,) = (c for c in found if c.recv_q == 31 and c.local_port == 62664)
    assert (waiting.state, waiting.remote_address) == ("CLOSE_WAIT", "93.87.236.35.bc.")
    (raw,) = (c for c in found if c.protocol == "raw")
    assert (raw.recv_q, raw.ip_protocol, raw.local_address) == (8136, 1, "0.0.0.0")
    unix = next(c for c in found if c.protocol == "unix")
    assert unix == Connection(
        "unix", "unix", "stream", "ESTABLISHED", None, None, None, None, None, None, 1, 0,
        None, None, None, 0x7FB03CB94A63A7CD, owner_status="unsupported",
    )  # fmt: skip
    states = Counter(c.state for c in found if c.protocol == "tcp")
    assert states == {"ESTABLISHED": 47, "CLOSE_WAIT": 5, "TIME_WAIT": 1}


def test_the_generator_makes_the_rows_of_the_captures() -> None:
    """The fixtures of other releases are true as far as this one can tell."""
    rows = [
        line
        for line in lines_of("netstat-10.14.6.out")
        if re.match(r"(tcp|udp|icm)(4|6|46) ", line)
    ]
    assert len(rows) == 158
    for row in rows:
        protocol, recv_q, send_q, local, remote, *state = row.split()
        ends = [(host, port) for host, _, port in (e.rpartition(".") for e in (local, remote))]
        socket = Inet(protocol, ends[0], ends[1], "".join(state), int(recv_q), int(send_q))
        assert inet_row(socket, "B", is_wide=False, is_verbose=False) == row


def test_the_generator_makes_the_unix_rows_of_the_captures() -> None:
    rows = [
        line
        for name in COUNTS
        for line in lines_of(name)
        if re.match(r"[0-9a-f]{16} (stream|dgram) ", line) and line.split()[6:8] == ["0", "0"]
    ]
    assert len(rows) == 931
    for row in rows:
        address, kind, recv_q, send_q, file, peer, _, _, *rest = row.split(None, 8)
        path = rest[0] if rest else ""
        numbers = (int(address, 16), kind, int(file, 16), int(peer, 16), path)
        socket = Unix(*numbers, recv_q=int(recv_q), send_q=int(send_q))
        assert unix_row(socket, "B", is_verbose=False) == row


@pytest.mark.parametrize(
    ("line", "is_macos"),
    [
        ("tcp4       0      0  *.22                   *.*                    LISTEN     ", True),
        ("tcp4       0      0 *.22                   *.*                    LISTEN", False),
        ("tcp          0      0  *.22                 *.*                  LISTEN", False),
        ("tcp6       0      0  *.22                   *.*                  LISTEN", False),
        ("tcp        0      0 0.0.0.0:22              0.0.0.0:*               LISTEN", False),
        ("Active LOCAL (UNIX) domain sockets", True),
        ("Active UNIX domain sockets", False),
        ("Proto Recv-Q Send-Q  Local Address          Foreign Address        (state)    ", True),
        ("Proto Recv-Q Send-Q Local Address          Foreign Address        (state)", False),
    ],
)
def test_what_is_recognised(line: str, is_macos: bool) -> None:
    assert FORMAT.recognises([line]) is is_macos


def test_what_netinspect_as_macos_prints() -> None:
    """On a system that has no such numbers it has a dash for each."""
    dashes = "          -        -                -        -        -      -      -      -"
    found, faults = read_all(
        f"tcp4   0   0  *.1  *.*  LISTEN      -            - 131072 16384             :-{dashes}",
        f"tcp4   0   0  *.2  *.*  LISTEN      -            - - -          Comet A:340{dashes}",
        f"{0x23D:16x} stream      0      0 {'-':>16} {'23c':>16} {'-':>16} {'-':>16} /run/x",
        f"{0x23C:16x} stream      0      0 {'-':>16} {'23d':>16} {'-':>16} {'-':>16}",
    )
    assert faults.count == 0
    assert [c.owners for c in found] == [(), (Owner(340, "Comet A", None),), (), ()]
    assert [c.cookie for c in found] == [None, None, 0x23D, 0x23C]
    assert (found[3].state, found[3].remote_address) == ("ESTABLISHED", "/run/x")


def test_each_state_is_in_the_fixtures() -> None:
    assert {*CONNECTED, "LISTEN", "CLOSED"} == set(STATES)
