"""`netinspect states`: what a TCP state means, who waits for what, how long, and what a pile is."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from typing import Annotated

from msgspec import Meta, Struct

from netinspect.filters.words import parse_states
from netinspect.model import Envelope, State
from netinspect.teach.knowledge import read_table

# Where the two that are none of RFC 9293 stand in the table
EXTRA: dict[State, str] = {"UNCONN": "UNCONN", "BOUND": "BOUND_INACTIVE"}


class MibState(Struct, frozen=True):
    """The state in the MIB of RFC 4022."""

    name: str
    number: int


class Duration(Struct, frozen=True):
    """How long a state lasts on a system."""

    system: Annotated[str, Meta(description="linux, macos, ..., or every system")]
    text: str
    setting: Annotated[str | None, Meta(description="what changes it, and its default")]
    source: str


class TcpState(Struct, frozen=True):
    """What the tables tell of one state."""

    state: Annotated[State, Meta(description="as in the record")]
    rfc9293: str
    tcp_mib: MibState
    linux_kernel_number: int
    linux_proc_hex: str
    bsd_number: int
    windows_mib_number: int
    prints: Annotated[dict[str, str], Meta(description="how each tool spells it")]
    ss_filter_keywords: tuple[str, ...]
    description: str
    meaning: str
    waits: Annotated[str, Meta(description="which end waits, and for what")]
    lasts: tuple[Duration, ...]
    pile: Annotated[str, Meta(description="what many of them mean, and what to do")]
    source: str


class OtherState(Struct, frozen=True):
    """A word that stands where a state does, but is none of RFC 9293."""

    name: str
    where: str
    note: str | None = None


class StateTable(Struct, frozen=True):
    """The table of states."""

    states: tuple[TcpState, ...]
    extra: tuple[OtherState, ...]
    diagram: tuple[str, ...]
    narrow_diagram: tuple[str, ...]
    diagram_source: str
    sources: dict[str, str]


class States(Envelope, frozen=True, kw_only=True):
    """The states that were asked for; all of them when none was."""

    states: tuple[TcpState, ...]
    others: tuple[OtherState, ...]
    diagram: Annotated[tuple[str, ...], Meta(description="lines; the states asked for in brackets")]


@cache
def state_table() -> StateTable:
    """The whole table."""
    return read_table("states", StateTable)


def find_states(words: Iterable[str]) -> tuple[list[TcpState], list[OtherState]]:
    """The states that words name, in any spelling; all of them when there are no words.

    :raises UsageError: a word names none; with the nearest that does.
    """
    table = state_table()
    wanted = parse_states(words)
    if not wanted:
        return list(table.states), list(table.extra)
    others = [EXTRA[state] for state in EXTRA if state in wanted]
    return (
        [state for state in table.states if state.state in wanted],
        [other for other in table.extra if other.name in others],
    )


def diagram(marked: Iterable[TcpState], width: int | None = None) -> list[str]:
    """The state machine in text, with these states in brackets; the small one in little room."""
    table = state_table()
    is_narrow = width is not None and width < max(map(len, table.diagram))
    lines = list(table.narrow_diagram if is_narrow else table.diagram)
    for state in marked:
        # the blanks on both sides become the brackets: nothing moves
        name = re.compile(rf"(?<![\w:]) ?\b{state.state}\b ?")
        lines = [name.sub(_bracket, line) for line in lines]
    return lines


def _bracket(match: re.Match[str]) -> str:
    text = match.group()
    left = "[" if text.startswith(" ") else ""
    right = "]" if text.endswith(" ") or match.end() == len(match.string) else ""
    return f"{left}{text.strip()}{right}"


def spellings(state: TcpState) -> list[tuple[str, list[str]]]:
    """Each spelling with the tools that print it, the one of the most tools first."""
    found: dict[str, list[str]] = {}
    for tool, spelling in state.prints.items():
        found.setdefault(spelling, []).append(tool)
    return sorted(found.items(), key=lambda item: -len(item[1]))
