"""Flags as text: side by side, one in full, or all of one tool."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from netinspect.render.wrapped import paragraph, wrapped_table
from netinspect.teach.flags import FlagComparison, FlagEntry
from netinspect.teach.knowledge import Tool, tools

INDENT = "  "
HEADLINES = {
    "danger": "DANGER: means other things elsewhere, without an error",
    "trap": "trap: means other things elsewhere",
    "mild": "means other things elsewhere",
    "none": "",
}
NOT_THERE = "-"
# What netinspect has instead of a letter that it does not take
OURS = {
    "-p": "netinspect has no -p: owners are always shown; select with --pid PID or --proto tcp",
    "-t": "netinspect --proto tcp",
    "-u": "netinspect --proto udp, or --proto unix for what the BSDs mean",
    "-w": "netinspect --proto raw",
    "-x": "netinspect --proto unix",
    "-l": "netinspect -l: only listening",
    "-o": "netinspect --columns local,remote,state,timer",
    "-i": "netinspect --port 80 for lsof -i :80",
}


def titles(ids: Iterable[str]) -> str:
    """The names of tools: `netstat of GNU/Linux and macOS, ss, lsof`."""
    return ", ".join(tools()[tool].title for tool in ids)


def side_by_side(
    compared: Sequence[FlagComparison], chosen: Sequence[Tool], width: int
) -> Iterator[str]:
    """A row a flag, a column a tool."""
    header = ["flag", *(tool.title for tool in chosen)]
    rows = [[_heading(flag), *(_cell(flag, tool) for tool in chosen)] for flag in compared]
    yield from wrapped_table(header, rows, width)
    yield ""
    yield from paragraph(
        f"{NOT_THERE} stands where a tool refuses the flag. One flag in full: netinspect flags p",
        width,
    )


def _heading(flag: FlagComparison) -> str:
    return f"{flag.flag} {flag.severity}" if flag.severity in ("danger", "trap") else flag.flag


def _cell(flag: FlagComparison, tool: Tool) -> str:
    """The meaning in few words."""
    for sense in flag.senses:
        if tool.id in sense.tools:
            return sense.meaning
    for entry in flag.entries:
        if entry.tool == tool.id:
            return entry.meaning.split(". ")[0].split(": ")[0].rstrip(".")
    return NOT_THERE


def in_full(flag: FlagComparison, width: int) -> Iterator[str]:
    """One flag: its senses, the trap, and what every tool's table says."""
    headline = HEADLINES[flag.severity]
    yield from paragraph(headline, width, first=f"{flag.flag}  ") if headline else [flag.flag]
    if flag.senses:
        yield ""
        rows = [(sense.meaning, titles(sense.tools)) for sense in flag.senses]
        yield from wrapped_table(("meaning", "to"), rows, width)
    if flag.trap:
        yield ""
        yield from paragraph(flag.trap, width, first="Trap: ", indent=INDENT)
    yield ""
    for entry in flag.entries:
        yield from entry_lines(entry, width)
    if flag.rejected_by:
        yield from paragraph(titles(flag.rejected_by), width, first="Refused by: ", indent=INDENT)
    if flag.flag in OURS:
        yield from paragraph(OURS[flag.flag], width, first="Here: ", indent=INDENT)


def typed(entry: FlagEntry) -> str:
    """How it is typed: `-p, --programs`, `-p protocol`."""
    names = ", ".join(name for name in (entry.short, entry.long) if name)
    return " ".join(part for part in (names, entry.argument) if part)


def entry_lines(entry: FlagEntry, width: int) -> Iterator[str]:
    """What one tool means by a flag."""
    remarks = [text for text in (entry.status, entry.since and f"since {entry.since}") if text]
    remark = f" ({', '.join(remarks)})" if remarks else ""
    yield from paragraph(f"{tools()[entry.tool].title}: {typed(entry)}{remark}", width)
    for text in (entry.meaning, entry.notes):
        if text:
            yield from paragraph(text, width, first=INDENT * 2, indent=INDENT * 2)


def of_one_tool(compared: Sequence[FlagComparison], width: int) -> Iterator[str]:
    """Every flag of one tool."""
    entries = [entry for flag in compared for entry in flag.entries]
    rows = [(typed(e), " ".join(text for text in (e.meaning, e.notes) if text)) for e in entries]
    yield from wrapped_table(("flag", "meaning"), rows, width)


def source_lines(compared: Sequence[FlagComparison], width: int) -> Iterator[str]:
    """Where each meaning comes from; flags with one source together."""
    yield "Sources:"
    found: dict[tuple[str, str], list[str]] = {}
    for flag in compared:
        for entry in flag.entries:
            found.setdefault((tools()[entry.tool].title, entry.source), []).append(flag.flag)
    for (title, source), names in found.items():
        first = f"{INDENT}{title} {' '.join(names)}: "
        yield from paragraph(f"{first}{source}", width, first=INDENT, indent=INDENT * 2)
