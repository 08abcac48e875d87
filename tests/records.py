"""Records and hostile names for the tests of what is done with them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from netinspect.extended import Bbr, Memory, Options, TcpInfo
from netinspect.model import STATES, Connection, Envelope, Owner, Timer, decode_name
from netinspect.render.listing import Presentation, Screen, present, render_listing

PLAIN = Connection(
    protocol="tcp",
    family="ipv4",
    type="stream",
    state="ESTABLISHED",
    local_address="10.0.0.1",
    remote_address="10.0.0.2",
    local_port=44321,
    remote_port=443,
    ip_protocol=None,
    interface=None,
    recv_q=0,
    send_q=12,
    uid=1000,
    user="alice",
    inode=9001,
    cookie=77,
    pid=321,
    process="nginx",
    owners=(Owner(321, "nginx", 5),),
    owner_status="known",
)
ENVELOPE = Envelope(
    host="here", platform="linux", sources=("sock_diag",), taken_at="2026-01-02T03:04:05Z"
)


EXTENDED = replace(
    PLAIN,
    tcp_info=TcpInfo(
        "cubic",
        "open",
        rtt_ms=12.345,
        rttvar_ms=4.1,
        rto_ms=204,
        cwnd_segments=10,
        snd_mss_bytes=1448,
        snd_wscale=0,
        rcv_wscale=7,
        sack=True,
        ecn=False,
        reordering_segments=3,
        retransmits=1,
        retransmits_total=4,
        lost_segments=0,
        delivery_rate_bps=374_500_000_000,
        busy_ms=864_000_000,
        last_data_sent_ms_ago=271_444,
        bbr=Bbr(9_752_368_160, 0.042, 739 / 256, 2.0),
    ),
    memory=Memory(1, 131_072, 2, 87_040, 4096, 0, 0, 0, 0),
    options=Options(
        mark=16, tos=0, cgroup_id=7, cgroup="/a.slice", bound_device="eth0", send_shutdown=True
    ),
)
NOT_EXTENDED = replace(PLAIN, tcp_info=None, memory=None, options=None)


def made(**keys: Any) -> Connection:
    """A record like any other, but for these keys."""
    return replace(PLAIN, **keys)


def named(name: str) -> Connection:
    """A record with this name wherever a stranger chooses one."""
    return made(
        protocol="unix",
        family="unix",
        local_address=name,
        remote_address=name,
        local_port=None,
        remote_port=None,
        interface=name,
        user=name,
        process=name,
        owners=(Owner(321, name, 5),),
    )


def presentation(  # noqa: PLR0913 one argument an output option
    output: str = "table",
    *,
    columns: str = "",
    sort: str = "",
    limit: int | None = None,
    has_header: bool = True,
    has_owners: bool = True,
    screen: Screen = Screen(),  # noqa: B008 it is a tuple
    is_extended: bool = False,
) -> Presentation:
    """What the output options would make."""
    return present(
        output,
        columns=columns.split(),
        sort=sort.split(),
        limit=limit,
        has_header=has_header,
        has_owners=has_owners,
        screen=screen,
        is_extended=is_extended,
    )


def rendered(
    connections: Iterable[Connection], output: str = "table", *, batch_size: int = 3, **options: Any
) -> str:
    """The listing of these connections, which come some at a time."""
    rows = list(connections)
    batches = [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    shown = presentation(output, **options)
    return b"".join(render_listing(batches, shown, ENVELOPE, lambda: ())).decode()


# What has broken terminals, tables, spreadsheets and parsers
HOSTILE_BYTES: tuple[bytes, ...] = (
    *(b"\x1b[31m", b"\x1b]0;title\x07", b"\n", b"\r", b"\t", b"\x7f", b"\x08", b"\xc2\x9b2J"),
    *(b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xae", b"\xe2\x81\xa6", b"\xe2\x80\x8b"),
    *(b"\xef\xbb\xbf", b"\xc2\xad", b"\xe3\x85\xa4", b"\xef\xb8\x8f", b"\xf3\xa0\x81\x81"),
    *(b",", b'"', b"'", b"\\", b"=", b";", b"|", b"||", b"&", b"<b>", b"</td>", b"&lt;", b"!!"),
    *(b"*", b"_", b"`", b"~~", b"[x](y)", b"[[", b"{{", b"{%", b"$", b"#", b"@", b"+", b"-", b"%"),
    *(b".. include:: /etc/passwd", b"::", b"\\x1b", b"\\u202e", b"\xff", b"\x9b", b"\xc3", b"\xad"),
    *(b"a", b"b c", b" ", b"1e5", b"007", b"NaN", b"None", b"null", b"\xc3\xa9", b"\xe6\x97\xa5"),
)
HOSTILE_NAMES = st.lists(
    st.sampled_from(HOSTILE_BYTES) | st.binary(max_size=3), min_size=1, max_size=4
).map(lambda pieces: decode_name(b"".join(pieces).replace(b"\0", b"")) or "-")

ADDRESSES = (
    st.ip_addresses(v=4).map(str)
    | st.ip_addresses(v=6).map(str)
    | st.just("fe80::1234:5678:9abc:def0%enp0s31f6")
)
PORTS = st.none() | st.integers(0, 65535)
NUMBERS = st.none() | st.integers(0, 2**32)
OWNERS = st.lists(
    st.builds(Owner, st.integers(1, 2**22), st.none() | HOSTILE_NAMES, st.none() | st.integers(0)),
    max_size=3,
).map(tuple)
CONNECTIONS = st.builds(
    made,
    protocol=st.sampled_from(("tcp", "udp", "icmp")),
    family=st.sampled_from(("ipv4", "ipv6")),
    state=st.sampled_from(STATES),
    local_address=ADDRESSES,
    remote_address=ADDRESSES,
    local_port=PORTS,
    remote_port=PORTS,
    interface=st.none() | HOSTILE_NAMES,
    recv_q=NUMBERS,
    send_q=NUMBERS,
    user=st.none() | HOSTILE_NAMES,
    pid=st.none() | st.integers(1, 2**22),
    process=st.none() | HOSTILE_NAMES,
    owners=OWNERS,
    owner_status=st.sampled_from(("known", "hidden", "none", "not_found")),
    timer=st.none()
    | st.builds(Timer, st.just("keepalive"), st.integers(0, 10**7), st.integers(0, 9)),
    drops=NUMBERS,
)
WITHOUT_PEER = CONNECTIONS.map(lambda c: replace(c, remote_address=None, remote_port=None))
RAW = st.builds(
    made,
    protocol=st.just("raw"),
    family=st.sampled_from(("ipv4", "ipv6")),
    local_address=ADDRESSES,
    local_port=st.none(),
    ip_protocol=st.integers(0, 255),
)
ANY_CONNECTIONS = CONNECTIONS | WITHOUT_PEER | RAW | HOSTILE_NAMES.map(named)
