"""Translations as text: each reading of the command, and under it what to type."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator, Sequence

from netinspect.render.escape import escape_part
from netinspect.render.wrapped import paragraph
from netinspect.teach.knowledge import tools
from netinspect.teach.translate import Reading, Translation, Translations

INDENT = "  "


def translation_lines(document: Translations, width: int) -> Iterator[str]:
    """The command, what it asks, and what to type instead."""
    yield escape_part(shlex.join(document.command))
    many = len(document.readings) > 1
    if many:
        text = f"{len(document.readings)} readings: say --from SYSTEM to choose one"
        yield from paragraph(text, width)
    for reading in document.readings:
        yield ""
        yield from _reading_lines(reading, document.to, width)
    if document.target_reading:
        yield ""
        first = f"On {document.to} the same words mean: "
        yield from paragraph(document.target_reading, width, first=first, indent=INDENT)
    yield from _refused_lines(document, width)


def _reading_lines(reading: Reading, to: str, width: int) -> Iterator[str]:
    yield from paragraph(f"{titles(reading.tools)}: {reading.asks}", width, indent=INDENT)
    label = f"{INDENT}on {to}:  "
    indent = " " * len(label)
    first = label
    for translation in reading.translations:
        yield from _command_lines(translation, first, indent, width)
        first = indent
    if not reading.translations:
        yield f"{label}nothing asks this"
    for text in reading.instead:
        yield from paragraph(text, width, first=indent, indent=f"{indent}{INDENT}")
    if reading.netinspect:
        here = f"{INDENT}here:"
        yield f"{here:<{len(label)}}{escape_part(reading.netinspect)}"


def titles(ids: Sequence[str]) -> str:
    """`GNU/Linux and BusyBox netstat`."""
    names = [tools()[tool].title for tool in ids]
    if len(names) > 1 and all(name.endswith(" netstat") for name in names):
        short = [name.removesuffix(" netstat") for name in names]
        return f"{', '.join(short[:-1])} and {short[-1]} netstat"
    return ", ".join(names)


def _command_lines(translation: Translation, first: str, indent: str, width: int) -> Iterator[str]:
    for command in translation.commands:
        yield f"{first}{escape_part(command)}"
        first = indent
    for difference in translation.differences:
        mark = f"{indent}{INDENT}{'lost: ' if difference.lost else 'note: '}"
        yield from paragraph(difference.text, width, first=mark, indent=f"{indent}{INDENT * 2}")


def _refused_lines(document: Translations, width: int) -> Iterator[str]:
    if document.refused_by:
        yield ""
        names = titles([refusal.tool for refusal in document.refused_by])
        yield from paragraph(f"Refused by {names}", width, indent=INDENT)


def source_lines(sources: Iterable[str], width: int) -> Iterator[str]:
    """Where the meanings come from."""
    yield "Sources:"
    for source in dict.fromkeys(sources):
        yield from paragraph(source, width, first=INDENT, indent=INDENT * 2)
