"""The answers about ports: sentences and small tables, or JSON."""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from netinspect.diagnose.bind import SOCKET_OPTIONS
from netinspect.diagnose.port_record import Attempt, Holder, Neighbour, Place, PortAnswer, Ports
from netinspect.diagnose.port_words import endpoint, owner_text, remote, seconds
from netinspect.render.command import short_command
from netinspect.render.document import render_document
from netinspect.render.escape import display_width, escape_cell
from netinspect.render.wrapped import GAP, paragraph, wrapped_table

WIDEST = 100  # columns of advice, however wide the terminal is
INDENT = "  "
MARK = "?"
COMMAND = re.compile("`[^`]*`")
NO_BREAK = "\N{NO-BREAK SPACE}"
PLACE_TITLES = ("address", *(name or "plain" for name in SOCKET_OPTIONS.values()))
LEGEND_PREDICTED = f"{MARK} not tried, but predicted from the sockets above."
LEGEND_DEPENDS = "depends: on the options of the sockets above, which no table tells."


def render_ports(document: Ports, output: str, *, terminal_width: int | None) -> Iterator[bytes]:
    """The document as `table`, `json` or `ndjson`; of several ports a table has a line each."""
    if output != "table":
        return render_document(
            document, document.ports, (), output, is_terminal=terminal_width is not None
        )
    width = terminal_width or sys.maxsize
    if len(document.ports) > 1:
        return iter([_lines(line for p in document.ports for line in _hung(p.answer, width))])
    (found,) = document.ports
    return iter([_lines(_answer_lines(found, document.uid, width))])


def _lines(lines: Iterable[str]) -> bytes:
    return "".join(f"{escape_cell(line)}\n" for line in lines).encode()


def _answer_lines(found: PortAnswer, uid: int | None, width: int) -> Iterator[str]:
    yield from _hung(found.answer, width)
    if found.holders:
        yield from _holder_section(found.holders, found.port, width)
    if not all(place.plain.works for place in found.places):
        who = "" if uid is None else " as root" if uid == 0 else f" as uid {uid}"
        calls = "bind()" if found.protocol == "udp" else "bind() and listen()"
        yield from _place_section(f"{calls}{who} now:", found.places, width)
    if found.advice:
        yield from ("", "What to do:" if found.cause else "To know:")
        for text in found.advice:
            yield from _wrapped(text, min(width, WIDEST))
    if found.other_namespaces:
        yield ""
        yield from _hung("In other network namespaces, which is in nobody's way here:", width)
        for neighbour in found.other_namespaces:
            yield from _hung(_neighbour_text(neighbour, found.port), width, INDENT)


def _hung(text: str, width: int, first: str = "") -> list[str]:
    """A line, or as many as it takes: what continues is indented further."""
    line = first + escape_cell(text)
    if display_width(line) <= width:
        return [line]
    return paragraph(text, width, first=first, indent=first + INDENT)


def _holder_section(holders: Sequence[Holder], port: int, width: int) -> Iterator[str]:
    yield from ("", "Sockets with this port:")
    rows = _holder_rows(holders, port)
    lines = list(_in_columns(rows))
    if _is_too_wide(lines, width):
        lines = [line for row in rows for line in _in_lines(row, width)]
    yield from lines


def _place_section(title: str, places: Sequence[Place], width: int) -> Iterator[str]:
    yield from ("", *_hung(title, width))
    rows = _place_rows(places)
    lines = list(_in_columns([PLACE_TITLES, *rows]))
    if _is_too_wide(lines, width):
        wrapped = wrapped_table(PLACE_TITLES, rows, width - len(INDENT))
        lines = [f"{INDENT}{line}".rstrip() for line in wrapped]
    yield from lines
    for legend in _legends(places):
        yield from _hung(legend, width, INDENT)


def _is_too_wide(lines: Iterable[str], width: int) -> bool:
    return max(map(display_width, lines)) > width


