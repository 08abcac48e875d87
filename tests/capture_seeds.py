"""Small captures of every format, for the fuzz targets: each behind the byte that says which."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from netinspect.model import Connection
from netinspect.parse.captured import BinaryFormat, Faults, Format
from netinspect.sources.capture import formats
from tests import kernel_messages as kernel

FOLDER = Path(__file__).parent
HEAD_LINES = 12
MOST_OF_A_FORMAT = 3
FORMATS = tuple(formats())

GNU = b"""\
Proto Recv-Q Send-Q Local Address  Foreign Address  State  User  Inode  PID/Program name  Timer
tcp        5      7 10.0.0.1:443   192.0.2.9:51000  ESTABLISHED 33  31337  812/nginx: a  keepalive (7199.05/0/2)
tcp6       0      0 :::22          :::*             LISTEN      0   5      -             off (0.00/0/0)
udp        0      0 0.0.0.0:53     0.0.0.0:*                    0   6      -             off (0.00/0/0)
unix  2      [ ACC ]     STREAM     LISTENING     31337    812/a b              /run/a b
"""  # noqa: E501 the rows of netstat are long
BUSYBOX = b"tcp 0 0 :::22 :::* LISTEN\ntcp 0 0 10.0.0.1:80 10.0.0.2:81 TIME_WAIT\n"
SS = b"""\
u_str ESTAB 0 0 /run/a b 31338 * 31339 users:(("a b",pid=5,fd=3)) skmem:(r0,rb2,t0,tb4,f0,w0,o0,bl0,d0) <->
udp UNCONN 0 0 0.0.0.0%eth0:68 0.0.0.0:* uid:33 ino:7 sk:1f cgroup:/a b v6only:0 <->
tcp ESTAB 5 7 [fe80::1]%eth0:443 [fe80::2]:51000 timer:(on,1min5sec,2) ino:31337 sk:1f
\t ts sack cubic wscale:7,8 rto:204 rtt:0.026/0.013 cwnd:10 pacing_rate 1.5Mbps/3bps busy:12ms(3%) \
bbr:(bw:1bps,mrtt:0.02,pacing_gain:2.5) retrans:1/5
ESTAB 0 0 10.0.0.1:1 10.0.0.2:2
"""  # noqa: E501 the rows of ss are long
OWN = b"""\
{"schema_version":1,"host":"a","platform":"linux","sources":[],"taken_at":"b","connections":[
{"protocol":"tcp","family":"ipv4","type":"stream","state":"LISTEN","local_address":"a","owners":[]},
{"protocol":"udp","family":"ipv6","type":"dgram","state":"UNCONN","timer":null}
],"notes":[{"code":"a","count":1,"message":"b"}]}
"""
OWN_CSV = b'protocol,family,type,state,pid,owners,timer\r\ntcp,ipv4,stream,LISTEN,5,"[]",\r\n'


def parse_capture(data: bytes) -> None:
    """Read what follows the first byte, which says by which format."""
    known, content = FORMATS[data[0] % len(FORMATS) if data else 0], data[1:]
    for batch in batches_of(known, content):
        for record in batch:
            assert type(record) is Connection


def batches_of(known: Format | BinaryFormat, content: bytes) -> Iterator[list[Connection]]:
    if isinstance(known, BinaryFormat):
        return known.read([content[:100], content[100:]], Faults())
    return known.read(content.decode("utf-8", "surrogateescape").split("\n"), Faults())


def capture_seeds() -> tuple[bytes, ...]:
    """Those above, and the heads of the captures that other tests have."""
    dump = b"".join(kernel.message(kernel.inet_payload(cookie=n)) for n in range(3))
    own = {
        "gnu-netstat": [GNU], "busybox-netstat": [BUSYBOX], "ss": [SS], "ss-udp": [SS],
        "netinspect-json": [OWN, OWN.replace(b"connections\":[\n", b"connections\": [\n")],
        "netinspect-ndjson": [b"\n".join(OWN.replace(b"},\n", b"}\n").splitlines()[1:3])],
        "netinspect-csv": [OWN_CSV], "netinspect-tsv": [OWN_CSV.replace(b",", b"\t")],
        "ss-dump": [dump + kernel.done() + dump],
    }  # fmt: skip
    seeds: dict[str, list[bytes]] = {known.name: own.get(known.name, []) for known in FORMATS}
    for path in sorted((FOLDER / "fixtures").rglob("*")) + sorted((FOLDER / "roots").rglob("*")):
        head = head_of(path)
        name = recognised(head)
        if name and len(seeds[name]) < MOST_OF_A_FORMAT and head not in seeds[name]:
            seeds[name].append(head)
    return tuple(
        bytes([number]) + seed for number, known in enumerate(FORMATS) for seed in seeds[known.name]
    )


def head_of(path: Path) -> bytes:
    """The first lines of a file; nothing of what is none."""
    return b"".join(path.read_bytes().splitlines(True)[:HEAD_LINES]) if path.is_file() else b""


def recognised(content: bytes) -> str | None:
    lines = [
        line for line in content.decode("utf-8", "surrogateescape").split("\n") if line.strip()
    ]
    for known in FORMATS:
        if isinstance(known, Format) and lines and known.recognises(lines):
            return known.name
    return None
