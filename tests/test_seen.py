from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.parse.seen import Seen

ESTABLISHED, CLOSE, LISTEN = 1, 7, 10


def test_what_another_process_has_to_remember() -> None:
    """The number of those without a peer, these, and the latest."""
    told = Seen.tell([LISTEN, ESTABLISHED, CLOSE, ESTABLISHED], [4, 5, 6, 7])
    assert told == struct.pack("=7Q", 2, 4, 6, 4, 5, 6, 7)


def test_of_those_with_a_peer_only_the_latest_are_told() -> None:
    cookies = range(1, 2001)
    told = Seen.tell([LISTEN] + [ESTABLISHED] * 1999, list(cookies))
    assert told == struct.pack("=1026Q", 1, 1, *cookies[-1024:])


def test_nothing_is_told_of_nothing() -> None:
    seen = Seen()
    seen.hear(Seen.tell([], []))
    assert seen.add([1, 2], [ESTABLISHED] * 2) is None


@pytest.mark.parametrize("state", [ESTABLISHED, LISTEN])
def test_what_was_heard_of_is_not_new(state: int) -> None:
    seen = Seen()
    seen.hear(Seen.tell([state] * 2, [8, 9]))
    assert seen.add([9, 10], [ESTABLISHED] * 2) == [False, True]


def test_one_without_a_peer_is_remembered_for_longer() -> None:
    """A socket is bound, and connected when the dump comes to where it is then."""
    seen = Seen()
    seen.hear(Seen.tell([CLOSE, ESTABLISHED], [1, 2]))
    for first in range(100, 10_100, 100):
        seen.add(list(range(first, first + 100)), [ESTABLISHED] * 100)
    assert seen.add([1, 2], [ESTABLISHED] * 2) == [False, True]


@given(
    st.lists(st.tuples(st.sampled_from([ESTABLISHED, CLOSE, LISTEN]), st.integers(1, 2**64 - 1)))
)
def test_hearing_is_as_seeing(sockets: list[tuple[int, int]]) -> None:
    states, cookies = [state for state, _ in sockets], [cookie for _, cookie in sockets]
    here, there = Seen(), Seen()
    here.add(cookies, states)
    there.hear(Seen.tell(states, cookies))
    assert (here.latest, here.peerless) == (there.latest, there.peerless)


@given(st.lists(st.lists(st.tuples(st.sampled_from([ESTABLISHED, LISTEN]), st.integers(0, 30)))))
def test_what_is_new_is_what_no_set_would_hold(replies: list[list[tuple[int, int]]]) -> None:
    """As long as nothing is forgotten. Cookie 0 is none: those are all new."""
    seen, held = Seen(), {0}
    for sockets in replies[: Seen.MOST_REPLIES]:
        expected = []
        for _, cookie in sockets:
            expected.append(cookie not in held or cookie == 0)
            held.add(cookie)
        are_new = seen.add([cookie for _, cookie in sockets], [state for state, _ in sockets])
        assert (are_new or [True] * len(sockets)) == expected
