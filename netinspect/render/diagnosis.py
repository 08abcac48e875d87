"""What is wrong, on one screen: the worst first, a few sockets each; or for programs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence

from netinspect.diagnose.diagnosis import Diagnosis, Finding
from netinspect.diagnose.rule import Rule
from netinspect.diagnose.sentences import counted
from netinspect.model import Connection
from netinspect.render.columns import endpoint
from netinspect.render.document import render_document
from netinspect.render.wrapped import DEFAULT_WIDTH, paragraph

LONGEST_TEXT = 100  # columns of prose, however wide the terminal is
MOST_SOCKETS = 3
MOST_ALIKE = 3  # findings of one rule
KEYS = Finding.__struct_fields__
GAP = "  "
# Notes that say: there are sockets that could not be looked at.
PARTIAL = frozenset(("rows_skipped", "protocol_unsupported"))


def render_diagnosis(
    document: Diagnosis, output: str, *, terminal_width: int | None = None
) -> Iterator[bytes]:
    """The document as `table` (text), `json`, `ndjson`, `csv` or `tsv`; the latter of findings."""
    if output == "table":
        width = min(terminal_width or DEFAULT_WIDTH, LONGEST_TEXT)
        return (f"{line}\n".encode() for line in _lines(document, width))
    return render_document(
        document, document.findings, KEYS, output, is_terminal=terminal_width is not None
    )


def _lines(document: Diagnosis, width: int) -> Iterator[str]:
    kinds: dict[tuple[str, str], list[Finding]] = {}
    for finding in document.findings:
        kinds.setdefault((finding.severity, finding.code), []).append(finding)
    least_of = {code: severity for severity, code in kinds}
    for (severity, code), alike in kinds.items():
        for finding in alike[:MOST_ALIKE]:
            yield from _head(finding, width)
        if len(alike) > MOST_ALIKE:
            yield f"  and {len(alike) - MOST_ALIKE} more like this"
        if severity == least_of[code] != "info":
            yield from _cure(alike[0], width)
    if document.findings:
        yield ""
    yield from paragraph(_verdict(document), width)
    if document.not_checked:
        yield from paragraph(f"Not checked: {_reasons(document)}", width, indent=GAP)


def _head(finding: Finding, width: int) -> Iterator[str]:
    sure = "" if finding.confidence == "high" else f" ({finding.confidence} confidence)"
    label = f"{finding.severity.upper()} "
    yield from paragraph(f"{finding.title}{sure}", width, first=label, indent=GAP)
    for fact in finding.evidence:
        yield from paragraph(fact, width, first="  - ", indent="    ")
    if finding.severity != "info":
        for connection in finding.sockets[:MOST_SOCKETS]:
            yield from paragraph(_socket_text(connection), width, first="    ", indent="      ")


def _socket_text(c: Connection) -> str:
    """A socket on one line: `tcp CLOSE-WAIT 10.0.0.1:80 < 10.0.0.9:5000 recv-q 1 nginx/7`."""
    local, remote = (
        endpoint(address, port)
        for address, port in (
            (c.local_address, c.local_port),
            (c.remote_address, c.remote_port),
        )
    )
    ends = local if c.remote_address is None else f"{local} - {remote}"
    queues = f"recv_q {_number(c.recv_q)} send_q {_number(c.send_q)}"
    owner = "" if c.pid is None else f" {c.process or '?'}/{c.pid}"
    return f"{c.protocol} {c.state} {ends} {queues}{owner}"


def _number(value: int | None) -> str:
    return "-" if value is None else str(value)


def _cure(finding: Finding, width: int) -> Iterator[str]:
    if finding.advice:
        yield from paragraph(finding.advice[0], width, first="  Do: ", indent="      ")
    command = f"netinspect diagnose --explain {finding.code}"
    yield f"  More: {command}"


def _reasons(document: Diagnosis) -> str:
    """Rules with one reason stand together."""
    codes: dict[str, list[str]] = {}
    for entry in document.not_checked:
        codes.setdefault(entry.reason, []).append(entry.code)
    return "; ".join(f"{', '.join(names)} ({reason})" for reason, names in codes.items())


def _verdict(document: Diagnosis) -> str:
    counts = Counter(finding.severity for finding in document.findings)
    bad = [
        f"{counts[severity]} {severity}" for severity in ("critical", "warning") if counts[severity]
    ]
    is_partial = any(note.code in PARTIAL for note in document.notes)
    well = "Nothing is wrong in what could be read" if is_partial else "Nothing is wrong"
    found = ", ".join(bad) or well
    sample = f" over {document.sample_seconds:g} s" if document.sample_seconds else ""
    return f"{found}: {counted(document.checked, 'rule')} checked{sample}."


def lesson_lines(
    rule: Rule,
    meaning: Iterable[str],
    parts: Mapping[str, Sequence[str]],
    width: int,
) -> Iterator[str]:
    """All that there is to know about one rule.

    :param parts: paragraphs by heading.
    """
    yield from paragraph(rule.title, width, first=f"{rule.code}: ", indent=GAP)
    for text in meaning:
        yield ""
        yield from paragraph(text, width)
    for heading, texts in parts.items():
        if texts:
            yield ""
            yield f"{heading}:"
            for text in texts:
                yield from paragraph(text, width, first="  - ", indent="    ")


def rule_lines(rules: Iterable[Rule], width: int) -> Iterator[str]:
    """Every rule with its thresholds, and where they are from."""
    for rule in rules:
        yield from paragraph(rule.title, width, first=f"{rule.code}: ", indent=GAP)
        for t in rule.thresholds:
            text = f"{t.meaning} ({t.source})"
            yield from paragraph(text, width, first=f"  .{t.name}={t.value:g}  ", indent=GAP * 3)
