from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.model import Connection
from netinspect.parse.captured import Fault, Faults
from netinspect.parse.ss_dump import FORMAT
from tests import kernel_messages as kernel

MESSAGES = [kernel.message(kernel.inet_payload(cookie=n)) for n in range(1, 6)]
DUMP = b"".join(MESSAGES)


def read(*blocks: bytes) -> tuple[list[Connection], list[Fault]]:
    faults = Faults()
    return [record for batch in FORMAT.read(blocks, faults) for record in batch], faults.kept


def test_the_sockets_of_a_dump() -> None:
    records, faults = read(DUMP)
    assert ([record.cookie for record in records], faults) == ([1, 2, 3, 4, 5], [])
    assert {record.owner_status for record in records} == {"unsupported"}
    assert {record.user for record in records} == {None}


def test_it_goes_on_behind_the_end_of_the_first_family() -> None:
    records, faults = read(MESSAGES[0] + kernel.done() + b"".join(MESSAGES[1:]) + kernel.done())
    assert ([record.cookie for record in records], faults) == ([1, 2, 3, 4, 5], [])


@given(st.integers(1, len(DUMP) - 1), st.integers(1, len(DUMP) - 1))
def test_blocks_may_end_anywhere(first: int, second: int) -> None:
    low, high = sorted((first, second))
    assert read(DUMP[:low], DUMP[low:high], DUMP[high:]) == read(DUMP)


def test_a_dump_that_was_cut() -> None:
    records, faults = read(DUMP[:-10])
    assert len(records) == 4
    rest = MESSAGES[4][:32].hex()
    assert faults == [Fault(5, rest, 0, "the rest of a netlink message")]


def test_after_a_length_that_cannot_be_nothing_can_be_found() -> None:
    records, faults = read(MESSAGES[0] + b"\xff" * 100 + MESSAGES[1])
    assert len(records) == 1
    assert faults == [Fault(2, "ff" * 32, 0, "a netlink message")]
    said = Faults()
    assert not any(FORMAT.read([b"\xff" * 100], said))
    assert [note.code for note in said.notes] == ["capture_torn"]


def test_a_message_that_is_too_short_costs_no_other() -> None:
    short = kernel.message(bytes(20))
    records, faults = read(MESSAGES[0] + short + MESSAGES[1])
    assert [record.cookie for record in records] == [1, 2]
    assert faults == [Fault(2, short[:32].hex(), 0, "a message of sock_diag")]


@pytest.mark.parametrize(
    ("head", "is_one"),
    [
        (DUMP, True),
        (DUMP[:16], True),
        (DUMP[:15], False),
        (kernel.done() + DUMP, False),
        (b"tcp ESTAB 0 0 1.2.3.4:1 1.2.3.4:2", False),
        (b"", False),
    ],
)
def test_it_is_recognised_by_its_first_message(head: bytes, is_one: bool) -> None:
    assert FORMAT.recognises(head) is is_one
