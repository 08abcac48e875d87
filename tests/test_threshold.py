from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netinspect.diagnose.threshold import Range, Status, judge, parse_range
from netinspect.errors import UsageError

NUMBERS = st.one_of(st.integers(-(10**9), 10**9), st.decimals(-1000, 1000, places=2))


# The table of the guidelines, and values on both sides of each end
@pytest.mark.parametrize(
    ("text", "alerts", "silent"),
    [
        ("10", (-1, -0.001, 10.001, 11), (0, 5, 10)),
        ("10:", (-1, 0, 9.99), (10, 11, 10**12)),
        ("~:10", (10.01, 11), (-(10**12), 0, 10)),
        ("10:20", (9, 9.99, 20.01, 21), (10, 15, 20)),
        ("@10:20", (10, 15, 20), (9.99, 20.01)),
        ("@10", (0, 10), (-1, 11)),
        ("@~:10", (-5, 10), (10.5,)),
        ("@10:", (10, 10**9), (9,)),
        ("0", (-1, 1), (0,)),
        ("-5:5", (-6, 6), (-5, 0, 5)),
        ("1.5", (1.6,), (1.5,)),
        (".5:1.", (0.4, 1.1), (0.5, 1)),
    ],
)
def test_ranges(text: str, alerts: tuple[float, ...], silent: tuple[float, ...]) -> None:
    found = parse_range(text)
    assert found.text == text
    assert [v for v in alerts if not found.alerts(v)] == []
    assert [v for v in silent if found.alerts(v)] == []


@pytest.mark.parametrize(
    "text",
    ["", ":", "@", "~", "~:", "@:", "@~:", "x", "1:2:3", "10 ", "1e5", "--5", "1,5", "10:x", "é"],
)
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse_range(text)
    assert str(caught.value) == f"range {text!r}: expected one such as 10, 10:, ~:10, @10:20"


def test_a_range_that_ends_before_it_begins() -> None:
    for text in ("20:10", "-5", "@3:2"):
        with pytest.raises(UsageError, match=r"it ends before it begins$"):
            parse_range(text)


def test_a_long_range_is_cut_in_its_error() -> None:
    with pytest.raises(UsageError) as caught:
        parse_range("1" * 10_000)
    assert len(str(caught.value)) < 200


@given(NUMBERS, NUMBERS, NUMBERS, st.booleans())
def test_inside_is_the_contrary_of_outside(
    start: float, end: float, value: float, is_open: bool
) -> None:
    start, end = sorted((start, end))
    text = f"{start}:{'' if is_open else end}"
    outside, inside = parse_range(text), parse_range(f"@{text}")
    assert outside.alerts(value) != inside.alerts(value)
    assert inside.alerts(value) == (float(start) <= value and (is_open or value <= float(end)))


@given(NUMBERS, NUMBERS, st.booleans(), NUMBERS, st.integers(0, 10**6))
def test_an_alert_of_the_least_value_is_one_of_every_larger_value(
    start: float, end: float, is_inside: bool, least: float, more: int
) -> None:
    start, end = sorted((float(start), float(end)))
    for last in (end, math.inf):
        found = Range("", start, last, is_inside)
        if found.alerts_from(float(least)):
            assert found.alerts(float(least))
            assert found.alerts(float(least) + more)


def test_judge() -> None:
    warning, critical = parse_range("10"), parse_range("20")
    assert [judge(v, warning, critical) for v in (5, 15, 25)] == [0, 1, 2]
    assert judge(25, warning, None) == Status.WARNING
    assert judge(25, None, critical) == Status.CRITICAL
    assert judge(25, None, None) == Status.OK


def test_what_may_be_more_is_never_ok() -> None:
    warning, critical = parse_range("10"), parse_range("20")
    found = [judge(v, warning, critical, is_least=True) for v in (5, 15, 25)]
    assert found == [Status.UNKNOWN, Status.WARNING, Status.CRITICAL]
    assert judge(3, parse_range("5:"), None, is_least=True) == Status.UNKNOWN  # 7 would be well
    assert judge(9, parse_range("5:"), None, is_least=True) == Status.UNKNOWN
    assert judge(9, parse_range("@5:"), None, is_least=True) == Status.WARNING
