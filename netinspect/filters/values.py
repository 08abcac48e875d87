"""What may stand behind each keyword of an expression, and the test that it makes."""

from __future__ import annotations

import fnmatch
import os
import re
import socket
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

from netinspect.errors import UsageError, unknown_word
from netinspect.filters.ports import parse_ports
from netinspect.filters.selection import glob
from netinspect.filters.terms import (
    AutoboundPath,
    Number,
    OneOf,
    PathMatches,
    Pid,
    ProcessNamed,
    UserIs,
)
from netinspect.filters.words import PROTOCOLS, parse_directions, parse_exposures, parse_tables
from netinspect.model import Table, decode_name
from netinspect.query import (
    FALSE,
    HIGHEST_PORT,
    TRUE,
    Autobound,
    Cgroup,
    Condition,
    Device,
    InTables,
    Mark,
    PortRange,
    Side,
    all_of,
    any_of,
)

EQUALITY = ("=", "!=")
ORDER = ("=", "!=", "<", "<=", ">", ">=")
UNIX = Table("unix", "unix")
WHOLE_MARK = 0xFFFFFFFF
LONGEST_NUMBER = 18  # digits
NUMBER = r"(?ai)(\d+(?:\.\d+)?)([a-z]*)"
MICROSECONDS = {"": 1e3, "ms": 1e3, "s": 1e6, "us": 1}
BYTES = {"": 1, "b": 1, "k": 1 << 10, "m": 1 << 20, "g": 1 << 30}
#   0x1   0x1/0xff   10/15
MARK = r"(?ai)(0x[0-9a-f]{1,8}|\d{1,10})(?:/(0x[0-9a-f]{1,8}|\d{1,10}))?\Z"


class Term(NamedTuple):
    """What a keyword takes, in words (None: nothing), and what makes its test."""

    expected: str | None
    comparisons: tuple[str, ...]
    make: Callable[[str, str], Condition]


def _port(side: Side, comparison: str, word: str) -> Condition:
    """`22`, `:22`, `:ssh`, `:8000-8100`, `*`."""
    word = word.removeprefix(":")
    if word in ("", "*"):
        if comparison == "=" and word:
            return TRUE
        raise UsageError("expected a port: 22, ssh, 8000-8100")
    ((low, high),) = parse_ports([word])
    if comparison != "=" and low != high:
        raise UsageError(f"a range goes with = and != only, not with {comparison}")
    if comparison in ("<", "<="):
        low, high = 0, low - (comparison == "<")
    elif comparison in (">", ">="):
        low, high = low + (comparison == ">"), HIGHEST_PORT
    return PortRange(side, low, high) if low <= high else FALSE


def _host(side: Side, _: str, word: str) -> Condition:
    from netinspect.filters.addresses import device_of, parse_networks  # loads ipaddress: 5 ms
    from netinspect.filters.hosts import parse_host

    host = parse_host(word)
    if host.family == "unix":
        in_unix = InTables(frozenset({UNIX}))
        if host.address is None:
            return in_unix
        name = decode_name(os.fsencode(host.address))
        return all_of((in_unix, PathMatches(side, re.compile(fnmatch.translate(name)))))
    parts: list[Condition] = []
    if host.family is not None:
        parts.append(InTables(INET_TABLES[host.family]))
    if host.address is not None:
        (network,) = parse_networks([host.address], side)
        if device := device_of(network):
            if side == "remote":
                raise UsageError(f"{word!r}: only a local end has a device: src ADDRESS%{device}")
            parts.append(_device("=", device))
            network = network._replace(zone=None)
        parts.append(network)
    if host.port is not None:
        parts.append(_port(side, "=", host.port))
    return all_of(parts)


INET_TABLES = {
    family: frozenset(Table(p, family) for (p,) in list(PROTOCOLS.values())[:-1] if p != "unix")
    for family in ("ipv4", "ipv6")
}


def _device(_: str, word: str) -> Condition:
    """A device by its name, one of its other names, or its number."""
    try:
        index = int(word) if word.isascii() and word.isdecimal() else socket.if_nametoindex(word)
        name = decode_name(os.fsencode(socket.if_indextoname(index)))
    except (OSError, OverflowError, ValueError):
        names = [name for _, name in socket.if_nameindex()]
        raise UsageError(unknown_word("device", word, names)) from None
    return Device(name, index)


