from __future__ import annotations

from string import printable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import UNSET

from netinspect.extended import Bbr, Dctcp, Memory, Options, TcpInfo
from netinspect.model import Owner, Timer
from netinspect.parse.captured import BATCH_SIZE, Fault
from tests.captures import read, recognised, told

HEADER = "Netid State  Recv-Q Send-Q Local Address:Port  Peer Address:Port Process\n"
TCP = "tcp   ESTAB  5      7         10.0.0.1:443        192.0.2.9:51000       \n"
LISTENER = "tcp   LISTEN 3      128        0.0.0.0:22           0.0.0.0:*           \n"
DUAL = "tcp   LISTEN 0      4096             *:80                 *:*           \n"
IPV6_ONLY = "tcp   LISTEN 0      4096          [::]:81              [::]:*           \n"
ZONED = "tcp   ESTAB  0      0   [fe80::1]%eth0:50478   [fe80::2]:45185 \n"
BOUND = "udp   UNCONN 0      0     0.0.0.0%eth0:68           0.0.0.0:*           \n"
RAW = "raw   UNCONN 0      0              *:58                 *:*           \n"
INET = HEADER + TCP + LISTENER + DUAL + IPV6_ONLY + ZONED + BOUND + RAW


def test_each_kind_of_internet_socket() -> None:
    done = read("ss", INET)
    assert (done.faults, done.notes) == ([], [])
    tcp, listener, dual, ipv6_only, zoned, bound, raw = done.records
    assert told(tcp) == {
        "protocol": "tcp", "family": "ipv4", "type": "stream", "state": "ESTABLISHED",
        "local_address": "10.0.0.1", "remote_address": "192.0.2.9", "local_port": 443,
        "remote_port": 51000, "recv_q": 5, "send_q": 7, "owner_status": "unsupported",
    }  # fmt: skip
    assert told(listener) == {
        "protocol": "tcp", "family": "ipv4", "type": "stream", "state": "LISTEN",
        "local_address": "0.0.0.0", "local_port": 22, "recv_q": 3, "send_q": 128,
        "exposure": "any", "owner_status": "unsupported",
    }  # fmt: skip
    assert (dual.family, dual.local_address, dual.dual_stack) == ("ipv6", "::", True)
    assert (ipv6_only.local_address, ipv6_only.dual_stack) == ("::", False)
    assert (zoned.local_address, zoned.remote_address) == ("fe80::1%eth0", "fe80::2%eth0")
    assert zoned.interface == "eth0"
    assert (bound.local_address, bound.interface, bound.exposure) == ("0.0.0.0", "eth0", "any")
    assert (raw.ip_protocol, raw.local_port, raw.family) == (58, None, "ipv6")
    assert raw.dual_stack is UNSET


@pytest.mark.parametrize("text", [INET, TCP, LISTENER, "ESTAB 0 0 10.0.0.1:1 10.0.0.2:2\n"])
def test_it_is_recognised(text: str) -> None:
    assert recognised(text) == "ss"


DETAILS = (
    'tcp ESTAB 0 0 10.0.0.1:443 192.0.2.9:51000 users:(("nginx",pid=812,fd=6),("a b",pid=811,fd=7))'
    " timer:(keepalive,1min59sec,2) uid:33 ino:31337 sk:1f cgroup:/system.slice/a b.service"
    " v6only:0 <-> skmem:(r1,rb2,t3,tb4,f-5,w6,o7,bl8,d9) ts sack cubic wscale:7,8 rto:204"
    " rtt:0.026/0.013 ato:40 mss:1448 cwnd:10 ssthresh:7 bytes_sent:100 segs_out:3 segs_in:2"
    " data_segs_out:1 send 1.5Gbps lastsnd:44 lastrcv:45 lastack:46 pacing_rate 1.5Mbps/3000bps"
    " delivery_rate 8bps delivered:2 app_limited busy:12ms rwnd_limited:4ms(33.3%) retrans:1/5"
    " bbr:(bw:100bps,mrtt:0.02,pacing_gain:2.5,cwnd_gain:2) minrtt:0.026 snd_wnd:65536\n"
)


