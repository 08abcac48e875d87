"""The short form of `make soak`: the same targets and the same ends, fewer of them."""

from __future__ import annotations

import signal
import sys

import pytest

from netinspect.errors import UsageError
from tests import fuzz, kills
from tests.fuzz import SEED, TARGET_NAMES, TARGETS, Damage, Target
from tests.namespace import why_not

INPUTS = 4_000
KILLS = 20
MEGABYTE = 1 << 20

needs_alarm = pytest.mark.skipif(
    not hasattr(signal, "SIGALRM"), reason="needs SIGALRM, to end what hangs"
)


@needs_alarm
@pytest.mark.parametrize("target", TARGETS, ids=TARGET_NAMES)
def test_damaged_inputs(target: Target) -> None:
    fuzz.fuzz(target, INPUTS)


@pytest.mark.parametrize("target", TARGETS, ids=TARGET_NAMES)
def test_undamaged_inputs_are_taken(target: Target) -> None:
    taken = 0
    for seed in target.seeds:
        try:
            target.parse(seed)
        except target.errors:
            continue
        taken += 1
    assert taken > len(target.seeds) // 2


@needs_alarm
@pytest.mark.parametrize(
    "piece",
    [
        b" ",
        b"\n",
        b"0",
        b"00000000d541d5a6: ",
        b"0: ",
        b"a-",
        b"1,",
        b"*a",
        b"\x10\0\0\0",
        b"[",
        b"\xff",
    ],
)
@pytest.mark.parametrize("target", TARGETS, ids=TARGET_NAMES)
def test_long_inputs_take_bounded_work(target: Target, piece: bytes) -> None:
    """A megabyte of the same, alone and in the middle of what is valid."""
    long = piece * (MEGABYTE // len(piece))
    with fuzz.watched():
        for before, after in ((b"", b""), *((s, s) for s in target.seeds[:1])):
            try:
                target.parse(before + long + after)
            except target.errors:
                continue


def test_inputs_follow_from_the_seed() -> None:
    first, again = (Damage(TARGETS[0].seeds, SEED) for _ in range(2))
    other = Damage(TARGETS[0].seeds, SEED + 1)
    inputs = [first.next() for _ in range(100)]
    assert inputs == [again.next() for _ in range(100)]
    assert inputs != [other.next() for _ in range(100)]
    assert len(set(inputs)) > 90


@needs_alarm
def test_failure_tells_the_input_and_the_seed() -> None:
    def parse(data: bytes) -> None:
        if data != b"":
            raise KeyError(len(data))
        raise UsageError("nothing")

    target = Target("fragile", (b"abc",), parse, UsageError)
    with pytest.raises(
        AssertionError, match=r"^fragile, seed 7, input \d+: b'.*': KeyError\(\d+\)"
    ):
        fuzz.fuzz(target, 100, seed=7)


@needs_alarm
def test_hang_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def parse(_: bytes) -> None:
        while True:
            pass

    monkeypatch.setattr(fuzz, "LONGEST_BLOCK_S", 0.05)
    target = Target("endless", (b"abc",), parse, UsageError)
    with pytest.raises(AssertionError, match=r"endless, seed .* HangError"):
        fuzz.fuzz(target, 1)


@pytest.mark.live
@pytest.mark.skipif(why_not() is not None, reason=str(why_not()))
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux")
def test_ended_at_random_moments() -> None:
    kills.kill_at_random(KILLS)
