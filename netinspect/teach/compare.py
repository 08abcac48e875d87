"""The same sockets as several programs print them, and what to type for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Annotated, NamedTuple

from msgspec import Meta, Struct

from netinspect.errors import UsageError, unknown_word
from netinspect.filters.selection import Selection
from netinspect.model import Connection, Envelope, Note
from netinspect.render.dialects import DIALECTS
from netinspect.render.dialects.bsd import HOST_WIDTH
from netinspect.render.dialects.dialect import Dialect
from netinspect.teach.command_line import CommandLine
from netinspect.teach.getopt import take_apart
from netinspect.teach.impersonate import impersonate, sources_of
from netinspect.teach.knowledge import flags_of
from netinspect.teach.typed import typed

SYSTEMS = {"gnu": "linux", "bsd": "macos", "ss": "linux", "windows": "windows"}
DEFAULT_DIALECTS = ("gnu", "bsd")
TOKEN = re.compile(r"\S+")
Test = Callable[[Connection], bool]


class FlagMeaning(Struct, frozen=True):
    """What a flag of the command means."""

    flag: Annotated[str, Meta(description="as it is typed, with its argument")]
    meaning: str


class Side(Struct, frozen=True):
    """The sockets as one program prints them."""

    dialect: Annotated[str, Meta(description="gnu, bsd, ss or windows")]
    title: Annotated[str, Meta(description="the program")]
    command: Annotated[str, Meta(description="what to type there")]
    flags: tuple[FlagMeaning, ...]
    notes: Annotated[
        tuple[str, ...], Meta(description="what the command cannot ask, and how to read its output")
    ]
    output: Annotated[tuple[str, ...], Meta(description="the lines that it prints")]
    hidden: Annotated[int, Meta(description="sockets that it would not show")]
    sources: Annotated[
        tuple[str, ...], Meta(description="where the meanings and the format are from")
    ]


class Comparison(Envelope, frozen=True, kw_only=True):
    """The same sockets in several formats."""

    dialects: tuple[Side, ...]
    total: Annotated[int, Meta(description="sockets that were asked for")]
    shown: Annotated[int, Meta(description="how many of them stand in the outputs")]
    notes: tuple[Note, ...]


class Slot(NamedTuple):
    """What a program prints of one socket: the lines above its row, and the row if it has one."""

    above: tuple[str, ...]
    row: str | None


class Printed(NamedTuple):
    """One side with its rows apart, a slot for each socket; `below` has no socket."""

    side: Side
    slots: list[Slot]
    below: tuple[str, ...]


class Fact(NamedTuple):
    """Something to know about a format, where sockets are like this."""

    dialect: str
    applies: Test
    text: str


def _is_dual(c: Connection) -> bool:
    return c.dual_stack is True


def _is_mapped(c: Connection) -> bool:
    return c.family == "ipv6" and (c.local_address or "").startswith("::ffff:")


def _is_cut(c: Connection) -> bool:
    hosts = (c.local_address or "", c.remote_address or "")
    return c.family == "ipv6" and not _is_mapped(c) and max(map(len, hosts)) > HOST_WIDTH


def _listens(c: Connection) -> bool:
    return c.protocol == "tcp" and c.state == "LISTEN"


FACTS = (
    Fact("gnu", _is_dual, "tcp6 and ::: may take IPv4 as well: netstat does not tell"),
    Fact("gnu", _is_mapped, "tcp6 with IPv4 addresses: an IPv6 socket that speaks IPv4"),
    Fact("gnu", _listens, "Recv-Q of a listener: who waits to be accepted; Send-Q is always 0"),
    Fact("bsd", _is_dual, "tcp46 takes IPv4 as well, tcp6 does not"),
    Fact("bsd", _is_mapped, "an IPv6 socket that speaks IPv4 is tcp4"),
    Fact("bsd", _is_cut, f"hosts are cut to {HOST_WIDTH} characters; -l shows them whole"),
    Fact("bsd", _listens, "queues of listeners are always 0; netstat -Lan shows who waits"),
    Fact("ss", _is_dual, "* takes IPv4 as well, [::] does not"),
    Fact("ss", _listens, "queues of a listener: who waits to be accepted, and how many may"),
    Fact("ss", lambda c: c.state == "TIME_WAIT", "without -a or state, ss hides TIME-WAIT"),
    Fact("windows", lambda c: c.state == "TIME_WAIT", "with -o they are of process 0: nobody's"),
)


def parse_dialects(words: Sequence[str]) -> list[str]:
    """The dialects that are named, each once; the default ones where none is.

    :raises UsageError: there is no such dialect.
    """
    for word in words:
        if word not in DIALECTS:
            raise UsageError(unknown_word("dialect", word, DIALECTS))
    return list(dict.fromkeys(words)) or list(DEFAULT_DIALECTS)


def print_side(
    name: str,
    selection: Selection,
    words: Sequence[str],
    connections: Sequence[Connection],
    *,
    is_terminal: bool,
) -> Printed:
    """What one program prints of these sockets, and what to type for it.

    :param words: the words of the expression that is in the selection.
    :param is_terminal: names of strangers are escaped.
    """
    command = typed(name, selection, words)
    dialect = impersonate(SYSTEMS[name], command.argv, is_terminal=is_terminal).dialect
    slots, below = _slots(dialect, connections)
    hidden = sum(slot.row is None for slot in slots)
    line = take_apart(SYSTEMS[name], command.argv)
    side = Side(
        name,
        line.tool.title,
        command.text,
        tuple(_flags(line)),
        (*command.notes, *_facts(name, dialect, connections), *_hidden(hidden, len(slots))),
        tuple(_lines(slots, below)),
        hidden,
        sources_of(line),
    )
    return Printed(side, slots, below)


def _flags(line: CommandLine) -> Iterable[FlagMeaning]:
    known = flags_of(line.tool)
    for option in line.options:
        argument = f" {option.argument}" if option.argument else ""
        meaning = known[option.flag].meaning if option.flag in known else ""
        yield FlagMeaning(f"{option.flag}{argument}", _first_sentence(meaning))


def _first_sentence(text: str) -> str:
    """Up to the first stop; what follows are values, or other uses of a flag."""
    return re.split(r"[.;:](?: |$)", text, maxsplit=1)[0]


def _facts(name: str, dialect: Dialect, connections: Sequence[Connection]) -> Iterable[str]:
    seen = [c for c in connections if dialect.shows(c)]
    return [f.text for f in FACTS if f.dialect == name and any(map(f.applies, seen))]


def _hidden(hidden: int, total: int) -> Iterable[str]:
    if hidden:
        yield f"{hidden} of {total} sockets would not be shown there"


def _slots(
    dialect: Dialect, connections: Sequence[Connection]
) -> tuple[list[Slot], tuple[str, ...]]:
    """The rows by their sockets, and the headings that have none below."""
    rows: dict[int, Slot] = {}
    above: tuple[str, ...] = ()
    for block in dialect.blocks([[c for c in connections if dialect.shows(c)]]):
        above = (*above, *block.heading)
        for c, row in zip(block.connections, block.rows, strict=True):
            rows[id(c)] = Slot(above, row)
            above = ()
    slots = [rows.get(id(c), Slot((), None)) for c in connections]
    return _with_first_heading(slots, above)


def _with_first_heading(
    slots: list[Slot], below: tuple[str, ...]
) -> tuple[list[Slot], tuple[str, ...]]:
    """The heading above all, also above sockets that are not shown."""
    first = next((i for i, slot in enumerate(slots) if slot.row is not None), None)
    if first is None and slots:
        return [Slot(below, None), *slots[1:]], ()
    if first:
        slots[0], slots[first] = Slot(slots[first].above, None), slots[first]._replace(above=())
    return slots, below


def _lines(slots: Iterable[Slot], below: Iterable[str]) -> Iterable[str]:
    """What the program prints."""
    for slot in slots:
        yield from slot.above
        if slot.row is not None:
            yield slot.row
    yield from below


def differing(rows: Sequence[str | None]) -> list[list[tuple[int, int]]]:
    """Of each row the words that another of them lacks, as (start, end); rows may be missing.

    >>> differing(["tcp 0 LISTEN", "tcp4 0 LISTEN"])
    [[(0, 3)], [(0, 4)]]
    """
    words = [None if row is None else set(TOKEN.findall(row)) for row in rows]
    present = [found for found in words if found is not None]
    shared = set.intersection(*present) if present else set()
    return [
        [m.span() for m in TOKEN.finditer(row or "") if m.group() not in shared] for row in rows
    ]