def test_all_that_ss_tells_of_a_connection() -> None:
    (record,) = read("ss", DETAILS).records
    assert record.owners == (Owner(811, "a b", 7), Owner(812, "nginx", 6))
    assert (record.pid, record.process, record.owner_status) == (811, "a b", "known")
    assert record.timer == Timer("keepalive", 119_000, 2)
    assert (record.uid, record.user, record.inode, record.cookie) == (33, None, 31337, 0x1F)
    assert record.memory == Memory(1, 2, 3, 4, -5, 6, 7, 8, 9)
    assert record.drops is None
    assert record.options == Options(
        cgroup="/system.slice/a b.service",
        v6only=False,
        receive_shutdown=False,
        send_shutdown=False,
    )
    assert record.tcp_info == TcpInfo(
        congestion_control="cubic", rtt_ms=0.026, rttvar_ms=0.013, min_rtt_ms=0.026, rto_ms=204.0,
        ato_ms=40.0, cwnd_segments=10, ssthresh_segments=7, snd_mss_bytes=1448, snd_wnd_bytes=65536,
        snd_wscale=7, rcv_wscale=8, timestamps=True, sack=True, app_limited=True, retransmits=1,
        retransmits_total=5, bytes_sent=100, segments_sent=3, segments_received=2,
        segments_delivered=2, data_segments_sent=1, delivery_rate_bps=8, pacing_rate_bps=1_500_000,
        max_pacing_rate_bps=3000, busy_ms=12.0, rwnd_limited_ms=4.0, last_data_sent_ms_ago=44,
        last_ack_received_ms_ago=46, bbr=Bbr(100, 0.02, 2.5, 2.0),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("word", "dctcp"),
    [
        ("dctcp:(ce_state:1,alpha:12,ab_ecn:3,ab_tot:9)", Dctcp(True, 1, 12, 3, 9)),
        ("dctcp:fallback_mode", Dctcp(False, 0, 0, 0, 0)),
    ],
)
def test_dctcp(word: str, dctcp: Dctcp) -> None:
    (record,) = read("ss", DETAILS.replace("bbr:(bw", f"{word} bbr:(bw")).records
    assert record.tcp_info
    assert record.tcp_info.dctcp == dctcp


@pytest.mark.parametrize("layer", ["tls", "mptcp"])
def test_upper_layers(layer: str) -> None:
    row = DETAILS.replace(" bbr:(bw", f" tcp-ulp-{layer} flags:Mf bbr:(bw")
    (record,) = read("ss", row).records
    assert record.options
    assert record.options.upper_layer == layer


def test_what_stands_on_a_line_of_its_own_is_the_same() -> None:
    first, rest = DETAILS.split(" skmem:", 1)
    (record,) = read("ss", DETAILS).records
    assert read("ss", f"{first}\n\t skmem:{rest}").records == [record]


def test_a_listener_has_its_accept_queue_where_others_have_segments() -> None:
    row = LISTENER.strip() + " ino:5 sk:2 bbr cwnd:10 unacked:3\n"
    (record,) = read("ss", row).records
    assert record.tcp_info == TcpInfo("bbr", cwnd_segments=10)


@pytest.mark.parametrize(
    ("time", "milliseconds"),
    [
        ("", 0),
        ("068ms", 68),
        ("1.234ms", 1234),
        ("9.007ms", 9007),
        ("29sec", 29_000),
        ("1min59sec", 119_000),
        ("119min", 7_140_000),
    ],
)
def test_times_as_ss_prints_them(time: str, milliseconds: int) -> None:
    row = f"tcp ESTAB 0 1 10.0.0.1:1 10.0.0.2:2 timer:(on,{time},3)\n"
    assert read("ss", row).records[0].timer == Timer("retransmit", milliseconds, 3)


def test_a_socket_without_an_inode_has_no_owner_and_no_user() -> None:
    row = "tcp TIME-WAIT 0 0 10.0.0.1:1 10.0.0.2:2 timer:(timewait,59sec,0) ino:0 sk:5\n"
    (record,) = read("ss", row).records
    assert (record.inode, record.uid, record.cookie) == (None, None, 5)
    assert (record.owner_status, record.timer) == ("none", Timer("time_wait", 59_000, 0))


def test_where_processes_are_told_their_absence_says_something() -> None:
    statuses = [r.owner_status for r in read("ss", TCP + DETAILS).records]
    assert statuses == ["not_found", "known"]


HOSTILE = ['",pid=1,fd=2)) ', 'a",pid=1,fd=2)', '),("x",pid=3,', "((", "a b", "", '"']


@pytest.mark.parametrize("name", HOSTILE)
def test_a_process_cannot_forge_another_by_its_name(name: str) -> None:
    users = f'users:(("{name}",pid=77,fd=3),("b",pid=78,fd=4))'
    (record,) = read("ss", f"tcp ESTAB 0 0 10.0.0.1:1 10.0.0.2:2 {users} ino:1\n").records
    assert record.owners == (Owner(77, name, 3), Owner(78, "b", 4))


