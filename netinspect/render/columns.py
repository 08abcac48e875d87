"""Columns: every key of the record, and a few that join several keys for human eyes."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from netinspect.errors import UsageError, unknown_word
from netinspect.model import Connection, Owner, Timer
from netinspect.render.escape import escape_cell


class Column(NamedTuple):
    """One column: the value for machines, the cell for eyes."""

    name: str
    title: str
    value: Callable[[Connection], Any]
    cell: Callable[[Connection], str]
    is_number: bool = False


class SafeText(dict["str | None", str]):
    """Names, escaped once each; `-` for none."""

    def __missing__(self, text: str | None) -> str:
        safe = self[text] = "-" if text is None else escape_cell(text)
        return safe


SAFE = SafeText()
NO_PEER = "*"


def endpoint(address: str | None, port: int | None) -> str:
    """`127.0.0.1:80`, `[::1]:80`; without a port just the address."""
    if address is None:
        return NO_PEER
    if port is None:
        return SAFE[address]
    # only an IPv6 address can have a zone, and only that is a name
    return f"[{SAFE[address]}]:{port}" if ":" in address else f"{address}:{port}"


def _local(connection: Connection) -> str:
    return endpoint(connection.local_address, connection.local_port)


def _remote(connection: Connection) -> str:
    return endpoint(connection.remote_address, connection.remote_port)


def _proto(connection: Connection) -> str:
    """As netstat has it: `tcp`, `tcp6`; a raw socket with its IP protocol, `raw/1`."""
    name = connection.protocol + ("6" if connection.family == "ipv6" else "")
    return name if connection.ip_protocol is None else f"{name}/{connection.ip_protocol}"


def _process_cell(connection: Connection) -> str:
    """The first owner, and how many other processes hold the socket."""
    if connection.owner_status == "hidden":
        return "(hidden)"
    name = SAFE[connection.process]
    if len(connection.owners) < 2:
        return name
    others = len({owner.pid for owner in connection.owners}) - 1
    return f"{name} +{others}" if others else name


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


def _plain_cell(name: str) -> Callable[[Connection], str]:
    value = attrgetter(name)
    return lambda connection: SAFE[text] if (text := value(connection)) else "-"


def _number_cell(name: str) -> Callable[[Connection], str]:
    value = attrgetter(name)
    return lambda connection: "-" if (number := value(connection)) is None else str(number)


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
SPECIAL_CELLS: dict[str, Callable[[Connection], str]] = {
    "process": _process_cell,
    "owners": _owners_cell,
    "timer": lambda connection: timer_text(connection.timer),
}


def _key_column(name: str) -> Column:
    """The column of one key of the record."""
    is_number = name in NUMBERS
    cell = SPECIAL_CELLS.get(name) or (_number_cell(name) if is_number else _plain_cell(name))
    return Column(name, name.upper().replace("_Q", "-Q"), attrgetter(name), cell, is_number)


KEYS: tuple[str, ...] = tuple(field.name for field in msgspec.structs.fields(Connection))
COLUMNS: dict[str, Column] = {
    **{name: _key_column(name) for name in KEYS},
    "proto": Column("proto", "PROTO", _proto, _proto),
    "local": Column("local", "LOCAL", _local, _local),
    "remote": Column("remote", "REMOTE", _remote, _remote),
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
    """IPv4 before IPv6 before paths."""
    if address is None:
        return True, ()
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return False, (9, 0, address)
    return False, (ip.version, int(ip), address)
