from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from netinspect.errors import ParseError, RefusedError, SourceError
from netinspect.model import Connection, State, Table
from netinspect.parse.inet_diag import encode_request
from netinspect.parse.inet_records import Names
from netinspect.parse.netlink import Reply, decode_reply, encode_dump_request
from netinspect.parse.seen import Seen
from netinspect.query import Network, PortRange, Query
from netinspect.relay import Relay
from netinspect.sources.names import UserNames
from netinspect.sources.netlink import (
    _TruncatedError,
    dump,
    open_socket,
    read_replies,
    receive,
    send,
)
from netinspect.sources.sock_diag import InetBatch, SockDiag, UnixBatch, _Turns
from tests.kernel_messages import done, inet_payload, message, unix_payload

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: netlink")

TCP4, TCP6 = Table("tcp", "ipv4"), Table("tcp", "ipv6")
UDP4, UNIX = Table("udp", "ipv4"), Table("unix", "unix")
NAMES = Names({0: "root"}, {})
ALL_TCP4 = encode_request(TCP4, Query(tables=(TCP4,)), with_condition=False)


@contextmanager
def kernel(*answers: bytes) -> Iterator[socket.socket]:
    """A socket on which these answers wait, for one read each."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, 1000))
        for answer in answers:
            theirs.send(answer)
        yield ours


def replies_of(*answers: bytes, read_size: int = 1 << 16) -> Iterator[Reply]:
    """What is read of these answers."""
    with kernel(*answers) as netlink:
        yield from read_replies(netlink, read_size)


def records(source: SockDiag, table: Table, query: Query) -> list[Connection]:
    return [record for batch in source.read(table, query) for record in batch.records()]


@contextmanager
def listeners(*addresses: str) -> Iterator[list[socket.socket]]:
    """TCP listeners on ports of the kernel's choice."""
    socks = [
        socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET)
        for address in addresses
    ]
    try:
        for sock, address in zip(socks, addresses, strict=True):
            sock.bind((address, 0))
            sock.listen(7)
        yield socks
    finally:
        for sock in socks:
            sock.close()


def port_of(sock: socket.socket) -> int:
    port: int = sock.getsockname()[1]
    return port


def test_replies_come_in_their_order_until_the_last() -> None:
    first, second = message(inet_payload(cookie=1)), message(inet_payload(cookie=2)) + done()
    assert list(replies_of(first, second, b"never read")) == [
        Reply(first, 88, 88, is_last=False),
        Reply(second, 88, 88, is_last=True),
    ]


def test_an_error_comes_after_what_was_read_before_it() -> None:
    replies = replies_of(message(inet_payload()), done(errno.ENOMEM))
    assert next(replies).end == 88
    with pytest.raises(SourceError) as caught:
        next(replies)
    assert str(caught.value) == "the kernel failed: Cannot allocate memory (ENOMEM)"


def test_a_refusal() -> None:
    with pytest.raises(RefusedError) as caught:
        list(replies_of(done(errno.ENOENT)))
    assert str(caught.value) == "the kernel refuses: No such file or directory (ENOENT)"


def test_an_answer_that_is_not_netlink() -> None:
    with pytest.raises(ParseError) as caught:
        list(replies_of(b"not netlink"))
    assert str(caught.value) == "netlink message at byte 0: expected 16 bytes, found 11"


def test_a_kernel_that_answers_nothing() -> None:
    with pytest.raises(SourceError) as caught:
        list(replies_of())
    assert type(caught.value) is SourceError
    assert str(caught.value) == "the kernel did not answer a sock_diag request within 10 s"


def test_a_kernel_that_stops_answering() -> None:
    replies = replies_of(message(inet_payload()))
    next(replies)
    with pytest.raises(SourceError) as caught:
        next(replies)
    assert str(caught.value) == "the kernel did not answer a sock_diag request within 10 s"


def test_an_answer_that_is_longer_than_what_is_read() -> None:
    with pytest.raises(_TruncatedError) as caught:
        list(replies_of(message(inet_payload()), read_size=87))
    assert str(caught.value) == "the kernel had more to say than 87 bytes"


def test_reading_that_fails() -> None:
    with kernel() as netlink:
        pass
    with pytest.raises(SourceError) as caught:
        receive(netlink, 100)
    assert str(caught.value) == "reading sock_diag failed: Bad file descriptor (EBADF)"


def test_asking_that_fails() -> None:
    with kernel() as netlink:
        pass
    with pytest.raises(RefusedError) as caught:
        send(netlink, b"a request")
    assert str(caught.value) == "netlink is refused: Bad file descriptor"


def test_the_kernel_has_ten_seconds() -> None:
    with open_socket() as netlink:
        timeout = netlink.getsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, 16)
    assert timeout == struct.pack("@ll", 10, 0)


