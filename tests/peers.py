"""What ss, netstat and lsof print, cut into rows that have the keys of our record.

A row has only the keys that the program tells. These are readers for the tests: they know the
versions that the tests run (iproute2 6, net-tools 2.10, lsof 4.9x), and nothing else.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

from netinspect.filters.words import parse_states
from netinspect.model import State, decode_name

Row = dict[str, Any]

COMMANDS = {
    "ss": ["ss", "-H", "-O", "-tuwxanpe", "-o"],
    "netstat": ["netstat", "-tuwxanpeo", "--udplite", "--wide"],
    "lsof": ["lsof", "-nP", "-i", "-U", "-F0pftPTnid"],
}

UNIX_TYPES = {
    "u_str": "stream",
    "u_dgr": "dgram",
    "u_seq": "seqpacket",
    "STREAM": "stream",
    "DGRAM": "dgram",
    "SEQPACKET": "seqpacket",
}
UNIX_STATES: dict[str, State] = {
    "": "UNCONN",
    "CONNECTED": "ESTABLISHED",
    "CONNECTING": "ESTABLISHED",
    "LISTENING": "LISTEN",
    "LISTEN": "LISTEN",
    "UNCONNECTED": "UNCONN",
}
TIMERS = {
    "on": "retransmit",
    "keepalive": "keepalive",
    "timewait": "time_wait",
    "persist": "zero_window",
    "probe": "zero_window",
}


def run(program: str) -> list[Row] | None:
    """The sockets that a program shows; None where it is not installed."""
    if shutil.which(program) is None:
        return None
    environment = {**os.environ, "LC_ALL": "C"}
    done = subprocess.run(COMMANDS[program], capture_output=True, check=False, env=environment)
    assert done.stdout, done.stderr
    return list({"ss": ss_rows, "netstat": netstat_rows, "lsof": lsof_rows}[program](done.stdout))


# tcp ESTAB 0 0 127.0.0.1:5000 127.0.0.1:6000 users:(("a",pid=1,fd=3)) ino:7 sk:1f cgroup:/ <->
# A path may have blanks and line breaks, so only what follows the inode tells where it ends.
SS_ROW = re.compile(
    rb"^(tcp|udp|raw) +(\S+) +(\d+) +(\d+) +(\S+) +(\S+) +(.*?) *$"
    rb"|^(u_\w+) +(\S+) +(\d+) +(\d+) +((?s:.)*?) (\d+) +\* (\d+) +(.*?) *$",
    re.MULTILINE,
)
SS_USER = re.compile(rb"pid=(\d+),fd=(\d+)")
SS_TIMER = re.compile(rb"timer:\((\w+),")


def ss_rows(text: bytes) -> Iterator[Row]:
    """Of `ss -H -O -tuwxanpeo`."""
    for fields in SS_ROW.findall(text):
        protocol, state, recv_q, send_q, local, remote, rest = fields[:7]
        if protocol:
            yield {
                **_ends(protocol.decode(), _ss_end(local), _ss_end(remote)),
                **_ss_common(state, recv_q, send_q, rest),
                **_ss_details(protocol, rest),
            }
        else:
            kind, state, recv_q, send_q, path, inode, peer_inode, rest = fields[7:]
            yield {
                "protocol": "unix",
                "type": UNIX_TYPES[kind.decode()],
                "local_address": None if path == b"*" else decode_name(path),
                "inode": int(inode),
                "peer_inode": int(peer_inode) or None,
                **_ss_common(state, recv_q, send_q, rest),
            }


def _ss_common(state: bytes, recv_q: bytes, send_q: bytes, rest: bytes) -> Row:
    owners = frozenset((int(pid), int(fd)) for pid, fd in SS_USER.findall(rest))
    queues = {"recv_q": int(recv_q), "send_q": int(send_q)}
    return {"state": _state(state.decode()), **queues, "owners": owners}


def _ss_details(protocol: bytes, rest: bytes) -> Row:
    """What -e and -o add, for raw sockets nothing: ss reads them from /proc."""
    if protocol == b"raw":
        return {}
    details = dict(word.split(b":", 1) for word in rest.split() if b":" in word)
    timer = SS_TIMER.search(rest)
    inode = int(details[b"ino"])
    uid = int(details.get(b"uid", 0))
    return {
        "inode": inode or None,
        "cookie": int(details[b"sk"], 16),
        "uid": uid if uid or inode else None,
        "timer": TIMERS[timer[1].decode()] if timer else None,
    }


def _ss_end(end: bytes) -> tuple[str, str]:
    """`[fe80::1]%lo:22`, `127.0.0.1%lo:22`, `*:22` (IPv6), `0.0.0.0:*`."""
    address, _, port = end.decode().rpartition(":")
    return "::" if address == "*" else address.replace("[", "").replace("]", ""), port


# tcp  0 0 127.0.0.1:5000 0.0.0.0:* LISTEN 0 12345 7/python3 off (0.00/0/0)
NETSTAT_INET = re.compile(
    rb"^((?:tcp|udpl?|raw)6?) +(\d+) +(\d+) +(\S+) +(\S+) +([A-Z_\d]*[A-Z12]|[17])? +(\d+) +(\d+)"
    rb" +(\S.*?) +(\w+) \([\d./]+\)$",
    re.MULTILINE,
)
# unix 2 [ ACC ] STREAM LISTENING 12345 7/python3 /run/x; a path is cut at its first blank
NETSTAT_UNIX = re.compile(
    rb"^unix +\d+ +\[ (?:ACC )?\] +(\w+) +([A-Z]*) +(\d+) +(-|\d+/\S+) +(.*)$", re.MULTILINE
)


def netstat_rows(text: bytes) -> Iterator[Row]:
    """Of `netstat -tuwxanpeo --udplite --wide`."""
    for fields in NETSTAT_INET.findall(text):
        protocol, recv_q, send_q, local, remote, state, uid, inode, program, timer = fields
        name = protocol.decode().rstrip("6").replace("udpl", "udplite")
        has_uid = int(uid) or int(inode)
        yield {
            **_ends(name, _netstat_end(local), _netstat_end(remote)),
            "family": "ipv6" if protocol.endswith(b"6") else "ipv4",
            "state": _netstat_state(state.decode(), name),
            "recv_q": int(recv_q),
            "send_q": int(send_q),
            "uid": int(uid) if has_uid else None,
            "inode": int(inode) or None,
            "pids": _netstat_pids(program),
            "timer": TIMERS.get(timer.decode()),
        }
    for kind, state, inode, program, path in NETSTAT_UNIX.findall(text):
        yield {
            "protocol": "unix",
            "type": UNIX_TYPES[kind.decode()],
            "state": UNIX_STATES[state.decode()],
            "inode": int(inode) or None,
            "pids": _netstat_pids(program),
            "local_address": decode_name(path) or None,
        }


def _netstat_state(word: str, protocol: str) -> State:
    """Of raw sockets the number, of UDP nothing when it is not connected."""
    if protocol == "tcp":
        return _state(word)
    return "ESTABLISHED" if word in ("ESTABLISHED", "1") else "UNCONN"


def _netstat_pids(program: bytes) -> frozenset[int]:
    return frozenset() if program.startswith(b"-") else frozenset([int(program.split(b"/")[0])])


def _netstat_end(end: bytes) -> tuple[str, str]:
    """`::1:22`, `:::22`, `0.0.0.0:*`."""
    address, _, port = end.decode().rpartition(":")
    return address, port


def lsof_rows(text: bytes) -> Iterator[Row]:
    """Of `lsof -i -U -F0`: one row a socket, though it has one for each descriptor."""
    rows: dict[int, Row] = {}
    for row in _lsof_descriptors(text):
        owners = rows.get(row["inode"], {}).get("owners", frozenset())
        rows[row["inode"]] = {**row, "owners": owners | row["owners"]}
    return iter(rows.values())


def _lsof_descriptors(text: bytes) -> Iterator[Row]:
    """A set of fields for each process, and for each of its files."""
    pid = 0
    for line in text.split(b"\0\n"):
        fields = [(field[:1].decode(), field[1:]) for field in line.lstrip(b"\n").split(b"\0")]
        values = dict(fields)
        told = dict(field[1].split(b"=") for field in fields if field[0] == "T")
        if "p" in values:
            pid = int(values["p"])
        elif "t" in values:
            row = _lsof_unix(values, told) if values["t"] == b"unix" else _lsof_inet(values, told)
            yield {**row, "owners": frozenset([(pid, int(values["f"]))])}


def _lsof_unix(values: dict[str, bytes], told: dict[bytes, bytes]) -> Row:
    """The name is `PATH type=STREAM`, or `type=STREAM`."""
    path, _, kind = values["n"].rpartition(b"type=")
    return {
        "protocol": "unix",
        "type": UNIX_TYPES[kind.decode()],
        "state": UNIX_STATES[told[b"ST"].decode()],
        "inode": int(values["i"]),
        "local_address": path.decode().rstrip(" ") or None,
    }


def _lsof_inet(values: dict[str, bytes], told: dict[bytes, bytes]) -> Row:
    protocol = values["P"].decode().lower()
    local, _, remote = values["n"].decode().partition("->")
    family = "ipv6" if values["t"] == b"IPv6" else "ipv4"
    unconnected = "ESTABLISHED" if remote else "UNCONN"
    return {
        **_ends(protocol, _lsof_end(local, family), _lsof_end(remote or "*:*", family)),
        "family": family,
        "state": _state(told[b"ST"].decode()) if b"ST" in told else unconnected,
        "inode": int(values["d"]),
        "recv_q": int(told[b"QR"]),
        "send_q": int(told[b"QS"]),
    }


def _lsof_end(end: str, family: str) -> tuple[str, str]:
    """`[::1]:22`, `127.0.0.1:22`, `*:22`."""
    address, _, port = end.rpartition(":")
    wildcard = "::" if family == "ipv6" else "0.0.0.0"
    return wildcard if address == "*" else address.strip("[]"), port


def _ends(protocol: str, local: tuple[str, str], remote: tuple[str, str]) -> Row:
    """Both ends by our rules: no peer, no address; of raw sockets the port is the protocol."""
    address, port = local
    peer, peer_port = remote
    has_peer = peer_port != "*" or peer not in ("0.0.0.0", "::")
    is_raw = protocol == "raw"
    return {
        "protocol": protocol,
        "local_address": address,
        "local_port": None if is_raw else int(port),
        "ip_protocol": int(port) if is_raw else None,
        "remote_address": peer if has_peer else None,
        "remote_port": int(peer_port) if has_peer and not is_raw else None,
    }


def _state(word: str) -> State:
    (state,) = parse_states([word])
    return state
