from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from netinspect.model import Connection
from netinspect.parse.captured import Fault, Faults
from netinspect.parse.netstat_bsd import FORMATS, read
from tests import bsd_sockets
from tests.bsd_sockets import ANSWERS, INET, ROOTS, UNIX, Inet, Unix

FIXTURES = Path(__file__).parent / "fixtures"
FREEBSD_12 = (FIXTURES / "freebsd/12-netstat-an.txt").read_text()
FREEBSD, OPENBSD, NETBSD = FORMATS

TITLE = "Active Internet connections (including servers)"
HEADER = "Proto Recv-Q Send-Q Local Address          Foreign Address        (state)    "


def parse(text: str, faults: Faults | None = None, *, is_wide: bool = False) -> list[Connection]:
    """The sockets of a FreeBSD netstat that can be read whole, unless faults are given."""
    found = faults or Faults()
    sockets = [c for batch in read(text.split("\n"), found, is_wide=is_wide) for c in batch]
    assert faults or found.kept == []
    return sockets


def one(row: str) -> Connection:
    (socket,) = parse(row)
    return socket


def ends(socket: Connection) -> tuple[str | int | None, ...]:
    return socket.local_address, socket.local_port, socket.remote_address, socket.remote_port


def test_the_capture_of_freebsd_12_is_read_whole() -> None:
    faults = Faults()
    sockets = parse(FREEBSD_12, faults)
    rows = re.findall(r"^(?:tcp|udp|f{5})", FREEBSD_12, re.MULTILINE)
    assert len(sockets) == len(rows) == 20
    assert (faults.count, faults.all_notes()) == (0, [])
    inet = [
        (c.protocol, c.family, c.state, *ends(c)) for c in sockets if c.protocol in ("tcp", "udp")
    ]
    assert inet == [
        ("tcp", "ipv4", "ESTABLISHED", "192.168.71.163", 22, "192.168.71.1", 56321),
        ("tcp", "ipv4", "LISTEN", "127.0.0.1", 25, None, None),
        ("tcp", "ipv4", "LISTEN", "0.0.0.0", 22, None, None),
        ("tcp", "ipv6", "LISTEN", "::", 22, None, None),
        ("udp", "ipv4", "UNCONN", "0.0.0.0", 514, None, None),
        ("udp", "ipv6", "UNCONN", "::", 514, None, None),
    ]
    unix = [
        (c.type, c.state, c.local_address, c.remote_address)
        for c in sockets
        if c.protocol == "unix"
    ]
    assert unix == [
        ("stream", "ESTABLISHED", None, None),
        ("stream", "ESTABLISHED", None, None),
        ("stream", "UNCONN", None, None),
        ("stream", "ESTABLISHED", None, None),
        ("stream", "ESTABLISHED", None, None),
        ("stream", "UNKNOWN", "/var/run/devd.pipe", None),
        ("dgram", "ESTABLISHED", None, "/var/run/logpriv"),
        ("dgram", "ESTABLISHED", None, "/var/run/logpriv"),
        ("dgram", "ESTABLISHED", None, "/var/run/logpriv"),
        ("dgram", "ESTABLISHED", None, "/var/run/log"),
        ("dgram", "ESTABLISHED", None, "/var/run/logpriv"),
        ("dgram", "UNCONN", "/var/run/logpriv", None),
        ("dgram", "UNCONN", "/var/run/log", None),
        ("seqpacket", "UNKNOWN", "/var/run/devd.seqpacket.pipe", None),
    ]


def test_everything_that_a_row_tells() -> None:
    row = "tcp4      17     42 192.168.71.163.22      192.168.71.1.56321     ESTABLISHED"
    assert one(row) == Connection(
        "tcp",
        "ipv4",
        "stream",
        "ESTABLISHED",
        local_address="192.168.71.163",
        remote_address="192.168.71.1",
        local_port=22,
        remote_port=56321,
        ip_protocol=None,
        interface=None,
        recv_q=17,
        send_q=42,
        uid=None,
        user=None,
        inode=None,
        cookie=None,
        owner_status="unsupported",
    )


