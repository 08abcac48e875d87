"""What `netinspect diagnose` tells: key order, JSON and schema are from here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated

from msgspec import Meta, Struct

from netinspect.diagnose.finding import SEVERITIES
from netinspect.diagnose.finding import Finding as _Finding
from netinspect.diagnose.rule import Fault, Rule
from netinspect.diagnose.scene import Scene
from netinspect.errors import NotCheckedError
from netinspect.model import Connection, Envelope, Note


class Finding(_Finding, frozen=True, kw_only=True):
    """A finding with sockets that show it."""

    sockets: Annotated[
        tuple[Connection, ...], Meta(description="at most ten or so of them, with their owners")
    ] = ()


class NotChecked(Struct, frozen=True):
    """A rule that could not tell."""

    code: str
    reason: str


class Diagnosis(Envelope, frozen=True, kw_only=True):
    """What is wrong with the sockets of a machine."""

    sample_seconds: Annotated[
        float | None, Meta(description="between the two moments; null: there was one")
    ]
    findings: Annotated[tuple[Finding, ...], Meta(description="the worst first")]
    checked: Annotated[tuple[str, ...], Meta(description="the rules that could tell")]
    not_checked: tuple[NotChecked, ...]
    notes: tuple[Note, ...]


class Outcome(Struct, frozen=True):
    """What became of the rules."""

    faults: tuple[tuple[Rule, Fault], ...]
    checked: tuple[str, ...]
    not_checked: tuple[NotChecked, ...]


def apply(
    rules: Iterable[Rule], scene: Scene, changed: Mapping[str, Mapping[str, float]]
) -> Outcome:
    """Let each rule look at the scene; the worst faults first, in the order of the rules."""
    faults: list[tuple[Rule, Fault]] = []
    checked, not_checked = [], []
    for rule in rules:
        try:
            # one at a time: what is found before something cannot be told counts
            for fault in rule.faults(scene, changed.get(rule.code, {})):
                faults.append((rule, fault))  # noqa: PERF401
        except NotCheckedError as error:
            not_checked.append(NotChecked(rule.code, str(error)))
        else:
            checked.append(rule.code)
    faults.sort(key=lambda found: SEVERITIES.index(found[1].severity))
    return Outcome(tuple(faults), tuple(checked), tuple(not_checked))


def finding(
    rule: Rule,
    fault: Fault,
    advice: tuple[str, ...],
    avoid: tuple[str, ...],
    references: tuple[str, ...],
) -> Finding:
    """A fault with what to do about it."""
    return Finding(
        code=rule.code,
        severity=fault.severity,
        title=fault.title,
        evidence=fault.evidence,
        confidence=fault.confidence,
        advice=advice,
        avoid=avoid,
        references=references,
        sockets=fault.sockets,
    )