@given(st.lists(st.text(printable[:95], max_size=15), min_size=1, max_size=3))
def test_any_names_of_processes(names: list[str]) -> None:
    members = ",".join(f'("{name}",pid={n + 10},fd={n})' for n, name in enumerate(names))
    (record,) = read("ss", f"tcp ESTAB 0 0 10.0.0.1:1 10.0.0.2:2 users:({members})\n").records
    expected = [(n + 10, name.replace("\\", "\\\\")) for n, name in enumerate(names)]
    assert [(owner.pid, owner.process) for owner in record.owners] == expected


def test_processes_of_an_old_ss() -> None:
    row = 'tcp ESTAB 0 0 10.0.0.1:1 10.0.0.2:2 users:(("sshd",812,3),("sshd",811,4))\n'
    (record,) = read("ss", row).records
    assert record.owners == (Owner(811, "sshd", 4), Owner(812, "sshd", 3))


OLD = """\
State      Recv-Q Send-Q        Local Address:Port          Peer Address:Port
LISTEN     0      128                       *:22                       *:*
LISTEN     0      128                      :::22                      :::*
ESTAB      0      0          ::ffff:127.0.0.1:22        ::ffff:127.0.0.1:4000
"""


def test_addresses_of_an_old_ss() -> None:
    ipv4, ipv6, mapped = read("ss", OLD).records
    assert (ipv4.family, ipv4.local_address) == ("ipv4", "0.0.0.0")
    assert (ipv6.family, ipv6.local_address, ipv6.dual_stack) == ("ipv6", "::", UNSET)
    assert (mapped.local_address, mapped.local_port) == ("::ffff:127.0.0.1", 22)


UNIX = """\
u_str LISTEN 0      4096   /run/a b 1 * 2 31337            * 0     users:(("a",pid=5,fd=3)) <->
u_str ESTAB  0      0      /run/a b 1 * 2 31338            * 31339
u_str ESTAB  5      0                   * 31339            * 31338 skmem:(r1,rb2,t3,tb4,f5,w6,o7,d9)
u_dgr UNCONN 0      0              @bus 1 31340            * 0
u_seq ESTAB  0      0              /run/s 31341            * 31999
"""


def test_unix_sockets_and_their_peers() -> None:
    done = read("ss", UNIX + TCP)
    assert done.faults == []
    listener, server, client, dgram, seqpacket, tcp = done.records
    assert (listener.type, listener.state, listener.local_address) == (
        "stream", "LISTEN", "/run/a b 1 * 2",
    )  # fmt: skip
    assert (listener.pid, listener.inode, listener.peer_inode) == (5, 31337, None)
    assert (server.peer_inode, server.remote_address) == (31339, None)
    assert (client.remote_address, client.drops) == ("/run/a b 1 * 2", 9)
    assert (dgram.local_address, dgram.state) == ("@bus 1", "UNCONN")
    assert (seqpacket.type, seqpacket.remote_address) == ("seqpacket", None)
    assert tcp.protocol == "tcp"


def test_sockets_that_are_not_of_the_internet() -> None:
    text = (
        "nl    UNCONN 0      0        rtnl:kernel               *\n"
        "p_raw UNCONN 0      0           arp:eth0               *    ino:7 sk:9\n"
        "v_str LISTEN 0      0             2:1024             *:*\n"
    )
    netlink, packet, vsock = read("ss", text).records
    assert told(netlink) == {
        "protocol": "netlink", "family": "netlink", "type": "dgram", "state": "UNCONN",
        "local_address": "rtnl:kernel", "recv_q": 0, "send_q": 0, "owner_status": "unsupported",
    }  # fmt: skip
    assert (packet.protocol, packet.local_address, packet.inode) == ("packet", "arp:eth0", 7)
    assert (vsock.protocol, vsock.state, vsock.local_address) == ("vsock", "LISTEN", "2:1024")


@pytest.mark.parametrize(
    ("rows", "protocol", "notes"),
    [
        ("LISTEN 0 5 0.0.0.0:1 0.0.0.0:*\n", "tcp", []),
        ("ESTAB 0 0 1.2.3.4:1 1.2.3.4:2\nUNCONN 0 0 0.0.0.0:3 0.0.0.0:*\n", "udp", []),
        ("ESTAB 0 0 1.2.3.4:1 1.2.3.4:2\n\t cubic rto:201\n", "tcp", []),
        ("ESTAB 0 0 1.2.3.4:1 1.2.3.4:2\n", "tcp", ["protocol_assumed"]),
    ],
)
def test_of_which_protocol_rows_without_netid_are(
    rows: str, protocol: str, notes: list[str]
) -> None:
    done = read("ss", rows)
    assert {record.protocol for record in done.records} == {protocol}
    assert [note.code for note in done.notes] == notes