@contextmanager
def no_descriptor_left() -> Iterator[None]:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_socket_that_cannot_be_opened_is_a_refusal_of_every_table() -> None:
    """Above all of both families of TCP, which are read as one."""
    source, query = SockDiag(), Query(tables=(TCP4, TCP6, UDP4))
    for table in query.tables:
        batches = source.read(table, query)
        with no_descriptor_left(), pytest.raises(RefusedError) as caught:
            next(batches)
        assert str(caught.value) == "netlink is refused: Too many open files"


def test_what_the_kernel_has_no_handler_for_is_a_refusal() -> None:
    request = struct.pack("=BBBBI", socket.AF_INET, 254, 0, 0, 0xFFFFFFFF) + bytes(48)
    with pytest.raises(RefusedError) as caught:
        list(dump(encode_dump_request(request)))
    assert str(caught.value) == "the kernel refuses: No such file or directory (ENOENT)"


def test_a_protocol_that_sock_diag_does_not_know() -> None:
    table = Table("icmp", "ipv4")
    with pytest.raises(RefusedError) as caught:
        list(SockDiag().read(table, Query(tables=(table,))))
    assert str(caught.value) == "sock_diag has no icmp sockets"


def test_a_dump_closes_its_socket() -> None:
    before = os.listdir("/proc/self/fd")
    assert [reply.is_last for reply in dump(ALL_TCP4)][-1]
    assert os.listdir("/proc/self/fd") == before


def test_a_dump_closes_its_socket_when_nobody_wants_the_rest() -> None:
    before = os.listdir("/proc/self/fd")
    replies = dump(ALL_TCP4)
    next(replies)
    replies.close()  # type: ignore[attr-defined]
    assert os.listdir("/proc/self/fd") == before


def test_a_dump_closes_its_socket_when_its_reader_fails() -> None:
    before = os.listdir("/proc/self/fd")
    batches = SockDiag().read(TCP4, Query(tables=(TCP4,)))
    next(batches)
    with pytest.raises(ZeroDivisionError):
        batches.throw(ZeroDivisionError)  # type: ignore[attr-defined]
    assert os.listdir("/proc/self/fd") == before


def test_small_reads_grow_until_they_are_large_enough() -> None:
    seen, names = Seen(), Names(UserNames(), {})
    with listeners("127.0.0.1", "127.0.0.1") as socks:
        found = [
            record.inode
            for reply in dump(ALL_TCP4, read_size=20)
            for record in InetBatch(reply, "tcp", names, seen).records()
        ]
        for sock in socks:
            assert found.count(os.fstat(sock.fileno()).st_ino) == 1


def batch(data: bytes, seen: Seen) -> InetBatch:
    return InetBatch(decode_reply(data), "tcp", NAMES, seen)


def test_a_socket_in_two_batches_is_shown_once() -> None:
    seen = Seen()
    first = message(inet_payload(cookie=1)) + message(inet_payload(cookie=2))
    second = message(inet_payload(cookie=2)) + message(inet_payload(cookie=3)) + done()
    assert [r.cookie for r in batch(first, seen).records()] == [1, 2]
    assert [r.cookie for r in batch(second, seen).records()] == [3]


def test_a_socket_in_two_batches_is_counted_once() -> None:
    seen = Seen()
    first = message(inet_payload(cookie=1)) + message(inet_payload(cookie=2))
    second = message(inet_payload(cookie=2)) + message(inet_payload(cookie=3)) + done()
    total = batch(first, seen).tally() + batch(second, seen).tally()
    assert total == {(TCP4, "ESTABLISHED"): 3}


def test_a_batch_of_unix_sockets() -> None:
    replies = [
        decode_reply(message(unix_payload(cookie=1))),
        decode_reply(message(unix_payload(cookie=2, state=10)) + message(unix_payload(cookie=1))),
    ]
    unix = UnixBatch(replies, NAMES)
    assert [(r.cookie, r.state) for r in unix.records()] == [(1, "ESTABLISHED"), (2, "LISTEN")]
    assert unix.tally() == {(UNIX, "ESTABLISHED"): 1, (UNIX, "LISTEN"): 1}


def test_a_turn_is_some_replies() -> None:
    """Eight, of the helper nine, or what is left; after the last one nothing is read."""
    answers = [message(inet_payload(cookie=number)) for number in range(1, 19)]
    replies = [decode_reply(answer) for answer in answers]
    with kernel(*answers, done(), b"never read") as netlink:
        turns = _Turns(netlink, Seen())
        found = turns.read(), turns.read(is_helper=True), turns.read()
    assert found == (
        (replies[:8], False),
        (replies[8:17], False),
        ([*replies[17:], decode_reply(done())], True),
    )


def test_what_the_other_one_brought_is_not_shown_again() -> None:
    here, there = _Turns(socket.socket(), Seen()), _Turns(socket.socket(), Seen())
    brought = message(inet_payload(cookie=1)) + message(inet_payload(cookie=2, state=10))
    with here.netlink, there.netlink:
        here.hear(there.tell([decode_reply(brought), decode_reply(done())]))
    again = message(inet_payload(cookie=2)) + message(inet_payload(cookie=3))
    assert [r.cookie for r in batch(again, here.seen).records()] == [3]


