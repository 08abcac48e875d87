"""Columns: every key of the record, and a few that join several keys for human eyes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from netinspect.errors import UsageError, unknown_word
from netinspect.model import Connection, Owner, Timer, address_order
from netinspect.render.escape import escape_cell

Cells = Callable[[Iterable[Connection]], list[str]]


class Column(NamedTuple):
    """One column: the value for machines, the cells for eyes.

    Cells are made for many connections at once: a call a cell would take three times as long.
    """

    name: str
    title: str
    value: Callable[[Connection], Any]
    cells: Cells
    is_number: bool = False


class SafeText(dict["str | None", str]):
    """Names, escaped once each; `-` for none."""

    def __missing__(self, text: str | None) -> str:
        safe = self[text] = "-" if text is None else escape_cell(text)
        return safe


class NumberText(dict["int | None", str]):
    """Numbers as text, the small ones remembered: most queues are empty. `-` for none."""

    def __missing__(self, number: int | None) -> str:
        text = "-" if number is None else str(number)
        if number is None or number < MOST_REMEMBERED:
            self[number] = text
        return text


MOST_REMEMBERED = 4096
SAFE = SafeText()
NUMBER_TEXT = NumberText()
NO_PEER = "*"


def endpoint(address: str | None, port: int | None) -> str:
    """`127.0.0.1:80`, `[::1]:80`; without a port just the address."""
    if address is None:
        return NO_PEER
    if port is None:
        return SAFE[address]
    # only an IPv6 address can have a zone, and only that is a name
    return f"[{SAFE[address]}]:{port}" if ":" in address else f"{address}:{port}"


def _endpoint_column(side: str) -> Column:
    address, port = f"{side}_address", f"{side}_port"
    both = attrgetter(address, port)

    def cells(connections: Iterable[Connection]) -> list[str]:
        return [
            # what `endpoint` would say of the commonest kind
            f"{host}:{number}" if number is not None and ":" not in host else endpoint(host, number)
            for host, number in map(both, connections)
        ]

    return Column(side, side.upper(), lambda c: endpoint(*both(c)), cells)


def _proto(connection: Connection) -> str:
    """As netstat has it: `tcp`, `tcp6`; a raw socket with its IP protocol, `raw/1`."""
    name = connection.protocol + ("6" if connection.family == "ipv6" else "")
    return name if connection.ip_protocol is None else f"{name}/{connection.ip_protocol}"


def _proto_cells(connections: Iterable[Connection]) -> list[str]:
    return [
        c.protocol if c.family == "ipv4" and c.protocol != "raw" else _proto(c) for c in connections
    ]


def _process_cells(connections: Iterable[Connection]) -> list[str]:
    return [SAFE[c.process] if len(c.owners) == 1 else _process_cell(c) for c in connections]


def _process_cell(connection: Connection) -> str:
    """The first owner, and how many other processes hold the socket."""
    if connection.owner_status == "hidden":
        return "(hidden)"
    name = SAFE[connection.process]
    others = len({owner.pid for owner in connection.owners}) - 1
    return f"{name} +{others}" if others > 0 else name


def _owners_cell(connection: Connection) -> str:
    if not connection.owners:
        return connection.owner_status
    return " ".join(_owner_text(owner) for owner in connection.owners)


def _owner_text(owner: Owner) -> str:
    fd = "" if owner.fd is None else f",fd={owner.fd}"
    return f"{SAFE[owner.process]}(pid={owner.pid}{fd})"


def timer_text(timer: Timer | None) -> str:
    """`time_wait 59.3s`, `retransmit 0.2s (3)`."""
    if timer is None:
        return "-"
    again = f" ({timer.retransmits})" if timer.retransmits else ""
    return f"{timer.kind} {timer.expires_ms / 1000:.1f}s{again}"


def _text_cells(name: str) -> Cells:
    value = attrgetter(name)
    return lambda connections: [SAFE[text] for text in map(value, connections)]


def _word_cells(name: str) -> Cells:
    """Words of ours, which are never None and need no escaping."""
    value = attrgetter(name)
    return lambda connections: list(map(value, connections))


def _number_cells(name: str) -> Cells:
    value = attrgetter(name)
    return lambda connections: [NUMBER_TEXT[number] for number in map(value, connections)]


NUMBERS = frozenset(
    (
        "local_port",
        "remote_port",
        "ip_protocol",
        "recv_q",
        "send_q",
        "uid",
        "inode",
        "cookie",
        "pid",
        "drops",
        "peer_inode",
        "netns",
    )
)
SPECIAL_CELLS: dict[str, Cells] = {
    **{name: _word_cells(name) for name in ("protocol", "family", "type", "state", "owner_status")},
    "process": _process_cells,
    "owners": lambda connections: [_owners_cell(c) for c in connections],
    "timer": lambda connections: [timer_text(c.timer) for c in connections],
}


def _key_column(name: str) -> Column:
    """The column of one key of the record."""
    is_number = name in NUMBERS
    cells = SPECIAL_CELLS.get(name) or (_number_cells(name) if is_number else _text_cells(name))
    return Column(name, name.upper().replace("_Q", "-Q"), attrgetter(name), cells, is_number)


KEYS: tuple[str, ...] = tuple(field.name for field in msgspec.structs.fields(Connection))
COLUMNS: dict[str, Column] = {
    **{name: _key_column(name) for name in KEYS},
    "proto": Column("proto", "PROTO", _proto, _proto_cells),
    "local": _endpoint_column("local"),
    "remote": _endpoint_column("remote"),
}
OWNER_COLUMNS = ("pid", "process", "owners", "owner_status")
# From the left: what is never given up in a narrow terminal, then what is, from the right.
TABLE_COLUMNS = ("proto", "state", "local", "remote", "pid", "process", "recv_q", "send_q")
WIDE_COLUMNS = (
    "proto",
    "type",
    "state",
    "local",
    "remote",
    "recv_q",
    "send_q",
    "user",
    "inode",
    "interface",
    "exposure",
    "drops",
    "timer",
    "owners",
)


def find_column(name: str) -> Column:
    """The column with this name, in any case.

    :raises UsageError: there is no such column.
    """
    column = COLUMNS.get(name.casefold().replace("-", "_"))
    if column is None:
        raise UsageError(unknown_word("column", name, COLUMNS))
    return column


def sort_key(column: Column) -> Callable[[Connection], tuple[bool, Any]]:
    """Order by value: numbers and addresses by their size, what is not known last."""
    if column.name in ("local", "remote"):
        return _endpoint_key(column.name)
    if column.name.endswith("_address"):
        address = column.value
        return lambda connection: _address_key(address(connection))
    if column.name == "owners":
        return lambda connection: (not connection.owners, len(connection.owners))
    if column.name == "timer":
        return lambda connection: (
            connection.timer is None,
            connection.timer.expires_ms if connection.timer else 0,
        )
    value = column.value
    return lambda connection: (value(connection) is None, value(connection))


def _endpoint_key(side: str) -> Callable[[Connection], tuple[bool, Any]]:
    address, port = attrgetter(f"{side}_address"), attrgetter(f"{side}_port")

    def key(connection: Connection) -> tuple[bool, Any]:
        is_unknown, order = _address_key(address(connection))
        return is_unknown, (order, port(connection) or 0)

    return key


def _address_key(address: str | None) -> tuple[bool, Any]:
    return address is None, () if address is None else address_order(address)
