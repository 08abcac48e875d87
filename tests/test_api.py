from __future__ import annotations

import json
import os
import platform
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import pytest

import netinspect
from netinspect.api import Listing, summarize
from netinspect.errors import RefusedError, UntestedError, UsageError
from netinspect.filters.selection import select
from netinspect.model import STATES, Connection, Count, Note, Owner, Summary

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: sock_diag and /proc")


class Own(NamedTuple):
    """A TCP connection within this process, over IPv4, and its listener."""

    listener: socket.socket
    client: socket.socket
    server: socket.socket

    @property
    def port(self) -> int:
        return port_of(self.listener)


@contextmanager
def connection() -> Iterator[Own]:
    with (
        socket.create_server(("127.0.0.1", 0), backlog=9) as listener,
        socket.create_connection(listener.getsockname()) as client,
        listener.accept()[0] as server,
    ):
        yield Own(listener, client, server)


def port_of(sock: socket.socket) -> int:
    port: int = sock.getsockname()[1]
    return port


def inode_of(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


def found(**conditions: Any) -> set[int | None]:
    """The inodes of this process's sockets that meet the conditions."""
    snapshot = netinspect.snapshot(**{"pids": os.getpid(), **conditions})
    return {c.inode for c in snapshot.connections}


def test_own_sockets_with_their_owner() -> None:
    with connection() as own:
        snapshot = netinspect.snapshot(ports=[own.port])
        by_inode = {c.inode: c for c in snapshot.connections}
        assert set(by_inode) == {inode_of(sock) for sock in own}
        for sock in own:
            record = by_inode[inode_of(sock)]
            (owner,) = record.owners
            assert owner == Owner(os.getpid(), record.process, sock.fileno())
            assert (record.pid, record.owner_status) == (os.getpid(), "known")
        states = [by_inode[inode_of(sock)].state for sock in own]
        assert states == ["LISTEN", "ESTABLISHED", "ESTABLISHED"]


def test_the_envelope() -> None:
    snapshot = netinspect.snapshot(protocols=["tcp"], owners=False)
    assert (snapshot.schema_version, snapshot.platform) == (1, "linux")
    assert snapshot.host == socket.gethostname()
    assert snapshot.sources == ("sock_diag",)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z", snapshot.taken_at or "")
    assert snapshot.notes == ()


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"protocols": "tcp4"}, "lcs"),
        ({"protocols": ["tcp6", "udp"]}, ""),
        ({"families": "ipv4"}, "lcs"),
        ({"families": ["ipv6"]}, ""),
        ({"states": "listen"}, "l"),
        ({"states": ["estab", "LISTENING"]}, "lcs"),
        ({"listening": True}, "l"),
        ({"addresses": "127.0.0.1"}, "lcs"),
        ({"local_addresses": "127.0.0.0/8"}, "lcs"),
        ({"remote_addresses": ["127.0.0.0/8"]}, "cs"),
        ({"users": str(os.geteuid())}, "lcs"),
        ({"users": ["no such user"]}, ""),
        ({"pids": 1}, ""),
        ({"pids": [1, os.getpid()]}, "lcs"),
        ({"processes": ["no such process"]}, ""),
        ({"processes": "*"}, "lcs"),
        ({"ports": []}, ""),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else None,
)
def test_conditions_are_lists_or_single_words(conditions: dict[str, Any], expected: str) -> None:
    with connection() as own:
        inodes = dict(zip("lcs", (inode_of(sock) for sock in own), strict=True))
        mine = found(**{"ports": own.port, **conditions}) & set(inodes.values())
        assert mine == {inodes[letter] for letter in expected}