def _mark(_: str, word: str) -> Condition:
    found = re.match(MARK, word)
    value, mask = (_integer(text) for text in found.groups()) if found else (None, None)
    if value is None or max(value, mask or 0) > WHOLE_MARK:
        raise UsageError(
            f"mark {word!r}: expected a number of 32 bits, or VALUE/MASK: 0x1, 0x1/0xff"
        )
    return Mark(value, WHOLE_MARK if mask is None else mask)


def _integer(text: str | None) -> int | None:
    if text is None:
        return None
    return int(text, 16 if text.lower().startswith("0x") else 10)


def _autobound(_comparison: str, _word: str) -> Condition:
    return any_of((Autobound(), all_of((InTables(frozenset({UNIX})), AutoboundPath()))))


def _quantity(word: str, units: Mapping[str, float], example: str) -> float:
    found = re.fullmatch(NUMBER, word)
    unit = found[2].lower() if found else ""
    if not found or unit not in units or len(found[1]) > LONGEST_NUMBER:
        raise UsageError(f"{word!r}: expected a number such as {example}")
    number = found[1]
    return (float(number) if "." in number else int(number)) * units[unit]


def _count(word: str) -> int:
    if not (word.isascii() and word.isdecimal() and len(word) <= LONGEST_NUMBER):
        raise UsageError(f"{word!r}: expected a number such as 1234")
    return int(word)


def _number(key: str, comparison: str, word: str) -> Condition:
    return Number(key, comparison, _count(word))


def _bytes(key: str, comparison: str, word: str) -> Condition:
    return Number(key, comparison, _quantity(word, BYTES, "4096, 64k or 1M"))


def _rtt(comparison: str, word: str) -> Condition:
    # Divided as in the record: 9 * 0.001 is not 9 / 1000. The kernel counts whole microseconds.
    value_us = round(_quantity(word, MICROSECONDS, "20 (ms), 800us or 1.5s"), 3)
    return Number("rtt_ms", comparison, value_us / 1000)


def _pid(comparison: str, word: str) -> Condition:
    return Pid(comparison, _count(word))


def _name(word: str) -> str:
    return decode_name(os.fsencode(word))


TERMS: dict[str, Term] = {
    "src": Term("an address, a network or :PORT", EQUALITY, partial(_host, "local")),
    "dst": Term("an address, a network or :PORT", EQUALITY, partial(_host, "remote")),
    "sport": Term("a port", ORDER, partial(_port, "local")),
    "dport": Term("a port", ORDER, partial(_port, "remote")),
    "dev": Term("a device", EQUALITY, _device),
    "fwmark": Term("a mark, or VALUE/MASK", EQUALITY, _mark),
    "cgroup": Term("the path of a cgroup", EQUALITY, lambda _, word: Cgroup(word)),
    "autobound": Term(None, (), _autobound),
    "pid": Term("a process number", ORDER, _pid),
    "process": Term("a process name", EQUALITY, lambda _, word: ProcessNamed(glob(word))),
    "user": Term("a user name or uid", EQUALITY, lambda _, word: UserIs(_name(word))),
    "uid": Term("a number", ORDER, partial(_number, "uid")),
    "proto": Term(
        "a protocol", EQUALITY, lambda _, word: InTables(frozenset(parse_tables([word])))
    ),
    "inode": Term("a number", ORDER, partial(_number, "inode")),
    "rtt": Term("a time", ORDER, _rtt),
    "retrans": Term("a number", ORDER, partial(_number, "retransmits_total")),
    "recv_q": Term("a size", ORDER, partial(_bytes, "recv_q")),
    "send_q": Term("a size", ORDER, partial(_bytes, "send_q")),
    "exposure": Term(
        "an exposure",
        EQUALITY,
        lambda _, word: OneOf("exposure", frozenset(map(str, parse_exposures([word])))),
    ),
    "direction": Term(
        "a direction",
        EQUALITY,
        lambda _, word: OneOf("direction", frozenset(map(str, parse_directions([word])))),
    ),
}
