"""The lines under a socket in the extended table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from msgspec import UNSET

from netinspect.model import Connection, Owner
from netinspect.render.escape import display_width
from netinspect.render.owner_facts import owner_facts
from netinspect.render.socket_facts import GAP, Column, read_facts

INDENT = "    "
# A fact begins with the gap to the one before it; the first one is indented.
MARGIN = INDENT.removesuffix(GAP)
LINE = "\n" + MARGIN


def fact_lines(connections: Sequence[Connection], width: int | None) -> Iterable[str]:
    """What is known of each socket beyond its row, then of each owner, indented.

    :param width: of the terminal; None where nothing is broken into lines.
    :returns: a text for each socket, before each of its lines a line end.
    """
    read = partial(read_facts, connections, is_joined=width is None)
    told = ([_directions(connections), *read("tcp_info")], [*read("memory"), *read("options")])
    paragraphs = [_paragraphs(columns, width) for columns in told if columns]
    if any(connection.owners for connection in connections):
        paragraphs.append([_of_owners(connection.owners, width) for connection in connections])
    return map("".join, zip(*paragraphs, strict=True))


def _directions(connections: Iterable[Connection]) -> list[str]:
    return ["" if c.direction in (UNSET, "unknown") else f"{GAP}{c.direction}" for c in connections]


def _of_owners(owners: Iterable[Owner], width: int | None) -> str:
    told = [owner_facts(owner) for owner in owners if owner.command_line is not UNSET]
    return "".join(_paragraph([GAP + fact for fact in facts], width) for facts in told)


def _paragraphs(columns: Sequence[Column], width: int | None) -> list[str]:
    """A text of each row of facts."""
    rows = zip(*columns, strict=True)
    if width is None:
        return [LINE + facts if facts else "" for facts in map("".join, rows)]
    return [_paragraph(facts, width) for facts in rows]


def _paragraph(facts: Iterable[str], width: int | None) -> str:
    """As many facts a line as fit; what continues is indented further. A fact is never broken."""
    lines = _broken(filter(None, facts), width) if width else filter(None, ["".join(facts)])
    return "".join(LINE + line for line in lines)


def _broken(facts: Iterable[str], width: int) -> Iterator[str]:
    line = ""
    for fact in facts:
        if line and display_width(MARGIN + line + fact) > width:
            yield line
            line = INDENT
        line += fact
    if line:
        yield line
