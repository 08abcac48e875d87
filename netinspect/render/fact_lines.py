"""The lines under a socket in the extended table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from msgspec import UNSET

from netinspect.model import Connection
from netinspect.render.escape import display_width
from netinspect.render.owner_facts import owner_facts
from netinspect.render.socket_facts import GAP, read_facts

INDENT = "    "


def fact_lines(connections: Sequence[Connection], width: int | None) -> Iterator[list[str]]:
    """What is known of each socket beyond its row, then of each owner, indented.

    :param width: of the terminal; None where nothing is broken into lines.
    """
    read = partial(read_facts, connections, is_joined=width is None)
    told = ([_directions(connections), *read("tcp_info")], [*read("memory"), *read("options")])
    paragraphs = [
        [_wrapped(facts, width) for facts in zip(*columns, strict=True)]
        for columns in told
        if columns
    ]
    for connection, *of_socket in zip(connections, *paragraphs, strict=True):
        lines = [line for paragraph in of_socket for line in paragraph]
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