def test_the_generator_writes_what_freebsd_12_wrote() -> None:
    """The real capture again, from what it says."""
    inet = [
        Inet("tcp", "4", ("192.168.71.163", 22), ("192.168.71.1", 56321), "ESTABLISHED"),
        Inet("tcp", "4", ("127.0.0.1", 25), state="LISTEN"),
        Inet("tcp", "4", ("*", 22), state="LISTEN"),
        Inet("tcp", "6", ("*", 22), state="LISTEN"),
        Inet("udp", "4", ("*", 514)),
        Inet("udp", "6", ("*", 514)),
    ]
    lines = FREEBSD_12.splitlines()
    first = next(i for i, line in enumerate(lines) if line.startswith("fffff"))
    unix = []
    for line in lines[first:]:
        address, kind, _, _, *numbers = line.split()
        path = numbers[4] if len(numbers) > 4 else ""
        vnode, peer, *references = (int(number, 16) for number in numbers[:4])
        unix.append(
            Unix(
                kind, int(address, 16), vnode, peer, path, references=(references[0], references[1])
            )
        )
    assert list(bsd_sockets.freebsd_netstat(inet, unix, is_wide=False)) == lines


def test_the_answers_of_the_fake_systems_are_those_of_the_generator() -> None:
    written = {
        root: {path.name: path.read_text() for path in (ROOTS / root / "answers").iterdir()}
        for root in ANSWERS
    }
    assert written == ANSWERS, "run: python -m tests.bsd_sockets"


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("CLOSED", "BOUND"),
        ("LISTEN", "LISTEN"),
        ("SYN_SENT", "SYN_SENT"),
        ("SYN_SENT*", "SYN_SENT"),
        ("SYN_RCVD", "SYN_RECV"),
        ("ESTABLISHED", "ESTABLISHED"),
        ("CLOSE_WAIT", "CLOSE_WAIT"),
        ("FIN_WAIT_1", "FIN_WAIT1"),
        ("CLOSING", "CLOSING"),
        ("LAST_ACK", "LAST_ACK"),
        ("FIN_WAIT_2", "FIN_WAIT2"),
        ("TIME_WAIT", "TIME_WAIT"),
        ("TMWAIT", "TIME_WAIT"),
        ("11", "UNKNOWN"),
    ],
)
def test_states(word: str, state: str) -> None:
    assert one(
        f"tcp4       0      0 *.22                   *.*                    {word}"
    ).state == (state)


@pytest.mark.parametrize(
    ("row", "kind"),
    [
        ("tcp4       0      0 *.22                   *.*                    LISTEN", False),
        ("tcp6       0      0 *.22                   *.*                    LISTEN", False),
        ("tcp46      0      0 *.22                   *.*                    LISTEN", True),
        ("udp46      0      0 *.53                   *.*                    ", True),
    ],
)
def test_whether_a_listener_takes_both_families(row: str, kind: bool) -> None:
    socket = one(row)
    if row.startswith("tcp4 "):
        assert (socket.local_address, socket.dual_stack) == ("0.0.0.0", UNSET)
    else:
        assert (socket.family, socket.local_address, socket.dual_stack) == ("ipv6", "::", kind)


def test_netbsd_does_not_tell_whether_a_listener_takes_both() -> None:
    row = "tcp6       0      0  *.22                   *.*                    LISTEN"
    ((socket,),) = NETBSD.read([row], Faults())
    assert (socket.local_address, socket.dual_stack) == ("::", UNSET)
    ((socket,),) = OPENBSD.read([row], Faults())
    assert socket.dual_stack is False


