"""Findings as text: what is the matter, how that shows, what to do and what not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from netinspect.diagnose.finding import Example, Finding
from netinspect.render.escape import escape_cell
from netinspect.render.wrapped import paragraph

TITLE_INDENT = "  "
INDENT = "         "
MOST_ALIKE = 3
# What stands before a part of a finding, as wide as INDENT
LABELS = {"advice": "  Do:    ", "avoid": "  Don't: ", "references": "  See:   "}


def finding_lines(findings: Iterable[Finding], width: int) -> Iterator[str]:
    """The lines of all findings; what is to be done about one kind stands below the last of it."""
    kinds: dict[str, list[Finding]] = {}
    for finding in findings:
        kinds.setdefault(finding.code, []).append(finding)
    for alike in kinds.values():
        for finding in alike[:MOST_ALIKE]:
            yield ""
            yield from _head(finding, width)
        if len(alike) > MOST_ALIKE:
            yield f"  and {len(alike) - MOST_ALIKE} more like this"
        yield from _lesson(alike[0], width)


def _head(finding: Finding, width: int) -> Iterator[str]:
    sure = "" if finding.confidence == "high" else f" ({finding.confidence} confidence)"
    title = f"{finding.title}{sure}"
    yield from paragraph(title, width, first=f"{finding.severity.upper()}: ", indent=TITLE_INDENT)
    for fact in finding.evidence:
        yield from paragraph(fact, width, first="  - ", indent="    ")


def _lesson(finding: Finding, width: int) -> Iterator[str]:
    for name, label in LABELS.items():
        for number, text in enumerate(getattr(finding, name)):
            yield from paragraph(text, width, first=INDENT if number else label, indent=INDENT)
    for example in finding.examples:
        yield from _example(example, width)


def _example(example: Example, width: int) -> Iterator[str]:
    yield from paragraph(example.text, width, first=f"  {example.language}: ", indent="    ")
    for line in example.code.split("\n"):
        yield f"      {escape_cell(line)}" if line else ""
