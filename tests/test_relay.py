"""Long answers that two processes give; `relayed.py` gives them, in an interpreter of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs Linux: sizes of pipes")

ROOT = Path(__file__).parent.parent
PATIENCE_S = 60
NOMEM = "the kernel failed: Cannot allocate memory (ENOMEM)"
NOT_NETLINK = "netlink message at byte 0: expected 16 bytes, found 11"
ENDED_EARLY = "the process that helped to read ended before it was done"


class Outcome(NamedTuple):
    """The rows that were written, and the error that ended it."""

    rows: list[list[Any]]
    error: str | None

    @property
    def items(self) -> list[tuple[int, int]]:
        """Turn and number of each."""
        return [(row[0], row[1]) for row in self.rows]

    @property
    def shares(self) -> str:
        """A letter a turn, L for those of the leader, H for the helper's."""
        who = {row[0]: row[2][0].upper() for row in self.rows}
        return "".join(who.values())


def outcome_of(*case: str) -> Outcome:
    """What a case came to. What was buffered before the fork is written once, nothing stays."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.relayed", *case],
        cwd=ROOT,
        capture_output=True,
        timeout=PATIENCE_S,
        check=False,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    buffered, document = done.stdout.split("\n", 1)
    assert buffered == "buffered before the fork"
    outcome = json.loads(document)
    assert (outcome["children"], outcome["pipes"]) == (False, 0)
    return Outcome(outcome["rows"], outcome["error"])


def in_order(turns: int, items: int = 3) -> list[tuple[int, int]]:
    return [(turn, number) for turn in range(turns) for number in range(items)]


@pytest.mark.parametrize(
    ("turns", "last", "shares"),
    [
        (9, "full", "LLLHLHLHL"),
        (8, "full", "LLLHLHLH"),
        (9, "empty", "LLLHLHLH"),
        (8, "empty", "LLLHLHL"),
        (4, "full", "LLLH"),
        (3, "full", "LLL"),
        (3, "empty", "LL"),
    ],
)
def test_two_take_turns_after_the_first_two(turns: int, last: str, shares: str) -> None:
    """Whoever has the last turn, and also where it is empty."""
    outcome = outcome_of("long", str(turns), last)
    assert outcome.error is None
    assert outcome.items == in_order(len(shares))
    assert outcome.shares == shares


@pytest.mark.parametrize(
    "case",
    [
        "one_processor",
        "beside_a_thread",
        "no_more_processes",
        "no_more_descriptors",
        "pipes_that_may_not_grow",
        "never_written",
    ],
)
def test_one_reads_all(case: str) -> None:
    assert outcome_of(case) == Outcome([[*item, "leader"] for item in in_order(9)], None)


def test_a_short_answer_is_not_shared() -> None:
    outcome = outcome_of("long", "2", "full")
    assert outcome == Outcome([[*item, "leader"] for item in in_order(2)], None)


def test_descriptors_that_select_does_not_take() -> None:
    outcome = outcome_of("many_descriptors")
    assert (outcome.items, outcome.shares) == (in_order(9), "LLLHLHLHL")


def test_whoever_started_us_may_ignore_the_end_of_children_and_ctrl_c() -> None:
    outcome = outcome_of("ignoring")
    assert (outcome.items, outcome.shares, outcome.error) == (in_order(9), "LLLHLHLHL", None)


def test_what_is_held_back_is_written_before_there_are_two() -> None:
    """Both would write it: the rows that the widths of a table come from."""
    outcome = outcome_of("held_back")
    assert (outcome.items, outcome.shares) == (in_order(9), "LLLLLHLHL")


def test_only_the_first_long_answer_is_shared() -> None:
    outcome = outcome_of("two_jobs")
    assert outcome.items == [item for item in in_order(20) if item[0] != 9]
    assert outcome.shares == "LLLHLHLHL" + "L" * 10


def test_a_long_answer_after_a_short_one_is_shared() -> None:
    outcome = outcome_of("short_job_first")
    assert (outcome.items, outcome.shares) == (in_order(10), "LLLLLHLHLH")


def test_each_turn_is_known_to_the_other_only_when_that_goes_on() -> None:
    """Not when it reads ahead: of a socket that comes with turns 3 and 4 the helper, still in 3,
    would hear of 4 before it has used its own, and both would take theirs for the second."""
    rows = outcome_of("order_of_events").rows
    assert {tuple(row[:2]): row[3] for row in rows if row[3:]} == {
        (0, 0): "read 0",
        (1, 0): "read 1",
        (2, 0): "read 2",
        (2, 1): "read 4",
        (3, 0): "read 3, hear 2",
        (3, 1): "read 5",
        (4, 0): "hear 3",
        (4, 1): "read 6",
        (5, 0): "hear 4",
        (5, 1): "read 7",
        (6, 0): "hear 5",
        (6, 1): "read 8",
        (7, 0): "hear 6",
        (8, 0): "hear 7",
    }


def test_a_socket_that_comes_twice_is_written_once() -> None:
    """The last of each turn comes again as the first of the next."""
    outcome = outcome_of("twice")
    assert outcome.items == [item for item in in_order(12) if item == (0, 0) or item[1] != 0]
    assert outcome.shares == "LLLHLHLHLHLH"


def test_answers_that_no_pipe_holds() -> None:
    outcome = outcome_of("large_answers")
    assert (outcome.items, outcome.shares) == (in_order(9), "LLLHLHLHL")
    assert {row[3] for row in outcome.rows} == {1 << 19}


def test_answers_that_no_pipe_holds_while_the_leader_writes_nothing() -> None:
    """It waits for the helper to read, which waits till its answer is taken."""
    outcome = outcome_of("large_answers_between_nothing")
    assert outcome == Outcome(
        [
            [0, 0, "leader", 0],
            [1, 0, "leader", 0],
            [3, 0, "helper", 1 << 21],
            [5, 0, "helper", 1 << 21],
            [6, 0, "leader", 0],
            [7, 0, "helper", 1 << 21],
        ],
        None,
    )


def test_long_tellings() -> None:
    """Each has room in its pipe: who waits for an answer does not listen."""
    outcome = outcome_of("long_tellings")
    assert (outcome.items, outcome.shares) == (in_order(9), "LLLHLHLHL")


@pytest.mark.parametrize(
    ("turns", "counted"),
    [
        ("9", [[3, 3, 3, 0, 3, 0, 3, 0, 3, 0], [0, 0, 0, 3, 0, 3, 0, 3, 0, 0]]),
        ("8", [[3, 3, 3, 0, 3, 0, 3, 0, 0, 0], [0, 0, 0, 3, 0, 3, 0, 3, 0, 0]]),
        ("3", [[3, 3, 3, 0, 0, 0, 0, 0, 0, 0], [0] * 10]),
        ("2", [[3, 3, 0, 0, 0, 0, 0, 0, 0, 0]]),
    ],
)
def test_what_each_has_counted(turns: str, counted: list[list[int]]) -> None:
    """The helper says what it adds, when there are no more turns."""
    assert outcome_of("result", turns).rows == counted


@pytest.mark.parametrize(
    ("turn", "how", "error"),
    [
        ("5", "refused", NOMEM),
        ("5", "misspelt", NOT_NETLINK),
        ("5", "broken", ENDED_EARLY),
        ("5", "killed", ENDED_EARLY),
        ("3", "refused", NOMEM),
        ("3", "killed", ENDED_EARLY),
    ],
)
def test_a_helper_that_fails_in_what_follows(turn: str, how: str, error: str) -> None:
    """All that comes before its turn is there, and nothing of that turn: it was not handed over."""
    outcome = outcome_of("fails_in_use", turn, how)
    assert outcome.error == f"SourceError: {error}"
    assert outcome.items == in_order(int(turn))


@pytest.mark.parametrize(
    ("how", "error"), [("refused", NOMEM), ("broken", ENDED_EARLY), ("killed", ENDED_EARLY)]
)
def test_a_helper_that_fails_to_read(how: str, error: str) -> None:
    """Of its turn before there may be nothing: it was still busy with that."""
    outcome = outcome_of("fails_in_read", "5", how)
    assert outcome.error == f"SourceError: {error}"
    assert outcome.items in (in_order(3), in_order(5))


def test_a_leader_that_fails_to_read() -> None:
    outcome = outcome_of("fails_in_read", "6", "refused")
    assert outcome.error == f"SourceError: {NOMEM}"
    assert outcome.items == in_order(6)[: len(outcome.items)]
    assert outcome.items[:9] == in_order(3)


def test_a_leader_that_fails_in_what_follows() -> None:
    outcome = outcome_of("fails_in_use", "4", "misspelt")
    assert outcome.error == f"ParseError: {NOT_NETLINK}"
    assert outcome.items == [*in_order(4), (4, 0)]


def test_the_helper_ends_with_a_leader_that_breaks() -> None:
    assert outcome_of("breaks_in_leader").error == "ZeroDivisionError"


@pytest.mark.parametrize("size", ["1", "1000000"])
def test_the_helper_ends_when_nobody_wants_the_rest(size: str) -> None:
    """Also in the middle of an answer that the pipe does not hold."""
    outcome_of("stops_early", size)
