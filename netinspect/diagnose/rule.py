"""What a rule is: a pure function of a scene, with thresholds that can be set."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from netinspect.diagnose.finding import Confidence, Severity
from netinspect.diagnose.scene import Scene
from netinspect.errors import NotCheckedError, UsageError, unknown_word
from netinspect.model import Connection, Protocol


class Threshold(NamedTuple):
    """A number that a rule compares with, and where it is from."""

    name: str
    value: float
    meaning: str
    source: str


class Fault(NamedTuple):
    """What a rule has found in a scene."""

    severity: Severity
    title: str
    evidence: tuple[str, ...]
    confidence: Confidence = "high"
    sockets: tuple[Connection, ...] = ()


Limits = Mapping[str, float]
Look = Callable[[Scene, Limits], Iterable[Fault]]


class Rule(NamedTuple):
    """A rule and its thresholds. `protocol`: of the sockets that it is about, None for none.

    `look` raises NotCheckedError when the scene lacks what it needs.
    """

    code: str
    title: str
    look: Look
    thresholds: tuple[Threshold, ...] = ()
    protocol: Protocol | None = "tcp"

    def faults(self, scene: Scene, changed: Mapping[str, float]) -> Iterator[Fault]:
        """What is found with these thresholds in place of its own.

        :raises NotCheckedError: it cannot be told.
        """
        if scene.protocols is not None and self.protocol and self.protocol not in scene.protocols:
            raise NotCheckedError(f"the options leave {self.protocol} sockets out")
        values = {threshold.name: threshold.value for threshold in self.thresholds}
        yield from self.look(scene, {**values, **changed})


def parse_settings(words: Iterable[str], rules: Mapping[str, Rule]) -> dict[str, dict[str, float]]:
    """Thresholds by rule, from words such as `accept_queue_overflow.percent=90`.

    :raises UsageError: there is no such rule or threshold, or the value is no number.
    """
    changed: dict[str, dict[str, float]] = {}
    for word in words:
        place, equals, value = word.partition("=")
        code, dot, name = place.partition(".")
        if not equals or not dot:
            raise UsageError(
                f"--set {word!r}: expected RULE.THRESHOLD=VALUE, such as close_wait_leak.sockets=50"
            )
        rule = find_rule(code, rules)
        names = [threshold.name for threshold in rule.thresholds]
        if not names:
            raise UsageError(f"--set {word!r}: {code} has no threshold")
        if name not in names:
            raise UsageError(unknown_word(f"threshold of {code}", name, names))
        changed.setdefault(rule.code, {})[name] = _number(word, value)
    return changed


def find_rule(word: str, rules: Mapping[str, Rule]) -> Rule:
    """The rule of this code, with `-` or `_`.

    :raises UsageError: there is none.
    """
    code = word.strip().casefold().replace("-", "_")
    if code not in rules:
        raise UsageError(unknown_word("rule", word, rules))
    return rules[code]


def _number(word: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        raise UsageError(f"--set {word!r}: expected a number, found {value!r}")
    return number
