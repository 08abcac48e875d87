"""The lines under a socket in the extended table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from msgspec import UNSET

from netinspect.model import Connection
from netinspect.render.escape import display_width
from netinspect.render.owner_facts import owner_facts

INDENT = "    "
GAP = "  "


def fact_lines(connection: Connection, width: int | None) -> list[str]:
    """What is known of the socket beyond its row, then of each owner, indented.

    :param width: of the terminal; None where nothing is broken into lines.
    """
    return [line for facts in _paragraphs(connection) for line in _wrapped(facts, width)]


def _paragraphs(connection: Connection) -> Iterator[list[str]]:
    if connection.direction not in (UNSET, "unknown"):
        yield [str(connection.direction)]
    for owner in connection.owners:
        if owner.command_line is not UNSET:
            yield owner_facts(owner)


def _wrapped(facts: Iterable[str], width: int | None) -> Iterator[str]:
    """As many facts a line as fit; what continues is indented further. A fact is never broken."""
    line = ""
    for fact in facts:
        longer = f"{line}{GAP}{fact}" if line else INDENT + fact
        if line and width is not None and display_width(longer) > width:
            yield line
            longer = 2 * INDENT + fact
        line = longer
    if line:
        yield line
