"""Thresholds in the syntax of the monitoring plugins, and what a value means by them.

Monitoring Plugins Development Guidelines, "Threshold and Ranges".
"""

from __future__ import annotations

import math
import re
from enum import IntEnum
from typing import NamedTuple

from netinspect.errors import UsageError

NUMBER = r"-?(?:\d+\.?\d*|\.\d+)"
# such as 10, 10:, ~:10, 10:20 and @10:20
RANGE = re.compile(rf"(?P<at>@?)(?:(?P<start>~|{NUMBER})?(?P<colon>:))?(?P<end>{NUMBER})?")
LONGEST = 64


class Status(IntEnum):
    """The exit statuses of a plugin."""

    OK = 0
    WARNING = 1
    CRITICAL = 2
    UNKNOWN = 3


class Range(NamedTuple):
    """The values from `start` to `end`, both included: all others alert, or with `@` these."""

    text: str
    start: float
    end: float
    is_inside: bool

    def alerts(self, value: float) -> bool:
        """Whether this value is reason for an alert."""
        return (self.start <= value <= self.end) == self.is_inside

    def alerts_from(self, least: float) -> bool:
        """Whether any value alerts that is not less than this one."""
        if self.is_inside:
            return self.start <= least and self.end == math.inf
        return least > self.end


def parse_range(text: str) -> Range:
    """A range: `10` is 0 to 10, `10:` has no end, `~:10` no start, `@10:20` alerts inside.

    :raises UsageError: it is none.
    """
    found = RANGE.fullmatch(text) if len(text) <= LONGEST else None
    if found is None or (found["end"] is None and found["start"] in (None, "~")):
        raise UsageError(f"range {text[:LONGEST]!r}: expected one such as 10, 10:, ~:10, @10:20")
    start = 0.0 if found["start"] is None else _number(found["start"], -math.inf)
    end = _number(found["end"], math.inf)
    if start > end:
        raise UsageError(f"range {text!r}: it ends before it begins")
    return Range(text, start, end, found["at"] == "@")


def _number(text: str | None, otherwise: float) -> float:
    return otherwise if text is None or text == "~" else float(text)


def judge(
    value: float, warning: Range | None, critical: Range | None, *, is_least: bool = False
) -> Status:
    """What a value means.

    :param is_least: there may be more of it than could be seen: only what holds for every larger
        value too is said, and nothing else is known.
    """
    for status, alarm in ((Status.CRITICAL, critical), (Status.WARNING, warning)):
        if alarm and (alarm.alerts_from(value) if is_least else alarm.alerts(value)):
            return status
    return Status.UNKNOWN if is_least else Status.OK