def test_the_queues_of_a_listener_are_only_those_of_connections() -> None:
    listener = one("tcp4       0      0 *.22                   *.*                    LISTEN")
    assert (listener.recv_q, listener.send_q) == (None, None)
    told = one("tcp4  3/1/128                          *.22                  ")
    assert (told.state, told.recv_q, told.send_q, told.exposure) == ("LISTEN", 3, 128, "any")
    unix = one("unix  1/0/30                           /var/run/a b")
    assert (unix.state, unix.local_address, unix.recv_q, unix.send_q) == (
        "LISTEN",
        "/var/run/a b",
        1,
        30,
    )


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ("icm4       0      0 *.*                    *.*", ("ipv4", 1)),
        ("icm6       0      0 *.*                    *.*", ("ipv6", 58)),
        ("ip 4       0      0 *.*                    *.*", ("ipv4", None)),
        ("ip         0      0  *.*                    *.*                    89", ("ipv4", 89)),
        ("ip6        0      0  *.*                    *.*                    58", ("ipv6", 58)),
    ],
)
def test_raw_sockets(row: str, expected: tuple[str, int | None]) -> None:
    socket = one(row)
    assert (socket.protocol, socket.type, socket.state) == ("raw", "raw", "UNCONN")
    assert (socket.family, socket.ip_protocol) == expected
    assert (socket.local_port, socket.remote_port) == (None, None)


def test_other_options_add_columns() -> None:
    with_address = (
        "Tcpcb            Proto Recv-Q Send-Q Local Address      Foreign Address    (state)\n"
        "fffff80003ab6100 tcp4       1      2 10.0.0.1.22        10.0.0.2.5000      ESTABLISHED\n"
    )
    with_windows = (
        f"{TITLE}\nProto   Recv-Q Send-Q Recv-W Send-W Cgst-W  Local Address          "
        "Foreign Address        TCP-State\n"
        "tcp          1      2  16384  17000   4380  10.0.0.1.22            10.0.0.2.5000          "
        "ESTABLISHED\n"
    )
    for text in (with_address, with_windows):
        (socket,) = parse(text)
        assert ends(socket) == ("10.0.0.1", 22, "10.0.0.2", 5000)
        assert (socket.state, socket.recv_q, socket.send_q) == ("ESTABLISHED", 1, 2)


def test_what_the_columns_of_diagnosis_leave_out_is_not_known() -> None:
    retransmits = (
        "Proto Rexmit OOORcv 0-win  Local Address          Foreign Address\n"
        "tcp4       1      2      3 10.0.0.1.22            10.0.0.2.5000         \n"
    )
    buffers = (
        "Proto Recv-Q Send-Q Local Address          Foreign Address        R-MBUF S-MBUF\n"
        "tcp4       7      8 10.0.0.1.22            10.0.0.2.5000               0      0\n"
    )
    (socket,) = parse(retransmits)
    assert (socket.state, socket.recv_q, socket.send_q) == ("UNKNOWN", None, None)
    (socket,) = parse(buffers)
    assert (socket.state, socket.recv_q, socket.send_q) == ("UNKNOWN", 7, 8)


def test_sections_of_other_sockets_are_counted() -> None:
    faults = Faults()
    sockets = parse(
        f"{TITLE}\n{HEADER}\n"
        "div4       0      0 *.8668                 *.*\n"
        "Active SCTP associations (including servers)\n"
        "Proto  Type   Local Address          Foreign Address        (state)\n"
        "sctp4  1to1   10.0.0.1.5000          10.0.0.2.6000          ESTABLISHED\n"
        "              10.0.0.3.5000\n"
        "icm4       0      0 *.*                    *.*                    \n"
        "Active NETGRAPH sockets\n"
        "Type  Recv-Q Send-Q Node Address   #Hooks\n"
        "ctrl       0      0 ngctl111:      0\n"
        "Some tcp sockets may have been created or deleted.\n",
        faults,
    )
    assert [c.protocol for c in sockets] == ["raw"]
    assert faults.count == 0
    assert [(n.code, n.count) for n in faults.all_notes()] == [("rows_left_out", 5)]


CUT = "tcp6       0      0 2603:6010:7c00:4.51910 fe80::aede:48ff:.443   ESTABLISHED"


