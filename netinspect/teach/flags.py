"""`netinspect flags`: one letter side by side on every tool, the dangerous differences first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

from msgspec import Meta, Struct

from netinspect.errors import UsageError, unknown_word
from netinspect.model import Envelope
from netinspect.teach.knowledge import (
    SYSTEM_ALIASES,
    SYSTEMS,
    Conflict,
    Flag,
    Severity,
    Tool,
    conflicts,
    flags_of,
    tools,
)

DEFAULT_TOOLS = ("linux_netstat", "macos_netstat", "freebsd_netstat", "linux_ss", "lsof")
SEVERITIES: tuple[Severity, ...] = ("danger", "trap", "mild", "none")


class Sense(Struct, frozen=True):
    """One meaning of a letter, in few words, and the tools that mean it."""

    meaning: str
    tools: tuple[str, ...]


class FlagEntry(Struct, frozen=True):
    """What a flag means to one tool."""

    tool: Annotated[str, Meta(description="linux_netstat, linux_ss, macos_netstat, lsof, ...")]
    short: str | None
    long: str | None
    argument: Annotated[str | None, Meta(description="what follows the flag; null: nothing")]
    meaning: str
    notes: str | None
    status: Annotated[str | None, Meta(description="undocumented, obsolete, broken, rejected, ...")]
    since: str | None
    source: str


class FlagComparison(Struct, frozen=True):
    """One flag on every tool."""

    flag: str
    severity: Annotated[Severity, Meta(description="how dangerous the difference is")]
    senses: Annotated[tuple[Sense, ...], Meta(description="empty where there is one meaning only")]
    trap: str | None
    entries: tuple[FlagEntry, ...]
    rejected_by: tuple[str, ...]


class Flags(Envelope, frozen=True, kw_only=True):
    """The flags that were asked for; every letter when none was."""

    flags: tuple[FlagComparison, ...]


def find_tools(words: Iterable[str]) -> list[Tool]:
    """The tools that words name: an id, a program, a system, or `all`; the default when empty.

    :raises UsageError: a word names none; with the nearest that does.
    """
    wanted = [word.casefold() for word in words] or list(DEFAULT_TOOLS)
    found: dict[str, Tool] = {}
    for word in wanted:
        name = SYSTEM_ALIASES.get(word, word)
        matches = [t for t in tools().values() if name in ("all", t.id, t.program, t.system)]
        if not matches:
            programs = dict.fromkeys(t.program for t in tools().values())
            choices = (*tools(), *programs, *SYSTEMS, "all")
            raise UsageError(unknown_word("tool", word, choices))
        found.update((tool.id, tool) for tool in matches)
    return list(found.values())


def compare(names: Sequence[str], chosen: Sequence[Tool]) -> list[FlagComparison]:
    """Flags on these tools, as they are typed or without the dash; all letters when none is named.

    :raises UsageError: no tool here has such a flag.
    """
    if not names:
        letters = {conflict.flag for conflict in conflicts().flags}
        found = [comparison(flag, chosen) for flag in letters]
        found = [compared for compared in found if compared.entries]
        return sorted(found, key=lambda c: (SEVERITIES.index(c.severity), c.flag.lower(), c.flag))
    return [comparison(_flag_named(name), chosen) for name in dict.fromkeys(names)]


def _flag_named(name: str) -> str:
    """`p`, `-p`, `tos`, `--tos`, `+c` and `/?` as the tables have them."""
    known = {flag for tool in tools().values() for flag in flags_of(tool)}
    for flag in (name, f"-{name}", f"--{name}"):
        if flag in known:
            return flag
    message = unknown_word("flag", name, sorted(known))
    is_letter = len(name.lstrip("-+/")) <= 1  # `y` is no slip of the keyboard for `Y`
    if is_letter or "did you mean" not in message:
        message = f"no tool that is known here has a flag {name!r}"
    raise UsageError(message)


def comparison(flag: str, chosen: Sequence[Tool]) -> FlagComparison:
    """One flag on these tools."""
    conflict = _conflict(flag)
    entries = [entry(tool, known[flag]) for tool in chosen if flag in (known := flags_of(tool))]
    ids = {tool.id for tool in chosen}
    senses = conflict.senses if conflict and conflict.senses else {}
    return FlagComparison(
        flag=flag,
        severity=conflict.severity if conflict else "none",
        senses=tuple(Sense(meaning, ids_of) for meaning, ids_of in senses.items()),
        trap=conflict.trap if conflict else None,
        entries=tuple(entries),
        rejected_by=tuple(i for i in (conflict.rejected_by if conflict else ()) if i in ids),
    )


def _conflict(flag: str) -> Conflict | None:
    return next((found for found in conflicts().flags if found.flag == flag), None)


def entry(tool: Tool, flag: Flag) -> FlagEntry:
    """What the table says of a flag of a tool."""
    return FlagEntry(
        tool=tool.id,
        short=flag.short,
        long=flag.long,
        argument=flag.argument,
        meaning=flag.meaning,
        notes=flag.notes,
        status=flag.status,
        since=flag.since,
        source=flag.source,
    )


def all_flags(tool: Tool) -> list[FlagComparison]:
    """Every flag of one tool, letters first."""
    names = list(dict.fromkeys(flag.name for flag in flags_of(tool).values()))
    return [comparison(name, [tool]) for name in sorted(names, key=lambda n: (len(n), n.lower()))]
