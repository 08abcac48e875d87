"""Explanations as text: each flag under the command, at its place; or a row a system."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence

from netinspect.render.escape import display_width, escape_part
from netinspect.render.wrapped import paragraph, wrapped_table
from netinspect.teach.explain import (
    ErrorMessage,
    ExplainedFlag,
    ExplainedStage,
    Explanation,
    Explanations,
    Span,
    Trap,
)
from netinspect.teach.knowledge import tools

INDENT = "  "
# A command longer than this leaves no room beside it for the meanings.
LONGEST_BESIDE = 34
# What a worked example says of a command that does what is meant
JUST_WORKS = re.compile(r"(ss -\S+ )?works( \(verified\))?")


def explanation_lines(explanation: Explanation, width: int) -> Iterator[str]:
    """One command line on one system."""
    yield from paragraph(f"{explanation.title} ({explanation.version})", width)
    yield ""
    words = [escape_part(_quoted(word)) for word in explanation.command]
    starts = _starts(words)
    yield f"{INDENT}{' '.join(words)}"
    yield from _mark_lines(_marks(explanation, starts), width)
    yield ""
    yield from _result_lines(explanation, width)
    yield from _trap_lines(explanation.traps, width)
    if explanation.taken_by:
        names = ", ".join(tools()[tool].title for tool in explanation.taken_by)
        text = f"{names}; netinspect translate says what to type instead"
        yield from paragraph(text, width, first="Taken by: ", indent=INDENT)
    if explanation.netinspect:
        yield from paragraph(explanation.netinspect, width, first="Here: ", indent=INDENT * 2)


def _quoted(word: str) -> str:
    return word if word and not any(c.isspace() for c in word) else shlex.quote(word)


def _starts(words: Sequence[str]) -> list[int]:
    """The column at which each word begins."""
    starts: list[int] = []
    column = 0
    for word in words:
        starts.append(column)
        column += display_width(word) + 1
    return starts


def _underline(spans: Sequence[Span], starts: Sequence[int]) -> str:
    """`^` under a flag, `~` under its argument."""
    line = ""
    for index, span in enumerate(spans):
        line = line.ljust(starts[span.word] + span.start)
        line += ("~" if index else "^") * max(1, span.end - span.start)
    return line


def _marks(explanation: Explanation, starts: Sequence[int]) -> list[tuple[str, str, str]]:
    """What stands under the command: the underline, the flag, its meaning."""
    marks = []
    for flag in explanation.flags:
        spans = [flag.place, *([flag.argument_place] if flag.argument_place else [])]
        name = f"{flag.flag} {flag.argument}" if flag.argument is not None else flag.flag
        remark = f" ({flag.status})" if flag.status else ""
        remark += f" (since {flag.since})" if flag.since else ""
        marks.append((_underline(spans, starts), name, f"{flag.meaning}{remark}"))
    for operand in explanation.operands:
        span = Span(operand.word, 0, display_width(operand.text))
        marks.append((_underline([span], starts).replace("^", "~"), operand.text, "an operand"))
    error = explanation.error
    if error and error.place and not any(_underlined(error.place, f) for f in explanation.flags):
        word = explanation.command[error.place.word][error.place.start : error.place.end]
        text = _underline([error.place], starts).replace("^", "!")
        meaning = f"{error.meaning} But here it ends." if error.meaning else "Here it ends."
        marks.append((text, error.flag or word, meaning))
    return marks


def _underlined(place: Span, flag: ExplainedFlag) -> bool:
    return place in (flag.place, flag.argument_place)


def _mark_lines(marks: Sequence[tuple[str, str, str]], width: int) -> Iterator[str]:
    """The meanings beside the underlines, or below them where there is no room."""
    column = max((display_width(mark) for mark, _, _ in marks), default=0)
    longest = max((display_width(escape_part(name)) for _, name, _ in marks), default=0)
    is_beside = column + longest <= LONGEST_BESIDE
    for mark, name, meaning in marks:
        if is_beside:
            first = f"{INDENT}{mark:<{column}}  {escape_part(name):<{longest}}  "
            yield from paragraph(meaning, width, first=first, indent=" " * len(first))
        else:
            yield f"{INDENT}{mark}"
            first = f"{INDENT * 2}{escape_part(name)}  "
            yield from paragraph(meaning, width, first=first, indent=INDENT * 4)


def _result_lines(explanation: Explanation, width: int) -> Iterator[str]:
    if explanation.error:
        yield from _error_lines(explanation.error, width)
    outcome = _outcome(explanation)
    if explanation.prints and not (explanation.error and outcome):
        yield from paragraph(explanation.prints, width, first="Shows: ", indent=INDENT)
    if outcome:
        yield from paragraph(outcome, width, first="Outcome: ", indent=INDENT)
    if explanation.operands_mean:
        first = "Words that are no flags: "
        yield from paragraph(explanation.operands_mean, width, first=first, indent=INDENT)
    for remark in explanation.remarks:
        yield from paragraph(remark, width, first="Mind: ", indent=INDENT)


def _outcome(explanation: Explanation) -> str | None:
    """What a worked example tells besides."""
    outcome = explanation.outcome
    return None if outcome is None or JUST_WORKS.fullmatch(outcome) else outcome


def _error_lines(error: ErrorMessage, width: int) -> Iterator[str]:
    what = "Warns" if error.continues else "Fails"
    yield from paragraph(
        f"{error.message} ({_status(error)})", width, first=f"{what}: ", indent=INDENT
    )
    if error.note:
        yield from paragraph(error.note, width, first=INDENT, indent=INDENT)


def _status(error: ErrorMessage) -> str:
    return "exit status not known" if error.exit_status is None else f"exit {error.exit_status}"


def _trap_lines(traps: Sequence[Trap], width: int) -> Iterator[str]:
    """What the flags mean elsewhere, the dangerous first."""
    if traps:
        yield "Elsewhere:"
    for trap in sorted(traps, key=lambda trap: trap.severity):
        mark = " DANGER" if trap.severity == "danger" else ""
        senses: dict[str, list[str]] = {}
        for tool, meaning in trap.elsewhere.items():
            senses.setdefault(meaning, []).append(tools()[tool].title.removesuffix(" netstat"))
        text = "; ".join(f"{meaning}: {', '.join(names)}" for meaning, names in senses.items())
        yield from paragraph(text, width, first=f"{INDENT}{trap.flag}{mark}  ", indent=INDENT * 3)


def _is_optional(flag: ExplainedFlag) -> bool:
    return flag.status == "build-option"


def heading_lines(command: Sequence[str], intent: str | None, width: int) -> Iterator[str]:
    """The command, and what those mean who type it."""
    text = " ".join(_quoted(word) for word in command)
    yield from paragraph(f"{text}   ({intent})" if intent else text, width)
    yield ""


def table_lines(document: Explanations, width: int) -> Iterator[str]:
    """The same command on several systems: a row each, and what is typed elsewhere instead."""
    rows = [(e.title, _verdict(e), _happens(e)) for e in document.explanations]
    rows += [(tools()[tool].title, "instead", text) for tool, text in document.instead.items()]
    yield from wrapped_table(("system", "is", "what happens"), rows, width)


def _verdict(explanation: Explanation) -> str:
    error = explanation.error
    if error is None:
        return "accepted"
    if error.continues:
        return "accepted, warns"
    return "refused" if error.exit_status is None else f"refused, exit {error.exit_status}"


def _happens(explanation: Explanation) -> str:
    outcome = _outcome(explanation)
    if outcome:
        return outcome
    if explanation.error and not explanation.error.continues:
        note = f"; {explanation.error.note}" if explanation.error.note else ""
        return f"{explanation.error.message}{note}"
    parts = [f"shows {explanation.prints}" if explanation.prints else ""]
    parts += [f"{f.flag} only if it was built in" for f in explanation.flags if _is_optional(f)]
    if explanation.error:
        parts.insert(0, f"{explanation.error.message} ({explanation.error.note})")
    return "; ".join(part for part in (*parts, *explanation.remarks) if part)


def stage_lines(stages: Sequence[ExplainedStage], mark: str, width: int) -> Iterator[str]:
    """What stands before a command, or what its output goes through."""
    for stage in stages:
        words = " ".join(_quoted(word) for word in stage.words)
        meaning = stage.meaning or "not looked at: no idiom that is known here"
        first = f"{mark}{escape_part(words)}: "
        yield from paragraph(meaning, width, first=first, indent=INDENT * 2)


def source_lines(explanations: Sequence[Explanation], width: int) -> Iterator[str]:
    """Where each meaning comes from."""
    yield "Sources:"
    for explanation in explanations:
        for flag in explanation.flags:
            first = f"{INDENT}{explanation.title} {flag.flag}: "
            yield from paragraph(flag.source, width, first=first, indent=INDENT * 2)
        others = [s for s in explanation.sources if s not in {f.source for f in explanation.flags}]
        for source in others:
            first = f"{INDENT}{explanation.title}: "
            yield from paragraph(source, width, first=first, indent=INDENT * 2)