def test_cut_addresses_stay_as_they_are_and_are_counted() -> None:
    faults = Faults()
    (socket,) = parse(CUT, faults)
    assert ends(socket) == ("2603:6010:7c00:4", 51910, "fe80::aede:48ff:", 443)
    assert [(n.code, n.count) for n in faults.all_notes()] == [("truncated_address", 1)]


def test_of_a_cut_address_nobody_knows_from_where_it_can_be_reached() -> None:
    (socket,) = parse(CUT.replace("fe80::aede:48ff:.443  ", "*.*").replace("ESTABLISHED", "LISTEN"))
    assert (socket.state, socket.exposure) == ("LISTEN", None)


def test_a_wide_netstat_cuts_nothing() -> None:
    host = "2001:db8::1:2:34"  # 16 characters
    wide = f"tcp6       0      0 {host + '.22':<45} {'*.*':<45} LISTEN"
    for text, is_wide in ((wide, False), (CUT.replace("2603:6010:7c00:4", host), True)):
        faults = Faults()
        (socket,) = parse(text.replace("fe80::aede:48ff:", "fe80::1"), faults, is_wide=is_wide)
        assert socket.local_address == host
        assert faults.all_notes() == []


def test_names_are_kept_and_counted() -> None:
    faults = Faults()
    (socket,) = parse(
        "tcp4       0      0 freebsd.ssh            laptop.example.o.56321 ESTABLISHED", faults
    )
    assert ends(socket) == ("freebsd", None, "laptop.example.o", 56321)
    assert [n.code for n in faults.all_notes()] == ["names_not_numeric"]


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        ("tcq4       0      0 *.22   *.*   LISTEN", 0, "a protocol such as tcp4"),
        ("tcp4       0      x *.22   *.*   LISTEN", 18, "a number: what waits in a queue"),
        ("tcp4       0      0 *.22", 0, "a local and a foreign address behind the queues"),
        ("tcp4       0      0 *.22   *.*   LISTENING", 33, "a state such as ESTABLISHED"),
        ("tcp4       0      0 *.22   *.*", 27, "a state such as ESTABLISHED behind the addresses"),
        (
            "tcp4       0      0 *22   *.*   LISTEN",
            20,
            "an address and a port such as 127.0.0.1.25",
        ),
        ("tcp4       0      0 (.22   *.*   LISTEN", 20, "an address such as 127.0.0.1 or ::1"),
        ("tcp4       0      0 *.65536   *.*   LISTEN", 22, "a port from 0 to 65535"),
        ("tcp4       0      0 *.:22   *.*   LISTEN", 22, "a port such as 443"),
        ("fffff8000 strange 0 0 0 0 0 0", 10, "a type such as stream or dgram"),
        ("fffff8000 stream 0 0 0 0 0", 0, "a protocol such as tcp4"),
    ],
)
def test_faults(row: str, column: int, expected: str) -> None:
    faults = Faults()
    good = "udp4       0      0 *.514                  *.*                    "
    sockets = parse(f"{TITLE}\n{HEADER}\n{row}\n{good}", faults)
    assert [c.protocol for c in sockets] == ["udp"]
    assert (faults.count, faults.kept) == (1, [Fault(3, row, column, expected)])


def test_paths_of_unix_sockets_may_be_anything() -> None:
    start = (
        "fffff80003abf000 stream      0      0 fffff80003c581e0                0                0"
    )
    for path in ("/a  b ", "/x -> y", " leading", "Active Internet", "/\udcff\\"):
        (socket,) = parse(f"{start}                0 {path}")
        assert socket.local_address == path.replace("\\", "\\\\").replace("\udcff", "\\xff")


def test_our_own_rows_have_hyphens_for_what_is_not_known() -> None:
    socket = one(
        "             23d stream      0      0                -              23c    -    -"
    )
    assert (socket.cookie, socket.state, socket.local_address) == (0x23D, "ESTABLISHED", None)


def test_netbsd_tells_the_peer_of_a_socket_without_a_name() -> None:
    row = "c1a2b3c4 dgram       0      0        0 c1a2b000        0        0 -> /var/run/log"
    socket = one(row)
    assert (socket.state, socket.local_address, socket.remote_address) == (
        "ESTABLISHED",
        None,
        "/var/run/log",
    )


