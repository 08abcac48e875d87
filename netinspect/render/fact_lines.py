"""The lines under a socket in the extended table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from msgspec import UNSET

from netinspect.model import Connection
from netinspect.render.escape import display_width
from netinspect.render.owner_facts import owner_facts
from netinspect.render.socket_facts import read_facts

INDENT = "    "
GAP = "  "


def fact_lines(connections: Sequence[Connection], width: int | None) -> Iterator[list[str]]:
    """What is known of each socket beyond its row, then of each owner, indented.

    :param width: of the terminal; None where nothing is broken into lines.
    """
    tcp = [_directions(connections), *read_facts(connections, "tcp_info")]
    setup = [*read_facts(connections, "memory"), *read_facts(connections, "options")]
    nothing = [()] * len(connections)
    paragraphs = zip(
        zip(*tcp, strict=True), zip(*setup, strict=True) if setup else nothing, strict=True
    )
    for connection, facts in zip(connections, paragraphs, strict=True):
        lines = [line for paragraph in facts for line in _wrapped(paragraph, width)]
        for owner in connection.owners:
            if owner.command_line is not UNSET:
                lines += _wrapped(owner_facts(owner), width)
        yield lines


def _directions(connections: Iterable[Connection]) -> list[str]:
    return ["" if c.direction in (UNSET, "unknown") else str(c.direction) for c in connections]


def _wrapped(facts: Iterable[str], width: int | None) -> Iterable[str]:
    """As many facts a line as fit; what continues is indented further. A fact is never broken."""
    line = GAP.join(filter(None, facts))
    if not line:
        return ()
    return (INDENT + line,) if width is None else _broken(filter(None, facts), width)


def _broken(facts: Iterable[str], width: int) -> Iterator[str]:
    line = ""
    for fact in facts:
        longer = f"{line}{GAP}{fact}" if line else INDENT + fact
        if line and display_width(longer) > width:
            yield line
            longer = 2 * INDENT + fact
        line = longer
    yield line
