"""Groups of sockets: a table with a line for each, or one of the formats for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from netinspect.grouping.keys import OWNER_KEYS, Grouping
from netinspect.grouping.record import MEASURES, SUMS, Group, Groups
from netinspect.model import State
from netinspect.render.document import render_document
from netinspect.render.escape import display_width, escape_cell, shorten

GAP = "  "
NUMBERS = frozenset({"local_port", "remote_port", "ip_protocol", "uid", "pid", "netns", *MEASURES})
SHOWN_MEASURES = ("count", "recv_q", "send_q", "waiting")
SHORTEST_STATES = 20
SHORTEST_NAME = 12  # what docker shows of the id of a container
# No process can hold the socket; or one does, but it has no unit, no container.
PLAIN_STATUSES = ("none", "known")


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
    shown = [
        [_pad(cell, widths[column.name], column.name) for cell in (column.title, *column.cells)]
        for column in columns
        if column.name in widths
    ]
    return "".join(f"{GAP.join(line).rstrip()}\n" for line in zip(*shown, strict=True))


def _columns(groups: Groups) -> list[Column]:
    """The keys, the sums, and the states unless they are a key."""
    states = () if "state" in groups.by else ("states",)
    labels, counts = zip(*_lines_below(groups), strict=True)
    below = {groups.by[0]: labels, "count": counts}
    blank = [""] * len(labels)
    return [
        Column(name, [*(_cell(group, name) for group in groups.groups), *below.get(name, blank)])
        for name in (*groups.by, *SHOWN_MEASURES, *states)
    ]


def _lines_below(groups: Groups) -> Iterator[tuple[str, str]]:
    """What is left out, and how many sockets there are: one of two processes is in two groups."""
    left_out = groups.left_out
    if left_out.groups:
        yield f"{left_out.groups} more", str(left_out.count)
    sum_of_counts = sum(group.count for group in groups.groups) + left_out.count
    yield "total" if sum_of_counts == groups.total else "sockets", str(groups.total)


def _cell(group: Group, name: str) -> str:
    if name == "states":
        return states_text(group.states)
    value = getattr(group, name)
    if value is not None:
        return escape_cell(str(value))
    if name in OWNER_KEYS and group.owner_status not in PLAIN_STATUSES:
        return f"({group.owner_status})"
    return "-"


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


def _pad(cell: str, width: int, name: str) -> str:
    is_number = name in NUMBERS
    if cell.isascii() and len(cell) <= width:
        return cell.rjust(width) if is_number else cell.ljust(width)
    text = shorten(cell, width)
    blanks = " " * (width - display_width(text))
    return blanks + text if is_number else text + blanks
