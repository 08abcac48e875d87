"""Columns: every key of the record, and a few that join several keys for human eyes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET, UnsetType

from netinspect.addresses import address_order
from netinspect.errors import UsageError, unknown_word
from netinspect.extended import Bbr, Dctcp, Memory, Options, TcpInfo, Vegas
from netinspect.model import Connection, Owner, Timer, user_or_uid
from netinspect.render.escape import ELLIPSIS, escape_cell

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
OWNERS, OWNER_STATUS, PROCESS = map(attrgetter, ("owners", "owner_status", "process"))
NO_PEER = "*"
STACKS: dict[bool | UnsetType, str] = {True: " (also IPv4)", False: " (only IPv6)", UNSET: ""}
YES_NO: dict[bool | UnsetType, str] = {True: "yes", False: "no", UNSET: "-"}
CONTAINER_ID = r"(?<![0-9a-f])([0-9a-f]{12})[0-9a-f]{52}(?![0-9a-f])"


def endpoint(address: str | None, port: int | None) -> str:
    """`127.0.0.1:80`, `[::1]:80`; without a port just the address."""
    if address is None:
        return NO_PEER
    if port is None:
        return SAFE[address]
    # A zone is a name, and so may be all of what was captured.
    safe = address if _is_plain(address) else SAFE[address]
    return f"[{safe}]:{port}" if ":" in address else f"{safe}:{port}"


def _is_plain(text: str) -> bool:
    """Whether all of it can be shown as it is, without a look at each character."""
    return text.isascii() and text.isprintable() and " " not in text


def _endpoint_column(side: str) -> Column:
    host, port = attrgetter(f"{side}_address"), attrgetter(f"{side}_port")

    def cells(connections: Iterable[Connection]) -> list[str]:
        hosts, ports = list(map(host, connections)), list(map(port, connections))
        some = set(hosts)
        all_hosts = "" if None in some else "".join(some)
        if None in ports or None in some or ":" in all_hosts or not _is_plain(all_hosts):
            return [endpoint(*pair) for pair in zip(hosts, ports, strict=True)]
        return [f"{host}:{port}" for host, port in zip(hosts, ports, strict=True)]

    return Column(side, side.upper(), lambda c: endpoint(host(c), port(c)), cells)


def _proto(connection: Connection) -> str:
    """As netstat has it: `tcp`, `tcp6`; a raw socket with its IP protocol, `raw/1`."""
    name = connection.protocol + ("6" if connection.family == "ipv6" else "")
    return name if connection.ip_protocol is None else f"{name}/{connection.ip_protocol}"


def _proto_cells(connections: Iterable[Connection]) -> list[str]:
    return [
        c.protocol if c.family == "ipv4" and c.protocol != "raw" else _proto(c) for c in connections
    ]


def _process_cells(connections: Iterable[Connection]) -> list[str]:
    sockets = list(connections)
    if not any(map(OWNERS, sockets)) and "hidden" not in map(OWNER_STATUS, sockets):
        names = list(map(PROCESS, sockets))
        return [SAFE[names[0]]] * len(names) if len(set(names)) == 1 else [SAFE[n] for n in names]
    return [SAFE[c.process] if len(c.owners) == 1 else _process_cell(c) for c in sockets]


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


def _exposure_cells(connections: Iterable[Connection]) -> list[str]:
    """A listener on `::` takes IPv4 as well, unless IPV6_V6ONLY is set; not every source tells."""
    return [SAFE[c.exposure] + STACKS[c.dual_stack] for c in connections]


def _detail(connection: Connection, name: str) -> Any:
    """What is known of the first owner beyond its name, if it was asked for."""
    return getattr(connection.owners[0], name) or None if connection.owners else None


def _command(connection: Connection) -> str | None:
    from netinspect.render.command import short_command  # only a wide table needs it

    command_line = _detail(connection, "command_line")
    return short_command(command_line) if command_line else None


def _detail_column(name: str, value: Callable[[Connection], Any] | None = None) -> Column:
    """A column with text about the first owner."""
    text = value or (lambda connection: _detail(connection, name))
    return Column(
        name, name.upper(), text, lambda connections: [SAFE[text(c)] for c in connections]
    )


def _direction_cells(connections: Iterable[Connection]) -> list[str]:
    return [c.direction or "-" for c in connections]


def _dual_stack_cells(connections: Iterable[Connection]) -> list[str]:
    return [YES_NO[c.dual_stack] for c in connections]


def _container_cells(connections: Iterable[Connection]) -> list[str]:
    """Ids as short as `docker ps` has them."""
    return [re.sub(CONTAINER_ID, r"\1", SAFE[_detail(c, "container")]) for c in connections]


def _unit_cells(connections: Iterable[Connection]) -> list[str]:
    """docker-3f9c0a7d5b21….scope: with the whole id the line would be twice as long."""
    return [re.sub(CONTAINER_ID, rf"\1{ELLIPSIS}", SAFE[_detail(c, "unit")]) for c in connections]


def _json_cells(name: str) -> Cells:
    """A key with parts, as the JSON output has it."""
    value, encode = attrgetter(name), msgspec.json.encode

    def cell(connection: Connection) -> str:
        found = value(connection)
        return escape_cell(encode(found).decode()) if found else "-"

    return lambda connections: list(map(cell, connections))


def _asked_column(name: str, cells: Cells) -> Column:
    """A key that is there only when it was asked for, or where it applies."""
    value = attrgetter(name)
    return Column(name, name.upper(), lambda c: None if value(c) is UNSET else value(c), cells)


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

    def cells(connections: Iterable[Connection]) -> list[str]:
        numbers = list(map(value, connections))
        if numbers and numbers.count(numbers[0]) == len(numbers):  # as most queues are empty
            return [NUMBER_TEXT[numbers[0]]] * len(numbers)
        return [NUMBER_TEXT[number] for number in numbers]

    return cells


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
    "exposure": _exposure_cells,
    "user": lambda connections: [SAFE[user_or_uid(c)] for c in connections],
}


def _key_column(name: str) -> Column:
    """The column of one key of the record."""
    is_number = name in NUMBERS
    cells = SPECIAL_CELLS.get(name) or (_number_cells(name) if is_number else _text_cells(name))
    return Column(name, name.upper().replace("_Q", "-Q"), attrgetter(name), cells, is_number)


# What every record has, and what only those have for which it was asked.
FIELDS = msgspec.structs.fields(Connection)
KEYS: tuple[str, ...] = tuple(field.name for field in FIELDS if field.default is not UNSET)
ASKED_KEYS: tuple[str, ...] = tuple(field.name for field in FIELDS if field.default is UNSET)
WITH_PARTS = ("tcp_info", "memory", "options")
PARTS: dict[str, type[msgspec.Struct]] = {
    "timer": Timer,
    "tcp_info": TcpInfo,
    "tcp_info.vegas": Vegas,
    "tcp_info.dctcp": Dctcp,
    "tcp_info.bbr": Bbr,
    "memory": Memory,
    "options": Options,
}
TEXT_PARTS = ("kind", "congestion_control", "congestion_state", "cgroup", "bound_device", "layer")
COLUMNS: dict[str, Column] = {
    **{name: _key_column(name) for name in KEYS},
    "proto": Column("proto", "PROTO", _proto, _proto_cells),
    "local": _endpoint_column("local"),
    "remote": _endpoint_column("remote"),
    **{name: _asked_column(name, _json_cells(name)) for name in WITH_PARTS},
    "direction": _asked_column("direction", _direction_cells),
    "dual_stack": _asked_column("dual_stack", _dual_stack_cells),
    "command": _detail_column("command", _command),
    "unit": _detail_column("unit")._replace(cells=_unit_cells),
    "container": _detail_column("container")._replace(cells=_container_cells),
}
DETAIL_COLUMNS = ("command", "unit", "container")
OWNER_COLUMNS = ("pid", "process", "owners", "owner_status", *DETAIL_COLUMNS)
# For these one process of each socket is not enough.
HOLDER_COLUMNS = ("owners", "owner_status", "uid", "user", *DETAIL_COLUMNS)
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
    "command",
    "unit",
    "container",
    "owners",
)


def find_column(name: str) -> Column:
    """The column with this name, in any case.

    :raises UsageError: there is no such column.
    """
    key = name.casefold().replace("-", "_")
    column = COLUMNS.get(key)
    if column is not None:
        return column
    parts = part_names() if "." in key else ()
    if key not in parts:
        raise UsageError(unknown_word("column", name, parts or COLUMNS))
    return _part_column(key)


def part_names() -> tuple[str, ...]:
    """The columns for a part of a key: `tcp_info.rtt_ms`, `timer.kind`."""
    return tuple(
        f"{key}.{part}" for key, parts in PARTS.items() for part in parts.__struct_fields__
    )


def _part_column(name: str) -> Column:
    getters = [attrgetter(part) for part in name.split(".")]

    def value(connection: Connection) -> Any:
        found: Any = connection
        for get in getters:
            found = get(found) if found else None  # UNSET is false
        return found

    return Column(
        name,
        name.upper(),
        value,
        lambda connections: [_part_cell(value(c)) for c in connections],
        is_number=not name.endswith(TEXT_PARTS),
    )


def _part_cell(value: Any) -> str:
    if value is None or isinstance(value, str):
        return SAFE[value]
    return escape_cell(msgspec.json.encode(value).decode())


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
    if column.name in (*WITH_PARTS, *PARTS):  # in some order: which of the parts should count?
        return lambda connection: (value(connection) is None, repr(value(connection)))
    return lambda connection: (value(connection) is None, value(connection))


def _endpoint_key(side: str) -> Callable[[Connection], tuple[bool, Any]]:
    address, port = attrgetter(f"{side}_address"), attrgetter(f"{side}_port")

    def key(connection: Connection) -> tuple[bool, Any]:
        is_unknown, order = _address_key(address(connection))
        return is_unknown, (order, port(connection) or 0)

    return key


def _address_key(address: str | None) -> tuple[bool, Any]:
    return address is None, () if address is None else address_order(address)