def test_without_root_openbsd_tells_no_addresses_in_the_kernel() -> None:
    row = "             0x0 stream      0      0              0x0              0x0              0x0"
    socket = one(f"{row}              0x0 /var/run/x")
    assert (socket.cookie, socket.state, socket.local_address) == (None, "UNKNOWN", "/var/run/x")


ROOT_FORMATS = [
    (root, name, known)
    for root, known in (
        ("freebsd12", "freebsd-netstat"),
        ("freebsd15", "freebsd-netstat"),
        ("openbsd7", "openbsd-netstat"),
        ("netbsd10", "netbsd-netstat"),
    )
    for name in ANSWERS[root]
    if name in ("netstat-text", "netstat-wide", "netstat-queues")
]


@pytest.mark.parametrize(("root", "name", "known"), ROOT_FORMATS)
def test_each_system_is_recognised_by_its_header_or_its_rows(
    root: str, name: str, known: str
) -> None:
    lines = [line for line in ANSWERS[root][name].splitlines() if line]
    headless = [line for line in lines if re.match("tcp|udp", line)]
    assert [f.name for f in FORMATS if f.recognises(lines[:50])] == [known]
    if name != "netstat-queues":
        assert [f.name for f in FORMATS if f.recognises(headless)] == [known]


@pytest.mark.parametrize(("root", "name", "known"), ROOT_FORMATS)
def test_the_formats_of_all_systems_tell_the_same(root: str, name: str, known: str) -> None:
    if name != "netstat-wide":
        return
    (known_format,) = [f for f in FORMATS if f.name == known]
    faults = Faults()
    batches = known_format.read(ANSWERS[root][name].split("\n"), faults)
    sockets = [c for batch in batches for c in batch if c.protocol in ("tcp", "udp")]
    assert faults.kept == []
    expected = [s for s in INET if s.protocol != "raw"]
    if root.startswith("freebsd"):
        expected.append(bsd_sockets.DUAL)
    assert sorted(map(str, map(told, sockets))) == sorted(map(str, map(made, expected)))


def told(socket: Connection) -> tuple[object, ...]:
    return (
        socket.protocol,
        socket.family,
        *(socket.local_address, socket.local_port, socket.remote_address, socket.remote_port),
        *(() if socket.state == "LISTEN" else (socket.recv_q, socket.send_q)),
    )


def made(sock: Inet) -> tuple[object, ...]:
    """What is known of a socket by having made it up."""
    wildcard = "::" if "6" in sock.family else "0.0.0.0"
    has_peer = bool(sock.remote[1])
    return (
        sock.protocol,
        "ipv6" if "6" in sock.family else "ipv4",
        wildcard if sock.local[0] == "*" else sock.local[0],
        sock.local[1],
        sock.remote[0] if has_peer else None,
        sock.remote[1] if has_peer else None,
        *(() if sock.state == "LISTEN" else sock.queues),
    )


def test_every_state_has_rows() -> None:
    assert {s.state for s in INET} >= {*bsd_sockets.STATES, "CLOSED", "LISTEN"}
    assert {s.type for s in UNIX} == {"stream", "dgram", "seqpacket"}


WORDS = (
    *("tcp4", "tcp6", "udp46", "ip", "4", "0", "*.22", "*.*", "::1.80", "1.2.3.4.5", "LISTEN"),
    *("fffff80003abf000", "stream", "/x", "->", "unix", "0/0/1", "Proto", "Active", "0x0", "²"),
)


@given(st.lists(st.lists(st.sampled_from(WORDS) | st.text(max_size=8), max_size=9).map(" ".join)))
def test_anything_is_a_socket_a_title_or_a_fault(lines: list[str]) -> None:
    for known in FORMATS:
        faults = Faults()
        sockets = [c for batch in known.read(lines, faults) for c in batch]
        assert len(sockets) + faults.count <= len(lines)
        known.recognises(lines)