def test_ports_are_numbers_or_words() -> None:
    with connection() as own:
        listener, client, server = (inode_of(sock) for sock in own)
        port = own.port
        for ports in (port, str(port), [port], [str(port)], f"{port}-{port}", [1, f"{port}-65535"]):
            assert {listener, client, server} <= found(ports=ports)
            assert {listener, server} <= found(local_ports=ports)
        for ports in (port, str(port), [port]):
            assert found(remote_ports=ports) == {client}
            assert found(local_ports=ports) == {listener, server}


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ({"states": "listn"}, "unknown state 'listn'; did you mean listen?"),
        ({"ports": 65536}, "port '65536': expected 0 to 65535, found 65536"),
        ({"pids": [-1]}, "pid '-1': expected a process number such as 1234"),
        ({"pids": ["init"]}, "pid 'init': expected a process number such as 1234"),
        ({"families": "ipv44"}, "unknown family 'ipv44'; did you mean ipv4?"),
        ({"source": "sockdiag"}, "unknown source 'sockdiag'; did you mean sock_diag?"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_bad_conditions(conditions: dict[str, Any], expected: str) -> None:
    with pytest.raises(UsageError) as caught:
        netinspect.snapshot(**conditions)
    assert str(caught.value) == expected


def test_owners_are_looked_for_only_when_asked_or_needed() -> None:
    with connection() as own:
        records = netinspect.snapshot(ports=own.port, owners=False).connections
        assert [(c.owners, c.owner_status) for c in records] == [((), "not_requested")] * 3
        records = netinspect.snapshot(ports=own.port, pids=os.getpid(), owners=False).connections
        assert {c.owner_status for c in records} == {"known"}


def test_a_zone_is_asked_of_who_can_tell_it() -> None:
    for conditions in ({"expression": "src fe80::1%lo"}, {"addresses": ["fe80::1%lo"]}):
        for source in ("proc", "psutil"):
            with pytest.raises(
                UntestedError, match=r"\[fe80::1%lo\]: only sock_diag can test this"
            ):
                netinspect.snapshot(source=source, **conditions)
        assert netinspect.snapshot(source="sock_diag", **conditions).connections == ()


@pytest.mark.parametrize("source", ["sock_diag", "proc"])
def test_a_source_by_name(source: str) -> None:
    with connection() as own:
        snapshot = netinspect.snapshot(ports=own.port, source=source)
        assert snapshot.sources == (source,)
        assert {c.inode for c in snapshot.connections} == {inode_of(sock) for sock in own}


def test_psutil_brings_the_owners_itself() -> None:
    with connection() as own:
        snapshot = netinspect.snapshot(local_ports=own.port, source="psutil")
        assert snapshot.sources == ("psutil",)
        assert {(c.state, c.pid) for c in snapshot.connections} == {
            ("LISTEN", os.getpid()),
            ("ESTABLISHED", os.getpid()),
        }


def test_what_a_source_does_not_have_is_an_error_when_nothing_else_is_asked_for() -> None:
    with pytest.raises(RefusedError) as caught:
        netinspect.snapshot(protocols="icmp", source="psutil")
    assert str(caught.value) == "psutil has no icmp sockets"


def test_what_a_source_does_not_have_is_a_note_beside_something_else() -> None:
    snapshot = netinspect.snapshot(protocols=["icmp", "tcp4"], source="sock_diag", owners=False)
    assert snapshot.notes == (
        Note(
            "protocol_unsupported",
            None,
            "no icmp sockets can be read here: sock_diag has no icmp sockets",
        ),
    )


def test_several_sources_where_one_does_not_have_all() -> None:
    snapshot = netinspect.snapshot(protocols=["icmp4", "tcp4"], owners=False)
    assert snapshot.sources == ("proc", "sock_diag")
    assert snapshot.notes == ()


def test_nothing_asked_for_is_nothing_found() -> None:
    snapshot = netinspect.snapshot(protocols=[])
    assert (snapshot.connections, snapshot.sources, snapshot.notes) == ((), (), ())


def run(code: str, *args: str) -> Any:
    """The JSON that a Python of its own prints."""
    command = [sys.executable, "-c", code, *args]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    return json.loads(done.stdout)


# Says for each question whether /proc was looked at for processes.
WHO_LISTS_PROC = """
import json, socket, sys, netinspect
listed = []
sys.addaudithook(lambda event, args: event == "os.listdir" and listed.append(args[0]))
def lists_proc(**conditions):
    del listed[:]
    netinspect.snapshot(**conditions)
    return "/proc" in listed
with socket.create_server(("127.0.0.1", 0)) as listener:
    client = socket.create_connection(listener.getsockname())
    server = listener.accept()[0]
    client.close()
    server.close()
    port = listener.getsockname()[1]
    print(json.dumps([
        lists_proc(ports=port),
        lists_proc(ports=port, owners=False),
        lists_proc(ports=port, states="time-wait"),
        lists_proc(ports=port, states="syn-sent"),
        lists_proc(ports=port, pids=1, owners=False),
        len(netinspect.snapshot(ports=port, states="time-wait").connections),
    ]))
"""


def test_nobody_looks_for_the_owners_of_sockets_without_an_inode() -> None:
    assert run(WHO_LISTS_PROC) == [True, False, False, False, True, 1]


# A seccomp filter (seccomp(2)) answers EACCES to socket(AF_NETLINK, ...), as a container may.
WITHOUT_NETLINK = """
import ctypes, json, os, socket, struct, sys
SYS_SOCKET = int(sys.argv[1])
LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
program = b"".join(struct.pack("HBBI", *instruction) for instruction in (
    (LOAD, 0, 0, 0),  # the number of the call
    (JUMP_IF_EQUAL, 0, 3, SYS_SOCKET),
    (LOAD, 0, 0, 16),  # its first argument
    (JUMP_IF_EQUAL, 0, 1, 16),  # AF_NETLINK
    (RETURN, 0, 0, 0x00050000 | 13),
    (RETURN, 0, 0, 0x7FFF0000),
))
buffer = ctypes.create_string_buffer(program)
libc = ctypes.CDLL(None, use_errno=True)
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2
assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
fprog = struct.pack("HP", 6, ctypes.addressof(buffer))
assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, fprog) == 0

import netinspect
with socket.create_server(("127.0.0.1", 0)) as four, \\
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six:
    expected = [["ipv4", four.getsockname()[1]], ["ipv6", six.getsockname()[1]]]
    snapshot = netinspect.snapshot(local_ports=[port for _, port in expected], owners=False)
    found = sorted([c.family, c.local_port] for c in snapshot.connections)
    print(json.dumps([
        found == expected,
        snapshot.sources,
        # others may open and close sockets meanwhile, so that a row comes twice
        [(n.code, n.message) for n in snapshot.notes if n.code != "duplicates_dropped"],
    ]))
"""
SYS_SOCKET = {"x86_64": 41, "aarch64": 198}.get(platform.machine())


@pytest.mark.skipif(SYS_SOCKET is None, reason="knows the system call only of x86_64 and aarch64")
def test_where_netlink_is_refused_nothing_is_missing() -> None:
    message = "netlink is refused: Permission denied; read from proc instead, which tells less"
    assert run(WITHOUT_NETLINK, str(SYS_SOCKET)) == [
        True,
        ["proc"],
        [["source_fallback", message]],
    ]


def summary(source: str = "auto", **conditions: Any) -> Summary:
    return summarize(Listing(select(**conditions), source=source, with_owners=False))


def rows(of: Summary) -> list[tuple[str, str, str]]:
    return [(c.protocol, c.family, c.state) for c in of.counts]


def test_a_summary_counts_own_sockets() -> None:
    with connection() as own:
        counted = summary(protocols=["tcp4"], ports=[str(own.port)])
        assert counted.total == 3
        assert {c for c in counted.counts if c.count} == {
            Count("tcp", "ipv4", "LISTEN", 1),
            Count("tcp", "ipv4", "ESTABLISHED", 2),
        }


def test_a_summary_has_a_row_for_every_state_that_can_be() -> None:
    counted = summary(protocols=["tcp6", "udp4", "unix"], local_ports=["0"], users=["no one"])
    tcp_states = [state for state in STATES if state not in ("UNCONN", "UNKNOWN")]
    assert rows(counted) == [
        *(("tcp", "ipv6", state) for state in tcp_states),
        ("udp", "ipv4", "ESTABLISHED"),
        ("udp", "ipv4", "UNCONN"),
        ("unix", "unix", "ESTABLISHED"),
        ("unix", "unix", "LISTEN"),
        ("unix", "unix", "UNCONN"),
    ]
    assert (counted.total, {c.count for c in counted.counts}) == (0, {0})


def test_a_summary_has_no_row_for_states_that_were_not_asked_for() -> None:
    counted = summary(protocols=["tcp4", "udp4"], states=["time-wait"], ports=["0"])
    assert counted.counts == (Count("tcp", "ipv4", "TIME_WAIT", 0),)
    counted = summary(protocols=["tcp4", "udp4"], listening=True, ports=["0"])
    assert rows(counted) == [("tcp", "ipv4", "LISTEN"), ("udp", "ipv4", "UNCONN")]


def test_a_summary_has_no_row_for_what_cannot_be_read() -> None:
    counted = summary("psutil", protocols=["icmp", "udp4"])
    assert {(protocol, family) for protocol, family, _ in rows(counted)} == {("udp", "ipv4")}
    assert counted.notes[0] == Note(
        "protocol_unsupported",
        None,
        "no icmp sockets can be read here: psutil has no icmp sockets",
    )


@pytest.mark.parametrize("source", ["sock_diag", "proc", "psutil"])
def test_a_summary_without_conditions_counts_own_sockets_too(source: str) -> None:
    """Nothing tests the sockets: most sources count them without making records."""
    with connection():
        counted = {(c.state, c.count) for c in summary(source, protocols=["tcp4"]).counts}
    assert sum(count for state, count in counted if state == "LISTEN") >= 1
    assert sum(count for state, count in counted if state == "ESTABLISHED") >= 2


def test_a_summary_may_ask_for_owners() -> None:
    with connection() as own:
        port = str(own.port)
        assert summary(ports=[port], pids=[os.getpid()]).total == 3
        assert summary(ports=[port], pids=[1]).total == 0


def test_a_listing_streams_lists_of_records() -> None:
    with connection() as own:
        listing = Listing(select(ports=[str(own.port)]))
        batches = list(listing)
    assert all(isinstance(c, Connection) for records in batches for c in records)
    assert sum(map(len, batches)) == 3
