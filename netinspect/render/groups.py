"""Groups of sockets: a table with a line for each, or one of the formats for programs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import repeat
from operator import attrgetter
from typing import Any, NamedTuple

from netinspect.grouping.keys import DETAIL_KEYS, OWNER_KEYS, Grouping
from netinspect.grouping.record import MEASURES, SUMS, Group, Groups
from netinspect.model import State
from netinspect.render.document import render_document
from netinspect.render.escape import display_width, escape_cell, shorten

GAP = "  "
NUMBERS = frozenset({"local_port", "remote_port", "ip_protocol", "uid", "pid", "netns", *MEASURES})
SHOWN_MEASURES = ("count", "recv_q", "send_q", "waiting")
SHORTEST_STATES = 20
SHORTEST_NAME = 12  # what docker shows of the id of a container


class Column(NamedTuple):
    """One column of the table, with the lines below the groups."""

    name: str
    cells: list[str]

    @property
    def title(self) -> str:
        """As in a listing."""
        return self.name.upper().replace("_Q", "-Q")

    @property
    def may_be_shortened(self) -> bool:
        """Names may; of an address or a number a part is something else."""
        return self.name not in NUMBERS and not self.name.endswith("_address")


def render_groups(
    groups: Groups, output: str, *, terminal_width: int | None = None
) -> Iterator[bytes]:
    """The groups as `table`, `json`, `ndjson`, `csv` or `tsv`.

    :param terminal_width: None, and nothing is cut, where it is no terminal.
    """
    if output == "table":
        return iter([_table(groups, terminal_width).encode()])
    keys = (*Grouping(groups.by).keys, *SUMS)
    is_terminal = terminal_width is not None
    return render_document(groups, groups.groups, keys, output, is_terminal=is_terminal)


def _table(groups: Groups, terminal_width: int | None) -> str:
    columns = _columns(groups)
    widths = {c.name: max(map(display_width, (c.title, *c.cells))) for c in columns}
    if terminal_width is not None:
        _fit(columns, widths, terminal_width)
    shown = [_padded(column, widths[column.name]) for column in columns if column.name in widths]
    return "".join(f"{GAP.join(line).rstrip()}\n" for line in zip(*shown, strict=True))


def _columns(groups: Groups) -> list[Column]:
    """The keys, the sums, and the states unless they are a key."""
    states = () if "state" in groups.by else ("states",)
    labels, counts = zip(*_lines_below(groups), strict=True)
    below = {groups.by[0]: labels, "count": counts}
    blank = [""] * len(labels)
    return [
        Column(name, [*_cells(groups.groups, name), *below.get(name, blank)])
        for name in (*groups.by, *SHOWN_MEASURES, *states)
    ]


def _lines_below(groups: Groups) -> Iterator[tuple[str, str]]:
    """What is left out, and how many sockets there are: one of two processes is in two groups."""
    left_out = groups.left_out
    if left_out.groups:
        yield f"{left_out.groups} more", str(left_out.count)
    sum_of_counts = sum(group.count for group in groups.groups) + left_out.count
    yield "total" if sum_of_counts == groups.total else "sockets", str(groups.total)


def _cells(groups: Sequence[Group], name: str) -> list[str]:
    if name == "states":
        return [states_text(group.states) for group in groups]
    values = map(attrgetter(name), groups)
    if name in OWNER_KEYS:
        return [
            _owner_cell(name, value, group.owner_status)
            for value, group in zip(values, groups, strict=True)
        ]
    return ["-" if value is None else escape_cell(str(value)) for value in values]


def _owner_cell(name: str, value: Any, status: object) -> str:
    """A dash: no process can hold the socket; in a column of units: one does, which has none."""
    if value is not None:
        return escape_cell(str(value))
    is_plain = status == "known" or (status == "none" and name not in DETAIL_KEYS)
    return "-" if is_plain else f"({status})"


def states_text(states: dict[State, int]) -> str:
    """The commonest first: `ESTABLISHED 12, TIME_WAIT 3`."""
    commonest = sorted(states.items(), key=lambda state: (-state[1], state[0]))
    return ", ".join(f"{state} {count}" for state, count in commonest)


def _fit(columns: list[Column], widths: dict[str, int], terminal_width: int) -> None:
    """Shorten and drop until a line fits; addresses and numbers are never cut."""
    natural = dict(widths)

    def room() -> int:
        return terminal_width - sum(widths.values()) - len(GAP) * (len(widths) - 1)

    def shorten_to(least: int, name: str) -> None:
        widths[name] = max(min(least, widths[name]), min(natural[name], widths[name] + room()))

    def drop(name: str) -> None:
        if room() < 0:
            widths.pop(name, None)

    names = [c.name for c in columns if c.may_be_shortened and c.name != "states"]
    if "states" in widths:
        shorten_to(SHORTEST_STATES, "states")
    drop("send_q")
    drop("recv_q")
    for name in reversed(names):
        shorten_to(SHORTEST_NAME, name)
    drop("waiting")
    drop("states")
    for name in names:  # what the last drop has made room for
        shorten_to(SHORTEST_NAME, name)
    if "states" in widths:
        shorten_to(SHORTEST_STATES, "states")


def _padded(column: Column, width: int) -> Iterable[str]:
    """The title and the cells, all of this width."""
    cells = [shorten(cell, width) for cell in (column.title, *column.cells)]
    if column.name in NUMBERS:
        return map(str.rjust, cells, repeat(width))
    return [cell + " " * (width - display_width(cell)) for cell in cells]