def test_the_protocol_can_be_named() -> None:
    row = "ESTAB 0 0 1.2.3.4:1 1.2.3.4:2\n"
    for name in ("tcp", "udp", "raw"):
        done = read(f"ss-{name}", row)
        assert ([r.protocol for r in done.records], done.notes) == ([name], [])


def test_without_the_column_of_the_state_it_is_not_known() -> None:
    done = read(
        "ss", "Recv-Q Send-Q Local Address:Port Peer Address:Port\n0 0 1.2.3.4:1 1.2.3.4:2\n"
    )
    (record,) = done.records
    assert (record.state, record.remote_port) == ("UNKNOWN", 2)


def test_tcp_that_is_neither_listening_nor_connected() -> None:
    bound, closed = read(
        "ss", "tcp UNCONN 0 0 1.2.3.4:1 0.0.0.0:*\ntcp UNCONN 0 0 *:* *:*\n"
    ).records
    assert (bound.state, closed.state) == ("BOUND", "CLOSE")


TIME = "1min59sec or 200ms"
USERS = 'processes such as users:(("nginx",pid=812,fd=6))'


@pytest.mark.parametrize(
    ("row", "column", "expected"),
    [
        ("tcp ESTABB 0 0 1.2.3.4:1 1.2.3.4:2", 4, "a state such as ESTABLISHED"),
        ("tipc ESTAB 0 0 1:1 2:2", 0, "a kind such as tcp, or a state such as ESTAB"),
        ("tcp ESTAB 0 0 1.2.3.4:1", 14, "a state, two queues and two addresses"),
        ("tcp ESTAB 0 x 1.2.3.4:1 1.2.3.4:2", 12, "a number: the send queue"),
        ("u_str ESTAB 0 0 /run/a", 16, "two paths with their inodes, such as /run/a 31337 * 31338"),
        ("tcp ESTAB 0 0 1.2.3.4:1 1.2.3.4:2 timer:(on,soon,1)", 44, "a time such as " + TIME),
        ("tcp ESTAB 0 0 1.2.3.4:1 1.2.3.4:2 cwnd:many", 34, "a number after cwnd:"),
        ("tcp ESTAB 0 0 1.2.3.4:1 1.2.3.4:2 users:(what)", 34, USERS),
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_read(row: str, column: int, expected: str) -> None:
    done = read("ss", f"{HEADER}{row}\n{TCP}")
    assert done.faults == [Fault(2, row, column, expected)]
    assert len(done.records) == 1


def test_a_long_capture_is_read_as_a_short_one() -> None:
    rows = "LISTEN 0 128 0.0.0.0:22 0.0.0.0:*\nESTAB 0 0 [::1]:5 [::1]:6\nwhat\n"
    plain = "ESTAB 1 2 10.0.0.1:443 192.0.2.9:51000\n"
    continued = "ESTAB 1 2 10.0.0.1:443 192.0.2.9:51001\n\t cubic rto:201\n"
    few = read("ss", rows)
    many = read("ss", rows + plain * (2 * BATCH_SIZE) + continued * BATCH_SIZE + rows)
    assert many.records[:2] == many.records[-2:] == few.records
    assert {record.remote_port for record in many.records[2 : 2 + 2 * BATCH_SIZE]} == {51000}
    with_info = many.records[2 + 2 * BATCH_SIZE : -2]
    assert len(with_info) == BATCH_SIZE
    assert {record.tcp_info for record in with_info} == {TcpInfo("cubic", rto_ms=201.0)}
    assert [fault.line for fault in many.faults] == [3, 3 + 4 * BATCH_SIZE + 3]


@pytest.mark.parametrize(
    "row",
    [
        "u_str ESTAB 0 0 " + "0 " * 50_000,
        "u_str ESTAB 0 0 a 1 * 2 cgroup:/" + " " * 50_000 + "x",
        "tcp ESTAB 0 0 1.2.3.4:1 1.2.3.4:2 cgroup:/" + "/ " * 50_000,
        "tcp ESTAB 0 0 1.2.3.4:1 1.2.3.4:2 " + "a" * 100_000,
        "tcp ESTAB 0 0 1.2.3.4:1 1.2.3.4:2 users:(" + '("' * 50_000,
        "tcp ESTAB 0 0 1.2.3.4:1 1.2.3.4:2 " + "timer:(on," * 20_000,
        "tcp ESTAB 0 0 1.2.3.4:1 1.2.3.4:2 " + " inet-sockopt:(" * 20_000,
    ],
    ids=lambda row: row[:50],
)
def test_long_rows_take_bounded_work(row: str) -> None:
    done = read("ss", row)
    assert len(done.records) + len(done.faults) == 1
