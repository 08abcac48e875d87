"""Counting in two halves: who counts what, and whether it is worth it."""

# ruff: noqa: SLF001 what is parted shows in the counts of a busy machine only

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from netinspect.filters.expression import parse_expression
from netinspect.filters.terms import predicate
from netinspect.parse.inet_diag import count_kinds, named_tally
from netinspect.parse.inet_numbers import CLOSE
from netinspect.parse.netlink import Reply, decode_reply
from netinspect.parse.seen import Seen
from netinspect.query import HIGHEST_PORT
from netinspect.sources import CountedBatch, halves
from tests.kernel_messages import inet_payload, message
from tests.records import made

PORT = st.integers(0, HIGHEST_PORT)
RANGES = st.tuples(PORT, PORT).map(lambda ports: (min(ports), max(ports)))


@example((32768, 60999), HIGHEST_PORT, HIGHEST_PORT)
@example((HIGHEST_PORT, HIGHEST_PORT), 0, HIGHEST_PORT)
@example((0, 0), 0, 1)
@given(RANGES, PORT, PORT)
def test_each_socket_is_in_one_half(ports: tuple[int, int], local: int, remote: int) -> None:
    socket = made(local_port=local, remote_port=remote)
    ours, theirs = (predicate(half) for half in halves._halves(*ports))
    assert ours(socket) != theirs(socket)


def test_our_share_is_smaller_for_we_count_the_others_too() -> None:
    ours, theirs = (predicate(half) for half in halves._halves(32768, 60999))
    ports = range(32768, 61000, 100)
    counts = [
        sum(half(made(local_port=port, remote_port=443)) for port in ports)
        for half in (ours, theirs)
    ]
    assert sum(counts) == len(ports)
    assert 0.3 < counts[0] / len(ports) < 0.5


@pytest.mark.parametrize(
    ("text", "is_narrow"),
    [
        ("sport = :22", True),
        ("sport = :22 and not dport = :80", True),
        ("sport = :22 or dport = :22", True),
        ("dst 10.0.0.0/8", True),
        ("sport >= :40000", True),
        ("sport >= :1024", False),
        ("not sport = :22", False),
        ("sport = :22 or not dport = :80", False),
        ("dst 0.0.0.0/0", False),
        ("state established", False),
        ("src *", False),
    ],
)
def test_what_leaves_few_sockets(text: str, is_narrow: bool) -> None:
    assert halves._is_narrow(parse_expression(text).condition) == is_narrow


def test_what_comes_twice_is_counted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reply = decode_reply(b"".join(message(inet_payload(cookie=cookie)) for cookie in (1, 2)))
    bound = decode_reply(message(inet_payload(cookie=3, state=CLOSE)))

    def twice(_: bytes) -> Iterator[Reply]:
        yield from (reply, bound, reply)

    monkeypatch.setattr(halves, "dump", twice)
    seen = Seen()
    counts = Counter(halves._count(b"", seen))
    assert counts.total() == 3
    # one that was bound when the others were counted, and is connected now
    assert not Counter(halves._count(b"", seen)).total()


def test_what_was_bound_and_is_connected_is_counted_once_here(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bound, connected = (message(inet_payload(cookie=3, state=state)) for state in (CLOSE, 1))
    replies = {b"others": [bound], b"ours": [connected], b"theirs": [connected]}
    monkeypatch.setattr(halves, "dump", lambda asked: iter(map(decode_reply, replies[asked])))
    seen = Seen()

    def batch(reply: Reply) -> CountedBatch:
        return CountedBatch(named_tally(count_kinds(reply, seen), "tcp"))

    batches = halves._count_all(list(replies), batch, seen, frozenset({"ESTABLISHED"}))
    # the other process has not seen it
    assert [sum(found.tally().values()) for found in batches] == [1, 0, 1]


@pytest.mark.parametrize(
    ("files", "number"),
    [
        (("sockets: used 9\nTCP: inuse 4 orphan 0 tw 1 alloc 5 mem 1\n", "TCP6: inuse 3\n"), 8),
        (("TCP: inuse 4 orphan 0 tw 1 alloc 5 mem 1\n",), 5),  # without IPv6
        (("what is this", "TCP6: inuse 3\n"), 3),
        ((), 0),
    ],
)
def test_how_many_there_are(
    files: tuple[str, ...], number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [tmp_path / "sockstat", tmp_path / "sockstat6"]
    for path, text in zip(paths, files, strict=False):
        path.write_text(text)
    monkeypatch.setattr(halves, "SOCKSTAT", paths)
    assert halves._number_of_sockets() == number
