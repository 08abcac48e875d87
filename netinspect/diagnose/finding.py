"""A finding: what is the matter, how that shows, and what to do about it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import Meta, Struct

Severity = Literal["info", "warning", "critical"]
Confidence = Literal["high", "medium", "low"]
SEVERITIES: tuple[Severity, ...] = ("critical", "warning", "info")


class Example(Struct, frozen=True):
    """How to do it in one language or program."""

    language: str
    text: str
    code: str


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that a rule has found."""

    code: Annotated[str, Meta(description="the name of the rule, for scripts")]
    severity: Severity
    title: Annotated[str, Meta(description="what is the matter, in one sentence")]
    evidence: Annotated[tuple[str, ...], Meta(description="the numbers from which that follows")]
    confidence: Annotated[Confidence, Meta(description="that this is the cause")]
    advice: Annotated[tuple[str, ...], Meta(description="what to do, the likeliest first")] = ()
    avoid: Annotated[
        tuple[str, ...], Meta(description="what is often advised, and why not to do it")
    ] = ()
    examples: Annotated[
        tuple[Example, ...], Meta(description="code, for the languages that were asked for")
    ] = ()
    references: tuple[str, ...] = ()
