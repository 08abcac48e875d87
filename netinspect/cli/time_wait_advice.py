"""What to do about the findings of `netinspect time-wait`, with code for the likely languages."""

from __future__ import annotations

from msgspec.structs import replace

from netinspect.diagnose.finding import Example, Finding
from netinspect.diagnose.time_wait_record import TimeWait
from netinspect.teach.advice import Language, likely_languages, load_advice


def advise(document: TimeWait, languages: frozenset[str] | None) -> TimeWait:
    """The document, its findings with all that there is to know about them.

    :param languages: for which code is wanted; None: those of the likely processes.
    """
    if languages is None:
        languages = likely_languages(
            (owner.process for d in document.destinations for owner in d.likely_owners),
            (d.remote_port for d in document.destinations),
        )
    return replace(document, findings=tuple(_advise(f, languages) for f in document.findings))


def _advise(finding: Finding, languages: frozenset[str]) -> Finding:
    advice = load_advice()
    lesson = advice.lessons[finding.code]
    titles = {language.name: language for language in advice.languages}
    return replace(
        finding,
        advice=lesson.advice,
        avoid=lesson.avoid,
        references=lesson.references,
        examples=tuple(
            Example(_title(titles, e.language), e.text, e.code)
            for e in lesson.examples
            if e.language in languages
        ),
    )


def _title(languages: dict[str, Language], name: str) -> str:
    return languages[name].title


def other_languages(document: TimeWait) -> tuple[str, ...]:
    """For which `--advice` would show more."""
    advice = load_advice()
    shown = {example.language for f in document.findings for example in f.examples}
    offered = {e.language for f in document.findings for e in advice.lessons[f.code].examples}
    return tuple(
        language.name
        for language in advice.languages
        if language.name in offered and language.title not in shown
    )