def test_a_shared_dump_that_is_short_is_as_any() -> None:
    with listeners("127.0.0.1", "::1") as socks:
        query = Query(tables=(TCP4, TCP6), states=frozenset({"LISTEN"}))
        found = {r.inode for r in records(SockDiag(Relay()), TCP4, query)}
        assert {os.fstat(sock.fileno()).st_ino for sock in socks} <= found


def test_own_listeners() -> None:
    with listeners("127.0.0.1", "::1") as socks:
        query = Query(tables=(TCP4, TCP6), states=frozenset({"LISTEN"}))
        found = {r.inode: r for r in records(SockDiag(), TCP4, query)}
        for sock, family in zip(socks, ("ipv4", "ipv6"), strict=True):
            status = os.fstat(sock.fileno())
            record = found[status.st_ino]
            assert record.cookie
            assert record == Connection(
                protocol="tcp",
                family="ipv4" if family == "ipv4" else "ipv6",
                type="stream",
                state="LISTEN",
                local_address=sock.getsockname()[0],
                remote_address=None,
                local_port=port_of(sock),
                remote_port=None,
                ip_protocol=None,
                interface=None,
                recv_q=0,
                send_q=7,
                uid=status.st_uid,
                user=UserNames()[status.st_uid],
                inode=status.st_ino,
                cookie=record.cookie,
                owner_status="not_requested",
                exposure="loopback",
            )


@pytest.mark.parametrize("tables", [(TCP4, TCP6), (TCP6, TCP4)])
def test_both_families_of_tcp_come_with_the_first(tables: tuple[Table, Table]) -> None:
    with listeners("127.0.0.1", "::1") as socks:
        source, query = SockDiag(), Query(tables=tables)
        first, second = (records(source, table, query) for table in tables)
        assert {port_of(sock) for sock in socks} <= {record.local_port for record in first}
        assert second == []
        again = records(source, tables[0], Query(tables=tables))
        assert {port_of(sock) for sock in socks} <= {record.local_port for record in again}


@pytest.mark.parametrize(("table", "family"), [(TCP4, "ipv4"), (TCP6, "ipv6")])
def test_one_family_of_tcp_comes_alone(table: Table, family: str) -> None:
    with listeners("127.0.0.1", "::1"):
        found = records(SockDiag(), table, Query(tables=(table,)))
        assert {record.family for record in found} == {family}


@pytest.mark.parametrize("tables", [(TCP4,), (TCP4, TCP6)], ids=["one table", "both"])
def test_the_kernel_tests_ports(tables: tuple[Table, ...]) -> None:
    with listeners("127.0.0.1", "127.0.0.1") as socks:
        port = port_of(socks[0])
        query = Query(tables=tables, condition=PortRange("local", port, port))
        found = records(SockDiag(), TCP4, query)
    assert {record.local_port for record in found} == {port}


@pytest.mark.parametrize("tables", [(TCP4,), (TCP4, TCP6)], ids=["one table", "both"])
def test_what_the_kernel_does_not_know_to_test_is_left_untested(
    tables: tuple[Table, ...],
) -> None:
    impossible = Network("local", socket.inet_aton("192.0.2.1"), prefix_length=33)
    with listeners("127.0.0.1") as (sock,):
        found = records(SockDiag(), TCP4, Query(tables=tables, condition=impossible))
        assert port_of(sock) in {record.local_port for record in found}


def test_the_kernel_tests_states() -> None:
    query = Query(tables=(TCP4,), states=frozenset({"LISTEN"}))
    with listeners("127.0.0.1") as (sock,), socket.create_connection(sock.getsockname()):
        found = records(SockDiag(), TCP4, query)
    assert {record.state for record in found} == {"LISTEN"}


def test_a_tally_is_as_the_records_say() -> None:
    with listeners("127.0.0.1") as (sock,), socket.create_connection(sock.getsockname()):
        query = Query(tables=(TCP4,), condition=PortRange("local", *[port_of(sock)] * 2))
        counts: Counter[tuple[Table, State]] = Counter()
        for reply in SockDiag().read(TCP4, query):
            counts += reply.tally()
    assert counts == {(TCP4, "LISTEN"): 1, (TCP4, "ESTABLISHED"): 1}


def test_own_unix_sockets() -> None:
    one, other = socket.socketpair()
    with one, other:
        inodes = [os.fstat(sock.fileno()).st_ino for sock in (one, other)]
        one.send(b"12345")
        found = {r.inode: r for r in records(SockDiag(), UNIX, Query(tables=(UNIX,)))}
    first, second = (found[inode] for inode in inodes)
    assert (first.peer_inode, second.peer_inode) == (second.inode, first.inode)
    assert (first.type, first.state, first.uid) == ("stream", "ESTABLISHED", os.geteuid())
    assert (second.recv_q, second.local_address, second.remote_address) == (5, None, None)
