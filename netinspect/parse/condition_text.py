"""A condition in the language of ss, as one would type it."""

from __future__ import annotations

from collections.abc import Callable
from ipaddress import ip_address
from typing import Any

from netinspect.query import (
    FALSE,
    HIGHEST_PORT,
    TRUE,
    AllOf,
    AnyOf,
    Autobound,
    Cgroup,
    CgroupId,
    Condition,
    Device,
    InTables,
    Leaf,
    Mark,
    Network,
    Not,
    PortRange,
    States,
)

WHOLE_MARK = 0xFFFFFFFF


def condition_text(condition: Condition) -> str:
    """The condition with parentheses around each part that is more than a test.

    >>> condition_text(AllOf((PortRange("local", 22, 22), Not(Autobound()))))
    'sport = :22 and not autobound'
    """
    if isinstance(condition, AllOf):
        return " and ".join(map(_part_text, condition.parts)) or "src *"
    if isinstance(condition, AnyOf):
        return " or ".join(map(_part_text, condition.parts)) or "not src *"
    if isinstance(condition, Not):
        return f"not {_part_text(condition.part)}"
    return leaf_text(condition)


def _part_text(part: Condition) -> str:
    text = condition_text(part)
    is_list = isinstance(part, (AllOf, AnyOf)) or " or " in text
    return f"( {text} )" if is_list and part not in (TRUE, FALSE) else text


def leaf_text(leaf: Leaf) -> str:
    """One test that a source knows."""
    return TEXTS[type(leaf)](leaf)


def _port_text(leaf: PortRange) -> str:
    word = "sport" if leaf.side == "local" else "dport"
    if leaf.low == leaf.high:
        return f"{word} = :{leaf.low}"
    if leaf.high == HIGHEST_PORT:
        return f"{word} >= :{leaf.low}"
    return f"{word} <= :{leaf.high}" if leaf.low == 0 else f"{word} = :{leaf.low}-{leaf.high}"


def _network_text(leaf: Network) -> str:
    word = "src" if leaf.side == "local" else "dst"
    address = ip_address(leaf.packed)
    zone = f"%{leaf.zone}" if leaf.zone else ""
    prefix = "" if leaf.prefix_length == address.max_prefixlen else f"/{leaf.prefix_length}"
    text = f"{address}{zone}{prefix}"
    return f"{word} [{text}]" if address.version == 6 else f"{word} {text}"


def _table_word(protocol: str, family: str) -> str:
    return f"proto = {protocol}{FAMILY_DIGITS.get(family, '')}"


FAMILY_DIGITS = {"ipv4": "4", "ipv6": "6"}


def _mark_text(leaf: Mark) -> str:
    mask = "" if leaf.mask == WHOLE_MARK else f"/{leaf.mask:#x}"
    return f"fwmark = {leaf.value:#x}{mask}"


TEXTS: dict[type, Callable[[Any], str]] = {
    PortRange: _port_text,
    Network: _network_text,
    States: lambda leaf: " or ".join(f"state {state.lower()}" for state in sorted(leaf.states)),
    InTables: lambda leaf: " or ".join(_table_word(*table) for table in sorted(leaf.tables)),
    Device: lambda leaf: f'dev = "{leaf.name}"',
    Mark: _mark_text,
    Cgroup: lambda leaf: f'cgroup = "{leaf.path}"',
    CgroupId: lambda leaf: f"cgroup = (number {leaf.number})",
    Autobound: lambda _: "autobound",
}