def _in_columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The rows, without the columns that are empty."""
    widths = [max(map(display_width, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell + " " * (width - display_width(cell))
            for cell, width in zip(row, widths, strict=True)
            if width
        )
        yield f"{INDENT}{GAP.join(cells)}".rstrip()


def _in_lines(cells: Sequence[str], width: int) -> Iterator[str]:
    """The cells of one row, as many a line as fit; what continues is indented further."""
    first, line = INDENT, cells[0]
    for cell in filter(None, cells[1:]):
        if display_width(f"{first}{line}{GAP}{cell}") <= width:
            line += GAP + cell
        else:
            yield from _hung(line, width, first)
            first, line = INDENT * 2, cell
    yield from _hung(line, width, first)


def _wrapped(text: str, width: int) -> list[str]:
    """Lines of a list; what stands in backquotes is a command, and stays on one line."""
    lines = textwrap.wrap(
        COMMAND.sub(lambda match: match[0].replace(" ", NO_BREAK), escape_cell(text)),
        width,
        initial_indent="  - ",
        subsequent_indent="    ",
        break_long_words=False,
        break_on_hyphens=False,
    )
    return [line.replace(NO_BREAK, " ") for line in lines]


def _holder_rows(holders: Sequence[Holder], port: int) -> list[list[str]]:
    return [
        [
            holder.state,
            escape_cell(endpoint(holder, port)),
            _others(holder),
            escape_cell(owner_text(holder)),
            escape_cell(_command(holder)),
        ]
        for holder in holders
    ]


def _command(holder: Holder) -> str:
    """What the first owner runs, where that says more than its name."""
    line = holder.owners[0].command_line if holder.owners else None
    command = short_command(line) if line else ""
    return "" if holder.owners and command == holder.owners[0].process else command


def _others(holder: Holder) -> str:
    """The other end, or how many; and until when."""
    wait = f", {seconds(holder)} s left" if holder.expires_ms is not None else ""
    if holder.count > 1:
        return f"{holder.count} of them{wait}"
    return f"to {escape_cell(remote(holder))}{wait}" if holder.remote_address else ""


def _place_rows(places: Sequence[Place]) -> list[list[str]]:
    """A row for each address that was asked for; others of which the same is true in one."""
    rows = [[_place_text(p), *_cells(p)] for p in places if p.asked]
    alike: dict[tuple[str, ...], list[str]] = {}
    for place in places:
        if not place.asked:
            alike.setdefault(_cells(place), []).append(_place_text(place))
    return [*rows, *([_some(names), *cells] for cells, names in alike.items())]


def _place_text(place: Place) -> str:
    stacks = {True: " and IPv4", False: " (only IPv6)", None: ""}
    return f"{escape_cell(place.address)}{stacks[place.dual_stack]}"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if names[2:] else "")


def _cells(place: Place) -> tuple[str, ...]:
    is_known_free = place.plain.tried and place.plain.works
    return tuple(
        _attempt_text(attempt) + ("" if attempt.tried or is_known_free else MARK)
        for attempt in (place.plain, place.reuse_address, place.reuse_port)
    )


def _attempt_text(attempt: Attempt) -> str:
    if attempt.works is None:
        return "depends"
    return "works" if attempt.works else attempt.error or "fails"


def _legends(places: Sequence[Place]) -> Iterator[str]:
    cells = [cell for place in places for cell in _cells(place)]
    if any(cell.endswith(MARK) for cell in cells):
        yield LEGEND_PREDICTED
    if any(cell.startswith("depends") for cell in cells):
        yield LEGEND_DEPENDS


def _neighbour_text(neighbour: Neighbour, port: int) -> str:
    address = neighbour.local_address or "*"
    place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    owners = [f"{owner.process} (pid {owner.pid})" for owner in neighbour.owners[:1]]
    return escape_cell(
        f"{place}, {owners[0] if owners else 'nobody known'}, net:[{neighbour.netns}]"
    )
